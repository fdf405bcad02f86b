/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image-target.h"
#include "fuzz.h"
#include "mutate.h"

static void
tell(gpointer input, GString *told)
{
	fuzz_image_tell(input, told);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_auto(FuzzImage) image = { 0 };

	fuzz_image_unpack(&image, data, size);
	fuzz_image_seal(&image);
	fuzz_tell_twice(tell, &image);
	return 0;
}

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	return fuzz_mutate(data, size, max_size, seed, TRUE);
}
