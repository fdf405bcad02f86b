/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "format/fat-check.h"
#include "target/files.h"

/*
 * An EFI system partition, or an extended boot loader partition on FAT: its files, wherever it is.
 * Mounted, and inside a partition or an image that is not mounted, it gives the same answers.
 */
typedef struct _DpsEsp DpsEsp;

/**
 * dps_esp_open_dir:
 * @path: where it is mounted, or a directory that becomes one
 * @error: %DPS_ERROR_NOT_FOUND, %DPS_ERROR_PERMISSION, %DPS_ERROR_INVALID: no directory
 *
 * Names are compared as FAT does, whatever the directory lies on; links are not followed, for FAT
 * has none.
 *
 * Returns: (transfer full): the ESP, %NULL on failure
 */
DpsEsp *dps_esp_open_dir(const char *path, GError **error);

/**
 * dps_esp_open_region:
 * @region: the bytes of the partition; what it borrows must live longer
 * @error: %DPS_ERROR_UNSUPPORTED: no FAT; %DPS_ERROR_CORRUPT; %DPS_ERROR_IO
 *
 * Returns: (transfer full): the ESP, %NULL on failure
 */
DpsEsp *dps_esp_open_region(const DpsRegion *region, GError **error);

void dps_esp_free(DpsEsp *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DpsEsp, dps_esp_free)

/* (transfer none): what is in it */
DpsFiles *dps_esp_get_files(DpsEsp *self);

/* (transfer none) (nullable): the FAT itself; %NULL for a directory */
DpsFat *dps_esp_get_fat(DpsEsp *self);

/* Whether it is a file system: what is free in a directory inside of another says nothing of the
 * partition. */
gboolean dps_esp_is_whole(DpsEsp *self);
