/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dps/disk.h>
#include <dps/tree.h>
#include "target/files.h"

/* Root file systems inside a disk or an image, read without a mount. */

/* Whether a partition has a root file system.  A value. */
typedef struct {
	guint partition;
	char *fs_type;	       /* as blkid names it; NULL: what it holds cannot be read */
	char *os;	       /* what its os-release calls it; NULL: it holds no system */
	uint64_t subvolume_id; /* btrfs: where that os-release is; else 0 */
	char *subvolume;       /* the path of that subvolume; else NULL */
	char *directory;       /* image mode: the deployment that is its root; else NULL */
	char *problem;	       /* why it cannot be told, one line; else NULL */
} DpsImageRoot;

/**
 * dps_image_list_roots:
 * @disk: a disk
 *
 * Looks into every partition that can be root by its content: a file system that is not FAT, or
 * LUKS, or what cannot be read and has the type of a root or the generic one.  The system of a
 * btrfs is in its default subvolume, else in the one of `root`, `@` and
 * `@rootfs` (as Fedora, SUSE and Ubuntu, Debian name it) that has an os-release.  In image mode
 * (ostree, bootc) it is not at the top but in a directory below ostree/deploy.
 *
 * Returns: (transfer full) (element-type DpsImageRoot): what was looked into, in the order of the
 *   table
 */
GPtrArray *dps_image_list_roots(DpsDisk *disk);

/**
 * dps_image_open_files:
 * @partition: a partition
 * @subvolume_id: btrfs: the subvolume whose top is "/"; 0: the default one
 * @fd: (out): what they read through, which the caller closes after them
 * @error: %DPS_ERROR_UNSUPPORTED: what it holds cannot be read here; what the reader says
 *
 * They stay as they are when the disk is read anew.
 *
 * Returns: (transfer full): the files of a partition that is not mounted, %NULL on failure
 */
DpsFiles *dps_image_open_files(DpsPartition *partition, uint64_t subvolume_id, int *fd,
			       GError **error);

/**
 * dps_image_open_tree:
 * @disk: a disk
 * @number: that of one of its partitions
 * @error: %DPS_ERROR_NOT_FOUND: no os-release in it; %DPS_ERROR_UNSUPPORTED: it cannot be read here
 *
 * Returns: (transfer full): the tree in that partition, %NULL on failure
 */
DpsTree *dps_image_open_tree(DpsDisk *disk, guint number, GError **error);

/**
 * dps_image_find_arch:
 * @partition: a partition that holds the root or the /usr of a system
 *
 * Returns: the architecture of its programs, else the one that its os-release says;
 *   %DPS_ARCH_NONE when nothing does, or it cannot be read
 */
DpsArch dps_image_find_arch(DpsPartition *partition);
