# SPDX-License-Identifier: LGPL-2.1-or-later
"""The ESP inside of an image, on a device, behind a partition's own node, and as a directory: the same answers."""

import contextlib
import os
import pathlib
import re
import shutil
import stat
import subprocess

import makedisk
import makepe
import pytest
from conftest import NOBODY, call, validate
from makedisk import MIB, Partition

# What reads the FAT itself: of a directory it cannot be judged.
OF_FAT = {"esp-fat-dirty", "esp-fat-inconsistent", "esp-case-collision"}
# What wants to know how much is free: of a directory that is no mount it cannot be judged, either.
OF_SPACE = {"esp-full", "esp-small-for-kernels"}
BOOT = {"EFI/BOOT/BOOTX64.EFI": makepe.systemd_boot()}
ENTRY = {**BOOT, "loader/entries/a.conf": "title A\nversion 1\nlinux /gone\noptions quiet\n"}


def write(image, at, data):
    with open(image, "r+b") as file:
        file.seek(at)
        file.write(data)


def fat_at(image):
    return makedisk.table(image)["partitions"][0]["start"] * 512


# Name: the files, the words for mkfs.fat, what is done to the FAT after, and what must be seen in all of them.
DISKS = {
    "sound": (makedisk.LOADER, ("-F32", "-s1"), None, set()),
    "entry-without-kernel": (ENTRY, ("-F32", "-s1"), None, {"bls-entry-file-missing"}),
    "loader-of-another-machine": ({"EFI/BOOT/BOOTX64.EFI": makepe.systemd_boot(machine=makepe.ARM64)},
                                  ("-F32", "-s1"), None, {"esp-fallback-wrong-arch"}),
    "no-loader": ({"EFI/": None, "EFI/BOOT/x.txt": "x"}, ("-F32", "-s1"), None, {"esp-fallback-missing"}),
    "fat16": (makedisk.LOADER, ("-F16",), None, {"esp-not-fat32"}),
    "dirty": (makedisk.LOADER, ("-F32", "-s1"), lambda image: write(image, fat_at(image) + 0x41, b"\1"),
              {"esp-fat-dirty"}),
    "fats-differ": (makedisk.LOADER, ("-F32", "-s1"), lambda image: write(image, second_fat(image) + 5000, b"\7"),
                    {"esp-fat-inconsistent"}),
}


def second_fat(image):
    at = fat_at(image)
    boot = pathlib.Path(image).read_bytes()[at:at + 512]
    reserved, size = int.from_bytes(boot[14:16], "little"), int.from_bytes(boot[36:40], "little")
    return at + (reserved + size) * 512


@pytest.fixture(scope="module", params=DISKS, name="disk")
def disk_fixture(request, tmp_path_factory):
    files, words, after, seen = DISKS[request.param]
    image = makedisk.make(tmp_path_factory.mktemp("esp") / f"{request.param}.raw", [
        Partition(size=64, content="vfat", type=makedisk.ESP, mkfs=words,
                  files={name: what for name, what in files.items() if what is not None}),
        Partition(size=8, content="ext4", type=makedisk.ROOT_X86_64),
    ])
    if after:
        after(image)
    return image, seen


def findings_of(*arguments):
    document = validate(call("check", "--json", "--arch=x86_64", *arguments).json, "check")
    assert document["disks"][0]["error"] is None
    return document["disks"][0]["findings"]


def places(findings):
    """What is seen, and where.  A device's NVRAM may name what an image must have: severities differ by rule."""
    return {(f["code"], f["partition"], f["path"]) for f in findings if f["code"] != "not-judged"}


@contextlib.contextmanager
def attached(image, nodes):
    """A loop device; with or without nodes for the partitions."""
    with contextlib.ExitStack() as stack:
        attach = makedisk.loop_with_partitions if nodes else makedisk.loop_device
        loop = stack.enter_context(attach(image, "--read-only"))
        if nodes:
            for number in (1, 2):
                node = pathlib.Path(f"{loop}p{number}")
                if not node.exists():  # no udev here
                    major, minor = pathlib.Path("/sys/class/block", node.name, "dev").read_text().split(":")
                    os.mknod(node, stat.S_IFBLK | 0o600, os.makedev(int(major), int(minor)))
                    stack.callback(node.unlink)
        yield loop


needs_loop = pytest.mark.skipif(os.geteuid() != 0 or not os.path.exists("/dev/loop-control"),
                                reason="SKIP: loop devices need root")


@needs_loop
@pytest.mark.parametrize("nodes", [False, True], ids=["whole-device", "partition-nodes"])
def test_device(disk, nodes):
    image, seen = disk
    of_image = findings_of(image)
    assert seen <= {f["code"] for f in of_image}
    with attached(image, nodes) as loop:
        of_device = findings_of(loop)
        if nodes:
            one = call("check", f"{loop}p1", status=3)
            assert one.err == f"dps-tag: {loop}p1: partition 1 of a disk, not a disk: name the disk, {loop}\n"
    assert places(of_device) == places(of_image)


def test_directory(disk, tmp_path):
    image, seen = disk
    files = tmp_path / "esp"
    files.mkdir()
    makedisk.run("mcopy", "-s", "-n", "-i", f"{image}@@{fat_at(image)}", "::/EFI", files)
    if "entry" in image.name:
        makedisk.run("mcopy", "-s", "-n", "-i", f"{image}@@{fat_at(image)}", "::/loader", files)
    of_image, of_directory = findings_of(image), findings_of("--esp", files, image)
    unjudged = [f["message"] for f in of_directory if f["code"] == "not-judged" and "directory" in f["message"]]
    for reason, codes in (("the FAT can be checked", OF_FAT), ("no mount: nothing tells how much is free", OF_SPACE)):
        said = [message for message in unjudged if reason in message]
        assert len(said) == 1 and set(re.findall("esp-[a-z-]+", said[0])) == codes, unjudged
    lost = {place for place in places(of_image) if place[0] in OF_FAT | OF_SPACE}
    assert places(of_directory) == places(of_image) - lost
    assert {place[0] for place in lost} & OF_FAT == seen & OF_FAT
    # The severities too: it is the same image.
    severities = {(f["code"], f["path"]): f["severity"] for f in of_image}
    for f in of_directory:
        assert f["code"] == "not-judged" or severities[f["code"], f["path"]] == f["severity"]


def test_names_in_a_directory(tmp_path):
    """What a name may be is seen in a directory as well."""
    image = makedisk.make(tmp_path / "disk.raw", [Partition(size=64, content="vfat", type=makedisk.ESP)])
    (tmp_path / "esp" / "EFI" / "Linux").mkdir(parents=True)
    (tmp_path / "esp" / "EFI" / "Linux" / "t\u00e4st.efi").write_bytes(makepe.uki("quiet"))
    found = findings_of("--esp", tmp_path / "esp", image)
    assert [f["path"] for f in found if f["code"] == "esp-file-bad-name"] == ["/EFI/Linux/t\u00e4st.efi"]
    assert not [f for f in found if f["code"] == "not-judged" and "esp-file-bad-name" in f["message"]]


@needs_loop
@pytest.mark.parametrize("size,says", [
    ("16M", "esp-full"),  # 12 MiB of it are taken
    ("60M", "esp-small-for-kernels"),  # a note: both fit, below 1 GiB
    ("4G", "not-judged"),  # no FAT of this partition
])
def test_a_mount_has_space(size, says, tmp_path):
    """There is no vfat in every kernel: a tmpfs of its size is a file system that says what is free."""
    image = makedisk.make(tmp_path / "disk.raw", [Partition(size=64, content="vfat", type=makedisk.ESP)])
    with makedisk.mounted_node("tmpfs", "-t", "tmpfs", "-o", f"size={size},mode=0755") as place:
        (place / "EFI" / "Linux").mkdir(parents=True)
        (place / "EFI" / "Linux" / "test.efi").write_bytes(makepe.uki("quiet", size=12 * MIB))
        found = findings_of("--esp", place, image)
        assert not [f for f in found if f["code"] == "not-judged" and "no mount" in f["message"]]
    of_space = [f for f in found if f["code"] in OF_SPACE]
    if says == "not-judged":
        assert not of_space and [f for f in found if f["code"] == says and "4.0 GiB" in f["message"]], found
    else:
        assert says in {f["code"] for f in of_space}, found


def test_the_directory_counts(disk, tmp_path):
    """Not what is on the disk."""
    image, _ = disk
    (tmp_path / "empty").mkdir()
    found = {f["code"] for f in findings_of("--esp", tmp_path / "empty", image)}
    assert "esp-fallback-missing" in found and "bls-entry-file-missing" not in found


def test_wrong_directories(failure, tmp_path):
    image = makedisk.simple(tmp_path / "disk.raw")
    no_esp = makedisk.make(tmp_path / "none.raw", [Partition(size=4)])
    failure("check", "--esp", tmp_path / "nowhere", image, status=3, code="not-found", says="nowhere")
    failure("check", "--esp", image, image, status=2, code="invalid", says="not a directory")
    failure("check", "--esp", tmp_path, no_esp, status=3, code="not-found", says="no ESP that could have these files")
    failure("check", "--esp", tmp_path, image, no_esp, status=2, code="invalid", says="name one DISK")
    failure("check", "--esp=", image, status=2, code="invalid", says="empty")


@needs_loop
def test_a_device_that_one_may_not_read(disk, failure):
    with attached(disk[0], False) as loop:
        failure("check", loop, status=3, code="permission", prefix=NOBODY,
                says=f"{loop}: open: Permission denied: disks are for root: try again as root")
        several = call("check", loop, disk[0], prefix=NOBODY, status=3)
        assert f"{loop}: could not be checked" in several.out


# --- What is no disk ---


@pytest.mark.parametrize("name,says", [
    ("/dev/stdin", "neither a block device nor a regular file"), ("/dev/null", "neither a block device"),
    ("-", "-: open: No such file"), ("/", "a directory, not a disk"), ("/proc/self/status", ""),
])
def test_no_disks(failure, name, says):
    if name == "/proc/self/status":  # a file of no size
        assert "error gpt-missing" in call("check", name, status=1).out
    else:
        code = "not-found" if name == "-" else "unsupported"
        failure("check", name, status=3, code=code, says=says)


def test_a_pipe(failure, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    failure("check", tmp_path / "pipe", status=3, code="unsupported", says="pipe: neither a block device")


@pytest.mark.parametrize("words,hint", [
    (["qemu-img", "create", "-q", "-f", "qcow2", "disk.qcow2", "1M"], "qemu-img convert -O raw disk.qcow2"),
    (["xz", "-k", "disk.raw"], "xz -dk disk.raw.xz"), (["zstd", "-q", "disk.raw"], "zstd -d disk.raw.zst"),
    (["gzip", "-k", "disk.raw"], "gzip -dk disk.raw.gz"),
])
def test_other_formats(tmp_path, words, hint):
    (tmp_path / "disk.raw").write_bytes(bytes(MIB))
    if not shutil.which(words[0], path="/usr/bin:/bin"):
        pytest.skip(f"SKIP: no {words[0]} here")
    subprocess.run(words, cwd=tmp_path, check=True)
    (made,) = [path.name for path in tmp_path.iterdir() if path.name != "disk.raw"]
    result = call("check", made, cwd=tmp_path, status=3)
    assert result.out == "" and f"`{hint}" in result.err


def test_sizes(tmp_path):
    """Nothing, one byte, and eight TiB of nothing: each is told in a moment."""
    names = [tmp_path / name for name in ("none.raw", "one.raw", "vast.raw")]
    for name, size in zip(names, (0, 1, 8 << 40)):
        with open(name, "wb") as file:
            file.truncate(size)
    document = validate(call("check", "--json", *names, status=1).json, "check")
    assert [disk["disk"]["size"] for disk in document["disks"]] == [0, 1, 8 << 40]
    for disk in document["disks"]:
        assert disk["findings"][0]["code"] == "gpt-missing"
