/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "target/medium.h"

/* What test-medium.c and test-medium-steps.c work on. */
#define SIZE 8192

/* A file of SIZE bytes, each its own offset modulo 251. */
typedef struct {
	char *dir, *path;
} Fixture;

void set_up(Fixture *fixture, gconstpointer data);
void tear_down(Fixture *fixture, gconstpointer data);
GBytes *get_bytes(Fixture *fixture);

/* An edit that makes @size bytes into @to; the old ones are those of the file, or all @from_edit
 * when that is not 0: what an edit before it left. */
void add_edit(GPtrArray *edits, uint64_t offset, size_t size, uint8_t from_edit, uint8_t to);
