/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/check.h"
#include "format/fat-check.h"

#include <inttypes.h>
#include <string.h>

#define MIB (UINT64_C(1024) * 1024)

/* One finding for all that has this reason. */
#define NOT_ON_A_DIRECTORY                                                                         \
	"its files are read from a directory: the FAT can be checked while it is not mounted"

/* The geometry of the ESP's FAT; FALSE when it is no FAT, which is another rule's matter. */
static gboolean
read_geometry(DpsCheck *check, DpsFatGeometry *geometry)
{
	const DpsBootPart *esp = &check->boot->esp;

	return esp->partition && esp->is_fat &&
	       dps_fat_read_geometry(&esp->partition->region, geometry, NULL);
}

static void
check_esp_not_fat32(DpsCheck *check)
{
	DpsFatGeometry geo;

	if (read_geometry(check, &geo) && geo.width != 32 &&
	    geo.n_clusters < DPS_FAT32_MIN_CLUSTERS)
		dps_check_report(check, check->boot->esp.partition->number,
				 "format it with mkfs.fat -F 32",
				 "is FAT%u: UEFI wants FAT32 on fixed disks, and some firmware "
				 "reads nothing else",
				 geo.width);
}

static void
check_esp_fat32_too_few_clusters(DpsCheck *check)
{
	DpsFatGeometry geo;

	if (read_geometry(check, &geo) && geo.width == 32 &&
	    geo.n_clusters < DPS_FAT32_MIN_CLUSTERS)
		dps_check_report(check, check->boot->esp.partition->number,
				 "make it larger (33 MiB with sectors of 512 bytes, 257 MiB with "
				 "4096), or format it with smaller clusters: mkfs.fat -F 32 -s 1",
				 "says it is FAT32 and has %" PRIu32
				 " clusters, fewer than %d: firmware takes it for damaged",
				 geo.n_clusters, DPS_FAT32_MIN_CLUSTERS);
}

static void
check_esp_fat16_too_many_clusters(DpsCheck *check)
{
	DpsFatGeometry geo;

	if (read_geometry(check, &geo) && geo.width != 32 &&
	    geo.n_clusters >= DPS_FAT32_MIN_CLUSTERS)
		dps_check_report(check, check->boot->esp.partition->number,
				 "format it with mkfs.fat -F 32",
				 "is laid out as FAT%u and has %" PRIu32
				 " clusters, %d or more: firmware takes it for damaged",
				 geo.width, geo.n_clusters, DPS_FAT32_MIN_CLUSTERS);
}

static void
check_esp_fat_bpb_sector_size(DpsCheck *check)
{
	guint sector_size = dps_disk_get_sector_size(check->disk);
	DpsFatGeometry geo;

	if (read_geometry(check, &geo) && geo.sector_size != sector_size)
		dps_check_report(check, check->boot->esp.partition->number,
				 "format it with mkfs.fat -F 32 -S and the sector size of the disk",
				 "its boot sector says sectors of %u bytes, and the disk has %u: "
				 "some firmware does not read it",
				 geo.sector_size, sector_size);
}

static void
check_esp_fat_larger_than_part(DpsCheck *check)
{
	DpsFatGeometry geo;

	if (read_geometry(check, &geo) && geo.size > check->boot->esp.partition->region.size)
		dps_check_report(check, check->boot->esp.partition->number,
				 "copy its files away and format it anew",
				 "the file system has %" PRIu64 " bytes and the partition %" PRIu64
				 ": its end is cut off",
				 geo.size, check->boot->esp.partition->region.size);
}

static void
check_esp_fat_dirty(DpsCheck *check)
{
	DpsFat *fat = check->boot->esp.esp ? dps_esp_get_fat(check->boot->esp.esp) : NULL;
	DpsFatState state;

	/* A mounted one is dirty: Linux says so until it is unmounted. */
	if (check->boot->esp.esp && !fat)
		dps_check_cannot_judge(check, check->boot->esp.partition->number,
				       NOT_ON_A_DIRECTORY);
	if (!fat || !dps_fat_read_state(fat, &state, NULL) ||
	    (!state.is_dirty && !state.has_errors))
		return;

	dps_check_report(check, check->boot->esp.partition->number,
			 "run fsck.fat on it while it is not mounted", "the %s says that it %s",
			 state.where ? state.where : "FAT",
			 state.has_errors ? "had errors while it was mounted"
					  : "was not unmounted cleanly");
}

/* What dps_fat_check() finds, of those kinds. */
static void
report_problems(DpsCheck *check, guint kinds)
{
	const DpsBootPart *esp = &check->boot->esp;
	DpsFat *fat = esp->esp ? dps_esp_get_fat(esp->esp) : NULL;
	g_autoptr(GPtrArray) problems = NULL;
	g_autoptr(GError) error = NULL;

	if (esp->esp && !fat) {
		dps_check_cannot_judge(check, esp->partition->number, NOT_ON_A_DIRECTORY);
		return;
	}
	if (!fat)
		return;

	problems = dps_fat_check(fat, &error);
	if (!problems) {
		dps_check_cannot_judge(check, esp->partition->number, error->message);
		return;
	}
	for (guint i = 0; i < problems->len; i++) {
		const DpsFatProblem *problem = problems->pdata[i];

		if (!(kinds & 1u << problem->kind))
			continue;
		/* Clusters that no file has cost room and nothing else. */
		dps_check_report_file(
			check, problem->kind == DPS_FAT_PROBLEM_LOST ? DPS_SEVERITY_WARNING : 0,
			esp->partition->number, problem->path,
			"run fsck.fat on it while it is not mounted", "%s", problem->message);
	}
}

static void
check_esp_fat_inconsistent(DpsCheck *check)
{
	const DpsBootPart *esp = &check->boot->esp;
	DpsFatGeometry geo;

	if (!esp->partition || !esp->is_fat)
		return;
	if (!esp->files && esp->is_failing) {
		dps_check_cannot_judge(check, esp->partition->number, esp->problem);
		return;
	}
	if (!esp->files) {
		dps_check_report(check, esp->partition->number, "format it with mkfs.fat -F 32",
				 "it is FAT and cannot be read: %s", esp->problem);
		return;
	}
	/* Where the end is cut off, that is the fault. */
	if (read_geometry(check, &geo) && geo.size <= esp->partition->region.size)
		report_problems(check,
				~(1u << DPS_FAT_PROBLEM_SAME_NAME | 1u << DPS_FAT_PROBLEM_NAME));
}

static void
check_esp_case_collision(DpsCheck *check)
{
	report_problems(check, 1u << DPS_FAT_PROBLEM_SAME_NAME);
}

static gboolean
is_ascii(const char *name)
{
	for (; *name; name++)
		if ((guchar)*name >= 0x80)
			return FALSE;
	return TRUE;
}

static void
report_names(DpsCheck *check, const DpsBootPart *part, const char *directory)
{
	g_autoptr(GPtrArray) names = dps_boot_list(part, directory);

	for (guint i = 0; i < names->len; i++) {
		const DpsFileInfo *info = names->pdata[i];
		g_autofree char *path = g_strconcat(directory, "/", info->name, NULL);

		if (info->is_name_damaged || !is_ascii(info->name) || strlen(info->name) > 255)
			dps_check_report_file(check, 0, dps_check_part_number(part), path,
					      "rename it to letters, digits and +-_.@",
					      "loaders do not take this name: it must be ASCII, of "
					      "255 characters at most");
	}
}

static void
check_esp_file_bad_name(DpsCheck *check)
{
	static const char *const directories[] = { "/EFI/Linux", "/EFI/BOOT", "/loader/entries" };

	for (guint i = 0; i < G_N_ELEMENTS(directories); i++) {
		report_names(check, &check->boot->esp, directories[i]);
		report_names(check, &check->boot->xbootldr, directories[i]);
	}
	/* Of a directory the names are those that were seen. */
	if (check->boot->esp.esp && dps_esp_get_fat(check->boot->esp.esp))
		report_problems(check, 1u << DPS_FAT_PROBLEM_NAME);
}

static void
check_esp_too_small(DpsCheck *check)
{
	DpsPartition *esp = check->boot->esp.partition;
	gboolean large_sectors = dps_disk_get_sector_size(check->disk) == 4096;
	/* What FAT32 needs at all, and the least that systemd-repart 258 makes. */
	uint64_t least = (large_sectors ? 257 : 33) * MIB;
	uint64_t wanted = (large_sectors ? 260 : 100) * MIB;

	/* An entry that leads outside of the disk has no size, and a finding of its own. */
	if (esp && esp->size > 0 && esp->size < wanted)
		dps_check_report(check, esp->number, "make it 512 MiB or more when you can",
				 "has %" PRIu64 " MiB: %s", esp->size / MIB,
				 esp->size < least
					 ? "FAT32 does not fit into so little"
					 : "systemd-repart and Windows want 100 MiB at least, 260 "
					   "with sectors of 4096 bytes");
}

const DpsRule dps_rules_fat[] = {
	{ "esp-not-fat32", DPS_SEVERITY_WARNING, check_esp_not_fat32 },
	{ "esp-fat32-too-few-clusters", DPS_SEVERITY_ERROR, check_esp_fat32_too_few_clusters },
	{ "esp-fat16-too-many-clusters", DPS_SEVERITY_ERROR, check_esp_fat16_too_many_clusters },
	{ "esp-fat-bpb-sector-size", DPS_SEVERITY_WARNING, check_esp_fat_bpb_sector_size },
	{ "esp-fat-larger-than-part", DPS_SEVERITY_ERROR, check_esp_fat_larger_than_part },
	{ "esp-fat-dirty", DPS_SEVERITY_WARNING, check_esp_fat_dirty },
	{ "esp-fat-inconsistent", DPS_SEVERITY_ERROR, check_esp_fat_inconsistent },
	{ "esp-case-collision", DPS_SEVERITY_ERROR, check_esp_case_collision },
	{ "esp-file-bad-name", DPS_SEVERITY_WARNING, check_esp_file_bad_name },
	{ "esp-too-small", DPS_SEVERITY_WARNING, check_esp_too_small },
	{ NULL },
};
