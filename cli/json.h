/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dps/dps.h>

/*
 * The documents of --json, as docs/schema describes them: each a text that ends in a newline.
 * (transfer full)
 */
char *json_types(DpsArch arch); /* the types that a disk for @arch can have; NONE: all */
char *json_show(DpsDisk *disk); /* NULL: the tree is on no disk */
char *json_failure(const GError *failure);
