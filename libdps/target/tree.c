/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/tree.h"
#include "ground/error.h"
#include "target/beneath.h"
#include "target/machine.h"
#include "target/subvolume.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libmount/libmount.h>
#include <limits.h>
#include <linux/btrfs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

/* fstab(5) names no limit; thousands of lines are far below. */
#define MAX_FSTAB (1024 * 1024)

/* machine-id(5): 32 digits and a newline. */
#define MACHINE_ID_DIGITS 32
#define MAX_MACHINE_ID 4096

/* The inode of every subvolume's root: BTRFS_FIRST_FREE_OBJECTID of btrfs_tree.h. */
#define BTRFS_SUBVOLUME_INODE 256

struct _DpsTree {
	gatomicrefcount references;
	const DpsSystem *system;
	char *path; /* absolute, without links */
	int root;   /* O_PATH; -1 for a tree that is not mounted */
	DpsFiles *files;
	int files_fd;	      /* what files read through, when they are not below root; else -1 */
	DpsTreeOrigin origin; /* partition 0: it is a directory */
	GPtrArray *mounts;
	GPtrArray *fstab;
	GPtrArray *swaps;
	char *container; /* for messages: what a tree that is no mount point is a directory of */
	gboolean is_image_mode;
	gboolean is_running_system;
	DpsArch arch;
	char *arch_source;
	char *machine_id;
};

/* A line of mountinfo.  Strings belong to libmount's table. */
typedef struct {
	int id;
	const char *target; /* as this process sees it */
	struct libmnt_fs *fs;
} Line;

/* All lines, also by the mount and the place that each is mounted on. */
typedef struct {
	struct libmnt_table *table;
	GArray *lines;	      /* of Line, in the file's order */
	GHashTable *children; /* make_key() to Line */
} MountInfo;

/* The parent of mounts whose parent this process cannot see: it is outside of its root. */
#define TOP (-1)

static void
clear_mount_info(MountInfo *info)
{
	if (info->children)
		g_hash_table_unref(info->children);
	if (info->lines)
		g_array_unref(info->lines);
	mnt_unref_table(info->table);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(MountInfo, clear_mount_info)

static void
mount_free(DpsMount *mount)
{
	if (!mount)
		return;

	g_free(mount->mount_point);
	g_free(mount->path);
	g_free(mount->fs_type);
	g_free(mount->source);
	g_free(mount->options);
	g_clear_pointer(&mount->backings, g_ptr_array_unref);
	g_free(mount->problem);
	g_free(mount->subvolume);
	g_free(mount);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(DpsMount, mount_free)

static void
fstab_entry_free(DpsFstabEntry *entry)
{
	g_free(entry->mount_point);
	g_free(entry->spec);
	g_free(entry->fs_type);
	g_free(entry->options);
	g_free(entry->subvolume);
	g_free(entry);
}

static void
swap_free(DpsSwap *swap)
{
	g_free(swap->path);
	g_ptr_array_unref(swap->backings);
	g_free(swap);
}

static GPtrArray *
new_backings(void)
{
	return g_ptr_array_new_with_free_func((GDestroyNotify)dps_backing_free);
}

/* libmount asks what to do with a line that it cannot read: skip it, and read on. */
static int
skip_line(struct libmnt_table *table, const char *file, int line)
{
	return 1;
}

static struct libmnt_table *
new_table(void)
{
	struct libmnt_table *table = mnt_new_table();

	g_assert(table); /* as g_malloc() does when there is no memory */
	mnt_table_set_parser_errcb(table, skip_line);
	return table;
}

/* libmount gives fields that a line does not have as NULL. */
static const char *
or_empty(const char *text)
{
	return text ? text : "";
}

/* A host of containers has thousands of mounts: none is searched for line by line. */
static char *
make_key(int parent, const char *path, gsize size)
{
	return g_strdup_printf("%d %.*s", parent, (int)size, path);
}

/* Returns: whether the mountinfo of a process could be read. */
static gboolean
read_mount_info(const DpsSystem *system, const char *process, MountInfo *info)
{
	g_autofree char *path = g_build_filename(system->proc, process, "mountinfo", NULL);
	g_autoptr(GHashTable) ids = g_hash_table_new(NULL, NULL);
	struct libmnt_iter *iter;
	struct libmnt_fs *fs;

	info->table = new_table();
	info->lines = g_array_new(FALSE, FALSE, sizeof(Line));
	info->children = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	if (mnt_table_parse_file(info->table, path) != 0)
		return FALSE;

	iter = mnt_new_iter(MNT_ITER_FORWARD);
	g_assert(iter);
	while (mnt_table_next_fs(info->table, iter, &fs) == 0) {
		Line line = { mnt_fs_get_id(fs), mnt_fs_get_target(fs), fs };

		if (!line.target)
			continue;
		g_array_append_val(info->lines, line);
		g_hash_table_add(ids, GINT_TO_POINTER(line.id));
	}
	mnt_free_iter(iter);

	for (guint i = 0; i < info->lines->len; i++) {
		Line *line = &g_array_index(info->lines, Line, i);
		int parent = mnt_fs_get_parent_id(line->fs);

		if (parent == line->id || !g_hash_table_contains(ids, GINT_TO_POINTER(parent)))
			parent = TOP;
		g_hash_table_insert(info->children,
				    make_key(parent, line->target, strlen(line->target)), line);
	}
	return info->lines->len > 0;
}

/* The mount that lies on @parent at this place, %NULL when none does. */
static const Line *
find_child(const MountInfo *info, int parent, const char *path, gsize size)
{
	g_autofree char *key = make_key(parent, path, size);

	return g_hash_table_lookup(info->children, key);
}

/*
 * The mount that a path leads into, as the kernel walks it: at each directory on to what is
 * mounted there, and to what is mounted upon that.  So a mount that lies hidden under a later one
 * is not found.  %NULL: one that mountinfo does not show.
 */
static const Line *
find_visible(const MountInfo *info, const char *path)
{
	const Line *line = NULL;
	guint steps = 0;
	gsize size = 1; /* of the part of path that has been walked: first "/" */

	for (;;) {
		const Line *next = find_child(info, line ? line->id : TOP, path, size);

		if (next && steps++ < info->lines->len) {
			line = next;
			continue;
		}

		if (path[size] == '\0' || (size == 1 && path[1] == '\0'))
			return line;
		if (size > 1)
			size++; /* the slash */
		size += strcspn(path + size, "/");
	}
}

/* Returns: what @path is below @directory, as "/boot"; "/" for itself; %NULL when it is not. */
static const char *
path_below(const char *directory, const char *path)
{
	gsize size = strlen(directory);

	if (strcmp(directory, "/") == 0)
		return path;
	if (strncmp(path, directory, size) != 0)
		return NULL;
	if (path[size] == '\0')
		return "/";
	return path[size] == '/' ? path + size : NULL;
}

/* Adds what stands below a device; on failure notes why. */
static void
resolve_device(const DpsSystem *system, dev_t device, DpsMount *mount)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) backings = dps_blockdev_resolve(system, device, &error);

	if (!backings) {
		if (!mount->problem)
			mount->problem = g_strdup(error->message);
		return;
	}
	g_ptr_array_extend_and_steal(mount->backings, g_steal_pointer(&backings));
}

/*
 * The devices of a mounted btrfs, whose mounts have an anonymous device number.  sysfs has links to
 * them, by the file system's UUID; in a chroot without it the paths are asked for.
 */
static void
resolve_btrfs(const DpsSystem *system, int fd, DpsMount *mount)
{
	struct btrfs_ioctl_fs_info_args info = { 0 };
	g_autofree char *path = NULL;
	struct dirent *entry;
	DIR *entries;
	guint n_devices = 0;
	const uint8_t *u = info.fsid;

	if (ioctl(fd, BTRFS_IOC_FS_INFO, &info) < 0)
		return;
	if (info.num_devices > 1)
		mount->is_multi_device = TRUE;

	path = g_strdup_printf("%s/fs/btrfs/%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
			       "%02x%02x%02x%02x%02x%02x/devices",
			       system->sysfs, u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8],
			       u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
	entries = opendir(path);
	while (entries && (entry = readdir(entries))) {
		g_autofree char *number_file = g_build_filename(path, entry->d_name, "dev", NULL);
		g_autofree char *number = NULL;
		unsigned int major_number, minor_number;

		if (entry->d_name[0] == '.' ||
		    !g_file_get_contents(number_file, &number, NULL, NULL) ||
		    sscanf(number, "%u:%u", &major_number, &minor_number) != 2)
			continue;
		resolve_device(system, makedev(major_number, minor_number), mount);
		n_devices++;
	}
	if (entries)
		closedir(entries);

	/* Device ids are given out in order, and few are ever taken back. */
	for (uint64_t id = 0; n_devices == 0 && id <= MIN(info.max_id, 1024); id++) {
		struct btrfs_ioctl_dev_info_args device = { .devid = id };
		dev_t number;

		if (ioctl(fd, BTRFS_IOC_DEV_INFO, &device) < 0)
			continue;
		device.path[sizeof(device.path) - 1] = '\0';
		if (dps_blockdev_find_node(system, (const char *)device.path, &number))
			resolve_device(system, number, mount);
	}

	if (n_devices > 1)
		mount->is_multi_device = TRUE; /* also one over a seed */
}

/* Returns: a descriptor of a mounted directory, -1 when another mount is there by now. */
static int
open_mount(const char *path, int id)
{
	struct statx stx;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return -1;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stx) == 0 &&
	    (stx.stx_mask & STATX_MNT_ID) != 0 && id >= 0 && stx.stx_mnt_id != (uint64_t)id) {
		close(fd);
		return -1;
	}
	return fd;
}

/* What an open directory of a btrfs says of its mount. */
static void
ask_btrfs(const DpsSystem *system, int fd, DpsMount *mount)
{
	struct statfs sfs;
	struct stat st;

	if (fstatfs(fd, &sfs) < 0 || sfs.f_type != BTRFS_SUPER_MAGIC || fstat(fd, &st) < 0)
		return;

	mount->is_directory = st.st_ino != BTRFS_SUBVOLUME_INODE;
	dps_btrfs_subvolume_of_fd(fd, &mount->subvolume_id, &mount->subvolume, NULL);
	resolve_btrfs(system, fd, mount);
}

/* Whether mountinfo says that the mount is of all of a file system, or of a whole subvolume. */
static gboolean
is_whole(struct libmnt_fs *fs, gboolean is_btrfs)
{
	const char *root = mnt_fs_get_root(fs);
	char *subvolume;
	size_t size;

	if (!root || strcmp(root, "/") == 0)
		return TRUE;

	/* The kernel writes there the subvolume that the mounted directory is in. */
	return is_btrfs && mnt_fs_get_option(fs, "subvol", &subvolume, &size) == 0 && subvolume &&
	       strlen(root) == size && strncmp(root, subvolume, size) == 0;
}

static DpsMount *
make_mount(const DpsSystem *system, const char *mount_point, const Line *line)
{
	g_autoptr(DpsMount) mount = g_new0(DpsMount, 1);
	gboolean is_btrfs;
	dev_t device = mnt_fs_get_devno(line->fs);

	mount->mount_point = g_strdup(mount_point);
	mount->path = g_strdup(line->target);
	mount->fs_type = g_strdup(or_empty(mnt_fs_get_fstype(line->fs)));
	mount->source = g_strdup(or_empty(mnt_fs_get_source(line->fs)));
	mount->options = g_strdup(or_empty(mnt_fs_get_options(line->fs)));
	mount->backings = new_backings();

	is_btrfs = strcmp(mount->fs_type, "btrfs") == 0;
	mount->is_directory = !is_whole(line->fs, is_btrfs);

	if (is_btrfs) {
		int fd = open_mount(line->target, line->id);

		if (fd >= 0) {
			ask_btrfs(system, fd, mount);
			close(fd);
		}
	}

	/* Major number 0: the kernel made the number up, for a file system without a device. */
	if (mount->backings->len == 0 && major(device) != 0)
		resolve_device(system, device, mount);
	if (mount->backings->len == 0 && major(device) == 0 &&
	    dps_blockdev_find_node(system, mount->source, &device))
		resolve_device(system, device, mount);

	if (mount->backings->len == 0 && !mount->problem && is_btrfs)
		mount->problem = g_strdup_printf("btrfs on %s: its devices are not to be seen here",
						 mount->source);
	if (mount->is_directory)
		g_ptr_array_set_size(mount->backings, 0);
	if (mount->backings->len > 0)
		g_clear_pointer(&mount->problem, g_free);
	return g_steal_pointer(&mount);
}

static int
compare_mounts(gconstpointer a, gconstpointer b)
{
	const DpsMount *x = *(const DpsMount *const *)a, *y = *(const DpsMount *const *)b;

	return strcmp(x->mount_point, y->mount_point);
}

/*
 * The mount at the tree's root by its descriptor alone: without /proc, as in a chroot that nobody
 * prepared.
 */
static void
add_root_without_mountinfo(DpsTree *tree)
{
	g_autoptr(DpsMount) mount = NULL;
	struct statfs sfs;
	struct statx stx;
	int fd;

	/* Linux 5.8 and newer say whether a directory is the root of a mount. */
	if (statx(tree->root, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx) < 0 ||
	    !(stx.stx_attributes_mask & stx.stx_attributes & STATX_ATTR_MOUNT_ROOT) ||
	    fstatfs(tree->root, &sfs) < 0)
		return;

	mount = g_new0(DpsMount, 1);
	mount->mount_point = g_strdup("/");
	mount->path = g_strdup(tree->path);
	mount->source = g_strdup("");
	mount->options = g_strdup("");
	mount->backings = new_backings();

	if (sfs.f_type == BTRFS_SUPER_MAGIC) {
		mount->fs_type = g_strdup("btrfs");
		fd = openat(tree->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0) {
			ask_btrfs(tree->system, fd, mount);
			close(fd);
		}
	} else {
		mount->fs_type = g_strdup("a file system without /proc/self/mountinfo");
		if (stx.stx_dev_major != 0)
			resolve_device(tree->system, makedev(stx.stx_dev_major, stx.stx_dev_minor),
				       mount);
	}

	if (mount->is_directory)
		g_ptr_array_set_size(mount->backings, 0);
	g_ptr_array_add(tree->mounts, g_steal_pointer(&mount));
}

static void
read_mounts(DpsTree *tree)
{
	g_auto(MountInfo) info = { 0 };
	const Line *around;

	if (!read_mount_info(tree->system, "self", &info)) {
		add_root_without_mountinfo(tree);
		return;
	}

	for (guint i = 0; i < info.lines->len; i++) {
		const Line *line = &g_array_index(info.lines, Line, i);
		const char *mount_point = path_below(tree->path, line->target);

		if (mount_point && find_visible(&info, line->target) == line)
			g_ptr_array_add(tree->mounts, make_mount(tree->system, mount_point, line));
	}
	g_ptr_array_sort(tree->mounts, compare_mounts);

	if (dps_tree_get_mount(tree, "/"))
		return;

	around = find_visible(&info, tree->path);
	if (around)
		tree->container =
			g_strdup_printf("%s on %s at %s", or_empty(mnt_fs_get_fstype(around->fs)),
					or_empty(mnt_fs_get_source(around->fs)), around->target);
}

/* The value of an option of fstab, %NULL when it is not given. */
static char *
get_option(struct libmnt_fs *fs, const char *name)
{
	char *value = NULL;
	size_t size = 0;

	if (mnt_fs_get_option(fs, name, &value, &size) != 0 || !value)
		return NULL;

	return g_strndup(value, size);
}

static DpsFstabEntry *
make_fstab_entry(struct libmnt_fs *fs)
{
	DpsFstabEntry *entry = g_new0(DpsFstabEntry, 1);
	const char *target = mnt_fs_get_target(fs);
	const char *tag = NULL, *value = NULL;
	g_autofree char *subvolume = NULL;
	g_autofree char *subvolume_id = NULL;

	if (target && strcmp(target, "none") != 0 && strcmp(target, "swap") != 0)
		entry->mount_point = g_strdup(target);
	if (mnt_fs_get_tag(fs, &tag, &value) == 0 && tag && value)
		entry->spec = g_strconcat(tag, "=", value, NULL);
	else
		entry->spec = g_strdup(or_empty(mnt_fs_get_source(fs)));
	entry->fs_type = g_strdup(or_empty(mnt_fs_get_fstype(fs)));
	entry->options = g_strdup(or_empty(mnt_fs_get_options(fs)));

	subvolume = get_option(fs, "subvol");
	if (subvolume)
		entry->subvolume = g_strdup(subvolume + strspn(subvolume, "/"));
	subvolume_id = get_option(fs, "subvolid");
	if (subvolume_id)
		g_ascii_string_to_unsigned(subvolume_id, 10, 0, G_MAXUINT64, &entry->subvolume_id,
					   NULL);
	return entry;
}

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
		g_prefix_error(error, "%s: ", tree->path);
	return text;
}

static gboolean
read_fstab(DpsTree *tree, GError **error)
{
	g_autoptr(GError) problem = NULL;
	g_autofree char *text = NULL;
	g_autofree char *path = g_build_filename(tree->path, "etc/fstab", NULL);
	struct libmnt_table *table;
	struct libmnt_iter *iter;
	struct libmnt_fs *fs;
	size_t size;
	FILE *stream;

	text = read_text(tree, "etc/fstab", MAX_FSTAB, path, &size, &problem);
	if (!text && g_error_matches(problem, DPS_ERROR, DPS_ERROR_NOT_FOUND))
		return TRUE;
	if (!text) {
		g_propagate_error(error, g_steal_pointer(&problem));
		return FALSE;
	}
	if (size == 0)
		return TRUE; /* fmemopen(3) refuses it */
	if (memchr(text, '\0', size))
		return dps_throw(error, DPS_ERROR_CORRUPT, "%s: it has a NUL byte: no text file",
				 path);

	stream = fmemopen(text, size, "r");
	if (!stream)
		return dps_throw_errno(error, errno, "%s: read", path);

	table = new_table();
	mnt_table_parse_stream(table, stream, path);
	fclose(stream);

	iter = mnt_new_iter(MNT_ITER_FORWARD);
	g_assert(iter);
	while (mnt_table_next_fs(table, iter, &fs) == 0)
		g_ptr_array_add(tree->fstab, make_fstab_entry(fs));
	mnt_free_iter(iter);
	mnt_unref_table(table);
	return TRUE;
}

static DpsSwap *
make_swap(const DpsSystem *system, struct libmnt_fs *fs)
{
	DpsSwap *swap = g_new0(DpsSwap, 1);
	g_autoptr(GPtrArray) backings = NULL;
	dev_t device;

	swap->path = g_strdup(or_empty(mnt_fs_get_source(fs)));
	swap->is_file = g_strcmp0(mnt_fs_get_swaptype(fs), "file") == 0;
	if (!swap->is_file && dps_blockdev_find_node(system, swap->path, &device)) {
		swap->is_zram = dps_blockdev_is_zram(system, device);
		backings = dps_blockdev_resolve(system, device, NULL);
	}
	swap->backings = backings ? g_steal_pointer(&backings) : new_backings();
	return swap;
}

static void
read_swaps(DpsTree *tree)
{
	g_autofree char *path = g_build_filename(tree->system->proc, "swaps", NULL);
	struct libmnt_table *table = new_table();
	struct libmnt_iter *iter = mnt_new_iter(MNT_ITER_FORWARD);
	struct libmnt_fs *fs;

	g_assert(iter);
	if (mnt_table_parse_swaps(table, path) == 0)
		while (mnt_table_next_fs(table, iter, &fs) == 0)
			g_ptr_array_add(tree->swaps, make_swap(tree->system, fs));
	mnt_free_iter(iter);
	mnt_unref_table(table);
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

/*
 * A chroot's "/" is another place than the first process's.  (/proc/1/root would tell it too, but
 * to few; mountinfo is for everybody.)
 */
static gboolean
find_running_system(DpsTree *tree)
{
	g_auto(MountInfo) ours = { 0 }, first = { 0 };
	const Line *our_root, *first_root;

	if (strcmp(tree->path, "/") != 0 || !read_mount_info(tree->system, "self", &ours) ||
	    !read_mount_info(tree->system, "1", &first))
		return FALSE;

	our_root = find_visible(&ours, "/");
	first_root = find_visible(&first, "/");
	return our_root && first_root &&
	       mnt_fs_get_devno(our_root->fs) == mnt_fs_get_devno(first_root->fs) &&
	       g_strcmp0(mnt_fs_get_root(our_root->fs), mnt_fs_get_root(first_root->fs)) == 0;
}

static DpsTree *
new_tree(const DpsSystem *system)
{
	DpsTree *tree = g_new0(DpsTree, 1);

	g_atomic_ref_count_init(&tree->references);
	tree->system = system;
	tree->root = tree->files_fd = -1;
	tree->mounts = g_ptr_array_new_with_free_func((GDestroyNotify)mount_free);
	tree->fstab = g_ptr_array_new_with_free_func((GDestroyNotify)fstab_entry_free);
	tree->swaps = g_ptr_array_new_with_free_func((GDestroyNotify)swap_free);
	return tree;
}

DpsTree *
dps_tree_open_on(const char *path, const DpsSystem *system, GError **error)
{
	g_autoptr(DpsTree) tree = new_tree(system);
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
		g_prefix_error(error, "%s: ", path);
		return NULL;
	}

	read_mounts(tree);
	if (!read_fstab(tree, error))
		return NULL;

	read_swaps(tree);
	read_machine_id(tree);
	tree->is_image_mode = find_image_mode(tree);
	tree->is_running_system = find_running_system(tree);
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
	g_autoptr(DpsTree) tree = new_tree(&dps_system);

	tree->files = files;
	tree->files_fd = fd;
	tree->path = g_strdup(name);
	tree->origin = *origin;
	tree->origin.subvolume = g_strdup(origin->subvolume);

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
	g_ptr_array_unref(tree->mounts);
	g_ptr_array_unref(tree->fstab);
	g_ptr_array_unref(tree->swaps);
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
	for (guint i = 0; i < tree->mounts->len; i++) {
		const DpsMount *mount = tree->mounts->pdata[i];

		if (strcmp(mount->mount_point, mount_point) == 0)
			return mount;
	}
	return NULL;
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
dps_tree_read_file(DpsTree *tree, const char *path, size_t max_size, GError **error)
{
	g_autofree char *subject = g_build_filename(tree->path, path, NULL);

	return read_text(tree, path, max_size, subject, NULL, error);
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
