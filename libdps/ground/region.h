/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdint.h>

/*
 * A window on a file, a device or memory: the bytes from start to start + size and no others.
 * Every reader in format/ sees the medium through one of these, so none can reach outside the
 * partition it was given.  Offsets and sizes are in bytes; start + size never overflows.
 *
 * A region is a value and borrows what is below it: the descriptor, the memory or the reader must
 * live as long as the region and all that was narrowed from it.
 */

/**
 * DpsRegionReader:
 * @data: what dps_region_over_reader() was given
 * @offset: bytes from the start of what the reader reads
 * @buffer: room for @size bytes
 * @size: all of them, or it fails; never past the size that dps_region_over_reader() was given
 * @error: why it failed
 *
 * Reads from something that is no plain range of a descriptor: a file inside a FAT.
 *
 * Returns: %TRUE on success
 */
typedef gboolean (*DpsRegionReader)(void *data, uint64_t offset, void *buffer, size_t size,
				    GError **error);

typedef struct {
	int fd;		    /* borrowed; -1 over memory and over a reader */
	const uint8_t *mem; /* borrowed; mostly tests and fuzzers read memory */
	DpsRegionReader reader;
	void *reader_data; /* borrowed */
	uint64_t start;
	uint64_t size;
} DpsRegion;

DpsRegion dps_region_over_fd(int fd, uint64_t start, uint64_t size);
DpsRegion dps_region_over_memory(const void *mem, uint64_t size);

/* The @size bytes that @reader can give; @reader is never asked for anything outside of them. */
DpsRegion dps_region_over_reader(DpsRegionReader reader, void *data, uint64_t size);

/**
 * dps_region_narrow:
 * @self: a region
 * @offset: bytes from the start of @self
 * @size: bytes
 * @out: (out): the bytes of @self from @offset to @offset + @size; set only on success
 * @error: %DPS_ERROR_CORRUPT when they are not all inside @self
 *
 * Returns: %TRUE on success
 */
gboolean dps_region_narrow(const DpsRegion *self, uint64_t offset, uint64_t size, DpsRegion *out,
			   GError **error);

/**
 * dps_region_read:
 * @self: a region
 * @offset: bytes from the start of @self
 * @buffer: room for @size bytes; what it holds after a failure is of no meaning
 * @size: how many bytes to read: all of them, or it fails
 * @error: %DPS_ERROR_CORRUPT when they are not all inside @self, or the medium ends before; the
 *   code of errno when it cannot be read
 *
 * Returns: %TRUE on success
 */
gboolean dps_region_read(const DpsRegion *self, uint64_t offset, void *buffer, size_t size,
			 GError **error);
