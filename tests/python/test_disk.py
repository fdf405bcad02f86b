# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks: what they say against sfdisk and blkid, and how they are opened, closed and misused."""

from __future__ import annotations

import dataclasses
import fcntl
import gc
import os
import subprocess
import typing
from pathlib import Path
from uuid import UUID

import dps
import makedisk
import pytest
from conftest import sfdisk


def test_as_sfdisk(disk_raw: Path) -> None:
    theirs = sfdisk(disk_raw)
    with dps.Disk(disk_raw) as disk:
        assert disk.path == disk_raw
        assert disk.size == disk_raw.stat().st_size
        assert disk.sector_size == 512
        assert disk.finished is None
        assert disk.uuid == UUID(theirs["id"])
        assert disk.table is dps.Table.GPT
        disk.require_table()
        ours = disk.partitions
        assert list(disk) == list(ours)
    assert len(ours) == len(theirs["partitions"]) == 4
    for number, (our, their) in enumerate(zip(ours, theirs["partitions"]), 1):
        assert our.number == number
        assert our.start == their["start"] * 512
        assert our.size == their["size"] * 512
        assert our.type_uuid == UUID(their["type"])
        assert our.uuid == UUID(their["uuid"])
        assert our.label == their.get("name")
        assert our.attributes == 0 and our.flags == dps.Flags(0)
        assert our.node is None
        assert our.subvolumes is None and our.default_subvolume is None
    assert [p.role for p in ours] == [dps.Role.ESP] + [dps.Role.LINUX_GENERIC] * 3
    assert [p.arch for p in ours] == [None] * 4


def test_as_blkid(disk_raw: Path) -> None:
    with dps.Disk(disk_raw) as disk:
        partitions = disk.partitions
    for partition in partitions:
        output = subprocess.run(
            ["blkid", "-p", "-o", "export", "-O", str(partition.start)]
            + ["-S", str(partition.size), disk_raw],
            check=True,
            capture_output=True,
            text=True,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        ).stdout
        theirs = dict(line.split("=", 1) for line in output.splitlines())
        ours = partition.content
        assert (ours.type, ours.uuid) == (theirs["TYPE"], theirs["UUID"])
        assert ours.label == theirs.get("LABEL")


def test_attributes(tmp_path: Path) -> None:
    part = makedisk.Partition(size=2, attrs="GUID:63 GUID:59 GUID:48 RequiredPartition", name="é")
    with dps.Disk(makedisk.make(tmp_path / "x", [part])) as disk:
        (entry,) = disk.partitions
    assert entry.attributes == 1 << 63 | 1 << 59 | 1 << 48 | 1
    assert entry.flags == dps.Flags.NO_AUTO | dps.Flags.GROWFS | dps.Flags.REQUIRED
    assert entry.flags.names == ("required", "growfs", "no-auto")
    assert entry.label == "é"
    assert entry.content == dps.Content(None, None, None)


@pytest.mark.skipif(not makedisk.can_mount(), reason="SKIP: needs root, loop devices and btrfs")
def test_what_cannot_be_read(tmp_path: Path) -> None:
    parts = [makedisk.Partition(size=8, content="ext4"), makedisk.Partition(size=8, content="ext4")]
    image = makedisk.make(tmp_path / "x.raw", parts)
    with makedisk.with_bad_blocks({image: [makedisk.MIB]}) as place:
        with dps.Disk(place / "x.raw", writable=True) as disk:
            first, second = disk.partitions
            assert first.content == dps.Content(None, None, None, "Input/output error")
            assert second.content.type == "ext4" and second.content.problem is None
            with pytest.raises(dps.Error, match="partition 1: cannot be home: .*Input/output error") as info:
                disk.plan(home=1)
            assert info.value.partition == 1
            assert [change.partition for change in disk.plan(home=2)] == [2]
        del disk


def test_large_sectors(tmp_path: Path) -> None:
    path = makedisk.make(tmp_path / "x", [makedisk.Partition(size=4)], sector_size=4096)
    with dps.Disk(path) as disk, dps.Disk(path, sector_size=4096) as told:
        assert disk.sector_size == told.sector_size == 4096
        assert disk.partitions == told.partitions
        assert disk.partitions[0].start == 1024 * 1024
    with pytest.raises(dps.Error) as caught:
        dps.Disk(path, sector_size=1000)
    assert caught.value.code is dps.Code.INVALID


def test_btrfs(tmp_path: Path) -> None:
    if not makedisk.can_mount():
        pytest.skip("btrfs subvolumes are made by root, on a loop device")
    with dps.Disk(makedisk.standard(tmp_path / "x")) as disk:
        entry = disk.partition(3)
    assert entry.subvolumes is not None
    assert {s.path for s in entry.subvolumes} >= {"/", "root", "home"}
    assert entry.default_subvolume == dps.Subvolume(5, "/")
    assert entry.default_subvolume in entry.subvolumes


@pytest.mark.parametrize("kind", [str, os.fsencode, Path])
def test_paths(disk_raw: Path, kind: typing.Callable[[Path], typing.Any]) -> None:
    with dps.Disk(kind(disk_raw)) as disk:
        assert disk.path == disk_raw


def test_name_that_is_no_text(disk_raw: Path) -> None:
    odd = os.fsencode(disk_raw.parent) + b"/\xff\xfe.raw"
    os.rename(disk_raw, odd)
    with dps.Disk(odd) as disk:
        assert os.fsencode(disk.path) == odd
        assert disk.to_dict()["path"].endswith("/\ufffd\ufffd.raw")
    with pytest.raises(dps.Error, match="/\ufffd\ufffd.raw-missing: "):
        dps.Disk(odd + b"-missing")


def test_find_a_partition(disk_raw: Path) -> None:
    with dps.Disk(disk_raw) as disk:
        third = disk.partition(3)
        for which in (
            "3",
            "LABEL=home",
            f"UUID={third.content.uuid}",
            f"PARTUUID={third.uuid}",
            third,
            b"LABEL=home",
        ):
            assert disk.partition(which) == third
        assert disk.partition("PARTLABEL=EFI System Partition").number == 1
        for wrong, code in (
            (0, dps.Code.INVALID),
            (9, dps.Code.NOT_FOUND),
            (-1, dps.Code.INVALID),
            (2**70, dps.Code.INVALID),
            ("LABEL=nothing", dps.Code.NOT_FOUND),
            ("nonsense", dps.Code.INVALID),
        ):
            with pytest.raises(dps.Error) as caught:
                disk.partition(wrong)
            assert caught.value.code in (code, dps.Code.NOT_FOUND)
        for odd in (True, 3.0, None, [3]):
            with pytest.raises(TypeError):
                disk.partition(odd)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="null byte"):
            disk.partition("LABEL=home\0")


def test_no_table(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.write_bytes(bytes(4 << 20))
    with dps.Disk(path) as disk:
        assert disk.table is dps.Table.NONE
        assert disk.uuid is None and disk.sector_size is None and disk.partitions == ()
        with pytest.raises(dps.Error) as caught:
            disk.require_table()
    assert caught.value.code is dps.Code.NO_TABLE
    subprocess.run(["sfdisk", "-q", path], input=b"label: dos\n,,83\n", check=True)
    with dps.Disk(path) as disk:
        assert disk.table is dps.Table.MBR


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda path: None, dps.Code.NOT_FOUND),
        (lambda path: path.mkdir(), dps.Code.UNSUPPORTED),
        (os.mkfifo, dps.Code.UNSUPPORTED),
    ],
)
def test_no_disk(tmp_path: Path, make: typing.Callable[[Path], object], code: dps.Code) -> None:
    path = tmp_path / "x"
    make(path)
    with pytest.raises(dps.Error) as caught:
        dps.Disk(path)
    assert caught.value.code is code
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.partition is None


def test_wrong_arguments(disk_raw: Path) -> None:
    with pytest.raises(ValueError, match="null byte"):
        dps.Disk(f"{disk_raw}\0")
    with pytest.raises(ValueError, match="lock"):
        dps.Disk(disk_raw, lock="never")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        dps.Disk(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        dps.Disk()  # type: ignore[call-arg]


def test_lock(disk_raw: Path) -> None:
    with dps.Disk(disk_raw, writable=True):
        with pytest.raises(dps.Error) as caught:
            dps.Disk(disk_raw, writable=True, lock="nonblock")
        assert caught.value.code is dps.Code.BUSY
        with dps.Disk(disk_raw) as reader:  # who reads takes no lock
            assert len(reader.partitions) == 4
    with dps.Disk(disk_raw, writable=True, lock="nonblock"):
        pass
    with disk_raw.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with dps.Disk(disk_raw, writable=True, lock="no"):
            pass


def test_after_close(disk_raw: Path) -> None:
    disk = dps.Disk(disk_raw)
    kept = disk.partitions
    disk.close()
    disk.close()
    assert disk.closed and "closed" in repr(disk)
    uses: list[typing.Callable[[], object]] = [
        lambda: disk.path,
        lambda: disk.size,
        lambda: disk.sector_size,
        lambda: disk.uuid,
        lambda: disk.table,
        lambda: disk.partitions,
        lambda: disk.partition(1),
        lambda: list(disk),
        disk.refresh,
        disk.require_table,
        disk.check,
        disk.to_dict,
        lambda: disk.plan(root=2, arch="x86_64"),
        disk.__enter__,
    ]
    for use in uses:
        with pytest.raises(ValueError, match="used after close"):
            use()
    # What was lent was copied.
    gc.collect()
    assert kept[0].role is dps.Role.ESP and kept[3].content.type == "swap"


def test_let_go_without_close(disk_raw: Path) -> None:
    """The lock goes with the last reference, also when an exception held it."""

    def fail() -> None:
        disk = dps.Disk(disk_raw, writable=True)
        disk.partition(99)

    with pytest.raises(dps.Error):
        fail()
    dps.Disk(disk_raw, writable=True, lock="nonblock").close()


def test_partitions_are_values(disk_raw: Path) -> None:
    with dps.Disk(disk_raw) as disk:
        first = disk.partitions[0]
        disk.refresh()
        assert disk.partitions[0] == first and hash(disk.partitions[0]) == hash(first)
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.number = 2  # type: ignore[misc]


def test_refresh(disk_raw: Path) -> None:
    with dps.Disk(disk_raw) as disk:
        before = disk.partition(2)
        command = ["sfdisk", "-q", "--part-label", disk_raw, "2", "renamed"]
        subprocess.run(command, check=True, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        assert disk.partition(2) == before
        disk.refresh()
        assert disk.partition(2).label == "renamed"
        assert before.label is None
