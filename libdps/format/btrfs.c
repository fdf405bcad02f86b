/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/btrfs.h"
#include "ground/bytes.h"
#include "ground/error.h"

#include <inttypes.h>
#include <string.h>

/* BTRFS_SUPER_MIRROR_MAX and btrfs_sb_offset() of the kernel's fs/btrfs. */
static const uint64_t super_offsets[DPS_BTRFS_MAX_SUPERS] = { 0x10000, 0x4000000, 0x4000000000 };

/* struct btrfs_super_block: where its fields are. */
enum {
	SUPER_FSID = 32,
	SUPER_BYTENR = 48,
	SUPER_FLAGS = 56,
	SUPER_MAGIC = 64,
	SUPER_GENERATION = 72,
	SUPER_ROOT = 80,
	SUPER_CHUNK_ROOT = 88,
	SUPER_LOG_ROOT = 96,
	SUPER_TOTAL_BYTES = 112,
	SUPER_ROOT_DIR = 128,
	SUPER_NUM_DEVICES = 136,
	SUPER_SECTORSIZE = 144,
	SUPER_NODESIZE = 148,
	SUPER_SYS_ARRAY_SIZE = 160,
	SUPER_CHUNK_ROOT_GENERATION = 164,
	SUPER_COMPAT_RO = 180,
	SUPER_INCOMPAT = 188,
	SUPER_CSUM_TYPE = 196,
	SUPER_ROOT_LEVEL = 198,
	SUPER_CHUNK_ROOT_LEVEL = 199,
	SUPER_DEV_ITEM_DEVID = 201,
	SUPER_DEV_ITEM_TOTAL_BYTES = 209,
	SUPER_METADATA_UUID = 571,
	SUPER_SYS_ARRAY = 811,
	SUPER_SYS_ARRAY_ROOM = 2048, /* BTRFS_SYSTEM_CHUNK_ARRAY_SIZE */
};

#define INCOMPAT_METADATA_UUID (UINT64_C(1) << 10)

/*
 * The features that do not change what is read here: bits 0 to 11 (all that kernel 5.5 knew), zoned
 * (12), raid-stripe-tree (14), simple quotas (16).  extent-tree-v2 (13) and remap-tree (17) move
 * what this reader looks for; others are not known.
 */
#define INCOMPAT_READABLE UINT64_C(0x15fff)

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

/* struct btrfs_chunk and btrfs_stripe. */
enum {
	CHUNK_HEADER_SIZE = 48,
	CHUNK_STRIPE_SIZE = 32,
	CHUNK_FIRST_OBJECTID = 256,
};

#define CHUNK_RAID0 (UINT64_C(1) << 3)
#define CHUNK_RAID1 (UINT64_C(1) << 4)
#define CHUNK_DUP (UINT64_C(1) << 5)
#define CHUNK_RAID1C3 (UINT64_C(1) << 9)
#define CHUNK_RAID1C4 (UINT64_C(1) << 10)
#define CHUNK_PROFILES UINT64_C(0x7f8)	/* bits 3 to 10 */
#define CHUNK_REMAPPED UINT64_C(0x1800) /* bits 11 and 12: the remap tree has them */

/* struct btrfs_dir_item; the name and the data follow. */
#define DIR_ENTRY_SIZE 30
/* struct btrfs_root_item as it was before kernel 3.6: what came later is not asked for. */
#define ROOT_ITEM_SIZE 239
/* struct btrfs_root_ref; the name follows. */
#define ROOT_REF_SIZE 18
/* struct btrfs_inode_ref; the name follows. */
#define INODE_REF_SIZE 10

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
/* Subvolumes: how many, and all their paths together; the limits keep a list below 16 MiB. */
#define MAX_SUBVOLUMES 65536
#define MAX_PATHS_SIZE (8u << 20)
/* PATH_MAX of Linux: what is deeper cannot be named to a mount. */
#define MAX_PATH_SIZE 4096

typedef struct {
	uint64_t logical, size;
	uint64_t profile;
	guint n_stripes; /* also of those that are not kept */
	struct {
		uint64_t device_id, offset;
	} stripes[DPS_BTRFS_MAX_COPIES];
} Chunk;

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
	Chunk sys_chunks[MAX_SYS_CHUNKS];
	guint n_sys_chunks;
	Chunk chunks[CACHE_CHUNKS]; /* found in the chunk tree; the oldest makes room */
	guint n_chunks, next_chunk;
	DpsBtrfsNode *nodes[CACHE_NODES];
	guint n_nodes, next_node, max_nodes;
	uint64_t bytes_left, visits_left;
};

int
dps_btrfs_key_compare(const DpsBtrfsKey *a, const DpsBtrfsKey *b)
{
	if (a->objectid != b->objectid)
		return a->objectid < b->objectid ? -1 : 1;
	if (a->type != b->type)
		return a->type < b->type ? -1 : 1;
	if (a->offset != b->offset)
		return a->offset < b->offset ? -1 : 1;
	return 0;
}

/* struct btrfs_disk_key */
static DpsBtrfsKey
load_key(const uint8_t *p)
{
	return (DpsBtrfsKey){ dps_load_le64(p), p[8], dps_load_le64(p + 9) };
}

/* The least key behind @key; FALSE when @key is the last one there can be. */
static gboolean
key_successor(DpsBtrfsKey *key)
{
	if (key->offset < UINT64_MAX) {
		key->offset++;
		return TRUE;
	}
	key->offset = 0;
	if (key->type < UINT8_MAX) {
		key->type++;
		return TRUE;
	}
	key->type = 0;
	return ++key->objectid != 0;
}

/* Superblock */

static gboolean
checksum_fits(uint16_t type, const uint8_t *bytes, size_t size, gboolean *fits, GError **error)
{
	uint8_t sum[DPS_CHECKSUM_MAX_SIZE];

	if (!dps_checksum_compute(type, bytes + CHECKSUM_SIZE, size - CHECKSUM_SIZE, sum, error))
		return FALSE;

	*fits = memcmp(sum, bytes, dps_checksum_get_size(type)) == 0;
	return TRUE;
}

static gboolean
is_block_size(uint32_t size)
{
	/* Powers of two from 4 KiB to 64 KiB: BTRFS_MIN_BLOCKSIZE, BTRFS_MAX_METADATA_BLOCKSIZE. */
	return size >= 4096 && size <= 65536 && (size & (size - 1)) == 0;
}

gboolean
dps_btrfs_super_parse(const uint8_t *bytes, uint64_t offset, DpsBtrfsSuper *out, GError **error)
{
	DpsBtrfsSuper super = {
		.bytenr = dps_load_le64(bytes + SUPER_BYTENR),
		.flags = dps_load_le64(bytes + SUPER_FLAGS),
		.generation = dps_load_le64(bytes + SUPER_GENERATION),
		.root = dps_load_le64(bytes + SUPER_ROOT),
		.chunk_root = dps_load_le64(bytes + SUPER_CHUNK_ROOT),
		.chunk_root_generation = dps_load_le64(bytes + SUPER_CHUNK_ROOT_GENERATION),
		.log_root = dps_load_le64(bytes + SUPER_LOG_ROOT),
		.total_bytes = dps_load_le64(bytes + SUPER_TOTAL_BYTES),
		.root_dir = dps_load_le64(bytes + SUPER_ROOT_DIR),
		.n_devices = dps_load_le64(bytes + SUPER_NUM_DEVICES),
		.compat_ro = dps_load_le64(bytes + SUPER_COMPAT_RO),
		.incompat = dps_load_le64(bytes + SUPER_INCOMPAT),
		.device_id = dps_load_le64(bytes + SUPER_DEV_ITEM_DEVID),
		.device_total_bytes = dps_load_le64(bytes + SUPER_DEV_ITEM_TOTAL_BYTES),
		.sector_size = dps_load_le32(bytes + SUPER_SECTORSIZE),
		.node_size = dps_load_le32(bytes + SUPER_NODESIZE),
		.sys_array_size = dps_load_le32(bytes + SUPER_SYS_ARRAY_SIZE),
		.checksum = dps_load_le16(bytes + SUPER_CSUM_TYPE),
		.root_level = bytes[SUPER_ROOT_LEVEL],
		.chunk_root_level = bytes[SUPER_CHUNK_ROOT_LEVEL],
	};
	gboolean fits;

	if (memcmp(bytes + SUPER_MAGIC, "_BHRfS_M", 8) != 0)
		return dps_throw(error, DPS_ERROR_UNSUPPORTED,
				 "superblock at byte %" PRIu64 ": no signature of btrfs", offset);
	if (!checksum_fits(super.checksum, bytes, DPS_BTRFS_SUPER_SIZE, &fits, error)) {
		g_prefix_error(error, "superblock at byte %" PRIu64 ": ", offset);
		return FALSE;
	}
	if (!fits)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "superblock at byte %" PRIu64 ": wrong checksum", offset);
	if (super.bytenr != offset)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "superblock at byte %" PRIu64 ": says that it is at %" PRIu64,
				 offset, super.bytenr);
	if (!is_block_size(super.sector_size) || !is_block_size(super.node_size))
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "superblock at byte %" PRIu64
				 ": sectors of %u and nodes of %u bytes",
				 offset, super.sector_size, super.node_size);
	if (super.root_level > MAX_LEVEL || super.chunk_root_level > MAX_LEVEL)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "superblock at byte %" PRIu64 ": trees of %u and %u levels",
				 offset, super.root_level + 1u, super.chunk_root_level + 1u);
	if (super.sys_array_size > SUPER_SYS_ARRAY_ROOM)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "superblock at byte %" PRIu64 ": %u bytes of system chunks",
				 offset, super.sys_array_size);
	if (super.n_devices == 0)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "superblock at byte %" PRIu64 ": no devices", offset);

	memcpy(super.fsid, bytes + SUPER_FSID, sizeof(super.fsid));
	memcpy(super.metadata_uuid,
	       bytes + (super.incompat & INCOMPAT_METADATA_UUID ? SUPER_METADATA_UUID : SUPER_FSID),
	       sizeof(super.metadata_uuid));
	*out = super;
	return TRUE;
}

gboolean
dps_btrfs_super_get_offset(const DpsBtrfsSuper *super, guint copy, uint64_t *offset)
{
	/* As the kernel's write_dev_supers() decides; the first is always there. */
	if (copy >= DPS_BTRFS_MAX_SUPERS)
		return FALSE;
	if (copy > 0 && super_offsets[copy] + DPS_BTRFS_SUPER_SIZE >= super->device_total_bytes)
		return FALSE;

	*offset = super_offsets[copy];
	return TRUE;
}

/* Chunks: where addresses of the file system are on the device */

static gboolean
parse_chunk(uint64_t logical, const uint8_t *p, size_t size, Chunk *out, GError **error)
{
	Chunk chunk = { .logical = logical };

	if (size < CHUNK_HEADER_SIZE)
		return dps_throw(error, DPS_ERROR_CORRUPT, "chunk %" PRIu64 ": cut short", logical);

	chunk.size = dps_load_le64(p);
	chunk.profile = dps_load_le64(p + 24) & (CHUNK_PROFILES | CHUNK_REMAPPED);
	chunk.n_stripes = dps_load_le16(p + 44);
	if (chunk.n_stripes == 0 ||
	    chunk.n_stripes > (size - CHUNK_HEADER_SIZE) / CHUNK_STRIPE_SIZE)
		return dps_throw(error, DPS_ERROR_CORRUPT, "chunk %" PRIu64 ": %u stripes", logical,
				 chunk.n_stripes);
	if (chunk.size == 0 || chunk.size > UINT64_MAX - logical)
		return dps_throw(error, DPS_ERROR_CORRUPT, "chunk %" PRIu64 ": %" PRIu64 " bytes",
				 logical, chunk.size);

	for (guint i = 0; i < MIN(chunk.n_stripes, DPS_BTRFS_MAX_COPIES); i++) {
		const uint8_t *stripe = p + CHUNK_HEADER_SIZE + i * CHUNK_STRIPE_SIZE;

		chunk.stripes[i].device_id = dps_load_le64(stripe);
		chunk.stripes[i].offset = dps_load_le64(stripe + 8);
	}
	*out = chunk;
	return TRUE;
}

static gboolean
read_sys_chunks(DpsBtrfsFs *self, const uint8_t *p, size_t size, GError **error)
{
	while (size > 0) {
		DpsBtrfsKey key;
		Chunk chunk;
		size_t used;

		if (size < NODE_KEY_SIZE || self->n_sys_chunks == MAX_SYS_CHUNKS)
			return dps_throw(error, DPS_ERROR_CORRUPT,
					 "superblock: system chunks: %" G_GSIZE_FORMAT
					 " bytes too many",
					 size);
		key = load_key(p);
		if (key.type != DPS_BTRFS_CHUNK_ITEM)
			return dps_throw(error, DPS_ERROR_CORRUPT,
					 "superblock: system chunks: an item of type %u", key.type);
		p += NODE_KEY_SIZE;
		size -= NODE_KEY_SIZE;
		if (!parse_chunk(key.offset, p, size, &chunk, error)) {
			g_prefix_error(error, "superblock: ");
			return FALSE;
		}
		self->sys_chunks[self->n_sys_chunks++] = chunk;
		used = CHUNK_HEADER_SIZE + (size_t)chunk.n_stripes * CHUNK_STRIPE_SIZE;
		p += used;
		size -= used;
	}
	return TRUE;
}

static const Chunk *
find_chunk(const Chunk *chunks, guint n, uint64_t logical)
{
	for (guint i = 0; i < n; i++)
		if (logical >= chunks[i].logical && logical - chunks[i].logical < chunks[i].size)
			return &chunks[i];

	return NULL;
}

static const Chunk *
get_chunk(DpsBtrfsFs *self, uint64_t logical, gboolean only_system, GError **error)
{
	const Chunk *chunk = find_chunk(self->sys_chunks, self->n_sys_chunks, logical);
	DpsBtrfsKey key = { CHUNK_FIRST_OBJECTID, DPS_BTRFS_CHUNK_ITEM, logical };
	g_auto(DpsBtrfsItem) item = { NULL };
	Chunk found;

	if (!chunk && !only_system)
		chunk = find_chunk(self->chunks, self->n_chunks, logical);
	if (chunk)
		return chunk;

	/* The chunk tree itself is in system chunks, so that this does not come back here. */
	if (only_system ||
	    !dps_btrfs_fs_search_floor(self, &self->chunk_tree, &key, &item, error)) {
		if (only_system)
			dps_throw(error, DPS_ERROR_CORRUPT,
				  "address %" PRIu64 ": in no system chunk", logical);
		return NULL;
	}
	if (!item.node || item.key.objectid != key.objectid || item.key.type != key.type)
		return dps_throw_null(error, DPS_ERROR_CORRUPT, "address %" PRIu64 ": in no chunk",
				      logical);
	if (!parse_chunk(item.key.offset, item.data, item.size, &found, error))
		return NULL;
	if (logical - found.logical >= found.size)
		return dps_throw_null(error, DPS_ERROR_CORRUPT, "address %" PRIu64 ": in no chunk",
				      logical);

	self->chunks[self->next_chunk] = found;
	chunk = &self->chunks[self->next_chunk];
	self->next_chunk = (self->next_chunk + 1) % CACHE_CHUNKS;
	self->n_chunks = MIN(self->n_chunks + 1, CACHE_CHUNKS);
	return chunk;
}

/* How many copies a chunk of this profile has; 0 when it is striped over several devices. */
static guint
count_copies(const Chunk *chunk)
{
	switch (chunk->profile) {
	case 0:
	case CHUNK_RAID0: /* of one stripe, since kernel 5.15 */
		return chunk->n_stripes == 1 ? 1 : 0;
	case CHUNK_DUP:
	case CHUNK_RAID1:
		return chunk->n_stripes == 2 ? 2 : 0;
	case CHUNK_RAID1C3:
		return chunk->n_stripes == 3 ? 3 : 0;
	case CHUNK_RAID1C4:
		return chunk->n_stripes == 4 ? 4 : 0;
	default:
		return 0;
	}
}

static gboolean
map(DpsBtrfsFs *self, uint64_t logical, uint32_t size, gboolean only_system,
    uint64_t places[DPS_BTRFS_MAX_COPIES], guint *n_places, GError **error)
{
	const Chunk *chunk = get_chunk(self, logical, only_system, error);
	uint64_t offset;
	guint copies, n = 0;

	if (!chunk)
		return FALSE;

	offset = logical - chunk->logical;
	if (size > chunk->size - offset)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "address %" PRIu64 " + %u: crosses the end of its chunk", logical,
				 size);
	if (chunk->profile & CHUNK_REMAPPED)
		return dps_throw(error, DPS_ERROR_UNSUPPORTED, "chunk %" PRIu64 ": remapped",
				 chunk->logical);
	copies = count_copies(chunk);
	if (copies == 0)
		return dps_throw(error, DPS_ERROR_UNSUPPORTED,
				 "chunk %" PRIu64 ": striped over %u devices (profile %#" PRIx64
				 "): no single device has all of it",
				 chunk->logical, chunk->n_stripes, chunk->profile);

	for (guint i = 0; i < copies; i++) {
		if (chunk->stripes[i].device_id != self->super.device_id)
			continue;
		if (chunk->stripes[i].offset > UINT64_MAX - offset)
			return dps_throw(error, DPS_ERROR_CORRUPT,
					 "chunk %" PRIu64 ": at byte %" PRIu64, chunk->logical,
					 chunk->stripes[i].offset);
		places[n++] = chunk->stripes[i].offset + offset;
	}
	if (n == 0)
		return dps_throw(error, DPS_ERROR_UNSUPPORTED,
				 "chunk %" PRIu64 ": on device %" PRIu64
				 " of the file system, this is %" PRIu64,
				 chunk->logical, chunk->stripes[0].device_id,
				 self->super.device_id);
	*n_places = n;
	return TRUE;
}

gboolean
dps_btrfs_fs_map(DpsBtrfsFs *self, uint64_t logical, uint32_t size,
		 uint64_t places[DPS_BTRFS_MAX_COPIES], guint *n_places, GError **error)
{
	return map(self, logical, size, FALSE, places, n_places, error);
}

gboolean
dps_btrfs_fs_read(DpsBtrfsFs *self, uint64_t logical, void *buffer, size_t size, GError **error)
{
	uint64_t places[DPS_BTRFS_MAX_COPIES];
	g_autoptr(GError) first_error = NULL;
	guint n_places;

	if (size > UINT32_MAX)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "address %" PRIu64 ": %" G_GSIZE_FORMAT " bytes", logical, size);
	if (!dps_btrfs_fs_map(self, logical, (uint32_t)size, places, &n_places, error))
		return FALSE;
	for (guint i = 0; i < n_places; i++)
		if (dps_region_read(&self->region, places[i], buffer, size,
				    first_error ? NULL : &first_error))
			return TRUE;

	g_propagate_error(error, g_steal_pointer(&first_error));
	return FALSE;
}

void
dps_btrfs_fs_renew(DpsBtrfsFs *self)
{
	self->bytes_left = MAX_BYTES_READ;
	self->visits_left = MAX_VISITS;
}

/* Tree blocks */

static DpsBtrfsKey
node_key(const DpsBtrfsNode *node, uint32_t slot)
{
	return load_key(node->bytes + NODE_HEADER_SIZE +
			(size_t)slot * (node->level > 0 ? NODE_POINTER_SIZE : NODE_ITEM_SIZE));
}

static gboolean
verify_keys(const uint8_t *bytes, uint32_t n, size_t entry_size, uint64_t logical, GError **error)
{
	for (uint32_t i = 1; i < n; i++) {
		DpsBtrfsKey last = load_key(bytes + NODE_HEADER_SIZE + (i - 1) * entry_size);
		DpsBtrfsKey key = load_key(bytes + NODE_HEADER_SIZE + i * entry_size);

		if (dps_btrfs_key_compare(&last, &key) >= 0)
			return dps_throw(error, DPS_ERROR_CORRUPT,
					 "tree block %" PRIu64 ": keys out of order", logical);
	}
	return TRUE;
}

/* The data of each item lies behind the array of items and inside the block. */
static gboolean
verify_items(const uint8_t *bytes, uint32_t n, uint32_t node_size, uint64_t logical, GError **error)
{
	const uint32_t room = node_size - NODE_HEADER_SIZE;

	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *item = bytes + NODE_HEADER_SIZE + (size_t)i * NODE_ITEM_SIZE;
		uint32_t offset = dps_load_le32(item + NODE_KEY_SIZE);
		uint32_t size = dps_load_le32(item + NODE_KEY_SIZE + 4);

		if (offset < n * NODE_ITEM_SIZE || offset > room || size > room - offset)
			return dps_throw(error, DPS_ERROR_CORRUPT,
					 "tree block %" PRIu64 ": item %u outside of it", logical,
					 i);
	}
	return TRUE;
}

gboolean
dps_btrfs_fs_verify_node(DpsBtrfsFs *self, const uint8_t *bytes, uint64_t logical,
			 uint64_t generation, uint8_t level, GError **error)
{
	const uint32_t node_size = self->super.node_size;
	const size_t entry_size = level > 0 ? NODE_POINTER_SIZE : NODE_ITEM_SIZE;
	const uint32_t n = dps_load_le32(bytes + NODE_NRITEMS);
	gboolean fits;

	if (!checksum_fits(self->super.checksum, bytes, node_size, &fits, error)) {
		g_prefix_error(error, "tree block %" PRIu64 ": ", logical);
		return FALSE;
	}
	if (!fits)
		return dps_throw(error, DPS_ERROR_CORRUPT, "tree block %" PRIu64 ": wrong checksum",
				 logical);
	if (dps_load_le64(bytes + NODE_BYTENR) != logical)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "tree block %" PRIu64 ": says that it is at %" PRIu64, logical,
				 dps_load_le64(bytes + NODE_BYTENR));
	if (memcmp(bytes + NODE_FSID, self->super.metadata_uuid, DPS_BTRFS_UUID_SIZE) != 0)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "tree block %" PRIu64 ": of another file system", logical);
	if (dps_load_le64(bytes + NODE_GENERATION) != generation)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "tree block %" PRIu64 ": generation %" PRIu64 " where %" PRIu64
				 " is wanted",
				 logical, dps_load_le64(bytes + NODE_GENERATION), generation);
	if (bytes[NODE_LEVEL] != level)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "tree block %" PRIu64 ": level %u where %u is wanted", logical,
				 bytes[NODE_LEVEL], level);
	/* Only a tree that is one leaf may be empty. */
	if (n > (node_size - NODE_HEADER_SIZE) / entry_size || (n == 0 && level > 0))
		return dps_throw(error, DPS_ERROR_CORRUPT, "tree block %" PRIu64 ": %u items",
				 logical, n);

	return verify_keys(bytes, n, entry_size, logical, error) &&
	       (level > 0 || verify_items(bytes, n, node_size, logical, error));
}

static void
node_unref(DpsBtrfsNode *node)
{
	if (node)
		g_rc_box_release(node);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DpsBtrfsNode, node_unref)

void
dps_btrfs_item_clear(DpsBtrfsItem *item)
{
	node_unref(item->node);
	*item = (DpsBtrfsItem){ NULL };
}

static DpsBtrfsNode *
find_in_cache(DpsBtrfsFs *self, uint64_t logical, uint64_t generation, uint8_t level)
{
	for (guint i = 0; i < self->n_nodes; i++) {
		DpsBtrfsNode *node = self->nodes[i];

		if (node->logical == logical && node->generation == generation &&
		    node->level == level)
			return g_rc_box_acquire(node);
	}
	return NULL;
}

static void
put_in_cache(DpsBtrfsFs *self, DpsBtrfsNode *node)
{
	node_unref(self->nodes[self->next_node]);
	self->nodes[self->next_node] = g_rc_box_acquire(node);
	self->next_node = (self->next_node + 1) % self->max_nodes;
	self->n_nodes = MIN(self->n_nodes + 1, self->max_nodes);
}

/* Takes the first of its copies that is good; when none is, says what is wrong with the first. */
static gboolean
read_good_copy(DpsBtrfsFs *self, DpsBtrfsNode *node, gboolean only_system, GError **error)
{
	const uint32_t size = self->super.node_size;
	uint64_t places[DPS_BTRFS_MAX_COPIES];
	g_autoptr(GError) first_error = NULL;
	guint n_places;

	if (!map(self, node->logical, size, only_system, places, &n_places, error))
		return FALSE;

	for (guint i = 0; i < n_places; i++) {
		GError **why = first_error ? NULL : &first_error;

		if (self->bytes_left < size)
			return dps_throw(error, DPS_ERROR_UNSUPPORTED,
					 "metadata: more than %" PRIu64 " MiB to read",
					 MAX_BYTES_READ >> 20);
		self->bytes_left -= size;
		if (dps_region_read(&self->region, places[i], node->bytes, size, why) &&
		    dps_btrfs_fs_verify_node(self, node->bytes, node->logical, node->generation,
					     node->level, why))
			return TRUE;
	}
	g_propagate_error(error, g_steal_pointer(&first_error));
	return FALSE;
}

static DpsBtrfsNode *
read_node(DpsBtrfsFs *self, uint64_t logical, uint64_t generation, uint8_t level,
	  gboolean only_system, GError **error)
{
	g_autoptr(DpsBtrfsNode) node = find_in_cache(self, logical, generation, level);

	if (self->visits_left-- == 0) {
		self->visits_left = 0;
		return dps_throw_null(error, DPS_ERROR_UNSUPPORTED,
				      "metadata: too much of it to look through");
	}
	if (node)
		return g_steal_pointer(&node);

	node = g_rc_box_alloc(sizeof(DpsBtrfsNode) + self->super.node_size);
	node->logical = logical;
	node->generation = generation;
	node->level = level;
	if (!read_good_copy(self, node, only_system, error))
		return NULL;

	node->n = dps_load_le32(node->bytes + NODE_NRITEMS);
	put_in_cache(self, node);
	return g_steal_pointer(&node);
}

/* Search */

/* How many of the keys of @node are at most @key. */
static uint32_t
count_up_to(const DpsBtrfsNode *node, const DpsBtrfsKey *key)
{
	uint32_t low = 0, high = node->n;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		DpsBtrfsKey there = node_key(node, middle);

		if (dps_btrfs_key_compare(&there, key) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/*
 * The leaf where @key is or would be.  @next is the first key behind that leaf, if there is more.
 * Levels fall by one at each step, as read_node() verifies, so that this ends after eight.
 */
static DpsBtrfsNode *
find_leaf(DpsBtrfsFs *self, const DpsBtrfsRoot *root, const DpsBtrfsKey *key, DpsBtrfsKey *next,
	  gboolean *has_next, GError **error)
{
	const gboolean only_system = root == &self->chunk_tree;
	g_autoptr(DpsBtrfsNode) node = NULL;

	*has_next = FALSE;
	if (root->level > MAX_LEVEL)
		return dps_throw_null(error, DPS_ERROR_CORRUPT, "tree block %" PRIu64 ": level %u",
				      root->logical, root->level);

	node = read_node(self, root->logical, root->generation, root->level, only_system, error);
	while (node && node->level > 0) {
		uint32_t after = count_up_to(node, key);
		uint32_t slot = after > 0 ? after - 1 : 0;
		const uint8_t *pointer =
			node->bytes + NODE_HEADER_SIZE + (size_t)slot * NODE_POINTER_SIZE;
		DpsBtrfsKey wanted = load_key(pointer), first;
		g_autoptr(DpsBtrfsNode) child = NULL;

		if (slot + 1 < node->n) {
			*next = node_key(node, slot + 1);
			*has_next = TRUE;
		}
		child = read_node(self, dps_load_le64(pointer + NODE_KEY_SIZE),
				  dps_load_le64(pointer + NODE_KEY_SIZE + 8),
				  (uint8_t)(node->level - 1), only_system, error);
		if (!child)
			return NULL;
		/* The kernel's btrfs_verify_level_key(): no block can be at two places of a tree.
		 */
		if (child->n == 0 ||
		    (first = node_key(child, 0), dps_btrfs_key_compare(&first, &wanted) != 0))
			return dps_throw_null(error, DPS_ERROR_CORRUPT,
					      "tree block %" PRIu64
					      ": its first key is not what its parent says",
					      child->logical);
		node_unref(node);
		node = g_steal_pointer(&child);
	}
	return g_steal_pointer(&node);
}

static void
set_item(DpsBtrfsItem *out, DpsBtrfsNode *leaf, uint32_t slot)
{
	const uint8_t *item = leaf->bytes + NODE_HEADER_SIZE + (size_t)slot * NODE_ITEM_SIZE;
	DpsBtrfsNode *old = out->node;

	out->node = g_rc_box_acquire(leaf);
	out->key = load_key(item);
	out->offset = NODE_HEADER_SIZE + dps_load_le32(item + NODE_KEY_SIZE);
	out->size = dps_load_le32(item + NODE_KEY_SIZE + 4);
	out->data = leaf->bytes + out->offset;
	out->slot = slot;
	node_unref(old);
}

gboolean
dps_btrfs_fs_search(DpsBtrfsFs *self, const DpsBtrfsRoot *root, const DpsBtrfsKey *from,
		    DpsBtrfsItem *out, GError **error)
{
	DpsBtrfsKey key = *from, next;
	gboolean has_next;

	do {
		g_autoptr(DpsBtrfsNode) leaf = find_leaf(self, root, &key, &next, &has_next, error);
		uint32_t slot;

		if (!leaf)
			return FALSE;
		slot = count_up_to(leaf, &key);
		if (slot > 0) {
			DpsBtrfsKey before = node_key(leaf, slot - 1);

			if (dps_btrfs_key_compare(&before, &key) == 0)
				slot--;
		}
		if (slot < leaf->n) {
			set_item(out, leaf, slot);
			return TRUE;
		}
		key = next; /* greater than what was looked for: this ends */
	} while (has_next);

	dps_btrfs_item_clear(out);
	return TRUE;
}

gboolean
dps_btrfs_fs_search_floor(DpsBtrfsFs *self, const DpsBtrfsRoot *root, const DpsBtrfsKey *key,
			  DpsBtrfsItem *out, GError **error)
{
	DpsBtrfsKey next;
	gboolean has_next;
	g_autoptr(DpsBtrfsNode) leaf = find_leaf(self, root, key, &next, &has_next, error);
	uint32_t after;

	if (!leaf)
		return FALSE;

	after = count_up_to(leaf, key);
	if (after > 0)
		set_item(out, leaf, after - 1);
	else
		dps_btrfs_item_clear(out);
	return TRUE;
}

gboolean
dps_btrfs_fs_next(DpsBtrfsFs *self, const DpsBtrfsRoot *root, DpsBtrfsItem *item, GError **error)
{
	DpsBtrfsKey key = item->key;

	if (item->slot + 1 < item->node->n) {
		set_item(item, item->node, item->slot + 1);
		return TRUE;
	}
	if (!key_successor(&key)) {
		dps_btrfs_item_clear(item);
		return TRUE;
	}
	return dps_btrfs_fs_search(self, root, &key, item, error);
}

gboolean
dps_btrfs_fs_lookup(DpsBtrfsFs *self, const DpsBtrfsRoot *root, const DpsBtrfsKey *key,
		    DpsBtrfsItem *out, GError **error)
{
	g_auto(DpsBtrfsItem) item = { NULL };

	if (!dps_btrfs_fs_search(self, root, key, &item, error))
		return FALSE;
	if (!item.node || dps_btrfs_key_compare(&item.key, key) != 0)
		return dps_throw(error, DPS_ERROR_NOT_FOUND,
				 "item (%" PRIu64 " %u %" PRIu64 "): there is none", key->objectid,
				 key->type, key->offset);

	dps_btrfs_item_clear(out);
	*out = item;
	item.node = NULL;
	return TRUE;
}

/* Directories */

gboolean
dps_btrfs_item_next_entry(const DpsBtrfsItem *item, uint32_t *at, DpsBtrfsDirEntry *entry,
			  GError **error)
{
	const uint8_t *p = item->data + *at;
	uint32_t left = item->size - *at, used;
	DpsBtrfsDirEntry found;

	if (left == 0)
		return FALSE;
	if (left < DIR_ENTRY_SIZE)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "directory item (%" PRIu64 " %u %" PRIu64 "): cut short",
				 item->key.objectid, item->key.type, item->key.offset);

	found = (DpsBtrfsDirEntry){
		.location = load_key(p),
		.transid = dps_load_le64(p + 17),
		.data_size = dps_load_le16(p + 25),
		.name_size = dps_load_le16(p + 27),
		.type = p[29],
		.offset = *at,
	};
	used = (uint32_t)DIR_ENTRY_SIZE + found.name_size + found.data_size;
	if (used > left)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "directory item (%" PRIu64 " %u %" PRIu64 "): cut short",
				 item->key.objectid, item->key.type, item->key.offset);

	found.name = p + DIR_ENTRY_SIZE;
	found.data = found.name + found.name_size;
	*at += used;
	*entry = found;
	return TRUE;
}

gboolean
dps_btrfs_fs_find_entry(DpsBtrfsFs *self, const DpsBtrfsRoot *root, uint64_t dir, const void *name,
			size_t name_size, DpsBtrfsItem *item, DpsBtrfsDirEntry *entry,
			GError **error)
{
	/* btrfs_name_hash(): the register starts at ~1, and is not inverted at the end. */
	DpsBtrfsKey key = { dir, DPS_BTRFS_DIR_ITEM, dps_crc32c_feed(~1u, name, name_size) };
	g_auto(DpsBtrfsItem) found = { NULL };
	g_autoptr(GError) entry_error = NULL;
	uint32_t at = 0;

	if (!dps_btrfs_fs_search(self, root, &key, &found, error))
		return FALSE;

	dps_btrfs_item_clear(item);
	if (!found.node || dps_btrfs_key_compare(&found.key, &key) != 0)
		return TRUE;

	/* Names with the same hash share an item. */
	while (dps_btrfs_item_next_entry(&found, &at, entry, &entry_error)) {
		if (entry->name_size != name_size || memcmp(entry->name, name, name_size) != 0)
			continue;
		*item = found;
		found.node = NULL;
		return TRUE;
	}
	if (entry_error) {
		g_propagate_error(error, g_steal_pointer(&entry_error));
		return FALSE;
	}
	return TRUE;
}

/* The file system */

DpsBtrfsFs *
dps_btrfs_fs_open(const DpsRegion *region, GError **error)
{
	g_autoptr(DpsBtrfsFs) self = g_new0(DpsBtrfsFs, 1);
	uint8_t bytes[DPS_BTRFS_SUPER_SIZE];
	DpsBtrfsSuper *super = &self->super;

	self->region = *region;
	self->bytes_left = MAX_BYTES_READ;
	self->visits_left = MAX_VISITS;

	if (region->size < super_offsets[0] + DPS_BTRFS_SUPER_SIZE)
		return dps_throw_null(error, DPS_ERROR_UNSUPPORTED, "too small for a btrfs");
	if (!dps_region_read(region, super_offsets[0], bytes, sizeof(bytes), error) ||
	    !dps_btrfs_super_parse(bytes, super_offsets[0], super, error))
		return NULL;
	if (super->incompat & ~INCOMPAT_READABLE)
		return dps_throw_null(error, DPS_ERROR_UNSUPPORTED,
				      "btrfs: incompatible features %#" PRIx64 ": not known",
				      super->incompat & ~INCOMPAT_READABLE);
	if (!read_sys_chunks(self, bytes + SUPER_SYS_ARRAY, super->sys_array_size, error))
		return NULL;

	self->max_nodes = MIN(CACHE_NODES, CACHE_BYTES / super->node_size);
	self->root_tree = (DpsBtrfsRoot){ super->root, super->generation, super->root_level };
	self->chunk_tree = (DpsBtrfsRoot){ super->chunk_root, super->chunk_root_generation,
					   super->chunk_root_level };
	return g_steal_pointer(&self);
}

void
dps_btrfs_fs_free(DpsBtrfsFs *self)
{
	if (!self)
		return;

	for (guint i = 0; i < self->n_nodes; i++)
		node_unref(self->nodes[i]);
	g_free(self);
}

const DpsBtrfsSuper *
dps_btrfs_fs_get_super(DpsBtrfsFs *self)
{
	return &self->super;
}

/* Subvolumes */

void
dps_btrfs_subvolume_info_free(DpsBtrfsSubvolumeInfo *info)
{
	if (!info)
		return;

	g_free(info->path);
	g_free(info);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DpsBtrfsSubvolumeInfo, dps_btrfs_subvolume_info_free)

static gboolean
is_subvolume_id(uint64_t id)
{
	/* is_fstree() of the kernel */
	return id == DPS_BTRFS_FS_TREE || (id >= DPS_BTRFS_FIRST_FREE && id <= DPS_BTRFS_LAST_FREE);
}

gboolean
dps_btrfs_fs_read_default(DpsBtrfsFs *self, DpsBtrfsDefault *out, GError **error)
{
	static const char name[] = "default";
	g_auto(DpsBtrfsItem) item = { NULL };
	DpsBtrfsDirEntry entry;

	if (!dps_btrfs_fs_find_entry(self, &self->root_tree, self->super.root_dir, name,
				     strlen(name), &item, &entry, error))
		return FALSE;
	if (!item.node) {
		*out = (DpsBtrfsDefault){ .exists = FALSE, .id = DPS_BTRFS_FS_TREE };
		return TRUE;
	}

	*out = (DpsBtrfsDefault){
		.exists = TRUE,
		.id = entry.location.objectid,
		.location = entry.location,
		.logical = item.node->logical,
		.generation = item.node->generation,
		.offset = item.offset + entry.offset,
	};
	return TRUE;
}

/* From a ROOT_ITEM; NULL without an error when the subvolume is deleted and only waits to go. */
static DpsBtrfsSubvolumeInfo *
parse_root_item(const DpsBtrfsItem *item, GError **error)
{
	DpsBtrfsSubvolumeInfo *info;
	const uint8_t *p = item->data;

	if (item->size < ROOT_ITEM_SIZE)
		return dps_throw_null(error, DPS_ERROR_CORRUPT,
				      "subvolume %" PRIu64 ": root item of %u bytes",
				      item->key.objectid, item->size);
	if (dps_load_le32(p + 216) == 0) /* refs */
		return NULL;

	info = g_new0(DpsBtrfsSubvolumeInfo, 1);
	info->id = item->key.objectid;
	info->root_offset = item->key.offset;
	info->root = (DpsBtrfsRoot){ dps_load_le64(p + 176), dps_load_le64(p + 160), p[238] };
	info->is_read_only = (dps_load_le64(p + 208) & 1) != 0; /* BTRFS_ROOT_SUBVOL_RDONLY */
	return info;
}

static DpsBtrfsSubvolumeInfo *
throw_deleted(uint64_t id, GError **error)
{
	return dps_throw_null(error, DPS_ERROR_NOT_FOUND, "subvolume %" PRIu64 ": is deleted", id);
}

DpsBtrfsSubvolumeInfo *
dps_btrfs_fs_read_subvolume(DpsBtrfsFs *self, uint64_t id, GError **error)
{
	DpsBtrfsKey key = { id, DPS_BTRFS_ROOT_ITEM, 0 };
	g_autoptr(DpsBtrfsSubvolumeInfo) info = NULL;
	g_autoptr(GError) local = NULL;
	g_auto(DpsBtrfsItem) item = { NULL };

	if (!dps_btrfs_fs_search(self, &self->root_tree, &key, &item, error))
		return NULL;
	if (!is_subvolume_id(id) || !item.node || item.key.objectid != id ||
	    item.key.type != DPS_BTRFS_ROOT_ITEM)
		return dps_throw_null(error, DPS_ERROR_NOT_FOUND,
				      "subvolume %" PRIu64 ": there is none", id);

	info = parse_root_item(&item, &local);
	if (local) {
		g_propagate_error(error, g_steal_pointer(&local));
		return NULL;
	}
	if (!info)
		return throw_deleted(id, error);
	if (id == DPS_BTRFS_FS_TREE)
		return g_steal_pointer(&info);

	if (!dps_btrfs_fs_next(self, &self->root_tree, &item, error))
		return NULL;
	if (item.node && item.key.objectid == id && item.key.type == DPS_BTRFS_ROOT_ITEM)
		return dps_throw_null(error, DPS_ERROR_CORRUPT,
				      "subvolume %" PRIu64 ": there are two of it", id);

	key.type = DPS_BTRFS_ROOT_BACKREF;
	if (!dps_btrfs_fs_search(self, &self->root_tree, &key, &item, error))
		return NULL;
	if (!item.node || item.key.objectid != id || item.key.type != key.type)
		return throw_deleted(id, error); /* it is in no directory any more */

	info->parent = item.key.offset;
	return g_steal_pointer(&info);
}

/* A subvolume while the list is made: how it is reached from its parent. */
typedef struct {
	DpsBtrfsSubvolumeInfo *info;
	uint64_t dir; /* inode of the directory in the parent */
	char *name;   /* NULL: no ROOT_BACKREF, in no directory */
	gboolean seen;
} Entry;

static void
entry_free(Entry *entry)
{
	dps_btrfs_subvolume_info_free(entry->info);
	g_free(entry->name);
	g_free(entry);
}

static char *
take_name(const uint8_t *bytes, size_t size)
{
	/* A NUL in it, which no name can have, ends it. */
	return size == 0 ? NULL : g_strndup((const char *)bytes, size);
}

/* What the root tree has of subvolumes, in its order, which is by id. */
static gboolean
read_root_tree(DpsBtrfsFs *self, GPtrArray *entries, GError **error)
{
	DpsBtrfsKey key = { DPS_BTRFS_FS_TREE, DPS_BTRFS_ROOT_ITEM, 0 };
	g_auto(DpsBtrfsItem) item = { NULL };
	Entry *last = NULL;

	if (!dps_btrfs_fs_search(self, &self->root_tree, &key, &item, error))
		return FALSE;

	while (item.node && item.key.objectid <= DPS_BTRFS_LAST_FREE) {
		g_autoptr(GError) local = NULL;
		DpsBtrfsSubvolumeInfo *info;

		if (item.key.type == DPS_BTRFS_ROOT_ITEM && is_subvolume_id(item.key.objectid)) {
			if (entries->len == MAX_SUBVOLUMES)
				return dps_throw(error, DPS_ERROR_UNSUPPORTED,
						 "btrfs: more than %u subvolumes", MAX_SUBVOLUMES);
			info = parse_root_item(&item, &local);
			if (local) {
				g_propagate_error(error, g_steal_pointer(&local));
				return FALSE;
			}
			if (info) {
				last = g_new0(Entry, 1);
				last->info = info;
				g_ptr_array_add(entries, last);
			}
		} else if (item.key.type == DPS_BTRFS_ROOT_BACKREF && last && !last->name &&
			   last->info->id == item.key.objectid && item.size >= ROOT_REF_SIZE) {
			size_t size = dps_load_le16(item.data + 16);

			if (size > item.size - ROOT_REF_SIZE)
				return dps_throw(error, DPS_ERROR_CORRUPT,
						 "subvolume %" PRIu64 ": its name is cut short",
						 item.key.objectid);
			last->info->parent = item.key.offset;
			last->dir = dps_load_le64(item.data);
			last->name = take_name(item.data + ROOT_REF_SIZE, size);
		}
		if (!dps_btrfs_fs_next(self, &self->root_tree, &item, error))
			return FALSE;
	}
	return TRUE;
}

/* Puts the path of directory @dir of a subvolume, with a slash behind it, in front of @path. */
static gboolean
prepend_directories(DpsBtrfsFs *self, const DpsBtrfsRoot *root, uint64_t dir, GString *path,
		    GError **error)
{
	while (dir != DPS_BTRFS_FIRST_FREE) {
		DpsBtrfsKey key = { dir, DPS_BTRFS_INODE_REF, 0 };
		g_auto(DpsBtrfsItem) item = { NULL };
		size_t size;

		if (!dps_btrfs_fs_search(self, root, &key, &item, error))
			return FALSE;
		if (!item.node || item.key.objectid != dir || item.key.type != key.type ||
		    item.size < INODE_REF_SIZE)
			return dps_throw(error, DPS_ERROR_CORRUPT,
					 "directory %" PRIu64 ": has no name", dir);
		size = dps_load_le16(item.data + 8);
		if (size == 0 || size > item.size - INODE_REF_SIZE)
			return dps_throw(error, DPS_ERROR_CORRUPT,
					 "directory %" PRIu64 ": its name is cut short", dir);
		/* Each turn makes it longer, so that directories in a circle end here. */
		if (path->len + size >= MAX_PATH_SIZE)
			return dps_throw(error, DPS_ERROR_CORRUPT,
					 "directory %" PRIu64 ": its path does not end", dir);

		g_string_prepend_c(path, '/');
		g_string_prepend_len(path, (const char *)item.data + INODE_REF_SIZE, (gssize)size);
		dir = item.key.offset;
	}
	return TRUE;
}

static gboolean
set_path(DpsBtrfsFs *self, Entry *entry, const Entry *parent, size_t *paths_size, GError **error)
{
	g_autoptr(GString) path = g_string_new(entry->name);

	if (!prepend_directories(self, &parent->info->root, entry->dir, path, error)) {
		g_prefix_error(error, "subvolume %" PRIu64 ": ", entry->info->id);
		return FALSE;
	}
	if (*parent->info->path) {
		g_string_prepend_c(path, '/');
		g_string_prepend(path, parent->info->path);
	}
	/* Deeper than a mount can be told: it stays without a path, and so out of the list. */
	if (path->len >= MAX_PATH_SIZE)
		return TRUE;
	if (path->len > MAX_PATHS_SIZE - *paths_size)
		return dps_throw(error, DPS_ERROR_UNSUPPORTED,
				 "btrfs: more than %u MiB of paths of subvolumes",
				 MAX_PATHS_SIZE >> 20);
	*paths_size += path->len;
	entry->info->path = g_strdup(path->str);
	return TRUE;
}

/*
 * Parents first, without recursion: subvolumes can be nested as deep as a path is long, and on a
 * hostile medium in a circle.  What is not reached from the top level stays without a path.
 */
static gboolean
resolve(DpsBtrfsFs *self, GHashTable *by_id, Entry *entry, size_t *paths_size, GError **error)
{
	g_autoptr(GPtrArray) chain = g_ptr_array_new();

	while (!entry->seen) {
		Entry *parent;

		entry->seen = TRUE;
		g_ptr_array_add(chain, entry);
		parent = g_hash_table_lookup(by_id, &entry->info->parent);
		if (!entry->name || !parent)
			return TRUE;
		entry = parent;
	}
	while (chain->len > 0 && entry->info->path) {
		Entry *child = g_ptr_array_steal_index(chain, chain->len - 1);

		if (!set_path(self, child, entry, paths_size, error))
			return FALSE;
		entry = child;
	}
	return TRUE;
}

GPtrArray *
dps_btrfs_fs_list_subvolumes(DpsBtrfsFs *self, GError **error)
{
	g_autoptr(GPtrArray) entries = g_ptr_array_new_with_free_func((GDestroyNotify)entry_free);
	g_autoptr(GHashTable) by_id = g_hash_table_new(g_int64_hash, g_int64_equal);
	g_autoptr(GPtrArray) list =
		g_ptr_array_new_with_free_func((GDestroyNotify)dps_btrfs_subvolume_info_free);
	gboolean ok = read_root_tree(self, entries, error);
	size_t paths_size = 0;

	for (guint i = 0; i < entries->len; i++) {
		Entry *entry = g_ptr_array_index(entries, i);

		g_hash_table_insert(by_id, &entry->info->id, entry);
		if (entry->info->id == DPS_BTRFS_FS_TREE) {
			entry->info->path = g_strdup("");
			entry->seen = TRUE;
		}
	}
	for (guint i = 0; ok && i < entries->len; i++)
		ok = resolve(self, by_id, g_ptr_array_index(entries, i), &paths_size, error);
	if (!ok)
		return NULL;

	for (guint i = 0; i < entries->len; i++) {
		Entry *entry = g_ptr_array_index(entries, i);

		if (entry->info->path)
			g_ptr_array_add(list, g_steal_pointer(&entry->info));
	}
	return g_steal_pointer(&list);
}
