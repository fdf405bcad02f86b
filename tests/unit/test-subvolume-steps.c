/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ground/error.h"
#include "target/subvolume.h"

#include <btrfsutil.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

/*
 * A btrfs that is mounted, played by this program: what libbtrfsutil and the kernel are asked, in
 * which order, and what becomes of each answer.  tests/against and tests/crash mount a real one.
 */
static struct {
	GString *calls;
	const char *failing; /* the call that fails; NULL: none */
	enum btrfs_util_error code;
	int errnum;
	uint64_t default_id;
	gboolean forgets; /* says that the default was set, and it is not */
	gboolean is_read_only, is_other;
	guint n_listed;
} played;

static enum btrfs_util_error
meet(const char *call)
{
	g_string_append_printf(played.calls, "%s%s", played.calls->len ? ", " : "", call);
	if (g_strcmp0(played.failing, call) != 0)
		return BTRFS_UTIL_OK;
	errno = played.errnum;
	return played.code;
}

enum btrfs_util_error
btrfs_util_get_default_subvolume_fd(int fd, uint64_t *id)
{
	*id = played.default_id;
	return meet("get");
}

enum btrfs_util_error
btrfs_util_set_default_subvolume_fd(int fd, uint64_t id)
{
	enum btrfs_util_error code = meet("set");

	if (code == BTRFS_UTIL_OK && !played.forgets)
		played.default_id = id;
	return code;
}

enum btrfs_util_error
btrfs_util_sync_fd(int fd)
{
	return meet("sync");
}

enum btrfs_util_error
btrfs_util_create_subvolume_iterator_fd(int fd, uint64_t top, int flags,
					struct btrfs_util_subvolume_iterator **iterator)
{
	played.n_listed = 0;
	*iterator = (struct btrfs_util_subvolume_iterator *)(void *)&played;
	return meet("list");
}

/* The last first: nobody says that they come in order. */
enum btrfs_util_error
btrfs_util_subvolume_iterator_next_info(struct btrfs_util_subvolume_iterator *iterator, char **path,
					struct btrfs_util_subvolume_info *info)
{
	static const char *const names[] = { "home", "root" };
	enum btrfs_util_error code = meet("next");

	if (code != BTRFS_UTIL_OK)
		return code;
	if (played.n_listed == G_N_ELEMENTS(names))
		return BTRFS_UTIL_ERROR_STOP_ITERATION;
	memset(info, 0, sizeof(*info));
	info->id = 257 - played.n_listed;
	*path = strdup(names[played.n_listed++]);
	return BTRFS_UTIL_OK;
}

void
btrfs_util_destroy_subvolume_iterator(struct btrfs_util_subvolume_iterator *iterator)
{
	meet("end");
}

enum btrfs_util_error
btrfs_util_subvolume_id_fd(int fd, uint64_t *id)
{
	*id = 256;
	return meet("id");
}

enum btrfs_util_error
btrfs_util_subvolume_path_fd(int fd, uint64_t id, char **path)
{
	enum btrfs_util_error code = meet("path");

	*path = code == BTRFS_UTIL_OK ? strdup("root") : NULL;
	return code;
}

int
fstatfs(int fd, struct statfs *buffer)
{
	memset(buffer, 0, sizeof(*buffer));
	buffer->f_type = played.is_other ? EXT4_SUPER_MAGIC : BTRFS_SUPER_MAGIC;
	return meet("statfs") == BTRFS_UTIL_OK ? 0 : -1;
}

int
fstatvfs(int fd, struct statvfs *buffer)
{
	memset(buffer, 0, sizeof(*buffer));
	buffer->f_flag = played.is_read_only ? ST_RDONLY : 0;
	return meet("statvfs") == BTRFS_UTIL_OK ? 0 : -1;
}

int
ioctl(int fd, unsigned long request, ...)
{
	g_assert_cmpuint(request, ==, BTRFS_IOC_FS_INFO);
	return meet("devices") == BTRFS_UTIL_OK ? 0 : -1;
}

static void
play(void)
{
	if (played.calls)
		g_string_free(played.calls, TRUE);
	memset(&played, 0, sizeof(played));
	played.calls = g_string_new(NULL);
	played.default_id = 5;
}

static void
play_failing(const char *call, enum btrfs_util_error code, int errnum)
{
	played.failing = call;
	played.code = code;
	played.errnum = errnum;
}

static DpsBtrfs *
open_played(GError **error)
{
	int fd = open("/", O_RDONLY | O_CLOEXEC);
	DpsBtrfs *btrfs = dps_btrfs_open_mounted(fd, error);

	close(fd);
	return btrfs;
}

/* Set, on the medium, and asked for again: the ioctl alone would not outlive a crash. */
static void
test_order(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsBtrfs) btrfs = NULL;

	play();
	btrfs = open_played(&error);
	g_assert_no_error(error);
	g_assert_cmpstr(played.calls->str, ==, "statfs, devices, get, list, next, next, next, end");
	g_assert_true(dps_btrfs_is_mounted(btrfs));
	g_assert_cmpuint(dps_btrfs_get_subvolumes(btrfs)->len, ==, 3);
	g_assert_cmpuint(dps_subvolume_get_id(dps_btrfs_get_subvolumes(btrfs)->pdata[1]), ==, 256);
	g_assert_cmpuint(dps_btrfs_get_default_id(btrfs), ==, 5);

	g_string_truncate(played.calls, 0);
	g_assert_true(dps_btrfs_needs_write(btrfs, 256));
	g_assert_true(dps_btrfs_set_default(btrfs, 256, NULL, 0, NULL, &error));
	g_assert_no_error(error);
	g_assert_cmpstr(played.calls->str, ==, "statvfs, set, sync, get");
	g_assert_cmpuint(dps_btrfs_get_default_id(btrfs), ==, 256);
	g_assert_false(dps_btrfs_needs_write(btrfs, 256));
}

/* clang-format off */
static const struct {
	const char *call;
	enum btrfs_util_error code;
	int errnum;
	gint wanted;
	const char *says;
} opening[] = {
	{ "statfs", BTRFS_UTIL_ERROR_NO_MEMORY, EIO, DPS_ERROR_IO, "file system of the descriptor" },
	{ "devices", BTRFS_UTIL_ERROR_NO_MEMORY, EIO, DPS_ERROR_IO, "devices of the file system" },
	{ "get", BTRFS_UTIL_ERROR_SEARCH_FAILED, EIO, DPS_ERROR_IO, "btrfs: default subvolume: " },
	{ "get", BTRFS_UTIL_ERROR_SEARCH_FAILED, EPERM, DPS_ERROR_PERMISSION, "only root may ask this" },
	{ "list", BTRFS_UTIL_ERROR_NOT_BTRFS, 0, DPS_ERROR_UNSUPPORTED, "btrfs: subvolumes: not on a btrfs" },
	{ "next", BTRFS_UTIL_ERROR_SUBVOLUME_NOT_FOUND, 0, DPS_ERROR_NOT_FOUND, "subvolumes: no such subvolume" },
	{ "next", BTRFS_UTIL_ERROR_NO_MEMORY, ENOMEM, DPS_ERROR_IO, "btrfs: subvolumes" },
}, setting[] = {
	{ "statvfs", BTRFS_UTIL_ERROR_NO_MEMORY, EIO, DPS_ERROR_IO, "btrfs: mount" },
	{ "set", BTRFS_UTIL_ERROR_DEFAULT_SUBVOL_FAILED, ENOSPC, DPS_ERROR_NO_SPACE, "set the default subvolume: " },
	{ "sync", BTRFS_UTIL_ERROR_SYNC_FAILED, EIO, DPS_ERROR_IO, "btrfs: sync: " },
	{ "get", BTRFS_UTIL_ERROR_SEARCH_FAILED, EIO, DPS_ERROR_IO, "btrfs: default subvolume: " },
};
/* clang-format on */

static void
test_failures(void)
{
	for (guint i = 0; i < G_N_ELEMENTS(opening); i++) {
		g_autoptr(GError) error = NULL;

		g_test_message("opening: %s", opening[i].call);
		play();
		play_failing(opening[i].call, opening[i].code, opening[i].errnum);
		g_assert_null(open_played(&error));
		g_assert_error(error, DPS_ERROR, opening[i].wanted);
		g_assert_nonnull(strstr(error->message, opening[i].says));
	}
	for (guint i = 0; i < G_N_ELEMENTS(setting); i++) {
		g_autoptr(GError) error = NULL;
		g_autoptr(DpsBtrfs) btrfs = NULL;

		g_test_message("setting: %s", setting[i].call);
		play();
		btrfs = open_played(&error);
		play_failing(setting[i].call, setting[i].code, setting[i].errnum);
		g_assert_false(dps_btrfs_set_default(btrfs, 256, NULL, 0, NULL, &error));
		g_assert_error(error, DPS_ERROR, setting[i].wanted);
		g_assert_nonnull(strstr(error->message, setting[i].says));
		g_assert_true(g_str_has_suffix(played.calls->str, setting[i].call));
		/* Not known to be otherwise: who puts it back does so. */
		g_assert_cmpuint(dps_btrfs_get_default_id(btrfs), ==, 5);
	}
}

static void
test_refusals(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsBtrfs) btrfs = NULL;

	play();
	played.is_other = TRUE;
	g_assert_null(open_played(&error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_UNSUPPORTED);
	g_clear_error(&error);

	play();
	btrfs = open_played(&error);
	g_string_truncate(played.calls, 0);
	g_assert_false(dps_btrfs_set_default(btrfs, 300, NULL, 0, NULL, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_NOT_FOUND);
	g_clear_error(&error);
	played.is_read_only = TRUE;
	g_assert_false(dps_btrfs_set_default(btrfs, 256, NULL, 0, NULL, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_REFUSED);
	g_assert_nonnull(strstr(error->message, "mounted read-only"));
	g_assert_cmpstr(played.calls->str, ==, "statvfs");
	g_clear_error(&error);
	/* What is right already need not be written. */
	g_assert_true(dps_btrfs_check_writable(btrfs, 5, NULL, &error));

	/* It said that it was done. */
	played.is_read_only = FALSE;
	played.forgets = TRUE;
	g_assert_false(dps_btrfs_set_default(btrfs, 256, NULL, 0, NULL, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_IO);
	g_assert_nonnull(strstr(error->message, "is 5 after it was set to 256"));
}

static void
test_subvolume_of_directory(void)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *path = NULL, *none = NULL;
	uint64_t id = 0;

	play();
	g_assert_true(dps_btrfs_subvolume_of_fd(0, &id, &path, &error));
	g_assert_cmpuint(id, ==, 256);
	g_assert_cmpstr(path, ==, "root");

	/* Only root may ask for the path; the number is for everybody. */
	play_failing("path", BTRFS_UTIL_ERROR_SEARCH_FAILED, EPERM);
	g_assert_true(dps_btrfs_subvolume_of_fd(0, &id, &none, &error));
	g_assert_null(none);
	play_failing("path", BTRFS_UTIL_ERROR_SEARCH_FAILED, EIO);
	g_assert_false(dps_btrfs_subvolume_of_fd(0, &id, &none, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_IO);
	g_clear_error(&error);
	play_failing("id", BTRFS_UTIL_ERROR_NOT_BTRFS, 0);
	g_assert_false(dps_btrfs_subvolume_of_fd(0, &id, NULL, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_UNSUPPORTED);
	g_clear_error(&error);
	play();
	played.is_other = TRUE;
	g_assert_false(dps_btrfs_subvolume_of_fd(0, &id, NULL, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_UNSUPPORTED);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/subvolume-steps/order", test_order);
	g_test_add_func("/subvolume-steps/failures", test_failures);
	g_test_add_func("/subvolume-steps/refusals", test_refusals);
	g_test_add_func("/subvolume-steps/subvolume-of-directory", test_subvolume_of_directory);
	return g_test_run();
}
