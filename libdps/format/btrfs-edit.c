/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/btrfs-edit.h"
#include "format/btrfs-subvolumes.h"
#include "ground/bytes.h"
#include "ground/error.h"

#include <inttypes.h>
#include <string.h>

/* What a device writes or does not, but never half: the least there is. */
#define SECTOR 512

#define INCOMPAT_DEFAULT_SUBVOL (UINT64_C(1) << 1)
#define INCOMPAT_ZONED (UINT64_C(1) << 12)
/* Free space tree, its valid bit, fs-verity, block group tree. */
#define COMPAT_RO_KNOWN UINT64_C(0xf)

/* Of struct btrfs_super_block's flags, these two are of no meaning on the medium. */
#define SUPER_FLAGS_HARMLESS UINT64_C(0x3) /* WRITTEN, RELOC */

static const struct {
	guint bit;
	const char *what;
} super_flags[] = {
	{ 2, "an error was recorded" },
	{ 32, "a seed device" },
	{ 33, "a metadata dump" },
	{ 34, "a metadata dump" },
	{ 35, "a change of its UUID was cut off" },
	{ 36, "a change of its UUID was cut off" },
	{ 38, "a conversion to the block group tree was cut off" },
	{ 39, "a change of its checksums was cut off" },
	{ 40, "a change of its checksums was cut off" },
};

/* struct btrfs_super_block, struct btrfs_dir_item. */
enum {
	SUPER_INCOMPAT = 188,
	SUPER_MAGIC = 64,
	LOCATION_SIZE = 17,
	TRANSID_LOW_SIZE = 4, /* as many bytes as a crc32c has */
	CHECKSUM_SIZE = DPS_CHECKSUM_MAX_SIZE,
};

/* One copy of the leaf with the default entry. */
typedef struct {
	uint64_t place; /* bytes, in the region */
	uint8_t *bytes;
	gboolean is_good;
} Copy;

typedef struct {
	const DpsRegion *region;
	DpsBtrfsFs *fs;
	const DpsBtrfsSuper *super;
	DpsBtrfsDefault current;
	Copy copies[DPS_BTRFS_MAX_COPIES];
	guint n_copies;
	const uint8_t *base; /* the first good copy: what the kernel sees */
	uint8_t *wanted;     /* the same with the new default and its true checksum */
	gboolean is_healing; /* copies differ, or one is bad */
} Edit;

static void
edit_free(Edit *self)
{
	for (guint i = 0; i < self->n_copies; i++)
		g_free(self->copies[i].bytes);
	g_free(self->wanted);
	dps_btrfs_fs_free(self->fs);
	g_free(self);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Edit, edit_free)

void
dps_btrfs_edit_clear(DpsBtrfsEdit *edit)
{
	g_clear_pointer(&edit->edits, g_ptr_array_unref);
	g_clear_pointer(&edit->note, g_free);
	edit->needs_journal = FALSE;
}

/* Refusals: what the file system as a whole is */

static gboolean
check_flags(const DpsBtrfsSuper *super, GError **error)
{
	for (guint i = 0; i < G_N_ELEMENTS(super_flags); i++)
		if (super->flags >> super_flags[i].bit & 1)
			return dps_throw(error, DPS_ERROR_REFUSED,
					 "%s (superblock flags %#" PRIx64
					 "): its default subvolume cannot be changed",
					 super_flags[i].what, super->flags);
	if (super->flags & ~SUPER_FLAGS_HARMLESS)
		return dps_throw(error, DPS_ERROR_UNSUPPORTED,
				 "superblock flags %#" PRIx64 ": not known",
				 super->flags & ~SUPER_FLAGS_HARMLESS);
	return TRUE;
}

static gboolean
check_super(const Edit *self, GError **error)
{
	const DpsBtrfsSuper *super = self->super;

	if (super->n_devices > 1)
		return dps_throw(error, DPS_ERROR_REFUSED,
				 "over %" PRIu64 " devices: mount it to change its default "
				 "subvolume",
				 super->n_devices);
	if (super->incompat & INCOMPAT_ZONED)
		return dps_throw(error, DPS_ERROR_UNSUPPORTED,
				 "zoned: nothing can be written in place");
	if (super->compat_ro & ~COMPAT_RO_KNOWN)
		return dps_throw(error, DPS_ERROR_UNSUPPORTED,
				 "read-only compatible features %#" PRIx64 ": not known",
				 super->compat_ro & ~COMPAT_RO_KNOWN);
	if (!check_flags(super, error))
		return FALSE;
	if (super->log_root != 0)
		return dps_throw(error, DPS_ERROR_REFUSED,
				 "a log tree to replay: it is in use, or was not unmounted: mount "
				 "and unmount it first");
	if (super->total_bytes > self->region->size ||
	    super->device_total_bytes > self->region->size)
		return dps_throw(error, DPS_ERROR_REFUSED,
				 "%" PRIu64 " bytes long in a partition of %" PRIu64,
				 MAX(super->total_bytes, super->device_total_bytes),
				 self->region->size);
	return TRUE;
}

/* A mount needs more than an entry of the root tree: the subvolume's own top directory. */
static gboolean
check_target(const Edit *self, uint64_t id, DpsBtrfsSubvolumeInfo *info, GError **error)
{
	const DpsBtrfsKey key = { DPS_BTRFS_FIRST_FREE, DPS_BTRFS_INODE_ITEM, 0 };
	g_auto(DpsBtrfsItem) item = { NULL };

	if (dps_btrfs_fs_lookup(self->fs, &info->root, &key, &item, error))
		return TRUE;

	dps_prefix_error(error, "subvolume %" PRIu64 ": ", id);
	return FALSE;
}

/* The leaf and its copies */

static gboolean
read_copies(Edit *self, GError **error)
{
	const uint32_t size = self->super->node_size;
	uint64_t places[DPS_BTRFS_MAX_COPIES];
	guint n_places;

	if (!dps_btrfs_fs_map(self->fs, self->current.logical, size, places, &n_places, error))
		return FALSE; /* not reached: it was mapped when the default was read from it */

	for (guint i = 0; i < n_places; i++) {
		Copy *copy = &self->copies[self->n_copies++];

		copy->place = places[i];
		copy->bytes = g_malloc(size);
		if (!dps_region_read(self->region, copy->place, copy->bytes, size, error))
			return FALSE;
		copy->is_good =
			dps_btrfs_fs_verify_node(self->fs, copy->bytes, self->current.logical,
						 self->current.generation, 0, NULL);
		if (copy->is_good && !self->base)
			self->base = copy->bytes;
		if (!copy->is_good)
			self->is_healing = TRUE;
	}
	/* One was good a moment ago, when the default was read from it. */
	if (!self->base)
		return dps_throw(error, DPS_ERROR_CHANGED,
				 "tree block %" PRIu64 ": changed while it was read",
				 self->current.logical);
	return TRUE;
}

/*
 * Copies of the same generation are the same, but for what a cut-off run of this editor leaves: the
 * default entry's location, and the checksum.
 */
static gboolean
compare_copies(Edit *self, GError **error)
{
	const uint32_t size = self->super->node_size;
	const uint32_t entry = self->current.offset, behind = entry + LOCATION_SIZE;

	for (guint i = 0; i < self->n_copies; i++) {
		const uint8_t *bytes = self->copies[i].bytes;

		if (!self->copies[i].is_good || memcmp(bytes, self->base, size) == 0)
			continue;
		self->is_healing = TRUE;
		if (memcmp(bytes + CHECKSUM_SIZE, self->base + CHECKSUM_SIZE,
			   entry - CHECKSUM_SIZE) != 0 ||
		    memcmp(bytes + behind, self->base + behind, size - behind) != 0)
			return dps_throw(error, DPS_ERROR_CORRUPT,
					 "tree block %" PRIu64
					 ": its copies are both valid and differ: run btrfs check",
					 self->current.logical);
	}
	return TRUE;
}

static gboolean
make_wanted(Edit *self, const DpsBtrfsSubvolumeInfo *info, GError **error)
{
	const uint32_t size = self->super->node_size;
	uint8_t *entry, sum[CHECKSUM_SIZE];

	self->wanted = g_memdup2(self->base, size);
	if (self->current.id == info->id)
		return TRUE; /* mkfs and the kernel write the top level's key differently: leave it
			      */

	/* As the kernel's set-default: the key of the ROOT_ITEM, for the top level with 0. */
	entry = self->wanted + self->current.offset;
	dps_store_le64(entry, info->id);
	entry[8] = DPS_BTRFS_ROOT_ITEM;
	dps_store_le64(entry + 9, info->id == DPS_BTRFS_FS_TREE ? 0 : info->root_offset);

	if (!dps_checksum_compute(self->super->checksum, self->wanted + CHECKSUM_SIZE,
				  size - CHECKSUM_SIZE, sum, error))
		return FALSE; /* not reached: the leaf was verified with it */
	memcpy(self->wanted, sum, dps_checksum_get_size(self->super->checksum));
	return TRUE;
}

/* The edits */

/* What differs between the copy and @new_bytes, in whole sectors of the region, as one edit. */
static void
add_copy_edit(const Edit *self, GPtrArray *edits, const Copy *copy, const uint8_t *new_bytes,
	      const char *what)
{
	const uint32_t size = self->super->node_size;
	uint32_t first = 0, behind = size;

	while (first < size && copy->bytes[first] == new_bytes[first])
		first++;
	if (first == size)
		return;
	while (copy->bytes[behind - 1] == new_bytes[behind - 1])
		behind--;

	/* Tree blocks start on sectors; where a medium says otherwise, the edit is just longer. */
	first -= first % SECTOR;
	behind = MIN(behind + (SECTOR - 1) - (behind + (SECTOR - 1)) % SECTOR, size);
	g_ptr_array_add(edits, dps_edit_new(copy->place + first, copy->bytes + first,
					    new_bytes + first, behind - first, what));
}

/* Whether the bytes of the copy from @from to @to are in one sector of the region. */
static gboolean
is_in_one_sector(const Copy *copy, uint32_t from, uint32_t to)
{
	return copy->place % SECTOR == 0 && from / SECTOR == (to - 1) / SECTOR;
}

/*
 * Gives the leaf the checksum that it had: the low four bytes of the entry's transid, which lies
 * right behind the location and which nobody reads, become those that lead the register from what
 * stands before them to what must stand behind them.
 */
static void
make_neutral(Edit *self)
{
	const uint32_t size = self->super->node_size;
	const uint32_t at = self->current.offset + LOCATION_SIZE, behind = at + TRANSID_LOW_SIZE;
	uint8_t *bytes = self->wanted;
	uint32_t before, after;

	memcpy(bytes, self->base, CHECKSUM_SIZE);
	before = dps_crc32c_feed(UINT32_MAX, bytes + CHECKSUM_SIZE, at - CHECKSUM_SIZE);
	after = dps_crc32c_unfeed(~dps_load_le32(bytes), bytes + behind, size - behind);
	dps_crc32c_bridge(before, after, bytes + at);
}

static void
add_only_copy(Edit *self, DpsBtrfsEdit *out)
{
	const Copy *copy = &self->copies[0];
	const uint32_t entry = self->current.offset;

	if (is_in_one_sector(copy, 0, entry + LOCATION_SIZE)) {
		add_copy_edit(self, out->edits, copy, self->wanted, "leaf of the default");
		return;
	}
	if (self->super->checksum == DPS_CHECKSUM_CRC32C &&
	    is_in_one_sector(copy, entry, entry + LOCATION_SIZE + TRANSID_LOW_SIZE)) {
		make_neutral(self);
		add_copy_edit(self, out->edits, copy, self->wanted, "default entry");
		out->note = g_strdup("one copy of the metadata: written as a single sector whose "
				     "checksum stays the same; the entry's transid takes up the "
				     "difference");
		return;
	}
	add_copy_edit(self, out->edits, copy, self->wanted, "leaf of the default");
	out->needs_journal = TRUE;
	out->note = g_strdup_printf("one copy of the metadata with checksum %s: written through a "
				    "journal file beside the image",
				    dps_checksum_get_name(self->super->checksum));
}

static void
add_copies(Edit *self, DpsBtrfsEdit *out)
{
	/* Never touch a good one while a bad one is there. */
	for (guint i = self->n_copies; i-- > 0;)
		if (!self->copies[i].is_good)
			add_copy_edit(self, out->edits, &self->copies[i], self->wanted,
				      "bad copy of the leaf");
	for (guint i = self->n_copies; i-- > 0;)
		if (self->copies[i].is_good)
			add_copy_edit(self, out->edits, &self->copies[i], self->wanted,
				      "copy of the leaf");

	out->note = g_strdup(
		self->is_healing ? "copies of the metadata differ, as a write that was cut off "
				   "leaves them: made the same again, one after the other"
				 : "written in place, one copy of the metadata after the other");
}

static gboolean
read_super_copy(const Edit *self, uint64_t offset, uint8_t *bytes, gboolean *is_ours,
		GError **error)
{
	DpsBtrfsSuper copy;

	*is_ours = FALSE;
	if (!dps_region_read(self->region, offset, bytes, DPS_BTRFS_SUPER_SIZE, error))
		return FALSE;
	/* Overwritten by somebody: nothing that this file system ever reads again. */
	if (memcmp(bytes + SUPER_MAGIC, "_BHRfS_M", 8) != 0)
		return TRUE;
	if (!dps_btrfs_super_parse(bytes, offset, &copy, error))
		return FALSE;
	if (memcmp(copy.fsid, self->super->fsid, DPS_BTRFS_UUID_SIZE) != 0)
		return TRUE;
	if (copy.generation != self->super->generation)
		return dps_throw(error, DPS_ERROR_REFUSED,
				 "superblock at byte %" PRIu64 ": generation %" PRIu64
				 " where the first has %" PRIu64
				 ": mount and unmount it, or run btrfs rescue super-recover",
				 offset, copy.generation, self->super->generation);
	*is_ours = TRUE;
	return TRUE;
}

/* Last to first: the one that the kernel mounts by comes last. */
static gboolean
add_super_copies(const Edit *self, gboolean set_flag, GPtrArray *edits, GError **error)
{
	for (guint i = DPS_BTRFS_MAX_SUPERS; i-- > 0;) {
		uint8_t old_bytes[DPS_BTRFS_SUPER_SIZE], new_bytes[DPS_BTRFS_SUPER_SIZE];
		uint8_t sum[CHECKSUM_SIZE];
		uint64_t incompat, offset;
		gboolean is_ours;

		if (!dps_btrfs_super_get_offset(self->super, i, &offset))
			continue;
		/* All of them are read also when none is written: they must be sound. */
		if (!read_super_copy(self, offset, old_bytes, &is_ours, error))
			return FALSE;
		incompat = dps_load_le64(old_bytes + SUPER_INCOMPAT);
		if (!is_ours || !set_flag || (incompat & INCOMPAT_DEFAULT_SUBVOL))
			continue;

		memcpy(new_bytes, old_bytes, sizeof(new_bytes));
		dps_store_le64(new_bytes + SUPER_INCOMPAT, incompat | INCOMPAT_DEFAULT_SUBVOL);
		if (!dps_checksum_compute(self->super->checksum, new_bytes + CHECKSUM_SIZE,
					  sizeof(new_bytes) - CHECKSUM_SIZE, sum, error))
			return FALSE; /* not reached: the superblock was verified with it */
		memcpy(new_bytes, sum, dps_checksum_get_size(self->super->checksum));
		/* The flag and the checksum are both in the first sector. */
		g_ptr_array_add(edits,
				dps_edit_new(offset, old_bytes, new_bytes, SECTOR, "superblock"));
	}
	return TRUE;
}

static gboolean
make_edits(Edit *self, const DpsBtrfsSubvolumeInfo *info, DpsBtrfsEdit *out, GError **error)
{
	const gboolean changes = self->current.id != info->id;
	/* The top level needs no flag: mkfs does not set it either. */
	const gboolean wants_flag = changes || info->id != DPS_BTRFS_FS_TREE;

	out->edits = dps_edit_list_new();
	if (!add_super_copies(self, wants_flag, out->edits, error))
		return FALSE;
	if (!changes && !self->is_healing)
		return TRUE;
	if (self->n_copies == 1)
		add_only_copy(self, out);
	else
		add_copies(self, out);
	return TRUE;
}

static gboolean
prepare(Edit *self, uint64_t id, DpsBtrfsSubvolumeInfo **info, GError **error)
{
	self->fs = dps_btrfs_fs_open(self->region, error);
	if (!self->fs)
		return FALSE;
	self->super = dps_btrfs_fs_get_super(self->fs);
	if (!check_super(self, error))
		return FALSE;
	*info = dps_btrfs_fs_read_subvolume(self->fs, id, error);
	if (!*info || !check_target(self, id, *info, error) ||
	    !dps_btrfs_fs_read_default(self->fs, &self->current, error))
		return FALSE;
	if (!self->current.exists)
		return dps_throw(error, DPS_ERROR_REFUSED,
				 "its root tree has no entry for a default subvolume: mount it to "
				 "change its default subvolume");

	return read_copies(self, error) && compare_copies(self, error) &&
	       make_wanted(self, *info, error);
}

static void
say_read_only(DpsBtrfsEdit *out, const DpsBtrfsSubvolumeInfo *info)
{
	g_autofree char *before = g_steal_pointer(&out->note);

	out->note = g_strdup_printf("%s%ssubvolume %" PRIu64
				    " is read-only, and so will be what is mounted from it",
				    before ? before : "", before ? "; " : "", info->id);
}

gboolean
dps_btrfs_edit_default(const DpsRegion *region, uint64_t id, DpsBtrfsEdit *out, GError **error)
{
	g_autoptr(Edit) self = g_new0(Edit, 1);
	DpsBtrfsSubvolumeInfo *info = NULL;
	g_auto(DpsBtrfsEdit) edit = { NULL };
	gboolean ok;

	self->region = region;
	ok = prepare(self, id, &info, error) && make_edits(self, info, &edit, error);
	if (ok && info->is_read_only && self->current.id != id)
		say_read_only(&edit, info);
	dps_btrfs_subvolume_info_free(info);
	if (!ok)
		return FALSE;

	*out = edit;
	edit = (DpsBtrfsEdit){ NULL };
	return TRUE;
}
