/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "command.h"

#include "json.h"
#include "report.h"
#include "text.h"

/* One disk's findings. */
typedef struct {
	Target target;
	GPtrArray *findings;
} Checked;

static void
checked_free(Checked *self)
{
	target_clear(&self->target);
	g_clear_pointer(&self->findings, g_ptr_array_unref);
	g_free(self);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Checked, checked_free)

static Checked *
check_one(const Options *options, const char *path, GError **error)
{
	g_autoptr(Checked) self = g_new0(Checked, 1);
	g_autoptr(DpsCheckOptions) check = dps_check_options_new();

	if (!target_open(options, path, DPS_OPEN_READ_ONLY, &self->target, error))
		return NULL;

	if (!self->target.disk) {
		self->findings = g_ptr_array_new();
		return g_steal_pointer(&self);
	}

	dps_check_options_set_arch(check, options->arch);
	self->findings = dps_check(self->target.disk, self->target.tree, check, error);
	return self->findings ? g_steal_pointer(&self) : NULL;
}

static void
print_one(Screen *screen, const Checked *self)
{
	g_autofree char *why = NULL;

	if (!self->target.disk) {
		why = target_describe_no_disk(&self->target);
		if (!screen->is_quiet)
			text_paragraph(screen, "", why);
		return;
	}

	if (!screen->is_quiet || self->findings->len > 0)
		text_disk(screen, self->target.disk);
	if (!screen->is_quiet && self->findings->len == 0)
		screen_print(screen, "Nothing to say against it.\n");
	report_findings(screen, self->findings);
}

/* Whether @findings are enough for exit status 1. */
static gboolean
is_bad(const Options *options, GPtrArray *findings)
{
	DpsSeverity worst = options->strict ? DPS_SEVERITY_WARNING : DPS_SEVERITY_ERROR;

	for (guint i = 0; i < findings->len; i++)
		if (dps_finding_get_severity(g_ptr_array_index(findings, i)) >= worst)
			return TRUE;

	return FALSE;
}

static int
run(const Options *options, Screen *screen, GError **error)
{
	g_autoptr(GError) failure = NULL;
	g_autofree char *document = NULL;
	JsonCheck *json = json_check_new();
	guint n = MAX(options->n_arguments, 1);
	int status = STATUS_OK;
	gboolean is_told;

	/* A disk that cannot be read must not hide what is wrong with the others. */
	for (guint i = 0; i < n; i++) {
		g_autoptr(GError) local = NULL;
		g_autoptr(Checked) one = check_one(
			options, options->n_arguments > 0 ? options->arguments[i] : NULL, &local);

		if (!one) {
			if (failure)
				screen_complain(screen, local->message);
			else
				failure = g_steal_pointer(&local);
			continue;
		}
		if (is_bad(options, one->findings))
			status = STATUS_SAID_NO;
		if (options->json) {
			json_check_add(json, one->target.disk, one->findings);
			continue;
		}
		if (i > 0 && screen->text->len > 0)
			screen_print(screen, "\n");
		print_one(screen, one);
	}

	document = json_check_finish(json, n > 1 ? failure : NULL);
	if (!options->json) {
		is_told = screen_flush(screen, error);
	} else if (failure && n == 1) {
		is_told = TRUE; /* the document of the failure is enough */
	} else {
		is_told = screen_write_document(screen, document, error);
	}
	if (!is_told)
		return -1;
	if (failure) {
		screen->has_document = options->json && n > 1;
		g_propagate_error(error, g_steal_pointer(&failure));
		return -1;
	}

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
