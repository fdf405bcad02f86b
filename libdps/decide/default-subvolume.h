/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "decide/plan.h"

/**
 * dps_plan_prepare_default_subvolume:
 * @plan: a plan
 * @root: the partition that is assigned as root
 * @error: %DPS_ERROR_NOT_FOUND: there is no subvolume of the name that was given;
 *   %DPS_ERROR_REFUSED: the default that stays does not lead to root, or it cannot be written
 *
 * Adds the change of the default subvolume that makes @root, if it is a btrfs, lead to the root of
 * the system; or a finding that says why it is left alone.
 *
 * Returns: %TRUE on success
 */
gboolean dps_plan_prepare_default_subvolume(DpsPlan *plan, DpsPartition *root, GError **error);

/**
 * dps_plan_get_btrfs:
 * @plan: a plan
 * @partition: a partition of its disk
 * @error: why the file system cannot be read
 *
 * Returns: (transfer none): the btrfs that @partition holds, or that is in the LUKS that it holds,
 *   where the tree's root is mounted from it; %NULL on failure
 */
DpsBtrfs *dps_plan_get_btrfs(DpsPlan *plan, DpsPartition *partition, GError **error);
