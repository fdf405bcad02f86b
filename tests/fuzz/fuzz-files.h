/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "fuzz.h"
#include "target/files.h"

#include <string.h>

/* What a walk over one file system may cost: files that are looked at, and bytes read of each. */
#define FUZZ_MAX_FILES 200
#define FUZZ_MAX_DEPTH 6
#define FUZZ_MAX_FILE_SIZE 65536

static inline void
fuzz_tell_error(GString *told, GError **error)
{
	fuzz_check_error(*error);
	g_string_append_printf(told, "! %d %s\n", (*error)->code, (*error)->message);
	g_clear_error(error);
}

static inline void
fuzz_tell_file(DpsFiles *files, const char *path, GString *told)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsFile) file = dps_files_open(files, path, &error);
	g_autofree uint8_t *bytes = NULL;
	const DpsRegion *region;
	size_t size;

	if (!file) {
		fuzz_tell_error(told, &error);
		return;
	}
	region = dps_file_get_region(file);
	size = (size_t)MIN(region->size, FUZZ_MAX_FILE_SIZE);
	bytes = g_malloc(size + 1);
	if (dps_region_read(region, 0, bytes, size, &error))
		g_string_append_len(told, (const char *)bytes, (gssize)size);
	else
		fuzz_tell_error(told, &error);
	/* The end, and one behind it. */
	if (region->size > size && !dps_region_read(region, region->size - 1, bytes, 1, &error))
		fuzz_tell_error(told, &error);
	g_assert_false(dps_region_read(region, region->size, bytes, 1, NULL));
}

/* Every name below @path, what it is, and its first bytes. */
static inline void
fuzz_tell_directory(DpsFiles *files, const char *path, guint depth, guint *left, GString *told)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) infos = dps_files_list(files, path, &error);

	if (!infos) {
		fuzz_tell_error(told, &error);
		return;
	}
	g_assert_cmpuint(infos->len, <=, DPS_FILES_MAX_NAMES);
	for (guint i = 0; i<infos->len && * left> 0; i++) {
		const DpsFileInfo *info = infos->pdata[i];
		g_autofree char *below = g_build_filename(path, info->name, NULL);

		(*left)--;
		g_assert_true(g_utf8_validate(info->name, -1, NULL));
		g_assert_null(strchr(info->name, '/'));
		g_string_append_printf(told, "%s %u %" G_GUINT64_FORMAT " %o\n", below, info->kind,
				       info->size, info->mode);
		if (info->is_name_damaged)
			continue;
		if (info->kind == DPS_FILE_DIRECTORY && depth < FUZZ_MAX_DEPTH)
			fuzz_tell_directory(files, below, depth + 1, left, told);
		else
			fuzz_tell_file(files, below, told);
	}
}

static inline void
fuzz_tell_files(DpsFiles *files, const char *attribute, GString *told)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) value = NULL;
	uint64_t size, free_size, unit;
	guint left = FUZZ_MAX_FILES;

	fuzz_check_text(dps_files_get_note(files));
	fuzz_tell_directory(files, "/", 0, &left, told);
	if (attribute && !dps_files_get_attribute(files, "/", attribute, &value, &error))
		fuzz_tell_error(told, &error);
	if (value)
		g_string_append_len(told, g_bytes_get_data(value, NULL),
				    (gssize)g_bytes_get_size(value));
	if (dps_files_get_space(files, &size, &free_size, &unit, &error))
		g_string_append_printf(
			told, "%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT "\n",
			size, free_size, unit);
	else
		fuzz_tell_error(told, &error);
}
