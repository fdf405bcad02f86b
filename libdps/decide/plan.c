/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/plan.h"
#include "decide/change.h"
#include "decide/finding.h"
#include "ground/derive.h"
#include "ground/edit.h"
#include "ground/error.h"
#include "ground/text.h"
#include "target/image.h"

#include <string.h>

static void
assignment_free(DpsAssignment *assignment)
{
	g_free(assignment->reason);
	g_free(assignment);
}

DpsPlan *
dps_plan_new(DpsDisk *disk, DpsTree *tree, GError **error)
{
	DpsPlan *plan;

	g_return_val_if_fail(disk != NULL || tree != NULL, NULL);

	if (disk && !dps_disk_require_table(disk, error))
		return NULL;

	plan = g_new(DpsPlan, 1);
	*plan = (DpsPlan){
		.refs = 1,
		.disk = disk ? dps_disk_ref(disk) : NULL,
		.tree = tree ? dps_tree_ref(tree) : NULL,
		.arch = tree ? dps_tree_get_arch(tree) : DPS_ARCH_NONE,
		.btrfs_default = g_strdup("auto"),
		.assignments = g_ptr_array_new_with_free_func((GDestroyNotify)assignment_free),
		.changes = g_ptr_array_new_with_free_func((GDestroyNotify)dps_change_free),
		.findings = g_ptr_array_new_with_free_func((GDestroyNotify)dps_finding_unref),
		.table_edits = dps_edit_list_new(),
	};
	return plan;
}

DpsPlan *
dps_plan_ref(DpsPlan *plan)
{
	g_return_val_if_fail(plan != NULL, NULL);

	g_atomic_int_inc(&plan->refs);
	return plan;
}

void
dps_plan_unref(DpsPlan *plan)
{
	if (!plan || !g_atomic_int_dec_and_test(&plan->refs))
		return;

	g_ptr_array_unref(plan->assignments);
	g_ptr_array_unref(plan->changes);
	g_ptr_array_unref(plan->findings);
	g_ptr_array_unref(plan->table_edits);
	g_clear_pointer(&plan->table, g_bytes_unref);
	g_clear_pointer(&plan->touched, g_array_unref);
	g_free(plan->btrfs_default);
	g_free(plan->root_hash);
	g_free(plan->usr_hash);
	g_free(plan->machine_id);
	dps_btrfs_free(plan->mounted_btrfs);
	g_free(plan->backup);
	dps_disk_unref(plan->disk);
	dps_tree_unref(plan->tree);
	dps_tree_unref(plan->system);
	g_free(plan);
}

void
dps_plan_set_arch(DpsPlan *plan, DpsArch arch)
{
	g_return_if_fail(plan->state == DPS_PLAN_OPEN);

	if (arch != DPS_ARCH_NONE)
		plan->arch = arch;
	else
		plan->arch = plan->tree ? dps_tree_get_arch(plan->tree) : DPS_ARCH_NONE;
}

void
dps_plan_set_btrfs_default(DpsPlan *plan, const char *subvolume)
{
	g_return_if_fail(plan->state == DPS_PLAN_OPEN && subvolume != NULL);

	g_free(plan->btrfs_default);
	plan->btrfs_default = g_strdup(subvolume);
}

static gboolean
set_hash(char **where, const char *hash, GError **error)
{
	DpsGuid data, hashes;

	if (hash && !dps_derive_verity(hash, &data, &hashes, error))
		return FALSE;

	g_free(*where);
	*where = g_strdup(hash);
	return TRUE;
}

gboolean
dps_plan_set_root_hash(DpsPlan *plan, const char *hash, GError **error)
{
	g_return_val_if_fail(plan->state == DPS_PLAN_OPEN, FALSE);

	return set_hash(&plan->root_hash, hash, error);
}

gboolean
dps_plan_set_usr_hash(DpsPlan *plan, const char *hash, GError **error)
{
	g_return_val_if_fail(plan->state == DPS_PLAN_OPEN, FALSE);

	return set_hash(&plan->usr_hash, hash, error);
}

gboolean
dps_plan_set_machine_id(DpsPlan *plan, const char *machine_id, GError **error)
{
	DpsGuid uuid;

	g_return_val_if_fail(plan->state == DPS_PLAN_OPEN, FALSE);

	if (machine_id && !dps_derive_var(machine_id, &uuid, error))
		return FALSE;

	g_free(plan->machine_id);
	plan->machine_id = g_strdup(machine_id);
	return TRUE;
}

void
dps_plan_set_names(DpsPlan *plan, gboolean names)
{
	g_return_if_fail(plan->state == DPS_PLAN_OPEN);

	plan->names = names;
}

void
dps_plan_set_force(DpsPlan *plan, gboolean force)
{
	g_return_if_fail(plan->state == DPS_PLAN_OPEN);

	plan->force = force;
}

void
dps_plan_add_finding(DpsPlan *plan, DpsFinding *finding)
{
	g_ptr_array_add(plan->findings, finding);
}

char *
dps_plan_describe(DpsPlan *plan, guint partition)
{
	return g_strdup_printf("%s: partition %u", dps_disk_get_path(plan->disk), partition);
}

const DpsAssignment *
dps_plan_get_assignment_of(DpsPlan *plan, guint partition)
{
	for (guint i = 0; i < plan->assignments->len; i++) {
		const DpsAssignment *assignment = plan->assignments->pdata[i];

		if (assignment->partition == partition)
			return assignment;
	}
	return NULL;
}

const DpsAssignment *
dps_plan_get_assignment_for(DpsPlan *plan, DpsRole role)
{
	for (guint i = 0; i < plan->assignments->len; i++) {
		const DpsAssignment *assignment = plan->assignments->pdata[i];

		if (assignment->role == role)
			return assignment;
	}
	return NULL;
}

static gboolean
is_mounted_from(DpsPlan *plan, const DpsMount *mount, DpsPartition *partition)
{
	for (guint i = 0; i < mount->backings->len; i++) {
		DpsPartition *found;

		if (dps_disk_find_backing(plan->disk, mount->backings->pdata[i], &found) &&
		    found == partition)
			return TRUE;
	}
	return FALSE;
}

const DpsMount *
dps_plan_get_root_mount(DpsPlan *plan, DpsPartition *partition)
{
	const DpsMount *mount = plan->tree ? dps_tree_get_root_mount(plan->tree) : NULL;

	return mount && is_mounted_from(plan, mount, partition) ? mount : NULL;
}

static const DpsMount *
find_btrfs_mount_in(DpsPlan *plan, DpsTree *tree, DpsPartition *partition)
{
	GPtrArray *mounts = dps_tree_get_mounts(tree);

	for (guint i = 0; i < mounts->len; i++) {
		const DpsMount *mount = mounts->pdata[i];

		if (strcmp(mount->fs_type, "btrfs") == 0 && is_mounted_from(plan, mount, partition))
			return mount;
	}
	return NULL;
}

const DpsMount *
dps_plan_find_btrfs_mount(DpsPlan *plan, DpsPartition *partition, DpsTree **tree)
{
	const DpsMount *mount;

	*tree = plan->tree;
	mount = dps_plan_get_root_mount(plan, partition);
	if (mount && strcmp(mount->fs_type, "btrfs") == 0)
		return mount;
	mount = plan->tree ? find_btrfs_mount_in(plan, plan->tree, partition) : NULL;
	if (mount)
		return mount;

	if (!plan->system)
		plan->system = dps_tree_open("/", NULL);
	*tree = plan->system;
	return plan->system ? find_btrfs_mount_in(plan, plan->system, partition) : NULL;
}

/* Roles that several partitions of one disk may have at once. */
static gboolean
may_repeat(DpsRole role)
{
	return role == DPS_ROLE_SWAP || role == DPS_ROLE_LINUX_GENERIC ||
	       role == DPS_ROLE_USER_HOME || role == DPS_ROLE_SAME;
}

static gboolean
is_verity_role(DpsRole role)
{
	return role == DPS_ROLE_ROOT_VERITY || role == DPS_ROLE_USR_VERITY;
}

static gboolean
is_signature_role(DpsRole role)
{
	return role == DPS_ROLE_ROOT_VERITY_SIG || role == DPS_ROLE_USR_VERITY_SIG;
}

static gboolean
is_firmware_role(DpsRole role)
{
	return role == DPS_ROLE_BIOS_BOOT || role == DPS_ROLE_PREP;
}

/*
 * Whether what the partition holds can be what the role says: NULL when it can, else why not, one
 * line.  A type on the wrong content does not make it discoverable, it makes the boot fail.
 */
static const char *
why_not(DpsRole role, DpsPartition *partition)
{
	const DpsContent *content = &partition->content;

	if (role == DPS_ROLE_SAME)
		return NULL;

	/* Taking a DPS type away from a member is right; giving it one never is. */
	if (dps_partition_is_member(partition))
		return role == DPS_ROLE_LINUX_GENERIC && partition->type
			       ? NULL
			       : "a member of a larger whole (LVM, RAID, multi-device file system) "
				 "gets "
				 "no discoverable type: install on a plain partition, or leave it "
				 "out";

	/* It may be such a member; and what is given a type is what systemd mounts. */
	if (content->kind == DPS_CONTENT_UNREADABLE)
		return role == DPS_ROLE_LINUX_GENERIC && partition->type
			       ? NULL
			       : "it may be anything: try again; when it stays so the disk is "
				 "failing: copy it to another one first, or leave the partition "
				 "out";

	if (role == DPS_ROLE_LINUX_GENERIC || content->kind == DPS_CONTENT_NONE)
		return NULL;

	if (content->kind == DPS_CONTENT_AMBIGUOUS)
		return "systemd refuses the whole disk over it: remove the stale one with wipefs";

	if (is_firmware_role(role))
		return "firmware keeps raw code there: choose another partition";

	if (is_verity_role(role))
		return content->kind == DPS_CONTENT_VERITY
			       ? NULL
			       : "no dm-verity hashes: choose the partition that veritysetup wrote";

	if (is_signature_role(role))
		return "no signature document: choose the partition that holds one";

	if (content->kind == DPS_CONTENT_VERITY)
		return "dm-verity hashes are no file system: choose the data partition";

	if (role == DPS_ROLE_SWAP)
		return content->kind == DPS_CONTENT_SWAP || content->kind == DPS_CONTENT_LUKS
			       ? NULL
			       : "no swap signature: choose another partition, or run mkswap first";

	if (content->kind == DPS_CONTENT_SWAP)
		return "swap space is no file system: use swap=N";

	if ((role == DPS_ROLE_ROOT || role == DPS_ROLE_USR) &&
	    g_strcmp0(content->type, "vfat") == 0)
		return "FAT holds no Linux system: choose another partition";

	if (role == DPS_ROLE_ESP && g_strcmp0(content->type, "vfat") != 0)
		return "firmware reads FAT only: choose the FAT partition";

	return NULL;
}

/*
 * The architecture of what is on the disk itself: of the partition that is assigned, of the root
 * that was assigned before, or of the only system on the disk.
 */
static DpsArch
find_arch_on_disk(DpsPlan *plan, DpsRole role, DpsPartition *partition)
{
	g_autoptr(GPtrArray) roots = NULL;
	const DpsAssignment *root = dps_plan_get_assignment_for(plan, DPS_ROLE_ROOT);
	guint number = 0;

	if (role == DPS_ROLE_ROOT || role == DPS_ROLE_USR) {
		DpsArch arch = dps_image_find_arch(partition);

		if (arch != DPS_ARCH_NONE)
			return arch;
	}
	if (root)
		return root->arch;

	roots = dps_image_list_roots(plan->disk);
	for (guint i = 0; i < roots->len; i++) {
		const DpsImageRoot *found = roots->pdata[i];

		if (found->os && number != 0)
			return DPS_ARCH_NONE;
		if (found->os)
			number = found->partition;
	}
	return number ? dps_image_find_arch(dps_disk_get_partition_by_number(plan->disk, number))
		      : DPS_ARCH_NONE;
}

static gboolean
check_arch(DpsPlan *plan, DpsRole role, DpsPartition *partition, DpsArch *arch, GError **error)
{
	if (!dps_role_needs_arch(role)) {
		if (*arch != DPS_ARCH_NONE)
			return dps_throw(
				error, DPS_ERROR_INVALID,
				"%s: does not depend on the architecture: leave out \":%s\"",
				dps_role_to_string(role), dps_arch_to_string(*arch));
		return TRUE;
	}

	if (*arch == DPS_ARCH_NONE)
		*arch = plan->arch;
	if (*arch == DPS_ARCH_NONE)
		*arch = find_arch_on_disk(plan, role, partition);
	if (*arch == DPS_ARCH_NONE)
		return dps_throw(error, DPS_ERROR_REFUSED,
				 "%s: %s needs an architecture, and nothing tells which: give it "
				 "with --arch, or as %s:ARCH=PARTITION",
				 dps_disk_get_path(plan->disk), dps_role_to_string(role),
				 dps_role_to_string(role));

	return TRUE;
}

static gboolean
check_given_once(DpsPlan *plan, DpsRole role, DpsArch arch, guint partition, GError **error)
{
	for (guint i = 0; i < plan->assignments->len; i++) {
		const DpsAssignment *other = plan->assignments->pdata[i];

		if (other->partition == partition)
			return dps_throw_partition(
				error, partition, DPS_ERROR_INVALID,
				"partition %u: is assigned twice: as %s and as %s", partition,
				dps_role_to_string(other->role), dps_role_to_string(role));
		if (other->role == role && other->arch == arch && !may_repeat(role))
			return dps_throw_partition(
				error, partition, DPS_ERROR_INVALID,
				"%s: is given twice: to partition %u and to partition %u",
				dps_role_to_string(role), other->partition, partition);
	}
	return TRUE;
}

static gboolean
add_assignment(DpsPlan *plan, DpsAssignment assignment, const char *reason, GError **error)
{
	DpsPartition *partition =
		dps_disk_get_partition_by_number(plan->disk, assignment.partition);
	g_autofree char *subject = dps_plan_describe(plan, assignment.partition);
	const char *problem;

	if (!partition)
		return dps_throw_partition(error, assignment.partition, DPS_ERROR_NOT_FOUND,
					   "%s: not in the partition table: see `dps-tag show %s`",
					   subject, dps_disk_get_path(plan->disk));

	if (!check_arch(plan, assignment.role, partition, &assignment.arch, error) ||
	    !check_given_once(plan, assignment.role, assignment.arch, assignment.partition, error))
		return FALSE;

	problem = why_not(assignment.role, partition);
	if (problem && dps_partition_is_unreadable(partition))
		return dps_throw_partition(
			error, assignment.partition, DPS_ERROR_IO,
			"%s: cannot be %s: what it holds cannot be read (%s): %s", subject,
			dps_role_to_string(assignment.role), partition->content.problem, problem);
	if (problem)
		return dps_throw_partition(error, assignment.partition, DPS_ERROR_REFUSED,
					   "%s: cannot be %s: it holds %s: %s", subject,
					   dps_role_to_string(assignment.role),
					   dps_partition_describe_content(partition), problem);

	assignment.reason = dps_text_clean(reason, strlen(reason)); /* fstab is bytes */
	g_ptr_array_add(plan->assignments, g_memdup2(&assignment, sizeof(assignment)));
	return TRUE;
}

/* Nothing to recognise where firmware keeps code and where signatures are. */
static void
warn_of_unknown_content(DpsPlan *plan, DpsRole role, guint number)
{
	DpsPartition *partition = dps_disk_get_partition_by_number(plan->disk, number);

	if (partition->content.kind != DPS_CONTENT_NONE || is_firmware_role(role) ||
	    is_signature_role(role) || role == DPS_ROLE_LINUX_GENERIC || role == DPS_ROLE_SAME)
		return;

	dps_plan_add_finding(
		plan,
		dps_finding_new("assigned-content-unknown", DPS_SEVERITY_WARNING, number, NULL,
				"make sure that this is the partition you mean; format it before "
				"the next boot",
				"assigned as %s, and nothing that is known is on it",
				dps_role_to_string(role)));
}

gboolean
dps_plan_assign(DpsPlan *plan, DpsRole role, DpsArch arch, guint partition, DpsFlags set,
		DpsFlags clear, GError **error)
{
	DpsAssignment assignment = {
		.role = role,
		.arch = arch,
		.partition = partition,
		.set = set,
		.clear = clear,
		.typed = TRUE,
	};

	g_return_val_if_fail(plan->state == DPS_PLAN_OPEN, FALSE);
	g_return_val_if_fail(dps_role_to_string(role) != NULL, FALSE);

	if (!plan->disk)
		return dps_throw(
			error, DPS_ERROR_NOT_FOUND,
			"%s: the tree is on no disk: name the disk that partition %u is on",
			dps_tree_get_path(plan->tree), partition);

	if (set & clear)
		return dps_throw_partition(error, partition, DPS_ERROR_INVALID,
					   "partition %u: a flag is to be set and cleared at once",
					   partition);

	if (!add_assignment(plan, assignment, "given", error))
		return FALSE;

	warn_of_unknown_content(plan, role, partition);
	return TRUE;
}

gboolean
dps_plan_assign_detected(DpsPlan *plan, DpsRole role, guint partition, const char *reason,
			 GError **error)
{
	DpsAssignment assignment = { .role = role, .partition = partition };
	DpsPartition *found = dps_disk_get_partition_by_number(plan->disk, partition);

	/* As swap that crypttab encrypts with a new key at each boot: a type would not find it. */
	if (found && found->content.kind == DPS_CONTENT_NONE)
		return dps_throw_partition(error, partition, DPS_ERROR_REFUSED,
					   "%s: partition %u: may be %s (%s), and nothing that is "
					   "known is on it: type %s=%u if it is to have that type",
					   dps_disk_get_path(plan->disk), partition,
					   dps_role_to_string(role), reason,
					   dps_role_to_string(role), partition);

	return add_assignment(plan, assignment, reason, error);
}

DpsDisk *
dps_plan_get_disk(DpsPlan *plan)
{
	return plan->disk;
}

DpsArch
dps_plan_get_arch(DpsPlan *plan)
{
	return plan->arch;
}

GPtrArray *
dps_plan_get_assignments(DpsPlan *plan)
{
	return plan->assignments;
}

GPtrArray *
dps_plan_get_changes(DpsPlan *plan)
{
	return plan->changes;
}

GPtrArray *
dps_plan_get_findings(DpsPlan *plan)
{
	return plan->findings;
}

gboolean
dps_plan_get_applied(DpsPlan *plan)
{
	return plan->applied;
}

const char *
dps_plan_get_backup(DpsPlan *plan)
{
	return plan->backup;
}

DpsRole
dps_assignment_get_role(DpsAssignment *assignment)
{
	return assignment->role;
}

DpsArch
dps_assignment_get_arch(DpsAssignment *assignment)
{
	return assignment->arch;
}

guint
dps_assignment_get_partition(DpsAssignment *assignment)
{
	return assignment->partition;
}

DpsFlags
dps_assignment_get_set_flags(DpsAssignment *assignment)
{
	return assignment->set;
}

DpsFlags
dps_assignment_get_clear_flags(DpsAssignment *assignment)
{
	return assignment->clear;
}

const char *
dps_assignment_get_reason(DpsAssignment *assignment)
{
	return assignment->reason;
}
