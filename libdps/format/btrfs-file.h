/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "format/btrfs.h"

/*
 * Files of a btrfs that is not mounted: names to inodes, directories, contents, extended
 * attributes.  Subvolumes that lie in a directory are walked into, as in a mount.  Data is read as
 * it lies there: the checksums of data are not looked up.
 */

/* A file of any kind.  A value. */
typedef struct {
	DpsBtrfsRoot root; /* the tree of its subvolume */
	uint64_t number;   /* in that tree */
	uint64_t size;	   /* bytes */
	uint32_t mode;	   /* as stat(2) has it: kind and permissions */
} DpsBtrfsInode;

/* The top directory of a subvolume: %DPS_ERROR_NOT_FOUND without one. */
gboolean dps_btrfs_fs_open_top(DpsBtrfsFs *fs, uint64_t subvolume, DpsBtrfsInode *out,
			       GError **error);

/**
 * dps_btrfs_inode_lookup:
 * @fs: a file system
 * @dir: a directory of it
 * @name: one name, no path
 * @name_size: bytes
 * @out: (out): set only on success
 * @error: %DPS_ERROR_NOT_FOUND: no such name; %DPS_ERROR_INVALID: @dir is no directory; and as for
 *   dps_btrfs_fs_search()
 *
 * Returns: %TRUE on success
 */
gboolean dps_btrfs_inode_lookup(DpsBtrfsFs *fs, const DpsBtrfsInode *dir, const char *name,
				size_t name_size, DpsBtrfsInode *out, GError **error);

/**
 * DpsBtrfsNameFunc:
 * @name: bytes, without a NUL behind them
 * @name_size: how many
 * @inode: what has this name
 * @data: what dps_btrfs_inode_list() was given
 * @error: why not
 *
 * Returns: whether to go on
 */
typedef gboolean (*DpsBtrfsNameFunc)(const char *name, size_t name_size, const DpsBtrfsInode *inode,
				     gpointer data, GError **error);

/* Calls @func for each name of a directory, in the order in which they were made. */
gboolean dps_btrfs_inode_list(DpsBtrfsFs *fs, const DpsBtrfsInode *dir, DpsBtrfsNameFunc func,
			      gpointer data, GError **error);

/* (transfer full): the value of an extended attribute, %DPS_ERROR_NOT_FOUND when it is not set */
GBytes *dps_btrfs_inode_get_attribute(DpsBtrfsFs *fs, const DpsBtrfsInode *inode, const char *name,
				      GError **error);

/* (transfer full): where a symbolic link leads, with a NUL behind it */
char *dps_btrfs_inode_read_link(DpsBtrfsFs *fs, const DpsBtrfsInode *inode, GError **error);

/* A regular file that is being read: keeps the extent that was decompressed last. */
typedef struct _DpsBtrfsFile DpsBtrfsFile;

DpsBtrfsFile *dps_btrfs_file_new(DpsBtrfsFs *fs, const DpsBtrfsInode *inode); /* borrows @fs */
void dps_btrfs_file_free(DpsBtrfsFile *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DpsBtrfsFile, dps_btrfs_file_free)

/**
 * dps_btrfs_file_read:
 * @self: (type DpsBtrfsFile): a file; a #DpsRegionReader
 * @offset: bytes
 * @buffer: room for @size bytes
 * @size: all of them must be below the file's size
 * @error: %DPS_ERROR_CORRUPT; %DPS_ERROR_UNSUPPORTED: encrypted, compressed in a way that this
 * build cannot read, or on another device; %DPS_ERROR_IO
 *
 * Returns: %TRUE on success
 */
gboolean dps_btrfs_file_read(void *self, uint64_t offset, void *buffer, size_t size,
			     GError **error);
