/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "json.h"

#include <inttypes.h>
#include <jansson.h>
#include "screen.h"

/* Of every document; it goes up when a key changes its meaning or goes away. */
#define VERSION 1

/* A value that may be missing is null; strings are UTF-8 whatever the system says they are. */
static json_t *
string(const char *text)
{
	g_autofree char *valid = NULL;

	if (!text)
		return json_null();

	valid = g_utf8_make_valid(text, -1);
	return json_string(valid);
}

/* In a document only strings hold what is no printable ASCII: what a terminal would obey there, or
 * turns the direction of text, is written as an escape, which means the same. */
static char *
escape_unprintable(const char *document)
{
	GString *text = g_string_new(NULL);

	for (const char *at = document; *at; at = g_utf8_next_char(at)) {
		gunichar c = g_utf8_get_char(at);

		if (c == '\n' || screen_may_show(c))
			g_string_append_unichar(text, c);
		else if (c <= 0xFFFF)
			g_string_append_printf(text, "\\u%04x", c);
		else /* RFC 8259, section 7: as a pair of surrogates */
			g_string_append_printf(text, "\\u%04x\\u%04x",
					       0xD800 + ((c - 0x10000) >> 10),
					       0xDC00 + ((c - 0x10000) & 0x3FF));
	}
	return g_string_free(text, FALSE);
}

/* Takes @document.  A document that could not be made for want of memory ends the program, as
 * GLib's own allocations do: half a document would be worse. */
static char *
finish(json_t *document)
{
	char *dumped = json_dumps(document, JSON_INDENT(2));
	g_autofree char *safe = NULL;
	char *text;

	if (!document || !dumped)
		g_error("JSON: out of memory");

	safe = escape_unprintable(dumped);
	text = g_strconcat(safe, "\n", NULL);
	free(dumped);
	json_decref(document);
	return text;
}

static json_t *
number_or_null(guint number)
{
	return number == 0 ? json_null() : json_integer(number);
}

static json_t *
type_object(const DpsType *type)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "name", string(dps_type_get_name(type)),
			 "role", string(dps_role_to_string(dps_type_get_role(type))), "arch",
			 string(dps_arch_to_string(dps_type_get_arch(type))), "type_uuid",
			 string(dps_type_get_uuid(type)), "mount_point",
			 string(dps_type_get_mount_point(type)), "description",
			 string(dps_type_get_description(type)));
}

char *
json_types(DpsArch arch)
{
	json_t *types = json_array();

	for (guint i = 0; i < dps_type_get_count(); i++) {
		const DpsType *type = dps_type_get(i);
		DpsArch of = dps_type_get_arch(type);

		if (arch == DPS_ARCH_NONE || of == DPS_ARCH_NONE || of == arch)
			json_array_append_new(types, type_object(type));
	}

	return finish(json_pack("{s:i, s:o}", "version", VERSION, "types", types));
}

static json_t *
disk_object(const Facts *disk)
{
	if (!disk)
		return json_null();

	return json_pack("{s:o, s:I, s:o, s:o}", "path", string(disk->path), "size",
			 (json_int_t)disk->size, "sector_size", number_or_null(disk->sector_size),
			 "uuid", string(disk->uuid));
}

static json_t *
subvolume_object(const SubvolumeFacts *subvolume)
{
	if (!subvolume)
		return json_null();

	return json_pack("{s:I, s:o}", "id", (json_int_t)subvolume->id, "path",
			 string(subvolume->path));
}

static json_t *
btrfs_object(const PartitionFacts *partition)
{
	json_t *list;

	if (!partition->subvolumes)
		return json_null();

	list = json_array();
	for (guint i = 0; i < partition->subvolumes->len; i++)
		json_array_append_new(
			list, subvolume_object(g_ptr_array_index(partition->subvolumes, i)));
	return json_pack("{s:o, s:o}", "default_subvolume",
			 subvolume_object(partition_facts_get_default(partition)), "subvolumes",
			 list);
}

static json_t *
flags_array(guint64 attributes)
{
	json_t *list = json_array();

	for (guint bit = 0; bit < 64; bit++)
		if (attributes & (G_GUINT64_CONSTANT(1) << bit) && dps_flag_get_name(bit))
			json_array_append_new(list, string(dps_flag_get_name(bit)));

	return list;
}

static json_t *
partition_object(const PartitionFacts *partition)
{
	const DpsType *type = dps_type_lookup_uuid(partition->type_uuid);
	g_autofree char *attributes = g_strdup_printf("0x%016" PRIx64, partition->attributes);
	json_t *object = json_object();

	json_object_set_new(object, "number", json_integer(partition->number));
	json_object_set_new(object, "node", string(partition->node));
	json_object_set_new(object, "start", json_integer((json_int_t)partition->start));
	json_object_set_new(object, "size", json_integer((json_int_t)partition->size));
	json_object_set_new(object, "type_uuid", string(partition->type_uuid));
	json_object_set_new(object, "type_name", string(type ? dps_type_get_name(type) : NULL));
	json_object_set_new(object, "role",
			    string(type ? dps_role_to_string(dps_type_get_role(type)) : NULL));
	json_object_set_new(object, "arch",
			    string(type ? dps_arch_to_string(dps_type_get_arch(type)) : NULL));
	json_object_set_new(object, "uuid", string(partition->uuid));
	json_object_set_new(object, "label", string(partition->label));
	json_object_set_new(object, "attributes", string(attributes));
	json_object_set_new(object, "flags", flags_array(partition->attributes));
	json_object_set_new(object, "content",
			    json_pack("{s:o, s:o, s:o}", "type",
				      string(partition->content_problem ? "unreadable"
									: partition->content_type),
				      "uuid", string(partition->content_uuid), "label",
				      string(partition->content_label)));
	json_object_set_new(object, "btrfs", btrfs_object(partition));
	return object;
}

char *
json_show(const Facts *disk)
{
	json_t *partitions = json_array();

	for (guint i = 0; disk && i < disk->partitions->len; i++)
		json_array_append_new(partitions,
				      partition_object(g_ptr_array_index(disk->partitions, i)));

	return finish(json_pack("{s:i, s:o, s:o}", "version", VERSION, "disk", disk_object(disk),
				"partitions", partitions));
}

/* As an assignment has them: "no-growfs" clears, and "auto" clears "no-auto". */
static json_t *
flag_changes_array(DpsFlags set, DpsFlags clear)
{
	json_t *list = flags_array(set);

	for (guint bit = 0; bit < 64; bit++) {
		const char *name = dps_flag_get_name(bit);
		g_autofree char *cleared = NULL;

		if (!(clear & (G_GUINT64_CONSTANT(1) << bit)) || !name)
			continue;
		cleared = (G_GUINT64_CONSTANT(1) << bit) == DPS_FLAG_NO_AUTO
				  ? g_strdup("auto")
				  : g_strconcat("no-", name, NULL);
		json_array_append_new(list, string(cleared));
	}

	return list;
}

static json_t *
assignments_array(DpsPlan *plan)
{
	GPtrArray *assignments = dps_plan_get_assignments(plan);
	json_t *list = json_array();

	for (guint i = 0; i < assignments->len; i++) {
		DpsAssignment *one = g_ptr_array_index(assignments, i);

		json_array_append_new(
			list,
			json_pack("{s:o, s:o, s:i, s:o, s:o}", "role",
				  string(dps_role_to_string(dps_assignment_get_role(one))), "arch",
				  string(dps_arch_to_string(dps_assignment_get_arch(one))),
				  "partition", (int)dps_assignment_get_partition(one), "flags",
				  flag_changes_array(dps_assignment_get_set_flags(one),
						     dps_assignment_get_clear_flags(one)),
				  "reason", string(dps_assignment_get_reason(one))));
	}

	return list;
}

static json_t *
changes_array(DpsPlan *plan)
{
	GPtrArray *changes = dps_plan_get_changes(plan);
	json_t *list = json_array();

	for (guint i = 0; i < changes->len; i++) {
		DpsChange *one = g_ptr_array_index(changes, i);

		json_array_append_new(
			list, json_pack("{s:o, s:o, s:o, s:o, s:o}", "kind",
					string(dps_change_kind_to_string(dps_change_get_kind(one))),
					"partition", number_or_null(dps_change_get_partition(one)),
					"from", string(dps_change_get_from(one)), "to",
					string(dps_change_get_to(one)), "reason",
					string(dps_change_get_reason(one))));
	}

	return list;
}

static json_t *
findings_array(GPtrArray *findings)
{
	json_t *list = json_array();

	for (guint i = 0; i < findings->len; i++) {
		const FindingFacts *one = g_ptr_array_index(findings, i);

		json_array_append_new(
			list, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "code", string(one->code),
					"severity", string(dps_severity_to_string(one->severity)),
					"partition", number_or_null(one->partition), "path",
					string(one->path), "message", string(one->message), "hint",
					string(one->hint)));
	}

	return list;
}

static json_t *
plan_object(DpsPlan *plan, GPtrArray *findings)
{
	DpsDisk *disk = dps_plan_get_disk(plan);
	g_autoptr(Facts) facts = disk ? facts_new(disk, NULL) : NULL;
	g_autoptr(GPtrArray) list = facts_list_findings(findings);

	return json_pack("{s:i, s:o, s:o, s:o, s:o}", "version", VERSION, "disk",
			 disk_object(facts), "assignments", assignments_array(plan), "changes",
			 changes_array(plan), "findings", findings_array(list));
}

char *
json_plan(DpsPlan *plan)
{
	return finish(plan_object(plan, dps_plan_get_findings(plan)));
}

char *
json_applied(DpsPlan *plan, GPtrArray *findings)
{
	json_t *object = plan_object(plan, findings);

	json_object_set_new(object, "applied", json_boolean(dps_plan_get_applied(plan)));
	json_object_set_new(object, "backup", string(dps_plan_get_backup(plan)));
	return finish(object);
}

struct _JsonCheck {
	json_t *disks;
	json_t *error; /* NULL: every disk could be checked */
};

JsonCheck *
json_check_new(void)
{
	JsonCheck *self = g_new0(JsonCheck, 1);

	self->disks = json_array();
	return self;
}

static json_t *
error_object(const Failure *failure)
{
	return json_pack("{s:s, s:o, s:o}", "code", dps_error_code_to_string(failure->code),
			 "message", string(failure->message), "partition",
			 number_or_null(failure->partition));
}

static json_int_t
count(const Facts *facts, DpsSeverity severity)
{
	return facts ? (json_int_t)findings_count(facts->findings, severity) : 0;
}

void
json_check_add(JsonCheck *self, const char *path, const Facts *facts, const Failure *failure)
{
	json_t *entry = json_pack(
		"{s:o, s:o, s:o, s:o, s:{s:I, s:I, s:I}}", "path", string(path), "disk",
		disk_object(facts), "error", failure ? error_object(failure) : json_null(),
		"findings", facts ? findings_array(facts->findings) : json_array(), "summary",
		"error", count(facts, DPS_SEVERITY_ERROR), "warning",
		count(facts, DPS_SEVERITY_WARNING), "info", count(facts, DPS_SEVERITY_INFO));

	json_array_append_new(self->disks, entry);
	if (failure && !self->error)
		self->error = error_object(failure);
}

char *
json_check_finish(JsonCheck *self)
{
	json_t *object = json_pack("{s:i}", "version", VERSION);

	if (self->error)
		json_object_set_new(object, "error", self->error);
	json_object_set_new(object, "disks", self->disks);
	g_free(self);
	return finish(object);
}

char *
json_failure(const Failure *failure)
{
	return finish(json_pack("{s:i, s:o}", "version", VERSION, "error", error_object(failure)));
}
