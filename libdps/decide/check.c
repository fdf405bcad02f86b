/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/check.h"
#include "decide/finding.h"
#include "decide/winner.h"
#include "ground/error.h"
#include "ground/types.h"
#include "target/image.h"

struct _DpsCheckOptions {
	DpsArch arch;
};

DpsCheckOptions *
dps_check_options_new(void)
{
	return g_new0(DpsCheckOptions, 1);
}

void
dps_check_options_free(DpsCheckOptions *options)
{
	g_free(options);
}

void
dps_check_options_set_arch(DpsCheckOptions *options, DpsArch arch)
{
	g_return_if_fail(options != NULL);

	options->arch = arch;
}

static void G_GNUC_PRINTF(5, 0)
add_finding(DpsCheck *check, DpsSeverity severity, guint partition, const char *hint,
	    const char *format, va_list args)
{
	g_autofree char *message = g_strdup_vprintf(format, args);

	g_ptr_array_add(check->findings, dps_finding_new(check->rule->code, severity, partition,
							 NULL, hint, "%s", message));
}

void
dps_check_report(DpsCheck *check, guint partition, const char *hint, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add_finding(check, check->rule->severity, partition, hint, format, args);
	va_end(args);
}

void
dps_check_report_as(DpsCheck *check, DpsSeverity severity, guint partition, const char *hint,
		    const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add_finding(check, severity, partition, hint, format, args);
	va_end(args);
}

DpsPartition *
dps_check_next_of_role(DpsCheck *check, DpsRole role, DpsPartition *after)
{
	for (guint i = 0; i < dps_disk_get_n_partitions(check->disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(check->disk, i);

		if ((!after || partition->number > after->number) && partition->type &&
		    partition->type->role == role)
			return partition;
	}
	return NULL;
}

DpsPartition *
dps_check_get_root(DpsCheck *check)
{
	g_autoptr(GArray) candidates = g_array_new(FALSE, FALSE, sizeof(DpsRootCandidate));

	for (DpsPartition *root = dps_check_next_of_role(check, DPS_ROLE_ROOT, NULL); root;
	     root = dps_check_next_of_role(check, DPS_ROLE_ROOT, root)) {
		DpsRootCandidate candidate = { root->number, root->label };

		if (root->type->arch == check->arch && !(root->attributes & DPS_FLAG_NO_AUTO))
			g_array_append_val(candidates, candidate);
	}
	if (candidates->len == 0)
		return NULL;

	return dps_disk_get_partition_by_number(
		check->disk, dps_root_winner((const DpsRootCandidate *)(void *)candidates->data,
					     candidates->len));
}

/* The first of: what the caller says, the tree's programs, the only root type on the disk. */
static void
find_arch(DpsCheck *check, const DpsCheckOptions *options)
{
	DpsPartition *root = dps_check_next_of_role(check, DPS_ROLE_ROOT, NULL);

	if (options && options->arch != DPS_ARCH_NONE) {
		check->arch = options->arch;
		check->arch_reason = "as asked for";
	} else if (check->tree && dps_tree_get_arch(check->tree) != DPS_ARCH_NONE) {
		check->arch = dps_tree_get_arch(check->tree);
		check->arch_reason = "of the tree's programs";
	} else if (root) {
		check->arch = root->type->arch;
		check->arch_reason = "of the first root type";
	}
}

static gint
worst_first(gconstpointer a, gconstpointer b)
{
	DpsFinding *x = *(DpsFinding *const *)a, *y = *(DpsFinding *const *)b;

	if (dps_finding_get_severity(x) != dps_finding_get_severity(y))
		return (gint)dps_finding_get_severity(y) - (gint)dps_finding_get_severity(x);

	return (gint)dps_finding_get_partition(x) - (gint)dps_finding_get_partition(y);
}

GPtrArray *
dps_check(DpsDisk *disk, DpsTree *tree, const DpsCheckOptions *options, GError **error)
{
	static const DpsRule *const tables[] = { dps_rules_gpt, dps_rules_esp, dps_rules_root };
	g_autoptr(GPtrArray) findings =
		g_ptr_array_new_with_free_func((GDestroyNotify)dps_finding_unref);
	DpsCheck check = { .disk = disk, .tree = tree, .findings = findings };
	g_autoptr(DpsTree) own = NULL;

	g_return_val_if_fail(disk != NULL, NULL);

	/* What the system on the disk says of itself: its architecture, its fstab. */
	if (!tree)
		check.tree = own = dps_image_find_tree(disk);

	find_arch(&check, options);
	for (guint i = 0; i < G_N_ELEMENTS(tables); i++)
		for (check.rule = tables[i]; check.rule->code; check.rule++)
			check.rule->run(&check);

	g_ptr_array_sort(findings, worst_first);
	return g_steal_pointer(&findings);
}
