/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/medium.h"
#include "ground/error.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* udevd holds a shared lock for moments; another writer of a table is done in less. */
#define LOCK_WAIT_SECONDS 5
#define LOCK_RETRY_USEC 50000

#define UDEV_WAIT_SECONDS 5
#define UDEV_RETRY_USEC 20000

/* Whole blocks of this many bytes satisfy O_DIRECT on every device with sectors of up to 4096. */
#define DIRECT_ALIGNMENT 4096

/* A record of udev's database is a few hundred bytes; one that is larger is not read. */
#define MAX_TEXT_FILE ((size_t)256 * 1024)

/* qemu's locks on an image.  Source: qemu, block/file-posix.c, RAW_LOCK_PERM_BASE and _SHARED_BASE.
 */
#define QEMU_LOCK_START 100
#define QEMU_LOCK_SIZE 200

struct _DpsMedium {
	gatomicrefcount ref_count; /* atomic: a collector of garbage lets go in any thread */
	char *path;
	int fd;
	uint64_t size;
	guint sector_size; /* 0 for a regular file */
	dev_t device;	   /* 0 for a regular file */
	gboolean writable;
};

typedef int AutoFd; /* g_autofd came with GLib 2.80 */

static void
close_fd(AutoFd *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(AutoFd, close_fd)

/* Files of /proc, /sys and /run: small, and gone at any moment.  Returns: NULL when there is none.
 */
static char *
read_text(const char *path)
{
	g_auto(AutoFd) fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	g_autoptr(GString) text = g_string_new(NULL);
	char buffer[4096];
	ssize_t n;

	if (fd < 0)
		return NULL;
	while ((n = TEMP_FAILURE_RETRY(read(fd, buffer, sizeof(buffer)))) > 0 &&
	       text->len < MAX_TEXT_FILE)
		g_string_append_len(text, buffer, n);
	if (n < 0)
		return NULL;

	return g_strdup(text->str);
}

/* --- What may be opened ------------------------------------------------------------------------
 */

/* Image formats that are no raw disks, by what they begin with. */
static const struct {
	uint64_t offset;
	const char *magic;
	size_t size;
	const char *name;
	const char *advice; /* what to type; each %1$s stands for the path */
} formats[] = {
#define M(s) s, sizeof(s) - 1
#define CONVERT                                                                                    \
	"make a raw view with `qemu-nbd --connect=/dev/nbd0 %1$s`, or a raw copy with "            \
	"`qemu-img convert -O raw %1$s %1$s.raw`"
	/* docs/interop/qcow2.txt of qemu */
	{ 0, M("QFI\xfb"), "a qcow2 image", CONVERT },
	/* VMware, "Virtual Disk Format 5.0": sparse extent, and the descriptor of a split one */
	{ 0, M("KDMV"), "a VMDK image", CONVERT },
	{ 0, M("# Disk DescriptorFile"), "a VMDK image", CONVERT },
	/* [MS-VHDX] section 2.2.1; "Virtual Hard Disk Image Format Specification": dynamic disks
	 * have a copy of the footer in front */
	{ 0, M("vhdxfile"), "a VHDX image", CONVERT },
	{ 0, M("conectix"), "a VHD image", CONVERT },
	/* VirtualBox, VDICore.h: VDI_IMAGE_SIGNATURE behind 64 bytes of text */
	{ 64, M("\x7f\x10\xda\xbe"), "a VDI image", CONVERT },
	/* docs/interop/qed_spec.txt and parallels.txt of qemu */
	{ 0, M("QED\0"), "a QED image", CONVERT },
	{ 0, M("WithoutFreeSpace"), "a Parallels image", CONVERT },
	{ 0, M("WithouFreSpacExt"), "a Parallels image", CONVERT },
	/* ECMA-119 section 8.1: the first volume descriptor, sector 16 of 2048 bytes */
	{ 32769, M("CD001"), "an ISO 9660 image",
	  "tag the disk image that it is made from, or look inside with `losetup --read-only "
	  "--partscan --find --show %1$s`" },
	{ 0, M("\x1f\x8b\x08"), "compressed by gzip", "unpack it with `gzip -dk %1$s`" },
	{ 0, M("\xfd\x37zXZ\0"), "compressed by xz", "unpack it with `xz -dk %1$s`" },
	{ 0, M("\x28\xb5\x2f\xfd"), "compressed by zstd", "unpack it with `zstd -d %1$s`" },
#undef CONVERT
#undef M
};

static gboolean
has_bytes(int fd, uint64_t offset, const char *magic, size_t size)
{
	char found[32];

	return size <= sizeof(found) &&
	       TEMP_FAILURE_RETRY(pread(fd, found, size, (off_t)offset)) == (ssize_t)size &&
	       memcmp(found, magic, size) == 0;
}

static gboolean
refuse_format(const char *path, const char *name, const char *advice, GError **error)
{
	g_autofree char *quoted = g_shell_quote(path);
	g_auto(GStrv) parts = g_strsplit(advice, "%1$s", -1);
	g_autofree char *text = NULL;

	if (path[strspn(path, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "/._-+")] == '\0') {
		g_free(quoted);
		quoted = g_strdup(path);
	}
	text = g_strjoinv(quoted, parts);
	return dps_throw(error, DPS_ERROR_UNSUPPORTED, "%s: %s, not a raw disk image: %s", path,
			 name, text);
}

static gboolean
check_format(DpsMedium *self, GError **error)
{
	for (guint i = 0; i < G_N_ELEMENTS(formats); i++)
		if (has_bytes(self->fd, formats[i].offset, formats[i].magic, formats[i].size))
			return refuse_format(self->path, formats[i].name, formats[i].advice, error);

	/* A VHD of fixed size is raw but for its footer, which tools would take for disk. */
	if (self->size >= 512 && has_bytes(self->fd, self->size - 512, "conectix", 8))
		return refuse_format(self->path, "a VHD image",
				     "make a raw copy with `qemu-img convert -f vpc -O raw %1$s "
				     "%1$s.raw`",
				     error);
	return TRUE;
}

/* The kernel's name of a device, as a node: sysfs writes '!' where a name has '/'. */
static char *
node_from_sysfs_name(const char *name)
{
	char *node = g_strconcat("/dev/", name, NULL);

	return g_strdelimit(node, "!", '/');
}

/* Whether loop device @name reads the file that @st is of; and whether only a part of it. */
static gboolean
loop_has_file(const char *name, const struct stat *st, gboolean *is_part)
{
	g_autofree char *offset_file = g_build_filename("/sys/block", name, "loop/offset", NULL);
	g_autofree char *offset = read_text(offset_file);
	g_autofree char *file = g_build_filename("/sys/block", name, "loop/backing_file", NULL);
	g_autofree char *backing = read_text(file);
	g_autofree char *node = NULL;
	struct loop_info64 info = { 0 };
	g_auto(AutoFd) fd = -1;
	struct stat other;

	if (!backing)
		return FALSE;
	*is_part = offset && strcmp(g_strchomp(offset), "0") != 0;

	/* The device and inode that the kernel holds: right also after a rename. */
	node = node_from_sysfs_name(name);
	fd = open(node, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0 && ioctl(fd, LOOP_GET_STATUS64, &info) == 0)
		return info.lo_device == st->st_dev && info.lo_inode == st->st_ino;

	g_strchomp(backing);
	return stat(backing, &other) == 0 && other.st_dev == st->st_dev &&
	       other.st_ino == st->st_ino;
}

/* The caches of a loop device and of its file are two: what one writes, the other undoes. */
static gboolean
check_no_loop(DpsMedium *self, const struct stat *st, GError **error)
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
					 self->path, name, name);
		g_free(part);
		part = g_strdup(name);
	}
	if (part)
		return dps_throw(error, DPS_ERROR_BUSY,
				 "%s: a part of it is attached to /dev/%s: detach that, or attach "
				 "all of it (`losetup -f --show`) and name the new device",
				 self->path, part);
	return TRUE;
}

static gboolean
check_no_virtual_machine(DpsMedium *self, GError **error)
{
	struct flock lock = {
		.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = QEMU_LOCK_START,
		.l_len = QEMU_LOCK_SIZE,
	};

	/* A file system that has no such locks has nobody who holds one. */
	if (fcntl(self->fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
		return dps_throw(error, DPS_ERROR_BUSY,
				 "%s: open in a virtual machine (qemu holds its locks): shut it "
				 "down first",
				 self->path);
	return TRUE;
}

/* --- The lock -----------------------------------------------------------------------------------
 */

/* Who holds a flock on this inode, as /proc/locks has it: "1: FLOCK ADVISORY WRITE 77 00:05:12 …".
 */
static char *
find_lock_holder(const struct stat *st)
{
	g_autofree char *text = read_text("/proc/locks");
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
		comm = read_text(file);
		if (!comm)
			return g_strdup_printf("process %u", pid);
		return g_strdup_printf("%s (process %u)", g_strchomp(comm), pid);
	}
	return g_strdup("another process");
}

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
			holder = find_lock_holder(st);
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

	if (S_ISBLK(st.st_mode)) {
		if (!set_up_device(self, st.st_rdev, error))
			return NULL;
	} else {
		self->size = (uint64_t)st.st_size;
		if (!check_format(self, error))
			return NULL;
		if (self->writable &&
		    (!check_no_loop(self, &st, error) || !check_no_virtual_machine(self, error)))
			return NULL;
	}

	if (!self->writable)
		return g_steal_pointer(&self);
	flags = lock_flags_from_environment(flags);
	if (!(flags & DPS_OPEN_NO_LOCK) && !lock(self, &st, flags, error))
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

	close_fd(&self->fd);
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

gboolean
dps_medium_require_disk(DpsMedium *self, GError **error)
{
	g_autofree char *dir =
		g_strdup_printf("/sys/dev/block/%u:%u", major(self->device), minor(self->device));
	g_autofree char *file = g_build_filename(dir, "partition", NULL);
	g_autofree char *number = self->device ? read_text(file) : NULL;
	g_autofree char *place = NULL, *parent = NULL, *name = NULL, *node = NULL;

	if (!number)
		return TRUE;

	place = realpath(dir, NULL);
	parent = g_path_get_dirname(place ? place : "");
	name = g_path_get_basename(parent);
	node = node_from_sysfs_name(name);
	return dps_throw(error, DPS_ERROR_UNSUPPORTED,
			 "%s: partition %s of a disk, not a disk: name the disk, %s", self->path,
			 g_strstrip(number), place ? node : "that it is on");
}

DpsRegion
dps_medium_get_region(DpsMedium *self)
{
	return dps_region_over_fd(self->fd, 0, self->size);
}

/* --- Writing ------------------------------------------------------------------------------------
 */

gboolean
dps_medium_drop_cache(DpsMedium *self, uint64_t offset, uint64_t size, GError **error)
{
	int errnum = posix_fadvise(self->fd, (off_t)offset, (off_t)size, POSIX_FADV_DONTNEED);

	if (errnum != 0)
		return dps_throw_errno(error, errnum, "%s: drop cached bytes", self->path);
	return TRUE;
}

/* Past the page cache where the file system lets us.  The window is whole blocks around the bytes.
 */
static gboolean
read_directly(DpsMedium *self, uint64_t offset, uint8_t *buffer, size_t size)
{
	g_autofree char *name = g_strdup_printf("/proc/self/fd/%d", self->fd);
	g_auto(AutoFd) fd = open(name, O_RDONLY | O_CLOEXEC | O_DIRECT);
	uint64_t from = offset - offset % DIRECT_ALIGNMENT;
	size_t lead = (size_t)(offset - from);
	size_t window = (lead + size + DIRECT_ALIGNMENT - 1) / DIRECT_ALIGNMENT * DIRECT_ALIGNMENT;
	g_autofree uint8_t *room = NULL;
	uint8_t *aligned;
	ssize_t n;

	if (fd < 0)
		return FALSE;

	room = g_malloc(window + DIRECT_ALIGNMENT);
	aligned = room + (DIRECT_ALIGNMENT - (uintptr_t)room % DIRECT_ALIGNMENT);
	n = TEMP_FAILURE_RETRY(pread(fd, aligned, window, (off_t)from));
	if (n < 0 || (size_t)n < lead + size)
		return FALSE;

	memcpy(buffer, aligned + lead, size);
	return TRUE;
}

static gboolean
read_back(DpsMedium *self, uint64_t offset, uint8_t *buffer, size_t size, GError **error)
{
	DpsRegion region = dps_medium_get_region(self);

	if (read_directly(self, offset, buffer, size))
		return TRUE;

	return dps_medium_drop_cache(self, offset, size, error) &&
	       dps_region_read(&region, offset, buffer, size, error);
}

static gboolean
write_fully(DpsMedium *self, uint64_t offset, const uint8_t *bytes, size_t size, const char *what,
	    GError **error)
{
	while (size > 0) {
		ssize_t n = pwrite(self->fd, bytes, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return dps_throw_errno(error, n < 0 ? errno : EIO, "%s: %s: write",
					       self->path, what);
		bytes += n;
		offset += (uint64_t)n;
		size -= (size_t)n;
	}

	/*
	 * The kernel reports a failed write-back once per open file: ask through the one that
	 * wrote, and do not ask twice.
	 */
	if (TEMP_FAILURE_RETRY(fdatasync(self->fd)) < 0)
		return dps_throw_errno(error, errno, "%s: %s: flush", self->path, what);

	return TRUE;
}

/* The bytes of @from that are also bytes of @to, put over those in @bytes (which are @to's). */
static void
overlay(uint8_t *bytes, const DpsEdit *to, const DpsEdit *from, const uint8_t *from_bytes)
{
	uint64_t first = MAX(to->offset, from->offset);
	uint64_t end = MIN(to->offset + to->size, from->offset + from->size);

	if (first < end)
		memcpy(bytes + (first - to->offset), from_bytes + (first - from->offset),
		       (size_t)(end - first));
}

/*
 * What there should be where edit @i goes, when the first @n_done are written, given what there is:
 * bytes of later edits are not looked at before their turn.
 */
static void
expect_bytes(GPtrArray *edits, guint i, guint n_done, uint8_t *now, uint8_t *wanted)
{
	const DpsEdit *edit = g_ptr_array_index(edits, i);

	memcpy(wanted, i < n_done ? edit->new_bytes : edit->old_bytes, edit->size);
	for (guint j = i < n_done ? i + 1 : n_done; j < (i < n_done ? n_done : i); j++) {
		const DpsEdit *other = g_ptr_array_index(edits, j);

		/* Written since; or old bytes that an edit before it is still to leave. */
		overlay(i < n_done ? wanted : now, edit, other, other->new_bytes);
	}
}

/* Whether each byte is an old or a new one: a write that was cut off, and nobody else's. */
static gboolean
is_between(const DpsEdit *edit, const uint8_t *now)
{
	for (size_t i = 0; i < edit->size; i++)
		if (now[i] != edit->old_bytes[i] && now[i] != edit->new_bytes[i])
			return FALSE;
	return TRUE;
}

/* Of bytes that were written and are not there any more. */
static gboolean
throw_lost(DpsMedium *self, const DpsEdit *edit, const uint8_t *now, GError **error)
{
	if (!is_between(edit, now))
		return dps_throw(error, DPS_ERROR_CHANGED,
				 "%s: %s: is neither what it was nor what was written: another "
				 "program wrote to it at the same time, or the medium is broken",
				 self->path, edit->what);
	return dps_throw(error, DPS_ERROR_IO,
			 "%s: %s: the medium took the bytes and gives others back: do not trust it",
			 self->path, edit->what);
}

/* Whether edits that are still to come will leave every byte of edit @i's place. */
static gboolean
is_still_to_be_left(GPtrArray *edits, guint i, guint n_done)
{
	const DpsEdit *edit = g_ptr_array_index(edits, i);

	for (guint j = n_done; j < i; j++) {
		const DpsEdit *before = g_ptr_array_index(edits, j);

		if (before->offset <= edit->offset &&
		    before->offset + before->size >= edit->offset + edit->size)
			return TRUE;
	}
	return FALSE;
}

static gboolean
check_edit(DpsMedium *self, uint64_t start, GPtrArray *edits, guint i, guint n_done, GError **error)
{
	DpsRegion region = dps_medium_get_region(self);
	const DpsEdit *edit = g_ptr_array_index(edits, i);
	g_autofree uint8_t *now = g_malloc(edit->size);
	g_autofree uint8_t *wanted = g_malloc(edit->size);

	if (!dps_region_read(&region, start + edit->offset, now, edit->size, error)) {
		dps_prefix_error(error, "%s: %s: ", self->path, edit->what);
		return FALSE;
	}
	expect_bytes(edits, i, n_done, now, wanted);
	if (memcmp(now, wanted, edit->size) == 0)
		return TRUE;
	if (i < n_done)
		return throw_lost(self, edit, now, error);
	return dps_throw(error, DPS_ERROR_CHANGED,
			 "%s: %s: changed since it was read: another program wrote to it%s",
			 self->path, edit->what,
			 n_done == 0 ? ": nothing was written, try again" : "");
}

/*
 * Whether the medium is as the first @n_done edits leave it, as far as they all reach.  The place
 * of the last edit is looked at last: it is what every writer changes (a table's header has the
 * checksum of all), so that between this look and our write there is nothing but our write.
 */
static gboolean
check_bytes(DpsMedium *self, uint64_t start, GPtrArray *edits, guint n_done, GError **error)
{
	const DpsEdit *last = g_ptr_array_index(edits, edits->len - 1);

	for (guint pass = 0; pass < 2; pass++)
		for (guint i = 0; i < edits->len; i++) {
			const DpsEdit *edit = g_ptr_array_index(edits, i);

			if ((edit->offset == last->offset) != (pass == 1) ||
			    is_still_to_be_left(edits, i, n_done))
				continue;
			if (!check_edit(self, start, edits, i, n_done, error))
				return FALSE;
		}
	return TRUE;
}

static gboolean
compare_back(DpsMedium *self, uint64_t start, GPtrArray *edits, GError **error)
{
	for (guint i = 0; i < edits->len; i++) {
		const DpsEdit *edit = g_ptr_array_index(edits, i);
		g_autofree uint8_t *now = g_malloc(edit->size);
		g_autofree uint8_t *wanted = g_malloc(edit->size);

		expect_bytes(edits, i, edits->len, now, wanted);
		if (!read_back(self, start + edit->offset, now, edit->size, error)) {
			dps_prefix_error(error, "%s: %s: read back: ", self->path, edit->what);
			return FALSE;
		}
		if (memcmp(now, wanted, edit->size) != 0)
			return throw_lost(self, edit, now, error);
	}
	return TRUE;
}

gboolean
dps_medium_write_edits(DpsMedium *self, uint64_t start, GPtrArray *edits, guint *done,
		       GError **error)
{
	guint n_done = 0;

	if (done)
		*done = 0;
	if (edits->len == 0)
		return TRUE;
	if (!self->writable)
		return dps_throw(error, DPS_ERROR_PERMISSION, "%s: opened for reading only",
				 self->path);

	for (; n_done < edits->len; n_done++) {
		const DpsEdit *edit = g_ptr_array_index(edits, n_done);

		/* Before each one: who takes no lock may have written all of it meanwhile. */
		if (!check_bytes(self, start, edits, n_done, error))
			return FALSE;
		if (!write_fully(self, start + edit->offset, edit->new_bytes, edit->size,
				 edit->what, error)) {
			dps_prefix_error(error, "step %u of %u: ", n_done + 1, edits->len);
			return FALSE;
		}
		if (done)
			*done = n_done + 1;
	}
	return compare_back(self, start, edits, error);
}

/* Whether what was written is there, whole or cut off, so that old bytes may go over it. */
static gboolean
check_is_ours(DpsMedium *self, uint64_t start, GPtrArray *edits, guint n, GError **error)
{
	for (guint i = n; i > 0; i--) {
		const DpsEdit *edit = g_ptr_array_index(edits, i - 1);
		g_autofree uint8_t *now = g_malloc(edit->size);

		if (!read_back(self, start + edit->offset, now, edit->size, error)) {
			dps_prefix_error(error, "%s: %s: put back: ", self->path, edit->what);
			return FALSE;
		}
		/* As those behind it will have left it. */
		for (guint j = n; j > i; j--) {
			const DpsEdit *later = g_ptr_array_index(edits, j - 1);

			overlay(now, edit, later, later->old_bytes);
		}
		if (!is_between(edit, now))
			return dps_throw(error, DPS_ERROR_CHANGED,
					 "%s: %s: put back: another program wrote to it",
					 self->path, edit->what);
	}
	return TRUE;
}

gboolean
dps_medium_put_back(DpsMedium *self, uint64_t start, GPtrArray *edits, guint done, GError **error)
{
	guint n = MIN(done + 1, edits->len);

	/* All of it first: a table that another program wrote is left whole. */
	if (!check_is_ours(self, start, edits, n, error))
		return FALSE;

	for (guint i = n; i > 0; i--) {
		const DpsEdit *edit = g_ptr_array_index(edits, i - 1);
		uint64_t offset = start + edit->offset;
		g_autofree uint8_t *now = g_malloc(edit->size);

		/* Also when it reads right: it may be right in the cache alone. */
		if (!write_fully(self, offset, edit->old_bytes, edit->size, edit->what, error) ||
		    !read_back(self, offset, now, edit->size, error)) {
			dps_prefix_error(error, "put back: ");
			return FALSE;
		}
		if (memcmp(now, edit->old_bytes, edit->size) != 0)
			return dps_throw(error, DPS_ERROR_IO,
					 "%s: %s: put back: the medium took the bytes and gives "
					 "others back",
					 self->path, edit->what);
	}
	return TRUE;
}

/* --- udev ---------------------------------------------------------------------------------------
 */

/* The file of udev's database for partition @number, NULL when the kernel has no such partition. */
static char *
find_udev_record(DpsMedium *self, guint number)
{
	g_autofree char *dir =
		g_strdup_printf("/sys/dev/block/%u:%u", major(self->device), minor(self->device));
	g_autoptr(GDir) children = g_dir_open(dir, 0, NULL);
	const char *name;

	while (children && (name = g_dir_read_name(children))) {
		g_autofree char *file = g_build_filename(dir, name, "partition", NULL);
		g_autofree char *text = read_text(file);
		g_autofree char *device_file = NULL, *device = NULL;

		if (!text || g_ascii_strtoull(text, NULL, 10) != number)
			continue;
		device_file = g_build_filename(dir, name, "dev", NULL);
		device = read_text(device_file);
		if (device)
			return g_strconcat("/run/udev/data/b", g_strchomp(device), NULL);
	}
	return NULL;
}

static gboolean
udev_knows(DpsMedium *self, GArray *partitions, GPtrArray *type_uuids)
{
	for (guint i = 0; i < partitions->len; i++) {
		g_autofree char *path = find_udev_record(self, g_array_index(partitions, guint, i));
		g_autofree char *record = path ? read_text(path) : NULL;
		g_autofree char *line = g_strdup_printf("\nE:ID_PART_ENTRY_TYPE=%s\n",
							(char *)g_ptr_array_index(type_uuids, i));

		/* No node: nobody asks udev about it.  (A device that is made anew has one again.)
		 */
		if (!path)
			continue;
		if (!record || !strstr(record, line))
			return FALSE;
	}
	return TRUE;
}

void
dps_medium_wait_for_udev(DpsMedium *self, GArray *partitions, GPtrArray *type_uuids, char **note)
{
	gint64 give_up = g_get_monotonic_time() + UDEV_WAIT_SECONDS * G_TIME_SPAN_SECOND;
	g_autofree char *name = g_strdup_printf("/proc/self/fd/%d", self->fd);
	g_auto(AutoFd) reader = -1;

	*note = NULL;
	if (!self->writable)
		return;

	/* The number stays: regions over it go on reading.  The last close of the writer is the
	 * sign that udevd waits for. */
	reader = open(name, O_RDONLY | O_CLOEXEC);
	if (reader < 0)
		reader = open(self->path, O_RDONLY | O_CLOEXEC);
	if (reader < 0 || dup3(reader, self->fd, O_CLOEXEC) < 0)
		close_fd(&self->fd);
	self->writable = FALSE;

	if (self->device == 0 || partitions->len == 0)
		return;
	if (access("/run/udev/control", F_OK) < 0) {
		*note = g_strdup("udev is not running: its records of the partitions stay as they "
				 "were");
		return;
	}
	while (!udev_knows(self, partitions, type_uuids)) {
		if (g_get_monotonic_time() >= give_up) {
			*note = g_strdup_printf(
				"udev has not read the table again within %d seconds: `udevadm "
				"trigger --settle %s` makes it",
				UDEV_WAIT_SECONDS, self->path);
			return;
		}
		g_usleep(UDEV_RETRY_USEC);
	}
}
