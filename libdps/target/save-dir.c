/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/save-dir.h"
#include "ground/error.h"
#include "target/fd.h"

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
		int fd = dps_tree_open_dir(tree, part[0] ? part : "/", &local_error);
		char *slash = strrchr(part, '/');

		if (fd >= 0) {
			*length = strlen(part);
			return fd;
		}
		if (!slash || local_error->code != DPS_ERROR_NOT_FOUND) {
			g_propagate_error(error, g_steal_pointer(&local_error));
			return -1;
		}
		*slash = '\0';
	}
}

/*
 * Makes the directories of @path behind @length, each flushed into the one above it.  The last is
 * for its owner alone; those above it (/var of a tree that has none yet) are for everybody.
 */
static int
make_dirs(int fd, const char *path, gsize length, GError **error)
{
	g_auto(GStrv) names = g_strsplit(path + length, "/", -1);
	guint last = g_strv_length(names);

	while (last > 0 && names[last - 1][0] == '\0')
		last--;
	for (guint i = 0; i < last; i++) {
		mode_t mode = i + 1 < last ? 0755 : 0700;
		int below;

		if (names[i][0] == '\0')
			continue;
		if ((mkdirat(fd, names[i], mode) < 0 && errno != EEXIST) || !dps_fd_flush(fd)) {
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

	if (!tree) {
		g_assert(!create);
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			dps_throw_errno(error, errno, "%s", path);
		return fd;
	}
	if (!create)
		return dps_tree_open_dir(tree, path, error);

	fd = open_existing(tree, path, &length, error);
	return fd < 0 ? -1 : make_dirs(fd, path, length, error);
}
