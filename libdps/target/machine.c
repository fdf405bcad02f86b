/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/machine.h"
#include "format/elf.h"
#include "format/keyfile.h"
#include "target/beneath.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Names read of one directory, and files of them that are opened: a tree can have millions. */
#define MAX_NAMES 8192
#define MAX_FILES 256

/* os-release(5) names no limit; the largest in use are below 1 KiB. */
#define MAX_OS_RELEASE 65536

/* What nearly every system has; one open(2), and no directory is read. */
static const char *const usual_programs[] = {
	"usr/bin/bash",	   "usr/bin/sh",
	"usr/bin/busybox", "usr/bin/env",
	"usr/sbin/init",   "usr/lib/systemd/systemd",
	"bin/sh",	   "bin/busybox",
	"sbin/init",	   "lib/systemd/systemd",
};

static const char *const program_directories[] = { "usr/bin", "usr/sbin", "bin", "sbin" };

static const char *const library_directories[] = { "usr/lib64", "usr/lib", "lib64", "lib" };

/* Returns: the architecture of one file, %DPS_ARCH_NONE when it is no ELF program or library. */
static DpsArch
read_arch(int root, const char *path)
{
	DpsArch arch = DPS_ARCH_NONE;
	DpsRegion region;
	struct stat st;
	int fd = dps_beneath_open_file(root, path);

	if (fd < 0)
		return DPS_ARCH_NONE;

	if (fstat(fd, &st) == 0) {
		region = dps_region_over_fd(fd, 0, (uint64_t)st.st_size);
		dps_elf_read_arch(&region, &arch, NULL);
	}
	close(fd);
	return arch;
}

static int
compare_names(gconstpointer a, gconstpointer b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Returns: (transfer full): the names in a directory of the tree, sorted, so that two runs agree */
static GPtrArray *
list_names(int root, const char *path)
{
	GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
	int fd = dps_beneath_open(root, path, O_RDONLY | O_DIRECTORY | O_NONBLOCK);
	struct dirent *entry;
	DIR *entries;

	if (fd < 0)
		return names;

	entries = fdopendir(fd);
	if (!entries) {
		close(fd);
		return names;
	}

	while (names->len < MAX_NAMES && (entry = readdir(entries)))
		if (entry->d_name[0] != '.')
			g_ptr_array_add(names, g_strdup(entry->d_name));

	closedir(entries);
	g_ptr_array_sort(names, compare_names);
	return names;
}

static DpsArch
find_program(int root, char **source)
{
	for (guint i = 0; i < G_N_ELEMENTS(usual_programs); i++) {
		DpsArch arch = read_arch(root, usual_programs[i]);

		if (arch != DPS_ARCH_NONE) {
			*source = g_strdup(usual_programs[i]);
			return arch;
		}
	}

	for (guint i = 0; i < G_N_ELEMENTS(program_directories); i++) {
		g_autoptr(GPtrArray) names = list_names(root, program_directories[i]);

		for (guint j = 0; j < MIN(names->len, MAX_FILES); j++) {
			g_autofree char *path =
				g_build_filename(program_directories[i], names->pdata[j], NULL);
			DpsArch arch = read_arch(root, path);

			if (arch != DPS_ARCH_NONE) {
				*source = g_steal_pointer(&path);
				return arch;
			}
		}
	}
	return DPS_ARCH_NONE;
}

/* What a C library and its loader are called; "x86_64-linux-gnu" is a directory of them. */
static char *
name_of_libc(const char *directory, const char *name)
{
	if (g_str_has_prefix(name, "ld-") || g_str_has_prefix(name, "ld.so.") ||
	    g_str_has_prefix(name, "ld64.so.") || g_str_has_prefix(name, "libc.so.") ||
	    g_str_has_prefix(name, "libc-"))
		return g_build_filename(directory, name, NULL);

	if (strstr(name, "-linux-"))
		return g_build_filename(directory, name, "libc.so.6", NULL);

	return NULL;
}

/* Libraries of a second architecture are common beside the first's: then none of them tells. */
static DpsArch
find_libc(int root, char **source)
{
	g_autofree char *first = NULL;
	DpsArch found = DPS_ARCH_NONE;

	for (guint i = 0; i < G_N_ELEMENTS(library_directories); i++) {
		g_autoptr(GPtrArray) names = list_names(root, library_directories[i]);
		guint tried = 0;

		for (guint j = 0; j < names->len && tried < MAX_FILES; j++) {
			g_autofree char *path =
				name_of_libc(library_directories[i], names->pdata[j]);
			DpsArch arch;

			if (!path)
				continue;

			tried++;
			arch = read_arch(root, path);
			if (arch == DPS_ARCH_NONE || arch == found)
				continue;
			if (found != DPS_ARCH_NONE)
				return DPS_ARCH_NONE;

			found = arch;
			first = g_steal_pointer(&path);
		}
	}

	if (found != DPS_ARCH_NONE)
		*source = g_steal_pointer(&first);
	return found;
}

static DpsArch
find_in_os_release(int root, char **source)
{
	/* The order is os-release(5)'s: the first file that is there counts. */
	static const char *const paths[] = { "etc/os-release", "usr/lib/os-release" };

	for (guint i = 0; i < G_N_ELEMENTS(paths); i++) {
		size_t size;
		g_autofree char *text =
			dps_beneath_read(root, paths[i], MAX_OS_RELEASE, paths[i], &size, NULL);
		g_autofree char *name =
			text ? dps_keyfile_lookup(text, size, "ARCHITECTURE") : NULL;
		DpsArch arch = name ? dps_arch_from_string(name) : DPS_ARCH_NONE;

		if (arch != DPS_ARCH_NONE) {
			*source = g_strdup(paths[i]);
			return arch;
		}
		if (text)
			break;
	}
	return DPS_ARCH_NONE;
}

DpsArch
dps_machine_find_arch(int root, char **source)
{
	DpsArch arch = find_program(root, source);

	if (arch == DPS_ARCH_NONE)
		arch = find_libc(root, source);
	if (arch == DPS_ARCH_NONE)
		arch = find_in_os_release(root, source);
	return arch;
}
