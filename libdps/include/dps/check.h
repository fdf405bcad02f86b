/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <dps/disk.h>
#include <dps/tree.h>
#include <dps/version.h>

G_BEGIN_DECLS

/**
 * DpsSeverity:
 * @DPS_SEVERITY_INFO: a fact worth telling
 * @DPS_SEVERITY_WARNING: trouble is likely with some consumer
 * @DPS_SEVERITY_ERROR: the disk will not do what it is set up for
 *
 * Since: 0.1
 */
typedef enum {
	DPS_SEVERITY_INFO = 1,
	DPS_SEVERITY_WARNING = 2,
	DPS_SEVERITY_ERROR = 3,
} DpsSeverity;

/**
 * DpsFinding:
 *
 * Something worth saying about a disk.  Every code is stable and has a section in
 * dps-findings(7).
 */
typedef struct _DpsFinding DpsFinding;

DPS_API DpsFinding *dps_finding_ref(DpsFinding *finding);
DPS_API void dps_finding_unref(DpsFinding *finding);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DpsFinding, dps_finding_unref)

/* What a finding says.  Strings are valid UTF-8 and belong to it. */
DPS_API const char *dps_finding_get_code(DpsFinding *finding); /* kebab-case */
DPS_API DpsSeverity dps_finding_get_severity(DpsFinding *finding);
DPS_API guint dps_finding_get_partition(DpsFinding *finding);	  /* 0: about none */
DPS_API const char *dps_finding_get_path(DpsFinding *finding);	  /* (nullable): a file */
DPS_API const char *dps_finding_get_message(DpsFinding *finding); /* one line */
DPS_API const char *dps_finding_get_hint(DpsFinding *finding);	  /* (nullable): what to do */

/* "info", "warning", "error"; %NULL for another number */
DPS_API const char *dps_severity_to_string(DpsSeverity severity);

/**
 * DpsCheckOptions:
 *
 * What dps_check() is to know beside the disk and the tree.
 */
typedef struct _DpsCheckOptions DpsCheckOptions;

DPS_API DpsCheckOptions *dps_check_options_new(void);
DPS_API void dps_check_options_free(DpsCheckOptions *options);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DpsCheckOptions, dps_check_options_free)

/**
 * dps_check_options_set_arch:
 * @options: options
 * @arch: the architecture that the disk is to boot on; %DPS_ARCH_NONE: find out
 *
 * Since: 0.1
 */
DPS_API void dps_check_options_set_arch(DpsCheckOptions *options, DpsArch arch);

/**
 * dps_check_options_set_keep_kernels:
 * @options: options
 * @n: how many kernels the system keeps; at least 1; 2 unless it is set
 *
 * The boot partition must have room for @n times the largest set of kernel and initrd, or the
 * largest unified kernel image, that is on it.
 *
 * Since: 0.1
 */
DPS_API void dps_check_options_set_keep_kernels(DpsCheckOptions *options, guint n);

/**
 * dps_check_options_set_esp:
 * @options: options
 * @path: (nullable): a directory with the files of the disk's EFI system partition
 *
 * Where it is mounted and the tree's mounts do not say so, or what it is made of.  The files are
 * taken from there; what only the partition itself can tell is told from it, or could not be
 * judged.
 *
 * Since: 0.1
 */
DPS_API void dps_check_options_set_esp(DpsCheckOptions *options, const char *path);

/**
 * dps_check_options_set_only:
 * @options: options
 * @codes: codes of findings, with commas between them
 * @error: %DPS_ERROR_INVALID: no finding of a check has such a code
 *
 * Nothing else is reported.
 *
 * Returns: %TRUE on success; on failure @options is as it was
 * Since: 0.1
 */
DPS_API gboolean dps_check_options_set_only(DpsCheckOptions *options, const char *codes,
					    GError **error);

/**
 * dps_check_options_set_ignore:
 * @options: options
 * @codes: as for dps_check_options_set_only()
 * @error: as for dps_check_options_set_only()
 *
 * These are not reported.
 *
 * Returns: %TRUE on success; on failure @options is as it was
 * Since: 0.1
 */
DPS_API gboolean dps_check_options_set_ignore(DpsCheckOptions *options, const char *codes,
					      GError **error);

/**
 * dps_check_options_set_policy:
 * @options: options
 * @text: lines "CODE=SEVERITY", where SEVERITY is `error`, `warning`, `info` or `ignore`; empty
 *   lines and those that start with "#" are passed over
 * @error: %DPS_ERROR_INVALID: which line, and what is wrong with it; a code has one line
 *
 * The severities that a distribution wants instead of ours.  `dps-summary` is on every disk: it can
 * be `info` or `ignore` only.
 *
 * Returns: %TRUE on success; on failure @options is as it was
 * Since: 0.1
 */
DPS_API gboolean dps_check_options_set_policy(DpsCheckOptions *options, const char *text,
					      GError **error);

/**
 * dps_check:
 * @disk: the disk
 * @tree: (nullable): the tree that is on it
 * @options: (nullable): %NULL for the defaults
 * @error: %DPS_ERROR_IO and its kin when the disk could not be read to the end, or the directory of
 *   dps_check_options_set_esp() could not; %DPS_ERROR_NOT_FOUND when the disk has no ESP for it
 *
 * Runs every rule.  Reads only.
 *
 * Returns: (transfer container) (element-type DpsFinding): the findings, worst first; empty when
 *   there is nothing to say; %NULL on failure
 * Since: 0.1
 */
DPS_API GPtrArray *dps_check(DpsDisk *disk, DpsTree *tree, const DpsCheckOptions *options,
			     GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
