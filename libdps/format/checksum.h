/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdint.h>

/*
 * The checksums of btrfs' superblocks and tree blocks, behind one call.  crc32c is our own; the
 * others need libraries that a build may lack, and then say so.
 */

/* The numbers are those of csum_type in a superblock. */
typedef enum {
	DPS_CHECKSUM_CRC32C = 0,
	DPS_CHECKSUM_XXHASH64 = 1,
	DPS_CHECKSUM_SHA256 = 2,
	DPS_CHECKSUM_BLAKE2B = 3, /* of 256 bits */
} DpsChecksum;

#define DPS_CHECKSUM_MAX_SIZE 32 /* bytes: the field on the medium; shorter ones end in zeros */

/* "crc32c", "xxhash64", "sha256", "blake2b"; %NULL for a number that is none of them */
const char *dps_checksum_get_name(uint16_t type);

/* How many bytes of the field count: 4, 8 or 32; 0 for a number that is none of them. */
size_t dps_checksum_get_size(uint16_t type);

/**
 * dps_checksum_compute:
 * @type: a #DpsChecksum, as read from the medium
 * @data: bytes
 * @size: how many
 * @out: (out): the field as it is on the medium; set only on success
 * @error: %DPS_ERROR_UNSUPPORTED: no such checksum, or this build of libdps has no library for it
 *
 * Returns: %TRUE on success
 */
gboolean dps_checksum_compute(uint16_t type, const uint8_t *data, size_t size,
			      uint8_t out[DPS_CHECKSUM_MAX_SIZE], GError **error);

/* The register of crc32c (no inversion before or after) when @data was fed to it. */
uint32_t dps_crc32c_feed(uint32_t reg, const uint8_t *data, size_t size);

/* The register of crc32c before @data was fed to it: dps_crc32c_feed() backwards. */
uint32_t dps_crc32c_unfeed(uint32_t reg, const uint8_t *data, size_t size);

/* The four bytes that take the register from @before to @after: there is always exactly one way. */
void dps_crc32c_bridge(uint32_t before, uint32_t after, uint8_t out[4]);
