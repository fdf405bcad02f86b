/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dps/disk.h>
#include "ground/edit.h"
#include "ground/region.h"

/*
 * A disk's or an image's own descriptor: the lock, ordered edits with a flush behind each, reading
 * back past the cache.  Its edits are the only way by which the library writes to a medium.
 */
typedef struct _DpsMedium DpsMedium;

/**
 * dps_medium_open:
 * @path: a block device or a regular file
 * @flags: as dps_disk_open() has them
 * @error: as dps_disk_open() has it
 *
 * Returns: (transfer full): the medium, locked when it is writable, %NULL on failure
 */
DpsMedium *dps_medium_open(const char *path, DpsOpenFlags flags, GError **error);
DpsMedium *dps_medium_ref(DpsMedium *self);
void dps_medium_unref(DpsMedium *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DpsMedium, dps_medium_unref)

const char *dps_medium_get_path(DpsMedium *self);
int dps_medium_get_fd(DpsMedium *self);		   /* lent */
uint64_t dps_medium_get_size(DpsMedium *self);	   /* bytes */
guint dps_medium_get_sector_size(DpsMedium *self); /* bytes; 0 for a regular file */
dev_t dps_medium_get_device(DpsMedium *self);	   /* st_rdev; 0 for a regular file */
gboolean dps_medium_is_device(DpsMedium *self);
gboolean dps_medium_is_writable(DpsMedium *self);

/* That what a run that was cut off had begun was written (target/journal): who fails behind that
 * cannot say that nothing was changed. */
void dps_medium_set_finished(DpsMedium *self);
gboolean dps_medium_is_finished(DpsMedium *self);

/* Fails with DPS_ERROR_UNSUPPORTED for a partition, and names the disk that it is on. */
gboolean dps_medium_require_disk(DpsMedium *self, GError **error);

/* The whole of it. */
DpsRegion dps_medium_get_region(DpsMedium *self);

/* Drops what the page cache has of the medium, so that the next read asks the medium. */
gboolean dps_medium_drop_cache(DpsMedium *self, uint64_t offset, uint64_t size, GError **error);

/**
 * dps_medium_write_edits:
 * @self: a writable medium
 * @start: added to the offset of each edit: where the editor's region starts, in bytes
 * @edits: (element-type DpsEdit): in order; may be empty
 * @done: (out) (optional): how many edits are on the medium, also on failure; the one behind them
 *   may be there in part: dps_medium_put_back() takes both into account
 * @error: %DPS_ERROR_CHANGED: somebody else wrote there, and nothing was written when @done is 0;
 *   %DPS_ERROR_IO: a write or a flush failed, or the medium gave other bytes back than were written
 *
 * Writes each edit with one pwrite and one fdatasync, then reads all of them back past the page
 * cache and compares.  Before each one the places of all are looked at: who takes no lock may have
 * written meanwhile, and then nothing more is.  An edit may change again what one before it has
 * changed.
 *
 * Returns: %TRUE when all are on the medium
 */
gboolean dps_medium_write_edits(DpsMedium *self, uint64_t start, GPtrArray *edits, guint *done,
				GError **error);

/**
 * dps_medium_put_back:
 * @self: a writable medium
 * @start: as for dps_medium_write_edits()
 * @edits: (element-type DpsEdit): those that dps_medium_write_edits() was given
 * @done: how many it said are on the medium; the one behind them may be there in part
 * @error: %DPS_ERROR_CHANGED: somebody else wrote there, and nothing is put back; %DPS_ERROR_IO
 *
 * Puts the old bytes back, the last edit first, so that what holds at every point on the way there
 * holds on the way back.  Each is flushed and read back.
 *
 * Returns: %TRUE when the medium is as it was before the edits
 */
gboolean dps_medium_put_back(DpsMedium *self, uint64_t start, GPtrArray *edits, guint done,
			     GError **error);

/* Whether all places of @edits read as before the first of them, past the page cache.  What was
 * written and could not be flushed may come to be there all the same. */
gboolean dps_medium_reads_as_before(DpsMedium *self, uint64_t start, GPtrArray *edits);

/*
 * Gives up the lock and the writing descriptor, which is what udevd waits for to read the disk
 * again. The medium can only be read afterwards.
 */
void dps_medium_stop_writing(DpsMedium *self);
