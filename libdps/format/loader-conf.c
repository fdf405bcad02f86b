/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/loader-conf.h"
#include "format/lines.h"

#include <string.h>

static gboolean
is_loader_conf_key(const char *key)
{
	/* loader.conf(5) of systemd 262. */
	static const char *const known[] = {
		"default",
		"preferred",
		"timeout",
		"editor",
		"auto-entries",
		"auto-firmware",
		"auto-reboot",
		"auto-poweroff",
		"beep",
		"console-mode",
		"log-level",
		"reboot-for-bitlocker",
		"random-seed-mode",
		"reboot-on-error",
		"secure-boot-enroll",
		"secure-boot-enroll-action",
		"secure-boot-enroll-timeout-sec",
	};

	for (guint i = 0; i < G_N_ELEMENTS(known); i++)
		if (strcmp(key, known[i]) == 0)
			return TRUE;

	return FALSE;
}

void
dps_loader_conf_parse(const char *text, size_t size, DpsLoaderConf *out)
{
	DpsLines lines = dps_lines_over(text, MIN(size, DPS_BLS_MAX_FILE_SIZE), " \t");
	DpsLoaderConf conf = {
		.problems = dps_bls_problems_new(),
	};
	const struct {
		const char *key;
		char **field;
	} fields[] = {
		{ "default", &conf.default_pattern },
		{ "preferred", &conf.preferred },
		{ "timeout", &conf.timeout },
	};
	char *key, *value;

	while (dps_lines_next(&lines, &key, &value)) {
		if (!is_loader_conf_key(key))
			dps_bls_problems_add(conf.problems, DPS_BLS_PROBLEM_UNKNOWN_KEY,
					     lines.number, "line %u: key %.64s is not known",
					     lines.number, key);
		else if (!value || *value == '\0')
			dps_bls_problems_add(conf.problems, DPS_BLS_PROBLEM_NO_VALUE, lines.number,
					     "line %u: %s has no value", lines.number, key);
		else if (strcmp(key, "default") == 0 && *value == '@' &&
			 g_ascii_strcasecmp(value, "@saved") != 0)
			dps_bls_problems_add(
				conf.problems, DPS_BLS_PROBLEM_BAD_VALUE, lines.number,
				"line %u: %s %.128s: is ignored: only @saved may start with @",
				lines.number, key, value);
		else
			for (guint i = 0; value && i < G_N_ELEMENTS(fields); i++)
				if (strcmp(key, fields[i].key) == 0) {
					g_free(*fields[i].field);
					*fields[i].field = g_steal_pointer(&value);
				}
		g_free(key);
		g_free(value);
	}
	*out = conf;
}

void
dps_loader_conf_clear(DpsLoaderConf *conf)
{
	g_clear_pointer(&conf->default_pattern, g_free);
	g_clear_pointer(&conf->preferred, g_free);
	g_clear_pointer(&conf->timeout, g_free);
	g_clear_pointer(&conf->problems, g_ptr_array_unref);
}

DpsBlsSrel
dps_bls_srel_parse(const char *text, size_t size)
{
	g_autofree char *word = g_strndup(text, MIN(size, 64));

	return strcmp(g_strstrip(word), "type1") == 0 ? DPS_BLS_SREL_TYPE1 : DPS_BLS_SREL_FOREIGN;
}
