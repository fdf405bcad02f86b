#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disk images as installers and image builders leave them, made by the tools that they use.

Tables come from sfdisk (or sgdisk), contents from mkfs.* and mtools: nothing here was made by the
code that is tested.  Images are sparse plain files; root privilege is needed for btrfs subvolumes
alone, which want a mount.

    disk = makedisk.standard(tmp_path / "disk.raw")     # ESP, /boot, btrfs with root and home
    disk = makedisk.make(path, [Partition(size=64, content="vfat"), …])

As a program: makedisk.py standard FILE
"""

import atexit
import contextlib
import dataclasses
import fcntl
import functools
import hashlib
import json
import os
import pathlib
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import time
import zlib

import makepe

MIB = 1024 * 1024

# In front of a call: runs it without privilege.
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]

GENERIC = "0fc63daf-8483-4772-8e79-3d69d8477de4"
ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
XBOOTLDR = "bc13c2ff-59e6-4262-a352-b275fd6f7172"
BASIC_DATA = "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7"
ROOT_X86_64 = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"
ROOT_ARM64 = "b921b045-1df0-41c3-af44-4c6f280d3fae"

# A unified kernel image in the place of the loader: all that a disk needs to be started by firmware.
LOADER = {"EFI/BOOT/BOOTX64.EFI": makepe.uki("quiet")}

DISK_UUID = "8d2e0c5a-64f6-4d2c-9e0b-1a7c4f3b9d01"
TREE = {
    "etc/os-release": 'ID=test\nNAME="Test OS"\nVERSION_ID=1\n',
    "etc/fstab": "",
    "etc/machine-id": "",
    "usr/bin/": None,
}


@dataclasses.dataclass
class Partition:
    """One partition and what is in it."""

    size: int = 64  # MiB
    type: str = GENERIC
    content: str | None = None  # vfat, ext4, xfs, btrfs, swap, crypto_LUKS, LVM2_member, …
    label: str = ""  # of the file system
    name: str = ""  # in the table
    attrs: str = ""  # as sfdisk has them: "GUID:63 RequiredPartition"
    uuid: str | None = None  # PARTUUID; made from its number when not given
    files: dict = dataclasses.field(default_factory=dict)  # path: text, bytes; None: a directory
    subvolumes: tuple = ()  # btrfs: names at the top level; the first one gets the files
    default: str = ""  # btrfs: the default subvolume
    mkfs: tuple = ()  # more words for mkfs: ("-F16",)
    number: int = 0  # in the table; 0: its place in the list
    files_in: str = ""  # btrfs: another subvolume than the first for the files
    more_files: dict = dataclasses.field(default_factory=dict)  # btrfs: subvolume: its files
    snapshots: tuple = ()  # btrfs: subvolumes that are snapshots, of something empty


def path_of_tools():
    return {**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


def run(*command, **more):
    done = subprocess.run([str(word) for word in command], env=path_of_tools(), text=True,
                          capture_output=True, **more)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.returncode}: {done.stderr}")
    return done.stdout


def umount(place):
    """Unmounts; whoever looks at all mounts (a dps-tag of another test) keeps one busy for a moment.

    Written out before: a mount namespace that another test just made holds the mount for longer.
    """
    subprocess.run(["sync", "--file-system", place], env=path_of_tools(), capture_output=True)
    for _ in range(100):
        if subprocess.run(["umount", place], env=path_of_tools(), capture_output=True).returncode == 0:
            return
        time.sleep(0.1)
    run("umount", place)


def wait_until_detached(image):
    """Such a mount namespace keeps the file system, which may still write, and the loop device: wait for both.

    Copied before, it can lack what was made last, and another of its UUID is taken for the same.
    """
    for _ in range(600):
        if not run("losetup", "--associated", image):
            return
        time.sleep(0.1)
    raise RuntimeError(f"{image}: still attached, a minute after it was unmounted: {run('losetup', '--associated', image)}")


def forget_partitions(loop):
    """Takes the partitions of a loop device out of the kernel; busy for a moment as above.

    One that stays there is in the way of whoever gets the device next.
    """
    for _ in range(100):
        if subprocess.run(["partx", "--delete", loop], env=path_of_tools(), capture_output=True).returncode == 0:
            return
        time.sleep(0.1)
    run("partx", "--delete", loop)


@functools.lru_cache(maxsize=None)
def for_everyone(program):
    """A program of the build where every user may run it: a checkout can lie in a home that is its owner's alone.

    As it is when user 65534 can run it; else a copy beside one of the library, as $ORIGIN/../libdps finds it.
    """
    program = pathlib.Path(program).resolve()
    if os.geteuid() != 0 or subprocess.run([*NOBODY, "test", "-x", program], env=path_of_tools()).returncode == 0:
        return program
    place = pathlib.Path(tempfile.mkdtemp(prefix="dps-for-everyone-"))
    atexit.register(shutil.rmtree, place)
    place.chmod(0o755)
    build = next(above for above in program.parents if (above / "build.ninja").exists())
    copy = place / program.relative_to(build)
    copy.parent.mkdir(parents=True)
    shutil.copy(program, copy)
    (place / "libdps").mkdir()
    for library in (build / "libdps").glob("libdps.so*"):
        if library.is_file():
            shutil.copy(library, place / "libdps", follow_symlinks=False)
    return copy


def can_mount():
    """Whether subvolumes can be made: by root, on loop devices, with btrfs in the kernel."""
    if os.geteuid() != 0 or not os.path.exists("/dev/loop-control"):
        return False
    return "btrfs" in pathlib.Path("/proc/filesystems").read_text()


@functools.lru_cache(maxsize=None)
def can_make_subvolumes():
    """Whether btrfs subvolumes can be made: by mounting, or by mkfs.btrfs itself (6.12 and newer)."""
    if can_mount():
        return True
    usage = subprocess.run(["mkfs.btrfs", "--help"], env=path_of_tools(), capture_output=True, text=True)
    return "--subvol" in usage.stdout + usage.stderr


def write_tree(directory, files):
    for name, what in files.items():
        path = pathlib.Path(directory, name)
        if what is None:
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(what, pathlib.PurePosixPath):  # a link to it
            path.symlink_to(what)
            continue
        path.write_bytes(what.encode() if isinstance(what, str) else what)


@contextlib.contextmanager
def loop_device(image, *options):
    """An image on a loop device; what is mounted from it goes first."""
    loop = run("losetup", "--find", "--show", *options, image).strip()
    try:
        yield loop
    finally:
        run("losetup", "--detach", loop)


@contextlib.contextmanager
def loop_with_partitions(image, *options):
    """The same, and the kernel knows its partitions; nodes for them are made by udev, if by anybody."""
    with loop_device(image, *options) as loop:
        run("partx", "--update", loop)
        try:
            yield loop
        finally:
            forget_partitions(loop)


@contextlib.contextmanager
def mounted(image):
    """A btrfs in a file, mounted; its loop device goes away with the mount."""
    with tempfile.TemporaryDirectory(prefix="makedisk-") as place:
        with loop_device(image) as loop:
            run("mount", "-t", "btrfs", "-o", "subvolid=5", loop, place)
            try:
                yield pathlib.Path(place)
            finally:
                umount(place)
        wait_until_detached(image)


def data_blocks(path):
    """Of a sparse file: each block of 4096 bytes that is no hole, and where it is."""
    with open(path, "rb") as file:
        at, size = 0, path.stat().st_size
        with contextlib.suppress(OSError):  # nothing but a hole to the end
            while at < size:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
                end = os.lseek(file.fileno(), at, os.SEEK_HOLE)
                for offset in range(at, end, 4096):
                    yield offset, os.pread(file.fileno(), 4096, offset)
                at = end


@contextlib.contextmanager
def with_bad_blocks(images):
    """Copies of images, in one directory, of which the kernel cannot read some blocks of 4096 bytes.

    @images: the offsets of each one's.  They lie on a btrfs, where these blocks do not have their
    checksums any more: to read them is an input/output error, to write them mends them, and reflinks
    are as bad.  Each is marked in bytes that mean nothing to ext4, FAT and swap, so that it is found.
    """
    with tempfile.TemporaryDirectory(prefix="makedisk-") as place:
        host = pathlib.Path(place, "host.btrfs")
        with open(host, "wb") as file:
            file.truncate(sum(image.stat().st_size for image in images) + 256 * MIB)
        run("mkfs.btrfs", "-q", host)
        marked = set()
        with mounted(host) as top:
            for image, offsets in images.items():
                run("cp", "--sparse=always", image, top / image.name)
                for offset in offsets:
                    with open(top / image.name, "r+b") as file:
                        file.seek(offset + 200)
                        file.write(f"{image.name} {offset}".encode())
                        file.seek(offset)
                        marked.add(file.read(4096))
        found = [at for at, block in data_blocks(host) if block in marked]
        if len(found) != sum(map(len, images.values())):
            raise ValueError(f"{host}: marked blocks are at {found}")
        with open(host, "r+b") as file:
            for at in found:
                file.seek(at)
                file.write(b"\0" * 4096)
        with mounted(host) as top:
            yield top


@contextlib.contextmanager
def attached(image, number):
    """A partition of an image, on a loop device."""
    part = table(image)["partitions"][number - 1]
    with loop_device(image, "--offset", part["start"] * 512, "--sizelimit", part["size"] * 512) as loop:
        yield loop


@contextlib.contextmanager
def mounted_node(node, *options):
    """A file system, mounted."""
    with tempfile.TemporaryDirectory(prefix="makedisk-") as place:
        run("mount", *options, node, place)
        try:
            yield pathlib.Path(place)
        finally:
            umount(place)


@contextlib.contextmanager
def one_at_a_time():
    """The kernel takes two mounted btrfs of one UUID for one, and mkfs.btrfs refuses to make such."""
    with open(pathlib.Path(tempfile.gettempdir(), f"makedisk-btrfs-{os.getuid()}.lock"), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def make_btrfs(path, part, fs_uuid, label):
    if part.subvolumes and not can_mount():
        with tempfile.TemporaryDirectory(prefix="makedisk-") as tree:
            for name in part.subvolumes:
                pathlib.Path(tree, name).mkdir()
            write_tree(pathlib.Path(tree, part.subvolumes[0]), part.files)
            words = [word for name in part.subvolumes
                     for word in ("--subvol", f"default:{name}" if name == part.default else name)]
            run("mkfs.btrfs", "-q", "-f", "-U", fs_uuid, *label, "--rootdir", tree, *words, path)
    elif part.subvolumes:
        run("mkfs.btrfs", "-q", "-f", "-U", fs_uuid, *label, path)
        with mounted(path) as top:
            for name in part.subvolumes:
                (top / name).parent.mkdir(parents=True, exist_ok=True)
                run("btrfs", "subvolume", "create", top / name)
            for name in part.snapshots:  # of a subvolume that is gone, as the first one of an installation
                (top / name).parent.mkdir(parents=True, exist_ok=True)
                run("btrfs", "subvolume", "create", top / ".origin")
                run("btrfs", "subvolume", "snapshot", top / ".origin", top / name)
                run("btrfs", "subvolume", "delete", top / ".origin")
            for name, files in {part.files_in or part.subvolumes[0]: part.files, **part.more_files}.items():
                write_tree(top / name, files)
            if part.default:
                run("btrfs", "subvolume", "set-default", top / part.default)
    else:
        with tempfile.TemporaryDirectory(prefix="makedisk-") as tree:
            write_tree(tree, part.files)
            run("mkfs.btrfs", "-q", "-f", "-U", fs_uuid, *label, "--rootdir", tree, path)


def make_btrfs_patiently(path, part, fs_uuid, label):
    """Another test may have a btrfs of this UUID on a loop device, for seconds."""
    for _ in range(240):
        try:
            with one_at_a_time():
                make_btrfs(path, part, fs_uuid, label)
            return
        except RuntimeError as error:
            if "non-unique UUID" not in str(error) and "File exists" not in str(error):
                raise
            time.sleep(0.5)
    with one_at_a_time():
        make_btrfs(path, part, fs_uuid, label)


def make_content(path, part, number):
    """Makes a file with what the partition holds."""
    fs_uuid = f"{number:08x}-aaaa-4bbb-8ccc-dddddddddddd"
    with open(path, "wb") as file:
        file.truncate(part.size * MIB)
    label = ["-L", part.label] if part.label else []
    if part.content == "vfat":
        run("mkfs.fat", *(part.mkfs or ("-F32",)), "-i", f"{0xABCD0000 + number:08x}", "-n", part.label or "NO NAME", path)
        with tempfile.TemporaryDirectory(prefix="makedisk-") as tree:
            write_tree(tree, part.files)
            names = sorted(pathlib.Path(tree).iterdir())
            if names:
                run("mcopy", "-s", "-i", path, *names, "::")
    elif part.content in ("ext2", "ext3", "ext4"):
        with tempfile.TemporaryDirectory(prefix="makedisk-") as tree:
            write_tree(tree, part.files)
            run(f"mkfs.{part.content}", "-q", "-F", *part.mkfs, "-U", fs_uuid, *label, "-d", tree, path)
    elif part.content == "btrfs":
        make_btrfs_patiently(path, part, fs_uuid, label)
    elif part.content == "xfs":  # 300 MiB and more
        with tempfile.TemporaryDirectory(prefix="makedisk-") as tree:
            write_tree(pathlib.Path(tree, "root"), part.files)
            pathlib.Path(tree, "root").mkdir(exist_ok=True)
            prototype = pathlib.Path(tree, "prototype")
            prototype.write_text(describe_for_xfs(pathlib.Path(tree, "root")))
            run("mkfs.xfs", "-q", "-f", "-m", f"uuid={fs_uuid}", *label, "-p", prototype, path)
    elif part.content == "swap":
        run("mkswap", "-q", "-U", fs_uuid, *label, path)
    elif part.content == "crypto_LUKS":
        run("cryptsetup", "luksFormat", "--batch-mode", "--type", "luks2", "--pbkdf", "pbkdf2",
            "--pbkdf-force-iterations", "1000", "--uuid", fs_uuid, *(["--label", part.label] if part.label else []),
            path, "-", input="secret")
    elif part.content == "LVM2_member":
        # pvcreate wants a device; the label is written down in lvm2's lib/label/label.h and
        # lib/format_text/layout.h: LABELONE, sector, crc (not looked at by blkid), offset, type.
        uuid = b"Xy1234abcdefghijklmnopqrstuvwxyz"
        with open(path, "r+b") as file:
            file.seek(512)
            file.write(b"LABELONE" + (1).to_bytes(8, "little"))
            body = (32).to_bytes(4, "little") + b"LVM2 001" + uuid + (part.size * MIB).to_bytes(8, "little")
            body += bytes(512 - 20 - len(body))
            file.write(lvm_crc(body).to_bytes(4, "little") + body)
    elif part.content == "raw":  # these bytes, at its start
        with open(path, "r+b") as file:
            file.write(part.files[""])
    elif part.content is not None:
        raise ValueError(f"{part.content}: no recipe")


def describe_for_xfs(tree):
    """A directory as `mkfs.xfs -p` wants to have it."""
    lines = ["/", "0 0", "d--755 0 0"]

    def describe(directory, indent):
        for path in sorted(directory.iterdir()):
            if path.is_symlink():
                lines.append(f"{indent}{path.name} l--777 0 0 {os.readlink(path)}")
            elif path.is_dir():
                lines.append(f"{indent}{path.name} d--755 0 0")
                describe(path, indent + " ")
                lines.append(f"{indent}$")
            else:
                lines.append(f"{indent}{path.name} ---644 0 0 {path}")

    describe(tree, "")
    return "\n".join([*lines, "$"]) + "\n"


def lvm_crc(data):
    """The crc of lvm2 (lib/misc/crc.c): CRC-32 with a start value of its own and no final xor."""
    crc = 0xF597A6CF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0xEDB88320 if crc & 1 else 0)
    return crc


def write_table(path, partitions, sector_size, label="gpt"):
    """Writes the table; gives back where each partition starts, in bytes."""
    lines = [f"label: {label}", f"label-id: {DISK_UUID if label == 'gpt' else '0x1234abcd'}"]
    starts = []
    start = MIB
    for number, part in enumerate(partitions, 1):
        number = part.number or number
        words = [f"{number} : start={start // sector_size}", f"size={part.size * MIB // sector_size}",
                 f"type={part.type}"]
        if label == "gpt":
            words.append(f"uuid={part.uuid or f'{number:08x}-1111-4222-8333-444444444444'}")
        if part.name:
            words.append(f'name="{part.name}"')
        if part.attrs:
            words.append(f'attrs="{part.attrs}"')
        lines.append(", ".join(words))
        starts.append(start)
        start += part.size * MIB
    script = "\n".join(lines) + "\n"
    if sector_size == 512:
        run("sfdisk", "--quiet", path, input=script)
    else:
        # sfdisk has no such option before util-linux 2.41; fdisk has, and loads the same scripts.
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(script)
            file.flush()
            run("fdisk", "--sector-size", sector_size, path, input=f"I\n{file.name}\nw\n")
    return starts


def table(path):
    """The table of an image with sectors of 512 bytes, as sfdisk reads it."""
    return json.loads(run("sfdisk", "--json", path))["partitiontable"]


def edit_table(path, change):
    """Gives the 128 entries of each copy of a table to CHANGE, and writes them with good checksums."""
    with open(path, "r+b") as file:
        for header_at in (512, os.path.getsize(path) - 512):
            file.seek(header_at)
            header = bytearray(file.read(512))
            entries_at = struct.unpack_from("<Q", header, 72)[0] * 512
            file.seek(entries_at)
            entries = bytearray(file.read(128 * 128))
            change(entries)
            struct.pack_into("<I", header, 88, zlib.crc32(entries))
            struct.pack_into("<I", header, 16, 0)
            struct.pack_into("<I", header, 16, zlib.crc32(bytes(header[:92])))
            file.seek(entries_at)
            file.write(entries)
            file.seek(header_at)
            file.write(header)


def copy_into(path, source, offset):
    """Copies what is not a hole: images stay sparse, and copying is quick."""
    with open(path, "r+b") as to, open(source, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        at = 0
        while at < size:
            try:
                start = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            file.seek(start)
            to.seek(offset + start)
            to.write(file.read(at - start))


def digest(path):
    """A fingerprint of every byte of an image; holes and zeros are the same, and cost nothing."""
    sha = hashlib.sha256()
    with open(path, "rb") as file:
        assert stat.S_ISREG(os.fstat(file.fileno()).st_mode), f"{path}: no file: take the digest of the one behind it"
        size = os.fstat(file.fileno()).st_size
        sha.update(str(size).encode())
        at = 0
        while at < size:
            try:
                start = os.lseek(file.fileno(), at, os.SEEK_DATA) & ~4095
            except OSError:
                break
            at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            file.seek(start)
            while start < at:
                block = file.read(4096)
                if block.strip(b"\0"):
                    sha.update(str(start).encode() + block)
                start += 4096
            at = max(at, start)
    return sha.hexdigest()


@functools.lru_cache(maxsize=None)
def cache():
    return tempfile.TemporaryDirectory(prefix="makedisk-")


def make(path, partitions, sector_size=512, gap=2, label="gpt"):
    """Makes an image with these partitions, and @gap MiB behind them; returns its path."""
    path = pathlib.Path(path)
    with open(path, "wb") as file:
        file.truncate((1 + sum(part.size for part in partitions) + gap) * MIB)
    starts = write_table(path, partitions, sector_size, label)
    for number, (part, start) in enumerate(zip(partitions, starts), 1):
        number = part.number or number
        if part.content is None:
            continue
        # Making a file system is slow, and many tests want the same one.
        key = f"{number}-{abs(hash(repr((part.size, part.content, part.label, part.files, part.subvolumes, part.default, part.mkfs, part.files_in, part.more_files, part.snapshots)))):x}"
        content = pathlib.Path(cache().name, key)
        if not content.exists():
            # One that was not finished must not be taken for whole by the next.
            make_content(content.with_suffix(".new"), part, number)
            content.with_suffix(".new").rename(content)
        copy_into(path, content, start)
    return path


def standard_partitions():
    """What a Fedora-like installer leaves: an ESP that is tagged, everything else that is not."""
    return [
        Partition(size=64, type=ESP, content="vfat", label="EFI", name="EFI System Partition",
                  files=LOADER),
        Partition(size=64, content="ext4", label="boot", files={"vmlinuz": "kernel"}),
        Partition(size=160, content="btrfs", label="fedora", files=TREE, subvolumes=("root", "home")),
    ]


def standard(path, **more):
    return make(path, standard_partitions(), **more)


def simple_partitions():
    """The same for those who may not mount: ext4 for root and home, and swap."""
    return [
        Partition(size=64, type=ESP, content="vfat", label="EFI", name="EFI System Partition", files=LOADER),
        Partition(size=64, content="ext4", label="system", files=TREE),
        Partition(size=64, content="ext4", label="home"),
        Partition(size=32, content="swap", label="swap"),
    ]


def simple(path, **more):
    return make(path, simple_partitions(), **more)


if __name__ == "__main__":
    RECIPES = {"standard": standard, "simple": simple}
    if len(sys.argv) != 3 or sys.argv[1] not in RECIPES:
        sys.exit(f"usage: makedisk.py {'|'.join(RECIPES)} FILE")
    if sys.argv[1] == "standard" and not can_mount():
        sys.exit("makedisk.py: standard has btrfs subvolumes: needs root, loop devices and btrfs")
    RECIPES[sys.argv[1]](sys.argv[2])
