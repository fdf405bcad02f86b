/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <locale.h>
#include <signal.h>
#include "command.h"
#include "json.h"
#include "options.h"

/* In the order in which people need them. */
static const Command *const commands[] = {
	&command_apply, &command_plan, &command_check, &command_show,
	&command_types, &command_undo, NULL,
};

/* A call that makes no sense is the caller's to correct; everything else is the world's. */
static int
status_of(const GError *error)
{
	return g_error_matches(error, DPS_ERROR, DPS_ERROR_INVALID) ? STATUS_USAGE : STATUS_FAILED;
}

/* Tells people on stderr what went wrong, and programs on stdout. */
static int
fail(const Options *options, Screen *screen, const GError *error)
{
	int status = status_of(error);

	if (screen->has_broken_pipe)
		return status;

	screen_complain(screen, error->message);
	if (options->json && !screen->has_document) {
		g_autoptr(Failure) failure = failure_new(error);
		g_autofree char *document = json_failure(failure);

		/* When even that cannot be written, it was said above. */
		screen_write_document(screen, document, NULL);
	}

	return status;
}

static int
run(const Options *options, Screen *screen, GError **error)
{
	screen_set_color(screen, options->json ? SCREEN_COLOR_NEVER : options->color);
	screen->may_page = !options->no_pager && !options->json;
	screen->is_quiet = options->quiet;
	screen->is_verbose = options->verbose;

	/* Before anything is done that could not be told afterwards. */
	if ((!options->quiet || options->json) && !screen_require_open(error))
		return -1;

	if (options->version)
		screen_print(screen, "dps-tag %s\n", DPS_VERSION);
	else if (options->help)
		options_print_help(screen, commands, options->command);
	else
		return options->command->run(options, screen, error);

	return screen_flush(screen, error) ? STATUS_OK : -1;
}

/* Runs the command, and tells what went wrong. */
static int
run_and_tell(const Options *options, Screen *screen)
{
	g_autoptr(GError) error = NULL;
	int status = run(options, screen, &error);

	return status < 0 ? fail(options, screen, error) : status;
}

int
main(int argc, char **argv)
{
	g_autoptr(Screen) screen = NULL;
	g_autoptr(GError) error = NULL;
	g_auto(Options) options = { 0 };

	screen_hold_standard_descriptors();
	setlocale(LC_ALL, "");
	/* A reader that went away is an answer of write(2), not a death in the middle of a change.
	 */
	signal(SIGPIPE, SIG_IGN);
	/* Nor is a limit of file sizes (`ulimit -f`): the write fails, and what was written is put
	 * back. */
	signal(SIGXFSZ, SIG_IGN);

	screen = screen_new();
	if (!options_parse(argc, argv, commands, &options, &error))
		return fail(&options, screen, error);

	return run_and_tell(&options, screen);
}
