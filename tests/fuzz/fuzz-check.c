/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"
#include "image-target.h"

#include <dps/dps.h>
#include <unistd.h>

/*
 * A whole disk (packed.h), checksums made true: all that `show` and `check` do with an image: its
 * table, what its partitions hold, and every rule over the files in them.
 *
 * Asserted: what is told is valid UTF-8, codes and severities are there, and the same is told
 * twice.
 */
static void
tell_partition(DpsPartition *partition, GString *told)
{
	GPtrArray *subvolumes = dps_partition_get_subvolumes(partition);

	g_string_append_printf(told, "%u %s %s %s\n", dps_partition_get_number(partition),
			       dps_partition_get_content_type(partition),
			       dps_partition_get_content_label(partition),
			       dps_partition_get_label(partition));
	for (guint i = 0; subvolumes && i < subvolumes->len; i++)
		g_string_append_printf(told, "%s\n", dps_subvolume_get_path(subvolumes->pdata[i]));
}

static void
tell_findings(DpsDisk *disk, GString *told)
{
	g_autoptr(DpsCheckOptions) options = dps_check_options_new();
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) findings = NULL;

	dps_check_options_set_arch(options, DPS_ARCH_X86_64);
	findings = dps_check(disk, NULL, options, &error);
	if (!findings) {
		g_assert_nonnull(error);
		g_string_append_printf(told, "! %s\n", error->message);
	}
	for (guint i = 0; findings && i < findings->len; i++) {
		DpsFinding *finding = findings->pdata[i];

		g_assert_nonnull(dps_finding_get_code(finding));
		g_string_append_printf(
			told, "%s %u %s: %s (%s)\n", dps_finding_get_code(finding),
			dps_finding_get_partition(finding), dps_finding_get_path(finding),
			dps_finding_get_message(finding), dps_finding_get_hint(finding));
	}
}

void
fuzz_image_tell(FuzzImage *image, GString *told)
{
	int fd = fuzz_image_to_fd(image);
	g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsDisk) disk = dps_disk_open(path, DPS_OPEN_READ_ONLY, &error);

	if (disk) {
		for (guint i = 0; i < dps_disk_get_n_partitions(disk); i++)
			tell_partition(dps_disk_get_partition(disk, i), told);
		tell_findings(disk, told);
	} else {
		g_assert_nonnull(error);
		g_string_append_printf(told, "! %s\n", error->message);
	}
	g_assert_true(g_utf8_validate(told->str, (gssize)told->len, NULL));
	close(fd);
}
