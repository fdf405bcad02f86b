/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "target/blockdev.h"

/*
 * The text files that say what is mounted where: the kernel's mountinfo and swaps, and the system's
 * fstab.  Read by libmount, and handed on as plain values, so that nobody else needs to know it.
 */

/* A line of mountinfo.  Strings are never NULL. */
typedef struct {
	int id, parent;
	char *target; /* where, as the process sees it */
	char *root;   /* what of the file system is mounted there: "/" for all of it */
	char *fs_type;
	char *source;
	char *options;	 /* of the mount and of the file system, joined by a comma */
	char *subvolume; /* the value of subvol=; or NULL */
	dev_t device;
} DpsMountLine;

/* A line of the tree's fstab. */
typedef struct {
	char *mount_point; /* "none" and "swap" are given as NULL */
	char *spec; /* "UUID=…", "LABEL=…", "PARTUUID=…", "PARTLABEL=…", "/dev/…", unquoted */
	char *fs_type;
	char *options;
	char *subvolume;       /* btrfs: the value of subvol=, without a leading slash; or NULL */
	uint64_t subvolume_id; /* btrfs: the value of subvolid=; 0: none */
} DpsFstabEntry;

/* A line of the tree's crypttab. */
typedef struct {
	char *name; /* the volume's: /dev/mapper/NAME */
	char *spec; /* "UUID=…", "/dev/…": what is opened */
} DpsCrypttabEntry;

/* A swap area in use on the running system. */
typedef struct {
	char *path;
	GPtrArray *backings; /* (element-type DpsBacking): empty for files */
	gboolean is_zram, is_file;
} DpsSwap;

/*
 * What a process ("self", "1") has mounted, in the kernel's order.
 *
 * Returns: (transfer full) (nullable) (element-type DpsMountLine): at least one, %NULL when the
 *   file cannot be read
 */
GPtrArray *dps_mountinfo_read(const DpsSystem *system, const char *process);

GPtrArray *dps_fstab_new(void); /* (element-type DpsFstabEntry): an empty one */

/**
 * dps_fstab_parse:
 * @text: an fstab
 * @size: bytes
 * @subject: its path, for messages
 * @error: %DPS_ERROR_CORRUPT: no text
 *
 * Lines that cannot be read are left out, as mount(8) does.
 *
 * Returns: (transfer full) (element-type DpsFstabEntry): in order, %NULL on failure
 */
GPtrArray *dps_fstab_parse(char *text, size_t size, const char *subject, GError **error);

/* Returns: (transfer full): "UUID=X" for udev's link "/dev/disk/by-uuid/X", which says the same,
 * and likewise for labels and partitions; any other spec as it is */
char *dps_fstab_normalise_spec(const char *spec);

/**
 * dps_crypttab_parse:
 * @text: a crypttab; it is taken apart
 * @subject: its path, for messages
 * @error: %DPS_ERROR_CORRUPT: more lines than any machine has volumes
 *
 * Comments, and lines that have not two fields, are left out; what stands behind the fourth is not
 * looked at, as systemd does it (cryptsetup-generator.c, add_crypttab_devices(); crypttab(5)).
 *
 * Returns: (transfer full) (element-type DpsCrypttabEntry): in order, %NULL on failure
 */
GPtrArray *dps_crypttab_parse(char *text, const char *subject, GError **error);

/* Returns: (transfer full) (element-type DpsSwap): empty also when the file cannot be read */
GPtrArray *dps_swaps_read(const DpsSystem *system);
