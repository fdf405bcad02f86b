/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/place.h"
#include "ground/error.h"

#include <string.h>

void
dps_place_clear(DpsPlace *place)
{
	g_clear_pointer(&place->reason, g_free);
}

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
locate_backings(DpsDisk *disk, GPtrArray *backings, gboolean is_multi_device, DpsPlace *place)
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
	else if (!dps_disk_find_backing(disk, backing, &place->partition))
		place->reason =
			g_strdup_printf("is on another disk%s%s", backing->disk_node ? ", " : "",
					backing->disk_node ? backing->disk_node : "");
	else if (!place->partition)
		place->reason = g_strdup("is on the whole disk, or on a partition that is not in "
					 "the table");
}

static DpsPlace
locate_mount(DpsDisk *disk, const DpsMount *mount, const char *mount_point)
{
	DpsPlace place = { .mount_point = mount_point, .mount = mount };

	locate_backings(disk, mount->backings, mount->is_multi_device, &place);
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
find_target_node(DpsDisk *disk, DpsTree *tree, const char *node, const char *content_type,
		 const char **why_not)
{
	GPtrArray *fstab = dps_tree_get_fstab(tree);
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

	partition = dps_disk_get_partition_by_number(disk, number);
	if (partition && dps_partition_is_unreadable(partition)) {
		*why_not = "a device node, and what that partition holds cannot be read";
		return NULL;
	}
	if (!partition || g_strcmp0(partition->content.type, content_type) != 0) {
		*why_not = "a device node, and that partition does not hold what the fstab says";
		return NULL;
	}
	return partition;
}

/* The device that crypttab opens under this name: "UUID=…".  NULL: it has none. */
static char *
find_in_crypttab(DpsTree *tree, const char *name)
{
	GPtrArray *crypttab = dps_tree_get_crypttab(tree, NULL);

	for (guint i = 0; crypttab && i < crypttab->len; i++) {
		const DpsCrypttabEntry *entry = crypttab->pdata[i];

		if (strcmp(entry->name, name) == 0)
			return g_strdup(entry->spec);
	}
	return NULL;
}

/* Anaconda and GNOME open LUKS under the name luks-UUID, with or without a line in crypttab. */
static char *
spec_of_mapper_node(DpsTree *tree, const char *name)
{
	char *spec = find_in_crypttab(tree, name);

	if (!spec && g_str_has_prefix(name, "luks-"))
		spec = g_strconcat("UUID=", name + strlen("luks-"), NULL);
	return spec;
}

gboolean
dps_place_is_root_mounted(DpsDisk *disk, DpsTree *tree)
{
	const DpsMount *root = dps_tree_get_root_mount(tree);

	for (guint i = 0; root && i < root->backings->len; i++) {
		DpsPartition *partition;

		if (dps_disk_find_backing(disk, root->backings->pdata[i], &partition))
			return TRUE;
	}
	return FALSE;
}

/* What cannot be read has no UUID and no label to be found by, and may have this one. */
static char *
describe_missing(DpsDisk *disk, const char *spec)
{
	for (guint i = 0; i < dps_disk_get_n_partitions(disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(disk, i);

		if (dps_partition_is_unreadable(partition) && !g_str_has_prefix(spec, "PART"))
			return g_strdup_printf("not seen on this disk, of which partition %u "
					       "cannot be read (%s)",
					       partition->number, partition->content.problem);
	}
	return g_strdup("not on this disk");
}

DpsPlace
dps_place_of_entry(DpsDisk *disk, DpsTree *tree, const DpsFstabEntry *entry)
{
	DpsPlace place = { .mount_point = entry->mount_point, .entry = entry };
	g_autofree char *spec = dps_fstab_normalise_spec(entry->spec);
	g_autoptr(GError) error = NULL;
	const char *why_not = NULL, *content_type = entry->fs_type;
	gboolean is_node;

	if (g_str_has_prefix(spec, "/dev/mapper/")) {
		g_autofree char *below = spec_of_mapper_node(tree, spec + strlen("/dev/mapper/"));

		if (below) {
			g_free(spec);
			spec = dps_fstab_normalise_spec(below);
			content_type = "crypto_LUKS";
		}
	}

	is_node = g_str_has_prefix(spec, "/dev/");
	if (strchr(spec, '=') || (is_node && dps_place_is_root_mounted(disk, tree)))
		place.partition = dps_disk_find_partition(disk, spec, &error);
	else if (!is_node)
		why_not = "no block device";
	else
		place.partition = find_target_node(disk, tree, spec, content_type, &why_not);

	if (place.partition)
		place.reason = g_strdup_printf("the tree's fstab has %s at %s", entry->spec,
					       entry->mount_point ? entry->mount_point : "swap");
	else if (error && error->code == DPS_ERROR_AMBIGUOUS)
		place.reason = g_strdup_printf("is %s in the tree's fstab: %s", entry->spec,
					       error->message);
	else {
		g_autofree char *missing = why_not ? NULL : describe_missing(disk, spec);

		place.reason = g_strdup_printf("is %s in the tree's fstab: %s", entry->spec,
					       why_not ? why_not : missing);
	}
	return place;
}

gboolean
dps_place_find(DpsDisk *disk, DpsTree *tree, const char *mount_point, gboolean use_mounts,
	       DpsPlace *place)
{
	GPtrArray *fstab = dps_tree_get_fstab(tree);
	const DpsMount *mount = NULL;

	if (use_mounts)
		mount = strcmp(mount_point, "/") == 0 ? dps_tree_get_root_mount(tree)
						      : dps_tree_get_mount(tree, mount_point);
	if (mount && mount->backings->len > 0) {
		*place = locate_mount(disk, mount, mount_point);
		return TRUE;
	}
	if (mount && mount->problem) {
		*place = (DpsPlace){ .mount_point = mount_point,
				     .mount = mount,
				     .reason = g_strdup(mount->problem) };
		return TRUE;
	}

	for (guint i = 0; i < fstab->len; i++) {
		const DpsFstabEntry *entry = fstab->pdata[i];

		if (g_strcmp0(entry->mount_point, mount_point) == 0) {
			*place = dps_place_of_entry(disk, tree, entry);
			return TRUE;
		}
	}
	return FALSE;
}

DpsPlace
dps_place_of_swap(DpsDisk *disk, const DpsSwap *swap)
{
	DpsPlace place = { 0 };

	locate_backings(disk, swap->backings, FALSE, &place);
	if (place.partition)
		place.reason = g_strdup_printf("in use as swap (%s)", swap->path);
	return place;
}
