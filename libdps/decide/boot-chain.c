/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/boot.h"
#include "format/shim-csv.h"
#include "ground/types.h"

#include <string.h>

/* What zipl writes into the first sector, for machines of s390x to start from a SCSI disk or a file
 * (s390-tools, zipl/include/boot.h). */
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

/* What a line of a vendor's BOOT<ARCH>.CSV leads to: a UKI, what shim starts beside it, or itself.
 */
static void
follow_csv_line(DpsBoot *self, DpsArch arch, const char *directory, const DpsShimCsvLine *line)
{
	g_autofree char *path = g_strdup_printf("%s/%s", directory, line->file);
	g_autofree char *options = g_ascii_strdown(line->options, -1);
	g_autofree char *next = NULL;
	DpsProgram *program;

	if (strstr(options, ".efi")) {
		self->uki_path = g_strdup(line->options);
		return;
	}
	if (!dps_boot_exists(&self->esp, path))
		return;

	program = dps_program_read(&self->esp, path);
	if (program->is_pe && program->uki.builder != DPS_EFI_BUILDER_SHIM) {
		self->second = program;
		return;
	}
	dps_program_free(program);
	next = dps_boot_find_beside_shim(&self->esp, directory, arch, DPS_SHIM_LOADER);
	if (next)
		self->second = dps_program_read(&self->esp, next);
}

/*
 * What shim starts: its fallback where that is beside it, which reads BOOT<ARCH>.CSV of each
 * vendor, else the next loader beside it.
 */
static void
follow_shim(DpsBoot *self, DpsArch arch)
{
	const char *suffix = dps_arch_get_efi_suffix(arch);
	g_autofree char *fallback =
		dps_boot_find_beside_shim(&self->esp, "/EFI/BOOT", arch, DPS_SHIM_FALLBACK);
	g_autofree char *loader =
		dps_boot_find_beside_shim(&self->esp, "/EFI/BOOT", arch, DPS_SHIM_LOADER);
	g_autoptr(GPtrArray) vendors = NULL;

	if (!fallback) {
		if (loader)
			self->second = dps_program_read(&self->esp, loader);
		return;
	}

	vendors = dps_boot_list(&self->esp, "/EFI");
	for (guint i = 0; i < vendors->len && !self->second && !self->uki_path; i++) {
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
		for (guint j = 0; lines && j < lines->len && !self->second && !self->uki_path; j++)
			follow_csv_line(self, arch, directory, lines->pdata[j]);
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
	return dps_boot_exists(&self->esp, "/EFI/Microsoft/Boot/bootmgfw.efi");
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
		g_auto(DpsCmdline) cmdline = { 0 };

		any = TRUE;
		dps_cmdline_parse(self->loader->uki.cmdline, &cmdline);
		if (dps_cmdline_root_is_discovered(&cmdline, 0)) {
			self->discovery = DPS_DISCOVERY_RELIED;
			return;
		}
	}

	if (any)
		self->discovery = DPS_DISCOVERY_NO;
	else if (self->chain == DPS_CHAIN_GRUB || self->chain == DPS_CHAIN_OTHER ||
		 self->uki_path || dps_boot_is_bios(disk) || is_windows_there(self) ||
		 self->esp.problem || self->xbootldr.problem || self->unread->len > 0 ||
		 (self->has_unread && !dps_disk_get_gpt(disk)))
		self->discovery = DPS_DISCOVERY_UNKNOWN;
}

static gboolean
exists_on_part(const char *path, gpointer data)
{
	return dps_boot_exists(data, path);
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
