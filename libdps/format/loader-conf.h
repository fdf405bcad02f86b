/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "format/bls-problem.h"

/*
 * The files beside the boot entries, in loader/: what systemd-boot is told, and who the entries
 * belong to.
 *
 * Source: loader.conf(5), UAPI.1.
 */

/* loader.conf.  A value. */
typedef struct {
	char *default_pattern; /* NULL: not given, or not understood */
	char *preferred;       /* systemd-boot 262 and newer */
	char *timeout;
	GPtrArray *problems; /* (element-type DpsBlsProblem): unknown keys, keys without a value */
} DpsLoaderConf;

void dps_loader_conf_parse(const char *text, size_t size, DpsLoaderConf *out);
void dps_loader_conf_clear(DpsLoaderConf *conf);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(DpsLoaderConf, dps_loader_conf_clear)

/* Who writes to loader/entries: the content of loader/entries.srel. */
typedef enum {
	DPS_BLS_SREL_TYPE1 = 0, /* whoever follows the specification */
	DPS_BLS_SREL_FOREIGN,	/* somebody else: GRUB's own scripts */
} DpsBlsSrel;

DpsBlsSrel dps_bls_srel_parse(const char *text, size_t size);
