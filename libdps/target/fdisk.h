/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "format/gpt.h"
#include "target/medium.h"

/*
 * libfdisk as a second reader of the same bytes, which the rest of the system goes by.  It gets the
 * descriptor only after format/gpt found the table sound: it can be made to allocate gigabytes.
 * Without a callback for questions it asks, prints and writes nothing.  It does not get a table
 * whose other copy asks for more than a table may have.
 *
 * Returns: (transfer full) (nullable): where the two differ, one line; %NULL when they agree
 */
char *dps_fdisk_compare(DpsMedium *medium, const DpsGpt *gpt);
