/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdint.h>

/*
 * A window on a file, a device or memory: the bytes from start to start + size and no others.
 * Every reader in format/ sees the medium through one of these, so none can reach outside the
 * partition it was given.  Offsets and sizes are in bytes; start + size never overflows.
 */
typedef struct {
	int fd;		    /* borrowed; -1 over memory */
	const uint8_t *mem; /* borrowed; only tests and fuzzers read memory */
	uint64_t start;
	uint64_t size;
} DpsRegion;

DpsRegion dps_region_over_fd(int fd, uint64_t start, uint64_t size);
DpsRegion dps_region_over_memory(const void *mem, uint64_t size);

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
