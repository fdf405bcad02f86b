/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "command.h"

#include <string.h>
#include "json.h"
#include "readers.h"
#include "report.h"
#include "target.h"
#include "text.h"

static DpsCheckOptions *
make_options(const Options *options, GError **error)
{
	g_autoptr(DpsCheckOptions) check = dps_check_options_new();

	dps_check_options_set_arch(check, options->arch);
	dps_check_options_set_esp(check, options->esp);
	if (options->keep_kernels > 0)
		dps_check_options_set_keep_kernels(check, options->keep_kernels);
	if (options->only && !dps_check_options_set_only(check, options->only, error)) {
		g_prefix_error(error, "--only: ");
		return NULL;
	}
	if (options->ignore && !dps_check_options_set_ignore(check, options->ignore, error)) {
		g_prefix_error(error, "--ignore: ");
		return NULL;
	}
	if (options->policy && !dps_check_options_set_policy(check, options->policy, error)) {
		g_prefix_error(error, "%s: ", options->policy_path);
		return NULL;
	}
	return g_steal_pointer(&check);
}

static Facts *
check_target(const Target *target, const DpsCheckOptions *check, GError **error)
{
	g_autoptr(GPtrArray) findings = dps_check(target->disk, target->tree, check, error);

	return findings ? facts_new(target->disk, findings) : NULL;
}

static Facts *
check_disk(const Options *options, const char *path, gpointer data, GError **error)
{
	g_auto(Target) target = { 0 };

	if (!target_open(options, path, DPS_OPEN_READ_ONLY, &target, error))
		return NULL;

	return check_target(&target, data, error);
}

/* Whether its findings are enough for exit status 1. */
static gboolean
is_bad(const Options *options, const Facts *facts)
{
	return findings_count(facts->findings, DPS_SEVERITY_ERROR) > 0 ||
	       (options->strict && findings_count(facts->findings, DPS_SEVERITY_WARNING) > 0);
}

static void
print_facts(Screen *screen, const Facts *facts)
{
	if (!screen->is_quiet || findings_count(facts->findings, DPS_SEVERITY_ERROR) > 0)
		text_disk(screen, facts);
	report_check(screen, facts);
}

/* In the place of its findings, among others. */
static void
print_failure(Screen *screen, const Reading *reading)
{
	g_autofree char *path = screen_say(screen, reading->path);
	const char *message = reading->failure->message;
	size_t size = strlen(reading->path);

	if (screen->is_quiet)
		return;
	/* The heading names it. */
	if (strncmp(message, reading->path, size) == 0 && strncmp(message + size, ": ", 2) == 0)
		message += size + 2;
	screen_print(screen, "%s%s%s: %scould not be checked%s\n",
		     screen_begin(screen, SCREEN_STYLE_HEADING), path, screen_end(screen),
		     screen_begin(screen, SCREEN_STYLE_ERROR), screen_end(screen));
	text_paragraph(screen, "  ", message);
}

/* "12 disks: 9 without errors, 2 with errors, 1 not checked" */
static void
print_total(Screen *screen, guint n, guint n_with_errors, guint n_failed)
{
	guint n_without = n - n_with_errors - n_failed;

	screen_print(screen, "\n%u disks:", n);
	if (n_without > 0)
		screen_print(screen, " %u without errors", n_without);
	if (n_with_errors > 0)
		screen_print(screen, "%s %u with errors", n_without > 0 ? "," : "", n_with_errors);
	if (n_failed > 0)
		screen_print(screen, "%s %u that could not be checked", n > n_failed ? "," : "",
			     n_failed);
	screen_print(screen, "\n");
}

/* Without DISK: that of the tree, or why it has none. */
static int
run_on_tree(const Options *options, Screen *screen, const DpsCheckOptions *check, GError **error)
{
	g_auto(Target) target = { 0 };
	g_autoptr(Facts) facts = NULL;
	g_autofree char *document = NULL;
	g_autofree char *why = NULL;
	gboolean is_told;

	if (!target_open(options, NULL, DPS_OPEN_READ_ONLY, &target, error))
		return -1;
	if (target.disk) {
		facts = check_target(&target, check, error);
		if (!facts)
			return -1;
	}

	if (options->json) {
		JsonCheck *json = json_check_new();

		json_check_add(json, NULL, facts, NULL);
		document = json_check_finish(json);
		is_told = screen_write_document(screen, document, error);
	} else {
		if (facts) {
			print_facts(screen, facts);
		} else if (!screen->is_quiet) {
			why = target_describe_no_disk(&target);
			text_paragraph(screen, "", why);
		}
		is_told = screen_flush(screen, error);
	}
	if (!is_told)
		return -1;

	return facts && is_bad(options, facts) ? STATUS_SAID_NO : STATUS_OK;
}

/* Several disks: one that could not be checked hides nothing of the others, and is told of in its
 * place; its status counts more than theirs. */
static int
tell_several(const Options *options, Screen *screen, const Reading *readings, guint n,
	     GError **error)
{
	g_autofree char *document = NULL;
	JsonCheck *json = json_check_new();
	guint n_failed = 0, n_bad = 0, n_with_errors = 0;

	for (guint i = 0; i < n; i++) {
		const Reading *one = &readings[i];
		size_t before = screen->text->len;

		json_check_add(json, one->path, one->facts, one->failure);
		if (one->facts) {
			n_bad += is_bad(options, one->facts) ? 1 : 0;
			n_with_errors +=
				findings_count(one->facts->findings, DPS_SEVERITY_ERROR) > 0;
			print_facts(screen, one->facts);
		} else {
			n_failed++;
			print_failure(screen, one);
		}
		/* Between what two disks say; with --quiet many say nothing. */
		if (before > 0 && screen->text->len > before)
			g_string_insert_c(screen->text, (gssize)before, '\n');
	}
	document = json_check_finish(json);

	if (options->json) {
		if (!screen_write_document(screen, document, error))
			return -1;
	} else {
		if (!screen->is_quiet)
			print_total(screen, n, n_with_errors, n_failed);
		if (!screen_flush(screen, error))
			return -1;
	}

	/* Also for who keeps the report elsewhere. */
	for (guint i = 0; i < n; i++)
		if (readings[i].failure)
			screen_complain(screen, readings[i].failure->message);

	return n_failed > 0 ? STATUS_FAILED : n_bad > 0 ? STATUS_SAID_NO : STATUS_OK;
}

static int
tell_one(const Options *options, Screen *screen, const Reading *reading, GError **error)
{
	g_autofree char *document = NULL;
	JsonCheck *json;
	gboolean is_told;

	if (!reading->facts)
		return reading_tell(reading, options, screen, error);

	if (options->json) {
		json = json_check_new();
		json_check_add(json, reading->path, reading->facts, NULL);
		document = json_check_finish(json);
		is_told = screen_write_document(screen, document, error);
	} else {
		print_facts(screen, reading->facts);
		is_told = screen_flush(screen, error);
	}
	if (!is_told)
		return -1;

	return is_bad(options, reading->facts) ? STATUS_SAID_NO : STATUS_OK;
}

static int
run(const Options *options, Screen *screen, GError **error)
{
	g_autoptr(DpsCheckOptions) check = make_options(options, error);
	g_autofree Reading *readings = NULL;
	guint n = options->n_arguments;
	int status;

	if (!check)
		return -1;
	if (options->esp && n > 1) {
		g_set_error(error, DPS_ERROR, DPS_ERROR_INVALID,
			    "--esp %s: is the ESP of one disk: name one DISK", options->esp);
		return -1;
	}
	if (n == 0)
		return run_on_tree(options, screen, check, error);

	readings = g_new0(Reading, n);
	for (guint i = 0; i < n; i++)
		readings[i].path = options->arguments[i];
	readers_run(options, screen, check_disk, check, readings, n);
	status = n == 1 ? tell_one(options, screen, readings, error)
			: tell_several(options, screen, readings, n, error);
	for (guint i = 0; i < n; i++)
		reading_clear(&readings[i]);
	return status;
}

const Command command_check = {
	.id = COMMAND_CHECK,
	.name = "check",
	.arguments = "[DISK…]",
	.summary = "what is wrong with it",
	.about = "Checks what systemd, firmware and boot loaders rely on, and tells what is wrong\n"
		 "and what to do about it.  Writes nothing.  Exits with 1 when an error was found\n"
		 "(with --strict: or a warning).  The findings are explained in dps-findings(7).",
	.run = run,
};
