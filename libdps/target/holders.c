/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/holders.h"
#include "ground/error.h"
#include "target/fd.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

/* qemu's locks on an image.  Source: qemu, block/file-posix.c, RAW_LOCK_PERM_BASE and _SHARED_BASE.
 */
#define QEMU_LOCK_START 100
#define QEMU_LOCK_SIZE 200

/* Whether loop device @name reads the file that @st is of; and whether only a part of it. */
static gboolean
loop_has_file(const char *name, const struct stat *st, gboolean *is_part)
{
	g_autofree char *offset_file = g_build_filename("/sys/block", name, "loop/offset", NULL);
	g_autofree char *offset = dps_fd_read_text(AT_FDCWD, offset_file);
	g_autofree char *file = g_build_filename("/sys/block", name, "loop/backing_file", NULL);
	g_autofree char *backing = dps_fd_read_text(AT_FDCWD, file);
	g_autofree char *node = NULL;
	struct loop_info64 info = { 0 };
	g_auto(DpsFd) fd = -1;
	struct stat other;

	if (!backing)
		return FALSE;
	*is_part = offset && strcmp(g_strchomp(offset), "0") != 0;

	/* The device and inode that the kernel holds: right also after a rename. */
	node = g_strconcat("/dev/", name, NULL);
	fd = open(node, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0 && ioctl(fd, LOOP_GET_STATUS64, &info) == 0)
		return info.lo_device == st->st_dev && info.lo_inode == st->st_ino;

	g_strchomp(backing);
	return stat(backing, &other) == 0 && other.st_dev == st->st_dev &&
	       other.st_ino == st->st_ino;
}

/* The caches of a loop device and of its file are two: what one writes, the other undoes. */
gboolean
dps_holders_check_loop(const char *path, const struct stat *st, GError **error)
{
	g_autoptr(GDir) dir = g_dir_open("/sys/block", 0, NULL);
	g_autofree char *part = NULL;
	const char *name;
	gboolean is_part;

	while (dir && (name = g_dir_read_name(dir))) {
		if (!g_str_has_prefix(name, "loop") || !loop_has_file(name, st, &is_part))
			continue;
		if (!is_part)
			return dps_throw(error, DPS_ERROR_BUSY,
					 "%s: attached to /dev/%s: name that device instead, or "
					 "detach it with `losetup -d /dev/%s`",
					 path, name, name);
		g_free(part);
		part = g_strdup(name);
	}
	if (part)
		return dps_throw(error, DPS_ERROR_BUSY,
				 "%s: a part of it is attached to /dev/%s: detach that, or attach "
				 "all of it (`losetup -f --show`) and name the new device",
				 path, part);
	return TRUE;
}

gboolean
dps_holders_check_virtual_machine(int fd, const char *path, GError **error)
{
	struct flock lock = {
		.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = QEMU_LOCK_START,
		.l_len = QEMU_LOCK_SIZE,
	};

	/* A file system that has no such locks has nobody who holds one. */
	if (fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
		return dps_throw(error, DPS_ERROR_BUSY,
				 "%s: open in a virtual machine (qemu holds its locks): shut it "
				 "down first",
				 path);
	return TRUE;
}

/* Who holds a flock on this inode, as /proc/locks has it: "1: FLOCK ADVISORY WRITE 77 00:05:12 …".
 */
char *
dps_holders_find_lock(const struct stat *st)
{
	g_autofree char *text = dps_fd_read_text(AT_FDCWD, "/proc/locks");
	g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);

	for (char **line = lines; *line; line++) {
		unsigned int pid, dev_major, dev_minor;
		unsigned long inode;
		g_autofree char *file = NULL, *comm = NULL;

		if (sscanf(*line, "%*u: FLOCK %*s %*s %u %x:%x:%lu", &pid, &dev_major, &dev_minor,
			   &inode) != 4)
			continue;
		if (inode != st->st_ino || makedev(dev_major, dev_minor) != st->st_dev)
			continue;

		file = g_strdup_printf("/proc/%u/comm", pid);
		comm = dps_fd_read_text(AT_FDCWD, file);
		if (!comm)
			return g_strdup_printf("process %u", pid);
		return g_strdup_printf("%s (process %u)", g_strchomp(comm), pid);
	}
	return g_strdup("another process");
}
