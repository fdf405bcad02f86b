/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <sys/types.h>

/**
 * dps_udev_wait:
 * @disk: the whole disk's number; 0: a file, and there is nothing to wait for
 * @path: the name that people know it by
 * @partitions: (element-type guint): numbers of partitions whose type changed
 * @type_uuids: (element-type utf8): the type that each has now
 *
 * udevd watches the whole disk and reads it again when a descriptor that could write is closed
 * (dps_medium_stop_writing()).  Waits, at most 5 s, until its record of each partition has the new
 * type.
 *
 * Returns: (transfer full) (nullable): why udev does not know (not running; 5 s are over), one
 * line; %NULL when it does
 */
char *dps_udev_wait(dev_t disk, const char *path, GArray *partitions, GPtrArray *type_uuids);
