/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* A label and a line of options for each loader: far below. */
#define DPS_SHIM_CSV_MAX_SIZE ((size_t)64 * 1024)

/*
 * shim's BOOT<ARCH>.CSV: UTF-16LE lines "file,label,options,comment" that fallback makes boot
 * entries of.
 */
typedef struct {
	char *file;    /* beside the CSV file */
	char *label;   /* what firmware shows */
	char *options; /* may be "" */
} DpsShimCsvLine;

/**
 * dps_shim_csv_parse:
 * @bytes: a CSV file
 * @size: bytes, at most %DPS_SHIM_CSV_MAX_SIZE are looked at
 * @error: %DPS_ERROR_CORRUPT: not UTF-16LE, or a line without file and label
 *
 * Returns: (transfer full) (element-type DpsShimCsvLine): the lines, at least one; %NULL on failure
 */
GPtrArray *dps_shim_csv_parse(const void *bytes, size_t size, GError **error);
