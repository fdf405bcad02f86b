/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/save.h"
#include "ground/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The nearest part of @path that is there: its descriptor, and how long it is. */
static int
open_existing(DpsTree *tree, const char *path, gsize *length, GError **error)
{
	g_autofree char *part = g_strdup(path);

	for (;;) {
		g_autoptr(GError) local_error = NULL;
		int fd;
		char *slash;

		if (tree)
			fd = dps_tree_open_dir(tree, part[0] ? part : "/", &local_error);
		else
			fd = open(part[0] ? part : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0) {
			*length = strlen(part);
			return fd;
		}
		if (!tree && errno != ENOENT)
			return dps_throw_errno(error, errno, "%s", part), -1;
		if (tree && local_error->code != DPS_ERROR_NOT_FOUND) {
			g_propagate_error(error, g_steal_pointer(&local_error));
			return -1;
		}

		slash = strrchr(part, '/');
		if (!slash)
			return dps_throw_errno(error, ENOENT, "%s", path), -1;
		*slash = '\0';
	}
}

/* Makes the directories of @path behind @length, each flushed into the one above it. */
static int
make_dirs(int fd, const char *path, gsize length, GError **error)
{
	g_auto(GStrv) names = g_strsplit(path + length, "/", -1);

	for (guint i = 0; names[i]; i++) {
		int below;

		if (names[i][0] == '\0')
			continue;
		if ((mkdirat(fd, names[i], 0700) < 0 && errno != EEXIST) || fsync(fd) < 0) {
			dps_throw_errno(error, errno, "%s", path);
			close(fd);
			return -1;
		}
		below = openat(fd, names[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below < 0)
			dps_throw_errno(error, errno, "%s", path);
		close(fd);
		if (below < 0)
			return -1;
		fd = below;
	}
	return fd;
}

int
dps_save_open_dir(DpsTree *tree, const char *path, gboolean create, GError **error)
{
	gsize length;
	int fd;

	if (!create && tree)
		return dps_tree_open_dir(tree, path, error);
	if (!create) {
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			dps_throw_errno(error, errno, "%s", path);
		return fd;
	}

	fd = open_existing(tree, path, &length, error);
	return fd < 0 ? -1 : make_dirs(fd, path, length, error);
}

static gboolean
write_all(int fd, const uint8_t *data, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return FALSE;
		data += n;
		size -= (size_t)n;
	}
	return TRUE;
}

gboolean
dps_save_new_file(int dir, const char *name, const void *data, size_t size, GError **error)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	gboolean done;
	int problem;

	if (fd < 0 && errno == EEXIST)
		return dps_throw(error, DPS_ERROR_REFUSED,
				 "%s: is there already: choose another name, or move it away",
				 name);
	if (fd < 0)
		return dps_throw_errno(error, errno, "%s: create", name);

	done = write_all(fd, data, size) && fsync(fd) == 0;
	problem = errno;
	if (close(fd) < 0 && done) {
		done = FALSE;
		problem = errno;
	}
	if (done && fsync(dir) < 0) {
		done = FALSE;
		problem = errno;
	}
	if (!done) {
		unlinkat(dir, name, 0);
		return dps_throw_errno(error, problem, "%s: write", name);
	}
	return TRUE;
}

void
dps_save_remove_file(int dir, const char *name)
{
	if (unlinkat(dir, name, 0) == 0)
		fsync(dir);
}

char *
dps_save_read_file(const char *path, size_t max_size, gsize *size, GError **error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not block */
	g_autofree char *text = NULL;
	gsize length = 0;
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return dps_throw_errno_null(error, errno, "%s", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > (off_t)max_size) {
		close(fd);
		return dps_throw_null(error, DPS_ERROR_CORRUPT, "%s: no file of at most %zu bytes",
				      path, max_size);
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
