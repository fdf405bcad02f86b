/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/gpt-cutoff.h"
#include "format/gpt-edit.h"
#include "ground/bytes.h"
#include "ground/crc32.h"
#include "ground/error.h"

#include <inttypes.h>
#include <string.h>

/*
 * The bytes of both copies' places as they are after the edits so far.  Each step compares what it
 * wants with these, so that it writes changed sectors only and the next step starts from them.
 */
typedef struct {
	const DpsGpt *gpt;
	size_t entries_size; /* bytes that the checksum covers */
	uint64_t backup_lba; /* of the backup's array */
	uint8_t *primary_header, *primary_entries;
	uint8_t *backup_header, *backup_entries; /* NULL: no backup can be written */
	GPtrArray *edits;
} Draft;

static void
draft_clear(Draft *draft)
{
	g_free(draft->primary_header);
	g_free(draft->primary_entries);
	g_free(draft->backup_header);
	g_free(draft->backup_entries);
	g_clear_pointer(&draft->edits, g_ptr_array_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Draft, draft_clear)

DpsGptEntryChange *
dps_gpt_entry_change_new(uint32_t number)
{
	DpsGptEntryChange *change = g_new0(DpsGptEntryChange, 1);

	change->number = number;
	return change;
}

void
dps_gpt_entry_change_free(DpsGptEntryChange *change)
{
	if (!change)
		return;

	g_free(change->name);
	g_free(change);
}

/* Makes the sectors at @lba, which are @now, into @wanted: an edit for each run that differs. */
static void
write_sectors(Draft *draft, uint64_t lba, uint8_t *now, const uint8_t *wanted, size_t size,
	      const char *what)
{
	const size_t sector = draft->gpt->sector_size;

	for (size_t at = 0; at < size;) {
		size_t end;

		if (memcmp(now + at, wanted + at, sector) == 0) {
			at += sector;
			continue;
		}
		for (end = at + sector; end < size && memcmp(now + end, wanted + end, sector) != 0;)
			end += sector;
		g_ptr_array_add(draft->edits, dps_edit_new(lba * sector + at, now + at, wanted + at,
							   end - at, what));
		memcpy(now + at, wanted + at, end - at);
		at = end;
	}
}

/* What lies behind the last entry in its sector is not ours: it stays. */
static void
write_entries(Draft *draft, uint64_t lba, uint8_t *now, const uint8_t *entries, const char *what)
{
	size_t size = draft->gpt->current->entries_size;
	g_autofree uint8_t *wanted = g_memdup2(now, size);

	memcpy(wanted, entries, draft->entries_size);
	write_sectors(draft, lba, now, wanted, size, what);
}

static void
seal_header(uint8_t *header, uint32_t entries_crc)
{
	dps_store_le32(header + DPS_GPT_HEADER_ENTRIES_CRC, entries_crc);
	dps_store_le32(header + DPS_GPT_HEADER_CRC, 0);
	dps_store_le32(header + DPS_GPT_HEADER_CRC,
		       dps_crc32(header, dps_load_le32(header + DPS_GPT_HEADER_SIZE)));
}

/* A header like @base, for the copy at @my_lba whose array is at @entries_lba. */
static uint8_t *
make_header(const Draft *draft, const uint8_t *base, uint64_t my_lba, uint64_t alternate_lba,
	    uint64_t entries_lba, uint32_t entries_crc)
{
	uint8_t *header = g_memdup2(base, draft->gpt->sector_size);

	dps_store_le64(header + DPS_GPT_HEADER_MY_LBA, my_lba);
	dps_store_le64(header + DPS_GPT_HEADER_ALTERNATE_LBA, alternate_lba);
	dps_store_le64(header + DPS_GPT_HEADER_ENTRIES_LBA, entries_lba);
	seal_header(header, entries_crc);
	return header;
}

static void
write_primary_header(Draft *draft, uint64_t entries_lba, uint32_t entries_crc, const char *what)
{
	const DpsGptCopy *primary = &draft->gpt->primary;
	g_autofree uint8_t *header = make_header(draft, primary->header, 1, primary->alternate_lba,
						 entries_lba, entries_crc);

	write_sectors(draft, 1, draft->primary_header, header, draft->gpt->sector_size, what);
}

static void
write_backup(Draft *draft, const uint8_t *entries, uint32_t entries_crc)
{
	const DpsGpt *gpt = draft->gpt;
	const DpsGptPlace *place = &gpt->backup_place;
	g_autofree uint8_t *header = NULL;

	write_entries(draft, place->entries_lba, draft->backup_entries, entries, "backup entries");

	/* A good backup keeps every byte of its header but the checksums; else it is made anew. */
	if (gpt->primary.good && !dps_gpt_backup_header_is_usable(gpt)) {
		header = make_header(draft, gpt->primary.header, place->header_lba, 1,
				     place->entries_lba, entries_crc);
	} else {
		header = g_memdup2(draft->backup_header, gpt->sector_size);
		seal_header(header, entries_crc);
	}
	write_sectors(draft, place->header_lba, draft->backup_header, header, gpt->sector_size,
		      "backup header");
}

static gboolean
set_name(uint8_t *raw, const char *name, uint32_t number, GError **error)
{
	g_autofree gunichar2 *units = NULL;
	glong n_units;

	units = g_utf8_to_utf16(name, -1, NULL, &n_units, NULL);
	if (!units)
		return dps_throw_partition(error, number, DPS_ERROR_INVALID,
					   "partition %" PRIu32 ": name: not UTF-8", number);
	if (n_units > DPS_GPT_NAME_UNITS)
		return dps_throw_partition(error, number, DPS_ERROR_INVALID,
					   "partition %" PRIu32
					   ": name \"%s\": longer than the %d units of UTF-16 that "
					   "an entry has room for",
					   number, name, DPS_GPT_NAME_UNITS);

	memset(raw, 0, 2 * (size_t)DPS_GPT_NAME_UNITS);
	for (glong i = 0; i < n_units; i++) {
		raw[2 * i] = (uint8_t)units[i];
		raw[2 * i + 1] = (uint8_t)(units[i] >> 8);
	}
	return TRUE;
}

static gboolean
change_entry(const DpsGpt *gpt, uint8_t *entries, const DpsGptEntryChange *change, GError **error)
{
	const DpsGptEntry *entry = dps_gpt_get_entry(gpt, change->number);
	uint32_t number = change->number;
	uint8_t *raw;

	if (!entry)
		return dps_throw_partition(error, number, DPS_ERROR_NOT_FOUND,
					   "partition %" PRIu32 ": the table has no such partition",
					   number);
	raw = entries + (size_t)(number - 1) * gpt->current->entry_size;

	if (change->set_type && dps_guid_is_null(&change->type_guid))
		return dps_throw_partition(
			error, number, DPS_ERROR_INVALID,
			"partition %" PRIu32 ": a null type would delete the partition", number);
	if (change->set_type)
		dps_guid_to_gpt(&change->type_guid, raw + DPS_GPT_ENTRY_TYPE);
	if (change->set_guid)
		dps_guid_to_gpt(&change->guid, raw + DPS_GPT_ENTRY_GUID);
	if (change->set_attributes)
		dps_store_le64(raw + DPS_GPT_ENTRY_ATTRIBUTES, change->attributes);
	/* What is read as this name already keeps the bytes that it is written with. */
	if (change->set_name && strcmp(change->name, entry->name) != 0 &&
	    !set_name(raw + DPS_GPT_ENTRY_NAME, change->name, number, error))
		return FALSE;

	if (entry->problem &&
	    memcmp(raw, gpt->current->entries + (raw - entries), gpt->current->entry_size) != 0)
		return dps_throw_partition(error, number, DPS_ERROR_REFUSED,
					   "partition %" PRIu32
					   ": %s: what it holds cannot be told for sure: repair "
					   "the table first",
					   number, entry->problem);
	return TRUE;
}

/* Returns: (transfer full) (nullable): the array of the current copy with all @changes */
static uint8_t *
change_entries(const DpsGpt *gpt, GPtrArray *changes, GError **error)
{
	g_autofree uint8_t *entries = g_memdup2(gpt->current->entries, gpt->current->entries_size);

	for (guint i = 0; changes && i < changes->len; i++) {
		const DpsGptEntryChange *change = g_ptr_array_index(changes, i);

		for (guint j = 0; j < i; j++) {
			const DpsGptEntryChange *before = g_ptr_array_index(changes, j);

			if (before->number == change->number)
				return dps_throw_null(error, DPS_ERROR_INVALID,
						      "partition %" PRIu32 ": given twice",
						      change->number);
		}
		if (!change_entry(gpt, entries, change, error))
			return NULL;
	}
	return g_steal_pointer(&entries);
}

static void add_repair(GString *repairs, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void
add_repair(GString *repairs, const char *format, ...)
{
	va_list args;

	if (repairs->len > 0)
		g_string_append(repairs, "; ");
	va_start(args, format);
	g_string_append_vprintf(repairs, format, args);
	va_end(args);
}

/*
 * The primary is bad and the backup good: readers go by the backup until the primary's header is
 * there again, which one sector decides; then the backup follows.
 */
static void
draft_from_backup(Draft *draft, const uint8_t *entries, GString *repairs)
{
	const DpsGpt *gpt = draft->gpt;
	uint32_t crc = dps_crc32(entries, draft->entries_size);
	g_autofree uint8_t *header = make_header(draft, gpt->backup.header, 1,
						 gpt->backup.header_lba, DPS_GPT_HOME_LBA, crc);

	add_repair(repairs, "the primary table is bad (%s): it is made anew from the backup",
		   gpt->primary.problem);
	write_entries(draft, DPS_GPT_HOME_LBA, draft->primary_entries, entries, "primary entries");
	write_sectors(draft, 1, draft->primary_header, header, gpt->sector_size, "primary header");
	write_backup(draft, entries, crc);
}

/* A header flip that was cut off: the table is the new one already, in the wrong place. */
static void
finish_flip(Draft *draft, GString *repairs)
{
	const DpsGptCopy *primary = &draft->gpt->primary;

	add_repair(repairs,
		   "a write of the table was cut off and is finished: the primary header points at "
		   "sector %" PRIu64 " instead of 2",
		   primary->entries_lba);
	write_entries(draft, DPS_GPT_HOME_LBA, draft->primary_entries, primary->entries,
		      "primary entries");
	write_primary_header(draft, DPS_GPT_HOME_LBA,
			     dps_crc32(primary->entries, draft->entries_size), "primary header");
}

/* The five steps of the header flip; see gpt-edit.h. */
static void
flip(Draft *draft, const uint8_t *entries)
{
	const uint64_t away = draft->gpt->backup_place.entries_lba;
	uint32_t crc = dps_crc32(entries, draft->entries_size);

	write_backup(draft, entries, crc);
	write_primary_header(draft, away, crc, "primary header, pointing at the backup's entries");
	write_entries(draft, DPS_GPT_HOME_LBA, draft->primary_entries, entries, "primary entries");
	write_primary_header(draft, DPS_GPT_HOME_LBA, crc, "primary header");
}

/* What could not be read may be as good as ever: neither is it changed nor advised to. */
static gboolean
throw_unreadable(const char *which, const char *problem, GError **error)
{
	return dps_throw(error, DPS_ERROR_IO,
			 "%s table: cannot be read (%s), and is left as it is: %s", which, problem,
			 DPS_GPT_UNREADABLE_HINT);
}

static gboolean
require_places(const DpsGpt *gpt, gboolean backup_too, GError **error)
{
	if (gpt->primary_place.unreadable)
		return throw_unreadable("primary", gpt->primary_place.problem, error);
	if (backup_too && gpt->backup_place.unreadable)
		return throw_unreadable("backup", gpt->backup_place.problem, error);
	if (gpt->primary_place.problem)
		return dps_throw(error, DPS_ERROR_REFUSED,
				 "primary table: cannot be written safely: %s",
				 gpt->primary_place.problem);
	/* sgdisk takes a file for a disk with sectors of 512 bytes, and knows entries of 128. */
	if (backup_too && gpt->backup_place.problem)
		return dps_throw(error, DPS_ERROR_REFUSED,
				 "backup table: cannot be written: %s: repair it first with %s",
				 gpt->backup_place.problem,
				 gpt->sector_size == 512 &&
						 gpt->current->entry_size == DPS_GPT_ENTRY_MIN_SIZE
					 ? "`sgdisk --move-second-header`"
					 : "a partitioner that knows such sectors and entries");
	return TRUE;
}

gboolean
dps_gpt_edit(const DpsGpt *gpt, GPtrArray *changes, gboolean allow_bad_primary, GPtrArray **edits,
	     char **repairs, GError **error)
{
	const DpsGptCopy *current = gpt->current;
	g_auto(Draft) draft = { .gpt = gpt };
	g_autoptr(GString) done = g_string_new(NULL);
	g_autofree uint8_t *entries = NULL;
	gboolean changed, backup_bad;

	entries = change_entries(gpt, changes, error);
	if (!entries)
		return FALSE;

	draft.entries_size = (size_t)current->n_entries * current->entry_size;
	draft.edits = dps_edit_list_new();
	changed = memcmp(entries, current->entries, draft.entries_size) != 0;
	backup_bad = !gpt->backup.good || gpt->copies_differ;

	if (gpt->primary.unreadable && (allow_bad_primary || changed))
		return throw_unreadable("primary", gpt->primary.problem, error);
	if (!gpt->primary.good && !allow_bad_primary && changed)
		return dps_throw(error, DPS_ERROR_REFUSED,
				 "primary table: bad (%s), and the backup is good: `--force` makes "
				 "the primary anew from the backup",
				 gpt->primary.problem);
	/* What need not be written does not need a place. */
	if ((changed || gpt->state != DPS_GPT_WHOLE) && !require_places(gpt, changed, error))
		return FALSE;

	draft.primary_header = g_memdup2(gpt->primary_place.header, gpt->sector_size);
	draft.primary_entries = g_memdup2(gpt->primary_place.entries, current->entries_size);
	draft.backup_header = g_memdup2(gpt->backup_place.header, gpt->sector_size);
	draft.backup_entries = g_memdup2(gpt->backup_place.entries, current->entries_size);

	if (!gpt->primary.good) {
		if (allow_bad_primary && draft.primary_header && draft.backup_header)
			draft_from_backup(&draft, entries, done);
	} else {
		if (gpt->state != DPS_GPT_WHOLE)
			finish_flip(&draft, done);
		if (backup_bad && draft.backup_header)
			add_repair(done,
				   "the backup table %s%s%s: it is written anew from the primary",
				   gpt->backup.good ? "differs from the primary" : "is bad (",
				   gpt->backup.good ? "" : gpt->backup.problem,
				   gpt->backup.good ? "" : ")");
		if (changed)
			flip(&draft, entries);
		else if (backup_bad && draft.backup_header)
			write_backup(&draft, entries, dps_crc32(entries, draft.entries_size));
	}

	*edits = g_steal_pointer(&draft.edits);
	*repairs = done->len > 0 ? g_strdup(done->str) : NULL;
	return TRUE;
}
