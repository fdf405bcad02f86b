/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/check-options.h"
#include "ground/error.h"

#include <string.h>

/* Fedora keeps three kernels, Debian two, and a disk with room for two can take the next. */
#define DEFAULT_KEEP_KERNELS 2

struct _DpsCheckOptions {
	DpsArch arch;
	guint keep_kernels;
	char *esp;	    /* NULL: not given */
	GHashTable *only;   /* codes; NULL: all */
	GHashTable *ignore; /* codes */
	GHashTable *policy; /* code to severity */
};

DpsCheckOptions *
dps_check_options_new(void)
{
	DpsCheckOptions *options = g_new0(DpsCheckOptions, 1);

	options->keep_kernels = DEFAULT_KEEP_KERNELS;
	options->ignore = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	options->policy = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	return options;
}

void
dps_check_options_free(DpsCheckOptions *options)
{
	if (!options)
		return;

	g_clear_pointer(&options->only, g_hash_table_unref);
	g_hash_table_unref(options->ignore);
	g_hash_table_unref(options->policy);
	g_free(options->esp);
	g_free(options);
}

void
dps_check_options_set_arch(DpsCheckOptions *options, DpsArch arch)
{
	g_return_if_fail(options != NULL);

	options->arch = arch;
}

void
dps_check_options_set_keep_kernels(DpsCheckOptions *options, guint n)
{
	g_return_if_fail(options != NULL && n > 0);

	options->keep_kernels = n;
}

void
dps_check_options_set_esp(DpsCheckOptions *options, const char *path)
{
	g_return_if_fail(options != NULL);

	g_free(options->esp);
	options->esp = g_strdup(path);
}

/* The codes of a list; all are looked at before one is kept. */
static GHashTable *
read_codes(const char *codes, GError **error)
{
	g_autoptr(GHashTable) set = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	g_auto(GStrv) words = g_strsplit(codes, ",", -1);

	for (guint i = 0; words[i]; i++) {
		const char *code = g_strstrip(words[i]);

		if (!*code)
			continue;
		if (!dps_check_is_code(code))
			return dps_throw_null(error, DPS_ERROR_INVALID,
					      "%s: no check has this code: dps-findings(7) lists "
					      "them",
					      code);
		g_hash_table_add(set, g_strdup(code));
	}
	if (g_hash_table_size(set) == 0)
		return dps_throw_null(error, DPS_ERROR_INVALID, "list of codes: empty");
	return g_steal_pointer(&set);
}

gboolean
dps_check_options_set_only(DpsCheckOptions *options, const char *codes, GError **error)
{
	GHashTable *set;

	g_return_val_if_fail(options != NULL && codes != NULL, FALSE);

	set = read_codes(codes, error);
	if (!set)
		return FALSE;

	g_clear_pointer(&options->only, g_hash_table_unref);
	options->only = set;
	return TRUE;
}

gboolean
dps_check_options_set_ignore(DpsCheckOptions *options, const char *codes, GError **error)
{
	GHashTable *set;

	g_return_val_if_fail(options != NULL && codes != NULL, FALSE);

	set = read_codes(codes, error);
	if (!set)
		return FALSE;

	g_hash_table_unref(options->ignore);
	options->ignore = set;
	return TRUE;
}

/* The severity of a word of a policy; 0 for "ignore"; -1: it is none. */
static int
read_severity(const char *word)
{
	if (strcmp(word, "ignore") == 0)
		return 0;
	for (DpsSeverity severity = DPS_SEVERITY_INFO; severity <= DPS_SEVERITY_ERROR; severity++)
		if (strcmp(word, dps_severity_to_string(severity)) == 0)
			return (int)severity;

	return -1;
}

gboolean
dps_check_options_set_policy(DpsCheckOptions *options, const char *text, GError **error)
{
	g_autoptr(GHashTable) policy = NULL;
	g_auto(GStrv) lines = NULL;

	g_return_val_if_fail(options != NULL && text != NULL, FALSE);

	policy = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	lines = g_strsplit(text, "\n", -1);
	for (guint i = 0; lines[i]; i++) {
		char *line = g_strstrip(lines[i]);
		char *value;
		int severity;

		if (!g_utf8_validate(line, -1, NULL))
			return dps_throw(error, DPS_ERROR_INVALID, "line %u: not UTF-8", i + 1);
		value = strchr(line, '=');

		if (!*line || *line == '#')
			continue;
		if (!value)
			return dps_throw(error, DPS_ERROR_INVALID,
					 "line %u: \"%s\": not CODE=SEVERITY", i + 1, line);
		*value++ = '\0';
		line = g_strstrip(line);
		severity = read_severity(g_strstrip(value));
		if (!dps_check_is_code(line))
			return dps_throw(error, DPS_ERROR_INVALID,
					 "line %u: %s: no check has this code: dps-findings(7) "
					 "lists them",
					 i + 1, line);
		if (severity < 0)
			return dps_throw(error, DPS_ERROR_INVALID,
					 "line %u: %s: not a severity: it is error, warning, info "
					 "or ignore",
					 i + 1, value);
		/* What every disk has cannot be what is wrong with one. */
		if (strcmp(line, "dps-summary") == 0 && severity > (int)DPS_SEVERITY_INFO)
			return dps_throw(
				error, DPS_ERROR_INVALID,
				"line %u: %s: is no fault but on every disk: it can be "
				"info or ignore; why root is not found is a finding of its "
				"own",
				i + 1, line);
		/* Two answers to one question: who wrote them knows which is meant. */
		if (g_hash_table_contains(policy, line))
			return dps_throw(
				error, DPS_ERROR_INVALID,
				"line %u: %s: has a severity in a line above: leave one out", i + 1,
				line);
		g_hash_table_insert(policy, g_strdup(line), GINT_TO_POINTER(severity));
	}

	g_hash_table_unref(options->policy);
	options->policy = g_steal_pointer(&policy);
	return TRUE;
}

DpsArch
dps_check_options_get_arch(const DpsCheckOptions *options)
{
	return options ? options->arch : DPS_ARCH_NONE;
}

const char *
dps_check_options_get_esp(const DpsCheckOptions *options)
{
	return options ? options->esp : NULL;
}

guint
dps_check_options_get_keep_kernels(const DpsCheckOptions *options)
{
	return options ? options->keep_kernels : DEFAULT_KEEP_KERNELS;
}

gboolean
dps_check_options_wants(const DpsCheckOptions *options, const char *code)
{
	gpointer severity;

	if (!options)
		return TRUE;
	if (options->only && !g_hash_table_contains(options->only, code))
		return FALSE;
	if (g_hash_table_contains(options->ignore, code))
		return FALSE;

	return !g_hash_table_lookup_extended(options->policy, code, NULL, &severity) ||
	       GPOINTER_TO_INT(severity) != 0;
}

gboolean
dps_check_options_get_severity(const DpsCheckOptions *options, const char *code,
			       DpsSeverity *severity)
{
	gpointer value;

	if (!options || !g_hash_table_lookup_extended(options->policy, code, NULL, &value))
		return FALSE;

	*severity = (DpsSeverity)GPOINTER_TO_INT(value);
	return TRUE;
}
