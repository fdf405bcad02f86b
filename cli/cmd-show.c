/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "command.h"

#include <inttypes.h>
#include "diskmap.h"
#include "json.h"
#include "target.h"
#include "text.h"

/* A system with snapshots has hundreds; --verbose lists them all. */
#define SUBVOLUMES_MAX 12

static const TextColumn columns[] = {
	{ "#", TRUE, FALSE },	       { "SIZE", TRUE, FALSE },	 { "TYPE", FALSE, FALSE },
	{ "CONTENT", FALSE, FALSE },   { "LABEL", FALSE, TRUE }, { "NAME", FALSE, TRUE },
	{ "ATTRIBUTES", FALSE, TRUE },
};

static void
print_table(Screen *screen, DpsDisk *disk)
{
	g_auto(TextTable) table = { 0 };

	text_table_init(&table, columns, G_N_ELEMENTS(columns));
	for (guint i = 0; i < dps_disk_get_n_partitions(disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(disk, i);
		g_autofree char *size = text_size(dps_partition_get_size(partition));
		g_autofree char *attributes =
			text_attributes(dps_partition_get_attributes(partition));

		text_table_add_format(&table, "%u", dps_partition_get_number(partition));
		text_table_add(&table, size);
		text_table_add(&table, text_type(dps_partition_get_type_uuid(partition)));
		text_table_add(&table, dps_partition_get_content_type(partition));
		text_table_add(&table, dps_partition_get_content_label(partition));
		text_table_add(&table, dps_partition_get_label(partition));
		text_table_add(&table, attributes);
	}
	text_table_print(&table, screen);
}

static void
print_subvolumes(Screen *screen, DpsPartition *partition)
{
	GPtrArray *subvolumes = dps_partition_get_subvolumes(partition);
	const DpsSubvolume *is_default = dps_partition_get_default_subvolume(partition);
	GString *text = NULL;
	guint n;

	if (g_strcmp0(dps_partition_get_content_type(partition), "btrfs") != 0)
		return;

	text = g_string_new(NULL);
	g_string_append_printf(text, "partition %u: btrfs: ", dps_partition_get_number(partition));
	if (is_default)
		g_string_append_printf(text, "default subvolume: %s (%" PRIu64 ")",
				       dps_subvolume_get_path(is_default),
				       dps_subvolume_get_id(is_default));
	else
		g_string_append(text, "default subvolume: cannot be read");

	n = !subvolumes		 ? 0
	    : screen->is_verbose ? subvolumes->len
				 : MIN(subvolumes->len, SUBVOLUMES_MAX);
	for (guint i = 0; i < n; i++) {
		const DpsSubvolume *subvolume = g_ptr_array_index(subvolumes, i);

		g_string_append_printf(text, "%s%s (%" PRIu64 ")", i == 0 ? "; subvolumes: " : ", ",
				       dps_subvolume_get_path(subvolume),
				       dps_subvolume_get_id(subvolume));
	}
	if (subvolumes && n < subvolumes->len)
		g_string_append_printf(text, " and %u more", subvolumes->len - n);

	text_paragraph(screen, "", text->str);
	g_string_free(text, TRUE);
}

static void
print_fact(Screen *screen, const char *name, const char *value)
{
	g_autofree char *first = g_strdup_printf("  %-13s ", name);

	if (value)
		text_paragraph(screen, first, value);
}

/* Everything about one partition, for --verbose. */
static void
print_details(Screen *screen, DpsPartition *partition)
{
	g_autofree char *start = g_strdup_printf("%" PRIu64, dps_partition_get_start(partition));
	g_autofree char *size = g_strdup_printf("%" PRIu64, dps_partition_get_size(partition));
	g_autofree char *attributes =
		g_strdup_printf("0x%016" PRIx64, dps_partition_get_attributes(partition));

	screen_print(screen, "\n%spartition %u%s\n", screen_begin(screen, SCREEN_STYLE_HEADING),
		     dps_partition_get_number(partition), screen_end(screen));
	print_fact(screen, "node", dps_partition_get_node(partition));
	print_fact(screen, "start", start);
	print_fact(screen, "size", size);
	print_fact(screen, "type", dps_partition_get_type_uuid(partition));
	print_fact(screen, "uuid", dps_partition_get_uuid(partition));
	print_fact(screen, "attributes", attributes);
	print_fact(screen, "content uuid", dps_partition_get_content_uuid(partition));
}

static void
print_disk(Screen *screen, DpsDisk *disk)
{
	guint n = dps_disk_get_n_partitions(disk);

	if (!screen->is_quiet) {
		text_disk(screen, disk);
		screen_print(screen, "\n");
		diskmap_print(screen, disk, NULL, NULL);
		if (n > 0)
			screen_print(screen, "\n");
		else
			screen_print(screen, "No partitions.\n");
	}
	if (n > 0)
		print_table(screen, disk);
	if (screen->is_quiet)
		return;

	for (guint i = 0; i < n; i++)
		print_subvolumes(screen, dps_disk_get_partition(disk, i));
	for (guint i = 0; screen->is_verbose && i < n; i++)
		print_details(screen, dps_disk_get_partition(disk, i));
}

static int
run(const Options *options, Screen *screen, GError **error)
{
	g_auto(Target) target = { 0 };
	g_autofree char *document = NULL;
	g_autofree char *why = NULL;

	if (options->n_arguments > 1) {
		g_set_error(error, DPS_ERROR, DPS_ERROR_INVALID, "%s: show takes one DISK",
			    options->arguments[1]);
		return -1;
	}
	if (!target_open(options, options->n_arguments == 1 ? options->arguments[0] : NULL,
			 DPS_OPEN_READ_ONLY, &target, error))
		return -1;
	if (target.disk && !dps_disk_require_table(target.disk, error))
		return -1;

	if (options->json) {
		document = json_show(target.disk);
		return screen_write_document(screen, document, error) ? STATUS_OK : -1;
	}

	if (target.disk) {
		print_disk(screen, target.disk);
	} else if (!screen->is_quiet) {
		why = target_describe_no_disk(&target);
		text_paragraph(screen, "", why);
	}
	return screen_flush(screen, error) ? STATUS_OK : -1;
}

const Command command_show = {
	.id = COMMAND_SHOW,
	.name = "show",
	.arguments = "[DISK]",
	.summary = "the disk as it is",
	.about = "Shows the partitions of a disk, what they are and what they hold, and the\n"
		 "subvolumes of a btrfs.  --verbose tells every number; --quiet the table alone.",
	.run = run,
};
