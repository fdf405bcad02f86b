/* SPDX-License-Identifier: LGPL-2.1-or-later */
#undef _FILE_OFFSET_BITS /* both names of each call are defined here */
#include "fault.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

/* POSIX gives dlsym(3) functions too; ISO C does not know of it. */
#define REAL(name) (__extension__(__typeof__(&name)) dlsym(RTLD_NEXT, #name))

typedef struct {
	FaultCall call;
	guint first, last; /* of the calls from fault_set() on */
	guint n_calls;
	int how;
	void (*happen)(gpointer data);
	gpointer data;
	gboolean was_reached;
} Fault;

static Fault faults[4];
static guint n_faults;
static gboolean is_happening;

static void
add_fault(Fault fault)
{
	g_assert_cmpuint(n_faults, <, G_N_ELEMENTS(faults));
	faults[n_faults++] = fault;
}

void
fault_set(FaultCall call, guint nth, int how)
{
	add_fault((Fault){ .call = call, .first = nth, .last = nth, .how = how });
}

void
fault_set_from(FaultCall call, guint nth, int how)
{
	add_fault((Fault){ .call = call, .first = nth, .last = G_MAXUINT, .how = how });
}

void
fault_set_event(FaultCall call, guint nth, void (*happen)(gpointer data), gpointer data)
{
	add_fault(
		(Fault){ .call = call, .first = nth, .last = nth, .happen = happen, .data = data });
}

gboolean
fault_clear(void)
{
	gboolean were_reached = TRUE;

	for (guint i = 0; i < n_faults; i++)
		were_reached &= faults[i].was_reached;
	n_faults = 0;
	return were_reached;
}

gboolean
fault_was_reached(void)
{
	return n_faults > 0 && faults[0].was_reached;
}

/* Returns: 0 when the call is to be made, else how it fails, with errno set when it is one. */
static int
get_fate(FaultCall call)
{
	Fault *due = NULL;

	for (guint i = 0; i < n_faults && !is_happening; i++) {
		Fault *fault = &faults[i];

		if (fault->call != call || ++fault->n_calls < fault->first ||
		    fault->n_calls > fault->last)
			continue;
		fault->was_reached = TRUE;
		due = fault;
	}
	if (!due)
		return 0;

	if (due->happen) {
		is_happening = TRUE; /* what it calls itself is not counted */
		due->happen(due->data);
		is_happening = FALSE;
		return 0;
	}
	if (due->how > 0)
		errno = due->how;
	return due->how;
}

/* The size that a read or write is made with; or @result is what it gives back. */
static gboolean
is_made(FaultCall call, size_t *size, ssize_t *result)
{
	switch (get_fate(call)) {
	case 0:
		return TRUE;
	case FAULT_SHORT:
		*size = (*size + 1) / 2;
		return TRUE;
	case FAULT_LIE:
		*result = (ssize_t)*size;
		return FALSE;
	case FAULT_END:
		*result = 0;
		return FALSE;
	default:
		*result = -1;
		return FALSE;
	}
}

/* A lie is a link that fills the whole buffer. */
ssize_t
readlinkat(int dir, const char *path, char *buffer, size_t size)
{
	ssize_t result;

	memset(buffer, 'a', size);
	return is_made(FAULT_READLINK, &size, &result) ? REAL(readlinkat)(dir, path, buffer, size)
						       : result;
}

ssize_t
fgetxattr(int fd, const char *name, void *value, size_t size)
{
	ssize_t result;

	return is_made(FAULT_XATTR, &size, &result) ? REAL(fgetxattr)(fd, name, value, size)
						    : result;
}

/* A function a line. */
/* clang-format off */
#define BYTES(call, name, parameters, arguments)                                                   \
	ssize_t name parameters                                                                    \
	{                                                                                          \
		ssize_t result;                                                                    \
                                                                                                   \
		return is_made(call, &size, &result) ? REAL(name) arguments : result;              \
	}
BYTES(FAULT_READ, read, (int fd, void *bytes, size_t size), (fd, bytes, size))
BYTES(FAULT_READ, pread, (int fd, void *bytes, size_t size, off_t offset), (fd, bytes, size, offset))
BYTES(FAULT_READ, pread64, (int fd, void *bytes, size_t size, off64_t offset), (fd, bytes, size, offset))
BYTES(FAULT_WRITE, write, (int fd, const void *bytes, size_t size), (fd, bytes, size))
BYTES(FAULT_WRITE, pwrite, (int fd, const void *bytes, size_t size, off_t offset), (fd, bytes, size, offset))
BYTES(FAULT_WRITE, pwrite64, (int fd, const void *bytes, size_t size, off64_t offset), (fd, bytes, size, offset))

#define STATUS(call, name, parameters, arguments)                                                  \
	int name parameters                                                                        \
	{                                                                                          \
		int fate = get_fate(call);                                                         \
                                                                                                   \
		return fate == 0 ? REAL(name) arguments : fate == FAULT_LIE ? 0 : -1;              \
	}
STATUS(FAULT_FLUSH, fsync, (int fd), (fd))
STATUS(FAULT_FLUSH, fdatasync, (int fd), (fd))
STATUS(FAULT_STAT, stat, (const char *path, struct stat *st), (path, st))
STATUS(FAULT_STAT, stat64, (const char *path, struct stat64 *st), (path, st))
STATUS(FAULT_FSTAT, fstat, (int fd, struct stat *st), (fd, st))
STATUS(FAULT_FSTAT, fstat64, (int fd, struct stat64 *st), (fd, st))
STATUS(FAULT_STATAT, fstatat, (int dir, const char *name, struct stat *st, int flags), (dir, name, st, flags))
STATUS(FAULT_STATAT, fstatat64, (int dir, const char *name, struct stat64 *st, int flags), (dir, name, st, flags))
STATUS(FAULT_STATVFS, fstatvfs, (int fd, struct statvfs *st), (fd, st))
STATUS(FAULT_STATVFS, fstatvfs64, (int fd, struct statvfs64 *st), (fd, st))
STATUS(FAULT_LINK, linkat, (int from, const char *old, int to, const char *new, int flags),
       (from, old, to, new, flags))
STATUS(FAULT_UNLINK, unlinkat, (int dir, const char *name, int flags), (dir, name, flags))
STATUS(FAULT_MKDIR, mkdirat, (int dir, const char *name, mode_t mode), (dir, name, mode))
STATUS(FAULT_LOCK, flock, (int fd, int how), (fd, how))

/* It gives back the errno. */
#define ADVISE(name, type)                                                                         \
	int name(int fd, type offset, type size, int advice)                                       \
	{                                                                                          \
		int fate = get_fate(FAULT_ADVISE);                                                 \
                                                                                                   \
		return fate == 0 ? REAL(name)(fd, offset, size, advice) : fate;                    \
	}
ADVISE(posix_fadvise, off_t)
ADVISE(posix_fadvise64, off64_t)

DIR *
fdopendir(int fd)
{
	return get_fate(FAULT_OPENDIR) == 0 ? REAL(fdopendir)(fd) : NULL;
}

char *
realpath(const char *path, char *resolved)
{
	/* Of two versions the one that allocates is the default, and what dlsym() finds. */
	return get_fate(FAULT_REALPATH) == 0 ? REAL(realpath)(path, resolved) : NULL;
}

/* The mode is there when a file is made, and only then. */
#define OPEN(name, parameters, arguments)                                                          \
	int name parameters                                                                        \
	{                                                                                          \
		mode_t mode = 0;                                                                   \
                                                                                                   \
		if (flags & (O_CREAT | __O_TMPFILE)) {                                             \
			va_list args;                                                              \
                                                                                                   \
			va_start(args, flags);                                                     \
			mode = va_arg(args, mode_t);                                               \
			va_end(args);                                                              \
		}                                                                                  \
		return get_fate(FAULT_OPEN) == 0 ? REAL(name) arguments : -1;                      \
	}
OPEN(open, (const char *path, int flags, ...), (path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), (path, flags, mode))
OPEN(openat, (int dir, const char *path, int flags, ...), (dir, path, flags, mode))
OPEN(openat64, (int dir, const char *path, int flags, ...), (dir, path, flags, mode))
/* clang-format on */

int
ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *argument;

	va_start(args, request);
	argument = va_arg(args, void *);
	va_end(args);
	return get_fate(FAULT_IOCTL) == 0 ? REAL(ioctl)(fd, request, argument) : -1;
}

/* It takes six arguments of every caller, also of those that gave less. */
__attribute__((no_sanitize_address)) long
syscall(long number, ...)
{
	va_list args;
	long a[6];

	va_start(args, number);
	for (guint i = 0; i < G_N_ELEMENTS(a); i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (number == SYS_openat2 && get_fate(FAULT_OPENAT2) != 0)
		return -1;
	return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
