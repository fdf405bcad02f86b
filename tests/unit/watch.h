/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/*
 * Stands between the code under test and the kernel: writes down the calls that change files, in
 * order, and makes one of them fail.  For tests of what is written when, and of what becomes of it
 * when something goes wrong.
 *
 * A call is "KIND NAME": kinds are write, flush, link, unlink, mkdir, read and stat; NAME is the
 * last part of the file's path, "new" for a file without a name yet, "/" for a directory.
 */

/* Starts anew, with nothing written down and nothing to fail.  Reads and stats are not written
 * down. */
void watch_start(void);

/* Returns: (transfer full): the calls since the start with ", " between them; ends the watching */
char *watch_stop(void);

/* What becomes of a call. */
typedef enum {
	WATCH_FAIL,  /* -1, with errno set */
	WATCH_DEAD,  /* the same, and all that follow: as if the device was pulled out */
	WATCH_SHORT, /* half of the bytes, once */
	WATCH_LIE,   /* success, and nothing is done */
	WATCH_EMPTY, /* 0, as at the end of a file */
} WatchFate;

/*
 * The @nth call from now (1 is the next) that begins with @call, such as "flush" or "write
 * disk.raw", meets @fate; with @nth 0 each one does.  May be called for a few calls at once.
 */
void watch_fail(const char *call, guint nth, WatchFate fate, int errnum);

/* Returns: how many calls met their fate since the start */
guint watch_get_n_met(void);

/* What another program does before the @nth call from now that begins with @call. */
void watch_before(const char *call, guint nth, void (*function)(void *data), void *data);
