/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"
#include "../unit/fat-image.h"
#include "format/fat-check.h"
#include "format/fat-directory.h"
#include "format/fat-file.h"

/*
 * The first byte is the width; 0xEB: what follows is an image as it is.  Else a list of changes to
 * a small image that is right, of five bytes each: where, an offset (two bytes, the low one first),
 * a value, and what to do with it.
 */
#define CHANGE_SIZE 5
#define MAX_CHANGES 64
#define MAX_DEPTH 8

static Image *
make_image(guint width)
{
	Image *image = image_new(width, width == 16 ? DPS_FAT16_MIN_CLUSTERS : 40);
	ImageDir root = image_root(image), efi, boot;

	image_add_short(image, &root, "THE LABEL  ", 0x08, 0, 0);
	efi = image_add_dir(image, &root, "EFI        ");
	boot = image_add_dir(image, &efi, "BOOT       ");
	image_add_file(image, &boot, NULL, "BOOTX64 EFI", 3000);
	image_add_file(image, &root, "Größe und mehr.conf", "GRE~1   CON", 700);
	return image;
}

static void
change(Image *image, const uint8_t *data)
{
	/* The boot sector, the first sector of each FAT, the directories. */
	const size_t places[] = { 0, image->fat, image->root, image->data };
	size_t start = places[data[0] % 4];
	size_t room = MIN(data[0] % 4 == 3 ? 4096 : 512, image->size - start);
	size_t at = start + (data[1] | (size_t)data[2] << 8) % room;

	if (data[4] & 1)
		memset(image->bytes + at, data[3], MIN(4, image->size - at));
	else
		image->bytes[at] = data[3];
}

static void
read_directory(DpsFat *fat, const DpsFatEntry *directory, guint depth, guint *left)
{
	g_autoptr(GPtrArray) entries = dps_fat_list(fat, directory, NULL);

	for (guint i = 0; entries && i<entries->len && * left> 0; i++) {
		const DpsFatEntry *entry = entries->pdata[i];
		g_autoptr(DpsFatFile) file = NULL;
		uint8_t bytes[512];

		(*left)--;
		g_assert_true(g_utf8_validate(entry->name, -1, NULL));
		if (entry->attributes & DPS_FAT_ATTRIBUTE_DIRECTORY) {
			if (depth < MAX_DEPTH)
				read_directory(fat, entry, depth + 1, left);
			continue;
		}
		file = dps_fat_open_file(fat, entry, NULL);
		if (file) {
			DpsRegion region = dps_fat_file_get_region(file);

			dps_region_read(&region, 0, bytes, MIN(sizeof(bytes), region.size), NULL);
			if (region.size > sizeof(bytes))
				dps_region_read(&region, region.size - 1, bytes, 1, NULL);
		}
	}
}

static void
read_all(const DpsRegion *region)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsFat) fat = dps_fat_open(region, &error);
	g_autoptr(DpsFatEntry) root = NULL;
	g_autoptr(DpsFatEntry) file = NULL;
	g_autoptr(GPtrArray) problems = NULL;
	DpsFatState state;
	uint32_t n_free;
	guint left = 1000;

	if (!fat) {
		fuzz_check_text(error->message);
		return;
	}
	dps_fat_read_state(fat, &state, NULL);
	dps_fat_count_free(fat, &n_free, NULL);
	root = dps_fat_lookup(fat, "", NULL);
	if (root)
		read_directory(fat, root, 0, &left);
	file = dps_fat_lookup(fat, "/efi/boot/bootx64.efi", NULL);
	problems = dps_fat_check(fat, NULL);
	for (guint i = 0; problems && i < problems->len; i++) {
		const DpsFatProblem *problem = problems->pdata[i];

		/* A name is what it is; who shows it escapes it. */
		g_assert_true(!problem->path || g_utf8_validate(problem->path, -1, NULL));
		g_assert_true(g_utf8_validate(problem->message, -1, NULL));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const guint widths[] = { 12, 16, 32 };
	g_autoptr(Image) image = NULL;
	DpsRegion region;

	if (size > 512 && data[0] == 0xEB) {
		region = dps_region_over_memory(data, size);
		read_all(&region);
		return 0;
	}
	image = make_image(widths[size > 0 ? data[0] % 3 : 0]);
	for (guint i = 0; i < MAX_CHANGES && (i + 1) * CHANGE_SIZE < size; i++)
		change(image, data + 1 + (size_t)i * CHANGE_SIZE);
	region = dps_region_over_memory(image->bytes, image->size);
	read_all(&region);
	return 0;
}
