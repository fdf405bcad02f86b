/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What the package uses of libdps, for cffi.  Constants are left to the compiler ("= ..."), and a
 * declaration reads as in the header: tests/lint/symbols.py compares them.
 */

/* Of GLib */
typedef int gboolean;
typedef unsigned int guint;
typedef uint16_t guint16;
typedef uint32_t GQuark;
typedef uint64_t guint64;
typedef struct {
	GQuark domain;
	int code;
	char *message;
	...;
} GError;
typedef struct {
	void **pdata;
	guint len;
	...;
} GPtrArray;
void g_free(void *mem);
void g_error_free(GError *error);
void g_ptr_array_unref(GPtrArray *array);

/* <dps/version.h> */
static char *const DPS_VERSION;

/* <dps/error.h> */
typedef enum {
	DPS_ERROR_INVALID = ...,
	DPS_ERROR_NOT_FOUND = ...,
	DPS_ERROR_NO_TABLE = ...,
	DPS_ERROR_CORRUPT = ...,
	DPS_ERROR_UNSUPPORTED = ...,
	DPS_ERROR_REFUSED = ...,
	DPS_ERROR_AMBIGUOUS = ...,
	DPS_ERROR_BUSY = ...,
	DPS_ERROR_PERMISSION = ...,
	DPS_ERROR_IO = ...,
	DPS_ERROR_NO_SPACE = ...,
	DPS_ERROR_CHANGED = ...,
} DpsError;
GQuark dps_error_quark(void);
const char *dps_error_code_to_string(int code);
guint dps_error_get_partition(const GError *error);

/* <dps/types.h> */
typedef enum {
	DPS_ROLE_NONE = ...,
	DPS_ROLE_ROOT = ...,
	DPS_ROLE_USR = ...,
	DPS_ROLE_ROOT_VERITY = ...,
	DPS_ROLE_USR_VERITY = ...,
	DPS_ROLE_ROOT_VERITY_SIG = ...,
	DPS_ROLE_USR_VERITY_SIG = ...,
	DPS_ROLE_ESP = ...,
	DPS_ROLE_XBOOTLDR = ...,
	DPS_ROLE_SWAP = ...,
	DPS_ROLE_HOME = ...,
	DPS_ROLE_SRV = ...,
	DPS_ROLE_VAR = ...,
	DPS_ROLE_TMP = ...,
	DPS_ROLE_USER_HOME = ...,
	DPS_ROLE_LINUX_GENERIC = ...,
	DPS_ROLE_BIOS_BOOT = ...,
	DPS_ROLE_PREP = ...,
	DPS_ROLE_SAME = ...,
} DpsRole;
typedef enum {
	DPS_ARCH_NONE = ...,
	DPS_ARCH_ALPHA = ...,
	DPS_ARCH_ARC = ...,
	DPS_ARCH_ARM = ...,
	DPS_ARCH_AARCH64 = ...,
	DPS_ARCH_IA64 = ...,
	DPS_ARCH_LOONGARCH64 = ...,
	DPS_ARCH_MIPS = ...,
	DPS_ARCH_MIPS64 = ...,
	DPS_ARCH_MIPSEL = ...,
	DPS_ARCH_MIPS64EL = ...,
	DPS_ARCH_PARISC = ...,
	DPS_ARCH_PPC = ...,
	DPS_ARCH_PPC64 = ...,
	DPS_ARCH_PPC64LE = ...,
	DPS_ARCH_RISCV32 = ...,
	DPS_ARCH_RISCV64 = ...,
	DPS_ARCH_S390 = ...,
	DPS_ARCH_S390X = ...,
	DPS_ARCH_TILEGX = ...,
	DPS_ARCH_X86 = ...,
	DPS_ARCH_X86_64 = ...,
} DpsArch;
typedef guint64 DpsFlags;
#define DPS_FLAG_REQUIRED ...
#define DPS_FLAG_NO_BLOCK_IO ...
#define DPS_FLAG_LEGACY_BOOT ...
#define DPS_FLAG_GROWFS ...
#define DPS_FLAG_READ_ONLY ...
#define DPS_FLAG_NO_AUTO ...
typedef struct _DpsType DpsType;
DpsRole dps_role_from_string(const char *name);
const char *dps_role_to_string(DpsRole role);
gboolean dps_role_needs_arch(DpsRole role);
DpsArch dps_arch_from_string(const char *name);
const char *dps_arch_to_string(DpsArch arch);
const char *dps_arch_get_systemd_name(DpsArch arch);
guint16 dps_arch_get_pe_machine(DpsArch arch);
const char *dps_arch_get_efi_suffix(DpsArch arch);
DpsArch dps_arch_get_native(void);
guint dps_type_get_count(void);
const DpsType *dps_type_get(guint index);
const DpsType *dps_type_lookup(DpsRole role, DpsArch arch);
const DpsType *dps_type_lookup_uuid(const char *uuid);
const DpsType *dps_type_lookup_name(const char *name);
const DpsType *dps_type_for_mount_point(const char *path, DpsArch arch);
const char *dps_type_get_name(const DpsType *type);
DpsRole dps_type_get_role(const DpsType *type);
DpsArch dps_type_get_arch(const DpsType *type);
const char *dps_type_get_uuid(const DpsType *type);
const char *dps_type_get_mount_point(const DpsType *type);
const char *dps_type_get_description(const DpsType *type);
const char *dps_flag_get_name(guint bit);
DpsFlags dps_flag_from_string(const char *name);
