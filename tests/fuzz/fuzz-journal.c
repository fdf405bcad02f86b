/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/checksum.h"
#include "fuzz.h"
#include "ground/bytes.h"
#include "target/journal.h"
#include "temp-file.h"

#include <string.h>

/*
 * A journal beside an image: its signature, count, size and checksum are made true, unless the
 * first byte is 0xFF; the input is what stands behind its header.
 *
 * Asserted: what is not a journal that was completed leaves every byte of the image; what is
 * changes only what its edits name, to their new bytes; afterwards the journal is gone, and
 * finishing again changes nothing.
 */
#define IMAGE_SIZE 16384
enum { SUM = 16, COUNT = 20, FILE_SIZE = 24, HEADER = 32, EDIT_HEADER = 16 };

static guint
count_edits(const uint8_t *data, size_t size)
{
	guint n = 0;

	while (size >= EDIT_HEADER) {
		uint64_t length = dps_load_le64(data + 8);

		n++;
		if (length > (size - EDIT_HEADER) / 2)
			break;
		data += EDIT_HEADER + 2 * length;
		size -= EDIT_HEADER + 2 * length;
	}
	return n;
}

static gboolean
is_in_an_edit(const uint8_t *data, size_t size, size_t at, uint8_t now)
{
	gboolean found = FALSE;

	while (size >= EDIT_HEADER) {
		uint64_t offset = dps_load_le64(data), length = dps_load_le64(data + 8);

		if (length > (size - EDIT_HEADER) / 2)
			break;
		if (at >= offset && at - offset < length)
			found = found || data[EDIT_HEADER + length + (at - offset)] == now;
		data += EDIT_HEADER + 2 * length;
		size -= EDIT_HEADER + 2 * length;
	}
	return found;
}

static gboolean
finish(const uint8_t *before, uint8_t *after)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsMedium) medium =
		dps_medium_open(fuzz_temp_get_path(), DPS_OPEN_WRITABLE, &error);
	DpsRegion region;
	gboolean ok, finished = FALSE;

	g_assert_no_error(error);
	ok = dps_journal_finish(medium, &finished, &error);
	region = dps_medium_get_region(medium);
	g_assert_cmpuint(region.size, ==, IMAGE_SIZE);
	g_assert_true(dps_region_read(&region, 0, after, IMAGE_SIZE, NULL));
	if (!ok)
		fuzz_check_error(error);
	else
		g_assert_false(dps_journal_is_pending(medium));
	if (!finished)
		g_assert_cmpmem(after, IMAGE_SIZE, before, IMAGE_SIZE);
	return finished;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autofree uint8_t *journal = g_malloc0(HEADER + size);
	g_autofree char *path = g_strconcat(fuzz_temp_get_path(), ".dps-journal", NULL);
	uint8_t before[IMAGE_SIZE], after[IMAGE_SIZE], again[IMAGE_SIZE];
	size_t body = size > 0 ? size - 1 : 0;

	for (size_t i = 0; i < sizeof(before); i++)
		before[i] = (uint8_t)(i / 512);
	memcpy(journal, "dps-journal 1\n", 14);
	if (body > 0)
		memcpy(journal + HEADER, data + 1, body);
	dps_store_le32(journal + COUNT, count_edits(journal + HEADER, body));
	dps_store_le64(journal + FILE_SIZE, HEADER + body);
	if (size > 0 && data[0] != 0xFF)
		dps_store_le32(journal + SUM, ~dps_crc32c_feed(UINT32_MAX, journal + COUNT,
							       HEADER + body - COUNT));

	fuzz_temp_write(fuzz_temp_get_path(), before, sizeof(before));
	fuzz_temp_write(path, journal, HEADER + body);
	if (finish(before, after)) {
		for (size_t at = 0; at < sizeof(after); at++)
			g_assert_true(after[at] == before[at] ||
				      is_in_an_edit(journal + HEADER, body, at, after[at]));
		g_assert_false(finish(after, again));
	}
	return 0;
}
