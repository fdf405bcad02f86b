/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/btrfs-subvolumes.h"
#include "format/btrfs-internal.h"
#include "ground/error.h"

#include <inttypes.h>
#include <string.h>

/* struct btrfs_root_item as it was before kernel 3.6: what came later is not asked for. */
#define ROOT_ITEM_SIZE 239
/* struct btrfs_root_ref; the name follows. */
#define ROOT_REF_SIZE 18
/* struct btrfs_inode_ref; the name follows. */
#define INODE_REF_SIZE 10

/* Subvolumes: how many, and all their paths together; the limits keep a list below 16 MiB. */
#define MAX_SUBVOLUMES 65536
#define MAX_PATHS_SIZE (8u << 20)
/* PATH_MAX of Linux: what is deeper cannot be named to a mount. */
#define MAX_PATH_SIZE 4096

void
dps_btrfs_subvolume_info_free(DpsBtrfsSubvolumeInfo *info)
{
	if (!info)
		return;

	g_free(info->path);
	g_free(info);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DpsBtrfsSubvolumeInfo, dps_btrfs_subvolume_info_free)

static gboolean
is_subvolume_id(uint64_t id)
{
	/* is_fstree() of the kernel */
	return id == DPS_BTRFS_FS_TREE || (id >= DPS_BTRFS_FIRST_FREE && id <= DPS_BTRFS_LAST_FREE);
}

gboolean
dps_btrfs_fs_read_default(DpsBtrfsFs *self, DpsBtrfsDefault *out, GError **error)
{
	static const char name[] = "default";
	g_auto(DpsBtrfsItem) item = { NULL };
	DpsBtrfsDirEntry entry;

	if (!dps_btrfs_fs_find_entry(self, &self->root_tree, self->super.root_dir, name,
				     strlen(name), &item, &entry, error))
		return FALSE;
	if (!item.node) {
		*out = (DpsBtrfsDefault){ .exists = FALSE, .id = DPS_BTRFS_FS_TREE };
		return TRUE;
	}

	*out = (DpsBtrfsDefault){
		.exists = TRUE,
		.id = entry.location.objectid,
		.location = entry.location,
		.logical = item.node->logical,
		.generation = item.node->generation,
		.offset = item.offset + entry.offset,
	};
	return TRUE;
}

/* From a ROOT_ITEM; NULL without an error when the subvolume is deleted and only waits to go. */
static DpsBtrfsSubvolumeInfo *
parse_root_item(const DpsBtrfsItem *item, GError **error)
{
	DpsBtrfsSubvolumeInfo *info;
	const uint8_t *p = item->data;

	if (item->size < ROOT_ITEM_SIZE)
		return dps_throw_null(error, DPS_ERROR_CORRUPT,
				      "subvolume %" PRIu64 ": root item of %u bytes",
				      item->key.objectid, item->size);
	if (dps_load_le32(p + 216) == 0) /* refs */
		return NULL;

	info = g_new0(DpsBtrfsSubvolumeInfo, 1);
	info->id = item->key.objectid;
	info->root_offset = item->key.offset;
	info->root = (DpsBtrfsRoot){ dps_load_le64(p + 176), dps_load_le64(p + 160), p[238] };
	info->is_read_only = (dps_load_le64(p + 208) & 1) != 0; /* BTRFS_ROOT_SUBVOL_RDONLY */
	return info;
}

static DpsBtrfsSubvolumeInfo *
throw_deleted(uint64_t id, GError **error)
{
	return dps_throw_null(error, DPS_ERROR_NOT_FOUND, "subvolume %" PRIu64 ": is deleted", id);
}

DpsBtrfsSubvolumeInfo *
dps_btrfs_fs_read_subvolume(DpsBtrfsFs *self, uint64_t id, GError **error)
{
	DpsBtrfsKey key = { id, DPS_BTRFS_ROOT_ITEM, 0 };
	g_autoptr(DpsBtrfsSubvolumeInfo) info = NULL;
	g_autoptr(GError) local = NULL;
	g_auto(DpsBtrfsItem) item = { NULL };

	if (!dps_btrfs_fs_search(self, &self->root_tree, &key, &item, error))
		return NULL;
	if (!is_subvolume_id(id) || !item.node || item.key.objectid != id ||
	    item.key.type != DPS_BTRFS_ROOT_ITEM)
		return dps_throw_null(error, DPS_ERROR_NOT_FOUND,
				      "subvolume %" PRIu64 ": there is none", id);

	info = parse_root_item(&item, &local);
	if (local) {
		g_propagate_error(error, g_steal_pointer(&local));
		return NULL;
	}
	if (!info)
		return throw_deleted(id, error);
	if (id == DPS_BTRFS_FS_TREE)
		return g_steal_pointer(&info);

	if (!dps_btrfs_fs_next(self, &self->root_tree, &item, error))
		return NULL;
	if (item.node && item.key.objectid == id && item.key.type == DPS_BTRFS_ROOT_ITEM)
		return dps_throw_null(error, DPS_ERROR_CORRUPT,
				      "subvolume %" PRIu64 ": there are two of it", id);

	key.type = DPS_BTRFS_ROOT_BACKREF;
	if (!dps_btrfs_fs_search(self, &self->root_tree, &key, &item, error))
		return NULL;
	if (!item.node || item.key.objectid != id || item.key.type != key.type)
		return throw_deleted(id, error); /* it is in no directory any more */

	info->parent = item.key.offset;
	return g_steal_pointer(&info);
}

/* A subvolume while the list is made: how it is reached from its parent. */
typedef struct {
	DpsBtrfsSubvolumeInfo *info;
	uint64_t dir; /* inode of the directory in the parent */
	char *name;   /* NULL: no ROOT_BACKREF, in no directory; or none that can be */
	gboolean seen;
} Entry;

static void
entry_free(Entry *entry)
{
	dps_btrfs_subvolume_info_free(entry->info);
	g_free(entry->name);
	g_free(entry);
}

static char *
take_name(const uint8_t *bytes, size_t size)
{
	/* A NUL in it, which no name can have, ends it. */
	return size == 0 ? NULL : g_strndup((const char *)bytes, size);
}

/* What the root tree has of subvolumes, in its order, which is by id. */
static gboolean
read_root_tree(DpsBtrfsFs *self, GPtrArray *entries, GError **error)
{
	DpsBtrfsKey key = { DPS_BTRFS_FS_TREE, DPS_BTRFS_ROOT_ITEM, 0 };
	g_auto(DpsBtrfsItem) item = { NULL };
	Entry *last = NULL;

	if (!dps_btrfs_fs_search(self, &self->root_tree, &key, &item, error))
		return FALSE;

	while (item.node && item.key.objectid <= DPS_BTRFS_LAST_FREE) {
		g_autoptr(GError) local = NULL;
		DpsBtrfsSubvolumeInfo *info;

		if (item.key.type == DPS_BTRFS_ROOT_ITEM && is_subvolume_id(item.key.objectid)) {
			if (entries->len == MAX_SUBVOLUMES)
				return dps_throw(error, DPS_ERROR_UNSUPPORTED,
						 "btrfs: more than %d subvolumes", MAX_SUBVOLUMES);
			info = parse_root_item(&item, &local);
			if (local) {
				g_propagate_error(error, g_steal_pointer(&local));
				return FALSE;
			}
			if (info) {
				last = g_new0(Entry, 1);
				last->info = info;
				g_ptr_array_add(entries, last);
			}
		} else if (item.key.type == DPS_BTRFS_ROOT_BACKREF && last && !last->name &&
			   last->info->id == item.key.objectid && item.size >= ROOT_REF_SIZE) {
			size_t size = dps_load_le16(item.data + 16);

			if (size > item.size - ROOT_REF_SIZE)
				return dps_throw(error, DPS_ERROR_CORRUPT,
						 "subvolume %" PRIu64 ": its name is cut short",
						 item.key.objectid);
			last->info->parent = item.key.offset;
			last->dir = dps_load_le64(item.data);
			if (dps_btrfs_is_name(item.data + ROOT_REF_SIZE, size))
				last->name = take_name(item.data + ROOT_REF_SIZE, size);
		}
		if (!dps_btrfs_fs_next(self, &self->root_tree, &item, error))
			return FALSE;
	}
	return TRUE;
}

/* Puts the path of directory @dir of a subvolume, with a slash behind it, in front of @path. */
static gboolean
prepend_directories(DpsBtrfsFs *self, const DpsBtrfsRoot *root, uint64_t dir, GString *path,
		    GError **error)
{
	while (dir != DPS_BTRFS_FIRST_FREE) {
		DpsBtrfsKey key = { dir, DPS_BTRFS_INODE_REF, 0 };
		g_auto(DpsBtrfsItem) item = { NULL };
		size_t size;

		if (!dps_btrfs_fs_search(self, root, &key, &item, error))
			return FALSE;
		if (!item.node || item.key.objectid != dir || item.key.type != key.type ||
		    item.size < INODE_REF_SIZE)
			return dps_throw(error, DPS_ERROR_CORRUPT,
					 "directory %" PRIu64 ": has no name", dir);
		size = dps_load_le16(item.data + 8);
		if (size == 0 || size > item.size - INODE_REF_SIZE)
			return dps_throw(error, DPS_ERROR_CORRUPT,
					 "directory %" PRIu64 ": its name is cut short", dir);
		if (!dps_btrfs_is_name(item.data + INODE_REF_SIZE, size))
			return dps_throw(error, DPS_ERROR_CORRUPT,
					 "directory %" PRIu64 ": a name that none can have", dir);
		/* Each turn makes it longer, so that directories in a circle end here. */
		if (path->len + size >= MAX_PATH_SIZE)
			return dps_throw(error, DPS_ERROR_CORRUPT,
					 "directory %" PRIu64 ": its path does not end", dir);

		g_string_prepend_c(path, '/');
		g_string_prepend_len(path, (const char *)item.data + INODE_REF_SIZE, (gssize)size);
		dir = item.key.offset;
	}
	return TRUE;
}

static gboolean
set_path(DpsBtrfsFs *self, Entry *entry, const Entry *parent, size_t *paths_size, GError **error)
{
	g_autoptr(GString) path = g_string_new(entry->name);

	if (!prepend_directories(self, &parent->info->root, entry->dir, path, error)) {
		dps_prefix_error(error, "subvolume %" PRIu64 ": ", entry->info->id);
		return FALSE;
	}
	if (*parent->info->path) {
		g_string_prepend_c(path, '/');
		g_string_prepend(path, parent->info->path);
	}
	/* Deeper than a mount can be told: it stays without a path, and so out of the list. */
	if (path->len >= MAX_PATH_SIZE)
		return TRUE;
	if (path->len > MAX_PATHS_SIZE - *paths_size)
		return dps_throw(error, DPS_ERROR_UNSUPPORTED,
				 "btrfs: more than %u MiB of paths of subvolumes",
				 MAX_PATHS_SIZE >> 20);
	*paths_size += path->len;
	entry->info->path = g_strdup(path->str);
	return TRUE;
}

/*
 * Parents first, without recursion: subvolumes can be nested as deep as a path is long, and on a
 * hostile medium in a circle.  What is not reached from the top level stays without a path.
 */
static gboolean
resolve(DpsBtrfsFs *self, GHashTable *by_id, Entry *entry, size_t *paths_size, GError **error)
{
	g_autoptr(GPtrArray) chain = g_ptr_array_new();

	while (!entry->seen) {
		Entry *parent;

		entry->seen = TRUE;
		g_ptr_array_add(chain, entry);
		parent = g_hash_table_lookup(by_id, &entry->info->parent);
		if (!entry->name || !parent)
			return TRUE;
		entry = parent;
	}
	while (chain->len > 0 && entry->info->path) {
		Entry *child = g_ptr_array_steal_index(chain, chain->len - 1);

		if (!set_path(self, child, entry, paths_size, error))
			return FALSE;
		entry = child;
	}
	return TRUE;
}

GPtrArray *
dps_btrfs_fs_list_subvolumes(DpsBtrfsFs *self, GError **error)
{
	g_autoptr(GPtrArray) entries = g_ptr_array_new_with_free_func((GDestroyNotify)entry_free);
	g_autoptr(GHashTable) by_id = g_hash_table_new(g_int64_hash, g_int64_equal);
	g_autoptr(GPtrArray) list =
		g_ptr_array_new_with_free_func((GDestroyNotify)dps_btrfs_subvolume_info_free);
	gboolean ok = read_root_tree(self, entries, error);
	size_t paths_size = 0;

	for (guint i = 0; i < entries->len; i++) {
		Entry *entry = g_ptr_array_index(entries, i);

		g_hash_table_insert(by_id, &entry->info->id, entry);
		if (entry->info->id == DPS_BTRFS_FS_TREE) {
			entry->info->path = g_strdup("");
			entry->seen = TRUE;
		}
	}
	for (guint i = 0; ok && i < entries->len; i++)
		ok = resolve(self, by_id, g_ptr_array_index(entries, i), &paths_size, error);
	if (!ok)
		return NULL;

	for (guint i = 0; i < entries->len; i++) {
		Entry *entry = g_ptr_array_index(entries, i);

		if (entry->info->path)
			g_ptr_array_add(list, g_steal_pointer(&entry->info));
	}
	return g_steal_pointer(&list);
}
