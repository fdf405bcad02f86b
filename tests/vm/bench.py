# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the boots of a test run, a few at a time, while the tests wait for their own."""

import concurrent.futures
import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from image import cache, host, initrd, packages, recipe
from machine import qemu
from machine.boot import boot

UNAVAILABLE = (packages.Unavailable, qemu.Unavailable)
TOOLS = {
    "apt-get": "apt",
    "cp": "coreutils",
    "depmod": "kmod",
    "dpkg-deb": "dpkg",
    "mcopy": "mtools",
    "mkfs.btrfs": "btrfs-progs",
    "mkfs.ext4": "e2fsprogs",
    "mkfs.vfat": "dosfstools",
    "mkfs.xfs": "xfsprogs",
    "mkswap": "util-linux",
    "qemu-img": "qemu-utils",
    "sfdisk": "fdisk",
    "veritysetup": "cryptsetup-bin",
    "zstd": "zstd",
}


def why_not(arch: str) -> str | None:
    """The reason for which no disk can be built or booted here; None when all is there."""
    missing = sorted(package for tool, package in TOOLS.items() if shutil.which(tool) is None)
    if missing:
        return f"not installed: {' '.join(missing)}"
    if os.geteuid() != 0:
        return "the disks are filled through loop mounts, which need root"
    try:
        qemu.check(arch)
    except qemu.Unavailable as error:
        return str(error)
    return None


@dataclasses.dataclass(frozen=True)
class Bench:
    """What every boot of a run shares."""

    dps_tag: pathlib.Path
    logs: pathlib.Path

    def prepare(self, commands, words: dict[str, str]) -> None:
        """Runs the commands of a case on its copy of the disk."""
        for command in commands:
            status = command[0] if isinstance(command[0], int) else 0
            filled = [word.format(**words) for word in command if isinstance(word, str)]
            if filled[0] == "dps-tag":
                filled[0] = str(self.dps_tag)
            cache.run(*filled, status=status)

    def disk(self, wanted: recipe.Recipe, place: str) -> tuple[pathlib.Path, dict]:
        """A copy of a built disk, and the facts about it."""
        built = recipe.build(wanted)
        copy = cache.copy_sparse(built / "disk.raw", pathlib.Path(place, "disk.raw"))
        return copy, json.loads((built / "facts.json").read_text())

    def run_case(self, case) -> dict:
        with tempfile.TemporaryDirectory(prefix="libdps-vm-", dir=cache.directory("work")) as place:
            disk, facts = self.disk(case.recipe, place)
            if case.entry:
                recipe.select_entry(case.recipe, disk, case.entry)
            words = {"disk": str(disk), "place": place, "usr_hash": facts.get("usr_hash", "")}
            self.prepare(case.prepare, words)
            predicted = self.predict(disk, case.recipe.arch)
            drives = [qemu.Drive(disk)]
            return boot(case.name, self.logs, drives, case.recipe.arch, predicted=predicted)

    def predict(self, disk: pathlib.Path, arch: str) -> dict | None:
        """What `dps-tag explain` says of a disk before it is booted; None where it cannot."""
        words = [self.dps_tag, "explain", "--json", "--arch", arch, disk]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        return json.loads(done.stdout) if done.returncode in (0, 1) else None

    def run_installation(self, case) -> dict:
        """An installer's %post in a machine, then a boot of what it left: two records."""
        with tempfile.TemporaryDirectory(prefix="libdps-vm-", dir=cache.directory("work")) as place:
            disk, _ = self.disk(case.recipe, place)
            recipe.select_entry(case.recipe, disk, case.entry)
            payload = pathlib.Path(place, "payload")
            host.put_program(self.dps_tag, payload / "target", "usr/sbin/dps-tag")
            (payload / "target/tmp").mkdir()
            (payload / "target/tmp/ks-script-post").write_text(case.script())
            (payload / "luks.key").write_text(recipe.LUKS_KEY)

            shop = recipe.workshop(case.recipe)
            ram_disk = pathlib.Path(place, "initrd")
            initrd.with_payload(shop.installer(), payload, ram_disk)
            console = shop.platform["console"]
            installer = qemu.DirectKernel(
                shop.kernel, ram_disk, f"console={console} panic=-1 no_timer_check quiet"
            )
            drive = qemu.Drive(disk, "virtio", keep=True)
            arch = case.recipe.arch
            first = boot(f"{case.name}-post", self.logs, [drive], arch, installer)
            second = boot(f"{case.name}-reboot", self.logs, [qemu.Drive(disk)], arch)
            return {"post": first, "reboot": second}


class Queue:
    """Starts jobs in the order in which the tests will ask for them."""

    def __init__(self, workers: int):
        self.pool = concurrent.futures.ThreadPoolExecutor(max_workers=workers)
        self.futures: dict[str, concurrent.futures.Future] = {}

    def add(self, name: str, function, *arguments) -> None:
        self.futures[name] = self.pool.submit(function, *arguments)

    def result(self, name: str):
        return self.futures[name].result()

    def stop(self) -> None:
        self.pool.shutdown(wait=True, cancel_futures=True)


def pick(record: dict, dotted: str):
    """The value that a name such as root.fstype leads to; None where the way ends.

    In the list of mounts a mount point leads to what is seen there: the last, and no automount.
    """
    value = record
    for word in dotted.split("."):
        if value is record["mounts"]:
            there = [mount for mount in value if mount["mount_point"] == word]
            value = next((mount for mount in reversed(there) if mount["fstype"] != "autofs"), None)
        else:
            value = value.get(word) if isinstance(value, dict) else None
    return value


def mispredictions(record: dict) -> list[str]:
    """Where the machine did something else than `dps-tag explain` had said of its disk."""
    predicted = record["predicted"]
    lines = []
    if predicted["boots_without_root"] != (record["result"] == "root"):
        said = predicted["boots_without_root"]
        lines.append(f"boots_without_root: said {said}, seen {record['result']}")
    if "generated" not in record["facts"]:
        return lines  # no systemd in this root: there was no second phase
    for mount in predicted["mounts"]:
        place = mount["mount_point"]
        said = mount["state"] == "mounted"
        if mount["role"] == "swap":
            seen = bool(record["facts"].get("swap"))
        else:
            seen = pick(record, f"mounts.{place}") is not None
        if said != seen:
            lines.append(f"{place or 'swap'}: said {mount['state']}, {'' if seen else 'not '}seen")
    return lines


def same(seen, wanted) -> bool:
    """Partition UUIDs and file names of the ESP are the same in either case."""
    if isinstance(seen, str) and isinstance(wanted, str):
        return seen.lower() == wanted.lower()
    return seen == wanted


def differences(record: dict, expect: dict) -> list[str]:
    lines = []
    for dotted, wanted in expect.items():
        seen = pick(record, dotted)
        if not same(seen, wanted):
            lines.append(f"{dotted}: wanted {wanted!r}, seen {seen!r}")
    return lines
