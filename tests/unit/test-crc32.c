/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ground/crc32.h"

#include <glib.h>

/* Values from zlib's crc32(). */
static void
test_known(void)
{
	g_assert_cmphex(dps_crc32((const uint8_t *)"", 0), ==, 0);
	g_assert_cmphex(dps_crc32((const uint8_t *)"123456789", 9), ==, 0xcbf43926);
}

/* Long inputs go another way: they must agree with zlib too, at every length around eights. */
static void
test_long(void)
{
	static const struct {
		size_t size;
		uint32_t crc;
	} rows[] = {
		{ 1, 0xd202ef8d },     { 7, 0x28b012a9 },     { 4095, 0x4aca2881 },
		{ 4096, 0x462c1e21 },  { 4097, 0x839ac3a9 },  { 4103, 0x4535905d },
		{ 16384, 0xa219c94f }, { 16387, 0xa412ef1f }, { 20000, 0xca2cd333 },
	};
	g_autofree uint8_t *bytes = g_malloc(20000);

	for (size_t i = 0; i < 20000; i++)
		bytes[i] = (uint8_t)(i * 7 + (i >> 8));
	for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
		g_assert_cmphex(dps_crc32(bytes, rows[i].size), ==, rows[i].crc);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/crc32/known", test_known);
	g_test_add_func("/crc32/long", test_long);
	return g_test_run();
}
