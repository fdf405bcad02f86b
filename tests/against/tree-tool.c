/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A tree by itself, for tests that hold it against findmnt, lsblk, btrfs-progs and the kernel:
 *
 *	tree-tool DIRECTORY
 *
 * prints a word and its values a line, separated by tabs.
 */
#include <dps/error.h>
#include "target/tree.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/sysmacros.h>

static const char *
or_dash(const char *text)
{
	return text ? text : "-";
}

static void
print_backings(GPtrArray *backings)
{
	for (guint i = 0; i < backings->len; i++) {
		const DpsBacking *backing = backings->pdata[i];

		printf("\t%s %u:%u %u", or_dash(backing->disk_node), major(backing->partition),
		       minor(backing->partition), backing->number);
	}
	printf("\n");
}

int
main(int argc, char **argv)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsTree) tree = NULL;
	g_autofree char *path = NULL;
	g_autofree char *why = NULL;

	if (argc != 2)
		return 2;

	tree = dps_tree_open(argv[1], &error);
	if (!tree) {
		fprintf(stderr, "%s: %s\n", dps_error_code_to_string(error->code), error->message);
		return 3;
	}

	if (!dps_tree_find_disk(tree, &path, &why, &error))
		printf("error\t%s\t%s\n", dps_error_code_to_string(error->code), error->message);
	else if (path)
		printf("disk\t%s\n", path);
	else
		printf("none\t%s\n", why);

	printf("arch\t%s\t%s\n", or_dash(dps_arch_to_string(dps_tree_get_arch(tree))),
	       or_dash(dps_tree_get_arch_source(tree)));
	printf("running\t%d\n", dps_tree_is_running_system(tree));
	printf("image-mode\t%d\n", dps_tree_is_image_mode(tree));

	for (guint i = 0; i < dps_tree_get_mounts(tree)->len; i++) {
		const DpsMount *mount = dps_tree_get_mounts(tree)->pdata[i];

		printf("mount\t%s\t%s\t%" PRIu64 "\t%s\t%s%s", mount->mount_point, mount->fs_type,
		       mount->subvolume_id, or_dash(mount->subvolume),
		       mount->is_directory ? "directory" : "whole",
		       mount->is_multi_device ? " multi" : "");
		print_backings(mount->backings);
	}
	for (guint i = 0; i < dps_tree_get_swaps(tree)->len; i++) {
		const DpsSwap *swap = dps_tree_get_swaps(tree)->pdata[i];

		printf("swap\t%s\t%s", swap->path,
		       swap->is_file   ? "file"
		       : swap->is_zram ? "zram"
				       : "partition");
		print_backings(swap->backings);
	}
	return 0;
}
