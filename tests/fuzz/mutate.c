/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mutate.h"
#include "ground/bytes.h"
#include "packed.h"

#include <string.h>

/*
 * Changes of inputs that keep them near to what readers take: a field of a structure that was
 * recognised gets a number that lengths, counts and places go wrong at, or another field's value.
 * Half of the time the engine changes bytes of its own choice.
 */

/* Bytes of the input, and where they lie on the image. */
typedef struct {
	uint64_t offset;
	uint8_t *bytes;
	size_t size;
	size_t header; /* where the run's header is in the input */
} Run;

typedef struct {
	guint64 random;
	GArray *runs; /* (element-type Run) */
} Input;

/* A field: where, in bytes, and its width. */
typedef struct {
	guint16 at;
	guint8 width;
} Field;

static const Field gpt_header[] = {
	{ 8, 4 },  { 12, 4 }, { 24, 8 }, { 32, 8 }, { 40, 8 },
	{ 48, 8 }, { 56, 8 }, { 72, 8 }, { 80, 4 }, { 84, 4 },
};
static const Field gpt_entry[] = {
	{ 0, 8 },  { 0, 4 },  { 8, 8 },	 { 16, 8 }, { 32, 8 },
	{ 40, 8 }, { 48, 8 }, { 54, 2 }, { 56, 2 }, { 126, 2 },
};
static const Field btrfs_super[] = {
	{ 32, 8 },  { 48, 8 },	{ 56, 8 },  { 72, 8 },	{ 80, 8 },  { 88, 8 },	{ 96, 8 },
	{ 112, 8 }, { 120, 8 }, { 128, 8 }, { 136, 8 }, { 144, 4 }, { 148, 4 }, { 156, 4 },
	{ 160, 4 }, { 164, 8 }, { 172, 8 }, { 180, 8 }, { 188, 8 }, { 196, 2 }, { 198, 1 },
	{ 199, 1 }, { 200, 1 }, { 201, 8 }, { 209, 8 }, { 811, 8 }, { 819, 1 }, { 820, 8 },
	{ 828, 8 }, { 836, 8 }, { 844, 8 }, { 852, 8 }, { 872, 2 }, { 876, 8 }, { 884, 8 },
};
static const Field btrfs_node[] = { { 32, 8 }, { 48, 8 }, { 80, 8 },
				    { 88, 8 }, { 96, 4 }, { 100, 1 } };
static const Field btrfs_item[] = { { 0, 8 },  { 8, 1 },  { 9, 8 }, { 17, 4 },
				    { 21, 4 }, { 17, 8 }, { 25, 8 } };
static const Field fat_boot[] = {
	{ 11, 2 }, { 13, 1 }, { 14, 2 }, { 16, 1 }, { 17, 2 }, { 19, 2 },
	{ 21, 1 }, { 22, 2 }, { 32, 4 }, { 36, 4 }, { 40, 2 }, { 42, 2 },
	{ 44, 4 }, { 48, 2 }, { 50, 2 }, { 65, 1 }, { 66, 1 }, { 37, 1 },
};
static const Field fat_slot[] = { { 0, 1 },  { 1, 2 },	{ 8, 2 },  { 11, 1 }, { 12, 1 }, { 13, 1 },
				  { 14, 2 }, { 20, 2 }, { 26, 2 }, { 28, 4 }, { 30, 2 } };
static const Field ext4_super[] = {
	{ 0, 4 },   { 4, 4 },	{ 8, 4 },   { 20, 4 },	{ 24, 4 },  { 28, 4 },	{ 32, 4 },
	{ 40, 4 },  { 56, 2 },	{ 58, 2 },  { 76, 4 },	{ 84, 4 },  { 88, 2 },	{ 92, 4 },
	{ 96, 4 },  { 100, 4 }, { 204, 1 }, { 206, 2 }, { 224, 4 }, { 252, 1 }, { 254, 2 },
	{ 260, 4 }, { 336, 4 }, { 340, 4 }, { 372, 1 }, { 375, 1 },
};
static const Field pe_file[] = { { 4, 2 },   { 6, 2 },	{ 20, 2 },  { 22, 2 },	{ 24, 2 },
				 { 40, 4 },  { 56, 4 }, { 60, 4 },  { 68, 2 },	{ 80, 4 },
				 { 84, 4 },  { 92, 2 }, { 132, 4 }, { 168, 4 }, { 172, 4 },
				 { 176, 4 }, { 180, 4 } };
static const Field pe_section[] = {
	{ 0, 8 }, { 8, 4 }, { 12, 4 }, { 16, 4 }, { 20, 4 }, { 36, 4 }
};
static const Field luks_swap_verity[] = { { 8, 4 },  { 12, 4 }, { 32, 8 }, { 64, 4 },
					  { 68, 4 }, { 72, 8 }, { 80, 2 } };

/*
 * What is recognised by its first bytes; and what often lies behind: elements of one size, of which
 * one is taken at random.
 */
static const struct {
	const char *magic;
	size_t magic_size, magic_at;
	const Field *fields;
	guint n_fields;
	size_t elements_at, element_size;
	guint n_elements;
	const Field *element;
	guint n_element_fields;
} structures[] = {
#define FIELDS(name) name, G_N_ELEMENTS(name)
	{ "EFI PART", 8, 0, FIELDS(gpt_header), 512, 128, 8, FIELDS(gpt_entry) },
	{ "_BHRfS_M", 8, 64, FIELDS(btrfs_super), 828, 32, 3, FIELDS(btrfs_item) },
	{ "FAT", 3, 54, FIELDS(fat_boot), 0, 0, 0, NULL, 0 },
	{ "FAT32", 5, 82, FIELDS(fat_boot), 0, 0, 0, NULL, 0 },
	{ "\x53\xEF", 2, 56, FIELDS(ext4_super), 1024, 32, 8, FIELDS(btrfs_node) },
	{ "PE\0\0", 4, 0, FIELDS(pe_file), 264, 40, 8, FIELDS(pe_section) },
	{ "verity\0\0", 8, 0, FIELDS(luks_swap_verity), 0, 0, 0, NULL, 0 },
	{ "\x0a\xf3", 2, 0, FIELDS(fat_slot), 12, 12, 4, FIELDS(fat_slot) }, /* ext4 extents */
#undef FIELDS
};

static guint64
next_random(Input *input)
{
	/* xorshift64*: small, and the same everywhere */
	input->random ^= input->random >> 12;
	input->random ^= input->random << 25;
	input->random ^= input->random >> 27;
	return input->random * UINT64_C(2685821657736338717);
}

static size_t
below(Input *input, size_t n)
{
	return n > 0 ? (size_t)(next_random(input) >> 11) % n : 0;
}

static guint64
load(const uint8_t *p, guint width)
{
	guint64 value = 0;

	for (guint i = 0; i < width; i++)
		value |= (guint64)p[i] << (8 * i);
	return value;
}

static void
store(uint8_t *p, guint width, guint64 value)
{
	for (guint i = 0; i < width; i++)
		p[i] = (uint8_t)(value >> (8 * i));
}

static const Run *
any_run(Input *input)
{
	return &g_array_index(input->runs, Run, below(input, input->runs->len));
}

/* What a field becomes: an edge, near to what it was, or what another one is. */
static guint64
any_value(Input *input, guint64 now, guint width)
{
	static const guint64 edges[] = { 0,   1,   2,	3,    4,     5,	    8,	    16,
					 255, 256, 512, 4096, 65535, 65536, 1 << 20 };
	const Run *run;

	switch (below(input, 8)) {
	case 0:
	case 1:
		return edges[below(input, G_N_ELEMENTS(edges))];
	case 2:
		return UINT64_MAX - below(input, 3);
	case 3:
		return (UINT64_C(1) << below(input, 64)) - below(input, 2);
	case 4:
		return now + below(input, 9) - 4;
	case 5:
		return now ^ UINT64_C(1) << below(input, 8 * width);
	case 6:
		return now << 1 >> (2 * below(input, 2));
	default:
		run = any_run(input);
		return run->size < width
			       ? now
			       : load(run->bytes + below(input, run->size - width + 1), width);
	}
}

static gboolean
set_field(Input *input, uint8_t *structure, size_t room, const Field *fields, guint n)
{
	const Field *field = &fields[below(input, n)];
	uint8_t *at = structure + field->at;

	if ((size_t)field->at + field->width > room)
		return FALSE;
	store(at, field->width, any_value(input, load(at, field->width), field->width));
	return TRUE;
}

/* A tree block of btrfs: the header of a random item, or a word of its data. */
static gboolean
change_tree_block(Input *input, const Run *run)
{
	enum { HEADER = 101, ITEM = 25 };
	/* Blocks begin at multiples of 4096, and a run may begin before. */
	size_t skip = (size_t)((4096 - run->offset % 4096) % 4096);
	uint8_t *block = run->bytes + skip;
	guint32 n;
	uint8_t *item;

	if (run->size < skip + HEADER + ITEM)
		return FALSE;
	n = MIN(dps_load_le32(block + 96), 64);
	if (n == 0 || below(input, 4) == 0)
		return set_field(input, block, run->size - skip, btrfs_node,
				 G_N_ELEMENTS(btrfs_node));
	item = block + HEADER + ITEM * below(input, n);
	if ((size_t)(item - run->bytes) + ITEM > run->size)
		return FALSE;
	return set_field(input, item, run->size - (size_t)(item - run->bytes), btrfs_item,
			 G_N_ELEMENTS(btrfs_item));
}

static gboolean
change_slot(Input *input, const Run *run)
{
	size_t skip = (size_t)((32 - run->offset % 32) % 32), n;

	if (run->size < skip + 32)
		return FALSE;
	n = (run->size - skip) / 32;
	return set_field(input, run->bytes + skip + 32 * below(input, n), 32, fat_slot,
			 G_N_ELEMENTS(fat_slot));
}

static gboolean
change_structure(Input *input, const Run *run)
{
	const guint kind = (guint)below(input, G_N_ELEMENTS(structures));
	const size_t magic_at = structures[kind].magic_at;
	const uint8_t *found = run->size < 64
				       ? NULL
				       : memmem(run->bytes, run->size, structures[kind].magic,
						structures[kind].magic_size);
	uint8_t *structure;
	size_t room, at;

	if (!found || (size_t)(found - run->bytes) < magic_at)
		return FALSE;
	structure = run->bytes + (found - run->bytes) - magic_at;
	room = run->size - (size_t)(structure - run->bytes);
	if (structures[kind].n_elements == 0 || below(input, 2) == 0)
		return set_field(input, structure, room, structures[kind].fields,
				 structures[kind].n_fields);
	at = structures[kind].elements_at +
	     structures[kind].element_size * below(input, structures[kind].n_elements);
	return at < room && set_field(input, structure + at, room - at, structures[kind].element,
				      structures[kind].n_element_fields);
}

/* Any word that is not all zero. */
static gboolean
change_word(Input *input, const Run *run)
{
	static const guint widths[] = { 1, 2, 4, 8 };
	const guint width = widths[below(input, G_N_ELEMENTS(widths))];

	for (guint tries = 0; tries < 8 && run->size >= width; tries++) {
		uint8_t *at = run->bytes + below(input, run->size - width + 1);

		if (below(input, 2) == 0)
			at -= (size_t)(at - run->bytes) % width;
		if (tries < 7 && load(at, width) == 0)
			continue;
		store(at, width, any_value(input, load(at, width), width));
		return TRUE;
	}
	return FALSE;
}

static gboolean
change_one(Input *input)
{
	for (guint tries = 0; tries < 16; tries++) {
		const Run *run = any_run(input);
		gboolean ok;

		switch (below(input, 5)) {
		case 0:
			ok = change_structure(input, run);
			break;
		case 1:
			ok = change_tree_block(input, run);
			break;
		case 2:
			ok = change_slot(input, run);
			break;
		default:
			ok = change_word(input, run);
			break;
		}
		if (ok)
			return TRUE;
	}
	return FALSE;
}

static void
find_runs(Input *input, uint8_t *data, size_t size, gboolean is_packed)
{
	size_t at = FUZZ_PACKED_HEADER;

	if (!is_packed) {
		g_array_append_vals(input->runs, &(Run){ 0, data, size, 0 }, 1);
		return;
	}
	while (at + FUZZ_PACKED_RUN < size) {
		Run run = { dps_load_le32(data + at), data + at + FUZZ_PACKED_RUN,
			    MIN(dps_load_le16(data + at + 4), size - at - FUZZ_PACKED_RUN), at };

		if (run.size > 0)
			g_array_append_val(input->runs, run);
		at += FUZZ_PACKED_RUN + run.size;
	}
}

/* Where a run lies: another's place, or a bit beside its own. */
static gboolean
move_run(Input *input, uint8_t *data)
{
	const Run *run = any_run(input);

	if (below(input, 2) == 0)
		dps_store_le32(data + run->header, (guint32)any_run(input)->offset);
	else
		dps_store_le32(data + run->header,
			       (guint32)any_value(input, run->offset, sizeof(guint32)));
	return TRUE;
}

static gboolean
copy_between_runs(Input *input)
{
	const Run *from = any_run(input), *to = any_run(input);
	size_t size = 1 + below(input, 64);

	size = MIN(size, MIN(from->size, to->size));

	memmove(to->bytes + below(input, to->size - size + 1),
		from->bytes + below(input, from->size - size + 1), size);
	return TRUE;
}

size_t
fuzz_mutate(uint8_t *data, size_t size, size_t max_size, guint seed, gboolean is_packed)
{
	g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(Run));
	Input input = { .random = UINT64_C(0x9E3779B97F4A7C15) * (seed | 1), .runs = runs };
	gboolean ok = FALSE;

	find_runs(&input, data, size, is_packed);
	if (runs->len == 0 || below(&input, 10) < 3)
		return LLVMFuzzerMutate(data, size, max_size);

	for (size_t n = 1 + below(&input, 4); n > 0; n--) {
		switch (below(&input, 12)) {
		case 0:
			ok |= is_packed && move_run(&input, data);
			break;
		case 1:
			ok |= copy_between_runs(&input);
			break;
		case 2:
			/* The flags, and what the target makes of its number. */
			if (is_packed) {
				data[below(&input, 8) == 0 ? 0 : 1] ^=
					(uint8_t)(1 << below(&input, 8));
				ok = TRUE;
			}
			break;
		case 3: {
			const Run *run = any_run(&input);

			/* In place: the size stays, so that what lies behind stays where it is. */
			ok |= LLVMFuzzerMutate(run->bytes, run->size, run->size) > 0;
			break;
		}
		default:
			ok |= change_one(&input);
			break;
		}
	}
	return ok ? size : LLVMFuzzerMutate(data, size, max_size);
}
