/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/validatefs.h"
#include "decide/change.h"
#include "ground/error.h"
#include "ground/text.h"
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

static gboolean
open_root_directory(DpsPlan *plan, DpsPartition *partition, RootDirectory *root)
{
	GPtrArray *mounts = plan->tree ? dps_tree_get_mounts(plan->tree) : NULL;

	for (guint i = 0; mounts && i < mounts->len; i++) {
		const DpsMount *mount = mounts->pdata[i];
		DpsPartition *found = NULL;

		if (mount->backings->len == 1 && !mount->is_directory &&
		    dps_disk_find_backing(plan->disk, mount->backings->pdata[0], &found) &&
		    found == partition) {
			root->files = dps_tree_get_files(plan->tree);
			root->path = mount->mount_point;
			return TRUE;
		}
	}

	root->own = dps_image_open_files(partition, get_planned_default(plan, partition->number),
					 &root->fd, NULL);
	root->files = root->own;
	root->path = "/";
	return root->own != NULL;
}

typedef gboolean (*Equal)(const char *allowed, const char *value);

static gboolean
equal_guid(const char *allowed, const char *value)
{
	return g_ascii_strcasecmp(allowed, value) == 0;
}

static gboolean
equal_text(const char *allowed, const char *value)
{
	return strcmp(allowed, value) == 0;
}

/* Several values of an attribute are apart by NUL, and one of them has to agree. */
static gboolean
is_allowed(RootDirectory *root, const char *attribute, const char *value, Equal equal,
	   char **allowed)
{
	g_autoptr(GBytes) bytes = NULL;
	g_autofree char *text = NULL;
	const char *data;
	gsize size;

	if (!dps_files_get_attribute(root->files, root->path, attribute, &bytes, NULL) || !bytes)
		return TRUE;

	data = g_bytes_get_data(bytes, &size);
	text = g_strndup(data ? data : "", size); /* the first value ends it */
	for (gsize at = 0; at < size;) {
		g_autofree char *one = g_strndup(data + at, size - at);

		if (equal(one, value))
			return TRUE;
		at += strlen(one) + 1;
	}
	*allowed = g_utf8_make_valid(text, -1);
	return FALSE;
}

gboolean
dps_plan_check_validatefs(DpsPlan *plan, const DpsOutcome *outcome, GError **error)
{
	DpsPartition *partition = outcome->partition;
	gboolean type_changes = outcome->type != partition->type;
	gboolean label_changes = g_strcmp0(outcome->label, partition->label) != 0;
	g_auto(RootDirectory) root = { 0 };
	g_autofree char *allowed = NULL;
	const char *what, *value;

	if (plan->force || partition->content.kind != DPS_CONTENT_FILE_SYSTEM ||
	    !(type_changes || label_changes) || !open_root_directory(plan, partition, &root))
		return TRUE;

	if (type_changes && !is_allowed(&root, "user.validatefs.gpt_type_uuid", outcome->type->uuid,
					equal_guid, &allowed)) {
		what = "gpt_type_uuid";
		value = outcome->type->uuid;
	} else if (label_changes &&
		   !is_allowed(&root, "user.validatefs.gpt_label",
			       outcome->label ? outcome->label : "", equal_text, &allowed)) {
		what = "gpt_label";
		value = outcome->label ? outcome->label : "";
	} else if (type_changes && dps_type_get_mount_point(outcome->type) &&
		   !is_allowed(&root, "user.validatefs.mount_point",
			       dps_type_get_mount_point(outcome->type), equal_text, &allowed)) {
		what = "mount_point";
		value = dps_type_get_mount_point(outcome->type);
	} else {
		return TRUE;
	}

	return dps_throw_partition(
		error, partition->number, DPS_ERROR_REFUSED,
		"%s: partition %u: user.validatefs.%s of its root directory is %s, and it would "
		"be %s: systemd 258 and newer reboot at once when they differ: choose another "
		"role, set the attribute with setfattr, or give --force",
		dps_disk_get_path(plan->disk), partition->number, what, allowed, value);
}
