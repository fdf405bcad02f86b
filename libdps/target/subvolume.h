/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dps/disk.h>
#include "ground/region.h"
#include "target/medium.h"

/*
 * The subvolumes of one btrfs and its default: one interface, whether the file system is mounted
 * (libbtrfsutil) or not (format/btrfs, an in-place edit).
 */
typedef struct _DpsBtrfs DpsBtrfs;

struct _DpsSubvolume {
	uint64_t id;
	char *path; /* from the top level, "/" is the top level itself; UTF-8 for people */
};

#define DPS_BTRFS_TOP_LEVEL 5 /* the id of the top level; btrfs' FS_TREE_OBJECTID */

/**
 * dps_btrfs_open_mounted:
 * @fd: a directory of the mounted file system; kept open as long as the object
 * @error: %DPS_ERROR_PERMISSION, %DPS_ERROR_IO, %DPS_ERROR_UNSUPPORTED: no btrfs
 *
 * Returns: (transfer full): its subvolumes, %NULL on failure
 */
DpsBtrfs *dps_btrfs_open_mounted(int fd, GError **error);

/**
 * dps_btrfs_open_offline:
 * @region: the bytes of the partition
 * @error: %DPS_ERROR_CORRUPT, %DPS_ERROR_UNSUPPORTED, %DPS_ERROR_IO
 *
 * Returns: (transfer full): its subvolumes, %NULL on failure
 */
DpsBtrfs *dps_btrfs_open_offline(const DpsRegion *region, GError **error);

void dps_btrfs_free(DpsBtrfs *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DpsBtrfs, dps_btrfs_free)

gboolean dps_btrfs_is_mounted(DpsBtrfs *self);
guint64 dps_btrfs_get_n_devices(DpsBtrfs *self);
GPtrArray *dps_btrfs_get_subvolumes(DpsBtrfs *self); /* (element-type DpsSubvolume), by id */
uint64_t dps_btrfs_get_default_id(DpsBtrfs *self);   /* may dangle */

/* (nullable): the subvolume with this id, or this path ("root", "/root/"; "/": the top level) */
const DpsSubvolume *dps_btrfs_find_id(DpsBtrfs *self, uint64_t id);
const DpsSubvolume *dps_btrfs_find_path(DpsBtrfs *self, const char *path);

/**
 * dps_btrfs_check_writable:
 * @self: a btrfs
 * @id: the subvolume that is to become the default
 * @note: (out) (transfer full) (nullable): what the plan must say of how it will be written
 * @error: %DPS_ERROR_REFUSED, %DPS_ERROR_NOT_FOUND: why dps_btrfs_set_default() would refuse
 *
 * Returns: whether the default can be set to @id
 */
gboolean dps_btrfs_check_writable(DpsBtrfs *self, uint64_t id, char **note, GError **error);

/**
 * dps_btrfs_set_default:
 * @self: a btrfs; that of an unmounted one is read again before it is written
 * @id: a subvolume that exists
 * @path: the image file or the partition's node, for the offline edit; of no meaning when mounted
 * @start: bytes: where in @path the file system starts
 * @error: what dps_btrfs_check_writable() says; %DPS_ERROR_IO
 *
 * Mounted: one ioctl and a sync of this file system.  Else the edits of format/btrfs-edit.  Reads
 * back and compares.
 *
 * Returns: %TRUE when @id is the default, on the medium
 */
gboolean dps_btrfs_set_default(DpsBtrfs *self, uint64_t id, DpsMedium *medium, uint64_t start,
			       GError **error);
