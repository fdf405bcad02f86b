/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ground/guid.h"
#include "ground/region.h"

/*
 * dm-verity: the superblock in front of the hashes, the root hash that they lead to, and the
 * signature document of a verity-sig partition.
 *
 * Source: the kernel's Documentation/admin-guide/device-mapper/verity.rst; cryptsetup's on-disk
 * format of version 1; UAPI.2, "root-verity-sig".
 */

/* A value; text fields end with a NUL. */
typedef struct {
	uint32_t version;   /* 1 */
	uint32_t hash_type; /* 1; 0 is the format of Chromium OS */
	DpsGuid uuid;
	char algorithm[33];			   /* "sha256" */
	uint32_t data_block_size, hash_block_size; /* bytes */
	uint64_t data_blocks;
	uint16_t salt_size;
	uint8_t salt[256];
	uint64_t
		hash_area_size; /* bytes: superblock and all hash blocks, 0: does not fit 64 bits */
} DpsVerity;

/**
 * dps_verity_read:
 * @region: a verity partition
 * @out: (out): set only on success
 * @error: %DPS_ERROR_CORRUPT: no verity superblock, or its fields make no sense;
 *   %DPS_ERROR_UNSUPPORTED: a version that is not known
 *
 * Returns: %TRUE on success
 */
gboolean dps_verity_read(const DpsRegion *region, DpsVerity *out, GError **error);

/**
 * dps_verity_get_root_hash:
 * @region: the partition that @verity was read from
 * @verity: its superblock
 * @error: %DPS_ERROR_CORRUPT: the hashes end behind the partition; %DPS_ERROR_UNSUPPORTED: an
 *   algorithm that GLib does not have, or a tree without a hash block (a single data block)
 *
 * The hash of the topmost hash block, which is what a root hash is: one block is read.  That the
 * blocks below agree is for dm-verity to see.
 *
 * Returns: (transfer full): lower-case hexadecimal digits, %NULL on failure
 */
char *dps_verity_get_root_hash(const DpsRegion *region, const DpsVerity *verity, GError **error);

/* A value, cleared with dps_verity_signature_clear(). */
typedef struct {
	char *root_hash;	       /* lower-case hexadecimal digits */
	size_t signature_size;	       /* bytes of the PKCS#7 signature, which is not verified */
	char *certificate_fingerprint; /* lower-case hexadecimal digits, SHA-256; NULL: not there */
} DpsVeritySignature;

/**
 * dps_verity_signature_read:
 * @region: a verity-sig partition
 * @out: (out): set only on success
 * @error: %DPS_ERROR_CORRUPT: no document, or not what the specification asks for;
 *   %DPS_ERROR_UNSUPPORTED: larger than systemd reads (4 MiB)
 *
 * Returns: %TRUE on success
 */
gboolean dps_verity_signature_read(const DpsRegion *region, DpsVeritySignature *out,
				   GError **error);
void dps_verity_signature_clear(DpsVeritySignature *signature);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(DpsVeritySignature, dps_verity_signature_clear)
