# SPDX-License-Identifier: LGPL-2.1-or-later
"""btrfs images made by mkfs.btrfs and the kernel, for tests that run as root."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
import makedisk  # noqa: E402

TOOL = os.environ.get("BTRFS_TOOL", "")


def why_not() -> str | None:
    """Why images cannot be made and mounted here; None when they can."""
    for name in ("mkfs.btrfs", "btrfs", "mount", "losetup"):
        if not shutil.which(name):
            return f"no {name}: install btrfs-progs and util-linux"
    if os.geteuid() != 0:
        return "not root: cannot mount"
    if "btrfs" not in Path("/proc/filesystems").read_text():
        if subprocess.run(["modprobe", "btrfs"], capture_output=True).returncode != 0:
            return "the kernel has no btrfs"
    if not os.path.exists("/dev/loop-control"):
        return "the kernel has no loop devices"
    return None


def run(*args: object, check: bool = True) -> str:
    result = subprocess.run([str(a) for a in args], capture_output=True, text=True)
    if check and result.returncode != 0:
        raise AssertionError(f"{args}: {result.returncode}: {result.stdout}{result.stderr}")
    return result.stdout


def tool(*args: object) -> tuple[int, str, str]:
    """What btrfs-tool answers: exit status, stdout, stderr."""
    result = subprocess.run([TOOL, *map(str, args)], capture_output=True, text=True)
    return result.returncode, result.stdout, result.stderr


def make(path: Path, size: str, *options: str) -> Path:
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.truncate(int(size[:-1]) << {"M": 20, "G": 30}[size[-1]])
    run("mkfs.btrfs", "-q", *options, path)
    return path


@contextmanager
def mounted(image: Path, directory: Path, options: str = "") -> Iterator[Path]:
    directory.mkdir(exist_ok=True)
    run("mount", "-t", "btrfs", "-o", "loop" + ("," + options if options else ""), image, directory)
    try:
        yield directory
    finally:
        makedisk.umount(directory)
        makedisk.wait_until_detached(image)


def fill(top: Path, n_more: int = 0) -> None:
    """What an installer leaves, and the shapes that make paths hard to find."""
    for name in ("a", "root", "root/inner", "home"):
        run("btrfs", "-q", "subvolume", "create", top / name)
    (top / "root/marker").write_text("here\n")
    (top / "d/e").mkdir(parents=True)
    run("btrfs", "-q", "subvolume", "create", top / "d/e/nest")
    (top / "root/x/y").mkdir(parents=True)
    run("btrfs", "-q", "subvolume", "create", top / "root/x/y/z")
    run("btrfs", "-q", "subvolume", "snapshot", "-r", top / "root", top / "rosnap")
    run("btrfs", "-q", "subvolume", "snapshot", top / "root", top / "snap")
    run("btrfs", "-q", "subvolume", "create", top / "gone")
    for i in range(n_more):
        run("btrfs", "-q", "subvolume", "create", top / f"s{i}")
    run("btrfs", "-q", "subvolume", "delete", "-c", top / "gone")


def kernel_list(top: Path) -> dict[int, str]:
    """id to path as btrfs-progs has it."""
    subvolumes = {5: "/"}
    for line in run("btrfs", "subvolume", "list", "-a", top).splitlines():
        # ID 257 gen 8 top level 5 path <FS_TREE>/root
        words = line.split(" ", 8)
        subvolumes[int(words[1])] = words[8].removeprefix("<FS_TREE>/")
    return subvolumes


def kernel_default(top: Path) -> int:
    return int(run("btrfs", "subvolume", "get-default", top).split()[1])


def listed(output: str) -> dict[int, str]:
    return {int(a): b for a, b in (line.split(" ", 1) for line in output.splitlines())}


def check(path: Path) -> None:
    """btrfs check has nothing to say (it exits 0 although it found errors in older versions)."""
    result = subprocess.run(
        ["btrfs", "check", "--readonly", path], capture_output=True, text=True
    )
    text = result.stdout + result.stderr
    assert result.returncode == 0, text
    assert "no error found" in text, text


def dump(path: Path) -> list[str]:
    """All trees and superblocks, as btrfs-progs prints them."""
    return (
        run("btrfs", "inspect-internal", "dump-super", "-fa", path).splitlines()
        + run("btrfs", "inspect-internal", "dump-tree", path).splitlines()
    )


def default_key(path: Path) -> str:
    """The location of the default entry: "(257 ROOT_ITEM 0)"."""
    text = run("btrfs", "inspect-internal", "dump-tree", "-t", "root", path)
    match = re.search(
        r"ROOT_TREE_DIR DIR_ITEM 2378154706\).*\n\s*location key (\(.*?\))", text
    )
    assert match, text
    return match[1]


def copy(path: Path, to: Path) -> Path:
    run("cp", "--sparse=always", path, to)
    return to


def digest(path: Path) -> str:
    return run("sha256sum", path).split()[0]
