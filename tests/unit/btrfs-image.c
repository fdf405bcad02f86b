/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "btrfs-image.h"
#include "ground/bytes.h"

#include <string.h>
#include <sys/mman.h>

/* Two superblocks: the second one is at 64 MiB. */
#define SIZE (UINT64_C(65) << 20)
#define SYSTEM UINT64_C(0x100000)
#define SYSTEM_SIZE UINT64_C(0x100000)
#define METADATA_SIZE UINT64_C(0x800000)

static const uint8_t fsid[16] = "a small btrfs..";
static const uint64_t system_at[2] = { 0x100000, 0x200000 };
static const uint64_t metadata_at[2] = { 0x400000, 0xc00000 };

static void
store_le16(uint8_t *p, uint16_t value)
{
	p[0] = (uint8_t)value;
	p[1] = (uint8_t)(value >> 8);
}

static void
store_key(uint8_t *p, uint64_t objectid, uint8_t type, uint64_t offset)
{
	dps_store_le64(p, objectid);
	p[8] = type;
	dps_store_le64(p + 9, offset);
}

/* A leaf while it is filled: items from the front, their data from the end. */
typedef struct {
	uint8_t *bytes;
	uint32_t n, end;
} Leaf;

static Leaf
leaf_new(const BtrfsImage *self, uint64_t logical, uint64_t owner)
{
	Leaf leaf = { .bytes = g_malloc0(self->node_size), .end = self->node_size };

	memcpy(leaf.bytes + 32, fsid, sizeof(fsid));
	dps_store_le64(leaf.bytes + 48, logical);
	dps_store_le64(leaf.bytes + 80, BTRFS_IMAGE_GENERATION);
	dps_store_le64(leaf.bytes + 88, owner);
	return leaf;
}

static uint8_t *
leaf_add(Leaf *leaf, uint64_t objectid, uint8_t type, uint64_t offset, uint32_t size)
{
	uint8_t *item = leaf->bytes + 101 + 25 * leaf->n++;

	leaf->end -= size;
	g_assert(leaf->bytes + leaf->end >= item + 25);
	store_key(item, objectid, type, offset);
	dps_store_le32(item + 17, leaf->end - 101);
	dps_store_le32(item + 21, size);
	dps_store_le32(leaf->bytes + 96, leaf->n);
	return leaf->bytes + leaf->end;
}

static void
leaf_put(BtrfsImage *self, Leaf *leaf, const uint64_t *places)
{
	for (guint i = 0; i < self->n_copies; i++) {
		memcpy(self->bytes + places[i], leaf->bytes, self->node_size);
		btrfs_image_sum(self, places[i], self->node_size);
	}
	g_free(leaf->bytes);
}

static void
put_chunk(const BtrfsImage *self, uint8_t *p, uint64_t size, uint64_t type, const uint64_t *places)
{
	dps_store_le64(p, size);
	dps_store_le64(p + 8, 2); /* extent tree */
	dps_store_le64(p + 16, 65536);
	dps_store_le64(p + 24, type | (self->n_copies == 2 ? 1 << 5 : 0));
	dps_store_le32(p + 32, 4096);
	dps_store_le32(p + 36, 4096);
	dps_store_le32(p + 40, 4096);
	store_le16(p + 44, (uint16_t)self->n_copies);
	for (guint i = 0; i < self->n_copies; i++) {
		dps_store_le64(p + 48 + 32 * i, 1);
		dps_store_le64(p + 56 + 32 * i, places[i]);
	}
}

static uint32_t
chunk_size(const BtrfsImage *self)
{
	return 48 + 32 * self->n_copies;
}

static void
add_root(const BtrfsImage *self, Leaf *leaf, uint64_t id, uint64_t offset, uint32_t refs,
	 uint64_t flags)
{
	uint8_t *p = leaf_add(leaf, id, DPS_BTRFS_ROOT_ITEM, offset,
			      439 + (id == DPS_BTRFS_FS_TREE ? self->padding : 0));

	dps_store_le64(p + 160, BTRFS_IMAGE_GENERATION);
	dps_store_le64(p + 168, 256);
	dps_store_le64(p + 176, BTRFS_IMAGE_ROOTS + self->node_size); /* all share one tree */
	dps_store_le64(p + 208, flags);
	dps_store_le32(p + 216, refs);
}

static void
add_backref(Leaf *leaf, uint64_t id, uint64_t parent, uint64_t dir, const char *name)
{
	uint8_t *p =
		leaf_add(leaf, id, DPS_BTRFS_ROOT_BACKREF, parent, 18 + (uint32_t)strlen(name));

	dps_store_le64(p, dir);
	dps_store_le64(p + 8, 2);
	store_le16(p + 16, (uint16_t)strlen(name));
	memcpy(p + 18, name, strlen(name));
}

static void
add_inode(Leaf *leaf, uint64_t number, uint32_t mode, uint64_t size)
{
	uint8_t *p = leaf_add(leaf, number, DPS_BTRFS_INODE_ITEM, 0, 160);

	dps_store_le64(p + 16, size);
	dps_store_le32(p + 52, mode);
}

/* An attribute has its name as its value. */
static void
add_name(Leaf *leaf, uint64_t number, uint8_t type, const char *name, uint64_t inode)
{
	const uint32_t size = (uint32_t)strlen(name);
	const gboolean is_attribute = type == DPS_BTRFS_XATTR_ITEM;
	uint64_t hash = dps_crc32c_feed(~1u, (const uint8_t *)name, size);
	uint8_t *p = leaf_add(leaf, number, type, type == DPS_BTRFS_DIR_INDEX ? 2 : hash,
			      30 + size + (is_attribute ? size : 0));

	if (!is_attribute)
		store_key(p, inode, DPS_BTRFS_INODE_ITEM, 0);
	store_le16(p + 25, is_attribute ? (uint16_t)size : 0);
	store_le16(p + 27, (uint16_t)size);
	memcpy(p + 30, name, size);
	if (is_attribute)
		memcpy(p + 30 + size, name, size);
}

static void
make_trees(BtrfsImage *self)
{
	static const char name[] = "default";
	const uint64_t chunk_places[2] = { system_at[0], system_at[1] };
	Leaf leaf = leaf_new(self, SYSTEM, 3);
	uint8_t *p;

	put_chunk(self, leaf_add(&leaf, 256, DPS_BTRFS_CHUNK_ITEM, SYSTEM, chunk_size(self)),
		  SYSTEM_SIZE, 2, system_at);
	put_chunk(self,
		  leaf_add(&leaf, 256, DPS_BTRFS_CHUNK_ITEM, BTRFS_IMAGE_ROOTS, chunk_size(self)),
		  METADATA_SIZE, 4, metadata_at);
	leaf_put(self, &leaf, chunk_places);

	leaf = leaf_new(self, BTRFS_IMAGE_ROOTS, DPS_BTRFS_ROOT_TREE);
	add_root(self, &leaf, DPS_BTRFS_FS_TREE, 0, 1, 0);
	p = leaf_add(&leaf, 6, DPS_BTRFS_DIR_ITEM, 2378154706u, 30 + 7);
	store_key(p, self->default_id, DPS_BTRFS_ROOT_ITEM, self->default_offset);
	store_le16(p + 27, 7);
	p[29] = 2;
	memcpy(p + 30, name, 7);
	self->default_entry = (uint32_t)(p - leaf.bytes);
	add_root(self, &leaf, 256, 0, 1, 0);
	add_backref(&leaf, 256, 5, 256, "root");
	add_root(self, &leaf, 257, 0, 1, 0);
	add_backref(&leaf, 257, 256, 256, "inner");
	add_root(self, &leaf, 258, 7, 1, 1);
	add_backref(&leaf, 258, 5, 257, "snap");
	add_root(self, &leaf, 259, 0, 0, 0);
	leaf_put(self, &leaf, self->roots);

	leaf = leaf_new(self, BTRFS_IMAGE_ROOTS + self->node_size, DPS_BTRFS_FS_TREE);
	add_inode(&leaf, 256, 040755, 0);
	add_name(&leaf, 256, DPS_BTRFS_DIR_ITEM, "file", 258);
	add_name(&leaf, 256, DPS_BTRFS_DIR_INDEX, "file", 258);
	add_inode(&leaf, 257, 040755, 0);
	p = leaf_add(&leaf, 257, DPS_BTRFS_INODE_REF, 256, 11);
	store_le16(p + 8, 1);
	p[10] = 'd';
	add_inode(&leaf, 258, 0100644, BTRFS_IMAGE_FILE_SIZE);
	add_name(&leaf, 258, DPS_BTRFS_XATTR_ITEM, "user.x", 0);
	p = leaf_add(&leaf, 258, DPS_BTRFS_EXTENT_DATA, 4096, 53);
	dps_store_le64(p + 8, 4096);
	p[20] = 1;
	dps_store_le64(p + 21, BTRFS_IMAGE_DATA);
	dps_store_le64(p + 29, 4096);
	dps_store_le64(p + 45, 4096);
	for (guint i = 0; i < self->n_copies; i++)
		memset(self->bytes + metadata_at[i] + (BTRFS_IMAGE_DATA - BTRFS_IMAGE_ROOTS), 'x',
		       4096);
	leaf_put(self, &leaf, self->tops);
}

static void
make_super(BtrfsImage *self, uint64_t at)
{
	uint8_t *p = self->bytes + at;

	memcpy(p + 32, fsid, sizeof(fsid));
	dps_store_le64(p + 48, at);
	p[56] = 1; /* WRITTEN */
	memcpy(p + 64, "_BHRfS_M", 8);
	dps_store_le64(p + 72, BTRFS_IMAGE_GENERATION);
	dps_store_le64(p + 80, BTRFS_IMAGE_ROOTS);
	dps_store_le64(p + 88, SYSTEM);
	dps_store_le64(p + 112, self->size);
	dps_store_le64(p + 128, 6);
	dps_store_le64(p + 136, 1);
	dps_store_le32(p + 144, 4096);
	dps_store_le32(p + 148, self->node_size);
	dps_store_le32(p + 160, 17 + chunk_size(self));
	dps_store_le64(p + 164, BTRFS_IMAGE_GENERATION);
	dps_store_le64(p + 180, 0x3);
	dps_store_le64(p + 188, 0x361 | self->incompat);
	store_le16(p + 196, self->checksum);
	dps_store_le64(p + 201, 1);
	dps_store_le64(p + 209, self->size);
	store_key(p + 811, 256, DPS_BTRFS_CHUNK_ITEM, SYSTEM);
	put_chunk(self, p + 811 + 17, SYSTEM_SIZE, 2, system_at);
}

void
btrfs_image_make(BtrfsImage *self)
{
	self->size = SIZE;
	/* Pages that nobody touches cost nothing, also where malloc fills what it gives. */
	self->bytes = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	g_assert_true(self->bytes != MAP_FAILED);
	if (self->node_size == 0)
		self->node_size = 16384;
	if (self->n_copies == 0)
		self->n_copies = 1;
	if (self->default_id == 0)
		self->default_id = DPS_BTRFS_FS_TREE;
	for (guint i = 0; i < 2; i++) {
		self->roots[i] = metadata_at[i];
		self->tops[i] = metadata_at[i] + self->node_size;
	}
	make_trees(self);
	make_super(self, 0x10000);
	make_super(self, 0x4000000);
	btrfs_image_sum_supers(self);
}

void
btrfs_image_clear(BtrfsImage *self)
{
	munmap(self->bytes, self->size);
	self->bytes = NULL;
}

DpsRegion
btrfs_image_region(const BtrfsImage *self)
{
	return dps_region_over_memory(self->bytes, self->size);
}

void
btrfs_image_sum(BtrfsImage *self, uint64_t at, size_t size)
{
	uint8_t sum[DPS_CHECKSUM_MAX_SIZE];

	/* What a test makes of the checksum's type may be none. */
	if (dps_checksum_compute(self->checksum, self->bytes + at + 32, size - 32, sum, NULL))
		memcpy(self->bytes + at, sum, sizeof(sum));
}

void
btrfs_image_sum_supers(BtrfsImage *self)
{
	btrfs_image_sum(self, 0x10000, DPS_BTRFS_SUPER_SIZE);
	btrfs_image_sum(self, 0x4000000, DPS_BTRFS_SUPER_SIZE);
}

void
btrfs_image_sum_leaf(BtrfsImage *self, const uint64_t *places)
{
	for (guint i = 0; i < self->n_copies; i++)
		btrfs_image_sum(self, places[i], self->node_size);
}

uint8_t *
btrfs_image_find_item(BtrfsImage *self, uint64_t place, uint64_t objectid, uint8_t type)
{
	uint8_t *leaf = self->bytes + place;

	for (uint32_t i = 0; i < dps_load_le32(leaf + 96); i++) {
		uint8_t *item = leaf + 101 + 25 * i;

		if (dps_load_le64(item) == objectid && item[8] == type)
			return item;
	}
	g_assert_not_reached();
}

uint8_t *
btrfs_image_find(BtrfsImage *self, uint64_t place, uint64_t objectid, uint8_t type)
{
	const uint8_t *item = btrfs_image_find_item(self, place, objectid, type);

	return self->bytes + place + 101 + dps_load_le32(item + 17);
}
