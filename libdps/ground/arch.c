/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ground/arch.h"

#include <elf.h>
#include <sys/utsname.h>

/* Not in every elf.h: the numbers of the generic ABI's register. */
#ifndef EM_LOONGARCH
#define EM_LOONGARCH 258
#endif
#define EM_ARC_V2 195
#define EM_TILE_GX 191

#define MAX_ALIASES 12
#define ANY 0 /* an ELF class or byte order that does not tell architectures apart */

/*
 * One row an architecture: every fact that depends on it alone, so that readers, tables and
 * aliases cannot disagree.
 *
 * ELF: elf.h.  PE Machine and file suffix: UEFI 2.10 table 3.5 and section 2.1.1, and the PE
 * format's list of machine types; 0 and NULL where UEFI has no binding.  Aliases: `uname -m` of
 * the kernel, RPM's rpmrc, dpkg's cputable, Go's GOARCH, UEFI's suffixes.
 */
/* clang-format off */
static const struct {
	const char *name;	  /* as the table of types has it */
	const char *systemd_name; /* as systemd's type names have it */
	uint8_t elf_class, elf_data;
	uint16_t elf_machine;
	uint16_t pe_machine;
	const char *efi_suffix;
	const char *aliases[MAX_ALIASES];
} archs[] = {
	[DPS_ARCH_ALPHA] = { "alpha", "alpha", ANY, ANY, 0x9026, 0, NULL,
		{ "alphaev4", "alphaev5", "alphaev56", "alphaev6", "alphaev67", "alphapca56" } },
	[DPS_ARCH_ARC] = { "arc", "arc", ANY, ANY, EM_ARC_V2, 0, NULL,
		{ "arceb", "arcv2", "archs" } },
	[DPS_ARCH_ARM] = { "arm", "arm", ANY, ANY, EM_ARM, 0x01c2, "ARM",
		{ "armhf", "armel", "armv5tel", "armv5tejl", "armv6l", "armv6hl", "armv7l", "armv7hl", "armv7hnl", "armhfp", "armv8l" } },
	[DPS_ARCH_AARCH64] = { "aarch64", "arm64", ANY, ELFDATA2LSB, EM_AARCH64, 0xaa64, "AA64",
		{ "arm64", "aa64" } },
	[DPS_ARCH_IA64] = { "ia64", "ia64", ANY, ANY, EM_IA_64, 0x0200, "IA64",
		{ "itanium" } },
	[DPS_ARCH_LOONGARCH64] = { "loongarch64", "loongarch64", ELFCLASS64, ANY, EM_LOONGARCH, 0x6264, "LOONGARCH64",
		{ "loong64" } },
	[DPS_ARCH_MIPS] = { "mips", "mips", ELFCLASS32, ELFDATA2MSB, EM_MIPS, 0, NULL,
		{ "mipseb" } },
	[DPS_ARCH_MIPS64] = { "mips64", "mips64", ELFCLASS64, ELFDATA2MSB, EM_MIPS, 0, NULL,
		{ "mips64eb" } },
	[DPS_ARCH_MIPSEL] = { "mipsel", "mips-le", ELFCLASS32, ELFDATA2LSB, EM_MIPS, 0, NULL,
		{ "mipsle", "mips-le" } },
	[DPS_ARCH_MIPS64EL] = { "mips64el", "mips64-le", ELFCLASS64, ELFDATA2LSB, EM_MIPS, 0, NULL,
		{ "mips64le", "mips64-le" } },
	[DPS_ARCH_PARISC] = { "parisc", "parisc", ANY, ANY, EM_PARISC, 0, NULL,
		{ "hppa", "hppa64", "parisc64", "hppa1.1", "hppa2.0" } },
	[DPS_ARCH_PPC] = { "ppc", "ppc", ANY, ANY, EM_PPC, 0, NULL,
		{ "powerpc", "ppc32" } },
	[DPS_ARCH_PPC64] = { "ppc64", "ppc64", ANY, ELFDATA2MSB, EM_PPC64, 0, NULL,
		{ "powerpc64", "ppc64p7" } },
	[DPS_ARCH_PPC64LE] = { "ppc64le", "ppc64-le", ANY, ELFDATA2LSB, EM_PPC64, 0, NULL,
		{ "ppc64el", "ppc64-le", "powerpc64le" } },
	[DPS_ARCH_RISCV32] = { "riscv32", "riscv32", ELFCLASS32, ANY, EM_RISCV, 0x5032, "RISCV32",
		{ NULL } },
	[DPS_ARCH_RISCV64] = { "riscv64", "riscv64", ELFCLASS64, ANY, EM_RISCV, 0x5064, "RISCV64",
		{ "riscv" } },
	[DPS_ARCH_S390] = { "s390", "s390", ELFCLASS32, ANY, EM_S390, 0, NULL,
		{ NULL } },
	[DPS_ARCH_S390X] = { "s390x", "s390x", ELFCLASS64, ANY, EM_S390, 0, NULL,
		{ NULL } },
	[DPS_ARCH_TILEGX] = { "tilegx", "tilegx", ANY, ANY, EM_TILE_GX, 0, NULL,
		{ NULL } },
	[DPS_ARCH_X86] = { "x86", "x86", ANY, ANY, EM_386, 0x014c, "IA32",
		{ "ia32", "386", "i386", "i486", "i586", "i686", "athlon", "geode" } },
	/* A 32-bit class with this machine is x32, on the same kernel. */
	[DPS_ARCH_X86_64] = { "x86_64", "x86-64", ANY, ANY, EM_X86_64, 0x8664, "X64",
		{ "amd64", "x86-64", "x64", "ia32e", "em64t", "x32", "x86_64_v2", "x86_64_v3", "x86_64_v4" } },
};
/* clang-format on */

G_STATIC_ASSERT(G_N_ELEMENTS(archs) == DPS_ARCH_X86_64 + 1);

static gboolean
is_arch(DpsArch arch)
{
	return arch > DPS_ARCH_NONE && arch < G_N_ELEMENTS(archs);
}

DpsArch
dps_arch_from_string(const char *name)
{
	g_return_val_if_fail(name != NULL, DPS_ARCH_NONE);

	for (guint i = 1; i < G_N_ELEMENTS(archs); i++) {
		if (g_ascii_strcasecmp(name, archs[i].name) == 0)
			return (DpsArch)i;
		for (guint k = 0; k < MAX_ALIASES && archs[i].aliases[k]; k++)
			if (g_ascii_strcasecmp(name, archs[i].aliases[k]) == 0)
				return (DpsArch)i;
	}
	return DPS_ARCH_NONE;
}

const char *
dps_arch_to_string(DpsArch arch)
{
	return is_arch(arch) ? archs[arch].name : NULL;
}

const char *
dps_arch_get_systemd_name(DpsArch arch)
{
	return is_arch(arch) ? archs[arch].systemd_name : NULL;
}

guint16
dps_arch_get_pe_machine(DpsArch arch)
{
	return is_arch(arch) ? archs[arch].pe_machine : 0;
}

const char *
dps_arch_get_efi_suffix(DpsArch arch)
{
	return is_arch(arch) ? archs[arch].efi_suffix : NULL;
}

DpsArch
dps_arch_from_elf(uint8_t class, uint8_t data, uint16_t machine)
{
	if (machine == 93 /* EM_ARC_COMPACT: the older instruction set */)
		return DPS_ARCH_ARC;

	for (guint i = 1; i < G_N_ELEMENTS(archs); i++)
		if (archs[i].elf_machine == machine &&
		    (archs[i].elf_class == ANY || archs[i].elf_class == class) &&
		    (archs[i].elf_data == ANY || archs[i].elf_data == data))
			return (DpsArch)i;

	return DPS_ARCH_NONE;
}

DpsArch
dps_arch_from_pe_machine(uint16_t machine)
{
	if (machine == 0)
		return DPS_ARCH_NONE;

	for (guint i = 1; i < G_N_ELEMENTS(archs); i++)
		if (archs[i].pe_machine == machine)
			return (DpsArch)i;

	return DPS_ARCH_NONE;
}

/* Source: ARCHITECTURE_SECONDARY of systemd's architecture.h; the specification has no ppc-le. */
DpsArch
dps_arch_get_secondary(DpsArch arch)
{
	switch (arch) {
	case DPS_ARCH_X86_64:
		return DPS_ARCH_X86;
	case DPS_ARCH_AARCH64:
		return DPS_ARCH_ARM;
	case DPS_ARCH_PPC64:
		return DPS_ARCH_PPC;
	case DPS_ARCH_S390X:
		return DPS_ARCH_S390;
	default:
		return DPS_ARCH_NONE;
	}
}

DpsArch
dps_arch_get_native(void)
{
	struct utsname name;

	if (uname(&name) < 0)
		return DPS_ARCH_NONE;

	return dps_arch_from_string(name.machine);
}
