/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/mentions.h"
#include "format/uki.h"
#include "ground/error.h"
#include "target/esp.h"
#include "target/image.h"

#include <string.h>
#include <unistd.h>

/* Files that are looked into, in all: more than all menus of a disk have. */
#define MAX_FILES 4096

/* Who is looked for, and where it was found. */
typedef struct {
	const char *uuid;  /* lower case */
	const char *where; /* "partition 1: ", "" for the tree */
	GPtrArray *found;
	guint n_files;
} Search;

static gboolean
is_named_in(Search *search, const char *text, size_t size)
{
	g_autofree char *lower = text ? g_ascii_strdown(text, (gssize)size) : NULL;

	return lower && memmem(lower, size, search->uuid, strlen(search->uuid));
}

static void
note(Search *search, const char *path)
{
	g_ptr_array_add(search->found, g_strconcat(search->where, path, NULL));
}

/* It may be named in what cannot be read: that is no reason to change it. */
#define NOT_ALL ", for all that can be read of it"

static void
note_unread(Search *search, const char *path)
{
	g_autofree char *text = g_strconcat(path, NOT_ALL, NULL);

	note(search, text);
}

/* Whether a file or directory is there and does not let itself be read.  What is not there, or is
 * something else, has no names in it. */
static gboolean
is_lost(const GError *error)
{
	return g_error_matches(error, DPS_ERROR, DPS_ERROR_IO) ||
	       g_error_matches(error, DPS_ERROR, DPS_ERROR_CORRUPT);
}

/* Whether one file more may be looked into; the first that may not be is noted. */
static gboolean
take_file(Search *search, const char *path)
{
	if (search->n_files == MAX_FILES)
		note_unread(search, path);
	return search->n_files++ < MAX_FILES;
}

static void
search_text(Search *search, DpsFiles *files, const char *path)
{
	g_autoptr(GError) error = NULL;
	size_t size;
	g_autofree char *text = dps_files_read(files, path, DPS_FILES_MAX_TEXT, &size, &error);

	if (text && is_named_in(search, text, size))
		note(search, path);
	else if (is_lost(error))
		note_unread(search, path);
}

static void
search_uki(Search *search, DpsFiles *files, const char *path)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsFile) file = dps_files_open(files, path, &error);
	g_auto(DpsUki) uki = { 0 };

	if (!file || !dps_uki_read(dps_file_get_region(file), &uki, &error)) {
		/* What is no EFI program is corrupt, too, and names nothing. */
		if (g_error_matches(error, DPS_ERROR, DPS_ERROR_IO))
			note_unread(search, path);
		return;
	}

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

/* (nullable): what is in a directory; NULL: it is not there, or is noted. */
static GPtrArray *
list(Search *search, DpsFiles *files, const char *directory)
{
	g_autoptr(GError) error = NULL;
	GPtrArray *infos = dps_files_list(files, directory, &error);

	if (is_lost(error))
		note_unread(search, directory);
	return infos;
}

/* Boot entries, GRUB's configuration and programs in one directory. */
static void
search_directory(Search *search, DpsFiles *files, const char *directory)
{
	g_autoptr(GPtrArray) infos = list(search, files, directory);

	for (guint i = 0; infos && i < infos->len; i++) {
		const DpsFileInfo *info = infos->pdata[i];
		g_autofree char *path = g_build_filename(directory, info->name, NULL);
		gboolean is_program = has_suffix(info->name, ".efi");

		if (info->kind != DPS_FILE_REGULAR || info->is_name_damaged ||
		    !(is_program || has_suffix(info->name, ".conf") ||
		      has_suffix(info->name, ".cfg")))
			continue;
		if (!take_file(search, path))
			return;
		if (is_program)
			search_uki(search, files, path);
		else
			search_text(search, files, path);
	}
}

/* The directories in a directory: of vendors in EFI, of a UKI's own addons in EFI/Linux. */
static void
search_directories(Search *search, DpsFiles *files, const char *top, const char *suffix)
{
	g_autoptr(GPtrArray) infos = list(search, files, top);

	for (guint i = 0; infos && i < infos->len; i++) {
		const DpsFileInfo *info = infos->pdata[i];
		g_autofree char *path = g_build_filename(top, info->name, NULL);

		if (info->kind != DPS_FILE_DIRECTORY || info->is_name_damaged ||
		    (*suffix && !has_suffix(info->name, suffix)))
			continue;
		if (!take_file(search, path))
			return;
		search_directory(search, files, path);
	}
}

/* A file system that boots, mounted at @top of @files: "" for its own root. */
static void
search_boot(Search *search, DpsFiles *files, const char *top)
{
	static const char *const directories[] = { "loader/entries", "loader", "loader/addons",
						   "grub", "grub2" };
	g_autofree char *vendors = g_build_filename("/", top, "EFI", NULL);
	g_autofree char *linux_images = g_build_filename(vendors, "Linux", NULL);

	for (guint i = 0; i < G_N_ELEMENTS(directories); i++) {
		g_autofree char *path = g_build_filename("/", top, directories[i], NULL);

		search_directory(search, files, path);
	}
	search_directories(search, files, vendors, "");
	search_directories(search, files, linux_images, ".extra.d");
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

/* What a system says of its partitions before it has them: @top is where its files begin. */
static void
search_system(Search *search, DpsFiles *files, const char *top)
{
	static const char *const texts[] = { "etc/fstab", "etc/crypttab", "etc/kernel/cmdline",
					     "usr/lib/kernel/cmdline", "etc/default/grub" };

	for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
		g_autofree char *path = g_build_filename("/", top, texts[i], NULL);

		search_text(search, files, path);
	}
}

static const char *const boot_directories[] = { "/boot", "/boot/efi", "/efi" };

static void
search_tree(DpsPlan *plan, Search *search)
{
	DpsFiles *files = dps_tree_get_files(plan->tree);

	search_system(search, files, "");
	for (guint i = 0; i < G_N_ELEMENTS(boot_directories); i++)
		if (!is_partition_of_disk(plan, boot_directories[i]))
			search_boot(search, files, boot_directories[i]);
}

/* Whether the tree is what the partition holds, and is searched as that. */
static gboolean
is_of_tree(DpsPlan *plan, DpsPartition *partition)
{
	const DpsTreeOrigin *origin = plan->tree ? dps_tree_get_origin(plan->tree) : NULL;
	const DpsMount *mount = plan->tree ? dps_tree_get_mount(plan->tree, "/") : NULL;
	DpsPartition *below;

	if (origin)
		return origin->partition == partition->number;
	return mount && mount->backings->len == 1 &&
	       dps_disk_find_backing(plan->disk, mount->backings->pdata[0], &below) &&
	       below == partition;
}

/* Returns: whether it could be looked into */
static gboolean
search_esp(DpsPartition *partition, Search *search)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsEsp) esp = dps_esp_open_region(&partition->region, &error);

	if (esp)
		search_boot(search, dps_esp_get_files(esp), "");
	return !is_lost(error);
}

/* A system, or the /boot of one.  @root: what dps_image_list_roots() says of it, or NULL.  Returns:
 * whether it could be looked into; what nobody can read without a mount is not looked for. */
static gboolean
search_linux(DpsPartition *partition, const DpsImageRoot *root, Search *search)
{
	g_autoptr(GError) error = NULL;
	const char *top = root && root->directory ? root->directory : "";
	int fd;
	DpsFiles *files =
		dps_image_open_files(partition, root ? root->subvolume_id : 0, &fd, &error);

	if (!files)
		return !is_lost(error);

	search_boot(search, files, "");
	search_system(search, files, top);
	for (guint i = 0; i < G_N_ELEMENTS(boot_directories); i++) {
		g_autofree char *path = g_build_filename("/", top, boot_directories[i], NULL);

		search_boot(search, files, path);
	}
	dps_files_free(files);
	close(fd);
	return TRUE;
}

static const DpsImageRoot *
find_root(GPtrArray *roots, guint number)
{
	for (guint i = 0; i < roots->len; i++) {
		const DpsImageRoot *root = roots->pdata[i];

		if (root->partition == number)
			return root;
	}
	return NULL;
}

static gboolean
search_partition(DpsPlan *plan, DpsPartition *partition, GPtrArray *roots, Search *search)
{
	if (dps_partition_is_unreadable(partition))
		return FALSE;
	if (g_strcmp0(partition->content.type, "vfat") == 0)
		return search_esp(partition, search);
	if (partition->content.kind != DPS_CONTENT_FILE_SYSTEM || is_of_tree(plan, partition))
		return TRUE;
	return search_linux(partition, find_root(roots, partition->number), search);
}

GPtrArray *
dps_plan_list_mentions(DpsPlan *plan, const char *uuid)
{
	g_autofree char *lower = g_ascii_strdown(uuid, -1);
	g_autoptr(GPtrArray) roots = dps_image_list_roots(plan->disk);
	Search search = { lower, "", g_ptr_array_new_with_free_func(g_free), 0 };

	if (plan->tree)
		search_tree(plan, &search);
	for (guint i = 0; i < dps_disk_get_n_partitions(plan->disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(plan->disk, i);
		g_autofree char *where = g_strdup_printf("partition %u: ", partition->number);

		search.where = where;
		if (!search_partition(plan, partition, roots, &search))
			g_ptr_array_add(search.found,
					g_strdup_printf("partition %u" NOT_ALL, partition->number));
	}
	return search.found;
}
