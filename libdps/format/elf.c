/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/elf.h"
#include "ground/arch.h"
#include "ground/bytes.h"
#include "ground/error.h"

#include <elf.h>
#include <string.h>

/* What both classes have alike: e_ident (16 bytes), e_type (2), e_machine (2). */
#define TYPE_OFFSET 16
#define MACHINE_OFFSET 18
#define COMMON_SIZE 20

/* In the byte order of the file, which e_ident names. */
static uint16_t
load16(const uint8_t *p, uint8_t data)
{
	return data == ELFDATA2MSB ? (uint16_t)(p[0] << 8 | p[1]) : dps_load_le16(p);
}

gboolean
dps_elf_read_arch(const DpsRegion *region, DpsArch *out, GError **error)
{
	uint8_t header[COMMON_SIZE];
	uint16_t type, machine;
	DpsArch arch;

	if (!dps_region_read(region, 0, header, sizeof(header), error))
		return FALSE;

	if (memcmp(header, ELFMAG, SELFMAG) != 0)
		return dps_throw(error, DPS_ERROR_CORRUPT, "ELF header: no 7f 45 4c 46 signature");
	if (header[EI_CLASS] != ELFCLASS32 && header[EI_CLASS] != ELFCLASS64)
		return dps_throw(error, DPS_ERROR_CORRUPT, "ELF header: class %u",
				 header[EI_CLASS]);
	if (header[EI_DATA] != ELFDATA2LSB && header[EI_DATA] != ELFDATA2MSB)
		return dps_throw(error, DPS_ERROR_CORRUPT, "ELF header: byte order %u",
				 header[EI_DATA]);

	type = load16(header + TYPE_OFFSET, header[EI_DATA]);
	if (type != ET_EXEC && type != ET_DYN)
		return dps_throw(error, DPS_ERROR_UNSUPPORTED,
				 "ELF header: type %u: neither a program nor a library", type);

	machine = load16(header + MACHINE_OFFSET, header[EI_DATA]);
	arch = dps_arch_from_elf(header[EI_CLASS], header[EI_DATA], machine);
	if (arch == DPS_ARCH_NONE)
		return dps_throw(error, DPS_ERROR_UNSUPPORTED,
				 "ELF header: machine %u: the specification has no type for it",
				 machine);

	*out = arch;
	return TRUE;
}
