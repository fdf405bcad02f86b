/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdint.h>
#include "format/checksum.h"
#include "ground/region.h"

/*
 * btrfs as it lies on one device, read only: superblock, chunks and tree search.  On top of them
 * btrfs-subvolumes has the subvolumes and which of them is the default, btrfs-file has files.
 *
 * Nothing is read that is not asked for: chunks and tree blocks are looked up one by one, so that
 * a small question to a large file system costs a few blocks.  Every tree block is verified
 * (checksum, place, owner's file system, generation, level, key order) before it is believed, and
 * a block whose first copy is bad is taken from the second.  What one object may read in all is
 * bounded, whatever the medium says.
 *
 * The layout is that of the kernel's include/uapi/linux/btrfs_tree.h and of
 * https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html.  All integers are little-endian.
 */
typedef struct _DpsBtrfsFs DpsBtrfsFs;

#define DPS_BTRFS_SUPER_SIZE 4096
#define DPS_BTRFS_MAX_SUPERS 3
#define DPS_BTRFS_MAX_COPIES 4 /* of a tree block: RAID1C4 */
#define DPS_BTRFS_UUID_SIZE 16

/* Objects and types of items that are named outside of the reader. */
#define DPS_BTRFS_ROOT_TREE 1
#define DPS_BTRFS_FS_TREE 5 /* the top level subvolume */
/* The least number of a subvolume, and of an inode: the top directory of each subvolume has it. */
#define DPS_BTRFS_FIRST_FREE 256
#define DPS_BTRFS_LAST_FREE (UINT64_MAX - 255)

#define DPS_BTRFS_INODE_ITEM 1
#define DPS_BTRFS_INODE_REF 12
#define DPS_BTRFS_XATTR_ITEM 24
#define DPS_BTRFS_DIR_ITEM 84
#define DPS_BTRFS_DIR_INDEX 96
#define DPS_BTRFS_EXTENT_DATA 108
#define DPS_BTRFS_ROOT_ITEM 132
#define DPS_BTRFS_ROOT_BACKREF 144
#define DPS_BTRFS_CHUNK_ITEM 228

/* A superblock, as far as somebody asks for it. */
typedef struct {
	uint8_t fsid[DPS_BTRFS_UUID_SIZE];	    /* what blkid shows */
	uint8_t metadata_uuid[DPS_BTRFS_UUID_SIZE]; /* what tree blocks carry; often the same */
	uint64_t bytenr, flags, generation;
	uint64_t root, chunk_root, chunk_root_generation, log_root;
	uint64_t total_bytes, root_dir, n_devices;
	uint64_t compat_ro, incompat;
	uint64_t device_id, device_total_bytes;
	uint32_t sector_size, node_size, sys_array_size;
	uint16_t checksum;
	uint8_t root_level, chunk_root_level;
} DpsBtrfsSuper;

typedef struct {
	uint64_t objectid;
	uint8_t type;
	uint64_t offset;
} DpsBtrfsKey;

int dps_btrfs_key_compare(const DpsBtrfsKey *a, const DpsBtrfsKey *b);

/* Where a tree starts. */
typedef struct {
	uint64_t logical, generation;
	uint8_t level;
} DpsBtrfsRoot;

/* A tree block, verified. */
typedef struct _DpsBtrfsNode DpsBtrfsNode;

/* One item of a leaf, which it keeps alive. */
typedef struct {
	DpsBtrfsNode *node; /* NULL: none */
	DpsBtrfsKey key;
	const uint8_t *data;
	uint32_t size;	 /* bytes of data */
	uint32_t offset; /* bytes: where data starts in the block */
	uint32_t slot;
} DpsBtrfsItem;

void dps_btrfs_item_clear(DpsBtrfsItem *item);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(DpsBtrfsItem, dps_btrfs_item_clear)

/* One entry of a directory, as DIR_ITEM, DIR_INDEX and XATTR_ITEM have it. */
typedef struct {
	DpsBtrfsKey location;
	uint64_t transid;
	const uint8_t *name, *data;
	uint16_t name_size, data_size;
	uint8_t type;
	uint32_t offset; /* bytes: where it starts in the item's data */
} DpsBtrfsDirEntry;

/**
 * dps_btrfs_fs_open:
 * @region: the bytes of the device
 * @error: %DPS_ERROR_UNSUPPORTED: no btrfs, or one with features that are not known here;
 *   %DPS_ERROR_CORRUPT; %DPS_ERROR_IO
 *
 * Reads the first superblock, which is the one that the kernel mounts by.
 *
 * Returns: (transfer full): the file system, %NULL on failure
 */
DpsBtrfsFs *dps_btrfs_fs_open(const DpsRegion *region, GError **error);
void dps_btrfs_fs_free(DpsBtrfsFs *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DpsBtrfsFs, dps_btrfs_fs_free)

const DpsBtrfsSuper *dps_btrfs_fs_get_super(DpsBtrfsFs *self);

/* Where the copies of the superblock are, first to last; %FALSE past the last one. */
gboolean dps_btrfs_super_get_offset(const DpsBtrfsSuper *super, guint copy, uint64_t *offset);

/**
 * dps_btrfs_super_parse:
 * @bytes: %DPS_BTRFS_SUPER_SIZE bytes
 * @offset: where they lie on the device
 * @out: (out): set only on success
 * @error: as for dps_btrfs_fs_open()
 *
 * Checks the signature, the checksum, and that sizes and counts are such as a mount accepts.
 *
 * Returns: %TRUE on success
 */
gboolean dps_btrfs_super_parse(const uint8_t *bytes, uint64_t offset, DpsBtrfsSuper *out,
			       GError **error);

/**
 * dps_btrfs_fs_search:
 * @self: a file system
 * @root: one of its trees
 * @from: the least key that is wanted
 * @out: (inout): what it held is cleared; the first item with a key of at least @from, or its node
 *   is %NULL when there is none
 * @error: %DPS_ERROR_CORRUPT; %DPS_ERROR_UNSUPPORTED: it is on another device; %DPS_ERROR_IO
 *
 * Returns: %TRUE on success
 */
gboolean dps_btrfs_fs_search(DpsBtrfsFs *self, const DpsBtrfsRoot *root, const DpsBtrfsKey *from,
			     DpsBtrfsItem *out, GError **error);

/* The last item with a key of at most @key, else as dps_btrfs_fs_search(). */
gboolean dps_btrfs_fs_search_floor(DpsBtrfsFs *self, const DpsBtrfsRoot *root,
				   const DpsBtrfsKey *key, DpsBtrfsItem *out, GError **error);

/* The item behind @item, as dps_btrfs_fs_search() gives it. */
gboolean dps_btrfs_fs_next(DpsBtrfsFs *self, const DpsBtrfsRoot *root, DpsBtrfsItem *item,
			   GError **error);

/* The item with exactly this key: %DPS_ERROR_NOT_FOUND without one. */
gboolean dps_btrfs_fs_lookup(DpsBtrfsFs *self, const DpsBtrfsRoot *root, const DpsBtrfsKey *key,
			     DpsBtrfsItem *out, GError **error);

/**
 * dps_btrfs_fs_find_entry:
 * @self: a file system
 * @root: one of its trees
 * @dir: the number of a directory's inode
 * @name: a name in it
 * @name_size: bytes
 * @item: (inout): the DIR_ITEM; its node is %NULL when there is no such name
 * @entry: (out): the entry in @item
 * @error: as for dps_btrfs_fs_search()
 *
 * Returns: %TRUE on success
 */
gboolean dps_btrfs_fs_find_entry(DpsBtrfsFs *self, const DpsBtrfsRoot *root, uint64_t dir,
				 const void *name, size_t name_size, DpsBtrfsItem *item,
				 DpsBtrfsDirEntry *entry, GError **error);

/*
 * Whether a file or subvolume can have this name.  Linux gives nothing of a directory in which one
 * cannot: fs/readdir.c, verify_dirent_name().
 */
gboolean dps_btrfs_is_name(const uint8_t *name, size_t size);

/* The entry at *@at of @item, and moves *@at behind it; %FALSE without an error at the end. */
gboolean dps_btrfs_item_next_entry(const DpsBtrfsItem *item, uint32_t *at, DpsBtrfsDirEntry *entry,
				   GError **error);

/**
 * dps_btrfs_fs_map:
 * @self: a file system
 * @logical: an address of the file system
 * @size: bytes, at least 1; all must be in one chunk
 * @places: (out): where its copies are on this device, in bytes, the kernel's first choice first
 * @n_places: (out): how many
 * @error: %DPS_ERROR_CORRUPT; %DPS_ERROR_UNSUPPORTED: striped, or on another device
 *
 * Returns: %TRUE when there is at least one on this device
 */
gboolean dps_btrfs_fs_map(DpsBtrfsFs *self, uint64_t logical, uint32_t size,
			  uint64_t places[DPS_BTRFS_MAX_COPIES], guint *n_places, GError **error);

/**
 * dps_btrfs_fs_read:
 * @self: a file system
 * @logical: an address of the file system
 * @buffer: room for @size bytes
 * @size: bytes, at most 4 GiB; all must be in one chunk
 * @error: as for dps_btrfs_fs_map(); %DPS_ERROR_IO
 *
 * Data as it lies there, from its first copy that can be read.
 *
 * Returns: %TRUE on success
 */
gboolean dps_btrfs_fs_read(DpsBtrfsFs *self, uint64_t logical, void *buffer, size_t size,
			   GError **error);

/* Gives back what may be read in all: each new question may cost as much as the first. */
void dps_btrfs_fs_renew(DpsBtrfsFs *self);

/**
 * dps_btrfs_fs_verify_node:
 * @self: a file system
 * @bytes: as many as its node size: one copy of a tree block
 * @logical: the address that it was read for
 * @generation: what its parent says
 * @level: what its parent says
 * @error: %DPS_ERROR_CORRUPT: what is wrong with it
 *
 * Returns: whether it is that tree block
 */
gboolean dps_btrfs_fs_verify_node(DpsBtrfsFs *self, const uint8_t *bytes, uint64_t logical,
				  uint64_t generation, uint8_t level, GError **error);
