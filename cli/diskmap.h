/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "facts.h"
#include "screen.h"

/* The type GUID that @partition will have. */
typedef const char *(*DiskmapAfter)(const PartitionFacts *partition, gpointer data);

/**
 * diskmap_print:
 * @screen: where to
 * @disk: the disk
 * @after: (nullable): what is to become of it
 * @data: for @after
 *
 * Draws the disk to scale, as wide as the terminal: what each partition is, and below it what it
 * will be.  What is too small to be seen is drawn wide enough for its number; what is too much for
 * the width is drawn together.
 */
void diskmap_print(Screen *screen, const Facts *disk, DiskmapAfter after, gpointer data);
