/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/fat-check.h"
#include "format/fat-directory.h"
#include "ground/error.h"

#include <inttypes.h>
#include <string.h>

/*
 * Whether a FAT is consistent: each cluster belongs to one file or to none, each file has the
 * clusters that its size asks for, each name is one, and the copies of the FAT agree.
 *
 * Every cluster is marked when the first file claims it, and no one walks into a marked one: so the
 * whole is linear in the size of the file system, also where chains are loops and directories
 * contain themselves.
 */
typedef struct {
	DpsFat *fat;
	const DpsFatGeometry *geo;
	guint8 *claimed;     /* a bit a cluster, from cluster 2 on */
	GPtrArray *problems; /* (element-type DpsFatProblem) */
} Check;

static void
problem_free(void *data)
{
	DpsFatProblem *problem = data;

	g_free(problem->path);
	g_free(problem->message);
	g_free(problem);
}

static gboolean
is_full(const Check *check)
{
	return check->problems->len >= DPS_FAT_MAX_PROBLEMS;
}

static void report(Check *check, DpsFatProblemKind kind, const char *path, const char *format, ...)
	G_GNUC_PRINTF(4, 5);

static void
report(Check *check, DpsFatProblemKind kind, const char *path, const char *format, ...)
{
	DpsFatProblem *problem;
	va_list args;

	if (is_full(check))
		return;

	problem = g_new0(DpsFatProblem, 1);
	problem->kind = kind;
	problem->path = path && *path == '\0' ? g_strdup("/") : g_strdup(path);
	va_start(args, format);
	problem->message = g_strdup_vprintf(format, args);
	va_end(args);
	g_ptr_array_add(check->problems, problem);
}

/* Bytes that contradict the format are what is looked for here; all other errors end the check. */
static gboolean
report_error(Check *check, DpsFatProblemKind kind, const char *path, GError *failure,
	     GError **error)
{
	if (!g_error_matches(failure, DPS_ERROR, DPS_ERROR_CORRUPT)) {
		g_propagate_error(error, g_error_copy(failure));
		return FALSE;
	}

	report(check, kind, path, "%s", failure->message);
	return TRUE;
}

/* Marks a cluster; FALSE when somebody has marked it before. */
static gboolean
claim(Check *check, uint32_t cluster)
{
	const uint32_t bit = cluster - DPS_FAT_CLUSTER_FIRST;
	const guint8 mask = (guint8)(1U << bit % 8);

	if (check->claimed[bit / 8] & mask)
		return FALSE;

	check->claimed[bit / 8] |= mask;
	return TRUE;
}

/*
 * Claims the chain of one file or directory.  *length is how many clusters of it are its own;
 * *is_sound says that the chain was followed to its end.
 */
static gboolean
claim_chain(Check *check, const char *path, uint32_t first, uint32_t *length, gboolean *is_sound,
	    GError **error)
{
	uint32_t cluster = first;

	*length = 0;
	*is_sound = FALSE;
	if (!dps_fat_is_cluster(check->fat, first)) {
		report(check, DPS_FAT_PROBLEM_BAD_CHAIN, path,
		       "begins at cluster %" PRIu32 ", outside of the file system", first);
		return TRUE;
	}

	while (cluster != DPS_FAT_CLUSTER_END) {
		g_autoptr(GError) failure = NULL;

		if (!claim(check, cluster)) {
			report(check, DPS_FAT_PROBLEM_CROSS_LINKED, path,
			       "cluster %" PRIu32 " belongs to another file too, or the chain of "
			       "this one is a loop",
			       cluster);
			return TRUE;
		}
		if (!dps_fat_next(check->fat, cluster, &cluster, &failure))
			return report_error(check, DPS_FAT_PROBLEM_BAD_CHAIN, path, failure, error);
		++*length;
	}
	*is_sound = TRUE;
	return TRUE;
}

static gboolean
check_file(Check *check, const char *path, const DpsFatEntry *entry, GError **error)
{
	const uint64_t cluster_size = check->geo->cluster_size;
	uint32_t length = 0, wanted = (uint32_t)((entry->size + cluster_size - 1) / cluster_size);
	gboolean is_sound = TRUE;

	if (entry->cluster != 0 &&
	    !claim_chain(check, path, entry->cluster, &length, &is_sound, error))
		return FALSE;
	if (is_sound && length != wanted)
		report(check, DPS_FAT_PROBLEM_SIZE, path,
		       "%" PRIu32 " bytes are %" PRIu32 " clusters, but the file has %" PRIu32,
		       entry->size, wanted, length);
	return TRUE;
}

/* The first two slots of each directory but the root: "." and "..", which lead back. */
static void
check_dots(Check *check, const char *path, guint nth, const DpsFatEntry *entry, uint32_t self,
	   uint32_t parent)
{
	const char *wanted = nth == 0 ? "." : "..";
	uint32_t leads_to = nth == 0 ? self : parent;

	if (!g_str_equal(entry->name, wanted))
		report(check, DPS_FAT_PROBLEM_DIRECTORY, path,
		       "does not begin with \".\" and \"..\"");
	else if (entry->cluster != leads_to)
		report(check, DPS_FAT_PROBLEM_DIRECTORY, path,
		       "\"%s\" leads to cluster %" PRIu32 " instead of %" PRIu32, wanted,
		       entry->cluster, leads_to);
}

/* First pass over a directory: its names, and the clusters of the files in it. */
static gboolean
check_names(Check *check, const char *path, uint32_t self, uint32_t parent, gboolean is_root,
	    GError **error)
{
	g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	g_autofree DpsFatWalk *walk = g_new(DpsFatWalk, 1);

	dps_fat_walk_init(walk, check->fat, self);
	for (guint nth = 0; !is_full(check); nth++) {
		g_autoptr(DpsFatEntry) entry = NULL;
		g_autoptr(GError) failure = NULL;
		g_autofree char *child = NULL, *folded = NULL;
		DpsFatFlaws flaws;

		if (!dps_fat_walk_next(walk, &entry, &flaws, &failure))
			return report_error(check, DPS_FAT_PROBLEM_DIRECTORY, path, failure, error);
		if (!entry) {
			if (flaws & DPS_FAT_FLAW_LONG_NAME)
				report(check, DPS_FAT_PROBLEM_LONG_NAME, path,
				       "ends with parts of a long name that belong to no file");
			if (!is_root && nth < 2)
				report(check, DPS_FAT_PROBLEM_DIRECTORY, path,
				       "does not begin with \".\" and \"..\"");
			return TRUE;
		}

		if (!is_root && nth < 2)
			check_dots(check, path, nth, entry, self, parent);
		child = g_strconcat(path, "/", entry->name, NULL);
		if (flaws & DPS_FAT_FLAW_LONG_NAME)
			report(check, DPS_FAT_PROBLEM_LONG_NAME, child,
			       "parts of a long name before it belong to no file");
		if (flaws & DPS_FAT_FLAW_NAME)
			report(check, DPS_FAT_PROBLEM_NAME, child,
			       "has characters that no name may have");
		if (dps_fat_entry_is_special(entry))
			continue;

		folded = dps_fat_fold_name(entry->name);
		if (!entry->is_name_damaged && !g_hash_table_add(seen, g_steal_pointer(&folded)))
			report(check, DPS_FAT_PROBLEM_SAME_NAME, child,
			       "this name is there twice, when case is ignored");
		if (!(entry->attributes & DPS_FAT_ATTRIBUTE_DIRECTORY) &&
		    !check_file(check, child, entry, error))
			return FALSE;
	}
	return TRUE;
}

static gboolean check_directory(Check *check, const char *path, uint32_t cluster, uint32_t parent,
				guint depth, GError **error);

/* Recursion, whose depth is bounded by DPS_FAT_MAX_DEPTH; each level keeps one walk, 5 KiB. */
/* NOLINTBEGIN(misc-no-recursion) */

/* Second pass: the directories in it.  Names are forgotten by now, so that memory stays small. */
static gboolean
check_below(Check *check, const char *path, uint32_t self, guint depth, GError **error)
{
	g_autofree DpsFatWalk *walk = g_new(DpsFatWalk, 1);
	/* What is named in the entries of the root is 0, wherever the root is. */
	const uint32_t parent = depth == 0 ? 0 : self;

	dps_fat_walk_init(walk, check->fat, self);
	while (!is_full(check)) {
		g_autoptr(DpsFatEntry) entry = NULL;
		g_autoptr(GError) failure = NULL;
		g_autofree char *child = NULL;

		/* What cannot be read was reported by the first pass. */
		if (!dps_fat_walk_next(walk, &entry, NULL, &failure)) {
			if (g_error_matches(failure, DPS_ERROR, DPS_ERROR_CORRUPT))
				return TRUE;
			g_propagate_error(error, g_steal_pointer(&failure));
			return FALSE;
		}
		if (!entry)
			return TRUE;
		if (dps_fat_entry_is_special(entry) ||
		    !(entry->attributes & DPS_FAT_ATTRIBUTE_DIRECTORY))
			continue;

		child = g_strconcat(path, "/", entry->name, NULL);
		if (!check_directory(check, child, entry->cluster, parent, depth + 1, error))
			return FALSE;
	}
	return TRUE;
}

static gboolean
check_directory(Check *check, const char *path, uint32_t cluster, uint32_t parent, guint depth,
		GError **error)
{
	gboolean is_root = depth == 0, is_sound = TRUE;
	uint32_t length;

	if (depth > DPS_FAT_MAX_DEPTH) {
		report(check, DPS_FAT_PROBLEM_DIRECTORY, path, "more than %d directories deep",
		       DPS_FAT_MAX_DEPTH);
		return TRUE;
	}

	/* The root of FAT12 and FAT16 has no clusters. */
	if (is_root && check->geo->width == 32)
		cluster = check->geo->root_cluster;
	if ((!is_root || check->geo->width == 32) &&
	    !claim_chain(check, path, cluster, &length, &is_sound, error))
		return FALSE;
	if (!is_sound)
		return TRUE;

	return check_names(check, path, cluster, parent, is_root, error) &&
	       check_below(check, path, cluster, depth, error);
}
/* NOLINTEND(misc-no-recursion) */

/* Clusters that are in use, but that no directory led to. */
static gboolean
check_lost(Check *check, GError **error)
{
	const uint64_t end = DPS_FAT_CLUSTER_FIRST + (uint64_t)check->geo->n_clusters_usable;
	uint32_t n = 0, first = 0;

	for (uint64_t i = DPS_FAT_CLUSTER_FIRST; i < end; i++) {
		const uint32_t cluster = (uint32_t)i, bit = cluster - DPS_FAT_CLUSTER_FIRST;
		uint32_t value = 0;

		if (!dps_fat_read_entry(check->fat, cluster, &value, error))
			return FALSE;
		if (value == DPS_FAT_CLUSTER_FREE || value == DPS_FAT_CLUSTER_BAD ||
		    check->claimed[bit / 8] & (1U << bit % 8))
			continue;
		if (n++ == 0)
			first = cluster;
	}

	if (n > 0)
		report(check, DPS_FAT_PROBLEM_LOST, NULL,
		       "%" PRIu32 " clusters (%" PRIu64
		       " bytes) are in use by no file, the first is %" PRIu32,
		       n, n * check->geo->cluster_size, first);
	return TRUE;
}

/* All copies of the FAT, as far as it says something of clusters, against the one in use. */
static gboolean
check_copies(Check *check, GError **error)
{
	const DpsFatGeometry *geo = check->geo;
	const uint64_t first = (uint64_t)geo->reserved_sectors * geo->sector_size;
	/* What is behind the last cluster means nothing; 12 bits are rounded up to a byte. */
	const uint64_t size =
		((DPS_FAT_CLUSTER_FIRST + (uint64_t)geo->n_clusters_usable) * geo->width + 7) / 8;
	g_autofree uint8_t *ours = g_malloc(DPS_FAT_WINDOW_SIZE),
			   *theirs = g_malloc(DPS_FAT_WINDOW_SIZE);

	/* BPB_ExtFlags, bit 7: the other copies are not kept up, and that is meant so. */
	if (geo->ext_flags & 0x80)
		return TRUE;

	for (guint i = 1; i < geo->n_fats; i++) {
		for (uint64_t at = 0; at < size; at += DPS_FAT_WINDOW_SIZE) {
			size_t n = (size_t)MIN(DPS_FAT_WINDOW_SIZE, size - at), k = 0;

			if (!dps_region_read(dps_fat_get_region(check->fat), first + at, ours, n,
					     error) ||
			    !dps_region_read(dps_fat_get_region(check->fat),
					     first + i * geo->fat_size + at, theirs, n, error))
				return FALSE;
			if (memcmp(ours, theirs, n) == 0)
				continue;

			while (ours[k] == theirs[k])
				k++;
			report(check, DPS_FAT_PROBLEM_COPIES_DIFFER, NULL,
			       "FAT 1 and FAT %u differ, first in the entry of cluster %" PRIu64,
			       i + 1, (at + k) * 8 / geo->width);
			break;
		}
	}
	return TRUE;
}

GPtrArray *
dps_fat_check(DpsFat *self, GError **error)
{
	g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(problem_free);
	g_autofree guint8 *claimed = NULL;
	g_autoptr(GError) failure = NULL;
	Check check = { .fat = self, .geo = dps_fat_get_geometry(self), .problems = problems };
	gboolean done;

	if (check.geo->n_clusters_usable > DPS_FAT_MAX_CHECKED_CLUSTERS)
		return dps_throw_null(error, DPS_ERROR_UNSUPPORTED,
				      "%" PRIu32
				      " clusters: too many to be checked here: run fsck.fat -n",
				      check.geo->n_clusters_usable);

	/* As many as the region has room for: the medium cannot ask for more than it is. */
	claimed = g_malloc0(check.geo->n_clusters_usable / 8 + 1);
	check.claimed = claimed;

	done = check_copies(&check, &failure) && check_directory(&check, "", 0, 0, 0, &failure);
	/* A list that was cut says nothing of what is lost. */
	if (done && !is_full(&check))
		done = check_lost(&check, &failure);
	if (!done && !report_error(&check, DPS_FAT_PROBLEM_DIRECTORY, NULL, failure, error))
		return NULL;

	return g_steal_pointer(&problems);
}
