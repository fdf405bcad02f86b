/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/uki.h"
#include "format/lines.h"
#include "ground/error.h"
#include "ground/text.h"

#include <string.h>

/*
 * What of text sections is kept: as much in one section as no os-release and no command line
 * comes near (the kernel's COMMAND_LINE_SIZE is 2048 on x86), and what all profiles of a file may
 * take together.
 */
#define MAX_TEXT_SIZE ((size_t)1024 * 1024)
#define MAX_ALL_TEXT_SIZE (2 * MAX_TEXT_SIZE)

/* A line a component of the program: GRUB's of distributions have four, one more with each vendor
 * that changes it (shim's SBAT.md). */
#define MAX_SBAT_COMPONENTS 64

/* How far GRUB's and shim's own data are searched, and in which pieces. */
#define MAX_SEARCH_SIZE ((size_t)16 * 1024 * 1024)
#define SEARCH_STEP ((size_t)64 * 1024)

/* UAPI.5: each at most once in a profile.  .dtbauto and .efifw may be there several times. */
static const char *const singletons[] = {
	".linux", ".osrel", ".cmdline", ".initrd", ".ucode",   ".splash",
	".dtb",	  ".uname", ".sbat",	".pcrsig", ".pcrpkey", ".hwids",
};

/* While a file is read. */
typedef struct {
	const DpsRegion *region;
	DpsUki *uki;
	size_t text_left; /* bytes of text that may still be kept */
	GError *error;	  /* the medium failed */
} Reading;

/* The section of this name in a profile: from index @from up to the next .profile. */
static const DpsPeSection *
find_in_profile(const DpsPe *pe, const char *name, guint from)
{
	for (guint i = from; i < pe->n_sections; i++) {
		if (strcmp(pe->sections[i].name, ".profile") == 0)
			return NULL;
		if (strcmp(pe->sections[i].name, name) == 0)
			return &pe->sections[i];
	}
	return NULL;
}

/* (nullable): its bytes; what is in the way is noted in the result, once. */
static char *
read_bytes(Reading *reading, const DpsPeSection *section, size_t max_size, size_t *size)
{
	g_autoptr(GError) error = NULL;
	char *bytes;

	if (reading->error)
		return NULL;

	bytes = dps_pe_read_section(reading->region, section, max_size, size, &error);
	if (bytes)
		return bytes;

	if (!g_error_matches(error, DPS_ERROR, DPS_ERROR_CORRUPT) &&
	    !g_error_matches(error, DPS_ERROR, DPS_ERROR_UNSUPPORTED))
		reading->error = g_steal_pointer(&error);
	else if (!reading->uki->unreadable)
		reading->uki->unreadable = g_strdup(error->message);
	return NULL;
}

/*
 * (transfer full) (nullable): the text of a section up to its first NUL.  NULs up to the end are
 * padding; anything behind one is not what a menu shows, and bootctl refuses the file.
 */
static char *
read_text(Reading *reading, const DpsPeSection *section, size_t *size)
{
	size_t length, text_size;
	char *text = read_bytes(reading, section, MIN(MAX_TEXT_SIZE, reading->text_left), &length);

	if (!text)
		return NULL;

	reading->text_left -= length;
	text_size = strlen(text);
	for (size_t i = text_size; i < length && !reading->uki->embedded_nul; i++)
		if (text[i] != '\0')
			reading->uki->embedded_nul = g_strdup_printf(
				"section %s has text behind a NUL byte", section->name);

	*size = text_size;
	return text;
}

static void
os_release_free(DpsOsRelease *os_release)
{
	dps_os_release_clear(os_release);
	g_free(os_release);
}

static const char *
keep(Reading *reading, char *string)
{
	g_ptr_array_add(reading->uki->strings, string);
	return string;
}

/* A command line or a kernel version: one string, without white space around it. */
static const char *
read_string(Reading *reading, const DpsPeSection *section)
{
	g_autofree char *text = NULL;
	size_t size;

	text = read_text(reading, section, &size);
	if (!text)
		return NULL;

	/* Lines of a command line are words of it: the stub makes blanks of control characters. */
	for (size_t i = 0; i < size; i++)
		if (g_ascii_isspace(text[i]))
			text[i] = ' ';
	g_strstrip(text);
	return keep(reading, dps_text_clean(text, strlen(text)));
}

static const DpsOsRelease *
read_os_release(Reading *reading, const DpsPeSection *section)
{
	size_t size;
	g_autofree char *text = read_text(reading, section, &size);
	DpsOsRelease *os_release;

	if (!text)
		return NULL;

	os_release = g_new(DpsOsRelease, 1);
	dps_os_release_parse(text, size, os_release);
	g_ptr_array_add(reading->uki->os_releases, os_release);
	return os_release;
}

static void
note_duplicates(DpsUki *uki, guint from, const char *where)
{
	for (guint i = 0; i < G_N_ELEMENTS(singletons) && !uki->duplicate; i++) {
		guint count = 0;

		for (guint k = from; k < uki->pe.n_sections; k++) {
			if (strcmp(uki->pe.sections[k].name, ".profile") == 0)
				break;
			if (strcmp(uki->pe.sections[k].name, singletons[i]) == 0)
				count++;
		}
		if (count > 1)
			uki->duplicate = g_strdup_printf("section %s is there %u times%s",
							 singletons[i], count, where);
	}
}

static gboolean
is_set(const DpsPeSection *section)
{
	return section && section->virtual_size > 0;
}

static void
read_base(Reading *reading)
{
	DpsUki *uki = reading->uki;
	const DpsPeSection *section;

	uki->has_linux = is_set(find_in_profile(&uki->pe, ".linux", 0));
	uki->has_initrd = is_set(find_in_profile(&uki->pe, ".initrd", 0));
	section = find_in_profile(&uki->pe, ".osrel", 0);
	uki->has_os_release = is_set(section);
	if (uki->has_os_release)
		uki->os_release = read_os_release(reading, section);
	section = find_in_profile(&uki->pe, ".cmdline", 0);
	if (is_set(section))
		uki->cmdline = read_string(reading, section);
	section = find_in_profile(&uki->pe, ".uname", 0);
	if (is_set(section))
		uki->uname = read_string(reading, section);
	note_duplicates(uki, 0, "");
}

/* A profile's section stands for the base's; an empty one says that there is none. */
static const char *
override_string(Reading *reading, guint from, const char *name, const char *base)
{
	const DpsPeSection *section = find_in_profile(&reading->uki->pe, name, from);

	if (!section)
		return base;

	return is_set(section) ? read_string(reading, section) : NULL;
}

static gboolean
override_presence(const DpsUki *uki, guint from, const char *name, gboolean base)
{
	const DpsPeSection *section = find_in_profile(&uki->pe, name, from);

	return section ? is_set(section) : base;
}

/* @at: the index of the .profile section, which the profile's own sections follow */
static void
read_profile(Reading *reading, guint at, DpsUkiProfile *profile)
{
	DpsUki *uki = reading->uki;
	const DpsPeSection *section;
	g_autofree char *where = g_strdup_printf(" in profile @%u", profile->index);
	g_autofree char *text = NULL;
	DpsLines lines;
	char *key, *value;
	size_t size = 0;

	if (is_set(&uki->pe.sections[at]))
		text = read_text(reading, &uki->pe.sections[at], &size);
	if (text) {
		lines = dps_lines_over(text, size, "=");
		while (dps_lines_next(&lines, &key, &value)) {
			if (value && strcmp(key, "ID") == 0)
				profile->id = keep(reading, g_steal_pointer(&value));
			else if (value && strcmp(key, "TITLE") == 0)
				profile->title = keep(reading, g_steal_pointer(&value));
			g_free(key);
			g_free(value);
		}
	}

	profile->cmdline = override_string(reading, at + 1, ".cmdline", uki->cmdline);
	profile->uname = override_string(reading, at + 1, ".uname", uki->uname);
	profile->has_linux = override_presence(uki, at + 1, ".linux", uki->has_linux);
	profile->has_initrd = override_presence(uki, at + 1, ".initrd", uki->has_initrd);
	profile->has_os_release = override_presence(uki, at + 1, ".osrel", uki->has_os_release);
	section = find_in_profile(&uki->pe, ".osrel", at + 1);
	if (section)
		profile->os_release = is_set(section) ? read_os_release(reading, section) : NULL;
	note_duplicates(uki, at + 1, where);
}

static void
read_profiles(Reading *reading)
{
	DpsUki *uki = reading->uki;

	for (guint i = 0; i <= uki->pe.n_sections; i++) {
		gboolean is_start =
			i < uki->pe.n_sections && strcmp(uki->pe.sections[i].name, ".profile") == 0;
		DpsUkiProfile *profile;

		/* Behind the last section: the base alone is a profile when there is no other. */
		if (!is_start && (i < uki->pe.n_sections || uki->profiles->len > 0))
			continue;

		profile = g_new(DpsUkiProfile, 1);
		*profile = (DpsUkiProfile){
			.index = uki->profiles->len,
			.cmdline = uki->cmdline,
			.uname = uki->uname,
			.os_release = uki->os_release,
			.has_linux = uki->has_linux,
			.has_initrd = uki->has_initrd,
			.has_os_release = uki->has_os_release,
		};
		g_ptr_array_add(uki->profiles, profile);
		if (is_start) {
			uki->has_profiles = TRUE;
			read_profile(reading, i, profile);
		}
	}
}

/*
 * Who starts the file and names no profile gets @0: what stands there alone is as much the image's
 * as what stands in the base.  Source: UAPI.5, "Multi-Profile UKIs"; find_sections() of systemd's
 * stub.c.  Of addons the stub takes the base.
 */
static void
take_first_profile(DpsUki *uki)
{
	const DpsUkiProfile *first = uki->profiles->pdata[0];

	if (!first->has_linux)
		return;

	uki->has_linux = TRUE;
	uki->has_initrd = first->has_initrd;
	uki->has_os_release = first->has_os_release;
	uki->os_release = first->os_release;
	uki->cmdline = first->cmdline;
	uki->uname = first->uname;
}

static void
read_kernel(Reading *reading)
{
	DpsUki *uki = reading->uki;
	const DpsPeSection *section = dps_pe_find_section(&uki->pe, ".linux", 0);
	DpsRegion region = *reading->region;
	g_autoptr(GError) error = NULL;
	g_auto(DpsPe) pe = { 0 };

	if (reading->error)
		return;
	if (section && !dps_region_narrow(reading->region, section->raw_offset,
					  dps_pe_section_get_size(section), &region, &error)) {
		if (!uki->unreadable)
			uki->unreadable = g_strdup_printf(
				"section %s: ends behind the end of the file", section->name);
		return;
	}
	if (!dps_kernel_read(&region, &uki->kernel, &reading->error) || !section)
		return;

	if (dps_pe_read(&region, &pe, &error))
		uki->linux_machine = pe.machine;
	else if (!g_error_matches(error, DPS_ERROR, DPS_ERROR_CORRUPT))
		reading->error = g_steal_pointer(&error);
}

/* Whether the bytes of a section have @needle somewhere, in pieces of bounded size. */
static gboolean
section_has(Reading *reading, const char *name, const char *needle, size_t needle_size)
{
	const DpsPeSection *section = dps_pe_find_section(&reading->uki->pe, name, 0);
	g_autofree uint8_t *piece = NULL;
	uint64_t size, overlap = needle_size - 1;
	DpsRegion region;

	if (!section || !dps_region_narrow(reading->region, section->raw_offset,
					   dps_pe_section_get_size(section), &region, NULL))
		return FALSE;

	size = MIN(region.size, MAX_SEARCH_SIZE);
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
read_sdmagic(Reading *reading)
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

	if (!is_set(section))
		return DPS_EFI_BUILDER_UNKNOWN;
	text = read_text(reading, section, &size);
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
				keep(reading, dps_text_clean(words[1], strlen(words[1])));
		return names[i].builder;
	}
	return DPS_EFI_BUILDER_UNKNOWN;
}

/*
 * ".sbat": lines "component,generation,vendor,package,version,url" (SBAT.md of shim).  @versions
 * gets the version of each component, "" where there is none.
 */
static void
read_sbat(Reading *reading, GPtrArray *versions)
{
	const DpsPeSection *section = dps_pe_find_section(&reading->uki->pe, ".sbat", 0);
	g_autofree char *text = NULL;
	char *line, *rest;
	size_t size;

	if (!is_set(section))
		return;
	text = read_text(reading, section, &size);
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
	(section_has(reading, ".data", text, sizeof(text)) ||                                      \
	 section_has(reading, ".text", text, sizeof(text)))

/* shim, fallback and MokManager have the same .sbat.  What they have in their data differs. */
static DpsEfiBuilder
tell_shims_apart(Reading *reading)
{
	if (DATA_HAS(reading, "E\0n\0r\0o\0l\0l\0 \0M\0O\0K"))
		return DPS_EFI_BUILDER_MOK_MANAGER;
	if (DATA_HAS(reading, "b\0o\0o\0t\0.\0c\0s\0v") ||
	    DATA_HAS(reading, "B\0O\0O\0T\0.\0C\0S\0V"))
		return DPS_EFI_BUILDER_SHIM_FALLBACK;

	return DPS_EFI_BUILDER_SHIM;
}

static DpsEfiBuilder
find_builder(Reading *reading)
{
	g_autoptr(GPtrArray) versions = g_ptr_array_new_with_free_func(g_free);
	DpsEfiBuilder builder = read_sdmagic(reading);
	DpsUki *uki = reading->uki;
	const char *version;

	read_sbat(reading, versions);
	if (builder != DPS_EFI_BUILDER_UNKNOWN)
		return builder;

	if ((version = get_sbat_version(uki, versions, "shim", TRUE)))
		builder = tell_shims_apart(reading);
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
		uki->builder_version = keep(reading, g_strdup(version));
	return builder;
}

/* As `bootctl kernel-identify` has it. */
static DpsEfiKind
find_kind(const DpsPe *pe)
{
	static const char *const addon_sections[] = { ".cmdline", ".dtb", ".initrd", ".ucode" };

	if (pe->subsystem != DPS_PE_SUBSYSTEM_EFI_APPLICATION)
		return DPS_EFI_PE;
	if (dps_pe_find_section(pe, ".linux", 0))
		return dps_pe_find_section(pe, ".osrel", 0) ? DPS_EFI_UKI : DPS_EFI_PE;

	for (guint i = 0; i < G_N_ELEMENTS(addon_sections); i++)
		if (dps_pe_find_section(pe, addon_sections[i], 0))
			return DPS_EFI_ADDON;

	return DPS_EFI_PE;
}

gboolean
dps_uki_read(const DpsRegion *region, DpsUki *out, GError **error)
{
	static const char bli[] = "\0bli"; /* the NUL behind it belongs to it */
	g_auto(DpsUki) uki = { 0 };
	Reading reading = { .region = region, .uki = &uki, .text_left = MAX_ALL_TEXT_SIZE };

	if (!dps_pe_read(region, &uki.pe, error))
		return FALSE;

	uki.sbat = g_ptr_array_new_with_free_func(g_free);
	uki.strings = g_ptr_array_new_with_free_func(g_free);
	uki.os_releases = g_ptr_array_new_with_free_func((GDestroyNotify)os_release_free);
	uki.profiles = g_ptr_array_new_with_free_func(g_free);
	uki.kind = find_kind(&uki.pe);
	uki.is_signed = uki.pe.certificates_size > 0;
	read_base(&reading);
	read_profiles(&reading);
	take_first_profile(&uki);
	read_kernel(&reading);
	uki.builder = find_builder(&reading);
	if (uki.builder == DPS_EFI_BUILDER_GRUB)
		uki.has_bli = section_has(&reading, "mods", bli, sizeof(bli));

	if (reading.error) {
		g_propagate_error(error, reading.error);
		return FALSE;
	}

	*out = uki;
	uki = (DpsUki){ 0 };
	return TRUE;
}

void
dps_uki_clear(DpsUki *uki)
{
	dps_pe_clear(&uki->pe);
	dps_kernel_clear(&uki->kernel);
	g_clear_pointer(&uki->sbat, g_ptr_array_unref);
	g_clear_pointer(&uki->profiles, g_ptr_array_unref);
	g_clear_pointer(&uki->strings, g_ptr_array_unref);
	g_clear_pointer(&uki->os_releases, g_ptr_array_unref);
	g_clear_pointer(&uki->duplicate, g_free);
	g_clear_pointer(&uki->unreadable, g_free);
	g_clear_pointer(&uki->embedded_nul, g_free);
	uki->os_release = NULL;
	uki->cmdline = uki->uname = uki->builder_version = NULL;
}
