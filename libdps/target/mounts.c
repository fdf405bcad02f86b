/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/mounts.h"
#include "target/mount-tables.h"
#include "target/subvolume.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

/* The inode of every subvolume's root: BTRFS_FIRST_FREE_OBJECTID of btrfs_tree.h. */
#define BTRFS_SUBVOLUME_INODE 256

/* All lines, also by the mount and the place that each is mounted on. */
typedef struct {
	GPtrArray *lines;     /* (element-type DpsMountLine): in the file's order */
	GHashTable *children; /* make_key() to a line */
} MountInfo;

/* The parent of mounts whose parent this process cannot see: it is outside of its root. */
#define TOP (-1)

static void
clear_mount_info(MountInfo *info)
{
	g_clear_pointer(&info->children, g_hash_table_unref);
	g_clear_pointer(&info->lines, g_ptr_array_unref);
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

static GPtrArray *
new_backings(void)
{
	return g_ptr_array_new_with_free_func((GDestroyNotify)dps_backing_free);
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
	g_autoptr(GHashTable) ids = g_hash_table_new(NULL, NULL);

	info->lines = dps_mountinfo_read(system, process);
	if (!info->lines)
		return FALSE;

	for (guint i = 0; i < info->lines->len; i++) {
		const DpsMountLine *line = info->lines->pdata[i];

		g_hash_table_add(ids, GINT_TO_POINTER(line->id));
	}

	info->children = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	for (guint i = 0; i < info->lines->len; i++) {
		DpsMountLine *line = info->lines->pdata[i];
		int parent = line->parent;

		if (parent == line->id || !g_hash_table_contains(ids, GINT_TO_POINTER(parent)))
			parent = TOP;
		g_hash_table_insert(info->children,
				    make_key(parent, line->target, strlen(line->target)), line);
	}
	return TRUE;
}

/* The mount that lies on @parent at this place, %NULL when none does. */
static const DpsMountLine *
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
static const DpsMountLine *
find_visible(const MountInfo *info, const char *path)
{
	const DpsMountLine *line = NULL;
	guint steps = 0;
	gsize size = 1; /* of the part of path that has been walked: first "/" */

	for (;;) {
		const DpsMountLine *next = find_child(info, line ? line->id : TOP, path, size);

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
is_whole(const DpsMountLine *line, gboolean is_btrfs)
{
	if (*line->root == '\0' || strcmp(line->root, "/") == 0)
		return TRUE;

	/* The kernel writes to subvol= the subvolume that the mounted directory is in. */
	return is_btrfs && g_strcmp0(line->root, line->subvolume) == 0;
}

static DpsMount *
make_mount(const DpsSystem *system, const char *mount_point, const DpsMountLine *line)
{
	g_autoptr(DpsMount) mount = g_new0(DpsMount, 1);
	gboolean is_btrfs;
	dev_t device = line->device;

	mount->mount_point = g_strdup(mount_point);
	mount->path = g_strdup(line->target);
	mount->fs_type = g_strdup(line->fs_type);
	mount->source = g_strdup(line->source);
	mount->options = g_strdup(line->options);
	mount->backings = new_backings();

	is_btrfs = strcmp(mount->fs_type, "btrfs") == 0;
	mount->is_directory = !is_whole(line, is_btrfs);

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
add_root_without_mountinfo(const DpsSystem *system, int root, const char *path, GPtrArray *mounts)
{
	g_autoptr(DpsMount) mount = NULL;
	struct statfs sfs;
	struct statx stx;
	int fd;

	/* Linux 5.8 and newer say whether a directory is the root of a mount. */
	if (statx(root, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx) < 0 ||
	    !(stx.stx_attributes_mask & stx.stx_attributes & STATX_ATTR_MOUNT_ROOT) ||
	    fstatfs(root, &sfs) < 0)
		return;

	mount = g_new0(DpsMount, 1);
	mount->mount_point = g_strdup("/");
	mount->path = g_strdup(path);
	mount->source = g_strdup("");
	mount->options = g_strdup("");
	mount->backings = new_backings();

	if (sfs.f_type == BTRFS_SUPER_MAGIC) {
		mount->fs_type = g_strdup("btrfs");
		fd = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0) {
			ask_btrfs(system, fd, mount);
			close(fd);
		}
	} else {
		mount->fs_type = g_strdup("a file system without /proc/self/mountinfo");
		if (stx.stx_dev_major != 0)
			resolve_device(system, makedev(stx.stx_dev_major, stx.stx_dev_minor),
				       mount);
	}

	if (mount->is_directory)
		g_ptr_array_set_size(mount->backings, 0);
	g_ptr_array_add(mounts, g_steal_pointer(&mount));
}

GPtrArray *
dps_mounts_new(void)
{
	return g_ptr_array_new_with_free_func((GDestroyNotify)mount_free);
}

GPtrArray *
dps_mounts_read(const DpsSystem *system, int root, const char *path, char **container)
{
	GPtrArray *mounts = dps_mounts_new();
	g_auto(MountInfo) info = { 0 };
	const DpsMountLine *around;

	*container = NULL;
	if (!read_mount_info(system, "self", &info)) {
		add_root_without_mountinfo(system, root, path, mounts);
		return mounts;
	}

	for (guint i = 0; i < info.lines->len; i++) {
		const DpsMountLine *line = info.lines->pdata[i];
		const char *mount_point = path_below(path, line->target);

		if (mount_point && find_visible(&info, line->target) == line)
			g_ptr_array_add(mounts, make_mount(system, mount_point, line));
	}
	g_ptr_array_sort(mounts, compare_mounts);

	if (dps_mounts_find(mounts, "/"))
		return mounts;

	around = find_visible(&info, path);
	if (around)
		*container = g_strdup_printf("%s on %s at %s", around->fs_type, around->source,
					     around->target);
	return mounts;
}

const DpsMount *
dps_mounts_find(GPtrArray *mounts, const char *mount_point)
{
	for (guint i = 0; i < mounts->len; i++) {
		const DpsMount *mount = mounts->pdata[i];

		if (strcmp(mount->mount_point, mount_point) == 0)
			return mount;
	}
	return NULL;
}

/* (/proc/1/root would tell it too, but to few; mountinfo is for everybody.) */
gboolean
dps_mounts_is_first_root(const DpsSystem *system)
{
	g_auto(MountInfo) ours = { 0 }, first = { 0 };
	const DpsMountLine *our_root, *first_root;

	if (!read_mount_info(system, "self", &ours) || !read_mount_info(system, "1", &first))
		return FALSE;

	our_root = find_visible(&ours, "/");
	first_root = find_visible(&first, "/");
	return our_root && first_root && our_root->device == first_root->device &&
	       strcmp(our_root->root, first_root->root) == 0;
}
