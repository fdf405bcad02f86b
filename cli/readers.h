/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "command.h"
#include "facts.h"

/*
 * Each disk is read in a process of its own, so that one that crashes its reader, or takes more
 * than its share of time and memory, ends that one process: the others go on, and what became of it
 * is told in its place.  Who starts them never sees a byte of a disk.  The readers of images that
 * strangers made are confined besides: see sandbox.h.
 */

/* A disk, and what its reader said of it. */
typedef struct {
	const char *path; /* as it was typed */
	Facts *facts;	  /* NULL: see failure */
	Failure *failure;
	gboolean is_confined;
} Reading;

void reading_clear(Reading *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Reading, reading_clear)

/* Makes the failure of the only reading of a command that command's own.  Returns: -1 */
int reading_tell(const Reading *self, const Options *options, Screen *screen, GError **error);

/* Reads one disk: (transfer full). */
typedef Facts *(*ReadersFunc)(const Options *options, const char *path, gpointer data,
			      GError **error);

/**
 * readers_run:
 * @options: what was typed; --jobs is how many at a time
 * @read: what each process does
 * @data: for @read, which changes it for itself alone
 * @readings: their paths are set; the rest is set here
 * @n: how many
 *
 * Those that strangers may have made are confined: image files, when no tree and no directory is
 * read beside them.
 * What the kernel lacks for it is told with --verbose.
 *
 * A line on stderr tells how far it is when there are several and stderr is a terminal that can
 * move its cursor; it is gone at the end.
 *
 * A signal that ends programs ends the readers, and then us.
 */
void readers_run(const Options *options, Screen *screen, ReadersFunc read, gpointer data,
		 Reading *readings, guint n);
