/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <sys/stat.h>

/* Who else has a disk or an image: what would undo our writes, or has it locked. */

/*
 * Whether a loop device reads the file @st: its cache and the file's are two, and what one writes,
 * the other undoes.  @error: %DPS_ERROR_BUSY, with what to type
 */
gboolean dps_holders_check_loop(const char *path, const struct stat *st, GError **error);

/* Whether qemu has the image open; @fd: (borrowed).  @error: %DPS_ERROR_BUSY */
gboolean dps_holders_check_virtual_machine(int fd, const char *path, GError **error);

/* Returns: (transfer full): who holds a flock on @st: "sfdisk (process 77)", "another process" */
char *dps_holders_find_lock(const struct stat *st);
