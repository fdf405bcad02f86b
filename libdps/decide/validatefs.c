/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/validatefs.h"
#include "decide/change.h"
#include "ground/error.h"
#include "ground/types.h"
#include "target/image.h"

#include <string.h>
#include <unistd.h>

/* The root directory of a file system, wherever it can be read. */
typedef struct {
	DpsFiles *files;
	const char *path;
	DpsFiles *own; /* NULL: files are the tree's */
	int fd;
} RootDirectory;

static void
root_directory_clear(RootDirectory *root)
{
	dps_files_free(root->own);
	if (root->own)
		close(root->fd);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(RootDirectory, root_directory_clear)

void
dps_validatefs_conflict_clear(DpsValidatefsConflict *conflict)
{
	g_clear_pointer(&conflict->allowed, g_free);
	conflict->attribute = NULL;
}

static gboolean
open_root_directory(DpsDisk *disk, DpsTree *tree, DpsPartition *partition, uint64_t subvolume_id,
		    RootDirectory *root, GError **error)
{
	GPtrArray *mounts = tree ? dps_tree_get_mounts(tree) : NULL;

	for (guint i = 0; mounts && i < mounts->len; i++) {
		const DpsMount *mount = mounts->pdata[i];
		DpsPartition *found = NULL;

		if (mount->backings->len == 1 && !mount->is_directory &&
		    dps_disk_find_backing(disk, mount->backings->pdata[0], &found) &&
		    found == partition) {
			root->files = dps_tree_get_files(tree);
			root->path = mount->mount_point;
			return TRUE;
		}
	}

	root->own = dps_image_open_files(partition, subvolume_id, &root->fd, error);
	root->files = root->own;
	root->path = "/";
	return root->own != NULL;
}

/* Several values of an attribute are apart by NUL, and one of them has to agree. */
static gboolean
is_allowed(GBytes *bytes, const char *value, gboolean ignore_case, char **allowed)
{
	const char *data;
	gsize size;

	data = g_bytes_get_data(bytes, &size);
	for (gsize at = 0; at < size;) {
		g_autofree char *one = g_strndup(data + at, size - at);

		if (strcmp(one, value) == 0 || (ignore_case && g_ascii_strcasecmp(one, value) == 0))
			return TRUE;
		if (!*allowed)
			*allowed = g_utf8_make_valid(one, -1);
		at += strlen(one) + 1;
	}
	if (!*allowed)
		*allowed = g_strdup("");
	return FALSE;
}

gboolean
dps_validatefs_compare(DpsDisk *disk, DpsTree *tree, DpsPartition *partition, uint64_t subvolume_id,
		       const DpsValidatefsFacts *facts, DpsValidatefsConflict *conflict,
		       GError **error)
{
	const struct {
		const char *attribute, *value;
		gboolean ignore_case; /* a GUID */
	} rows[] = {
		{ "gpt_type_uuid", facts->type_uuid, TRUE },
		{ "gpt_label", facts->label, FALSE },
		{ "mount_point", facts->mount_point, FALSE },
	};
	g_auto(RootDirectory) root = { 0 };

	if (!open_root_directory(disk, tree, partition, subvolume_id, &root, error))
		return FALSE;

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *name = g_strconcat("user.validatefs.", rows[i].attribute, NULL);
		g_autofree char *allowed = NULL;
		g_autoptr(GBytes) bytes = NULL;

		if (!rows[i].value)
			continue;
		if (!dps_files_get_attribute(root.files, root.path, name, &bytes, error))
			return FALSE;
		if (!bytes || is_allowed(bytes, rows[i].value, rows[i].ignore_case, &allowed))
			continue;
		*conflict = (DpsValidatefsConflict){ rows[i].attribute, rows[i].value,
						     g_steal_pointer(&allowed) };
		return TRUE;
	}
	*conflict = (DpsValidatefsConflict){ NULL };
	return TRUE;
}

/* The subvolume that will be mounted: the one that is to become the default; 0: the default. */
static uint64_t
get_planned_default(DpsPlan *plan, guint number)
{
	for (guint i = 0; i < plan->changes->len; i++) {
		const DpsChange *change = plan->changes->pdata[i];

		if (change->kind == DPS_CHANGE_BTRFS_DEFAULT && change->partition == number)
			return change->to.subvolume;
	}
	return 0;
}

gboolean
dps_plan_check_validatefs(DpsPlan *plan, const DpsOutcome *outcome, GError **error)
{
	DpsPartition *partition = outcome->partition;
	gboolean type_changes = outcome->type != partition->type;
	gboolean label_changes = g_strcmp0(outcome->label, partition->label) != 0;
	g_auto(DpsValidatefsConflict) conflict = { 0 };
	DpsValidatefsFacts facts = { 0 };

	if (plan->force || partition->content.kind != DPS_CONTENT_FILE_SYSTEM)
		return TRUE;

	/* What is wrong already stays as wrong as it is. */
	if (type_changes) {
		facts.type_uuid = outcome->type->uuid;
		facts.mount_point = dps_type_get_mount_point(outcome->type);
	}
	if (label_changes)
		facts.label = outcome->label ? outcome->label : "";
	if (!facts.type_uuid && !facts.label)
		return TRUE;

	if (!dps_validatefs_compare(plan->disk, plan->tree, partition,
				    get_planned_default(plan, partition->number), &facts, &conflict,
				    NULL) ||
	    !conflict.attribute)
		return TRUE;

	return dps_throw_partition(
		error, partition->number, DPS_ERROR_REFUSED,
		"%s: partition %u: user.validatefs.%s of its root directory is %s, and it would "
		"be %s: systemd 258 and newer reboot at once when they differ: choose another "
		"role, set the attribute with setfattr, or give --force",
		dps_disk_get_path(plan->disk), partition->number, conflict.attribute,
		conflict.allowed, conflict.value);
}
