# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every point at which a change of the default subvolume can be cut off.

The edits are those that the library computes; here they are written to a copy of the image one
after the other, whole and torn at every sector.  At each point our reader finds the old default or
the new, the same command again finishes, and btrfs check is content; the kernel mounts it at a
subset of the points (a mount takes longer).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "against"))
import btrfs_image as image

pytestmark = pytest.mark.skipif(
    image.why_not() is not None, reason=f"SKIP: {image.why_not()}"
)

SECTOR = 512
DPS_TAG = os.environ.get("DPS_TAG", "")


class Edit:
    def __init__(self, line: str) -> None:
        offset, size, old, new = line.split()
        self.offset, self.size = int(offset), int(size)
        self.old, self.new = bytes.fromhex(old), bytes.fromhex(new)
        assert len(self.old) == len(self.new) == self.size


def edits_of(path: Path, target: int) -> tuple[bool, list[Edit]]:
    code, out, err = image.tool(path, 0, "edits", target)
    assert (code, err) == (0, "")
    journal, *lines = out.splitlines()
    return journal == "journal 1", [Edit(line) for line in lines]


def write(path: Path, offset: int, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        assert os.pwrite(fd, data, offset) == len(data)
    finally:
        os.close(fd)


def points(edits: list[Edit]) -> Iterator[tuple[str, list[tuple[int, bytes]]]]:
    """Names of points, and the bytes that are on the medium there: prefixes and torn writes."""
    done: list[tuple[int, bytes]] = []
    for i, edit in enumerate(edits):
        yield f"{i} whole", list(done)
        for cut in range(SECTOR, edit.size, SECTOR):
            # A device writes the sectors of a request in any order.
            yield f"{i} first {cut}", [*done, (edit.offset, edit.new[:cut])]
            yield f"{i} last {cut}", [*done, (edit.offset + cut, edit.new[cut:])]
        for at in range(0, edit.size, SECTOR):
            if edit.old[at : at + SECTOR] != edit.new[at : at + SECTOR] and edit.size > SECTOR:
                yield f"{i} only {at}", [*done, (edit.offset + at, edit.new[at : at + SECTOR])]
        done.append((edit.offset, edit.new))
    yield "all", done


def prepare(tmp_path: Path, size: str, *options: str) -> tuple[Path, int]:
    """An image whose default nobody has set yet, so that the superblocks are edited too."""
    path = image.make(tmp_path / "image", size, *options)
    with image.mounted(path, tmp_path / "mnt") as top:
        image.fill(top)
    subvolumes = image.listed(image.tool(path, 0, "list")[1])
    return path, next(i for i, name in subvolumes.items() if name == "root")


SHAPES = {
    "dup-16k": ["128M", "-m", "dup"],
    "dup-4k": ["128M", "-m", "dup", "-n", "4096"],
    "dup-sha256": ["128M", "-m", "dup", "--csum", "sha256"],
    "single-16k": ["128M", "-m", "single"],
    "single-4k": ["128M", "-m", "single", "-n", "4096"],
    "mixed": ["64M", "-M", "-n", "4096", "-m", "single", "-d", "single"],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_point(shape: str, tmp_path: Path) -> None:
    size, *options = SHAPES[shape]
    path, target = prepare(tmp_path, size, *options)
    journal, edits = edits_of(path, target)
    assert not journal
    # Each superblock's flag, then each copy of the leaf.
    assert len(edits) == len([o for o in (0x10000, 0x4000000) if o + 4096 < path.stat().st_size]) + (
        2 if "dup" in shape else 1
    )
    if "dup" not in shape:
        assert all(edit.size == SECTOR for edit in edits)
    old_digest = image.digest(path)
    seen = set()

    for n, (name, writes) in enumerate(points(edits)):
        for offset, data in writes:
            write(path, offset, data)
        code, out, err = image.tool(path, 0, "default")
        assert code == 0, (name, err)
        now = int(out)
        assert now in (5, target), name
        seen.add(now)

        torn = "whole" not in name and name != "all"
        result = subprocess.run(
            ["btrfs", "check", "--readonly", path], capture_output=True, text=True
        )
        assert result.returncode == 0, (name, result.stdout, result.stderr)

        if not torn or n % 8 == 0:
            # A mount may mend and commit: it gets a copy.
            mounted = image.copy(path, tmp_path / "mounted")
            with image.mounted(mounted, tmp_path / "mnt") as top:
                kernel = image.kernel_default(top)
                assert kernel in (5, target), name
                assert (top / "marker").exists() == (kernel == target), name

        # The same command again finishes it.
        again = image.copy(path, tmp_path / "again")
        code, _, err = image.tool(again, 0, "set", target)
        assert code == 0, (name, err)
        assert image.tool(again, 0, "default")[1] == f"{target}\n"
        assert image.tool(again, 0, "needs", target)[1] == "no\n"
        if not torn or n % 8 == 0:
            image.check(again)
            with image.mounted(again, tmp_path / "mnt") as top:
                assert image.kernel_default(top) == target
                assert "no errors found" in image.run("btrfs", "scrub", "start", "-B", top)

        for edit in reversed(edits):
            write(path, edit.offset, edit.old)
        assert image.digest(path) == old_digest
    assert seen == {5, target}


def journal_of(edits: list[Edit]) -> bytes:
    """What the library leaves beside the image, put together without it."""
    body = b"".join(
        e.offset.to_bytes(8, "little") + e.size.to_bytes(8, "little") + e.old + e.new for e in edits
    )
    rest = len(edits).to_bytes(4, "little") + (32 + len(body)).to_bytes(8, "little") + body
    return b"dps-journal 1\n\0\0" + crc32c(rest).to_bytes(4, "little") + rest


def crc32c(data: bytes) -> int:
    table = []
    for i in range(256):
        for _ in range(8):
            i = (i >> 1) ^ (0x82F63B78 if i & 1 else 0)
        table.append(i)
    register = 0xFFFFFFFF
    for byte in data:
        register = table[(register ^ byte) & 0xFF] ^ (register >> 8)
    return register ^ 0xFFFFFFFF


@pytest.mark.parametrize("checksum", ["xxhash", "sha256", "blake2"])
def test_journal(checksum: str, tmp_path: Path) -> None:
    """One copy and another checksum: torn it cannot be read, and the next run finishes it."""
    path, target = prepare(tmp_path, "128M", "-m", "single", "--csum", checksum)
    journal_path = path.with_name(path.name + ".dps-journal")
    journal, edits = edits_of(path, target)
    assert journal
    whole = journal_of(edits)
    old_digest = image.digest(path)

    # It has its name when it is whole: what is less was damaged since, or is another's file, and is kept.
    for size in (0, 1, 20, 32, SECTOR, len(whole) // 2, len(whole) - 1):
        journal_path.write_bytes(whole[:size])
        journal_path.chmod(0o600)
        code, out, err = image.tool(path, 0, "finish")
        assert (code, out) == (3, "") and err.startswith("corrupt") and str(journal_path) in err
        assert journal_path.read_bytes() == whole[:size]
        assert image.digest(path) == old_digest

    unreadable = 0
    for n, (name, writes) in enumerate(points(edits)):
        for edit in edits:
            write(path, edit.offset, edit.old)
        for offset, data in writes:
            write(path, offset, data)
        journal_path.write_bytes(whole)
        journal_path.chmod(0o600)
        unreadable += image.tool(path, 0, "default")[0] != 0
        again = image.copy(path, tmp_path / "again")
        journal_path.rename(again.with_name("again.dps-journal"))
        is_begun = any(
            data != edit.old[at - edit.offset :][: len(data)]
            for at, data in writes
            for edit in edits
            if edit.offset <= at < edit.offset + edit.size
        )
        wanted = "finished\n" if is_begun else "nothing\n"
        assert image.tool(again, 0, "finish") == (0, wanted, ""), name
        assert not again.with_name("again.dps-journal").exists()
        if not is_begun:  # what nobody began is not done
            assert image.tool(again, 0, "default")[1] == "5\n"
            continue
        assert image.tool(again, 0, "default")[1] == f"{target}\n"
        assert image.tool(again, 0, "needs", target)[1] == "no\n"
        if n % 8 == 1 or name == "all":
            image.check(again)
            with image.mounted(again, tmp_path / "mnt") as top:
                assert image.kernel_default(top) == target
    assert unreadable > 0  # else there was no need for a journal

    # The image was changed by somebody else since: nothing is written.
    journal_path.write_bytes(whole)
    journal_path.chmod(0o600)
    write(path, edits[-1].offset, b"somebody else's")
    digest = image.digest(path)
    code, _, err = image.tool(path, 0, "finish")
    assert code == 3 and err.startswith("changed") and str(journal_path) in err
    assert image.digest(path) == digest and journal_path.exists()


START = 1 << 20
ROOT_X86_64 = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"


def cut_off(tmp_path: Path, cut: int) -> tuple[Path, int]:
    """A disk image whose last apply was cut off inside the leaf, and its journal."""
    if not shutil.which("sfdisk"):
        pytest.skip("SKIP: no sfdisk: install util-linux (fdisk)")
    path, target = prepare(tmp_path, "128M", "-m", "single", "--csum", "sha256")
    disk = tmp_path / "disk.raw"
    journal, edits = edits_of(path, target)
    assert journal
    with disk.open("wb") as file:
        file.truncate(130 << 20)
    subprocess.run(
        ["sfdisk", "-q", disk], input="label: gpt\nstart=2048, size=262144\n", text=True, check=True
    )
    image.run("dd", f"if={path}", f"of={disk}", "bs=1M", "seek=1", "conv=notrunc,sparse")
    for edit in edits:
        edit.offset += START
    for edit in edits[:-1]:
        write(disk, edit.offset, edit.new)
    write(disk, edits[-1].offset, edits[-1].new[:cut])
    journal_path = disk.with_name("disk.raw.dps-journal")
    journal_path.write_bytes(journal_of(edits))
    journal_path.chmod(0o600)
    return disk, target


@pytest.mark.parametrize("cut", [0, 512, 4096])
def test_apply_finishes(cut: int, tmp_path: Path) -> None:
    """A disk image whose last apply was cut off inside the leaf: apply again, with no option more."""
    disk, target = cut_off(tmp_path, cut)
    journal_path = disk.with_name("disk.raw.dps-journal")

    # Whoever only reads leaves it, and says what there is to do.
    before = image.digest(disk)
    result = subprocess.run([DPS_TAG, "show", disk], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert image.digest(disk) == before and journal_path.exists()

    command = [DPS_TAG, "apply", "--no-check", disk, "root:x86_64=1"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert not journal_path.exists()
    assert image.tool(disk, START, "default")[1] == f"{target}\n"
    assert ROOT_X86_64 in image.run("sfdisk", "--part-type", disk, "1").lower()
    part = tmp_path / "part"
    image.run("dd", f"if={disk}", f"of={part}", "bs=1M", "skip=1", "count=128", "conv=sparse")
    image.check(part)
    done = image.digest(disk)
    assert subprocess.run(command, capture_output=True).returncode == 0
    assert image.digest(disk) == done


def test_refused_behind_what_was_finished(tmp_path: Path) -> None:
    """To open it finishes what was begun: who is refused then is told so, for bytes are others."""
    first = "dps-tag: what a run that was cut off had begun was finished first (a default subvolume); then: "
    disk, target = cut_off(tmp_path, 512)
    journal_path = disk.with_name("disk.raw.dps-journal")
    kept, journal = image.copy(disk, tmp_path / "kept"), journal_path.read_bytes()
    there = tmp_path / "there.json"
    there.write_text("{}")
    other = tmp_path / "other.json"
    other.write_text(
        '{"version": 1, "what": "libdps backup", "time": "-", "changes": [], '
        f'"disk": {{"path": "{disk}", "uuid": "01234567-89ab-cdef-0123-456789abcdef"}}}}'
    )
    rows = [
        ("nothing was changed: ", ["apply", f"--backup={there}", disk, "home=1"]),
        ("partition 2", ["apply", disk, "home=2"]),
        ("the backup is of", ["undo", other]),
    ]
    for says, words in rows:
        for is_pending in (True, False):
            image.copy(kept, disk)
            journal_path.write_bytes(journal)
            journal_path.chmod(0o600)
            if not is_pending:  # another run has finished it
                assert subprocess.run([DPS_TAG, *rows[1][1]], capture_output=True).returncode == 3
            before = image.digest(disk)
            done = subprocess.run([DPS_TAG, *words], capture_output=True, text=True)
            assert done.returncode == 3 and says in done.stderr, done.stderr
            assert done.stderr.startswith(first) == is_pending, done.stderr
            assert done.stderr.count("finished first") == is_pending, done.stderr
            assert (image.digest(disk) != before) == is_pending, done.stderr
            assert image.tool(disk, START, "default")[1] == f"{target}\n"
            assert not journal_path.exists()
