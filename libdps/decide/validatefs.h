/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "decide/outcome.h"

/**
 * dps_plan_check_validatefs:
 * @plan: a plan whose default subvolume is prepared
 * @outcome: what becomes of one partition
 * @error: %DPS_ERROR_REFUSED: which attribute would disagree
 *
 * The root directory of a file system can say, in `user.validatefs.*`, which partition it may be
 * mounted from.  systemd 258 and newer reboot at once when type, label or mount point are not among
 * what is allowed; systemd-repart writes these attributes.
 *
 * Source: systemd-validatefs@.service(8).
 *
 * Returns: whether everything that changes is allowed, or nothing is said, or it cannot be read
 */
gboolean dps_plan_check_validatefs(DpsPlan *plan, const DpsOutcome *outcome, GError **error);
