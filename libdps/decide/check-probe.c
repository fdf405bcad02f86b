/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/check.h"
#include "decide/discover.h"
#include "ground/types.h"

/*
 * What keeps anybody from telling what a partition holds: nothing can be read of it, or two things
 * are there.  Where systemd looks for a file system, either loses it the whole disk.
 */

/* In which partitions systemd looks for a file system: 257 looks into as many as any version. */
static GPtrArray *
discover_probed(DpsCheck *check)
{
	g_auto(DpsCmdline) empty = { 0 };
	DpsProfile profile;

	dps_cmdline_parse(NULL, &empty);
	profile = dps_check_make_profile(check, 257, &empty);
	return dps_discover(check->disk, &profile);
}

static gboolean
is_probed_in(GPtrArray *candidates, const DpsPartition *partition)
{
	const DpsCandidate *candidate = dps_discover_find(candidates, partition->number);

	return candidate && candidate->is_probed;
}

/* Whether it is a partition without which the machine does not start: the kernels and loaders that
 * are on it were not read either. */
static gboolean
is_lost_boot_part(const DpsBootPart *part, const DpsPartition *partition)
{
	return part->partition == partition && !part->files;
}

/* What was not given of the files of a boot partition that was opened; NULL: nothing. */
static const char *
find_lost_file(DpsCheck *check, const DpsPartition *partition)
{
	const DpsBootPart *const parts[] = { &check->boot->esp, &check->boot->xbootldr };

	for (guint i = 0; i < G_N_ELEMENTS(parts); i++)
		if (parts[i]->partition == partition && parts[i]->files)
			return dps_files_get_first_lost(parts[i]->files);
	return NULL;
}

/* Where systemd looks, it gets no further than we did, and takes nothing of the disk. */
static void
check_content_unreadable(DpsCheck *check)
{
	g_autoptr(GPtrArray) candidates = NULL;

	for (guint i = 0; i < dps_disk_get_n_partitions(check->disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(check->disk, i);
		const char *file = find_lost_file(check, partition);
		gboolean is_probed, is_boot;

		if (!file && !dps_partition_is_unreadable(partition))
			continue;
		if (!candidates)
			candidates = discover_probed(check);
		is_probed = dps_partition_is_unreadable(partition) &&
			    is_probed_in(candidates, partition);
		if (file && !is_probed) {
			dps_check_report(check, partition->number, DPS_GPT_UNREADABLE_HINT,
					 "not all of its files can be read: %s", file);
			continue;
		}
		is_boot = is_lost_boot_part(&check->boot->esp, partition) ||
			  is_lost_boot_part(&check->boot->xbootldr, partition);
		dps_check_report_as(
			check, is_probed || is_boot ? DPS_SEVERITY_ERROR : DPS_SEVERITY_WARNING,
			partition->number, DPS_GPT_UNREADABLE_HINT,
			"what it holds cannot be read: %s%s", partition->content.problem,
			is_probed ? ": systemd, which looks at the same places, then mounts no "
				    "partition of the disk by its type"
			: is_boot ? ": what the machine starts from is on it"
				  : "");
	}
}

/* Where systemd looks for a file system and finds two, it takes nothing of the disk. */
static void
check_fs_ambiguous(DpsCheck *check)
{
	g_autoptr(GPtrArray) candidates = discover_probed(check);

	for (guint i = 0; i < dps_disk_get_n_partitions(check->disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(check->disk, i);
		gboolean is_probed = is_probed_in(candidates, partition);

		/* That an ESP is no FAT is told as such. */
		if (!partition->type || partition->type->role == DPS_ROLE_LINUX_GENERIC ||
		    partition->type->role == DPS_ROLE_BIOS_BOOT ||
		    partition->type->role == DPS_ROLE_PREP ||
		    partition->type->role == DPS_ROLE_ESP || !dps_check_can_see(check, partition) ||
		    partition->content.kind != DPS_CONTENT_AMBIGUOUS)
			continue;
		dps_check_report_as(
			check, is_probed ? DPS_SEVERITY_ERROR : DPS_SEVERITY_WARNING,
			partition->number,
			"see them with wipefs on the partition's node, and erase the stale "
			"one with wipefs --all --types TYPE",
			"has signatures of several file systems: %s",
			is_probed ? "systemd then mounts no partition of the disk at all"
				  : "nobody can tell what it holds");
	}
}

const DpsRule dps_rules_probe[] = {
	{ "content-unreadable", DPS_SEVERITY_ERROR, check_content_unreadable },
	{ "fs-ambiguous", DPS_SEVERITY_ERROR, check_fs_ambiguous },
	{ NULL },
};
