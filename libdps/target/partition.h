/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dps/disk.h>
#include "ground/guid.h"
#include "target/content.h"
#include "target/subvolume.h"

/* One used entry of the table, and what it holds: a value, made by target/disk. */
struct _DpsPartition {
	guint number;
	char *node;	      /* NULL: it has no device node */
	dev_t device;	      /* of node; 0 without one */
	uint64_t start, size; /* bytes, from the start of the disk */
	DpsGuid type_guid, guid;
	char type_uuid[DPS_GUID_TEXT_SIZE], uuid[DPS_GUID_TEXT_SIZE];
	const DpsType *type; /* NULL: a type that the specification does not have */
	char *label;	     /* NULL when it is empty */
	uint64_t attributes;
	DpsContent content;
	int fd;		     /* its own node, opened read-only; -1: read through the disk */
	DpsRegion region;    /* its bytes, over fd or over the disk */
	DpsBtrfs *btrfs;     /* of a btrfs that could be read, else NULL */
	GError *btrfs_error; /* why it could not be read, else NULL */
};

void dps_partition_free(DpsPartition *partition);

/* Whether it holds what may never be given a type of the DPS: LVM, RAID, multi-device btrfs. */
gboolean dps_partition_is_member(DpsPartition *partition);

/* Whether it holds GRUB's core image or PowerPC's boot program and no file system. */
gboolean dps_partition_is_firmware_area(DpsPartition *partition);

/* Whether the medium did not give what it holds: then nothing can be said of that. */
gboolean dps_partition_is_unreadable(DpsPartition *partition);

/* What it holds, for messages: "btrfs", "LVM2_member", "nothing that is known". */
const char *dps_partition_describe_content(DpsPartition *partition);
