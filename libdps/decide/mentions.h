/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "decide/plan.h"

/**
 * dps_plan_list_mentions:
 * @plan: a plan
 * @uuid: a partition's UUID
 *
 * Where a partition is named by its UUID, so that changing it would break something: in fstab and
 * crypttab of the tree, the command lines that are made into boot entries, boot entries, GRUB's
 * configuration and the command line inside UKIs, in the tree and on every file system of the disk
 * that boots.
 *
 * Returns: (transfer full) (element-type utf8): "/etc/fstab", "partition 1: /loader/entries/a.conf"
 */
GPtrArray *dps_plan_list_mentions(DpsPlan *plan, const char *uuid);
