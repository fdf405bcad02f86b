# SPDX-License-Identifier: LGPL-2.1-or-later
"""File systems in files, and disks put together from them."""

import contextlib
import dataclasses
import os
import pathlib
import tempfile
import uuid

from . import cache

MIB = 1 << 20
ESP_TYPE = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
GENERIC_TYPE = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"


def uuid_of(label: str) -> str:
    """The UUID of a file system follows from its label, so that an fstab can name it."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{label}.libdps.test"))


VFAT_ID = "1234-ABCD"


@contextlib.contextmanager
def mounted(image: pathlib.Path, *options: str):
    """A directory where the file system in a file is mounted while the caller fills it.

    One at a time: the kernel takes two copies of one btrfs for the same file system.
    """
    with cache.lock("mount"), tempfile.TemporaryDirectory(prefix="libdps-vm-") as place:
        cache.run("mount", "-o", ",".join(("loop", *options)), image, place)
        try:
            yield pathlib.Path(place)
        finally:
            # A mount namespace that somebody made meanwhile keeps it mounted for longer.
            cache.run("sync", "--file-system", place)
            cache.run("umount", place)


def _empty(image: pathlib.Path, size_mib: int) -> None:
    with open(image, "wb") as file:
        file.truncate(size_mib * MIB)


def _fill(image: pathlib.Path, tree: pathlib.Path) -> None:
    with mounted(image) as place:
        cache.run("cp", "--archive", f"{tree}/.", place)


def btrfs(image: pathlib.Path, size_mib: int, label: str, tree: pathlib.Path) -> None:
    """Subvolumes root and home, and 5 still the default one: as Anaconda leaves it."""
    _empty(image, size_mib)
    # It refuses the UUID of a file system that is attached at the moment.
    with cache.lock("mount"):
        cache.run("mkfs.btrfs", "--quiet", "--label", label, "--uuid", uuid_of(label), image)
    with mounted(image) as place:
        for name in ("root", "home"):
            cache.run("btrfs", "subvolume", "create", place / name)
        cache.run("cp", "--archive", f"{tree}/.", place / "root")


def ext4(image: pathlib.Path, size_mib: int, label: str, tree: pathlib.Path) -> None:
    _empty(image, size_mib)
    # 4 KiB also on a small one: dm-verity has no smaller blocks.
    cache.run(
        *("mkfs.ext4", "-q", "-b", "4096", "-L", label, "-U", uuid_of(label)),
        *("-d", tree, image),
    )


def xfs(image: pathlib.Path, size_mib: int, label: str, tree: pathlib.Path) -> None:
    _empty(image, size_mib)
    cache.run("mkfs.xfs", "-q", "-L", label, "-m", f"uuid={uuid_of(label)}", image)
    _fill(image, tree)


def vfat(image: pathlib.Path, size_mib: int, label: str, tree: pathlib.Path) -> None:
    _empty(image, size_mib)
    cache.run("mkfs.vfat", "-F", "32", "-n", label, "-i", VFAT_ID.replace("-", ""), image)
    names = sorted(tree.iterdir())
    if names:
        cache.run("mcopy", "-Q", "-s", "-i", image, *names, "::/")


def swap(image: pathlib.Path, size_mib: int, label: str) -> None:
    _empty(image, size_mib)
    os.chmod(image, 0o600)
    cache.run("mkswap", "-L", label, "-U", uuid_of(label), image)


def luks(image: pathlib.Path, key: str) -> None:
    """Encrypts a file system in its file; qemu-img needs no device mapper for it (LUKS1)."""
    plain = image.with_suffix(".plain")
    image.rename(plain)
    for attempt in range(5):
        try:
            cache.run(
                *("qemu-img", "convert", "-f", "raw", "-O", "luks"),
                *("--object", f"secret,id=key,data={key}", "-o", "key-secret=key,iter-time=10"),
                *(plain, image),
            )
            break
        except cache.CommandFailed as error:
            # On a busy machine it fails to measure how fast it derives keys.
            if "accurate CPU usage" not in str(error) or attempt == 4:
                raise
    plain.unlink()


def verity(image: pathlib.Path, hashes: pathlib.Path) -> str:
    """Writes the hash tree of a file system to a second file; returns the root hash."""
    root_hash = hashes.with_suffix(".hash")
    cache.run("veritysetup", "format", f"--root-hash-file={root_hash}", image, hashes)
    return root_hash.read_text().strip()


@dataclasses.dataclass(frozen=True)
class Partition:
    """What an installer would put into one partition; its number is its place in the list."""

    label: str
    content: pathlib.Path
    type: str = GENERIC_TYPE


def disk(image: pathlib.Path, partitions: list[Partition]) -> list[dict]:
    """A GPT disk with these contents, each as large as its content, on MiB boundaries.

    Returns where each is, by label, in MiB.
    """
    lines = ["label: gpt", "label-id: 11111111-2222-4333-8444-555555555555"]
    places = []
    start = 1
    for number, part in enumerate(partitions, 1):
        size = -(-part.content.stat().st_size // MIB)
        uuid = f"AAAAAAAA-0000-4000-8000-{number:012}"
        lines.append(
            f"start={start}MiB size={size}MiB type={part.type} uuid={uuid} name={part.label}"
        )
        places.append({"label": part.label, "start_mib": start, "size_mib": size})
        start += size

    _empty(image, start + 1)
    script = image.with_suffix(".sfdisk")
    script.write_text("\n".join(lines) + "\n")
    with open(script) as file:
        cache.run(
            *("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", "--wipe=never", image),
            stdin=file,
        )
    script.unlink()
    for place, part in zip(places, partitions):
        cache.run(
            *("dd", f"if={part.content}", f"of={image}", "bs=1M", f"seek={place['start_mib']}"),
            *("conv=notrunc,sparse", "status=none"),
        )
    return places
