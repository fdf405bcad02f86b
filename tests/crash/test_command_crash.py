# SPDX-License-Identifier: LGPL-2.1-or-later
"""dps-tag apply and undo, cut off at every point: table, default subvolume and backup file.

At each point every reader finds the old table or the new one; the default is the old or the new
subvolume, and it is the new one wherever the table says that there is a root; the same command
again finishes; and the backup, once anything was changed, takes everything back.  Where a journal
lies beside the image the file system may be torn, but no table leads to it.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import commands
import faults
import gpt
import makedisk
import pytest
import replay
from commands import NEW, OLD, Disk, btrfs_image
from makedisk import digest

pytestmark = pytest.mark.skipif(
    shutil.which("sfdisk", path=commands.ENV["PATH"]) is None, reason="SKIP: no sfdisk here"
)


@pytest.fixture(
    params=[(shape, sector) for shape in commands.SHAPES for sector in (512, 4096)],
    ids=lambda p: f"{p[0]}-{p[1]}",
)
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Disk:
    shape, sector = request.param
    if commands.why_not(shape):
        pytest.skip(f"SKIP: {commands.why_not(shape)}")
    return commands.make(tmp_path / "work", shape, sector)


@pytest.fixture
def quick() -> Iterator[Path]:
    with faults.quick_directory() as directory:
        yield directory


def has_journal(disk: Disk) -> bool:
    """One that was completed, and is not done; before and behind that the file system is whole."""
    try:
        data = disk.journal.read_bytes()
    except FileNotFoundError:
        return False
    is_whole = len(data) > 32 and int.from_bytes(data[24:32], "little") == len(data)
    return is_whole and data.startswith(b"dps-journal 1\n")


def table_of(data: bytes, sectors: list[int], disk: Disk) -> bytes:
    """What is written outside of the partitions, which others than us do not look into."""
    mib = makedisk.MIB // replay.SECTOR
    first, last = mib, disk.path.stat().st_size // replay.SECTOR - mib
    return b"".join(
        data[i * replay.SECTOR : (i + 1) * replay.SECTOR]
        for i, sector in enumerate(sectors)
        if not first <= sector < last
    )


def put(disk: Disk, files: replay.Files, sectors: list[int]) -> None:
    """Makes the directory into what the crash left."""
    replay.write_sectors(disk.path, sectors, files[str(disk.path)])
    for name, data in files.items():
        if name != str(disk.path) and not name.endswith(" (deleted)"):
            Path(name).write_bytes(data)
            os.chmod(name, 0o600)


def check_points(
    disk: Disk, before: Path, steps: list[replay.Step], files: replay.Files, words: list[str]
) -> int:
    """@disk is as the whole run left it; @before is the disk as it was, @files what lay beside."""
    after, (new_types, new_default) = digest(disk.path), commands.by_us(disk)
    kept = disk.path.parent.parent / "before"
    shutil.copytree(before.parent, kept)
    old = Disk(kept / "disk.raw", disk.sector, disk.target)
    old_types, old_default = commands.by_us(old)
    steps, sectors = replay.compact(steps, str(disk.path))
    start = {**files, str(disk.path): replay.read_sectors(old.path, sectors)}
    count = 0
    seen: set[object] = set()
    seen_tables = set()
    # A journal and the leaf that it holds are torn at hundreds of places: all, or a sample.
    step = faults.stride(9) if any(s.path == str(disk.journal) for s in steps) else 1
    for n, (label, state) in enumerate(replay.crash_points(start, steps)):
        if "sectors" in label and n % step:
            continue
        commands.copy(old, disk.path.parent)
        put(disk, state, sectors)
        kernel = commands.by_kernel(disk)
        assert kernel in (old_types, new_types), f"{label}: {kernel}"
        if has_journal(disk):
            # Until it is finished nothing is a root; and nothing else is written meanwhile.
            assert kernel == OLD, label
            seen.add("journal")
        else:
            types, default = commands.by_us(disk)
            assert types == kernel, label
            assert default in (old_default, new_default), label
            # A root that is found leads to the right place.
            assert types != NEW or default == disk.target, label
            seen.add((types == new_types, default == new_default))
        table = table_of(state[str(disk.path)], sectors, disk)
        if table not in seen_tables:
            for reader, found in commands.by_others(disk).items():
                assert found == kernel, f"{label}: {reader}"
            seen_tables.add(table)

        done = commands.run(*words)
        assert done.returncode == 0, f"{label}: {done.stderr}"
        assert digest(disk.path) == after, f"{label}: again"
        assert not disk.journal.exists(), f"{label}: again"

        commands.copy(old, disk.path.parent)
        put(disk, state, sectors)
        if disk.backup.exists():
            done = commands.run(*commands.undo_words(disk))
            assert done.returncode == 0, f"{label}: undo: {done.stderr}"
            types, default = commands.by_us(disk)
            assert types == OLD, f"{label}: undo"
            assert default == (None if disk.target is None else 5), f"{label}: undo"
        else:
            assert digest(disk.path) == digest(old.path), f"{label}: no backup of a changed disk"
        count += 1
    assert (False, False) in seen or old_default == new_default
    assert (True, True) in seen
    assert ("journal" in seen) == any(s.path == str(disk.journal) for s in steps)
    return count


def test_apply(disk: Disk, tmp_path: Path) -> None:
    before = commands.copy(disk, tmp_path / "copy")
    done, steps = replay.record(commands.apply_words(disk), commands.SHIM, disk.path.parent)
    assert done.returncode == 0, done.stderr
    assert commands.by_us(disk) == (NEW, disk.target)
    # What was, is on the medium before anything else is written.
    places = {str(disk.path): "disk", str(disk.journal): "journal"}
    kinds = [(s.kind, places.get(s.path, "other")) for s in steps]
    first = kinds.index(("write", "disk"))
    assert ("flush-dir", "other") in kinds[:first] and ("write", "other") not in kinds[first:]
    # One write, one flush.
    on_disk = [kind for kind, where in kinds if where == "disk"]
    assert on_disk == ["write", "flush"] * (len(on_disk) // 2)
    assert check_points(disk, before.path, steps, {}, commands.apply_words(disk)) > len(on_disk) // 2


def test_undo(disk: Disk, tmp_path: Path) -> None:
    assert commands.run(*commands.apply_words(disk)).returncode == 0
    backup = disk.backup.read_bytes()
    before = commands.copy(disk, tmp_path / "copy")
    disk.backup.write_bytes(backup)
    done, steps = replay.record(commands.undo_words(disk), commands.SHIM, disk.path.parent)
    assert done.returncode == 0, done.stderr
    assert commands.by_us(disk) == (OLD, None if disk.target is None else 5)
    files = {str(disk.backup): backup}
    assert check_points(disk, before.path, steps, files, commands.undo_words(disk)) >= 10


@pytest.mark.parametrize("sector", [512, 4096])
def test_grown_behind_a_crash(tmp_path: Path, sector: int) -> None:
    """The backup's array, which the primary points at, is where a file system may grow to."""
    disk = commands.make(tmp_path / "work", "table", sector)
    before = commands.copy(disk, tmp_path / "copy")
    done, steps = replay.record(commands.apply_words(disk), commands.SHIM, disk.path.parent)
    assert done.returncode == 0, done.stderr
    writes = [s for s in steps if s.kind == "write" and s.path == str(disk.path)]
    cut = 3  # behind the switch: the third write
    commands.copy(before, disk.path.parent)
    with open(disk.path, "r+b") as file:
        for step in writes[:cut]:
            os.pwrite(file.fileno(), step.data, step.offset)
        file.truncate(disk.path.stat().st_size + (8 << 20))
    assert commands.by_kernel(disk) == NEW
    # Another tool moves the backup to the new end, and leaves the primary's array where it is.
    if sector == 512:
        moved = commands.run("sgdisk", "-e", disk.path)
        assert moved.returncode == 0, moved.stderr

    found = commands.run(commands.DPS_TAG, "check", "--json", disk.path)
    assert "gpt-half-written" in found.stdout, found.stdout
    image = digest(disk.path)
    for command in ("show", "plan", "check"):
        commands.run(commands.DPS_TAG, command, disk.path)
        assert digest(disk.path) == image, f"{command} repaired unasked"
    done = commands.run(*commands.apply_words(disk))
    assert done.returncode == 0, done.stderr
    assert commands.by_us(disk)[0] == NEW
    assert "gpt-half-written" not in commands.run(commands.DPS_TAG, "check", disk.path).stdout
    for reader, types in commands.by_others(disk).items():
        assert types == NEW, reader


def check_as_found(disk: Disk, before: Disk) -> None:
    """But for the primary entries, which nobody reads without a header that is of them."""
    assert commands.by_us(disk)[0] == OLD
    now, then = disk.path.read_bytes(), before.path.read_bytes()
    header, behind = 2 * disk.sector, 2 * disk.sector + 128 * 128
    assert now[:header] == then[:header] and now[behind:] == then[behind:]


def check_the_next(
    disk: Disk, steps: list[replay.Step], before: Disk, nexts: dict[str, list[str]], files: replay.Files
) -> None:
    """At each crash point of what was recorded, each of @nexts leaves two copies that agree."""
    steps, sectors = replay.compact(steps, str(disk.path))
    start = {**files, str(disk.path): replay.read_sectors(before.path, sectors)}
    ends: dict[str, str] = {}
    for label, state in replay.crash_points(start, steps):
        for name, words in nexts.items():
            commands.copy(before, disk.path.parent)
            put(disk, state, sectors)
            if name == "undo" and not disk.backup.exists():
                continue
            is_bad, left = gpt.kernel(disk.path.read_bytes(), disk.sector) is None, digest(disk.path)
            done = commands.run(*words)
            assert done.returncode == 0, f"{label}: {name}: {done.stderr}"
            if name == "undo" and is_bad:
                # The primary is bad as it was found: undo is not forced, and has nothing to put back.
                assert "the primary table stays as it is" in done.stdout, label
                assert digest(disk.path) == left, label
                check_as_found(disk, before)
                if not label.startswith("step"):
                    commands.follow_hint(commands.findings_of(commands.undo_words(disk)), ("gpt-primary-bad",), disk.path.parent)
                    assert commands.copies_agree(disk) and commands.by_kernel(disk) == OLD, label
                continue
            assert commands.copies_agree(disk), f"{label}: {name}: {done.stdout}"
            assert commands.by_us(disk)[0] == (OLD if name == "undo" else NEW), f"{label}: {name}"
            assert ends.setdefault(name, digest(disk.path)) == digest(disk.path), f"{label}: {name}"
    assert ends.keys() == nexts.keys()


@pytest.mark.parametrize("sector", [512, 4096])
@pytest.mark.parametrize("shape", ["table", "dup"])
def test_apply_behind_an_undo_that_was_cut_off(tmp_path: Path, shape: str, sector: int) -> None:
    """The primary table may be that of before the undo still, and the backup table the undone one."""
    if commands.why_not(shape):
        pytest.skip(f"SKIP: {commands.why_not(shape)}")
    disk = commands.make(tmp_path / "work", shape, sector)
    assert commands.run(*commands.apply_words(disk)).returncode == 0
    backup = disk.backup.read_bytes()
    before = commands.copy(disk, tmp_path / "copy")
    disk.backup.write_bytes(backup)
    done, steps = replay.record(commands.undo_words(disk), commands.SHIM, disk.path.parent)
    assert done.returncode == 0, done.stderr
    nexts = {"apply": commands.apply_words(disk)}
    check_the_next(disk, steps, before, nexts, {str(disk.backup): backup})


@pytest.mark.parametrize("sector", [512, 4096])
@pytest.mark.parametrize("bad", ["header", "entries"])
def test_forced_apply_that_was_cut_off(tmp_path: Path, bad: str, sector: int) -> None:
    """Behind the new primary header the backup table is the old one, or on its way."""
    disk = commands.make(tmp_path / "work", "table", sector)
    with open(disk.path, "r+b") as file:
        os.pwrite(file.fileno(), b"bad", sector * (1 if bad == "header" else 2) + 60)
    before = commands.copy(disk, tmp_path / "copy")
    words = [*commands.apply_words(disk), "--force"]
    done, steps = replay.record(words, commands.SHIM, disk.path.parent)
    assert done.returncode == 0, done.stderr
    nexts = {"apply": words, "undo": commands.undo_words(disk)}
    check_the_next(disk, steps, before, nexts, {})


def test_a_journal_that_comes_back(quick: Path) -> None:
    """
    Its directory could not be flushed, and the power is cut later: its name is there again, at each
    point of an undo, and behind a change by others.  Nothing is done that it once asked for.
    """
    if commands.why_not("journal"):
        pytest.skip(f"SKIP: {commands.why_not('journal')}")
    disk = commands.make(quick / "work", "journal", 512)
    fresh = commands.copy(disk, quick / "fresh")
    words = commands.apply_words(disk)
    done, steps = replay.record(words, commands.SHIM, disk.path.parent)
    assert done.returncode == 0, done.stderr
    is_removal = [s.kind == "unlink" and s.path == str(disk.journal) for s in steps]
    unlink = is_removal.index(True)
    nth = sum(s.kind in ("flush", "flush-dir") for s in steps[:unlink]) + 1
    commands.copy(fresh, disk.path.parent)
    done, steps = replay.record(words, commands.SHIM, disk.path.parent, f"flush:{nth}:{errno.EIO}")
    assert done.returncode == 0, done.stderr
    assert [s.path for s in steps if s.kind == "fault"] == [str(disk.path.parent)]
    assert commands.by_us(disk) == (NEW, disk.target)
    backup = disk.backup.read_bytes()
    # What was flushed before its name went.
    files: replay.Files = {}
    for step in steps[:unlink]:
        files = replay.apply(files, step)
    came_back = files[str(disk.journal)]
    assert len(came_back) > 4096 and came_back.startswith(b"dps-journal")

    behind = commands.copy(disk, quick / "behind")
    disk.backup.write_bytes(backup)
    done, steps = replay.record(commands.undo_words(disk), commands.SHIM, disk.path.parent)
    assert done.returncode == 0, done.stderr
    lost = replay.Step("unlink", str(disk.journal), 0, b"")
    files = {str(disk.backup): backup, str(disk.journal): came_back}
    assert check_points(disk, behind.path, [lost, *steps], files, commands.undo_words(disk)) >= 10

    for words, wanted in ((commands.undo_words(disk), (OLD, 5)), (words, (NEW, disk.target))):
        commands.copy(behind, disk.path.parent)
        start = gpt.kernel(disk.path.read_bytes(), disk.sector)[2].first
        with btrfs_image.mounted(disk.path, quick / "mnt", f"offset={start * 512}") as top:
            btrfs_image.run("btrfs", "subvolume", "set-default", "5", top)
        if wanted == (OLD, 5):
            disk.backup.write_bytes(backup)
        disk.journal.write_bytes(came_back)
        disk.journal.chmod(0o600)
        done = commands.run(*words)
        assert done.returncode == 0, done.stderr
        assert commands.by_us(disk) == wanted
        assert not disk.journal.exists()
