# SPDX-License-Identifier: LGPL-2.1-or-later
"""GRUB 2.12 as a loader, made with its own grub-mkimage from Debian 13's packages."""

import pathlib
import tempfile

from . import cache, packages

SUITE = "trixie"  # the first release with the module bli
PACKAGES = ["grub-common", "grub-efi-amd64-bin"]
MODULES = "boot chain configfile echo fat linux normal part_gpt test".split()

CONFIGURATION = """\
set timeout=0
set default=test-uki.efi
source $prefix/entry.cfg
menuentry "Unified kernel image" --id test-uki.efi {{
	chainloader /EFI/Linux/test-uki.efi
}}
menuentry "Kernel and initrd" --id classic.conf {{
	linux /test/linux {command_line}
	initrd /test/initrd
}}
"""


def image(with_bli: bool) -> bytes:
    """GRUB as an EFI program that reads /EFI/grub/grub.cfg where it was started from.

    With the module bli it tells the kernel which partition that was, as systemd-boot does.
    """
    archive = packages.archive(SUITE, "amd64")
    tree = archive.tree(archive.closure(*PACKAGES))
    libraries = tree / "usr/lib" / archive.triplet
    modules = MODULES + ["bli"] * with_bli
    with tempfile.NamedTemporaryFile(suffix=".efi") as output:
        # Its libraries are of another release than the host's.
        cache.run(
            *(libraries / "ld-linux-x86-64.so.2", "--library-path", libraries),
            tree / "usr/bin/grub-mkimage",
            *(f"--directory={tree}/usr/lib/grub/x86_64-efi", "--format=x86_64-efi"),
            *("--prefix=/EFI/grub", f"--output={output.name}", *modules),
        )
        return pathlib.Path(output.name).read_bytes()
