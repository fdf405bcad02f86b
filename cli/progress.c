/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "progress.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* A line is some 4 ms of a serial console at 115200 baud, and 40 of one at 9600: five a second. */
#define INTERVAL (G_USEC_PER_SEC / 5)

static guint
get_columns(void)
{
	struct winsize size = { 0 };

	/* Consoles that were told no size have none. */
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
		return 80;
	return size.ws_col;
}

/* Written whole and at once: nothing of it may be left in a buffer when a signal ends us. */
static void
put(const char *text)
{
	size_t size = strlen(text);

	while (size > 0) {
		ssize_t n = TEMP_FAILURE_RETRY(write(STDERR_FILENO, text, size));

		if (n <= 0)
			return;
		text += n;
		size -= (size_t)n;
	}
}

void
progress_begin(Progress *self, guint n, gboolean is_wanted)
{
	const char *term = g_getenv("TERM");

	*self = (Progress){ .n = n };
	self->is_shown = is_wanted && n > 1 && isatty(STDERR_FILENO) && term && *term &&
			 strcmp(term, "dumb") != 0;
	progress_show(self, 0, 0);
}

void
progress_show(Progress *self, guint n_done, guint n_failed)
{
	gint64 now = self->is_shown ? g_get_monotonic_time() : 0;
	g_autofree char *text = NULL;
	g_autofree char *line = NULL;
	guint columns, width;

	if (!self->is_shown || now < self->next)
		return;

	text = n_failed > 0 ? g_strdup_printf("%u of %u checked, %u could not be", n_done, self->n,
					      n_failed)
			    : g_strdup_printf("%u of %u checked", n_done, self->n);
	columns = get_columns();
	width = MIN((guint)strlen(text), columns - 1); /* the last column would begin a new line */
	/* What was longer before is written over: not every terminal can erase. */
	line = g_strdup_printf("\r%-*.*s", (int)MIN(MAX(width, self->width), columns - 1),
			       (int)width, text);
	put(line);
	self->width = width;
	self->next = now + INTERVAL;
}

void
progress_end(Progress *self)
{
	g_autofree char *line = NULL;

	if (self->width == 0)
		return;

	line = g_strdup_printf("\r%*s\r", (int)self->width, "");
	put(line);
	self->width = 0;
	self->is_shown = FALSE;
}
