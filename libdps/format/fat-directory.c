/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/fat-directory.h"
#include "ground/bytes.h"
#include "ground/error.h"

#include <inttypes.h>
#include <string.h>

void
dps_fat_entry_free(DpsFatEntry *entry)
{
	if (!entry)
		return;

	g_free(entry->name);
	g_free(entry);
}

gboolean
dps_fat_entry_is_special(const DpsFatEntry *entry)
{
	return entry->attributes & DPS_FAT_ATTRIBUTE_VOLUME || g_str_equal(entry->name, ".") ||
	       g_str_equal(entry->name, "..");
}

char *
dps_fat_fold_name(const char *name)
{
	GString *folded = g_string_new(NULL);

	/* One character for one, as the format has it: "ß" stays what it is. */
	for (const char *p = name; *p; p = g_utf8_next_char(p))
		g_string_append_unichar(folded, g_unichar_toupper(g_utf8_get_char(p)));
	return g_string_free(folded, FALSE);
}

void
dps_fat_walk_init(DpsFatWalk *walk, DpsFat *fat, uint32_t cluster)
{
	const DpsFatGeometry *geo = dps_fat_get_geometry(fat);

	memset(walk, 0, sizeof(*walk));
	walk->fat = fat;
	walk->cluster = cluster == 0 && geo->width == 32 ? geo->root_cluster : cluster;

	/* What is no cluster must not be taken for the mark of the end: 1 is none either. */
	if ((walk->cluster != 0 || geo->width == 32) && !dps_fat_is_cluster(fat, walk->cluster))
		walk->cluster = 1;

	if (walk->cluster == 0) {
		walk->offset = geo->root_offset;
		walk->left = (uint64_t)geo->root_entries * DPS_FAT_SLOT_SIZE;
	}
}

/* Reads the next piece of the directory; at its end TRUE, and nothing is filled. */
static gboolean
walk_fill(DpsFatWalk *walk, GError **error)
{
	DpsFat *fat = walk->fat;
	uint32_t next = walk->cluster;
	size_t n;

	walk->at = walk->filled = 0;
	if (walk->left == 0) {
		if (walk->cluster == 0 || walk->cluster == DPS_FAT_CLUSTER_END)
			return TRUE;
		/* The first cluster comes from the entry of the directory, all others from the FAT.
		 */
		if (walk->n_slots > 0 && !dps_fat_next(fat, walk->cluster, &next, error))
			return FALSE;
		walk->cluster = next;
		if (next == DPS_FAT_CLUSTER_END)
			return TRUE;
		if (!dps_fat_is_cluster(fat, next))
			return dps_throw(error, DPS_ERROR_CORRUPT,
					 "cluster %" PRIu32 ": outside of the file system", next);
		walk->offset = dps_fat_get_cluster_offset(fat, next);
		walk->left = dps_fat_get_geometry(fat)->cluster_size;
	}

	/* Whoever follows a loop comes by here, and is stopped. */
	if (walk->n_slots >= DPS_FAT_MAX_SLOTS)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "directory: more than %d entries, or its chain is a loop",
				 DPS_FAT_MAX_SLOTS);

	n = (size_t)MIN(DPS_FAT_WINDOW_SIZE, walk->left);
	if (!dps_region_read(dps_fat_get_region(fat), walk->offset, walk->buffer, n, error))
		return FALSE;
	walk->offset += n;
	walk->left -= n;
	walk->filled = n;
	walk->n_slots += (guint)(n / DPS_FAT_SLOT_SIZE);
	return TRUE;
}

/* The specification, "Long Directory Entries": over the eleven bytes of the short name. */
static uint8_t
short_name_checksum(const uint8_t *slot)
{
	uint8_t sum = 0;

	for (guint i = 0; i < 11; i++)
		sum = (uint8_t)((sum & 1 ? 0x80 : 0) + (sum >> 1) + slot[i]);
	return sum;
}

/* One part of a long name; they come from the last to the first, and the last has bit 6. */
static void
walk_add_part(DpsFatWalk *walk, const uint8_t *slot)
{
	/* Where the 5, 6 and 2 characters of a part are. */
	static const uint8_t places[13] = { 1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30 };
	guint part = slot[0] & 0x3F;
	gboolean fits;

	if (slot[0] & 0x40) {
		walk->is_broken |= walk->n_parts > 0;
		walk->n_parts = walk->next_part = part;
		walk->checksum = slot[13];
	}

	fits = part > 0 && part <= 20 && walk->n_parts > 0 && part == walk->next_part &&
	       walk->checksum == slot[13];
	if (!fits) {
		walk->is_broken = TRUE;
		walk->n_parts = 0;
		return;
	}
	for (guint i = 0; i < 13; i++)
		walk->units[(part - 1) * 13 + i] = dps_load_le16(slot + places[i]);
	walk->next_part--;
}

/* The name that the parts make, as UTF-8; NULL when they make none. */
static char *
join_parts(const DpsFatWalk *walk, gboolean *is_damaged, DpsFatFlaws *flaws)
{
	g_autoptr(GString) name = g_string_new(NULL);
	const guint n = walk->n_parts * 13;
	gboolean damaged = FALSE;

	/* A NUL ends it, unless it fills its parts to the last. */
	for (guint i = 0; i < n && walk->units[i] != 0; i++) {
		gunichar c = walk->units[i];

		if (c >= 0xD800 && c < 0xDC00 && i + 1 < n && walk->units[i + 1] >= 0xDC00 &&
		    walk->units[i + 1] < 0xE000) {
			c = 0x10000 + ((c - 0xD800) << 10) + (walk->units[i + 1] - 0xDC00U);
			i++;
		} else if ((c >= 0xD800 && c < 0xE000) || c == '/') {
			/* Half a character; or one that would make two names of this. */
			c = 0xFFFD;
			damaged = TRUE;
		}
		if (c < 0x20 || (c < 0x80 && strchr("\"*:<>?\\|", (int)c)) || damaged)
			*flaws |= DPS_FAT_FLAW_NAME;
		g_string_append_unichar(name, c);
	}

	if (name->len == 0 || g_str_equal(name->str, ".") || g_str_equal(name->str, "..")) {
		*flaws |= DPS_FAT_FLAW_LONG_NAME;
		return NULL;
	}
	*is_damaged = damaged;
	return g_string_free(g_steal_pointer(&name), FALSE);
}

/*
 * What is not ASCII in a short name depends on a code page that no one writes down: Linux takes 437
 * unless it is told otherwise, mtools 850.  The characters from 0x80 on where both are the same; 0
 * where they are not, and no two readers agree.
 */
/* clang-format off */
static const uint16_t code_page[128] = {
	0x00C7, 0x00FC, 0x00E9, 0x00E2, 0x00E4, 0x00E0, 0x00E5, 0x00E7,
	0x00EA, 0x00EB, 0x00E8, 0x00EF, 0x00EE, 0x00EC, 0x00C4, 0x00C5,
	0x00C9, 0x00E6, 0x00C6, 0x00F4, 0x00F6, 0x00F2, 0x00FB, 0x00F9,
	0x00FF, 0x00D6, 0x00DC, 0, 0x00A3, 0, 0, 0x0192,
	0x00E1, 0x00ED, 0x00F3, 0x00FA, 0x00F1, 0x00D1, 0x00AA, 0x00BA,
	0x00BF, 0, 0x00AC, 0x00BD, 0x00BC, 0x00A1, 0x00AB, 0x00BB,
	0x2591, 0x2592, 0x2593, 0x2502, 0x2524, 0, 0, 0,
	0, 0x2563, 0x2551, 0x2557, 0x255D, 0, 0, 0x2510,
	0x2514, 0x2534, 0x252C, 0x251C, 0x2500, 0x253C, 0, 0,
	0x255A, 0x2554, 0x2569, 0x2566, 0x2560, 0x2550, 0x256C, 0,
	0, 0, 0, 0, 0, 0, 0, 0,
	0, 0x2518, 0x250C, 0x2588, 0x2584, 0, 0, 0x2580,
	0, 0x00DF, 0, 0, 0, 0, 0x00B5, 0,
	0, 0, 0, 0, 0, 0, 0, 0,
	0, 0x00B1, 0, 0, 0, 0, 0x00F7, 0,
	0x00B0, 0, 0x00B7, 0, 0, 0x00B2, 0x25A0, 0x00A0,
};
/* clang-format on */

/* One character of a short name as it is shown; 0xFFFD when that is not known. */
static gunichar
decode_short(uint8_t byte, gboolean is_first)
{
	gunichar c = byte;

	/* 0x05 stands for 0xE5, which would mean that the slot is free. */
	if (is_first && byte == 0x05)
		byte = 0xE5;
	if (byte >= 0x80)
		c = code_page[byte - 0x80];
	/* A slash would make two names of this, and a dot perhaps "..". */
	return c == 0 || c == '/' || c == '.' || c == 0x05 ? 0xFFFD : c;
}

/*
 * A short name: eight characters, three of an ending, filled up with spaces.  Its letters are upper
 * case; two bits beside it say to show them in lower case (Windows NT and Linux).
 */
static void
read_short_name(const uint8_t *slot, DpsFatEntry *entry, GString *shown, DpsFatFlaws *flaws)
{
	char *to = entry->short_name;
	guint lengths[2] = { 8, 3 };

	for (guint part = 0, from = 0; part < 2; from += 8, part++) {
		while (lengths[part] > 0 && slot[from + lengths[part] - 1] == ' ')
			lengths[part]--;
		if (part == 1 && lengths[part] > 0) {
			*to++ = '.';
			g_string_append_c(shown, '.');
		}
		for (guint i = 0; i < lengths[part]; i++) {
			uint8_t byte = slot[from + i];
			gunichar c = decode_short(byte, from + i == 0);
			gboolean lower = slot[12] & (part == 0 ? 0x08 : 0x10);

			if ((byte < 0x20 && c == byte) || c == 0x7F ||
			    strchr("\"*+,./:;<=>?[\\]|", byte))
				*flaws |= DPS_FAT_FLAW_NAME;
			if (c == 0xFFFD)
				entry->is_name_damaged = TRUE;
			*to++ = (char)(c < 0x20 || c >= 0x7F ? '_' : c);
			g_string_append_unichar(shown, lower ? g_unichar_tolower(c) : c);
		}
	}
	*to = '\0';

	if (shown->len == 0) {
		g_string_append_unichar(shown, 0xFFFD);
		entry->is_name_damaged = TRUE;
		*flaws |= DPS_FAT_FLAW_NAME;
	}
}

static DpsFatEntry *
make_entry(DpsFatWalk *walk, const uint8_t *slot, DpsFatFlaws *flaws)
{
	DpsFatEntry *entry = g_new0(DpsFatEntry, 1);
	g_autoptr(GString) shown = g_string_new(NULL);
	gboolean dots = slot[0] == '.' && (slot[1] == ' ' || slot[1] == '.') &&
			memcmp(slot + 2, "         ", 9) == 0;

	*flaws = walk->is_broken ? DPS_FAT_FLAW_LONG_NAME : 0;
	entry->attributes = slot[11];

	/* In FAT12 and FAT16 the upper half of the number is something else's. */
	entry->cluster = dps_load_le16(slot + 26);
	if (dps_fat_get_geometry(walk->fat)->width == 32)
		entry->cluster |= (uint32_t)dps_load_le16(slot + 20) << 16;
	if (!(entry->attributes & DPS_FAT_ATTRIBUTE_DIRECTORY))
		entry->size = dps_load_le32(slot + 28);

	if (dots) {
		entry->name = g_strdup(slot[1] == '.' ? ".." : ".");
		g_strlcpy(entry->short_name, entry->name, sizeof(entry->short_name));
		return entry;
	}

	if (walk->n_parts > 0) {
		if (walk->next_part == 0 && walk->checksum == short_name_checksum(slot))
			entry->name = join_parts(walk, &entry->is_name_damaged, flaws);
		else
			*flaws |= DPS_FAT_FLAW_LONG_NAME;
		entry->is_long = entry->name != NULL;
	}

	if (entry->is_long) {
		gboolean is_damaged = entry->is_name_damaged;

		read_short_name(slot, entry, shown, flaws);
		entry->is_name_damaged = is_damaged;
	} else if (entry->attributes & DPS_FAT_ATTRIBUTE_VOLUME) {
		DpsFatFlaws of_label = 0; /* a label may have what a name may not */

		read_short_name(slot, entry, shown, &of_label);
		entry->name = g_string_free(g_steal_pointer(&shown), FALSE);
	} else {
		read_short_name(slot, entry, shown, flaws);
		if (slot[0] == ' ')
			*flaws |= DPS_FAT_FLAW_NAME;
		entry->name = g_string_free(g_steal_pointer(&shown), FALSE);
	}
	return entry;
}

gboolean
dps_fat_walk_next(DpsFatWalk *walk, DpsFatEntry **entry, DpsFatFlaws *flaws, GError **error)
{
	DpsFatFlaws found = 0;

	for (;;) {
		const uint8_t *slot;

		if (walk->at == walk->filled && !walk_fill(walk, error))
			return FALSE;
		if (walk->filled == 0)
			break;

		slot = walk->buffer + walk->at;
		if (slot[0] == 0) /* this slot and all behind it are free */
			break;
		walk->at += DPS_FAT_SLOT_SIZE;

		if (slot[0] == 0xE5) { /* deleted; parts in front of it are no one's */
			walk->is_broken |= walk->n_parts > 0;
			walk->n_parts = 0;
			continue;
		}
		/* No file may have these four bits: "Long Directory Entries", LDIR_Attr. */
		if ((slot[11] & 0x3F) == 0x0F) {
			walk_add_part(walk, slot);
			continue;
		}

		*entry = make_entry(walk, slot, &found);
		walk->n_parts = 0;
		walk->is_broken = FALSE;
		if (flaws)
			*flaws = found;
		return TRUE;
	}

	/* Stay at the end, also when asked again. */
	walk->at = walk->filled = 0;
	walk->left = 0;
	walk->cluster = DPS_FAT_CLUSTER_END;
	if (flaws)
		*flaws = walk->is_broken || walk->n_parts > 0 ? DPS_FAT_FLAW_LONG_NAME : 0;
	*entry = NULL;
	return TRUE;
}
