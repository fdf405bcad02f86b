/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "screen.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <dps/error.h>

/* What people without a terminal get: the width that mail, logs and documents have. */
#define WIDTH_WITHOUT_TERMINAL 80
/* Narrower than this nothing can be laid out; wider, lines are hard to read. */
#define WIDTH_MIN 40
#define WIDTH_MAX 1000

/* ECMA-48 8.3.117, SGR */
static const char *const styles[SCREEN_N_STYLES] = {
	[SCREEN_STYLE_HEADING] = "\033[1m",  [SCREEN_STYLE_FAINT] = "\033[2m",
	[SCREEN_STYLE_BEFORE] = "\033[31m",  [SCREEN_STYLE_AFTER] = "\033[32m",
	[SCREEN_STYLE_ERROR] = "\033[1;31m", [SCREEN_STYLE_WARNING] = "\033[1;33m",
	[SCREEN_STYLE_INFO] = "\033[1;34m",
};

static guint
number_from_environment(const char *name)
{
	const char *text = g_getenv(name);
	guint64 number = 0;

	if (!text || !g_ascii_string_to_unsigned(text, 10, 1, WIDTH_MAX, &number, NULL))
		return 0;

	return (guint)number;
}

Screen *
screen_new(void)
{
	Screen *self = g_new0(Screen, 1);
	const char *charset;
	struct winsize size = { 0 };

	self->text = g_string_new(NULL);
	self->is_terminal = isatty(STDOUT_FILENO);
	self->is_utf8 = g_get_charset(&charset);
	self->may_page = TRUE;

	if (self->is_terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) {
		self->width = size.ws_col;
		self->height = size.ws_row;
	}
	if (number_from_environment("COLUMNS") > 0)
		self->width = number_from_environment("COLUMNS");
	if (self->width == 0)
		self->width = WIDTH_WITHOUT_TERMINAL;
	self->width = CLAMP(self->width, WIDTH_MIN, WIDTH_MAX);

	screen_set_color(self, SCREEN_COLOR_AUTO);
	return self;
}

void
screen_free(Screen *self)
{
	if (!self)
		return;

	g_string_free(self->text, TRUE);
	g_free(self);
}

/* https://no-color.org: present and not empty; what is typed counts more. */
void
screen_set_color(Screen *self, ScreenColor when)
{
	const char *no_color = g_getenv("NO_COLOR");

	if (when == SCREEN_COLOR_AUTO)
		self->has_color = self->is_terminal && (!no_color || !*no_color) &&
				  g_strcmp0(g_getenv("TERM"), "dumb") != 0;
	else
		self->has_color = when == SCREEN_COLOR_ALWAYS;
}

void
screen_hold_standard_descriptors(void)
{
	/* The wrong direction for each: who writes to a closed stdout is to hear of it. */
	static const int modes[] = { O_WRONLY, O_RDONLY, O_RDWR };

	for (int fd = 0; fd < (int)G_N_ELEMENTS(modes); fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", modes[fd]) != fd)
			_exit(3);
}

gboolean
screen_require_open(GError **error)
{
	int flags = fcntl(STDOUT_FILENO, F_GETFL);

	if (flags >= 0 && (flags & O_ACCMODE) != O_RDONLY)
		return TRUE;

	g_set_error_literal(error, DPS_ERROR, DPS_ERROR_IO,
			    "standard output: closed: nothing could be told; --quiet does without");
	return FALSE;
}

void
screen_print(Screen *self, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	g_string_append_vprintf(self->text, format, args);
	va_end(args);
}

gboolean
screen_may_show(gunichar c)
{
	/* Controls, and marks that turn the direction of what follows, are not printable.  Those
	 * that break a line or a paragraph in two are, says GLib. */
	return g_unichar_isprint(c) && c != 0x2028 && c != 0x2029;
}

char *
screen_say(Screen *self, const char *text)
{
	GString *safe = g_string_new(NULL);

	while (*text) {
		gunichar c = g_utf8_get_char_validated(text, -1);
		gboolean is_valid = c != (gunichar)-1 && c != (gunichar)-2;
		const char *next = is_valid ? g_utf8_next_char(text) : text + 1;

		if (is_valid && screen_may_show(c))
			g_string_append_unichar(safe, c);
		else
			for (const char *byte = text; byte < next; byte++)
				g_string_append_printf(safe, "\\x%02x", (guchar)*byte);
		text = next;
	}

	return g_string_free(safe, FALSE);
}

/* For a terminal or a reader that does not know UTF-8: what we write ourselves has a spelling in
 * ASCII, the letters of others become question marks. */
static void
turn_into_ascii(GString *text)
{
	g_autofree char *from = g_strndup(text->str, text->len);

	g_string_truncate(text, 0);
	for (const char *at = from; *at; at = g_utf8_next_char(at)) {
		gunichar c = g_utf8_get_char(at);

		if (c < 0x80)
			g_string_append_c(text, (char)c);
		else if (c == 0x2026)
			g_string_append(text, "...");
		else if (c == 0x2192)
			g_string_append(text, "->");
		else
			g_string_append_c(text, '?');
	}
}

const char *
screen_begin(Screen *self, ScreenStyle style)
{
	return self->has_color ? styles[style] : "";
}

const char *
screen_end(Screen *self)
{
	return self->has_color ? "\033[0m" : "";
}

void
screen_complain(Screen *self, const char *message)
{
	g_autofree char *safe = screen_say(self, message);
	GString *line = g_string_new(NULL);

	g_string_printf(line, "dps-tag: %s\n", safe);
	if (!self->is_utf8)
		turn_into_ascii(line);
	(void)fputs(line->str, stderr); /* there is nowhere else to say so */
	g_string_free(line, TRUE);
}

static gboolean
write_all(Screen *self, int fd, const char *text, GError **error)
{
	const char *at = text;
	size_t left = strlen(text);

	while (left > 0) {
		ssize_t n = TEMP_FAILURE_RETRY(write(fd, at, left));

		if (n < 0) {
			self->has_broken_pipe = errno == EPIPE;
			g_set_error(error, DPS_ERROR,
				    errno == ENOSPC ? DPS_ERROR_NO_SPACE : DPS_ERROR_IO,
				    "standard output: write: %s", g_strerror(errno));
			return FALSE;
		}
		at += n;
		left -= (size_t)n;
	}

	return TRUE;
}

static guint
count_lines(const char *text)
{
	guint n = 0;

	for (; *text; text++)
		n += *text == '\n';

	return n;
}

/* Shows the text in the pager that the user likes.  FALSE: there is none, nothing was shown. */
static gboolean
show_in_pager(Screen *self)
{
	const char *pager = g_getenv("PAGER");
	g_auto(GStrv) environment = g_get_environ();
	g_autofree char *less = pager ? NULL : g_find_program_in_path("less");
	const char *argv[] = { "/bin/sh", "-c", pager ? pager : "less", NULL };
	struct sigaction ignore = { .sa_handler = SIG_IGN }, before;
	GPid pid;
	int fd, status;

	if (pager && (!*pager || strcmp(pager, "cat") == 0))
		return FALSE;
	if (!pager && !less)
		return FALSE;

	/* Colours through, no pager for what fits, the text stays on the screen; and who runs us
	 * through sudo gets no shell out of it. */
	environment = g_environ_setenv(environment, "LESS", "FRXM", FALSE);
	environment = g_environ_setenv(environment, "LESSSECURE", "1", TRUE);
	environment = g_environ_setenv(environment, "LESSCHARSET",
				       self->is_utf8 ? "utf-8" : "ascii", FALSE);
	if (!g_spawn_async_with_pipes(NULL, (char **)argv, environment, G_SPAWN_DO_NOT_REAP_CHILD,
				      NULL, NULL, &pid, &fd, NULL, NULL, NULL))
		return FALSE;

	/* ^C belongs to the pager while it runs; that it is left early is no error. */
	sigaction(SIGINT, &ignore, &before);
	write_all(self, fd, self->text->str, NULL);
	close(fd);
	TEMP_FAILURE_RETRY(waitpid(pid, &status, 0));
	sigaction(SIGINT, &before, NULL);
	self->has_broken_pipe = FALSE;

	/* 127 is the shell's word for a program that it did not find: show it without one. */
	return !(WIFEXITED(status) && WEXITSTATUS(status) == 127);
}

gboolean
screen_write_document(Screen *self, const char *document, GError **error)
{
	return write_all(self, STDOUT_FILENO, document, error);
}

gboolean
screen_flush(Screen *self, GError **error)
{
	gboolean is_long = self->height > 0 && count_lines(self->text->str) >= self->height;
	gboolean ok;

	if (self->text->len == 0)
		return TRUE;
	if (!self->is_utf8)
		turn_into_ascii(self->text);

	ok = (self->may_page && self->is_terminal && is_long && show_in_pager(self)) ||
	     write_all(self, STDOUT_FILENO, self->text->str, error);
	g_string_truncate(self->text, 0);
	return ok;
}
