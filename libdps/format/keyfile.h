/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/**
 * dps_keyfile_lookup:
 * @text: (array length=size): a file of NAME=value lines: os-release, and what is like it
 * @size: bytes
 * @name: a name
 *
 * Quotes and backslashes are read as a shell reads them, a line that is no assignment is skipped,
 * and of two assignments the last counts.
 *
 * Source: os-release(5).
 *
 * Returns: (transfer full) (nullable): the value, valid UTF-8, %NULL when @name is not assigned
 */
char *dps_keyfile_lookup(const char *text, gsize size, const char *name);
