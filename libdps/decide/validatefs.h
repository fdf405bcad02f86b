/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "decide/outcome.h"
#include "target/disk.h"
#include "target/tree.h"

/*
 * The root directory of a file system can say, in `user.validatefs.*`, which partition it may be
 * mounted from.  systemd 258 and newer reboot at once when type, label or mount point are not among
 * what is allowed; systemd-repart writes these attributes.
 *
 * Source: systemd-validatefs@.service(8); systemd 258, src/validatefs/validatefs.c.
 */

/* What a partition is or will be; NULL: is not compared. */
typedef struct {
	const char *type_uuid, *label, *mount_point;
} DpsValidatefsFacts;

/* The first attribute that disagrees. */
typedef struct {
	const char *attribute; /* "gpt_label"; NULL: none does */
	const char *value;     /* of the facts */
	char *allowed;	       /* the first that the attribute has; valid UTF-8 */
} DpsValidatefsConflict;

void dps_validatefs_conflict_clear(DpsValidatefsConflict *conflict);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(DpsValidatefsConflict, dps_validatefs_conflict_clear)

/**
 * dps_validatefs_compare:
 * @disk: a disk
 * @tree: (nullable): the tree in which the file system may be mounted
 * @partition: one that holds a file system
 * @subvolume_id: btrfs: the subvolume that will be mounted; 0: the default one
 * @facts: what is compared
 * @conflict: (out): what disagrees; untouched on failure
 * @error: why its root directory cannot be read
 *
 * Returns: whether it was compared; what says nothing allows everything
 */
gboolean dps_validatefs_compare(DpsDisk *disk, DpsTree *tree, DpsPartition *partition,
				uint64_t subvolume_id, const DpsValidatefsFacts *facts,
				DpsValidatefsConflict *conflict, GError **error);

/**
 * dps_plan_check_validatefs:
 * @plan: a plan whose default subvolume is prepared
 * @outcome: what becomes of one partition
 * @error: %DPS_ERROR_REFUSED: which attribute would disagree
 *
 * Returns: whether everything that changes is allowed, or nothing is said, or it cannot be read
 */
gboolean dps_plan_check_validatefs(DpsPlan *plan, const DpsOutcome *outcome, GError **error);
