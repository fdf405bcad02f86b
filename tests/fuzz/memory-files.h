/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "target/files.h"

/*
 * The files of a tree that is in nobody's hands: texts that stand one behind the other in an input,
 * with a NUL between them.
 */
#define FUZZ_MAX_TEXTS 8

typedef struct {
	const char *const *paths; /* of the texts, "/etc/fstab"; ends with NULL */
	struct {
		const uint8_t *bytes;
		size_t size;
	} texts[FUZZ_MAX_TEXTS];
} FuzzTexts;

/* Takes the input apart; what is missing is empty. */
void fuzz_texts_split(FuzzTexts *self, const char *const *paths, const uint8_t *data, size_t size);

/* (transfer full): files that borrow @texts */
DpsFiles *fuzz_texts_open(FuzzTexts *texts);
