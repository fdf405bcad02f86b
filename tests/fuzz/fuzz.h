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
