/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "format/kernel.h"
#include "format/os-release.h"
#include "format/pe.h"

/*
 * What the sections of an EFI program mean: unified kernel images, their profiles and addons, and
 * who built the others (systemd-boot, shim, GRUB, a kernel).
 *
 * Source: UAPI.5; systemd-stub(7); `bootctl kernel-identify`.
 */

typedef enum {
	DPS_EFI_PE = 0, /* an EFI program, or another PE file */
	DPS_EFI_UKI,	/* an EFI program with .linux and .osrel */
	DPS_EFI_ADDON,	/* an EFI program without .linux, with .cmdline, .dtb, .initrd or .ucode */
} DpsEfiKind;

/* Who built a program, by what it says of itself: .sdmagic, .sbat, the kernel's own header. */
typedef enum {
	DPS_EFI_BUILDER_UNKNOWN = 0,
	DPS_EFI_BUILDER_SYSTEMD_BOOT,
	DPS_EFI_BUILDER_SYSTEMD_STUB,
	DPS_EFI_BUILDER_SYSTEMD_ADDON,
	DPS_EFI_BUILDER_SHIM,
	DPS_EFI_BUILDER_SHIM_FALLBACK, /* fb*.efi: makes boot entries out of BOOT*.CSV */
	DPS_EFI_BUILDER_MOK_MANAGER,   /* mm*.efi */
	DPS_EFI_BUILDER_GRUB,
	DPS_EFI_BUILDER_FWUPD,
	DPS_EFI_BUILDER_LINUX, /* a kernel with an EFI stub, not in a UKI */
} DpsEfiBuilder;

/* One profile as the stub sees it: its own sections over those of the base.  Lent by its DpsUki. */
typedef struct {
	guint index;			/* @0, @1, … */
	const char *id, *title;		/* of .profile; NULL when it does not say */
	const char *cmdline;		/* NULL: none */
	const char *uname;		/* NULL: none */
	const DpsOsRelease *os_release; /* NULL: none */
	gboolean has_linux, has_initrd, has_os_release;
} DpsUkiProfile;

/*
 * A value, cleared with dps_uki_clear().  Strings are valid UTF-8 without control characters; they
 * and what is lent live as long as the value.
 */
typedef struct {
	DpsPe pe;
	DpsEfiKind kind;
	DpsEfiBuilder builder;
	const char *builder_version; /* "252.39-1~deb12u2", "2.06"; NULL when it is not said */
	gboolean is_signed;	     /* has a certificate table; by whom is not looked at */
	gboolean has_bli; /* GRUB: the module that sets LoaderDevicePartUUID is built in */

	/* What it starts with when no profile is named, @0 over the base.  Of a file that has no
	 * kernel then, an addon, the base alone: what stands before the first .profile. */
	gboolean has_linux, has_initrd, has_os_release;
	const DpsOsRelease *os_release; /* NULL: none, or it could not be read */
	const char *cmdline;		/* NULL: no .cmdline */
	const char *uname;		/* NULL: no .uname */
	GPtrArray *sbat; /* (element-type utf8): names of components in .sbat, in order */

	/* (element-type DpsUkiProfile): at least one; a UKI without .profile is all profile 0 */
	GPtrArray *profiles;
	gboolean has_profiles; /* there is at least one .profile */

	DpsKernel kernel;	/* of .linux, or of the file itself */
	uint16_t linux_machine; /* of the PE in .linux; 0: it is none */

	/* What is wrong inside; each NULL when nothing is: one line. */
	char *duplicate;    /* a section that may be there once is there twice in one profile */
	char *unreadable;   /* a section that could not be read: truncated, too large */
	char *embedded_nul; /* a text section has a NUL inside; bootctl refuses the file */

	size_t text_size; /* bytes of text that were read to know all this */

	GPtrArray *strings;	/* private: owns what is lent */
	GPtrArray *os_releases; /* private: likewise */
} DpsUki;

/**
 * dps_uki_read:
 * @region: the whole file
 * @out: (out): set on success; clear it with dps_uki_clear()
 * @error: what dps_pe_read() throws; sections that cannot be read are no error, see above
 *
 * Reads headers, small sections, and the headers of the kernel inside.
 *
 * Returns: %TRUE on success
 */
gboolean dps_uki_read(const DpsRegion *region, DpsUki *out, GError **error);

/* How far a program is read: who asks about hundreds of them asks for no more than is needed. */
typedef enum {
	DPS_UKI_SECTIONS, /* headers: no text, and what is in none of them has no builder */
	DPS_UKI_TEXTS,	  /* and texts: shims and GRUBs are not told apart by their data */
	DPS_UKI_ALL,	  /* what dps_uki_read() reads */
} DpsUkiDepth;

gboolean dps_uki_read_to(const DpsRegion *region, DpsUkiDepth depth, DpsUki *out, GError **error);
void dps_uki_clear(DpsUki *uki);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(DpsUki, dps_uki_clear)
