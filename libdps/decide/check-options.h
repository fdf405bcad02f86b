/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dps/check.h>

/* What the rules need of the caller's options; each takes NULL for the defaults. */
DpsArch dps_check_options_get_arch(const DpsCheckOptions *options);
guint dps_check_options_get_keep_kernels(const DpsCheckOptions *options);
const char *dps_check_options_get_esp(const DpsCheckOptions *options); /* NULL: not given */
gboolean dps_check_options_wants(const DpsCheckOptions *options, const char *code);

/* Returns: whether the caller has a severity of its own for @code */
gboolean dps_check_options_get_severity(const DpsCheckOptions *options, const char *code,
					DpsSeverity *severity);

/* Whether some rule has this code. */
gboolean dps_check_is_code(const char *code);
