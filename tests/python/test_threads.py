# SPDX-License-Identifier: LGPL-2.1-or-later
"""Threads: distinct objects side by side, one object from many, and the GIL."""

from __future__ import annotations

import fcntl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dps
import pytest
from conftest import copy, sfdisk

THREADS = 8


def test_many_disks(simple_template: Path, tmp_path: Path) -> None:
    """Each thread reads, plans and writes a disk of its own."""
    paths = [copy(simple_template, tmp_path / f"{i}.raw") for i in range(THREADS)]
    start = threading.Barrier(THREADS)
    root = dps.type_for_mount_point("/", "riscv64")
    assert root

    def work(path: Path) -> list[str]:
        start.wait()
        for _ in range(20):
            with dps.Disk(path) as disk:
                assert [p.number for p in disk] == [1, 2, 3, 4]
        with dps.Disk(path, writable=True) as disk:
            assert disk.plan(root=2, home=3, arch="riscv64").apply()
            return [f.code for f in disk.check(arch="riscv64")]

    with ThreadPoolExecutor(THREADS) as pool:
        findings = list(pool.map(work, paths))
    assert all(found == findings[0] for found in findings)
    tables = [sfdisk(path) for path in paths]
    assert all(table["partitions"][1]["type"] == str(root.uuid) for table in tables)


def test_one_disk(disk_raw: Path) -> None:
    """Calls on one object wait for each other."""
    disk = dps.Disk(disk_raw)
    expected = disk.partitions

    def work(number: int) -> None:
        for _ in range(30):
            if number % 2:
                disk.refresh()
            assert disk.partitions == expected

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))
    disk.close()


def test_close_under_a_call(disk_raw: Path) -> None:
    """Who comes after close() is told so; nobody reads what is gone."""
    for _ in range(30):
        disk = dps.Disk(disk_raw)
        plan = disk.plan(root=2, arch="x86_64")

        def use(disk: dps.Disk = disk) -> int:
            done = 0
            try:
                while True:
                    disk.refresh()
                    done += len(disk.partitions)
            except ValueError as error:
                assert "used after close" in str(error)
            return done

        with ThreadPoolExecutor(2) as pool:
            users = [pool.submit(use), pool.submit(use)]
            time.sleep(0.002)
            disk.close()
            for user in users:
                user.result(timeout=30)
        assert plan.closed


def test_gil_is_released(disk_raw: Path) -> None:
    """While one thread waits in the library for the lock of a disk, others run."""
    ticks = 0
    done = threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not done.is_set():
            ticks += 1
            time.sleep(0.001)

    with disk_raw.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        other = threading.Thread(target=tick)
        other.start()
        begin = time.monotonic()
        before = ticks
        with pytest.raises(dps.Error) as caught:
            dps.Disk(disk_raw, writable=True)
        waited, ticked = time.monotonic() - begin, ticks - before
        done.set()
        other.join()
    assert caught.value.code is dps.Code.BUSY
    # It waits a short while; a held GIL would let the other thread tick once or twice at most.
    assert waited > 0.1
    assert ticked > 20
