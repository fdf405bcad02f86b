/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "command.h"

#include "json.h"
#include "text.h"

static const TextColumn columns[] = {
	{ "TYPE", FALSE, FALSE },
	{ "UUID", FALSE, FALSE },
	{ "MOUNT POINT", FALSE, FALSE },
};

static const TextColumn columns_verbose[] = {
	{ "TYPE", FALSE, FALSE }, { "UUID", FALSE, FALSE },	   { "ROLE", FALSE, FALSE },
	{ "ARCH", FALSE, FALSE }, { "MOUNT POINT", FALSE, FALSE }, { "DESCRIPTION", FALSE, FALSE },
};

static void
print_table(Screen *screen, DpsArch arch)
{
	gboolean all = screen->is_verbose;
	g_auto(TextTable) table = { 0 };

	text_table_init(&table, all ? columns_verbose : columns,
			all ? G_N_ELEMENTS(columns_verbose) : G_N_ELEMENTS(columns));
	for (guint i = 0; i < dps_type_get_count(); i++) {
		const DpsType *type = dps_type_get(i);
		DpsArch of = dps_type_get_arch(type);

		if (arch != DPS_ARCH_NONE && of != DPS_ARCH_NONE && of != arch)
			continue;
		text_table_add(&table, dps_type_get_name(type));
		text_table_add(&table, dps_type_get_uuid(type));
		if (all) {
			text_table_add(&table, dps_role_to_string(dps_type_get_role(type)));
			text_table_add(&table, dps_arch_to_string(of));
		}
		text_table_add(&table, dps_type_get_mount_point(type));
		if (all)
			text_table_add(&table, dps_type_get_description(type));
	}
	text_table_print(&table, screen);
}

static int
run(const Options *options, Screen *screen, GError **error)
{
	g_autofree char *document = NULL;

	if (options->n_arguments > 0) {
		g_set_error(
			error, DPS_ERROR, DPS_ERROR_INVALID,
			"%s: types takes no argument: --arch ARCH picks those of one architecture",
			options->arguments[0]);
		return -1;
	}

	if (options->json) {
		document = json_types(options->arch);
		return screen_write_document(screen, document, error) ? STATUS_OK : -1;
	}

	print_table(screen, options->arch);
	return screen_flush(screen, error) ? STATUS_OK : -1;
}

const Command command_types = {
	.id = COMMAND_TYPES,
	.name = "types",
	.arguments = "",
	.summary = "the table of partition types",
	.about = "Shows the partition types of the Discoverable Partitions Specification, and\n"
		 "the two that firmware keeps for itself.  --arch picks those that a disk for one\n"
		 "architecture can have; --verbose adds role, architecture and description.",
	.run = run,
};
