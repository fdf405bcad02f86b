/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/subvolume.h"
#include "format/btrfs-edit.h"
#include "format/btrfs-subvolumes.h"
#include "ground/error.h"
#include "ground/text.h"
#include "ground/guid.h"
#include "target/journal.h"

#include <btrfsutil.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/btrfs.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

struct _DpsBtrfs {
	int fd;		  /* of the mounted file system; -1 offline */
	DpsRegion region; /* offline */
	uint64_t n_devices;
	uint64_t default_id;
	GPtrArray *subvolumes; /* DpsSubvolume, by id */
};

static void
subvolume_free(DpsSubvolume *subvolume)
{
	g_free(subvolume->path);
	g_free(subvolume->bytes);
	g_free(subvolume);
}

guint64
dps_subvolume_get_id(const DpsSubvolume *subvolume)
{
	g_return_val_if_fail(subvolume, 0);

	return subvolume->id;
}

const char *
dps_subvolume_get_path(const DpsSubvolume *subvolume)
{
	g_return_val_if_fail(subvolume, NULL);

	return subvolume->path;
}

/* What people are shown of a path from the top level: "/" for the top level itself. */
static char *
path_for_people(const char *bytes)
{
	return *bytes ? dps_text_clean(bytes, strlen(bytes)) : g_strdup("/");
}

static void
add_subvolume(DpsBtrfs *self, uint64_t id, const char *bytes, gboolean is_snapshot)
{
	DpsSubvolume *subvolume = g_new(DpsSubvolume, 1);

	*subvolume = (DpsSubvolume){
		.id = id,
		.path = path_for_people(bytes),
		.bytes = g_strdup(bytes),
		.is_snapshot = is_snapshot,
	};
	g_ptr_array_add(self->subvolumes, subvolume);
}

static gint
compare_ids(gconstpointer a, gconstpointer b)
{
	uint64_t x = (*(const DpsSubvolume *const *)a)->id;
	uint64_t y = (*(const DpsSubvolume *const *)b)->id;

	return x < y ? -1 : x > y;
}

static DpsBtrfs *
btrfs_new(void)
{
	DpsBtrfs *self = g_new0(DpsBtrfs, 1);

	self->fd = -1;
	self->subvolumes = g_ptr_array_new_with_free_func((GDestroyNotify)subvolume_free);
	return self;
}

void
dps_btrfs_free(DpsBtrfs *self)
{
	if (!self)
		return;

	if (self->fd >= 0)
		close(self->fd);
	g_ptr_array_unref(self->subvolumes);
	g_free(self);
}

/* Mounted */

/* libbtrfsutil says what failed and errno why; both belong into the message. */
static gboolean
throw_btrfsutil(GError **error, enum btrfs_util_error code, const char *what)
{
	int errnum = errno;

	switch (code) {
	case BTRFS_UTIL_ERROR_NOT_BTRFS:
		return dps_throw(error, DPS_ERROR_UNSUPPORTED, "btrfs: %s: not on a btrfs", what);
	case BTRFS_UTIL_ERROR_SUBVOLUME_NOT_FOUND:
		return dps_throw(error, DPS_ERROR_NOT_FOUND, "btrfs: %s: no such subvolume", what);
	case BTRFS_UTIL_ERROR_NO_MEMORY:
		return dps_throw_errno(error, ENOMEM, "btrfs: %s", what);
	default:
		if (errnum == EPERM)
			return dps_throw(error, DPS_ERROR_PERMISSION,
					 "btrfs: %s: only root may ask this of a mounted file "
					 "system (CAP_SYS_ADMIN)",
					 what);
		return dps_throw_errno(error, errnum ? errnum : EIO, "btrfs: %s: %s", what,
				       btrfs_util_strerror(code));
	}
}

static gboolean
check_is_btrfs(int fd, GError **error)
{
	struct statfs buffer;

	if (fstatfs(fd, &buffer) < 0)
		return dps_throw_errno(error, errno, "btrfs: file system of the descriptor");
	if (buffer.f_type != BTRFS_SUPER_MAGIC)
		return dps_throw(error, DPS_ERROR_UNSUPPORTED,
				 "btrfs: the mounted file system is none");
	return TRUE;
}

static gboolean
list_mounted(DpsBtrfs *self, GError **error)
{
	struct btrfs_util_subvolume_iterator *iterator = NULL;
	enum btrfs_util_error code;

	code = btrfs_util_create_subvolume_iterator_fd(self->fd, DPS_BTRFS_TOP_LEVEL, 0, &iterator);
	if (code != BTRFS_UTIL_OK)
		return throw_btrfsutil(error, code, "subvolumes");

	add_subvolume(self, DPS_BTRFS_TOP_LEVEL, "", FALSE);
	for (;;) {
		struct btrfs_util_subvolume_info info;
		DpsGuid parent;
		char *path = NULL;

		code = btrfs_util_subvolume_iterator_next_info(iterator, &path, &info);
		if (code != BTRFS_UTIL_OK) {
			free(path); /* it can have found the path, and then fail to ask for more */
			break;
		}
		memcpy(parent.bytes, info.parent_uuid, sizeof(parent.bytes));
		add_subvolume(self, info.id, path, !dps_guid_is_null(&parent));
		free(path); /* malloc'ed by libbtrfsutil */
	}
	if (code != BTRFS_UTIL_ERROR_STOP_ITERATION)
		throw_btrfsutil(error, code, "subvolumes");
	btrfs_util_destroy_subvolume_iterator(iterator);
	if (code != BTRFS_UTIL_ERROR_STOP_ITERATION)
		return FALSE;

	g_ptr_array_sort(self->subvolumes, compare_ids);
	return TRUE;
}

DpsBtrfs *
dps_btrfs_open_mounted(int fd, GError **error)
{
	g_autoptr(DpsBtrfs) self = btrfs_new();
	struct btrfs_ioctl_fs_info_args info = { 0 };
	enum btrfs_util_error code;

	if (!check_is_btrfs(fd, error))
		return NULL;
	self->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (self->fd < 0)
		return dps_throw_errno_null(error, errno, "btrfs: descriptor");

	if (ioctl(self->fd, BTRFS_IOC_FS_INFO, &info) < 0)
		return dps_throw_errno_null(error, errno, "btrfs: devices of the file system");
	self->n_devices = info.num_devices;
	code = btrfs_util_get_default_subvolume_fd(self->fd, &self->default_id);
	if (code != BTRFS_UTIL_OK) {
		throw_btrfsutil(error, code, "default subvolume");
		return NULL;
	}
	if (!list_mounted(self, error))
		return NULL;

	return g_steal_pointer(&self);
}

static gboolean
check_mounted(DpsBtrfs *self, uint64_t id, char **note, GError **error)
{
	struct statvfs buffer;

	if (note)
		*note = NULL;
	if (self->default_id == id)
		return TRUE;

	if (fstatvfs(self->fd, &buffer) < 0)
		return dps_throw_errno(error, errno, "btrfs: mount");
	if (buffer.f_flag & ST_RDONLY)
		return dps_throw(error, DPS_ERROR_REFUSED,
				 "btrfs: mounted read-only: mount -o remount,rw first");
	return TRUE;
}

static gboolean
set_mounted(DpsBtrfs *self, uint64_t id, GError **error)
{
	enum btrfs_util_error code = btrfs_util_set_default_subvolume_fd(self->fd, id);
	uint64_t now;

	if (code != BTRFS_UTIL_OK)
		return throw_btrfsutil(error, code, "set the default subvolume");
	/* The ioctl commits nothing: a crash now would bring the old default back. */
	code = btrfs_util_sync_fd(self->fd);
	if (code != BTRFS_UTIL_OK)
		return throw_btrfsutil(error, code, "sync");
	code = btrfs_util_get_default_subvolume_fd(self->fd, &now);
	if (code != BTRFS_UTIL_OK)
		return throw_btrfsutil(error, code, "default subvolume");
	if (now != id)
		return dps_throw(error, DPS_ERROR_IO,
				 "btrfs: default subvolume: is %" PRIu64
				 " after it was set to %" PRIu64,
				 now, id);

	self->default_id = now;
	return TRUE;
}

gboolean
dps_btrfs_subvolume_of_fd(int fd, uint64_t *id, char **path, GError **error)
{
	enum btrfs_util_error code;
	g_autofree char *text = NULL;
	uint64_t found;

	if (!check_is_btrfs(fd, error))
		return FALSE;
	code = btrfs_util_subvolume_id_fd(fd, &found);
	if (code != BTRFS_UTIL_OK)
		return throw_btrfsutil(error, code, "subvolume of a directory");

	if (path) {
		char *bytes = NULL; /* malloc'ed by libbtrfsutil */

		code = btrfs_util_subvolume_path_fd(fd, found, &bytes);
		if (code != BTRFS_UTIL_OK && errno != EPERM)
			return throw_btrfsutil(error, code, "path of a subvolume");
		if (code == BTRFS_UTIL_OK)
			text = path_for_people(bytes);
		free(bytes);
		*path = g_steal_pointer(&text);
	}
	*id = found;
	return TRUE;
}

/* Not mounted */

static gboolean
read_offline(DpsBtrfs *self, const DpsRegion *region, GError **error)
{
	g_autoptr(DpsBtrfsFs) fs = dps_btrfs_fs_open(region, error);
	g_autoptr(GPtrArray) list = NULL;
	DpsBtrfsDefault current;

	if (!fs)
		return FALSE;
	self->region = *region;
	self->n_devices = dps_btrfs_fs_get_super(fs)->n_devices;
	if (!dps_btrfs_fs_read_default(fs, &current, error))
		return FALSE;
	list = dps_btrfs_fs_list_subvolumes(fs, error);
	if (!list)
		return FALSE;

	self->default_id = current.id;
	for (guint i = 0; i < list->len; i++) {
		const DpsBtrfsSubvolumeInfo *info = g_ptr_array_index(list, i);

		add_subvolume(self, info->id, info->path,
			      info->id != DPS_BTRFS_TOP_LEVEL && info->root_offset != 0);
	}
	return TRUE;
}

DpsBtrfs *
dps_btrfs_open_offline(const DpsRegion *region, GError **error)
{
	g_autoptr(DpsBtrfs) self = btrfs_new();
	g_autoptr(GError) local = NULL;

	if (read_offline(self, region, &local))
		return g_steal_pointer(&self);

	/* One device of several need not have the trees; that there are several is what matters. */
	if (self->n_devices > 1)
		return g_steal_pointer(&self);

	dps_prefix_error(&local, "btrfs: ");
	g_propagate_error(error, g_steal_pointer(&local));
	return NULL;
}

/* A block device that is mounted, or part of something, is claimed: O_EXCL asks the kernel. */
static gboolean
check_not_in_use(int fd, GError **error)
{
	g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
	struct stat st;
	int again;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISBLK(st.st_mode))
		return TRUE;

	again = open(path, O_RDONLY | O_EXCL | O_CLOEXEC);
	if (again < 0 && errno == EBUSY)
		return dps_throw(error, DPS_ERROR_BUSY,
				 "its device is in use: when it is mounted, name its tree with "
				 "--root; else unmount it, or stop what has it open");
	if (again >= 0)
		close(again);
	return TRUE;
}

static gboolean
is_block_device(int fd)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISBLK(st.st_mode);
}

static gboolean
compute_offline(const DpsRegion *region, uint64_t id, DpsBtrfsEdit *out, GError **error)
{
	g_auto(DpsBtrfsEdit) edit = { NULL };

	if (!check_not_in_use(region->fd, error) ||
	    !dps_btrfs_edit_default(region, id, &edit, error))
		return FALSE;
	if (edit.needs_journal && is_block_device(region->fd))
		return dps_throw(error, DPS_ERROR_REFUSED,
				 "one copy of its metadata cannot be changed in one sector, and a "
				 "block device has no place for a journal: mount it, and name its "
				 "tree with --root");
	*out = edit;
	edit = (DpsBtrfsEdit){ NULL };
	return TRUE;
}

static gboolean
check_offline(DpsBtrfs *self, uint64_t id, char **note, GError **error)
{
	g_auto(DpsBtrfsEdit) edit = { NULL };
	g_autoptr(GError) local = NULL;

	/* What is right already need not be writable: it is in use, or over several devices. */
	if (!compute_offline(&self->region, id, &edit, &local) && self->default_id != id) {
		dps_prefix_error(&local, "btrfs: ");
		g_propagate_error(error, g_steal_pointer(&local));
		return FALSE;
	}
	if (note)
		*note = g_steal_pointer(&edit.note);
	return TRUE;
}

/* On failure what was written is put back: the file system mounts as it did. */
static gboolean
write_offline(DpsMedium *medium, uint64_t start, const DpsBtrfsEdit *edit, gboolean *is_left,
	      GError **error)
{
	g_autoptr(GError) local = NULL;
	g_autoptr(GError) put_back_error = NULL;
	guint done;

	if (edit->needs_journal)
		return dps_journal_write_edits(medium, start, edit->edits, is_left, error);
	*is_left = TRUE;
	if (dps_medium_write_edits(medium, start, edit->edits, &done, &local))
		return TRUE;

	/* Changed by somebody else before the first write: nothing is to be put back. */
	if ((done == 0 && g_error_matches(local, DPS_ERROR, DPS_ERROR_CHANGED)) ||
	    dps_medium_put_back(medium, start, edit->edits, done, &put_back_error))
		*is_left = FALSE;
	else
		dps_prefix_error(&local, "what was written could not be put back at once (%s): ",
				 put_back_error->message);
	g_propagate_error(error, g_steal_pointer(&local));
	return FALSE;
}

static gboolean
set_offline(DpsBtrfs *self, uint64_t id, DpsMedium *medium, uint64_t start,
	    DpsBtrfsWritten *written, GError **error)
{
	DpsRegion whole = dps_medium_get_region(medium), region;
	g_auto(DpsBtrfsEdit) edit = { NULL };
	g_autoptr(DpsBtrfs) now = NULL;
	gboolean is_left = FALSE, is_written;

	/* What the plan was made of is read again, from where it will be written. */
	if (!dps_journal_finish(medium, NULL, error) ||
	    !dps_region_narrow(&whole, start, self->region.size, &region, error) ||
	    !compute_offline(&region, id, &edit, error)) {
		dps_prefix_error(error, "btrfs: ");
		return FALSE;
	}
	is_written = write_offline(medium, start, &edit, &is_left, error);
	if (written && is_left)
		*written = (DpsBtrfsWritten){ g_steal_pointer(&edit.edits), edit.needs_journal };
	if (!is_written) {
		dps_prefix_error(error, "btrfs: ");
		return FALSE;
	}

	now = dps_btrfs_open_offline(&region, error);
	if (!now)
		return FALSE;
	if (now->default_id != id)
		return dps_throw(error, DPS_ERROR_IO,
				 "btrfs: default subvolume: is %" PRIu64 " after %" PRIu64
				 " was written",
				 now->default_id, id);
	self->default_id = id;
	return TRUE;
}

static GPtrArray *
turn_round(GPtrArray *edits)
{
	GPtrArray *back = dps_edit_list_new();

	for (guint i = edits->len; i > 0; i--) {
		const DpsEdit *edit = g_ptr_array_index(edits, i - 1);

		g_ptr_array_add(back, dps_edit_new(edit->offset, edit->new_bytes, edit->old_bytes,
						   edit->size, edit->what));
	}
	return back;
}

gboolean
dps_btrfs_put_back(const DpsBtrfsWritten *written, DpsMedium *medium, uint64_t start,
		   GError **error)
{
	if (!written->edits)
		return TRUE;

	if (written->needs_journal && !dps_journal_is_pending(medium)) {
		g_autoptr(GPtrArray) back = turn_round(written->edits);

		return dps_journal_write_edits(medium, start, back, NULL, error);
	}
	/* While the journal is there, what is torn now can be finished. */
	return dps_medium_put_back(medium, start, written->edits, written->edits->len, error) &&
	       (!written->needs_journal || dps_journal_remove(medium, error));
}

void
dps_btrfs_written_clear(DpsBtrfsWritten *written)
{
	g_clear_pointer(&written->edits, g_ptr_array_unref);
}

/* Either way */

gboolean
dps_btrfs_is_mounted(DpsBtrfs *self)
{
	return self->fd >= 0;
}

guint64
dps_btrfs_get_n_devices(DpsBtrfs *self)
{
	return self->n_devices;
}

GPtrArray *
dps_btrfs_get_subvolumes(DpsBtrfs *self)
{
	return self->subvolumes;
}

uint64_t
dps_btrfs_get_default_id(DpsBtrfs *self)
{
	return self->default_id;
}

const DpsSubvolume *
dps_btrfs_find_id(DpsBtrfs *self, uint64_t id)
{
	for (guint i = 0; i < self->subvolumes->len; i++) {
		const DpsSubvolume *subvolume = g_ptr_array_index(self->subvolumes, i);

		if (subvolume->id == id)
			return subvolume;
	}
	return NULL;
}

const DpsSubvolume *
dps_btrfs_find_path(DpsBtrfs *self, const char *path)
{
	g_autofree char *wanted = g_strdup(path + strspn(path, "/"));
	size_t length = strlen(wanted);

	while (length > 0 && wanted[length - 1] == '/')
		wanted[--length] = '\0';

	for (guint i = 0; i < self->subvolumes->len; i++) {
		const DpsSubvolume *subvolume = g_ptr_array_index(self->subvolumes, i);

		if (strcmp(subvolume->bytes, wanted) == 0)
			return subvolume;
	}
	return NULL;
}

gboolean
dps_btrfs_check_writable(DpsBtrfs *self, uint64_t id, char **note, GError **error)
{
	if (!dps_btrfs_find_id(self, id))
		return dps_throw(error, DPS_ERROR_NOT_FOUND,
				 "btrfs: subvolume %" PRIu64 ": there is none", id);

	return dps_btrfs_is_mounted(self) ? check_mounted(self, id, note, error)
					  : check_offline(self, id, note, error);
}

gboolean
dps_btrfs_needs_write(DpsBtrfs *self, uint64_t id)
{
	g_auto(DpsBtrfsEdit) edit = { NULL };

	if (self->default_id != id || dps_btrfs_is_mounted(self))
		return self->default_id != id;

	/* What cannot be edited is right as it is. */
	return dps_btrfs_edit_default(&self->region, id, &edit, NULL) && edit.edits->len > 0;
}

gboolean
dps_btrfs_set_default(DpsBtrfs *self, uint64_t id, DpsMedium *medium, uint64_t start,
		      DpsBtrfsWritten *written, GError **error)
{
	if (written)
		*written = (DpsBtrfsWritten){ NULL, FALSE };
	if (!dps_btrfs_is_mounted(self))
		return set_offline(self, id, medium, start, written, error);

	return dps_btrfs_check_writable(self, id, NULL, error) && set_mounted(self, id, error);
}
