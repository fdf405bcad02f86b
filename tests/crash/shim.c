/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Preloaded into a program: writes down every change that it makes to files below one directory,
 * and every flush, in order, for replay.py.
 *
 *	DPS_RECORD=LOG	where; DPS_RECORD_BELOW=DIR: of what
 *
 * A record is a line "KIND\tPATH\tOFFSET\tSIZE\n" with SIZE bytes and a newline behind it.  Kinds:
 * write, flush, flush-dir, truncate, rename and link (the bytes are the new path), unlink.
 *
 * And makes one call fail:
 *
 *	DPS_FAULT=CALL:N:HOW	the N-th CALL (open, read, write, flush, link) below that directory,
 *				each one when N is 0
 *	DPS_FAULT_PATH=TEXT	of these, on files with TEXT in their path
 *
 * HOW is the number of an errno, "short" (half of the bytes), "lie" (success, and nothing done), or
 * "signal" and the number of one that comes just before the call.
 */
#undef _FILE_OFFSET_BITS /* both names of each call are defined here */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* POSIX gives dlsym(3) functions too; ISO C does not know of it. */
#define REAL(name) (__extension__(__typeof__(&name)) dlsym(RTLD_NEXT, #name))

/* The directory, which is given with a slash behind it, is below itself: it is flushed too. */
static int
is_below(const char *path)
{
	const char *below = getenv("DPS_RECORD_BELOW");
	size_t size = below ? strlen(below) : 0;

	return size > 0 && (strncmp(path, below, size) == 0 ||
			    (strlen(path) == size - 1 && strncmp(path, below, size - 1) == 0));
}

static void
record(const char *kind, const char *path, long long offset, const void *bytes, size_t size)
{
	const char *log = getenv("DPS_RECORD");
	char head[PATH_MAX + 100];
	int fd, n;

	if (!log || !is_below(path) || strcmp(path, log) == 0)
		return;

	n = snprintf(head, sizeof(head), "%s\t%s\t%lld\t%zu\n", kind, path, offset, size);
	fd = REAL(open)(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0 || REAL(write)(fd, head, (size_t)n) != n ||
	    (size > 0 && REAL(write)(fd, bytes, size) != (ssize_t)size) ||
	    REAL(write)(fd, "\n", 1) != 1)
		abort(); /* a log with a hole proves nothing */
	close(fd);
}

static void
path_of(int fd, char path[PATH_MAX])
{
	char name[64];
	ssize_t n;

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	n = readlink(name, path, PATH_MAX - 1);
	path[n < 0 ? 0 : n] = '\0';
}

static void
absolute(int dir, const char *path, char out[PATH_MAX])
{
	char base[PATH_MAX];

	if (path[0] == '/') {
		snprintf(out, PATH_MAX, "%s", path);
		return;
	}
	if (dir == AT_FDCWD) {
		if (!getcwd(base, sizeof(base)))
			base[0] = '\0';
	} else {
		path_of(dir, base);
	}
	if (snprintf(out, PATH_MAX, "%s/%s", base, path) >= PATH_MAX)
		abort();
}

typedef enum { GO_ON, FAIL, SHORT, LIE } Fate;

/* What becomes of this call. */
static Fate
get_fate_of(const char *call, const char *path)
{
	static unsigned int n_calls; /* of the kind that the test asked for */
	const char *fault = getenv("DPS_FAULT");
	const char *only = getenv("DPS_FAULT_PATH");
	size_t size = strlen(call);
	char how[16];
	unsigned int nth;

	if (!fault || strncmp(fault, call, size) != 0 ||
	    sscanf(fault + size, ":%u:%15s", &nth, how) != 2)
		return GO_ON;
	if (!is_below(path) || (only && !strstr(path, only)) || (++n_calls != nth && nth != 0))
		return GO_ON;

	record("fault", path, (long long)nth, NULL, 0);
	if (strcmp(how, "short") == 0)
		return SHORT;
	if (strcmp(how, "lie") == 0)
		return LIE;
	if (strncmp(how, "signal", 6) == 0) {
		raise(atoi(how + 6));
		return GO_ON;
	}
	errno = atoi(how);
	return FAIL;
}

static Fate
get_fate(const char *call, int fd)
{
	char path[PATH_MAX];

	if (!getenv("DPS_FAULT"))
		return GO_ON;
	path_of(fd, path);
	return get_fate_of(call, path);
}

static ssize_t
fated_pwrite(int fd, const void *bytes, size_t size, off64_t offset)
{
	char path[PATH_MAX];
	ssize_t n;

	switch (get_fate("write", fd)) {
	case FAIL:
		return -1;
	case LIE:
		return (ssize_t)size;
	case SHORT:
		size = (size + 1) / 2;
		break;
	case GO_ON:
		break;
	}
	n = REAL(pwrite64)(fd, bytes, size, offset);
	path_of(fd, path);
	if (n > 0)
		record("write", path, offset, bytes, (size_t)n);
	return n;
}

ssize_t
pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
	return fated_pwrite(fd, bytes, size, offset);
}

ssize_t
pwrite64(int fd, const void *bytes, size_t size, off64_t offset)
{
	return fated_pwrite(fd, bytes, size, offset);
}

static ssize_t
fated_pread(int fd, void *bytes, size_t size, off64_t offset)
{
	Fate fate = get_fate("read", fd);

	if (fate == FAIL)
		return -1;
	return REAL(pread64)(fd, bytes, fate == SHORT ? (size + 1) / 2 : size, offset);
}

ssize_t
pread(int fd, void *bytes, size_t size, off_t offset)
{
	return fated_pread(fd, bytes, size, offset);
}

ssize_t
pread64(int fd, void *bytes, size_t size, off64_t offset)
{
	return fated_pread(fd, bytes, size, offset);
}

ssize_t
read(int fd, void *bytes, size_t size)
{
	Fate fate = get_fate("read", fd);

	if (fate == FAIL)
		return -1;
	return REAL(read)(fd, bytes, fate == SHORT ? (size + 1) / 2 : size);
}

ssize_t
write(int fd, const void *bytes, size_t size)
{
	off_t offset = lseek(fd, 0, SEEK_CUR);
	char path[PATH_MAX];
	ssize_t n;

	switch (get_fate("write", fd)) {
	case FAIL:
		return -1;
	case LIE:
		return (ssize_t)size;
	case SHORT:
		size = (size + 1) / 2;
		break;
	case GO_ON:
		break;
	}
	n = REAL(write)(fd, bytes, size);
	path_of(fd, path);
	if (n > 0)
		record("write", path, offset < 0 ? 0 : offset, bytes, (size_t)n);
	return n;
}

static int
fated_open(int dir, const char *path, int flags, mode_t mode)
{
	char which[PATH_MAX];

	absolute(dir, path, which);
	if (get_fate_of("open", which) == FAIL)
		return -1;
	return REAL(openat64)(dir, path, flags, mode);
}

/* The mode is there when a file is made, and only then. */
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
open(const char *path, int flags, ...)
{
	mode_t mode = 0;

	GET_MODE(mode, flags);
	return fated_open(AT_FDCWD, path, flags, mode);
}

int
open64(const char *path, int flags, ...)
{
	mode_t mode = 0;

	GET_MODE(mode, flags);
	return fated_open(AT_FDCWD, path, flags, mode);
}

int
openat(int dir, const char *path, int flags, ...)
{
	mode_t mode = 0;

	GET_MODE(mode, flags);
	return fated_open(dir, path, flags, mode);
}

int
openat64(int dir, const char *path, int flags, ...)
{
	mode_t mode = 0;

	GET_MODE(mode, flags);
	return fated_open(dir, path, flags, mode);
}

static int
record_flush(int fd, int result)
{
	char path[PATH_MAX];
	struct stat st;

	path_of(fd, path);
	if (result == 0)
		record(fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) ? "flush-dir" : "flush", path, 0,
		       NULL, 0);
	return result;
}

int
fdatasync(int fd)
{
	if (get_fate("flush", fd) == FAIL)
		return -1;
	return record_flush(fd, REAL(fdatasync)(fd));
}

int
fsync(int fd)
{
	if (get_fate("flush", fd) == FAIL)
		return -1;
	return record_flush(fd, REAL(fsync)(fd));
}

int
ftruncate(int fd, off_t size)
{
	int result = REAL(ftruncate)(fd, size);
	char path[PATH_MAX];

	path_of(fd, path);
	if (result == 0)
		record("truncate", path, size, NULL, 0);
	return result;
}

int
ftruncate64(int fd, off64_t size)
{
	return ftruncate(fd, (off_t)size);
}

int
renameat(int old_dir, const char *old_path, int new_dir, const char *new_path)
{
	char from[PATH_MAX], to[PATH_MAX];
	int result = REAL(renameat)(old_dir, old_path, new_dir, new_path);

	absolute(old_dir, old_path, from);
	absolute(new_dir, new_path, to);
	if (result == 0)
		record("rename", from, 0, to, strlen(to));
	return result;
}

int
rename(const char *old_path, const char *new_path)
{
	char from[PATH_MAX], to[PATH_MAX];
	int result = REAL(rename)(old_path, new_path);

	absolute(AT_FDCWD, old_path, from);
	absolute(AT_FDCWD, new_path, to);
	if (result == 0)
		record("rename", from, 0, to, strlen(to));
	return result;
}

int
renameat2(int old_dir, const char *old_path, int new_dir, const char *new_path, unsigned int flags)
{
	char from[PATH_MAX], to[PATH_MAX];
	int result = REAL(renameat2)(old_dir, old_path, new_dir, new_path, flags);

	absolute(old_dir, old_path, from);
	absolute(new_dir, new_path, to);
	if (result == 0)
		record("rename", from, 0, to, strlen(to));
	return result;
}

int
linkat(int old_dir, const char *old_path, int new_dir, const char *new_path, int flags)
{
	char from[PATH_MAX], to[PATH_MAX];
	int result, fd;

	absolute(new_dir, new_path, to);
	if (get_fate_of("link", to) == FAIL)
		return -1;
	result = REAL(linkat)(old_dir, old_path, new_dir, new_path, flags);
	/* A file without a name gets one: known by the name that its writes were recorded under. */
	if (sscanf(old_path, "/proc/self/fd/%d", &fd) == 1)
		path_of(fd, from);
	else
		absolute(old_dir, old_path, from);
	if (result == 0)
		record("link", from, 0, to, strlen(to));
	return result;
}

int
unlinkat(int dir, const char *path, int flags)
{
	char which[PATH_MAX];
	int result = REAL(unlinkat)(dir, path, flags);

	absolute(dir, path, which);
	if (result == 0)
		record("unlink", which, 0, NULL, 0);
	return result;
}

int
unlink(const char *path)
{
	char which[PATH_MAX];
	int result = REAL(unlink)(path);

	absolute(AT_FDCWD, path, which);
	if (result == 0)
		record("unlink", which, 0, NULL, 0);
	return result;
}
