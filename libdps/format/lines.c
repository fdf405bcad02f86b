/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/lines.h"
#include "ground/text.h"

#include <string.h>

DpsLines
dps_lines_over(const char *text, size_t size, const char *separators)
{
	/* Loaders read a file as a string: it ends with its first NUL. */
	return (DpsLines){ .at = text,
			   .end = text + strnlen(text, size),
			   .separators = separators };
}

static gboolean
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static gboolean
is_separator(const DpsLines *self, char c)
{
	return strchr(self->separators, c) != NULL;
}

/* The next line without white space around it; FALSE at the end. */
static gboolean
next_line(DpsLines *self, const char **start, const char **stop)
{
	const char *at = self->at;

	if (at == self->end)
		return FALSE;

	self->number++;
	while (self->at < self->end && *self->at != '\n' && *self->at != '\r')
		self->at++;
	*start = at;
	*stop = self->at;
	if (self->end - self->at >= 2 && self->at[0] == '\r' && self->at[1] == '\n')
		self->at++;
	if (self->at < self->end)
		self->at++;

	while (*start < *stop && is_blank(**start))
		(*start)++;
	while (*start < *stop && is_blank((*stop)[-1]))
		(*stop)--;
	return TRUE;
}

gboolean
dps_lines_next(DpsLines *self, char **key, char **value)
{
	const char *start, *stop, *key_end, *from;

	do {
		if (!next_line(self, &start, &stop))
			return FALSE;
	} while (start == stop || *start == '#');

	for (key_end = start; key_end < stop && !is_separator(self, *key_end);)
		key_end++;

	*key = dps_text_clean(start, (gsize)(key_end - start));
	*value = NULL;
	if (key_end == stop)
		return TRUE;

	for (from = key_end; from < stop && is_separator(self, *from);)
		from++;
	if (stop - from >= 2 && (*from == '"' || *from == '\'') && stop[-1] == *from) {
		from++;
		stop--;
	}
	*value = dps_text_clean(from, (gsize)(stop - from));
	return TRUE;
}
