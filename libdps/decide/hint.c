/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/hint.h"
#include "ground/text.h"

#include <string.h>

/* The commands of others' partitioners. */
static const char *const tools[] = { "gdisk ", "sfdisk ", "parted " };

static gboolean
is_theirs(const char *command)
{
	for (guint i = 0; i < G_N_ELEMENTS(tools); i++)
		if (strstr(command, tools[i]))
			return TRUE;
	return FALSE;
}

/*
 * Whether they would take the table for what it is not: sgdisk knows entries of 128 bytes alone,
 * and writes an empty table over others.  (Nor does Linux read others: block/partitions/efi.c.)
 */
static gboolean
has_odd_entries(DpsDisk *disk)
{
	const DpsGpt *gpt = dps_disk_get_gpt(disk);

	return gpt && gpt->current->entry_size != DPS_GPT_ENTRY_MIN_SIZE;
}

/* Whether others' partitioners would take an image for what it is not: to them a file has sectors
 * of 512 bytes, and they write a new table over the one that they do not find. */
static gboolean
is_image_of_large_sectors(DpsDisk *disk)
{
	DpsMedium *medium = dps_disk_get_medium(disk);
	DpsRegion region = dps_medium_get_region(medium);

	if (dps_medium_is_device(medium))
		return FALSE;
	if (dps_disk_get_gpt(disk))
		return dps_disk_get_sector_size(disk) == 4096;

	return dps_gpt_has_signature(&region, 4096); /* of a table that nobody gave us */
}

/* Puts a loop device in the place of the disk, in the commands of others' partitioners. */
static void
put_on_loop(GString *hint)
{
	g_auto(GStrv) parts = g_strsplit(hint->str, "`", -1);
	g_autofree char *joined = NULL;
	gboolean any = FALSE;

	/* Every second part is a command. */
	for (guint i = 0; parts[i]; i++) {
		if (i % 2 == 1 && is_theirs(parts[i])) {
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
dps_hint_of_disk(DpsDisk *disk, const char *hint)
{
	GString *text = g_string_new(hint);
	g_autofree char *path = dps_text_quote(dps_disk_get_path(disk));

	if (has_odd_entries(disk) && is_theirs(hint))
		g_string_printf(text,
				"its entries have %u bytes, and sgdisk would write an empty table "
				"over them: the next dps-tag apply%s that changes something makes "
				"both copies good; better make the table anew with entries of 128 "
				"bytes, for Linux reads no others",
				dps_disk_get_gpt(disk)->current->entry_size,
				dps_disk_get_gpt(disk)->primary.good ? "" : " --force");
	else if (is_image_of_large_sectors(disk))
		put_on_loop(text);
	g_string_replace(text, "{disk}", path, 0);
	return g_string_free(text, FALSE);
}
