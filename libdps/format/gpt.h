/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ground/guid.h"
#include "ground/region.h"

/*
 * The GUID partition table: both headers and both entry arrays, validated before any library may
 * see them.  Pure: takes a region, gives a struct.
 *
 * Source of offsets and rules: UEFI 2.10 section 5.3; of the limits: docs/architecture.md,
 * "Limits".
 */

/* One copy of the table, and what is wrong with it. */
typedef struct {
	gboolean good;	     /* header and array are as the specification wants them */
	char *problem;	     /* why it is not good, one line; NULL when it is */
	uint64_t header_lba; /* where the header was read */
	uint64_t my_lba, alternate_lba, first_usable_lba, last_usable_lba, entries_lba;
	uint32_t header_size, n_entries, entry_size; /* bytes, count, bytes */
	DpsGuid disk_guid;
	uint8_t *header;     /* one sector; NULL when it was not read */
	uint8_t *entries;    /* whole sectors; NULL when the header is bad */
	size_t entries_size; /* bytes of whole sectors that hold n_entries of entry_size */
} DpsGptCopy;

/* How far a write of ours got that was cut off (the states of the header flip, gpt-edit.h). */
typedef enum {
	DPS_GPT_WHOLE = 0,
	DPS_GPT_FLIPPED,       /* the primary header points at the backup's array: finish it */
	DPS_GPT_FLIPPED_GROWN, /* the same, and the disk has grown since: the array it points at
				  is inside the usable area, or not where the backup is now */
} DpsGptState;

/* One used entry.  Bytes and sectors as on disk. */
typedef struct {
	uint32_t number; /* counted from 1 */
	DpsGuid type_guid, guid;
	uint64_t first_lba, last_lba; /* both inside */
	uint64_t attributes;
	char *name; /* UTF-8 whatever is on disk: what is no character becomes U+FFFD */
} DpsGptEntry;

typedef struct {
	uint32_t sector_size; /* bytes: 512 or 4096 */
	uint64_t n_sectors;   /* of the medium */
	uint8_t pmbr[512];
	gboolean pmbr_protective; /* a 0xEE record is there */
	gboolean pmbr_hybrid;	  /* and others beside it */
	DpsGptCopy primary, backup;
	DpsGptState state;
	const DpsGptCopy *current; /* the copy that counts: primary when good, else backup */
	GPtrArray *entries;	   /* (element-type DpsGptEntry): of current, by number */

	/* What is odd, though the table can be read; checks report these. */
	gboolean copies_differ;	   /* both good and of different content */
	gboolean backup_misplaced; /* the backup is good, and not in the last sector */
} DpsGpt;

typedef enum {
	DPS_GPT_PRESENT = 1, /* *out is set */
	DPS_GPT_DAMAGED,     /* signs of one and no good copy: *problem says what of each */
	DPS_GPT_MBR,	     /* an MBR table without a protective record, or with and no GPT */
	DPS_GPT_NONE,
} DpsGptPresence;

/**
 * dps_gpt_read:
 * @disk: the whole medium
 * @sector_size: 512 or 4096; 0: look at both
 * @presence: (out): what is there
 * @out: (out) (transfer full): the table when it is %DPS_GPT_PRESENT, else %NULL
 * @problem: (out) (transfer full) (nullable): why there is none, one line for people
 * @error: %DPS_ERROR_IO and its kin when the medium cannot be read; damage is no error
 *
 * Returns: %TRUE when the medium could be read
 */
gboolean dps_gpt_read(const DpsRegion *disk, guint sector_size, DpsGptPresence *presence,
		      DpsGpt **out, char **problem, GError **error);

void dps_gpt_free(DpsGpt *gpt);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DpsGpt, dps_gpt_free)

const DpsGptEntry *dps_gpt_get_entry(const DpsGpt *gpt, uint32_t number);
