/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/verity.h"
#include "fuzz.h"
#include "mutate.h"

/*
 * A verity superblock with the hash tree behind it; and the JSON of a signature partition.
 *
 * Asserted: what is told is text; a failure says why, and sets nothing.
 */

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	DpsRegion region = dps_region_over_memory(data, size);
	g_auto(DpsVeritySignature) signature = { 0 };
	g_autoptr(GError) error = NULL;
	DpsVerity verity;

	if (dps_verity_read(&region, &verity, &error)) {
		g_autofree char *hash = dps_verity_get_root_hash(&region, &verity, &error);

		fuzz_check_text(verity.algorithm);
		fuzz_check_text(hash);
	}
	if (error)
		fuzz_check_error(error);
	g_clear_error(&error);

	if (dps_verity_signature_read(&region, &signature, &error))
		fuzz_check_text(signature.root_hash);
	else
		fuzz_check_error(error);
	return 0;
}

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	return fuzz_mutate(data, size, max_size, seed, FALSE);
}
