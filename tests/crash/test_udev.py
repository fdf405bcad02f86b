# SPDX-License-Identifier: LGPL-2.1-or-later
"""Beside systemd-udevd, which reads a disk, under a shared lock, whenever somebody has written to it.

It runs in name spaces of its own, for network (where the kernel tells of devices) and mounts (/run),
with rules for one loop device: nothing else on this machine sees it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import commands
import faults
import makedisk
import pytest
from commands import DPS_TAG, NEW, OLD

UDEVD = "/lib/systemd/systemd-udevd"


def inside(loop: str, image: Path, n_runs: int) -> None:
    """In the name spaces: a real udevd, and apply and undo again and again while it reads."""
    run = makedisk.run
    run("mount", "--make-rprivate", "/")
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    run("mount", "-t", "sysfs", "sysfs", "/sys")
    Path("/run/empty").mkdir()
    for place in ("/lib/udev/rules.d", "/etc/udev/rules.d"):
        run("mount", "--bind", "/run/empty", place)
    name = Path(loop).name
    rules = Path("/run/udev/rules.d/00-one.rules")
    rules.parent.mkdir(parents=True)
    rules.write_text(
        f'KERNEL!="{name}|{name}p*", GOTO="end"\n'
        'IMPORT{builtin}="blkid"\nOPTIONS+="watch"\nLABEL="end"\n'
    )
    udevd = subprocess.Popen([UDEVD, "--resolve-names=never"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    is_done = threading.Event()

    def rouse() -> None:
        while not is_done.is_set():
            subprocess.run(["udevadm", "trigger", loop], capture_output=True)
            time.sleep(0.02)

    try:
        for _ in range(200):
            if Path("/run/udev/control").exists():
                break
            time.sleep(0.05)
        run("udevadm", "trigger", "--settle", loop, f"{loop}p2")
        properties = run("udevadm", "info", "--query=property", f"{loop}p2")
        if "ID_PART_ENTRY_TYPE=" not in properties:
            print(f"SKIP: udevd sees nothing of a loop device here: {properties}")
            return
        assert f"ID_PART_ENTRY_TYPE={OLD[2]}" in properties
        disk = commands.Disk(Path(loop), 512, None)
        thread = threading.Thread(target=rouse)
        thread.start()
        # With a partition in use udevd tells of each; with none it has the kernel read the table anew.
        with open(f"{loop}p3", "rb"):
            for i in range(n_runs):
                backup = image.with_name(f"backup-{i}.json")
                for words, types in (
                    (["apply", "--no-check", f"--backup={backup}", loop, *commands.ASSIGNMENTS], NEW),
                    (["undo", str(backup), loop], OLD),
                ):
                    done = commands.run(DPS_TAG, words[0], "--json", *words[1:])
                    assert done.returncode == 0, done.stderr
                    assert commands.by_kernel(disk) == types
                    codes = [f["code"] for f in json.loads(done.stdout)["findings"]]
                    assert "udev-not-updated" not in codes, done.stdout
                    properties = run("udevadm", "info", "--query=property", f"{loop}p2")
                    assert f"ID_PART_ENTRY_TYPE={types[2]}" in properties, properties
        is_done.set()
        thread.join()
        print("done")
    finally:
        is_done.set()
        udevd.terminate()
        udevd.wait()


@pytest.mark.skipif(
    os.geteuid() != 0 or not os.path.exists("/dev/loop-control"), reason="SKIP: needs root and loop devices"
)
def test_beside_udevd(tmp_path: Path) -> None:
    for name in (UDEVD, "udevadm", "unshare"):
        if not shutil.which(name, path=commands.ENV["PATH"]):
            pytest.skip(f"SKIP: no {name} here")
    if Path("/run/udev/control").exists():
        pytest.skip("SKIP: a udevd runs already: two of them would not wait for each other")
    disk = commands.make(tmp_path / "work", "table", 512)
    loop = makedisk.run("losetup", "--find", "--show", disk.path).strip()
    made = []
    try:
        makedisk.run("partx", "--update", loop)
        for number in OLD:
            node = Path(f"{loop}p{number}")
            if not node.exists():
                major, minor = Path("/sys/class/block", node.name, "dev").read_text().split(":")
                os.mknod(node, 0o60600, os.makedev(int(major), int(minor)))
                made.append(node)
        done = commands.run(
            "unshare", "--net", "--mount", sys.executable, __file__, loop, disk.path,
            30 if faults.IS_FULL else 3,
        )  # fmt: skip
    finally:
        subprocess.run(["partx", "--delete", loop], capture_output=True, env=commands.ENV)
        for node in made:
            node.unlink(missing_ok=True)
        makedisk.run("losetup", "--detach", loop)
    if "unshare failed" in done.stderr or "SKIP" in done.stdout:
        pytest.skip(f"SKIP: no udevd can be run here: {done.stdout}{done.stderr}")
    assert done.returncode == 0 and done.stdout == "done\n", done.stdout + done.stderr


@pytest.mark.parametrize("how", [fcntl.LOCK_SH, fcntl.LOCK_EX], ids=["shared", "exclusive"])
@pytest.mark.parametrize("command", ["apply", "undo"])
def test_a_lock_that_is_held_for_a_moment(tmp_path: Path, command: str, how: int) -> None:
    """As udevd holds it while it reads, and systemd-repart while it writes: waited for."""
    disk = commands.make(tmp_path / "work", "table", 512)
    words = commands.apply_words(disk)
    if command == "undo":
        assert commands.run(*words).returncode == 0
        words = commands.undo_words(disk)
    before = makedisk.digest(disk.path)
    with open(disk.path, "rb") as file:
        fcntl.flock(file, how)
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=commands.ENV)
        time.sleep(0.5)
        assert process.poll() is None and makedisk.digest(disk.path) == before
        fcntl.flock(file, fcntl.LOCK_UN)
        error = process.communicate(timeout=60)[1]
    assert process.returncode == 0, error
    assert commands.by_us(disk)[0] == (NEW if command == "apply" else OLD)


if __name__ == "__main__":
    inside(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
