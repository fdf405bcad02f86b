/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include <string.h>

/*
 * Runs a fuzz target without an engine: every file of a directory as it is, and some thousand
 * times with bytes changed, cut and doubled.  What is changed depends on the file alone, so that a
 * failure comes again.
 *
 *	fuzz-X DIRECTORY|FILE…		what an engine left behind can be given, too
 */
#define CHANGES_A_FILE 3000
#define MAX_BYTES_AT_ONCE 8

/* Numbers that lengths, counts and offsets go wrong at. */
static const uint8_t edges[] = { 0x00, 0x01, 0x7f, 0x80, 0xff, 0x20, 0x0a, 0x2b };

static void
run_changed(GRand *random, const uint8_t *seed, size_t size)
{
	g_autoptr(GByteArray) input = g_byte_array_new();
	guint changes = (guint)g_rand_int_range(random, 1, MAX_BYTES_AT_ONCE);
	g_autofree uint8_t *exact = NULL;

	g_byte_array_append(input, seed, (guint)size);
	for (guint i = 0; i < changes && input->len > 0; i++) {
		guint at = (guint)g_rand_int_range(random, 0, (gint32)input->len);

		switch (g_rand_int_range(random, 0, 6)) {
		case 0:
			input->data[at] = (uint8_t)g_rand_int(random);
			break;
		case 1:
			input->data[at] ^= (uint8_t)(1 << g_rand_int_range(random, 0, 8));
			break;
		case 2:
			memset(input->data + at, edges[g_rand_int_range(random, 0, sizeof(edges))],
			       MIN(4, input->len - at));
			break;
		case 3:
			g_byte_array_set_size(input, at);
			break;
		case 4:
			g_byte_array_append(input, seed, (guint)MIN(size, 64));
			break;
		default:
			input->data[at] = edges[g_rand_int_range(random, 0, sizeof(edges))];
			break;
		}
	}

	/* Of just this size, so that a sanitizer sees its edge. */
	exact = g_memdup2(input->data, input->len);
	LLVMFuzzerTestOneInput(exact, input->len);
}

static guint
run_file(const char *path, gboolean change)
{
	g_autofree char *bytes = NULL;
	g_autofree uint8_t *exact = NULL;
	g_autoptr(GError) error = NULL;
	g_autofree char *name = g_path_get_basename(path);
	GRand *random;
	gsize size;

	if (!g_file_get_contents(path, &bytes, &size, &error))
		g_error("%s", error->message);

	exact = g_memdup2(bytes, size);
	LLVMFuzzerTestOneInput(exact, size);
	if (!change)
		return 1;

	random = g_rand_new_with_seed(g_str_hash(name));
	for (guint i = 0; i < CHANGES_A_FILE; i++)
		run_changed(random, (const uint8_t *)bytes, size);
	g_rand_free(random);
	return 1 + CHANGES_A_FILE;
}

int
main(int argc, char **argv)
{
	guint inputs = 0;

	LLVMFuzzerTestOneInput(NULL, 0);
	for (int i = 1; i < argc; i++) {
		g_autoptr(GDir) dir = NULL;
		const char *name;

		if (!g_file_test(argv[i], G_FILE_TEST_IS_DIR)) {
			inputs += run_file(argv[i], FALSE);
			continue;
		}
		dir = g_dir_open(argv[i], 0, NULL);
		while (dir && (name = g_dir_read_name(dir))) {
			g_autofree char *path = g_build_filename(argv[i], name, NULL);

			inputs += run_file(path, TRUE);
		}
	}
	g_print("%u inputs\n", inputs);
	/* A corpus that is not found would pass for ever. */
	return argc > 1 && inputs == 0;
}
