# SPDX-License-Identifier: LGPL-2.1-or-later
"""What else can lie between a run that was cut off and the next: a copy of the image, which loses its
holes, a clone's journal, a stop of the program; and a table that only some programs can read.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import commands
import faults
import gpt
import makedisk
import pytest
import replay
from commands import NEW, OLD, Disk
from makedisk import digest

pytestmark = pytest.mark.skipif(
    shutil.which("sfdisk", path=commands.ENV["PATH"]) is None, reason="SKIP: no sfdisk here"
)
ENTRY_SIZE = 256


@pytest.fixture
def quick() -> Iterator[Path]:
    with faults.quick_directory() as directory:
        yield directory


def by_rule(disk: Disk) -> dict[int, str]:
    """The primary copy when it is good, else the backup: Linux knows no entries of 256 bytes."""
    data = disk.path.read_bytes()
    copy = gpt.read_copy(data, 1, disk.sector)
    copy = copy or gpt.read_copy(data, len(data) // disk.sector - 1, disk.sector)
    assert copy is not None and copy.entry_size == ENTRY_SIZE
    return {n: e.type for n, e in copy.entries().items()}


def by_sfdisk(disk: Disk) -> dict[int, str]:
    text = commands.run("sfdisk", "-d", disk.path).stdout
    return {int(n): t.lower() for n, t in re.findall(r"raw(\d+) : .*?type=([\w-]+)", text)}


@pytest.mark.parametrize("sector", [512, 4096])
def test_wide_entries(quick: Path, sector: int) -> None:
    disk = commands.make(quick / "work", "table", sector)
    gpt.widen(disk.path, disk.sector, ENTRY_SIZE)
    before = commands.copy(disk, quick / "copy")
    assert commands.by_us(disk)[0] == by_rule(disk) == OLD
    done, steps = replay.record(commands.apply_words(disk), commands.SHIM, disk.path.parent)
    assert done.returncode == 0, done.stderr
    after = digest(disk.path)
    assert commands.by_us(disk)[0] == by_rule(disk) == NEW
    steps, sectors = replay.compact(steps, str(disk.path))
    start = {str(disk.path): replay.read_sectors(before.path, sectors)}
    seen = []
    for n, (label, state) in enumerate(replay.crash_points(start, steps)):
        if "sectors" in label and n % faults.stride(3):
            continue
        for words in (commands.apply_words(disk), commands.undo_words(disk)):
            commands.copy(before, disk.path.parent)
            replay.write_sectors(disk.path, sectors, state[str(disk.path)])
            for name, data in state.items():
                if name == str(disk.backup):
                    disk.backup.write_bytes(data)
                    disk.backup.chmod(0o600)
            types = by_rule(disk)
            assert commands.by_us(disk)[0] == types and types in (OLD, NEW), label
            if sector == 512:
                assert by_sfdisk(disk) == types, label
            seen.append(types)
            if words[1] == "undo" and not disk.backup.exists():
                assert digest(disk.path) == digest(before.path), label
                continue
            done = commands.run(*words)
            assert done.returncode == 0, f"{label}: {done.stderr}"
            assert by_rule(disk) == (NEW if words[1] == "apply" else OLD), label
            assert words[1] == "undo" or digest(disk.path) == after, label
    assert OLD in seen and NEW in seen


@pytest.mark.parametrize("bad", ["primary", "backup"])
def test_nobody_is_told_to_lose_wide_entries(quick: Path, bad: str) -> None:
    """sgdisk writes an empty table over entries that it does not know: no command of it is offered."""
    disk = commands.make(quick / "work", "table", 512)
    gpt.widen(disk.path, disk.sector, ENTRY_SIZE)
    data = bytearray(disk.path.read_bytes())
    data[512 * (1 if bad == "primary" else -1) + 60] ^= 1
    disk.path.write_bytes(data)
    code = "gpt-primary-bad" if bad == "primary" else "gpt-backup-misplaced"
    done = commands.run(commands.DPS_TAG, "check", "--json", "--arch=x86_64", disk.path)
    checked = json.loads(done.stdout)["disks"][0]["findings"]
    applied = commands.findings_of([commands.DPS_TAG, "apply", str(disk.path), "linux-generic=3", "--no-check"])
    for findings in (checked, applied):
        hints = [f["hint"] for f in findings if f["code"] == code]
        assert len(hints) == 1 and "256 bytes" in hints[0] and "`" not in hints[0], findings
    # What it does offer works.
    words = commands.apply_words(disk)
    assert commands.run(*words, *(["--force"] if bad == "primary" else [])).returncode == 0
    assert commands.copies_agree(disk) and by_rule(disk) == NEW


def cut_off(disk: Disk, before: Disk, log: list[replay.Step]) -> Iterator[tuple[str, set[Path]]]:
    """The disk as it is behind each write to it, and what lies beside it then."""
    places = [i for i, s in enumerate(log) if s.kind == "write" and s.path == str(disk.path)]
    for end in places:
        commands.copy(before, disk.path.parent)
        files: replay.Files = {}
        with open(disk.path, "r+b") as file:
            for step in log[: end + 1]:
                if step.path != str(disk.path):
                    files = replay.apply(files, step)
                elif step.kind == "write":
                    os.pwrite(file.fileno(), step.data, step.offset)
        beside = {Path(name): data for name, data in files.items() if not name.endswith(" (deleted)")}
        for path, data in beside.items():
            path.write_bytes(data)
            path.chmod(0o600)
        yield f"write {places.index(end)} of {len(places)}", set(beside)


@pytest.mark.parametrize("shape", ["table", "journal"])
def test_copied_and_moved_back(quick: Path, shape: str) -> None:
    """`cp --sparse=always` makes holes of what is zero; the image is another file, with its old name."""
    if commands.why_not(shape):
        pytest.skip(f"SKIP: {commands.why_not(shape)}")
    disk = commands.make(quick / "work", shape, 512)
    before = commands.copy(disk, quick / "copy")
    old = commands.by_us(before)
    done, log = replay.record(commands.apply_words(disk), commands.SHIM, disk.path.parent)
    assert done.returncode == 0, done.stderr
    after = digest(disk.path)
    n_journals = 0
    for where, beside in cut_off(disk, before, log):
        n_journals += disk.journal in beside
        kept_files = {path: path.read_bytes() for path in beside}
        moved = disk.path.with_name("moved.raw")
        assert commands.run("cp", "--sparse=always", disk.path, moved).returncode == 0
        for words in (commands.apply_words(disk), commands.undo_words(disk)):
            if words[1] == "undo" and not disk.backup.exists():
                continue
            assert commands.run("cp", "--sparse=always", moved, disk.path).returncode == 0
            for path, data in kept_files.items():
                path.write_bytes(data)
                path.chmod(0o600)
            done = commands.run(*words)
            assert done.returncode == 0, f"{where}: {done.stderr}"
            assert not disk.journal.exists(), where
            if words[1] == "apply":
                assert digest(disk.path) == after, where
            else:
                assert commands.by_us(disk) == old, where
        moved.unlink()
    assert (n_journals > 0) == (shape == "journal")


def test_the_journal_of_another_image(quick: Path) -> None:
    """It lies beside a clone that nobody changed, beside one that was changed, and beside another disk."""
    if commands.why_not("journal"):
        pytest.skip(f"SKIP: {commands.why_not('journal')}")
    disk = commands.make(quick / "work", "journal", 512)
    before = commands.copy(disk, quick / "clone")
    done, log = replay.record(commands.apply_words(disk), commands.SHIM, disk.path.parent)
    assert done.returncode == 0, done.stderr
    journal = next(disk.journal.read_bytes() for _, beside in cut_off(disk, before, log) if disk.journal in beside)

    # Nothing was begun there: nothing is done that nobody asked for there.
    clone = dataclasses.replace(before)
    clone.journal.write_bytes(journal)
    clone.journal.chmod(0o600)
    image = digest(clone.path)
    done = commands.run(commands.DPS_TAG, "apply", "--no-check", clone.path, "linux-generic=3")
    assert done.returncode == 0 and digest(clone.path) == image, done.stderr
    assert not clone.journal.exists()

    other = commands.make(quick / "other", "journal", 512)
    for path in (other.path, commands.copy(disk, quick / "changed").path):
        beside = path.with_name("disk.raw.dps-journal")
        with open(path, "r+b") as file:
            # of the edits, the last is the leaf
            offset, size = struct.unpack_from("<QQ", journal, 32)
            os.pwrite(file.fileno(), b"another's", offset + size // 2)
        beside.write_bytes(journal)
        beside.chmod(0o600)
        image = digest(path)
        done = commands.run(commands.DPS_TAG, "apply", "--no-check", path, "linux-generic=3")
        assert done.returncode == 3 and str(beside) in done.stderr, done.stderr
        assert digest(path) == image and beside.read_bytes() == journal


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize("command", ["apply", "undo"])
def test_stopped_and_continued(quick: Path, command: str) -> None:
    """By ^Z and fg, before each call that changes something: nothing is lost, and nothing is said."""
    disk = commands.make(quick / "original", "table", 512)
    bench = faults.Bench(disk, quick / "bench", command)
    log = quick / "log"
    n_stops = 0
    for nth in range(1, faults.MAX_CALLS, faults.stride(3)):
        bench.reset()
        log.unlink(missing_ok=True)
        env = replay.environment(
            commands.SHIM, bench.disk.path.parent, log, f"change:{nth}:signal{int(signal.SIGSTOP)}"
        )
        with subprocess.Popen(
            faults.words(bench.disk, command), env={**os.environ, **env}, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            while process.poll() is None and state_of(process.pid) != "T":
                time.sleep(0.002)
            is_stopped = process.poll() is None
            if is_stopped:
                process.send_signal(signal.SIGCONT)
            assert process.stderr is not None
            complaint = process.stderr.read()
        assert (process.returncode, complaint, bench.state()) == (0, "", "new"), nth
        if not is_stopped:
            break
        n_stops += 1
    assert n_stops > 2


@pytest.mark.skipif(os.geteuid() != 0, reason="SKIP: mounts a small file system, which needs root")
def test_backup_where_nothing_can_be_run(quick: Path) -> None:
    disk = commands.make(quick / "work", "table", 512)
    small = quick / "small"
    small.mkdir()
    options = "size=1m,noexec,nodev,nosuid,noatime"
    assert commands.run("mount", "-t", "tmpfs", "-o", options, "tmpfs", small).returncode == 0
    try:
        words = [w.replace(str(disk.backup), f"{small}/b.json") for w in commands.apply_words(disk)]
        done = commands.run(*words)
        assert done.returncode == 0, done.stderr
        assert commands.by_us(disk)[0] == NEW
        done = commands.run(commands.DPS_TAG, "undo", small / "b.json")
        assert done.returncode == 0, done.stderr
        assert commands.by_us(disk)[0] == OLD
    finally:
        makedisk.umount(small)
