/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "target.h"

/**
 * apply_plan:
 * @options: --backup, --no-check, --strict, --json
 * @screen: where to tell
 * @target: what @plan is for
 * @plan: prepared
 * @backup: (nullable): as for dps_plan_apply()
 * @error: and why
 *
 * Tells what will be done, does it, and tells what was done.  A signal that asks us to end is heard
 * when the disk is whole.
 *
 * Returns: the exit status, -1 on failure
 */
int apply_plan(const Options *options, Screen *screen, Target *target, DpsPlan *plan,
	       const char *backup, GError **error);
