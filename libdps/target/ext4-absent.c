/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/ext4.h"
#include "ground/error.h"

/* Built in place of ext4.c where libext2fs is not there. */
DpsFiles *
dps_ext4_open(const DpsRegion *region, GError **error)
{
	return dps_throw_null(error, DPS_ERROR_UNSUPPORTED,
			      "ext4: cannot be read: libdps was built without libext2fs");
}
