/* SPDX-License-Identifier: LGPL-2.1-or-later */
#undef _FILE_OFFSET_BITS /* both names of each call are defined here */
#include "watch.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* POSIX gives dlsym(3) functions too; ISO C does not know of it. */
#define REAL(name) (__extension__(__typeof__(&name)) dlsym(RTLD_NEXT, #name))

/* What is to become of a call. */
typedef struct {
	const char *call;
	guint nth, n_seen;
	WatchFate fate;
	int errnum;
} Rule;

static struct {
	gboolean on;
	GString *calls;
	Rule rules[4];
	guint n_rules, n_met;
	WatchFate fate; /* of the call that has just met it */
	const char *awaited;
	guint n_to_go;
	void (*function)(void *data);
	void *data;
} watch;

void
watch_start(void)
{
	if (watch.calls)
		g_string_free(watch.calls, TRUE);
	memset(&watch, 0, sizeof(watch));
	watch.calls = g_string_new(NULL);
	watch.on = TRUE;
}

char *
watch_stop(void)
{
	char *text = g_string_free(watch.calls, FALSE);

	memset(&watch, 0, sizeof(watch));
	return text;
}

void
watch_fail(const char *call, guint nth, WatchFate fate, int errnum)
{
	g_assert_cmpuint(watch.n_rules, <, G_N_ELEMENTS(watch.rules));
	watch.rules[watch.n_rules++] =
		(Rule){ .call = call, .nth = nth, .fate = fate, .errnum = errnum };
}

guint
watch_get_n_met(void)
{
	return watch.n_met;
}

void
watch_before(const char *call, guint nth, void (*function)(void *data), void *data)
{
	watch.awaited = call;
	watch.n_to_go = nth;
	watch.function = function;
	watch.data = data;
}

/* Returns: whether the call meets its fate; errno is set then */
static gboolean
meet(const char *kind, const char *name, gboolean is_noted)
{
	g_autofree char *call = NULL;

	if (!watch.on)
		return FALSE;
	call = g_strdup_printf("%s %s", kind, name);
	if (watch.awaited && g_str_has_prefix(call, watch.awaited) && --watch.n_to_go == 0) {
		watch.awaited = NULL;
		watch.on = FALSE;
		watch.function(watch.data);
		watch.on = TRUE;
	}
	if (is_noted)
		g_string_append_printf(watch.calls, "%s%s", watch.calls->len ? ", " : "", call);
	for (guint i = 0; i < watch.n_rules; i++) {
		Rule *rule = &watch.rules[i];

		if (!g_str_has_prefix(call, rule->call) ||
		    (++rule->n_seen != rule->nth && rule->nth != 0 &&
		     (rule->fate != WATCH_DEAD || rule->n_seen < rule->nth)))
			continue;
		watch.n_met++;
		watch.fate = rule->fate;
		errno = rule->errnum;
		return TRUE;
	}
	return FALSE;
}

static gboolean
meet_fd(const char *kind, int fd, gboolean is_noted)
{
	char link[64], path[PATH_MAX];
	const char *slash;
	struct stat st;
	ssize_t n;

	if (!watch.on)
		return FALSE;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	path[n < 0 ? 0 : n] = '\0';
	if (stat(link, &st) == 0 && S_ISDIR(st.st_mode))
		return meet(kind, "/", is_noted);
	if (g_str_has_suffix(path, " (deleted)"))
		return meet(kind, "new", is_noted);
	slash = strrchr(path, '/');
	return meet(kind, slash ? slash + 1 : path, is_noted);
}

/* How many bytes of @size a call that met its fate works on; -1 when it does not work at all. */
static gboolean
cut(gboolean met, size_t *size, ssize_t *result)
{
	if (!met)
		return FALSE;
	switch (watch.fate) {
	case WATCH_FAIL:
	case WATCH_DEAD:
		*result = -1;
		return TRUE;
	case WATCH_LIE:
		*result = (ssize_t)*size;
		return TRUE;
	case WATCH_EMPTY:
		*result = 0;
		return TRUE;
	case WATCH_SHORT:
		*size = (*size + 1) / 2;
		return FALSE;
	}
	return FALSE;
}

ssize_t
pwrite64(int fd, const void *bytes, size_t size, off64_t offset)
{
	ssize_t result;

	if (cut(meet_fd("write", fd, TRUE), &size, &result))
		return result;
	return REAL(pwrite64)(fd, bytes, size, offset);
}

ssize_t
write(int fd, const void *bytes, size_t size)
{
	ssize_t result;

	if (cut(meet_fd("write", fd, TRUE), &size, &result))
		return result;
	return REAL(write)(fd, bytes, size);
}

ssize_t
pread64(int fd, void *bytes, size_t size, off64_t offset)
{
	ssize_t result;

	if (cut(meet_fd("read", fd, FALSE), &size, &result))
		return result;
	return REAL(pread64)(fd, bytes, size, offset);
}

ssize_t
read(int fd, void *bytes, size_t size)
{
	ssize_t result;

	if (cut(meet_fd("read", fd, FALSE), &size, &result))
		return result;
	return REAL(read)(fd, bytes, size);
}

static gboolean
fails(gboolean met)
{
	return met && (watch.fate == WATCH_FAIL || watch.fate == WATCH_DEAD);
}

/* No test cuts the power: what is flushed is written down, and costs no time. */
int
fdatasync(int fd)
{
	return fails(meet_fd("flush", fd, TRUE)) ? -1 : 0;
}

int
fsync(int fd)
{
	return fails(meet_fd("flush", fd, TRUE)) ? -1 : 0;
}

int
linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
	return fails(meet("link", to, TRUE)) ? -1 : REAL(linkat)(from_dir, from, to_dir, to, flags);
}

int
unlinkat(int dir, const char *name, int flags)
{
	return fails(meet("unlink", name, TRUE)) ? -1 : REAL(unlinkat)(dir, name, flags);
}

int
mkdirat(int dir, const char *name, mode_t mode)
{
	g_autofree char *what = g_strdup_printf("%s %04o", name, (unsigned)mode);

	return fails(meet("mkdir", what, TRUE)) ? -1 : REAL(mkdirat)(dir, name, mode);
}

int
fstat64(int fd, struct stat64 *st)
{
	return fails(meet_fd("stat", fd, FALSE)) ? -1 : REAL(fstat64)(fd, st);
}

/* The mode is there when a file is made, and only then. */
static int
watched_open(int dir, const char *path, int flags, mode_t mode)
{
	g_autofree char *name = g_path_get_basename(path);

	return fails(meet("open", name, FALSE)) ? -1 : REAL(openat64)(dir, path, flags, mode);
}

#define GET_MODE(mode, flags)                                                                      \
	do {                                                                                       \
		if ((flags) & (O_CREAT | __O_TMPFILE)) {                                           \
			va_list args;                                                              \
                                                                                                   \
			va_start(args, flags);                                                     \
			mode = va_arg(args, mode_t);                                               \
			va_end(args);                                                              \
		}                                                                                  \
	} while (0)

int
open64(const char *path, int flags, ...)
{
	mode_t mode = 0;

	GET_MODE(mode, flags);
	return watched_open(AT_FDCWD, path, flags, mode);
}

int
openat64(int dir, const char *path, int flags, ...)
{
	mode_t mode = 0;

	GET_MODE(mode, flags);
	return watched_open(dir, path, flags, mode);
}
