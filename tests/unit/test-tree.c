/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ground/error.h"
#include "made-up-system.h"
#include "target/tree.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* One machine for all rows: a SATA disk, an NVMe disk, and what lies on them. */
/* clang-format off */
static const MadeUpDevice devices[] = {
	{ "pci/sda", "8:0", "sda" },
	{ "pci/sda/sda1", "8:1", "sda1", "partition=1" },
	{ "pci/sda/sda2", "8:2", "sda2", "partition=2" },
	{ "pci/sda/sda3", "8:3", "sda3", "partition=3" },
	{ "pci/sdb", "8:16", "sdb" },
	{ "pci/sdb/sdb1", "8:17", "sdb1", "partition=1" },
	{ "pci/nvme/nvme0n1", "259:0", "nvme0n1" },
	{ "pci/nvme/nvme0n1/nvme0n1p2", "259:2", "nvme0n1p2", "partition=2" },
	{ "virtual/dm-0", "253:0", "dm-0", "dm/name=luks-1 dm/uuid=CRYPT-LUKS2-1-luks-1", "pci/sda/sda3" },
	{ "virtual/dm-1", "253:1", "dm-1", "dm/name=vg-root dm/uuid=LVM-1", "virtual/dm-0" },
	{ "virtual/dm-2", "253:2", "dm-2", "dm/name=whole-root dm/uuid=LVM-2", "pci/sdb" },
	{ "virtual/md0", "9:0", "md0", "md/level=raid1", "pci/sda/sda2 pci/sdb/sdb1" },
	{ "virtual/dm-3", "253:3", "dm-3", "dm/name=wide-root dm/uuid=LVM-3", "pci/sda/sda2 pci/sda/sda3 pci/sdb" },
	{ "virtual/loop1", "7:1", "loop1", "loop/backing_file=/dev/null loop/offset=1048576" },
	{ "virtual/zram0", "252:0", "zram0", "comp_algorithm=lzo" },
};

#define HOST "20 1 8:17 / / rw - ext4 /dev/sdb1 rw\n"

/* %T in mountinfo is the tree's path. */
static const struct {
	const char *name;
	const char *mountinfo;
	const char *directories; /* that the tree has besides */
	const char *disk;	 /* NULL: on none, or an error: */
	DpsError code;		 /* 0: on no disk */
	const char *message;	 /* part of it, or of why */
	const char *mounts;	 /* "PLACE disk-number" of what stands on a device, in order */
} rows[] = {
	{ "ext4", HOST "30 20 8:3 / %T rw - ext4 /dev/sda3 rw\n" "31 30 8:1 / %T/boot/efi rw - vfat /dev/sda1 rw\n",
	  NULL, "/dev/sda", 0, NULL, "/ 8:3\n/boot/efi 8:1\n" },
	{ "nvme", HOST "30 20 259:2 / %T rw - xfs /dev/nvme0n1p2 rw\n",
	  NULL, "/dev/nvme0n1", 0, NULL, "/ 259:2\n" },
	{ "btrfs-subvolumes",
	  HOST "30 20 0:50 /root %T rw - btrfs /dev/sda3 rw,subvolid=256,subvol=/root\n"
	  "31 30 0:50 /home %T/home rw - btrfs /dev/sda3 rw,subvolid=257,subvol=/home\n",
	  NULL, "/dev/sda", 0, NULL, "/ 8:3\n/home 8:3\n" },
	{ "btrfs-by-mapper-name",
	  HOST "30 20 0:50 / %T rw - btrfs /dev/mapper/luks-1 rw,subvolid=5,subvol=/\n",
	  NULL, "/dev/sda", 0, NULL, "/ 8:3\n" },
	{ "btrfs-whose-device-is-gone",
	  HOST "30 20 0:50 / %T rw - btrfs /dev/gone rw,subvolid=5,subvol=/\n",
	  NULL, NULL, DPS_ERROR_NOT_FOUND, "/dev/gone", "" },
	{ "lvm-on-luks-on-one-disk", HOST "30 20 253:1 / %T rw - ext4 /dev/mapper/vg-root rw\n",
	  NULL, "/dev/sda", 0, NULL, "/ 8:3\n" },
	{ "lvm-on-a-whole-disk", HOST "30 20 253:2 / %T rw - ext4 /dev/mapper/whole-root rw\n",
	  NULL, NULL, DPS_ERROR_UNSUPPORTED, "LVM volume whole-root", "/ 0:0\n" },
	{ "md-over-two-disks", HOST "30 20 9:0 / %T rw - ext4 /dev/md0 rw\n",
	  NULL, NULL, DPS_ERROR_AMBIGUOUS, "/dev/sda, /dev/sdb", "/ 8:2\n/ 8:17\n" },
	{ "lvm-over-three-parts-of-two-disks", HOST "30 20 253:3 / %T rw - ext4 /dev/mapper/wide-root rw\n",
	  NULL, NULL, DPS_ERROR_AMBIGUOUS, "several disks: /dev/sda, /dev/sdb, behind LVM volume wide-root",
	  "/ 8:2\n/ 8:3\n/ 0:0\n" },
	{ "offset-loop", HOST "30 20 7:1 / %T rw - ext4 /dev/loop1 rw\n",
	  NULL, "/dev/null", 0, NULL, "/ 0:0\n" },
	{ "device-not-in-sysfs", HOST "30 20 8:99 / %T rw - ext4 /dev/sdg3 rw\n",
	  NULL, NULL, DPS_ERROR_NOT_FOUND, "8:99", "" },
	{ "directory", HOST, NULL, NULL, 0, "a directory of ext4 on /dev/sdb1 at /", "" },
	{ "bound-directory", HOST "30 20 8:17 /var/tmp/tree %T rw - ext4 /dev/sdb1 rw\n",
	  NULL, NULL, 0, "a directory of ext4 on /dev/sdb1, mounted by itself", "" },
	{ "bound-directory-of-btrfs",
	  HOST "30 20 0:50 /root/tree %T rw - btrfs /dev/sda3 rw,subvolid=256,subvol=/root\n",
	  NULL, NULL, 0, "a directory of btrfs", "" },
	{ "subvolume-with-a-like-name",
	  HOST "30 20 0:50 /root2 %T rw - btrfs /dev/sda3 rw,subvolid=256,subvol=/root\n",
	  NULL, NULL, 0, "a directory of btrfs", "" },
	{ "overlay", HOST "30 20 0:60 / %T rw - overlay overlay rw,lowerdir=/x\n",
	  NULL, NULL, 0, "overlay (overlay), which is on no disk", "" },
	{ "nfs", HOST "30 20 0:61 / %T rw - nfs4 server:/export rw\n",
	  NULL, NULL, 0, "nfs4 (server:/export)", "" },
	{ "zfs", HOST "30 20 0:62 / %T rw - zfs rpool/ROOT/x rw\n",
	  NULL, NULL, 0, "zfs (rpool/ROOT/x)", "" },
	/* systemd's virtiofs root, and a source that looks like a node and is none */
	{ "virtiofs", HOST "30 20 0:63 / %T rw - virtiofs /dev/rootfs rw\n",
	  NULL, NULL, 0, "virtiofs (/dev/rootfs)", "" },
	{ "mounted-over",
	  HOST "30 20 8:17 / %T rw - ext4 /dev/sdb1 rw\n" "31 30 8:3 / %T rw - ext4 /dev/sda3 rw\n",
	  NULL, "/dev/sda", 0, NULL, "/ 8:3\n" },
	{ "mounted-over-in-any-order",
	  "31 30 8:3 / %T rw - ext4 /dev/sda3 rw\n" "30 20 8:17 / %T rw - ext4 /dev/sdb1 rw\n" HOST,
	  NULL, "/dev/sda", 0, NULL, "/ 8:3\n" },
	{ "hidden-below",
	  HOST "30 20 8:2 / %T rw - ext4 /dev/sda2 rw\n" "31 30 8:1 / %T/boot rw - vfat /dev/sda1 rw\n"
	  "32 30 8:3 / %T rw - ext4 /dev/sda3 rw\n",
	  NULL, "/dev/sda", 0, NULL, "/ 8:3\n" },
	{ "name-that-only-starts-alike", HOST "30 20 8:3 / %T2 rw - ext4 /dev/sda3 rw\n",
	  NULL, NULL, 0, "a directory of ext4 on /dev/sdb1", "" },
	{ "ostree",
	  HOST "29 20 8:3 / /sysimage rw - ext4 /dev/sda3 rw\n"
	  "30 20 8:3 /ostree/deploy/f/deploy/ab.0 %T rw - ext4 /dev/sda3 rw\n"
	  "31 30 8:3 / %T/sysroot rw - ext4 /dev/sda3 rw\n"
	  "32 30 8:3 /ostree/deploy/f/var %T/var rw - ext4 /dev/sda3 rw\n"
	  "33 30 8:2 / %T/boot rw - ext4 /dev/sda2 rw\n",
	  "sysroot/ostree", "/dev/sda", 0, NULL, "/boot 8:2\n/sysroot 8:3\n" },
	{ "composefs",
	  "20 1 0:60 / / ro - overlay composefs ro\n" "30 20 0:60 / %T ro - overlay composefs ro\n"
	  "31 30 0:50 /root %T/sysroot ro - btrfs /dev/sda3 rw,subvol=/root\n",
	  "sysroot/ostree", "/dev/sda", 0, NULL, "/sysroot 8:3\n" },
	{ "sysroot-that-is-no-store",
	  HOST "30 20 8:3 / %T rw - ext4 /dev/sda3 rw\n" "31 30 8:17 / %T/sysroot rw - ext4 /dev/sdb1 rw\n",
	  NULL, "/dev/sda", 0, NULL, "/ 8:3\n/sysroot 8:17\n" },
	{ "broken-lines",
	  HOST "rubbish\n30 20 8:3 / %T rw - ext4 /dev/sda3 rw\n31 x\n",
	  NULL, "/dev/sda", 0, NULL, "/ 8:3\n" },
	{ "escaped-names",
	  HOST "30 20 8:3 / %T rw - ext4 /dev/sda3 rw\n" "31 30 8:1 / %T/a\\040b\\134c rw - vfat /dev/sda1 rw\n",
	  NULL, "/dev/sda", 0, NULL, "/ 8:3\n/a b\\c 8:1\n" },
	/* No kernel writes these; they must come to an end. */
	{ "mounts-in-a-circle",
	  "30 31 8:3 / %T rw - ext4 /dev/sda3 rw\n" "31 30 8:2 / %T rw - ext4 /dev/sda2 rw\n",
	  NULL, NULL, 0, "a directory", "" },
	{ "mount-on-itself", "30 30 8:3 / %T rw - ext4 /dev/sda3 rw\n",
	  NULL, "/dev/sda", 0, NULL, "/ 8:3\n" },
	{ "no-mountinfo", "", NULL, NULL, 0, "a directory", "" },
};
/* clang-format on */

static MadeUpSystem *machine; /* made once: a hundred times would take seconds */

/* A tree, and what is mounted. */
typedef struct {
	char *root; /* the directory of both, */
	char *proc;
	char *path;
	DpsSystem system; /* and the machine with this proc */
} Target;

static void
clear_target(Target *target)
{
	made_up_remove(target->root);
	g_free(target->root);
	g_free(target->proc);
	g_free(target->path);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Target, clear_target)

static Target
make_target(void)
{
	Target target = { .root = g_dir_make_tmp("dps-tree-XXXXXX", NULL) };
	char *real;

	g_assert_nonnull(target.root);
	real = realpath(target.root, NULL);
	g_assert_nonnull(real);
	target.path = g_build_filename(real, "tree", NULL);
	free(real);
	g_assert_cmpint(g_mkdir(target.path, 0755), ==, 0);
	target.proc = g_build_filename(target.root, "proc", NULL);
	target.system = machine->system;
	target.system.proc = target.proc;
	return target;
}

static void
write_mountinfo(const Target *target, const char *template)
{
	g_auto(GStrv) parts = g_strsplit(template, "%T", -1);
	g_autofree char *text = g_strjoinv(target->path, parts);

	made_up_write(target->proc, "self/mountinfo", text);
}

static DpsTree *
open_target(const Target *target)
{
	g_autoptr(GError) error = NULL;
	DpsTree *tree = dps_tree_open_on(target->path, &target->system, &error);

	g_assert_no_error(error);
	return tree;
}

static void
test_mounts(gconstpointer data)
{
	guint i = GPOINTER_TO_UINT(data);
	g_auto(Target) target = make_target();
	g_autoptr(DpsTree) tree = NULL;
	g_autoptr(GError) error = NULL;
	g_autoptr(GString) mounts = g_string_new(NULL);
	char untouched[] = "untouched";
	char *path = untouched, *why = untouched;
	gboolean found;

	write_mountinfo(&target, rows[i].mountinfo);
	if (rows[i].directories) {
		g_autofree char *directory =
			g_build_filename(target.path, rows[i].directories, NULL);

		g_assert_cmpint(g_mkdir_with_parents(directory, 0755), ==, 0);
	}

	tree = open_target(&target);
	g_assert_cmpstr(dps_tree_get_path(tree), ==, target.path);
	g_assert_cmpint(dps_tree_is_image_mode(tree), ==, rows[i].directories != NULL);

	found = dps_tree_find_disk(tree, &path, &why, &error);
	if (rows[i].code != 0) {
		g_assert_false(found);
		g_assert_error(error, DPS_ERROR, (int)rows[i].code);
		g_assert_nonnull(strstr(error->message, rows[i].message));
		g_assert_true(path == untouched && why == untouched);
	} else {
		g_assert_no_error(error);
		g_assert_true(found);
		g_assert_cmpstr(path, ==, rows[i].disk);
		if (rows[i].message)
			g_assert_nonnull(strstr(why, rows[i].message));
		else
			g_assert_null(why);
		g_free(path);
		g_free(why);
	}

	for (guint j = 0; j < dps_tree_get_mounts(tree)->len; j++) {
		const DpsMount *mount = dps_tree_get_mounts(tree)->pdata[j];

		for (guint k = 0; k < mount->backings->len; k++) {
			const DpsBacking *backing = mount->backings->pdata[k];

			g_string_append_printf(mounts, "%s %u:%u\n", mount->mount_point,
					       major(backing->partition),
					       minor(backing->partition));
		}
	}
	g_assert_cmpstr(mounts->str, ==, rows[i].mounts);
}

/* A host of containers: every mount is found again, and before anybody gets impatient. */
static void
test_many_mounts(void)
{
	g_auto(Target) target = make_target();
	g_autoptr(DpsTree) tree = NULL;
	g_autoptr(GString) text = g_string_new(HOST "30 20 8:3 / %T rw - ext4 /dev/sda3 rw\n");
	gint64 start;

	for (guint i = 0; i < 20000; i++)
		g_string_append_printf(text, "%u 30 0:%u / %%T/m%u rw - tmpfs tmpfs rw\n", 100 + i,
				       100 + i, i);
	write_mountinfo(&target, text->str);
	start = g_get_monotonic_time();
	tree = open_target(&target);
	g_assert_cmpuint(dps_tree_get_mounts(tree)->len, ==, 20001);
	g_assert_cmpint(g_get_monotonic_time() - start, <, 10 * G_USEC_PER_SEC);
}

static void
test_fstab(void)
{
	/* clang-format off */
	static const struct {
		const char *spec, *mount_point, *fs_type, *options, *subvolume;
		uint64_t subvolume_id;
	} expected[] = {
		{ "UUID=ab-cd", "/", "btrfs", "subvol=/root,compress=zstd:1", "root", 0 },
		{ "LABEL=my home", "/home", "btrfs", "subvolid=257", NULL, 257 },
		{ "PARTUUID=12", "/a b", "ext4", "defaults", NULL, 0 },
		{ "PARTLABEL=x", "/efi", "vfat", "umask=0077,shortname=winnt", NULL, 0 },
		{ "/dev/sda2", NULL, "swap", "defaults", NULL, 0 },
		{ "/swap file", NULL, "swap", "sw", NULL, 0 },
		{ "UUID=1", "/var", "ext4", "defaults", NULL, 0 },
		{ "UUID=2", "/var/tmp", "ext4", "defaults", NULL, 0 },
		{ "UUID=3", "/", "ext4", "defaults", NULL, 0 },
		{ "UUID=4", "/.x/..y", "ext4", "defaults", NULL, 0 },
		{ "UUID=5", "rel/ative/", "ext4", "defaults", NULL, 0 },
		{ "UUID=last", "/srv", "ext4", "", NULL, 0 },
	};
	/* clang-format on */
	g_auto(Target) target = make_target();
	g_autoptr(DpsTree) tree = NULL;
	GPtrArray *entries;

	write_mountinfo(&target, HOST);
	made_up_write(target.path, "etc/fstab",
		      "# comment\n"
		      "\n"
		      "UUID=ab-cd / btrfs subvol=/root,compress=zstd:1 0 0\n"
		      "LABEL=\"my\\040home\"\t/home\tbtrfs\tsubvolid=257 0 0\n"
		      "not-a-line\n"
		      "   PARTUUID=12 /a\\040b ext4 defaults 1 2 # why\n"
		      "PARTLABEL=x /efi vfat umask=0077,shortname=winnt 0 2\n"
		      "/dev/sda2 none swap defaults 0 0\n"
		      "/swap\\040file swap swap sw 0 0\n"
		      "UUID=1 /var/ ext4 defaults 0 0\n"
		      "UUID=2 //var/./tmp// ext4 defaults 0 0\n"
		      "UUID=3 //. ext4 defaults 0 0\n"
		      "UUID=4 /.x/..y ext4 defaults 0 0\n"
		      "UUID=5 rel/ative/ ext4 defaults 0 0\n"
		      "UUID=last /srv ext4");
	tree = open_target(&target);
	entries = dps_tree_get_fstab(tree);
	g_assert_cmpuint(entries->len, ==, G_N_ELEMENTS(expected));
	for (guint i = 0; i < entries->len; i++) {
		const DpsFstabEntry *entry = entries->pdata[i];

		g_assert_cmpstr(entry->spec, ==, expected[i].spec);
		g_assert_cmpstr(entry->mount_point, ==, expected[i].mount_point);
		g_assert_cmpstr(entry->fs_type, ==, expected[i].fs_type);
		g_assert_cmpstr(entry->options, ==, expected[i].options);
		g_assert_cmpstr(entry->subvolume, ==, expected[i].subvolume);
		g_assert_cmpuint(entry->subvolume_id, ==, expected[i].subvolume_id);
	}
}

/* What is not there is an empty list; what cannot be read is an error, and never a wait. */
static void
test_fstab_that_is_none(void)
{
	g_auto(Target) target = make_target();
	g_autofree char *etc = g_build_filename(target.path, "etc", NULL);
	g_autofree char *fstab = g_build_filename(etc, "fstab", NULL);
	g_autofree char *large = g_strnfill(2 * 1024 * 1024, '#');
	g_autoptr(GString) many = g_string_new(NULL);
	g_autoptr(DpsTree) most = NULL;
	g_autoptr(DpsTree) none = open_target(&target);
	g_autoptr(DpsTree) empty = NULL;
	g_autoptr(DpsTree) outside = NULL;
	g_autoptr(GError) error = NULL;

	g_assert_cmpuint(dps_tree_get_fstab(none)->len, ==, 0);

	made_up_write(etc, "fstab", "");
	empty = open_target(&target);
	g_assert_cmpuint(dps_tree_get_fstab(empty)->len, ==, 0);

	made_up_write(etc, "fstab", large);
	g_assert_null(dps_tree_open_on(target.path, &target.system, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
	g_clear_error(&error);

	for (guint i = 0; i < 4096; i++)
		g_string_append(many, "/dev/sda1 none swap\n");
	made_up_write(etc, "fstab", many->str);
	most = open_target(&target);
	g_assert_cmpuint(dps_tree_get_fstab(most)->len, ==, 4096);
	g_string_append(many, "/dev/sda1 none swap\n");
	made_up_write(etc, "fstab", many->str);
	g_assert_null(dps_tree_open_on(target.path, &target.system, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
	g_clear_error(&error);

	g_assert_true(g_file_set_contents(fstab, "a\0b", 3, NULL));
	g_assert_null(dps_tree_open_on(target.path, &target.system, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
	g_clear_error(&error);

	g_remove(fstab);
	g_assert_cmpint(mkfifo(fstab, 0644), ==, 0);
	g_assert_null(dps_tree_open_on(target.path, &target.system, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
	g_assert_nonnull(strstr(error->message, "fstab: it is no regular file"));
	g_clear_error(&error);

	/* A link to the host's own file leads to the tree's, which is not there. */
	g_remove(fstab);
	made_up_link("/proc/self/environ", etc, "fstab");
	outside = open_target(&target);
	g_assert_cmpuint(dps_tree_get_fstab(outside)->len, ==, 0);
}

static void
test_open(void)
{
	g_auto(Target) target = make_target();
	g_autofree char *link = g_build_filename(target.root, "link", NULL);
	g_autofree char *file = g_build_filename(target.root, "file", NULL);
	g_autoptr(DpsTree) tree = NULL;
	g_autoptr(GError) error = NULL;

	g_assert_cmpint(symlink(target.path, link), ==, 0);
	tree = dps_tree_open_on(link, &target.system, &error);
	g_assert_no_error(error);
	g_assert_cmpstr(dps_tree_get_path(tree), ==, target.path);

	made_up_write(target.root, "file", "");
	g_assert_null(dps_tree_open(file, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_NOT_FOUND);
	g_clear_error(&error);
	g_assert_null(dps_tree_open("/nonexistent/tree", &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_NOT_FOUND);
}

static void
test_swaps(void)
{
	/* clang-format off */
	static const struct {
		const char *path;
		gboolean is_file, is_zram;
		guint n_backings;
	} expected[] = {
		{ "/dev/sda2", FALSE, FALSE, 1 },
		{ "/dev/mapper/luks-1", FALSE, FALSE, 1 },
		{ "/swap file", TRUE, FALSE, 0 },
		{ "/dev/zram0", FALSE, TRUE, 1 },
		{ "/dev/gone", FALSE, FALSE, 0 },
	};
	/* clang-format on */
	g_auto(Target) target = make_target();
	g_autoptr(DpsTree) tree = NULL;
	GPtrArray *swaps;

	made_up_write(target.proc, "swaps",
		      "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
		      "/dev/sda2                               partition\t8388604\t0\t-2\n"
		      "/dev/mapper/luks-1                      partition\t8388604\t0\t-3\n"
		      "/swap\\040file                           file\t1024\t0\t-4\n"
		      "/dev/zram0                              partition\t8388604\t0\t100\n"
		      "/dev/gone\\040(deleted)                  partition\t1\t0\t1\n");
	tree = open_target(&target);
	swaps = dps_tree_get_swaps(tree);
	g_assert_cmpuint(swaps->len, ==, G_N_ELEMENTS(expected));
	for (guint i = 0; i < swaps->len; i++) {
		const DpsSwap *swap = swaps->pdata[i];

		g_assert_cmpstr(swap->path, ==, expected[i].path);
		g_assert_cmpint(swap->is_file, ==, expected[i].is_file);
		g_assert_cmpint(swap->is_zram, ==, expected[i].is_zram);
		g_assert_cmpuint(swap->backings->len, ==, expected[i].n_backings);
	}
}

static void
test_machine_id(void)
{
	/* clang-format off */
	static const struct {
		const char *text; /* NULL: no file */
		const char *id;
	} ids[] = {
		{ "0123456789abcdef0123456789abcdef\n", "0123456789abcdef0123456789abcdef" },
		{ "0123456789ABCDEF0123456789abcdef", "0123456789abcdef0123456789abcdef" },
		{ NULL, NULL },
		{ "", NULL },
		{ "\n", NULL },
		{ "uninitialized\n", NULL },
		{ "0123456789abcdef0123456789abcde\n", NULL },
		{ "0123456789abcdef0123456789abcdef0\n", NULL },
		{ "0123456789abcdef0123456789abcdeg\n", NULL },
		{ "01234567-89ab-cdef-0123-456789abcdef\n", NULL },
		{ "00000000000000000000000000000000\n", NULL },
	};
	/* clang-format on */

	for (guint i = 0; i < G_N_ELEMENTS(ids); i++) {
		g_auto(Target) target = make_target();
		g_autoptr(DpsTree) tree = NULL;

		if (ids[i].text)
			made_up_write(target.path, "etc/machine-id", ids[i].text);
		tree = open_target(&target);
		g_assert_cmpstr(dps_tree_get_machine_id(tree), ==, ids[i].id);
	}
}

#define MAX_FILES 5

/* The first 20 bytes of a program; a name of three letters tells which. */
static void
write_program(const char *root, const char *path, const char *kind)
{
	/* clang-format off */
	static const struct {
		const char *kind;
		uint8_t class, data, type[2], machine[2];
	} kinds[] = {
		{ "x64", 2, 1, { 3, 0 }, { 62, 0 } },
		{ "ia3", 1, 1, { 3, 0 }, { 3, 0 } },
		{ "a64", 2, 1, { 3, 0 }, { 183, 0 } },
		{ "s39", 2, 2, { 0, 3 }, { 0, 22 } },
		{ "bpf", 2, 1, { 1, 0 }, { 247, 0 } }, /* of /usr/lib, and nobody's machine */
	};
	/* clang-format on */

	for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
		uint8_t header[64] = { 0x7f, 'E', 'L', 'F', kinds[i].class, kinds[i].data, 1 };
		g_autofree char *file = g_build_filename(root, path, NULL);

		if (strcmp(kinds[i].kind, kind) != 0)
			continue;
		memcpy(header + 16, kinds[i].type, 2);
		memcpy(header + 18, kinds[i].machine, 2);
		made_up_write(root, path, "");
		g_assert_true(
			g_file_set_contents(file, (const char *)header, sizeof(header), NULL));
		return;
	}
	made_up_write(root, path, kind);
}

/* clang-format off */
static const struct {
	const char *name;
	struct {
		const char *path;
		const char *contents; /* a kind of program, a text, or "-> TARGET" */
	} files[MAX_FILES];
	DpsArch arch;
	const char *source;
} archs[] = {
	{ "bash", { { "usr/bin/bash", "x64" } }, DPS_ARCH_X86_64, "usr/bin/bash" },
	{ "script-for-a-shell", { { "usr/bin/bash", "#!/bin/x" }, { "usr/bin/env", "a64" } },
	  DPS_ARCH_AARCH64, "usr/bin/env" },
	{ "absolute-link-inside", { { "usr/bin/sh", "-> /usr/libexec/shell" }, { "usr/libexec/shell", "s39" } },
	  DPS_ARCH_S390X, "usr/bin/sh" },
	{ "link-out-of-the-tree", { { "usr/bin/sh", "-> ../../../../../../../../../../../bin/sh" }, { "bin/sh", "s39" } },
	  DPS_ARCH_S390X, "usr/bin/sh" },
	{ "merged-usr", { { "bin", "-> usr/bin" }, { "usr/bin/zzz", "a64" } }, DPS_ARCH_AARCH64, "usr/bin/zzz" },
	{ "unmerged", { { "sbin/init", "x64" } }, DPS_ARCH_X86_64, "sbin/init" },
	{ "any-program", { { "usr/bin/awk", "#!" }, { "usr/bin/own", "a64" }, { "usr/lib/ld-linux.so.2", "ia3" } },
	  DPS_ARCH_AARCH64, "usr/bin/own" },
	{ "libc-alone", { { "usr/lib64/libc.so.6", "x64" } }, DPS_ARCH_X86_64, "usr/lib64/libc.so.6" },
	{ "multiarch", { { "usr/lib/aarch64-linux-gnu/libc.so.6", "a64" } },
	  DPS_ARCH_AARCH64, "usr/lib/aarch64-linux-gnu/libc.so.6" },
	{ "libraries-disagree",
	  { { "usr/lib64/libc.so.6", "x64" }, { "usr/lib/libc.so.6", "ia3" }, { "etc/os-release", "ARCHITECTURE=x86-64\n" } },
	  DPS_ARCH_X86_64, "etc/os-release" },
	{ "libraries-disagree-and-nobody-else", { { "lib/ld-linux.so.2", "ia3" }, { "lib64/ld-2.so", "x64" } },
	  DPS_ARCH_NONE, NULL },
	{ "not-a-library-of-this-machine", { { "usr/lib/libc.so.bpf", "bpf" } }, DPS_ARCH_NONE, NULL },
	{ "os-release", { { "usr/lib/os-release", "ID=x\nARCHITECTURE=\"arm64\"\n" } },
	  DPS_ARCH_AARCH64, "usr/lib/os-release" },
	{ "os-release-of-etc-first", { { "etc/os-release", "ID=x\n" }, { "usr/lib/os-release", "ARCHITECTURE=arm64\n" } },
	  DPS_ARCH_NONE, NULL },
	{ "os-release-unknown", { { "etc/os-release", "ARCHITECTURE=z80\n" } }, DPS_ARCH_NONE, NULL },
	{ "empty-tree", { { NULL } }, DPS_ARCH_NONE, NULL },
};
/* clang-format on */

static void
test_arch(gconstpointer data)
{
	guint i = GPOINTER_TO_UINT(data);
	g_auto(Target) target = make_target();
	g_autoptr(DpsTree) tree = NULL;

	for (guint j = 0; j < MAX_FILES && archs[i].files[j].path; j++) {
		const char *contents = archs[i].files[j].contents;

		if (g_str_has_prefix(contents, "-> "))
			made_up_link(contents + 3, target.path, archs[i].files[j].path);
		else
			write_program(target.path, archs[i].files[j].path, contents);
	}
	tree = open_target(&target);
	g_assert_cmpint(dps_tree_get_arch(tree), ==, archs[i].arch);
	g_assert_cmpstr(dps_tree_get_arch_source(tree), ==, archs[i].source);
}

/* Lines as systemd's cryptsetup-generator takes them; one with a field too many is none. */
static void
test_crypttab(void)
{
	/* clang-format off */
	static const struct { const char *name, *spec; } expected[] = {
		{ "luks-a", "UUID=a" }, { "root", "/dev/disk/by-uuid/b" }, { "swap", "PARTUUID=c" },
		{ "five", "UUID=e" },  { "four", "LABEL=d" },
	};
	/* clang-format on */
	g_auto(Target) target = make_target();
	g_autoptr(DpsTree) tree = NULL;
	g_autoptr(GError) error = NULL;
	g_autofree char *crypttab = g_build_filename(target.path, "etc", "crypttab", NULL);
	g_autoptr(GString) many = g_string_new(NULL);
	GPtrArray *entries;

	tree = open_target(&target);
	made_up_write(target.path, "etc/crypttab",
		      "# name device\n\n"
		      "luks-a UUID=a\n"
		      "  root\t/dev/disk/by-uuid/b   none\r\n"
		      "alone\n"
		      "swap PARTUUID=c /dev/urandom swap,cipher=aes-xts-plain64\n"
		      "five UUID=e none luks what\n"
		      "four LABEL=d none luks");
	entries = dps_tree_get_crypttab(tree, &error);
	g_assert_no_error(error);
	g_assert_cmpuint(entries->len, ==, G_N_ELEMENTS(expected));
	for (guint i = 0; i < entries->len; i++) {
		const DpsCrypttabEntry *entry = entries->pdata[i];

		g_assert_cmpstr(entry->name, ==, expected[i].name);
		g_assert_cmpstr(entry->spec, ==, expected[i].spec);
	}

	g_clear_pointer(&tree, dps_tree_unref);
	for (guint i = 0; i < 4097; i++)
		g_string_append(many, "a b\n");
	made_up_write(target.path, "etc/crypttab", many->str);
	tree = open_target(&target);
	g_assert_null(dps_tree_get_crypttab(tree, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
	g_clear_error(&error);

	/* None is an empty list, and what cannot be read is an error. */
	g_clear_pointer(&tree, dps_tree_unref);
	g_remove(crypttab);
	tree = open_target(&target);
	g_assert_cmpuint(dps_tree_get_crypttab(tree, &error)->len, ==, 0);
	g_clear_pointer(&tree, dps_tree_unref);
	tree = open_target(&target);
	g_assert_cmpint(mkfifo(crypttab, 0644), ==, 0);
	g_assert_null(dps_tree_get_crypttab(tree, &error));
	g_assert_nonnull(strstr(error->message, "crypttab: it is no regular file"));
}

static void
test_normalise_spec(void)
{
	/* clang-format off */
	static const char *const specs[][2] = {
		{ "UUID=a", "UUID=a" },
		{ "/dev/disk/by-uuid/a-b", "UUID=a-b" },
		{ "/dev/disk/by-label/my\\x20home", "LABEL=my home" },
		{ "/dev/disk/by-partlabel/a\\x2fb\\x", "PARTLABEL=a/b\\x" },
		{ "/dev/disk/by-partuuid/c", "PARTUUID=c" },
		{ "/dev/disk/by-id/ata-x", "/dev/disk/by-id/ata-x" },
		{ "/dev/sda1", "/dev/sda1" },
	};
	/* clang-format on */

	for (guint i = 0; i < G_N_ELEMENTS(specs); i++) {
		g_autofree char *spec = dps_fstab_normalise_spec(specs[i][0]);

		g_assert_cmpstr(spec, ==, specs[i][1]);
	}
}

static void
test_read_file(void)
{
	g_autofree char *large = g_strnfill(DPS_FILES_MAX_TEXT + 1, 'x');
	g_auto(Target) target = make_target();
	g_autoptr(DpsTree) tree = open_target(&target);
	g_autoptr(GError) error = NULL;
	g_autofree char *text = NULL;
	int fd;

	made_up_write(target.path, "etc/x", "12345");
	text = dps_tree_read_file(tree, "/etc/x", &error);
	g_assert_no_error(error);
	g_assert_cmpstr(text, ==, "12345");
	made_up_write(target.path, "etc/large", large);
	g_assert_null(dps_tree_read_file(tree, "/etc/large", &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
	g_clear_error(&error);
	g_assert_null(dps_tree_read_file(tree, "/etc/y", &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_NOT_FOUND);
	g_clear_error(&error);

	fd = dps_tree_open_dir(tree, "/etc", &error);
	g_assert_no_error(error);
	g_assert_cmpint(faccessat(fd, "x", F_OK, 0), ==, 0);
	close(fd);
	fd = dps_tree_open_dir(tree, "/", &error);
	g_assert_cmpint(faccessat(fd, "etc/x", F_OK, 0), ==, 0);
	close(fd);
	g_assert_cmpint(dps_tree_open_dir(tree, "/etc/x", &error), ==, -1);
	g_assert_error(error, DPS_ERROR, DPS_ERROR_NOT_FOUND);
}

/* Whether "/" is the running system's own: as the first process's mountinfo has it. */
static void
test_running_system(void)
{
	/* clang-format off */
	static const struct {
		const char *ours, *first;
		gboolean is_running;
	} cases[] = {
		{ HOST, HOST, TRUE },
		{ "99 98 8:17 / / rw - ext4 /dev/sdb1 rw\n", HOST, TRUE }, /* a mount namespace of its own */
		{ "30 20 8:3 / / rw - ext4 /dev/sda3 rw\n", HOST, FALSE },
		{ "30 20 0:50 /new / rw - btrfs /dev/sda3 rw,subvol=/new\n",
		  "20 1 0:50 /old / rw - btrfs /dev/sda3 rw,subvol=/old\n", FALSE },
		{ "30 20 8:3 / /boot rw - ext4 /dev/sda3 rw\n", HOST, FALSE }, /* a chroot in a directory */
		{ HOST, NULL, FALSE },
	};
	/* clang-format on */

	for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_auto(Target) target = make_target();
		g_autoptr(DpsTree) tree = NULL;

		made_up_write(target.proc, "self/mountinfo", cases[i].ours);
		if (cases[i].first)
			made_up_write(target.proc, "1/mountinfo", cases[i].first);
		tree = dps_tree_open_on("/", &target.system, NULL);
		g_assert_nonnull(tree);
		g_assert_cmpint(dps_tree_is_running_system(tree), ==, cases[i].is_running);
		g_assert_cmpint(dps_tree_get_arch(tree), !=, DPS_ARCH_NONE);
	}
}

static void
add_rows(const char *prefix, guint i, const char *name, GTestDataFunc function)
{
	g_autofree char *path = g_strconcat(prefix, name, NULL);

	g_test_add_data_func(path, GUINT_TO_POINTER(i), function);
}

int
main(int argc, char **argv)
{
	int result;

	g_test_init(&argc, &argv, NULL);
	machine = made_up_new();
	for (guint i = 0; i < G_N_ELEMENTS(devices); i++)
		made_up_add(machine, &devices[i]);

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
		add_rows("/tree/mounts/", i, rows[i].name, test_mounts);
	for (guint i = 0; i < G_N_ELEMENTS(archs); i++)
		add_rows("/tree/arch/", i, archs[i].name, test_arch);
	g_test_add_func("/tree/many-mounts", test_many_mounts);
	g_test_add_func("/tree/fstab", test_fstab);
	g_test_add_func("/tree/fstab-that-is-none", test_fstab_that_is_none);
	g_test_add_func("/tree/crypttab", test_crypttab);
	g_test_add_func("/tree/normalise-spec", test_normalise_spec);
	g_test_add_func("/tree/open", test_open);
	g_test_add_func("/tree/swaps", test_swaps);
	g_test_add_func("/tree/machine-id", test_machine_id);
	g_test_add_func("/tree/read-file", test_read_file);
	g_test_add_func("/tree/running-system", test_running_system);
	result = g_test_run();
	made_up_free(machine);
	return result;
}
