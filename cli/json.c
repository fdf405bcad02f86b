/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "json.h"

#include <jansson.h>

/* Of every document; it goes up when a key changes its meaning or goes away. */
#define VERSION 1

/* A value that may be missing is null; strings are UTF-8 whatever the system says they are. */
static json_t *
string(const char *text)
{
	g_autofree char *valid = NULL;

	if (!text)
		return json_null();

	valid = g_utf8_make_valid(text, -1);
	return json_string(valid);
}

/* Takes @document.  A document that could not be made for want of memory ends the program, as
 * GLib's own allocations do: half a document would be worse. */
static char *
finish(json_t *document)
{
	char *dumped = json_dumps(document, JSON_INDENT(2));
	char *text;

	if (!document || !dumped)
		g_error("JSON: out of memory");

	text = g_strconcat(dumped, "\n", NULL);
	free(dumped);
	json_decref(document);
	return text;
}

static json_t *
number_or_null(guint number)
{
	return number == 0 ? json_null() : json_integer(number);
}

static json_t *
type_object(const DpsType *type)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "name", string(dps_type_get_name(type)),
			 "role", string(dps_role_to_string(dps_type_get_role(type))), "arch",
			 string(dps_arch_to_string(dps_type_get_arch(type))), "type_uuid",
			 string(dps_type_get_uuid(type)), "mount_point",
			 string(dps_type_get_mount_point(type)), "description",
			 string(dps_type_get_description(type)));
}

char *
json_types(DpsArch arch)
{
	json_t *types = json_array();

	for (guint i = 0; i < dps_type_get_count(); i++) {
		const DpsType *type = dps_type_get(i);
		DpsArch of = dps_type_get_arch(type);

		if (arch == DPS_ARCH_NONE || of == DPS_ARCH_NONE || of == arch)
			json_array_append_new(types, type_object(type));
	}

	return finish(json_pack("{s:i, s:o}", "version", VERSION, "types", types));
}

char *
json_failure(const GError *failure)
{
	/* What is not of the library's domain does not come from it: bad calls are the library's.
	 */
	const char *code = failure->domain == DPS_ERROR ? dps_error_code_to_string(failure->code)
							: dps_error_code_to_string(DPS_ERROR_IO);

	return finish(json_pack("{s:i, s:{s:s, s:o, s:o}}", "version", VERSION, "error", "code",
				code, "message", string(failure->message), "partition",
				number_or_null(dps_error_get_partition(failure))));
}
