/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dps/types.h>
#include <stdint.h>

/**
 * dps_arch_from_elf:
 * @class: e_ident[EI_CLASS]: 1 for 32 bits, 2 for 64
 * @data: e_ident[EI_DATA]: 1 for little-endian, 2 for big
 * @machine: e_machine
 *
 * Returns: the architecture, %DPS_ARCH_NONE when it is none of the specification
 */
DpsArch dps_arch_from_elf(uint8_t class, uint8_t data, uint16_t machine);

/* Returns: the architecture of a PE image's Machine, %DPS_ARCH_NONE when it is none */
DpsArch dps_arch_from_pe_machine(uint16_t machine);

/* Returns: the architecture that systemd takes second on machines of @arch, %DPS_ARCH_NONE: none */
DpsArch dps_arch_get_secondary(DpsArch arch);
