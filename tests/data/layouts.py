# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks as distributions and image builders lay them out: tables, contents, boot programs, entries.

The rows of osbuild are those of its partition tables (osbuild/images, pkg/distro, 2026-06); the
others are what the installers of their distributions leave.  Programs are those of Debian's
packages (binaries.py), which stand for each distribution's own: shim is shim.  What check is to say
of each is in tests/against/test_layouts.py.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import struct
from collections.abc import Callable

import binaries
import makedisk
import makepe
from makedisk import Partition

BIOS_BOOT = "21686148-6449-6e6f-744e-656564454649"
PREP = "9e1a2d38-c612-4316-aa26-8b49521e5a8b"
LVM = "e6d6d379-f507-44c2-a23c-238f2a3df928"
MS_RESERVED = "e3c9e316-0b5c-4db8-817d-f92df00215ae"
WINDOWS_RE = "de94bba4-06d1-4d40-a16a-bfd50179d6ac"
SWAP = "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"
HOME = "933ac7e1-2eb4-4f13-b844-0e14e2aef915"
ROOTS = {
    "x86_64": makedisk.ROOT_X86_64,
    "aarch64": makedisk.ROOT_ARM64,
    "riscv64": "72ec70a6-cf74-40e6-bd49-4bda08e8f224",
    "ppc64le": "c31c45e6-3f39-412e-80fb-4809c4980599",
    "s390x": "5eead9a9-fe09-4a1e-a1d7-520d00531306",
}
SUFFIXES = {"x86_64": "x64", "aarch64": "aa64", "riscv64": "riscv64"}
MACHINES = {"x86_64": makepe.X86_64, "aarch64": makepe.ARM64, "riscv64": 0x5064}
MACHINE_ID = "6a9857a393724b7a981ebb5b8495b9ea"
VERSION = "6.11.4-301"


@dataclasses.dataclass
class Layout:
    """A disk, and where things are on it, for those who plant faults."""

    arch: str
    partitions: list[Partition]
    table: str = "gpt"
    root: int = 0  # number of the partition with the system
    esp: int = 0
    needs_subvolumes: bool = False
    first_sector: bytes = b""  # what is in it before the table's own

    def __post_init__(self) -> None:
        self.needs_subvolumes = any(part.subvolumes for part in self.partitions)

    def make(self, path: pathlib.Path) -> pathlib.Path:
        makedisk.make(path, self.partitions, label=self.table)
        with open(path, "r+b") as file:
            file.write(self.first_sector[:440])
        return path


LAYOUTS: dict[str, Callable[[], Layout]] = {}


def layout(*archs: str) -> Callable:
    """Adds a recipe to LAYOUTS, once for each of its architectures."""

    def add(recipe: Callable) -> Callable:
        for arch in archs or ("x86_64",):
            LAYOUTS[f"{recipe.__name__.replace('_', '-')}/{arch}"] = functools.partial(recipe, arch)
        return recipe

    return add


# --- Programs ---


def shim(arch: str, vendor: str, grub_cfg: str, fallback: bool = True) -> dict:
    """shim in the place of the loader, its helpers, and the vendor's directory."""
    suffix, upper = SUFFIXES[arch], SUFFIXES[arch].upper()
    if arch == "riscv64":  # no shim is signed for it: GRUB itself is the fallback loader
        grub = makepe.grub("2.12", machine=MACHINES[arch])
        return {f"EFI/BOOT/BOOT{upper}.EFI": grub, f"EFI/{vendor}/grub{suffix}.efi": grub, f"EFI/{vendor}/grub.cfg": grub_cfg}
    files = {
        f"EFI/BOOT/BOOT{upper}.EFI": binaries.program("shim", arch),
        f"EFI/{vendor}/shim{suffix}.efi": binaries.program("shim", arch),
        f"EFI/{vendor}/mm{suffix}.efi": binaries.program("mok", arch),
        f"EFI/{vendor}/grub{suffix}.efi": binaries.program("grub", arch),
        f"EFI/{vendor}/BOOT{upper}.CSV": csv(f"shim{suffix}.efi,{vendor},,This is the boot entry for {vendor}\n"),
        f"EFI/{vendor}/grub.cfg": grub_cfg,
    }
    if fallback:
        files[f"EFI/BOOT/fb{suffix}.efi"] = binaries.program("fallback", arch)
    return files


def suse_shim(arch: str, directory: str, loader: bytes, label: str) -> dict:
    """SUSE's shim is built for names without the architecture."""
    return {
        "EFI/boot/bootx64.efi": binaries.program("shim", arch), "EFI/boot/fallback.efi": binaries.program("fallback", arch),
        "EFI/boot/MokManager.efi": binaries.program("mok", arch),
        f"EFI/{directory}/shim.efi": binaries.program("shim", arch), f"EFI/{directory}/MokManager.efi": binaries.program("mok", arch),
        f"EFI/{directory}/grub.efi": loader, f"EFI/{directory}/boot.csv": csv(f"shim.efi,{label},,This is the boot entry for {label}\n"),
    }


def csv(text: str) -> bytes:
    return ("\ufeff" + text).encode("utf-16-le")


def systemd_boot(arch: str) -> dict:
    """As `bootctl install` leaves it."""
    loader = binaries.program("systemd-boot", arch)
    suffix = SUFFIXES[arch]
    return {f"EFI/BOOT/BOOT{suffix.upper()}.EFI": loader, f"EFI/systemd/systemd-boot{suffix}.efi": loader,
            "loader/entries.srel": "type1\n", "EFI/Linux/.keep": ""}


def kernel(arch: str, size: int = 65536) -> bytes:
    if arch in MACHINES:
        return makepe.kernel(MACHINES[arch], size)
    return b"\x7fELF" + bytes(size) if arch == "ppc64le" else bytes(size)


# --- Trees ---


def fs(number: int) -> str:
    return f"UUID={number:08x}-aaaa-4bbb-8ccc-dddddddddddd"  # as makedisk gives them


def fat(number: int) -> str:
    return f"UUID=ABCD-{number:04X}"


def partuuid(number: int) -> str:
    return f"PARTUUID={number:08x}-1111-4222-8333-444444444444"


def tree(arch: str, os_id: str, name: str, *fstab: str, machine_id: str = MACHINE_ID + "\n", **more: object) -> dict:
    """A root file system, as far as anybody looks at it."""
    return {
        "etc/os-release": pathlib.PurePosixPath("../usr/lib/os-release"),
        "usr/lib/os-release": f'NAME="{name}"\nID={os_id}\nPRETTY_NAME="{name} 42"\nVERSION_ID=42\n',
        "etc/fstab": "# <file system> <mount point> <type> <options> <dump> <pass>\n" + "".join(f"{line}\n" for line in fstab),
        "etc/machine-id": machine_id,
        "etc/hostname": "host\n",
        "etc/passwd": "root:x:0:0:root:/root:/bin/bash\n",
        "usr/bin/bash": binaries.elf(arch),
        "usr/lib/systemd/systemd": binaries.elf(arch),
        **{f"{name}/": None for name in ("boot", "dev", "efi", "home", "mnt", "proc", "root", "run", "srv", "sys", "tmp", "var/tmp")},
        **more,
    }


def bls(root: str, more: str = "", title: str = "Fedora Linux (6.11.4) 42", version: str = VERSION, prefix: str = "") -> str:
    """An entry as kernel-install of Fedora writes it for GRUB."""
    return (f"title {title}\nversion {version}\nlinux {prefix}/vmlinuz-{version}\ninitrd {prefix}/initramfs-{version}.img"
            f"{' $tuned_initrd' if more else ''}\n"
            f"options {root} ro {more}\ngrub_users $grub_users\ngrub_arg --unrestricted\ngrub_class fedora\n")


def fedora_boot(arch: str, root: str, more: str = "console=tty1 $tuned_params", prefix: str = "") -> dict:
    """/boot of Fedora and RHEL: two entries, kernel, initramfs, GRUB's menu that reads the entries."""
    return {
        f"loader/entries/{MACHINE_ID}-{VERSION}.conf": bls(root, more, prefix=prefix),
        f"loader/entries/{MACHINE_ID}-0-rescue.conf": bls(root, more, "Fedora Linux (0-rescue)", "0-rescue", prefix=prefix),
        f"vmlinuz-{VERSION}": kernel(arch), f"initramfs-{VERSION}.img": bytes(65536),
        "vmlinuz-0-rescue": kernel(arch), "initramfs-0-rescue.img": bytes(65536),
        f"config-{VERSION}": "CONFIG_EFI_STUB=y\n", f"System.map-{VERSION}": "0 A x\n",
        "grub2/grub.cfg": f'set default="${{saved_entry}}"\nsearch --no-floppy --fs-uuid --set=root X\n'
                          f'set kernelopts="{root} ro "\ninsmod blscfg\nblscfg\n',
        "grub2/grubenv": "# GRUB Environment Block\nsaved_entry=" + MACHINE_ID + "-" + VERSION + "\n",
        "efi/": None,
    }


def debian_grub(root: str, prefix: str = "/boot", memtest: bool = False) -> str:
    """grub.cfg as grub-mkconfig of Debian writes it."""
    text = ("set timeout=5\n### BEGIN /etc/grub.d/10_linux ###\n"
            "menuentry 'Debian GNU/Linux' --class debian --class gnu-linux --class gnu --class os {\n"
            "\tload_video\n\tinsmod gzio\n\tif [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi\n"
            f"\tsearch --no-floppy --fs-uuid --set=root {root.split('=')[-1]}\n\techo\t'Loading Linux 6.1 ...'\n"
            f"\tlinux\t{prefix}/vmlinuz-6.1.0-18-amd64 {root} ro  quiet\n\tinitrd\t{prefix}/initrd.img-6.1.0-18-amd64\n}}\n"
            "submenu 'Advanced options for Debian GNU/Linux' {\n"
            "\tmenuentry 'Debian GNU/Linux, with Linux 6.1 (recovery mode)' {\n"
            f"\t\tlinux\t{prefix}/vmlinuz-6.1.0-18-amd64 {root} ro single \n\t\tinitrd\t{prefix}/initrd.img-6.1.0-18-amd64\n\t}}\n}}\n")
    if memtest:  # /etc/grub.d/20_memtest86+ of Debian's package
        text += ("### BEGIN /etc/grub.d/20_memtest86+ ###\nmenuentry 'Memory test (memtest86+x64.efi)' {\n"
                 f"\tlinux\t{prefix}/memtest86+x64.efi\n}}\n"
                 "menuentry 'Memory test (memtest86+x64.efi, serial console)' {\n"
                 f"\tlinux\t{prefix}/memtest86+x64.efi console=ttyS0,115200\n}}\n")
    return text + "menuentry 'UEFI Firmware Settings' {\n\tfwsetup\n}\n"


def grub_stub(uuid: str, prefix: str) -> str:
    """The grub.cfg on the ESP that leads to the real one."""
    return f"search --no-floppy --root-dev-only --fs-uuid --set=dev {uuid.split('=')[1]}\nset prefix=($dev){prefix}\nexport $prefix\nconfigfile $prefix/grub.cfg\n"


# Boot programs for other firmware, as far as anybody tells them by: GRUB's boot sector, its core for
# BIOS and for PowerPC, and zipl's record.
GRUB_MBR = b"\xeb\x63\x90" + bytes(380) + b"GRUB \0Geom\0Hard Disk\0Read\0 Error\0"
PREP_CORE = b"\x7fELF\x01\x02\x01" + bytes(9) + b"\0\x02\0\x14" + bytes(100)
# struct scsi_mbr of s390-tools (include/boot/boot_defs.h), big-endian: magic, version, where the program
# table is; and at 112 the boot information: magic, version, to start (not to dump), of SCSI, 64 bits.
ZIPL = struct.pack(">4sI8xQHH4x80x4sBBBBQHH20x", b"zIPL", 1, 2048, 512, 1, b"zIPL", 1, 0, 2, 1, 2056, 512, 1)
GRUB_CORE = b"\x52\xe8\x28\x01\x74" + bytes(300) + b"loading\0.\0\r\n\0Geom\0Read\0 Error\0"


# --- Parts ---


def esp(size: int, files: dict, **more: object) -> Partition:
    return Partition(**{"size": size, "type": makedisk.ESP, "content": "vfat", "label": "EFI", "files": files, **more})


def bios(size: int = 1) -> Partition:
    """With GRUB in it; of PowerPC where it has that size."""
    core = PREP_CORE if size == 8 else GRUB_CORE
    return Partition(size=size, type=BIOS_BOOT, attrs="LegacyBIOSBootable", content="raw", files={"": core})


def first_of(arch: str, size: int) -> list[Partition]:
    return [bios(size)] if arch == "x86_64" else []


def rpm_fstab(root: int, root_type: str, boot: int = 0, boot_type: str = "", efi: int = 0, subvolumes: tuple = ()) -> list[str]:
    lines = [f"{fs(root)} / {root_type} defaults{',subvol=root' if subvolumes else ''} 0 0"]
    lines += [f"{fs(root)} /{name} {root_type} subvol={name} 0 0" for name in subvolumes if name != "root"]
    if boot:
        lines.append(f"{fs(boot)} /boot {boot_type} defaults 0 0")
    if efi:
        lines.append(f"{fat(efi)} /boot/efi vfat defaults,uid=0,gid=0,umask=077,shortname=winnt 0 2")
    return lines


def build(arch: str, parts: list[Partition], **more: object) -> Layout:
    """Root and ESP are found by what they hold."""
    numbers = {id(part): part.number or place for place, part in enumerate(parts, 1)}
    root = next((numbers[id(part)] for part in parts if "usr/lib/os-release" in part.files), 0)
    esp_number = next((numbers[id(part)] for part in parts if part.type == makedisk.ESP), 0)
    if arch == "s390x":
        more["first_sector"] = ZIPL
    elif arch == "x86_64" and any(part.type == BIOS_BOOT for part in parts):
        more["first_sector"] = GRUB_MBR
    return Layout(arch, parts, root=root, esp=esp_number, **more)


# --- osbuild: section 7 of the reference, row by row ---


def rpm_esp(arch: str, size: int, vendor: str, boot: int, prefix: str = "/grub2") -> Partition:
    return esp(size, shim(arch, vendor, grub_stub(fs(boot), prefix)))


@layout("x86_64", "aarch64", "riscv64")
def fedora_generic(arch: str) -> Layout:
    """qcow2, ami, oci, openstack, vhd, vmdk, ova, vagrant."""
    first = first_of(arch, 1)
    n = len(first)
    return build(arch, [
        *first, rpm_esp(arch, 200, "fedora", n + 2),
        Partition(size=1024, content="ext4", label="boot", files=fedora_boot(arch, f"root={fs(n + 3)}")),
        Partition(size=1024, content="ext4", label="root",
                  files=tree(arch, "fedora", "Fedora Linux", *rpm_fstab(n + 3, "ext4", n + 2, "ext4", n + 1), machine_id=""))])


@layout("ppc64le", "s390x")
def fedora_generic_dos(arch: str) -> Layout:
    first = [Partition(size=4, type="41", content="raw", files={"": PREP_CORE})] if arch == "ppc64le" else []
    n = len(first)
    return build(arch, [
        *first, Partition(size=1024, type="83", content="ext4", files=fedora_boot(arch, f"root={fs(n + 2)}")),
        Partition(size=1024, type="83", content="ext4",
                  files=tree(arch, "fedora", "Fedora Linux", *rpm_fstab(n + 2, "ext4", n + 1, "ext4")))], table="dos")


def cloud(arch: str, has_boot: bool) -> Layout:
    """btrfs with subvolumes; nobody sets a default, every entry says rootflags=subvol=root."""
    is_efi = arch in SUFFIXES
    first = first_of(arch, 2) if is_efi else [bios(8)]
    n = len(first) + is_efi
    root, boot = n + has_boot + 1, n + 1 if has_boot else 0
    names = ("root", "home", "var") if has_boot else ("root", "boot", "home", "var")
    files = fedora_boot(arch, f"root={fs(root)}", "rootflags=subvol=root no_timer_check console=tty1", "" if has_boot else "/boot")
    system = tree(arch, "fedora", "Fedora Linux Cloud", *rpm_fstab(root, "btrfs", boot, "ext4", n if is_efi else 0, names))
    parts = list(first)
    if is_efi:
        parts.append(rpm_esp(arch, 100, "fedora", boot or root, "/grub2" if boot else "/boot/grub2"))
    if has_boot:
        parts.append(Partition(size=1024, type=makedisk.XBOOTLDR, content="ext4", label="BOOT", files=files))
        parts.append(Partition(size=1024, type=ROOTS[arch], content="btrfs", label="fedora", subvolumes=names, files=system))
    else:
        # /boot is a subvolume of its own: its files cannot be given with root's.
        parts.append(Partition(size=1024, type=ROOTS[arch], content="btrfs", label="fedora",
                               subvolumes=("root", "boot", "home", "var"), files={**system},
                               more_files={"boot": files}))
    return build(arch, parts)


@layout("x86_64", "aarch64")
def fedora_cloud_43(arch: str) -> Layout:
    return cloud(arch, True)


@layout("x86_64", "aarch64")
def fedora_cloud_44(arch: str) -> Layout:
    return cloud(arch, False)


@layout("ppc64le")
def fedora_cloud_43_wrong_prep(arch: str) -> Layout:
    return cloud(arch, True)


@layout("ppc64le")
def fedora_cloud_44_wrong_prep(arch: str) -> Layout:
    return cloud(arch, False)


@layout("s390x")
def fedora_cloud_dos(arch: str) -> Layout:
    return build(arch, [
        Partition(size=1024, type="83", content="ext4", files=fedora_boot(arch, f"root={fs(2)}", "rootflags=subvol=root")),
        Partition(size=1024, type="83", content="btrfs", subvolumes=("root", "home", "var"),
                  files=tree(arch, "fedora", "Fedora Linux", *rpm_fstab(2, "btrfs", 1, "ext4", 0, ("root", "home", "var"))))], table="dos")


@layout("x86_64", "aarch64", "ppc64le")
def fedora_server_qcow2(arch: str) -> Layout:
    """The root type is on an LVM PV."""
    is_efi = arch in SUFFIXES
    first = first_of(arch, 2) if is_efi else [bios(8)]
    n = len(first) + is_efi
    parts = [*first] + ([rpm_esp(arch, 500, "fedora", n + 1)] if is_efi else [])
    parts += [Partition(size=1024, type=makedisk.XBOOTLDR, content="xfs", files=fedora_boot(arch, "root=/dev/mapper/systemVG-LVRoot")),
              Partition(size=1024, type=ROOTS[arch], content="LVM2_member")]
    return build(arch, parts)


@layout("x86_64")
def fedora_minimal_raw(arch: str) -> Layout:
    return build(arch, [
        rpm_esp(arch, 200, "fedora", 2),
        Partition(size=1024, type=makedisk.XBOOTLDR, content="ext4", files=fedora_boot(arch, f"root={fs(3)}")),
        Partition(size=1024, content="ext4", files=tree(arch, "fedora", "Fedora Linux", *rpm_fstab(3, "ext4", 2, "ext4", 1)))])


@layout("aarch64", "riscv64")
def fedora_minimal_raw_dos(arch: str) -> Layout:
    return build(arch, [
        Partition(**{**vars(rpm_esp(arch, 200, "fedora", 2)), "type": "6", "attrs": ""}),
        Partition(size=1024, type="83", content="ext4", files=fedora_boot(arch, f"root={fs(3)}")),
        Partition(size=1024, type="83", content="ext4",
                  files=tree(arch, "fedora", "Fedora Linux", *rpm_fstab(3, "ext4", 2, "ext4", 1)))], table="dos")


def ostree(arch: str, root: int, boot: int, efi: int) -> dict:
    """A deployment: the file system's own root has no os-release, /boot/loader is a link."""
    deployed = tree(arch, "fedora", "Fedora Linux IoT", *rpm_fstab(root, "ext4", boot, "ext4", efi))
    place = "ostree/deploy/fedora-iot/deploy/0123456789abcdef.0"
    return {**{f"{place}/{name}": what for name, what in deployed.items()},
            "ostree/boot.1": pathlib.PurePosixPath("boot.1.1"), "ostree/repo/config": "[core]\nrepo_version=1\nmode=bare\n",
            "boot/": None, "sysroot/": None, "ostree/boot.1.1/": None}


def ostree_boot(arch: str, root: str) -> dict:
    files = f"ostree/fedora-iot-0123456789/vmlinuz-{VERSION}"
    return {"loader": pathlib.PurePosixPath("loader.1"),
            "loader.1/entries/ostree-1-fedora-iot.conf":
                f"title Fedora IoT 42 (ostree:0)\nversion 1\noptions {root} rw ostree=/ostree/boot.1/fedora-iot/0123456789/0\n"
                f"linux /{files}\ninitrd /ostree/fedora-iot-0123456789/initramfs-{VERSION}.img\n",
            files: kernel(arch), f"ostree/fedora-iot-0123456789/initramfs-{VERSION}.img": bytes(65536),
            "grub2/grub.cfg": "insmod blscfg\nblscfg\n", "efi/": None}


@layout("x86_64", "aarch64")
def fedora_iot(arch: str) -> Layout:
    """Also kinoite and silverblue.  aarch64 has a dos table."""
    if arch == "aarch64":
        return fedora_iot_dos(arch)
    return build(arch, [rpm_esp(arch, 501, "fedora", 2), Partition(size=1024, content="ext4", files=ostree_boot(arch, f"root={fs(3)}")),
                        Partition(size=1024, content="ext4", files=ostree(arch, 3, 2, 1))])


def fedora_iot_dos(arch: str) -> Layout:
    return build(arch, [
        Partition(**{**vars(rpm_esp(arch, 501, "fedora", 2)), "type": "6"}),
        Partition(size=1024, type="83", content="ext4", files=ostree_boot(arch, f"root={fs(3)}")),
        Partition(size=1024, type="83", content="ext4", files=ostree(arch, 3, 2, 1))], table="dos")


@layout("x86_64", "aarch64")
def iot_simplified_installer(arch: str) -> Layout:
    """Generic, LUKS in it, LVM in that."""
    return build(arch, [
        rpm_esp(arch, 501, "fedora", 2),
        Partition(size=1024, type=makedisk.XBOOTLDR, content="ext4", files=ostree_boot(arch, "root=/dev/mapper/rootvg-rootlv")),
        Partition(size=1024, content="crypto_LUKS")])


@layout("x86_64", "aarch64")
def rhel_10(arch: str) -> Layout:
    """qcow2, ami, ec2, gce, vmdk: /boot is a directory of an xfs that is generic."""
    first = first_of(arch, 1)
    n = len(first)
    return build(arch, [
        *first, rpm_esp(arch, 200, "redhat", n + 2, "/boot/grub2"),
        Partition(size=1024, content="xfs", label="root", files={
            **tree(arch, "rhel", "Red Hat Enterprise Linux", *rpm_fstab(n + 2, "xfs", 0, "", n + 1)),
            **{f"boot/{name}": what for name, what in fedora_boot(arch, f"root={fs(n + 2)}", prefix="/boot").items()}})])


@layout("x86_64", "aarch64")
def rhel_9(arch: str) -> Layout:
    first = first_of(arch, 1)
    n = len(first)
    return build(arch, [
        *first, rpm_esp(arch, 200, "redhat", n + 2),
        Partition(size=1024, type=makedisk.XBOOTLDR, content="xfs", label="boot", files=fedora_boot(arch, f"root={fs(n + 3)}")),
        Partition(size=1024, content="xfs", label="root",
                  files=tree(arch, "rhel", "Red Hat Enterprise Linux", *rpm_fstab(n + 3, "xfs", n + 2, "xfs", n + 1)))])


@layout("x86_64")
def rhel_azure(arch: str) -> Layout:
    return build(arch, [
        rpm_esp(arch, 500, "redhat", 2),
        Partition(size=1024, content="xfs", files=fedora_boot(arch, "root=/dev/mapper/rootvg-rootlv")),
        bios(2), Partition(size=1024, type=LVM, content="LVM2_member")])


@layout("x86_64")
def rhel_oci(arch: str) -> Layout:
    return build(arch, [
        bios(1), rpm_esp(arch, 500, "redhat", 3),
        Partition(size=1024, type=makedisk.XBOOTLDR, content="xfs", files=fedora_boot(arch, "root=/dev/mapper/rootvg-rootlv")),
        Partition(size=1024, type=LVM, content="LVM2_member")])


def uki(arch: str, cmdline: str, os_id: str = "rhel", size: int = 1 << 20) -> bytes:
    """The stub of Debian's package with a kernel in it; for real kernels see test_programs.py."""
    return makepe.uki(cmdline, osrel=f'ID={os_id}\nNAME="{os_id}"\nPRETTY_NAME="{os_id} 42"\nVERSION_ID=42\n'.encode(),
                      machine=MACHINES[arch], size=size)


@layout("x86_64")
def rhel_cvm(arch: str) -> Layout:
    """ec2-cvm, azure-cvm: a UKI that shim's fallback starts, no GRUB: the one pure DPS layout."""
    files = shim(arch, "redhat", "")
    for name in ("grubx64.efi", "grub.cfg"):
        del files[f"EFI/redhat/{name}"]
    name = f"{MACHINE_ID}-{VERSION}.efi"
    files[f"EFI/Linux/{name}"] = uki(arch, "console=ttyS0 console=tty0")
    files["EFI/redhat/BOOTX64.CSV"] = csv(f"shimx64.efi,redhat,\\EFI\\Linux\\{name} ,UKI bootentry\n")
    return build(arch, [esp(512, files), Partition(size=1024, type=ROOTS[arch], content="ext4", label="root", files=tree(
        arch, "rhel", "Red Hat Enterprise Linux", f"{fs(2)} / ext4 defaults 0 0", f"{fat(1)} /boot/efi vfat umask=077,shortname=winnt 0 2"))])


@layout("x86_64", "aarch64")
def rhel_9_edge(arch: str) -> Layout:
    first = first_of(arch, 1)
    n = len(first)
    return build(arch, [
        *first, rpm_esp(arch, 127, "redhat", n + 2),
        Partition(size=384, type=makedisk.XBOOTLDR, content="xfs", files=ostree_boot(arch, "root=/dev/mapper/luks-root")),
        Partition(size=1024, content="crypto_LUKS")])


@layout("x86_64", "aarch64", "ppc64le", "s390x")
def bootc_generic(arch: str) -> Layout:
    first = {"x86_64": [bios(1)], "ppc64le": [Partition(size=4, type=PREP, content="raw", files={"": PREP_CORE})]}.get(arch, [])
    efi = [rpm_esp(arch, 501, "fedora", len(first) + 2)] if arch in SUFFIXES else []
    n = len(first) + len(efi)
    return build(arch, [
        *first, *efi, Partition(size=1024, type=makedisk.XBOOTLDR, content="ext4", label="boot", files=ostree_boot(arch, f"root={fs(n + 2)}")),
        Partition(size=1024, content="ext4", label="root", files=ostree(arch, n + 2, n + 1, n if efi else 0))])


# --- Other distributions ---


def deb_tree(arch: str, root: int, efi: int = 0, *more: str, name: str = "Debian GNU/Linux", root_cmd: str = "", memtest: bool = False) -> dict:
    lines = [f"{fs(root)} / ext4 errors=remount-ro 0 1"]
    lines += [f"{fat(efi)} /boot/efi vfat umask=0077 0 1"] if efi else []
    return {**tree(arch, name.split()[0].lower(), name, *lines, *more),
            "boot/grub/grub.cfg": debian_grub(root_cmd or f"root={fs(root)}", memtest=memtest),
            "boot/vmlinuz-6.1.0-18-amd64": kernel(arch), "boot/initrd.img-6.1.0-18-amd64": bytes(65536),
            **({"boot/memtest86+x64.efi": binaries.program("memtest")} if memtest else {})}


@layout("x86_64", "aarch64")
def debian(arch: str) -> Layout:
    """debian-installer, guided, one partition; fwupd beside GRUB, memtest86+ in its menu."""
    suffix = SUFFIXES[arch]
    files = {**shim(arch, "debian", grub_stub(fs(2), "/boot/grub")), f"EFI/debian/fwupd{suffix}.efi": binaries.program("fwupd", arch)}
    return build(arch, [
        esp(512, files, label=""),
        Partition(size=1024, content="ext4", files=deb_tree(arch, 2, 1, f"{fs(3)} none swap sw 0 0", memtest=arch == "x86_64")),
        Partition(size=256, type=SWAP, content="swap")])


@layout("x86_64")
def debian_bios(arch: str) -> Layout:
    return build(arch, [bios(1), Partition(size=1024, content="ext4", files=deb_tree(arch, 2, 0, f"{fs(3)} none swap sw 0 0", memtest=True)),
                        Partition(size=256, type=SWAP, content="swap")])


@layout("x86_64")
def debian_luks_lvm(arch: str) -> Layout:
    """Guided, encrypted LVM: /boot is outside."""
    root = "root=/dev/mapper/host--vg-root"
    return build(arch, [
        esp(512, shim(arch, "debian", grub_stub(fs(2), "/grub"))),
        Partition(size=488, content="ext4", files={"grub/grub.cfg": debian_grub(root, ""), "vmlinuz-6.1.0-18-amd64": kernel(arch),
                                                   "initrd.img-6.1.0-18-amd64": bytes(65536)}),
        Partition(size=1024, content="crypto_LUKS")])


@layout("x86_64")
def debian_cloud(arch: str) -> Layout:
    """genericcloud: root is number 1 and last on the disk, and has the root type."""
    root = partuuid(1)
    system = tree(arch, "debian", "Debian GNU/Linux", f"{root} / ext4 rw,discard,errors=remount-ro 0 1", f"{partuuid(15)} /boot/efi vfat defaults 0 0",
                  machine_id="uninitialized\n")
    return build(arch, [
        Partition(size=3, type=BIOS_BOOT, number=14),
        esp(124, shim(arch, "debian", grub_stub(fs(1), "/boot/grub"), fallback=False) | {"EFI/BOOT/grubx64.efi": binaries.program("grub")},
            number=15, mkfs=("-s", "4")),
        Partition(size=1024, type=ROOTS[arch], content="ext4", number=1, files={
            **system, "boot/grub/grub.cfg": debian_grub(f"root={root}"), "boot/vmlinuz-6.1.0-18-amd64": kernel(arch),
            "boot/initrd.img-6.1.0-18-amd64": bytes(65536)})])


@layout("x86_64")
def ubuntu(arch: str) -> Layout:
    return build(arch, [
        esp(1075, shim(arch, "ubuntu", grub_stub(fs(2), "/boot/grub")), label=""),
        Partition(size=1024, content="ext4", files={
            **deb_tree(arch, 2, 1, "/swap.img none swap sw 0 0", name="Ubuntu", memtest=True), "swap.img": bytes(4096)})])


@layout("x86_64")
def ubuntu_cloud(arch: str) -> Layout:
    """24.04: root is 1, then BIOS 14, ESP 15, /boot on ext4 of the XBOOTLDR type 16."""
    root = "root=LABEL=cloudimg-rootfs"
    return build(arch, [
        Partition(size=4, type=BIOS_BOOT, number=14), esp(106, shim(arch, "ubuntu", grub_stub(fs(16), "/grub")), label="UEFI", number=15),
        Partition(size=913, type=makedisk.XBOOTLDR, content="ext4", label="BOOT", number=16, files={
            "grub/grub.cfg": debian_grub(root, ""), "vmlinuz-6.1.0-18-amd64": kernel(arch), "initrd.img-6.1.0-18-amd64": bytes(65536)}),
        Partition(size=1024, content="ext4", label="cloudimg-rootfs", number=1, files=tree(
            arch, "ubuntu", "Ubuntu", "LABEL=cloudimg-rootfs / ext4 discard,commit=30,errors=remount-ro 0 1", "LABEL=BOOT /boot ext4 defaults 0 2",
            "LABEL=UEFI /boot/efi vfat umask=0077 0 1", machine_id=""))])


SUSE_SUBVOLUMES = ("@", "@/var", "@/srv", "@/root", "@/opt", "@/home", "@/.snapshots")


def suse_fstab(root: int, efi: int) -> list[str]:
    lines = [f"{fs(root)} / btrfs defaults 0 0"]
    lines += [f"{fs(root)} /{name} btrfs subvol=/@/{name} 0 0" for name in ("var", "srv", "root", "opt", "home", ".snapshots")]
    return lines + [f"{fat(efi)} /boot/efi vfat utf8 0 2"]


def suse_root(arch: str, root: int, efi: int, files: dict, root_type: str) -> Partition:
    """The system is in snapshot 1, made by snapper's installation helper, and that is the default."""
    system = tree(arch, "opensuse-tumbleweed", "openSUSE Tumbleweed", *suse_fstab(root, efi), **files)
    return Partition(size=1024, type=root_type, content="btrfs", default="@/.snapshots/1/snapshot",
                     subvolumes=SUSE_SUBVOLUMES, snapshots=("@/.snapshots/1/snapshot",),
                     files=system, files_in="@/.snapshots/1/snapshot")


@layout("x86_64")
def opensuse(arch: str) -> Layout:
    """YaST's proposal: GRUB in EFI/opensuse, its menu inside of the snapshot; generic type."""
    files = suse_shim(arch, "opensuse", binaries.program("grub"), "opensuse-secureboot")
    files["EFI/opensuse/grub.cfg"] = grub_stub(fs(3), "/boot/grub2")
    menu = debian_grub(f"root={fs(3)}").replace("Debian GNU/Linux", "openSUSE Tumbleweed")
    return build(arch, [
        bios(2), esp(512, files, label=""),
        suse_root(arch, 3, 2, {"boot/grub2/grub.cfg": menu, "boot/vmlinuz-6.1.0-18-amd64": kernel(arch),
                               "boot/initrd.img-6.1.0-18-amd64": bytes(65536)}, makedisk.GENERIC),
        Partition(size=256, type=SWAP, content="swap")])


@layout("x86_64")
def opensuse_kiwi(arch: str) -> Layout:
    """Images of kiwi: the same with the root type."""
    made = opensuse(arch)
    made.partitions[2].type = ROOTS[arch]
    return made


@layout("x86_64")
def opensuse_systemd_boot(arch: str) -> Layout:
    """sdbootutil: entries of each snapshot on the ESP, which names the subvolume."""
    entry = (f"title openSUSE Tumbleweed\nversion 1@{VERSION}\nsort-key opensuse-tumbleweed\nmachine-id {MACHINE_ID}\n"
             f"options splash=silent quiet root={fs(2)} rootflags=subvol=@/.snapshots/1/snapshot systemd.machine_id={MACHINE_ID}\n"
             f"linux /opensuse-tumbleweed/{VERSION}/linux-0123\ninitrd /opensuse-tumbleweed/{VERSION}/initrd-4567\n")
    files = {**suse_shim(arch, "systemd", binaries.program("systemd-boot"), "openSUSE Boot Manager"), "loader/entries.srel": "type1\n", "EFI/Linux/.keep": "",
             f"loader/entries/{MACHINE_ID}-{VERSION}-1.conf": entry, "loader/loader.conf": "timeout 8\nconsole-mode keep\n",
             f"opensuse-tumbleweed/{VERSION}/linux-0123": kernel(arch), f"opensuse-tumbleweed/{VERSION}/initrd-4567": bytes(65536)}
    return build(arch, [esp(1024, files), suse_root(arch, 2, 1, {}, ROOTS[arch]), Partition(size=256, type=SWAP, content="swap")])


def arch_entry(root: str, version: str = "linux", more: str = "rw") -> str:
    return (f"title   Arch Linux ({version})\nlinux   /vmlinuz-{version}\ninitrd  /initramfs-{version}.img\noptions {root} {more}\n")


def arch_kernels(arch: str) -> dict:
    return {"vmlinuz-linux": kernel(arch), "initramfs-linux.img": bytes(65536), "initramfs-linux-fallback.img": bytes(65536)}


@layout("x86_64")
def arch_boot(arch: str) -> Layout:
    """archinstall: systemd-boot, the ESP at /boot."""
    files = {**systemd_boot(arch), **arch_kernels(arch), "loader/loader.conf": "default 2026-01-01_10-00-00_linux.conf\ntimeout 3\n#console-mode keep\n",
             "loader/entries/2026-01-01_10-00-00_linux.conf": arch_entry(f"root={partuuid(2)}", more="zswap.enabled=0 rw rootfstype=ext4"),
             "loader/entries/2026-01-01_10-00-00_linux-fallback.conf":
                 arch_entry(f"root={partuuid(2)}").replace("initramfs-linux.img", "initramfs-linux-fallback.img")}
    return build(arch, [esp(1024, files), Partition(size=1024, type=ROOTS[arch], content="ext4", files=tree(
        arch, "arch", "Arch Linux", f"{fs(2)} / ext4 rw,relatime 0 1", f"{fat(1)} /boot vfat rw,relatime,fmask=0077,dmask=0077 0 2"))])


@layout("x86_64")
def arch_efi_xbootldr(arch: str) -> Layout:
    """The ESP at /efi, kernels on an XBOOTLDR that is FAT; nothing but root in fstab."""
    return build(arch, [
        esp(100, {**systemd_boot(arch), "loader/loader.conf": "default arch-*\n", "EFI/Linux/.keep": ""}),
        Partition(size=1024, type=makedisk.XBOOTLDR, content="vfat", label="BOOT", files={
            **arch_kernels(arch), "loader/entries/arch-linux.conf": arch_entry("", more="quiet rw"), "loader/entries.srel": "type1\n"}),
        Partition(size=1024, type=ROOTS[arch], content="ext4", files=tree(arch, "arch", "Arch Linux"))])


@layout("x86_64")
def windows_dual_boot(arch: str) -> Layout:
    """Windows came first, its ESP of 100 MiB serves both; its loader is the fallback loader."""
    files = {**shim(arch, "ubuntu", grub_stub(fs(5), "/boot/grub"), fallback=False)}
    manager = makepe.build([(".text", b"\x90" * 4096), (".rdata", b"Windows Boot Manager".ljust(512, b"\0"))], signed=True)
    files["EFI/BOOT/BOOTX64.EFI"] = manager
    files.update({f"EFI/Microsoft/Boot/{name}": manager for name in ("bootmgfw.efi", "bootmgr.efi", "memtest.efi")})
    files.update({"EFI/Microsoft/Boot/BCD": b"regf" + bytes(4092), "EFI/Microsoft/Boot/en-US/bootmgfw.efi.mui": b"MZ" + bytes(500),
                  "EFI/Microsoft/Recovery/BCD": b"regf" + bytes(4092)})
    ntfs = b"\xeb\x52\x90NTFS    " + bytes(499) + b"\x55\xaa"
    return build(arch, [
        esp(100, files, label="SYSTEM", attrs="GUID:63", name="EFI system partition"),
        Partition(size=16, type=MS_RESERVED, attrs="GUID:63", name="Microsoft reserved partition"),
        Partition(size=512, type=makedisk.BASIC_DATA, content="raw", files={"": ntfs}, name="Basic data partition"),
        Partition(size=64, type=WINDOWS_RE, content="raw", files={"": ntfs}, attrs="RequiredPartition GUID:63"),
        Partition(size=1024, content="ext4", files={**deb_tree(arch, 5, 1, "/swap.img none swap sw 0 0", name="Ubuntu"), "swap.img": bytes(4096)})])


@layout("x86_64")
def pop_os(arch: str) -> Layout:
    """systemd-boot with entries of its own tool, a live system in a FAT of its own, swap with a new key each boot."""
    name = "EFI/Pop_OS-00000003"
    recovery = "EFI/Recovery-ABCD"
    files = {**systemd_boot(arch), "loader/loader.conf": "default Pop_OS-current\n",
             "loader/entries/Pop_OS-current.conf": f"title Pop!_OS\nlinux /{name}/vmlinuz.efi\ninitrd /{name}/initrd.img\n"
                                                   f"options root={fs(3)} ro quiet loglevel=0 splash\n",
             "loader/entries/Recovery-ABCD.conf": f"title Pop!_OS Recovery\nlinux /{recovery}/vmlinuz.efi\ninitrd /{recovery}/initrd.gz\n"
                                                  "options  boot=casper hostname=recovery userfullname=Recovery username=recovery "
                                                  f"live-media-path=/casper-ABCD live-media=/dev/disk/by-partuuid/{partuuid(2)[9:]} noprompt\n",
             f"{name}/vmlinuz.efi": kernel(arch), f"{name}/initrd.img": bytes(65536), f"{name}/cmdline": "x\n",
             f"{recovery}/vmlinuz.efi": kernel(arch), f"{recovery}/initrd.gz": bytes(65536)}
    return build(arch, [
        esp(1022, files), Partition(size=512, type=makedisk.BASIC_DATA, content="vfat", name="recovery", files={
            "casper-ABCD/filesystem.squashfs": bytes(4096), "dists/noble/Release": "x\n", "recovery.conf": "HOSTNAME=x\n"}),
        Partition(size=1024, content="ext4", files=tree(
            arch, "pop", "Pop!_OS", f"{partuuid(1)}  /boot/efi  vfat  umask=0077  0  0", f"{partuuid(2)}  /recovery  vfat  umask=0077  0  0",
            f"{fs(3)}  /  ext4  noatime,errors=remount-ro  0  1", "/dev/mapper/cryptswap  none  swap  defaults  0  0",
            **{"etc/crypttab": f"cryptswap {fs(4)} /dev/urandom swap,plain,offset=1024,cipher=aes-xts-plain64,size=512\n", "recovery/": None})),
        Partition(size=256, type=SWAP, content="swap")])


@layout("x86_64")
def nixos(arch: str) -> Layout:
    """systemd-boot; entries without root=, for the initrd has NixOS's own fstab; /etc is links into /nix/store."""
    store = "nix/store/abcdefgh-etc/etc"
    kernels = {"EFI/nixos/aaaa-linux-6.6-bzImage.efi": kernel(arch), "EFI/nixos/bbbb-initrd-linux-6.6-initrd.efi": bytes(65536)}
    entry = ("title NixOS\nsort-key nixos\nversion Generation {0} NixOS 24.05, Linux Kernel 6.6, Built on 2026-01-01\n"
             "linux /EFI/nixos/aaaa-linux-6.6-bzImage.efi\ninitrd /EFI/nixos/bbbb-initrd-linux-6.6-initrd.efi\n"
             "options init=/nix/store/cccc-nixos-system-host-24.05/init loglevel=4\nmachine-id " + MACHINE_ID + "\n")
    files = {**systemd_boot(arch), **kernels, "loader/loader.conf": "timeout 5\ndefault nixos-generation-2.conf\nconsole-mode keep\n",
             **{f"loader/entries/nixos-generation-{n}.conf": entry.format(n) for n in (1, 2)}}
    system = tree(arch, "nixos", "NixOS")
    kept = {f"{store}/{name}": system[f"etc/{name}"] for name in ("fstab",)}
    kept[f"{store}/os-release"] = system["usr/lib/os-release"]
    return build(arch, [
        esp(512, files, label="boot"),
        Partition(size=1024, content="ext4", label="nixos", files={
            **kept, f"{store}/fstab": f"{fs(2)} / ext4 x-initrd.mount 0 1\n{fat(1)} /boot vfat fmask=0077,dmask=0077 0 2\n",
            "etc/static": pathlib.PurePosixPath("/" + store), "etc/os-release": pathlib.PurePosixPath("/etc/static/os-release"),
            "etc/fstab": pathlib.PurePosixPath("/etc/static/fstab"), "etc/machine-id": MACHINE_ID + "\n",
            "nix/store/dddd-bash/bin/bash": binaries.elf(arch), "bin/sh": pathlib.PurePosixPath("/nix/store/dddd-bash/bin/bash"),
            "usr/bin/env": pathlib.PurePosixPath("/nix/store/dddd-bash/bin/bash"), "home/": None, "boot/": None, "var/": None}),
        Partition(size=256, type=SWAP, content="swap")])


@layout("x86_64", "aarch64")
def mkosi(arch: str) -> Layout:
    """ESP with systemd-boot and a UKI, root by its type: what mkosi makes of a plain configuration."""
    files = {**systemd_boot(arch), "EFI/Linux/mkosi-42.efi": uki(arch, "console=ttyS0 rw", "mkosi"), "loader/loader.conf": "timeout 1\n"}
    return build(arch, [esp(512, files, name="esp"), Partition(
        size=1024, type=ROOTS[arch], content="ext4", name=f"root-{arch}", attrs="GUID:59",
        files=tree(arch, "mkosi", "mkosi image", machine_id="uninitialized\n"))])
