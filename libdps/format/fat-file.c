/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/fat-file.h"
#include "ground/error.h"

#include <inttypes.h>

/* Clusters that lie behind one another, in the file and on the medium. */
typedef struct {
	uint32_t index; /* of the first of them, in the file */
	uint32_t cluster;
	uint32_t count;
} Run;

/* What a file in more pieces has behind these is found by walking its chain: 192 KiB are enough. */
#define MAX_RUNS 16384

struct _DpsFatFile {
	DpsFat *fat;
	uint32_t size;
	uint32_t first;
	GArray *runs; /* (element-type Run): the beginning of the file, without a gap */

	/* Where the last walk stood, when that is behind the last run. */
	uint32_t cursor_index, cursor;
};

DpsFatFile *
dps_fat_open_file(DpsFat *self, const DpsFatEntry *entry, GError **error)
{
	const DpsFatGeometry *geo = dps_fat_get_geometry(self);
	DpsFatFile *file;

	if (entry->attributes & (DPS_FAT_ATTRIBUTE_DIRECTORY | DPS_FAT_ATTRIBUTE_VOLUME))
		return dps_throw_null(error, DPS_ERROR_INVALID, "%s: not a file", entry->name);
	if (entry->size > (uint64_t)geo->n_clusters * geo->cluster_size)
		return dps_throw_null(error, DPS_ERROR_CORRUPT,
				      "%s: %" PRIu32 " bytes: more than the file system has",
				      entry->name, entry->size);
	if (entry->size > 0 && !dps_fat_is_cluster(self, entry->cluster))
		return dps_throw_null(error, DPS_ERROR_CORRUPT,
				      "%s: begins at cluster %" PRIu32
				      ", outside of the file system",
				      entry->name, entry->cluster);

	file = g_new0(DpsFatFile, 1);
	file->fat = self;
	file->size = entry->size;
	file->first = entry->cluster;
	file->runs = g_array_new(FALSE, FALSE, sizeof(Run));
	return file;
}

void
dps_fat_file_free(DpsFatFile *file)
{
	if (!file)
		return;

	g_array_unref(file->runs);
	g_free(file);
}

/* Notes that the cluster with this number in the file, the next one to be known, is @cluster. */
static void
add_to_runs(DpsFatFile *file, uint32_t index, uint32_t cluster)
{
	Run *last =
		file->runs->len > 0 ? &g_array_index(file->runs, Run, file->runs->len - 1) : NULL;

	if (last && cluster == last->cluster + last->count && index == last->index + last->count) {
		last->count++;
	} else if (file->runs->len < MAX_RUNS && (!last || index == last->index + last->count)) {
		Run run = { .index = index, .cluster = cluster, .count = 1 };

		g_array_append_val(file->runs, run);
	}
}

/* The place of a cluster of the file, among those that are known; FALSE: not yet */
static gboolean
find_in_runs(const DpsFatFile *file, uint32_t index, uint32_t *cluster)
{
	guint low = 0, high = file->runs->len;

	while (low < high) {
		guint middle = low + (high - low) / 2;
		const Run *run = &g_array_index(file->runs, Run, middle);

		if (index < run->index) {
			high = middle;
		} else if (index - run->index < run->count) {
			*cluster = run->cluster + (index - run->index);
			return TRUE;
		} else {
			low = middle + 1;
		}
	}
	return FALSE;
}

/* Which cluster is the one with this number in the file.  Never walks further than there. */
static gboolean
find_cluster(DpsFatFile *file, uint32_t index, uint32_t *cluster, GError **error)
{
	uint32_t at = file->first, i = 0;

	if (find_in_runs(file, index, cluster))
		return TRUE;

	if (file->runs->len == 0) {
		add_to_runs(file, 0, at);
	} else {
		const Run *last = &g_array_index(file->runs, Run, file->runs->len - 1);

		i = last->index + last->count - 1;
		at = last->cluster + last->count - 1;
	}
	if (file->cursor_index > i && file->cursor_index <= index) {
		i = file->cursor_index;
		at = file->cursor;
	}

	while (i < index) {
		uint32_t next;

		if (!dps_fat_next(file->fat, at, &next, error))
			return FALSE;
		if (next == DPS_FAT_CLUSTER_END)
			return dps_throw(error, DPS_ERROR_CORRUPT,
					 "cluster %" PRIu32
					 ": the chain ends here, before the %" PRIu32
					 " bytes of the file",
					 at, file->size);
		at = next;
		i++;
		add_to_runs(file, i, at);
	}
	file->cursor_index = i;
	file->cursor = at;
	*cluster = at;
	return TRUE;
}

static gboolean
read_file(void *data, uint64_t offset, void *buffer, size_t size, GError **error)
{
	DpsFatFile *file = data;
	const uint64_t cluster_size = dps_fat_get_geometry(file->fat)->cluster_size;
	uint8_t *to = buffer;

	while (size > 0) {
		/* A file has less than 2^32 bytes, so neither number is cut. */
		uint32_t index = (uint32_t)(offset / cluster_size), first, last, next;
		uint64_t within = offset % cluster_size, there;
		uint32_t n = 1;

		if (!find_cluster(file, index, &first, error))
			return FALSE;

		/* As many as lie behind one another are one read. */
		last = (uint32_t)((offset + size - 1) / cluster_size);
		while (index + n <= last) {
			if (!find_cluster(file, index + n, &next, error))
				return FALSE;
			if (next != first + n)
				break;
			n++;
		}

		there = MIN(n * cluster_size - within, size);
		if (!dps_region_read(dps_fat_get_region(file->fat),
				     dps_fat_get_cluster_offset(file->fat, first) + within, to,
				     (size_t)there, error))
			return FALSE;
		offset += there;
		to += there;
		size -= (size_t)there;
	}
	return TRUE;
}

DpsRegion
dps_fat_file_get_region(DpsFatFile *file)
{
	return dps_region_over_reader(read_file, file, file->size);
}
