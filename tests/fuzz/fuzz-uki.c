/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/bls.h"
#include "format/elf.h"
#include "format/uki.h"
#include "fuzz.h"
#include "mutate.h"

/*
 * EFI programs: PE headers and sections, unified kernel images, the kernel inside; and ELF headers.
 *
 * Asserted: what is told is text, and problems say something; there is a profile at least; nothing
 * of a program that cannot be read is set.
 */

static void
check_os_release(const DpsOsRelease *os_release)
{
	if (!os_release)
		return;

	fuzz_check_text(dps_os_release_get_title(os_release));
	fuzz_check_text(dps_os_release_get_version(os_release));
	fuzz_check_text(dps_os_release_get_sort_key(os_release));
}

static void
check_uki(const DpsUki *uki)
{
	const DpsBlsReader reader = { .arch = DPS_ARCH_X86_64 };
	g_autoptr(GPtrArray) entries = dps_bls_entries_from_uki("a+1-2.efi", uki);

	fuzz_check_text(uki->cmdline);
	fuzz_check_text(uki->uname);
	fuzz_check_text(uki->builder_version);
	fuzz_check_text(uki->duplicate);
	fuzz_check_text(uki->unreadable);
	fuzz_check_text(uki->embedded_nul);
	fuzz_check_text(uki->kernel.version);
	check_os_release(uki->os_release);
	for (guint i = 0; i < uki->sbat->len; i++)
		fuzz_check_text(uki->sbat->pdata[i]);
	g_assert_cmpuint(uki->profiles->len, >, 0);
	for (guint i = 0; i < uki->profiles->len; i++) {
		const DpsUkiProfile *profile = uki->profiles->pdata[i];

		fuzz_check_text(profile->id);
		fuzz_check_text(profile->title);
		fuzz_check_text(profile->cmdline);
		fuzz_check_text(profile->uname);
		check_os_release(profile->os_release);
	}
	for (guint i = 0; i < entries->len; i++) {
		const DpsBlsEntry *entry = entries->pdata[i];

		fuzz_check_text(entry->title);
		fuzz_check_text(entry->id);
		dps_bls_entry_get_hidden(entry, &reader);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	DpsRegion region = dps_region_over_memory(data, size);
	g_autoptr(GError) error = NULL;
	g_auto(DpsKernel) kernel = { 0 };
	g_auto(DpsUki) uki = { 0 };
	DpsArch arch = DPS_ARCH_NONE;

	g_assert_true(dps_kernel_read(&region, &kernel, NULL)); /* memory never fails */
	fuzz_check_text(kernel.version);

	if (!dps_elf_read_arch(&region, &arch, &error)) {
		g_assert_cmpint(arch, ==, DPS_ARCH_NONE);
		fuzz_check_error(error);
		g_clear_error(&error);
	}

	if (!dps_uki_read(&region, &uki, &error)) {
		fuzz_check_error(error);
		g_assert_true(!uki.pe.sections && !uki.profiles && !uki.strings);
		return 0;
	}
	for (int problem = DPS_PE_TRUNCATED; problem <= DPS_PE_BEYOND_IMAGE; problem++) {
		g_autofree char *message = NULL;

		g_assert_cmpint(dps_pe_find_problem(&uki.pe, (DpsPeProblem)problem, &message), ==,
				message != NULL);
		fuzz_check_text(message);
	}
	check_uki(&uki);
	return 0;
}

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	return fuzz_mutate(data, size, max_size, seed, FALSE);
}
