/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"
#include "format/verity.h"

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
		fuzz_check_text(error->message);
	g_clear_error(&error);

	if (dps_verity_signature_read(&region, &signature, &error))
		fuzz_check_text(signature.root_hash);
	else
		fuzz_check_text(error->message);
	return 0;
}
