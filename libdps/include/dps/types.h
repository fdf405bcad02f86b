/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <dps/version.h>

G_BEGIN_DECLS

/**
 * DpsRole:
 * @DPS_ROLE_NONE: no role; the answer of look-ups that find none
 * @DPS_ROLE_SAME: in assignments only: the role that the partition has (change flags alone)
 *
 * What a partition is for.  The names are those of the Discoverable Partitions Specification
 * (UAPI.2), and the two areas that firmware keeps for itself.  Numbers are stable.
 *
 * Since: 0.1
 */
typedef enum {
	DPS_ROLE_NONE = 0,
	DPS_ROLE_ROOT = 1,
	DPS_ROLE_USR = 2,
	DPS_ROLE_ROOT_VERITY = 3,
	DPS_ROLE_USR_VERITY = 4,
	DPS_ROLE_ROOT_VERITY_SIG = 5,
	DPS_ROLE_USR_VERITY_SIG = 6,
	DPS_ROLE_ESP = 7,
	DPS_ROLE_XBOOTLDR = 8,
	DPS_ROLE_SWAP = 9,
	DPS_ROLE_HOME = 10,
	DPS_ROLE_SRV = 11,
	DPS_ROLE_VAR = 12,
	DPS_ROLE_TMP = 13,
	DPS_ROLE_USER_HOME = 14,
	DPS_ROLE_LINUX_GENERIC = 15,
	DPS_ROLE_BIOS_BOOT = 16,
	DPS_ROLE_PREP = 17,
	DPS_ROLE_SAME = 18,
} DpsRole;

/**
 * DpsArch:
 * @DPS_ARCH_NONE: none, or not known
 *
 * The 21 architectures of the specification, by the kernel's names.  Numbers are stable.
 *
 * Since: 0.1
 */
typedef enum {
	DPS_ARCH_NONE = 0,
	DPS_ARCH_ALPHA = 1,
	DPS_ARCH_ARC = 2,
	DPS_ARCH_ARM = 3,
	DPS_ARCH_AARCH64 = 4,
	DPS_ARCH_IA64 = 5,
	DPS_ARCH_LOONGARCH64 = 6,
	DPS_ARCH_MIPS = 7,
	DPS_ARCH_MIPS64 = 8,
	DPS_ARCH_MIPSEL = 9,
	DPS_ARCH_MIPS64EL = 10,
	DPS_ARCH_PARISC = 11,
	DPS_ARCH_PPC = 12,
	DPS_ARCH_PPC64 = 13,
	DPS_ARCH_PPC64LE = 14,
	DPS_ARCH_RISCV32 = 15,
	DPS_ARCH_RISCV64 = 16,
	DPS_ARCH_S390 = 17,
	DPS_ARCH_S390X = 18,
	DPS_ARCH_TILEGX = 19,
	DPS_ARCH_X86 = 20,
	DPS_ARCH_X86_64 = 21,
} DpsArch;

/**
 * DpsFlags:
 * @DPS_FLAG_REQUIRED: bit 0: the platform needs this partition
 * @DPS_FLAG_NO_BLOCK_IO: bit 1: firmware must not show it (systemd: not for an ESP in use)
 * @DPS_FLAG_LEGACY_BOOT: bit 2: legacy BIOS may boot it
 * @DPS_FLAG_GROWFS: bit 59: grow the file system to the partition at the first mount
 * @DPS_FLAG_READ_ONLY: bit 60: mount read-only
 * @DPS_FLAG_NO_AUTO: bit 63: do not discover
 *
 * The attribute bits of a GPT entry that have a name.  The values are the bits, so a set of
 * #DpsFlags is a mask over the 64-bit attributes.
 *
 * Source: UEFI 2.10 section 5.3.3; UAPI.2, "Partition Flags".
 *
 * Since: 0.1
 */
typedef guint64 DpsFlags;
#define DPS_FLAG_REQUIRED (G_GUINT64_CONSTANT(1) << 0)
#define DPS_FLAG_NO_BLOCK_IO (G_GUINT64_CONSTANT(1) << 1)
#define DPS_FLAG_LEGACY_BOOT (G_GUINT64_CONSTANT(1) << 2)
#define DPS_FLAG_GROWFS (G_GUINT64_CONSTANT(1) << 59)
#define DPS_FLAG_READ_ONLY (G_GUINT64_CONSTANT(1) << 60)
#define DPS_FLAG_NO_AUTO (G_GUINT64_CONSTANT(1) << 63)

/**
 * DpsType:
 *
 * A role for an architecture (where the role depends on one): one partition type GUID and what
 * the specification says of it.  Types are constants of the library and live as long as it does.
 */
typedef struct _DpsType DpsType;

/**
 * dps_role_from_string:
 * @name: a role by its name in the specification ("root", "usr-verity-sig"), "bios-boot", "prep"
 *   or "same"; in lower case
 *
 * Returns: the role, %DPS_ROLE_NONE when @name is none
 * Since: 0.1
 */
DPS_API DpsRole dps_role_from_string(const char *name);

/**
 * dps_role_to_string:
 * @role: a role
 *
 * Returns: its name, %NULL for %DPS_ROLE_NONE and numbers that are no role
 * Since: 0.1
 */
DPS_API const char *dps_role_to_string(DpsRole role);

/**
 * dps_role_needs_arch:
 * @role: a role
 *
 * Returns: whether the type of @role depends on the architecture: root, usr and their verity kin
 * Since: 0.1
 */
DPS_API gboolean dps_role_needs_arch(DpsRole role);

/**
 * dps_arch_from_string:
 * @name: a name as the kernel, RPM, Debian, systemd, Go or UEFI write it ("x86_64", "amd64",
 *   "x86-64", "x64"), in either case
 *
 * Returns: the architecture, %DPS_ARCH_NONE when @name is none
 * Since: 0.1
 */
DPS_API DpsArch dps_arch_from_string(const char *name);

/**
 * dps_arch_to_string:
 * @arch: an architecture
 *
 * Returns: the name in the table of types ("x86_64", "aarch64"), %NULL for %DPS_ARCH_NONE
 * Since: 0.1
 */
DPS_API const char *dps_arch_to_string(DpsArch arch);

/**
 * dps_arch_get_systemd_name:
 * @arch: an architecture
 *
 * Returns: the name that systemd uses in type names ("x86-64", "arm64"), %NULL for %DPS_ARCH_NONE
 * Since: 0.1
 */
DPS_API const char *dps_arch_get_systemd_name(DpsArch arch);

/**
 * dps_arch_get_pe_machine:
 * @arch: an architecture
 *
 * Returns: the Machine of its PE images, 0 where UEFI is not defined for it
 * Since: 0.1
 */
DPS_API guint16 dps_arch_get_pe_machine(DpsArch arch);

/**
 * dps_arch_get_efi_suffix:
 * @arch: an architecture
 *
 * Returns: the suffix of its boot loader's file name (the "X64" of `BOOTX64.EFI`), in upper case,
 *   %NULL where UEFI is not defined for it
 * Since: 0.1
 */
DPS_API const char *dps_arch_get_efi_suffix(DpsArch arch);

/**
 * dps_arch_get_native:
 *
 * Returns: the architecture of the running kernel, %DPS_ARCH_NONE when the specification has none
 *   for it
 * Since: 0.1
 */
DPS_API DpsArch dps_arch_get_native(void);

/**
 * dps_type_get_count:
 *
 * Returns: how many types there are: the 135 of the specification and the two of firmware
 * Since: 0.1
 */
DPS_API guint dps_type_get_count(void);

/**
 * dps_type_get:
 * @index: 0 to dps_type_get_count() - 1
 *
 * Returns: (transfer none): the type, in the order of the specification
 * Since: 0.1
 */
DPS_API const DpsType *dps_type_get(guint index);

/**
 * dps_type_lookup:
 * @role: a role
 * @arch: its architecture; of no meaning for roles that do not need one
 *
 * Returns: (transfer none) (nullable): the type
 * Since: 0.1
 */
DPS_API const DpsType *dps_type_lookup(DpsRole role, DpsArch arch);

/**
 * dps_type_lookup_uuid:
 * @uuid: a GUID as text, in either case
 *
 * Returns: (transfer none) (nullable): the type with this GUID
 * Since: 0.1
 */
DPS_API const DpsType *dps_type_lookup_uuid(const char *uuid);

/**
 * dps_type_lookup_name:
 * @name: a name as systemd writes it ("root-x86-64", "usr-arm64-verity", "esp")
 *
 * Returns: (transfer none) (nullable): the type with this name
 * Since: 0.1
 */
DPS_API const DpsType *dps_type_lookup_name(const char *name);

/**
 * dps_type_for_mount_point:
 * @path: an absolute path: where the partition is to be mounted
 * @arch: the architecture of the system that will mount it
 *
 * The type that makes systemd mount a partition at @path.  `/var/tmp` has one and `/tmp` has
 * none: what the specification calls a temporary partition is mounted at `/var/tmp`.  `/boot` has
 * none either: whether it is an XBOOTLDR depends on its file system and on the ESP beside it.
 *
 * Source: UAPI.2, table of partition types; systemd's gpt-auto-generator.
 *
 * Returns: (transfer none) (nullable): the type, %NULL when none is mounted there
 * Since: 0.1
 */
DPS_API const DpsType *dps_type_for_mount_point(const char *path, DpsArch arch);

/* What a type is.  Strings belong to the type. */
DPS_API const char *dps_type_get_name(const DpsType *type); /* as systemd writes it */
DPS_API DpsRole dps_type_get_role(const DpsType *type);
DPS_API DpsArch dps_type_get_arch(const DpsType *type);		   /* NONE where it has none */
DPS_API const char *dps_type_get_uuid(const DpsType *type);	   /* lower case, 36 characters */
DPS_API const char *dps_type_get_mount_point(const DpsType *type); /* (nullable) */
DPS_API const char *dps_type_get_description(const DpsType *type); /* one line for people */

/**
 * dps_flag_get_name:
 * @bit: 0 to 63, the number of an attribute bit
 *
 * Returns: the bit's name ("no-auto"), %NULL when it has none
 * Since: 0.1
 */
DPS_API const char *dps_flag_get_name(guint bit);

/**
 * dps_flag_from_string:
 * @name: the name of a flag
 *
 * Returns: its mask, 0 when @name is none
 * Since: 0.1
 */
DPS_API DpsFlags dps_flag_from_string(const char *name);

G_END_DECLS
