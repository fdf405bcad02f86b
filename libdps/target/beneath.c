/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/beneath.h"
#include "ground/error.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As the kernel's own limit, MAXSYMLINKS of path_resolution(7). */
#define MAX_LINKS 40

/* Directories of one path: a path of PATH_MAX bytes has no more. */
#define MAX_COMPONENTS (PATH_MAX / 2)

/* openat2(2) gives EAGAIN when a rename anywhere made ".." unsafe: a new try nearly always works.
 */
#define MAX_TRIES 64

/* The directories from the root down to where a walk is. */
typedef struct {
	GArray *fds; /* of int; the first is the root's own, and lent */
} Stack;

static void
clear_stack(Stack *stack)
{
	for (guint i = 1; i < stack->fds->len; i++)
		close(g_array_index(stack->fds, int, i));
	g_array_unref(stack->fds);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Stack, clear_stack)

static int
stack_top(const Stack *stack)
{
	return g_array_index(stack->fds, int, stack->fds->len - 1);
}

static void
stack_pop(Stack *stack)
{
	if (stack->fds->len == 1)
		return; /* ".." of the root is the root */

	close(stack_top(stack));
	g_array_set_size(stack->fds, stack->fds->len - 1);
}

static int
fail(int errnum)
{
	errno = errnum;
	return -1;
}

/* Returns: (transfer full): where the link @name leads, NULL with errno set (EINVAL: no link) */
static char *
read_link(int dir, const char *name)
{
	char buffer[PATH_MAX];
	ssize_t size = readlinkat(dir, name, buffer, sizeof(buffer));

	if (size < 0)
		return NULL;
	if ((size_t)size == sizeof(buffer)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	return g_strndup(buffer, (size_t)size);
}

/*
 * One component at a time, no link followed by the kernel: whatever is swapped between two steps,
 * each step goes to a directory that was in the tree, or fails.
 */
int
dps_beneath_walk(int root, const char *path, int flags)
{
	g_autofree char *rest = g_strdup(path);
	g_auto(Stack) stack = { .fds = g_array_new(FALSE, FALSE, sizeof(int)) };
	guint links = 0, steps = 0;

	g_array_append_val(stack.fds, root);

	for (;;) {
		const char *start = rest + strspn(rest, "/");
		g_autofree char *name = g_strndup(start, strcspn(start, "/"));
		const char *behind = start + strlen(name);
		gboolean is_last = behind[strspn(behind, "/")] == '\0';
		g_autofree char *link = NULL;
		g_autofree char *next = NULL;
		int fd;

		if (++steps > MAX_COMPONENTS)
			return fail(ENAMETOOLONG);

		if (*name == '\0')
			return openat(stack_top(&stack), ".", flags | O_NOFOLLOW | O_CLOEXEC);

		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
			if (name[1] == '.')
				stack_pop(&stack);
			next = g_strdup(behind);
			g_free(rest);
			rest = g_steal_pointer(&next);
			continue;
		}

		link = read_link(stack_top(&stack), name);
		if (!link && errno != EINVAL)
			return -1;

		if (link) {
			if (++links > MAX_LINKS)
				return fail(ELOOP);
			if (*link == '/')
				while (stack.fds->len > 1)
					stack_pop(&stack);
			next = g_strconcat(link, "/", behind, NULL);
			/* "link/" may be of a file; without the slash it is what the link is. */
			if (is_last)
				next[strlen(link)] = '\0';
			if (strlen(next) >= PATH_MAX)
				return fail(ENAMETOOLONG);
			g_free(rest);
			rest = g_steal_pointer(&next);
			continue;
		}

		if (is_last)
			return openat(stack_top(&stack), name, flags | O_NOFOLLOW | O_CLOEXEC);

		fd = openat(stack_top(&stack), name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return -1;
		g_array_append_val(stack.fds, fd);
		next = g_strdup(behind);
		g_free(rest);
		rest = g_steal_pointer(&next);
	}
}

int
dps_beneath_open(int root, const char *path, int flags)
{
	struct open_how how = {
		.flags = (__u64)(flags | O_CLOEXEC),
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};

	path += strspn(path, "/");
	if (*path == '\0')
		path = ".";

	for (guint try = 0; try < MAX_TRIES; try++) {
		int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));

		if (fd >= 0)
			return fd;
		/* Before Linux 5.6; and where a sandbox's filter does not know the call. */
		if (errno == ENOSYS || errno == EPERM)
			return dps_beneath_walk(root, path, flags);
		if (errno != EAGAIN && errno != EINTR)
			return -1;
	}
	return -1;
}

int
dps_beneath_open_file(int root, const char *path)
{
	struct stat before, after;
	int fd = dps_beneath_open(root, path, O_PATH);

	if (fd < 0)
		return -1;
	if (fstat(fd, &before) < 0) {
		close(fd);
		return -1;
	}
	close(fd);
	if (!S_ISREG(before.st_mode))
		return fail(EBADF);

	/* What was put in its place meanwhile must not hold us up either. */
	fd = dps_beneath_open(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -1;
	if (fstat(fd, &after) < 0 || !S_ISREG(after.st_mode)) {
		close(fd);
		return fail(EBADF);
	}
	return fd;
}

char *
dps_beneath_read(int root, const char *path, size_t max_size, const char *subject, size_t *size,
		 GError **error)
{
	g_autoptr(GByteArray) bytes = g_byte_array_new();
	int fd = dps_beneath_open_file(root, path);

	if (fd < 0 && errno == EBADF)
		return dps_throw_null(error, DPS_ERROR_CORRUPT, "%s: it is no regular file",
				      subject);
	if (fd < 0)
		return dps_throw_errno_null(error, errno, "%s: open", subject);

	for (;;) {
		uint8_t buffer[16384];
		ssize_t n = TEMP_FAILURE_RETRY(read(fd, buffer, sizeof(buffer)));

		if (n < 0) {
			int errnum = errno;

			close(fd);
			return dps_throw_errno_null(error, errnum, "%s: read", subject);
		}
		if (n == 0)
			break;
		if ((size_t)n > max_size - bytes->len) {
			close(fd);
			return dps_throw_null(error, DPS_ERROR_CORRUPT,
					      "%s: it is larger than %zu bytes", subject, max_size);
		}
		g_byte_array_append(bytes, buffer, (guint)n);
	}
	close(fd);

	if (size)
		*size = bytes->len;
	g_byte_array_append(bytes, (const uint8_t *)"", 1);
	return (char *)g_byte_array_free(g_steal_pointer(&bytes), FALSE);
}
