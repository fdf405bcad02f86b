# SPDX-License-Identifier: LGPL-2.1-or-later
"""Faults, planted one at a time on a disk that has none.

Each row makes a disk with one fault: check gives its code, at its severity, and no other error.  The
same disk without the fault gives neither the code nor any error.  Programs are those of makepe;
test_planted.py has the same on disks of distributions, with programs that others built.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import uuid
from collections.abc import Callable

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "data"))
import gpt
import makedisk
import makepe
from makedisk import MIB, Partition

DPS_TAG = os.environ["DPS_TAG"]
HOME = "933ac7e1-2eb4-4f13-b844-0e14e2aef915"
VAR = "4d21b016-b534-45c2-a9fb-5c16e091fd2d"
SWAP = "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"
USR = "8484680c-9521-48c6-9c11-b0720656f69e"
ROOT_VERITY = "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5"
ROOT_VERITY_SIG = "41092b05-9fc8-4523-994f-2def0408b176"
ROOT_PPC64LE = "c31c45e6-3f39-412e-80fb-4809c4980599"
BIOS_BOOT = "21686148-6449-6e6f-744e-656564454649"
MACHINE_ID = "3d1219c7c4c5404aaa1f6d2a48adfda4"

LOADER = {"EFI/BOOT/BOOTX64.EFI": makepe.systemd_boot()}
UKI = {**LOADER, "EFI/Linux/test.efi": makepe.uki("quiet")}
ENTRY = "title Test\nlinux /linux\ninitrd /initrd\noptions quiet\n"
TYPE1 = {**LOADER, "loader/entries/test.conf": ENTRY, "linux": makepe.kernel(), "initrd": b"initrd"}
TREE = {**makedisk.TREE, "etc/machine-id": MACHINE_ID + "\n"}
SHIM = {"EFI/BOOT/BOOTX64.EFI": makepe.shim(), "EFI/BOOT/grubx64.efi": makepe.grub(extra=b"grub\0bli\0" * 8)}
CSV = "grubx64.efi,Test,,a comment\n".encode("utf-16-le")


def with_root(text: str) -> dict:
    """An entry of its own command line."""
    return {**TYPE1, "loader/entries/test.conf": ENTRY.replace("options quiet", f"options {text}")}


@dataclasses.dataclass
class Disk:
    """What a disk is made of; the fields' defaults are a sound one."""

    files: dict = dataclasses.field(default_factory=lambda: UKI)  # of the ESP
    esp: dict = dataclasses.field(default_factory=dict)
    root: dict = dataclasses.field(default_factory=dict)
    tree: dict = dataclasses.field(default_factory=lambda: TREE)
    first: tuple = ()
    more: tuple = ()
    after: Callable | None = None  # what is done to the image

    def make(self, path: pathlib.Path) -> pathlib.Path:
        esp = Partition(**{"size": 34, "type": makedisk.ESP, "content": "vfat", "files": self.files, **self.esp})
        root = Partition(**{"size": 32, "type": makedisk.ROOT_X86_64, "content": "ext4", "files": self.tree,
                            **self.root})
        makedisk.make(path, [*self.first, esp, root, *self.more])
        if self.after:
            self.after(path)
        return path


@dataclasses.dataclass
class Fault:
    severity: str
    disk: Disk
    sound: Disk = dataclasses.field(default_factory=Disk)  # the same without the fault
    args: tuple = ()


def write_at(offset: int, data: bytes) -> Callable:
    def after(path: pathlib.Path) -> None:
        with open(path, "r+b") as file:
            file.seek(offset if offset >= 0 else path.stat().st_size + offset)
            file.write(data)

    return after


def change_at(offset: int, change: Callable[[int], int]) -> Callable:
    def after(path: pathlib.Path) -> None:
        with open(path, "r+b") as file:
            file.seek(offset)
            byte = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([change(byte)]))

    return after


def sgdisk(*words: object) -> Callable:
    return lambda path: makedisk.run("sgdisk", *words, path)


def inside(number: int, *command: object) -> Callable:
    """Runs a tool on the contents of a partition: {} stands for the file."""

    def after(path: pathlib.Path) -> None:
        row = makedisk.table(path)["partitions"][number - 1]
        start, size = row["start"] * 512, row["size"] * 512
        part = path.with_suffix(".part")
        with open(path, "rb") as file:
            file.seek(start)
            part.write_bytes(file.read(size))
        makedisk.run(*[part if word == "{}" else word for word in command])
        with open(path, "r+b") as file:
            file.seek(start)
            file.write(part.read_bytes())

    return after


def overlap(path: pathlib.Path) -> None:
    """The last partition's first sector moved into the one before it, in both copies."""

    def change(entries: bytearray) -> None:
        first = struct.unpack_from("<Q", entries, 2 * 128 + 32)[0]
        struct.pack_into("<Q", entries, 2 * 128 + 32, first - 2048)

    makedisk.edit_table(path, change)


def null_partuuid(path: pathlib.Path) -> None:
    def change(entries: bytearray) -> None:
        entries[2 * 128 + 16 : 2 * 128 + 32] = bytes(16)

    makedisk.edit_table(path, change)


def var_uuid() -> str:
    digest = bytearray(hmac.new(bytes.fromhex(MACHINE_ID), uuid.UUID(VAR).bytes, hashlib.sha256).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x40
    digest[8] = digest[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(digest)))


def fs_uuid(number: int) -> str:
    return f"{number:08x}-aaaa-4bbb-8ccc-dddddddddddd"  # as makedisk gives them


def fstab(text: str, **more: object) -> dict:
    return {**TREE, "etc/fstab": text, **more}


def ext4(**more: object) -> Partition:
    return Partition(**{"size": 16, "content": "ext4", **more})


LUKS_ROOT = {"content": "crypto_LUKS", "files": {}}
GRUB_AREA = b"\x52\xe8\x28\x01\x74" + bytes(300) + b"loading\0.\0\r\n\0Geom\0Read\0 Error\0"
GRUB_MBR = b"\xeb\x63\x90" + bytes(380) + b"GRUB \0Geom\0Hard Disk\0Read\0 Error\0"
MORE_HOME = (ext4(type=HOME),)
SMALL_ESP = {"size": 40, "mkfs": ("-F32",)}


def full(path: pathlib.Path) -> None:
    """Fills the ESP until 3 MiB are free."""
    filler = path.with_suffix(".fill")
    with open(filler, "wb") as file:
        file.truncate(29 * MIB)
    makedisk.run("mcopy", "-i", f"{path}@@{MIB}", filler, "::filler")


def two_names(path: pathlib.Path) -> None:
    """Renames the file BB.TXT in the root directory to AA.TXT, which is there."""
    data = path.read_bytes()[MIB : MIB + 34 * MIB]
    at = data.index(b"BB      TXT")
    write_at(MIB + at, b"AA      TXT")(path)


def token(path: pathlib.Path) -> None:
    """A token of systemd-cryptenroll, as it writes it, by cryptsetup's own hand."""
    part, text = path.with_suffix(".part"), path.with_suffix(".json")
    text.write_text(json.dumps({"type": "systemd-tpm2", "keyslots": ["0"], "tpm2-blob": "AAAA", "tpm2-pcrs": [5, 7],
                                "tpm2-policy-hash": "00"}))
    inside(2, "cryptsetup", "token", "import", "--json-file", text, "{}")(path)
    assert part


# fmt: off
FAULTS: dict[str, Fault] = {
    # The table
    "gpt-overlap": Fault("error", Disk(more=(ext4(),), after=overlap), Disk(more=(ext4(),))),
    "gpt-dup-partuuid": Fault("error", Disk(more=(ext4(uuid="00000002-1111-4222-8333-444444444444"),))),
    "gpt-null-partuuid": Fault("warning", Disk(more=(ext4(),), after=null_partuuid), Disk(more=(ext4(),))),
    "gpt-sector-size": Fault("warning", Disk(after=lambda path: (sgdisk("-j", 64)(path), write_at(4096, b"EFI PART")(path)))),
    "gpt-entry-size": Fault("error", Disk(after=gpt.widen)),
    "pmbr-missing": Fault("error", Disk(after=write_at(446 + 8, b"\2"))),
    "pmbr-boot-flag": Fault("warning", Disk(after=write_at(446, b"\x80"))),
    "hybrid-mbr": Fault("warning", Disk(after=write_at(446 + 16, b"\0\0\2\0\x83\0\0\0\0\x10\0\0\0\x10\0\0"))),
    "flag-unknown": Fault("warning", Disk(root={"attrs": "GUID:50"})),
    "flag-growfs-on-ro": Fault("info", Disk(root={"attrs": "GUID:59 GUID:60"}), Disk(root={"attrs": "GUID:59"})),
    "biosboot-as-prep": Fault("error", Disk(first=(Partition(size=8, type=BIOS_BOOT),), files={},
                                            root={"type": ROOT_PPC64LE}),
                              Disk(first=(Partition(size=8, type="9e1a2d38-c612-4316-aa26-8b49521e5a8b"),), files={},
                                   root={"type": ROOT_PPC64LE})),
    "biosboot-missing": Fault("warning", Disk(after=write_at(0, GRUB_MBR))),
    "biosboot-has-dps-type": Fault("error", Disk(more=(Partition(size=1, type=HOME),),
                                                 after=write_at((1 + 34 + 32) * MIB, GRUB_AREA))),
    # The EFI system partition
    "esp-wrong-type": Fault("error", Disk(esp={"type": makedisk.BASIC_DATA})),
    "esp-no-block-io": Fault("error", Disk(esp={"attrs": "NoBlockIOProtocol"})),
    "esp-no-auto": Fault("info", Disk(esp={"attrs": "GUID:63"})),
    "esp-not-fat32": Fault("warning", Disk(esp={"mkfs": ("-F16",)})),
    "esp-fat32-too-few-clusters": Fault("error", Disk(after=write_at(MIB + 32, struct.pack("<I", 62000)))),
    "esp-fat16-too-many-clusters": Fault(
        "error", Disk(after=lambda path: many_clusters(path)), Disk(esp={"mkfs": ("-F16",)})),
    "esp-fat-bpb-sector-size": Fault("warning", Disk(esp={"size": 300, "mkfs": ("-F32", "-S4096")})),
    "esp-fat-larger-than-part": Fault("error", Disk(after=write_at(MIB + 32, struct.pack("<I", 80 * 2048)))),
    "esp-fat-dirty": Fault("warning", Disk(after=write_at(MIB + 0x41, b"\1"))),
    "esp-fat-inconsistent": Fault("error", Disk(after=lambda path: copies_differ(path))),
    "esp-case-collision": Fault("error", Disk(files={**UKI, "AA.TXT": b"a", "BB.TXT": b"b"}, after=two_names),
                                Disk(files={**UKI, "AA.TXT": b"a", "BB.TXT": b"b"})),
    "esp-file-bad-name": Fault("warning", Disk(files={**UKI, "EFI/Linux/t\u00e4st.efi": makepe.uki("quiet")})),
    "esp-too-small": Fault("warning", Disk(), Disk(esp={"size": 110})),
    "esp-full": Fault("warning", Disk(after=full)),
    "esp-small-for-kernels": Fault("warning", Disk(files={**LOADER, "EFI/Linux/a.efi": makepe.uki("quiet", size=18 * MIB)}),
                                   Disk(esp={"size": 1100})),
    "esp-random-seed-shipped": Fault("warning", Disk(files={**UKI, "loader/random-seed": bytes(32)})),
    "esp-fstab-world-readable": Fault("warning", Disk(tree=fstab("UUID=ABCD-0001 /efi vfat defaults 0 0\n")),
                                      Disk(tree=fstab("UUID=ABCD-0001 /efi vfat umask=0077 0 0\n"))),
    "xbootldr-multiple": Fault("error", Disk(more=(Partition(size=34, type=makedisk.XBOOTLDR, content="vfat"),
                                                   Partition(size=34, type=makedisk.XBOOTLDR, content="vfat"))),
                               Disk(more=(Partition(size=34, type=makedisk.XBOOTLDR, content="vfat"),))),
    # Loaders
    "esp-fallback-missing": Fault("error", Disk(files={"EFI/Linux/test.efi": makepe.uki("quiet")})),
    "esp-fallback-wrong-arch": Fault("error", Disk(files={**UKI, "EFI/BOOT/BOOTX64.EFI": makepe.systemd_boot(makepe.ARM64)})),
    "esp-fallback-not-pe": Fault("error", Disk(files={**UKI, "EFI/BOOT/BOOTX64.EFI": b"MZ" + bytes(100)})),
    "esp-fallback-orphan-shim": Fault("error", Disk(files={"EFI/BOOT/BOOTX64.EFI": makepe.shim()}), Disk(files=SHIM)),
    "esp-shim-csv": Fault("error", Disk(files={"EFI/BOOT/BOOTX64.EFI": makepe.shim(), "EFI/BOOT/fbx64.efi": makepe.shim()}),
                          Disk(files={"EFI/BOOT/BOOTX64.EFI": makepe.shim(), "EFI/BOOT/fbx64.efi": makepe.shim(),
                                      "EFI/test/BOOTX64.CSV": CSV, "EFI/test/grubx64.efi": makepe.grub()})),
    "esp-no-loader-entries": Fault("error", Disk(files=LOADER)),
    "loader-no-bli": Fault("error", Disk(files={**TYPE1, "EFI/BOOT/BOOTX64.EFI": makepe.grub("2.06")})),
    "loader-conf-default-nomatch": Fault("warning", Disk(files={**UKI, "loader/loader.conf": "default test\n"}),
                                         Disk(files={**UKI, "loader/loader.conf": "default test.efi\n"})),
    "loader-conf-unknown-key": Fault("info", Disk(files={**UKI, "loader/loader.conf": "colour blue\n"}),
                                     Disk(files={**UKI, "loader/loader.conf": "timeout 3\n"})),
    # Boot entries
    "bls-entry-file-missing": Fault("error", Disk(files={k: v for k, v in TYPE1.items() if k != "linux"}), Disk(files=TYPE1)),
    "bls-entry-invalid": Fault("warning", Disk(files={**TYPE1, "loader/entries/test.conf": ENTRY + "colour blue\n"}),
                               Disk(files=TYPE1)),
    "bls-entry-arch-hidden": Fault("info", Disk(files={**UKI, **TYPE1, "loader/entries/test.conf": ENTRY + "architecture aa64\n"}),
                                   Disk(files={**TYPE1, "loader/entries/test.conf": ENTRY + "architecture x64\n"})),
    "bls-entry-on-wrong-path": Fault("warning", Disk(files={**UKI, "EFI/loader/entries/a.conf": ENTRY})),
    "bls-linux-not-efi": Fault("error", Disk(files={**TYPE1, "linux": b"kernel" * 100}), Disk(files=TYPE1)),
    "bls-all-bad-counters": Fault("warning", Disk(files={**LOADER, "EFI/Linux/test+0-3.efi": makepe.uki("quiet")})),
    "bls-srel-foreign": Fault("warning", Disk(files={**UKI, "loader/entries.srel": "other\n"}),
                              Disk(files={**UKI, "loader/entries.srel": "type1\n"})),
    "cmdline-root-missing": Fault("error", Disk(files=with_root("root=UUID=12345678-1234-4234-8234-123456789abc")),
                                  Disk(files=with_root(f"root=UUID={fs_uuid(2)}"))),
    # Unified kernel images
    "uki-no-osrel": Fault("error", Disk(files={**LOADER, "EFI/Linux/test.efi": makepe.uki("quiet", osrel=None)})),
    "uki-no-linux": Fault("error", Disk(files={**UKI, "EFI/Linux/b.efi": makepe.uki("quiet", linux=b"")})),
    "uki-wrong-arch": Fault("error", Disk(files={**UKI, "EFI/Linux/b.efi": makepe.uki("quiet", machine=makepe.ARM64)})),
    "uki-section-overlap": Fault("error", Disk(files={**LOADER, "EFI/Linux/b.efi": makepe.uki("quiet", overlap=True)})),
    "uki-truncated": Fault("error", Disk(files={**LOADER, "EFI/Linux/test.efi": makepe.uki("quiet")[:-1024]})),
    "uki-dup-section": Fault("warning", Disk(files={**LOADER, "EFI/Linux/b.efi": makepe.uki("quiet", extra=[(".uname", b"1"), (".uname", b"2")])})),
    "uki-in-subdir": Fault("warning", Disk(files={**UKI, "EFI/Linux/test/b.efi": makepe.uki("quiet")})),
    "uki-cmdline-root": Fault("error", Disk(files={**UKI, "EFI/Linux/b.efi": makepe.uki("root=UUID=12345678-1234-4234-8234-123456789abc")})),
    "uki-cmdline-gptauto-off": Fault("warning", Disk(files={**LOADER, "EFI/Linux/b.efi": makepe.uki("rd.systemd.gpt_auto=0")})),
    "uki-addon-misplaced": Fault("warning", Disk(files={**UKI, "EFI/Linux/a.addon.efi": makepe.addon()}),
                                 Disk(files={**UKI, "EFI/Linux/test.efi.extra.d/a.addon.efi": makepe.addon()})),
    "uki-unsigned-mixed": Fault("info", Disk(files={**UKI, "EFI/BOOT/BOOTX64.EFI": makepe.systemd_boot(signed=True)}),
                                Disk(files={"EFI/BOOT/BOOTX64.EFI": makepe.systemd_boot(signed=True),
                                            "EFI/Linux/b.efi": makepe.uki("quiet", signed=True)})),
    # Root
    "root-label-empty-marker": Fault("warning", Disk(more=(ext4(type=makedisk.ROOT_X86_64, name="_empty", files=TREE, size=32),))),
    "root-unformatted": Fault("error", Disk(root={"content": None})),
    "root-read-only-flag": Fault("info", Disk(root={"attrs": "GUID:60"})),
    "root-fs-not-allowed": Fault("warning", Disk(root={"mkfs": ("-t", "ext2")})),
    "root-not-clean": Fault("info", Disk(after=inside(2, "debugfs", "-w", "-R", "feature needs_recovery", "{}"))),
    "fs-ambiguous": Fault("error", Disk(more=(ext4(type=HOME, size=16),), after=lambda path: two_signatures(path)),
                          Disk(more=MORE_HOME)),
    # Others
    "aux-duplicate": Fault("warning", Disk(more=(*MORE_HOME, *MORE_HOME)), Disk(more=MORE_HOME)),
    "swap-multiple": Fault("warning", Disk(more=(Partition(size=8, type=SWAP, content="swap"),) * 2),
                           Disk(more=(Partition(size=8, type=SWAP, content="swap"),))),
    "swap-type-mismatch": Fault("error", Disk(more=(ext4(type=SWAP),)), Disk(more=(Partition(size=8, type=SWAP, content="swap"),))),
    "var-partuuid-mismatch": Fault("error", Disk(more=(ext4(type=VAR),)), Disk(more=(ext4(type=VAR, uuid=var_uuid()),))),
    "var-no-machine-id": Fault("warning", Disk(tree=makedisk.TREE, more=(ext4(type=VAR),)), Disk(more=(ext4(type=VAR, uuid=var_uuid()),))),
    "mount-target-populated": Fault("warning", Disk(tree={**TREE, "home/user/file": "x"}, more=MORE_HOME),
                                    Disk(tree={**TREE, "home": None}, more=MORE_HOME)),
    "fstab-shadows": Fault("error", Disk(tree=fstab("UUID=12345678-1234-4234-8234-123456789abc /data ext4 defaults 0 0\n")),
                           Disk(tree=fstab("UUID=12345678-1234-4234-8234-123456789abc /data ext4 nofail 0 0\n"))),
    "fstab-boot-efi": Fault("info", Disk(tree=fstab("UUID=ABCD-0001 /boot/efi vfat umask=0077 0 0\n"))),
    "crypttab-name-clash": Fault("warning", Disk(tree={**TREE, "etc/crypttab": f"luks-home UUID={fs_uuid(3)} none\n"},
                                                 more=(Partition(size=20, type=HOME, content="crypto_LUKS"),)),
                                 Disk(tree={**TREE, "etc/crypttab": f"home UUID={fs_uuid(3)} none\n"},
                                      more=(Partition(size=20, type=HOME, content="crypto_LUKS"),))),
    "luks-no-unlock": Fault("info", Disk(root=LUKS_ROOT)),
    "pcr5-warning": Fault("info", Disk(root=LUKS_ROOT, after=token), Disk(root=LUKS_ROOT)),
    "verity-root-and-usr": Fault("error", Disk(more=(ext4(type=USR), Partition(size=4, type=ROOT_VERITY)), after=lambda path: add_hashes(path, 4)),
                                 Disk(more=(ext4(type=USR),))),
    "verity-unpaired": Fault("error", Disk(more=(Partition(size=4, type=ROOT_VERITY),), after=lambda path: add_hashes(path, 3, pair=False)),
                             Disk(more=(Partition(size=4, type=ROOT_VERITY),), after=lambda path: add_hashes(path, 3))),
    "usr-not-discovered": Fault("warning", Disk(more=(ext4(type=USR),)),
                                Disk(files={**LOADER, "EFI/Linux/b.efi": makepe.uki("mount.usr=dissect")}, more=(ext4(type=USR),))),
    "xbootldr-without-esp": Fault("warning", Disk(first=(Partition(size=1, type=BIOS_BOOT),), esp={"type": makedisk.XBOOTLDR}, files={}),
                                  Disk(more=(Partition(size=34, type=makedisk.XBOOTLDR, content="vfat"),))),
    "validatefs-mismatch": Fault("error", Disk(after=inside(2, "debugfs", "-w", "-R", "ea_set / user.validatefs.mount_point /usr", "{}")),
                                 Disk(after=inside(2, "debugfs", "-w", "-R", "ea_set / user.validatefs.mount_point /", "{}"))),
    "not-judged": Fault("info", Disk(root=LUKS_ROOT)),
}
# fmt: on


def many_clusters(path: pathlib.Path) -> None:
    """A FAT16 of nearly as many clusters as there may be, and a boot sector that says a few more."""
    fat = path.with_suffix(".fat")
    with open(fat, "wb") as file:
        file.truncate(65630 * 512)
    makedisk.run("mkfs.fat", "-F16", "-s1", fat)
    for name, data in UKI.items():
        for parent in reversed(pathlib.PurePosixPath(name).parents):
            subprocess.run(["mmd", "-D", "s", "-i", fat, f"::{parent}"], check=False, capture_output=True)
        one = path.with_suffix(".one")
        one.write_bytes(data)
        makedisk.run("mcopy", "-i", fat, one, f"::{name}")
    data = bytearray(fat.read_bytes())
    data[19:21] = bytes(2)
    data[32:36] = struct.pack("<I", 66100)
    write_at(MIB, bytes(data))(path)


def copies_differ(path: pathlib.Path) -> None:
    boot = path.read_bytes()[MIB : MIB + 512]
    reserved, fat_sectors = struct.unpack_from("<H", boot, 14)[0], struct.unpack_from("<I", boot, 36)[0]
    write_at(MIB + (reserved + fat_sectors) * 512 + 4 * 1000, b"\xff\xff\xff\x0f")(path)


def two_signatures(path: pathlib.Path) -> None:
    """The last partition is ext4, and gets the superblock of an xfs in front of it."""
    xfs = path.with_suffix(".xfs")
    with open(xfs, "wb") as file:
        file.truncate(320 * MIB)
    makedisk.run("mkfs.xfs", "-q", "-f", xfs)
    write_at((1 + 34 + 32) * MIB, xfs.read_bytes()[:512])(path)


def add_hashes(path: pathlib.Path, number: int, pair: bool = True) -> None:
    """veritysetup's hashes of root in partition @number; with @pair the UUIDs that belong to them."""
    rows = makedisk.table(path)["partitions"]
    data, hashes = path.with_suffix(".data"), path.with_suffix(".hash")
    with open(path, "rb") as file:
        file.seek(rows[1]["start"] * 512)
        data.write_bytes(file.read(rows[1]["size"] * 512))
    hashes.write_bytes(b"")
    text = makedisk.run("veritysetup", "format", data, hashes)
    root_hash = next(line.split()[-1] for line in text.splitlines() if line.startswith("Root hash"))
    write_at(rows[number - 1]["start"] * 512, hashes.read_bytes())(path)
    if pair:
        makedisk.run("sfdisk", "--part-uuid", path, 2, uuid.UUID(root_hash[:32]))
        makedisk.run("sfdisk", "--part-uuid", path, number, uuid.UUID(root_hash[32:]))


def name_hashes(image: pathlib.Path, more: tuple[Partition, ...], line: str) -> str:
    """A disk without pairs of UUIDs, the hashes of root in partition 3, and a UKI with this line for their root hash."""
    add_hashes(Disk(more=more).make(image), 3, pair=False)
    data, hashes = image.with_suffix(".data"), image.with_suffix(".hash")
    hashes.write_bytes(b"")
    text = makedisk.run("veritysetup", "format", data, hashes)
    root_hash = next(line.split()[-1] for line in text.splitlines() if line.startswith("Root hash"))
    files = {**LOADER, "EFI/Linux/a.efi": makepe.uki(line.format(root_hash)),
             "EFI/Linux/b.efi": makepe.uki("roothash=" + "ab" * 32)}
    Disk(files=files, more=more).make(image)
    rows = makedisk.table(image)["partitions"]
    write_at(rows[1]["start"] * 512, data.read_bytes())(image)
    write_at(rows[2]["start"] * 512, hashes.read_bytes())(image)
    return root_hash


def test_root_hash_leads_to_its_hashes(tmp_path: pathlib.Path) -> None:
    """A command line names the hashes of a partition whose type and UUID say nothing of them."""
    image = tmp_path / "disk.raw"
    name_hashes(image, (Partition(size=4),), "roothash={}")
    findings = {finding["path"]: finding for finding in check(image) if finding["code"] == "verity-unpaired"}
    assert "though partition 3 holds these hashes" in findings["/EFI/Linux/a.efi"]["message"]
    assert findings["/EFI/Linux/b.efi"]["hint"] == "build it for the hashes that are on the disk"
    mend(image, [findings["/EFI/Linux/a.efi"]], ())


def test_one_pair_of_wrong_uuids_is_one_fault(tmp_path: pathlib.Path) -> None:
    """Where the hash partition is reported, neither the command line nor the signature of its root hash is at fault."""
    image = tmp_path / "disk.raw"
    root_hash = name_hashes(image, (Partition(size=4, type=ROOT_VERITY), Partition(size=1, type=ROOT_VERITY_SIG)), "roothash={}")
    document = {"rootHash": root_hash, "certificateFingerprint": "ab" * 32, "signature": "AAAA"}
    start = makedisk.table(image)["partitions"][3]["start"] * 512
    write_at(start, json.dumps(document).encode())(image)
    findings = [finding for finding in check(image) if finding["code"] == "verity-unpaired"]
    assert [(finding["partition"], finding["path"]) for finding in findings] == [(1, "/EFI/Linux/b.efi"), (3, None)], findings
    mend(image, findings[1:], ())
    write_at(start, json.dumps({**document, "rootHash": "cd" * 32}).encode())(image)
    assert [finding["partition"] for finding in check(image) if finding["code"] == "verity-unpaired"] == [1, 4]


def test_addons_say_what_root_is(tmp_path: pathlib.Path) -> None:
    """The stub adds the words of addons; those for another kernel or machine it skips."""
    addon = makepe.build([(".cmdline", f"root=UUID={2:08x}-aaaa-4bbb-8ccc-dddddddddddd".encode())])
    other = makepe.build([(".cmdline", b"root=UUID=0bad"), (".uname", b"9.9")])
    foreign = makepe.build([(".cmdline", b"root=UUID=0bad")], machine=0xAA64)
    uki = {**LOADER, "EFI/Linux/a+3.efi": makepe.uki("quiet")}
    generic = {"type": makedisk.GENERIC}
    for place, named in (("EFI/Linux/a.efi.extra.d/x.addon.efi", True), ("loader/addons/x.addon.efi", True),
                         ("EFI/Linux/b.efi.extra.d/x.addon.efi", False), ("EFI/Linux/a.efi.extra.d/x.efi", False)):
        findings = check(Disk(files={**uki, place: addon}, root=generic).make(tmp_path / "disk.raw"))
        missing = next(finding for finding in findings if finding["code"] == "root-missing")
        assert (missing["severity"] == "info") == named, (place, findings)
        built_in = [finding["path"] for finding in findings if finding["code"] == "uki-cmdline-root"]
        assert built_in == (["/" + place] if named or "b.efi" in place else []), findings
    uki = {**LOADER, "EFI/Linux/a.efi": makepe.uki("quiet", extra=[(".uname", b"6.1")])}
    for skipped in (other, foreign):
        findings = check(Disk(files={**uki, "EFI/Linux/a.efi.extra.d/x.addon.efi": skipped}, root=generic).make(tmp_path / "disk.raw"))
        assert errors(findings) == ["root-missing"], findings


def test_what_cannot_be_read_is_said(tmp_path: pathlib.Path) -> None:
    """Rules about boot entries and subvolumes do not pass silently where nothing could be read."""
    xbootldr = Partition(size=320, type=makedisk.XBOOTLDR, content="xfs")
    findings = check(Disk(more=(xbootldr,)).make(tmp_path / "disk.raw"))
    said = " ".join(finding["message"] for finding in findings if finding["code"] == "not-judged" and finding["partition"] == 3)
    for code in ("bls-entry-file-missing", "bls-entry-invalid", "uki-no-osrel", "uki-truncated", "esp-full"):
        assert code in said, findings
    findings = check(Disk(root=LUKS_ROOT).make(tmp_path / "disk.raw"))
    said = " ".join(finding["message"] for finding in findings if finding["code"] == "not-judged" and finding["partition"] == 2)
    for code in ("btrfs-no-default-subvol", "validatefs-mismatch"):
        assert code in said, findings


def test_one_var_of_this_machine_is_enough(tmp_path: pathlib.Path) -> None:
    """systemd takes the first whose UUID derives from the machine-id: another system's is none of its business."""
    key = hmac.new(uuid.UUID(MACHINE_ID).bytes, uuid.UUID(VAR).bytes, hashlib.sha256).digest()[:16]
    own = str(uuid.UUID(bytes=bytes([*key[:6], key[6] & 0x0F | 0x40, key[7], key[8] & 0x3F | 0x80, *key[9:]])))
    findings = check(Disk(more=(ext4(type=VAR), ext4(type=VAR, uuid=own))).make(tmp_path / "disk.raw"))
    assert errors(findings) == [] and "var-partuuid-mismatch" not in {finding["code"] for finding in findings}


@pytest.mark.parametrize("name", ["a.efi", "a+3.efi"])
def test_addons_are_part_of_a_kernel(name: str, tmp_path: pathlib.Path) -> None:
    """18 MiB fit twice; with what goes with it alone they do not; what all kernels share is no part."""
    files = {**LOADER, f"EFI/Linux/{name}": makepe.uki("quiet", size=12 * MIB), "loader/credentials/x.cred": bytes(MIB)}
    extra = {"EFI/Linux/a.efi.extra.d/a.addon.efi": makepe.build([(".cmdline", b"debug")]),
             "EFI/Linux/a.efi.extra.d/x.sysext.raw": bytes(5 * MIB)}
    for more, kept, fires in (({}, (), False), (extra, (), True), (extra, ("--keep-kernels=1",), False), ({}, ("--keep-kernels=3",), True)):
        findings = [finding for finding in check(Disk(files={**files, **more}).make(tmp_path / "disk.raw"), *kept)
                    if finding["code"] == "esp-small-for-kernels" and finding["severity"] == "warning"]
        assert bool(findings) == fires, (more.keys(), kept, findings)
        if more and fires:
            assert "2 kernels of 17.0 MiB need 34.0 MiB" in findings[0]["message"]


def check(image: object, *more: object) -> list[dict]:
    done = subprocess.run([DPS_TAG, "check", str(image), *map(str, more), "--json"], capture_output=True, text=True,
                          env=makedisk.path_of_tools(), check=False)
    assert done.returncode in (0, 1), f"{done.returncode}: {done.stdout}{done.stderr}"
    return json.loads(done.stdout)["disks"][0]["findings"]


def errors(findings: list[dict]) -> list[str]:
    return sorted({finding["code"] for finding in findings if finding["severity"] == "error"})


@pytest.mark.parametrize("code", FAULTS)
def test_fires(code: str, tmp_path: pathlib.Path) -> None:
    fault = FAULTS[code]
    findings = check(fault.disk.make(tmp_path / "bad.raw"), *fault.args)
    found = [finding for finding in findings if finding["code"] == code]
    assert found, findings
    assert fault.severity in {finding["severity"] for finding in found}
    assert errors(findings) == ([code] if fault.severity == "error" else []), findings
    for finding in found:
        assert finding["message"]
    mend(tmp_path / "bad.raw", found, fault.args)


def mend(image: pathlib.Path, found: list[dict], args: tuple) -> None:
    """A command in a hint can be pasted, and then the finding is gone."""
    for finding in found:
        hint = finding["hint"] or ""
        assert not re.search(r"\bDISK\b|\bNUMBER\b|[{}]", hint.replace(str(image), "")), hint
        for command in re.findall("`([^`]*)`", hint):
            # FILE, SUBVOLUME: what nobody but the reader knows; NVRAM is no image's.
            if re.search(r"\b[A-Z]{2,}\b|\b[a-z]+=N\b", command) or command.startswith(("dps-tag show", "bootctl")):
                continue
            tool = command.split()[0]
            if not shutil.which(tool, path=makedisk.path_of_tools()["PATH"]) and tool != "dps-tag":
                continue
            done = subprocess.run(["bash", "-c", f'dps-tag() {{ "{DPS_TAG}" "$@"; }}; {command}'], capture_output=True,
                                  text=True, env=makedisk.path_of_tools(), check=False)
            assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
            left = check(image, *args)
            assert finding not in left, f"{command}: {left}"


@pytest.mark.parametrize("code", FAULTS)
def test_silent(code: str, tmp_path: pathlib.Path) -> None:
    findings = check(FAULTS[code].sound.make(tmp_path / "good.raw"), *FAULTS[code].args)
    assert code not in {finding["code"] for finding in findings}, findings
    assert errors(findings) == [], findings
