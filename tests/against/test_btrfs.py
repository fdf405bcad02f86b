# SPDX-License-Identifier: LGPL-2.1-or-later
"""Our btrfs, mounted and not, against btrfs-progs and the kernel."""

from __future__ import annotations

import difflib
import os
import shutil
import subprocess
from pathlib import Path

import btrfs_image as image
import makedisk
import pytest
import sanitizers

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
        assert image.tool(top, "mounted", "check", 5) == (0, "\n", "")  # nothing to write
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
                assert image.tool(path, 0, "check", 5) == (0, "\n", "")
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
            [makedisk.for_everyone(image.TOOL), own / "image", "0", "set", "257"],
            user=65534, group=65534, extra_groups=[], capture_output=True, text=True,
        )
        assert (result.returncode, result.stderr) == (0, "")
        image.check(own / "image")
        assert image.tool(own / "image", 0, "default")[1] == "257\n"
    finally:
        image.run("rm", "-r", own)


def make_files(top: Path) -> None:
    """Contents of every shape that the kernel writes, below subvolume root."""
    root = top / "root"
    (root / "etc").mkdir()
    (root / "usr/lib").mkdir(parents=True)
    (root / "etc/empty").write_text("")
    (root / "etc/small").write_text("ID=test\n")
    (root / "etc/text").write_text("the same line again and again\n" * 60)
    (root / "etc/long").write_text("the same line again and again\n" * 30000)
    (root / "etc/random").write_bytes(os.urandom(700_001))
    with (root / "etc/sparse").open("wb") as file:
        file.seek(300_000)
        file.write(b"in the middle")
        file.seek(200_000, os.SEEK_CUR)
        file.write(b"at the end")
        file.truncate(1_000_000)
    image.run("fallocate", "-l", "50000", root / "etc/allocated")
    image.run("sync", "-f", top)
    # An extent that is shared in part: its offset is not 0.
    image.run("cp", "--reflink=always", root / "etc/long", root / "etc/shared")
    with (root / "etc/shared").open("r+b") as file:
        file.seek(65536)
        file.write(b"#" * 5000)
    (root / "etc/os-release").symlink_to("../usr/lib/os-release")
    (root / "usr/lib/os-release").write_text("ID=fedora\nVERSION_ID=40\n")
    (root / "etc/absolute").symlink_to("/usr/lib/os-release")
    (root / "etc/out").symlink_to("../../../../etc/small")
    (root / "etc/loop").symlink_to("loop")
    (root / "etc/n\udcffme").write_text("no text")
    for i in range(300):
        (root / f"usr/lib/file{i}").write_text(str(i))
    os.setxattr(root, "user.validatefs.gpt_label", b"root-x86-64")
    (root / "etc/small").chmod(0o640)
    image.run("sync", "-f", top)


@pytest.mark.parametrize("compress", ["no", "zlib", "zstd", "zstd:15", "lzo"])
@pytest.mark.parametrize("shape", ["defaults", "4k-dup", "mixed-single"])
def test_files(compress: str, shape: str, tmp_path: Path) -> None:
    size, *options = SHAPES[shape]
    path = image.make(tmp_path / "image", size, *options)
    option = "" if compress == "no" else f"compress-force={compress}"
    with image.mounted(path, tmp_path / "mnt", option) as top:
        image.fill(top)
        make_files(top)
        contents = {
            str(file.relative_to(top)): file.read_bytes()
            for file in (top / "root").rglob("*")
            if file.is_file() and not file.is_symlink() and "\udcff" not in file.name
        }
        names = sorted(os.fsencode(name) for name in os.listdir(top / "root/etc"))

    target = by_name(path, "root")
    n_read = 0
    for name, expected in contents.items():
        inside = name.removeprefix("root")
        for subvolume, asked in ((target, inside), (5, "/" + name)):
            result = subprocess.run(
                [image.TOOL, path, "0", "cat", str(subvolume), asked], capture_output=True
            )
            if compress == "lzo" and result.returncode:
                assert b"lzo" in result.stderr and b"--root" in result.stderr
                continue
            assert (result.returncode, result.stderr) == (0, b""), name
            assert result.stdout == expected, name
            n_read += 1
    assert n_read > (0 if compress == "lzo" else 600)

    if compress != "lzo":
        release = "ID=fedora\nVERSION_ID=40\n"
        for name in "/etc/os-release", "/etc/absolute":
            assert image.tool(path, 0, "cat", target, name) == (0, release, "")
        assert image.tool(path, 0, "cat", target, "/etc/out")[1] == "ID=test\n"
    code, _, err = image.tool(path, 0, "cat", target, "/etc/loop")
    assert code == 3 and err
    result = subprocess.run(
        [image.TOOL, path, "0", "ls", str(target), "/etc"], capture_output=True
    )
    listed = sorted(line.split(b" ", 3)[3] for line in result.stdout.splitlines())
    assert listed == sorted(n.replace(b"\xff", b"\xef\xbf\xbd") for n in names)
    assert b"f 640 8 small" in result.stdout.splitlines()
    assert b"l 777 0 os-release" in result.stdout.splitlines()
    attribute = image.tool(path, 0, "attr", target, "/", "user.validatefs.gpt_label")
    assert attribute == (0, "root-x86-64", "")
    assert image.tool(path, 0, "attr", target, "/", "user.none") == (0, "", "")


def test_show_reads_little(tmp_path: Path) -> None:
    """What a list of the subvolumes of a large file system costs."""
    if not shutil.which("strace"):
        pytest.skip("SKIP: no strace: install it")
    path = image.make(tmp_path / "image", "20G")
    with image.mounted(path, tmp_path / "mnt") as top:
        image.fill(top)
        make_files(top)
    result = subprocess.run(
        ["strace", "-e", "trace=pread64", image.TOOL, path, "0", "list"],
        capture_output=True, text=True, env={**os.environ, **sanitizers.without_leaks()},
    )
    sizes = [int(line.rsplit("=", 1)[1]) for line in result.stderr.splitlines() if "pread64" in line]
    assert 0 < sum(sizes) < 256 << 10
