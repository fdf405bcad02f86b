/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "target/blockdev.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

/*
 * A system that is not there: sysfs, proc and dev as files of a temporary directory, with the
 * devices that a test wants.
 */
typedef struct {
	char *root;
	char *sysfs, *proc, *dev;
	DpsSystem system;
} MadeUpSystem;

/* A block device, as sysfs shows it. */
typedef struct {
	const char *directory;	/* below /sys/devices; a partition's is in its disk's */
	const char *number;	/* "8:1" */
	const char *name;	/* of its node below /dev; what the kernel calls it */
	const char *attributes; /* "partition=1", "dm/uuid=LVM-x dm/name=y", or NULL */
	const char *slaves;	/* directories of other devices, or NULL */
} MadeUpDevice;

static inline void
made_up_write(const char *directory, const char *name, const char *contents)
{
	g_autofree char *path = g_build_filename(directory, name, NULL);
	g_autofree char *parent = g_path_get_dirname(path);

	g_assert_cmpint(g_mkdir_with_parents(parent, 0755), ==, 0);
	g_assert_true(g_file_set_contents(path, contents, -1, NULL));
}

static inline void
made_up_link(const char *target, const char *directory, const char *name)
{
	g_autofree char *path = g_build_filename(directory, name, NULL);
	g_autofree char *parent = g_path_get_dirname(path);

	g_assert_cmpint(g_mkdir_with_parents(parent, 0755), ==, 0);
	g_assert_cmpint(symlink(target, path), ==, 0);
}

static inline void
made_up_add(MadeUpSystem *self, const MadeUpDevice *device)
{
	g_autofree char *path = g_build_filename(self->sysfs, "devices", device->directory, NULL);
	g_autofree char *base = g_path_get_basename(device->directory);
	g_autofree char *by_number = g_build_filename("dev/block", device->number, NULL);
	g_autofree char *number = g_strconcat(device->number, "\n", NULL);
	g_autofree char *uevent = g_strdup_printf("DEVNAME=%s\nDEVTYPE=disk\n", device->name);
	g_auto(GStrv) attributes =
		g_strsplit(device->attributes ? device->attributes : "", " ", -1);
	g_auto(GStrv) slaves = g_strsplit(device->slaves ? device->slaves : "", " ", -1);
	const char *node = device->name;

	made_up_write(path, "dev", number);
	made_up_write(path, "uevent", uevent);
	made_up_link(path, self->sysfs, by_number);

	for (char **attribute = attributes; *attribute; attribute++) {
		char *value = strchr(*attribute, '=');
		g_autofree char *line = g_strconcat(value + 1, "\n", NULL);

		*value = '\0';
		made_up_write(path, *attribute, line);
		if (strcmp(*attribute, "dm/name") == 0) {
			g_autofree char *mapper = g_strconcat("mapper/", value + 1, NULL);

			made_up_write(self->dev, mapper, number);
			node = NULL;
		}
	}
	if (node)
		made_up_write(self->dev, node, number);

	for (char **slave = slaves; *slave; slave++) {
		g_autofree char *target = g_build_filename(self->sysfs, "devices", *slave, NULL);
		g_autofree char *slave_base = g_path_get_basename(*slave);
		g_autofree char *link = g_build_filename("slaves", slave_base, NULL);
		g_autofree char *back = g_build_filename("holders", base, NULL);

		made_up_link(target, path, link);
		made_up_link(path, target, back);
	}
}

static inline MadeUpSystem *
made_up_new(void)
{
	MadeUpSystem *self = g_new0(MadeUpSystem, 1);

	self->root = g_dir_make_tmp("dps-system-XXXXXX", NULL);
	g_assert_nonnull(self->root);
	self->sysfs = g_build_filename(self->root, "sys", NULL);
	self->proc = g_build_filename(self->root, "proc", NULL);
	self->dev = g_build_filename(self->root, "dev", NULL);
	self->system = (DpsSystem){
		.sysfs = self->sysfs, .proc = self->proc, .dev = self->dev, .is_made_up = TRUE
	};
	return self;
}

static inline void
made_up_remove(const char *path)
{
	GDir *directory =
		g_file_test(path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open(path, 0, NULL);
	const char *name;

	while (directory && (name = g_dir_read_name(directory))) {
		g_autofree char *child = g_build_filename(path, name, NULL);

		made_up_remove(child);
	}
	if (directory)
		g_dir_close(directory);
	g_remove(path);
}

static inline void
made_up_free(MadeUpSystem *self)
{
	made_up_remove(self->root);
	g_free(self->root);
	g_free(self->sysfs);
	g_free(self->proc);
	g_free(self->dev);
	g_free(self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MadeUpSystem, made_up_free)
