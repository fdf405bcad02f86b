/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/files.h"
#include "ground/error.h"
#include "target/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

/*
 * Files below a directory of the running system.
 *
 * A path is gone part by part, no part is a link or "..", so that nothing outside can be reached;
 * openat2(2) with RESOLVE_BENEATH would do the same, but kernels before 5.6 and the sandboxes of
 * image builders do not have it.
 */
typedef struct {
	int fd;
	gboolean no_links, ignores_case;
} Dir;

/* Linux: include/uapi/linux/limits.h, XATTR_SIZE_MAX. */
#define MAX_ATTRIBUTE_SIZE 65536

/* A name as FAT compares it; bytes that are no text compare as themselves. */
static char *
fold(const char *name)
{
	g_autoptr(GString) folded = NULL;

	if (!g_utf8_validate(name, -1, NULL))
		return g_strdup(name);

	folded = g_string_new(NULL);
	for (const char *p = name; *p; p = g_utf8_next_char(p))
		g_string_append_unichar(folded, g_unichar_toupper(g_utf8_get_char(p)));
	return g_string_free(g_steal_pointer(&folded), FALSE);
}

/* A stream of its own over a directory. */
static DIR *
open_stream(int fd, const char *name)
{
	int stream_fd = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *stream = stream_fd < 0 ? NULL : fdopendir(stream_fd);
	int saved = errno;

	if (stream_fd >= 0 && !stream)
		close(stream_fd);
	errno = saved;
	return stream;
}

/*
 * The name that @part has in the directory, when case does not matter: of several the first by its
 * bytes, so that the answer does not hang on the order of the directory.  NULL when it is not
 * there.
 */
static char *
find_ignoring_case(int fd, const char *part)
{
	g_autoptr(DpsDirStream) stream = open_stream(fd, ".");
	g_autofree char *wanted = fold(part), *found = NULL;
	const struct dirent *entry;

	for (guint n = 0; stream && n < DPS_FILES_MAX_NAMES && (entry = readdir(stream)); n++) {
		g_autofree char *folded = fold(entry->d_name);

		if (g_str_equal(folded, wanted) && (!found || strcmp(entry->d_name, found) < 0)) {
			g_free(found);
			found = g_strdup(entry->d_name);
		}
	}
	return g_steal_pointer(&found);
}

/* The name that @part really has, when the directory is one that ignores case; else itself. */
static char *
real_name(const Dir *self, int fd, const char *part)
{
	char *found = NULL;

	if (self->ignores_case && faccessat(fd, part, F_OK, AT_SYMLINK_NOFOLLOW) < 0 &&
	    errno == ENOENT)
		found = find_ignoring_case(fd, part);
	return found ? found : g_strdup(part);
}

/* A name that no directory can have is not there; all else is what errno says. */
static void
throw_path(GError **error, const char *path)
{
	dps_throw_errno(error, errno == ENAMETOOLONG ? ENOENT : errno, "%s", path);
}

/* Opens the directory that the last part of @path lies in; -1 on failure. */
static int
open_parent(const Dir *self, const char *path, char **last, GError **error)
{
	g_auto(GStrv) parts = g_strsplit(path + 1, "/", -1);
	g_auto(DpsFd) at = -1;
	guint i = 0;

	at = openat(self->fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (; at >= 0 && parts[i] && parts[i + 1]; i++) {
		g_autofree char *name = real_name(self, at, parts[i]);
		int next = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		if (next < 0) {
			throw_path(error, path);
			return -1;
		}
		close(at);
		at = next;
	}
	if (at < 0) {
		dps_throw_errno(error, errno, "%s", path);
		return -1;
	}

	*last = parts[i] && *parts[i] ? real_name(self, at, parts[i]) : g_strdup(".");
	return dps_fd_steal(&at);
}

static DpsFileInfo *
make_info(const char *name, const struct stat *st)
{
	DpsFileInfo *info = g_new0(DpsFileInfo, 1);

	info->is_name_damaged = !g_utf8_validate(name, -1, NULL);
	info->name = g_utf8_make_valid(name, -1);
	info->kind = S_ISREG(st->st_mode)   ? DPS_FILE_REGULAR
		     : S_ISDIR(st->st_mode) ? DPS_FILE_DIRECTORY
		     : S_ISLNK(st->st_mode) ? DPS_FILE_LINK
					    : DPS_FILE_OTHER;
	info->size = info->kind == DPS_FILE_REGULAR ? (uint64_t)st->st_size : 0;
	info->mode = st->st_mode & 07777;
	return info;
}

static DpsFileInfo *
dir_stat(void *fs, const char *path, GError **error)
{
	const Dir *self = fs;
	g_autofree char *name = NULL;
	g_auto(DpsFd) parent = open_parent(self, path, &name, error);
	struct stat st;

	if (parent < 0)
		return NULL;
	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		throw_path(error, path);
		return NULL;
	}
	if (self->no_links && S_ISLNK(st.st_mode))
		return dps_throw_null(error, DPS_ERROR_NOT_FOUND, "%s: a link", path);

	return make_info(g_str_equal(name, ".") ? "" : name, &st);
}

static GPtrArray *
dir_list(void *fs, const char *path, GError **error)
{
	const Dir *self = fs;
	g_autofree char *name = NULL;
	g_auto(DpsFd) parent = open_parent(self, path, &name, error);
	g_autoptr(DpsDirStream) stream = parent < 0 ? NULL : open_stream(parent, name);
	g_autoptr(GPtrArray) infos = NULL;

	if (parent < 0)
		return NULL;
	if (!stream)
		return dps_throw_errno_null(error, errno, "%s", path);

	infos = g_ptr_array_new_with_free_func((GDestroyNotify)dps_file_info_free);
	for (;;) {
		const struct dirent *entry;
		struct stat st;

		errno = 0;
		entry = readdir(stream);
		if (!entry && errno != 0)
			return dps_throw_errno_null(error, errno, "%s", path);
		if (!entry)
			return g_steal_pointer(&infos);
		if (g_str_equal(entry->d_name, ".") || g_str_equal(entry->d_name, ".."))
			continue;
		/* Who removes a file while we look is right: it is not there. */
		if (fstatat(dirfd(stream), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
			if (errno == ENOENT)
				continue;
			return dps_throw_errno_null(error, errno, "%s/%s", path, entry->d_name);
		}
		if (self->no_links && S_ISLNK(st.st_mode))
			continue;
		if (infos->len >= DPS_FILES_MAX_NAMES)
			return dps_throw_null(error, DPS_ERROR_CORRUPT, "%s: more than %d names",
					      path, DPS_FILES_MAX_NAMES);
		g_ptr_array_add(infos, make_info(entry->d_name, &st));
	}
}

/* Opens what is at @path; a pipe that nobody writes to does not keep us. */
static int
open_path(const Dir *self, const char *path, GError **error)
{
	g_autofree char *name = NULL;
	g_auto(DpsFd) parent = open_parent(self, path, &name, error);
	int fd;

	if (parent < 0)
		return -1;
	fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		dps_throw_errno(error, errno, "%s", path);
	return fd;
}

static gboolean
dir_open(void *fs, const char *path, DpsRegion *region, void **handle, GError **error)
{
	g_auto(DpsFd) fd = open_path(fs, path, error);
	struct stat st;

	if (fd < 0)
		return FALSE;
	if (fstat(fd, &st) < 0)
		return dps_throw_errno(error, errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return dps_throw(error, DPS_ERROR_INVALID, "%s: not a regular file", path);

	*region = dps_region_over_fd(fd, 0, (uint64_t)st.st_size);
	*handle = GINT_TO_POINTER(dps_fd_steal(&fd));
	return TRUE;
}

static void
dir_close(void *handle)
{
	close(GPOINTER_TO_INT(handle));
}

static char *
dir_read_link(void *fs, const char *path, GError **error)
{
	g_autofree char *name = NULL, *target = g_malloc(PATH_MAX);
	g_auto(DpsFd) parent = open_parent(fs, path, &name, error);
	ssize_t n;

	if (parent < 0)
		return NULL;
	n = readlinkat(parent, name, target, PATH_MAX - 1);
	if (n < 0)
		return dps_throw_errno_null(error, errno, "%s: read link", path);

	target[n] = '\0';
	return g_steal_pointer(&target);
}

static GBytes *
dir_get_attribute(void *fs, const char *path, const char *name, GError **error)
{
	g_autofree char *value = g_malloc(MAX_ATTRIBUTE_SIZE);
	g_auto(DpsFd) fd = open_path(fs, path, error);
	ssize_t n;

	if (fd < 0)
		return NULL;
	n = fgetxattr(fd, name, value, MAX_ATTRIBUTE_SIZE);
	if (n < 0 && errno == ENODATA)
		return dps_throw_null(error, DPS_ERROR_NOT_FOUND, "%s: %s: not set", path, name);
	if (n < 0)
		return dps_throw_errno_null(error, errno, "%s: %s", path, name);

	return g_bytes_new(value, (gsize)n);
}

static gboolean
dir_get_space(void *fs, uint64_t *size, uint64_t *free_size, uint64_t *unit, GError **error)
{
	const Dir *self = fs;
	struct statvfs st;

	if (fstatvfs(self->fd, &st) < 0)
		return dps_throw_errno(error, errno, "free space");

	*unit = st.f_frsize;
	*size = (uint64_t)st.f_blocks * st.f_frsize;
	*free_size = (uint64_t)st.f_bavail * st.f_frsize;
	return TRUE;
}

static void
dir_free(void *fs)
{
	Dir *self = fs;

	close(self->fd);
	g_free(self);
}

static const DpsFilesClass dir_class = {
	.type = "directory",
	.stat = dir_stat,
	.list = dir_list,
	.open = dir_open,
	.close = dir_close,
	.read_link = dir_read_link,
	.get_attribute = dir_get_attribute,
	.get_space = dir_get_space,
	.free = dir_free,
};

/* Without read_link no one asks of each part whether it is a link. */
static const DpsFilesClass dir_without_links_class = {
	.type = "directory",
	.stat = dir_stat,
	.list = dir_list,
	.open = dir_open,
	.close = dir_close,
	.get_attribute = dir_get_attribute,
	.get_space = dir_get_space,
	.free = dir_free,
};

DpsFiles *
dps_files_open_dir(int fd, DpsFilesFlags flags, GError **error)
{
	Dir *self;
	int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	/* One may be allowed to go through a directory and not to list it. */
	if (own < 0 && errno == EACCES)
		own = openat(fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (own < 0 && errno == ENOTDIR)
		return dps_throw_null(error, DPS_ERROR_INVALID, "not a directory");
	if (own < 0)
		return dps_throw_errno_null(error, errno, "directory");

	self = g_new0(Dir, 1);
	self->fd = own;
	self->no_links = (flags & DPS_FILES_NO_LINKS) != 0;
	self->ignores_case = (flags & DPS_FILES_IGNORE_CASE) != 0;
	return dps_files_new(self->no_links ? &dir_without_links_class : &dir_class, self, NULL);
}
