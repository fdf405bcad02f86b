/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/boot-internal.h"
#include "ground/bytes.h"
#include "ground/error.h"
#include "ground/types.h"
#include "target/btrfs-files.h"
#include "target/ext4.h"
#include "target/mbr-partitions.h"

#include <string.h>

/* Of the superblock of Linux's RAID (md_p.h). */
#define MD_MAGIC 0xa92b4efcU

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

const char *
dps_boot_get_lost(const DpsBootPart *part, const char *path)
{
	return part->files ? dps_files_get_lost(part->files, path) : NULL;
}

gboolean
dps_boot_may_exist(const DpsBootPart *part, const char *path)
{
	return dps_boot_exists(part, path) || dps_boot_get_lost(part, path);
}

GPtrArray *
dps_boot_list(const DpsBootPart *part, const char *path)
{
	GPtrArray *names = part->files ? dps_files_list(part->files, path, NULL) : NULL;

	if (!names)
		names = g_ptr_array_new_with_free_func((GDestroyNotify)dps_file_info_free);
	if (names->len > DPS_BOOT_MAX_NAMES)
		g_ptr_array_set_size(names, DPS_BOOT_MAX_NAMES);
	return names;
}

/* Where so much was not read, it does not matter what. */
#define MAX_UNREAD 8

static void
unread_free(DpsBootUnread *unread)
{
	g_free(unread->reason);
	g_free(unread);
}

void
dps_boot_note_unread(DpsBoot *self, const DpsBootPart *part, const char *format, ...)
{
	g_autofree char *reason = NULL;
	DpsBootUnread *unread;
	va_list args;

	va_start(args, format);
	reason = self->unread->len < MAX_UNREAD ? g_strdup_vprintf(format, args)
						: g_strdup("there is more that was not read");
	va_end(args);
	for (guint i = 0; i < self->unread->len; i++) {
		const DpsBootUnread *known = self->unread->pdata[i];

		if ((known->part == part || i == MAX_UNREAD) && strcmp(known->reason, reason) == 0)
			return;
	}

	unread = g_new0(DpsBootUnread, 1);
	unread->part = part;
	unread->reason = g_steal_pointer(&reason);
	g_ptr_array_add(self->unread, unread);
}

GPtrArray *
dps_boot_list_all(DpsBoot *self, const DpsBootPart *part, const char *path)
{
	g_autoptr(GError) error = NULL;
	GPtrArray *names = part->files ? dps_files_list(part->files, path, &error) : NULL;

	/* That it is not there, or a file, is an answer. */
	if (error && !g_error_matches(error, DPS_ERROR, DPS_ERROR_NOT_FOUND) &&
	    !g_error_matches(error, DPS_ERROR, DPS_ERROR_INVALID))
		dps_boot_note_unread(self, part, "%s", error->message);
	if (!names)
		return g_ptr_array_new_with_free_func((GDestroyNotify)dps_file_info_free);
	if (names->len > DPS_BOOT_MAX_NAMES) {
		dps_boot_note_unread(self, part, "%s has %u names: the first %d are read", path,
				     names->len, DPS_BOOT_MAX_NAMES);
		g_ptr_array_set_size(names, DPS_BOOT_MAX_NAMES);
	}
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
dps_program_read(DpsBootPart *part, const char *path, DpsUkiDepth depth)
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
		program->is_pe =
			dps_uki_read_to(dps_file_get_region(file), depth, &program->uki, &error);
	}
	if (!program->is_pe) {
		dps_files_note_lost(part->files, path, error);
		program->problem = g_strdup(error->message);
	}
	return program;
}

DpsProgram *
dps_boot_read_program(DpsBoot *self, DpsBootPart *part, const char *path, DpsUkiDepth depth)
{
	DpsProgram *program = dps_program_read(part, path, depth);
	const char *lost = dps_boot_get_lost(part, path);

	if (lost)
		dps_boot_note_unread(self, part, "%s", lost);
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

static void
orphan_free(DpsShimOrphan *orphan)
{
	g_free(orphan->path);
	g_free(orphan->wanted);
	g_free(orphan);
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
	g_ptr_array_unref(self->unread);
	g_ptr_array_unref(self->orphans);
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

/* Whether the superblock of a RAID is at the end (mdadm's metadata 1.0 and 0.90), so that a member
 * of a mirror begins with what the mirror holds: 1.2 keeps it at byte 4096, and 1.1 in the boot
 * sector. */
static gboolean
is_mirror_of_front(DpsPartition *partition)
{
	uint8_t magic[4];

	return g_strcmp0(partition->content.type, "linux_raid_member") == 0 &&
	       dps_region_read(&partition->region, 4096, magic, sizeof magic, NULL) &&
	       dps_load_le32(magic) != MD_MAGIC;
}

/*
 * libblkid knows no FAT16 with too many clusters, and Linux mounts it: firmware's quarrel with it
 * is to be told as such.  It calls a member of a mirror just that, and firmware reads the FAT in
 * it.  And it gives up at a sector that cannot be read, which need not be one of the FAT's.
 */
static gboolean
is_fat(DpsPartition *partition)
{
	DpsFatGeometry geometry;

	if (g_strcmp0(partition->content.type, "vfat") == 0)
		return TRUE;

	return (partition->content.kind == DPS_CONTENT_NONE ||
		dps_partition_is_unreadable(partition) || is_mirror_of_front(partition)) &&
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
	} else if (partition->size == 0) {
		dps_throw(&error, DPS_ERROR_CORRUPT, "its entry leads outside of the disk");
	} else if (dps_partition_is_unreadable(partition)) {
		dps_throw(&error, DPS_ERROR_IO, "it cannot be read: %s",
			  partition->content.problem);
	} else if (!type) {
		dps_throw(&error, DPS_ERROR_UNSUPPORTED, "it holds %s",
			  dps_partition_describe_content(partition));
	} else {
		dps_throw(&error, DPS_ERROR_UNSUPPORTED, "%s cannot be read without a mount",
			  dps_partition_describe_content(partition));
	}
	if (!part->files) {
		part->problem = g_strdup(error ? error->message : "cannot be read");
		part->is_failing = g_error_matches(error, DPS_ERROR, DPS_ERROR_IO);
	}
}

static gboolean
has_fallback_for(DpsBoot *self, DpsArch arch)
{
	for (guint i = 0; i < self->fallbacks->len; i++)
		if (((const DpsProgram *)self->fallbacks->pdata[i])->name_arch == arch)
			return TRUE;
	return FALSE;
}

/* One an architecture: where a name is there twice, the first is the one that is found. */
static void
read_fallbacks(DpsBoot *self)
{
	g_autoptr(GPtrArray) names = dps_boot_list_all(self, &self->esp, "/EFI/BOOT");

	for (guint i = 0; i < names->len; i++) {
		const DpsFileInfo *info = names->pdata[i];
		g_autofree char *path = g_strconcat("/EFI/BOOT/", info->name, NULL);
		DpsArch arch = arch_of_fallback_name(info->name);

		if (info->kind == DPS_FILE_REGULAR && arch != DPS_ARCH_NONE &&
		    !has_fallback_for(self, arch))
			g_ptr_array_add(self->fallbacks,
					dps_boot_read_program(self, &self->esp, path, DPS_UKI_ALL));
	}
}

/* GRUB's files below one directory of a partition that only GRUB reads. */
static void
read_below(DpsBoot *self, DpsBootPart *part, const char *prefix)
{
	g_autofree char *own = g_strconcat(prefix, "/loader/entries", NULL);
	g_autofree char *boot = g_strconcat(prefix, "/boot/loader/entries", NULL);

	dps_boot_read_type1(self, part, own);
	dps_boot_read_type1(self, part, boot);
	dps_boot_read_grub(self, part, prefix);
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

		if (partition == self->esp.partition || partition == self->xbootldr.partition)
			continue;
		/* A menu of GRUB, or entries, may be there. */
		if (dps_partition_is_unreadable(partition))
			self->has_lost_part = TRUE;
		if (!type || dps_partition_is_member(partition) ||
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
			dps_boot_read_type2(self, self->others->pdata[n]);
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

	self->text_left = DPS_BOOT_MAX_TEXT;
	self->orphans = g_ptr_array_new_with_free_func((GDestroyNotify)orphan_free);
	self->unread = g_ptr_array_new_with_free_func((GDestroyNotify)unread_free);
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
	dps_boot_read_type1(self, &self->esp, "/loader/entries");
	dps_boot_read_type2(self, &self->esp);
	dps_boot_read_grub(self, &self->esp, "");
	dps_boot_read_type1(self, &self->xbootldr, "/loader/entries");
	dps_boot_read_type2(self, &self->xbootldr);
	dps_boot_read_grub(self, &self->xbootldr, "");
	read_others(self, disk);
	read_mbr_partitions(self, disk);
	return g_steal_pointer(&self);
}
