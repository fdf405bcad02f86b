# SPDX-License-Identifier: LGPL-2.1-or-later
"""Our btrfs, mounted and not, against btrfs-progs and the kernel."""

from __future__ import annotations

import difflib
import os
import subprocess
from pathlib import Path

import btrfs_image as image
import pytest

pytestmark = pytest.mark.skipif(
    image.why_not() is not None, reason=f"SKIP: {image.why_not()}"
)

SHAPES = {
    "defaults": ["300M"],
    "4k-dup": ["128M", "-n", "4096", "-m", "dup"],
    "16k-single": ["128M", "-m", "single"],
    "32k-dup": ["300M", "-n", "32768", "-m", "dup"],
    "64k-single": ["300M", "-n", "65536", "-m", "single"],
    "mixed-single": ["64M", "-M", "-n", "4096", "-m", "single", "-d", "single"],
    "mixed-dup": ["256M", "-M", "-n", "4096", "-m", "dup", "-d", "dup"],
    "xxhash-dup": ["300M", "--csum", "xxhash", "-m", "dup"],
    "sha256-single": ["300M", "--csum", "sha256", "-m", "single"],
    "blake2-dup": ["300M", "--csum", "blake2", "-m", "dup"],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_list_and_default(shape: str, tmp_path: Path) -> None:
    size, *options = SHAPES[shape]
    path = image.make(tmp_path / "image", size, *options)
    with image.mounted(path, tmp_path / "mnt") as top:
        image.fill(top)
        theirs = image.kernel_list(top)
        root = next(i for i, name in theirs.items() if name == "root")

        code, out, err = image.tool(top, "mounted", "list")
        assert (code, image.listed(out), err) == (0, theirs, "")
        assert image.tool(top, "mounted", "default")[1] == "5\n"
        assert image.tool(top / "root/x/y", "mounted", "of")[1] == f"{root} root\n"

        assert image.tool(top, "mounted", "set", root)[0] == 0
        assert image.kernel_default(top) == root
        # It is on the medium already: a copy of the image while it is mounted has it.
        copy = tmp_path / "copy"
        image.run("cp", "--sparse=always", path, copy)
        assert image.tool(copy, 0, "default")[1] == f"{root}\n"

    code, out, err = image.tool(path, 0, "list")
    assert (code, image.listed(out), err) == (0, theirs, "")
    assert image.tool(path, 0, "default")[1] == f"{root}\n"


def test_many_subvolumes(tmp_path: Path) -> None:
    """A root tree of three levels."""
    path = image.make(tmp_path / "image", "400M", "-n", "4096")
    with image.mounted(path, tmp_path / "mnt") as top:
        image.fill(top, 1000)
        theirs = image.kernel_list(top)
    code, out, _ = image.tool(path, 0, "list")
    assert code == 0
    assert image.listed(out) == theirs


def test_mounted_refusals(tmp_path: Path) -> None:
    path = image.make(tmp_path / "image", "128M")
    with image.mounted(path, tmp_path / "mnt") as top:
        image.fill(top)
        code, _, err = image.tool(top, "mounted", "set", 999)
        assert code == 3
        assert "999" in err and err.startswith("not-found")
        image.run("mount", "-o", "remount,ro", top)
        code, _, err = image.tool(top, "mounted", "set", 256)
        assert code == 3
        assert "read-only" in err and "remount,rw" in err
        assert image.kernel_default(top) == 5
    code, _, err = image.tool(tmp_path, "mounted", "list")
    assert code == 3 and err.startswith("unsupported")


def test_at_an_offset(tmp_path: Path) -> None:
    path = image.make(tmp_path / "image", "128M")
    with image.mounted(path, tmp_path / "mnt") as top:
        image.fill(top)
        theirs = image.kernel_list(top)
    disk = tmp_path / "disk"
    image.run("truncate", "-s", "1M", disk)
    with disk.open("ab") as file:
        file.write(path.read_bytes())
    assert image.listed(image.tool(disk, 1 << 20, "list")[1]) == theirs
    code, _, err = image.tool(disk, 0, "list")
    assert code == 3 and "no signature of btrfs" in err


# What a set-default may change in what btrfs-progs prints of a file system.
MAY_CHANGE = (
    "csum\t\t\t0x",  # of a superblock
    "incompat_flags\t\t0x",
    "DEFAULT_SUBVOL |",
    "location key (",
    "checksum stored ",
    "checksum calced ",
    "\ttransid ",
)


def changed_lines(before: list[str], after: list[str]) -> list[str]:
    return [
        line
        for line in difflib.unified_diff(before, after, n=0, lineterm="")
        if not line.startswith(("+++", "---", "@@"))
        and not line[1:].strip().startswith(tuple(m.strip() for m in MAY_CHANGE))
    ]


def by_name(path: Path, name: str) -> int:
    subvolumes = image.listed(image.tool(path, 0, "list")[1])
    return next(i for i, n in subvolumes.items() if n == name)


def set_and_prove(path: Path, target: int, name: str, tmp_path: Path, marker: bool) -> None:
    """An edit of ours: as sound as the kernel's, and nothing else changed."""
    twin = image.copy(path, tmp_path / "twin")
    before = image.dump(path)
    size = path.stat().st_size

    code, out, err = image.tool(path, 0, "set", target)
    assert (code, out, err) == (0, "", "")
    assert path.stat().st_size == size
    assert not path.with_name(path.name + ".dps-journal").exists()
    image.check(path)
    assert changed_lines(before, image.dump(path)) == []
    done = image.digest(path)
    assert image.tool(path, 0, "needs", target)[1] == "no\n"
    assert image.tool(path, 0, "set", target)[0] == 0
    assert image.digest(path) == done

    with image.mounted(twin, tmp_path / "mnt") as top:
        image.run("btrfs", "subvolume", "set-default", target, top)
    assert image.default_key(path) == image.default_key(twin)

    with image.mounted(path, tmp_path / "mnt") as top:
        assert image.kernel_default(top) == target
        assert (top / "marker").exists() == marker
        scrub = image.run("btrfs", "scrub", "start", "-B", top)
        assert "no errors found" in scrub, scrub
        if name != "rosnap":
            (top / "written").write_text("later\n" * 10000)
            image.run("btrfs", "filesystem", "sync", top)
    image.check(path)


MORE_SHAPES = SHAPES | {
    "8k-dup": ["256M", "-n", "8192", "-m", "dup"],
    "4k-single": ["128M", "-n", "4096", "-m", "single"],
    "16k-dup": ["256M", "-n", "16384", "-m", "dup"],
    "32k-single": ["300M", "-n", "32768", "-m", "single"],
    "64k-dup": ["300M", "-n", "65536", "-m", "dup"],
    "xxhash-single": ["128M", "--csum", "xxhash", "-m", "single"],
    "sha256-dup": ["256M", "--csum", "sha256", "-m", "dup"],
    "blake2-single": ["128M", "--csum", "blake2", "-m", "single"],
    "block-group-tree": ["256M", "-O", "block-group-tree"],
    "quota": ["256M", "-R", "quota"],
}


@pytest.mark.parametrize("shape", MORE_SHAPES)
def test_set_default(shape: str, tmp_path: Path) -> None:
    size, *options = MORE_SHAPES[shape]
    try:
        path = image.make(tmp_path / "image", size, *options)
    except AssertionError as error:
        if shape == "block-group-tree":
            pytest.skip(f"SKIP: this mkfs.btrfs has no block-group-tree: {error}")
        raise
    with image.mounted(path, tmp_path / "mnt") as top:
        image.fill(top)
    set_and_prove(path, by_name(path, "root"), "root", tmp_path, True)


@pytest.mark.parametrize("profile", ["single", "dup"])
@pytest.mark.parametrize("name", ["snap", "rosnap", "d/e/nest", "root/x/y/z", "/"])
def test_targets(profile: str, name: str, tmp_path: Path) -> None:
    path = image.make(tmp_path / "image", "128M", "-m", profile)
    with image.mounted(path, tmp_path / "mnt") as top:
        image.fill(top)
        if name == "/":
            image.run("btrfs", "subvolume", "set-default", 256, top)
    note = image.tool(path, 0, "check", by_name(path, name))[1]
    assert ("read-only" in note) == (name == "rosnap")
    set_and_prove(path, by_name(path, name), name, tmp_path, name in ("snap", "rosnap"))


def test_metadata_uuid(tmp_path: Path) -> None:
    path = image.make(tmp_path / "image", "256M")
    with image.mounted(path, tmp_path / "mnt") as top:
        image.fill(top)
    image.run("btrfstune", "-f", "-m", path)
    set_and_prove(path, by_name(path, "root"), "root", tmp_path, True)


def test_many_subvolumes_set(tmp_path: Path) -> None:
    path = image.make(tmp_path / "image", "400M", "-n", "4096")
    with image.mounted(path, tmp_path / "mnt") as top:
        image.fill(top, 1000)
    set_and_prove(path, by_name(path, "root"), "root", tmp_path, True)


def test_back_again(tmp_path: Path) -> None:
    """From the kernel's default to ours and back: byte for byte what it was, with one copy too."""
    for profile in "single", "dup":
        path = image.make(tmp_path / "image", "128M", "-m", profile)
        with image.mounted(path, tmp_path / "mnt") as top:
            image.fill(top)
            image.run("btrfs", "subvolume", "set-default", 256, top)
        before = image.digest(path)
        root = by_name(path, "root")
        assert image.tool(path, 0, "set", root)[0] == 0
        assert image.digest(path) != before
        assert image.tool(path, 0, "set", 256)[0] == 0
        assert image.digest(path) == before


def test_several_devices(tmp_path: Path) -> None:
    """Read where this device has the trees, known for what it is where it has not, never edited."""
    for profile in "raid1", "raid0":
        paths = [tmp_path / f"image{i}" for i in range(2)]
        loops = []
        try:
            for path in paths:
                path.unlink(missing_ok=True)
                image.run("truncate", "-s", "300M", path)
                loops.append(image.run("losetup", "-f", "--show", path).strip())
            image.run("mkfs.btrfs", "-q", "-m", profile, "-d", profile, *loops)
        finally:
            for loop in loops:
                image.run("losetup", "-d", loop)
        for path in paths:
            before = image.digest(path)
            assert image.tool(path, 0, "devices")[1] == "2\n"
            if profile == "raid1":
                assert image.listed(image.tool(path, 0, "list")[1]) == {5: "/"}
                code, _, err = image.tool(path, 0, "set", 5)
                assert code == 3 and "2 devices" in err
            assert image.digest(path) == before


def test_mounted_device_is_refused(tmp_path: Path) -> None:
    path = image.make(tmp_path / "image", "128M")
    with image.mounted(path, tmp_path / "mnt") as top:
        image.fill(top)
        loop = image.run("findmnt", "-no", "SOURCE", top).strip()
        image.run("btrfs", "filesystem", "sync", top)
        code, _, err = image.tool(loop, 0, "set", 256)
        assert code == 3 and err.startswith("busy") and "--root" in err
        code, _, err = image.tool(path, 0, "set", 256)
        assert code == 3 and err.startswith("busy") and loop in err
        assert image.kernel_default(top) == 5


def test_device_without_mount(tmp_path: Path) -> None:
    """On a block device: two copies are written, what needs a journal is refused."""
    for options, works in ((["-m", "dup"], True), (["-m", "single", "--csum", "sha256"], False)):
        path = image.make(tmp_path / "image", "128M", *options)
        with image.mounted(path, tmp_path / "mnt") as top:
            image.fill(top)
        loop = image.run("losetup", "-f", "--show", path).strip()
        try:
            code, _, err = image.tool(loop, 0, "set", 257)
            assert (code == 0) == works, err
            assert works or ("journal" in err and err.startswith("refused"))
            assert image.tool(loop, 0, "default")[1] == ("257\n" if works else "5\n")
        finally:
            image.run("losetup", "-d", loop)
        image.check(path)


def test_not_cleanly_unmounted(tmp_path: Path) -> None:
    """A log tree: copied while mounted, right after an fsync."""
    path = image.make(tmp_path / "image", "128M")
    with image.mounted(path, tmp_path / "mnt") as top:
        image.fill(top)
        image.run("btrfs", "filesystem", "sync", top)
        with (top / "a/file").open("w") as file:
            file.write("x" * 5000)
            file.flush()
            os.fsync(file.fileno())
        copied = image.copy(path, tmp_path / "copy")
    before = image.digest(copied)
    code, _, err = image.tool(copied, 0, "set", 257)
    assert code == 3 and "log tree" in err and "unmount" in err
    assert image.tool(copied, 0, "default")[1] == "5\n"
    assert image.digest(copied) == before


def test_as_nobody(tmp_path: Path) -> None:
    """No privilege is asked for on a file of one's own."""
    tmp_path.chmod(0o777)
    path = image.make(tmp_path / "image", "128M", "-m", "single", "--csum", "xxhash")
    with image.mounted(path, tmp_path / "mnt") as top:
        image.fill(top)
    own = Path(image.run("mktemp", "-d").strip())
    try:
        image.copy(path, own / "image")
        os.chown(own, 65534, 65534)
        os.chown(own / "image", 65534, 65534)
        result = subprocess.run(
            [image.TOOL, own / "image", "0", "set", "257"],
            user=65534, group=65534, extra_groups=[], capture_output=True, text=True,
        )
        assert (result.returncode, result.stderr) == (0, "")
        image.check(own / "image")
        assert image.tool(own / "image", 0, "default")[1] == "257\n"
    finally:
        image.run("rm", "-r", own)
