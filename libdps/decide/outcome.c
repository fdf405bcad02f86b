/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/outcome.h"
#include "decide/finding.h"
#include "decide/mentions.h"
#include "format/verity.h"
#include "ground/derive.h"
#include "ground/error.h"
#include "ground/types.h"

static void
outcome_free(DpsOutcome *outcome)
{
	g_free(outcome->label);
	g_free(outcome);
}

static DpsOutcome *
outcome_new(DpsPlan *plan, DpsPartition *partition)
{
	const DpsAssignment *assignment = dps_plan_get_assignment_of(plan, partition->number);
	DpsOutcome *outcome = g_new0(DpsOutcome, 1);

	outcome->partition = partition;
	outcome->assignment = assignment;
	outcome->type = partition->type;
	outcome->attributes = partition->attributes;
	outcome->guid = partition->guid;
	outcome->label = g_strdup(partition->label);
	if (!assignment)
		return outcome;

	if (assignment->role != DPS_ROLE_SAME)
		outcome->type = dps_type_lookup(assignment->role, assignment->arch);
	outcome->attributes = (outcome->attributes | assignment->set) & ~assignment->clear;
	return outcome;
}

/* --- Flags ------------------------------------------------------------------------------------ */

/*
 * Which flags mean anything for a role: to systemd others are noise, and to people a promise that
 * nobody keeps.
 *
 * Source: UAPI.2, "Partition Flags" and the columns of its table; systemd's
 * gpt_partition_type_knows_read_only() and its kin.
 */
static DpsFlags
get_known_flags(DpsRole role)
{
	switch (role) {
	case DPS_ROLE_ROOT:
	case DPS_ROLE_USR:
	case DPS_ROLE_HOME:
	case DPS_ROLE_SRV:
	case DPS_ROLE_VAR:
	case DPS_ROLE_TMP:
	case DPS_ROLE_XBOOTLDR:
	case DPS_ROLE_USER_HOME:
	case DPS_ROLE_LINUX_GENERIC:
		return DPS_FLAG_GROWFS | DPS_FLAG_READ_ONLY | DPS_FLAG_NO_AUTO;
	case DPS_ROLE_ROOT_VERITY:
	case DPS_ROLE_USR_VERITY:
	case DPS_ROLE_ROOT_VERITY_SIG:
	case DPS_ROLE_USR_VERITY_SIG:
		return DPS_FLAG_READ_ONLY | DPS_FLAG_NO_AUTO;
	case DPS_ROLE_SWAP:
		return DPS_FLAG_NO_AUTO;
	default:
		return 0;
	}
}

static void
report_flags(DpsPlan *plan, const DpsOutcome *outcome)
{
	static const DpsFlags flags[] = { DPS_FLAG_GROWFS, DPS_FLAG_READ_ONLY, DPS_FLAG_NO_AUTO };
	DpsFlags unknown;

	if (!outcome->assignment || !outcome->type)
		return;

	unknown = outcome->assignment->set & ~get_known_flags(outcome->type->role);
	for (guint i = 0; i < G_N_ELEMENTS(flags); i++)
		if (unknown & flags[i])
			dps_plan_add_finding(
				plan,
				dps_finding_new("flag-without-meaning", DPS_SEVERITY_WARNING,
						outcome->partition->number, NULL,
						"leave the flag out",
						"the flag %s means nothing for %s: systemd does "
						"not look at it there",
						dps_flag_get_name((guint)__builtin_ctzll(flags[i])),
						dps_role_to_string(outcome->type->role)));
}

/* --- UUIDs ------------------------------------------------------------------------------------ */

/* The one assigned partition that is to have this role; NULL with an error when it is not one. */
static DpsOutcome *
find_assigned(DpsPlan *plan, GPtrArray *outcomes, DpsRole role, const char *option, GError **error)
{
	DpsOutcome *found = NULL;

	for (guint i = 0; i < outcomes->len; i++) {
		DpsOutcome *outcome = outcomes->pdata[i];

		if (!outcome->assignment || !outcome->type || outcome->type->role != role)
			continue;
		if (found)
			return dps_throw_null(
				error, DPS_ERROR_AMBIGUOUS,
				"%s: %s: partitions %u and %u are both assigned as %s: do one "
				"architecture at a time",
				dps_disk_get_path(plan->disk), option, found->partition->number,
				outcome->partition->number, dps_role_to_string(role));
		found = outcome;
	}
	if (!found)
		dps_throw(error, DPS_ERROR_REFUSED,
			  "%s: %s: no partition is assigned as %s: add %s=PARTITION",
			  dps_disk_get_path(plan->disk), option, dps_role_to_string(role),
			  dps_role_to_string(role));
	return found;
}

/* What the hash partition itself says the root hash is must be what was given. */
static gboolean
check_root_hash(DpsPlan *plan, const DpsOutcome *hashes, const char *root_hash, GError **error)
{
	DpsPartition *partition = hashes->partition;
	g_autofree char *computed = NULL;
	DpsVerity verity;

	if (!dps_verity_read(&partition->region, &verity, NULL))
		return TRUE; /* nothing there yet: said as assigned-content-unknown */

	computed = dps_verity_get_root_hash(&partition->region, &verity, NULL);
	if (!computed || g_ascii_strcasecmp(computed, root_hash) == 0)
		return TRUE;

	return dps_throw_partition(error, partition->number, DPS_ERROR_REFUSED,
				   "%s: partition %u: its hashes have the root hash %s, and %s was "
				   "given: the system would not open: give the right one",
				   dps_disk_get_path(plan->disk), partition->number, computed,
				   root_hash);
}

static gboolean
check_signature(DpsPlan *plan, GPtrArray *outcomes, DpsRole role, const char *root_hash,
		GError **error)
{
	for (guint i = 0; i < outcomes->len; i++) {
		const DpsOutcome *outcome = outcomes->pdata[i];
		g_auto(DpsVeritySignature) signature = { 0 };

		if (!outcome->type || outcome->type->role != role || !outcome->assignment ||
		    !dps_verity_signature_read(&outcome->partition->region, &signature, NULL) ||
		    g_ascii_strcasecmp(signature.root_hash, root_hash) == 0)
			continue;
		return dps_throw_partition(
			error, outcome->partition->number, DPS_ERROR_REFUSED,
			"%s: partition %u: its signature is for the root hash %s, and %s was "
			"given: give the right one, or leave the signature out",
			dps_disk_get_path(plan->disk), outcome->partition->number,
			signature.root_hash, root_hash);
	}
	return TRUE;
}

static gboolean
derive_verity(DpsPlan *plan, GPtrArray *outcomes, const char *root_hash, gboolean is_usr,
	      GError **error)
{
	const char *option = is_usr ? "--usr-hash" : "--root-hash";
	DpsRole data_role = is_usr ? DPS_ROLE_USR : DPS_ROLE_ROOT;
	DpsRole hash_role = is_usr ? DPS_ROLE_USR_VERITY : DPS_ROLE_ROOT_VERITY;
	DpsRole sig_role = is_usr ? DPS_ROLE_USR_VERITY_SIG : DPS_ROLE_ROOT_VERITY_SIG;
	DpsOutcome *data, *hashes;

	if (!root_hash)
		return TRUE;

	data = find_assigned(plan, outcomes, data_role, option, error);
	hashes = data ? find_assigned(plan, outcomes, hash_role, option, error) : NULL;
	if (!hashes)
		return FALSE;
	if (data->type->arch != hashes->type->arch)
		return dps_throw(error, DPS_ERROR_REFUSED,
				 "%s: %s: partition %u is for %s and partition %u for %s: they "
				 "are no pair",
				 dps_disk_get_path(plan->disk), option, data->partition->number,
				 dps_arch_to_string(data->type->arch), hashes->partition->number,
				 dps_arch_to_string(hashes->type->arch));
	if (!check_root_hash(plan, hashes, root_hash, error) ||
	    !check_signature(plan, outcomes, sig_role, root_hash, error))
		return FALSE;

	data->guid_reason = "the first half of the root hash";
	hashes->guid_reason = "the second half of the root hash";
	return dps_derive_verity(root_hash, &data->guid, &hashes->guid, error);
}

/* The UUID of /var proves that it is this system's; without it systemd passes the partition over.
 */
static gboolean
derive_var(DpsPlan *plan, GPtrArray *outcomes, GError **error)
{
	const char *machine_id = plan->machine_id;

	if (!machine_id && plan->tree)
		machine_id = dps_tree_get_machine_id(plan->tree);

	if (plan->machine_id && !find_assigned(plan, outcomes, DPS_ROLE_VAR, "--machine-id", error))
		return FALSE;

	for (guint i = 0; i < outcomes->len; i++) {
		DpsOutcome *outcome = outcomes->pdata[i];

		if (!outcome->assignment || !outcome->type || outcome->type->role != DPS_ROLE_VAR)
			continue;
		if (machine_id) {
			outcome->guid_reason = "of the machine id";
			if (!dps_derive_var(machine_id, &outcome->guid, error))
				return FALSE;
			continue;
		}
		dps_plan_add_finding(
			plan, dps_finding_new("var-no-machine-id", DPS_SEVERITY_WARNING,
					      outcome->partition->number, NULL,
					      "give it with --machine-id, or keep /var in fstab",
					      "there is no machine id to derive its UUID from: "
					      "systemd takes no /var with another UUID"));
	}
	return TRUE;
}

static gboolean
check_unique(DpsPlan *plan, GPtrArray *outcomes, const DpsOutcome *changed, GError **error)
{
	for (guint i = 0; i < outcomes->len; i++) {
		const DpsOutcome *other = outcomes->pdata[i];

		if (other != changed && dps_guid_equal(&other->guid, &changed->guid))
			return dps_throw_partition(
				error, other->partition->number, DPS_ERROR_REFUSED,
				"%s: partition %u: has the UUID %s, which partition %u is to "
				"get: two of the same cannot be told apart: change it first",
				dps_disk_get_path(plan->disk), other->partition->number,
				other->partition->uuid, changed->partition->number);
	}
	return TRUE;
}

/* A UUID that somebody names must not change: what names it would look for it in vain. */
static gboolean
check_not_named(DpsPlan *plan, DpsOutcome *outcome, GError **error)
{
	g_autoptr(GPtrArray) mentions = NULL;
	g_autofree char *list = NULL;

	if (plan->force)
		return TRUE;
	mentions = dps_plan_list_mentions(plan, outcome->partition->uuid);
	if (mentions->len == 0)
		return TRUE;

	g_ptr_array_add(mentions, NULL);
	list = g_strjoinv(", ", (char **)mentions->pdata);

	/* What was only detected must not keep the rest from being done. */
	if (!outcome->assignment->typed) {
		dps_plan_add_finding(
			plan, dps_finding_new("uuid-named", DPS_SEVERITY_WARNING,
					      outcome->partition->number, NULL,
					      "name it otherwise there (UUID= of the file system), "
					      "or change it with --force",
					      "its partition UUID stays and is not what %s must "
					      "have (%s), for it is named in %s",
					      dps_role_to_string(outcome->type->role),
					      outcome->guid_reason, list));
		outcome->guid = outcome->partition->guid;
		return TRUE;
	}

	return dps_throw_partition(
		error, outcome->partition->number, DPS_ERROR_REFUSED,
		"%s: partition %u: its partition UUID %s has to change (%s), and it is named in "
		"%s: name it otherwise there (UUID= of the file system), or give --force",
		dps_disk_get_path(plan->disk), outcome->partition->number, outcome->partition->uuid,
		outcome->guid_reason, list);
}

static gboolean
derive_uuids(DpsPlan *plan, GPtrArray *outcomes, GError **error)
{
	if (!derive_verity(plan, outcomes, plan->root_hash, FALSE, error) ||
	    !derive_verity(plan, outcomes, plan->usr_hash, TRUE, error) ||
	    !derive_var(plan, outcomes, error))
		return FALSE;

	for (guint i = 0; i < outcomes->len; i++) {
		DpsOutcome *outcome = outcomes->pdata[i];

		if (dps_guid_equal(&outcome->guid, &outcome->partition->guid))
			continue;
		if (!check_unique(plan, outcomes, outcome, error) ||
		    !check_not_named(plan, outcome, error))
			return FALSE;
	}
	return TRUE;
}

/* --- Names ------------------------------------------------------------------------------------ */

static gboolean
is_label_taken(GPtrArray *outcomes, const char *label)
{
	for (guint i = 0; i < outcomes->len; i++)
		if (g_strcmp0(((const DpsOutcome *)outcomes->pdata[i])->label, label) == 0)
			return TRUE;
	return FALSE;
}

/* As systemd-repart does it: the type's name, and "-2" and so on when it is taken.  Source: its
 * partition_acquire_label(). */
static void
give_names(GPtrArray *outcomes)
{
	for (guint i = 0; i < outcomes->len; i++) {
		DpsOutcome *outcome = outcomes->pdata[i];
		g_autofree char *label = NULL;

		if (outcome->label || !outcome->type)
			continue;
		label = g_strdup(outcome->type->name);
		for (guint n = 2; is_label_taken(outcomes, label); n++) {
			g_free(label);
			label = g_strdup_printf("%s-%u", outcome->type->name, n);
		}
		outcome->label = g_steal_pointer(&label);
	}
}

GPtrArray *
dps_plan_make_outcomes(DpsPlan *plan, GError **error)
{
	g_autoptr(GPtrArray) outcomes =
		g_ptr_array_new_with_free_func((GDestroyNotify)outcome_free);

	for (guint i = 0; i < dps_disk_get_n_partitions(plan->disk); i++)
		g_ptr_array_add(outcomes, outcome_new(plan, dps_disk_get_partition(plan->disk, i)));

	for (guint i = 0; i < outcomes->len; i++)
		report_flags(plan, outcomes->pdata[i]);
	if (!derive_uuids(plan, outcomes, error))
		return NULL;
	if (plan->names)
		give_names(outcomes);
	return g_steal_pointer(&outcomes);
}
