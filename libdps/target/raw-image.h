/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdint.h>

/*
 * Whether a file can be a raw disk image: formats that are none (qcow2, VMDK, compressed files …)
 * are told by how they begin, and the error says what to type.
 *
 * @fd: (borrowed), readable; @size: of the file, in bytes; @error: %DPS_ERROR_UNSUPPORTED
 */
gboolean dps_raw_image_check(int fd, const char *path, uint64_t size, GError **error);
