/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "decide/discover.h"
#include "ground/types.h"

/* What the files of discover share. */

/* What came of a rule that is about the whole disk. */
typedef struct {
	DpsStepResult result;
	char *message;
} DpsDiskStep;

typedef struct {
	DpsDisk *disk;
	const DpsProfile *profile;
	GPtrArray *candidates;			/* (element-type DpsCandidate) */
	DpsCandidate *slots[DPS_ROLE_SAME + 1]; /* by role: the one that is taken; NULL: none */
	DpsDiskStep backing, dissection;
} DpsDiscovery;

static inline DpsRole
dps_discovery_role_of(const DpsCandidate *candidate)
{
	return candidate->partition->type->role;
}

/* Adds a step.  Without a failure before it, a failure is the reason. */
void dps_discovery_add(DpsCandidate *candidate, const char *rule, DpsStepResult result,
		       const char *format, ...) G_GNUC_PRINTF(4, 5);

/* A rule with a word for either outcome. */
void dps_discovery_add_either(DpsCandidate *candidate, const char *rule, gboolean ok,
			      const char *yes, const char *no);

/* The rule about what it holds: @wanted ("a file system"), else @no ("no file system"). */
void dps_discovery_add_content(DpsCandidate *candidate, gboolean ok, const char *wanted,
			       const char *no);

DpsDirectory dps_discovery_get_directory(DpsDiscovery *self, const char *path);

/* (nullable): the line of fstab with exactly this mount point */
const DpsFstabEntry *dps_discovery_find_fstab(DpsDiscovery *self, const char *mount_point);

/* The partition that a "UUID=", "PARTUUID=", … of a command line or fstab names; NULL: none here.
 */
DpsPartition *dps_discovery_find_spec(DpsDiscovery *self, const char *spec);

/* Whether a "UUID=", "PARTUUID=", … of fstab names this partition. */
gboolean dps_discovery_is_named(DpsPartition *partition, const char *spec);

/* What is found out once for all partitions of the disk: whether its root is the one that is
 * mounted, and what the dissection of the whole disk makes of it. */
void dps_discovery_find_backing(DpsDiscovery *self);
void dps_discovery_dissect(DpsDiscovery *self);
void dps_discovery_judge_backing(DpsDiscovery *self, DpsCandidate *candidate);
void dps_discovery_judge_dissection(DpsDiscovery *self, DpsCandidate *candidate);

/* The rules of the host: for swap, and for home and its kin. */
void dps_discovery_judge_swap(DpsDiscovery *self, DpsCandidate *candidate);
void dps_discovery_judge_mount(DpsDiscovery *self, DpsCandidate *candidate);

/* Whether nothing is in the directory at the candidate's place. */
void dps_discovery_judge_directory(DpsDiscovery *self, DpsCandidate *candidate);

/* Whether a partition holds something that can be mounted. */
void dps_discovery_judge_content(DpsCandidate *candidate);

/* Whether the version mounts what a partition holds without being told. */
void dps_discovery_judge_file_system(DpsDiscovery *self, DpsCandidate *candidate);

/* The rules for the boot partitions, which are unlike all others. */
void dps_discovery_judge_esp(DpsDiscovery *self, DpsCandidate *candidate);
void dps_discovery_judge_xbootldr(DpsDiscovery *self, DpsCandidate *candidate);
