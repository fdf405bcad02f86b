/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/*
 * Makes calls to the C library fail, or something happen just before one, also for the libraries of
 * this program.  What tests/crash does to whole commands, for one function of ours at a time.
 */
typedef enum {
	FAULT_OPEN,    /* open, openat */
	FAULT_OPENAT2, /* by its number: glibc has no function */
	FAULT_READ,    /* read, pread */
	FAULT_WRITE,   /* write, pwrite */
	FAULT_FLUSH,   /* fsync, fdatasync */
	FAULT_STAT,    /* stat */
	FAULT_FSTAT,
	FAULT_STATAT,  /* fstatat */
	FAULT_STATVFS, /* fstatvfs */
	FAULT_XATTR,   /* fgetxattr */
	FAULT_LINK,    /* linkat */
	FAULT_UNLINK,  /* unlinkat */
	FAULT_MKDIR,   /* mkdirat */
	FAULT_LOCK,    /* flock */
	FAULT_ADVISE,  /* posix_fadvise */
	FAULT_OPENDIR, /* fdopendir */
	FAULT_REALPATH,
	FAULT_READLINK, /* readlinkat */
	FAULT_IOCTL,
} FaultCall;

/* Instead of an errno: */
#define FAULT_SHORT (-1) /* half of the bytes, and one at least */
#define FAULT_LIE (-2)	 /* success, and nothing done */
#define FAULT_END (-3)	 /* 0 bytes */

/**
 * fault_set:
 * @call: which call
 * @nth: the n-th from now on; 1 is the next
 * @how: the errno that it fails with, or one of the above
 *
 * Until fault_clear().  Several can be set.
 */
void fault_set(FaultCall call, guint nth, int how);

/* The n-th and each one behind it. */
void fault_set_from(FaultCall call, guint nth, int how);

/* Calls @happen before the n-th, which is made then: what another process may do meanwhile. */
void fault_set_event(FaultCall call, guint nth, void (*happen)(gpointer data), gpointer data);

/* Returns: whether it came to each call that was set */
gboolean fault_clear(void);

/* Returns: whether it came to the call that was set first */
gboolean fault_was_reached(void);
