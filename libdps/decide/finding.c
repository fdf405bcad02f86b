/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/finding.h"
#include "ground/text.h"

#include <string.h>

struct _DpsFinding {
	gint refs; /* atomic: findings outlive what they are about */
	char *code;
	DpsSeverity severity;
	guint partition;
	char *path, *message, *hint;
};

DpsFinding *
dps_finding_new(const char *code, DpsSeverity severity, guint partition, const char *path,
		const char *hint, const char *format, ...)
{
	DpsFinding *finding = g_new(DpsFinding, 1);
	g_autofree char *message = NULL;
	va_list args;

	va_start(args, format);
	message = g_strdup_vprintf(format, args);
	va_end(args);

	/*
	 * Paths and fstab lines are bytes; what leaves the library is text, and a message is a
	 * line.  A path is what it is, but for bytes that no text has: somebody may open it.
	 */
	*finding = (DpsFinding){
		.refs = 1,
		.code = g_strdup(code),
		.severity = severity,
		.partition = partition,
		.path = path ? g_utf8_make_valid(path, -1) : NULL,
		.message = dps_text_clean(message, strlen(message)),
		.hint = hint ? dps_text_clean(hint, strlen(hint)) : NULL,
	};
	return finding;
}

DpsFinding *
dps_finding_ref(DpsFinding *finding)
{
	g_return_val_if_fail(finding != NULL, NULL);

	g_atomic_int_inc(&finding->refs);
	return finding;
}

void
dps_finding_unref(DpsFinding *finding)
{
	if (!finding || !g_atomic_int_dec_and_test(&finding->refs))
		return;

	g_free(finding->code);
	g_free(finding->path);
	g_free(finding->message);
	g_free(finding->hint);
	g_free(finding);
}

const char *
dps_finding_get_code(DpsFinding *finding)
{
	return finding->code;
}

DpsSeverity
dps_finding_get_severity(DpsFinding *finding)
{
	return finding->severity;
}

void
dps_finding_set_severity(DpsFinding *finding, DpsSeverity severity)
{
	finding->severity = severity;
}

guint
dps_finding_get_partition(DpsFinding *finding)
{
	return finding->partition;
}

const char *
dps_finding_get_path(DpsFinding *finding)
{
	return finding->path;
}

const char *
dps_finding_get_message(DpsFinding *finding)
{
	return finding->message;
}

const char *
dps_finding_get_hint(DpsFinding *finding)
{
	return finding->hint;
}

const char *
dps_severity_to_string(DpsSeverity severity)
{
	switch (severity) {
	case DPS_SEVERITY_INFO:
		return "info";
	case DPS_SEVERITY_WARNING:
		return "warning";
	case DPS_SEVERITY_ERROR:
		return "error";
	default:
		return NULL;
	}
}
