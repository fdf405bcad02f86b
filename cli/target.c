/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target.h"

#include <sys/stat.h>

/* The running system, when @path is the disk that holds its root; else NULL.  That / cannot be
 * looked at, or is on no disk, is no concern of who asked for another disk. */
static DpsTree *
find_running_system_on(const char *path)
{
	g_autoptr(DpsTree) tree = NULL;
	g_autofree char *root_disk = NULL;
	struct stat asked, holds_root;

	if (stat(path, &asked) < 0 || !S_ISBLK(asked.st_mode))
		return NULL;

	tree = dps_tree_open("/", NULL);
	if (!tree || !dps_tree_find_disk(tree, &root_disk, NULL, NULL) || !root_disk)
		return NULL;
	if (stat(root_disk, &holds_root) < 0 || !S_ISBLK(holds_root.st_mode) ||
	    asked.st_rdev != holds_root.st_rdev)
		return NULL;

	return g_steal_pointer(&tree);
}

static Target
steal_target(Target *self)
{
	Target stolen = *self;

	*self = (Target){ 0 };
	return stolen;
}

gboolean
target_open(const Options *options, const char *path, DpsOpenFlags flags, Target *out,
	    GError **error)
{
	g_auto(Target) self = { 0 };
	g_autofree char *found = NULL;
	const char *root = options->root;

	if (path && !*path) {
		g_set_error_literal(error, DPS_ERROR, DPS_ERROR_INVALID,
				    "DISK: empty: name a block device or an image file");
		return FALSE;
	}
	if (!path && !root)
		root = "/";

	if (root) {
		self.tree = dps_tree_open(root, error);
		if (!self.tree)
			return FALSE;
	} else {
		self.tree = find_running_system_on(path);
	}

	if (!path) {
		if (!dps_tree_find_disk(self.tree, &found, &self.why, error))
			return FALSE;
		path = found;
	}
	if (path) {
		self.disk = dps_disk_open_with_sector_size(path, flags | options->lock,
							   options->sector_size, error);
		if (!self.disk)
			return FALSE;
	}

	*out = steal_target(&self);
	return TRUE;
}

void
target_clear(Target *self)
{
	g_clear_pointer(&self->tree, dps_tree_unref);
	g_clear_pointer(&self->disk, dps_disk_unref);
	g_clear_pointer(&self->why, g_free);
}

void
target_tell_finished(Target *self, GError **error)
{
	const char *finished = self->disk ? dps_disk_get_finished(self->disk) : NULL;

	if (finished && !self->is_told)
		g_prefix_error(error, "%s; then: ", finished);
	self->is_told = TRUE;
}

char *
target_describe_no_disk(const Target *self)
{
	return g_strdup_printf("%s: nothing to do: %s", dps_tree_get_path(self->tree),
			       self->why ? self->why : "the tree is on no disk");
}
