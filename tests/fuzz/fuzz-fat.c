/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/fat-check.h"
#include "format/fat-lookup.h"
#include "fuzz-files.h"
#include "image-target.h"
#include "target/esp.h"

#include <string.h>

/*
 * A FAT (packed.h), the checksums of long names made true: geometry, clusters, names, files, and
 * whether it is consistent.
 *
 * Asserted: nothing outside of the partition is read; what is read in all is bounded; a failure
 * leaves its outputs alone; what is told is text, and the same twice; a name that is listed is
 * found.
 */
#define MAX_BYTES_READ (UINT64_C(4) << 30)

static void
tell_check(DpsFat *fat, GString *told)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) problems = dps_fat_check(fat, &error);

	if (!problems)
		fuzz_tell_error(told, &error);
	for (guint i = 0; problems && i < problems->len; i++) {
		const DpsFatProblem *problem = problems->pdata[i];

		/* A name is what it is; who shows it escapes it. */
		g_assert_true(!problem->path || g_utf8_validate(problem->path, -1, NULL));
		g_assert_true(g_utf8_validate(problem->message, -1, NULL));
		g_string_append_printf(told, "%s: %s\n", problem->path, problem->message);
	}
}

static void
tell_root(DpsFat *fat)
{
	g_autoptr(DpsFatEntry) root = dps_fat_lookup(fat, "", NULL);
	g_autoptr(GPtrArray) entries = root ? dps_fat_list(fat, root, NULL) : NULL;

	for (guint i = 0; entries && i < MIN(entries->len, 64); i++) {
		const DpsFatEntry *entry = entries->pdata[i];
		g_autoptr(DpsFatEntry) found = NULL;

		if (strchr(entry->name, '/') || strcmp(entry->name, ".") == 0 ||
		    strcmp(entry->name, "..") == 0 || strstr(entry->name, "\xEF\xBF\xBD"))
			continue;
		found = dps_fat_lookup(fat, entry->name, NULL);
		g_assert_nonnull(found);
	}
}

void
fuzz_image_tell(FuzzImage *image, GString *told)
{
	DpsRegion region = fuzz_image_region(image);
	DpsFatGeometry geometry = { .width = 99 };
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsFat) fat = NULL;
	g_autoptr(DpsEsp) esp = NULL;
	DpsFatState state = { .where = "x" };
	uint32_t n_free = 99;

	image->bytes_read = 0;
	if (!dps_fat_read_geometry(&region, &geometry, &error)) {
		g_assert_cmpuint(geometry.width, ==, 99);
		fuzz_tell_error(told, &error);
		g_assert_null(dps_fat_open(&region, NULL));
		return;
	}
	fat = dps_fat_open(&region, &error);
	if (!fat) {
		fuzz_tell_error(told, &error);
		return;
	}
	if (dps_fat_read_state(fat, &state, &error))
		g_string_append_printf(told, "%d %d\n", state.is_dirty, state.has_errors);
	else
		fuzz_tell_error(told, &error);
	if (dps_fat_count_free(fat, &n_free, &error)) {
		g_assert_cmpuint(n_free, <=, geometry.n_clusters);
		g_string_append_printf(told, "%u free\n", n_free);
	} else {
		g_assert_cmpuint(n_free, ==, 99);
		fuzz_tell_error(told, &error);
	}
	tell_root(fat);
	tell_check(fat, told);

	esp = dps_esp_open_region(&region, &error);
	if (esp)
		fuzz_tell_files(dps_esp_get_files(esp), NULL, told);
	else
		fuzz_tell_error(told, &error);
	g_assert_cmpuint(image->bytes_read, <=, MAX_BYTES_READ);
}
