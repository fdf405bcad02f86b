/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* A record of udev's database has a few hundred bytes, an attribute of sysfs fits in a page: what
 * is behind this is not read. */
#define MAX_TEXT ((size_t)256 * 1024)

void
dps_fd_close(DpsFd *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

gboolean
dps_fd_flush(int fd)
{
	return TEMP_FAILURE_RETRY(fsync(fd)) == 0;
}

char *
dps_fd_read_text(int dir, const char *path)
{
	g_auto(DpsFd) fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	g_autoptr(GString) text = g_string_new(NULL);
	char buffer[4096];
	ssize_t n;

	if (fd < 0)
		return NULL;
	while ((n = TEMP_FAILURE_RETRY(read(fd, buffer, sizeof(buffer)))) > 0 &&
	       text->len < MAX_TEXT)
		g_string_append_len(text, buffer, n);
	if (n < 0)
		return NULL;

	return g_strdup(text->str);
}
