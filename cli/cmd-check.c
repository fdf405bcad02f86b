/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "command.h"

#include <stdio.h>
#include <unistd.h>
#include "json.h"
#include "report.h"
#include "text.h"

/* One disk, its findings, or why there are none. */
typedef struct {
	const char *path; /* NULL: the tree's */
	Target target;
	GPtrArray *findings; /* NULL: not checked, see error */
	GError *error;
} Checked;

/* All of them, and how far it is. */
typedef struct {
	const Options *options;
	const DpsCheckOptions *check;
	GMutex lock; /* over n_done */
	guint n, n_done;
	gboolean has_progress;
} Work;

static void
checked_clear(Checked *self)
{
	target_clear(&self->target);
	g_clear_pointer(&self->findings, g_ptr_array_unref);
	g_clear_error(&self->error);
}

static void
check_one(gpointer data, gpointer user_data)
{
	Checked *self = data;
	Work *work = user_data;

	if (!target_open(work->options, self->path, DPS_OPEN_READ_ONLY, &self->target,
			 &self->error))
		self->findings = NULL;
	else if (!self->target.disk)
		self->findings = g_ptr_array_new();
	else
		self->findings =
			dps_check(self->target.disk, self->target.tree, work->check, &self->error);

	g_mutex_lock(&work->lock);
	work->n_done++;
	if (work->has_progress)
		(void)fprintf(stderr, "\r%u of %u%s", work->n_done, work->n,
			      work->n_done < work->n ? "" : "\r\033[K");
	g_mutex_unlock(&work->lock);
}

/* Every disk, --jobs at a time: objects of different disks share nothing. */
static void
check_all(Work *work, Checked *disks)
{
	guint jobs = MIN(MAX(work->options->jobs, 1), work->n);
	GThreadPool *pool = NULL;

	if (jobs > 1)
		pool = g_thread_pool_new(check_one, work, (gint)jobs, TRUE, NULL);
	for (guint i = 0; i < work->n; i++)
		if (!pool || !g_thread_pool_push(pool, &disks[i], NULL))
			check_one(&disks[i], work);
	if (pool)
		g_thread_pool_free(pool, FALSE, TRUE);
}

static DpsCheckOptions *
make_options(const Options *options, GError **error)
{
	g_autoptr(DpsCheckOptions) check = dps_check_options_new();

	dps_check_options_set_arch(check, options->arch);
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
		g_prefix_error(error, "--policy: ");
		return NULL;
	}
	return g_steal_pointer(&check);
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

	if (!screen->is_quiet || report_has_error(self->findings))
		text_disk(screen, self->target.disk);
	report_check(screen, self->target.disk, self->findings);
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
	guint n = MAX(options->n_arguments, 1);
	g_autoptr(DpsCheckOptions) check = make_options(options, error);
	g_autoptr(GError) failure = NULL;
	g_autofree char *document = NULL;
	g_autofree Checked *disks = g_new0(Checked, n);
	Work work = {
		.options = options,
		.check = check,
		.n = n,
		.has_progress = n > 1 && !options->quiet && isatty(STDERR_FILENO),
	};
	JsonCheck *json;
	int status = STATUS_OK;
	gboolean is_told;

	if (!check)
		return -1;

	for (guint i = 0; i < options->n_arguments; i++)
		disks[i].path = options->arguments[i];
	g_mutex_init(&work.lock);
	check_all(&work, disks);
	g_mutex_clear(&work.lock);

	/* A disk that cannot be read must not hide what is wrong with the others. */
	json = json_check_new();
	for (guint i = 0; i < n; i++) {
		Checked *one = &disks[i];

		if (!one->findings) {
			if (failure)
				screen_complain(screen, one->error->message);
			else
				failure = g_steal_pointer(&one->error);
		} else {
			if (is_bad(options, one->findings))
				status = STATUS_SAID_NO;
			if (options->json) {
				json_check_add(json, one->target.disk, one->findings);
			} else {
				if (i > 0 && screen->text->len > 0)
					screen_print(screen, "\n");
				print_one(screen, one);
			}
		}
		checked_clear(one);
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
