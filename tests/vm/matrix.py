# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is booted and what must come of it, written down before anything runs.

A case is a disk, what is done to a copy of it, the boot entry, and the expected record: dotted
names of machine/record.py to values.  "dps-tag" as first word is the program under test; every
other program only brings about the state that the case is about.
"""

import dataclasses

import kickstart
from image.recipe import Recipe

SHORT, ALL, ARM64 = "short", "all", "arm64"

UKI, CLASSIC = "test-uki.efi", "classic.conf"
ESP_PARTUUID = "aaaaaaaa-0000-4000-8000-000000000001"


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    recipe: Recipe
    entry: str | None
    prepare: tuple[tuple[str, ...], ...]
    expect: dict
    suite: str = ALL

    def __str__(self) -> str:
        return self.name


@dataclasses.dataclass(frozen=True)
class Installation:
    """A %post in a machine: what udev says there before and after, and the boot that follows."""

    name: str
    recipe: Recipe
    kickstart: str  # a file of the repository, with a %post for the chroot
    post: dict
    reboot: dict
    suite: str = ALL

    def __str__(self) -> str:
        return self.name

    def script(self) -> str:
        return kickstart.post_script(kickstart.TOP / self.kickstart)


# Type GUIDs from the specification (UAPI.2), written out: not read from the table under test.
GENERIC = "0fc63daf-8483-4772-8e79-3d69d8477de4"
ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
ROOT_X86_64 = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"
SRV = "3b8f8425-20e0-4f3b-907f-1a25a76f98e8"
SWAP = "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"

BTRFS = Recipe("btrfs")
SYSTEM = Recipe("system", root="ext4", system=True, srv_and_swap=True)
INSTALLED = Recipe("installed", srv_and_swap=True, fstab=True)

NOT_FOUND = {"result": "no-root-device", "root": None, "root_device": "missing"}
ROOT_SUBVOLUME = {
    "result": "root",
    "root.fstype": "btrfs",
    "root.fs_root": "/root",
    "root.source": "/dev/nvme0n1p2",
    "loader.LoaderDevicePartUUID": ESP_PARTUUID,
}
DISCOVERED = {
    "result": "root",
    "root.fstype": "ext4",
    "root.source": "/dev/nvme0n1p2",
    "facts.fstab": ["absent"],
    "mounts./srv.source": "/dev/nvme0n1p3",
    "facts.swap": ["/dev/nvme0n1p4"],
    "mounts./efi.source": "/dev/nvme0n1p1",
    "mounts./efi.fstype": "vfat",
    # Not one of them from an fstab.
    "facts.generated": [
        "/run/systemd/generator.late/-.mount",
        "/run/systemd/generator.late/dev-nvme0n1p4.swap",
        "/run/systemd/generator.late/efi.automount",
        "/run/systemd/generator.late/efi.mount",
        "/run/systemd/generator.late/srv.mount",
    ],
    "failed_units": [],
}

APPLY_ROOT = (("dps-tag", "apply", "{disk}", "root:x86-64=2"),)

CASES = [
    Case(
        name="btrfs-before",
        recipe=BTRFS,
        entry=UKI,
        prepare=(),
        expect={**NOT_FOUND, "loader.LoaderEntrySelected": UKI},
        suite=SHORT,
    ),
    Case(
        name="btrfs-after-uki",
        recipe=BTRFS,
        entry=UKI,
        prepare=APPLY_ROOT,
        expect={**ROOT_SUBVOLUME, "loader.LoaderEntrySelected": UKI},
        suite=SHORT,
    ),
    Case(
        name="btrfs-after-classic",
        recipe=BTRFS,
        entry=CLASSIC,
        prepare=APPLY_ROOT,
        expect={**ROOT_SUBVOLUME, "loader.LoaderEntrySelected": CLASSIC},
        suite=SHORT,
    ),
    Case(
        name="system-before",
        recipe=SYSTEM,
        entry=UKI,
        prepare=(),
        expect=NOT_FOUND,
    ),
    Case(
        name="system-root-only",
        recipe=SYSTEM,
        entry=UKI,
        prepare=APPLY_ROOT,
        expect={
            "result": "root",
            "root.source": "/dev/nvme0n1p2",
            "facts.fstab": ["absent"],
            "mounts./srv": None,
            "facts.swap": None,
            # The ESP has its type from the start.
            "mounts./efi.source": "/dev/nvme0n1p1",
        },
    ),
    Case(
        name="system-after",
        recipe=SYSTEM,
        entry=UKI,
        prepare=(("dps-tag", "apply", "{disk}", "root:x86-64=2", "srv=3", "swap=4"),),
        expect=DISCOVERED,
    ),
    Case(
        name="system-after-classic",
        recipe=SYSTEM,
        entry=CLASSIC,
        prepare=(("dps-tag", "apply", "{disk}", "root:x86-64=2", "srv=3", "swap=4"),),
        expect={**DISCOVERED, "loader.LoaderEntrySelected": CLASSIC},
    ),
]

AFTER_POST = {
    "result": "done",
    "facts.type-before": [f"1 {ESP}", f"2 {GENERIC}", f"3 {GENERIC}", f"4 {GENERIC}"],
    "facts.post-status": ["0"],
    "facts.type-after": [f"1 {ESP}", f"2 {ROOT_X86_64}", f"3 {SRV}", f"4 {SWAP}"],
}

INSTALLATIONS = [
    Installation(
        name="kickstart",
        recipe=INSTALLED,
        kickstart="kickstart/tag.ks",
        post=AFTER_POST,
        reboot=ROOT_SUBVOLUME,
        suite=SHORT,
    ),
]
