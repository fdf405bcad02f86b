/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "facts.h"

void
subvolume_facts_free(SubvolumeFacts *self)
{
	g_free(self->path);
	g_free(self);
}

void
partition_facts_free(PartitionFacts *self)
{
	g_free(self->node);
	g_free(self->type_uuid);
	g_free(self->uuid);
	g_free(self->label);
	g_free(self->content_type);
	g_free(self->content_uuid);
	g_free(self->content_label);
	g_free(self->content_problem);
	g_clear_pointer(&self->default_subvolume, g_ptr_array_unref);
	g_clear_pointer(&self->subvolumes, g_ptr_array_unref);
	g_free(self);
}

void
finding_facts_free(FindingFacts *self)
{
	g_free(self->code);
	g_free(self->path);
	g_free(self->message);
	g_free(self->hint);
	g_free(self);
}

void
facts_free(Facts *self)
{
	if (!self)
		return;

	g_free(self->path);
	g_free(self->uuid);
	g_clear_pointer(&self->partitions, g_ptr_array_unref);
	g_clear_pointer(&self->findings, g_ptr_array_unref);
	g_free(self);
}

void
failure_free(Failure *self)
{
	if (!self)
		return;

	g_free(self->message);
	g_free(self);
}

static void
add_subvolume(GPtrArray *list, const DpsSubvolume *subvolume)
{
	SubvolumeFacts *facts = g_new(SubvolumeFacts, 1);

	facts->id = dps_subvolume_get_id(subvolume);
	facts->path = g_utf8_make_valid(dps_subvolume_get_path(subvolume), -1);
	g_ptr_array_add(list, facts);
}

/* What is in a file system, and what a path is, are bytes; what is shown is text. */
static char *
to_text(const char *bytes)
{
	return bytes ? g_utf8_make_valid(bytes, -1) : NULL;
}

static PartitionFacts *
partition_facts_new(DpsPartition *partition)
{
	PartitionFacts *self = g_new0(PartitionFacts, 1);
	const DpsSubvolume *is_default = dps_partition_get_default_subvolume(partition);
	GPtrArray *subvolumes = dps_partition_get_subvolumes(partition);

	self->number = dps_partition_get_number(partition);
	self->node = to_text(dps_partition_get_node(partition));
	self->start = dps_partition_get_start(partition);
	self->size = dps_partition_get_size(partition);
	self->type_uuid = g_strdup(dps_partition_get_type_uuid(partition));
	self->uuid = g_strdup(dps_partition_get_uuid(partition));
	self->label = to_text(dps_partition_get_label(partition));
	self->attributes = dps_partition_get_attributes(partition);
	self->content_type = to_text(dps_partition_get_content_type(partition));
	self->content_uuid = to_text(dps_partition_get_content_uuid(partition));
	self->content_label = to_text(dps_partition_get_content_label(partition));
	self->content_problem = to_text(dps_partition_get_content_problem(partition));

	self->default_subvolume =
		g_ptr_array_new_with_free_func((GDestroyNotify)subvolume_facts_free);
	if (is_default)
		add_subvolume(self->default_subvolume, is_default);
	if (!subvolumes)
		return self;

	self->subvolumes = g_ptr_array_new_with_free_func((GDestroyNotify)subvolume_facts_free);
	for (guint i = 0; i < subvolumes->len; i++)
		add_subvolume(self->subvolumes, g_ptr_array_index(subvolumes, i));
	return self;
}

GPtrArray *
facts_list_findings(GPtrArray *findings)
{
	GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)finding_facts_free);

	for (guint i = 0; i < findings->len; i++) {
		DpsFinding *finding = g_ptr_array_index(findings, i);
		FindingFacts *facts = g_new(FindingFacts, 1);

		*facts = (FindingFacts){
			.code = g_strdup(dps_finding_get_code(finding)),
			.severity = dps_finding_get_severity(finding),
			.partition = dps_finding_get_partition(finding),
			.path = g_strdup(dps_finding_get_path(finding)),
			.message = g_strdup(dps_finding_get_message(finding)),
			.hint = g_strdup(dps_finding_get_hint(finding)),
		};
		g_ptr_array_add(list, facts);
	}
	return list;
}

Facts *
facts_new(DpsDisk *disk, GPtrArray *findings)
{
	Facts *self = g_new0(Facts, 1);

	self->path = g_strdup(dps_disk_get_path(disk));
	self->size = dps_disk_get_size(disk);
	self->sector_size = dps_disk_get_sector_size(disk);
	self->uuid = g_strdup(dps_disk_get_uuid(disk));
	self->partitions = g_ptr_array_new_with_free_func((GDestroyNotify)partition_facts_free);
	for (guint i = 0; i < dps_disk_get_n_partitions(disk); i++)
		g_ptr_array_add(self->partitions,
				partition_facts_new(dps_disk_get_partition(disk, i)));
	self->findings = findings ? facts_list_findings(findings) : NULL;
	return self;
}

const PartitionFacts *
facts_get_partition(const Facts *self, guint number)
{
	for (guint i = 0; i < self->partitions->len; i++) {
		const PartitionFacts *partition = g_ptr_array_index(self->partitions, i);

		if (partition->number == number)
			return partition;
	}
	return NULL;
}

const SubvolumeFacts *
partition_facts_get_default(const PartitionFacts *self)
{
	return self->default_subvolume->len > 0 ? g_ptr_array_index(self->default_subvolume, 0)
						: NULL;
}

Failure *
failure_new(const GError *error)
{
	Failure *self = g_new(Failure, 1);

	self->code = error->domain == DPS_ERROR ? error->code : DPS_ERROR_IO;
	self->partition = dps_error_get_partition(error);
	self->message = g_strdup(error->message);
	return self;
}

guint
findings_count(GPtrArray *findings, DpsSeverity severity)
{
	guint n = 0;

	for (guint i = 0; i < findings->len; i++)
		n += ((const FindingFacts *)g_ptr_array_index(findings, i))->severity == severity;
	return n;
}
