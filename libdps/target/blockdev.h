/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * What a block device stands on, as sysfs tells it: never by the name of a node.  A device is
 * followed down through device-mapper and loop to the partition of a disk, or to several of them.
 */

/* Where the running system's files are: the real ones, or a test's made-up ones. */
typedef struct {
	const char *sysfs;   /* "/sys" */
	const char *proc;    /* "/proc" */
	const char *dev;     /* "/dev" */
	gboolean is_made_up; /* nodes under dev are plain files that hold their number: "8:1" */
} DpsSystem;

extern const DpsSystem dps_system; /* the running one */

/* What lies between a device and the partition that it stands on; several may. */
typedef enum {
	DPS_LAYER_NONE = 0,
	DPS_LAYER_LUKS = 1 << 0,
	DPS_LAYER_LVM = 1 << 1,
	DPS_LAYER_RAID = 1 << 2, /* md, dm-raid */
	DPS_LAYER_VERITY = 1 << 3,
	DPS_LAYER_MULTIPATH = 1 << 4, /* the disk itself: its partitions are dm devices (kpartx) */
	DPS_LAYER_OTHER = 1 << 5,     /* a device-mapper target that is none of these */
} DpsLayers;

/* One partition, or one whole disk, that a device stands on.  A value. */
typedef struct {
	dev_t disk;	  /* of the whole disk */
	char *disk_node;  /* "/dev/sda"; NULL when the device has no node */
	dev_t partition;  /* 0: the whole disk is used */
	guint number;	  /* of the partition; 0: the whole disk */
	DpsLayers layers; /* between the device asked for and this */
	char *layer_name; /* for messages: the topmost layer: "LVM volume fedora-root"; or NULL */
	char *file; /* a loop device over a part of a file (osbuild's partitions): that file; or
		       NULL */
	uint64_t file_offset; /* bytes: where in file the device starts */
} DpsBacking;

void dps_backing_free(DpsBacking *backing);

/**
 * dps_blockdev_resolve:
 * @system: where sysfs is
 * @device: the number of a block device
 * @error: %DPS_ERROR_NOT_FOUND: sysfs has no such device; %DPS_ERROR_CORRUPT: a loop
 *
 * Returns: (transfer full) (element-type DpsBacking): what @device stands on: one for a partition,
 *   LUKS on one, or a disk; several for LVM, RAID and the like over several; %NULL on failure
 */
GPtrArray *dps_blockdev_resolve(const DpsSystem *system, dev_t device, GError **error);

/**
 * dps_blockdev_find_node:
 * @system: where nodes are
 * @path: of a node, as the system names it ("/dev/sda1", links are followed); elsewhere is none
 * @device: (out): its number; set only on success
 *
 * Returns: whether @path is a block device
 */
gboolean dps_blockdev_find_node(const DpsSystem *system, const char *path, dev_t *device);

/* Returns: (transfer full) (nullable): the node of a device, NULL when it has none that is right */
char *dps_blockdev_get_node(const DpsSystem *system, dev_t device);

/* Whether a device is a zram: memory, not a disk. */
gboolean dps_blockdev_is_zram(const DpsSystem *system, dev_t device);

/* Returns: (transfer full) (nullable): the file that a loop device is over all of, else NULL */
char *dps_blockdev_get_whole_file(const DpsSystem *system, dev_t device);

/**
 * dps_blockdev_get_partition:
 * @system: where sysfs is
 * @disk: the number of a whole disk
 * @number: of a partition
 * @device: (out): its device number
 * @node: (out) (transfer full): its node
 *
 * Also the partitions of a multipath disk, which are devices of their own.
 *
 * Returns: whether the kernel has a device for that partition
 */
gboolean dps_blockdev_get_partition(const DpsSystem *system, dev_t disk, guint number,
				    dev_t *device, char **node);
