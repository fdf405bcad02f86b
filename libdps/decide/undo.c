/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/backup.h"
#include "decide/default-subvolume.h"
#include "ground/error.h"

/* Whether this partition got its UUID from what the backup is of. */
static gboolean
has_new_uuid(const DpsBackup *backup, const DpsPartition *partition)
{
	for (guint i = 0; i < backup->entries->len; i++) {
		const DpsBackupEntry *entry = backup->entries->pdata[i];

		if (entry->change->kind == DPS_CHANGE_UUID &&
		    entry->change->partition == partition->number &&
		    dps_guid_equal(&partition->guid, &entry->change->to.guid))
			return TRUE;
	}
	return FALSE;
}

/* The partition that a change was made to, if it is still the same one. */
static DpsPartition *
find_partition(DpsPlan *plan, const DpsBackup *backup, const DpsBackupEntry *entry, GError **error)
{
	DpsPartition *partition =
		dps_disk_get_partition_by_number(plan->disk, entry->change->partition);

	if (!partition || partition->start != entry->start ||
	    !(dps_guid_equal(&partition->guid, &entry->guid) || has_new_uuid(backup, partition)))
		return dps_throw_null(error, DPS_ERROR_CHANGED,
				      "%s: partition %u: is not the one that was changed: it was "
				      "made anew since",
				      dps_disk_get_path(plan->disk), entry->change->partition);

	return partition;
}

static gboolean
read_value(DpsPlan *plan, DpsPartition *partition, DpsChangeKind kind, DpsValue *now,
	   GError **error)
{
	DpsBtrfs *btrfs;

	switch (kind) {
	case DPS_CHANGE_TYPE:
		now->guid = partition->type_guid;
		return TRUE;
	case DPS_CHANGE_UUID:
		now->guid = partition->guid;
		return TRUE;
	case DPS_CHANGE_FLAGS:
		now->attributes = partition->attributes;
		return TRUE;
	case DPS_CHANGE_NAME:
		now->text = g_strdup(partition->label ? partition->label : "");
		return TRUE;
	case DPS_CHANGE_BTRFS_DEFAULT:
		btrfs = dps_plan_get_btrfs(plan, partition, error);
		if (!btrfs) {
			dps_prefix_error(error, "%s: partition %u: ", dps_disk_get_path(plan->disk),
					 partition->number);
			return FALSE;
		}
		now->subvolume = dps_btrfs_get_default_id(btrfs);
		return TRUE;
	case DPS_CHANGE_TABLE:
		break;
	}
	g_assert_not_reached();
}

/* Whether the default subvolume is the old one in one of its copies alone: an undo was cut off. */
static gboolean
is_half_undone(DpsPlan *plan, const DpsChange *change, DpsPartition *partition)
{
	DpsBtrfs *btrfs = change->kind == DPS_CHANGE_BTRFS_DEFAULT
				  ? dps_plan_get_btrfs(plan, partition, NULL)
				  : NULL;

	return btrfs && dps_btrfs_needs_write(btrfs, change->from.subvolume);
}

/* Adds what takes one change back; nothing when it is taken back already. */
static gboolean
turn_round(DpsPlan *plan, const DpsBackup *backup, const DpsBackupEntry *entry, GError **error)
{
	const DpsChange *change = entry->change;
	DpsPartition *partition = find_partition(plan, backup, entry, error);
	g_autofree char *now_text = NULL;
	DpsValue now = { 0 };
	gboolean is_new, is_old;

	if (!partition || !read_value(plan, partition, change->kind, &now, error))
		return FALSE;

	/* Freed at the end, whichever way out. */
	now_text = g_steal_pointer(&now.text);
	now.text = now_text;
	is_new = dps_value_equal(change->kind, &now, &change->to);
	is_old = dps_value_equal(change->kind, &now, &change->from);

	if (is_old && !is_half_undone(plan, change, partition))
		return TRUE;
	if (!is_new && !is_old)
		return dps_throw_partition(
			error, change->partition, DPS_ERROR_CHANGED,
			"%s: partition %u: its %s is neither what it was nor what it "
			"was changed to: somebody changed it since, and it stays",
			dps_disk_get_path(plan->disk), change->partition,
			dps_change_kind_to_string(change->kind));

	if (change->kind == DPS_CHANGE_BTRFS_DEFAULT) {
		DpsBtrfs *btrfs = dps_plan_get_btrfs(plan, partition, error);

		if (!btrfs || !dps_btrfs_check_writable(btrfs, change->from.subvolume, NULL, error))
			return FALSE;
	}
	g_ptr_array_add(plan->changes, dps_change_turned_round(change, "as it was before"));
	return TRUE;
}

static const DpsChange *
find_change(DpsPlan *plan, guint partition, DpsChangeKind kind)
{
	for (guint i = 0; i < plan->changes->len; i++) {
		const DpsChange *change = plan->changes->pdata[i];

		if (change->partition == partition && change->kind == kind)
			return change;
	}
	return NULL;
}

static gboolean
has_entry(const DpsBackup *backup, const DpsChange *change)
{
	for (guint i = 0; i < backup->entries->len; i++) {
		const DpsBackupEntry *entry = backup->entries->pdata[i];

		if (entry->change->partition == change->partition &&
		    entry->change->kind == change->kind)
			return TRUE;
	}
	return FALSE;
}

/* What of the things that a backup is of are as they were, and what as they should be. */
typedef struct {
	gboolean table_old, table_new, default_old, default_new;
} Reached;

/* Whether one of them is done, or is among what @plan will do. */
static gboolean
is_of_plan(DpsPlan *plan, const DpsBackup *backup, const DpsBackupEntry *entry, Reached *reached)
{
	const DpsChange *done = entry->change;
	const DpsChange *planned = find_change(plan, done->partition, done->kind);
	DpsPartition *partition = find_partition(plan, backup, entry, NULL);
	g_autofree char *now_text = NULL;
	DpsValue now = { 0 };
	gboolean is_new, is_old;

	if (!partition || !read_value(plan, partition, done->kind, &now, NULL))
		return FALSE;

	/* Freed at the end, whichever way out. */
	now_text = g_steal_pointer(&now.text);
	now.text = now_text;
	is_new = dps_value_equal(done->kind, &now, &done->to);
	is_old = !is_new && dps_value_equal(done->kind, &now, &done->from);
	if (done->kind == DPS_CHANGE_BTRFS_DEFAULT) {
		reached->default_old |= is_old;
		reached->default_new |= is_new;
	} else {
		reached->table_old |= is_old;
		reached->table_new |= is_new;
	}
	return planned ? (is_new || is_old) && dps_value_equal(done->kind, &planned->to, &done->to)
		       : is_new;
}

gboolean
dps_backup_is_of_same_job(DpsBackup *backup, DpsPlan *plan)
{
	Reached reached = { 0 };

	if (g_ascii_strcasecmp(backup->disk_uuid, dps_disk_get_uuid(plan->disk)) != 0)
		return FALSE;
	for (guint i = 0; i < plan->changes->len; i++) {
		const DpsChange *change = plan->changes->pdata[i];

		if (change->kind != DPS_CHANGE_TABLE && !has_entry(backup, change))
			return FALSE;
	}
	for (guint i = 0; i < backup->entries->len; i++)
		if (!is_of_plan(plan, backup, backup->entries->pdata[i], &reached))
			return FALSE;

	/* A copy of a disk has its identifier too: what was kept of the other one says nothing of
	 * this one, of which nothing is changed yet, and undo would go to the other. */
	if (!reached.table_new && !reached.default_new &&
	    !dps_disk_is_at(plan->disk, backup->disk_path))
		return FALSE;

	/* A table is changed in one write, behind the defaults: else somebody changed things since,
	 * and what is there now is what is to be kept. */
	return !(reached.table_new && (reached.table_old || reached.default_old));
}

DpsPlan *
dps_plan_new_from_backup(DpsDisk *disk, DpsBackup *backup, GError **error)
{
	g_autoptr(DpsPlan) plan = NULL;

	g_return_val_if_fail(disk != NULL && backup != NULL, NULL);

	plan = dps_plan_new(disk, NULL, error);
	if (!plan)
		return NULL;

	if (g_ascii_strcasecmp(dps_disk_get_uuid(disk), backup->disk_uuid) != 0)
		return dps_throw_null(
			error, DPS_ERROR_REFUSED,
			"%s: is disk %s, and the backup is of %s: name the disk that it is "
			"of",
			dps_disk_get_path(disk), dps_disk_get_uuid(disk), backup->disk_uuid);

	/* The table first: the disk stops being discoverable before root moves away from under it.
	 */
	plan->table_first = TRUE;
	plan->touched = g_array_new(FALSE, FALSE, sizeof(guint));
	for (int pass = 0; pass < 2; pass++)
		for (guint i = backup->entries->len; i > 0; i--) {
			const DpsBackupEntry *entry = backup->entries->pdata[i - 1];
			gboolean is_default = entry->change->kind == DPS_CHANGE_BTRFS_DEFAULT;

			if (pass == 0)
				g_array_append_val(plan->touched, entry->change->partition);
			if (is_default == (pass == 1) && !turn_round(plan, backup, entry, error))
				return NULL;
		}

	if (!dps_plan_prepare_table(plan, error))
		return NULL;

	plan->state = DPS_PLAN_PREPARED;
	return g_steal_pointer(&plan);
}
