/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/uki-internal.h"
#include "ground/text.h"

#include <string.h>

/* A line a component of the program: GRUB's of distributions have four, one more with each vendor
 * that changes it (shim's SBAT.md). */
#define MAX_SBAT_COMPONENTS 64

/* How far GRUB's modules and shim's own data are searched, and in which pieces: shims have 1 MiB,
 * and are searched for three words. */
#define MAX_SEARCH_SIZE ((size_t)16 * 1024 * 1024)
#define MAX_SHIM_SEARCH_SIZE (MAX_SEARCH_SIZE / 4)
#define SEARCH_STEP ((size_t)64 * 1024)

/* Whether the bytes of a section have @needle somewhere, in pieces of bounded size. */
static gboolean
section_has(DpsUkiReading *reading, const char *name, const char *needle, size_t needle_size,
	    size_t max_size)
{
	const DpsPeSection *section = dps_pe_find_section(&reading->uki->pe, name, 0);
	g_autofree uint8_t *piece = NULL;
	uint64_t size, overlap = needle_size - 1;
	DpsRegion region;

	if (!section || !dps_region_narrow(reading->region, section->raw_offset,
					   dps_pe_section_get_size(section), &region, NULL))
		return FALSE;

	size = MIN(region.size, max_size);
	piece = g_malloc(SEARCH_STEP);
	for (uint64_t at = 0; size - at >= needle_size; at += SEARCH_STEP - overlap) {
		size_t length = (size_t)MIN(SEARCH_STEP, size - at);

		if (!dps_region_read(&region, at, piece, length, NULL))
			return FALSE;
		if (memmem(piece, length, needle, needle_size))
			return TRUE;
		if (length < SEARCH_STEP)
			break;
	}
	return FALSE;
}

/* ".sdmagic": "#### LoaderInfo: systemd-stub 252.39-1~deb12u2 ####" */
static DpsEfiBuilder
read_sdmagic(DpsUkiReading *reading)
{
	static const struct {
		const char *name;
		DpsEfiBuilder builder;
	} names[] = {
		{ "systemd-boot", DPS_EFI_BUILDER_SYSTEMD_BOOT },
		{ "systemd-stub", DPS_EFI_BUILDER_SYSTEMD_STUB },
		{ "systemd-addon", DPS_EFI_BUILDER_SYSTEMD_ADDON },
	};
	static const char before[] = "#### LoaderInfo: ", after[] = " ####";
	const DpsPeSection *section = dps_pe_find_section(&reading->uki->pe, ".sdmagic", 0);
	g_autofree char *text = NULL;
	g_auto(GStrv) words = NULL;
	size_t size;

	if (!dps_uki_is_set(section))
		return DPS_EFI_BUILDER_UNKNOWN;
	text = dps_uki_read_text(reading, section, &size);
	if (!text || !g_str_has_prefix(text, before) || !g_str_has_suffix(text, after) ||
	    size < strlen(before) + strlen(after))
		return DPS_EFI_BUILDER_UNKNOWN;

	text[size - strlen(after)] = '\0';
	words = g_strsplit(text + strlen(before), " ", 2);
	for (guint i = 0; words[0] && i < G_N_ELEMENTS(names); i++) {
		if (strcmp(words[0], names[i].name) != 0)
			continue;
		if (words[1])
			reading->uki->builder_version =
				dps_uki_keep(reading, dps_text_clean(words[1], strlen(words[1])));
		return names[i].builder;
	}
	return DPS_EFI_BUILDER_UNKNOWN;
}

/*
 * ".sbat": lines "component,generation,vendor,package,version,url" (SBAT.md of shim).  @versions
 * gets the version of each component, "" where there is none.
 */
static void
read_sbat(DpsUkiReading *reading, GPtrArray *versions)
{
	const DpsPeSection *section = dps_pe_find_section(&reading->uki->pe, ".sbat", 0);
	g_autofree char *text = NULL;
	char *line, *rest;
	size_t size;

	if (!dps_uki_is_set(section))
		return;
	text = dps_uki_read_text(reading, section, &size);
	if (!text)
		return;

	for (rest = text; (line = strsep(&rest, "\r\n")) && versions->len < MAX_SBAT_COMPONENTS;) {
		g_auto(GStrv) fields = g_strsplit(line, ",", 6);
		const char *version;

		if (g_strv_length(fields) < 2)
			continue;
		version = g_strv_length(fields) > 4 ? fields[4] : "";
		g_ptr_array_add(reading->uki->sbat, dps_text_clean(fields[0], strlen(fields[0])));
		g_ptr_array_add(versions, dps_text_clean(version, strlen(version)));
	}
}

/* (nullable): the version of the last component that is @name or one of its vendors' */
static const char *
get_sbat_version(DpsUki *uki, GPtrArray *versions, const char *name, gboolean vendors)
{
	g_autofree char *prefix = g_strconcat(name, ".", NULL);
	const char *version = NULL;

	for (guint i = 0; i < uki->sbat->len; i++) {
		const char *component = uki->sbat->pdata[i];

		if (strcmp(component, name) == 0 ||
		    (vendors && g_str_has_prefix(component, prefix)))
			version = versions->pdata[i];
	}
	return version;
}

/* UTF-16, as UEFI has text; the last NUL belongs to the string literal. */
#define DATA_HAS(reading, text)                                                                    \
	(section_has(reading, ".data", text, sizeof(text), MAX_SHIM_SEARCH_SIZE) ||                \
	 section_has(reading, ".text", text, sizeof(text), MAX_SHIM_SEARCH_SIZE))

/* shim, fallback and MokManager have the same .sbat.  What they have in their data differs. */
static DpsEfiBuilder
tell_shims_apart(DpsUkiReading *reading)
{
	if (DATA_HAS(reading, "E\0n\0r\0o\0l\0l\0 \0M\0O\0K"))
		return DPS_EFI_BUILDER_MOK_MANAGER;
	if (DATA_HAS(reading, "b\0o\0o\0t\0.\0c\0s\0v") ||
	    DATA_HAS(reading, "B\0O\0O\0T\0.\0C\0S\0V"))
		return DPS_EFI_BUILDER_SHIM_FALLBACK;

	return DPS_EFI_BUILDER_SHIM;
}

static DpsEfiBuilder
find_builder(DpsUkiReading *reading)
{
	g_autoptr(GPtrArray) versions = g_ptr_array_new_with_free_func(g_free);
	DpsEfiBuilder builder = read_sdmagic(reading);
	DpsUki *uki = reading->uki;
	const char *version;

	read_sbat(reading, versions);
	if (builder != DPS_EFI_BUILDER_UNKNOWN)
		return builder;

	if ((version = get_sbat_version(uki, versions, "shim", TRUE)))
		builder = reading->depth == DPS_UKI_ALL ? tell_shims_apart(reading)
							: DPS_EFI_BUILDER_SHIM;
	/* Upstream's version counts: what it can do is told by it. */
	else if ((version = get_sbat_version(uki, versions, "grub", FALSE)))
		builder = DPS_EFI_BUILDER_GRUB; /* NOLINT(bugprone-branch-clone): order */
	else if ((version = get_sbat_version(uki, versions, "fwupd-efi", FALSE)))
		builder = DPS_EFI_BUILDER_FWUPD;
	/* Built without .sbat: grub-mkimage puts its modules into a section of this name. */
	else if (dps_pe_find_section(&uki->pe, "mods", 0))
		builder = DPS_EFI_BUILDER_GRUB;
	else if (!uki->has_linux && uki->kernel.kind == DPS_KERNEL_EFI_STUB) {
		builder = DPS_EFI_BUILDER_LINUX;
		version = uki->kernel.version;
	}

	if (version && *version)
		uki->builder_version = dps_uki_keep(reading, g_strdup(version));
	return builder;
}

void
dps_uki_read_builder(DpsUkiReading *reading)
{
	static const char bli[] = "\0bli"; /* the NUL behind it belongs to it */
	DpsUki *uki = reading->uki;

	uki->builder = find_builder(reading);
	if (uki->builder == DPS_EFI_BUILDER_GRUB && reading->depth == DPS_UKI_ALL)
		uki->has_bli = section_has(reading, "mods", bli, sizeof(bli), MAX_SEARCH_SIZE);
}
