/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* What is wrong in the text files of a boot loader: lists of lines that no loader understands. */

/* A larger text file is not read, whatever systemd-boot does with it: it takes 16 GiB (util.c of
 * systemd 257, FILE_READ_MAX).  Who has such a one is told. */
#define DPS_BLS_MAX_FILE_SIZE ((size_t)1024 * 1024)

/* What is wrong with one line or the whole of an entry. */
typedef enum {
	DPS_BLS_PROBLEM_UNKNOWN_KEY,
	DPS_BLS_PROBLEM_NO_VALUE,
	DPS_BLS_PROBLEM_BAD_PATH,  /* ignored by bootctl */
	DPS_BLS_PROBLEM_BAD_VALUE, /* machine-id, profile, extra: not of their form */
	DPS_BLS_PROBLEM_REPEATED,  /* a key that may be there once; the last one counts */
	DPS_BLS_PROBLEM_CONFLICT,  /* two kinds of loader */
	DPS_BLS_PROBLEM_NO_LOADER,
	DPS_BLS_PROBLEM_BAD_NAME, /* the file's name: bootctl ignores it */
	DPS_BLS_PROBLEM_NOT_TEXT, /* NUL or bytes that are no UTF-8 */
} DpsBlsProblemKind;

typedef struct {
	DpsBlsProblemKind kind;
	guint line;    /* 0: about the file */
	char *message; /* one line, without the file's name */
} DpsBlsProblem;

/* Returns: (transfer full) (element-type DpsBlsProblem): an empty list */
GPtrArray *dps_bls_problems_new(void);

/* Adds one; what a few dozen have not told, more will not: from then on nothing is added. */
void dps_bls_problems_add(GPtrArray *problems, DpsBlsProblemKind kind, guint line,
			  const char *format, ...) G_GNUC_PRINTF(4, 5);
