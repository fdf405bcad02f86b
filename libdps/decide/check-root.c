/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/check.h"
#include "decide/winner.h"
#include "ground/types.h"

#include <inttypes.h>
#include <string.h>

/* Root types of other architectures only, and their first: the fault is root-foreign-arch. */
static DpsPartition *
get_foreign_root(DpsCheck *check)
{
	DpsPartition *foreign = NULL;

	for (DpsPartition *root = dps_check_next_of_role(check, DPS_ROLE_ROOT, NULL); root;
	     root = dps_check_next_of_role(check, DPS_ROLE_ROOT, root)) {
		if (root->type->arch == check->arch)
			return NULL;
		if (!foreign)
			foreign = root;
	}
	return foreign;
}

static void
check_root_missing(DpsCheck *check)
{
	g_autoptr(GString) hint = g_string_new(NULL);

	if (!dps_disk_get_gpt(check->disk) || dps_check_next_of_role(check, DPS_ROLE_ROOT, NULL))
		return;

	for (guint i = 0; i < dps_disk_get_n_partitions(check->disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(check->disk, i);
		gboolean generic =
			partition->type && partition->type->role == DPS_ROLE_LINUX_GENERIC;

		if (generic && dps_root_is_possible(partition))
			g_string_append_printf(hint, "%sroot=%u", hint->len ? ", or " : "",
					       partition->number);
	}
	if (hint->len > 0)
		g_string_prepend(hint, "tag it: dps-tag apply DISK ");

	dps_check_report(
		check, 0, hint->len ? hint->str : NULL,
		"no partition has the type of a root file system%s%s: without root= on the "
		"command line the system does not boot",
		check->arch ? " of " : "", check->arch ? dps_arch_to_string(check->arch) : "");
}

static void
check_root_foreign_arch(DpsCheck *check)
{
	DpsPartition *foreign = get_foreign_root(check);
	g_autofree char *hint = NULL;

	if (!foreign || check->arch == DPS_ARCH_NONE)
		return;

	hint = g_strdup_printf("dps-tag apply DISK root:%s=%u", dps_arch_to_string(check->arch),
			       foreign->number);
	dps_check_report(
		check, foreign->number, hint,
		"has the root type of %s, and the disk is for %s (%s): the boot path takes its "
		"own architecture's only",
		dps_arch_to_string(foreign->type->arch), dps_arch_to_string(check->arch),
		check->arch_reason);
}

static void
check_root_multiple(DpsCheck *check)
{
	DpsPartition *winner = dps_check_get_root(check);
	GString *others;

	if (!winner)
		return;

	others = g_string_new(NULL);
	for (DpsPartition *root = dps_check_next_of_role(check, DPS_ROLE_ROOT, NULL); root;
	     root = dps_check_next_of_role(check, DPS_ROLE_ROOT, root))
		if (root != winner && root->type == winner->type &&
		    !(root->attributes & DPS_FLAG_NO_AUTO))
			g_string_append_printf(others, "%s%u (label \"%s\")",
					       others->len ? ", " : "", root->number,
					       root->label ? root->label : "");

	if (others->len > 0)
		dps_check_report(
			check, winner->number,
			"hide the others with same=N,no-auto, or take their tag away with "
			"linux-generic=N",
			"several partitions have the root type: systemd takes this one (label "
			"\"%s\"), not partition %s",
			winner->label ? winner->label : "", others->str);
	g_string_free(others, TRUE);
}

static void
check_root_type_on_pv(DpsCheck *check)
{
	for (DpsPartition *root = dps_check_next_of_role(check, DPS_ROLE_ROOT, NULL); root;
	     root = dps_check_next_of_role(check, DPS_ROLE_ROOT, root))
		if (dps_partition_is_member(root))
			dps_check_report(
				check, root->number,
				"take the tag away: dps-tag apply DISK linux-generic=N, and keep "
				"root= on the command line",
				"has the root type and holds %s: systemd finds it and cannot "
				"mount it",
				dps_partition_describe_content(root));
}

/* The subvolume that is root as far as tree and names tell; NULL when nothing does. */
static const DpsSubvolume *
get_expected_subvolume(DpsCheck *check, DpsPartition *root)
{
	static const char *const names[] = { "root", "@",
					     "@rootfs" }; /* Fedora; Ubuntu, SUSE; Debian */
	const DpsMount *mount = check->tree ? dps_tree_get_root_mount(check->tree) : NULL;
	GPtrArray *fstab = check->tree ? dps_tree_get_fstab(check->tree) : NULL;

	if (mount && mount->subvolume_id != 0)
		return dps_btrfs_find_id(root->btrfs, mount->subvolume_id);

	for (guint i = 0; fstab && i < fstab->len; i++) {
		const DpsFstabEntry *entry = fstab->pdata[i];

		if (g_strcmp0(entry->mount_point, "/") == 0 && entry->subvolume)
			return dps_btrfs_find_path(root->btrfs, entry->subvolume);
	}

	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		const DpsSubvolume *subvolume = dps_btrfs_find_path(root->btrfs, names[i]);

		if (subvolume)
			return subvolume;
	}
	return NULL;
}

static void
check_btrfs_no_default_subvol(DpsCheck *check)
{
	DpsPartition *root = dps_check_get_root(check);
	const DpsSubvolume *expected, *current;
	uint64_t id;

	if (!root || !root->btrfs)
		return;

	id = dps_btrfs_get_default_id(root->btrfs);
	current = dps_btrfs_find_id(root->btrfs, id);
	if (!current) {
		dps_check_report(
			check, root->number,
			"set one that is there: dps-tag apply DISK root=N --btrfs-default "
			"SUBVOLUME",
			"the default subvolume is number %" PRIu64
			", which is not there: the file system does not mount without a name",
			id);
		return;
	}

	expected = get_expected_subvolume(check, root);
	if (id != DPS_BTRFS_TOP_LEVEL || !expected || expected->id == id)
		return;

	dps_check_report(
		check, root->number, "dps-tag apply sets it",
		"the default subvolume is the top level and root is in %s: systemd mounts the "
		"top level, where no system is",
		expected->path);
}

static void
check_tmp_type_on_tmp(DpsCheck *check)
{
	GPtrArray *fstab = check->tree ? dps_tree_get_fstab(check->tree) : NULL;

	for (guint i = 0; fstab && i < fstab->len; i++) {
		const DpsFstabEntry *entry = fstab->pdata[i];
		DpsPartition *partition;

		if (g_strcmp0(entry->mount_point, "/tmp") != 0)
			continue;
		partition = dps_disk_find_partition(check->disk, entry->spec, NULL);
		if (partition && partition->type && partition->type->role == DPS_ROLE_TMP)
			dps_check_report(
				check, partition->number,
				"take the tag away: dps-tag apply DISK linux-generic=N",
				"fstab mounts it at /tmp, and its type says /var/tmp: systemd "
				"mounts it there too");
	}
}

const DpsRule dps_rules_root[] = {
	{ "root-missing", DPS_SEVERITY_ERROR, check_root_missing },
	{ "root-foreign-arch", DPS_SEVERITY_ERROR, check_root_foreign_arch },
	{ "root-multiple", DPS_SEVERITY_WARNING, check_root_multiple },
	{ "root-type-on-pv", DPS_SEVERITY_ERROR, check_root_type_on_pv },
	{ "btrfs-no-default-subvol", DPS_SEVERITY_ERROR, check_btrfs_no_default_subvol },
	{ "tmp-type-on-tmp", DPS_SEVERITY_WARNING, check_tmp_type_on_tmp },
	{ NULL },
};
