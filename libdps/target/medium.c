/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/medium.h"
#include "ground/error.h"
#include "target/fd.h"
#include "target/holders.h"
#include "target/raw-image.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* udevd holds a shared lock for moments; another writer of a table is done in less. */
#define LOCK_WAIT_SECONDS 5
#define LOCK_RETRY_USEC 50000

struct _DpsMedium {
	gatomicrefcount ref_count; /* atomic: a collector of garbage lets go in any thread */
	char *path;
	int fd;
	uint64_t size;
	guint sector_size; /* 0 for a regular file */
	dev_t device;	   /* 0 for a regular file */
	gboolean writable;
	gboolean finished; /* what a run that was cut off had begun */
};

/* --- The lock -----------------------------------------------------------------------------------
 */

/* Source: util-linux, LOCK_BLOCK_DEVICE in fdisk(8) and its kin. */
static DpsOpenFlags
lock_flags_from_environment(DpsOpenFlags flags)
{
	const char *mode = g_getenv("LOCK_BLOCK_DEVICE");

	if (!mode || flags & (DPS_OPEN_NO_LOCK | DPS_OPEN_LOCK_NONBLOCK))
		return flags;
	if (g_str_equal(mode, "no") || g_str_equal(mode, "0"))
		return flags | DPS_OPEN_NO_LOCK;
	if (g_str_equal(mode, "nonblock"))
		return flags | DPS_OPEN_LOCK_NONBLOCK;
	return flags;
}

static gboolean
lock(DpsMedium *self, const struct stat *st, DpsOpenFlags flags, GError **error)
{
	gint64 give_up = g_get_monotonic_time() + LOCK_WAIT_SECONDS * G_TIME_SPAN_SECOND;
	g_autofree char *holder = NULL;

	while (flock(self->fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK)
			return dps_throw_errno(error, errno, "%s: lock", self->path);
		if (flags & DPS_OPEN_LOCK_NONBLOCK || g_get_monotonic_time() >= give_up) {
			holder = dps_holders_find_lock(st);
			return dps_throw(error, DPS_ERROR_BUSY,
					 "%s: locked by %s: try again when "
					 "it is done",
					 self->path, holder);
		}
		g_usleep(LOCK_RETRY_USEC);
	}
	return TRUE;
}

/* --- Opening ------------------------------------------------------------------------------------
 */

static gboolean
check_kind(const char *path, const struct stat *st, GError **error)
{
	if (S_ISREG(st->st_mode) || S_ISBLK(st->st_mode))
		return TRUE;
	if (S_ISDIR(st->st_mode))
		return dps_throw(error, DPS_ERROR_UNSUPPORTED,
				 "%s: a directory, not a disk or a disk image", path);
	return dps_throw(error, DPS_ERROR_UNSUPPORTED,
			 "%s: neither a block device nor a regular file", path);
}

static gboolean
set_up_device(DpsMedium *self, dev_t device, GError **error)
{
	int sector_size, read_only = 0;

	if (ioctl(self->fd, BLKGETSIZE64, &self->size) < 0)
		return dps_throw_errno(error, errno, "%s: size", self->path);
	if (ioctl(self->fd, BLKSSZGET, &sector_size) < 0)
		return dps_throw_errno(error, errno, "%s: sector size", self->path);
	if (self->writable && ioctl(self->fd, BLKROGET, &read_only) == 0 && read_only)
		return dps_throw(error, DPS_ERROR_PERMISSION, "%s: the device is read-only",
				 self->path);

	self->sector_size = (guint)sector_size;
	self->device = device;
	return TRUE;
}

/* Who had the lock may have put another file in its place: that one is the image now. */
static gboolean
check_still_there(const char *path, const struct stat *st, GError **error)
{
	struct stat now;

	if (stat(path, &now) < 0)
		return dps_throw_errno(error, errno, "%s: locked, and gone meanwhile", path);
	if (now.st_dev != st->st_dev || now.st_ino != st->st_ino)
		return dps_throw(error, DPS_ERROR_CHANGED,
				 "%s: another file took its place while it was being opened: try "
				 "again",
				 path);
	return TRUE;
}

static gboolean
lock_as_asked(DpsMedium *self, const struct stat *st, DpsOpenFlags flags, GError **error)
{
	flags = lock_flags_from_environment(flags);
	return flags & DPS_OPEN_NO_LOCK ||
	       (lock(self, st, flags, error) && check_still_there(self->path, st, error));
}

/* How large it is, and whether it is something to read or write as a disk. */
static gboolean
look_at(DpsMedium *self, GError **error)
{
	struct stat st;

	if (fstat(self->fd, &st) < 0)
		return dps_throw_errno(error, errno, "%s: stat", self->path);
	if (S_ISBLK(st.st_mode))
		return set_up_device(self, st.st_rdev, error);

	self->size = (uint64_t)st.st_size;
	return dps_raw_image_check(self->fd, self->path, self->size, error) &&
	       (!self->writable ||
		(dps_holders_check_loop(self->path, &st, error) &&
		 dps_holders_check_virtual_machine(self->fd, self->path, error)));
}

DpsMedium *
dps_medium_open(const char *path, DpsOpenFlags flags, GError **error)
{
	g_autoptr(DpsMedium) self = NULL;
	struct stat st;

	/* Opening some devices does something: look first what it is. */
	if (stat(path, &st) < 0)
		return dps_throw_errno_null(error, errno, "%s: open", path);
	if (!check_kind(path, &st, error))
		return NULL;

	self = g_new0(DpsMedium, 1);
	g_atomic_ref_count_init(&self->ref_count);
	self->path = g_strdup(path);
	self->writable = (flags & DPS_OPEN_WRITABLE) != 0;
	self->fd = (int)TEMP_FAILURE_RETRY(
		open(path, (self->writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY));
	if (self->fd < 0 && errno == EACCES && S_ISBLK(st.st_mode))
		return dps_throw_null(error, DPS_ERROR_PERMISSION,
				      "%s: open%s: %s: disks are for root: try again as root", path,
				      self->writable ? " for writing" : "", g_strerror(EACCES));
	if (self->fd < 0)
		return dps_throw_errno_null(error, errno, "%s: open%s", path,
					    self->writable ? " for writing" : "");
	if (fstat(self->fd, &st) < 0)
		return dps_throw_errno_null(error, errno, "%s: stat", path);
	if (!check_kind(path, &st, error))
		return NULL;

	/* Locked first: whoever had the lock may have made it larger or smaller. */
	if ((self->writable && !lock_as_asked(self, &st, flags, error)) || !look_at(self, error))
		return NULL;

	return g_steal_pointer(&self);
}

DpsMedium *
dps_medium_ref(DpsMedium *self)
{
	g_atomic_ref_count_inc(&self->ref_count);
	return self;
}

void
dps_medium_unref(DpsMedium *self)
{
	if (!self || !g_atomic_ref_count_dec(&self->ref_count))
		return;

	dps_fd_close(&self->fd);
	g_free(self->path);
	g_free(self);
}

const char *
dps_medium_get_path(DpsMedium *self)
{
	return self->path;
}

int
dps_medium_get_fd(DpsMedium *self)
{
	return self->fd;
}

uint64_t
dps_medium_get_size(DpsMedium *self)
{
	return self->size;
}

guint
dps_medium_get_sector_size(DpsMedium *self)
{
	return self->sector_size;
}

dev_t
dps_medium_get_device(DpsMedium *self)
{
	return self->device;
}

gboolean
dps_medium_is_device(DpsMedium *self)
{
	return self->device != 0;
}

gboolean
dps_medium_is_writable(DpsMedium *self)
{
	return self->writable;
}

void
dps_medium_set_finished(DpsMedium *self)
{
	self->finished = TRUE;
}

gboolean
dps_medium_is_finished(DpsMedium *self)
{
	return self->finished;
}

gboolean
dps_medium_require_disk(DpsMedium *self, GError **error)
{
	g_autofree char *dir =
		g_strdup_printf("/sys/dev/block/%u:%u", major(self->device), minor(self->device));
	g_autofree char *file = g_build_filename(dir, "partition", NULL);
	g_autofree char *number = self->device ? dps_fd_read_text(AT_FDCWD, file) : NULL;
	g_autofree char *place = NULL, *parent = NULL, *name = NULL, *node = NULL;

	if (!number)
		return TRUE;

	place = realpath(dir, NULL);
	parent = g_path_get_dirname(place ? place : "");
	name = g_path_get_basename(parent);
	/* sysfs writes '!' where a name has '/'. */
	node = g_strdelimit(g_strconcat("/dev/", name, NULL), "!", '/');
	return dps_throw(error, DPS_ERROR_UNSUPPORTED,
			 "%s: partition %s of a disk, not a disk: name the disk, %s", self->path,
			 g_strstrip(number), place ? node : "that it is on");
}

DpsRegion
dps_medium_get_region(DpsMedium *self)
{
	return dps_region_over_fd(self->fd, 0, self->size);
}

void
dps_medium_stop_writing(DpsMedium *self)
{
	g_autofree char *name = g_strdup_printf("/proc/self/fd/%d", self->fd);
	g_auto(DpsFd) reader = -1;

	if (!self->writable)
		return;

	/* The number stays: regions over it go on reading.  The last close of the writer is the
	 * sign that udevd waits for. */
	reader = open(name, O_RDONLY | O_CLOEXEC);
	if (reader < 0)
		reader = open(self->path, O_RDONLY | O_CLOEXEC);
	/* Regions have the number: closed, it would soon be that of another file. */
	if (reader < 0 || dup3(reader, self->fd, O_CLOEXEC) < 0)
		flock(self->fd, LOCK_UN);
	self->writable = FALSE;
}
