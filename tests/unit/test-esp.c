/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fat-image.h"
#include "ground/error.h"
#include "target/esp.h"

#include <unistd.h>

static const struct {
	const char *path, *content;
} files[] = {
	{ "EFI/BOOT/BOOTX64.EFI", "loader" },
	{ "EFI/Linux/a system-6.1.efi", "a kernel" },
	{ "loader.conf", "timeout 3\n" },
};

/* The same three files as a FAT in memory, */
static Image *
make_image(void)
{
	Image *image = image_new(32, 100);
	ImageDir root = image_root(image), efi, boot, linux_dir;
	ImageDir *dirs[] = { &boot, &linux_dir, &root };
	const char *const short_names[] = { "BOOTX64 EFI", "ASYSTE~1EFI", "LOADER~1CON" };
	const char *const long_names[] = { NULL, "a system-6.1.efi", "loader.conf" };

	efi = image_add_dir(image, &root, "EFI        ");
	boot = image_add_dir(image, &efi, "BOOT       ");
	image_add_name(image, &efi, "Linux", "LINUX      ");
	linux_dir = image_add_dir(image, &efi, "LINUX      ");
	for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
		guint size = (guint)strlen(files[i].content);
		guint first = image_add_file(image, dirs[i], long_names[i], short_names[i], size);

		memcpy(image->bytes + image_cluster(image, first), files[i].content, size);
	}
	return image;
}

/* and as a directory. */
static char *
make_directory(void)
{
	char *top = g_dir_make_tmp("dps-esp-XXXXXX", NULL);

	for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
		g_autofree char *path = g_build_filename(top, files[i].path, NULL);
		g_autofree char *dir = g_path_get_dirname(path);

		g_assert_cmpint(g_mkdir_with_parents(dir, 0755), ==, 0);
		g_assert_true(g_file_set_contents(path, files[i].content, -1, NULL));
	}
	return top;
}

static void
remove_directory(const char *top)
{
	g_autofree char *command = g_strdup_printf("rm -rf '%s'", top);

	g_assert_true(g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL));
}

/* Everything that can be asked, as text: what is not text is the same to both, or it shows. */
static void
describe(DpsFiles *all, const char *path, GString *out)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) infos = dps_files_list(all, path, &error);

	g_assert_no_error(error);
	for (guint i = 0; i < infos->len; i++) {
		const DpsFileInfo *info = g_ptr_array_index(infos, i);
		g_autofree char *child = g_strconcat(path, "/", info->name, NULL);
		g_autofree char *content = NULL;

		if (info->kind == DPS_FILE_REGULAR) {
			content = dps_files_read(all, child, 1000, NULL, &error);
			g_assert_no_error(error);
		}
		g_string_append_printf(out, "%s %d %u '%s'\n", child, (int)info->kind,
				       (guint)info->size, content ? content : "");
		if (info->kind == DPS_FILE_DIRECTORY)
			describe(all, child, out);
	}
}

static void
test_same_answers(void)
{
	static const struct {
		const char *path;
		gboolean is_there;
	} rows[] = {
		{ "/EFI/BOOT/BOOTX64.EFI", TRUE },
		{ "/efi/boot/bootx64.efi", TRUE },
		{ "efi/LINUX/A SYSTEM-6.1.EFI", TRUE },
		{ "EFI/linux/../boot//./", TRUE },
		{ "/", TRUE },
		{ "/EFI/BOOT/BOOTAA64.EFI", FALSE },
		{ "/loader.conf/entries", FALSE },
		{ "/loader", FALSE },
		{ "/../../EFI", TRUE },
		{ "/link", FALSE },
	};
	g_autoptr(Image) image = make_image();
	g_autofree char *top = make_directory(), *link = g_build_filename(top, "link", NULL);
	DpsRegion region = dps_region_over_memory(image->bytes, image->size);
	g_autoptr(GString) in_image = g_string_new(NULL), in_directory = g_string_new(NULL);
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsEsp) first = dps_esp_open_region(&region, &error);
	g_autoptr(DpsEsp) second = NULL;

	g_assert_no_error(error);
	/* FAT has no links: one that lies in an unpacked ESP is not there. */
	g_assert_cmpint(symlink("EFI", link), ==, 0);
	second = dps_esp_open_dir(top, &error);
	g_assert_no_error(error);
	g_assert_nonnull(dps_esp_get_fat(first));
	g_assert_null(dps_esp_get_fat(second));

	describe(dps_esp_get_files(first), "", in_image);
	describe(dps_esp_get_files(second), "", in_directory);
	g_assert_cmpstr(in_image->str, ==, in_directory->str);
	g_assert_nonnull(strstr(in_image->str, "/EFI/Linux/a system-6.1.efi 0 8 'a kernel'"));

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(DpsFileInfo) one = NULL, two = NULL;

		g_test_message("%s", rows[i].path);
		g_assert_true(
			dps_files_lookup(dps_esp_get_files(first), rows[i].path, &one, &error));
		g_assert_true(
			dps_files_lookup(dps_esp_get_files(second), rows[i].path, &two, &error));
		g_assert_cmpint(one != NULL, ==, rows[i].is_there);
		g_assert_cmpint(two != NULL, ==, rows[i].is_there);
	}
	remove_directory(top);
}

static void
test_space(void)
{
	g_autoptr(Image) image = make_image();
	DpsRegion region = dps_region_over_memory(image->bytes, image->size);
	g_autoptr(DpsEsp) esp = dps_esp_open_region(&region, NULL);
	uint64_t size = 0, unused = 0, unit = 0;

	g_assert_true(dps_files_get_space(dps_esp_get_files(esp), &size, &unused, &unit, NULL));
	g_assert_cmpuint(size, ==, 100 * 512);
	g_assert_cmpuint(unused, ==, (100 - 7) * 512); /* four directories, three files */
	g_assert_cmpuint(unit, ==, 512);
}

/* A file inside of the FAT is a region like any other: narrowed, bounded. */
static void
test_file_as_region(void)
{
	g_autoptr(Image) image = make_image();
	DpsRegion region = dps_region_over_memory(image->bytes, image->size), part;
	g_autoptr(DpsEsp) esp = dps_esp_open_region(&region, NULL);
	g_autoptr(DpsFile) file = dps_files_open(dps_esp_get_files(esp), "/loader.conf", NULL);
	g_autoptr(GError) error = NULL;
	char got[8] = "";

	g_assert_cmpuint(dps_file_get_region(file)->size, ==, 10);
	g_assert_true(dps_region_narrow(dps_file_get_region(file), 8, 2, &part, &error));
	g_assert_true(dps_region_read(&part, 0, got, 2, &error));
	g_assert_cmpstr(got, ==, "3\n");
	g_assert_false(dps_region_narrow(dps_file_get_region(file), 8, 3, &part, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
	g_assert_false(dps_region_read(&part, 1, got, 2, NULL));
}

static void
test_no_esp(void)
{
	static const guint8 nothing[4096];
	DpsRegion region = dps_region_over_memory(nothing, sizeof(nothing));
	g_autoptr(GError) error = NULL;

	g_assert_null(dps_esp_open_region(&region, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_UNSUPPORTED);
	g_clear_error(&error);
	g_assert_null(dps_esp_open_dir("/nonexistent/esp", &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_NOT_FOUND);
	g_clear_error(&error);
	g_assert_null(dps_esp_open_dir("/proc/self/status", &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_INVALID);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/esp/same-answers", test_same_answers);
	g_test_add_func("/esp/space", test_space);
	g_test_add_func("/esp/file-as-region", test_file_as_region);
	g_test_add_func("/esp/no-esp", test_no_esp);
	return g_test_run();
}
