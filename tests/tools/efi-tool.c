/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/bls.h"
#include "format/loader-conf.h"
#include "format/verity.h"
#include "ground/derive.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * What the readers of boot files say, as JSON, for tests that ask other tools the same:
 *
 *	efi-tool uki FILE	headers, sections, problems, meaning
 *	efi-tool list DIR	the boot entries of an ESP, hidden or not, in the order of the menu;
 *				DIR,DIR: and of an XBOOTLDR
 *	efi-tool verity FILE	a superblock and the root hash above it
 *	efi-tool var ID		the UUID of the var partition
 */

static DpsRegion
open_region(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0)
		g_error("%s: cannot be opened", path);
	return dps_region_over_fd(fd, 0, (uint64_t)st.st_size);
}

static json_t *
text(const char *string)
{
	return string ? json_string(string) : json_null();
}

static const char *
name_builder(DpsEfiBuilder builder)
{
	static const char *const names[] = {
		[DPS_EFI_BUILDER_UNKNOWN] = "an EFI program",
		[DPS_EFI_BUILDER_SYSTEMD_BOOT] = "systemd-boot",
		[DPS_EFI_BUILDER_SYSTEMD_STUB] = "systemd-stub",
		[DPS_EFI_BUILDER_SYSTEMD_ADDON] = "systemd-addon",
		[DPS_EFI_BUILDER_SHIM] = "shim",
		[DPS_EFI_BUILDER_SHIM_FALLBACK] = "shim's fallback",
		[DPS_EFI_BUILDER_MOK_MANAGER] = "MokManager",
		[DPS_EFI_BUILDER_GRUB] = "GRUB",
		[DPS_EFI_BUILDER_FWUPD] = "fwupd",
		[DPS_EFI_BUILDER_LINUX] = "a Linux kernel",
	};

	return (guint)builder < G_N_ELEMENTS(names) ? names[builder] : names[0];
}

static json_t *
describe_uki(const char *path)
{
	DpsRegion region = open_region(path);
	g_auto(DpsUki) uki = { 0 };
	g_autoptr(GError) error = NULL;
	json_t *sections = json_array(), *problems = json_array(), *out;

	if (!dps_uki_read(&region, &uki, &error)) {
		json_decref(sections);
		json_decref(problems);
		return json_pack("{s:s}", "error", error->message);
	}
	for (guint i = 0; i < uki.pe.n_sections; i++) {
		const DpsPeSection *s = &uki.pe.sections[i];

		json_array_append_new(sections,
				      json_pack("{s:s, s:I, s:I, s:I, s:I}", "name", s->name,
						"virtual_size", (json_int_t)s->virtual_size,
						"virtual_address", (json_int_t)s->virtual_address,
						"raw_size", (json_int_t)s->raw_size, "raw_offset",
						(json_int_t)s->raw_offset));
	}
	for (int i = DPS_PE_TRUNCATED; i <= DPS_PE_BEYOND_IMAGE; i++)
		if (dps_pe_find_problem(&uki.pe, (DpsPeProblem)i, NULL))
			json_array_append_new(problems, json_integer(i));

	out = json_pack("{s:o, s:o, s:i, s:i, s:i, s:I, s:b, s:i, s:i, s:i}", "sections", sections,
			"problems", problems, "machine", uki.pe.machine, "subsystem",
			uki.pe.subsystem, "image_version", uki.pe.image_version, "size_of_image",
			(json_int_t)uki.pe.size_of_image, "signed", uki.is_signed, "kind", uki.kind,
			"kernel", uki.kernel.kind, "linux_machine", uki.linux_machine);
	json_object_set_new(out, "builder", text(name_builder(uki.builder)));
	json_object_set_new(out, "builder_version", text(uki.builder_version));
	json_object_set_new(out, "kernel_version", text(uki.kernel.version));
	json_object_set_new(out, "cmdline", text(uki.cmdline));
	json_object_set_new(out, "uname", text(uki.uname));
	close(region.fd);
	return out;
}

static gboolean
is_in_root(const char *path, gpointer root)
{
	g_autofree char *full = g_build_filename(root, path, NULL);

	return g_file_test(full, G_FILE_TEST_EXISTS);
}

static int
by_menu(gconstpointer a, gconstpointer b)
{
	return dps_bls_entry_compare(*(DpsBlsEntry *const *)a, *(DpsBlsEntry *const *)b);
}

static void
add_from_dir(const char *root, const char *below, GPtrArray *entries)
{
	g_autofree char *path = g_build_filename(root, below, NULL);
	g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		g_autofree char *file = g_build_filename(path, name, NULL);
		g_autofree char *content = NULL;
		g_autoptr(GPtrArray) found = NULL;
		gsize size;

		if (!g_file_test(file, G_FILE_TEST_IS_REGULAR))
			continue;
		if (strcmp(below, "loader/entries") == 0) {
			if (!g_file_get_contents(file, &content, &size, NULL))
				continue;
			g_ptr_array_add(entries, dps_bls_entry_parse(name, content, size));
		} else {
			DpsRegion region = open_region(file);
			g_auto(DpsUki) uki = { 0 };
			gboolean ok = dps_uki_read(&region, &uki, NULL);

			found = dps_bls_entries_from_uki(name, ok ? &uki : NULL);
			g_ptr_array_extend_and_steal(entries, g_steal_pointer(&found));
			close(region.fd);
		}
	}
}

static json_t *
list_entries(const char *roots)
{
	g_autoptr(GPtrArray) entries =
		g_ptr_array_new_with_free_func((GDestroyNotify)dps_bls_entry_free);
	g_autoptr(GHashTable) of_part = g_hash_table_new(NULL, NULL);
	json_t *out = json_array();
	g_auto(GStrv) parts = g_strsplit(roots, ",", 2);
	g_autofree char *conf_path = g_build_filename(parts[0], "loader/loader.conf", NULL);
	g_autofree char *conf_text = NULL;
	g_autoptr(GPtrArray) shown = g_ptr_array_new();
	g_autoptr(GPtrArray) rows = g_ptr_array_new();
	g_auto(DpsLoaderConf) conf = { 0 };
	gsize conf_size;
	guint n_esp = 0;
	int chosen;

	for (guint i = 0; parts[i]; i++) {
		add_from_dir(parts[i], "loader/entries", entries);
		add_from_dir(parts[i], "EFI/Linux", entries);
		if (i == 0)
			n_esp = entries->len;
	}
	for (guint i = 0; i < entries->len; i++)
		g_hash_table_insert(of_part, entries->pdata[i], parts[i < n_esp ? 0 : 1]);
	g_ptr_array_sort(entries, by_menu);
	for (guint i = 0; i < entries->len; i++) {
		DpsBlsEntry *entry = entries->pdata[i];
		const DpsBlsReader reader = { .arch = DPS_ARCH_X86_64,
					      .exists = is_in_root,
					      .data = g_hash_table_lookup(of_part, entry) };
		json_t *row = json_object();

		json_object_set_new(row, "id", text(entry->id));
		json_object_set_new(row, "file", text(entry->file_name));
		json_object_set_new(row, "title", text(entry->title));
		json_object_set_new(row, "version", text(entry->version));
		json_object_set_new(row, "sortKey", text(entry->sort_key));
		json_object_set_new(row, "machineId", text(entry->machine_id));
		json_object_set_new(row, "options", text(entry->options));
		json_object_set_new(row, "path", text(entry->path));
		json_object_set_new(
			row, "hidden",
			text(dps_bls_hidden_to_string(dps_bls_entry_get_hidden(entry, &reader))));
		json_array_append_new(out, row);
		if (dps_bls_entry_get_hidden(entry, &reader) == DPS_BLS_SHOWN) {
			g_ptr_array_add(shown, entry);
			g_ptr_array_add(rows, row);
		}
	}
	if (g_file_get_contents(conf_path, &conf_text, &conf_size, NULL))
		dps_loader_conf_parse(conf_text, conf_size, &conf);
	chosen = dps_bls_select_default(shown, conf.default_pattern);
	for (guint i = 0; i < rows->len; i++)
		json_object_set_new(rows->pdata[i], "isDefault", json_boolean((int)i == chosen));
	return out;
}

static json_t *
describe_verity(const char *path)
{
	DpsRegion region = open_region(path);
	g_autofree char *hash = NULL;
	g_autoptr(GError) error = NULL;
	char uuid[DPS_GUID_TEXT_SIZE];
	DpsVerity verity;

	if (!dps_verity_read(&region, &verity, &error))
		return json_pack("{s:s}", "error", error->message);
	hash = dps_verity_get_root_hash(&region, &verity, &error);
	dps_guid_to_string(&verity.uuid, uuid);
	close(region.fd);
	return json_pack("{s:s?, s:s, s:s, s:I, s:I}", "root_hash", hash, "uuid", uuid, "algorithm",
			 verity.algorithm, "data_blocks", (json_int_t)verity.data_blocks,
			 "hash_area_size", (json_int_t)verity.hash_area_size);
}

static json_t *
derive_var(const char *machine_id)
{
	char uuid[DPS_GUID_TEXT_SIZE];
	DpsGuid guid;

	if (!dps_derive_var(machine_id, &guid, NULL))
		return json_null();
	dps_guid_to_string(&guid, uuid);
	return json_string(uuid);
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		json_t *(*run)(const char *);
	} commands[] = {
		{ "uki", describe_uki },
		{ "list", list_entries },
		{ "verity", describe_verity },
		{ "var", derive_var },
	};

	for (guint i = 0; argc == 3 && i < G_N_ELEMENTS(commands); i++) {
		json_t *out;

		if (strcmp(argv[1], commands[i].name) != 0)
			continue;
		out = commands[i].run(argv[2]);
		json_dumpf(out, stdout, JSON_ENCODE_ANY | JSON_INDENT(1));
		json_decref(out);
		return 0;
	}
	return 2;
}
