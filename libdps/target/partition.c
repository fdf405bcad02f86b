/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/partition.h"

#include <string.h>
#include <unistd.h>

void
dps_partition_free(DpsPartition *partition)
{
	if (!partition)
		return;

	/* What reads through the descriptor goes before it. */
	g_clear_pointer(&partition->btrfs, dps_btrfs_free);
	g_clear_error(&partition->btrfs_error);
	if (partition->fd >= 0)
		close(partition->fd);
	dps_content_clear(&partition->content);
	g_free(partition->node);
	g_free(partition->label);
	g_free(partition);
}

gboolean
dps_partition_is_member(DpsPartition *partition)
{
	if (partition->content.kind == DPS_CONTENT_MEMBER)
		return TRUE;

	return partition->btrfs && dps_btrfs_get_n_devices(partition->btrfs) > 1;
}

gboolean
dps_partition_is_unreadable(DpsPartition *partition)
{
	return partition->content.kind == DPS_CONTENT_UNREADABLE;
}

static gboolean
contains(const uint8_t *bytes, size_t size, const char *text)
{
	return memmem(bytes, size, text, strlen(text)) != NULL;
}

gboolean
dps_partition_is_firmware_area(DpsPartition *partition)
{
	/* ELF of 32 bits, big-endian, for PowerPC (machine 20): what PReP holds. */
	static const uint8_t elf[] = { 0x7F, 'E', 'L', 'F', 1, 2 };
	uint8_t head[512];

	if (partition->content.kind != DPS_CONTENT_NONE ||
	    !dps_region_read(&partition->region, 0, head, sizeof(head), NULL))
		return FALSE;

	return (memcmp(head, elf, sizeof(elf)) == 0 && head[18] == 0 && head[19] == 20) ||
	       (contains(head, sizeof(head), "loading") && contains(head, sizeof(head), "Geom") &&
		contains(head, sizeof(head), " Error"));
}

const char *
dps_partition_describe_content(DpsPartition *partition)
{
	switch (partition->content.kind) {
	case DPS_CONTENT_NONE:
		return "nothing that is known";
	case DPS_CONTENT_AMBIGUOUS:
		return "signatures of several file systems";
	case DPS_CONTENT_UNREADABLE:
		return "what cannot be read";
	case DPS_CONTENT_FILE_SYSTEM:
	case DPS_CONTENT_SWAP:
	case DPS_CONTENT_LUKS:
	case DPS_CONTENT_MEMBER:
	case DPS_CONTENT_VERITY:
		break;
	}
	return partition->content.type;
}

guint
dps_partition_get_number(DpsPartition *partition)
{
	g_return_val_if_fail(partition != NULL, 0);

	return partition->number;
}

const char *
dps_partition_get_node(DpsPartition *partition)
{
	g_return_val_if_fail(partition != NULL, NULL);

	return partition->node;
}

guint64
dps_partition_get_start(DpsPartition *partition)
{
	g_return_val_if_fail(partition != NULL, 0);

	return partition->start;
}

guint64
dps_partition_get_size(DpsPartition *partition)
{
	g_return_val_if_fail(partition != NULL, 0);

	return partition->size;
}

const char *
dps_partition_get_type_uuid(DpsPartition *partition)
{
	g_return_val_if_fail(partition != NULL, NULL);

	return partition->type_uuid;
}

const DpsType *
dps_partition_get_type(DpsPartition *partition)
{
	g_return_val_if_fail(partition != NULL, NULL);

	return partition->type;
}

const char *
dps_partition_get_uuid(DpsPartition *partition)
{
	g_return_val_if_fail(partition != NULL, NULL);

	return partition->uuid;
}

const char *
dps_partition_get_label(DpsPartition *partition)
{
	g_return_val_if_fail(partition != NULL, NULL);

	return partition->label;
}

guint64
dps_partition_get_attributes(DpsPartition *partition)
{
	g_return_val_if_fail(partition != NULL, 0);

	return partition->attributes;
}

const char *
dps_partition_get_content_type(DpsPartition *partition)
{
	g_return_val_if_fail(partition != NULL, NULL);

	return partition->content.type;
}

const char *
dps_partition_get_content_uuid(DpsPartition *partition)
{
	g_return_val_if_fail(partition != NULL, NULL);

	return partition->content.uuid;
}

const char *
dps_partition_get_content_label(DpsPartition *partition)
{
	g_return_val_if_fail(partition != NULL, NULL);

	return partition->content.label;
}

const char *
dps_partition_get_content_problem(DpsPartition *partition)
{
	g_return_val_if_fail(partition != NULL, NULL);

	return partition->content.problem;
}

const DpsSubvolume *
dps_partition_get_default_subvolume(DpsPartition *partition)
{
	g_return_val_if_fail(partition != NULL, NULL);

	if (!partition->btrfs)
		return NULL;
	return dps_btrfs_find_id(partition->btrfs, dps_btrfs_get_default_id(partition->btrfs));
}

GPtrArray *
dps_partition_get_subvolumes(DpsPartition *partition)
{
	g_return_val_if_fail(partition != NULL, NULL);

	return partition->btrfs ? dps_btrfs_get_subvolumes(partition->btrfs) : NULL;
}
