/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/check.h"
#include "format/loader-conf.h"
#include "format/shim-csv.h"
#include "format/version.h"

#include <string.h>

/* A line or two a vendor: shim's own package has one. */
#define MAX_CSV_LINES 64

/* Whether the ESP's files can be judged; says so when they cannot. */
static gboolean
can_read_esp(DpsCheck *check)
{
	const DpsBootPart *esp = &check->boot->esp;

	if (esp->partition && !esp->files)
		dps_check_cannot_judge(check, esp->partition->number,
				       esp->problem ? esp->problem : "it cannot be read");
	return esp->files && esp->is_fat;
}

static void
check_esp_fallback_missing(DpsCheck *check)
{
	const char *suffix = check->arch ? dps_arch_get_efi_suffix(check->arch) : NULL;
	g_autofree char *path = NULL;
	g_autofree char *hint = NULL;

	if (!can_read_esp(check) || check->boot->fallback ||
	    dps_check_is_file_damaged(check, &check->boot->esp, "/EFI/BOOT"))
		return;
	if (check->arch == DPS_ARCH_NONE && check->boot->fallbacks->len == 0)
		suffix = "*";
	if (!suffix)
		return;

	path = g_strdup_printf("/EFI/BOOT/BOOT%s.EFI", suffix);
	hint = g_strdup_printf("copy the loader to %s, as `bootctl install` does", path);
	dps_check_report_file(check, dps_check_uefi_severity(check),
			      check->boot->esp.partition->number, path, hint,
			      "there is no such file: without an entry in its own memory firmware "
			      "starts nothing else");
}

/* Where nothing else tells the architecture, that of the loader's name is meant. */
static gboolean
is_for_the_disk(DpsCheck *check, const DpsProgram *program)
{
	return check->arch == DPS_ARCH_NONE || program->name_arch == check->arch;
}

static void
check_esp_fallback_wrong_arch(DpsCheck *check)
{
	const DpsProgram *second = check->boot->second;

	for (guint i = 0; i < check->boot->fallbacks->len; i++) {
		const DpsProgram *program = check->boot->fallbacks->pdata[i];
		const DpsPe *pe = &program->uki.pe;

		if (program->is_pe && pe->arch != program->name_arch)
			dps_check_report_file(
				check, is_for_the_disk(check, program) ? 0 : DPS_SEVERITY_WARNING,
				check->boot->esp.partition->number, program->path,
				"put the loader of the right architecture there",
				"is a program for %s (machine %#x), and its name is that of the "
				"loader for %s",
				pe->arch ? dps_arch_to_string(pe->arch) : "another machine",
				pe->machine, dps_arch_to_string(program->name_arch));
	}
	if (second && second->is_pe && second->uki.pe.arch != check->arch)
		dps_check_report_file(check, dps_check_uefi_severity(check),
				      check->boot->esp.partition->number, second->path,
				      "put the loader of the right architecture there",
				      "is what shim of %s starts, and a program for %s (machine "
				      "%#x)",
				      dps_arch_to_string(check->arch),
				      second->uki.pe.arch ? dps_arch_to_string(second->uki.pe.arch)
							  : "another machine",
				      second->uki.pe.machine);
}

static void
check_esp_fallback_not_pe(DpsCheck *check)
{
	const DpsProgram *second = check->boot->second;

	for (guint i = 0; i < check->boot->fallbacks->len; i++) {
		const DpsProgram *program = check->boot->fallbacks->pdata[i];
		DpsSeverity severity = is_for_the_disk(check, program) ? 0 : DPS_SEVERITY_WARNING;
		g_autofree char *message = NULL;

		if (dps_check_is_file_damaged(check, program->part, program->path))
			continue;
		if (!program->is_pe)
			message = g_strdup(program->problem);
		else if (program->uki.pe.subsystem != DPS_PE_SUBSYSTEM_EFI_APPLICATION)
			message = g_strdup_printf("its subsystem is %u, and not 10",
						  program->uki.pe.subsystem);
		else if (!program->uki.has_linux)
			dps_pe_find_problem(&program->uki.pe, DPS_PE_TRUNCATED, &message);

		if (message)
			dps_check_report_file(check, severity, check->boot->esp.partition->number,
					      program->path, "copy the loader there again, whole",
					      "is no EFI program that firmware can start: %s",
					      message);
	}
	if (second && !second->is_pe &&
	    !dps_check_is_file_damaged(check, second->part, second->path))
		dps_check_report_file(
			check, dps_check_uefi_severity(check), check->boot->esp.partition->number,
			second->path, "copy the loader there again, whole",
			"is what shim starts, and no EFI program: %s", second->problem);
}

/* Whether nobody knows what is beside a shim, or what it was built to start. */
static gboolean
is_orphan_lost(DpsCheck *check, const DpsShimOrphan *orphan)
{
	const DpsBootPart *esp = &check->boot->esp;
	g_autofree char *directory = g_path_get_dirname(orphan->path);
	g_autofree char *wanted = orphan->is_told
					  ? g_strdup(orphan->wanted)
					  : g_strdup_printf("%s/%s", directory, orphan->wanted);

	return dps_check_is_file_damaged(check, esp, orphan->path) ||
	       dps_check_is_file_damaged(check, esp, wanted);
}

/* With fallback beside the first shim, a BOOT*.CSV that is bad is the CSV's fault, and this is
 * about those that its good lines name. */
static void
check_esp_fallback_orphan_shim(DpsCheck *check)
{
	const DpsBoot *boot = check->boot;
	guint number = dps_check_part_number(&boot->esp);
	/* Of several, one is enough to boot; the others stand in the firmware's menu and fail. */
	DpsSeverity severity = boot->second || boot->uki_path ? DPS_SEVERITY_WARNING
							      : dps_check_uefi_severity(check);

	for (guint i = 0; i < boot->orphans->len; i++) {
		const DpsShimOrphan *orphan = boot->orphans->pdata[i];
		g_autofree char *suffix = NULL;

		if (is_orphan_lost(check, orphan))
			continue;
		if (orphan->is_told) {
			dps_check_report_file(check, severity, number, orphan->path,
					      "put it there, or correct the options in BOOT*.CSV",
					      "is shim, and told to start %s, which is not there",
					      orphan->wanted);
			continue;
		}
		if (strcmp(orphan->path, boot->fallback->path) != 0) {
			dps_check_report_file(
				check, severity, number, orphan->path,
				g_str_has_prefix(orphan->wanted, "grub")
					? "install the boot loader there again: GRUB's package for "
					  "EFI, or grub-install"
					: "install the boot loader there again",
				"is shim, which BOOT*.CSV names, and %s is not beside "
				"it: it has nothing to start",
				orphan->wanted);
			continue;
		}
		suffix = g_ascii_strdown(dps_arch_get_efi_suffix(check->arch), -1);
		dps_check_report_file(check, severity, number, orphan->path,
				      "copy the loader beside it, or fb*.efi with a BOOT*.CSV",
				      "is shim, and neither fb%s.efi nor %s is beside it: it has "
				      "nothing to start",
				      suffix, orphan->wanted);
	}
}

/* What is wrong with what a line of a CSV file names; NULL: nothing. */
static char *
find_csv_line_problem(DpsCheck *check, const char *directory, const DpsShimCsvLine *line)
{
	DpsBootPart *esp = &check->boot->esp;
	g_autofree char *file = g_strdup_printf("%s/%s", directory, line->file);
	DpsProgram *program;
	gboolean is_pe;

	if (!dps_boot_may_exist(esp, file))
		return g_strdup_printf("%s, which is not there", line->file);

	program = dps_program_read(esp, file, DPS_UKI_SECTIONS);
	is_pe = program->is_pe;
	dps_program_free(program);
	return is_pe || dps_check_is_file_damaged(check, esp, file)
		       ? NULL
		       : g_strdup_printf("%s, which is no EFI program", line->file);
}

/* What is wrong with one vendor's CSV file; NULL: nothing, or it has none. */
static char *
find_csv_problem(DpsCheck *check, const char *directory, const char *name, gboolean *found)
{
	DpsBootPart *esp = &check->boot->esp;
	g_autofree char *path = g_strdup_printf("%s/%s", directory, name);
	g_autofree char *bytes = NULL, *problem = NULL;
	g_autoptr(GPtrArray) lines = NULL;
	g_autoptr(GError) error = NULL;
	size_t size = 0;

	*found = dps_boot_may_exist(esp, path);
	if (!*found)
		return NULL;
	bytes = dps_files_read(esp->files, path, DPS_BLS_MAX_FILE_SIZE, &size, &error);
	lines = bytes ? dps_shim_csv_parse(bytes, size, &error) : NULL;
	if (dps_check_is_file_damaged(check, esp, path))
		return NULL;
	if (!lines)
		return g_strdup_printf("%s: %s", path, error->message);

	for (guint i = 0; i < MIN(lines->len, MAX_CSV_LINES) && !problem; i++)
		problem = find_csv_line_problem(check, directory, lines->pdata[i]);
	return problem ? g_strdup_printf("%s: it names %s", path, problem) : NULL;
}

static void
check_esp_shim_csv(DpsCheck *check)
{
	DpsBootPart *esp = &check->boot->esp;
	/* Where no line leads on, fallback resets the machine, again and again (fallback.c). */
	gboolean is_lost =
		!check->boot->second && !check->boot->uki_path && check->boot->orphans->len == 0;
	g_autoptr(GPtrArray) vendors = NULL;
	const char *suffix;
	g_autofree char *fb = NULL;
	g_autofree char *problem = NULL;
	gboolean any = FALSE;

	if (!check->boot->is_shim)
		return;
	suffix = dps_arch_get_efi_suffix(check->arch);
	fb = dps_boot_find_beside_shim(esp, "/EFI/BOOT", check->arch, DPS_SHIM_FALLBACK);
	if (!fb)
		return;

	vendors = dps_boot_list(esp, "/EFI");
	for (guint i = 0; i < vendors->len && !problem; i++) {
		const DpsFileInfo *info = vendors->pdata[i];
		g_autofree char *directory = g_strconcat("/EFI/", info->name, NULL);
		g_autofree char *own = g_strdup_printf("BOOT%s.CSV", suffix);
		gboolean found = FALSE;

		if (info->kind != DPS_FILE_DIRECTORY || g_ascii_strcasecmp(info->name, "BOOT") == 0)
			continue;
		problem = find_csv_problem(check, directory, own, &found);
		if (!found)
			problem = find_csv_problem(check, directory, "BOOT.CSV", &found);
		any |= found;
	}
	if (!any && !problem)
		problem = g_strdup("no directory below EFI has one");
	if (problem)
		dps_check_report_file(check, is_lost ? dps_check_uefi_severity(check) : 0,
				      esp->partition->number, fb,
				      "write EFI/VENDOR/BOOT*.CSV in UTF-16LE: "
				      "file,label,options,comment",
				      "shim's fallback is there and %s: %s",
				      is_lost ? "has no good BOOT*.CSV to read"
					      : "finds a bad BOOT*.CSV",
				      problem);
}

/* Whether an entry that is hidden for this reason is another rule's error already. */
static gboolean
is_judged_elsewhere(const DpsBootEntry *entry)
{
	switch (entry->hidden) {
	case DPS_BLS_HIDDEN_FILE_MISSING:
	case DPS_BLS_HIDDEN_NOT_PE:
	case DPS_BLS_HIDDEN_NO_OS_RELEASE:
		return TRUE;
	case DPS_BLS_HIDDEN_ARCH:
		return entry->program != NULL;
	default:
		return FALSE;
	}
}

static void
check_esp_no_loader_entries(DpsCheck *check)
{
	static const char windows[] = "/EFI/Microsoft/Boot/bootmgfw.efi";
	const DpsBoot *boot = check->boot;

	if (!can_read_esp(check) || boot->chain != DPS_CHAIN_SYSTEMD_BOOT)
		return;
	/* One that systemd-boot cannot read is an error of its own. */
	if (boot->xbootldr.partition && !boot->xbootldr.is_fat)
		return;
	if (dps_boot_exists(&boot->esp, windows) ||
	    dps_check_is_file_damaged(check, &boot->esp, windows))
		return;

	for (guint i = 0; i < boot->entries->len; i++) {
		const DpsBootEntry *entry = boot->entries->pdata[i];

		if ((entry->part == &boot->esp || entry->part == &boot->xbootldr) &&
		    (entry->hidden == DPS_BLS_SHOWN || is_judged_elsewhere(entry)))
			return;
	}
	if (!dps_check_need_entries(check))
		return;
	dps_check_report_file(
		check, 0, boot->esp.partition->number, boot->loader->path,
		"install a kernel with kernel-install, or put a unified kernel image "
		"into EFI/Linux",
		"is systemd-boot, and there is no entry that it shows in loader/entries "
		"and EFI/Linux");
}

/* "2.06-13+deb12u2" and 12: whether GRUB is older than 2.12, the first with the module bli. */
static gboolean
is_old_grub(const char *version)
{
	return version && dps_version_compare(version, "2.12~rc1") < 0;
}

static void
check_loader_no_bli(DpsCheck *check)
{
	const DpsProgram *loader = check->boot->loader;
	gboolean relies = check->boot->discovery == DPS_DISCOVERY_RELIED;
	DpsPartition *root = dps_check_get_root(check);
	DpsSeverity severity;

	if (check->boot->chain != DPS_CHAIN_GRUB || loader->uki.has_bli)
		return;

	/* With a root= in every entry, or no root to discover, nothing is lost but the automatic
	 * mounts of ESP and /boot. */
	if (check->boot->discovery == DPS_DISCOVERY_NO ||
	    (!relies && (!root || dps_partition_is_member(root))))
		severity = DPS_SEVERITY_INFO;
	else if (relies && is_old_grub(loader->uki.builder_version))
		severity = DPS_SEVERITY_ERROR;
	else
		severity = DPS_SEVERITY_WARNING;
	dps_check_report_file(
		check, severity, check->boot->esp.partition->number, loader->path,
		"keep root= on the command line, or boot with systemd-boot or a unified kernel "
		"image",
		"is GRUB%s%s without the module bli: it does not tell systemd which disk it was "
		"started from, so root is not discovered",
		loader->uki.builder_version ? " " : "",
		loader->uki.builder_version ? loader->uki.builder_version : "");
}

static gboolean
read_loader_conf(DpsCheck *check, DpsLoaderConf *conf)
{
	g_autofree char *text = NULL;
	size_t size;

	if (!check->boot->esp.files || !check->boot->esp.is_fat)
		return FALSE;
	text = dps_files_read(check->boot->esp.files, "/loader/loader.conf", DPS_BLS_MAX_FILE_SIZE,
			      &size, NULL);
	if (!text) {
		dps_check_is_file_damaged(check, &check->boot->esp, "/loader/loader.conf");
		return FALSE;
	}

	dps_loader_conf_parse(text, size, conf);
	return TRUE;
}

static void
check_loader_conf_default_nomatch(DpsCheck *check)
{
	const DpsBoot *boot = check->boot;
	DpsLoaderConf conf = { 0 };
	gboolean matches = FALSE;

	if (!read_loader_conf(check, &conf))
		return;

	/* "auto-*" are made up by systemd-boot, "@saved" is in the firmware's memory. */
	if (conf.default_pattern && *conf.default_pattern != '@' &&
	    !g_str_has_prefix(conf.default_pattern, "auto-")) {
		for (guint i = 0; i < boot->entries->len && !matches; i++) {
			const DpsBootEntry *entry = boot->entries->pdata[i];

			matches = (entry->part == &boot->esp || entry->part == &boot->xbootldr) &&
				  dps_bls_glob(conf.default_pattern, entry->bls->id);
		}
		if (!matches && dps_check_need_entries(check))
			dps_check_report_file(
				check, 0, boot->esp.partition->number, "/loader/loader.conf",
				"name an entry with its suffix: `default name.conf`, or "
				"`default name-*`",
				"default \"%s\" matches no entry: systemd-boot starts "
				"the first of its menu",
				conf.default_pattern);
	}
	dps_loader_conf_clear(&conf);
}

static void
check_loader_conf_unknown_key(DpsCheck *check)
{
	DpsLoaderConf conf = { 0 };

	if (!read_loader_conf(check, &conf))
		return;

	for (guint i = 0; i < conf.problems->len; i++) {
		const DpsBlsProblem *problem = conf.problems->pdata[i];

		dps_check_report_file(check, 0, check->boot->esp.partition->number,
				      "/loader/loader.conf", NULL, "%s", problem->message);
	}
	dps_loader_conf_clear(&conf);
}

const DpsRule dps_rules_loader[] = {
	{ "esp-fallback-missing", DPS_SEVERITY_ERROR, check_esp_fallback_missing },
	{ "esp-fallback-wrong-arch", DPS_SEVERITY_ERROR, check_esp_fallback_wrong_arch },
	{ "esp-fallback-not-pe", DPS_SEVERITY_ERROR, check_esp_fallback_not_pe },
	{ "esp-fallback-orphan-shim", DPS_SEVERITY_ERROR, check_esp_fallback_orphan_shim },
	{ "esp-shim-csv", DPS_SEVERITY_WARNING, check_esp_shim_csv },
	{ "esp-no-loader-entries", DPS_SEVERITY_ERROR, check_esp_no_loader_entries },
	{ "loader-no-bli", DPS_SEVERITY_WARNING, check_loader_no_bli },
	{ "loader-conf-default-nomatch", DPS_SEVERITY_WARNING, check_loader_conf_default_nomatch },
	{ "loader-conf-unknown-key", DPS_SEVERITY_INFO, check_loader_conf_unknown_key },
	{ NULL },
};
