/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/version.h"

#include <glib.h>
#include <string.h>

/* What takes part in the comparison; everything else only separates. */
static gboolean
counts(char c)
{
	return g_ascii_isalnum(c) || (c != '\0' && strchr("~-^.", c) != NULL);
}

static size_t
run_length(const char *text, gboolean (*belongs)(char c))
{
	size_t n = 0;

	while (belongs(text[n]))
		n++;
	return n;
}

static gboolean
is_digit(char c)
{
	return g_ascii_isdigit(c);
}

static gboolean
is_letter(char c)
{
	return g_ascii_isalpha(c);
}

static int
compare_numbers(const char *a, size_t a_length, const char *b, size_t b_length)
{
	while (a_length > 0 && *a == '0')
		a++, a_length--;
	while (b_length > 0 && *b == '0')
		b++, b_length--;

	if (a_length != b_length)
		return a_length < b_length ? -1 : 1;

	return strncmp(a, b, a_length);
}

static int
compare_words(const char *a, size_t a_length, const char *b, size_t b_length)
{
	int order = strncmp(a, b, MIN(a_length, b_length));

	if (order != 0)
		return order;

	return (a_length > b_length) - (a_length < b_length);
}

int
dps_version_compare(const char *a, const char *b)
{
	a = a ? a : "";
	b = b ? b : "";

	for (;;) {
		gboolean numbers;
		size_t a_length, b_length;
		int order;

		while (*a && !counts(*a))
			a++;
		while (*b && !counts(*b))
			b++;

		/* A pre-release is older than the release: before the end of the other. */
		if (*a == '~' || *b == '~') {
			if (*a != *b)
				return *a == '~' ? -1 : 1;
			a++, b++;
			continue;
		}

		if (*a == '\0' || *b == '\0')
			return (*a != '\0') - (*b != '\0');

		/* Each of these is older than what follows it here, and than any letter or digit.
		 */
		for (const char *separator = "-^."; *separator; separator++)
			if (*a == *separator || *b == *separator) {
				if (*a != *b)
					return *a == *separator ? -1 : 1;
				break;
			}
		if (!g_ascii_isalnum(*a)) {
			a++, b++;
			continue;
		}

		/* A number beats any letters. */
		numbers = g_ascii_isdigit(*a) || g_ascii_isdigit(*b);
		if (numbers && g_ascii_isdigit(*a) != g_ascii_isdigit(*b))
			return g_ascii_isdigit(*a) ? 1 : -1;

		a_length = run_length(a, numbers ? is_digit : is_letter);
		b_length = run_length(b, numbers ? is_digit : is_letter);
		order = numbers ? compare_numbers(a, a_length, b, b_length)
				: compare_words(a, a_length, b, b_length);
		if (order != 0)
			return order;

		a += a_length;
		b += b_length;
	}
}
