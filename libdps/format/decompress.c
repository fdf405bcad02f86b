/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/decompress.h"
#include "ground/error.h"

#include <string.h>
#if HAVE_ZLIB
#include <zlib.h>
#endif
#if HAVE_ZSTD
#include <zstd.h>
#endif

static const char *const names[] = {
	[DPS_COMPRESSION_NONE] = "none",
	[DPS_COMPRESSION_ZLIB] = "zlib",
	[DPS_COMPRESSION_LZO] = "lzo",
	[DPS_COMPRESSION_ZSTD] = "zstd",
};

#if HAVE_ZLIB
static gboolean
decompress_zlib(const uint8_t *data, size_t size, uint8_t *out, size_t out_size, GError **error)
{
	z_stream stream = {
		.next_in = (Bytef *)data,
		.avail_in = (uInt)size,
		.next_out = out,
		.avail_out = (uInt)out_size,
	};
	int result;

	if (inflateInit(&stream) != Z_OK)
		return dps_throw(error, DPS_ERROR_IO, "compressed extent: zlib cannot start");
	/* Out of room or of input is no fault: the last extent of a file is padded. */
	result = inflate(&stream, Z_FINISH);
	inflateEnd(&stream);
	if (result != Z_STREAM_END && result != Z_BUF_ERROR)
		return dps_throw(error, DPS_ERROR_CORRUPT, "compressed extent: no zlib stream");

	memset(stream.next_out, 0, stream.avail_out);
	return TRUE;
}
#endif

#if HAVE_ZSTD
static gboolean
decompress_zstd(const uint8_t *data, size_t size, uint8_t *out, size_t out_size, GError **error)
{
	ZSTD_DCtx *context = ZSTD_createDCtx();
	ZSTD_inBuffer from = { data, size, 0 };
	ZSTD_outBuffer to = { out, out_size, 0 };
	size_t result = 0;

	/* ZSTD_BTRFS_MAX_WINDOWLOG of the kernel: no frame that it wrote has a larger window. */
	if (context)
		result = ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, 17);
	while (context && !ZSTD_isError(result) && from.pos < from.size && to.pos < to.size) {
		const size_t in_before = from.pos, out_before = to.pos;

		result = ZSTD_decompressStream(context, &to, &from);
		if (result == 0 || (from.pos == in_before && to.pos == out_before))
			break; /* the frame ends; what follows is padding */
	}
	ZSTD_freeDCtx(context);
	if (!context)
		return dps_throw(error, DPS_ERROR_IO, "compressed extent: zstd cannot start");
	if (ZSTD_isError(result))
		return dps_throw(error, DPS_ERROR_CORRUPT, "compressed extent: no zstd frame: %s",
				 ZSTD_getErrorName(result));

	memset(out + to.pos, 0, out_size - to.pos);
	return TRUE;
}
#endif

gboolean
dps_decompress(uint8_t type, const uint8_t *data, size_t size, uint8_t *out, size_t out_size,
	       GError **error)
{
	switch (type) {
#if HAVE_ZLIB
	case DPS_COMPRESSION_ZLIB:
		return decompress_zlib(data, size, out, out_size, error);
#endif
#if HAVE_ZSTD
	case DPS_COMPRESSION_ZSTD:
		return decompress_zstd(data, size, out, out_size, error);
#endif
	default:
		if (type == DPS_COMPRESSION_NONE || type >= G_N_ELEMENTS(names))
			return dps_throw(error, DPS_ERROR_UNSUPPORTED,
					 "compressed extent: compression %u: not known", type);
		return dps_throw(error, DPS_ERROR_UNSUPPORTED,
				 "compressed extent: this build of libdps cannot read %s: mount "
				 "the file system, and name its tree with --root",
				 names[type]);
	}
}
