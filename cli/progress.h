/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/*
 * "12 of 1000 checked", one line on stderr while many disks are read, where stderr is a terminal
 * that can go back to the start of a line.  Of the rest of a terminal nothing is wanted: a serial
 * console has it too.
 */
typedef struct {
	gboolean is_shown;
	guint n;
	gint64 next; /* when it is shown again, in monotonic microseconds */
	guint width; /* columns of what is there now */
} Progress;

void progress_begin(Progress *self, guint n, gboolean is_wanted);
void progress_show(Progress *self, guint n_done, guint n_failed);
void progress_end(Progress *self); /* may be called again */
