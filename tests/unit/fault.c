/* SPDX-License-Identifier: LGPL-2.1-or-later */
#undef _FILE_OFFSET_BITS /* both names of each call are defined here */
#include "fault.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

/* POSIX gives dlsym(3) functions too; ISO C does not know of it. */
#define REAL(name) (__extension__(__typeof__(&name)) dlsym(RTLD_NEXT, #name))

#define FD(number) ((File){ .fd = (number) })
#define PATH(name) ((File){ .fd = -1, .path = (name) })

typedef struct {
	const char *call;
	guint first, last; /* of the calls from fault_set() on */
	guint n_calls;
	int how;
	void (*happen)(gpointer data);
	gpointer data;
	gboolean was_reached;
} Fault;

static Fault faults[4];
static guint n_faults;
static gboolean is_happening; /* what is called meanwhile is not counted */
static GString *calls;	      /* NULL: nothing is written down */
static struct stat device;    /* what seems to be one; a size of 0: nothing */

static void
add_fault(Fault fault)
{
	g_assert_cmpuint(n_faults, <, G_N_ELEMENTS(faults));
	faults[n_faults++] = fault;
}

void
fault_set(const char *call, guint nth, int how)
{
	add_fault((Fault){ .call = call, .first = nth, .last = nth, .how = how });
}

void
fault_set_from(const char *call, guint nth, int how)
{
	add_fault((Fault){ .call = call, .first = nth, .last = G_MAXUINT, .how = how });
}

void
fault_set_event(const char *call, guint nth, void (*happen)(gpointer data), gpointer data)
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
	device.st_size = 0;
	n_faults = 0;
	return were_reached;
}

gboolean
fault_was_reached(void)
{
	return n_faults > 0 && faults[0].was_reached;
}

void
fault_start_log(void)
{
	g_assert_null(calls);
	calls = g_string_new(NULL);
}

char *
fault_stop_log(void)
{
	return g_string_free(g_steal_pointer(&calls), FALSE);
}

/* The file that a call is about: by a descriptor, or by a path. */
typedef struct {
	int fd; /* -1: by the path */
	const char *path;
} File;

static char *
get_name(File file)
{
	g_autofree char *link = NULL, *path = NULL;
	struct stat st;

	if (file.fd < 0)
		return file.path ? g_path_get_basename(file.path) : g_strdup("");

	link = g_strdup_printf("/proc/self/fd/%d", file.fd);
	path = g_file_read_link(link, NULL);
	if (fstat(file.fd, &st) == 0 && S_ISDIR(st.st_mode))
		return g_strdup("/");
	if (!path || g_str_has_suffix(path, " (deleted)"))
		return g_strdup("new");
	return g_path_get_basename(path);
}

static gboolean
is_like(const char *call, const char *kind, File file)
{
	size_t length = strlen(kind);
	g_autofree char *name = NULL;

	if (strncmp(call, kind, length) != 0 || (call[length] != '\0' && call[length] != ' '))
		return FALSE;
	if (call[length] == '\0')
		return TRUE;
	name = get_name(file);
	return g_str_has_prefix(name, call + length + 1);
}

static gboolean
is_logged(const char *kind)
{
	static const char *const kinds[] = { "write", "flush", "link", "unlink", "mkdir", NULL };

	return calls && g_strv_contains(kinds, kind);
}

/* The fault that is due; NULL when the call is to be made. */
static Fault *
find_due(const char *kind, File file)
{
	Fault *due = NULL;

	for (guint i = 0; i < n_faults; i++) {
		Fault *fault = &faults[i];

		if (!is_like(fault->call, kind, file) || ++fault->n_calls < fault->first ||
		    fault->n_calls > fault->last)
			continue;
		fault->was_reached = TRUE;
		due = fault;
	}
	return due;
}

/* Returns: 0 when the call is to be made, else how it fails, with errno set when it is one. */
static int
get_fate(const char *kind, File file)
{
	Fault *due;

	if (is_happening || (n_faults == 0 && !calls))
		return 0;

	is_happening = TRUE;
	if (is_logged(kind)) {
		g_autofree char *name = get_name(file);

		g_string_append_printf(calls, "%s%s %s", calls->len ? ", " : "", kind, name);
	}
	due = find_due(kind, file);
	if (due && due->happen)
		due->happen(due->data);
	is_happening = FALSE;

	if (!due || due->happen)
		return 0;
	if (due->how > 0)
		errno = due->how;
	return due->how;
}

/* The size that a read or write is made with; or @result is what it gives back. */
static gboolean
is_made(const char *kind, File file, size_t *size, ssize_t *result)
{
	switch (get_fate(kind, file)) {
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
	return is_made("readlink", PATH(path), &size, &result)
		       ? REAL(readlinkat)(dir, path, buffer, size)
		       : result;
}

ssize_t
fgetxattr(int fd, const char *name, void *value, size_t size)
{
	ssize_t result;

	return is_made("xattr", FD(fd), &size, &result) ? REAL(fgetxattr)(fd, name, value, size)
							: result;
}

void
fault_set_device(const char *path)
{
	g_assert_cmpint(REAL(stat)(path, &device), ==, 0);
}

static gboolean
is_device(int result, dev_t dev, ino_t ino)
{
	return result == 0 && device.st_size > 0 && dev == device.st_dev && ino == device.st_ino;
}

/* Both kinds of struct stat; the device is 240:7, of those for local use. */
#define SEEMING(call)                                                                              \
	__extension__({                                                                            \
		int result = call;                                                                 \
                                                                                                   \
		if (is_device(result, st->st_dev, st->st_ino)) {                                   \
			st->st_mode = S_IFBLK | 0600;                                              \
			st->st_rdev = makedev(240, 7);                                             \
		}                                                                                  \
		result;                                                                            \
	})

/* Returns: whether it was asked of what seems to be a device */
static gboolean
answer_as_device(int fd, unsigned long request, void *argument)
{
	struct stat st;

	if (REAL(fstat)(fd, &st) != 0 || !is_device(0, st.st_dev, st.st_ino))
		return FALSE;
	if (request == BLKGETSIZE64)
		*(guint64 *)argument = (guint64)device.st_size;
	else if (request == BLKSSZGET)
		*(int *)argument = 512;
	else if (request == BLKROGET)
		*(int *)argument = 0;
	else
		return FALSE;
	return TRUE;
}

/* A function a line. */
/* clang-format off */
#define BYTES(kind, name, parameters, arguments)                                                   \
	ssize_t name parameters                                                                    \
	{                                                                                          \
		ssize_t result;                                                                    \
                                                                                                   \
		return is_made(kind, FD(fd), &size, &result) ? REAL(name) arguments : result;      \
	}
BYTES("read", read, (int fd, void *bytes, size_t size), (fd, bytes, size))
BYTES("read", pread, (int fd, void *bytes, size_t size, off_t offset), (fd, bytes, size, offset))
BYTES("read", pread64, (int fd, void *bytes, size_t size, off64_t offset), (fd, bytes, size, offset))
BYTES("write", write, (int fd, const void *bytes, size_t size), (fd, bytes, size))
BYTES("write", pwrite, (int fd, const void *bytes, size_t size, off_t offset), (fd, bytes, size, offset))
BYTES("write", pwrite64, (int fd, const void *bytes, size_t size, off64_t offset), (fd, bytes, size, offset))

#define STATUS(kind, file, name, parameters, real)                                                 \
	int name parameters                                                                        \
	{                                                                                          \
		int fate = get_fate(kind, file);                                                   \
                                                                                                   \
		return fate == 0 ? real : fate == FAULT_LIE ? 0 : -1;                              \
	}
STATUS("flush", FD(fd), fsync, (int fd), 0)
STATUS("flush", FD(fd), fdatasync, (int fd), 0)
STATUS("stat", PATH(path), stat, (const char *path, struct stat *st), SEEMING(REAL(stat)(path, st)))
STATUS("stat", PATH(path), stat64, (const char *path, struct stat64 *st), SEEMING(REAL(stat64)(path, st)))
STATUS("fstat", FD(fd), fstat, (int fd, struct stat *st), SEEMING(REAL(fstat)(fd, st)))
STATUS("fstat", FD(fd), fstat64, (int fd, struct stat64 *st), SEEMING(REAL(fstat64)(fd, st)))
STATUS("statat", PATH(path), fstatat, (int dir, const char *path, struct stat *st, int flags),
       REAL(fstatat)(dir, path, st, flags))
STATUS("statat", PATH(path), fstatat64, (int dir, const char *path, struct stat64 *st, int flags),
       REAL(fstatat64)(dir, path, st, flags))
STATUS("statvfs", FD(fd), fstatvfs, (int fd, struct statvfs *st), REAL(fstatvfs)(fd, st))
STATUS("statvfs", FD(fd), fstatvfs64, (int fd, struct statvfs64 *st), REAL(fstatvfs64)(fd, st))
STATUS("link", PATH(new), linkat, (int from, const char *old, int to, const char *new, int flags),
       REAL(linkat)(from, old, to, new, flags))
STATUS("rename", PATH(new), renameat2, (int from, const char *old, int to, const char *new, unsigned int flags),
       REAL(renameat2)(from, old, to, new, flags))
STATUS("unlink", PATH(path), unlinkat, (int dir, const char *path, int flags),
       REAL(unlinkat)(dir, path, flags))
STATUS("lock", FD(fd), flock, (int fd, int how), REAL(flock)(fd, how))

/* It gives back the errno. */
#define ADVISE(name, type)                                                                         \
	int name(int fd, type offset, type size, int advice)                                       \
	{                                                                                          \
		int fate = get_fate("advise", FD(fd));                                              \
                                                                                                   \
		return fate == 0 ? REAL(name)(fd, offset, size, advice) : fate;                    \
	}
ADVISE(posix_fadvise, off_t)
ADVISE(posix_fadvise64, off64_t)

/* With its mode, which is a part of what it does. */
int
mkdirat(int dir, const char *path, mode_t mode)
{
	g_autofree char *what = g_strdup_printf("%s %04o", path, (unsigned int)mode);
	int fate = get_fate("mkdir", PATH(what));

	return fate == 0 ? REAL(mkdirat)(dir, path, mode) : fate == FAULT_LIE ? 0 : -1;
}

DIR *
fdopendir(int fd)
{
	return get_fate("opendir", FD(fd)) == 0 ? REAL(fdopendir)(fd) : NULL;
}

char *
realpath(const char *path, char *resolved)
{
	/* Of two versions the one that allocates is the default, and what dlsym() finds. */
	return get_fate("realpath", PATH(path)) == 0 ? REAL(realpath)(path, resolved) : NULL;
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
		if (flags & O_DIRECT && get_fate("direct", PATH(path)) != 0)                               \
			return -1;                                                                         \
		if ((flags & (O_EXCL | O_CREAT)) == O_EXCL && get_fate("exclusive", PATH(path)) != 0)      \
			return -1;                                                                         \
		return get_fate("open", PATH(path)) == 0 ? REAL(name) arguments : -1;                      \
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
	if (get_fate("ioctl", FD(fd)) != 0)
		return -1;
	return answer_as_device(fd, request, argument) ? 0 : REAL(ioctl)(fd, request, argument);
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
	if (number == SYS_openat2 && get_fate("openat2", PATH((const char *)a[1])) != 0)
		return -1;
	return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
