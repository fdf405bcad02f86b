/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "command.h"

#include "apply.h"

static int
run(const Options *options, Screen *screen, GError **error)
{
	g_auto(Target) target = { 0 };
	g_autoptr(DpsBackup) backup = NULL;
	g_autoptr(DpsPlan) plan = NULL;
	Options how = *options;
	const char *disk;
	int status = -1;

	if (options->n_arguments < 1 || options->n_arguments > 2) {
		g_set_error_literal(
			error, DPS_ERROR, DPS_ERROR_INVALID,
			"undo: wants the BACKUP that apply wrote, and the DISK when it is "
			"elsewhere now");
		return -1;
	}

	backup = dps_backup_open(options->arguments[0], error);
	if (!backup)
		return -1;

	disk = options->n_arguments == 2 ? options->arguments[1] : dps_backup_get_disk_path(backup);
	target.disk = dps_disk_open_with_sector_size(disk, DPS_OPEN_WRITABLE | options->lock,
						     options->sector_size, error);
	if (!target.disk) {
		/* One that is there, and locked or not to be opened, is not elsewhere. */
		if (options->n_arguments == 1 && error &&
		    g_error_matches(*error, DPS_ERROR, DPS_ERROR_NOT_FOUND))
			g_prefix_error(error, "%s: name the DISK, it is not where it was: ",
				       options->arguments[0]);
		return -1;
	}

	/* How it was before is not ours to judge. */
	how.no_check = TRUE;
	screen->may_page = FALSE;
	plan = dps_plan_new_from_backup(target.disk, backup, error);
	if (plan)
		status = apply_plan(&how, screen, &target, plan, "none", error);
	if (status < 0)
		target_tell_finished(&target, error);
	return status;
}

const Command command_undo = {
	.id = COMMAND_UNDO,
	.name = "undo",
	.arguments = "BACKUP [DISK]",
	.summary = "put back what apply changed",
	.about = "Puts back what apply changed: BACKUP is the file that it wrote.  DISK is needed\n"
		 "when the disk is elsewhere now.  Another disk is refused, and so is one whose\n"
		 "changed partitions were changed again since.",
	.run = run,
};
