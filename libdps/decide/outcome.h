/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "decide/plan.h"

/* The table entry of a partition as it is to become. */
typedef struct {
	DpsPartition *partition;
	const DpsAssignment *assignment; /* NULL: none */
	const DpsType *type;		 /* NULL: not of the DPS, stays as it is */
	uint64_t attributes;
	DpsGuid guid;
	const char *guid_reason; /* NULL: it stays */
	char *label;		 /* NULL: none */
} DpsOutcome;

/**
 * dps_plan_make_outcomes:
 * @plan: a plan with all its assignments
 * @error: %DPS_ERROR_REFUSED: what is in the way of the UUIDs that were asked for
 *
 * Types and flags as they are assigned, the UUIDs that derive from a root hash or a machine id, and
 * names where they were asked for.
 *
 * Returns: (transfer full) (element-type DpsOutcome): one a partition, in the order of the table;
 *   %NULL on failure
 */
GPtrArray *dps_plan_make_outcomes(DpsPlan *plan, GError **error);
