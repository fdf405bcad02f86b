/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "command.h"

#include <inttypes.h>
#include "diskmap.h"
#include "json.h"
#include "readers.h"
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
print_table(Screen *screen, const Facts *disk)
{
	g_auto(TextTable) table = { 0 };

	text_table_init(&table, columns, G_N_ELEMENTS(columns));
	for (guint i = 0; i < disk->partitions->len; i++) {
		const PartitionFacts *partition = g_ptr_array_index(disk->partitions, i);
		g_autofree char *size = text_size(partition->size);
		g_autofree char *attributes = text_attributes(partition->attributes);
		g_autofree char *problem = NULL;

		if (partition->content_problem)
			problem = g_strconcat("unreadable: ", partition->content_problem, NULL);
		text_table_add_format(&table, "%u", partition->number);
		text_table_add(&table, size);
		text_table_add(&table, text_type(partition->type_uuid));
		text_table_add(&table, problem ? problem : partition->content_type);
		text_table_add(&table, partition->content_label);
		text_table_add(&table, partition->label);
		text_table_add(&table, attributes);
	}
	text_table_print(&table, screen);
}

static void
print_subvolumes(Screen *screen, const PartitionFacts *partition)
{
	const SubvolumeFacts *is_default = partition_facts_get_default(partition);
	GPtrArray *subvolumes = partition->subvolumes;
	GString *text = NULL;
	guint n;

	if (g_strcmp0(partition->content_type, "btrfs") != 0)
		return;

	text = g_string_new(NULL);
	g_string_append_printf(text, "partition %u: btrfs: ", partition->number);
	if (is_default)
		g_string_append_printf(text, "default subvolume: %s (%" PRIu64 ")",
				       is_default->path, is_default->id);
	else
		g_string_append(text, "default subvolume: cannot be read");

	n = !subvolumes		 ? 0
	    : screen->is_verbose ? subvolumes->len
				 : MIN(subvolumes->len, SUBVOLUMES_MAX);
	for (guint i = 0; i < n; i++) {
		const SubvolumeFacts *subvolume = g_ptr_array_index(subvolumes, i);

		g_string_append_printf(text, "%s%s (%" PRIu64 ")", i == 0 ? "; subvolumes: " : ", ",
				       subvolume->path, subvolume->id);
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
print_details(Screen *screen, const PartitionFacts *partition)
{
	g_autofree char *start = g_strdup_printf("%" PRIu64, partition->start);
	g_autofree char *size = g_strdup_printf("%" PRIu64, partition->size);
	g_autofree char *attributes = g_strdup_printf("0x%016" PRIx64, partition->attributes);

	screen_print(screen, "\n%spartition %u%s\n", screen_begin(screen, SCREEN_STYLE_HEADING),
		     partition->number, screen_end(screen));
	print_fact(screen, "node", partition->node);
	print_fact(screen, "start", start);
	print_fact(screen, "size", size);
	print_fact(screen, "type", partition->type_uuid);
	print_fact(screen, "uuid", partition->uuid);
	print_fact(screen, "attributes", attributes);
	print_fact(screen, "content uuid", partition->content_uuid);
}

static void
print_disk(Screen *screen, const Facts *disk)
{
	guint n = disk->partitions->len;

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
		print_subvolumes(screen, g_ptr_array_index(disk->partitions, i));
	for (guint i = 0; screen->is_verbose && i < n; i++)
		print_details(screen, g_ptr_array_index(disk->partitions, i));
}

static Facts *
read_disk(const Options *options, const char *path, gpointer data, GError **error)
{
	g_auto(Target) target = { 0 };

	if (!target_open(options, path, DPS_OPEN_READ_ONLY, &target, error) ||
	    !dps_disk_require_table(target.disk, error))
		return NULL;

	return facts_new(target.disk, NULL);
}

/* Without DISK: that of the tree, or why it has none. */
static int
run_on_tree(const Options *options, Screen *screen, GError **error)
{
	g_auto(Target) target = { 0 };
	g_autoptr(Facts) facts = NULL;
	g_autofree char *document = NULL;
	g_autofree char *why = NULL;

	if (!target_open(options, NULL, DPS_OPEN_READ_ONLY, &target, error) ||
	    (target.disk && !dps_disk_require_table(target.disk, error)))
		return -1;

	facts = target.disk ? facts_new(target.disk, NULL) : NULL;
	if (options->json) {
		document = json_show(facts);
		return screen_write_document(screen, document, error) ? STATUS_OK : -1;
	}
	if (facts) {
		print_disk(screen, facts);
	} else if (!screen->is_quiet) {
		why = target_describe_no_disk(&target);
		text_paragraph(screen, "", why);
	}
	return screen_flush(screen, error) ? STATUS_OK : -1;
}

static int
run(const Options *options, Screen *screen, GError **error)
{
	g_auto(Reading) reading = { 0 };
	g_autofree char *document = NULL;

	if (options->n_arguments > 1) {
		g_set_error(error, DPS_ERROR, DPS_ERROR_INVALID, "%s: show takes one DISK",
			    options->arguments[1]);
		return -1;
	}
	if (options->n_arguments == 0)
		return run_on_tree(options, screen, error);

	reading.path = options->arguments[0];
	readers_run(options, screen, read_disk, NULL, &reading, 1);
	if (!reading.facts)
		return reading_tell(&reading, options, screen, error);
	if (options->json) {
		document = json_show(reading.facts);
		return screen_write_document(screen, document, error) ? STATUS_OK : -1;
	}
	print_disk(screen, reading.facts);
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
