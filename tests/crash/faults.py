# SPDX-License-Identifier: LGPL-2.1-or-later
"""A disk to disturb commands on, put back as it was for each run, and what is true of every run.

The directory is in memory where there is one: thousands of runs, each of which flushes.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import commands
import makedisk
import replay
from commands import NEW, OLD, Disk
from makedisk import Partition

BLOCK = 4096
MAX_CALLS = 5000
UNTOUCHED = "nothing was changed"
PLANNED = "changed as planned"
BETWEEN = "left in between"

# A common run takes a sample of what is many; all of it when asked for (`./dev faults`).
IS_FULL = os.environ.get("DPS_FAULTS") == "all"


def stride(n: int) -> int:
    return 1 if IS_FULL else n


@contextmanager
def quick_directory() -> Iterator[Path]:
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    directory = Path(tempfile.mkdtemp(prefix="dps-faults-", dir=place))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


Blocks = dict[int, bytes]


def blocks_of(path: Path) -> Blocks:
    """What of a sparse file is not zero."""
    found = {}
    zero = bytes(BLOCK)
    with open(path, "rb") as file:
        fd, at, size = file.fileno(), 0, path.stat().st_size
        while at < size:
            try:
                at = os.lseek(fd, at, os.SEEK_DATA)
            except OSError:
                break
            end = os.lseek(fd, at, os.SEEK_HOLE)
            for offset in range(at - at % BLOCK, end, BLOCK):
                block = os.pread(fd, BLOCK, offset)
                if block != zero[: len(block)]:
                    found[offset] = block
            at = end
    return found


def restore(path: Path, wanted: Blocks, size: int) -> None:
    now = blocks_of(path)
    with open(path, "r+b") as file:
        for offset in now.keys() | wanted.keys():
            block = wanted.get(offset, bytes(BLOCK))
            if now.get(offset) != block:
                os.pwrite(file.fileno(), block, offset)
        file.truncate(size)


def with_files(directory: Path) -> Disk:
    """A disk whose partitions hold something that is read, and a tree with an fstab."""
    directory.mkdir()
    makedisk.write_tree(
        directory / "tree",
        {**makedisk.TREE, "etc/fstab": "LABEL=system / ext4 defaults 0 1\n"
         "LABEL=home /home ext4 defaults 0 2\n"},
    )
    small = [Partition(size=1)] * 3
    path = makedisk.make(
        directory / "disk.raw",
        [
            Partition(size=36, type=makedisk.ESP, content="vfat", files={"EFI/BOOT/BOOTX64.EFI": b"MZ"}),
            Partition(size=8, content="ext4", label="system", files=makedisk.TREE),
            *small,
            Partition(size=8, content="ext4", label="home"),
        ],
    )
    return Disk(path, 512, None)


def words(disk: Disk, command: str) -> list[str]:
    assign = [str(disk.path), *commands.ASSIGNMENTS]
    tree = str(disk.path.parent / "tree")
    return [
        commands.DPS_TAG,
        *{
            # Without a tree these two read in a process that they confine.
            "show": ["show", str(disk.path)],
            "check": ["check", "--json", "--arch=x86_64", str(disk.path)],
            "show-tree": ["show", "--root", tree, str(disk.path)],
            "check-tree": ["check", "--json", "--arch=x86_64", "--root", tree, str(disk.path)],
            "plan": ["plan", "--arch=x86_64", "--root", tree, str(disk.path)],
            "apply": ["apply", "--no-check", f"--backup={disk.backup}", *assign],
            "apply-checked": ["apply", f"--backup={disk.backup}", *assign],
            "apply-tree": ["apply", "--arch=x86_64", "--root", tree, f"--backup={disk.backup}", str(disk.path)],
            "undo": ["undo", str(disk.backup), str(disk.path)],
        }[command],
    ]


@dataclasses.dataclass
class Outcome:
    status: int
    text: str  # what it complained
    n_faults: int
    state: str  # "old", "new", "between"


class Bench:
    """The disk before the command, put there again for each run."""

    def __init__(self, original: Disk, work: Path, command: str) -> None:
        shutil.copytree(original.path.parent, work, ignore=shutil.ignore_patterns("*.raw", "*.json"))
        self.disk = commands.copy_beside(original, work)
        self.command = command
        self.backup: bytes | None = None
        self.size = self.disk.path.stat().st_size
        if command == "undo":
            done = commands.run(*words(self.disk, "apply"))
            assert done.returncode == 0, done.stderr
            self.backup = self.disk.backup.read_bytes()
        self.before = blocks_of(self.disk.path)
        self.is_writer = command.startswith("apply") or command == "undo"
        self.default = {"old": commands.by_us(self.disk)[1]}
        self.reset()
        done = commands.run(*words(self.disk, command))
        assert done.returncode in (0, 1), done.stderr
        self.after = blocks_of(self.disk.path)
        self.default["new"] = commands.by_us(self.disk)[1]
        assert self.is_writer == (self.after != self.before)
        # An image that was made half way would have its faults taken for ours.
        if self.is_writer and original.target is not None:
            assert sorted(self.default.values()) == [5, original.target], self.default

    def reset(self) -> None:
        restore(self.disk.path, self.before, self.size)
        for path in self.disk.path.parent.iterdir():
            if path.is_file() and path != self.disk.path:
                path.unlink()
        if self.backup is not None:
            self.disk.backup.write_bytes(self.backup)

    def has_journal(self) -> bool:
        """One that is done and could not be removed is none."""
        path = self.disk.journal
        return path.exists() and not path.read_bytes().startswith(b"dps-journal 0\n")

    def state(self) -> str:
        now = blocks_of(self.disk.path)
        return "old" if now == self.before else "new" if now == self.after else "between"

    def outcome(self, done: subprocess.CompletedProcess[str], n_faults: int) -> Outcome:
        return Outcome(done.returncode, done.stderr, n_faults, self.state())

    def run(self, fault: str, on: str | None = None) -> Outcome:
        self.reset()
        done, steps = replay.record(
            words(self.disk, self.command), commands.SHIM, self.disk.path.parent, fault, on
        )
        return self.outcome(done, sum(s.kind == "fault" for s in steps))

    def trace(self, fault: str) -> str:
        """Of which files a call failed, a line each: "fault\tPATH\t"."""
        self.reset()
        _, steps = replay.record(words(self.disk, self.command), commands.SHIM, self.disk.path.parent, fault)
        return "".join(f"fault\t{s.path}\t\n" for s in steps if s.kind == "fault")

    def check_safe(self, where: str) -> None:
        """What is left: old or new to readers, and finished or taken back by what the manual says."""
        if not self.has_journal():  # with one, the next writer finishes first
            types, default = commands.by_us(self.disk)
            assert types in (OLD, NEW), where
            assert default in self.default.values(), where
            assert types != NEW or default == self.disk.target, f"{where}: {default}, {self.disk}"
        assert commands.by_kernel(self.disk) in (OLD, NEW), where
        keep = {p: p.read_bytes() for p in self.disk.path.parent.iterdir() if p.is_file() and p != self.disk.path}
        left = blocks_of(self.disk.path)
        again = commands.run(*words(self.disk, self.command))
        assert again.returncode == 0, f"{where}: again: {again.stderr}"
        assert self.state() == "new", f"{where}: again"
        if self.command == "undo":
            return
        restore(self.disk.path, left, self.size)
        for path, data in keep.items():
            path.write_bytes(data)
            path.chmod(0o600)
        if self.disk.backup.exists():
            done = commands.run(*words(self.disk, "undo"))
            assert done.returncode == 0, f"{where}: undo: {done.stderr}"
            assert commands.by_us(self.disk) == (OLD, self.default["old"]), f"{where}: undo"
        else:
            assert self.state() == "old", f"{where}: no backup of a changed disk"

    def check(self, got: Outcome, where: str, *, may_skip: bool = False, may_break: bool = False) -> None:
        """
        Exit status and message are true of the disk.  @may_skip: detection may have left out what it
        could not read; @may_break: more than one call failed, and it may be left in between.
        """
        where = f"{where}: status {got.status}, {got.state}: {got.text}"
        assert got.status in ((0, 3) if self.is_writer else (0, 1, 3)), where
        assert "CRITICAL" not in got.text and "WARNING **" not in got.text, where
        if got.status == 3:
            assert got.text.startswith("dps-tag: "), where
        if not self.is_writer:
            assert got.state == "old", where
            return
        if got.status == 0:
            if may_skip and got.state != "new":
                self.check_types(where)
                return
            assert got.state == "new", where
            assert not self.has_journal(), where
            return
        # What could not be flushed may be new, and nobody knows.
        assert got.state == "new" or PLANNED not in got.text, where
        assert got.state != "new" or PLANNED in got.text or (may_break and BETWEEN in got.text), where
        if got.state == "old":
            assert BETWEEN not in got.text or may_break, where
            assert may_break or self.backup is not None or not self.disk.backup.exists(), where
            assert may_break or not self.has_journal(), where
        if got.state == "between":
            assert may_break and BETWEEN in got.text, where
            assert UNTOUCHED not in got.text, where
            assert "run this again" in got.text, where
        elif UNTOUCHED in got.text:
            assert not self.has_journal(), where
        if may_break and got.state != "new":
            self.check_safe(where)

    def check_types(self, where: str) -> None:
        types, default = commands.by_us(self.disk)
        assert all(types[n] in (OLD[n], NEW[n]) for n in OLD), where
        assert types == commands.by_kernel(self.disk), where
        assert types[2] != NEW[2] or default == self.disk.target, where
