/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "message.h"

#include <string.h>

#define GUID "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"

static SubvolumeFacts *
make_subvolume(guint64 id, const char *path)
{
	SubvolumeFacts *facts = g_new(SubvolumeFacts, 1);

	*facts = (SubvolumeFacts){ .id = id, .path = g_strdup(path) };
	return facts;
}

static PartitionFacts *
make_partition(void)
{
	PartitionFacts *facts = g_new(PartitionFacts, 1);

	*facts = (PartitionFacts){
		.number = 3,
		.start = 1 << 20,
		.size = (guint64)1 << 40,
		.type_uuid = g_strdup(GUID),
		.uuid = g_strdup(GUID),
		.label = g_strdup("wurzel \xc3\xa4"),
		.attributes = G_MAXUINT64,
		.content_type = g_strdup("btrfs"),
		.content_problem = g_strdup("Input/output error"),
		.default_subvolume =
			g_ptr_array_new_with_free_func((GDestroyNotify)subvolume_facts_free),
		.subvolumes = g_ptr_array_new_with_free_func((GDestroyNotify)subvolume_facts_free),
	};
	g_ptr_array_add(facts->default_subvolume, make_subvolume(256, "root"));
	g_ptr_array_add(facts->subvolumes, make_subvolume(256, "root"));
	g_ptr_array_add(facts->subvolumes, make_subvolume(G_MAXUINT64, ""));
	return facts;
}

static FindingFacts *
make_finding(void)
{
	FindingFacts *facts = g_new(FindingFacts, 1);

	*facts = (FindingFacts){ .code = g_strdup("esp-missing"),
				 .severity = DPS_SEVERITY_ERROR,
				 .partition = 3,
				 .path = g_strdup("/EFI"),
				 .message = g_strdup("is not there") };
	return facts;
}

static Facts *
make_facts(void)
{
	Facts *facts = g_new(Facts, 1);

	*facts = (Facts){
		.path = g_strdup("disk.raw"),
		.size = (guint64)8 << 40,
		.sector_size = 4096,
		.uuid = g_strdup(GUID),
		.partitions = g_ptr_array_new_with_free_func((GDestroyNotify)partition_facts_free),
		.findings = g_ptr_array_new_with_free_func((GDestroyNotify)finding_facts_free),
	};
	g_ptr_array_add(facts->partitions, make_partition());
	g_ptr_array_add(facts->findings, make_finding());
	return facts;
}

static void
test_there_and_back(void)
{
	g_autoptr(Facts) facts = make_facts();
	g_autoptr(GBytes) bytes = message_write(facts, NULL), again = NULL;
	g_autoptr(Facts) read = NULL;
	g_autoptr(Failure) failure = NULL;
	const PartitionFacts *partition;

	g_assert_true(message_read(bytes, "typed.raw", &read, &failure));
	g_assert_null(failure);
	g_assert_cmpstr(read->path, ==, "typed.raw");
	g_assert_cmpuint(read->size, ==, facts->size);
	partition = facts_get_partition(read, 3);
	g_assert_cmpstr(partition->label, ==, "wurzel \xc3\xa4");
	g_assert_null(partition->node);
	g_assert_cmpstr(partition_facts_get_default(partition)->path, ==, "root");
	g_assert_cmpuint(partition->subvolumes->len, ==, 2);
	g_assert_cmpuint(findings_count(read->findings, DPS_SEVERITY_ERROR), ==, 1);

	again = message_write(read, NULL);
	g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes),
			g_bytes_get_data(again, NULL), g_bytes_get_size(again));
}

static void
test_failure_there_and_back(void)
{
	/* A message names files, whose names are bytes. */
	Failure failure = { DPS_ERROR_NOT_FOUND, 7, (char *)"\xff.raw: open" };
	g_autoptr(GBytes) bytes = message_write(NULL, &failure);
	g_autoptr(Failure) read = NULL;
	g_autoptr(Facts) facts = NULL;

	g_assert_true(message_read(bytes, "x", &facts, &read));
	g_assert_null(facts);
	g_assert_cmpint(read->code, ==, failure.code);
	g_assert_cmpuint(read->partition, ==, 7);
	g_assert_cmpstr(read->message, ==, failure.message);
}

/* Nothing that is read may be anything but what it should be, whoever wrote it. */
static void
assert_is_decent(const Facts *facts)
{
	g_assert_true(!facts->uuid || g_uuid_string_is_valid(facts->uuid));
	for (guint i = 0; i < facts->partitions->len; i++) {
		const PartitionFacts *partition = g_ptr_array_index(facts->partitions, i);

		g_assert_cmpuint(partition->number, >, 0);
		g_assert_cmpuint(partition->start, <=, G_MAXINT64);
		g_assert_cmpuint(partition->size, <=, G_MAXINT64);
		g_assert_true(g_uuid_string_is_valid(partition->type_uuid));
		g_assert_true(g_uuid_string_is_valid(partition->uuid));
		g_assert_true(!partition->label || g_utf8_validate(partition->label, -1, NULL));
	}
	for (guint i = 0; facts->findings && i < facts->findings->len; i++) {
		const FindingFacts *finding = g_ptr_array_index(facts->findings, i);

		g_assert_nonnull(dps_severity_to_string(finding->severity));
		g_assert_cmpuint(strspn(finding->code, "abcdefghijklmnopqrstuvwxyz0123456789-"), ==,
				 strlen(finding->code));
		g_assert_true(g_utf8_validate(finding->message, -1, NULL));
	}
}

static gboolean
reads(const guint8 *data, gsize size)
{
	/* A copy of its own, so that sanitizers see its edge. */
	guint8 *copy = g_memdup2(data, size);
	g_autoptr(GBytes) bytes = g_bytes_new_take(copy, size);
	g_autoptr(Facts) facts = NULL;
	g_autoptr(Failure) failure = NULL;

	if (!message_read(bytes, "x", &facts, &failure)) {
		g_assert_null(facts);
		g_assert_null(failure);
		return FALSE;
	}
	g_assert_true((facts == NULL) != (failure == NULL));
	if (facts)
		assert_is_decent(facts);
	return TRUE;
}

static void
test_cut_short_anywhere(void)
{
	g_autoptr(Facts) facts = make_facts();
	g_autoptr(GBytes) bytes = message_write(facts, NULL);
	gsize size;
	const guint8 *data = g_bytes_get_data(bytes, &size);
	g_autofree guint8 *longer = g_malloc0(size + 1);

	for (gsize n = 0; n < size; n++)
		g_assert_false(reads(data, n));
	memcpy(longer, data, size);
	g_assert_false(reads(longer, size + 1));
}

static void
test_any_byte_may_lie(void)
{
	static const guint8 lies[] = { 0x00, 0x01, 0x1b, 0x7f, 0x80, 0xff };
	g_autoptr(Facts) facts = make_facts();
	g_autoptr(GBytes) bytes = message_write(facts, NULL);
	gsize size;
	const guint8 *data = g_bytes_get_data(bytes, &size);
	g_autofree guint8 *copy = g_memdup2(data, size);

	for (gsize i = 0; i < size; i++) {
		for (guint j = 0; j < G_N_ELEMENTS(lies); j++) {
			copy[i] = lies[j];
			reads(copy, size);
		}
		copy[i] = data[i];
	}
}

/* Each field, with what it may not be. */
static void
break_code(Facts *facts)
{
	FindingFacts *finding = g_ptr_array_index(facts->findings, 0);

	memcpy(finding->code, "\033[31m", 5);
}

static void
break_code_size(Facts *facts)
{
	FindingFacts *finding = g_ptr_array_index(facts->findings, 0);

	g_free(finding->code);
	finding->code = g_strnfill(65, 'a');
}

static void
break_severity(Facts *facts)
{
	((FindingFacts *)g_ptr_array_index(facts->findings, 0))->severity = 4;
}

static void
break_no_severity(Facts *facts)
{
	((FindingFacts *)g_ptr_array_index(facts->findings, 0))->severity = 0;
}

static void
break_message(Facts *facts)
{
	((FindingFacts *)g_ptr_array_index(facts->findings, 0))->message[0] = (char)0xff;
}

static void
break_no_message(Facts *facts)
{
	g_clear_pointer(&((FindingFacts *)g_ptr_array_index(facts->findings, 0))->message, g_free);
}

static void
break_type(Facts *facts)
{
	((PartitionFacts *)g_ptr_array_index(facts->partitions, 0))->type_uuid[0] = '\033';
}

static void
break_number(Facts *facts)
{
	((PartitionFacts *)g_ptr_array_index(facts->partitions, 0))->number = 0;
}

static void
break_start(Facts *facts)
{
	((PartitionFacts *)g_ptr_array_index(facts->partitions, 0))->start = G_MAXUINT64;
}

static void
break_label(Facts *facts)
{
	((PartitionFacts *)g_ptr_array_index(facts->partitions, 0))->label[0] = (char)0x80;
}

static void
break_disk_uuid(Facts *facts)
{
	facts->uuid[8] = 'x';
}

static void
break_sector_size(Facts *facts)
{
	facts->sector_size = 1 << 20;
}

static void
break_partitions(Facts *facts)
{
	g_clear_pointer(&facts->partitions, g_ptr_array_unref);
}

static void
break_size(Facts *facts)
{
	PartitionFacts *partition = g_ptr_array_index(facts->partitions, 0);

	g_free(partition->label);
	partition->label = g_strnfill(MESSAGE_MAX, 'x');
}

static const struct {
	const char *name;
	void (*damage)(Facts *facts);
} bad[] = {
	{ "code", break_code },
	{ "code-size", break_code_size },
	{ "severity", break_severity },
	{ "no-severity", break_no_severity },
	{ "message", break_message },
	{ "no-message", break_no_message },
	{ "type", break_type },
	{ "number", break_number },
	{ "start", break_start },
	{ "label", break_label },
	{ "disk-uuid", break_disk_uuid },
	{ "sector-size", break_sector_size },
	{ "partitions", break_partitions },
	{ "size", break_size },
};

/* Refused by both: the description is one. */
static void
test_bad(gconstpointer data)
{
	guint i = GPOINTER_TO_UINT(data);
	g_autoptr(Facts) facts = make_facts();
	g_autoptr(GBytes) bytes = NULL;

	bad[i].damage(facts);
	bytes = message_write(facts, NULL);
	g_assert_cmpuint(g_bytes_get_size(bytes), ==, 0);
	g_assert_false(reads(g_bytes_get_data(bytes, NULL), 0));
}

static void
test_bad_bytes(void)
{
	static const struct {
		guint64 words[8];
		gsize n;
	} rows[] = {
		{ { 2 }, 1 },				/* neither facts nor a failure */
		{ { 0, 0, 0, 1 }, 4 },			/* no such code */
		{ { 0, 13, 0, 1 }, 4 },			/* nor this */
		{ { 0, 4, 0, 0 }, 4 },			/* no message */
		{ { 0, 4, 0, G_MAXUINT64 }, 4 },	/* longer than there is */
		{ { 0, 4, 0, 9, 0 }, 5 },		/* with NUL in it */
		{ { 1, 0, 512, 0, G_MAXUINT64 }, 5 },	/* a list longer than there is */
		{ { 1, 0, 512, 0, 1000000, 0, 0 }, 7 }, /* the same, and some of it */
	};

	for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
		g_assert_false(reads((const guint8 *)rows[i].words, rows[i].n * sizeof(guint64)));
}

int
main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);

	g_test_add_func("/message/there-and-back", test_there_and_back);
	g_test_add_func("/message/failure", test_failure_there_and_back);
	g_test_add_func("/message/cut-short", test_cut_short_anywhere);
	g_test_add_func("/message/any-byte", test_any_byte_may_lie);
	for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autofree char *name = g_strconcat("/message/bad/", bad[i].name, NULL);

		g_test_add_data_func(name, GUINT_TO_POINTER(i), test_bad);
	}
	g_test_add_func("/message/bad-bytes", test_bad_bytes);

	return g_test_run();
}
