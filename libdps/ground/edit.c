/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ground/edit.h"

DpsEdit *
dps_edit_new(uint64_t offset, const uint8_t *old_bytes, const uint8_t *new_bytes, size_t size,
	     const char *what)
{
	DpsEdit *edit = g_new(DpsEdit, 1);

	*edit = (DpsEdit){
		.offset = offset,
		.size = size,
		.old_bytes = g_memdup2(old_bytes, size),
		.new_bytes = g_memdup2(new_bytes, size),
		.what = what,
	};
	return edit;
}

void
dps_edit_free(DpsEdit *edit)
{
	if (!edit)
		return;

	g_free(edit->old_bytes);
	g_free(edit->new_bytes);
	g_free(edit);
}

GPtrArray *
dps_edit_list_new(void)
{
	return g_ptr_array_new_with_free_func((GDestroyNotify)dps_edit_free);
}
