# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks for the tests that cut off or disturb whole commands, and what others read of them."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent.parent
sys.path[:0] = [str(TESTS / "against"), str(TESTS / "data")]
import btrfs_image  # noqa: E402
import gpt  # noqa: E402
import makedisk  # noqa: E402
from makedisk import Partition  # noqa: E402

DPS_TAG = os.environ["DPS_TAG"]
SHIM = os.environ["CRASH_SHIM"]
ENV = {**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}

GENERIC, ESP, ROOT = makedisk.GENERIC, makedisk.ESP, makedisk.ROOT_X86_64
HOME = "933ac7e1-2eb4-4f13-b844-0e14e2aef915"
# Two of them change, in two sectors of the array.
OLD = {1: ESP, 2: GENERIC, 3: GENERIC, 4: GENERIC, 5: GENERIC, 6: GENERIC}
NEW = {**OLD, 2: ROOT, 6: HOME}
ASSIGNMENTS = ("root:x86_64=2", "home=6")

# What each kind of btrfs is made with; None: no file system at all.
SHAPES: dict[str, list[str] | None] = {
    "table": None,
    "dup": ["-m", "dup"],
    "single": ["-m", "single"],
    # Its leaf cannot be changed in one sector: that goes through a journal.
    "journal": ["-m", "single", "--csum", "sha256"],
}


@dataclasses.dataclass
class Disk:
    path: Path
    sector: int
    target: int | None  # the subvolume that is to be the default

    @property
    def backup(self) -> Path:
        return self.path.with_name("backup.json")

    @property
    def journal(self) -> Path:
        return self.path.with_name("disk.raw.dps-journal")


def run(*words: object, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(w) for w in words],
        capture_output=True,
        text=True,
        env={**ENV, **more.pop("env", {})},
        stdin=subprocess.DEVNULL if "input" not in more else None,
        timeout=300,
        **more,
    )


def make(directory: Path, shape: str, sector: int) -> Disk:
    """An ESP, what is to be root, what is to be home; in a directory of its own."""
    options = SHAPES[shape]
    size = 4 if options is None else 128
    parts = [Partition(size=2, type=ESP), Partition(size=size), *[Partition(size=1)] * 4]
    directory.mkdir()
    path = directory / "disk.raw"
    with open(path, "wb") as file:
        file.truncate((sum(p.size for p in parts) + 3) * makedisk.MIB)
    starts = makedisk.write_table(path, parts, sector)
    if options is None:
        return Disk(path, sector, None)

    content = directory.parent / f"{directory.name}.btrfs"
    btrfs_image.make(content, f"{size}M", *options)
    with btrfs_image.mounted(content, directory.parent / "mnt") as top:
        for name in ("home", "root"):
            btrfs_image.run("btrfs", "-q", "subvolume", "create", top / name)
        target = next(i for i, n in btrfs_image.kernel_list(top).items() if n == "root")
    makedisk.copy_into(path, content, starts[1])
    return Disk(path, sector, target)


def copy(disk: Disk, directory: Path) -> Disk:
    directory.mkdir(exist_ok=True)
    done = run("cp", "--sparse=always", disk.path, directory / "disk.raw")
    assert done.returncode == 0, done.stderr
    for old in directory.iterdir():
        if old.name != "disk.raw":
            old.unlink()
    return dataclasses.replace(disk, path=directory / "disk.raw")


def copy_beside(disk: Disk, directory: Path) -> Disk:
    """Into a directory that holds other things already."""
    done = run("cp", "--sparse=always", disk.path, directory / "disk.raw")
    assert done.returncode == 0, done.stderr
    return dataclasses.replace(disk, path=directory / "disk.raw")


def apply_words(disk: Disk) -> list[str]:
    return [DPS_TAG, "apply", "--no-check", f"--backup={disk.backup}", str(disk.path), *ASSIGNMENTS]


def undo_words(disk: Disk) -> list[str]:
    return [DPS_TAG, "undo", str(disk.backup), str(disk.path)]


def by_kernel(disk: Disk) -> dict[int, str] | None:
    """Types of the partitions that Linux finds, in an image or on a device."""
    with gpt.on_disk(disk.path) as image:
        found = gpt.kernel(image, disk.sector)
    return None if found is None else {n: e.type for n, e in found.items()}


def by_us(disk: Disk) -> tuple[dict[int, str], int | None]:
    """Types, and the default subvolume of the second partition."""
    done = run(DPS_TAG, "show", "--json", disk.path)
    assert done.returncode == 0, done.stderr
    parts = json.loads(done.stdout)["partitions"]
    default = None
    if disk.target is not None:
        default = parts[1]["btrfs"]["default_subvolume"]["id"]
    return {p["number"]: p["type_uuid"] for p in parts}, default


def by_others(disk: Disk) -> dict[str, dict[int, str]]:
    found = {}
    if disk.sector == 512:
        text = run("sfdisk", "-d", disk.path).stdout
    else:
        dump = disk.path.parent.parent / "dump"
        dump.unlink(missing_ok=True)
        run("fdisk", "-b", disk.sector, disk.path, input=f"O\n{dump}\nq\n")
        text = dump.read_text()
    found["libfdisk"] = {
        int(n): t.lower() for n, t in re.findall(r"raw-?p?(\d+) : .*?type=([\w-]+)", text)
    }
    if disk.sector != 512:  # these cannot be told another sector size of a file
        return found
    text = run("partx", "-s", "-g", "-o", "NR,TYPE", disk.path).stdout
    found["libblkid"] = {int(n): t for n, t in (line.split() for line in text.splitlines())}
    found["sgdisk"] = {}
    for number in OLD:
        match = re.search(r"GUID code: ([\w-]+)", run("sgdisk", f"-i{number}", disk.path).stdout)
        if match:
            found["sgdisk"][number] = match[1].lower()
    assert len(re.findall(r"^ +\d+ +\d+ ", run("sgdisk", "-p", disk.path).stdout, re.M)) == len(OLD)
    assert 'PTTYPE="gpt"' in run("blkid", "-p", "-o", "full", disk.path).stdout
    return found


def why_not(shape: str) -> str | None:
    return btrfs_image.why_not() if SHAPES[shape] else None


def copies_agree(disk: Disk) -> bool:
    data = disk.path.read_bytes()
    last = len(data) // disk.sector - 1
    copies = [gpt.read_copy(data, lba, disk.sector) for lba in (1, last)]
    return copies[0] is not None and copies[1] is not None and copies[0].entries() == copies[1].entries()


def paste(line: str, directory: Path) -> str:
    """Into a shell, as it was printed."""
    tool = Path(DPS_TAG).parent
    done = run("sh", "-c", line, cwd=directory, env={"PATH": f"{tool}:{ENV['PATH']}"})
    assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
    return done.stdout


def findings_of(words: list[str]) -> list[dict[str, str]]:
    return json.loads(run(words[0], words[1], "--json", *words[2:]).stdout)["findings"]


def follow_hint(findings: list[dict[str, str]], codes: tuple[str, ...], directory: Path) -> None:
    """Types what the one finding that is meant says to type."""
    found = [f["hint"] for f in findings if f["code"] in codes]
    assert len(found) == 1, findings
    first, *more = found[0].split("`")[1::2]
    if not first.startswith("losetup"):
        paste(first, directory)
        return
    loop = paste(first, directory).strip()
    try:
        paste(more[0].replace("LOOP", loop), directory)
    finally:
        run("losetup", "-d", loop)
