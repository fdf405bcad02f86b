/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "facts.h"

/*
 * The documents of --json, as docs/schema describes them: each a text that ends in a newline.
 * (transfer full)
 */
char *json_types(DpsArch arch);	    /* the types that a disk for @arch can have; NONE: all */
char *json_show(const Facts *disk); /* NULL: the tree is on no disk */
char *json_plan(DpsPlan *plan);
char *json_applied(DpsPlan *plan, GPtrArray *findings); /* (element-type DpsFinding) */
char *json_failure(const Failure *failure);

/* The document of check, disk by disk. */
typedef struct _JsonCheck JsonCheck;

JsonCheck *json_check_new(void);

/* @path: as it was typed, NULL when none was; of @facts and @failure one is NULL, and both when the
 * tree is on no disk. */
void json_check_add(JsonCheck *self, const char *path, const Facts *facts, const Failure *failure);
char *json_check_finish(JsonCheck *self); /* takes @self */
