/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include "ground/region.h"

/*
 * An image of a disk or of a file system as an input of a fuzzer: only what is not zero, so that
 * 64 MiB made by mkfs.btrfs are 10 KiB here, and any bytes are an image.  pack.py makes them.
 *
 *	u8	flags: FUZZ_KEEP_…
 *	u8	a number that the target may use as it likes
 *	u32	size of the image, in sectors of 512 bytes; what is above 256 MiB is cut
 *	then, as often as there is something left:
 *	u32	where on the image, in bytes
 *	u16	how many bytes
 *	…	the bytes, or as many of them as there are
 *
 * Little-endian.  Whoever changes a byte at random breaks a checksum and sees no reader behind it:
 * unpacking makes them all true again, unless the flags say otherwise.
 */
enum {
	FUZZ_KEEP_GPT_SUMS = 1 << 0,
	FUZZ_KEEP_BTRFS_SUMS = 1 << 1,
	FUZZ_KEEP_FAT_SUMS = 1 << 2,
	FUZZ_KEEP_EXT4_SUMS = 1 << 3,

	FUZZ_PACKED_HEADER = 6,
	FUZZ_PACKED_RUN = 6,
};
#define FUZZ_IMAGE_MAX (UINT64_C(256) << 20)

typedef struct {
	uint64_t offset;
	size_t size;
} FuzzRun;

typedef struct {
	guint8 flags, choice;
	uint8_t *bytes; /* pages that nobody touches cost nothing */
	uint64_t size;
	GArray *runs;	     /* (element-type FuzzRun): what was not zero */
	uint64_t bytes_read; /* through fuzz_image_region() */
} FuzzImage;

void fuzz_image_unpack(FuzzImage *self, const uint8_t *data, size_t size);
void fuzz_image_clear(FuzzImage *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(FuzzImage, fuzz_image_clear)

/* Makes the checksums true again that the flags do not keep. */
void fuzz_image_seal(FuzzImage *self);

/* Its bytes, counted, and nothing outside of them. */
DpsRegion fuzz_image_region(FuzzImage *self);

/* A descriptor of a file in memory with the same bytes; the caller closes it. */
int fuzz_image_to_fd(const FuzzImage *self);
