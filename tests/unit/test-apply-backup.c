/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dps/check.h>
#include "apply-disk.h"
#include "fault.h"
#include "ground/error.h"
#include "made-up-system.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where the backup of a run goes, and which older one is of the same job. */

/* An older backup of the same run is kept also when this run fails; another one is not ours. */
static void
test_older_backup(Fixture *self, gconstpointer data)
{
	g_autoptr(DpsDisk) disk = open_disk(self);
	g_autoptr(DpsPlan) plan = make_plan(disk);
	g_autoptr(GError) error = NULL;
	g_autofree char *text = NULL, *kept = NULL;
	static const char *const spoilt[][2] = {
		{ "d1d1d1d1-d1d1", "d2d1d1d1-d1d1" }, /* of another disk */
		{ "\"partition\": 4", "\"partition\": 3" },
		{ "a4a4a4a4", "a5a4a4a4" }, /* of another partition */
		{ "12121212", "12121213" }, /* from what it never was */
		{ "933ac7e1", "933ac7e2" }, /* to something else */
		{ "\"start\": 256000", "\"start\": 256512" },
		{ "\"kind\": \"flags\"", "\"kind\": \"name\"" },
	};

	g_assert_true(dps_plan_prepare(plan, &error));
	text = dps_backup_write(plan, "2026-01-01T00:00:00Z");
	g_clear_pointer(&plan, dps_plan_unref);
	g_clear_pointer(&disk, dps_disk_unref);

	for (guint i = 0; i < G_N_ELEMENTS(spoilt); i++) {
		g_auto(GStrv) parts = g_strsplit(text, spoilt[i][0], -1);
		g_autofree char *other = g_strjoinv(spoilt[i][1], parts);
		g_autoptr(GError) refused = NULL;

		g_test_message("%s", spoilt[i][0]);
		g_assert_cmpuint(g_strv_length(parts), >, 1);
		g_assert_true(g_file_set_contents(self->backup, other, -1, NULL));
		g_assert_cmpint(g_chmod(self->backup, 0600), ==, 0);
		g_assert_false(apply(self, self->backup, &refused));
		g_assert_error(refused, DPS_ERROR, DPS_ERROR_REFUSED);
		g_assert_nonnull(strstr(refused->message, "nothing was changed"));
		assert_disk(self, OLD);
	}

	g_assert_true(g_file_set_contents(self->backup, text, -1, NULL));
	g_assert_cmpint(g_chmod(self->backup, 0600), ==, 0);
	fault_set("flush disk.raw", 1, EIO);
	g_assert_false(apply(self, self->backup, &error));
	g_assert_true(fault_clear());
	g_assert_nonnull(strstr(error->message, "nothing was changed"));
	g_clear_error(&error);
	g_assert_true(g_file_get_contents(self->backup, &kept, NULL, NULL));
	g_assert_cmpstr(kept, ==, text);

	/* It may not have reached the medium: nothing is begun before it has. */
	fault_set("flush backup.json", 1, EIO);
	g_assert_false(apply(self, self->backup, &error));
	g_assert_true(fault_clear());
	g_assert_error(error, DPS_ERROR, DPS_ERROR_IO);
	g_assert_nonnull(strstr(error->message, "nothing was changed"));
	g_clear_error(&error);
	assert_disk(self, OLD);
	g_assert_true(has_backup(self));

	g_assert_true(apply(self, self->backup, &error));
	g_assert_no_error(error);
	assert_disk(self, NEW);
}

/* A copy of the disk has its identifier, and what was kept of the disk is not of the copy. */
static void
test_backup_of_a_copy(Fixture *self, gconstpointer data)
{
	g_autofree char *original = g_build_filename(self->dir, "original.raw", NULL);
	g_autofree char *link = g_build_filename(self->dir, "link.raw", NULL);
	g_autoptr(GError) error = NULL;

	g_assert_true(apply(self, self->backup, &error));
	g_assert_no_error(error);
	g_assert_cmpint(g_rename(self->path, original), ==, 0);
	put_disk(self);
	change_backup(self, self->path, original);
	g_assert_false(apply(self, self->backup, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_REFUSED);
	g_assert_nonnull(strstr(error->message, "is there already"));
	g_clear_error(&error);
	assert_disk(self, OLD);

	/* The same disk by another name. */
	g_assert_cmpint(symlink(self->path, link), ==, 0);
	change_backup(self, original, link);
	g_assert_true(apply(self, self->backup, &error));
	g_assert_no_error(error);
	assert_disk(self, NEW);
	g_assert_cmpint(g_unlink(link), ==, 0);
	g_assert_cmpint(g_unlink(original), ==, 0);
}

/* Runs are of the same job when all of it is in the file, and the rest of it is still to be done.
 */
static void
test_backup_of_another_job(Fixture *self, gconstpointer data)
{
	static const guint removed[] = { 1, 4 };

	for (guint i = 0; i < G_N_ELEMENTS(removed); i++) {
		g_autoptr(DpsDisk) disk = NULL;
		g_autoptr(DpsPlan) part = NULL, whole = NULL;
		g_autoptr(GError) error = NULL;
		g_autofree char *text = NULL;

		/* By hand, or by a run of its own: the backup of all would take it back too. */
		put_disk(self);
		disk = open_disk(self);
		whole = make_plan(disk);
		g_assert_true(dps_plan_prepare(whole, &error));
		text = dps_backup_write(whole, "2026-01-01T00:00:00Z");
		g_assert_true(g_file_set_contents(self->backup, text, -1, NULL));
		g_assert_cmpint(g_chmod(self->backup, 0600), ==, 0);
		part = dps_plan_new(disk, NULL, &error);
		g_assert_true(dps_plan_assign(part, i == 0 ? DPS_ROLE_ESP : DPS_ROLE_HOME,
					      DPS_ARCH_NONE, removed[i], 0, 0, &error));
		g_assert_true(dps_plan_apply(part, "none", &error));
		g_clear_pointer(&part, dps_plan_unref);
		g_clear_pointer(&whole, dps_plan_unref);
		g_clear_pointer(&disk, dps_disk_unref);
		g_assert_false(apply(self, self->backup, &error));
		g_assert_error(error, DPS_ERROR, DPS_ERROR_REFUSED);
		g_clear_error(&error);

		/* One of a smaller job would not take all of this one back. */
		put_disk(self);
		g_unlink(self->backup);
		disk = open_disk(self);
		part = dps_plan_new(disk, NULL, &error);
		g_assert_true(dps_plan_assign(part, i == 0 ? DPS_ROLE_ESP : DPS_ROLE_HOME,
					      DPS_ARCH_NONE, removed[i], 0, 0, &error));
		g_assert_true(dps_plan_prepare(part, &error));
		g_clear_pointer(&text, g_free);
		text = dps_backup_write(part, "2026-01-01T00:00:00Z");
		g_assert_true(g_file_set_contents(self->backup, text, -1, NULL));
		g_assert_cmpint(g_chmod(self->backup, 0600), ==, 0);
		g_clear_pointer(&part, dps_plan_unref);
		g_clear_pointer(&disk, dps_disk_unref);
		g_assert_false(apply(self, self->backup, &error));
		g_assert_error(error, DPS_ERROR, DPS_ERROR_REFUSED);
		assert_disk(self, OLD);
	}
}

enum { OF_ESP = 1, OF_ROOT = 2, OF_HOME = 4 };

/* A part of the job, with this default; it is applied when there is a name for its backup. */
static void
do_part(Fixture *self, guint parts, const char *subvolume, const char *backup, gboolean write_only)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsDisk) disk = open_disk(self);
	g_autoptr(DpsPlan) plan = dps_plan_new(disk, NULL, &error);
	g_autofree char *text = NULL;

	dps_plan_set_arch(plan, DPS_ARCH_X86_64);
	if (subvolume)
		dps_plan_set_btrfs_default(plan, subvolume);
	if (parts & OF_ESP)
		dps_plan_assign(plan, DPS_ROLE_ESP, DPS_ARCH_NONE, 1, 0, 0, &error);
	if (parts & OF_ROOT)
		dps_plan_assign(plan, DPS_ROLE_ROOT, DPS_ARCH_NONE, 2, DPS_FLAG_GROWFS, 0, &error);
	if (parts & OF_HOME)
		dps_plan_assign(plan, DPS_ROLE_HOME, DPS_ARCH_NONE, 4, 0, 0, &error);
	g_assert_no_error(error);
	g_assert_true(dps_plan_prepare(plan, &error));
	if (!write_only) {
		dps_plan_apply(plan, backup, &error);
		g_assert_no_error(error);
		return;
	}
	text = dps_backup_write(plan, "2026-01-01T00:00:00Z");
	g_assert_true(g_file_set_contents(self->backup, text, -1, NULL));
	g_assert_cmpint(g_chmod(self->backup, 0600), ==, 0);
}

/* The job's own backup is there, and a part of the job was done by somebody: a run of ours that was
 * cut off leaves the defaults, or all. */
static void
test_partly_done(Fixture *self, gconstpointer data)
{
	static const struct {
		guint parts; /* that are done */
		gboolean then_default_back;
		gboolean is_ours;
	} rows[] = {
		{ 0, FALSE, TRUE },
		{ OF_ROOT | OF_ESP, FALSE, FALSE },
		{ OF_ESP | OF_ROOT | OF_HOME, TRUE, FALSE },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;

		put_disk(self);
		do_part(self, OF_ESP | OF_ROOT | OF_HOME, "root", NULL, TRUE);
		do_part(self, rows[i].parts, "root", "none", FALSE);
		if (rows[i].then_default_back)
			do_part(self, OF_ROOT, "/", "none", FALSE);
		g_assert_cmpint(apply(self, self->backup, &error), ==, rows[i].is_ours);
		if (!rows[i].is_ours)
			g_assert_error(error, DPS_ERROR, DPS_ERROR_REFUSED);
	}
}

/* Of a part of this job: the entries of one partition are not those of another. */
static void
test_of_another_partition(Fixture *self, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsDisk) disk = NULL;
	g_autoptr(DpsPlan) plan = NULL;

	do_part(self, OF_ESP, NULL, NULL, TRUE);
	disk = open_disk(self);
	plan = dps_plan_new(disk, NULL, &error);
	g_assert_true(dps_plan_assign(plan, DPS_ROLE_ESP, DPS_ARCH_NONE, 1, 0, 0, &error));
	g_assert_true(dps_plan_assign(plan, DPS_ROLE_HOME, DPS_ARCH_NONE, 4, 0, 0, &error));
	g_assert_false(dps_plan_apply(plan, self->backup, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_REFUSED);
	assert_disk(self, OLD);
}

/* Cut off behind the default, and then the image was moved: it is this one's backup all the same.
 */
static void
test_moved_after_a_crash(Fixture *self, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *path = g_strconcat(self->path, ".moved", NULL);

	fault_set_from("write disk.raw", 5, EIO);
	g_assert_false(apply(self, self->backup, &error));
	g_assert_true(fault_clear());
	g_clear_error(&error);
	g_assert_cmpint(g_rename(self->path, path), ==, 0);
	g_free(self->path);
	self->path = g_steal_pointer(&path);
	g_assert_true(apply(self, self->backup, &error));
	g_assert_no_error(error);
	assert_disk(self, NEW);
	g_assert_true(undo(self, &error));
	assert_disk(self, OLD);
}

/* To finish a table there is nothing to keep, and what was kept is told of when it is of this job.
 */
static void
test_of_a_table(Fixture *self, gconstpointer data)
{
	/* An entry of a partition that is not there, and so has no flags either. */
	static const char *more =
		"\"changes\": [{\"kind\": \"flags\", \"partition\": 3, \"start\": 1048576, "
		"\"uuid\": \"a3a3a3a3-a3a3-a3a3-a3a3-a3a3a3a3a3a3\", "
		"\"from\": \"0x8000000000000000\", \"to\": \"0x0000000000000000\"},";

	for (guint i = 0; i < 2; i++) {
		g_autoptr(GError) error = NULL;
		g_autoptr(DpsDisk) disk = NULL;
		g_autoptr(DpsPlan) plan = NULL;

		put_disk(self);
		g_unlink(self->backup);
		fault_set_from("write disk.raw", 9, EIO);
		g_assert_false(apply(self, self->backup, &error));
		g_assert_true(fault_clear());
		g_clear_error(&error);
		if (i == 1) {
			change_backup(self, "\"changes\": [", more);
			g_assert_cmpint(g_chmod(self->backup, 0600), ==, 0);
		}
		disk = open_disk(self);
		plan = make_plan(disk);
		g_assert_true(dps_plan_apply(plan, self->backup, &error));
		g_assert_no_error(error);
		g_assert_cmpstr(dps_plan_get_backup(plan), ==, i == 0 ? self->backup : NULL);
		g_clear_pointer(&plan, dps_plan_unref);
		g_clear_pointer(&disk, dps_disk_unref);
		assert_disk(self, NEW);
	}
}

static gboolean
has_finding(DpsPlan *plan, const char *code)
{
	GPtrArray *findings = dps_plan_get_findings(plan);

	for (guint i = 0; i < findings->len; i++)
		if (g_str_equal(dps_finding_get_code(findings->pdata[i]), code))
			return TRUE;
	return FALSE;
}

/* A disk that seems to be a device, and the tree that was installed on it. */
static gboolean
apply_to_device(Fixture *self, const char *root, gboolean cut_off, char **backup, GError **error)
{
	g_autoptr(DpsTree) tree = root ? dps_tree_open(root, error) : NULL;
	g_autoptr(DpsDisk) disk = NULL;
	g_autoptr(DpsPlan) plan = NULL;
	gboolean good;

	g_assert_no_error(*error);
	fault_set_device(self->path);
	disk = open_disk(self);
	plan = dps_plan_new(disk, tree, error);
	g_assert_no_error(*error);
	dps_plan_set_arch(plan, DPS_ARCH_X86_64);
	g_assert_true(dps_plan_assign(plan, DPS_ROLE_ESP, DPS_ARCH_NONE, 1, 0, 0, error));
	g_assert_true(dps_plan_assign(plan, DPS_ROLE_HOME, DPS_ARCH_NONE, 4, 0, 0, error));
	if (cut_off)
		fault_set_from("write disk.raw", 4, EIO);
	/* That of the running system is not for tests. */
	if (!root) {
		fault_set_from("open", 1, EACCES);
		fault_set_from("openat2", 1, EACCES);
	}
	good = dps_plan_apply(plan, NULL, error);
	*backup = g_strdup(dps_plan_get_backup(plan));
	/* The kernel has no such partitions, whose records there could be. */
	if (good && dps_plan_get_changes(plan)->len >= 2)
		g_assert_cmpint(has_finding(plan, "udev-not-updated"), ==,
				access("/run/udev/control", F_OK) != 0);
	fault_clear();
	return good;
}

static guint
count_names(const char *path)
{
	g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
	guint n = 0;

	while (dir && g_dir_read_name(dir))
		n++;
	return n;
}

/* Nobody said where: into the tree, named by disk and time; a run that was cut off left one. */
static void
test_default_place(Fixture *self, gconstpointer data)
{
	g_autofree char *root = g_dir_make_tmp("dps-root-XXXXXX", NULL);
	g_autofree char *place = g_build_filename(root, "var/lib/libdps", NULL);
	g_autofree char *lib = g_build_filename(root, "var/lib", NULL);
	g_autofree char *backup = NULL, *again = NULL, *name = NULL;
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsBackup) read = NULL;
	struct stat st;

	g_assert_true(apply_to_device(self, root, FALSE, &backup, &error));
	g_assert_no_error(error);
	g_assert_true(g_str_has_prefix(backup, place));
	name = g_path_get_basename(backup);
	g_assert_true(g_str_has_prefix(name, "d1d1d1d1-d1d1-d1d1-d1d1-d1d1d1d1d1d1-"));
	g_assert_true(g_str_has_suffix(name, ".json"));
	g_assert_cmpint(stat(backup, &st), ==, 0);
	g_assert_cmpuint(st.st_mode & 0777, ==, 0600);
	read = dps_backup_open(backup, &error);
	g_assert_no_error(error);
	g_assert_cmpuint(count_names(place), ==, 1);

	/* There is nothing more to do, and nothing to keep. */
	g_assert_true(apply_to_device(self, root, FALSE, &again, &error));
	g_assert_no_error(error);
	g_assert_null(again);
	g_assert_cmpuint(count_names(place), ==, 1);
	g_assert_cmpint(g_unlink(backup), ==, 0);
	g_clear_pointer(&backup, g_free);

	/* The run that finishes it goes on with the backup of the first. */
	put_disk(self);
	g_assert_false(apply_to_device(self, root, TRUE, &backup, &error));
	g_assert_nonnull(strstr(error->message, "dps-tag undo "));
	g_clear_error(&error);
	g_assert_cmpuint(count_names(place), ==, 1);
	g_assert_true(apply_to_device(self, root, FALSE, &again, &error));
	g_assert_no_error(error);
	g_assert_cmpuint(count_names(place), ==, 1);
	g_assert_true(g_str_has_prefix(again, place));
	g_assert_cmpint(g_unlink(again), ==, 0);

	/* Without a tree it goes to the running system, where that can be. */
	put_disk(self);
	g_clear_pointer(&backup, g_free);
	g_assert_false(apply_to_device(self, NULL, FALSE, &backup, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_PERMISSION);
	g_assert_true(g_str_has_prefix(error->message, "backup: /"));
	g_assert_nonnull(strstr(error->message, "nothing was changed"));
	g_clear_error(&error);
	assert_disk(self, OLD);

	/* There can be no such directory: the tree is named, and nothing is changed. */
	put_disk(self);
	made_up_remove(lib);
	made_up_write(root, "var/lib", "a file");
	g_clear_pointer(&backup, g_free);
	g_assert_false(apply_to_device(self, root, FALSE, &backup, &error));
	g_assert_nonnull(strstr(error->message, "backup: "));
	g_assert_nonnull(strstr(error->message, root));
	g_assert_nonnull(strstr(error->message, ": /var/lib/libdps: "));
	g_assert_nonnull(strstr(error->message, "nothing was changed"));
	assert_disk(self, OLD);
	made_up_remove(root);
}

/* What is printed when the way back fails too goes to the disk where it is now. */
static void
test_line_to_undo(Fixture *self, gconstpointer data)
{
	g_autofree char *gone = g_build_filename(self->dir, "gone.raw", NULL);

	for (int is_moved = 0; is_moved < 2; is_moved++) {
		g_autofree char *line =
			g_strdup_printf("or `dps-tag undo %s%s%s`", self->backup,
					is_moved ? " " : "", is_moved ? self->path : "");
		g_autoptr(GError) error = NULL;
		int fd;

		/* The default subvolume is set, the table is not: as a crash leaves it. */
		put_disk(self);
		g_unlink(self->backup);
		g_assert_true(apply(self, self->backup, &error));
		g_assert_no_error(error);
		fd = open(self->path, O_RDWR | O_CLOEXEC);
		put_table(fd, 0x14);
		close(fd);
		if (is_moved)
			change_backup(self, self->path, gone);
		g_assert_cmpint(g_chmod(self->backup, 0600), ==, 0);

		fault_set_from("write disk.raw", 2, EIO);
		g_assert_false(apply(self, self->backup, &error));
		g_assert_true(fault_clear());
		g_test_message("%s", error->message);
		g_assert_nonnull(strstr(error->message, line));
	}
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add(name, Fixture, NULL, set_up, function, tear_down)
	ADD("/apply-backup/older", test_older_backup);
	ADD("/apply-backup/of-a-copy", test_backup_of_a_copy);
	ADD("/apply-backup/of-another-job", test_backup_of_another_job);
	ADD("/apply-backup/partly-done", test_partly_done);
	ADD("/apply-backup/of-another-partition", test_of_another_partition);
	ADD("/apply-backup/moved-after-a-crash", test_moved_after_a_crash);
	ADD("/apply-backup/of-a-table", test_of_a_table);
	ADD("/apply-backup/line-to-undo", test_line_to_undo);
	ADD("/apply-backup/default-place", test_default_place);
#undef ADD
	return g_test_run();
}
