/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/backup.h"
#include "format/gpt.h"
#include "ground/error.h"
#include "target/save.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#define BACKUP_VERSION 1

static void
entry_free(DpsBackupEntry *entry)
{
	dps_change_free(entry->change);
	g_free(entry);
}

/* A path or a subvolume may be any bytes, and JSON is UTF-8.  Void when there is no text. */
static json_t *
text_to_json(const char *text)
{
	g_autofree char *valid = text ? g_utf8_make_valid(text, -1) : NULL;

	return valid ? json_string(valid) : json_null();
}

/* JSON numbers are doubles to many readers: 64 bits are text. */
static json_t *
value_to_json(DpsChangeKind kind, const DpsValue *value)
{
	char text[DPS_GUID_TEXT_SIZE];

	switch (kind) {
	case DPS_CHANGE_TYPE:
	case DPS_CHANGE_UUID:
		dps_guid_to_string(&value->guid, text);
		return json_string(text);
	case DPS_CHANGE_FLAGS:
		return json_sprintf("0x%016" PRIx64, value->attributes);
	case DPS_CHANGE_NAME:
		return text_to_json(value->text ? value->text : "");
	case DPS_CHANGE_BTRFS_DEFAULT:
		return json_pack("{s:I, s:o}", "id", (json_int_t)value->subvolume, "path",
				 text_to_json(value->text));
	case DPS_CHANGE_TABLE:
		break;
	}
	g_assert_not_reached();
}

/* UEFI 2.10, table 5-6: a name has 36 units of UTF-16. */
static gboolean
fits_entry(const char *name)
{
	glong n_units = 0;
	g_autofree gunichar2 *units = g_utf8_to_utf16(name, -1, NULL, &n_units, NULL);

	return units && n_units <= DPS_GPT_NAME_UNITS;
}

/* A UUID is changed from what the entry is known by, null or not, and to none that is null. */
static gboolean
is_uuid_change(const DpsBackupEntry *entry, const DpsValue *from, const DpsValue *to)
{
	return dps_guid_equal(&from->guid, &entry->guid) && !dps_guid_is_null(&to->guid);
}

static gboolean
value_from_json(DpsChangeKind kind, json_t *json, DpsValue *value)
{
	const char *text = json_string_value(json);
	json_int_t id;

	switch (kind) {
	case DPS_CHANGE_TYPE: /* null, it would be no partition */
		return text && dps_guid_from_string(text, &value->guid, NULL) &&
		       !dps_guid_is_null(&value->guid);
	case DPS_CHANGE_UUID:
		return text && dps_guid_from_string(text, &value->guid, NULL);
	case DPS_CHANGE_FLAGS:
		/* Digits alone: a sign and blanks are numbers too to whoever reads those. */
		if (!text || !g_str_has_prefix(text, "0x") || strlen(text) != 18 ||
		    strspn(text + 2, "0123456789abcdefABCDEF") != 16)
			return FALSE;
		value->attributes = g_ascii_strtoull(text + 2, NULL, 16);
		return TRUE;
	case DPS_CHANGE_NAME:
		value->text = g_strdup(text);
		return text != NULL && fits_entry(text);
	case DPS_CHANGE_BTRFS_DEFAULT:
		id = json_integer_value(json_object_get(json, "id"));
		value->subvolume = (uint64_t)id;
		value->text = g_strdup(json_string_value(json_object_get(json, "path")));
		return id > 0;
	case DPS_CHANGE_TABLE: /* nothing that is taken back */
		break;
	}
	return FALSE;
}

char *
dps_backup_write(DpsPlan *plan, const char *time)
{
	g_autofree char *path = g_canonicalize_filename(dps_disk_get_path(plan->disk), NULL);
	json_t *changes = json_array(), *document;
	char *raw, *text;

	for (guint i = 0; i < plan->changes->len; i++) {
		const DpsChange *change = plan->changes->pdata[i];
		DpsPartition *partition =
			dps_disk_get_partition_by_number(plan->disk, change->partition);

		/* That the table was whole again is nothing to take back. */
		if (change->kind == DPS_CHANGE_TABLE)
			continue;
		json_array_append_new(
			changes, json_pack("{s:s, s:i, s:s, s:I, s:o, s:o}", "kind",
					   dps_change_kind_to_string(change->kind), "partition",
					   (int)change->partition, "uuid", partition->uuid, "start",
					   (json_int_t)partition->start, "from",
					   value_to_json(change->kind, &change->from), "to",
					   value_to_json(change->kind, &change->to)));
	}

	document =
		json_pack("{s:i, s:s, s:s, s:{s:o, s:s}, s:o}", "version", BACKUP_VERSION, "what",
			  "libdps backup", "time", time, "disk", "path", text_to_json(path), "uuid",
			  dps_disk_get_uuid(plan->disk), "changes", changes);
	raw = json_dumps(document, JSON_INDENT(2));
	g_assert(raw);
	json_decref(document);

	text = g_strconcat(raw, "\n", NULL);
	free(raw); /* jansson's, not GLib's */
	return text;
}

/*
 * @seen has what was changed by the entries before it: nothing is changed twice in one run, and
 * each default subvolume that is taken back is looked for in its file system.
 */
static gboolean
read_entry(json_t *json, DpsBackup *backup, GHashTable *seen)
{
	const char *uuid = json_string_value(json_object_get(json, "uuid"));
	const char *kind_name = json_string_value(json_object_get(json, "kind"));
	json_int_t start = json_integer_value(json_object_get(json, "start"));
	json_int_t number = json_integer_value(json_object_get(json, "partition"));
	DpsChangeKind kind = kind_name ? dps_change_kind_from_string(kind_name) : 0;
	DpsValue from = { 0 }, to = { 0 };
	DpsBackupEntry entry = { 0 };

	if (kind == 0 || number <= 0 || number > DPS_GPT_MAX_ENTRIES ||
	    !g_hash_table_add(seen, GINT_TO_POINTER(number * DPS_CHANGE_TABLE + kind)) ||
	    start <= 0 || !uuid || !dps_guid_from_string(uuid, &entry.guid, NULL) ||
	    !value_from_json(kind, json_object_get(json, "from"), &from) ||
	    !value_from_json(kind, json_object_get(json, "to"), &to) ||
	    (kind == DPS_CHANGE_UUID && !is_uuid_change(&entry, &from, &to))) {
		g_free(from.text);
		g_free(to.text);
		return FALSE;
	}

	entry.start = (uint64_t)start;
	entry.change = dps_change_new(kind, (guint)number, from, to, "as recorded");
	g_ptr_array_add(backup->entries, g_memdup2(&entry, sizeof(entry)));
	return TRUE;
}

static gboolean
read_document(json_t *document, const char *path, DpsBackup *backup, GError **error)
{
	json_int_t version = json_integer_value(json_object_get(document, "version"));
	const char *what = json_string_value(json_object_get(document, "what"));
	json_t *disk = json_object_get(document, "disk");
	json_t *changes = json_object_get(document, "changes");
	g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
	size_t index;
	json_t *change;

	if (g_strcmp0(what, "libdps backup") != 0)
		return dps_throw(error, DPS_ERROR_CORRUPT, "%s: no backup that dps-tag made", path);
	if (version < 1)
		return dps_throw(error, DPS_ERROR_CORRUPT, "%s: no version that there is", path);
	if (version > BACKUP_VERSION)
		return dps_throw(error, DPS_ERROR_UNSUPPORTED,
				 "%s: version %" JSON_INTEGER_FORMAT
				 ": made by a newer dps-tag: use that one",
				 path, version);

	backup->time = g_strdup(json_string_value(json_object_get(document, "time")));
	backup->disk_path = g_strdup(json_string_value(json_object_get(disk, "path")));
	backup->disk_uuid = g_strdup(json_string_value(json_object_get(disk, "uuid")));
	if (!backup->time || !backup->disk_path || !backup->disk_uuid || !json_is_array(changes))
		return dps_throw(error, DPS_ERROR_CORRUPT, "%s: something is missing in it", path);

	json_array_foreach(changes, index, change)
	{
		if (!read_entry(change, backup, seen))
			return dps_throw(error, DPS_ERROR_CORRUPT,
					 "%s: change %zu of it makes no sense", path, index + 1);
	}
	return TRUE;
}

DpsBackup *
dps_backup_parse(const char *text, gsize size, const char *name, GError **error)
{
	g_autoptr(DpsBackup) backup = g_new0(DpsBackup, 1);
	json_error_t problem;
	json_t *document;
	gboolean good;

	backup->refs = 1;
	backup->entries = g_ptr_array_new_with_free_func((GDestroyNotify)entry_free);

	document = json_loadb(text, size, JSON_REJECT_DUPLICATES, &problem);
	if (!document)
		return dps_throw_null(error, DPS_ERROR_CORRUPT, "%s: line %d: no JSON", name,
				      problem.line);
	good = read_document(document, name, backup, error);
	json_decref(document);
	return good ? g_steal_pointer(&backup) : NULL;
}

DpsBackup *
dps_backup_open(const char *path, GError **error)
{
	g_autofree char *text = NULL;
	gsize size;

	g_return_val_if_fail(path != NULL, NULL);

	text = dps_save_read_file(path, DPS_BACKUP_MAX_SIZE, &size, error);
	return text ? dps_backup_parse(text, size, path, error) : NULL;
}

DpsBackup *
dps_backup_ref(DpsBackup *backup)
{
	g_return_val_if_fail(backup != NULL, NULL);

	g_atomic_int_inc(&backup->refs);
	return backup;
}

void
dps_backup_unref(DpsBackup *backup)
{
	if (!backup || !g_atomic_int_dec_and_test(&backup->refs))
		return;

	g_ptr_array_unref(backup->entries);
	g_free(backup->disk_path);
	g_free(backup->disk_uuid);
	g_free(backup->time);
	g_free(backup);
}

const char *
dps_backup_get_disk_path(DpsBackup *backup)
{
	return backup->disk_path;
}

const char *
dps_backup_get_disk_uuid(DpsBackup *backup)
{
	return backup->disk_uuid;
}

const char *
dps_backup_get_time(DpsBackup *backup)
{
	return backup->time;
}
