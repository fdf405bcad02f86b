/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "target/disk.h"
#include "target/tree.h"

/*
 * Where on a disk the mount points of a tree are: by what is mounted, and by its fstab, as far as
 * these prove it.
 */

/* One mount point of the tree, and where it is. */
typedef struct {
	const char *mount_point; /* "/" also for what image mode has at /sysroot; NULL for swap */
	const DpsMount *mount;	 /* NULL: not mounted */
	const DpsFstabEntry *entry; /* NULL: not in fstab */
	DpsPartition *partition;    /* NULL: not on a partition of this disk */
	char *reason;		    /* how it is known; or why it is not on one, one line */
} DpsPlace;

void dps_place_clear(DpsPlace *place);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(DpsPlace, dps_place_clear)

/* Whether the tree's root is mounted from @disk: then mounts count, and fstab after them; and the
 * nodes that its fstab names are this machine's. */
gboolean dps_place_is_root_mounted(DpsDisk *disk, DpsTree *tree);

/* Returns: whether the tree has the mount point; @place is set then. */
gboolean dps_place_find(DpsDisk *disk, DpsTree *tree, const char *mount_point, gboolean use_mounts,
			DpsPlace *place);

DpsPlace dps_place_of_entry(DpsDisk *disk, DpsTree *tree, const DpsFstabEntry *entry);

/* Of swap that is in use and stands on a device. */
DpsPlace dps_place_of_swap(DpsDisk *disk, const DpsSwap *swap);
