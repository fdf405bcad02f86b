# SPDX-License-Identifier: LGPL-2.1-or-later
"""dps-tag apply on a block device, cut off at every point, with the backup where it goes by itself.

The same command again finishes, and the backup that it names takes everything back: also what the
run that was cut off had done.  Once on a disk that nobody has mounted, once on the one that the tree
is mounted from, where the kernel changes the default subvolume.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import commands
import faults
import makedisk
import pytest
import replay
from commands import DPS_TAG, NEW, OLD
from replay import Step

pytestmark = pytest.mark.skipif(
    commands.why_not("dup") is not None, reason=f"SKIP: {commands.why_not('dup')}"
)

BLKFLSBUF = 0x1261  # linux/fs.h: forget what is cached of a device
BACKUPS = "var/lib/libdps"


def node_of(loop: str, number: int, stack: contextlib.ExitStack) -> str:
    """The partition's node, made here where nothing (no udev) makes it."""
    path = Path(f"{loop}p{number}")
    if not path.exists():
        major, minor = Path("/sys/class/block", path.name, "dev").read_text().split(":")
        os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(int(major), int(minor)))
        stack.callback(path.unlink)
    return str(path)


@dataclasses.dataclass
class Device:
    disk: commands.Disk  # its path is the loop device
    image: Path  # the file behind that
    node: str  # of the second partition
    start: int  # of that, bytes
    tree: Path
    log: Path

    @property
    def backups(self) -> list[Path]:
        return sorted((self.tree / BACKUPS).glob("*"))

    def apply_words(self) -> list[str]:
        words = [DPS_TAG, "apply", "--json", "--no-check", "--arch=x86_64", "--root", str(self.tree)]
        return [*words, str(self.disk.path), *commands.ASSIGNMENTS]

    def undo_words(self, backup: str | Path) -> list[str]:
        return [DPS_TAG, "undo", str(backup), str(self.disk.path)]

    def forget(self) -> None:
        for name in (str(self.disk.path), self.node):
            with open(name, "rb") as file:
                fcntl.ioctl(file, BLKFLSBUF)

    def digest(self) -> str:
        """Of every byte that is on the medium."""
        self.forget()
        return makedisk.digest(self.image)

    def types(self) -> dict[int, str] | None:
        return commands.by_kernel(self.disk)


@contextlib.contextmanager
def attached(tmp_path: Path, shape: str) -> Iterator[Device]:
    image = commands.make(tmp_path / "work", shape, 512)
    with contextlib.ExitStack() as stack:
        loop = makedisk.run("losetup", "--find", "--show", image.path).strip()
        stack.callback(makedisk.run, "losetup", "--detach", loop)
        makedisk.run("partx", "--update", loop)
        stack.callback(makedisk.forget_partitions, loop)
        node = [node_of(loop, n, stack) for n in OLD][1]
        tree = tmp_path / "tree"
        makedisk.write_tree(tree, makedisk.TREE)
        start = makedisk.table(loop)["partitions"][1]["start"] * 512
        yield Device(dataclasses.replace(image, path=Path(loop)), image.path, node, start, tree, tmp_path / "log")


def on_the_disk(device: Device, step: Step) -> Step:
    """The same write, seen from the whole disk."""
    if step.path != device.node:
        return step
    moved = step.offset + device.start if step.kind == "write" else step.offset
    return dataclasses.replace(step, path=str(device.disk.path), offset=moved)


def put(device: Device, state: replay.Files, sectors: list[int]) -> None:
    device.forget()
    with open(device.disk.path, "r+b") as file:
        data = state[str(device.disk.path)]
        for i, sector in enumerate(sectors):
            os.pwrite(file.fileno(), data[i * 512 : (i + 1) * 512], sector * 512)
        os.fsync(file.fileno())
    device.forget()
    shutil.rmtree(device.tree / "var", ignore_errors=True)
    for name, data in state.items():
        if name.startswith(f"{device.tree}/") and not name.endswith(" (deleted)"):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_bytes(data)
            Path(name).chmod(0o600)


@pytest.mark.parametrize("shape", ["dup", "single"])
def test_cut_off(tmp_path: Path, shape: str) -> None:
    with attached(tmp_path, shape) as device:
        unchanged = device.digest()
        before = commands.copy(dataclasses.replace(device.disk, path=device.image), tmp_path / "before").path
        old = commands.by_us(device.disk)
        done, steps = replay.record(
            device.apply_words(), commands.SHIM, Path("/"), log=device.log
        )
        assert done.returncode == 0, done.stderr
        named = json.loads(done.stdout)["backup"]
        assert [str(p) for p in device.backups] == [named]
        new = commands.by_us(device.disk)
        assert old == (OLD, 5) and new == (NEW, device.disk.target)
        after = device.digest()

        # Through the nodes of the disk and of the partition, and only there.
        nodes = {s.path for s in steps if s.kind == "write" and s.path.startswith("/dev/")}
        assert nodes == {str(device.disk.path), device.node}
        steps = [on_the_disk(device, s) for s in steps]
        steps = [s for s in steps if s.path.startswith((str(device.disk.path), f"{device.tree}/"))]
        steps, sectors = replay.compact(steps, str(device.disk.path))
        assert after != unchanged
        start = replay.read_sectors(before, sectors)
        n_changed = 0
        for n, (label, state) in enumerate(replay.crash_points({str(device.disk.path): start}, steps)):
            if n % faults.stride(3):
                continue
            put(device, state, sectors)
            assert device.types() in (OLD, NEW), label
            kept = device.backups
            is_changed = state[str(device.disk.path)] != start
            n_changed += is_changed
            assert kept or not is_changed, f"{label}: no backup of a changed disk"

            done = commands.run(*device.apply_words())
            assert done.returncode == 0, f"{label}: {done.stderr}"
            assert device.digest() == after, f"{label}: again"
            document = json.loads(done.stdout)
            if not document["applied"]:  # all of it was there already
                document["backup"] = str(kept[0])
            assert kept in ([], [Path(document["backup"])]), f"{label}: a second backup"
            done = commands.run(*device.undo_words(document["backup"]))
            assert done.returncode == 0, f"{label}: undo: {done.stderr}"
            assert commands.by_us(device.disk) == old, f"{label}: undo"
        assert n_changed > 3


@pytest.mark.parametrize("change", ["sfdisk", "set-default"])
def test_what_somebody_changed_since_gets_a_backup_of_its_own(tmp_path: Path, change: str) -> None:
    """No run leaves a table that is half of one and half of another: then it is not of the same job."""
    with attached(tmp_path, "dup") as device:
        first = json.loads(commands.run(*device.apply_words()).stdout)["backup"]
        if change == "sfdisk":
            tool = ["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", "--part-type"]
            assert commands.run(*tool, device.disk.path, 6, OLD[6]).returncode == 0
        else:
            mnt = tmp_path / "mounted"
            mnt.mkdir()
            makedisk.run("mount", "-o", "subvolid=5", device.node, mnt)
            makedisk.run("btrfs", "subvolume", "set-default", "5", mnt)
            makedisk.umount(mnt)
        device.forget()
        was = commands.by_us(device.disk)
        done = commands.run(*device.apply_words())
        assert done.returncode == 0, done.stderr
        second = json.loads(done.stdout)["backup"]
        assert second != first and len(device.backups) == 2
        assert commands.by_us(device.disk) == (NEW, device.disk.target)
        assert commands.run(*device.undo_words(second)).returncode == 0
        assert commands.by_us(device.disk) == was
        # Another disk's backup, or one that others can write, is none of ours.
        assert commands.run(*device.apply_words()).returncode == 0


@contextlib.contextmanager
def mounted(device: Device) -> Iterator[Device]:
    """The tree is the file system itself, and the disk is found by it."""
    root = device.tree.parent / "root"
    root.mkdir()
    makedisk.run("mount", "-o", "subvol=root", device.node, root)
    try:
        makedisk.write_tree(root, makedisk.TREE)
        yield dataclasses.replace(device, tree=root)
    finally:
        makedisk.umount(root)


def default_of(device: Device) -> int:
    return int(makedisk.run("btrfs", "subvolume", "get-default", device.tree).split()[1])


def test_two_mounted_roots(tmp_path: Path) -> None:
    """When the table cannot be written, each file system gets its own default back, not the other's."""
    parts = [makedisk.Partition(size=112, content="btrfs", subvolumes=names) for names in (("home", "root"), ("root",))]
    image = makedisk.make(tmp_path / "disk.raw", parts)
    with contextlib.ExitStack() as stack:
        loop = stack.enter_context(makedisk.loop_with_partitions(image))
        places = [stack.enter_context(makedisk.mounted_node(node_of(loop, n, stack))) for n in (1, 2)]
        words = [DPS_TAG, "apply", "--no-check", f"--backup={tmp_path}/backup", loop, "root:x86_64=1", "root:aarch64=2"]
        done, steps = replay.record(words, commands.SHIM, Path("/"), f"write:1:{errno.EIO}", loop, tmp_path / "log")
        assert done.returncode == 3 and any(step.kind == "fault" for step in steps), done.stderr
        assert faults.UNTOUCHED in done.stderr and "default" not in done.stderr, done.stderr
        for place in places:
            assert makedisk.run("btrfs", "subvolume", "get-default", place).split()[1] == "5", done.stderr
        assert commands.run(*words).returncode == 0
        found = [makedisk.run("btrfs", "subvolume", "get-default", place).split()[1] for place in places]
        assert found == ["257", "256"]


FAULTS = [("change", errno.EIO), ("ioctl", errno.EIO), ("ioctl", errno.EINTR), ("change", "signal9"),
          ("ioctl", "signal9"), ("any", "signal15"), ("any", errno.EIO)]  # fmt: skip


@pytest.mark.parametrize(("call", "how"), FAULTS)
def test_mounted(tmp_path: Path, call: str, how: int | str) -> None:
    """Each call that fails, or before which the program is killed, on the mounted root's own disk."""
    with attached(tmp_path, "dup") as offline, mounted(offline) as device:
        size = device.disk.path.stat().st_size or int(makedisk.run("blockdev", "--getsize64", device.disk.path))
        with open(device.disk.path, "rb") as file:
            head = os.pread(file.fileno(), makedisk.MIB, 0)
            tail = os.pread(file.fileno(), makedisk.MIB, size - makedisk.MIB)
        seen = set()
        for nth in range(1, faults.MAX_CALLS, faults.stride(37) if call == "any" else 1):
            shutil.rmtree(device.tree / BACKUPS, ignore_errors=True)
            with open(device.disk.path, "r+b") as file:
                os.pwrite(file.fileno(), head, 0)
                os.pwrite(file.fileno(), tail, size - makedisk.MIB)
            makedisk.run("btrfs", "subvolume", "set-default", "5", device.tree)
            done, steps = replay.record(
                device.apply_words(), commands.SHIM, Path("/"), f"{call}:{nth}:{how}", log=device.log
            )
            if not any(s.kind == "fault" for s in steps):
                assert done.returncode == 0 and nth > 1, done.stderr
                break
            types, default = device.types(), default_of(device)
            where = f"{call} {nth} {how}: {done.returncode}: {types == NEW}, {default}: {done.stderr}"
            assert types in (OLD, NEW) and default in (5, device.disk.target), where
            assert types == OLD or default == device.disk.target, where
            seen.add((types == NEW, default))
            state = (types, default)
            if done.returncode == 0:
                assert state == (NEW, device.disk.target), where
                continue
            if str(how).startswith("signal"):
                assert done.returncode == -int(str(how)[6:]), where
                assert how == "signal9" or state in ((OLD, 5), (NEW, device.disk.target)), where
            else:
                assert done.returncode == 3, where
                if faults.PLANNED in done.stderr:
                    assert state == (NEW, device.disk.target), where
                else:
                    assert state == (OLD, 5) and faults.BETWEEN not in done.stderr, where
                    assert not device.backups, where
            kept = device.backups
            again = commands.run(*device.apply_words())
            assert again.returncode == 0, f"{where}: again: {again.stderr}"
            assert (device.types(), default_of(device)) == (NEW, device.disk.target), where
            document = json.loads(again.stdout)
            backup = document["backup"] if document["applied"] else kept[0]
            assert not kept or [Path(backup)] == kept == device.backups, where
            undone = commands.run(*device.undo_words(backup))
            assert undone.returncode == 0, f"{where}: undo: {undone.stderr}"
            assert (device.types(), default_of(device)) == (OLD, 5), where
        else:
            pytest.fail("it never came to an end")
        assert how not in ("signal9", "signal15") or len(seen) >= 2


def test_what_a_mount_writes_past_the_cache(tmp_path: Path) -> None:
    """
    The kernel's btrfs writes to the device, and not to what is cached of its node; that stays while
    somebody has the node open.
    """
    with attached(tmp_path, "dup") as device, open(device.node, "rb") as reader:
        top = tmp_path / "top"
        top.mkdir()
        makedisk.run("mount", device.node, top)
        try:
            while reader.read(1 << 20):
                pass
            for wanted in (device.disk.target, 5):
                makedisk.run("btrfs", "subvolume", "set-default", wanted, top)
                makedisk.run("btrfs", "filesystem", "sync", top)
                assert commands.by_us(device.disk)[1] == wanted
                reader.seek(0)
                while reader.read(1 << 20):
                    pass
        finally:
            makedisk.umount(top)


@pytest.mark.parametrize("stamp", ["19700101T000000.000000Z", "29991231T235959.999999Z"])
def test_a_clock_that_was_set(tmp_path: Path, stamp: str) -> None:
    """Backups have the time in their names: the one of a run that was cut off is known by what it says."""
    with attached(tmp_path, "dup") as device:
        old = commands.by_us(device.disk)
        done, _ = replay.record(device.apply_words(), commands.SHIM, Path("/"), "write:5:signal9", log=device.log)
        assert done.returncode == -9 and len(device.backups) == 1, done.stderr
        kept = device.backups[0]
        kept = kept.rename(kept.with_name(f"{kept.name[:36]}-{stamp}.json"))
        text = json.loads(kept.read_text())
        kept.write_text(json.dumps({**text, "time": f"{stamp[:4]}-01-01T00:00:00Z"}))
        device.forget()
        done = commands.run(*device.apply_words())
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["backup"] == str(kept) and device.backups == [kept]
        assert commands.by_us(device.disk) == (NEW, device.disk.target)
        assert commands.run(*device.undo_words(kept)).returncode == 0
        assert commands.by_us(device.disk) == old
