/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <dps/check.h>
#include <dps/disk.h>
#include <dps/tree.h>
#include <dps/types.h>
#include <dps/version.h>

G_BEGIN_DECLS

/**
 * DpsPlan:
 *
 * The ordered changes that fulfil assignments on one disk.  Give it assignments, or let it detect
 * them; prepare it, which computes everything and refuses what must not be done; look at it; apply
 * it.  What is set, assigned and detected comes before it is prepared, and stays.  A plan that was
 * applied is spent.  It has references to its disk and tree; use all three from one thread at a
 * time.
 */
typedef struct _DpsPlan DpsPlan;

/**
 * DpsAssignment:
 *
 * "Partition 3 is the root of x86_64", given or detected.  Lent by its plan.
 */
typedef struct _DpsAssignment DpsAssignment;

/**
 * DpsChange:
 *
 * One difference between what is and what should be.  Lent by its plan.
 */
typedef struct _DpsChange DpsChange;

/**
 * DpsBackup:
 *
 * What was before a plan was applied: the file that `dps-tag undo` reads.
 */
typedef struct _DpsBackup DpsBackup;

/**
 * DpsChangeKind:
 * @DPS_CHANGE_TYPE: a partition's type GUID
 * @DPS_CHANGE_FLAGS: a partition's attribute bits
 * @DPS_CHANGE_UUID: a partition's own GUID
 * @DPS_CHANGE_NAME: a partition's name
 * @DPS_CHANGE_BTRFS_DEFAULT: the default subvolume of a btrfs
 * @DPS_CHANGE_TABLE: the table's copies: the end of a write that was cut off, or a backup copy that
 *   is made good before anything else is written
 *
 * Since: 0.1
 */
typedef enum {
	DPS_CHANGE_TYPE = 1,
	DPS_CHANGE_FLAGS = 2,
	DPS_CHANGE_UUID = 3,
	DPS_CHANGE_NAME = 4,
	DPS_CHANGE_BTRFS_DEFAULT = 5,
	DPS_CHANGE_TABLE = 6,
} DpsChangeKind;

/**
 * dps_plan_new:
 * @disk: (nullable): the disk; %NULL for a tree that is on no disk (see dps_tree_find_disk()): the
 *   plan then has no changes and one finding that says so
 * @tree: (nullable): the tree that is to be found on @disk
 * @error: %DPS_ERROR_NO_TABLE, %DPS_ERROR_CORRUPT: there is no table to change
 *
 * Returns: (transfer full): an empty plan, %NULL on failure
 * Since: 0.1
 */
DPS_API DpsPlan *dps_plan_new(DpsDisk *disk, DpsTree *tree,
			      GError **error) G_GNUC_WARN_UNUSED_RESULT;

/**
 * dps_plan_new_from_backup:
 * @disk: the disk that was changed
 * @backup: what was kept of it
 * @error: %DPS_ERROR_REFUSED: @backup is of another disk; %DPS_ERROR_CHANGED: what it would put
 *   back has been changed since by somebody else
 *
 * A plan that undoes another one: its changes turned round, the table first.
 *
 * Returns: (transfer full): the plan, prepared, %NULL on failure
 * Since: 0.1
 */
DPS_API DpsPlan *dps_plan_new_from_backup(DpsDisk *disk, DpsBackup *backup,
					  GError **error) G_GNUC_WARN_UNUSED_RESULT;

DPS_API DpsPlan *dps_plan_ref(DpsPlan *plan);
DPS_API void dps_plan_unref(DpsPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DpsPlan, dps_plan_unref)

/**
 * dps_plan_set_arch:
 * @plan: a plan
 * @arch: the architecture of roles that are assigned without one; %DPS_ARCH_NONE: the tree's, or
 *   without a tree what the programs on the disk are made for
 *
 * Since: 0.1
 */
DPS_API void dps_plan_set_arch(DpsPlan *plan, DpsArch arch);

/**
 * dps_plan_set_btrfs_default:
 * @plan: a plan
 * @subvolume: the path of the subvolume to make default, from the top level; "auto" for the one
 *   that the tree's root is; "keep" to leave it
 *
 * Since: 0.1
 */
DPS_API void dps_plan_set_btrfs_default(DpsPlan *plan, const char *subvolume);

/**
 * dps_plan_set_root_hash:
 * @plan: a plan
 * @hash: (nullable): the verity root hash of the root partition, hexadecimal; %NULL for none
 * @error: %DPS_ERROR_INVALID when @hash is none
 *
 * The partitions that are assigned as root and as its verity get the UUIDs that derive from it:
 * data the first 16 bytes, hashes the last.
 *
 * Returns: %TRUE on success
 * Since: 0.1
 */
DPS_API gboolean dps_plan_set_root_hash(DpsPlan *plan, const char *hash, GError **error);

/**
 * dps_plan_set_usr_hash:
 * @plan: a plan
 * @hash: (nullable): the verity root hash of the usr partition; as for dps_plan_set_root_hash()
 * @error: %DPS_ERROR_INVALID when @hash is none
 *
 * Returns: %TRUE on success
 * Since: 0.1
 */
DPS_API gboolean dps_plan_set_usr_hash(DpsPlan *plan, const char *hash, GError **error);

/**
 * dps_plan_set_machine_id:
 * @plan: a plan
 * @machine_id: (nullable): 32 hexadecimal digits; %NULL for the tree's
 * @error: %DPS_ERROR_INVALID when @machine_id is none
 *
 * The UUID of a partition that is assigned as var derives from it: with another one systemd passes
 * it over.
 *
 * Returns: %TRUE on success
 * Since: 0.1
 */
DPS_API gboolean dps_plan_set_machine_id(DpsPlan *plan, const char *machine_id, GError **error);

/**
 * dps_plan_set_names:
 * @plan: a plan
 * @names: whether partitions that have no name get one, as systemd-repart names them: by their
 *   type, "root-x86-64", with "-2" and so on behind it when the name is taken
 *
 * Since: 0.1
 */
DPS_API void dps_plan_set_names(DpsPlan *plan, gboolean names);

/**
 * dps_plan_set_force:
 * @plan: a plan
 * @force: whether to pass the stops that the manual lists under `--force`, and no others
 *
 * Since: 0.1
 */
DPS_API void dps_plan_set_force(DpsPlan *plan, gboolean force);

/**
 * dps_plan_assign:
 * @plan: a plan that was not prepared
 * @role: what the partition is for; %DPS_ROLE_LINUX_GENERIC takes a tag away, %DPS_ROLE_SAME
 *   changes flags only
 * @arch: for which architecture; %DPS_ARCH_NONE: the plan's, where the role needs one
 * @partition: its number
 * @set: flags to set
 * @clear: flags to clear
 * @error: %DPS_ERROR_NOT_FOUND: no such partition; %DPS_ERROR_INVALID: the role or the partition is
 *   assigned already, or flags are set and cleared at once; %DPS_ERROR_REFUSED: the partition holds
 *   what must not have this type, or the role wants an architecture that nothing tells
 *
 * Returns: %TRUE on success; on failure the plan is as it was
 * Since: 0.1
 */
DPS_API gboolean dps_plan_assign(DpsPlan *plan, DpsRole role, DpsArch arch, guint partition,
				 DpsFlags set, DpsFlags clear, GError **error);

/**
 * dps_plan_detect:
 * @plan: a plan that was not prepared
 * @error: %DPS_ERROR_REFUSED, %DPS_ERROR_UNSUPPORTED, %DPS_ERROR_AMBIGUOUS when root itself cannot
 *   be tagged, with what is in the way
 *
 * Assigns what can be proved: from what is mounted under the tree, and from its fstab.  Without a
 * tree, the one system that is on the disk tells, where its root file system can be read without a
 * mount (btrfs, ext4).  What was assigned by hand stays.  What cannot be tagged becomes a finding.
 *
 * Returns: %TRUE on success
 * Since: 0.1
 */
DPS_API gboolean dps_plan_detect(DpsPlan *plan, GError **error);

/**
 * dps_plan_prepare:
 * @plan: a plan
 * @error: %DPS_ERROR_REFUSED and its kin: what is in the way, and what to type
 *
 * Computes every change, and refuses now what could not be done later.  Writes nothing.
 *
 * Returns: %TRUE on success
 * Since: 0.1
 */
DPS_API gboolean dps_plan_prepare(DpsPlan *plan, GError **error);

/**
 * dps_plan_apply:
 * @plan: a plan; prepared, or it is prepared first
 * @backup: (nullable): the file to keep what was; %NULL for the default: under the tree's
 *   `/var/lib/libdps` for a block device, none for an image; "none" for none
 * @error: %DPS_ERROR_CHANGED: the disk is not what it was when it was read; %DPS_ERROR_IO; and what
 *   dps_plan_prepare() says
 *
 * Writes the backup, the default subvolume, and last the table; reads back and compares.  The disk
 * must have been opened with %DPS_OPEN_WRITABLE.  On failure nothing was changed, or it was put
 * back, or the message says what is.
 *
 * Returns: %TRUE when the disk is as planned
 * Since: 0.1
 */
DPS_API gboolean dps_plan_apply(DpsPlan *plan, const char *backup, GError **error);

/* What a plan is about.  All is lent: it belongs to the plan. */
DPS_API DpsDisk *dps_plan_get_disk(DpsPlan *plan); /* (nullable): as for dps_plan_new() */
DPS_API DpsArch dps_plan_get_arch(DpsPlan *plan);  /* what roles without one get; or NONE */

/**
 * dps_plan_get_assignments:
 * @plan: a plan
 *
 * Returns: (transfer none) (element-type DpsAssignment): what was given and what was detected; by
 *   partition once it is prepared; never %NULL
 * Since: 0.1
 */
DPS_API GPtrArray *dps_plan_get_assignments(DpsPlan *plan);

/**
 * dps_plan_get_changes:
 * @plan: a plan
 *
 * Returns: (transfer none) (element-type DpsChange): in the order in which they are made; empty
 *   before dps_plan_prepare(), and when nothing is to be changed; never %NULL
 * Since: 0.1
 */
DPS_API GPtrArray *dps_plan_get_changes(DpsPlan *plan);

/**
 * dps_plan_get_findings:
 * @plan: a plan
 *
 * Returns: (transfer none) (element-type DpsFinding): what is worth saying so far, in the order in
 *   which it came up; dps_plan_apply() adds to it; never %NULL
 * Since: 0.1
 */
DPS_API GPtrArray *dps_plan_get_findings(DpsPlan *plan);

DPS_API gboolean dps_plan_get_applied(DpsPlan *plan);	/* whether anything was written */
DPS_API const char *dps_plan_get_backup(DpsPlan *plan); /* (nullable): the file that was written */

/* What an assignment says.  Strings are valid UTF-8 and belong to it. */
DPS_API DpsRole dps_assignment_get_role(DpsAssignment *assignment);
DPS_API DpsArch dps_assignment_get_arch(DpsAssignment *assignment); /* NONE where it needs none */
DPS_API guint dps_assignment_get_partition(DpsAssignment *assignment); /* counted from 1 */
DPS_API DpsFlags dps_assignment_get_set_flags(DpsAssignment *assignment);
DPS_API DpsFlags dps_assignment_get_clear_flags(DpsAssignment *assignment);
DPS_API const char *dps_assignment_get_reason(DpsAssignment *assignment); /* one line */

/* What a change is.  Strings are valid UTF-8 and belong to it. */
DPS_API DpsChangeKind dps_change_get_kind(DpsChange *change);
DPS_API guint dps_change_get_partition(DpsChange *change);    /* counted from 1; 0: the table */
DPS_API const char *dps_change_get_reason(DpsChange *change); /* one line */

/*
 * What is there, and what shall be: a GUID in lower case, "0x8000000000000000" for the attribute
 * bits, a name ("": none), the number and path of a subvolume ("256 root").  Both are %NULL for the
 * table: the reason says what is made good.
 */
DPS_API const char *dps_change_get_from(DpsChange *change);
DPS_API const char *dps_change_get_to(DpsChange *change);

/* "type", "flags", "uuid", "name", "btrfs-default", "table"; %NULL for another number */
DPS_API const char *dps_change_kind_to_string(DpsChangeKind kind);

/**
 * dps_backup_open:
 * @path: a file that dps_plan_apply() wrote
 * @error: %DPS_ERROR_NOT_FOUND, %DPS_ERROR_PERMISSION, %DPS_ERROR_IO; %DPS_ERROR_CORRUPT when it is
 *   no backup; %DPS_ERROR_UNSUPPORTED when a newer libdps wrote it
 *
 * Returns: (transfer full): the backup, %NULL on failure
 * Since: 0.1
 */
DPS_API DpsBackup *dps_backup_open(const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;
DPS_API DpsBackup *dps_backup_ref(DpsBackup *backup);
DPS_API void dps_backup_unref(DpsBackup *backup);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DpsBackup, dps_backup_unref)

/* What a backup says of itself.  Strings belong to it. */
DPS_API const char *dps_backup_get_disk_path(DpsBackup *backup); /* where it was then */
DPS_API const char *dps_backup_get_disk_uuid(DpsBackup *backup); /* of its table, lower case */
DPS_API const char *dps_backup_get_time(DpsBackup *backup);	 /* UTC, as ISO 8601 writes it */

G_END_DECLS
