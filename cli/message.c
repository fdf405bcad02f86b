/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "message.h"

#include <string.h>

/* Of a code: the longest has 32 characters. */
#define CODE_MAX 64

/*
 * One description serves both directions, so that they cannot disagree: each pass_…() writes the
 * value that is there, or reads it into its place.  After the first that cannot be, all fail.
 */
typedef struct {
	GByteArray *out;  /* writing; else NULL */
	const guint8 *in; /* reading */
	gsize left;
} Message;

static gboolean
pass_bytes(Message *self, void *bytes, gsize size)
{
	if (self->out) {
		g_byte_array_append(self->out, bytes, (guint)size);
		return TRUE;
	}
	if (size > self->left)
		return FALSE;

	memcpy(bytes, self->in, size);
	self->in += size;
	self->left -= size;
	return TRUE;
}

static gboolean
pass_number(Message *self, guint64 *number, guint64 max)
{
	return pass_bytes(self, number, sizeof(*number)) && *number <= max;
}

static gboolean
pass_uint(Message *self, guint *number, guint max)
{
	guint64 wide = *number;

	if (!pass_number(self, &wide, max))
		return FALSE;

	*number = (guint)wide;
	return TRUE;
}

/* Bytes without NUL, or NULL: their number and one, then they. */
static gboolean
pass_string(Message *self, char **string)
{
	guint64 size = *string ? strlen(*string) + 1 : 0;

	if (!pass_number(self, &size, MESSAGE_MAX))
		return FALSE;
	if (size == 0)
		return TRUE;
	if (self->out)
		return pass_bytes(self, *string, size - 1);
	if (size - 1 > self->left || memchr(self->in, '\0', size - 1))
		return FALSE;

	*string = g_malloc(size);
	(*string)[size - 1] = '\0';
	return pass_bytes(self, *string, size - 1);
}

/* Text, or NULL. */
static gboolean
pass_text(Message *self, char **text)
{
	return pass_string(self, text) && (!*text || g_utf8_validate(*text, -1, NULL));
}

/* Text that is always there. */
static gboolean
pass_some_text(Message *self, char **text)
{
	return pass_text(self, text) && *text;
}

static gboolean
pass_guid(Message *self, char **guid)
{
	return pass_some_text(self, guid) && g_uuid_string_is_valid(*guid);
}

static gboolean
pass_code(Message *self, char **code)
{
	return pass_some_text(self, code) && **code && strlen(*code) <= CODE_MAX &&
	       strspn(*code, G_CSET_a_2_z G_CSET_DIGITS "-") == strlen(*code);
}

typedef gboolean (*PassOne)(Message *message, void *one);

/* A list, or NULL: its length and one, then its elements, of @size bytes each. */
static gboolean
pass_list(Message *self, GPtrArray **list, gsize size, PassOne pass, GDestroyNotify free_one)
{
	guint64 n = *list ? (*list)->len + 1 : 0;

	/* No element is smaller than one number. */
	if (!pass_number(self, &n, self->out ? G_MAXUINT : self->left / sizeof(guint64) + 1))
		return FALSE;
	if (n == 0)
		return TRUE;

	if (!self->out)
		*list = g_ptr_array_new_with_free_func(free_one);
	for (guint64 i = 0; i + 1 < n; i++) {
		if (!self->out)
			g_ptr_array_add(*list, g_malloc0(size));
		/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): without a list n is 0 */
		if (!pass(self, g_ptr_array_index(*list, i)))
			return FALSE;
	}
	return TRUE;
}

static gboolean
pass_subvolume(Message *self, void *one)
{
	SubvolumeFacts *facts = one;

	return pass_number(self, &facts->id, G_MAXUINT64) && pass_some_text(self, &facts->path);
}

static gboolean
pass_subvolumes(Message *self, GPtrArray **list)
{
	return pass_list(self, list, sizeof(SubvolumeFacts), pass_subvolume,
			 (GDestroyNotify)subvolume_facts_free);
}

static gboolean
pass_partition(Message *self, void *one)
{
	PartitionFacts *facts = one;

	return pass_uint(self, &facts->number, G_MAXINT) && facts->number > 0 &&
	       pass_text(self, &facts->node) && pass_number(self, &facts->start, G_MAXINT64) &&
	       pass_number(self, &facts->size, G_MAXINT64) && pass_guid(self, &facts->type_uuid) &&
	       pass_guid(self, &facts->uuid) && pass_text(self, &facts->label) &&
	       pass_number(self, &facts->attributes, G_MAXUINT64) &&
	       pass_text(self, &facts->content_type) && pass_text(self, &facts->content_uuid) &&
	       pass_text(self, &facts->content_label) && pass_text(self, &facts->content_problem) &&
	       pass_subvolumes(self, &facts->default_subvolume) && facts->default_subvolume &&
	       pass_subvolumes(self, &facts->subvolumes);
}

static gboolean
pass_finding(Message *self, void *one)
{
	FindingFacts *facts = one;
	guint severity = facts->severity;

	if (!pass_code(self, &facts->code) || !pass_uint(self, &severity, DPS_SEVERITY_ERROR) ||
	    severity < DPS_SEVERITY_INFO)
		return FALSE;

	facts->severity = severity;
	return pass_uint(self, &facts->partition, G_MAXINT) && pass_text(self, &facts->path) &&
	       pass_some_text(self, &facts->message) && pass_text(self, &facts->hint);
}

static gboolean
pass_facts(Message *self, Facts *facts)
{
	return pass_number(self, &facts->size, G_MAXINT64) &&
	       pass_uint(self, &facts->sector_size, 65536) && pass_text(self, &facts->uuid) &&
	       (!facts->uuid || g_uuid_string_is_valid(facts->uuid)) &&
	       pass_list(self, &facts->partitions, sizeof(PartitionFacts), pass_partition,
			 (GDestroyNotify)partition_facts_free) &&
	       facts->partitions &&
	       pass_list(self, &facts->findings, sizeof(FindingFacts), pass_finding,
			 (GDestroyNotify)finding_facts_free);
}

/* The message names files, whose names are bytes. */
static gboolean
pass_failure(Message *self, Failure *failure)
{
	guint code = (guint)failure->code;

	if (!pass_uint(self, &code, DPS_ERROR_CHANGED) || code < DPS_ERROR_INVALID)
		return FALSE;

	failure->code = (int)code;
	return pass_uint(self, &failure->partition, G_MAXINT) &&
	       pass_string(self, &failure->message) && failure->message;
}

GBytes *
message_write(const Facts *facts, const Failure *failure)
{
	Message message = { .out = g_byte_array_new() };
	guint has_facts = facts != NULL;

	/* Writing changes nothing: the descriptions are for both directions. */
	if (!pass_uint(&message, &has_facts, 1) ||
	    !(facts ? pass_facts(&message, (Facts *)facts)
		    : pass_failure(&message, (Failure *)failure)))
		g_byte_array_set_size(message.out, 0); /* no message says so too */
	return g_byte_array_free_to_bytes(message.out);
}

gboolean
message_read(GBytes *bytes, const char *path, Facts **facts, Failure **failure)
{
	g_autoptr(Facts) new_facts = g_new0(Facts, 1);
	g_autoptr(Failure) new_failure = g_new0(Failure, 1);
	Message message = { 0 };
	guint has_facts = 0;

	message.in = g_bytes_get_data(bytes, &message.left);
	if (!pass_uint(&message, &has_facts, 1) ||
	    !(has_facts ? pass_facts(&message, new_facts) : pass_failure(&message, new_failure)) ||
	    message.left > 0)
		return FALSE;

	new_facts->path = g_strdup(path);
	if (has_facts)
		*facts = g_steal_pointer(&new_facts);
	else
		*failure = g_steal_pointer(&new_failure);
	return TRUE;
}
