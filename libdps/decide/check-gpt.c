/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/check.h"
#include "ground/types.h"

static void
check_gpt_missing(DpsCheck *check)
{
	if (dps_disk_get_table(check->disk) == DPS_TABLE_NONE)
		dps_check_report(check, 0,
				 "partition it with a GUID partition table (sfdisk, label: gpt)",
				 "%s", dps_disk_get_table_problem(check->disk));
}

static void
check_mbr_only(DpsCheck *check)
{
	if (dps_disk_get_table(check->disk) == DPS_TABLE_MBR)
		dps_check_report(
			check, 0,
			"keep root= on the command line, or convert it with `sgdisk -g` after a "
			"backup",
			"%s: systemd discovers nothing on it",
			dps_disk_get_table_problem(check->disk));
}

static void
check_gpt_primary_bad(DpsCheck *check)
{
	const DpsGpt *gpt = dps_disk_get_gpt(check->disk);

	if (dps_disk_get_table(check->disk) == DPS_TABLE_GPT_DAMAGED)
		dps_check_report(check, 0,
				 "restore the table from a backup of it (sgdisk -l, sfdisk)", "%s",
				 dps_disk_get_table_problem(check->disk));
	else if (gpt && !gpt->primary.good)
		dps_check_report(
			check, 0, "put it back from the backup copy, with sgdisk -e or sfdisk",
			"the primary copy of the table is bad (%s); the backup copy is good",
			gpt->primary.problem);
}

static void
check_gpt_backup_misplaced(DpsCheck *check)
{
	const DpsGpt *gpt = dps_disk_get_gpt(check->disk);

	if (!gpt)
		return;

	if (!gpt->backup.good)
		dps_check_report(
			check, 0,
			"write it anew with `sgdisk -e` or `sfdisk --relocate gpt-bak-std`",
			"the backup copy of the table is bad: %s", gpt->backup.problem);
	else if (gpt->backup_misplaced)
		dps_check_report(
			check, 0,
			"move it there with `sgdisk -e` or `sfdisk --relocate gpt-bak-std`",
			"the backup copy of the table is not at the end of the disk: the disk has "
			"grown since");
}

static void
check_gpt_copies_differ(DpsCheck *check)
{
	const DpsGpt *gpt = dps_disk_get_gpt(check->disk);

	if (gpt && gpt->copies_differ && gpt->state == DPS_GPT_WHOLE)
		dps_check_report(
			check, 0,
			"the next `dps-tag apply` that changes something writes the backup anew",
			"both copies of the table are valid, and they differ: readers take the "
			"primary");
}

static void
check_gpt_half_written(DpsCheck *check)
{
	const DpsGpt *gpt = dps_disk_get_gpt(check->disk);

	if (!gpt || gpt->state == DPS_GPT_WHOLE)
		return;

	dps_check_report_as(
		check, gpt->state == DPS_GPT_FLIPPED ? DPS_SEVERITY_WARNING : DPS_SEVERITY_ERROR, 0,
		"finish it with `dps-tag apply`",
		"a change of the table was cut off: the primary header points at the "
		"backup's entries%s",
		gpt->state == DPS_GPT_FLIPPED ? ""
					      : ", and the disk has grown since: a file "
						"system may write over them");
}

static void
check_partuuid_is_type(DpsCheck *check)
{
	for (guint i = 0; i < dps_disk_get_n_partitions(check->disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(check->disk, i);
		const DpsType *type = dps_type_lookup_guid(&partition->guid);

		if (type)
			dps_check_report(
				check, partition->number,
				"give it one of its own: sfdisk --part-uuid DISK NUMBER "
				"$(uuidgen)",
				"its own UUID is the type GUID of %s: somebody wrote the type into "
				"the wrong field",
				type->name);
	}
}

const DpsRule dps_rules_gpt[] = {
	{ "gpt-missing", DPS_SEVERITY_ERROR, check_gpt_missing },
	{ "mbr-only", DPS_SEVERITY_ERROR, check_mbr_only },
	{ "gpt-primary-bad", DPS_SEVERITY_ERROR, check_gpt_primary_bad },
	{ "gpt-backup-misplaced", DPS_SEVERITY_WARNING, check_gpt_backup_misplaced },
	{ "gpt-copies-differ", DPS_SEVERITY_WARNING, check_gpt_copies_differ },
	{ "gpt-half-written", DPS_SEVERITY_WARNING, check_gpt_half_written },
	{ "partuuid-is-type", DPS_SEVERITY_WARNING, check_partuuid_is_type },
	{ NULL },
};
