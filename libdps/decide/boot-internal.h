/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "decide/boot.h"

/* The entries of one partition, for dps_boot_read(), which goes from partition to partition. */

/* More programs or entries than this in one directory are no menu: the rest is not read. */
#define DPS_BOOT_MAX_NAMES 512

/*
 * What the texts of all entries and programs may have together: 512 entries of 8 KiB.  The files
 * of a FAT can share their clusters, its directories likewise, and each be as long as an entry may
 * be: without this a disk of 4 MiB would ask for gigabytes.  What is behind it is not read.
 */
#define DPS_BOOT_MAX_TEXT ((size_t)4 << 20)

/* Says that something is there and was not read; from some number on, only that there is more. */
void dps_boot_note_unread(DpsBoot *self, const DpsBootPart *part, const char *format, ...)
	G_GNUC_PRINTF(3, 4);

/* dps_boot_list(), and a note when there are more names, or they cannot be read. */
GPtrArray *dps_boot_list_all(DpsBoot *self, const DpsBootPart *part, const char *path);

/* The same of a program. */
DpsProgram *dps_boot_read_program(DpsBoot *self, DpsBootPart *part, const char *path,
				  DpsUkiDepth depth);

/* Adds the type #1 entries in @directory: "/loader/entries", or where GRUB has them. */
void dps_boot_read_type1(DpsBoot *self, DpsBootPart *part, const char *directory);

/* Adds the unified kernel images in EFI/Linux, an entry a profile, with the words of their addons.
 */
void dps_boot_read_type2(DpsBoot *self, DpsBootPart *part);

/* Adds the command lines of each grub.cfg below @prefix ("" or a directory). */
void dps_boot_read_grub(DpsBoot *self, DpsBootPart *part, const char *prefix);

/* (transfer full): the words that addons add to the command line of a UKI: the global ones first */
char *dps_boot_read_addons(DpsBoot *self, DpsBootPart *part, const DpsProgram *program);

/* Whether an initrd started so finds root without root= and without its type. */
gboolean dps_boot_finds_root(const DpsCmdline *cmdline);
