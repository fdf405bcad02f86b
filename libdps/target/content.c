/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/content.h"
#include "ground/error.h"

#include <blkid/blkid.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define ZFS "zfs_member"

/*
 * The signatures that matter, and what each means here.  libblkid knows twice as many; the filter
 * makes it twelve times faster.  Members of every kind are in it: to take one for an empty
 * partition and tag it is the mistake that this table is here to prevent.
 */
static const struct {
	const char *name; /* as libblkid has it */
	DpsContentKind kind;
} signatures[] = {
	/* what Linux installations have their directories on */
	{ "btrfs", DPS_CONTENT_FILE_SYSTEM },
	{ "ext2", DPS_CONTENT_FILE_SYSTEM },
	{ "ext3", DPS_CONTENT_FILE_SYSTEM },
	{ "ext4", DPS_CONTENT_FILE_SYSTEM },
	{ "xfs", DPS_CONTENT_FILE_SYSTEM },
	{ "f2fs", DPS_CONTENT_FILE_SYSTEM },
	{ "bcachefs", DPS_CONTENT_FILE_SYSTEM },
	{ "jfs", DPS_CONTENT_FILE_SYSTEM },
	{ "reiserfs", DPS_CONTENT_FILE_SYSTEM },
	{ "nilfs2", DPS_CONTENT_FILE_SYSTEM },
	/* read-only images */
	{ "erofs", DPS_CONTENT_FILE_SYSTEM },
	{ "squashfs", DPS_CONTENT_FILE_SYSTEM },
	{ "cramfs", DPS_CONTENT_FILE_SYSTEM },
	{ "iso9660", DPS_CONTENT_FILE_SYSTEM },
	{ "udf", DPS_CONTENT_FILE_SYSTEM },
	/* the ESP, and the neighbours */
	{ "vfat", DPS_CONTENT_FILE_SYSTEM },
	{ "exfat", DPS_CONTENT_FILE_SYSTEM },
	{ "ntfs", DPS_CONTENT_FILE_SYSTEM },
	{ "hfsplus", DPS_CONTENT_FILE_SYSTEM },
	{ "apfs", DPS_CONTENT_FILE_SYSTEM },
	/* swap, and swap that holds a hibernated system */
	{ "swap", DPS_CONTENT_SWAP },
	{ "swsuspend", DPS_CONTENT_SWAP },
	{ "crypto_LUKS", DPS_CONTENT_LUKS },
	{ "DM_verity_hash", DPS_CONTENT_VERITY },
	/* parts of something that is assembled first */
	{ "LVM2_member", DPS_CONTENT_MEMBER },
	{ "LVM1_member", DPS_CONTENT_MEMBER },
	{ "linux_raid_member", DPS_CONTENT_MEMBER },
	{ "ddf_raid_member", DPS_CONTENT_MEMBER },
	{ "isw_raid_member", DPS_CONTENT_MEMBER },
	{ "lsi_mega_raid_member", DPS_CONTENT_MEMBER },
	{ "via_raid_member", DPS_CONTENT_MEMBER },
	{ "silicon_medley_raid_member", DPS_CONTENT_MEMBER },
	{ "nvidia_raid_member", DPS_CONTENT_MEMBER },
	{ "promise_fasttrack_raid_member", DPS_CONTENT_MEMBER },
	{ "adaptec_raid_member", DPS_CONTENT_MEMBER },
	{ "jmicron_raid_member", DPS_CONTENT_MEMBER },
	{ ZFS, DPS_CONTENT_MEMBER },
	{ "bcache", DPS_CONTENT_MEMBER },
	{ "DM_integrity", DPS_CONTENT_MEMBER },
	{ "DM_snapshot_cow", DPS_CONTENT_MEMBER },
	{ "drbd", DPS_CONTENT_MEMBER },
	{ "vdo", DPS_CONTENT_MEMBER },
	{ "stratis", DPS_CONTENT_MEMBER },
	{ "ceph_bluestore", DPS_CONTENT_MEMBER },
	{ "VMFS_volume_member", DPS_CONTENT_MEMBER },
	{ "xfs_external_log", DPS_CONTENT_MEMBER },
	{ "jbd", DPS_CONTENT_MEMBER },
	{ "BitLocker", DPS_CONTENT_MEMBER }, /* another system's, and cannot be looked into */
};

typedef struct blkid_struct_probe Probe;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Probe, blkid_free_probe)

void
dps_content_clear(DpsContent *content)
{
	g_clear_pointer(&content->type, g_free);
	g_clear_pointer(&content->uuid, g_free);
	g_clear_pointer(&content->label, g_free);
	g_clear_pointer(&content->problem, g_free);
	content->kind = DPS_CONTENT_NONE;
}

/* Values come from the medium: whatever is no UTF-8 there is made some.  Empty is none. */
static char *
dup_value(blkid_probe probe, const char *name)
{
	const char *value;
	size_t size;

	if (blkid_probe_lookup_value(probe, name, &value, &size) != 0 || size <= 1)
		return NULL;
	return g_utf8_make_valid(value, (gssize)strnlen(value, size));
}

static DpsContentKind
get_kind(const char *type)
{
	for (guint i = 0; i < G_N_ELEMENTS(signatures); i++)
		if (strcmp(signatures[i].name, type) == 0)
			return signatures[i].kind;
	return DPS_CONTENT_NONE;
}

/*
 * libblkid reads a mebibyte of every partition to look for ZFS, and all else together reads a
 * twentieth of that.  So it looks where there is one of the four labels: a packed list of names and
 * values, in XDR, whose head is told by a few bytes.
 *
 * Source: OpenZFS, vdev_label.c: labels of 256 KiB, two at each end, the list 16 KiB into each;
 * nvpair.c: encoding 1, endian 0 or 1, two zeros; version 0 and flags 1 or 2 as big-endian words.
 */
static gboolean
may_be_zfs(const DpsRegion *region)
{
	const uint64_t label = UINT64_C(256) * 1024, list = UINT64_C(16) * 1024;
	const uint64_t end = region->size / label * label;

	if (end < 4 * label)
		return FALSE;
	for (int i = 0; i < 4; i++) {
		uint64_t at = i < 2 ? (uint64_t)i * label : end - (uint64_t)(4 - i) * label;
		uint8_t head[12];

		/* What cannot be read here is libblkid's to report. */
		if (!dps_region_read(region, at + list, head, sizeof(head), NULL))
			return TRUE;
		if (head[0] == 1 && head[1] <= 1 && memcmp(head + 2, "\0\0\0\0\0\0\0\0", 9) == 0 &&
		    head[11] <= 2)
			return TRUE;
	}
	return FALSE;
}

/*
 * Whether that is what a medium answers for a sector that it cannot read; all else (no memory, a
 * device that is gone, a wrong call) says nothing of the partition.
 *
 * Source: Linux, block/blk-core.c, blk_errors[]: an I/O error, a medium error, one of the target,
 * a checksum of the device that is wrong.  Through the page cache each of them is EIO.
 */
static gboolean
is_of_medium(int errnum)
{
	return errnum == EIO || errnum == ENODATA || errnum == EREMOTEIO || errnum == EILSEQ;
}

/* The last signature at the front is that of btrfs, and RAID of the oldest kind is the first at the
 * end.  Source: BTRFS_SUPER_INFO_OFFSET and its size; md_p.h, MD_NEW_SIZE_SECTORS(). */
#define FRONT_SIZE (UINT64_C(68) * 1024)
#define END_SIZE (UINT64_C(128) * 1024)

/* Returns: 0 when all of it can be read, else the errno; a file that ends before has ENODATA */
static int
try_to_read(const DpsRegion *region, uint64_t offset, uint8_t *bytes, size_t size)
{
	while (size > 0) {
		ssize_t n = pread(region->fd, bytes, size, (off_t)(region->start + offset));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? errno : ENODATA;
		offset += (uint64_t)n;
		size -= (size_t)n;
	}
	return 0;
}

/*
 * libblkid takes a read that ends before its time for one in which there is no signature, and so it
 * ends where the first half of what is asked for can be read: what seems to be empty is read again.
 */
static int
read_again(const DpsRegion *region)
{
	size_t front = (size_t)MIN(region->size, FRONT_SIZE);
	size_t end = (size_t)MIN(region->size, END_SIZE);
	g_autofree uint8_t *bytes = g_malloc(MAX(FRONT_SIZE, END_SIZE));
	int failure = try_to_read(region, 0, bytes, front);

	return failure ? failure : try_to_read(region, region->size - end, bytes, end);
}

static blkid_probe
new_probe(const DpsRegion *region, char **names)
{
	g_autoptr(Probe) probe = blkid_new_probe();

	if (!probe || blkid_probe_set_device(probe, region->fd, (blkid_loff_t)region->start,
					     (blkid_loff_t)region->size) != 0)
		return NULL;

	blkid_probe_enable_superblocks(probe, 1);
	blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_UUID |
							 BLKID_SUBLKS_LABEL);
	blkid_probe_filter_superblocks_type(probe, BLKID_FLTR_ONLYIN, names);
	return g_steal_pointer(&probe);
}

gboolean
dps_content_probe(const DpsRegion *region, DpsContent *out, GError **error)
{
	/* libblkid has no const here, and changes nothing. */
	char *names[G_N_ELEMENTS(signatures) + 1] = { NULL };
	g_autoptr(Probe) probe = NULL;
	DpsContent content = { 0 };
	int found = -1, failure = 0;

	g_assert(region->fd >= 0);

	/* To libblkid a size of 0 means "up to the end of the file". */
	if (region->size == 0) {
		*out = content;
		return TRUE;
	}

	for (guint i = 0, n = 0; i < G_N_ELEMENTS(signatures); i++)
		if (strcmp(signatures[i].name, ZFS) != 0 || may_be_zfs(region))
			names[n++] = (char *)(uintptr_t)signatures[i].name;

	/* libblkid does not read on after a signal: ask it again, a few times. */
	for (guint tries = 0; tries < 8; tries++) {
		g_clear_pointer(&probe, blkid_free_probe);
		errno = 0;
		probe = new_probe(region, names);
		found = probe ? blkid_do_safeprobe(probe) : -1;
		if (found >= 0 || found == -2 || errno != EINTR)
			break;
	}
	switch (found) {
	case 0:
		content.type = dup_value(probe, "TYPE");
		content.uuid = dup_value(probe, "UUID");
		content.label = dup_value(probe, "LABEL");
		content.kind = content.type ? get_kind(content.type) : DPS_CONTENT_NONE;
		break;
	case 1:
		failure = read_again(region);
		break;
	case -2:
		content.kind = DPS_CONTENT_AMBIGUOUS;
		break;
	default:
		failure = errno ? errno : EIO;
	}
	if (failure && (!probe || !is_of_medium(failure)))
		return dps_throw_errno(error, failure, "look for file systems");
	if (failure) {
		content.kind = DPS_CONTENT_UNREADABLE;
		content.problem = g_utf8_make_valid(g_strerror(failure), -1);
	}

	*out = content;
	return TRUE;
}
