/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dps/plan.h>
#include "ground/guid.h"

/*
 * One difference between what is and what should be: for people as text, for apply and undo as the
 * values that the text was made of.  Which of the values count depends on the kind.
 */
typedef struct {
	DpsGuid guid;	     /* TYPE, UUID */
	uint64_t attributes; /* FLAGS: all 64 bits */
	char *text;	     /* NAME; BTRFS_DEFAULT: the subvolume's path; TABLE: NULL */
	uint64_t subvolume;  /* BTRFS_DEFAULT */
} DpsValue;

struct _DpsChange {
	DpsChangeKind kind;
	guint partition; /* 0: the table itself */
	DpsValue from, to;
	char *from_text, *to_text, *reason; /* from_text and to_text of TABLE may be NULL */
};

/* Takes the texts of both values; makes from_text and to_text of them. */
DpsChange *dps_change_new(DpsChangeKind kind, guint partition, DpsValue from, DpsValue to,
			  const char *reason);
void dps_change_free(DpsChange *change);

/* Returns: the kind with this name, 0 when there is none */
DpsChangeKind dps_change_kind_from_string(const char *name);

/* A copy with from and to exchanged, for undo. */
DpsChange *dps_change_turned_round(const DpsChange *change, const char *reason);

gboolean dps_value_equal(DpsChangeKind kind, const DpsValue *a, const DpsValue *b);
