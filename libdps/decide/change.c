/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/change.h"

#include <inttypes.h>
#include <string.h>

static const char *const kind_names[] = {
	[DPS_CHANGE_TYPE] = "type",
	[DPS_CHANGE_FLAGS] = "flags",
	[DPS_CHANGE_UUID] = "uuid",
	[DPS_CHANGE_NAME] = "name",
	[DPS_CHANGE_BTRFS_DEFAULT] = "btrfs-default",
	[DPS_CHANGE_TABLE] = "table",
};

const char *
dps_change_kind_to_string(DpsChangeKind kind)
{
	if (kind < DPS_CHANGE_TYPE || kind >= G_N_ELEMENTS(kind_names))
		return NULL;

	return kind_names[kind];
}

DpsChangeKind
dps_change_kind_from_string(const char *name)
{
	for (guint i = DPS_CHANGE_TYPE; i < G_N_ELEMENTS(kind_names); i++)
		if (strcmp(name, kind_names[i]) == 0)
			return (DpsChangeKind)i;

	return 0;
}

/* As JSON documents and tables have it. */
static char *
value_to_text(DpsChangeKind kind, const DpsValue *value)
{
	switch (kind) {
	case DPS_CHANGE_TYPE:
	case DPS_CHANGE_UUID: {
		char text[DPS_GUID_TEXT_SIZE];

		dps_guid_to_string(&value->guid, text);
		return g_strdup(text);
	}
	case DPS_CHANGE_FLAGS:
		return g_strdup_printf("0x%016" PRIx64, value->attributes);
	case DPS_CHANGE_NAME:
		return g_strdup(value->text ? value->text : "");
	case DPS_CHANGE_BTRFS_DEFAULT:
		return g_strdup_printf("%" PRIu64 " %s", value->subvolume,
				       value->text ? value->text : "(not there)");
	case DPS_CHANGE_TABLE:
		return g_strdup(value->text);
	}
	g_assert_not_reached();
}

DpsChange *
dps_change_new(DpsChangeKind kind, guint partition, DpsValue from, DpsValue to, const char *reason)
{
	DpsChange *change = g_new(DpsChange, 1);

	*change = (DpsChange){
		.kind = kind,
		.partition = partition,
		.from = from,
		.to = to,
		.from_text = value_to_text(kind, &from),
		.to_text = value_to_text(kind, &to),
		.reason = g_strdup(reason),
	};
	return change;
}

void
dps_change_free(DpsChange *change)
{
	g_free(change->from.text);
	g_free(change->to.text);
	g_free(change->from_text);
	g_free(change->to_text);
	g_free(change->reason);
	g_free(change);
}

static DpsValue
copy_value(const DpsValue *value)
{
	DpsValue copy = *value;

	copy.text = g_strdup(value->text);
	return copy;
}

DpsChange *
dps_change_turned_round(const DpsChange *change, const char *reason)
{
	return dps_change_new(change->kind, change->partition, copy_value(&change->to),
			      copy_value(&change->from), reason);
}

gboolean
dps_value_equal(DpsChangeKind kind, const DpsValue *a, const DpsValue *b)
{
	switch (kind) {
	case DPS_CHANGE_TYPE:
	case DPS_CHANGE_UUID:
		return dps_guid_equal(&a->guid, &b->guid);
	case DPS_CHANGE_FLAGS:
		return a->attributes == b->attributes;
	case DPS_CHANGE_NAME:
	case DPS_CHANGE_TABLE:
		return g_strcmp0(a->text, b->text) == 0;
	case DPS_CHANGE_BTRFS_DEFAULT:
		return a->subvolume == b->subvolume;
	}
	g_assert_not_reached();
}

DpsChangeKind
dps_change_get_kind(DpsChange *change)
{
	return change->kind;
}

guint
dps_change_get_partition(DpsChange *change)
{
	return change->partition;
}

const char *
dps_change_get_from(DpsChange *change)
{
	return change->from_text;
}

const char *
dps_change_get_to(DpsChange *change)
{
	return change->to_text;
}

const char *
dps_change_get_reason(DpsChange *change)
{
	return change->reason;
}
