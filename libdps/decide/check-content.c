/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/check.h"
#include "decide/discover.h"
#include "ground/text.h"
#include "ground/types.h"
#include "target/image.h"

#include <inttypes.h>
#include <unistd.h>

static void
check_root_fs_not_allowed(DpsCheck *check)
{
	for (guint i = 0; i < dps_disk_get_n_partitions(check->disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(check->disk, i);

		/* A member, LUKS and nothing at all are other rules' matters. */
		if (!partition->type || !dps_check_is_mounted_role(partition->type->role) ||
		    !dps_check_can_see(check, partition) ||
		    partition->content.kind != DPS_CONTENT_FILE_SYSTEM ||
		    dps_partition_is_member(partition) ||
		    dps_discover_is_allowed(partition->content.type))
			continue;
		dps_check_report(
			check, partition->number,
			"use ext4, xfs, btrfs, f2fs, erofs or squashfs, or name it in fstab",
			"holds %s: systemd 254 and newer refuse to mount that without being "
			"told",
			dps_partition_describe_content(partition));
	}
}

/* What another rule finds, or misses, in the system's files may be owed to this. */
static void
check_root_not_clean(DpsCheck *check)
{
	const DpsTreeOrigin *origin =
		check->is_own_tree && check->tree ? dps_tree_get_origin(check->tree) : NULL;
	const char *note = origin ? dps_files_get_note(check->files) : NULL;
	DpsPartition *partition =
		note ? dps_disk_get_partition_by_number(check->disk, origin->partition) : NULL;

	if (partition)
		dps_check_report(check, partition->number,
				 "unmount it where it is in use; else mount it once to write, or "
				 "run its fsck",
				 "the system's files were read from here, and %s %s",
				 dps_partition_describe_content(partition), note);
}

/* The subvolume that is root as far as tree and names tell; NULL when nothing does. */
static const DpsSubvolume *
get_expected_subvolume(DpsCheck *check, DpsPartition *root)
{
	static const char *const names[] = { "root", "@",
					     "@rootfs" }; /* Fedora; Ubuntu, SUSE; Debian */
	const DpsMount *mount = check->tree ? dps_tree_get_root_mount(check->tree) : NULL;
	const DpsTreeOrigin *origin = check->tree ? dps_tree_get_origin(check->tree) : NULL;
	GPtrArray *fstab = check->tree ? dps_tree_get_fstab(check->tree) : NULL;

	if (mount && mount->subvolume_id != 0)
		return dps_btrfs_find_id(root->btrfs, mount->subvolume_id);

	for (guint i = 0; fstab && i < fstab->len; i++) {
		const DpsFstabEntry *entry = fstab->pdata[i];

		if (g_strcmp0(entry->mount_point, "/") == 0 && entry->subvolume)
			return dps_btrfs_find_path(root->btrfs, entry->subvolume);
	}
	for (guint i = 0; i < check->boot->entries->len; i++) {
		const DpsBootEntry *entry = check->boot->entries->pdata[i];

		if (entry->hidden == DPS_BLS_SHOWN && !entry->is_unclear &&
		    entry->cmdline.root_subvol && *entry->cmdline.root_subvol)
			return dps_btrfs_find_path(root->btrfs, entry->cmdline.root_subvol);
	}
	if (origin && origin->partition == root->number && origin->subvolume_id != 0)
		return dps_btrfs_find_id(root->btrfs, origin->subvolume_id);

	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		const DpsSubvolume *subvolume = dps_btrfs_find_path(root->btrfs, names[i]);

		if (subvolume)
			return subvolume;
	}
	return NULL;
}

/* Whether every boot entry says which subvolume is root: then the default does not matter. */
static gboolean
is_named_by_entries(DpsCheck *check)
{
	const DpsBoot *boot = check->boot;
	guint n = boot->entries->len + boot->grub_lines->len, n_named = 0;

	for (guint i = 0; i < n; i++) {
		const DpsBootEntry *entry =
			i < boot->entries->len ? boot->entries->pdata[i]
					       : boot->grub_lines->pdata[i - boot->entries->len];

		if (entry->hidden != DPS_BLS_SHOWN || entry->is_tool)
			continue;
		if (!entry->cmdline.root_subvol && !entry->cmdline.root_subvolid)
			return FALSE;
		n_named++;
	}
	return n_named > 0;
}

static char *
hint_default(const DpsSubvolume *subvolume)
{
	g_autofree char *path = dps_text_quote(subvolume->path);

	return g_strdup_printf("make it the default: `dps-tag apply {disk} {root}={n} "
			       "--btrfs-default %s`",
			       path);
}

static void
check_btrfs_no_default_subvol(DpsCheck *check)
{
	DpsPartition *root = dps_check_get_root(check);
	const DpsSubvolume *expected, *current;
	g_autofree char *hint = NULL;
	gboolean is_named;
	uint64_t id;

	if (root && !dps_check_can_see(check, root))
		return;
	if (root && root->content.kind == DPS_CONTENT_LUKS)
		dps_check_cannot_judge(check, root->number, "it is encrypted");
	if (root && root->btrfs_error)
		dps_check_cannot_judge(check, root->number, root->btrfs_error->message);
	if (!root || !root->btrfs || dps_btrfs_get_subvolumes(root->btrfs)->len == 0)
		return;

	id = dps_btrfs_get_default_id(root->btrfs);
	current = dps_btrfs_find_id(root->btrfs, id);
	if (!current) {
		dps_check_report(
			check, root->number,
			"set one that is there: `dps-tag apply {disk} {root}={n} --btrfs-default "
			"SUBVOLUME`",
			"the default subvolume is number %" PRIu64
			", which is not there: the file system does not mount without a name",
			id);
		return;
	}

	expected = get_expected_subvolume(check, root);
	if (id != DPS_BTRFS_TOP_LEVEL || !expected || expected->id == id)
		return;

	hint = hint_default(expected);
	is_named = is_named_by_entries(check);
	dps_check_report_as(
		check,
		is_named || check->boot->discovery == DPS_DISCOVERY_UNKNOWN ? DPS_SEVERITY_WARNING
									    : DPS_SEVERITY_ERROR,
		root->number, hint,
		"the default subvolume is the top level and root is in %s: systemd mounts the "
		"top level, where no system is%s",
		expected->path,
		is_named ? ", unless rootflags= says otherwise, as every entry does" : "");
}

static void
check_btrfs_default_not_root(DpsCheck *check)
{
	DpsPartition *root = dps_check_get_root(check);
	const DpsSubvolume *expected, *current;
	g_autofree char *hint = NULL;

	if (!root || !dps_check_can_see(check, root) || !root->btrfs)
		return;

	current = dps_btrfs_find_id(root->btrfs, dps_btrfs_get_default_id(root->btrfs));
	expected = current ? get_expected_subvolume(check, root) : NULL;
	if (!expected || current->id == DPS_BTRFS_TOP_LEVEL)
		return;
	hint = hint_default(expected);
	if (expected->id != current->id)
		dps_check_report(check, root->number, hint,
				 "the default subvolume is %s and the system is in %s: without "
				 "rootflags= another one is booted",
				 current->path, expected->path);
	else if (current->is_snapshot)
		/* As snapper has it: systems with rollback are set up so. */
		dps_check_report_as(check, DPS_SEVERITY_INFO, root->number, NULL,
				    "the default subvolume is a snapshot, %s: a rollback moves it",
				    current->path);
}

static void
check_btrfs_multi_device(DpsCheck *check)
{
	for (guint i = 0; i < dps_disk_get_n_partitions(check->disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(check->disk, i);

		if (partition->type && dps_check_is_mounted_role(partition->type->role) &&
		    dps_check_can_see(check, partition) && partition->btrfs &&
		    dps_btrfs_get_n_devices(partition->btrfs) > 1)
			dps_check_report(
				check, partition->number, "keep home and its kin in fstab",
				"is a btrfs over %" G_GUINT64_FORMAT
				" devices: with such a root systemd discovers nothing else",
				dps_btrfs_get_n_devices(partition->btrfs));
	}
}

static void
check_aux_duplicate(DpsCheck *check)
{
	static const DpsRole roles[] = { DPS_ROLE_HOME, DPS_ROLE_SRV, DPS_ROLE_VAR, DPS_ROLE_TMP };

	for (guint i = 0; i < G_N_ELEMENTS(roles); i++) {
		DpsPartition *first = NULL;

		for (DpsPartition *other = dps_check_next_of_role(check, roles[i], NULL); other;
		     other = dps_check_next_of_role(check, roles[i], other)) {
			if (other->attributes & DPS_FLAG_NO_AUTO)
				continue;
			if (first)
				dps_check_report(check, other->number,
						 "take its tag away: `dps-tag apply {disk} "
						 "linux-generic={n}`",
						 "a second partition of type %s: systemd takes the "
						 "first, partition %u",
						 other->type->name, first->number);
			else
				first = other;
		}
	}
}

/* Where fstab mounts a partition; NULL: nowhere. */
static const char *
find_in_fstab(DpsCheck *check, DpsPartition *partition)
{
	GPtrArray *fstab = check->tree ? dps_tree_get_fstab(check->tree) : NULL;

	for (guint i = 0; fstab && i < fstab->len; i++) {
		const DpsFstabEntry *entry = fstab->pdata[i];
		DpsPartition *found;

		dps_check_find_root_spec(check, entry->spec, &found);
		if (found == partition && entry->mount_point)
			return entry->mount_point;
	}
	return NULL;
}

/* The first of the directories for sockets that systemd makes in /tmp at each boot, and nowhere
 * else (tmpfiles.d/x11.conf); NULL: none is there, or it could not be looked into, which is said.
 */
static const char *
find_sign_of_tmp(DpsCheck *check, DpsPartition *partition)
{
	static const char *const names[] = { ".X11-unix", ".ICE-unix", ".XIM-unix", ".font-unix" };
	g_autoptr(GError) error = NULL;
	const char *found = NULL;
	DpsFiles *files;
	int fd;

	if (!dps_check_can_see(check, partition))
		return NULL;
	if (partition->content.kind == DPS_CONTENT_LUKS)
		dps_check_cannot_judge(check, partition->number, "it is encrypted");
	if (partition->content.kind != DPS_CONTENT_FILE_SYSTEM)
		return NULL;

	files = dps_image_open_files(partition, 0, &fd, &error);
	if (!files) {
		dps_check_cannot_judge(check, partition->number, error->message);
		return NULL;
	}
	for (guint i = 0; i < G_N_ELEMENTS(names) && !found; i++) {
		g_autoptr(DpsFileInfo) info = NULL;

		if (dps_files_lookup(files, names[i], &info, NULL) && info &&
		    info->kind == DPS_FILE_DIRECTORY)
			found = names[i];
	}
	dps_files_free(files);
	close(fd);
	return found;
}

static void
check_tmp_type_on_tmp(DpsCheck *check)
{
	for (DpsPartition *tmp = dps_check_next_of_role(check, DPS_ROLE_TMP, NULL); tmp;
	     tmp = dps_check_next_of_role(check, DPS_ROLE_TMP, tmp)) {
		const char *place = find_in_fstab(check, tmp);
		const char *sign;

		if (tmp->attributes & DPS_FLAG_NO_AUTO)
			continue;
		/* Whoever mounts it elsewhere by fstab knows what it is. */
		dps_check_need_tree(check);
		sign = place ? NULL : find_sign_of_tmp(check, tmp);
		if (g_strcmp0(place, "/tmp") == 0)
			dps_check_report(check, tmp->number,
					 "take the tag away: `dps-tag apply {disk} "
					 "linux-generic={n}`",
					 "fstab mounts it at /tmp, and its type says /var/tmp: "
					 "systemd mounts it there too");
		else if (sign)
			dps_check_report(check, tmp->number,
					 "take the tag away, and mount it at /tmp by fstab: "
					 "`dps-tag apply {disk} linux-generic={n}`",
					 "holds %s, as only /tmp does, and its type says /var/tmp: "
					 "systemd mounts it there",
					 sign);
	}
}

static gboolean
has_fstab_swap(DpsCheck *check)
{
	GPtrArray *fstab = check->tree ? dps_tree_get_fstab(check->tree) : NULL;

	for (guint i = 0; fstab && i < fstab->len; i++)
		if (g_strcmp0(((DpsFstabEntry *)fstab->pdata[i])->fs_type, "swap") == 0)
			return TRUE;
	return FALSE;
}

static void
check_swap_multiple(DpsCheck *check)
{
	DpsPartition *first = NULL;

	for (DpsPartition *other = dps_check_next_of_role(check, DPS_ROLE_SWAP, NULL); other;
	     other = dps_check_next_of_role(check, DPS_ROLE_SWAP, other)) {
		if (other->attributes & DPS_FLAG_NO_AUTO)
			continue;
		if (first && !has_fstab_swap(check))
			dps_check_report(
				check, other->number, "name it in fstab, with the first",
				"a second swap partition: systemd enables the first alone, "
				"partition %u",
				first->number);
		if (!first)
			first = other;
	}
}

/* Whether a partition's type is the fault of another rule's error, which says what it is instead.
 */
static gboolean
is_mistyped_otherwise(DpsCheck *check, DpsPartition *partition)
{
	const DpsTreeOrigin *origin =
		check->is_own_tree && check->tree ? dps_tree_get_origin(check->tree) : NULL;

	return dps_check_has_error(check, "esp-wrong-type", partition->number) ||
	       (origin && origin->partition == partition->number &&
		dps_check_has_error(check, "root-missing", 0));
}

/*
 * Whether crypttab opens a partition: what is on it before does not matter then, for it is made
 * swap at each boot, with a new key (crypttab(5), "swap").  A node of the target is not one of this
 * machine: it may be any partition.
 */
static gboolean
is_opened_by_crypttab(DpsCheck *check, DpsPartition *partition)
{
	GPtrArray *crypttab = check->tree ? dps_tree_get_crypttab(check->tree, NULL) : NULL;

	for (guint i = 0; crypttab && i < crypttab->len; i++) {
		const DpsCrypttabEntry *entry = crypttab->pdata[i];
		DpsPartition *found;

		if (dps_check_find_root_spec(check, entry->spec, &found) == DPS_ROOT_SPEC_UNKNOWN ||
		    found == partition)
			return TRUE;
	}
	return FALSE;
}

/* Something else under the type of swap. */
static void
judge_no_swap(DpsCheck *check, DpsPartition *partition)
{
	gboolean is_empty = partition->content.kind == DPS_CONTENT_NONE;
	DpsSeverity severity = DPS_SEVERITY_ERROR;

	if (is_mistyped_otherwise(check, partition) || is_opened_by_crypttab(check, partition))
		return;

	/* One line of swap in fstab, and systemd enables none by its type; and where crypttab could
	 * not be read, an empty one may be meant for it. */
	if (has_fstab_swap(check) || (is_empty && !check->tree))
		severity = DPS_SEVERITY_WARNING;
	if (is_empty)
		dps_check_report_as(check, severity, partition->number,
				    "run mkswap on it, or take the tag away: `dps-tag apply {disk} "
				    "linux-generic={n}`",
				    "has the swap type and holds nothing that is known: mkswap was "
				    "never run");
	else
		dps_check_report_as(check, severity, partition->number,
				    "give it the type of what it holds; mkswap would destroy that",
				    "has the swap type and holds %s",
				    dps_partition_describe_content(partition));
}

/* Swap that is not tagged: fstab may enable it all the same. */
static void
judge_generic_swap(DpsCheck *check, DpsPartition *partition)
{
	GPtrArray *fstab = check->tree ? dps_tree_get_fstab(check->tree) : NULL;

	for (guint i = 0; fstab && i < fstab->len; i++) {
		const DpsFstabEntry *entry = fstab->pdata[i];
		DpsPartition *found;

		dps_check_find_root_spec(check, entry->spec, &found);
		if (found != partition || g_strcmp0(entry->fs_type, "swap") != 0)
			continue;
		dps_check_report_as(
			check, DPS_SEVERITY_INFO, partition->number,
			"tag it: `dps-tag apply {disk} swap={n}`",
			"holds swap and has the generic type: fstab enables it, systemd "
			"by itself would not");
		return;
	}
	/* Nothing says that it is meant to be used: a warning. */
	dps_check_report_as(check, DPS_SEVERITY_WARNING, partition->number,
			    "tag it: `dps-tag apply {disk} swap={n}`",
			    "holds swap and has the generic type: systemd does not enable it by "
			    "itself");
}

static void
check_swap_type_mismatch(DpsCheck *check)
{
	for (guint i = 0; i < dps_disk_get_n_partitions(check->disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(check->disk, i);
		DpsContentKind kind = partition->content.kind;
		DpsRole role;

		if (!partition->type || dps_check_is_entry_bad(check, partition->number))
			continue;
		role = partition->type->role;
		if ((role == DPS_ROLE_SWAP || role == DPS_ROLE_LINUX_GENERIC ||
		     dps_check_is_mounted_role(role)) &&
		    !dps_check_can_see(check, partition))
			continue;
		if (role == DPS_ROLE_SWAP && kind != DPS_CONTENT_SWAP && kind != DPS_CONTENT_LUKS &&
		    kind != DPS_CONTENT_AMBIGUOUS && !(partition->attributes & DPS_FLAG_NO_AUTO) &&
		    !dps_partition_is_firmware_area(partition))
			judge_no_swap(check, partition);
		else if (role == DPS_ROLE_LINUX_GENERIC && kind == DPS_CONTENT_SWAP)
			judge_generic_swap(check, partition);
		else if (dps_check_is_mounted_role(role) && kind == DPS_CONTENT_SWAP)
			dps_check_report(
				check, partition->number, "tag it: `dps-tag apply {disk} swap={n}`",
				"holds swap and has the type %s: systemd tries to mount it",
				partition->type->name);
	}
}

const DpsRule dps_rules_content[] = {
	{ "root-fs-not-allowed", DPS_SEVERITY_WARNING, check_root_fs_not_allowed },
	{ "root-not-clean", DPS_SEVERITY_INFO, check_root_not_clean },
	{ "btrfs-no-default-subvol", DPS_SEVERITY_ERROR, check_btrfs_no_default_subvol },
	{ "btrfs-default-not-root", DPS_SEVERITY_WARNING, check_btrfs_default_not_root },
	{ "btrfs-multi-device", DPS_SEVERITY_WARNING, check_btrfs_multi_device },
	{ "aux-duplicate", DPS_SEVERITY_WARNING, check_aux_duplicate },
	{ "tmp-type-on-tmp", DPS_SEVERITY_WARNING, check_tmp_type_on_tmp },
	{ "swap-multiple", DPS_SEVERITY_WARNING, check_swap_multiple },
	{ "swap-type-mismatch", DPS_SEVERITY_ERROR, check_swap_type_mismatch },
	{ NULL },
};
