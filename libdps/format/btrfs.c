/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/btrfs-internal.h"
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

/* Superblock */

gboolean
dps_btrfs_checksum_fits(uint16_t type, const uint8_t *bytes, size_t size, gboolean *fits,
			GError **error)
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
	if (!dps_btrfs_checksum_fits(super.checksum, bytes, DPS_BTRFS_SUPER_SIZE, &fits, error)) {
		dps_prefix_error(error, "superblock at byte %" PRIu64 ": ", offset);
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
parse_chunk(uint64_t logical, const uint8_t *p, size_t size, DpsBtrfsChunk *out, GError **error)
{
	DpsBtrfsChunk chunk = { .logical = logical };

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
		const uint8_t *stripe = p + CHUNK_HEADER_SIZE + (size_t)i * CHUNK_STRIPE_SIZE;

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
		DpsBtrfsChunk chunk;
		size_t used;

		if (size < NODE_KEY_SIZE || self->n_sys_chunks == MAX_SYS_CHUNKS)
			return dps_throw(error, DPS_ERROR_CORRUPT,
					 "superblock: system chunks: %" G_GSIZE_FORMAT
					 " bytes too many",
					 size);
		key = dps_btrfs_load_key(p);
		if (key.type != DPS_BTRFS_CHUNK_ITEM)
			return dps_throw(error, DPS_ERROR_CORRUPT,
					 "superblock: system chunks: an item of type %u", key.type);
		p += NODE_KEY_SIZE;
		size -= NODE_KEY_SIZE;
		if (!parse_chunk(key.offset, p, size, &chunk, error)) {
			dps_prefix_error(error, "superblock: ");
			return FALSE;
		}
		self->sys_chunks[self->n_sys_chunks++] = chunk;
		used = CHUNK_HEADER_SIZE + (size_t)chunk.n_stripes * CHUNK_STRIPE_SIZE;
		p += used;
		size -= used;
	}
	return TRUE;
}

static const DpsBtrfsChunk *
find_chunk(const DpsBtrfsChunk *chunks, guint n, uint64_t logical)
{
	for (guint i = 0; i < n; i++)
		if (logical >= chunks[i].logical && logical - chunks[i].logical < chunks[i].size)
			return &chunks[i];

	return NULL;
}

static const DpsBtrfsChunk *
get_chunk(DpsBtrfsFs *self, uint64_t logical, gboolean only_system, GError **error)
{
	const DpsBtrfsChunk *chunk = find_chunk(self->sys_chunks, self->n_sys_chunks, logical);
	DpsBtrfsKey key = { CHUNK_FIRST_OBJECTID, DPS_BTRFS_CHUNK_ITEM, logical };
	g_auto(DpsBtrfsItem) item = { NULL };
	DpsBtrfsChunk found;

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
count_copies(const DpsBtrfsChunk *chunk)
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

gboolean
dps_btrfs_fs_map_in(DpsBtrfsFs *self, uint64_t logical, uint32_t size, gboolean only_system,
		    uint64_t places[DPS_BTRFS_MAX_COPIES], guint *n_places, GError **error)
{
	const DpsBtrfsChunk *chunk = get_chunk(self, logical, only_system, error);
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
	return dps_btrfs_fs_map_in(self, logical, size, FALSE, places, n_places, error);
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
		dps_btrfs_node_unref(self->nodes[i]);
	g_free(self);
}

const DpsBtrfsSuper *
dps_btrfs_fs_get_super(DpsBtrfsFs *self)
{
	return &self->super;
}
