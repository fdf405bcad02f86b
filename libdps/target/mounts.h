/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "target/blockdev.h"

/*
 * What is mounted in a tree, and what it stands on: of the lines of mountinfo those that can be
 * reached by a path, each with its devices, and of a btrfs the subvolume.
 */

/* Something that is mounted at or below the tree's root. */
typedef struct {
	char *mount_point; /* as the tree sees it: "/", "/boot/efi" */
	char *path;	   /* as this process can open it */
	char *fs_type;
	char *source;  /* as mountinfo has it */
	char *options; /* of the mount and of the file system, joined by a comma */
	GPtrArray *
		backings; /* (element-type DpsBacking): what it stands on; empty: no block device */
	char *problem;	  /* why backings is empty although there must be a block device; or NULL */
	uint64_t subvolume_id; /* btrfs: which subvolume, asked of the file system; 0: unknown */
	char *subvolume;       /* its path from the top level, "/" the top level; NULL: unknown */
	gboolean is_multi_device; /* btrfs over several devices */
	/*
	 * A directory of a file system, bind-mounted (ostree's /var, osbuild's tree), and neither
	 * the whole of it nor a subvolume: what it stands on says nothing of what a partition is
	 * for, so backings is empty.
	 */
	gboolean is_directory;
} DpsMount;

GPtrArray *dps_mounts_new(void); /* (element-type DpsMount): none */

/**
 * dps_mounts_read:
 * @system: the system that is asked
 * @root: the tree's directory, opened
 * @path: the tree's directory, absolute and without links
 * @container: (out) (transfer full) (nullable): what @path is a directory of, for messages, when
 *   nothing is mounted there
 *
 * Without /proc the mount at @root is told from its descriptor alone.
 *
 * Returns: (transfer full) (element-type DpsMount): the topmost of each mount point, by path
 */
GPtrArray *dps_mounts_read(const DpsSystem *system, int root, const char *path, char **container);

/* (nullable): the mount at exactly this place */
const DpsMount *dps_mounts_find(GPtrArray *mounts, const char *mount_point);

/* Whether this process' "/" is the first process' too: in a chroot it is another place. */
gboolean dps_mounts_is_first_root(const DpsSystem *system);
