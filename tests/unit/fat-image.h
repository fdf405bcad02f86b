/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ground/bytes.h"
#include "ground/region.h"

#include <glib.h>
#include <string.h>

/*
 * Small FATs in memory, for tests: written after the specification, apart from the reader, and
 * small enough to be cut and bent at every byte.  Clusters are one sector of 512 bytes.
 */

#define IMAGE_SECTOR 512

typedef struct {
	guint8 *bytes;
	gsize size;
	guint width;
	guint n_clusters;
	guint fat_sectors;
	guint root_entries;
	gsize fat, root, data; /* offsets, bytes */
	guint next;	       /* the first cluster that nobody has */
} Image;

/* Where the next entry of a directory goes. */
typedef struct {
	guint cluster; /* 0: the root */
	gsize at;
} ImageDir;

static inline void
image_store16(guint8 *p, guint value)
{
	p[0] = (guint8)value;
	p[1] = (guint8)(value >> 8);
}

static inline gsize
image_cluster(const Image *image, guint cluster)
{
	return image->data + (gsize)(cluster - 2) * IMAGE_SECTOR;
}

/* An entry of both copies. */
static inline void
image_set(Image *image, guint cluster, guint32 value)
{
	for (guint copy = 0; copy < 2; copy++) {
		guint8 *fat = image->bytes + image->fat + copy * image->fat_sectors * IMAGE_SECTOR;

		if (image->width == 32) {
			dps_store_le32(fat + cluster * 4, value);
		} else if (image->width == 16) {
			image_store16(fat + cluster * 2, value & 0xFFFF);
		} else {
			guint8 *p = fat + cluster * 3 / 2;
			guint both = dps_load_le16(p);

			both = cluster % 2 ? (both & 0x000F) | (value & 0xFFF) << 4
					   : (both & 0xF000) | (value & 0xFFF);
			image_store16(p, both);
		}
	}
}

static inline Image *
image_new(guint width, guint n_clusters)
{
	Image *image = g_new0(Image, 1);
	guint reserved = width == 32 ? 8 : 1;
	guint8 *boot, *tail;

	image->width = width;
	image->n_clusters = n_clusters;
	image->fat_sectors = ((n_clusters + 2) * width / 8 + 1 + IMAGE_SECTOR - 1) / IMAGE_SECTOR;
	image->root_entries = width == 32 ? 0 : 32;
	image->fat = (gsize)reserved * IMAGE_SECTOR;
	image->root = image->fat + 2 * (gsize)image->fat_sectors * IMAGE_SECTOR;
	image->data = image->root + image->root_entries * 32;
	image->size = image->data + (gsize)n_clusters * IMAGE_SECTOR;
	image->bytes = g_malloc0(image->size);
	image->next = 2;

	boot = image->bytes;
	memcpy(boot,
	       "\xEB\x58\x90"
	       "testfat ",
	       11);
	image_store16(boot + 11, IMAGE_SECTOR);
	boot[13] = 1;
	image_store16(boot + 14, reserved);
	boot[16] = 2;
	image_store16(boot + 17, image->root_entries);
	dps_store_le32(boot + 32, (guint32)(image->size / IMAGE_SECTOR));
	boot[21] = 0xF8;
	if (width != 32)
		image_store16(boot + 22, image->fat_sectors);
	tail = boot + (width == 32 ? 64 : 36);
	tail[0] = 0x80;
	tail[2] = 0x29;
	dps_store_le32(tail + 3, 0xC0FFEE01);
	memcpy(tail + 7, "TEST       ", 11);
	boot[510] = 0x55;
	boot[511] = 0xAA;

	if (width == 32) {
		guint8 *info = boot + IMAGE_SECTOR;

		dps_store_le32(boot + 36, image->fat_sectors);
		dps_store_le32(boot + 44, 2); /* the root */
		image_store16(boot + 48, 1);  /* FSInfo */
		image_store16(boot + 50, 6);  /* the backup */
		dps_store_le32(info, 0x41615252);
		dps_store_le32(info + 484, 0x61417272);
		dps_store_le32(info + 488, n_clusters - 1);
		dps_store_le32(info + 508, 0xAA550000);
		memcpy(boot + 6 * IMAGE_SECTOR, boot, IMAGE_SECTOR);
	}

	image_set(image, 0, 0x0FFFFFF8);
	image_set(image, 1, 0x0FFFFFFF);
	if (width == 32)
		image_set(image, image->next++, 0x0FFFFFFF);
	return image;
}

static inline void
image_free(Image *image)
{
	g_free(image->bytes);
	g_free(image);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Image, image_free)

static inline ImageDir
image_root(const Image *image)
{
	return (ImageDir){ .at = image->width == 32 ? image_cluster(image, 2) : image->root };
}

/* The 32 bytes that come next in a directory, which never grows over a sector here. */
static inline guint8 *
image_slot(Image *image, ImageDir *dir)
{
	guint8 *slot = image->bytes + dir->at;

	dir->at += 32;
	return slot;
}

static inline guint8
image_checksum(const char *short_name)
{
	guint8 sum = 0;

	for (guint i = 0; i < 11; i++)
		sum = (guint8)(((sum & 1) << 7 | sum >> 1) + (guint8)short_name[i]);
	return sum;
}

/* The parts of a long name, of UTF-16; as Windows writes them. */
static inline void
image_add_long(Image *image, ImageDir *dir, const gunichar2 *units, guint n, guint8 checksum)
{
	guint n_parts = (n + 12) / 13;

	for (guint part = n_parts; part > 0; part--) {
		guint8 *slot = image_slot(image, dir);

		slot[0] = (guint8)(part | (part == n_parts ? 0x40 : 0));
		slot[11] = 0x0F;
		slot[13] = checksum;
		for (guint i = 0; i < 13; i++) {
			guint k = (part - 1) * 13 + i;
			guint unit = k < n ? units[k] : k == n ? 0 : 0xFFFF;

			image_store16(slot + (i < 5    ? 1 + 2 * i
					      : i < 11 ? 14 + 2 * (i - 5)
						       : 28 + 2 * (i - 11)),
				      unit);
		}
	}
}

/* The short entry; eleven characters of name. */
static inline guint8 *
image_add_short(Image *image, ImageDir *dir, const char *short_name, guint attributes,
		guint cluster, guint32 size)
{
	guint8 *slot = image_slot(image, dir);

	memcpy(slot, short_name, 11);
	slot[11] = (guint8)attributes;
	image_store16(slot + 26, cluster & 0xFFFF);
	image_store16(slot + 20, cluster >> 16);
	dps_store_le32(slot + 28, size);
	return slot;
}

static inline void
image_add_name(Image *image, ImageDir *dir, const char *name, const char *short_name)
{
	glong n;
	g_autofree gunichar2 *units = g_utf8_to_utf16(name, -1, NULL, &n, NULL);

	image_add_long(image, dir, units, (guint)n, image_checksum(short_name));
}

/* A file with these clusters, in this order; each byte of it tells where it is. */
static inline guint8
image_content(gsize at)
{
	return (guint8)(at * 7 + at / 251);
}

static inline void
image_add_chain(Image *image, const guint *clusters, guint n, guint32 size)
{
	for (guint i = 0; i < n; i++) {
		guint8 *to = image->bytes + image_cluster(image, clusters[i]);

		image_set(image, clusters[i], i + 1 < n ? clusters[i + 1] : 0x0FFFFFFF);
		for (gsize k = 0; k < IMAGE_SECTOR && i * IMAGE_SECTOR + k < size; k++)
			to[k] = image_content(i * IMAGE_SECTOR + k);
	}
}

/* A file of so many bytes in the clusters that come next; returns its first cluster. */
static inline guint
image_add_file(Image *image, ImageDir *dir, const char *name, const char *short_name, guint32 size)
{
	guint n = (size + IMAGE_SECTOR - 1) / IMAGE_SECTOR, first = n > 0 ? image->next : 0;
	g_autofree guint *clusters = g_new(guint, n + 1);

	for (guint i = 0; i < n; i++)
		clusters[i] = image->next++;
	image_add_chain(image, clusters, n, size);
	if (name)
		image_add_name(image, dir, name, short_name);
	image_add_short(image, dir, short_name, 0x20, first, size);
	return first;
}

static inline ImageDir
image_add_dir(Image *image, ImageDir *dir, const char *short_name)
{
	guint cluster = image->next++;
	ImageDir new = { .cluster = cluster, .at = image_cluster(image, cluster) };

	image_set(image, cluster, 0x0FFFFFFF);
	image_add_short(image, dir, short_name, 0x10, cluster, 0);
	image_add_short(image, &new, ".          ", 0x10, cluster, 0);
	image_add_short(image, &new, "..         ", 0x10, dir->cluster, 0);
	return new;
}
