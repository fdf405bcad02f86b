/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/backup-file.h"
#include "decide/change.h"
#include "decide/default-subvolume.h"
#include "decide/finding.h"
#include "ground/error.h"
#include "target/journal.h"
#include "target/udev.h"

/* Somebody who takes no lock may have written since it was read. */
static gboolean
check_table_unchanged(DpsPlan *plan, GError **error)
{
	DpsMedium *medium = dps_disk_get_medium(plan->disk);
	DpsRegion region = dps_medium_get_region(medium);
	g_autoptr(DpsGpt) now = NULL;
	g_autoptr(GBytes) table = NULL;
	g_autofree char *problem = NULL;
	DpsGptPresence presence;

	if (!dps_medium_drop_cache(medium, 0, region.size, error) ||
	    !dps_gpt_read(&region, plan->sector_size, &presence, &now, &problem, error)) {
		dps_prefix_error(error, "%s: nothing was changed: its table: ",
				 dps_disk_get_path(plan->disk));
		return FALSE;
	}

	/* The medium gives nothing any more: that is nobody's change. */
	if (now && dps_disk_get_gpt(plan->disk)->primary.good &&
	    (!now->primary.header || (now->primary.header_good && !now->primary.entries)))
		return dps_throw(error, DPS_ERROR_IO,
				 "%s: nothing was changed: its primary table cannot be read any "
				 "more: %s",
				 dps_disk_get_path(plan->disk), now->primary.problem);

	table = now ? dps_gpt_get_current_bytes(now) : NULL;
	if (!table || !g_bytes_equal(table, plan->table))
		return dps_throw(
			error, DPS_ERROR_CHANGED,
			"%s: the partition table was changed since it was read: look at it "
			"again with `dps-tag plan`",
			dps_disk_get_path(plan->disk));

	return TRUE;
}

/* A default subvolume that was set, so that it can be what it was. */
typedef struct {
	const DpsChange *change; /* the plan's */
	gboolean is_mounted;	 /* the kernel sets it */
	DpsMedium *medium;	 /* NULL: it is mounted, or was not written */
	uint64_t start;		 /* bytes, on the medium */
	DpsBtrfsWritten written;
} DefaultWrite;

static void
default_write_free(DefaultWrite *write)
{
	g_clear_pointer(&write->medium, dps_medium_unref);
	dps_btrfs_written_clear(&write->written);
	g_free(write);
}

/* The default subvolume of a partition: of the mounted file system, through its node, or in place.
 */
static gboolean
set_default(DpsPlan *plan, DefaultWrite *write, GError **error)
{
	DpsPartition *partition =
		dps_disk_get_partition_by_number(plan->disk, write->change->partition);
	DpsBtrfs *btrfs = dps_plan_get_btrfs(plan, partition, error);
	uint64_t id = write->change->to.subvolume;

	if (!btrfs)
		return FALSE;
	write->is_mounted = dps_btrfs_is_mounted(btrfs);
	if (write->is_mounted)
		return dps_btrfs_set_default(btrfs, id, NULL, 0, NULL, error);

	/* The caches of a disk and of its partition are separate: write where a mount will read. */
	if (partition->node) {
		write->medium = dps_medium_open(partition->node,
						DPS_OPEN_WRITABLE | DPS_OPEN_NO_LOCK, error);
	} else {
		write->medium = dps_medium_ref(dps_disk_get_medium(plan->disk));
		write->start = partition->start;
	}
	return write->medium && dps_btrfs_set_default(btrfs, id, write->medium, write->start,
						      &write->written, error);
}

static gboolean
set_default_back(DpsPlan *plan, const DefaultWrite *write, GError **error)
{
	DpsPartition *partition;
	DpsBtrfs *btrfs;

	if (write->medium)
		return dps_btrfs_put_back(&write->written, write->medium, write->start, error);
	if (!write->is_mounted)
		return TRUE;

	/* Of this partition: the plan may have opened another since. */
	partition = dps_disk_get_partition_by_number(plan->disk, write->change->partition);
	btrfs = partition ? dps_plan_get_btrfs(plan, partition, NULL) : NULL;
	if (!btrfs || !dps_btrfs_is_mounted(btrfs))
		return dps_throw(error, DPS_ERROR_NOT_FOUND,
				 "partition %u: its default subvolume: it is not mounted any more",
				 write->change->partition);
	return dps_btrfs_set_default(btrfs, write->change->from.subvolume, NULL, 0, NULL, error);
}

/* How far a run got, so that it can go back. */
typedef struct {
	GPtrArray *defaults; /* (element-type DefaultWrite) */
	gboolean table_started;
	guint edits_done;
} Progress;

static gboolean
is_set_by_kernel(const Progress *progress, const DpsChange *change)
{
	for (guint i = 0; i < progress->defaults->len; i++) {
		const DefaultWrite *write = progress->defaults->pdata[i];

		if (write->change == change)
			return write->is_mounted;
	}
	return FALSE;
}

/* The numbers of those that are changed and cannot be read. */
static GHashTable *
list_unreadable(DpsPlan *plan)
{
	GHashTable *numbers = g_hash_table_new(NULL, NULL);

	for (guint i = 0; i < plan->changes->len; i++) {
		const DpsChange *change = plan->changes->pdata[i];
		DpsPartition *partition =
			dps_disk_get_partition_by_number(plan->disk, change->partition);

		if (partition && dps_partition_is_unreadable(partition))
			g_hash_table_add(numbers, GUINT_TO_POINTER(change->partition));
	}
	return numbers;
}

/* What was read back by another reader (libfdisk, the file system) must be what was planned. */
static gboolean
verify(DpsPlan *plan, const Progress *progress, GError **error)
{
	g_autoptr(GHashTable) before = list_unreadable(plan);

	if (!dps_disk_refresh(plan->disk, error))
		return FALSE;

	for (guint i = 0; i < plan->changes->len; i++) {
		const DpsChange *change = plan->changes->pdata[i];
		DpsPartition *partition =
			dps_disk_get_partition_by_number(plan->disk, change->partition);
		gboolean good = TRUE;

		/* What was judged by its content has lost that meanwhile. */
		if (partition && dps_partition_is_unreadable(partition) &&
		    !g_hash_table_contains(before, GUINT_TO_POINTER(change->partition)))
			return dps_throw_partition(error, change->partition, DPS_ERROR_IO,
						   "%s: partition %u: cannot be read any more: %s",
						   dps_disk_get_path(plan->disk), change->partition,
						   partition->content.problem);
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
			good = is_set_by_kernel(progress, change) || !partition ||
			       !partition->btrfs ||
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

static gboolean
write_table(DpsPlan *plan, Progress *progress, GError **error)
{
	g_autoptr(GError) local = NULL;

	progress->table_started = TRUE;
	if (dps_medium_write_edits(dps_disk_get_medium(plan->disk), 0, plan->table_edits,
				   &progress->edits_done, &local))
		return TRUE;
	/* Somebody else's table was found before the first write: there is nothing to put back. */
	if (progress->edits_done == 0 && g_error_matches(local, DPS_ERROR, DPS_ERROR_CHANGED))
		progress->table_started = FALSE;
	g_propagate_error(error, g_steal_pointer(&local));
	return FALSE;
}

static gboolean
write_defaults(DpsPlan *plan, Progress *progress, GError **error)
{
	for (guint i = 0; i < plan->changes->len; i++) {
		const DpsChange *change = plan->changes->pdata[i];
		DefaultWrite *write;

		if (change->kind != DPS_CHANGE_BTRFS_DEFAULT)
			continue;
		write = g_new0(DefaultWrite, 1);
		write->change = change;
		g_ptr_array_add(progress->defaults, write);
		if (!set_default(plan, write, error)) {
			dps_prefix_error(error, "%s: partition %u: ", dps_disk_get_path(plan->disk),
					 change->partition);
			dps_error_set_partition(error, change->partition);
			return FALSE;
		}
	}
	return TRUE;
}

static gboolean
put_defaults_back(DpsPlan *plan, const Progress *progress, GError **error)
{
	for (guint i = progress->defaults->len; i > 0; i--)
		if (!set_default_back(plan, progress->defaults->pdata[i - 1], error))
			return FALSE;
	return TRUE;
}

static gboolean
write_everything(DpsPlan *plan, Progress *progress, GError **error)
{
	if (plan->table_first)
		return write_table(plan, progress, error) &&
		       write_defaults(plan, progress, error) && verify(plan, progress, error);

	/* The table last: the disk becomes discoverable when what it leads to is right. */
	return write_defaults(plan, progress, error) && write_table(plan, progress, error) &&
	       verify(plan, progress, error);
}

static gboolean
put_table_back(DpsPlan *plan, const Progress *progress, GError **error)
{
	return !progress->table_started ||
	       dps_medium_put_back(dps_disk_get_medium(plan->disk), 0, plan->table_edits,
				   progress->edits_done, error);
}

/* The last first. */
static gboolean
put_back(DpsPlan *plan, const Progress *progress, GError **error)
{
	DpsMedium *medium = dps_disk_get_medium(plan->disk);
	gboolean good;

	if (plan->table_first)
		good = put_defaults_back(plan, progress, error) &&
		       put_table_back(plan, progress, error);
	else
		good = put_table_back(plan, progress, error) &&
		       put_defaults_back(plan, progress, error);
	/* One that could not be removed at once would be finished by the next run. */
	good = good && dps_journal_remove(medium, error);

	/* What the disk is now is what it was; the object should say so, and need not. */
	dps_disk_refresh(plan->disk, NULL);
	return good;
}

/* Whether it is as it was, though putting it back failed: the first write may have done nothing. */
static gboolean
reads_as_before(DpsPlan *plan, const Progress *progress)
{
	DpsMedium *medium = dps_disk_get_medium(plan->disk);

	for (guint i = 0; i < progress->defaults->len; i++) {
		const DefaultWrite *write = progress->defaults->pdata[i];

		if (write->is_mounted || (write->written.edits &&
					  !dps_medium_reads_as_before(write->medium, write->start,
								      write->written.edits)))
			return FALSE;
	}
	return !dps_journal_is_pending(medium) &&
	       (!progress->table_started ||
		dps_medium_reads_as_before(medium, 0, plan->table_edits));
}

/* Turns the error of a failed run into one that says how the disk is left. */
static void
recover(DpsPlan *plan, const Progress *progress, DpsBackupFile *file, GError **error)
{
	g_autoptr(GError) problem = NULL;
	g_autofree char *undo = dps_backup_file_get_undo(file, plan);

	if (put_back(plan, progress, &problem)) {
		dps_backup_file_take_away(file);
		dps_prefix_error(error, "nothing was changed: ");
		return;
	}

	if (g_error_matches(problem, DPS_ERROR, DPS_ERROR_CHANGED)) {
		dps_prefix_error(
			error,
			"another program wrote to the disk meanwhile, and what it wrote was "
			"left as it is (%s): look at it with `dps-tag show`, then run this "
			"again%s%s%s: ",
			problem->message, undo ? ", or `" : "", undo ? undo : "", undo ? "`" : "");
		return;
	}
	if (reads_as_before(plan, progress)) {
		dps_prefix_error(error,
				 "the disk reads as it was before, but could not be written to put "
				 "it back (%s): run this again%s%s%s: ",
				 problem->message, undo ? ", or `" : "", undo ? undo : "",
				 undo ? "`" : "");
		return;
	}
	dps_prefix_error(error, "the disk was left in between (%s), and %s: run this again%s%s%s: ",
			 problem->message,
			 dps_journal_is_pending(dps_disk_get_medium(plan->disk))
				 ? "the journal beside it has what is missing"
				 : "is safe to read",
			 undo ? ", or `" : "", undo ? undo : "", undo ? "`" : "");
}

/* udev hears of a table when its writer closes it; what it does not hear is worth telling. */
static void
tell_udev(DpsPlan *plan)
{
	g_autoptr(GArray) numbers = g_array_new(FALSE, FALSE, sizeof(guint));
	g_autoptr(GPtrArray) uuids = g_ptr_array_new();
	DpsMedium *medium = dps_disk_get_medium(plan->disk);
	g_autofree char *note = NULL;

	for (guint i = 0; i < plan->changes->len; i++) {
		const DpsChange *change = plan->changes->pdata[i];

		if (change->kind == DPS_CHANGE_TYPE) {
			g_array_append_val(numbers, change->partition);
			g_ptr_array_add(uuids, change->to_text);
		}
	}

	dps_medium_stop_writing(medium);
	note = dps_udev_wait(dps_medium_get_device(medium), dps_medium_get_path(medium), numbers,
			     uuids);
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
	g_auto(DpsBackupFile) file = { .dir = -1 };
	g_autoptr(GPtrArray) defaults =
		g_ptr_array_new_with_free_func((GDestroyNotify)default_write_free);
	Progress progress = { .defaults = defaults };

	g_return_val_if_fail(plan != NULL && plan->state != DPS_PLAN_SPENT, FALSE);

	if (!dps_plan_prepare(plan, error))
		return FALSE;
	plan->state = DPS_PLAN_SPENT;
	if (!plan->disk || plan->changes->len == 0)
		return TRUE;

	if (!dps_medium_is_writable(dps_disk_get_medium(plan->disk)))
		return dps_throw(error, DPS_ERROR_PERMISSION, "%s: was opened to read only",
				 dps_disk_get_path(plan->disk));

	if (!check_table_unchanged(plan, error) ||
	    !dps_backup_file_save(&file, plan, backup, error))
		return FALSE;

	if (!write_everything(plan, &progress, error)) {
		recover(plan, &progress, &file, error);
		return FALSE;
	}

	plan->applied = TRUE;
	plan->backup = g_strdup(file.path);
	g_ptr_array_set_size(defaults, 0); /* udev waits for whoever has a node open to write */
	tell_udev(plan);
	return TRUE;
}
