/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "btrfs-image.h"
#include "decide/backup.h"

/*
 * A disk image and what an installer wants of it, for tests of what apply and undo write, and of
 * what becomes of it.
 */

/* Root in partition 2, a btrfs whose default is the top level and whose root is in "root". */
#define ROOT_FIRST UINT64_C(2048)
#define ROOT_SECTORS (UINT64_C(65) * 2048)
#define N_SECTORS (ROOT_FIRST + ROOT_SECTORS + 2048)

typedef struct {
	char *dir, *path, *backup;
	BtrfsImage image;
} Fixture;

/* For g_test_add(). */
void set_up(Fixture *self, gconstpointer data);
void tear_down(Fixture *self, gconstpointer data);

/* The disk as it was before anything. */
void put_disk(Fixture *self);

/*
 * Both copies of its table, of the one that make-gpt.c makes over 2048 sectors; 0x14 is the first
 * byte of what partition 4 is.
 */
void put_table(int fd, uint8_t type_of_4);

DpsDisk *open_disk(Fixture *self);

/* ESP, root with its default subvolume, home: nothing is prepared yet. */
DpsPlan *make_plan(DpsDisk *disk);
gboolean apply(Fixture *self, const char *backup, GError **error);

gboolean has_backup(Fixture *self);

/* How often @part is in @text. */
guint count(const char *text, const char *part);

DpsPlan *make_undo(Fixture *self, DpsDisk *disk, GError **error);
gboolean undo(Fixture *self, GError **error);

/* Everything that may change, in one string: type and flags of each partition, the default. */
char *describe(Fixture *self);
void assert_disk(Fixture *self, const char *wanted);

/* A byte of the primary table, whose checksums are made true; the backup stays as it is. */
void set_byte(Fixture *self, off_t at, uint8_t to);

/* @from stands once in the backup file, and is @to then. */
void change_backup(Fixture *self, const char *from, const char *to);

#define OLD                                                                                        \
	"1 11111111 0 EFI; 2 12121212 0 root; default 5; 4 14141414 0 -; "                         \
	"whole"
/* The GUIDs of the specification: esp, root-x86-64, home. */
#define NEW                                                                                        \
	"1 c12a7328 0 EFI; 2 4f68bce3 0x800000000000000 root; default 256; "                       \
	"4 933ac7e1 0 -; whole"
