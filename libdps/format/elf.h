/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dps/types.h>
#include "ground/region.h"

/**
 * dps_elf_read_arch:
 * @region: the bytes of a program or a shared library
 * @out: (out): its architecture; set only on success
 * @error: %DPS_ERROR_CORRUPT: it is no ELF file; %DPS_ERROR_UNSUPPORTED: one, but no program or
 *   library (an object file, a core), or for a machine that the specification does not know
 *
 * Source: System V ABI, "ELF Header".
 *
 * Returns: %TRUE on success
 */
gboolean dps_elf_read_arch(const DpsRegion *region, DpsArch *out, GError **error);
