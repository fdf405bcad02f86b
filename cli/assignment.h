/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dps/dps.h>

/* ROLE[:ARCH]=PARTITION[,FLAG…], taken apart. */
typedef struct {
	DpsRole role;
	DpsArch arch;	 /* NONE: not given */
	char *partition; /* as dps_disk_find_partition() reads it */
	DpsFlags set, clear;
} Assignment;

void assignment_free(Assignment *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Assignment, assignment_free)

/* Whether @word is meant as an assignment, and not as a file: it has a "=", and no "/" before it.
 */
gboolean assignment_is_meant(const char *word);

/**
 * assignment_parse:
 * @text: what was typed
 * @error: %DPS_ERROR_INVALID: which part makes no sense, and what would
 *
 * Returns: (transfer full): the assignment, %NULL on failure
 */
Assignment *assignment_parse(const char *text, GError **error);

/**
 * assignment_parse_all:
 * @words: what was typed
 * @n_words: how many
 * @error: %DPS_ERROR_INVALID: not an assignment
 *
 * Returns: (transfer full) (element-type Assignment): in order; %NULL on failure
 */
GPtrArray *assignment_parse_all(const char *const *words, guint n_words, GError **error);
