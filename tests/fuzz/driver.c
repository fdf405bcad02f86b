/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"
#include "mutate.h"

#include <string.h>

/*
 * Runs a fuzz target without an engine: every file of a directory as it is, and some hundred times
 * with bytes changed, cut and doubled, or as the target's own mutator has it.  What is changed
 * depends on the file alone, so that a failure comes again.
 *
 *	fuzz-X [--changes=N] DIRECTORY|FILE…	what an engine left behind can be given, too
 */
#define MAX_BYTES_AT_ONCE 8
#define MAX_GROWTH 64

/* Not every target has one. */
#pragma weak LLVMFuzzerCustomMutator

/* Numbers that lengths, counts and offsets go wrong at. */
static const uint8_t edges[] = { 0x00, 0x01, 0x7f, 0x80, 0xff, 0x20, 0x0a, 0x2b };

static GRand *source;

size_t
LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size)
{
	guint changes = (guint)g_rand_int_range(source, 1, MAX_BYTES_AT_ONCE);

	for (guint i = 0; i < changes && size > 0; i++) {
		size_t at = (size_t)g_rand_int_range(source, 0, (gint32)size), n;

		switch (g_rand_int_range(source, 0, 6)) {
		case 0:
			data[at] = (uint8_t)g_rand_int(source);
			break;
		case 1:
			data[at] ^= (uint8_t)(1 << g_rand_int_range(source, 0, 8));
			break;
		case 2:
			memset(data + at, edges[g_rand_int_range(source, 0, sizeof(edges))],
			       MIN(4, size - at));
			break;
		case 3:
			size = at;
			break;
		case 4:
			n = MIN(MIN(size, MAX_GROWTH), max_size - size);
			memcpy(data + size, data, n);
			size += n;
			break;
		default:
			data[at] = edges[g_rand_int_range(source, 0, sizeof(edges))];
			break;
		}
	}
	return size;
}

static void
run_changed(const uint8_t *seed, size_t size)
{
	const size_t room = size + MAX_BYTES_AT_ONCE * MAX_GROWTH;
	g_autofree uint8_t *changed = g_malloc(room);
	g_autofree uint8_t *exact = NULL;

	memcpy(changed, seed, size);
	size = LLVMFuzzerCustomMutator && size > 0
		       ? LLVMFuzzerCustomMutator(changed, size, room, g_rand_int(source))
		       : LLVMFuzzerMutate(changed, size, room);
	/* Of just this size, so that a sanitizer sees its edge. */
	exact = g_memdup2(changed, size);
	LLVMFuzzerTestOneInput(exact, size);
}

static guint
run_file(const char *path, guint changes)
{
	g_autofree char *bytes = NULL;
	g_autofree uint8_t *exact = NULL;
	g_autoptr(GError) error = NULL;
	g_autofree char *name = g_path_get_basename(path);
	gsize size;

	if (!g_file_get_contents(path, &bytes, &size, &error))
		g_error("%s", error->message);

	exact = g_memdup2(bytes, size);
	LLVMFuzzerTestOneInput(exact, size);

	source = g_rand_new_with_seed(g_str_hash(name));
	for (guint i = 0; i < changes; i++)
		run_changed((const uint8_t *)bytes, size);
	g_rand_free(source);
	return 1 + changes;
}

int
main(int argc, char **argv)
{
	guint inputs = 0, changes = 0;

	LLVMFuzzerTestOneInput(NULL, 0);
	for (int i = 1; i < argc; i++) {
		g_autoptr(GDir) dir = NULL;
		const char *name;

		if (g_str_has_prefix(argv[i], "--changes=")) {
			changes = (guint)g_ascii_strtoull(strchr(argv[i], '=') + 1, NULL, 10);
			continue;
		}
		if (!g_file_test(argv[i], G_FILE_TEST_IS_DIR)) {
			inputs += run_file(argv[i], 0);
			continue;
		}
		dir = g_dir_open(argv[i], 0, NULL);
		while (dir && (name = g_dir_read_name(dir))) {
			g_autofree char *path = g_build_filename(argv[i], name, NULL);

			inputs += run_file(path, changes);
		}
	}
	g_print("%u inputs\n", inputs);
	/* A corpus that is not found would pass for ever. */
	return argc > 1 && inputs == 0;
}
