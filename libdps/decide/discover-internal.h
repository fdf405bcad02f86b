/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "decide/discover.h"

/* What the files of discover share. */

typedef struct {
	DpsDisk *disk;
	const DpsProfile *profile;
	GPtrArray *candidates; /* (element-type DpsCandidate) */
} DpsDiscovery;

/* Adds a step.  Without a failure before it, a failure is the reason. */
void dps_discovery_add(DpsCandidate *candidate, const char *rule, DpsStepResult result,
		       const char *format, ...) G_GNUC_PRINTF(4, 5);

/* The candidate that has the slot of a role; NULL: none. */
DpsCandidate *dps_discovery_get_slot(DpsDiscovery *self, DpsRole role);

DpsDirectory dps_discovery_get_directory(DpsDiscovery *self, const char *path);

/* The partition that a "UUID=", "PARTUUID=", … of a command line or fstab names; NULL: none here.
 */
DpsPartition *dps_discovery_find_spec(DpsDiscovery *self, const char *spec);

/* Whether nothing is in the directory at the candidate's place. */
void dps_discovery_judge_directory(DpsDiscovery *self, DpsCandidate *candidate);

/* Whether the version mounts what a partition holds without being told. */
void dps_discovery_judge_file_system(DpsDiscovery *self, DpsCandidate *candidate);

/* The rules for the boot partitions, which are unlike all others. */
void dps_discovery_judge_esp(DpsDiscovery *self, DpsCandidate *candidate);
void dps_discovery_judge_xbootldr(DpsDiscovery *self, DpsCandidate *candidate);
