/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ground/region.h"
#include "ground/error.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

DpsRegion
dps_region_over_fd(int fd, uint64_t start, uint64_t size)
{
	/* A table may name any 64-bit place: cut it here, so that no sum below can wrap. */
	const uint64_t limit = INT64_MAX;

	start = MIN(start, limit);
	return (DpsRegion){ .fd = fd, .start = start, .size = MIN(size, limit - start) };
}

DpsRegion
dps_region_over_memory(const void *mem, uint64_t size)
{
	return (DpsRegion){ .fd = -1, .mem = mem, .size = size };
}

DpsRegion
dps_region_over_reader(DpsRegionReader reader, void *data, uint64_t size)
{
	return (DpsRegion){ .fd = -1, .reader = reader, .reader_data = data, .size = size };
}

static gboolean
check_bounds(const DpsRegion *self, uint64_t offset, uint64_t size, GError **error)
{
	/* Two comparisons and no addition: nothing can wrap. */
	if (offset > self->size || size > self->size - offset)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "bytes %" PRIu64 " + %" PRIu64 ": outside of the %" PRIu64
				 " bytes that are there",
				 offset, size, self->size);

	return TRUE;
}

gboolean
dps_region_narrow(const DpsRegion *self, uint64_t offset, uint64_t size, DpsRegion *out,
		  GError **error)
{
	if (!check_bounds(self, offset, size, error))
		return FALSE;

	*out = (DpsRegion){
		.fd = self->fd,
		.mem = self->mem ? self->mem + offset : NULL,
		.reader = self->reader,
		.reader_data = self->reader_data,
		.start = self->mem ? 0 : self->start + offset,
		.size = size,
	};
	return TRUE;
}

gboolean
dps_region_read(const DpsRegion *self, uint64_t offset, void *buffer, size_t size, GError **error)
{
	uint8_t *to = buffer;

	if (!check_bounds(self, offset, size, error))
		return FALSE;

	if (self->reader)
		return size == 0 ||
		       self->reader(self->reader_data, self->start + offset, to, size, error);

	if (self->fd < 0) {
		if (size > 0)
			memcpy(to, self->mem + offset, size);
		return TRUE;
	}

	for (uint64_t at = self->start + offset; size > 0;) {
		ssize_t n = pread(self->fd, to, size, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return dps_throw_errno(error, errno, "byte %" PRIu64 ": read", at);
		if (n == 0)
			return dps_throw(error, DPS_ERROR_CORRUPT,
					 "byte %" PRIu64 ": the medium ends here", at);
		to += n;
		at += (uint64_t)n;
		size -= (size_t)n;
	}
	return TRUE;
}
