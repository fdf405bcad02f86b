# SPDX-License-Identifier: LGPL-2.1-or-later
"""What dps-tag apply does to real disks, as sfdisk, sgdisk, btrfs, systemd and the bytes tell it.

Loop devices with partitions and mounted trees, where the machine has them; images else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "data"))
import makedisk
from makedisk import Partition

DPS_TAG = os.environ["DPS_TAG"]
SWAP = "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"
HOME = "933ac7e1-2eb4-4f13-b844-0e14e2aef915"
SRV = "3b8f8425-20e0-4f3b-907f-1a25a76f98e8"
LVM = "e6d6d379-f507-44c2-a23c-238f2a3df928"

needs_mounts = pytest.mark.skipif(
    not makedisk.can_mount(), reason="SKIP: needs root, loop devices and btrfs in the kernel"
)


def run(*words: object, code: int | None = 0, **more: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, env=makedisk.path_of_tools(), check=False, **more
    )
    if code is not None:
        assert done.returncode == code, f"{words}: {done.returncode}: {done.stdout}{done.stderr}"
    return done


def dps_tag(*words: object, code: int = 0) -> dict:
    return json.loads(run(DPS_TAG, *words, "--json", code=code).stdout)


def fs_uuid(number: int) -> str:
    return f"{number:08x}-aaaa-4bbb-8ccc-dddddddddddd"  # as makedisk gives them


def types(disk: object) -> dict[int, str]:
    table = json.loads(run("sfdisk", "--json", disk).stdout)["partitiontable"]
    return {number: entry["type"].lower() for number, entry in enumerate(table["partitions"], 1)}


def digest(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


PROGRAM = pathlib.Path("/usr/bin/true").read_bytes()
SYSTEM = {**makedisk.TREE, "usr/bin/true": PROGRAM, "home/": None, "boot/": None, "efi/": None, "srv/": None}


def installed(fstab: str = "", **root: object) -> list[Partition]:
    return [
        Partition(size=34, type=makedisk.GENERIC, content="vfat", files={"EFI/BOOT/BOOTX64.EFI": "MZ"}),
        Partition(size=32, content="ext4", label="boot"),
        Partition(**{"size": 112, "content": "btrfs", "subvolumes": ("root", "home", "rootfs2"),
                     "files": {**SYSTEM, "etc/fstab": fstab}, **root}),
        Partition(size=16, content="swap"),
        Partition(size=32, content="ext4", label="srv"),
    ]


FSTAB = f"""\
UUID={fs_uuid(3)} / btrfs subvol=root,compress=zstd 0 0
UUID={fs_uuid(3)} /home btrfs subvol=home 0 0
UUID={fs_uuid(2)} /boot ext4 defaults 0 0
UUID=ABCD-0001 /boot/efi vfat umask=0077 0 0
UUID={fs_uuid(4)} none swap defaults 0 0
LABEL=srv /srv ext4 defaults 0 0
/dev/zram0 none swap defaults 0 0
tmpfs /tmp tmpfs defaults 0 0
"""


@contextlib.contextmanager
def mounted(*places: tuple[str, str, str]):
    """(device, place, options), in order; taken down in reverse."""
    done: list[str] = []
    try:
        for device, place, options in places:
            os.makedirs(place, exist_ok=True)
            makedisk.run("mount", *(["-o", options] if options else []), device, place)
            done.append(place)
        yield
    finally:
        for place in reversed(done):
            makedisk.umount(place)


@contextlib.contextmanager
def installation(tmp_path: pathlib.Path, fstab: str = FSTAB, parts: list[Partition] | None = None):
    image = makedisk.make(tmp_path / "disk.raw", parts or installed(fstab))
    tree = tmp_path / "sysroot"
    with makedisk.loop_with_partitions(image) as loop, mounted(
        (f"{loop}p3", str(tree), "subvol=root"),
        (f"{loop}p3", f"{tree}/home", "subvol=home"),
        (f"{loop}p2", f"{tree}/boot", ""),
        (f"{loop}p5", f"{tree}/srv", ""),
    ):
        yield loop, tree, image


EXPECTED = {1: makedisk.ESP, 2: makedisk.GENERIC, 3: makedisk.ROOT_X86_64, 4: SWAP, 5: SRV}


@needs_mounts
def test_nothing_typed(tmp_path):
    """The kickstart line: no disk, no number, no architecture, no GUID."""
    with installation(tmp_path) as (loop, tree, image):
        old = run("sfdisk", "--dump", loop).stdout
        document = dps_tag("apply", "--root", tree)
        assert document["applied"] and types(loop) == EXPECTED
        assert "path root" in run("btrfs", "subvolume", "get-default", tree).stdout.split("level 5 ")[1]
        assert "No problems found" in run("sgdisk", "-v", loop).stdout
        run("sfdisk", "--verify", loop)

        # Nothing but the types has changed, by sfdisk's reading: put them back, and it is the old table.
        new = run("sfdisk", "--dump", loop).stdout
        for number, guid in EXPECTED.items():
            new = new.replace(guid.upper(), makedisk.GENERIC.upper())
        assert new == old

        # The backup is in the tree, for root alone, and a second run finds nothing to do.
        backup = pathlib.Path(document["backup"])
        assert backup.parent == tree / "var/lib/libdps" and backup.stat().st_mode & 0o777 == 0o600
        again = dps_tag("apply", "--root", tree)
        assert not again["applied"] and again["changes"] == [] and again["backup"] is None
        assert len(list(backup.parent.iterdir())) == 1

        dps_tag("undo", backup, loop)
        assert run("sfdisk", "--dump", loop).stdout == old
        assert "ID 5 " in run("btrfs", "subvolume", "get-default", tree).stdout


@needs_mounts
def test_only_the_entries_change(tmp_path):
    """Byte for byte: entries, their checksums and the headers' own; nothing else outside of root."""
    with installation(tmp_path) as (loop, tree, image):
        run("sync")
        old = image.read_bytes()
        dps_tag("apply", "--root", tree, "--btrfs-default", "keep", "--force")
        run("sync")
        new = image.read_bytes()

    sector = 512
    allowed: set[int] = set()
    for header, entries in ((sector, 2 * sector), (len(old) - sector, len(old) - 33 * sector)):
        allowed.update(range(header + 16, header + 20), range(header + 88, header + 92))
        for number in (1, 3, 4, 5):
            allowed.update(range(entries + (number - 1) * 128, entries + (number - 1) * 128 + 16))
    root_start, root_end = (1 + 34 + 32) * makedisk.MIB, (1 + 34 + 32 + 112) * makedisk.MIB
    tables = list(range(34 * sector)) + list(range(len(old) - 33 * sector, len(old)))
    changed = {at for at in tables if old[at] != new[at]}
    assert changed and changed <= allowed
    assert old[34 * sector : makedisk.MIB] == new[34 * sector : makedisk.MIB]
    assert old[makedisk.MIB : makedisk.MIB + 34 * makedisk.MIB] == new[makedisk.MIB : makedisk.MIB + 34 * makedisk.MIB]
    assert root_start < root_end <= len(new)


@needs_mounts
def test_in_a_chroot(tmp_path):
    """%post: /dev, /proc, /sys and /run bound, the tree is /."""
    with installation(tmp_path) as (loop, tree, _):
        binds = [("/dev", f"{tree}/dev", "bind"), ("/proc", f"{tree}/proc", "bind"), ("/sys", f"{tree}/sys", "bind"),
                 ("/usr", f"{tree}/usr", "bind"), ("/etc", f"{tree}/etc-host", "bind")]
        for name in ("bin", "lib", "lib64", "sbin"):
            if os.path.islink(f"/{name}") and not os.path.lexists(tree / name):
                os.symlink(os.readlink(f"/{name}"), tree / name)
        program = tree / "dps-tag"
        build = pathlib.Path(DPS_TAG).resolve().parents[1]
        program.write_bytes(pathlib.Path(DPS_TAG).read_bytes())
        program.chmod(0o755)
        for library in (build / "libdps").glob("libdps.so*"):
            if library.is_file():
                (tree / library.name).write_bytes(library.read_bytes())
        with mounted(*binds):
            done = run("unshare", "--mount", "chroot", tree, "env", "LD_LIBRARY_PATH=/", "/dps-tag", "apply", "--json")
        document = json.loads(done.stdout)
        assert document["disk"]["path"] == loop and document["applied"]
        assert types(loop) == EXPECTED
        assert document["backup"].startswith("/var/lib/libdps/") and (tree / document["backup"][1:]).exists()


@needs_mounts
def test_root_subvolume_by_name_is_exact(tmp_path):
    """Without a tree: root at the top level; not rootfs2, and not x/root."""
    image = makedisk.make(tmp_path / "disk.raw", installed(subvolumes=("rootfs2", "root")))
    document = dps_tag("plan", image, "root:x86_64=3", code=1)
    change = next(change for change in document["changes"] if change["kind"] == "btrfs-default")
    assert change["from"] == "5 /" and change["to"].split(" ", 1)[1] == "root"


@needs_mounts
def test_snapper_owns_the_default(tmp_path):
    config = {**SYSTEM, "etc/fstab": FSTAB, "etc/snapper/configs/root": 'SUBVOLUME="/"\nFSTYPE="btrfs"\n'}
    with installation(tmp_path, parts=installed(files=config)) as (loop, tree, image):
        before = run("sfdisk", "--dump", loop).stdout
        failure = dps_tag("apply", "--root", tree, code=3)
        assert "snapper" in failure["error"]["message"] and "--btrfs-default root" in failure["error"]["message"]
        assert run("sfdisk", "--dump", loop).stdout == before
        assert not (tree / "var/lib/libdps").exists()

        document = dps_tag("apply", "--root", tree, "--btrfs-default", "root")
        assert document["applied"] and types(loop) == EXPECTED


@needs_mounts
def test_grub_with_relative_path(tmp_path):
    files = {**SYSTEM, "etc/fstab": FSTAB.replace(f"UUID={fs_uuid(2)} /boot ext4 defaults 0 0\n", ""),
             # The title is Latin-1: what a menu says must not hide what stands below it.
             "boot/grub2/grub.cfg": b"menuentry 'Gr\xfc\xdfe' {\n}\n\n  set btrfs_relative_path=\"y\"\n"}
    image = makedisk.make(tmp_path / "disk.raw", installed(files=files))
    tree = tmp_path / "sysroot"
    with makedisk.loop_with_partitions(image) as loop, mounted((f"{loop}p3", str(tree), "subvol=root")):
        failure = dps_tag("apply", "--root", tree, code=3)
        assert "btrfs_relative_path" in failure["error"]["message"]
        forced = dps_tag("apply", "--root", tree, "--force")
        assert [f["severity"] for f in forced["findings"] if f["code"] == "btrfs-default-kept"] == ["warning"]
        assert "ID 5 " in run("btrfs", "subvolume", "get-default", tree).stdout


@needs_mounts
def test_root_at_the_top_level(tmp_path):
    image = makedisk.make(tmp_path / "disk.raw", installed(subvolumes=()))
    tree = tmp_path / "sysroot"
    with makedisk.loop_with_partitions(image) as loop, mounted((f"{loop}p3", str(tree), "")):
        document = dps_tag("apply", "--root", tree)
        assert [change["kind"] for change in document["changes"]] == ["type"]


@needs_mounts
def test_swap_in_use(tmp_path):
    with installation(tmp_path, fstab=f"UUID={fs_uuid(3)} / btrfs subvol=root 0 0\n") as (loop, tree, image):
        run("swapon", f"{loop}p4")
        try:
            document = dps_tag("plan", "--root", tree, code=1)
        finally:
            run("swapoff", f"{loop}p4")
        reasons = {entry["role"]: entry["reason"] for entry in document["assignments"]}
        assert "in use as swap" in reasons["swap"]


@needs_mounts
def test_home_on_another_disk(tmp_path):
    """Skipped and said; the rest is done."""
    other = makedisk.make(tmp_path / "other.raw", [Partition(size=32, content="ext4")])
    image = makedisk.make(tmp_path / "disk.raw", installed())
    tree = tmp_path / "sysroot"
    with makedisk.loop_with_partitions(image) as loop, makedisk.loop_with_partitions(other) as second, mounted(
        (f"{loop}p3", str(tree), "subvol=root"), (f"{second}p1", f"{tree}/home", "")
    ):
        document = dps_tag("apply", "--root", tree)
        skipped = [f["message"] for f in document["findings"] if f["code"] == "detected-skipped"]
        assert len(skipped) == 1 and "/home is on another disk" in skipped[0] and second in skipped[0]
        assert types(loop)[3] == makedisk.ROOT_X86_64


@needs_mounts
@pytest.mark.parametrize("fs", ["ext4", "xfs"])
def test_plain_root(tmp_path, fs):
    if fs == "xfs":
        image = makedisk.make(tmp_path / "disk.raw", [Partition(size=34, content="vfat"), Partition(size=320)])
    else:
        image = makedisk.make(tmp_path / "disk.raw", [Partition(size=34, content="vfat"), Partition(size=64, content="ext4")])
    tree = tmp_path / "sysroot"
    with makedisk.loop_with_partitions(image) as loop:
        if fs == "xfs":
            makedisk.run("mkfs.xfs", "-q", f"{loop}p2")
        with mounted((f"{loop}p2", str(tree), "")):
            makedisk.write_tree(tree, {**SYSTEM, "etc/fstab": ""})
            document = dps_tag("apply", "--root", tree)
            assert document["applied"] and types(loop)[2] == makedisk.ROOT_X86_64


@needs_mounts
def test_lock_is_respected(tmp_path):
    """Somebody who holds the lock is named, and the disk stays as it is."""
    image = makedisk.make(tmp_path / "disk.raw", installed())
    with makedisk.loop_with_partitions(image) as loop:
        holder = subprocess.Popen(["flock", "-x", loop, "sleep", "30"])
        try:
            run("sh", "-c", f"for i in $(seq 50); do flock -n -x {loop} true || exit 0; sleep 0.1; done; exit 1")
            failure = dps_tag("apply", loop, "root:x86_64=3", "--lock", "nonblock", code=3)
        finally:
            holder.kill()
            holder.wait()
        assert failure["error"]["code"] == "busy"
        assert types(loop)[3] == makedisk.GENERIC


REFUSALS = [
    # (assignments, what the message must name, code)
    (["root:x86_64=9"], "partition 9", "not-found"),
    (["root=3"], "--arch", "refused"),
    (["root:x86_64=6"], "LVM2_member", "refused"),
    (["home=6"], "LVM2_member", "refused"),
    (["swap=2"], "no swap signature", "refused"),
    (["esp=2"], "FAT", "refused"),
    (["home=4"], "swap", "refused"),
    (["root:x86_64=1"], "vfat", "refused"),
    (["root:x86_64=LABEL=nothing"], "nothing", "not-found"),
    (["root:x86_64=LABEL=same"], "LABEL=same", "ambiguous"),
    (["root:x86_64=2", "usr:x86_64=2"], "assigned twice", "invalid"),
    (["root:x86_64=2", "root:x86_64=5"], "given twice", "invalid"),
    (["root-verity:x86_64=2"], "verity", "refused"),
    (["home:x86_64=2"], "architecture", "invalid"),
    (["root:x86_64=2", "--btrfs-default", "root"], "only a btrfs", "refused"),
]


def refusal_image(tmp_path: pathlib.Path) -> pathlib.Path:
    return makedisk.make(tmp_path / "disk.raw", [
        Partition(size=34, content="vfat"),
        Partition(size=16, content="ext4", label="same"),
        Partition(size=112, content="btrfs", files=makedisk.TREE),
        Partition(size=8, content="swap"),
        Partition(size=16, content="ext4", label="same"),
        Partition(size=8, type=LVM, content="LVM2_member"),
    ])


@pytest.mark.parametrize("words,names,code", REFUSALS, ids=[" ".join(row[0]) for row in REFUSALS])
def test_refusals_leave_every_byte(tmp_path, words, names, code):
    image = refusal_image(tmp_path)
    before = digest(image)
    done = run(DPS_TAG, "apply", image, *words, "--json", code=None)
    assert done.returncode == (2 if code == "invalid" else 3), done.stdout + done.stderr
    error = json.loads(done.stdout)["error"]
    assert error["code"] == code and names in error["message"], error
    assert digest(image) == before


def test_another_root_would_win(tmp_path):
    image = makedisk.make(tmp_path / "disk.raw", [
        Partition(size=16, type=makedisk.ROOT_X86_64, content="ext4", name="zz"), Partition(size=16, content="ext4")])
    before = digest(image)
    failure = dps_tag("apply", image, "root:x86_64=2", code=3)
    assert failure["error"]["partition"] == 1
    assert "linux-generic=1" in failure["error"]["message"] and "same=1,no-auto" in failure["error"]["message"]
    assert digest(image) == before

    document = dps_tag("apply", image, "root:x86_64=2", "same=1,no-auto")
    assert document["applied"] and [change["kind"] for change in document["changes"]] == ["flags", "type"]


def test_systemd_finds_it(tmp_path):
    """systemd-dissect's own word on the result: root, /srv and swap, by type."""
    if os.geteuid() != 0 or not pathlib.Path("/usr/bin/systemd-dissect").exists():
        pytest.skip("SKIP: needs root and systemd-dissect")
    image = makedisk.make(tmp_path / "disk.raw", [
        Partition(size=34, content="vfat"), Partition(size=32, content="ext4", files={**SYSTEM, "usr/lib/os-release": "ID=t\n"}),
        Partition(size=16, content="ext4"), Partition(size=8, content="swap")])
    dps_tag("apply", image, "esp=1", "root:x86_64=2", "srv=3", "swap=4")
    done = run("systemd-dissect", "--json=short", image, code=None)
    if done.returncode != 0:
        pytest.skip(f"SKIP: systemd-dissect does not work here: {done.stderr.strip()}")
    found = {mount["designator"]: mount["partno"] for mount in json.loads(done.stdout)["mounts"]}
    assert found == {"esp": 1, "root": 2, "srv": 3, "swap": 4}


def test_backup_cannot_be_written(tmp_path):
    """Nothing is touched before the backup is on the medium."""
    image = makedisk.make(tmp_path / "disk.raw", installed(subvolumes=()))
    before = digest(image)
    (tmp_path / "there.json").write_text("mine")
    for name in ("missing/backup.json", "there.json"):
        failure = dps_tag("apply", image, "root:x86_64=3", "--backup", tmp_path / name, code=3)
        assert "backup" in failure["error"]["message"]
    assert (tmp_path / "there.json").read_text() == "mine"
    assert digest(image) == before


def test_undo_refuses_what_changed_since(tmp_path):
    image = makedisk.make(tmp_path / "disk.raw", installed(subvolumes=()))
    backup = tmp_path / "backup.json"
    dps_tag("apply", image, "home=5", "srv=2", "--backup", backup)
    run("sfdisk", "-q", "--part-type", image, 5, SWAP)
    before = digest(image)
    failure = dps_tag("undo", backup, image, code=3)
    assert failure["error"]["code"] == "changed" and failure["error"]["partition"] == 5
    assert digest(image) == before

    other = makedisk.make(tmp_path / "other.raw", installed(subvolumes=()))
    run("sfdisk", "-q", "--disk-id", other, "11111111-2222-4333-8444-555555555555")
    assert "the backup is of" in dps_tag("undo", backup, other, code=3)["error"]["message"]


def test_bad_backup_copy_is_left_without_a_change(tmp_path):
    """Nothing is repaired unasked; with a change, the backup copy is made good first, and it is said."""
    image = makedisk.make(tmp_path / "disk.raw", installed(subvolumes=()))
    with open(image, "r+b") as file:
        file.seek(-512 + 16, os.SEEK_END)  # the checksum of the backup header
        file.write(b"\0\0\0\0")
    before = digest(image)
    assert dps_tag("apply", image, "same=3,no-growfs")["changes"] == [] and digest(image) == before

    document = dps_tag("apply", image, "home=5")
    assert [change["kind"] for change in document["changes"]] == ["table", "type"]
    assert "gpt-backup-misplaced" in [finding["code"] for finding in document["findings"]]
    assert "No problems found" in run("sgdisk", "-v", image).stdout
