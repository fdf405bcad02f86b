/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dps/plan.h>
#include "target/disk.h"
#include "target/tree.h"

struct _DpsAssignment {
	DpsRole role;
	DpsArch arch; /* NONE where the role needs none */
	guint partition;
	DpsFlags set, clear;
	gboolean typed; /* by somebody, not detected */
	char *reason;
};

/* A plan goes through these in order and never back. */
typedef enum {
	DPS_PLAN_OPEN,	   /* takes assignments */
	DPS_PLAN_PREPARED, /* its changes are computed, and nothing stands in their way */
	DPS_PLAN_SPENT,	   /* was applied, or failed to be */
} DpsPlanState;

struct _DpsPlan {
	gint refs;
	DpsDisk *disk; /* NULL: the tree is on no disk */
	DpsTree *tree; /* NULL: there is none */
	DpsArch arch;
	char *btrfs_default;  /* "auto", "keep" or a path */
	DpsBtrfs *root_btrfs; /* where root is mounted, once asked for */
	gboolean force;

	DpsPlanState state;
	GPtrArray *assignments; /* (element-type DpsAssignment), by partition once prepared */
	GPtrArray *changes;	/* (element-type DpsChange), in the order in which they are made */
	GPtrArray *findings;	/* (element-type DpsFinding) */

	/* What prepare leaves for apply. */
	GPtrArray *table_edits; /* (element-type DpsEdit) */
	/* Undo: the table first, so that a disk stops being discoverable before its root moves; and
	 * the tree is the running system. */
	gboolean is_undo;

	/* What apply did. */
	gboolean applied;
	char *backup;
};

/* Takes the finding. */
void dps_plan_add_finding(DpsPlan *plan, DpsFinding *finding);

/* (nullable): the assignment of a partition, or of a role */
const DpsAssignment *dps_plan_get_assignment_of(DpsPlan *plan, guint partition);
const DpsAssignment *dps_plan_get_assignment_for(DpsPlan *plan, DpsRole role);

/* Like dps_plan_assign(), for what was detected: @reason says how. */
gboolean dps_plan_assign_detected(DpsPlan *plan, DpsRole role, guint partition, const char *reason,
				  GError **error);

/* "disk.raw: partition 3", for messages; the caller frees it */
char *dps_plan_describe(DpsPlan *plan, guint partition);

/*
 * Where the root file system of @partition is mounted, as far as the tree knows: NULL when the
 * tree's root is not on this partition.
 */
const DpsMount *dps_plan_get_root_mount(DpsPlan *plan, DpsPartition *partition);

/*
 * Where the btrfs of @partition is mounted: as root of the tree, or for undo anywhere in the
 * running system, as a backup knows no tree (it may be /mnt/sysroot); NULL: nowhere.
 */
const DpsMount *dps_plan_get_btrfs_mount(DpsPlan *plan, DpsPartition *partition);

/*
 * Computes the table's edits from the plan's changes, and adds a change for what of the table
 * itself is made good on the way.  For dps_plan_prepare() and for undo.
 */
gboolean dps_plan_prepare_table(DpsPlan *plan, GError **error);
