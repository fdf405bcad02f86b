/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/bls-problem.h"
#include "ground/text.h"

#include <stdarg.h>
#include <string.h>

/* Enough to tell that a file is broken; a file of a million bad lines is no million problems. */
#define MAX_PROBLEMS 64

static void
problem_free(DpsBlsProblem *problem)
{
	g_free(problem->message);
	g_free(problem);
}

GPtrArray *
dps_bls_problems_new(void)
{
	return g_ptr_array_new_with_free_func((GDestroyNotify)problem_free);
}

void
dps_bls_problems_add(GPtrArray *problems, DpsBlsProblemKind kind, guint line, const char *format,
		     ...)
{
	g_autofree char *message = NULL;
	DpsBlsProblem *problem;
	va_list args;

	if (problems->len >= MAX_PROBLEMS)
		return;

	problem = g_new(DpsBlsProblem, 1);
	problem->kind = kind;
	problem->line = line;
	va_start(args, format);
	message = g_strdup_vprintf(format, args);
	va_end(args);
	/* Long keys and values are cut, maybe inside of a character. */
	problem->message = dps_text_clean(message, strlen(message));
	g_ptr_array_add(problems, problem);
}
