/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/check.h"
#include "format/loader-conf.h"
#include "ground/error.h"

#include <string.h>

/* Files that entries name and that are looked for: three an entry, as many entries as are read. */
#define MAX_LOOKED_FOR 8192

/* Whether an entry lies where systemd-boot looks for it: on the ESP or XBOOTLDR. */
static gboolean
is_on_boot_part(DpsCheck *check, const DpsBootEntry *entry)
{
	return entry->part == &check->boot->esp || entry->part == &check->boot->xbootldr;
}

static void
report_entry(DpsCheck *check, DpsSeverity severity, const DpsBootEntry *entry, const char *hint,
	     const char *message)
{
	dps_check_report_file(check, severity, dps_check_part_number(entry->part), entry->path,
			      hint, "%s", message);
}

/* One file that an entry names.  Severity 0: how much the entry needs it hangs on who reads it.
 * @n_left: how many may still be looked for */
static void
look_for(DpsCheck *check, DpsSeverity severity, const DpsBootEntry *entry, const char *key,
	 const char *path, guint *n_left)
{
	g_autoptr(DpsFileInfo) info = NULL;
	g_autofree char *message = NULL;

	/* GRUB fills in variables, and has names of its own for disks. */
	if (!path || strchr(path, '$') || *path == '(')
		return;
	if (*n_left == 0) {
		dps_check_cannot_judge(check, dps_check_part_number(entry->part),
				       "boot entries name more files than are looked for");
		return;
	}
	(*n_left)--;
	info = dps_boot_lookup(entry->part, path);
	if ((info && info->kind == DPS_FILE_REGULAR) ||
	    (!info && dps_check_is_file_damaged(check, entry->part, path)))
		return;

	if (severity == 0 && check->boot->chain != DPS_CHAIN_SYSTEMD_BOOT &&
	    entry->part != &check->boot->esp)
		severity = DPS_SEVERITY_WARNING;
	message = g_strdup_printf("%s /%s: %s", key, path,
				  info ? "it is a directory, and no file"
				       : "there is no such file on the same partition");
	report_entry(check, severity, entry, "install the kernel again, or remove the entry",
		     message);
}

static void
check_bls_entry_file_missing(DpsCheck *check)
{
	static const char *const keys[] = {
		[DPS_BLS_LOADER_LINUX] = "linux",
		[DPS_BLS_LOADER_EFI] = "efi",
		[DPS_BLS_LOADER_UKI] = "uki",
	};

	guint n_left = MAX_LOOKED_FOR;

	dps_check_need_boot_parts(check);
	for (guint i = 0; i < check->boot->entries->len; i++) {
		const DpsBootEntry *entry = check->boot->entries->pdata[i];
		const DpsBlsEntry *bls = entry->bls;

		if (!is_on_boot_part(check, entry) || bls->type != DPS_BLS_TYPE1 ||
		    bls->loader == DPS_BLS_LOADER_NONE || bls->loader == DPS_BLS_LOADER_UKI_URL ||
		    entry->hidden == DPS_BLS_HIDDEN_ARCH)
			continue;
		look_for(check, 0, entry, keys[bls->loader], bls->path, &n_left);
		for (guint j = 0; j < bls->initrds->len; j++)
			look_for(check, 0, entry, "initrd", bls->initrds->pdata[j], &n_left);
		look_for(check, 0, entry, "devicetree", bls->devicetree, &n_left);
		/* What systemd-boot up to 257 does not read, and without which the kernel starts.
		 */
		for (guint j = 0; j < bls->devicetree_overlays->len; j++)
			look_for(check, DPS_SEVERITY_WARNING, entry, "devicetree-overlay",
				 bls->devicetree_overlays->pdata[j], &n_left);
		for (guint j = 0; j < bls->extras->len; j++)
			look_for(check, DPS_SEVERITY_WARNING, entry, "extra", bls->extras->pdata[j],
				 &n_left);
	}
}

static gboolean
is_grub_key(const char *message)
{
	return strstr(message, "grub_") != NULL || strstr(message, "\"id\"") != NULL;
}

static void
check_bls_entry_invalid(DpsCheck *check)
{
	dps_check_need_boot_parts(check);
	for (guint i = 0; i < check->boot->entries->len; i++) {
		const DpsBootEntry *entry = check->boot->entries->pdata[i];

		if (!is_on_boot_part(check, entry) || entry->bls->type != DPS_BLS_TYPE1)
			continue;
		for (guint j = 0; j < entry->bls->problems->len; j++) {
			const DpsBlsProblem *problem = entry->bls->problems->pdata[j];

			/* Fedora's entries have keys of GRUB, and GRUB is what reads them there. */
			if (check->boot->chain != DPS_CHAIN_SYSTEMD_BOOT &&
			    problem->kind == DPS_BLS_PROBLEM_UNKNOWN_KEY &&
			    is_grub_key(problem->message))
				continue;
			report_entry(check, 0, entry, "see UAPI.1, \"Type #1\"", problem->message);
		}
	}
}

static void
check_bls_entry_arch_hidden(DpsCheck *check)
{
	for (guint i = 0; i < check->boot->entries->len; i++) {
		const DpsBootEntry *entry = check->boot->entries->pdata[i];
		g_autofree char *message = NULL;

		if (!is_on_boot_part(check, entry) || entry->bls->type != DPS_BLS_TYPE1 ||
		    entry->hidden != DPS_BLS_HIDDEN_ARCH)
			continue;
		message =
			g_strdup_printf("is for %s: loaders of %s do not show it",
					entry->bls->architecture, dps_arch_to_string(check->arch));
		report_entry(check, 0, entry, NULL, message);
	}
}

/* Whether a file of @names is not in @directory by the same name, too: where /boot is a symbolic
 * link to the top level, as on CoreOS and bootc, all of them are. */
static gboolean
is_any_missing(const DpsBootPart *part, const GPtrArray *names, const char *directory)
{
	for (guint i = 0; i < names->len; i++) {
		const DpsFileInfo *info = names->pdata[i];
		g_autofree char *path = g_build_filename(directory, info->name, NULL);

		if (!dps_boot_may_exist(part, path))
			return TRUE;
	}
	return FALSE;
}

/*
 * Entries where no loader looks.  GRUB reads /boot/loader/entries of the file system that it is set
 * up for, so only systemd-boot and firmware alone make them lost.
 */
static void
check_bls_entry_on_wrong_path(DpsCheck *check)
{
	const DpsBoot *boot = check->boot;
	const DpsBootPart *const parts[] = { &boot->esp, &boot->xbootldr };

	for (guint i = 0; i < G_N_ELEMENTS(parts); i++) {
		static const char *const directories[] = { "/EFI/loader/entries",
							   "/boot/loader/entries" };

		for (guint j = 0; j < G_N_ELEMENTS(directories); j++) {
			g_autoptr(GPtrArray) names = dps_boot_list(parts[i], directories[j]);

			if (is_any_missing(parts[i], names, "/loader/entries"))
				dps_check_report_file(
					check, 0, dps_check_part_number(parts[i]), directories[j],
					"move them to /loader/entries of the partition",
					"boot entries are here, and loaders read /loader/entries");
		}
	}
	if (boot->chain != DPS_CHAIN_SYSTEMD_BOOT && boot->chain != DPS_CHAIN_UKI)
		return;
	for (guint i = 0; i < boot->entries->len; i++) {
		const DpsBootEntry *entry = boot->entries->pdata[i];

		if (!is_on_boot_part(check, entry))
			report_entry(check, 0, entry,
				     "move it to the ESP or XBOOTLDR, with its kernel",
				     "this file system is none that systemd-boot reads");
	}
}

static void
check_bls_linux_not_efi(DpsCheck *check)
{
	if (check->boot->chain != DPS_CHAIN_SYSTEMD_BOOT)
		return;

	for (guint i = 0; i < check->boot->entries->len; i++) {
		const DpsBootEntry *entry = check->boot->entries->pdata[i];
		g_autoptr(DpsFileInfo) info = NULL;
		g_autofree char *message = NULL;
		DpsProgram *program;

		if (!is_on_boot_part(check, entry) || entry->bls->type != DPS_BLS_TYPE1 ||
		    entry->bls->loader != DPS_BLS_LOADER_LINUX || entry->hidden != DPS_BLS_SHOWN)
			continue;

		/* A directory is no program, and another rule's matter. */
		info = dps_boot_lookup(entry->part, entry->bls->path);
		if (info && info->kind != DPS_FILE_REGULAR)
			continue;
		program = info ? dps_program_read(entry->part, entry->bls->path, DPS_UKI_SECTIONS)
			       : NULL;
		if (dps_check_is_file_damaged(check, entry->part, entry->bls->path) || !program) {
			dps_program_free(program);
			continue;
		}
		if (!program->is_pe)
			message = g_strdup_printf("linux /%s is no EFI program: %s",
						  entry->bls->path, program->problem);
		else if (program->uki.pe.arch != check->arch && check->arch != DPS_ARCH_NONE)
			message = g_strdup_printf(
				"linux /%s is for %s, and the disk for %s", entry->bls->path,
				program->uki.pe.arch ? dps_arch_to_string(program->uki.pe.arch)
						     : "another machine",
				dps_arch_to_string(check->arch));
		if (message)
			report_entry(check, 0, entry,
				     "use a kernel with an EFI stub, of the right architecture",
				     message);
		dps_program_free(program);
	}
}

static void
check_bls_all_bad_counters(DpsCheck *check)
{
	guint n = 0;

	for (guint i = 0; i < check->boot->entries->len; i++) {
		const DpsBootEntry *entry = check->boot->entries->pdata[i];

		if (!is_on_boot_part(check, entry) || entry->hidden != DPS_BLS_SHOWN)
			continue;
		if (!dps_bls_entry_is_bad(entry->bls))
			return;
		n++;
	}
	if (n > 0 && dps_check_need_entries(check))
		dps_check_report(check, check->boot->esp.partition->number,
				 "find out why they failed; rename one without its counter to mark "
				 "it good",
				 "all entries have no tries left: every one of them is marked bad");
}

static void
check_bls_srel_foreign(DpsCheck *check)
{
	const DpsBoot *boot = check->boot;
	const DpsBootPart *part = boot->xbootldr.partition ? &boot->xbootldr : &boot->esp;
	g_autofree char *text = NULL;
	size_t size;

	if (boot->chain != DPS_CHAIN_SYSTEMD_BOOT || !part->files)
		return;
	text = dps_files_read(part->files, "/loader/entries.srel", 4096, &size, NULL);
	if (text && dps_bls_srel_parse(text, size) == DPS_BLS_SREL_FOREIGN)
		dps_check_report_file(
			check, 0, dps_check_part_number(part), "/loader/entries.srel",
			"write the word type1 into it",
			"says that somebody else writes the entries, and systemd-boot is "
			"the loader: kernel-install makes none for it");
}

/* Whether there are file systems on the disk that only show when something is opened, or could not
 * be read. */
static gboolean
has_hidden_file_systems(DpsCheck *check)
{
	for (guint i = 0; i < dps_disk_get_n_partitions(check->disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(check->disk, i);

		if (partition->content.kind == DPS_CONTENT_LUKS ||
		    partition->content.kind == DPS_CONTENT_AMBIGUOUS ||
		    dps_partition_is_unreadable(partition) || dps_partition_is_member(partition))
			return TRUE;
	}
	return FALSE;
}

DpsRootSpec
dps_check_find_root_spec(DpsCheck *check, const char *root, DpsPartition **partition)
{
	g_autofree char *spec = root ? dps_fstab_normalise_spec(root) : NULL;
	g_autoptr(GError) error = NULL;

	*partition = NULL;
	if (!dps_disk_get_gpt(check->disk) || !spec || strchr(spec, '$') || !strchr(spec, '=') ||
	    !(g_str_has_prefix(spec, "UUID=") || g_str_has_prefix(spec, "LABEL=") ||
	      g_str_has_prefix(spec, "PARTUUID=") || g_str_has_prefix(spec, "PARTLABEL=")) ||
	    strstr(spec, "/PARTNROFF="))
		return DPS_ROOT_SPEC_UNKNOWN;

	*partition = dps_disk_find_partition(check->disk, spec, &error);
	if (*partition)
		return DPS_ROOT_SPEC_FOUND;
	if (!g_error_matches(error, DPS_ERROR, DPS_ERROR_NOT_FOUND) ||
	    (!g_str_has_prefix(spec, "PART") && has_hidden_file_systems(check)))
		return DPS_ROOT_SPEC_UNKNOWN;
	return DPS_ROOT_SPEC_MISSING;
}

/* The entries of loader/entries and grub.cfg with a command line; those of UKIs have rules of their
 * own. */
static const DpsBootEntry *
get_plain_entry(DpsCheck *check, guint i)
{
	const DpsBoot *boot = check->boot;
	const DpsBootEntry *entry;

	entry = i < boot->entries->len ? boot->entries->pdata[i]
				       : boot->grub_lines->pdata[i - boot->entries->len];
	return entry->program || entry->hidden != DPS_BLS_SHOWN ? NULL : entry;
}

static void
check_cmdline_root_missing(DpsCheck *check)
{
	guint n = check->boot->entries->len + check->boot->grub_lines->len;
	gboolean is_any_good = FALSE;
	DpsPartition *partition;

	dps_check_need_entries(check);
	for (guint i = 0; i < n; i++) {
		const DpsBootEntry *entry = get_plain_entry(check, i);

		if (entry && dps_check_find_root_spec(check, entry->cmdline.root, &partition) !=
				     DPS_ROOT_SPEC_MISSING)
			is_any_good = TRUE;
	}
	for (guint i = 0; i < n; i++) {
		const DpsBootEntry *entry = get_plain_entry(check, i);
		g_autofree char *message = NULL;

		if (!entry || dps_check_find_root_spec(check, entry->cmdline.root, &partition) !=
				      DPS_ROOT_SPEC_MISSING)
			continue;
		message = g_strdup_printf("root=%s: nothing on this disk is called so",
					  entry->cmdline.root);
		report_entry(check,
			     is_any_good ? DPS_SEVERITY_WARNING : dps_check_image_severity(check),
			     entry, "write the UUID that `dps-tag show {disk}` says", message);
	}
}

/* Whether a btrfs has what subvol= or subvolid= of a command line names; 0 is the top level, and a
 * number that cannot be read is nobody's. */
static gboolean
has_subvolume(DpsBtrfs *btrfs, const DpsCmdline *cmdline)
{
	const char *path = cmdline->root_subvol;
	char *end;
	guint64 id;

	if (path)
		return dps_btrfs_find_path(btrfs, *path ? path : "/") != NULL;

	id = g_ascii_strtoull(cmdline->root_subvolid, &end, 0);
	return *end || id == 0 || id == DPS_BTRFS_TOP_LEVEL || dps_btrfs_find_id(btrfs, id);
}

static void
check_cmdline_subvol_missing(DpsCheck *check)
{
	guint n = check->boot->entries->len + check->boot->grub_lines->len;

	dps_check_need_entries(check);
	for (guint i = 0; i < n; i++) {
		const DpsBootEntry *entry =
			i < check->boot->entries->len
				? check->boot->entries->pdata[i]
				: check->boot->grub_lines->pdata[i - check->boot->entries->len];
		const DpsCmdline *cmdline = &entry->cmdline;
		g_autofree char *option = NULL;
		g_autofree char *message = NULL;
		DpsPartition *partition;

		if (entry->hidden != DPS_BLS_SHOWN || entry->is_unclear ||
		    (!cmdline->root_subvol && !cmdline->root_subvolid))
			continue;
		dps_check_find_root_spec(check, cmdline->root, &partition);
		if (!partition && !cmdline->root)
			partition = dps_check_get_root(check);
		if (!partition || !dps_check_can_see(check, partition) ||
		    partition->content.kind != DPS_CONTENT_FILE_SYSTEM)
			continue;

		option = cmdline->root_subvol
				 ? g_strconcat("subvol=", cmdline->root_subvol, NULL)
				 : g_strconcat("subvolid=", cmdline->root_subvolid, NULL);
		if (g_strcmp0(partition->content.type, "btrfs") != 0) {
			message = g_strdup_printf(
				"rootflags=%s: the %s in partition %u has no subvolumes, "
				"and is not mounted with such an option",
				option, partition->content.type, partition->number);
			report_entry(check, 0, entry, "take it out of the command line", message);
			continue;
		}
		if (partition->btrfs_error)
			dps_check_cannot_judge(check, partition->number,
					       partition->btrfs_error->message);
		if (!partition->btrfs || dps_btrfs_get_subvolumes(partition->btrfs)->len == 0 ||
		    has_subvolume(partition->btrfs, cmdline))
			continue;
		message = g_strdup_printf(
			"rootflags=%s: the btrfs in partition %u has no such subvolume", option,
			partition->number);
		report_entry(check, 0, entry, "`dps-tag show {disk}` lists its subvolumes",
			     message);
	}
}

const DpsRule dps_rules_entries[] = {
	{ "bls-entry-file-missing", DPS_SEVERITY_ERROR, check_bls_entry_file_missing },
	{ "bls-entry-invalid", DPS_SEVERITY_WARNING, check_bls_entry_invalid },
	{ "bls-entry-arch-hidden", DPS_SEVERITY_INFO, check_bls_entry_arch_hidden },
	{ "bls-entry-on-wrong-path", DPS_SEVERITY_WARNING, check_bls_entry_on_wrong_path },
	{ "bls-linux-not-efi", DPS_SEVERITY_ERROR, check_bls_linux_not_efi },
	{ "bls-all-bad-counters", DPS_SEVERITY_WARNING, check_bls_all_bad_counters },
	{ "bls-srel-foreign", DPS_SEVERITY_WARNING, check_bls_srel_foreign },
	{ "cmdline-root-missing", DPS_SEVERITY_ERROR, check_cmdline_root_missing },
	{ "cmdline-subvol-missing", DPS_SEVERITY_ERROR, check_cmdline_subvol_missing },
	{ NULL },
};
