/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/finding.h"
#include "decide/place.h"
#include "decide/plan.h"
#include "decide/winner.h"
#include "format/gpt.h"
#include "ground/error.h"
#include "ground/types.h"
#include "target/esp.h"
#include "target/image.h"

#include <string.h>
#include <unistd.h>

/*
 * Who is who on the disk of a tree: from what is mounted under it, and from its fstab.  What can be
 * proved is assigned; what cannot is a finding with the assignment to type.  Only root itself is an
 * error: an installer must not stop because /home is on a second disk.
 */

static void
report_skipped(DpsPlan *plan, const char *what, const char *why, guint partition, const char *hint)
{
	dps_plan_add_finding(plan,
			     dps_finding_new("detected-skipped", DPS_SEVERITY_INFO, partition, NULL,
					     hint, "%s %s: it gets no type", what, why));
}

/*
 * systemd mounts the default subvolume.  A file system whose mounted subvolume is another one would
 * come up with other contents than fstab gives it.
 */
static gboolean
leads_elsewhere(const DpsPlace *place)
{
	DpsBtrfs *btrfs = place->partition->btrfs;
	uint64_t default_id = btrfs ? dps_btrfs_get_default_id(btrfs) : 0;
	const DpsSubvolume *named;

	if (!btrfs)
		return FALSE;
	if (place->mount && place->mount->subvolume_id != 0)
		return place->mount->subvolume_id != default_id;
	if (!place->entry)
		return FALSE;

	named = place->entry->subvolume ? dps_btrfs_find_path(btrfs, place->entry->subvolume)
					: dps_btrfs_find_id(btrfs, place->entry->subvolume_id);
	return named && named->id != default_id;
}

/* Assigns what may be missing: everything but root. */
static void
assign_or_report(DpsPlan *plan, DpsRole role, const DpsPlace *place)
{
	const char *what = place->mount_point ? place->mount_point : "swap";
	g_autoptr(GError) error = NULL;

	if (!place->partition) {
		report_skipped(plan, what, place->reason, 0, NULL);
		return;
	}

	/* Another subvolume or a bind mount of what has a role already: nothing to tag. */
	if (dps_plan_get_assignment_of(plan, place->partition->number))
		return;

	if (leads_elsewhere(place)) {
		g_autofree char *why =
			g_strdup_printf("is a subvolume of partition %u that is not its default",
					place->partition->number);

		report_skipped(plan, what, why, place->partition->number,
			       "keep it in fstab, or make it the default with `btrfs subvolume "
			       "set-default`");
		return;
	}

	if (!dps_plan_assign_detected(plan, role, place->partition->number, place->reason,
				      &error)) {
		dps_plan_add_finding(plan, dps_finding_new("detected-skipped", DPS_SEVERITY_WARNING,
							   place->partition->number, NULL, NULL,
							   "%s", error->message));
	}
}

/* The partitions that could be root as far as their content goes, as assignments to type. */
static char *
list_root_candidates(DpsPlan *plan)
{
	GString *list = g_string_new(NULL);

	for (guint i = 0; i < dps_disk_get_n_partitions(plan->disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(plan->disk, i);

		if (dps_root_is_possible(partition))
			g_string_append_printf(list, "%sroot=%u", list->len ? " or " : "",
					       partition->number);
	}
	if (list->len == 0)
		g_string_append(list, "root=PARTITION");
	return g_string_free(list, FALSE);
}

/* The first partition of which nothing is known; NULL: there is none. */
static DpsPartition *
find_unreadable(DpsPlan *plan)
{
	for (guint i = 0; i < dps_disk_get_n_partitions(plan->disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(plan->disk, i);

		if (dps_partition_is_unreadable(partition))
			return partition;
	}
	return NULL;
}

/* The tree was read out of a partition: that is root, unless its own fstab says otherwise. */
static gboolean
detect_root_of_image(DpsPlan *plan, GError **error)
{
	const DpsTreeOrigin *origin = dps_tree_get_origin(plan->tree);
	g_autofree char *reason = g_strdup_printf("there is an os-release in it%s%s",
						  origin->subvolume ? ", subvolume " : "",
						  origin->subvolume ? origin->subvolume : "");
	g_auto(DpsPlace) place = { 0 };
	gboolean has_line = dps_place_find(plan->disk, plan->tree, "/", FALSE, &place);

	if (has_line && !place.partition && find_unreadable(plan))
		return dps_throw(error, DPS_ERROR_AMBIGUOUS,
				 "%s: a system is in partition %u, and its / %s: type root=%u, if "
				 "it is root",
				 dps_disk_get_path(plan->disk), origin->partition, place.reason,
				 origin->partition);
	if (has_line && place.partition && place.partition->number != origin->partition)
		return dps_throw(error, DPS_ERROR_AMBIGUOUS,
				 "%s: a system is in partition %u, and its fstab has partition %u "
				 "at /: type root=%u or root=%u",
				 dps_disk_get_path(plan->disk), origin->partition,
				 place.partition->number, origin->partition,
				 place.partition->number);

	return dps_plan_assign_detected(plan, DPS_ROLE_ROOT, origin->partition, reason, error);
}

static gboolean
detect_root(DpsPlan *plan, gboolean use_mounts, GError **error)
{
	g_autofree char *candidates = NULL;
	g_auto(DpsPlace) place = { 0 };

	if (dps_plan_get_assignment_for(plan, DPS_ROLE_ROOT))
		return TRUE;

	if (dps_tree_get_origin(plan->tree))
		return detect_root_of_image(plan, error);

	if (dps_place_find(plan->disk, plan->tree, "/", use_mounts, &place) && place.partition)
		return dps_plan_assign_detected(plan, DPS_ROLE_ROOT, place.partition->number,
						place.reason, error);

	/* Mounted from something that cannot carry a type: typing an assignment does not help. */
	if (place.mount)
		return dps_throw(
			error, DPS_ERROR_REFUSED,
			"%s: root of %s %s: it cannot be tagged: only a plain or LUKS partition "
			"can be discovered; keep root= on the command line",
			dps_disk_get_path(plan->disk), dps_tree_get_path(plan->tree), place.reason);

	candidates = list_root_candidates(plan);
	return dps_throw(
		error, DPS_ERROR_NOT_FOUND, "%s: root of %s %s: type it: %s",
		dps_disk_get_path(plan->disk), dps_tree_get_path(plan->tree),
		place.reason ? place.reason
			     : "is not mounted from this disk, and the tree's fstab has no line "
			       "for /",
		candidates);
}

static gboolean
has_other_esp(DpsPlan *plan, const DpsPartition *partition)
{
	const DpsAssignment *esp = dps_plan_get_assignment_for(plan, DPS_ROLE_ESP);

	if (esp && esp->partition != partition->number)
		return TRUE;

	for (guint i = 0; i < dps_disk_get_n_partitions(plan->disk); i++) {
		DpsPartition *other = dps_disk_get_partition(plan->disk, i);

		if (other != partition && other->type && other->type->role == DPS_ROLE_ESP)
			return TRUE;
	}
	return FALSE;
}

/* Whether the FAT of /boot has the directory in which firmware looks for loaders. */
static gboolean
has_efi_directory(DpsPlan *plan, const DpsPlace *place)
{
	g_autoptr(DpsFileInfo) info = NULL;
	g_autoptr(DpsEsp) esp = NULL;

	if (place->mount) {
		int fd = dps_tree_open_dir(plan->tree, "/boot/EFI", NULL); /* in either case */

		if (fd >= 0)
			close(fd);
		return fd >= 0;
	}

	esp = dps_esp_open_region(&place->partition->region, NULL);
	return esp && dps_files_lookup(dps_esp_get_files(esp), "/EFI", &info, NULL) && info &&
	       info->kind == DPS_FILE_DIRECTORY;
}

static void
detect_boot(DpsPlan *plan, gboolean use_mounts)
{
	g_auto(DpsPlace) place = { 0 };
	DpsRole role_now;
	guint number;

	if (!dps_place_find(plan->disk, plan->tree, "/boot", use_mounts, &place))
		return;
	if (!place.partition) {
		report_skipped(plan, "/boot", place.reason, 0, NULL);
		return;
	}

	number = place.partition->number;
	role_now = place.partition->type ? place.partition->type->role : DPS_ROLE_NONE;
	if (dps_plan_get_assignment_of(plan, number))
		return;

	if (dps_partition_is_unreadable(place.partition)) {
		g_autofree char *why = g_strdup_printf("is partition %u, and cannot be read (%s)",
						       number, place.partition->content.problem);

		report_skipped(plan, "/boot", why, number, NULL);
		return;
	}
	if (g_strcmp0(place.partition->content.type, "vfat") != 0) {
		if (role_now == DPS_ROLE_XBOOTLDR)
			dps_plan_add_finding(
				plan,
				dps_finding_new(
					"xbootldr-not-fat", DPS_SEVERITY_WARNING, number, NULL,
					"fine for GRUB; for systemd-boot make it FAT, or take "
					"the tag away with linux-generic=N",
					"has the XBOOTLDR type and holds %s, which "
					"systemd-boot cannot read",
					dps_partition_describe_content(place.partition)));
		return;
	}

	if (role_now == DPS_ROLE_ESP ||
	    (!has_other_esp(plan, place.partition) && has_efi_directory(plan, &place))) {
		assign_or_report(plan, DPS_ROLE_ESP, &place);
	} else if (has_other_esp(plan, place.partition)) {
		assign_or_report(plan, DPS_ROLE_XBOOTLDR, &place);
	} else {
		g_autofree char *hint =
			g_strdup_printf("type esp=%u or xbootldr=%u", number, number);

		dps_plan_add_finding(
			plan,
			dps_finding_new("boot-unclear", DPS_SEVERITY_WARNING, number, NULL, hint,
					"/boot is on FAT, with no EFI directory and no other "
					"ESP on the disk: it could be either"));
	}
}

/* Nothing was detected there, whatever fstab says. */
static void
report_unreadable(DpsPlan *plan)
{
	for (guint i = 0; i < dps_disk_get_n_partitions(plan->disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(plan->disk, i);

		if (dps_partition_is_unreadable(partition))
			dps_plan_add_finding(
				plan,
				dps_finding_new("content-unreadable", DPS_SEVERITY_WARNING,
						partition->number, NULL, DPS_GPT_UNREADABLE_HINT,
						"what it holds cannot be read, and nothing "
						"is detected of it: %s",
						partition->content.problem));
	}
}

static void
detect_swap(DpsPlan *plan, gboolean use_mounts)
{
	GPtrArray *fstab = dps_tree_get_fstab(plan->tree);
	GPtrArray *swaps = dps_tree_get_swaps(plan->tree);

	for (guint i = 0; i < fstab->len; i++) {
		const DpsFstabEntry *entry = fstab->pdata[i];
		g_auto(DpsPlace) place = { 0 };

		if (g_strcmp0(entry->fs_type, "swap") != 0 ||
		    (!strchr(entry->spec, '=') && !g_str_has_prefix(entry->spec, "/dev/")) ||
		    g_str_has_prefix(entry->spec, "/dev/zram"))
			continue;

		place = dps_place_of_entry(plan->disk, plan->tree, entry);
		place.mount_point = NULL;
		assign_or_report(plan, DPS_ROLE_SWAP, &place);
	}

	/* In use on root's disk; the installer's own is on its medium or in memory. */
	for (guint i = 0; use_mounts && i < swaps->len; i++) {
		const DpsSwap *swap = swaps->pdata[i];
		g_auto(DpsPlace) place = { 0 };

		if (swap->is_zram || swap->is_file || swap->backings->len == 0)
			continue;

		place = dps_place_of_swap(plan->disk, swap);
		if (place.partition)
			assign_or_report(plan, DPS_ROLE_SWAP, &place);
	}
}

/* What was looked into and cannot be read, one after the other; empty when there is nothing. */
static char *
list_problems(GPtrArray *roots)
{
	GString *list = g_string_new(NULL);

	for (guint i = 0; i < roots->len; i++) {
		const DpsImageRoot *root = roots->pdata[i];

		if (root->problem)
			g_string_append_printf(list, "; partition %u%s%s%s: %s", root->partition,
					       root->fs_type ? " (" : "",
					       root->fs_type ? root->fs_type : "",
					       root->fs_type ? ")" : "", root->problem);
	}
	return g_string_free(list, FALSE);
}

/* Without a tree: the one system that is on the disk. */
static gboolean
find_tree_on_disk(DpsPlan *plan, GError **error)
{
	g_autoptr(GPtrArray) roots = dps_image_list_roots(plan->disk);
	g_autoptr(GString) systems = g_string_new(NULL);
	g_autoptr(GString) typed = g_string_new(NULL);
	g_autofree char *problems = list_problems(roots);
	g_autofree char *candidates = NULL;
	const DpsImageRoot *found = NULL;
	guint n = 0;

	for (guint i = 0; i < roots->len; i++) {
		const DpsImageRoot *root = roots->pdata[i];

		if (!root->os)
			continue;
		found = root;
		g_string_append_printf(systems, "%spartition %u (%s)", n > 0 ? ", " : "",
				       root->partition, root->os);
		g_string_append_printf(typed, "%sroot=%u", n > 0 ? " or " : "", root->partition);
		n++;
	}

	if (n > 1)
		return dps_throw(error, DPS_ERROR_AMBIGUOUS,
				 "%s: several systems are on it: %s: type which one is meant: %s",
				 dps_disk_get_path(plan->disk), systems->str, typed->str);
	if (n == 1) {
		plan->tree = dps_image_open_tree(plan->disk, found->partition, error);
		if (plan->tree && plan->arch == DPS_ARCH_NONE)
			plan->arch = dps_tree_get_arch(plan->tree);
		return plan->tree != NULL;
	}

	candidates = list_root_candidates(plan);
	return dps_throw(error, DPS_ERROR_NOT_FOUND,
			 "%s: nothing tells what its partitions are for: no os-release was found "
			 "on it%s: type assignments (%s), or give the tree that is on it with "
			 "--root",
			 dps_disk_get_path(plan->disk), problems, candidates);
}

gboolean
dps_plan_detect(DpsPlan *plan, GError **error)
{
	/* Before the rest, so that an ESP at /efi is known when /boot is judged. */
	static const char *const mount_points[] = { "/usr",  "/efi", "/boot/efi", "/boot",
						    "/home", "/srv", "/var",	  "/var/tmp" };
	gboolean use_mounts;

	g_return_val_if_fail(plan->state == DPS_PLAN_OPEN, FALSE);

	if (!plan->disk) {
		g_autofree char *path = NULL, *why = NULL;

		if (!dps_tree_find_disk(plan->tree, &path, &why, error))
			return FALSE;
		dps_plan_add_finding(plan, dps_finding_new("tree-on-no-disk", DPS_SEVERITY_INFO, 0,
							   dps_tree_get_path(plan->tree), NULL,
							   "nothing to do: %s",
							   why ? why : "the tree is on no disk"));
		return TRUE;
	}

	if (!plan->tree && !find_tree_on_disk(plan, error))
		return FALSE;

	use_mounts = dps_place_is_root_mounted(plan->disk, plan->tree);
	if (!detect_root(plan, use_mounts, error))
		return FALSE;

	for (guint i = 0; i < G_N_ELEMENTS(mount_points); i++) {
		const DpsType *type = dps_type_for_mount_point(mount_points[i], plan->arch);
		g_auto(DpsPlace) place = { 0 };

		if (strcmp(mount_points[i], "/boot") == 0) {
			detect_boot(plan, use_mounts);
			continue;
		}
		if (type &&
		    dps_place_find(plan->disk, plan->tree, mount_points[i], use_mounts, &place))
			assign_or_report(plan, dps_type_get_role(type), &place);
	}

	detect_swap(plan, use_mounts);
	report_unreadable(plan);
	return TRUE;
}
