/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dps/tree.h>
#include "target/files.h"
#include "target/mount-tables.h"
#include "target/mounts.h"

/* What the decide floor needs of a tree beyond the public door.  Values belong to the tree. */

/* dps_tree_open() on a system, which is not asked any more when the tree is there. */
DpsTree *dps_tree_open_on(const char *path, const DpsSystem *system, GError **error);

/* Where on a disk a tree lies that nothing has mounted.  A value. */
typedef struct {
	guint partition;       /* its number */
	uint64_t subvolume_id; /* btrfs: the subvolume that is its root; else 0 */
	char *subvolume;       /* the path of that subvolume; else NULL */
} DpsTreeOrigin;

/**
 * dps_tree_open_files:
 * @files: (transfer full): the files of a root file system that is not mounted
 * @fd: (transfer full): what @files read through
 * @name: what to call it in messages: "disk.raw: partition 3"
 * @origin: where it lies
 * @error: %DPS_ERROR_CORRUPT for a fstab that cannot be read
 *
 * A tree that nothing is mounted in: it has files, an fstab, an architecture and a machine id.
 *
 * Returns: (transfer full): the tree, %NULL on failure
 */
DpsTree *dps_tree_open_files(DpsFiles *files, int fd, const char *name, const DpsTreeOrigin *origin,
			     GError **error);

/* (nullable): where the tree lies, when it was not a directory */
const DpsTreeOrigin *dps_tree_get_origin(DpsTree *tree);

/* The files of the tree, links followed inside of it. */
DpsFiles *dps_tree_get_files(DpsTree *tree);

GPtrArray *dps_tree_get_mounts(DpsTree *tree); /* (element-type DpsMount): the topmost of each
						  mount point, by path */
GPtrArray *dps_tree_get_fstab(DpsTree *tree);  /* (element-type DpsFstabEntry): in order */

/* (element-type DpsCrypttabEntry): in order, read when it is asked for; empty when there is none;
 * NULL: it cannot be read */
GPtrArray *dps_tree_get_crypttab(DpsTree *tree, GError **error);

GPtrArray *dps_tree_get_swaps(DpsTree *tree); /* (element-type DpsSwap): of the running system */

/*
 * (nullable): the mount that holds the root of the system: at "/", or at /sysroot in image mode
 * (ostree, bootc, composefs), where / is an overlay and the file system is below.
 */
const DpsMount *dps_tree_get_root_mount(DpsTree *tree);

/* (nullable): the topmost mount at exactly this place of the tree */
const DpsMount *dps_tree_get_mount(DpsTree *tree, const char *mount_point);

/* Whether /sysroot holds the root: an image-mode system. */
gboolean dps_tree_is_image_mode(DpsTree *tree);

/*
 * Returns: what said the architecture, for messages: "usr/bin/bash", "usr/lib/os-release", "the
 * running kernel"; NULL when nothing did
 */
const char *dps_tree_get_arch_source(DpsTree *tree);

/* Whether the tree is the running system's own "/" (not a chroot's). */
gboolean dps_tree_is_running_system(DpsTree *tree);

/**
 * dps_tree_read_file:
 * @tree: a tree
 * @path: as the tree sees it; links are followed inside the tree only
 * @error: %DPS_ERROR_NOT_FOUND, …; %DPS_ERROR_CORRUPT: larger than %DPS_FILES_MAX_TEXT
 *
 * Returns: (transfer full): the contents with a NUL behind them, %NULL on failure
 */
char *dps_tree_read_file(DpsTree *tree, const char *path, GError **error);

/* A directory of the tree or below it, opened beneath its root (O_PATH semantics do not apply:
 * it can be read).  Returns: a descriptor that the caller closes, -1 on failure: always for a tree
 * that is not mounted */
int dps_tree_open_dir(DpsTree *tree, const char *path, GError **error);
