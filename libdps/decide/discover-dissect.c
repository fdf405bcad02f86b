/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/discover-internal.h"
#include "format/version.h"
#include "ground/arch.h"

#include <string.h>

/*
 * What counts for all partitions of a disk at once: the generator starts from the disk that backs
 * the root that is mounted, and dissects it as a whole.  One thing that the dissection cannot make
 * sense of loses every mount of the disk.
 *
 * Source: blockdev_get_root() of blockdev-util.c, dissect_image() of dissect-image.c.
 */

/* In which a file system is looked for; an ESP is mounted as vfat without a look. */
static const DpsRole probed_roles[] = {
	DPS_ROLE_ROOT, DPS_ROLE_USR, DPS_ROLE_HOME, DPS_ROLE_SRV,
	DPS_ROLE_VAR,  DPS_ROLE_TMP, DPS_ROLE_SWAP, DPS_ROLE_XBOOTLDR,
};

static void G_GNUC_PRINTF(3, 4)
	set_step(DpsDiskStep *step, DpsStepResult result, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	g_free(step->message);
	step->message = g_strdup_vprintf(format, args);
	step->result = result;
	va_end(args);
}

void
dps_discovery_find_backing(DpsDiscovery *self)
{
	const DpsCmdline *cmdline = self->profile->cmdline;
	const char *spec = cmdline->root;
	DpsCandidate *slot = self->slots[DPS_ROLE_ROOT];
	DpsPartition *root = slot ? slot->partition : NULL;

	if (!cmdline->roothash && spec &&
	    !dps_cmdline_root_is_discovered(cmdline, self->profile->version)) {
		root = dps_discovery_find_spec(self, spec);
		if (!root) {
			set_step(&self->backing, DPS_STEP_UNKNOWN,
				 "the root that root=%s names is on this disk, without RAID and "
				 "several devices between",
				 spec);
			return;
		}
	}
	if (!root)
		set_step(&self->backing, DPS_STEP_UNKNOWN,
			 "the root that is mounted is on this disk");
	else if (g_strcmp0(root->content.type, "LVM2_member") == 0)
		/* One layer is looked through, when it stands on this disk alone. */
		set_step(&self->backing, DPS_STEP_UNKNOWN,
			 "root is a volume of the group in partition %u and all of it on this disk",
			 root->number);
	else if (dps_partition_is_member(root))
		set_step(&self->backing, DPS_STEP_FAIL,
			 "root is on %s in partition %u, which leads to no single disk",
			 dps_partition_describe_content(root), root->number);
	else
		set_step(&self->backing, DPS_STEP_PASS, "root is in partition %u of the same disk",
			 root->number);
}

void
dps_discovery_judge_backing(DpsDiscovery *self, DpsCandidate *candidate)
{
	dps_discovery_add(candidate, "backing", self->backing.result, "%s", self->backing.message);
}

/* The machine's own architecture first, then the one that its kernel runs too (compare_arch()). */
static int
rank(DpsDiscovery *self, const DpsCandidate *candidate)
{
	DpsArch arch = candidate->partition->type->arch, own = self->profile->arch;

	return arch == own ? 2 : arch == dps_arch_get_secondary(own) ? 1 : 0;
}

/* Whether nothing is wrong with it, its architecture aside. */
static gboolean
is_found(const DpsCandidate *candidate)
{
	for (guint i = 0; i < candidate->steps->len; i++) {
		const DpsStep *step = candidate->steps->pdata[i];

		if (step->result == DPS_STEP_FAIL && strcmp(step->rule, "architecture") != 0)
			return FALSE;
	}
	return TRUE;
}

/* The one that the dissection has for a role, where there is one; @root: the one for root. */
static DpsCandidate *
find_dissected(DpsDiscovery *self, DpsRole role, const DpsCandidate *root)
{
	gboolean is_versioned = role == DPS_ROLE_ROOT || role == DPS_ROLE_USR;
	DpsCandidate *best = NULL;

	for (guint i = 0; i < self->candidates->len; i++) {
		DpsCandidate *candidate = self->candidates->pdata[i];
		int order;

		if (dps_discovery_role_of(candidate) != role || !is_found(candidate))
			continue;
		/* 252 kept architectures apart: with a root of one, the /usr of others is gone. */
		if (self->profile->version < 254 && role == DPS_ROLE_USR && root &&
		    rank(self, candidate) != rank(self, root))
			continue;
		order = best ? rank(self, candidate) - rank(self, best) : 1;
		if (order > 0 ||
		    (order == 0 && is_versioned &&
		     dps_version_compare(candidate->partition->label, best->partition->label) > 0))
			best = candidate;
	}
	return best;
}

/* With the policy that counts without systemd.image_policy=: XBOOTLDR must not be encrypted. */
static gboolean
is_against_policy(DpsDiscovery *self, const DpsCandidate *candidate)
{
	return self->profile->version >= 254 &&
	       dps_discovery_role_of(candidate) == DPS_ROLE_XBOOTLDR &&
	       candidate->partition->content.kind == DPS_CONTENT_LUKS;
}

static void
dissect_one(DpsDiscovery *self, DpsCandidate *candidate)
{
	const DpsPartition *partition = candidate->partition;

	candidate->is_probed = TRUE;
	if (self->dissection.result == DPS_STEP_FAIL)
		return;
	if (partition->content.kind == DPS_CONTENT_AMBIGUOUS)
		set_step(&self->dissection, DPS_STEP_FAIL,
			 "partition %u has signatures of several file systems, which makes "
			 "systemd refuse the disk",
			 partition->number);
	else if (dps_partition_is_unreadable(candidate->partition))
		set_step(&self->dissection, DPS_STEP_UNKNOWN,
			 "partition %u, which could not be read, can be read then",
			 partition->number);
	else if (is_against_policy(self, candidate))
		set_step(&self->dissection, DPS_STEP_FAIL,
			 "partition %u, the XBOOTLDR, is encrypted, which makes systemd refuse "
			 "the disk",
			 partition->number);
}

void
dps_discovery_dissect(DpsDiscovery *self)
{
	DpsCandidate *root = find_dissected(self, DPS_ROLE_ROOT, NULL);
	DpsCandidate *usr = find_dissected(self, DPS_ROLE_USR, root);

	set_step(&self->dissection, DPS_STEP_PASS,
		 "there is nothing on the disk that makes systemd refuse all of it");
	for (guint i = 0; i < G_N_ELEMENTS(probed_roles); i++) {
		DpsRole role = probed_roles[i];
		DpsCandidate *candidate = role == DPS_ROLE_ROOT	 ? root
					  : role == DPS_ROLE_USR ? usr
								 : find_dissected(self, role, root);

		/* From 259 on XBOOTLDR is vfat without a look, too. */
		if (candidate && !(role == DPS_ROLE_XBOOTLDR && self->profile->version >= 259))
			dissect_one(self, candidate);
	}
	if (root && usr && root->partition->type->arch != usr->partition->type->arch &&
	    self->profile->arch != DPS_ARCH_NONE)
		set_step(&self->dissection, DPS_STEP_FAIL,
			 "partitions %u and %u are root and /usr of different architectures, "
			 "which makes systemd refuse the disk",
			 root->partition->number, usr->partition->number);
}

void
dps_discovery_judge_dissection(DpsDiscovery *self, DpsCandidate *candidate)
{
	const DpsProfile *profile = self->profile;

	dps_discovery_add(candidate, "dissection", self->dissection.result, "%s",
			  self->dissection.message);
	if (profile->version >= 254 && dps_cmdline_get(profile->cmdline, "systemd.image_policy"))
		dps_discovery_add(candidate, "image-policy", DPS_STEP_UNKNOWN,
				  "systemd.image_policy= allows it");
	if (profile->version >= 258 && dps_cmdline_get(profile->cmdline, "systemd.image_filter"))
		dps_discovery_add(candidate, "image-filter", DPS_STEP_UNKNOWN,
				  "systemd.image_filter= lets it pass");
}
