# SPDX-License-Identifier: LGPL-2.1-or-later
"""Our btrfs, mounted and not, against btrfs-progs and the kernel."""

from __future__ import annotations

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
