/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fault.h"
#include "ground/error.h"
#include "made-up-system.h"

#include <errno.h>
#include <stdio.h>
#include <sys/sysmacros.h>

#define MAX_DEVICES 8

/*
 * Each layout as sysfs shows it (device-mapper's names and uuids as dmsetup info prints them on
 * real systems), one device that is asked about, and what it stands on:
 * "disk node partition number layers [name]", a line each.
 */
/* clang-format off */
static const struct {
	const char *name;
	MadeUpDevice devices[MAX_DEVICES];
	const char *asked;
	const char *expected;
} layouts[] = {
	{ "sata",
	  { { "pci/sda", "8:0", "sda" },
	    { "pci/sda/sda1", "8:1", "sda1", "partition=1" } },
	  "8:1", "8:0 /dev/sda 8:1 1 -\n" },
	{ "whole-disk",
	  { { "pci/sda", "8:0", "sda" } },
	  "8:0", "8:0 /dev/sda 0:0 0 -\n" },
	{ "nvme-beyond-15",
	  { { "pci/nvme/nvme0n1", "259:0", "nvme0n1" },
	    { "pci/nvme/nvme0n1/nvme0n1p117", "259:117", "nvme0n1p117", "partition=117" } },
	  "259:117", "259:0 /dev/nvme0n1 259:117 117 -\n" },
	{ "mmc",
	  { { "soc/mmcblk0", "179:0", "mmcblk0" },
	    { "soc/mmcblk0/mmcblk0p2", "179:2", "mmcblk0p2", "partition=2" } },
	  "179:2", "179:0 /dev/mmcblk0 179:2 2 -\n" },
	{ "name-with-a-slash",
	  { { "pci/cciss!c0d0", "104:0", "cciss/c0d0" },
	    { "pci/cciss!c0d0/cciss!c0d0p1", "104:1", "cciss/c0d0p1", "partition=1" } },
	  "104:1", "104:0 /dev/cciss/c0d0 104:1 1 -\n" },
	{ "names-lie",
	  { { "pci/sdb", "8:16", "boot-disk9" },
	    { "pci/sdb/sdb7", "8:17", "sda3", "partition=1" } },
	  "8:17", "8:16 /dev/boot-disk9 8:17 1 -\n" },
	{ "loop",
	  { { "virtual/loop0", "7:0", "loop0", "loop/backing_file=/d.raw loop/offset=0" },
	    { "virtual/loop0/loop0p3", "259:3", "loop0p3", "partition=3" } },
	  "259:3", "7:0 /dev/loop0 259:3 3 -\n" },
	{ "loop-over-a-part",
	  { { "virtual/loop1", "7:1", "loop1", "loop/backing_file=/d.raw loop/offset=1048576" } },
	  "7:1", "7:1 /dev/loop1 0:0 0 - file=/d.raw+1048576\n" },
	{ "multipath-kpartx",
	  { { "pci/sda", "8:0", "sda" },
	    { "pci/sdb", "8:16", "sdb" },
	    { "virtual/dm-0", "253:0", "dm-0", "dm/name=mpatha dm/uuid=mpath-36001405", "pci/sda pci/sdb" },
	    { "virtual/dm-1", "253:1", "dm-1", "dm/name=mpatha3 dm/uuid=part3-mpath-36001405", "virtual/dm-0" } },
	  "253:1", "253:0 /dev/mapper/mpatha 253:1 3 multipath\n" },
	{ "multipath-disk",
	  { { "pci/sda", "8:0", "sda" },
	    { "virtual/dm-0", "253:0", "dm-0", "dm/name=mpatha dm/uuid=mpath-36001405", "pci/sda" } },
	  "253:0", "253:0 /dev/mapper/mpatha 0:0 0 multipath\n" },
	{ "luks-on-multipath",
	  { { "pci/sda", "8:0", "sda" },
	    { "virtual/dm-0", "253:0", "dm-0", "dm/name=mpatha dm/uuid=mpath-1", "pci/sda" },
	    { "virtual/dm-1", "253:1", "dm-1", "dm/name=mpatha12 dm/uuid=part12-mpath-1", "virtual/dm-0" },
	    { "virtual/dm-2", "253:2", "dm-2", "dm/name=luks-1 dm/uuid=CRYPT-LUKS2-1-luks-1", "virtual/dm-1" } },
	  "253:2", "253:0 /dev/mapper/mpatha 253:1 12 luks,multipath 'LUKS volume luks-1'\n" },
	{ "kpartx-on-loop",
	  { { "virtual/loop0", "7:0", "loop0", "loop/backing_file=/d.raw loop/offset=0" },
	    { "virtual/dm-0", "253:0", "dm-0", "dm/name=loop0p2 dm/uuid=part2-devnode_7:0_X", "virtual/loop0" } },
	  "253:0", "7:0 /dev/loop0 253:0 2 -\n" },
	/* As Anaconda installs into an image file (blivet's name for the disk, libparted's partition). */
	{ "image-install",
	  { { "virtual/loop0", "7:0", "loop0", "loop/backing_file=/d.raw loop/offset=0" },
	    { "virtual/dm-0", "253:0", "dm-0", "dm/name=disk1 dm/uuid=ANACONDA-disk1", "virtual/loop0" },
	    { "virtual/dm-1", "253:1", "dm-1", "dm/name=disk1p3 dm/uuid=part3-ANACONDA-disk1", "virtual/dm-0" } },
	  "253:1", "253:0 /dev/mapper/disk1 253:1 3 -\n" },
	{ "kpartx-on-a-volume",
	  { { "pci/sda", "8:0", "sda" },
	    { "pci/sda/sda1", "8:1", "sda1", "partition=1" },
	    { "virtual/dm-0", "253:0", "dm-0", "dm/name=vg-guest dm/uuid=LVM-a", "pci/sda/sda1" },
	    { "virtual/dm-1", "253:1", "dm-1", "dm/name=vg-guest2 dm/uuid=part2-LVM-a", "virtual/dm-0" } },
	  "253:1", "253:0 /dev/mapper/vg-guest 253:1 2 -\n" },
	{ "table-inside-a-partition",
	  { { "pci/sda", "8:0", "sda" },
	    { "pci/sda/sda4", "8:4", "sda4", "partition=4" },
	    { "virtual/dm-0", "253:0", "dm-0", "dm/name=sda4p1 dm/uuid=part1-x", "pci/sda/sda4" } },
	  "253:0", "8:0 /dev/sda 8:4 4 other 'device-mapper volume sda4p1'\n" },
	{ "luks",
	  { { "pci/sda", "8:0", "sda" },
	    { "pci/sda/sda3", "8:3", "sda3", "partition=3" },
	    { "virtual/dm-0", "253:0", "dm-0", "dm/name=root dm/uuid=CRYPT-LUKS1-ab-root", "pci/sda/sda3" } },
	  "253:0", "8:0 /dev/sda 8:3 3 luks 'LUKS volume root'\n" },
	{ "luks-with-integrity",
	  { { "pci/sda", "8:0", "sda" },
	    { "pci/sda/sda3", "8:3", "sda3", "partition=3" },
	    { "virtual/dm-0", "253:0", "dm-0", "dm/name=root_dif dm/uuid=CRYPT-SUBDEV-ab-root_dif", "pci/sda/sda3" },
	    { "virtual/dm-1", "253:1", "dm-1", "dm/name=root dm/uuid=CRYPT-LUKS2-ab-root", "virtual/dm-0" } },
	  "253:1", "8:0 /dev/sda 8:3 3 luks 'LUKS volume root'\n" },
	{ "plain-crypt",
	  { { "pci/sda", "8:0", "sda" },
	    { "pci/sda/sda2", "8:2", "sda2", "partition=2" },
	    { "virtual/dm-0", "253:0", "dm-0", "dm/name=swap dm/uuid=CRYPT-PLAIN-swap", "pci/sda/sda2" } },
	  "253:0", "8:0 /dev/sda 8:2 2 other 'encrypted volume swap'\n" },
	{ "lvm-on-luks",
	  { { "pci/sda", "8:0", "sda" },
	    { "pci/sda/sda3", "8:3", "sda3", "partition=3" },
	    { "virtual/dm-0", "253:0", "dm-0", "dm/name=luks-1 dm/uuid=CRYPT-LUKS2-1-x", "pci/sda/sda3" },
	    { "virtual/dm-1", "253:1", "dm-1", "dm/name=fedora-root dm/uuid=LVM-abc", "virtual/dm-0" } },
	  "253:1", "8:0 /dev/sda 8:3 3 luks,lvm 'LVM volume fedora-root'\n" },
	{ "lvm-over-two-disks",
	  { { "pci/sda", "8:0", "sda" },
	    { "pci/sda/sda3", "8:3", "sda3", "partition=3" },
	    { "pci/sdb", "8:16", "sdb" },
	    { "virtual/dm-1", "253:1", "dm-1", "dm/name=vg-root dm/uuid=LVM-abc", "pci/sdb pci/sda/sda3" } },
	  "253:1", "8:0 /dev/sda 8:3 3 lvm 'LVM volume vg-root'\n"
		   "8:16 /dev/sdb 0:0 0 lvm 'LVM volume vg-root'\n" },
	{ "lvm-raid-meets-below",
	  { { "pci/sda", "8:0", "sda" },
	    { "pci/sda/sda3", "8:3", "sda3", "partition=3" },
	    { "virtual/dm-0", "253:0", "dm-0", "dm/name=vg-r_rimage_0 dm/uuid=LVM-a1", "pci/sda/sda3" },
	    { "virtual/dm-1", "253:1", "dm-1", "dm/name=vg-r_rmeta_0 dm/uuid=LVM-a2", "pci/sda/sda3" },
	    { "virtual/dm-2", "253:2", "dm-2", "dm/name=vg-r dm/uuid=LVM-a3", "virtual/dm-0 virtual/dm-1" } },
	  "253:2", "8:0 /dev/sda 8:3 3 lvm 'LVM volume vg-r'\n" },
	{ "md-over-two-disks",
	  { { "pci/sda", "8:0", "sda" },
	    { "pci/sda/sda1", "8:1", "sda1", "partition=1" },
	    { "pci/sdb", "8:16", "sdb" },
	    { "pci/sdb/sdb1", "8:17", "sdb1", "partition=1" },
	    { "virtual/md127", "9:127", "md127", "md/level=raid1", "pci/sda/sda1 pci/sdb/sdb1" } },
	  "9:127", "8:0 /dev/sda 8:1 1 raid 'RAID array md127'\n"
		   "8:16 /dev/sdb 8:17 1 raid 'RAID array md127'\n" },
	{ "partition-of-firmware-raid",
	  { { "pci/sda", "8:0", "sda" },
	    { "pci/sdb", "8:16", "sdb" },
	    { "virtual/md126", "9:126", "md126", "md/level=raid1", "pci/sda pci/sdb" },
	    { "virtual/md126/md126p2", "259:2", "md126p2", "partition=2" } },
	  "259:2", "9:126 /dev/md126 259:2 2 -\n" },
	{ "verity",
	  { { "pci/sda", "8:0", "sda" },
	    { "pci/sda/sda3", "8:3", "sda3", "partition=3" },
	    { "pci/sda/sda4", "8:4", "sda4", "partition=4" },
	    { "virtual/dm-0", "253:0", "dm-0", "dm/name=root dm/uuid=CRYPT-VERITY-f00-root", "pci/sda/sda3 pci/sda/sda4" } },
	  "253:0", "8:0 /dev/sda 8:3 3 verity 'verity volume root'\n"
		   "8:0 /dev/sda 8:4 4 verity 'verity volume root'\n" },
	{ "bcache",
	  { { "pci/sda", "8:0", "sda" },
	    { "pci/sda/sda3", "8:3", "sda3", "partition=3" },
	    { "virtual/bcache0", "252:0", "bcache0", NULL, "pci/sda/sda3" } },
	  "252:0", "8:0 /dev/sda 8:3 3 other 'device bcache0'\n" },
	{ "mapper-on-nothing",
	  { { "virtual/dm-0", "253:0", "dm-0", "dm/name=zero dm/uuid=" } },
	  "253:0", "253:0 /dev/mapper/zero 0:0 0 other 'device-mapper volume zero'\n" },
	{ "two-slaves-are-no-partition",
	  { { "pci/sda", "8:0", "sda" },
	    { "pci/sdb", "8:16", "sdb" },
	    { "virtual/dm-0", "253:0", "dm-0", "dm/name=x dm/uuid=part1-x", "pci/sda pci/sdb" } },
	  "253:0", "8:0 /dev/sda 0:0 0 other 'device-mapper volume x'\n"
		   "8:16 /dev/sdb 0:0 0 other 'device-mapper volume x'\n" },
	{ "uuid-that-only-looks-so",
	  { { "pci/sda", "8:0", "sda" },
	    { "virtual/dm-0", "253:0", "dm-0", "dm/name=x dm/uuid=party-1", "pci/sda" } },
	  "253:0", "8:0 /dev/sda 0:0 0 other 'device-mapper volume x'\n" },
};

static const struct {
	const char *name;
	MadeUpDevice devices[MAX_DEVICES];
	const char *asked;
	DpsError code;
	const char *message;
} bad[] = {
	{ "no-such-device", { { "pci/sda", "8:0", "sda" } }, "8:1", DPS_ERROR_NOT_FOUND, "8:1" },
	{ "stands-on-itself",
	  { { "virtual/dm-0", "253:0", "dm-0", "dm/name=x dm/uuid=LVM-x", "virtual/dm-0" } },
	  "253:0", DPS_ERROR_CORRUPT, "in a circle" },
	{ "circle-of-two",
	  { { "virtual/dm-0", "253:0", "dm-0", "dm/name=x dm/uuid=LVM-x", "virtual/dm-1" },
	    { "virtual/dm-1", "253:1", "dm-1", "dm/name=y dm/uuid=LVM-y", "virtual/dm-0" } },
	  "253:1", DPS_ERROR_CORRUPT, "in a circle" },
	{ "wide-circle", /* a million ways through, if all were gone */
	  { { "virtual/dm-0", "253:0", "dm-0", "dm/name=x dm/uuid=LVM-x", "virtual/dm-0 virtual/dm-1 virtual/dm-2" },
	    { "virtual/dm-1", "253:1", "dm-1", "dm/name=y dm/uuid=LVM-y", "virtual/dm-0 virtual/dm-1 virtual/dm-2" },
	    { "virtual/dm-2", "253:2", "dm-2", "dm/name=z dm/uuid=LVM-z", "virtual/dm-0 virtual/dm-1 virtual/dm-2" } },
	  "253:1", DPS_ERROR_CORRUPT, "in a circle" },
	{ "partition-of-no-disk",
	  { { "sda1", "8:1", "sda1", "partition=1" } },
	  "8:1", DPS_ERROR_NOT_FOUND, "its disk" },
	{ "slave-that-is-gone",
	  { { "pci/sda", "8:0", "sda", "dev=8:99" },
	    { "virtual/dm-0", "253:0", "dm-0", "dm/name=x dm/uuid=LVM-x", "pci/sda" } },
	  "253:0", DPS_ERROR_NOT_FOUND, "8:99" },
};
/* clang-format on */

static dev_t
number(const char *text)
{
	unsigned int a, b;

	g_assert_cmpint(sscanf(text, "%u:%u", &a, &b), ==, 2);
	return makedev(a, b);
}

static MadeUpSystem *
make_system(const MadeUpDevice *devices)
{
	MadeUpSystem *system = made_up_new();

	for (guint i = 0; i < MAX_DEVICES && devices[i].directory; i++)
		made_up_add(system, &devices[i]);
	return system;
}

static char *
describe(GPtrArray *backings)
{
	static const char *const names[] = {
		"luks", "lvm", "raid", "verity", "multipath", "other"
	};
	GString *text = g_string_new(NULL);

	for (guint i = 0; i < backings->len; i++) {
		const DpsBacking *b = backings->pdata[i];
		const char *comma = "";

		g_string_append_printf(text, "%u:%u %s %u:%u %u ", major(b->disk), minor(b->disk),
				       b->disk_node, major(b->partition), minor(b->partition),
				       b->number);
		for (guint bit = 0; bit < G_N_ELEMENTS(names); bit++)
			if (b->layers & (1u << bit)) {
				g_string_append_printf(text, "%s%s", comma, names[bit]);
				comma = ",";
			}
		if (b->layers == DPS_LAYER_NONE)
			g_string_append(text, "-");
		if (b->layer_name)
			g_string_append_printf(text, " '%s'", b->layer_name);
		if (b->file)
			g_string_append_printf(text, " file=%s+%" G_GUINT64_FORMAT, b->file,
					       b->file_offset);
		g_string_append(text, "\n");
	}
	return g_string_free(text, FALSE);
}

static void
test_layout(gconstpointer data)
{
	guint i = GPOINTER_TO_UINT(data);
	g_autoptr(MadeUpSystem) system = make_system(layouts[i].devices);
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) backings =
		dps_blockdev_resolve(&system->system, number(layouts[i].asked), &error);
	g_autofree char *text = NULL;

	g_assert_no_error(error);
	text = describe(backings);
	g_assert_cmpstr(text, ==, layouts[i].expected);

	/* And back: the disk and the number lead to the partition. */
	for (guint j = 0; j < backings->len; j++) {
		const DpsBacking *backing = backings->pdata[j];
		g_autofree char *node = NULL;
		dev_t device = 0;

		if (backing->partition == 0)
			continue;
		g_assert_true(dps_blockdev_get_partition(&system->system, backing->disk,
							 backing->number, &device, &node));
		g_assert_cmpuint(device, ==, backing->partition);
		g_assert_nonnull(node);
		g_assert_false(dps_blockdev_get_partition(&system->system, backing->disk,
							  backing->number + 1000, &device, &node));
	}
}

static void
test_bad(gconstpointer data)
{
	guint i = GPOINTER_TO_UINT(data);
	g_autoptr(MadeUpSystem) system = make_system(bad[i].devices);
	g_autoptr(GError) error = NULL;

	g_assert_null(dps_blockdev_resolve(&system->system, number(bad[i].asked), &error));
	g_assert_error(error, DPS_ERROR, (int)bad[i].code);
	g_assert_nonnull(strstr(error->message, bad[i].message));
}

/* A node is told only when it is that device. */
static void
test_nodes(void)
{
	static const MadeUpDevice devices[MAX_DEVICES] = {
		{ "pci/sda", "8:0", "sda" },
		{ "virtual/dm-0", "253:0", "dm-0", "dm/name=root dm/uuid=LVM-x", "pci/sda" },
		{ "virtual/zram0", "252:0", "zram0", "comp_algorithm=lzo" },
	};
	g_autoptr(MadeUpSystem) system = make_system(devices);
	g_autofree char *sda = dps_blockdev_get_node(&system->system, number("8:0"));
	g_autofree char *root = dps_blockdev_get_node(&system->system, number("253:0"));
	dev_t device = 1;

	g_assert_cmpstr(sda, ==, "/dev/sda");
	g_assert_cmpstr(root, ==, "/dev/mapper/root");
	g_assert_true(dps_blockdev_is_zram(&system->system, number("252:0")));
	g_assert_false(dps_blockdev_is_zram(&system->system, number("8:0")));

	/* Another device took the name. */
	made_up_write(system->dev, "sda", "8:16");
	g_assert_null(dps_blockdev_get_node(&system->system, number("8:0")));

	/* Nobody filled /dev/mapper, and the kernel's node is there. */
	made_up_write(system->dev, "mapper/root", "253:9");
	made_up_write(system->dev, "dm-0", "253:0");
	g_free(root);
	root = dps_blockdev_get_node(&system->system, number("253:0"));
	g_assert_cmpstr(root, ==, "/dev/dm-0");

	g_assert_false(dps_blockdev_find_node(&system->system, "/etc/passwd", &device));
	g_assert_false(dps_blockdev_find_node(&system->system, "/dev/sdz", &device));
	g_assert_cmpuint(device, ==, 1); /* untouched on failure */
	made_up_write(system->dev, "odd", "8:16:1");
	g_assert_false(dps_blockdev_find_node(&system->system, "/dev/odd", &device));
}

/* A device that says too little of itself, or that cannot be asked: it has no node. */
static void
test_no_node(void)
{
	static const MadeUpDevice devices[MAX_DEVICES] = {
		{ "pci/sda", "8:0", "sda" },
		{ "pci/sda/sda1", "8:1", "sda1", "partition=1" },
	};
	g_autoptr(MadeUpSystem) system = make_system(devices);
	g_autofree char *directory = g_build_filename(system->sysfs, "devices/pci/sda", NULL);
	g_autofree char *uevent = g_build_filename(directory, "uevent", NULL);
	char *node = NULL;
	dev_t device = 1;

	fault_set_from("read", 1, EIO);
	g_assert_null(dps_blockdev_get_node(&system->system, number("8:0")));
	g_assert_true(fault_clear());
	made_up_write(directory, "uevent", "DEVNAME=\nDEVTYPE=disk\n");
	g_assert_null(dps_blockdev_get_node(&system->system, number("8:0")));
	made_up_write(directory, "uevent", "DEVTYPE=disk\n");
	g_assert_null(dps_blockdev_get_node(&system->system, number("8:0")));
	g_assert_cmpint(g_remove(uevent), ==, 0);
	g_assert_null(dps_blockdev_get_node(&system->system, number("8:0")));
	g_assert_null(dps_blockdev_get_node(&system->system, number("8:99")));

	g_assert_false(
		dps_blockdev_get_partition(&system->system, number("8:0"), 0, &device, &node));
	g_assert_false(
		dps_blockdev_get_partition(&system->system, number("8:99"), 1, &device, &node));
	fault_set_from("opendir", 1, ENOMEM);
	g_assert_false(
		dps_blockdev_get_partition(&system->system, number("8:0"), 1, &device, &node));
	g_assert_true(fault_clear());
	g_assert_cmpuint(device, ==, 1); /* untouched on failure */
	g_assert_null(node);

	/* On the running system a node is one that the kernel has as a block device. */
	g_assert_false(dps_blockdev_find_node(&dps_system, "/dev/null", &device));
	g_assert_false(dps_blockdev_find_node(&dps_system, "/dev/nonexistent-disk", &device));
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (guint i = 0; i < G_N_ELEMENTS(layouts); i++) {
		g_autofree char *path = g_strconcat("/blockdev/layout/", layouts[i].name, NULL);

		g_test_add_data_func(path, GUINT_TO_POINTER(i), test_layout);
	}
	for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autofree char *path = g_strconcat("/blockdev/bad/", bad[i].name, NULL);

		g_test_add_data_func(path, GUINT_TO_POINTER(i), test_bad);
	}
	g_test_add_func("/blockdev/nodes", test_nodes);
	g_test_add_func("/blockdev/no-node", test_no_node);
	return g_test_run();
}
