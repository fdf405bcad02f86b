/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/os-release.h"
#include "format/lines.h"

#include <string.h>

void
dps_os_release_parse(const char *text, size_t size, DpsOsRelease *out)
{
	DpsOsRelease os = { 0 };
	const struct {
		const char *key;
		char **field;
	} fields[] = {
		{ "PRETTY_NAME", &os.pretty_name },
		{ "NAME", &os.name },
		{ "ID", &os.id },
		{ "IMAGE_ID", &os.image_id },
		{ "IMAGE_VERSION", &os.image_version },
		{ "VERSION", &os.version },
		{ "VERSION_ID", &os.version_id },
		{ "BUILD_ID", &os.build_id },
	};
	DpsLines lines = dps_lines_over(text, size, "=");
	char *key, *value;

	while (dps_lines_next(&lines, &key, &value)) {
		for (guint i = 0; value && i < G_N_ELEMENTS(fields); i++) {
			if (strcmp(key, fields[i].key) != 0)
				continue;
			g_free(*fields[i].field);
			*fields[i].field = *value ? g_steal_pointer(&value) : NULL;
		}
		g_free(key);
		g_free(value);
	}
	*out = os;
}

void
dps_os_release_clear(DpsOsRelease *os_release)
{
	g_free(os_release->pretty_name);
	g_free(os_release->name);
	g_free(os_release->id);
	g_free(os_release->image_id);
	g_free(os_release->image_version);
	g_free(os_release->version);
	g_free(os_release->version_id);
	g_free(os_release->build_id);
	*os_release = (DpsOsRelease){ 0 };
}

static const char *
first_of(const char *a, const char *b, const char *c, const char *d)
{
	return a ? a : b ? b : c ? c : d;
}

const char *
dps_os_release_get_title(const DpsOsRelease *os_release)
{
	return first_of(os_release->pretty_name, os_release->image_id, os_release->name,
			os_release->id);
}

const char *
dps_os_release_get_version(const DpsOsRelease *os_release)
{
	return first_of(os_release->image_version, os_release->version, os_release->version_id,
			os_release->build_id);
}

const char *
dps_os_release_get_sort_key(const DpsOsRelease *os_release)
{
	return first_of(os_release->image_id, os_release->id, NULL, NULL);
}
