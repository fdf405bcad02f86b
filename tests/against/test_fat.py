# SPDX-License-Identifier: LGPL-2.1-or-later
"""FATs that mkfs.fat and mtools made: what we read of them, what mtools reads, what fsck.fat says."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import trees

TOOL = os.environ["FILES_TOOL"]
# What any command may take at most; sanitizers need more.
PEAK_KIB = int(os.environ.get("PEAK_KIB", "32768"))
ENVIRONMENT = {
    **os.environ,
    "LC_ALL": "C.UTF-8",
    "MTOOLS_SKIP_CHECK": "1",
    "MTOOLSRC": "/dev/null",
    "PATH": "/usr/sbin:/sbin:" + os.environ["PATH"],
}

NEEDED = ["mkfs.fat", "fsck.fat", "mcopy", "mdir", "mtype", "mdel", "minfo"]
MISSING = [name for name in NEEDED if not shutil.which(name, path=ENVIRONMENT["PATH"])]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")

# Every cluster and sector size that mkfs.fat makes, with as many clusters as the width asks for.
# FAT32 of fewer, which Linux reads and mtools and firmware do not, is test-fat's matter.
SIZES = [
    (width, sector, cluster, clusters)
    for width, clusters in ((12, 2000), (16, 6000), (32, 66000))
    for sector in (512, 1024, 2048, 4096)
    for cluster in (1, 2, 4, 8, 16, 32, 64, 128)
]


def run(*command: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(word) for word in command],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done


def read(*arguments: object) -> dict:
    return json.loads(run(TOOL, *arguments).stdout)


def make(image: Path, width: int, sector: int, cluster: int, clusters: int) -> None:
    with image.open("wb") as file:
        file.truncate((clusters + 200) * sector * cluster + 4 * clusters * 2 + 64 * 4096)
    slots = [] if width == 32 else ["-r", 2048]  # long names at the top take up to 20 each
    run("mkfs.fat", "-F", width, "-S", sector, "-s", cluster, *slots, "-n", "TEST", image)


def fill(image: Path, top: Path) -> None:
    run("mcopy", "-s", "-Q", "-i", image, *sorted(top.iterdir()), "::")


def list_by_mdir(image: Path) -> set[str]:
    """Directories end with a slash."""
    done = run("mdir", "-/", "-a", "-b", "-i", image, "::")
    return {line.removeprefix("::") for line in done.stdout.splitlines() if line}


def fsck(image: Path) -> tuple[int, str]:
    done = run("fsck.fat", "-n", image, check=False)
    return done.returncode, done.stdout + done.stderr


def hold_against_others(image: Path, wanted: dict[str, str], rng: random.Random) -> dict:
    document = read("fat", image)
    ours = trees.describe_document(document)
    assert ours == wanted

    assert {
        path + "/" if what == "directory" else path for path, what in ours.items()
    } == list_by_mdir(image)

    for path in rng.sample(sorted(p for p, what in ours.items() if what != "directory"), 2):
        content = subprocess.run(
            ["mtype", "-i", image, "::" + path], env=ENVIRONMENT, capture_output=True, check=True
        ).stdout
        assert hashlib.sha256(content).hexdigest() == ours[path]

    fat = document["fat"]
    code, text = fsck(image)
    assert code == 0, text
    assert fat["problems"] == [] and not fat["dirty"] and not fat["errors"]
    used, total = map(int, re.search(r"(\d+)/(\d+) clusters", text).groups())
    assert (fat["n_clusters"], fat["free"]) == (total, total - used)
    assert document["free"] == fat["free"] * fat["sector_size"] * fat["sectors_per_cluster"]
    assert document["peak_kib"] < PEAK_KIB
    return fat


@pytest.mark.parametrize(("width", "sector", "cluster", "clusters"), SIZES)
def test_every_geometry(tmp_path, width, sector, cluster, clusters):
    rng = random.Random(f"{width} {sector} {cluster} {clusters}")
    image, top = tmp_path / "fat.img", tmp_path / "tree"
    top.mkdir()
    trees.grow(top, rng)
    make(image, width, sector, cluster, clusters)
    fill(image, top)

    fat = hold_against_others(image, trees.describe(top), rng)
    assert (fat["width"], fat["sector_size"], fat["sectors_per_cluster"]) == (
        width,
        sector,
        cluster,
    )
    assert fat["label"] == "TEST"
    info = run("minfo", "-i", image, "::").stdout
    assert f"sector size: {sector} bytes" in info
    assert f"cluster size: {cluster} sectors" in info
    assert int(re.search(r"serial number: ([0-9A-F]+)", info).group(1), 16) == fat["serial"]


@pytest.mark.parametrize("seed", range(40))
def test_many_trees_in_pieces(tmp_path, seed):
    """Files come and go, so that what comes later lies in pieces."""
    rng = random.Random(seed)
    image, top = tmp_path / "fat.img", tmp_path / "tree"
    top.mkdir()
    trees.grow(top, rng, files=60, largest=20000, deepest=25)
    width, clusters = rng.choice([(12, 3000), (16, 20000), (32, 66000)])
    make(image, width, 512, rng.choice([1, 2, 4]), clusters)
    fill(image, top)

    for round_ in range(3):
        files = sorted(p for p in top.rglob("*") if p.is_file())
        for path in rng.sample(files, len(files) // 3):
            run("mdel", "-i", image, "::" + path.relative_to(top).as_posix())
            path.unlink()
        for number in range(5):
            path = top / f"later {round_}-{number}.bin"
            path.write_bytes(rng.randbytes(rng.randrange(60000)))
            run("mcopy", "-Q", "-i", image, path, "::")
    hold_against_others(image, trees.describe(top), rng)


def test_directory_is_the_same(tmp_path):
    """An ESP that is a directory gives the answers of the one that is a partition."""
    rng = random.Random(1)
    image, top = tmp_path / "fat.img", tmp_path / "tree"
    top.mkdir()
    trees.grow(top, rng, files=50)
    make(image, 32, 512, 1, 66000)
    fill(image, top)
    keys = ("path", "kind", "size", "sha256", "damaged")
    inside, mounted = (
        [{key: file[key] for key in keys} for file in read(kind, where)["files"]]
        for kind, where in (("fat", image), ("dir", top))
    )
    assert inside == mounted

    # And so does the partition inside of a disk.
    disk = tmp_path / "disk.img"
    with disk.open("wb") as file:
        file.truncate(1 << 20)
        file.seek(1 << 20)
        file.write(image.read_bytes())
        file.truncate(disk.stat().st_size + (1 << 20))
    document = read("fat", disk, 1 << 20, image.stat().st_size)
    assert document["files"] == read("fat", image)["files"]


@pytest.mark.parametrize(("at", "value"), [(65, 1), (65, 3)])
def test_dirty_as_fsck_says(tmp_path, at, value):
    image = tmp_path / "fat.img"
    make(image, 32, 512, 1, 66000)
    with image.open("r+b") as file:
        file.seek(at)
        file.write(bytes([value]))
    assert read("fat", image)["fat"]["dirty"]
    assert "Dirty bit is set" in fsck(image)[1]


def test_header_of_a_large_file(tmp_path):
    """The first KiB of a UKI of 250 MB is a few reads, and so is one that lies at its end."""
    image, uki = tmp_path / "fat.img", tmp_path / "linux.efi"
    rng = random.Random(250)
    head, tail = rng.randbytes(4096), rng.randbytes(4096)
    with uki.open("wb") as file:
        file.write(head)
        file.truncate(250_000_000 - len(tail))
        file.seek(0, os.SEEK_END)
        file.write(tail)
    make(image, 32, 512, 8, 70000)
    run("mcopy", "-Q", "-i", image, uki, "::linux.efi")

    def read_range(offset: int, size: int) -> tuple[bytes, int]:
        done = subprocess.run(
            [TOOL, "read", "fat", image, "/LINUX.EFI", str(offset), str(size)],
            capture_output=True,
            check=True,
        )
        return done.stdout, int(done.stderr)

    content, cost = read_range(0, 1024)
    assert content == head[:1024] and cost < 32 * 1024
    content, cost = read_range(250_000_000 - 1024, 1024)
    assert content == tail[-1024:] and cost < 512 * 1024


def fat_offset(image: Path) -> tuple[int, int, int]:
    """Of the first FAT, its size, and how many: bytes."""
    boot = image.read_bytes()[:512]
    sector = int.from_bytes(boot[11:13], "little")
    size = int.from_bytes(boot[22:24], "little") or int.from_bytes(boot[36:40], "little")
    return int.from_bytes(boot[14:16], "little") * sector, size * sector, boot[16]


@pytest.mark.parametrize("seed", range(60))
def test_broken_chains_as_fsck_finds_them(tmp_path, seed):
    """One entry of the FAT that is used is changed: fsck.fat finds fault with it, and so do we."""
    rng = random.Random(f"chain {seed}")
    image, top = tmp_path / "fat.img", tmp_path / "tree"
    top.mkdir()
    trees.grow(top, rng)
    make(image, 16, 512, 1, 6000)
    fill(image, top)
    start, size, copies = fat_offset(image)
    content = bytearray(image.read_bytes())
    used = [c for c in range(2, 6000) if content[start + 2 * c] or content[start + 2 * c + 1]]
    value = rng.choice([0, rng.choice(used), 0xFFF8, 0xFFF7, rng.randrange(2, 6000)])
    cluster = rng.choice(used)
    entry = slice(start + 2 * cluster, start + 2 * cluster + 2)
    both = rng.random() < 0.8
    for copy in range(copies if both else 1):
        at = entry.start + copy * size
        content[at : at + 2] = value.to_bytes(2, "little")
    image.write_bytes(content)

    code, text = fsck(image)
    problems = read("fat", image)["fat"]["problems"]
    assert bool(problems) == (code != 0), f"cluster {cluster} to {value}: {text}: {problems}"


@pytest.mark.parametrize("width", [12, 16, 32])
def test_bent_and_cut(tmp_path, width):
    """Whatever is on the medium: an answer or an error, soon, and nothing written."""
    rng = random.Random(width)
    image, top = tmp_path / "fat.img", tmp_path / "tree"
    top.mkdir()
    trees.grow(top, rng, files=15)
    make(image, width, 512, 1, {12: 2000, 16: 6000, 32: 66000}[width])
    fill(image, top)
    good = image.read_bytes()
    bent = tmp_path / "bent.img"
    # What is read before the data of files: boot sector, FATs, and the first directories.
    start, size, copies = fat_offset(image)
    for _ in range(40 if width == 32 else 150):
        content = bytearray(good)
        for _ in range(rng.choice([1, 8, 100])):
            end = rng.choice([64, start + copies * size + 40000])
            content[rng.randrange(end)] = rng.randrange(256)
        if rng.random() < 0.3:
            del content[rng.randrange(len(content)) :]
        bent.write_bytes(content)
        done = subprocess.run([TOOL, "fat", bent], capture_output=True, timeout=20, check=False)
        assert done.returncode in (0, 3), done.stderr
        assert bent.read_bytes() == content
        if done.returncode == 0:
            assert json.loads(done.stdout)["peak_kib"] < PEAK_KIB
