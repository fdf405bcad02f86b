/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../unit/fat-image.h"
#include "../unit/make-gpt.h"
#include "decide/change.h"
#include "decide/mentions.h"
#include "decide/plan.h"
#include "fuzz-files.h"
#include "memory-files.h"
#include "target/tree.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * Texts of a tree that name partitions: fstab, crypttab and what boots, matched with a small disk
 * that has a FAT (1), an ext4 that holds the tree (2) and swap (4).
 *
 * Asserted: a partition gets one role, and one that is there; a role for mount points is given
 * once; changes are of partitions that have a role; a file names a UUID exactly when its letters
 * stand in it; what is told is text, and the same twice.
 */
static const char *const paths[] = { "/etc/fstab",	    "/etc/crypttab",
				     "/etc/kernel/cmdline", "/boot/grub/grub.cfg",
				     "/etc/machine-id",	    "/etc/default/grub",
				     "/usr/lib/os-release", NULL };

typedef struct {
	FuzzTexts texts;
	int fd; /* the disk */
} Input;

static int
make_disk(void)
{
	g_auto(TestDisk) disk = test_disk_new(512, 128, 128);
	g_autoptr(Image) fat = image_new(12, 40);
	ImageDir root = image_root(fat);
	uint8_t *ext4 = disk.bytes + 400 * 512, *swap = disk.bytes + 500 * 512;
	int fd = memfd_create("disk", MFD_CLOEXEC);

	image_add_dir(fat, &root, "EFI        ");
	memcpy(disk.bytes + 300 * 512, fat->bytes, fat->size);
	/* As much of each as blkid looks at: magic numbers, sizes, UUID, label. */
	dps_store_le32(ext4 + 1024, 16);
	dps_store_le32(ext4 + 1024 + 4, 50);
	dps_store_le32(ext4 + 1024 + 32, 8192);
	memcpy(ext4 + 1024 + 56, "\x53\xEF\x01\x00", 4);
	dps_store_le32(ext4 + 1024 + 76, 1);
	dps_store_le32(ext4 + 1024 + 96, 0x42);
	memset(ext4 + 1024 + 104, 0xEE, 16);
	memcpy(ext4 + 1024 + 120, "system", 6);
	dps_store_le32(swap + 1024, 1);
	dps_store_le32(swap + 1028, 9);
	memset(swap + 1036, 0x55, 16);
	memcpy(swap + 1052, "swap", 4);
	memcpy(swap + 4086, "SWAPSPACE2", 10);
	g_assert_cmpint(write(fd, disk.bytes, disk.size), ==, (ssize_t)disk.size);
	return fd;
}

static void
check_assignments(DpsPlan *plan, GString *told)
{
	GPtrArray *assignments = dps_plan_get_assignments(plan);

	for (guint i = 0; i < assignments->len; i++) {
		const DpsAssignment *one = assignments->pdata[i];

		g_assert_nonnull(dps_disk_get_partition_by_number(plan->disk, one->partition));
		for (guint j = 0; j < i; j++) {
			const DpsAssignment *other = assignments->pdata[j];

			g_assert_cmpuint(one->partition, !=, other->partition);
			g_assert_true(one->role != other->role || one->role == DPS_ROLE_SWAP);
		}
		g_string_append_printf(told, "%s=%u %s\n", dps_role_to_string(one->role),
				       one->partition, one->reason);
	}
}

static void
check_changes(DpsPlan *plan, GString *told)
{
	GPtrArray *changes = dps_plan_get_changes(plan);

	for (guint i = 0; i < changes->len; i++) {
		DpsChange *change = changes->pdata[i];

		if (change->partition > 0)
			g_assert_nonnull(dps_plan_get_assignment_of(plan, change->partition));
		g_string_append_printf(told, "%u: %s -> %s\n", change->partition, change->from_text,
				       change->to_text);
	}
}

static gboolean
is_listed(GPtrArray *mentions, const char *path)
{
	return g_ptr_array_find_with_equal_func(mentions, path, g_str_equal, NULL);
}

/* @uuid in lower case, as a plain search finds it in either case. */
static gboolean
has_letters(const uint8_t *text, size_t size, const char *uuid)
{
	const size_t length = strlen(uuid);

	for (size_t at = 0; at + length <= size; at++)
		if (g_ascii_strncasecmp((const char *)text + at, uuid, length) == 0)
			return TRUE;
	return FALSE;
}

static void
check_mentions(DpsPlan *plan, const Input *input)
{
	for (guint i = 0; i < dps_disk_get_n_partitions(plan->disk); i++) {
		const char *uuid = dps_partition_get_uuid(dps_disk_get_partition(plan->disk, i));
		g_autoptr(GPtrArray) mentions = dps_plan_list_mentions(plan, uuid);

		for (guint k = 0; paths[k]; k++) {
			if (strcmp(paths[k], "/etc/machine-id") == 0 ||
			    strcmp(paths[k], "/usr/lib/os-release") == 0)
				g_assert_false(is_listed(mentions, paths[k]));
			else
				g_assert_cmpint(is_listed(mentions, paths[k]), ==,
						has_letters(input->texts.texts[k].bytes,
							    input->texts.texts[k].size, uuid));
		}
	}
}

static void
tell_plan(DpsPlan *plan, Input *input, GString *told)
{
	g_autoptr(GError) error = NULL;
	GPtrArray *findings;

	dps_plan_set_arch(plan, DPS_ARCH_X86_64);
	check_mentions(plan, input);
	if (!dps_plan_detect(plan, &error))
		fuzz_tell_error(told, &error);
	check_assignments(plan, told);
	if (!dps_plan_prepare(plan, &error))
		fuzz_tell_error(told, &error);
	else
		check_changes(plan, told);
	findings = dps_plan_get_findings(plan);
	for (guint i = 0; i < findings->len; i++) {
		fuzz_check_text(dps_finding_get_message(findings->pdata[i]));
		g_string_append_printf(told, "%s\n", dps_finding_get_message(findings->pdata[i]));
	}
}

static void
tell(gpointer data, GString *told)
{
	const DpsTreeOrigin origin = { .partition = 2 };
	Input *input = data;
	g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", input->fd);
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsDisk) disk = dps_disk_open(path, DPS_OPEN_READ_ONLY, &error);
	g_autoptr(DpsTree) tree = NULL;
	g_autoptr(DpsPlan) plan = NULL;

	g_assert_no_error(error);
	g_assert_cmpstr(dps_partition_get_content_type(dps_disk_get_partition(disk, 1)), ==,
			"ext4");
	g_assert_cmpstr(dps_partition_get_content_type(dps_disk_get_partition(disk, 2)), ==,
			"swap");
	tree = dps_tree_open_files(fuzz_texts_open(&input->texts), -1, "disk.raw: partition 2",
				   &origin, &error);
	if (!tree) {
		fuzz_tell_error(told, &error);
		return;
	}
	plan = dps_plan_new(disk, tree, &error);
	g_assert_no_error(error);
	tell_plan(plan, input, told);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	Input input;

	if (fd < 0)
		fd = make_disk();
	input.fd = fd;
	fuzz_texts_split(&input.texts, paths, data, size);
	fuzz_tell_twice(tell, &input);
	return 0;
}
