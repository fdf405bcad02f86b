/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dps/error.h>

/*
 * One line leaves a function with an error:
 *
 *	return dps_throw(error, DPS_ERROR_CORRUPT, "boot sector: no 55 aa signature");
 *
 * Each of these is FALSE; where a function returns a pointer, dps_throw_null().  That it is FALSE
 * stands here and not behind a call, so that compilers and analyzers know which outputs are set.
 * The message is valid UTF-8 on one line without control characters, whatever names go into it.
 */
#define dps_throw(...)                                                                             \
	__extension__({                                                                            \
		dps_error_raise(__VA_ARGS__);                                                      \
		FALSE;                                                                             \
	})
void dps_error_raise(GError **error, DpsError code, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* The same, for an error about one partition (see dps_error_get_partition()). */
#define dps_throw_partition(...)                                                                   \
	__extension__({                                                                            \
		dps_error_raise_partition(__VA_ARGS__);                                            \
		FALSE;                                                                             \
	})
void dps_error_raise_partition(GError **error, guint partition, DpsError code, const char *format,
			       ...) G_GNUC_PRINTF(4, 5);

/* The code that @errnum stands for, and its text behind the message.  The only such table. */
#define dps_throw_errno(...)                                                                       \
	__extension__({                                                                            \
		dps_error_raise_errno(__VA_ARGS__);                                                \
		FALSE;                                                                             \
	})
void dps_error_raise_errno(GError **error, int errnum, const char *format, ...) G_GNUC_PRINTF(3, 4);

/*
 * What g_prefix_error() does, as text likewise: a prefix is often a name from a medium.  Nothing
 * happens when there is no error.
 */
void dps_prefix_error(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Notes which partition an error that is passed on is about; keeps one that is noted already. */
void dps_error_set_partition(GError **error, guint partition);

#define dps_throw_null(...) (dps_throw(__VA_ARGS__), NULL)
#define dps_throw_errno_null(...) (dps_throw_errno(__VA_ARGS__), NULL)
