/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/*
 * A kernel command line, as systemd reads it: words apart by white space, quotes removed, in keys
 * '-' and '_' the same.
 *
 * Source: kernel-command-line(7); systemd's proc_cmdline_parse().
 */

typedef struct {
	const char *key;
	const char *value; /* NULL: a word without "=" */
} DpsCmdlineWord;

/* A switch: not given (or nothing that could be understood), off, on. */
typedef enum {
	DPS_CMDLINE_UNSET = -1,
	DPS_CMDLINE_NO = 0,
	DPS_CMDLINE_YES = 1,
} DpsCmdlineSwitch;

/*
 * A value.  Where a key is given more than once, the last one is kept: rootflags=, mount.usrflags=
 * are joined with commas, as systemd's generators do.  Strings are valid UTF-8; NULL: not given.
 */
typedef struct {
	GArray *words; /* (element-type DpsCmdlineWord): all, in order; lent by text */
	char *text;    /* private */

	char *root, *rootfstype, *rootflags, *roothash;
	char *usr, *usrfstype, *usrflags, *usrhash; /* mount.usr=, mount.usrfstype=, … */
	char *root_subvol;   /* subvol= of rootflags, without slashes around it; "" the top level */
	char *root_subvolid; /* subvolid= of rootflags */

	/* Some root= was neither "gpt-auto" nor another word for discovery: before systemd 258 this
	 * ends root discovery even when a later root= asks for it. */
	gboolean has_other_root;

	DpsCmdlineSwitch gpt_auto;    /* systemd.gpt_auto: counts in the initrd and after it */
	DpsCmdlineSwitch rd_gpt_auto; /* what counts in the initrd: the last of the two */
	DpsCmdlineSwitch rw;	      /* the last of rw (YES) and ro (NO) */
	DpsCmdlineSwitch swap;	      /* systemd.swap */
	DpsCmdlineSwitch fstab;	      /* fstab: whether it is read */
	char *init;		      /* init= */
} DpsCmdline;

/**
 * dps_cmdline_parse:
 * @text: (nullable): a command line; bytes that are not UTF-8 become U+FFFD
 * @out: (out): what it says; clear it with dps_cmdline_clear()
 *
 * Always succeeds: a quote that is not closed ends with the text, as systemd has it.  Of what is
 * longer than any kernel keeps, 4096 bytes, the words that are whole there are read.
 */
void dps_cmdline_parse(const char *text, DpsCmdline *out);
void dps_cmdline_clear(DpsCmdline *cmdline);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(DpsCmdline, dps_cmdline_clear)

/* (nullable): the value of the last @key that has one; '-' and '_' are the same */
const char *dps_cmdline_get(const DpsCmdline *cmdline, const char *key);

/**
 * dps_cmdline_root_is_discovered:
 * @cmdline: a command line
 * @systemd_version: the systemd in the initrd: from 258 on root= knows more words for discovery,
 *   and its last one counts
 *
 * Returns: whether systemd looks for the root partition by its type with this command line
 */
gboolean dps_cmdline_root_is_discovered(const DpsCmdline *cmdline, guint systemd_version);
