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

/* <dps/disk.h> */
typedef struct _DpsDisk DpsDisk;
typedef struct _DpsPartition DpsPartition;
typedef struct _DpsSubvolume DpsSubvolume;
typedef enum {
	DPS_OPEN_READ_ONLY = ...,
	DPS_OPEN_WRITABLE = ...,
	DPS_OPEN_LOCK_NONBLOCK = ...,
	DPS_OPEN_NO_LOCK = ...,
} DpsOpenFlags;
typedef enum {
	DPS_TABLE_NONE = ...,
	DPS_TABLE_GPT = ...,
	DPS_TABLE_GPT_DAMAGED = ...,
	DPS_TABLE_MBR = ...,
} DpsTable;
DpsDisk *dps_disk_open(const char *path, DpsOpenFlags flags, GError **error);
DpsDisk *dps_disk_open_with_sector_size(const char *path, DpsOpenFlags flags, guint sector_size,
					GError **error);
DpsDisk *dps_disk_ref(DpsDisk *disk);
void dps_disk_unref(DpsDisk *disk);
gboolean dps_disk_refresh(DpsDisk *disk, GError **error);
const char *dps_disk_get_path(DpsDisk *disk);
guint64 dps_disk_get_size(DpsDisk *disk);
guint dps_disk_get_sector_size(DpsDisk *disk);
const char *dps_disk_get_finished(DpsDisk *disk);
const char *dps_disk_get_uuid(DpsDisk *disk);
DpsTable dps_disk_get_table(DpsDisk *disk);
gboolean dps_disk_require_table(DpsDisk *disk, GError **error);
guint dps_disk_get_n_partitions(DpsDisk *disk);
DpsPartition *dps_disk_get_partition(DpsDisk *disk, guint index);
DpsPartition *dps_disk_get_partition_by_number(DpsDisk *disk, guint number);
DpsPartition *dps_disk_find_partition(DpsDisk *disk, const char *spec, GError **error);
guint dps_partition_get_number(DpsPartition *partition);
const char *dps_partition_get_node(DpsPartition *partition);
guint64 dps_partition_get_start(DpsPartition *partition);
guint64 dps_partition_get_size(DpsPartition *partition);
const char *dps_partition_get_type_uuid(DpsPartition *partition);
const DpsType *dps_partition_get_type(DpsPartition *partition);
const char *dps_partition_get_uuid(DpsPartition *partition);
const char *dps_partition_get_label(DpsPartition *partition);
guint64 dps_partition_get_attributes(DpsPartition *partition);
const char *dps_partition_get_content_type(DpsPartition *partition);
const char *dps_partition_get_content_uuid(DpsPartition *partition);
const char *dps_partition_get_content_label(DpsPartition *partition);
const char *dps_partition_get_content_problem(DpsPartition *partition);
const DpsSubvolume *dps_partition_get_default_subvolume(DpsPartition *partition);
GPtrArray *dps_partition_get_subvolumes(DpsPartition *partition);
guint64 dps_subvolume_get_id(const DpsSubvolume *subvolume);
const char *dps_subvolume_get_path(const DpsSubvolume *subvolume);

/* <dps/tree.h> */
typedef struct _DpsTree DpsTree;
DpsTree *dps_tree_open(const char *path, GError **error);
DpsTree *dps_tree_ref(DpsTree *tree);
void dps_tree_unref(DpsTree *tree);
const char *dps_tree_get_path(DpsTree *tree);
DpsArch dps_tree_get_arch(DpsTree *tree);
const char *dps_tree_get_machine_id(DpsTree *tree);
gboolean dps_tree_find_disk(DpsTree *tree, char **path, char **why, GError **error);

/* <dps/check.h> */
typedef enum {
	DPS_SEVERITY_INFO = ...,
	DPS_SEVERITY_WARNING = ...,
	DPS_SEVERITY_ERROR = ...,
} DpsSeverity;
typedef struct _DpsFinding DpsFinding;
DpsFinding *dps_finding_ref(DpsFinding *finding);
void dps_finding_unref(DpsFinding *finding);
const char *dps_finding_get_code(DpsFinding *finding);
DpsSeverity dps_finding_get_severity(DpsFinding *finding);
guint dps_finding_get_partition(DpsFinding *finding);
const char *dps_finding_get_path(DpsFinding *finding);
const char *dps_finding_get_message(DpsFinding *finding);
const char *dps_finding_get_hint(DpsFinding *finding);
const char *dps_severity_to_string(DpsSeverity severity);
typedef struct _DpsCheckOptions DpsCheckOptions;
DpsCheckOptions *dps_check_options_new(void);
void dps_check_options_free(DpsCheckOptions *options);
void dps_check_options_set_arch(DpsCheckOptions *options, DpsArch arch);
void dps_check_options_set_esp(DpsCheckOptions *options, const char *path);
void dps_check_options_set_keep_kernels(DpsCheckOptions *options, guint n);
gboolean dps_check_options_set_only(DpsCheckOptions *options, const char *codes, GError **error);
gboolean dps_check_options_set_ignore(DpsCheckOptions *options, const char *codes, GError **error);
gboolean dps_check_options_set_policy(DpsCheckOptions *options, const char *text, GError **error);
GPtrArray *dps_check(DpsDisk *disk, DpsTree *tree, const DpsCheckOptions *options, GError **error);

/* <dps/plan.h> */
typedef struct _DpsPlan DpsPlan;
typedef struct _DpsAssignment DpsAssignment;
typedef struct _DpsChange DpsChange;
typedef struct _DpsBackup DpsBackup;
typedef enum {
	DPS_CHANGE_TYPE = ...,
	DPS_CHANGE_FLAGS = ...,
	DPS_CHANGE_UUID = ...,
	DPS_CHANGE_NAME = ...,
	DPS_CHANGE_BTRFS_DEFAULT = ...,
	DPS_CHANGE_TABLE = ...,
} DpsChangeKind;
DpsPlan *dps_plan_new(DpsDisk *disk, DpsTree *tree, GError **error);
DpsPlan *dps_plan_new_from_backup(DpsDisk *disk, DpsBackup *backup, GError **error);
DpsPlan *dps_plan_ref(DpsPlan *plan);
void dps_plan_unref(DpsPlan *plan);
void dps_plan_set_arch(DpsPlan *plan, DpsArch arch);
void dps_plan_set_btrfs_default(DpsPlan *plan, const char *subvolume);
gboolean dps_plan_set_root_hash(DpsPlan *plan, const char *hash, GError **error);
gboolean dps_plan_set_usr_hash(DpsPlan *plan, const char *hash, GError **error);
gboolean dps_plan_set_machine_id(DpsPlan *plan, const char *machine_id, GError **error);
void dps_plan_set_names(DpsPlan *plan, gboolean names);
void dps_plan_set_force(DpsPlan *plan, gboolean force);
gboolean dps_plan_assign(DpsPlan *plan, DpsRole role, DpsArch arch, guint partition, DpsFlags set,
			 DpsFlags clear, GError **error);
gboolean dps_plan_detect(DpsPlan *plan, GError **error);
gboolean dps_plan_prepare(DpsPlan *plan, GError **error);
gboolean dps_plan_apply(DpsPlan *plan, const char *backup, GError **error);
DpsDisk *dps_plan_get_disk(DpsPlan *plan);
DpsArch dps_plan_get_arch(DpsPlan *plan);
GPtrArray *dps_plan_get_assignments(DpsPlan *plan);
GPtrArray *dps_plan_get_changes(DpsPlan *plan);
GPtrArray *dps_plan_get_findings(DpsPlan *plan);
gboolean dps_plan_get_applied(DpsPlan *plan);
const char *dps_plan_get_backup(DpsPlan *plan);
DpsRole dps_assignment_get_role(DpsAssignment *assignment);
DpsArch dps_assignment_get_arch(DpsAssignment *assignment);
guint dps_assignment_get_partition(DpsAssignment *assignment);
DpsFlags dps_assignment_get_set_flags(DpsAssignment *assignment);
DpsFlags dps_assignment_get_clear_flags(DpsAssignment *assignment);
const char *dps_assignment_get_reason(DpsAssignment *assignment);
DpsChangeKind dps_change_get_kind(DpsChange *change);
guint dps_change_get_partition(DpsChange *change);
const char *dps_change_get_from(DpsChange *change);
const char *dps_change_get_to(DpsChange *change);
const char *dps_change_get_reason(DpsChange *change);
const char *dps_change_kind_to_string(DpsChangeKind kind);
DpsBackup *dps_backup_open(const char *path, GError **error);
DpsBackup *dps_backup_ref(DpsBackup *backup);
void dps_backup_unref(DpsBackup *backup);
const char *dps_backup_get_disk_path(DpsBackup *backup);
const char *dps_backup_get_disk_uuid(DpsBackup *backup);
const char *dps_backup_get_time(DpsBackup *backup);
