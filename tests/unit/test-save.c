/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fault.h"
#include "ground/error.h"
#include "made-up-system.h"
#include "target/save-dir.h"
#include "target/save.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define NAME "backup.json"
#define TEXT "what was there before\n"

/* An empty directory. */
typedef struct {
	char *path;
	int fd;
} Fixture;

static void
set_up(Fixture *self, gconstpointer data)
{
	self->path = g_dir_make_tmp("dps-save-XXXXXX", NULL);
	self->fd = open(self->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	g_assert_cmpint(self->fd, >=, 0);
}

static void
tear_down(Fixture *self, gconstpointer data)
{
	close(self->fd);
	made_up_remove(self->path);
	g_free(self->path);
}

static guint
count_names(Fixture *self)
{
	g_autoptr(GDir) dir = g_dir_open(self->path, 0, NULL);
	guint n = 0;

	while (g_dir_read_name(dir))
		n++;
	return n;
}

static void
assert_file(Fixture *self, const char *name, const char *wanted)
{
	g_autofree char *path = g_build_filename(self->path, name, NULL);
	g_autofree char *text = NULL;
	struct stat st;

	g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
	g_assert_cmpstr(text, ==, wanted);
	g_assert_cmpint(stat(path, &st), ==, 0);
	g_assert_cmpuint(st.st_mode & 07777, ==, 0600);
}

/* What may happen once, or from then on; and the file is there, or why it is not. */
/* clang-format off */
static const struct {
	const char *name;
	const char *call;
	guint nth;
	int how;
	int code; /* 0: the file is there */
} new_files[] = {
	{ "nothing", "open", 100, EIO, 0 },
	{ "no-files-without-a-name", "open", 1, EOPNOTSUPP, 0 },
	{ "no-links", "link", 1, EPERM, 0 },
	{ "no-proc", "link", 1, ENOENT, 0 },
	{ "write-in-parts", "write", 1, FAULT_SHORT, 0 },
	{ "write-and-a-signal", "write", 1, EINTR, 0 },
	{ "flush-and-a-signal", "flush", 1, EINTR, 0 },
	{ "full", "write", 1, ENOSPC, DPS_ERROR_NO_SPACE },
	{ "full-in-the-middle", "write", 1, FAULT_END, DPS_ERROR_IO },
	{ "broken", "flush", 1, EIO, DPS_ERROR_IO },
	{ "directory-that-is-not-flushed", "flush", 2, EIO, DPS_ERROR_IO },
};
/* clang-format on */

static void
test_new_file(Fixture *self, gconstpointer data)
{
	for (guint i = 0; i < G_N_ELEMENTS(new_files); i++) {
		g_autoptr(GError) error = NULL;
		gboolean done;

		g_test_message("%s", new_files[i].name);
		fault_set(new_files[i].call, new_files[i].nth, new_files[i].how);
		done = dps_save_new_file(self->fd, NAME, TEXT, strlen(TEXT), &error);
		g_assert_cmpint(fault_clear(), ==, new_files[i].nth < 100);
		if (new_files[i].code == 0) {
			g_assert_no_error(error);
			g_assert_true(done);
			assert_file(self, NAME, TEXT);
			dps_save_remove_file(self->fd, NAME);
		} else {
			g_assert_error(error, DPS_ERROR, new_files[i].code);
			g_assert_false(done);
		}
		g_assert_cmpuint(count_names(self), ==, 0);
	}
}

/* The same where a file has a name from the start, so that what is left must be taken away. */
static void
test_new_file_by_name(Fixture *self, gconstpointer data)
{
	/* clang-format off */
	static const struct {
		const char *call;
		guint nth;
		int how, code;
	} rows[] = {
		{ "open", 2, EACCES, DPS_ERROR_PERMISSION },
		{ "open", 2, ENOSPC, DPS_ERROR_NO_SPACE },
		{ "write", 1, ENOSPC, DPS_ERROR_NO_SPACE },
		{ "flush", 1, EIO, DPS_ERROR_IO },
		{ "flush", 2, EIO, DPS_ERROR_IO },
	};
	/* clang-format on */

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;

		fault_set("open", 1, EOPNOTSUPP);
		fault_set(rows[i].call, rows[i].nth, rows[i].how);
		g_assert_false(dps_save_new_file(self->fd, NAME, TEXT, strlen(TEXT), &error));
		g_assert_true(fault_clear());
		g_assert_error(error, DPS_ERROR, rows[i].code);
		g_assert_cmpuint(count_names(self), ==, 0);
	}
}

/* What is there stays, whatever it is and whichever way the file is made. */
static void
test_name_taken(Fixture *self, gconstpointer data)
{
	for (guint by_name = 0; by_name < 2; by_name++)
		for (guint is_link = 0; is_link < 2; is_link++) {
			g_autoptr(GError) error = NULL;

			if (is_link)
				made_up_link("/nonexistent/target", self->path, NAME);
			else
				made_up_write(self->path, NAME, "of somebody");
			if (by_name)
				fault_set("open", 1, EOPNOTSUPP);
			g_assert_false(
				dps_save_new_file(self->fd, NAME, TEXT, strlen(TEXT), &error));
			g_assert_true(fault_clear());
			g_assert_error(error, DPS_ERROR, DPS_ERROR_REFUSED);
			g_assert_nonnull(strstr(error->message, "choose another name"));
			g_assert_cmpuint(count_names(self), ==, 1);
			if (!is_link) {
				g_autofree char *path = g_build_filename(self->path, NAME, NULL);
				g_autofree char *text = NULL;

				g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
				g_assert_cmpstr(text, ==, "of somebody");
			}
			g_assert_cmpint(unlinkat(self->fd, NAME, 0), ==, 0);
		}
}

static void
assert_mode(Fixture *self, const char *name, mode_t mode)
{
	g_autofree char *path = g_build_filename(self->path, name, NULL);
	struct stat st;

	g_assert_cmpint(lstat(path, &st), ==, 0);
	g_assert_true(S_ISDIR(st.st_mode));
	g_assert_cmpuint(st.st_mode & 0777, ==, mode);
}

static void
test_make_directories(Fixture *self, gconstpointer data)
{
	g_autoptr(MadeUpSystem) machine = made_up_new();
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsTree) tree = NULL;
	mode_t mask = umask(022);
	int fd;

	tree = dps_tree_open_on(self->path, &machine->system, &error);
	g_assert_no_error(error);
	for (guint i = 0; i < 2; i++) { /* they are made, and then they are there */
		fd = dps_save_open_dir(tree, "/var/lib/libdps", TRUE, &error);
		g_assert_no_error(error);
		g_assert_cmpint(fd, >=, 0);
		close(fd);
		assert_mode(self, "var", 0755);
		assert_mode(self, "var/lib", 0755);
		assert_mode(self, "var/lib/libdps", 0700);
	}
	umask(mask);
}

static gboolean
has_openat2(void)
{
	return syscall(SYS_openat2, -1, "", NULL, 0) < 0 && errno != ENOSYS;
}

static void
test_directories_that_fail(Fixture *self, gconstpointer data)
{
	/* clang-format off */
	static const struct {
		const char *call;
		guint nth;
		int how, code;
	} rows[] = {
		{ "mkdir", 1, EROFS, DPS_ERROR_PERMISSION },
		{ "mkdir", 2, ENOSPC, DPS_ERROR_NO_SPACE },
		{ "flush", 1, EIO, DPS_ERROR_IO },
		{ "open", 1, EACCES, DPS_ERROR_PERMISSION },
	};
	/* clang-format on */
	g_autoptr(MadeUpSystem) machine = made_up_new();
	g_autoptr(DpsTree) tree = dps_tree_open_on(self->path, &machine->system, NULL);
	g_autoptr(GError) error = NULL;

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		/* Without openat2(2), as under valgrind, the first that is opened is "/". */
		const char *subject =
			strcmp(rows[i].call, "open") == 0 && !has_openat2() ? "/: " : "/var/lib";

		fault_set(rows[i].call, rows[i].nth, rows[i].how);
		g_assert_cmpint(dps_save_open_dir(tree, "/var/lib", TRUE, &error), ==, -1);
		g_assert_true(fault_clear());
		g_assert_error(error, DPS_ERROR, rows[i].code);
		g_assert_nonnull(strstr(error->message, subject));
		g_clear_error(&error);
		unlinkat(self->fd, "var/lib", AT_REMOVEDIR);
		unlinkat(self->fd, "var", AT_REMOVEDIR);
	}

	/* A link that leads nowhere is followed no further than the tree, and nothing is made. */
	made_up_link("/nonexistent/elsewhere", self->path, "var");
	g_assert_cmpint(dps_save_open_dir(tree, "/var/lib", TRUE, &error), ==, -1);
	g_assert_nonnull(error);
	g_clear_error(&error);
	g_assert_false(g_file_test("/nonexistent", G_FILE_TEST_EXISTS));
	g_assert_cmpint(unlinkat(self->fd, "var", 0), ==, 0);

	made_up_link("var", self->path, "var");
	g_assert_cmpint(dps_save_open_dir(tree, "/var/lib", TRUE, &error), ==, -1);
	g_assert_error(error, DPS_ERROR, DPS_ERROR_REFUSED);
}

static void
test_existing_directory(Fixture *self, gconstpointer data)
{
	g_autofree char *missing = g_build_filename(self->path, "missing", NULL);
	g_autoptr(GError) error = NULL;
	g_autoptr(MadeUpSystem) machine = made_up_new();
	g_autoptr(DpsTree) tree = dps_tree_open_on(self->path, &machine->system, NULL);
	int fd = dps_save_open_dir(NULL, self->path, FALSE, &error);

	g_assert_no_error(error);
	g_assert_cmpint(fd, >=, 0);
	close(fd);
	g_assert_cmpint(dps_save_open_dir(NULL, missing, FALSE, &error), ==, -1);
	g_assert_error(error, DPS_ERROR, DPS_ERROR_NOT_FOUND);
	g_clear_error(&error);
	g_assert_cmpint(dps_save_open_dir(tree, "/missing", FALSE, &error), ==, -1);
	g_assert_error(error, DPS_ERROR, DPS_ERROR_NOT_FOUND);
	g_assert_cmpuint(count_names(self), ==, 0);
}

static void
cut_short(gpointer data)
{
	g_assert_cmpint(truncate(data, 5), ==, 0);
}

static void
test_read(Fixture *self, gconstpointer data)
{
	g_autofree char *path = g_build_filename(self->path, NAME, NULL);
	g_autofree char *fifo = g_build_filename(self->path, "fifo", NULL);
	g_autofree char *missing = g_build_filename(self->path, "missing", NULL);
	g_autofree char *text = NULL, *shorter = NULL;
	g_autoptr(GError) error = NULL;
	/* clang-format off */
	const struct {
		const char *path;
		size_t max_size;
		const char *call;
		int how; /* 0: it needs no fault */
		int code;
	} rows[] = {
		{ missing, 100, 0, 0, DPS_ERROR_NOT_FOUND },
		{ fifo, 100, 0, 0, DPS_ERROR_CORRUPT },
		{ self->path, 100, 0, 0, DPS_ERROR_CORRUPT },
		{ path, strlen(TEXT) - 1, 0, 0, DPS_ERROR_CORRUPT },
		{ path, 100, "read", EIO, DPS_ERROR_IO },
	};
	/* clang-format on */
	gsize size = 99;

	made_up_write(self->path, NAME, TEXT);
	g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		if (rows[i].how)
			fault_set(rows[i].call, 1, rows[i].how);
		g_assert_null(dps_save_read_file(rows[i].path, rows[i].max_size, &size, &error));
		g_assert_true(fault_clear());
		g_assert_error(error, DPS_ERROR, rows[i].code);
		g_assert_true(g_str_has_prefix(error->message, rows[i].path));
		g_assert_cmpuint(size, ==, 99); /* untouched on failure */
		g_clear_error(&error);
	}

	fault_set("read", 1, FAULT_SHORT);
	text = dps_save_read_file(path, strlen(TEXT), &size, &error);
	g_assert_true(fault_clear());
	g_assert_no_error(error);
	g_assert_cmpstr(text, ==, TEXT);
	g_assert_cmpuint(size, ==, strlen(TEXT));

	/* Somebody makes it shorter meanwhile: what is left of it. */
	fault_set_event("read", 1, cut_short, path);
	shorter = dps_save_read_file(path, 100, &size, &error);
	g_assert_true(fault_clear());
	g_assert_no_error(error);
	g_assert_cmpstr(shorter, ==, "what ");
	g_assert_cmpuint(size, ==, 5);
}

static void
test_read_own(Fixture *self, gconstpointer data)
{
	g_autofree char *path = g_build_filename(self->path, NAME, NULL);
	g_autofree char *fifo = g_build_filename(self->path, "fifo", NULL);
	static const mode_t modes[] = { 0620, 0602, 0666 };
	g_autofree char *text = NULL;
	g_autoptr(GError) error = NULL;
	gsize size;

	made_up_write(self->path, NAME, TEXT);
	g_assert_cmpint(g_chmod(path, 0600), ==, 0);
	text = dps_save_read_own_file(self->fd, NAME, 100, &size, &error);
	g_assert_no_error(error);
	g_assert_cmpstr(text, ==, TEXT);

	for (guint i = 0; i < G_N_ELEMENTS(modes); i++) {
		g_assert_cmpint(g_chmod(path, modes[i]), ==, 0);
		g_assert_null(dps_save_read_own_file(self->fd, NAME, 100, &size, &error));
		g_assert_error(error, DPS_ERROR, DPS_ERROR_REFUSED);
		g_clear_error(&error);
	}
	g_assert_cmpint(g_chmod(path, 0600), ==, 0);
	if (geteuid() == 0) {
		g_assert_cmpint(chown(path, 65534, 65534), ==, 0);
		g_assert_null(dps_save_read_own_file(self->fd, NAME, 100, &size, &error));
		g_assert_error(error, DPS_ERROR, DPS_ERROR_REFUSED);
		g_clear_error(&error);
	} else {
		g_test_message("no file of another owner: only root can make one");
	}

	g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
	g_assert_null(dps_save_read_own_file(self->fd, "fifo", 100, &size, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_REFUSED);
	g_clear_error(&error);
	made_up_link(NAME, self->path, "link");
	g_assert_null(dps_save_read_own_file(self->fd, "link", 100, &size, &error));
	g_assert_nonnull(error);
	g_clear_error(&error);
	g_assert_null(dps_save_read_own_file(self->fd, "missing", 100, &size, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_NOT_FOUND);
}

/* A crash left a draft: ours is in nobody's way; what somebody else put there is not touched. */
static void
test_drafts(Fixture *self, gconstpointer data)
{
	g_autofree char *draft = g_build_filename(self->path, NAME ".new", NULL);
	g_autoptr(GError) error = NULL;

	g_assert_true(g_file_set_contents(draft, "half", 4, NULL));
	fault_set("open", 1, EOPNOTSUPP);
	g_assert_true(dps_save_new_file(self->fd, NAME, TEXT, strlen(TEXT), NULL));
	g_assert_true(fault_clear());
	assert_file(self, NAME, TEXT);
	g_assert_cmpuint(count_names(self), ==, 1);
	dps_save_remove_file(self->fd, NAME);

	g_assert_cmpint(symlink("elsewhere", draft), ==, 0);
	fault_set("open", 1, EOPNOTSUPP);
	g_assert_false(dps_save_new_file(self->fd, NAME, TEXT, strlen(TEXT), &error));
	g_assert_true(fault_clear());
	g_assert_error(error, DPS_ERROR, DPS_ERROR_PERMISSION);
	g_assert_true(g_file_test(draft, G_FILE_TEST_IS_SYMLINK));
	g_assert_cmpuint(count_names(self), ==, 1);
}

static guint
count_open(void)
{
	g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
	guint n = 0;

	while (dir && g_dir_read_name(dir))
		n++;
	return n;
}

/* NFS and others have no RENAME_NOREPLACE: a link does the same, and the draft goes. */
static void
test_no_rename(Fixture *self, gconstpointer data)
{
	static const struct {
		int rename, link; /* errno; 0: it works */
		int code;	  /* 0: the file is there */
	} rows[] = {
		{ EINVAL, 0, 0 },
		{ ENOSYS, 0, 0 },
		{ EINVAL, EPERM, DPS_ERROR_PERMISSION },
		{ ENOSYS, EEXIST, DPS_ERROR_REFUSED },
		{ EIO, 0, DPS_ERROR_IO },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		const guint before = count_open();
		gboolean done;

		fault_set("open", 1, EOPNOTSUPP);
		fault_set("rename", 1, rows[i].rename);
		if (rows[i].link)
			fault_set("link", 1, rows[i].link);
		done = dps_save_new_file(self->fd, NAME, TEXT, strlen(TEXT), &error);
		g_assert_true(fault_clear());
		g_assert_cmpuint(count_open(), ==, before);
		g_assert_cmpint(done, ==, rows[i].code == 0);
		if (done) {
			assert_file(self, NAME, TEXT);
			g_assert_cmpuint(count_names(self), ==, 1);
			dps_save_remove_file(self->fd, NAME);
		} else {
			g_assert_error(error, DPS_ERROR, rows[i].code);
		}
		g_assert_cmpuint(count_names(self), ==, 0);
	}
}

/* What has been put in the place of a file that was read a moment ago: neither waited for nor
 * followed. */
static void
test_keep_something_else(Fixture *self, gconstpointer data)
{
	g_autofree char *fifo = g_build_filename(self->path, "fifo", NULL);
	g_autoptr(GError) error = NULL;
	guint before;

	g_assert_true(dps_save_new_file(self->fd, NAME, TEXT, strlen(TEXT), NULL));
	made_up_link(NAME, self->path, "link");
	g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
	before = count_open();
	g_assert_false(dps_save_keep_file(self->fd, "link", &error));
	g_assert_true(g_str_has_prefix(error->message, "link: flush: "));
	g_clear_error(&error);
	alarm(60); /* a FIFO without a writer would be waited for */
	fault_set("flush fifo", 1, EINVAL);
	g_assert_false(dps_save_keep_file(self->fd, "fifo", &error));
	g_assert_true(fault_clear());
	alarm(0);
	g_assert_true(g_str_has_prefix(error->message, "fifo: flush: "));
	g_assert_true(dps_save_keep_file(self->fd, NAME, NULL));
	g_assert_cmpuint(count_open(), ==, before);
}

/* Both are flushed, file and directory; what is not there or cannot be flushed is said. */
static void
test_keep(Fixture *self, gconstpointer data)
{
	g_autoptr(GError) error = NULL;

	g_assert_false(dps_save_keep_file(self->fd, NAME, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_NOT_FOUND);
	g_assert_true(dps_save_new_file(self->fd, NAME, TEXT, strlen(TEXT), NULL));
	for (guint nth = 1; nth <= 3; nth++) {
		g_autoptr(GError) problem = NULL;

		fault_set("flush", nth, EIO);
		g_assert_cmpint(dps_save_keep_file(self->fd, NAME, &problem), ==, nth == 3);
		g_assert_cmpint(fault_clear(), ==, nth < 3);
		g_assert_cmpint(problem != NULL, ==, nth < 3);
		fault_set("flush", nth, EINTR);
		g_assert_true(dps_save_keep_file(self->fd, NAME, NULL));
		fault_clear();
	}
	assert_file(self, NAME, TEXT);
}

/* The last of the alphabet first, and not without end. */
static void
test_list(Fixture *self, gconstpointer data)
{
	g_autoptr(GPtrArray) names = NULL;
	guint before;

	for (guint i = 0; i < DPS_SAVE_LIST_MAX + 8; i++) {
		/* In no order. */
		g_autofree char *name =
			g_strdup_printf("a-%03u.json", i * 7 % (DPS_SAVE_LIST_MAX + 8));

		g_assert_true(dps_save_new_file(self->fd, name, TEXT, strlen(TEXT), NULL));
	}
	before = count_open();
	g_assert_true(dps_save_new_file(self->fd, "b-1.json", TEXT, strlen(TEXT), NULL));
	g_assert_true(dps_save_new_file(self->fd, "a-1.text", TEXT, strlen(TEXT), NULL));
	names = dps_save_list(self->fd, "a-", ".json");
	g_assert_cmpuint(names->len, ==, DPS_SAVE_LIST_MAX);
	for (guint i = 0; i < names->len; i++) {
		g_autofree char *name = g_strdup_printf("a-%03u.json", DPS_SAVE_LIST_MAX + 7 - i);

		g_assert_cmpstr(names->pdata[i], ==, name);
	}
	g_assert_cmpuint(count_open(), ==, before);

	/* A directory that cannot be read has no names. */
	for (guint i = 0; i < 2; i++) {
		g_autoptr(GPtrArray) none = NULL;

		fault_set(i == 0 ? "opendir" : "open", 1, ENOMEM);
		none = dps_save_list(self->fd, "a-", ".json");
		g_assert_true(fault_clear());
		g_assert_cmpuint(none->len, ==, 0);
		g_assert_cmpuint(count_open(), ==, before);
	}
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*test)(Fixture *self, gconstpointer data);
	} tests[] = {
		{ "/save/new-file", test_new_file },
		{ "/save/new-file-by-name", test_new_file_by_name },
		{ "/save/name-taken", test_name_taken },
		{ "/save/make-directories", test_make_directories },
		{ "/save/directories-that-fail", test_directories_that_fail },
		{ "/save/existing-directory", test_existing_directory },
		{ "/save/drafts", test_drafts },
		{ "/save/keep", test_keep },
		{ "/save/keep-something-else", test_keep_something_else },
		{ "/save/no-rename", test_no_rename },
		{ "/save/list", test_list },
		{ "/save/read", test_read },
		{ "/save/read-own", test_read_own },
	};

	g_test_init(&argc, &argv, NULL);
	for (guint i = 0; i < G_N_ELEMENTS(tests); i++)
		g_test_add(tests[i].name, Fixture, NULL, set_up, tests[i].test, tear_down);
	return g_test_run();
}
