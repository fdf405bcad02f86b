/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "format/gpt.h"
#include "ground/edit.h"

/*
 * New contents for entries of a table, as an ordered list of edits: the header flip.
 *
 *	1. backup entries	   readers see the old table (primary)
 *	2. backup header
 *	3. primary header, pointing at the backup's array: one sector, the switch from old to new
 *	4. primary entries	   readers see the new table (in the backup's array)
 *	5. primary header, pointing at its own array again
 *
 * At every crash point every reader, the Linux kernel included, finds the old table or the new.
 * libfdisk's own order (backup, primary entries, primary header) leaves a window in which the
 * kernel finds none.
 */

/* What shall change of one entry; what is not asked for stays to the bit. */
typedef struct {
	uint32_t number;
	gboolean set_type, set_guid, set_attributes, set_name;
	DpsGuid type_guid, guid;
	uint64_t attributes; /* the whole 64 bits */
	char *name;	     /* UTF-8, at most 36 UTF-16 units */
} DpsGptEntryChange;

/* Returns: (transfer full): a change of entry @number that changes nothing yet */
DpsGptEntryChange *dps_gpt_entry_change_new(uint32_t number);
void dps_gpt_entry_change_free(DpsGptEntryChange *change);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DpsGptEntryChange, dps_gpt_entry_change_free)

/**
 * dps_gpt_edit:
 * @gpt: the table as it is
 * @changes: (element-type DpsGptEntryChange): each entry at most once; may be empty
 * @allow_bad_primary: whether a bad primary copy may be made anew from a good backup (`--force`)
 * @edits: (out) (transfer full) (element-type DpsEdit): in the order in which they must be written,
 *   each with a flush behind it; empty when there is nothing to write
 * @repairs: (out) (transfer full) (nullable): one line that says what of the table itself is made
 *   good on the way (a write that was cut off is finished, a bad or differing backup is rewritten
 *   first), %NULL when nothing is
 * @error: %DPS_ERROR_REFUSED: the table is in no state to be written: the primary's array is not
 *   at LBA 2 (which is named), the backup is not inside the device, the primary is bad and
 *   @allow_bad_primary is not given, or an entry to be changed lies outside of the usable area or
 *   over another; %DPS_ERROR_IO: a copy that would be written could not be read, and need not be
 *   bad; %DPS_ERROR_NOT_FOUND: no such entry; %DPS_ERROR_INVALID: a name too long or no
 *   UTF-8, a null type, an entry given twice
 *
 * Only changed sectors are written, all changes in one pass; sectors that lie side by side make one
 * edit.  Edits may follow each other at one place (the primary header changes twice): the old bytes
 * of the second are the new ones of the first.  When @changes change nothing and the table is
 * whole, @edits is empty.  A backup that is only misplaced (the image was grown) stays where it is.
 * What cannot be repaired and need not be, since nothing else is to be written, is left alone.
 *
 * Returns: %TRUE on success
 */
gboolean dps_gpt_edit(const DpsGpt *gpt, GPtrArray *changes, gboolean allow_bad_primary,
		      GPtrArray **edits, char **repairs, GError **error);
