/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "failing-region.h"
#include "fat-esp.h"

static void
test_sound(void)
{
	for (guint i = 0; i < G_N_ELEMENTS(widths); i++) {
		g_autoptr(Image) image = make_esp(widths[i]);
		g_autoptr(DpsFat) fat = open_image(image);
		g_autoptr(GError) error = NULL;
		g_autoptr(GPtrArray) problems = dps_fat_check(fat, &error);

		g_assert_no_error(error);
		for (guint k = 0; k < problems->len; k++)
			g_test_message("%s", ((DpsFatProblem *)problems->pdata[k])->message);
		g_assert_cmpuint(problems->len, ==, 0);
	}
}

/* Each fault planted alone is found, where it is, and is all that is found. */
typedef enum {
	COPY,
	MIRROR_OFF,
	LOST,
	CROSS,
	LOOP,
	SELF,
	FREE_IN_CHAIN,
	OUTSIDE,
	TOO_LONG,
	TOO_SHORT,
	NO_CLUSTER,
	CHECKSUM,
	ORPHAN_AT_END,
	CHARACTER,
	TWICE,
	DOT,
	NO_DOTS,
	BAD_DIR,
} Fault;

static void
plant(Image *image, Fault fault)
{
	ImageDir root = image_root(image), dir;
	guint first;

	image_add_file(image, &root, "first file", "FIRSTF~1   ", 1000);
	first = image_add_file(image, &root, NULL, "FILE       ", 1500);
	dir = image_add_dir(image, &root, "DIR        ");
	switch (fault) {
	case COPY:
	case MIRROR_OFF:
		/* Of a cluster that nobody uses, in the second copy alone. */
		image->bytes[image->fat + image->fat_sectors * IMAGE_SECTOR + 30] ^= 0x10;
		if (fault == MIRROR_OFF)
			image->bytes[40] = image->bytes[6 * IMAGE_SECTOR + 40] = 0x80;
		break;
	case LOST:
		image_set(image, 20, 21);
		image_set(image, 21, 0x0FFFFFFF);
		break;
	case CROSS:
		image_add_short(image, &dir, "OTHER      ", 0x20, first, 1500);
		break;
	case LOOP:
		image_set(image, first + 2, first);
		break;
	case SELF:
		image_add_short(image, &dir, "SELF       ", 0x10, dir.cluster, 0);
		break;
	case FREE_IN_CHAIN:
		image_set(image, first + 2, 0);
		break;
	case OUTSIDE:
		image_set(image, first + 2, 1000);
		break;
	case TOO_LONG:
		dps_store_le32(image->bytes + root.at - 64 + 28, 1024);
		break;
	case TOO_SHORT:
		dps_store_le32(image->bytes + root.at - 64 + 28, 1537);
		break;
	case NO_CLUSTER:
		image_add_short(image, &dir, "NOTHING    ", 0x20, 0, 5);
		break;
	case CHECKSUM:
		image->bytes[image_root(image).at + 13] ^= 1;
		break;
	case ORPHAN_AT_END:
		image_add_name(image, &dir, "nobody's", "NOBODY~1   ");
		break;
	case CHARACTER:
		image_add_file(image, &dir, "what?", "WHAT~1     ", 0);
		break;
	case TWICE:
		image_add_file(image, &dir, "Boot.efi", "BOOT~1  EFI", 0);
		image_add_file(image, &dir, "BOOT.EFI", "BOOT~2  EFI", 0);
		break;
	case DOT:
		image_store16(image->bytes + image_cluster(image, dir.cluster) + 26, 9);
		break;
	case NO_DOTS:
		memset(image->bytes + image_cluster(image, dir.cluster), 0, 64);
		break;
	case BAD_DIR:
		image_store16(image->bytes + root.at - 32 + 26, 0);
		image_set(image, dir.cluster, 0);
		break;
	}
}

static void
test_faults(void)
{
	static const struct {
		Fault fault;
		guint width;
		int kind; /* -1: none */
		const char *path, *message;
	} rows[] = {
		{ COPY, 12, DPS_FAT_PROBLEM_COPIES_DIFFER, NULL, "FAT 2 differ" },
		{ COPY, 32, DPS_FAT_PROBLEM_COPIES_DIFFER, NULL, "cluster 7" },
		{ MIRROR_OFF, 32, -1, NULL, NULL },
		{ LOST, 12, DPS_FAT_PROBLEM_LOST, NULL, "2 clusters (1024 bytes)" },
		{ LOST, 32, DPS_FAT_PROBLEM_LOST, NULL, "the first is 20" },
		{ CROSS, 12, DPS_FAT_PROBLEM_CROSS_LINKED, "/DIR/OTHER", "belongs to another" },
		{ LOOP, 12, DPS_FAT_PROBLEM_CROSS_LINKED, "/FILE", "loop" },
		{ LOOP, 32, DPS_FAT_PROBLEM_CROSS_LINKED, "/FILE", "loop" },
		{ SELF, 12, DPS_FAT_PROBLEM_CROSS_LINKED, "/DIR/SELF", "loop" },
		{ FREE_IN_CHAIN, 12, DPS_FAT_PROBLEM_BAD_CHAIN, "/FILE", "marked as free" },
		{ OUTSIDE, 32, DPS_FAT_PROBLEM_BAD_CHAIN, "/FILE", "outside" },
		{ TOO_LONG, 12, DPS_FAT_PROBLEM_SIZE, "/FILE", "1024 bytes are 2 clusters" },
		{ TOO_SHORT, 32, DPS_FAT_PROBLEM_SIZE, "/FILE", "are 4 clusters" },
		{ NO_CLUSTER, 12, DPS_FAT_PROBLEM_SIZE, "/DIR/NOTHING", "has 0" },
		{ CHECKSUM, 12, DPS_FAT_PROBLEM_LONG_NAME, "/FIRSTF~1", "belong to no file" },
		{ ORPHAN_AT_END, 12, DPS_FAT_PROBLEM_LONG_NAME, "/DIR", "ends with parts" },
		{ CHARACTER, 32, DPS_FAT_PROBLEM_NAME, "/DIR/what?", "no name may have" },
		{ TWICE, 12, DPS_FAT_PROBLEM_SAME_NAME, "/DIR/BOOT.EFI", "twice" },
		{ DOT, 12, DPS_FAT_PROBLEM_DIRECTORY, "/DIR", "leads to cluster 9" },
		{ NO_DOTS, 32, DPS_FAT_PROBLEM_DIRECTORY, "/DIR", "does not begin" },
		{ BAD_DIR, 12, DPS_FAT_PROBLEM_BAD_CHAIN, "/DIR", "outside" },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(Image) image = image_new(rows[i].width, 40);
		g_autoptr(DpsFat) fat = NULL;
		g_autoptr(GPtrArray) problems = NULL;
		const DpsFatProblem *problem;

		plant(image, rows[i].fault);
		fat = open_image(image);
		problems = dps_fat_check(fat, NULL);
		g_test_message("row %u", i);
		for (guint k = 0; k < problems->len; k++)
			g_test_message("%s", ((DpsFatProblem *)problems->pdata[k])->message);
		g_assert_cmpuint(problems->len, ==, rows[i].kind < 0 ? 0 : 1);
		if (problems->len == 0)
			continue;
		problem = g_ptr_array_index(problems, 0);
		g_assert_cmpint(problem->kind, ==, rows[i].kind);
		g_assert_cmpstr(problem->path, ==, rows[i].path);
		g_assert_nonnull(strstr(problem->message, rows[i].message));
	}
}

/* A medium that breaks is told from a FAT that is broken. */
static gboolean
check_all(const DpsRegion *region, GError **error)
{
	g_autoptr(DpsFat) fat = dps_fat_open(region, error);
	g_autoptr(DpsFatEntry) entry = NULL;
	g_autoptr(DpsFatFile) file = NULL;
	g_autoptr(GPtrArray) problems = NULL;
	guint8 bytes[3000];
	DpsFatState state;
	DpsRegion content;
	guint32 n_free;

	if (!fat || !dps_fat_read_state(fat, &state, error) ||
	    !dps_fat_count_free(fat, &n_free, error))
		return FALSE;
	entry = dps_fat_lookup(fat, "/efi/boot/bootx64.efi", error);
	file = entry ? dps_fat_open_file(fat, entry, error) : NULL;
	if (!file)
		return FALSE;
	content = dps_fat_file_get_region(file);
	if (!dps_region_read(&content, 0, bytes, sizeof(bytes), error))
		return FALSE;
	problems = dps_fat_check(fat, error);
	return problems != NULL;
}

static void
test_broken_medium(void)
{
	for (guint i = 0; i < G_N_ELEMENTS(widths); i++) {
		g_autoptr(Image) image = make_esp(widths[i]);
		DpsRegion region = dps_region_over_memory(image->bytes, image->size);

		failing_region_try_each(&region, check_all);
	}
}

/* Directories in each other, one more than anybody has: said, and it ends. */
static void
test_deep(void)
{
	g_autoptr(Image) image = image_new(12, 200);
	ImageDir dir = image_root(image);
	g_autoptr(DpsFat) fat = NULL;
	g_autoptr(GPtrArray) problems = NULL;
	const DpsFatProblem *problem;

	for (guint i = 0; i <= DPS_FAT_MAX_DEPTH; i++)
		dir = image_add_dir(image, &dir, "D          ");
	fat = open_image(image);
	problems = dps_fat_check(fat, NULL);
	g_assert_cmpuint(problems->len, >, 0);
	problem = g_ptr_array_index(problems, 0);
	g_assert_cmpint(problem->kind, ==, DPS_FAT_PROBLEM_DIRECTORY);
	g_assert_nonnull(strstr(problem->message, "directories deep"));
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/fat-check/sound", test_sound);
	g_test_add_func("/fat-check/faults", test_faults);
	g_test_add_func("/fat-check/broken-medium", test_broken_medium);
	g_test_add_func("/fat-check/deep", test_deep);
	return g_test_run();
}
