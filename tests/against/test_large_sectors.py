# SPDX-License-Identifier: LGPL-2.1-or-later
"""Faults on images with sectors of 4096 bytes, and the ways out that their hints name.

sgdisk, sfdisk and parted take an image file for a disk of 512-byte sectors, and write a new table over
what is there: a hint has to lead them to a loop device with the right ones.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "data"))
import makedisk
import makepe
from makedisk import MIB, Partition
from test_faults import DPS_TAG, TREE, TYPE1, UKI, check, errors, write_at

SECTOR = 4096
LARGE = ("-F32", "-S4096", "-s1")


@dataclasses.dataclass
class Fault:
    severity: str
    after: Callable[[pathlib.Path], object] | None = None
    esp: dict = dataclasses.field(default_factory=dict)
    root: dict = dataclasses.field(default_factory=dict)
    mends: bool = False  # its hint has a command that takes it away


def edit_entry(number: int, change: Callable[[bytearray], None]) -> Callable[[pathlib.Path], None]:
    def after(path: pathlib.Path) -> None:
        with open(path, "r+b") as file:
            for header_at in (SECTOR, path.stat().st_size - SECTOR):
                file.seek(header_at)
                header = bytearray(file.read(92))
                entries_at = struct.unpack_from("<Q", header, 72)[0] * SECTOR
                file.seek(entries_at)
                entries = bytearray(file.read(128 * 128))
                entry = entries[(number - 1) * 128 : number * 128]
                change(entry)
                entries[(number - 1) * 128 : number * 128] = entry
                struct.pack_into("<I", header, 88, zlib.crc32(entries))
                struct.pack_into("<I", header, 16, 0)
                struct.pack_into("<I", header, 16, zlib.crc32(bytes(header)))
                file.seek(entries_at)
                file.write(entries)
                file.seek(header_at)
                file.write(header)

    return after


def copy_of_header(path: pathlib.Path) -> None:
    """A header for sectors of 512 bytes beside the one that is meant, as an image has that was converted."""
    write_at(512, b"EFI PART")(path)


def same_uuid(entry: bytearray) -> None:
    entry[16:32] = b"".join((struct.pack("<IHH", 1, 0x1111, 0x4222), bytes.fromhex("8333444444444444")))  # the first one's


# fmt: off
FAULTS = {
    "gpt-primary-bad": Fault("error", write_at(SECTOR + 24, b"\xff"), mends=True),
    "gpt-backup-misplaced": Fault("warning", lambda path: makedisk.run("truncate", "--size=+8M", path), mends=True),
    "gpt-overlap": Fault("error", edit_entry(2, lambda entry: struct.pack_into("<Q", entry, 32, 40 * MIB // SECTOR))),
    "gpt-dup-partuuid": Fault("error", edit_entry(2, same_uuid), mends=True),
    "gpt-null-partuuid": Fault("warning", edit_entry(2, lambda entry: entry.__setitem__(slice(16, 32), bytes(16))), mends=True),
    "gpt-sector-size": Fault("warning", copy_of_header),
    "pmbr-missing": Fault("error", write_at(510, bytes(2)), mends=True),
    "pmbr-boot-flag": Fault("warning", write_at(446, b"\x80"), mends=True),
    "flag-unknown": Fault("warning", root={"attrs": "GUID:50"}, mends=True),
    "esp-wrong-type": Fault("error", esp={"type": makedisk.BASIC_DATA}, mends=True),
    "esp-no-block-io": Fault("error", esp={"attrs": "NoBlockIOProtocol"}, mends=True),
    "esp-fat-bpb-sector-size": Fault("warning", esp={"mkfs": ("-F32", "-S512")}),
    "esp-fat32-too-few-clusters": Fault("error", write_at(MIB + 32, struct.pack("<I", 62000))),
    "esp-too-small": Fault("warning", esp={"size": 258}),
    "esp-fallback-missing": Fault("error", esp={"files": {"EFI/Linux/a.efi": makepe.uki("quiet")}}),
    "bls-entry-file-missing": Fault("error", esp={"files": {name: what for name, what in TYPE1.items() if name != "linux"}}),
    "root-missing": Fault("error", root={"type": makedisk.GENERIC}, mends=True),
    "root-no-auto": Fault("error", root={"attrs": "GUID:63"}, mends=True),
}
# fmt: on


def make(path: pathlib.Path, fault: Fault | None = None) -> pathlib.Path:
    fault = fault or Fault("")
    makedisk.make(path, [
        Partition(**{"size": 270, "type": makedisk.ESP, "content": "vfat", "files": UKI, "mkfs": LARGE, **fault.esp}),
        Partition(**{"size": 32, "type": makedisk.ROOT_X86_64, "content": "ext4", "files": TREE, **fault.root})], sector_size=SECTOR)
    if fault.after:
        fault.after(path)
    return path


def test_sound(tmp_path: pathlib.Path) -> None:
    findings = check(make(tmp_path / "disk.raw"))
    assert {finding["severity"] for finding in findings} == {"info"}, findings


@pytest.mark.parametrize("code", FAULTS)
def test_fault(code: str, tmp_path: pathlib.Path) -> None:
    fault = FAULTS[code]
    image = make(tmp_path / "disk.raw", fault)
    findings = check(image)
    found = [finding for finding in findings if finding["code"] == code]
    assert [finding["severity"] for finding in found] == [fault.severity], findings
    assert errors(findings) == ([code] if fault.severity == "error" else []), findings
    hint = found[0]["hint"]
    commands = re.findall("`([^`]*)`", hint)
    for command in commands:
        # None of them may be pointed at the file itself.
        assert not re.search(r"gdisk|sfdisk|parted|\bdd\b", command) or (str(image) not in command and "LOOP" in command), hint
    if fault.mends:
        mend(image, commands)
        left = check(image)
        assert code not in {finding["code"] for finding in left} and errors(left) == [], left


def mend(image: pathlib.Path, commands: list[str]) -> None:
    """What the hint says, in its order: the first of several that are given, on the loop device that it wants."""
    attach = [command for command in commands if command.startswith("losetup")]
    command = next(command for command in commands if not command.startswith("losetup"))
    loop = ""
    if attach:
        if os.geteuid() != 0 or not os.path.exists("/dev/loop-control"):
            pytest.skip("SKIP: loop devices need root")
        loop = makedisk.run("bash", "-c", attach[0]).strip()
    try:
        done = subprocess.run(["bash", "-c", f'dps-tag() {{ "{DPS_TAG}" "$@"; }}; {command.replace("LOOP", loop)}'],
                              capture_output=True, text=True, env=makedisk.path_of_tools(), check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    finally:
        if loop:
            makedisk.run("losetup", "--detach", loop)


@pytest.mark.parametrize(("made_for", "attached_as"), [(4096, 512), (512, 4096)])
def test_table_of_another_disk(made_for: int, attached_as: int, tmp_path: pathlib.Path) -> None:
    """It is whole: a backup of it, loaded here as a hint once said, would make two halves of it."""
    if os.geteuid() != 0 or not os.path.exists("/dev/loop-control"):
        pytest.skip("SKIP: loop devices need root")
    image = tmp_path / "disk.raw"
    makedisk.make(image, [Partition(size=40), Partition(size=32, content="ext4")], sector_size=made_for)
    loop = makedisk.run("losetup", "--find", "--show", f"--sector-size={attached_as}", image).strip()
    try:
        findings = check(pathlib.Path(loop))
        wrong = [finding for finding in findings if finding["severity"] == "error"]
        assert [finding["code"] for finding in wrong] == ["gpt-sector-size"], findings
        assert f"for sectors of {made_for} bytes, and the disk has {attached_as}" in wrong[0]["message"]
        assert not any("`" in finding["hint"] or "" for finding in findings if finding["hint"]), findings
    finally:
        makedisk.run("losetup", "--detach", loop)
    assert "gpt-sector-size" not in errors(check(image)) and "gpt-primary-bad" not in errors(check(image))
