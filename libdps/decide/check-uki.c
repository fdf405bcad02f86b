/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/check.h"

#include <string.h>

/* Addons that are judged, and programs below EFI/Linux: directories of a FAT can share their
 * clusters, and 512 of them have 262144 names then. */
#define MAX_ADDONS 1024
#define ADDON_TEXT ((size_t)4 << 10) /* with more text it counts as several */
#define MAX_MISPLACED 1024

typedef void (*UkiVisit)(DpsCheck *check, const DpsProgram *program);

static gboolean
is_addon_name(const char *name)
{
	g_autofree char *lower = g_ascii_strdown(name, -1);

	return g_str_has_suffix(lower, ".addon.efi");
}

/* All that should be a UKI: what lies in EFI/Linux, and a fallback loader that is one. */
static void
visit_ukis(DpsCheck *check, UkiVisit visit)
{
	const DpsProgram *fallback = check->boot->fallback;

	dps_check_need_boot_parts(check);
	for (guint i = 0; i < check->boot->ukis->len; i++) {
		const DpsProgram *program = check->boot->ukis->pdata[i];

		if (!is_addon_name(program->name) &&
		    !dps_check_is_file_damaged(check, program->part, program->path))
			visit(check, program);
	}
	if (fallback && fallback->is_pe && fallback->uki.has_linux &&
	    !dps_check_is_file_damaged(check, fallback->part, fallback->path))
		visit(check, fallback);
}

/* @uki: the image that it goes with; NULL: any */
typedef void (*AddonVisit)(DpsCheck *check, const DpsProgram *addon, const DpsUki *uki);

/* The UKI that a directory "name.efi.extra.d" belongs to; NULL: none. */
static const DpsProgram *
find_owner(DpsCheck *check, const DpsBootPart *part, const char *directory)
{
	g_autofree char *name = g_strndup(directory, strlen(directory) - strlen(".extra.d"));

	for (guint i = 0; i < check->boot->ukis->len; i++) {
		const DpsProgram *program = check->boot->ukis->pdata[i];
		DpsBlsName parsed = { 0 };
		gboolean is_same;

		if (program->part != part)
			continue;
		dps_bls_name_parse(program->name, ".efi", &parsed);
		is_same = g_ascii_strcasecmp(parsed.id, name) == 0;
		dps_bls_name_clear(&parsed);
		if (is_same)
			return program;
	}
	return NULL;
}

/* Whether no more addons are read; then it says so. */
static gboolean
is_spent(DpsCheck *check, const DpsBootPart *part, guint n_left)
{
	if (n_left == 0)
		dps_check_cannot_judge(check, dps_check_part_number(part),
				       "there are more addons than are read");
	return n_left == 0;
}

/* @n_left: how many may still be read */
static void
look_into_addons(DpsCheck *check, DpsBootPart *part, const char *directory, const DpsUki *uki,
		 AddonVisit visit, guint *n_left)
{
	g_autoptr(GPtrArray) names = NULL;

	if (!dps_boot_exists(part, directory) || is_spent(check, part, *n_left))
		return;
	names = dps_boot_list(part, directory);
	dps_check_is_file_damaged(check, part, directory);
	for (guint i = 0; i < names->len; i++) {
		const DpsFileInfo *info = names->pdata[i];
		g_autofree char *path = g_strconcat(directory, "/", info->name, NULL);
		DpsProgram *addon;

		if (info->kind != DPS_FILE_REGULAR || !is_addon_name(info->name))
			continue;
		if (is_spent(check, part, *n_left))
			return;
		(*n_left)--;
		addon = dps_program_read(part, path, DPS_UKI_TEXTS);
		*n_left -=
			MIN(*n_left, (guint)(addon->is_pe ? addon->uki.text_size / ADDON_TEXT : 0));
		if (!dps_check_is_file_damaged(check, part, path))
			visit(check, addon, uki);
		dps_program_free(addon);
	}
}

/* The addons where the stub looks for them: beside their image, and in /loader/addons. */
static void
visit_addons(DpsCheck *check, AddonVisit visit)
{
	DpsBootPart *const parts[] = { &check->boot->esp, &check->boot->xbootldr };
	guint n_left = MAX_ADDONS;

	for (guint i = 0; i < G_N_ELEMENTS(parts); i++) {
		g_autoptr(GPtrArray) names = dps_boot_list(parts[i], "/EFI/Linux");

		for (guint j = 0; j < names->len; j++) {
			const DpsFileInfo *info = names->pdata[j];
			g_autofree char *path = g_strconcat("/EFI/Linux/", info->name, NULL);
			g_autofree char *lower = g_ascii_strdown(info->name, -1);
			const DpsProgram *owner;

			if (info->kind != DPS_FILE_DIRECTORY ||
			    !g_str_has_suffix(lower, ".extra.d"))
				continue;
			owner = find_owner(check, parts[i], info->name);
			look_into_addons(check, parts[i], path,
					 owner && owner->is_pe ? &owner->uki : NULL, visit,
					 &n_left);
		}
		look_into_addons(check, parts[i], "/loader/addons", NULL, visit, &n_left);
	}
}

/* What is wrong with an addon beside or among UKIs; NULL: nothing. */
static char *
find_addon_problem(DpsCheck *check, const DpsProgram *addon, const DpsUki *uki)
{
	if (!addon->is_pe)
		return g_strdup_printf("is no EFI program: %s", addon->problem);
	if (addon->uki.has_linux)
		return g_strdup("is an addon by its name and has a kernel: the stub skips it");
	if (check->arch != DPS_ARCH_NONE && addon->uki.pe.arch != check->arch)
		return g_strdup_printf("is for machine %#x: the stub skips it",
				       addon->uki.pe.machine);
	if (uki && uki->uname && addon->uki.uname && strcmp(uki->uname, addon->uki.uname) != 0)
		return g_strdup_printf("is for kernel %s, and the image for %s: the stub skips it",
				       addon->uki.uname, uki->uname);
	return NULL;
}

static void
report_uki(DpsCheck *check, DpsSeverity severity, const DpsProgram *program, const char *hint,
	   const char *message)
{
	dps_check_report_file(check, severity, dps_check_part_number(program->part), program->path,
			      hint, "%s", message);
}

static gboolean
is_truncated(const DpsProgram *program)
{
	return !program->is_pe || dps_pe_find_problem(&program->uki.pe, DPS_PE_TRUNCATED, NULL);
}

static void
visit_no_osrel(DpsCheck *check, const DpsProgram *program)
{
	const DpsUki *uki = &program->uki;

	/* The fallback loader needs no name: nothing lists it. */
	if (is_truncated(program) || !uki->has_linux || program->name_arch != DPS_ARCH_NONE)
		return;
	if (!uki->has_os_release)
		report_uki(check, 0, program, "build it with ukify --os-release=@/etc/os-release",
			   "has no .osrel: no menu shows it, and bootctl takes it for no UKI");
	else if (!uki->os_release)
		report_uki(check, 0, program, "copy it again, or build it again", uki->unreadable);
	else if (!dps_os_release_get_title(uki->os_release))
		report_uki(check, 0, program, "give its os-release a NAME or an ID",
			   "its .osrel has no PRETTY_NAME, IMAGE_ID, NAME or ID: no menu shows it");
}

static void
check_uki_no_osrel(DpsCheck *check)
{
	visit_ukis(check, visit_no_osrel);
}

static void
visit_no_linux(DpsCheck *check, const DpsProgram *program)
{
	const DpsUki *uki = &program->uki;

	if (is_truncated(program))
		return;
	if (!uki->has_linux)
		report_uki(check, 0, program, "build it again, with a kernel",
			   "has no .linux: there is no kernel to start");

	/* Where it starts by itself, another profile without a kernel is one line of the menu. */
	for (guint i = 1; uki->has_linux && i < uki->profiles->len; i++) {
		const DpsUkiProfile *profile = uki->profiles->pdata[i];
		g_autofree char *message = NULL;

		if (profile->has_linux)
			continue;
		message = g_strdup_printf("its profile @%u has no .linux, and the base has none: "
					  "there is no kernel to start",
					  profile->index);
		report_uki(check, DPS_SEVERITY_WARNING, program,
			   "put .linux in front of the first .profile", message);
		return;
	}
}

static void
check_uki_no_linux(DpsCheck *check)
{
	visit_ukis(check, visit_no_linux);
}

static void
visit_wrong_arch(DpsCheck *check, const DpsProgram *program)
{
	const DpsUki *uki = &program->uki;
	g_autofree char *message = NULL;
	/* A kernel for x86-64 starts behind a stub of 32 bits when it has the entry for it. */
	gboolean is_mixed = uki->pe.arch == DPS_ARCH_X86 && uki->kernel.has_mixed_mode;

	if (is_truncated(program) || !uki->has_linux)
		return;

	if (check->arch != DPS_ARCH_NONE && uki->pe.arch != check->arch &&
	    program->name_arch == DPS_ARCH_NONE)
		message = g_strdup_printf("is for %s, and the disk is for %s (%s): menus hide it",
					  uki->pe.arch ? dps_arch_to_string(uki->pe.arch)
						       : "another machine",
					  dps_arch_to_string(check->arch), check->arch_reason);
	else if (uki->linux_machine != 0 && uki->linux_machine != uki->pe.machine && !is_mixed)
		message = g_strdup_printf("the kernel in it is for machine %#x, and the stub for "
					  "%#x: it does not start",
					  uki->linux_machine, uki->pe.machine);
	if (message)
		report_uki(check, 0, program, "build it for the right architecture", message);
}

static void
check_uki_wrong_arch(DpsCheck *check)
{
	visit_ukis(check, visit_wrong_arch);
}

static void
visit_section_overlap(DpsCheck *check, const DpsProgram *program)
{
	static const DpsPeProblem problems[] = { DPS_PE_OVERLAP, DPS_PE_UNSORTED,
						 DPS_PE_BEYOND_IMAGE };

	if (!program->is_pe || !program->uki.has_linux)
		return;

	for (guint i = 0; i < G_N_ELEMENTS(problems); i++) {
		g_autofree char *message = NULL;

		if (!dps_pe_find_problem(&program->uki.pe, problems[i], &message))
			continue;
		report_uki(check, 0, program, "build it with ukify, not with objcopy", message);
		return;
	}
}

static void
check_uki_section_overlap(DpsCheck *check)
{
	visit_ukis(check, visit_section_overlap);
}

static void
visit_truncated(DpsCheck *check, const DpsProgram *program)
{
	g_autofree char *message = NULL;

	if (!program->is_pe)
		message = g_strdup_printf("is no EFI program: %s", program->problem);
	else
		dps_pe_find_problem(&program->uki.pe, DPS_PE_TRUNCATED, &message);
	if (message)
		report_uki(check, 0, program, "copy it again; see whether the partition is full",
			   message);
}

static void
check_uki_truncated(DpsCheck *check)
{
	visit_ukis(check, visit_truncated);
}

static void
visit_dup_section(DpsCheck *check, const DpsProgram *program)
{
	if (program->is_pe && program->uki.duplicate)
		report_uki(check, 0, program, "build it again, from an empty stub",
			   program->uki.duplicate);
}

static void
check_uki_dup_section(DpsCheck *check)
{
	visit_ukis(check, visit_dup_section);
}

/* Whether an entry of type #1 starts the program at this path of this partition. */
static gboolean
is_started_by_entry(DpsCheck *check, const DpsBootPart *part, const char *path)
{
	for (guint i = 0; i < check->boot->entries->len; i++) {
		const DpsBootEntry *entry = check->boot->entries->pdata[i];

		if (entry->part == part && entry->bls->type == DPS_BLS_TYPE1 && entry->bls->path &&
		    g_ascii_strcasecmp(entry->bls->path, path + strspn(path, "/")) == 0)
			return TRUE;
	}
	return FALSE;
}

static void
look_into_subdirectories(DpsCheck *check, DpsBootPart *part)
{
	g_autoptr(GPtrArray) names = dps_boot_list(part, "/EFI/Linux");
	guint n = 0;

	for (guint i = 0; i < names->len; i++) {
		const DpsFileInfo *directory = names->pdata[i];
		g_autofree char *path = g_strconcat("/EFI/Linux/", directory->name, NULL);
		g_autofree char *lower = g_ascii_strdown(directory->name, -1);
		g_autoptr(GPtrArray) inside = NULL;

		if (directory->kind != DPS_FILE_DIRECTORY || g_str_has_suffix(lower, ".extra.d"))
			continue;
		inside = dps_boot_list(part, path);
		for (guint j = 0; j < inside->len; j++) {
			const DpsFileInfo *info = inside->pdata[j];
			g_autofree char *file = g_strconcat(path, "/", info->name, NULL);
			g_autofree char *name = g_ascii_strdown(info->name, -1);
			DpsProgram *program;

			if (info->kind != DPS_FILE_REGULAR || !g_str_has_suffix(name, ".efi"))
				continue;
			if (n++ == MAX_MISPLACED) {
				dps_check_cannot_judge(
					check, dps_check_part_number(part),
					"there are more programs below EFI/Linux than are read");
				return;
			}
			if (is_started_by_entry(check, part, file))
				continue;
			program = dps_program_read(part, file, DPS_UKI_SECTIONS);
			if (!dps_check_is_file_damaged(check, part, file) && program->is_pe &&
			    program->uki.has_linux)
				report_uki(check, 0, program, "move it to EFI/Linux itself",
					   "is in a directory below EFI/Linux: no menu shows it");
			dps_program_free(program);
		}
	}
}

static void
check_uki_in_subdir(DpsCheck *check)
{
	look_into_subdirectories(check, &check->boot->esp);
	look_into_subdirectories(check, &check->boot->xbootldr);
}

/* One command line of a program: its own, or that of a profile. */
static gboolean
judge_cmdline_root(DpsCheck *check, const DpsProgram *program, const char *text, const char *where)
{
	g_auto(DpsCmdline) cmdline = { 0 };
	g_autofree char *message = NULL;
	DpsPartition *partition;
	gboolean is_missing;

	dps_cmdline_parse(text, &cmdline);
	if (!cmdline.root || dps_cmdline_root_is_discovered(&cmdline, 0))
		return FALSE;

	is_missing =
		dps_check_find_root_spec(check, cmdline.root, &partition) == DPS_ROOT_SPEC_MISSING;
	message =
		g_strdup_printf("root=%s is built in%s: root is not discovered%s", cmdline.root,
				where, is_missing ? ", and nothing on this disk is called so" : "");
	report_uki(check, is_missing ? dps_check_image_severity(check) : 0, program,
		   "build it without root=", message);
	return TRUE;
}

static void
visit_cmdline_root(DpsCheck *check, const DpsProgram *program)
{
	for (guint i = 0; program->is_pe && i < program->uki.profiles->len; i++) {
		const DpsUkiProfile *profile = program->uki.profiles->pdata[i];
		g_autofree char *where =
			profile->index > 0 ? g_strdup_printf(" in its profile @%u", profile->index)
					   : g_strdup("");

		if (judge_cmdline_root(check, program, profile->cmdline, where))
			return;
	}
}

static void
visit_addon_root(DpsCheck *check, const DpsProgram *addon, const DpsUki *uki)
{
	g_autofree char *skipped = find_addon_problem(check, addon, uki);

	if (!skipped)
		judge_cmdline_root(check, addon, addon->uki.cmdline,
				   " and added to the command line");
}

static void
check_uki_cmdline_root(DpsCheck *check)
{
	visit_ukis(check, visit_cmdline_root);
	visit_addons(check, visit_addon_root);
}

static void
visit_cmdline_gptauto_off(DpsCheck *check, const DpsProgram *program)
{
	for (guint i = 0; program->is_pe && i < program->uki.profiles->len; i++) {
		const DpsUkiProfile *profile = program->uki.profiles->pdata[i];
		g_auto(DpsCmdline) cmdline = { 0 };

		dps_cmdline_parse(profile->cmdline, &cmdline);
		if (cmdline.gpt_auto != DPS_CMDLINE_NO && cmdline.rd_gpt_auto != DPS_CMDLINE_NO)
			continue;
		report_uki(check, 0, program, "build it without systemd.gpt_auto=0",
			   "discovery is switched off in its command line");
		return;
	}
}

static void
visit_addon_gptauto_off(DpsCheck *check, const DpsProgram *addon, const DpsUki *uki)
{
	g_autofree char *skipped = find_addon_problem(check, addon, uki);

	if (!skipped)
		visit_cmdline_gptauto_off(check, addon);
}

static void
check_uki_cmdline_gptauto_off(DpsCheck *check)
{
	visit_ukis(check, visit_cmdline_gptauto_off);
	visit_addons(check, visit_addon_gptauto_off);
}

static void
visit_no_root(DpsCheck *check, const DpsProgram *program)
{
	g_auto(DpsCmdline) cmdline = { 0 };

	if (is_truncated(program) || !program->uki.has_linux)
		return;
	dps_cmdline_parse(program->uki.cmdline, &cmdline);
	/* That there is nothing to discover is an error of the table; this says who minds. */
	if (dps_cmdline_root_is_discovered(&cmdline, 0))
		report_uki(check, DPS_SEVERITY_WARNING, program,
			   "tag root with dps-tag apply, or build it with root=",
			   "has no root= in it and no partition can be discovered as root: it does "
			   "not get beyond the initrd");
}

static void
check_uki_no_cmdline_no_root(DpsCheck *check)
{
	if (dps_disk_get_gpt(check->disk) && !dps_check_get_root(check))
		visit_ukis(check, visit_no_root);
}

static void
look_for_addons(DpsCheck *check, DpsBootPart *part)
{
	g_autoptr(GPtrArray) names = dps_boot_list(part, "/EFI/Linux");

	for (guint i = 0; i < names->len; i++) {
		const DpsFileInfo *info = names->pdata[i];
		g_autofree char *path = g_strconcat("/EFI/Linux/", info->name, NULL);
		g_autofree char *lower = g_ascii_strdown(info->name, -1);
		const DpsProgram *owner;

		if (info->kind == DPS_FILE_REGULAR && is_addon_name(info->name))
			dps_check_report_file(check, 0, dps_check_part_number(part), path,
					      "move it to NAME.efi.extra.d or to /loader/addons",
					      "an addon in EFI/Linux belongs to no image");
		if (info->kind != DPS_FILE_DIRECTORY || !g_str_has_suffix(lower, ".extra.d"))
			continue;
		owner = find_owner(check, part, info->name);
		if (!owner)
			dps_check_report_file(check, 0, dps_check_part_number(part), path,
					      "name it after the image, without boot counter: "
					      "NAME.efi.extra.d",
					      "no image in EFI/Linux goes with this directory");
	}
}

static void
visit_addon_problem(DpsCheck *check, const DpsProgram *addon, const DpsUki *uki)
{
	g_autofree char *message = find_addon_problem(check, addon, uki);

	if (message)
		report_uki(check, 0, addon, "build it anew with ukify", message);
}

static void
check_uki_addon_misplaced(DpsCheck *check)
{
	look_for_addons(check, &check->boot->esp);
	look_for_addons(check, &check->boot->xbootldr);
	visit_addons(check, visit_addon_problem);
}

static void
visit_unsigned(DpsCheck *check, const DpsProgram *program)
{
	if (program != check->boot->fallback && program->is_pe && !program->uki.is_signed)
		report_uki(check, 0, program, "sign it with ukify or sbsign",
			   "is not signed, and the loader is: with Secure Boot it does not start");
}

static void
visit_addon_unsigned(DpsCheck *check, const DpsProgram *addon, const DpsUki *uki)
{
	visit_unsigned(check, addon);
}

static void
check_uki_unsigned_mixed(DpsCheck *check)
{
	const DpsProgram *fallback = check->boot->fallback;

	if (!fallback || !fallback->is_pe || !fallback->uki.is_signed)
		return;

	visit_ukis(check, visit_unsigned);
	visit_addons(check, visit_addon_unsigned);
}

const DpsRule dps_rules_uki[] = {
	{ "uki-no-osrel", DPS_SEVERITY_ERROR, check_uki_no_osrel },
	{ "uki-no-linux", DPS_SEVERITY_ERROR, check_uki_no_linux },
	{ "uki-wrong-arch", DPS_SEVERITY_ERROR, check_uki_wrong_arch },
	{ "uki-section-overlap", DPS_SEVERITY_ERROR, check_uki_section_overlap },
	{ "uki-truncated", DPS_SEVERITY_ERROR, check_uki_truncated },
	{ "uki-dup-section", DPS_SEVERITY_WARNING, check_uki_dup_section },
	{ "uki-in-subdir", DPS_SEVERITY_WARNING, check_uki_in_subdir },
	{ "uki-cmdline-root", DPS_SEVERITY_WARNING, check_uki_cmdline_root },
	{ "uki-cmdline-gptauto-off", DPS_SEVERITY_WARNING, check_uki_cmdline_gptauto_off },
	{ "uki-no-cmdline-no-root", DPS_SEVERITY_WARNING, check_uki_no_cmdline_no_root },
	{ "uki-addon-misplaced", DPS_SEVERITY_WARNING, check_uki_addon_misplaced },
	{ "uki-unsigned-mixed", DPS_SEVERITY_INFO, check_uki_unsigned_mixed },
	{ NULL },
};
