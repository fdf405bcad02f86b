/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/backup-file.h"
#include "decide/backup.h"
#include "decide/change.h"
#include "ground/error.h"
#include "ground/text.h"
#include "target/save-dir.h"
#include "target/save.h"

#include <string.h>
#include <unistd.h>

#define DEFAULT_BACKUP_DIR "/var/lib/libdps"

void
dps_backup_file_clear(DpsBackupFile *file)
{
	if (file->dir >= 0)
		close(file->dir);
	g_free(file->parent);
	g_free(file->name);
	g_free(file->path);
	*file = (DpsBackupFile){ .dir = -1 };
}

/* Where the backup goes when nobody says: into the tree, or the running system's own /var. */
static gboolean
open_default_backup(DpsPlan *plan, gboolean create, DpsBackupFile *file, GError **error)
{
	g_autoptr(DpsTree) running = NULL;
	DpsTree *tree = plan->tree;

	/* What was read out of the disk without a mount takes no files. */
	if (!tree || dps_tree_get_origin(tree)) {
		running = dps_tree_open("/", error);
		tree = running;
	}
	if (!tree)
		return FALSE;

	file->dir = dps_save_open_dir(tree, DEFAULT_BACKUP_DIR, create, error);
	if (file->dir < 0) {
		if (strcmp(dps_tree_get_path(tree), "/") != 0)
			dps_prefix_error(error, "%s: ", dps_tree_get_path(tree));
		return FALSE;
	}
	file->parent = g_build_filename(dps_tree_get_path(tree), DEFAULT_BACKUP_DIR, NULL);
	return TRUE;
}

static gboolean
open_named_backup(const char *path, DpsBackupFile *file, GError **error)
{
	g_autofree char *directory = g_path_get_dirname(path);

	/* GLib takes the directory's own name for that of a file in it. */
	if (g_str_has_suffix(path, "/"))
		return dps_throw(error, DPS_ERROR_INVALID, "%s: a directory: name a file in it",
				 path);
	file->dir = dps_save_open_dir(NULL, directory, FALSE, error);
	if (file->dir < 0)
		return FALSE;
	file->name = g_path_get_basename(path);
	file->path = g_strdup(path);
	return TRUE;
}

static void
set_name(DpsBackupFile *file, const char *name)
{
	g_free(file->name);
	g_free(file->path);
	file->name = g_strdup(name);
	file->path = g_build_filename(file->parent, name, NULL);
}

/* Whether the file of that name is of a run of the same job, which a crash or a kill cut off. */
static gboolean
is_of_same_job(DpsPlan *plan, DpsBackupFile *file, const char *name)
{
	g_autofree char *text = NULL;
	g_autoptr(DpsBackup) older = NULL;
	gsize size;

	text = dps_save_read_own_file(file->dir, name, DPS_BACKUP_MAX_SIZE, &size, NULL);
	older = text ? dps_backup_parse(text, size, name, NULL) : NULL;
	if (!older || !dps_backup_is_of_same_job(older, plan))
		return FALSE;
	file->is_moved = !dps_disk_is_at(plan->disk, older->disk_path);
	return TRUE;
}

/* The backup of a run that was cut off takes everything back; a second one only what is left. */
static gboolean
find_older(DpsPlan *plan, DpsBackupFile *file)
{
	g_autofree char *prefix = NULL;
	g_autoptr(GPtrArray) names = NULL;

	if (file->name)
		return is_of_same_job(plan, file, file->name);

	prefix = g_strconcat(dps_disk_get_uuid(plan->disk), "-", NULL);
	names = dps_save_list(file->dir, prefix, ".json");
	for (guint i = 0; i < names->len; i++)
		if (is_of_same_job(plan, file, names->pdata[i])) {
			set_name(file, names->pdata[i]);
			return TRUE;
		}
	return FALSE;
}

static gboolean
write_backup_file(DpsPlan *plan, DpsBackupFile *file, GError **error)
{
	g_autoptr(GDateTime) now = g_date_time_new_now_utc();
	g_autofree char *time = g_date_time_format(now, "%Y-%m-%dT%H:%M:%SZ");
	g_autofree char *stamp = g_date_time_format(now, "%Y%m%dT%H%M%S.%fZ");
	g_autofree char *text = dps_backup_write(plan, time);

	if (!file->name) {
		g_autofree char *name =
			g_strdup_printf("%s-%s.json", dps_disk_get_uuid(plan->disk), stamp);

		set_name(file, name);
	}
	return dps_save_new_file(file->dir, file->name, text, strlen(text), error);
}

static gboolean
has_something_to_undo(DpsPlan *plan)
{
	for (guint i = 0; i < plan->changes->len; i++)
		if (((const DpsChange *)plan->changes->pdata[i])->kind != DPS_CHANGE_TABLE)
			return TRUE;

	return FALSE;
}

static gboolean
keep_or_write(DpsPlan *plan, const char *backup, gboolean create, DpsBackupFile *file,
	      GError **error)
{
	if (!(backup ? open_named_backup(backup, file, error)
		     : open_default_backup(plan, create, file, error)))
		return FALSE;

	file->is_older = find_older(plan, file);
	if (file->is_older)
		return dps_save_keep_file(file->dir, file->name, error);
	return !create || write_backup_file(plan, file, error);
}

gboolean
dps_backup_file_save(DpsBackupFile *file, DpsPlan *plan, const char *backup, GError **error)
{
	gboolean is_device = dps_medium_is_device(dps_disk_get_medium(plan->disk));
	gboolean create = has_something_to_undo(plan);
	g_autoptr(GError) problem = NULL;

	if (g_strcmp0(backup, "none") == 0 || (!backup && !is_device))
		return TRUE;

	if (!keep_or_write(plan, backup, create, file, &problem) && create) {
		dps_throw(error, (DpsError)problem->code,
			  "backup: %s%s%s: nothing was changed: keep it elsewhere with --backup "
			  "FILE, or nowhere with --backup none",
			  file->path ? file->path : "", file->path ? ": " : "", problem->message);
		dps_backup_file_clear(file);
		return FALSE;
	}
	/* To finish a table there is nothing to keep: only to tell of what was kept. */
	if (!create && !file->is_older)
		dps_backup_file_clear(file);
	return TRUE;
}

void
dps_backup_file_take_away(DpsBackupFile *file)
{
	if (file->dir >= 0 && !file->is_older)
		dps_save_remove_file(file->dir, file->name);
}

char *
dps_backup_file_get_undo(const DpsBackupFile *file, DpsPlan *plan)
{
	g_autofree char *name = file->path ? dps_text_quote(file->path) : NULL;
	g_autofree char *disk = dps_text_quote(dps_disk_get_path(plan->disk));

	return name ? g_strconcat("dps-tag undo ", name, file->is_moved ? " " : "",
				  file->is_moved ? disk : "", NULL)
		    : NULL;
}
