/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stddef.h>

/* The fields of os-release that menus use.  A value; what is not there or empty is NULL. */
typedef struct {
	char *pretty_name, *name, *id, *image_id;
	char *image_version, *version, *version_id, *build_id;
} DpsOsRelease;

/**
 * dps_os_release_parse:
 * @text: an os-release; need not be valid UTF-8
 * @size: bytes
 * @out: (out): the fields, as valid UTF-8 without control characters; clear them
 *
 * Source: os-release(5): assignments as a shell reads them, without expansion.
 */
void dps_os_release_parse(const char *text, size_t size, DpsOsRelease *out);
void dps_os_release_clear(DpsOsRelease *os_release);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(DpsOsRelease, dps_os_release_clear)

/*
 * How boot menus show a type #2 entry; NULL when os-release has no field for it.  Title:
 * PRETTY_NAME, IMAGE_ID, NAME, ID; version: IMAGE_VERSION, VERSION, VERSION_ID, BUILD_ID; sort key:
 * IMAGE_ID, ID.  The first that is there; lent.  Without a title no menu shows it.
 */
const char *dps_os_release_get_title(const DpsOsRelease *os_release);
const char *dps_os_release_get_version(const DpsOsRelease *os_release);
const char *dps_os_release_get_sort_key(const DpsOsRelease *os_release);
