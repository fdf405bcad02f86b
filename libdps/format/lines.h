/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/*
 * The lines "key value" of boot entries and loader.conf, and "KEY=value" of .osrel and .profile, as
 * systemd-boot reads them: white space around a line is nothing, "#" starts a comment line, one
 * pair of quotes around the whole value is removed, and nothing is expanded.
 */
typedef struct {
	const char *at, *end;
	const char *separators; /* " \t" or "=" */
	guint number;		/* of the line that was read last, from 1 */
} DpsLines;

DpsLines dps_lines_over(const char *text, size_t size, const char *separators);

/**
 * dps_lines_next:
 * @self: lines
 * @key: (out) (transfer full): the key
 * @value: (out) (transfer full) (nullable): its value; %NULL when the line has no separator
 *
 * Both are valid UTF-8 without control characters.
 *
 * Returns: whether there was another line that is neither empty nor a comment
 */
gboolean dps_lines_next(DpsLines *self, char **key, char **value);
