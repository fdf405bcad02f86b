/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/fat-lookup.h"
#include "ground/error.h"

#include <string.h>

/* Names that are kept: as many as one directory can have (the specification: 65536 slots). */
#define MAX_KEPT 65536

/* Slots of directories that are read for one file system: 32 directories as large as they may be,
 * which no boot partition has.  Directories that share their clusters would have no end. */
#define MAX_SLOTS_READ (1U << 21)

/*
 * The names of a directory that was read, so that a thousand questions about one directory read it
 * once: boot entries name their files in few directories, and what means harm names a million files
 * in a directory of 65536.
 */
typedef struct {
	GPtrArray *entries; /* (element-type DpsFatEntry): without labels and dots, in order */
	GHashTable *by_name, *by_short; /* folded → the entry's place, from 1 */
	GError *error;			/* what is broken behind the last entry; or NULL */
} Index;

static void
index_free(Index *index)
{
	g_ptr_array_unref(index->entries);
	g_hash_table_unref(index->by_name);
	g_hash_table_unref(index->by_short);
	g_clear_error(&index->error);
	g_free(index);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Index, index_free)

/* The first of a name is the one that is found. */
static void
add_key(GHashTable *table, char *key, guint place)
{
	if (g_hash_table_contains(table, key))
		g_free(key);
	else
		g_hash_table_insert(table, key, GUINT_TO_POINTER(place));
}

static void
add_entry(Index *index, DpsFatEntry *entry)
{
	g_ptr_array_add(index->entries, entry);
	add_key(index->by_name, dps_fat_fold_name(entry->name), index->entries->len);
	add_key(index->by_short, g_ascii_strup(entry->short_name, -1), index->entries->len);
}

/* (transfer full) (nullable): a directory as it is on the medium */
static Index *
read_directory(DpsFat *self, uint32_t cluster, guint *slots_read, GError **error)
{
	g_autoptr(Index) index = g_new0(Index, 1);
	g_autofree DpsFatWalk *walk = g_new(DpsFatWalk, 1);
	g_autoptr(GError) broken = NULL;
	DpsFatEntry *entry;

	index->entries = g_ptr_array_new_with_free_func((GDestroyNotify)dps_fat_entry_free);
	index->by_name = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	index->by_short = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

	if (*slots_read > MAX_SLOTS_READ)
		return dps_throw_null(error, DPS_ERROR_CORRUPT,
				      "directories have more than %u entries together, or share "
				      "their clusters",
				      MAX_SLOTS_READ);
	dps_fat_walk_init(walk, self, cluster);
	while (dps_fat_walk_next(walk, &entry, NULL, &broken) && entry) {
		if (dps_fat_entry_is_special(entry))
			dps_fat_entry_free(entry);
		else
			add_entry(index, entry);
	}
	/* An empty one, too, is a question of the medium. */
	*slots_read += walk->n_slots + 1;

	/* What is damaged stays so; a medium that fails may be asked again. */
	if (broken && !g_error_matches(broken, DPS_ERROR, DPS_ERROR_CORRUPT)) {
		g_propagate_error(error, g_steal_pointer(&broken));
		return NULL;
	}
	index->error = g_steal_pointer(&broken);
	return g_steal_pointer(&index);
}

/* (transfer none) (nullable): until the next question: the names of the directory that begins at
 * @cluster; 0: the root */
static const Index *
get_index(DpsFat *self, uint32_t cluster, GError **error)
{
	DpsFatDirectories *known = dps_fat_get_directories(self);
	Index *index;

	if (!known->by_cluster)
		known->by_cluster =
			g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)index_free);
	index = g_hash_table_lookup(known->by_cluster, GUINT_TO_POINTER(cluster));
	if (index)
		return index;

	index = read_directory(self, cluster, &known->slots_read, error);
	if (!index)
		return NULL;
	known->n_kept += index->entries->len + 1;
	if (known->n_kept > MAX_KEPT) {
		g_hash_table_remove_all(known->by_cluster);
		known->n_kept = index->entries->len + 1;
	}
	g_hash_table_insert(known->by_cluster, GUINT_TO_POINTER(cluster), index);
	return index;
}

/* (nullable): the first entry of this name, long or short, in any case */
static const DpsFatEntry *
find_entry(const Index *index, const char *name)
{
	g_autofree char *folded = dps_fat_fold_name(name);
	g_autofree char *upper = g_ascii_strup(name, -1);
	guint by_name = GPOINTER_TO_UINT(g_hash_table_lookup(index->by_name, folded));
	guint by_short = GPOINTER_TO_UINT(g_hash_table_lookup(index->by_short, upper));
	guint place = by_name && by_short ? MIN(by_name, by_short) : MAX(by_name, by_short);

	return place ? index->entries->pdata[place - 1] : NULL;
}

static gboolean
check_is_directory(const DpsFatEntry *entry, GError **error)
{
	if (!(entry->attributes & DPS_FAT_ATTRIBUTE_DIRECTORY))
		return dps_throw(error, DPS_ERROR_INVALID, "%s: not a directory", entry->name);

	/* Only the root, which has no entry on the medium and so no name, may begin nowhere. */
	if (entry->cluster == 0 && entry->name[0] != '\0')
		return dps_throw(error, DPS_ERROR_CORRUPT, "%s: a directory without a cluster",
				 entry->name);

	return TRUE;
}

static DpsFatEntry *
new_root_entry(void)
{
	DpsFatEntry *root = g_new0(DpsFatEntry, 1);

	root->name = g_strdup("");
	root->attributes = DPS_FAT_ATTRIBUTE_DIRECTORY;
	return root;
}

static DpsFatEntry *
entry_copy(const DpsFatEntry *entry)
{
	DpsFatEntry *copy = g_new(DpsFatEntry, 1);

	*copy = *entry;
	copy->name = g_strdup(entry->name);
	return copy;
}

/* One name in one directory; *found is NULL when it is not there. */
static gboolean
find_in_directory(DpsFat *self, const DpsFatEntry *directory, const char *name, DpsFatEntry **found,
		  GError **error)
{
	const Index *index = get_index(self, directory->cluster, error);
	const DpsFatEntry *entry;

	if (!index)
		return FALSE;

	entry = find_entry(index, name);
	if (!entry && index->error) {
		g_propagate_error(error, g_error_copy(index->error));
		return FALSE;
	}
	*found = entry ? entry_copy(entry) : NULL;
	return TRUE;
}

DpsFatEntry *
dps_fat_lookup(DpsFat *self, const char *path, GError **error)
{
	g_autoptr(DpsFatEntry) at = new_root_entry();
	guint depth = 0;

	if (!g_utf8_validate(path, -1, NULL))
		return dps_throw_null(error, DPS_ERROR_NOT_FOUND, "path: not UTF-8");

	for (const char *p = path + strspn(path, "/"); *p; p += strspn(p, "/")) {
		g_autofree char *part = g_strndup(p, strcspn(p, "/"));
		DpsFatEntry *next = NULL;

		p += strlen(part);
		if (++depth > DPS_FAT_MAX_DEPTH)
			return dps_throw_null(error, DPS_ERROR_NOT_FOUND,
					      "%s: more than %d directories deep", path,
					      DPS_FAT_MAX_DEPTH);
		if (!(at->attributes & DPS_FAT_ATTRIBUTE_DIRECTORY))
			return dps_throw_null(error, DPS_ERROR_NOT_FOUND, "%s: no such file", path);
		if (!check_is_directory(at, error) ||
		    !find_in_directory(self, at, part, &next, error)) {
			dps_prefix_error(error, "%s: ", path);
			return NULL;
		}
		if (!next)
			return dps_throw_null(error, DPS_ERROR_NOT_FOUND, "%s: no such file", path);

		dps_fat_entry_free(at);
		at = next;
	}
	return g_steal_pointer(&at);
}

GPtrArray *
dps_fat_list(DpsFat *self, const DpsFatEntry *directory, GError **error)
{
	const Index *index;
	GPtrArray *entries;

	if (!check_is_directory(directory, error))
		return NULL;
	index = get_index(self, directory->cluster, error);
	if (!index)
		return NULL;
	if (index->error) {
		g_propagate_error(error, g_error_copy(index->error));
		return NULL;
	}

	entries = g_ptr_array_new_with_free_func((GDestroyNotify)dps_fat_entry_free);
	for (guint i = 0; i < index->entries->len; i++)
		g_ptr_array_add(entries, entry_copy(index->entries->pdata[i]));
	return entries;
}
