/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/raw-image.h"
#include "ground/error.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Image formats that are no raw disks, by what they begin with. */
static const struct {
	uint64_t offset;
	const char *magic;
	size_t size;
	const char *name;
	const char *advice; /* what to type; each %1$s stands for the path */
} formats[] = {
#define M(s) s, sizeof(s) - 1
#define CONVERT                                                                                    \
	"make a raw view with `qemu-nbd --connect=/dev/nbd0 %1$s`, or a raw copy with "            \
	"`qemu-img convert -O raw %1$s %1$s.raw`"
	/* docs/interop/qcow2.txt of qemu */
	{ 0, M("QFI\xfb"), "a qcow2 image", CONVERT },
	/* VMware, "Virtual Disk Format 5.0": sparse extent, and the descriptor of a split one */
	{ 0, M("KDMV"), "a VMDK image", CONVERT },
	{ 0, M("# Disk DescriptorFile"), "a VMDK image", CONVERT },
	/* [MS-VHDX] section 2.2.1; "Virtual Hard Disk Image Format Specification": dynamic disks
	 * have a copy of the footer in front */
	{ 0, M("vhdxfile"), "a VHDX image", CONVERT },
	{ 0, M("conectix"), "a VHD image", CONVERT },
	/* VirtualBox, VDICore.h: VDI_IMAGE_SIGNATURE behind 64 bytes of text */
	{ 64, M("\x7f\x10\xda\xbe"), "a VDI image", CONVERT },
	/* docs/interop/qed_spec.txt and parallels.txt of qemu */
	{ 0, M("QED\0"), "a QED image", CONVERT },
	{ 0, M("WithoutFreeSpace"), "a Parallels image", CONVERT },
	{ 0, M("WithouFreSpacExt"), "a Parallels image", CONVERT },
	/* ECMA-119 section 8.1: the first volume descriptor, sector 16 of 2048 bytes */
	{ 32769, M("CD001"), "an ISO 9660 image",
	  "tag the disk image that it is made from, or look inside with `losetup --read-only "
	  "--partscan --find --show %1$s`" },
	{ 0, M("\x1f\x8b\x08"), "compressed by gzip", "unpack it with `gzip -dk %1$s`" },
	{ 0, M("\xfd\x37zXZ\0"), "compressed by xz", "unpack it with `xz -dk %1$s`" },
	{ 0, M("\x28\xb5\x2f\xfd"), "compressed by zstd", "unpack it with `zstd -d %1$s`" },
#undef CONVERT
#undef M
};

static gboolean
has_bytes(int fd, uint64_t offset, const char *magic, size_t size)
{
	char found[32];

	return size <= sizeof(found) &&
	       TEMP_FAILURE_RETRY(pread(fd, found, size, (off_t)offset)) == (ssize_t)size &&
	       memcmp(found, magic, size) == 0;
}

static gboolean
refuse_format(const char *path, const char *name, const char *advice, GError **error)
{
	g_autofree char *quoted = g_shell_quote(path);
	g_auto(GStrv) parts = g_strsplit(advice, "%1$s", -1);
	g_autofree char *text = NULL;

	if (path[strspn(path, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "/._-+")] == '\0') {
		g_free(quoted);
		quoted = g_strdup(path);
	}
	text = g_strjoinv(quoted, parts);
	return dps_throw(error, DPS_ERROR_UNSUPPORTED, "%s: %s, not a raw disk image: %s", path,
			 name, text);
}

gboolean
dps_raw_image_check(int fd, const char *path, uint64_t size, GError **error)
{
	for (guint i = 0; i < G_N_ELEMENTS(formats); i++)
		if (has_bytes(fd, formats[i].offset, formats[i].magic, formats[i].size))
			return refuse_format(path, formats[i].name, formats[i].advice, error);

	/* A VHD of fixed size is raw but for its footer, which tools would take for disk. */
	if (size >= 512 && has_bytes(fd, size - 512, "conectix", 8))
		return refuse_format(path, "a VHD image",
				     "make a raw copy with `qemu-img convert -f vpc -O raw %1$s "
				     "%1$s.raw`",
				     error);
	return TRUE;
}
