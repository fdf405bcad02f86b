/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "facts.h"
#include "screen.h"
#include "target.h"

/* Findings (DpsFinding), worst first, each with its hint; --quiet: errors alone. */
void report_findings(Screen *screen, GPtrArray *findings);

/*
 * What check found, by the disk and its partitions, those with the worst first; at the end whether
 * root is discoverable.  --quiet: errors alone.
 */
void report_check(Screen *screen, const Facts *disk);

/* A plan for people: the disk before and after, each change with its reason, what there is to say
 * beside. */
void report_plan(Screen *screen, const Target *target, DpsPlan *plan);

/* (transfer full): what to paste into a shell to put it back; the plan was applied, and has a
 * backup */
char *report_undo(DpsPlan *plan);

/* What was done: what was written, where the backup is, how to undo it. */
void report_applied(Screen *screen, DpsPlan *plan);

/* Those of @more that @findings does not say already are added to it. */
void report_add_findings(GPtrArray *findings, GPtrArray *more);

gboolean report_has_error(GPtrArray *findings);
