/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/gpt-internal.h"
#include "ground/error.h"

#include <inttypes.h>

/* Where the primary header points tells how far a header flip got, or that somebody moved it. */
static void
find_primary_place(DpsGpt *gpt, uint64_t array_sectors)
{
	const DpsGptCopy *primary = &gpt->primary;
	DpsGptPlace *place = &gpt->primary_place;

	place->header_lba = 1;
	place->entries_lba = DPS_GPT_HOME_LBA;
	if (DPS_GPT_HOME_LBA + array_sectors > gpt->current->first_usable_lba) {
		place->problem =
			g_strdup_printf("its entries do not fit between sector 2 and the first "
					"usable sector, %" PRIu64,
					gpt->current->first_usable_lba);
		return;
	}
	if (!primary->header_good || primary->entries_lba == DPS_GPT_HOME_LBA)
		return;

	/* A header flip points at the backup's array, which is not over the place at home. */
	if (primary->entries_lba + array_sectors <= primary->first_usable_lba ||
	    primary->entries_lba < DPS_GPT_HOME_LBA + array_sectors) {
		place->problem = g_strdup_printf("its entries are at sector %" PRIu64
						 ", not at 2: somebody moved them on purpose",
						 primary->entries_lba);
		return;
	}
	if (!primary->good)
		return;

	if (gpt->backup.good ? primary->entries_lba == gpt->backup.entries_lba
			     : primary->entries_lba > primary->last_usable_lba)
		gpt->state = DPS_GPT_FLIPPED;
	else
		gpt->state = DPS_GPT_FLIPPED_GROWN;
}

static gboolean
backup_array_fits(const DpsGpt *gpt, uint64_t header_lba, uint64_t lba, uint64_t array_sectors)
{
	return lba > gpt->current->last_usable_lba && lba < gpt->n_sectors &&
	       array_sectors <= gpt->n_sectors - lba &&
	       (header_lba < lba || header_lba >= lba + array_sectors);
}

static void
find_backup_place(DpsGpt *gpt, uint64_t array_sectors)
{
	DpsGptPlace *place = &gpt->backup_place;

	place->header_lba = gpt->backup.good ? gpt->backup.header_lba : gpt->primary.alternate_lba;
	if (place->header_lba >= gpt->n_sectors) {
		place->problem = g_strdup_printf("it belongs in sector %" PRIu64
						 ", and the disk has %" PRIu64,
						 place->header_lba, gpt->n_sectors);
		return;
	}
	if (place->header_lba <= gpt->current->last_usable_lba) {
		place->problem = g_strdup_printf("it belongs in sector %" PRIu64
						 ", inside of the usable area",
						 place->header_lba);
		return;
	}

	/* Where it was, or right before its header, where every tool puts it. */
	place->entries_lba = gpt->backup.header_good ? gpt->backup.entries_lba : 0;
	if (backup_array_fits(gpt, place->header_lba, place->entries_lba, array_sectors))
		return;
	place->entries_lba = place->header_lba - MIN(array_sectors, place->header_lba);
	if (!backup_array_fits(gpt, place->header_lba, place->entries_lba, array_sectors))
		place->problem =
			g_strdup("there is no room for its entries behind the usable area");
}

static void
read_place(const DpsGptMedium *medium, uint64_t array_sectors, DpsGptPlace *place)
{
	g_autoptr(GError) error = NULL;

	if (place->problem)
		return;

	place->header = dps_gpt_read_sectors(medium, place->header_lba, 1, &error);
	if (place->header)
		place->entries = dps_gpt_read_sectors(medium, place->entries_lba,
						      (size_t)array_sectors, &error);
	if (place->entries)
		return;

	g_clear_pointer(&place->header, g_free);
	place->problem = g_strdup(error->message);
	place->unreadable = error->code != DPS_ERROR_CORRUPT;
}

void
dps_gpt_read_places(const DpsGptMedium *medium, DpsGpt *gpt)
{
	uint64_t array_sectors = gpt->current->entries_size / medium->sector_size;

	find_primary_place(gpt, array_sectors);
	find_backup_place(gpt, array_sectors);
	read_place(medium, array_sectors, &gpt->primary_place);
	read_place(medium, array_sectors, &gpt->backup_place);
}
