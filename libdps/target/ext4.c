/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/ext4.h"
#include "ground/bytes.h"
#include "ground/error.h"

#include <errno.h>
#include <ext2fs/ext2fs.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

/*
 * ext2, ext3 and ext4 through libext2fs, over a region instead of a device.
 *
 * libext2fs finds its way through sound file systems.  What a broken one could make it do without
 * end is bounded here: the superblock is checked against the region before it is opened, each
 * question may read a bounded number of blocks, and names are looked up by a walk that counts.
 */

/* Linux Documentation/filesystems/ext4: the superblock is at 1024, and has 1024 bytes. */
#define SUPER_OFFSET 1024
#define SUPER_SIZE 1024
#define SUPER_MAGIC 0xEF53

/* Descriptors of block groups are kept in memory: enough for 16 TiB made by mke2fs. */
#define MAX_DESCRIPTORS_SIZE (UINT64_C(8) << 20)

/* Blocks that one question may read: a directory of 65536 names has some 5000. */
#define MAX_BLOCKS_A_QUESTION 65536

typedef struct {
	DpsRegion region;
	uint64_t budget; /* blocks that the question which is answered now may still read */
	GError *failure; /* of the region: why the last read failed */
	ext2_filsys fs;
} Ext4;

static Ext4 *
get_ext4(io_channel channel)
{
	return channel->private_data;
}

static errcode_t
io_set_block_size(io_channel channel, int block_size)
{
	channel->block_size = block_size;
	return 0;
}

/* @count: blocks; when it is negative, bytes (lib/ext2fs/ext2_io.h). */
static errcode_t
io_read_blocks_64(io_channel channel, unsigned long long block, int count, void *data)
{
	Ext4 *self = get_ext4(channel);
	const uint64_t block_size = (uint64_t)channel->block_size;
	const uint64_t size =
		count < 0 ? (uint64_t) - (int64_t)count : (uint64_t)count * block_size;
	const uint64_t n_blocks = size / block_size + 1;

	if (self->budget < n_blocks)
		return EXT2_ET_DIR_CORRUPTED;
	self->budget -= n_blocks;

	g_clear_error(&self->failure);
	if (block > UINT64_MAX / block_size)
		return EXT2_ET_BAD_BLOCK_NUM;
	if (!dps_region_read(&self->region, block * block_size, data, (size_t)size, &self->failure))
		return EXT2_ET_SHORT_READ;
	return 0;
}

static errcode_t
io_read_blocks(io_channel channel, unsigned long block, int count, void *data)
{
	return io_read_blocks_64(channel, block, count, data);
}

static errcode_t
io_write_blocks_64(io_channel channel, unsigned long long block, int count, const void *data)
{
	return EXT2_ET_RO_FILSYS;
}

static errcode_t
io_write_blocks(io_channel channel, unsigned long block, int count, const void *data)
{
	return EXT2_ET_RO_FILSYS;
}

static errcode_t
io_flush(io_channel channel)
{
	return 0;
}

static errcode_t
io_close(io_channel channel)
{
	if (--channel->refcount > 0)
		return 0;

	ext2fs_free_mem(&channel->name);
	ext2fs_free_mem(&channel);
	return 0;
}

static errcode_t io_open(const char *name, int flags, io_channel *out);

/* Not const: libext2fs wants it so, and writes nothing to it. */
static struct struct_io_manager region_manager = {
	.magic = EXT2_ET_MAGIC_IO_MANAGER,
	.name = "region",
	.open = io_open,
	.close = io_close,
	.set_blksize = io_set_block_size,
	.read_blk = io_read_blocks,
	.write_blk = io_write_blocks,
	.flush = io_flush,
	.read_blk64 = io_read_blocks_64,
	.write_blk64 = io_write_blocks_64,
};

/* All that libext2fs passes on to here is a name: ours is the address of the object. */
static errcode_t
io_open(const char *name, int flags, io_channel *out)
{
	io_channel channel = NULL;
	errcode_t failed;

	failed = ext2fs_get_memzero(sizeof(struct struct_io_channel), &channel);
	if (failed)
		return failed;
	failed = ext2fs_get_mem(strlen(name) + 1, &channel->name);
	if (failed) {
		ext2fs_free_mem(&channel);
		return failed;
	}

	memcpy(channel->name, name, strlen(name) + 1);
	channel->magic = EXT2_ET_MAGIC_IO_CHANNEL;
	channel->manager = &region_manager;
	channel->block_size = SUPER_SIZE;
	channel->refcount = 1;
	channel->private_data = (void *)(uintptr_t)g_ascii_strtoull(name, NULL, 16);
	*out = channel;
	return 0;
}

/* What libext2fs says, in our words: its own table of messages would be a global of the process. */
static gboolean
throw_ext2(Ext4 *self, GError **error, errcode_t code, const char *subject)
{
	if (code == EXT2_ET_SHORT_READ && self->failure) {
		if (error)
			*error = g_steal_pointer(&self->failure);
		dps_prefix_error(error, "%s: ", subject);
		return FALSE;
	}

	switch (code) {
	case EXT2_ET_FILE_NOT_FOUND:
		return dps_throw(error, DPS_ERROR_NOT_FOUND, "%s: no such file", subject);
	case EXT2_ET_UNSUPP_FEATURE:
	case EXT2_ET_RO_UNSUPP_FEATURE:
		return dps_throw(error, DPS_ERROR_UNSUPPORTED,
				 "%s: has features that libext2fs does not know", subject);
	case EXT2_ET_NO_MEMORY:
	case ENOMEM:
		return dps_throw(error, DPS_ERROR_UNSUPPORTED, "%s: out of memory", subject);
	default:
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "%s: damaged ext4 (error %ld of libext2fs): run fsck.ext4 -n",
				 subject, (long)code);
	}
}

static DpsFileInfo *
make_info(const char *name, int name_size, const struct ext2_inode *inode)
{
	DpsFileInfo *info = g_new0(DpsFileInfo, 1);

	info->is_name_damaged = !g_utf8_validate(name, name_size, NULL);
	info->name = g_utf8_make_valid(name, name_size);
	info->kind = LINUX_S_ISREG(inode->i_mode)   ? DPS_FILE_REGULAR
		     : LINUX_S_ISDIR(inode->i_mode) ? DPS_FILE_DIRECTORY
		     : LINUX_S_ISLNK(inode->i_mode) ? DPS_FILE_LINK
						    : DPS_FILE_OTHER;
	if (info->kind == DPS_FILE_REGULAR)
		info->size = EXT2_I_SIZE(inode);
	info->mode = inode->i_mode & 07777;
	return info;
}

static gboolean
read_inode(Ext4 *self, ext2_ino_t number, struct ext2_inode *inode, const char *path,
	   GError **error)
{
	errcode_t failed = ext2fs_read_inode(self->fs, number, inode);

	if (failed)
		return throw_ext2(self, error, failed, path);
	if (inode->i_links_count == 0)
		return dps_throw(error, DPS_ERROR_CORRUPT, "%s: leads to a deleted file", path);
	return TRUE;
}

/* A walk over one directory: to find one name, or to collect all. */
typedef struct {
	const char *wanted; /* NULL: all */
	ext2_ino_t found;
	GArray *numbers; /* (element-type ext2_ino_t) */
	GPtrArray *names;
	guint n_entries;
	gboolean too_many;
} Walk;

static int
walk_entry(ext2_ino_t dir, int entry, struct ext2_dir_entry *dirent, int offset, int block_size,
	   char *buffer, void *data)
{
	Walk *walk = data;
	const int size = ext2fs_dirent_name_len(dirent);

	/* Free places count as well: a directory of nothing else ends too. */
	if (++walk->n_entries > 4 * DPS_FILES_MAX_NAMES) {
		walk->too_many = TRUE;
		return DIRENT_ABORT;
	}
	if (dirent->inode == 0 || size == 0 || memchr(dirent->name, '/', (size_t)size) ||
	    (size == 1 && dirent->name[0] == '.') ||
	    (size == 2 && dirent->name[0] == '.' && dirent->name[1] == '.'))
		return 0;

	if (walk->wanted) {
		if (strlen(walk->wanted) != (size_t)size ||
		    memcmp(walk->wanted, dirent->name, (size_t)size) != 0)
			return 0;
		walk->found = dirent->inode;
		return DIRENT_ABORT;
	}

	if (walk->names->len >= DPS_FILES_MAX_NAMES) {
		walk->too_many = TRUE;
		return DIRENT_ABORT;
	}
	g_array_append_val(walk->numbers, dirent->inode);
	g_ptr_array_add(walk->names, g_strndup(dirent->name, (gsize)size));
	return 0;
}

static gboolean
walk_directory(Ext4 *self, ext2_ino_t number, Walk *walk, const char *path, GError **error)
{
	struct ext2_inode inode;
	errcode_t failed;

	if (!read_inode(self, number, &inode, path, error))
		return FALSE;
	if (!LINUX_S_ISDIR(inode.i_mode))
		return dps_throw(error, DPS_ERROR_NOT_FOUND, "%s: no such file", path);
	if (inode.i_flags & EXT4_ENCRYPT_FL)
		return dps_throw(error, DPS_ERROR_UNSUPPORTED, "%s: encrypted", path);

	failed = ext2fs_dir_iterate2(self->fs, number, DIRENT_FLAG_INCLUDE_EMPTY, NULL, walk_entry,
				     walk);
	if (walk->too_many)
		return dps_throw(error, DPS_ERROR_CORRUPT, "%s: more than %d names", path,
				 DPS_FILES_MAX_NAMES);
	if (failed && walk->found == 0)
		return throw_ext2(self, error, failed, path);
	return TRUE;
}

/* The inode at a clean path.  ext2fs_namei() would follow whatever it meets, and count nothing. */
static gboolean
find_inode(Ext4 *self, const char *path, ext2_ino_t *number, GError **error)
{
	g_auto(GStrv) parts = g_strsplit(path + 1, "/", -1);
	ext2_ino_t at = EXT2_ROOT_INO;

	self->budget = MAX_BLOCKS_A_QUESTION;
	for (guint i = 0; parts[i] && *parts[i]; i++) {
		Walk walk = { .wanted = parts[i] };

		if (!walk_directory(self, at, &walk, path, error))
			return FALSE;
		if (walk.found == 0)
			return dps_throw(error, DPS_ERROR_NOT_FOUND, "%s: no such file", path);
		at = walk.found;
	}
	*number = at;
	return TRUE;
}

static gboolean
find_file(Ext4 *self, const char *path, ext2_ino_t *number, struct ext2_inode *inode,
	  GError **error)
{
	return find_inode(self, path, number, error) &&
	       read_inode(self, *number, inode, path, error);
}

static DpsFileInfo *
ext4_stat(void *fs, const char *path, GError **error)
{
	struct ext2_inode inode;
	ext2_ino_t number;
	const char *name = strrchr(path, '/') + 1;

	if (!find_file(fs, path, &number, &inode, error))
		return NULL;

	return make_info(name, (int)strlen(name), &inode);
}

static GPtrArray *
ext4_list(void *fs, const char *path, GError **error)
{
	Ext4 *self = fs;
	g_autoptr(GArray) numbers = g_array_new(FALSE, FALSE, sizeof(ext2_ino_t));
	g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GPtrArray) infos = NULL;
	Walk walk = { .numbers = numbers, .names = names };
	ext2_ino_t directory;

	if (!find_inode(self, path, &directory, error) ||
	    !walk_directory(self, directory, &walk, path, error))
		return NULL;

	infos = g_ptr_array_new_with_free_func((GDestroyNotify)dps_file_info_free);
	for (guint i = 0; i < names->len; i++) {
		const char *name = g_ptr_array_index(names, i);
		struct ext2_inode inode;

		/* One inode each, from a table: the budget is for what can go round in circles. */
		self->budget = MAX_BLOCKS_A_QUESTION;
		if (!read_inode(self, g_array_index(numbers, ext2_ino_t, i), &inode, path, error))
			return NULL;
		g_ptr_array_add(infos, make_info(name, (int)strlen(name), &inode));
	}
	return g_steal_pointer(&infos);
}

typedef struct {
	Ext4 *fs;
	ext2_file_t file;
} OpenFile;

static gboolean
read_file(void *data, uint64_t offset, void *buffer, size_t size, GError **error)
{
	OpenFile *open = data;
	uint8_t *to = buffer;
	errcode_t failed;

	failed = ext2fs_file_llseek(open->file, offset, EXT2_SEEK_SET, NULL);
	while (!failed && size > 0) {
		const guint piece = (guint)MIN(size, 1U << 20);
		unsigned int got = 0;

		open->fs->budget = MAX_BLOCKS_A_QUESTION;
		failed = ext2fs_file_read(open->file, to, piece, &got);
		if (!failed && got == 0)
			return dps_throw(error, DPS_ERROR_CORRUPT,
					 "byte %" PRIu64 ": the file ends here", offset);
		to += got;
		offset += got;
		size -= got;
	}
	return failed ? throw_ext2(open->fs, error, failed, "read") : TRUE;
}

static gboolean
ext4_open(void *fs, const char *path, DpsRegion *region, void **handle, GError **error)
{
	Ext4 *self = fs;
	struct ext2_inode inode;
	ext2_ino_t number;
	OpenFile *open;
	errcode_t failed;
	ext2_file_t file;

	if (!find_file(self, path, &number, &inode, error))
		return FALSE;
	if (!LINUX_S_ISREG(inode.i_mode))
		return dps_throw(error, DPS_ERROR_INVALID, "%s: not a regular file", path);
	if (inode.i_flags & EXT4_ENCRYPT_FL)
		return dps_throw(error, DPS_ERROR_UNSUPPORTED, "%s: encrypted", path);
	failed = ext2fs_file_open(self->fs, number, 0, &file);
	if (failed)
		return throw_ext2(self, error, failed, path);

	open = g_new0(OpenFile, 1);
	open->fs = self;
	open->file = file;
	*region = dps_region_over_reader(read_file, open, EXT2_I_SIZE(&inode));
	*handle = open;
	return TRUE;
}

static void
ext4_close(void *handle)
{
	OpenFile *open = handle;

	ext2fs_file_close(open->file);
	g_free(open);
}

static char *
ext4_read_link(void *fs, const char *path, GError **error)
{
	Ext4 *self = fs;
	g_autofree char *target = NULL;
	struct ext2_inode inode;
	ext2_ino_t number;
	ext2_file_t file;
	unsigned int got = 0, size;
	errcode_t failed;

	if (!find_file(self, path, &number, &inode, error))
		return NULL;
	if (!LINUX_S_ISLNK(inode.i_mode))
		return dps_throw_null(error, DPS_ERROR_INVALID, "%s: not a link", path);
	if (inode.i_flags & EXT4_ENCRYPT_FL)
		return dps_throw_null(error, DPS_ERROR_UNSUPPORTED, "%s: encrypted", path);
	if (inode.i_size >= PATH_MAX)
		return dps_throw_null(error, DPS_ERROR_CORRUPT, "%s: a link of %u bytes", path,
				      inode.i_size);

	/* Short ones are kept in the inode, where the block numbers of longer ones are. */
	size = inode.i_size;
	if (ext2fs_is_fast_symlink(&inode))
		return g_strndup((const char *)inode.i_block, MIN(size, sizeof(inode.i_block)));

	target = g_malloc0((gsize)size + 1);
	failed = ext2fs_file_open(self->fs, number, 0, &file);
	if (failed) {
		throw_ext2(self, error, failed, path);
		return NULL;
	}
	failed = ext2fs_file_read(file, target, size, &got);
	ext2fs_file_close(file);
	if (failed || got != size) {
		throw_ext2(self, error, failed ? failed : EXT2_ET_SYMLINK_LOOP, path);
		return NULL;
	}
	return g_steal_pointer(&target);
}

static void
close_attributes(struct ext2_xattr_handle **handle)
{
	if (*handle)
		ext2fs_xattrs_close(handle);
}

static GBytes *
ext4_get_attribute(void *fs, const char *path, const char *name, GError **error)
{
	Ext4 *self = fs;
	__attribute__((cleanup(close_attributes))) struct ext2_xattr_handle *handle = NULL;
	ext2_ino_t number;
	errcode_t failed;
	GBytes *bytes;
	size_t size = 0;
	void *value = NULL;

	/* Such values have inodes of their own, and may be of any size. */
	if (ext2fs_has_feature_ea_inode(self->fs->super))
		return dps_throw_null(error, DPS_ERROR_UNSUPPORTED,
				      "%s: %s: not read from ext4 with ea_inode", path, name);
	if (!find_inode(self, path, &number, error))
		return NULL;

	failed = ext2fs_xattrs_open(self->fs, number, &handle);
	if (!failed)
		failed = ext2fs_xattrs_read(handle);
	if (!failed)
		failed = ext2fs_xattr_get(handle, name, &value, &size);
	if (failed == EXT2_ET_EA_KEY_NOT_FOUND)
		return dps_throw_null(error, DPS_ERROR_NOT_FOUND, "%s: %s: not set", path, name);
	if (failed) {
		throw_ext2(self, error, failed, path);
		return NULL;
	}

	bytes = g_bytes_new(value, size);
	ext2fs_free_mem(&value);
	return bytes;
}

static gboolean
ext4_get_space(void *fs, uint64_t *size, uint64_t *free_size, uint64_t *unit, GError **error)
{
	Ext4 *self = fs;
	const struct ext2_super_block *super = self->fs->super;
	const uint64_t block_size = self->fs->blocksize;
	uint64_t n_free = ext2fs_free_blocks_count((struct ext2_super_block *)super);
	uint64_t reserved = ext2fs_r_blocks_count((struct ext2_super_block *)super);

	*unit = block_size;
	*size = ext2fs_blocks_count((struct ext2_super_block *)super) * block_size;
	*free_size = (n_free > reserved ? n_free - reserved : 0) * block_size;
	return TRUE;
}

static void
ext4_free(void *fs)
{
	Ext4 *self = fs;

	if (self->fs)
		ext2fs_free(self->fs);
	g_clear_error(&self->failure);
	g_free(self);
}

static const DpsFilesClass ext4_class = {
	.type = "ext4",
	.stat = ext4_stat,
	.list = ext4_list,
	.open = ext4_open,
	.close = ext4_close,
	.read_link = ext4_read_link,
	.get_attribute = ext4_get_attribute,
	.get_space = ext4_get_space,
	.free = ext4_free,
};

/* What libext2fs will allocate by, held against what is there.  Offsets: as in ext2_fs.h. */
static gboolean
check_super(const DpsRegion *region, GError **error)
{
	uint8_t super[SUPER_SIZE];
	uint64_t n_blocks, block_size, per_group;
	guint log_size;

	if (!dps_region_read(region, SUPER_OFFSET, super, sizeof(super), error))
		return FALSE;
	if (dps_load_le16(super + 56) != SUPER_MAGIC)
		return dps_throw(error, DPS_ERROR_UNSUPPORTED, "superblock: not ext4");

	log_size = dps_load_le32(super + 24);
	if (log_size > 6) /* 64 KiB: EXT2_MAX_BLOCK_LOG_SIZE */
		return dps_throw(error, DPS_ERROR_CORRUPT, "superblock: block size 2^%u KiB",
				 log_size);

	/* The upper half counts only with the feature 64bit (0x80 of the incompatible ones). */
	block_size = UINT64_C(1024) << log_size;
	n_blocks = dps_load_le32(super + 4);
	if (dps_load_le32(super + 96) & 0x80)
		n_blocks |= (uint64_t)dps_load_le32(super + 336) << 32;
	per_group = dps_load_le32(super + 32);

	if (n_blocks > region->size / block_size)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "superblock: %" PRIu64 " blocks of %" PRIu64
				 " bytes: the partition has only %" PRIu64 " bytes",
				 n_blocks, block_size, region->size);
	if (per_group == 0 || n_blocks / per_group > MAX_DESCRIPTORS_SIZE / 64)
		return dps_throw(error, DPS_ERROR_UNSUPPORTED,
				 "superblock: %" PRIu64 " blocks in groups of %" PRIu64
				 ": too many groups",
				 n_blocks, per_group);
	return TRUE;
}

static const char *
describe_state(const struct ext2_super_block *super)
{
	if (ext2fs_has_feature_journal_needs_recovery((struct ext2_super_block *)super))
		return "is mounted, or was not unmounted: its journal is not replayed here, and "
		       "what is read may be older than what was last written";
	if (super->s_state & EXT2_ERROR_FS)
		return "had errors while it was mounted";
	if (!(super->s_state & EXT2_VALID_FS))
		return "is mounted, or was not unmounted cleanly";
	return NULL;
}

DpsFiles *
dps_ext4_open(const DpsRegion *region, GError **error)
{
	Ext4 *self;
	char name[32];
	errcode_t failed;

	if (!check_super(region, error))
		return NULL;

	self = g_new0(Ext4, 1);
	self->region = *region;
	/* The descriptors of all groups, and a few superblocks. */
	self->budget = 2 * MAX_DESCRIPTORS_SIZE / 1024 + 64;
	g_snprintf(name, sizeof(name), "%" PRIxPTR, (uintptr_t)self);
	failed = ext2fs_open(name, EXT2_FLAG_64BITS, 0, 0, &region_manager, &self->fs);
	if (failed) {
		throw_ext2(self, error, failed, "superblock");
		self->fs = NULL;
		ext4_free(self);
		return NULL;
	}
	return dps_files_new(&ext4_class, self, describe_state(self->fs->super));
}
