/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "command.h"

/* What a command works on: a tree, the disk under it, or a disk alone. */
typedef struct {
	DpsTree *tree;	  /* NULL: none */
	DpsDisk *disk;	  /* NULL: the tree is on none */
	gboolean is_told; /* of what was finished first: target_tell_finished() */
	char *why;	  /* when @disk is NULL: what the tree is on instead, one line */
} Target;

/**
 * target_open:
 * @options: --root, --lock and --sector-size
 * @path: (nullable): DISK as it was typed
 * @flags: how to open the disk
 * @out: (out): set on success
 * @error: as from dps_tree_open(), dps_tree_find_disk() and dps_disk_open()
 *
 * Without @path the disk is the one that holds the tree's root.  With @path and no --root there is
 * no tree, and nothing of the running system is read, unless @path is the disk that holds `/`.
 */
gboolean target_open(const Options *options, const char *path, DpsOpenFlags flags, Target *out,
		     GError **error);
void target_clear(Target *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Target, target_clear)

/* Puts what was finished of a run that was cut off before the error of this one, once. */
void target_tell_finished(Target *self, GError **error);

/* One line for people, when there is no disk: "/srv/tree: nothing to do: …" */
char *target_describe_no_disk(const Target *self);
