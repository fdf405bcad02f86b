/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decide/check.h"
#include "format/bls-name.h"

#define MIB (UINT64_C(1024) * 1024)

/* What `bootctl link` leaves free (systemd 261). */
#define LEAST_FREE (UINT64_C(5) * 1000 * 1000)

/* The Boot Loader Specification: a smaller ESP is to have an XBOOTLDR beside it (UAPI.1). */
#define ESP_FOR_KERNELS (UINT64_C(1024) * MIB)

/* The kernels on the partition that holds them, rounded up to its clusters. */
typedef struct {
	const DpsBootPart *part;
	uint64_t size, free_size;
	uint64_t largest; /* of one set: kernel, initrds, device trees; or UKI, addons, credentials
			   */
	uint64_t used;	  /* by all sets; files of several entries count once */
	guint n;	  /* sets */
	const char *path; /* of the entry with the largest set */
} Room;

static uint64_t
size_of(const DpsBootPart *part, const char *path, uint64_t unit, GHashTable *seen, uint64_t *used)
{
	g_autoptr(DpsFileInfo) info = path ? dps_boot_lookup(part, path) : NULL;
	uint64_t size;

	if (!info || info->kind != DPS_FILE_REGULAR)
		return 0;

	size = (info->size + unit - 1) / unit * unit;
	if (g_hash_table_add(seen, g_ascii_strdown(path, -1)))
		*used += size;
	return size;
}

/*
 * What goes with a UKI alone: addons, credentials and extensions in "NAME.efi.extra.d" beside it,
 * where NAME has no boot counter.  Those in /loader belong to all of them.  Source:
 * systemd-stub(7).
 */
static uint64_t
size_of_companions(const DpsBootPart *part, const char *uki, uint64_t unit, GHashTable *seen,
		   uint64_t *used)
{
	g_autofree char *parent = g_path_get_dirname(uki);
	g_autofree char *file = g_path_get_basename(uki);
	g_autofree char *directory = NULL;
	g_autoptr(GPtrArray) names = NULL;
	g_auto(DpsBlsName) name = { 0 };
	uint64_t size = 0;

	dps_bls_name_parse(file, ".efi", &name);
	directory = g_strdup_printf("%s/%s.extra.d", parent, name.id);
	names = dps_boot_list(part, directory);
	for (guint i = 0; i < names->len; i++) {
		const DpsFileInfo *info = names->pdata[i];
		g_autofree char *path = g_strconcat(directory, "/", info->name, NULL);

		size += size_of(part, path, unit, seen, used);
	}
	return size;
}

static void
count_set(Room *room, uint64_t set, const char *path)
{
	if (set == 0)
		return;

	room->n++;
	if (set > room->largest) {
		room->largest = set;
		room->path = path;
	}
}

static double
in_mib(uint64_t bytes)
{
	return (double)bytes / (double)MIB;
}

/* $BOOT: XBOOTLDR where there is one, else the ESP; FALSE when nothing of it can be said. */
static gboolean
measure(DpsCheck *check, Room *room)
{
	const DpsBoot *boot = check->boot;
	g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	g_autoptr(GError) error = NULL;
	uint64_t unit;

	*room = (Room){ .part = boot->xbootldr.partition ? &boot->xbootldr : &boot->esp };
	if (!room->part->partition)
		return FALSE;
	if (!room->part->files ||
	    !dps_files_get_space(room->part->files, &room->size, &room->free_size, &unit, &error)) {
		dps_check_cannot_judge(check, room->part->partition->number,
				       error		     ? error->message
				       : room->part->problem ? room->part->problem
							     : "it cannot be read");
		return FALSE;
	}
	if (room->part->esp && !dps_esp_is_whole(room->part->esp)) {
		dps_check_cannot_judge(check, room->part->partition->number,
				       "its files are read from a directory that is no mount: "
				       "nothing tells how much is free");
		return FALSE;
	}
	if (room->part->esp && !dps_esp_get_fat(room->part->esp) &&
	    room->size > room->part->partition->size) {
		g_autofree char *reason = g_strdup_printf(
			"what is mounted at its directory has %.1f GiB, more than the partition",
			in_mib(room->size) / 1024);

		dps_check_cannot_judge(check, room->part->partition->number, reason);
		return FALSE;
	}
	unit = MAX(unit, 1);

	for (guint i = 0; i < boot->entries->len; i++) {
		const DpsBootEntry *entry = boot->entries->pdata[i];
		const DpsBlsEntry *bls = entry->bls;
		uint64_t set;

		/* Profiles of one image are one set. */
		if (entry->part != room->part || bls->profile > 0 ||
		    bls->loader == DPS_BLS_LOADER_EFI || bls->loader == DPS_BLS_LOADER_UKI_URL)
			continue;
		set = size_of(room->part, bls->path, unit, seen, &room->used);
		for (guint j = 0; j < bls->initrds->len; j++)
			set += size_of(room->part, bls->initrds->pdata[j], unit, seen, &room->used);
		set += size_of(room->part, bls->devicetree, unit, seen, &room->used);
		for (guint j = 0; j < bls->devicetree_overlays->len; j++)
			set += size_of(room->part, bls->devicetree_overlays->pdata[j], unit, seen,
				       &room->used);
		for (guint j = 0; j < bls->extras->len; j++)
			set += size_of(room->part, bls->extras->pdata[j], unit, seen, &room->used);
		if (bls->loader == DPS_BLS_LOADER_UKI && bls->path)
			set += size_of_companions(room->part, bls->path, unit, seen, &room->used);
		count_set(room, set, entry->path);
	}
	/* The one that firmware starts itself: the next one has to fit beside it, too. */
	if (boot->chain == DPS_CHAIN_UKI && boot->loader && room->part == &boot->esp)
		count_set(room,
			  size_of(room->part, boot->loader->path, unit, seen, &room->used) +
				  size_of_companions(room->part, boot->loader->path, unit, seen,
						     &room->used),
			  boot->loader->path);
	return TRUE;
}

static void
check_esp_full(DpsCheck *check)
{
	Room room;

	if (!measure(check, &room))
		return;

	if (room.n > 0 && room.free_size < room.largest)
		dps_check_report_file(
			check, 0, room.part->partition->number, room.path,
			"remove old kernels, or make the partition larger",
			"%.1f MiB are free of %.1f, and the largest of %u kernels takes %.1f MiB: "
			"the next update does not fit beside it",
			in_mib(room.free_size), in_mib(room.size), room.n, in_mib(room.largest));
	else if (room.free_size < LEAST_FREE)
		dps_check_report(check, room.part->partition->number,
				 "remove what is not needed, or make the partition larger",
				 "%.1f MiB are free of %.1f: updates of boot loaders need 5 MB",
				 in_mib(room.free_size), in_mib(room.size));
}

static void
check_esp_small_for_kernels(DpsCheck *check)
{
	uint64_t wanted;
	Room room;

	if (!measure(check, &room) || room.n == 0)
		return;

	/* Kernels are hundreds of MiB at most; whoever keeps so many that this wraps has no room.
	 */
	wanted = check->keep_kernels > UINT64_MAX / room.largest
			 ? UINT64_MAX
			 : check->keep_kernels * room.largest;
	if (room.used + room.free_size < wanted)
		dps_check_report_file(
			check, 0, room.part->partition->number, room.path,
			"make the partition larger, or keep fewer kernels",
			"%u kernels of %.1f MiB need %.1f MiB, and there are %.1f (%.1f of kernels "
			"that are there, %.1f free)",
			check->keep_kernels, in_mib(room.largest), in_mib(wanted),
			in_mib(room.used + room.free_size), in_mib(room.used),
			in_mib(room.free_size));
	else if (room.part == &check->boot->esp && room.part->partition->size < ESP_FOR_KERNELS)
		dps_check_report_as(check, DPS_SEVERITY_INFO, room.part->partition->number, NULL,
				    "holds kernels and has %.0f MiB: the Boot Loader Specification "
				    "wants an XBOOTLDR partition beside an ESP below 1 GiB; %u "
				    "kernels of %.1f MiB fit",
				    in_mib(room.part->partition->size), check->keep_kernels,
				    in_mib(room.largest));
}

const DpsRule dps_rules_space[] = {
	{ "esp-full", DPS_SEVERITY_WARNING, check_esp_full },
	{ "esp-small-for-kernels", DPS_SEVERITY_WARNING, check_esp_small_for_kernels },
	{ NULL },
};
