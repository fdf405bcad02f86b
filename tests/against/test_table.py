# SPDX-License-Identifier: LGPL-2.1-or-later
"""The table on disks that sfdisk, sgdisk, parted and systemd-repart made: read, edited, verified."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import gpt
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
import makedisk  # noqa: E402
import sanitizers  # noqa: E402

TOOL = os.environ["TABLE_TOOL"]
ENV = {**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
ROOT = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"
GENERIC = "0fc63daf-8483-4772-8e79-3d69d8477de4"
ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"


def run(*words: object, code: int | None = 0, **options: object) -> subprocess.CompletedProcess[str]:
    env = {**ENV, **sanitizers.without_leaks()} if words[0] == "strace" else ENV
    done = subprocess.run(
        [str(w) for w in words], capture_output=True, text=True, env=env, **options
    )  # type: ignore[call-overload]
    if code is not None:
        assert done.returncode == code, f"{words}: {done.stdout}{done.stderr}"
    return done


def need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program, path=ENV["PATH"]) is None:
            pytest.skip(f"SKIP: no {program} here")


SCRIPT = f"""label: gpt
size=8M, type={ESP}, name="EFI System"
size=16M, type={GENERIC}, attrs="RequiredPartition,GUID:60,GUID:48", name="Wurzel ä💾"
size=8M, type=0657FD6D-A4AB-43C4-84E5-0933C84B4F4F
"""


def by_sfdisk(path: Path) -> None:
    need("sfdisk")
    run("sfdisk", "-q", path, input=SCRIPT)


def by_fdisk_4k(path: Path) -> None:
    """sfdisk of util-linux 2.38 has no option for the sector size; fdisk has, and the same library."""
    need("fdisk")
    script = path.parent / "script"
    script.write_text(SCRIPT)
    run("fdisk", "-b", 4096, path, input=f"I\n{script}\nw\n")


def by_sfdisk_many(path: Path) -> None:
    """256 entries, the second partition in place 200."""
    need("sfdisk")
    run(
        "sfdisk",
        "-q",
        path,
        input=f"label: gpt\ntable-length: 256\n1: size=8M, type={ESP}\n200: size=16M, type={GENERIC}\n",
    )


def by_sfdisk_few(path: Path) -> None:
    """4 entries: one sector of the array."""
    need("sfdisk")
    run(
        "sfdisk",
        "-q",
        path,
        input=f"label: gpt\ntable-length: 4\n1: size=8M, type={ESP}\n3: size=16M, type={GENERIC}\n",
    )


def by_sgdisk(path: Path) -> None:
    need("sgdisk")
    run("sgdisk", "-n1:0:+8M", "-t1:ef00", "-c1:EFI", "-n5:0:+16M", "-t5:8300", "-A5:set:63", path)
    run("sgdisk", "-n2:0:+8M", "-t2:8200", path)


def by_sgdisk_hybrid(path: Path) -> None:
    by_sgdisk(path)
    run("sgdisk", "-h1:2:EE", path)


def by_parted(path: Path) -> None:
    need("parted")
    run(
        *("parted", "-s", path, "mklabel", "gpt", "mkpart", "EFI", "fat32", "1MiB", "9MiB"),
        *("mkpart", "'Linux system'", "ext4", "9MiB", "25MiB", "set", "1", "esp", "on"),
    )


def by_repart(path: Path) -> None:
    need("systemd-repart")
    definitions = path.parent / "repart.d"
    definitions.mkdir()
    (definitions / "10.conf").write_text("[Partition]\nType=esp\nSizeMinBytes=8M\nSizeMaxBytes=8M\n")
    (definitions / "20.conf").write_text(
        "[Partition]\nType=linux-generic\nSizeMinBytes=16M\nSizeMaxBytes=16M\nLabel=top\n"
    )
    run(
        *("systemd-repart", "--empty=force", "--dry-run=no", f"--definitions={definitions}"),
        *("--seed=11112222333344445555666677778888", "--no-pager", path),
    )


MAKERS: dict[str, Callable[[Path], None]] = {
    f.__name__.removeprefix("by_"): f
    for f in (
        by_sfdisk,
        by_fdisk_4k,
        by_sfdisk_many,
        by_sfdisk_few,
        by_sgdisk,
        by_sgdisk_hybrid,
        by_parted,
        by_repart,
    )
}


def sector_of(maker: str) -> int:
    return 4096 if maker.endswith("_4k") else 512


@pytest.fixture(params=MAKERS)
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, int]:
    return make(tmp_path, request.param), sector_of(request.param)


def make(directory: Path, maker: str = "sfdisk") -> Path:
    path = directory / "disk.raw"
    with open(path, "wb") as file:
        file.truncate(64 << 20)
    MAKERS[maker](path)
    return path


def show(path: Path | str) -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = {"partition": []}
    for line in run(TOOL, "show", path).stdout.splitlines():
        key, *fields = line.split("\t")
        found.setdefault(key, []).append(fields)
    return found


def sfdisk(path: Path, sector: int) -> list[dict[str, object]]:
    if sector == 512:
        out = run("sfdisk", "-J", path).stdout
        return list(json.loads(out)["partitiontable"]["partitions"])
    dump = path.parent / "dump"
    run("fdisk", "-b", sector, path, input=f"O\n{dump}\nq\n")
    return [
        {"start": int(start), "size": int(size), "type": kind, "uuid": uuid} | ({"name": name} if name else {})
        for start, size, kind, uuid, name in re.findall(
            r'start=\s*(\d+), size=\s*(\d+), type=([\w-]+), uuid=([\w-]+)(?:, name="(.*?)")?',
            dump.read_text(),
        )
    ]


def verify(path: Path, sector: int) -> None:
    if sector == 512:  # sgdisk takes every file for a disk of 512
        out = run("sgdisk", "-v", path).stdout
        assert "No problems found" in out, out
        done = run("sfdisk", "--verify", path)
    else:
        done = run("fdisk", "-b", sector, path, input="v\nq\n")
    assert "No errors detected" in done.stdout, done.stdout + done.stderr


def test_read(disk: tuple[Path, int]) -> None:
    path, sector = disk
    ours = show(path)
    theirs = sfdisk(path, sector)
    assert ours["disk"][0][1] == str(sector)
    assert [r[0] for r in ours["primary"] + ours["backup"]] == ["good", "good"]
    assert len(ours["partition"]) == len(theirs)
    numbers = [int(p[0]) for p in ours["partition"]]
    assert numbers == sorted(numbers)
    kernel = gpt.kernel(path.read_bytes(), sector)
    assert kernel is not None and sorted(kernel) == numbers
    by_start = {int(p[1]): p for p in ours["partition"]}
    for entry in theirs:
        row = by_start[int(str(entry["start"])) * sector]
        assert int(row[2]) == int(str(entry["size"])) * sector
        assert row[3] == str(entry["type"]).lower()
        assert row[4] == str(entry["uuid"]).lower()
        assert row[6] == entry.get("name", "-")
        assert int(row[5], 16) == kernel[int(row[0])].attributes
    if sector == 512:
        for row in ours["partition"]:
            info = run("sgdisk", f"-i{row[0]}", path).stdout
            assert f"GUID code: {row[3].upper()}" in info
            assert f"unique GUID: {row[4].upper()}" in info
            assert int(re.search(r"Attribute flags: (\w+)", info)[1], 16) == int(row[5], 16)  # type: ignore[index]


def test_edit(disk: tuple[Path, int]) -> None:
    """Only the intended fields differ, and every tool finds the table in order."""
    path, sector = disk
    before = path.read_bytes()
    number = int(show(path)["partition"][1][0])
    first = int(show(path)["partition"][0][0])
    uuid = "12345678-9abc-4def-8123-456789abcdef"
    allowed = gpt.intended(
        before, sector, {number: {"type", "attributes"}, first: {"uuid", "name"}}
    )
    words = [
        *(number, f"type={ROOT}", "attributes=0x8800000000000001"),
        *(first, f"uuid={uuid}", "name=esp 💾"),
    ]
    out = run(TOOL, "edit", path, *words).stdout
    assert "repairs" not in out

    after = path.read_bytes()
    changed = gpt.differing(before, after)
    assert changed
    stray = [i for i in changed if not any(i in r for r in allowed)]
    assert not stray, f"bytes {stray[:10]} changed"

    rows = {int(p[0]): p for p in show(path)["partition"]}
    assert (rows[number][3], rows[number][5]) == (ROOT, "0x8800000000000001")
    assert (rows[first][4], rows[first][6]) == (uuid, "esp 💾")
    start = int(rows[number][1]) // sector
    entry = next(e for e in sfdisk(path, sector) if e["start"] == start)
    assert str(entry["type"]).lower() == ROOT
    verify(path, sector)

    # A second time there is nothing to write, and nothing is written.
    stamp = path.stat().st_mtime_ns
    assert run(TOOL, "edit", path, *words).stdout == "edits\t0\n"
    assert path.stat().st_mtime_ns == stamp


def test_sgdisk_and_sfdisk_would_write_the_same(tmp_path: Path) -> None:
    """A type changed by us, by sfdisk and by sgdisk: one image."""
    need("sgdisk", "sfdisk")
    path = make(tmp_path, "sgdisk")
    copies = [shutil.copy(path, tmp_path / n) for n in ("ours", "sfdisk", "sgdisk")]
    run(TOOL, "edit", copies[0], 5, f"type={ROOT}")
    run("sfdisk", "-q", "--no-reread", "--no-tell-kernel", "--part-type", copies[1], 5, ROOT)
    run("sgdisk", f"-t5:{ROOT}", copies[2])
    ours = Path(copies[0]).read_bytes()
    # sfdisk puts its own heads and cylinders into the protective MBR; that is not in our hands.
    assert gpt.differing(ours[512:], Path(copies[1]).read_bytes()[512:]) == []
    assert gpt.differing(ours, Path(copies[2]).read_bytes()) == []


def test_contents(tmp_path: Path) -> None:
    """What libblkid says without our filter, of every kind that mkfs can make here."""
    need("sfdisk", "blkid")
    makers = {
        "ext4": ["mkfs.ext4", "-q", "-L", "vier"],
        "btrfs": ["mkfs.btrfs", "-q", "-M", "-L", "butter"],
        "vfat": ["mkfs.vfat", "-n", "EFI"],
        "swap": ["mkswap", "-q", "-L", "tausch"],
        "crypto_LUKS": ["cryptsetup", "luksFormat", "-q", "--pbkdf=pbkdf2"],
        "xfs": ["mkfs.xfs", "-q", "-L", "xeff"],
        "squashfs": ["mksquashfs", str(tmp_path)],
    }
    path = tmp_path / "disk.raw"
    size = 320 << 20
    sizes = {"xfs": 310 << 20}
    for kind, words in makers.items():
        if shutil.which(words[0], path=ENV["PATH"]) is None:
            print(f"no {words[0]}: {kind} is not looked at")
            continue
        with open(path, "wb") as file:
            file.truncate(size + (8 << 20))
        run("sfdisk", "-q", path, input="label: gpt\nstart=2048\n")
        part = tmp_path / "part"
        part.unlink(missing_ok=True)
        if kind != "squashfs":
            with open(part, "wb") as file:
                file.truncate(sizes.get(kind, 64 << 20))
        if kind == "crypto_LUKS":
            run(*words, part, "-", input="secret")
        elif kind == "squashfs":
            run(*words, part, "-quiet", "-no-progress", "-e", "disk.raw", "part")
        else:
            run(*words, part)
        run("dd", f"if={part}", f"of={path}", "bs=1M", "seek=1", "conv=notrunc,sparse", "status=none")
        row = show(path)["partition"][0]
        theirs = dict(
            line.split("=", 1)
            for line in run("blkid", "-p", "-o", "export", part).stdout.splitlines()
            if "=" in line
        )
        assert row[8] == kind == theirs["TYPE"]
        assert row[9] == theirs.get("UUID", "-")
        assert row[10] == theirs.get("LABEL", "-")


def test_zfs_member(tmp_path: Path) -> None:
    """No zfs here to make one: its labels, from the source, as libblkid's own tests want them."""
    need("sfdisk", "blkid")
    path = tmp_path / "disk.raw"
    start, size = 1 << 20, 80 << 20  # libblkid wants 64 MiB at least
    with open(path, "wb") as file:
        file.truncate(96 << 20)
    run("sfdisk", "-q", path, input="label: gpt\nsize=80M\n")
    label = bytearray(256 << 10)
    pairs = struct.pack(">II", 0, 1) + struct.pack(">III8sIIQ", 40, 32, 7, b"version\0", 8, 1, 5000)
    name = struct.pack(">III4sIII4s", 36, 32, 4, b"name", 9, 1, 4, b"tank")
    guid = struct.pack(">III12sIIQ", 48, 32, 9, b"pool_guid\0\0\0", 8, 1, 0x1234)
    packed = b"\1\1\0\0" + pairs + name + guid + bytes(8)
    label[16 << 10 : (16 << 10) + len(packed)] = packed
    for slot in range(32):
        struct.pack_into("<QQQ", label, (128 << 10) + slot * 4096, 0x00BAB10C, 5000, slot)
    patch(path, start, bytes(label) * 2)
    patch(path, start + size - (512 << 10), bytes(label) * 2)
    theirs = run("blkid", "-p", "-o", "export", "-O", start, "-S", size, path).stdout
    assert "TYPE=zfs_member" in theirs
    assert show(path)["partition"][0][8] == "zfs_member"
    for at in (0, 256 << 10, size - (512 << 10)):  # one label is enough to look closer
        patch(path, start + at + (16 << 10), bytes(16))
        assert show(path)["partition"][0][8] == "zfs_member"


# --- damaged and odd tables ---------------------------------------------------------------------


def patch(path: Path, offset: int, data: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


LAST = (64 << 20) // 512 - 1


@pytest.mark.parametrize(
    ("what", "offset", "says"),
    [
        ("backup header", LAST * 512 + 60, "backup table is bad"),
        ("backup entries", (LAST - 32) * 512, "backup table is bad"),
        ("backup gone", LAST * 512, "backup table is bad"),
    ],
)
def test_bad_backup(tmp_path: Path, what: str, offset: int, says: str) -> None:
    """Rewritten from the primary; the result is what it is on a whole disk."""
    path = make(tmp_path)
    whole = Path(shutil.copy(path, tmp_path / "whole"))
    run(TOOL, "edit", whole, 2, f"type={ROOT}")
    patch(path, offset, b"\xff" * 8)
    assert "backup\tgood" not in run(TOOL, "show", path).stdout
    assert says in run(TOOL, "edit", path, 2, f"type={ROOT}").stdout
    assert gpt.differing(path.read_bytes(), whole.read_bytes()) == []
    verify(path, 512)


@pytest.mark.parametrize("offset", [512 + 60, 1024, 512])
def test_bad_primary(tmp_path: Path, offset: int) -> None:
    path = make(tmp_path)
    whole = Path(shutil.copy(path, tmp_path / "whole"))
    run(TOOL, "edit", whole, 2, f"type={ROOT}")
    patch(path, offset, b"\xff" * 8)
    before = path.read_bytes()
    assert len(show(path)["partition"]) == 3
    refused = run(TOOL, "edit", path, 2, f"type={ROOT}", code=3)
    assert "--force" in refused.stderr and refused.stderr.startswith("refused:")
    assert path.read_bytes() == before
    assert "from the backup" in run(TOOL, "edit", "--force", path, 2, f"type={ROOT}").stdout
    assert gpt.differing(path.read_bytes(), whole.read_bytes()) == []
    verify(path, 512)


def test_both_bad(tmp_path: Path) -> None:
    path = make(tmp_path)
    patch(path, 512 + 60, b"\xff")
    patch(path, LAST * 512 + 60, b"\xff")
    before = path.read_bytes()
    for words in (["show", path], ["edit", "--force", path, 2, f"type={ROOT}"]):
        done = run(TOOL, *words, code=3)
        assert done.stderr.startswith("corrupt:") and "primary: header checksum" in done.stderr
    assert path.read_bytes() == before


def test_grown(tmp_path: Path) -> None:
    """The backup is not at the end: it stays where it is, and the table can be edited."""
    path = make(tmp_path)
    small = Path(shutil.copy(path, tmp_path / "small"))
    with open(path, "r+b") as file:
        file.truncate(96 << 20)
    assert show(path)["state"] == [["0", "0", "1", "0"]]
    for each in (path, small):
        run(TOOL, "edit", each, 2, f"type={ROOT}")
    assert path.read_bytes()[: 64 << 20] == small.read_bytes()
    assert not any(path.read_bytes()[64 << 20 :])
    run("sgdisk", "-e", path)
    verify(path, 512)


def test_shrunk(tmp_path: Path) -> None:
    path = make(tmp_path)
    with open(path, "r+b") as file:
        file.truncate(60 << 20)
    done = run(TOOL, "edit", path, 2, f"type={ROOT}", code=3)
    assert done.stderr.startswith("corrupt:") and "cut short" in done.stderr


def test_moved_array(tmp_path: Path) -> None:
    need("sgdisk")
    path = make(tmp_path, "sgdisk")
    run("sgdisk", "-j40", path)
    before = path.read_bytes()
    assert len(show(path)["partition"]) == 3
    done = run(TOOL, "edit", path, 5, f"type={ROOT}", code=3)
    assert done.stderr.startswith("refused:") and "sector 40" in done.stderr
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("size", "count"), [(128, 1 << 24), (1 << 30, 4), (1, 16384), (192, 128), (64, 128), (128, 0)]
)
def test_bombs(tmp_path: Path, size: int, count: int) -> None:
    """Entry sizes and counts that make other readers allocate gigabytes: refused at once."""
    path = make(tmp_path)
    with open(path, "r+b") as file:
        file.truncate(4 << 30)
    with open(path, "rb") as file:
        header = bytearray(file.read(1024)[512:])
    struct.pack_into("<II", header, 80, count, size)
    struct.pack_into("<Q", header, 48, (4 << 30) // 512 - 100)
    struct.pack_into("<I", header, 16, 0)
    struct.pack_into("<I", header, 16, zlib.crc32(header[:92]))
    patch(path, 512, bytes(header))
    started = time.monotonic()
    limit = [] if sanitizers.is_sanitized(TOOL) else ["prlimit", "--as=300000000"]
    done = run(*limit, TOOL, "show", path, code=3)
    assert done.stderr.startswith("corrupt:")
    assert time.monotonic() - started < 5


# --- who else is there --------------------------------------------------------------------------


def loops_here() -> bool:
    return os.geteuid() == 0 and os.path.exists("/dev/loop-control")


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    if not loops_here():
        pytest.skip("SKIP: loop devices need root and /dev/loop-control")
    path = make(tmp_path)
    node = run("losetup", "-f", "--show", path).stdout.strip()
    try:
        run("partx", "--update", node)  # also where somebody left partitions
        yield node, path
    finally:
        run("partx", "-d", node, code=None)
        run("losetup", "-d", node)


def test_loop(loop: tuple[str, Path]) -> None:
    """The device is written; its file is refused, with the device named."""
    node, path = loop
    before = path.read_bytes()
    refused = run(TOOL, "edit", path, 2, f"type={ROOT}", code=3)
    assert refused.stderr.startswith("busy:") and node in refused.stderr
    assert path.read_bytes() == before

    refused = run(TOOL, "show", f"{node}p2", code=3)
    assert refused.stderr.startswith("unsupported:")
    assert refused.stderr.strip().endswith(f"name the disk, {node}")

    rows = show(node)["partition"]
    assert [r[7] for r in rows] == [f"{node}p{n}" for n in (1, 2, 3)]
    run(TOOL, "edit", node, 2, f"type={ROOT}")
    os.sync()
    assert gpt.kernel(path.read_bytes(), 512)[2].type == ROOT  # type: ignore[index]
    verify(Path(node), 512)


def test_loop_with_file_system_mounted(loop: tuple[str, Path], tmp_path: Path) -> None:
    node, path = loop
    run("mkfs.ext4", "-q", f"{node}p2")
    where = tmp_path / "mnt"
    where.mkdir()
    run("mount", f"{node}p2", where)
    try:
        run(TOOL, "edit", node, 2, f"type={ROOT}")
        (where / "file").write_text("still here")
        assert [r[7] for r in show(node)["partition"]] == [f"{node}p{n}" for n in (1, 2, 3)]
        assert show(node)["partition"][1][8] == "ext4"
    finally:
        makedisk.umount(where)
    run("e2fsck", "-fn", f"{node}p2")


def test_loop_with_btrfs_mounted(tmp_path: Path) -> None:
    """The default subvolume is the one that the kernel has, from one look to the next."""
    if not loops_here():
        pytest.skip("SKIP: loop devices need root and /dev/loop-control")
    need("mkfs.btrfs", "btrfs")
    path = tmp_path / "disk.raw"
    with open(path, "wb") as file:
        file.truncate(160 << 20)
    run("sfdisk", "-q", path, input="label: gpt\nsize=150M\n")
    node = run("losetup", "-f", "--show", path).stdout.strip()
    where = tmp_path / "mnt"
    where.mkdir()
    try:
        run("partx", "--update", node)  # also where somebody left partitions
        run("mkfs.btrfs", "-q", f"{node}p1")
        run("mount", f"{node}p1", where)
        try:
            assert show(node)["partition"][0][11] == "/"
            for name in ("root", "other"):
                run("btrfs", "subvolume", "create", where / name)
                run("btrfs", "subvolume", "set-default", where / name)
                run("btrfs", "filesystem", "sync", where)
                assert show(node)["partition"][0][11] == name
        finally:
            makedisk.umount(where)
    finally:
        run("partx", "-d", node, code=None)
        run("losetup", "-d", node)


def test_stale_nodes(loop: tuple[str, Path]) -> None:
    """The kernel was not told of a new table: its partitions are others, and are not used."""
    node, _ = loop
    run(
        *("sfdisk", "-q", "--no-reread", "--no-tell-kernel", node),
        input=f"label: gpt\nstart=20480, size=8M, type={GENERIC}\n",
    )
    assert [r[7] for r in show(node)["partition"]] == ["-"]


@pytest.mark.parametrize("sector", [512, 4096])
def test_loop_sector_size(tmp_path: Path, sector: int) -> None:
    """A device says its sector size; a table of the other is no table on it."""
    if not loops_here():
        pytest.skip("SKIP: loop devices need root and /dev/loop-control")
    path = make(tmp_path, "fdisk_4k")
    node = run("losetup", "-f", "--show", f"--sector-size={sector}", path).stdout.strip()
    try:
        if sector == 4096:
            run(TOOL, "edit", node, 2, f"type={ROOT}")
            assert show(node)["partition"][1][3] == ROOT
        else:
            done = run(TOOL, "show", node, code=3)
            assert "written for sectors of 4096 bytes" in done.stderr
    finally:
        run("losetup", "-d", node)


def test_locked(tmp_path: Path) -> None:
    path = make(tmp_path)
    with open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        started = time.monotonic()
        done = run(TOOL, "edit", path, 2, f"type={ROOT}", code=3)
        assert 4 < time.monotonic() - started < 20
        assert done.stderr.startswith("busy:") and "locked by" in done.stderr
        run(TOOL, "show", path)


def test_two_writers(tmp_path: Path) -> None:
    """Both come through, one after the other, and both changes are there."""
    path = make(tmp_path)
    jobs = [
        subprocess.Popen([TOOL, "edit", str(path), str(n), f"name=writer {n}"], env=ENV)
        for n in (1, 2, 3)
        for _ in range(3)
    ]
    assert [job.wait() for job in jobs] == [0] * 9
    assert [r[6] for r in show(path)["partition"]] == ["writer 1", "writer 2", "writer 3"]
    verify(path, 512)


def test_open_in_qemu(tmp_path: Path) -> None:
    need("qemu-nbd")
    path = make(tmp_path)
    server = subprocess.Popen(
        ["qemu-nbd", "-f", "raw", "-k", str(tmp_path / "socket"), "-t", str(path)], env=ENV
    )
    try:
        deadline = time.monotonic() + 20
        while not (tmp_path / "socket").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        done = run(TOOL, "edit", path, 2, f"type={ROOT}", code=3)
        assert done.stderr.startswith("busy:") and "virtual machine" in done.stderr
    finally:
        server.terminate()
        server.wait()
    run(TOOL, "edit", path, 2, f"type={ROOT}")


@pytest.mark.parametrize("kind", ["qcow2", "vmdk", "vdi", "vhdx", "vpc"])
def test_image_formats(tmp_path: Path, kind: str) -> None:
    need("qemu-img")
    path = make(tmp_path)
    other = tmp_path / f"disk.{kind}"
    run("qemu-img", "convert", "-f", "raw", "-O", kind, path, other)
    before = other.read_bytes()
    done = run(TOOL, "edit", other, 2, f"type={ROOT}", code=3)
    name = {"vpc": "VHD"}.get(kind, kind)
    assert done.stderr.startswith("unsupported:") and name.lower() in done.stderr.lower()
    assert "qemu-img convert" in done.stderr
    assert other.read_bytes() == before


def test_fixed_vhd(tmp_path: Path) -> None:
    need("qemu-img")
    path = make(tmp_path)
    other = tmp_path / "disk.vhd"
    run(*("qemu-img", "convert", "-f", "raw", "-O", "vpc", "-o", "subformat=fixed", path, other))
    assert "a VHD image" in run(TOOL, "show", other, code=3).stderr


def test_reads_little(tmp_path: Path) -> None:
    """A sparse image of 20 GB with a file system at its end: less than 2 MiB are read."""
    need("strace", "sfdisk")
    path = tmp_path / "disk.raw"
    with open(path, "wb") as file:
        file.truncate(20 << 30)
    run("sfdisk", "-q", path, input="label: gpt\nsize=1G\nsize=4G\nsize=4G\nsize=10G\n")
    trace = tmp_path / "trace"
    run("strace", "-f", "-e", "trace=read,pread64,readv,preadv", "-o", trace, TOOL, "show", path)
    total = sum(int(n) for n in re.findall(r"= (\d+)$", trace.read_text(), re.MULTILINE))
    assert 0 < total < 2 << 20, total
