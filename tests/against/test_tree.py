# SPDX-License-Identifier: LGPL-2.1-or-later
"""Trees that the kernel mounted, as an installer has them, against findmnt, lsblk and btrfs.

Each scenario runs in a mount namespace of its own, which takes its mounts along when it ends.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
import sanitizers  # noqa: E402

TOOL = os.environ.get("TREE_TOOL", "")


def why_not() -> str | None:
    """Why disks cannot be made and mounted here; None when they can."""
    for name in ("sfdisk", "partx", "losetup", "mkfs.btrfs", "mkfs.ext4", "unshare", "findmnt"):
        if not shutil.which(name):
            return f"no {name}: install util-linux, btrfs-progs and e2fsprogs"
    if os.geteuid() != 0:
        return "not root: cannot mount"
    known = Path("/proc/filesystems").read_text()
    if "btrfs" not in known or "ext4" not in known:
        return "the kernel has no btrfs or no ext4"
    if not os.path.exists("/dev/loop-control"):
        return "the kernel has no loop devices"
    return None


pytestmark = pytest.mark.skipif(why_not() is not None, reason=f"SKIP: {why_not()}")


def run(*args: object) -> str:
    result = subprocess.run([str(a) for a in args], capture_output=True, text=True)
    assert result.returncode == 0, f"{args}: {result.stdout}{result.stderr}"
    return result.stdout


@dataclass
class Disk:
    """A loop device with a GUID partition table and its partitions."""

    path: Path
    node: str

    def part(self, number: int) -> str:
        return f"{self.node}p{number}"

    def number(self, number: int) -> str:
        return run("lsblk", "-dno", "MAJ:MIN", self.part(number)).strip()


@dataclass
class Answer:
    """What tree-tool says."""

    lines: list[list[str]] = field(default_factory=list)

    def one(self, word: str) -> list[str]:
        found = [line[1:] for line in self.lines if line[0] == word]
        assert len(found) == 1, self.lines
        return found[0]

    def mounts(self) -> dict[str, list[str]]:
        return {line[1]: line[2:] for line in self.lines if line[0] == "mount"}

    def verdict(self) -> list[str]:
        assert self.lines[0][0] in ("disk", "none", "error")
        return self.lines[0]


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[list[Disk]]:
    made: list[Disk] = []
    try:
        for name in ("one", "two"):
            path = tmp_path / name
            with path.open("wb") as file:
                file.truncate(900 << 20)
            table = "label: gpt\nsize=32M\nsize=200M\nsize=300M\nsize=300M\n"
            subprocess.run(["sfdisk", "-q", str(path)], input=table, text=True, check=True)
            node = run("losetup", "-f", "--show", path).strip()
            made.append(Disk(path, node))
            run("partx", "--update", node)  # also where somebody left partitions
        yield made
    finally:
        for disk in made:
            subprocess.run(["partx", "-d", disk.node], capture_output=True)
            subprocess.run(["losetup", "-d", disk.node], capture_output=True)


def scenario(script: str, **names: object) -> Answer:
    """Runs a script in a mount namespace; what it prints is tree-tool's answer."""
    environment = {**os.environ, "TOOL": TOOL, **{k: str(v) for k, v in names.items()}}
    result = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-euc", script],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return Answer([line.split("\t") for line in result.stdout.splitlines()])


INSTALL = """
exec 3>&1 >&2
mkfs.ext4 -q -F $BOOT
mkfs.btrfs -q -f $ROOT
mkdir -p $W/top $W/sysroot
mount -t btrfs $ROOT $W/top
btrfs subvolume create $W/top/root
btrfs subvolume create $W/top/home
umount $W/top
T=$W/sysroot
mount -t btrfs -o subvol=root $ROOT $T
mkdir -p $T/home $T/boot $T/dev $T/proc $T/sys $T/run $T/tmp $T/etc $T/usr $T/directory
mount -t btrfs -o subvol=home $ROOT $T/home
mount -t ext4 $BOOT $T/boot
"""

# As Anaconda prepares a chroot for %post; the programs of this system stand in for the payload's.
PREPARE_CHROOT = """
for place in dev proc sys; do mount --bind /$place $T/$place; done
mount -t tmpfs tmpfs $T/tmp
mount --rbind /usr $T/usr
for place in bin lib lib64 sbin; do
    if [ -L /$place ]; then cp -P /$place $T/; continue; fi
    if [ -d /$place ]; then mkdir -p $T/$place; mount --rbind /$place $T/$place; fi
done
cp $TOOL $T/tmp/tool
"""


def names(disks: list[Disk], tmp_path: Path) -> dict[str, object]:
    one, two = disks
    return {
        "W": tmp_path,
        "BOOT": one.part(2),
        "ROOT": one.part(3),
        "SPARE": one.part(4),
        "OTHER": two.part(3),
        "DISK": one.node,
    }


def check_installation(answer: Answer, disk: Disk) -> None:
    assert answer.verdict() == ["disk", disk.node]
    mounts = answer.mounts()
    for place, fs_type, subvolume, number in (
        ("/", "btrfs", "root", 3),
        ("/home", "btrfs", "home", 3),
        ("/boot", "ext4", "-", 2),
    ):
        got = mounts[place]
        assert got[0] == fs_type
        assert got[2] == subvolume
        assert got[3:] == ["whole", f"{disk.node} {disk.number(number)} {number}"]
    # The kernel gives the first subvolume of a new file system the first free number.
    assert (mounts["/"][1], mounts["/home"][1]) == ("256", "257")


def test_from_outside(disks: list[Disk], tmp_path: Path) -> None:
    answer = scenario(INSTALL + "exec >&3; $TOOL $T", **names(disks, tmp_path))
    check_installation(answer, disks[0])
    assert answer.one("running") == ["0"]


def test_in_a_chroot(disks: list[Disk], tmp_path: Path) -> None:
    script = INSTALL + PREPARE_CHROOT + "exec >&3; chroot $T /tmp/tool /"
    answer = scenario(script, **names(disks, tmp_path))
    check_installation(answer, disks[0])
    assert answer.one("running") == ["0"]
    assert answer.one("arch")[0] != "-"
    # A bound directory of the host tells nothing of the target's /usr.
    assert answer.mounts()["/usr"][3:] == ["directory"]


@pytest.mark.skipif(bool(TOOL) and sanitizers.is_sanitized(TOOL), reason="SKIP: sanitizers read their options from /proc")
def test_in_a_chroot_without_proc(disks: list[Disk], tmp_path: Path) -> None:
    script = INSTALL + PREPARE_CHROOT + "umount $T/proc; exec >&3; chroot $T /tmp/tool /"
    answer = scenario(script, **names(disks, tmp_path))
    assert answer.verdict() == ["disk", disks[0].node]
    assert answer.mounts()["/"][1:3] == ["256", "root"]


def test_in_a_chroot_without_sys(disks: list[Disk], tmp_path: Path) -> None:
    """Not to be taken for a tree that is on no disk."""
    script = INSTALL + PREPARE_CHROOT + "umount -R $T/sys; exec >&3; chroot $T /tmp/tool /"
    verdict = scenario(script, **names(disks, tmp_path)).verdict()
    assert verdict[:2] == ["error", "not-found"]
    assert "/sys" in verdict[2]


def test_in_a_chroot_that_is_no_mount(disks: list[Disk], tmp_path: Path) -> None:
    script = (
        INSTALL
        + "mkdir $T/inner; T=$T/inner; mkdir $T/dev $T/proc $T/sys $T/tmp $T/usr"
        + PREPARE_CHROOT
        + "exec >&3; chroot $T /tmp/tool /"
    )
    answer = scenario(script, **names(disks, tmp_path))
    assert answer.verdict()[0] == "none"
    assert "a directory" in answer.verdict()[1]
    assert answer.one("running") == ["0"]


@pytest.mark.parametrize("prepare", ["", "mount --bind $T/directory $T/directory;"])
def test_directory(disks: list[Disk], tmp_path: Path, prepare: str) -> None:
    script = INSTALL + prepare + "exec >&3; $TOOL $T/directory"
    answer = scenario(script, **names(disks, tmp_path))
    assert answer.verdict()[0] == "none"
    assert "a directory of btrfs" in answer.verdict()[1]


def test_what_lies_hidden(disks: list[Disk], tmp_path: Path) -> None:
    """findmnt lists what is mounted; what counts is what a path leads to."""
    script = (
        INSTALL
        + "mkfs.ext4 -q -F $SPARE; mkdir -p $T/boot/efi; mount -t tmpfs tmpfs $T/boot/efi;"
        + "mount -t ext4 $SPARE $T/boot; mkdir -p $T/boot/efi;"
        + "mount -t tmpfs tmpfs $T/home; exec >&3; $TOOL $T"
    )
    mounts = scenario(script, **names(disks, tmp_path)).mounts()
    one = disks[0]
    assert mounts["/boot"][4:] == [f"{one.node} {one.number(4)} 4"]
    assert "/boot/efi" not in mounts
    assert mounts["/home"][0] == "tmpfs"
    assert mounts["/home"][4:] == []


def test_subvolume_is_asked_of_the_file_system(disks: list[Disk], tmp_path: Path) -> None:
    """Bound from the top level, out of a snapshot, and renamed while it is mounted."""
    script = (
        INSTALL
        + "mount -t btrfs -o subvolid=5 $ROOT $W/top; mv $W/top/home $W/top/people;"
        + "mkdir $W/top/deep; btrfs subvolume snapshot $W/top/root $W/top/deep/snap;"
        + "mkdir -p $T/snap $T/all; mount --bind $W/top/deep/snap $T/snap;"
        + "mount --bind $W/top $T/all; exec >&3; $TOOL $T"
    )
    mounts = scenario(script, **names(disks, tmp_path)).mounts()
    assert mounts["/home"][1:4] == ["257", "people", "whole"]
    assert mounts["/snap"][1:4] == ["258", "deep/snap", "whole"]
    assert mounts["/all"][1:4] == ["5", "/", "whole"]


@pytest.mark.parametrize("second", ["SPARE", "OTHER"])
def test_btrfs_of_two_devices(disks: list[Disk], tmp_path: Path, second: str) -> None:
    script = (
        f"exec 3>&1 >&2; mkfs.btrfs -q -f $ROOT ${second}; mkdir $W/t;"
        f"btrfs device scan $ROOT ${second}; mount -t btrfs $ROOT $W/t; exec >&3; $TOOL $W/t"
    )
    answer = scenario(script, **names(disks, tmp_path))
    assert answer.mounts()["/"][3] == "whole multi"
    assert len(answer.mounts()["/"][4:]) == 2
    if second == "SPARE":
        assert answer.verdict() == ["disk", disks[0].node]
    else:
        assert answer.verdict()[:2] == ["error", "ambiguous"]
        for disk in disks:
            assert disk.node in answer.verdict()[2]


def test_image_mode(disks: list[Disk], tmp_path: Path) -> None:
    """As Anaconda mounts an ostree installation: the deployment bound, the disk at /sysroot."""
    script = (
        INSTALL
        + "D=$T/ostree/deploy/f/deploy/ab.0; mkdir -p $D/sysroot $D/var $D/boot $T/ostree/deploy/f/var;"
        + "mkdir $W/new; mount --bind $D $W/new; mount --bind $T $W/new/sysroot;"
        + "mount --bind $T/ostree/deploy/f/var $W/new/var; mount --bind $T/boot $W/new/boot;"
        + "exec >&3; $TOOL $W/new"
    )
    answer = scenario(script, **names(disks, tmp_path))
    one = disks[0]
    assert answer.verdict() == ["disk", one.node]
    assert answer.one("image-mode") == ["1"]
    mounts = answer.mounts()
    assert mounts["/sysroot"][2:] == ["root", "whole", f"{one.node} {one.number(3)} 3"]
    assert mounts["/"][3:] == ["directory"]
    assert mounts["/var"][3:] == ["directory"]
    assert mounts["/boot"][3:] == ["whole", f"{one.node} {one.number(2)} 2"]


def test_loop_over_a_part(disks: list[Disk], tmp_path: Path) -> None:
    """As osbuild mounts the partitions of an image; the disk is the image."""
    start = int(run("partx", "-gbo", "START", "-n", "2", disks[1].node)) * 512
    script = (
        "exec 3>&1 >&2; mkdir $W/t; L=$(losetup -f --show -o $START --sizelimit 200M $FILE);"
        "trap 'umount $W/t; losetup -d $L' EXIT; mkfs.ext4 -q -F $L; mount -t ext4 $L $W/t;"
        "exec >&3; $TOOL $W/t"
    )
    answer = scenario(script, W=tmp_path, START=start, FILE=disks[1].path)
    assert answer.verdict() == ["disk", str(disks[1].path)]


@pytest.mark.parametrize("kind", ["tmpfs", "overlay"])
def test_on_no_disk(tmp_path: Path, kind: str) -> None:
    if kind not in Path("/proc/filesystems").read_text():
        pytest.skip(f"SKIP: the kernel has no {kind}")
    options = {"tmpfs": "", "overlay": f"-o lowerdir={tmp_path}/a:{tmp_path}/b"}
    script = f"mkdir $W/a $W/b $W/t; mount -t {kind} {options[kind]} source $W/t; $TOOL $W/t"
    answer = scenario(script, W=tmp_path)
    assert answer.verdict() == ["none", f"{kind} (source), which is on no disk"]


def test_swap(disks: list[Disk], tmp_path: Path) -> None:
    one = disks[0]
    run("mkswap", one.part(4))
    run("swapon", one.part(4))
    try:
        answer = scenario("mkdir $W/t; $TOOL $W/t", W=tmp_path)
        theirs = run("swapon", "--show=NAME", "--noheadings", "--raw").split()
    finally:
        run("swapoff", one.part(4))
    swaps = {line[1]: line[2:] for line in answer.lines if line[0] == "swap"}
    assert sorted(swaps) == sorted(theirs)
    assert swaps[one.part(4)] == ["partition", f"{one.node} {one.number(4)} 4"]


def test_running_system() -> None:
    """What is mounted here, as findmnt and lsblk have it."""
    result = subprocess.run([TOOL, "/"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    answer = Answer([line.split("\t") for line in result.stdout.splitlines()])
    assert answer.one("arch")[0] != "-"
    for place, values in answer.mounts().items():
        # -l of several at one place: the last is on top.
        last = run("findmnt", "-rno", "FSTYPE", "--mountpoint", place).splitlines()[-1]
        assert values[0] == last
