/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/esp.h"
#include "format/fat-file.h"
#include "format/fat-lookup.h"
#include "ground/error.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

struct _DpsEsp {
	DpsFat *fat; /* NULL for a directory; belongs to the files */
	DpsFiles *files;
	gboolean is_whole;
};

/* Whether a directory is the top of a file system: what is above it is another one, or itself. */
static gboolean
is_mount(int fd)
{
	struct stat own, above;

	return fstat(fd, &own) == 0 && fstatat(fd, "..", &above, 0) == 0 &&
	       (own.st_dev != above.st_dev || own.st_ino == above.st_ino);
}

static DpsFileInfo *
make_info(const DpsFatEntry *entry)
{
	DpsFileInfo *info = g_new0(DpsFileInfo, 1);

	info->name = g_strdup(entry->name);
	info->kind = entry->attributes & DPS_FAT_ATTRIBUTE_DIRECTORY ? DPS_FILE_DIRECTORY
								     : DPS_FILE_REGULAR;
	info->size = entry->size;
	info->is_name_damaged = entry->is_name_damaged;
	return info;
}

static DpsFileInfo *
fat_stat(void *fs, const char *path, GError **error)
{
	g_autoptr(DpsFatEntry) entry = dps_fat_lookup(fs, path, error);

	return entry ? make_info(entry) : NULL;
}

static GPtrArray *
fat_list(void *fs, const char *path, GError **error)
{
	g_autoptr(DpsFatEntry) directory = dps_fat_lookup(fs, path, error);
	g_autoptr(GPtrArray) entries = directory ? dps_fat_list(fs, directory, error) : NULL;
	GPtrArray *infos;

	if (!directory)
		return NULL;
	if (!entries) {
		dps_prefix_error(error, "%s: ", path);
		return NULL;
	}

	infos = g_ptr_array_new_with_free_func((GDestroyNotify)dps_file_info_free);
	for (guint i = 0; i < entries->len; i++)
		g_ptr_array_add(infos, make_info(g_ptr_array_index(entries, i)));
	return infos;
}

static gboolean
fat_open(void *fs, const char *path, DpsRegion *region, void **handle, GError **error)
{
	g_autoptr(DpsFatEntry) entry = dps_fat_lookup(fs, path, error);
	DpsFatFile *file = entry ? dps_fat_open_file(fs, entry, error) : NULL;

	if (!file)
		return FALSE;

	*region = dps_fat_file_get_region(file);
	*handle = file;
	return TRUE;
}

static void
fat_close(void *handle)
{
	dps_fat_file_free(handle);
}

static gboolean
fat_get_space(void *fs, uint64_t *size, uint64_t *free_size, uint64_t *unit, GError **error)
{
	const DpsFatGeometry *geo = dps_fat_get_geometry(fs);
	uint32_t n_free;

	if (!dps_fat_count_free(fs, &n_free, error)) {
		dps_prefix_error(error, "free space: ");
		return FALSE;
	}

	*unit = geo->cluster_size;
	*size = geo->n_clusters * geo->cluster_size;
	*free_size = n_free * geo->cluster_size;
	return TRUE;
}

static void
fat_free(void *fs)
{
	dps_fat_free(fs);
}

static const DpsFilesClass fat_class = {
	.type = "vfat",
	.stat = fat_stat,
	.list = fat_list,
	.open = fat_open,
	.close = fat_close,
	.get_space = fat_get_space,
	.free = fat_free,
};

DpsEsp *
dps_esp_open_dir(const char *path, GError **error)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	gboolean is_whole;
	DpsFiles *files;
	DpsEsp *self;

	if (fd < 0 && errno == ENOTDIR)
		return dps_throw_null(error, DPS_ERROR_INVALID, "%s: not a directory", path);
	if (fd < 0)
		return dps_throw_errno_null(error, errno, "%s", path);

	is_whole = is_mount(fd);
	files = dps_files_open_dir(fd, DPS_FILES_NO_LINKS | DPS_FILES_IGNORE_CASE, error);
	close(fd);
	if (!files) {
		dps_prefix_error(error, "%s: ", path);
		return NULL;
	}

	self = g_new0(DpsEsp, 1);
	self->files = files;
	self->is_whole = is_whole;
	return self;
}

DpsEsp *
dps_esp_open_region(const DpsRegion *region, GError **error)
{
	DpsFat *fat = dps_fat_open(region, error);
	DpsEsp *self;

	if (!fat)
		return NULL;

	self = g_new0(DpsEsp, 1);
	self->fat = fat;
	self->is_whole = TRUE;
	self->files = dps_files_new(&fat_class, fat, NULL);
	return self;
}

void
dps_esp_free(DpsEsp *self)
{
	if (!self)
		return;

	dps_files_free(self->files);
	g_free(self);
}

DpsFiles *
dps_esp_get_files(DpsEsp *self)
{
	return self->files;
}

DpsFat *
dps_esp_get_fat(DpsEsp *self)
{
	return self->fat;
}

gboolean
dps_esp_is_whole(DpsEsp *self)
{
	return self->is_whole;
}
