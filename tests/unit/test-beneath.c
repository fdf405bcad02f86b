/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fault.h"
#include "ground/error.h"
#include "made-up-system.h"
#include "target/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

/* Both ways in must agree: openat2(2), and the walk for kernels and sandboxes without it. */
static const struct {
	const char *name;
	int (*open)(int root, const char *path, int flags);
} ways[] = { { "openat2", dps_beneath_open }, { "walk", dps_beneath_walk } };

/* A tree in a directory with a secret beside it. */
typedef struct {
	char *directory, *path;
	int root;
} Tree;

static void
clear_tree(Tree *tree)
{
	close(tree->root);
	made_up_remove(tree->directory);
	g_free(tree->directory);
	g_free(tree->path);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Tree, clear_tree)

static Tree
make_tree(void)
{
	Tree tree = { .directory = g_dir_make_tmp("dps-beneath-XXXXXX", NULL) };
	g_autofree char *outside = g_build_filename(tree.directory, "secret", NULL);

	tree.path = g_build_filename(tree.directory, "tree", NULL);
	made_up_write(tree.directory, "secret", "outside");
	made_up_write(tree.path, "secret", "inside");
	made_up_write(tree.path, "etc/file", "file");
	made_up_write(tree.path, "usr/lib/deep/file", "deep");
	made_up_link("file", tree.path, "etc/link");
	made_up_link("/etc/link", tree.path, "etc/absolute");
	made_up_link("../usr/lib", tree.path, "etc/lib");
	made_up_link("../../../../../../../../secret", tree.path, "etc/up");
	made_up_link(outside, tree.path, "etc/out");
	made_up_link("loop-b", tree.path, "loop-a");
	made_up_link("loop-a", tree.path, "loop-b");
	made_up_link("/", tree.path, "root");
	made_up_link("nothing", tree.path, "dangling");
	tree.root = open(tree.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	g_assert_cmpint(tree.root, >=, 0);
	return tree;
}

/* clang-format off */
static const struct {
	const char *path;
	const char *contents; /* NULL: it cannot be opened, because of */
	int errnum;
} rows[] = {
	{ "etc/file", "file", 0 },
	{ "/etc/file", "file", 0 },
	{ "//etc//./file", "file", 0 },
	{ "etc/../etc/file", "file", 0 },
	{ "etc/link", "file", 0 },
	{ "etc/absolute", "file", 0 },
	{ "etc/lib/deep/file", "deep", 0 },
	{ "root/root/etc/file", "file", 0 },
	{ "root/etc/lib/../lib/deep/file", "deep", 0 },
	{ "etc/up", "inside", 0 },
	{ "../secret", "inside", 0 },
	{ "../../../../../../secret", "inside", 0 },
	{ "etc/../../secret", "inside", 0 },
	{ "etc/out", NULL, ENOENT },
	{ "dangling", NULL, ENOENT },
	{ "missing/file", NULL, ENOENT },
	{ "etc/file/x", NULL, ENOTDIR },
	{ "loop-a", NULL, ELOOP },
	{ "loop-a/x", NULL, ELOOP },
};
/* clang-format on */

static void
test_paths(void)
{
	g_auto(Tree) tree = make_tree();

	for (guint way = 0; way < G_N_ELEMENTS(ways); way++)
		for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
			char buffer[64] = "";
			int fd = ways[way].open(tree.root, rows[i].path, O_RDONLY);
			int errnum = errno;

			g_test_message("%s %s", ways[way].name, rows[i].path);
			if (!rows[i].contents) {
				g_assert_cmpint(fd, ==, -1);
				g_assert_cmpint(errnum, ==, rows[i].errnum);
				continue;
			}
			g_assert_cmpint(fd, >=, 0);
			g_assert_cmpint(read(fd, buffer, sizeof(buffer) - 1), >, 0);
			g_assert_cmpstr(buffer, ==, rows[i].contents);
			close(fd);
		}
}

static void
test_directories(void)
{
	g_auto(Tree) tree = make_tree();
	static const char *const roots[] = { "", "/", ".", "..", "root", "etc/..", "etc/../.." };

	for (guint way = 0; way < G_N_ELEMENTS(ways); way++)
		for (guint i = 0; i < G_N_ELEMENTS(roots); i++) {
			int fd = ways[way].open(tree.root, roots[i], O_RDONLY | O_DIRECTORY);
			struct stat is, should;

			g_test_message("%s '%s'", ways[way].name, roots[i]);
			g_assert_cmpint(fd, >=, 0);
			g_assert_cmpint(fstat(fd, &is), ==, 0);
			g_assert_cmpint(fstat(tree.root, &should), ==, 0);
			g_assert_cmpuint(is.st_ino, ==, should.st_ino);
			close(fd);
		}
}

/* Somebody else's directory, to be swapped for a link while we read. */
typedef struct {
	Tree *tree;
	gint stop; /* atomic */
} Swapper;

static gpointer
swap_forever(gpointer data)
{
	Swapper *swapper = data;
	g_autofree char *name = g_build_filename(swapper->tree->path, "usr", NULL);
	g_autofree char *aside = g_build_filename(swapper->tree->path, "usr.real", NULL);
	g_autofree char *bait = g_build_filename(swapper->tree->directory, "bait", NULL);

	while (!g_atomic_int_get(&swapper->stop)) {
		g_assert_cmpint(rename(name, aside), ==, 0);
		g_assert_cmpint(symlink(bait, name), ==, 0);
		g_assert_cmpint(unlink(name), ==, 0);
		g_assert_cmpint(symlink("../bait", name), ==, 0);
		g_assert_cmpint(unlink(name), ==, 0);
		g_assert_cmpint(rename(aside, name), ==, 0);
		g_usleep(1); /* valgrind lets one thread run at a time */
	}
	return NULL;
}

static void
test_directory_swapped_for_a_link(void)
{
	g_auto(Tree) tree = make_tree();
	Swapper swapper = { .tree = &tree };
	GThread *thread;
	guint n_read = 0, n_failed = 0;

	made_up_write(tree.directory, "bait/lib/deep/file", "bait");
	thread = g_thread_new("swapper", swap_forever, &swapper);
	for (guint i = 0; i < 40000 && (i < 4000 || n_read == 0 || n_failed == 0); i++) {
		int fd = ways[i % 2].open(tree.root, "usr/lib/deep/../deep/file", O_RDONLY);
		char buffer[8] = "";

		if (fd < 0) {
			n_failed++;
			continue;
		}
		n_read++;
		g_assert_cmpint(read(fd, buffer, sizeof(buffer) - 1), ==, 4);
		g_assert_cmpstr(buffer, ==, "deep"); /* and never "bait" */
		close(fd);
	}
	g_atomic_int_set(&swapper.stop, 1);
	g_thread_join(thread);
	g_test_message("%u read, %u failed", n_read, n_failed);
	g_assert_cmpuint(n_read, >, 0);
}

/* Between two steps of a walk: the directory that was opened stays the one that is read. */
static void
test_directory_swapped_between_two_steps(void)
{
	g_auto(Tree) tree = make_tree();
	g_autofree char *name = g_build_filename(tree.path, "usr/lib", NULL);
	g_autofree char *aside = g_build_filename(tree.path, "usr/lib.real", NULL);
	g_autofree char *bait = g_build_filename(tree.directory, "bait", NULL);

	made_up_write(tree.directory, "bait/deep/file", "bait");
	g_assert_cmpint(rename(name, aside), ==, 0);
	g_assert_cmpint(symlink(bait, name), ==, 0);
	for (guint way = 0; way < G_N_ELEMENTS(ways); way++) {
		g_assert_cmpint(ways[way].open(tree.root, "usr/lib/deep/file", O_RDONLY), ==, -1);
		g_assert_cmpint(errno, ==, ENOENT);
	}
}

static void
test_what_is_no_file(void)
{
	g_auto(Tree) tree = make_tree();
	g_autofree char *fifo = g_build_filename(tree.path, "fifo", NULL);
	g_autoptr(GError) error = NULL;
	static const char *const names[] = { "fifo", "etc", "root" };

	g_assert_cmpint(mkfifo(fifo, 0644), ==, 0);
	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		/* It is not opened for reading: that does something to some. */
		fault_set("openat2", 2, EIO);
		g_assert_cmpint(dps_beneath_open_file(tree.root, names[i]), ==, -1);
		g_assert_cmpint(errno, ==, EBADF);
		g_assert_false(fault_clear());
		g_assert_null(dps_beneath_read(tree.root, names[i], 100, names[i], NULL, &error));
		g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
		g_clear_error(&error);
	}
}

static void
test_sizes(void)
{
	g_auto(Tree) tree = make_tree();
	g_autofree char *huge = g_build_filename(tree.path, "huge", NULL);
	g_autofree char *text = NULL;
	g_autoptr(GError) error = NULL;
	size_t size = 0;

	/* Sparse: it takes no room, and must take no memory. */
	made_up_write(tree.path, "huge", "");
	g_assert_cmpint(truncate(huge, 1LL << 40), ==, 0);
	g_assert_null(dps_beneath_read(tree.root, "huge", 65536, "huge", &size, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
	g_assert_cmpuint(size, ==, 0); /* untouched on failure */
	g_clear_error(&error);

	g_assert_null(dps_beneath_read(tree.root, "etc/file", 3, "etc/file", &size, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
	g_clear_error(&error);
	text = dps_beneath_read(tree.root, "etc/file", 4, "etc/file", &size, &error);
	g_assert_no_error(error);
	g_assert_cmpuint(size, ==, 4);
	g_assert_cmpstr(text, ==, "file");
}

/* Links that grow as they are followed, and paths longer than any. */
static void
test_bombs(void)
{
	g_auto(Tree) tree = make_tree();
	g_autofree char *many = g_strnfill(3000, 'a');
	g_autofree char *long_path = NULL;

	for (guint i = 0; i < 3000; i += 2)
		many[i] = '/';
	long_path = g_strconcat(many, many, NULL);
	made_up_link("grow/x/x/x/x/x/x/x/x/x/x", tree.path, "grow");

	for (guint way = 0; way < G_N_ELEMENTS(ways); way++) {
		g_assert_cmpint(ways[way].open(tree.root, "grow", O_RDONLY), ==, -1);
		g_assert_cmpint(errno, ==, ELOOP);
		g_assert_cmpint(ways[way].open(tree.root, long_path, O_RDONLY), ==, -1);
		g_assert_true(errno == ENOENT || errno == ENAMETOOLONG);
	}
}

/* More steps than a path has room for, and links that make one of them. */
static void
test_too_long(void)
{
	g_auto(Tree) tree = make_tree();
	g_autoptr(GString) steps = g_string_new(NULL);
	g_autoptr(GString) round = g_string_new("longer");

	for (guint i = 0; i < PATH_MAX; i += 2)
		g_string_append(steps, "./");
	g_string_append(steps, "secret");
	for (guint way = 0; way < G_N_ELEMENTS(ways); way++) {
		g_assert_cmpint(ways[way].open(tree.root, steps->str, O_RDONLY), ==, -1);
		g_assert_cmpint(errno, ==, ENAMETOOLONG);
	}

	g_string_truncate(steps, 3000);
	made_up_link(steps->str, tree.path, "longer");
	for (guint i = 0; i < 400; i++)
		g_string_append(round, "/../");
	g_assert_cmpint(dps_beneath_walk(tree.root, round->str, O_RDONLY), ==, -1);
	g_assert_cmpint(errno, ==, ENAMETOOLONG);

	/* No file system of Linux has such links; one of tomorrow may. */
	fault_set("readlink", 1, FAULT_LIE);
	g_assert_cmpint(dps_beneath_walk(tree.root, "secret", O_RDONLY), ==, -1);
	g_assert_true(fault_clear());
	g_assert_cmpint(errno, ==, ENAMETOOLONG);
}

/* What kernels and sandboxes without openat2(2) say to it, and one that is busy. */
static void
test_openat2(void)
{
	/* clang-format off */
	static const struct {
		guint first, last;
		int errnum;
		gboolean opens;
	} cases[] = {
		{ 1, 1, ENOSYS, TRUE },
		{ 1, 1, EPERM, TRUE },
		{ 1, 1, EAGAIN, TRUE },
		{ 1, 1, EINTR, TRUE },
		{ 1, G_MAXUINT, EAGAIN, FALSE }, /* and an end of it */
		{ 1, 1, EACCES, FALSE },
	};
	/* clang-format on */
	g_auto(Tree) tree = make_tree();

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		char buffer[8] = "";
		int fd, errnum;

		if (cases[i].last == G_MAXUINT)
			fault_set_from("openat2", 1, cases[i].errnum);
		else
			fault_set("openat2", 1, cases[i].errnum);
		fd = dps_beneath_open(tree.root, "etc/absolute", O_RDONLY);
		errnum = errno;
		g_assert_true(fault_clear());
		if (!cases[i].opens) {
			g_assert_cmpint(fd, ==, -1);
			g_assert_cmpint(errnum, ==, cases[i].errnum);
			continue;
		}
		g_assert_cmpint(read(fd, buffer, sizeof(buffer) - 1), ==, 4);
		g_assert_cmpstr(buffer, ==, "file");
		close(fd);
	}
}

static void
remove_it(gpointer data)
{
	g_assert_cmpint(unlink(data), ==, 0);
}

static void
make_it_a_fifo(gpointer data)
{
	remove_it(data);
	g_assert_cmpint(mkfifo(data, 0644), ==, 0);
}

/* It is looked at what a file is, and somebody puts another thing there before it is opened. */
static void
test_file_swapped(void)
{
	/* clang-format off */
	static const struct {
		void (*happen)(gpointer data);
		int errnum;
	} cases[] = { { remove_it, ENOENT }, { make_it_a_fifo, EBADF } };
	/* clang-format on */
	g_auto(Tree) tree = make_tree();
	g_autofree char *path = g_build_filename(tree.path, "etc/file", NULL);

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		made_up_write(tree.path, "etc/file", "file");
		fault_set_event("openat2", 2, cases[i].happen, path);
		g_assert_cmpint(dps_beneath_open_file(tree.root, "etc/file"), ==, -1);
		g_assert_cmpint(errno, ==, cases[i].errnum);
		g_assert_true(fault_clear());
	}
}

static void
make_it_a_link(gpointer data)
{
	g_autofree char *aside = g_strconcat(data, ".real", NULL);

	g_assert_cmpint(rename(data, aside), ==, 0);
	g_assert_cmpint(symlink("/etc", data), ==, 0);
}

/* The walk has looked what a name is, and then it is a link that leads out. */
static void
test_walk_swapped_for_a_link(void)
{
	static const struct {
		const char *name, *call, *path;
		int flags, errnum;
	} cases[] = {
		{ "usr", "open usr", "usr/passwd", O_RDONLY, ENOTDIR },
		{ "usr/lib", "open lib", "usr/lib/passwd", O_RDONLY, ENOTDIR },
		{ "etc", "open etc", "etc", O_RDONLY, ELOOP },
		{ "etc/file", "open file", "etc/file", O_RDONLY, ELOOP },
	};

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_auto(Tree) tree = make_tree();
		g_autofree char *name = g_build_filename(tree.path, cases[i].name, NULL);

		fault_set_event(cases[i].call, 1, make_it_a_link, name);
		g_assert_cmpint(dps_beneath_walk(tree.root, cases[i].path, cases[i].flags), ==, -1);
		g_assert_cmpint(errno, ==, cases[i].errnum);
		g_assert_true(fault_clear());
	}
}

/* As many links as the kernel follows, and one more. */
static void
test_as_many_links_as_the_kernel(void)
{
	g_auto(Tree) tree = make_tree();

	for (guint i = 1; i <= 41; i++) {
		g_autofree char *name = g_strdup_printf("chain-%u", i);
		g_autofree char *to =
			i == 1 ? g_strdup("secret") : g_strdup_printf("chain-%u", i - 1);

		made_up_link(to, tree.path, name);
	}
	for (guint way = 0; way < G_N_ELEMENTS(ways); way++) {
		int fd = ways[way].open(tree.root, "chain-40", O_RDONLY);

		g_assert_cmpint(fd, >=, 0);
		close(fd);
		g_assert_cmpint(ways[way].open(tree.root, "chain-41", O_RDONLY), ==, -1);
		g_assert_cmpint(errno, ==, ELOOP);
	}
}

static void
test_unreadable(void)
{
	/* clang-format off */
	static const struct {
		const char *call;
		guint nth;
	} cases[] = {
		{ "openat2", 1 },
		{ "fstat", 1 },
		{ "openat2", 2 },
		{ "read", 1 },
		{ "read", 2 },
	};
	/* clang-format on */
	g_auto(Tree) tree = make_tree();

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GError) error = NULL;
		size_t size = 99;

		fault_set(cases[i].call, cases[i].nth, EIO);
		g_assert_null(
			dps_beneath_read(tree.root, "etc/file", 100, "its name", &size, &error));
		g_assert_true(fault_clear());
		g_assert_error(error, DPS_ERROR, DPS_ERROR_IO);
		g_assert_true(g_str_has_prefix(error->message, "its name: "));
		g_assert_cmpuint(size, ==, 99);
	}

	/* Which of the two looks failed is nobody's business. */
	fault_set("fstat", 2, EIO);
	g_assert_cmpint(dps_beneath_open_file(tree.root, "etc/file"), ==, -1);
	g_assert_true(fault_clear());
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/beneath/paths", test_paths);
	g_test_add_func("/beneath/directories", test_directories);
	g_test_add_func("/beneath/swapped-between-two-steps",
			test_directory_swapped_between_two_steps);
	g_test_add_func("/beneath/swapped-while-reading", test_directory_swapped_for_a_link);
	g_test_add_func("/beneath/what-is-no-file", test_what_is_no_file);
	g_test_add_func("/beneath/sizes", test_sizes);
	g_test_add_func("/beneath/bombs", test_bombs);
	g_test_add_func("/beneath/too-long", test_too_long);
	g_test_add_func("/beneath/openat2", test_openat2);
	g_test_add_func("/beneath/file-swapped", test_file_swapped);
	g_test_add_func("/beneath/walk-swapped-for-a-link", test_walk_swapped_for_a_link);
	g_test_add_func("/beneath/links", test_as_many_links_as_the_kernel);
	g_test_add_func("/beneath/unreadable", test_unreadable);
	return g_test_run();
}
