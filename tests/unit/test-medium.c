/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fault.h"
#include "ground/error.h"
#include "medium-fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static void
test_write_and_put_back(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) before = get_bytes(fixture);
	g_autoptr(GBytes) after = NULL, again = NULL;
	g_autoptr(GPtrArray) edits = dps_edit_list_new();
	g_autoptr(DpsMedium) medium = dps_medium_open(fixture->path, DPS_OPEN_WRITABLE, &error);
	const uint8_t *bytes;
	guint done = 99;

	g_assert_no_error(error);
	g_assert_cmpuint(dps_medium_get_size(medium), ==, SIZE);
	g_assert_false(dps_medium_is_device(medium));

	add_edit(edits, 1000, 512, 0, 0xa1);
	add_edit(edits, 4000, 200, 0, 0xa2);
	add_edit(edits, 1100, 10, 0xa1, 0xa3); /* again, over the first */
	g_assert_true(dps_medium_write_edits(medium, 100, edits, &done, &error) == FALSE);
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CHANGED); /* 100 bytes further others are */
	g_assert_cmpuint(done, ==, 0);
	g_clear_error(&error);

	g_assert_true(dps_medium_write_edits(medium, 0, edits, &done, &error));
	g_assert_no_error(error);
	g_assert_cmpuint(done, ==, 3);
	after = get_bytes(fixture);
	bytes = g_bytes_get_data(after, NULL);
	g_assert_cmphex(bytes[999], ==, 999 % 251);
	g_assert_cmphex(bytes[1000], ==, 0xa1);
	g_assert_cmphex(bytes[1100], ==, 0xa3);
	g_assert_cmphex(bytes[1110], ==, 0xa1);
	g_assert_cmphex(bytes[4199], ==, 0xa2);

	g_assert_true(dps_medium_put_back(medium, 0, edits, done, &error));
	g_assert_no_error(error);
	again = get_bytes(fixture);
	g_assert_true(g_bytes_equal(again, before));
}

/* The last edit was cut off in the middle: put back too; and what is somebody else's is not. */
static void
test_put_back_partly(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) before = get_bytes(fixture);
	g_autoptr(GBytes) after = NULL;
	g_autoptr(GPtrArray) edits = dps_edit_list_new();
	g_autoptr(DpsMedium) medium = dps_medium_open(fixture->path, DPS_OPEN_WRITABLE, NULL);
	int fd = dps_medium_get_fd(medium);
	uint8_t torn[100], foreign = 0x55;

	memset(torn, 0xa2, sizeof(torn));
	add_edit(edits, 1024, 512, 0, 0xa1);
	add_edit(edits, 2048, 512, 0, 0xa2);
	add_edit(edits, 3072, 512, 0, 0xa3);
	memset(torn, 0xa2, sizeof(torn));
	for (guint i = 0; i < 512; i++)
		g_assert_cmpint(pwrite(fd, &(uint8_t){ 0xa1 }, 1, 1024 + (off_t)i), ==, 1);
	g_assert_cmpint(pwrite(fd, torn, sizeof(torn), 2048), ==, sizeof(torn));

	g_assert_true(dps_medium_put_back(medium, 0, edits, 1, &error));
	g_assert_no_error(error);
	after = get_bytes(fixture);
	g_assert_true(g_bytes_equal(before, after));

	g_assert_cmpint(pwrite(fd, &foreign, 1, 1030), ==, 1);
	g_assert_false(dps_medium_put_back(medium, 0, edits, 1, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CHANGED);
}

static void
test_changed(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) before = get_bytes(fixture);
	g_autoptr(GBytes) after = NULL;
	g_autoptr(GPtrArray) edits = dps_edit_list_new();
	g_autoptr(DpsMedium) medium = dps_medium_open(fixture->path, DPS_OPEN_WRITABLE, NULL);

	add_edit(edits, 0, 512, 0, 0xa1);
	add_edit(edits, 512, 512, 0x77, 0xa2); /* was never 0x77: nothing at all is written */
	g_assert_false(dps_medium_write_edits(medium, 0, edits, NULL, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CHANGED);
	after = get_bytes(fixture);
	g_assert_true(g_bytes_equal(before, after));

	/* Outside of the medium. */
	g_clear_error(&error);
	g_ptr_array_set_size(edits, 0);
	add_edit(edits, SIZE - 1, 2, 0, 0xa1);
	g_assert_false(dps_medium_write_edits(medium, 0, edits, NULL, &error));
	g_assert_nonnull(error);
}

static void
test_read_only(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) edits = dps_edit_list_new();
	g_autoptr(DpsMedium) medium = dps_medium_open(fixture->path, DPS_OPEN_READ_ONLY, NULL);

	g_assert_true(dps_medium_write_edits(medium, 0, edits, NULL, &error)); /* nothing to do */
	add_edit(edits, 0, 512, 0, 0xa1);
	g_assert_false(dps_medium_write_edits(medium, 0, edits, NULL, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_PERMISSION);
}

static void
test_lock(Fixture *fixture, gconstpointer data)
{
	static const struct {
		const char *environment;
		DpsOpenFlags flags;
		gboolean opens;
	} rows[] = {
		{ NULL, DPS_OPEN_LOCK_NONBLOCK, FALSE },
		{ NULL, DPS_OPEN_NO_LOCK, TRUE },
		{ "nonblock", 0, FALSE },
		{ "no", 0, TRUE },
		{ "0", 0, TRUE },
		{ "no", DPS_OPEN_LOCK_NONBLOCK, FALSE }, /* what is asked for is stronger */
	};
	int other = open(fixture->path, O_RDONLY | O_CLOEXEC);
	g_autoptr(DpsMedium) reader = NULL, writer = NULL;
	g_autoptr(GError) error = NULL;
	g_autofree char *me = NULL;

	g_assert_cmpint(flock(other, LOCK_EX), ==, 0);
	me = g_strdup_printf("(process %d)", getpid());
	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) refused = NULL;
		g_autoptr(DpsMedium) medium = NULL;

		if (rows[i].environment)
			g_setenv("LOCK_BLOCK_DEVICE", rows[i].environment, TRUE);
		else
			g_unsetenv("LOCK_BLOCK_DEVICE");
		medium =
			dps_medium_open(fixture->path, DPS_OPEN_WRITABLE | rows[i].flags, &refused);
		g_assert_cmpint(medium != NULL, ==, rows[i].opens);
		if (medium)
			continue;
		g_assert_error(refused, DPS_ERROR, DPS_ERROR_BUSY);
		/* Where /proc/locks has the device that stat has (not on btrfs and overlays). */
		if (!strstr(refused->message, me))
			g_assert_nonnull(strstr(refused->message, "another process"));
	}

	/* Who only reads takes no lock. */
	reader = dps_medium_open(fixture->path, DPS_OPEN_READ_ONLY, NULL);
	g_assert_nonnull(reader);
	close(other);

	/* What says neither is as if nothing was said. */
	g_setenv("LOCK_BLOCK_DEVICE", "yes", TRUE);
	writer = dps_medium_open(fixture->path, DPS_OPEN_WRITABLE, &error);
	g_assert_no_error(error);
	g_unsetenv("LOCK_BLOCK_DEVICE");
	g_assert_null(
		dps_medium_open(fixture->path, DPS_OPEN_WRITABLE | DPS_OPEN_LOCK_NONBLOCK, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_BUSY);
}

static gpointer
unlock_later(gpointer data)
{
	g_usleep(200 * 1000);
	close(GPOINTER_TO_INT(data));
	return NULL;
}

static void
test_lock_wait(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsMedium) medium = NULL;
	int other = open(fixture->path, O_RDONLY | O_CLOEXEC);
	GThread *thread;

	g_assert_cmpint(flock(other, LOCK_EX), ==, 0);
	thread = g_thread_new("unlock", unlock_later, GINT_TO_POINTER(other));
	medium = dps_medium_open(fixture->path, DPS_OPEN_WRITABLE, &error);
	g_assert_no_error(error);
	g_assert_nonnull(medium);
	g_thread_join(thread);
}

/* qemu's locks are taken on another open of the file, as qemu does it. */
static void
test_virtual_machine(Fixture *fixture, gconstpointer data)
{
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 201, .l_len = 1 };
	g_autoptr(GError) error = NULL;
	int other = open(fixture->path, O_RDWR | O_CLOEXEC);

	g_assert_cmpint(fcntl(other, F_OFD_SETLK, &lock), ==, 0);
	g_assert_null(dps_medium_open(fixture->path, DPS_OPEN_WRITABLE, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_BUSY);
	g_assert_nonnull(strstr(error->message, "virtual machine"));
	close(other);
}

static void
test_formats(Fixture *fixture, gconstpointer data)
{
	static const struct {
		uint64_t offset;
		const char *magic, *says;
	} rows[] = {
		{ 0, "QFI\xfb", "qcow2" },
		{ 0, "KDMV", "VMDK" },
		{ 0, "# Disk DescriptorFile", "VMDK" },
		{ 0, "vhdxfile", "VHDX" },
		{ 0, "conectix", "VHD" },
		{ SIZE - 512, "conectix", "VHD" },
		{ 64, "\x7f\x10\xda\xbe", "VDI" },
		{ 0,
		  "\xfd"
		  "7zXZ",
		  NULL }, /* xz has a NUL behind it: this is no xz */
		{ 0, "\x28\xb5\x2f\xfd", "zstd -d" },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		g_autoptr(GBytes) before = get_bytes(fixture);
		g_autoptr(DpsMedium) medium = NULL;
		int fd = open(fixture->path, O_WRONLY | O_CLOEXEC);

		if (rows[i].offset == 0)
			g_assert_cmpint(pwrite(fd, "A", 1, 5), ==, 1);
		g_assert_cmpint(
			pwrite(fd, rows[i].magic, strlen(rows[i].magic), (off_t)rows[i].offset), ==,
			strlen(rows[i].magic));
		close(fd);
		medium = dps_medium_open(fixture->path, DPS_OPEN_READ_ONLY, &error);
		g_assert_cmpint(medium == NULL, ==, rows[i].says != NULL);
		if (!medium) {
			g_assert_error(error, DPS_ERROR, DPS_ERROR_UNSUPPORTED);
			g_assert_nonnull(strstr(error->message, rows[i].says));
			g_assert_nonnull(strstr(error->message, fixture->path));
		}
		g_assert_true(g_file_set_contents(fixture->path, g_bytes_get_data(before, NULL),
						  SIZE, NULL));
	}
}

static void
test_no_disk(Fixture *fixture, gconstpointer data)
{
	const struct {
		const char *path;
		gint code;
	} rows[] = {
		{ fixture->dir, DPS_ERROR_UNSUPPORTED },
		{ "/dev/null", DPS_ERROR_UNSUPPORTED },
		{ "/nonexistent/disk", DPS_ERROR_NOT_FOUND },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;

		/* It is not even opened: there are devices to which that does something. */
		fault_set("open", 1, EIO);
		g_assert_null(dps_medium_open(rows[i].path, DPS_OPEN_READ_ONLY, &error));
		g_assert_false(fault_clear());
		g_assert_error(error, DPS_ERROR, rows[i].code);
		g_assert_true(g_str_has_prefix(error->message, rows[i].path));
	}
}

/* Two edits of a writable medium. */
static GPtrArray *
make_two_edits(void)
{
	GPtrArray *edits = dps_edit_list_new();

	add_edit(edits, 1024, 512, 0, 0xa1);
	add_edit(edits, 4000, 200, 0, 0xa2);
	return edits;
}

static void
assert_put_back(Fixture *fixture, DpsMedium *medium, GPtrArray *edits, guint done, GBytes *before)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) after = NULL;

	g_assert_true(dps_medium_put_back(medium, 0, edits, done, &error));
	g_assert_no_error(error);
	after = get_bytes(fixture);
	g_assert_true(g_bytes_equal(before, after));
}

/* What a write comes to, how far it says it got; and that what is there can be put back. */
static void
test_write_faults(Fixture *fixture, gconstpointer data)
{
	/* clang-format off */
	static const struct {
		const char *name;
		const char *call;
		guint first, last;
		int how;
		int code; /* 0: it is written */
		guint done;
		const char *says;
	} rows[] = {
		{ "first-write", "write", 1, 1, EIO, DPS_ERROR_IO, 0, "step 1 of 2: " },
		{ "second-write", "write", 2, 2, ENOSPC, DPS_ERROR_NO_SPACE, 1, "step 2 of 2: " },
		{ "nothing-written", "write", 2, 2, FAULT_END, DPS_ERROR_IO, 1, "test bytes: write" },
		{ "cut-off", "write", 2, G_MAXUINT, FAULT_END, DPS_ERROR_IO, 1, "test bytes: write" },
		{ "first-flush", "flush", 1, 1, EIO, DPS_ERROR_IO, 0, "test bytes: flush" },
		{ "second-flush", "flush", 2, 2, EIO, DPS_ERROR_IO, 1, "test bytes: flush" },
		{ "unread", "read", 1, 1, EIO, DPS_ERROR_IO, 0, "test bytes" },
		{ "lies", "write", 1, G_MAXUINT, FAULT_LIE, DPS_ERROR_IO, 1, "gives others back" },
		{ "lies-last", "write", 2, 2, FAULT_LIE, DPS_ERROR_IO, 2, "gives others back" },
		{ "in-parts", "write", 1, G_MAXUINT, FAULT_SHORT, 0, 2, NULL },
		{ "signal-while-writing", "write", 2, 2, EINTR, 0, 2, NULL },
		{ "signal-while-flushing", "flush", 2, 2, EINTR, 0, 2, NULL },
		{ "no-way-round-the-cache", "open", 1, G_MAXUINT, EINVAL, 0, 2, NULL },
	};
	/* clang-format on */
	g_autoptr(DpsMedium) medium = dps_medium_open(fixture->path, DPS_OPEN_WRITABLE, NULL);
	g_autoptr(GBytes) before = get_bytes(fixture);

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GPtrArray) edits = make_two_edits();
		g_autoptr(GError) error = NULL;
		gboolean written;
		guint done = 99;

		g_test_message("%s", rows[i].name);
		if (rows[i].last == G_MAXUINT)
			fault_set_from(rows[i].call, rows[i].first, rows[i].how);
		else
			fault_set(rows[i].call, rows[i].first, rows[i].how);
		written = dps_medium_write_edits(medium, 0, edits, &done, &error);
		g_assert_true(fault_clear());
		g_assert_cmpuint(done, ==, rows[i].done);
		if (rows[i].code == 0) {
			g_assert_no_error(error);
			g_assert_true(written);
		} else {
			g_assert_error(error, DPS_ERROR, rows[i].code);
			g_assert_false(written);
			g_assert_nonnull(strstr(error->message, rows[i].says));
			g_assert_nonnull(strstr(error->message, fixture->path));
		}
		assert_put_back(fixture, medium, edits, done, before);
	}
}

/* All of it at once, as a program does that takes no lock. */
static void
write_as_another_program(gpointer path)
{
	g_autofree char *bytes = g_strnfill(3500, 'x');
	FILE *file = fopen(path, "r+b");

	g_assert_nonnull(file);
	g_assert_cmpint(fseek(file, 1000, SEEK_SET), ==, 0);
	g_assert_cmpuint(fwrite(bytes, 1, 3500, file), ==, 3500);
	g_assert_cmpint(fclose(file), ==, 0);
}

/* Whatever was written before: what another program wrote behind it is left whole. */
static void
test_another_program(Fixture *fixture, gconstpointer data)
{
	g_autoptr(DpsMedium) medium = dps_medium_open(fixture->path, DPS_OPEN_WRITABLE, NULL);
	g_autoptr(GPtrArray) edits = make_two_edits();
	g_autoptr(GBytes) before = get_bytes(fixture);

	for (guint nth = 1; nth <= 2; nth++) {
		g_autoptr(GError) error = NULL;
		g_autoptr(GError) second = NULL;
		g_autoptr(GBytes) theirs = NULL;
		g_autoptr(GBytes) after = NULL;
		guint done = 99;

		fault_set_event("flush", nth, write_as_another_program, fixture->path);
		g_assert_false(dps_medium_write_edits(medium, 0, edits, &done, &error));
		g_assert_true(fault_clear());
		g_assert_error(error, DPS_ERROR, DPS_ERROR_CHANGED);
		g_assert_cmpuint(done, ==, nth);

		theirs = get_bytes(fixture);
		g_assert_false(dps_medium_put_back(medium, 0, edits, done, &second));
		g_assert_error(second, DPS_ERROR, DPS_ERROR_CHANGED);
		after = get_bytes(fixture);
		g_assert_true(g_bytes_equal(theirs, after));
		g_assert_true(g_file_set_contents(fixture->path, g_bytes_get_data(before, NULL),
						  (gssize)g_bytes_get_size(before), NULL));
		dps_medium_unref(medium);
		medium = dps_medium_open(fixture->path, DPS_OPEN_WRITABLE, NULL);
	}
}

/* Calls of these fail one after the other, also where reading back goes through the cache. */
static const struct {
	const char *call;
	int how;
} each[] = {
	{ "read", EIO },  { "read", FAULT_END }, { "write", EIO },
	{ "flush", EIO }, { "advise", EIO },
};

static void
test_each_call_of_a_write(Fixture *fixture, gconstpointer data)
{
	g_autoptr(DpsMedium) medium = dps_medium_open(fixture->path, DPS_OPEN_WRITABLE, NULL);
	g_autoptr(GBytes) before = get_bytes(fixture);

	for (guint i = 0; i < G_N_ELEMENTS(each); i++)
		for (guint nth = 1, was_reached = TRUE; was_reached; nth++) {
			g_autoptr(GPtrArray) edits = make_two_edits();
			g_autoptr(GError) error = NULL;
			gboolean written;
			guint done;

			g_assert_cmpuint(nth, <, 100);
			fault_set(each[i].call, nth, each[i].how);
			fault_set_from("open", 1, EINVAL); /* O_DIRECT */
			written = dps_medium_write_edits(medium, 0, edits, &done, &error);
			was_reached = fault_was_reached();
			fault_clear();
			g_assert_cmpint(written, !=, was_reached);
			g_assert_cmpint(error != NULL, ==, !written);
			assert_put_back(fixture, medium, edits, done, before);
		}
}

static void
test_each_call_of_putting_back(Fixture *fixture, gconstpointer data)
{
	g_autoptr(DpsMedium) medium = dps_medium_open(fixture->path, DPS_OPEN_WRITABLE, NULL);
	g_autoptr(GBytes) before = get_bytes(fixture);
	g_autoptr(GPtrArray) edits = make_two_edits();
	g_autoptr(GError) lie = NULL;
	guint done;

	for (guint i = 0; i < G_N_ELEMENTS(each); i++)
		for (guint nth = 1, was_reached = TRUE; was_reached; nth++) {
			g_autoptr(GError) error = NULL;
			gboolean is_back;

			g_assert_cmpuint(nth, <, 100);
			g_assert_true(dps_medium_write_edits(medium, 0, edits, &done, NULL));
			fault_set(each[i].call, nth, each[i].how);
			fault_set_from("open", 1, EINVAL);
			is_back = dps_medium_put_back(medium, 0, edits, done, &error);
			was_reached = fault_was_reached();
			fault_clear();
			g_assert_cmpint(is_back, !=, was_reached);
			if (!is_back)
				g_assert_nonnull(strstr(error->message, "put back: "));
			assert_put_back(fixture, medium, edits, done, before);
		}

	g_assert_true(dps_medium_write_edits(medium, 0, edits, &done, NULL));
	fault_set_from("write", 1, FAULT_LIE);
	g_assert_false(dps_medium_put_back(medium, 0, edits, done, &lie));
	g_assert_true(fault_clear());
	g_assert_error(lie, DPS_ERROR, DPS_ERROR_IO);
	g_assert_nonnull(strstr(lie->message, "gives others back"));
	assert_put_back(fixture, medium, edits, done, before);
}

static void
make_it_a_directory(gpointer path)
{
	g_assert_cmpint(g_unlink(path), ==, 0);
	g_assert_cmpint(g_mkdir(path, 0755), ==, 0);
}

static void
test_open_faults(Fixture *fixture, gconstpointer data)
{
	/* clang-format off */
	static const struct {
		const char *call;
		int how;
		DpsOpenFlags flags;
		int code; /* 0: it opens */
		const char *says;
	} rows[] = {
		{ "stat", EACCES, DPS_OPEN_READ_ONLY, DPS_ERROR_PERMISSION, "open: " },
		{ "open", EACCES, DPS_OPEN_READ_ONLY, DPS_ERROR_PERMISSION, "open: " },
		{ "open", EACCES, DPS_OPEN_WRITABLE, DPS_ERROR_PERMISSION, "open for writing: " },
		{ "open", EINTR, DPS_OPEN_WRITABLE, 0, NULL },
		{ "fstat", EIO, DPS_OPEN_READ_ONLY, DPS_ERROR_IO, "stat: " },
		{ "lock", EINTR, DPS_OPEN_WRITABLE, 0, NULL },
		{ "lock", ENOLCK, DPS_OPEN_WRITABLE, DPS_ERROR_IO, "lock: " },
	};
	/* clang-format on */
	g_autoptr(GError) error = NULL;

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(DpsMedium) medium = NULL;

		fault_set(rows[i].call, 1, rows[i].how);
		medium = dps_medium_open(fixture->path, rows[i].flags, &error);
		g_assert_true(fault_clear());
		g_assert_cmpint(medium != NULL, ==, rows[i].code == 0);
		if (medium)
			continue;
		g_assert_error(error, DPS_ERROR, rows[i].code);
		g_assert_nonnull(strstr(error->message, rows[i].says));
		g_clear_error(&error);
	}

	/* What it was when it was looked at, and what is opened, are two. */
	fault_set_event("open", 1, make_it_a_directory, fixture->path);
	g_assert_null(dps_medium_open(fixture->path, DPS_OPEN_READ_ONLY, &error));
	g_assert_true(fault_clear());
	g_assert_error(error, DPS_ERROR, DPS_ERROR_UNSUPPORTED);
	g_assert_cmpint(g_rmdir(fixture->path), ==, 0);
}

/* A lock that nobody lets go ends in its time, and what can be told of its holder. */
static void
test_lock_by_nobody(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;

	fault_set_from("lock", 1, EWOULDBLOCK);
	g_assert_null(
		dps_medium_open(fixture->path, DPS_OPEN_WRITABLE | DPS_OPEN_LOCK_NONBLOCK, &error));
	g_assert_true(fault_clear());
	g_assert_error(error, DPS_ERROR, DPS_ERROR_BUSY);
	g_assert_nonnull(strstr(error->message, "locked by another process"));
}

static void
make_it_larger(gpointer path)
{
	g_assert_cmpint(truncate(path, 2 * SIZE), ==, 0);
}

static void
put_another_in_its_place(gpointer path)
{
	g_autofree char *other = g_strconcat(path, ".new", NULL);

	g_assert_true(g_file_set_contents(other, "another", -1, NULL));
	g_assert_cmpint(g_rename(other, path), ==, 0);
}

/* Whoever had the lock before us is done by then: what there is now counts. */
static void
test_changed_before_the_lock(Fixture *fixture, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsMedium) medium = NULL;

	fault_set_event("lock", 1, make_it_larger, fixture->path);
	medium = dps_medium_open(fixture->path, DPS_OPEN_WRITABLE, &error);
	g_assert_true(fault_clear());
	g_assert_no_error(error);
	g_assert_cmpuint(dps_medium_get_size(medium), ==, 2 * SIZE);
	g_clear_pointer(&medium, dps_medium_unref);

	fault_set_event("lock", 1, put_another_in_its_place, fixture->path);
	g_assert_null(dps_medium_open(fixture->path, DPS_OPEN_WRITABLE, &error));
	g_assert_true(fault_clear());
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CHANGED);
	g_clear_error(&error);

	/* The second look at what is behind the name, and at what is open. */
	fault_set("stat", 2, EACCES);
	g_assert_null(dps_medium_open(fixture->path, DPS_OPEN_WRITABLE, &error));
	g_assert_true(fault_clear());
	g_assert_error(error, DPS_ERROR, DPS_ERROR_PERMISSION);
	g_clear_error(&error);
	fault_set("fstat", 2, EIO);
	g_assert_null(dps_medium_open(fixture->path, DPS_OPEN_WRITABLE, &error));
	g_assert_true(fault_clear());
	g_assert_error(error, DPS_ERROR, DPS_ERROR_IO);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add(name, Fixture, NULL, set_up, function, tear_down)
	ADD("/medium/write-and-put-back", test_write_and_put_back);
	ADD("/medium/put-back-partly", test_put_back_partly);
	ADD("/medium/changed", test_changed);
	ADD("/medium/read-only", test_read_only);
	ADD("/medium/lock", test_lock);
	ADD("/medium/lock-wait", test_lock_wait);
	ADD("/medium/virtual-machine", test_virtual_machine);
	ADD("/medium/formats", test_formats);
	ADD("/medium/no-disk", test_no_disk);
	ADD("/medium/write-faults", test_write_faults);
	ADD("/medium/another-program", test_another_program);
	ADD("/medium/each-call-of-a-write", test_each_call_of_a_write);
	ADD("/medium/each-call-of-putting-back", test_each_call_of_putting_back);
	ADD("/medium/open-faults", test_open_faults);
	ADD("/medium/lock-by-nobody", test_lock_by_nobody);
	ADD("/medium/changed-before-the-lock", test_changed_before_the_lock);
#undef ADD
	return g_test_run();
}
