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
	DpsDisk *disk;	 /* NULL: the tree is on no disk */
	DpsTree *tree;	 /* NULL: there is none */
	DpsTree *system; /* "/" of this process, for what is mounted; NULL: not asked for yet */
	DpsArch arch;
	char *btrfs_default;	    /* "auto", "keep" or a path */
	char *root_hash, *usr_hash; /* NULL: not given */
	char *machine_id;	    /* NULL: the tree's */
	gboolean names;
	gboolean force;

	DpsPlanState state;
	/* The btrfs of one partition, where it is mounted; once asked for. */
	DpsBtrfs *mounted_btrfs;
	guint mounted_partition;

	GPtrArray *assignments; /* (element-type DpsAssignment), by partition once prepared */
	GPtrArray *changes;	/* (element-type DpsChange), in the order in which they are made */
	GPtrArray *findings;	/* (element-type DpsFinding) */

	/* What prepare leaves for apply. */
	GBytes *table; /* that it was made from: the disk may have been read again since */
	guint sector_size;
	GPtrArray *table_edits; /* (element-type DpsEdit) */
	GArray *touched;	/* guint: partitions that it is about, changed or not; NULL: all */
	gboolean table_first;	/* undo: a disk stops being discoverable before its root moves */

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

/* (nullable): where the tree's root is mounted, when it is mounted from this partition */
const DpsMount *dps_plan_get_root_mount(DpsPlan *plan, DpsPartition *partition);

/*
 * (nullable): where the btrfs of @partition, or in the LUKS that it holds, is mounted: in the tree,
 * or anywhere that this process sees; @tree is the tree that it belongs to, lent
 */
const DpsMount *dps_plan_find_btrfs_mount(DpsPlan *plan, DpsPartition *partition, DpsTree **tree);

/*
 * Computes the table's edits from the plan's changes, and adds a change for what of the table
 * itself is made good on the way.  For dps_plan_prepare() and for undo.
 */
gboolean dps_plan_prepare_table(DpsPlan *plan, GError **error);
