/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "target/medium.h"

/*
 * The file IMAGE.dps-journal beside an image: edits that would lose a file system if they were cut
 * off in the middle.  It is whole and flushed before the first of them is written; when all are, it
 * is marked as done, in place and flushed, and removed.  While one is there that is not done,
 * whoever opens the image to write finishes first what was begun.
 *
 * A block device has no place beside it: edits that need this are refused there.
 */

/**
 * dps_journal_write_edits:
 * @medium: a writable image file
 * @start: as for dps_medium_write_edits()
 * @edits: (element-type DpsEdit): as for dps_medium_write_edits()
 * @is_left: (out) (optional): whether anything of them may be there: %FALSE on failure when it was
 *   put back; else the journal is there too, unless it was removed and the flush of that failed
 * @error: %DPS_ERROR_REFUSED: a block device; %DPS_ERROR_PERMISSION, %DPS_ERROR_NO_SPACE: no
 *   journal can be written, and the image is as it was; what dps_medium_write_edits() says
 *
 * Returns: %TRUE when all are on the medium and the journal is gone
 */
gboolean dps_journal_write_edits(DpsMedium *medium, uint64_t start, GPtrArray *edits,
				 gboolean *is_left, GError **error);

/**
 * dps_journal_remove:
 * @medium: a writable medium, of which nothing is to be finished
 * @error: %DPS_ERROR_IO and its kin
 *
 * Returns: %TRUE when there is no journal (any more)
 */
gboolean dps_journal_remove(DpsMedium *medium, GError **error);

/**
 * dps_journal_finish:
 * @medium: a writable medium
 * @finished: (out) (optional): whether there was something to finish
 * @error: %DPS_ERROR_CHANGED: the image has been changed by somebody else since;
 * %DPS_ERROR_REFUSED: the file is somebody else's; %DPS_ERROR_CORRUPT: it is no journal, or was
 * damaged; %DPS_ERROR_UNSUPPORTED: another version of libdps wrote it; %DPS_ERROR_IO
 *
 * Writes what a run that was cut off left to write, and removes the journal.  While a journal is
 * being made it has no name, so that none that is there was cut off itself.  One that is done, or
 * of which nothing was written yet, is removed only.
 *
 * Returns: %TRUE when there is no journal (any more)
 */
gboolean dps_journal_finish(DpsMedium *medium, gboolean *finished, GError **error);

/* Whether there is a journal, and not done: for those who only read, and may find what was cut off.
 */
gboolean dps_journal_is_pending(DpsMedium *medium);
