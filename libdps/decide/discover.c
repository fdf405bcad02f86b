/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/discover-internal.h"
#include "format/version.h"
#include "ground/derive.h"
#include "ground/types.h"

#include <string.h>

/*
 * 254: the loader's word counts for both boot partitions; file systems that are not on the list are
 * refused.  256: any line of fstab at /boot or /efi stops both.  258: "_empty" is passed over;
 * /usr by mount.usr=dissect; other words for root=.  259: XBOOTLDR is mounted as vfat.
 */
const guint dps_discover_versions[] = { 252, 254, 256, 258, 259 };
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

/* A rule with a word for either outcome. */
static void
add_either(DpsCandidate *candidate, const char *rule, gboolean ok, const char *yes, const char *no)
{
	dps_discovery_add(candidate, rule, ok ? DPS_STEP_PASS : DPS_STEP_FAIL, "%s", ok ? yes : no);
}

gboolean
dps_discover_is_allowed(const char *fs_type)
{
	/* dissect-image.c of systemd 254 to 257, fstype_is_ok() */
	static const char *const allowed[] = { "btrfs",	   "erofs", "ext4", "f2fs",
					       "squashfs", "vfat",  "xfs" };

	for (guint i = 0; i < G_N_ELEMENTS(allowed); i++)
		if (g_strcmp0(fs_type, allowed[i]) == 0)
			return TRUE;
	return FALSE;
}

gboolean
dps_discover_spoils_disk(const DpsPartition *partition)
{
	return partition->type && partition->content.kind == DPS_CONTENT_AMBIGUOUS &&
	       partition->type->role != DPS_ROLE_LINUX_GENERIC &&
	       partition->type->role != DPS_ROLE_BIOS_BOOT &&
	       partition->type->role != DPS_ROLE_PREP;
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

static DpsRole
role_of(const DpsCandidate *candidate)
{
	return candidate->partition->type->role;
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
	DpsRole role = role_of(candidate);
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
	DpsRole role = role_of(candidate);
	char expected[DPS_GUID_TEXT_SIZE];
	DpsGuid guid;

	dps_discovery_add(candidate, "type", DPS_STEP_PASS, "its type is %s",
			  partition->type->name);
	if (partition->type->arch != DPS_ARCH_NONE)
		dps_discovery_add(candidate, "architecture",
				  profile->arch == DPS_ARCH_NONE	   ? DPS_STEP_UNKNOWN
				  : partition->type->arch == profile->arch ? DPS_STEP_PASS
									   : DPS_STEP_FAIL,
				  "its type is that of %s",
				  dps_arch_to_string(partition->type->arch));
	add_either(candidate, "uuid", !dps_guid_is_null(&partition->guid), "it has a UUID",
		   "its UUID is zero");
	if (role == DPS_ROLE_ESP)
		add_either(candidate, "no-block-io",
			   !(partition->attributes & DPS_FLAG_NO_BLOCK_IO),
			   "it is not marked no-block-io", "it is marked no-block-io");
	else
		add_either(candidate, "no-auto", !(partition->attributes & DPS_FLAG_NO_AUTO),
			   "it is not marked no-auto", "it is marked no-auto");
	if (profile->version >= 258)
		add_either(candidate, "label-empty", g_strcmp0(partition->label, "_empty") != 0,
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

DpsCandidate *
dps_discovery_get_slot(DpsDiscovery *self, DpsRole role)
{
	DpsCandidate *slot = NULL;

	for (guint i = 0; i < self->candidates->len; i++) {
		DpsCandidate *candidate = self->candidates->pdata[i];

		if (role_of(candidate) != role || !candidate->is_eligible)
			continue;
		if (!slot || (is_compared(role) && dps_version_compare(candidate->partition->label,
								       slot->partition->label) > 0))
			slot = candidate;
	}
	return slot;
}

static void
judge_slot(DpsDiscovery *self, DpsCandidate *candidate)
{
	DpsCandidate *slot = dps_discovery_get_slot(self, role_of(candidate));
	const char *root_hash = get_hash_argument(self, role_of(candidate));

	/* With a root hash, exactly that pair counts. */
	if (is_compared(role_of(candidate)) && root_hash) {
		add_either(candidate, "hash-uuid", is_of_hash(self, candidate),
			   "its UUID is half of the root hash on the command line",
			   "its UUID is not half of the root hash on the command line");
		return;
	}
	if (candidate == slot)
		dps_discovery_add(candidate, "slot", DPS_STEP_PASS,
				  "it is the one of this type that is taken");
	else if (slot && is_compared(role_of(candidate)))
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

/* The line of fstab with exactly this mount point. */
static const DpsFstabEntry *
find_fstab(DpsDiscovery *self, const char *mount_point)
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

/* systemd.gpt_auto= switches off the whole generator, in the initrd rd.systemd.gpt_auto= too. */
static void
judge_switch(DpsDiscovery *self, DpsCandidate *candidate, gboolean in_initrd)
{
	const DpsCmdline *cmdline = self->profile->cmdline;
	DpsCmdlineSwitch value = in_initrd ? cmdline->rd_gpt_auto : cmdline->gpt_auto;

	add_either(candidate, "gpt-auto", value != DPS_CMDLINE_NO,
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
		add_either(candidate, "root-argument",
			   dps_cmdline_root_is_discovered(cmdline, profile->version),
			   "root= does not say what root is", "root= says what root is");
	if (profile->is_efi)
		add_either(candidate, "loader", says,
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
		add_either(candidate, "content",
			   partition->content.kind == DPS_CONTENT_FILE_SYSTEM ||
				   partition->content.kind == DPS_CONTENT_LUKS,
			   "it holds a file system, or LUKS", "it holds no file system");
}

/* The generator starts from the disk that backs the root that is mounted. */
static void
judge_backing(DpsDiscovery *self, DpsCandidate *candidate)
{
	const DpsCmdline *cmdline = self->profile->cmdline;
	const char *spec = cmdline->root;
	DpsCandidate *slot = dps_discovery_get_slot(self, DPS_ROLE_ROOT);
	DpsPartition *root = slot ? slot->partition : NULL;

	if (!cmdline->roothash && spec &&
	    !dps_cmdline_root_is_discovered(cmdline, self->profile->version)) {
		root = dps_discovery_find_spec(self, spec);
		if (!root) {
			dps_discovery_add(candidate, "backing", DPS_STEP_UNKNOWN,
					  "the root that root=%s names is on this disk, without "
					  "RAID and several devices between",
					  spec);
			return;
		}
	}
	if (!root)
		dps_discovery_add(candidate, "backing", DPS_STEP_UNKNOWN,
				  "the root that is mounted is on this disk");
	else if (dps_partition_is_member(root))
		dps_discovery_add(candidate, "backing", DPS_STEP_FAIL,
				  "root is on %s in partition %u, which leads to no single disk",
				  dps_partition_describe_content(root), root->number);
	else
		dps_discovery_add(candidate, "backing", DPS_STEP_PASS,
				  "root is in partition %u of the same disk", root->number);
}

/* One partition that cannot be told spoils all. */
static void
judge_dissection(DpsDiscovery *self, DpsCandidate *candidate)
{
	for (guint i = 0; i < dps_disk_get_n_partitions(self->disk); i++) {
		const DpsPartition *partition = dps_disk_get_partition(self->disk, i);

		if (!dps_discover_spoils_disk(partition))
			continue;
		dps_discovery_add(candidate, "dissection", DPS_STEP_FAIL,
				  "partition %u has signatures of several file systems, which "
				  "makes systemd refuse the disk",
				  partition->number);
		return;
	}
	dps_discovery_add(candidate, "dissection", DPS_STEP_PASS,
			  "no partition has signatures of several file systems");
}

static void
judge_swap(DpsDiscovery *self, DpsCandidate *candidate)
{
	const DpsProfile *profile = self->profile;
	DpsContentKind kind = candidate->partition->content.kind;
	gboolean any = FALSE;

	for (guint i = 0; profile->fstab && i < profile->fstab->len; i++) {
		const DpsFstabEntry *entry = profile->fstab->pdata[i];

		any |= g_strcmp0(entry->fs_type, "swap") == 0;
	}
	if (profile->fstab)
		add_either(candidate, "fstab", !any, "fstab has no line for swap",
			   "fstab has a line for swap");
	else
		dps_discovery_add(candidate, "fstab", DPS_STEP_UNKNOWN,
				  "fstab, which could not be read, has no line for swap");
	if (profile->version >= 254)
		add_either(candidate, "swap-argument", profile->cmdline->swap != DPS_CMDLINE_NO,
			   "systemd.swap= does not switch swap off",
			   "systemd.swap= switches swap off");
	add_either(candidate, "content", kind == DPS_CONTENT_SWAP || kind == DPS_CONTENT_LUKS,
		   "it holds swap, or LUKS", "it holds no swap");
}

/* What is in the directory would be hidden, so the partition is not mounted over it. */
void
dps_discovery_judge_directory(DpsDiscovery *self, DpsCandidate *candidate)
{
	switch (dps_discovery_get_directory(self, candidate->place)) {
	case DPS_DIRECTORY_BUSY:
		dps_discovery_add(candidate, "directory", DPS_STEP_FAIL,
				  "%s of the root file system is not empty", candidate->place);
		break;
	case DPS_DIRECTORY_UNKNOWN:
		dps_discovery_add(candidate, "directory", DPS_STEP_UNKNOWN,
				  "%s of the root file system, which could not be read, is empty",
				  candidate->place);
		break;
	default:
		dps_discovery_add(candidate, "directory", DPS_STEP_PASS,
				  "%s of the root file system is empty or not there",
				  candidate->place);
	}
}

/* 254 has a list of what it mounts by itself; from 260 on, what is not on it is mounted without a
 * type. */
void
dps_discovery_judge_file_system(DpsDiscovery *self, DpsCandidate *candidate)
{
	const DpsContent *content = &candidate->partition->content;
	guint version = self->profile->version;

	if (version < 254 || content->kind != DPS_CONTENT_FILE_SYSTEM)
		return;
	if (dps_discover_is_allowed(content->type))
		dps_discovery_add(candidate, "file-system", DPS_STEP_PASS,
				  "%s is on systemd's list", content->type);
	else if (version < 258)
		dps_discovery_add(candidate, "file-system", DPS_STEP_FAIL,
				  "%s is not on systemd's list", content->type);
	else
		dps_discovery_add(candidate, "file-system", DPS_STEP_UNKNOWN,
				  "%s is mounted though it is not on systemd's list",
				  content->type);
}

static void
judge_mount(DpsDiscovery *self, DpsCandidate *candidate)
{
	const DpsProfile *profile = self->profile;
	DpsPartition *partition = candidate->partition;
	gboolean is_luks = partition->content.kind == DPS_CONTENT_LUKS;

	candidate->place = dps_type_get_mount_point(partition->type);
	candidate->is_read_only = (partition->attributes & DPS_FLAG_READ_ONLY) != 0;
	add_either(candidate, "content",
		   is_luks || (partition->content.kind == DPS_CONTENT_FILE_SYSTEM &&
			       !dps_partition_is_member(partition)),
		   "it holds a file system, or LUKS", "it holds no file system");
	dps_discovery_judge_file_system(self, candidate);
	if (!profile->fstab)
		dps_discovery_add(candidate, "fstab", DPS_STEP_UNKNOWN,
				  "fstab, which could not be read, has no line for %s",
				  candidate->place);
	else if (find_fstab(self, candidate->place))
		dps_discovery_add(candidate, "fstab", DPS_STEP_FAIL, "fstab has a line for %s",
				  candidate->place);
	else
		dps_discovery_add(candidate, "fstab", DPS_STEP_PASS, "fstab has no line for %s",
				  candidate->place);

	dps_discovery_judge_directory(self, candidate);
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
		add_either(candidate, "usr-argument", dissects, "mount.usr= asks for it",
			   "without mount.usr=dissect no /usr is mounted by its type at boot");
}

static void
judge_hashes(DpsDiscovery *self, DpsCandidate *candidate)
{
	add_either(candidate, "hash-argument", get_hash_argument(self, role_of(candidate)) != NULL,
		   "the command line has the root hash",
		   "the command line has no root hash that asks for it");
}

static void
judge_use(DpsDiscovery *self, DpsCandidate *candidate)
{
	switch (role_of(candidate)) {
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
	judge_backing(self, candidate);
	judge_dissection(self, candidate);
	if (role_of(candidate) == DPS_ROLE_ESP)
		dps_discovery_judge_esp(self, candidate);
	else if (role_of(candidate) == DPS_ROLE_XBOOTLDR)
		dps_discovery_judge_xbootldr(self, candidate);
	else if (role_of(candidate) == DPS_ROLE_SWAP)
		judge_swap(self, candidate);
	else
		judge_mount(self, candidate);
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
	DpsDiscovery self = { disk, profile, candidates };

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
	for (guint i = 0; i < candidates->len; i++)
		judge_slot(&self, candidates->pdata[i]);
	for (guint i = 0; i < candidates->len; i++) {
		DpsCandidate *candidate = candidates->pdata[i];

		judge_use(&self, candidate);
		candidate->use = find_use(candidate);
	}
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
