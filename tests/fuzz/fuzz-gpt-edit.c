/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/gpt-edit.h"
#include "fuzz.h"
#include "mutate.h"
#include "packed.h"

#include <string.h>

/*
 * Changes of a table (packed.h) that may be anything but for its checksums: no change, one entry,
 * all entries; without and with --force.
 *
 * Asserted of an edit that is refused: it says why, and gives nothing.  Of one that is not: each
 * edit is on the bytes that are there, inside of the disk and outside of every partition; behind
 * each of them the table reads, and is the old one or the new one; at the end every entry is as
 * before but for what was asked for; the same again is nothing to do.
 */
static const DpsGuid type = { { 0x4F, 0x68, 0xBC, 0xE3, 0xE8, 0xCD, 0x4D, 0xB1, 0x96, 0xE7, 0xFB,
				0xCA, 0xF9, 0x84, 0xB7, 0x09 } };

static DpsGpt *
read_table(FuzzImage *image, guint sector_size)
{
	DpsRegion region = fuzz_image_region(image);
	g_autofree char *problem = NULL;
	DpsGptPresence presence;
	DpsGpt *gpt = NULL;

	g_assert_true(dps_gpt_read(&region, sector_size, &presence, &gpt, &problem, NULL));
	fuzz_check_text(problem);
	return gpt;
}

/* What all entries say, as one text; @changes: those that are about to be made to them. */
static char *
describe(const DpsGpt *gpt, GPtrArray *changes)
{
	GString *text = g_string_new(NULL);

	for (guint i = 0; i < gpt->entries->len; i++) {
		DpsGptEntry entry = *(const DpsGptEntry *)gpt->entries->pdata[i];

		for (guint j = 0; changes && j < changes->len; j++) {
			const DpsGptEntryChange *change = changes->pdata[j];

			if (change->number != entry.number)
				continue;
			if (change->set_type)
				entry.type_guid = change->type_guid;
			if (change->set_guid)
				entry.guid = change->guid;
			if (change->set_attributes)
				entry.attributes = change->attributes;
			if (change->set_name)
				entry.name = change->name;
		}
		g_string_append_printf(text,
				       "%u %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT
				       " %" G_GUINT64_FORMAT " %s ",
				       entry.number, entry.first_lba, entry.last_lba,
				       entry.attributes, entry.name);
		for (guint k = 0; k < sizeof(entry.guid); k++)
			g_string_append_printf(text, "%02x%02x",
					       ((const uint8_t *)&entry.type_guid)[k],
					       ((const uint8_t *)&entry.guid)[k]);
		g_string_append_c(text, '\n');
	}
	return g_string_free(text, FALSE);
}

static void
add_change(GPtrArray *changes, const DpsGptEntry *entry, guint kind)
{
	DpsGptEntryChange *one = dps_gpt_entry_change_new(entry->number);

	one->set_type = kind & 1;
	one->type_guid = type;
	one->set_attributes = kind & 2;
	one->attributes = UINT64_C(1) << 63;
	one->set_name = kind & 4;
	one->name = g_strdup(kind & 8 ? "root-x86-64" : "");
	one->set_guid = kind & 8;
	memset(&one->guid, 0x77, sizeof(one->guid));
	g_ptr_array_add(changes, one);
}

static void
check_place(const FuzzImage *image, const DpsGpt *gpt, const DpsEdit *edit)
{
	const uint64_t first = edit->offset / gpt->sector_size;
	const uint64_t last = (edit->offset + edit->size - 1) / gpt->sector_size;

	g_assert_cmpuint(edit->size, >, 0);
	g_assert_cmpuint(edit->size, <=, image->size);
	g_assert_cmpuint(edit->offset, <=, image->size - edit->size);
	for (guint i = 0; i < gpt->entries->len; i++) {
		const DpsGptEntry *entry = gpt->entries->pdata[i];

		g_assert_true(entry->problem || last < entry->first_lba || first > entry->last_lba);
	}
}

static void
apply(FuzzImage *image, const DpsGpt *gpt, GPtrArray *changes, GPtrArray *edits, gboolean force)
{
	g_autofree uint8_t *before = g_memdup2(image->bytes, image->size);
	g_autofree char *old = describe(gpt, NULL);
	g_autofree char *wanted = describe(gpt, changes);
	g_autofree char *repairs = NULL;
	g_autoptr(GPtrArray) again = NULL;
	g_autoptr(DpsGpt) then = NULL;

	for (guint i = 0; i < edits->len; i++) {
		const DpsEdit *edit = edits->pdata[i];
		g_autoptr(DpsGpt) now = NULL;
		g_autofree char *text = NULL;

		check_place(image, gpt, edit);
		g_assert_cmpmem(image->bytes + edit->offset, edit->size, edit->old_bytes,
				edit->size);
		memcpy(image->bytes + edit->offset, edit->new_bytes, edit->size);
		now = read_table(image, gpt->sector_size);
		g_assert_nonnull(now);
		text = describe(now, NULL);
		if (strcmp(text, old) != 0)
			g_assert_cmpstr(text, ==, wanted);
	}

	then = read_table(image, gpt->sector_size);
	g_assert_nonnull(then);
	g_free(old);
	old = describe(then, NULL);
	g_assert_cmpstr(old, ==, wanted);
	g_assert_true(dps_gpt_edit(then, changes, force, &again, &repairs, NULL));
	g_assert_cmpuint(again->len, ==, 0);
	fuzz_check_text(repairs);
	memcpy(image->bytes, before, image->size);
}

static void
edit(FuzzImage *image, const DpsGpt *gpt, GPtrArray *changes, gboolean force)
{
	g_autoptr(GPtrArray) edits = NULL;
	g_autofree char *repairs = NULL;
	g_autoptr(GError) error = NULL;

	if (dps_gpt_edit(gpt, changes, force, &edits, &repairs, &error)) {
		fuzz_check_text(repairs);
		apply(image, gpt, changes, edits, force);
	} else {
		fuzz_check_error(error);
		g_assert_true(!edits && !repairs);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_auto(FuzzImage) image = { 0 };
	g_autoptr(DpsGpt) gpt = NULL;
	g_autoptr(GPtrArray) changes =
		g_ptr_array_new_with_free_func((GDestroyNotify)dps_gpt_entry_change_free);

	fuzz_image_unpack(&image, data, size);
	/* It is copied whole; tables do not need more. */
	image.size = MIN(image.size, 4 << 20);
	fuzz_image_seal(&image);
	gpt = read_table(&image, 0);
	if (!gpt)
		return 0;

	edit(&image, gpt, changes, image.choice & 1);
	if (gpt->entries->len == 0)
		return 0;
	add_change(changes, gpt->entries->pdata[image.choice % gpt->entries->len],
		   image.choice >> 4);
	edit(&image, gpt, changes, image.choice & 1);

	g_ptr_array_set_size(changes, 0);
	for (guint i = 0; i < gpt->entries->len; i++)
		add_change(changes, gpt->entries->pdata[i], image.choice >> (i % 5));
	edit(&image, gpt, changes, image.choice & 2);
	return 0;
}

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	return fuzz_mutate(data, size, max_size, seed, TRUE);
}
