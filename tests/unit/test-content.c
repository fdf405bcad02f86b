/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fault.h"
#include "ground/bytes.h"
#include "ground/error.h"
#include "target/content.h"

#include <dps/error.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

/* Larger than where the labels of ZFS are looked for. */
#define SIZE ((uint64_t)4 * 1024 * 1024)

/* A file of SIZE bytes with a swap area, or with nothing. */
typedef struct {
	char *path;
	int fd;
	DpsRegion region;
} Fixture;

static void
set_up(Fixture *self, gconstpointer data)
{
	uint8_t page[4096] = { 0 };

	/* Linux, include/linux/swap.h: the header of a swap area with pages of 4096 bytes */
	dps_store_le32(page + 1024, 1);
	dps_store_le32(page + 1028, 10);
	memset(page + 1036, 0xab, 16);
	memcpy(page + 1052, "zwei", 4);
	memcpy(page + 4086, "SWAPSPACE2", 10);

	self->path = g_build_filename(g_get_tmp_dir(), "dps-content-XXXXXX", NULL);
	self->fd = g_mkstemp(self->path);
	g_assert_cmpint(ftruncate(self->fd, SIZE), ==, 0);
	if (data)
		g_assert_cmpint(pwrite(self->fd, page, sizeof page, 0), ==, sizeof page);
	self->region = dps_region_over_fd(self->fd, 0, SIZE);
}

static void
tear_down(Fixture *self, gconstpointer data)
{
	close(self->fd);
	g_unlink(self->path);
	g_free(self->path);
}

static void
assert_whole(const DpsContent *content, gboolean is_swap)
{
	g_assert_cmpint(content->kind, ==, is_swap ? DPS_CONTENT_SWAP : DPS_CONTENT_NONE);
	g_assert_cmpstr(content->type, ==, is_swap ? "swap" : NULL);
	g_assert_cmpstr(content->label, ==, is_swap ? "zwei" : NULL);
	g_assert_null(content->problem);
}

/* Each read fails in turn, and each with all behind it. */
static void
test_reads(Fixture *self, gconstpointer data)
{
	static const struct {
		int how;
		gint code;	    /* the error; 0: none */
		const char *reason; /* of what is unreadable; NULL: it never is */
	} rows[] = {
		/* What Linux says of a sector that it cannot read. */
		{ EIO, 0, "Input/output error" },
		{ ENODATA, 0, "No data available" },
		{ EREMOTEIO, 0, "Remote I/O error" },
		{ EILSEQ, 0, "Invalid or incomplete multibyte or wide character" },
		/* A file that is shorter than it was. */
		{ FAULT_END, 0, "No data available" },
		/* None of these is about the partition. */
		{ ENOMEM, DPS_ERROR_IO, NULL },
		{ ENXIO, DPS_ERROR_NOT_FOUND, NULL },
		{ EBADF, DPS_ERROR_IO, NULL },
		{ EACCES, DPS_ERROR_PERMISSION, NULL },
		{ EINTR, 0, NULL },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		guint n_failed = 0;

		for (guint nth = 1, was_reached = TRUE; was_reached; nth++) {
			DpsContent content = { 0 };
			g_autoptr(GError) error = NULL;
			gboolean good;

			g_assert_cmpuint(nth, <, 500);
			g_test_message("%d %u", rows[i].how, nth);
			fault_set("read", nth, rows[i].how);
			good = dps_content_probe(&self->region, &content, &error);
			was_reached = fault_clear();
			g_assert_cmpint(good, ==, error == NULL);
			if (!good) {
				n_failed++;
				g_assert_cmpint(rows[i].code, !=, 0);
				g_assert_error(error, DPS_ERROR, rows[i].code);
			} else if (content.kind == DPS_CONTENT_UNREADABLE) {
				n_failed++;
				g_assert_nonnull(rows[i].reason);
				g_assert_nonnull(strstr(content.problem, rows[i].reason));
				g_assert_null(content.type);
				g_assert_null(content.uuid);
				g_assert_null(content.label);
			} else if (rows[i].how != FAULT_END) {
				/* libblkid finds a file's end to be no error. */
				assert_whole(&content, data != NULL);
			}
			dps_content_clear(&content);
			g_assert_null(content.problem);
			g_assert_cmpint(content.kind, ==, DPS_CONTENT_NONE);
		}
		g_assert_cmpint(n_failed > 0, ==,
				rows[i].how != EINTR && !(data && rows[i].how == FAULT_END));
	}
}

/* A file that ends before the partition does: libblkid does not begin. */
static void
test_shorter(Fixture *self, gconstpointer data)
{
	DpsContent content = { .kind = DPS_CONTENT_VERITY };

	g_assert_cmpint(ftruncate(self->fd, 8192), ==, 0);
	g_assert_false(dps_content_probe(&self->region, &content, NULL));
	g_assert_cmpint(content.kind, ==, DPS_CONTENT_VERITY);
}

/* Partitions that are smaller than what is read of others. */
static void
test_small(Fixture *self, gconstpointer data)
{
	static const uint64_t sizes[] = { 0, 512, 4096, 69632, 69633, 131072, 131073 };

	for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
		DpsRegion region = dps_region_over_fd(self->fd, SIZE - sizes[i], sizes[i]);
		DpsContent content = { 0 };

		g_assert_true(dps_content_probe(&region, &content, NULL));
		assert_whole(&content, FALSE);
		dps_content_clear(&content);
	}
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define ADD(name, function, data) g_test_add(name, Fixture, data, set_up, function, tear_down)
	ADD("/content/reads/nothing", test_reads, NULL);
	ADD("/content/reads/swap", test_reads, "swap");
	ADD("/content/shorter", test_shorter, NULL);
	ADD("/content/small", test_small, NULL);
#undef ADD
	return g_test_run();
}
