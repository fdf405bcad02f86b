/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/check.h"
#include "format/verity.h"
#include "ground/derive.h"
#include "ground/error.h"
#include "ground/types.h"

/* The three parts of a protected file system. */
static const struct {
	DpsRole data, hash, signature;
	const char *name;
} sets[] = {
	{ DPS_ROLE_ROOT, DPS_ROLE_ROOT_VERITY, DPS_ROLE_ROOT_VERITY_SIG, "root" },
	{ DPS_ROLE_USR, DPS_ROLE_USR_VERITY, DPS_ROLE_USR_VERITY_SIG, "usr" },
};

static DpsPartition *
find_by_guid(DpsCheck *check, DpsRole role, const DpsGuid *guid)
{
	for (DpsPartition *partition = dps_check_next_of_role(check, role, NULL); partition;
	     partition = dps_check_next_of_role(check, role, partition))
		if (dps_guid_equal(&partition->guid, guid))
			return partition;
	return NULL;
}

/* The first data partition that is not hidden, else the first. */
static DpsPartition *
get_data(DpsCheck *check, guint set)
{
	DpsPartition *data = dps_check_next_of_role(check, sets[set].data, NULL), *next = data;

	while (next && next->attributes & DPS_FLAG_NO_AUTO)
		next = dps_check_next_of_role(check, sets[set].data, next);
	return next ? next : data;
}

static char *
read_root_hash(DpsPartition *hash, GError **error)
{
	DpsVerity verity;

	return dps_verity_read(&hash->region, &verity, error)
		       ? dps_verity_get_root_hash(&hash->region, &verity, error)
		       : NULL;
}

/* The command that gives both partitions the UUIDs that a root hash makes. */
static char *
hint_pair(guint set, const DpsPartition *data, const DpsPartition *hash, const char *root_hash)
{
	const char *name = sets[set].name, *arch = dps_arch_to_string(data->type->arch);

	return g_strdup_printf("give them these: `dps-tag apply {disk} %s:%s=%u %s-verity:%s=%u "
			       "--%s-hash %s`",
			       name, arch, data->number, name, arch, hash->number, name, root_hash);
}

/* One hash partition: its data is there, and both UUIDs are what the root hash makes them. */
static void
judge_hash(DpsCheck *check, guint set, DpsPartition *hash)
{
	g_autoptr(GError) error = NULL;
	DpsPartition *data = get_data(check, set);
	g_autofree char *root_hash = NULL;
	DpsGuid data_guid, hash_guid;

	if (!data) {
		dps_check_report(check, hash->number, "tag the data partition, or remove this one",
				 "holds hashes of a %s partition, and there is none",
				 sets[set].name);
		return;
	}
	root_hash = read_root_hash(hash, &error);
	if (!root_hash || !dps_derive_verity(root_hash, &data_guid, &hash_guid, &error)) {
		if (g_error_matches(error, DPS_ERROR, DPS_ERROR_UNSUPPORTED) ||
		    g_error_matches(error, DPS_ERROR, DPS_ERROR_IO))
			dps_check_cannot_judge(check, hash->number, error->message);
		else
			dps_check_report(check, hash->number, "run veritysetup format again",
					 "has a verity type and no hashes that can be read: %s",
					 error->message);
		return;
	}
	if (!dps_guid_equal(&hash->guid, &hash_guid) ||
	    !find_by_guid(check, sets[set].data, &data_guid)) {
		g_autofree char *hint = hint_pair(set, data, hash, root_hash);

		dps_check_report(check, hash->number, hint,
				 "the root hash is %s: its halves are not the UUIDs of the %s "
				 "partition and of this one",
				 root_hash, sets[set].name);
	}
}

/* Root hash to the first partition whose hashes have it, whatever its type and UUID are: there can
 * be many hash partitions, and many command lines that ask. */
static GHashTable *
list_hashes(DpsCheck *check)
{
	GHashTable *hashes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

	for (guint i = dps_disk_get_n_partitions(check->disk); i > 0; i--) {
		DpsPartition *partition = dps_disk_get_partition(check->disk, i - 1);
		char *found = partition->content.kind == DPS_CONTENT_VERITY
				      ? read_root_hash(partition, NULL)
				      : NULL;

		if (found)
			g_hash_table_insert(hashes, found, partition);
	}
	return hashes;
}

/* The partition whose hashes have this root hash; NULL: none. */
static DpsPartition *
find_by_root_hash(DpsCheck *check, const char *root_hash, GHashTable **hashes)
{
	g_autofree char *lower = g_ascii_strdown(root_hash, -1);

	if (!*hashes)
		*hashes = list_hashes(check);
	return g_hash_table_lookup(*hashes, lower);
}

/* Whether the partition itself was found to go with no data: who names its hashes is right. */
static gboolean
is_reported(DpsCheck *check, const DpsPartition *hash)
{
	return hash && dps_check_has_error(check, check->rule->code, hash->number);
}

static void
judge_signature(DpsCheck *check, guint set, DpsPartition *partition, GHashTable **hashes)
{
	g_auto(DpsVeritySignature) signature = { 0 };
	g_autoptr(GError) error = NULL;
	DpsGuid data_guid, hash_guid;

	if (!dps_check_next_of_role(check, sets[set].hash, NULL)) {
		dps_check_report(check, partition->number, "tag the hash partition",
				 "is a signature of verity hashes, and there is no partition with "
				 "them");
		return;
	}
	if (!dps_verity_signature_read(&partition->region, &signature, &error) &&
	    g_error_matches(error, DPS_ERROR, DPS_ERROR_IO))
		dps_check_cannot_judge(check, partition->number, error->message);
	else if (error)
		dps_check_report(check, partition->number, "write it with systemd-repart",
				 "has a verity-sig type and no signature that can be read: %s",
				 error->message);
	else if ((!dps_derive_verity(signature.root_hash, &data_guid, &hash_guid, &error) ||
		  !find_by_guid(check, sets[set].data, &data_guid) ||
		  !find_by_guid(check, sets[set].hash, &hash_guid)) &&
		 !is_reported(check, find_by_root_hash(check, signature.root_hash, hashes)))
		dps_check_report(
			check, partition->number, "sign the root hash that is there",
			"is for the root hash %s, and no pair of partitions has its halves "
			"as UUIDs",
			signature.root_hash);
}

/* roothash= and usrhash= of a command line: exactly that pair is looked for. */
static void
judge_cmdline(DpsCheck *check, guint set, const DpsBootEntry *entry, const char *root_hash,
	      GHashTable **hashes)
{
	DpsPartition *data = get_data(check, set), *hash;
	g_autoptr(GError) error = NULL;
	g_autofree char *hint = NULL, *where = NULL;
	DpsGuid data_guid, hash_guid;

	if (!root_hash || entry->hidden != DPS_BLS_SHOWN)
		return;
	/* With *_data and *_hash devices given, UUIDs do not matter (systemd-veritysetup-generator)
	 */
	if (dps_cmdline_get(&entry->cmdline,
			    set == 0 ? "systemd.verity_root_data" : "systemd.verity_usr_data"))
		return;
	if (dps_derive_verity(root_hash, &data_guid, &hash_guid, &error) &&
	    find_by_guid(check, sets[set].data, &data_guid) &&
	    find_by_guid(check, sets[set].hash, &hash_guid))
		return;

	/* The hashes themselves say whether only the UUIDs are wrong. */
	hash = error ? NULL : find_by_root_hash(check, root_hash, hashes);
	if (is_reported(check, hash))
		return;
	if (hash && data)
		hint = hint_pair(set, data, hash, root_hash);
	if (hash)
		where = g_strdup_printf(", though partition %u holds these hashes", hash->number);
	dps_check_report_file(
		check, dps_check_image_severity(check), dps_check_part_number(entry->part),
		entry->path, hint ? hint : "build it for the hashes that are on the disk",
		"%shash=%s: %s%s", sets[set].name, root_hash,
		error ? error->message : "no pair of partitions has its halves as UUIDs",
		where ? where : "");
}

static void
check_verity_unpaired(DpsCheck *check)
{
	g_autoptr(GHashTable) hashes = NULL;

	for (guint set = 0; set < G_N_ELEMENTS(sets); set++) {
		for (DpsPartition *hash = dps_check_next_of_role(check, sets[set].hash, NULL); hash;
		     hash = dps_check_next_of_role(check, sets[set].hash, hash))
			if (!(hash->attributes & DPS_FLAG_NO_AUTO))
				judge_hash(check, set, hash);
		for (DpsPartition *signature =
			     dps_check_next_of_role(check, sets[set].signature, NULL);
		     signature;
		     signature = dps_check_next_of_role(check, sets[set].signature, signature))
			if (!(signature->attributes & DPS_FLAG_NO_AUTO))
				judge_signature(check, set, signature, &hashes);
		for (guint i = 0; i < check->boot->entries->len; i++) {
			const DpsBootEntry *entry = check->boot->entries->pdata[i];

			judge_cmdline(check, set, entry,
				      set == 0 ? entry->cmdline.roothash : entry->cmdline.usrhash,
				      &hashes);
		}
	}
}

/* The first that is not marked no-auto. */
static DpsPartition *
find_shown(DpsCheck *check, DpsRole role)
{
	DpsPartition *partition = dps_check_next_of_role(check, role, NULL);

	while (partition && partition->attributes & DPS_FLAG_NO_AUTO)
		partition = dps_check_next_of_role(check, role, partition);
	return partition;
}

static void
check_verity_root_and_usr(DpsCheck *check)
{
	DpsPartition *hash = find_shown(check, DPS_ROLE_ROOT_VERITY);
	DpsPartition *usr = find_shown(check, DPS_ROLE_USR);

	if (hash && usr)
		dps_check_report(check, usr->number, "use one of both",
				 "there are verity hashes for root (partition %u) and a /usr "
				 "partition: systemd refuses such a disk",
				 hash->number);
}

static void
check_usr_not_discovered(DpsCheck *check)
{
	const DpsBoot *boot = check->boot;
	DpsPartition *usr = dps_check_next_of_role(check, DPS_ROLE_USR, NULL);

	while (usr && (usr->type->arch != check->arch || usr->attributes & DPS_FLAG_NO_AUTO))
		usr = dps_check_next_of_role(check, DPS_ROLE_USR, usr);
	if (!usr)
		return;

	for (guint i = 0; i < boot->entries->len; i++) {
		const DpsBootEntry *entry = boot->entries->pdata[i];

		if (entry->hidden == DPS_BLS_SHOWN &&
		    (entry->cmdline.usr || entry->cmdline.usrhash))
			return;
	}
	dps_check_report(check, usr->number,
			 "add mount.usr=dissect (systemd 258), mount.usr=PARTUUID=… or usrhash= to "
			 "the command line",
			 "has the usr type, and no command line says so: at boot systemd does not "
			 "mount it by its type alone");
}

const DpsRule dps_rules_verity[] = {
	{ "verity-unpaired", DPS_SEVERITY_ERROR, check_verity_unpaired },
	{ "verity-root-and-usr", DPS_SEVERITY_ERROR, check_verity_root_and_usr },
	{ "usr-not-discovered", DPS_SEVERITY_WARNING, check_usr_not_discovered },
	{ NULL },
};
