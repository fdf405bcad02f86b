/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/gpt-internal.h"
#include "ground/bytes.h"
#include "ground/crc32.h"
#include "ground/error.h"

#include <inttypes.h>
#include <string.h>

static const char signature[8] = { 'E', 'F', 'I', ' ', 'P', 'A', 'R', 'T' };

/* As with %DPS_GPT_MAX_ENTRIES: a header that claims gigabytes would have every library allocate
 * them. */
#define MAX_ARRAY_SIZE ((size_t)128 * 1024)

static void
copy_clear(DpsGptCopy *copy)
{
	g_free(copy->problem);
	g_free(copy->header);
	g_free(copy->entries);
}

static void
place_clear(DpsGptPlace *place)
{
	g_free(place->problem);
	g_free(place->header);
	g_free(place->entries);
}

static void
entry_free(DpsGptEntry *entry)
{
	g_free(entry->name);
	g_free(entry->problem);
	g_free(entry);
}

void
dps_gpt_free(DpsGpt *gpt)
{
	if (!gpt)
		return;

	copy_clear(&gpt->primary);
	copy_clear(&gpt->backup);
	place_clear(&gpt->primary_place);
	place_clear(&gpt->backup_place);
	g_clear_pointer(&gpt->entries, g_ptr_array_unref);
	g_free(gpt);
}

uint8_t *
dps_gpt_read_sectors(const DpsGptMedium *medium, uint64_t lba, size_t count, GError **error)
{
	g_autofree uint8_t *bytes = NULL;

	if (lba >= medium->n_sectors || count > medium->n_sectors - lba)
		return dps_throw_null(error, DPS_ERROR_CORRUPT,
				      "sectors %" PRIu64 " + %zu: behind the end of the disk", lba,
				      count);

	bytes = g_malloc(count * medium->sector_size);
	if (!dps_region_read(medium->disk, lba * medium->sector_size, bytes,
			     count * medium->sector_size, error))
		return NULL;

	return g_steal_pointer(&bytes);
}

static size_t
sectors_of(const DpsGptMedium *medium, size_t size)
{
	return (size + medium->sector_size - 1) / medium->sector_size;
}

/* Each rule with its reason; the first that is broken is the answer, NULL when none is. */
static char *
find_header_problem(const DpsGptMedium *medium, const DpsGptCopy *copy)
{
	g_autofree uint8_t *blank = NULL;
	uint32_t n = copy->n_entries, size = copy->entry_size;
	uint64_t array_sectors;

	if (copy->header_size < DPS_GPT_HEADER_MIN_SIZE || copy->header_size > medium->sector_size)
		return g_strdup_printf("header size %" PRIu32, copy->header_size);

	/* The checksum is taken with its own field zeroed. */
	blank = g_memdup2(copy->header, copy->header_size);
	dps_store_le32(blank + DPS_GPT_HEADER_CRC, 0);
	if (dps_crc32(blank, copy->header_size) != dps_load_le32(copy->header + DPS_GPT_HEADER_CRC))
		return g_strdup("header checksum does not match");

	if (copy->my_lba != copy->header_lba)
		return g_strdup_printf("header says it is at sector %" PRIu64, copy->my_lba);
	if (copy->first_usable_lba > copy->last_usable_lba)
		return g_strdup_printf("usable sectors %" PRIu64 " to %" PRIu64,
				       copy->first_usable_lba, copy->last_usable_lba);
	if (copy->last_usable_lba >= medium->n_sectors)
		return g_strdup_printf("usable up to sector %" PRIu64 ", and the disk has %" PRIu64
				       ": cut short, or made for a larger disk",
				       copy->last_usable_lba, medium->n_sectors);

	/* UEFI 2.10 section 5.3.2: "a value of 128 x 2^n". */
	if (size < DPS_GPT_ENTRY_MIN_SIZE || (size & (size - 1)) != 0)
		return g_strdup_printf("entry size %" PRIu32, size);
	if (n == 0 || n > DPS_GPT_MAX_ENTRIES || size > MAX_ARRAY_SIZE || n > MAX_ARRAY_SIZE / size)
		return g_strdup_printf("%" PRIu32 " entries of %" PRIu32 " bytes", n, size);

	array_sectors = sectors_of(medium, (size_t)n * size);
	if (copy->entries_lba < DPS_GPT_HOME_LBA || copy->entries_lba >= medium->n_sectors ||
	    array_sectors > medium->n_sectors - copy->entries_lba)
		return g_strdup_printf("entries at sector %" PRIu64, copy->entries_lba);
	if (copy->header_lba >= copy->entries_lba &&
	    copy->header_lba < copy->entries_lba + array_sectors)
		return g_strdup("entries lie over the header");

	/* The primary's may be anywhere: a write that was cut off, and then the disk was grown. */
	if (copy->header_lba != 1 && copy->entries_lba <= copy->last_usable_lba)
		return g_strdup_printf("entries at sector %" PRIu64 ", not behind the usable area",
				       copy->entries_lba);
	return NULL;
}

/* Fills in what it can; the medium's refusal is a problem of this copy, not the end. */
static void
read_copy(const DpsGptMedium *medium, uint64_t header_lba, DpsGptCopy *copy, GError **io_error)
{
	g_autoptr(GError) error = NULL;
	const uint8_t *h;
	size_t size;

	*copy = (DpsGptCopy){ .header_lba = header_lba };
	copy->header = dps_gpt_read_sectors(medium, header_lba, 1, &error);
	if (!copy->header) {
		copy->problem = g_strdup(error->message);
		copy->unreadable = error->code != DPS_ERROR_CORRUPT;
		if (copy->unreadable && !*io_error)
			*io_error = g_steal_pointer(&error);
		return;
	}

	h = copy->header;
	if (memcmp(h, signature, sizeof(signature)) != 0) {
		copy->problem = g_strdup("no \"EFI PART\" signature");
		return;
	}
	copy->present = TRUE;
	copy->header_size = dps_load_le32(h + DPS_GPT_HEADER_SIZE);
	copy->my_lba = dps_load_le64(h + DPS_GPT_HEADER_MY_LBA);
	copy->alternate_lba = dps_load_le64(h + DPS_GPT_HEADER_ALTERNATE_LBA);
	copy->first_usable_lba = dps_load_le64(h + DPS_GPT_HEADER_FIRST_USABLE);
	copy->last_usable_lba = dps_load_le64(h + DPS_GPT_HEADER_LAST_USABLE);
	copy->disk_guid = dps_guid_from_gpt(h + DPS_GPT_HEADER_DISK_GUID);
	copy->entries_lba = dps_load_le64(h + DPS_GPT_HEADER_ENTRIES_LBA);
	copy->n_entries = dps_load_le32(h + DPS_GPT_HEADER_N_ENTRIES);
	copy->entry_size = dps_load_le32(h + DPS_GPT_HEADER_ENTRY_SIZE);

	copy->problem = find_header_problem(medium, copy);
	if (copy->problem)
		return;
	copy->header_good = TRUE;

	size = (size_t)copy->n_entries * copy->entry_size;
	copy->entries =
		dps_gpt_read_sectors(medium, copy->entries_lba, sectors_of(medium, size), &error);
	if (!copy->entries) {
		copy->problem = g_strdup(error->message);
		copy->unreadable = error->code != DPS_ERROR_CORRUPT;
		if (copy->unreadable && !*io_error)
			*io_error = g_steal_pointer(&error);
		return;
	}
	copy->entries_size = sectors_of(medium, size) * medium->sector_size;

	if (dps_crc32(copy->entries, size) != dps_load_le32(h + DPS_GPT_HEADER_ENTRIES_CRC)) {
		copy->problem = g_strdup("checksum of the entries does not match");
		return;
	}
	copy->good = TRUE;
}

/*
 * The kernel and libfdisk look where the primary header says, then in the last sector; so does
 * this.  Source: Linux, block/partitions/efi.c, find_valid_gpt().
 */
static void
read_backup(const DpsGptMedium *medium, DpsGpt *gpt, GError **io_error)
{
	uint64_t last = medium->n_sectors - 1;
	uint64_t named = gpt->primary.header_good ? gpt->primary.alternate_lba : last;
	DpsGptCopy other;

	/* A sector that cannot hold a backup is not asked for one. */
	if (named <= DPS_GPT_HOME_LBA || named > last)
		named = last;
	read_copy(medium, named, &gpt->backup, io_error);
	if (gpt->backup.good || named == last)
		return;

	read_copy(medium, last, &other, io_error);
	if (!other.good) {
		copy_clear(&other);
		return;
	}
	copy_clear(&gpt->backup);
	gpt->backup = other;
}

/* UTF-16 up to the first zero.  A surrogate without its partner is no character. */
static char *
name_to_utf8(const uint8_t *raw)
{
	GString *name = g_string_new(NULL);

	for (guint i = 0; i < DPS_GPT_NAME_UNITS; i++) {
		gunichar unit = dps_load_le16(raw + (size_t)2 * i);

		if (unit == 0)
			break;
		if (unit >= 0xd800 && unit < 0xdc00 && i + 1 < DPS_GPT_NAME_UNITS) {
			gunichar low = (gunichar)(raw[2 * i + 2] | raw[2 * i + 3] << 8);

			if (low >= 0xdc00 && low < 0xe000) {
				unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
				i++;
			}
		}
		if (unit >= 0xd800 && unit < 0xe000)
			unit = 0xfffd;
		g_string_append_unichar(name, unit);
	}
	return g_string_free(name, FALSE);
}

static char *
find_entry_problem(const DpsGptCopy *copy, const DpsGptEntry *entry)
{
	if (entry->first_lba > entry->last_lba)
		return g_strdup("it ends before it starts");
	if (entry->first_lba < copy->first_usable_lba || entry->last_lba > copy->last_usable_lba)
		return g_strdup_printf("sectors %" PRIu64 " to %" PRIu64
				       " are not all inside of the usable area",
				       entry->first_lba, entry->last_lba);
	return NULL;
}

static void
note_overlaps(GPtrArray *entries)
{
	for (guint i = 0; i < entries->len; i++) {
		DpsGptEntry *a = g_ptr_array_index(entries, i);

		for (guint j = 0; j < entries->len && !a->problem; j++) {
			const DpsGptEntry *b = g_ptr_array_index(entries, j);

			if (i != j && a->first_lba <= b->last_lba && b->first_lba <= a->last_lba)
				a->problem = g_strdup_printf("it overlaps partition %" PRIu32,
							     b->number);
		}
	}
}

static void
read_entries(DpsGpt *gpt)
{
	const DpsGptCopy *copy = gpt->current;

	gpt->entries = g_ptr_array_new_with_free_func((GDestroyNotify)entry_free);
	for (uint32_t i = 0; i < copy->n_entries; i++) {
		const uint8_t *raw = copy->entries + (size_t)i * copy->entry_size;
		DpsGuid type = dps_guid_from_gpt(raw + DPS_GPT_ENTRY_TYPE);
		DpsGptEntry *entry;

		if (dps_guid_is_null(&type))
			continue;

		entry = g_new0(DpsGptEntry, 1);
		entry->number = i + 1;
		entry->type_guid = type;
		entry->guid = dps_guid_from_gpt(raw + DPS_GPT_ENTRY_GUID);
		entry->first_lba = dps_load_le64(raw + DPS_GPT_ENTRY_FIRST_LBA);
		entry->last_lba = dps_load_le64(raw + DPS_GPT_ENTRY_LAST_LBA);
		entry->attributes = dps_load_le64(raw + DPS_GPT_ENTRY_ATTRIBUTES);
		entry->name = name_to_utf8(raw + DPS_GPT_ENTRY_NAME);
		entry->problem = find_entry_problem(copy, entry);
		entry->is_outside = entry->problem != NULL;
		g_ptr_array_add(gpt->entries, entry);
	}
	note_overlaps(gpt->entries);
}

static gboolean
contents_equal(const DpsGptCopy *a, const DpsGptCopy *b)
{
	return a->first_usable_lba == b->first_usable_lba &&
	       a->last_usable_lba == b->last_usable_lba &&
	       dps_guid_equal(&a->disk_guid, &b->disk_guid) && a->n_entries == b->n_entries &&
	       a->entry_size == b->entry_size &&
	       memcmp(a->entries, b->entries, (size_t)a->n_entries * a->entry_size) == 0;
}

/* Reads at one sector size; whether anything is there, and good, is for the caller to weigh. */
static DpsGpt *
read_at(const DpsRegion *disk, uint32_t sector_size, GError **io_error)
{
	const DpsGptMedium medium = {
		.disk = disk,
		.sector_size = sector_size,
		.n_sectors = disk->size / sector_size,
	};
	DpsGpt *gpt = g_new0(DpsGpt, 1);

	gpt->sector_size = sector_size;
	gpt->n_sectors = medium.n_sectors;
	if (medium.n_sectors < DPS_GPT_HOME_LBA) {
		gpt->primary.problem = g_strdup("the disk is too small");
		gpt->backup.problem = g_strdup("the disk is too small");
		return gpt;
	}

	read_copy(&medium, 1, &gpt->primary, io_error);
	read_backup(&medium, gpt, io_error);
	if (gpt->primary.good || gpt->backup.good) {
		gpt->current = gpt->primary.good ? &gpt->primary : &gpt->backup;
		read_entries(gpt);
		dps_gpt_read_places(&medium, gpt);
	}
	gpt->copies_differ = gpt->primary.good && gpt->backup.good &&
			     !contents_equal(&gpt->primary, &gpt->backup);
	gpt->backup_misplaced = gpt->backup.good && gpt->backup.header_lba != medium.n_sectors - 1;
	return gpt;
}

/* A good primary decides for its sector size; then a good backup; then whatever has a signature. */
static int
weigh(const DpsGpt *gpt)
{
	if (gpt->primary.good)
		return 3;
	if (gpt->backup.good)
		return 2;
	return gpt->primary.present || gpt->backup.present ? 1 : 0;
}

gboolean
dps_gpt_has_signature(const DpsRegion *disk, uint32_t sector_size)
{
	uint8_t found[sizeof(signature)];

	return disk->size >= 2 * (uint64_t)sector_size &&
	       dps_region_read(disk, sector_size, found, sizeof(found), NULL) &&
	       memcmp(found, signature, sizeof(signature)) == 0;
}

static DpsGptPresence
explain_absence(const DpsRegion *disk, guint sector_size, const DpsGpt *gpt, const DpsMbr *mbr,
		char **problem)
{
	int weight = weigh(gpt);

	if (weight == 0 && sector_size != 0 &&
	    dps_gpt_has_signature(disk, sector_size == 512 ? 4096 : 512)) {
		*problem =
			g_strdup_printf("its GPT is written for sectors of %d bytes, and the disk "
					"has %u: it was copied from a disk of another kind",
					sector_size == 512 ? 4096 : 512, sector_size);
		return DPS_GPT_DAMAGED;
	}
	if (weight > 0 && !mbr->is_table) {
		*problem = weight > 1
				   ? g_strdup("it has a GPT and no protective MBR: the kernel does "
					      "not read it")
				   : g_strdup_printf("primary: %s; backup: %s",
						     gpt->primary.problem, gpt->backup.problem);
		return DPS_GPT_DAMAGED;
	}
	if (mbr->is_protective) {
		*problem = g_strdup("it has a protective MBR and no GPT");
		return DPS_GPT_MBR;
	}
	if (mbr->is_table) {
		*problem = g_strdup("it has an MBR partition table");
		return DPS_GPT_MBR;
	}
	*problem = g_strdup("it has no partition table");
	return DPS_GPT_NONE;
}

gboolean
dps_gpt_read(const DpsRegion *disk, guint sector_size, DpsGptPresence *presence, DpsGpt **out,
	     char **problem, GError **error)
{
	static const uint32_t sizes[] = { 512, 4096 };
	g_autoptr(DpsGpt) best = NULL;
	g_autoptr(GError) io_error = NULL;
	DpsMbr mbr;

	g_assert(sector_size == 0 || sector_size == 512 || sector_size == 4096);

	if (!dps_mbr_read(disk, &mbr, error))
		return FALSE;

	for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
		g_autoptr(DpsGpt) gpt = NULL;

		if (sector_size != 0 && sizes[i] != sector_size)
			continue;
		gpt = read_at(disk, sizes[i], &io_error);
		if (!best || weigh(gpt) > weigh(best)) {
			dps_gpt_free(best);
			best = g_steal_pointer(&gpt);
		}
	}
	best->mbr = mbr;

	if (best->current && mbr.is_protective) {
		*presence = DPS_GPT_PRESENT;
		*problem = NULL;
		*out = g_steal_pointer(&best);
		return TRUE;
	}

	/* "There is no table" is not said of a disk that could not be read. */
	if (io_error) {
		g_propagate_error(error, g_steal_pointer(&io_error));
		return FALSE;
	}
	*presence = explain_absence(disk, sector_size, best, &mbr, problem);
	*out = NULL;
	return TRUE;
}

/* Whether a header at @lba, good or not, asks for no more than a table may have. */
static gboolean
is_modest(const DpsRegion *disk, const DpsGpt *gpt, uint64_t lba)
{
	uint8_t header[DPS_GPT_HEADER_MIN_SIZE];
	uint32_t n, size;

	if (lba >= gpt->n_sectors ||
	    !dps_region_read(disk, lba * gpt->sector_size, header, sizeof(header), NULL) ||
	    memcmp(header, signature, sizeof(signature)) != 0)
		return TRUE;

	n = dps_load_le32(header + DPS_GPT_HEADER_N_ENTRIES);
	size = dps_load_le32(header + DPS_GPT_HEADER_ENTRY_SIZE);
	return size == 0 || (size <= MAX_ARRAY_SIZE && n <= MAX_ARRAY_SIZE / size);
}

gboolean
dps_gpt_is_safe_for_others(const DpsRegion *disk, const DpsGpt *gpt)
{
	return is_modest(disk, gpt, 1) && is_modest(disk, gpt, gpt->n_sectors - 1) &&
	       (!gpt->primary.present || is_modest(disk, gpt, gpt->primary.alternate_lba));
}

GBytes *
dps_gpt_get_current_bytes(const DpsGpt *gpt)
{
	GByteArray *bytes = g_byte_array_new();

	g_byte_array_append(bytes, gpt->current->header, gpt->sector_size);
	g_byte_array_append(bytes, gpt->current->entries, (guint)gpt->current->entries_size);
	return g_byte_array_free_to_bytes(bytes);
}

const DpsGptEntry *
dps_gpt_get_entry(const DpsGpt *gpt, uint32_t number)
{
	for (guint i = 0; i < gpt->entries->len; i++) {
		const DpsGptEntry *entry = g_ptr_array_index(gpt->entries, i);

		if (entry->number == number)
			return entry;
	}
	return NULL;
}
