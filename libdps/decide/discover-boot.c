/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/discover-internal.h"

#include <string.h>

/*
 * The ESP and XBOOTLDR after the switch to root: add_partition_esp(), add_partition_xbootldr() and
 * slash_boot_in_fstab() of gpt-auto-generator.c, whose rules changed in 254, 256 and 257.
 */

static gboolean
is_named(const DpsProfile *profile, DpsRole role)
{
	return (profile->loader == DPS_LOADER_WORD_ESP && role == DPS_ROLE_ESP) ||
	       (profile->loader == DPS_LOADER_WORD_XBOOTLDR && role == DPS_ROLE_XBOOTLDR);
}

/* 252 wants the ESP alone to be the loader's; 254 either, and both fall together. */
static void
judge_loader(DpsDiscovery *self, DpsCandidate *candidate)
{
	const DpsProfile *profile = self->profile;
	DpsRole role = candidate->partition->type->role;
	gboolean ok = profile->loader != DPS_LOADER_WORD_NONE;

	if (profile->version < 254 && role == DPS_ROLE_XBOOTLDR)
		return;
	if (!profile->is_efi) {
		dps_discovery_add(candidate, "loader", DPS_STEP_PASS,
				  "on a boot by BIOS nobody asks for the loader's partition");
		return;
	}
	if (profile->version < 254)
		ok = is_named(profile, role);
	if (ok)
		dps_discovery_add(candidate, "loader", DPS_STEP_PASS,
				  "the loader said that it was started from here");
	else
		dps_discovery_add(candidate, "loader", DPS_STEP_FAIL,
				  "the loader did not say that it was started from %s",
				  profile->version < 254 ? "this partition" : "this disk");
}

static gboolean
is_boot_path(const char *path)
{
	return path && (strcmp(path, "/boot") == 0 || strcmp(path, "/efi") == 0 ||
			g_str_has_prefix(path, "/boot/") || g_str_has_prefix(path, "/efi/"));
}

/* The first line of fstab that keeps the partition from being mounted at @place; NULL: none. */
static const DpsFstabEntry *
find_stop(DpsDiscovery *self, DpsCandidate *candidate, const char *place)
{
	const DpsProfile *profile = self->profile;

	for (guint i = 0; i < profile->fstab->len; i++) {
		const DpsFstabEntry *entry = profile->fstab->pdata[i];

		if (profile->version >= 256 ? is_boot_path(entry->mount_point)
					    : g_strcmp0(entry->mount_point, place) == 0)
			return entry;
		if (profile->version >= 254 && entry->mount_point &&
		    candidate->partition->type->role == DPS_ROLE_ESP &&
		    dps_discovery_is_named(candidate->partition, entry->spec))
			return entry;
	}
	return NULL;
}

static void
judge_fstab(DpsDiscovery *self, DpsCandidate *candidate, const char *place)
{
	const DpsFstabEntry *stop;

	if (!self->profile->fstab) {
		dps_discovery_add(candidate, "fstab", DPS_STEP_UNKNOWN,
				  "fstab, which could not be read, has nothing for it");
		return;
	}
	stop = find_stop(self, candidate, place);
	if (stop)
		dps_discovery_add(candidate, "fstab", DPS_STEP_FAIL, "fstab has a line for %s",
				  stop->mount_point);
	else
		dps_discovery_add(candidate, "fstab", DPS_STEP_PASS, "fstab has nothing for it");
}

/* Where this version puts the ESP. */
static const char *
choose_place(DpsDiscovery *self)
{
	const guint version = self->profile->version;
	gboolean has_xbootldr = self->slots[DPS_ROLE_XBOOTLDR] != NULL;
	DpsDirectory boot = dps_discovery_get_directory(self, "/boot");

	if (version < 254)
		return has_xbootldr || dps_discovery_get_directory(self, "/efi") !=
					       DPS_DIRECTORY_MISSING
			       ? "/efi"
			       : "/boot";

	if (has_xbootldr || boot == DPS_DIRECTORY_BUSY)
		return "/efi";
	if (version < 257 && boot == DPS_DIRECTORY_MISSING)
		return "/efi";
	/* Later versions stop at such a line. */
	return version < 256 && dps_discovery_find_fstab(self, "/boot") ? "/efi" : "/boot";
}

/* The type of the file system is given to mount, and what is there has to be that. */
static void
judge_vfat(DpsCandidate *candidate)
{
	DpsPartition *partition = candidate->partition;

	if (g_strcmp0(partition->content.type, "vfat") == 0)
		dps_discovery_add(candidate, "vfat", DPS_STEP_PASS, "it holds vfat");
	else if (dps_partition_is_unreadable(partition))
		dps_discovery_add(candidate, "vfat", DPS_STEP_UNKNOWN,
				  "what it holds, which could not be read, is vfat");
	else
		dps_discovery_add(candidate, "vfat",
				  partition->content.kind == DPS_CONTENT_AMBIGUOUS
					  ? DPS_STEP_UNKNOWN
					  : DPS_STEP_FAIL,
				  "it is mounted as vfat, and holds %s",
				  dps_partition_describe_content(partition));
}

void
dps_discovery_judge_esp(DpsDiscovery *self, DpsCandidate *candidate)
{
	candidate->place = choose_place(self);
	candidate->is_automount = TRUE;
	judge_fstab(self, candidate, candidate->place);
	dps_discovery_judge_directory(self, candidate);
	judge_loader(self, candidate);
	judge_vfat(candidate);
}

void
dps_discovery_judge_xbootldr(DpsDiscovery *self, DpsCandidate *candidate)
{
	candidate->place = "/boot";
	candidate->is_automount = TRUE;
	judge_fstab(self, candidate, candidate->place);
	dps_discovery_judge_directory(self, candidate);
	judge_loader(self, candidate);
	if (self->profile->version >= 259) {
		judge_vfat(candidate);
		return;
	}
	dps_discovery_judge_content(candidate);
	dps_discovery_judge_file_system(self, candidate);
}
