/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../../cli/assignment.h"
#include "format/version.h"
#include "fuzz.h"
#include "ground/guid.h"

/*
 * What people type, a line each: assignments, GUIDs, names of roles, architectures and flags, and
 * versions, of which the first three are put in order.
 *
 * Asserted: a failure says why; what is read is written as it is read again; no flag is both set
 * and cleared; versions have an order: two are compared alike from both sides, and with three there
 * is a first.
 */
static void
check_assignment(const char *word)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(Assignment) assignment = assignment_parse(word, &error);

	if (!assignment) {
		g_assert_nonnull(error);
		g_assert_true(!g_utf8_validate(word, -1, NULL) ||
			      g_utf8_validate(error->message, -1, NULL));
		return;
	}
	g_assert_true(assignment->partition && assignment->partition[0]);
	g_assert_cmpuint(assignment->set & assignment->clear, ==, 0);
	g_assert_true(assignment_is_meant(word));
}

static void
check_guid(const char *word)
{
	char text[DPS_GUID_TEXT_SIZE];
	uint8_t raw[DPS_GUID_SIZE];
	g_autoptr(GError) error = NULL;
	DpsGuid guid, again;
	DpsArch arch;

	if (dps_guid_from_string(word, &guid, &error)) {
		dps_guid_to_string(&guid, text);
		g_assert_cmpint(g_ascii_strcasecmp(text, word), ==, 0);
		g_assert_true(dps_guid_from_string(text, &again, NULL));
		g_assert_true(dps_guid_equal(&guid, &again));
		dps_guid_to_gpt(&guid, raw);
		again = dps_guid_from_gpt(raw);
		g_assert_true(dps_guid_equal(&guid, &again));
	} else {
		g_assert_nonnull(error);
	}
	dps_type_lookup_uuid(word);
	dps_type_lookup_name(word);
	dps_flag_from_string(word);
	arch = dps_arch_from_string(word);
	if (arch != DPS_ARCH_NONE)
		g_assert_cmpint(dps_arch_from_string(dps_arch_to_string(arch)), ==, arch);
	if (dps_role_from_string(word) != DPS_ROLE_NONE)
		g_assert_cmpstr(dps_role_to_string(dps_role_from_string(word)), ==, word);
}

static int
sign(int value)
{
	return CLAMP(value, -1, 1);
}

static void
check_versions(const char *a, const char *b, const char *c)
{
	const int ab = sign(dps_version_compare(a, b)), bc = sign(dps_version_compare(b, c)),
		  ac = sign(dps_version_compare(a, c));

	g_assert_cmpint(dps_version_compare(a, a), ==, 0);
	g_assert_cmpint(sign(dps_version_compare(b, a)), ==, -ab);
	/* In one order: a before b before c, or a like b. */
	if (ab == bc || bc == 0)
		g_assert_cmpint(ac, ==, ab);
	if (ab == 0)
		g_assert_cmpint(ac, ==, bc);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autofree char *text = g_strndup((const char *)data, MIN(size, 65536));
	g_auto(GStrv) words = g_strsplit(text, "\n", 64);
	g_autoptr(GPtrArray) all = NULL;
	g_autoptr(GError) error = NULL;
	const guint n = g_strv_length(words);

	for (guint i = 0; i < n; i++) {
		check_assignment(words[i]);
		check_guid(words[i]);
	}
	for (guint i = 0; i + 2 < MIN(n, 8); i++)
		check_versions(words[i], words[i + 1], words[i + 2]);
	all = assignment_parse_all((const char *const *)words, n, &error);
	g_assert_true(all ? all->len == n : error != NULL);
	return 0;
}
