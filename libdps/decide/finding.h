/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dps/check.h>

/* hint may be NULL; path may be NULL; message is a format. */
DpsFinding *dps_finding_new(const char *code, DpsSeverity severity, guint partition,
			    const char *path, const char *hint, const char *format, ...)
	G_GNUC_PRINTF(6, 7);

/* For the caller's own policy, before anybody else has the finding. */
void dps_finding_set_severity(DpsFinding *finding, DpsSeverity severity);
