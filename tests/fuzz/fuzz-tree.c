/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"
#include "ground/error.h"
#include "target/tree.h"

#include <string.h>

/*
 * The files of a tree that is in nobody's hands: the input is /etc/fstab, /usr/lib/os-release and
 * /etc/machine-id, with a NUL between them.
 */
typedef struct {
	const uint8_t *bytes;
	size_t size;
} Part;

static const char *const names[] = { "/etc/fstab", "/usr/lib/os-release", "/etc/machine-id" };

static DpsFileInfo *
do_stat(void *fs, const char *path, GError **error)
{
	const Part *parts = fs;
	DpsFileInfo *info = g_new0(DpsFileInfo, 1);

	info->name = g_path_get_basename(path);
	info->kind = DPS_FILE_REGULAR;
	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		if (g_str_equal(path, names[i])) {
			info->size = parts[i].size;
			return info;
		}
		if (g_str_has_prefix(names[i], path)) {
			info->kind = DPS_FILE_DIRECTORY;
			return info;
		}
	}
	dps_file_info_free(info);
	return dps_throw_null(error, DPS_ERROR_NOT_FOUND, "%s", path);
}

static GPtrArray *
do_list(void *fs, const char *path, GError **error)
{
	return g_ptr_array_new_with_free_func((GDestroyNotify)dps_file_info_free);
}

static gboolean
do_open(void *fs, const char *path, DpsRegion *region, void **handle, GError **error)
{
	const Part *parts = fs;

	for (guint i = 0; i < G_N_ELEMENTS(names); i++)
		if (g_str_equal(path, names[i])) {
			*region = dps_region_over_memory(parts[i].bytes, parts[i].size);
			*handle = NULL;
			return TRUE;
		}
	return dps_throw(error, DPS_ERROR_NOT_FOUND, "%s", path);
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

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const DpsTreeOrigin origin = { .partition = 1 };
	Part parts[G_N_ELEMENTS(names)] = { { NULL, 0 } };
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsTree) tree = NULL;
	GPtrArray *fstab;

	for (guint i = 0; i < G_N_ELEMENTS(parts); i++) {
		const uint8_t *end = size > 0 ? memchr(data, 0, size) : NULL;
		size_t length = end ? (size_t)(end - data) : size;

		parts[i] = (Part){ data, length };
		size -= end ? length + 1 : length;
		if (end)
			data = end + 1;
	}

	tree = dps_tree_open_files(dps_files_new(&class, parts, NULL), -1, "disk.raw: partition 1",
				   &origin, &error);
	if (!tree) {
		fuzz_check_text(error->message);
		return 0;
	}
	fstab = dps_tree_get_fstab(tree);
	for (guint i = 0; i < fstab->len; i++) {
		const DpsFstabEntry *entry = fstab->pdata[i];

		g_assert_nonnull(entry->spec);
	}
	dps_tree_get_arch(tree);
	return 0;
}
