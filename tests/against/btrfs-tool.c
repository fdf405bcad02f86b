/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The btrfs side of the library by itself, for tests that hold it against btrfs-progs and the
 * kernel:
 *
 *	btrfs-tool IMAGE OFFSET list	   of an image, OFFSET bytes into it
 *	btrfs-tool DIRECTORY mounted list  of a mounted file system
 *
 * and instead of list: default; of (the subvolume of a directory); check ID; needs ID; set ID;
 * edits ID (what set would write: offset, size, old and new bytes, one edit a line); finish (a
 * journal that is there); and of the files below subvolume ID of an image (0: the default): cat ID
 * PATH, ls ID PATH (kind, mode, size, name), attr ID PATH NAME.
 */
#include <dps/error.h>
#include "format/btrfs-edit.h"
#include "target/btrfs-files.h"
#include "target/journal.h"
#include "target/subvolume.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int
fail(const GError *error)
{
	fprintf(stderr, "%s: %s\n", dps_error_code_to_string(error->code), error->message);
	return 3;
}

static void
list(DpsBtrfs *btrfs)
{
	GPtrArray *subvolumes = dps_btrfs_get_subvolumes(btrfs);

	for (guint i = 0; i < subvolumes->len; i++) {
		const DpsSubvolume *subvolume = g_ptr_array_index(subvolumes, i);

		printf("%" PRIu64 " %s\n", subvolume->id, subvolume->path);
	}
}

static void
print_hex(const uint8_t *bytes, size_t size)
{
	putchar(' ');
	for (size_t i = 0; i < size; i++)
		printf("%02x", bytes[i]);
}

static gboolean
print_edits(const DpsRegion *region, uint64_t id, GError **error)
{
	g_auto(DpsBtrfsEdit) edit = { NULL };

	if (!dps_btrfs_edit_default(region, id, &edit, error))
		return FALSE;
	printf("journal %d\n", edit.needs_journal);
	for (guint i = 0; i < edit.edits->len; i++) {
		const DpsEdit *one = g_ptr_array_index(edit.edits, i);

		printf("%" PRIu64 " %zu", one->offset, one->size);
		print_hex(one->old_bytes, one->size);
		print_hex(one->new_bytes, one->size);
		putchar('\n');
	}
	return TRUE;
}

static gboolean
set_default(DpsBtrfs *btrfs, const char *path, uint64_t start, uint64_t id, GError **error)
{
	g_autoptr(DpsMedium) medium = NULL;

	if (!dps_btrfs_is_mounted(btrfs)) {
		medium = dps_medium_open(path, DPS_OPEN_WRITABLE | DPS_OPEN_NO_LOCK, error);
		if (!medium)
			return FALSE;
	}
	return dps_btrfs_set_default(btrfs, id, medium, start, NULL, error);
}

static gboolean
finish(const char *path, GError **error)
{
	g_autoptr(DpsMedium) medium = dps_medium_open(path, DPS_OPEN_WRITABLE, error);
	gboolean finished;

	if (!medium || !dps_journal_finish(medium, &finished, error))
		return FALSE;
	printf("%s\n", finished ? "finished" : "nothing");
	return TRUE;
}

static gboolean
cat(DpsFiles *files, const char *path, GError **error)
{
	size_t size;
	g_autofree char *bytes = dps_files_read(files, path, 64 << 20, &size, error);

	return bytes && fwrite(bytes, 1, size, stdout) == size;
}

static gboolean
ls(DpsFiles *files, const char *path, GError **error)
{
	g_autoptr(GPtrArray) infos = dps_files_list(files, path, error);

	for (guint i = 0; infos && i < infos->len; i++) {
		const DpsFileInfo *info = g_ptr_array_index(infos, i);

		printf("%c %o %" PRIu64 " %s\n", "fdlo"[info->kind], info -> mode, info -> size,
		       info -> name);
	}
	return infos != NULL;
}

static gboolean
attr(DpsFiles *files, const char *path, const char *name, GError **error)
{
	g_autoptr(GBytes) value = NULL;

	if (!dps_files_get_attribute(files, path, name, &value, error))
		return FALSE;
	if (value)
		fwrite(g_bytes_get_data(value, NULL), 1, g_bytes_get_size(value), stdout);
	return TRUE;
}

/* Returns: whether @command is one about files; then @ok says how it went. */
static gboolean
do_files(const DpsRegion *region, char **argv, gboolean *ok, GError **error)
{
	static const char *const commands[] = { "cat", "ls", "attr", NULL };
	g_autoptr(DpsFiles) files = NULL;

	if (!g_strv_contains(commands, argv[3]))
		return FALSE;
	*ok = FALSE;
	if (!argv[4] || !argv[5])
		return TRUE;
	files = dps_btrfs_open_files(region, strtoull(argv[4], NULL, 0), error);
	if (!files)
		return TRUE;
	if (strcmp(argv[3], "cat") == 0)
		*ok = cat(files, argv[5], error);
	else if (strcmp(argv[3], "ls") == 0)
		*ok = ls(files, argv[5], error);
	else
		*ok = attr(files, argv[5], argv[6] ? argv[6] : "", error);
	return TRUE;
}

int
main(int argc, char **argv)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsBtrfs) btrfs = NULL;
	gboolean mounted = argc > 3 && strcmp(argv[2], "mounted") == 0;
	uint64_t start = argc > 3 && !mounted ? strtoull(argv[2], NULL, 0) : 0;
	uint64_t id = argc > 4 ? strtoull(argv[4], NULL, 0) : 0;
	const char *command = argc > 3 ? argv[3] : "";
	g_autofree char *text = NULL;
	gboolean ok = TRUE;
	DpsRegion region;
	int fd;

	if (strcmp(command, "finish") == 0)
		return finish(argv[1], &error) ? 0 : fail(error);
	fd = argc > 3 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0)
		return 2;

	region = dps_region_over_fd(fd, start, (uint64_t)lseek(fd, 0, SEEK_END) - start);
	if (strcmp(command, "edits") == 0)
		return print_edits(&region, id, &error) ? 0 : fail(error);
	if (do_files(&region, argv, &ok, &error))
		return ok ? 0 : error ? fail(error) : 2;
	if (strcmp(command, "of") == 0) {
		if (!dps_btrfs_subvolume_of_fd(fd, &id, &text, &error))
			return fail(error);
		printf("%" PRIu64 " %s\n", id, text ? text : "?");
		return 0;
	}

	btrfs = mounted ? dps_btrfs_open_mounted(fd, &error)
			: dps_btrfs_open_offline(&region, &error);
	if (!btrfs)
		return fail(error);
	if (strcmp(command, "list") == 0)
		list(btrfs);
	else if (strcmp(command, "default") == 0)
		printf("%" PRIu64 "\n", dps_btrfs_get_default_id(btrfs));
	else if (strcmp(command, "devices") == 0)
		printf("%" PRIu64 "\n", dps_btrfs_get_n_devices(btrfs));
	else if (strcmp(command, "needs") == 0)
		printf("%s\n", dps_btrfs_needs_write(btrfs, id) ? "yes" : "no");
	else if (strcmp(command, "check") == 0) {
		ok = dps_btrfs_check_writable(btrfs, id, &text, &error);
		if (ok)
			printf("%s\n", text ? text : "");
	} else if (strcmp(command, "set") == 0)
		ok = set_default(btrfs, argv[1], start, id, &error);
	else
		return 2;
	return ok ? 0 : fail(error);
}
