/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/check.h"
#include "ground/types.h"

#include <string.h>

static void
check_esp_missing(DpsCheck *check)
{
	if (dps_check_is_not_uefi(check) || dps_check_next_of_role(check, DPS_ROLE_ESP, NULL) ||
	    dps_check_find_mistyped_esp(check))
		return;

	/* The NVRAM of a machine may name a loader on another disk; an image has its own only. */
	dps_check_report_as(
		check, dps_check_uefi_severity(check), 0,
		"tag the FAT partition that holds the loader: `dps-tag apply {disk} esp=N`",
		"no partition has the type of an EFI system partition: UEFI firmware finds "
		"no loader, and systemd does not know which disk it was started from");
}

static void
check_esp_wrong_type(DpsCheck *check)
{
	DpsPartition *partition = dps_check_find_mistyped_esp(check);

	if (!partition && !dps_check_next_of_role(check, DPS_ROLE_ESP, NULL))
		for (guint i = 0; i < dps_disk_get_n_partitions(check->disk); i++)
			dps_check_can_see(check, dps_disk_get_partition(check->disk, i));
	if (partition)
		dps_check_report_as(
			check,
			dps_boot_is_bios(check->disk) ? DPS_SEVERITY_WARNING : DPS_SEVERITY_ERROR,
			partition->number, "tag it: `dps-tag apply {disk} esp={n}`",
			"is FAT with a directory EFI, and its type is %s, not that of an EFI "
			"system partition: bootctl, systemd and fwupd refuse it",
			partition->type ? partition->type->name : partition->type_uuid);
}

/* A hidden one is looked at too: its content is wrong all the same. */
static void
check_esp_not_fat(DpsCheck *check)
{
	for (DpsPartition *esp = dps_check_next_of_role(check, DPS_ROLE_ESP, NULL); esp;
	     esp = dps_check_next_of_role(check, DPS_ROLE_ESP, esp))
		if (g_strcmp0(esp->content.type, "vfat") != 0 &&
		    !dps_partition_is_firmware_area(esp) &&
		    !dps_check_is_entry_bad(check, esp->number) &&
		    !(esp == check->boot->esp.partition && check->boot->esp.is_fat) &&
		    dps_check_can_see(check, esp))
			dps_check_report(
				check, esp->number,
				"format it with mkfs.fat -F 32, or give it the type of what it "
				"holds",
				"has the type of an EFI system partition and holds %s: firmware "
				"reads FAT only",
				dps_partition_describe_content(esp));
}

static void
check_esp_multiple(DpsCheck *check)
{
	DpsPartition *first = check->boot->esp.partition;
	DpsPartition *second;

	second = first ? dps_check_next_of_role(check, DPS_ROLE_ESP, first) : NULL;
	while (second && second->attributes & DPS_FLAG_NO_BLOCK_IO)
		second = dps_check_next_of_role(check, DPS_ROLE_ESP, second);
	if (second)
		dps_check_report(
			check, second->number,
			"keep one, and take the tag of the other away: `dps-tag apply {disk} "
			"linux-generic={n}`",
			"a second EFI system partition: systemd takes the first, partition %u",
			first->number);
}

static void
check_esp_no_block_io(DpsCheck *check)
{
	DpsPartition *esp = check->boot->esp.partition;
	g_autofree char *hint =
		esp ? dps_check_hint_attributes(esp->attributes & ~(uint64_t)DPS_FLAG_NO_BLOCK_IO)
		    : NULL;

	if (esp && esp->attributes & DPS_FLAG_NO_BLOCK_IO)
		dps_check_report_as(check,
				    dps_boot_is_bios(check->disk) ? DPS_SEVERITY_WARNING
								  : DPS_SEVERITY_ERROR,
				    esp->number, hint,
				    "attribute bit 1 hides the only EFI system partition: firmware "
				    "and systemd ignore it");
}

static void
check_esp_no_auto(DpsCheck *check)
{
	for (DpsPartition *esp = dps_check_next_of_role(check, DPS_ROLE_ESP, NULL); esp;
	     esp = dps_check_next_of_role(check, DPS_ROLE_ESP, esp))
		if (esp->attributes & DPS_FLAG_NO_AUTO)
			dps_check_report(
				check, esp->number, NULL,
				"is marked no-auto, as Windows does: that has no effect on "
				"an EFI system partition");
}

static gboolean
has_driver(DpsCheck *check)
{
	g_autoptr(GPtrArray) names = dps_boot_list(&check->boot->esp, "/EFI/systemd/drivers");

	for (guint i = 0; i < names->len; i++) {
		const DpsFileInfo *info = names->pdata[i];
		g_autofree char *lower = g_ascii_strdown(info->name, -1);

		if (g_str_has_suffix(lower, ".efi"))
			return TRUE;
	}
	return FALSE;
}

/* Whether fstab has a line for /boot: then systemd generates no mount of its own (256 and newer).
 */
static gboolean
is_boot_in_fstab(DpsCheck *check)
{
	GPtrArray *fstab = check->tree ? dps_tree_get_fstab(check->tree) : NULL;

	for (guint i = 0; fstab && i < fstab->len; i++)
		if (g_strcmp0(((DpsFstabEntry *)fstab->pdata[i])->mount_point, "/boot") == 0)
			return TRUE;
	return FALSE;
}

static void
check_xbootldr_not_fat(DpsCheck *check)
{
	DpsPartition *partition = check->boot->xbootldr.partition;
	gboolean is_needed =
		check->boot->chain == DPS_CHAIN_SYSTEMD_BOOT || check->boot->chain == DPS_CHAIN_UKI;
	const char *why;

	if (!partition || check->boot->xbootldr.is_fat || !dps_check_can_see(check, partition))
		return;

	if (!is_needed && is_boot_in_fstab(check)) {
		dps_check_report_as(check, DPS_SEVERITY_INFO, partition->number, NULL,
				    "has the XBOOTLDR type and holds %s: systemd-boot could not "
				    "read it; fstab mounts it",
				    dps_partition_describe_content(partition));
		return;
	}
	why = !is_needed	  ? ""
	      : has_driver(check) ? "systemd-boot reads it with a driver of EFI/systemd/drivers "
				    "alone, and "
				  : "systemd-boot and firmware cannot read it, and ";
	dps_check_report_as(
		check, is_needed && !has_driver(check) ? DPS_SEVERITY_ERROR : DPS_SEVERITY_WARNING,
		partition->number,
		"make it FAT, or take the tag away: `dps-tag apply {disk} linux-generic={n}`",
		"has the XBOOTLDR type and holds %s: %ssystemd 259 and newer mount it as vfat and "
		"fail",
		dps_partition_describe_content(partition), why);
}

static void
check_xbootldr_multiple(DpsCheck *check)
{
	DpsPartition *first = check->boot->xbootldr.partition;

	for (DpsPartition *other = first ? dps_check_next_of_role(check, DPS_ROLE_XBOOTLDR, first)
					 : NULL;
	     other; other = dps_check_next_of_role(check, DPS_ROLE_XBOOTLDR, other))
		if (!(other->attributes & DPS_FLAG_NO_AUTO))
			dps_check_report(
				check, other->number,
				"keep one: `dps-tag apply {disk} linux-generic={n}`",
				"a second XBOOTLDR partition: systemd-boot reads the first "
				"alone, partition %u",
				first->number);
}

/* Whether the disk is for machines without UEFI: by its architecture, or by PReP or zipl's record.
 */
static gboolean
has_no_uefi(DpsCheck *check)
{
	if (check->arch != DPS_ARCH_NONE)
		return !dps_arch_get_efi_suffix(check->arch);

	return dps_boot_is_bios(check->disk) &&
	       !dps_check_next_of_role(check, DPS_ROLE_BIOS_BOOT, NULL);
}

static void
check_xbootldr_without_esp(DpsCheck *check)
{
	DpsPartition *partition = check->boot->xbootldr.partition;

	if (partition && !check->boot->esp.partition && !dps_check_find_mistyped_esp(check) &&
	    !has_no_uefi(check))
		dps_check_report(check, partition->number, NULL,
				 "an XBOOTLDR partition without an EFI system partition on the "
				 "same disk: loaders look for it beside their own");
}

static void
check_esp_random_seed_shipped(DpsCheck *check)
{
	const DpsBootPart *esp = &check->boot->esp;

	if (!dps_medium_is_device(dps_disk_get_medium(check->disk)) &&
	    dps_boot_exists(esp, "/loader/random-seed"))
		dps_check_report_file(check, 0, dps_check_part_number(esp), "/loader/random-seed",
				      "delete it from images that are to be copied",
				      "a random seed in an image: all copies start with the same "
				      "one");
}

/* Whether the mount options close the files to others: umask, or fmask and dmask both. */
static gboolean
closes_others(const char *options)
{
	g_auto(GStrv) words = g_strsplit(options ? options : "", ",", -1);
	gboolean files = FALSE, directories = FALSE;

	for (guint i = 0; words[i]; i++) {
		const char *value = strchr(words[i], '=');
		gboolean closes = value && (g_ascii_strtoull(value + 1, NULL, 8) & 7) == 7;

		if (g_str_has_prefix(words[i], "umask="))
			files = directories = closes;
		else if (g_str_has_prefix(words[i], "fmask="))
			files = value && (g_ascii_strtoull(value + 1, NULL, 8) & 6) == 6;
		else if (g_str_has_prefix(words[i], "dmask="))
			directories = closes;
	}
	return files && directories;
}

static void
check_esp_fstab_world_readable(DpsCheck *check)
{
	const DpsBootPart *esp = &check->boot->esp;
	GPtrArray *fstab;

	if (!esp->partition || !dps_check_need_tree(check))
		return;
	if (check->boot->chain != DPS_CHAIN_SYSTEMD_BOOT &&
	    !dps_boot_exists(esp, "/loader/random-seed"))
		return;

	fstab = dps_tree_get_fstab(check->tree);
	for (guint i = 0; i < fstab->len; i++) {
		const DpsFstabEntry *entry = fstab->pdata[i];
		DpsPartition *partition = NULL;

		dps_check_find_root_spec(check, entry->spec, &partition);
		if (entry->mount_point && !closes_others(entry->options) &&
		    (partition == esp->partition ||
		     g_strcmp0(entry->spec, esp->partition->node) == 0))
			dps_check_report_file(
				check, 0, esp->partition->number, "/etc/fstab",
				"add umask=0077 to its options",
				"fstab mounts the EFI system partition at %s so that all can read "
				"it, and the random seed of systemd-boot is there",
				entry->mount_point);
	}
}

const DpsRule dps_rules_esp[] = {
	{ "esp-missing", DPS_SEVERITY_ERROR, check_esp_missing },
	{ "esp-wrong-type", DPS_SEVERITY_ERROR, check_esp_wrong_type },
	{ "esp-not-fat", DPS_SEVERITY_ERROR, check_esp_not_fat },
	{ "esp-multiple", DPS_SEVERITY_WARNING, check_esp_multiple },
	{ "esp-no-block-io", DPS_SEVERITY_ERROR, check_esp_no_block_io },
	{ "esp-no-auto", DPS_SEVERITY_INFO, check_esp_no_auto },
	{ "esp-random-seed-shipped", DPS_SEVERITY_WARNING, check_esp_random_seed_shipped },
	{ "esp-fstab-world-readable", DPS_SEVERITY_WARNING, check_esp_fstab_world_readable },
	{ "xbootldr-not-fat", DPS_SEVERITY_WARNING, check_xbootldr_not_fat },
	{ "xbootldr-multiple", DPS_SEVERITY_ERROR, check_xbootldr_multiple },
	{ "xbootldr-without-esp", DPS_SEVERITY_WARNING, check_xbootldr_without_esp },
	{ NULL },
};
