/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/pe.h"
#include "ground/error.h"
#include "make-pe.h"

static const MakePeSection two[] = {
	TEXT_SECTION(".text", "code"),
	TEXT_SECTION(".osrel", "ID=x\n"),
};

static gboolean
read_pe(const GByteArray *file, DpsPe *pe, GError **error)
{
	/* A copy of just this size: sanitizers see its edge. */
	g_autofree uint8_t *copy = g_memdup2(file->data, file->len);
	DpsRegion region = dps_region_over_memory(copy, file->len);

	return dps_pe_read(&region, pe, error);
}

static void
test_headers(void)
{
	g_autoptr(GByteArray) file = make_pe(0xaa64, two, 2);
	g_auto(DpsPe) pe = { 0 };
	const DpsPeSection *section;

	make_pe_store16(file, MAKE_PE_OPTIONAL + 44, 3);
	dps_store_le32(file->data + MAKE_PE_OPTIONAL + 16, 0x1234);
	dps_store_le32(file->data + MAKE_PE_OPTIONAL + 112 + 4 * 8, 512);
	dps_store_le32(file->data + MAKE_PE_OPTIONAL + 112 + 4 * 8 + 4, 16);
	dps_store_le32(file->data + MAKE_PE_OPTIONAL + 112 + 5 * 8 + 4, 12);

	g_assert_true(read_pe(file, &pe, NULL));
	g_assert_cmpuint(pe.machine, ==, 0xaa64);
	g_assert_cmpint(pe.arch, ==, DPS_ARCH_AARCH64);
	g_assert_true(pe.is_pe32_plus);
	g_assert_cmpuint(pe.subsystem, ==, DPS_PE_SUBSYSTEM_EFI_APPLICATION);
	g_assert_cmpuint(pe.image_version, ==, 3);
	g_assert_cmpuint(pe.entry_point, ==, 0x1234);
	g_assert_cmpuint(pe.certificates_offset, ==, 512);
	g_assert_cmpuint(pe.certificates_size, ==, 16);
	g_assert_cmpuint(pe.relocations_size, ==, 12);
	g_assert_cmpuint(pe.n_sections, ==, 2);
	section = dps_pe_find_section(&pe, ".osrel", 0);
	g_assert_nonnull(section);
	g_assert_cmpuint(section->virtual_address, ==, 8192);
	g_assert_cmpuint(dps_pe_section_get_size(section), ==, 5);
	g_assert_null(dps_pe_find_section(&pe, ".osre", 0));
	g_assert_null(dps_pe_find_section(&pe, ".text", 1));
	for (int problem = DPS_PE_TRUNCATED; problem <= DPS_PE_BEYOND_IMAGE; problem++)
		g_assert_false(dps_pe_find_problem(&pe, (DpsPeProblem)problem, NULL));
}

static void
test_bad(void)
{
	static const struct {
		size_t at;
		uint32_t to;
		const char *message;
	} rows[] = {
		{ 0, 0x464c457f, "no PE file: does not start with MZ" },
		{ 0x3c, 0xffffffff, "PE header at byte 4294967295: behind the end of the file" },
		{ 0x3c, 0x80, "no PE file: no PE signature at byte 128" },
		{ 0x40, 0x00004550 ^ 0xff, "no PE file: no PE signature at byte 64" },
		{ 0x44, 0x00000000 | 0x8664, "PE header: 0 sections: must be 1 to 96" },
		{ 0x44, 97u << 16, "PE header: 97 sections: must be 1 to 96" },
		{ 0x44, 96u << 16,
		  "table of 96 sections at byte 328: ends behind the end of the file" },
		{ 0x54, 71, "PE header: optional header of 71 bytes: too short" },
		{ 0x54, 0xffff,
		  "table of 2 sections at byte 65623: ends behind the end of the file" },
		{ MAKE_PE_OPTIONAL, 0x107,
		  "PE header: optional header with magic 0x107: neither PE32 nor PE32+" },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GByteArray) file = make_pe(0x8664, two, 2);
		g_autoptr(GError) error = NULL;
		DpsPe pe = { .machine = 99 };

		dps_store_le32(file->data + rows[i].at, rows[i].to);
		g_assert_false(read_pe(file, &pe, &error));
		g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
		g_assert_cmpstr(error->message, ==, rows[i].message);
		g_assert_cmpuint(pe.machine, ==, 99);
	}
}

static void
test_cut_short_anywhere(void)
{
	g_autoptr(GByteArray) file = make_pe(0x8664, two, 2);

	for (guint size = 0; size < file->len; size++) {
		g_autofree uint8_t *copy = g_memdup2(file->data, size);
		DpsRegion region = dps_region_over_memory(copy, size);
		g_autoptr(GError) error = NULL;
		g_autofree char *message = NULL;
		g_auto(DpsPe) pe = { 0 };

		if (!dps_pe_read(&region, &pe, &error)) {
			g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
			g_assert_cmpuint(size, <, MAKE_PE_TABLE + 2 * 40);
			continue;
		}
		g_assert_true(dps_pe_find_problem(&pe, DPS_PE_TRUNCATED, &message));
		g_assert_nonnull(strstr(message, "section ."));
	}
}

/* Offsets in a row of the table of sections. */
#define VIRTUAL_SIZE 8
#define VIRTUAL_ADDRESS 12
#define RAW_SIZE 16
#define RAW_OFFSET 20
#define CHARACTERISTICS 36

static void
test_problems(void)
{
	static const struct {
		guint section, field;
		uint32_t value;
		int problem; /* -1: none */
		const char *message;
	} rows[] = {
		{ 0, VIRTUAL_SIZE, 4096, -1, NULL },
		{ 0, VIRTUAL_SIZE, 4097, DPS_PE_OVERLAP,
		  "sections .text (0x1000 to 0x2001) and .osrel (0x2000 to 0x2005) share "
		  "addresses" },
		{ 0, VIRTUAL_ADDRESS, 0x2f00, DPS_PE_UNSORTED,
		  "section .osrel at address 0x2000 stands behind .text at 0x2f00" },
		{ 0, VIRTUAL_ADDRESS, 0x2005, DPS_PE_UNSORTED,
		  "section .osrel at address 0x2000 stands behind .text at 0x2005" },
		{ 1, VIRTUAL_SIZE, 0x1001, DPS_PE_BEYOND_IMAGE,
		  "section .osrel ends at address 0x3001, the image at 0x3000" },
		{ 1, VIRTUAL_SIZE, 0xffffffff, DPS_PE_BEYOND_IMAGE,
		  "section .osrel ends at address 0x100001fff, the image at 0x3000" },
		{ 1, RAW_SIZE, 513, DPS_PE_TRUNCATED,
		  "section .osrel ends at byte 1537, the file at 1536" },
		{ 1, RAW_OFFSET, 0xffffffff, DPS_PE_TRUNCATED,
		  "section .osrel ends at byte 4294967807, the file at 1536" },
		/* .bss is not in the file; an empty section is nowhere. */
		{ 1, CHARACTERISTICS, 0x80, -1, NULL },
		{ 0, VIRTUAL_SIZE, 0, -1, NULL },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GByteArray) file = make_pe(0x8664, two, 2);
		g_auto(DpsPe) pe = { 0 };

		dps_store_le32(file->data + MAKE_PE_TABLE + rows[i].section * 40 + rows[i].field,
			       rows[i].value);
		g_assert_true(read_pe(file, &pe, NULL));
		for (int problem = DPS_PE_TRUNCATED; problem <= DPS_PE_BEYOND_IMAGE; problem++) {
			g_autofree char *message = NULL;

			g_assert_cmpint(dps_pe_find_problem(&pe, (DpsPeProblem)problem, &message),
					==, problem == rows[i].problem);
			if (problem == rows[i].problem)
				g_assert_cmpstr(message, ==, rows[i].message);
			else
				g_assert_null(message);
		}
	}
}

static void
test_truncated_signature(void)
{
	g_autoptr(GByteArray) file = make_pe(0x8664, two, 2);
	g_autofree char *message = NULL;
	g_auto(DpsPe) pe = { 0 };

	dps_store_le32(file->data + MAKE_PE_OPTIONAL + 112 + 4 * 8, file->len);
	dps_store_le32(file->data + MAKE_PE_OPTIONAL + 112 + 4 * 8 + 4, 1);
	g_assert_true(read_pe(file, &pe, NULL));
	g_assert_true(dps_pe_find_problem(&pe, DPS_PE_TRUNCATED, &message));
	g_assert_cmpstr(message, ==, "the signature ends at byte 1537, the file at 1536");
}

static void
test_section_names(void)
{
	static const MakePeSection sections[] = { TEXT_SECTION("12345678", "x"),
						  TEXT_SECTION("\x1b[0m\xff", "y") };
	g_autoptr(GByteArray) file = make_pe(0x8664, sections, 2);
	g_auto(DpsPe) pe = { 0 };

	g_assert_true(read_pe(file, &pe, NULL));
	g_assert_cmpstr(pe.sections[0].name, ==, "12345678");
	g_assert_cmpstr(pe.sections[1].name, ==, "?[0m?");
}

static void
test_read_section(void)
{
	g_autoptr(GByteArray) file = make_pe(0x8664, two, 2);
	DpsRegion region = dps_region_over_memory(file->data, file->len);
	g_autoptr(GError) error = NULL;
	g_autofree char *text = NULL;
	g_auto(DpsPe) pe = { 0 };
	size_t size = 99;

	g_assert_true(dps_pe_read(&region, &pe, NULL));
	text = dps_pe_read_section(&region, &pe.sections[1], 5, &size, NULL);
	g_assert_cmpstr(text, ==, "ID=x\n");
	g_assert_cmpuint(size, ==, 5);

	g_assert_null(dps_pe_read_section(&region, &pe.sections[1], 4, &size, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_UNSUPPORTED);
	g_clear_error(&error);

	pe.sections[1].raw_offset = file->len - 4;
	g_assert_null(dps_pe_read_section(&region, &pe.sections[1], 5, &size, &error));
	g_assert_error(error, DPS_ERROR, DPS_ERROR_CORRUPT);
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/pe/headers", test_headers);
	g_test_add_func("/pe/bad", test_bad);
	g_test_add_func("/pe/cut-short-anywhere", test_cut_short_anywhere);
	g_test_add_func("/pe/problems", test_problems);
	g_test_add_func("/pe/truncated-signature", test_truncated_signature);
	g_test_add_func("/pe/section-names", test_section_names);
	g_test_add_func("/pe/read-section", test_read_section);
	return g_test_run();
}
