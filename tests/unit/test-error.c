/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ground/error.h"

#include <errno.h>

static void
test_code_of_errno(void)
{
	static const struct {
		int errnum;
		DpsError code;
	} rows[] = {
		{ ENOENT, DPS_ERROR_NOT_FOUND },    { ENOTDIR, DPS_ERROR_NOT_FOUND },
		{ ENOMEDIUM, DPS_ERROR_NOT_FOUND }, { EACCES, DPS_ERROR_PERMISSION },
		{ EPERM, DPS_ERROR_PERMISSION },    { EROFS, DPS_ERROR_PERMISSION },
		{ EAGAIN, DPS_ERROR_BUSY },	    { EBUSY, DPS_ERROR_BUSY },
		{ ETXTBSY, DPS_ERROR_BUSY },	    { ENOSPC, DPS_ERROR_NO_SPACE },
		{ EDQUOT, DPS_ERROR_NO_SPACE },	    { EFBIG, DPS_ERROR_NO_SPACE },
		{ EINVAL, DPS_ERROR_INVALID },	    { ENAMETOOLONG, DPS_ERROR_INVALID },
		{ ELOOP, DPS_ERROR_REFUSED },	    { EXDEV, DPS_ERROR_REFUSED },
		{ ENOTTY, DPS_ERROR_UNSUPPORTED },  { EOPNOTSUPP, DPS_ERROR_UNSUPPORTED },
		{ ENOSYS, DPS_ERROR_UNSUPPORTED },  { EIO, DPS_ERROR_IO },
		{ ENOMEM, DPS_ERROR_IO },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;

		g_assert_false(dps_throw_errno(&error, rows[i].errnum, "disk.raw: read"));
		g_assert_error(error, DPS_ERROR, (int)rows[i].code);
		g_assert_true(g_str_has_prefix(error->message, "disk.raw: read: "));
	}
}

static void
test_partition(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GError) copy = NULL;

	dps_throw_partition(&error, 3, DPS_ERROR_REFUSED, "partition %u", 3u);
	copy = g_error_copy(error);
	g_assert_cmpuint(dps_error_get_partition(copy), ==, 3);

	dps_error_set_partition(&error, 4);
	g_assert_cmpuint(dps_error_get_partition(error), ==, 3);

	g_clear_error(&error);
	g_set_error_literal(&error, G_FILE_ERROR, 1, "not ours");
	dps_error_set_partition(&error, 4);
	g_assert_cmpuint(dps_error_get_partition(error), ==, 0);
	g_assert_cmpuint(dps_error_get_partition(NULL), ==, 0);
}

/* File names of a strange image end up in messages: none may move a cursor or break a line. */
static void
test_message_is_text(void)
{
	g_autoptr(GError) plain = NULL;
	g_autoptr(GError) errnum = NULL;
	g_autoptr(GError) partition = NULL;

	dps_throw(&plain, DPS_ERROR_CORRUPT, "/a\nb\x1b[2J: %s", "\xff");
	g_assert_cmpstr(plain->message, ==, "/a\uFFFDb\uFFFD[2J: \uFFFD");
	dps_throw_errno(&errnum, EIO, "%s", "x\x7f");
	g_assert_true(g_str_has_prefix(errnum->message, "x\uFFFD: "));
	dps_throw_partition(&partition, 3, DPS_ERROR_REFUSED, "%s", "\r");
	g_assert_cmpstr(partition->message, ==, "\uFFFD");
	g_assert_cmpuint(dps_error_get_partition(partition), ==, 3);
	dps_prefix_error(&partition, "%s: ", "a\nb");
	g_assert_cmpstr(partition->message, ==, "a\uFFFDb: \uFFFD");
	g_assert_cmpuint(dps_error_get_partition(partition), ==, 3);
	dps_prefix_error(NULL, "x");
}

static void
test_names(void)
{
	for (int code = DPS_ERROR_INVALID; code <= DPS_ERROR_CHANGED; code++)
		g_assert_cmpstr(dps_error_code_to_string(code), !=, "unknown");

	g_assert_cmpstr(dps_error_code_to_string(DPS_ERROR_NOT_FOUND), ==, "not-found");
	g_assert_cmpstr(dps_error_code_to_string(0), ==, "unknown");
	g_assert_cmpstr(dps_error_code_to_string(99), ==, "unknown");
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/error/code-of-errno", test_code_of_errno);
	g_test_add_func("/error/partition", test_partition);
	g_test_add_func("/error/message-is-text", test_message_is_text);
	g_test_add_func("/error/names", test_names);
	return g_test_run();
}
