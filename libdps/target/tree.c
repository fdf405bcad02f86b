/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/tree.h"
#include "ground/error.h"
#include "target/beneath.h"
#include "target/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* fstab(5) names no limit; thousands of lines are far below. */
#define MAX_FSTAB ((size_t)1024 * 1024)

/* machine-id(5): 32 digits and a newline. */
#define MACHINE_ID_DIGITS 32
#define MAX_MACHINE_ID 4096

struct _DpsTree {
	gatomicrefcount references;
	char *path; /* absolute, without links */
	int root;   /* O_PATH; -1 for a tree that is not mounted */
	DpsFiles *files;
	int files_fd;	      /* what files read through, when they are not below root; else -1 */
	DpsTreeOrigin origin; /* partition 0: it is a directory */
	GPtrArray *mounts;
	GPtrArray *fstab;
	GPtrArray *crypttab; /* NULL: not read yet */
	GPtrArray *swaps;
	char *container; /* for messages: what a tree that is no mount point is a directory of */
	gboolean is_image_mode;
	gboolean is_running_system;
	DpsArch arch;
	char *arch_source;
	char *machine_id;
};

/* A file of the tree; @subject is who an error is about. */
static char *
read_text(DpsTree *tree, const char *path, size_t max_size, const char *subject, size_t *size,
	  GError **error)
{
	char *text;

	if (tree->root >= 0)
		return dps_beneath_read(tree->root, path, max_size, subject, size, error);

	text = dps_files_read(tree->files, path, max_size, size, error);
	if (!text)
		dps_prefix_error(error, "%s: ", tree->path);
	return text;
}

static gboolean
read_fstab(DpsTree *tree, GError **error)
{
	g_autoptr(GError) problem = NULL;
	g_autofree char *text = NULL;
	g_autofree char *path = g_build_filename(tree->path, "etc/fstab", NULL);
	size_t size;

	text = read_text(tree, "etc/fstab", MAX_FSTAB, path, &size, &problem);
	if (text) {
		tree->fstab = dps_fstab_parse(text, size, path, error);
		return tree->fstab != NULL;
	}
	if (!g_error_matches(problem, DPS_ERROR, DPS_ERROR_NOT_FOUND)) {
		g_propagate_error(error, g_steal_pointer(&problem));
		return FALSE;
	}
	tree->fstab = dps_fstab_new();
	return TRUE;
}

/* Source: machine-id(5); "uninitialized" and an empty file are what images have. */
static void
read_machine_id(DpsTree *tree)
{
	g_autofree char *text =
		read_text(tree, "etc/machine-id", MAX_MACHINE_ID, "machine-id", NULL, NULL);
	gsize digits;

	if (!text)
		return;

	g_strchomp(text);
	digits = strspn(text, "0123456789abcdefABCDEF");
	if (digits != MACHINE_ID_DIGITS || text[digits] != '\0' || strspn(text, "0") == digits)
		return;

	tree->machine_id = g_ascii_strdown(text, -1);
}

static gboolean
is_directory_of(DpsTree *tree, const char *path)
{
	int fd = dps_beneath_open(tree->root, path, O_PATH | O_DIRECTORY);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/*
 * ostree and bootc boot a deployment, a directory or a composefs image, as "/", and have the file
 * system that it is on at /sysroot, with its store in "ostree" or "composefs".
 */
static gboolean
find_image_mode(DpsTree *tree)
{
	const DpsMount *sysroot = dps_tree_get_mount(tree, "/sysroot");

	return sysroot && !sysroot->is_directory &&
	       (is_directory_of(tree, "sysroot/ostree") ||
		is_directory_of(tree, "sysroot/composefs"));
}

static DpsTree *
new_tree(void)
{
	DpsTree *tree = g_new0(DpsTree, 1);

	g_atomic_ref_count_init(&tree->references);
	tree->root = tree->files_fd = -1;
	return tree;
}

DpsTree *
dps_tree_open_on(const char *path, const DpsSystem *system, GError **error)
{
	g_autoptr(DpsTree) tree = new_tree();
	char *real;

	/* mountinfo has paths without links. */
	real = realpath(path, NULL);
	if (!real)
		return dps_throw_errno_null(error, errno, "%s: open", path);
	tree->path = g_strdup(real);
	free(real);

	tree->root = open(tree->path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (tree->root < 0)
		return dps_throw_errno_null(error, errno, "%s: open", path);
	if (faccessat(tree->root, ".", X_OK, AT_EACCESS) < 0)
		return dps_throw_errno_null(error, errno, "%s: open", path);

	tree->files = dps_files_open_dir(tree->root, 0, error);
	if (!tree->files) {
		dps_prefix_error(error, "%s: ", path);
		return NULL;
	}

	tree->mounts = dps_mounts_read(system, tree->root, tree->path, &tree->container);
	if (!read_fstab(tree, error))
		return NULL;

	tree->swaps = dps_swaps_read(system);
	read_machine_id(tree);
	tree->is_image_mode = find_image_mode(tree);
	tree->is_running_system = strcmp(tree->path, "/") == 0 && dps_mounts_is_first_root(system);
	tree->arch = dps_machine_find_arch(tree->files, &tree->arch_source);
	if (tree->arch == DPS_ARCH_NONE && strcmp(tree->path, "/") == 0) {
		tree->arch = dps_arch_get_native();
		if (tree->arch != DPS_ARCH_NONE)
			tree->arch_source = g_strdup("the running kernel");
	}
	return g_steal_pointer(&tree);
}

DpsTree *
dps_tree_open_files(DpsFiles *files, int fd, const char *name, const DpsTreeOrigin *origin,
		    GError **error)
{
	g_autoptr(DpsTree) tree = new_tree();

	tree->files = files;
	tree->files_fd = fd;
	tree->path = g_strdup(name);
	tree->origin = *origin;
	tree->origin.subvolume = g_strdup(origin->subvolume);

	tree->mounts = dps_mounts_new();
	tree->swaps = g_ptr_array_new();
	if (!read_fstab(tree, error))
		return NULL;

	read_machine_id(tree);
	tree->arch = dps_machine_find_arch(tree->files, &tree->arch_source);
	return g_steal_pointer(&tree);
}

DpsTree *
dps_tree_open(const char *path, GError **error)
{
	g_return_val_if_fail(path, NULL);

	return dps_tree_open_on(path, &dps_system, error);
}

DpsTree *
dps_tree_ref(DpsTree *tree)
{
	g_return_val_if_fail(tree, NULL);

	g_atomic_ref_count_inc(&tree->references);
	return tree;
}

void
dps_tree_unref(DpsTree *tree)
{
	if (!tree || !g_atomic_ref_count_dec(&tree->references))
		return;

	dps_files_free(tree->files);
	if (tree->files_fd >= 0)
		close(tree->files_fd);
	if (tree->root >= 0)
		close(tree->root);
	g_free(tree->origin.subvolume);
	g_clear_pointer(&tree->mounts, g_ptr_array_unref);
	g_clear_pointer(&tree->fstab, g_ptr_array_unref);
	g_clear_pointer(&tree->crypttab, g_ptr_array_unref);
	g_clear_pointer(&tree->swaps, g_ptr_array_unref);
	g_free(tree->path);
	g_free(tree->container);
	g_free(tree->arch_source);
	g_free(tree->machine_id);
	g_free(tree);
}

const char *
dps_tree_get_path(DpsTree *tree)
{
	g_return_val_if_fail(tree, NULL);

	return tree->path;
}

DpsArch
dps_tree_get_arch(DpsTree *tree)
{
	g_return_val_if_fail(tree, DPS_ARCH_NONE);

	return tree->arch;
}

const char *
dps_tree_get_machine_id(DpsTree *tree)
{
	g_return_val_if_fail(tree, NULL);

	return tree->machine_id;
}

const char *
dps_tree_get_arch_source(DpsTree *tree)
{
	return tree->arch_source;
}

const DpsTreeOrigin *
dps_tree_get_origin(DpsTree *tree)
{
	return tree->origin.partition != 0 ? &tree->origin : NULL;
}

DpsFiles *
dps_tree_get_files(DpsTree *tree)
{
	return tree->files;
}

GPtrArray *
dps_tree_get_mounts(DpsTree *tree)
{
	return tree->mounts;
}

GPtrArray *
dps_tree_get_fstab(DpsTree *tree)
{
	return tree->fstab;
}

GPtrArray *
dps_tree_get_crypttab(DpsTree *tree, GError **error)
{
	g_autoptr(GError) problem = NULL;
	g_autofree char *text = NULL, *subject = NULL;

	if (tree->crypttab)
		return tree->crypttab;

	text = dps_tree_read_file(tree, "/etc/crypttab", &problem);
	if (!text && !g_error_matches(problem, DPS_ERROR, DPS_ERROR_NOT_FOUND)) {
		g_propagate_error(error, g_steal_pointer(&problem));
		return NULL;
	}
	if (!text)
		text = g_strdup("");
	subject = g_build_filename(tree->path, "etc/crypttab", NULL);
	tree->crypttab = dps_crypttab_parse(text, subject, error);
	return tree->crypttab;
}

GPtrArray *
dps_tree_get_swaps(DpsTree *tree)
{
	return tree->swaps;
}

gboolean
dps_tree_is_image_mode(DpsTree *tree)
{
	return tree->is_image_mode;
}

gboolean
dps_tree_is_running_system(DpsTree *tree)
{
	return tree->is_running_system;
}

const DpsMount *
dps_tree_get_mount(DpsTree *tree, const char *mount_point)
{
	return dps_mounts_find(tree->mounts, mount_point);
}

const DpsMount *
dps_tree_get_root_mount(DpsTree *tree)
{
	const DpsMount *mount = dps_tree_get_mount(tree, tree->is_image_mode ? "/sysroot" : "/");

	/* A bound directory is no system's root file system, whatever it is a directory of. */
	return mount && !mount->is_directory ? mount : NULL;
}

/* One line: what a tree is on that is on no disk. */
static char *
describe_no_disk(DpsTree *tree)
{
	const DpsMount *mount = dps_tree_get_mount(tree, "/");

	if (!mount)
		return g_strdup_printf("a directory%s%s, and not a mounted file system",
				       tree->container ? " of " : "",
				       tree->container ? tree->container : "");
	if (mount->is_directory)
		return g_strdup_printf(
			"a directory of %s on %s, mounted by itself, and not a whole "
			"file system",
			mount->fs_type, mount->source);

	return g_strdup_printf("%s%s%s%s, which is on no disk", mount->fs_type,
			       *mount->source ? " (" : "", mount->source,
			       *mount->source ? ")" : "");
}

/* "/dev/sda", or its number when it has no node. */
static char *
describe_disk(const DpsBacking *backing)
{
	if (backing->disk_node)
		return g_strdup(backing->disk_node);

	return g_strdup_printf("disk %u:%u", major(backing->disk), minor(backing->disk));
}

/* Whether one of the backings before this one is on the same disk. */
static gboolean
is_disk_told(GPtrArray *backings, guint index)
{
	const DpsBacking *backing = backings->pdata[index];

	for (guint i = 0; i < index; i++)
		if (((const DpsBacking *)backings->pdata[i])->disk == backing->disk)
			return TRUE;
	return FALSE;
}

static gboolean
throw_several_disks(DpsTree *tree, const DpsMount *mount, GError **error)
{
	g_autoptr(GString) disks = g_string_new(NULL);
	const DpsBacking *first = mount->backings->pdata[0];

	for (guint i = 0; i < mount->backings->len; i++) {
		g_autofree char *disk = describe_disk(mount->backings->pdata[i]);

		if (is_disk_told(mount->backings, i))
			continue;
		if (i > 0)
			g_string_append(disks, ", ");
		g_string_append(disks, disk);
	}

	return dps_throw(error, DPS_ERROR_AMBIGUOUS,
			 "%s: its root is on several disks: %s%s%s: name the disk", tree->path,
			 disks->str, first->layer_name ? ", behind " : "",
			 first->layer_name ? first->layer_name : "");
}

gboolean
dps_tree_find_disk(DpsTree *tree, char **path, char **why, GError **error)
{
	const DpsLayers no_layers = DPS_LAYER_NONE | DPS_LAYER_MULTIPATH;
	const DpsMount *mount;
	const DpsBacking *first;
	struct stat st;

	g_return_val_if_fail(tree != NULL && path != NULL, FALSE);

	mount = dps_tree_get_root_mount(tree);
	if (mount && mount->problem)
		return dps_throw(error, DPS_ERROR_NOT_FOUND, "%s: its disk: %s: is /sys mounted?",
				 tree->path, mount->problem);
	if (!mount || mount->backings->len == 0) {
		if (why)
			*why = describe_no_disk(tree);
		*path = NULL;
		return TRUE;
	}

	first = mount->backings->pdata[0];
	for (guint i = 1; i < mount->backings->len; i++) {
		const DpsBacking *backing = mount->backings->pdata[i];

		if (backing->disk != first->disk)
			return throw_several_disks(tree, mount, error);
	}

	if (first->partition == 0 && (first->layers & ~no_layers) != 0)
		return dps_throw(error, DPS_ERROR_UNSUPPORTED,
				 "%s: its root is on %s, which stands on a disk without partitions",
				 tree->path, first->layer_name);

	if (first->file) {
		if (stat(first->file, &st) < 0)
			return dps_throw_errno(error, errno, "%s: its disk: %s, the file behind %s",
					       tree->path, first->file, mount->source);
		*path = g_strdup(first->file);
		if (why)
			*why = NULL;
		return TRUE;
	}

	if (!first->disk_node)
		return dps_throw(error, DPS_ERROR_NOT_FOUND,
				 "%s: its disk %u:%u: it has no node: is /dev mounted?", tree->path,
				 major(first->disk), minor(first->disk));

	*path = g_strdup(first->disk_node);
	if (why)
		*why = NULL;
	return TRUE;
}

char *
dps_tree_read_file(DpsTree *tree, const char *path, GError **error)
{
	g_autofree char *subject = g_build_filename(tree->path, path, NULL);

	return read_text(tree, path, DPS_FILES_MAX_TEXT, subject, NULL, error);
}

int
dps_tree_open_dir(DpsTree *tree, const char *path, GError **error)
{
	int fd;

	if (tree->root < 0) {
		dps_throw(error, DPS_ERROR_UNSUPPORTED,
			  "%s: it is not mounted: no directory of it "
			  "can be opened",
			  tree->path);
		return -1;
	}

	fd = dps_beneath_open(tree->root, path, O_RDONLY | O_DIRECTORY | O_NONBLOCK);
	if (fd < 0)
		dps_throw_errno(error, errno, "%s%s%s: open", tree->path, *path == '/' ? "" : "/",
				path);
	return fd;
}
