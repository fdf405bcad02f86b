/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/elf.h"
#include "ground/error.h"

#include <string.h>

/* clang-format off */
#define HEADER(class, data, ...) { 0x7f, 'E', 'L', 'F', class, data, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, __VA_ARGS__ }

/* As `readelf -h` shows them of real programs; class, byte order, type, machine. */
static const struct {
	const char *name;
	uint8_t header[20];
	DpsArch arch;
} good[] = {
	{ "x86_64-pie", HEADER(2, 1, 3, 0, 62, 0), DPS_ARCH_X86_64 },
	{ "x86_64-fixed", HEADER(2, 1, 2, 0, 62, 0), DPS_ARCH_X86_64 },
	{ "i386", HEADER(1, 1, 3, 0, 3, 0), DPS_ARCH_X86 },
	{ "aarch64", HEADER(2, 1, 3, 0, 183, 0), DPS_ARCH_AARCH64 },
	{ "arm", HEADER(1, 1, 3, 0, 40, 0), DPS_ARCH_ARM },
	{ "riscv64", HEADER(2, 1, 3, 0, 243, 0), DPS_ARCH_RISCV64 },
	{ "riscv32", HEADER(1, 1, 3, 0, 243, 0), DPS_ARCH_RISCV32 },
	{ "s390x", HEADER(2, 2, 0, 3, 0, 22), DPS_ARCH_S390X },
	{ "ppc64", HEADER(2, 2, 0, 3, 0, 21), DPS_ARCH_PPC64 },
	{ "ppc64le", HEADER(2, 1, 3, 0, 21, 0), DPS_ARCH_PPC64LE },
	{ "mips64el", HEADER(2, 1, 3, 0, 8, 0), DPS_ARCH_MIPS64EL },
	{ "loongarch64", HEADER(2, 1, 3, 0, 2, 1), DPS_ARCH_LOONGARCH64 },
};

static const struct {
	const char *name;
	uint8_t header[20];
	DpsError code;
	const char *message;
} bad[] = {
	{ "script", { '#', '!', '/', 'b', 'i', 'n', '/', 's', 'h', '\n' }, DPS_ERROR_CORRUPT, "signature" },
	{ "class", HEADER(3, 1, 3, 0, 62, 0), DPS_ERROR_CORRUPT, "class 3" },
	{ "byte-order", HEADER(2, 0, 3, 0, 62, 0), DPS_ERROR_CORRUPT, "byte order 0" },
	{ "object", HEADER(2, 1, 1, 0, 62, 0), DPS_ERROR_UNSUPPORTED, "type 1" },
	{ "core", HEADER(2, 1, 4, 0, 62, 0), DPS_ERROR_UNSUPPORTED, "type 4" },
	{ "bpf", HEADER(2, 1, 3, 0, 247, 0), DPS_ERROR_UNSUPPORTED, "machine 247" },
	{ "order-swapped", HEADER(2, 2, 3, 0, 62, 0), DPS_ERROR_UNSUPPORTED, "type 768" },
};
/* clang-format on */

static void
test_good(void)
{
	for (guint i = 0; i < G_N_ELEMENTS(good); i++) {
		g_autoptr(GError) error = NULL;
		DpsRegion region = dps_region_over_memory(good[i].header, sizeof(good[i].header));
		DpsArch arch = DPS_ARCH_NONE;

		g_test_message("%s", good[i].name);
		g_assert_true(dps_elf_read_arch(&region, &arch, &error));
		g_assert_no_error(error);
		g_assert_cmpint(arch, ==, good[i].arch);
	}
}

static void
test_bad(void)
{
	for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) error = NULL;
		DpsRegion region = dps_region_over_memory(bad[i].header, sizeof(bad[i].header));
		DpsArch arch = DPS_ARCH_ALPHA;

		g_test_message("%s", bad[i].name);
		g_assert_false(dps_elf_read_arch(&region, &arch, &error));
		g_assert_error(error, DPS_ERROR, (int)bad[i].code);
		g_assert_nonnull(strstr(error->message, bad[i].message));
		g_assert_cmpint(arch, ==, DPS_ARCH_ALPHA); /* untouched on failure */
	}
}

static void
test_cut_short_anywhere(void)
{
	for (size_t size = 0; size < sizeof(good[0].header); size++) {
		g_autofree uint8_t *copy = g_memdup2(good[0].header, size); /* ASan sees its edge */
		g_autoptr(GError) error = NULL;
		DpsRegion region = dps_region_over_memory(copy, size);
		DpsArch arch = DPS_ARCH_ALPHA;

		g_assert_false(dps_elf_read_arch(&region, &arch, &error));
		g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
	}
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/elf/good", test_good);
	g_test_add_func("/elf/bad", test_bad);
	g_test_add_func("/elf/cut-short-anywhere", test_cut_short_anywhere);
	return g_test_run();
}
