/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/*
 * Files of a tree, opened beneath its root: a symbolic link, an absolute one too, is followed as
 * if the root were "/", and never leads out of it, also while somebody changes the tree.
 */

/**
 * dps_beneath_open:
 * @root: a descriptor of the tree's root
 * @path: as the tree sees it; a leading slash makes no difference
 * @flags: of open(2), without O_CREAT
 *
 * Returns: a descriptor that the caller closes, -1 with errno set
 */
int dps_beneath_open(int root, const char *path, int flags);

/* The same where the kernel has no openat2(2); apart from it only for tests. */
int dps_beneath_walk(int root, const char *path, int flags);

/**
 * dps_beneath_open_file:
 * @root: a descriptor of the tree's root
 * @path: of a regular file
 *
 * Opens no fifo and no device, and so never waits.
 *
 * Returns: a descriptor to read from, that the caller closes; -1 with errno set, EBADF when it is
 *   something else than a file
 */
int dps_beneath_open_file(int root, const char *path);

/**
 * dps_beneath_read:
 * @root: a descriptor of the tree's root
 * @path: of a regular file
 * @max_size: bytes
 * @subject: who the error is about
 * @size: (out) (optional): bytes
 * @error: the code of errno; %DPS_ERROR_CORRUPT for a larger file, and for what is no file
 *
 * Returns: (transfer full): the contents with a NUL behind them, %NULL on failure
 */
char *dps_beneath_read(int root, const char *path, size_t max_size, const char *subject,
		       size_t *size, GError **error);
