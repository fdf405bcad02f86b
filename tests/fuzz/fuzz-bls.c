/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"
#include "format/bls.h"
#include "format/loader-conf.h"
#include "format/shim-csv.h"

#include <string.h>

static void
check_problems(GPtrArray *problems)
{
	for (guint i = 0; i < problems->len; i++)
		fuzz_check_text(((const DpsBlsProblem *)problems->pdata[i])->message);
}

static void
check_all(GPtrArray *texts)
{
	for (guint i = 0; i < texts->len; i++)
		fuzz_check_text(texts->pdata[i]);
}

static void
run_entry(const char *name, const char *text, size_t size)
{
	g_autoptr(DpsBlsEntry) entry = dps_bls_entry_parse(name, text, size);
	const DpsBlsReader reader = { .arch = DPS_ARCH_AARCH64, .systemd_version = 257 };

	fuzz_check_text(entry->file_name);
	fuzz_check_text(entry->id);
	fuzz_check_text(entry->title);
	fuzz_check_text(entry->version);
	fuzz_check_text(entry->sort_key);
	fuzz_check_text(entry->machine_id);
	fuzz_check_text(entry->architecture);
	fuzz_check_text(entry->path);
	fuzz_check_text(entry->options);
	check_all(entry->initrds);
	check_all(entry->extras);
	check_all(entry->devicetree_overlays);
	check_problems(entry->problems);
	fuzz_check_text(dps_bls_hidden_to_string(dps_bls_entry_get_hidden(entry, &reader)));
	g_assert_cmpint(dps_bls_entry_compare(entry, entry), ==, 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* The first line is a name and a pattern, too. */
	const char *text = size > 0 ? (const char *)data : "";
	const char *newline = memchr(text, '\n', size);
	g_autofree char *name = g_strndup(text, newline ? (size_t)(newline - text) : size);
	g_autofree char *path = dps_bls_path_normalise(name);
	g_autoptr(GPtrArray) csv = NULL;
	g_autoptr(GError) error = NULL;
	g_auto(DpsLoaderConf) conf = { 0 };

	run_entry(name, text, size);
	dps_loader_conf_parse(text, size, &conf);
	check_problems(conf.problems);
	fuzz_check_text(conf.default_pattern);
	/* It is bytes; that it stays inside is what counts. */
	g_assert_true(!path || !g_str_has_prefix(path, "../"));
	dps_bls_srel_parse(text, size);
	if (strlen(name) < 4096 && newline) {
		g_autofree char *rest =
			g_strndup(newline + 1, MIN(4096, (size_t)(text + size - newline - 1)));

		dps_bls_glob(name, rest);
		g_assert_cmpint(dps_version_compare(name, rest), ==,
				-dps_version_compare(rest, name));
	}

	csv = dps_shim_csv_parse(data, size, &error);
	if (!csv)
		fuzz_check_text(error->message);
	for (guint i = 0; csv && i < csv->len; i++) {
		const DpsShimCsvLine *line = csv->pdata[i];

		fuzz_check_text(line->file);
		fuzz_check_text(line->label);
		fuzz_check_text(line->options);
	}
	return 0;
}
