# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is booted and what must come of it, written down before anything runs.

A case is a disk, what is done to a copy of it, the boot entry, and the expected record: dotted
names of machine/record.py to values.  "dps-tag" as first word is the program under test; every
other program only brings about the state that the case is about.  A number before the command is
the exit status that it must have; without one it must succeed.
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
    prepare: tuple[tuple[str | int, ...], ...]
    expect: dict
    suite: str = ALL
    predictable: bool = True  # dps-tag explain can know what will come of it

    def __str__(self) -> str:
        return self.name


@dataclasses.dataclass(frozen=True)
class Installation:
    """A %post in a machine: what udev says there before and after, and the boot that follows."""

    name: str
    recipe: Recipe
    entry: str
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
ROOT_ARM64 = "b921b045-1df0-41c3-af44-4c6f280d3fae"
SRV = "3b8f8425-20e0-4f3b-907f-1a25a76f98e8"
SWAP = "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"

BTRFS = Recipe("btrfs")
EXT4 = Recipe("ext4", root="ext4")
XFS = Recipe("xfs", root="xfs")
LUKS = Recipe("luks", root="ext4", luks=True)
TWO_ROOTS = Recipe("two-roots", second_root=True)
VERITY = Recipe("usr-verity", root="ext4", usr_verity=True)
XBOOTLDR = Recipe("xbootldr", xbootldr=True)
FALLBACK = Recipe("uki-fallback", loader="none")
INSTALLED_LUKS = Recipe("installed-luks", luks=True, srv_and_swap=True, fstab=True)
GRUB = Recipe("grub", root="ext4", loader="grub")
GRUB_WITHOUT_BLI = Recipe("grub-without-bli", root="ext4", loader="grub-without-bli")
TRIXIE = Recipe("trixie", suite="trixie")
TRIXIE_SYSTEM = Recipe(
    "trixie-system", suite="trixie", root="ext4", system=True, srv_and_swap=True
)
ARM = Recipe("aarch64", arch="aarch64")
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

APPLY = ("dps-tag", "apply", "{disk}")
APPLY_ROOT = ((*APPLY, "root:x86-64=2"),)
BY_HAND = ("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel")
ROOT_BY_HAND = (*BY_HAND, "--part-type", "{disk}", "2", ROOT_X86_64)
ON_PARTITION_2 = {"result": "root", "root.source": "/dev/nvme0n1p2"}
ON_PARTITION_3 = {"result": "root", "root.source": "/dev/nvme0n1p3"}

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
    #
    # What goes wrong without dps-tag, and what it must not do.
    Case(
        name="btrfs-type-only",
        recipe=BTRFS,
        entry=UKI,
        prepare=(ROOT_BY_HAND,),
        expect={"result": "switch-root", "root.fs_root": "/"},
    ),
    Case(
        name="btrfs-keep-refused",
        recipe=BTRFS,
        entry=UKI,
        # The default that stays does not lead to root: no type either, and nothing half done.
        prepare=((3, *APPLY, "--btrfs-default", "keep", "root:x86-64=2"),),
        expect=NOT_FOUND,
    ),
    Case(
        name="btrfs-undo",
        recipe=BTRFS,
        entry=UKI,
        prepare=(
            (*APPLY, "--backup", "{place}/backup.json", "root:x86-64=2"),
            ("dps-tag", "undo", "{place}/backup.json", "{disk}"),
        ),
        expect=NOT_FOUND,
    ),
    Case(
        name="wrong-architecture",
        recipe=EXT4,
        entry=UKI,
        prepare=((*BY_HAND, "--part-type", "{disk}", "2", ROOT_ARM64),),
        expect=NOT_FOUND,
    ),
    Case(
        name="wrong-architecture-mended",
        recipe=EXT4,
        entry=UKI,
        prepare=((*BY_HAND, "--part-type", "{disk}", "2", ROOT_ARM64), *APPLY_ROOT),
        expect=ON_PARTITION_2,
    ),
    Case(
        name="no-auto",
        recipe=EXT4,
        entry=UKI,
        prepare=((*APPLY, "root:x86-64=2,no-auto"),),
        expect=NOT_FOUND,
    ),
    Case(
        name="no-auto-cleared",
        recipe=EXT4,
        entry=UKI,
        prepare=((*APPLY, "root:x86-64=2,no-auto"), (*APPLY, "same=2,auto")),
        expect=ON_PARTITION_2,
    ),
    #
    # Two roots: the label that compares higher wins ("root" over "other"), whatever the order.
    Case(
        name="two-roots-by-label",
        recipe=TWO_ROOTS,
        entry=UKI,
        prepare=(
            (*BY_HAND, "--part-type", "{disk}", "3", ROOT_X86_64),
            *APPLY_ROOT,
        ),
        expect=ROOT_SUBVOLUME,
    ),
    Case(
        name="two-roots-other-wins",
        recipe=TWO_ROOTS,
        entry=UKI,
        prepare=(
            (*BY_HAND, "--part-type", "{disk}", "3", ROOT_X86_64),
            (*BY_HAND, "--part-label", "{disk}", "3", "system"),
            (3, *APPLY, "root:x86-64=2"),
        ),
        expect=ON_PARTITION_3,
    ),
    Case(
        name="two-roots-other-untagged",
        recipe=TWO_ROOTS,
        entry=UKI,
        prepare=(
            (*BY_HAND, "--part-type", "{disk}", "3", ROOT_X86_64),
            (*BY_HAND, "--part-label", "{disk}", "3", "system"),
            (*APPLY, "root:x86-64=2", "linux-generic=3"),
        ),
        expect=ROOT_SUBVOLUME,
    ),
    #
    # Other file systems, encryption, verity.
    Case(
        name="ext4-before",
        recipe=EXT4,
        entry=UKI,
        prepare=(),
        expect=NOT_FOUND,
    ),
    Case(
        name="ext4-after",
        recipe=EXT4,
        entry=UKI,
        prepare=APPLY_ROOT,
        expect={**ON_PARTITION_2, "root.fstype": "ext4"},
    ),
    Case(
        name="xfs-after",
        recipe=XFS,
        entry=UKI,
        prepare=APPLY_ROOT,
        expect={**ON_PARTITION_2, "root.fstype": "xfs"},
    ),
    Case(
        name="luks-before",
        recipe=LUKS,
        entry=UKI,
        prepare=(),
        expect=NOT_FOUND,
    ),
    Case(
        name="luks-after",
        recipe=LUKS,
        entry=UKI,
        prepare=APPLY_ROOT,
        expect={
            "result": "root",
            "root_device": "/dev/nvme0n1p2",
            "root.source": "/dev/mapper/root",
            "root.fstype": "ext4",
        },
    ),
    Case(
        name="usr-verity-root-only",
        recipe=VERITY,
        entry=UKI,
        prepare=APPLY_ROOT,
        # usrhash= names the two partitions by their UUIDs, and these are not there yet.
        expect={"result": "no-usr-device", "root_device": "/dev/nvme0n1p2"},
    ),
    Case(
        name="usr-verity-after",
        recipe=VERITY,
        entry=UKI,
        prepare=(
            (
                *(*APPLY, "--usr-hash", "{usr_hash}"),
                *("root:x86-64=2", "usr:x86-64=3", "usr-verity:x86-64=4"),
            ),
        ),
        expect={**ON_PARTITION_2, "mounts./usr.source": "/dev/mapper/usr"},
    ),
    #
    # Other ways from the firmware to the kernel.
    Case(
        name="xbootldr-uki",
        recipe=XBOOTLDR,
        entry=UKI,
        prepare=((*APPLY, "root:x86-64=2", "xbootldr=3"),),
        expect={**ROOT_SUBVOLUME, "loader.LoaderEntrySelected": UKI},
    ),
    Case(
        name="xbootldr-classic",
        recipe=XBOOTLDR,
        entry=CLASSIC,
        prepare=((*APPLY, "root:x86-64=2", "xbootldr=3"),),
        expect={**ROOT_SUBVOLUME, "loader.LoaderEntrySelected": CLASSIC},
    ),
    Case(
        name="uki-fallback-before",
        recipe=FALLBACK,
        entry=None,
        prepare=(),
        # No loader at all: the stub says which partition it came from.
        expect={**NOT_FOUND, "loader.LoaderInfo": None},
    ),
    Case(
        name="uki-fallback-after",
        recipe=FALLBACK,
        entry=None,
        prepare=APPLY_ROOT,
        expect={**ROOT_SUBVOLUME, "loader.LoaderInfo": None},
    ),
    #
    # GRUB says where it came from only with bli; a UKI's stub says it in any case.
    Case(
        name="grub-uki",
        recipe=GRUB,
        entry=UKI,
        prepare=APPLY_ROOT,
        expect={**ON_PARTITION_2, "loader.LoaderDevicePartUUID": ESP_PARTUUID},
    ),
    Case(
        name="grub-classic",
        recipe=GRUB,
        entry=CLASSIC,
        prepare=APPLY_ROOT,
        expect={
            **ON_PARTITION_2,
            "loader.LoaderDevicePartUUID": ESP_PARTUUID,
            "loader.StubInfo": None,
        },
    ),
    Case(
        name="grub-without-bli-uki",
        recipe=GRUB_WITHOUT_BLI,
        entry=UKI,
        prepare=APPLY_ROOT,
        expect={**ON_PARTITION_2, "loader.LoaderDevicePartUUID": ESP_PARTUUID},
    ),
    Case(
        name="grub-without-bli-classic",
        recipe=GRUB_WITHOUT_BLI,
        entry=CLASSIC,
        prepare=APPLY_ROOT,
        expect={**NOT_FOUND, "loader": {}},
        predictable=False,
    ),
    #
    # systemd 257 and kernel 6.12.
    Case(
        name="trixie-before",
        recipe=TRIXIE,
        entry=UKI,
        prepare=(),
        expect=NOT_FOUND,
    ),
    Case(
        name="trixie-after",
        recipe=TRIXIE,
        entry=UKI,
        prepare=APPLY_ROOT,
        expect=ROOT_SUBVOLUME,
    ),
    Case(
        name="trixie-system-after",
        recipe=TRIXIE_SYSTEM,
        entry=UKI,
        prepare=((*APPLY, "root:x86-64=2", "srv=3", "swap=4"),),
        # From version 254 on the ESP goes to /boot, when there is no XBOOTLDR.
        expect={
            **ON_PARTITION_2,
            "mounts./srv.source": "/dev/nvme0n1p3",
            "facts.swap": ["/dev/nvme0n1p4"],
            "mounts./boot.source": "/dev/nvme0n1p1",
            "mounts./efi": None,
            "failed_units": [],
        },
    ),
    #
    # Another architecture.
    Case(
        name="aarch64-before",
        recipe=ARM,
        entry=UKI,
        prepare=(),
        expect=NOT_FOUND,
        suite=ARM64,
    ),
    Case(
        name="aarch64-wrong-architecture",
        recipe=ARM,
        entry=UKI,
        prepare=((*BY_HAND, "--part-type", "{disk}", "2", ROOT_X86_64),),
        expect=NOT_FOUND,
        suite=ARM64,
    ),
    Case(
        name="aarch64-after",
        recipe=ARM,
        entry=UKI,
        prepare=((*APPLY, "root:aarch64=2"),),
        expect={**ROOT_SUBVOLUME, "loader.LoaderEntrySelected": UKI},
        suite=ARM64,
    ),
    #
    # A real system: the second phase of discovery.
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
        prepare=((*APPLY, "root:x86-64=2", "srv=3", "swap=4"),),
        expect=DISCOVERED,
    ),
    Case(
        name="system-after-classic",
        recipe=SYSTEM,
        entry=CLASSIC,
        prepare=((*APPLY, "root:x86-64=2", "srv=3", "swap=4"),),
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
        entry=UKI,
        kickstart="kickstart/tag.ks",
        post=AFTER_POST,
        reboot=ROOT_SUBVOLUME,
        suite=SHORT,
    ),
    Installation(
        name="kickstart-luks",
        recipe=INSTALLED_LUKS,
        entry=UKI,
        kickstart="kickstart/tag.ks",
        # The partition below the device mapper gets the type, and the btrfs in it the default.
        post=AFTER_POST,
        reboot={**ROOT_SUBVOLUME, "root.source": "/dev/mapper/root"},
    ),
]
