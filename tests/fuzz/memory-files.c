/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "memory-files.h"
#include "ground/error.h"

#include <string.h>

void
fuzz_texts_split(FuzzTexts *self, const char *const *paths, const uint8_t *data, size_t size)
{
	*self = (FuzzTexts){ .paths = paths };
	for (guint i = 0; i < FUZZ_MAX_TEXTS && paths[i]; i++) {
		const uint8_t *end = size > 0 ? memchr(data, 0, size) : NULL;
		size_t length = end ? (size_t)(end - data) : size;

		self->texts[i].bytes = data;
		self->texts[i].size = length;
		/* Behind the last text all others are empty; of no input there is no address. */
		data = end ? end + 1 : data;
		size = end ? size - length - 1 : 0;
	}
}

static gboolean
is_above(const char *directory, const char *path)
{
	size_t size = strlen(directory);

	return strcmp(directory, "/") == 0 ||
	       (strncmp(directory, path, size) == 0 && path[size] == '/');
}

static DpsFileInfo *
do_stat(void *fs, const char *path, GError **error)
{
	const FuzzTexts *self = fs;
	g_autoptr(DpsFileInfo) info = g_new0(DpsFileInfo, 1);

	info->name = g_path_get_basename(path);
	for (guint i = 0; self->paths[i]; i++) {
		if (g_str_equal(path, self->paths[i])) {
			info->kind = DPS_FILE_REGULAR;
			info->size = self->texts[i].size;
			return g_steal_pointer(&info);
		}
		if (is_above(path, self->paths[i])) {
			info->kind = DPS_FILE_DIRECTORY;
			return g_steal_pointer(&info);
		}
	}
	return dps_throw_null(error, DPS_ERROR_NOT_FOUND, "%s: no such file", path);
}

static GPtrArray *
do_list(void *fs, const char *path, GError **error)
{
	const FuzzTexts *self = fs;
	GPtrArray *infos = g_ptr_array_new_with_free_func((GDestroyNotify)dps_file_info_free);

	for (guint i = 0; self->paths[i]; i++) {
		g_autofree char *parent = g_path_get_dirname(self->paths[i]);

		if (g_str_equal(parent, path))
			g_ptr_array_add(infos, do_stat(fs, self->paths[i], NULL));
	}
	return infos;
}

static gboolean
do_open(void *fs, const char *path, DpsRegion *region, void **handle, GError **error)
{
	const FuzzTexts *self = fs;

	for (guint i = 0; self->paths[i]; i++)
		if (g_str_equal(path, self->paths[i])) {
			*region = dps_region_over_memory(self->texts[i].bytes, self->texts[i].size);
			*handle = NULL;
			return TRUE;
		}
	return dps_throw(error, DPS_ERROR_NOT_FOUND, "%s: no such file", path);
}

static void
do_close(void *handle)
{
}

static void
do_free(void *fs)
{
}

static const DpsFilesClass class = {
	.type = "memory",
	.stat = do_stat,
	.list = do_list,
	.open = do_open,
	.close = do_close,
	.free = do_free,
};

DpsFiles *
fuzz_texts_open(FuzzTexts *texts)
{
	return dps_files_new(&class, texts, NULL);
}
