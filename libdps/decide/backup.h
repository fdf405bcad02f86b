/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "decide/change.h"
#include "decide/plan.h"

/*
 * A backup is a plan turned round: what was changed, from what, to what, on which disk.  The file
 * is JSON that people can read; backup.c has its keys.
 */

/* Which partition a change was made to, so that undo finds the same one. */
typedef struct {
	DpsChange *change;
	DpsGuid guid;	/* the partition's own, as it was before */
	uint64_t start; /* bytes */
} DpsBackupEntry;

struct _DpsBackup {
	gint refs;
	char *disk_path, *disk_uuid, *time;
	GPtrArray
		*entries; /* (element-type DpsBackupEntry), in the order in which they were made */
};

/* What the plan is about to change, as the contents of a backup file. */
char *dps_backup_write(DpsPlan *plan, const char *time);

/* (transfer full): what the bytes of a backup file say; @name is for messages */
DpsBackup *dps_backup_parse(const char *text, gsize size, const char *name, GError **error);

/*
 * Whether @backup was kept by a run of the same job that was cut off: it has all that @plan is
 * about to change and nothing else but what is changed already, and the disk is as a run that goes
 * by it can leave it.  Then it takes everything back, also when @plan has only the rest to do.  Of
 * a disk that has only the same identifier, and nothing changed on it, it is not.
 */
gboolean dps_backup_is_of_same_job(DpsBackup *backup, DpsPlan *plan);

/* An entry is below 1 KiB, a table has at most 1024 partitions, each with a few changes. */
#define DPS_BACKUP_MAX_SIZE ((size_t)4 * 1024 * 1024)
