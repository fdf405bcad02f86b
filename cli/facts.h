/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dps/dps.h>

/*
 * What is shown of a disk, as plain values: they come from the library, or from the process that
 * read the disk, whose word is not to be trusted.
 */
typedef struct {
	guint64 id;
	char *path;
} SubvolumeFacts;

typedef struct {
	guint number;
	char *node;		/* NULL: none */
	guint64 start, size;	/* bytes */
	char *type_uuid, *uuid; /* GUIDs in lower case */
	char *label;		/* NULL: none */
	guint64 attributes;
	char *content_type, *content_uuid, *content_label; /* NULL: none */
	char *content_problem;	      /* why it could not be read; NULL: it could */
	GPtrArray *default_subvolume; /* (element-type SubvolumeFacts): one, or none known */
	GPtrArray *subvolumes;	      /* (element-type SubvolumeFacts): NULL: no btrfs to read */
} PartitionFacts;

typedef struct {
	char *code; /* kebab-case */
	DpsSeverity severity;
	guint partition; /* 0: about none */
	char *path;	 /* NULL: about no file */
	char *message;
	char *hint; /* NULL: none */
} FindingFacts;

typedef struct {
	char *path;
	guint64 size; /* bytes */
	guint sector_size;
	char *uuid;	       /* NULL: no table */
	GPtrArray *partitions; /* (element-type PartitionFacts): in the order of the table */
	GPtrArray *findings;   /* (element-type FindingFacts): worst first; NULL: not looked for */
} Facts;

/* Why there are none. */
typedef struct {
	int code;	 /* a DpsError */
	guint partition; /* 0: about none */
	char *message;
} Failure;

void subvolume_facts_free(SubvolumeFacts *self);
void partition_facts_free(PartitionFacts *self);
void finding_facts_free(FindingFacts *self);
void facts_free(Facts *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Facts, facts_free)
void failure_free(Failure *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Failure, failure_free)

/* (transfer full): what the library says of a disk, and @findings when they were asked for. */
Facts *facts_new(DpsDisk *disk, GPtrArray *findings);

/* (transfer full) (element-type FindingFacts): from DpsFinding */
GPtrArray *facts_list_findings(GPtrArray *findings);

/* NULL: the disk has no such partition. */
const PartitionFacts *facts_get_partition(const Facts *self, guint number);

/* NULL: not known */
const SubvolumeFacts *partition_facts_get_default(const PartitionFacts *self);

/* (transfer full): from an error of the library, or of GLib, whose own are about files. */
Failure *failure_new(const GError *error);

/* How many of @findings are of this severity. */
guint findings_count(GPtrArray *findings, DpsSeverity severity);
