/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "apply.h"

#include <signal.h>
#include "json.h"
#include "report.h"

/* The signals by which people and service managers end a program. */
static const int ending_signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };

/* Whether @signal is waiting and will end us; one that is ignored (nohup) will not. */
static gboolean
will_end(int signal, const sigset_t *pending, const sigset_t *blocked)
{
	struct sigaction action;

	return sigismember(pending, signal) == 1 && sigismember(blocked, signal) == 0 &&
	       sigaction(signal, NULL, &action) == 0 && action.sa_handler != SIG_IGN;
}

/* Applies without being ended half way.  A signal that came meanwhile is told of and then does what
 * it does; the disk is whole by then. */
static gboolean
apply_whole(Screen *screen, Target *target, DpsPlan *plan, const char *backup, GError **error)
{
	sigset_t ending, before, pending;
	gboolean ok, is_interrupted = FALSE;

	sigemptyset(&ending);
	for (guint i = 0; i < G_N_ELEMENTS(ending_signals); i++)
		sigaddset(&ending, ending_signals[i]);

	sigprocmask(SIG_BLOCK, &ending, &before);
	ok = dps_plan_apply(plan, backup, error);
	sigpending(&pending);
	for (guint i = 0; i < G_N_ELEMENTS(ending_signals); i++)
		is_interrupted |= will_end(ending_signals[i], &pending, &before);

	if (is_interrupted && ok) {
		g_autofree char *undo = dps_plan_get_backup(plan) ? report_undo(plan) : NULL;
		g_autofree char *message =
			g_strdup_printf("interrupted: all changes were finished first%s%s",
					undo ? ": " : "", undo ? undo : "");

		screen_complain(screen, message);
	} else if (is_interrupted && error && *error) {
		target_tell_finished(target, error);
		screen_complain(screen, (*error)->message);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);

	return ok;
}

/* What was written stays written when nobody can be told: say so on the other channel. */
static int
finish(gboolean is_told, DpsPlan *plan, int status, GError **error)
{
	if (is_told)
		return status;

	if (dps_plan_get_applied(plan))
		g_prefix_error(error, "%s: was changed as planned, but: ",
			       dps_disk_get_path(dps_plan_get_disk(plan)));
	return -1;
}

int
apply_plan(const Options *options, Screen *screen, Target *target, DpsPlan *plan,
	   const char *backup, GError **error)
{
	g_autoptr(GPtrArray) findings =
		g_ptr_array_new_with_free_func((GDestroyNotify)dps_finding_unref);
	g_autoptr(GPtrArray) found = NULL;
	g_autofree char *document = NULL;
	int status = STATUS_OK;
	guint n_told = 0;

	if (!options->json) {
		report_plan(screen, target, plan);
		n_told = dps_plan_get_findings(plan)->len;
		/* Who cannot be told what will happen may not want it to happen. */
		if (!screen_flush(screen, error))
			return -1;
	}

	if (target->disk) {
		if (!apply_whole(screen, target, plan, backup, error))
			return -1;
		if (!options->json)
			report_applied(screen, plan);
	}

	if (target->disk && !options->no_check) {
		g_autoptr(DpsCheckOptions) check = dps_check_options_new();
		g_autoptr(GError) local = NULL;

		dps_check_options_set_arch(check, dps_plan_get_arch(plan));
		found = dps_check(target->disk, target->tree, check, &local);
		if (!found) {
			g_propagate_prefixed_error(error, g_steal_pointer(&local),
						   "%s, but its check could not be done: ",
						   dps_plan_get_applied(plan)
							   ? "changed as planned"
							   : "nothing to change");
			return -1;
		}
		if (options->strict && report_has_error(found))
			status = STATUS_SAID_NO;
	}

	/* In text the plan's own were shown with it; what writing added (udev) was not. */
	for (guint i = n_told; i < dps_plan_get_findings(plan)->len; i++)
		g_ptr_array_add(findings,
				dps_finding_ref(g_ptr_array_index(dps_plan_get_findings(plan), i)));
	if (found)
		report_add_findings(findings, found);

	if (options->json) {
		document = json_applied(plan, findings);
		return finish(screen_write_document(screen, document, error), plan, status, error);
	}

	if (findings->len > 0 && !screen->is_quiet)
		screen_print(screen, "\n");
	report_findings(screen, findings);
	return finish(screen_flush(screen, error), plan, status, error);
}
