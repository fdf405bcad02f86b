/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/btrfs-internal.h"
#include "ground/error.h"

#include <inttypes.h>
#include <string.h>

/* struct btrfs_dir_item; the name and the data follow. */
#define DIR_ENTRY_SIZE 30

/* Keys */

int
dps_btrfs_key_compare(const DpsBtrfsKey *a, const DpsBtrfsKey *b)
{
	if (a->objectid != b->objectid)
		return a->objectid < b->objectid ? -1 : 1;
	if (a->type != b->type)
		return a->type < b->type ? -1 : 1;
	if (a->offset != b->offset)
		return a->offset < b->offset ? -1 : 1;
	return 0;
}

/* The least key behind @key; FALSE when @key is the last one there can be. */
static gboolean
key_successor(DpsBtrfsKey *key)
{
	if (key->offset < UINT64_MAX) {
		key->offset++;
		return TRUE;
	}
	key->offset = 0;
	if (key->type < UINT8_MAX) {
		key->type++;
		return TRUE;
	}
	key->type = 0;
	return ++key->objectid != 0;
}

/* Tree blocks */

static DpsBtrfsKey
node_key(const DpsBtrfsNode *node, uint32_t slot)
{
	return dps_btrfs_load_key(node->bytes + NODE_HEADER_SIZE +
				  (size_t)slot *
					  (node->level > 0 ? NODE_POINTER_SIZE : NODE_ITEM_SIZE));
}

static gboolean
verify_keys(const uint8_t *bytes, uint32_t n, size_t entry_size, uint64_t logical, GError **error)
{
	for (uint32_t i = 1; i < n; i++) {
		DpsBtrfsKey last =
			dps_btrfs_load_key(bytes + NODE_HEADER_SIZE + (i - 1) * entry_size);
		DpsBtrfsKey key = dps_btrfs_load_key(bytes + NODE_HEADER_SIZE + i * entry_size);

		if (dps_btrfs_key_compare(&last, &key) >= 0)
			return dps_throw(error, DPS_ERROR_CORRUPT,
					 "tree block %" PRIu64 ": keys out of order", logical);
	}
	return TRUE;
}

/* The data of each item lies behind the array of items and inside the block. */
static gboolean
verify_items(const uint8_t *bytes, uint32_t n, uint32_t node_size, uint64_t logical, GError **error)
{
	const uint32_t room = node_size - NODE_HEADER_SIZE;

	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *item = bytes + NODE_HEADER_SIZE + (size_t)i * NODE_ITEM_SIZE;
		uint32_t offset = dps_load_le32(item + NODE_KEY_SIZE);
		uint32_t size = dps_load_le32(item + NODE_KEY_SIZE + 4);

		if (offset < n * NODE_ITEM_SIZE || offset > room || size > room - offset)
			return dps_throw(error, DPS_ERROR_CORRUPT,
					 "tree block %" PRIu64 ": item %u outside of it", logical,
					 i);
	}
	return TRUE;
}

gboolean
dps_btrfs_fs_verify_node(DpsBtrfsFs *self, const uint8_t *bytes, uint64_t logical,
			 uint64_t generation, uint8_t level, GError **error)
{
	const uint32_t node_size = self->super.node_size;
	const size_t entry_size = level > 0 ? NODE_POINTER_SIZE : NODE_ITEM_SIZE;
	const uint32_t n = dps_load_le32(bytes + NODE_NRITEMS);
	gboolean fits;

	if (!dps_btrfs_checksum_fits(self->super.checksum, bytes, node_size, &fits, error)) {
		dps_prefix_error(error, "tree block %" PRIu64 ": ", logical);
		return FALSE;
	}
	if (!fits)
		return dps_throw(error, DPS_ERROR_CORRUPT, "tree block %" PRIu64 ": wrong checksum",
				 logical);
	if (dps_load_le64(bytes + NODE_BYTENR) != logical)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "tree block %" PRIu64 ": says that it is at %" PRIu64, logical,
				 dps_load_le64(bytes + NODE_BYTENR));
	if (memcmp(bytes + NODE_FSID, self->super.metadata_uuid, DPS_BTRFS_UUID_SIZE) != 0)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "tree block %" PRIu64 ": of another file system", logical);
	if (dps_load_le64(bytes + NODE_GENERATION) != generation)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "tree block %" PRIu64 ": generation %" PRIu64 " where %" PRIu64
				 " is wanted",
				 logical, dps_load_le64(bytes + NODE_GENERATION), generation);
	if (bytes[NODE_LEVEL] != level)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "tree block %" PRIu64 ": level %u where %u is wanted", logical,
				 bytes[NODE_LEVEL], level);
	/* Only a tree that is one leaf may be empty. */
	if (n > (node_size - NODE_HEADER_SIZE) / entry_size || (n == 0 && level > 0))
		return dps_throw(error, DPS_ERROR_CORRUPT, "tree block %" PRIu64 ": %u items",
				 logical, n);

	return verify_keys(bytes, n, entry_size, logical, error) &&
	       (level > 0 || verify_items(bytes, n, node_size, logical, error));
}

void
dps_btrfs_node_unref(DpsBtrfsNode *node)
{
	if (node)
		g_rc_box_release(node);
}

void
dps_btrfs_item_clear(DpsBtrfsItem *item)
{
	dps_btrfs_node_unref(item->node);
	*item = (DpsBtrfsItem){ NULL };
}

static DpsBtrfsNode *
find_in_cache(DpsBtrfsFs *self, uint64_t logical, uint64_t generation, uint8_t level)
{
	for (guint i = 0; i < self->n_nodes; i++) {
		DpsBtrfsNode *node = self->nodes[i];

		if (node->logical == logical && node->generation == generation &&
		    node->level == level)
			return g_rc_box_acquire(node);
	}
	return NULL;
}

static void
put_in_cache(DpsBtrfsFs *self, DpsBtrfsNode *node)
{
	dps_btrfs_node_unref(self->nodes[self->next_node]);
	self->nodes[self->next_node] = g_rc_box_acquire(node);
	self->next_node = (self->next_node + 1) % self->max_nodes;
	self->n_nodes = MIN(self->n_nodes + 1, self->max_nodes);
}

/* Takes the first of its copies that is good; when none is, says what is wrong with the first. */
static gboolean
read_good_copy(DpsBtrfsFs *self, DpsBtrfsNode *node, gboolean only_system, GError **error)
{
	const uint32_t size = self->super.node_size;
	uint64_t places[DPS_BTRFS_MAX_COPIES];
	g_autoptr(GError) first_error = NULL;
	guint n_places;

	if (!dps_btrfs_fs_map_in(self, node->logical, size, only_system, places, &n_places, error))
		return FALSE;

	for (guint i = 0; i < n_places; i++) {
		GError **why = first_error ? NULL : &first_error;

		if (self->bytes_left < size)
			return dps_throw(error, DPS_ERROR_UNSUPPORTED,
					 "metadata: more than %" PRIu64 " MiB to read",
					 MAX_BYTES_READ >> 20);
		self->bytes_left -= size;
		if (dps_region_read(&self->region, places[i], node->bytes, size, why) &&
		    dps_btrfs_fs_verify_node(self, node->bytes, node->logical, node->generation,
					     node->level, why))
			return TRUE;
	}
	g_propagate_error(error, g_steal_pointer(&first_error));
	return FALSE;
}

static DpsBtrfsNode *
read_node(DpsBtrfsFs *self, uint64_t logical, uint64_t generation, uint8_t level,
	  gboolean only_system, GError **error)
{
	g_autoptr(DpsBtrfsNode) node = find_in_cache(self, logical, generation, level);

	if (self->visits_left-- == 0) {
		self->visits_left = 0;
		return dps_throw_null(error, DPS_ERROR_UNSUPPORTED,
				      "metadata: too much of it to look through");
	}
	if (node)
		return g_steal_pointer(&node);

	node = g_rc_box_alloc(sizeof(DpsBtrfsNode) + self->super.node_size);
	node->logical = logical;
	node->generation = generation;
	node->level = level;
	if (!read_good_copy(self, node, only_system, error))
		return NULL;

	node->n = dps_load_le32(node->bytes + NODE_NRITEMS);
	put_in_cache(self, node);
	return g_steal_pointer(&node);
}

/* Search */

/* How many of the keys of @node are at most @key. */
static uint32_t
count_up_to(const DpsBtrfsNode *node, const DpsBtrfsKey *key)
{
	uint32_t low = 0, high = node->n;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		DpsBtrfsKey there = node_key(node, middle);

		if (dps_btrfs_key_compare(&there, key) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/*
 * The leaf where @key is or would be.  @next is the first key behind that leaf, if there is more.
 * Levels fall by one at each step, as read_node() verifies, so that this ends after eight.
 */
static DpsBtrfsNode *
find_leaf(DpsBtrfsFs *self, const DpsBtrfsRoot *root, const DpsBtrfsKey *key, DpsBtrfsKey *next,
	  gboolean *has_next, GError **error)
{
	const gboolean only_system = root == &self->chunk_tree;
	g_autoptr(DpsBtrfsNode) node = NULL;

	*has_next = FALSE;
	if (root->level > MAX_LEVEL)
		return dps_throw_null(error, DPS_ERROR_CORRUPT, "tree block %" PRIu64 ": level %u",
				      root->logical, root->level);

	node = read_node(self, root->logical, root->generation, root->level, only_system, error);
	while (node && node->level > 0) {
		uint32_t after = count_up_to(node, key);
		uint32_t slot = after > 0 ? after - 1 : 0;
		const uint8_t *pointer =
			node->bytes + NODE_HEADER_SIZE + (size_t)slot * NODE_POINTER_SIZE;
		DpsBtrfsKey wanted = dps_btrfs_load_key(pointer), first;
		g_autoptr(DpsBtrfsNode) child = NULL;

		if (slot + 1 < node->n) {
			*next = node_key(node, slot + 1);
			*has_next = TRUE;
		}
		child = read_node(self, dps_load_le64(pointer + NODE_KEY_SIZE),
				  dps_load_le64(pointer + NODE_KEY_SIZE + 8),
				  (uint8_t)(node->level - 1), only_system, error);
		if (!child)
			return NULL;
		/* The kernel's btrfs_verify_level_key(): no block can be at two places of a tree.
		 */
		if (child->n == 0 ||
		    (first = node_key(child, 0), dps_btrfs_key_compare(&first, &wanted) != 0))
			return dps_throw_null(error, DPS_ERROR_CORRUPT,
					      "tree block %" PRIu64
					      ": its first key is not what its parent says",
					      child->logical);
		dps_btrfs_node_unref(node);
		node = g_steal_pointer(&child);
	}
	return g_steal_pointer(&node);
}

static void
set_item(DpsBtrfsItem *out, DpsBtrfsNode *leaf, uint32_t slot)
{
	const uint8_t *item = leaf->bytes + NODE_HEADER_SIZE + (size_t)slot * NODE_ITEM_SIZE;
	DpsBtrfsNode *old = out->node;

	out->node = g_rc_box_acquire(leaf);
	out->key = dps_btrfs_load_key(item);
	out->offset = NODE_HEADER_SIZE + dps_load_le32(item + NODE_KEY_SIZE);
	out->size = dps_load_le32(item + NODE_KEY_SIZE + 4);
	out->data = leaf->bytes + out->offset;
	out->slot = slot;
	dps_btrfs_node_unref(old);
}

gboolean
dps_btrfs_fs_search(DpsBtrfsFs *self, const DpsBtrfsRoot *root, const DpsBtrfsKey *from,
		    DpsBtrfsItem *out, GError **error)
{
	DpsBtrfsKey key = *from, next;
	gboolean has_next;

	do {
		g_autoptr(DpsBtrfsNode) leaf = find_leaf(self, root, &key, &next, &has_next, error);
		uint32_t slot;

		if (!leaf)
			return FALSE;
		slot = count_up_to(leaf, &key);
		if (slot > 0) {
			DpsBtrfsKey before = node_key(leaf, slot - 1);

			if (dps_btrfs_key_compare(&before, &key) == 0)
				slot--;
		}
		if (slot < leaf->n) {
			set_item(out, leaf, slot);
			return TRUE;
		}
		key = next; /* greater than what was looked for: this ends */
	} while (has_next);

	dps_btrfs_item_clear(out);
	return TRUE;
}

gboolean
dps_btrfs_fs_search_floor(DpsBtrfsFs *self, const DpsBtrfsRoot *root, const DpsBtrfsKey *key,
			  DpsBtrfsItem *out, GError **error)
{
	DpsBtrfsKey next;
	gboolean has_next;
	g_autoptr(DpsBtrfsNode) leaf = find_leaf(self, root, key, &next, &has_next, error);
	uint32_t after;

	if (!leaf)
		return FALSE;

	after = count_up_to(leaf, key);
	if (after > 0)
		set_item(out, leaf, after - 1);
	else
		dps_btrfs_item_clear(out);
	return TRUE;
}

gboolean
dps_btrfs_fs_next(DpsBtrfsFs *self, const DpsBtrfsRoot *root, DpsBtrfsItem *item, GError **error)
{
	DpsBtrfsKey key = item->key;

	if (item->slot + 1 < item->node->n) {
		set_item(item, item->node, item->slot + 1);
		return TRUE;
	}
	if (!key_successor(&key)) {
		dps_btrfs_item_clear(item);
		return TRUE;
	}
	return dps_btrfs_fs_search(self, root, &key, item, error);
}

gboolean
dps_btrfs_fs_lookup(DpsBtrfsFs *self, const DpsBtrfsRoot *root, const DpsBtrfsKey *key,
		    DpsBtrfsItem *out, GError **error)
{
	g_auto(DpsBtrfsItem) item = { NULL };

	if (!dps_btrfs_fs_search(self, root, key, &item, error))
		return FALSE;
	if (!item.node || dps_btrfs_key_compare(&item.key, key) != 0)
		return dps_throw(error, DPS_ERROR_NOT_FOUND,
				 "item (%" PRIu64 " %u %" PRIu64 "): there is none", key->objectid,
				 key->type, key->offset);

	dps_btrfs_item_clear(out);
	*out = item;
	item.node = NULL;
	return TRUE;
}

/* Directories */

gboolean
dps_btrfs_is_name(const uint8_t *name, size_t size)
{
	return size > 0 && !memchr(name, '/', size);
}

gboolean
dps_btrfs_item_next_entry(const DpsBtrfsItem *item, uint32_t *at, DpsBtrfsDirEntry *entry,
			  GError **error)
{
	const uint8_t *p = item->data + *at;
	uint32_t left = item->size - *at, used;
	DpsBtrfsDirEntry found;

	if (left == 0)
		return FALSE;
	if (left < DIR_ENTRY_SIZE)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "directory item (%" PRIu64 " %u %" PRIu64 "): cut short",
				 item->key.objectid, item->key.type, item->key.offset);

	found = (DpsBtrfsDirEntry){
		.location = dps_btrfs_load_key(p),
		.transid = dps_load_le64(p + 17),
		.data_size = dps_load_le16(p + 25),
		.name_size = dps_load_le16(p + 27),
		.type = p[29],
		.offset = *at,
	};
	used = (uint32_t)DIR_ENTRY_SIZE + found.name_size + found.data_size;
	if (used > left)
		return dps_throw(error, DPS_ERROR_CORRUPT,
				 "directory item (%" PRIu64 " %u %" PRIu64 "): cut short",
				 item->key.objectid, item->key.type, item->key.offset);

	found.name = p + DIR_ENTRY_SIZE;
	found.data = found.name + found.name_size;
	*at += used;
	*entry = found;
	return TRUE;
}

gboolean
dps_btrfs_fs_find_entry(DpsBtrfsFs *self, const DpsBtrfsRoot *root, uint64_t dir, const void *name,
			size_t name_size, DpsBtrfsItem *item, DpsBtrfsDirEntry *entry,
			GError **error)
{
	/* btrfs_name_hash(): the register starts at ~1, and is not inverted at the end. */
	DpsBtrfsKey key = { dir, DPS_BTRFS_DIR_ITEM, dps_crc32c_feed(~1u, name, name_size) };
	g_auto(DpsBtrfsItem) found = { NULL };
	g_autoptr(GError) entry_error = NULL;
	uint32_t at = 0;

	if (!dps_btrfs_fs_search(self, root, &key, &found, error))
		return FALSE;

	dps_btrfs_item_clear(item);
	if (!found.node || dps_btrfs_key_compare(&found.key, &key) != 0)
		return TRUE;

	/* Names with the same hash share an item. */
	while (dps_btrfs_item_next_entry(&found, &at, entry, &entry_error)) {
		if (entry->name_size != name_size || memcmp(entry->name, name, name_size) != 0)
			continue;
		*item = found;
		found.node = NULL;
		return TRUE;
	}
	if (entry_error) {
		g_propagate_error(error, g_steal_pointer(&entry_error));
		return FALSE;
	}
	return TRUE;
}
