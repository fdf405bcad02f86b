/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/cmdline.h"
#include "ground/text.h"

#include <string.h>

/* From here on root= and mount.usr= know the words of systemd-dissect, and the last root= counts.
 */
#define SYSTEMD_DISSECTS_ROOT 258

/* The kernel keeps no more of a command line (COMMAND_LINE_SIZE: 2048 bytes on x86 and arm64, 4096
 * on s390), and its EFI stub drops the word that is cut in two: what stands behind is never seen.
 */
#define MAX_LENGTH 4096

/* A word ends here; it had the "=" that counts at @equals, if it had one. */
static void
add_word(GArray *words, char *start, char *equals)
{
	DpsCmdlineWord word = { .key = start, .value = equals ? equals + 1 : NULL };

	if (equals)
		*equals = '\0';
	g_array_append_val(words, word);
}

/*
 * Quotes of both kinds, anywhere in a word, keep white space together and are removed; a
 * backslash is a character like others.  In place: words are never longer than what they are made
 * of.
 */
static void
split(char *text, GArray *words)
{
	char *start = text, *to = text, *equals = NULL;
	gboolean is_word = FALSE;
	char quote = '\0';

	for (const char *at = text;; at++) {
		char c = *at;
		gboolean ends = c == '\0' || (quote == '\0' && c == ' ');

		if (!ends) {
			is_word = TRUE;
			if (quote == '\0' && (c == '"' || c == '\'')) {
				quote = c;
			} else if (c == quote) {
				quote = '\0';
			} else {
				if (c == '=' && !equals)
					equals = to;
				*to++ = c;
			}
			continue;
		}

		*to++ = '\0';
		if (is_word)
			add_word(words, start, equals);
		if (c == '\0')
			return;
		is_word = FALSE;
		start = to;
		equals = NULL;
	}
}

/* (transfer full): room for as many words as there can be, and no more: there are thousands of
 * lines on a disk that means harm */
static GArray *
new_words(const char *text)
{
	guint n = 1;

	for (const char *at = text; *at; at++)
		n += *at == ' ';
	return g_array_sized_new(FALSE, FALSE, sizeof(DpsCmdlineWord), n);
}

/* (transfer full): what the kernel keeps, as text with blanks between words */
static char *
clean(const char *text)
{
	size_t length = strnlen(text, MAX_LENGTH + 1);
	g_autofree char *kept = NULL;

	if (length > MAX_LENGTH) {
		length = MAX_LENGTH;
		while (length > 0 && !g_ascii_isspace(text[length]))
			length--;
	}
	/* White space first: a newline separates words, other control characters are no text. */
	kept = g_strndup(text, length);
	for (char *at = kept; *at; at++)
		if (g_ascii_isspace(*at))
			*at = ' ';
	return dps_text_clean(kept, length);
}

static gboolean
is_key(const char *a, const char *b)
{
	for (; *a || *b; a++, b++) {
		int x = *a == '-' ? '_' : *a, y = *b == '-' ? '_' : *b;

		if (x != y)
			return FALSE;
	}
	return TRUE;
}

/* Nothing behind the key means yes; what is neither yes nor no changes nothing. */
static void
set_switch(const char *value, DpsCmdlineSwitch *out)
{
	static const struct {
		const char *word;
		DpsCmdlineSwitch value;
	} words[] = {
		{ "1", DPS_CMDLINE_YES },  { "yes", DPS_CMDLINE_YES },	{ "y", DPS_CMDLINE_YES },
		{ "on", DPS_CMDLINE_YES }, { "true", DPS_CMDLINE_YES }, { "t", DPS_CMDLINE_YES },
		{ "0", DPS_CMDLINE_NO },   { "no", DPS_CMDLINE_NO },	{ "n", DPS_CMDLINE_NO },
		{ "off", DPS_CMDLINE_NO }, { "false", DPS_CMDLINE_NO }, { "f", DPS_CMDLINE_NO },
	};

	if (!value)
		*out = DPS_CMDLINE_YES;
	for (guint i = 0; value && i < G_N_ELEMENTS(words); i++)
		if (g_ascii_strcasecmp(value, words[i].word) == 0)
			*out = words[i].value;
}

static void
set_string(const char *value, char **out)
{
	g_free(*out);
	*out = *value ? g_strdup(value) : NULL;
}

/* Mount options are joined by systemd's generators, in the order in which they are given. */
static void
join_options(const GArray *words, const char *key, char **out)
{
	g_autoptr(GString) options = g_string_new(NULL);

	for (guint i = 0; i < words->len; i++) {
		const DpsCmdlineWord *word = &g_array_index(words, DpsCmdlineWord, i);

		if (!word->value || *word->value == '\0' || !is_key(word->key, key))
			continue;
		if (options->len > 0)
			g_string_append_c(options, ',');
		g_string_append(options, word->value);
	}
	if (options->len > 0)
		*out = g_strdup(options->str);
}

static gboolean
is_discovery(const char *root, guint systemd_version)
{
	static const char *const words[] = { "gpt-auto-force", "dissect", "dissect-force" };

	if (strcmp(root, "gpt-auto") == 0)
		return TRUE;
	for (guint i = 0; systemd_version >= SYSTEMD_DISSECTS_ROOT && i < G_N_ELEMENTS(words); i++)
		if (strcmp(root, words[i]) == 0)
			return TRUE;

	return FALSE;
}

static void
read_word(DpsCmdline *self, const DpsCmdlineWord *word)
{
	const struct {
		const char *key;
		char **field;
	} strings[] = {
		{ "root", &self->root },
		{ "rootfstype", &self->rootfstype },
		{ "roothash", &self->roothash },
		{ "mount.usr", &self->usr },
		{ "mount.usrfstype", &self->usrfstype },
		{ "usrhash", &self->usrhash },
		{ "init", &self->init },
	};

	for (guint i = 0; word->value && i < G_N_ELEMENTS(strings); i++)
		if (is_key(word->key, strings[i].key))
			set_string(word->value, strings[i].field);

	if (word->value && is_key(word->key, "root") &&
	    !is_discovery(word->value, SYSTEMD_DISSECTS_ROOT))
		self->has_other_root = TRUE;
	if (!word->value && is_key(word->key, "rw"))
		self->rw = DPS_CMDLINE_YES;
	if (!word->value && is_key(word->key, "ro"))
		self->rw = DPS_CMDLINE_NO;
	if (is_key(word->key, "systemd.swap"))
		set_switch(word->value, &self->swap);
	if (is_key(word->key, "fstab"))
		set_switch(word->value, &self->fstab);
	/* "rd." words are for the initrd only; there both set the same switch. */
	if (is_key(word->key, "systemd.gpt_auto"))
		set_switch(word->value, &self->gpt_auto);
	if (is_key(word->key, "systemd.gpt_auto") || is_key(word->key, "rd.systemd.gpt_auto"))
		set_switch(word->value, &self->rd_gpt_auto);
}

/* Which subvolume the options name, as btrfs has it: the last subvol= or subvolid=. */
static void
read_subvolume(DpsCmdline *self)
{
	g_auto(GStrv) options = g_strsplit(self->rootflags ? self->rootflags : "", ",", -1);

	for (guint i = 0; options[i]; i++) {
		const char *value = strchr(options[i], '=');
		gboolean is_path = g_str_has_prefix(options[i], "subvol=");
		const char *end;

		if (!is_path && !g_str_has_prefix(options[i], "subvolid="))
			continue;

		g_clear_pointer(&self->root_subvol, g_free);
		g_clear_pointer(&self->root_subvolid, g_free);
		value++;
		if (!is_path) {
			self->root_subvolid = g_strdup(value);
			continue;
		}
		while (*value == '/')
			value++;
		for (end = value + strlen(value); end > value && end[-1] == '/';)
			end--;
		self->root_subvol = g_strndup(value, (gsize)(end - value));
	}
}

void
dps_cmdline_parse(const char *text, DpsCmdline *out)
{
	DpsCmdline self = {
		.text = clean(text ? text : ""),
		.gpt_auto = DPS_CMDLINE_UNSET,
		.rd_gpt_auto = DPS_CMDLINE_UNSET,
		.rw = DPS_CMDLINE_UNSET,
		.swap = DPS_CMDLINE_UNSET,
		.fstab = DPS_CMDLINE_UNSET,
	};

	self.words = new_words(self.text);
	split(self.text, self.words);
	for (guint i = 0; i < self.words->len; i++)
		read_word(&self, &g_array_index(self.words, DpsCmdlineWord, i));
	join_options(self.words, "rootflags", &self.rootflags);
	join_options(self.words, "mount.usrflags", &self.usrflags);
	read_subvolume(&self);

	*out = self;
}

void
dps_cmdline_clear(DpsCmdline *cmdline)
{
	g_clear_pointer(&cmdline->words, g_array_unref);
	g_clear_pointer(&cmdline->text, g_free);
	g_clear_pointer(&cmdline->root, g_free);
	g_clear_pointer(&cmdline->rootfstype, g_free);
	g_clear_pointer(&cmdline->rootflags, g_free);
	g_clear_pointer(&cmdline->roothash, g_free);
	g_clear_pointer(&cmdline->usr, g_free);
	g_clear_pointer(&cmdline->usrfstype, g_free);
	g_clear_pointer(&cmdline->usrflags, g_free);
	g_clear_pointer(&cmdline->usrhash, g_free);
	g_clear_pointer(&cmdline->root_subvol, g_free);
	g_clear_pointer(&cmdline->root_subvolid, g_free);
	g_clear_pointer(&cmdline->init, g_free);
}

const char *
dps_cmdline_get(const DpsCmdline *cmdline, const char *key)
{
	for (guint i = cmdline->words->len; i > 0; i--) {
		const DpsCmdlineWord *word = &g_array_index(cmdline->words, DpsCmdlineWord, i - 1);

		if (word->value && is_key(word->key, key))
			return word->value;
	}
	return NULL;
}

gboolean
dps_cmdline_root_is_discovered(const DpsCmdline *cmdline, guint systemd_version)
{
	const char *last = dps_cmdline_get(cmdline, "root");

	if (cmdline->rd_gpt_auto == DPS_CMDLINE_NO || dps_cmdline_get(cmdline, "roothash"))
		return FALSE;
	if (systemd_version >= SYSTEMD_DISSECTS_ROOT)
		return !last || is_discovery(last, systemd_version);

	/* Before, one root= of another kind was enough, wherever it stands. */
	for (guint i = 0; i < cmdline->words->len; i++) {
		const DpsCmdlineWord *word = &g_array_index(cmdline->words, DpsCmdlineWord, i);

		if (word->value && is_key(word->key, "root") &&
		    !is_discovery(word->value, systemd_version))
			return FALSE;
	}
	return TRUE;
}
