/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/boot.h"
#include "format/bls-name.h"
#include "ground/error.h"
#include "ground/types.h"
#include "target/btrfs-files.h"
#include "target/ext4.h"
#include "target/mbr-partitions.h"

#include <string.h>

/* More programs or entries than this in one directory are no menu: the rest is not read. */
#define MAX_NAMES 512

/*
 * What the texts of all entries and programs may have together: 512 entries of 32 KiB.  The files
 * of a FAT can share their clusters, and each be as long as an entry may be: without this a disk of
 * 4 MiB would ask for gigabytes.  What is behind it is not read.
 */
#define MAX_TEXT ((size_t)16 << 20)

DpsFileInfo *
dps_boot_lookup(const DpsBootPart *part, const char *path)
{
	DpsFileInfo *info = NULL;

	if (!part->files || !dps_files_lookup(part->files, path, &info, NULL))
		return NULL;
	return info;
}

gboolean
dps_boot_exists(const DpsBootPart *part, const char *path)
{
	g_autoptr(DpsFileInfo) info = dps_boot_lookup(part, path);

	return info != NULL;
}

GPtrArray *
dps_boot_list(const DpsBootPart *part, const char *path)
{
	GPtrArray *names = part->files ? dps_files_list(part->files, path, NULL) : NULL;

	if (!names)
		names = g_ptr_array_new_with_free_func((GDestroyNotify)dps_file_info_free);
	if (names->len > MAX_NAMES)
		g_ptr_array_set_size(names, MAX_NAMES);
	return names;
}

void
dps_program_free(DpsProgram *program)
{
	if (!program)
		return;

	g_free(program->path);
	g_free(program->name);
	g_free(program->problem);
	if (program->is_pe)
		dps_uki_clear(&program->uki);
	g_free(program);
}

/* The architecture in "BOOTX64.EFI"; NONE when it is another name. */
static DpsArch
arch_of_fallback_name(const char *name)
{
	g_autofree char *upper = g_ascii_strup(name, -1);

	if (!g_str_has_prefix(upper, "BOOT") || !g_str_has_suffix(upper, ".EFI"))
		return DPS_ARCH_NONE;

	upper[strlen(upper) - 4] = '\0';
	for (DpsArch arch = DPS_ARCH_NONE + 1; dps_arch_to_string(arch); arch++)
		if (g_strcmp0(upper + 4, dps_arch_get_efi_suffix(arch)) == 0)
			return arch;
	return DPS_ARCH_NONE;
}

DpsProgram *
dps_program_read(DpsBootPart *part, const char *path)
{
	DpsProgram *program = g_new0(DpsProgram, 1);
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsFile) file = NULL;

	program->part = part;
	program->path = g_strdup(path);
	program->name = g_path_get_basename(path);
	program->name_arch = arch_of_fallback_name(program->name);

	file = dps_files_open(part->files, path, &error);
	if (file) {
		program->size = dps_file_get_region(file)->size;
		program->is_pe = dps_uki_read(dps_file_get_region(file), &program->uki, &error);
	}
	if (!program->is_pe)
		program->problem = g_strdup(error->message);
	return program;
}

static void
boot_entry_free(DpsBootEntry *entry)
{
	g_free(entry->path);
	dps_cmdline_clear(&entry->cmdline);
	g_free(entry);
}

static void
part_clear(DpsBootPart *part)
{
	g_clear_pointer(&part->own_files, dps_files_free);
	g_clear_pointer(&part->esp, dps_esp_free);
	g_clear_pointer(&part->problem, g_free);
}

static void
part_free(DpsBootPart *part)
{
	part_clear(part);
	g_free(part);
}

void
dps_boot_free(DpsBoot *self)
{
	if (!self)
		return;

	g_ptr_array_unref(self->entries);
	g_ptr_array_unref(self->grub_lines);
	g_ptr_array_unref(self->bls);
	g_ptr_array_unref(self->ukis);
	g_ptr_array_unref(self->fallbacks);
	dps_program_free(self->second);
	g_free(self->uki_path);
	g_ptr_array_unref(self->others);
	g_ptr_array_unref(self->mbr_partitions);
	part_clear(&self->xbootldr);
	part_clear(&self->esp);
	g_free(self);
}

/* The mount of @partition below the tree; NULL: it is not mounted there. */
static const DpsMount *
find_mount(DpsDisk *disk, DpsTree *tree, DpsPartition *partition)
{
	GPtrArray *mounts = tree ? dps_tree_get_mounts(tree) : NULL;

	for (guint i = 0; mounts && i < mounts->len; i++) {
		const DpsMount *mount = mounts->pdata[i];

		for (guint j = 0; j < mount->backings->len; j++) {
			DpsPartition *found = NULL;

			if (dps_disk_find_backing(disk, mount->backings->pdata[j], &found) &&
			    found == partition)
				return mount;
		}
	}
	return NULL;
}

/* libblkid knows no FAT16 with too many clusters, and Linux mounts it: firmware's quarrel with it
 * is to be told as such. */
static gboolean
is_fat(DpsPartition *partition)
{
	DpsFatGeometry geometry;

	if (g_strcmp0(partition->content.type, "vfat") == 0)
		return TRUE;

	return partition->content.kind == DPS_CONTENT_NONE &&
	       dps_fat_read_geometry(&partition->region, &geometry, NULL);
}

/*
 * The files of a boot partition: of its mount, for the kernel may not have written everything, else
 * of the partition itself.
 */
static void
open_part(DpsBootPart *part, DpsDisk *disk, DpsTree *tree, DpsPartition *partition)
{
	const DpsMount *mount = find_mount(disk, tree, partition);
	const char *type = partition->content.type;
	g_autoptr(GError) error = NULL;

	part->partition = partition;
	part->is_fat = is_fat(partition);
	if (part->is_fat) {
		if (mount)
			part->esp = dps_esp_open_dir(mount->path, NULL);
		if (!part->esp)
			part->esp = dps_esp_open_region(&partition->region, &error);
		if (part->esp)
			part->files = dps_esp_get_files(part->esp);
	} else if (type && g_str_has_prefix(type, "ext")) {
		part->files = part->own_files = dps_ext4_open(&partition->region, &error);
	} else if (g_strcmp0(type, "btrfs") == 0 && partition->btrfs) {
		part->files = part->own_files = dps_btrfs_open_files(
			&partition->region, dps_btrfs_get_default_id(partition->btrfs), &error);
	} else {
		dps_throw(&error, DPS_ERROR_UNSUPPORTED, "%s cannot be read without a mount",
			  dps_partition_describe_content(partition));
	}
	if (!part->files)
		part->problem = g_strdup(error ? error->message : "cannot be read");
}

static void
read_fallbacks(DpsBoot *self)
{
	g_autoptr(GPtrArray) names = dps_boot_list(&self->esp, "/EFI/BOOT");

	for (guint i = 0; i < names->len; i++) {
		const DpsFileInfo *info = names->pdata[i];
		g_autofree char *path = g_strconcat("/EFI/BOOT/", info->name, NULL);

		if (info->kind == DPS_FILE_REGULAR &&
		    arch_of_fallback_name(info->name) != DPS_ARCH_NONE)
			g_ptr_array_add(self->fallbacks, dps_program_read(&self->esp, path));
	}
}

/*
 * Whether an initrd does not need root= and waits for no root by its type: that of a live system
 * looks for a squashfs (casper(7), live-boot(7), the README of archiso), NixOS' has an fstab.
 */
static gboolean
finds_root(const DpsCmdline *cmdline)
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
	entry->finds_root = finds_root(&entry->cmdline);
	g_ptr_array_add(self->entries, entry);
}

static gboolean
take_text(DpsBoot *self, size_t size)
{
	gboolean is_there = size <= self->text_left;

	self->text_left = is_there ? self->text_left - size : 0;
	return is_there;
}

static size_t
count_text(const DpsProgram *program)
{
	size_t size = 0;

	for (guint i = 0; program->is_pe && i < program->uki.strings->len; i++)
		size += strlen(program->uki.strings->pdata[i]);
	return size;
}

static void
read_type1(DpsBoot *self, DpsBootPart *part, const char *directory)
{
	g_autoptr(GPtrArray) names = dps_boot_list(part, directory);

	for (guint i = 0; i < names->len; i++) {
		const DpsFileInfo *info = names->pdata[i];
		g_autofree char *path = g_strconcat(directory, "/", info->name, NULL);
		g_autofree char *lower = g_ascii_strdown(info->name, -1);
		g_autofree char *text = NULL;
		size_t size;

		if (info->kind == DPS_FILE_DIRECTORY || !g_str_has_suffix(lower, ".conf") ||
		    *lower == '.' || g_str_has_prefix(lower, "auto-"))
			continue;
		text = dps_files_read(part->files, path, DPS_BLS_MAX_FILE_SIZE, &size, NULL);
		if (text && !take_text(self, size))
			return;
		if (text)
			add_entry(self, part, path, dps_bls_entry_parse(info->name, text, size),
				  NULL, "");
	}
}

/* What the stub adds for one directory of addons, in the order of their names: those for another
 * machine or another kernel it skips.  Source: systemd-stub(7). */
static void
append_addons(DpsBoot *self, DpsBootPart *part, const char *directory, const DpsUki *uki,
	      GString *options)
{
	g_autoptr(GPtrArray) names = dps_boot_list(part, directory);

	for (guint i = 0; i < names->len; i++) {
		const DpsFileInfo *info = names->pdata[i];
		g_autofree char *path = g_strconcat(directory, "/", info->name, NULL);
		g_autofree char *lower = g_ascii_strdown(info->name, -1);
		DpsProgram *addon;

		if (info->kind != DPS_FILE_REGULAR || !g_str_has_suffix(lower, ".addon.efi"))
			continue;
		addon = dps_program_read(part, path);
		if (take_text(self, count_text(addon)) && addon->is_pe && !addon->uki.has_linux &&
		    addon->uki.cmdline && addon->uki.pe.machine == uki->pe.machine &&
		    (!addon->uki.uname || !uki->uname || strcmp(addon->uki.uname, uki->uname) == 0))
			g_string_append_printf(options, " %s", addon->uki.cmdline);
		dps_program_free(addon);
	}
}

/* The words that addons add to the command line of a UKI: the global ones first. */
static char *
read_addons(DpsBoot *self, DpsBootPart *part, const DpsProgram *program)
{
	GString *options = g_string_new(NULL);
	g_auto(DpsBlsName) name = { 0 };
	g_autofree char *own = NULL;

	if (program->is_pe) {
		dps_bls_name_parse(program->name, ".efi", &name);
		own = g_strdup_printf("/EFI/Linux/%s.extra.d", name.id);
		append_addons(self, part, "/loader/addons", &program->uki, options);
		append_addons(self, part, own, &program->uki, options);
	}
	return g_string_free(options, FALSE);
}

static void
read_type2(DpsBoot *self, DpsBootPart *part)
{
	g_autoptr(GPtrArray) names = dps_boot_list(part, "/EFI/Linux");

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
		program = dps_program_read(part, path);
		g_ptr_array_add(self->ukis, program);
		if (!take_text(self, count_text(program)))
			return;
		if (g_str_has_suffix(lower, ".addon.efi"))
			continue;
		addons = read_addons(self, part, program);
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
	g_autofree char *text = dps_files_read(part->files, path, DPS_FILES_MAX_TEXT, NULL, NULL);
	char *rest = text, *next;

	/* In place: a menu of line breaks has millions of lines. */
	while ((next = strsep(&rest, "\n")) && self->grub_lines->len < MAX_NAMES) {
		const char *line = g_strchug(next);
		size_t command = strcspn(line, " \t");
		g_autofree char *program = NULL;
		DpsBootEntry *entry;

		if (!((command == 5 && strncmp(line, "linux", 5) == 0) ||
		      (command == 8 && strncmp(line, "linuxefi", 8) == 0) ||
		      (command == 7 && strncmp(line, "linux16", 7) == 0)))
			continue;
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
		entry->finds_root = finds_root(&entry->cmdline);
		g_ptr_array_add(self->grub_lines, entry);
	}
}

static void
read_grub(DpsBoot *self, DpsBootPart *part, const char *prefix)
{
	static const char *const paths[] = {
		"/grub/grub.cfg",
		"/grub2/grub.cfg",
		"/boot/grub/grub.cfg",
		"/boot/grub2/grub.cfg",
	};

	for (guint i = 0; i < G_N_ELEMENTS(paths); i++) {
		g_autofree char *path = g_strconcat(prefix, paths[i], NULL);

		if (dps_boot_exists(part, path))
			read_grub_cfg(self, part, path);
	}
}

/* GRUB's files below one directory of a partition that only GRUB reads. */
static void
read_below(DpsBoot *self, DpsBootPart *part, const char *prefix)
{
	g_autofree char *own = g_strconcat(prefix, "/loader/entries", NULL);
	g_autofree char *boot = g_strconcat(prefix, "/boot/loader/entries", NULL);

	read_type1(self, part, own);
	read_type1(self, part, boot);
	read_grub(self, part, prefix);
}

/* Partitions that no firmware reads and GRUB does: its menu, or BLS entries, may be there. */
static void
read_other(DpsBoot *self, DpsDisk *disk, DpsPartition *partition)
{
	DpsBootPart *part = g_new0(DpsBootPart, 1);

	open_part(part, disk, NULL, partition);
	if (!part->files) {
		part_free(part);
		self->has_unread = TRUE;
		return;
	}
	g_ptr_array_add(self->others, part);
	read_below(self, part, "");
	/* The subvolumes that distributions put root in, below the one that is mounted. */
	if (partition->btrfs) {
		read_below(self, part, "/root");
		read_below(self, part, "/@");
		read_below(self, part, "/@rootfs");
	}
}

static void
read_others(DpsBoot *self, DpsDisk *disk)
{
	for (guint i = 0; i < dps_disk_get_n_partitions(disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(disk, i);
		const char *type = partition->content.type;

		if (partition == self->esp.partition || partition == self->xbootldr.partition ||
		    !type || dps_partition_is_member(partition) ||
		    !(g_str_has_prefix(type, "ext") || g_strcmp0(type, "btrfs") == 0))
			continue;
		read_other(self, disk, partition);
	}
}

/* The same of a disk with an MBR table, and the unified kernel images on a FAT. */
static void
read_mbr_partitions(DpsBoot *self, DpsDisk *disk)
{
	for (guint i = 0; i < self->mbr_partitions->len; i++) {
		DpsPartition *partition = self->mbr_partitions->pdata[i];
		guint n = self->others->len;

		if (partition->content.kind == DPS_CONTENT_SWAP)
			continue;
		if (partition->content.kind != DPS_CONTENT_FILE_SYSTEM ||
		    dps_partition_is_member(partition)) {
			self->has_unread |= partition->content.kind != DPS_CONTENT_NONE;
			continue;
		}
		read_other(self, disk, partition);
		if (self->others->len > n && ((DpsBootPart *)self->others->pdata[n])->is_fat)
			read_type2(self, self->others->pdata[n]);
	}
}

/* The files that a caller says are the ESP's, where it is mounted. */
static gboolean
open_esp_dir(DpsBoot *self, DpsDisk *disk, const char *path, GError **error)
{
	DpsBootPart *part = &self->esp;

	if (!part->partition)
		return dps_throw(
			error, DPS_ERROR_NOT_FOUND,
			"%s: %s: the disk has no ESP that could have these files: leave it "
			"out, or give a partition the type first: dps-tag apply",
			dps_disk_get_path(disk), path);
	part->esp = dps_esp_open_dir(path, error);
	if (!part->esp)
		return FALSE;

	part->is_fat = is_fat(part->partition);
	part->files = dps_esp_get_files(part->esp);
	return TRUE;
}

DpsBoot *
dps_boot_read(DpsDisk *disk, DpsTree *tree, const char *esp, GError **error)
{
	g_autoptr(DpsBoot) self = g_new0(DpsBoot, 1);

	self->text_left = MAX_TEXT;
	self->others = g_ptr_array_new_with_free_func((GDestroyNotify)part_free);
	self->mbr_partitions = dps_mbr_list_partitions(disk);
	self->fallbacks = g_ptr_array_new_with_free_func((GDestroyNotify)dps_program_free);
	self->ukis = g_ptr_array_new_with_free_func((GDestroyNotify)dps_program_free);
	self->bls = g_ptr_array_new_with_free_func((GDestroyNotify)dps_bls_entry_free);
	self->entries = g_ptr_array_new_with_free_func((GDestroyNotify)boot_entry_free);
	self->grub_lines = g_ptr_array_new_with_free_func((GDestroyNotify)boot_entry_free);

	/* The first ESP without bit 1 is the one that firmware and systemd take; a hidden one when
	 * there is no other, so that its files are judged all the same. */
	for (guint i = 0; i < dps_disk_get_n_partitions(disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(disk, i);
		DpsRole role = partition->type ? partition->type->role : DPS_ROLE_NONE;

		if (role == DPS_ROLE_ESP &&
		    (!self->esp.partition ||
		     (self->esp.partition->attributes & DPS_FLAG_NO_BLOCK_IO &&
		      !(partition->attributes & DPS_FLAG_NO_BLOCK_IO))))
			self->esp.partition = partition;
		if (role == DPS_ROLE_XBOOTLDR && !self->xbootldr.partition &&
		    !(partition->attributes & DPS_FLAG_NO_AUTO))
			self->xbootldr.partition = partition;
	}
	if (esp) {
		if (!open_esp_dir(self, disk, esp, error))
			return NULL;
	} else if (self->esp.partition) {
		open_part(&self->esp, disk, tree, self->esp.partition);
	}
	if (self->xbootldr.partition)
		open_part(&self->xbootldr, disk, tree, self->xbootldr.partition);

	read_fallbacks(self);
	read_type1(self, &self->esp, "/loader/entries");
	read_type2(self, &self->esp);
	read_grub(self, &self->esp, "");
	read_type1(self, &self->xbootldr, "/loader/entries");
	read_type2(self, &self->xbootldr);
	read_grub(self, &self->xbootldr, "");
	read_others(self, disk);
	read_mbr_partitions(self, disk);
	return g_steal_pointer(&self);
}

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
		 self->esp.problem || self->xbootldr.problem ||
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
