# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whole commands under valgrind, and the confined processes that they start: no error, no lost memory."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import commands
import faults
import makedisk
import pytest
import sanitizers
from commands import Disk

pytestmark = [
    pytest.mark.skipif(
        shutil.which("sfdisk", path=commands.ENV["PATH"]) is None, reason="SKIP: no sfdisk here"
    ),
    pytest.mark.skipif(
        shutil.which("valgrind", path=commands.ENV["PATH"]) is None, reason="SKIP: no valgrind here"
    ),
    pytest.mark.skipif(
        sanitizers.is_sanitized(commands.DPS_TAG), reason="SKIP: valgrind and sanitizers exclude each other"
    ),
]
FOUND = 99  # no exit status of dps-tag
VALGRIND = [
    "valgrind", "--vgdb=no", f"--error-exitcode={FOUND}", "--trace-children=yes", "--leak-check=full",
    "--show-leak-kinds=definite", f"--suppressions={Path(__file__).parent.parent / 'data/valgrind.supp'}",
]  # fmt: skip
# Its own lines.  It writes no files: a confined process may not.
LINE = re.compile(r"^(?:==|--)(\d+)(?:==|--) ?(.*)\n", re.M)
SUMMARY = re.compile(r"ERROR SUMMARY: (\d+) errors")


# The words of faults.py; "device": on a loop device.
RUNS = {
    "files": ("show", "check", "show-tree", "check-tree", "plan", "apply-checked", "apply-tree", "undo"),
    "dup": ("show", "check", "apply", "undo"),
    "single": ("apply", "undo"),
    "journal": ("show", "apply", "undo"),
    "device": ("show", "check", "apply", "undo"),
}
SAMPLE = {("files", "check"), ("files", "apply-tree"), ("files", "undo"), ("journal", "apply"), ("device", "apply")}
ALL = [(shape, command) for shape, of in RUNS.items() for command in of]


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with faults.quick_directory() as directory:
        yield directory


def make(place: Path, shape: str) -> Disk:
    kind = "dup" if shape == "device" else shape
    if kind in commands.SHAPES and commands.why_not(kind):
        pytest.skip(f"SKIP: {commands.why_not(kind)}")
    if not (place / kind).exists():
        made = faults.with_files(place / kind) if kind == "files" else commands.make(place / kind, kind, 512)
        (place / f"{kind}-target").write_text(str(made.target or 0))
    target = int((place / f"{kind}-target").read_text())
    return Disk(place / kind / "disk.raw", 512, target or None)


@dataclasses.dataclass
class Run:
    status: int
    text: str  # what the command complained
    log: str  # what valgrind said
    n_errors: dict[str, int]  # by process


def valgrind(words: list[str], **env: str) -> Run:
    # GLib's own pools would hide who lost what.
    done = commands.run(*VALGRIND, *words, env={"G_SLICE": "always-malloc", **env})
    lines = LINE.findall(done.stderr)
    found = {process: match for process, line in lines if (match := SUMMARY.match(line))}
    assert found.keys() == {process for process, _ in lines}, done.stderr  # each came to its end
    return Run(
        done.returncode, LINE.sub("", done.stderr), "\n".join(line for _, line in lines),
        {process: int(match[1]) for process, match in found.items()},
    )  # fmt: skip


@pytest.mark.parametrize(("shape", "command"), [x for x in ALL if faults.IS_FULL or x in SAMPLE])
def test_clean(place: Path, tmp_path: Path, shape: str, command: str) -> None:
    original = make(place, shape)
    work = tmp_path / "work"
    shutil.copytree(original.path.parent, work, ignore=shutil.ignore_patterns("*.raw", "*.json"))
    disk = commands.copy_beside(original, work)
    backup = disk.backup
    loop = makedisk.run("losetup", "--find", "--show", disk.path).strip() if shape == "device" else None
    try:
        if loop:
            disk = Disk(Path(loop), 512, original.target)

        def words(command: str) -> list[str]:
            return [w.replace(str(disk.backup), str(backup)) for w in faults.words(disk, command)]

        if command == "undo":
            assert commands.run(*words("apply")).returncode == 0
        before = commands.by_kernel(disk)
        got = valgrind(words(command))
        assert set(got.n_errors.values()) == {0}, got.log
        assert got.status in (0, 1) and "CRITICAL" not in got.text, got
        # Who reads for show and check is a process of its own.
        assert len(got.n_errors) == (2 if command.startswith(("show", "check")) else 1), got
        is_writer = command.startswith("apply") or command == "undo"
        assert (commands.by_kernel(disk) != before) == is_writer
    finally:
        if loop:
            makedisk.run("losetup", "--detach", loop)


@pytest.mark.parametrize(
    ("how", "says"), [("lose", "definitely lost"), ("use", "depends on uninitialised")], ids=["lose", "use"]
)
def test_it_sees_into_the_confined_reader(place: Path, how: str, says: str) -> None:
    """A fault that is planted there is found."""
    disk = make(place, "files")
    env = {"LD_PRELOAD": os.environ["MISBEHAVE"], "DPS_MISBEHAVE": f"{how}:3:disk.raw"}
    got = valgrind(faults.words(disk, "check"), **env)
    assert says in got.log and sorted(got.n_errors.values()) == [0, 1], got.log
