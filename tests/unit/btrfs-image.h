/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "format/btrfs.h"

/*
 * A small btrfs in memory, made from nothing: what unit tests and fuzzers read and edit.
 *
 *	id   path	 what
 *	5    /		 the top level, with a directory "d"
 *	256  root
 *	257  root/inner
 *	258  d/snap	 a read-only snapshot
 *	259  		 deleted, its root item is still there
 *
 * All of them share one tree, with a file "file": a hole of 4096 bytes, then 4096 times 'x'; its
 * attribute "user.x" has its own name as its value.
 */
typedef struct {
	/* set before making */
	uint32_t node_size;
	uint16_t checksum;
	guint n_copies;	   /* of metadata: 1 or 2 */
	uint32_t padding;  /* bytes more in the first root item: moves the default entry */
	uint64_t incompat; /* more features */
	uint64_t default_id;
	uint64_t default_offset;

	/* set by making */
	uint8_t *bytes;
	uint64_t size;
	uint64_t roots[2], tops[2]; /* where the copies of the two leaves are */
	uint32_t default_entry;	    /* where in the root tree's leaf */
} BtrfsImage;

#define BTRFS_IMAGE_ROOTS UINT64_C(0x1000000) /* logical addresses: root tree, top level tree */
#define BTRFS_IMAGE_DATA UINT64_C(0x1400000)
#define BTRFS_IMAGE_FILE_SIZE 8192
#define BTRFS_IMAGE_GENERATION 9

void btrfs_image_make(BtrfsImage *self);
void btrfs_image_clear(BtrfsImage *self);
DpsRegion btrfs_image_region(const BtrfsImage *self);

/* Gives a superblock or a tree block that was changed its true checksum again. */
void btrfs_image_sum(BtrfsImage *self, uint64_t at, size_t size);
void btrfs_image_sum_supers(BtrfsImage *self);
void btrfs_image_sum_leaf(BtrfsImage *self, const uint64_t *places);

/* The item with this key in a leaf: its key, and where its data is; it must be there. */
uint8_t *btrfs_image_find_item(BtrfsImage *self, uint64_t place, uint64_t objectid, uint8_t type);

/* Where the data of the item with this key is in a leaf; it must be there. */
uint8_t *btrfs_image_find(BtrfsImage *self, uint64_t place, uint64_t objectid, uint8_t type);
