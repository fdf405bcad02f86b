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
 *	DPS_FAULT=CALL:N:HOW	the N-th CALL (read, write, flush) below that directory
 *
 * HOW is the number of an errno, "short" (half of the bytes), or "lie": success, and nothing done.
 */
#undef _FILE_OFFSET_BITS /* both names of each call are defined here */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* POSIX gives dlsym(3) functions too; ISO C does not know of it. */
#define REAL(name) (__extension__(__typeof__(&name)) dlsym(RTLD_NEXT, #name))

static void
record(const char *kind, const char *path, long long offset, const void *bytes, size_t size)
{
	const char *log = getenv("DPS_RECORD");
	const char *below = getenv("DPS_RECORD_BELOW");
	char head[PATH_MAX + 100];
	int fd, n;

	if (!log || !below || strncmp(path, below, strlen(below)) != 0 || strcmp(path, log) == 0)
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
get_fate(const char *call, int fd)
{
	static unsigned int n_calls; /* of the kind that the test asked for */
	const char *fault = getenv("DPS_FAULT");
	const char *below = getenv("DPS_RECORD_BELOW");
	size_t size = strlen(call);
	char path[PATH_MAX], how[16];
	unsigned int nth;

	if (!fault || !below || strncmp(fault, call, size) != 0 ||
	    sscanf(fault + size, ":%u:%15s", &nth, how) != 2)
		return GO_ON;
	path_of(fd, path);
	if (strncmp(path, below, strlen(below)) != 0 || ++n_calls != nth)
		return GO_ON;

	record("fault", path, (long long)nth, NULL, 0);
	if (strcmp(how, "short") == 0)
		return SHORT;
	if (strcmp(how, "lie") == 0)
		return LIE;
	errno = atoi(how);
	return FAIL;
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
write(int fd, const void *bytes, size_t size)
{
	off_t offset = lseek(fd, 0, SEEK_CUR);
	char path[PATH_MAX];
	ssize_t n;

	if (get_fate("write", fd) == FAIL)
		return -1;
	n = REAL(write)(fd, bytes, size);
	path_of(fd, path);
	if (n > 0)
		record("write", path, offset < 0 ? 0 : offset, bytes, (size_t)n);
	return n;
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
	int result = REAL(linkat)(old_dir, old_path, new_dir, new_path, flags);

	absolute(old_dir, old_path, from);
	absolute(new_dir, new_path, to);
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
