/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "decide/boot.h"

/* The entries of one partition, for dps_boot_read(), which goes from partition to partition. */

/* More programs or entries than this in one directory are no menu: the rest is not read. */
#define DPS_BOOT_MAX_NAMES 512

/* Adds the type #1 entries in @directory: "/loader/entries", or where GRUB has them. */
void dps_boot_read_type1(DpsBoot *self, DpsBootPart *part, const char *directory);

/* Adds the unified kernel images in EFI/Linux, an entry a profile, with the words of their addons.
 */
void dps_boot_read_type2(DpsBoot *self, DpsBootPart *part);

/* Adds the command lines of each grub.cfg below @prefix ("" or a directory). */
void dps_boot_read_grub(DpsBoot *self, DpsBootPart *part, const char *prefix);
