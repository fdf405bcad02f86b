/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "facts.h"

/*
 * Facts, or why there are none, as the bytes that go through a pipe from the process that reads a
 * disk to the one that shows them.  Who reads a stranger's disk may have been taken over by it: its
 * bytes are held to be what they should be before any of them is used.
 */

/* More than this is shown of no disk: ten thousand snapshots take one MiB. */
#define MESSAGE_MAX ((gsize)16 * 1024 * 1024)

/* (transfer full): of two, one is NULL. */
GBytes *message_write(const Facts *facts, const Failure *failure);

/**
 * message_read:
 * @bytes: what came out of the pipe
 * @path: of the disk, as it was typed
 * @facts: (out): set when the disk could be read
 * @failure: (out): set when it could not
 *
 * Texts are UTF-8 without NUL, GUIDs are GUIDs, codes are in kebab-case, numbers are where they can
 * be, and nothing is missing or behind it.  What texts say is still the other's: it is escaped
 * where it is shown.
 *
 * Returns: whether it is a message; nothing is set when it is not
 */
gboolean message_read(GBytes *bytes, const char *path, Facts **facts, Failure **failure);
