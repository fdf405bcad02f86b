/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/mount-tables.h"
#include "ground/error.h"

#include <errno.h>
#include <libmount/libmount.h>
#include <stdio.h>
#include <string.h>

/* Lines of fstab, of crypttab: their manuals name no limit; each is held against others and against
 * every partition, and hundreds have not been seen. */
#define MAX_ENTRIES 4096

typedef struct libmnt_table Table;
typedef struct libmnt_iter Iterator;

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Table, mnt_unref_table)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Iterator, mnt_free_iter)

static void
mount_line_free(DpsMountLine *line)
{
	g_free(line->target);
	g_free(line->root);
	g_free(line->fs_type);
	g_free(line->source);
	g_free(line->options);
	g_free(line->subvolume);
	g_free(line);
}

static void
fstab_entry_free(DpsFstabEntry *entry)
{
	g_free(entry->mount_point);
	g_free(entry->spec);
	g_free(entry->fs_type);
	g_free(entry->options);
	g_free(entry->subvolume);
	g_free(entry);
}

static void
swap_free(DpsSwap *swap)
{
	g_free(swap->path);
	g_ptr_array_unref(swap->backings);
	g_free(swap);
}

/* libmount asks what to do with a line that it cannot read: skip it, and read on. */
static int
skip_line(struct libmnt_table *table, const char *file, int line)
{
	return 1;
}

static Table *
new_table(void)
{
	Table *table = mnt_new_table();

	g_assert(table); /* as g_malloc() does when there is no memory */
	mnt_table_set_parser_errcb(table, skip_line);
	return table;
}

static Iterator *
new_iterator(void)
{
	Iterator *iterator = mnt_new_iter(MNT_ITER_FORWARD);

	g_assert(iterator);
	return iterator;
}

/* libmount gives fields that a line does not have as NULL. */
static const char *
or_empty(const char *text)
{
	return text ? text : "";
}

/* The value of an option of a mount, %NULL when it is not given. */
static char *
get_option(struct libmnt_fs *fs, const char *name)
{
	char *value = NULL;
	size_t size = 0;

	if (mnt_fs_get_option(fs, name, &value, &size) != 0 || !value)
		return NULL;

	return g_strndup(value, size);
}

GPtrArray *
dps_mountinfo_read(const DpsSystem *system, const char *process)
{
	g_autofree char *path = g_build_filename(system->proc, process, "mountinfo", NULL);
	g_autoptr(GPtrArray) lines =
		g_ptr_array_new_with_free_func((GDestroyNotify)mount_line_free);
	g_autoptr(Table) table = new_table();
	g_autoptr(Iterator) iterator = new_iterator();
	struct libmnt_fs *fs;

	if (mnt_table_parse_file(table, path) != 0)
		return NULL;

	while (mnt_table_next_fs(table, iterator, &fs) == 0) {
		DpsMountLine *line;

		if (!mnt_fs_get_target(fs))
			continue;
		line = g_new0(DpsMountLine, 1);
		line->id = mnt_fs_get_id(fs);
		line->parent = mnt_fs_get_parent_id(fs);
		line->target = g_strdup(mnt_fs_get_target(fs));
		line->root = g_strdup(or_empty(mnt_fs_get_root(fs)));
		line->fs_type = g_strdup(or_empty(mnt_fs_get_fstype(fs)));
		line->source = g_strdup(or_empty(mnt_fs_get_source(fs)));
		line->options = g_strdup(or_empty(mnt_fs_get_options(fs)));
		line->subvolume = get_option(fs, "subvol");
		line->device = mnt_fs_get_devno(fs);
		g_ptr_array_add(lines, line);
	}
	return lines->len > 0 ? g_steal_pointer(&lines) : NULL;
}

/* "/home/" and "//home" are "/home" to mount(8) and to systemd (path_equal() of path-util.c). */
static char *
simplify_path(const char *path)
{
	GString *simple;

	if (*path != '/')
		return g_strdup(path);

	simple = g_string_new(NULL);
	while (*path == '/') {
		gsize size;

		path += strspn(path, "/");
		size = strcspn(path, "/");
		if (size > 0 && !(size == 1 && *path == '.')) {
			g_string_append_c(simple, '/');
			g_string_append_len(simple, path, (gssize)size);
		}
		path += size;
	}
	if (simple->len == 0)
		g_string_append_c(simple, '/');
	return g_string_free(simple, FALSE);
}

static DpsFstabEntry *
make_fstab_entry(struct libmnt_fs *fs)
{
	DpsFstabEntry *entry = g_new0(DpsFstabEntry, 1);
	const char *target = mnt_fs_get_target(fs);
	const char *tag = NULL, *value = NULL;
	g_autofree char *subvolume = NULL;
	g_autofree char *subvolume_id = NULL;

	if (target && strcmp(target, "none") != 0 && strcmp(target, "swap") != 0)
		entry->mount_point = simplify_path(target);
	if (mnt_fs_get_tag(fs, &tag, &value) == 0 && tag && value)
		entry->spec = g_strconcat(tag, "=", value, NULL);
	else
		entry->spec = g_strdup(or_empty(mnt_fs_get_source(fs)));
	entry->fs_type = g_strdup(or_empty(mnt_fs_get_fstype(fs)));
	entry->options = g_strdup(or_empty(mnt_fs_get_options(fs)));

	subvolume = get_option(fs, "subvol");
	if (subvolume)
		entry->subvolume = g_strdup(subvolume + strspn(subvolume, "/"));
	subvolume_id = get_option(fs, "subvolid");
	if (subvolume_id)
		g_ascii_string_to_unsigned(subvolume_id, 10, 0, G_MAXUINT64, &entry->subvolume_id,
					   NULL);
	return entry;
}

GPtrArray *
dps_fstab_new(void)
{
	return g_ptr_array_new_with_free_func((GDestroyNotify)fstab_entry_free);
}

GPtrArray *
dps_fstab_parse(char *text, size_t size, const char *subject, GError **error)
{
	g_autoptr(GPtrArray) entries = dps_fstab_new();
	g_autoptr(Table) table = NULL;
	g_autoptr(Iterator) iterator = NULL;
	struct libmnt_fs *fs;
	FILE *stream;

	if (size == 0)
		return g_steal_pointer(&entries); /* fmemopen(3) refuses it */
	if (memchr(text, '\0', size))
		return dps_throw_null(error, DPS_ERROR_CORRUPT,
				      "%s: it has a NUL byte: no text file", subject);

	stream = fmemopen(text, size, "r");
	if (!stream)
		return dps_throw_errno_null(error, errno, "%s: read", subject);

	table = new_table();
	mnt_table_parse_stream(table, stream, subject);
	(void)fclose(stream); /* over memory */

	iterator = new_iterator();
	while (mnt_table_next_fs(table, iterator, &fs) == 0) {
		if (entries->len == MAX_ENTRIES)
			return dps_throw_null(error, DPS_ERROR_CORRUPT,
					      "%s: more than %d lines that mount something",
					      subject, MAX_ENTRIES);
		g_ptr_array_add(entries, make_fstab_entry(fs));
	}
	return g_steal_pointer(&entries);
}

/* udev writes what is no plain character in the name of a link as "\\x20". */
static char *
decode_link_name(const char *name)
{
	GString *decoded = g_string_new(NULL);

	while (*name) {
		if (name[0] == '\\' && name[1] == 'x' && g_ascii_isxdigit(name[2]) &&
		    g_ascii_isxdigit(name[3])) {
			g_string_append_c(decoded, (char)(g_ascii_xdigit_value(name[2]) << 4 |
							  g_ascii_xdigit_value(name[3])));
			name += 4;
		} else {
			g_string_append_c(decoded, *name++);
		}
	}
	return g_string_free(decoded, FALSE);
}

char *
dps_fstab_normalise_spec(const char *spec)
{
	static const struct {
		const char *directory, *tag;
	} links[] = {
		{ "/dev/disk/by-uuid/", "UUID=" },
		{ "/dev/disk/by-label/", "LABEL=" },
		{ "/dev/disk/by-partuuid/", "PARTUUID=" },
		{ "/dev/disk/by-partlabel/", "PARTLABEL=" },
	};

	for (guint i = 0; i < G_N_ELEMENTS(links); i++) {
		g_autofree char *name = NULL;

		if (!g_str_has_prefix(spec, links[i].directory))
			continue;
		name = decode_link_name(spec + strlen(links[i].directory));
		return g_strconcat(links[i].tag, name, NULL);
	}
	return g_strdup(spec);
}

static void
crypttab_entry_free(DpsCrypttabEntry *entry)
{
	g_free(entry->name);
	g_free(entry->spec);
	g_free(entry);
}

GPtrArray *
dps_crypttab_parse(char *text, const char *subject, GError **error)
{
	g_autoptr(GPtrArray) entries =
		g_ptr_array_new_with_free_func((GDestroyNotify)crypttab_entry_free);
	char *line;

	while ((line = strsep(&text, "\n"))) {
		const char *fields[2] = { NULL };
		char *rest = line, *field;
		DpsCrypttabEntry *entry;
		guint n = 0;

		while ((field = strsep(&rest, " \t\r\f\v"))) {
			if (*field && n < G_N_ELEMENTS(fields))
				fields[n] = field;
			n += *field ? 1 : 0;
		}
		if (n < G_N_ELEMENTS(fields) || *fields[0] == '#')
			continue;

		if (entries->len == MAX_ENTRIES)
			return dps_throw_null(error, DPS_ERROR_CORRUPT,
					      "%s: more than %d lines that open something", subject,
					      MAX_ENTRIES);
		entry = g_new0(DpsCrypttabEntry, 1);
		entry->name = g_strdup(fields[0]);
		entry->spec = g_strdup(fields[1]);
		g_ptr_array_add(entries, entry);
	}
	return g_steal_pointer(&entries);
}

static DpsSwap *
make_swap(const DpsSystem *system, struct libmnt_fs *fs)
{
	DpsSwap *swap = g_new0(DpsSwap, 1);
	g_autoptr(GPtrArray) backings = NULL;
	dev_t device;

	swap->path = g_strdup(or_empty(mnt_fs_get_source(fs)));
	swap->is_file = g_strcmp0(mnt_fs_get_swaptype(fs), "file") == 0;
	if (!swap->is_file && dps_blockdev_find_node(system, swap->path, &device)) {
		swap->is_zram = dps_blockdev_is_zram(system, device);
		backings = dps_blockdev_resolve(system, device, NULL);
	}
	swap->backings = backings
				 ? g_steal_pointer(&backings)
				 : g_ptr_array_new_with_free_func((GDestroyNotify)dps_backing_free);
	return swap;
}

GPtrArray *
dps_swaps_read(const DpsSystem *system)
{
	g_autofree char *path = g_build_filename(system->proc, "swaps", NULL);
	GPtrArray *swaps = g_ptr_array_new_with_free_func((GDestroyNotify)swap_free);
	g_autoptr(Table) table = new_table();
	g_autoptr(Iterator) iterator = new_iterator();
	struct libmnt_fs *fs;

	if (mnt_table_parse_swaps(table, path) == 0)
		while (mnt_table_next_fs(table, iterator, &fs) == 0)
			g_ptr_array_add(swaps, make_swap(system, fs));
	return swaps;
}
