/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/kernel.h"
#include "format/pe.h"
#include "ground/bytes.h"
#include "ground/error.h"
#include "ground/text.h"

#include <string.h>

/* Offsets from the start of the file. */
#define KERNEL_HEAD_SIZE 0x240
#define DOS_HEADER_SIZE 64

#define LINUX_PE_MAGIC_OFFSET 0x38 /* include/linux/pe.h; arm64 and riscv have their own there */
#define LINUX_PE_MAGIC 0x818223cdu
#define ARM64_MAGIC "ARM\x64"
#define RISCV_MAGIC "RSC\x05"
#define ARM_MAGIC_OFFSET 0x24 /* arch/arm/boot/compressed/head.S */
#define ARM_MAGIC 0x016f2818u
#define ZBOOT_MAGIC_OFFSET 4 /* drivers/firmware/efi/libstub/zboot-header.S */

/* Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header" */
#define X86_MAGIC_OFFSET 0x202
#define X86_PROTOCOL 0x206
#define X86_VERSION_POINTER 0x20e /* less 0x200 */
#define X86_LOAD_FLAGS 0x236
#define X86_LOAD_FLAGS_SINCE 0x20c
#define X86_IS_64_BIT 1
#define X86_MAX_VERSION 128

static DpsArch
guess_kernel_arch(const uint8_t *head, size_t size, gboolean *is_kernel)
{
	*is_kernel = TRUE;
	if (size >= X86_LOAD_FLAGS + 2 && memcmp(head + X86_MAGIC_OFFSET, "HdrS", 4) == 0)
		return dps_load_le16(head + X86_PROTOCOL) >= X86_LOAD_FLAGS_SINCE &&
				       (head[X86_LOAD_FLAGS] & X86_IS_64_BIT) != 0
			       ? DPS_ARCH_X86_64
			       : DPS_ARCH_X86;
	if (size >= DOS_HEADER_SIZE) {
		const uint8_t *magic = head + LINUX_PE_MAGIC_OFFSET;

		if (memcmp(magic, ARM64_MAGIC, 4) == 0)
			return DPS_ARCH_AARCH64;
		if (memcmp(magic, RISCV_MAGIC, 4) == 0)
			return DPS_ARCH_RISCV64;
		if (dps_load_le32(head + ARM_MAGIC_OFFSET) == ARM_MAGIC)
			return DPS_ARCH_ARM;
		/* The PE header tells the architecture of these. */
		if (dps_load_le32(magic) == LINUX_PE_MAGIC ||
		    (memcmp(head, "MZ", 2) == 0 &&
		     memcmp(head + ZBOOT_MAGIC_OFFSET, "zimg", 4) == 0))
			return DPS_ARCH_NONE;
	}
	/* gzip: what arm64 and riscv install where nobody unpacks it (RFC 1952). */
	if (size >= 2 && head[0] == 0x1f && head[1] == 0x8b)
		return DPS_ARCH_NONE;

	*is_kernel = FALSE;
	return DPS_ARCH_NONE;
}

/* The release in "6.1.0-40-cloud-amd64 (debian-kernel@…) #1 SMP …". */
static char *
read_x86_version(const DpsRegion *region, const uint8_t *head)
{
	uint64_t at = (uint64_t)dps_load_le16(head + X86_VERSION_POINTER) + 0x200;
	char text[X86_MAX_VERSION];
	size_t size;

	if (at == 0x200 || at >= region->size)
		return NULL;
	size = (size_t)MIN(sizeof(text), region->size - at);
	if (!dps_region_read(region, at, text, size, NULL))
		return NULL;

	for (size_t i = 0; i < size; i++)
		if (text[i] == '\0' || text[i] == ' ')
			return i > 0 ? dps_text_clean(text, i) : NULL;

	return NULL; /* no end: no version */
}

gboolean
dps_kernel_read(const DpsRegion *region, DpsKernel *out, GError **error)
{
	uint8_t head[KERNEL_HEAD_SIZE];
	size_t size = (size_t)MIN(sizeof(head), region->size);
	g_autoptr(GError) pe_error = NULL;
	g_auto(DpsPe) pe = { 0 };
	DpsKernel kernel = { 0 };
	gboolean is_kernel;

	if (!dps_region_read(region, 0, head, size, error))
		return FALSE;

	kernel.arch = guess_kernel_arch(head, size, &is_kernel);
	if (!is_kernel) {
		*out = kernel;
		return TRUE;
	}

	kernel.kind = DPS_KERNEL_NO_STUB;
	if (dps_pe_read(region, &pe, &pe_error)) {
		kernel.kind = pe.subsystem == DPS_PE_SUBSYSTEM_EFI_APPLICATION ? DPS_KERNEL_EFI_STUB
									       : DPS_KERNEL_NO_STUB;
		kernel.machine = pe.machine;
		kernel.arch = pe.arch;
		kernel.takes_initrd = pe.image_version >= 1;
		kernel.has_mixed_mode = dps_pe_find_section(&pe, ".compat", 0) != NULL;
		kernel.is_zboot = memcmp(head + ZBOOT_MAGIC_OFFSET, "zimg", 4) == 0;
	} else if (!g_error_matches(pe_error, DPS_ERROR, DPS_ERROR_CORRUPT)) {
		g_propagate_error(error, g_steal_pointer(&pe_error));
		return FALSE;
	}

	if (size >= X86_LOAD_FLAGS + 2 && memcmp(head + X86_MAGIC_OFFSET, "HdrS", 4) == 0)
		kernel.version = read_x86_version(region, head);

	*out = kernel;
	return TRUE;
}

void
dps_kernel_clear(DpsKernel *kernel)
{
	g_clear_pointer(&kernel->version, g_free);
}
