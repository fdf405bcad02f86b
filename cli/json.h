/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dps/dps.h>

/*
 * The documents of --json, as docs/schema describes them: each a text that ends in a newline.
 * (transfer full)
 */
char *json_types(DpsArch arch); /* the types that a disk for @arch can have; NONE: all */
char *json_show(DpsDisk *disk); /* NULL: the tree is on no disk */
char *json_plan(DpsPlan *plan);
char *json_applied(DpsPlan *plan, GPtrArray *findings);
char *json_failure(const GError *failure);

/* The document of check, disk by disk. */
typedef struct _JsonCheck JsonCheck;

JsonCheck *json_check_new(void);
void json_check_add(JsonCheck *self, DpsDisk *disk, GPtrArray *findings);
char *json_check_finish(JsonCheck *self, const GError *failure); /* takes @self */
