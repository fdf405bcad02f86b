/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/check-options.h"
#include "decide/check.h"
#include "decide/hint.h"

char *
dps_check_fill_in(DpsCheck *check, const char *hint, guint partition)
{
	g_autofree char *of_disk = dps_hint_of_disk(check->disk, hint);
	GString *text = g_string_new(of_disk);
	g_autofree char *number = g_strdup_printf("%u", partition);
	g_autofree char *root = NULL;

	/* apply takes the architecture from the system's programs; what only the caller said, or a
	 * loader, has to be said again. */
	if (check->arch != DPS_ARCH_NONE &&
	    (dps_check_options_get_arch(check->options) != DPS_ARCH_NONE || !check->tree ||
	     dps_tree_get_arch(check->tree) != check->arch))
		root = g_strconcat("root:", dps_arch_to_string(check->arch), NULL);
	g_string_replace(text, "{root}", root ? root : "root", 0);
	g_string_replace(text, "{n}", number, 0);
	return g_string_free(text, FALSE);
}

/* Attributes as sfdisk(8) wants them; it has no word for bits 3 to 47. */
char *
dps_check_hint_attributes(uint64_t attributes)
{
	static const char *const low[] = { "RequiredPartition", "NoBlockIOProtocol",
					   "LegacyBIOSBootable" };
	GString *hint = g_string_new("clear it: `sfdisk --part-attrs {disk} {n} \"");
	const char *separator = "";

	for (guint bit = 0; bit < 64; bit++) {
		if (!(attributes >> bit & 1) || (bit >= G_N_ELEMENTS(low) && bit < 48))
			continue;
		if (bit < G_N_ELEMENTS(low))
			g_string_append_printf(hint, "%s%s", separator, low[bit]);
		else
			g_string_append_printf(hint, "%sGUID:%u", separator, bit);
		separator = ",";
	}
	g_string_append(hint, "\"`");
	return g_string_free(hint, FALSE);
}
