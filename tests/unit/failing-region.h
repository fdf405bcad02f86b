/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dps/error.h>
#include "ground/error.h"
#include "ground/region.h"

/*
 * A region over another one, of which reads fail: what a medium does that breaks while it is read.
 */
typedef struct {
	DpsRegion below;
	guint n_reads, first, last; /* which of them fail; 1 is the first */
} FailingRegion;

static inline gboolean
failing_region_read(void *data, uint64_t offset, void *buffer, size_t size, GError **error)
{
	FailingRegion *self = data;

	self->n_reads++;
	if (self->n_reads >= self->first && self->n_reads <= self->last)
		return dps_throw(error, DPS_ERROR_IO, "the medium is broken");
	return dps_region_read(&self->below, offset, buffer, size, error);
}

/* Returns: whether it was done; then there is no error */
typedef gboolean (*FailingCall)(const DpsRegion *region, GError **error);

/*
 * Lets each read of @call fail in turn: alone, as where a second copy may help, and with all behind
 * it.  It must be done, or say that the medium is broken and not that what is on it is.
 */
static inline void
failing_region_try_each(const DpsRegion *below, FailingCall call)
{
	for (guint once = 0; once < 2; once++)
		for (guint nth = 1;; nth++) {
			FailingRegion self = { .below = *below,
					       .first = nth,
					       .last = once ? nth : G_MAXUINT };
			DpsRegion region =
				dps_region_over_reader(failing_region_read, &self, below->size);
			g_autoptr(GError) error = NULL;
			gboolean done = call(&region, &error);

			g_assert_cmpint(done, ==, error == NULL);
			if (self.n_reads < nth) {
				g_assert_no_error(error);
				g_assert_cmpuint(nth, >, 1);
				break;
			}
			if (!done)
				g_assert_error(error, DPS_ERROR, DPS_ERROR_IO);
		}
}
