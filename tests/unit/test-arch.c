/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ground/arch.h"

#include <elf.h>

/* Each row: what dpkg, RPM, Go, UEFI, systemd and `uname -m` call it. */
static void
test_aliases(void)
{
	static const struct {
		const char *alias;
		DpsArch arch;
	} rows[] = {
		{ "x86_64", DPS_ARCH_X86_64 },
		{ "amd64", DPS_ARCH_X86_64 },
		{ "AMD64", DPS_ARCH_X86_64 },
		{ "x86-64", DPS_ARCH_X86_64 },
		{ "x64", DPS_ARCH_X86_64 },
		{ "x86_64_v2", DPS_ARCH_X86_64 },
		{ "386", DPS_ARCH_X86 },
		{ "i686", DPS_ARCH_X86 },
		{ "ia32", DPS_ARCH_X86 },
		{ "arm64", DPS_ARCH_AARCH64 },
		{ "AA64", DPS_ARCH_AARCH64 },
		{ "armv7l", DPS_ARCH_ARM },
		{ "armhf", DPS_ARCH_ARM },
		{ "armv7hl", DPS_ARCH_ARM },
		{ "ppc64el", DPS_ARCH_PPC64LE },
		{ "ppc64-le", DPS_ARCH_PPC64LE },
		{ "powerpc", DPS_ARCH_PPC },
		{ "mipsle", DPS_ARCH_MIPSEL },
		{ "mips-le", DPS_ARCH_MIPSEL },
		{ "mips64le", DPS_ARCH_MIPS64EL },
		{ "hppa", DPS_ARCH_PARISC },
		{ "parisc64", DPS_ARCH_PARISC },
		{ "loong64", DPS_ARCH_LOONGARCH64 },
		{ "riscv64", DPS_ARCH_RISCV64 },
		{ "s390x", DPS_ARCH_S390X },
		{ "", DPS_ARCH_NONE },
		{ "x86_640", DPS_ARCH_NONE },
		{ "sparc64", DPS_ARCH_NONE },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
		g_assert_cmpint(dps_arch_from_string(rows[i].alias), ==, rows[i].arch);
}

static void
test_names_lead_back(void)
{
	for (int arch = DPS_ARCH_ALPHA; arch <= DPS_ARCH_X86_64; arch++) {
		g_assert_cmpint(dps_arch_from_string(dps_arch_to_string(arch)), ==, arch);
		g_assert_cmpint(dps_arch_from_string(dps_arch_get_systemd_name(arch)), ==, arch);
		g_assert_cmpint(dps_arch_get_pe_machine(arch) != 0, ==,
				dps_arch_get_efi_suffix(arch) != NULL);
		if (dps_arch_get_efi_suffix(arch)) {
			g_assert_cmpint(dps_arch_from_string(dps_arch_get_efi_suffix(arch)), ==,
					arch);
			g_assert_cmpint(dps_arch_from_pe_machine(dps_arch_get_pe_machine(arch)), ==,
					arch);
		}
	}
	g_assert_null(dps_arch_to_string(DPS_ARCH_NONE));
	g_assert_null(dps_arch_to_string(99));
	g_assert_cmpint(dps_arch_from_pe_machine(0), ==, DPS_ARCH_NONE);
}

static void
test_elf(void)
{
	static const struct {
		uint8_t class, data;
		uint16_t machine;
		DpsArch arch;
	} rows[] = {
		{ ELFCLASS64, ELFDATA2LSB, EM_X86_64, DPS_ARCH_X86_64 },
		{ ELFCLASS32, ELFDATA2LSB, EM_X86_64, DPS_ARCH_X86_64 }, /* x32 */
		{ ELFCLASS32, ELFDATA2LSB, EM_386, DPS_ARCH_X86 },
		{ ELFCLASS64, ELFDATA2LSB, EM_PPC64, DPS_ARCH_PPC64LE },
		{ ELFCLASS64, ELFDATA2MSB, EM_PPC64, DPS_ARCH_PPC64 },
		{ ELFCLASS32, ELFDATA2MSB, EM_S390, DPS_ARCH_S390 },
		{ ELFCLASS64, ELFDATA2MSB, EM_S390, DPS_ARCH_S390X },
		{ ELFCLASS32, ELFDATA2LSB, EM_MIPS, DPS_ARCH_MIPSEL },
		{ ELFCLASS64, ELFDATA2MSB, EM_MIPS, DPS_ARCH_MIPS64 },
		{ ELFCLASS32, ELFDATA2LSB, EM_RISCV, DPS_ARCH_RISCV32 },
		{ ELFCLASS64, ELFDATA2LSB, EM_RISCV, DPS_ARCH_RISCV64 },
		{ ELFCLASS64, ELFDATA2MSB, EM_AARCH64, DPS_ARCH_NONE }, /* not in the DPS */
		{ ELFCLASS64, ELFDATA2MSB, EM_SPARCV9, DPS_ARCH_NONE },
		{ ELFCLASS64, ELFDATA2LSB, 0, DPS_ARCH_NONE },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
		g_assert_cmpint(dps_arch_from_elf(rows[i].class, rows[i].data, rows[i].machine), ==,
				rows[i].arch);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/arch/aliases", test_aliases);
	g_test_add_func("/arch/names-lead-back", test_names_lead_back);
	g_test_add_func("/arch/elf", test_elf);
	return g_test_run();
}
