/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "target/tree.h"

/* The directory that a file of ours goes into (target/save.h). */

/**
 * dps_save_open_dir:
 * @tree: (nullable): the tree to open @path in; %NULL: as this process sees it
 * @path: an absolute path in @tree; else any path
 * @create: whether to make what is missing of it, in a tree: the last with mode 0700, above it 0755
 * @error: %DPS_ERROR_NOT_FOUND, %DPS_ERROR_PERMISSION, %DPS_ERROR_NO_SPACE
 *
 * Returns: a descriptor of the directory that the caller closes, -1 on failure
 */
int dps_save_open_dir(DpsTree *tree, const char *path, gboolean create, GError **error);
