/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "text.h"

#include <string.h>
#include <libsmartcols/libsmartcols.h>

void
text_table_init(TextTable *self, const TextColumn *columns, guint n_columns)
{
	self->columns = columns;
	self->n_columns = n_columns;
	self->cells = g_ptr_array_new_with_free_func(g_free);
}

void
text_table_clear(TextTable *self)
{
	g_clear_pointer(&self->cells, g_ptr_array_unref);
}

void
text_table_add(TextTable *self, const char *cell)
{
	g_ptr_array_add(self->cells, g_strdup(cell));
}

void
text_table_add_format(TextTable *self, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	g_ptr_array_add(self->cells, g_strdup_vprintf(format, args));
	va_end(args);
}

static void
set_cell(Screen *screen, struct libscols_line *line, guint column, const char *cell)
{
	g_autofree char *safe = screen_say(screen, cell ? cell : "");

	/* libsmartcols measures in the locale, so it must not see what the locale does not have. */
	if (!screen->is_utf8)
		for (char *at = safe; *at; at++)
			if ((guchar)*at >= 0x80)
				*at = '?';
	if (scols_line_set_data(line, column, safe) != 0)
		g_error("table: out of memory");
}

void
text_table_print(TextTable *self, Screen *screen)
{
	struct libscols_table *table = scols_new_table();
	char *printed = NULL;

	g_assert(self->cells->len % self->n_columns == 0);

	/* One reading of escapes is enough, and ours is done: see screen_say(). */
	scols_table_enable_noencoding(table, 1);
	scols_table_enable_colors(table, screen->has_color);
	scols_table_enable_noheadings(table, screen->is_quiet);
	scols_table_set_termforce(table, screen->is_terminal ? SCOLS_TERMFORCE_ALWAYS
							     : SCOLS_TERMFORCE_NEVER);
	scols_table_set_termwidth(table, screen->width);

	for (guint i = 0; i < self->n_columns; i++) {
		struct libscols_column *column = scols_table_new_column(
			table, self->columns[i].name, 0,
			(self->columns[i].is_right ? SCOLS_FL_RIGHT : 0) |
				(self->columns[i].is_wide ? SCOLS_FL_TRUNC : 0));

		scols_cell_set_color(scols_column_get_header(column), "\033[1m");
	}
	for (guint i = 0; i < self->cells->len; i += self->n_columns) {
		struct libscols_line *line = scols_table_new_line(table, NULL);

		for (guint j = 0; j < self->n_columns; j++)
			set_cell(screen, line, j, g_ptr_array_index(self->cells, i + j));
	}

	if (scols_print_table_to_string(table, &printed) == 0 && printed) {
		/* No spaces behind the last word: they make lines longer than the terminal. */
		g_auto(GStrv) lines = g_strsplit(printed, "\n", -1);

		for (guint i = 0; lines[i] && (lines[i + 1] || *lines[i]); i++)
			screen_print(screen, "%s\n", g_strchomp(lines[i]));
	}
	free(printed);
	scols_unref_table(table);
}

char *
text_size(guint64 bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	guint unit = 0;
	guint64 whole = bytes, tenths;

	while (whole >= 1024 && unit + 1 < G_N_ELEMENTS(units)) {
		whole /= 1024;
		unit++;
	}
	/* A decimal point in every locale: people paste these lines into reports. */
	tenths = unit == 0 ? 0 : ((bytes >> (10 * (unit - 1))) % 1024) * 10 / 1024;
	if (tenths == 0 || whole >= 100)
		return g_strdup_printf("%" G_GUINT64_FORMAT " %s", whole, units[unit]);

	return g_strdup_printf("%" G_GUINT64_FORMAT ".%u %s", whole, (guint)tenths, units[unit]);
}

const char *
text_type(const char *type_uuid)
{
	const DpsType *type = dps_type_lookup_uuid(type_uuid);

	return type ? dps_type_get_name(type) : type_uuid;
}

char *
text_attributes(guint64 attributes)
{
	GString *text = g_string_new(NULL);

	for (guint bit = 0; bit < 64; bit++) {
		if (!(attributes & (G_GUINT64_CONSTANT(1) << bit)))
			continue;
		if (text->len)
			g_string_append(text, ", ");
		if (dps_flag_get_name(bit))
			g_string_append(text, dps_flag_get_name(bit));
		else
			g_string_append_printf(text, "bit %u", bit);
	}

	return g_string_free(text, FALSE);
}

/* How many columns @text takes, @size bytes of it. */
static guint
width_of(const char *text, size_t size)
{
	guint width = 0;

	for (const char *at = text; at < text + size; at = g_utf8_next_char(at)) {
		gunichar c = g_utf8_get_char(at);

		width += g_unichar_iszerowidth(c) ? 0 : g_unichar_iswide(c) ? 2 : 1;
	}

	return width;
}

/* The bytes up to where a line may end: a word, or a command between two ` that fits into @width
 * columns, so that it can be pasted. */
static size_t
next_piece(const char *text, guint width)
{
	size_t word = strcspn(text, " ");
	const char *begin = memchr(text, '`', word);
	const char *end = begin ? strchr(begin + 1, '`') : NULL;
	size_t command;

	if (!end)
		return word;

	command = (size_t)(end - text);
	command += strcspn(text + command, " ");
	return command > word && width_of(text, command) <= width ? command : word;
}

void
text_paragraph(Screen *screen, const char *first, const char *text)
{
	g_autofree char *safe = screen_say(screen, text);
	guint indent = width_of(first, strlen(first));
	guint column = indent;

	screen_print(screen, "%s", first);
	for (const char *word = safe; *word;) {
		size_t size = next_piece(word, screen->width - MIN(indent, screen->width));
		guint width = width_of(word, size);

		if (screen->is_terminal && column > indent && column + 1 + width > screen->width) {
			screen_print(screen, "\n%*s", (int)indent, "");
			column = indent;
		} else if (column > indent) {
			screen_print(screen, " ");
			column++;
		}
		screen_print(screen, "%.*s", (int)size, word);
		column += width;
		word += size;
		word += strspn(word, " ");
	}
	screen_print(screen, "\n");
}

void
text_heading(Screen *screen, const char *text)
{
	screen_print(screen, "%s%s%s\n", screen_begin(screen, SCREEN_STYLE_HEADING), text,
		     screen_end(screen));
}

void
text_disk(Screen *screen, const Facts *disk)
{
	g_autofree char *path = screen_say(screen, disk->path);
	g_autofree char *size = text_size(disk->size);

	screen_print(screen, "%s%s%s: %s", screen_begin(screen, SCREEN_STYLE_HEADING), path,
		     screen_end(screen), size);
	if (disk->uuid)
		screen_print(screen, ", sectors of %u bytes\nGPT %s", disk->sector_size,
			     disk->uuid);
	screen_print(screen, "\n");
}
