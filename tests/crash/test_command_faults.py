# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every command, with each call that it makes on disk, tree, backup and journal failing in turn.

What is read only changes nothing.  What writes ends with status 0 and all of it done, or with 3, a
reason, and the disk as the reason says: as it was, or as planned; and where the way back fails too,
in between, which every reader can read and the same command finishes.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import commands
import faults
import makedisk
import pytest
from commands import NEW, OLD, Disk
from faults import MAX_CALLS, UNTOUCHED, Bench, words

pytestmark = pytest.mark.skipif(
    shutil.which("sfdisk", path=commands.ENV["PATH"]) is None, reason="SKIP: no sfdisk here"
)

BTRFS = ("dup", "single", "journal")


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with faults.quick_directory() as directory:
        yield directory


@pytest.fixture(scope="module")
def benches(place: Path) -> Iterator[dict[tuple[str, str], Bench]]:
    """Those that were made already: mkfs and mounts take longer than the runs on a disk."""
    yield {}


def get_bench(benches: dict[tuple[str, str], Bench], place: Path, shape: str, command: str) -> Bench:
    if shape in BTRFS and commands.why_not(shape):
        pytest.skip(f"SKIP: {commands.why_not(shape)}")
    original = place / shape
    if (shape, command) not in benches:
        if original.exists():
            made = next(b for (s, _), b in benches.items() if s == shape).disk
            disk = Disk(original / "disk.raw", 512, made.target)
        else:
            disk = faults.with_files(original) if shape == "files" else commands.make(original, shape, 512)
        benches[shape, command] = Bench(disk, place / f"{shape}-{command}", command)
    return benches[shape, command]


# In a common run what changes something fails one by one, and of all else a sample.
def stride(call: str, how: object) -> int:
    if call == "change":
        return 1 if how == errno.EIO else faults.stride(3)
    return faults.stride(3 if call in ("write", "flush") else 41)


READERS = [
    ("files", command, call, how)
    for command in ("show", "check", "show-tree", "check-tree", "plan")
    for call, how in (("any", errno.EIO), ("read", "short"), ("read", errno.EINTR))
]
HOWS = (
    ("any", errno.EIO),
    ("open", errno.EACCES),
    ("read", errno.EINTR),
    ("read", "short"),
    ("change", errno.EIO),
    ("change", errno.ENOSPC),
    ("write", errno.EINTR),
    ("write", "short"),
    ("write", "lie"),
    ("flush", errno.EINTR),
)
WRITERS = [
    (shape, command, call, how)
    for shape, commands_of in (("files", ("apply-checked", "apply-tree", "undo")), *((b, ("apply", "undo")) for b in BTRFS))
    for command in commands_of
    for call, how in HOWS
]


@pytest.mark.parametrize(("shape", "command", "call", "how"), READERS + WRITERS)
def test_each_call(
    benches: dict[tuple[str, str], Bench], place: Path, shape: str, command: str, call: str, how: int | str
) -> None:
    bench = get_bench(benches, place, shape, command)
    for nth in range(1, MAX_CALLS, stride(call, how)):
        got = bench.run(f"{call}:{nth}:{how}")
        if not got.n_faults:
            assert nth > 1, "no such call is made"
            break
        where = f"{call} {nth} {how}"
        # What is detected and cannot be read is left out, and said.
        bench.check(got, where, may_skip=command == "apply-tree" and call in ("any", "open", "read"))
        # The kernel gives no EINTR for disks and files; other file systems may, and it is no fault.
        # (libfdisk takes it for the end of a read.)
        if how in (errno.EINTR, "short") and call != "read":
            assert got.status == 0, f"{where}: {got.text}"
    else:
        pytest.fail("it never came to an end")


TWICE = [(shape, command) for shape in ("files", *BTRFS) for command in ("apply", "undo")]


@pytest.mark.parametrize(("shape", "command"), TWICE)
def test_two_calls(benches: dict[tuple[str, str], Bench], place: Path, shape: str, command: str) -> None:
    """A call fails, and then one on the way back."""
    bench = get_bench(benches, place, shape, command)
    n_pairs = n_between = 0
    for first in range(1, MAX_CALLS):
        for second in range(first + 1, MAX_CALLS):
            if (3 * first + second) % faults.stride(29):
                continue
            got = bench.run(f"change:{first}:{errno.EIO},change:{second}:{errno.EIO}")
            if got.n_faults < 2:
                break
            n_pairs += 1
            n_between += got.state == "between"
            bench.check(got, f"change {first}, {second}", may_break=True)
        if not got.n_faults:
            break
    assert n_pairs > 1 and (n_between > 0 or not faults.IS_FULL)


@pytest.mark.parametrize(("shape", "command"), TWICE)
def test_a_disk_that_breaks(
    benches: dict[tuple[str, str], Bench], place: Path, shape: str, command: str
) -> None:
    """From the n-th call on nothing can be changed: old, new or safely between, and it says so."""
    bench = get_bench(benches, place, shape, command)
    for how in (errno.EIO, errno.ENOSPC):
        for nth in range(1 + (how == errno.ENOSPC), MAX_CALLS, faults.stride(4)):
            got = bench.run(f"change:{nth}+:{how}")
            if not got.n_faults:
                break
            where = f"change {nth}+ {how}"
            # A journal that is done and cannot be removed is no failure, and the last thing that can fail.
            is_done = shape == "journal" and got.n_faults == 1
            assert got.status == 3 or is_done, f"{where}: {got.text}"
            bench.check(got, where, may_break=True)


@pytest.mark.parametrize(("shape", "command"), TWICE)
def test_a_device_that_keeps_the_old_bytes(
    benches: dict[tuple[str, str], Bench], place: Path, shape: str, command: str
) -> None:
    """Each write is reported as done and none is: noticed, by reading back past the cache."""
    bench = get_bench(benches, place, shape, command)
    got = bench.run("write:1+:lie", on="disk.raw")
    assert got.n_faults and got.status == 3, got
    assert "gives others back" in got.text
    assert got.state == "old"


NUMBERS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(("shape", "command"), TWICE)
def test_signals(
    benches: dict[tuple[str, str], Bench], place: Path, shape: str, command: str, number: signal.Signals
) -> None:
    """Just before each call that changes something, and before opens and reads."""
    bench = get_bench(benches, place, shape, command)
    seen = set()
    for call in ("any", "change"):
        # Killed at each change; told to end at some of them.
        step = 1 if (call, number) == ("change", signal.SIGKILL) else stride(call, number)
        for nth in range(1 + int(number) % step, MAX_CALLS, step):
            got = bench.run(f"{call}:{nth}:signal{int(number)}")
            if not got.n_faults:
                break
            where = f"{call} {nth}: {got}"
            seen.add(got.state)
            assert got.status == -number, where
            if number != signal.SIGKILL:
                assert got.state in ("old", "new"), where
                assert not bench.has_journal(), where
                if got.state == "new" and call == "change":
                    assert "interrupted" in got.text, where
            if got.state != "new":
                bench.check_safe(where)
    assert {"old", "new"} <= seen


def test_interrupted_and_failed(benches: dict[tuple[str, str], Bench], place: Path) -> None:
    """The signal ends it all the same; why nothing was changed is told before."""
    bench = get_bench(benches, place, "files", "apply")
    got = bench.run(f"change:1:signal{int(signal.SIGINT)},flush:4:{errno.EIO}")
    assert got.n_faults == 2, got
    assert (got.status, got.state) == (-signal.SIGINT, "old"), got
    assert UNTOUCHED in got.text and "flush" in got.text, got


@pytest.mark.skipif(os.geteuid() != 0, reason="SKIP: mounts a small file system, which needs root")
def test_backup_directory_that_is_full(
    benches: dict[tuple[str, str], Bench], place: Path, tmp_path: Path
) -> None:
    bench = get_bench(benches, place, "files", "apply")
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
            assert UNTOUCHED in done.stderr, done.stderr
            assert "backup" in done.stderr and "b.json" in done.stderr, done.stderr
            assert bench.state() == "old"
            assert not list(small.glob("b.json*"))
    finally:
        makedisk.umount(small)


def test_backup_where_files_must_have_names(benches: dict[tuple[str, str], Bench], place: Path) -> None:
    """O_TMPFILE is not to be had on every file system: the file is whole before it has its name."""
    bench = get_bench(benches, place, "files", "apply")
    at = next(n for n in range(1, MAX_CALLS) if "/.\t" in bench.trace(f"open:{n}:{errno.EOPNOTSUPP}"))
    no_nameless = f"open:{at}:{errno.EOPNOTSUPP}"
    got = bench.run(no_nameless)
    assert got.status == 0 and got.state == "new", got
    assert [p.name for p in bench.disk.path.parent.glob("backup*")] == ["backup.json"]
    assert bench.disk.backup.stat().st_mode & 0o777 == 0o600
    for how in (errno.EIO, f"signal{int(signal.SIGKILL)}"):
        for nth in range(1, MAX_CALLS):
            got = bench.run(f"{no_nameless},change:{nth}:{how}")
            if got.n_faults < 2:
                break
            where = f"change {nth} {how}: {got}"
            if how == errno.EIO:
                bench.check(got, where)
            elif got.state != "new":
                # Half a backup has no name that would be in the way of the next run.
                bench.check_safe(where)
        assert nth > 10


def test_a_kept_backup_is_flushed(benches: dict[tuple[str, str], Bench], place: Path) -> None:
    """A run that is killed between the name of its backup and the flush of it: the next one flushes."""
    bench = get_bench(benches, place, "files", "apply")
    link = next(n for n in range(1, MAX_CALLS) if "backup.json\t" in bench.trace(f"change:{n}:{errno.EIO}"))
    got = bench.run(f"change:{link + 1}:signal9")
    assert got.status == -9 and bench.disk.backup.exists() and got.state == "old"
    text = bench.disk.backup.read_bytes()
    done, steps = faults.replay.record(words(bench.disk, "apply"), commands.SHIM, bench.disk.path.parent)
    assert done.returncode == 0, done.stderr
    assert bench.disk.backup.read_bytes() == text
    first_write = [s.kind for s in steps].index("write")
    flushed = [(s.kind, s.path) for s in steps[:first_write]]
    assert flushed == [("flush", str(bench.disk.backup)), ("flush-dir", str(bench.disk.path.parent))]
    assert commands.by_us(bench.disk)[0] == NEW
    assert commands.run(*words(bench.disk, "undo")).returncode == 0
    assert commands.by_us(bench.disk)[0] == OLD
