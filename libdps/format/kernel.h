/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dps/types.h>
#include "ground/region.h"

/* What a file that is to be started as a kernel is. */
typedef enum {
	DPS_KERNEL_NONE = 0, /* no Linux kernel that is known */
	DPS_KERNEL_NO_STUB, /* a kernel that EFI cannot start: no PE headers, or compressed whole */
	DPS_KERNEL_EFI_STUB, /* a kernel that is an EFI program */
} DpsKernelKind;

/* A value, cleared with dps_kernel_clear(). */
typedef struct {
	DpsKernelKind kind;
	DpsArch arch;		 /* NONE when it cannot be told (gzip) */
	uint16_t machine;	 /* of its PE headers; 0: it has none */
	gboolean is_zboot;	 /* compressed, with a decompressor that is an EFI program */
	gboolean takes_initrd;	 /* the stub asks the loader for it: image version 1 and newer */
	gboolean has_mixed_mode; /* x86-64 that 32-bit EFI can start, too: section .compat */
	char *version;		 /* as `uname -r` has it, where the format tells (x86); or NULL */
} DpsKernel;

/**
 * dps_kernel_read:
 * @region: a file, or the `.linux` section of one
 * @out: (out): set on success; clear it with dps_kernel_clear()
 * @error: %DPS_ERROR_IO and what @region throws
 *
 * A few small reads.  A region that is no kernel is not an error.
 *
 * Source: the kernel's Documentation/arch/x86/boot.rst, arm64/booting.rst,
 * riscv/boot-image-header.rst, include/linux/pe.h, drivers/firmware/efi/libstub/zboot-header.S.
 *
 * Returns: %TRUE on success
 */
gboolean dps_kernel_read(const DpsRegion *region, DpsKernel *out, GError **error);
void dps_kernel_clear(DpsKernel *kernel);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(DpsKernel, dps_kernel_clear)
