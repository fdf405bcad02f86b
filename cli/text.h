/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "facts.h"
#include "screen.h"

/* A column of a table. */
typedef struct {
	const char *name;
	gboolean is_right; /* numbers */
	gboolean is_wide;  /* gives way when the terminal is narrow */
} TextColumn;

/* A table under construction: rows of cells. */
typedef struct {
	const TextColumn *columns;
	guint n_columns;
	GPtrArray *cells; /* (element-type utf8): row after row; NULL: an empty cell */
} TextTable;

void text_table_init(TextTable *self, const TextColumn *columns, guint n_columns);
void text_table_clear(TextTable *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(TextTable, text_table_clear)

void text_table_add(TextTable *self, const char *cell); /* copied; what it says is escaped */
void text_table_add_format(TextTable *self, const char *format, ...) G_GNUC_PRINTF(2, 3);
void text_table_print(TextTable *self, Screen *screen);

/* "1.5 GiB": for people, who compare; programs read bytes in JSON. */
char *text_size(guint64 bytes);

/* A word for a partition type: the name that systemd has for it, else its GUID. */
const char *text_type(const char *type_uuid);

/* "read-only, bit 62": attribute bits by name; "" without any. */
char *text_attributes(guint64 attributes);

/* A paragraph: @first before its first line, spaces as wide before the rest; broken at the width of
 * a terminal, not in commands between ` that fit, one line for programs that read.  @text is
 * escaped. */
void text_paragraph(Screen *screen, const char *first, const char *text);

void text_heading(Screen *screen, const char *text);

/* "/dev/vda: 20 GiB, sectors of 512 bytes", and on a line below "GPT 8d2e…" */
void text_disk(Screen *screen, const Facts *disk);
