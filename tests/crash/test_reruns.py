# SPDX-License-Identifier: LGPL-2.1-or-later
"""Behind a run that was cut off people do not always type the same: another backup, another name of
the disk, another command.  What is printed then can be pasted, and works.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import commands
import faults
import pytest
import replay
from commands import NEW, OLD, Disk

pytestmark = pytest.mark.skipif(
    shutil.which("sfdisk", path=commands.ENV["PATH"]) is None, reason="SKIP: no sfdisk here"
)


@pytest.fixture
def quick() -> Iterator[Path]:
    with faults.quick_directory() as directory:
        yield directory


def cut_off(disk: Disk, before: Disk, steps: list[replay.Step]) -> Iterator[list[replay.Step]]:
    """Leaves the disk as it is behind each write of a run, one after the other; the writes that are done."""
    writes = [s for s in steps if s.kind == "write" and s.path == str(disk.path)]
    for cut in range(len(writes) + 1):
        commands.copy(before, disk.path.parent)
        with open(disk.path, "r+b") as file:
            for step in writes[:cut]:
                os.pwrite(file.fileno(), step.data, step.offset)
        yield writes[:cut]


def undo_line(text: str) -> str | None:
    lines = text.splitlines()
    found = [b.strip() for a, b in zip(lines, lines[1:]) if a == "What was is kept; this puts it back:"]
    return found[0] if found else None


@pytest.mark.parametrize("shape", ["table", "dup"])
def test_made_again_with_another_backup(quick: Path, shape: str) -> None:
    """It keeps what it changes itself, and says so; the first one's takes everything back."""
    if commands.why_not(shape):
        pytest.skip(f"SKIP: {commands.why_not(shape)}")
    disk = commands.make(quick / "work", shape, 512)
    before = commands.copy(disk, quick / "copy")
    old = commands.by_us(before)
    done, steps = replay.record(commands.apply_words(disk), commands.SHIM, disk.path.parent)
    assert done.returncode == 0, done.stderr
    first = disk.backup.read_bytes()
    words = [w.replace("backup.json", "-another one.json") for w in commands.apply_words(disk)]
    for word in (words[3], words[3].replace(f"{disk.path.parent}/", "")):
        kept = {True: 0, False: 0}
        for writes in cut_off(disk, before, steps):
            where = f"{word}: {len(writes)} writes"
            was = commands.by_us(disk)
            disk.backup.write_bytes(first)
            disk.backup.chmod(0o600)
            done = commands.run(*words[:3], word, *words[4:], cwd=disk.path.parent)
            assert done.returncode == 0, f"{where}: {done.stderr}"
            assert commands.by_us(disk) == (NEW, disk.target), where
            line = undo_line(done.stdout)
            kept[line is not None] += 1
            if line:
                commands.paste(line, disk.path.parent)
                assert commands.by_us(disk) == was, where
            else:  # the other one switched the table
                assert was == (NEW, disk.target), where
            done = commands.run(*commands.undo_words(disk))
            assert done.returncode == 0, f"{where}: {done.stderr}"
            assert commands.by_us(disk) == old, where
        assert min(kept.values()) > 1, kept


def test_made_again_on_a_disk_that_has_moved(quick: Path) -> None:
    """After a reboot it may have another name: the line that is printed names it."""
    disk = commands.make(quick / "work", "table", 512)
    before = commands.copy(disk, quick / "copy")
    done, steps = replay.record(commands.apply_words(disk), commands.SHIM, disk.path.parent)
    assert done.returncode == 0, done.stderr
    assert undo_line(done.stdout) == f"dps-tag undo {disk.backup}"
    first = disk.backup.read_bytes()
    n_lines = 0
    for writes in cut_off(disk, before, steps):
        where = f"{len(writes)} writes"
        moved = Disk(disk.path.with_name("it's moved.raw"), disk.sector, disk.target)
        disk.path.rename(moved.path)
        moved.backup.write_bytes(first)
        moved.backup.chmod(0o600)
        is_new = commands.by_us(moved)[0] == NEW
        words = commands.apply_words(moved)
        done = commands.run(*words)
        if not is_new:
            # Of a disk that is another, for all it can tell, it keeps nothing, and takes no backup away.
            assert done.returncode == 3 and "is there already" in done.stderr, f"{where}: {done.stderr}"
            moved.backup.unlink()
            done = commands.run(*words)
        assert done.returncode == 0, f"{where}: {done.stderr}"
        assert commands.by_us(moved)[0] == NEW, where
        line = undo_line(done.stdout)
        if line:
            n_lines += 1
            commands.paste(line, moved.path.parent)
            assert commands.by_us(moved)[0] == OLD, where
    assert n_lines == len(writes)  # all but the one that was done


@pytest.mark.parametrize("sector", [512, 4096])
def test_another_apply_behind_one_that_was_cut_off(quick: Path, sector: int) -> None:
    """
    It has nothing to change and leaves the backup table, which is not about what it is asked for: so
    does it say, and so does check, and what they say to type makes both copies agree.
    """
    if sector == 4096 and (os.geteuid() != 0 or not os.path.exists("/dev/loop-control")):
        pytest.skip("SKIP: needs root and loop devices")
    disk = commands.make(quick / "work", "table", sector)
    before = commands.copy(disk, quick / "copy")
    done, steps = replay.record(commands.apply_words(disk), commands.SHIM, disk.path.parent)
    assert done.returncode == 0, done.stderr
    codes = ("gpt-backup-misplaced", "gpt-copies-differ")
    n_ahead = 0
    for writes in cut_off(disk, before, steps):
        where = f"{len(writes)} writes"
        now = commands.by_us(disk)[0]
        left, is_ahead = disk.path.read_bytes(), not commands.copies_agree(disk) and now == OLD
        done = commands.run(commands.DPS_TAG, "check", "--json", "--arch=x86_64", disk.path)
        checked = json.loads(done.stdout)["disks"][0]["findings"]
        assert disk.path.read_bytes() == left, where
        done = commands.run(commands.DPS_TAG, "apply", "--no-check", "--json", disk.path, "linux-generic=3")
        assert done.returncode == 0, f"{where}: {done.stderr}"
        applied = json.loads(done.stdout)["findings"]
        if not is_ahead:
            # What is behind the switch is finished by every apply.
            assert not any(f["code"] in codes for f in applied), where
            assert commands.copies_agree(disk) and commands.by_us(disk)[0] == now, where
            continue
        assert disk.path.read_bytes() == left, where
        n_ahead += 1
        for findings in (checked, applied):
            disk.path.write_bytes(left)
            commands.follow_hint(findings, codes, disk.path.parent)
            assert commands.copies_agree(disk), where
            assert commands.by_us(disk)[0] == commands.by_kernel(disk) == OLD, where
    assert n_ahead == 2
