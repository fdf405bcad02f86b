/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* The one of @candidates (ends in NULL) that was most likely meant by @word; NULL when none is near
 * enough to be worth a question. */
const char *suggest_nearest(const char *word, const char *const *candidates);

/* "a, b or c" */
char *suggest_join(const char *const *candidates);
