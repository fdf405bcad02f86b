/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/fdisk.h"

#include <libfdisk/libfdisk.h>

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

char *
dps_fdisk_compare(DpsMedium *medium, const DpsGpt *gpt)
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
