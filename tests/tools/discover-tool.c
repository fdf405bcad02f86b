/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What decide/discover says of a disk in a made-up situation, for tests:
 *
 *	discover-tool DISK version=N [arch=NAME] [efi=yes] [loader=esp|xbootldr] [cmdline=TEXT]
 *		[fstab=FILE] [machine-id=ID|none] [missing=PATH]… [busy=PATH]…
 *
 * A line a partition: number, role, what becomes of it, where, the rule that decided, and all
 *rules.
 */
#include "decide/discover.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
	GPtrArray *missing, *busy; /* paths */
} Directories;

static DpsDirectory
look(const char *path, gpointer data)
{
	const Directories *directories = data;

	if (g_ptr_array_find_with_equal_func(directories->missing, path, g_str_equal, NULL))
		return DPS_DIRECTORY_MISSING;
	if (g_ptr_array_find_with_equal_func(directories->busy, path, g_str_equal, NULL))
		return DPS_DIRECTORY_BUSY;
	return DPS_DIRECTORY_EMPTY;
}

static void
print(const DpsCandidate *candidate)
{
	static const char *const uses[] = { "skipped", "mounted", "overridden" };
	static const char *const results[] = { "fail", "pass", "unknown" };

	printf("%u\t%s\t%s\t%s\t%s\t", candidate->partition->number,
	       dps_role_to_string(
		       dps_type_get_role(dps_type_lookup_uuid(candidate->partition->type_uuid))),
	       uses[candidate->use], candidate->place ? candidate->place : "-",
	       candidate->reason ? candidate->reason->rule : "-");
	for (guint i = 0; i < candidate->steps->len; i++) {
		const DpsStep *step = candidate->steps->pdata[i];

		printf("%s%s=%s", i > 0 ? " " : "", step->rule, results[step->result]);
	}
	printf("\n");
}

int
main(int argc, char **argv)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsDisk) disk = NULL;
	g_autoptr(GPtrArray) fstab = dps_fstab_new();
	g_autoptr(GPtrArray) candidates = NULL;
	g_autoptr(GPtrArray) missing = g_ptr_array_new();
	g_autoptr(GPtrArray) busy = g_ptr_array_new();
	g_auto(DpsCmdline) cmdline = { 0 };
	g_autofree char *text = NULL;
	Directories directories = { missing, busy };
	DpsProfile profile = {
		.arch = DPS_ARCH_X86_64,
		.cmdline = &cmdline,
		.directory = look,
		.data = &directories,
	};
	const char *words = NULL;

	if (argc < 2)
		return 2;
	disk = dps_disk_open(argv[1], DPS_OPEN_READ_ONLY, &error);
	for (int i = 2; disk && !error && i < argc; i++) {
		const char *value = strchr(argv[i], '=') + 1;

		if (g_str_has_prefix(argv[i], "version="))
			profile.version = (guint)atoi(value);
		else if (g_str_has_prefix(argv[i], "arch="))
			profile.arch = dps_arch_from_string(value);
		else if (g_str_has_prefix(argv[i], "efi="))
			profile.is_efi = strcmp(value, "yes") == 0;
		else if (g_str_has_prefix(argv[i], "loader="))
			profile.loader = strcmp(value, "esp") == 0 ? DPS_LOADER_WORD_ESP
								   : DPS_LOADER_WORD_XBOOTLDR;
		else if (g_str_has_prefix(argv[i], "cmdline="))
			words = value;
		else if (g_str_has_prefix(argv[i], "machine-id="))
			profile.machine_id = strcmp(value, "none") == 0 ? NULL : value;
		else if (g_str_has_prefix(argv[i], "missing="))
			g_ptr_array_add(missing, (gpointer)value);
		else if (g_str_has_prefix(argv[i], "busy="))
			g_ptr_array_add(busy, (gpointer)value);
		else if (g_str_has_prefix(argv[i], "fstab=")) {
			gsize size;

			if (!g_file_get_contents(value, &text, &size, &error))
				break;
			g_clear_pointer(&fstab, g_ptr_array_unref);
			fstab = dps_fstab_parse(text, size, value, &error);
		} else
			return 2;
	}
	if (error) {
		fprintf(stderr, "%s\n", error->message);
		return 3;
	}

	dps_cmdline_parse(words, &cmdline);
	profile.fstab = fstab;
	profile.has_no_machine_id = !profile.machine_id;
	candidates = dps_discover(disk, &profile);
	for (guint i = 0; i < candidates->len; i++)
		print(candidates->pdata[i]);
	return 0;
}
