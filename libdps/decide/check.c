/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/check.h"
#include "decide/check-options.h"
#include "decide/finding.h"
#include "decide/winner.h"
#include "ground/error.h"
#include "ground/types.h"
#include "target/image.h"

#include <string.h>

static const DpsRule *const tables[] = {
	dps_rules_gpt,	dps_rules_esp,	  dps_rules_fat,  dps_rules_loader, dps_rules_entries,
	dps_rules_uki,	dps_rules_space,  dps_rules_root, dps_rules_probe,  dps_rules_content,
	dps_rules_tree, dps_rules_verity, dps_rules_last,
};

gboolean
dps_check_is_code(const char *code)
{
	for (guint i = 0; i < G_N_ELEMENTS(tables); i++)
		for (const DpsRule *rule = tables[i]; rule->code; rule++)
			if (strcmp(rule->code, code) == 0)
				return TRUE;

	return FALSE;
}

static void G_GNUC_PRINTF(6, 0)
	add_finding(DpsCheck *check, DpsSeverity severity, guint partition, const char *path,
		    const char *hint, const char *format, va_list args)
{
	g_autofree char *message = g_strdup_vprintf(format, args);
	g_autofree char *filled = hint ? dps_check_fill_in(check, hint, partition) : NULL;

	g_ptr_array_add(check->findings,
			dps_finding_new(check->rule->code,
					severity ? severity : check->rule->severity, partition,
					path, filled, "%s", message));
}

void
dps_check_report(DpsCheck *check, guint partition, const char *hint, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add_finding(check, check->rule->severity, partition, NULL, hint, format, args);
	va_end(args);
}

void
dps_check_report_as(DpsCheck *check, DpsSeverity severity, guint partition, const char *hint,
		    const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add_finding(check, severity, partition, NULL, hint, format, args);
	va_end(args);
}

void
dps_check_report_file(DpsCheck *check, DpsSeverity severity, guint partition, const char *path,
		      const char *hint, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add_finding(check, severity, partition, path, hint, format, args);
	va_end(args);
}

static void
unjudged_free(DpsUnjudged *self)
{
	g_free(self->reason);
	g_string_free(self->codes, TRUE);
	g_free(self);
}

void
dps_check_cannot_judge(DpsCheck *check, guint partition, const char *reason)
{
	DpsUnjudged *found = NULL;

	if (!dps_check_options_wants(check->options, check->rule->code))
		return;

	for (guint i = 0; i < check->unjudged->len && !found; i++) {
		DpsUnjudged *known = check->unjudged->pdata[i];

		if (known->partition == partition && strcmp(known->reason, reason) == 0)
			found = known;
	}
	if (!found) {
		found = g_new0(DpsUnjudged, 1);
		found->partition = partition;
		found->reason = g_strdup(reason);
		found->codes = g_string_new(NULL);
		g_ptr_array_add(check->unjudged, found);
	}
	if (found->last == check->rule)
		return;

	found->last = check->rule;
	g_string_append_printf(found->codes, "%s%s", found->codes->len ? ", " : "",
			       check->rule->code);
}

gboolean
dps_check_has_error(DpsCheck *check, const char *code, guint partition)
{
	for (guint i = 0; i < check->findings->len; i++) {
		DpsFinding *finding = check->findings->pdata[i];

		if (dps_finding_get_severity(finding) == DPS_SEVERITY_ERROR &&
		    dps_finding_get_partition(finding) == partition &&
		    strcmp(dps_finding_get_code(finding), code) == 0)
			return TRUE;
	}
	return FALSE;
}

gboolean
dps_check_is_file_damaged(DpsCheck *check, const DpsBootPart *part, const char *path)
{
	guint number = dps_check_part_number(part);
	const char *lost = dps_boot_get_lost(part, path);

	if (lost) {
		dps_check_cannot_judge(check, number, lost);
		return TRUE;
	}
	/* Entries have their paths without a slash in front, and FAT names in any case. */
	path += strspn(path, "/");
	for (guint i = 0; i < check->findings->len; i++) {
		DpsFinding *finding = check->findings->pdata[i];
		const char *damaged = dps_finding_get_path(finding);
		g_autofree char *reason = NULL;

		if (!damaged || dps_finding_get_partition(finding) != number ||
		    dps_finding_get_severity(finding) != DPS_SEVERITY_ERROR ||
		    strcmp(dps_finding_get_code(finding), "esp-fat-inconsistent") != 0 ||
		    g_ascii_strcasecmp(damaged + strspn(damaged, "/"), path) != 0)
			continue;
		reason = g_strdup_printf("%s cannot be read whole", damaged);
		dps_check_cannot_judge(check, number, reason);
		return TRUE;
	}
	return FALSE;
}

gboolean
dps_check_can_see(DpsCheck *check, DpsPartition *partition)
{
	g_autofree char *reason = NULL;

	if (!dps_partition_is_unreadable(partition))
		return TRUE;

	reason = g_strdup_printf("it cannot be read: %s", partition->content.problem);
	dps_check_cannot_judge(check, partition->number, reason);
	return FALSE;
}

DpsTree *
dps_check_need_tree(DpsCheck *check)
{
	if (!check->tree)
		dps_check_cannot_judge(check, 0,
				       check->tree_problem
					       ? check->tree_problem
					       : "there is no tree: give it with --root");
	return check->tree;
}

gboolean
dps_check_need_entries(DpsCheck *check)
{
	for (guint i = 0; i < check->boot->unread->len; i++) {
		const DpsBootUnread *unread = check->boot->unread->pdata[i];

		dps_check_cannot_judge(check, dps_check_part_number(unread->part), unread->reason);
	}
	return check->boot->unread->len == 0;
}

void
dps_check_need_boot_parts(DpsCheck *check)
{
	const DpsBootPart *const parts[] = { &check->boot->esp, &check->boot->xbootldr };

	for (guint i = 0; i < G_N_ELEMENTS(parts); i++)
		if (parts[i]->partition && !parts[i]->files)
			dps_check_cannot_judge(check, parts[i]->partition->number,
					       parts[i]->problem ? parts[i]->problem
								 : "it cannot be read");
	dps_check_need_entries(check);
}

guint
dps_check_part_number(const DpsBootPart *part)
{
	return part->partition ? part->partition->number : 0;
}

DpsPartition *
dps_check_next_of_role(DpsCheck *check, DpsRole role, DpsPartition *after)
{
	for (guint i = 0; i < dps_disk_get_n_partitions(check->disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(check->disk, i);

		if ((!after || partition->number > after->number) && partition->type &&
		    partition->type->role == role)
			return partition;
	}
	return NULL;
}

gboolean
dps_check_is_entry_bad(DpsCheck *check, guint number)
{
	const DpsGpt *gpt = dps_disk_get_gpt(check->disk);

	for (guint i = 0; gpt && i < gpt->entries->len; i++) {
		const DpsGptEntry *entry = gpt->entries->pdata[i];

		if (entry->number == number)
			return entry->problem != NULL;
	}
	return FALSE;
}

DpsPartition *
dps_check_get_root(DpsCheck *check)
{
	g_autoptr(GArray) candidates = g_array_new(FALSE, FALSE, sizeof(DpsRootCandidate));

	for (DpsPartition *root = dps_check_next_of_role(check, DPS_ROLE_ROOT, NULL); root;
	     root = dps_check_next_of_role(check, DPS_ROLE_ROOT, root)) {
		DpsRootCandidate candidate = { root->number, root->label };

		if (root->type->arch == check->arch && !(root->attributes & DPS_FLAG_NO_AUTO))
			g_array_append_val(candidates, candidate);
	}
	if (candidates->len == 0)
		return NULL;

	return dps_disk_get_partition_by_number(
		check->disk, dps_root_winner((const DpsRootCandidate *)(void *)candidates->data,
					     candidates->len));
}

gboolean
dps_check_is_not_uefi(DpsCheck *check)
{
	if (!dps_disk_get_gpt(check->disk))
		return TRUE;
	if (check->arch != DPS_ARCH_NONE && !dps_arch_get_efi_suffix(check->arch))
		return TRUE;

	return dps_boot_is_bios(check->disk) && !check->boot->esp.partition;
}

DpsSeverity
dps_check_image_severity(DpsCheck *check)
{
	return dps_medium_is_device(dps_disk_get_medium(check->disk)) ? DPS_SEVERITY_WARNING
								      : DPS_SEVERITY_ERROR;
}

DpsSeverity
dps_check_uefi_severity(DpsCheck *check)
{
	/* What is for a BIOS, or for PowerPC's firmware, is another way to boot; and so is a loader
	 * that the NVRAM of a device's machine names. */
	return dps_boot_is_bios(check->disk) ? DPS_SEVERITY_WARNING
					     : dps_check_image_severity(check);
}

DpsPartition *
dps_check_find_mistyped_esp(DpsCheck *check)
{
	if (dps_check_next_of_role(check, DPS_ROLE_ESP, NULL))
		return NULL;

	for (guint i = 0; i < dps_disk_get_n_partitions(check->disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(check->disk, i);
		g_autoptr(DpsEsp) esp = NULL;
		g_autoptr(DpsFileInfo) info = NULL;

		if (g_strcmp0(partition->content.type, "vfat") != 0 ||
		    (partition->type && partition->type->role == DPS_ROLE_XBOOTLDR))
			continue;
		esp = dps_esp_open_region(&partition->region, NULL);
		if (esp && dps_files_lookup(dps_esp_get_files(esp), "/EFI", &info, NULL) && info &&
		    info->kind == DPS_FILE_DIRECTORY)
			return partition;
	}
	return NULL;
}

gboolean
dps_check_is_mounted_role(DpsRole role)
{
	return role == DPS_ROLE_ROOT || role == DPS_ROLE_USR || role == DPS_ROLE_HOME ||
	       role == DPS_ROLE_SRV || role == DPS_ROLE_VAR || role == DPS_ROLE_TMP;
}

/*
 * The architecture that the fallback loaders agree on.  A disk for several has one for each: then
 * the one with a root type counts, else the first of 64 bits.
 */
static DpsArch
arch_of_fallbacks(DpsCheck *check)
{
	DpsArch found = DPS_ARCH_NONE;

	for (guint i = 0; i < check->boot->fallbacks->len; i++) {
		const DpsProgram *program = check->boot->fallbacks->pdata[i];

		if (!program->is_pe || program->uki.pe.arch != program->name_arch)
			continue;
		for (DpsPartition *root = dps_check_next_of_role(check, DPS_ROLE_ROOT, NULL); root;
		     root = dps_check_next_of_role(check, DPS_ROLE_ROOT, root))
			if (root->type->arch == program->name_arch)
				return program->name_arch;
		if (found == DPS_ARCH_NONE || found == DPS_ARCH_X86 || found == DPS_ARCH_ARM)
			found = program->name_arch;
	}
	return found;
}

/* What most UKIs are for. */
static DpsArch
arch_of_ukis(DpsCheck *check)
{
	guint counts[DPS_ARCH_X86_64 + 1] = { 0 };
	DpsArch best = DPS_ARCH_NONE;

	for (guint i = 0; i < check->boot->ukis->len; i++) {
		const DpsProgram *program = check->boot->ukis->pdata[i];

		if (program->is_pe && program->uki.pe.arch != DPS_ARCH_NONE &&
		    ++counts[program->uki.pe.arch] > counts[best])
			best = program->uki.pe.arch;
	}
	return best;
}

/* The first of: what the caller says, the tree's programs, the fallback loader, UKIs, the first
 * root type. */
static void
find_arch(DpsCheck *check)
{
	DpsPartition *root = dps_check_next_of_role(check, DPS_ROLE_ROOT, NULL);
	const struct {
		DpsArch arch;
		const char *reason;
	} sources[] = {
		{ check->options ? dps_check_options_get_arch(check->options) : DPS_ARCH_NONE,
		  "as asked for" },
		{ check->tree ? dps_tree_get_arch(check->tree) : DPS_ARCH_NONE,
		  "of the system's programs" },
		{ arch_of_fallbacks(check), "of the fallback loader" },
		{ arch_of_ukis(check), "of the unified kernel images" },
		{ root ? root->type->arch : DPS_ARCH_NONE, "of the first root type" },
	};

	for (guint i = 0; i < G_N_ELEMENTS(sources); i++) {
		if (sources[i].arch == DPS_ARCH_NONE)
			continue;
		check->arch = sources[i].arch;
		check->arch_reason = sources[i].reason;
		return;
	}
}

/*
 * Without a tree from the caller, the system on the disk itself: of the partition with a root type,
 * else of the only partition that has one.
 */
static DpsTree *
find_own_tree(DpsCheck *check)
{
	g_autoptr(GPtrArray) roots = dps_image_list_roots(check->disk);
	const DpsImageRoot *found = NULL, *tagged = NULL;
	DpsTree *tree;
	g_autoptr(GError) error = NULL;
	guint n = 0;

	for (guint i = 0; i < roots->len; i++) {
		const DpsImageRoot *root = roots->pdata[i];
		DpsPartition *partition =
			dps_disk_get_partition_by_number(check->disk, root->partition);

		if (root->problem && partition->type && partition->type->role == DPS_ROLE_ROOT &&
		    !check->tree_problem)
			check->tree_problem =
				g_strdup_printf("the system in partition %u cannot be read: %s",
						root->partition, root->problem);
		if (!root->os)
			continue;
		n++;
		found = root;
		if (partition->type && partition->type->role == DPS_ROLE_ROOT &&
		    !(partition->attributes & DPS_FLAG_NO_AUTO) && !tagged)
			tagged = root;
	}
	if (tagged)
		found = tagged;
	else if (n != 1)
		found = NULL;

	if (!found) {
		for (guint i = 0; i < roots->len && !check->tree_problem && n == 0; i++) {
			const DpsImageRoot *root = roots->pdata[i];

			if (root->problem)
				check->tree_problem = g_strdup_printf(
					"no system could be read from the disk: partition %u: %s",
					root->partition, root->problem);
		}
		if (!check->tree_problem)
			check->tree_problem = g_strdup(
				n > 1 ? "several systems are on the disk: name one with --root"
				      : "no system was found on the disk: give its tree with "
					"--root");
		return NULL;
	}

	tree = dps_image_open_tree(check->disk, found->partition, &error);
	if (!tree) {
		g_free(check->tree_problem);
		check->tree_problem = g_strdup_printf("the system on the disk cannot be read: %s",
						      error->message);
	} else {
		g_clear_pointer(&check->tree_problem, g_free);
	}
	return tree;
}

static gint
worst_first(gconstpointer a, gconstpointer b)
{
	DpsFinding *x = *(DpsFinding *const *)a, *y = *(DpsFinding *const *)b;

	if (dps_finding_get_severity(x) != dps_finding_get_severity(y))
		return (gint)dps_finding_get_severity(y) - (gint)dps_finding_get_severity(x);

	return (gint)dps_finding_get_partition(x) - (gint)dps_finding_get_partition(y);
}

/* What the caller wants to see of it, and how bad it is for the caller. */
static void
apply_policy(GPtrArray *findings, const DpsCheckOptions *options)
{
	for (guint i = findings->len; i > 0; i--) {
		DpsFinding *finding = findings->pdata[i - 1];
		DpsSeverity severity;

		if (!dps_check_options_wants(options, dps_finding_get_code(finding))) {
			g_ptr_array_remove_index(findings, i - 1);
			continue;
		}
		if (dps_check_options_get_severity(options, dps_finding_get_code(finding),
						   &severity))
			dps_finding_set_severity(finding, severity);
	}
}

GPtrArray *
dps_check(DpsDisk *disk, DpsTree *tree, const DpsCheckOptions *options, GError **error)
{
	g_autoptr(GPtrArray) findings =
		g_ptr_array_new_with_free_func((GDestroyNotify)dps_finding_unref);
	g_autoptr(GPtrArray) unjudged =
		g_ptr_array_new_with_free_func((GDestroyNotify)unjudged_free);
	g_autoptr(DpsBoot) boot = NULL;
	g_autoptr(DpsTree) own = NULL;
	DpsCheck check = {
		.disk = disk,
		.tree = tree,
		.options = options,
		.findings = findings,
		.unjudged = unjudged,
		.keep_kernels = dps_check_options_get_keep_kernels(options),
	};

	g_return_val_if_fail(disk != NULL, NULL);

	boot = dps_boot_read(disk, tree, dps_check_options_get_esp(options), error);
	if (!boot)
		return NULL;
	check.boot = boot;
	if (!tree && dps_disk_get_gpt(disk)) {
		own = find_own_tree(&check);
		check.tree = own;
		check.is_own_tree = TRUE;
	}
	if (check.tree)
		check.files = dps_tree_get_files(check.tree);
	find_arch(&check);
	dps_boot_follow(boot, disk, check.arch);

	for (guint i = 0; i < G_N_ELEMENTS(tables); i++)
		for (check.rule = tables[i]; check.rule->code; check.rule++)
			check.rule->run(&check);

	g_free(check.tree_problem);
	apply_policy(findings, options);
	g_ptr_array_sort(findings, worst_first);
	return g_steal_pointer(&findings);
}
