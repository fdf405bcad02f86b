/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ground/bytes.h"

#include <glib.h>
#include <string.h>

/*
 * PE files for tests: headers at 0x40, PE32+, each section at the next multiple of 512 bytes in the
 * file and of 4096 in memory.
 */
#define MAKE_PE_TABLE (0x40 + 24 + 240)
#define MAKE_PE_OPTIONAL (0x40 + 24)

typedef struct {
	const char *name;
	const void *bytes;
	size_t size;
} MakePeSection;

#define TEXT_SECTION(name, text)                                                                   \
	{                                                                                          \
		name, text, sizeof(text) - 1                                                       \
	}

static inline void
make_pe_store16(GByteArray *file, size_t at, uint16_t value)
{
	file->data[at] = (uint8_t)value;
	file->data[at + 1] = (uint8_t)(value >> 8);
}

static inline GByteArray *
make_pe(uint16_t machine, const MakePeSection *sections, guint n)
{
	GByteArray *file = g_byte_array_new();
	uint32_t address = 4096;

	g_byte_array_set_size(file, (guint)(MAKE_PE_TABLE + n * 40 + 511) / 512 * 512);
	memset(file->data, 0, file->len);
	memcpy(file->data, "MZ", 2);
	dps_store_le32(file->data + 0x3c, 0x40);
	memcpy(file->data + 0x40, "PE\0\0", 4);
	make_pe_store16(file, 0x44, machine);
	make_pe_store16(file, 0x46, (uint16_t)n);
	make_pe_store16(file, 0x54, 240);
	make_pe_store16(file, MAKE_PE_OPTIONAL, 0x20b);
	make_pe_store16(file, MAKE_PE_OPTIONAL + 68, 10);
	dps_store_le32(file->data + MAKE_PE_OPTIONAL + 108, 16);

	for (guint i = 0; i < n; i++) {
		guint at = file->len, raw_size = (guint)(sections[i].size + 511) / 512 * 512;
		uint8_t *row;

		g_byte_array_set_size(file, at + raw_size);
		memset(file->data + at, 0, raw_size);
		if (sections[i].bytes)
			memcpy(file->data + at, sections[i].bytes, sections[i].size);
		row = file->data + MAKE_PE_TABLE + i * 40;
		memcpy(row, sections[i].name, strnlen(sections[i].name, 8));
		dps_store_le32(row + 8, (uint32_t)sections[i].size);
		dps_store_le32(row + 12, address);
		dps_store_le32(row + 16, raw_size);
		dps_store_le32(row + 20, at);
		address += (uint32_t)(sections[i].size + 4095) / 4096 * 4096;
	}
	dps_store_le32(file->data + MAKE_PE_OPTIONAL + 56, address);
	return file;
}
