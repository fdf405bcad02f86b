/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/journal.h"
#include "format/checksum.h"
#include "ground/bytes.h"
#include "ground/error.h"
#include "target/fd.h"
#include "target/save.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX ".dps-journal"

/*
 * The file: a signature, the crc32c of all that follows it, the number of edits, the size of the
 * file; then for each edit its offset on the medium, its size, its old and its new bytes.  All
 * little-endian.
 */
static const char signature[16] = "dps-journal 1\n";
/* In its place: all was done, or taken back, and there is nothing to finish. */
static const char done_signature[16] = "dps-journal 0\n";
/* What the signature of every version begins with. */
#define KIND "dps-journal "
enum {
	HEADER_SUM = 16,
	HEADER_COUNT = 20,
	HEADER_FILE_SIZE = 24,
	HEADER_SIZE = 32,
	EDIT_HEADER_SIZE = 16,
};
/* A btrfs leaf of 64 KiB, old and new, and its superblocks: with room. */
#define MAX_FILE_SIZE (1u << 20)
/*
 * The one copy of a leaf and three superblocks are 4 (format/btrfs-edit.c): with room.  Before each
 * edit that is written all are read and held against each other, so that time goes with the cube.
 */
#define MAX_EDITS 16

/* A device may tear a write between these: then each piece is old or new. */
#define SECTOR 512

/* Where the journal of an image is: in the image's own directory, whatever link led to it. */
typedef struct {
	char *path;
	int dir; /* -1: none */
	char *name;
} Place;

static void
place_clear(Place *place)
{
	if (place->dir >= 0)
		close(place->dir);
	g_free(place->path);
	g_free(place->name);
	*place = (Place){ .dir = -1 };
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Place, place_clear)

static Place
steal_place(Place *place)
{
	Place stolen = *place;

	*place = (Place){ .dir = -1 };
	return stolen;
}

static gboolean
find_place(DpsMedium *medium, Place *out, GError **error)
{
	const char *path = dps_medium_get_path(medium);
	char *image = realpath(path, NULL); /* malloc'ed by the C library */
	g_auto(Place) place = { .dir = -1 };
	g_autofree char *dir = NULL;

	if (!image)
		return dps_throw_errno(error, errno, "%s: journal", path);
	place.path = g_strconcat(image, SUFFIX, NULL);
	free(image);
	dir = g_path_get_dirname(place.path);
	place.name = g_path_get_basename(place.path);
	place.dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (place.dir < 0)
		return dps_throw_errno(error, errno, "%s: open", dir);

	*out = steal_place(&place);
	return TRUE;
}

/* Removing */

typedef enum { NO_JOURNAL, DONE, PENDING } State;

/* What cannot be looked into may be pending: a confined reader sees names alone. */
static State
get_state(const Place *place)
{
	g_auto(DpsFd) fd = -1;
	char start[sizeof(signature)] = "";

	if (faccessat(place->dir, place->name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return NO_JOURNAL;
	fd = openat(place->dir, place->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || TEMP_FAILURE_RETRY(pread(fd, start, sizeof(start), 0)) != sizeof(start))
		return PENDING;
	return memcmp(start, done_signature, sizeof(start)) == 0 ? DONE : PENDING;
}

/*
 * Says so in the file itself, for its name may come back: when the flush of the directory fails and
 * the power is cut, the next run would do again what was undone since.  Before the name is taken
 * away, because btrfs flushes nothing of a file without one (Linux, btrfs_log_inode_parent()).  Who
 * may write to the directory can have put another file there: in one that has other names, or is no
 * journal, nothing is written.
 */
static gboolean
mark_done(const Place *place)
{
	g_auto(DpsFd) fd =
		openat(place->dir, place->name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char start[sizeof(signature)] = "";
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1 ||
	    TEMP_FAILURE_RETRY(pread(fd, start, sizeof(start), 0)) != sizeof(start) ||
	    (memcmp(start, signature, sizeof(start)) != 0 &&
	     memcmp(start, done_signature, sizeof(start)) != 0))
		return FALSE;
	return TEMP_FAILURE_RETRY(pwrite(fd, done_signature, sizeof(done_signature), 0)) ==
		       sizeof(done_signature) &&
	       dps_fd_flush(fd);
}

/* One that is marked is gone, whatever becomes of its name: the next run takes that away. */
static gboolean
remove_journal(const Place *place, GError **error)
{
	gboolean is_marked = mark_done(place);

	if (unlinkat(place->dir, place->name, 0) < 0)
		return is_marked || dps_throw_errno(error, errno, "%s: remove", place->path);
	if (!dps_fd_flush(place->dir))
		return is_marked ||
		       dps_throw_errno(error, errno,
				       "%s: was removed, and may be there again when the power is "
				       "cut: flush of its directory",
				       place->path);
	return TRUE;
}

/* Writing */

static void
append_le32(GByteArray *bytes, uint32_t value)
{
	uint8_t p[4];

	dps_store_le32(p, value);
	g_byte_array_append(bytes, p, sizeof(p));
}

static void
append_le64(GByteArray *bytes, uint64_t value)
{
	uint8_t p[8];

	dps_store_le64(p, value);
	g_byte_array_append(bytes, p, sizeof(p));
}

static GByteArray *
serialize(uint64_t start, GPtrArray *edits)
{
	GByteArray *bytes = g_byte_array_new();

	g_byte_array_append(bytes, (const uint8_t *)signature, sizeof(signature));
	append_le32(bytes, 0); /* the sum, below */
	append_le32(bytes, edits->len);
	append_le64(bytes, 0); /* the size, below */
	for (guint i = 0; i < edits->len; i++) {
		const DpsEdit *edit = g_ptr_array_index(edits, i);

		append_le64(bytes, start + edit->offset);
		append_le64(bytes, edit->size);
		g_byte_array_append(bytes, edit->old_bytes, (guint)edit->size);
		g_byte_array_append(bytes, edit->new_bytes, (guint)edit->size);
	}
	dps_store_le64(bytes->data + HEADER_FILE_SIZE, bytes->len);
	dps_store_le32(bytes->data + HEADER_SUM,
		       ~dps_crc32c_feed(UINT32_MAX, bytes->data + HEADER_COUNT,
					bytes->len - HEADER_COUNT));
	return bytes;
}

/* It has its name when it is whole and flushed: what is half of one is none of ours. */
static gboolean
create_journal(const Place *place, const GByteArray *bytes, GError **error)
{
	/* An older one that nobody needs, of which the name could not be taken away. */
	if (get_state(place) == DONE)
		unlinkat(place->dir, place->name, 0);
	if (dps_save_new_file(place->dir, place->name, bytes->data, bytes->len, error))
		return TRUE;
	dps_prefix_error(error, "%s: ", place->path);
	return FALSE;
}

gboolean
dps_journal_write_edits(DpsMedium *medium, uint64_t start, GPtrArray *edits, gboolean *is_left,
			GError **error)
{
	g_auto(Place) place = { .dir = -1 };
	g_autoptr(GByteArray) bytes = NULL;
	g_autoptr(GError) put_back_error = NULL;
	g_autoptr(GError) local = NULL;
	gboolean left = FALSE;
	guint done;

	if (!is_left)
		is_left = &left;
	*is_left = FALSE;
	if (dps_medium_is_device(medium))
		return dps_throw(error, DPS_ERROR_REFUSED,
				 "%s: a block device has no place for a journal: mount it, or work "
				 "on an image file",
				 dps_medium_get_path(medium));
	if (!find_place(medium, &place, error))
		return FALSE;
	bytes = serialize(start, edits);
	/* What nobody would finish is not begun. */
	if (edits->len > MAX_EDITS || bytes->len > MAX_FILE_SIZE)
		return dps_throw(error, DPS_ERROR_UNSUPPORTED,
				 "%s: %u edits of %u bytes: more than a journal takes", place.path,
				 edits->len, bytes->len);
	if (!create_journal(&place, bytes, error))
		return FALSE;
	*is_left = TRUE;
	if (dps_medium_write_edits(medium, start, edits, &done, &local))
		return remove_journal(&place, error);

	/* Changed by somebody else before the first write: nothing is to be put back. */
	if ((done == 0 && g_error_matches(local, DPS_ERROR, DPS_ERROR_CHANGED)) ||
	    dps_medium_put_back(medium, start, edits, done, &put_back_error))
		/* Removed, and the flush of that failed: nobody finishes what is not there. */
		*is_left = !remove_journal(&place, NULL) && get_state(&place) == PENDING;
	else
		dps_prefix_error(&local,
				 "%s: what was written could not be put back at once (%s): ",
				 place.path, put_back_error->message);
	g_propagate_error(error, g_steal_pointer(&local));
	return FALSE;
}

/* Finishing */

static gboolean
check_owner(DpsMedium *medium, const Place *place, int fd, struct stat *journal, GError **error)
{
	struct stat image;

	if (fstat(fd, journal) < 0 || fstat(dps_medium_get_fd(medium), &image) < 0)
		return dps_throw_errno(error, errno, "%s: stat", place->path);

	/* Whoever may write this file decides what is written to the image. */
	if (!S_ISREG(journal->st_mode) || (journal->st_mode & (S_IWGRP | S_IWOTH)) ||
	    (journal->st_uid != geteuid() && journal->st_uid != image.st_uid &&
	     journal->st_uid != 0))
		return dps_throw(
			error, DPS_ERROR_REFUSED,
			"%s: no journal of the image's owner: others can write it (uid %u, "
			"mode %04o): look at it, and remove it",
			place->path, (unsigned)journal->st_uid, journal->st_mode & 07777);
	return TRUE;
}

/*
 * A journal gets its name when it is whole (create_journal()).  What is not was damaged later, with
 * the image half written perhaps, or is another's file: it is not to be taken away.
 */
static uint8_t *
read_whole(int fd, const Place *place, uint64_t size, GError **error)
{
	DpsRegion region = dps_region_over_fd(fd, 0, size);
	g_autofree uint8_t *bytes = NULL;

	if (size >= HEADER_SIZE && size <= MAX_FILE_SIZE) {
		bytes = g_malloc(size);
		if (!dps_region_read(&region, 0, bytes, size, error)) {
			dps_prefix_error(error, "%s: ", place->path);
			return NULL;
		}
	}
	if (bytes && memcmp(bytes, KIND, strlen(KIND)) == 0 &&
	    memcmp(bytes, signature, sizeof(signature)) != 0)
		return dps_throw_null(error, DPS_ERROR_UNSUPPORTED,
				      "%s: a journal of another version of libdps, which alone can "
				      "finish it: run `dps-tag apply` of that version first",
				      place->path);
	if (!bytes || memcmp(bytes, signature, sizeof(signature)) != 0 ||
	    dps_load_le64(bytes + HEADER_FILE_SIZE) != size ||
	    dps_load_le32(bytes + HEADER_SUM) != (uint32_t)~dps_crc32c_feed(UINT32_MAX,
									    bytes + HEADER_COUNT,
									    size - HEADER_COUNT))
		return dps_throw_null(error, DPS_ERROR_CORRUPT,
				      "%s: not a journal, or one that was damaged: the image may "
				      "be half written; when it is good (see `btrfs check`), move "
				      "this file away",
				      place->path);
	return g_steal_pointer(&bytes);
}

static gboolean
is_cut_off(const uint8_t *now, const uint8_t *old_bytes, const uint8_t *new_bytes, size_t size)
{
	for (size_t at = 0; at < size; at += SECTOR) {
		size_t n = MIN(SECTOR, size - at);

		if (memcmp(now + at, old_bytes + at, n) != 0 &&
		    memcmp(now + at, new_bytes + at, n) != 0)
			return FALSE;
	}
	return TRUE;
}

static int
compare_offsets(gconstpointer a, gconstpointer b)
{
	const DpsEdit *one = *(const DpsEdit *const *)a, *other = *(const DpsEdit *const *)b;

	return (one->offset > other->offset) - (one->offset < other->offset);
}

/* No run of ours writes a byte twice; such a journal could be written half way, and no further. */
static gboolean
is_a_byte_written_twice(GPtrArray *edits)
{
	g_autoptr(GPtrArray) sorted = g_ptr_array_new();
	uint64_t end = 0;

	for (guint i = 0; i < edits->len; i++)
		g_ptr_array_add(sorted, edits->pdata[i]);
	g_ptr_array_sort(sorted, compare_offsets);
	for (guint i = 0; i < sorted->len; i++) {
		const DpsEdit *edit = sorted->pdata[i];

		if (edit->offset < end)
			return TRUE;
		end = edit->offset + edit->size;
	}
	return FALSE;
}

/* @is_begun: whether any byte is another than before the first edit */
static gboolean
parse_edits(DpsMedium *medium, const Place *place, const uint8_t *bytes, size_t size,
	    GPtrArray *edits, gboolean *is_begun, GError **error)
{
	DpsRegion region = dps_medium_get_region(medium);
	uint32_t n = dps_load_le32(bytes + HEADER_COUNT);
	size_t at = HEADER_SIZE;

	for (uint32_t i = 0; i < n && n <= MAX_EDITS; i++) {
		g_autofree uint8_t *now = NULL;
		const uint8_t *old_bytes, *new_bytes;
		uint64_t offset, length;

		if (size - at < EDIT_HEADER_SIZE)
			break;
		offset = dps_load_le64(bytes + at);
		length = dps_load_le64(bytes + at + 8);
		at += EDIT_HEADER_SIZE;
		if (length == 0 || length > (size - at) / 2)
			break;
		old_bytes = bytes + at;
		new_bytes = old_bytes + length;
		at += 2 * (size_t)length;

		now = g_malloc(length);
		if (!dps_region_read(&region, offset, now, length, error)) {
			dps_prefix_error(error, "%s: ", place->path);
			return FALSE;
		}
		if (!is_cut_off(now, old_bytes, new_bytes, length))
			return dps_throw(
				error, DPS_ERROR_CHANGED,
				"%s: the image was changed after this journal was written: "
				"when the image is good, remove the journal",
				place->path);
		*is_begun |= memcmp(now, old_bytes, length) != 0;
		g_ptr_array_add(edits, dps_edit_new(offset, now, new_bytes, length, "journal"));
	}
	if (edits->len != n || at != size || is_a_byte_written_twice(edits))
		return dps_throw(error, DPS_ERROR_CORRUPT, "%s: not what a journal is",
				 place->path);
	return TRUE;
}

gboolean
dps_journal_finish(DpsMedium *medium, gboolean *finished, GError **error)
{
	g_auto(Place) place = { .dir = -1 };
	g_autoptr(GPtrArray) edits = dps_edit_list_new();
	g_autofree uint8_t *bytes = NULL;
	g_auto(DpsFd) fd = -1;
	gboolean is_begun = FALSE;
	struct stat st;

	if (finished)
		*finished = FALSE;
	if (dps_medium_is_device(medium))
		return TRUE;
	if (!find_place(medium, &place, error))
		return FALSE;
	fd = openat(place.dir, place.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return TRUE;
	if (fd < 0)
		return dps_throw_errno(error, errno, "%s: open", place.path);

	if (!check_owner(medium, &place, fd, &st, error))
		return FALSE;
	/* Nothing hangs on it: an immutable one is in nobody's way. */
	if (get_state(&place) == DONE) {
		remove_journal(&place, NULL);
		return TRUE;
	}
	bytes = read_whole(fd, &place, (uint64_t)st.st_size, error);
	if (!bytes ||
	    !parse_edits(medium, &place, bytes, (size_t)st.st_size, edits, &is_begun, error))
		return FALSE;
	/* What was not begun need not be finished: another image may have been put in its place. */
	if (!is_begun)
		return remove_journal(&place, error);
	if (!dps_medium_write_edits(medium, 0, edits, NULL, error))
		return FALSE;
	dps_medium_set_finished(medium);
	if (!remove_journal(&place, error))
		return FALSE;
	if (finished)
		*finished = TRUE;
	return TRUE;
}

gboolean
dps_journal_remove(DpsMedium *medium, GError **error)
{
	g_auto(Place) place = { .dir = -1 };

	return !dps_journal_is_pending(medium) ||
	       (find_place(medium, &place, error) && remove_journal(&place, error));
}

gboolean
dps_journal_is_pending(DpsMedium *medium)
{
	g_auto(Place) place = { .dir = -1 };

	return !dps_medium_is_device(medium) && find_place(medium, &place, NULL) &&
	       get_state(&place) == PENDING;
}
