/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ground/edit.h"
#include "ground/region.h"

/*
 * Another default subvolume for a btrfs that is not mounted, as an ordered list of edits.  Nothing
 * is allocated and no tree changes its shape: the "default" entry of the root tree gets another
 * location, its leaf another checksum, and each superblock the feature flag that the kernel sets.
 *
 * The order is one that leaves a file system which mounts, with the old or the new default,
 * wherever it is cut off and wherever a write is torn:
 *
 *	1. superblock copies, last to first: one sector each; the flag alone means nothing
 *	2. the leaf.  Two copies or more: those that are bad, then the others last to first; while
 *	   one is written another one is whole.  One copy: a single sector, which the device writes
 *	   or does not: the entry's own if it also holds the checksum; else, for crc32c, with the
 *	   checksum left as it is, as the entry's transid, which nobody reads, takes up the
 *	   difference.  What cannot be done in one sector needs a journal.
 *
 * A file system whose copies differ, as a cut-off run leaves it, is made good on the way.
 */

typedef struct {
	GPtrArray *edits;	/* DpsEdit, in order; empty: nothing to do */
	gboolean needs_journal; /* torn in the middle they would lose the file system */
	char *note;		/* what the plan must say of them; NULL: nothing */
} DpsBtrfsEdit;

void dps_btrfs_edit_clear(DpsBtrfsEdit *edit);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(DpsBtrfsEdit, dps_btrfs_edit_clear)

/**
 * dps_btrfs_edit_default:
 * @region: the bytes of the device, which nobody has mounted
 * @id: the subvolume to make default
 * @out: (out): set only on success; clear it with dps_btrfs_edit_clear()
 * @error: %DPS_ERROR_NOT_FOUND: no such subvolume, or it is deleted; %DPS_ERROR_REFUSED: the file
 *   system is in no state to be edited, and why; %DPS_ERROR_UNSUPPORTED, %DPS_ERROR_CORRUPT,
 *   %DPS_ERROR_IO
 *
 * Returns: %TRUE on success
 */
gboolean dps_btrfs_edit_default(const DpsRegion *region, uint64_t id, DpsBtrfsEdit *out,
				GError **error);
