/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The btrfs side of the library by itself, for tests that hold it against btrfs-progs and the
 * kernel:
 *
 *	btrfs-tool IMAGE OFFSET list	   of an image, OFFSET bytes into it
 *	btrfs-tool DIRECTORY mounted list  of a mounted file system
 *
 * and instead of list: default, set ID, check ID.
 */
#include <dps/error.h>
#include "target/subvolume.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

int
main(int argc, char **argv)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsBtrfs) btrfs = NULL;
	g_autofree char *note = NULL;
	gboolean mounted = argc > 3 && strcmp(argv[2], "mounted") == 0;
	uint64_t start = argc > 3 && !mounted ? strtoull(argv[2], NULL, 0) : 0;
	uint64_t id = argc > 4 ? strtoull(argv[4], NULL, 0) : 0;
	struct stat st;
	DpsRegion region;
	int fd;

	if (argc < 4)
		return 2;
	fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return 2;

	region = dps_region_over_fd(fd, start, (uint64_t)lseek(fd, 0, SEEK_END) - start);
	btrfs = mounted ? dps_btrfs_open_mounted(fd, &error)
			: dps_btrfs_open_offline(&region, &error);
	if (!btrfs)
		return fail(error);

	if (strcmp(argv[3], "list") == 0)
		list(btrfs);
	else if (strcmp(argv[3], "default") == 0)
		printf("%" PRIu64 "\n", dps_btrfs_get_default_id(btrfs));
	else if (strcmp(argv[3], "of") == 0) {
		g_autofree char *path = NULL;

		if (!dps_btrfs_subvolume_of_fd(fd, &id, &path, &error))
			return fail(error);
		printf("%" PRIu64 " %s\n", id, path ? path : "?");
	} else if (strcmp(argv[3], "check") == 0) {
		if (!dps_btrfs_check_writable(btrfs, id, &note, &error))
			return fail(error);
		printf("%s\n", note ? note : "");
	} else if (strcmp(argv[3], "set") == 0) {
		if (!dps_btrfs_set_default(btrfs, id, NULL, start, &error))
			return fail(error);
	} else
		return 2;
	return 0;
}
