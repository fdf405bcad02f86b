/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/*
 * Standard output: what it can show, and the text on its way there.  Text is gathered and goes out
 * in one piece, so that a full disk or a closed pipe is noticed, and so that long text on a
 * terminal can go through a pager.
 */
typedef enum {
	SCREEN_COLOR_AUTO = 0, /* on a terminal, unless NO_COLOR or TERM=dumb says otherwise */
	SCREEN_COLOR_ALWAYS,
	SCREEN_COLOR_NEVER,
} ScreenColor;

/* What a piece of text is, for those who see colours. */
typedef enum {
	SCREEN_STYLE_HEADING = 0,
	SCREEN_STYLE_FAINT,
	SCREEN_STYLE_BEFORE,
	SCREEN_STYLE_AFTER,
	SCREEN_STYLE_ERROR,
	SCREEN_STYLE_WARNING,
	SCREEN_STYLE_INFO,
	SCREEN_N_STYLES,
} ScreenStyle;

typedef struct {
	GString *text;
	gboolean is_terminal;
	gboolean is_utf8; /* whether the locale's characters are; otherwise text is ASCII */
	gboolean has_color;
	gboolean may_page;
	gboolean is_quiet;
	gboolean is_verbose;
	gboolean has_document;	  /* one was written that tells of the failure too */
	gboolean has_broken_pipe; /* the reader went away: nobody is left to complain to */
	guint width, height;	  /* columns and lines; 80 and 0 when it is no terminal */
} Screen;

Screen *screen_new(void);
void screen_free(Screen *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Screen, screen_free)

void screen_set_color(Screen *self, ScreenColor when);

/* Whether anything can be written at all: FALSE when it was closed by who started us. */
gboolean screen_require_open(GError **error);

/* Opens /dev/null in the place of standard descriptors that are closed, so that no disk lands on
 * one of these numbers and gets our text written over it. */
void screen_hold_standard_descriptors(void);

void screen_print(Screen *self, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Whether a character that somebody chose may reach a terminal as it is. */
gboolean screen_may_show(gunichar c);

/*
 * @text as it can be shown, whatever somebody wrote into a label or a path: what is no printable
 * character is escaped (\\x1b), so that nothing reaches the terminal but text.
 */
char *screen_say(Screen *self, const char *text);

/* The sequences that begin and end @style; empty without colour. */
const char *screen_begin(Screen *self, ScreenStyle style);
const char *screen_end(Screen *self);

/* One line on stderr, behind our name.  @message is escaped. */
void screen_complain(Screen *self, const char *message);

/* Writes a document for programs, which is UTF-8 in every locale, as it is. */
gboolean screen_write_document(Screen *self, const char *document, GError **error);

/* Writes what was gathered: through the pager when it is longer than the terminal. */
gboolean screen_flush(Screen *self, GError **error);
