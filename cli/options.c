/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "options.h"

#include <getopt.h>
#include <string.h>
#include "suggest.h"

#define COMMANDS_WITH_TREE (COMMAND_APPLY | COMMAND_PLAN | COMMAND_CHECK | COMMAND_SHOW)
#define COMMANDS_WITH_DISK (COMMANDS_WITH_TREE | COMMAND_UNDO)

/* What getopt_long() returns for an option: behind all characters, in the order of the table. */
#define OPTION_BASE 256

typedef gboolean (*OptionRead)(Options *options, const char *name, const char *value,
			       GError **error);

/* Keeps an error that is there: the first thing that is wrong is the one to tell. */
static gboolean throw_usage(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static gboolean
throw_usage(GError **error, const char *format, ...)
{
	va_list args;

	if (*error)
		return FALSE;

	va_start(args, format);
	*error = g_error_new_valist(DPS_ERROR, DPS_ERROR_INVALID, format, args);
	va_end(args);
	return FALSE;
}

static gboolean
read_root(Options *options, const char *name, const char *value, GError **error)
{
	if (!*value)
		return throw_usage(error, "--%s: empty: name the directory that is the target's /",
				   name);

	options->root = value;
	return TRUE;
}

static gboolean
read_arch(Options *options, const char *name, const char *value, GError **error)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new();
	g_autofree char *all = NULL;
	const char *near;

	options->arch = dps_arch_from_string(value);
	if (options->arch != DPS_ARCH_NONE)
		return TRUE;

	for (DpsArch arch = DPS_ARCH_NONE + 1; dps_arch_to_string(arch); arch++)
		g_ptr_array_add(names, (gpointer)dps_arch_to_string(arch));
	g_ptr_array_add(names, NULL);
	near = suggest_nearest(value, (const char *const *)names->pdata);
	if (near)
		return throw_usage(error, "--%s %s: no such architecture: did you mean %s?", name,
				   value, near);

	all = suggest_join((const char *const *)names->pdata);
	return throw_usage(error, "--%s %s: no such architecture: it is one of %s", name, value,
			   all);
}

static gboolean
read_json(Options *options, const char *name, const char *value, GError **error)
{
	options->json = TRUE;
	return TRUE;
}

static gboolean
read_backup(Options *options, const char *name, const char *value, GError **error)
{
	if (!*value)
		return throw_usage(error, "--%s: empty: name a file, or say none", name);

	options->backup = value;
	return TRUE;
}

static gboolean
read_btrfs_default(Options *options, const char *name, const char *value, GError **error)
{
	if (!*value)
		return throw_usage(error, "--%s: empty: name a subvolume, or say auto or keep",
				   name);

	options->btrfs_default = value;
	return TRUE;
}

static gboolean
read_root_hash(Options *options, const char *name, const char *value, GError **error)
{
	options->root_hash = value;
	return TRUE;
}

static gboolean
read_usr_hash(Options *options, const char *name, const char *value, GError **error)
{
	options->usr_hash = value;
	return TRUE;
}

static gboolean
read_machine_id(Options *options, const char *name, const char *value, GError **error)
{
	options->machine_id = value;
	return TRUE;
}

static gboolean
read_names(Options *options, const char *name, const char *value, GError **error)
{
	options->names = TRUE;
	return TRUE;
}

static gboolean
read_force(Options *options, const char *name, const char *value, GError **error)
{
	options->force = TRUE;
	return TRUE;
}

static gboolean
read_lock(Options *options, const char *name, const char *value, GError **error)
{
	/* What is typed counts more; the library asks the environment where nothing is. */
	g_unsetenv("LOCK_BLOCK_DEVICE");

	if (strcmp(value, "yes") == 0)
		options->lock = 0;
	else if (strcmp(value, "nonblock") == 0)
		options->lock = DPS_OPEN_LOCK_NONBLOCK;
	else if (strcmp(value, "no") == 0)
		options->lock = DPS_OPEN_NO_LOCK;
	else
		return throw_usage(error, "--%s %s: not a mode: it is yes, nonblock or no", name,
				   value);

	return TRUE;
}

static gboolean
read_no_check(Options *options, const char *name, const char *value, GError **error)
{
	options->no_check = TRUE;
	return TRUE;
}

static gboolean
read_strict(Options *options, const char *name, const char *value, GError **error)
{
	options->strict = TRUE;
	return TRUE;
}

static gboolean
read_sector_size(Options *options, const char *name, const char *value, GError **error)
{
	if (strcmp(value, "512") == 0)
		options->sector_size = 512;
	else if (strcmp(value, "4096") == 0)
		options->sector_size = 4096;
	else
		return throw_usage(error, "--%s %s: not a sector size: it is 512 or 4096", name,
				   value);

	return TRUE;
}

/* A list that is given twice goes on. */
static void
add_codes(char **list, const char *codes)
{
	char *both = *list ? g_strconcat(*list, ",", codes, NULL) : g_strdup(codes);

	g_free(*list);
	*list = both;
}

static gboolean
read_only(Options *options, const char *name, const char *value, GError **error)
{
	add_codes(&options->only, value);
	return TRUE;
}

static gboolean
read_ignore(Options *options, const char *name, const char *value, GError **error)
{
	add_codes(&options->ignore, value);
	return TRUE;
}

static gboolean
read_policy(Options *options, const char *name, const char *value, GError **error)
{
	g_autoptr(GError) local = NULL;
	char *text = NULL;
	gsize size;

	/* Read at once: later, images may be looked at where no other file can be. */
	if (!g_file_get_contents(value, &text, &size, &local))
		return throw_usage(error, "--%s: %s", name, local->message);

	g_free(options->policy);
	options->policy = text;
	options->policy_path = value;
	if (strlen(text) != size)
		return throw_usage(error, "--%s: %s: no text: it has a NUL in it", name, value);
	return TRUE;
}

/* A number from 1 to @max. */
static gboolean
read_number(const char *name, const char *value, guint max, guint *out, GError **error)
{
	guint64 number;

	if (!g_ascii_string_to_unsigned(value, 10, 1, max, &number, NULL))
		return throw_usage(error, "--%s %s: not a number from 1 to %u", name, value, max);

	*out = (guint)number;
	return TRUE;
}

static gboolean
read_esp(Options *options, const char *name, const char *value, GError **error)
{
	if (!*value)
		return throw_usage(error, "--%s: empty: name the directory with the ESP's files",
				   name);

	options->esp = value;
	return TRUE;
}

static gboolean
read_keep_kernels(Options *options, const char *name, const char *value, GError **error)
{
	return read_number(name, value, 1000, &options->keep_kernels, error);
}

static gboolean
read_jobs(Options *options, const char *name, const char *value, GError **error)
{
	return read_number(name, value, 256, &options->jobs, error);
}

static gboolean
read_color(Options *options, const char *name, const char *value, GError **error)
{
	if (strcmp(value, "auto") == 0)
		options->color = SCREEN_COLOR_AUTO;
	else if (strcmp(value, "always") == 0)
		options->color = SCREEN_COLOR_ALWAYS;
	else if (strcmp(value, "never") == 0)
		options->color = SCREEN_COLOR_NEVER;
	else
		return throw_usage(error, "--%s %s: not a time: it is auto, always or never", name,
				   value);

	return TRUE;
}

static gboolean
read_no_pager(Options *options, const char *name, const char *value, GError **error)
{
	options->no_pager = TRUE;
	return TRUE;
}

static gboolean
read_quiet(Options *options, const char *name, const char *value, GError **error)
{
	options->quiet = TRUE;
	options->verbose = FALSE;
	return TRUE;
}

static gboolean
read_verbose(Options *options, const char *name, const char *value, GError **error)
{
	options->verbose = TRUE;
	options->quiet = FALSE;
	return TRUE;
}

static gboolean
read_help(Options *options, const char *name, const char *value, GError **error)
{
	options->help = TRUE;
	return TRUE;
}

static gboolean
read_version(Options *options, const char *name, const char *value, GError **error)
{
	options->version = TRUE;
	return TRUE;
}

/* Every option, in the order of the manual.  Help, parsing and messages come from here. */
/* clang-format off */
static const struct {
	const char *name;
	char letter; /* 0: none */
	const char *value; /* NULL: takes none */
	CommandId commands;
	OptionRead read;
	const char *help;
} table[] = {
	{ "root", 'r', "DIR", COMMANDS_WITH_TREE, read_root,
	  "the target's root directory (without DISK: /)" },
	{ "arch", 'a', "ARCH", COMMAND_ALL, read_arch,
	  "the target's architecture (default: the tree's)" },
	{ "json", 'j', NULL, COMMAND_ALL, read_json,
	  "one JSON document on standard output" },
	{ "backup", 'b', "FILE", COMMAND_APPLY, read_backup,
	  "where to keep what was, for undo; or none" },
	{ "btrfs-default", 0, "SUBVOL", COMMAND_APPLY | COMMAND_PLAN, read_btrfs_default,
	  "the subvolume to make default; auto or keep" },
	{ "root-hash", 0, "HEX", COMMAND_APPLY | COMMAND_PLAN, read_root_hash,
	  "root's verity root hash: gives its pair their UUIDs" },
	{ "usr-hash", 0, "HEX", COMMAND_APPLY | COMMAND_PLAN, read_usr_hash,
	  "the same for /usr" },
	{ "machine-id", 0, "ID", COMMAND_APPLY | COMMAND_PLAN, read_machine_id,
	  "gives var its UUID (default: the tree's)" },
	{ "names", 0, NULL, COMMAND_APPLY | COMMAND_PLAN, read_names,
	  "name partitions that have no name" },
	{ "force", 'f', NULL, COMMAND_APPLY, read_force,
	  "pass the stops that dps-tag(8) lists for it" },
	{ "lock", 0, "MODE", COMMAND_APPLY | COMMAND_UNDO, read_lock,
	  "lock the disk: yes (default), nonblock, no" },
	{ "no-check", 0, NULL, COMMAND_APPLY, read_no_check,
	  "skip the closing check" },
	{ "strict", 0, NULL, COMMAND_APPLY | COMMAND_CHECK, read_strict,
	  "check: warnings count; apply: what its check finds" },
	{ "sector-size", 0, "BYTES", COMMANDS_WITH_DISK, read_sector_size,
	  "of an image: 512 or 4096 (default: look for it)" },
	{ "only", 0, "CODE,…", COMMAND_CHECK, read_only,
	  "report these findings alone" },
	{ "ignore", 0, "CODE,…", COMMAND_CHECK, read_ignore,
	  "do not report these findings" },
	{ "policy", 0, "FILE", COMMAND_CHECK, read_policy,
	  "severities: lines CODE=error|warning|info|ignore" },
	{ "esp", 0, "DIR", COMMAND_CHECK, read_esp,
	  "the files of the ESP are there (default: its mount)" },
	{ "keep-kernels", 0, "N", COMMAND_CHECK, read_keep_kernels,
	  "how many kernels need room (default: 2)" },
	{ "jobs", 0, "N", COMMAND_CHECK, read_jobs,
	  "disks at a time (default: 1)" },
	{ "color", 0, "WHEN", COMMAND_ALL, read_color,
	  "auto (default), always or never" },
	{ "no-pager", 0, NULL, COMMAND_ALL, read_no_pager,
	  "long output straight to the terminal" },
	{ "quiet", 'q', NULL, COMMAND_ALL, read_quiet,
	  "say only what went wrong" },
	{ "verbose", 'v', NULL, COMMAND_ALL, read_verbose,
	  "say more" },
	{ "help", 'h', NULL, COMMAND_ALL, read_help,
	  "show this" },
	{ "version", 'V', NULL, COMMAND_ALL, read_version,
	  "show the version" },
};
/* clang-format on */

#define N_OPTIONS G_N_ELEMENTS(table)

static int
index_of_letter(int letter)
{
	for (guint i = 0; i < N_OPTIONS; i++)
		if (letter != 0 && table[i].letter == letter)
			return (int)i;

	return -1;
}

/* getopt_long() found no option of that name, or one too many: says which. */
static void
throw_unknown(const char *word, int letter, GError **error)
{
	g_autofree char *name = NULL;
	const char *names[N_OPTIONS + 1] = { NULL };
	const char *near, *other = NULL;

	if (letter != 0) {
		throw_usage(error, "-%c: no such option", letter);
		return;
	}

	name = g_strndup(word + 2, strcspn(word + 2, "="));
	for (guint i = 0; i < N_OPTIONS; i++) {
		names[i] = table[i].name;
		if (*name && g_str_has_prefix(table[i].name, name)) {
			if (other) {
				throw_usage(error, "--%s: ambiguous: --%s or --%s", name, other,
					    table[i].name);
				return;
			}
			other = table[i].name;
		}
	}

	near = suggest_nearest(name, names);
	if (near)
		throw_usage(error, "--%s: no such option: did you mean --%s?", name, near);
	else
		throw_usage(error, "--%s: no such option", name);
}

static const Command *
find_command(const char *name, const Command *const *commands, GError **error)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new();
	g_autofree char *all = NULL;
	const char *near;

	for (; *commands; commands++) {
		if (strcmp(name, (*commands)->name) == 0)
			return *commands;
		g_ptr_array_add(names, (gpointer)(*commands)->name);
	}

	g_ptr_array_add(names, NULL);
	near = suggest_nearest(name, (const char *const *)names->pdata);
	all = suggest_join((const char *const *)names->pdata);
	if (near)
		throw_usage(error, "%s: no such command: did you mean %s?", name, near);
	else
		throw_usage(error, "%s: no such command: it is one of %s", name, all);
	return NULL;
}

gboolean
options_parse(int argc, char **argv, const Command *const *commands, Options *out, GError **error)
{
	struct option longs[N_OPTIONS + 1] = { 0 };
	/* ":" first: tell a missing value from an unknown option */
	g_autoptr(GString) shorts = g_string_new(":");
	gboolean is_given[N_OPTIONS] = { FALSE };
	g_autoptr(GError) local = NULL;
	int c;

	*out = (Options){ 0 };

	for (guint i = 0; i < N_OPTIONS; i++) {
		longs[i].name = table[i].name;
		longs[i].has_arg = table[i].value ? required_argument : no_argument;
		longs[i].val = OPTION_BASE + (int)i;
		if (table[i].letter != 0)
			g_string_append_printf(shorts, "%c%s", table[i].letter,
					       table[i].value ? ":" : "");
	}

	/* To the end also when something is wrong: --json may still come. */
	opterr = 0;
	while ((c = getopt_long(argc, argv, shorts->str, longs, NULL)) != -1) {
		int i = c >= OPTION_BASE ? c - OPTION_BASE : index_of_letter(c);
		const char *word = argv[optind - 1];

		if (c == ':') {
			i = optopt >= OPTION_BASE ? optopt - OPTION_BASE : index_of_letter(optopt);
			throw_usage(&local, "--%s: needs a value: %s", table[i].name,
				    table[i].value);
		} else if (c == '?' && optopt >= OPTION_BASE) {
			throw_usage(&local, "--%s: takes no value",
				    table[optopt - OPTION_BASE].name);
		} else if (c == '?') {
			throw_unknown(word, optopt, &local);
		} else {
			is_given[i] = TRUE;
			table[i].read(out, table[i].name, optarg, &local);
		}
	}

	if (optind < argc)
		out->command = find_command(argv[optind++], commands, &local);
	else if (!out->help && !out->version)
		throw_usage(&local, "no command given: dps-tag --help lists them");
	out->arguments = (const char *const *)&argv[optind];
	out->n_arguments = (guint)(argc - optind);

	for (guint i = 0; i < N_OPTIONS; i++)
		if (is_given[i] && out->command && !(table[i].commands & out->command->id))
			throw_usage(&local, "--%s: not an option of dps-tag %s", table[i].name,
				    out->command->name);

	if (local) {
		g_propagate_error(error, g_steal_pointer(&local));
		return FALSE;
	}

	return TRUE;
}

void
options_clear(Options *options)
{
	g_clear_pointer(&options->only, g_free);
	g_clear_pointer(&options->ignore, g_free);
	g_clear_pointer(&options->policy, g_free);
}

static void
print_options(Screen *screen, CommandId commands)
{
	for (guint i = 0; i < N_OPTIONS; i++) {
		g_autofree char *name = NULL;

		if ((table[i].commands & commands) != commands)
			continue;
		name = g_strdup_printf("--%s%s%s", table[i].name, table[i].value ? "=" : "",
				       table[i].value ? table[i].value : "");
		screen_print(screen, "  %c%c%c %-21s %s\n", table[i].letter ? '-' : ' ',
			     table[i].letter ? table[i].letter : ' ', table[i].letter ? ',' : ' ',
			     name, table[i].help);
	}
}

static void
print_heading(Screen *screen, const char *heading)
{
	screen_print(screen, "\n%s%s%s\n", screen_begin(screen, SCREEN_STYLE_HEADING), heading,
		     screen_end(screen));
}

void
options_print_help(Screen *screen, const Command *const *commands, const Command *command)
{
	if (command) {
		screen_print(screen, "Usage: dps-tag %s [OPTION…]%s%s\n\n%s\n", command->name,
			     *command->arguments ? " " : "", command->arguments, command->about);
		print_heading(screen, "Options:");
		print_options(screen, command->id);
	} else {
		screen_print(screen,
			     "Usage: dps-tag COMMAND [OPTION…] [ARGUMENT…]\n\n"
			     "Tags the partitions of a GPT disk or disk image by the Discoverable\n"
			     "Partitions Specification, and sets the btrfs default subvolume.\n");
		print_heading(screen, "Commands:");
		for (; *commands; commands++) {
			g_autofree char *call =
				g_strdup_printf("%s %s", (*commands)->name, (*commands)->arguments);

			/* printf() counts bytes, and "…" has three. */
			screen_print(screen, "  %s%*s  %s\n", call,
				     (int)(26 - MIN(26, g_utf8_strlen(call, -1))), "",
				     (*commands)->summary);
		}
		print_heading(screen, "Options of all commands:");
		print_options(screen, COMMAND_ALL);
		screen_print(screen, "\ndps-tag COMMAND --help tells the options of a command.\n");
	}
	screen_print(screen, "\nThe whole story is in dps-tag(8).\n");
}
