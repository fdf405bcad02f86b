# SPDX-License-Identifier: LGPL-2.1-or-later
"""A write of the table, cut off everywhere: old or new to every reader, and finished by the next."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import replay

sys.path.insert(0, str(Path(__file__).parent.parent / "against"))
import gpt  # noqa: E402

TOOL = os.environ["TABLE_TOOL"]
SHIM = os.environ["CRASH_SHIM"]
ENV = {**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
ROOT = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"
HOME = "933ac7e1-2eb4-4f13-b844-0e14e2aef915"
GENERIC = "0fc63daf-8483-4772-8e79-3d69d8477de4"
NUMBERS = (1, 2, 3, 9, 60)
SCRIPT = "label: gpt\nlabel-id: 11111111-2222-3333-4444-555555555555\n" + "".join(
    f"{n}: start={2048 + 256 * i}, size=256, type={GENERIC}, "
    f"uuid=00000000-0000-4000-8000-0000000000{n:02}, name=old{n}\n"
    for i, n in enumerate(NUMBERS)
)
# One sector; neighbouring sectors; sectors far apart; every field.
CHANGES = {
    "one": {2: f"type={ROOT}"},
    "two-sectors": {3: f"type={HOME}", 9: f"type={ROOT}", 1: f"type={HOME}"},
    "far": {1: f"type={ROOT}", 60: f"type={HOME}"},
}
TYPES = {"one": {2: ROOT}, "two-sectors": {3: HOME, 9: ROOT, 1: HOME}, "far": {1: ROOT, 60: HOME}}

pytestmark = pytest.mark.skipif(
    shutil.which("fdisk", path=ENV["PATH"]) is None, reason="SKIP: no fdisk here"
)


def run(*words: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(w) for w in words], capture_output=True, text=True, env=ENV, **options
    )  # type: ignore[call-overload,no-any-return]


def words_of(changes: dict[int, str]) -> list[str]:
    return [w for number, change in changes.items() for w in (str(number), change)]


def edit(path: Path, changes: dict[int, str], *options: str) -> subprocess.CompletedProcess[str]:
    return run(TOOL, "edit", *options, path, *words_of(changes))


def back(changes: dict[int, str]) -> dict[int, str]:
    return {number: f"type={GENERIC}" for number in changes}


@pytest.fixture(params=[512, 4096])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, int]:
    path = tmp_path / "work" / "disk.raw"
    path.parent.mkdir()
    sector: int = request.param
    with open(path, "wb") as file:
        file.truncate(4096 * sector)
    script = tmp_path / "script"
    script.write_text(SCRIPT)
    made = run("fdisk", "-b", sector, path, input=f"I\n{script}\nw\n")
    assert made.returncode == 0, made.stderr
    return path, sector


def types_by_kernel(image: bytes, sector: int) -> dict[int, str] | None:
    found = gpt.kernel(image, sector)
    return None if found is None else {n: e.type for n, e in found.items()}


def types_by_us(path: Path) -> dict[int, str]:
    done = run(TOOL, "show", path)
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    return {int(r[1]): r[4] for r in rows if r[0] == "partition"}


def types_by_fdisk(path: Path, sector: int) -> dict[int, str]:
    dump = path.parent.parent / "dump"
    dump.unlink(missing_ok=True)
    if sector == 512:
        text = run("sfdisk", "-d", path).stdout
    else:
        run("fdisk", "-b", sector, path, input=f"O\n{dump}\nq\n")
        text = dump.read_text()
    # numbers are the digits behind the name of the disk
    return {int(n): t.lower() for n, t in re.findall(r"raw-?p?(\d+) : .*?type=([\w-]+)", text)}


def types_by_blkid(path: Path) -> dict[int, str]:
    text = run("partx", "-s", "-g", "-o", "NR,TYPE", path).stdout
    return {int(n): t for n, t in (line.split() for line in text.splitlines())}


def types_by_sgdisk(path: Path) -> dict[int, str]:
    found = {}
    for number in NUMBERS:
        match = re.search(r"GUID code: ([\w-]+)", run("sgdisk", f"-i{number}", path).stdout)
        if match:
            found[number] = match[1].lower()
    return found


def readers(path: Path, sector: int) -> dict[str, dict[int, str]]:
    found = {"ours": types_by_us(path), "libfdisk": types_by_fdisk(path, sector)}
    if sector == 512:  # neither can be told another sector size of a file
        found["libblkid"] = types_by_blkid(path)
        found["sgdisk"] = types_by_sgdisk(path)
    return found


def check_all_points(
    path: Path, sector: int, steps: list[replay.Step], before: bytes, name: str, *options: str
) -> int:
    """At each crash point every reader agrees with the kernel's rule; then a re-run and an undo."""
    after = path.read_bytes()
    old, new = types_by_kernel(before, sector), types_by_kernel(after, sector)
    assert new is not None and all(new[n] == t for n, t in TYPES[name].items())
    was_new = False
    count = 0
    for label, files in replay.crash_points({str(path): before}, steps):
        image = files[str(path)]
        path.write_bytes(image)
        kernel = types_by_kernel(image, sector)
        assert kernel in (old, new), f"{label}: a mix"
        assert kernel == new or not was_new or "unflushed" in label or "sectors" in label
        was_new = was_new or kernel == new
        if kernel is not None:
            for reader, found in readers(path, sector).items():
                assert found == kernel, f"{label}: {reader}"
        done = edit(path, CHANGES[name], *options)
        assert done.returncode == 0, f"{label}: {done.stderr}"
        assert gpt.differing(path.read_bytes(), after) == [], f"{label}: re-run"
        if kernel is not None:
            path.write_bytes(image)
            done = edit(path, back(CHANGES[name]), *options)
            assert done.returncode == 0, f"{label}: {done.stderr}"
            assert types_by_kernel(path.read_bytes(), sector) == {n: GENERIC for n in NUMBERS}
            assert edit(path, {}).stdout == "edits\t0\n", f"{label}: undo left something"
        count += 1
    assert was_new
    return count


def do_record(path: Path, name: str, *options: str) -> list[replay.Step]:
    done, steps = replay.record(
        [TOOL, "edit", *options, str(path), *words_of(CHANGES[name])], SHIM, path.parent
    )
    assert done.returncode == 0, done.stderr
    return steps


@pytest.mark.parametrize("name", CHANGES)
def test_crash(disk: tuple[Path, int], name: str) -> None:
    path, sector = disk
    before = path.read_bytes()
    steps = do_record(path, name)
    # One flush behind each write, and nothing else.
    assert [s.kind for s in steps] == ["write", "flush"] * (len(steps) // 2)
    assert len(steps) >= 10
    assert check_all_points(path, sector, steps, before, name) >= len(steps) // 2


@pytest.mark.parametrize("part", ["header", "entries"])
def test_crash_with_bad_backup(disk: tuple[Path, int], part: str) -> None:
    path, sector = disk
    image = bytearray(path.read_bytes())
    copy = gpt.read_copy(bytes(image), 1, sector)
    assert copy
    at = copy.alternate if part == "header" else copy.alternate - len(copy.array) // sector
    image[at * sector + 60] ^= 0xFF
    path.write_bytes(image)
    steps = do_record(path, "one")
    check_all_points(path, sector, steps, bytes(image), "one")


@pytest.mark.parametrize("cut", [1, 2, 3, 4])
def test_crash_after_a_crash(disk: tuple[Path, int], cut: int) -> None:
    """A run that finishes what was cut off, and changes more, is cut off too."""
    path, sector = disk
    before = path.read_bytes()
    steps = do_record(path, "one")
    files: replay.Files = {str(path): before}
    for step in steps[: 2 * cut]:
        files = replay.apply(files, step)
    half = files[str(path)]
    path.write_bytes(half)
    changes = {**TYPES["two-sectors"]}
    steps = do_record(path, "two-sectors")
    after = path.read_bytes()
    new = types_by_kernel(after, sector)
    old = types_by_kernel(half, sector)
    assert new and all(new[n] == t for n, t in changes.items())
    for label, state in replay.crash_points({str(path): half}, steps):
        path.write_bytes(state[str(path)])
        kernel = types_by_kernel(state[str(path)], sector)
        assert kernel in (old, new), label
        for reader, found in readers(path, sector).items():
            assert found == kernel, f"{label}: {reader}"
        assert edit(path, CHANGES["two-sectors"]).returncode == 0
        assert gpt.differing(path.read_bytes(), after) == [], label


def test_crash_of_a_forced_repair(disk: tuple[Path, int]) -> None:
    """A bad primary: Linux sees no table before, so none or the new one; our reader always one."""
    path, sector = disk
    image = bytearray(path.read_bytes())
    image[2 * sector + 5] ^= 0xFF
    path.write_bytes(image)
    old = types_by_us(path)
    steps = do_record(path, "one", "--force")
    after = path.read_bytes()
    new = types_by_us(path)
    assert old != new
    for label, state in replay.crash_points({str(path): bytes(image)}, steps):
        path.write_bytes(state[str(path)])
        assert types_by_kernel(state[str(path)], sector) in (None, new), label
        assert types_by_us(path) in (old, new), label
        assert edit(path, CHANGES["one"], "--force").returncode == 0
        assert gpt.differing(path.read_bytes(), after) == [], label


# Each call that fails, in turn, until there is none left that could.
FAULTS = [
    ("write", errno.EIO),
    ("write", errno.ENOSPC),
    ("write", errno.EINTR),
    ("write", "short"),
    ("write", "lie"),
    ("flush", errno.EIO),
    ("flush", errno.EINTR),
    ("read", errno.EIO),
    ("read", errno.EINTR),
    ("read", "short"),
]


@pytest.mark.parametrize(("call", "how"), FAULTS)
def test_faults(disk: tuple[Path, int], call: str, how: int | str) -> None:
    """Status 0 and the new table, or status 3, a reason, and the old one to the last byte."""
    path, sector = disk
    before = path.read_bytes()
    assert edit(path, CHANGES["far"]).returncode == 0
    after = path.read_bytes()
    harmless = how in (errno.EINTR, "short")
    command = [TOOL, "edit", str(path), *words_of(CHANGES["far"])]
    failures = 0
    for nth in range(1, 400):
        path.write_bytes(before)
        done, steps = replay.record(command, SHIM, path.parent, f"{call}:{nth}:{how}")
        if not any(s.kind == "fault" for s in steps):
            assert done.returncode == 0 and nth > 5
            break
        image = path.read_bytes()
        where = f"{call} {nth} {how}: {done.stderr}"
        if harmless:
            assert done.returncode == 0, where
        if done.returncode == 0:
            assert gpt.differing(image, after) == [], where
        else:
            failures += 1
            assert done.returncode == 3 and done.stderr, where
            assert gpt.differing(image, before) == [], where
    else:
        pytest.fail("it never came to an end")
    assert harmless or failures > 0
