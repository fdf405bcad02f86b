/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/pe.h"
#include "ground/arch.h"
#include "ground/bytes.h"
#include "ground/error.h"

#include <inttypes.h>
#include <string.h>

/*
 *	0	"MZ"
 *	0x3c	u32: where the PE headers start (P)
 *	P	"PE\0\0", COFF header (20 bytes), optional header (its size is in the COFF header)
 *	...	table of sections, 40 bytes each
 */
#define DOS_SIZE 64
#define DOS_PE_OFFSET 0x3c

#define COFF_SIZE 24 /* with the signature in front of it */
#define COFF_MACHINE 4
#define COFF_N_SECTIONS 6
#define COFF_OPTIONAL_SIZE 20
#define COFF_CHARACTERISTICS 22

#define OPTIONAL_MAGIC_PE32 0x10b
#define OPTIONAL_MAGIC_PE32_PLUS 0x20b
#define OPTIONAL_ENTRY_POINT 16
#define OPTIONAL_SECTION_ALIGNMENT 32
#define OPTIONAL_FILE_ALIGNMENT 36
#define OPTIONAL_IMAGE_VERSION 44
#define OPTIONAL_SIZE_OF_IMAGE 56
#define OPTIONAL_SIZE_OF_HEADERS 60
#define OPTIONAL_SUBSYSTEM 68
#define OPTIONAL_MIN_SIZE 72  /* up to the fields whose width differs */
#define OPTIONAL_MAX_SIZE 240 /* PE32+ with all 16 data directories */
#define PE32_N_DIRECTORIES 92
#define PE32_PLUS_N_DIRECTORIES 108
#define DIRECTORY_CERTIFICATES 4
#define DIRECTORY_RELOCATIONS 5

#define SECTION_SIZE 40
#define SECTION_UNINITIALISED 0x80 /* IMAGE_SCN_CNT_UNINITIALIZED_DATA: not in the file */

static gboolean
read_headers(const DpsRegion *region, uint64_t *pe_offset, uint8_t *headers, size_t *size,
	     GError **error)
{
	uint8_t dos[DOS_SIZE];
	uint64_t at;

	if (region->size < DOS_SIZE)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "no PE file: %" PRIu64 " bytes are too few for one", region->size);
	if (!dps_region_read(region, 0, dos, sizeof(dos), error))
		return FALSE;
	if (memcmp(dos, "MZ", 2) != 0)
		return dps_throw(error, DPS_ERROR_CORRUPT, "no PE file: does not start with MZ");

	at = dps_load_le32(dos + DOS_PE_OFFSET);
	if (at > region->size || region->size - at < COFF_SIZE + OPTIONAL_MIN_SIZE)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "PE header at byte %" PRIu64 ": behind the end of the file", at);

	*size = (size_t)MIN(COFF_SIZE + OPTIONAL_MAX_SIZE, region->size - at);
	if (!dps_region_read(region, at, headers, *size, error))
		return FALSE;
	if (memcmp(headers, "PE\0\0", 4) != 0)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "no PE file: no PE signature at byte %" PRIu64, at);

	*pe_offset = at;
	return TRUE;
}

/* Offset and size of one data directory; zeros where there is none. */
static void
read_directory(const uint8_t *optional, size_t size, gboolean is_pe32_plus, guint index,
	       uint32_t *offset, uint32_t *length)
{
	size_t count_at = is_pe32_plus ? PE32_PLUS_N_DIRECTORIES : PE32_N_DIRECTORIES;
	size_t at = count_at + 4 + (size_t)index * 8;

	*offset = *length = 0;
	if (size < at + 8 || dps_load_le32(optional + count_at) <= index)
		return;

	*offset = dps_load_le32(optional + at);
	*length = dps_load_le32(optional + at + 4);
}

static void
parse_section(const uint8_t *raw, DpsPeSection *section)
{
	memset(section, 0, sizeof(*section));
	for (guint i = 0; i < 8 && raw[i] != '\0'; i++)
		section->name[i] = g_ascii_isgraph(raw[i]) ? (char)raw[i] : '?';

	section->virtual_size = dps_load_le32(raw + 8);
	section->virtual_address = dps_load_le32(raw + 12);
	section->raw_size = dps_load_le32(raw + 16);
	section->raw_offset = dps_load_le32(raw + 20);
	section->characteristics = dps_load_le32(raw + 36);
}

gboolean
dps_pe_read(const DpsRegion *region, DpsPe *out, GError **error)
{
	uint8_t headers[COFF_SIZE + OPTIONAL_MAX_SIZE];
	uint8_t table[DPS_PE_MAX_SECTIONS * SECTION_SIZE];
	const uint8_t *optional = headers + COFF_SIZE;
	size_t size = 0, optional_size, declared_size;
	uint64_t pe_offset = 0, table_offset;
	uint32_t unused;
	DpsPe pe = { .file_size = region->size };
	uint16_t magic;

	if (!read_headers(region, &pe_offset, headers, &size, error))
		return FALSE;

	pe.machine = dps_load_le16(headers + COFF_MACHINE);
	pe.arch = dps_arch_from_pe_machine(pe.machine);
	pe.n_sections = dps_load_le16(headers + COFF_N_SECTIONS);
	pe.characteristics = dps_load_le16(headers + COFF_CHARACTERISTICS);
	declared_size = dps_load_le16(headers + COFF_OPTIONAL_SIZE);
	if (declared_size < OPTIONAL_MIN_SIZE)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "PE header: optional header of %" G_GSIZE_FORMAT
				 " bytes: too short",
				 declared_size);
	if (pe.n_sections == 0 || pe.n_sections > DPS_PE_MAX_SECTIONS)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "PE header: %u sections: must be 1 to %d", pe.n_sections,
				 DPS_PE_MAX_SECTIONS);

	magic = dps_load_le16(optional);
	if (magic != OPTIONAL_MAGIC_PE32 && magic != OPTIONAL_MAGIC_PE32_PLUS)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "PE header: optional header with magic %#x: neither PE32 nor "
				 "PE32+",
				 magic);

	optional_size = MIN(declared_size, size - COFF_SIZE);
	pe.is_pe32_plus = magic == OPTIONAL_MAGIC_PE32_PLUS;
	pe.entry_point = dps_load_le32(optional + OPTIONAL_ENTRY_POINT);
	pe.section_alignment = dps_load_le32(optional + OPTIONAL_SECTION_ALIGNMENT);
	pe.file_alignment = dps_load_le32(optional + OPTIONAL_FILE_ALIGNMENT);
	pe.image_version = dps_load_le16(optional + OPTIONAL_IMAGE_VERSION);
	pe.size_of_image = dps_load_le32(optional + OPTIONAL_SIZE_OF_IMAGE);
	pe.size_of_headers = dps_load_le32(optional + OPTIONAL_SIZE_OF_HEADERS);
	pe.subsystem = dps_load_le16(optional + OPTIONAL_SUBSYSTEM);
	/* The one directory whose first field is a place in the file, not in memory. */
	read_directory(optional, optional_size, pe.is_pe32_plus, DIRECTORY_CERTIFICATES,
		       &pe.certificates_offset, &pe.certificates_size);
	read_directory(optional, optional_size, pe.is_pe32_plus, DIRECTORY_RELOCATIONS, &unused,
		       &pe.relocations_size);

	table_offset = pe_offset + COFF_SIZE + declared_size;
	if (table_offset > region->size ||
	    region->size - table_offset < (uint64_t)pe.n_sections * SECTION_SIZE)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "table of %u sections at byte %" PRIu64
				 ": ends behind the end of the file",
				 pe.n_sections, table_offset);
	if (!dps_region_read(region, table_offset, table, (size_t)pe.n_sections * SECTION_SIZE,
			     error))
		return FALSE;

	pe.sections = g_new(DpsPeSection, pe.n_sections);
	for (guint i = 0; i < pe.n_sections; i++)
		parse_section(table + (size_t)i * SECTION_SIZE, &pe.sections[i]);

	*out = pe;
	return TRUE;
}

void
dps_pe_clear(DpsPe *pe)
{
	g_clear_pointer(&pe->sections, g_free);
	pe->n_sections = 0;
}

static gboolean
is_in_file(const DpsPeSection *section)
{
	return section->raw_size > 0 && section->raw_offset > 0 &&
	       (section->characteristics & SECTION_UNINITIALISED) == 0;
}

static uint64_t
get_virtual_end(const DpsPeSection *section)
{
	return (uint64_t)section->virtual_address + section->virtual_size;
}

static char *
find_truncated(const DpsPe *pe)
{
	uint64_t end;

	for (guint i = 0; i < pe->n_sections; i++) {
		const DpsPeSection *section = &pe->sections[i];

		end = (uint64_t)section->raw_offset + section->raw_size;
		if (is_in_file(section) && end > pe->file_size)
			return g_strdup_printf("section %s ends at byte %" PRIu64
					       ", the file at %" PRIu64,
					       section->name, end, pe->file_size);
	}

	end = (uint64_t)pe->certificates_offset + pe->certificates_size;
	if (pe->certificates_size > 0 && end > pe->file_size)
		return g_strdup_printf("the signature ends at byte %" PRIu64
				       ", the file at %" PRIu64,
				       end, pe->file_size);

	return NULL;
}

static char *
find_overlap(const DpsPe *pe)
{
	/* At most 96 sections, so every pair is looked at. */
	for (guint i = 0; i < pe->n_sections; i++)
		for (guint k = 0; k < i; k++) {
			const DpsPeSection *a = &pe->sections[k], *b = &pe->sections[i];

			if (a->virtual_size == 0 || b->virtual_size == 0 ||
			    a->virtual_address >= get_virtual_end(b) ||
			    b->virtual_address >= get_virtual_end(a))
				continue;

			return g_strdup_printf("sections %s (%#" PRIx32 " to %#" PRIx64
					       ") and %s (%#" PRIx32 " to %#" PRIx64
					       ") share addresses",
					       a->name, a->virtual_address, get_virtual_end(a),
					       b->name, b->virtual_address, get_virtual_end(b));
		}

	return NULL;
}

static char *
find_unsorted(const DpsPe *pe)
{
	const DpsPeSection *before = NULL;

	for (guint i = 0; i < pe->n_sections; i++) {
		const DpsPeSection *section = &pe->sections[i];

		if (section->virtual_size == 0)
			continue;
		if (before && section->virtual_address < before->virtual_address)
			return g_strdup_printf("section %s at address %#" PRIx32
					       " stands behind %s at %#" PRIx32,
					       section->name, section->virtual_address,
					       before->name, before->virtual_address);
		before = section;
	}
	return NULL;
}

static char *
find_beyond_image(const DpsPe *pe)
{
	for (guint i = 0; i < pe->n_sections; i++) {
		const DpsPeSection *section = &pe->sections[i];

		if (section->virtual_size > 0 && get_virtual_end(section) > pe->size_of_image)
			return g_strdup_printf(
				"section %s ends at address %#" PRIx64 ", the image at %#" PRIx32,
				section->name, get_virtual_end(section), pe->size_of_image);
	}
	return NULL;
}

gboolean
dps_pe_find_problem(const DpsPe *pe, DpsPeProblem problem, char **message)
{
	static char *(*const finders[])(const DpsPe *) = {
		[DPS_PE_TRUNCATED] = find_truncated,
		[DPS_PE_OVERLAP] = find_overlap,
		[DPS_PE_UNSORTED] = find_unsorted,
		[DPS_PE_BEYOND_IMAGE] = find_beyond_image,
	};
	g_autofree char *found = NULL;

	g_return_val_if_fail((guint)problem < G_N_ELEMENTS(finders), FALSE);

	found = finders[problem](pe);
	if (!found)
		return FALSE;
	if (message)
		*message = g_steal_pointer(&found);
	return TRUE;
}

const DpsPeSection *
dps_pe_find_section(const DpsPe *pe, const char *name, guint from)
{
	for (guint i = from; i < pe->n_sections; i++)
		if (strcmp(pe->sections[i].name, name) == 0)
			return &pe->sections[i];

	return NULL;
}

uint32_t
dps_pe_section_get_size(const DpsPeSection *section)
{
	return MIN(section->virtual_size, section->raw_size);
}

char *
dps_pe_read_section(const DpsRegion *region, const DpsPeSection *section, size_t max_size,
		    size_t *size, GError **error)
{
	size_t length = dps_pe_section_get_size(section);
	g_autofree char *bytes = NULL;

	if (length > MIN(max_size, DPS_PE_MAX_SECTION_READ))
		return dps_throw_null(error, DPS_ERROR_UNSUPPORTED,
				      "section %s: %" G_GSIZE_FORMAT
				      " bytes: more than anybody reads",
				      section->name, length);
	/* Before there is a buffer: a header alone cannot make us allocate. */
	if (section->raw_offset > region->size || length > region->size - section->raw_offset)
		return dps_throw_null(error, DPS_ERROR_CORRUPT,
				      "section %s: ends behind the end of the file", section->name);

	bytes = g_malloc(length + 1);
	if (!dps_region_read(region, section->raw_offset, bytes, length, error))
		return NULL;

	bytes[length] = '\0';
	if (size)
		*size = length;
	return g_steal_pointer(&bytes);
}
