/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/mentions.h"
#include "format/bls.h"
#include "format/uki.h"
#include "target/esp.h"
#include "target/image.h"

#include <string.h>
#include <unistd.h>

/* Files of one directory that are looked into: more entries than any menu has. */
#define MAX_FILES 512

/* Who is looked for, and where it was found. */
typedef struct {
	const char *uuid;  /* lower case */
	const char *where; /* "partition 1: ", "" for the tree */
	GPtrArray *found;
} Search;

static gboolean
is_named_in(const Search *search, const char *text, size_t size)
{
	g_autofree char *lower = text ? g_ascii_strdown(text, (gssize)size) : NULL;

	return lower && memmem(lower, size, search->uuid, strlen(search->uuid));
}

static void
note(const Search *search, const char *path)
{
	g_ptr_array_add(search->found, g_strconcat(search->where, path, NULL));
}

static void
search_text(const Search *search, DpsFiles *files, const char *path)
{
	size_t size;
	g_autofree char *text = dps_files_read(files, path, DPS_BLS_MAX_FILE_SIZE, &size, NULL);

	if (text && is_named_in(search, text, size))
		note(search, path);
}

static void
search_uki(const Search *search, DpsFiles *files, const char *path)
{
	g_autoptr(DpsFile) file = dps_files_open(files, path, NULL);
	g_auto(DpsUki) uki = { 0 };

	if (!file || !dps_uki_read(dps_file_get_region(file), &uki, NULL))
		return;

	for (guint i = 0; i < uki.profiles->len; i++) {
		const DpsUkiProfile *profile = uki.profiles->pdata[i];

		if (profile->cmdline &&
		    is_named_in(search, profile->cmdline, strlen(profile->cmdline))) {
			note(search, path);
			return;
		}
	}
	if (uki.cmdline && is_named_in(search, uki.cmdline, strlen(uki.cmdline)))
		note(search, path);
}

static gboolean
has_suffix(const char *name, const char *suffix)
{
	size_t size = strlen(name), suffix_size = strlen(suffix);

	return size > suffix_size && g_ascii_strcasecmp(name + size - suffix_size, suffix) == 0;
}

/* Boot entries, GRUB's configuration and programs in one directory. */
static void
search_directory(const Search *search, DpsFiles *files, const char *directory)
{
	g_autoptr(GPtrArray) infos = dps_files_list(files, directory, NULL);
	guint n = 0;

	for (guint i = 0; infos && i < infos->len && n < MAX_FILES; i++) {
		const DpsFileInfo *info = infos->pdata[i];
		g_autofree char *path = g_build_filename(directory, info->name, NULL);

		if (info->kind != DPS_FILE_REGULAR || info->is_name_damaged)
			continue;
		if (has_suffix(info->name, ".efi"))
			search_uki(search, files, path);
		else if (has_suffix(info->name, ".conf") || has_suffix(info->name, ".cfg"))
			search_text(search, files, path);
		else
			continue;
		n++;
	}
}

/* A file system that boots, mounted at @top of @files: "" for its own root. */
static void
search_boot(const Search *search, DpsFiles *files, const char *top)
{
	static const char *const directories[] = { "loader/entries", "loader", "grub", "grub2" };
	g_autofree char *vendors = g_build_filename("/", top, "EFI", NULL);
	g_autoptr(GPtrArray) infos = dps_files_list(files, vendors, NULL);

	for (guint i = 0; i < G_N_ELEMENTS(directories); i++) {
		g_autofree char *path = g_build_filename("/", top, directories[i], NULL);

		search_directory(search, files, path);
	}
	for (guint i = 0; infos && i < infos->len && i < MAX_FILES; i++) {
		const DpsFileInfo *info = infos->pdata[i];
		g_autofree char *path = g_build_filename(vendors, info->name, NULL);

		if (info->kind == DPS_FILE_DIRECTORY && !info->is_name_damaged)
			search_directory(search, files, path);
	}
}

/* Whether a directory of the tree is a partition of the disk, which is searched by itself. */
static gboolean
is_partition_of_disk(DpsPlan *plan, const char *mount_point)
{
	const DpsMount *mount = dps_tree_get_mount(plan->tree, mount_point);
	DpsPartition *partition;

	return mount && mount->backings->len == 1 &&
	       dps_disk_find_backing(plan->disk, mount->backings->pdata[0], &partition) &&
	       (g_strcmp0(mount->fs_type, "vfat") == 0 || g_str_has_prefix(mount->fs_type, "ext"));
}

static void
search_tree(DpsPlan *plan, const Search *search)
{
	static const char *const texts[] = { "/etc/fstab", "/etc/crypttab", "/etc/kernel/cmdline",
					     "/usr/lib/kernel/cmdline", "/etc/default/grub" };
	static const char *const boot[] = { "/boot", "/boot/efi", "/efi" };
	DpsFiles *files = dps_tree_get_files(plan->tree);

	for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
		search_text(search, files, texts[i]);
	for (guint i = 0; i < G_N_ELEMENTS(boot); i++)
		if (!is_partition_of_disk(plan, boot[i]))
			search_boot(search, files, boot[i]);
}

/* A FAT, or the ext4 that is /boot. */
static void
search_partition(DpsPartition *partition, const Search *search)
{
	if (dps_partition_is_unreadable(partition)) {
		/* It may be there. */
		g_ptr_array_add(search->found, g_strdup_printf("partition %u, for all that can be "
							       "read of it",
							       partition->number));
	} else if (g_strcmp0(partition->content.type, "vfat") == 0) {
		g_autoptr(DpsEsp) esp = dps_esp_open_region(&partition->region, NULL);

		if (esp)
			search_boot(search, dps_esp_get_files(esp), "");
	} else if (g_strcmp0(partition->content.type, "ext4") == 0) {
		int fd;
		DpsFiles *files = dps_image_open_files(partition, 0, &fd, NULL);

		if (!files)
			return;
		search_boot(search, files, "");
		dps_files_free(files);
		close(fd);
	}
}

GPtrArray *
dps_plan_list_mentions(DpsPlan *plan, const char *uuid)
{
	g_autofree char *lower = g_ascii_strdown(uuid, -1);
	Search search = { lower, "", g_ptr_array_new_with_free_func(g_free) };

	if (plan->tree)
		search_tree(plan, &search);
	for (guint i = 0; i < dps_disk_get_n_partitions(plan->disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(plan->disk, i);
		g_autofree char *where = g_strdup_printf("partition %u: ", partition->number);

		search.where = where;
		search_partition(partition, &search);
	}
	return search.found;
}
