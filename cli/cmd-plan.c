/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "command.h"

#include "apply.h"
#include "assignment.h"
#include "json.h"
#include "report.h"

/* Takes [DISK] [ASSIGNMENT…] apart. */
static GPtrArray *
read_arguments(const Options *options, const char **disk, GError **error)
{
	guint first = 0;

	*disk = NULL;
	if (options->n_arguments > 0 && !assignment_is_meant(options->arguments[0])) {
		*disk = options->arguments[0];
		first = 1;
	}
	for (guint i = first; i < options->n_arguments; i++) {
		if (!assignment_is_meant(options->arguments[i])) {
			g_set_error(error, DPS_ERROR, DPS_ERROR_INVALID,
				    "%s: not an assignment: it is ROLE=PARTITION, as in root=3, "
				    "and one DISK may go before",
				    options->arguments[i]);
			return NULL;
		}
	}

	return assignment_parse_all(options->arguments + first, options->n_arguments - first,
				    error);
}

static gboolean
assign(DpsPlan *plan, DpsDisk *disk, GPtrArray *assignments, GError **error)
{
	for (guint i = 0; i < assignments->len; i++) {
		const Assignment *one = g_ptr_array_index(assignments, i);
		DpsPartition *partition = dps_disk_find_partition(disk, one->partition, error);

		if (!partition || !dps_plan_assign(plan, one->role, one->arch,
						   dps_partition_get_number(partition), one->set,
						   one->clear, error))
			return FALSE;
	}

	return TRUE;
}

/* What both commands begin with: a plan that is prepared. */
static DpsPlan *
make_plan(const Options *options, DpsOpenFlags flags, Target *target, GError **error)
{
	g_autoptr(GPtrArray) assignments = NULL;
	g_autoptr(DpsPlan) plan = NULL;
	const char *disk;

	assignments = read_arguments(options, &disk, error);
	if (!assignments || !target_open(options, disk, flags, target, error))
		return NULL;

	if (!target->disk && assignments->len > 0) {
		g_set_error(error, DPS_ERROR, DPS_ERROR_NOT_FOUND,
			    "%s: %s: name the DISK before the assignments",
			    dps_tree_get_path(target->tree), target->why);
		return NULL;
	}

	plan = dps_plan_new(target->disk, target->tree, error);
	if (!plan)
		return NULL;
	dps_plan_set_arch(plan, options->arch);
	dps_plan_set_force(plan, options->force);
	if (options->btrfs_default)
		dps_plan_set_btrfs_default(plan, options->btrfs_default);
	dps_plan_set_names(plan, options->names);
	if (!dps_plan_set_root_hash(plan, options->root_hash, error) ||
	    !dps_plan_set_usr_hash(plan, options->usr_hash, error) ||
	    !dps_plan_set_machine_id(plan, options->machine_id, error))
		return NULL;

	if (assignments->len > 0 ? !assign(plan, target->disk, assignments, error)
				 : !dps_plan_detect(plan, error))
		return NULL;
	if (!dps_plan_prepare(plan, error))
		return NULL;

	return g_steal_pointer(&plan);
}

static int
run_plan(const Options *options, Screen *screen, GError **error)
{
	g_auto(Target) target = { 0 };
	g_autoptr(DpsPlan) plan = make_plan(options, DPS_OPEN_READ_ONLY, &target, error);
	g_autofree char *document = NULL;
	gboolean is_told;

	if (!plan)
		return -1;

	if (options->json) {
		document = json_plan(plan);
		is_told = screen_write_document(screen, document, error);
	} else {
		report_plan(screen, &target, plan);
		is_told = screen_flush(screen, error);
	}
	if (!is_told)
		return -1;

	return dps_plan_get_changes(plan)->len > 0 ? STATUS_SAID_NO : STATUS_OK;
}

static int
run_apply(const Options *options, Screen *screen, GError **error)
{
	g_auto(Target) target = { 0 };
	g_autoptr(DpsPlan) plan = make_plan(options, DPS_OPEN_WRITABLE, &target, error);
	int status = -1;

	/* Not in the middle of something that asks to be read to its end. */
	screen->may_page = FALSE;
	if (plan)
		status = apply_plan(options, screen, &target, plan, options->backup, error);
	if (status < 0)
		target_tell_finished(&target, error);
	return status;
}

const Command command_plan = {
	.id = COMMAND_PLAN,
	.name = "plan",
	.arguments = "[DISK] [ASSIGNMENT…]",
	.summary = "what apply would do, and change nothing",
	.about = "Shows what apply would change, and why.  Writes nothing; exits with 1 when\n"
		 "there is something to change.  DISK and ASSIGNMENT are those of apply.",
	.run = run_plan,
};

const Command command_apply = {
	.id = COMMAND_APPLY,
	.name = "apply",
	.arguments = "[DISK] [ASSIGNMENT…]",
	.summary = "plan, write, verify, check",
	.about = "Gives partitions the types that the Discoverable Partitions Specification has\n"
		 "for what they are, and makes root's subvolume the default of its btrfs.\n"
		 "\n"
		 "DISK is a block device or an image file; without it the disk that holds the\n"
		 "root directory (--root, else /).\n"
		 "\n"
		 "ASSIGNMENT is ROLE[:ARCH]=PARTITION[,FLAG…]: PARTITION a number, a device\n"
		 "node, LABEL=, UUID=, PARTLABEL= or PARTUUID=; FLAG read-only, growfs or no-auto\n"
		 "(to clear: no-read-only, no-growfs, auto).  Without any they are found out.\n"
		 "For example:\n"
		 "\n"
		 "  dps-tag apply disk.raw esp=1 root:aarch64=3,growfs home=LABEL=home",
	.run = run_apply,
};
