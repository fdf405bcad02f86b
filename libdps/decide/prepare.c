/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/change.h"
#include "decide/default-subvolume.h"
#include "decide/finding.h"
#include "decide/outcome.h"
#include "decide/hint.h"
#include "decide/plan.h"
#include "decide/validatefs.h"
#include "decide/winner.h"
#include "format/gpt-cutoff.h"
#include "format/gpt-edit.h"
#include "ground/error.h"
#include "ground/types.h"
#include "target/image.h"

static gint
by_partition(gconstpointer a, gconstpointer b)
{
	const DpsAssignment *x = *(DpsAssignment *const *)a, *y = *(DpsAssignment *const *)b;

	return (x->partition > y->partition) - (x->partition < y->partition);
}

static void
add_entry_changes(DpsPlan *plan, const DpsOutcome *outcome)
{
	const DpsAssignment *assignment = outcome->assignment;
	DpsPartition *partition = outcome->partition;
	DpsValue from = { 0 }, to = { 0 };

	if (outcome->type != partition->type) {
		g_autofree char *reason = g_strdup_printf(
			"%s%s%s: %s", dps_role_to_string(assignment->role),
			assignment->arch ? " of " : "",
			assignment->arch ? dps_arch_to_string(assignment->arch) : "",
			assignment->reason);

		from.guid = partition->type_guid;
		dps_guid_from_string(dps_type_get_uuid(outcome->type), &to.guid, NULL);
		g_ptr_array_add(plan->changes, dps_change_new(DPS_CHANGE_TYPE, partition->number,
							      from, to, reason));
	}

	if (outcome->attributes != partition->attributes) {
		from = (DpsValue){ .attributes = partition->attributes };
		to = (DpsValue){ .attributes = outcome->attributes };
		g_ptr_array_add(plan->changes, dps_change_new(DPS_CHANGE_FLAGS, partition->number,
							      from, to, assignment->reason));
	}

	if (!dps_guid_equal(&outcome->guid, &partition->guid)) {
		from = (DpsValue){ .guid = partition->guid };
		to = (DpsValue){ .guid = outcome->guid };
		g_ptr_array_add(plan->changes, dps_change_new(DPS_CHANGE_UUID, partition->number,
							      from, to, outcome->guid_reason));
	}

	if (g_strcmp0(outcome->label, partition->label) != 0) {
		from = (DpsValue){ .text = g_strdup(partition->label) };
		to = (DpsValue){ .text = g_strdup(outcome->label) };
		g_ptr_array_add(plan->changes, dps_change_new(DPS_CHANGE_NAME, partition->number,
							      from, to, "it has no name"));
	}
}

/* Whether systemd would take another partition as root than the one that is assigned. */
static gboolean
check_winner(DpsPlan *plan, GPtrArray *outcomes, const DpsAssignment *root, GError **error)
{
	g_autoptr(GArray) candidates = g_array_new(FALSE, FALSE, sizeof(DpsRootCandidate));
	const DpsType *type = dps_type_lookup(DPS_ROLE_ROOT, root->arch);
	g_autofree char *subject = NULL;
	guint winner;

	for (guint i = 0; i < outcomes->len; i++) {
		const DpsOutcome *outcome = outcomes->pdata[i];
		DpsRootCandidate candidate = { outcome->partition->number, outcome->label };

		if (outcome->type == type && !(outcome->attributes & DPS_FLAG_NO_AUTO))
			g_array_append_val(candidates, candidate);
	}

	if (candidates->len == 0) {
		dps_plan_add_finding(
			plan,
			dps_finding_new("root-no-auto", DPS_SEVERITY_WARNING, root->partition, NULL,
					"clear the flag: add the flag \"auto\" to the assignment",
					"is assigned as root and marked no-auto: systemd will pass "
					"it over"));
		return TRUE;
	}

	winner = dps_root_winner((const DpsRootCandidate *)(void *)candidates->data,
				 candidates->len);
	if (winner == root->partition || plan->force)
		return TRUE;

	/* Beside what was found out nothing can be typed: then it takes a call of its own. */
	subject = dps_plan_describe(plan, root->partition);
	return dps_throw_partition(error, winner, DPS_ERROR_REFUSED,
				   "%s: would not be root: partition %u has the same type and wins "
				   "(by its label, or as the first): %s linux-generic=%u, which "
				   "takes its tag away, or same=%u,no-auto, which hides it; or "
				   "--force",
				   subject, winner, root->typed ? "add" : "first apply by itself",
				   winner, winner);
}

/* The row of that partition, or a new one: in a backup its changes need not follow each other. */
static DpsGptEntryChange *
need_entry_change(GPtrArray *entries, guint partition)
{
	DpsGptEntryChange *entry;

	for (guint i = entries->len; i > 0; i--) {
		entry = entries->pdata[i - 1];
		if (entry->number == partition)
			return entry;
	}
	entry = dps_gpt_entry_change_new(partition);
	g_ptr_array_add(entries, entry);
	return entry;
}

/* One row an entry: what the editor needs, from the changes of its type and flags. */
static GPtrArray *
make_entry_changes(DpsPlan *plan)
{
	GPtrArray *entries =
		g_ptr_array_new_with_free_func((GDestroyNotify)dps_gpt_entry_change_free);

	for (guint i = 0; i < plan->changes->len; i++) {
		const DpsChange *change = plan->changes->pdata[i];
		DpsGptEntryChange *entry;

		switch (change->kind) {
		case DPS_CHANGE_TYPE:
			entry = need_entry_change(entries, change->partition);
			entry->set_type = TRUE;
			entry->type_guid = change->to.guid;
			break;
		case DPS_CHANGE_FLAGS:
			entry = need_entry_change(entries, change->partition);
			entry->set_attributes = TRUE;
			entry->attributes = change->to.attributes;
			break;
		case DPS_CHANGE_UUID:
			entry = need_entry_change(entries, change->partition);
			entry->set_guid = TRUE;
			entry->guid = change->to.guid;
			break;
		case DPS_CHANGE_NAME:
			entry = need_entry_change(entries, change->partition);
			entry->set_name = TRUE;
			g_free(entry->name);
			entry->name = g_strdup(change->to.text);
			break;
		case DPS_CHANGE_BTRFS_DEFAULT: /* of no entry */
		case DPS_CHANGE_TABLE:
			break;
		}
	}
	return entries;
}

/* Check has the same codes: it is the same fault. */
static const char *
code_of_backup(const DpsGpt *gpt)
{
	return gpt->backup.good ? "gpt-copies-differ" : "gpt-backup-misplaced";
}

/* Nothing has to change, and what is wrong is not of ours: who runs this should know. */
static void
report_left_alone(DpsPlan *plan)
{
	const DpsGpt *gpt = dps_disk_get_gpt(plan->disk);
	g_autofree char *hint = dps_hint_of_disk(plan->disk, "write it anew: `sgdisk -e {disk}`");

	if (gpt->primary.good ? gpt->backup.unreadable : gpt->primary.unreadable) {
		g_free(hint);
		hint = g_strdup(DPS_GPT_UNREADABLE_HINT);
	}

	if (!gpt->primary.good)
		dps_plan_add_finding(
			plan,
			dps_finding_new("gpt-primary-bad", DPS_SEVERITY_WARNING, 0, NULL, hint,
					"nothing has to change, and the primary table stays "
					"as it is: bad (%s); the backup is good",
					gpt->primary.problem));
	else if (!gpt->backup.good || gpt->copies_differ)
		dps_plan_add_finding(
			plan,
			dps_finding_new(code_of_backup(gpt), DPS_SEVERITY_WARNING, 0, NULL, hint,
					"nothing has to change, and the backup table stays "
					"as it is: %s",
					gpt->backup.good ? "it differs from the primary"
							 : gpt->backup.problem));
}

static void
add_repairs(DpsPlan *plan, const char *repairs, gboolean is_cut_off)
{
	const DpsGpt *gpt = dps_disk_get_gpt(plan->disk);
	g_autofree char *reason = NULL;

	reason = g_strconcat(is_cut_off ? "a write of the table was cut off and is finished: " : "",
			     repairs, NULL);
	g_ptr_array_insert(
		plan->changes, 0,
		dps_change_new(DPS_CHANGE_TABLE, 0, (DpsValue){ 0 }, (DpsValue){ 0 }, reason));
	if (!is_cut_off && gpt->state == DPS_GPT_WHOLE && gpt->primary.good)
		dps_plan_add_finding(plan, dps_finding_new(code_of_backup(gpt),
							   DPS_SEVERITY_WARNING, 0, NULL, NULL,
							   "before anything else is written: %s",
							   repairs));
}

/* Undo takes no `--force`: to repair a table is not to take something back. */
static gboolean
check_primary_for_undo(DpsPlan *plan, GError **error)
{
	const DpsGpt *gpt = dps_disk_get_gpt(plan->disk);
	g_autofree char *hint = NULL;

	if (gpt->primary.good || gpt->primary.unreadable)
		return TRUE;
	/* By itself sgdisk may put the entries elsewhere, where we leave them alone. */
	hint = dps_hint_of_disk(plan->disk, "put it back from that: `sgdisk -j 2 -e {disk}`");
	return dps_throw(error, DPS_ERROR_REFUSED,
			 "%s: the primary table is bad (%s), and the backup is good: %s; then undo "
			 "again",
			 dps_disk_get_path(plan->disk), gpt->primary.problem, hint);
}

gboolean
dps_plan_prepare_table(DpsPlan *plan, GError **error)
{
	g_autoptr(GPtrArray) entries = make_entry_changes(plan);
	const DpsGpt *gpt = dps_disk_get_gpt(plan->disk);
	gboolean is_cut_off = dps_gpt_backup_is_cut_off(gpt, plan->touched);
	g_autoptr(GPtrArray) edits = NULL;
	g_autofree char *repairs = NULL;

	g_clear_pointer(&plan->table, g_bytes_unref);
	plan->table = dps_gpt_get_current_bytes(gpt);
	plan->sector_size = gpt->sector_size;

	/*
	 * Nobody asked for a repair: a bad backup is made good only along with a change.  But one
	 * that a write of ours left when it was cut off is finished: an undo that got no further
	 * left nothing to change.
	 */
	if (entries->len == 0 && gpt->state == DPS_GPT_WHOLE && gpt->primary.good && !is_cut_off) {
		report_left_alone(plan);
		return TRUE;
	}

	if (plan->table_first && entries->len > 0 && !check_primary_for_undo(plan, error))
		return FALSE;
	if (!dps_gpt_edit(gpt, entries, plan->force, &edits, &repairs, error)) {
		dps_prefix_error(error, "%s: ", dps_disk_get_path(plan->disk));
		return FALSE;
	}

	if (repairs)
		add_repairs(plan, repairs, is_cut_off);
	else
		report_left_alone(plan);
	g_ptr_array_unref(plan->table_edits);
	plan->table_edits = g_steal_pointer(&edits);
	return TRUE;
}

/* What a run of the same command, cut off, may have written: a root hash and `--names` reach beyond
 * what is assigned. */
static GArray *
list_touched(DpsPlan *plan)
{
	GArray *numbers;

	if (plan->names || plan->root_hash || plan->usr_hash)
		return NULL;

	numbers = g_array_new(FALSE, FALSE, sizeof(guint));
	for (guint i = 0; i < plan->assignments->len; i++) {
		const DpsAssignment *assignment = plan->assignments->pdata[i];

		g_array_append_val(numbers, assignment->partition);
	}
	return numbers;
}

/* Without a tree, what the assigned root says of itself: its fstab, its subvolume, its machine id.
 * That it cannot be read is no fault. */
static void
find_tree_of_root(DpsPlan *plan)
{
	const DpsAssignment *root = dps_plan_get_assignment_for(plan, DPS_ROLE_ROOT);

	if (!plan->tree && root)
		plan->tree = dps_image_open_tree(plan->disk, root->partition, NULL);
}

gboolean
dps_plan_prepare(DpsPlan *plan, GError **error)
{
	g_autoptr(GPtrArray) outcomes = NULL;

	if (plan->state != DPS_PLAN_OPEN || !plan->disk)
		return TRUE;

	g_ptr_array_set_size(plan->changes, 0);
	g_ptr_array_sort(plan->assignments, by_partition);
	find_tree_of_root(plan);
	outcomes = dps_plan_make_outcomes(plan, error);
	if (!outcomes)
		return FALSE;

	for (guint i = 0; i < plan->assignments->len; i++) {
		const DpsAssignment *root = plan->assignments->pdata[i];
		DpsPartition *partition =
			dps_disk_get_partition_by_number(plan->disk, root->partition);

		if (root->role != DPS_ROLE_ROOT)
			continue;
		if (!check_winner(plan, outcomes, root, error) ||
		    !dps_plan_prepare_default_subvolume(plan, partition, error))
			return FALSE;
	}

	for (guint i = 0; i < outcomes->len; i++) {
		if (!dps_plan_check_validatefs(plan, outcomes->pdata[i], error))
			return FALSE;
		add_entry_changes(plan, outcomes->pdata[i]);
	}

	g_clear_pointer(&plan->touched, g_array_unref);
	plan->touched = list_touched(plan);
	if (!dps_plan_prepare_table(plan, error))
		return FALSE;

	plan->state = DPS_PLAN_PREPARED;
	return TRUE;
}
