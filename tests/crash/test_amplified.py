# SPDX-License-Identifier: LGPL-2.1-or-later
"""Small disks that ask for much: directories and files that share their clusters.

What counts is how often the medium is read and how much, never the time that takes; each of these
disks made `check` read it a million times, or gigabytes of it, where nothing bounded it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import commands
import makedisk
import makepe
import pytest
import sharedfat
from commands import DPS_TAG
from makedisk import Partition
from sharedfat import Node

pytestmark = pytest.mark.skipif(
    shutil.which("strace", path=commands.ENV["PATH"]) is None, reason="SKIP: no strace here"
)

MIB = 1 << 20
SIZE = 64

# Reads of the medium, and bytes: a sound disk takes a hundred.
MAX_READS = 60_000
MAX_BYTES = 256 * MIB


def menu(**more: dict[str, Node]) -> Node:
    """EFI/Linux, loader/entries, loader/addons and EFI itself have what is given."""
    linux, entries, addons, vendors = (Node(more.get(name, {})) for name in ("linux", "entries", "addons", "vendors"))
    assert isinstance(vendors.content, dict)
    efi = Node({"Linux": linux, **vendors.content})
    return Node({"EFI": efi, "loader": Node({"entries": entries, "addons": addons})})


def uki(**more: object) -> Node:
    return Node(makepe.uki("quiet", **more))


def many(what: str, n: int, node: Node) -> dict[str, Node]:
    return {what.format(i): node for i in range(n)}


def own_addons() -> Node:
    """250 images with 500 addons each."""
    image, addons = uki(), Node(many("a{}.addon.efi", 500, Node(makepe.addon())))
    return menu(linux={**many("u{}.efi", 250, image), **many("u{}.efi.extra.d", 250, addons)})


def global_addons() -> Node:
    return menu(linux=many("u{}.efi", 500, uki()), addons=many("a{}.addon.efi", 500, Node(makepe.addon())))


def directories() -> Node:
    """250000 images where no menu looks."""
    return menu(linux=many("d{}", 500, Node(many("u{}.efi", 500, uki()))))


def texts() -> Node:
    """500 images with an os-release of a mebibyte."""
    return menu(linux=many("u{}.efi", 500, uki(osrel=b"A=b\n" * (MIB // 4))))


def profiles() -> Node:
    """64 images with 90 entries each, and each of these has 64 KiB of options."""
    more = tuple((".profile", f"ID=p{i}\n".encode()) for i in range(90))
    return menu(linux=many("u{}.efi", 64, Node(makepe.uki("a " * 32768, extra=more))))


def initrds() -> Node:
    """Entries that name a million files, in a directory with ten thousand."""
    text = Node(b"title x\nlinux /EFI/x9999\n" + b"initrd /EFI/none\n" * 50_000)
    return menu(entries=many("e{}.conf", 20, text), vendors=many("x{}", 10_000, Node(b"x")))


def shims() -> Node:
    """Hundreds of programs with megabytes in which a shim tells what it is."""
    shim = Node(makepe.build([(".sbat", b"shim,3,x\n"), (".data", bytes(8 * MIB)), (".text", b"x")]))
    return menu(linux=many("u{}.efi", 500, shim))


@pytest.mark.parametrize("make", [own_addons, global_addons, directories, texts, profiles, initrds, shims], ids=lambda f: f.__name__)
def test_bounded(tmp_path: Path, make) -> None:  # type: ignore[no-untyped-def]
    path, log = tmp_path / "disk.raw", tmp_path / "log"
    makedisk.make(path, [Partition(size=SIZE, type=makedisk.ESP)])
    start = int(makedisk.table(path)["partitions"][0]["start"]) * 512
    with open(path, "r+b") as file:
        file.seek(start)
        file.write(sharedfat.Fat(SIZE * MIB).image(make()))
    done = subprocess.run(
        ["strace", "-f", "-qq", "-s", "0", "-o", log, "-e", "trace=pread64,read", "-e", "signal=none",
         DPS_TAG, "check", "--arch=x86_64", path], env=commands.ENV, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "ptrace" in done.stderr:
        pytest.skip(f"SKIP: strace cannot trace here: {done.stderr}")
    assert done.returncode == 1, (done.returncode, done.stderr)
    assert "/EFI/Linux" in done.stdout or "/loader/entries" in done.stdout, done.stdout
    reads = [int(n) for n in re.findall(r"\) += (\d+)$", log.read_text(), re.MULTILINE)]
    print(make.__name__, len(reads), sum(reads) >> 20)
    assert 50 < len(reads) < MAX_READS, len(reads)
    assert sum(reads) < MAX_BYTES, f"{sum(reads) >> 20} MiB"
