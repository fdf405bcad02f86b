/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/keyfile.h"

#include <string.h>

/* In double quotes a backslash is itself, but before these (POSIX shell, 2.2.3). */
#define ESCAPED_IN_QUOTES "$`\"\\"

/*
 * Reads a value as a shell reads a word; os-release(5) allows no expansion and no second word, so
 * what follows the first blank outside of quotes is no value.
 *
 * Returns: (transfer full) (nullable): the value; NULL when a quote is not closed
 */
static char *
read_value(const char *text, gsize size)
{
	g_autoptr(GString) value = g_string_new(NULL);
	char quote = '\0';

	for (gsize i = 0; i < size; i++) {
		char c = text[i];

		if (quote == '\0' && (c == ' ' || c == '\t'))
			break;

		if (quote == c) {
			quote = '\0';
		} else if (quote == '\0' && (c == '"' || c == '\'')) {
			quote = c;
		} else if (c == '\\' && quote != '\'' && i + 1 < size &&
			   (quote == '\0' || strchr(ESCAPED_IN_QUOTES, text[i + 1]))) {
			g_string_append_c(value, text[++i]);
		} else {
			g_string_append_c(value, c);
		}
	}

	if (quote != '\0')
		return NULL;

	return g_utf8_make_valid(value->str, (gssize)value->len);
}

char *
dps_keyfile_lookup(const char *text, gsize size, const char *name)
{
	g_autofree char *found = NULL;
	const char *end;
	gsize name_size = strlen(name);

	if (size == 0)
		return NULL; /* and text may be, too */

	end = text + size;
	while (text < end) {
		const char *newline = memchr(text, '\n', (gsize)(end - text));
		const char *stop = newline ? newline : end;
		gsize line_size;
		char *value;

		while (text < stop && (*text == ' ' || *text == '\t'))
			text++;
		line_size = (gsize)(stop - text);
		if (line_size > 0 && stop[-1] == '\r')
			line_size--;

		if (line_size > name_size && text[name_size] == '=' &&
		    memcmp(text, name, name_size) == 0) {
			value = read_value(text + name_size + 1, line_size - name_size - 1);
			if (value) {
				g_free(found);
				found = value;
			}
		}
		text = newline ? newline + 1 : end;
	}
	return g_steal_pointer(&found);
}
