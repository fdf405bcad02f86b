/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdint.h>

/*
 * One thing that an editor wants written: @size bytes at @offset, which are @old_bytes now and
 * shall be @new_bytes.  Editors (format/gpt-edit, format/btrfs-edit) compute ordered lists of
 * these and write nothing; target/medium writes them in order, one pwrite and one flush each, and
 * only where the old bytes are still there.
 */
typedef struct {
	uint64_t offset; /* bytes, from the start of the region that the editor was given */
	size_t size;	 /* bytes */
	uint8_t *old_bytes;
	uint8_t *new_bytes;
	const char *what; /* static: the step, for messages: "primary header" */
} DpsEdit;

/* Copies both. */
DpsEdit *dps_edit_new(uint64_t offset, const uint8_t *old_bytes, const uint8_t *new_bytes,
		      size_t size, const char *what);
void dps_edit_free(DpsEdit *edit);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DpsEdit, dps_edit_free)

/* Returns: (transfer full) (element-type DpsEdit): an empty list that owns its edits */
GPtrArray *dps_edit_list_new(void);
