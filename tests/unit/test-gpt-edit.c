/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "make-gpt.h"
#include "format/gpt-edit.h"
#include "ground/bytes.h"
#include "ground/error.h"

#include <string.h>

static DpsGpt *
read_table(const TestDisk *disk)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *problem = NULL;
	DpsRegion region = test_disk_region(disk);
	DpsGptPresence presence;
	DpsGpt *gpt = NULL;

	g_assert_true(dps_gpt_read(&region, 0, &presence, &gpt, &problem, &error));
	g_assert_cmpstr(problem, ==, NULL);
	return gpt;
}

/* Type, flags, UUID and name of three partitions: two in one sector of 512 bytes, one in another.
 */
static GPtrArray *
make_changes(void)
{
	GPtrArray *changes =
		g_ptr_array_new_with_free_func((GDestroyNotify)dps_gpt_entry_change_free);
	DpsGptEntryChange *change = dps_gpt_entry_change_new(2);

	change->set_type = change->set_attributes = TRUE;
	memset(change->type_guid.bytes, 0x4f, 16);
	change->attributes = UINT64_C(1) << 59 | 1 << 5;
	g_ptr_array_add(changes, change);

	change = dps_gpt_entry_change_new(4);
	change->set_guid = change->set_name = TRUE;
	memset(change->guid.bytes, 0x99, 16);
	change->name = g_strdup("h\xc3\xb6me \xf0\x9f\x92\xbe");
	g_ptr_array_add(changes, change);
	return changes;
}

static void
apply(TestDisk *disk, GPtrArray *edits, guint n)
{
	for (guint i = 0; i < n; i++) {
		const DpsEdit *edit = g_ptr_array_index(edits, i);

		g_assert_cmpuint(edit->offset + edit->size, <=, disk->size);
		g_assert_cmpmem(disk->bytes + edit->offset, edit->size, edit->old_bytes,
				edit->size);
		memcpy(disk->bytes + edit->offset, edit->new_bytes, edit->size);
	}
}

static GPtrArray *
edit(const TestDisk *disk, GPtrArray *changes, gboolean force, char **repairs)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsGpt) gpt = read_table(disk);
	GPtrArray *edits = NULL;

	dps_gpt_edit(gpt, changes, force, &edits, repairs, &error);
	g_assert_no_error(error);
	return edits;
}

static void
assert_is_new(const TestDisk *disk)
{
	g_autoptr(DpsGpt) gpt = read_table(disk);
	const DpsGptEntry *entry = dps_gpt_get_entry(gpt, 2);

	g_assert_true(gpt->primary.good && gpt->backup.good && !gpt->copies_differ);
	g_assert_cmpint(gpt->state, ==, DPS_GPT_WHOLE);
	g_assert_cmpuint(entry->type_guid.bytes[7], ==, 0x4f);
	g_assert_cmphex(entry->attributes, ==, UINT64_C(1) << 59 | 1 << 5);
	g_assert_cmpstr(entry->name, ==, "root");
	g_assert_cmpuint(dps_gpt_get_entry(gpt, 4)->guid.bytes[0], ==, 0x99);
	g_assert_cmpstr(dps_gpt_get_entry(gpt, 4)->name, ==, "h\xc3\xb6me \xf0\x9f\x92\xbe");
}

/* Old or new by the kernel's rule: a good primary header and the array that it names. */
static gboolean
kernel_sees_new(const TestDisk *disk)
{
	g_autoptr(DpsGpt) gpt = read_table(disk);

	g_assert_true(gpt->primary.good);
	if (dps_gpt_get_entry(gpt, 2)->type_guid.bytes[7] == 0x4f) {
		g_assert_cmpuint(dps_gpt_get_entry(gpt, 4)->guid.bytes[0], ==, 0x99);
		return TRUE;
	}
	g_assert_cmpuint(dps_gpt_get_entry(gpt, 2)->type_guid.bytes[7], ==, 0x12);
	g_assert_cmpuint(dps_gpt_get_entry(gpt, 4)->guid.bytes[0], ==, 0xa4);
	return FALSE;
}

static const struct {
	uint32_t sector_size, n_entries, entry_size;
	guint n_edits;
} shapes[] = {
	{ 512, 128, 128, 5 }, { 4096, 128, 128, 5 }, { 512, 4, 128, 5 },  { 512, 56, 128, 5 },
	{ 512, 128, 256, 5 }, { 4096, 4, 128, 5 },   { 512, 64, 512, 7 },
};

static void
test_flip(void)
{
	for (guint i = 0; i < G_N_ELEMENTS(shapes); i++) {
		g_auto(TestDisk) disk = test_disk_new(shapes[i].sector_size, shapes[i].n_entries,
						      shapes[i].entry_size);
		g_autoptr(GPtrArray) changes = make_changes();
		g_autoptr(GPtrArray) edits = NULL, again = NULL;
		g_autofree char *repairs = NULL;
		g_autofree uint8_t *before = g_memdup2(disk.bytes, disk.size);

		edits = edit(&disk, changes, FALSE, &repairs);
		g_assert_cmpstr(repairs, ==, NULL);
		apply(&disk, edits, edits->len);
		assert_is_new(&disk);
		/* 256-byte entries 2 and 4 lie in different sectors, 128-byte ones in one. */
		if (shapes[i].entry_size == 256)
			g_assert_cmpuint(edits->len, ==, 5);
		else
			g_assert_cmpuint(edits->len, ==, shapes[i].n_edits);

		/* Nothing else changed: put the intended bytes back, and it is the same disk. */
		for (int copy = 0; copy < 2; copy++) {
			uint64_t header = copy ? disk.n_sectors - 1 : 1;
			uint64_t array =
				copy ? disk.n_sectors - 1 - test_disk_array_sectors(&disk) : 2;
			size_t at = (size_t)array * disk.sector_size;
			size_t h = (size_t)header * disk.sector_size;

			memcpy(disk.bytes + h + 16, before + h + 16, 4);
			memcpy(disk.bytes + h + 88, before + h + 88, 4);
			at += disk.entry_size;
			memcpy(disk.bytes + at, before + at, 16);
			memcpy(disk.bytes + at + 48, before + at + 48, 8);
			at += 2 * (size_t)disk.entry_size;
			memcpy(disk.bytes + at + 16, before + at + 16, 16);
			memcpy(disk.bytes + at + 56, before + at + 56, 72);
		}
		g_assert_cmpmem(disk.bytes, disk.size, before, disk.size);

		/* A second time there is nothing to do. */
		apply(&disk, edits, 0);
		memcpy(disk.bytes, before, disk.size);
		apply(&disk, edits, edits->len);
		again = edit(&disk, changes, FALSE, &repairs);
		g_assert_cmpuint(again->len, ==, 0);
	}
}

/* A good backup keeps what is its own: the rest of its header's sector, and of its array's last. */
static void
test_backup_keeps_its_bytes(void)
{
	g_auto(TestDisk) disk = test_disk_new(512, 5, 128);
	g_autoptr(GPtrArray) changes = make_changes();
	g_autoptr(GPtrArray) edits = NULL;
	g_autofree char *repairs = NULL;
	size_t header = (disk.n_sectors - 1) * 512;
	size_t array = header - test_disk_array_sectors(&disk) * 512;

	for (int copy = 0; copy < 2; copy++) {
		memset(disk.bytes + (copy ? header : 512) + 500, copy ? 'b' : 'p', 12);
		memset(disk.bytes + (copy ? array : 1024) + 5 * 128, copy ? 'b' : 'p', 128);
	}
	edits = edit(&disk, changes, FALSE, &repairs);
	g_assert_cmpstr(repairs, ==, NULL);
	apply(&disk, edits, edits->len);
	assert_is_new(&disk);
	for (int copy = 0; copy < 2; copy++)
		for (guint i = 0; i < 128; i++) {
			g_assert_cmpint(disk.bytes[(copy ? array : 1024) + 5 * 128 + i], ==,
					copy ? 'b' : 'p');
			if (i < 12)
				g_assert_cmpint(disk.bytes[(copy ? header : 512) + 500 + i], ==,
						copy ? 'b' : 'p');
		}
}

/* Cut off again behind each of the steps that finish it; the disk is left as it was. */
static void
assert_always_readable(TestDisk *disk, GPtrArray *edits)
{
	g_autofree uint8_t *before = g_memdup2(disk->bytes, disk->size);
	gboolean was_new = kernel_sees_new(disk);

	for (guint n = 1; n <= edits->len; n++) {
		memcpy(disk->bytes, before, disk->size);
		apply(disk, edits, n);
		g_assert_true(kernel_sees_new(disk) || !was_new);
		was_new = kernel_sees_new(disk);
	}
	memcpy(disk->bytes, before, disk->size);
}

/* After each step, and with each write torn at each sector: old or new, and a re-run finishes. */
static void
test_cut_off(void)
{
	for (guint i = 0; i < G_N_ELEMENTS(shapes); i++) {
		g_auto(TestDisk) disk = test_disk_new(shapes[i].sector_size, shapes[i].n_entries,
						      shapes[i].entry_size);
		g_autoptr(GPtrArray) changes = make_changes();
		g_autoptr(GPtrArray) edits = NULL;
		g_autofree char *none = NULL;
		g_autofree uint8_t *before = g_memdup2(disk.bytes, disk.size);
		g_autofree uint8_t *after = NULL;
		gboolean was_new = FALSE;

		edits = edit(&disk, changes, FALSE, &none);
		apply(&disk, edits, edits->len);
		after = g_memdup2(disk.bytes, disk.size);

		for (guint n = 0; n < edits->len; n++) {
			const DpsEdit *cut = g_ptr_array_index(edits, n);

			for (size_t part = 0; part <= cut->size; part += disk.sector_size) {
				g_autoptr(GPtrArray) rest = NULL, undo = NULL;
				g_autofree char *repairs = NULL;
				gboolean is_new;

				memcpy(disk.bytes, before, disk.size);
				apply(&disk, edits, n);
				memcpy(disk.bytes + cut->offset, cut->new_bytes, part);
				is_new = kernel_sees_new(&disk);
				g_assert_true(is_new || !was_new); /* never back again */
				was_new = is_new;

				/* With no change asked for, what was cut off is made good alone. */
				undo = edit(&disk, NULL, FALSE, &repairs);
				g_assert_true((undo->len == 0) == (repairs == NULL));
				g_clear_pointer(&repairs, g_free);

				rest = edit(&disk, changes, FALSE, &repairs);
				if (part == 0)
					assert_always_readable(&disk, rest);
				apply(&disk, rest, rest->len);
				g_assert_cmpmem(disk.bytes, disk.size, after, disk.size);
			}
		}
		g_assert_true(was_new);
	}
}

/* The disk grew after the crash: the table stays readable, and is healed where it is. */
static void
test_cut_off_and_grown(void)
{
	g_auto(TestDisk) disk = test_disk_new(512, 128, 128);
	g_autoptr(GPtrArray) changes = make_changes();
	g_autoptr(GPtrArray) edits = edit(&disk, changes, FALSE, &(char *){ NULL });
	g_autoptr(GPtrArray) heal = NULL, again = NULL;
	g_autoptr(DpsGpt) gpt = NULL;
	g_autofree char *repairs = NULL, *none = NULL;
	uint8_t *header;

	apply(&disk, edits, 3);
	test_disk_grow(&disk, 2048);
	gpt = read_table(&disk);
	g_assert_cmpint(gpt->state, ==, DPS_GPT_FLIPPED);
	g_assert_true(gpt->backup_misplaced);

	/* What sfdisk then does: a backup at the new end, the usable area up to it. */
	disk.n_sectors = 4096;
	memcpy(disk.bytes + 4095 * 512, disk.bytes + 2047 * 512, 512);
	memcpy(disk.bytes + 4063 * 512, disk.bytes + 2015 * 512, 32 * 512);
	header = disk.bytes + 4095 * 512;
	dps_store_le64(header + 24, 4095);
	dps_store_le64(header + 48, 4062);
	dps_store_le64(header + 72, 4063);
	test_disk_seal(&disk, 4095);
	dps_store_le64(disk.bytes + 512 + 32, 4095);
	dps_store_le64(disk.bytes + 512 + 48, 4062);
	test_disk_seal(&disk, 1);
	g_clear_pointer(&gpt, dps_gpt_free);
	gpt = read_table(&disk);
	g_assert_cmpint(gpt->state, ==, DPS_GPT_FLIPPED_GROWN);
	g_assert_true(gpt->primary.good && gpt->backup.good);

	heal = edit(&disk, changes, FALSE, &repairs);
	g_assert_nonnull(strstr(repairs, "cut off"));
	g_assert_cmpuint(heal->len, ==, 2);
	apply(&disk, heal, heal->len);
	assert_is_new(&disk);
	g_assert_cmpuint(dps_load_le64(disk.bytes + 512 + 72), ==, 2);
	again = edit(&disk, changes, FALSE, &none);
	g_assert_cmpuint(again->len, ==, 0);
}

/* Cut off behind the switch, and then the backup's header went bad: both are made good, and told.
 */
static void
test_cut_off_and_damaged(void)
{
	g_auto(TestDisk) disk = test_disk_new(512, 128, 128);
	g_autoptr(GPtrArray) changes = make_changes();
	g_autoptr(GPtrArray) edits = edit(&disk, changes, FALSE, &(char *){ NULL });
	g_autoptr(GPtrArray) heal = NULL;
	g_autofree char *repairs = NULL;

	apply(&disk, edits, 3);
	disk.bytes[(size_t)2047 * 512 + 60] ^= 0x40;
	heal = edit(&disk, changes, FALSE, &repairs);
	g_assert_nonnull(strstr(repairs, "a write of the table was cut off"));
	g_assert_nonnull(strstr(repairs, "; the backup table is bad ("));
	apply(&disk, heal, heal->len);
	assert_is_new(&disk);
	dps_gpt_entry_change_free(NULL); /* and nothing happens */
}

/* What is wrong with the table, and whether it can be written all the same. */
static void
test_preconditions(void)
{
	static const struct {
		const char *name;
		uint64_t flip[2]; /* sectors in which a byte is changed; 0: none */
		gboolean force;
		gboolean writes;
		const char *says; /* in the repairs, or in the error */
	} rows[] = {
		{ "whole", { 0 }, FALSE, TRUE, NULL },
		{ "primary-header", { 1 }, FALSE, FALSE, "--force" },
		{ "primary-array", { 2 }, FALSE, FALSE, "--force" },
		{ "primary-header-forced", { 1 }, TRUE, TRUE, "from the backup" },
		{ "primary-array-forced", { 2 }, TRUE, TRUE, "from the backup" },
		{ "primary-both-forced", { 1, 20 }, TRUE, TRUE, "from the backup" },
		{ "backup-header", { 2047 }, FALSE, TRUE, "from the primary" },
		{ "backup-array", { 2015 }, FALSE, TRUE, "from the primary" },
		{ "backup-both", { 2047, 2030 }, FALSE, TRUE, "from the primary" },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_auto(TestDisk) disk = test_disk_new(512, 128, 128);
		g_auto(TestDisk) good = test_disk_new(512, 128, 128);
		g_autoptr(GPtrArray) changes = make_changes();
		g_autoptr(GPtrArray) edits = NULL, wanted = NULL;
		g_autofree char *repairs = NULL, *none = NULL;
		g_autoptr(DpsGpt) gpt = NULL;
		g_autoptr(GError) error = NULL;

		for (guint j = 0; j < 2; j++)
			if (rows[i].flip[j])
				disk.bytes[rows[i].flip[j] * 512 + 60] ^= 0x40;
		gpt = read_table(&disk);
		g_test_message("%s", rows[i].name);
		if (!rows[i].writes) {
			g_assert_false(dps_gpt_edit(gpt, changes, rows[i].force, &edits, &repairs,
						    &error));
			g_assert_error(error, DPS_ERROR, DPS_ERROR_REFUSED);
			g_assert_nonnull(strstr(error->message, rows[i].says));
			g_assert_null(edits);
			continue;
		}
		g_assert_true(dps_gpt_edit(gpt, changes, rows[i].force, &edits, &repairs, &error));
		if (rows[i].says)
			g_assert_nonnull(strstr(repairs, rows[i].says));
		else
			g_assert_cmpstr(repairs, ==, NULL);
		apply(&disk, edits, edits->len);

		wanted = edit(&good, changes, FALSE, &none);
		apply(&good, wanted, wanted->len);
		g_assert_cmpmem(disk.bytes, disk.size, good.bytes, good.size);
	}
}

/* A bad primary made anew from the backup: at each point the backup or the primary is read. */
static void
test_forced_cut_off(void)
{
	g_auto(TestDisk) disk = test_disk_new(512, 128, 128);
	g_autoptr(GPtrArray) changes = make_changes();
	g_autoptr(GPtrArray) edits = NULL;
	g_autofree char *repairs = NULL;
	g_autofree uint8_t *before = NULL;

	disk.bytes[2 * 512 + 60] ^= 0x40;
	before = g_memdup2(disk.bytes, disk.size);
	edits = edit(&disk, changes, TRUE, &repairs);
	for (guint n = 0; n <= edits->len; n++) {
		g_autoptr(GPtrArray) rest = NULL;
		g_autofree char *more = NULL;

		memcpy(disk.bytes, before, disk.size);
		apply(&disk, edits, n);
		rest = edit(&disk, changes, TRUE, &more);
		apply(&disk, rest, rest->len);
		assert_is_new(&disk);
	}
}

static void
test_moved_array(void)
{
	g_auto(TestDisk) disk = test_disk_new(512, 56, 128);
	g_autoptr(GPtrArray) changes = make_changes();
	g_autoptr(GPtrArray) edits = NULL;
	g_autoptr(DpsGpt) gpt = NULL;
	g_autoptr(GError) error = NULL;
	g_autofree char *repairs = NULL;

	/* sgdisk --move-main-table=40: the array behind a boot loader, the usable area behind it */
	memmove(disk.bytes + 40 * 512, disk.bytes + 2 * 512, 14 * 512);
	for (int copy = 0; copy < 2; copy++)
		dps_store_le64(disk.bytes + (copy ? 2047 : 1) * 512 + 40, 54);
	dps_store_le64(disk.bytes + 512 + 72, 40);
	test_disk_seal(&disk, 1);
	test_disk_seal(&disk, 2047);
	gpt = read_table(&disk);
	g_assert_cmpint(gpt->state, ==, DPS_GPT_WHOLE);
	g_assert_false(dps_gpt_edit(gpt, changes, FALSE, &edits, &repairs, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_REFUSED);
	g_assert_nonnull(strstr(error->message, "sector 40"));
}

/* What a write that was cut off leaves does not lie over sector 2: finishing it would lose both. */
static void
test_array_over_its_home(void)
{
	g_auto(TestDisk) disk = test_disk_new(512, 128, 128);
	g_autoptr(GPtrArray) none = g_ptr_array_new();
	g_autoptr(GPtrArray) edits = NULL;
	g_autoptr(DpsGpt) gpt = NULL;
	g_autoptr(GError) error = NULL;
	g_autofree char *repairs = NULL;

	memmove(disk.bytes + 5 * 512, disk.bytes + 2 * 512, 32 * 512);
	dps_store_le64(disk.bytes + 512 + 72, 5);
	test_disk_seal(&disk, 1);
	gpt = read_table(&disk);
	g_assert_true(gpt->primary.good);
	g_assert_cmpint(gpt->state, ==, DPS_GPT_WHOLE);
	g_assert_nonnull(strstr(gpt->primary_place.problem, "sector 5"));
	g_assert_true(dps_gpt_edit(gpt, none, FALSE, &edits, &repairs, &error));
	g_assert_cmpuint(edits->len, ==, 0);
}

/* A medium of which one sector cannot be read, so many times. */
typedef struct {
	DpsRegion below;
	uint64_t sector;
	guint n_times;
} BadSector;

static gboolean
read_around(void *data, uint64_t offset, void *buffer, size_t size, GError **error)
{
	BadSector *self = data;
	uint64_t at = self->sector * 512;

	if (self->n_times > 0 && offset <= at && at < offset + size) {
		self->n_times--;
		return dps_throw(error, DPS_ERROR_IO, "byte %u: read: broken", (guint)at);
	}
	return dps_region_read(&self->below, offset, buffer, size, error);
}

/* What cannot be read need not be bad: it is not written over, and nobody is told to. */
static void
test_unreadable(void)
{
	static const struct {
		uint64_t sector;
		guint n_times;
		const char *which;
	} rows[] = {
		{ 1, 1, "primary" },	       { 1, G_MAXUINT, "primary" },
		{ 2, 1, "primary" },	       { 2, G_MAXUINT, "primary" },
		{ 2047, G_MAXUINT, "backup" }, { 2015, G_MAXUINT, "backup" },
	};

	for (guint i = 0; i < 2 * G_N_ELEMENTS(rows); i++) {
		g_auto(TestDisk) disk = test_disk_new(512, 128, 128);
		BadSector bad = { test_disk_region(&disk), rows[i / 2].sector,
				  rows[i / 2].n_times };
		DpsRegion region = dps_region_over_reader(read_around, &bad, disk.size);
		g_autoptr(GPtrArray) changes = make_changes();
		g_autoptr(GPtrArray) edits = NULL;
		g_autoptr(GError) error = NULL;
		g_autoptr(DpsGpt) gpt = NULL;
		g_autofree char *problem = NULL, *repairs = NULL, *says = NULL;
		DpsGptPresence presence;

		g_assert_true(dps_gpt_read(&region, 512, &presence, &gpt, &problem, &error));
		g_assert_false(dps_gpt_edit(gpt, changes, i % 2, &edits, &repairs, &error));
		g_assert_error(error, DPS_ERROR, DPS_ERROR_IO);
		says = g_strdup_printf("%s table: cannot be read (", rows[i / 2].which);
		g_assert_true(g_str_has_prefix(error->message, says));
		g_assert_nonnull(strstr(error->message, "broken"));
		g_assert_null(strstr(error->message, "--force"));
		g_assert_null(strstr(error->message, "sgdisk"));
		g_assert_null(edits);
	}
}

static void
test_bad_changes(void)
{
	static const struct {
		const char *name;
		guint number, twice;
		const char *label;
		gboolean null_type;
		gint code;
		const char *says;
	} rows[] = {
		{ "not-used", 3, 0, "x", FALSE, DPS_ERROR_NOT_FOUND },
		{ "zero", 0, 0, "x", FALSE, DPS_ERROR_NOT_FOUND },
		{ "behind-table", 129, 0, "x", FALSE, DPS_ERROR_NOT_FOUND },
		{ "twice", 1, 1, "x", FALSE, DPS_ERROR_INVALID },
		{ "null-type", 1, 0, NULL, TRUE, DPS_ERROR_INVALID },
		{ "37-units", 1, 0, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", FALSE,
		  DPS_ERROR_INVALID },
		{ "37-units-by-pair", 1, 0, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xf0\x9f\x92\xbe",
		  FALSE, DPS_ERROR_INVALID },
		{ "no-utf8", 1, 0, "\xff", FALSE, DPS_ERROR_INVALID, "not UTF-8" },
		{ "overlapping", 5, 0, "x", FALSE, DPS_ERROR_REFUSED },
	};
	g_auto(TestDisk) disk = test_disk_new(512, 128, 128);
	g_autoptr(DpsGpt) gpt = NULL;

	memcpy(disk.bytes + 1024 + 4 * 128, disk.bytes + 1024 + 3 * 128, 128); /* 5 lies over 4 */
	test_disk_seal(&disk, 1);
	gpt = read_table(&disk);
	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GPtrArray) changes =
			g_ptr_array_new_with_free_func((GDestroyNotify)dps_gpt_entry_change_free);
		GPtrArray *edits = NULL;
		char *repairs = NULL;
		g_autoptr(GError) error = NULL;

		for (guint n = 0; n <= rows[i].twice; n++) {
			DpsGptEntryChange *change = dps_gpt_entry_change_new(rows[i].number);

			change->set_name = rows[i].label != NULL;
			change->name = g_strdup(rows[i].label);
			change->set_type = rows[i].null_type;
			g_ptr_array_add(changes, change);
		}
		g_test_message("%s", rows[i].name);
		g_assert_false(dps_gpt_edit(gpt, changes, FALSE, &edits, &repairs, &error));
		g_assert_error(error, DPS_ERROR, rows[i].code);
		g_assert_true(!rows[i].says || strstr(error->message, rows[i].says));
		g_assert_null(edits);
		g_assert_null(repairs);
	}
}

/* Of a longer name nothing is left; 36 units are not too many. */
static void
test_names(void)
{
	static const char *names[] = { "x", "", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };

	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		g_auto(TestDisk) disk = test_disk_new(512, 128, 128);
		g_autoptr(GPtrArray) changes =
			g_ptr_array_new_with_free_func((GDestroyNotify)dps_gpt_entry_change_free);
		DpsGptEntryChange *change = dps_gpt_entry_change_new(1);
		g_autoptr(GPtrArray) edits = NULL;
		g_autofree char *none = NULL;
		uint8_t wanted[72] = { 0 };

		change->set_name = TRUE;
		change->name = g_strdup(names[i]);
		g_ptr_array_add(changes, change);
		for (size_t at = 0; names[i][at]; at++)
			wanted[2 * at] = (uint8_t)names[i][at];
		edits = edit(&disk, changes, FALSE, &none);
		apply(&disk, edits, edits->len);
		g_assert_cmpmem(disk.bytes + 1024 + 56, 72, wanted, 72);
	}
}

/* Cut off and grown, and the backup that sfdisk made then is bad: both are told. */
static void
test_two_repairs(void)
{
	g_auto(TestDisk) disk = test_disk_new(512, 128, 128);
	g_autoptr(GPtrArray) changes = make_changes();
	g_autoptr(GPtrArray) edits = edit(&disk, changes, FALSE, &(char *){ NULL });
	g_autoptr(GPtrArray) rest = NULL;
	g_autofree char *repairs = NULL;

	apply(&disk, edits, 3);
	disk.bytes[2047 * 512 + 60] ^= 0x40;
	rest = edit(&disk, changes, FALSE, &repairs);
	g_assert_nonnull(strstr(repairs, "instead of 2; the backup table is bad ("));
	apply(&disk, rest, rest->len);
	assert_is_new(&disk);
}

/* A bad backup that cannot be made anew where it belongs: nothing is written. */
static void
test_no_place_for_backup(void)
{
	static const struct {
		uint64_t alternate_lba, last_usable_lba;
		const char *says;
	} rows[] = {
		{ 2048, 2014, "it belongs in sector 2048, and the disk has 2048" },
		{ 2000, 2000, "inside of the usable area" },
		{ 2032, 2000, "no room for its entries" },
		{ 2047, 2015, "no room for its entries" },
		{ 2047, 2014, NULL },
		{ 2033, 2000, NULL },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_auto(TestDisk) disk = test_disk_new(512, 128, 128);
		g_autoptr(GPtrArray) changes = make_changes();
		g_autoptr(GPtrArray) edits = NULL;
		g_autofree char *repairs = NULL;
		g_autoptr(DpsGpt) gpt = NULL;
		g_autoptr(GError) error = NULL;

		dps_store_le64(disk.bytes + 512 + 32, rows[i].alternate_lba);
		dps_store_le64(disk.bytes + 512 + 48, rows[i].last_usable_lba);
		test_disk_seal(&disk, 1);
		disk.bytes[2047 * 512] ^= 1;
		gpt = read_table(&disk);
		g_test_message("%u", i);
		if (!rows[i].says) {
			g_assert_true(dps_gpt_edit(gpt, changes, FALSE, &edits, &repairs, &error));
			apply(&disk, edits, edits->len);
			assert_is_new(&disk);
			continue;
		}
		g_assert_false(dps_gpt_edit(gpt, changes, FALSE, &edits, &repairs, &error));
		g_assert_error(error, DPS_ERROR, DPS_ERROR_REFUSED);
		g_assert_nonnull(strstr(error->message, "sgdisk --move-second-header"));
		g_assert_nonnull(strstr(error->message, rows[i].says));
		g_assert_null(edits);
	}
}

/* What sgdisk would take for no table, or for another, it is not offered for. */
static void
test_backup_place_advice(void)
{
	static const struct {
		uint32_t sector_size, entry_size;
		gboolean is_sgdisk;
	} rows[] = { { 512, 128, TRUE }, { 4096, 128, FALSE }, { 512, 256, FALSE } };

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_auto(TestDisk) disk = test_disk_new(rows[i].sector_size, 128, rows[i].entry_size);
		g_autoptr(GPtrArray) changes = make_changes();
		g_autoptr(GPtrArray) edits = NULL;
		g_autofree char *repairs = NULL;
		g_autoptr(DpsGpt) gpt = NULL;
		g_autoptr(GError) error = NULL;

		dps_store_le64(disk.bytes + rows[i].sector_size + 32, disk.n_sectors);
		test_disk_seal(&disk, 1);
		disk.bytes[(disk.n_sectors - 1) * rows[i].sector_size] ^= 1;
		gpt = read_table(&disk);
		g_assert_false(dps_gpt_edit(gpt, changes, FALSE, &edits, &repairs, &error));
		g_assert_error(error, DPS_ERROR, DPS_ERROR_REFUSED);
		g_assert_nonnull(strstr(error->message, "repair it first with"));
		g_assert_cmpint(strstr(error->message, "sgdisk") != NULL, ==, rows[i].is_sgdisk);
	}
}

/* A good backup whose header says otherwise in one field is made anew from the primary. */
static void
test_backup_that_differs(void)
{
	static const struct {
		const char *name;
		size_t at; /* in the backup's header */
		uint8_t to;
	} rows[] = {
		{ "disk-guid", 56, 0x99 },
		{ "first-usable", 40, 35 },
		{ "last-usable", 48, 0xc0 },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_auto(TestDisk) disk = test_disk_new(512, 128, 128);
		g_auto(TestDisk) good = test_disk_new(512, 128, 128);
		g_autoptr(GPtrArray) changes = make_changes();
		g_autoptr(GPtrArray) edits = NULL, wanted = NULL;
		g_autofree char *repairs = NULL, *none = NULL;

		g_test_message("%s", rows[i].name);
		disk.bytes[2047 * 512 + rows[i].at] = rows[i].to;
		test_disk_seal(&disk, 2047);
		edits = edit(&disk, changes, FALSE, &repairs);
		g_assert_nonnull(strstr(repairs, "differs from the primary"));
		apply(&disk, edits, edits->len);
		wanted = edit(&good, changes, FALSE, &none);
		apply(&good, wanted, wanted->len);
		g_assert_cmpmem(disk.bytes, disk.size, good.bytes, good.size);
	}
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/gpt-edit/flip", test_flip);
	g_test_add_func("/gpt-edit/backup-keeps-its-bytes", test_backup_keeps_its_bytes);
	g_test_add_func("/gpt-edit/cut-off", test_cut_off);
	g_test_add_func("/gpt-edit/cut-off-and-grown", test_cut_off_and_grown);
	g_test_add_func("/gpt-edit/cut-off-and-damaged", test_cut_off_and_damaged);
	g_test_add_func("/gpt-edit/preconditions", test_preconditions);
	g_test_add_func("/gpt-edit/forced-cut-off", test_forced_cut_off);
	g_test_add_func("/gpt-edit/moved-array", test_moved_array);
	g_test_add_func("/gpt-edit/array-over-its-home", test_array_over_its_home);
	g_test_add_func("/gpt-edit/bad-changes", test_bad_changes);
	g_test_add_func("/gpt-edit/names", test_names);
	g_test_add_func("/gpt-edit/unreadable", test_unreadable);
	g_test_add_func("/gpt-edit/two-repairs", test_two_repairs);
	g_test_add_func("/gpt-edit/no-place-for-backup", test_no_place_for_backup);
	g_test_add_func("/gpt-edit/backup-place-advice", test_backup_place_advice);
	g_test_add_func("/gpt-edit/backup-that-differs", test_backup_that_differs);
	return g_test_run();
}
