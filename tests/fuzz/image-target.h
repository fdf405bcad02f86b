/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "packed.h"

/* What a target has whose input is an image that is read, and whose image-target.c is the rest:
 * what a reader tells of it.  It is asked twice, see fuzz_tell_twice(). */
void fuzz_image_tell(FuzzImage *image, GString *told);
