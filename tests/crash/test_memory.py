# SPDX-License-Identifier: LGPL-2.1-or-later
"""Memory: what reading takes is bounded whatever is on the disk, and what there is too little of is said.

GLib ends a program that can get no memory.  So a command that confines itself says that its reader
was ended; the others can be ended as if by SIGKILL, which test_command_faults.py does at every point.
All need little: none of the disks here, which are made to take much, makes one take the bound.
"""

from __future__ import annotations

import os
import resource
import shutil
import struct
import subprocess
from pathlib import Path

import commands
import faults
import makedisk
import pytest
from commands import DPS_TAG, ENV
from makedisk import Partition
from test_damaged import Image

pytestmark = pytest.mark.skipif(
    shutil.which("sfdisk", path=ENV["PATH"]) is None, reason="SKIP: no sfdisk here"
)

# Resident, of a process of the command.
BOUND = 128 << 20
HAS_SANITIZER = b"__asan_init" in Path(DPS_TAG).read_bytes()


def plain(path: Path) -> None:
    makedisk.make(path, [Partition(size=36, type=makedisk.ESP, content="vfat"), Partition(size=8, content="ext4")])


def large_table(path: Path) -> None:
    """1024 entries, as many as are taken; each is a partition of its own."""
    script = "label: gpt\ntable-length: 1024\n" + "".join(f"start={4096 + i * 8}, size=8\n" for i in range(1024))
    with open(path, "wb") as file:
        file.truncate(16 << 20)
    done = commands.run("sfdisk", "-q", path, input=script)
    assert done.returncode == 0, done.stderr


def huge_count(path: Path) -> None:
    """A table that claims 2 GiB of entries, on a disk that has them."""
    plain(path)
    with open(path, "r+b") as file:
        file.truncate(6 << 30)
    image = Image(path.open("rb").read(1 << 20))
    struct.pack_into("<I", image.bytes, 512 + 80, (2 << 30) // 128)
    struct.pack_into("<I", image.bytes, 512 + 16, 0)
    with open(path, "r+b") as file:
        file.write(image.bytes)


def many_names(path: Path) -> None:
    """As many entries for the menu as are looked at, and more."""
    files: dict[str, object] = {"EFI/BOOT/BOOTX64.EFI": b"MZ"}
    for i in range(1500):
        files[f"loader/entries/{i}.conf"] = f"title {i}\nlinux /{i}\noptions {'x' * 2000}\n"
    makedisk.make(path, [Partition(size=64, type=makedisk.ESP, content="vfat", files=files)])


def large_files(path: Path) -> None:
    """Files without end where a line or two are looked for."""
    files = {**makedisk.TREE, "etc/fstab": "#" * (8 << 20), "etc/os-release": "A" * (8 << 20)}
    makedisk.make(path, [Partition(size=40, type=makedisk.ESP, content="vfat",
                                   files={"loader/loader.conf": "#" * (8 << 20), "EFI/Linux/x.efi": b"MZ" + bytes(4 << 20)}),
                         Partition(size=64, content="ext4", files=files)])  # fmt: skip


def many_subvolumes(path: Path) -> None:
    if commands.why_not("dup"):
        pytest.skip(f"SKIP: {commands.why_not('dup')}")
    makedisk.make(path, [Partition(size=128, content="btrfs", subvolumes=("root", *[f"s{'x' * 200}{i}" for i in range(300)]))])


IMAGES = [plain, large_table, huge_count, many_names, large_files, many_subvolumes]


def peak(words: list[str], limit: int | None = None) -> tuple[int, str, int]:
    """Exit status, what it complained, and the most memory that it or its reader had."""

    def before() -> None:
        if limit:
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    process = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=ENV, preexec_fn=before
    )
    assert process.stderr
    text = process.stderr.read()
    process.stderr.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    # Of its own and of its children, whom it waited for.
    return process.returncode, text, usage.ru_maxrss * 1024


def words(command: str, path: Path) -> list[str]:
    more = {"apply": ["--arch=x86_64", "linux-generic=1"], "plan": ["--arch=x86_64", "linux-generic=1"]}
    return [DPS_TAG, command, str(path), *more.get(command, ["--arch=x86_64"])]


@pytest.mark.skipif(HAS_SANITIZER, reason="SKIP: a sanitizer takes memory of its own")
@pytest.mark.parametrize("make", IMAGES, ids=lambda f: f.__name__)
def test_bound(tmp_path: Path, make) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "disk.raw"
    make(path)
    for command in ("show", "check", "plan", "apply"):
        status, text, most = peak(words(command, path))
        assert status in (0, 1, 3), (command, status, text)
        assert most < BOUND, f"{command}: {most >> 20} MiB"


@pytest.mark.skipif(HAS_SANITIZER, reason="SKIP: a sanitizer takes memory of its own")
@pytest.mark.parametrize("make", [plain, many_names], ids=lambda f: f.__name__)
def test_too_little(tmp_path: Path, make) -> None:  # type: ignore[no-untyped-def]
    """A limit that starts the program and no more: a result, or status 3 and a reason; never a signal."""
    path = tmp_path / "disk.raw"
    make(path)
    # The least with which the version can be told: libraries and all.
    least = next(n for n in range(4 << 20, 512 << 20, 1 << 20) if peak([DPS_TAG, "--version"], n)[0] == 0)
    seen = set()
    for command in ("show", "check"):
        for limit in (least + (512 << 10) * i for i in range(2, 40, faults.stride(11))):
            status, text, _ = peak(words(command, path), limit)
            assert status in (0, 1, 3), (command, limit >> 10, status, text)
            assert status != 3 or "dps-tag: " in text, (command, limit >> 10, text)
            seen.add(status)
    assert seen & {0, 1}
