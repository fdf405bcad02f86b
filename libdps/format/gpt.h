/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "format/mbr.h"
#include "ground/guid.h"
#include "ground/region.h"

/*
 * The GUID partition table: both headers and both entry arrays, validated before any library may
 * see them.  Pure: takes a region, gives a struct.
 *
 * Source of offsets and rules: UEFI 2.10 section 5.3; of the limits: docs/architecture.md,
 * "Limits".
 */

/*
 * What we are willing to read.  The specification has no upper limit; partitioning tools make 128
 * entries of 128 bytes.
 */
#define DPS_GPT_MAX_ENTRIES 1024

/* One copy of the table, and what is wrong with it. */
typedef struct {
	gboolean present;     /* "EFI PART" is there, good or not */
	gboolean header_good; /* the header is sound; its array may not be */
	gboolean good;	      /* header and array are as the specification wants them */
	char *problem;	      /* why it is not good, one line; NULL when it is */
	gboolean unreadable;  /* the problem is the medium's: what it holds is not known */
	uint64_t header_lba;  /* where the header was read */
	uint64_t my_lba, alternate_lba, first_usable_lba, last_usable_lba, entries_lba;
	uint32_t header_size, n_entries, entry_size; /* bytes, count, bytes */
	DpsGuid disk_guid;
	uint8_t *header;     /* one sector; NULL when it was not read */
	uint8_t *entries;    /* whole sectors; NULL when the header is bad */
	size_t entries_size; /* bytes of whole sectors that hold n_entries of entry_size */
} DpsGptCopy;

/*
 * Where a copy belongs, and what is there now, whatever it is: an editor needs to know both.
 */
typedef struct {
	char *problem;	     /* why no copy can be written there, one line; NULL when it can */
	gboolean unreadable; /* the problem is that the medium could not be read there */
	uint64_t header_lba, entries_lba;
	uint8_t *header;  /* one sector; NULL with a problem */
	uint8_t *entries; /* as many bytes as those of the current copy; NULL with a problem */
} DpsGptPlace;

/* How far a write of ours got that was cut off (the states of the header flip, gpt-edit.h). */
typedef enum {
	DPS_GPT_WHOLE = 0,
	DPS_GPT_FLIPPED,       /* the primary header points at the backup's array: finish it */
	DPS_GPT_FLIPPED_GROWN, /* the same, and the disk has grown since: the array it points at
				  is inside the usable area, or not where the backup is now */
} DpsGptState;

/* What to do about a copy that cannot be read: anything but to write over it. */
#define DPS_GPT_UNREADABLE_HINT                                                                    \
	"try again; when it stays so the disk is failing: copy it to another one first, and look " \
	"at the kernel's log"

/* One used entry.  Bytes and sectors as on disk. */
typedef struct {
	uint32_t number; /* counted from 1 */
	DpsGuid type_guid, guid;
	uint64_t first_lba, last_lba; /* both inside */
	uint64_t attributes;
	char *name;    /* UTF-8 whatever is on disk: what is no character becomes U+FFFD */
	char *problem; /* its place is odd: outside of the usable area, overlaps another; or NULL */
	gboolean is_outside; /* it ends before it starts, or leaves the usable area */
} DpsGptEntry;

typedef struct {
	uint32_t sector_size; /* bytes: 512 or 4096 */
	uint64_t n_sectors;   /* of the medium */
	DpsMbr mbr;	      /* protective: else there is no table for anybody */
	DpsGptCopy primary, backup;
	DpsGptState state;
	const DpsGptCopy *current; /* the copy that counts: primary when good, else backup */
	GPtrArray *entries;	   /* (element-type DpsGptEntry): of current, by number */
	DpsGptPlace primary_place, backup_place;

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

/**
 * dps_gpt_is_safe_for_others:
 * @disk: the whole medium
 * @gpt: its table
 *
 * Of two copies one is enough, and the other may ask for any number of entries: who allocates as a
 * header says, before the array's checksum tells that it is wrong, must not see such a disk.
 *
 * Returns: whether every header that libfdisk may look at is within the limits of a table
 */
gboolean dps_gpt_is_safe_for_others(const DpsRegion *disk, const DpsGpt *gpt);

/* Whether a header for sectors of this size begins in the second of them, good or not. */
gboolean dps_gpt_has_signature(const DpsRegion *disk, uint32_t sector_size);

void dps_gpt_free(DpsGpt *gpt);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DpsGpt, dps_gpt_free)

/* (transfer full): header and entries of the copy that counts: what is the same has the same */
GBytes *dps_gpt_get_current_bytes(const DpsGpt *gpt);

/* (nullable): the entry with this number, when it is used */
const DpsGptEntry *dps_gpt_get_entry(const DpsGpt *gpt, uint32_t number);

/*
 * Offsets inside a header and an entry, in bytes.  Source: UEFI 2.10 tables 5-5 and 5-6.
 */
enum {
	DPS_GPT_HEADER_SIZE = 12,
	DPS_GPT_HEADER_CRC = 16,
	DPS_GPT_HEADER_MY_LBA = 24,
	DPS_GPT_HEADER_ALTERNATE_LBA = 32,
	DPS_GPT_HEADER_FIRST_USABLE = 40,
	DPS_GPT_HEADER_LAST_USABLE = 48,
	DPS_GPT_HEADER_DISK_GUID = 56,
	DPS_GPT_HEADER_ENTRIES_LBA = 72,
	DPS_GPT_HEADER_N_ENTRIES = 80,
	DPS_GPT_HEADER_ENTRY_SIZE = 84,
	DPS_GPT_HEADER_ENTRIES_CRC = 88,
	DPS_GPT_HEADER_MIN_SIZE = 92,

	DPS_GPT_ENTRY_TYPE = 0,
	DPS_GPT_ENTRY_GUID = 16,
	DPS_GPT_ENTRY_FIRST_LBA = 32,
	DPS_GPT_ENTRY_LAST_LBA = 40,
	DPS_GPT_ENTRY_ATTRIBUTES = 48,
	DPS_GPT_ENTRY_NAME = 56,
	DPS_GPT_ENTRY_MIN_SIZE = 128,

	DPS_GPT_NAME_UNITS = 36, /* UTF-16, little-endian */
	DPS_GPT_HOME_LBA = 2,	 /* where the primary's array is, unless somebody moved it */
};
