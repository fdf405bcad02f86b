/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/check.h"
#include "decide/winner.h"
#include "ground/types.h"
#include "target/image.h"

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

/* What could have the root type: a system, or what cannot be looked into and may be one. */
static void
append_candidates(DpsCheck *check, GString *hint)
{
	g_autoptr(GPtrArray) roots = dps_image_list_roots(check->disk);

	for (guint i = 0; i < roots->len; i++) {
		const DpsImageRoot *root = roots->pdata[i];
		DpsPartition *partition =
			dps_disk_get_partition_by_number(check->disk, root->partition);

		if ((root->os || root->problem) && dps_root_is_possible(partition) &&
		    partition->type && partition->type->role == DPS_ROLE_LINUX_GENERIC)
			g_string_append_printf(hint, "%s`dps-tag apply {disk} {root}=%u`",
					       hint->len ? ", or " : "", partition->number);
	}
}

static void
check_root_missing(DpsCheck *check)
{
	const DpsBoot *boot = check->boot;
	const DpsTreeOrigin *origin =
		check->is_own_tree && check->tree ? dps_tree_get_origin(check->tree) : NULL;
	g_autoptr(GString) hint = g_string_new(NULL);
	g_autofree char *consequence = NULL;
	DpsSeverity severity = DPS_SEVERITY_INFO;

	if (!dps_disk_get_gpt(check->disk) || dps_check_next_of_role(check, DPS_ROLE_ROOT, NULL))
		return;

	/* The one with an os-release, when that could be read. */
	if (origin)
		g_string_append_printf(hint, "`dps-tag apply {disk} {root}=%u`", origin->partition);
	else
		append_candidates(check, hint);
	if (hint->len > 0)
		g_string_prepend(hint, "tag it: ");

	/* It is an error only for what relies on it. */
	switch (boot->discovery) {
	case DPS_DISCOVERY_NO:
		consequence = g_strdup("every boot entry says where root is");
		break;
	case DPS_DISCOVERY_UNKNOWN:
		consequence = g_strdup("systems boot with root= on the command line only, and the "
				       "boot entries could not be read");
		break;
	case DPS_DISCOVERY_RELIED:
		severity = DPS_SEVERITY_ERROR;
		consequence =
			g_strdup_printf("%s has no root= and does not get beyond the initrd",
					boot->relying ? boot->relying->path : boot->loader->path);
		break;
	case DPS_DISCOVERY_NO_ENTRY:
		severity = DPS_SEVERITY_ERROR;
		consequence =
			g_strdup("without root= on the command line the system does not boot");
		break;
	}
	dps_check_report_as(check, severity, 0, hint->len ? hint->str : NULL,
			    "no partition has the type of a root file system%s%s: %s",
			    check->arch ? " of " : "",
			    check->arch ? dps_arch_to_string(check->arch) : "", consequence);
}

/* A root that cannot be discovered is an error for what relies on it. */
static DpsSeverity
severity_of_lost_root(DpsCheck *check)
{
	return check->boot->discovery == DPS_DISCOVERY_NO ||
			       check->boot->discovery == DPS_DISCOVERY_UNKNOWN
		       ? DPS_SEVERITY_WARNING
		       : DPS_SEVERITY_ERROR;
}

static void
check_root_no_auto(DpsCheck *check)
{
	DpsPartition *hidden = NULL;

	for (DpsPartition *root = dps_check_next_of_role(check, DPS_ROLE_ROOT, NULL); root;
	     root = dps_check_next_of_role(check, DPS_ROLE_ROOT, root)) {
		if (root->type->arch != check->arch)
			continue;
		if (!(root->attributes & DPS_FLAG_NO_AUTO))
			return;
		if (!hidden)
			hidden = root;
	}
	if (hidden)
		dps_check_report_as(check, severity_of_lost_root(check), hidden->number,
				    "show it: `dps-tag apply {disk} {root}={n},auto`",
				    "the only root of %s is marked no-auto: systemd passes it over",
				    dps_arch_to_string(check->arch));
}

/* Whether a partition holds a system, or nobody can tell. */
static gboolean
has_system(DpsCheck *check, DpsPartition *partition)
{
	g_autoptr(GPtrArray) roots = dps_image_list_roots(check->disk);

	for (guint i = 0; i < roots->len; i++) {
		const DpsImageRoot *root = roots->pdata[i];

		if (root->partition == partition->number)
			return root->os || root->problem;
	}
	return TRUE;
}

static void
check_root_foreign_arch(DpsCheck *check)
{
	DpsPartition *foreign = get_foreign_root(check);
	g_autofree char *hint = NULL;

	if (!foreign || check->arch == DPS_ARCH_NONE)
		return;

	hint = g_strdup_printf("tag it for that: `dps-tag apply {disk} root:%s=%u`",
			       dps_arch_to_string(check->arch), foreign->number);
	dps_check_report(
		check, foreign->number, hint,
		"has the root type of %s, and the disk is for %s (%s): the boot path takes its "
		"own architecture's only",
		dps_arch_to_string(foreign->type->arch), dps_arch_to_string(check->arch),
		check->arch_reason);
}

/* Whether the winner of several roots is empty: then a wrong one is taken. */
static gboolean
is_hollow(DpsCheck *check, DpsPartition *root)
{
	const DpsTreeOrigin *origin =
		check->is_own_tree && check->tree ? dps_tree_get_origin(check->tree) : NULL;

	return origin && origin->partition != root->number &&
	       root->content.kind == DPS_CONTENT_FILE_SYSTEM && !has_system(check, root);
}

static void
check_root_multiple(DpsCheck *check)
{
	DpsPartition *winner = dps_check_get_root(check);
	g_autoptr(GString) others = g_string_new(NULL);
	g_autoptr(GString) hint = g_string_new(NULL);
	gboolean hollow;

	if (!winner)
		return;

	hollow = is_hollow(check, winner);
	g_string_assign(hint, hollow ? "hide it: `dps-tag apply {disk} same={n},no-auto"
				     : "hide the others: `dps-tag apply {disk}");
	for (DpsPartition *root = dps_check_next_of_role(check, DPS_ROLE_ROOT, NULL); root;
	     root = dps_check_next_of_role(check, DPS_ROLE_ROOT, root)) {
		if (root == winner || root->type != winner->type ||
		    root->attributes & DPS_FLAG_NO_AUTO)
			continue;
		g_string_append_printf(others, "%s%u (label \"%s\")", others->len ? ", " : "",
				       root->number, root->label ? root->label : "");
		if (!hollow)
			g_string_append_printf(hint, " same=%u,no-auto", root->number);
	}
	if (others->len == 0)
		return;

	g_string_append(hint, "`");
	dps_check_report_as(
		check, hollow ? DPS_SEVERITY_ERROR : DPS_SEVERITY_WARNING, winner->number,
		hint->str,
		"several partitions have the root type: systemd takes this one (label \"%s\"), not "
		"partition %s",
		winner->label ? winner->label : "", others->str);
}

/* A btrfs over several devices boots; that nothing else is discovered on it is another rule's. */
static gboolean
is_multi_device_btrfs(DpsPartition *partition)
{
	return g_strcmp0(partition->content.type, "btrfs") == 0;
}

static void
check_root_type_on_pv(DpsCheck *check)
{
	for (DpsPartition *root = dps_check_next_of_role(check, DPS_ROLE_ROOT, NULL); root;
	     root = dps_check_next_of_role(check, DPS_ROLE_ROOT, root))
		if (dps_check_can_see(check, root) && dps_partition_is_member(root) &&
		    !is_multi_device_btrfs(root))
			dps_check_report(
				check, root->number,
				"take the tag away, and keep root= on the command line: `dps-tag "
				"apply {disk} linux-generic={n}`",
				"has the root type and holds %s: systemd finds it and cannot "
				"mount it",
				dps_partition_describe_content(root));
}

static void
check_root_unformatted(DpsCheck *check)
{
	DpsPartition *root = dps_check_get_root(check);

	if (root && dps_check_can_see(check, root) && root->content.kind == DPS_CONTENT_NONE &&
	    !dps_partition_is_firmware_area(root) && !dps_check_is_entry_bad(check, root->number))
		dps_check_report_as(
			check, severity_of_lost_root(check), root->number,
			"make a file system on it, or tag the one that has the system",
			"is what systemd takes as root, and holds nothing that is known");
}

static void
check_root_label_empty_marker(DpsCheck *check)
{
	for (DpsPartition *root = dps_check_next_of_role(check, DPS_ROLE_ROOT, NULL); root;
	     root = dps_check_next_of_role(check, DPS_ROLE_ROOT, root))
		if (root->label && !(root->attributes & DPS_FLAG_NO_AUTO) &&
		    (strcmp(root->label, "_empty") == 0 || g_str_has_prefix(root->label, "PRT#") ||
		     g_str_has_prefix(root->label, "PND#")))
			dps_check_report(check, root->number,
					 "hide it: `dps-tag apply {disk} same={n},no-auto`",
					 "its label \"%s\" marks a slot that is not in use, and "
					 "systemd up to 257 may take it as root",
					 root->label);
}

static gboolean
is_read_only_type(const char *type)
{
	return g_strcmp0(type, "erofs") == 0 || g_strcmp0(type, "squashfs") == 0;
}

static void
check_root_read_only_flag(DpsCheck *check)
{
	DpsPartition *root = dps_check_get_root(check);

	if (root && root->attributes & DPS_FLAG_READ_ONLY && dps_check_can_see(check, root) &&
	    !is_read_only_type(root->content.type))
		dps_check_report(
			check, root->number, NULL,
			"is marked read-only: root stays so after boot, unless the command "
			"line says rw");
}

const DpsRule dps_rules_root[] = {
	{ "root-missing", DPS_SEVERITY_ERROR, check_root_missing },
	{ "root-no-auto", DPS_SEVERITY_ERROR, check_root_no_auto },
	{ "root-foreign-arch", DPS_SEVERITY_ERROR, check_root_foreign_arch },
	{ "root-multiple", DPS_SEVERITY_WARNING, check_root_multiple },
	{ "root-label-empty-marker", DPS_SEVERITY_WARNING, check_root_label_empty_marker },
	{ "root-type-on-pv", DPS_SEVERITY_ERROR, check_root_type_on_pv },
	{ "root-unformatted", DPS_SEVERITY_ERROR, check_root_unformatted },
	{ "root-read-only-flag", DPS_SEVERITY_INFO, check_root_read_only_flag },
	{ NULL },
};
