# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every command, with each call that it makes on disk, tree and backup failing in turn.

What is read only changes nothing.  What writes ends with status 0 and the new table, or with 3, a
reason, and the disk as the reason says: as it was, or as planned.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
from pathlib import Path

import commands
import makedisk
import pytest
import replay
from commands import NEW, OLD, Disk
from makedisk import Partition, digest

pytestmark = pytest.mark.skipif(
    shutil.which("sfdisk", path=commands.ENV["PATH"]) is None, reason="SKIP: no sfdisk here"
)
MAX_CALLS = 5000
UNTOUCHED = "nothing was changed"

# Opens and reads are many and write nothing: each fifth in a common run, every one when asked for.
# Writes, flushes and links fail one by one always.
STRIDE = 1 if os.environ.get("DPS_FAULTS") == "all" else 5


def stride(call: str) -> int:
    return STRIDE if call in ("open", "read") else 1


def with_files(directory: Path) -> Disk:
    """A disk whose partitions hold something that is read, and a tree with an fstab."""
    directory.mkdir()
    tree = directory / "tree"
    makedisk.write_tree(
        tree,
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


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Disk:
    return with_files(tmp_path_factory.mktemp("faults") / "work")


def words(disk: Disk, command: str) -> list[str]:
    assign = [str(disk.path), *commands.ASSIGNMENTS]
    tree = str(disk.path.parent / "tree")
    return [
        commands.DPS_TAG,
        *{
            # With a tree: without one they confine themselves, and the shim could write nothing down.
            "show": ["show", "--root", tree, str(disk.path)],
            "plan": ["plan", "--arch=x86_64", "--root", tree, str(disk.path)],
            "check": ["check", "--json", "--arch=x86_64", "--root", tree, str(disk.path)],
            "apply": ["apply", f"--backup={disk.backup}", *assign],
            "apply-tree": ["apply", "--arch=x86_64", "--root", tree, f"--backup={disk.backup}", str(disk.path)],
            "undo": ["undo", str(disk.backup), str(disk.path)],
        }[command],
    ]


class Bench:
    """The disk before the command, put there again for each run."""

    def __init__(self, original: Disk, work: Path, command: str) -> None:
        self.disk = Disk(work / "disk.raw", 512, None)
        self.command = command
        shutil.copytree(original.path.parent, work, ignore=shutil.ignore_patterns("disk.raw"))
        self.start = original.path
        self.backup: bytes | None = None
        if command == "undo":
            self.start = work.parent / "start.raw"
            shutil.copy(original.path, self.start)
            disk = Disk(self.start, 512, None)
            done = commands.run(*words(disk, "apply"))
            assert done.returncode == 0, done.stderr
            self.backup = disk.backup.read_bytes()
            disk.backup.unlink()
        self.before = digest(self.start)
        self.area = commands.table_area(self.start)
        self.reset()
        done = commands.run(*words(self.disk, command))
        assert done.returncode in (0, 1), done.stderr
        self.after = digest(self.disk.path)

    def reset(self) -> None:
        commands.run("cp", "--sparse=always", self.start, self.disk.path)
        self.disk.backup.unlink(missing_ok=True)
        if self.backup is not None:
            self.disk.backup.write_bytes(self.backup)

    def run(self, fault: str, on: str | None = None):  # type: ignore[no-untyped-def]
        self.reset()
        done, steps = replay.record(
            words(self.disk, self.command), commands.SHIM, self.disk.path.parent, fault, on
        )
        return done, any(s.kind == "fault" for s in steps)


FAULTS = [
    (command, call, how)
    for command in ("show", "plan", "check")
    for call, how in (("read", errno.EIO), ("read", "short"), ("open", errno.EIO))
] + [
    (command, call, how)
    for command in ("apply", "apply-tree", "undo")
    for call, how in (
        ("open", errno.EIO),
        ("open", errno.EACCES),
        ("read", errno.EIO),
        ("read", errno.EINTR),
        ("read", "short"),
        ("write", errno.EIO),
        ("write", errno.ENOSPC),
        ("write", errno.EINTR),
        ("write", "short"),
        ("write", "lie"),
        ("flush", errno.EIO),
        ("flush", errno.EINTR),
        ("link", errno.EIO),
        ("link", errno.ENOSPC),
    )
    if (command, call) != ("undo", "link")
]


@pytest.mark.parametrize(("command", "call", "how"), FAULTS)
def test_each_call(original: Disk, tmp_path: Path, command: str, call: str, how: int | str) -> None:
    bench = Bench(original, tmp_path / "work", command)
    for nth in range(1, MAX_CALLS, stride(call)):
        done, was_reached = bench.run(f"{call}:{nth}:{how}")
        if not was_reached:
            assert nth > 1, "no such call is made"
            break
        where = f"{call} {nth} {how}: {done.returncode}: {done.stdout}\n{done.stderr}"
        now = digest(bench.disk.path)
        assert done.returncode in (0, 1, 3), where
        assert "CRITICAL" not in done.stderr and "WARNING **" not in done.stderr, where
        if command in ("show", "plan", "check"):
            assert now == bench.before, where
            continue
        # libfdisk takes it for the end; the kernel gives it for no disk and no file.
        if how == errno.EINTR and call != "read":
            assert done.returncode == 0, where
        if done.returncode == 0:
            # What is detected and cannot be read is left out, and said.
            assert now == bench.after or (command == "apply-tree" and call in ("open", "read")), where
            continue
        assert done.returncode == 3 and done.stderr.startswith("dps-tag: "), where
        if now == bench.after:
            assert "changed as planned" in done.stderr, where
        else:
            assert now == bench.before, where
            assert "changed as planned" not in done.stderr, where
            assert bench.backup is not None or not bench.disk.backup.exists(), where
    else:
        pytest.fail("it never came to an end")


@pytest.mark.parametrize("command", ["apply", "undo"])
def test_a_device_that_keeps_the_old_bytes(original: Disk, tmp_path: Path, command: str) -> None:
    """Each write is reported as done and none is: noticed, by reading back past the cache."""
    bench = Bench(original, tmp_path / "work", command)
    done, was_reached = bench.run("write:0:lie", on="disk.raw")
    assert was_reached and done.returncode == 3, done
    assert "gives others back" in done.stderr
    assert digest(bench.disk.path) == bench.before


@pytest.mark.parametrize("command", ["apply", "undo"])
def test_a_disk_that_breaks(original: Disk, tmp_path: Path, command: str) -> None:
    """From the n-th write or flush on nothing can be written: the old or the new, and it says so."""
    bench = Bench(original, tmp_path / "work", command)
    for call in ("write", "flush"):
        done, was_reached = bench.run(f"{call}:0:{errno.EIO}", on="disk.raw")
        assert was_reached and done.returncode == 3
        assert "dps-tag undo" in done.stderr or UNTOUCHED in done.stderr, done.stderr
        types = commands.by_us(bench.disk)[0]
        assert types in (OLD, NEW)
        assert types == commands.by_kernel(bench.disk)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", ["apply", "undo"])
def test_signals(original: Disk, tmp_path: Path, command: str, number: signal.Signals) -> None:
    """Just before each write, flush and link, and before opens and reads."""
    bench = Bench(original, tmp_path / "work", command)
    seen = set()
    for call in ("open", "read", "write", "flush", "link"):
        for nth in range(1, MAX_CALLS, stride(call)):
            done, was_reached = bench.run(f"{call}:{nth}:signal{int(number)}")
            if not was_reached:
                break
            where = f"{call} {nth}: {done.returncode}: {done.stderr}"
            types = commands.by_us(bench.disk)[0]
            assert types in (OLD, NEW), where
            assert types == commands.by_kernel(bench.disk), where
            seen.add(types == NEW)
            assert done.returncode == -number, where
            if number != signal.SIGKILL:
                whole = digest(bench.disk.path)
                assert whole in (bench.before, bench.after), where
                if whole == bench.after and "write" in call:
                    assert "interrupted" in done.stderr, where
            again = commands.run(*words(bench.disk, command))
            assert again.returncode == 0, f"{where}: {again.stderr}"
            assert digest(bench.disk.path) == bench.after, where
    assert len(seen) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="SKIP: mounts a small file system, which needs root")
def test_backup_directory_that_is_full(original: Disk, tmp_path: Path) -> None:
    bench = Bench(original, tmp_path / "work", "apply")
    bench.reset()
    small = tmp_path / "small"
    small.mkdir()
    assert commands.run("mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", small).returncode == 0
    try:
        (small / "filler").write_bytes(bytes(4096))
        for state in ("full", "read-only"):
            if state == "read-only":
                (small / "filler").unlink()
                assert commands.run("mount", "-o", "remount,ro", small).returncode == 0
            done = commands.run(
                commands.DPS_TAG, "apply", f"--backup={small}/b.json", bench.disk.path,
                *commands.ASSIGNMENTS,
            )
            assert done.returncode == 3, state
            assert "backup" in done.stderr and "b.json" in done.stderr, done.stderr
            assert digest(bench.disk.path) == bench.before
            assert not (small / "b.json").exists()
    finally:
        makedisk.umount(small)
