/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "format/bls.h"
#include "format/cmdline.h"
#include "target/disk.h"
#include "target/esp.h"
#include "target/tree.h"

/*
 * What is on a disk to boot it: the partitions that firmware and loaders read, the programs on
 * them, the entries, and the command lines that these lead to.  Read once, and what cannot be read
 * is NULL with a problem.
 */

/* The ESP that firmware and systemd take, the first XBOOTLDR, or the partition of GRUB's files. */
typedef struct {
	DpsPartition *partition; /* NULL: there is none */
	DpsEsp *esp;		 /* NULL: not FAT, or not readable */
	DpsFiles *files;	 /* NULL likewise; also of an XBOOTLDR that is not FAT */
	DpsFiles *own_files;	 /* private: files, when they are not those of esp */
	char *problem;		 /* why files is NULL although there is a partition; or NULL */
	gboolean is_failing;	 /* it is the medium that is wrong, and not what is on it */
	gboolean is_fat;
} DpsBootPart;

/* One EFI program. */
typedef struct {
	DpsBootPart *part; /* where it is */
	char *path;	   /* "/EFI/BOOT/BOOTX64.EFI" */
	char *name;	   /* its last part */
	uint64_t size;	   /* bytes */
	DpsArch name_arch; /* that its file name promises; NONE: none */
	gboolean is_pe;
	char *problem; /* why it is no PE file; NULL when it is */
	DpsUki uki;    /* when is_pe */
} DpsProgram;

/* What was not read of what is there, so that no rule can judge it. */
typedef struct {
	const DpsBootPart *part;
	char *reason; /* one line */
} DpsBootUnread;

/* One command line that something starts a kernel with. */
typedef struct {
	DpsBootPart *part;
	char *path;		   /* of the file that has it */
	const DpsBlsEntry *bls;	   /* NULL: a line of grub.cfg */
	const DpsProgram *program; /* of a type #2 entry; else NULL */
	DpsBlsHidden hidden;	   /* from systemd-boot */
	gboolean is_unclear;	   /* it has variables that only GRUB can fill in */
	gboolean is_tool;	   /* it starts no system: a memory test, iPXE */
	gboolean finds_root;	   /* its initrd knows root without root=: a live system, NixOS */
	DpsCmdline cmdline;
} DpsBootEntry;

/* A shim that has nothing to start. */
typedef struct {
	char *path;
	char *wanted;	  /* what is not there: the name of a file beside it; a path when is_told */
	gboolean is_told; /* a line of a BOOT*.CSV tells it to start that */
} DpsShimOrphan;

/* What the fallback path leads to, shim passed over. */
typedef enum {
	DPS_CHAIN_NONE = 0,
	DPS_CHAIN_SYSTEMD_BOOT,
	DPS_CHAIN_GRUB,
	DPS_CHAIN_UKI,
	DPS_CHAIN_OTHER, /* a program that is not known: Windows' own, a kernel, another loader */
} DpsChain;

/* Whether anything boots only when systemd finds root by its type. */
typedef enum {
	DPS_DISCOVERY_NO = 0,	/* every command line has root= */
	DPS_DISCOVERY_RELIED,	/* at least one has not */
	DPS_DISCOVERY_NO_ENTRY, /* nothing on the disk starts a kernel */
	DPS_DISCOVERY_UNKNOWN,	/* what starts a kernel could not be read */
} DpsDiscovery;

typedef struct {
	DpsBootPart esp, xbootldr;
	GPtrArray *others; /* (element-type DpsBootPart): other partitions with GRUB's files */
	GPtrArray *mbr_partitions; /* private (element-type DpsPartition): of a disk without GPT */
	gboolean has_unread;	   /* some partition of such a disk could not be looked into */
	gboolean has_lost_part;	   /* a partition that may have GRUB's files cannot be read */
	GPtrArray *fallbacks;	   /* (element-type DpsProgram): EFI/BOOT/BOOT*.EFI of the ESP */
	GPtrArray *ukis;	   /* (element-type DpsProgram): EFI/Linux of ESP and XBOOTLDR */
	GPtrArray *bls;		   /* (element-type DpsBlsEntry): owns those of entries */
	GPtrArray *entries;    /* (element-type DpsBootEntry): of loader/entries and EFI/Linux */
	GPtrArray *grub_lines; /* (element-type DpsBootEntry): command lines of grub.cfg */
	GPtrArray *unread;     /* (element-type DpsBootUnread): at most a few */
	size_t text_left;      /* private: bytes of entries and programs that may still be read */

	/* Set by dps_boot_follow(), for one architecture. */
	const DpsProgram *fallback; /* the fallback loader of the architecture; NULL: none */
	const DpsProgram *loader;   /* what it leads to, when that is a file of the ESP; or NULL */
	DpsProgram *second;	    /* private: what shim starts */
	GPtrArray *orphans;	    /* (element-type DpsShimOrphan): shims that lead nowhere */
	char *uki_path;		    /* a UKI that shim's fallback is told to start; or NULL */
	DpsChain chain;
	gboolean is_shim; /* the fallback loader is shim */
	DpsDiscovery discovery;
	const DpsBootEntry *relying; /* with RELIED: the first entry without root=; NULL: the loader
					itself, a UKI */
} DpsBoot;

/* @esp: (nullable): a directory with the files of the ESP.  NULL on failure: what is wrong with it
 */
DpsBoot *dps_boot_read(DpsDisk *disk, DpsTree *tree, const char *esp, GError **error);
void dps_boot_free(DpsBoot *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DpsBoot, dps_boot_free)

/* Says what the fallback path leads to on @arch, and whether anything relies on discovery. */
void dps_boot_follow(DpsBoot *self, DpsDisk *disk, DpsArch arch);

/* What is at a path of a boot partition; NULL when there is nothing. */
DpsFileInfo *dps_boot_lookup(const DpsBootPart *part, const char *path);
gboolean dps_boot_exists(const DpsBootPart *part, const char *path);

/* (nullable): what the medium did not give of a path, when it was asked: one line.  Then nobody
 * knows what is there. */
const char *dps_boot_get_lost(const DpsBootPart *part, const char *path);

/* Whether it is there, for all that the medium gives. */
gboolean dps_boot_may_exist(const DpsBootPart *part, const char *path);

/* The names in a directory; empty when there is none. */
GPtrArray *dps_boot_list(const DpsBootPart *part, const char *path);

/* What shim starts beside itself: its fallback, which reads BOOT*.CSV, or the next loader. */
typedef enum {
	DPS_SHIM_FALLBACK,
	DPS_SHIM_LOADER,
} DpsShimPart;

/* (transfer full) (nullable): its path in a directory with shim; NULL: it is not there. */
char *dps_boot_find_beside_shim(const DpsBootPart *part, const char *directory, DpsArch arch,
				DpsShimPart what);

/* Reads one EFI program: (transfer full). */
DpsProgram *dps_program_read(DpsBootPart *part, const char *path, DpsUkiDepth depth);
void dps_program_free(DpsProgram *program);

/* Whether other firmware than UEFI boots this disk, as far as types, boot programs and the first
 * sector tell. */
gboolean dps_boot_is_bios(DpsDisk *disk);
