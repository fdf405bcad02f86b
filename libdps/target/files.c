/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/files.h"
#include "ground/error.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

struct _DpsFiles {
	const DpsFilesClass *class;
	void *fs;
	char *note;
	char *top;		/* the directory that is "/"; NULL: the file system's own */
	GHashTable *lost;	/* a path without its first slash, and what is said of it */
	const char *first_lost; /* of it, lent */
};

struct _DpsFile {
	const DpsFilesClass *class;
	void *handle;
	DpsRegion region;
};

void
dps_file_info_free(DpsFileInfo *info)
{
	if (!info)
		return;

	g_free(info->name);
	g_free(info);
}

void
dps_file_free(DpsFile *file)
{
	if (!file)
		return;

	if (file->class->close)
		file->class->close(file->handle);
	g_free(file);
}

const DpsRegion *
dps_file_get_region(DpsFile *file)
{
	return &file->region;
}

DpsFiles *
dps_files_new(const DpsFilesClass *class, void *fs, const char *note)
{
	DpsFiles *self = g_new0(DpsFiles, 1);

	self->class = class;
	self->fs = fs;
	self->note = g_strdup(note);
	self->lost = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	return self;
}

void
dps_files_free(DpsFiles *self)
{
	if (!self)
		return;

	if (self->class->free)
		self->class->free(self->fs);
	g_free(self->note);
	g_free(self->top);
	g_hash_table_unref(self->lost);
	g_free(self);
}

/* A clean path as the class wants it. */
static char *
below_top(DpsFiles *self, const char *path)
{
	if (!self->top)
		return g_strdup(path);

	return g_strconcat(self->top, g_str_equal(path, "/") ? "" : path, NULL);
}

static DpsFileInfo *
stat_below(DpsFiles *self, const char *path, GError **error)
{
	g_autofree char *whole = below_top(self, path);

	return self->class->stat(self->fs, whole, error);
}

const char *
dps_files_get_type(DpsFiles *self)
{
	return self->class->type;
}

const char *
dps_files_get_note(DpsFiles *self)
{
	return self->note;
}

/* The parts of a path that are still to be gone, the next one last. */
static void
push_parts(GPtrArray *parts, const char *path)
{
	g_auto(GStrv) split = g_strsplit(path, "/", -1);

	for (guint i = g_strv_length(split); i-- > 0;) {
		if (*split[i] != '\0' && !g_str_equal(split[i], "."))
			g_ptr_array_add(parts, g_strdup(split[i]));
	}
}

static void
drop_last_part(GString *path)
{
	char *slash = strrchr(path->str, '/');

	g_string_truncate(path, slash ? (gsize)(slash - path->str) : 0);
}

/* Goes where a link leads: *at is where the link lies, without its own name. */
static gboolean
follow(DpsFiles *self, const char *link, guint *n_links, GPtrArray *parts, GString *at,
       GError **error)
{
	g_autofree char *whole = below_top(self, link);
	g_autofree char *target = NULL;

	if (++*n_links > DPS_FILES_MAX_LINKS)
		return dps_throw(error, DPS_ERROR_REFUSED, "%s: more than %d links, or a loop",
				 link, DPS_FILES_MAX_LINKS);

	target = self->class->read_link(self->fs, whole, error);
	if (!target)
		return FALSE;
	if (*target == '\0' || strlen(target) >= PATH_MAX)
		return dps_throw(error, DPS_ERROR_CORRUPT, "%s: a link of %zu bytes", link,
				 strlen(target));

	if (*target == '/')
		g_string_truncate(at, 0);
	push_parts(parts, target);
	return TRUE;
}

/*
 * Where a path leads when all links in it are followed: *clean, below the top, as the functions of
 * the class want it, and *info, what is there.  TRUE and NULL for both: nothing is there.
 */
static gboolean
resolve(DpsFiles *self, const char *path, char **clean, DpsFileInfo **info, GError **error)
{
	g_autoptr(GPtrArray) parts = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GString) at = g_string_new(NULL);
	g_autoptr(GError) failure = NULL;
	DpsFileInfo *found;
	guint n_links = 0;

	push_parts(parts, path);
	while (parts->len > 0) {
		g_autofree char *part = g_ptr_array_steal_index(parts, parts->len - 1);
		g_autoptr(DpsFileInfo) there = NULL;
		g_autofree char *next = NULL;

		if (g_str_equal(part, "..")) {
			drop_last_part(at);
			continue;
		}
		next = g_strconcat(at->str, "/", part, NULL);
		if (self->class->read_link) {
			there = stat_below(self, next, &failure);
			if (!there)
				break;
			if (there->kind == DPS_FILE_LINK) {
				if (!follow(self, next, &n_links, parts, at, error))
					return FALSE;
				continue;
			}
			if (there->kind != DPS_FILE_DIRECTORY && parts->len > 0) {
				dps_throw(&failure, DPS_ERROR_NOT_FOUND, "%s: not a directory",
					  next);
				break;
			}
		}
		g_string_assign(at, next);
	}

	found = failure ? NULL : stat_below(self, at->len > 0 ? at->str : "/", &failure);
	if (!found && !g_error_matches(failure, DPS_ERROR, DPS_ERROR_NOT_FOUND)) {
		g_propagate_error(error, g_steal_pointer(&failure));
		return FALSE;
	}

	*info = found;
	*clean = found ? below_top(self, at->len > 0 ? at->str : "/") : NULL;
	return TRUE;
}

void
dps_files_note_lost(DpsFiles *self, const char *path, const GError *error)
{
	g_autofree char *whole = g_strconcat("/", path + strspn(path, "/"), NULL);
	char *message;

	if (!g_error_matches(error, DPS_ERROR, DPS_ERROR_IO) ||
	    g_hash_table_contains(self->lost, whole + 1))
		return;

	message = g_str_has_prefix(error->message, whole)
			  ? g_strdup(error->message)
			  : g_strdup_printf("%s: %s", whole, error->message);
	g_hash_table_insert(self->lost, g_strdup(whole + 1), message);
	if (!self->first_lost)
		self->first_lost = message;
}

const char *
dps_files_get_lost(DpsFiles *self, const char *path)
{
	return g_hash_table_lookup(self->lost, path + strspn(path, "/"));
}

const char *
dps_files_get_first_lost(DpsFiles *self)
{
	return self->first_lost;
}

/* Passes on why @path could not be read, which it takes. */
static gboolean
fail(DpsFiles *self, const char *path, GError *failure, GError **error)
{
	dps_files_note_lost(self, path, failure);
	g_propagate_error(error, failure);
	return FALSE;
}

gboolean
dps_files_lookup(DpsFiles *self, const char *path, DpsFileInfo **info, GError **error)
{
	g_autoptr(DpsFileInfo) found = NULL;
	g_autofree char *clean = NULL;
	GError *failure = NULL;

	if (!resolve(self, path, &clean, &found, &failure))
		return fail(self, path, failure, error);

	if (info)
		*info = g_steal_pointer(&found);
	return TRUE;
}

/* The same for those who want it to be there, and to be of one kind. */
static char *
resolve_to(DpsFiles *self, const char *path, DpsFileKind kind, GError **error)
{
	g_autoptr(DpsFileInfo) found = NULL;
	g_autofree char *clean = NULL;

	if (!resolve(self, path, &clean, &found, error))
		return NULL;
	if (!found)
		return dps_throw_null(error, DPS_ERROR_NOT_FOUND, "%s: no such file", path);
	if (found->kind != kind)
		return dps_throw_null(error, DPS_ERROR_INVALID, "%s: not a %s", path,
				      kind == DPS_FILE_DIRECTORY ? "directory" : "regular file");

	return g_steal_pointer(&clean);
}

gboolean
dps_files_set_top(DpsFiles *self, const char *directory, GError **error)
{
	g_autofree char *clean = NULL;

	if (directory) {
		clean = resolve_to(self, directory, DPS_FILE_DIRECTORY, error);
		if (!clean)
			return FALSE;
	}
	g_free(self->top);
	self->top = g_strcmp0(clean, "/") == 0 ? NULL : g_steal_pointer(&clean);
	return TRUE;
}

static gint
compare_names(gconstpointer a, gconstpointer b)
{
	const DpsFileInfo *const *left = a, *const *right = b;

	return strcmp((*left)->name, (*right)->name);
}

GPtrArray *
dps_files_list(DpsFiles *self, const char *path, GError **error)
{
	GError *failure = NULL;
	g_autofree char *clean = resolve_to(self, path, DPS_FILE_DIRECTORY, &failure);
	GPtrArray *infos = clean ? self->class->list(self->fs, clean, &failure) : NULL;

	if (!infos) {
		fail(self, path, failure, error);
		return NULL;
	}
	g_ptr_array_sort(infos, compare_names);
	return infos;
}

DpsFile *
dps_files_open(DpsFiles *self, const char *path, GError **error)
{
	GError *failure = NULL;
	g_autofree char *clean = resolve_to(self, path, DPS_FILE_REGULAR, &failure);
	DpsRegion region;
	DpsFile *file;
	void *handle;

	if (!clean || !self->class->open(self->fs, clean, &region, &handle, &failure)) {
		fail(self, path, failure, error);
		return NULL;
	}

	file = g_new0(DpsFile, 1);
	file->class = self->class;
	file->region = region;
	file->handle = handle;
	return file;
}

char *
dps_files_read(DpsFiles *self, const char *path, size_t max_size, size_t *size, GError **error)
{
	g_autoptr(DpsFile) file = dps_files_open(self, path, error);
	g_autofree char *content = NULL;
	GError *failure = NULL;
	uint64_t n;

	if (!file)
		return NULL;
	n = file->region.size;
	if (n > max_size)
		return dps_throw_null(error, DPS_ERROR_CORRUPT,
				      "%s: %" PRIu64 " bytes: more than the %zu that make sense",
				      path, n, max_size);

	content = g_malloc((size_t)n + 1);
	if (!dps_region_read(&file->region, 0, content, (size_t)n, &failure)) {
		fail(self, path, failure, error);
		dps_prefix_error(error, "%s: ", path);
		return NULL;
	}
	content[n] = '\0';
	if (size)
		*size = (size_t)n;
	return g_steal_pointer(&content);
}

gboolean
dps_files_get_attribute(DpsFiles *self, const char *path, const char *name, GBytes **value,
			GError **error)
{
	g_autoptr(DpsFileInfo) found = NULL;
	g_autoptr(GError) failure = NULL;
	g_autofree char *clean = NULL;
	GBytes *bytes;

	if (!resolve(self, path, &clean, &found, error))
		return FALSE;
	if (!found)
		return dps_throw(error, DPS_ERROR_NOT_FOUND, "%s: no such file", path);
	if (!self->class->get_attribute)
		return dps_throw(error, DPS_ERROR_UNSUPPORTED,
				 "%s: extended attributes cannot be read from %s", path,
				 self->class->type);

	bytes = self->class->get_attribute(self->fs, clean, name, &failure);
	if (!bytes && !g_error_matches(failure, DPS_ERROR, DPS_ERROR_NOT_FOUND)) {
		g_propagate_error(error, g_steal_pointer(&failure));
		return FALSE;
	}
	*value = bytes;
	return TRUE;
}

gboolean
dps_files_get_space(DpsFiles *self, uint64_t *size, uint64_t *free_size, uint64_t *unit,
		    GError **error)
{
	uint64_t all, unused, each;

	if (!self->class->get_space)
		return dps_throw(error, DPS_ERROR_UNSUPPORTED, "free space: cannot be read from %s",
				 self->class->type);
	if (!self->class->get_space(self->fs, &all, &unused, &each, error))
		return FALSE;

	*size = all;
	*free_size = unused;
	*unit = each;
	return TRUE;
}
