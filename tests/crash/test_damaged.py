# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tables that are damaged or odd, and disks that were made to do harm.

Each row: what is read of it, what check says, and what apply does.  Whatever it is, who only looks
changes nothing.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import commands
import gpt
import makedisk
import pytest
from commands import DPS_TAG, ENV, NEW, OLD, Disk
from makedisk import Partition, digest

pytestmark = pytest.mark.skipif(
    shutil.which("sfdisk", path=ENV["PATH"]) is None, reason="SKIP: no sfdisk here"
)


class Image:
    """The bytes of a disk, and where its table is."""

    def __init__(self, data: bytes, sector: int = 512) -> None:
        self.bytes, self.sector = bytearray(data), sector

    @property
    def last(self) -> int:
        return len(self.bytes) // self.sector - 1

    def flip(self, lba: int, at: int) -> None:
        self.bytes[lba * self.sector + at] ^= 0xFF

    def seal(self, lba: int) -> None:
        """True checksums for the header, and for the array where it says."""
        at = lba * self.sector
        array, n, size = (
            struct.unpack_from("<Q", self.bytes, at + 72)[0],
            *struct.unpack_from("<II", self.bytes, at + 80),
        )
        start = array * self.sector
        if start + n * size <= len(self.bytes):
            struct.pack_into("<I", self.bytes, at + 88, zlib.crc32(self.bytes[start : start + n * size]))
        struct.pack_into("<I", self.bytes, at + 16, 0)
        struct.pack_into("<I", self.bytes, at + 16, zlib.crc32(self.bytes[at : at + 92]))

    def entry(self, number: int, at: int, form: str, *values: object) -> None:
        """Changes an entry in both copies."""
        for lba in (1, self.last):
            array = struct.unpack_from("<Q", self.bytes, lba * self.sector + 72)[0]
            struct.pack_into(form, self.bytes, array * self.sector + 128 * (number - 1) + at, *values)
            self.seal(lba)

    def header(self, at: int, form: str, *values: object) -> None:
        for lba in (1, self.last):
            struct.pack_into(form, self.bytes, lba * self.sector + at, *values)
            self.seal(lba)


@dataclasses.dataclass
class Case:
    name: str
    damage: Callable[[Image], None]
    finding: str  # that check has
    apply: int  # status
    says: str = ""  # in what apply prints or complains
    force: int | None = None  # status with --force; None: as without


def hybrid(image: Image) -> None:
    image.bytes[446 + 16 : 446 + 32] = bytes([0, 0, 2, 0, 0x83, 0, 0, 0]) + struct.pack("<II", 2048, 100)


CASES = [
    Case("whole", lambda i: None, "", 0),
    Case("primary header", lambda i: i.flip(1, 60), "gpt-primary-bad", 3, "--force", 0),
    Case("primary entries", lambda i: i.flip(2, 60), "gpt-primary-bad", 3, "--force", 0),
    Case("backup header", lambda i: i.flip(i.last, 60), "gpt-backup-misplaced", 0, "backup"),
    Case("backup entries", lambda i: i.flip(i.last - 32, 60), "gpt-backup-misplaced", 0, "backup"),
    Case("both headers", lambda i: (i.flip(1, 60), i.flip(i.last, 60)), "gpt-primary-bad", 3, "table"),  # type: ignore[func-returns-value]
    Case("copies differ", lambda i: (i.flip(i.last - 32, 60), i.seal(i.last)), "gpt-copies-differ", 0, "backup"),  # type: ignore[func-returns-value]
    Case("grown", lambda i: i.bytes.extend(bytes(1 << 20)), "gpt-backup-misplaced", 0),
    Case("cut off", lambda i: i.bytes.__delitem__(slice(-(1 << 20), None)), "gpt-primary-bad", 3),
    Case("hybrid", hybrid, "hybrid-mbr", 0),
    Case("overlapping", lambda i: i.entry(2, 40, "<Q", 14400), "gpt-overlap", 3, "partition 2"),
    Case("outside", lambda i: i.entry(6, 40, "<Q", 1 << 40), "gpt-overlap", 3, "partition 6"),
    Case("backwards", lambda i: i.entry(6, 32, "<QQ", 9000, 8000), "gpt-primary-bad", 3, "partition 6"),
    Case("huge count", lambda i: i.header(80, "<I", 0xFFFFFFFF), "gpt-primary-bad", 3),
    Case("entries of 1 byte", lambda i: i.header(84, "<I", 1), "gpt-primary-bad", 3),
    Case("header of 4 GiB", lambda i: i.header(12, "<I", 0xFFFFFFFF), "gpt-primary-bad", 3),
    Case("no protective MBR", lambda i: i.bytes.__setitem__(slice(440, 512), bytes(72)), "pmbr-missing", 3),
]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Disk:
    return commands.make(tmp_path_factory.mktemp("damaged") / "work", "table", 512)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_damage(original: Disk, tmp_path: Path, case: Case) -> None:
    image = Image(original.path.read_bytes())
    case.damage(image)
    disk = Disk(tmp_path / "work" / "disk.raw", 512, None)
    disk.path.parent.mkdir()
    disk.path.write_bytes(image.bytes)
    before = bytes(image.bytes)

    for command in ("show", "plan", "check"):
        done = commands.run(DPS_TAG, command, "--json", disk.path, *(["root:x86_64=2"] if command == "plan" else []))
        assert done.returncode in (0, 1, 3), done.stderr
        assert disk.path.read_bytes() == before, f"{command} repaired unasked"
        json.loads(done.stdout)
    found = commands.run(DPS_TAG, "check", "--json", disk.path)
    assert case.finding in found.stdout, found.stdout
    assert case.name == "whole" or found.returncode in (1, 3), found.stdout

    for status, more in ((case.apply, []), (case.force, ["--force"])):
        if status is None:
            continue
        disk.path.write_bytes(before)
        done = commands.run(DPS_TAG, "apply", "--no-check", *more, disk.path, *commands.ASSIGNMENTS)
        assert done.returncode == status, done.stdout + done.stderr
        assert more or case.says in done.stdout + done.stderr
        if status == 3:
            assert disk.path.read_bytes() == before, "refused, and written all the same"
            continue
        kernel = gpt.kernel(disk.path.read_bytes(), 512)
        assert kernel and {n: e.type for n, e in kernel.items()} == NEW
        assert disk.path.stat().st_size == len(before)
        if case.name == "grown":
            # Nothing is relocated: what is behind the old end is as it was.
            assert disk.path.read_bytes()[-(1 << 20) :] == bytes(1 << 20)
        if case.name == "hybrid":
            assert disk.path.read_bytes()[:512] == before[:512]


# Of the backup table alone: entry 2 is assigned, entry 3 is not.
LEFT_ALONE: dict[str, Callable[[Image], object]] = {
    "header": lambda i: i.flip(i.last, 60),
    "entries": lambda i: i.flip(i.last - 32, 60),
    "entries, sealed": lambda i: (i.flip(i.last - 32, 60), i.seal(i.last)),
    "a byte of an assigned type": lambda i: i.flip(i.last - 32, 128 + 3),
    "the same, sealed": lambda i: (i.flip(i.last - 32, 128 + 3), i.seal(i.last)),
    "a flag of firmware": lambda i: (i.flip(i.last - 32, 128 + 48), i.seal(i.last)),
    "one that is not assigned": lambda i: (
        i.bytes.__setitem__(slice((i.last - 32) * 512 + 256, (i.last - 32) * 512 + 272), bytes(range(16))),
        i.seal(i.last),
    ),
    "all of it": lambda i: i.bytes.__setitem__(slice((i.last - 32) * 512, None), bytes(33 * 512)),
}


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_nothing_to_change(original: Disk, tmp_path: Path, name: str) -> None:
    """Then a backup that no write of ours left is left alone, and said to be bad."""
    disk = commands.copy(original, tmp_path / "work")
    assert commands.run(*commands.apply_words(disk)).returncode == 0
    for words in (commands.apply_words(disk), commands.undo_words(disk)):
        if words[1] == "undo":
            shutil.copy(tmp_path / "whole", disk.path)
            assert commands.run(*words).returncode == 0
            assert commands.by_us(disk)[0] == OLD
        shutil.copy(disk.path, tmp_path / "whole")
        image = Image(disk.path.read_bytes())
        LEFT_ALONE[name](image)
        disk.path.write_bytes(image.bytes)
        for more in ([], ["--json"]):
            done = commands.run(*words, *more)
            assert done.returncode == 0, done.stderr
            assert disk.path.read_bytes() == bytes(image.bytes), f"{words[1]} repaired unasked"
            assert "the backup table stays as it is" in done.stdout
            assert "sgdisk -e " in done.stdout


@pytest.mark.parametrize(("entries", "size"), [(128, 256), (256, 128), (1024, 128)])
def test_other_sizes_of_the_array(tmp_path: Path, entries: int, size: int) -> None:
    """Made by hand after the specification: sfdisk and sgdisk agree that it is whole."""
    sectors = entries * size // 512
    n = 16384
    image = Image(bytes(n * 512))
    image.bytes[446:462] = bytes([0, 0, 2, 0, 0xEE, 0xFF, 0xFF, 0xFF]) + struct.pack("<II", 1, n - 1)
    image.bytes[510:512] = b"\x55\xaa"
    entry = struct.pack("<16s16sQQQ72s", bytes(range(16)), bytes(range(16, 32)), 2048, 4095, 0, b"")
    for lba, other, array in ((1, n - 1, 2), (n - 1, 1, n - 1 - sectors)):
        struct.pack_into(
            "<8sIIIIQQQQ16sQIII", image.bytes, lba * 512, b"EFI PART", 0x10000, 92, 0, 0, lba, other,
            2 + sectors, n - 2 - sectors, bytes(range(32, 48)), array, entries, size, 0,
        )
        image.bytes[array * 512 : array * 512 + len(entry)] = entry
        image.seal(lba)
    path = tmp_path / "disk.raw"
    path.write_bytes(image.bytes)
    done = commands.run(DPS_TAG, "apply", "--no-check", path, "home=1")
    assert done.returncode == 0, done.stderr
    now = gpt.read_copy(path.read_bytes(), 1, 512)
    assert now and now.entries()[1].type == commands.HOME
    assert (now.n_entries, now.entry_size) == (entries, size)
    assert commands.HOME.upper() in commands.run("sfdisk", "-d", path).stdout.upper()


def test_a_4k_table_on_a_disk_of_512(tmp_path: Path) -> None:
    disk = commands.make(tmp_path / "work", "table", 4096)
    assert commands.run(*commands.apply_words(disk)).returncode == 0
    assert commands.by_us(disk)[0] == NEW
    assert json.loads(commands.run(DPS_TAG, "show", "--json", disk.path).stdout)["disk"]["sector_size"] == 4096


# What a terminal obeys, what turns the direction of text, what is no text.
NAMES = ["\x1b[2J\x1b]0;x\x07", "a\nb\rc", "\u202eevil", "\u0085\u009b31m", "tab\tdel\x7f"]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_are_never_raw(tmp_path: Path, name: str) -> None:
    path = makedisk.make(tmp_path / "disk.raw", [Partition(size=1), Partition(size=2, type=makedisk.ESP)])
    image = Image(path.read_bytes())
    image.entry(1, 56, "<72s", name.encode("utf-16-le").ljust(72, b"\0"))
    path.write_bytes(image.bytes)
    for words in (["show"], ["show", "--verbose"], ["check"], ["plan", "home=1"], ["apply", "home=1"]):
        for json_too in ([], ["--json"]):
            done = commands.run(DPS_TAG, words[0], *json_too, path, *words[1:])
            text = done.stdout + done.stderr
            # Only line ends; and of colours none, since this is no terminal.
            bad = [c for c in text if (not c.isprintable() and c != "\n")]
            assert not bad, (words, text)
            if json_too:
                json.loads(done.stdout)


def test_backup_in_a_directory_of_others(tmp_path: Path) -> None:
    """Sticky and for all, as /tmp: nothing that is there is followed, kept or written over."""
    disk = commands.make(tmp_path / "work", "table", 512)
    before = digest(disk.path)
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    precious = tmp_path / "precious"
    precious.write_text("mine\n")
    name = shared / "backup.json"

    def refused() -> str:
        done = commands.run(DPS_TAG, "apply", f"--backup={name}", disk.path, *commands.ASSIGNMENTS)
        assert done.returncode == 3 and "backup.json" in done.stderr, done.stderr
        assert digest(disk.path) == before
        return done.stderr

    for target in (precious, tmp_path / "new"):
        name.symlink_to(target)
        refused()
        name.unlink()
    assert precious.read_text() == "mine\n" and not (tmp_path / "new").exists()
    os.mkfifo(name)
    refused()
    name.unlink()
    # A backup that would do, but that others could have written.
    done = commands.run(DPS_TAG, "apply", f"--backup={name}", disk.path, *commands.ASSIGNMENTS)
    assert done.returncode == 0 and name.stat().st_mode & 0o777 == 0o600
    assert commands.run(DPS_TAG, "undo", name, disk.path).returncode == 0
    assert digest(disk.path) == before
    name.chmod(0o666)
    refused()
    # Ours alone, and it takes back all that is to change: it was kept by a run that was cut off.
    name.chmod(0o600)
    kept = name.read_bytes()
    done = commands.run(DPS_TAG, "apply", f"--backup={name}", disk.path, *commands.ASSIGNMENTS)
    assert done.returncode == 0, done.stderr
    assert name.read_bytes() == kept and commands.by_us(disk)[0] == NEW
    assert commands.run(DPS_TAG, "undo", name, disk.path).returncode == 0
    assert commands.by_us(disk)[0] == OLD
    # It says nothing of another change.
    done = commands.run(DPS_TAG, "apply", f"--backup={name}", disk.path, "srv=3")
    assert done.returncode == 3 and "is there already" in done.stderr


def test_a_journal_that_is_a_link(tmp_path: Path) -> None:
    """Beside the image anybody may have put one: it is neither followed nor removed."""
    disk = commands.make(tmp_path / "work", "table", 512)
    secret = tmp_path / "secret"
    secret.write_text("mine\n")
    journal = disk.path.with_name("disk.raw.dps-journal")
    journal.symlink_to(secret)
    for command in ("show", "check"):
        done = commands.run(DPS_TAG, command, disk.path)
        assert done.returncode in (0, 1), done.stderr
    commands.run(DPS_TAG, "apply", disk.path, *commands.ASSIGNMENTS)
    assert secret.read_text() == "mine\n" and journal.is_symlink()
    assert commands.by_us(disk)[0] in (OLD, NEW)


@pytest.mark.parametrize("sector", [512, 4096])
def test_undo_beside_a_bad_primary(tmp_path: Path, sector: int) -> None:
    """It names a command that there is: typed as it is printed it makes both copies good, and undo goes on."""
    if sector == 4096 and (os.geteuid() != 0 or not os.path.exists("/dev/loop-control")):
        pytest.skip("SKIP: needs root and loop devices")
    disk = commands.make(tmp_path / "work", "table", sector)
    done = commands.run(*commands.apply_words(disk))
    assert done.returncode == 0, done.stderr
    applied = disk.path.read_bytes()
    for at, data in ((sector, bytes(sector)), (sector + 60, b"x"), (2 * sector + 60, b"x")):
        disk.path.write_bytes(applied[:at] + data + applied[at + len(data) :])
        before = digest(disk.path)
        done = commands.run(*commands.undo_words(disk))
        assert done.returncode == 3 and "--force" not in done.stderr, done.stderr
        assert digest(disk.path) == before
        commands.follow_hint([{"code": "", "hint": done.stderr}], ("",), disk.path.parent)
        assert commands.copies_agree(disk) and commands.by_us(disk)[0] == NEW
        done = commands.run(*commands.undo_words(disk))
        assert done.returncode == 0, done.stderr
        assert commands.by_us(disk)[0] == commands.by_kernel(disk) == OLD
