/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/disk.h"
#include "ground/error.h"
#include "ground/types.h"
#include "target/blockdev.h"
#include "target/fdisk.h"
#include "target/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* What was read of a disk at one time: made whole, then put in place of the one before. */
typedef struct {
	DpsTable table;
	char *problem; /* why there is no usable table; NULL when there is one */
	DpsGpt *gpt;   /* NULL without a usable table */
	char uuid[DPS_GUID_TEXT_SIZE];
	GPtrArray *partitions; /* (element-type DpsPartition), by number */
} Reading;

struct _DpsDisk {
	gatomicrefcount ref_count; /* atomic: a collector of garbage lets go in any thread */
	DpsMedium *medium;
	guint sector_size; /* as the caller or the device has it; 0: find out */
	Reading *now;
};

static void
reading_free(Reading *reading)
{
	if (!reading)
		return;

	g_clear_pointer(&reading->partitions, g_ptr_array_unref);
	g_clear_pointer(&reading->gpt, dps_gpt_free);
	g_free(reading->problem);
	g_free(reading);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Reading, reading_free)

/* --- Partitions ---------------------------------------------------------------------------------
 */

/* In units of 512 bytes, whatever the sectors of the device are. */
static gboolean
read_sysfs_size(dev_t device, const char *name, uint64_t *out)
{
	g_autofree char *path = g_strdup_printf("%s/dev/block/%u:%u/%s", dps_system.sysfs,
						major(device), minor(device), name);
	g_autofree char *text = NULL;
	guint64 sectors;

	if (!g_file_get_contents(path, &text, NULL, NULL) ||
	    !g_ascii_string_to_unsigned(g_strchomp(text), 10, 0, UINT64_MAX / 512, &sectors, NULL))
		return FALSE;
	*out = sectors * 512;
	return TRUE;
}

/*
 * The kernel's device for a partition, when it has one of the same place and size: after a change
 * of the table that it was not told of, it has another.  What device-mapper made of a partition
 * (multipath) has no start of its own.
 */
static void
find_node(DpsMedium *medium, DpsPartition *partition)
{
	g_autofree char *node = NULL;
	uint64_t start, size;
	dev_t device;

	if (!dps_blockdev_get_partition(&dps_system, dps_medium_get_device(medium),
					partition->number, &device, &node) ||
	    !node)
		return;
	if (read_sysfs_size(device, "start", &start) && start != partition->start)
		return;
	if (!read_sysfs_size(device, "size", &size) || size != partition->size)
		return;

	partition->device = device;
	partition->node = g_steal_pointer(&node);
}

/* A partition of a device is read through its own node: the cache of the disk has older bytes. */
static gboolean
open_region(DpsMedium *medium, DpsPartition *partition, GError **error)
{
	DpsRegion disk = dps_medium_get_region(medium);

	if (partition->node) {
		struct stat st;

		partition->fd = (int)TEMP_FAILURE_RETRY(
			open(partition->node, O_RDONLY | O_CLOEXEC | O_NOCTTY));
		if (partition->fd >= 0 && fstat(partition->fd, &st) == 0 && S_ISBLK(st.st_mode) &&
		    st.st_rdev == partition->device) {
			/* A mounted btrfs writes past the cache of its node: ask the device again.
			 */
			posix_fadvise(partition->fd, 0, 0, POSIX_FADV_DONTNEED);
			partition->region = dps_region_over_fd(partition->fd, 0, partition->size);
			return TRUE;
		}
		if (partition->fd < 0)
			return dps_throw_errno(error, errno, "%s: open", partition->node);
		close(partition->fd);
		partition->fd = -1;
	}

	if (dps_medium_is_device(medium) &&
	    !dps_medium_drop_cache(medium, partition->start, partition->size, error))
		return FALSE;

	return dps_region_narrow(&disk, partition->start, partition->size, &partition->region,
				 error);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(DpsPartition, dps_partition_free)

static DpsPartition *
read_partition(DpsMedium *medium, const DpsGpt *gpt, const DpsGptEntry *entry, GError **error)
{
	g_autoptr(DpsPartition) partition = g_new0(DpsPartition, 1);
	gboolean inside = entry->first_lba <= entry->last_lba && entry->last_lba < gpt->n_sectors;

	partition->fd = -1;
	partition->number = entry->number;
	partition->type_guid = entry->type_guid;
	partition->guid = entry->guid;
	dps_guid_to_string(&entry->type_guid, partition->type_uuid);
	dps_guid_to_string(&entry->guid, partition->uuid);
	partition->type = dps_type_lookup_guid(&entry->type_guid);
	partition->label = *entry->name ? g_strdup(entry->name) : NULL;
	partition->attributes = entry->attributes;

	/* An entry that leads outside of the disk is shown, with nothing in it. */
	if (!inside)
		return g_steal_pointer(&partition);

	partition->start = entry->first_lba * gpt->sector_size;
	partition->size = (entry->last_lba - entry->first_lba + 1) * gpt->sector_size;
	if (dps_medium_is_device(medium))
		find_node(medium, partition);
	if (!open_region(medium, partition, error) ||
	    !dps_content_probe(&partition->region, &partition->content, error)) {
		dps_prefix_error(error, "%s: partition %u: ", dps_medium_get_path(medium),
				 partition->number);
		dps_error_set_partition(error, partition->number);
		return NULL;
	}
	/* That it cannot be read is said where somebody needs it. */
	if (g_strcmp0(partition->content.type, "btrfs") == 0)
		partition->btrfs =
			dps_btrfs_open_offline(&partition->region, &partition->btrfs_error);
	if (partition->btrfs_error && dps_journal_is_pending(medium))
		dps_prefix_error(&partition->btrfs_error,
				 "a write was cut off, and the next apply finishes it: ");
	return g_steal_pointer(&partition);
}

/* --- The disk -----------------------------------------------------------------------------------
 */

/* Whether there is nothing about it that would be otherwise a moment later. */
static gboolean
is_settled(DpsGptPresence presence, const DpsGpt *gpt)
{
	if (!gpt)
		return presence != DPS_GPT_DAMAGED;
	return gpt->primary.good && gpt->backup.good && !gpt->copies_differ;
}

/*
 * Somebody who takes no lock may have written it between our look at a header and at its entries:
 * what seems to be damaged is looked at twice.
 */
static gboolean
read_gpt(DpsMedium *medium, guint sector_size, DpsGptPresence *presence, Reading *reading,
	 GError **error)
{
	DpsRegion region = dps_medium_get_region(medium);

	for (guint i = 0; i < 2; i++) {
		g_clear_pointer(&reading->gpt, dps_gpt_free);
		g_clear_pointer(&reading->problem, g_free);
		if (!dps_gpt_read(&region, sector_size, presence, &reading->gpt, &reading->problem,
				  error)) {
			dps_prefix_error(error, "%s: ", dps_medium_get_path(medium));
			return FALSE;
		}
		if (is_settled(*presence, reading->gpt))
			break;
	}
	return TRUE;
}

static Reading *
read_disk(DpsMedium *medium, guint sector_size, GError **error)
{
	static const DpsTable tables[] = {
		[DPS_GPT_PRESENT] = DPS_TABLE_GPT,
		[DPS_GPT_DAMAGED] = DPS_TABLE_GPT_DAMAGED,
		[DPS_GPT_MBR] = DPS_TABLE_MBR,
		[DPS_GPT_NONE] = DPS_TABLE_NONE,
	};
	g_autoptr(Reading) reading = g_new0(Reading, 1);
	DpsGptPresence presence;

	reading->partitions = g_ptr_array_new_with_free_func((GDestroyNotify)dps_partition_free);
	if (!read_gpt(medium, sector_size, &presence, reading, error))
		return NULL;
	reading->table = tables[presence];
	if (!reading->gpt)
		return g_steal_pointer(&reading);

	reading->problem = dps_fdisk_compare(medium, reading->gpt);
	if (reading->problem) {
		/* Our reads go on after a signal or a short read; libfdisk's give up: ask it again.
		 */
		g_free(reading->problem);
		reading->problem = dps_fdisk_compare(medium, reading->gpt);
	}
	if (reading->problem) {
		g_clear_pointer(&reading->gpt, dps_gpt_free);
		reading->table = DPS_TABLE_GPT_DAMAGED;
		return g_steal_pointer(&reading);
	}

	dps_guid_to_string(&reading->gpt->current->disk_guid, reading->uuid);
	for (guint i = 0; i < reading->gpt->entries->len; i++) {
		DpsPartition *partition = read_partition(
			medium, reading->gpt, g_ptr_array_index(reading->gpt->entries, i), error);

		if (!partition)
			return NULL;
		g_ptr_array_add(reading->partitions, partition);
	}
	return g_steal_pointer(&reading);
}

/* Finishes first what a run that was cut off left to write. */
static gboolean
read_first(DpsDisk *disk, guint sector_size, GError **error)
{
	const char *path = dps_medium_get_path(disk->medium);
	guint own;

	if (dps_medium_is_writable(disk->medium) && !dps_journal_finish(disk->medium, NULL, error))
		return FALSE;

	own = dps_medium_get_sector_size(disk->medium);
	if (own != 0 && own != 512 && own != 4096)
		return dps_throw(error, DPS_ERROR_UNSUPPORTED,
				 "%s: sectors of %u bytes: only 512 and 4096 are known to work",
				 path, own);
	if (own != 0 && sector_size != 0 && own != sector_size)
		return dps_throw(error, DPS_ERROR_INVALID,
				 "%s: sector size %u: the device has sectors of %u bytes", path,
				 sector_size, own);

	disk->sector_size = own ? own : sector_size;
	disk->now = read_disk(disk->medium, disk->sector_size, error);
	return disk->now != NULL;
}

DpsDisk *
dps_disk_open_with_sector_size(const char *path, DpsOpenFlags flags, guint sector_size,
			       GError **error)
{
	g_autoptr(DpsDisk) disk = NULL;

	g_return_val_if_fail(path != NULL, NULL);
	g_return_val_if_fail(error == NULL || *error == NULL, NULL);

	if (sector_size != 0 && sector_size != 512 && sector_size != 4096)
		return dps_throw_null(error, DPS_ERROR_INVALID,
				      "sector size %u: a disk has sectors of 512 or 4096 bytes",
				      sector_size);

	disk = g_new0(DpsDisk, 1);
	g_atomic_ref_count_init(&disk->ref_count);
	disk->medium = dps_medium_open(path, flags, error);
	if (!disk->medium || !dps_medium_require_disk(disk->medium, error))
		return NULL;
	if (!read_first(disk, sector_size, error)) {
		const char *finished = dps_disk_get_finished(disk);

		if (finished)
			dps_prefix_error(error, "%s; then: ", finished);
		return NULL;
	}
	return g_steal_pointer(&disk);
}

DpsDisk *
dps_disk_open(const char *path, DpsOpenFlags flags, GError **error)
{
	return dps_disk_open_with_sector_size(path, flags, 0, error);
}

DpsDisk *
dps_disk_ref(DpsDisk *disk)
{
	g_return_val_if_fail(disk != NULL, NULL);

	g_atomic_ref_count_inc(&disk->ref_count);
	return disk;
}

void
dps_disk_unref(DpsDisk *disk)
{
	if (!disk || !g_atomic_ref_count_dec(&disk->ref_count))
		return;

	/* The writer is closed last: that is when udevd looks. */
	reading_free(disk->now);
	dps_medium_unref(disk->medium);
	g_free(disk);
}

gboolean
dps_disk_refresh(DpsDisk *disk, GError **error)
{
	Reading *reading;

	g_return_val_if_fail(disk != NULL, FALSE);

	reading = read_disk(disk->medium, disk->sector_size, error);
	if (!reading)
		return FALSE;

	reading_free(disk->now);
	disk->now = reading;
	return TRUE;
}

const char *
dps_disk_get_finished(DpsDisk *disk)
{
	g_return_val_if_fail(disk != NULL, NULL);

	/* Only that is ever left to a journal. */
	return dps_medium_is_finished(disk->medium)
		       ? "what a run that was cut off had begun was finished first (a default "
			 "subvolume)"
		       : NULL;
}

const char *
dps_disk_get_path(DpsDisk *disk)
{
	g_return_val_if_fail(disk != NULL, NULL);

	return dps_medium_get_path(disk->medium);
}

guint64
dps_disk_get_size(DpsDisk *disk)
{
	g_return_val_if_fail(disk != NULL, 0);

	return dps_medium_get_size(disk->medium);
}

guint
dps_disk_get_sector_size(DpsDisk *disk)
{
	g_return_val_if_fail(disk != NULL, 0);

	return disk->now->gpt ? disk->now->gpt->sector_size : 0;
}

const char *
dps_disk_get_uuid(DpsDisk *disk)
{
	g_return_val_if_fail(disk != NULL, NULL);

	return disk->now->gpt ? disk->now->uuid : NULL;
}

DpsTable
dps_disk_get_table(DpsDisk *disk)
{
	g_return_val_if_fail(disk != NULL, DPS_TABLE_NONE);

	return disk->now->table;
}

/* What to do about a table that cannot be used. */
static const char *
get_advice(DpsTable table)
{
	switch (table) {
	case DPS_TABLE_MBR:
		return "keep root= on the command line, or convert it with `sgdisk --mbrtogpt` "
		       "after a backup";
	case DPS_TABLE_GPT_DAMAGED:
		return "see `dps-tag check`";
	case DPS_TABLE_NONE:
	case DPS_TABLE_GPT:
		break;
	}
	return "name the whole disk or image, and partition it first";
}

gboolean
dps_disk_require_table(DpsDisk *disk, GError **error)
{
	g_return_val_if_fail(disk != NULL, FALSE);

	if (disk->now->table == DPS_TABLE_GPT)
		return TRUE;
	return dps_throw(error,
			 disk->now->table == DPS_TABLE_GPT_DAMAGED ? DPS_ERROR_CORRUPT
								   : DPS_ERROR_NO_TABLE,
			 "%s: no GUID partition table (GPT) that can be used: %s: %s",
			 dps_disk_get_path(disk), disk->now->problem, get_advice(disk->now->table));
}

guint
dps_disk_get_n_partitions(DpsDisk *disk)
{
	g_return_val_if_fail(disk != NULL, 0);

	return disk->now->partitions->len;
}

DpsPartition *
dps_disk_get_partition(DpsDisk *disk, guint index)
{
	g_return_val_if_fail(disk != NULL, NULL);
	g_return_val_if_fail(index < disk->now->partitions->len, NULL);

	return g_ptr_array_index(disk->now->partitions, index);
}

DpsPartition *
dps_disk_get_partition_by_number(DpsDisk *disk, guint number)
{
	g_return_val_if_fail(disk != NULL, NULL);

	for (guint i = 0; i < disk->now->partitions->len; i++) {
		DpsPartition *partition = g_ptr_array_index(disk->now->partitions, i);

		if (partition->number == number)
			return partition;
	}
	return NULL;
}

const DpsGpt *
dps_disk_get_gpt(DpsDisk *disk)
{
	return disk->now->gpt;
}

DpsMedium *
dps_disk_get_medium(DpsDisk *disk)
{
	return disk->medium;
}

const char *
dps_disk_get_table_problem(DpsDisk *disk)
{
	return disk->now->problem;
}
