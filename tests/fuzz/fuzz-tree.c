/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz-files.h"
#include "memory-files.h"
#include "target/tree.h"

/*
 * A tree's own texts: /etc/fstab, /usr/lib/os-release, /etc/machine-id.
 *
 * Asserted: a failure says why; what is read of fstab has a device, and mount points are what they
 * are; what is told is told twice.
 */
static const char *const paths[] = { "/etc/fstab", "/usr/lib/os-release", "/etc/machine-id", NULL };

static void
tell(gpointer input, GString *told)
{
	const DpsTreeOrigin origin = { .partition = 1 };
	g_autoptr(GError) error = NULL;
	g_autoptr(DpsTree) tree = dps_tree_open_files(fuzz_texts_open(input), -1,
						      "disk.raw: partition 1", &origin, &error);
	GPtrArray *fstab;

	if (!tree) {
		fuzz_tell_error(told, &error);
		return;
	}
	fstab = dps_tree_get_fstab(tree);
	for (guint i = 0; i < fstab->len; i++) {
		const DpsFstabEntry *entry = fstab->pdata[i];

		g_assert_true(entry->spec && entry->fs_type && entry->options);
		g_assert_true(!entry->subvolume || entry->subvolume[0] != '/');
		g_assert_true(g_strcmp0(entry->mount_point, "none") != 0);
		g_string_append_printf(told, "%s at %s: %s %s (%s)\n", entry->spec,
				       entry->mount_point, entry->fs_type, entry->options,
				       entry->subvolume);
	}
	g_string_append_printf(told, "%u\n", dps_tree_get_arch(tree));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FuzzTexts texts;

	fuzz_texts_split(&texts, paths, data, size);
	fuzz_tell_twice(tell, &texts);
	return 0;
}
