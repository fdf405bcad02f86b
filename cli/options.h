/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "command.h"

/**
 * options_parse:
 * @argc: as main() has it
 * @argv: as main() has it; permuted, so that arguments come last
 * @commands: all commands, ends in NULL
 * @out: set always: --json is understood whatever else is wrong
 * @error: %DPS_ERROR_INVALID: what is wrong with the first thing that is
 *
 * Returns: whether all of it makes sense
 */
gboolean options_parse(int argc, char **argv, const Command *const *commands, Options *out,
		       GError **error);

/* What options_parse() allocated. */
void options_clear(Options *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_clear)

/* The manual in short: of everything (@command is NULL) or of one command. */
void options_print_help(Screen *screen, const Command *const *commands, const Command *command);
