/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/shim-csv.h"
#include "fuzz.h"

/*
 * shim's BOOTX64.CSV: lines of UTF-16.
 *
 * Asserted: a failure says why; else there is a line, each with a file and a label, which are text.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) lines = dps_shim_csv_parse(data, size, &error);

	if (!lines) {
		fuzz_check_error(error);
		return 0;
	}
	g_assert_cmpuint(lines->len, >, 0);
	for (guint i = 0; i < lines->len; i++) {
		const DpsShimCsvLine *line = lines->pdata[i];

		g_assert_true(line->file && line->label && line->options);
		g_assert_true(line->file[0] && line->label[0]);
		fuzz_check_text(line->file);
		fuzz_check_text(line->label);
		fuzz_check_text(line->options);
	}
	return 0;
}
