/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * dps_version_compare:
 * @a: (nullable): a version, or a partition label that holds one; %NULL is the empty string
 * @b: (nullable): another
 *
 * The order in which systemd takes roots by label and boot entries by version.
 *
 * Source: UAPI.10, "Version Format Specification".
 *
 * Returns: less than, equal to or greater than 0, as @a is older, the same or newer
 */
int dps_version_compare(const char *a, const char *b);
