/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ground/error.h"
#include "ground/text.h"

#include <errno.h>
#include <string.h>

typedef struct {
	guint partition;
} DpsErrorPrivate;

static void
dps_error_private_init(DpsErrorPrivate *own)
{
	g_assert(own);
	own->partition = 0;
}

static void
dps_error_private_copy(const DpsErrorPrivate *from, DpsErrorPrivate *to)
{
	g_assert(from && to);
	*to = *from;
}

static void
dps_error_private_clear(DpsErrorPrivate *own)
{
}

G_DEFINE_EXTENDED_ERROR(DpsError, dps_error)

static const char *const code_names[] = {
	[DPS_ERROR_INVALID] = "invalid",	 [DPS_ERROR_NOT_FOUND] = "not-found",
	[DPS_ERROR_NO_TABLE] = "no-table",	 [DPS_ERROR_CORRUPT] = "corrupt",
	[DPS_ERROR_UNSUPPORTED] = "unsupported", [DPS_ERROR_REFUSED] = "refused",
	[DPS_ERROR_AMBIGUOUS] = "ambiguous",	 [DPS_ERROR_BUSY] = "busy",
	[DPS_ERROR_PERMISSION] = "permission",	 [DPS_ERROR_IO] = "io",
	[DPS_ERROR_NO_SPACE] = "no-space",	 [DPS_ERROR_CHANGED] = "changed",
};

const char *
dps_error_code_to_string(int code)
{
	if (code < DPS_ERROR_INVALID || code >= (int)G_N_ELEMENTS(code_names))
		return "unknown";

	return code_names[code];
}

guint
dps_error_get_partition(const GError *error)
{
	const DpsErrorPrivate *own;

	if (!error || error->domain != DPS_ERROR)
		return 0;

	own = dps_error_get_private(error);
	g_assert(own);
	return own->partition;
}

void
dps_error_set_partition(GError **error, guint partition)
{
	DpsErrorPrivate *own;

	if (!error || !*error || (*error)->domain != DPS_ERROR)
		return;

	own = dps_error_get_private(*error);
	g_assert(own);
	if (own->partition == 0)
		own->partition = partition;
}

static GError *make_error(DpsError code, const char *format, va_list args) G_GNUC_PRINTF(2, 0);

/* Names from a medium go into messages: what comes out is text, whatever they are. */
static GError *
make_error(DpsError code, const char *format, va_list args)
{
	g_autofree char *message = g_strdup_vprintf(format, args);
	g_autofree char *clean = dps_text_clean(message, strlen(message));

	return g_error_new_literal(DPS_ERROR, (int)code, clean);
}

void
dps_error_raise(GError **error, DpsError code, const char *format, ...)
{
	va_list args;

	if (!error)
		return;

	va_start(args, format);
	*error = make_error(code, format, args);
	va_end(args);
}

void
dps_error_raise_partition(GError **error, guint partition, DpsError code, const char *format, ...)
{
	va_list args;

	if (!error)
		return;

	va_start(args, format);
	*error = make_error(code, format, args);
	va_end(args);
	dps_error_set_partition(error, partition);
}

/* What a caller can do about a failed system call decides its code. */
static DpsError
code_from_errno(int errnum)
{
	switch (errnum) {
	case ENOENT:
	case ENOTDIR:
	case ENODEV:
	case ENXIO:
	case ENOMEDIUM:
		return DPS_ERROR_NOT_FOUND;
	case EACCES:
	case EPERM:
	case EROFS:
		return DPS_ERROR_PERMISSION;
	case EBUSY:
	case EAGAIN: /* flock(2) with LOCK_NB */
	case ETXTBSY:
		return DPS_ERROR_BUSY;
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return DPS_ERROR_NO_SPACE;
	case EINVAL:
	case ENAMETOOLONG:
		return DPS_ERROR_INVALID;
	case ELOOP:
	case EXDEV: /* openat2(2): a link that leads out of the tree */
		return DPS_ERROR_REFUSED;
	case ENOTTY:
	case EOPNOTSUPP:
	case ENOSYS:
		return DPS_ERROR_UNSUPPORTED;
	default:
		return DPS_ERROR_IO;
	}
}

void
dps_error_raise_errno(GError **error, int errnum, const char *format, ...)
{
	g_autoptr(GError) subject = NULL;
	va_list args;

	if (!error)
		return;

	va_start(args, format);
	subject = make_error(code_from_errno(errnum), format, args);
	va_end(args);

	*error = g_error_new(DPS_ERROR, subject->code, "%s: %s", subject->message,
			     g_strerror(errnum));
}

void
dps_prefix_error(GError **error, const char *format, ...)
{
	g_autofree char *prefix = NULL;
	g_autofree char *clean = NULL;
	va_list args;

	if (!error || !*error)
		return;

	va_start(args, format);
	prefix = g_strdup_vprintf(format, args);
	va_end(args);
	clean = dps_text_clean(prefix, strlen(prefix));
	g_prefix_error(error, "%s", clean);
}
