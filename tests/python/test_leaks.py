# SPDX-License-Identifier: LGPL-2.1-or-later
"""Leaks: memory, descriptors and locks, on the ways that succeed and on those that fail."""

from __future__ import annotations

import gc
import os
import typing
from pathlib import Path

import dps
import pytest
from conftest import copy

PAGE = os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    gc.collect()
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * PAGE


def read(path: Path) -> None:
    with dps.Disk(path) as disk:
        assert len(disk.partitions) == 4
        assert disk.to_dict()["uuid"]


def read_and_forget(path: Path) -> None:
    assert dps.Disk(path).partition("LABEL=home").number == 3


def plan_and_check(path: Path) -> None:
    with dps.Disk(path) as disk:
        plan = disk.plan(root=2, home=3, arch="x86_64")
        assert len(plan) == 2
        disk.check()


def refuse(path: Path) -> None:
    with dps.Disk(path, writable=True) as disk:
        for _ in range(3):
            with pytest.raises(dps.Error):
                disk.plan(root=9, arch="x86_64")
            with pytest.raises(dps.Error):
                disk.plan(root=2, home=2, arch="x86_64")
    with pytest.raises(dps.Error):
        dps.Disk(path / "not-there")


def look_at_tree(path: Path) -> None:
    with dps.Tree(path.parent) as tree:
        tree.find_disk()
    with dps.plan(path.parent, writable=False) as plan:
        plan.to_json()


def tag_and_undo(path: Path) -> None:
    backup = path.parent / "backup.json"
    plan = dps.apply(disk=path, assign=[dps.Assign("home", 3)], backup=backup)
    assert plan.applied
    assert dps.undo(backup).applied
    backup.unlink()


def look_up(path: Path) -> None:
    for t in dps.all_types():
        assert dps.type_lookup(t.role, t.arch)
    with pytest.raises(dps.UnknownArch):
        dps.Arch(str(path))


@pytest.mark.parametrize(
    "work", [read, read_and_forget, plan_and_check, refuse, look_at_tree, tag_and_undo, look_up]
)
def test_no_growth(
    work: typing.Callable[[Path], None], simple_template: Path, tmp_path: Path
) -> None:
    path = copy(simple_template, tmp_path / "disk.raw")
    rounds = 150
    for _ in range(rounds // 3):  # caches fill, malloc's arenas find their size
        work(path)
    descriptors, before = os.listdir("/proc/self/fd"), resident()
    for _ in range(rounds):
        work(path)
    grown = resident() - before
    # One lost partition list is some kilobytes a round.
    assert grown < rounds * 2048, f"{grown // rounds} bytes a round"
    assert len(os.listdir("/proc/self/fd")) == len(descriptors)
