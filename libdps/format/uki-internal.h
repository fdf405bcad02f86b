/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "format/uki.h"

/* What uki.c, which reads the sections, shares with uki-builder.c, which tells who built them. */

/* While a file is read. */
typedef struct {
	const DpsRegion *region;
	DpsUki *uki;
	DpsUkiDepth depth;
	size_t text_left; /* bytes of text that may still be kept */
	GError *error;	  /* the medium failed */
} DpsUkiReading;

/* Whether a section is there and has a size. */
gboolean dps_uki_is_set(const DpsPeSection *section);

/*
 * (transfer full) (nullable): the text of a section up to its first NUL.  NULs up to the end are
 * padding; anything behind one is not what a menu shows, and bootctl refuses the file.
 */
char *dps_uki_read_text(DpsUkiReading *reading, const DpsPeSection *section, size_t *size);

/* Gives @string, which it takes, to the result, and lends it. */
const char *dps_uki_keep(DpsUkiReading *reading, char *string);

/* Fills in builder, builder_version, sbat and has_bli.  Headers and kernel were read before. */
void dps_uki_read_builder(DpsUkiReading *reading);
