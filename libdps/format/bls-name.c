/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/bls-name.h"

#include <errno.h>
#include <string.h>

/* UAPI.1, "Type #1 Boot Loader Specification Entries": names are at most this long. */
#define MAX_NAME_LENGTH 255

/* Paths longer than this are no paths on FAT: 255 names of 255 characters would be, but PATH_MAX
 * ends before. */
#define MAX_PATH_LENGTH 4096

/*
 * One simple pattern, without `*`, at the start of @text.  @pattern is moved behind it: to a `*` or
 * the end.
 *
 * Returns: how much of @text it takes, -1 when it does not match
 */
static gssize
match_simple(const char **pattern, const char *text)
{
	const char *p = *pattern, *t = text;

	for (; *p && *p != '*'; t++) {
		char c = g_ascii_tolower(*t);
		gboolean matches = FALSE, first = TRUE;
		char low = '\0';

		if (c == '\0')
			return -1;
		if (*p == '?') {
			p++;
			continue;
		}
		if (*p == '\\' && p[1] != '\0') {
			p++;
		} else if (*p == '[') {
			for (p++; *p && (*p != ']' || first); first = FALSE) {
				if (*p == '-' && low != '\0' && p[1] != ']' && p[1] != '\0') {
					p++;
					if (*p == '\\' && p[1] != '\0')
						p++;
					matches |= low <= c && c <= g_ascii_tolower(*p);
					p++;
					low = '\0';
					continue;
				}
				if (*p == '\\' && p[1] != '\0')
					p++;
				low = g_ascii_tolower(*p++);
				matches |= low == c;
			}
			if (*p == '\0' || !matches)
				return -1;
			p++;
			continue;
		}
		if (g_ascii_tolower(*p) != c)
			return -1;
		p++;
	}

	*pattern = p;
	return t - text;
}

gboolean
dps_bls_glob(const char *pattern, const char *text)
{
	gboolean is_anchored = TRUE;

	/*
	 * Simple patterns with stars between them: each is taken at the first place where it
	 * matches, the last one at the end.  No way back is needed, so the time is at most the
	 * product of the two lengths.
	 */
	for (;;) {
		const char *next = pattern;
		gssize taken = match_simple(&next, text);

		if (taken >= 0 && (*next == '*' || text[taken] == '\0')) {
			if (*next == '\0')
				return TRUE;
			text += taken;
			while (*next == '*')
				next++;
			if (*next == '\0')
				return TRUE;
			pattern = next;
			is_anchored = FALSE;
			continue;
		}
		if (is_anchored || *text == '\0')
			return FALSE;
		text++;
	}
}

static gboolean
read_tries(const char **at, guint *out)
{
	gint64 value;
	char *end;

	if (!g_ascii_isdigit(**at))
		return FALSE;

	/* systemd-boot's own limit. */
	errno = 0;
	value = g_ascii_strtoll(*at, &end, 10);
	if (errno != 0 || value > G_MAXINT)
		return FALSE;

	*at = end;
	*out = (guint)value;
	return TRUE;
}

void
dps_bls_name_parse(const char *name, const char *suffix, DpsBlsName *out)
{
	const char *plus = strrchr(name, '+');
	const char *at = plus ? plus + 1 : NULL;
	DpsBlsName parsed = { 0 };

	if (at && read_tries(&at, &parsed.tries_left)) {
		parsed.is_counted = TRUE;
		if (*at == '-') {
			at++;
			parsed.is_counted = read_tries(&at, &parsed.tries_done);
		}
		if (parsed.is_counted && g_ascii_strcasecmp(at, suffix) == 0) {
			parsed.id = g_strdup_printf("%.*s%s", (int)(plus - name), name, at);
			*out = parsed;
			return;
		}
	}
	*out = (DpsBlsName){ .id = g_strdup(name) };
}

void
dps_bls_name_clear(DpsBlsName *name)
{
	g_clear_pointer(&name->id, g_free);
}

gboolean
dps_bls_name_is_valid(const char *name)
{
	size_t size = strlen(name);

	for (const char *c = name; *c; c++)
		if (!g_ascii_isalnum(*c) && !strchr("+-_.@", *c))
			return FALSE;

	return size > 0 && size <= MAX_NAME_LENGTH;
}

char *
dps_bls_path_normalise(const char *path)
{
	size_t size = strlen(path);
	g_auto(GStrv) parts = NULL;
	g_autofree char *slashes = NULL;
	g_autoptr(GString) out = NULL;

	if (size == 0 || size > MAX_PATH_LENGTH || strchr("/\\", path[size - 1]))
		return NULL;

	/* Firmware's own separator; systemd-boot takes either (convert_efi_path()). */
	slashes = g_strdelimit(g_strdup(path), "\\", '/');
	out = g_string_new(NULL);
	parts = g_strsplit(slashes, "/", -1);
	for (guint i = 0; parts[i]; i++) {
		if (*parts[i] == '\0' || strcmp(parts[i], ".") == 0)
			continue;
		if (strcmp(parts[i], "..") == 0)
			return NULL;
		if (out->len > 0)
			g_string_append_c(out, '/');
		g_string_append(out, parts[i]);
	}
	if (out->len == 0)
		return NULL;

	return g_strdup(out->str);
}
