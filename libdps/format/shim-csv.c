/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/shim-csv.h"
#include "ground/error.h"
#include "ground/text.h"

#include <stdint.h>
#include <string.h>

static void
shim_csv_line_free(DpsShimCsvLine *line)
{
	g_free(line->file);
	g_free(line->label);
	g_free(line->options);
	g_free(line);
}

/* (transfer full) (nullable): UTF-16LE as UTF-8, without a byte order mark */
static char *
read_utf16(const uint8_t *bytes, size_t size)
{
	g_autofree gunichar2 *units = NULL;
	size_t n = size / 2;
	char *text;

	if (size % 2 != 0)
		return NULL;

	units = g_new(gunichar2, n + 1);
	for (size_t i = 0; i < n; i++)
		units[i] = (gunichar2)(bytes[2 * i] | bytes[2 * i + 1] << 8);
	units[n] = 0;

	text = g_utf16_to_utf8(units + (n > 0 && units[0] == 0xfeff), -1, NULL, NULL, NULL);
	return text;
}

GPtrArray *
dps_shim_csv_parse(const void *bytes, size_t size, GError **error)
{
	g_autofree char *text = read_utf16(bytes, MIN(size, DPS_SHIM_CSV_MAX_SIZE));
	g_autoptr(GPtrArray) lines =
		g_ptr_array_new_with_free_func((GDestroyNotify)shim_csv_line_free);
	char *line, *rest;

	if (!text)
		return dps_throw_null(error, DPS_ERROR_CORRUPT, "is no UTF-16LE text");

	for (rest = text; (line = strsep(&rest, "\r\n"));) {
		g_auto(GStrv) fields = NULL;
		DpsShimCsvLine *parsed;
		guint n;

		if (*g_strstrip(line) == '\0')
			continue;
		fields = g_strsplit(line, ",", 4);
		n = g_strv_length(fields);
		if (n < 2 || *fields[0] == '\0' || *fields[1] == '\0')
			return dps_throw_null(error, DPS_ERROR_CORRUPT,
					      "line %u has no file and label: "
					      "file,label,options,comment is needed",
					      lines->len + 1);

		parsed = g_new(DpsShimCsvLine, 1);
		parsed->file = dps_text_clean(fields[0], strlen(fields[0]));
		parsed->label = dps_text_clean(fields[1], strlen(fields[1]));
		parsed->options =
			n > 2 ? dps_text_clean(fields[2], strlen(fields[2])) : g_strdup("");
		g_ptr_array_add(lines, parsed);
	}
	if (lines->len == 0)
		return dps_throw_null(error, DPS_ERROR_CORRUPT, "has no line");

	return g_steal_pointer(&lines);
}
