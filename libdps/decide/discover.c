/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/discover-internal.h"
#include "format/version.h"
#include "ground/derive.h"
#include "ground/types.h"

#include <string.h>

/*
 * 254: the loader's word counts for both boot partitions; file systems that are not on the list are
 * refused.  256: any line of fstab at /boot or /efi stops both.  257: a /boot that is not there is
 * made for the ESP.  258: "_empty" is passed over; /usr by mount.usr=dissect; other words for
 * root=.  259: XBOOTLDR is mounted as vfat.
 */
const guint dps_discover_versions[] = { 252, 254, 256, 257, 258, 259 };
const guint dps_discover_n_versions = G_N_ELEMENTS(dps_discover_versions);

static void
step_free(DpsStep *step)
{
	g_free(step->message);
	g_free(step);
}

static void
candidate_free(DpsCandidate *candidate)
{
	g_ptr_array_unref(candidate->steps);
	g_free(candidate);
}

void
dps_discovery_add(DpsCandidate *candidate, const char *rule, DpsStepResult result,
		  const char *format, ...)
{
	DpsStep *step = g_new0(DpsStep, 1);
	va_list args;

	step->rule = rule;
	step->result = result;
	va_start(args, format);
	step->message = g_strdup_vprintf(format, args);
	va_end(args);
	g_ptr_array_add(candidate->steps, step);

	if (result == DPS_STEP_FAIL && !candidate->reason)
		candidate->reason = step;
	if (result == DPS_STEP_UNKNOWN && !candidate->uncertain)
		candidate->uncertain = step;
}

void
dps_discovery_add_either(DpsCandidate *candidate, const char *rule, gboolean ok, const char *yes,
			 const char *no)
{
	dps_discovery_add(candidate, rule, ok ? DPS_STEP_PASS : DPS_STEP_FAIL, "%s", ok ? yes : no);
}

/* What cannot be read may be what is wanted, and systemd may have better luck. */
void
dps_discovery_add_content(DpsCandidate *candidate, gboolean ok, const char *wanted, const char *no)
{
	if (dps_partition_is_unreadable(candidate->partition))
		dps_discovery_add(candidate, "content", DPS_STEP_UNKNOWN,
				  "what it holds, which could not be read, is %s", wanted);
	else if (ok)
		dps_discovery_add(candidate, "content", DPS_STEP_PASS, "it holds %s", wanted);
	else
		dps_discovery_add(candidate, "content", DPS_STEP_FAIL, "it holds %s", no);
}

static gboolean
is_used_role(DpsRole role)
{
	switch (role) {
	case DPS_ROLE_ROOT:
	case DPS_ROLE_USR:
	case DPS_ROLE_ROOT_VERITY:
	case DPS_ROLE_USR_VERITY:
	case DPS_ROLE_HOME:
	case DPS_ROLE_SRV:
	case DPS_ROLE_VAR:
	case DPS_ROLE_TMP:
	case DPS_ROLE_SWAP:
	case DPS_ROLE_ESP:
	case DPS_ROLE_XBOOTLDR:
		return TRUE;
	default:
		return FALSE;
	}
}

/* The first 16 bytes of the root hash are the data partition's UUID, the last 16 the hashes'. */
static const char *
get_hash_argument(DpsDiscovery *self, DpsRole role)
{
	const DpsCmdline *cmdline = self->profile->cmdline;

	return role == DPS_ROLE_ROOT || role == DPS_ROLE_ROOT_VERITY ? cmdline->roothash
								     : cmdline->usrhash;
}

static gboolean
is_of_hash(DpsDiscovery *self, const DpsCandidate *candidate)
{
	DpsRole role = dps_discovery_role_of(candidate);
	const char *root_hash = get_hash_argument(self, role);
	DpsGuid data, hash;

	if (!root_hash || !dps_derive_verity(root_hash, &data, &hash, NULL))
		return FALSE;
	return dps_guid_equal(&candidate->partition->guid,
			      role == DPS_ROLE_ROOT || role == DPS_ROLE_USR ? &data : &hash);
}

/* What a partition must be before it can have the slot of its role. */
static void
judge_entry(DpsDiscovery *self, DpsCandidate *candidate)
{
	const DpsProfile *profile = self->profile;
	const DpsPartition *partition = candidate->partition;
	DpsRole role = dps_discovery_role_of(candidate);
	uint32_t entry_size = dps_disk_get_gpt(self->disk)->current->entry_size;
	char expected[DPS_GUID_TEXT_SIZE];
	DpsGuid guid;

	dps_discovery_add(candidate, "type", DPS_STEP_PASS, "its type is %s",
			  partition->type->name);
	if (entry_size != DPS_GPT_ENTRY_MIN_SIZE)
		dps_discovery_add(candidate, "entry-size", DPS_STEP_FAIL,
				  "the table has entries of %u bytes, and Linux finds no partition",
				  entry_size);
	if (partition->type->arch != DPS_ARCH_NONE)
		dps_discovery_add(candidate, "architecture",
				  profile->arch == DPS_ARCH_NONE	   ? DPS_STEP_UNKNOWN
				  : partition->type->arch == profile->arch ? DPS_STEP_PASS
									   : DPS_STEP_FAIL,
				  "its type is that of %s",
				  dps_arch_to_string(partition->type->arch));
	dps_discovery_add_either(candidate, "uuid", !dps_guid_is_null(&partition->guid),
				 "it has a UUID", "its UUID is zero");
	if (role == DPS_ROLE_ESP)
		dps_discovery_add_either(
			candidate, "no-block-io", !(partition->attributes & DPS_FLAG_NO_BLOCK_IO),
			"it is not marked no-block-io", "it is marked no-block-io");
	else
		dps_discovery_add_either(candidate, "no-auto",
					 !(partition->attributes & DPS_FLAG_NO_AUTO),
					 "it is not marked no-auto", "it is marked no-auto");
	if (profile->version >= 258)
		dps_discovery_add_either(candidate, "label-empty",
					 g_strcmp0(partition->label, "_empty") != 0,
					 "its label is not _empty", "its label is _empty");

	if (role != DPS_ROLE_VAR)
		return;
	if (profile->has_no_machine_id)
		dps_discovery_add(candidate, "machine-id", DPS_STEP_FAIL,
				  "the system has no machine-id yet, from which the UUID derives");
	else if (!profile->machine_id || !dps_derive_var(profile->machine_id, &guid, NULL))
		dps_discovery_add(candidate, "machine-id", DPS_STEP_UNKNOWN,
				  "its UUID derives from the machine-id, which could not be read");
	else {
		dps_guid_to_string(&guid, expected);
		if (dps_guid_equal(&guid, &partition->guid))
			dps_discovery_add(candidate, "machine-id", DPS_STEP_PASS,
					  "its UUID derives from the machine-id");
		else
			dps_discovery_add(candidate, "machine-id", DPS_STEP_FAIL,
					  "its UUID is %s, and the machine-id wants %s",
					  partition->uuid, expected);
	}
}

/* Root and /usr are compared by their labels; of all others the first counts. */
static gboolean
is_compared(DpsRole role)
{
	return role == DPS_ROLE_ROOT || role == DPS_ROLE_USR || role == DPS_ROLE_ROOT_VERITY ||
	       role == DPS_ROLE_USR_VERITY;
}

static void
find_slots(DpsDiscovery *self)
{
	for (guint i = 0; i < self->candidates->len; i++) {
		DpsCandidate *candidate = self->candidates->pdata[i];
		DpsRole role = dps_discovery_role_of(candidate);
		DpsCandidate *slot = self->slots[role];

		if (candidate->is_eligible &&
		    (!slot ||
		     (is_compared(role) && dps_version_compare(candidate->partition->label,
							       slot->partition->label) > 0)))
			self->slots[role] = candidate;
	}
}

static void
judge_slot(DpsDiscovery *self, DpsCandidate *candidate)
{
	DpsCandidate *slot = self->slots[dps_discovery_role_of(candidate)];
	const char *root_hash = get_hash_argument(self, dps_discovery_role_of(candidate));

	/* With a root hash, exactly that pair counts. */
	if (is_compared(dps_discovery_role_of(candidate)) && root_hash) {
		dps_discovery_add_either(
			candidate, "hash-uuid", is_of_hash(self, candidate),
			"its UUID is half of the root hash on the command line",
			"its UUID is not half of the root hash on the command line");
		return;
	}
	if (candidate == slot)
		dps_discovery_add(candidate, "slot", DPS_STEP_PASS,
				  "it is the one of this type that is taken");
	else if (slot && is_compared(dps_discovery_role_of(candidate)))
		dps_discovery_add(candidate, "slot", DPS_STEP_FAIL,
				  "partition %u is taken: labels \"%s\" and \"%s\"",
				  slot->partition->number,
				  slot->partition->label ? slot->partition->label : "",
				  candidate->partition->label ? candidate->partition->label : "");
	else if (slot)
		dps_discovery_add(candidate, "slot", DPS_STEP_FAIL,
				  "partition %u is the first of this type",
				  slot->partition->number);
}

DpsDirectory
dps_discovery_get_directory(DpsDiscovery *self, const char *path)
{
	const DpsProfile *profile = self->profile;

	return profile->directory ? profile->directory(path, profile->data) : DPS_DIRECTORY_UNKNOWN;
}

const DpsFstabEntry *
dps_discovery_find_fstab(DpsDiscovery *self, const char *mount_point)
{
	GPtrArray *fstab = self->profile->fstab;

	for (guint i = 0; fstab && i < fstab->len; i++) {
		const DpsFstabEntry *entry = fstab->pdata[i];

		if (g_strcmp0(entry->mount_point, mount_point) == 0)
			return entry;
	}
	return NULL;
}

DpsPartition *
dps_discovery_find_spec(DpsDiscovery *self, const char *spec)
{
	g_autofree char *tag = spec ? dps_fstab_normalise_spec(spec) : NULL;

	return tag && strchr(tag, '=') ? dps_disk_find_partition(self->disk, tag, NULL) : NULL;
}

gboolean
dps_discovery_is_named(DpsPartition *partition, const char *spec)
{
	g_autofree char *tag = dps_fstab_normalise_spec(spec);

	return dps_partition_has_tag(partition, tag);
}

/* systemd.gpt_auto= switches off the whole generator, in the initrd rd.systemd.gpt_auto= too. */
static void
judge_switch(DpsDiscovery *self, DpsCandidate *candidate, gboolean in_initrd)
{
	const DpsCmdline *cmdline = self->profile->cmdline;
	DpsCmdlineSwitch value = in_initrd ? cmdline->rd_gpt_auto : cmdline->gpt_auto;

	dps_discovery_add_either(candidate, "gpt-auto", value != DPS_CMDLINE_NO,
				 "discovery is not switched off on the command line",
				 "discovery is switched off on the command line");
}

static void
judge_root(DpsDiscovery *self, DpsCandidate *candidate)
{
	const DpsProfile *profile = self->profile;
	const DpsCmdline *cmdline = profile->cmdline;
	DpsPartition *partition = candidate->partition;
	gboolean says = profile->is_efi && profile->loader != DPS_LOADER_WORD_NONE;

	candidate->place = "/";
	if (cmdline->roothash) {
		/* The veritysetup generator opens it by its UUID, and the loader's word does not
		 * matter. */
		dps_discovery_add(candidate, "roothash", DPS_STEP_PASS,
				  "roothash= names it, and it is opened with dm-verity");
		candidate->is_read_only = TRUE;
		return;
	}
	judge_switch(self, candidate, TRUE);
	if (cmdline->rd_gpt_auto != DPS_CMDLINE_NO)
		dps_discovery_add_either(candidate, "root-argument",
					 dps_cmdline_root_is_discovered(cmdline, profile->version),
					 "root= does not say what root is",
					 "root= says what root is");
	if (profile->is_efi)
		dps_discovery_add_either(
			candidate, "loader", says,
			"the loader said that it was started from this disk",
			"the loader does not tell systemd which disk it was started from");
	else
		dps_discovery_add(candidate, "loader", DPS_STEP_FAIL,
				  "only a loader for UEFI tells systemd which disk it was started "
				  "from");
	if (dps_partition_is_member(partition) && g_strcmp0(partition->content.type, "btrfs") != 0)
		dps_discovery_add(candidate, "content", DPS_STEP_FAIL,
				  "it holds %s, which is no file system",
				  dps_partition_describe_content(partition));
	else
		dps_discovery_add_content(candidate,
					  partition->content.kind == DPS_CONTENT_FILE_SYSTEM ||
						  partition->content.kind == DPS_CONTENT_LUKS,
					  "a file system, or LUKS", "no file system");
}

/* The type alone mounts no /usr: a command line has to ask for it. */
static void
judge_usr(DpsDiscovery *self, DpsCandidate *candidate)
{
	const DpsCmdline *cmdline = self->profile->cmdline;
	DpsPartition *named = dps_discovery_find_spec(self, cmdline->usr);
	gboolean dissects =
		g_strcmp0(cmdline->usr, "dissect") == 0 || g_strcmp0(cmdline->usr, "gpt-auto") == 0;

	candidate->place = "/usr";
	candidate->is_read_only =
		cmdline->usrhash || (candidate->partition->attributes & DPS_FLAG_READ_ONLY) != 0;
	if (cmdline->usrhash)
		dps_discovery_add(candidate, "usr-argument", DPS_STEP_PASS, "usrhash= names it");
	else if (named)
		dps_discovery_add(candidate, "usr-argument", DPS_STEP_FAIL,
				  named == candidate->partition ? "mount.usr= names it"
								: "mount.usr= names another");
	else if (self->profile->version < 258)
		dps_discovery_add(candidate, "usr-argument", DPS_STEP_FAIL,
				  "before 258 no /usr is mounted by its type at boot");
	else
		dps_discovery_add_either(
			candidate, "usr-argument", dissects, "mount.usr= asks for it",
			"without mount.usr=dissect no /usr is mounted by its type at boot");
}

static void
judge_hashes(DpsDiscovery *self, DpsCandidate *candidate)
{
	dps_discovery_add_either(candidate, "hash-argument",
				 get_hash_argument(self, dps_discovery_role_of(candidate)) != NULL,
				 "the command line has the root hash",
				 "the command line has no root hash that asks for it");
}

static void
judge_use(DpsDiscovery *self, DpsCandidate *candidate)
{
	switch (dps_discovery_role_of(candidate)) {
	case DPS_ROLE_ROOT:
		judge_root(self, candidate);
		return;
	case DPS_ROLE_USR:
		judge_usr(self, candidate);
		return;
	case DPS_ROLE_ROOT_VERITY:
	case DPS_ROLE_USR_VERITY:
		judge_hashes(self, candidate);
		return;
	default:
		break;
	}

	judge_switch(self, candidate, FALSE);
	dps_discovery_judge_backing(self, candidate);
	dps_discovery_judge_dissection(self, candidate);
	if (dps_discovery_role_of(candidate) == DPS_ROLE_ESP)
		dps_discovery_judge_esp(self, candidate);
	else if (dps_discovery_role_of(candidate) == DPS_ROLE_XBOOTLDR)
		dps_discovery_judge_xbootldr(self, candidate);
	else if (dps_discovery_role_of(candidate) == DPS_ROLE_SWAP)
		dps_discovery_judge_swap(self, candidate);
	else
		dps_discovery_judge_mount(self, candidate);
}

/* The command line and fstab do not leave a partition alone: they say what becomes of it. */
static DpsUse
find_use(const DpsCandidate *candidate)
{
	static const char *const rules[] = { "root-argument", "fstab" };

	if (!candidate->reason)
		return DPS_USE_MOUNTED;
	for (guint i = 0; i < G_N_ELEMENTS(rules); i++)
		if (strcmp(candidate->reason->rule, rules[i]) == 0)
			return DPS_USE_OVERRIDDEN;
	return DPS_USE_SKIPPED;
}

GPtrArray *
dps_discover(DpsDisk *disk, const DpsProfile *profile)
{
	GPtrArray *candidates = g_ptr_array_new_with_free_func((GDestroyNotify)candidate_free);
	g_autoptr(GPtrArray) no_fstab = dps_fstab_new();
	DpsProfile own = *profile;
	DpsDiscovery self = { .disk = disk, .profile = &own, .candidates = candidates };

	/* From 255 on nobody reads it then (fstab_enabled_full() of fstab-util.c). */
	if (own.version >= 255 && own.cmdline->fstab == DPS_CMDLINE_NO)
		own.fstab = no_fstab;

	for (guint i = 0; i < dps_disk_get_n_partitions(disk); i++) {
		DpsPartition *partition = dps_disk_get_partition(disk, i);
		DpsCandidate *candidate;

		if (!partition->type || !is_used_role(partition->type->role))
			continue;
		candidate = g_new0(DpsCandidate, 1);
		candidate->partition = partition;
		candidate->steps = g_ptr_array_new_with_free_func((GDestroyNotify)step_free);
		g_ptr_array_add(candidates, candidate);
		judge_entry(&self, candidate);
		candidate->is_eligible = !candidate->reason;
	}
	find_slots(&self);
	dps_discovery_find_backing(&self);
	dps_discovery_dissect(&self);
	for (guint i = 0; i < candidates->len; i++)
		judge_slot(&self, candidates->pdata[i]);
	for (guint i = 0; i < candidates->len; i++) {
		DpsCandidate *candidate = candidates->pdata[i];

		/* What is not taken is not looked at again: there can be a thousand of them. */
		if (!candidate->reason)
			judge_use(&self, candidate);
		candidate->use = find_use(candidate);
	}
	g_free(self.backing.message);
	g_free(self.dissection.message);
	return candidates;
}

const DpsCandidate *
dps_discover_find(GPtrArray *candidates, guint partition)
{
	for (guint i = 0; i < candidates->len; i++) {
		const DpsCandidate *candidate = candidates->pdata[i];

		if (candidate->partition->number == partition)
			return candidate;
	}
	return NULL;
}
