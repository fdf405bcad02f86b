# SPDX-License-Identifier: LGPL-2.1-or-later
"""An installation as an installer leaves it: a loop device, its partitions, a mounted tree."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import dps
import makedisk
import pytest
from conftest import types

ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
GENERIC = "0fc63daf-8483-4772-8e79-3d69d8477de4"
ROOT_RISCV64 = "72ec70a6-cf74-40e6-bd49-4bda08e8f224"
ENVIRONMENT = {**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


def run(*command: object) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout.strip()


class Installation(NamedTuple):
    image: Path
    loop: str
    root: Path


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """ESP, generic /boot and generic btrfs with root and home, all but the ESP mounted."""
    if not makedisk.can_mount():
        pytest.skip("wants root, loop devices and btrfs in the kernel")
    image = Path(makedisk.standard(tmp_path / "disk.raw"))
    root = tmp_path / "sysroot"
    root.mkdir()
    with contextlib.ExitStack() as stack:
        loop = stack.enter_context(makedisk.loop_with_partitions(image))
        for node, options, place in (
            (f"{loop}p3", "subvol=root", root),
            (f"{loop}p3", "subvol=home", root / "home"),
            (f"{loop}p2", "rw", root / "boot"),
        ):
            place.mkdir(exist_ok=True)
            run("mount", "-o", options, node, place)
            stack.callback(makedisk.umount, place)
        # What says of which architecture it is.
        (root / "etc/os-release").write_text("ID=test\nARCHITECTURE=riscv64\n")
        yield Installation(image, loop, root)


def default_subvolume(root: Path) -> str:
    """As btrfs-progs sees it."""
    return run("btrfs", "subvolume", "get-default", root)


def test_apply_and_undo(installation: Installation) -> None:
    image, loop, root = installation
    assert "FS_TREE" in default_subvolume(root)
    assert types(image) == [ESP, GENERIC, GENERIC]

    with dps.plan(sysroot=root, writable=False) as look:
        assert look.disk and look.disk.path == Path(loop)
        assert look.arch is dps.Arch.RISCV64
        assert {c.kind for c in look} == {dps.ChangeKind.TYPE, dps.ChangeKind.BTRFS_DEFAULT}
        assert all(c.partition == 3 for c in look)
        nodes = [p.node for p in look.disk.partitions]
    assert nodes == [Path(f"{loop}p{n}") for n in (1, 2, 3)]

    done = dps.apply(root=root)
    assert done.applied and done.changes == look.changes
    assert types(image) == [ESP, GENERIC, ROOT_RISCV64]
    assert re.search(r" path root$", default_subvolume(root))
    assert done.backup and done.backup.parent == root / "var/lib/libdps"
    assert done.backup.stat().st_mode & 0o777 == 0o600

    again = dps.apply(root=root)
    assert again.empty and not again.applied and again.backup is None

    undone = dps.undo(done.backup)
    assert undone.applied
    assert types(image) == [ESP, GENERIC, GENERIC]
    assert "FS_TREE" in default_subvolume(root)


def test_locked_by_another(installation: Installation) -> None:
    with dps.plan(sysroot=installation.root) as plan:
        with pytest.raises(dps.Error) as caught:
            dps.apply(root=installation.root, lock="nonblock")
        assert caught.value.code is dps.Code.BUSY
        assert not plan.applied
    assert types(installation.image) == [ESP, GENERIC, GENERIC]
