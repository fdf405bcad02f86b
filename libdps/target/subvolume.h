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
	char *path;  /* from the top level, "/" is the top level itself; cleaned for people */
	char *bytes; /* the same without a slash in front, as the file system has it */
	gboolean is_snapshot;
};

#define DPS_BTRFS_TOP_LEVEL 5 /* the id of the top level; btrfs' FS_TREE_OBJECTID */

/**
 * dps_btrfs_open_mounted:
 * @fd: a file or directory of the mounted file system; the object keeps a descriptor of its own
 * @error: %DPS_ERROR_PERMISSION: only CAP_SYS_ADMIN may ask; %DPS_ERROR_IO;
 *   %DPS_ERROR_UNSUPPORTED: no btrfs
 *
 * Returns: (transfer full): its subvolumes, %NULL on failure
 */
DpsBtrfs *dps_btrfs_open_mounted(int fd, GError **error);

/**
 * dps_btrfs_open_offline:
 * @region: the bytes of the partition; what is below it must live as long as the object
 * @error: %DPS_ERROR_CORRUPT, %DPS_ERROR_UNSUPPORTED, %DPS_ERROR_IO
 *
 * Of a file system over several devices, this one may not have what is asked for: the list is then
 * empty and the default 0; dps_btrfs_get_n_devices() is right always.
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
 * @error: %DPS_ERROR_REFUSED, %DPS_ERROR_NOT_FOUND, %DPS_ERROR_PERMISSION and what reading says:
 *   why dps_btrfs_set_default() would refuse
 *
 * What is right already can always be set: there is nothing to write, unless @note tells of it.
 *
 * Returns: whether the default can be set to @id
 */
gboolean dps_btrfs_check_writable(DpsBtrfs *self, uint64_t id, char **note, GError **error);

/* Whether there is anything to write for @id to be the default: it is another one, or a write that
 * was cut off left copies that differ (dps_btrfs_check_writable() tells of them). */
gboolean dps_btrfs_needs_write(DpsBtrfs *self, uint64_t id);

/* What was written for an offline default, so that it can be put back to the byte. */
typedef struct {
	GPtrArray *edits; /* (element-type DpsEdit); NULL: nothing of it is there */
	gboolean needs_journal;
} DpsBtrfsWritten;

void dps_btrfs_written_clear(DpsBtrfsWritten *written);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(DpsBtrfsWritten, dps_btrfs_written_clear)

/**
 * dps_btrfs_set_default:
 * @self: a btrfs; that of an unmounted one is read again before it is written
 * @id: a subvolume that exists
 * @medium: (nullable): where to write the offline edit: the image file, or the partition's own
 *   node, opened for it (%DPS_OPEN_WRITABLE | %DPS_OPEN_NO_LOCK: the lock is that of the whole
 *   disk); never the whole disk of a partition that has a node, as their page caches differ; of
 *   no meaning when mounted
 * @start: bytes: where on @medium the file system starts; 0 for a partition's own node
 * @written: (out) (optional): set also on failure: what of it may be there; clear it with
 *   dps_btrfs_written_clear(); empty when mounted
 * @error: what dps_btrfs_check_writable() says; %DPS_ERROR_IO
 *
 * Mounted: one ioctl and a sync of this file system.  Else the edits of format/btrfs-edit, through
 * a journal where they need one (target/journal).  Reads back and compares.  Offline the edits are
 * those that the medium needs at this moment; on failure they are put back.
 *
 * Returns: %TRUE when @id is the default, on the medium
 */
gboolean dps_btrfs_set_default(DpsBtrfs *self, uint64_t id, DpsMedium *medium, uint64_t start,
			       DpsBtrfsWritten *written, GError **error);

/**
 * dps_btrfs_put_back:
 * @written: what dps_btrfs_set_default() wrote
 * @medium: where it was written, and
 * @start: from where on
 * @error: %DPS_ERROR_CHANGED: somebody else wrote there since; %DPS_ERROR_IO
 *
 * Puts the old bytes back, as safely as the new ones were written.
 *
 * Returns: %TRUE when the file system is what it was
 */
gboolean dps_btrfs_put_back(const DpsBtrfsWritten *written, DpsMedium *medium, uint64_t start,
			    GError **error);

/**
 * dps_btrfs_subvolume_of_fd:
 * @fd: a file or directory of a mounted btrfs
 * @id: (out): the subvolume that it is in
 * @path: (out) (transfer full) (nullable): its path from the top level, "/" the top level, UTF-8;
 *   %NULL when the caller may not ask (it takes CAP_SYS_ADMIN)
 * @error: %DPS_ERROR_UNSUPPORTED: no btrfs; %DPS_ERROR_IO
 *
 * Asked of the file system: mountinfo does not say it where an overlay is in between.
 *
 * Returns: %TRUE on success
 */
gboolean dps_btrfs_subvolume_of_fd(int fd, uint64_t *id, char **path, GError **error);
