# SPDX-License-Identifier: LGPL-2.1-or-later
"""The other shapes of a fault that test_faults.py has one row of.

Each row makes a disk with one fault, and one that looks like it and is sound.  The fault gives one
finding of its code, at its severity, with its words, and no other error; the sound disk gives neither
the code nor any error.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
import struct
import sys
from collections.abc import Callable

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "data"))
import makedisk
import makepe
from makedisk import MIB, Partition
from test_faults import (ENTRY, HOME, LOADER, LUKS_ROOT, SHIM, SWAP, TREE, TYPE1, UKI, Disk, check, errors, ext4, fs_uuid, fstab, mend,
                         with_root, write_at)


@dataclasses.dataclass
class Row:
    code: str
    severity: str
    says: str  # in its message
    disk: Disk
    sound: Disk | None = None  # what looks like it and is sound
    args: tuple = ()
    silent: tuple[str, ...] = ()  # codes that the fault must not give
    verdict: str = ""  # in the last line
    counts: int = 1  # findings of the code
    unjudged: str = ""  # in what says that rules could not be judged


def edit_entry(number: int, change: Callable[[bytearray], None]) -> Callable:
    """Changes the 128 bytes of an entry in both copies of the table, with good checksums."""

    def change_one(entries: bytearray) -> None:
        entry = entries[(number - 1) * 128 : number * 128]
        change(entry)
        entries[(number - 1) * 128 : number * 128] = entry

    return lambda path: makedisk.edit_table(path, change_one)


def move(number: int, first: int, last: int) -> Callable:
    """Puts an entry on other sectors, from the first to the last."""
    return edit_entry(number, lambda entry: struct.pack_into("<QQ", entry, 32, first, last))


def all_of(*steps: Callable) -> Callable:
    return lambda path: [step(path) for step in steps]


# Where the sound disk has its first partition of 16 MiB, behind the ESP of 34 and root of 32.
THIRD_AT = 67 * 2048

BTRFS = {"content": "btrfs", "size": 112}


def without(name: str, files: dict = TYPE1) -> dict:
    return {path: what for path, what in files.items() if path != name}


def vendor(name: str, csv: str = "shimx64.efi,Test,,This is the boot entry\n", loader: str = "", shim: bytes = makepe.shim()) -> dict:
    """shim with its fallback, and the directory of one who ships it; with what shim starts there."""
    return {"EFI/BOOT/BOOTX64.EFI": makepe.shim(), "EFI/BOOT/fbx64.efi": makepe.shim(), f"EFI/{name}/shimx64.efi": shim,
            f"EFI/{name}/BOOTX64.CSV": csv.encode("utf-16-le"),
            **({f"EFI/{name}/{loader}": makepe.grub(extra=b"grub\0bli\0" * 8)} if loader else {})}


def entry(more: str, *files: str) -> dict:
    """A good type #1 entry with more lines, and files of these names."""
    return {**TYPE1, "loader/entries/test.conf": TYPE1["loader/entries/test.conf"] + more, **{name: "x" for name in files}}


def mirror(at: int, esp_at: int = MIB) -> Callable:
    """Makes the ESP a member of a RAID1, with mdadm's superblock at this byte of it."""
    head = struct.pack("<4I16s32sQ2IQ", 0xA92B4EFC, 1, 0, 0, b"u" * 16, b"esp", 0, 1, 0, at // 512)
    return write_at(esp_at + at, head.ljust(128, b"\0") + struct.pack("<3Q", 0, at // 512, at // 512).ljust(128, b"\0"))


def cut_chain(name: str, at: int) -> Callable:
    """Makes the cluster with this number in a file of the ESP a free one, in both copies of a FAT32."""

    def after(path: pathlib.Path) -> None:
        text = makedisk.run("mshowfat", "-i", f"{path}@@{MIB}", f"::{name}")
        runs = [[int(number) for number in run.split("-")] for run in re.findall("<([0-9-]+)>", text)]
        clusters = [cluster for run in runs for cluster in range(run[0], run[-1] + 1)]
        boot = path.read_bytes()[MIB : MIB + 512]
        reserved, fat_sectors = struct.unpack_from("<H", boot, 14)[0], struct.unpack_from("<I", boot, 36)[0]
        for copy in range(2):
            write_at(MIB + (reserved + copy * fat_sectors) * 512 + 4 * clusters[at], bytes(4))(path)

    return after


def unreadable(name: str, at: int, files: dict, silent: tuple) -> Row:
    """One fault: the FAT's.  Who would read the file says no more than that it could not be judged."""
    return Row("esp-fat-inconsistent", "error", "but marked as free", Disk(files=files, after=cut_chain(name, at)), Disk(files=files),
               silent=silent, unjudged=f"/{name}", counts=2)  # with the lost clusters behind it


BASE, KERNEL = [(".osrel", makepe.OSREL)], (".linux", makepe.kernel())


def profiles(base: list, *more: list) -> bytes:
    """A UKI with the sections of the base, and of @0, @1, …"""
    sections = [(".text", b"\x90" * 64), (".sdmagic", b"#### LoaderInfo: systemd-stub 257 ####\0"), *base]
    for number, own in enumerate(more):
        sections += [(".profile", f"ID=p{number}".encode()), *own]
    return makepe.build(sections)


def opened_by(name: str, crypttab_name: str, spec: str) -> dict:
    """A system with /home on the node of this name, and a line of crypttab."""
    return fstab(f"/dev/mapper/{name} /home ext4 defaults 0 2\n", **{"etc/crypttab": f"{crypttab_name} {spec} none\n"})


LUKS_HOME = (Partition(size=20, type=HOME, content="crypto_LUKS"),)
EXT4_XBOOTLDR = (ext4(type=makedisk.XBOOTLDR),)

TMP = "7ec6f557-3bc5-4aca-b293-16ef5df639d1"
NOWHERE = "12345678-1234-4234-8234-123456789abc"

# fmt: off
ROWS: dict[str, Row] = {
    # The table
    "the whole first sector is zero": Row("pmbr-missing", "error", "no protective record", Disk(after=write_at(0, bytes(512)))),
    "the records and the signature are zero": Row("pmbr-missing", "error", "no protective record", Disk(after=write_at(446, bytes(66)))),
    "the records are zero": Row("pmbr-missing", "error", "no protective record", Disk(after=write_at(446, bytes(64)))),
    "only the signature is missing": Row("pmbr-missing", "error", "no protective record", Disk(after=write_at(510, bytes(2)))),
    "a home that leaves the usable area": Row(
        "gpt-overlap", "error", "not all inside of the usable area", Disk(more=(ext4(type=HOME),), after=move(3, THIRD_AT, 1 << 40)),
        Disk(more=(ext4(type=HOME),))),
    "a root behind the end of the disk": Row(
        "gpt-overlap", "error", "not all inside of the usable area", Disk(after=move(2, 1 << 30, (1 << 30) + 65535)),
        silent=("root-unformatted", "root-missing"), verdict="no: partition 2: sectors"),
    "an ESP behind the end of the disk": Row(
        "gpt-overlap", "error", "not all inside of the usable area", Disk(after=move(1, 1 << 30, (1 << 30) + 69631)),
        silent=("esp-too-small", "esp-missing", "esp-not-fat", "esp-fat-inconsistent"), verdict="no: partition 1: sectors"),
    "two entries that overlap": Row(
        "gpt-overlap", "error", "overlaps partition 3: firmware leaves both out", Disk(more=(ext4(), ext4()), after=move(4, THIRD_AT + 2048, THIRD_AT + 40000)),
        Disk(more=(ext4(), ext4()))),
    "an entry over two others": Row(
        "gpt-overlap", "error", "overlaps partitions 3 and 4: firmware leaves all of them out",
        Disk(more=(ext4(), ext4(), ext4()), after=move(5, THIRD_AT + 2048, THIRD_AT + 40000)), Disk(more=(ext4(), ext4(), ext4()))),
    # Swap
    "an ESP with the type of swap": Row(
        "esp-wrong-type", "error", "its type is swap", Disk(esp={"type": SWAP}), silent=("swap-type-mismatch",), verdict="no: partition 1"),
    "a root with the type of swap": Row(
        "root-missing", "error", "does not get beyond the initrd", Disk(root={"type": SWAP}), silent=("swap-type-mismatch",)),
    "a root with the type of swap, and root= in the entries": Row(
        "swap-type-mismatch", "error", "holds ext4", Disk(files=with_root(f"root=UUID={fs_uuid(2)}"), root={"type": SWAP})),
    "swap that is empty": Row(
        "swap-type-mismatch", "error", "mkswap was never run", Disk(more=(Partition(size=8, type=SWAP),)),
        Disk(tree={**TREE, "etc/crypttab": "swap PARTUUID=00000003-1111-4222-8333-444444444444 /dev/urandom swap\n"},
             more=(Partition(size=8, type=SWAP),))),
    "swap that is empty, of a system that cannot be read": Row(
        "swap-type-mismatch", "warning", "mkswap was never run", Disk(root=LUKS_ROOT, more=(Partition(size=8, type=SWAP),)),
        Disk(tree={**TREE, "etc/crypttab": "swap /dev/vda3 /dev/urandom swap\n"}, more=(Partition(size=8, type=SWAP),))),
    "ext4 as swap": Row(  # the small ext2 that keeps a UUID in front of swap with a new key
        "swap-type-mismatch", "error", "holds ext4", Disk(more=(ext4(type=SWAP),)),
        Disk(tree={**TREE, "etc/crypttab": f"swap UUID={fs_uuid(3)} /dev/urandom swap,offset=2048\n",
                   "etc/fstab": "/dev/mapper/swap none swap defaults 0 0\n"}, more=(ext4(type=SWAP),))),
    "ext4 as swap, where fstab has the swap": Row(
        "swap-type-mismatch", "warning", "holds ext4", Disk(tree=fstab("/swapfile none swap defaults 0 0\n"), more=(ext4(type=SWAP),))),
    "swap with the generic type": Row(
        "swap-type-mismatch", "warning", "does not enable it by itself", Disk(more=(Partition(size=8, content="swap"),)),
        Disk(more=(Partition(size=8, type=SWAP, content="swap"),))),
    "swap with the generic type, which fstab enables": Row(
        "swap-type-mismatch", "info", "fstab enables it",
        Disk(tree=fstab(f"UUID={fs_uuid(3)} none swap defaults 0 0\n"), more=(Partition(size=8, content="swap"),))),
    "swap with the type of home": Row(
        "swap-type-mismatch", "error", "systemd tries to mount it", Disk(more=(Partition(size=8, type=HOME, content="swap"),))),
    # shim and what it starts
    "a vendor without GRUB": Row(
        "esp-fallback-orphan-shim", "error", "grubx64.efi is not beside it", Disk(files=vendor("test")),
        Disk(files=vendor("test", loader="grubx64.efi"))),
    "a vendor without GRUB, beside other programs": Row(
        "esp-fallback-orphan-shim", "error", "grubx64.efi is not beside it",
        Disk(files={**vendor("test"), "EFI/test/mmx64.efi": makepe.shim(), "EFI/test/fwupdx64.efi": makepe.by_sbat("fwupd", "1.4"),
                    "EFI/BOOT/grubx64.efi": makepe.grub()}),
        Disk(files={**vendor("test", loader="grub.efi")})),
    "a vendor without GRUB, beside one that has it": Row(
        "esp-fallback-orphan-shim", "warning", "grubx64.efi is not beside it",
        Disk(files={**vendor("test"), **vendor("other", loader="grubx64.efi")}),
        Disk(files={**vendor("test", loader="grubx64.efi"), **vendor("other", loader="grubx64.efi")})),
    "a line without what shim is told to start": Row(
        "esp-fallback-orphan-shim", "error", "told to start /EFI/Linux/test.efi, which is not there",
        Disk(files=vendor("test", "shimx64.efi,Test,\\EFI\\Linux\\test.efi ,UKI\n")),
        Disk(files={**vendor("test", "shimx64.efi,Test,\\EFI\\Linux\\test.efi ,UKI\n"), "EFI/Linux/test.efi": makepe.uki("quiet")})),
    "a loader that shim is told to start, beside it": Row(
        "esp-fallback-orphan-shim", "error", "told to start /EFI/test/loader.efi, which is not there",
        Disk(files=vendor("test", "shimx64.efi,Test,\\loader.efi quiet,Other\n")),
        Disk(files=vendor("test", "shimx64.efi,Test,\\loader.efi quiet,Other\n", loader="loader.efi"))),
    "shim that was built for another loader": Row(
        "esp-fallback-orphan-shim", "error", "refind.efi is not beside it",
        Disk(files=vendor("test", shim=makepe.by_sbat("shim", "15.8", extra="\\mmx64.efi\0\\refind.efi\0".encode("utf-16-le")))),
        Disk(files=vendor("test", shim=makepe.by_sbat("shim", "15.8", extra="\\mmx64.efi\0\\refind.efi\0".encode("utf-16-le")),
                          loader="refind.efi"))),
    "shim in EFI/BOOT that was built for another loader": Row(
        "esp-fallback-orphan-shim", "error", "nor refind.efi is beside it",
        Disk(files={"EFI/BOOT/BOOTX64.EFI": makepe.by_sbat("shim", "15.8", extra="\\refind.efi\0".encode("utf-16-le"))}),
        Disk(files={"EFI/BOOT/BOOTX64.EFI": makepe.by_sbat("shim", "15.8", extra="\\refind.efi\0".encode("utf-16-le")),
                    "EFI/BOOT/refind.efi": makepe.grub()})),
    "two lines, the second of which leads on": Row(
        "esp-fallback-orphan-shim", "warning", "grubx64.efi is not beside it",
        Disk(files={**vendor("test", "shimx64.efi,Test,,GRUB\nshimx64.efi,Test,\\EFI\\Linux\\test.efi ,UKI\n"), "EFI/Linux/test.efi": makepe.uki("quiet")})),
    "a CSV that starts GRUB itself": Row(
        "esp-shim-csv", "error", "it names grubx64.efi, which is not there", Disk(files=vendor("test", "grubx64.efi,Test,,GRUB\n")),
        Disk(files=vendor("test", "grubx64.efi,Test,,GRUB\n", loader="grubx64.efi"))),
    "a CSV that names what is no program": Row(
        "esp-shim-csv", "error", "it names shimx64.efi, which is no EFI program", Disk(files=vendor("test", shim=b"MZ" + bytes(100)))),
    "no CSV": Row(
        "esp-shim-csv", "error", "no directory below EFI has one", Disk(files=without("EFI/test/BOOTX64.CSV", vendor("test", loader="grubx64.efi")))),
    "a CSV that is bad beside a good one": Row(
        "esp-shim-csv", "warning", "/EFI/test/BOOTX64.CSV", Disk(files={**vendor("other", loader="grubx64.efi"), "EFI/test/BOOTX64.CSV": b"shimx64.efi,Test,,a\n"})),
    "GRUB behind shim that was cut off": Row(
        "esp-fallback-not-pe", "error", "no EFI program", Disk(files={**vendor("test", loader="grubx64.efi"), "EFI/test/grubx64.efi": makepe.grub()[:300]})),
    "GRUB behind shim without its module bli": Row(
        "loader-no-bli", "warning", "without the module bli",
        Disk(files={**SHIM, "EFI/BOOT/grubx64.efi": makepe.grub()}),
        verdict="no: partition 1: /EFI/BOOT/grubx64.efi: is GRUB 2.06 without"),
    "GRUB behind shim for another machine": Row(
        "esp-fallback-wrong-arch", "error", "a program for aarch64",
        Disk(files={**SHIM, "EFI/BOOT/grubx64.efi": makepe.grub(machine=makepe.ARM64, extra=b"grub\0bli\0" * 8)}), Disk(files=SHIM)),
    # Boot entries
    "a kernel that is a directory": Row(
        "bls-entry-file-missing", "error", "linux /linux: it is a directory", Disk(files={**without("linux"), "linux/a": "a"}),
        silent=("bls-linux-not-efi",)),
    "an initrd that is a directory": Row(
        "bls-entry-file-missing", "error", "initrd /initrd: it is a directory", Disk(files={**without("initrd"), "initrd/a": "a"})),
    "a device tree that is not there": Row(
        "bls-entry-file-missing", "error", "devicetree /a.dtb: there is no such file", Disk(files=entry("devicetree /a.dtb\n")),
        Disk(files=entry("devicetree /a.dtb\n", "a.dtb"))),
    "an overlay that is not there": Row(
        "bls-entry-file-missing", "warning", "devicetree-overlay /b.dtbo: there is no such file",
        Disk(files=entry("devicetree-overlay /a.dtbo /b.dtbo\n", "a.dtbo")),
        Disk(files=entry("devicetree-overlay /a.dtbo /b.dtbo\n", "a.dtbo", "b.dtbo"))),
    "an extra file that is not there": Row(
        "bls-entry-file-missing", "warning", "extra /b.cred: there is no such file",
        Disk(files=entry("extra /a.sysext.raw\nextra /b.cred\n", "a.sysext.raw")),
        Disk(files=entry("extra /a.sysext.raw\nextra /b.cred\n", "a.sysext.raw", "b.cred"))),
    "an extra file that is a directory": Row(
        "bls-entry-file-missing", "warning", "extra /a.cred: it is a directory", Disk(files=entry("extra /a.cred\n", "a.cred/b"))),
    # More than is read
    "an entry that is too large": Row(
        "not-judged", "info", "/loader/entries/big.conf has 2.0 MiB: entries above 1.0 MiB are not read",
        Disk(files={**TYPE1, "loader/entries/big.conf": TYPE1["loader/entries/test.conf"] + "# more\n" * (2 * MIB // 7 + 1)}),
        Disk(files={**TYPE1, "loader/entries/big.conf": TYPE1["loader/entries/test.conf"] + "# more\n" * (MIB // 8)})),
    "no entry but one that is too large": Row(
        "not-judged", "info", "/loader/entries/test.conf has 2.0 MiB: entries above 1.0 MiB are not read",
        Disk(files={**TYPE1, "loader/entries/test.conf": TYPE1["loader/entries/test.conf"] + "# more\n" * (2 * MIB // 7 + 1),
                    "loader/loader.conf": "default test.conf\n"}, root={"type": makedisk.GENERIC}),
        silent=("esp-no-loader-entries", "loader-conf-default-nomatch")),
    "more entries than are read": Row(
        "not-judged", "info", "/loader/entries has 520 names: the first 512 are read",
        Disk(files={**TYPE1, **{f"loader/entries/{n}.conf": TYPE1["loader/entries/test.conf"] for n in range(519)}}),
        Disk(files={**TYPE1, **{f"loader/entries/{n}.conf": TYPE1["loader/entries/test.conf"] for n in range(511)}})),
    "more files in EFI/Linux than are read": Row(
        "not-judged", "info", "/EFI/Linux has 513 names: the first 512 are read",
        Disk(files={**UKI, **{f"EFI/Linux/{n}.txt": "" for n in range(512)}})),
    "more text than is read": Row(
        "not-judged", "info", "have more than 4.0 MiB of text: what follows /loader/entries/1",
        Disk(files={**TYPE1, **{f"loader/entries/1{n:02}.conf": TYPE1["loader/entries/test.conf"] + "# more\n" * (MIB // 8) for n in range(20)}})),
    "more lines of a grub.cfg than are read": Row(
        "not-judged", "info", "/boot/grub/grub.cfg has more than 512 lines with a kernel",
        Disk(files=SHIM, tree={**TREE, "boot/grub/grub.cfg": f"linux /vmlinuz root=UUID={fs_uuid(2)} ro\n" * 513}),
        Disk(files=SHIM, tree={**TREE, "boot/grub/grub.cfg": f"linux /vmlinuz root=UUID={fs_uuid(2)} ro\n" * 512})),
    # Who reads what
    "an ESP in a RAID whose superblock is in front": Row(
        "esp-not-fat", "error", "holds linux_raid_member", Disk(after=mirror(4096)), Disk(after=mirror(34 * MIB - 8192))),
    "entries below /EFI": Row(
        "bls-entry-on-wrong-path", "warning", "loaders read /loader/entries", Disk(files={**TYPE1, "EFI/loader/entries/b.conf": "linux /linux\n"}),
        Disk(files={**TYPE1, "EFI/loader/entries/test.conf": TYPE1["loader/entries/test.conf"]})),
    "entries below /boot of their partition": Row(
        "bls-entry-on-wrong-path", "warning", "loaders read /loader/entries",
        Disk(files=SHIM, more=(ext4(type=makedisk.XBOOTLDR, files={"boot/loader/entries/b.conf": "linux /linux\noptions root=LABEL=x\n"}),)),
        Disk(files=SHIM, more=(ext4(type=makedisk.XBOOTLDR, files={"boot": pathlib.PurePosixPath("."), "linux": "x",
                                                            "loader/entries/b.conf": f"linux /linux\noptions root=UUID={fs_uuid(2)}\n"}),))),
    "a path with firmware's separators": Row(
        "bls-entry-file-missing", "error", "there is no such file", Disk(files=entry("initrd \\gone\\initrd\n")),
        Disk(files=entry("initrd \\there\\initrd\n", "there/initrd"))),
    "an XBOOTLDR without a driver": Row(
        "xbootldr-not-fat", "error", "systemd-boot and firmware cannot read it", Disk(more=EXT4_XBOOTLDR),
        Disk(files={**UKI, "EFI/systemd/drivers/ext4_x64.efi": makepe.kernel()}, more=EXT4_XBOOTLDR)),
    "an XBOOTLDR with a driver": Row(
        "xbootldr-not-fat", "warning", "with a driver of EFI/systemd/drivers alone",
        Disk(files={**UKI, "EFI/systemd/drivers/ext4_x64.efi": makepe.kernel()}, more=EXT4_XBOOTLDR)),
    # Profiles
    "a kernel in the second profile only": Row(
        "uki-no-linux", "error", "has no .linux: there is no kernel to start",
        Disk(files={**UKI, "EFI/Linux/b.efi": profiles(BASE, [], [KERNEL])}), Disk(files={**LOADER, "EFI/Linux/b.efi": profiles([], [*BASE, KERNEL])})),
    "a kernel in the first profile only": Row(
        "uki-no-linux", "warning", "its profile @1 has no .linux", Disk(files={**LOADER, "EFI/Linux/b.efi": profiles(BASE, [KERNEL], [])}),
        Disk(files={**LOADER, "EFI/Linux/b.efi": profiles(BASE, [KERNEL], [KERNEL])})),
    "an os-release in no profile": Row(
        "uki-no-osrel", "error", "has no .osrel", Disk(files={**UKI, "EFI/Linux/b.efi": profiles([KERNEL], [], [])}),
        Disk(files={**LOADER, "EFI/Linux/b.efi": profiles([KERNEL], BASE)})),
    "root= in the first profile only": Row(
        "root-missing", "info", "every boot entry says where root is", Disk(root={"type": makedisk.GENERIC}, files={
            **LOADER, "EFI/Linux/b.efi": profiles([*BASE, KERNEL], [(".cmdline", f"root=UUID={fs_uuid(2)}".encode())])}),
        silent=("uki-no-cmdline-no-root",)),
    "an os-release that is too large": Row(
        "uki-no-osrel", "error", "section .osrel", Disk(files={**UKI, "EFI/Linux/b.efi": makepe.uki("quiet", osrel=makepe.OSREL * (MIB // 40))})),
    # Files that cannot be read whole
    "a UKI that cannot be read": unreadable("EFI/Linux/b.efi", 0, {**UKI, "EFI/Linux/b.efi": makepe.uki("quiet")}, ("uki-truncated",)),
    "a UKI with an os-release that cannot be read": unreadable("EFI/Linux/b.efi", 3, {**UKI, "EFI/Linux/b.efi": makepe.uki("quiet")}, ("uki-no-osrel",)),
    "a UKI with a kernel that cannot be read": unreadable("EFI/Linux/b.efi", -2, {**UKI, "EFI/Linux/b.efi": makepe.uki("quiet")}, ()),
    "a loader that cannot be read": unreadable("EFI/BOOT/BOOTX64.EFI", 0, UKI, ("esp-fallback-not-pe",)),
    "GRUB that cannot be read": unreadable("EFI/BOOT/grubx64.efi", 0, SHIM, ("esp-fallback-not-pe",)),
    "a kernel that cannot be read": unreadable("linux", 0, TYPE1, ("bls-linux-not-efi",)),
    "an entry that cannot be read": unreadable(
        "loader/entries/big.conf", 0, {**TYPE1, "loader/entries/big.conf": ENTRY + "# more\n" * 200}, ("bls-entry-invalid",)),
    "a loader.conf that cannot be read": unreadable(
        "loader/loader.conf", 0, {**TYPE1, "loader/loader.conf": "default test.conf\n" + "# more\n" * 200}, ("loader-conf-default-nomatch",)),
    "a CSV that cannot be read": unreadable(
        "EFI/test/BOOTX64.CSV", 0, vendor("test", "shimx64.efi,Test,,GRUB" + "x" * 600 + "\n", loader="grubx64.efi"), ("esp-shim-csv",)),
    "an addon that cannot be read": unreadable(
        "EFI/Linux/test.efi.extra.d/x.addon.efi", 0, {**UKI, "EFI/Linux/test.efi.extra.d/x.addon.efi": makepe.addon()}, ("uki-addon-misplaced",)),
    # rootflags=
    "a subvolume of an ext4": Row(
        "cmdline-subvol-missing", "error", "ext4 in partition 2 has no subvolumes", Disk(files=with_root(f"root=UUID={fs_uuid(2)} rootflags=subvol=root")),
        Disk(files=with_root(f"root=UUID={fs_uuid(2)} rootflags=noatime"))),
    "a subvolume of an ext4 that is discovered": Row(
        "cmdline-subvol-missing", "error", "ext4 in partition 2 has no subvolumes", Disk(files={**LOADER, "EFI/Linux/a.efi": makepe.uki("rootflags=subvol=@")}),
        Disk(files={**LOADER, "EFI/Linux/a.efi": makepe.uki("rootflags=data=ordered")})),
    "the number of a subvolume of an ext4": Row(
        "cmdline-subvol-missing", "error", "rootflags=subvolid=256: the ext4 in partition 2 has no subvolumes", Disk(files=with_root(f"root=UUID={fs_uuid(2)} rootflags=subvolid=256"))),
    "the number of a subvolume that is not there": Row(
        "cmdline-subvol-missing", "error", "subvolid=999: the btrfs in partition 2 has no such subvolume",
        Disk(files=with_root(f"root=UUID={fs_uuid(2)} rootflags=subvolid=999"), root=BTRFS),
        Disk(files=with_root(f"root=UUID={fs_uuid(2)} rootflags=subvolid=5"), root=BTRFS)),
    # tmp
    "what was /tmp": Row(
        "tmp-type-on-tmp", "warning", "holds .ICE-unix, as only /tmp does", Disk(more=(ext4(type=TMP, files={"a": "a", ".ICE-unix": None}),)),
        Disk(more=(ext4(type=TMP, files={"a": "a", "systemd-private-1-a.service-b/tmp": None}),))),
    "what was /tmp, which fstab mounts elsewhere": Row(
        "tmp-type-on-tmp", "warning", "fstab mounts it at /tmp",
        Disk(tree=fstab(f"UUID={fs_uuid(3)} /tmp ext4 defaults 0 0\n"), more=(ext4(type=TMP, files={".X11-unix": None}),)),
        Disk(tree=fstab(f"UUID={fs_uuid(3)} /var/tmp ext4 defaults 0 0\n"), more=(ext4(type=TMP, files={".X11-unix": None}),))),
    "tmp in LUKS": Row(
        "not-judged", "info", "it is encrypted (tmp-type-on-tmp", Disk(more=(Partition(size=20, type=TMP, content="crypto_LUKS"),)),
        Disk(more=(Partition(size=2, type=TMP),))),
    # fstab
    "swap of fstab that is nowhere": Row(
        "fstab-shadows", "warning", "goes on without this swap", Disk(tree=fstab(f"UUID={NOWHERE} none swap sw 0 0\n")),
        Disk(tree=fstab(f"UUID={NOWHERE} none swap sw,nofail 0 0\nLABEL=no swap swap noauto\n"))),
    "swap of fstab by a label that is nowhere": Row(
        "fstab-shadows", "warning", "LABEL=nowhere as swap", Disk(tree=fstab("LABEL=nowhere none swap sw 0 0\n")),
        Disk(tree=fstab(f"PARTUUID=00000003-1111-4222-8333-444444444444 none swap sw 0 0\n/swapfile none swap sw\nUUID={fs_uuid(3)} swap swap sw\n"),
             more=(Partition(size=8, type=SWAP, content="swap"),))),
    "root of fstab that is nowhere": Row(
        "fstab-shadows", "error", "cannot be mounted again as fstab says", Disk(tree=fstab(f"UUID={NOWHERE} / ext4 defaults 0 1\n")),
        Disk(tree=fstab(f"UUID={fs_uuid(2)} / ext4 defaults 0 1\n"))),
    "root of fstab that is nowhere, with nofail": Row(
        "fstab-shadows", "error", "cannot be mounted again as fstab says", Disk(tree=fstab(f"UUID={NOWHERE} / ext4 nofail 0 1\n"))),
    "usr of fstab that is nowhere, with nofail": Row(
        "fstab-shadows", "error", "the boot waits for it", Disk(tree=fstab(f"UUID={NOWHERE} /usr ext4 nofail 0 1\n"))),
    "data of fstab that is nowhere": Row(
        "fstab-shadows", "error", "the boot waits for it", Disk(tree=fstab(f"PARTUUID={NOWHERE} /data ext4 defaults 0 1\n")),
        Disk(tree=fstab(f"PARTUUID={NOWHERE} /data ext4 x-systemd.automount 0 1\n"))),
    "home of fstab in LUKS, by crypttab": Row(
        "fstab-shadows", "info", "fstab mounts it at /home", Disk(tree=opened_by("data", "data", f"UUID={fs_uuid(3)}"), more=LUKS_HOME),
        Disk(tree=opened_by("data", "other", f"UUID={fs_uuid(3)}"), more=LUKS_HOME)),
    "home of fstab in LUKS, by a link of crypttab": Row(
        "fstab-shadows", "info", "fstab mounts it at /home", Disk(tree=opened_by("home", "home", f"/dev/disk/by-uuid/{fs_uuid(3)}"), more=LUKS_HOME),
        Disk(tree=opened_by("home", "home", f"UUID={NOWHERE}"), more=LUKS_HOME)),
    "home of fstab in LUKS, by a node of the target": Row(
        "fstab-shadows", "info", "fstab mounts it at /home", Disk(tree=opened_by("home", "home", "/dev/vda3"), more=LUKS_HOME),
        Disk(tree=opened_by("home", "home", "/dev/vda2"), more=LUKS_HOME)),
    "home of fstab in LUKS, by the name alone": Row(
        "fstab-shadows", "info", "fstab mounts it at /home", Disk(tree=fstab(f"/dev/mapper/luks-{fs_uuid(3)} /home ext4 defaults 0 2\n"), more=LUKS_HOME),
        Disk(tree=fstab("/dev/mapper/vg-home /home ext4 defaults 0 2\n"), more=LUKS_HOME)),
}
# fmt: on


@pytest.mark.parametrize("name", ROWS)
def test_fires(name: str, tmp_path: pathlib.Path) -> None:
    row = ROWS[name]
    findings = check(row.disk.make(tmp_path / "bad.raw"), *row.args)
    found = [finding for finding in findings if finding["code"] == row.code and row.says in finding["message"]]
    assert len(found) == 1, findings
    assert [finding["code"] for finding in findings].count(row.code) == row.counts or row.severity == "info", findings
    assert found[0]["severity"] == row.severity
    assert errors(findings) == ([row.code] if row.severity == "error" else []), findings
    assert not {finding["code"] for finding in findings} & set(row.silent), findings
    assert not row.unjudged or [finding for finding in findings if finding["code"] == "not-judged" and row.unjudged in finding["message"]], findings
    verdict = next(finding["message"] for finding in findings if finding["code"] == "dps-summary" and not finding["partition"])
    assert row.verdict in verdict
    mend(tmp_path / "bad.raw", found, row.args)


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.sound])
def test_silent(name: str, tmp_path: pathlib.Path) -> None:
    row = ROWS[name]
    assert row.sound
    findings = check(row.sound.make(tmp_path / "good.raw"), *row.args)
    assert not [finding for finding in findings if finding["code"] == row.code and row.says in finding["message"]], findings
    assert errors(findings) == [], findings
