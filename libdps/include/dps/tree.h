/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <dps/types.h>
#include <dps/version.h>

G_BEGIN_DECLS

/**
 * DpsTree:
 *
 * The root file system of the target, mounted or unpacked: `/`, `/mnt/sysroot`, an osbuild tree.
 * What is mounted where under it, what its fstab says, its architecture and its machine-id, as
 * they were when it was opened.
 */
typedef struct _DpsTree DpsTree;

/**
 * dps_tree_open:
 * @path: the directory that is the target's `/`
 * @error: %DPS_ERROR_NOT_FOUND, %DPS_ERROR_PERMISSION, %DPS_ERROR_IO; %DPS_ERROR_CORRUPT for a
 *   fstab that cannot be read
 *
 * Files of the tree are opened beneath it: a symbolic link of the tree never leads out of it.
 *
 * Returns: (transfer full): the tree, %NULL on failure
 * Since: 0.1
 */
DPS_API DpsTree *dps_tree_open(const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;

DPS_API DpsTree *dps_tree_ref(DpsTree *tree);
DPS_API void dps_tree_unref(DpsTree *tree);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DpsTree, dps_tree_unref)

DPS_API const char *dps_tree_get_path(DpsTree *tree); /* absolute, and no link */

/**
 * dps_tree_get_arch:
 * @tree: a tree
 *
 * The architecture of the system in @tree: the machine of an ELF program or libc in it, else
 * `ARCHITECTURE=` of its os-release, else, for `/` alone, the running kernel's.
 *
 * Returns: the architecture, %DPS_ARCH_NONE when nothing says it
 * Since: 0.1
 */
DPS_API DpsArch dps_tree_get_arch(DpsTree *tree);

/**
 * dps_tree_get_machine_id:
 * @tree: a tree
 *
 * Returns: (nullable): 32 hexadecimal digits; %NULL when it has none, or none yet
 *   ("uninitialized")
 * Since: 0.1
 */
DPS_API const char *dps_tree_get_machine_id(DpsTree *tree);

/**
 * dps_tree_find_disk:
 * @tree: a tree
 * @path: (out) (transfer full) (nullable): the device node of the disk that holds its root;
 *   %NULL when the tree is on no disk
 * @why: (out) (optional) (transfer full) (nullable): when @path is %NULL: what it is on instead,
 * one line
 * @error: %DPS_ERROR_AMBIGUOUS: it is on several disks; %DPS_ERROR_UNSUPPORTED: on something that
 *   is no partition (LVM, RAID), which is named; %DPS_ERROR_NOT_FOUND: its node is not there
 *
 * A directory, a container's root or a network file system is on no disk: that is no error.
 *
 * Returns: %TRUE on success
 * Since: 0.1
 */
DPS_API gboolean dps_tree_find_disk(DpsTree *tree, char **path, char **why, GError **error);

G_END_DECLS
