/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/check.h"
#include "ground/types.h"

#include <string.h>

/* Whether the disk is set up for firmware that knows no ESP: BIOS, PowerPC, s390. */
static gboolean
boots_without_uefi(DpsCheck *check)
{
	if (check->arch != DPS_ARCH_NONE && !dps_arch_get_efi_suffix(check->arch))
		return TRUE;

	return dps_check_next_of_role(check, DPS_ROLE_BIOS_BOOT, NULL) ||
	       dps_check_next_of_role(check, DPS_ROLE_PREP, NULL);
}

static void
check_esp_missing(DpsCheck *check)
{
	DpsMedium *medium = dps_disk_get_medium(check->disk);

	if (!dps_disk_get_gpt(check->disk) || boots_without_uefi(check) ||
	    dps_check_next_of_role(check, DPS_ROLE_ESP, NULL))
		return;

	/* The NVRAM of a machine may name a loader on another disk; an image has its own only. */
	dps_check_report_as(
		check, dps_medium_is_device(medium) ? DPS_SEVERITY_WARNING : DPS_SEVERITY_ERROR, 0,
		"tag the FAT partition that holds the loader: dps-tag apply DISK esp=N",
		"no partition has the type of an EFI system partition: UEFI firmware finds "
		"no loader, and systemd does not know which disk it was started from");
}

/* A hidden one is looked at too: its content is wrong all the same. */
static void
check_esp_not_fat(DpsCheck *check)
{
	for (DpsPartition *esp = dps_check_next_of_role(check, DPS_ROLE_ESP, NULL); esp;
	     esp = dps_check_next_of_role(check, DPS_ROLE_ESP, esp))
		if (g_strcmp0(esp->content.type, "vfat") != 0)
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
	DpsPartition *first = dps_check_next_of_role(check, DPS_ROLE_ESP, NULL);
	DpsPartition *second;

	while (first && first->attributes & DPS_FLAG_NO_BLOCK_IO)
		first = dps_check_next_of_role(check, DPS_ROLE_ESP, first);
	second = first ? dps_check_next_of_role(check, DPS_ROLE_ESP, first) : NULL;
	if (second)
		dps_check_report(
			check, second->number, "keep one; make the other linux-generic or xbootldr",
			"a second EFI system partition: systemd takes the first, partition %u",
			first->number);
}

const DpsRule dps_rules_esp[] = {
	{ "esp-missing", DPS_SEVERITY_ERROR, check_esp_missing },
	{ "esp-not-fat", DPS_SEVERITY_ERROR, check_esp_not_fat },
	{ "esp-multiple", DPS_SEVERITY_WARNING, check_esp_multiple },
	{ NULL },
};
