/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/blockdev.h"
#include "ground/error.h"
#include "target/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/*
 * The kernel refuses stacks that need more than a few levels of its stack itself; what is deeper
 * than this is a loop.
 */
#define MAX_DEPTH 16

/* Devices looked at for one question: a volume group over a hundred disks has fewer. */
#define MAX_VISITS 4096

const DpsSystem dps_system = { .sysfs = "/sys", .proc = "/proc", .dev = "/dev" };

void
dps_backing_free(DpsBacking *backing)
{
	if (!backing)
		return;

	g_free(backing->disk_node);
	g_free(backing->layer_name);
	g_free(backing->file);
	g_free(backing);
}

/* Returns: one attribute, without the newlines at its end, NULL when it is not there. */
static char *
read_attribute(int dir, const char *name)
{
	char *text = dps_fd_read_text(dir, name);
	size_t size = text ? strlen(text) : 0;

	while (size > 0 && text[size - 1] == '\n')
		text[--size] = '\0';
	return text;
}

/* "8:1", and nothing behind it. */
static gboolean
parse_number(const char *text, dev_t *device)
{
	g_auto(GStrv) parts = g_strsplit(text, ":", 2);
	guint64 major_number, minor_number;

	/* The kernel's dev_t has 12 bits for the major and 20 for the minor number. */
	if (g_strv_length(parts) != 2 ||
	    !g_ascii_string_to_unsigned(parts[0], 10, 0, 0xfff, &major_number, NULL) ||
	    !g_ascii_string_to_unsigned(parts[1], 10, 0, 0xfffff, &minor_number, NULL))
		return FALSE;

	*device = makedev((unsigned int)major_number, (unsigned int)minor_number);
	return TRUE;
}

static gboolean
read_number(int dir, const char *name, dev_t *device)
{
	g_autofree char *text = read_attribute(dir, name);

	return text && parse_number(text, device);
}

/* Returns: the partition's number as the kernel has it, 0 when the device is no partition. */
static guint
read_partition_number(int dir)
{
	g_autofree char *text = read_attribute(dir, "partition");
	guint64 number;

	if (!text || !g_ascii_string_to_unsigned(text, 10, 1, G_MAXINT32, &number, NULL))
		return 0;

	return (guint)number;
}

/* Returns: a descriptor of the device's directory in sysfs, -1 when it has none. */
static int
open_device(const DpsSystem *system, dev_t device)
{
	g_autofree char *path =
		g_strdup_printf("%s/dev/block/%u:%u", system->sysfs, major(device), minor(device));

	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Calls @visit with each directory in @name of @dir until it returns FALSE. */
static void
for_each_directory(int dir, const char *name, gboolean (*visit)(int child, void *data), void *data)
{
	g_autoptr(DpsDirStream) entries = NULL;
	struct dirent *entry;
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;

	entries = fdopendir(fd);
	if (!entries) {
		close(fd);
		return;
	}

	while ((entry = readdir(entries))) {
		g_auto(DpsFd) child = -1;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;

		child = openat(dirfd(entries), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (child >= 0 && !visit(child, data))
			return;
	}
}

static gboolean
add_number(int child, void *data)
{
	GArray *numbers = data;
	dev_t device;

	if (read_number(child, "dev", &device))
		g_array_append_val(numbers, device);
	return numbers->len < MAX_VISITS;
}

static int
compare_numbers(gconstpointer a, gconstpointer b)
{
	const dev_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Returns: (transfer full): the devices in "slaves" or "holders" of @dir, by number. */
static GArray *
list_devices(int dir, const char *name)
{
	GArray *numbers = g_array_new(FALSE, FALSE, sizeof(dev_t));

	for_each_directory(dir, name, add_number, numbers);
	g_array_sort(numbers, compare_numbers); /* the order of a directory is nobody's promise */
	return numbers;
}

/* The name of the device's node, below the directory of nodes. */
static char *
read_node_name(int dir)
{
	g_autofree char *dm_name = read_attribute(dir, "dm/name");
	g_autofree char *uevent = NULL;
	g_auto(GStrv) lines = NULL;

	/* What people know of device-mapper is the name; the kernel's own is dm-3. */
	if (dm_name && *dm_name)
		return g_strconcat("mapper/", dm_name, NULL);

	uevent = read_attribute(dir, "uevent");
	if (!uevent)
		return NULL;

	lines = g_strsplit(uevent, "\n", -1);
	for (char **line = lines; *line; line++)
		if (g_str_has_prefix(*line, "DEVNAME="))
			return g_strdup(*line + strlen("DEVNAME="));
	return NULL;
}

gboolean
dps_blockdev_find_node(const DpsSystem *system, const char *path, dev_t *device)
{
	g_autofree char *file = NULL;
	struct stat st;

	if (!g_str_has_prefix(path, "/dev/"))
		return FALSE;

	file = g_build_filename(system->dev, path + strlen("/dev/"), NULL);
	if (system->is_made_up)
		return read_number(AT_FDCWD, file, device);

	if (stat(file, &st) < 0 || !S_ISBLK(st.st_mode))
		return FALSE;

	*device = st.st_rdev;
	return TRUE;
}

/* Returns: "/dev/NAME" when that is this device, else NULL. */
static char *
check_node(const DpsSystem *system, const char *name, dev_t device)
{
	g_autofree char *node = NULL;
	dev_t found;

	if (!name || !*name)
		return NULL;

	node = g_build_filename("/dev", name, NULL);
	if (!dps_blockdev_find_node(system, node, &found) || found != device)
		return NULL;

	return g_steal_pointer(&node);
}

static char *
get_node_in(const DpsSystem *system, int dir, dev_t device)
{
	g_autofree char *name = read_node_name(dir);
	char *node = check_node(system, name, device);

	/* Without udev /dev/mapper may be empty, and the kernel's own node be there. */
	if (!node && name && g_str_has_prefix(name, "mapper/")) {
		g_autofree char *kernel_name = g_strdup_printf("dm-%u", minor(device));

		node = check_node(system, kernel_name, device);
	}
	return node;
}

char *
dps_blockdev_get_node(const DpsSystem *system, dev_t device)
{
	g_auto(DpsFd) dir = open_device(system, device);

	return dir < 0 ? NULL : get_node_in(system, dir, device);
}

char *
dps_blockdev_get_whole_file(const DpsSystem *system, dev_t device)
{
	g_auto(DpsFd) dir = open_device(system, device);
	g_autofree char *offset = dir >= 0 ? read_attribute(dir, "loop/offset") : NULL;

	return g_strcmp0(offset, "0") == 0 ? read_attribute(dir, "loop/backing_file") : NULL;
}

gboolean
dps_blockdev_is_zram(const DpsSystem *system, dev_t device)
{
	g_auto(DpsFd) dir = open_device(system, device);

	/* Documentation/admin-guide/blockdev/zram.rst: the one driver with this attribute. */
	return dir >= 0 && faccessat(dir, "comp_algorithm", F_OK, 0) == 0;
}

/*
 * What a device-mapper device is, by the prefix of its uuid that says who made it: "CRYPT-" by
 * libcryptsetup, "LVM-" by LVM, "mpath-" by multipath-tools, "partN-" by kpartx and libparted,
 * "DMRAID-" by dmraid.  (uuid prefixes are libdevmapper's convention, see dm_task_set_uuid().)
 */
/* clang-format off */
static const struct {
	const char *prefix;
	DpsLayers layer;
	const char *name; /* for messages */
} mappers[] = {
	{ "CRYPT-VERITY-", DPS_LAYER_VERITY, "verity volume" },
	{ "CRYPT-LUKS1-", DPS_LAYER_LUKS, "LUKS volume" },
	{ "CRYPT-LUKS2-", DPS_LAYER_LUKS, "LUKS volume" },
	{ "CRYPT-SUBDEV-", DPS_LAYER_LUKS, "LUKS volume" }, /* dm-integrity below LUKS2 */
	{ "CRYPT-", DPS_LAYER_OTHER, "encrypted volume" }, /* plain, BitLocker, … : no header that systemd finds */
	{ "LVM-", DPS_LAYER_LVM, "LVM volume" },
	{ "DMRAID-", DPS_LAYER_RAID, "RAID set" },
	{ "", DPS_LAYER_OTHER, "device-mapper volume" },
};
/* clang-format on */

/* "part3-mpath-3600…" is number 3; anything else is 0. */
static guint
parse_mapped_partition(const char *dm_uuid)
{
	const char *digits, *end;
	guint number = 0;

	if (!g_str_has_prefix(dm_uuid, "part"))
		return 0;

	digits = dm_uuid + strlen("part");
	for (end = digits; g_ascii_isdigit(*end) && number < 100000; end++)
		number = number * 10 + (guint)(*end - '0');

	return end > digits && *end == '-' ? number : 0;
}

typedef struct {
	const DpsSystem *system;
	GPtrArray *backings;
	guint visits;
} Walk;

/* The layers above the device that the walk has come to. */
typedef struct {
	DpsLayers layers;
	const char *name; /* of the topmost */
	guint depth;
} Above;

static gboolean walk_device(Walk *walk, dev_t device, Above above, GError **error);

static gboolean
has_backing(GPtrArray *backings, const DpsBacking *wanted)
{
	for (guint i = 0; i < backings->len; i++) {
		const DpsBacking *backing = backings->pdata[i];

		if (backing->disk == wanted->disk && backing->partition == wanted->partition &&
		    backing->layers == wanted->layers)
			return TRUE;
	}
	return FALSE;
}

/* Two volumes of one group may stand on the same partition: it is told once. */
static void
add_backing(Walk *walk, DpsBacking backing, int disk_dir, const Above *above)
{
	DpsBacking *copy;

	backing.layers |= above->layers;
	if (has_backing(walk->backings, &backing)) {
		g_free(backing.file);
		return;
	}

	copy = g_new(DpsBacking, 1);
	*copy = backing;
	copy->disk_node = get_node_in(walk->system, disk_dir, backing.disk);
	copy->layer_name = g_strdup(above->name);
	g_ptr_array_add(walk->backings, copy);
}

/* Recursion, bounded by MAX_DEPTH and MAX_VISITS: walk_device(). */
/* NOLINTBEGIN(misc-no-recursion) */

static gboolean
walk_slaves(Walk *walk, GArray *slaves, Above above, DpsLayers layer, const char *name,
	    GError **error)
{
	above.layers |= layer;
	above.depth++;
	if (!above.name)
		above.name = name;

	for (guint i = 0; i < slaves->len; i++)
		if (!walk_device(walk, g_array_index(slaves, dev_t, i), above, error))
			return FALSE;
	return TRUE;
}

/* A partition that the kernel made: its directory is in that of its disk. */
static gboolean
walk_partition(Walk *walk, int dir, dev_t device, guint number, const Above *above, GError **error)
{
	g_auto(DpsFd) parent = openat(dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dev_t disk;

	if (parent < 0 || !read_number(parent, "dev", &disk))
		return dps_throw(error, DPS_ERROR_NOT_FOUND,
				 "block device %u:%u: its disk is not in sysfs", major(device),
				 minor(device));

	add_backing(walk, (DpsBacking){ .disk = disk, .partition = device, .number = number },
		    parent, above);
	return TRUE;
}

static gboolean
is_multipath(int dir)
{
	g_autofree char *dm_uuid = read_attribute(dir, "dm/uuid");

	return dm_uuid && g_str_has_prefix(dm_uuid, "mpath-");
}

/*
 * A partition that kpartx or libparted made of device-mapper: its one slave is the disk, whatever
 * that is: multipath, a loop device, an image behind LVM.  Returns: whether it is one.
 */
static gboolean
walk_mapped_partition(Walk *walk, GArray *slaves, dev_t device, guint number, const Above *above)
{
	g_auto(DpsFd) disk_dir = -1;
	dev_t disk;

	if (number == 0 || slaves->len != 1)
		return FALSE;

	disk = g_array_index(slaves, dev_t, 0);
	disk_dir = open_device(walk->system, disk);
	if (disk_dir < 0 || read_partition_number(disk_dir) != 0)
		return FALSE;

	add_backing(walk,
		    (DpsBacking){ .disk = disk,
				  .partition = device,
				  .number = number,
				  .layers = is_multipath(disk_dir) ? DPS_LAYER_MULTIPATH
								   : DPS_LAYER_NONE },
		    disk_dir, above);
	return TRUE;
}

static gboolean
walk_mapper(Walk *walk, int dir, dev_t device, const char *dm_uuid, Above above, GError **error)
{
	g_autoptr(GArray) slaves = list_devices(dir, "slaves");
	g_autofree char *dm_name = read_attribute(dir, "dm/name");
	g_autofree char *name = NULL;
	guint kind = 0;

	if (g_str_has_prefix(dm_uuid, "mpath-")) {
		add_backing(walk, (DpsBacking){ .disk = device, .layers = DPS_LAYER_MULTIPATH },
			    dir, &above);
		return TRUE;
	}

	if (walk_mapped_partition(walk, slaves, device, parse_mapped_partition(dm_uuid), &above))
		return TRUE;

	while (!g_str_has_prefix(dm_uuid, mappers[kind].prefix))
		kind++; /* the last row's prefix is every string's */
	name = g_strdup_printf("%s %s", mappers[kind].name, dm_name ? dm_name : "without a name");

	/* The targets "zero" and "error" stand on nothing. */
	if (slaves->len == 0) {
		above.layers |= mappers[kind].layer;
		if (!above.name)
			above.name = name;
		add_backing(walk, (DpsBacking){ .disk = device }, dir, &above);
		return TRUE;
	}

	return walk_slaves(walk, slaves, above, mappers[kind].layer, name, error);
}

/*
 * A loop device over all of a file is a disk; over a part of one it is what osbuild and others have
 * for a partition, and the disk is the file.
 */
static void
walk_whole_disk(Walk *walk, int dir, dev_t device, const Above *above)
{
	g_autofree char *file = read_attribute(dir, "loop/backing_file");
	g_autofree char *offset = read_attribute(dir, "loop/offset");
	DpsBacking backing = { .disk = device };
	guint64 bytes;

	if (file && offset && g_ascii_string_to_unsigned(offset, 10, 1, INT64_MAX, &bytes, NULL)) {
		backing.file = g_steal_pointer(&file);
		backing.file_offset = bytes;
	}
	add_backing(walk, backing, dir, above);
}

static gboolean
walk_device(Walk *walk, dev_t device, Above above, GError **error)
{
	g_auto(DpsFd) dir = -1;
	g_autofree char *dm_uuid = NULL;
	g_autoptr(GArray) slaves = NULL;
	g_autofree char *node_name = NULL;
	g_autofree char *name = NULL;
	guint number;

	if (above.depth > MAX_DEPTH || ++walk->visits > MAX_VISITS)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "block device %u:%u: sysfs leads from it in a circle",
				 major(device), minor(device));

	dir = open_device(walk->system, device);
	if (dir < 0)
		return dps_throw_errno(error, errno, "block device %u:%u: in sysfs", major(device),
				       minor(device));

	number = read_partition_number(dir);
	if (number > 0)
		return walk_partition(walk, dir, device, number, &above, error);

	dm_uuid = read_attribute(dir, "dm/uuid");
	if (dm_uuid)
		return walk_mapper(walk, dir, device, dm_uuid, above, error);

	slaves = list_devices(dir, "slaves");
	if (slaves->len == 0) {
		walk_whole_disk(walk, dir, device, &above);
		return TRUE;
	}

	node_name = read_node_name(dir);
	if (faccessat(dir, "md", F_OK, 0) == 0) {
		name = g_strdup_printf("RAID array %s", node_name ? node_name : "without a name");
		return walk_slaves(walk, slaves, above, DPS_LAYER_RAID, name, error);
	}

	name = g_strdup_printf("device %s", node_name ? node_name : "without a name"); /* bcache */
	return walk_slaves(walk, slaves, above, DPS_LAYER_OTHER, name, error);
}
/* NOLINTEND(misc-no-recursion) */

GPtrArray *
dps_blockdev_resolve(const DpsSystem *system, dev_t device, GError **error)
{
	g_autoptr(GPtrArray) backings =
		g_ptr_array_new_with_free_func((GDestroyNotify)dps_backing_free);
	Walk walk = { .system = system, .backings = backings };

	if (!walk_device(&walk, device, (Above){ .depth = 0 }, error))
		return NULL;

	return g_steal_pointer(&backings);
}

typedef struct {
	guint number;	 /* wanted, */
	gboolean mapped; /* among device-mapper's partitions, */
	dev_t device;	 /* and found; 0 when not */
} PartitionSearch;

static gboolean
match_partition(int child, void *data)
{
	PartitionSearch *search = data;
	g_autofree char *dm_uuid = NULL;
	dev_t device;
	guint number;

	if (search->mapped) {
		dm_uuid = read_attribute(child, "dm/uuid");
		number = dm_uuid ? parse_mapped_partition(dm_uuid) : 0;
	} else {
		number = read_partition_number(child);
	}

	if (number != search->number || !read_number(child, "dev", &device))
		return TRUE;

	search->device = device;
	return FALSE;
}

gboolean
dps_blockdev_get_partition(const DpsSystem *system, dev_t disk, guint number, dev_t *device,
			   char **node)
{
	PartitionSearch search = { .number = number };
	g_auto(DpsFd) dir = open_device(system, disk);

	if (dir < 0 || number == 0)
		return FALSE;

	for_each_directory(dir, ".", match_partition, &search);
	if (search.device == 0) {
		search.mapped = TRUE;
		for_each_directory(dir, "holders", match_partition, &search);
	}
	if (search.device == 0)
		return FALSE;

	*device = search.device;
	*node = dps_blockdev_get_node(system, search.device);
	return TRUE;
}
