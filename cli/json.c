/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "json.h"

#include <inttypes.h>
#include <jansson.h>

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

/* Takes @document.  A document that could not be made for want of memory ends the program, as
 * GLib's own allocations do: half a document would be worse. */
static char *
finish(json_t *document)
{
	char *dumped = json_dumps(document, JSON_INDENT(2));
	char *text;

	if (!document || !dumped)
		g_error("JSON: out of memory");

	text = g_strconcat(dumped, "\n", NULL);
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
disk_object(DpsDisk *disk)
{
	guint sector_size;

	if (!disk)
		return json_null();

	sector_size = dps_disk_get_sector_size(disk);
	return json_pack("{s:o, s:I, s:o, s:o}", "path", string(dps_disk_get_path(disk)), "size",
			 (json_int_t)dps_disk_get_size(disk), "sector_size",
			 number_or_null(sector_size), "uuid", string(dps_disk_get_uuid(disk)));
}

static json_t *
subvolume_object(const DpsSubvolume *subvolume)
{
	if (!subvolume)
		return json_null();

	return json_pack("{s:I, s:o}", "id", (json_int_t)dps_subvolume_get_id(subvolume), "path",
			 string(dps_subvolume_get_path(subvolume)));
}

static json_t *
btrfs_object(DpsPartition *partition)
{
	GPtrArray *subvolumes = dps_partition_get_subvolumes(partition);
	json_t *list;

	if (!subvolumes)
		return json_null();

	list = json_array();
	for (guint i = 0; i < subvolumes->len; i++)
		json_array_append_new(list, subvolume_object(g_ptr_array_index(subvolumes, i)));
	return json_pack("{s:o, s:o}", "default_subvolume",
			 subvolume_object(dps_partition_get_default_subvolume(partition)),
			 "subvolumes", list);
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
partition_object(DpsPartition *partition)
{
	const DpsType *type = dps_partition_get_type(partition);
	guint64 bits = dps_partition_get_attributes(partition);
	g_autofree char *attributes = g_strdup_printf("0x%016" PRIx64, bits);
	json_t *object = json_object();

	json_object_set_new(object, "number", json_integer(dps_partition_get_number(partition)));
	json_object_set_new(object, "node", string(dps_partition_get_node(partition)));
	json_object_set_new(object, "start",
			    json_integer((json_int_t)dps_partition_get_start(partition)));
	json_object_set_new(object, "size",
			    json_integer((json_int_t)dps_partition_get_size(partition)));
	json_object_set_new(object, "type_uuid", string(dps_partition_get_type_uuid(partition)));
	json_object_set_new(object, "type_name", string(type ? dps_type_get_name(type) : NULL));
	json_object_set_new(object, "role",
			    string(type ? dps_role_to_string(dps_type_get_role(type)) : NULL));
	json_object_set_new(object, "arch",
			    string(type ? dps_arch_to_string(dps_type_get_arch(type)) : NULL));
	json_object_set_new(object, "uuid", string(dps_partition_get_uuid(partition)));
	json_object_set_new(object, "label", string(dps_partition_get_label(partition)));
	json_object_set_new(object, "attributes", string(attributes));
	json_object_set_new(object, "flags", flags_array(bits));
	json_object_set_new(object, "content",
			    json_pack("{s:o, s:o, s:o}", "type",
				      string(dps_partition_get_content_type(partition)), "uuid",
				      string(dps_partition_get_content_uuid(partition)), "label",
				      string(dps_partition_get_content_label(partition))));
	json_object_set_new(object, "btrfs", btrfs_object(partition));
	return object;
}

char *
json_show(DpsDisk *disk)
{
	json_t *partitions = json_array();

	for (guint i = 0; disk && i < dps_disk_get_n_partitions(disk); i++)
		json_array_append_new(partitions,
				      partition_object(dps_disk_get_partition(disk, i)));

	return finish(json_pack("{s:i, s:o, s:o}", "version", VERSION, "disk", disk_object(disk),
				"partitions", partitions));
}

static json_t *
error_object(const GError *failure)
{
	/* What is not of the library's domain is GLib's, about files. */
	int code = failure->domain == DPS_ERROR ? failure->code : DPS_ERROR_IO;

	return json_pack("{s:s, s:o, s:o}", "code", dps_error_code_to_string(code), "message",
			 string(failure->message), "partition",
			 number_or_null(dps_error_get_partition(failure)));
}

char *
json_failure(const GError *failure)
{
	return finish(json_pack("{s:i, s:o}", "version", VERSION, "error", error_object(failure)));
}
