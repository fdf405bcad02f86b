/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/*
 * Files that must be there before something else is written: each is created anew, flushed, and its
 * directory flushed, so that after a crash it is whole or was never there.
 */

/**
 * dps_save_new_file:
 * @dir: a directory
 * @name: of a file that is not there
 * @data: its contents
 * @size: bytes
 * @error: %DPS_ERROR_REFUSED when there is something of that name, a link included;
 *   %DPS_ERROR_NO_SPACE, %DPS_ERROR_PERMISSION, %DPS_ERROR_IO
 *
 * Mode 0600.  On failure nothing of that name is left; messages leave the name to the caller.
 *
 * Returns: %TRUE when file and directory are on the medium
 */
gboolean dps_save_new_file(int dir, const char *name, const void *data, size_t size,
			   GError **error);

/**
 * dps_save_keep_file:
 * @dir: a directory
 * @name: of a file in it that an earlier run made
 * @error: %DPS_ERROR_IO
 *
 * Flushes both: a run that was killed may have come to the name, and not to the flush of it.
 *
 * Returns: %TRUE when file and directory are on the medium
 */
gboolean dps_save_keep_file(int dir, const char *name, GError **error);

/**
 * dps_save_list:
 * @dir: a directory
 * @prefix: that names begin with
 * @suffix: that they end with
 *
 * Returns: (transfer full): at most %DPS_SAVE_LIST_MAX names, the last of the alphabet first
 */
GPtrArray *dps_save_list(int dir, const char *prefix, const char *suffix);

/* The backups of a disk that are looked into: more than are made in a day of trying. */
#define DPS_SAVE_LIST_MAX 64

/* Takes a file of ours away again; what cannot be removed stays, and nobody is told. */
void dps_save_remove_file(int dir, const char *name);

/**
 * dps_save_read_file:
 * @path: a regular file, as this process sees it
 * @max_size: bytes; a larger file is %DPS_ERROR_CORRUPT
 * @size: (out): bytes
 * @error: %DPS_ERROR_NOT_FOUND, %DPS_ERROR_PERMISSION, %DPS_ERROR_IO
 *
 * Returns: (transfer full): what it holds with a NUL behind it, %NULL on failure
 */
char *dps_save_read_file(const char *path, size_t max_size, gsize *size, GError **error);

/* The same for a file of ours: what somebody else could have written is %DPS_ERROR_REFUSED. */
char *dps_save_read_own_file(int dir, const char *name, size_t max_size, gsize *size,
			     GError **error);
