/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include "ground/region.h"

/*
 * The files of one file system, read-only: of a directory that is mounted or unpacked, or of a
 * partition that is not mounted (FAT, ext4, btrfs).  Who asks does not see which.
 *
 * Paths are absolute as the file system itself sees them, "/" is its root; a leading slash may be
 * left out, doubled slashes and "." mean nothing, ".." at the root stays there.  Links are followed
 * inside the file system only.  One object, one thread at a time.
 */
typedef struct _DpsFiles DpsFiles;

typedef enum {
	DPS_FILE_REGULAR,
	DPS_FILE_DIRECTORY,
	DPS_FILE_LINK,
	DPS_FILE_OTHER, /* a device, a pipe, a socket */
} DpsFileKind;

/* One name of a directory.  A value. */
typedef struct {
	char *name; /* as the directory has it; always valid UTF-8 */
	DpsFileKind kind;
	uint64_t size;		  /* bytes, of a regular file; else 0 */
	guint mode;		  /* permission bits; of a FAT that is not mounted always 0 */
	gboolean is_name_damaged; /* U+FFFD stands for bytes of it that are no text: it can be
				     listed, but not be opened by its name */
} DpsFileInfo;

void dps_file_info_free(DpsFileInfo *info);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DpsFileInfo, dps_file_info_free)

/* A regular file that is open; its files must live longer. */
typedef struct _DpsFile DpsFile;

void dps_file_free(DpsFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DpsFile, dps_file_free)

/* (transfer none): its bytes: only those are read that are asked for; valid as long as @file */
const DpsRegion *dps_file_get_region(DpsFile *file);

/**
 * DpsFilesClass:
 *
 * What one kind of file system has to give.  Every @path here is clean: it starts with a slash, has
 * no ".", ".." and doubled or last slashes, and no link in any part but the last:
 * dps_files_lookup() and its kin do that work for all.  "/" is the root.
 *
 * A name that is not there is %DPS_ERROR_NOT_FOUND, and nothing else is.
 */
typedef struct {
	const char *type; /* for messages: "ext4", "vfat", "directory" */

	/* The thing at @path itself, also when it is a link. */
	DpsFileInfo *(*stat)(void *fs, const char *path, GError **error);

	/* (element-type DpsFileInfo): without "." and ".."; in any order; at most
	 * DPS_FILES_MAX_NAMES */
	GPtrArray *(*list)(void *fs, const char *path, GError **error);

	/* A regular file: its bytes, and what keeps them in reach. */
	gboolean (*open)(void *fs, const char *path, DpsRegion *region, void **handle,
			 GError **error);
	void (*close)(void *handle);

	/* Where a link leads, as it is written; NULL in the class: the format has none. */
	char *(*read_link)(void *fs, const char *path, GError **error);

	/* An extended attribute by its whole name ("user.x"); NULL in the class: the format has
	 * none; an attribute that is not set is %DPS_ERROR_NOT_FOUND. */
	GBytes *(*get_attribute)(void *fs, const char *path, const char *name, GError **error);

	/* Bytes: of the whole, free for everybody, and of what files are rounded up to. */
	gboolean (*get_space)(void *fs, uint64_t *size, uint64_t *free_size, uint64_t *unit,
			      GError **error);

	void (*free)(void *fs);
} DpsFilesClass;

/* More names than any boot directory has; the kernel's own limit for FAT (65536 slots of 32 bytes,
 * Microsoft FAT specification, section 6.2). */
#define DPS_FILES_MAX_NAMES 65536

/* The largest text that is read whole: a grub.cfg with a menu of hundreds of snapshots has been
 * seen at 2 MiB, and no other file of a system's configuration comes near that. */
#define DPS_FILES_MAX_TEXT ((size_t)8 * 1024 * 1024)

/* As the kernel has it: include/linux/namei.h, MAXSYMLINKS. */
#define DPS_FILES_MAX_LINKS 40

/**
 * dps_files_new:
 * @class: lives for ever
 * @fs: (transfer full): what the functions of @class are given
 * @note: (nullable): what people must know of everything that is read here, one line: "the journal
 *   was not replayed"
 *
 * Returns: (transfer full): the files of @fs
 */
DpsFiles *dps_files_new(const DpsFilesClass *class, void *fs, const char *note);
void dps_files_free(DpsFiles *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DpsFiles, dps_files_free)

typedef enum {
	DPS_FILES_NO_LINKS = 1 << 0,	/* a link is as good as nothing there: FAT has none */
	DPS_FILES_IGNORE_CASE = 1 << 1, /* as FAT does, when this is an unpacked ESP */
} DpsFilesFlags;

/**
 * dps_files_open_dir:
 * @fd: a directory; the object keeps a descriptor of its own
 * @flags: how names are found
 * @error: %DPS_ERROR_INVALID: no directory; else the code of errno
 *
 * Nothing outside of the directory is reached, whatever links lie in it.
 *
 * Returns: (transfer full): the files below @fd, %NULL on failure
 */
DpsFiles *dps_files_open_dir(int fd, DpsFilesFlags flags, GError **error);

const char *dps_files_get_type(DpsFiles *self); /* as the class has it */
const char *dps_files_get_note(DpsFiles *self); /* (nullable): as dps_files_new() was given it */

/**
 * dps_files_set_top:
 * @self: files
 * @directory: (nullable): a directory of theirs; links are followed; %NULL: the file system's own
 * @error: %DPS_ERROR_NOT_FOUND, %DPS_ERROR_INVALID: there is no such directory
 *
 * Makes a directory "/", as chroot(2) does for a process: nothing outside is reached any more.
 *
 * Returns: %TRUE on success
 */
gboolean dps_files_set_top(DpsFiles *self, const char *directory, GError **error);

/**
 * dps_files_lookup:
 * @self: files
 * @path: a path; links are followed, also the last
 * @info: (out) (transfer full) (nullable) (optional): what is there; %NULL when there is nothing
 * @error: why it could not be found out
 *
 * What is not there is no error; a directory that cannot be read is.
 *
 * Returns: %TRUE when it is known
 */
gboolean dps_files_lookup(DpsFiles *self, const char *path, DpsFileInfo **info, GError **error);

/**
 * dps_files_list:
 * @self: files
 * @path: a directory
 * @error: %DPS_ERROR_NOT_FOUND: nothing is there; %DPS_ERROR_INVALID: no directory;
 *   %DPS_ERROR_CORRUPT: more than %DPS_FILES_MAX_NAMES
 *
 * Returns: (transfer full) (element-type DpsFileInfo): what is in it, in the order of the bytes of
 *   the names, links as such; %NULL on failure
 */
GPtrArray *dps_files_list(DpsFiles *self, const char *path, GError **error);

/**
 * dps_files_open:
 * @self: files; must live longer than what is returned
 * @path: a regular file; links are followed
 * @error: %DPS_ERROR_NOT_FOUND: nothing is there; %DPS_ERROR_INVALID: no regular file
 *
 * Returns: (transfer full): the open file, %NULL on failure
 */
DpsFile *dps_files_open(DpsFiles *self, const char *path, GError **error);

/**
 * dps_files_read:
 * @self: files
 * @path: a regular file; links are followed
 * @max_size: bytes
 * @size: (out) (optional): bytes
 * @error: as dps_files_open() has it; %DPS_ERROR_CORRUPT: it is larger than @max_size
 *
 * Returns: (transfer full): the contents with a NUL behind them, %NULL on failure
 */
char *dps_files_read(DpsFiles *self, const char *path, size_t max_size, size_t *size,
		     GError **error);

/*
 * What the medium did not give (%DPS_ERROR_IO) to dps_files_lookup(), _list(), _open() and _read()
 * is remembered by the path that was asked for: it is there, or not, or anything.
 */

/* Who reads the region of a file says so himself; another error is none of this. */
void dps_files_note_lost(DpsFiles *self, const char *path, const GError *error);

/* (nullable): one line, "/EFI/Linux/a.efi: Input/output error"; NULL: nothing of @path was lost */
const char *dps_files_get_lost(DpsFiles *self, const char *path);
const char *dps_files_get_first_lost(DpsFiles *self); /* of all paths */

/**
 * dps_files_get_attribute:
 * @self: files
 * @path: links are followed
 * @name: its whole name: "user.validatefs.gpt_label"
 * @value: (out) (transfer full) (nullable): %NULL when it is not set
 * @error: %DPS_ERROR_NOT_FOUND: nothing at @path; %DPS_ERROR_UNSUPPORTED: no such thing in this
 * format
 *
 * Returns: %TRUE when it is known
 */
gboolean dps_files_get_attribute(DpsFiles *self, const char *path, const char *name, GBytes **value,
				 GError **error);

/**
 * dps_files_get_space:
 * @self: files
 * @size: (out): bytes that all files together could have
 * @free_size: (out): bytes of it that are free
 * @unit: (out): bytes that the room of each file is a multiple of
 * @error: %DPS_ERROR_UNSUPPORTED, %DPS_ERROR_IO, %DPS_ERROR_CORRUPT
 *
 * Returns: %TRUE on success
 */
gboolean dps_files_get_space(DpsFiles *self, uint64_t *size, uint64_t *free_size, uint64_t *unit,
			     GError **error);
