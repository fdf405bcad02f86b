/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "target/journal.h"

/* What test-journal.c and test-journal-steps.c work on. */
#define IMAGE_SIZE 65536
#define EDIT_SIZE 2048
#define FIRST 4096
#define SECOND 20480

/* An image of 'a', and edits that make 'b' of two places of it. */
typedef struct {
	char *dir, *image, *journal;
	DpsMedium *medium;
} Fixture;

void set_up(Fixture *self, gconstpointer data);
void tear_down(Fixture *self, gconstpointer data);
GPtrArray *make_edits(void);

/* The same edits as a journal, put together by hand: the file's format is a promise. */
GByteArray *make_journal(void);

/* Makes its checksum right again. */
void sum_journal(GByteArray *bytes);

/* The first @size bytes of it, beside the image. */
void put_journal(Fixture *self, const GByteArray *bytes, gsize size);

/* @size bytes of @value. */
void put_image(Fixture *self, off_t at, char value, size_t size);

/* That both places hold nothing else, and the rest is as it was. */
void assert_image(Fixture *self, char first, char second);
