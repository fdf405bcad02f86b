/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/disk.h"
#include "ground/error.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

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

	for (guint i = 0; i < dps_disk_get_n_partitions(disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(disk, i);

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
get_partition_by_device(DpsDisk *disk, dev_t device)
{
	for (guint i = 0; i < dps_disk_get_n_partitions(disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(disk, i);

		if (partition->node && partition->device == device)
			return partition;
	}
	return NULL;
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

gboolean
dps_disk_is_at(DpsDisk *disk, const char *path)
{
	struct stat one, other;

	if (fstat(dps_medium_get_fd(dps_disk_get_medium(disk)), &one) < 0 || stat(path, &other) < 0)
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

	if (dps_medium_is_device(dps_disk_get_medium(disk)) &&
	    backing->disk == dps_medium_get_device(dps_disk_get_medium(disk))) {
		if (backing->number != 0)
			*partition = dps_disk_get_partition_by_number(disk, backing->number);
		return TRUE;
	}

	/* The same file twice: all of it as the disk, and a part of it as a partition (osbuild). */
	if (!backing->file || !is_over_file(dps_disk_get_medium(disk), backing->file))
		return FALSE;

	for (guint i = 0; i < dps_disk_get_n_partitions(disk); i++) {
		DpsPartition *candidate = dps_disk_get_partition(disk, i);

		if (candidate->start == backing->file_offset)
			*partition = candidate;
	}
	return TRUE;
}
