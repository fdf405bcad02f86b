/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "decide/plan.h"

/*
 * The file that a run keeps its backup in (decide/backup has what is in it): where it goes, and
 * whether an earlier run of the same job, which was cut off, has left one that takes back more.
 */
typedef struct {
	int dir;	   /* -1: there is none */
	gboolean is_older; /* an earlier run that was cut off left it: it stays */
	gboolean is_moved; /* and the disk is elsewhere now */
	char *parent;	   /* NULL: the caller gave the name */
	char *name, *path;
} DpsBackupFile;

/* Makes it none: what it begins as is { .dir = -1 }, too. */
void dps_backup_file_clear(DpsBackupFile *file);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(DpsBackupFile, dps_backup_file_clear)

/**
 * dps_backup_file_save:
 * @file: (inout): none before; what keeps the backup behind it, none when there is nothing to keep
 * @plan: a prepared plan, of which nothing is written yet
 * @backup: (nullable): a path; "none"; %NULL: below /var/lib/libdps, for a block device alone
 * @error: why there is no backup, and what to type: nothing was changed
 *
 * Returns: %TRUE when it is whole and on its medium, or is not wanted
 */
gboolean dps_backup_file_save(DpsBackupFile *file, DpsPlan *plan, const char *backup,
			      GError **error);

/* Removes it when this run made it: there is nothing to take back. */
void dps_backup_file_take_away(DpsBackupFile *file);

/* (transfer full) (nullable): what to type to go back to what it has; NULL when there is none */
char *dps_backup_file_get_undo(const DpsBackupFile *file, DpsPlan *plan);
