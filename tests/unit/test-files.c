/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fault.h"
#include "ground/error.h"
#include "target/files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* A file system that is a table. */
static const struct {
	const char *path;
	DpsFileKind kind;
	const char *content; /* of a file, or where a link leads */
} table[] = {
	{ "/", DPS_FILE_DIRECTORY, NULL },
	{ "/etc", DPS_FILE_DIRECTORY, NULL },
	{ "/etc/os-release", DPS_FILE_LINK, "../usr/lib/os-release" },
	{ "/etc/absolute", DPS_FILE_LINK, "/usr/lib/os-release" },
	{ "/etc/out", DPS_FILE_LINK, "../../../../usr/./lib//os-release" },
	{ "/etc/dangling", DPS_FILE_LINK, "nothing" },
	{ "/etc/loop", DPS_FILE_LINK, "loop" },
	{ "/etc/grows", DPS_FILE_LINK, "grows/grows" },
	{ "/etc/empty", DPS_FILE_LINK, "" },
	{ "/lib", DPS_FILE_LINK, "usr/lib" },
	{ "/usr", DPS_FILE_DIRECTORY, NULL },
	{ "/usr/lib", DPS_FILE_DIRECTORY, NULL },
	{ "/usr/lib/os-release", DPS_FILE_REGULAR, "ID=test\n" },
	{ "/usr/lib/broken", DPS_FILE_REGULAR, NULL },
	{ "/dev", DPS_FILE_OTHER, NULL },
};

static DpsFileInfo *
make_info(guint row)
{
	DpsFileInfo *info = g_new0(DpsFileInfo, 1);

	info->name = g_path_get_basename(table[row].path);
	info->kind = table[row].kind;
	if (info->kind == DPS_FILE_REGULAR && table[row].content)
		info->size = strlen(table[row].content);
	return info;
}

static guint
find_row(const char *path, GError **error)
{
	/* What every class may rely on. */
	g_assert_true(path[0] == '/');
	g_assert_null(strstr(path, "//"));
	g_assert_null(strstr(path, "/."));
	g_assert_true(path[1] == '\0' || !g_str_has_suffix(path, "/"));

	for (guint i = 0; i < G_N_ELEMENTS(table); i++)
		if (g_str_equal(table[i].path, path))
			return i;
	dps_throw(error, DPS_ERROR_NOT_FOUND, "%s: not in the table", path);
	return G_N_ELEMENTS(table);
}

static DpsFileInfo *
table_stat(void *fs, const char *path, GError **error)
{
	guint row;

	if (g_str_has_prefix(path, "/etc/unreadable")) {
		dps_throw(error, DPS_ERROR_IO, "%s: read", path);
		return NULL;
	}
	row = find_row(path, error);
	return row < G_N_ELEMENTS(table) ? make_info(row) : NULL;
}

static GPtrArray *
table_list(void *fs, const char *path, GError **error)
{
	GPtrArray *infos = g_ptr_array_new_with_free_func((GDestroyNotify)dps_file_info_free);

	/* The wrong way round, so that somebody has to sort. */
	for (guint i = G_N_ELEMENTS(table); i-- > 1;) {
		g_autofree char *parent = g_path_get_dirname(table[i].path);

		if (g_str_equal(parent, path))
			g_ptr_array_add(infos, make_info(i));
	}
	return infos;
}

static gboolean
table_open(void *fs, const char *path, DpsRegion *region, void **handle, GError **error)
{
	guint row = find_row(path, error);
	guint *n_open = fs;

	if (!table[row].content)
		return dps_throw(error, DPS_ERROR_IO, "%s: read", path);
	*region = dps_region_over_memory(table[row].content, strlen(table[row].content));
	*handle = n_open;
	++*n_open;
	return TRUE;
}

static void
table_close(void *handle)
{
	guint *n_open = handle;

	--*n_open;
}

static char *
table_read_link(void *fs, const char *path, GError **error)
{
	guint row = find_row(path, error);

	return g_strdup(table[row].content);
}

static const DpsFilesClass table_class = {
	.type = "table",
	.stat = table_stat,
	.list = table_list,
	.open = table_open,
	.close = table_close,
	.read_link = table_read_link,
};

static void
test_links(void)
{
	static const struct {
		const char *path;
		int code; /* 0: it is known what is there */
		const char *name;
	} rows[] = {
		{ "", 0, "/" },
		{ "/", 0, "/" },
		{ "..", 0, "/" },
		{ "/usr/../usr/./lib//os-release", 0, "os-release" },
		{ "usr/lib/", 0, "lib" },
		{ "/etc/os-release", 0, "os-release" },
		{ "/etc/absolute", 0, "os-release" },
		{ "/etc/out", 0, "os-release" },
		{ "/lib/os-release", 0, "os-release" },
		{ "/lib/../lib", 0, "lib" },
		{ "/etc/dangling", 0, NULL },
		{ "/nothing", 0, NULL },
		{ "/nothing/below", 0, NULL },
		{ "/usr/lib/os-release/below", 0, NULL },
		{ "/etc/os-release/below", 0, NULL },
		{ "/dev/null", 0, NULL },
		{ "/etc/loop", DPS_ERROR_REFUSED, NULL },
		{ "/etc/loop/below", DPS_ERROR_REFUSED, NULL },
		{ "/etc/grows", DPS_ERROR_REFUSED, NULL },
		{ "/etc/empty", DPS_ERROR_CORRUPT, NULL },
		{ "/etc/unreadable", DPS_ERROR_IO, NULL },
		{ "/etc/unreadable/below", DPS_ERROR_IO, NULL },
	};
	guint n_open = 0;
	g_autoptr(DpsFiles) files = dps_files_new(&table_class, &n_open, NULL);

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		g_autoptr(DpsFileInfo) info = NULL;
		gboolean known = dps_files_lookup(files, rows[i].path, &info, &error);

		g_test_message("%s", rows[i].path);
		g_assert_cmpint(known, ==, rows[i].code == 0);
		g_assert_cmpstr(info ? info->name : NULL, ==, rows[i].name);
		if (rows[i].code != 0)
			g_assert_error(error, DPS_ERROR, rows[i].code);
		g_assert_cmpint(dps_files_get_lost(files, rows[i].path) != NULL, ==,
				rows[i].code == DPS_ERROR_IO);
	}
	g_assert_true(g_str_has_prefix(dps_files_get_first_lost(files), "/etc/unreadable: "));
	g_assert_nonnull(dps_files_get_lost(files, "etc/unreadable"));
	g_assert_null(dps_files_get_lost(files, "/etc"));
}

/* A directory as "/": links and ".." end there, and what is outside is not there. */
static void
test_top(void)
{
	static const struct {
		const char *path, *name;
	} rows[] = {
		{ "/", "usr" },
		{ "..", "usr" },
		{ "/lib/os-release", "os-release" },
		{ "../../lib/../lib", "lib" },
		{ "/usr", NULL },
		{ "/etc/os-release", NULL },
	};
	guint n_open = 0;
	g_autoptr(DpsFiles) files = dps_files_new(&table_class, &n_open, NULL);
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) names = NULL;
	g_autofree char *text = NULL;

	g_assert_true(dps_files_set_top(files, "/usr", &error));
	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(DpsFileInfo) info = NULL;

		g_test_message("%s", rows[i].path);
		g_assert_true(dps_files_lookup(files, rows[i].path, &info, &error));
		g_assert_cmpstr(info ? info->name : NULL, ==, rows[i].name);
	}
	text = dps_files_read(files, "/lib/os-release", 1024, NULL, &error);
	g_assert_no_error(error);
	g_assert_nonnull(text);
	names = dps_files_list(files, "/lib", &error);
	g_assert_no_error(error);

	g_assert_true(dps_files_set_top(files, "lib", &error)); /* of what is the top now */
	g_assert_true(dps_files_lookup(files, "os-release", NULL, &error));
	g_assert_false(dps_files_set_top(files, "gone", &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_NOT_FOUND);
	g_clear_error(&error);
	g_assert_false(dps_files_set_top(files, "os-release", &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_INVALID);
	g_clear_error(&error);
	g_assert_true(dps_files_set_top(files, NULL, &error));
	g_clear_pointer(&text, g_free);
	text = dps_files_read(files, "/etc/os-release", 1024, NULL, &error);
	g_assert_no_error(error);
}

static void
test_read(void)
{
	static const struct {
		const char *path;
		size_t max_size;
		int code;
	} rows[] = {
		{ "/etc/os-release", 100, 0 },
		{ "/etc/os-release", 8, 0 },
		{ "/etc/os-release", 7, DPS_ERROR_CORRUPT },
		{ "/usr/lib", 100, DPS_ERROR_INVALID },
		{ "/dev", 100, DPS_ERROR_INVALID },
		{ "/nothing", 100, DPS_ERROR_NOT_FOUND },
		{ "/usr/lib/broken", 100, DPS_ERROR_IO },
	};
	guint n_open = 0;
	g_autoptr(DpsFiles) files = dps_files_new(&table_class, &n_open, "a note");

	g_assert_cmpstr(dps_files_get_note(files), ==, "a note");
	g_assert_cmpstr(dps_files_get_type(files), ==, "table");
	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		size_t size = 99;
		g_autofree char *content =
			dps_files_read(files, rows[i].path, rows[i].max_size, &size, &error);

		if (rows[i].code == 0) {
			g_assert_no_error(error);
			g_assert_cmpstr(content, ==, "ID=test\n");
			g_assert_cmpuint(size, ==, 8);
		} else {
			g_assert_null(content);
			g_assert_error(error, DPS_ERROR, rows[i].code);
			g_assert_cmpuint(size, ==, 99); /* untouched on failure */
		}
		g_assert_cmpint(dps_files_get_lost(files, rows[i].path) != NULL, ==,
				rows[i].code == DPS_ERROR_IO);
		g_assert_cmpuint(n_open, ==, 0);
	}
}

static void
test_list(void)
{
	static const char *const wanted[] = { "dev", "etc", "lib", "usr" };
	guint n_open = 0;
	g_autoptr(DpsFiles) files = dps_files_new(&table_class, &n_open, NULL);
	g_autoptr(GPtrArray) infos = dps_files_list(files, "/etc/..", NULL);
	g_autoptr(GPtrArray) through = dps_files_list(files, "/lib", NULL);
	g_autoptr(GError) error = NULL;

	g_assert_cmpuint(infos->len, ==, G_N_ELEMENTS(wanted));
	for (guint i = 0; i < infos->len; i++)
		g_assert_cmpstr(((DpsFileInfo *)infos->pdata[i])->name, ==, wanted[i]);
	g_assert_cmpuint(through->len, ==, 2);

	g_assert_null(dps_files_list(files, "/etc/os-release", &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_INVALID);
	g_clear_error(&error);
	g_assert_null(dps_files_list(files, "/nothing", &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_NOT_FOUND);
}

static void
test_what_a_format_has_not(void)
{
	guint n_open = 0;
	g_autoptr(DpsFiles) files = dps_files_new(&table_class, &n_open, NULL);
	g_autoptr(GError) error = NULL;
	uint64_t size = 1, unused = 2, unit = 3;
	GBytes *value = NULL;

	g_assert_false(dps_files_get_attribute(files, "/etc", "user.x", &value, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_UNSUPPORTED);
	g_clear_error(&error);
	g_assert_false(dps_files_get_attribute(files, "/nothing", "user.x", &value, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_NOT_FOUND);
	g_clear_error(&error);
	g_assert_false(dps_files_get_space(files, &size, &unused, &unit, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_UNSUPPORTED);
	g_assert_cmpuint(size + unused + unit, ==, 6); /* untouched on failure */
}

/* A directory on disk: inner/ is what we open, and outside.txt lies beside it. */
typedef struct {
	char *top;
	int inner;
} Place;

static void
put(int dir, const char *name, const char *content)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);

	g_assert_cmpint(fd, >=, 0);
	g_assert_cmpint(write(fd, content, strlen(content)), ==, strlen(content));
	close(fd);
}

static Place
make_place(void)
{
	Place place = { .top = g_dir_make_tmp("dps-files-XXXXXX", NULL) };
	int top = open(place.top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	put(top, "outside.txt", "outside");
	g_assert_cmpint(mkdirat(top, "inner", 0755), ==, 0);
	place.inner = openat(top, "inner", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	g_assert_cmpint(mkdirat(place.inner, "EFI", 0755), ==, 0);
	g_assert_cmpint(mkdirat(place.inner, "EFI/Linux", 0700), ==, 0);
	put(place.inner, "EFI/Linux/one.efi", "one");
	put(place.inner, "EFI/Linux/ONE.EFI", "ONE");
	put(place.inner, "EFI/Linux/two.efi", "two");
	put(place.inner, "caf\351", "latin");
	g_assert_cmpint(symlinkat("../outside.txt", place.inner, "out"), ==, 0);
	g_assert_cmpint(symlinkat("/EFI/Linux", place.inner, "in"), ==, 0);
	g_assert_cmpint(symlinkat("..", place.inner, "EFI/up"), ==, 0);
	g_assert_cmpint(mkfifoat(place.inner, "pipe", 0600), ==, 0);
	close(top);
	return place;
}

static void
clear_place(Place *place)
{
	g_autofree char *command = g_strdup_printf("rm -rf '%s'", place->top);

	close(place->inner);
	g_assert_true(g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL));
	g_free(place->top);
}

static void
test_dir(void)
{
	static const struct {
		DpsFilesFlags flags;
		const char *path;
		const char *content; /* NULL: see code */
		int code;
	} rows[] = {
		{ 0, "/EFI/Linux/two.efi", "two", 0 },
		{ 0, "EFI/Linux/../Linux/two.efi", "two", 0 },
		{ 0, "/efi/linux/two.efi", NULL, DPS_ERROR_NOT_FOUND },
		{ 0, "/in/two.efi", "two", 0 },
		{ 0, "/EFI/up/in/two.efi", "two", 0 },
		{ 0, "/EFI/up/../../../EFI/Linux/two.efi", "two", 0 },
		{ 0, "/out", NULL, DPS_ERROR_NOT_FOUND }, /* outside.txt is not inside */
		{ 0, "/../outside.txt", NULL, DPS_ERROR_NOT_FOUND },
		{ 0, "/pipe", NULL, DPS_ERROR_INVALID }, /* and nobody waits */
		{ 0, "/EFI", NULL, DPS_ERROR_INVALID },
		{ 0, "/EFI/Linux/two.efi/x", NULL, DPS_ERROR_NOT_FOUND },
		{ DPS_FILES_NO_LINKS, "/in/two.efi", NULL, DPS_ERROR_NOT_FOUND },
		{ DPS_FILES_NO_LINKS, "/in", NULL, DPS_ERROR_NOT_FOUND },
		{ DPS_FILES_NO_LINKS, "/out", NULL, DPS_ERROR_NOT_FOUND },
		{ DPS_FILES_NO_LINKS, "/EFI/Linux/two.efi", "two", 0 },
		{ DPS_FILES_IGNORE_CASE, "/efi/linux/TWO.EFI", "two", 0 },
		{ DPS_FILES_IGNORE_CASE, "/efi/linux/one.efi", "one", 0 },
		{ DPS_FILES_IGNORE_CASE, "/efi/linux/One.efi", "ONE", 0 }, /* the first by bytes */
		{ DPS_FILES_IGNORE_CASE, "/efi/linux/three.efi", NULL, DPS_ERROR_NOT_FOUND },
		{ DPS_FILES_IGNORE_CASE, "/loader", NULL, DPS_ERROR_NOT_FOUND },
	};
	Place place = make_place();

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		g_autoptr(DpsFiles) files = dps_files_open_dir(place.inner, rows[i].flags, &error);
		g_autofree char *content = NULL;

		g_assert_no_error(error);
		content = dps_files_read(files, rows[i].path, 100, NULL, &error);
		g_test_message("%u %s: %s", rows[i].flags, rows[i].path,
			       error ? error->message : content);
		g_assert_cmpstr(content, ==, rows[i].content);
		if (!rows[i].content)
			g_assert_error(error, DPS_ERROR, rows[i].code);
	}
	clear_place(&place);
}

static void
test_dir_list(void)
{
	static const struct {
		const char *name;
		DpsFileKind kind;
		uint64_t size;
		gboolean damaged;
	} wanted[] = {
		{ "EFI", DPS_FILE_DIRECTORY, 0, FALSE },
		{ "caf\357\277\275", DPS_FILE_REGULAR, 5, TRUE },
		{ "in", DPS_FILE_LINK, 0, FALSE },
		{ "out", DPS_FILE_LINK, 0, FALSE },
		{ "pipe", DPS_FILE_OTHER, 0, FALSE },
	};
	Place place = make_place();
	g_autofree char *long_name = g_strnfill(300, 'x');

	for (guint no_links = 0; no_links < 2; no_links++) {
		g_autoptr(DpsFiles) files =
			dps_files_open_dir(place.inner, no_links ? DPS_FILES_NO_LINKS : 0, NULL);
		g_autoptr(GPtrArray) infos = dps_files_list(files, "/", NULL);
		g_autoptr(DpsFileInfo) info = NULL;
		uint64_t size = 0, unused = 0, unit = 0;

		for (guint i = 0, k = 0; i < G_N_ELEMENTS(wanted); i++) {
			const DpsFileInfo *got;

			if (no_links && wanted[i].kind == DPS_FILE_LINK)
				continue;
			g_assert_cmpuint(k, <, infos->len);
			got = g_ptr_array_index(infos, k++);
			g_assert_cmpstr(got->name, ==, wanted[i].name);
			g_assert_cmpint(got->kind, ==, wanted[i].kind);
			g_assert_cmpuint(got->size, ==, wanted[i].size);
			g_assert_cmpint(got->is_name_damaged, ==, wanted[i].damaged);
		}
		g_assert_cmpuint(infos->len, ==, no_links ? 3 : 5);

		g_assert_true(dps_files_get_space(files, &size, &unused, &unit, NULL));
		g_assert_cmpuint(size, >=, unused);
		g_assert_cmpuint(unit, >, 0);

		g_assert_true(dps_files_lookup(files, "/EFI/Linux", &info, NULL));
		g_assert_cmpint(info->mode, ==, 0700);
		g_clear_pointer(&info, dps_file_info_free);
		g_assert_true(dps_files_lookup(files, long_name, &info, NULL));
		g_assert_null(info);
	}
	clear_place(&place);
}

static void
test_dir_attribute(void)
{
	Place place = make_place();
	g_autoptr(DpsFiles) files = dps_files_open_dir(place.inner, 0, NULL);
	g_autoptr(GBytes) value = NULL;
	g_autoptr(GError) error = NULL;

	if (fsetxattr(place.inner, "user.validatefs.gpt_label", "root\0other", 10, 0) < 0) {
		g_test_skip("no user attributes on this file system");
	} else {
		g_assert_true(dps_files_get_attribute(files, "/", "user.validatefs.gpt_label",
						      &value, &error));
		g_assert_no_error(error);
		g_assert_cmpmem(g_bytes_get_data(value, NULL), g_bytes_get_size(value),
				"root\0other", 10);
		g_clear_pointer(&value, g_bytes_unref);
		g_assert_true(dps_files_get_attribute(files, "/", "user.none", &value, &error));
		g_assert_null(value);
	}
	clear_place(&place);
}

static void
test_no_dir(void)
{
	Place place = make_place();
	int fd = openat(place.inner, "EFI/Linux/two.efi", O_RDONLY | O_CLOEXEC);
	g_autoptr(GError) error = NULL;

	g_assert_null(dps_files_open_dir(fd, 0, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_INVALID);
	close(fd);
	clear_place(&place);
}

/* Everything that a directory is asked for. */
static gboolean
ask_all(DpsFiles *files, GError **error)
{
	g_autoptr(GPtrArray) list = dps_files_list(files, "/EFI/Linux", error);
	g_autoptr(DpsFileInfo) info = NULL;
	g_autoptr(GBytes) value = NULL;
	g_autofree char *content = NULL;
	uint64_t size, n_free, unit;

	if (!list || !dps_files_lookup(files, "/in/two.efi", &info, error))
		return FALSE;
	content = dps_files_read(files, "/in/two.efi", 100, NULL, error);
	return content && dps_files_get_space(files, &size, &n_free, &unit, error) &&
	       dps_files_get_attribute(files, "/EFI/Linux/two.efi", "user.none", &value, error);
}

/* What cannot be opened, read or asked is an error that says so, and never an empty answer. */
static void
test_dir_broken(void)
{
	static const char *const calls[] = { "open",	"fstat", "statat",  "read",
					     "statvfs", "xattr", "readlink" };
	Place place = make_place();
	g_autoptr(GError) failure = NULL;
	g_autoptr(DpsFiles) files = dps_files_open_dir(place.inner, 0, &failure);

	g_assert_no_error(failure);
	for (guint i = 0; i < G_N_ELEMENTS(calls); i++)
		for (guint nth = 1, was_reached = TRUE; was_reached; nth++) {
			g_autoptr(GError) error = NULL;
			gboolean done;

			fault_set(calls[i], nth, EIO);
			done = ask_all(files, &error);
			was_reached = fault_clear();
			g_test_message("call %u, %u: %s", i, nth, error ? error->message : "done");
			g_assert_cmpint(done, ==, !was_reached);
			g_assert_true(was_reached || nth > 1);
			if (!done)
				g_assert_error(error, DPS_ERROR, DPS_ERROR_IO);
		}

	/* Who may not list it may go through it; and a name that is gone meanwhile is not there. */
	{
		g_autoptr(DpsFiles) unlisted = NULL;
		g_autoptr(GPtrArray) list = NULL;

		fault_set("open", 1, EACCES);
		unlisted = dps_files_open_dir(place.inner, 0, &failure);
		g_assert_true(fault_clear());
		g_assert_no_error(failure);
		g_assert_true(ask_all(unlisted, &failure));

		fault_set("statat", 4, ENOENT); /* "/", "/EFI", "/EFI/Linux" come before */
		list = dps_files_list(files, "/EFI/Linux", &failure);
		g_assert_true(fault_clear());
		g_assert_no_error(failure);
		g_assert_cmpuint(list->len, ==, 2); /* of three */

		fault_set("open", 1, EMFILE);
		g_assert_null(dps_files_open_dir(place.inner, 0, &failure));
		g_assert_true(fault_clear());
		g_assert_error(failure, DPS_ERROR, DPS_ERROR_IO);
	}
	clear_place(&place);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/files/links", test_links);
	g_test_add_func("/files/top", test_top);
	g_test_add_func("/files/read", test_read);
	g_test_add_func("/files/list", test_list);
	g_test_add_func("/files/what-a-format-has-not", test_what_a_format_has_not);
	g_test_add_func("/files/dir", test_dir);
	g_test_add_func("/files/dir-list", test_dir_list);
	g_test_add_func("/files/dir-attribute", test_dir_attribute);
	g_test_add_func("/files/no-dir", test_no_dir);
	g_test_add_func("/files/dir-broken", test_dir_broken);
	return g_test_run();
}
