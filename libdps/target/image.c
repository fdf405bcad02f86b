/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/image.h"
#include "format/os-release.h"
#include "ground/error.h"
#include "target/btrfs-files.h"
#include "target/disk.h"
#include "target/ext4.h"
#include "target/machine.h"
#include "target/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* os-release(5) names no limit; the largest in use are below 1 KiB. */
#define MAX_OS_RELEASE 65536

/* ostree keeps two or three, and those that are pinned (ostree-admin-pin(1)). */
#define MAX_DEPLOYMENTS 64U

static void
image_root_free(DpsImageRoot *root)
{
	g_free(root->fs_type);
	g_free(root->os);
	g_free(root->subvolume);
	g_free(root->directory);
	g_free(root->problem);
	g_free(root);
}

static gboolean
is_ext4(const char *type)
{
	return g_strcmp0(type, "ext4") == 0 || g_strcmp0(type, "ext3") == 0 ||
	       g_strcmp0(type, "ext2") == 0;
}

DpsFiles *
dps_image_open_files(DpsPartition *partition, uint64_t subvolume_id, int *fd, GError **error)
{
	const char *type = partition->content.type;
	DpsRegion region = partition->region;
	DpsFiles *files;
	int own;

	if (partition->content.kind == DPS_CONTENT_LUKS)
		return dps_throw_null(error, DPS_ERROR_UNSUPPORTED, "it is encrypted");
	if (dps_partition_is_unreadable(partition))
		return dps_throw_null(error, DPS_ERROR_IO, "it cannot be read: %s",
				      partition->content.problem);
	if (dps_partition_is_member(partition))
		return dps_throw_null(error, DPS_ERROR_UNSUPPORTED,
				      "it is a member of a larger whole");
	if (!is_ext4(type) && g_strcmp0(type, "btrfs") != 0)
		return dps_throw_null(error, DPS_ERROR_UNSUPPORTED,
				      "%s cannot be read without a mount: btrfs and ext4 can",
				      dps_partition_describe_content(partition));

	own = fcntl(region.fd, F_DUPFD_CLOEXEC, 3);
	if (own < 0)
		return dps_throw_errno_null(error, errno, "descriptor");
	region.fd = own;

	files = is_ext4(type) ? dps_ext4_open(&region, error)
			      : dps_btrfs_open_files(&region, subvolume_id, error);
	if (!files) {
		close(own);
		return NULL;
	}
	*fd = own;
	return files;
}

/*
 * What the system whose root these files are calls itself.  Sets @os to NULL when there is none.
 * The order is os-release(5)'s: the first file that is there counts.
 */
static gboolean
read_os(DpsFiles *files, char **os, GError **error)
{
	static const char *const paths[] = { "/etc/os-release", "/usr/lib/os-release" };

	*os = NULL;
	for (guint i = 0; i < G_N_ELEMENTS(paths) && !*os; i++) {
		g_auto(DpsOsRelease) os_release = { 0 };
		g_autoptr(DpsFileInfo) info = NULL;
		g_autofree char *text = NULL;
		const char *title;
		size_t size;

		if (!dps_files_lookup(files, paths[i], &info, error))
			return FALSE;
		if (!info || info->kind != DPS_FILE_REGULAR)
			continue;
		text = dps_files_read(files, paths[i], MAX_OS_RELEASE, &size, error);
		if (!text)
			return FALSE;

		dps_os_release_parse(text, size, &os_release);
		title = dps_os_release_get_title(&os_release);
		*os = g_strdup(title ? title : "a system without a name");
	}
	return TRUE;
}

/* One of them, or none; then @files are as before. */
static gboolean
read_deployment(DpsFiles *files, const char *path, char **os, GError **error)
{
	if (!dps_files_set_top(files, path, error) || !read_os(files, os, error))
		return FALSE;

	return *os || dps_files_set_top(files, NULL, error);
}

/*
 * Image mode has the system at ostree/deploy/NAME/deploy/CHECKSUM.SERIAL, and nothing at the top.
 * All deployments are of the same machine: the first that has an os-release speaks for it.
 * Source: ostree(1), "Anatomy of a deployment".
 */
static gboolean
find_deployment(DpsFiles *files, char **os, char **directory, GError **error)
{
	g_autoptr(GPtrArray) names = NULL;
	g_autoptr(DpsFileInfo) info = NULL;

	if (!dps_files_lookup(files, "/ostree/deploy", &info, error))
		return FALSE;
	if (!info || info->kind != DPS_FILE_DIRECTORY)
		return TRUE;
	names = dps_files_list(files, "/ostree/deploy", error);
	if (!names)
		return FALSE;

	for (guint i = 0; i < MIN(names->len, MAX_DEPLOYMENTS); i++) {
		const DpsFileInfo *name = names->pdata[i];
		g_autofree char *parent = g_strdup_printf("/ostree/deploy/%s/deploy", name->name);
		g_autoptr(GPtrArray) deployments = dps_files_list(files, parent, NULL);

		for (guint j = 0; deployments && j < MIN(deployments->len, MAX_DEPLOYMENTS); j++) {
			const DpsFileInfo *deployment = deployments->pdata[j];
			g_autofree char *path = g_strconcat(parent, "/", deployment->name, NULL);

			if (deployment->kind != DPS_FILE_DIRECTORY)
				continue;
			if (!read_deployment(files, path, os, error))
				return FALSE;
			if (*os) {
				*directory = g_steal_pointer(&path);
				return TRUE;
			}
		}
	}
	return TRUE;
}

/* One root, of the whole file system or of one subvolume. */
static gboolean
look_into(DpsPartition *partition, uint64_t subvolume_id, char **os, char **directory,
	  GError **error)
{
	g_autoptr(DpsFiles) files = NULL;
	gboolean ok;
	int fd;

	files = dps_image_open_files(partition, subvolume_id, &fd, error);
	if (!files)
		return FALSE;

	ok = read_os(files, os, error) && (*os || find_deployment(files, os, directory, error));
	g_clear_pointer(&files, dps_files_free);
	close(fd);
	return ok;
}

/* Notes in @root what system the subvolume of this name holds, if there is such a one. */
static gboolean
look_into_subvolume(DpsPartition *partition, const char *name, DpsImageRoot *root, GError **error)
{
	const DpsSubvolume *subvolume = dps_btrfs_find_path(partition->btrfs, name);
	g_autofree char *os = NULL, *directory = NULL;

	if (!subvolume)
		return TRUE;
	if (!look_into(partition, subvolume->id, &os, &directory, error))
		return FALSE;
	if (!os)
		return TRUE;
	if (root->os)
		return dps_throw(error, DPS_ERROR_AMBIGUOUS,
				 "there is a system in the subvolume %s and in %s, and neither is "
				 "the default",
				 root->subvolume, subvolume->path);

	root->os = g_steal_pointer(&os);
	root->directory = g_steal_pointer(&directory);
	root->subvolume_id = subvolume->id;
	root->subvolume = g_strdup(subvolume->path);
	return TRUE;
}

/*
 * The default subvolume is what a mount gets.  When it has no system, one of the names that
 * distributions use has it; when several have one, nothing says which.
 */
static gboolean
look_into_btrfs(DpsPartition *partition, DpsImageRoot *root, GError **error)
{
	static const char *const names[] = { "root", "@", "@rootfs" };
	const DpsSubvolume *subvolume;

	if (!partition->btrfs) {
		if (partition->btrfs_error)
			g_propagate_error(error, g_error_copy(partition->btrfs_error));
		return FALSE;
	}

	subvolume = dps_btrfs_find_id(partition->btrfs, dps_btrfs_get_default_id(partition->btrfs));
	if (subvolume && !look_into(partition, subvolume->id, &root->os, &root->directory, error))
		return FALSE;
	if (subvolume && root->os) {
		root->subvolume_id = subvolume->id;
		root->subvolume = g_strdup(subvolume->path);
		return TRUE;
	}

	for (guint i = 0; i < G_N_ELEMENTS(names); i++)
		if (!look_into_subvolume(partition, names[i], root, error))
			return FALSE;
	return TRUE;
}

static DpsImageRoot *
look_into_partition(DpsPartition *partition)
{
	DpsImageRoot *root = g_new0(DpsImageRoot, 1);
	g_autoptr(GError) error = NULL;
	gboolean ok;

	root->partition = partition->number;
	root->fs_type = g_strdup(partition->content.type);
	if (g_strcmp0(partition->content.type, "btrfs") == 0 && !dps_partition_is_member(partition))
		ok = look_into_btrfs(partition, root, &error);
	else
		ok = look_into(partition, 0, &root->os, &root->directory, &error);

	if (!ok) {
		root->problem = g_strdup(error ? error->message : "it cannot be read");
		g_clear_pointer(&root->os, g_free);
	}
	return root;
}

/* By its content as far as that is known; what cannot be read may be one, unless its type is of
 * something else. */
static gboolean
may_be_root(DpsPartition *partition)
{
	const DpsContent *content = &partition->content;
	DpsRole role = partition->type ? dps_type_get_role(partition->type) : DPS_ROLE_NONE;

	switch (content->kind) {
	case DPS_CONTENT_FILE_SYSTEM:
		return strcmp(content->type, "vfat") != 0;
	case DPS_CONTENT_LUKS:
		return TRUE;
	case DPS_CONTENT_UNREADABLE:
		return role == DPS_ROLE_ROOT || role == DPS_ROLE_LINUX_GENERIC;
	case DPS_CONTENT_NONE:
	case DPS_CONTENT_SWAP:
	case DPS_CONTENT_MEMBER:
	case DPS_CONTENT_VERITY:
	case DPS_CONTENT_AMBIGUOUS:
		break;
	}
	return FALSE;
}

GPtrArray *
dps_image_list_roots(DpsDisk *disk)
{
	GPtrArray *roots = g_ptr_array_new_with_free_func((GDestroyNotify)image_root_free);

	for (guint i = 0; i < dps_disk_get_n_partitions(disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(disk, i);

		if (may_be_root(partition))
			g_ptr_array_add(roots, look_into_partition(partition));
	}
	return roots;
}

static DpsTree *
open_tree(DpsDisk *disk, DpsPartition *partition, const DpsImageRoot *root, GError **error)
{
	gboolean has_subvolume = root->subvolume && strcmp(root->subvolume, "/") != 0;
	g_autofree char *name = g_strdup_printf(
		"%s: partition %u%s%s%s%s", dps_disk_get_path(disk), root->partition,
		has_subvolume ? ", subvolume " : "", has_subvolume ? root->subvolume : "",
		root->directory ? ", " : "", root->directory ? root->directory : "");
	DpsTreeOrigin origin = { root->partition, root->subvolume_id, root->subvolume };
	DpsFiles *files;
	int fd;

	files = dps_image_open_files(partition, root->subvolume_id, &fd, error);
	if (!files)
		return NULL;
	if (root->directory && !dps_files_set_top(files, root->directory, error)) {
		dps_files_free(files);
		close(fd);
		return NULL;
	}
	return dps_tree_open_files(files, fd, name, &origin, error);
}

DpsTree *
dps_image_open_tree(DpsDisk *disk, guint number, GError **error)
{
	DpsPartition *partition = dps_disk_get_partition_by_number(disk, number);
	DpsImageRoot *root;
	DpsTree *tree;

	if (!partition) {
		dps_throw_partition(error, number, DPS_ERROR_NOT_FOUND,
				    "%s: partition %u: not in the table", dps_disk_get_path(disk),
				    number);
		return NULL;
	}

	root = look_into_partition(partition);
	if (root->os) {
		tree = open_tree(disk, partition, root, error);
	} else {
		tree = NULL;
		dps_throw_partition(error, number,
				    root->problem ? DPS_ERROR_UNSUPPORTED : DPS_ERROR_NOT_FOUND,
				    "%s: partition %u: %s", dps_disk_get_path(disk), number,
				    root->problem ? root->problem : "there is no os-release in it");
	}
	image_root_free(root);
	return tree;
}

DpsArch
dps_image_find_arch(DpsPartition *partition)
{
	DpsImageRoot *root = look_into_partition(partition);
	g_autoptr(DpsFiles) files = NULL;
	g_autofree char *source = NULL;
	DpsArch arch = DPS_ARCH_NONE;
	int fd = -1;

	files = dps_image_open_files(partition, root->subvolume_id, &fd, NULL);
	if (files && (!root->directory || dps_files_set_top(files, root->directory, NULL)))
		arch = dps_machine_find_arch(files, &source);
	image_root_free(root);
	g_clear_pointer(&files, dps_files_free);
	if (fd >= 0)
		close(fd);
	return arch;
}
