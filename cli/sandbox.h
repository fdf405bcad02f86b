/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "command.h"

/*
 * Images that strangers made are read in a process of its own, which may read them and write to one
 * pipe, and little else: a reader that they take over cannot change a file, reach the network,
 * start a program or look into another process.  What it writes is shown by the process that
 * started it.
 */

/* Whether the disks of this call are images that are looked at, and no tree is read. */
gboolean sandbox_is_for(const Options *options);

/* Gives an exit status, which is the process'. */
typedef int (*SandboxFunc)(const Options *options, Screen *screen);

/**
 * sandbox_run:
 * @options: what was typed
 * @screen: gets what @function shows
 * @function: what is done in the sandbox
 * @status: (out): what @function gave
 * @error: %DPS_ERROR_CORRUPT when it was ended for what it tried, or took too much
 *
 * Landlock, seccomp and limits are each taken where the kernel has them.
 *
 * Returns: whether @function came to its end, and @screen has all of its text
 */
gboolean sandbox_run(const Options *options, Screen *screen, SandboxFunc function, int *status,
		     GError **error);
