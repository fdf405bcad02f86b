/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/medium.h"
#include "ground/error.h"
#include "target/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Whole blocks of this many bytes satisfy O_DIRECT on every device with sectors of up to 4096. */
#define DIRECT_ALIGNMENT 4096

gboolean
dps_medium_drop_cache(DpsMedium *self, uint64_t offset, uint64_t size, GError **error)
{
	int errnum = posix_fadvise(dps_medium_get_fd(self), (off_t)offset, (off_t)size,
				   POSIX_FADV_DONTNEED);

	if (errnum != 0)
		return dps_throw_errno(error, errnum, "%s: drop cached bytes",
				       dps_medium_get_path(self));
	return TRUE;
}

/* Past the page cache where the file system lets us.  The window is whole blocks around the bytes.
 */
static gboolean
read_directly(DpsMedium *self, uint64_t offset, uint8_t *buffer, size_t size)
{
	g_autofree char *name = g_strdup_printf("/proc/self/fd/%d", dps_medium_get_fd(self));
	g_auto(DpsFd) fd = open(name, O_RDONLY | O_CLOEXEC | O_DIRECT);
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
		ssize_t n = pwrite(dps_medium_get_fd(self), bytes, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return dps_throw_errno(error, n < 0 ? errno : EIO, "%s: %s: write",
					       dps_medium_get_path(self), what);
		bytes += n;
		offset += (uint64_t)n;
		size -= (size_t)n;
	}

	/*
	 * The kernel reports a failed write-back once per open file: ask through the one that
	 * wrote, and do not ask twice.
	 */
	if (TEMP_FAILURE_RETRY(fdatasync(dps_medium_get_fd(self))) < 0)
		return dps_throw_errno(error, errno, "%s: %s: flush", dps_medium_get_path(self),
				       what);

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
				 dps_medium_get_path(self), edit->what);
	return dps_throw(error, DPS_ERROR_IO,
			 "%s: %s: the medium took the bytes and gives others back: do not trust it",
			 dps_medium_get_path(self), edit->what);
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
		dps_prefix_error(error, "%s: %s: ", dps_medium_get_path(self), edit->what);
		return FALSE;
	}
	expect_bytes(edits, i, n_done, now, wanted);
	if (memcmp(now, wanted, edit->size) == 0)
		return TRUE;
	if (i < n_done)
		return throw_lost(self, edit, now, error);
	return dps_throw(error, DPS_ERROR_CHANGED,
			 "%s: %s: changed since it was read: another program wrote to it%s",
			 dps_medium_get_path(self), edit->what,
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
			dps_prefix_error(error, "%s: %s: read back: ", dps_medium_get_path(self),
					 edit->what);
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
	if (!dps_medium_is_writable(self))
		return dps_throw(error, DPS_ERROR_PERMISSION, "%s: opened for reading only",
				 dps_medium_get_path(self));

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
			dps_prefix_error(error, "%s: %s: put back: ", dps_medium_get_path(self),
					 edit->what);
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
					 dps_medium_get_path(self), edit->what);
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
					 dps_medium_get_path(self), edit->what);
	}
	return TRUE;
}

gboolean
dps_medium_reads_as_before(DpsMedium *self, uint64_t start, GPtrArray *edits)
{
	for (guint i = 0; i < edits->len; i++) {
		const DpsEdit *edit = g_ptr_array_index(edits, i);
		g_autofree uint8_t *now = g_malloc(edit->size);
		g_autofree uint8_t *wanted = g_malloc(edit->size);

		if (!read_back(self, start + edit->offset, now, edit->size, NULL))
			return FALSE;
		/* The bytes that an edit before it leaves are looked at there. */
		expect_bytes(edits, i, 0, now, wanted);
		if (memcmp(now, wanted, edit->size) != 0)
			return FALSE;
	}
	return TRUE;
}
