/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dps/types.h>
#include "ground/region.h"

/*
 * EFI programs: PE/COFF headers and the table of sections.  Reading one takes three reads of less
 * than 5 KiB together, however large the file is; the contents of a section are read on demand.
 *
 * Source: "PE Format" (Microsoft, revision of 2024); UEFI 2.10 section 2.1.1.
 */

/* More than any loader takes; systemd-boot and shim refuse more, too. */
#define DPS_PE_MAX_SECTIONS 96

/* What of a section anybody reads: bootctl's limit for those that it shows. */
#define DPS_PE_MAX_SECTION_READ ((size_t)4 * 1024 * 1024)

#define DPS_PE_SUBSYSTEM_EFI_APPLICATION 10

typedef struct {
	/* Ends with a NUL; bytes that are not printable ASCII are '?'.  A name of more than 8 is
	 * "/" and its place in a table that loaders do not look at: no name of UAPI.5 is. */
	char name[9];
	uint32_t virtual_address, virtual_size;
	uint32_t raw_offset, raw_size; /* in the file, bytes */
	uint32_t characteristics;
} DpsPeSection;

/* A value, cleared with dps_pe_clear(). */
typedef struct {
	uint64_t file_size; /* of the region that was read */
	uint16_t machine;
	DpsArch arch; /* of machine; NONE when the specification has none for it */
	gboolean is_pe32_plus;
	uint16_t characteristics;
	uint16_t subsystem;
	uint16_t image_version; /* the major one: of a kernel, what its EFI stub can do */
	uint32_t entry_point;
	uint32_t section_alignment, file_alignment;
	uint32_t size_of_image, size_of_headers;
	uint32_t relocations_size;			 /* of the base relocation table */
	uint32_t certificates_offset, certificates_size; /* size 0: the file is not signed */
	guint n_sections;
	DpsPeSection *sections; /* in the order of the table */
} DpsPe;

/**
 * dps_pe_read:
 * @region: the whole file
 * @out: (out): set on success; clear it with dps_pe_clear()
 * @error: %DPS_ERROR_CORRUPT: no PE file, or its headers contradict the format; %DPS_ERROR_IO
 *
 * Sections may be wrong in themselves: see dps_pe_find_problem().
 *
 * Returns: %TRUE on success
 */
gboolean dps_pe_read(const DpsRegion *region, DpsPe *out, GError **error);
void dps_pe_clear(DpsPe *pe);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(DpsPe, dps_pe_clear)

typedef enum {
	DPS_PE_TRUNCATED,    /* a section or the certificates end behind the end of the file */
	DPS_PE_OVERLAP,	     /* two sections share addresses */
	DPS_PE_UNSORTED,     /* a section's address is below that of the one before it */
	DPS_PE_BEYOND_IMAGE, /* a section ends behind SizeOfImage */
} DpsPeProblem;

/**
 * dps_pe_find_problem:
 * @pe: a PE file
 * @problem: what to look for
 * @message: (out) (transfer full) (optional): one line: which sections, with numbers
 *
 * Empty sections have no place and no problem.  Alignment is not judged: Debian's own stub
 * breaks it, and nothing minds.
 *
 * Returns: whether @pe has @problem
 */
gboolean dps_pe_find_problem(const DpsPe *pe, DpsPeProblem problem, char **message);

/* (nullable): the first section of this name from @from on (0: the first of the table) */
const DpsPeSection *dps_pe_find_section(const DpsPe *pe, const char *name, guint from);

/* Bytes that a section has in memory and in the file: what stub and bootctl take for its size. */
uint32_t dps_pe_section_get_size(const DpsPeSection *section);

/**
 * dps_pe_read_section:
 * @region: the file that @pe was read from
 * @section: one of @pe
 * @max_size: bytes, at most %DPS_PE_MAX_SECTION_READ
 * @size: (out) (optional): bytes that were read
 * @error: %DPS_ERROR_CORRUPT: the section ends behind the end of the file; %DPS_ERROR_UNSUPPORTED:
 *   it is larger than @max_size
 *
 * Returns: (transfer full): the section's bytes and a NUL behind them, %NULL on failure
 */
char *dps_pe_read_section(const DpsRegion *region, const DpsPeSection *section, size_t max_size,
			  size_t *size, GError **error);
