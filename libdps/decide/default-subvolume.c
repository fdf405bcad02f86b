/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/default-subvolume.h"
#include "decide/change.h"
#include "decide/finding.h"
#include "ground/error.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

/* Which subvolume the root of the system is, and how that is known. */
typedef struct {
	const DpsSubvolume *subvolume; /* NULL: not known */
	const char *reason;
} RootSubvolume;

DpsBtrfs *
dps_plan_get_btrfs(DpsPlan *plan, DpsPartition *partition, GError **error)
{
	const DpsMount *mount;
	DpsTree *tree;
	int fd;

	if (plan->mounted_btrfs && plan->mounted_partition == partition->number)
		return plan->mounted_btrfs;

	mount = dps_plan_find_btrfs_mount(plan, partition, &tree);
	if (!mount) {
		if (!partition->btrfs && partition->btrfs_error)
			g_propagate_error(error, g_error_copy(partition->btrfs_error));
		else if (dps_partition_is_unreadable(partition))
			dps_throw(error, DPS_ERROR_IO, "it cannot be read: %s",
				  partition->content.problem);
		else if (!partition->btrfs)
			dps_throw(error, DPS_ERROR_NOT_FOUND, "its btrfs cannot be read: mount it");
		return partition->btrfs;
	}

	fd = dps_tree_open_dir(tree, mount->mount_point, error);
	if (fd < 0)
		return NULL;

	dps_btrfs_free(plan->mounted_btrfs);
	plan->mounted_btrfs = dps_btrfs_open_mounted(fd, error);
	plan->mounted_partition = partition->number;
	close(fd);
	return plan->mounted_btrfs;
}

/* The line of the tree's fstab for "/". */
static const DpsFstabEntry *
get_root_entry(DpsPlan *plan)
{
	GPtrArray *fstab = plan->tree ? dps_tree_get_fstab(plan->tree) : NULL;

	for (guint i = 0; fstab && i < fstab->len; i++) {
		const DpsFstabEntry *entry = fstab->pdata[i];

		if (g_strcmp0(entry->mount_point, "/") == 0)
			return entry;
	}
	return NULL;
}

static RootSubvolume
find_root_subvolume(DpsPlan *plan, DpsPartition *root, DpsBtrfs *btrfs)
{
	const DpsMount *mount = dps_plan_get_root_mount(plan, root);
	const DpsFstabEntry *entry = get_root_entry(plan);
	const DpsTreeOrigin *origin = plan->tree ? dps_tree_get_origin(plan->tree) : NULL;
	const DpsSubvolume *found = NULL;

	if (mount && mount->subvolume_id != 0)
		found = dps_btrfs_find_id(btrfs, mount->subvolume_id);
	if (found)
		return (RootSubvolume){ found, "root is mounted from it" };

	if (entry && entry->subvolume)
		found = dps_btrfs_find_path(btrfs, entry->subvolume);
	if (found)
		return (RootSubvolume){ found, "the tree's fstab mounts it at /" };

	if (entry && entry->subvolume_id != 0)
		found = dps_btrfs_find_id(btrfs, entry->subvolume_id);
	if (found)
		return (RootSubvolume){ found, "the tree's fstab mounts it at /" };

	if (origin && origin->partition == root->number && origin->subvolume)
		found = dps_btrfs_find_id(btrfs, origin->subvolume_id);
	if (found)
		return (RootSubvolume){ found, "there is an os-release in it" };

	return (RootSubvolume){ NULL, NULL };
}

/* ".snapshots/12/snapshot", below any path: where snapper keeps what it makes. */
static gboolean
is_snapper_path(const char *path)
{
	return g_regex_match_simple("(^|/)\\.snapshots/[0-9]+/snapshot$", path, 0, 0);
}

static const char blanks[] = " \t\r";

/* "SUBVOLUME=/", with or without quotes: snapper's configuration is read by a shell. */
static gboolean
is_snapper_of_root(const char *line, gsize size)
{
	static const char *const forms[] = { "SUBVOLUME=/", "SUBVOLUME=\"/\"", "SUBVOLUME='/'" };

	while (size > 0 && strchr(blanks, line[size - 1]))
		size--;
	for (guint i = 0; i < G_N_ELEMENTS(forms); i++)
		if (strlen(forms[i]) == size && strncmp(line, forms[i], size) == 0)
			return TRUE;
	return FALSE;
}

/* "set btrfs_relative_path=…" */
static gboolean
sets_relative_path(const char *line, gsize size)
{
	static const char name[] = "btrfs_relative_path";
	gsize n;

	if (!g_str_has_prefix(line, "set"))
		return FALSE;
	line += strlen("set");
	n = strspn(line, blanks);
	if (n == 0 || !g_str_has_prefix(line + n, name))
		return FALSE;
	line += n + strlen(name);
	return line[strspn(line, blanks)] == '=';
}

/*
 * Whether there is such a line, blanks before it aside.  These files are any bytes: a menu's title
 * in Latin-1 must not hide what stands below it, as it does from a pattern that wants UTF-8.
 */
static gboolean
has_line(const char *text, gboolean (*is_it)(const char *line, gsize size))
{
	while (*text) {
		text += strspn(text, blanks);
		if (is_it(text, strcspn(text, "\n")))
			return TRUE;
		text += strcspn(text, "\n");
		text += strspn(text, "\n");
	}
	return FALSE;
}

static gboolean
is_snapper_configured(DpsPlan *plan)
{
	g_autofree char *config =
		plan->tree ? dps_tree_read_file(plan->tree, "/etc/snapper/configs/root", NULL)
			   : NULL;

	return config && has_line(config, is_snapper_of_root);
}

/* Whether /boot is a directory or a subvolume of the file system that root is on. */
static gboolean
is_boot_on_root(DpsPlan *plan)
{
	const DpsMount *boot = dps_tree_get_mount(plan->tree, "/boot");
	const DpsFstabEntry *root_entry = get_root_entry(plan);
	GPtrArray *fstab = dps_tree_get_fstab(plan->tree);

	if (boot)
		return strcmp(boot->fs_type, "btrfs") == 0 &&
		       g_strcmp0(boot->source, dps_tree_get_root_mount(plan->tree)
						       ? dps_tree_get_root_mount(plan->tree)->source
						       : NULL) == 0;

	for (guint i = 0; i < fstab->len; i++) {
		const DpsFstabEntry *entry = fstab->pdata[i];

		if (g_strcmp0(entry->mount_point, "/boot") == 0)
			return root_entry && g_strcmp0(entry->spec, root_entry->spec) == 0;
	}
	return TRUE;
}

/*
 * With btrfs_relative_path GRUB looks for its files from the default subvolume on: it moves, and
 * the machine does not boot.  Source: openSUSE's GRUB, grub-core/fs/btrfs.c; snapper issue 178.
 */
static gboolean
has_grub_relative_path(DpsPlan *plan)
{
	static const char *const configs[] = {
		"/boot/grub2/grub.cfg",
		"/boot/grub/grub.cfg",
		"/boot/efi/EFI/opensuse/grub.cfg",
		"/boot/efi/EFI/BOOT/grub.cfg",
		"/boot/efi/EFI/boot/grub.cfg",
		"/boot/efi/EFI/fedora/grub.cfg",
		"/etc/default/grub_btrfs",
	};

	if (!plan->tree || !is_boot_on_root(plan))
		return FALSE;

	for (guint i = 0; i < G_N_ELEMENTS(configs); i++) {
		g_autofree char *text = dps_tree_read_file(plan->tree, configs[i], NULL);

		if (text && has_line(text, sets_relative_path))
			return TRUE;
	}
	return FALSE;
}

/* Somebody else whose business the default subvolume is: NULL, or what it is, one line. */
static const char *
find_owner(DpsPlan *plan, DpsBtrfs *btrfs, const DpsSubvolume *root)
{
	const DpsSubvolume *current = dps_btrfs_find_id(btrfs, dps_btrfs_get_default_id(btrfs));

	if (root && (root->is_snapshot || is_snapper_path(root->path)))
		return "the system is booted from a snapshot";
	if (current && is_snapper_path(current->path))
		return "snapper set it";
	if (is_snapper_configured(plan))
		return "snapper is set up for / and owns it";
	if (has_grub_relative_path(plan))
		return "GRUB looks for /boot relative to it (btrfs_relative_path)";

	return NULL;
}

static char *
list_subvolumes(DpsBtrfs *btrfs)
{
	GPtrArray *subvolumes = dps_btrfs_get_subvolumes(btrfs);
	GString *list = g_string_new(NULL);
	const guint most = 8; /* what fits a line; a system with snapshots has hundreds */

	for (guint i = 0; i < subvolumes->len && i < most; i++)
		g_string_append_printf(list, "%s%s", i ? ", " : "",
				       ((const DpsSubvolume *)subvolumes->pdata[i])->path);
	if (subvolumes->len > most)
		g_string_append(list, ", …");

	return g_string_free(list, FALSE);
}

/* "5 (/)", or "999 (not there)" */
static char *
describe_default(DpsBtrfs *btrfs)
{
	uint64_t id = dps_btrfs_get_default_id(btrfs);
	const DpsSubvolume *subvolume = dps_btrfs_find_id(btrfs, id);

	return g_strdup_printf("%" PRIu64 " (%s)", id, subvolume ? subvolume->path : "not there");
}

static DpsValue
default_value(DpsBtrfs *btrfs, uint64_t id)
{
	const DpsSubvolume *subvolume = dps_btrfs_find_id(btrfs, id);

	return (DpsValue){ .subvolume = id, .text = g_strdup(subvolume ? subvolume->path : NULL) };
}

/*
 * The default stays as it is.  A disk must not become discoverable when what it leads to is not
 * root: the type would turn a machine that boots into one that does not.
 */
static gboolean
keep_default(DpsPlan *plan, DpsPartition *root, DpsBtrfs *btrfs, const DpsSubvolume *wanted,
	     const char *why, GError **error)
{
	g_autofree char *subject = dps_plan_describe(plan, root->number);
	g_autofree char *current = describe_default(btrfs);
	uint64_t id = dps_btrfs_get_default_id(btrfs);
	gboolean leads_to_root = wanted ? wanted->id == id : dps_btrfs_find_id(btrfs, id) != NULL;

	if (!leads_to_root && !plan->force)
		return dps_throw_partition(
			error, root->number, DPS_ERROR_REFUSED,
			"%s: default subvolume %s: does not lead to root%s%s, and stays (%s): give "
			"--btrfs-default %s to change it all the same, or --force to write the "
			"root type without",
			subject, current, wanted ? ", which is " : "", wanted ? wanted->path : "",
			why, wanted ? wanted->path : "SUBVOLUME");

	dps_plan_add_finding(
		plan,
		dps_finding_new("btrfs-default-kept",
				leads_to_root ? DPS_SEVERITY_INFO : DPS_SEVERITY_WARNING,
				root->number, NULL,
				leads_to_root ? NULL : "set it with --btrfs-default SUBVOLUME",
				"the default subvolume stays %s: %s", current, why));
	return TRUE;
}

static gboolean
change_default(DpsPlan *plan, DpsPartition *root, DpsBtrfs *btrfs, const DpsSubvolume *wanted,
	       const char *reason, GError **error)
{
	g_autofree char *note = NULL;
	g_autofree char *whole_reason = NULL;

	if (!dps_btrfs_check_writable(btrfs, wanted->id, &note, error)) {
		g_autofree char *subject = dps_plan_describe(plan, root->number);

		dps_prefix_error(error, "%s: ", subject);
		dps_error_set_partition(error, root->number);
		return FALSE;
	}

	if (wanted->id == dps_btrfs_get_default_id(btrfs) && !note)
		return TRUE;

	whole_reason = note ? g_strdup_printf("%s; %s", reason, note) : g_strdup(reason);
	g_ptr_array_add(plan->changes,
			dps_change_new(DPS_CHANGE_BTRFS_DEFAULT, root->number,
				       default_value(btrfs, dps_btrfs_get_default_id(btrfs)),
				       default_value(btrfs, wanted->id), whole_reason));
	return TRUE;
}

/* Root is on a file system of which nothing can be seen from here. */
static void
report_unseen(DpsPlan *plan, DpsPartition *root)
{
	dps_plan_add_finding(
		plan,
		dps_finding_new("btrfs-default-unseen", DPS_SEVERITY_INFO, root->number, NULL,
				"if a btrfs is in it, set its default subvolume from the "
				"running system: dps-tag apply",
				"root is encrypted: whether it is a btrfs, and which subvolume is "
				"the default, cannot be seen"));
}

gboolean
dps_plan_prepare_default_subvolume(DpsPlan *plan, DpsPartition *root, GError **error)
{
	DpsTree *tree;
	const DpsMount *mount = dps_plan_find_btrfs_mount(plan, root, &tree);
	gboolean keep = strcmp(plan->btrfs_default, "keep") == 0;
	gboolean automatic = strcmp(plan->btrfs_default, "auto") == 0;
	g_autoptr(GError) local_error = NULL;
	const DpsSubvolume *wanted;
	RootSubvolume found;
	DpsBtrfs *btrfs;
	const char *why;

	if (g_strcmp0(root->content.type, "btrfs") != 0 && !mount) {
		g_autofree char *subject = dps_plan_describe(plan, root->number);

		if (!keep && !automatic)
			return dps_throw_partition(
				error, root->number, DPS_ERROR_REFUSED,
				"%s: holds %s: only a btrfs has a default subvolume: "
				"leave out --btrfs-default",
				subject, dps_partition_describe_content(root));
		if (root->content.kind == DPS_CONTENT_LUKS && !dps_plan_get_root_mount(plan, root))
			report_unseen(plan, root);
		return TRUE;
	}

	btrfs = dps_plan_get_btrfs(plan, root, &local_error);
	if (!btrfs && keep) {
		dps_plan_add_finding(plan,
				     dps_finding_new("btrfs-default-unseen", DPS_SEVERITY_INFO,
						     root->number, NULL, NULL,
						     "the subvolumes cannot be read: %s",
						     local_error->message));
		return TRUE;
	}
	if (!btrfs) {
		g_autofree char *subject = dps_plan_describe(plan, root->number);

		dps_throw_partition(
			error, root->number, (DpsError)local_error->code,
			"%s: the subvolumes cannot be read: %s: give --btrfs-default keep "
			"to leave the default as it is",
			subject, local_error->message);
		return FALSE;
	}

	found = find_root_subvolume(plan, root, btrfs);

	if (keep)
		return keep_default(plan, root, btrfs, found.subvolume, "as asked for", error);

	if (!automatic) {
		g_autofree char *subject = dps_plan_describe(plan, root->number);
		g_autofree char *list = list_subvolumes(btrfs);

		wanted = dps_btrfs_find_path(btrfs, plan->btrfs_default);
		if (!wanted)
			return dps_throw_partition(error, root->number, DPS_ERROR_NOT_FOUND,
						   "%s: no subvolume %s: there are %s", subject,
						   plan->btrfs_default, list);
		return change_default(plan, root, btrfs, wanted, "given", error);
	}

	wanted = found.subvolume;
	if (!wanted) {
		wanted = dps_btrfs_find_path(btrfs, "root");
		found.reason = "it is the subvolume root at the top level";
	}

	if (!wanted)
		return keep_default(
			plan, root, btrfs, NULL,
			"nothing says which subvolume root is, and none at the top level "
			"is named root",
			error);

	if (wanted->id != dps_btrfs_get_default_id(btrfs)) {
		why = find_owner(plan, btrfs, found.subvolume);
		if (why)
			return keep_default(plan, root, btrfs, found.subvolume, why, error);
	}

	return change_default(plan, root, btrfs, wanted, found.reason, error);
}
