/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/gpt-cutoff.h"
#include "ground/bytes.h"
#include "ground/types.h"

#include <string.h>

/*
 * Two GUIDs of which one was put in place of the other differ in nearly all of their 16 bytes
 * (those of the specification among each other in 13 and more), one in which something went bad in
 * few.
 */
#define MIN_REPLACED_BYTES 8

/* The attribute bits that a write of ours changes. */
#define OUR_FLAGS (DPS_FLAG_GROWFS | DPS_FLAG_READ_ONLY | DPS_FLAG_NO_AUTO)

gboolean
dps_gpt_backup_header_is_usable(const DpsGpt *gpt)
{
	const DpsGptCopy *a = &gpt->primary, *b = &gpt->backup;

	return b->header_good && b->entries_lba == gpt->backup_place.entries_lba &&
	       b->header_lba == gpt->backup_place.header_lba &&
	       a->first_usable_lba == b->first_usable_lba &&
	       a->last_usable_lba == b->last_usable_lba &&
	       dps_guid_equal(&a->disk_guid, &b->disk_guid) && a->n_entries == b->n_entries &&
	       a->entry_size == b->entry_size;
}

static const DpsType *
type_of(const uint8_t *raw)
{
	DpsGuid guid = dps_guid_from_gpt(raw + DPS_GPT_ENTRY_TYPE);

	return dps_type_lookup_guid(&guid);
}

static gboolean
is_used(const uint8_t *raw)
{
	DpsGuid guid = dps_guid_from_gpt(raw + DPS_GPT_ENTRY_TYPE);

	return !dps_guid_is_null(&guid);
}

static gboolean
is_same_or_replaced(const uint8_t *a, const uint8_t *b)
{
	guint n = 0;

	for (guint i = 0; i < sizeof(DpsGuid); i++)
		n += a[i] != b[i];
	return n == 0 || n >= MIN_REPLACED_BYTES;
}

/* Whether the name is one that `--names` gives: that of its type, or that with "-2" behind it. */
static gboolean
has_given_name(const uint8_t *raw)
{
	const DpsType *type = type_of(raw);
	const uint8_t *name = raw + DPS_GPT_ENTRY_NAME;

	for (gsize i = 0; type && i < strlen(type->name); i++)
		if (dps_load_le16(name + 2 * i) != (uint8_t)type->name[i])
			return FALSE;
	return type != NULL;
}

static gboolean
is_unnamed(const uint8_t *raw)
{
	static const uint8_t none[2 * DPS_GPT_NAME_UNITS];

	return memcmp(raw + DPS_GPT_ENTRY_NAME, none, sizeof(none)) == 0;
}

/* Whether one may have become the other by a write of ours. */
static gboolean
entry_is_of_ours(const uint8_t *a, const uint8_t *b, size_t size)
{
	uint64_t flags = dps_load_le64(a + DPS_GPT_ENTRY_ATTRIBUTES) ^
			 dps_load_le64(b + DPS_GPT_ENTRY_ATTRIBUTES);
	gboolean same_type =
		memcmp(a + DPS_GPT_ENTRY_TYPE, b + DPS_GPT_ENTRY_TYPE, sizeof(DpsGuid)) == 0;
	gboolean same_name = memcmp(a + DPS_GPT_ENTRY_NAME, b + DPS_GPT_ENTRY_NAME,
				    2 * (size_t)DPS_GPT_NAME_UNITS) == 0;

	return is_used(a) && is_used(b) &&
	       memcmp(a + DPS_GPT_ENTRY_FIRST_LBA, b + DPS_GPT_ENTRY_FIRST_LBA,
		      DPS_GPT_ENTRY_ATTRIBUTES - DPS_GPT_ENTRY_FIRST_LBA) == 0 &&
	       memcmp(a + DPS_GPT_ENTRY_MIN_SIZE, b + DPS_GPT_ENTRY_MIN_SIZE,
		      size - DPS_GPT_ENTRY_MIN_SIZE) == 0 &&
	       (flags & ~OUR_FLAGS) == 0 &&
	       is_same_or_replaced(a + DPS_GPT_ENTRY_TYPE, b + DPS_GPT_ENTRY_TYPE) &&
	       is_same_or_replaced(a + DPS_GPT_ENTRY_GUID, b + DPS_GPT_ENTRY_GUID) &&
	       (same_type || type_of(a) || type_of(b)) &&
	       (same_name || (is_unnamed(a) && has_given_name(b)) ||
		(is_unnamed(b) && has_given_name(a)));
}

static gboolean
is_among(const GArray *numbers, guint number)
{
	for (guint i = 0; numbers && i < numbers->len; i++)
		if (g_array_index(numbers, guint, i) == number)
			return TRUE;

	return numbers == NULL;
}

gboolean
dps_gpt_backup_is_cut_off(const DpsGpt *gpt, const GArray *numbers)
{
	const DpsGptCopy *primary = &gpt->primary, *backup = &gpt->backup;
	const size_t size = primary->entry_size;

	if (!primary->good || gpt->state != DPS_GPT_WHOLE ||
	    !dps_gpt_backup_header_is_usable(gpt) || !backup->entries ||
	    (backup->good && !gpt->copies_differ))
		return FALSE;

	for (guint i = 0; i < primary->n_entries; i++) {
		const uint8_t *a = primary->entries + i * size, *b = backup->entries + i * size;

		if (memcmp(a, b, size) != 0 &&
		    !(is_among(numbers, i + 1) && entry_is_of_ours(a, b, size)))
			return FALSE;
	}
	return TRUE;
}
