/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/winner.h"
#include "format/version.h"

#include <string.h>

guint
dps_root_winner(const DpsRootCandidate *candidates, guint n)
{
	const DpsRootCandidate *winner = &candidates[0];

	g_assert(n > 0);

	for (guint i = 1; i < n; i++)
		if (dps_version_compare(candidates[i].label, winner->label) > 0)
			winner = &candidates[i];

	return winner->number;
}

gboolean
dps_root_is_possible(DpsPartition *partition)
{
	const DpsContent *content = &partition->content;

	if (dps_partition_is_member(partition))
		return FALSE;

	return content->kind == DPS_CONTENT_LUKS ||
	       (content->kind == DPS_CONTENT_FILE_SYSTEM && strcmp(content->type, "vfat") != 0);
}
