# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks that systemd-repart makes: types, labels, verity pairs and signatures by its hand.

Version 252 fills file systems through loop devices: it needs root.  The ESP is filled by mtools, for
that version would mount it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "data"))
sys.path.insert(0, str(pathlib.Path(__file__).parent))
import layouts
import makedisk
import makepe
from test_layouts import check, of

ARCH = layouts.tree("x86_64", "some", "Some Linux", machine_id="uninitialized\n")


def definition(type_name: str, *lines: str, size: str = "64M") -> str:
    return "\n".join(["[Partition]", f"Type={type_name}", f"SizeMinBytes={size}", f"SizeMaxBytes={size}", *lines]) + "\n"


ESP = definition("esp", "Format=vfat")


def verity(what: str, copy: str) -> list[str]:
    return [definition(what, "Format=ext4", f"CopyFiles={copy}", "Verity=data", "VerityMatchKey=x"),
            definition(f"{what}-verity", "Verity=hash", "VerityMatchKey=x", size="8M"),
            f"[Partition]\nType={what}-verity-sig\nVerity=signature\nVerityMatchKey=x\n"]


@dataclasses.dataclass
class Image:
    definitions: list[str]
    cmdline: str = "quiet"  # {hash}: the root hash
    expected: tuple[str, ...] = ()


IMAGES = {
    "root": Image([ESP, definition("root", "Format=ext4", "CopyFiles=/")]),
    "root, grows": Image([ESP, definition("root", "Format=ext4", "CopyFiles=/", "GrowFileSystem=yes")]),
    "root, home, srv, swap": Image([ESP, definition("root", "Format=ext4", "CopyFiles=/"), definition("home", "Format=ext4"),
                                    definition("srv", "Format=ext4"), definition("swap", "Format=swap")]),
    "root, xbootldr": Image([ESP, definition("xbootldr", "Format=vfat"), definition("root", "Format=ext4", "CopyFiles=/")]),
    "two slots": Image([ESP, definition("root", "Format=ext4", "CopyFiles=/", "Label=some_2"), definition("root", "Label=_empty", "NoAuto=yes")]),
    "btrfs": Image([ESP, definition("root", "Format=btrfs", "CopyFiles=/", size="160M")]),
    "verity": Image([ESP, *verity("root", "/")[:2]], "roothash={hash}"),
    "verity, signed": Image([ESP, *verity("root", "/")], "roothash={hash}"),
    "verity, signed, no hash on the command line": Image([ESP, *verity("root", "/")]),
    "usr verity, signed": Image([ESP, *verity("usr", "/usr:/"), definition("root", "Format=ext4", "CopyFiles=/")], "usrhash={hash}"),
    "squashfs verity": Image([ESP, definition("root", "Format=squashfs", "CopyFiles=/", "Verity=data", "VerityMatchKey=x", size="16M"),
                              definition("root-verity", "Verity=hash", "VerityMatchKey=x", size="8M")], "roothash={hash}"),
}


@dataclasses.dataclass
class Made:
    path: pathlib.Path
    root_hash: str
    numbers: dict[str, int]


def make(image: Image, place: pathlib.Path, cmdline: str | None = None) -> Made:
    repart = shutil.which("systemd-repart", path="/usr/bin:/usr/sbin")
    if not repart or not shutil.which("openssl"):
        pytest.skip("SKIP: no systemd-repart and openssl here")
    if not makedisk.can_mount():
        pytest.skip("SKIP: systemd-repart fills file systems through loop devices, as root")
    tree, path = place / "tree", place / "disk.raw"
    makedisk.write_tree(tree, ARCH)
    for number, text in enumerate(image.definitions):
        makedisk.write_tree(place / "repart.d", {f"{number}0.conf": text})
    makedisk.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", place / "key", "-out", place / "cert", "-subj", "/CN=test")
    with makedisk.one_at_a_time():
        said = makedisk.run(repart, "--empty=create", "--size=600M", f"--definitions={place}/repart.d", f"--root={tree}", f"--private-key={place}/key",
                            f"--certificate={place}/cert", "--dry-run=no", "--json=short", path)
    rows = json.loads(said)
    root_hash = next((row["roothash"] for row in rows if row.get("roothash") not in (None, "", "-", "TBD")), "")
    numbers = {row["type"]: place for place, row in reversed(list(enumerate(rows, 1)))}
    text = (cmdline or image.cmdline).format(hash=root_hash)
    at = makedisk.table(path)["partitions"][0]["start"] * 512
    files = place / "esp"
    makedisk.write_tree(files, {**layouts.systemd_boot("x86_64"), "EFI/Linux/some.efi": makepe.uki(text)})
    makedisk.run("mcopy", "-s", "-i", f"{path}@@{at}", *files.iterdir(), "::")
    return Made(path, root_hash, numbers)


@pytest.mark.parametrize("name", IMAGES)
def test_sound(name: str, tmp_path: pathlib.Path) -> None:
    image = IMAGES[name]
    if "squashfs" in name and not shutil.which("mksquashfs", path="/usr/bin"):
        pytest.skip("SKIP: no mksquashfs here")
    made = make(image, tmp_path)
    assert "{hash}" not in image.cmdline or len(made.root_hash) == 64
    findings = check(made.path)
    # 64 MiB are few, and said to be.
    assert of(findings, "error", "warning") == ["warning esp-too-small", *image.expected], findings


SIGNED = Image([ESP, *verity("root", "/")], "roothash={hash}")
OTHER = "0123456789abcdef" * 4


def change_uuid(made: Made, type_name: str) -> None:
    makedisk.run("sfdisk", "-q", "--part-uuid", made.path, made.numbers[type_name], "12345678-1234-4234-8234-123456789abc")


FAULTS = {
    "the data's UUID": lambda made: change_uuid(made, "root-x86-64"),
    "the hashes' UUID": lambda made: change_uuid(made, "root-x86-64-verity"),
    "hashes of something else": lambda made: rehash(made),
    "no data partition": lambda made: makedisk.run("sfdisk", "-q", "--part-type", made.path, made.numbers["root-x86-64"], makedisk.GENERIC),
    "a signature of zeros": lambda made: wipe(made, "root-x86-64-verity-sig"),
}


def offset(made: Made, type_name: str) -> int:
    return makedisk.table(made.path)["partitions"][made.numbers[type_name] - 1]["start"] * 512


def wipe(made: Made, type_name: str) -> None:
    with open(made.path, "r+b") as file:
        file.seek(offset(made, type_name))
        file.write(bytes(4096))


def rehash(made: Made) -> None:
    data, hashes = made.path.with_suffix(".data"), made.path.with_suffix(".hash")
    data.write_bytes(os.urandom(64 * 4096))
    hashes.write_bytes(b"")
    makedisk.run("veritysetup", "format", data, hashes)
    with open(made.path, "r+b") as file:
        file.seek(offset(made, "root-x86-64-verity"))
        file.write(hashes.read_bytes())


@pytest.mark.parametrize("name", FAULTS)
def test_faulty(name: str, tmp_path: pathlib.Path) -> None:
    made = make(SIGNED, tmp_path)
    FAULTS[name](made)
    findings = check(made.path)
    assert "verity-unpaired" in {f["code"] for f in findings if f["severity"] == "error"}, findings
    # Without a data partition there is no root either.
    allowed = {"error verity-unpaired"} | ({"error root-missing"} if name == "no data partition" else set())
    assert set(of(findings, "error")) <= allowed, findings


def test_hash_of_another_image(tmp_path: pathlib.Path) -> None:
    findings = check(make(SIGNED, tmp_path, f"roothash={OTHER}").path)
    assert of(findings, "error") == ["error verity-unpaired"], findings


def test_dissect_sees_the_same(tmp_path: pathlib.Path) -> None:
    """systemd-dissect's list of a signed disk, and the partitions that check summarises."""
    dissect = shutil.which("systemd-dissect", path="/usr/bin")
    if not dissect:
        pytest.skip("SKIP: no systemd-dissect here")
    made = make(SIGNED, tmp_path)
    done = subprocess.run([dissect, "--json=short", f"--root-hash={made.root_hash}", made.path], capture_output=True, text=True,
                          env=makedisk.path_of_tools(), check=False)
    if done.returncode != 0:
        pytest.skip(f"SKIP: systemd-dissect cannot read it here: {done.stderr.strip()[:200]}")
    theirs = {row["partno"]: row["designator"] for row in json.loads(done.stdout)["mounts"]}
    assert theirs == {1: "esp", 2: "root", 3: "root-verity", 4: "root-verity-sig"}
    shown = json.loads(subprocess.run([os.environ["DPS_TAG"], "show", made.path, "--json"], capture_output=True, text=True, check=True).stdout)
    assert {row["number"]: row["role"] for row in shown["partitions"]} == theirs
