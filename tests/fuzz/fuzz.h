/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

/* Gives one input to a reader.  Any input is fine; a crash, a leak and an endless loop are not. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What every string that a reader gives must be: UTF-8 that no terminal obeys; NULL is fine. */
static inline void
fuzz_check_text(const char *text)
{
	if (!text)
		return;

	g_assert_true(g_utf8_validate(text, -1, NULL));
	for (const char *at = text; *at; at = g_utf8_next_char(at))
		g_assert_false(g_unichar_iscntrl(g_utf8_get_char(at)));
}

/* The same for a failure, which must say something. */
static inline void
fuzz_check_error(const GError *error)
{
	g_assert_nonnull(error);
	g_assert_cmpstr(error->message, !=, "");
	fuzz_check_text(error->message);
}

/*
 * What a reader told of one input, as text: whoever reads the same bytes again must be told the
 * same, or the answer hangs on something that is not in them: memory that nobody wrote, an address,
 * the order of a table.
 */
typedef void (*FuzzTell)(gpointer input, GString *told);

static inline void
fuzz_tell_twice(FuzzTell tell, gpointer input)
{
	g_autoptr(GString) first = g_string_new(NULL);
	g_autoptr(GString) second = g_string_new(NULL);

	tell(input, first);
	tell(input, second);
	g_assert_cmpmem(first->str, first->len, second->str, second->len);
}
