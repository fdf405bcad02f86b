/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "format/gpt.h"

/* What gpt.c, which reads the copies, shares with gpt-place.c, which tells where they belong. */

/* What one look at a medium needs to know. */
typedef struct {
	const DpsRegion *disk;
	uint32_t sector_size;
	uint64_t n_sectors;
} DpsGptMedium;

/* Returns: (transfer full) (nullable): @count sectors, %NULL when they cannot be read */
uint8_t *dps_gpt_read_sectors(const DpsGptMedium *medium, uint64_t lba, size_t count,
			      GError **error);

/*
 * Fills in primary_place, backup_place and state of a table that has a current copy.  What cannot
 * be read there is a problem of that place.
 */
void dps_gpt_read_places(const DpsGptMedium *medium, DpsGpt *gpt);
