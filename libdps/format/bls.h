/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dps/types.h>
#include "format/bls-name.h"
#include "format/bls-problem.h"
#include "format/uki.h"

/*
 * Boot entries as the Boot Loader Specification has them and as systemd-boot and bootctl read
 * them.  What lies beside them has files of its own: loader-conf, shim-csv.  Strings that come from
 * files are valid UTF-8 without control characters.
 *
 * Source: UAPI.1, UAPI.10; systemd-boot(7).
 */

typedef enum {
	DPS_BLS_TYPE1 = 1, /* loader/entries/NAME.conf */
	DPS_BLS_TYPE2 = 2, /* EFI/Linux/NAME.efi */
} DpsBlsType;

typedef enum {
	DPS_BLS_LOADER_NONE = 0,
	DPS_BLS_LOADER_LINUX,
	DPS_BLS_LOADER_EFI,
	DPS_BLS_LOADER_UKI,	/* systemd-boot 258 and newer */
	DPS_BLS_LOADER_UKI_URL, /* systemd-boot 258 and newer */
} DpsBlsLoader;

/* Why systemd-boot does not show an entry. */
typedef enum {
	DPS_BLS_SHOWN = 0,
	DPS_BLS_HIDDEN_NAME,	      /* ".x", "auto-x", or another suffix */
	DPS_BLS_HIDDEN_NO_LOADER,     /* no linux, efi, uki or uki-url */
	DPS_BLS_HIDDEN_CONFLICT,      /* two kinds of loader */
	DPS_BLS_HIDDEN_ARCH,	      /* for another architecture */
	DPS_BLS_HIDDEN_TOO_OLD,	      /* a key that this systemd-boot does not know yet */
	DPS_BLS_HIDDEN_FILE_MISSING,  /* the loader's file is not on the same partition */
	DPS_BLS_HIDDEN_SELF,	      /* it starts systemd-boot itself */
	DPS_BLS_HIDDEN_RELATIVE_URL,  /* relative to where systemd-boot came from: a disk */
	DPS_BLS_HIDDEN_NOT_PE,	      /* type #2: no PE file, or cut off in its headers */
	DPS_BLS_HIDDEN_NO_OS_RELEASE, /* type #2: no .osrel, or no name in it */
} DpsBlsHidden;

/* One entry.  A value on the heap, freed with dps_bls_entry_free(). */
typedef struct {
	DpsBlsType type;
	char *file_name;
	char *id;      /* without the boot counter; with "@PROFILE" for profiles of type #2 */
	char *base_id; /* without the profile, too */
	gboolean is_counted;
	guint tries_left, tries_done;

	char *title, *version, *machine_id, *sort_key; /* NULL: not given */
	char *architecture;			       /* as it is written; NULL: not given */
	DpsArch arch;	     /* of architecture, or of the PE; NONE: any, or not known */
	DpsBlsLoader loader; /* of type #2: UKI */
	char *path;	     /* of the loader's file, normalised; a URL for UKI_URL; NULL */
	GPtrArray *initrds, *extras, *devicetree_overlays; /* (element-type utf8): normalised */
	char *devicetree;
	char *options; /* all of them, joined by a space; NULL: none */
	guint profile; /* of a multi-profile UKI */

	DpsBlsHidden hidden; /* as far as the file itself tells: see dps_bls_entry_get_hidden() */
	GPtrArray *problems; /* (element-type DpsBlsProblem) */
} DpsBlsEntry;

/**
 * dps_bls_entry_parse:
 * @file_name: the name of a file in loader/entries
 * @text: its contents
 * @size: bytes, at most %DPS_BLS_MAX_FILE_SIZE are looked at
 *
 * Returns: (transfer full): the entry, whatever is wrong with it
 */
DpsBlsEntry *dps_bls_entry_parse(const char *file_name, const char *text, size_t size);

/**
 * dps_bls_entries_from_uki:
 * @file_name: the name of a file in EFI/Linux
 * @uki: (nullable): what dps_uki_read() says; %NULL: it is no PE
 *
 * Returns: (transfer full) (element-type DpsBlsEntry): one entry a profile, at least one
 */
GPtrArray *dps_bls_entries_from_uki(const char *file_name, const DpsUki *uki);

void dps_bls_entry_free(DpsBlsEntry *entry);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DpsBlsEntry, dps_bls_entry_free)

/**
 * DpsBlsExists:
 * @path: of a file, from the root of the entry's partition, normalised
 *
 * Returns: whether it is there
 */
typedef gboolean (*DpsBlsExists)(const char *path, gpointer data);

/* The systemd-boot that reads the entries.  All zero: the newest, any architecture, all files. */
typedef struct {
	DpsArch arch;	       /* NONE: any */
	guint systemd_version; /* 0: the newest */
	const char *self_path; /* its own file, normalised; NULL: on another partition */
	DpsBlsExists exists;   /* asked for the loader's file; NULL: all are there */
	gpointer data;	       /* for exists */
} DpsBlsReader;

/**
 * dps_bls_entry_get_hidden:
 * @entry: an entry
 * @reader: who reads it
 *
 * Returns: whether and why systemd-boot does not show @entry, the first reason that it finds
 */
DpsBlsHidden dps_bls_entry_get_hidden(const DpsBlsEntry *entry, const DpsBlsReader *reader);

/* "its architecture is another one"; for messages; "" for SHOWN */
const char *dps_bls_hidden_to_string(DpsBlsHidden hidden);

/* Whether an entry has no tries left: sorted last, started only when chosen. */
gboolean dps_bls_entry_is_bad(const DpsBlsEntry *entry);

/* The order of the menu: below 0 when @a stands above @b. */
int dps_bls_entry_compare(const DpsBlsEntry *a, const DpsBlsEntry *b);

/**
 * dps_bls_select_default:
 * @entries: (element-type DpsBlsEntry): those that are shown, in the order of the menu
 * @pattern: (nullable): `default` of loader.conf
 *
 * Returns: the index of the entry that starts by itself, -1 when none does
 */
int dps_bls_select_default(GPtrArray *entries, const char *pattern);
