/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/udev.h"
#include "target/fd.h"

#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* An installer goes on, and udevd is done in far less; the note says what to type. */
#define WAIT_SECONDS 5
#define RETRY_USEC 20000

/* The file of udev's database for partition @number, NULL when the kernel has no such partition. */
static char *
find_record(dev_t disk, guint number)
{
	g_autofree char *dir = g_strdup_printf("/sys/dev/block/%u:%u", major(disk), minor(disk));
	g_autoptr(GDir) children = g_dir_open(dir, 0, NULL);
	const char *name;

	while (children && (name = g_dir_read_name(children))) {
		g_autofree char *file = g_build_filename(dir, name, "partition", NULL);
		g_autofree char *text = dps_fd_read_text(AT_FDCWD, file);
		g_autofree char *device_file = NULL, *device = NULL;

		if (!text || g_ascii_strtoull(text, NULL, 10) != number)
			continue;
		device_file = g_build_filename(dir, name, "dev", NULL);
		device = dps_fd_read_text(AT_FDCWD, device_file);
		if (device)
			return g_strconcat("/run/udev/data/b", g_strchomp(device), NULL);
	}
	return NULL;
}

static gboolean
knows_types(dev_t disk, GArray *partitions, GPtrArray *type_uuids)
{
	for (guint i = 0; i < partitions->len; i++) {
		g_autofree char *path = find_record(disk, g_array_index(partitions, guint, i));
		g_autofree char *record = path ? dps_fd_read_text(AT_FDCWD, path) : NULL;
		g_autofree char *line = g_strdup_printf("\nE:ID_PART_ENTRY_TYPE=%s\n",
							(char *)g_ptr_array_index(type_uuids, i));

		/* No node: nobody asks udev about it.  (A device that is made anew has one again.)
		 */
		if (!path)
			continue;
		if (!record || !strstr(record, line))
			return FALSE;
	}
	return TRUE;
}

char *
dps_udev_wait(dev_t disk, const char *path, GArray *partitions, GPtrArray *type_uuids)
{
	gint64 give_up = g_get_monotonic_time() + WAIT_SECONDS * G_TIME_SPAN_SECOND;

	if (disk == 0 || partitions->len == 0)
		return NULL;
	if (access("/run/udev/control", F_OK) < 0)
		return g_strdup("udev is not running: its records of the partitions stay as they "
				"were");
	while (!knows_types(disk, partitions, type_uuids)) {
		if (g_get_monotonic_time() >= give_up)
			return g_strdup_printf(
				"udev has not read the table again within %d seconds: `udevadm "
				"trigger --settle %s` makes it",
				WAIT_SECONDS, path);
		g_usleep(RETRY_USEC);
	}
	return NULL;
}
