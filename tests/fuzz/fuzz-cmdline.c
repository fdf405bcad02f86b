/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/cmdline.h"
#include "fuzz.h"
#include "ground/derive.h"

/*
 * A kernel command line; a root hash; a machine id.
 *
 * Asserted: what is told is text; each word is found by its key; root has a subvolume by name or by
 * number, not both; a newer systemd discovers root wherever an older one does; a failure says why.
 */

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autofree char *text = g_strndup(size > 0 ? (const char *)data : "", size);
	g_auto(DpsCmdline) cmdline = { 0 };
	g_autoptr(GError) error = NULL;
	DpsGuid a, b;

	dps_cmdline_parse(text, &cmdline);
	for (guint i = 0; i < cmdline.words->len; i++) {
		const DpsCmdlineWord *word = &g_array_index(cmdline.words, DpsCmdlineWord, i);

		fuzz_check_text(word->key);
		fuzz_check_text(word->value);
		if (word->value)
			g_assert_nonnull(dps_cmdline_get(&cmdline, word->key));
	}
	fuzz_check_text(cmdline.root);
	fuzz_check_text(cmdline.rootflags);
	fuzz_check_text(cmdline.root_subvol);
	g_assert_false(cmdline.root_subvol && cmdline.root_subvolid);
	if (dps_cmdline_root_is_discovered(&cmdline, 257))
		g_assert_true(dps_cmdline_root_is_discovered(&cmdline, 258));

	if (!dps_derive_verity(text, &a, &b, &error))
		fuzz_check_error(error);
	g_clear_error(&error);
	if (!dps_derive_var(text, &a, &error))
		fuzz_check_error(error);
	return 0;
}
