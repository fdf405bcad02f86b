/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

/* The engine's own changes: libFuzzer has this, and driver.c for those who have none. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

/* What an engine asks for another input. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);

/* An input that was changed where it matters; @is_packed: it is a packed image (packed.h). */
size_t fuzz_mutate(uint8_t *data, size_t size, size_t max_size, guint seed, gboolean is_packed);
