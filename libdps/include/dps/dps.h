/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The whole of libdps: what its users include. */

#include <dps/version.h>
#include <dps/error.h>
#include <dps/types.h>
#include <dps/disk.h>
#include <dps/tree.h>
#include <dps/check.h>
#include <dps/plan.h>
