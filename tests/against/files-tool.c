/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * files-tool fat IMAGE [OFFSET SIZE] | dir PATH | ext4 IMAGE | read KIND IMAGE PATH OFFSET SIZE |
 * attribute KIND IMAGE PATH NAME:
 * what libdps reads of a file system, as one JSON document, for tests that ask others the same.
 */
#include "format/fat-directory.h"
#include "target/esp.h"
#include "target/ext4.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

G_GNUC_NORETURN static void
fail(const GError *error)
{
	fprintf(stderr, "files-tool: %s\n", error->message);
	exit(3);
}

/* Bytes that this process has read so far: /proc/self/io, "rchar". */
static json_int_t
bytes_read(void)
{
	g_autofree char *text = NULL;

	if (!g_file_get_contents("/proc/self/io", &text, NULL, NULL))
		return -1;
	return (json_int_t)g_ascii_strtoull(text + strlen("rchar: "), NULL, 10);
}

/* The most memory that this program has had: unlike ru_maxrss, without what its parent had. */
static json_int_t
peak_kib(void)
{
	g_autofree char *text = NULL;
	const char *line;

	if (!g_file_get_contents("/proc/self/status", &text, NULL, NULL))
		return -1;
	line = strstr(text, "VmHWM:");
	return line ? (json_int_t)g_ascii_strtoull(line + strlen("VmHWM:"), NULL, 10) : -1;
}

static char *
hash_file(DpsFiles *files, const char *path)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsFile) file = dps_files_open(files, path, &error);
	g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
	g_autofree guint8 *piece = g_malloc(65536);
	const DpsRegion *region;

	if (!file)
		return g_strdup_printf("error: %s", error->message);
	region = dps_file_get_region(file);
	for (uint64_t at = 0; at < region->size; at += 65536) {
		size_t n = (size_t)MIN(65536, region->size - at);

		if (!dps_region_read(region, at, piece, n, &error))
			return g_strdup_printf("error: %s", error->message);
		g_checksum_update(sum, piece, (gssize)n);
	}
	return g_strdup(g_checksum_get_string(sum));
}

static void
add_directory(DpsFiles *files, const char *path, json_t *list, guint depth)
{
	static const char *const kinds[] = { "file", "directory", "link", "other" };
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) infos = dps_files_list(files, path, &error);

	if (!infos || depth > DPS_FAT_MAX_DEPTH) {
		json_array_append_new(list, json_pack("{ss ss}", "path", path, "error",
						      error ? error->message : "too deep"));
		return;
	}
	for (guint i = 0; i < infos->len; i++) {
		const DpsFileInfo *info = g_ptr_array_index(infos, i);
		g_autofree char *child =
			g_strconcat(strcmp(path, "/") == 0 ? "" : path, "/", info->name, NULL);
		g_autofree char *sum =
			info->kind == DPS_FILE_REGULAR ? hash_file(files, child) : NULL;

		json_array_append_new(list,
				      json_pack("{ss ss sI si sb ss?}", "path", child, "kind",
						kinds[info->kind], "size", (json_int_t)info->size,
						"mode", (int)info->mode, "damaged",
						(int)info->is_name_damaged, "sha256", sum));
		if (info->kind == DPS_FILE_DIRECTORY && !info->is_name_damaged)
			add_directory(files, child, list, depth + 1);
	}
}

static json_t *
show_fat(DpsFat *fat)
{
	static const char *const kinds[] = {
		"copies-differ", "cross-linked", "lost",      "bad-chain", "size",
		"long-name",	 "name",	 "same-name", "directory",
	};
	const DpsFatGeometry *geo = dps_fat_get_geometry(fat);
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) problems = NULL;
	DpsFatState state;
	uint32_t n_free;
	json_t *list = json_array();

	if (!dps_fat_count_free(fat, &n_free, &error) || !dps_fat_read_state(fat, &state, &error))
		fail(error);
	problems = dps_fat_check(fat, &error);
	if (!problems)
		fail(error);
	for (guint i = 0; i < problems->len; i++) {
		const DpsFatProblem *problem = g_ptr_array_index(problems, i);

		json_array_append_new(list,
				      json_pack("{ss ss? ss}", "kind", kinds[problem->kind], "path",
						problem->path, "message", problem->message));
	}

	return json_pack("{si si si si si sI sI si si sI sI sI sI ss sb sb sb so}", "sector_size",
			 (int)geo->sector_size, "sectors_per_cluster",
			 (int)geo->sectors_per_cluster, "reserved", (int)geo->reserved_sectors,
			 "n_fats", (int)geo->n_fats, "root_entries", (int)geo->root_entries,
			 "total_sectors", (json_int_t)geo->total_sectors, "fat_sectors",
			 (json_int_t)geo->fat_sectors, "width", (int)geo->width, "width_by_count",
			 (int)geo->width_by_count, "n_clusters", (json_int_t)geo->n_clusters,
			 "n_clusters_usable", (json_int_t)geo->n_clusters_usable, "free",
			 (json_int_t)n_free, "serial", (json_int_t)geo->serial, "label",
			 geo->boot_label, "dirty", (int)state.is_dirty, "errors",
			 (int)state.has_errors, "backup_differs", (int)geo->is_backup_different,
			 "problems", list);
}

/* One range of one file, raw, and on stderr how many bytes of the image that took. */
static int
read_range(DpsFiles *files, const char *path, uint64_t offset, size_t size)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *buffer = g_malloc(size);
	json_int_t before = bytes_read();
	g_autoptr(DpsFile) file = dps_files_open(files, path, &error);

	if (!file || !dps_region_read(dps_file_get_region(file), offset, buffer, size, &error))
		fail(error);
	fprintf(stderr, "%" JSON_INTEGER_FORMAT "\n", bytes_read() - before);
	fwrite(buffer, 1, size, stdout);
	return 0;
}

static int
show_attribute(DpsFiles *files, const char *path, const char *name)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GBytes) value = NULL;

	if (!dps_files_get_attribute(files, path, name, &value, &error))
		fail(error);
	if (value)
		fwrite(g_bytes_get_data(value, NULL), 1, g_bytes_get_size(value), stdout);
	return value ? 0 : 1;
}

int
main(int argc, char **argv)
{
	const gboolean attribute = argc == 6 && strcmp(argv[1], "attribute") == 0;
	const gboolean read = argc == 7 && strcmp(argv[1], "read") == 0;
	const char *kind, *path;
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsEsp) esp = NULL;
	g_autoptr(DpsFiles) own = NULL;
	DpsFiles *files = NULL;
	DpsRegion region;
	uint64_t size = 0, unused = 0, unit = 0;
	json_t *document, *list;
	int fd = -1;

	if (argc < 3) {
		fprintf(stderr, "usage: files-tool [read] fat|dir|ext4 PATH …\n");
		return 2;
	}
	kind = argv[read || attribute ? 2 : 1];
	path = argv[read || attribute ? 3 : 2];

	if (strcmp(kind, "dir") == 0) {
		esp = dps_esp_open_dir(path, &error);
	} else {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			perror(path);
			return 2;
		}
		region = dps_region_over_fd(fd, 0, (uint64_t)lseek(fd, 0, SEEK_END));
		if (argc == 5)
			region = dps_region_over_fd(fd, g_ascii_strtoull(argv[3], NULL, 10),
						    g_ascii_strtoull(argv[4], NULL, 10));
		if (strcmp(kind, "fat") == 0)
			esp = dps_esp_open_region(&region, &error);
		else
			files = own = dps_ext4_open(&region, &error);
	}
	if (error)
		fail(error);
	if (esp)
		files = dps_esp_get_files(esp);
	if (attribute)
		return show_attribute(files, argv[4], argv[5]);
	if (read)
		return read_range(files, argv[4], g_ascii_strtoull(argv[5], NULL, 10),
				  (size_t)g_ascii_strtoull(argv[6], NULL, 10));

	if (!dps_files_get_space(files, &size, &unused, &unit, &error))
		fail(error);
	document = json_pack("{ss ss? sI sI sI}", "type", dps_files_get_type(files), "note",
			     dps_files_get_note(files), "size", (json_int_t)size, "free",
			     (json_int_t)unused, "unit", (json_int_t)unit);
	if (esp && dps_esp_get_fat(esp))
		json_object_set_new(document, "fat", show_fat(dps_esp_get_fat(esp)));
	list = json_array();
	add_directory(files, "/", list, 0);
	json_object_set_new(document, "files", list);
	json_object_set_new(document, "peak_kib", json_integer(peak_kib()));
	json_dumpf(document, stdout, JSON_INDENT(1));
	putchar('\n');
	json_decref(document);
	g_clear_pointer(&esp, dps_esp_free);
	if (fd >= 0)
		close(fd);
	return 0;
}
