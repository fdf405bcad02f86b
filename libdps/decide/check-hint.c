/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/check-options.h"
#include "decide/check.h"
#include "ground/text.h"

#include <string.h>

/* The commands in hints: what is between backquotes can be pasted. */

/* Whether others' partitioners would take an image for what it is not: to them a file has sectors
 * of 512 bytes, and they write a new table over the one that they do not find. */
static gboolean
is_image_of_large_sectors(DpsCheck *check)
{
	DpsMedium *medium = dps_disk_get_medium(check->disk);
	DpsRegion region = dps_medium_get_region(medium);
	char signature[8];

	if (dps_medium_is_device(medium))
		return FALSE;
	if (dps_disk_get_gpt(check->disk))
		return dps_disk_get_sector_size(check->disk) == 4096;

	/* Of a table that nobody gave us; UEFI 2.10, table 5-5: the header is in the second sector.
	 */
	return dps_region_read(&region, 4096, signature, sizeof(signature), NULL) &&
	       memcmp(signature, "EFI PART", sizeof(signature)) == 0;
}

/* Puts a loop device in the place of the disk, in the commands of others' partitioners. */
static void
put_on_loop(GString *hint)
{
	static const char *const tools[] = { "gdisk ", "sfdisk ", "parted " };
	g_auto(GStrv) parts = g_strsplit(hint->str, "`", -1);
	g_autofree char *joined = NULL;
	gboolean any = FALSE;

	/* Every second part is a command. */
	for (guint i = 0; parts[i]; i++) {
		gboolean is_theirs = FALSE;

		for (guint j = 0; i % 2 == 1 && j < G_N_ELEMENTS(tools); j++)
			is_theirs |= strstr(parts[i], tools[j]) != NULL;
		if (is_theirs) {
			g_auto(GStrv) pieces = g_strsplit(parts[i], "{disk}", -1);

			g_free(parts[i]);
			parts[i] = g_strjoinv("LOOP", pieces);
			any = TRUE;
		}
	}
	if (!any)
		return;

	joined = g_strjoinv("`", parts);
	g_string_printf(hint,
			"attach it, for such tools take a file for a disk with sectors of 512 "
			"bytes: `losetup --find --show --sector-size 4096 {disk}`; with the device "
			"LOOP that this says, %s",
			joined);
}

char *
dps_check_fill_in(DpsCheck *check, const char *hint, guint partition)
{
	GString *text = g_string_new(hint);
	g_autofree char *disk = dps_text_quote(dps_disk_get_path(check->disk));
	g_autofree char *number = g_strdup_printf("%u", partition);
	g_autofree char *root = NULL;

	/* apply takes the architecture from the system's programs; what only the caller said, or a
	 * loader, has to be said again. */
	if (check->arch != DPS_ARCH_NONE &&
	    (dps_check_options_get_arch(check->options) != DPS_ARCH_NONE || !check->tree ||
	     dps_tree_get_arch(check->tree) != check->arch))
		root = g_strconcat("root:", dps_arch_to_string(check->arch), NULL);
	if (is_image_of_large_sectors(check))
		put_on_loop(text);
	g_string_replace(text, "{root}", root ? root : "root", 0);
	g_string_replace(text, "{n}", number, 0);
	g_string_replace(text, "{disk}", disk, 0);
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
