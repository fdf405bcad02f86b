/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/**
 * dps_text_clean:
 * @bytes: text from a medium, in any encoding
 * @size: bytes; a NUL among them is a byte like others
 *
 * Returns: (transfer full): the same as valid UTF-8 without control characters, which could tell
 *   a terminal what to do: U+FFFD stands for each of them and for what is no UTF-8
 */
char *dps_text_clean(const char *bytes, gsize size);

/* Returns: (transfer full): a word for a shell, quoted where it need be */
char *dps_text_quote(const char *word);
