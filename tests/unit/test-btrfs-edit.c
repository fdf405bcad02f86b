/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dps/error.h>
#include "btrfs-image.h"
#include "failing-region.h"
#include "fault.h"
#include "format/btrfs-edit.h"
#include "format/btrfs-subvolumes.h"
#include "ground/bytes.h"

#include <string.h>
#include <unistd.h>

static uint64_t
read_default(const DpsRegion *region)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsBtrfsFs) fs = dps_btrfs_fs_open(region, &error);
	g_autoptr(GPtrArray) list = NULL;
	DpsBtrfsDefault found;

	g_assert_no_error(error);
	g_assert_true(dps_btrfs_fs_read_default(fs, &found, &error));
	list = dps_btrfs_fs_list_subvolumes(fs, &error);
	g_assert_no_error(error);
	g_assert_cmpuint(list->len, ==, 4);
	return found.id;
}

/* Writes the first @n of the edits, and of the next one @torn bytes. */
static void
write_edits(BtrfsImage *image, GPtrArray *edits, guint n, size_t torn)
{
	for (guint i = 0; i < edits->len && i <= n; i++) {
		const DpsEdit *edit = g_ptr_array_index(edits, i);

		g_assert_cmpmem(image->bytes + edit->offset, edit->size, edit->old_bytes,
				edit->size);
		memcpy(image->bytes + edit->offset, edit->new_bytes, i < n ? edit->size : torn);
	}
}

static void
unwrite_edits(BtrfsImage *image, GPtrArray *edits)
{
	for (guint i = edits->len; i-- > 0;) {
		const DpsEdit *edit = g_ptr_array_index(edits, i);

		memcpy(image->bytes + edit->offset, edit->old_bytes, edit->size);
	}
}

static DpsBtrfsEdit
compute(const BtrfsImage *image, uint64_t id)
{
	DpsRegion region = btrfs_image_region(image);
	g_autoptr(GError) error = NULL;
	DpsBtrfsEdit edit = { NULL };

	g_assert_true(dps_btrfs_edit_default(&region, id, &edit, &error));
	g_assert_no_error(error);
	return edit;
}

/* Brings the default to @id from wherever a crash left it; then nothing more is to be done. */
static void
finish(BtrfsImage *image, uint64_t id)
{
	DpsRegion region = btrfs_image_region(image);
	g_auto(DpsBtrfsEdit) edit = compute(image, id);
	g_auto(DpsBtrfsEdit) again = { NULL };

	write_edits(image, edit.edits, edit.edits->len, 0);
	g_assert_cmpuint(read_default(&region), ==, id);
	again = compute(image, id);
	g_assert_cmpuint(again.edits->len, ==, 0);
	g_assert_false(again.needs_journal);
}

static void
assert_copies_agree(const BtrfsImage *image)
{
	if (image->n_copies == 2)
		g_assert_cmpmem(image->bytes + image->roots[0], image->node_size,
				image->bytes + image->roots[1], image->node_size);
}

/*
 * Every prefix of the edits, and each edit torn at sectors all along it: the old default or the new
 * one, and the same command again finishes it.
 */
static void
crash_everywhere(BtrfsImage *image, uint64_t from, uint64_t to)
{
	DpsRegion region = btrfs_image_region(image);
	g_auto(DpsBtrfsEdit) edit = compute(image, to);
	gboolean seen_new = FALSE;

	g_assert_false(edit.needs_journal);
	for (guint n = 0; n <= edit.edits->len; n++) {
		const DpsEdit *next = n < edit.edits->len ? g_ptr_array_index(edit.edits, n) : NULL;

		for (size_t torn = 0; torn == 0 || (next && torn < next->size);
		     torn += MAX(512, image->node_size / 32)) {
			g_auto(DpsBtrfsEdit) rest = { NULL };
			g_auto(DpsBtrfsEdit) back = { NULL };
			uint64_t now;

			write_edits(image, edit.edits, n, torn);
			now = read_default(&region);
			g_assert_true(now == from || now == to);
			g_assert_false(seen_new && now == from); /* never back again */
			seen_new |= now == to && n == edit.edits->len;

			rest = compute(image, to);
			g_assert_false(rest.needs_journal);
			write_edits(image, rest.edits, rest.edits->len, 0);
			g_assert_cmpuint(read_default(&region), ==, to);
			assert_copies_agree(image);
			unwrite_edits(image, rest.edits);

			back = compute(image, from);
			g_assert_false(back.needs_journal);
			write_edits(image, back.edits, back.edits->len, 0);
			g_assert_cmpuint(read_default(&region), ==, from);
			assert_copies_agree(image);
			unwrite_edits(image, back.edits);
			unwrite_edits(image, edit.edits);
		}
	}
	g_assert_true(seen_new);
}

static gboolean
has_checksum(uint16_t type)
{
	uint8_t sum[DPS_CHECKSUM_MAX_SIZE];

	return dps_checksum_compute(type, (const uint8_t *)"", 0, sum, NULL);
}

static void
test_sizes_and_checksums(void)
{
	for (guint i = 0; i < 5 * 4 * 2; i++) {
		BtrfsImage image = {
			.node_size = 4096u << i % 5,
			.checksum = (uint16_t)(i / 5 % 4),
			.n_copies = 1 + i / 20,
		};
		g_auto(DpsBtrfsEdit) edit = { NULL };

		if (!has_checksum(image.checksum))
			continue;
		btrfs_image_make(&image);
		edit = compute(&image, 258);
		g_assert_cmpint(edit.needs_journal, ==, image.n_copies == 1 && image.checksum != 0);
		/* Both superblocks, and each copy of the leaf. */
		g_assert_cmpuint(edit.edits->len, ==, 2 + image.n_copies);
		/* The superblock that is mounted by behind its copy, and the leaf behind both. */
		g_assert_cmpuint(((const DpsEdit *)edit.edits->pdata[0])->offset, ==, 0x4000000);
		g_assert_cmpuint(((const DpsEdit *)edit.edits->pdata[1])->offset, ==, 0x10000);
		g_assert_nonnull(strstr(edit.note, "read-only"));
		g_assert_nonnull(strstr(edit.note, image.n_copies == 2
							   ? "one copy of the metadata after"
						   : edit.needs_journal ? "through a journal file"
									: "as a single sector"));
		if (!edit.needs_journal)
			crash_everywhere(&image, 5, 257);
		finish(&image, 258);
		finish(&image, 256);
		finish(&image, 5);
		btrfs_image_clear(&image);
	}
}

/* Nothing changes but what has to. */
static void
test_changed_bytes(void)
{
	for (guint copies = 1; copies <= 2; copies++) {
		BtrfsImage image = { .n_copies = copies };
		g_autofree uint8_t *before = NULL;
		uint32_t entry;
		const uint8_t *leaf;

		btrfs_image_make(&image);
		before = g_memdup2(image.bytes, image.size);
		entry = image.default_entry;
		finish(&image, 258);

		leaf = image.bytes + image.roots[0] + entry;
		g_assert_cmpuint(dps_load_le64(leaf), ==, 258);
		g_assert_cmpuint(leaf[8], ==, DPS_BTRFS_ROOT_ITEM);
		g_assert_cmpuint(dps_load_le64(leaf + 9), ==, 7); /* the snapshot's own */
		if (copies == 1)				  /* the checksum stays */
			g_assert_cmpmem(image.bytes + image.roots[0], 32, before + image.roots[0],
					32);
		else /* the transid stays */
			g_assert_cmpmem(leaf + 17, 8, before + image.roots[0] + entry + 17, 8);

		for (uint64_t i = 0; i < image.size; i++) {
			uint64_t in_leaf = i - image.roots[i >= image.roots[1] && copies == 2];

			if (image.bytes[i] == before[i])
				continue;
			if (in_leaf >= entry && in_leaf < entry + (copies == 1 ? 21 : 17))
				continue;
			if (copies == 2 && in_leaf < 4)
				continue;
			/* Superblocks: the checksum and the flag. */
			g_assert_true(i - 0x10000 < 4 || i - 0x10000 == 188 || i - 0x4000000 < 4 ||
				      i - 0x4000000 == 188);
		}

		/* Back again: all but the flag is as it was. */
		finish(&image, 5);
		g_assert_cmpmem(image.bytes + image.roots[0], image.node_size,
				before + image.roots[0], image.node_size);
		btrfs_image_clear(&image);
	}
}

/* The entry at every place in its sector: in one piece without a journal, else with one. */
static void
test_straddling(void)
{
	guint n_journal = 0;

	for (uint32_t padding = 0; padding < 512; padding++) {
		BtrfsImage image = { .padding = padding };
		g_auto(DpsBtrfsEdit) edit = { NULL };
		gboolean straddles;

		btrfs_image_make(&image);
		straddles = image.default_entry / 512 != (image.default_entry + 20) / 512;
		edit = compute(&image, 256);
		g_assert_cmpint(edit.needs_journal, ==, straddles);
		if (!straddles) {
			const DpsEdit *leaf = g_ptr_array_index(edit.edits, 2);

			g_assert_cmpuint(edit.edits->len, ==, 3);
			g_assert_cmpuint(leaf->size, ==, 512);
			g_assert_cmpuint(leaf->offset % 512, ==, 0);
		}
		n_journal += straddles;
		write_edits(&image, edit.edits, edit.edits->len, 0);
		finish(&image, 256);
		btrfs_image_clear(&image);
	}
	g_assert_cmpuint(n_journal, ==, 20); /* of 21 bytes at 512 places */
}

/* mkfs' own key of the top level is not the kernel's; it is no reason to write. */
static void
test_nothing_to_do(void)
{
	static const struct {
		uint64_t id, offset, incompat;
		guint n_edits;
	} rows[] = {
		{ 5, 0, 0, 0 },	  { 5, UINT64_MAX, 0, 0 }, { 5, UINT64_MAX, 2, 0 },
		{ 256, 0, 2, 0 }, { 256, 0, 0, 2 }, /* only the flags are missing */
		{ 258, 7, 2, 0 },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		BtrfsImage image = {
			.default_id = rows[i].id,
			.default_offset = rows[i].offset,
			.incompat = rows[i].incompat,
			.n_copies = 1 + i % 2,
		};
		g_auto(DpsBtrfsEdit) edit = { NULL };

		btrfs_image_make(&image);
		edit = compute(&image, rows[i].id);
		g_assert_cmpuint(edit.edits->len, ==, rows[i].n_edits);
		g_assert_false(edit.needs_journal);
		finish(&image, rows[i].id);
		btrfs_image_clear(&image);
	}
}

/* A dangling default does not mount: it can be left, never be made. */
static void
test_dangling(void)
{
	BtrfsImage image = { .default_id = 999, .incompat = 2 };

	btrfs_image_make(&image);
	/* And its key is whole when it leads somewhere. */
	image.bytes[image.roots[0] + image.default_entry + 8] = 0;
	btrfs_image_sum_leaf(&image, image.roots);
	finish(&image, 256);
	g_assert_cmpuint(image.bytes[image.roots[0] + image.default_entry + 8], ==,
			 DPS_BTRFS_ROOT_ITEM);
	btrfs_image_clear(&image);
}

typedef struct {
	const char *name;
	uint64_t id;
	void (*spoil)(BtrfsImage *image);
	int code;
	const char *words;
} Refusal;

static void
store_in_supers(BtrfsImage *image, size_t at, uint64_t value)
{
	dps_store_le64(image->bytes + 0x10000 + at, value);
	dps_store_le64(image->bytes + 0x4000000 + at, value);
}

static void
spoil_nothing(BtrfsImage *image)
{
}

static void
spoil_log(BtrfsImage *image)
{
	store_in_supers(image, 96, 0x1234000);
}

static void
spoil_devices(BtrfsImage *image)
{
	store_in_supers(image, 136, 2);
}

static void
spoil_seed(BtrfsImage *image)
{
	store_in_supers(image, 56, 1 | UINT64_C(1) << 32);
}

static void
spoil_metadump(BtrfsImage *image)
{
	store_in_supers(image, 56, 1 | UINT64_C(1) << 33);
}

static void
spoil_error(BtrfsImage *image)
{
	store_in_supers(image, 56, 1 | 1 << 2);
}

static void
spoil_changing_uuid(BtrfsImage *image)
{
	store_in_supers(image, 56, 1 | UINT64_C(1) << 36);
}

static void
spoil_changing_checksum(BtrfsImage *image)
{
	store_in_supers(image, 56, 1 | UINT64_C(1) << 40);
}

static void
spoil_flags(BtrfsImage *image)
{
	store_in_supers(image, 56, 1 | UINT64_C(1) << 50);
}

static void
spoil_zoned(BtrfsImage *image)
{
	store_in_supers(image, 188, 0x1361);
}

static void
spoil_extent_tree_v2(BtrfsImage *image)
{
	store_in_supers(image, 188, 0x2361);
}

static void
spoil_compat_ro(BtrfsImage *image)
{
	store_in_supers(image, 180, 0x13);
}

static void
spoil_size(BtrfsImage *image)
{
	store_in_supers(image, 112, image->size + 1);
}

static void
spoil_device_size(BtrfsImage *image)
{
	store_in_supers(image, 209, image->size + 4096);
}

static void
spoil_generation_of_copy(BtrfsImage *image)
{
	dps_store_le64(image->bytes + 0x4000000 + 72, 8);
}

static void
spoil_place_of_copy(BtrfsImage *image)
{
	dps_store_le64(image->bytes + 0x4000000 + 48, 0x10000);
}

static void
spoil_no_entry(BtrfsImage *image)
{
	image->bytes[image->roots[0] + image->default_entry + 30] = 'D';
}

static void
spoil_two_roots(BtrfsImage *image)
{
	/* The back reference of 256 becomes a second root item of it. */
	uint8_t *item = image->bytes + image->roots[0] + 101 + 25 * 3;

	item[8] = DPS_BTRFS_ROOT_ITEM;
	dps_store_le64(item + 9, 3);
}

static void
spoil_no_backref(BtrfsImage *image)
{
	image->bytes[image->roots[0] + 101 + 25 * 3 + 8] = 156; /* a reference to another one */
}

static void
spoil_top_directory(BtrfsImage *image)
{
	image->bytes[image->tops[0] + 101 + 8] = 2; /* no inode item any more */
}

static void
spoil_top_block(BtrfsImage *image)
{
	memset(image->bytes + image->tops[0] + 32, 0xff, 16); /* of another file system */
}

static const Refusal refusals[] = {
	{ "missing", 4711, spoil_nothing, DPS_ERROR_NOT_FOUND, "4711: there is none" },
	{ "deleted", 259, spoil_nothing, DPS_ERROR_NOT_FOUND, "259: is deleted" },
	{ "internal", 3, spoil_nothing, DPS_ERROR_NOT_FOUND, "3: there is none" },
	{ "log", 256, spoil_log, DPS_ERROR_REFUSED, "log tree" },
	{ "devices", 256, spoil_devices, DPS_ERROR_REFUSED, "2 devices" },
	{ "seed", 256, spoil_seed, DPS_ERROR_REFUSED, "seed device" },
	{ "metadump", 256, spoil_metadump, DPS_ERROR_REFUSED, "metadata dump" },
	{ "error", 256, spoil_error, DPS_ERROR_REFUSED, "error was recorded" },
	{ "changing-uuid", 256, spoil_changing_uuid, DPS_ERROR_REFUSED, "change of its UUID" },
	{ "changing-sum", 256, spoil_changing_checksum, DPS_ERROR_REFUSED, "of its checksums" },
	{ "flags", 256, spoil_flags, DPS_ERROR_UNSUPPORTED, "0x4000000000000" },
	{ "zoned", 256, spoil_zoned, DPS_ERROR_UNSUPPORTED, "zoned" },
	{ "extent-tree-v2", 256, spoil_extent_tree_v2, DPS_ERROR_UNSUPPORTED, "0x2000" },
	{ "compat-ro", 256, spoil_compat_ro, DPS_ERROR_UNSUPPORTED, "features 0x10" },
	{ "size", 256, spoil_size, DPS_ERROR_REFUSED, "68157441 bytes long" },
	{ "device-size", 256, spoil_device_size, DPS_ERROR_REFUSED, "bytes long" },
	{ "copy-generation", 256, spoil_generation_of_copy, DPS_ERROR_REFUSED, "generation 8" },
	{ "copy-place", 256, spoil_place_of_copy, DPS_ERROR_CORRUPT, "at byte 67108864" },
	{ "no-entry", 256, spoil_no_entry, DPS_ERROR_REFUSED, "no entry" },
	{ "two-roots", 256, spoil_two_roots, DPS_ERROR_CORRUPT, "two of it" },
	{ "no-backref", 256, spoil_no_backref, DPS_ERROR_NOT_FOUND, "is deleted" },
	{ "top-directory", 256, spoil_top_directory, DPS_ERROR_NOT_FOUND, "subvolume 256" },
	{ "top-block", 256, spoil_top_block, DPS_ERROR_CORRUPT, "another file system" },
};

static void
test_refusals(void)
{
	for (guint i = 0; i < G_N_ELEMENTS(refusals); i++) {
		BtrfsImage image = { 0 };
		g_autoptr(GError) error = NULL;
		DpsBtrfsEdit edit = { .needs_journal = 7 };
		DpsRegion region;

		g_test_message("%s", refusals[i].name);
		btrfs_image_make(&image);
		refusals[i].spoil(&image);
		btrfs_image_sum_supers(&image);
		btrfs_image_sum_leaf(&image, image.roots);
		btrfs_image_sum_leaf(&image, image.tops);
		region = btrfs_image_region(&image);
		g_assert_false(dps_btrfs_edit_default(&region, refusals[i].id, &edit, &error));
		g_assert_error(error, DPS_ERROR, refusals[i].code);
		g_assert_nonnull(strstr(error->message, refusals[i].words));
		g_assert_null(edit.edits); /* untouched on failure */
		g_assert_cmpint(edit.needs_journal, ==, 7);
		btrfs_image_clear(&image);
	}
}

/* A superblock's copy with a wrong checksum is for btrfs-progs to mend; one of others is not ours.
 */
static void
test_super_copies(void)
{
	for (guint i = 0; i < 3; i++) {
		BtrfsImage image = { 0 };
		g_autoptr(GError) error = NULL;
		g_auto(DpsBtrfsEdit) edit = { NULL };
		DpsRegion region;
		gboolean ok;

		btrfs_image_make(&image);
		image.bytes[0x4000000 + (i == 0 ? 500 : i == 1 ? 64 : 32)] ^= 0x55;
		if (i == 2)
			btrfs_image_sum_supers(&image);
		region = btrfs_image_region(&image);
		ok = dps_btrfs_edit_default(&region, 256, &edit, &error);
		if (i == 0) {
			g_assert_false(ok);
			g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
			g_assert_nonnull(strstr(error->message, "wrong checksum"));
		} else {
			g_assert_no_error(error);
			g_assert_cmpuint(edit.edits->len, ==, 2); /* not that copy */
		}
		btrfs_image_clear(&image);
	}
}

/* Copies that differ: mended whatever the default is to be, and the bad one is written first. */
static void
test_healing(void)
{
	for (guint bad = 0; bad < 2; bad++) {
		for (guint torn = 0; torn < 2; torn++) {
			BtrfsImage image = { .n_copies = 2, .default_id = 256, .incompat = 2 };
			g_auto(DpsBtrfsEdit) edit = { NULL };
			const DpsEdit *first;

			btrfs_image_make(&image);
			if (torn)
				memset(image.bytes + image.roots[bad] + 512, 0xee, 3000);
			else
				dps_store_le64(image.bytes + image.roots[bad] + image.default_entry,
					       257);
			if (!torn)
				btrfs_image_sum(&image, image.roots[bad], image.node_size);

			edit = compute(&image, 256);
			g_assert_cmpuint(edit.edits->len, ==, 1);
			g_assert_nonnull(strstr(edit.note, "cut off"));
			dps_btrfs_edit_clear(&edit);

			edit = compute(&image, 257);
			first = g_ptr_array_index(edit.edits, 0);
			if (torn) {
				g_assert_cmpuint(edit.edits->len, ==, 2);
				g_assert_cmpuint(first->offset - image.roots[bad], <,
						 image.node_size);
			}
			crash_everywhere(&image, !torn && bad == 0 ? 257 : 256,
					 !torn && bad == 0 ? 256 : 257);
			finish(&image, 258);
			assert_copies_agree(&image);
			btrfs_image_clear(&image);
		}
	}
}

/* Two valid copies that differ elsewhere are nothing that a crash of ours leaves. */
static void
test_copies_contradict(void)
{
	/* Before the entry and behind it: its transid is the next byte. */
	for (guint behind = 0; behind < 3; behind++) {
		BtrfsImage image = { .n_copies = 2 };
		g_autoptr(GError) error = NULL;
		g_auto(DpsBtrfsEdit) edit = { NULL };
		uint8_t *item, *entry;
		DpsRegion region;

		btrfs_image_make(&image);
		item = btrfs_image_find(&image, image.roots[1], 257, DPS_BTRFS_ROOT_ITEM);
		entry = image.bytes + image.roots[1] + image.default_entry;
		if (behind == 0)
			item[300] ^= 1;
		else
			entry[behind == 1 ? -1 : 17] ^= 1;
		btrfs_image_sum(&image, image.roots[1], image.node_size);
		region = btrfs_image_region(&image);
		g_assert_false(dps_btrfs_edit_default(&region, 256, &edit, &error));
		g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
		btrfs_image_clear(&image);
	}
}

static gboolean
compute_on(const DpsRegion *region, GError **error)
{
	g_auto(DpsBtrfsEdit) edit = { NULL };

	return dps_btrfs_edit_default(region, 256, &edit, error);
}

/* Where a copy cannot be read nothing is planned: it might be the one that the kernel takes. */
static void
test_broken_medium(void)
{
	for (guint n_copies = 1; n_copies <= 2; n_copies++) {
		BtrfsImage image = { .n_copies = n_copies };
		DpsRegion region;

		btrfs_image_make(&image);
		region = btrfs_image_region(&image);
		failing_region_try_each(&region, compute_on);
		btrfs_image_clear(&image);
	}
}

/* The image in a file, that others can write to. */
static int
put_in_file(const BtrfsImage *image)
{
	static const uint8_t zeros[4096];
	g_autofree char *path = NULL;
	int fd = g_file_open_tmp("dps-btrfs-XXXXXX", &path, NULL);

	g_assert_cmpint(ftruncate(fd, (off_t)image->size), ==, 0);
	for (uint64_t at = 0; at < image->size; at += sizeof(zeros))
		if (memcmp(image->bytes + at, zeros, sizeof(zeros)) != 0)
			g_assert_cmpint(pwrite(fd, image->bytes + at, sizeof(zeros), (off_t)at), ==,
					sizeof(zeros));
	unlink(path);
	return fd;
}

typedef struct {
	const BtrfsImage *image;
	int fd;
} Open;

static void
spoil_leaf(void *data)
{
	const Open *open = data;

	for (guint i = 0; i < open->image->n_copies; i++)
		g_assert_cmpint(pwrite(open->fd, "spoilt", 6, (off_t)open->image->roots[i] + 200),
				==, 6);
}

/* The leaf goes bad, in all copies, before any one of the reads. */
static void
test_spoilt_meanwhile(void)
{
	BtrfsImage image = { .n_copies = 2, .default_id = 5 };
	gboolean was_reached = TRUE;

	btrfs_image_make(&image);
	for (guint nth = 1; was_reached; nth++) {
		Open open = { &image, put_in_file(&image) };
		DpsRegion region = dps_region_over_fd(open.fd, 0, image.size);
		g_autoptr(GError) error = NULL;
		g_auto(DpsBtrfsEdit) edit = { NULL };
		gboolean good;

		fault_set_event("read", nth, spoil_leaf, &open);
		good = dps_btrfs_edit_default(&region, 256, &edit, &error);
		was_reached = fault_clear();
		g_assert_cmpint(good, ==, error == NULL);
		close(open.fd);
	}
	btrfs_image_clear(&image);
}

/* Healed without a change: the entry keeps the bytes that it has in the good copy. */
static void
test_healing_changes_nothing(void)
{
	BtrfsImage image = { .n_copies = 2, .default_id = 5, .default_offset = UINT64_MAX };
	g_autofree uint8_t *leaf = NULL;

	btrfs_image_make(&image);
	leaf = g_memdup2(image.bytes + image.roots[0], image.node_size);
	image.bytes[image.roots[1] + 200] ^= 1;
	finish(&image, 5);
	for (guint i = 0; i < 2; i++)
		g_assert_cmpmem(image.bytes + image.roots[i], image.node_size, leaf,
				image.node_size);
	btrfs_image_clear(&image);
}

/* An entry in the leaf's first sector: its checksum is there too, and one write does it. */
static void
test_first_sector(void)
{
	BtrfsImage image = { .n_copies = 1, .default_id = 5, .node_size = 4096 };
	g_auto(DpsBtrfsEdit) edit = { NULL };
	const DpsEdit *last;
	uint8_t transid[8], *item;

	btrfs_image_make(&image);
	/* The data of an item may be anywhere behind the items: here in the room that is left. */
	item = btrfs_image_find_item(&image, image.roots[0], 6, DPS_BTRFS_DIR_ITEM);
	memcpy(image.bytes + image.roots[0] + 490,
	       image.bytes + image.roots[0] + image.default_entry, 37);
	dps_store_le32(item + 17, 490 - 101);
	btrfs_image_sum_leaf(&image, image.roots);
	memcpy(transid, image.bytes + image.roots[0] + 490 + 17, 8);
	edit = compute(&image, 256);
	g_assert_null(edit.note);
	g_assert_false(edit.needs_journal);
	last = g_ptr_array_index(edit.edits, edit.edits->len - 1);
	g_assert_cmpuint(last->offset, ==, image.roots[0]);
	g_assert_cmpuint(last->size, ==, 512);
	finish(&image, 256);
	g_assert_cmpmem(image.bytes + image.roots[0] + 490 + 17, 8, transid, 8);
	btrfs_image_clear(&image);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/btrfs-edit/broken-medium", test_broken_medium);
	g_test_add_func("/btrfs-edit/sizes-and-checksums", test_sizes_and_checksums);
	g_test_add_func("/btrfs-edit/changed-bytes", test_changed_bytes);
	g_test_add_func("/btrfs-edit/straddling", test_straddling);
	g_test_add_func("/btrfs-edit/nothing-to-do", test_nothing_to_do);
	g_test_add_func("/btrfs-edit/dangling", test_dangling);
	g_test_add_func("/btrfs-edit/refusals", test_refusals);
	g_test_add_func("/btrfs-edit/super-copies", test_super_copies);
	g_test_add_func("/btrfs-edit/healing", test_healing);
	g_test_add_func("/btrfs-edit/copies-contradict", test_copies_contradict);
	g_test_add_func("/btrfs-edit/spoilt-meanwhile", test_spoilt_meanwhile);
	g_test_add_func("/btrfs-edit/healing-changes-nothing", test_healing_changes_nothing);
	g_test_add_func("/btrfs-edit/first-sector", test_first_sector);
	return g_test_run();
}
