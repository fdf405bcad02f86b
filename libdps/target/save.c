/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/save.h"
#include "ground/error.h"
#include "target/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static gboolean
write_all(int fd, const uint8_t *data, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = EIO;
		if (n <= 0)
			return FALSE;
		data += n;
		size -= (size_t)n;
	}
	return TRUE;
}

/* Returns: 0 when the bytes are on the medium, else the errno of what failed */
static int
fill(int fd, const void *data, size_t size)
{
	return write_all(fd, data, size) && dps_fd_flush(fd) ? 0 : errno;
}

/*
 * The file has no name before it is whole, so that a crash leaves all of it or nothing.
 *
 * Returns: 0, the errno of what failed, -1 when there can be no such files here
 */
static int
make_nameless(int dir, const char *name, const void *data, size_t size)
{
	int fd = openat(dir, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600);
	g_autofree char *link = NULL;
	int problem;

	if (fd < 0)
		return -1;

	problem = fill(fd, data, size);
	link = g_strdup_printf("/proc/self/fd/%d", fd);
	if (problem == 0 && linkat(AT_FDCWD, link, dir, name, AT_SYMLINK_FOLLOW) < 0)
		problem = errno == EEXIST ? EEXIST : -1; /* else: no /proc, or no links */
	close(fd);
	return problem;
}

/* Gives a whole file its name, unless there is one of it.  Returns: 0, or an errno */
static int
give_name(int dir, const char *draft, const char *name)
{
	if (renameat2(dir, draft, dir, name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return errno;

	/* NFS knows no such flag, and has links. */
	if (linkat(dir, draft, dir, name, 0) < 0)
		return errno;
	unlinkat(dir, draft, 0);
	return 0;
}

/* A draft of ours that a crash left is in nobody's way. */
static void
remove_old_draft(int dir, const char *draft)
{
	struct stat st;

	if (fstatat(dir, draft, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	    st.st_uid == geteuid() && st.st_nlink == 1)
		unlinkat(dir, draft, 0);
}

/* The same by a file of another name, which is flushed before it gets the right one. */
static int
make_named(int dir, const char *name, const void *data, size_t size)
{
	g_autofree char *draft = g_strconcat(name, ".new", NULL);
	int problem, fd;

	remove_old_draft(dir, draft);
	fd = openat(dir, draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno == EEXIST ? EACCES : errno; /* the name itself may be free */
	problem = fill(fd, data, size);
	close(fd);
	if (problem == 0)
		problem = give_name(dir, draft, name);
	if (problem != 0)
		unlinkat(dir, draft, 0);
	return problem;
}

gboolean
dps_save_new_file(int dir, const char *name, const void *data, size_t size, GError **error)
{
	int problem = make_nameless(dir, name, data, size);

	if (problem < 0)
		problem = make_named(dir, name, data, size);
	if (problem == EEXIST)
		return dps_throw(error, DPS_ERROR_REFUSED,
				 "is there already: choose another name, or move it away");
	if (problem == 0 && !dps_fd_flush(dir)) {
		problem = errno;
		unlinkat(dir, name, 0);
	}
	if (problem != 0)
		return dps_throw_errno(error, problem, "write");
	return TRUE;
}

gboolean
dps_save_keep_file(int dir, const char *name, GError **error)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	int problem = fd >= 0 && dps_fd_flush(fd) && dps_fd_flush(dir) ? 0 : errno;

	if (fd >= 0)
		close(fd);
	return problem == 0 || dps_throw_errno(error, problem, "%s: flush", name);
}

static gint
by_name_backwards(gconstpointer a, gconstpointer b)
{
	return strcmp(*(const char *const *)b, *(const char *const *)a);
}

GPtrArray *
dps_save_list(int dir, const char *prefix, const char *suffix)
{
	GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;

	while (stream && (entry = readdir(stream))) {
		if (!g_str_has_prefix(entry->d_name, prefix) ||
		    !g_str_has_suffix(entry->d_name, suffix))
			continue;
		g_ptr_array_add(names, g_strdup(entry->d_name));
		g_ptr_array_sort(names, by_name_backwards);
		if (names->len > DPS_SAVE_LIST_MAX)
			g_ptr_array_set_size(names, DPS_SAVE_LIST_MAX);
	}
	if (stream)
		closedir(stream);
	else if (fd >= 0)
		close(fd);
	return names;
}

void
dps_save_remove_file(int dir, const char *name)
{
	if (unlinkat(dir, name, 0) == 0)
		dps_fd_flush(dir);
}

/* Closes @fd. */
static char *
read_all(int fd, const char *path, size_t max_size, gsize *size, GError **error)
{
	g_autofree char *text = NULL;
	gsize length = 0;
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0) {
		dps_throw_errno(error, errno, "%s: stat", path);
		close(fd);
		return NULL;
	}
	if (!S_ISREG(st.st_mode) || st.st_size > (off_t)max_size) {
		close(fd);
		return dps_throw_null(error, DPS_ERROR_CORRUPT,
				      "%s: not a file of at most %zu KiB, as one of these is", path,
				      max_size / 1024);
	}

	text = g_malloc((gsize)st.st_size + 1);
	while (length < (gsize)st.st_size &&
	       (n = TEMP_FAILURE_RETRY(read(fd, text + length, (gsize)st.st_size - length))) != 0) {
		if (n < 0) {
			dps_throw_errno(error, errno, "%s: read", path);
			close(fd);
			return NULL;
		}
		length += (gsize)n;
	}
	close(fd);

	text[length] = '\0';
	*size = length;
	return g_steal_pointer(&text);
}

char *
dps_save_read_file(const char *path, size_t max_size, gsize *size, GError **error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not block */

	if (fd < 0)
		return dps_throw_errno_null(error, errno, "%s", path);
	return read_all(fd, path, max_size, size, error);
}

char *
dps_save_read_own_file(int dir, const char *name, size_t max_size, gsize *size, GError **error)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	struct stat st;

	if (fd < 0)
		return dps_throw_errno_null(error, errno, "%s", name);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
	    (st.st_mode & (S_IWGRP | S_IWOTH))) {
		close(fd);
		return dps_throw_null(error, DPS_ERROR_REFUSED,
				      "%s: no file that we alone may write", name);
	}
	return read_all(fd, name, max_size, size, error);
}
