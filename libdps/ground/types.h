/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dps/types.h>
#include "ground/guid.h"

struct _DpsType {
	DpsRole role;
	DpsArch arch;
	const char *uuid;
	const char *name;
};

/* The generated table (types-gen.py, from types.csv). */
extern const DpsType dps_types[];
extern const guint dps_types_count;

/* Returns: (nullable): the type with this GUID */
const DpsType *dps_type_lookup_guid(const DpsGuid *guid);
