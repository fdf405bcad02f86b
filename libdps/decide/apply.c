/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/backup.h"
#include "decide/change.h"
#include "decide/default-subvolume.h"
#include "decide/finding.h"
#include "ground/error.h"
#include "target/save.h"

#include <string.h>
#include <unistd.h>

#define DEFAULT_BACKUP_DIR "/var/lib/libdps"

/* The backup file of this run, so that it can be taken away when nothing was changed after all. */
typedef struct {
	int dir;	   /* -1: there is none */
	gboolean is_older; /* an earlier run that was cut off left it: it stays */
	char *name, *path;
} BackupFile;

static void
backup_file_clear(BackupFile *file)
{
	if (file->dir >= 0)
		close(file->dir);
	g_free(file->name);
	g_free(file->path);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(BackupFile, backup_file_clear)

/* Somebody who takes no lock may have written since it was read. */
static gboolean
check_table_unchanged(DpsPlan *plan, GError **error)
{
	const DpsGpt *planned = dps_disk_get_gpt(plan->disk);
	DpsRegion region = dps_medium_get_region(dps_disk_get_medium(plan->disk));
	g_autoptr(DpsGpt) now = NULL;
	g_autofree char *problem = NULL;
	DpsGptPresence presence;

	if (!dps_medium_drop_cache(dps_disk_get_medium(plan->disk), 0, region.size, error) ||
	    !dps_gpt_read(&region, planned->sector_size, &presence, &now, &problem, error))
		return FALSE;

	if (!now || now->current->entries_size != planned->current->entries_size ||
	    memcmp(now->current->header, planned->current->header, planned->sector_size) != 0 ||
	    memcmp(now->current->entries, planned->current->entries,
		   planned->current->entries_size) != 0)
		return dps_throw(
			error, DPS_ERROR_CHANGED,
			"%s: the partition table was changed since it was read: look at it "
			"again with `dps-tag plan`",
			dps_disk_get_path(plan->disk));

	return TRUE;
}

/* Where the backup goes when nobody says: into the tree, or the running system's own /var. */
static gboolean
open_default_backup(DpsPlan *plan, const char *time, BackupFile *file, GError **error)
{
	g_autoptr(DpsTree) running = NULL;
	DpsTree *tree = plan->tree;

	/* What was read out of the disk without a mount takes no files. */
	if (!tree || dps_tree_get_origin(tree)) {
		running = dps_tree_open("/", error);
		tree = running;
	}
	if (!tree)
		return FALSE;

	file->dir = dps_save_open_dir(tree, DEFAULT_BACKUP_DIR, TRUE, error);
	if (file->dir < 0) {
		if (strcmp(dps_tree_get_path(tree), "/") != 0)
			dps_prefix_error(error, "%s: ", dps_tree_get_path(tree));
		return FALSE;
	}
	file->name = g_strdup_printf("%s-%s.json", dps_disk_get_uuid(plan->disk), time);
	file->path =
		g_build_filename(dps_tree_get_path(tree), DEFAULT_BACKUP_DIR, file->name, NULL);
	return TRUE;
}

static gboolean
open_named_backup(const char *path, BackupFile *file, GError **error)
{
	g_autofree char *directory = g_path_get_dirname(path);

	file->dir = dps_save_open_dir(NULL, directory, FALSE, error);
	if (file->dir < 0)
		return FALSE;
	file->name = g_path_get_basename(path);
	file->path = g_strdup(path);
	return TRUE;
}

/* Whether the file of that name is the backup of the same run, which a crash or a kill cut off. */
static gboolean
is_kept_already(DpsPlan *plan, const BackupFile *file)
{
	g_autofree char *text = NULL;
	g_autoptr(DpsBackup) older = NULL;
	gsize size;

	text = dps_save_read_own_file(file->dir, file->name, DPS_BACKUP_MAX_SIZE, &size, NULL);
	older = text ? dps_backup_parse(text, size, file->name, NULL) : NULL;
	return older && dps_backup_covers(older, plan);
}

static gboolean
write_backup_file(DpsPlan *plan, BackupFile *file, const char *text, GError **error)
{
	g_autoptr(GError) local = NULL;

	if (dps_save_new_file(file->dir, file->name, text, strlen(text), &local))
		return TRUE;
	if (g_error_matches(local, DPS_ERROR, DPS_ERROR_REFUSED) && is_kept_already(plan, file)) {
		file->is_older = TRUE;
		return TRUE;
	}
	g_propagate_error(error, g_steal_pointer(&local));
	return FALSE;
}

static gboolean
has_something_to_undo(DpsPlan *plan)
{
	for (guint i = 0; i < plan->changes->len; i++)
		if (((const DpsChange *)plan->changes->pdata[i])->kind != DPS_CHANGE_TABLE)
			return TRUE;

	return FALSE;
}

static gboolean
save_backup(DpsPlan *plan, const char *backup, BackupFile *file, GError **error)
{
	gboolean is_device = dps_medium_is_device(dps_disk_get_medium(plan->disk));
	g_autoptr(GDateTime) now = g_date_time_new_now_utc();
	g_autofree char *time = g_date_time_format(now, "%Y-%m-%dT%H:%M:%SZ");
	g_autofree char *stamp = g_date_time_format(now, "%Y%m%dT%H%M%S.%fZ");
	g_autofree char *text = NULL;
	g_autoptr(GError) problem = NULL;
	gboolean opened;

	if (g_strcmp0(backup, "none") == 0 || (!backup && !is_device) ||
	    !has_something_to_undo(plan))
		return TRUE;

	text = dps_backup_write(plan, time);
	opened = backup ? open_named_backup(backup, file, &problem)
			: open_default_backup(plan, stamp, file, &problem);
	if (!opened || !write_backup_file(plan, file, text, &problem)) {
		dps_throw(error, (DpsError)problem->code,
			  "backup: %s%s%s: nothing was changed: keep it elsewhere with --backup "
			  "FILE, or nowhere with --backup none",
			  file->path ? file->path : "", file->path ? ": " : "", problem->message);
		if (file->dir >= 0)
			close(file->dir);
		file->dir = -1;
		return FALSE;
	}
	return TRUE;
}

static const DpsChange *
find_default_change(DpsPlan *plan)
{
	for (guint i = 0; i < plan->changes->len; i++) {
		const DpsChange *change = plan->changes->pdata[i];

		if (change->kind == DPS_CHANGE_BTRFS_DEFAULT)
			return change;
	}
	return NULL;
}

/* The default subvolume of a partition: of the mounted file system, through its node, or in place.
 */
static gboolean
set_default(DpsPlan *plan, guint number, uint64_t id, GError **error)
{
	DpsPartition *partition = dps_disk_get_partition_by_number(plan->disk, number);
	DpsBtrfs *btrfs = dps_plan_get_btrfs(plan, partition, error);
	g_autoptr(DpsMedium) node = NULL;

	if (!btrfs)
		return FALSE;
	if (dps_btrfs_is_mounted(btrfs))
		return dps_btrfs_set_default(btrfs, id, NULL, 0, error);

	/* The caches of a disk and of its partition are separate: write where a mount will read. */
	if (!partition->node)
		return dps_btrfs_set_default(btrfs, id, dps_disk_get_medium(plan->disk),
					     partition->start, error);

	node = dps_medium_open(partition->node, DPS_OPEN_WRITABLE | DPS_OPEN_NO_LOCK, error);
	return node && dps_btrfs_set_default(btrfs, id, node, 0, error);
}

static gboolean
set_defaults(DpsPlan *plan, gboolean back, GError **error)
{
	for (guint i = 0; i < plan->changes->len; i++) {
		const DpsChange *change = plan->changes->pdata[i];

		if (change->kind == DPS_CHANGE_BTRFS_DEFAULT &&
		    !set_default(plan, change->partition,
				 back ? change->from.subvolume : change->to.subvolume, error)) {
			dps_prefix_error(error, "%s: partition %u: ", dps_disk_get_path(plan->disk),
					 change->partition);
			dps_error_set_partition(error, change->partition);
			return FALSE;
		}
	}
	return TRUE;
}

/* What was read back by another reader (libfdisk, the file system) must be what was planned. */
static gboolean
verify(DpsPlan *plan, GError **error)
{
	if (!dps_disk_refresh(plan->disk, error))
		return FALSE;

	for (guint i = 0; i < plan->changes->len; i++) {
		const DpsChange *change = plan->changes->pdata[i];
		DpsPartition *partition =
			dps_disk_get_partition_by_number(plan->disk, change->partition);
		gboolean good = TRUE;

		switch (change->kind) {
		case DPS_CHANGE_TYPE:
			good = partition && dps_guid_equal(&partition->type_guid, &change->to.guid);
			break;
		case DPS_CHANGE_FLAGS:
			good = partition && partition->attributes == change->to.attributes;
			break;
		case DPS_CHANGE_UUID:
			good = partition && dps_guid_equal(&partition->guid, &change->to.guid);
			break;
		case DPS_CHANGE_NAME:
			good = partition && g_strcmp0(partition->label ? partition->label : "",
						      change->to_text) == 0;
			break;
		case DPS_CHANGE_BTRFS_DEFAULT:
			/* A mounted one was asked again when it was set. */
			good = plan->mounted_btrfs || !partition || !partition->btrfs ||
			       dps_btrfs_get_default_id(partition->btrfs) == change->to.subvolume;
			break;
		case DPS_CHANGE_TABLE:
			good = dps_disk_get_gpt(plan->disk)->state == DPS_GPT_WHOLE;
			break;
		}
		if (!good)
			return dps_throw_partition(
				error, change->partition, DPS_ERROR_IO,
				"%s: partition %u: %s: reads back otherwise than it "
				"was written",
				dps_disk_get_path(plan->disk), change->partition,
				dps_change_kind_to_string(change->kind));
	}
	return TRUE;
}

/* How far a run got, so that it can go back. */
typedef struct {
	gboolean table_started, default_started;
	guint edits_done;
} Progress;

static gboolean
write_table(DpsPlan *plan, Progress *progress, GError **error)
{
	if (plan->table_edits->len == 0)
		return TRUE;

	progress->table_started = TRUE;
	return dps_medium_write_edits(dps_disk_get_medium(plan->disk), 0, plan->table_edits,
				      &progress->edits_done, error);
}

static gboolean
write_defaults(DpsPlan *plan, Progress *progress, GError **error)
{
	if (!find_default_change(plan))
		return TRUE;

	progress->default_started = TRUE;
	return set_defaults(plan, FALSE, error);
}

static gboolean
write_everything(DpsPlan *plan, Progress *progress, GError **error)
{
	if (plan->table_first)
		return write_table(plan, progress, error) &&
		       write_defaults(plan, progress, error) && verify(plan, error);

	/* The table last: the disk becomes discoverable when what it leads to is right. */
	return write_defaults(plan, progress, error) && write_table(plan, progress, error) &&
	       verify(plan, error);
}

static gboolean
put_back(DpsPlan *plan, const Progress *progress, GError **error)
{
	DpsMedium *medium = dps_disk_get_medium(plan->disk);
	gboolean good = TRUE;

	if (plan->table_first && progress->default_started)
		good = set_defaults(plan, TRUE, error);
	if (good && progress->table_started)
		good = dps_medium_put_back(medium, 0, plan->table_edits, progress->edits_done,
					   error);
	if (good && !plan->table_first && progress->default_started)
		good = set_defaults(plan, TRUE, error);

	/* What the disk is now is what it was; the object should say so, and need not. */
	dps_disk_refresh(plan->disk, NULL);
	return good;
}

/* Turns the error of a failed run into one that says how the disk is left. */
static void
recover(DpsPlan *plan, const Progress *progress, BackupFile *file, GError **error)
{
	g_autoptr(GError) problem = NULL;

	if (put_back(plan, progress, &problem)) {
		if (file->dir >= 0 && !file->is_older)
			dps_save_remove_file(file->dir, file->name);
		dps_prefix_error(error, "nothing was changed: ");
		return;
	}

	dps_prefix_error(error,
			 "the disk was left in between (%s), and is safe to read: run it again, or "
			 "`dps-tag undo %s`: ",
			 problem->message, file->path ? file->path : "BACKUP");
}

/* udev hears of a table when its writer closes it; what it does not hear is worth telling. */
static void
tell_udev(DpsPlan *plan)
{
	g_autoptr(GArray) numbers = g_array_new(FALSE, FALSE, sizeof(guint));
	g_autoptr(GPtrArray) uuids = g_ptr_array_new();
	g_autofree char *note = NULL;

	for (guint i = 0; i < plan->changes->len; i++) {
		const DpsChange *change = plan->changes->pdata[i];

		if (change->kind == DPS_CHANGE_TYPE) {
			g_array_append_val(numbers, change->partition);
			g_ptr_array_add(uuids, change->to_text);
		}
	}

	dps_medium_wait_for_udev(dps_disk_get_medium(plan->disk), numbers, uuids, &note);
	if (note)
		dps_plan_add_finding(plan,
				     dps_finding_new("udev-not-updated", DPS_SEVERITY_INFO, 0, NULL,
						     "lsblk and udevadm may show the old types "
						     "until the next reboot or `udevadm trigger`",
						     "%s", note));
}

gboolean
dps_plan_apply(DpsPlan *plan, const char *backup, GError **error)
{
	g_auto(BackupFile) file = { .dir = -1 };
	Progress progress = { 0 };

	g_return_val_if_fail(plan != NULL && plan->state != DPS_PLAN_SPENT, FALSE);

	if (!dps_plan_prepare(plan, error))
		return FALSE;
	plan->state = DPS_PLAN_SPENT;
	if (!plan->disk || plan->changes->len == 0)
		return TRUE;

	if (!dps_medium_is_writable(dps_disk_get_medium(plan->disk)))
		return dps_throw(error, DPS_ERROR_PERMISSION, "%s: was opened to read only",
				 dps_disk_get_path(plan->disk));

	if (!check_table_unchanged(plan, error) || !save_backup(plan, backup, &file, error))
		return FALSE;

	if (!write_everything(plan, &progress, error)) {
		recover(plan, &progress, &file, error);
		return FALSE;
	}

	plan->applied = TRUE;
	plan->backup = g_strdup(file.path);
	tell_udev(plan);
	return TRUE;
}
