/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "format/btrfs.h"

/*
 * The subvolumes of a btrfs: which there are, where in each other they lie, and which of them is
 * mounted when nobody names one.  Their root items and names are in the root tree.
 */

/* What the "default" entry of the root tree says, and where it is. */
typedef struct {
	gboolean exists;      /* without one the kernel mounts the top level */
	uint64_t id;	      /* of the default subvolume; it may not exist */
	DpsBtrfsKey location; /* (id, ROOT_ITEM, offset) */
	uint64_t logical;     /* of the leaf that has the entry */
	uint64_t generation;  /* of that leaf */
	uint32_t offset;      /* bytes: where the entry starts in that leaf */
} DpsBtrfsDefault;

/* A subvolume.  Snapshots are subvolumes. */
typedef struct {
	uint64_t id;
	uint64_t root_offset; /* of the key of its ROOT_ITEM: a snapshot's transid, else 0 */
	uint64_t parent;      /* id of the subvolume that it lies in; 0 for the top level */
	DpsBtrfsRoot root;
	gboolean is_read_only;
	char *path; /* from the top level, without a leading slash, as bytes; "" the top level */
} DpsBtrfsSubvolumeInfo;

void dps_btrfs_subvolume_info_free(DpsBtrfsSubvolumeInfo *info);

/* The default: what a mount without subvol= mounts. */
gboolean dps_btrfs_fs_read_default(DpsBtrfsFs *self, DpsBtrfsDefault *out, GError **error);

/**
 * dps_btrfs_fs_read_subvolume:
 * @self: a file system
 * @id: the number of a subvolume
 * @error: %DPS_ERROR_NOT_FOUND: no such subvolume, or one that is deleted; and as for
 *   dps_btrfs_fs_search()
 *
 * Its path is not looked for: %NULL.
 *
 * Returns: (transfer full): the subvolume, %NULL on failure
 */
DpsBtrfsSubvolumeInfo *dps_btrfs_fs_read_subvolume(DpsBtrfsFs *self, uint64_t id, GError **error);

/**
 * dps_btrfs_fs_list_subvolumes:
 * @self: a file system
 * @error: as for dps_btrfs_fs_search(); %DPS_ERROR_UNSUPPORTED: there are too many
 *
 * All that are not deleted, the top level too.
 *
 * Returns: (transfer full) (element-type DpsBtrfsSubvolumeInfo): by id, %NULL on failure
 */
GPtrArray *dps_btrfs_fs_list_subvolumes(DpsBtrfsFs *self, GError **error);
