/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "assignment.h"

#include <string.h>
#include "suggest.h"

/* What may be asked for; the other bits that have names are the firmware's business. */
static const struct {
	const char *name;
	DpsFlags set, clear;
} flags[] = {
	{ "read-only", DPS_FLAG_READ_ONLY, 0 }, { "no-read-only", 0, DPS_FLAG_READ_ONLY },
	{ "growfs", DPS_FLAG_GROWFS, 0 },	{ "no-growfs", 0, DPS_FLAG_GROWFS },
	{ "no-auto", DPS_FLAG_NO_AUTO, 0 },	{ "auto", 0, DPS_FLAG_NO_AUTO },
};

void
assignment_free(Assignment *self)
{
	if (!self)
		return;

	g_free(self->partition);
	g_free(self);
}

gboolean
assignment_is_meant(const char *word)
{
	return word[strcspn(word, "=/")] == '=';
}

static gboolean
throw_unknown(const char *text, const char *what, const char *word, GPtrArray *names,
	      GError **error)
{
	g_autofree char *all = NULL;
	const char *near;

	g_ptr_array_add(names, NULL);
	near = suggest_nearest(word, (const char *const *)names->pdata);
	all = suggest_join((const char *const *)names->pdata);
	if (near)
		g_set_error(error, DPS_ERROR, DPS_ERROR_INVALID,
			    "%s: no such %s \"%s\": did you mean %s?", text, what, word, near);
	else
		g_set_error(error, DPS_ERROR, DPS_ERROR_INVALID,
			    "%s: no such %s \"%s\": it is one of %s", text, what, word, all);
	return FALSE;
}

static gboolean
parse_role(const char *text, const char *word, DpsRole *out, GError **error)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new();

	*out = dps_role_from_string(word);
	if (*out != DPS_ROLE_NONE)
		return TRUE;

	for (DpsRole role = DPS_ROLE_NONE + 1; dps_role_to_string(role); role++)
		g_ptr_array_add(names, (gpointer)dps_role_to_string(role));
	return throw_unknown(text, "role", word, names, error);
}

static gboolean
parse_arch(const char *text, const char *word, DpsRole role, DpsArch *out, GError **error)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new();

	*out = dps_arch_from_string(word);
	if (*out == DPS_ARCH_NONE) {
		for (DpsArch arch = DPS_ARCH_NONE + 1; dps_arch_to_string(arch); arch++)
			g_ptr_array_add(names, (gpointer)dps_arch_to_string(arch));
		return throw_unknown(text, "architecture", word, names, error);
	}
	if (!dps_role_needs_arch(role)) {
		g_set_error(error, DPS_ERROR, DPS_ERROR_INVALID,
			    "%s: architecture \"%s\": the type for %s is the same on all of them",
			    text, word, dps_role_to_string(role));
		return FALSE;
	}

	return TRUE;
}

static gboolean
find_flag(const char *word, guint *out)
{
	for (guint i = 0; i < G_N_ELEMENTS(flags); i++) {
		if (strcmp(word, flags[i].name) == 0) {
			*out = i;
			return TRUE;
		}
	}

	return FALSE;
}

static gboolean
parse_flag(const char *text, const char *word, Assignment *self, GError **error)
{
	g_autoptr(GPtrArray) names = NULL;
	guint i;

	if (!find_flag(word, &i)) {
		names = g_ptr_array_new();
		for (i = 0; i < G_N_ELEMENTS(flags); i++)
			g_ptr_array_add(names, (gpointer)flags[i].name);
		return throw_unknown(text, "flag", word, names, error);
	}

	self->set |= flags[i].set;
	self->clear |= flags[i].clear;
	if (self->set & self->clear) {
		g_set_error(error, DPS_ERROR, DPS_ERROR_INVALID,
			    "%s: flag \"%s\": the same flag is set and cleared", text, word);
		return FALSE;
	}

	return TRUE;
}

/*
 * Where the flags begin: at the first comma.  A label may have commas of its own, so behind LABEL=
 * and PARTLABEL= only what is a flag counts as one, from the end.
 */
static size_t
find_flags(const char *partition)
{
	g_autofree char *rest = NULL;
	gboolean is_label =
		g_str_has_prefix(partition, "LABEL=") || g_str_has_prefix(partition, "PARTLABEL=");
	char *comma;
	guint unused;

	if (!is_label)
		return strcspn(partition, ",");

	rest = g_strdup(partition);
	while ((comma = strrchr(rest, ',')) && find_flag(comma + 1, &unused))
		*comma = '\0';

	return strlen(rest);
}

Assignment *
assignment_parse(const char *text, GError **error)
{
	g_autoptr(Assignment) self = g_new0(Assignment, 1);
	const char *equals = strchr(text, '=');
	g_autofree char *left = NULL;
	g_auto(GStrv) words = NULL;
	size_t size;
	char *colon;

	if (!equals || equals == text) {
		g_set_error(error, DPS_ERROR, DPS_ERROR_INVALID,
			    "%s: not an assignment: ROLE=PARTITION, as in root=3", text);
		return NULL;
	}

	left = g_strndup(text, (size_t)(equals - text));
	colon = strchr(left, ':');
	if (colon)
		*colon++ = '\0';
	if (!parse_role(text, left, &self->role, error))
		return NULL;
	if (colon && !parse_arch(text, colon, self->role, &self->arch, error))
		return NULL;

	size = find_flags(equals + 1);
	self->partition = g_strndup(equals + 1, size);
	if (!*self->partition) {
		g_set_error(error, DPS_ERROR, DPS_ERROR_INVALID,
			    "%s: no partition: a number, a device node, LABEL=, UUID=, PARTLABEL= "
			    "or PARTUUID=",
			    text);
		return NULL;
	}

	/* Split with the first comma on, so that a word is asked for behind each. */
	words = g_strsplit(equals + 1 + size, ",", -1);
	for (guint i = 1; words[0] && words[i]; i++)
		if (!parse_flag(text, words[i], self, error))
			return NULL;

	if (self->role == DPS_ROLE_SAME && !self->set && !self->clear) {
		g_set_error(error, DPS_ERROR, DPS_ERROR_INVALID,
			    "%s: no flag: same changes flags only, as in same=3,no-auto", text);
		return NULL;
	}

	return g_steal_pointer(&self);
}

GPtrArray *
assignment_parse_all(const char *const *words, guint n_words, GError **error)
{
	g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func((GDestroyNotify)assignment_free);

	for (guint i = 0; i < n_words; i++) {
		Assignment *one = assignment_parse(words[i], error);

		if (!one)
			return NULL;
		g_ptr_array_add(all, one);
	}

	return g_steal_pointer(&all);
}
