/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dps/check.h>
#include "target/disk.h"
#include "target/tree.h"

/*
 * A rule is one function and one row of a table: check-gpt.c, check-esp.c and check-root.c have
 * them by subject.  A code is born in its row, has a section in dps-findings(7), one test that
 * makes it fire and one that keeps it silent; tests/lint/findings.py holds the four together.
 */

typedef struct _DpsRule DpsRule;

/* What a rule sees, and where its findings go. */
typedef struct {
	DpsDisk *disk;
	DpsTree *tree;		 /* NULL: there is none */
	DpsArch arch;		 /* that the disk is to boot on; NONE: nothing tells */
	const char *arch_reason; /* "as asked for", "of the tree's programs"; NULL with NONE */
	const DpsRule *rule;	 /* the one that runs */
	GPtrArray *findings;
} DpsCheck;

struct _DpsRule {
	const char *code;
	DpsSeverity severity; /* unless the function knows better */
	void (*run)(DpsCheck *check);
};

extern const DpsRule dps_rules_gpt[], dps_rules_esp[], dps_rules_root[]; /* end with no code */

/* Adds a finding of the rule that runs.  hint may be NULL; message is a format. */
void dps_check_report(DpsCheck *check, guint partition, const char *hint, const char *format, ...)
	G_GNUC_PRINTF(4, 5);
void dps_check_report_as(DpsCheck *check, DpsSeverity severity, guint partition, const char *hint,
			 const char *format, ...) G_GNUC_PRINTF(5, 6);

/* The next partition behind @after (NULL: the first) that has a type of this role; NULL: no more */
DpsPartition *dps_check_next_of_role(DpsCheck *check, DpsRole role, DpsPartition *after);

/* The partition that systemd takes as root: of the disk's architecture, or NULL. */
DpsPartition *dps_check_get_root(DpsCheck *check);
