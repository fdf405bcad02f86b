/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/uki-internal.h"
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

/* UAPI.5: each at most once in a profile.  .dtbauto and .efifw may be there several times. */
static const char *const singletons[] = {
	".linux", ".osrel", ".cmdline", ".initrd", ".ucode",   ".splash",
	".dtb",	  ".uname", ".sbat",	".pcrsig", ".pcrpkey", ".hwids",
};

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
read_bytes(DpsUkiReading *reading, const DpsPeSection *section, size_t max_size, size_t *size)
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

char *
dps_uki_read_text(DpsUkiReading *reading, const DpsPeSection *section, size_t *size)
{
	size_t length, text_size;
	char *text;

	if (reading->depth == DPS_UKI_SECTIONS)
		return NULL;
	text = read_bytes(reading, section, MIN(MAX_TEXT_SIZE, reading->text_left), &length);
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

const char *
dps_uki_keep(DpsUkiReading *reading, char *string)
{
	g_ptr_array_add(reading->uki->strings, string);
	return string;
}

/* A command line or a kernel version: one string, without white space around it. */
static const char *
read_string(DpsUkiReading *reading, const DpsPeSection *section)
{
	g_autofree char *text = NULL;
	size_t size;

	text = dps_uki_read_text(reading, section, &size);
	if (!text)
		return NULL;

	/* Lines of a command line are words of it: the stub makes blanks of control characters. */
	for (size_t i = 0; i < size; i++)
		if (g_ascii_isspace(text[i]))
			text[i] = ' ';
	g_strstrip(text);
	return dps_uki_keep(reading, dps_text_clean(text, strlen(text)));
}

static const DpsOsRelease *
read_os_release(DpsUkiReading *reading, const DpsPeSection *section)
{
	size_t size;
	g_autofree char *text = dps_uki_read_text(reading, section, &size);
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

gboolean
dps_uki_is_set(const DpsPeSection *section)
{
	return section && section->virtual_size > 0;
}

static void
read_base(DpsUkiReading *reading)
{
	DpsUki *uki = reading->uki;
	const DpsPeSection *section;

	uki->has_linux = dps_uki_is_set(find_in_profile(&uki->pe, ".linux", 0));
	uki->has_initrd = dps_uki_is_set(find_in_profile(&uki->pe, ".initrd", 0));
	section = find_in_profile(&uki->pe, ".osrel", 0);
	uki->has_os_release = dps_uki_is_set(section);
	if (uki->has_os_release)
		uki->os_release = read_os_release(reading, section);
	section = find_in_profile(&uki->pe, ".cmdline", 0);
	if (dps_uki_is_set(section))
		uki->cmdline = read_string(reading, section);
	section = find_in_profile(&uki->pe, ".uname", 0);
	if (dps_uki_is_set(section))
		uki->uname = read_string(reading, section);
	note_duplicates(uki, 0, "");
}

/* A profile's section stands for the base's; an empty one says that there is none. */
static const char *
override_string(DpsUkiReading *reading, guint from, const char *name, const char *base)
{
	const DpsPeSection *section = find_in_profile(&reading->uki->pe, name, from);

	if (!section)
		return base;

	return dps_uki_is_set(section) ? read_string(reading, section) : NULL;
}

static gboolean
override_presence(const DpsUki *uki, guint from, const char *name, gboolean base)
{
	const DpsPeSection *section = find_in_profile(&uki->pe, name, from);

	return section ? dps_uki_is_set(section) : base;
}

/* @at: the index of the .profile section, which the profile's own sections follow */
static void
read_profile(DpsUkiReading *reading, guint at, DpsUkiProfile *profile)
{
	DpsUki *uki = reading->uki;
	const DpsPeSection *section;
	g_autofree char *where = g_strdup_printf(" in profile @%u", profile->index);
	g_autofree char *text = NULL;
	DpsLines lines;
	char *key, *value;
	size_t size = 0;

	if (dps_uki_is_set(&uki->pe.sections[at]))
		text = dps_uki_read_text(reading, &uki->pe.sections[at], &size);
	if (text) {
		lines = dps_lines_over(text, size, "=");
		while (dps_lines_next(&lines, &key, &value)) {
			if (value && strcmp(key, "ID") == 0)
				profile->id = dps_uki_keep(reading, g_steal_pointer(&value));
			else if (value && strcmp(key, "TITLE") == 0)
				profile->title = dps_uki_keep(reading, g_steal_pointer(&value));
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
		profile->os_release =
			dps_uki_is_set(section) ? read_os_release(reading, section) : NULL;
	note_duplicates(uki, at + 1, where);
}

static void
read_profiles(DpsUkiReading *reading)
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
read_kernel(DpsUkiReading *reading)
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
dps_uki_read_to(const DpsRegion *region, DpsUkiDepth depth, DpsUki *out, GError **error)
{
	g_auto(DpsUki) uki = { 0 };
	DpsUkiReading reading = {
		.region = region, .uki = &uki, .depth = depth, .text_left = MAX_ALL_TEXT_SIZE
	};

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
	dps_uki_read_builder(&reading);

	if (reading.error) {
		g_propagate_error(error, reading.error);
		return FALSE;
	}

	uki.text_size = MAX_ALL_TEXT_SIZE - reading.text_left;
	*out = uki;
	uki = (DpsUki){ 0 };
	return TRUE;
}

gboolean
dps_uki_read(const DpsRegion *region, DpsUki *out, GError **error)
{
	return dps_uki_read_to(region, DPS_UKI_ALL, out, error);
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
