/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/discover-internal.h"

/*
 * What is mounted after the switch to root: add_partition_mount() and add_partition_swap() of
 * gpt-auto-generator.c.
 */

gboolean
dps_discover_is_allowed(const char *fs_type)
{
	/* dissect-image.c of systemd 254 to 257, fstype_is_ok() */
	static const char *const allowed[] = { "btrfs",	   "erofs", "ext4", "f2fs",
					       "squashfs", "vfat",  "xfs" };

	for (guint i = 0; i < G_N_ELEMENTS(allowed); i++)
		if (g_strcmp0(fs_type, allowed[i]) == 0)
			return TRUE;
	return FALSE;
}

void
dps_discovery_judge_swap(DpsDiscovery *self, DpsCandidate *candidate)
{
	const DpsProfile *profile = self->profile;
	DpsContentKind kind = candidate->partition->content.kind;
	gboolean any = FALSE;

	for (guint i = 0; profile->fstab && i < profile->fstab->len; i++) {
		const DpsFstabEntry *entry = profile->fstab->pdata[i];

		any |= g_strcmp0(entry->fs_type, "swap") == 0;
	}
	if (profile->fstab)
		dps_discovery_add_either(candidate, "fstab", !any, "fstab has no line for swap",
					 "fstab has a line for swap");
	else
		dps_discovery_add(candidate, "fstab", DPS_STEP_UNKNOWN,
				  "fstab, which could not be read, has no line for swap");
	if (profile->version >= 254)
		dps_discovery_add_either(candidate, "swap-argument",
					 profile->cmdline->swap != DPS_CMDLINE_NO,
					 "systemd.swap= does not switch swap off",
					 "systemd.swap= switches swap off");
	dps_discovery_add_content(candidate, kind == DPS_CONTENT_SWAP || kind == DPS_CONTENT_LUKS,
				  "swap, or LUKS", "no swap");
}

/* What is in the directory would be hidden, so the partition is not mounted over it. */
void
dps_discovery_judge_directory(DpsDiscovery *self, DpsCandidate *candidate)
{
	switch (dps_discovery_get_directory(self, candidate->place)) {
	case DPS_DIRECTORY_BUSY:
		dps_discovery_add(candidate, "directory", DPS_STEP_FAIL,
				  "%s of the root file system is not empty", candidate->place);
		break;
	case DPS_DIRECTORY_UNKNOWN:
		dps_discovery_add(candidate, "directory", DPS_STEP_UNKNOWN,
				  "%s of the root file system, which could not be read, is empty",
				  candidate->place);
		break;
	default:
		dps_discovery_add(candidate, "directory", DPS_STEP_PASS,
				  "%s of the root file system is empty or not there",
				  candidate->place);
	}
}

void
dps_discovery_judge_content(DpsCandidate *candidate)
{
	DpsPartition *partition = candidate->partition;
	DpsContentKind kind = partition->content.kind;

	dps_discovery_add_content(candidate,
				  kind == DPS_CONTENT_LUKS || (kind == DPS_CONTENT_FILE_SYSTEM &&
							       !dps_partition_is_member(partition)),
				  "a file system, or LUKS", "no file system");
}

/* 254 has a list of what it mounts by itself; from 260 on, what is not on it is mounted without a
 * type. */
void
dps_discovery_judge_file_system(DpsDiscovery *self, DpsCandidate *candidate)
{
	const DpsContent *content = &candidate->partition->content;
	guint version = self->profile->version;

	if (version < 254 || content->kind != DPS_CONTENT_FILE_SYSTEM)
		return;
	if (dps_discover_is_allowed(content->type))
		dps_discovery_add(candidate, "file-system", DPS_STEP_PASS,
				  "%s is on systemd's list", content->type);
	else if (version < 258)
		dps_discovery_add(candidate, "file-system", DPS_STEP_FAIL,
				  "%s is not on systemd's list", content->type);
	else
		dps_discovery_add(candidate, "file-system", DPS_STEP_UNKNOWN,
				  "%s is mounted though it is not on systemd's list",
				  content->type);
}

void
dps_discovery_judge_mount(DpsDiscovery *self, DpsCandidate *candidate)
{
	const DpsProfile *profile = self->profile;
	DpsPartition *partition = candidate->partition;

	candidate->place = dps_type_get_mount_point(partition->type);
	candidate->is_read_only = (partition->attributes & DPS_FLAG_READ_ONLY) != 0;
	dps_discovery_judge_content(candidate);
	dps_discovery_judge_file_system(self, candidate);
	if (!profile->fstab)
		dps_discovery_add(candidate, "fstab", DPS_STEP_UNKNOWN,
				  "fstab, which could not be read, has no line for %s",
				  candidate->place);
	else if (dps_discovery_find_fstab(self, candidate->place))
		dps_discovery_add(candidate, "fstab", DPS_STEP_FAIL, "fstab has a line for %s",
				  candidate->place);
	else
		dps_discovery_add(candidate, "fstab", DPS_STEP_PASS, "fstab has no line for %s",
				  candidate->place);

	dps_discovery_judge_directory(self, candidate);
}
