/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/btrfs-file.h"
#include "format/btrfs-subvolumes.h"
#include "format/decompress.h"
#include "ground/bytes.h"
#include "ground/error.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

/* struct btrfs_inode_item */
enum {
	INODE_ITEM_SIZE = 160,
	INODE_SIZE = 16,
	INODE_MODE = 52,
};

/* struct btrfs_file_extent_item */
enum {
	EXTENT_RAM_BYTES = 8,
	EXTENT_COMPRESSION = 16,
	EXTENT_ENCRYPTION = 17,
	EXTENT_OTHER_ENCODING = 18,
	EXTENT_TYPE = 20,
	EXTENT_INLINE_DATA = 21,
	EXTENT_DISK_BYTENR = 21,
	EXTENT_DISK_NUM_BYTES = 29,
	EXTENT_OFFSET = 37,
	EXTENT_NUM_BYTES = 45,
	EXTENT_ITEM_SIZE = 53,
};
enum { TYPE_INLINE = 0, TYPE_REGULAR = 1, TYPE_PREALLOCATED = 2 };

/* BTRFS_MAX_COMPRESSED and BTRFS_MAX_UNCOMPRESSED of the kernel. */
#define MAX_COMPRESSED (128u << 10)

/* btrfs' symbolic links are one inline extent, below a page; PATH_MAX of Linux. */
#define MAX_LINK_SIZE 4096

struct _DpsBtrfsFile {
	DpsBtrfsFs *fs; /* borrowed */
	DpsBtrfsInode inode;
	uint8_t *cached; /* the decompressed bytes of the extent whose item is at this key offset */
	uint64_t cached_at;
	uint32_t cached_size;
};

/* One extent of a file, checked. */
typedef struct {
	uint64_t start, size;	     /* bytes, in the file */
	uint64_t disk, disk_size;    /* 0: a hole */
	uint64_t offset;	     /* bytes: where the file's part starts in what is there */
	uint64_t ram_size;	     /* bytes of that */
	const uint8_t *inline_bytes; /* or NULL */
	uint32_t inline_size;
	uint8_t compression;
	gboolean is_hole;
} Extent;

static gboolean
read_inode(DpsBtrfsFs *fs, const DpsBtrfsRoot *root, uint64_t number, DpsBtrfsInode *out,
	   GError **error)
{
	const DpsBtrfsKey key = { number, DPS_BTRFS_INODE_ITEM, 0 };
	g_auto(DpsBtrfsItem) item = { NULL };

	if (!dps_btrfs_fs_lookup(fs, root, &key, &item, error))
		return FALSE;
	if (item.size < INODE_ITEM_SIZE)
		return dps_throw(error, DPS_ERROR_CORRUPT, "inode %" PRIu64 ": item of %u bytes",
				 number, item.size);

	*out = (DpsBtrfsInode){
		.root = *root,
		.number = number,
		.size = dps_load_le64(item.data + INODE_SIZE),
		.mode = dps_load_le32(item.data + INODE_MODE),
	};
	return TRUE;
}

gboolean
dps_btrfs_fs_open_top(DpsBtrfsFs *fs, uint64_t subvolume, DpsBtrfsInode *out, GError **error)
{
	DpsBtrfsSubvolumeInfo *info = dps_btrfs_fs_read_subvolume(fs, subvolume, error);
	gboolean ok = info && read_inode(fs, &info->root, DPS_BTRFS_FIRST_FREE, out, error);

	dps_btrfs_subvolume_info_free(info);
	return ok;
}

/* Directories */

/* What an entry leads to: an inode of the same tree, or the top of another subvolume. */
static gboolean
follow(DpsBtrfsFs *fs, const DpsBtrfsRoot *root, const DpsBtrfsKey *location, DpsBtrfsInode *out,
       GError **error)
{
	g_autoptr(GError) local = NULL;
	gboolean ok;

	if (location->type == DPS_BTRFS_ROOT_ITEM)
		ok = dps_btrfs_fs_open_top(fs, location->objectid, out, &local);
	else
		ok = read_inode(fs, root, location->objectid, out, &local);
	if (ok)
		return TRUE;

	/* The name is there: that it leads nowhere is a fault of the file system. */
	if (g_error_matches(local, DPS_ERROR, DPS_ERROR_NOT_FOUND))
		return dps_throw(error, DPS_ERROR_CORRUPT, "directory entry: leads nowhere: %s",
				 local->message);
	g_propagate_error(error, g_steal_pointer(&local));
	return FALSE;
}

static gboolean
check_directory(const DpsBtrfsInode *dir, GError **error)
{
	if (!S_ISDIR(dir->mode))
		return dps_throw(error, DPS_ERROR_INVALID, "inode %" PRIu64 ": no directory",
				 dir->number);
	return TRUE;
}

gboolean
dps_btrfs_inode_lookup(DpsBtrfsFs *fs, const DpsBtrfsInode *dir, const char *name, size_t name_size,
		       DpsBtrfsInode *out, GError **error)
{
	g_auto(DpsBtrfsItem) item = { NULL };
	DpsBtrfsDirEntry entry;

	if (!check_directory(dir, error) ||
	    !dps_btrfs_fs_find_entry(fs, &dir->root, dir->number, name, name_size, &item, &entry,
				     error))
		return FALSE;
	if (!item.node)
		return dps_throw(error, DPS_ERROR_NOT_FOUND, "%.*s: no such file",
				 (int)MIN(name_size, 255), name);

	return follow(fs, &dir->root, &entry.location, out, error);
}

gboolean
dps_btrfs_inode_list(DpsBtrfsFs *fs, const DpsBtrfsInode *dir, DpsBtrfsNameFunc func, gpointer data,
		     GError **error)
{
	const DpsBtrfsKey from = { dir->number, DPS_BTRFS_DIR_INDEX, 0 };
	g_auto(DpsBtrfsItem) item = { NULL };

	if (!check_directory(dir, error) ||
	    !dps_btrfs_fs_search(fs, &dir->root, &from, &item, error))
		return FALSE;

	while (item.node && item.key.objectid == from.objectid && item.key.type == from.type) {
		g_autoptr(GError) local = NULL;
		DpsBtrfsDirEntry entry;
		DpsBtrfsInode inode;
		uint32_t at = 0;

		while (dps_btrfs_item_next_entry(&item, &at, &entry, &local)) {
			if (!dps_btrfs_is_name(entry.name, entry.name_size))
				return dps_throw(error, DPS_ERROR_CORRUPT,
						 "directory %" PRIu64
						 ": a name that no file can have",
						 dir->number);
			if (!follow(fs, &dir->root, &entry.location, &inode, error) ||
			    !func((const char *)entry.name, entry.name_size, &inode, data, error))
				return FALSE;
		}
		if (local) {
			g_propagate_error(error, g_steal_pointer(&local));
			return FALSE;
		}
		if (!dps_btrfs_fs_next(fs, &dir->root, &item, error))
			return FALSE;
	}
	return TRUE;
}

GBytes *
dps_btrfs_inode_get_attribute(DpsBtrfsFs *fs, const DpsBtrfsInode *inode, const char *name,
			      GError **error)
{
	const size_t name_size = strlen(name);
	/* Attributes are found as names of a directory are. */
	const DpsBtrfsKey key = { inode->number, DPS_BTRFS_XATTR_ITEM,
				  dps_crc32c_feed(~1u, (const uint8_t *)name, name_size) };
	g_auto(DpsBtrfsItem) item = { NULL };
	g_autoptr(GError) local = NULL;
	DpsBtrfsDirEntry entry;
	uint32_t at = 0;

	if (!dps_btrfs_fs_search(fs, &inode->root, &key, &item, error))
		return NULL;
	while (item.node && dps_btrfs_key_compare(&item.key, &key) == 0 &&
	       dps_btrfs_item_next_entry(&item, &at, &entry, &local))
		if (entry.name_size == name_size && memcmp(entry.name, name, name_size) == 0)
			return g_bytes_new(entry.data, entry.data_size);
	if (local) {
		g_propagate_error(error, g_steal_pointer(&local));
		return NULL;
	}
	return dps_throw_null(error, DPS_ERROR_NOT_FOUND, "%s: attribute is not set", name);
}

/* Contents */

static gboolean
parse_extent(const DpsBtrfsItem *item, Extent *out, GError **error)
{
	const uint8_t *p = item->data;
	Extent extent = { .start = item->key.offset };

	if (item->size < EXTENT_INLINE_DATA ||
	    (p[EXTENT_TYPE] != TYPE_INLINE && item->size < EXTENT_ITEM_SIZE))
		return dps_throw(error, DPS_ERROR_CORRUPT, "extent of inode %" PRIu64 ": cut short",
				 item->key.objectid);
	if (p[EXTENT_ENCRYPTION] != 0 || dps_load_le16(p + EXTENT_OTHER_ENCODING) != 0)
		return dps_throw(error, DPS_ERROR_UNSUPPORTED,
				 "extent of inode %" PRIu64 ": encrypted", item->key.objectid);

	extent.compression = p[EXTENT_COMPRESSION];
	extent.ram_size = dps_load_le64(p + EXTENT_RAM_BYTES);
	switch (p[EXTENT_TYPE]) {
	case TYPE_INLINE:
		extent.inline_bytes = p + EXTENT_INLINE_DATA;
		extent.inline_size = item->size - EXTENT_INLINE_DATA;
		if (extent.compression == DPS_COMPRESSION_NONE)
			extent.ram_size = extent.inline_size;
		extent.size = extent.ram_size;
		break;
	case TYPE_REGULAR:
	case TYPE_PREALLOCATED: /* allocated and not written: reads as zeros */
		extent.disk = dps_load_le64(p + EXTENT_DISK_BYTENR);
		extent.disk_size = dps_load_le64(p + EXTENT_DISK_NUM_BYTES);
		extent.offset = dps_load_le64(p + EXTENT_OFFSET);
		extent.size = dps_load_le64(p + EXTENT_NUM_BYTES);
		extent.is_hole = extent.disk == 0 || p[EXTENT_TYPE] == TYPE_PREALLOCATED;
		break;
	default:
		return dps_throw(error, DPS_ERROR_CORRUPT, "extent of inode %" PRIu64 ": type %u",
				 item->key.objectid, p[EXTENT_TYPE]);
	}

	if (extent.size == 0 || extent.size > UINT64_MAX - extent.start ||
	    (!extent.is_hole &&
	     (extent.offset > extent.ram_size || extent.size > extent.ram_size - extent.offset)))
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "extent of inode %" PRIu64 ": %" PRIu64 " bytes at %" PRIu64
				 " of %" PRIu64,
				 item->key.objectid, extent.size, extent.offset, extent.ram_size);
	if (extent.compression != DPS_COMPRESSION_NONE && !extent.is_hole &&
	    (extent.ram_size > MAX_COMPRESSED || extent.disk_size > MAX_COMPRESSED))
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "extent of inode %" PRIu64 ": %" PRIu64
				 " compressed bytes for %" PRIu64,
				 item->key.objectid, extent.disk_size, extent.ram_size);
	*out = extent;
	return TRUE;
}

/* Makes the decompressed bytes of @extent the cached ones. */
static gboolean
decompress(DpsBtrfsFile *self, const Extent *extent, GError **error)
{
	const uint32_t size = (uint32_t)extent->ram_size;
	g_autofree uint8_t *compressed = NULL;
	g_autofree uint8_t *bytes = NULL;
	const uint8_t *from = extent->inline_bytes;
	size_t from_size = extent->inline_size;

	if (self->cached && self->cached_at == extent->start && self->cached_size == size)
		return TRUE;

	if (!from) {
		from_size = (size_t)extent->disk_size;
		compressed = g_malloc(from_size);
		from = compressed;
		if (!dps_btrfs_fs_read(self->fs, extent->disk, compressed, from_size, error))
			return FALSE;
	}
	bytes = g_malloc(size);
	if (!dps_decompress(extent->compression, from, from_size, bytes, size, error))
		return FALSE;

	g_free(self->cached);
	self->cached = g_steal_pointer(&bytes);
	self->cached_at = extent->start;
	self->cached_size = size;
	return TRUE;
}

/* @size bytes of @extent, @at bytes from its start in the file; all of them are in it. */
static gboolean
read_extent(DpsBtrfsFile *self, const Extent *extent, uint64_t at, uint8_t *to, size_t size,
	    GError **error)
{
	if (extent->is_hole) {
		memset(to, 0, size);
		return TRUE;
	}
	if (extent->compression != DPS_COMPRESSION_NONE) {
		if (!decompress(self, extent, error))
			return FALSE;
		memcpy(to, self->cached + extent->offset + at, size);
		return TRUE;
	}
	if (extent->inline_bytes) {
		memcpy(to, extent->inline_bytes + at, size);
		return TRUE;
	}
	if (extent->offset + at > UINT64_MAX - extent->disk)
		return dps_throw(error, DPS_ERROR_CORRUPT, "extent at %" PRIu64 ": wraps",
				 extent->disk);
	return dps_btrfs_fs_read(self->fs, extent->disk + extent->offset + at, to, size, error);
}

/* The extent at @offset, or the hole up to the next one. */
static gboolean
find_extent(DpsBtrfsFile *self, uint64_t offset, DpsBtrfsItem *item, Extent *out, GError **error)
{
	const DpsBtrfsInode *inode = &self->inode;
	const DpsBtrfsKey key = { inode->number, DPS_BTRFS_EXTENT_DATA, offset };
	uint64_t end = UINT64_MAX;

	if (!dps_btrfs_fs_search_floor(self->fs, &inode->root, &key, item, error))
		return FALSE;
	if (item->node && item->key.objectid == key.objectid && item->key.type == key.type) {
		if (!parse_extent(item, out, error))
			return FALSE;
		if (offset - out->start < out->size)
			return TRUE;
	}

	/* Between extents (no-holes), or behind the last one. */
	if (!dps_btrfs_fs_search(self->fs, &inode->root, &key, item, error))
		return FALSE;
	if (item->node && item->key.objectid == key.objectid && item->key.type == key.type)
		end = item->key.offset;
	*out = (Extent){ .start = offset, .size = end - offset, .is_hole = TRUE };
	return TRUE;
}

DpsBtrfsFile *
dps_btrfs_file_new(DpsBtrfsFs *fs, const DpsBtrfsInode *inode)
{
	DpsBtrfsFile *self = g_new0(DpsBtrfsFile, 1);

	self->fs = fs;
	self->inode = *inode;
	return self;
}

void
dps_btrfs_file_free(DpsBtrfsFile *self)
{
	if (!self)
		return;

	g_free(self->cached);
	g_free(self);
}

gboolean
dps_btrfs_file_read(void *self, uint64_t offset, void *buffer, size_t size, GError **error)
{
	DpsBtrfsFile *file = self;
	uint8_t *to = buffer;

	if (offset > file->inode.size || size > file->inode.size - offset)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "bytes %" PRIu64 " + %" G_GSIZE_FORMAT
				 ": behind the end of the file",
				 offset, size);

	while (size > 0) {
		g_auto(DpsBtrfsItem) item = { NULL };
		Extent extent = { .is_hole = TRUE };
		size_t n;

		if (!find_extent(file, offset, &item, &extent, error))
			return FALSE;
		n = (size_t)MIN(extent.size - (offset - extent.start), size);
		if (!read_extent(file, &extent, offset - extent.start, to, n, error))
			return FALSE;
		to += n;
		offset += n;
		size -= n;
	}
	return TRUE;
}

char *
dps_btrfs_inode_read_link(DpsBtrfsFs *fs, const DpsBtrfsInode *inode, GError **error)
{
	g_autoptr(DpsBtrfsFile) file = dps_btrfs_file_new(fs, inode);
	g_autofree char *text = NULL;

	if (!S_ISLNK(inode->mode))
		return dps_throw_null(error, DPS_ERROR_INVALID,
				      "inode %" PRIu64 ": no symbolic link", inode->number);
	if (inode->size == 0 || inode->size >= MAX_LINK_SIZE)
		return dps_throw_null(error, DPS_ERROR_CORRUPT,
				      "inode %" PRIu64 ": symbolic link of %" PRIu64 " bytes",
				      inode->number, inode->size);

	text = g_malloc0(inode->size + 1);
	if (!dps_btrfs_file_read(file, 0, text, (size_t)inode->size, error))
		return NULL;
	return g_steal_pointer(&text);
}
