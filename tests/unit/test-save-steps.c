/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dps/error.h>
#include "fault.h"
#include "target/save-dir.h"
#include "target/save.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT "what was\n"

typedef struct {
	char *path; /* of a directory that is empty */
	int dir;
} Fixture;

static void
set_up(Fixture *self, gconstpointer data)
{
	self->path = g_dir_make_tmp("dps-save-XXXXXX", NULL);
	self->dir = open(self->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	g_assert_cmpint(self->dir, >=, 0);
}

static void
tear_down(Fixture *self, gconstpointer data)
{
	g_autofree char *command = g_strdup_printf("rm -rf '%s'", self->path);

	close(self->dir);
	g_assert_true(g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL));
	g_free(self->path);
}

static char *
read_file(Fixture *self, const char *name)
{
	g_autofree char *path = g_build_filename(self->path, name, NULL);
	char *text = NULL;

	g_file_get_contents(path, &text, NULL, NULL);
	return text;
}

static void
put_file(Fixture *self, const char *name, const char *text, mode_t mode)
{
	g_autofree char *path = g_build_filename(self->path, name, NULL);

	g_assert_true(g_file_set_contents(path, text, -1, NULL));
	g_assert_cmpint(g_chmod(path, mode), ==, 0);
}

/* Whole and on the medium before it has a name, and the name on the medium before it is told. */
static void
test_order(Fixture *self, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *calls = NULL, *removing = NULL, *text = NULL, *path = NULL;
	struct stat st;

	fault_start_log();
	g_assert_true(dps_save_new_file(self->dir, "b.json", TEXT, strlen(TEXT), &error));
	calls = fault_stop_log();
	g_assert_cmpstr(calls, ==, "write new, flush new, link b.json, flush /");
	text = read_file(self, "b.json");
	g_assert_cmpstr(text, ==, TEXT);
	path = g_build_filename(self->path, "b.json", NULL);
	g_assert_cmpint(stat(path, &st), ==, 0);
	g_assert_cmpuint(st.st_mode & 07777, ==, 0600);

	fault_start_log();
	dps_save_remove_file(self->dir, "b.json");
	removing = fault_stop_log();
	g_assert_cmpstr(removing, ==, "unlink b.json, flush /");

	/* Where there can be no files without a name, it has one from the start. */
	fault_start_log();
	fault_set("open .", 1, EOPNOTSUPP);
	g_assert_true(dps_save_new_file(self->dir, "d.json", TEXT, strlen(TEXT), &error));
	g_clear_pointer(&removing, g_free);
	removing = fault_stop_log();
	g_assert_true(fault_clear());
	g_assert_cmpstr(removing, ==, "write d.json.new, flush d.json.new, flush /");
	g_clear_pointer(&calls, g_free);
	fault_start_log();
	fault_set("link", 1, ENOENT);
	g_assert_true(dps_save_new_file(self->dir, "c.json", TEXT, strlen(TEXT), &error));
	calls = fault_stop_log();
	g_assert_true(fault_clear());
	g_assert_cmpstr(calls, ==,
			"write new, flush new, link c.json, write c.json.new, flush c.json.new, "
			"flush /");
	g_free(text);
	text = read_file(self, "c.json");
	g_assert_cmpstr(text, ==, TEXT);
}

/* Whatever fails: it is told, and nothing of that name is left; or it does not matter. */
static void
test_faults(Fixture *self, gconstpointer data)
{
	static const struct {
		const char *call;
		guint nth;
		int how;
		gint code; /* 0: the file is there */
	} rows[] = {
		{ "write new", 1, ENOSPC, DPS_ERROR_NO_SPACE },
		{ "write new", 1, FAULT_END, DPS_ERROR_IO },
		{ "write new", 1, EINTR, 0 },
		{ "write new", 1, FAULT_SHORT, 0 },
		{ "flush new", 1, EIO, DPS_ERROR_IO },
		{ "flush new", 1, EINTR, 0 },
		{ "flush /", 1, EIO, DPS_ERROR_IO },
		{ "flush /", 1, EINTR, 0 },
		{ "link", 1, EEXIST, DPS_ERROR_REFUSED },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		g_autofree char *text = NULL;
		gboolean good;

		g_test_message("%s: %d", rows[i].call, rows[i].how);
		fault_set(rows[i].call, rows[i].nth, rows[i].how);
		good = dps_save_new_file(self->dir, "b.json", TEXT, strlen(TEXT), &error);
		g_assert_true(fault_clear());
		text = read_file(self, "b.json");
		g_assert_cmpint(good, ==, rows[i].code == 0);
		if (rows[i].code) {
			g_assert_error(error, DPS_ERROR, rows[i].code);
			g_assert_null(text);
		} else {
			g_assert_cmpstr(text, ==, TEXT);
			dps_save_remove_file(self->dir, "b.json");
		}
	}
}

/* What is put where a directory is about to be made: nothing is followed, nothing is written there.
 */
static void
put_link(void *data)
{
	Fixture *self = data;

	g_assert_cmpint(mkdirat(self->dir, "elsewhere", 0700), ==, 0);
	g_assert_cmpint(symlinkat("../elsewhere", self->dir, "var/lib"), ==, 0);
}

static void
put_file_there(void *data)
{
	Fixture *self = data;

	put_file(self, "var/lib", "", 0600);
}

static void
test_directories_swapped(Fixture *self, gconstpointer data)
{
	static void (*const functions[])(void *) = { put_link, put_file_there };
	static const char *const paths[] = { "/var/lib/libdps", "/var/lib" };
	g_autoptr(DpsTree) tree = dps_tree_open(self->path, NULL);

	for (guint i = 0; i < G_N_ELEMENTS(functions); i++)
		for (guint j = 0; j < G_N_ELEMENTS(paths); j++) {
			const char *path = paths[j];
			g_autofree char *inside =
				g_build_filename(self->path, "elsewhere/libdps", NULL);
			g_autoptr(GError) error = NULL;

			fault_set_event("mkdir lib", 1, functions[i], self);
			g_assert_cmpint(dps_save_open_dir(tree, path, TRUE, &error), ==, -1);
			g_assert_true(fault_clear());
			g_assert_nonnull(error);
			g_assert_false(g_file_test(inside, G_FILE_TEST_EXISTS));
			unlinkat(self->dir, "var/lib", 0);
			unlinkat(self->dir, "var", AT_REMOVEDIR);
			unlinkat(self->dir, "elsewhere", AT_REMOVEDIR);
		}
}

static void
test_no_directories(Fixture *self, gconstpointer data)
{
	g_autofree char *file = g_build_filename(self->path, "file", NULL);
	g_autoptr(DpsTree) tree = dps_tree_open(self->path, NULL);
	const struct {
		DpsTree *tree;
		const char *path;
		gboolean create;
	} rows[] = {
		{ NULL, file, FALSE },	      { tree, "/file", TRUE },
		{ tree, "/file", FALSE },     { tree, "/loop/lib", TRUE },
		{ tree, "/loop/lib", FALSE }, { NULL, "no-such-dir-here", FALSE },
	};

	put_file(self, "file", "", 0600);
	g_assert_cmpint(symlinkat("loop", self->dir, "loop"), ==, 0);
	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;

		g_test_message("%u: %s", i, rows[i].path);
		g_assert_cmpint(
			dps_save_open_dir(rows[i].tree, rows[i].path, rows[i].create, &error), ==,
			-1);
		g_assert_nonnull(error);
	}
}

/* The same of a file that has a name while it is written: it loses it again. */
static void
test_named_faults(Fixture *self, gconstpointer data)
{
	static const char *calls[] = { "write b.json.new", "flush b.json.new" };

	for (guint i = 0; i < G_N_ELEMENTS(calls); i++) {
		g_autoptr(GError) error = NULL;
		g_autofree char *text = NULL;

		fault_set("link", 1, EXDEV);
		fault_set(calls[i], 1, EIO);
		g_assert_false(dps_save_new_file(self->dir, "b.json", TEXT, strlen(TEXT), &error));
		g_assert_true(fault_clear());
		g_assert_error(error, DPS_ERROR, DPS_ERROR_IO);
		text = read_file(self, "b.json");
		g_assert_null(text);
	}
}

static void
link_draft(Fixture *self)
{
	put_file(self, "elsewhere", "another's\n", 0600);
	g_assert_cmpint(linkat(self->dir, "elsewhere", self->dir, "b.json.new", 0), ==, 0);
}

static void
symlink_draft(Fixture *self)
{
	put_file(self, "elsewhere", "another's\n", 0600);
	g_assert_cmpint(symlinkat("elsewhere", self->dir, "b.json.new"), ==, 0);
}

static void
give_draft(Fixture *self)
{
	put_file(self, "b.json.new", "another's\n", 0600);
	g_assert_cmpint(fchownat(self->dir, "b.json.new", 65534, 65534, 0), ==, 0);
}

static void
leave_draft(Fixture *self)
{
	put_file(self, "b.json.new", "half of", 0600);
}

/* What is in the draft's place: ours of a run that was cut off goes, anything else stays. */
static void
test_old_draft(Fixture *self, gconstpointer data)
{
	static const struct {
		void (*put)(Fixture *self);
		gboolean good;
	} rows[] = {
		{ leave_draft, TRUE },
		{ link_draft, FALSE },
		{ symlink_draft, FALSE },
		{ give_draft, FALSE },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		g_autofree char *text = NULL;
		gboolean good;

		if (rows[i].put == give_draft && geteuid() != 0) {
			g_test_skip("SKIP: a file of somebody else takes root");
			break;
		}
		rows[i].put(self);
		fault_set("open .", 1, EOPNOTSUPP);
		good = dps_save_new_file(self->dir, "b.json", TEXT, strlen(TEXT), &error);
		g_assert_true(fault_clear());
		g_assert_cmpint(good, ==, rows[i].good);
		g_assert_cmpint(faccessat(self->dir, "b.json.new", F_OK, AT_SYMLINK_NOFOLLOW) == 0,
				==, !good);
		text = read_file(self, "b.json");
		g_assert_cmpstr(text, ==, good ? TEXT : NULL);
		unlinkat(self->dir, "b.json", 0);
		unlinkat(self->dir, "b.json.new", 0);
	}
}

/* A name that is taken, by whatever: the other file stays as it is. */
static void
test_taken(Fixture *self, gconstpointer data)
{
	static const guint ways[] = { 0, 1 };

	for (guint i = 0; i < G_N_ELEMENTS(ways); i++) {
		g_autoptr(GError) error = NULL, link_error = NULL;
		g_autofree char *text = NULL, *through = NULL;

		put_file(self, "b.json", "another's\n", 0600);
		unlinkat(self->dir, "link.json", 0);
		g_assert_cmpint(symlinkat("nowhere", self->dir, "link.json"), ==, 0);
		if (ways[i])
			fault_set_from("link", 1, EPERM);
		g_assert_false(dps_save_new_file(self->dir, "b.json", TEXT, strlen(TEXT), &error));
		g_assert_false(
			dps_save_new_file(self->dir, "link.json", TEXT, strlen(TEXT), &link_error));
		g_assert_true(fault_clear());
		g_assert_error(error, DPS_ERROR, DPS_ERROR_REFUSED);
		g_assert_error(link_error, DPS_ERROR, DPS_ERROR_REFUSED);
		text = read_file(self, "b.json");
		g_assert_cmpstr(text, ==, "another's\n");
		through = read_file(self, "nowhere");
		g_assert_null(through);
	}
}

/* Each directory is on the medium in the one above it before something is put into it. */
static void
test_directories(Fixture *self, gconstpointer data)
{
	static const struct {
		const char *call;
		guint nth;
		int how;
		gint code;
	} rows[] = {
		{ "mkdir", 1, EACCES, DPS_ERROR_PERMISSION },
		{ "mkdir", 2, ENOSPC, DPS_ERROR_NO_SPACE },
		{ "flush", 1, EIO, DPS_ERROR_IO },
		{ "flush", 3, EIO, DPS_ERROR_IO },
	};
	static const char *path = "/var//lib/libdps";
	g_autoptr(DpsTree) tree = dps_tree_open(self->path, NULL);
	g_autofree char *calls = NULL, *again = NULL, *in_tree = NULL;
	g_autofree char *file = g_build_filename(self->path, "file", NULL);
	g_autoptr(GError) error = NULL;
	int fd;

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		fault_set(rows[i].call, rows[i].nth, rows[i].how);
		g_assert_cmpint(dps_save_open_dir(tree, path, TRUE, &error), ==, -1);
		g_assert_true(fault_clear());
		g_assert_error(error, DPS_ERROR, rows[i].code);
		g_clear_error(&error);
		for (const char *const *name =
			     (const char *const[]){ "var/lib/libdps", "var/lib", "var", NULL };
		     *name; name++)
			unlinkat(self->dir, *name, AT_REMOVEDIR);
	}

	fault_start_log();
	fd = dps_save_open_dir(tree, path, TRUE, &error);
	calls = fault_stop_log();
	g_assert_no_error(error);
	g_assert_cmpint(fd, >=, 0);
	g_assert_true(dps_save_new_file(fd, "here", "", 0, NULL));
	close(fd);
	g_assert_cmpint(faccessat(self->dir, "var/lib/libdps/here", F_OK, 0), ==, 0);
	g_assert_cmpstr(calls, ==,
			"mkdir var 0755, flush /, mkdir lib 0755, flush /, mkdir libdps 0700, "
			"flush /");

	fault_start_log();
	fd = dps_save_open_dir(tree, "/var/lib/libdps", TRUE, &error);
	again = fault_stop_log();
	g_assert_no_error(error);
	close(fd);
	g_assert_cmpstr(again, ==, "");
	fd = dps_save_open_dir(tree, "/var/lib/libdps", FALSE, &error);
	g_assert_no_error(error);
	close(fd);

	fault_start_log();
	fd = dps_save_open_dir(tree, "/srv//backup//", TRUE, &error);
	in_tree = fault_stop_log();
	g_assert_no_error(error);
	close(fd);
	g_assert_cmpstr(in_tree, ==, "mkdir srv 0755, flush /, mkdir backup 0700, flush /");
	g_assert_cmpint(faccessat(self->dir, "srv/backup", F_OK, 0), ==, 0);

	/* Nothing is made unasked, and nothing below what is no directory. */
	g_assert_cmpint(dps_save_open_dir(NULL, file, FALSE, &error), ==, -1);
	g_assert_error(error, DPS_ERROR, DPS_ERROR_NOT_FOUND);
	g_clear_error(&error);
	g_assert_cmpint(dps_save_open_dir(tree, "/opt", FALSE, &error), ==, -1);
	g_assert_error(error, DPS_ERROR, DPS_ERROR_NOT_FOUND);
	g_clear_error(&error);
	put_file(self, "file", "", 0600);
	g_assert_cmpint(dps_save_open_dir(tree, "/file/lib", TRUE, &error), ==, -1);
	g_assert_nonnull(error);
}

static void
test_read(Fixture *self, gconstpointer data)
{
	static const struct {
		const char *call;
		int how;
		gint code;
		const char *text;
	} rows[] = {
		{ "none", 0, 0, TEXT },
		{ "read", EIO, DPS_ERROR_IO, NULL },
		{ "read", EINTR, 0, TEXT },
		{ "read", FAULT_SHORT, 0, TEXT },
		{ "read", FAULT_END, 0, "" }, /* it was cut short meanwhile */
		{ "fstat", EIO, DPS_ERROR_IO, NULL },
	};
	g_autofree char *path = g_build_filename(self->path, "b.json", NULL);
	g_autofree char *fifo = g_build_filename(self->path, "fifo", NULL);
	g_autofree char *text = NULL;
	g_autoptr(GError) error = NULL;
	gsize size;

	put_file(self, "b.json", TEXT, 0600);
	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *found = NULL;

		g_test_message("%s: %d", rows[i].call, rows[i].how);
		fault_set(rows[i].call, 1, rows[i].how);
		found = dps_save_read_file(path, 100, &size, &error);
		g_assert_cmpint(fault_clear(), ==, i > 0);
		g_assert_cmpstr(found, ==, rows[i].text);
		if (rows[i].code) {
			g_assert_error(error, DPS_ERROR, rows[i].code);
			g_clear_error(&error);
		} else {
			g_assert_cmpuint(size, ==, strlen(rows[i].text));
		}
	}

	text = dps_save_read_file(path, strlen(TEXT), &size, &error);
	g_assert_cmpstr(text, ==, TEXT);
	g_assert_null(dps_save_read_file(path, strlen(TEXT) - 1, &size, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
	g_clear_error(&error);
	g_assert_null(dps_save_read_file(self->path, 100, &size, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
	g_clear_error(&error);
	g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
	g_assert_null(dps_save_read_file(fifo, 100, &size, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
	g_clear_error(&error);
	g_unlink(path);
	g_assert_null(dps_save_read_file(path, 100, &size, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_NOT_FOUND);
}

/* Only what nobody else could have put there. */
static void
test_read_own(Fixture *self, gconstpointer data)
{
	static const struct {
		const char *name;
		mode_t mode;
		gboolean good;
	} rows[] = {
		{ "mine", 0600, TRUE },
		{ "seen-by-all", 0644, TRUE },
		{ "group", 0620, FALSE },
		{ "all", 0602, FALSE },
	};
	g_autoptr(GError) error = NULL;
	gsize size;

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *text = NULL;

		put_file(self, rows[i].name, TEXT, rows[i].mode);
		text = dps_save_read_own_file(self->dir, rows[i].name, 100, &size, &error);
		g_assert_cmpint(text != NULL, ==, rows[i].good);
		if (!rows[i].good)
			g_assert_error(error, DPS_ERROR, DPS_ERROR_REFUSED);
		g_clear_error(&error);
	}

	g_assert_cmpint(symlinkat("mine", self->dir, "link"), ==, 0);
	g_assert_null(dps_save_read_own_file(self->dir, "link", 100, &size, &error));
	g_assert_nonnull(error);
	g_clear_error(&error);
	g_assert_cmpint(mkfifoat(self->dir, "fifo", 0600), ==, 0);
	g_assert_null(dps_save_read_own_file(self->dir, "fifo", 100, &size, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_REFUSED);
	g_clear_error(&error);
	g_assert_null(dps_save_read_own_file(self->dir, "none", 100, &size, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_NOT_FOUND);
	g_clear_error(&error);
	g_assert_null(dps_save_read_own_file(self->dir, "mine", 1, &size, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
	g_clear_error(&error);
	fault_set("fstat", 1, EIO);
	g_assert_null(dps_save_read_own_file(self->dir, "mine", 100, &size, &error));
	g_assert_true(fault_clear());
	g_assert_error(error, DPS_ERROR, DPS_ERROR_REFUSED);
	g_clear_error(&error);

	if (geteuid() != 0) {
		g_test_skip("SKIP: a file of somebody else takes root");
		return;
	}
	g_assert_cmpint(fchownat(self->dir, "mine", 65534, 65534, 0), ==, 0);
	g_assert_null(dps_save_read_own_file(self->dir, "mine", 100, &size, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_REFUSED);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add(name, Fixture, NULL, set_up, function, tear_down)
	ADD("/save-steps/order", test_order);
	ADD("/save-steps/faults", test_faults);
	ADD("/save-steps/named-faults", test_named_faults);
	ADD("/save-steps/old-draft", test_old_draft);
	ADD("/save-steps/taken", test_taken);
	ADD("/save-steps/directories", test_directories);
	ADD("/save-steps/directories-swapped", test_directories_swapped);
	ADD("/save-steps/no-directories", test_no_directories);
	ADD("/save-steps/read", test_read);
	ADD("/save-steps/read-own", test_read_own);
#undef ADD
	return g_test_run();
}
