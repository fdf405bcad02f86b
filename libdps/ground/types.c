/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ground/types.h"

#include <string.h>

/*
 * What a role means, whatever the architecture.  Mount points: UAPI.2, table of partition types;
 * where the text leaves a choice (ESP, XBOOTLDR) there is none here.
 */
static const struct {
	const char *name;
	gboolean needs_arch;
	const char *mount_point;
	const char *description;
} roles[] = {
	[DPS_ROLE_ROOT] = { "root", TRUE, "/", "root file system" },
	[DPS_ROLE_USR] = { "usr", TRUE, "/usr", "/usr file system" },
	[DPS_ROLE_ROOT_VERITY] = { "root-verity", TRUE, NULL, "dm-verity hashes of root" },
	[DPS_ROLE_USR_VERITY] = { "usr-verity", TRUE, NULL, "dm-verity hashes of /usr" },
	[DPS_ROLE_ROOT_VERITY_SIG] = { "root-verity-sig", TRUE, NULL,
				       "signature of the dm-verity root hash of root" },
	[DPS_ROLE_USR_VERITY_SIG] = { "usr-verity-sig", TRUE, NULL,
				      "signature of the dm-verity root hash of /usr" },
	[DPS_ROLE_ESP] = { "esp", FALSE, NULL, "EFI system partition" },
	[DPS_ROLE_XBOOTLDR] = { "xbootldr", FALSE, NULL, "extended boot loader partition" },
	[DPS_ROLE_SWAP] = { "swap", FALSE, NULL, "swap space" },
	[DPS_ROLE_HOME] = { "home", FALSE, "/home", "home directories" },
	[DPS_ROLE_SRV] = { "srv", FALSE, "/srv", "data that this system serves" },
	[DPS_ROLE_VAR] = { "var", FALSE, "/var", "variable data of one installation" },
	[DPS_ROLE_TMP] = { "tmp", FALSE, "/var/tmp", "temporary data that survives a reboot" },
	[DPS_ROLE_USER_HOME] = { "user-home", FALSE, NULL, "home directory of one user" },
	[DPS_ROLE_LINUX_GENERIC] = { "linux-generic", FALSE, NULL,
				     "any Linux file system, not discovered" },
	[DPS_ROLE_BIOS_BOOT] = { "bios-boot", FALSE, NULL, "boot loader code for BIOS" },
	[DPS_ROLE_PREP] = { "prep", FALSE, NULL, "boot loader code for PowerPC firmware" },
	[DPS_ROLE_SAME] = { "same", FALSE, NULL, "the role that it has" },
};

static gboolean
is_role(DpsRole role)
{
	return role > DPS_ROLE_NONE && role < G_N_ELEMENTS(roles);
}

DpsRole
dps_role_from_string(const char *name)
{
	g_return_val_if_fail(name != NULL, DPS_ROLE_NONE);

	for (guint i = 1; i < G_N_ELEMENTS(roles); i++)
		if (strcmp(name, roles[i].name) == 0)
			return (DpsRole)i;

	return DPS_ROLE_NONE;
}

const char *
dps_role_to_string(DpsRole role)
{
	return is_role(role) ? roles[role].name : NULL;
}

gboolean
dps_role_needs_arch(DpsRole role)
{
	return is_role(role) && roles[role].needs_arch;
}

guint
dps_type_get_count(void)
{
	return dps_types_count;
}

const DpsType *
dps_type_get(guint index)
{
	g_return_val_if_fail(index < dps_types_count, NULL);

	return &dps_types[index];
}

const DpsType *
dps_type_lookup(DpsRole role, DpsArch arch)
{
	if (!dps_role_needs_arch(role))
		arch = DPS_ARCH_NONE;

	for (guint i = 0; i < dps_types_count; i++)
		if (dps_types[i].role == role && dps_types[i].arch == arch)
			return &dps_types[i];

	return NULL;
}

const DpsType *
dps_type_lookup_uuid(const char *uuid)
{
	g_return_val_if_fail(uuid != NULL, NULL);

	for (guint i = 0; i < dps_types_count; i++)
		if (g_ascii_strcasecmp(uuid, dps_types[i].uuid) == 0)
			return &dps_types[i];

	return NULL;
}

const DpsType *
dps_type_lookup_guid(const DpsGuid *guid)
{
	char text[DPS_GUID_TEXT_SIZE];

	dps_guid_to_string(guid, text);
	return dps_type_lookup_uuid(text);
}

const DpsType *
dps_type_lookup_name(const char *name)
{
	g_return_val_if_fail(name != NULL, NULL);

	for (guint i = 0; i < dps_types_count; i++)
		if (strcmp(name, dps_types[i].name) == 0)
			return &dps_types[i];

	return NULL;
}

const DpsType *
dps_type_for_mount_point(const char *path, DpsArch arch)
{
	g_return_val_if_fail(path != NULL, NULL);

	/* An ESP may be mounted at any of these; /boot may hold other things and is not asked for.
	 */
	if (strcmp(path, "/efi") == 0 || strcmp(path, "/boot/efi") == 0)
		return dps_type_lookup(DPS_ROLE_ESP, DPS_ARCH_NONE);

	for (guint i = 1; i < G_N_ELEMENTS(roles); i++)
		if (g_strcmp0(path, roles[i].mount_point) == 0)
			return dps_type_lookup((DpsRole)i, arch);

	return NULL;
}

const char *
dps_type_get_name(const DpsType *type)
{
	return type->name;
}

DpsRole
dps_type_get_role(const DpsType *type)
{
	return type->role;
}

DpsArch
dps_type_get_arch(const DpsType *type)
{
	return type->arch;
}

const char *
dps_type_get_uuid(const DpsType *type)
{
	return type->uuid;
}

const char *
dps_type_get_mount_point(const DpsType *type)
{
	return roles[type->role].mount_point;
}

const char *
dps_type_get_description(const DpsType *type)
{
	return roles[type->role].description;
}

/* UEFI 2.10 section 5.3.3; UAPI.2, "Partition Flags" */
static const struct {
	guint bit;
	const char *name;
} flags[] = {
	{ 0, "required" }, { 1, "no-block-io" }, { 2, "legacy-boot" },
	{ 59, "growfs" },  { 60, "read-only" },	 { 63, "no-auto" },
};

const char *
dps_flag_get_name(guint bit)
{
	for (guint i = 0; i < G_N_ELEMENTS(flags); i++)
		if (flags[i].bit == bit)
			return flags[i].name;

	return NULL;
}

DpsFlags
dps_flag_from_string(const char *name)
{
	g_return_val_if_fail(name != NULL, 0);

	for (guint i = 0; i < G_N_ELEMENTS(flags); i++)
		if (strcmp(name, flags[i].name) == 0)
			return G_GUINT64_CONSTANT(1) << flags[i].bit;

	return 0;
}
