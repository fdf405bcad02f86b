# SPDX-License-Identifier: LGPL-2.1-or-later
"""Trees: what a directory says of the system in it, and where it is."""

from __future__ import annotations

import os
import typing
from pathlib import Path

import dps
import pytest


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The root of a system, unpacked: on no disk of its own."""
    root = tmp_path / "sysroot"
    for name in ("etc", "usr/bin", "proc"):
        (root / name).mkdir(parents=True)
    (root / "etc/os-release").write_text('ID=test\nARCHITECTURE="arm64"\n')
    (root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    return root


def test_what_it_says(tree: Path) -> None:
    for name in (tree, str(tree), os.fsencode(tree)):
        with dps.Tree(name) as opened:
            assert opened.path == tree
            assert opened.arch is dps.Arch.AARCH64
            assert opened.machine_id == "0123456789abcdef0123456789abcdef"


def test_what_it_does_not_say(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/machine-id").write_text("uninitialized\n")
    with dps.Tree(tmp_path) as opened:
        assert opened.arch is None
        assert opened.machine_id is None


def test_on_no_disk(tree: Path) -> None:
    """A directory is installed to, too: no error, and a reason."""
    with dps.Tree(tree) as opened:
        disk, why = opened.find_disk()
    assert disk is None
    assert why and "\n" not in why


def test_running_system() -> None:
    with dps.Tree() as running:
        assert running.path == Path("/")
        assert running.arch is dps.Arch.native()


def test_not_there(tmp_path: Path) -> None:
    with pytest.raises(dps.Error) as caught:
        dps.Tree(tmp_path / "nothing")
    assert caught.value.code is dps.Code.NOT_FOUND
    assert "nothing" in str(caught.value)
    with pytest.raises(ValueError, match="null byte"):
        dps.Tree("/\0")


def test_after_close(tree: Path) -> None:
    opened = dps.Tree(tree)
    opened.close()
    opened.close()
    assert opened.closed and "closed" in repr(opened)
    uses: list[typing.Callable[[], object]] = [
        lambda: opened.path,
        lambda: opened.arch,
        lambda: opened.machine_id,
        opened.find_disk,
        opened.__enter__,
    ]
    for use in uses:
        with pytest.raises(ValueError, match="used after close"):
            use()
