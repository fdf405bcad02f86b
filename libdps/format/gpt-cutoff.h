/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "format/gpt.h"

/**
 * dps_gpt_backup_is_cut_off:
 * @gpt: a table whose primary copy is good, and whole (%DPS_GPT_WHOLE)
 * @numbers: (nullable) (element-type guint): the entries that may have been written; %NULL: any
 *
 * The backup is written before the primary, and after it when the primary had to be made anew: cut
 * off on the way, the primary is good and the backup is not what it says.  What a write of ours can
 * leave then, and what else befalls a backup hardly can: its header is sound and of the same table,
 * and its entries are those of the primary but for types, flags, UUIDs and names of @numbers, each
 * changed as we change it.  A sector that went bad, or another program's table, is none of this.
 *
 * Returns: whether the backup is one that a cut off write left
 */
gboolean dps_gpt_backup_is_cut_off(const DpsGpt *gpt, const GArray *numbers);

/* Whether a good primary's backup has a sound header, in its place and of the same table. */
gboolean dps_gpt_backup_header_is_usable(const DpsGpt *gpt);
