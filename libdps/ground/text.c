/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ground/text.h"

#include <string.h>

char *
dps_text_clean(const char *bytes, gsize size)
{
	g_autofree char *valid = NULL;
	GString *out;
	gsize n_plain = 0;

	/* Most of all text, and megabytes of it on a disk that means harm. */
	while (n_plain < size && bytes[n_plain] >= ' ' && bytes[n_plain] <= '~')
		n_plain++;
	if (n_plain == size)
		return g_strndup(bytes, size);

	valid = g_utf8_make_valid(bytes, (gssize)size);
	out = g_string_sized_new(size);
	for (const char *at = valid; *at; at = g_utf8_next_char(at)) {
		const char *plain = at;
		gunichar c;

		while (*at >= ' ' && *at <= '~')
			at++;
		g_string_append_len(out, plain, at - plain);
		if (*at == '\0')
			break;

		c = g_utf8_get_char(at);
		/* A tab is white space like a blank; the others move cursors and set colours. */
		if (c == '\t')
			g_string_append_c(out, ' ');
		else
			g_string_append_unichar(out, g_unichar_iscntrl(c) ? 0xfffd : c);
	}
	return g_string_free(out, FALSE);
}

char *
dps_text_quote(const char *word)
{
	for (const char *c = word; *c; c++)
		if (!g_ascii_isalnum(*c) && !strchr("/._-+,:=@%", *c))
			return g_shell_quote(word);
	return *word ? g_strdup(word) : g_shell_quote(word);
}
