/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/machine.h"
#include "format/elf.h"
#include "format/keyfile.h"

#include <string.h>

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
read_arch(DpsFiles *files, const char *path)
{
	g_autoptr(DpsFile) file = dps_files_open(files, path, NULL);
	DpsArch arch = DPS_ARCH_NONE;

	if (file)
		dps_elf_read_arch(dps_file_get_region(file), &arch, NULL);
	return arch;
}

/* Returns: (transfer full) (element-type utf8): the names in a directory, in the order of their
 * bytes, so that two runs agree */
static GPtrArray *
list_names(DpsFiles *files, const char *path)
{
	GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GPtrArray) infos = dps_files_list(files, path, NULL);

	for (guint i = 0; infos && i < infos->len && names->len < MAX_NAMES; i++) {
		const DpsFileInfo *info = infos->pdata[i];

		if (info->name[0] != '.' && !info->is_name_damaged)
			g_ptr_array_add(names, g_strdup(info->name));
	}
	return names;
}

static DpsArch
find_program(DpsFiles *files, char **source)
{
	for (guint i = 0; i < G_N_ELEMENTS(usual_programs); i++) {
		DpsArch arch = read_arch(files, usual_programs[i]);

		if (arch != DPS_ARCH_NONE) {
			*source = g_strdup(usual_programs[i]);
			return arch;
		}
	}

	for (guint i = 0; i < G_N_ELEMENTS(program_directories); i++) {
		g_autoptr(GPtrArray) names = list_names(files, program_directories[i]);

		for (guint j = 0; j < MIN(names->len, MAX_FILES); j++) {
			g_autofree char *path =
				g_build_filename(program_directories[i], names->pdata[j], NULL);
			DpsArch arch = read_arch(files, path);

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
find_libc(DpsFiles *files, char **source)
{
	g_autofree char *first = NULL;
	DpsArch found = DPS_ARCH_NONE;

	for (guint i = 0; i < G_N_ELEMENTS(library_directories); i++) {
		g_autoptr(GPtrArray) names = list_names(files, library_directories[i]);
		guint tried = 0;

		for (guint j = 0; j < names->len && tried < MAX_FILES; j++) {
			g_autofree char *path =
				name_of_libc(library_directories[i], names->pdata[j]);
			DpsArch arch;

			if (!path)
				continue;

			tried++;
			arch = read_arch(files, path);
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
find_in_os_release(DpsFiles *files, char **source)
{
	/* The order is os-release(5)'s: the first file that is there counts. */
	static const char *const paths[] = { "etc/os-release", "usr/lib/os-release",
					     "lib/os-release" /* of a /usr by itself */ };

	for (guint i = 0; i < G_N_ELEMENTS(paths); i++) {
		size_t size;
		g_autofree char *text =
			dps_files_read(files, paths[i], MAX_OS_RELEASE, &size, NULL);
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
dps_machine_find_arch(DpsFiles *files, char **source)
{
	DpsArch arch = find_program(files, source);

	if (arch == DPS_ARCH_NONE)
		arch = find_libc(files, source);
	if (arch == DPS_ARCH_NONE)
		arch = find_in_os_release(files, source);
	return arch;
}
