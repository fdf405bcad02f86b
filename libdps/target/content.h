/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include "ground/region.h"

/* What kind of thing a partition holds: what may and must not be tagged depends on this alone. */
typedef enum {
	DPS_CONTENT_NONE = 0,	 /* nothing recognised */
	DPS_CONTENT_FILE_SYSTEM, /* one that this system can mount by itself */
	DPS_CONTENT_SWAP,
	DPS_CONTENT_LUKS,
	DPS_CONTENT_MEMBER,	/* of LVM, RAID, ZFS, bcache: never gets a DPS type */
	DPS_CONTENT_VERITY,	/* dm-verity hashes */
	DPS_CONTENT_AMBIGUOUS,	/* several signatures: libblkid does not choose */
	DPS_CONTENT_UNREADABLE, /* the medium gives it not: it may be any of the above */
} DpsContentKind;

/* A value.  Strings are valid UTF-8. */
typedef struct {
	DpsContentKind kind;
	char *type;    /* as blkid names it: "btrfs", "crypto_LUKS"; NULL for the kinds without */
	char *uuid;    /* NULL when it has none */
	char *label;   /* NULL when it has none */
	char *problem; /* UNREADABLE: why, "Input/output error"; else NULL */
} DpsContent;

/**
 * dps_content_probe:
 * @region: the bytes of one partition, over a descriptor
 * @out: (out): set on success; clear it with dps_content_clear()
 * @error: %DPS_ERROR_IO
 *
 * libblkid, with a filter on the signatures that matter here (twelve times faster than without).
 * A sector that the medium does not give is a fact about this partition, and no error: the others
 * can be read.
 *
 * Returns: %TRUE on success, also when nothing was recognised
 */
gboolean dps_content_probe(const DpsRegion *region, DpsContent *out, GError **error);
void dps_content_clear(DpsContent *content);
