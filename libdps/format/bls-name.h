/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/*
 * The names of boot entries, as both types have them: boot counters, the characters that may be in
 * one, the patterns that loader.conf chooses by, and paths from the root of a partition.
 *
 * Source: UAPI.1; systemd-boot(7).
 */

/**
 * dps_bls_glob:
 * @pattern: a pattern with `*`, `?` and `[…]`
 * @text: an entry's id
 *
 * Returns: whether @text matches, in either case; bounded in time for any pattern
 */
gboolean dps_bls_glob(const char *pattern, const char *text);

/* An entry's file name without its boot counter: "name+LEFT[-DONE].SUFFIX".  A value. */
typedef struct {
	char *id; /* "name.conf", "name.efi" */
	gboolean is_counted;
	guint tries_left, tries_done;
} DpsBlsName;

/**
 * dps_bls_name_parse:
 * @name: a file name, without directory
 * @suffix: ".conf" or ".efi"
 * @out: (out): clear it with dps_bls_name_clear()
 *
 * The last "+" counts, and only when nothing but the suffix comes after the numbers.
 */
void dps_bls_name_parse(const char *name, const char *suffix, DpsBlsName *out);
void dps_bls_name_clear(DpsBlsName *name);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(DpsBlsName, dps_bls_name_clear)

/* Whether bootctl takes @name: at most 255 of A-Z a-z 0-9 + - _ . @ */
gboolean dps_bls_name_is_valid(const char *name);

/**
 * dps_bls_path_normalise:
 * @path: a path of an entry
 *
 * Returns: (transfer full) (nullable): @path from the root of its partition, without a slash in
 *   front, doubled slashes and "."; %NULL when it has "..", ends with a slash, is empty or longer
 *   than any path.  A backslash is a slash, as it is for firmware
 */
char *dps_bls_path_normalise(const char *path);
