#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Shows what dps-tag does: demo.py BUILD

Makes a disk the way an installer leaves it and runs plan, apply, show and undo on it.  As root on a
loop device with partitions and a mounted tree, where nothing needs to be typed; as an ordinary user
on the image file, with assignments typed.
"""

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent / "data"))
import makedisk

STUB_DIR = pathlib.Path("/usr/lib/systemd/boot/efi")
# The UUIDs are those that makedisk gives to the contents of partitions 1 to 3.
FSTAB = """\
UUID=00000003-aaaa-4bbb-8ccc-dddddddddddd / btrfs subvol=root 0 0
UUID=00000003-aaaa-4bbb-8ccc-dddddddddddd /home btrfs subvol=home 0 0
UUID=00000002-aaaa-4bbb-8ccc-dddddddddddd /boot ext4 defaults 0 0
UUID=ABCD-0001 /boot/efi vfat umask=0077 0 0
"""
SUFFIXES = {"x86_64": "x64", "aarch64": "aa64", "riscv64": "riscv64"}


def say(text: str) -> None:
    print(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def show(*command: object, good: tuple[int, ...] = (0,)) -> None:
    """Runs a command as a reader would type it, in the open."""
    words = [str(word) for word in command]
    print("$ " + " ".join([pathlib.Path(words[0]).name, *words[1:]]), flush=True)
    code = subprocess.run(words, env=makedisk.path_of_tools() | keep_locale(), check=False).returncode
    if code not in good:
        sys.exit(f"demo: {words[0]}: exit status {code}")


def keep_locale() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in ("LC_ALL", "LANG", "TERM")}


def make_uki(directory: pathlib.Path, suffix: str) -> bytes:
    """A small real unified kernel image: systemd's stub with an os-release and a command line."""
    stub = STUB_DIR / f"linux{suffix}.efi.stub"
    osrel, cmdline, uki = (directory / name for name in ("osrel", "cmdline", "uki.efi"))
    osrel.write_text('ID=demo\nPRETTY_NAME="Demo OS 1"\nVERSION_ID=1\n')
    cmdline.write_text("quiet rw")  # and no root=: the system is to find its root
    makedisk.run("objcopy", "--add-section", f".osrel={osrel}", "--change-section-vma", ".osrel=0x20000",
                 "--add-section", f".cmdline={cmdline}", "--change-section-vma", ".cmdline=0x30000", stub, uki)
    return uki.read_bytes()


def make_esp_files(directory: pathlib.Path) -> dict[str, bytes]:
    suffix = SUFFIXES.get(os.uname().machine, "x64")
    loader = STUB_DIR / f"systemd-boot{suffix}.efi"
    if not loader.exists():
        print(f"(no {loader}: the ESP gets no boot loader)")
        return {}
    return {
        f"EFI/BOOT/BOOT{suffix.upper()}.EFI": loader.read_bytes(),
        "EFI/Linux/demo-1.efi": make_uki(directory, suffix),
    }


def make_partitions(directory: pathlib.Path) -> list[makedisk.Partition]:
    """Generic types everywhere, no default subvolume: what most installers leave today."""
    system = {
        **makedisk.TREE,
        "etc/fstab": FSTAB,
        "etc/machine-id": "3d1219c7c4c5404aaa1f6d2a48adfda4\n",
        "usr/bin/true": pathlib.Path("/usr/bin/true").read_bytes(),
    }
    root = makedisk.Partition(size=160, content="btrfs", label="system", files=system)
    if makedisk.can_make_subvolumes():
        root.subvolumes = ("root", "home")
    return [
        makedisk.Partition(size=64, content="vfat", label="EFI", name="efi", files=make_esp_files(directory)),
        makedisk.Partition(size=64, content="ext4", label="boot", name="boot", files={"vmlinuz": "a kernel"}),
        root,
    ]


@contextlib.contextmanager
def attached(image: pathlib.Path):
    """The image as a disk with partitions, and root and /boot mounted: what %post of a kickstart sees."""
    tree = tempfile.mkdtemp(prefix="dps-demo-tree-")
    with contextlib.ExitStack() as stack:
        stack.callback(os.rmdir, tree)
        loop = stack.enter_context(makedisk.loop_with_partitions(image))
        for options, device, place in (("subvol=root", f"{loop}p3", tree), ("ro", f"{loop}p2", f"{tree}/boot")):
            os.makedirs(place, exist_ok=True)
            makedisk.run("mount", "-o", options, device, place)
            stack.callback(makedisk.umount, place)
        yield loop, tree


def demo_as_root(dps_tag: pathlib.Path, image: pathlib.Path) -> None:
    with attached(image) as (loop, tree):
        say("The disk as the installer leaves it")
        show(dps_tag, "show", loop)
        say("What dps-tag would do: nothing is typed, the mounted tree tells who is who")
        show(dps_tag, "plan", "--root", tree, good=(1,))
        say("Done, read back and checked")
        show(dps_tag, "apply", "--root", tree)
        say("The disk now, by others' tools")
        show("sfdisk", "--dump", loop)
        show("btrfs", "subvolume", "get-default", tree)
        say("Once more: nothing left to do")
        show(dps_tag, "apply", "--root", tree)
        say("And back again")
        backup = sorted(pathlib.Path(tree, "var/lib/libdps").glob("*.json"))[-1]
        show(dps_tag, "undo", backup, loop)


def demo_as_user(dps_tag: pathlib.Path, image: pathlib.Path) -> None:
    backup = image.with_suffix(".backup.json")
    arch = os.uname().machine
    say("The image as a builder leaves it")
    show(dps_tag, "show", image)
    say("What dps-tag would do (an image has no tree: the assignments are typed)")
    show(dps_tag, "plan", image, "--arch", arch, "esp=1", "root=3,growfs", good=(1,))
    say("Done, read back and checked")
    show(dps_tag, "apply", image, "--arch", arch, "esp=1", "root=3,growfs", "--backup", backup)
    say("The image now, by others' tools")
    show("sfdisk", "--dump", image)
    say("And back again")
    show(dps_tag, "undo", backup, image)


def main(build: str) -> None:
    dps_tag = pathlib.Path(build, "cli", "dps-tag")
    mountable = makedisk.can_mount()
    with tempfile.TemporaryDirectory(prefix="dps-demo-") as name:
        directory = pathlib.Path(name)
        say("Making a disk with sfdisk, mkfs.fat, mkfs.ext4 and mkfs.btrfs")
        image = makedisk.make(directory / "disk.raw", make_partitions(directory))
        if mountable:
            demo_as_root(dps_tag, image)
        else:
            print("(an ordinary user, or no loop devices: on the image file)")
            if not makedisk.can_make_subvolumes():
                print("(this mkfs.btrfs makes no subvolumes without a mount: root is in the top level)")
            demo_as_user(dps_tag, image)
    say("demo: done: the disk was tagged, checked, and put back as it was")
    print("Try it on a disk of yours: dps-tag plan DISK")


if __name__ == "__main__":
    if shutil.which("sfdisk", path=makedisk.path_of_tools()["PATH"]) is None:
        sys.exit("demo: sfdisk is missing: ./dev setup")
    main(sys.argv[1])
