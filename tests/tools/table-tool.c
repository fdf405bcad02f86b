/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Drives the table's reader and writer from outside, below what `dps-tag` lets people do:
 *
 *	table-tool show DISK
 *	table-tool edit [--force] DISK [NUMBER KEY=VALUE…]…	keys: type, uuid, attributes, name
 *
 * One line a thing, fields parted by tabs, for the tests to read.
 */
#include "format/gpt-edit.h"
#include "target/disk.h"

#include <dps/error.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int
fail(const GError *error)
{
	fprintf(stderr, "%s: %s\n", dps_error_code_to_string(error->code), error->message);
	return 3;
}

static const char *
or_dash(const char *text)
{
	return text ? text : "-";
}

static int
show(const char *path)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsDisk) disk = dps_disk_open(path, DPS_OPEN_READ_ONLY, &error);
	const DpsGpt *gpt;

	if (!disk || !dps_disk_require_table(disk, &error))
		return fail(error);

	gpt = dps_disk_get_gpt(disk);
	printf("disk\t%s\t%u\t%" PRIu64 "\n", dps_disk_get_uuid(disk),
	       dps_disk_get_sector_size(disk), dps_disk_get_size(disk));
	printf("primary\t%s\n", gpt->primary.good ? "good" : gpt->primary.problem);
	printf("backup\t%s\n", gpt->backup.good ? "good" : gpt->backup.problem);
	printf("state\t%u\t%d\t%d\t%d\n", gpt->state, gpt->copies_differ, gpt->backup_misplaced,
	       gpt->mbr.is_hybrid);
	for (guint i = 0; i < dps_disk_get_n_partitions(disk); i++) {
		DpsPartition *p = dps_disk_get_partition(disk, i);
		const DpsSubvolume *subvolume = dps_partition_get_default_subvolume(p);

		printf("partition\t%u\t%" PRIu64 "\t%" PRIu64 "\t%s\t%s\t%#" PRIx64
		       "\t%s\t%s\t%s\t%s\t%s\t%s\n",
		       dps_partition_get_number(p), dps_partition_get_start(p),
		       dps_partition_get_size(p), dps_partition_get_type_uuid(p),
		       dps_partition_get_uuid(p), dps_partition_get_attributes(p),
		       or_dash(dps_partition_get_label(p)), or_dash(dps_partition_get_node(p)),
		       or_dash(dps_partition_get_content_type(p)),
		       or_dash(dps_partition_get_content_uuid(p)),
		       or_dash(dps_partition_get_content_label(p)),
		       or_dash(subvolume ? dps_subvolume_get_path(subvolume) : NULL));
	}
	return 0;
}

static gboolean
read_key(DpsGptEntryChange *change, const char *key, GError **error)
{
	const char *value = strchr(key, '=') + 1;

	if (g_str_has_prefix(key, "type=")) {
		change->set_type = TRUE;
		return dps_guid_from_string(value, &change->type_guid, error);
	}
	if (g_str_has_prefix(key, "uuid=")) {
		change->set_guid = TRUE;
		return dps_guid_from_string(value, &change->guid, error);
	}
	if (g_str_has_prefix(key, "attributes=")) {
		change->set_attributes = TRUE;
		change->attributes = g_ascii_strtoull(value, NULL, 0);
		return TRUE;
	}
	change->set_name = TRUE;
	change->name = g_strdup(value);
	return TRUE;
}

static int
edit(const char *path, gboolean force, char **words)
{
	g_autoptr(GPtrArray) changes =
		g_ptr_array_new_with_free_func((GDestroyNotify)dps_gpt_entry_change_free);
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsDisk) disk = NULL;
	g_autoptr(GPtrArray) edits = NULL;
	g_autofree char *repairs = NULL;
	DpsGptEntryChange *change = NULL;
	guint done = 0;

	for (; *words; words++) {
		if (!strchr(*words, '=')) {
			change = dps_gpt_entry_change_new((uint32_t)atoi(*words));
			g_ptr_array_add(changes, change);
		} else if (!change || !read_key(change, *words, &error)) {
			return error ? fail(error) : 2;
		}
	}

	disk = dps_disk_open(path, DPS_OPEN_WRITABLE, &error);
	if (!disk || !dps_disk_require_table(disk, &error) ||
	    !dps_gpt_edit(dps_disk_get_gpt(disk), changes, force, &edits, &repairs, &error))
		return fail(error);
	if (repairs)
		printf("repairs\t%s\n", repairs);
	if (!dps_medium_write_edits(dps_disk_get_medium(disk), 0, edits, &done, &error)) {
		g_autoptr(GError) second = NULL;

		if (!dps_medium_put_back(dps_disk_get_medium(disk), 0, edits, done, &second))
			fail(second);
		else
			fprintf(stderr, "put back\n");
		return fail(error);
	}
	printf("edits\t%u\n", edits->len);
	return 0;
}

int
main(int argc, char **argv)
{
	gboolean force = argc > 2 && g_str_equal(argv[2], "--force");

	if (argc == 3 && g_str_equal(argv[1], "show"))
		return show(argv[2]);
	if (argc > 2 + force && g_str_equal(argv[1], "edit"))
		return edit(argv[2 + force], force, argv + 3 + force);

	fprintf(stderr, "usage: table-tool show DISK | edit [--force] DISK [NUMBER KEY=VALUE…]…\n");
	return 2;
}
