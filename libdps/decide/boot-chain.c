/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/boot-internal.h"
#include "format/shim-csv.h"
#include "ground/types.h"

#include <string.h>

/* What zipl writes to the start of a SCSI or virtio disk, in front of the records of the MBR, for
 * machines of s390x (s390-tools, include/boot/boot_defs.h, struct scsi_mbr; zgetdump and ngdump
 * look for these four bytes as well). */
static gboolean
has_zipl(DpsDisk *disk)
{
	DpsRegion region = dps_medium_get_region(dps_disk_get_medium(disk));
	char magic[4];

	return dps_region_read(&region, 0, magic, sizeof(magic), NULL) &&
	       memcmp(magic, "zIPL", sizeof(magic)) == 0;
}

gboolean
dps_boot_is_bios(DpsDisk *disk)
{
	for (guint i = 0; i < dps_disk_get_n_partitions(disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(disk, i);
		DpsRole role = partition->type ? partition->type->role : DPS_ROLE_NONE;

		/* Whatever its type says, a boot program is there. */
		if (role == DPS_ROLE_BIOS_BOOT || role == DPS_ROLE_PREP ||
		    dps_partition_is_firmware_area(partition))
			return TRUE;
	}
	return has_zipl(disk);
}

static DpsChain
chain_of_program(const DpsProgram *program)
{
	if (!program || !program->is_pe)
		return DPS_CHAIN_OTHER;
	if (program->uki.has_linux)
		return DPS_CHAIN_UKI;

	switch (program->uki.builder) {
	case DPS_EFI_BUILDER_SYSTEMD_BOOT:
		return DPS_CHAIN_SYSTEMD_BOOT;
	case DPS_EFI_BUILDER_GRUB:
		return DPS_CHAIN_GRUB;
	default:
		return DPS_CHAIN_OTHER;
	}
}

char *
dps_boot_find_beside_shim(const DpsBootPart *part, const char *directory, DpsArch arch,
			  DpsShimPart what)
{
	/* Its own name with the architecture's suffix, and SUSE's, whose shim is built for that. */
	static const char *const names[][2] = {
		[DPS_SHIM_FALLBACK] = { "fb", "fallback.efi" },
		[DPS_SHIM_LOADER] = { "grub", "grub.efi" },
	};
	g_autofree char *suffix = g_ascii_strdown(dps_arch_get_efi_suffix(arch), -1);
	g_autofree char *own = g_strdup_printf("%s/%s%s.efi", directory, names[what][0], suffix);
	g_autofree char *suse = g_strdup_printf("%s/%s", directory, names[what][1]);

	if (dps_boot_exists(part, own))
		return g_steal_pointer(&own);
	return dps_boot_exists(part, suse) ? g_steal_pointer(&suse) : NULL;
}

/* shim's own parts, which it does not start as the next loader. */
static gboolean
is_part_of_shim(const char *name)
{
	static const char *const parts[] = { "fb", "fallback.efi", "mm", "MokManager.efi" };

	for (guint i = 0; i < G_N_ELEMENTS(parts); i++)
		if (g_ascii_strncasecmp(name, parts[i], strlen(parts[i])) == 0)
			return TRUE;
	return FALSE;
}

/* Vendors have a line or two; each costs the reading of a shim. */
#define MAX_CSV_LINES 64

/* Far above any shim (1 MiB), and more names than it is ever built with. */
#define MAX_SHIM_SIZE ((size_t)4 << 20)
#define MAX_SHIM_NAMES 8

/*
 * The loaders that a shim is built to start: its strings "\\NAME.efi" in UTF-16LE, as the
 * preprocessor makes them of DEFAULT_LOADER (shim's Make.defaults).  Who builds it for another
 * loader than GRUB sets that.
 */
static GPtrArray *
list_names_in_shim(const DpsBootPart *part, const char *path)
{
	static const char suffix[] = { '.', 0, 'e', 0, 'f', 0, 'i', 0, 0, 0 };
	GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
	size_t size = 0;
	g_autofree char *bytes = dps_files_read(part->files, path, MAX_SHIM_SIZE, &size, NULL);

	for (size_t at = 0; bytes && at + sizeof(suffix) <= size && names->len < MAX_SHIM_NAMES;
	     at += 2) {
		g_autoptr(GString) name = NULL;
		size_t start = at;

		if (memcmp(bytes + at, suffix, sizeof(suffix)) != 0)
			continue;
		while (start >= 2 && g_ascii_isgraph(bytes[start - 2]) && bytes[start - 1] == 0 &&
		       bytes[start - 2] != '\\')
			start -= 2;
		if (start == at || start < 2 || bytes[start - 2] != '\\' || bytes[start - 1] != 0)
			continue;
		name = g_string_new(NULL);
		for (size_t i = start; i < at; i += 2)
			g_string_append_c(name, bytes[i]);
		g_string_append(name, ".efi");
		if (!is_part_of_shim(name->str))
			g_ptr_array_add(names, g_strdup(name->str));
	}
	return names;
}

/* What a shim starts beside itself: what it is built for, or what shims commonly are; NULL, and the
 * name of the file that is not there. */
static char *
find_second_stage(const DpsBoot *self, DpsArch arch, const char *shim, char **wanted)
{
	g_autofree char *directory = g_path_get_dirname(shim);
	g_autofree char *suffix = g_ascii_strdown(dps_arch_get_efi_suffix(arch), -1);
	g_autoptr(GPtrArray) names = list_names_in_shim(&self->esp, shim);
	char *found;

	for (guint i = 0; i < names->len; i++) {
		g_autofree char *path =
			g_strdup_printf("%s/%s", directory, (char *)names->pdata[i]);

		if (dps_boot_exists(&self->esp, path))
			return g_steal_pointer(&path);
	}
	found = dps_boot_find_beside_shim(&self->esp, directory, arch, DPS_SHIM_LOADER);
	if (!found)
		*wanted = names->len > 0 ? g_strdup(names->pdata[0])
					 : g_strdup_printf("grub%s.efi", suffix);
	return found;
}

static void
add_orphan(DpsBoot *self, const char *path, const char *wanted, gboolean is_told)
{
	DpsShimOrphan *orphan;

	for (guint i = 0; i < self->orphans->len; i++) {
		const DpsShimOrphan *known = self->orphans->pdata[i];

		if (strcmp(known->path, path) == 0 && g_strcmp0(known->wanted, wanted) == 0)
			return;
	}
	orphan = g_new0(DpsShimOrphan, 1);
	orphan->path = g_strdup(path);
	orphan->wanted = g_strdup(wanted);
	orphan->is_told = is_told;
	g_ptr_array_add(self->orphans, orphan);
}

/*
 * The program that options tell shim to start, their first word: what begins with \EFI\ is a path,
 * of all else the last part counts, beside shim (load-options.c, generate_path_from_image_path()).
 * NULL: they name none.
 */
static char *
get_told_path(const char *directory, const char *options)
{
	const char *start = options + strspn(options, " ");
	g_autofree char *word = g_strndup(start, strcspn(start, " "));
	g_autofree char *lower = NULL;
	const char *last;

	g_strdelimit(word, "\\", '/');
	lower = g_ascii_strdown(word, -1);
	if (!g_str_has_suffix(lower, ".efi"))
		return NULL;
	if (g_str_has_prefix(lower, "/efi/"))
		return g_steal_pointer(&word);

	last = strrchr(word, '/');
	return g_strdup_printf("%s/%s", directory, last ? last + 1 : word);
}

/* What a shim that was told nothing, or a program of its own, leads to. */
static void
follow_vendor_shim(DpsBoot *self, DpsArch arch, const char *shim, const char *directory,
		   const DpsShimCsvLine *line)
{
	g_autofree char *told = get_told_path(directory, line->options);
	g_autofree char *wanted = NULL;
	g_autofree char *next =
		told ? g_strdup(told) : find_second_stage(self, arch, shim, &wanted);
	DpsProgram *program;

	if (!next || !dps_boot_exists(&self->esp, next)) {
		/* What was found a moment ago can be gone: the medium fails, or is written to. */
		add_orphan(self, shim, next ? next : wanted, told != NULL);
		return;
	}
	if (self->second || self->uki_path)
		return;

	program = dps_boot_read_program(self, &self->esp, next, DPS_UKI_ALL);
	if (told && program->is_pe && program->uki.has_linux) {
		self->uki_path = g_steal_pointer(&told);
		dps_program_free(program);
	} else {
		self->second = program;
	}
}

/* What a line of a vendor's BOOT<ARCH>.CSV leads to: shim and what that starts, or a program.  A
 * file that is not there, or no program, is the CSV's fault. */
static void
follow_csv_line(DpsBoot *self, DpsArch arch, const char *directory, const DpsShimCsvLine *line)
{
	g_autofree char *path = g_strdup_printf("%s/%s", directory, line->file);
	DpsProgram *program;

	if (!dps_boot_exists(&self->esp, path))
		return;

	program = dps_boot_read_program(self, &self->esp, path, DPS_UKI_ALL);
	if (program->is_pe && program->uki.builder == DPS_EFI_BUILDER_SHIM)
		follow_vendor_shim(self, arch, path, directory, line);
	else if (program->is_pe && !self->second && !self->uki_path)
		self->second = g_steal_pointer(&program);
	dps_program_free(program);
}

/*
 * What shim starts: its fallback where that is beside it, which makes a boot entry of each line of
 * each vendor's BOOT<ARCH>.CSV, else the next loader beside it.  The first that leads on is taken,
 * and those that do not are noted.
 */
static void
follow_shim(DpsBoot *self, DpsArch arch)
{
	const char *suffix = dps_arch_get_efi_suffix(arch);
	g_autofree char *fallback =
		dps_boot_find_beside_shim(&self->esp, "/EFI/BOOT", arch, DPS_SHIM_FALLBACK);
	g_autoptr(GPtrArray) vendors = NULL;
	guint n_lines = 0;

	if (!fallback) {
		g_autofree char *wanted = NULL;
		g_autofree char *loader =
			find_second_stage(self, arch, self->fallback->path, &wanted);

		if (loader)
			self->second = dps_boot_read_program(self, &self->esp, loader, DPS_UKI_ALL);
		else
			add_orphan(self, self->fallback->path, wanted, FALSE);
		return;
	}

	vendors = dps_boot_list(&self->esp, "/EFI");
	for (guint i = 0; i < vendors->len; i++) {
		const DpsFileInfo *info = vendors->pdata[i];
		g_autofree char *directory = g_strconcat("/EFI/", info->name, NULL);
		g_autofree char *csv = g_strdup_printf("%s/BOOT%s.CSV", directory, suffix);
		g_autofree char *plain = g_strdup_printf("%s/BOOT.CSV", directory);
		g_autofree char *bytes = NULL;
		g_autoptr(GPtrArray) lines = NULL;
		size_t size = 0;

		if (info->kind != DPS_FILE_DIRECTORY || g_ascii_strcasecmp(info->name, "BOOT") == 0)
			continue;
		bytes = dps_files_read(self->esp.files, csv, DPS_BLS_MAX_FILE_SIZE, &size, NULL);
		if (!bytes)
			bytes = dps_files_read(self->esp.files, plain, DPS_BLS_MAX_FILE_SIZE, &size,
					       NULL);
		lines = bytes ? dps_shim_csv_parse(bytes, size, NULL) : NULL;
		for (guint j = 0; lines && j < lines->len; j++) {
			if (n_lines++ == MAX_CSV_LINES) {
				dps_boot_note_unread(self, &self->esp,
						     "the BOOT*.CSV have more than %d lines: what "
						     "follows %s is not read",
						     MAX_CSV_LINES, csv);
				return;
			}
			follow_csv_line(self, arch, directory, lines->pdata[j]);
		}
	}
}

/* What one command line says; a type #2 entry without .cmdline has an empty one. */
static gboolean
entry_relies(const DpsBootEntry *entry)
{
	return !entry->is_unclear && !entry->finds_root && !entry->cmdline.roothash &&
	       dps_cmdline_root_is_discovered(&entry->cmdline, 0);
}

static gboolean
is_windows_there(DpsBoot *self)
{
	return dps_boot_may_exist(&self->esp, "/EFI/Microsoft/Boot/bootmgfw.efi");
}

static void
judge_discovery(DpsBoot *self, DpsDisk *disk)
{
	gboolean any = FALSE;

	self->discovery = DPS_DISCOVERY_NO_ENTRY;
	self->relying = NULL;
	for (guint i = 0; i < self->entries->len + self->grub_lines->len; i++) {
		const DpsBootEntry *entry =
			i < self->entries->len ? self->entries->pdata[i]
					       : self->grub_lines->pdata[i - self->entries->len];

		/* An "efi" entry starts some program, and not with a kernel's command line. */
		if (entry->hidden != DPS_BLS_SHOWN || entry->is_tool ||
		    (entry->bls && entry->bls->loader == DPS_BLS_LOADER_EFI))
			continue;
		any = TRUE;
		if (entry_relies(entry)) {
			self->discovery = DPS_DISCOVERY_RELIED;
			self->relying = entry;
			return;
		}
	}
	if (self->chain == DPS_CHAIN_UKI && self->loader) {
		const char *own = self->loader->uki.cmdline;
		g_autofree char *addons =
			dps_boot_read_addons(self, self->loader->part, self->loader);
		g_autofree char *text = g_strconcat(own ? own : "", addons, NULL);
		g_auto(DpsCmdline) cmdline = { 0 };

		any = TRUE;
		dps_cmdline_parse(text, &cmdline);
		if (dps_cmdline_root_is_discovered(&cmdline, 0) && !dps_boot_finds_root(&cmdline)) {
			self->discovery = DPS_DISCOVERY_RELIED;
			return;
		}
	}

	if (any)
		self->discovery = DPS_DISCOVERY_NO;
	else if (self->chain == DPS_CHAIN_GRUB || self->chain == DPS_CHAIN_OTHER ||
		 self->uki_path || dps_boot_is_bios(disk) || is_windows_there(self) ||
		 self->esp.problem || self->xbootldr.problem || self->unread->len > 0 ||
		 self->has_lost_part || (self->has_unread && !dps_disk_get_gpt(disk)))
		self->discovery = DPS_DISCOVERY_UNKNOWN;
}

static gboolean
exists_on_part(const char *path, gpointer data)
{
	return dps_boot_may_exist(data, path);
}

void
dps_boot_follow(DpsBoot *self, DpsDisk *disk, DpsArch arch)
{
	for (guint i = 0; i < self->entries->len; i++) {
		DpsBootEntry *entry = self->entries->pdata[i];
		DpsBlsReader reader = { .arch = arch };

		/* Paths of entries on others are GRUB's, and need not start at that partition. */
		if (entry->part == &self->esp || entry->part == &self->xbootldr) {
			reader.exists = exists_on_part;
			reader.data = entry->part;
		}
		entry->hidden = dps_bls_entry_get_hidden(entry->bls, &reader);
	}

	for (guint i = 0; i < self->fallbacks->len; i++) {
		const DpsProgram *program = self->fallbacks->pdata[i];

		if (program->name_arch == arch)
			self->fallback = program;
	}
	self->loader = self->fallback;
	if (self->fallback && self->fallback->is_pe) {
		self->is_shim = self->fallback->uki.builder == DPS_EFI_BUILDER_SHIM;
		if (self->is_shim) {
			follow_shim(self, arch);
			self->loader = self->second;
		}
		self->chain = self->uki_path ? DPS_CHAIN_UKI : chain_of_program(self->loader);
	}
	judge_discovery(self, disk);
}
