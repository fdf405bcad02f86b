/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dps/dps.h>
#include "screen.h"

/* Exit statuses, a contract: see dps-tag(8). */
enum {
	STATUS_OK = 0,
	STATUS_SAID_NO = 1, /* check found an error, plan has pending changes */
	STATUS_USAGE = 2,
	STATUS_FAILED = 3,
};

/* The commands as bits, for the table of options. */
typedef enum {
	COMMAND_APPLY = 1 << 0,
	COMMAND_PLAN = 1 << 1,
	COMMAND_CHECK = 1 << 2,
	COMMAND_SHOW = 1 << 3,
	COMMAND_TYPES = 1 << 4,
	COMMAND_UNDO = 1 << 5,
	COMMAND_ALL = ~0,
} CommandId;

typedef struct _Command Command;

/* What was typed, understood.  Strings belong to argv. */
typedef struct {
	const Command *command;	      /* NULL: none, for --help and --version alone */
	const char *const *arguments; /* behind the command; ends in NULL */
	guint n_arguments;

	const char *root; /* NULL: not given */
	DpsArch arch;	  /* NONE: not given */
	gboolean json;
	const char *backup;		  /* NULL: not given */
	const char *btrfs_default;	  /* NULL: not given */
	const char *root_hash, *usr_hash; /* NULL: not given */
	const char *machine_id;		  /* NULL: not given */
	gboolean names;
	gboolean force;
	DpsOpenFlags lock;
	gboolean no_check;
	gboolean strict;
	guint sector_size;	 /* 0: find out */
	char *only, *ignore;	 /* owned; NULL: not given */
	char *policy;		 /* the text of the file, owned; NULL: not given */
	const char *policy_path; /* of that file */
	const char *esp;	 /* NULL: not given */
	guint keep_kernels;	 /* 0: not given */
	guint jobs;		 /* 0: not given */
	ScreenColor color;
	gboolean no_pager;
	gboolean quiet;
	gboolean verbose;
	gboolean help;
	gboolean version;
} Options;

/* A command.  @run gives STATUS_OK or STATUS_SAID_NO, or -1 and an error. */
struct _Command {
	CommandId id;
	const char *name;
	const char *arguments; /* as the synopsis has them */
	const char *summary;   /* one line */
	const char *about;     /* for its --help */
	int (*run)(const Options *options, Screen *screen, GError **error);
};

extern const Command command_apply;
extern const Command command_plan;
extern const Command command_check;
extern const Command command_show;
extern const Command command_types;
extern const Command command_undo;
