/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "format/btrfs.h"
#include "ground/bytes.h"

/*
 * What the readers of btrfs share, and nobody else sees.  btrfs.c and btrfs-tree.c are two files
 * that need each other: where an address lies on the device is written in the chunk tree, and a
 * tree is read by addresses.
 */

/* struct btrfs_header, btrfs_key_ptr, btrfs_item. */
enum {
	NODE_BYTENR = 48,
	NODE_FSID = 32,
	NODE_GENERATION = 80,
	NODE_NRITEMS = 96,
	NODE_LEVEL = 100,
	NODE_HEADER_SIZE = 101,
	NODE_KEY_SIZE = 17,
	NODE_POINTER_SIZE = 33,
	NODE_ITEM_SIZE = 25,
	CHECKSUM_SIZE = DPS_CHECKSUM_MAX_SIZE,
	MAX_LEVEL = 7, /* BTRFS_MAX_LEVEL is 8 */
};

/*
 * What one object reads in all: room for half a million subvolumes, and a second of hashing at the
 * worst.  Visits are cheaper than reads, as blocks are kept; they are what a path costs.
 */
#define MAX_BYTES_READ (UINT64_C(256) << 20)
#define MAX_VISITS (UINT64_C(1) << 23)
/* What is kept of blocks, in bytes and blocks, and of chunks. */
#define CACHE_BYTES (1u << 20)
#define CACHE_NODES 64
#define CACHE_CHUNKS 64
/* A superblock's array has room for 2048 / (17 + 48 + 32) chunks. */
#define MAX_SYS_CHUNKS 21

typedef struct {
	uint64_t logical, size;
	uint64_t profile;
	guint n_stripes; /* also of those that are not kept */
	struct {
		uint64_t device_id, offset;
	} stripes[DPS_BTRFS_MAX_COPIES];
} DpsBtrfsChunk;

struct _DpsBtrfsNode {
	uint64_t logical, generation;
	uint32_t n;    /* items or pointers */
	uint8_t level; /* 0: a leaf */
	uint8_t bytes[];
};

struct _DpsBtrfsFs {
	DpsRegion region;
	DpsBtrfsSuper super;
	DpsBtrfsRoot root_tree, chunk_tree;
	DpsBtrfsChunk sys_chunks[MAX_SYS_CHUNKS];
	guint n_sys_chunks;
	DpsBtrfsChunk chunks[CACHE_CHUNKS]; /* found in the chunk tree; the oldest makes room */
	guint n_chunks, next_chunk;
	DpsBtrfsNode *nodes[CACHE_NODES];
	guint n_nodes, next_node, max_nodes;
	uint64_t bytes_left, visits_left;
};

/* struct btrfs_disk_key */
static inline DpsBtrfsKey
dps_btrfs_load_key(const uint8_t *p)
{
	return (DpsBtrfsKey){ dps_load_le64(p), p[8], dps_load_le64(p + 9) };
}

/* Whether a block or superblock starts with the checksum of the rest of it. */
gboolean dps_btrfs_checksum_fits(uint16_t type, const uint8_t *bytes, size_t size, gboolean *fits,
				 GError **error);

/*
 * dps_btrfs_fs_map(); with @only_system by the chunks of the superblock alone, in which the chunk
 * tree lies: so that looking for a chunk does not need a chunk to be looked for.
 */
gboolean dps_btrfs_fs_map_in(DpsBtrfsFs *self, uint64_t logical, uint32_t size,
			     gboolean only_system, uint64_t places[DPS_BTRFS_MAX_COPIES],
			     guint *n_places, GError **error);

void dps_btrfs_node_unref(DpsBtrfsNode *node);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DpsBtrfsNode, dps_btrfs_node_unref)
