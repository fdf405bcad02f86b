/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "target/partition.h"

/* A partition of the native root type that is not marked no-auto. */
typedef struct {
	guint number;
	const char *label; /* lent; NULL when it has none */
} DpsRootCandidate;

/**
 * dps_root_winner:
 * @candidates: in the order of the table
 * @n: how many; at least one
 *
 * The root that systemd takes of several: the first, and a later one only when its label compares
 * strictly higher.
 *
 * Source: udev's blkid builtin and dissect-image.c of systemd 252 to 262.
 *
 * Returns: the winner's number
 */
guint dps_root_winner(const DpsRootCandidate *candidates, guint n);

/* Whether it could be root as far as its content goes: what is offered to type. */
gboolean dps_root_is_possible(DpsPartition *partition);
