/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/*
 * Stands between the code under test and the C library, also for the libraries of this program:
 * makes calls fail, lets something happen just before one, and writes down those that change files.
 * What tests/crash does to whole commands, for one function of ours at a time.
 *
 * A call is "KIND" or "KIND NAME".  The kinds:
 *
 *   open (openat)  direct (an open past the page cache, before its "open")  exclusive (one of what is
 * there and of nobody else's, the same)  openat2  read (pread)
 * write (pwrite)  flush (fsync, fdatasync)  stat  fstat statat (fstatat)  statvfs (fstatvfs)  xattr
 * (fgetxattr)  link (linkat)  rename (renameat2)  unlink (unlinkat) mkdir (mkdirat)  lock (flock)
 * advise (posix_fadvise)  opendir (fdopendir)  realpath readlink (readlinkat)  ioctl
 *
 * NAME is how the last part of the file's path begins; "new" is a file without a name yet, "/" a
 * directory.  Flushes cost no time: nothing is flushed, for no test cuts the power.
 */

/* Instead of an errno: */
#define FAULT_SHORT (-1) /* half of the bytes, and one at least */
#define FAULT_LIE (-2)	 /* success, and nothing done */
#define FAULT_END (-3)	 /* 0 bytes */

/**
 * fault_set:
 * @call: which call; not copied
 * @nth: the n-th from now on; 1 is the next
 * @how: the errno that it fails with, or one of the above
 *
 * Until fault_clear().  Several can be set; each counts all calls that are like it.
 */
void fault_set(const char *call, guint nth, int how);

/* The n-th and each one behind it: with EIO a device that was pulled out. */
void fault_set_from(const char *call, guint nth, int how);

/* Calls @happen before the n-th, which is made then: what another process may do meanwhile. */
void fault_set_event(const char *call, guint nth, void (*happen)(gpointer data), gpointer data);

/* Until fault_clear() the file at @path seems to be a block device with sectors of 512 bytes. */
void fault_set_device(const char *path);

/* Returns: whether it came to each call that was set */
gboolean fault_clear(void);

/* Returns: whether it came to the call that was set first */
gboolean fault_was_reached(void);

/* From now on write, flush, link, unlink and mkdir (with its mode) are written down, also those
 * that fail. */
void fault_start_log(void);

/* Returns: (transfer full): the calls since then, as "KIND NAME" with ", " between them */
char *fault_stop_log(void);
