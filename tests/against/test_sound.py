# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks that boot have no errors.

Layouts that distributions ship, rebuilt small, with the boot programs of Debian's packages (which
are downloaded once, as test_efi does); then a thousand mixed images in one run: DPS_IMAGES says how
many, and CI takes fewer.
"""

from __future__ import annotations

import json
import os
import pathlib
import random
import shutil
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "data"))
sys.path.insert(0, str(pathlib.Path(__file__).parent))
import makedisk
import makepe
from makedisk import MIB, Partition
from test_efi import STUB, kernel, one
from test_faults import CSV, LOADER, ROOT_PPC64LE, TREE, TYPE1, UKI, check, errors, fs_uuid

DPS_TAG = os.environ["DPS_TAG"]
BIOS_BOOT = "21686148-6449-6e6f-744e-656564454649"
PREP = "9e1a2d38-c612-4316-aa26-8b49521e5a8b"
LVM = "e6d6d379-f507-44c2-a23c-238f2a3df928"
MS_RESERVED = "e3c9e316-0b5c-4db8-817d-f92df00215ae"
SWAP = "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"

needs_mounts = pytest.mark.skipif(
    not makedisk.can_mount(), reason="SKIP: needs root, loop devices and btrfs in the kernel"
)


def binary(*where: str) -> bytes:
    return one(*where).read_bytes()


def shim_and_grub() -> dict:
    """As Debian and Fedora have them: shim, its fallback, and GRUB in the vendor's directory."""
    shim = binary("shim-unsigned", "usr/lib/shim/shimx64.efi")
    grub = binary("grub-efi-amd64-bin", "usr/lib/grub/x86_64-efi/monolithic/grubx64.efi")
    return {
        "EFI/BOOT/BOOTX64.EFI": shim,
        "EFI/BOOT/fbx64.efi": binary("shim-unsigned", "usr/lib/shim/fbx64.efi"),
        "EFI/debian/shimx64.efi": shim,
        "EFI/debian/grubx64.efi": grub,
        "EFI/debian/mmx64.efi": binary("shim-unsigned", "usr/lib/shim/mmx64.efi"),
        "EFI/debian/BOOTX64.CSV": "\ufeffshimx64.efi,debian,,This is the boot entry for debian\n".encode("utf-16-le"),
        "EFI/debian/grub.cfg": "search.fs_uuid 12 root\nconfigfile $prefix/grub.cfg\n",
    }


def bls(root: str, more: str = "") -> str:
    return (f"title Fedora Linux\nversion 6.1\nlinux /vmlinuz-6.1\ninitrd /initramfs-6.1.img\n"
            f"options {root} ro {more}\ngrub_users $grub_users\ngrub_arg --unrestricted\ngrub_class fedora\n")


def boot_files(root: str, more: str = "") -> dict:
    return {"loader/entries/abc-6.1.conf": bls(root, more), "vmlinuz-6.1": makepe.kernel(),
            "initramfs-6.1.img": b"initrd", "grub2/grub.cfg": "blscfg\n"}


def grub_cfg(root: str) -> str:
    return f"menuentry 'Debian' {{\n\tlinux\t/boot/vmlinuz-6.1 {root} ro quiet\n\tinitrd /boot/initrd.img-6.1\n}}\n"


def fstab(*lines: str) -> dict:
    return {**TREE, "etc/fstab": "".join(f"{line}\n" for line in lines)}


def esp(files: dict, **more: object) -> Partition:
    return Partition(**{"size": 64, "type": makedisk.ESP, "content": "vfat", "files": files, **more})


def fedora_generic() -> list[Partition]:
    root = f"root=UUID={fs_uuid(4)}"
    return [Partition(size=1, type=BIOS_BOOT), esp(shim_and_grub()),
            Partition(size=32, content="ext4", files=boot_files(root)),
            Partition(size=32, content="ext4", files=fstab(f"UUID={fs_uuid(4)} / ext4 defaults 1 1",
                                                           f"UUID={fs_uuid(3)} /boot ext4 defaults 1 2",
                                                           "UUID=ABCD-0002 /boot/efi vfat defaults,umask=0077 0 2"))]


def fedora_cloud(root_number: int = 4) -> list[Partition]:
    """XBOOTLDR on ext4, btrfs root by rootflags."""
    root = f"root=UUID={fs_uuid(root_number)}"
    return [Partition(size=2, type=BIOS_BOOT), esp(shim_and_grub()),
            Partition(size=32, type=makedisk.XBOOTLDR, content="ext4", files=boot_files(root, "rootflags=subvol=root")),
            Partition(size=160, type=makedisk.ROOT_X86_64, content="btrfs", subvolumes=("root", "home", "var"), files=fstab(
                f"UUID={fs_uuid(4)} / btrfs subvol=root 0 0", f"UUID={fs_uuid(4)} /home btrfs subvol=home 0 0",
                f"UUID={fs_uuid(3)} /boot ext4 defaults 0 0", "UUID=ABCD-0002 /boot/efi vfat umask=0077 0 2"))]


def fedora_cloud_44() -> list[Partition]:
    return [Partition(size=2, type=BIOS_BOOT), esp(shim_and_grub()),
            Partition(size=160, type=makedisk.ROOT_X86_64, content="btrfs", subvolumes=("root", "home"), files={
                **fstab(f"UUID={fs_uuid(3)} / btrfs subvol=root 0 0"),
                **{f"boot/{name}": what for name, what in boot_files(f"root=UUID={fs_uuid(3)}", "rootflags=subvol=root").items()}})]


def rhel_xfs() -> list[Partition]:
    """Entries on an xfs that nothing can read without a mount."""
    return [Partition(size=1, type=BIOS_BOOT), esp(shim_and_grub()), Partition(size=320, content="xfs")]


def rhel_cvm() -> list[Partition]:
    """The one layout that is DPS alone: a UKI that shim's fallback starts."""
    files = {**shim_and_grub(), "EFI/Linux/rhel.efi": real_uki("console=ttyS0"),
             "EFI/debian/BOOTX64.CSV": "shimx64.efi,redhat,\\EFI\\Linux\\rhel.efi,UKI bootentry\n".encode("utf-16-le")}
    del files["EFI/debian/grubx64.efi"]
    return [esp(files), Partition(size=32, type=makedisk.ROOT_X86_64, content="ext4", files=TREE)]


def real_uki(cmdline: str) -> bytes:
    """Debian's stub and kernel put together by objcopy."""
    for program in ("objcopy", "objdump"):
        if not shutil.which(program):
            pytest.skip(f"SKIP: no {program} here")
    place = pathlib.Path(makedisk.cache().name)
    done = place / f"uki-{abs(hash(cmdline))}.efi"
    if not done.exists():
        (place / "osrel").write_bytes(makepe.OSREL)
        (place / "cmdline").write_text(cmdline)
        stub = one(*STUB)
        rows = [line.split() for line in makedisk.run("objdump", "-h", stub).splitlines()
                if line.strip()[:1].isdigit()]
        at = max(int(row[3], 16) + int(row[2], 16) for row in rows)
        words = []
        for name, path in ((".osrel", place / "osrel"), (".cmdline", place / "cmdline"), (".linux", kernel())):
            at = (at + 4095) // 4096 * 4096
            words += ["--add-section", f"{name}={path}", "--change-section-vma", f"{name}={at:#x}"]
            at += pathlib.Path(path).stat().st_size
        makedisk.run("objcopy", *words, stub, done)
    return done.read_bytes()


def systemd_boot() -> list[Partition]:
    loader = binary("systemd-boot-efi", "usr/lib/systemd/boot/efi/systemd-bootx64.efi")
    return [esp({"EFI/BOOT/BOOTX64.EFI": loader, "EFI/systemd/systemd-bootx64.efi": loader,
                 "loader/loader.conf": "timeout 3\n", "loader/entries.srel": "type1\n",
                 "EFI/Linux/debian.efi": real_uki("quiet")}),
            Partition(size=32, type=makedisk.ROOT_X86_64, content="ext4", files=TREE)]


def debian() -> list[Partition]:
    return [esp(shim_and_grub()),
            Partition(size=64, content="ext4", files={
                **fstab(f"UUID={fs_uuid(2)} / ext4 errors=remount-ro 0 1", "UUID=ABCD-0001 /boot/efi vfat umask=0077 0 1",
                        f"UUID={fs_uuid(3)} none swap sw 0 0"),
                "boot/grub/grub.cfg": grub_cfg(f"root=UUID={fs_uuid(2)}"), "boot/vmlinuz-6.1": b"kernel"}),
            Partition(size=16, type=SWAP, content="swap")]


def debian_bios() -> list[Partition]:
    return [Partition(size=1, type=BIOS_BOOT),
            Partition(size=64, content="ext4", files={**fstab(f"UUID={fs_uuid(2)} / ext4 defaults 0 1"),
                                                      "boot/grub/grub.cfg": grub_cfg(f"root=UUID={fs_uuid(2)}")})]


def opensuse() -> list[Partition]:
    """A snapshot of @ is the default, and GRUB says no subvolume."""
    root = f"root=UUID={fs_uuid(3)}"
    return [Partition(size=2, type=BIOS_BOOT), esp(shim_and_grub()),
            Partition(size=160, content="btrfs", subvolumes=("@",), default="@", files={
                **fstab(f"UUID={fs_uuid(3)} / btrfs defaults 0 0", "UUID=ABCD-0002 /boot/efi vfat umask=0077 0 2"),
                "boot/grub2/grub.cfg": grub_cfg(f"{root} splash=silent")})]


def windows() -> list[Partition]:
    """Windows' own loader is the fallback; Linux beside it has an entry in the firmware's memory."""
    files = {**shim_and_grub(), "EFI/Microsoft/Boot/bootmgfw.efi": makepe.build([(".text", b"\x90" * 64)])}
    files["EFI/BOOT/BOOTX64.EFI"] = files["EFI/Microsoft/Boot/bootmgfw.efi"]
    del files["EFI/BOOT/fbx64.efi"]
    return [esp(files, attrs="GUID:63", size=100), Partition(size=16, type=MS_RESERVED, attrs="GUID:63"),
            Partition(size=32, type=makedisk.BASIC_DATA, attrs="GUID:60 GUID:63"),
            Partition(size=64, content="ext4", files={**fstab(f"UUID={fs_uuid(4)} / ext4 defaults 0 1"),
                                                      "boot/grub/grub.cfg": grub_cfg(f"root=UUID={fs_uuid(4)}")})]


def lvm() -> list[Partition]:
    """RHEL for Azure and OCI: the root is in LVM, with the type of LVM."""
    return [esp(shim_and_grub()), Partition(size=32, content="ext4", files=boot_files("root=/dev/mapper/rootvg-rootlv")),
            Partition(size=2, type=BIOS_BOOT), Partition(size=32, type=LVM, content="LVM2_member")]


def bootc_ppc64le() -> list[Partition]:
    return [Partition(size=4, type=PREP), Partition(size=32, content="ext4", files=boot_files(f"root=UUID={fs_uuid(3)}")),
            Partition(size=32, type=ROOT_PPC64LE, content="ext4", files=fstab(f"UUID={fs_uuid(3)} / ext4 defaults 0 0"))]


LAYOUTS = [fedora_generic, fedora_cloud, fedora_cloud_44, rhel_xfs, rhel_cvm, systemd_boot, debian, debian_bios,
           opensuse, windows, lvm, bootc_ppc64le]
WITH_SUBVOLUMES = {fedora_cloud, fedora_cloud_44, opensuse}


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_layout(layout, tmp_path: pathlib.Path) -> None:
    if layout in WITH_SUBVOLUMES and not makedisk.can_mount():
        pytest.skip("SKIP: needs root, loop devices and btrfs in the kernel")
    if layout is rhel_xfs and not shutil.which("mkfs.xfs", path="/usr/sbin:/sbin:/usr/bin"):
        pytest.skip("SKIP: no mkfs.xfs here")
    findings = check(makedisk.make(tmp_path / "disk.raw", layout()))
    assert errors(findings) == [], findings


def test_entries_as_bootctl_lists_them(tmp_path: pathlib.Path) -> None:
    """What bootctl shows of a directory, and what is found hidden or broken on the same files."""
    bootctl = shutil.which("bootctl")
    if not bootctl:
        pytest.skip("SKIP: no bootctl here")
    files = {**LOADER, **TYPE1, **UKI, "loader/entries/gone.conf": "title Gone\nlinux /gone\n",
             "EFI/Linux/nameless.efi": makepe.uki("quiet", osrel=None), "EFI/Linux/sub/deep.efi": makepe.uki("quiet")}
    tree = tmp_path / "tree"
    makedisk.write_tree(tree / "efi", files)
    done = subprocess.run([bootctl, f"--root={tree}", "--json=short", "list"], capture_output=True, text=True, check=False,
                          env={**makedisk.path_of_tools(), "SYSTEMD_ESP_PATH": "/efi", "SYSTEMD_RELAX_ESP_CHECKS": "1"})
    if done.returncode != 0:
        pytest.skip(f"SKIP: bootctl cannot list a directory here: {done.stderr.strip()}")
    # Version 252 writes one document after the other.
    documents = [json.loads(line) for line in done.stdout.splitlines() if line.strip()]
    entries = [entry for one in documents for entry in (one if isinstance(one, list) else [one])]
    listed = {entry["id"] for entry in entries if entry.get("type", "type1") in ("type1", "type2")}
    image = makedisk.make(tmp_path / "disk.raw", [esp(files), Partition(
        size=32, type=makedisk.ROOT_X86_64, content="ext4", files=TREE)])
    found = check(image)
    hidden = {pathlib.Path(f["path"]).name for f in found if f["code"] in ("uki-no-osrel", "uki-in-subdir")}
    assert hidden == {"nameless.efi", "deep.efi"} and not hidden & listed
    assert {"test.conf", "test.efi"} <= listed
    assert {f["path"] for f in found if f["code"] == "bls-entry-file-missing"} == {"/loader/entries/gone.conf"}


def mixed(seed: int) -> tuple[list[Partition], bool]:
    """A layout by chance, and whether it boots."""
    dice = random.Random(seed)
    kind = dice.choice(["uki", "type1", "root=", "bios", "broken"])
    first = [Partition(size=1, type=BIOS_BOOT)] if kind == "bios" or dice.random() < 0.3 else []
    number = len(first) + (1 if kind == "bios" else 2)
    generic = kind in ("root=", "bios")
    root = Partition(size=dice.choice([16, 32]), content="ext4", type=makedisk.GENERIC if generic else makedisk.ROOT_X86_64,
                     files={**TREE, **({"boot/grub/grub.cfg": grub_cfg(f"root=UUID={fs_uuid(number)}")} if kind == "bios" else {})},
                     attrs=dice.choice(["", "GUID:59", "GUID:60"]))
    files = {"uki": UKI, "type1": TYPE1, "bios": {}, "broken": UKI,
             "root=": {**TYPE1, "loader/entries/test.conf": f"linux /linux\noptions root=UUID={fs_uuid(number)}\n"}}[kind]
    parts = [*first] + ([] if kind == "bios" else [esp(files, size=dice.choice([34, 48]))]) + [root]
    if dice.random() < 0.5:
        parts.append(Partition(size=8, type=SWAP, content="swap"))
    if dice.random() < 0.3:
        parts.append(Partition(size=8, content="ext4", type=dice.choice([makedisk.GENERIC, "933ac7e1-2eb4-4f13-b844-0e14e2aef915"])))
    return parts, kind != "broken"


def test_many_mixed_images(tmp_path: pathlib.Path) -> None:
    """In one run: no crash, no false error, and a broken image stops none of the others."""
    count = int(os.environ.get("DPS_IMAGES", "40"))
    recipes: dict[str, pathlib.Path] = {}
    images, sound = [], set()
    for seed in range(count):
        parts, boots = mixed(seed)
        path = tmp_path / f"{seed}.raw"
        key = repr((parts, boots))
        if key in recipes:  # a broken one is broken the same way again
            makedisk.run("cp", "--sparse=always", "--reflink=auto", recipes[key], path)
        else:
            makedisk.make(path, parts)
            recipes[key] = path
            if not boots:
                with open(path, "r+b") as file:
                    dice = random.Random(seed)
                    for _ in range(200):
                        file.seek(dice.randrange(40 * MIB))
                        file.write(dice.randbytes(16))
        images.append(path)
        if boots:
            sound.add(str(path))
    done = subprocess.run([DPS_TAG, "check", "--json", "--jobs", "2", *map(str, images)], capture_output=True, text=True,
                          env=makedisk.path_of_tools(), check=False, timeout=1800)
    assert done.returncode in (0, 1, 3), done.stderr
    disks = json.loads(done.stdout)["disks"]
    assert sound <= {disk["disk"]["path"] for disk in disks}
    for disk in disks:
        if disk["disk"]["path"] in sound:
            assert errors(disk["findings"]) == [], (disk["disk"]["path"], disk["findings"])
