/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/kernel.h"
#include "make-pe.h"

/* A head of 0x240 bytes with what tells one. */
static void
test_formats(void)
{
	static const struct {
		const char *name;
		size_t at;
		const char *magic;
		size_t magic_size;
		uint16_t machine; /* 0: no PE */
		DpsKernelKind kind;
		DpsArch arch;
	} rows[] = {
		{ "x86", 0x202, "HdrS", 4, 0x8664, DPS_KERNEL_EFI_STUB, DPS_ARCH_X86_64 },
		{ "x86-old", 0x202, "HdrS", 4, 0, DPS_KERNEL_NO_STUB, DPS_ARCH_X86 },
		{ "arm64", 0x38, "ARM\x64", 4, 0xaa64, DPS_KERNEL_EFI_STUB, DPS_ARCH_AARCH64 },
		{ "arm64-raw", 0x38, "ARM\x64", 4, 0, DPS_KERNEL_NO_STUB, DPS_ARCH_AARCH64 },
		{ "riscv", 0x38, "RSC\x05", 4, 0x5064, DPS_KERNEL_EFI_STUB, DPS_ARCH_RISCV64 },
		{ "loongarch", 0x38, "\xcd\x23\x82\x81", 4, 0x6264, DPS_KERNEL_EFI_STUB,
		  DPS_ARCH_LOONGARCH64 },
		{ "arm", 0x24, "\x18\x28\x6f\x01", 4, 0x01c2, DPS_KERNEL_EFI_STUB, DPS_ARCH_ARM },
		{ "zboot", 4, "zimg", 4, 0xaa64, DPS_KERNEL_EFI_STUB, DPS_ARCH_AARCH64 },
		{ "gzip", 0, "\x1f\x8b\x08", 3, 0, DPS_KERNEL_NO_STUB, DPS_ARCH_NONE },
		{ "not-one", 4, "", 0, 0x8664, DPS_KERNEL_NONE, DPS_ARCH_NONE },
		{ "nothing", 4, "", 0, 0, DPS_KERNEL_NONE, DPS_ARCH_NONE },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		static const MakePeSection text[] = { { ".text", NULL, 4096 } };
		g_autoptr(GByteArray) file = make_pe(rows[i].machine, text, 1);
		g_auto(DpsKernel) kernel = { 0 };
		DpsRegion region;

		if (rows[i].machine == 0)
			memset(file->data, 0, file->len);
		memcpy(file->data + rows[i].at, rows[i].magic, rows[i].magic_size);
		region = dps_region_over_memory(file->data, file->len);
		g_test_message("%s", rows[i].name);
		g_assert_true(dps_kernel_read(&region, &kernel, NULL));
		g_assert_cmpint(kernel.kind, ==, rows[i].kind);
		g_assert_cmpint(kernel.arch, ==, rows[i].arch);
		g_assert_cmpint(kernel.is_zboot, ==, i == 7);
		g_assert_false(kernel.takes_initrd);
		g_assert_null(kernel.version);
	}
}

static void
test_x86(void)
{
	static const MakePeSection sections[] = { { ".text", NULL, 4096 }, { ".compat", "x", 1 } };
	g_autoptr(GByteArray) file = make_pe(0x8664, sections, 2);
	DpsRegion region = dps_region_over_memory(file->data, file->len);

	make_pe_store16(file, MAKE_PE_OPTIONAL + 44, 1);
	memcpy(file->data + 0x202, "HdrS\x0f\x02", 6);
	make_pe_store16(file, 0x20e, 0x300);
	strcpy((char *)file->data + 0x500, "6.1.0-9-amd64 (build@host) #1 SMP");
	for (guint i = 0; i < 3; i++) {
		static const char *const versions[] = { "6.1.0-9-amd64", NULL, NULL };
		static const uint16_t pointers[] = { 0x300, 0, 0xffff };
		g_auto(DpsKernel) kernel = { 0 };

		make_pe_store16(file, 0x20e, pointers[i]);
		g_assert_true(dps_kernel_read(&region, &kernel, NULL));
		g_assert_cmpint(kernel.kind, ==, DPS_KERNEL_EFI_STUB);
		g_assert_true(kernel.takes_initrd);
		g_assert_true(kernel.has_mixed_mode);
		g_assert_cmpuint(kernel.machine, ==, 0x8664);
		g_assert_cmpstr(kernel.version, ==, versions[i]);
	}
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/kernel/formats", test_formats);
	g_test_add_func("/kernel/x86", test_x86);
	return g_test_run();
}
