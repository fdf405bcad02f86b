# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every finding: a disk that makes it fire, and one that keeps it silent.

tests/lint/findings.py wants test_CODE_fires and test_CODE_silent for each code.  The disks are made
by sfdisk, mkfs and friends (makedisk), and faults are planted with sgdisk or by hand.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import zlib

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "data"))
import makedisk
import makepe
import sanitizers
from makedisk import Partition

DPS_TAG = os.environ["DPS_TAG"]
SECTOR = 512
SWAP = "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"
TMP = "7ec6f557-3bc5-4aca-b293-16ef5df639d1"
BIOS_BOOT = "21686148-6449-6e6f-744e-656564454649"

needs_mounts = pytest.mark.skipif(
    not makedisk.can_mount(), reason="SKIP: needs root, loop devices and btrfs in the kernel"
)


def dps_tag(*words: object, codes: tuple[int, ...] = (0, 1)) -> dict:
    done = subprocess.run(
        [DPS_TAG, *map(str, words), "--json"], capture_output=True, text=True, env=makedisk.path_of_tools(), check=False
    )
    assert done.returncode in codes, f"{words}: {done.returncode}: {done.stdout}{done.stderr}"
    return json.loads(done.stdout)


def check(image: object, *more: object) -> list[dict]:
    return dps_tag("check", image, *more)["disks"][0]["findings"]


def codes(findings: list[dict]) -> list[str]:
    return [finding["code"] for finding in findings]


def only(findings: list[dict], code: str) -> dict:
    found = [finding for finding in findings if finding["code"] == code]
    assert len(found) == 1, findings
    return found[0]


LOADER = {"EFI/BOOT/BOOTX64.EFI": makepe.systemd_boot()}
UKI = {**LOADER, "EFI/Linux/test.efi": makepe.uki("quiet")}


def entry_of(options: str) -> dict:
    return {**LOADER, "loader/entries/test.conf": f"linux /linux\noptions {options}\n", "linux": makepe.kernel()}


def esp(**more: object) -> Partition:
    return Partition(**{"size": 34, "type": makedisk.ESP, "content": "vfat", "files": UKI, **more})


def root(**more: object) -> Partition:
    return Partition(**{"size": 32, "type": makedisk.ROOT_X86_64, "content": "ext4", "files": makedisk.TREE, **more})


def sound(tmp_path: pathlib.Path, *more: Partition) -> pathlib.Path:
    return makedisk.make(tmp_path / "sound.raw", [esp(), root(), *more])


def flip_byte(image: pathlib.Path, offset: int) -> None:
    with open(image, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0xFF]))


# --- The partition table ---


def test_gpt_missing_fires(tmp_path):
    image = tmp_path / "bare.raw"
    image.write_bytes(bytes(makedisk.MIB))
    makedisk.run("mkfs.ext4", "-q", "-F", image)
    assert only(check(image), "gpt-missing")["severity"] == "error"


def test_gpt_missing_silent(tmp_path):
    assert "gpt-missing" not in codes(check(sound(tmp_path)))


def make_mbr(tmp_path: pathlib.Path) -> pathlib.Path:
    image = tmp_path / "mbr.raw"
    with open(image, "wb") as file:
        file.truncate(16 * makedisk.MIB)
    makedisk.run("sfdisk", "-q", image, input="label: dos\nsize=8M, type=83\n")
    return image


def test_mbr_only_fires(tmp_path):
    found = check(make_mbr(tmp_path))
    assert only(found, "mbr-only")["severity"] == "error"
    assert "gpt-missing" not in codes(found)


def test_mbr_only_silent(tmp_path):
    assert "mbr-only" not in codes(check(sound(tmp_path)))


def test_gpt_primary_bad_fires(tmp_path):
    image = sound(tmp_path)
    flip_byte(image, SECTOR + 24)  # my LBA: the checksum of the header is wrong
    found = only(check(image), "gpt-primary-bad")
    assert found["severity"] == "error" and "backup copy is good" in found["message"]


def test_gpt_primary_bad_fires_on_both(tmp_path):
    image = sound(tmp_path)
    flip_byte(image, SECTOR + 24)
    flip_byte(image, image.stat().st_size - SECTOR + 24)
    assert only(check(image), "gpt-primary-bad")["severity"] == "error"


def test_gpt_primary_bad_silent(tmp_path):
    assert "gpt-primary-bad" not in codes(check(sound(tmp_path)))


def test_gpt_backup_misplaced_fires(tmp_path):
    image = sound(tmp_path)
    with open(image, "r+b") as file:
        file.truncate(image.stat().st_size + 8 * makedisk.MIB)
    assert only(check(image), "gpt-backup-misplaced")["severity"] == "warning"


def test_gpt_backup_misplaced_silent(tmp_path):
    assert "gpt-backup-misplaced" not in codes(check(sound(tmp_path)))


def copy_backup_over(image: pathlib.Path, other: pathlib.Path) -> None:
    """The backup copy of one image into another of the same size."""
    with open(image, "rb") as from_file, open(other, "r+b") as to_file:
        from_file.seek(-33 * SECTOR, os.SEEK_END)
        to_file.seek(-33 * SECTOR, os.SEEK_END)
        to_file.write(from_file.read())


def test_gpt_copies_differ_fires(tmp_path):
    image = sound(tmp_path)
    older = tmp_path / "older.raw"
    older.write_bytes(image.read_bytes())
    makedisk.run("sfdisk", "-q", "--part-label", image, 2, "renamed")
    copy_backup_over(older, image)
    assert "gpt-copies-differ" in codes(check(image))


def test_gpt_copies_differ_silent(tmp_path):
    assert "gpt-copies-differ" not in codes(check(sound(tmp_path)))


def cut_off(image: pathlib.Path) -> None:
    """As a write is left behind its third step: the primary header points at the backup's entries."""
    with open(image, "r+b") as file:
        file.seek(SECTOR)
        header = bytearray(file.read(SECTOR))
        file.seek(-SECTOR, os.SEEK_END)
        backup = file.read(SECTOR)
        header[72:80] = backup[72:80]
        header[16:20] = bytes(4)
        header[16:20] = struct.pack("<I", zlib.crc32(bytes(header[:92])))
        file.seek(SECTOR)
        file.write(header)


def test_gpt_half_written_fires(tmp_path):
    image = sound(tmp_path)
    cut_off(image)
    assert only(check(image), "gpt-half-written")["severity"] == "warning"


def test_gpt_half_written_fires_worse_when_grown(tmp_path):
    image = sound(tmp_path)
    cut_off(image)
    makedisk.run("truncate", "--size", "+8M", image)
    makedisk.run("sgdisk", "-e", image)
    assert only(check(image), "gpt-half-written")["severity"] == "error"


def test_gpt_half_written_silent(tmp_path):
    assert "gpt-half-written" not in codes(check(sound(tmp_path)))


def test_partuuid_is_type_fires(tmp_path):
    image = makedisk.make(tmp_path / "d.raw", [esp(), root(uuid=makedisk.ROOT_X86_64)])
    found = only(check(image), "partuuid-is-type")
    assert found["partition"] == 2 and "root-x86-64" in found["message"]


def test_partuuid_is_type_silent(tmp_path):
    assert "partuuid-is-type" not in codes(check(sound(tmp_path)))


# --- The EFI system partition ---


def test_esp_missing_fires(tmp_path):
    image = makedisk.make(tmp_path / "d.raw", [root()])
    assert only(check(image), "esp-missing")["severity"] == "error"


def test_esp_missing_silent(tmp_path):
    assert "esp-missing" not in codes(check(sound(tmp_path)))


def test_esp_missing_silent_on_bios(tmp_path):
    image = makedisk.make(tmp_path / "d.raw", [Partition(size=1, type=BIOS_BOOT), root()])
    assert "esp-missing" not in codes(check(image))


def test_esp_not_fat_fires(tmp_path):
    image = makedisk.make(tmp_path / "d.raw", [esp(content="ext4"), root()])
    found = only(check(image), "esp-not-fat")
    assert found["severity"] == "error" and "ext4" in found["message"]


def test_esp_not_fat_silent(tmp_path):
    assert "esp-not-fat" not in codes(check(sound(tmp_path)))


def test_esp_multiple_fires(tmp_path):
    found = only(check(makedisk.make(tmp_path / "d.raw", [esp(), esp(), root()])), "esp-multiple")
    assert found["severity"] == "warning" and found["partition"] == 2


def test_esp_multiple_silent(tmp_path):
    assert "esp-multiple" not in codes(check(sound(tmp_path)))


def test_esp_multiple_silent_when_hidden(tmp_path):
    image = makedisk.make(tmp_path / "d.raw", [esp(attrs="NoBlockIOProtocol"), esp(), root()])
    assert "esp-multiple" not in codes(check(image))


@pytest.mark.parametrize(("more", "severity"), [
    ({}, "error"), ({"attrs": "GUID:63"}, "warning"), ({"type": "773f91ef-66d4-49b5-bd83-d683bf40ad16"}, "warning"),
])  # fmt: skip
def test_fs_ambiguous_where_systemd_looks(tmp_path, more, severity):
    """Two signatures lose the whole disk where systemd looks for a file system, and nothing elsewhere."""
    home = Partition(**{"size": 16, "type": "933ac7e1-2eb4-4f13-b844-0e14e2aef915", "content": "ext4", **more})
    image = makedisk.make(tmp_path / "d.raw", [esp(), root(), home])
    xfs = makedisk.make(tmp_path / "xfs.raw", [Partition(size=320, content="xfs")])
    with open(image, "r+b") as file, open(xfs, "rb") as other:
        other.seek(makedisk.MIB)
        file.seek((1 + 34 + 32) * makedisk.MIB)
        file.write(other.read(512))
    found = check(image)
    assert only(found, "fs-ambiguous")["severity"] == severity
    assert severity == "error" or "error" not in [finding["severity"] for finding in found]


HOME = "933ac7e1-2eb4-4f13-b844-0e14e2aef915"


@needs_mounts
@pytest.mark.parametrize(("home_type", "severity"), [(HOME, "error"), (makedisk.GENERIC, "warning")])
def test_content_unreadable_fires(tmp_path, home_type, severity):
    """More of it, and what else is said then, in tests/cli/test_unreadable.py."""
    image = sound(tmp_path, Partition(size=16, type=home_type, content="ext4"))
    start = makedisk.table(image)["partitions"][2]["start"] * SECTOR
    with makedisk.with_bad_blocks({image: [start]}) as place:
        found = check(place / image.name)
    assert only(found, "content-unreadable")["severity"] == severity
    assert [f["code"] for f in found if f["severity"] == "error"] == ["content-unreadable"] * (severity == "error")


def test_content_unreadable_silent(tmp_path):
    assert "content-unreadable" not in codes(check(sound(tmp_path, Partition(size=16, type=HOME))))


def test_many_of_everything(tmp_path):
    """As many ESPs, lines of fstab and command lines as are read: each is not held against each, in
    the time that a reader has."""
    entries = {f"loader/entries/{n}.conf": f"title {n}\nlinux /linux\noptions root=/dev/sda{n}\n" for n in range(32)}
    fstab = "".join(f"UUID={n:08x}-1111-4222-8333-444444444444 /m{n} ext4 nofail 0 0\n" for n in range(4096))
    image = makedisk.make(tmp_path / "d.raw", [esp(files={**UKI, "linux": "", **entries}), root(files={**makedisk.TREE, "etc/fstab": fstab})], gap=18)
    old = json.loads(makedisk.run("sfdisk", "--json", image))["partitiontable"]["partitions"]
    first = (old[-1]["start"] + old[-1]["size"]) // 8 * 8 + 8
    lines = [f"start={part['start']}, size={part['size']}, type={part['type']}" for part in old]
    lines += [f"start={first + n * 8}, size=8, type={makedisk.ESP}" for n in range(1022)]
    makedisk.run("sfdisk", "--quiet", "--wipe=never", "--wipe-partitions=never", image,
                 input="label: gpt\ntable-length: 1024\n" + "\n".join(lines) + "\n")
    assert "esp-multiple" in codes(check(image))


def write_to_partitions(image, first, data):
    """The same bytes to the start of this partition and all behind it."""
    for part in json.loads(makedisk.run("sfdisk", "--json", image))["partitiontable"]["partitions"][first - 1:]:
        with open(image, "r+b") as file:
            file.seek(part["start"] * 512)
            file.write(data)


@pytest.mark.skipif(sanitizers.is_sanitized(DPS_TAG), reason="SKIP: a sanitizer reads all of a string in each strstr(3)")
def test_many_tokens(tmp_path):
    """LUKS headers full of keys without a value are read once, in the time that a reader has."""
    size = 4 << 20
    head = b"LUKS\xba\xbe\0\2" + struct.pack(">Q", size) + bytes(152) + b"11111111-2222-4333-8444-555555555555"
    json_area = (b'"tpm2-pcrs"' * (size // 11))[:size - 4096 - 1] + b"["
    image = makedisk.make(tmp_path / "d.raw", [esp(), root(), *[Partition(size=5)] * 12])
    write_to_partitions(image, 3, head.ljust(4096, b"\0") + json_area)
    assert "pcr5-warning" not in codes(check(image))


def test_many_root_hashes(tmp_path):
    """The hashes of each partition are computed once, whatever asks for them."""
    entries = {f"loader/entries/{n}.conf": f"title {n}\nlinux /linux\noptions roothash={n:04x}{'ab' * 30}\n" for n in range(500)}
    superblock = b"verity\0\0" + struct.pack("<II", 1, 1) + bytes(16) + b"sha256".ljust(32, b"\0") + \
        struct.pack("<IIQH6x", 4096, 512 << 10, 100, 32)
    image = makedisk.make(tmp_path / "d.raw", [esp(files={**UKI, "linux": "", **entries}), root(), *[Partition(size=1)] * 124])
    write_to_partitions(image, 3, superblock)
    assert "verity-unpaired" in codes(check(image))


# --- Root ---


def test_root_missing_fires(tmp_path):
    image = makedisk.make(tmp_path / "d.raw", [esp(), root(type=makedisk.GENERIC)])
    found = only(check(image), "root-missing")
    assert found["severity"] == "error" and "root:x86_64=2" in found["hint"]


def test_root_missing_silent(tmp_path):
    assert "root-missing" not in codes(check(sound(tmp_path)))


def test_root_missing_info_when_every_entry_has_root(tmp_path):
    """A disk that boots has no errors: nothing relies on discovery."""
    files = entry_of(f"root=UUID={fs_uuid(2)}")
    found = check(makedisk.make(tmp_path / "d.raw", [esp(files=files), root(type=makedisk.GENERIC)]))
    assert only(found, "root-missing")["severity"] == "info"
    assert not [finding for finding in found if finding["severity"] == "error"]


@pytest.mark.parametrize(("files", "more", "numbers"), [
    ({"notes": "x"}, (), ""),
    (makedisk.TREE, (), "2"),
    ({"notes": "x"}, (Partition(size=20, content="crypto_LUKS"), Partition(size=320, content="xfs")), "34"),
    (makedisk.TREE, (Partition(size=8, content="ext4", files=makedisk.TREE),), "23"),
])
def test_root_missing_hints_at_systems(tmp_path, files, more, numbers):
    """And at what may be one; of a disk with data alone nothing is root."""
    image = makedisk.make(tmp_path / "d.raw", [esp(), root(type=makedisk.GENERIC, files=files), *more])
    found = only(check(image), "root-missing")
    assert found["severity"] == "error"
    assert "".join(re.findall("root(?::x86_64)?=([0-9])", found["hint"] or "")) == numbers, found


def test_root_missing_of_data_alone(tmp_path):
    """There is no entry: that is an error, and no partition of it can mend it."""
    found = only(check(makedisk.make(tmp_path / "d.raw", [Partition(size=8, content="ext4", files={"notes": "x"})])), "root-missing")
    assert (found["severity"], found["hint"]) == ("error", None)


def test_uki_no_cmdline_no_root_fires(tmp_path):
    found = check(makedisk.make(tmp_path / "d.raw", [esp(), root(type=makedisk.GENERIC)]))
    assert only(found, "uki-no-cmdline-no-root")["path"] == "/EFI/Linux/test.efi"
    assert [finding["code"] for finding in found if finding["severity"] == "error"] == ["root-missing"]


def test_uki_no_cmdline_no_root_silent(tmp_path):
    files = {**LOADER, "EFI/Linux/test.efi": makepe.uki(f"root=UUID={fs_uuid(2)}")}
    image = makedisk.make(tmp_path / "d.raw", [esp(files=files), root(type=makedisk.GENERIC)])
    assert "uki-no-cmdline-no-root" not in codes(check(image))


def test_root_foreign_arch_fires(tmp_path):
    found = check(sound(tmp_path), "--arch", "aarch64")
    assert only(found, "root-foreign-arch")["partition"] == 2
    assert "root-missing" not in codes(found)


def test_root_foreign_arch_silent(tmp_path):
    """Also on a disk for two architectures."""
    image = sound(tmp_path, root(type=makedisk.ROOT_ARM64))
    assert "root-foreign-arch" not in codes(check(image, "--arch", "aarch64"))


def test_root_multiple_fires(tmp_path):
    image = sound(tmp_path, root(name="newer"))
    found = only(check(image), "root-multiple")
    assert found["partition"] == 3  # a label wins over none


def test_root_multiple_silent(tmp_path):
    image = sound(tmp_path, root(name="newer", attrs="GUID:63"))
    assert "root-multiple" not in codes(check(image))


def test_root_type_on_pv_fires(tmp_path):
    image = makedisk.make(tmp_path / "d.raw", [esp(), root(content="LVM2_member", files={})])
    found = check(image)
    assert only(found, "root-type-on-pv")["severity"] == "error"
    assert "root-missing" not in codes(found)


def test_root_type_on_pv_silent(tmp_path):
    assert "root-type-on-pv" not in codes(check(sound(tmp_path)))


def btrfs_root(**more: object) -> Partition:
    return root(**{"size": 112, "content": "btrfs", "subvolumes": ("root", "home"), **more})


@needs_mounts
def test_btrfs_no_default_subvol_fires(tmp_path):
    image = makedisk.make(tmp_path / "d.raw", [esp(), btrfs_root()])
    assert only(check(image), "btrfs-no-default-subvol")["severity"] == "error"


@needs_mounts
def test_btrfs_no_default_subvol_silent(tmp_path):
    image = makedisk.make(tmp_path / "d.raw", [esp(), btrfs_root(default="root")])
    assert "btrfs-no-default-subvol" not in codes(check(image))


@needs_mounts
def test_btrfs_default_not_root_fires(tmp_path):
    files = {**makedisk.TREE, "etc/fstab": f"UUID={fs_uuid(2)} / btrfs subvol=home 0 0\n"}
    image = makedisk.make(tmp_path / "d.raw", [esp(), btrfs_root(default="root", files=files)])
    assert only(check(image), "btrfs-default-not-root")["severity"] == "warning"


@needs_mounts
def test_btrfs_default_not_root_silent(tmp_path):
    files = {**makedisk.TREE, "etc/fstab": f"UUID={fs_uuid(2)} / btrfs subvol=root 0 0\n"}
    image = makedisk.make(tmp_path / "d.raw", [esp(), btrfs_root(default="root", files=files)])
    assert "btrfs-default-not-root" not in codes(check(image))


@needs_mounts
def test_cmdline_subvol_missing_fires(tmp_path):
    loader = entry_of(f"root=UUID={fs_uuid(2)} rootflags=subvol=gone")
    image = makedisk.make(tmp_path / "d.raw", [esp(files=loader), btrfs_root(default="root")])
    assert only(check(image), "cmdline-subvol-missing")["severity"] == "error"


@needs_mounts
def test_cmdline_subvol_missing_silent(tmp_path):
    loader = entry_of(f"root=UUID={fs_uuid(2)} rootflags=subvol=root")
    image = makedisk.make(tmp_path / "d.raw", [esp(files=loader), btrfs_root(default="root")])
    assert "cmdline-subvol-missing" not in codes(check(image))


def make_raid(tmp_path: pathlib.Path) -> pathlib.Path:
    """A disk whose root is one of the two devices of a btrfs."""
    image = makedisk.make(tmp_path / "d.raw", [esp(), root(size=128, content=None, files={})])
    devices = [tmp_path / "one", tmp_path / "two"]
    for device in devices:
        with open(device, "wb") as file:
            file.truncate(128 * makedisk.MIB)
    makedisk.run("mkfs.btrfs", "-q", "-f", "-m", "raid1", "-d", "raid1", *devices)
    makedisk.copy_into(image, devices[0], 35 * makedisk.MIB)
    return image


def test_btrfs_multi_device_fires(tmp_path):
    assert only(check(make_raid(tmp_path)), "btrfs-multi-device")["partition"] == 2


def test_btrfs_multi_device_silent(tmp_path):
    image = makedisk.make(tmp_path / "d.raw", [esp(), root(size=112, content="btrfs")])
    assert "btrfs-multi-device" not in codes(check(image))


def test_dps_summary_fires(tmp_path):
    found = [finding for finding in check(sound(tmp_path)) if finding["code"] == "dps-summary"]
    assert found[0]["partition"] is None and found[0]["message"] == "root is discoverable on x86-64: yes"
    assert {finding["partition"] for finding in found} == {None, 1, 2}
    found = check(makedisk.make(tmp_path / "d.raw", [esp(), root(attrs="GUID:63")]))
    assert next(f for f in found if f["code"] == "dps-summary")["message"].startswith(
        "root is discoverable on x86-64: no: ")


def summary(findings: list[dict]) -> dict[int | None, str]:
    return {finding["partition"]: finding["message"] for finding in findings if finding["code"] == "dps-summary"}


def test_dps_summary_says_which_version_does_what(tmp_path):
    more = [Partition(size=34, type=makedisk.XBOOTLDR, content="ext4"),
            Partition(size=2, type=SWAP, content="swap", attrs="GUID:63"),
            Partition(size=2, type=SWAP, content="swap"),
            Partition(size=2, type="933ac7e1-2eb4-4f13-b844-0e14e2aef915", content="ext4", mkfs=("-t", "ext2"))]
    files = {**makedisk.TREE, "srv/.hidden": "x", "etc/fstab": "LABEL=x /boot/efi vfat umask=077 0 0\n"}
    said = summary(check(makedisk.make(tmp_path / "d.raw", [esp(), root(files=files), *more])))
    assert said[None] == "root is discoverable on x86-64: yes"
    assert said[1] == ("systemd 252 to 255 mounts it at /efi when it is asked for; "
                       "256 and newer leaves it alone: fstab has a line for /boot/efi")
    assert said[2] == "systemd mounts it at /"
    assert said[3] == ("systemd 252 to 255 mounts it at /boot when it is asked for; "
                       "256 and newer leaves it alone: fstab has a line for /boot/efi")
    assert said[4] == "systemd leaves it alone: it is marked no-auto"
    assert said[5] == "systemd enables it as swap"
    assert said[6] == ("systemd 252 to 253 mounts it at /home; 254 to 257 leaves it alone: ext2 is not on systemd's list; "
                       "258 and newer mounts it at /home, if ext2 is mounted though it is not on systemd's list")


DEPLOYMENT = "ostree/deploy/fedora/deploy/0123abcd.0/"


@pytest.mark.parametrize("content", ["ext4", pytest.param("btrfs", marks=needs_mounts)])
def test_image_mode_is_a_system(tmp_path, content):
    """ostree and bootc have nothing at the top: the system is in a deployment, with its own /etc."""
    tree = {"etc/machine-id": "3d1219c7c4c5404aaa1f6d2a48adfda4\n", "etc/fstab": "LABEL=x /home ext4 defaults 0 0\n",
            "usr/lib/os-release": makedisk.TREE["etc/os-release"], "usr/bin/true": pathlib.Path("/usr/bin/true").read_bytes()}
    files = {"ostree/deploy/fedora/deploy/0123.origin": "", "ostree/deploy/broken/deploy/a.0/": None,
             **{DEPLOYMENT + name: text for name, text in tree.items()}}
    more = {"size": 112, "content": "btrfs", "subvolumes": ("root", "var"), "default": "root"} if content == "btrfs" else {}
    var = Partition(size=2, type="4d21b016-b534-45c2-a9fb-5c16e091fd2d", content="ext4")
    image = makedisk.make(tmp_path / "d.raw", [esp(files=LOADER), root(files=files, type=makedisk.GENERIC, **more), var])
    found = check(image)
    assert "root=2`" in only(found, "root-missing")["hint"]
    assert "24e43059-9734-49cd-a32e-bcae30d648ed" in only(found, "var-partuuid-mismatch")["message"]
    assert not [finding for finding in found if finding["code"] == "not-judged"]
    plan = dps_tag("plan", image)
    assert [(one["role"], one["partition"], one["arch"]) for one in plan["assignments"]] == [("root", 2, "x86_64")]


def test_dps_summary_by_entry(tmp_path):
    """Where command lines differ in what becomes of root, each entry says its own."""
    files = {**UKI, "EFI/Linux/other.efi": makepe.uki(f"root=UUID={fs_uuid(2)}")}
    found = [finding for finding in check(makedisk.make(tmp_path / "d.raw", [esp(files=files), root()]))
             if finding["code"] == "dps-summary" and finding["partition"] == 2]
    assert {finding["path"]: finding["message"] for finding in found} == {
        "/EFI/Linux/test.efi": "systemd mounts it at /",
        "/EFI/Linux/other.efi": "systemd leaves it alone: root= says what root is"}


def test_dps_summary_silent(tmp_path):
    """It always has something to say, and can be told not to."""
    assert "dps-summary" not in codes(check(sound(tmp_path), "--ignore", "dps-summary"))


def write_tree(tmp_path: pathlib.Path, fstab: str, **files: str) -> pathlib.Path:
    tree = tmp_path / "tree"
    makedisk.write_tree(tree, {**makedisk.TREE, "etc/fstab": fstab,
                               "usr/bin/true": pathlib.Path("/usr/bin/true").read_bytes(),
                               **{name.replace("__", "/"): text for name, text in files.items()}})
    return tree


def fs_uuid(number: int) -> str:
    return f"{number:08x}-aaaa-4bbb-8ccc-dddddddddddd"  # as makedisk gives them


def test_tmp_type_on_tmp_fires(tmp_path):
    image = sound(tmp_path, Partition(size=32, type=TMP, content="ext4"))
    tree = write_tree(tmp_path, f"UUID={fs_uuid(3)} /tmp ext4 defaults 0 0\n")
    assert only(check(image, "--root", tree), "tmp-type-on-tmp")["partition"] == 3


def test_tmp_type_on_tmp_silent(tmp_path):
    image = sound(tmp_path, Partition(size=32, type=TMP, content="ext4"))
    tree = write_tree(tmp_path, f"UUID={fs_uuid(3)} /var/tmp ext4 defaults 0 0\n")
    assert "tmp-type-on-tmp" not in codes(check(image, "--root", tree))


# --- Plan and apply ---


def plan(image: object, *more: object, exit_codes: tuple[int, ...] = (0, 1)) -> list[dict]:
    return dps_tag("plan", image, *more, codes=exit_codes)["findings"]


def test_assigned_content_unknown_fires(tmp_path):
    image = makedisk.make(tmp_path / "d.raw", [Partition(size=8)])
    assert only(plan(image, "home=1"), "assigned-content-unknown")["severity"] == "warning"


def test_assigned_content_unknown_silent(tmp_path):
    image = makedisk.make(tmp_path / "d.raw", [Partition(size=8), Partition(size=32, content="ext4")])
    assert plan(image, "home=2", "bios-boot=1") == []


def test_root_no_auto_fires(tmp_path):
    assert "root-no-auto" in codes(plan(sound(tmp_path), "root:x86_64=2,no-auto"))


def test_root_no_auto_silent(tmp_path):
    assert "root-no-auto" not in codes(plan(sound(tmp_path), "root:x86_64=2"))


ROOT_LINE = f"UUID={fs_uuid(2)} / ext4 defaults 0 0\n"


def test_detected_skipped_fires(tmp_path):
    tree = write_tree(tmp_path, ROOT_LINE + "UUID=12345678-1234-1234-1234-123456789abc /home ext4 defaults 0 0\n")
    found = only(plan(sound(tmp_path), "--root", tree), "detected-skipped")
    assert found["severity"] == "info" and "/home" in found["message"]


def test_detected_skipped_silent(tmp_path):
    tree = write_tree(tmp_path, ROOT_LINE + "tmpfs /tmp tmpfs defaults 0 0\n")
    assert plan(sound(tmp_path), "--root", tree) == []


def fat_boot_tree(tmp_path: pathlib.Path) -> pathlib.Path:
    return write_tree(tmp_path, ROOT_LINE + "UUID=ABCD-0001 /boot vfat defaults 0 0\n")


def test_boot_unclear_fires(tmp_path):
    image = makedisk.make(tmp_path / "d.raw", [esp(type=makedisk.GENERIC, files={}), root()])
    found = only(plan(image, "--root", fat_boot_tree(tmp_path)), "boot-unclear")
    assert "esp=1" in found["hint"] and "xbootldr=1" in found["hint"]


def test_boot_unclear_silent(tmp_path):
    """It is XBOOTLDR where another partition is the ESP."""
    image = makedisk.make(tmp_path / "d.raw", [esp(type=makedisk.GENERIC), root(), esp()])
    assert "boot-unclear" not in codes(plan(image, "--root", fat_boot_tree(tmp_path)))


def ext4_boot_tree(tmp_path: pathlib.Path) -> pathlib.Path:
    return write_tree(tmp_path, ROOT_LINE + f"UUID={fs_uuid(3)} /boot ext4 defaults 0 0\n")


def test_xbootldr_not_fat_fires(tmp_path):
    image = sound(tmp_path, Partition(size=32, type=makedisk.XBOOTLDR, content="ext4"))
    found = only(plan(image, "--root", ext4_boot_tree(tmp_path)), "xbootldr-not-fat")
    assert found["partition"] == 3


def test_xbootldr_not_fat_silent(tmp_path):
    """An ext4 /boot without the type never gets it, and there is nothing to say."""
    image = sound(tmp_path, Partition(size=32, content="ext4"))
    document = dps_tag("plan", image, "--root", ext4_boot_tree(tmp_path))
    assert document["findings"] == [] and document["changes"] == []


def test_tree_on_no_disk_fires(tmp_path):
    document = dps_tag("plan", "--root", write_tree(tmp_path, ""), codes=(0,))
    assert only(document["findings"], "tree-on-no-disk")["severity"] == "info"
    assert document["disk"] is None and document["changes"] == []


def test_tree_on_no_disk_silent(tmp_path):
    assert "tree-on-no-disk" not in codes(plan(sound(tmp_path), "--root", write_tree(tmp_path, ROOT_LINE)))


@needs_mounts
def test_btrfs_default_kept_fires(tmp_path):
    image = makedisk.make(tmp_path / "d.raw", [esp(), btrfs_root(default="root")])
    found = only(plan(image, "root:x86_64=2", "--btrfs-default", "keep"), "btrfs-default-kept")
    assert found["severity"] == "info"


@needs_mounts
def test_btrfs_default_kept_silent(tmp_path):
    image = makedisk.make(tmp_path / "d.raw", [esp(), btrfs_root()])
    assert "btrfs-default-kept" not in codes(plan(image, "root:x86_64=2"))


def test_btrfs_default_unseen_fires(tmp_path):
    image = makedisk.make(tmp_path / "d.raw", [esp(), root(content="crypto_LUKS", files={})])
    assert only(plan(image, "root:x86_64=2"), "btrfs-default-unseen")["severity"] == "info"


def test_btrfs_default_unseen_silent(tmp_path):
    assert "btrfs-default-unseen" not in codes(plan(sound(tmp_path), "root:x86_64=2"))


@needs_mounts
def test_udev_not_updated_fires(tmp_path):
    if os.path.exists("/run/udev/control"):
        pytest.skip("SKIP: udev runs here")
    image = makedisk.make(tmp_path / "d.raw", [esp(), root(type=makedisk.GENERIC)])
    with makedisk.loop_with_partitions(image) as loop:
        document = dps_tag("apply", loop, "root:x86_64=2", "--backup", "none")
    assert "udev-not-updated" in codes(document["findings"])


@needs_mounts
def test_udev_not_updated_is_in_the_text(tmp_path):
    if os.path.exists("/run/udev/control"):
        pytest.skip("SKIP: udev runs here")
    image = makedisk.make(tmp_path / "d.raw", [esp(), root(type=makedisk.GENERIC)])
    with makedisk.loop_with_partitions(image) as loop:
        done = subprocess.run([DPS_TAG, "apply", loop, "root:x86_64=2", "--backup", "none", "--no-check"],
                              capture_output=True, text=True, env=makedisk.path_of_tools(), check=True)
    assert "udev-not-updated" in done.stdout


def test_udev_not_updated_silent(tmp_path):
    image = makedisk.make(tmp_path / "d.raw", [esp(), root(type=makedisk.GENERIC)])
    document = dps_tag("apply", image, "root:x86_64=2")
    assert document["applied"] and "udev-not-updated" not in codes(document["findings"])


@needs_mounts
@pytest.mark.parametrize(("option", "skipped"), [("subvol=data", True), ("subvolid=256", True), ("subvolid=5", False), ("subvol=/", False)])
def test_detected_subvolume_that_is_not_the_default(tmp_path, option, skipped):
    """What systemd would mount at /home is the default subvolume, and not what fstab names."""
    fstab = f"UUID=00000003-aaaa-4bbb-8ccc-dddddddddddd /home btrfs {option} 0 0\n"
    home = Partition(size=112, content="btrfs", subvolumes=("data",))
    image = makedisk.make(tmp_path / "d.raw", [esp(), root(files={**makedisk.TREE, "etc/fstab": fstab}), home])
    document = dps_tag("plan", image, "--arch", "x86_64")
    assert ("detected-skipped" in codes(document["findings"])) == skipped
    assert ("home" in [row["role"] for row in document["assignments"]]) != skipped


ROOT_WORDS = f"root=UUID={fs_uuid(2)}"
SYSTEMD_BOOT = {"EFI/BOOT/BOOTX64.EFI": makepe.systemd_boot()}


@pytest.mark.parametrize(("files", "relies"), [
    ({"EFI/BOOT/BOOTX64.EFI": makepe.uki("quiet")}, True),
    ({"EFI/BOOT/BOOTX64.EFI": makepe.uki("quiet"), "loader/addons/a.addon.efi": makepe.addon(cmdline=ROOT_WORDS)}, False),
    ({"EFI/BOOT/BOOTX64.EFI": makepe.uki("quiet"), "EFI/BOOT/BOOTX64.EFI.extra.d/a.addon.efi": makepe.addon(cmdline=ROOT_WORDS)}, False),
    ({"EFI/BOOT/BOOTX64.EFI": makepe.uki("init=/nix/store/x/init")}, False),
    ({**SYSTEMD_BOOT, "loader/entries/a.conf": "title a\nuki /os/a.efi\n", "os/a.efi": makepe.uki("quiet")}, True),
    ({**SYSTEMD_BOOT, "loader/entries/a.conf": "title a\nuki /os/a.efi\n", "os/a.efi": makepe.uki(ROOT_WORDS)}, False),
    ({**SYSTEMD_BOOT, "loader/entries/a.conf": "title a\nuki /os/a.efi\noptions quiet\n", "os/a.efi": makepe.uki(ROOT_WORDS)}, True),
    ({**SYSTEMD_BOOT, "loader/entries/a.conf": "title a\nuki /os/a.efi\n", "os/a.efi": makepe.uki("quiet"),
      "os/a.efi.extra.d/b.addon.efi": makepe.addon(cmdline=ROOT_WORDS)}, False),
])  # fmt: skip
def test_root_missing_by_all_that_a_uki_is_given(tmp_path, files, relies):
    """Words of addons, and the command line built into what a boot entry names, count as those of an entry."""
    image = makedisk.make(tmp_path / "d.raw", [esp(files=files), root(type=makedisk.GENERIC)])
    assert only(check(image), "root-missing")["severity"] == ("error" if relies else "info")


@pytest.mark.parametrize(("words", "severity"), [("quiet", "error"), ("root=UUID=00000003-aaaa-4bbb-8ccc-dddddddddddd", "warning")])
def test_root_unformatted_for_what_relies_on_it(tmp_path, words, severity):
    image = makedisk.make(tmp_path / "d.raw", [esp(files={**LOADER, "EFI/BOOT/BOOTX64.EFI": makepe.uki(words)}), root(content=None),
                                               root(type=makedisk.GENERIC)])
    assert only(check(image), "root-unformatted")["severity"] == severity
