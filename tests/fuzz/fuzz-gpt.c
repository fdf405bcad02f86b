/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/gpt.h"
#include "format/mbr.h"
#include "fuzz-files.h"
#include "image-target.h"

#include <inttypes.h>

/*
 * A disk (packed.h) whose checksums were made true: both copies of its table, with sectors of 512
 * and 4096 bytes; and its MBR.
 *
 * Asserted: nothing outside of the disk is read, and little in all; what is present has a good copy
 * and its entries in order; what is told is text, and the same twice.
 */
#define MAX_BYTES_READ (UINT64_C(4) << 20)

static void
tell_copy(const DpsGptCopy *copy, GString *told)
{
	fuzz_check_text(copy->problem);
	g_assert_true(!copy->good || (copy->header_good && copy->present && copy->entries));
	g_assert_cmpint(copy->good, ==, copy->problem == NULL);
	g_string_append_printf(told, "%d %d %s %" PRIu64 "\n", copy->present, copy->good,
			       copy->problem ? copy->problem : "", copy->entries_lba);
}

static void
tell_table(const DpsGpt *gpt, GString *told)
{
	g_assert_true(gpt->current == (gpt->primary.good ? &gpt->primary : &gpt->backup));
	g_assert_true(gpt->current->good);
	tell_copy(&gpt->primary, told);
	tell_copy(&gpt->backup, told);
	fuzz_check_text(gpt->primary_place.problem);
	fuzz_check_text(gpt->backup_place.problem);
	g_string_append_printf(told, "%u %d %d\n", gpt->state, gpt->copies_differ,
			       gpt->backup_misplaced);
	for (guint i = 0; i < gpt->entries->len; i++) {
		const DpsGptEntry *entry = gpt->entries->pdata[i];

		g_assert_true(g_utf8_validate(entry->name, -1, NULL));
		fuzz_check_text(entry->problem);
		g_assert_true(dps_gpt_get_entry(gpt, entry->number) == entry);
		g_assert_cmpuint(entry->number, <=, gpt->current->n_entries);
		if (i > 0)
			g_assert_cmpuint(entry->number, >,
					 ((const DpsGptEntry *)gpt->entries->pdata[i - 1])->number);
		g_string_append_printf(told, "%u %" PRIu64 " %" PRIu64 " %s %s\n", entry->number,
				       entry->first_lba, entry->last_lba, entry->name,
				       entry->problem ? entry->problem : "");
	}
}

static void
tell_mbr(const DpsRegion *region, GString *told)
{
	DpsMbrPartition partitions[DPS_MBR_N_PRIMARY];

	if (!dps_mbr_read_partitions(region, partitions))
		return;
	for (guint i = 0; i < DPS_MBR_N_PRIMARY; i++) {
		g_assert_cmpuint(partitions[i].size, <=, region->size);
		g_assert_cmpuint(partitions[i].start, <=, region->size - partitions[i].size);
		g_string_append_printf(told, "%u %" PRIu64 " %" PRIu64 "\n", partitions[i].type,
				       partitions[i].start, partitions[i].size);
	}
}

void
fuzz_image_tell(FuzzImage *image, GString *told)
{
	static const guint sector_sizes[] = { 0, 512, 4096 };
	DpsRegion region = fuzz_image_region(image);

	tell_mbr(&region, told);
	for (guint i = 0; i < G_N_ELEMENTS(sector_sizes); i++) {
		g_autoptr(DpsGpt) gpt = NULL;
		g_autofree char *problem = NULL;
		DpsGptPresence presence = 0;

		image->bytes_read = 0;
		g_assert_true(dps_gpt_read(&region, sector_sizes[i], &presence, &gpt, &problem,
					   NULL)); /* memory never fails */
		fuzz_check_text(problem);
		g_assert_cmpint(presence == DPS_GPT_PRESENT, ==, gpt != NULL);
		if (presence == DPS_GPT_DAMAGED)
			g_assert_nonnull(problem);
		g_string_append_printf(told, "%u %s\n", presence, problem ? problem : "");
		if (gpt)
			tell_table(gpt, told);
		g_assert_cmpuint(image->bytes_read, <=, MAX_BYTES_READ);
	}
}
