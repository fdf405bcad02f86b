/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/disk.h"
#include "ground/error.h"
#include "ground/types.h"
#include "target/blockdev.h"
#include "target/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <libfdisk/libfdisk.h>
#include <string.h>
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

/* --- What libfdisk says of the same table -------------------------------------------------------
 */

typedef struct fdisk_context FdiskContext;
typedef struct fdisk_table FdiskTable;
typedef struct fdisk_iter FdiskIter;

/*
 * No fdisk_deassign_device(): it flushes the descriptor, also one that was only read from, and
 * would have a look at an image wait for all that somebody else wrote to it.
 */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FdiskContext, fdisk_unref_context)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FdiskTable, fdisk_unref_table)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FdiskIter, fdisk_free_iter)

/* Whether libfdisk has the same for this partition. */
static gboolean
is_same_entry(const DpsGpt *gpt, struct fdisk_partition *other)
{
	const DpsGptEntry *entry =
		dps_gpt_get_entry(gpt, (uint32_t)fdisk_partition_get_partno(other) + 1);
	struct fdisk_parttype *type = fdisk_partition_get_type(other);
	const char *type_text = type ? fdisk_parttype_get_string(type) : NULL;
	const char *uuid_text = fdisk_partition_get_uuid(other);
	DpsGuid type_guid, guid;

	return entry && type_text && uuid_text &&
	       dps_guid_from_string(type_text, &type_guid, NULL) &&
	       dps_guid_from_string(uuid_text, &guid, NULL) &&
	       dps_guid_equal(&type_guid, &entry->type_guid) &&
	       dps_guid_equal(&guid, &entry->guid) &&
	       fdisk_partition_get_start(other) == entry->first_lba &&
	       fdisk_partition_get_end(other) == entry->last_lba;
}

/*
 * A second reader of the same bytes, which the rest of the system goes by.  It gets the descriptor
 * only after format/gpt found the table sound: libfdisk can be made to allocate gigabytes.  Without
 * a callback for questions it asks, prints and writes nothing.  It does not get one whose other
 * copy asks for more than a table may have.
 *
 * Returns: (transfer full) (nullable): where the two differ, %NULL when they agree
 */
static char *
compare_with_libfdisk(DpsMedium *medium, const DpsGpt *gpt)
{
	g_autoptr(FdiskContext) context = fdisk_new_context();
	g_autoptr(FdiskTable) table = NULL;
	g_autoptr(FdiskIter) iter = fdisk_new_iter(FDISK_ITER_FORWARD);
	struct fdisk_partition *partition;
	DpsRegion region = dps_medium_get_region(medium);
	guint n = 0;

	/* Then ours is the only reading; the copy that is bad is reported as such. */
	if (!dps_gpt_is_safe_for_others(&region, gpt))
		return NULL;
	if (!context || !iter)
		return g_strdup("libfdisk: out of memory");

	/* List only: no search for other file systems in the way of the table. */
	fdisk_enable_listonly(context, 1);
	if (!dps_medium_is_device(medium))
		fdisk_save_user_sector_size(context, gpt->sector_size, gpt->sector_size);
	if (fdisk_assign_device_by_fd(context, dps_medium_get_fd(medium),
				      dps_medium_get_path(medium), 1) != 0 ||
	    !fdisk_is_label(context, GPT))
		return g_strdup("libfdisk finds no GPT in it");
	if (fdisk_get_partitions(context, &table) != 0)
		return g_strdup("libfdisk cannot read its partitions");

	while (fdisk_table_next_partition(table, iter, &partition) == 0) {
		if (!fdisk_partition_is_used(partition))
			continue;
		if (!is_same_entry(gpt, partition))
			return g_strdup_printf("libfdisk reads partition %zu differently",
					       fdisk_partition_get_partno(partition) + 1);
		n++;
	}
	if (n != gpt->entries->len)
		return g_strdup_printf("libfdisk finds %u partitions, and there are %u", n,
				       gpt->entries->len);
	return NULL;
}

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

	reading->problem = compare_with_libfdisk(medium, reading->gpt);
	if (reading->problem) {
		/* Our reads go on after a signal or a short read; libfdisk's give up: ask it again.
		 */
		g_free(reading->problem);
		reading->problem = compare_with_libfdisk(medium, reading->gpt);
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

DpsDisk *
dps_disk_open_with_sector_size(const char *path, DpsOpenFlags flags, guint sector_size,
			       GError **error)
{
	g_autoptr(DpsDisk) disk = NULL;
	guint own;

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

	/* What a run that was cut off left to write comes first. */
	if (dps_medium_is_writable(disk->medium) && !dps_journal_finish(disk->medium, NULL, error))
		return NULL;

	own = dps_medium_get_sector_size(disk->medium);
	if (own != 0 && own != 512 && own != 4096)
		return dps_throw_null(
			error, DPS_ERROR_UNSUPPORTED,
			"%s: sectors of %u bytes: only 512 and 4096 are known to work", path, own);
	if (own != 0 && sector_size != 0 && own != sector_size)
		return dps_throw_null(error, DPS_ERROR_INVALID,
				      "%s: sector size %u: the device has sectors of %u bytes",
				      path, sector_size, own);

	disk->sector_size = own ? own : sector_size;
	disk->now = read_disk(disk->medium, disk->sector_size, error);
	if (!disk->now)
		return NULL;

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

static DpsPartition *
get_partition_by_device(DpsDisk *disk, dev_t device)
{
	for (guint i = 0; i < disk->now->partitions->len; i++) {
		DpsPartition *partition = g_ptr_array_index(disk->now->partitions, i);

		if (partition->node && partition->device == device)
			return partition;
	}
	return NULL;
}

/* --- Finding one by what people type ------------------------------------------------------------
 */

typedef const char *(*GetValue)(DpsPartition *partition);

static const struct {
	const char *prefix;
	GetValue get_value;
	gboolean fold_case; /* UUIDs; also a FAT's, "AB12-34CD" */
} tags[] = {
	{ "LABEL=", dps_partition_get_content_label, FALSE },
	{ "UUID=", dps_partition_get_content_uuid, TRUE },
	{ "PARTLABEL=", dps_partition_get_label, FALSE },
	{ "PARTUUID=", dps_partition_get_uuid, TRUE },
};

/* fstab and shells leave quotes around a value. */
static char *
unquote(const char *value)
{
	size_t size = strlen(value);

	if (size >= 2 && (value[0] == '"' || value[0] == '\'') && value[size - 1] == value[0])
		return g_strndup(value + 1, size - 2);
	return g_strdup(value);
}

static gboolean
is_same_value(const char *has, const char *value, gboolean fold_case)
{
	return has && (fold_case ? g_ascii_strcasecmp(has, value) : strcmp(has, value)) == 0;
}

gboolean
dps_partition_has_tag(DpsPartition *partition, const char *tag)
{
	for (guint i = 0; i < G_N_ELEMENTS(tags); i++) {
		g_autofree char *value = NULL;

		if (!g_str_has_prefix(tag, tags[i].prefix))
			continue;
		value = unquote(tag + strlen(tags[i].prefix));
		return is_same_value(tags[i].get_value(partition), value, tags[i].fold_case);
	}
	return FALSE;
}

static DpsPartition *
find_by_value(DpsDisk *disk, const char *spec, GetValue get_value, const char *value,
	      gboolean fold_case, GError **error)
{
	g_autoptr(GString) numbers = g_string_new(NULL);
	DpsPartition *found = NULL;
	guint n = 0;

	for (guint i = 0; i < disk->now->partitions->len; i++) {
		DpsPartition *partition = g_ptr_array_index(disk->now->partitions, i);

		if (!is_same_value(get_value(partition), value, fold_case))
			continue;
		found = partition;
		n++;
		g_string_append_printf(numbers, "%s%u", numbers->len > 0 ? ", " : "",
				       partition->number);
	}
	if (n > 1)
		return dps_throw_null(error, DPS_ERROR_AMBIGUOUS,
				      "%s: %s: partitions %s have it: give a number",
				      dps_disk_get_path(disk), spec, numbers->str);
	if (!found)
		return dps_throw_null(error, DPS_ERROR_NOT_FOUND,
				      "%s: %s: no partition has it: see `dps-tag show`",
				      dps_disk_get_path(disk), spec);
	return found;
}

static DpsPartition *
find_by_number(DpsDisk *disk, const char *spec, GError **error)
{
	guint64 number;
	DpsPartition *partition;

	if (!g_ascii_string_to_unsigned(spec, 10, 1, G_MAXUINT, &number, NULL))
		return dps_throw_null(error, DPS_ERROR_INVALID,
				      "%s: not a number of a partition: they count from 1", spec);
	partition = dps_disk_get_partition_by_number(disk, (guint)number);
	if (!partition) {
		dps_throw_partition(
			error, (guint)number, DPS_ERROR_NOT_FOUND,
			"%s: partition %s: the table has no such partition: see `dps-tag show`",
			dps_disk_get_path(disk), spec);
		return NULL;
	}
	return partition;
}

static DpsPartition *
find_by_node(DpsDisk *disk, const char *spec, GError **error)
{
	DpsPartition *partition;
	struct stat st;

	if (stat(spec, &st) < 0)
		return dps_throw_errno_null(error, errno, "%s", spec);
	if (!S_ISBLK(st.st_mode))
		return dps_throw_null(error, DPS_ERROR_INVALID, "%s: not a block device", spec);

	partition = get_partition_by_device(disk, st.st_rdev);
	if (!partition)
		return dps_throw_null(error, DPS_ERROR_NOT_FOUND, "%s: not a partition of %s", spec,
				      dps_disk_get_path(disk));
	return partition;
}

DpsPartition *
dps_disk_find_partition(DpsDisk *disk, const char *spec, GError **error)
{
	g_return_val_if_fail(disk != NULL, NULL);
	g_return_val_if_fail(spec != NULL, NULL);
	g_return_val_if_fail(error == NULL || *error == NULL, NULL);

	if (!dps_disk_require_table(disk, error))
		return NULL;

	for (guint i = 0; i < G_N_ELEMENTS(tags); i++) {
		g_autofree char *value = NULL;

		if (!g_str_has_prefix(spec, tags[i].prefix))
			continue;
		value = unquote(spec + strlen(tags[i].prefix));
		if (*value == '\0')
			return dps_throw_null(error, DPS_ERROR_INVALID, "%s: no value", spec);
		return find_by_value(disk, spec, tags[i].get_value, value, tags[i].fold_case,
				     error);
	}
	if (g_ascii_isdigit(spec[0]))
		return find_by_number(disk, spec, error);
	if (strchr(spec, '/'))
		return find_by_node(disk, spec, error);

	return dps_throw_null(error, DPS_ERROR_INVALID,
			      "%s: not a partition: give its number, its node, or LABEL=, UUID=, "
			      "PARTLABEL= or PARTUUID= with a value",
			      spec);
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

gboolean
dps_disk_is_at(DpsDisk *disk, const char *path)
{
	struct stat one, other;

	if (fstat(dps_medium_get_fd(disk->medium), &one) < 0 || stat(path, &other) < 0)
		return FALSE;
	/* A device has many nodes, and one number. */
	if (S_ISBLK(one.st_mode))
		return S_ISBLK(other.st_mode) && one.st_rdev == other.st_rdev;
	return one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

/* Whether the disk is the file at @path, or a loop device over all of it. */
static gboolean
is_over_file(DpsMedium *medium, const char *path)
{
	g_autofree char *file = NULL;
	struct stat one, other;

	if (dps_medium_is_device(medium)) {
		file = dps_blockdev_get_whole_file(&dps_system, dps_medium_get_device(medium));
		if (!file || stat(file, &one) < 0)
			return FALSE;
	} else if (fstat(dps_medium_get_fd(medium), &one) < 0) {
		return FALSE;
	}
	return stat(path, &other) == 0 && one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

gboolean
dps_disk_find_backing(DpsDisk *disk, const DpsBacking *backing, DpsPartition **partition)
{
	*partition = NULL;

	if (dps_medium_is_device(disk->medium) &&
	    backing->disk == dps_medium_get_device(disk->medium)) {
		if (backing->number != 0)
			*partition = dps_disk_get_partition_by_number(disk, backing->number);
		return TRUE;
	}

	/* The same file twice: all of it as the disk, and a part of it as a partition (osbuild). */
	if (!backing->file || !is_over_file(disk->medium, backing->file))
		return FALSE;

	for (guint i = 0; i < disk->now->partitions->len; i++) {
		DpsPartition *candidate = g_ptr_array_index(disk->now->partitions, i);

		if (candidate->start == backing->file_offset)
			*partition = candidate;
	}
	return TRUE;
}
