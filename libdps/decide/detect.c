/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/finding.h"
#include "decide/plan.h"
#include "decide/winner.h"
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

/* One mount point of the tree, and where it is. */
typedef struct {
	const char *mount_point; /* "/" also for what image mode has at /sysroot; NULL for swap */
	const DpsMount *mount;	 /* NULL: not mounted */
	const DpsFstabEntry *entry; /* NULL: not in fstab */
	DpsPartition *partition;    /* NULL: not on a partition of this disk */
	char *reason;		    /* how it is known; or why it is not on one, one line */
} Place;

static void
place_clear(Place *place)
{
	g_free(place->reason);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Place, place_clear)

static const char *
describe_layers(DpsLayers layers)
{
	if (layers & DPS_LAYER_LVM)
		return "LVM";
	if (layers & DPS_LAYER_RAID)
		return "RAID";
	if (layers & DPS_LAYER_VERITY)
		return "dm-verity";
	return "device-mapper";
}

/* Layers below which the partition itself can still carry the type: systemd looks through them. */
#define TRANSPARENT_LAYERS (DPS_LAYER_LUKS | DPS_LAYER_MULTIPATH)

/* Sets place's partition, or says in its reason why it is not on one of this disk. */
static void
locate_backings(DpsPlan *plan, GPtrArray *backings, gboolean is_multi_device, Place *place)
{
	const DpsBacking *backing = backings->pdata[0];

	if (is_multi_device || (backings->len > 1 && backing->layers == DPS_LAYER_NONE)) {
		place->reason = g_strdup("is on a file system over several devices");
		return;
	}

	if (backings->len > 1 || backing->layers & ~(DpsLayers)TRANSPARENT_LAYERS)
		place->reason = g_strdup_printf("is on %s%s%s", describe_layers(backing->layers),
						backing->layer_name ? ": " : "",
						backing->layer_name ? backing->layer_name : "");
	else if (!dps_disk_find_backing(plan->disk, backing, &place->partition))
		place->reason =
			g_strdup_printf("is on another disk%s%s", backing->disk_node ? ", " : "",
					backing->disk_node ? backing->disk_node : "");
	else if (!place->partition)
		place->reason = g_strdup("is on the whole disk, or on a partition that is not in "
					 "the table");
}

static Place
locate_mount(DpsPlan *plan, const DpsMount *mount, const char *mount_point)
{
	Place place = { .mount_point = mount_point, .mount = mount };

	locate_backings(plan, mount->backings, mount->is_multi_device, &place);
	if (place.partition)
		place.reason =
			g_strdup_printf("mounted at %s (%s%s%s)", mount_point, mount->fs_type,
					mount->subvolume ? ", subvolume " : "",
					mount->subvolume ? mount->subvolume : "");
	return place;
}

/* How many characters of @text, from its start, are of @set; 0 also when more than @most are. */
static gsize
span(const char *text, const char *set, gsize most)
{
	gsize size = strspn(text, set);

	return size <= most ? size : 0;
}

/*
 * The partition number of "/dev/vda3" and "/dev/nvme0n1p3", and where the disk's name ends; or 0.
 * No regular expression: every line of an fstab is held against all others.
 */
static guint
parse_target_node(const char *node, gsize *disk_length)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz", digits[] = "0123456789";
	static const struct {
		const char *name;	/* of the driver, as the kernel has it */
		gboolean is_numbered;	/* disks have numbers, partitions a "p" before theirs */
		gboolean has_namespace; /* and "n1" behind the number */
	} drivers[] = {
		{ "sd", FALSE, FALSE }, { "vd", FALSE, FALSE },	 { "xvd", FALSE, FALSE },
		{ "hd", FALSE, FALSE }, { "nvme", TRUE, TRUE },	 { "mmcblk", TRUE, FALSE },
		{ "nbd", TRUE, FALSE }, { "loop", TRUE, FALSE },
	};
	const gsize most = 16; /* of letters or digits in a name: far above any kernel's */

	if (!g_str_has_prefix(node, "/dev/"))
		return 0;
	for (guint i = 0; i < G_N_ELEMENTS(drivers); i++) {
		const char *at = node + strlen("/dev/");
		gsize size;

		if (!g_str_has_prefix(at, drivers[i].name))
			continue;
		at += strlen(drivers[i].name);
		size = span(at, drivers[i].is_numbered ? digits : letters, most);
		at += size;
		if (size > 0 && drivers[i].has_namespace) {
			size = *at == 'n' ? span(at + 1, digits, most) : 0;
			at += 1 + size;
		}
		if (size == 0)
			continue;
		*disk_length = (gsize)(at - node);
		if (drivers[i].is_numbered && *at++ != 'p')
			continue;
		size = span(at, digits, 4);
		if (size > 0 && at[size] == '\0')
			return (guint)g_ascii_strtoull(at, NULL, 10);
	}
	return 0;
}

/*
 * A node of the target machine names a partition of an image by its number alone.  That proves
 * something only when the whole fstab speaks of one disk and the content is of the type it says.
 */
static DpsPartition *
find_target_node(DpsPlan *plan, const char *node, const char *content_type, const char **why_not)
{
	GPtrArray *fstab = dps_tree_get_fstab(plan->tree);
	DpsPartition *partition;
	gsize length = 0;
	guint number = parse_target_node(node, &length);

	*why_not = "a device node that says nothing of this disk";
	if (number == 0)
		return NULL;

	for (guint i = 0; i < fstab->len; i++) {
		const DpsFstabEntry *other = fstab->pdata[i];
		gsize other_length = 0;

		if (parse_target_node(other->spec, &other_length) == 0)
			continue;
		if (other_length != length || strncmp(other->spec, node, length) != 0) {
			*why_not = "a device node, and the fstab names nodes of several disks";
			return NULL;
		}
	}

	partition = dps_disk_get_partition_by_number(plan->disk, number);
	if (!partition || g_strcmp0(partition->content.type, content_type) != 0) {
		*why_not = "a device node, and that partition does not hold what the fstab says";
		return NULL;
	}
	return partition;
}

/* The device that crypttab opens under this name: "UUID=…".  NULL: it has none. */
static char *
find_in_crypttab(DpsPlan *plan, const char *name)
{
	GPtrArray *crypttab = dps_tree_get_crypttab(plan->tree, NULL);

	for (guint i = 0; crypttab && i < crypttab->len; i++) {
		const DpsCrypttabEntry *entry = crypttab->pdata[i];

		if (strcmp(entry->name, name) == 0)
			return g_strdup(entry->spec);
	}
	return NULL;
}

/* Anaconda and GNOME open LUKS under the name luks-UUID, with or without a line in crypttab. */
static char *
spec_of_mapper_node(DpsPlan *plan, const char *name)
{
	char *spec = find_in_crypttab(plan, name);

	if (!spec && g_str_has_prefix(name, "luks-"))
		spec = g_strconcat("UUID=", name + strlen("luks-"), NULL);
	return spec;
}

/* Whether the tree's root is mounted from the plan's disk: then mounts count, and fstab after them;
 * and the nodes that its fstab names are this machine's. */
static gboolean
is_mounted_from_disk(DpsPlan *plan)
{
	const DpsMount *root = dps_tree_get_root_mount(plan->tree);

	for (guint i = 0; root && i < root->backings->len; i++) {
		DpsPartition *partition;

		if (dps_disk_find_backing(plan->disk, root->backings->pdata[i], &partition))
			return TRUE;
	}
	return FALSE;
}

static Place
locate_entry(DpsPlan *plan, const DpsFstabEntry *entry)
{
	Place place = { .mount_point = entry->mount_point, .entry = entry };
	g_autofree char *spec = dps_fstab_normalise_spec(entry->spec);
	g_autoptr(GError) error = NULL;
	const char *why_not = NULL, *content_type = entry->fs_type;
	gboolean is_node;

	if (g_str_has_prefix(spec, "/dev/mapper/")) {
		g_autofree char *below = spec_of_mapper_node(plan, spec + strlen("/dev/mapper/"));

		if (below) {
			g_free(spec);
			spec = dps_fstab_normalise_spec(below);
			content_type = "crypto_LUKS";
		}
	}

	is_node = g_str_has_prefix(spec, "/dev/");
	if (strchr(spec, '=') || (is_node && is_mounted_from_disk(plan)))
		place.partition = dps_disk_find_partition(plan->disk, spec, &error);
	else if (!is_node)
		why_not = "no block device";
	else
		place.partition = find_target_node(plan, spec, content_type, &why_not);

	if (place.partition)
		place.reason = g_strdup_printf("the tree's fstab has %s at %s", entry->spec,
					       entry->mount_point ? entry->mount_point : "swap");
	else if (error && error->code == DPS_ERROR_AMBIGUOUS)
		place.reason = g_strdup_printf("is %s in the tree's fstab: %s", entry->spec,
					       error->message);
	else
		place.reason = g_strdup_printf("is %s in the tree's fstab: %s", entry->spec,
					       why_not ? why_not : "not on this disk");
	return place;
}

/* Where a mount point of the tree is.  Returns FALSE when the tree does not have it. */
static gboolean
find_place(DpsPlan *plan, const char *mount_point, gboolean use_mounts, Place *place)
{
	GPtrArray *fstab = dps_tree_get_fstab(plan->tree);
	const DpsMount *mount = NULL;

	if (use_mounts)
		mount = strcmp(mount_point, "/") == 0 ? dps_tree_get_root_mount(plan->tree)
						      : dps_tree_get_mount(plan->tree, mount_point);
	if (mount && mount->backings->len > 0) {
		*place = locate_mount(plan, mount, mount_point);
		return TRUE;
	}
	if (mount && mount->problem) {
		*place = (Place){ .mount_point = mount_point,
				  .mount = mount,
				  .reason = g_strdup(mount->problem) };
		return TRUE;
	}

	for (guint i = 0; i < fstab->len; i++) {
		const DpsFstabEntry *entry = fstab->pdata[i];

		if (g_strcmp0(entry->mount_point, mount_point) == 0) {
			*place = locate_entry(plan, entry);
			return TRUE;
		}
	}
	return FALSE;
}

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
leads_elsewhere(const Place *place)
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
assign_or_report(DpsPlan *plan, DpsRole role, const Place *place)
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

/* The tree was read out of a partition: that is root, unless its own fstab says otherwise. */
static gboolean
detect_root_of_image(DpsPlan *plan, GError **error)
{
	const DpsTreeOrigin *origin = dps_tree_get_origin(plan->tree);
	g_autofree char *reason = g_strdup_printf("there is an os-release in it%s%s",
						  origin->subvolume ? ", subvolume " : "",
						  origin->subvolume ? origin->subvolume : "");
	g_auto(Place) place = { 0 };

	if (find_place(plan, "/", FALSE, &place) && place.partition &&
	    place.partition->number != origin->partition)
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
	g_auto(Place) place = { 0 };

	if (dps_plan_get_assignment_for(plan, DPS_ROLE_ROOT))
		return TRUE;

	if (dps_tree_get_origin(plan->tree))
		return detect_root_of_image(plan, error);

	if (find_place(plan, "/", use_mounts, &place) && place.partition)
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
has_efi_directory(DpsPlan *plan, const Place *place)
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
	g_auto(Place) place = { 0 };
	DpsRole role_now;
	guint number;

	if (!find_place(plan, "/boot", use_mounts, &place))
		return;
	if (!place.partition) {
		report_skipped(plan, "/boot", place.reason, 0, NULL);
		return;
	}

	number = place.partition->number;
	role_now = place.partition->type ? place.partition->type->role : DPS_ROLE_NONE;
	if (dps_plan_get_assignment_of(plan, number))
		return;

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

static void
detect_swap(DpsPlan *plan, gboolean use_mounts)
{
	GPtrArray *fstab = dps_tree_get_fstab(plan->tree);
	GPtrArray *swaps = dps_tree_get_swaps(plan->tree);

	for (guint i = 0; i < fstab->len; i++) {
		const DpsFstabEntry *entry = fstab->pdata[i];
		g_auto(Place) place = { 0 };

		if (g_strcmp0(entry->fs_type, "swap") != 0 ||
		    (!strchr(entry->spec, '=') && !g_str_has_prefix(entry->spec, "/dev/")) ||
		    g_str_has_prefix(entry->spec, "/dev/zram"))
			continue;

		place = locate_entry(plan, entry);
		place.mount_point = NULL;
		assign_or_report(plan, DPS_ROLE_SWAP, &place);
	}

	/* In use on root's disk; the installer's own is on its medium or in memory. */
	for (guint i = 0; use_mounts && i < swaps->len; i++) {
		const DpsSwap *swap = swaps->pdata[i];
		g_auto(Place) place = { 0 };

		if (swap->is_zram || swap->is_file || swap->backings->len == 0)
			continue;

		locate_backings(plan, swap->backings, FALSE, &place);
		if (!place.partition)
			continue;
		g_free(place.reason);
		place.reason = g_strdup_printf("in use as swap (%s)", swap->path);
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
			g_string_append_printf(list, "; partition %u (%s): %s", root->partition,
					       root->fs_type, root->problem);
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

	use_mounts = is_mounted_from_disk(plan);
	if (!detect_root(plan, use_mounts, error))
		return FALSE;

	for (guint i = 0; i < G_N_ELEMENTS(mount_points); i++) {
		const DpsType *type = dps_type_for_mount_point(mount_points[i], plan->arch);
		g_auto(Place) place = { 0 };

		if (strcmp(mount_points[i], "/boot") == 0) {
			detect_boot(plan, use_mounts);
			continue;
		}
		if (type && find_place(plan, mount_points[i], use_mounts, &place))
			assign_or_report(plan, dps_type_get_role(type), &place);
	}

	detect_swap(plan, use_mounts);
	return TRUE;
}
