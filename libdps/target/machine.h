/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dps/types.h>
#include "target/files.h"

/**
 * dps_machine_find_arch:
 * @files: the files of a tree
 * @source: (out) (transfer full) (nullable): the file that says so, as the tree sees it
 *
 * The architecture of a tree: the ELF header of a program or of libc under usr/{bin,sbin,lib*},
 * else `ARCHITECTURE=` of its os-release.
 *
 * Returns: the architecture, %DPS_ARCH_NONE when nothing says it, or libraries of several are
 *   there and no program
 */
DpsArch dps_machine_find_arch(DpsFiles *files, char **source);
