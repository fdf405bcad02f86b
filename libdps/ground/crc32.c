/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ground/crc32.h"
#include "ground/bytes.h"

#define POLYNOMIAL UINT32_C(0xedb88320) /* 0x04C11DB7, its bits in reverse */

/* Below this, making the tables costs more than they save. */
#define WORTH_TABLES 4096

/*
 * Eight bytes a step: tables[k][b] is what byte b contributes when k more bytes follow it in the
 * step.  On the stack: two thousand steps to make, beside an array of sixteen thousand bytes, and
 * nothing global to guard.
 */
typedef uint32_t Tables[8][256];

static void
make_tables(Tables tables)
{
	for (uint32_t b = 0; b < 256; b++) {
		uint32_t crc = b;

		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (crc & 1 ? POLYNOMIAL : 0);
		tables[0][b] = crc;
	}
	for (int k = 1; k < 8; k++)
		for (int b = 0; b < 256; b++)
			tables[k][b] = (tables[k - 1][b] >> 8) ^ tables[0][tables[k - 1][b] & 0xff];
}

static uint32_t
add_bytewise(uint32_t crc, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (crc & 1 ? POLYNOMIAL : 0);
	}
	return crc;
}

static uint32_t
add_by_eights(uint32_t crc, const uint8_t *bytes, size_t n_eights)
{
	Tables t;

	make_tables(t);
	for (; n_eights > 0; n_eights--, bytes += 8) {
		uint32_t low = dps_load_le32(bytes) ^ crc;
		uint32_t high = dps_load_le32(bytes + 4);

		crc = t[7][low & 0xff] ^ t[6][low >> 8 & 0xff] ^ t[5][low >> 16 & 0xff] ^
		      t[4][low >> 24] ^ t[3][high & 0xff] ^ t[2][high >> 8 & 0xff] ^
		      t[1][high >> 16 & 0xff] ^ t[0][high >> 24];
	}
	return crc;
}

uint32_t
dps_crc32(const uint8_t *bytes, size_t size)
{
	uint32_t crc = UINT32_MAX;

	if (size >= WORTH_TABLES) {
		crc = add_by_eights(crc, bytes, size / 8);
		bytes += size - size % 8;
		size %= 8;
	}
	return ~add_bytewise(crc, bytes, size);
}
