/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "report.h"

#include <string.h>
#include "diskmap.h"
#include "text.h"

static const struct {
	DpsSeverity severity;
	ScreenStyle style;
	const char *one, *many;
} severities[] = {
	{ DPS_SEVERITY_ERROR, SCREEN_STYLE_ERROR, "error", "errors" },
	{ DPS_SEVERITY_WARNING, SCREEN_STYLE_WARNING, "warning", "warnings" },
	{ DPS_SEVERITY_INFO, SCREEN_STYLE_INFO, "note", "notes" },
};

/* What there is to say; @partition 0: it was named above. */
static void
print_message(Screen *screen, const char *first, const FindingFacts *finding, guint partition)
{
	GString *text = g_string_new(NULL);

	if (partition != 0)
		g_string_append_printf(text, "partition %u: ", partition);
	if (finding->path)
		g_string_append_printf(text, "%s: ", finding->path);
	g_string_append(text, finding->message);
	text_paragraph(screen, first, text->str);
	g_string_free(text, TRUE);
}

/* What to do about it. */
static void
print_hint(Screen *screen, const FindingFacts *finding)
{
	if (finding->hint)
		text_paragraph(screen, "    → ", finding->hint);
}

void
report_findings(Screen *screen, GPtrArray *findings)
{
	g_autoptr(GPtrArray) list = facts_list_findings(findings);

	for (guint i = 0; i < G_N_ELEMENTS(severities); i++) {
		guint n = findings_count(list, severities[i].severity);

		if (n == 0 || (screen->is_quiet && severities[i].severity != DPS_SEVERITY_ERROR))
			continue;

		screen_print(screen, "%s%u %s%s\n", screen_begin(screen, severities[i].style), n,
			     n == 1 ? severities[i].one : severities[i].many, screen_end(screen));
		for (guint j = 0; j < list->len; j++) {
			const FindingFacts *finding = g_ptr_array_index(list, j);

			if (finding->severity != severities[i].severity)
				continue;
			screen_print(screen, "  %s%s%s\n",
				     screen_begin(screen, severities[i].style), finding->code,
				     screen_end(screen));
			print_message(screen, "    ", finding, finding->partition);
			print_hint(screen, finding);
		}
	}
}

/* The last line of a check: the finding about the whole disk that says whether root is found. */
static gboolean
is_verdict(const FindingFacts *finding)
{
	return strcmp(finding->code, "dps-summary") == 0 && finding->partition == 0;
}

/* What each partition is mounted as is a note, and only for those who ask for more. */
static gboolean
is_shown(Screen *screen, const FindingFacts *finding)
{
	if (is_verdict(finding))
		return FALSE;
	if (screen->is_quiet)
		return finding->severity == DPS_SEVERITY_ERROR;

	return screen->is_verbose || strcmp(finding->code, "dps-summary") != 0;
}

/* Whether @b says of another file what @a says, and gives the same advice. */
static gboolean
is_one_more(const FindingFacts *a, const FindingFacts *b)
{
	return strcmp(a->code, b->code) == 0 && a->severity == b->severity &&
	       g_strcmp0(a->hint, b->hint) == 0;
}

/* Findings of one partition.  What is the same for several files is said once. */
static void
print_group(Screen *screen, const Facts *disk, guint number)
{
	const PartitionFacts *partition = facts_get_partition(disk, number);
	g_autoptr(GPtrArray) group = g_ptr_array_new();

	if (partition)
		screen_print(screen, "\n%sPartition %u: %s%s\n",
			     screen_begin(screen, SCREEN_STYLE_HEADING), number,
			     text_type(partition->type_uuid), screen_end(screen));
	else
		screen_print(screen, "\n%sThe disk%s\n", screen_begin(screen, SCREEN_STYLE_HEADING),
			     screen_end(screen));

	for (guint i = 0; i < disk->findings->len; i++) {
		FindingFacts *finding = g_ptr_array_index(disk->findings, i);

		if (finding->partition == number && is_shown(screen, finding))
			g_ptr_array_add(group, finding);
	}

	for (guint i = 0, n; i < group->len; i += n) {
		const FindingFacts *finding = g_ptr_array_index(group, i);
		guint j = 0;

		n = 1;
		while (i + n < group->len && is_one_more(finding, g_ptr_array_index(group, i + n)))
			n++;
		while (severities[j].severity != finding->severity)
			j++;
		screen_print(screen, "  %s%s%s %s", screen_begin(screen, severities[j].style),
			     severities[j].one, screen_end(screen), finding->code);
		if (n > 1)
			screen_print(screen, " (%u)", n);
		screen_print(screen, "\n");
		for (guint k = i; k < i + n; k++)
			print_message(screen, n > 1 ? "    - " : "    ",
				      g_ptr_array_index(group, k), 0);
		print_hint(screen, finding);
	}
}

void
report_check(Screen *screen, const Facts *disk)
{
	g_autoptr(GArray) done = g_array_new(FALSE, FALSE, sizeof(guint));
	guint counts[G_N_ELEMENTS(severities)] = { 0 };
	const FindingFacts *verdict = NULL;

	/* They come worst first, so the first of each partition says where the group stands. */
	for (guint i = 0; i < disk->findings->len; i++) {
		const FindingFacts *finding = g_ptr_array_index(disk->findings, i);
		gboolean is_done = FALSE;

		if (is_verdict(finding))
			verdict = finding;
		if (!is_shown(screen, finding))
			continue;
		for (guint j = 0; j < G_N_ELEMENTS(severities); j++)
			counts[j] += severities[j].severity == finding->severity;
		for (guint j = 0; j < done->len && !is_done; j++)
			is_done = g_array_index(done, guint, j) == finding->partition;
		if (is_done)
			continue;
		g_array_append_val(done, finding->partition);
		print_group(screen, disk, finding->partition);
	}

	if (screen->is_quiet)
		return;
	screen_print(screen, done->len > 0 ? "\n" : "Nothing to say against it.\n");
	for (guint i = 0, n = 0; i < G_N_ELEMENTS(severities); i++) {
		if (counts[i] == 0)
			continue;
		screen_print(screen, "%s%u %s", n++ > 0 ? ", " : "", counts[i],
			     counts[i] == 1 ? severities[i].one : severities[i].many);
	}
	if (done->len > 0)
		screen_print(screen, "\n");
	if (verdict)
		text_paragraph(screen, "", verdict->message);
}

/* What a change makes of what, in words. */
static char *
describe_value(DpsChange *change, const char *value)
{
	DpsChangeKind kind = dps_change_get_kind(change);

	if (!value || !*value)
		return g_strdup("nothing");
	if (kind == DPS_CHANGE_TYPE)
		return g_strdup(text_type(value));
	if (kind == DPS_CHANGE_FLAGS) {
		/* "0x…": all 64 bits, for programs */
		guint64 attributes = g_ascii_strtoull(value, NULL, 16);

		return attributes == 0 ? g_strdup("none") : text_attributes(attributes);
	}

	return g_strdup(value);
}

static void
print_change(Screen *screen, DpsChange *change)
{
	g_autofree char *from = describe_value(change, dps_change_get_from(change));
	g_autofree char *to = describe_value(change, dps_change_get_to(change));
	g_autofree char *safe_from = screen_say(screen, from);
	g_autofree char *safe_to = screen_say(screen, to);
	guint partition = dps_change_get_partition(change);
	const char *reason = dps_change_get_reason(change);

	if (partition != 0)
		screen_print(screen, "  partition %u: ", partition);
	else
		screen_print(screen, "  ");
	screen_print(screen, "%s", dps_change_kind_to_string(dps_change_get_kind(change)));
	/* That the table is made whole is not one value for another. */
	if (dps_change_get_kind(change) != DPS_CHANGE_TABLE)
		screen_print(screen, ": %s%s%s → %s%s%s", screen_begin(screen, SCREEN_STYLE_BEFORE),
			     safe_from, screen_end(screen),
			     screen_begin(screen, SCREEN_STYLE_AFTER), safe_to, screen_end(screen));
	screen_print(screen, "\n");
	if (reason)
		text_paragraph(screen, "    ", reason);
}

/* --verbose: also what is assigned and needs no change. */
static void
print_assignments(Screen *screen, DpsPlan *plan)
{
	GPtrArray *assignments = dps_plan_get_assignments(plan);

	if (assignments->len == 0)
		return;

	text_heading(screen, "Assignments");
	for (guint i = 0; i < assignments->len; i++) {
		DpsAssignment *assignment = g_ptr_array_index(assignments, i);
		const char *arch = dps_arch_to_string(dps_assignment_get_arch(assignment));
		const char *reason = dps_assignment_get_reason(assignment);

		screen_print(screen, "  partition %u: %s%s%s\n",
			     dps_assignment_get_partition(assignment),
			     dps_role_to_string(dps_assignment_get_role(assignment)),
			     arch ? " of " : "", arch ? arch : "");
		if (reason)
			text_paragraph(screen, "    ", reason);
	}
	screen_print(screen, "\n");
}

/* The type that @partition will have. */
static const char *
find_type_after(const PartitionFacts *partition, gpointer data)
{
	GPtrArray *changes = data;

	for (guint i = 0; i < changes->len; i++) {
		DpsChange *change = g_ptr_array_index(changes, i);

		if (dps_change_get_kind(change) == DPS_CHANGE_TYPE &&
		    dps_change_get_partition(change) == partition->number)
			return dps_change_get_to(change);
	}

	return partition->type_uuid;
}

void
report_plan(Screen *screen, const Target *target, DpsPlan *plan)
{
	GPtrArray *changes = dps_plan_get_changes(plan);
	GPtrArray *findings = dps_plan_get_findings(plan);

	if (!screen->is_quiet) {
		if (target->disk) {
			g_autoptr(Facts) disk = facts_new(target->disk, NULL);

			text_disk(screen, disk);
			screen_print(screen, "\n");
			diskmap_print(screen, disk, changes->len > 0 ? find_type_after : NULL,
				      changes);
			screen_print(screen, "\n");
		}
		if (screen->is_verbose)
			print_assignments(screen, plan);

		if (changes->len > 0)
			screen_print(screen, "%s%u %s%s\n",
				     screen_begin(screen, SCREEN_STYLE_HEADING), changes->len,
				     changes->len == 1 ? "change" : "changes", screen_end(screen));
		else
			screen_print(screen, "Nothing to change.\n");
		for (guint i = 0; i < changes->len; i++)
			print_change(screen, g_ptr_array_index(changes, i));
	}

	if (findings->len > 0 && !screen->is_quiet)
		screen_print(screen, "\n");
	report_findings(screen, findings);
}

/* Ready to be pasted into a shell; plain names stay plain, and none is taken for an option. */
static char *
quote(const char *path)
{
	g_autofree char *name =
		g_str_has_prefix(path, "-") ? g_strconcat("./", path, NULL) : g_strdup(path);

	return strspn(name, G_CSET_a_2_z G_CSET_A_2_Z G_CSET_DIGITS "/._-+:@%") == strlen(name)
		       ? g_steal_pointer(&name)
		       : g_shell_quote(name);
}

/* A backup that an earlier run left is kept, and the disk may have had another name then. */
static gboolean
is_where_backup_says(DpsPlan *plan)
{
	g_autoptr(DpsBackup) backup = dps_backup_open(dps_plan_get_backup(plan), NULL);
	const char *disk = dps_disk_get_path(dps_plan_get_disk(plan));
	g_autofree char *now = g_canonicalize_filename(disk, NULL);

	return backup && strcmp(dps_backup_get_disk_path(backup), now) == 0;
}

char *
report_undo(DpsPlan *plan)
{
	g_autofree char *backup = quote(dps_plan_get_backup(plan));
	g_autofree char *disk = quote(dps_disk_get_path(dps_plan_get_disk(plan)));

	if (is_where_backup_says(plan))
		return g_strconcat("dps-tag undo ", backup, NULL);
	return g_strconcat("dps-tag undo ", backup, " ", disk, NULL);
}

void
report_applied(Screen *screen, DpsPlan *plan)
{
	GPtrArray *changes = dps_plan_get_changes(plan);
	g_autofree char *path = NULL;
	g_autofree char *undo = NULL;

	if (screen->is_quiet || !dps_plan_get_applied(plan))
		return;

	path = screen_say(screen, dps_disk_get_path(dps_plan_get_disk(plan)));
	screen_print(screen, "\nWritten and read back: %u %s to %s.\n", changes->len,
		     changes->len == 1 ? "change" : "changes", path);
	if (!dps_plan_get_backup(plan))
		return;

	undo = report_undo(plan);
	g_free(path);
	path = screen_say(screen, undo);
	screen_print(screen, "What was is kept; this puts it back:\n  %s\n", path);
}

static gboolean
is_same(DpsFinding *a, DpsFinding *b)
{
	return strcmp(dps_finding_get_code(a), dps_finding_get_code(b)) == 0 &&
	       dps_finding_get_partition(a) == dps_finding_get_partition(b) &&
	       g_strcmp0(dps_finding_get_path(a), dps_finding_get_path(b)) == 0;
}

void
report_add_findings(GPtrArray *findings, GPtrArray *more)
{
	for (guint i = 0; i < more->len; i++) {
		DpsFinding *finding = g_ptr_array_index(more, i);
		gboolean is_known = FALSE;

		for (guint j = 0; j < findings->len && !is_known; j++)
			is_known = is_same(finding, g_ptr_array_index(findings, j));
		if (!is_known)
			g_ptr_array_add(findings, dps_finding_ref(finding));
	}
}

gboolean
report_has_error(GPtrArray *findings)
{
	for (guint i = 0; i < findings->len; i++)
		if (dps_finding_get_severity(g_ptr_array_index(findings, i)) == DPS_SEVERITY_ERROR)
			return TRUE;

	return FALSE;
}
