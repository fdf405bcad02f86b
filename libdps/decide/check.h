/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dps/check.h>
#include "decide/boot.h"
#include "decide/discover.h"
#include "target/disk.h"
#include "target/tree.h"

/*
 * A rule is one function and one row of a table: check-*.c have them by subject.  A code is born in
 * its row, has a section in dps-findings(7), and tests that make it fire and keep it silent;
 * tests/lint/findings.py holds them together.
 */

typedef struct _DpsRule DpsRule;

/* What a rule sees, and where its findings go. */
typedef struct {
	DpsDisk *disk;
	DpsTree *tree;		 /* NULL: there is none, and none could be read from the disk */
	char *tree_problem;	 /* why the system on the disk could not be read; or NULL */
	gboolean is_own_tree;	 /* it was read from the disk itself */
	DpsFiles *files;	 /* of the tree; NULL: there is none */
	DpsArch arch;		 /* that the disk is to boot on; NONE: nothing tells */
	const char *arch_reason; /* "as asked for", "of the tree's programs"; NULL with NONE */
	DpsBoot *boot;		 /* what is there to boot it */
	guint keep_kernels;
	const DpsCheckOptions *options;
	const DpsRule *rule; /* the one that runs */
	GPtrArray *findings;
	GPtrArray *unjudged; /* (element-type DpsUnjudged): by reason */
} DpsCheck;

/* A reason, and the rules that it kept from being judged. */
typedef struct {
	guint partition;
	char *reason;
	GString *codes;
	const DpsRule *last;
} DpsUnjudged;

struct _DpsRule {
	const char *code;
	DpsSeverity severity; /* unless the function knows better */
	void (*run)(DpsCheck *check);
};

/* Each ends with a row without code. */
extern const DpsRule dps_rules_gpt[], dps_rules_esp[], dps_rules_fat[], dps_rules_loader[],
	dps_rules_entries[], dps_rules_uki[], dps_rules_space[], dps_rules_root[],
	dps_rules_probe[], dps_rules_content[], dps_rules_tree[], dps_rules_verity[],
	dps_rules_last[];

/*
 * Adds a finding of the rule that runs.  message is a format; hint may be NULL.  What is between
 * backquotes in a hint is a command that can be pasted: "{disk}" in it becomes the path of the
 * disk, quoted for a shell, "{n}" the number of the finding's partition, and "{root}" the role
 * root, with its architecture where the system's programs do not tell it.  What sgdisk,
 * sfdisk and parted would do to an image file with sectors of 4096 bytes is led to a loop device.
 */
void dps_check_report(DpsCheck *check, guint partition, const char *hint, const char *format, ...)
	G_GNUC_PRINTF(4, 5);
void dps_check_report_as(DpsCheck *check, DpsSeverity severity, guint partition, const char *hint,
			 const char *format, ...) G_GNUC_PRINTF(5, 6);

/* (transfer full): a hint with disk, number and architecture in it */
char *dps_check_fill_in(DpsCheck *check, const char *hint, guint partition);

/* (transfer full): the hint that sets a partition's attribute bits to these */
char *dps_check_hint_attributes(uint64_t attributes);

/* The same about a file; severity 0: that of the rule. */
void dps_check_report_file(DpsCheck *check, DpsSeverity severity, guint partition, const char *path,
			   const char *hint, const char *format, ...) G_GNUC_PRINTF(6, 7);

/* Says that the rule that runs could not be judged; one finding a reason, with all its rules. */
void dps_check_cannot_judge(DpsCheck *check, guint partition, const char *reason);

/* Whether a rule above, in the order of the tables, has reported an error of this code about a
 * partition (0: the disk): what only follows from that is no fault of its own. */
gboolean dps_check_has_error(DpsCheck *check, const char *code, guint partition);

/* Whether a file of this partition is damaged on the medium, which a rule above has reported, or
 * not given by it, which content-unreadable reports: then it says that the rule that runs could not
 * be judged of it. */
gboolean dps_check_is_file_damaged(DpsCheck *check, const DpsBootPart *part, const char *path);

/* Whether what a partition holds could be read; says that the rule could not be judged of what
 * could not. */
gboolean dps_check_can_see(DpsCheck *check, DpsPartition *partition);

/* The tree, or NULL after saying that the rule could not be judged without one. */
DpsTree *dps_check_need_tree(DpsCheck *check);

/* Whether every boot entry that is there was read; says that the rule could not be judged of what
 * was not. */
gboolean dps_check_need_entries(DpsCheck *check);

/* Says that the rule could not be judged for a boot partition that cannot be read, or for entries.
 */
void dps_check_need_boot_parts(DpsCheck *check);

/* The partition's file on the ESP or XBOOTLDR, whose number is wanted for messages. */
guint dps_check_part_number(const DpsBootPart *part);

/* The next partition behind @after (NULL: the first) that has a type of this role; NULL: no more */
DpsPartition *dps_check_next_of_role(DpsCheck *check, DpsRole role, DpsPartition *after);

/* The partition that systemd takes as root: of the disk's architecture, or NULL. */
DpsPartition *dps_check_get_root(DpsCheck *check);

/* Whether the entry overlaps another or leaves the usable area: gpt-overlap tells. */
gboolean dps_check_is_entry_bad(DpsCheck *check, guint number);

/* Whether nothing of this disk is for UEFI: its architecture has none, or it boots by BIOS only. */
gboolean dps_check_is_not_uefi(DpsCheck *check);

/* A FAT with a directory EFI that has no ESP type, when there is no ESP; else NULL. */
DpsPartition *dps_check_find_mistyped_esp(DpsCheck *check);

/* "error" for an image, and a warning for a device, beside which there may be others */
DpsSeverity dps_check_image_severity(DpsCheck *check);

/* The same for what UEFI needs: a warning, too, where the disk has another way to boot */
DpsSeverity dps_check_uefi_severity(DpsCheck *check);

typedef enum {
	DPS_ROOT_SPEC_UNKNOWN = 0, /* no UUID or label, or it may be inside of something closed */
	DPS_ROOT_SPEC_FOUND,
	DPS_ROOT_SPEC_MISSING,
} DpsRootSpec;

/* Whether the disk has what a root= names; @root may be NULL. */
DpsRootSpec dps_check_find_root_spec(DpsCheck *check, const char *root, DpsPartition **partition);

/* The disk under this version of systemd, started with this command line. */
DpsProfile dps_check_make_profile(DpsCheck *check, guint version, const DpsCmdline *cmdline);

/* Roles that systemd mounts or uses by their type alone: root, home, srv, var, tmp, swap, … */
gboolean dps_check_is_mounted_role(DpsRole role);
