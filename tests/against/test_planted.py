# SPDX-License-Identifier: LGPL-2.1-or-later
"""Faults, planted one at a time on disks of distributions: the fault's code, and no other error.

Layouts are those of tests/data/layouts.py, with others' boot programs.  A common run plants each
fault on one of its layouts, another one for each fault; DPS_LAYOUTS=all plants each on all.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "data"))
sys.path.insert(0, str(pathlib.Path(__file__).parent))
import binaries
import layouts
import makedisk
import makepe
from makedisk import MIB, Partition
from test_layouts import check, need_what_it_takes, of

# Names for messages, and what boots there.
GRUB = ("debian/x86_64", "fedora-cloud-43/x86_64", "opensuse-kiwi/x86_64", "bootc-generic/aarch64")
SHIM = (*GRUB, "rhel-cvm/x86_64")
SYSTEMD_BOOT = ("mkosi/x86_64", "arch-efi-xbootldr/x86_64", "opensuse-systemd-boot/x86_64")
UKIS = ("mkosi/x86_64", "mkosi/aarch64", "rhel-cvm/x86_64")
DISCOVERED = ("mkosi/x86_64", "mkosi/aarch64", "rhel-cvm/x86_64", "arch-efi-xbootldr/x86_64")
TYPE1 = ("arch-efi-xbootldr/x86_64", "opensuse-systemd-boot/x86_64", "arch-boot/x86_64")
WITH_ESP = (*GRUB, *SYSTEMD_BOOT, "rhel-cvm/x86_64", "windows-dual-boot/x86_64")
TREES = ("debian/x86_64", "fedora-cloud-43/x86_64", "opensuse-systemd-boot/x86_64", "mkosi/x86_64", "arch-efi-xbootldr/x86_64")
BTRFS = ("fedora-cloud-43/x86_64", "fedora-cloud-44/aarch64")
EVERY = (*WITH_ESP, "debian-bios/x86_64", "bootc-generic/s390x", "bootc-generic/ppc64le", "rhel-10/x86_64")


@dataclasses.dataclass
class Disk:
    """An image with what it was made from."""

    path: pathlib.Path
    recipe: layouts.Layout

    @property
    def suffix(self) -> str:
        return layouts.SUFFIXES[self.recipe.arch]

    def row(self, number: int) -> dict:
        rows = makedisk.table(self.path)["partitions"]
        return next(row for row in rows if row["node"].removeprefix(str(self.path)) == str(number))

    def offset(self, number: int) -> int:
        return self.row(number)["start"] * 512

    @property
    def esp(self) -> str:
        return f"{self.path}@@{self.offset(self.recipe.esp)}"

    @property
    def boot(self) -> str:
        """$BOOT, for mtools: XBOOTLDR where one is FAT, else the ESP."""
        for place, part in enumerate(self.recipe.partitions, 1):
            if part.type == makedisk.XBOOTLDR and part.content == "vfat":
                return f"{self.path}@@{self.offset(part.number or place)}"
        return self.esp

    def put(self, where: str, name: str, data: bytes | str) -> None:
        with tempfile.NamedTemporaryFile() as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            for parent in reversed(pathlib.PurePosixPath(name).parents[:-1]):
                subprocess.run(["mmd", "-D", "s", "-i", where, f"::{parent}"], env=makedisk.path_of_tools(), capture_output=True)
            makedisk.run("mcopy", "-D", "o", "-o", "-i", where, file.name, f"::{name}")

    def get(self, where: str, name: str) -> bytes:
        return subprocess.run(["mcopy", "-i", where, f"::{name}", "-"], env=makedisk.path_of_tools(), check=True,
                              capture_output=True).stdout

    def delete(self, where: str, *names: str) -> None:
        makedisk.run("mdel", "-i", where, *(f"::{name}" for name in names))

    def list(self, where: str, directory: str) -> list[str]:
        text = makedisk.run("mdir", "-b", "-i", where, f"::{directory}")
        return [line.removeprefix("::/") for line in text.split("\n") if line and not line.endswith("/")]

    def write(self, offset: int, data: bytes) -> None:
        with open(self.path, "r+b") as file:
            file.seek(offset if offset >= 0 else self.path.stat().st_size + offset)
            file.write(data)

    def read(self, offset: int, size: int) -> bytes:
        with open(self.path, "rb") as file:
            file.seek(offset if offset >= 0 else self.path.stat().st_size + offset)
            return file.read(size)

    def edit_table(self, change: Callable[[bytearray], None]) -> None:
        makedisk.edit_table(self.path, change)

    def numbers(self) -> list[int]:
        return sorted(part.number or place for place, part in enumerate(self.recipe.partitions, 1))


@dataclasses.dataclass
class Plant:
    severity: str
    on: tuple[str, ...]
    after: Callable[[Disk], None] | None = None  # done to the image
    before: Callable[[layouts.Layout], None] | None = None  # done to the recipe
    more: tuple[str, ...] = ()  # warnings that the same fault brings with it


PLANTS: dict[str, Plant] = {}


def plant(severity: str, *on: str, code: str = "", more: tuple[str, ...] = ()) -> Callable:
    """A function that plants a fault, named after its code."""

    def add(function: Callable) -> Callable:
        name = code or function.__name__.replace("_", "-")
        is_before = "recipe" in function.__code__.co_varnames[: function.__code__.co_argcount]
        assert name not in PLANTS, name
        PLANTS[name] = Plant(severity, on, None if is_before else function, function if is_before else None, more)
        return function

    return add


# --- The table ---


@plant("error", *EVERY)
def gpt_primary_bad(disk: Disk) -> None:
    disk.write(512 + 24, bytes([disk.read(512 + 24, 1)[0] ^ 0xFF]))


@plant("warning", *EVERY)
def gpt_backup_misplaced(disk: Disk) -> None:
    makedisk.run("truncate", "--size=+8M", disk.path)


@plant("warning", *EVERY)
def gpt_copies_differ(disk: Disk) -> None:
    backup = disk.read(-33 * 512, 33 * 512)
    makedisk.run("sfdisk", "-q", "--part-label", disk.path, disk.numbers()[0], "renamed")
    disk.write(-33 * 512, backup)


@plant("warning", *EVERY)
def gpt_half_written(disk: Disk) -> None:
    """The primary header points at the backup's entries."""
    header = bytearray(disk.read(512, 512))
    header[72:80] = disk.read(-512, 512)[72:80]
    header[16:20] = bytes(4)
    header[16:20] = struct.pack("<I", zlib.crc32(bytes(header[:92])))
    disk.write(512, bytes(header))


@plant("error", "debian/x86_64", "mkosi/x86_64", "fedora-cloud-43/x86_64")
def gpt_overlap(disk: Disk) -> None:
    """A swap partition that begins in the one before it."""
    rows = makedisk.table(disk.path)["partitions"]
    start = rows[-1]["start"] + rows[-1]["size"] - 2048
    number = len(rows)

    def change(entries: bytearray) -> None:
        entries[number * 128 : number * 128 + 32] = struct.pack("<IHH8s", 0x0657FD6D, 0xA4AB, 0x43C4, bytes.fromhex("84e50933c84b4f4f")) + b"\x77" * 16
        struct.pack_into("<QQ", entries, number * 128 + 32, start, start + 4095)

    disk.edit_table(change)


@plant("error", *EVERY)
def gpt_dup_partuuid(disk: Disk) -> None:
    """The first two entries: neither root's nor the ESP's UUID is named by PARTUUID=."""
    first, second = disk.numbers()[:2]

    def change(entries: bytearray) -> None:
        entries[(second - 1) * 128 + 16 : (second - 1) * 128 + 32] = entries[(first - 1) * 128 + 16 : (first - 1) * 128 + 32]

    disk.edit_table(change)


@plant("warning", *EVERY)
def gpt_null_partuuid(disk: Disk) -> None:
    number = disk.numbers()[-1]
    disk.edit_table(lambda entries: entries.__setitem__(slice((number - 1) * 128 + 16, (number - 1) * 128 + 32), bytes(16)))


@plant("warning", *EVERY)
def partuuid_is_type(disk: Disk) -> None:
    makedisk.run("sfdisk", "-q", "--part-uuid", disk.path, disk.numbers()[-1], makedisk.ROOT_X86_64)


@plant("warning", *EVERY)
def gpt_sector_size(disk: Disk) -> None:
    makedisk.run("sgdisk", "-j", 64, disk.path)
    disk.write(4096, b"EFI PART")


@plant("error", *EVERY)
def pmbr_missing(disk: Disk) -> None:
    disk.write(446 + 8, b"\2")


@plant("warning", *EVERY)
def pmbr_boot_flag(disk: Disk) -> None:
    disk.write(446, b"\x80")


@plant("warning", *EVERY)
def hybrid_mbr(disk: Disk) -> None:
    disk.write(446 + 16, b"\0\0\2\0\x83\0\0\0\0\x10\0\0\0\x10\0\0")


def set_flag(disk: Disk, number: int, flag: str) -> None:
    makedisk.run("sfdisk", "-q", "--part-attrs", disk.path, number, flag)


@plant("warning", *DISCOVERED, *BTRFS)
def flag_unknown(disk: Disk) -> None:
    set_flag(disk, disk.recipe.root, "GUID:50")


@plant("info", *DISCOVERED)
def flag_growfs_on_ro(disk: Disk) -> None:
    set_flag(disk, disk.recipe.root, "GUID:59,GUID:60")


@plant("warning", "mkosi/x86_64", "rhel-cvm/x86_64", "debian/x86_64")
def biosboot_missing(disk: Disk) -> None:
    disk.write(0, layouts.GRUB_MBR)


@plant("error", "debian-bios/x86_64", "fedora-cloud-44/x86_64", "bootc-generic/ppc64le")
def biosboot_has_dps_type(disk: Disk) -> None:
    makedisk.run("sfdisk", "-q", "--part-type", disk.path, 1, layouts.HOME)


# --- The ESP ---

# Two ways to boot: with an area for a BIOS an ESP that is gone is a warning.
ONLY_UEFI = ("debian/x86_64", "bootc-generic/aarch64", "rhel-cvm/x86_64", *SYSTEMD_BOOT)


@plant("error", *ONLY_UEFI)
def esp_missing(disk: Disk) -> None:
    makedisk.run("sgdisk", "-d", disk.recipe.esp, disk.path)


@plant("error", *ONLY_UEFI)
def esp_wrong_type(disk: Disk) -> None:
    makedisk.run("sfdisk", "-q", "--part-type", disk.path, disk.recipe.esp, makedisk.BASIC_DATA)


@plant("error", *WITH_ESP)
def esp_not_fat(disk: Disk) -> None:
    """Somebody formatted it."""
    size = disk.row(disk.recipe.esp)["size"] * 512
    with tempfile.NamedTemporaryFile() as file:
        file.truncate(size)
        makedisk.run("mkfs.ext4", "-q", "-F", file.name)
        makedisk.copy_into(disk.path, file.name, disk.offset(disk.recipe.esp))
        disk.write(disk.offset(disk.recipe.esp), bytes(1024))


@plant("error", *ONLY_UEFI)
def esp_no_block_io(disk: Disk) -> None:
    set_flag(disk, disk.recipe.esp, "NoBlockIOProtocol")


@plant("info", *GRUB, *SYSTEMD_BOOT)
def esp_no_auto(disk: Disk) -> None:
    set_flag(disk, disk.recipe.esp, "GUID:63")


@plant("warning", *SYSTEMD_BOOT)
def esp_multiple(disk: Disk) -> None:
    """Another one behind all others, as a cloned data disk has it."""
    makedisk.run("truncate", "--size=+66M", disk.path)
    makedisk.run("sgdisk", "-e", "-n", "0:0:+40M", "-t", "0:ef00", disk.path)
    rows = makedisk.table(disk.path)["partitions"]
    with tempfile.NamedTemporaryFile() as file:
        file.truncate(40 * MIB)
        makedisk.run("mkfs.fat", "-F32", file.name)
        makedisk.copy_into(disk.path, file.name, max(row["start"] for row in rows) * 512)


@plant("error", *WITH_ESP)
def esp_fat32_too_few_clusters(disk: Disk) -> None:
    """A size that leaves 60000 clusters, all files in them."""
    at = disk.offset(disk.recipe.esp)
    unit, reserved, size = (struct.unpack(kind, disk.read(at + where, n))[0] for kind, where, n in (("<B", 13, 1), ("<H", 14, 2), ("<I", 36, 4)))
    disk.write(at + 32, struct.pack("<I", reserved + 2 * size + 60000 * unit))


@plant("error", *WITH_ESP)
def esp_fat_larger_than_part(disk: Disk) -> None:
    at = disk.offset(disk.recipe.esp) + 32
    disk.write(at, struct.pack("<I", struct.unpack("<I", disk.read(at, 4))[0] + 2048))


@plant("warning", *WITH_ESP)
def esp_fat_dirty(disk: Disk) -> None:
    disk.write(disk.offset(disk.recipe.esp) + 0x41, b"\1")


@plant("error", *WITH_ESP)
def esp_fat_inconsistent(disk: Disk) -> None:
    """A cluster of a file is free in the second FAT."""
    at = disk.offset(disk.recipe.esp)
    reserved, fats, size = (struct.unpack(kind, disk.read(at + where, n))[0] for kind, where, n in (("<H", 14, 2), ("<B", 16, 1), ("<I", 36, 4)))
    assert fats == 2
    disk.write(at + (reserved + size) * 512 + 4 * 20, bytes(8))


@plant("warning", *SYSTEMD_BOOT)
def esp_file_bad_name(disk: Disk) -> None:
    disk.put(disk.esp, "EFI/Linux/t\u00e4st.efi", layouts.uki(disk.recipe.arch, "quiet"))


@plant("warning", "mkosi/x86_64", "rhel-cvm/x86_64", "arch-boot/x86_64", "debian/x86_64")
def esp_full(disk: Disk) -> None:
    info = makedisk.run("mdir", "-i", disk.esp, "::")
    free = int(info.strip().splitlines()[-1].replace("bytes free", "").replace(" ", ""))
    with tempfile.NamedTemporaryFile() as file:
        file.truncate(free - 1 * MIB)
        makedisk.run("mcopy", "-i", disk.esp, file.name, "::filler")


@plant("warning", "mkosi/x86_64", "arch-boot/x86_64")
def esp_small_for_kernels(recipe: layouts.Layout) -> None:
    """A kernel that fits once, and never twice."""
    part = next(p for p in recipe.partitions if p.type == makedisk.ESP)
    for name in list(part.files):
        if name.startswith("EFI/Linux/mkosi"):
            part.files[name] = layouts.uki(recipe.arch, "quiet", "mkosi", 40 * MIB)
        if name.startswith("vmlinuz"):
            part.files[name] = layouts.kernel(recipe.arch, 40 * MIB)
    part.size = 64


@plant("warning", *WITH_ESP)
def esp_random_seed_shipped(disk: Disk) -> None:
    disk.put(disk.esp, "loader/random-seed", bytes(range(32)))


# --- Loaders ---


@plant("error", *ONLY_UEFI)
def esp_fallback_missing(disk: Disk) -> None:
    disk.delete(disk.esp, f"EFI/BOOT/BOOT{disk.suffix.upper()}.EFI")


@plant("error", "debian/x86_64", "fedora-cloud-43/x86_64", *SYSTEMD_BOOT)
def esp_fallback_wrong_arch(disk: Disk) -> None:
    disk.put(disk.esp, "EFI/BOOT/BOOTX64.EFI", binaries.program("systemd-boot", "aarch64"))


@plant("error", *SHIM, *SYSTEMD_BOOT)
def esp_fallback_not_pe(disk: Disk) -> None:
    """The copy broke off in its headers."""
    name = f"EFI/BOOT/BOOT{disk.suffix.upper()}.EFI"
    disk.put(disk.esp, name, disk.get(disk.esp, name)[:300])


@plant("error", "debian/x86_64", "bootc-generic/aarch64", "rhel-cvm/x86_64")
def esp_fallback_orphan_shim(disk: Disk) -> None:
    disk.delete(disk.esp, f"EFI/BOOT/fb{disk.suffix}.efi")


@plant("error", "debian/x86_64", "bootc-generic/aarch64", "rhel-cvm/x86_64")
def esp_shim_csv(disk: Disk) -> None:
    """Somebody wrote it in UTF-8."""
    vendor = next(name for name in ("debian", "fedora", "opensuse", "redhat", "ubuntu")
                  if any(key.startswith(f"EFI/{name}/") for part in disk.recipe.partitions for key in part.files))
    disk.put(disk.esp, f"EFI/{vendor}/BOOT{disk.suffix.upper()}.CSV", f"shim{disk.suffix}.efi,{vendor},,This\n")


@plant("error", *SYSTEMD_BOOT)
def esp_no_loader_entries(disk: Disk) -> None:
    for where in {disk.esp, disk.boot}:
        for directory in ("EFI/Linux", "loader/entries"):
            try:
                names = disk.list(where, directory)
            except RuntimeError:
                continue
            disk.delete(where, *names) if names else None


@plant("error", "opensuse-kiwi/x86_64", "fedora-cloud-43/x86_64", "debian-cloud/x86_64")
def loader_no_bli(recipe: layouts.Layout) -> None:
    """Somebody took root= out of the command lines, for the partition has the type."""
    for part in recipe.partitions:
        for name, what in part.files.items():
            if name.endswith(("grub.cfg", ".conf")) and isinstance(what, str):
                part.files[name] = "\n".join(
                    " ".join(word for word in line.split(" ") if not word.startswith("root=")) for line in what.split("\n"))


@plant("warning", *SYSTEMD_BOOT)
def loader_conf_default_nomatch(disk: Disk) -> None:
    disk.put(disk.esp, "loader/loader.conf", "timeout 3\ndefault gone-*\n")


@plant("info", *SYSTEMD_BOOT)
def loader_conf_unknown_key(disk: Disk) -> None:
    disk.put(disk.esp, "loader/loader.conf", "timeout 3\ncolour blue\n")


# --- Boot entries ---


def change_entry(disk: Disk, change: Callable[[str], str]) -> None:
    name = disk.list(disk.boot, "loader/entries")[0]
    disk.put(disk.boot, name, change(disk.get(disk.boot, name).decode()))


def file_of(disk: Disk, key: str) -> str:
    name = disk.list(disk.boot, "loader/entries")[0]
    line = next(line for line in disk.get(disk.boot, name).decode().splitlines() if line.split()[0] == key)
    return line.split()[1].lstrip("/")


@plant("error", *TYPE1, "pop-os/x86_64", "nixos/x86_64")
def bls_entry_file_missing(disk: Disk) -> None:
    disk.delete(disk.boot, file_of(disk, "initrd"))


@plant("warning", *TYPE1)
def bls_entry_invalid(disk: Disk) -> None:
    change_entry(disk, lambda text: text + "colour blue\n")


@plant("info", *TYPE1, "nixos/x86_64")
def bls_entry_arch_hidden(disk: Disk) -> None:
    """A second entry, for the other half of a stick that boots both."""
    disk.put(disk.boot, "loader/entries/other.conf", "title Other\nlinux /other\narchitecture aa64\noptions quiet\n")


@plant("warning", *SYSTEMD_BOOT)
def bls_entry_on_wrong_path(disk: Disk) -> None:
    disk.put(disk.esp, "EFI/loader/entries/lost.conf", "title Lost\nlinux /linux\n")


@plant("error", *TYPE1)
def bls_linux_not_efi(disk: Disk) -> None:
    disk.put(disk.boot, file_of(disk, "linux"), b"\x1f\x8b" + bytes(4096))


@plant("warning", *TYPE1)
def bls_all_bad_counters(disk: Disk) -> None:
    for name in disk.list(disk.boot, "loader/entries"):
        makedisk.run("mren", "-i", disk.boot, f"::{name}", f"::{name.removesuffix('.conf')}+0-3.conf")


@plant("warning", *SYSTEMD_BOOT)
def bls_srel_foreign(disk: Disk) -> None:
    disk.put(disk.boot, "loader/entries.srel", "other\n")


@plant("error", "opensuse-systemd-boot/x86_64", "arch-boot/x86_64")
def cmdline_root_missing(disk: Disk) -> None:
    """The disk was copied, and its file systems got new UUIDs."""
    for name in disk.list(disk.boot, "loader/entries"):
        text = disk.get(disk.boot, name).decode()
        disk.put(disk.boot, name, text.replace("root=UUID=0000", "root=UUID=ffff").replace("root=PARTUUID=0000", "root=PARTUUID=ffff"))


@plant("error", "opensuse-systemd-boot/x86_64")
def cmdline_subvol_missing(disk: Disk) -> None:
    """snapper removed the snapshot, and its entry stayed."""
    change_entry(disk, lambda text: text.replace("snapshots/1/", "snapshots/7/"))


# --- Unified kernel images ---


def uki_of(disk: Disk) -> str:
    return next(name for name in disk.list(disk.esp, "EFI/Linux") if name.endswith(".efi"))


@plant("error", *UKIS)
def uki_no_osrel(disk: Disk) -> None:
    disk.put(disk.esp, uki_of(disk), makepe.uki("quiet", osrel=None, machine=layouts.MACHINES[disk.recipe.arch]))


@plant("error", *UKIS)
def uki_no_linux(disk: Disk) -> None:
    """The stub itself was copied there."""
    stub = binaries.program("stub", disk.recipe.arch)
    disk.put(disk.esp, "EFI/Linux/stub.efi", stub)


@plant("error", *UKIS)
def uki_wrong_arch(disk: Disk) -> None:
    other = "aarch64" if disk.recipe.arch == "x86_64" else "x86_64"
    disk.put(disk.esp, "EFI/Linux/other.efi", layouts.uki(other, "quiet"))


@plant("error", *UKIS)
def uki_truncated(disk: Disk) -> None:
    name = uki_of(disk)
    disk.put(disk.esp, name, disk.get(disk.esp, name)[:-200_000])


@plant("error", *UKIS)
def uki_section_overlap(disk: Disk) -> None:
    disk.put(disk.esp, uki_of(disk), makepe.uki("quiet", machine=layouts.MACHINES[disk.recipe.arch], overlap=True))


@plant("warning", *UKIS)
def uki_dup_section(disk: Disk) -> None:
    disk.put(disk.esp, uki_of(disk), makepe.uki("quiet", machine=layouts.MACHINES[disk.recipe.arch], extra=((".uname", b"1"), (".uname", b"2"))))


@plant("warning", *SYSTEMD_BOOT)
def uki_in_subdir(disk: Disk) -> None:
    disk.put(disk.esp, "EFI/Linux/6.11/linux.efi", layouts.uki(disk.recipe.arch, "quiet"))


@plant("error", *UKIS)
def uki_cmdline_root(disk: Disk) -> None:
    disk.put(disk.esp, uki_of(disk), layouts.uki(disk.recipe.arch, "root=UUID=12345678-1234-4234-8234-123456789abc"))


@plant("warning", *UKIS)
def uki_cmdline_gptauto_off(disk: Disk) -> None:
    disk.put(disk.esp, uki_of(disk), layouts.uki(disk.recipe.arch, "rd.systemd.gpt_auto=0"))


@plant("warning", *UKIS)
def uki_addon_misplaced(disk: Disk) -> None:
    disk.put(disk.esp, "EFI/Linux/debug.addon.efi", makepe.addon(layouts.MACHINES[disk.recipe.arch]))


@plant("info", "rhel-cvm/x86_64")
def uki_unsigned_mixed(disk: Disk) -> None:
    """shim is signed; the image is not."""


# --- Root ---


def set_type(disk: Disk, number: int, guid: str) -> None:
    makedisk.run("sfdisk", "-q", "--part-type", disk.path, number, guid)


@plant("error", *DISCOVERED)
def root_missing(disk: Disk) -> None:
    set_type(disk, disk.recipe.root, makedisk.GENERIC)


@plant("error", *DISCOVERED)
def root_no_auto(disk: Disk) -> None:
    set_flag(disk, disk.recipe.root, "GUID:63")


@plant("error", *DISCOVERED, *BTRFS)
def root_foreign_arch(disk: Disk) -> None:
    set_type(disk, disk.recipe.root, layouts.ROOTS["s390x"])


@plant("warning", *DISCOVERED)
def root_label_empty_marker(disk: Disk) -> None:
    makedisk.run("sfdisk", "-q", "--part-label", disk.path, disk.recipe.root, "_empty")


@plant("error", *DISCOVERED)
def root_unformatted(disk: Disk) -> None:
    disk.write(disk.offset(disk.recipe.root), bytes(MIB))


@plant("info", *DISCOVERED)
def root_read_only_flag(disk: Disk) -> None:
    set_flag(disk, disk.recipe.root, "GUID:60")


@plant("warning", *DISCOVERED)
def root_fs_not_allowed(recipe: layouts.Layout) -> None:
    recipe.partitions[recipe.root - 1].mkfs = ("-t", "ext2")


@plant("error", *DISCOVERED)
def fs_ambiguous(disk: Disk) -> None:
    """An xfs was there before, and its superblock still is."""
    disk.write(disk.offset(disk.recipe.root), XFS())


@functools.lru_cache(maxsize=None)
def XFS() -> bytes:  # noqa: N802
    with tempfile.NamedTemporaryFile() as file:
        file.truncate(320 * MIB)
        makedisk.run("mkfs.xfs", "-q", "-f", file.name)
        return file.read(512)


@plant("warning", *DISCOVERED)
def root_multiple(recipe: layouts.Layout) -> None:
    """A second system, which nothing tells from the first."""
    other = copy.deepcopy(recipe.partitions[recipe.root - 1])
    other.name, other.label = "root-b", ""
    recipe.partitions.append(other)


@plant("error", *DISCOVERED)
def root_type_on_pv(recipe: layouts.Layout) -> None:
    part = recipe.partitions[recipe.root - 1]
    part.content, part.files = "LVM2_member", {}


@plant("error", *BTRFS)
def btrfs_no_default_subvol(recipe: layouts.Layout) -> None:
    """The entries do not name the subvolume any more."""
    for part in recipe.partitions:
        for files in (part.files, *part.more_files.values()):
            for name, what in files.items():
                if name.endswith(".conf") and isinstance(what, str):
                    files[name] = what.replace("rootflags=subvol=root", "")


@plant("warning", *BTRFS)
def btrfs_default_not_root(recipe: layouts.Layout) -> None:
    recipe.partitions[recipe.root - 1].default = "home"


# --- The tree ---


def tree_of(recipe: layouts.Layout) -> dict:
    return next(part for part in recipe.partitions if "usr/lib/os-release" in part.files).files


def add(recipe: layouts.Layout, **more: object) -> int:
    recipe.partitions.append(Partition(**{"size": 64, "content": "ext4", **more}))
    return len(recipe.partitions)


@plant("error", *TREES)
def fstab_shadows(recipe: layouts.Layout) -> None:
    tree_of(recipe)["etc/fstab"] += "UUID=12345678-1234-4234-8234-123456789abc /data ext4 defaults 0 2\n"


@plant("warning", *SYSTEMD_BOOT[:2], "arch-boot/x86_64")
def esp_fstab_world_readable(recipe: layouts.Layout) -> None:
    files = tree_of(recipe)
    lines = [line for line in files["etc/fstab"].splitlines() if " vfat " not in line]
    files["etc/fstab"] = "\n".join([*lines, f"{layouts.fat(recipe.esp)} /efi vfat defaults 0 2\n"])


@plant("info", "mkosi/x86_64", "arch-efi-xbootldr/x86_64")
def fstab_boot_efi(recipe: layouts.Layout) -> None:
    tree_of(recipe)["etc/fstab"] += f"{layouts.fat(recipe.esp)} /boot/efi vfat umask=0077 0 2\n"


@plant("warning", "mkosi/x86_64", "arch-efi-xbootldr/x86_64", "debian/x86_64", "fedora-cloud-44/x86_64")
def mount_target_populated(recipe: layouts.Layout) -> None:
    tree_of(recipe)["srv/www/index.html"] = "x"
    add(recipe, type="3b8f8425-20e0-4f3b-907f-1a25a76f98e8")


@plant("error", *DISCOVERED[:1], "arch-efi-xbootldr/x86_64", "opensuse-systemd-boot/x86_64")
def swap_type_mismatch(recipe: layouts.Layout) -> None:
    add(recipe, type=layouts.SWAP)


@plant("warning", "mkosi/x86_64", "opensuse-systemd-boot/x86_64")
def swap_multiple(recipe: layouts.Layout) -> None:
    for _ in range(2):
        add(recipe, type=layouts.SWAP, content="swap")


@plant("warning", *TREES)
def aux_duplicate(recipe: layouts.Layout) -> None:
    for _ in range(2):
        add(recipe, type="3b8f8425-20e0-4f3b-907f-1a25a76f98e8")


VAR = "4d21b016-b534-45c2-a9fb-5c16e091fd2d"


@plant("error", "arch-efi-xbootldr/x86_64", "debian/x86_64")
def var_partuuid_mismatch(recipe: layouts.Layout) -> None:
    add(recipe, type=VAR)


@plant("warning", "mkosi/x86_64", "debian-cloud/x86_64")
def var_no_machine_id(recipe: layouts.Layout) -> None:
    add(recipe, type=VAR, number=20)


@plant("warning", "arch-efi-xbootldr/x86_64", "debian/x86_64", "mkosi/x86_64")
def tmp_type_on_tmp(recipe: layouts.Layout) -> None:
    """As blivet tags it."""
    number = add(recipe, type="7ec6f557-3bc5-4aca-b293-16ef5df639d1")
    tree_of(recipe)["etc/fstab"] += f"{layouts.fs(number)} /tmp ext4 defaults 0 2\n"


@plant("warning", "arch-efi-xbootldr/x86_64", "debian/x86_64", "mkosi/x86_64")
def crypttab_name_clash(recipe: layouts.Layout) -> None:
    number = add(recipe, type=layouts.HOME, content="crypto_LUKS")
    tree_of(recipe)["etc/crypttab"] = f"luks-home {layouts.fs(number)} none luks\n"


@plant("info", *DISCOVERED)
def luks_no_unlock(recipe: layouts.Layout) -> None:
    part = recipe.partitions[recipe.root - 1]
    part.content, part.files = "crypto_LUKS", {}


@plant("warning", "mkosi/x86_64", "arch-efi-xbootldr/x86_64")
def usr_not_discovered(recipe: layouts.Layout) -> None:
    add(recipe, type="8484680c-9521-48c6-9c11-b0720656f69e")


@plant("error", "mkosi/x86_64", "rhel-cvm/x86_64")
def verity_unpaired(recipe: layouts.Layout) -> None:
    """Hashes of the root before it was changed."""
    with tempfile.TemporaryDirectory() as place:
        data, hashes = pathlib.Path(place, "data"), pathlib.Path(place, "hashes")
        data.write_bytes(bytes(64 * 4096))
        makedisk.run("veritysetup", "format", data, hashes)
        recipe.partitions.append(Partition(size=8, type="2c7357ed-ebd2-46d9-aec1-23d437ec2bf5", content="raw", files={"": hashes.read_bytes()}))


# --- XBOOTLDR ---


@plant("error", "arch-efi-xbootldr/x86_64")
def xbootldr_not_fat(recipe: layouts.Layout) -> None:
    part = next(part for part in recipe.partitions if part.type == makedisk.XBOOTLDR)
    part.content = "ext4"


@plant("error", "arch-efi-xbootldr/x86_64", "fedora-cloud-43/x86_64")
def xbootldr_multiple(recipe: layouts.Layout) -> None:
    add(recipe, type=makedisk.XBOOTLDR, content="vfat")


# --- The tests ---

IMAGES = tempfile.TemporaryDirectory(prefix="planted-")


@functools.lru_cache(maxsize=None)
def sound(name: str) -> tuple[layouts.Layout, pathlib.Path, tuple[str, ...]]:
    recipe = layouts.LAYOUTS[name]()
    path = recipe.make(pathlib.Path(IMAGES.name, name.replace("/", "-")))
    return recipe, path, tuple(of(check(path), "error"))


def rows() -> list[tuple[str, str]]:
    if os.environ.get("DPS_LAYOUTS") == "all":
        return [(code, name) for code, row in PLANTS.items() for name in dict.fromkeys(row.on)]
    return [(code, row.on[place % len(row.on)]) for place, (code, row) in enumerate(PLANTS.items())]


@pytest.mark.parametrize(("code", "name"), rows())
def test_planted(code: str, name: str, tmp_path: pathlib.Path) -> None:
    row = PLANTS[code]
    need_what_it_takes(layouts.LAYOUTS[name]())
    image = tmp_path / "disk.raw"
    if row.before:
        recipe = copy.deepcopy(layouts.LAYOUTS[name]())
        row.before(recipe)
        recipe.make(image)
    else:
        recipe, path, errors = sound(name)
        assert errors == ()
        makedisk.run("cp", "--sparse=always", "--reflink=auto", path, image)
        row.after(Disk(image, recipe))
    findings = check(image)
    found = [f for f in findings if f["code"] == code]
    assert found, findings
    assert row.severity in {f["severity"] for f in found}, found
    assert of(findings, "error") == ([f"error {code}"] if row.severity == "error" else []), findings


@pytest.mark.parametrize(("name", "gone", "severity"), [
    ("debian/x86_64", "EFI/debian/grubx64.efi", "error"),
    ("bootc-generic/aarch64", "EFI/fedora/grubaa64.efi", "error"),
    ("fedora-cloud-43/x86_64", "EFI/fedora/grubx64.efi", "warning"),  # it boots by BIOS, too
    ("opensuse-kiwi/x86_64", "EFI/opensuse/grub.efi", "warning"),
    ("rhel-cvm/x86_64", "EFI/Linux", "error"),
])
def test_vendor_without_its_loader(name: str, gone: str, severity: str, tmp_path: pathlib.Path) -> None:
    """A real shim, whose fallback and CSV are good, in a directory without what it starts."""
    need_what_it_takes(layouts.LAYOUTS[name]())
    recipe, path, _ = sound(name)
    makedisk.run("cp", "--sparse=always", "--reflink=auto", path, tmp_path / "disk.raw")
    disk = Disk(tmp_path / "disk.raw", recipe)
    disk.delete(disk.esp, *([gone] if gone.endswith(".efi") else disk.list(disk.esp, gone)))
    findings = check(disk.path)
    found = [f for f in findings if f["code"] == "esp-fallback-orphan-shim"]
    # What a line tells shim to start is a path; its own loader is beside it.
    wanted = gone.rpartition("/")[2] if gone.endswith(".efi") and "grub.efi" not in gone else ".efi"
    assert [f["severity"] for f in found] == [severity] and wanted in found[0]["message"], findings
    assert of(findings, "error") == (["error esp-fallback-orphan-shim"] if severity == "error" else [])
