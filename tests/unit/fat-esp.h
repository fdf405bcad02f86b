/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "fat-image.h"
#include "format/fat-check.h"
#include "format/fat-file.h"
#include "format/fat-lookup.h"
#include "ground/error.h"

/* What the tests of FAT share: the widths, a small ESP of each, and the reader of it. */

G_GNUC_UNUSED static const guint widths[] = { 12, 16, 32 };

/* EFI/BOOT/BOOTX64.EFI, a file with a long name in the root, and an empty one. */
static inline Image *
make_esp(guint width)
{
	Image *image = image_new(width, width == 16 ? DPS_FAT16_MIN_CLUSTERS : 40);
	ImageDir root = image_root(image), efi, boot;

	image_add_short(image, &root, "THE LABEL  ", 0x08, 0, 0);
	efi = image_add_dir(image, &root, "EFI        ");
	boot = image_add_dir(image, &efi, "BOOT       ");
	image_add_file(image, &boot, NULL, "BOOTX64 EFI", 3000);
	image_add_file(image, &root, "Größe und mehr.conf", "GRE~1   CON", 700);
	image_add_file(image, &root, NULL, "EMPTY      ", 0);
	return image;
}

static inline DpsFat *
open_image(const Image *image)
{
	DpsRegion region = dps_region_over_memory(image->bytes, image->size);
	g_autoptr(GError) error = NULL;
	DpsFat *fat = dps_fat_open(&region, &error);

	g_assert_no_error(error);
	return fat;
}
