/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "format/cmdline.h"
#include "target/disk.h"
#include "target/mount-tables.h"

/*
 * What one version of systemd does with each partition of a disk, and why: the rules of udev's
 * blkid builtin (which picks root), of systemd-gpt-auto-generator and of the dissection that it
 * rests on.  Where the specification says otherwise, the code counts: it decides what boots.
 *
 * Source: systemd 252.39, 254.26, 257.13 and 262: src/udev/udev-builtin-blkid.c,
 * src/gpt-auto-generator/gpt-auto-generator.c, src/shared/dissect-image.c, src/shared/gpt.c.
 */

/* Versions from which on something is different, oldest first, and what lies between them the same.
 */
extern const guint dps_discover_versions[];
extern const guint dps_discover_n_versions;

/* A directory of the root file system, below whatever is mounted there. */
typedef enum {
	DPS_DIRECTORY_UNKNOWN = 0,
	DPS_DIRECTORY_MISSING,
	DPS_DIRECTORY_EMPTY,
	DPS_DIRECTORY_BUSY, /* something is in it, or it is none */
} DpsDirectory;

/* Which partition LoaderDevicePartUUID names. */
typedef enum {
	DPS_LOADER_WORD_NONE = 0, /* the loader sets no such variable, or it is on another disk */
	DPS_LOADER_WORD_ESP,
	DPS_LOADER_WORD_XBOOTLDR,
} DpsLoaderWord;

/* Where and how a system boots.  All is lent. */
typedef struct {
	guint version; /* of systemd */
	DpsArch arch;  /* the machine's: its own types alone count */
	gboolean is_efi;
	DpsLoaderWord loader;
	const DpsCmdline *cmdline;
	GPtrArray *fstab;	    /* (element-type DpsFstabEntry); NULL: not known */
	const char *machine_id;	    /* NULL: none, or it is not known */
	gboolean has_no_machine_id; /* it is known that there is none yet */
	DpsDirectory (*directory)(const char *path, gpointer data);
	gpointer data;
} DpsProfile;

/* One rule, and what came of it.  The ids of rules are stable: "no-auto". */
typedef enum {
	DPS_STEP_FAIL = 0,
	DPS_STEP_PASS,
	DPS_STEP_UNKNOWN, /* the profile does not say */
} DpsStepResult;

typedef struct {
	const char *rule;
	DpsStepResult result;
	char *message; /* why, as the end of a sentence */
} DpsStep;

typedef enum {
	DPS_USE_SKIPPED = 0,
	DPS_USE_MOUNTED,    /* or enabled, or opened */
	DPS_USE_OVERRIDDEN, /* the command line or fstab says what becomes of it */
} DpsUse;

/* What becomes of one partition. */
typedef struct {
	DpsPartition *partition;
	const char *place; /* "/", "/home", "/efi"; NULL: it has none (swap, hashes, not decided) */
	DpsUse use;
	GPtrArray *steps;	  /* (element-type DpsStep): every rule, in order; where another is
				   * taken, up to the rule that says so */
	const DpsStep *reason;	  /* the first that failed; NULL: none did */
	const DpsStep *uncertain; /* with reason NULL: the first that is not known; NULL: none */
	gboolean is_eligible;	  /* by itself it could have the slot of its type */
	gboolean is_probed;	  /* systemd looks for what it holds, whatever its architecture */
	gboolean is_automount;	  /* mounted when it is asked for */
	gboolean is_read_only;
} DpsCandidate;

/**
 * dps_discover:
 * @disk: a disk with a GUID partition table
 * @profile: where and how it boots
 *
 * Returns: (transfer full) (element-type DpsCandidate): each partition of a type that the version
 *   has a use for, in the order of the table
 */
GPtrArray *dps_discover(DpsDisk *disk, const DpsProfile *profile);

/* (nullable): what became of this partition */
const DpsCandidate *dps_discover_find(GPtrArray *candidates, guint partition);

/* Whether systemd 254 and newer mount a file system of this type without being told. */
gboolean dps_discover_is_allowed(const char *fs_type);
