/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/boot-internal.h"
#include "format/bls-name.h"

#include <string.h>

/*
 * Whether an initrd does not need root= and waits for no root by its type: that of a live system
 * looks for a squashfs (casper(7), live-boot(7), the README of archiso), NixOS' has an fstab.
 */
gboolean
dps_boot_finds_root(const DpsCmdline *cmdline)
{
	const char *boot = dps_cmdline_get(cmdline, "boot");

	return g_strcmp0(boot, "casper") == 0 || g_strcmp0(boot, "live") == 0 ||
	       dps_cmdline_get(cmdline, "archisobasedir") ||
	       (cmdline->init && g_str_has_prefix(cmdline->init, "/nix/store/"));
}

/* Memtest86+ and iPXE let themselves be started as if they were kernels. */
static gboolean
is_tool(const char *path)
{
	g_autofree char *name = path ? g_path_get_basename(path) : NULL;

	return name && (g_ascii_strncasecmp(name, "memtest", strlen("memtest")) == 0 ||
			g_str_has_suffix(name, ".lkrn"));
}

static void
add_entry(DpsBoot *self, DpsBootPart *part, const char *path, DpsBlsEntry *bls,
	  const DpsProgram *program, const char *addons)
{
	DpsBootEntry *entry = g_new0(DpsBootEntry, 1);
	g_autofree char *options = g_strconcat(bls->options ? bls->options : "", addons, NULL);

	g_ptr_array_add(self->bls, bls);
	entry->part = part;
	entry->path = g_strdup(path);
	entry->bls = bls;
	entry->program = program;
	entry->is_unclear = strchr(options, '$') != NULL;
	dps_cmdline_parse(options, &entry->cmdline);
	entry->is_tool = is_tool(bls->path);
	entry->finds_root = dps_boot_finds_root(&entry->cmdline);
	g_ptr_array_add(self->entries, entry);
}

/* To open a file takes its time, too: whatever is in it, it counts as its part of all text. */
#define MAX_FILES_READ 4096
#define MIN_CHARGE (DPS_BOOT_MAX_TEXT / MAX_FILES_READ)

static double
in_mib(uint64_t bytes)
{
	return (double)bytes / (1024 * 1024);
}

/* Whether there is room for a text; the first one without is noted. */
static gboolean
take_text(DpsBoot *self, const DpsBootPart *part, const char *path, size_t size)
{
	gboolean is_there;

	size = MAX(size, MIN_CHARGE);
	is_there = size < self->text_left;
	if (!is_there && self->text_left > 0)
		dps_boot_note_unread(self, part,
				     "boot entries and images have more than %.1f MiB of text: "
				     "what follows %s is not read",
				     in_mib(DPS_BOOT_MAX_TEXT), path);
	self->text_left = is_there ? self->text_left - size : 0;
	return is_there;
}

/* Why an entry is none of ours.  systemd-boot reads files of any size (util.c of systemd 257,
 * FILE_READ_MAX: 16 GiB). */
static void
note_unread_entry(DpsBoot *self, const DpsBootPart *part, const char *path, const GError *error)
{
	g_autoptr(DpsFileInfo) info = dps_boot_lookup(part, path);

	if (info && info->size > DPS_BLS_MAX_FILE_SIZE)
		dps_boot_note_unread(self, part,
				     "%s has %.1f MiB: entries above %.1f MiB are not read", path,
				     in_mib(info->size), in_mib(DPS_BLS_MAX_FILE_SIZE));
	else
		dps_boot_note_unread(self, part, "%s", error->message);
}

/* What was read of it, and what its profiles make of that: each is an entry, with the texts of the
 * base. */
static size_t
count_text(const DpsProgram *program)
{
	size_t size = program->is_pe ? program->uki.text_size : 0;

	for (guint i = 0; program->is_pe && i < program->uki.profiles->len; i++) {
		const DpsUkiProfile *profile = program->uki.profiles->pdata[i];
		const DpsOsRelease *os_release = profile->os_release;
		const char *const texts[] = {
			profile->cmdline,
			os_release ? dps_os_release_get_title(os_release) : NULL,
			os_release ? dps_os_release_get_version(os_release) : NULL,
			os_release ? dps_os_release_get_sort_key(os_release) : NULL,
		};

		size += MIN_CHARGE / 2;
		for (guint k = 0; k < G_N_ELEMENTS(texts); k++)
			size += texts[k] ? strlen(texts[k]) : 0;
	}
	return size;
}

/* What the stub adds for one directory of addons, in the order of their names: those for another
 * machine or another kernel it skips.  Source: systemd-stub(7). */
static void
append_addons(DpsBoot *self, DpsBootPart *part, const char *directory, const DpsUki *uki,
	      GString *options)
{
	g_autoptr(GPtrArray) names = dps_boot_list_all(self, part, directory);

	for (guint i = 0; i < names->len && self->text_left > 0; i++) {
		const DpsFileInfo *info = names->pdata[i];
		g_autofree char *path = g_strconcat(directory, "/", info->name, NULL);
		g_autofree char *lower = g_ascii_strdown(info->name, -1);
		DpsProgram *addon;

		if (info->kind != DPS_FILE_REGULAR || !g_str_has_suffix(lower, ".addon.efi"))
			continue;
		addon = dps_boot_read_program(self, part, path, DPS_UKI_TEXTS);
		if (take_text(self, part, path, count_text(addon)) && addon->is_pe &&
		    !addon->uki.has_linux && addon->uki.cmdline &&
		    addon->uki.pe.machine == uki->pe.machine &&
		    (!addon->uki.uname || !uki->uname || strcmp(addon->uki.uname, uki->uname) == 0))
			g_string_append_printf(options, " %s", addon->uki.cmdline);
		dps_program_free(addon);
	}
}

char *
dps_boot_read_addons(DpsBoot *self, DpsBootPart *part, const DpsProgram *program)
{
	GString *options = g_string_new(NULL);
	g_auto(DpsBlsName) name = { 0 };
	g_autofree char *own = NULL, *directory = g_path_get_dirname(program->path);

	if (program->is_pe) {
		dps_bls_name_parse(program->name, ".efi", &name);
		own = g_strdup_printf("%s/%s.extra.d", directory, name.id);
		append_addons(self, part, "/loader/addons", &program->uki, options);
		append_addons(self, part, own, &program->uki, options);
	}
	return g_string_free(options, FALSE);
}

/* What a UKI that an entry of type #1 names adds to its options: its own command line when there
 * are none (systemd-stub(7)), and its addons. */
static char *
read_uki_words(DpsBoot *self, DpsBootPart *part, const DpsBlsEntry *bls)
{
	g_autofree char *path = g_strconcat("/", bls->path, NULL);
	DpsProgram *program = dps_boot_read_program(self, part, path, DPS_UKI_TEXTS);
	g_autofree char *addons = NULL;
	const char *own = NULL;
	char *words = NULL;

	if (program->is_pe && take_text(self, part, path, count_text(program))) {
		addons = dps_boot_read_addons(self, part, program);
		for (guint i = 0; i < program->uki.profiles->len; i++) {
			const DpsUkiProfile *profile = program->uki.profiles->pdata[i];

			if (profile->index == bls->profile)
				own = profile->cmdline;
		}
		words = g_strconcat(bls->options || !own ? "" : own, addons, NULL);
	}
	dps_program_free(program);
	return words;
}

void
dps_boot_read_type1(DpsBoot *self, DpsBootPart *part, const char *directory)
{
	g_autoptr(GPtrArray) names = dps_boot_list_all(self, part, directory);

	for (guint i = 0; i < names->len; i++) {
		const DpsFileInfo *info = names->pdata[i];
		g_autofree char *path = g_strconcat(directory, "/", info->name, NULL);
		g_autofree char *lower = g_ascii_strdown(info->name, -1);
		g_autoptr(GError) error = NULL;
		g_autofree char *text = NULL, *words = NULL;
		DpsBlsEntry *bls;
		size_t size;

		if (info->kind == DPS_FILE_DIRECTORY || !g_str_has_suffix(lower, ".conf") ||
		    *lower == '.' || g_str_has_prefix(lower, "auto-"))
			continue;
		if (self->text_left == 0)
			return;
		text = dps_files_read(part->files, path, DPS_BLS_MAX_FILE_SIZE, &size, &error);
		if (!text) {
			note_unread_entry(self, part, path, error);
			continue;
		}
		if (!take_text(self, part, path, size))
			return;
		bls = dps_bls_entry_parse(info->name, text, size);
		words = bls->loader == DPS_BLS_LOADER_UKI ? read_uki_words(self, part, bls) : NULL;
		add_entry(self, part, path, bls, NULL, words ? words : "");
	}
}

void
dps_boot_read_type2(DpsBoot *self, DpsBootPart *part)
{
	g_autoptr(GPtrArray) names = dps_boot_list_all(self, part, "/EFI/Linux");

	for (guint i = 0; i < names->len; i++) {
		const DpsFileInfo *info = names->pdata[i];
		g_autofree char *path = g_strconcat("/EFI/Linux/", info->name, NULL);
		g_autofree char *lower = g_ascii_strdown(info->name, -1);
		g_autoptr(GPtrArray) profiles = NULL;
		g_autofree char *addons = NULL;
		DpsProgram *program;

		if (info->kind != DPS_FILE_REGULAR || !g_str_has_suffix(lower, ".efi") ||
		    *lower == '.' || g_str_has_prefix(lower, "auto-"))
			continue;
		if (self->text_left == 0)
			return;
		program = dps_boot_read_program(self, part, path, DPS_UKI_TEXTS);
		g_ptr_array_add(self->ukis, program);
		if (!take_text(self, part, path, count_text(program)))
			return;
		if (g_str_has_suffix(lower, ".addon.efi") || dps_boot_get_lost(part, path))
			continue;
		addons = dps_boot_read_addons(self, part, program);
		/* Each profile has them. */
		if (program->is_pe && *addons &&
		    !take_text(self, part, path, strlen(addons) * program->uki.profiles->len))
			return;
		profiles =
			dps_bls_entries_from_uki(info->name, program->is_pe ? &program->uki : NULL);
		while (profiles->len > 0)
			add_entry(self, part, path, g_ptr_array_steal_index(profiles, 0), program,
				  addons);
	}
}

/* The command lines of a grub.cfg: what follows the kernel's path behind linux, linuxefi, linux16
 */
static void
read_grub_cfg(DpsBoot *self, DpsBootPart *part, const char *path)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *text = dps_files_read(part->files, path, DPS_FILES_MAX_TEXT, NULL, &error);
	char *rest = text, *next;

	if (!text)
		dps_boot_note_unread(self, part, "%s", error->message);
	/* In place: a menu of line breaks has millions of lines. */
	while ((next = strsep(&rest, "\n"))) {
		const char *line = g_strchug(next);
		size_t command = strcspn(line, " \t");
		g_autofree char *program = NULL;
		DpsBootEntry *entry;

		if (!((command == 5 && strncmp(line, "linux", 5) == 0) ||
		      (command == 8 && strncmp(line, "linuxefi", 8) == 0) ||
		      (command == 7 && strncmp(line, "linux16", 7) == 0)))
			continue;
		if (self->grub_lines->len == DPS_BOOT_MAX_NAMES) {
			dps_boot_note_unread(self, part,
					     "%s has more than %d lines with a kernel: the rest is "
					     "not read",
					     path, DPS_BOOT_MAX_NAMES);
			return;
		}
		line += command;
		line += strspn(line, " \t");
		program = g_strndup(line, strcspn(line, " \t"));
		line += strlen(program);

		entry = g_new0(DpsBootEntry, 1);
		entry->part = part;
		entry->path = g_strdup(path);
		entry->is_unclear = strchr(line, '$') != NULL;
		dps_cmdline_parse(line, &entry->cmdline);
		entry->is_tool = is_tool(program);
		entry->finds_root = dps_boot_finds_root(&entry->cmdline);
		g_ptr_array_add(self->grub_lines, entry);
	}
}

void
dps_boot_read_grub(DpsBoot *self, DpsBootPart *part, const char *prefix)
{
	static const char *const paths[] = {
		"/grub/grub.cfg",
		"/grub2/grub.cfg",
		"/boot/grub/grub.cfg",
		"/boot/grub2/grub.cfg",
	};

	for (guint i = 0; i < G_N_ELEMENTS(paths); i++) {
		g_autofree char *path = g_strconcat(prefix, paths[i], NULL);

		if (dps_boot_may_exist(part, path))
			read_grub_cfg(self, part, path);
	}
}
