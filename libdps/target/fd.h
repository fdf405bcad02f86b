/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dirent.h>
#include <glib.h>

/* A descriptor that closes itself: g_auto(DpsFd).  (g_autofd came with GLib 2.80.) */
typedef int DpsFd;

/* Closes it when it is open, and makes it -1. */
void dps_fd_close(DpsFd *fd);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(DpsFd, dps_fd_close)

/* Returns: (transfer full): the descriptor; @fd is -1 then.  (g_steal_fd() came with GLib 2.70.) */
static inline int
dps_fd_steal(DpsFd *fd)
{
	int stolen = *fd;

	*fd = -1;
	return stolen;
}

/* Returns: %TRUE when file or directory is on the medium; else errno says why.  A flush that a
 * signal cut short was not made: it is made again. */
gboolean dps_fd_flush(int fd);

/* A directory that closes itself: g_autoptr(DpsDirStream). */
typedef DIR DpsDirStream;

static inline void
dps_dir_stream_close(DpsDirStream *stream)
{
	closedir(stream);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DpsDirStream, dps_dir_stream_close)

/*
 * A file of /proc, /sys or /run, which is small and may be gone at any moment.  @path is seen from
 * @dir as openat(2) does.  Returns: (transfer full) (nullable): its text; %NULL: there is none
 */
char *dps_fd_read_text(int dir, const char *path);
