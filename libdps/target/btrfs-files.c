/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/btrfs-files.h"
#include "format/btrfs-file.h"
#include "format/btrfs-subvolumes.h"
#include "ground/error.h"

#include <string.h>
#include <sys/stat.h>

typedef struct {
	DpsBtrfsFs *fs;
	DpsBtrfsInode top;
} BtrfsFiles;

static void
btrfs_free(void *data)
{
	BtrfsFiles *self = data;

	dps_btrfs_fs_free(self->fs);
	g_free(self);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BtrfsFiles, btrfs_free)

static DpsFileInfo *
make_info(const char *name, size_t name_size, const DpsBtrfsInode *inode)
{
	DpsFileInfo *info = g_new0(DpsFileInfo, 1);

	info->is_name_damaged = !g_utf8_validate(name, (gssize)name_size, NULL);
	info->name = g_utf8_make_valid(name, (gssize)name_size);
	info->kind = S_ISREG(inode->mode)   ? DPS_FILE_REGULAR
		     : S_ISDIR(inode->mode) ? DPS_FILE_DIRECTORY
		     : S_ISLNK(inode->mode) ? DPS_FILE_LINK
					    : DPS_FILE_OTHER;
	info->size = S_ISREG(inode->mode) ? inode->size : 0;
	info->mode = inode->mode & 07777;
	return info;
}

/* @path is clean, and no link is in any part of it but the last. */
static gboolean
walk(BtrfsFiles *self, const char *path, DpsBtrfsInode *out, GError **error)
{
	g_auto(GStrv) names = g_strsplit(path, "/", -1);
	DpsBtrfsInode at = self->top;

	dps_btrfs_fs_renew(self->fs);
	for (guint i = 0; names[i]; i++) {
		if (!*names[i])
			continue;
		/* A file in the place of a directory: what is behind it is not there. */
		if (!S_ISDIR(at.mode))
			return dps_throw(error, DPS_ERROR_NOT_FOUND, "%s: no such file", path);
		if (!dps_btrfs_inode_lookup(self->fs, &at, names[i], strlen(names[i]), &at,
					    error)) {
			dps_prefix_error(error, "%s: ", path);
			return FALSE;
		}
	}
	*out = at;
	return TRUE;
}

static DpsFileInfo *
btrfs_stat(void *data, const char *path, GError **error)
{
	const char *name = strrchr(path, '/');
	DpsBtrfsInode inode;

	name = name && name[1] ? name + 1 : path;
	return walk(data, path, &inode, error) ? make_info(name, strlen(name), &inode) : NULL;
}

static gboolean
add_info(const char *name, size_t name_size, const DpsBtrfsInode *inode, gpointer data,
	 GError **error)
{
	GPtrArray *infos = data;

	if (infos->len == DPS_FILES_MAX_NAMES)
		return dps_throw(error, DPS_ERROR_CORRUPT, "more than %d names",
				 DPS_FILES_MAX_NAMES);

	g_ptr_array_add(infos, make_info(name, name_size, inode));
	return TRUE;
}

static GPtrArray *
btrfs_list(void *data, const char *path, GError **error)
{
	g_autoptr(GPtrArray) infos =
		g_ptr_array_new_with_free_func((GDestroyNotify)dps_file_info_free);
	BtrfsFiles *self = data;
	DpsBtrfsInode inode;

	if (!walk(self, path, &inode, error))
		return NULL;
	if (!dps_btrfs_inode_list(self->fs, &inode, add_info, infos, error)) {
		dps_prefix_error(error, "%s: ", path);
		return NULL;
	}
	return g_steal_pointer(&infos);
}

/* Each read is a question of its own. */
typedef struct {
	BtrfsFiles *files;
	DpsBtrfsFile *file;
} OpenFile;

static gboolean
read_open_file(void *data, uint64_t offset, void *buffer, size_t size, GError **error)
{
	OpenFile *self = data;

	dps_btrfs_fs_renew(self->files->fs);
	return dps_btrfs_file_read(self->file, offset, buffer, size, error);
}

static void
btrfs_close(void *handle)
{
	OpenFile *self = handle;

	dps_btrfs_file_free(self->file);
	g_free(self);
}

static gboolean
btrfs_open(void *data, const char *path, DpsRegion *region, void **handle, GError **error)
{
	BtrfsFiles *self = data;
	DpsBtrfsInode inode;
	OpenFile *file;

	if (!walk(self, path, &inode, error))
		return FALSE;
	if (!S_ISREG(inode.mode))
		return dps_throw(error, DPS_ERROR_INVALID, "%s: no regular file", path);

	file = g_new0(OpenFile, 1);
	file->files = self;
	file->file = dps_btrfs_file_new(self->fs, &inode);
	*region = dps_region_over_reader(read_open_file, file, inode.size);
	*handle = file;
	return TRUE;
}

static char *
btrfs_read_link(void *data, const char *path, GError **error)
{
	BtrfsFiles *self = data;
	g_autofree char *target = NULL;
	DpsBtrfsInode inode;

	if (!walk(self, path, &inode, error))
		return NULL;
	target = dps_btrfs_inode_read_link(self->fs, &inode, error);
	if (!target)
		dps_prefix_error(error, "%s: ", path);
	return g_steal_pointer(&target);
}

static GBytes *
btrfs_get_attribute(void *data, const char *path, const char *name, GError **error)
{
	BtrfsFiles *self = data;
	DpsBtrfsInode inode;
	GBytes *value;

	if (!walk(self, path, &inode, error))
		return NULL;
	value = dps_btrfs_inode_get_attribute(self->fs, &inode, name, error);
	if (!value)
		dps_prefix_error(error, "%s: ", path);
	return value;
}

/* What btrfs has free is a question of many answers; nobody asks it of a root file system. */
static gboolean
btrfs_get_space(void *data, uint64_t *size, uint64_t *free_size, uint64_t *unit, GError **error)
{
	return dps_throw(error, DPS_ERROR_UNSUPPORTED, "free space: not counted in a btrfs");
}

static const DpsFilesClass btrfs_class = {
	.type = "btrfs",
	.stat = btrfs_stat,
	.list = btrfs_list,
	.open = btrfs_open,
	.close = btrfs_close,
	.read_link = btrfs_read_link,
	.get_attribute = btrfs_get_attribute,
	.get_space = btrfs_get_space,
	.free = btrfs_free,
};

DpsFiles *
dps_btrfs_open_files(const DpsRegion *region, uint64_t subvolume, GError **error)
{
	g_autoptr(BtrfsFiles) self = g_new0(BtrfsFiles, 1);
	const char *note = NULL;
	DpsBtrfsDefault found;

	self->fs = dps_btrfs_fs_open(region, error);
	if (!self->fs || !dps_btrfs_fs_read_default(self->fs, &found, error) ||
	    !dps_btrfs_fs_open_top(self->fs, subvolume ? subvolume : found.id, &self->top, error)) {
		dps_prefix_error(error, "btrfs: ");
		return NULL;
	}

	if (dps_btrfs_fs_get_super(self->fs)->log_root != 0)
		note = "is mounted, or was not unmounted: its log is not replayed here, and what "
		       "was written last may be missing";
	return dps_files_new(&btrfs_class, g_steal_pointer(&self), note);
}
