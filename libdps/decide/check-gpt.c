/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/check.h"
#include "ground/types.h"

#include <inttypes.h>
#include <string.h>

static gboolean
has_signature(DpsCheck *check, uint32_t sector_size)
{
	DpsRegion region = dps_medium_get_region(dps_disk_get_medium(check->disk));

	return dps_gpt_has_signature(&region, sector_size);
}

/* Of a disk whose table nobody gave us, so that there is no DpsGpt to look at. */
static gboolean
has_protective(DpsCheck *check)
{
	DpsRegion region = dps_medium_get_region(dps_disk_get_medium(check->disk));
	DpsMbr mbr;

	return dps_mbr_read(&region, &mbr, NULL) && mbr.is_protective;
}

/*
 * The size of sectors that the only table on the disk is for, when the disk has others; else 0.  It
 * is whole, perhaps: what is written to "mend" it would go to other places than its own.
 */
static guint
get_foreign_sector_size(DpsCheck *check)
{
	guint own = dps_medium_get_sector_size(dps_disk_get_medium(check->disk));
	guint other = own == 512 ? 4096 : 512;

	return own != 0 && dps_disk_get_table(check->disk) == DPS_TABLE_GPT_DAMAGED &&
			       !has_signature(check, own) && has_signature(check, other)
		       ? other
		       : 0;
}

/*
 * Whether a table is there that no reader takes: its headers are, and no protective record leads to
 * them (UEFI 2.10, 5.2.3; the kernel's is_pmbr_valid()).
 */
static gboolean
is_hidden_by_mbr(DpsCheck *check)
{
	DpsTable table = dps_disk_get_table(check->disk);

	return (table == DPS_TABLE_MBR ||
		(table == DPS_TABLE_GPT_DAMAGED && !has_protective(check))) &&
	       (has_signature(check, 512) || has_signature(check, 4096));
}

static void
check_gpt_missing(DpsCheck *check)
{
	if (dps_disk_get_table(check->disk) == DPS_TABLE_NONE)
		dps_check_report(check, 0,
				 "partition it with a GUID partition table: sfdisk, label: gpt",
				 "%s", dps_disk_get_table_problem(check->disk));
}

/* It is an error for what relies on discovery, as a missing root type is. */
static void
check_mbr_only(DpsCheck *check)
{
	const DpsBoot *boot = check->boot;

	if (dps_disk_get_table(check->disk) != DPS_TABLE_MBR || is_hidden_by_mbr(check))
		return;

	dps_check_report_as(
		check,
		boot->discovery == DPS_DISCOVERY_NO || boot->discovery == DPS_DISCOVERY_UNKNOWN
			? DPS_SEVERITY_WARNING
			: DPS_SEVERITY_ERROR,
		0,
		"keep root= on the command line, or convert the table after a backup: `sgdisk "
		"--mbrtogpt {disk}`",
		"%s: systemd discovers nothing on it%s%s", dps_disk_get_table_problem(check->disk),
		boot->relying ? ", and this relies on it: " : "",
		boot->relying ? boot->relying->path : "");
}

static void
check_gpt_primary_bad(DpsCheck *check)
{
	const DpsGpt *gpt = dps_disk_get_gpt(check->disk);

	if (is_hidden_by_mbr(check) || get_foreign_sector_size(check) != 0)
		return;

	if (dps_disk_get_table(check->disk) == DPS_TABLE_GPT_DAMAGED)
		dps_check_report(
			check, 0,
			"restore the table from a backup of it: `sgdisk --load-backup=FILE {disk}`",
			"%s", dps_disk_get_table_problem(check->disk));
	else if (gpt && !gpt->primary.good)
		dps_check_report(
			check, 0,
			gpt->primary.unreadable ? DPS_GPT_UNREADABLE_HINT
						: "put it back from the backup copy: "
						  "`sgdisk -j 2 -e {disk}`",
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
		dps_check_report(check, 0,
				 gpt->backup.unreadable ? DPS_GPT_UNREADABLE_HINT
							: "write it anew: `sgdisk -e {disk}`",
				 "the backup copy of the table is bad: %s", gpt->backup.problem);
	else if (gpt->backup_misplaced)
		dps_check_report(
			check, 0, "move it there: `sgdisk -e {disk}`",
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
			"write the backup copy anew: `sgdisk -e {disk}`; the next dps-tag apply "
			"that "
			"changes something does so too",
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
		"finish it: `dps-tag apply {disk}`",
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
				"give it one of its own: `sgdisk --partition-guid={n}:R {disk}`",
				"its own UUID is the type GUID of %s: somebody wrote the type into "
				"the wrong field",
				type->name);
	}
}

/* A table of entries that all overlap is not listed one by one. */
#define MAX_OVERLAPS 8

/* The partitions in front of an entry that it overlaps: "partition 3", "partitions 3 and 4"; NULL:
 * none.  An overlap is told once, of the later entry of the two. */
static char *
list_overlaps(const GPtrArray *entries, guint n)
{
	const DpsGptEntry *entry = entries->pdata[n];
	g_autoptr(GArray) found = g_array_new(FALSE, FALSE, sizeof(guint));
	GString *list;
	guint shown;

	for (guint i = 0; i < n; i++) {
		const DpsGptEntry *other = entries->pdata[i];

		if (other->first_lba <= entry->last_lba && entry->first_lba <= other->last_lba)
			g_array_append_val(found, other->number);
	}
	if (found->len == 0)
		return NULL;

	shown = MIN(found->len, MAX_OVERLAPS);
	list = g_string_new(found->len == 1 ? "partition " : "partitions ");
	for (guint i = 0; i < shown; i++)
		g_string_append_printf(list, "%s%u",
				       i == 0				       ? ""
				       : i + 1 == shown && shown == found->len ? " and "
									       : ", ",
				       g_array_index(found, guint, i));
	if (shown < found->len)
		g_string_append_printf(list, " and %u more", found->len - shown);
	return g_string_free(list, FALSE);
}

static void
check_gpt_overlap(DpsCheck *check)
{
	const DpsGpt *gpt = dps_disk_get_gpt(check->disk);

	for (guint i = 0; gpt && i < gpt->entries->len; i++) {
		const DpsGptEntry *entry = gpt->entries->pdata[i];
		g_autofree char *others = entry->problem ? list_overlaps(gpt->entries, i) : NULL;

		if (entry->is_outside)
			dps_check_report(check, entry->number,
					 "move or remove it with a partitioner: it is for another "
					 "disk, or a larger one",
					 "%s%s%s: firmware leaves such an entry out",
					 entry->problem, others ? ", and it overlaps " : "",
					 others ? others : "");
		else if (others)
			dps_check_report(check, entry->number,
					 "move or remove it with a partitioner; what is in it may "
					 "be overwritten",
					 "it overlaps %s: firmware leaves %s out", others,
					 g_str_has_prefix(others, "partitions") ? "all of them"
										: "both");
	}
}

static void
check_gpt_dup_partuuid(DpsCheck *check)
{
	guint n = dps_disk_get_n_partitions(check->disk);

	for (guint i = 1; i < n; i++) {
		DpsPartition *partition = dps_disk_get_partition(check->disk, i);

		if (dps_guid_is_null(&partition->guid))
			continue;
		for (guint j = 0; j < i; j++) {
			DpsPartition *other = dps_disk_get_partition(check->disk, j);

			if (!dps_guid_equal(&partition->guid, &other->guid))
				continue;
			dps_check_report(
				check, partition->number,
				"give it one of its own: `sgdisk --partition-guid={n}:R {disk}`",
				"has the UUID of partition %u, %s: PARTUUID= and what the loader "
				"tells systemd lead to either",
				other->number, partition->uuid);
			break;
		}
	}
}

static void
check_gpt_null_partuuid(DpsCheck *check)
{
	for (guint i = 0; i < dps_disk_get_n_partitions(check->disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(check->disk, i);

		if (dps_guid_is_null(&partition->guid))
			dps_check_report(check, partition->number,
					 "give it one: `sgdisk --partition-guid={n}:R {disk}`",
					 "its own UUID is zero: systemd leaves the entry out");
	}
}

static void
check_gpt_sector_size(DpsCheck *check)
{
	const DpsGpt *gpt = dps_disk_get_gpt(check->disk);
	DpsMedium *medium = dps_disk_get_medium(check->disk);
	guint own = dps_medium_get_sector_size(medium), foreign = get_foreign_sector_size(check);

	if (foreign != 0)
		dps_check_report_as(
			check, DPS_SEVERITY_ERROR, 0,
			"read it on a disk with sectors of its size, or as an image; to "
			"use this disk, partition it anew",
			"the table is for sectors of %u bytes, and the disk has %u: "
			"nobody sees it here",
			foreign, own);
	if (!gpt)
		return;

	if (has_signature(check, 512) && has_signature(check, 4096))
		dps_check_report(check, 0, "wipe the header that is not meant",
				 "there are headers for sectors of 512 and of 4096 bytes: systemd "
				 "refuses the disk");
	else if (own == 0 && gpt->sector_size != 512)
		dps_check_report_as(check, DPS_SEVERITY_INFO, 0, NULL,
				    "the table is for sectors of %u bytes: the image boots from "
				    "disks with such sectors only",
				    gpt->sector_size);
}

/* Linux, block/partitions/efi.c, is_gpt_valid(); libblkid has the same rule, and udev has libblkid.
 */
static void
check_gpt_entry_size(DpsCheck *check)
{
	const DpsGpt *gpt = dps_disk_get_gpt(check->disk);

	if (gpt && gpt->current->entry_size != DPS_GPT_ENTRY_MIN_SIZE)
		dps_check_report(
			check, 0,
			"make the table anew with entries of 128 bytes, after a backup of "
			"what is on the disk",
			"the table has entries of %u bytes: Linux and systemd read such of "
			"128 bytes alone, and find no partition",
			gpt->current->entry_size);
}

static void
check_pmbr_missing(DpsCheck *check)
{
	if (is_hidden_by_mbr(check))
		dps_check_report(
			check, 0,
			"write a protective MBR in place of what is there: `printf '\\0\\0' | dd "
			"of={disk} bs=1 seek=510 conv=notrunc && sgdisk -e {disk}`",
			"the first sector has no protective record of type 0xEE: firmware "
			"and kernel ignore the table");
}

static void
check_pmbr_boot_flag(DpsCheck *check)
{
	const DpsGpt *gpt = dps_disk_get_gpt(check->disk);

	if (gpt && gpt->mbr.is_marked_active)
		dps_check_report(
			check, 0,
			"clear it, unless a BIOS needs it: `parted --script {disk} disk_set "
			"pmbr_boot off`",
			"the protective record is marked active: OVMF before 2021-08 and "
			"some machines refuse the table");
}

static void
check_hybrid_mbr(DpsCheck *check)
{
	const DpsGpt *gpt = dps_disk_get_gpt(check->disk);

	if (gpt && gpt->mbr.is_hybrid)
		dps_check_report(
			check, 0,
			"make it protective again: `printf 'x\\nn\\nw\\ny\\n' | gdisk {disk}`",
			"the MBR has other records beside the protective one: readers "
			"disagree on what such a disk holds");
}

static void
check_flag_unknown(DpsCheck *check)
{
	const uint64_t known = DPS_FLAG_REQUIRED | DPS_FLAG_NO_BLOCK_IO | DPS_FLAG_LEGACY_BOOT |
			       DPS_FLAG_GROWFS | DPS_FLAG_READ_ONLY | DPS_FLAG_NO_AUTO;

	for (guint i = 0; i < dps_disk_get_n_partitions(check->disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(check->disk, i);
		uint64_t unknown = partition->attributes & ~known;
		g_autofree char *hint = dps_check_hint_attributes(partition->attributes & known);

		if (partition->type && unknown)
			dps_check_report(check, partition->number, hint,
					 "attribute bits %#" PRIx64
					 " mean nothing to the specification for %s",
					 unknown, partition->type->name);
	}
}

/* Types whose file system systemd grows (dissect-image.c of systemd 257). */
static gboolean
can_grow(DpsRole role)
{
	return dps_check_is_mounted_role(role) || role == DPS_ROLE_XBOOTLDR;
}

static void
check_flag_growfs_on_ro(DpsCheck *check)
{
	for (guint i = 0; i < dps_disk_get_n_partitions(check->disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(check->disk, i);

		if (!partition->type || !(partition->attributes & DPS_FLAG_GROWFS))
			continue;
		if (partition->attributes & DPS_FLAG_READ_ONLY)
			dps_check_report(check, partition->number,
					 "clear it: `dps-tag apply {disk} same={n},no-growfs`",
					 "is marked growfs and read-only: it does not grow");
		else if (!can_grow(partition->type->role))
			dps_check_report(check, partition->number,
					 "clear it: `dps-tag apply {disk} same={n},no-growfs`",
					 "is marked growfs, which means nothing for %s",
					 partition->type->name);
	}
}

static gboolean
is_powerpc(DpsArch arch)
{
	return arch == DPS_ARCH_PPC || arch == DPS_ARCH_PPC64 || arch == DPS_ARCH_PPC64LE;
}

static void
check_biosboot_as_prep(DpsCheck *check)
{
	DpsPartition *area = dps_check_next_of_role(check, DPS_ROLE_BIOS_BOOT, NULL);

	if (area && is_powerpc(check->arch) && !dps_check_next_of_role(check, DPS_ROLE_PREP, NULL))
		dps_check_report(check, area->number, "tag it: `dps-tag apply {disk} prep={n}`",
				 "has the type of a BIOS boot partition on a disk for %s, whose "
				 "firmware looks for PReP",
				 dps_arch_to_string(check->arch));
}

static void
check_biosboot_missing(DpsCheck *check)
{
	const DpsGpt *gpt = dps_disk_get_gpt(check->disk);

	if (gpt && gpt->mbr.has_grub && !dps_check_next_of_role(check, DPS_ROLE_BIOS_BOOT, NULL))
		dps_check_report(check, 0,
				 "make a partition of 1 MiB of that type and run grub-install",
				 "the first sector has GRUB's code for BIOS, and there is no BIOS "
				 "boot partition for the rest of it");
}

static void
check_biosboot_has_dps_type(DpsCheck *check)
{
	for (guint i = 0; i < dps_disk_get_n_partitions(check->disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(check->disk, i);
		g_autofree char *hint =
			g_strdup_printf("tag it: `dps-tag apply {disk} %s={n}`",
					is_powerpc(check->arch) ? "prep" : "bios-boot");

		if (partition->type && partition->type->role != DPS_ROLE_BIOS_BOOT &&
		    partition->type->role != DPS_ROLE_PREP &&
		    partition->type->role != DPS_ROLE_LINUX_GENERIC &&
		    dps_check_can_see(check, partition) &&
		    dps_partition_is_firmware_area(partition))
			dps_check_report(
				check, partition->number, hint,
				"has the type %s and holds a boot program of the firmware, "
				"no file system",
				partition->type->name);
	}
}

const DpsRule dps_rules_gpt[] = {
	{ "gpt-missing", DPS_SEVERITY_ERROR, check_gpt_missing },
	{ "mbr-only", DPS_SEVERITY_ERROR, check_mbr_only },
	{ "gpt-primary-bad", DPS_SEVERITY_ERROR, check_gpt_primary_bad },
	{ "gpt-backup-misplaced", DPS_SEVERITY_WARNING, check_gpt_backup_misplaced },
	{ "gpt-copies-differ", DPS_SEVERITY_WARNING, check_gpt_copies_differ },
	{ "gpt-half-written", DPS_SEVERITY_WARNING, check_gpt_half_written },
	{ "gpt-overlap", DPS_SEVERITY_ERROR, check_gpt_overlap },
	{ "gpt-dup-partuuid", DPS_SEVERITY_ERROR, check_gpt_dup_partuuid },
	{ "gpt-null-partuuid", DPS_SEVERITY_WARNING, check_gpt_null_partuuid },
	{ "partuuid-is-type", DPS_SEVERITY_WARNING, check_partuuid_is_type },
	{ "gpt-sector-size", DPS_SEVERITY_WARNING, check_gpt_sector_size },
	{ "gpt-entry-size", DPS_SEVERITY_ERROR, check_gpt_entry_size },
	{ "pmbr-missing", DPS_SEVERITY_ERROR, check_pmbr_missing },
	{ "pmbr-boot-flag", DPS_SEVERITY_WARNING, check_pmbr_boot_flag },
	{ "hybrid-mbr", DPS_SEVERITY_WARNING, check_hybrid_mbr },
	{ "flag-unknown", DPS_SEVERITY_WARNING, check_flag_unknown },
	{ "flag-growfs-on-ro", DPS_SEVERITY_INFO, check_flag_growfs_on_ro },
	{ "biosboot-as-prep", DPS_SEVERITY_ERROR, check_biosboot_as_prep },
	{ "biosboot-missing", DPS_SEVERITY_WARNING, check_biosboot_missing },
	{ "biosboot-has-dps-type", DPS_SEVERITY_ERROR, check_biosboot_has_dps_type },
	{ NULL },
};
