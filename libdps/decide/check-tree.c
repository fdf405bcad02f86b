/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/check.h"
#include "decide/place.h"
#include "decide/validatefs.h"
#include "ground/derive.h"
#include "ground/error.h"
#include "ground/types.h"

#include <string.h>

static const DpsFstabEntry *
find_fstab_line(DpsCheck *check, const char *mount_point)
{
	GPtrArray *fstab = check->tree ? dps_tree_get_fstab(check->tree) : NULL;

	for (guint i = 0; fstab && i < fstab->len; i++) {
		const DpsFstabEntry *entry = fstab->pdata[i];

		if (g_strcmp0(entry->mount_point, mount_point) == 0)
			return entry;
	}
	return NULL;
}

/* The var partition that systemd takes, the first whose UUID derives from the machine-id; else the
 * first. */
static DpsPartition *
get_var(DpsCheck *check, const DpsGuid *derived)
{
	DpsPartition *first = NULL;

	for (DpsPartition *var = dps_check_next_of_role(check, DPS_ROLE_VAR, NULL); var;
	     var = dps_check_next_of_role(check, DPS_ROLE_VAR, var)) {
		if (var->attributes & DPS_FLAG_NO_AUTO)
			continue;
		if (derived && dps_guid_equal(derived, &var->guid))
			return var;
		if (!first)
			first = var;
	}
	return first;
}

static void
check_var_partuuid_mismatch(DpsCheck *check)
{
	DpsPartition *var = get_var(check, NULL);
	char expected[DPS_GUID_TEXT_SIZE];
	g_autofree char *hint = NULL;
	const char *id;
	DpsGuid guid;

	if (!var || !dps_check_need_tree(check))
		return;
	id = dps_tree_get_machine_id(check->tree);
	if (!id || !dps_derive_var(id, &guid, NULL))
		return;
	var = get_var(check, &guid);
	if (!var || dps_guid_equal(&guid, &var->guid))
		return;

	dps_guid_to_string(&guid, expected);
	hint = g_strdup_printf("give it that one: `dps-tag apply {disk} var={n} --machine-id %s`",
			       id);
	dps_check_report_as(
		check, find_fstab_line(check, "/var") ? DPS_SEVERITY_WARNING : DPS_SEVERITY_ERROR,
		var->number, hint,
		"its UUID is %s, and the machine-id wants %s: systemd does not mount it%s",
		var->uuid, expected, find_fstab_line(check, "/var") ? ", fstab does" : "");
}

static void
check_var_no_machine_id(DpsCheck *check)
{
	DpsPartition *var = get_var(check, NULL);

	if (var && dps_check_need_tree(check) && !dps_tree_get_machine_id(check->tree))
		dps_check_report(
			check, var->number,
			"mount /var by fstab, or set the machine-id with --machine-id",
			"has the var type, whose UUID derives from the machine-id, and the "
			"system has none yet: a new one never matches");
}

/* Where systemd mounts a role; NULL for others. */
static const char *
mount_point_of(DpsRole role)
{
	switch (role) {
	case DPS_ROLE_HOME:
		return "/home";
	case DPS_ROLE_SRV:
		return "/srv";
	case DPS_ROLE_VAR:
		return "/var";
	case DPS_ROLE_TMP:
		return "/var/tmp";
	case DPS_ROLE_XBOOTLDR:
		return "/boot";
	default:
		return NULL;
	}
}

static void
check_mount_target_populated(DpsCheck *check)
{
	for (guint i = 0; i < dps_disk_get_n_partitions(check->disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(check->disk, i);
		const char *mount_point =
			partition->type ? mount_point_of(partition->type->role) : NULL;
		g_autoptr(GError) error = NULL;
		g_autoptr(GPtrArray) names = NULL;

		if (!mount_point || partition->attributes & DPS_FLAG_NO_AUTO)
			continue;
		if (!dps_check_need_tree(check))
			return;
		/* What is mounted there is not what lies below it; fstab mounts over anything. */
		if (dps_tree_get_mount(check->tree, mount_point) ||
		    find_fstab_line(check, mount_point) || !check->files)
			continue;
		names = dps_files_list(check->files, mount_point, &error);
		if (!names && !g_error_matches(error, DPS_ERROR, DPS_ERROR_NOT_FOUND) &&
		    !g_error_matches(error, DPS_ERROR, DPS_ERROR_INVALID))
			dps_check_cannot_judge(check, partition->number, error->message);
		if (names && names->len > 0)
			dps_check_report(
				check, partition->number,
				"empty the directory, or mount the partition by fstab",
				"%s of the root file system is not empty (%s): systemd does "
				"not mount the partition over it",
				mount_point, ((DpsFileInfo *)names->pdata[0])->name);
	}
}

static gboolean
has_option(const char *options, const char *word)
{
	g_auto(GStrv) words = g_strsplit(options ? options : "", ",", -1);

	return g_strv_contains((const char *const *)words, word);
}

/* Whether a line is for an ESP that is not there or holds something else: that is an error already,
 * and this is what follows from it. */
static gboolean
is_for_lost_esp(DpsCheck *check, const DpsFstabEntry *entry)
{
	return g_strcmp0(entry->fs_type, "vfat") == 0 &&
	       (!check->boot->esp.partition || !check->boot->esp.is_fat);
}

/* Whether the boot goes on without what a line names.  Root and /usr are mandatory, and have no
 * such words (fstab-generator.c of systemd 257, mandatory_mount_drop_unapplicable_options()). */
static gboolean
is_optional(const DpsFstabEntry *entry)
{
	static const char *const words[] = { "nofail", "noauto", "x-systemd.automount" };

	if (g_strcmp0(entry->mount_point, "/") == 0 || g_strcmp0(entry->mount_point, "/usr") == 0)
		return FALSE;
	for (guint i = 0; i < G_N_ELEMENTS(words); i++)
		if (has_option(entry->options, words[i]))
			return TRUE;
	return FALSE;
}

/* A line for what nothing on the disk is called. */
static void
report_missing(DpsCheck *check, const DpsFstabEntry *entry)
{
	DpsSeverity severity = is_for_lost_esp(check, entry) ? DPS_SEVERITY_WARNING
							     : dps_check_image_severity(check);

	/* swap.target fails after the time that a device has, and nothing else does. */
	if (g_strcmp0(entry->fs_type, "swap") == 0)
		dps_check_report_file(check, DPS_SEVERITY_WARNING, 0, "/etc/fstab",
				      "correct it, or add nofail",
				      "%s as swap: nothing on this disk is called so: the boot "
				      "waits for it, for ninety seconds, and goes on without this "
				      "swap",
				      entry->spec);
	else if (g_strcmp0(entry->mount_point, "/") == 0)
		dps_check_report_file(check, severity, 0, "/etc/fstab",
				      "write what `dps-tag show {disk}` says; nofail has no effect "
				      "on this line",
				      "%s at /: nothing on this disk is called so: root cannot be "
				      "mounted again as fstab says, and may stay read-only",
				      entry->spec);
	else if (entry->mount_point)
		dps_check_report_file(check, severity, 0, "/etc/fstab",
				      strcmp(entry->mount_point, "/usr") == 0
					      ? "write what `dps-tag show {disk}` says; nofail has "
						"no effect on this line"
					      : "correct it, or add nofail",
				      "%s at %s: nothing on this disk is called so, and the boot "
				      "waits for it",
				      entry->spec, entry->mount_point);
}

/* The lines of crypttab, or NULL after saying that the rule could not be judged. */
static GPtrArray *
need_crypttab(DpsCheck *check)
{
	g_autoptr(GError) error = NULL;
	GPtrArray *crypttab;

	if (!dps_check_need_tree(check))
		return NULL;
	crypttab = dps_tree_get_crypttab(check->tree, &error);
	if (!crypttab)
		dps_check_cannot_judge(check, 0, error->message);
	return crypttab;
}

/* The partition below a node that cryptsetup made, as crypttab or the node's name has it. */
static DpsPartition *
find_below_mapper(DpsCheck *check, const DpsFstabEntry *entry)
{
	g_auto(DpsPlace) place = { 0 };

	if (!g_str_has_prefix(entry->spec, "/dev/mapper/") || !need_crypttab(check))
		return NULL;
	place = dps_place_of_entry(check->disk, check->tree, entry);
	return place.partition;
}

static void
check_fstab_shadows(DpsCheck *check)
{
	GPtrArray *fstab;

	if (!dps_disk_get_gpt(check->disk) || !dps_check_need_tree(check))
		return;

	fstab = dps_tree_get_fstab(check->tree);
	for (guint i = 0; i < fstab->len; i++) {
		const DpsFstabEntry *entry = fstab->pdata[i];
		DpsPartition *partition = NULL;
		DpsRootSpec found = dps_check_find_root_spec(check, entry->spec, &partition);

		/* Of a system with several disks, the others may have it. */
		if (found == DPS_ROOT_SPEC_MISSING && check->is_own_tree && !is_optional(entry))
			report_missing(check, entry);
		if (!partition)
			partition = find_below_mapper(check, entry);
		if (!partition || !partition->type || !entry->mount_point ||
		    g_strcmp0(mount_point_of(partition->type->role), entry->mount_point) != 0 ||
		    partition->type->role == DPS_ROLE_XBOOTLDR)
			continue;
		dps_check_report_file(check, DPS_SEVERITY_INFO, partition->number, "/etc/fstab",
				      NULL, "fstab mounts it at %s: that line counts, not its type",
				      entry->mount_point);
	}
}

static void
check_fstab_boot_efi(DpsCheck *check)
{
	GPtrArray *fstab;

	if ((!check->boot->esp.partition && !check->boot->xbootldr.partition) ||
	    !dps_check_need_tree(check))
		return;

	fstab = dps_tree_get_fstab(check->tree);
	for (guint i = 0; i < fstab->len; i++) {
		const DpsFstabEntry *entry = fstab->pdata[i];
		const char *at = entry->mount_point;

		if (!at || !(strcmp(at, "/boot") == 0 || strcmp(at, "/efi") == 0 ||
			     g_str_has_prefix(at, "/boot/") || g_str_has_prefix(at, "/efi/")))
			continue;
		dps_check_report_file(check, 0, 0, "/etc/fstab", NULL,
				      "fstab has a line for %s: systemd 256 and newer then mount "
				      "neither ESP nor XBOOTLDR by themselves",
				      at);
		return;
	}
}

/* The name under which systemd opens a LUKS partition of this role: for tmp the generator has
 * another than the specification, which says "tmp" (gpt-auto-generator.c, add_partition_mount()).
 */
static const char *
mapper_name_of(DpsRole role)
{
	switch (role) {
	case DPS_ROLE_ROOT:
		return "root";
	case DPS_ROLE_HOME:
		return "home";
	case DPS_ROLE_SRV:
		return "srv";
	case DPS_ROLE_VAR:
		return "var";
	case DPS_ROLE_TMP:
		return "var-tmp";
	case DPS_ROLE_SWAP:
		return "swap";
	default:
		return NULL;
	}
}

static void
check_crypttab_name_clash(DpsCheck *check)
{
	GPtrArray *crypttab;
	gboolean has_luks = FALSE;

	for (guint i = 0; i < dps_disk_get_n_partitions(check->disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(check->disk, i);

		has_luks |= partition->content.kind == DPS_CONTENT_LUKS;
		if (partition->type && mapper_name_of(partition->type->role))
			dps_check_can_see(check, partition);
	}
	crypttab = has_luks ? need_crypttab(check) : NULL;

	for (guint i = 0; crypttab && i < crypttab->len; i++) {
		const DpsCrypttabEntry *entry = crypttab->pdata[i];
		DpsPartition *partition;
		const char *expected;

		dps_check_find_root_spec(check, entry->spec, &partition);
		expected =
			partition && partition->type ? mapper_name_of(partition->type->role) : NULL;
		if (expected && strcmp(entry->name, expected) != 0 &&
		    !(partition->attributes & DPS_FLAG_NO_AUTO))
			dps_check_report_file(
				check, 0, partition->number, "/etc/crypttab",
				"use that name, or hide the partition from systemd: `dps-tag apply "
				"{disk} "
				"same={n},no-auto`",
				"crypttab opens it as %s, and systemd as %s: who comes second "
				"fails",
				entry->name, expected);
	}
}

static void
check_luks_no_unlock(DpsCheck *check)
{
	DpsPartition *root = dps_check_get_root(check);
	GPtrArray *crypttab;

	if (!root || !dps_check_can_see(check, root) || root->content.kind != DPS_CONTENT_LUKS)
		return;

	/* That root is closed is why its crypttab cannot be read: then it holds for all that is
	 * known. */
	crypttab = check->tree ? dps_tree_get_crypttab(check->tree, NULL) : NULL;
	for (guint i = 0; crypttab && i < crypttab->len; i++) {
		const DpsCrypttabEntry *entry = crypttab->pdata[i];
		DpsPartition *partition;

		dps_check_find_root_spec(check, entry->spec, &partition);
		if (partition == root)
			return;
	}
	dps_check_report(check, root->number, NULL,
			 "root is in LUKS: the boot asks for a passphrase, or for a TPM that was "
			 "enrolled, and opens it as /dev/mapper/root");
}

/* The LUKS2 header: magic, version, size; then the JSON area (LUKS2 on-disk format, section 2). */
#define LUKS_JSON_OFFSET 4096
#define LUKS_MAX_JSON ((size_t)4 * 1024 * 1024)

/* Whether a secret in this LUKS2 is sealed against PCR 5, as systemd-cryptenroll writes it down. */
static gboolean
is_sealed_to_table(DpsPartition *partition)
{
	static const char key[] = "\"tpm2-pcrs\"";
	g_autofree char *json = NULL;
	uint8_t head[16];
	uint64_t size = 0;
	const char *list;

	if (!dps_region_read(&partition->region, 0, head, sizeof(head), NULL) ||
	    memcmp(head, "LUKS\xba\xbe\0\2", 8) != 0)
		return FALSE;
	for (guint i = 0; i < 8; i++)
		size = size << 8 | head[8 + i];
	if (size <= LUKS_JSON_OFFSET || size > LUKS_MAX_JSON)
		return FALSE;

	size -= LUKS_JSON_OFFSET;
	json = g_malloc0(size + 1);
	if (!dps_region_read(&partition->region, LUKS_JSON_OFFSET, json, size, NULL))
		return FALSE;

	/* Each byte once: this is 4 MiB of anything. */
	for (list = json; (list = strstr(list, key)) != NULL;) {
		list += strlen(key);
		list += strspn(list, " \t\r\n:");
		if (*list != '[')
			continue;
		do {
			char *next;
			guint64 pcr = g_ascii_strtoull(++list, &next, 10);

			if (next != list && pcr == 5)
				return TRUE;
			list = next + strspn(next, " \t\r\n");
		} while (*list == ',');
	}
	return FALSE;
}

static void
check_pcr5_warning(DpsCheck *check)
{
	for (guint i = 0; i < dps_disk_get_n_partitions(check->disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(check->disk, i);

		if (dps_check_can_see(check, partition) &&
		    partition->content.kind == DPS_CONTENT_LUKS && is_sealed_to_table(partition))
			dps_check_report(
				check, partition->number,
				"enroll it again after a change: systemd-cryptenroll "
				"--wipe-slot=tpm2 --tpm2-device=auto",
				"its key is sealed against PCR 5, into which firmware "
				"measures the partition table: any change of a type locks it");
	}
}

static void
check_validatefs_mismatch(DpsCheck *check)
{
	for (guint i = 0; i < dps_disk_get_n_partitions(check->disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(check->disk, i);
		g_auto(DpsValidatefsConflict) conflict = { 0 };
		g_autoptr(GError) error = NULL;
		DpsValidatefsFacts facts;

		if (!partition->type || !dps_check_is_mounted_role(partition->type->role) ||
		    partition->attributes & DPS_FLAG_NO_AUTO)
			continue;
		if (!dps_check_can_see(check, partition))
			continue;
		if (partition->content.kind == DPS_CONTENT_LUKS)
			dps_check_cannot_judge(check, partition->number, "it is encrypted");
		if (partition->content.kind != DPS_CONTENT_FILE_SYSTEM)
			continue;
		facts = (DpsValidatefsFacts){ partition->type->uuid,
					      partition->label ? partition->label : "",
					      dps_type_get_mount_point(partition->type) };
		if (!dps_validatefs_compare(check->disk, check->tree, partition, 0, &facts,
					    &conflict, &error))
			dps_check_cannot_judge(check, partition->number, error->message);
		else if (conflict.attribute)
			dps_check_report(
				check, partition->number,
				"put the type or the label back, or change the attribute with "
				"setfattr",
				"its file system says user.validatefs.%s=%s, and it is %s: systemd "
				"258 and newer reboot at once when they mount it",
				conflict.attribute, conflict.allowed,
				*conflict.value ? conflict.value : "empty");
	}
}

const DpsRule dps_rules_tree[] = {
	{ "var-partuuid-mismatch", DPS_SEVERITY_ERROR, check_var_partuuid_mismatch },
	{ "var-no-machine-id", DPS_SEVERITY_WARNING, check_var_no_machine_id },
	{ "mount-target-populated", DPS_SEVERITY_WARNING, check_mount_target_populated },
	{ "fstab-shadows", DPS_SEVERITY_ERROR, check_fstab_shadows },
	{ "fstab-boot-efi", DPS_SEVERITY_INFO, check_fstab_boot_efi },
	{ "crypttab-name-clash", DPS_SEVERITY_WARNING, check_crypttab_name_clash },
	{ "luks-no-unlock", DPS_SEVERITY_INFO, check_luks_no_unlock },
	{ "pcr5-warning", DPS_SEVERITY_INFO, check_pcr5_warning },
	{ "validatefs-mismatch", DPS_SEVERITY_ERROR, check_validatefs_mismatch },
	{ NULL },
};
