/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Preloaded into a program: writes down every change that it makes to files below one directory,
 * and every flush, in order, for replay.py.
 *
 *	DPS_RECORD=LOG	where; DPS_RECORD_BELOW=DIR: of what
 *
 * Eight bytes, how many follow, in the machine's order; then records.  A record is a line
 * "KIND\tPATH\tOFFSET\tSIZE\n" with SIZE bytes and a newline behind it.  Kinds: write, flush,
 * flush-dir, truncate, rename and link (the bytes are the new path), unlink.
 *
 * And makes calls fail:
 *
 *	DPS_FAULT=CALL:N:HOW	the N-th CALL (open, read, write, flush, link, unlink, rename,
 *				truncate, stat, ioctl, lock) below that directory; "any" counts them
 *				all, "change" those that change something; with a + behind N this
 *				one and all that follow; several faults with commas between
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
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

/*
 * The log is mapped at once and shared: a process that confines itself can open no file to write
 * later, and one that closes all descriptors but its own has none.  The first eight bytes say how
 * many are used behind them.
 */
#define LOG_SIZE (64u << 20) /* a sparse file; a run writes some hundred KiB */

static char *log_bytes;

__attribute__((constructor)) static void
open_log(void)
{
	const char *log = getenv("DPS_RECORD");
	void *place;
	int fd;

	if (!log)
		return;
	fd = REAL(open)(log, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || REAL(ftruncate)(fd, LOG_SIZE) < 0)
		abort(); /* a log with a hole proves nothing */
	place = mmap(NULL, LOG_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (place == MAP_FAILED)
		abort();
	close(fd);
	log_bytes = place;
}

static void
record(const char *kind, const char *path, long long offset, const void *bytes, size_t size)
{
	char head[PATH_MAX + 100];
	uint64_t at;
	size_t n;

	if (!log_bytes || !is_below(path))
		return;

	n = (size_t)snprintf(head, sizeof(head), "%s\t%s\t%lld\t%zu\n", kind, path, offset, size);
	at = __atomic_fetch_add((uint64_t *)(void *)log_bytes, n + size + 1, __ATOMIC_SEQ_CST);
	if (at + n + size + 1 > LOG_SIZE - sizeof(at))
		abort();
	at += sizeof(at);
	memcpy(log_bytes + at, head, n);
	if (size > 0)
		memcpy(log_bytes + at + n, bytes, size);
	log_bytes[at + n + size] = '\n';
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

#define MAX_FAULTS 4

/* Whether a call is of the kind that the test asked for. */
static int
is_meant(const char *asked, size_t size, const char *call)
{
	static const char *const changing[] = { "write",  "flush",  "link",
						"unlink", "rename", "truncate" };

	if (size == 3 && strncmp(asked, "any", size) == 0)
		return 1;
	if (size == 6 && strncmp(asked, "change", size) == 0) {
		for (size_t i = 0; i < sizeof(changing) / sizeof(changing[0]); i++)
			if (strcmp(call, changing[i]) == 0)
				return 1;
		return 0;
	}
	return strlen(call) == size && strncmp(asked, call, size) == 0;
}

static Fate
meet_fate(const char *how, const char *path, unsigned int nth)
{
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

/* What becomes of this call. */
static Fate
get_fate_of(const char *call, const char *path)
{
	static unsigned int n_calls[MAX_FAULTS]; /* of the kinds that the test asked for */
	const char *fault = getenv("DPS_FAULT");
	const char *only = getenv("DPS_FAULT_PATH");
	Fate fate = GO_ON;

	if (!fault || !is_below(path) || (only && !strstr(path, only)))
		return GO_ON;
	for (size_t i = 0; fault && i < MAX_FAULTS; i++) {
		size_t size = strcspn(fault, ":");
		unsigned int nth;
		char follow, how[16];
		int is_one = sscanf(fault + size, ":%u:%15[^,]", &nth, how) == 2;

		if (!is_one && (sscanf(fault + size, ":%u%c:%15[^,]", &nth, &follow, how) != 3 ||
				follow != '+'))
			abort();
		if (is_meant(fault, size, call) &&
		    (++n_calls[i] == nth || (!is_one && n_calls[i] > nth)))
			fate = meet_fate(how, path, n_calls[i]);
		fault = strchr(fault, ',');
		fault = fault ? fault + 1 : NULL;
	}
	return fate;
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
		record(REAL(fstat)(fd, &st) == 0 && S_ISDIR(st.st_mode) ? "flush-dir" : "flush",
		       path, 0, NULL, 0);
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
	char path[PATH_MAX];
	int result;

	if (get_fate("truncate", fd) == FAIL)
		return -1;
	result = REAL(ftruncate)(fd, size);
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
renameat2(int old_dir, const char *old_path, int new_dir, const char *new_path, unsigned int flags)
{
	char from[PATH_MAX], to[PATH_MAX];
	int result;

	absolute(old_dir, old_path, from);
	absolute(new_dir, new_path, to);
	if (get_fate_of("rename", to) == FAIL)
		return -1;
	result = REAL(renameat2)(old_dir, old_path, new_dir, new_path, flags);
	if (result == 0)
		record("rename", from, 0, to, strlen(to));
	return result;
}

int
renameat(int old_dir, const char *old_path, int new_dir, const char *new_path)
{
	return renameat2(old_dir, old_path, new_dir, new_path, 0);
}

int
rename(const char *old_path, const char *new_path)
{
	return renameat2(AT_FDCWD, old_path, AT_FDCWD, new_path, 0);
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
	int result;

	absolute(dir, path, which);
	if (get_fate_of("unlink", which) == FAIL)
		return -1;
	result = REAL(unlinkat)(dir, path, flags);
	if (result == 0)
		record("unlink", which, 0, NULL, 0);
	return result;
}

int
unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

/*
 * Calls that the C library has no function for: openat2(2).  How many words there are depends on the
 * number: all six are passed on, and what nobody gave is whatever lies there.
 */
__attribute__((no_sanitize("address"))) long
syscall(long number, ...)
{
	long words[6];
	va_list args;

	va_start(args, number);
	for (size_t i = 0; i < 6; i++)
		words[i] = va_arg(args, long);
	va_end(args);

	if (number == SYS_openat2) {
		char which[PATH_MAX];

		absolute((int)words[0], (const char *)words[1], which);
		if (get_fate_of("open", which) == FAIL)
			return -1;
	}
	return REAL(syscall)(number, words[0], words[1], words[2], words[3], words[4], words[5]);
}

int
ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *argument;

	va_start(args, request);
	argument = va_arg(args, void *);
	va_end(args);

	if (get_fate("ioctl", fd) == FAIL)
		return -1;
	return REAL(ioctl)(fd, request, argument);
}

int
flock(int fd, int operation)
{
	return get_fate("lock", fd) == FAIL ? -1 : REAL(flock)(fd, operation);
}

int
fstat(int fd, struct stat *st)
{
	return get_fate("stat", fd) == FAIL ? -1 : REAL(fstat)(fd, st);
}

int
fstat64(int fd, struct stat64 *st)
{
	return get_fate("stat", fd) == FAIL ? -1 : REAL(fstat64)(fd, st);
}

static Fate
get_fate_of_stat(int dir, const char *path)
{
	char which[PATH_MAX];

	absolute(dir, path, which);
	return get_fate_of("stat", which);
}

int
stat(const char *path, struct stat *st)
{
	return get_fate_of_stat(AT_FDCWD, path) == FAIL ? -1 : REAL(stat)(path, st);
}

int
stat64(const char *path, struct stat64 *st)
{
	return get_fate_of_stat(AT_FDCWD, path) == FAIL ? -1 : REAL(stat64)(path, st);
}

int
fstatat(int dir, const char *path, struct stat *st, int flags)
{
	return get_fate_of_stat(dir, path) == FAIL ? -1 : REAL(fstatat)(dir, path, st, flags);
}

int
fstatat64(int dir, const char *path, struct stat64 *st, int flags)
{
	return get_fate_of_stat(dir, path) == FAIL ? -1 : REAL(fstatat64)(dir, path, st, flags);
}
