/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/check.h"
#include "decide/discover.h"
#include "ground/types.h"

#include <string.h>

/*
 * The last rules: what could not be judged, and what each version of systemd will make of the disk,
 * as decide/discover computes it for every command line that a boot entry has.
 */

/* More boot entries than this are no summary. */
#define MAX_ENTRIES 32

/* A command line, and the file that has it. */
typedef struct {
	const char *path; /* NULL: no entry has one */
	const DpsCmdline *cmdline;
} Entry;

static DpsDirectory
look_at_directory(const char *path, gpointer data)
{
	DpsCheck *check = data;
	g_autoptr(DpsFileInfo) info = NULL;
	g_autoptr(GPtrArray) names = NULL;

	/* What is mounted there hides what lies below. */
	if (!check->files || dps_tree_get_mount(check->tree, path) ||
	    !dps_files_lookup(check->files, path, &info, NULL))
		return DPS_DIRECTORY_UNKNOWN;
	if (!info)
		return DPS_DIRECTORY_MISSING;
	if (info->kind != DPS_FILE_DIRECTORY)
		return DPS_DIRECTORY_BUSY;

	names = dps_files_list(check->files, path, NULL);
	if (!names)
		return DPS_DIRECTORY_UNKNOWN;
	return names->len > 0 ? DPS_DIRECTORY_BUSY : DPS_DIRECTORY_EMPTY;
}

/* What the loader at the end of the fallback path tells systemd; one that is not known is taken to
 * say what systemd-boot says. */
static DpsLoaderWord
find_loader_word(DpsCheck *check)
{
	const DpsBoot *boot = check->boot;

	if (!boot->esp.partition)
		return DPS_LOADER_WORD_NONE;
	if (boot->chain == DPS_CHAIN_GRUB && boot->loader && !boot->loader->uki.has_bli)
		return DPS_LOADER_WORD_NONE;
	return DPS_LOADER_WORD_ESP;
}

DpsProfile
dps_check_make_profile(DpsCheck *check, guint version, const DpsCmdline *cmdline)
{
	return (DpsProfile){
		.version = version,
		.arch = check->arch,
		.is_efi = !dps_check_is_not_uefi(check),
		.loader = find_loader_word(check),
		.cmdline = cmdline,
		.fstab = check->tree ? dps_tree_get_fstab(check->tree) : NULL,
		.machine_id = check->tree ? dps_tree_get_machine_id(check->tree) : NULL,
		.has_no_machine_id = check->tree && !dps_tree_get_machine_id(check->tree),
		.directory = look_at_directory,
		.data = check,
	};
}

/* What one version does with a partition, as the end of a sentence. */
static char *
describe(const DpsCandidate *candidate)
{
	GString *text = g_string_new(NULL);

	if (candidate->reason) {
		/* It does not look before it tries. */
		gboolean tries = strcmp(candidate->reason->rule, "content") == 0 ||
				 strcmp(candidate->reason->rule, "vfat") == 0;

		g_string_append_printf(text, "%s: %s", tries ? "fails on it" : "leaves it alone",
				       candidate->reason->message);
		return g_string_free(text, FALSE);
	}

	switch (candidate->partition->type->role) {
	case DPS_ROLE_SWAP:
		g_string_append(text, "enables it as swap");
		break;
	case DPS_ROLE_ROOT_VERITY:
	case DPS_ROLE_USR_VERITY:
		g_string_append(text, "takes its hashes");
		break;
	default:
		g_string_append_printf(text, "mounts it at %s%s%s", candidate->place,
				       candidate->is_automount ? " when it is asked for" : "",
				       candidate->is_read_only ? ", read-only" : "");
	}
	if (candidate->uncertain)
		g_string_append_printf(text, ", if %s", candidate->uncertain->message);
	return g_string_free(text, FALSE);
}

/* "252 to 253", "258", "259 and newer": from the @first to the @last that is modelled. */
static void
append_versions(GString *text, guint first, guint last)
{
	guint from = dps_discover_versions[first];
	guint to = last + 1 < dps_discover_n_versions ? dps_discover_versions[last + 1] - 1 : 0;

	if (to == 0)
		g_string_append_printf(text, "%u and newer", from);
	else if (to == from)
		g_string_append_printf(text, "%u", from);
	else
		g_string_append_printf(text, "%u to %u", from, to);
}

/* What all versions do with a partition, those that do the same together. */
static char *
describe_versions(GPtrArray *const *discoveries, guint number)
{
	g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(g_free);
	GString *whole = g_string_new("systemd ");
	guint first = 0;

	for (guint i = 0; i < dps_discover_n_versions; i++)
		g_ptr_array_add(texts, describe(dps_discover_find(discoveries[i], number)));

	for (guint i = 1; i <= texts->len; i++) {
		gboolean all = first == 0 && i == texts->len;

		if (i < texts->len && strcmp(texts->pdata[i], texts->pdata[first]) == 0)
			continue;
		if (first > 0)
			g_string_append(whole, "; ");
		if (!all)
			append_versions(whole, first, i - 1);
		g_string_append_printf(whole, "%s%s", all ? "" : " ",
				       (const char *)texts->pdata[first]);
		first = i;
	}
	return g_string_free(whole, FALSE);
}

/* The command lines of what loaders show; the empty one when there is none. */
static GArray *
list_entries(DpsCheck *check, const DpsCmdline *empty)
{
	const DpsBoot *boot = check->boot;
	GArray *entries = g_array_new(FALSE, FALSE, sizeof(Entry));

	for (guint i = 0; i < boot->entries->len + boot->grub_lines->len; i++) {
		const DpsBootEntry *shown =
			i < boot->entries->len ? boot->entries->pdata[i]
					       : boot->grub_lines->pdata[i - boot->entries->len];
		Entry entry = { shown->path, &shown->cmdline };

		if (entries->len < MAX_ENTRIES && shown->hidden == DPS_BLS_SHOWN &&
		    !shown->is_unclear && !(shown->bls && shown->bls->loader == DPS_BLS_LOADER_EFI))
			g_array_append_val(entries, entry);
	}
	if (entries->len == 0) {
		Entry entry = { NULL, empty };

		g_array_append_val(entries, entry);
	}
	return entries;
}

/* One finding a partition; more when boot entries differ in what becomes of it. */
static void
summarise_partition(DpsCheck *check, guint number, const GArray *entries,
		    GPtrArray *const *discoveries)
{
	g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GPtrArray) paths = g_ptr_array_new();

	for (guint i = 0; i < entries->len; i++) {
		char *text =
			describe_versions(discoveries + (gsize)i * dps_discover_n_versions, number);

		if (g_ptr_array_find_with_equal_func(texts, text, g_str_equal, NULL)) {
			g_free(text);
			continue;
		}
		g_ptr_array_add(texts, text);
		g_ptr_array_add(paths, (gpointer)g_array_index(entries, Entry, i).path);
	}
	for (guint i = 0; i < texts->len; i++)
		dps_check_report_file(check, 0, number, texts->len > 1 ? paths->pdata[i] : NULL,
				      NULL, "%s", (const char *)texts->pdata[i]);
}

static void
summarise_partitions(DpsCheck *check)
{
	g_auto(DpsCmdline) empty = { 0 };
	g_autoptr(GArray) entries = NULL;
	g_autoptr(GPtrArray) discoveries =
		g_ptr_array_new_with_free_func((GDestroyNotify)g_ptr_array_unref);
	GPtrArray *first;

	dps_cmdline_parse(NULL, &empty);
	entries = list_entries(check, &empty);
	for (guint i = 0; i < entries->len; i++)
		for (guint j = 0; j < dps_discover_n_versions; j++) {
			DpsProfile profile =
				dps_check_make_profile(check, dps_discover_versions[j],
						       g_array_index(entries, Entry, i).cmdline);

			g_ptr_array_add(discoveries, dps_discover(check->disk, &profile));
		}

	first = discoveries->pdata[0];
	for (guint i = 0; i < first->len; i++) {
		const DpsCandidate *candidate = first->pdata[i];

		summarise_partition(check, candidate->partition->number, entries,
				    (GPtrArray *const *)discoveries->pdata);
	}
}

/* What is wrong with the root of another architecture keeps nobody from finding this one's. */
static gboolean
is_of_other_root(DpsCheck *check, DpsFinding *finding)
{
	DpsPartition *partition =
		dps_disk_get_partition_by_number(check->disk, dps_finding_get_partition(finding));

	return partition && partition->type && partition->type->role == DPS_ROLE_ROOT &&
	       partition->type->arch != check->arch &&
	       strcmp(dps_finding_get_code(finding), "root-foreign-arch") != 0;
}

/* Beside nothing but its own words: which partition and file it is about is in them. */
static char *
describe_finding(DpsFinding *finding)
{
	GString *text = g_string_new(NULL);

	if (dps_finding_get_partition(finding) != 0)
		g_string_append_printf(text, "partition %u: ", dps_finding_get_partition(finding));
	if (dps_finding_get_path(finding))
		g_string_append_printf(text, "%s: ", dps_finding_get_path(finding));
	g_string_append(text, dps_finding_get_message(finding));
	return g_string_free(text, FALSE);
}

/* The first of these that is worse than a note is why root will not be found. */
static char *
find_finding(DpsCheck *check)
{
	static const char *const codes[] = {
		"gpt-missing",
		"mbr-only",
		"gpt-entry-size",
		"pmbr-missing",
		"root-missing",
		"root-no-auto",
		"root-foreign-arch",
		"root-type-on-pv",
		"root-unformatted",
		"fs-ambiguous",
		"btrfs-no-default-subvol",
		"esp-missing",
		"esp-wrong-type",
		"esp-no-block-io",
		"esp-not-fat",
		"loader-no-bli",
	};

	for (guint i = 0; i < G_N_ELEMENTS(codes); i++)
		for (guint j = 0; j < check->findings->len; j++) {
			DpsFinding *finding = check->findings->pdata[j];

			if (strcmp(dps_finding_get_code(finding), codes[i]) == 0 &&
			    !is_of_other_root(check, finding) &&
			    (dps_finding_get_severity(finding) > DPS_SEVERITY_INFO ||
			     strcmp(codes[i], "root-missing") == 0))
				return describe_finding(finding);
		}
	return NULL;
}

/* What is wrong with the place of an entry that has to be there: firmware leaves such an ESP out,
 * and the kernel and libblkid a root outside of the usable area. */
static char *
find_bad_entry(DpsCheck *check)
{
	const DpsGpt *gpt = dps_disk_get_gpt(check->disk);
	const DpsPartition *esp = check->boot->esp.partition, *root = dps_check_get_root(check);

	for (guint i = 0; gpt && i < gpt->entries->len; i++) {
		const DpsGptEntry *entry = gpt->entries->pdata[i];

		if (entry->problem &&
		    ((esp && esp->number == entry->number) ||
		     (root && root->number == entry->number && entry->is_outside)))
			return g_strdup_printf("partition %u: %s", entry->number, entry->problem);
	}
	return NULL;
}

/* What has to be read and cannot be: whether systemd, or firmware, can is not known. */
static char *
find_unreadable(DpsCheck *check)
{
	const DpsBootPart *esp = &check->boot->esp;
	DpsPartition *root = dps_check_get_root(check);
	DpsPartition *lost = root && dps_partition_is_unreadable(root) ? root : NULL;

	if (!lost && esp->partition && dps_partition_is_unreadable(esp->partition) && !esp->files)
		lost = esp->partition;
	return lost ? g_strdup_printf("partition %u: what it holds cannot be read: %s",
				      lost->number, lost->content.problem)
		    : NULL;
}

/* Why root is not found by its type when the command line is empty; NULL: it is. */
static char *
find_reason(DpsCheck *check)
{
	g_auto(DpsCmdline) empty = { 0 };
	char *reason = find_finding(check);
	DpsPartition *root = dps_check_get_root(check);
	g_autoptr(GPtrArray) candidates = NULL;
	const DpsCandidate *candidate;
	DpsProfile profile;

	if (!reason)
		reason = find_unreadable(check);
	if (!reason)
		reason = find_bad_entry(check);
	if (reason)
		return reason;
	if (check->arch == DPS_ARCH_NONE)
		return g_strdup("nothing tells which architecture the disk is for");
	if (!root)
		return g_strdup(dps_disk_get_gpt(check->disk)
					? "no partition has the root type"
					: dps_disk_get_table_problem(check->disk));

	dps_cmdline_parse(NULL, &empty);
	profile = dps_check_make_profile(check, dps_discover_versions[dps_discover_n_versions - 1],
					 &empty);
	candidates = dps_discover(check->disk, &profile);
	candidate = dps_discover_find(candidates, root->number);
	return candidate->reason ? g_strdup(candidate->reason->message) : NULL;
}

static void
dps_summary(DpsCheck *check)
{
	g_autofree char *reason = find_reason(check);
	const char *arch = check->arch ? dps_arch_get_systemd_name(check->arch) : NULL;

	dps_check_report(check, 0, NULL, "root is discoverable%s%s: %s%s", arch ? " on " : "",
			 arch ? arch : "", reason ? "no: " : "yes", reason ? reason : "");
	if (dps_disk_get_gpt(check->disk))
		summarise_partitions(check);
}

static void
not_judged(DpsCheck *check)
{
	for (guint i = 0; i < check->unjudged->len; i++) {
		const DpsUnjudged *self = check->unjudged->pdata[i];

		dps_check_report(check, self->partition, NULL, "could not be judged: %s (%s)",
				 self->reason, self->codes->str);
	}
}

const DpsRule dps_rules_last[] = {
	{ "not-judged", DPS_SEVERITY_INFO, not_judged },
	{ "dps-summary", DPS_SEVERITY_INFO, dps_summary },
	{ NULL },
};
