/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../../cli/message.h"
#include "fuzz.h"
#include "mutate.h"

#include <string.h>

/*
 * What the process that read a disk sends to the one that shows it, and that may have been taken
 * over.
 *
 * Asserted: what is no message sets nothing; what is one is facts or a failure, and written again
 * it is the same message.
 */
static GBytes *
make_sample(void)
{
	g_autoptr(Facts) facts = g_new0(Facts, 1);
	PartitionFacts *partition = g_new0(PartitionFacts, 1);
	SubvolumeFacts *subvolume = g_new0(SubvolumeFacts, 1);
	FindingFacts *finding = g_new0(FindingFacts, 1);

	facts->path = g_strdup("disk.raw");
	facts->sector_size = 512;
	facts->size = 1 << 20;
	facts->uuid = g_strdup("4f68bce3-e8cd-4db1-96e7-fbcaf984b709");
	facts->partitions = g_ptr_array_new_with_free_func((GDestroyNotify)partition_facts_free);
	facts->findings = g_ptr_array_new_with_free_func((GDestroyNotify)finding_facts_free);
	g_ptr_array_add(facts->partitions, partition);
	g_ptr_array_add(facts->findings, finding);
	partition->number = 3;
	partition->start = 1 << 16;
	partition->size = 1 << 16;
	partition->type_uuid = g_strdup(facts->uuid);
	partition->uuid = g_strdup(facts->uuid);
	partition->label = g_strdup("root");
	partition->content_type = g_strdup("btrfs");
	partition->default_subvolume =
		g_ptr_array_new_with_free_func((GDestroyNotify)subvolume_facts_free);
	partition->subvolumes =
		g_ptr_array_new_with_free_func((GDestroyNotify)subvolume_facts_free);
	g_ptr_array_add(partition->subvolumes, subvolume);
	subvolume->id = 256;
	subvolume->path = g_strdup("root");
	finding->code = g_strdup("esp-missing");
	finding->severity = DPS_SEVERITY_ERROR;
	finding->message = g_strdup("is not there");
	return message_write(facts, NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GBytes) bytes = size < 16 ? make_sample() : g_bytes_new(data, size);
	g_autoptr(GBytes) again = NULL;
	g_autoptr(Facts) facts = NULL;
	g_autoptr(Failure) failure = NULL;

	if (!message_read(bytes, "disk.raw", &facts, &failure)) {
		g_assert_true(!facts && !failure && size >= 16);
		return 0;
	}
	g_assert_true((facts != NULL) != (failure != NULL));
	again = message_write(facts, failure);
	g_assert_true(g_bytes_equal(again, bytes));
	return 0;
}

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	if (size < 16) {
		g_autoptr(GBytes) sample = make_sample();

		size = MIN(g_bytes_get_size(sample), max_size);
		memcpy(data, g_bytes_get_data(sample, NULL), size);
		return size;
	}
	return fuzz_mutate(data, size, max_size, seed, FALSE);
}
