/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/bls.h"
#include "format/lines.h"
#include "format/version.h"
#include "ground/text.h"

#include <string.h>

/* systemd-boot from here on knows `uki`, `uki-url` and `profile`. */
#define SYSTEMD_KNOWS_UKI_KEY 258

/* machine-id(5) */
#define MACHINE_ID_DIGITS 32

static DpsBlsEntry *
entry_new(DpsBlsType type, const char *file_name, const char *suffix)
{
	DpsBlsEntry *entry = g_new0(DpsBlsEntry, 1);
	g_auto(DpsBlsName) name = { 0 };

	entry->type = type;
	entry->file_name = dps_text_clean(file_name, strlen(file_name));
	entry->initrds = g_ptr_array_new_with_free_func(g_free);
	entry->extras = g_ptr_array_new_with_free_func(g_free);
	entry->devicetree_overlays = g_ptr_array_new_with_free_func(g_free);
	entry->problems = dps_bls_problems_new();

	dps_bls_name_parse(entry->file_name, suffix, &name);
	entry->id = g_steal_pointer(&name.id);
	entry->base_id = g_strdup(entry->id);
	entry->is_counted = name.is_counted;
	entry->tries_left = name.tries_left;
	entry->tries_done = name.tries_done;

	if (!dps_bls_name_is_valid(file_name))
		dps_bls_problems_add(
			entry->problems, DPS_BLS_PROBLEM_BAD_NAME, 0,
			"the file's name has characters that no entry may have, or is too "
			"long: bootctl ignores it");

	/* systemd-boot, valid_type1_filename(); the same for type #2. */
	if (*file_name == '.' || g_ascii_strncasecmp(file_name, "auto-", 5) == 0 ||
	    strlen(file_name) < strlen(suffix) ||
	    g_ascii_strcasecmp(file_name + strlen(file_name) - strlen(suffix), suffix) != 0)
		entry->hidden = DPS_BLS_HIDDEN_NAME;
	return entry;
}

void
dps_bls_entry_free(DpsBlsEntry *entry)
{
	if (!entry)
		return;

	g_free(entry->file_name);
	g_free(entry->id);
	g_free(entry->base_id);
	g_free(entry->title);
	g_free(entry->version);
	g_free(entry->machine_id);
	g_free(entry->sort_key);
	g_free(entry->architecture);
	g_free(entry->path);
	g_ptr_array_unref(entry->initrds);
	g_ptr_array_unref(entry->extras);
	g_ptr_array_unref(entry->devicetree_overlays);
	g_free(entry->devicetree);
	g_free(entry->options);
	g_ptr_array_unref(entry->problems);
	g_free(entry);
}

/* What UEFI calls an architecture in the names of files, and nothing else. */
static DpsArch
arch_from_efi_suffix(const char *text)
{
	for (int arch = DPS_ARCH_NONE + 1; arch <= DPS_ARCH_X86_64; arch++) {
		const char *suffix = dps_arch_get_efi_suffix((DpsArch)arch);

		if (suffix && g_ascii_strcasecmp(text, suffix) == 0)
			return (DpsArch)arch;
	}
	return DPS_ARCH_NONE;
}

/* While a type #1 entry is read. */
typedef struct {
	DpsBlsEntry *entry;
	guint line;
	GString *options;
	GHashTable *seen; /* keys that may be there once */
} Parsing;

typedef void (*KeyReader)(Parsing *self, const char *key, const char *value);

static char *
read_path(Parsing *self, const char *key, const char *value)
{
	char *path = dps_bls_path_normalise(value);

	if (!path)
		dps_bls_problems_add(
			self->entry->problems, DPS_BLS_PROBLEM_BAD_PATH, self->line,
			"line %u: %s %.128s: is no path of a file: it has \"..\" or ends with a "
			"slash",
			self->line, key, value);
	return path;
}

static void
read_string(Parsing *self, const char *key, const char *value)
{
	DpsBlsEntry *entry = self->entry;
	char **field = strcmp(key, "title") == 0      ? &entry->title
		       : strcmp(key, "version") == 0  ? &entry->version
		       : strcmp(key, "sort-key") == 0 ? &entry->sort_key
						      : &entry->devicetree;

	if (field == &entry->devicetree) {
		char *path = read_path(self, key, value);

		if (!path)
			return;
		g_free(*field);
		*field = path;
		return;
	}
	g_free(*field);
	*field = g_strdup(value);
}

static void
read_machine_id(Parsing *self, const char *key, const char *value)
{
	if (strlen(value) != MACHINE_ID_DIGITS ||
	    strspn(value, "0123456789abcdef") != MACHINE_ID_DIGITS)
		dps_bls_problems_add(
			self->entry->problems, DPS_BLS_PROBLEM_BAD_VALUE, self->line,
			"line %u: %s %.128s: is not 32 hexadecimal digits in lower case",
			self->line, key, value);

	g_free(self->entry->machine_id);
	self->entry->machine_id = g_strdup(value);
}

static void
read_architecture(Parsing *self, const char *key, const char *value)
{
	self->entry->arch = arch_from_efi_suffix(value);
	if (self->entry->arch == DPS_ARCH_NONE)
		dps_bls_problems_add(
			self->entry->problems, DPS_BLS_PROBLEM_BAD_VALUE, self->line,
			"line %u: %s %.128s: is no name that UEFI has (x64, ia32, aa64, arm, "
			"riscv64, …): no loader shows the entry",
			self->line, key, value);

	g_free(self->entry->architecture);
	self->entry->architecture = g_strdup(value);
}

static void
read_loader(Parsing *self, const char *key, const char *value)
{
	DpsBlsEntry *entry = self->entry;
	DpsBlsLoader loader = strcmp(key, "linux") == 0 ? DPS_BLS_LOADER_LINUX
			      : strcmp(key, "efi") == 0 ? DPS_BLS_LOADER_EFI
			      : strcmp(key, "uki") == 0 ? DPS_BLS_LOADER_UKI
							: DPS_BLS_LOADER_UKI_URL;
	char *path;

	if (entry->loader != DPS_BLS_LOADER_NONE && entry->loader != loader) {
		dps_bls_problems_add(
			entry->problems, DPS_BLS_PROBLEM_CONFLICT, self->line,
			"line %u: %s stands beside another kind of loader: no loader shows "
			"the entry",
			self->line, key);
		if (entry->hidden == DPS_BLS_SHOWN)
			entry->hidden = DPS_BLS_HIDDEN_CONFLICT;
		return;
	}

	path = loader == DPS_BLS_LOADER_UKI_URL ? g_strdup(value) : read_path(self, key, value);
	if (!path)
		return;
	entry->loader = loader;
	g_free(entry->path);
	entry->path = path;
}

static void
read_initrd(Parsing *self, const char *key, const char *value)
{
	char *path = read_path(self, key, value);

	if (path)
		g_ptr_array_add(self->entry->initrds, path);
}

static void
read_extra(Parsing *self, const char *key, const char *value)
{
	static const char *const suffixes[] = { ".cred", ".sysext.raw", ".confext.raw" };
	char *path = read_path(self, key, value);

	if (!path)
		return;

	g_ptr_array_add(self->entry->extras, path);
	for (guint i = 0; i < G_N_ELEMENTS(suffixes); i++)
		if (g_str_has_suffix(path, suffixes[i]))
			return;

	dps_bls_problems_add(
		self->entry->problems, DPS_BLS_PROBLEM_BAD_VALUE, self->line,
		"line %u: %s %.128s: ends with none of .cred, .sysext.raw, .confext.raw",
		self->line, key, value);
}

static void
read_overlays(Parsing *self, const char *key, const char *value)
{
	g_auto(GStrv) words = g_strsplit_set(value, " \t", -1);

	for (guint i = 0; words[i]; i++) {
		char *path = *words[i] ? read_path(self, key, words[i]) : NULL;

		if (path)
			g_ptr_array_add(self->entry->devicetree_overlays, path);
	}
}

static void
read_options(Parsing *self, const char *key, const char *value)
{
	if (self->options->len > 0)
		g_string_append_c(self->options, ' ');
	g_string_append(self->options, value);
}

static void
read_profile(Parsing *self, const char *key, const char *value)
{
	guint64 number;

	if (g_ascii_string_to_unsigned(value, 10, 0, G_MAXUINT, &number, NULL))
		self->entry->profile = (guint)number;
	else
		dps_bls_problems_add(self->entry->problems, DPS_BLS_PROBLEM_BAD_VALUE, self->line,
				     "line %u: %s %.128s: is no number", self->line, key, value);
}

/* UAPI.1, "Type #1 Boot Loader Entry Keys". */
static const struct {
	const char *key;
	KeyReader read;
	gboolean is_repeatable, may_be_empty;
} keys[] = {
	{ "title", read_string },
	{ "version", read_string },
	{ "machine-id", read_machine_id },
	{ "sort-key", read_string },
	{ "linux", read_loader },
	{ "initrd", read_initrd, TRUE },
	{ "efi", read_loader },
	{ "uki", read_loader },
	{ "uki-url", read_loader },
	{ "profile", read_profile },
	{ "options", read_options, TRUE, TRUE },
	{ "devicetree", read_string },
	{ "devicetree-overlay", read_overlays, FALSE, TRUE },
	{ "architecture", read_architecture },
	{ "extra", read_extra, TRUE },
};

static void
read_line(Parsing *self, const char *key, const char *value)
{
	GPtrArray *problems = self->entry->problems;
	guint i = 0;

	while (i < G_N_ELEMENTS(keys) && strcmp(key, keys[i].key) != 0)
		i++;
	if (i == G_N_ELEMENTS(keys)) {
		dps_bls_problems_add(problems, DPS_BLS_PROBLEM_UNKNOWN_KEY, self->line,
				     "line %u: key %.64s is not known", self->line, key);
		return;
	}
	if (!value || *value == '\0') {
		if (!keys[i].may_be_empty)
			dps_bls_problems_add(problems, DPS_BLS_PROBLEM_NO_VALUE, self->line,
					     "line %u: %s has no value", self->line, key);
		return;
	}
	if (!keys[i].is_repeatable && !g_hash_table_add(self->seen, (gpointer)keys[i].key))
		dps_bls_problems_add(problems, DPS_BLS_PROBLEM_REPEATED, self->line,
				     "line %u: %s is there before: the last one counts", self->line,
				     key);

	keys[i].read(self, key, value);
}

DpsBlsEntry *
dps_bls_entry_parse(const char *file_name, const char *text, size_t size)
{
	DpsBlsEntry *entry = entry_new(DPS_BLS_TYPE1, file_name, ".conf");
	g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
	g_autoptr(GString) options = g_string_new(NULL);
	Parsing self = { .entry = entry, .options = options, .seen = seen };
	DpsLines lines;
	char *key, *value;

	size = MIN(size, DPS_BLS_MAX_FILE_SIZE);
	if (size == 0)
		text = ""; /* an empty file may have no bytes to point at */
	if (memchr(text, '\0', size) || !g_utf8_validate(text, (gssize)size, NULL))
		dps_bls_problems_add(entry->problems, DPS_BLS_PROBLEM_NOT_TEXT, 0,
				     "the file is no UTF-8 text");

	lines = dps_lines_over(text, size, " \t");
	while (dps_lines_next(&lines, &key, &value)) {
		self.line = lines.number;
		read_line(&self, key, value);
		g_free(key);
		g_free(value);
	}

	if (options->len > 0)
		entry->options = g_strdup(options->str);
	if (entry->loader == DPS_BLS_LOADER_NONE) {
		dps_bls_problems_add(entry->problems, DPS_BLS_PROBLEM_NO_LOADER, 0,
				     "none of linux, efi, uki, uki-url is there");
		if (entry->hidden == DPS_BLS_SHOWN)
			entry->hidden = DPS_BLS_HIDDEN_NO_LOADER;
	}
	return entry;
}

static void
name_profile(DpsBlsEntry *entry, const DpsUkiProfile *profile)
{
	const char *name = dps_os_release_get_title(profile->os_release);

	if (profile->title)
		entry->title = g_strdup_printf("%s (%s)", name, profile->title);
	else if (profile->index > 0 && profile->id)
		entry->title = g_strdup_printf("%s (%s)", name, profile->id);
	else if (profile->index > 0)
		entry->title = g_strdup_printf("%s (Profile #%u)", name, profile->index + 1);
	else
		entry->title = g_strdup(name);
}

static DpsBlsEntry *
entry_from_profile(const char *file_name, const DpsUki *uki, const DpsUkiProfile *profile)
{
	DpsBlsEntry *entry = entry_new(DPS_BLS_TYPE2, file_name, ".efi");

	entry->loader = DPS_BLS_LOADER_UKI;
	entry->path = g_strconcat("EFI/Linux/", entry->file_name, NULL);
	if (!uki) {
		if (entry->hidden == DPS_BLS_SHOWN)
			entry->hidden = DPS_BLS_HIDDEN_NOT_PE;
		return entry;
	}

	entry->arch = uki->pe.arch;
	entry->profile = profile->index;
	entry->options = g_strdup(profile->cmdline);
	if (profile->index > 0) {
		g_free(entry->id);
		entry->id = profile->id ? g_strdup_printf("%s@%s", entry->base_id, profile->id)
					: g_strdup_printf("%s@%u", entry->base_id, profile->index);
	}

	if (profile->os_release && dps_os_release_get_title(profile->os_release)) {
		name_profile(entry, profile);
		entry->version = g_strdup(dps_os_release_get_version(profile->os_release));
		entry->sort_key = g_strdup(dps_os_release_get_sort_key(profile->os_release));
	} else if (entry->hidden == DPS_BLS_SHOWN) {
		entry->hidden = DPS_BLS_HIDDEN_NO_OS_RELEASE;
	}
	return entry;
}

GPtrArray *
dps_bls_entries_from_uki(const char *file_name, const DpsUki *uki)
{
	GPtrArray *entries = g_ptr_array_new_with_free_func((GDestroyNotify)dps_bls_entry_free);

	if (!uki) {
		g_ptr_array_add(entries, entry_from_profile(file_name, NULL, NULL));
		return entries;
	}
	for (guint i = 0; i < uki->profiles->len; i++)
		g_ptr_array_add(entries,
				entry_from_profile(file_name, uki, uki->profiles->pdata[i]));
	return entries;
}

static gboolean
is_for_arch(const DpsBlsEntry *entry, DpsArch arch)
{
	/* Nothing said: an entry of type #1 is for all, a PE file for an unknown machine for none.
	 */
	if (entry->type == DPS_BLS_TYPE1 && !entry->architecture)
		return TRUE;
	if (entry->arch == DPS_ARCH_NONE)
		return FALSE;

	return arch == DPS_ARCH_NONE || entry->arch == arch;
}

DpsBlsHidden
dps_bls_entry_get_hidden(const DpsBlsEntry *entry, const DpsBlsReader *reader)
{
	gboolean is_url = entry->loader == DPS_BLS_LOADER_UKI_URL;

	if (entry->hidden == DPS_BLS_HIDDEN_NAME || entry->hidden == DPS_BLS_HIDDEN_NOT_PE)
		return entry->hidden;
	if (!is_for_arch(entry, reader->arch))
		return DPS_BLS_HIDDEN_ARCH;
	if (entry->hidden != DPS_BLS_SHOWN)
		return entry->hidden;
	if (entry->type == DPS_BLS_TYPE2)
		return DPS_BLS_SHOWN; /* the entry is the file */

	if ((is_url || entry->loader == DPS_BLS_LOADER_UKI) && reader->systemd_version != 0 &&
	    reader->systemd_version < SYSTEMD_KNOWS_UKI_KEY)
		return DPS_BLS_HIDDEN_TOO_OLD;
	if (is_url)
		return *entry->path == ':' ? DPS_BLS_HIDDEN_RELATIVE_URL : DPS_BLS_SHOWN;
	if (entry->loader == DPS_BLS_LOADER_EFI && reader->self_path &&
	    g_ascii_strcasecmp(entry->path, reader->self_path) == 0)
		return DPS_BLS_HIDDEN_SELF;
	if (reader->exists && !reader->exists(entry->path, reader->data))
		return DPS_BLS_HIDDEN_FILE_MISSING;

	return DPS_BLS_SHOWN;
}

const char *
dps_bls_hidden_to_string(DpsBlsHidden hidden)
{
	static const char *const texts[] = {
		[DPS_BLS_SHOWN] = "",
		[DPS_BLS_HIDDEN_NAME] = "no entry has such a file name",
		[DPS_BLS_HIDDEN_NO_LOADER] = "it names no kernel and no EFI program",
		[DPS_BLS_HIDDEN_CONFLICT] = "it names two kinds of loader",
		[DPS_BLS_HIDDEN_ARCH] = "it is for another architecture",
		[DPS_BLS_HIDDEN_TOO_OLD] = "this systemd-boot does not know its keys yet",
		[DPS_BLS_HIDDEN_FILE_MISSING] = "the file that it names is not there",
		[DPS_BLS_HIDDEN_SELF] = "it starts systemd-boot itself",
		[DPS_BLS_HIDDEN_RELATIVE_URL] = "its address needs a boot over the network",
		[DPS_BLS_HIDDEN_NOT_PE] = "it is no EFI program",
		[DPS_BLS_HIDDEN_NO_OS_RELEASE] = "it has no os-release with a name",
	};

	return (guint)hidden < G_N_ELEMENTS(texts) ? texts[hidden] : "";
}

gboolean
dps_bls_entry_is_bad(const DpsBlsEntry *entry)
{
	return entry->is_counted && entry->tries_left == 0;
}

static int
compare_numbers(guint a, guint b)
{
	return (a > b) - (a < b);
}

/* systemd-boot has ids in lower case. */
static int
compare_ids(const char *a, const char *b)
{
	g_autofree char *lower_a = g_ascii_strdown(a, -1);
	g_autofree char *lower_b = g_ascii_strdown(b, -1);

	return -dps_version_compare(lower_a, lower_b);
}

int
dps_bls_entry_compare(const DpsBlsEntry *a, const DpsBlsEntry *b)
{
	int order = dps_bls_entry_is_bad(a) - dps_bls_entry_is_bad(b);

	if (order == 0)
		order = !a->sort_key - !b->sort_key;
	if (order == 0 && a->sort_key) {
		order = strcmp(a->sort_key, b->sort_key);
		if (order == 0)
			order = g_strcmp0(a->machine_id, b->machine_id);
		if (order == 0)
			order = -dps_version_compare(a->version, b->version);
	}
	if (order == 0)
		order = compare_ids(a->base_id, b->base_id);
	if (order == 0)
		order = compare_numbers(a->profile, b->profile);
	if (order == 0 && a->is_counted && b->is_counted) {
		order = compare_numbers(b->tries_left, a->tries_left);
		if (order == 0)
			order = compare_numbers(a->tries_done, b->tries_done);
	}
	return order;
}

int
dps_bls_select_default(GPtrArray *entries, const char *pattern)
{
	/* "@saved" is in a variable of the firmware. */
	for (guint i = 0; pattern && *pattern != '@' && i < entries->len; i++)
		if (dps_bls_glob(pattern, ((DpsBlsEntry *)entries->pdata[i])->id))
			return (int)i;

	for (guint i = 0; i < entries->len; i++) {
		const DpsBlsEntry *entry = entries->pdata[i];

		if (entry->type == DPS_BLS_TYPE1 || entry->profile == 0)
			return (int)i;
	}
	return -1;
}
