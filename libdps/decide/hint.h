/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "target/disk.h"

/**
 * dps_hint_of_disk:
 * @disk: what the hint is about
 * @hint: what to do; what is between backquotes in it is a command, with "{disk}" in it
 *
 * What sgdisk, sfdisk and parted would do to an image file with sectors of 4096 bytes is led to a
 * loop device; at a table with entries of another size than theirs none of them is let.
 *
 * Returns: (transfer full): the same with the path of the disk, quoted for a shell: it can be
 * pasted
 */
char *dps_hint_of_disk(DpsDisk *disk, const char *hint);
