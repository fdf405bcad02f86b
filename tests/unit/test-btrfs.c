/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dps/error.h>
#include "btrfs-image.h"
#include "failing-region.h"
#include "format/btrfs-subvolumes.h"
#include "ground/bytes.h"

#include <string.h>

static gboolean
has_checksum(uint16_t type)
{
	uint8_t sum[DPS_CHECKSUM_MAX_SIZE];

	return dps_checksum_compute(type, (const uint8_t *)"", 0, sum, NULL);
}

/* Everything that a reader can be asked for, as lines of text; NULL and @error when it fails. */
static char *
describe(const DpsRegion *region, GError **error)
{
	g_autoptr(DpsBtrfsFs) fs = dps_btrfs_fs_open(region, error);
	g_autoptr(GString) text = g_string_new(NULL);
	g_autoptr(GPtrArray) list = NULL;
	DpsBtrfsDefault found;

	if (!fs || !dps_btrfs_fs_read_default(fs, &found, error))
		return NULL;
	list = dps_btrfs_fs_list_subvolumes(fs, error);
	if (!list)
		return NULL;

	g_string_append_printf(text, "default %" G_GUINT64_FORMAT, (guint64)found.id);
	for (guint i = 0; i < list->len; i++) {
		const DpsBtrfsSubvolumeInfo *info = g_ptr_array_index(list, i);

		g_string_append_printf(text, "; %" G_GUINT64_FORMAT " '%s'%s", (guint64)info->id,
				       info->path, info->is_read_only ? " ro" : "");
	}
	return g_strdup(text->str);
}

static const char whole[] = "default 5; 5 ''; 256 'root'; 257 'root/inner'; 258 'd/snap' ro";

static void
test_sizes_and_checksums(void)
{
	for (guint i = 0; i < 5 * 4 * 2; i++) {
		BtrfsImage image = {
			.node_size = 4096u << i % 5,
			.checksum = (uint16_t)(i / 5 % 4),
			.n_copies = 1 + i / 20,
		};
		g_autoptr(GError) error = NULL;
		g_autofree char *text = NULL;
		DpsRegion region;

		if (!has_checksum(image.checksum))
			continue;
		btrfs_image_make(&image);
		region = btrfs_image_region(&image);
		text = describe(&region, &error);
		g_assert_no_error(error);
		g_assert_cmpstr(text, ==, whole);
		btrfs_image_clear(&image);
	}
}

static void
test_lookups(void)
{
	static const struct {
		uint64_t id;
		int code;	   /* 0: it is there */
		const char *words; /* of the message */
	} rows[] = {
		{ 5, 0, NULL },
		{ 256, 0, NULL },
		{ 258, 0, NULL },
		{ 259, DPS_ERROR_NOT_FOUND, "deleted" },
		{ 260, DPS_ERROR_NOT_FOUND, "none" },
		{ 6, DPS_ERROR_NOT_FOUND, "none" },
		{ 0, DPS_ERROR_NOT_FOUND, "none" },
		{ UINT64_MAX, DPS_ERROR_NOT_FOUND, "none" },
	};
	BtrfsImage image = { 0 };
	g_autoptr(DpsBtrfsFs) fs = NULL;
	DpsRegion region;

	btrfs_image_make(&image);
	region = btrfs_image_region(&image);
	fs = dps_btrfs_fs_open(&region, NULL);
	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		DpsBtrfsSubvolumeInfo *info = dps_btrfs_fs_read_subvolume(fs, rows[i].id, &error);

		if (rows[i].code) {
			g_assert_null(info);
			g_assert_error(error, DPS_ERROR, rows[i].code);
			g_assert_nonnull(strstr(error->message, rows[i].words));
			continue;
		}
		g_assert_no_error(error);
		g_assert_cmpuint(info->id, ==, rows[i].id);
		g_assert_cmpuint(info->root_offset, ==, rows[i].id == 258 ? 7 : 0);
		dps_btrfs_subvolume_info_free(info);
	}
	btrfs_image_clear(&image);
}

/* Superblocks that must fail: what to store where, checksums made true again. */
static const struct {
	const char *name;
	size_t at;
	guint bits;
	uint64_t value;
	int code;
	const char *words;
} bad_supers[] = {
	{ "magic", 64, 8, 'x', DPS_ERROR_UNSUPPORTED, "no signature" },
	{ "checksum-type", 196, 8, 4, DPS_ERROR_UNSUPPORTED, "checksum type 4" },
	{ "place", 48, 64, 0x20000, DPS_ERROR_CORRUPT, "says that it is at" },
	{ "node-size-small", 148, 32, 2048, DPS_ERROR_CORRUPT, "nodes of 2048" },
	{ "node-size-large", 148, 32, 131072, DPS_ERROR_CORRUPT, "nodes of 131072" },
	{ "node-size-odd", 148, 32, 12288, DPS_ERROR_CORRUPT, "nodes of 12288" },
	{ "sector-size", 144, 32, 0, DPS_ERROR_CORRUPT, "sectors of 0" },
	{ "root-level", 198, 8, 8, DPS_ERROR_CORRUPT, "trees of 9" },
	{ "chunk-level-by-one", 199, 8, 8, DPS_ERROR_CORRUPT, "and 9 levels" },
	{ "chunk-level", 199, 8, 255, DPS_ERROR_CORRUPT, "and 256 levels" },
	{ "chunks-size", 160, 32, 2049, DPS_ERROR_CORRUPT, "2049 bytes of system chunks" },
	{ "chunks-cut", 160, 32, 20, DPS_ERROR_CORRUPT, "cut short" },
	{ "chunks-cut-by-one", 160, 32, 17 + 47, DPS_ERROR_CORRUPT, "cut short" },
	{ "chunks-key-by-one", 160, 32, 17 + 80 + 16, DPS_ERROR_CORRUPT, "16 bytes too many" },
	{ "chunks-more", 160, 32, 100, DPS_ERROR_CORRUPT, "system chunks" },
	{ "no-devices", 136, 64, 0, DPS_ERROR_CORRUPT, "no devices" },
	{ "extent-tree-v2", 188, 64, 0x2361, DPS_ERROR_UNSUPPORTED, "features 0x2000" },
	{ "remap-tree", 188, 64, 0x20361, DPS_ERROR_UNSUPPORTED, "features 0x20000" },
	{ "feature-63", 188, 64, UINT64_C(1) << 63, DPS_ERROR_UNSUPPORTED, "not known" },
	{ "root-elsewhere", 80, 64, UINT64_C(1) << 40, DPS_ERROR_CORRUPT, "in no chunk" },
	{ "root-behind-the-end", 80, 64, 0x1800000, DPS_ERROR_CORRUPT, "in no chunk" },
	{ "root-at-the-end", 80, 64, 0x17ff000, DPS_ERROR_CORRUPT, "crosses the end" },
	{ "root-empty", 80, 64, 0x1100000, DPS_ERROR_CORRUPT, "wrong checksum" },
	{ "root-other-tree", 80, 64, 0x1004000, 0, "default 5" },
	{ "generation", 72, 64, 10, DPS_ERROR_CORRUPT, "generation 9 where 10" },
	{ "level-root", 198, 8, 1, DPS_ERROR_CORRUPT, "level 0 where 1" },
	{ "chunk-root-outside", 88, 64, 0x1000000, DPS_ERROR_CORRUPT, "no system chunk" },
	{ "chunk-key", 811 + 8, 8, 229, DPS_ERROR_CORRUPT, "item of type 229" },
	{ "chunk-empty", 811 + 17, 64, 0, DPS_ERROR_CORRUPT, "0 bytes" },
	{ "chunk-endless", 811 + 17, 64, UINT64_MAX, DPS_ERROR_CORRUPT, "bytes" },
	{ "chunk-no-stripes", 811 + 17 + 44, 16, 0, DPS_ERROR_CORRUPT, "0 stripes" },
	{ "chunk-stripes-by-one", 811 + 17 + 44, 16, 2, DPS_ERROR_CORRUPT, "2 stripes" },
	{ "chunk-many-stripes", 811 + 17 + 44, 16, 65535, DPS_ERROR_CORRUPT, "65535 stripes" },
	{ "chunk-striped", 811 + 17 + 24, 64, 0x42, DPS_ERROR_UNSUPPORTED, "striped" },
	{ "chunk-raid5", 811 + 17 + 24, 64, 0x82, DPS_ERROR_UNSUPPORTED, "striped" },
	{ "chunk-remapped", 811 + 17 + 24, 64, 0x802, DPS_ERROR_UNSUPPORTED, "remapped" },
	{ "chunk-elsewhere", 811 + 17 + 48, 64, 2, DPS_ERROR_UNSUPPORTED, "on device 2" },
	{ "chunk-outside", 811 + 17 + 56, 64, UINT64_C(1) << 50, DPS_ERROR_CORRUPT, "outside" },
	{ "chunk-wraps", 811 + 17 + 56, 64, UINT64_MAX, DPS_ERROR_CORRUPT, "outside" },
};

static void
test_bad_supers(void)
{
	for (guint i = 0; i < G_N_ELEMENTS(bad_supers); i++) {
		BtrfsImage image = { 0 };
		g_autoptr(GError) error = NULL;
		g_autofree char *text = NULL;
		DpsRegion region;

		g_test_message("%s", bad_supers[i].name);
		btrfs_image_make(&image);
		for (guint j = 0; j < bad_supers[i].bits / 8; j++)
			image.bytes[0x10000 + bad_supers[i].at + j] =
				(uint8_t)(bad_supers[i].value >> 8 * j);
		btrfs_image_sum_supers(&image);
		region = btrfs_image_region(&image);
		text = describe(&region, &error);
		if (bad_supers[i].code) {
			g_assert_null(text);
			g_assert_error(error, DPS_ERROR, bad_supers[i].code);
		} else {
			g_assert_no_error(error);
		}
		g_assert_nonnull(strstr(text ? text : error->message, bad_supers[i].words));
		btrfs_image_clear(&image);
	}
}

/* A wrong byte in the first copy of a block is no matter while the second is good. */
static void
test_second_copy(void)
{
	for (guint bad = 1; bad < 4; bad++) {
		BtrfsImage image = { .n_copies = 2 };
		g_autoptr(GError) error = NULL;
		g_autofree char *text = NULL;
		DpsRegion region;

		btrfs_image_make(&image);
		for (guint i = 0; i < 2; i++)
			if (bad >> i & 1)
				image.bytes[image.roots[i] + 5000] ^= 1;
		region = btrfs_image_region(&image);
		text = describe(&region, &error);
		if (bad == 3) {
			g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
			g_assert_nonnull(strstr(error->message, "wrong checksum"));
		} else {
			g_assert_no_error(error);
			g_assert_cmpstr(text, ==, whole);
		}
		btrfs_image_clear(&image);
	}
}

/* Leaves that must fail, or lose what cannot be reached. */
typedef struct {
	const char *name;
	void (*spoil)(BtrfsImage *image);
	int code;
	const char *words; /* of the error, or of the description */
} BadLeaf;

static void
spoil_order(BtrfsImage *image)
{
	dps_store_le64(image->bytes + image->roots[0] + 101 + 25, 4);
}

static void
spoil_twice(BtrfsImage *image)
{
	uint8_t *items = image->bytes + image->roots[0] + 101;

	memcpy(items + 25, items, 17);
}

static void
spoil_count_by_one(BtrfsImage *image)
{
	dps_store_le32(image->bytes + image->roots[0] + 96, (16384 - 101) / 25 + 1);
}

static void
spoil_item_size_by_one(BtrfsImage *image)
{
	image->bytes[image->roots[0] + 101 + 21]++;
}

static void
spoil_entry_name_by_one(BtrfsImage *image)
{
	image->bytes[image->roots[0] + image->default_entry + 27]++;
}

static void
spoil_count(BtrfsImage *image)
{
	dps_store_le32(image->bytes + image->roots[0] + 96, UINT32_MAX);
}

static void
spoil_item_offset(BtrfsImage *image)
{
	dps_store_le32(image->bytes + image->roots[0] + 101 + 17, image->node_size);
}

static void
spoil_item_size(BtrfsImage *image)
{
	dps_store_le32(image->bytes + image->roots[0] + 101 + 21, UINT32_MAX);
}

static void
spoil_item_over_items(BtrfsImage *image)
{
	dps_store_le32(image->bytes + image->roots[0] + 101 + 17, 0);
}

static void
spoil_owner(BtrfsImage *image)
{
	image->bytes[image->roots[0] + 32] ^= 1;
}

static void
spoil_place(BtrfsImage *image)
{
	dps_store_le64(image->bytes + image->roots[0] + 48, 0x1004000);
}

static void
spoil_entry_name(BtrfsImage *image)
{
	image->bytes[image->roots[0] + image->default_entry + 28] = 0xff;
}

static void
spoil_entry_gone(BtrfsImage *image)
{
	image->bytes[image->roots[0] + image->default_entry + 30] = 'D';
}

static void
spoil_backref_name(BtrfsImage *image)
{
	btrfs_image_find(image, image->roots[0], 256, DPS_BTRFS_ROOT_BACKREF)[17] = 0xff;
}

/* Of "root/inner" nothing is left: what it lies in cannot be named. */
static void
spoil_backref_slash(BtrfsImage *image)
{
	btrfs_image_find(image, image->roots[0], 256, DPS_BTRFS_ROOT_BACKREF)[18] = '/';
}

static void
set_backref_parent(BtrfsImage *image, guint slot, uint64_t parent)
{
	dps_store_le64(image->bytes + image->roots[0] + 101 + 25 * slot + 9, parent);
}

static void
spoil_circle(BtrfsImage *image)
{
	set_backref_parent(image, 3, 257); /* 256 lies in 257, which lies in 256 */
}

static void
spoil_self(BtrfsImage *image)
{
	set_backref_parent(image, 3, 256);
}

static void
spoil_parent(BtrfsImage *image)
{
	set_backref_parent(image, 3, 4711);
}

static void
spoil_directory_circle(BtrfsImage *image)
{
	/* Directory 257 lies in directory 257. */
	dps_store_le64(btrfs_image_find_item(image, image->tops[0], 257, DPS_BTRFS_INODE_REF) + 9,
		       257);
}

static void
spoil_directory_name(BtrfsImage *image)
{
	btrfs_image_find(image, image->tops[0], 257, DPS_BTRFS_INODE_REF)[8] = 0;
}

static void
spoil_directory_slash(BtrfsImage *image)
{
	btrfs_image_find(image, image->tops[0], 257, DPS_BTRFS_INODE_REF)[10] = '/';
}

static void
spoil_subvolume_tree(BtrfsImage *image)
{
	dps_store_le64(btrfs_image_find(image, image->roots[0], 5, DPS_BTRFS_ROOT_ITEM) + 176,
		       0x1700000);
}

static void
spoil_subvolume_level(BtrfsImage *image)
{
	btrfs_image_find(image, image->roots[0], 5, DPS_BTRFS_ROOT_ITEM)[238] = 200;
}

static const BadLeaf bad_leaves[] = {
	{ "order", spoil_order, DPS_ERROR_CORRUPT, "out of order" },
	{ "key-twice", spoil_twice, DPS_ERROR_CORRUPT, "out of order" },
	{ "count-by-one", spoil_count_by_one, DPS_ERROR_CORRUPT, "652 items" },
	{ "item-size-by-one", spoil_item_size_by_one, DPS_ERROR_CORRUPT, "item 0 outside" },
	{ "entry-name-by-one", spoil_entry_name_by_one, DPS_ERROR_CORRUPT, "cut short" },
	{ "count", spoil_count, DPS_ERROR_CORRUPT, "4294967295 items" },
	{ "item-offset", spoil_item_offset, DPS_ERROR_CORRUPT, "item 0 outside" },
	{ "item-size", spoil_item_size, DPS_ERROR_CORRUPT, "item 0 outside" },
	{ "item-over-items", spoil_item_over_items, DPS_ERROR_CORRUPT, "item 0 outside" },
	{ "owner", spoil_owner, DPS_ERROR_CORRUPT, "another file system" },
	{ "place", spoil_place, DPS_ERROR_CORRUPT, "says that it is at" },
	{ "entry-name", spoil_entry_name, DPS_ERROR_CORRUPT, "cut short" },
	{ "entry-gone", spoil_entry_gone, 0, "default 5;" },
	{ "backref-name", spoil_backref_name, DPS_ERROR_CORRUPT, "name is cut short" },
	{ "backref-slash", spoil_backref_slash, 0, "default 5; 5 ''; 258 'd/snap' ro" },
	{ "circle", spoil_circle, 0, "default 5; 5 ''; 258 'd/snap' ro" },
	{ "self", spoil_self, 0, "default 5; 5 ''; 258 'd/snap' ro" },
	{ "parent", spoil_parent, 0, "default 5; 5 ''; 258 'd/snap' ro" },
	{ "directory-circle", spoil_directory_circle, DPS_ERROR_CORRUPT, "does not end" },
	{ "directory-name", spoil_directory_name, DPS_ERROR_CORRUPT, "name is cut short" },
	{ "directory-slash", spoil_directory_slash, DPS_ERROR_CORRUPT, "none can have" },
	{ "subvolume-tree", spoil_subvolume_tree, DPS_ERROR_CORRUPT, "wrong checksum" },
	{ "subvolume-level", spoil_subvolume_level, DPS_ERROR_CORRUPT, "level 200" },
};

static void
test_bad_leaves(void)
{
	for (guint i = 0; i < G_N_ELEMENTS(bad_leaves); i++) {
		BtrfsImage image = { 0 };
		g_autoptr(GError) error = NULL;
		g_autofree char *text = NULL;
		DpsRegion region;

		g_test_message("%s", bad_leaves[i].name);
		btrfs_image_make(&image);
		bad_leaves[i].spoil(&image);
		btrfs_image_sum_leaf(&image, image.roots);
		btrfs_image_sum_leaf(&image, image.tops);
		region = btrfs_image_region(&image);
		text = describe(&region, &error);
		if (bad_leaves[i].code) {
			g_assert_null(text);
			g_assert_error(error, DPS_ERROR, bad_leaves[i].code);
		} else {
			g_assert_no_error(error);
		}
		g_assert_nonnull(strstr(text ? text : error->message, bad_leaves[i].words));
		btrfs_image_clear(&image);
	}
}

static void
test_cut_short(void)
{
	static const uint64_t sizes[] = { 0,	    1,	      0x10000,	0x10fff,  0x11000,
					  0x100fff, 0x400000, 0x403fff, 0x404000, 0x407fff };
	BtrfsImage image = { 0 };

	btrfs_image_make(&image);
	for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
		g_autofree uint8_t *copy =
			g_memdup2(image.bytes, sizes[i]); /* ASan sees its edge */
		g_autoptr(GError) error = NULL;
		DpsRegion region = dps_region_over_memory(copy, sizes[i]);

		g_assert_null(describe(&region, &error));
		g_assert_nonnull(error);
	}
	btrfs_image_clear(&image);
}

/* Whatever the bytes are, it ends, and nothing outside of them is read. */
static void
test_random_bytes(void)
{
	g_autoptr(GRand) random = g_rand_new_with_seed(20);
	BtrfsImage image = { .node_size = 4096 };

	btrfs_image_make(&image);
	for (guint i = 0; i < 3000; i++) {
		const uint64_t blocks[] = { 0x10000, 0x100000, image.roots[0], image.tops[0] };
		uint64_t block = blocks[g_rand_int_range(random, 0, 4)];
		guint n = (guint)g_rand_int_range(random, 1, 8);
		uint8_t saved[4096];
		DpsRegion region = btrfs_image_region(&image);
		g_autoptr(GError) error = NULL;
		g_autofree char *text = NULL;

		memcpy(saved, image.bytes + block, sizeof(saved));
		while (n-- > 0) {
			int at = g_rand_int_range(random, 32, g_rand_boolean(random) ? 400 : 4096);

			image.bytes[block + (uint64_t)at] = (uint8_t)g_rand_int(random);
		}
		btrfs_image_sum(&image, block, sizeof(saved));
		text = describe(&region, &error);
		g_assert_true((text == NULL) == (error != NULL));
		memcpy(image.bytes + block, saved, sizeof(saved));
	}
	btrfs_image_clear(&image);
}

/* A medium that breaks is told from a file system that is broken; a second copy helps. */
static gboolean
describe_all(const DpsRegion *region, GError **error)
{
	g_autofree char *text = describe(region, error);

	g_assert_true(!text || strcmp(text, whole) == 0);
	return text != NULL;
}

static void
test_broken_medium(void)
{
	for (guint n_copies = 1; n_copies <= 2; n_copies++) {
		BtrfsImage image = { .n_copies = n_copies };
		DpsRegion region;

		btrfs_image_make(&image);
		region = btrfs_image_region(&image);
		failing_region_try_each(&region, describe_all);
		btrfs_image_clear(&image);
	}
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/btrfs/sizes-and-checksums", test_sizes_and_checksums);
	g_test_add_func("/btrfs/lookups", test_lookups);
	g_test_add_func("/btrfs/bad-supers", test_bad_supers);
	g_test_add_func("/btrfs/second-copy", test_second_copy);
	g_test_add_func("/btrfs/bad-leaves", test_bad_leaves);
	g_test_add_func("/btrfs/cut-short", test_cut_short);
	g_test_add_func("/btrfs/random-bytes", test_random_bytes);
	g_test_add_func("/btrfs/broken-medium", test_broken_medium);
	return g_test_run();
}
