/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ground/types.h"

static void
test_table(void)
{
	guint per_arch = 0;

	g_assert_cmpuint(dps_type_get_count(), ==, 137);
	for (guint i = 0; i < dps_type_get_count(); i++) {
		const DpsType *type = dps_type_get(i);

		g_assert_true(dps_type_lookup(dps_type_get_role(type), dps_type_get_arch(type)) ==
			      type);
		g_assert_true(dps_type_lookup_uuid(dps_type_get_uuid(type)) == type);
		g_assert_true(dps_type_lookup_name(dps_type_get_name(type)) == type);
		g_assert_nonnull(dps_type_get_description(type));
		per_arch += dps_type_get_arch(type) != DPS_ARCH_NONE;
	}
	g_assert_cmpuint(per_arch, ==, 21 * 6);
}

/* GUIDs as sfdisk, systemd and the specification print them. */
static void
test_lookups(void)
{
	static const struct {
		const char *name, *uuid;
	} rows[] = {
		{ "root-x86-64", "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709" },
		{ "root-arm64", "b921b045-1df0-41c3-af44-4c6f280d3fae" },
		{ "usr-x86-64-verity", "77ff5f63-e7b6-4633-acf4-1565b864c0e6" },
		{ "root-x86-64-verity-sig", "41092b05-9fc8-4523-994f-2def0408b176" },
		{ "root-mips-le", "37c58c8a-d913-4156-a25f-48b1b64e07f0" },
		{ "bios-boot", "21686148-6449-6e6f-744e-656564454649" },
		{ "prep", "9e1a2d38-c612-4316-aa26-8b49521e5a8b" },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
		g_assert_cmpstr(dps_type_get_name(dps_type_lookup_uuid(rows[i].uuid)), ==,
				rows[i].name);

	g_assert_null(dps_type_lookup_uuid("00000000-0000-0000-0000-000000000000"));
	g_assert_null(dps_type_lookup_name("root"));
	g_assert_null(dps_type_lookup(DPS_ROLE_ROOT, DPS_ARCH_NONE));
	g_assert_null(dps_type_lookup(DPS_ROLE_NONE, DPS_ARCH_X86_64));
	g_assert_nonnull(dps_type_lookup(DPS_ROLE_HOME, DPS_ARCH_X86_64)); /* arch of no meaning */
}

static void
test_mount_points(void)
{
	static const struct {
		const char *path, *name;
	} rows[] = {
		{ "/", "root-mips" }, { "/usr", "usr-mips" }, { "/home", "home" },
		{ "/srv", "srv" },    { "/var", "var" },      { "/var/tmp", "tmp" },
		{ "/efi", "esp" },    { "/boot/efi", "esp" }, { "/tmp", NULL },
		{ "/boot", NULL },    { "/opt", NULL },	      { "", NULL },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		const DpsType *type = dps_type_for_mount_point(rows[i].path, DPS_ARCH_MIPS);

		g_assert_cmpstr(type ? dps_type_get_name(type) : NULL, ==, rows[i].name);
	}
	g_assert_null(dps_type_for_mount_point("/", DPS_ARCH_NONE));
}

static void
test_roles_and_flags(void)
{
	for (int role = DPS_ROLE_ROOT; role <= DPS_ROLE_SAME; role++)
		g_assert_cmpint(dps_role_from_string(dps_role_to_string(role)), ==, role);

	g_assert_cmpint(dps_role_from_string("Root"), ==, DPS_ROLE_NONE);
	g_assert_null(dps_role_to_string(DPS_ROLE_NONE));
	g_assert_true(dps_role_needs_arch(DPS_ROLE_USR_VERITY_SIG));
	g_assert_false(dps_role_needs_arch(DPS_ROLE_ESP));

	g_assert_cmpuint(dps_flag_from_string("no-auto"), ==, DPS_FLAG_NO_AUTO);
	g_assert_cmpuint(dps_flag_from_string("growfs"), ==, DPS_FLAG_GROWFS);
	g_assert_cmpuint(dps_flag_from_string("auto"), ==, 0);
	g_assert_cmpstr(dps_flag_get_name(60), ==, "read-only");
	g_assert_null(dps_flag_get_name(61));
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/types/table", test_table);
	g_test_add_func("/types/lookups", test_lookups);
	g_test_add_func("/types/mount-points", test_mount_points);
	g_test_add_func("/types/roles-and-flags", test_roles_and_flags);
	return g_test_run();
}
