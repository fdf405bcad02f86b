/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "suggest.h"

#include <string.h>

/* Names are short; what is longer is no slip of the finger. */
#define WORD_MAX 40

/* Damerau and Levenshtein's distance, neighbours swapped counting once; bytes, for names are ASCII.
 */
static guint
distance(const char *a, const char *b)
{
	guint rows[3][WORD_MAX + 1];
	guint *before = rows[0], *last = rows[1], *now = rows[2], *spare;
	size_t a_len = strlen(a), b_len = strlen(b);

	if (a_len > WORD_MAX || b_len > WORD_MAX)
		return G_MAXUINT;

	for (guint j = 0; j <= b_len; j++)
		last[j] = j;

	for (guint i = 1; i <= a_len; i++) {
		now[0] = i;
		for (guint j = 1; j <= b_len; j++) {
			guint cost = a[i - 1] != b[j - 1];

			now[j] = MIN(MIN(last[j] + 1, now[j - 1] + 1), last[j - 1] + cost);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				now[j] = MIN(now[j], before[j - 2] + 1);
		}
		spare = before;
		before = last;
		last = now;
		now = spare;
	}

	return last[b_len];
}

const char *
suggest_nearest(const char *word, const char *const *candidates)
{
	g_autofree char *lower = g_ascii_strdown(word, -1);
	const char *best = NULL;
	guint best_distance = MAX(1, (guint)strlen(word) / 3) + 1;

	for (; *candidates; candidates++) {
		guint d = distance(lower, *candidates);

		/* "usr-ver" is far from "usr-verity" by letters, and plainly the start of it */
		if (strlen(word) >= 3 && g_str_has_prefix(*candidates, lower))
			d = 1;
		if (d < best_distance) {
			best = *candidates;
			best_distance = d;
		}
	}

	return best;
}

char *
suggest_join(const char *const *candidates)
{
	GString *text = g_string_new(NULL);

	for (; *candidates; candidates++)
		g_string_append_printf(text, "%s%s",
				       !text->len      ? ""
				       : candidates[1] ? ", "
						       : " or ",
				       *candidates);

	return g_string_free(text, FALSE);
}
