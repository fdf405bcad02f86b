/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/uki.h"
#include "ground/error.h"
#include "make-pe.h"

#define OSREL                                                                                      \
	TEXT_SECTION(".osrel", "PRETTY_NAME=\"Fedora "                                             \
			       "40\"\nNAME=Fedora\nID=fedora\nVERSION_ID=40\n")

/* Reads from memory and counts. */
typedef struct {
	const GByteArray *file;
	guint reads;
	uint64_t bytes;
	uint64_t fails_at; /* the medium cannot be read from here on */
} Counter;

static gboolean
count(void *data, uint64_t offset, void *buffer, size_t size, GError **error)
{
	Counter *self = data;

	if (offset + size > self->fails_at)
		return dps_throw(error, DPS_ERROR_IO, "byte %u: read", (guint)offset);

	self->reads++;
	self->bytes += size;
	memset(buffer, 0, size);
	if (offset < self->file->len)
		memcpy(buffer, self->file->data + offset, MIN(size, self->file->len - offset));
	return TRUE;
}

static void
read_uki(const GByteArray *file, DpsUki *uki)
{
	g_autofree uint8_t *copy = g_memdup2(file->data, file->len);
	DpsRegion region = dps_region_over_memory(copy, file->len);
	g_autoptr(GError) error = NULL;

	g_assert_true(dps_uki_read(&region, uki, &error));
	g_assert_no_error(error);
}

static void
test_whole(void)
{
	g_autoptr(GByteArray) kernel = NULL;
	static const MakePeSection text[] = { { ".text", NULL, 1024 } };
	g_auto(DpsUki) uki = { 0 };
	const DpsUkiProfile *profile;

	kernel = make_pe(0x8664, text, 1);
	memcpy(kernel->data + 0x202, "HdrS", 4);
	{
		const MakePeSection sections[] = {
			TEXT_SECTION(".sdmagic", "#### LoaderInfo: systemd-stub 252.39-1 ####"),
			OSREL,
			TEXT_SECTION(".cmdline", " root=LABEL=x\nquiet\n\0\0"),
			TEXT_SECTION(".uname", "6.1.0-9-amd64"),
			TEXT_SECTION(".sbat",
				     "sbat,1,SBAT Version,sbat,1,url\nsystemd,1,a,b,252,c\n"),
			{ ".initrd", "cpio", 4 },
			{ ".linux", kernel->data, kernel->len },
		};
		g_autoptr(GByteArray) file = make_pe(0x8664, sections, G_N_ELEMENTS(sections));

		read_uki(file, &uki);
	}
	g_assert_cmpint(uki.kind, ==, DPS_EFI_UKI);
	g_assert_cmpint(uki.builder, ==, DPS_EFI_BUILDER_SYSTEMD_STUB);
	g_assert_cmpstr(uki.builder_version, ==, "252.39-1");
	g_assert_cmpstr(uki.cmdline, ==, "root=LABEL=x quiet");
	g_assert_cmpstr(uki.uname, ==, "6.1.0-9-amd64");
	g_assert_cmpuint(uki.sbat->len, ==, 2);
	g_assert_cmpstr(uki.sbat->pdata[1], ==, "systemd");
	g_assert_true(uki.has_linux && uki.has_initrd && uki.has_os_release);
	g_assert_false(uki.is_signed);
	g_assert_cmpstr(dps_os_release_get_title(uki.os_release), ==, "Fedora 40");
	g_assert_cmpstr(dps_os_release_get_version(uki.os_release), ==, "40");
	g_assert_cmpstr(dps_os_release_get_sort_key(uki.os_release), ==, "fedora");
	g_assert_cmpint(uki.kernel.kind, ==, DPS_KERNEL_EFI_STUB);
	g_assert_cmpuint(uki.linux_machine, ==, 0x8664);
	g_assert_false(uki.has_profiles);
	g_assert_cmpuint(uki.profiles->len, ==, 1);
	profile = uki.profiles->pdata[0];
	g_assert_cmpstr(profile->cmdline, ==, "root=LABEL=x quiet");
	g_assert_true(profile->os_release == uki.os_release);
	g_assert_null(uki.duplicate);
	g_assert_null(uki.unreadable);
	g_assert_null(uki.embedded_nul);
}

static void
test_kinds(void)
{
	static const struct {
		const char *name;
		MakePeSection sections[3];
		guint n;
		uint16_t subsystem;
		DpsEfiKind kind;
	} rows[] = {
		{ "uki", { OSREL, TEXT_SECTION(".linux", "x") }, 2, 10, DPS_EFI_UKI },
		{ "no-osrel", { TEXT_SECTION(".linux", "x") }, 1, 10, DPS_EFI_PE },
		{ "loader", { OSREL, TEXT_SECTION(".text", "x") }, 2, 10, DPS_EFI_PE },
		{ "addon", { TEXT_SECTION(".cmdline", "x") }, 1, 10, DPS_EFI_ADDON },
		{ "dtb", { TEXT_SECTION(".dtb", "x") }, 1, 10, DPS_EFI_ADDON },
		{ "ucode", { TEXT_SECTION(".ucode", "x") }, 1, 10, DPS_EFI_ADDON },
		{ "addon-with-linux",
		  { TEXT_SECTION(".cmdline", "x"), TEXT_SECTION(".linux", "x") },
		  2,
		  10,
		  DPS_EFI_PE },
		{ "driver", { OSREL, TEXT_SECTION(".linux", "x") }, 2, 11, DPS_EFI_PE },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GByteArray) file = make_pe(0x8664, rows[i].sections, rows[i].n);
		g_auto(DpsUki) uki = { 0 };

		make_pe_store16(file, MAKE_PE_OPTIONAL + 68, rows[i].subsystem);
		read_uki(file, &uki);
		g_test_message("%s", rows[i].name);
		g_assert_cmpint(uki.kind, ==, rows[i].kind);
	}
}

#define SHIM_SBAT                                                                                  \
	TEXT_SECTION(".sbat", "sbat,1,a,b,1,c\nshim,4,UEFI "                                       \
			      "shim,shim,1,url\nshim.debian,1,Debian,shim,16.1,url\n")

static void
test_builders(void)
{
	static const struct {
		MakePeSection sections[3];
		guint n;
		DpsEfiBuilder builder;
		const char *version;
		gboolean has_bli;
	} rows[] = {
		{ { TEXT_SECTION(".sdmagic", "#### LoaderInfo: systemd-boot 257 ####\0") },
		  1,
		  DPS_EFI_BUILDER_SYSTEMD_BOOT,
		  "257",
		  FALSE },
		{ { TEXT_SECTION(".sdmagic", "#### LoaderInfo: systemd-addon 257 ####") },
		  1,
		  DPS_EFI_BUILDER_SYSTEMD_ADDON,
		  "257",
		  FALSE },
		{ { TEXT_SECTION(".sdmagic", "#### LoaderInfo: ####") },
		  1,
		  DPS_EFI_BUILDER_UNKNOWN,
		  NULL,
		  FALSE },
		{ { SHIM_SBAT, TEXT_SECTION(".data", "M\0O\0K\0") },
		  2,
		  DPS_EFI_BUILDER_SHIM,
		  "16.1",
		  FALSE },
		{ { SHIM_SBAT, TEXT_SECTION(".data", "xxE\0n\0r\0o\0l\0l\0 \0M\0O\0K\0y") },
		  2,
		  DPS_EFI_BUILDER_MOK_MANAGER,
		  "16.1",
		  FALSE },
		{ { SHIM_SBAT, TEXT_SECTION(".data", "xb\0o\0o\0t\0.\0c\0s\0v\0") },
		  2,
		  DPS_EFI_BUILDER_SHIM_FALLBACK,
		  "16.1",
		  FALSE },
		{ { TEXT_SECTION(".sbat", "grub,5,FSF,grub,2.12,u\ngrub.x,1,X,grub2,2.12-3,u"),
		    TEXT_SECTION("mods", "x\0normal\0bli\0x") },
		  2,
		  DPS_EFI_BUILDER_GRUB,
		  "2.12",
		  TRUE },
		{ { TEXT_SECTION("mods", "x\0blip\0xbli\0x") },
		  1,
		  DPS_EFI_BUILDER_GRUB,
		  NULL,
		  FALSE },
		{ { TEXT_SECTION(".sbat", "fwupd-efi,1,F,fwupd-efi,1.4,u") },
		  1,
		  DPS_EFI_BUILDER_FWUPD,
		  "1.4",
		  FALSE },
		{ { TEXT_SECTION(".sbat", "short\n,,,,\n") },
		  1,
		  DPS_EFI_BUILDER_UNKNOWN,
		  NULL,
		  FALSE },
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GByteArray) file = make_pe(0x8664, rows[i].sections, rows[i].n);
		g_auto(DpsUki) uki = { 0 };

		read_uki(file, &uki);
		g_assert_cmpint(uki.builder, ==, rows[i].builder);
		g_assert_cmpstr(uki.builder_version, ==, rows[i].version);
		g_assert_cmpint(uki.has_bli, ==, rows[i].has_bli);
	}
}

static void
test_profiles(void)
{
	static const MakePeSection sections[] = {
		OSREL,
		TEXT_SECTION(".cmdline", "base"),
		TEXT_SECTION(".uname", "6.1"),
		TEXT_SECTION(".linux", "x"),
		TEXT_SECTION(".profile", "ID=main\n"),
		TEXT_SECTION(".profile", "ID=debug\nTITLE='Debug it'\n"),
		TEXT_SECTION(".cmdline", "base debug"),
		TEXT_SECTION(".initrd", "x"),
		TEXT_SECTION(".profile", "ID=other"),
		TEXT_SECTION(".osrel", "ID=other\n"),
		{ ".cmdline", NULL, 0 },
	};
	g_autoptr(GByteArray) file = make_pe(0x8664, sections, G_N_ELEMENTS(sections));
	static const struct {
		const char *id, *title, *cmdline, *name;
		gboolean has_initrd;
	} rows[] = {
		{ "main", NULL, "base", "Fedora 40", FALSE },
		{ "debug", "Debug it", "base debug", "Fedora 40", TRUE },
		{ "other", NULL, NULL, "other", FALSE },
	};
	g_auto(DpsUki) uki = { 0 };

	read_uki(file, &uki);
	g_assert_cmpstr(uki.cmdline, ==, "base");
	g_assert_true(uki.has_profiles);
	g_assert_cmpuint(uki.profiles->len, ==, G_N_ELEMENTS(rows));
	g_assert_null(uki.duplicate); /* each .cmdline in a profile of its own */
	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		const DpsUkiProfile *profile = uki.profiles->pdata[i];

		g_assert_cmpuint(profile->index, ==, i);
		g_assert_cmpstr(profile->id, ==, rows[i].id);
		g_assert_cmpstr(profile->title, ==, rows[i].title);
		g_assert_cmpstr(profile->cmdline, ==, rows[i].cmdline);
		g_assert_cmpstr(profile->uname, ==, "6.1");
		g_assert_cmpstr(dps_os_release_get_title(profile->os_release), ==, rows[i].name);
		g_assert_true(profile->has_linux);
		g_assert_cmpint(profile->has_initrd, ==, rows[i].has_initrd);
	}
}

/* What only profile @0 has is what the file starts with; of one without a kernel the base counts.
 */
static void
test_first_profile(void)
{
	static const MakePeSection in_first[] = {
		TEXT_SECTION(".profile", "ID=main"),
		OSREL,
		TEXT_SECTION(".cmdline", "root=LABEL=x"),
		TEXT_SECTION(".uname", "6.1"),
		TEXT_SECTION(".initrd", "x"),
		TEXT_SECTION(".linux", "x"),
		TEXT_SECTION(".profile", "ID=other"),
	};
	static const MakePeSection in_second[] = {
		OSREL,
		TEXT_SECTION(".cmdline", "base"),
		TEXT_SECTION(".profile", "ID=main"),
		TEXT_SECTION(".cmdline", "main"),
		TEXT_SECTION(".profile", "ID=other"),
		TEXT_SECTION(".linux", "x"),
	};
	g_autoptr(GByteArray) a = make_pe(0x8664, in_first, G_N_ELEMENTS(in_first));
	g_autoptr(GByteArray) b = make_pe(0x8664, in_second, G_N_ELEMENTS(in_second));
	g_auto(DpsUki) uki_a = { 0 };
	g_auto(DpsUki) uki_b = { 0 };
	const DpsUkiProfile *other;

	read_uki(a, &uki_a);
	g_assert_true(uki_a.has_linux && uki_a.has_initrd && uki_a.has_os_release);
	g_assert_cmpstr(dps_os_release_get_title(uki_a.os_release), ==, "Fedora 40");
	g_assert_cmpstr(uki_a.cmdline, ==, "root=LABEL=x");
	g_assert_cmpstr(uki_a.uname, ==, "6.1");
	other = uki_a.profiles->pdata[1];
	g_assert_false(other->has_linux || other->has_initrd || other->has_os_release);
	g_assert_null(other->cmdline);

	read_uki(b, &uki_b);
	g_assert_false(uki_b.has_linux);
	g_assert_true(uki_b.has_os_release);
	g_assert_cmpstr(uki_b.cmdline, ==, "base");
	other = uki_b.profiles->pdata[1];
	g_assert_true(other->has_linux);
}

static void
test_wrong_inside(void)
{
	static const MakePeSection twice[] = { OSREL, TEXT_SECTION(".linux", "x"), OSREL };
	static const MakePeSection twice_in_profile[] = {
		TEXT_SECTION(".profile", "x"), TEXT_SECTION(".cmdline", "x"),
		TEXT_SECTION(".cmdline", "x"), TEXT_SECTION(".dtbauto", "x"),
		TEXT_SECTION(".dtbauto", "x"),
	};
	static const MakePeSection nul[] = { TEXT_SECTION(".cmdline", "a\0b") };
	static const MakePeSection large[] = { { ".cmdline", NULL, 1024 * 1024 + 1 } };
	g_autoptr(GByteArray) a = make_pe(1, twice, G_N_ELEMENTS(twice));
	g_autoptr(GByteArray) b = make_pe(1, twice_in_profile, G_N_ELEMENTS(twice_in_profile));
	g_autoptr(GByteArray) c = make_pe(1, nul, G_N_ELEMENTS(nul));
	g_autoptr(GByteArray) d = make_pe(1, large, G_N_ELEMENTS(large));
	g_auto(DpsUki) uki_a = { 0 }, uki_b = { 0 }, uki_c = { 0 }, uki_d = { 0 }, uki_e = { 0 };

	read_uki(a, &uki_a);
	g_assert_cmpstr(uki_a.duplicate, ==, "section .osrel is there 2 times");
	read_uki(b, &uki_b);
	g_assert_cmpstr(uki_b.duplicate, ==, "section .cmdline is there 2 times in profile @0");
	read_uki(c, &uki_c);
	g_assert_cmpstr(uki_c.embedded_nul, ==, "section .cmdline has text behind a NUL byte");
	g_assert_cmpstr(uki_c.cmdline, ==, "a");
	read_uki(d, &uki_d);
	g_assert_cmpstr(uki_d.unreadable, ==,
			"section .cmdline: 1048577 bytes: more than anybody reads");
	g_assert_null(uki_d.cmdline);

	g_byte_array_set_size(a, 512 + 16); /* inside of .osrel */
	read_uki(a, &uki_e);
	g_assert_cmpstr(uki_e.unreadable, ==, "section .osrel: ends behind the end of the file");
	g_assert_true(uki_e.has_os_release);
	g_assert_null(uki_e.os_release);
}

/* All profiles of one file name the same large text: it is not kept a hundred times. */
static void
test_text_bomb(void)
{
	g_autofree char *text = g_strnfill(600 * 1024, 'x');
	MakePeSection sections[96];
	g_autoptr(GByteArray) file = NULL;
	g_auto(DpsUki) uki = { 0 };
	guint kept = 0;

	for (guint i = 0; i < 96; i++)
		sections[i] = i % 2 == 0 ? (MakePeSection){ ".profile", NULL, 0 }
					 : (MakePeSection){ ".cmdline", text, 0 };
	file = make_pe(0x8664, sections, 96);
	g_byte_array_append(file, (const uint8_t *)text, 600 * 1024);
	for (guint i = 1; i < 96; i += 2) {
		uint8_t *row = file->data + MAKE_PE_TABLE + i * 40;

		dps_store_le32(row + 8, 600 * 1024);
		dps_store_le32(row + 16, 600 * 1024);
		dps_store_le32(row + 20, file->len - 600 * 1024);
	}
	read_uki(file, &uki);
	g_assert_cmpuint(uki.profiles->len, ==, 48);
	for (guint i = 0; i < 48; i++)
		kept += ((DpsUkiProfile *)uki.profiles->pdata[i])->cmdline != NULL;
	g_assert_cmpuint(kept, ==, 3);
	g_assert_nonnull(uki.unreadable);
}

static void
test_few_reads_of_a_large_file(void)
{
	static const MakePeSection sections[] = {
		TEXT_SECTION(".sdmagic", "#### LoaderInfo: systemd-stub 257 ####"),
		OSREL,
		TEXT_SECTION(".cmdline", "quiet"),
		TEXT_SECTION(".uname", "6.1"),
		TEXT_SECTION(".sbat", "sbat,1,a,b,1,c\n"),
		TEXT_SECTION(".linux", "x"),
	};
	g_autoptr(GByteArray) file = make_pe(0x8664, sections, G_N_ELEMENTS(sections));
	Counter counter = { .file = file, .fails_at = UINT64_MAX };
	DpsRegion region = dps_region_over_reader(count, &counter, 250 * 1000 * 1000);
	g_auto(DpsUki) uki = { 0 };

	/* .linux is 200 MB. */
	dps_store_le32(file->data + MAKE_PE_TABLE + 5 * 40 + 8, 200 * 1000 * 1000);
	dps_store_le32(file->data + MAKE_PE_TABLE + 5 * 40 + 16, 200 * 1000 * 1000);
	g_assert_true(dps_uki_read(&region, &uki, NULL));
	g_assert_cmpint(uki.kind, ==, DPS_EFI_UKI);
	g_assert_cmpuint(counter.reads, <=, 12);
	g_assert_cmpuint(counter.bytes, <, 4096);
}

static void
test_medium_fails(void)
{
	static const MakePeSection sections[] = { OSREL, TEXT_SECTION(".linux", "x"),
						  TEXT_SECTION(".sbat", "a,1\n") };
	g_autoptr(GByteArray) file = make_pe(0x8664, sections, G_N_ELEMENTS(sections));

	for (uint64_t at = 1; at < file->len - 508; at++) {
		Counter counter = { .file = file, .fails_at = at };
		DpsRegion region = dps_region_over_reader(count, &counter, file->len);
		DpsUki uki = { .kind = 99 };
		g_autoptr(GError) error = NULL;

		g_assert_false(dps_uki_read(&region, &uki, &error));
		g_assert_error(error, DPS_ERROR, DPS_ERROR_IO);
		g_assert_cmpint(uki.kind, ==, 99);
	}
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/uki/whole", test_whole);
	g_test_add_func("/uki/kinds", test_kinds);
	g_test_add_func("/uki/builders", test_builders);
	g_test_add_func("/uki/profiles", test_profiles);
	g_test_add_func("/uki/first-profile", test_first_profile);
	g_test_add_func("/uki/wrong-inside", test_wrong_inside);
	g_test_add_func("/uki/text-bomb", test_text_bomb);
	g_test_add_func("/uki/few-reads", test_few_reads_of_a_large_file);
	g_test_add_func("/uki/medium-fails", test_medium_fails);
	return g_test_run();
}
