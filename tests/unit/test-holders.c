/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fault.h"
#include "ground/error.h"
#include "target/fd.h"
#include "target/holders.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* As much as can be told of who has the lock. */
static void
test_find_lock(void)
{
	static const struct {
		const char *call; /* what fails; NULL: nothing */
		const char *wanted;
	} rows[] = {
		{ NULL, NULL }, /* the name of this program, as the system has it */
		{ "open comm", "process %d" },
		{ "open locks", "another process" },
		{ "read locks", "another process" },
	};
	/* btrfs and overlays have another device in /proc/locks than stat has. */
	g_autofree char *path =
		g_access("/dev/shm", W_OK) == 0
			? g_strdup("/dev/shm/dps-holders-XXXXXX")
			: g_build_filename(g_get_tmp_dir(), "dps-holders-XXXXXX", NULL);
	int fd = g_mkstemp(path);
	g_autofree char *unlocked = NULL;
	struct stat st;

	g_assert_cmpint(fstat(fd, &st), ==, 0);
	g_assert_cmpint(g_unlink(path), ==, 0);
	unlocked = dps_holders_find_lock(&st);
	g_assert_cmpstr(unlocked, ==, "another process");
	g_assert_cmpint(flock(fd, LOCK_EX), ==, 0);
	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *comm = dps_fd_read_text(AT_FDCWD, "/proc/self/comm");
		g_autofree char *own = g_strconcat(g_strchomp(comm), " (process %d)", NULL);
		g_auto(GStrv) parts = g_strsplit(rows[i].wanted ? rows[i].wanted : own, "%d", -1);
		g_autofree char *pid = g_strdup_printf("%d", (int)getpid());
		g_autofree char *wanted = g_strjoinv(pid, parts);
		g_autofree char *found = NULL;

		if (rows[i].call)
			fault_set(rows[i].call, 1, EACCES);
		found = dps_holders_find_lock(&st);
		g_assert_true(fault_clear());
		if (i == 0 && g_str_equal(found, "another process")) {
			g_test_skip("/proc/locks has another device than stat here");
			break;
		}
		g_assert_cmpstr(found, ==, wanted);
	}
	close(fd);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/holders/find-lock", test_find_lock);
	return g_test_run();
}
