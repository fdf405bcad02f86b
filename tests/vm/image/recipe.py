# SPDX-License-Identifier: LGPL-2.1-or-later
"""The disks: what is on each, in the state that an installer leaves.

Every partition but the ESP has the generic Linux type, no command line says root=, no fstab is in
the system, and btrfs still has its top level as the default subvolume.
"""

import dataclasses
import json
import os
import pathlib
import shutil
import tempfile

from . import cache, filesystem, grub, initrd, modules, packages, uki
from .filesystem import Partition

# no_timer_check: an emulated timer on a busy host is late, and the kernel panics over it.
COMMAND_LINE = "console={console} panic=-1 no_timer_check quiet systemd.show_status=1 rw"
LUKS_KEY = "libdps test key"
MACHINE_ID = "3d1219c7c4c5404aaa1f6d2a48adfda4\n"
VFAT_MODULES = ["vfat", "nls_ascii", "nls_cp437", "nls_iso8859-1"]
INSTALLER_MODULES = ["autofs4", "btrfs", "virtio_blk", "virtio_pci", *VFAT_MODULES]
SYSTEM_MODULES = ["autofs4", "efivarfs", *VFAT_MODULES]

PLATFORMS = {
    "x86_64": {
        "debian": "amd64",
        "console": "ttyS0",
        "stub": "linuxx64.efi.stub",
        "loader": "systemd-bootx64.efi",
        "fallback": "BOOTX64.EFI",
    },
    "aarch64": {
        "debian": "arm64",
        "console": "ttyAMA0",
        "stub": "linuxaa64.efi.stub",
        "loader": "systemd-bootaa64.efi",
        "fallback": "BOOTAA64.EFI",
    },
}
SYSTEM_PACKAGES = """
busybox-static dosfstools e2fsprogs kmod libc-bin libkmod2 liblzma5 libzstd1 mount systemd
systemd-sysv udev util-linux
""".split()
SMALL_PACKAGES = """
busybox-static cryptsetup-bin kmod libkmod2 liblzma5 libzstd1 systemd systemd-boot-efi udev
""".split()
APPLETS = "awk cat cut dmesg echo grep ls poweroff sh sync tail tr uname sed readlink".split()
OS_RELEASE = 'ID=test\nNAME=Test\nVERSION_ID=1\nPRETTY_NAME="Test system"\n'


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One kind of disk.  Partition 1 is the ESP, 2 the root; then what else is asked for, in the
    order of these fields.
    """

    name: str
    root: str = "btrfs"  # btrfs, ext4, xfs
    system: bool = False  # root is a system with systemd; else it only says where it is
    luks: bool = False
    srv_and_swap: bool = False  # ext4 for /srv, and swap
    fstab: bool = False  # as Anaconda writes it; nothing that is booted here reads it
    second_root: bool = False  # another ext4 system, which reports itself as such
    usr_verity: bool = False  # /usr and its hashes, usrhash= in the UKI
    xbootldr: bool = False  # kernels on a vfat partition of their own
    loader: str = "systemd-boot"  # or grub, grub-without-bli; none: the UKI is in its place
    arch: str = "x86_64"
    suite: str = "bookworm"

    @property
    def esp_mib(self) -> int:
        return 96 if self.arch == "x86_64" else 128


class Workshop:
    """What all disks of one release and architecture are made from."""

    def __init__(self, suite: str, arch: str):
        self.platform = PLATFORMS[arch]
        self.archive = packages.archive(suite, self.platform["debian"])
        self.names = self.archive.closure(*SMALL_PACKAGES) + [self.archive.kernel()]
        self.tree = self.archive.tree(self.names)

    @property
    def version(self) -> str:
        return modules.kernel_version(self.tree)

    @property
    def kernel(self) -> pathlib.Path:
        return self.tree / "boot" / f"vmlinuz-{self.version}"

    def boot_file(self, kind: str) -> pathlib.Path:
        return self.tree / "usr/lib/systemd/boot/efi" / self.platform[kind]

    def initrd(self, wanted_modules: list[str], features: list[str] = []) -> pathlib.Path:
        inputs = {
            "source": cache.source_digest(),
            "tree": self.tree.name,
            "modules": wanted_modules,
            "features": features,
        }

        def make(path: pathlib.Path) -> None:
            key = LUKS_KEY if "luks" in features else ""
            initrd.build(
                self.tree,
                self.archive.triplet,
                path / "initrd",
                wanted_modules,
                features,
                luks_key=key,
            )

        return cache.make_once("initrds", inputs, make) / "initrd"

    def installer(self) -> pathlib.Path:
        inputs = {
            "source": cache.source_digest(),
            "tree": self.tree.name,
            "installer": True,
        }

        def make(path: pathlib.Path) -> None:
            initrd.build_installer(
                self.tree, self.archive.triplet, path / "initrd", INSTALLER_MODULES
            )

        return cache.make_once("initrds", inputs, make) / "initrd"


def workshop(recipe: Recipe) -> Workshop:
    return Workshop(recipe.suite, recipe.arch)


def build(recipe: Recipe) -> pathlib.Path:
    """The directory with disk.raw and facts.json of a recipe; made now or in an earlier run."""
    shop = workshop(recipe)
    inputs = {
        "source": cache.source_digest(),
        "tree": shop.tree.name,
        "recipe": dataclasses.asdict(recipe),
    }

    def make(path: pathlib.Path) -> None:
        with tempfile.TemporaryDirectory(dir=path) as scratch:
            _make_disk(recipe, shop, pathlib.Path(scratch), path)

    return cache.make_once("images", inputs, make)


def _make_disk(recipe: Recipe, shop: Workshop, scratch: pathlib.Path, result: pathlib.Path) -> None:
    facts = {"kernel": shop.version}
    command_line = COMMAND_LINE.format(console=shop.platform["console"])
    partitions = _system_partitions(recipe, shop, scratch, facts)
    if "usr_hash" in facts:
        command_line += f" usrhash={facts['usr_hash']}"

    esp, boot = scratch / "esp", scratch / "boot" if recipe.xbootldr else scratch / "esp"
    esp.mkdir()
    boot.mkdir(exist_ok=True)
    _put_kernels(recipe, shop, scratch, boot, command_line)
    _put_loader(recipe, shop, esp, boot, command_line)

    filesystem.vfat(scratch / "esp.img", recipe.esp_mib, "ESP", esp)
    partitions.insert(0, Partition("ESP", scratch / "esp.img", filesystem.ESP_TYPE))
    if recipe.xbootldr:
        filesystem.vfat(scratch / "boot.img", recipe.esp_mib, "BOOT", boot)
        partitions.append(Partition("boot", scratch / "boot.img"))

    facts["partitions"] = filesystem.disk(result / "disk.raw", partitions)
    (result / "facts.json").write_text(json.dumps(facts, indent=1))


def _system_partitions(recipe, shop, scratch: pathlib.Path, facts: dict) -> list[Partition]:
    """Root and what belongs to it."""
    tree = scratch / "root"
    if recipe.system:
        system_root(tree, shop)
    else:
        small_root(tree, shop.tree, with_usr=not recipe.usr_verity)
    if recipe.fstab:
        (tree / "etc/fstab").write_text(fstab())

    root = scratch / "root.img"
    # mkfs.xfs makes none below 300 MiB.
    size_mib = 512 if recipe.system else 320 if recipe.root == "xfs" else 128
    make = {"btrfs": filesystem.btrfs, "ext4": filesystem.ext4, "xfs": filesystem.xfs}
    make[recipe.root](root, size_mib, "root", tree)
    if recipe.luks:
        filesystem.luks(root, LUKS_KEY)
    partitions = [Partition("root", root)]

    if recipe.srv_and_swap:
        content = scratch / "srv"
        content.mkdir()
        (content / "served").touch()
        filesystem.ext4(scratch / "srv.img", 32, "srv", content)
        filesystem.swap(scratch / "swap.img", 32, "swap")
        partitions.append(Partition("srv", scratch / "srv.img"))
        partitions.append(Partition("swap", scratch / "swap.img"))

    if recipe.second_root:
        other = scratch / "other"
        small_root(other, shop.tree)
        (other / "etc/marker").write_text("other\n")
        filesystem.ext4(scratch / "other.img", 64, "other", other)
        partitions.append(Partition("other", scratch / "other.img"))

    if recipe.usr_verity:
        usr = scratch / "usr-tree"
        whole = scratch / "whole"
        small_root(whole, shop.tree)
        (whole / "usr").rename(usr)
        filesystem.ext4(scratch / "usr.img", 64, "usr", usr)
        facts["usr_hash"] = filesystem.verity(scratch / "usr.img", scratch / "usr-verity.img")
        partitions.append(Partition("usr", scratch / "usr.img"))
        partitions.append(Partition("usr-verity", scratch / "usr-verity.img"))
    return partitions


def small_root(root: pathlib.Path, tree: pathlib.Path, with_usr: bool = True) -> None:
    """The smallest system that can say where it is: busybox and an init of a few lines."""
    root.mkdir()
    packages.merge_usr(root)
    for name in "boot/efi dev efi etc home proc root run srv sys tmp var/lib".split():
        (root / name).mkdir(parents=True)
    (root / "etc/os-release").symlink_to("../usr/lib/os-release")
    (root / "etc/machine-id").write_text(MACHINE_ID)
    if not with_usr:
        shutil.rmtree(root / "usr")
        (root / "usr").mkdir()
        return

    (root / "usr/lib/os-release").write_text(OS_RELEASE)
    shutil.copy2(tree / "usr/bin/busybox", root / "usr/bin/busybox")
    for name in APPLETS:
        (root / "usr/bin" / name).symlink_to("busybox")
    place = root / "usr/lib/libdps-vm"
    place.mkdir()
    shutil.copy(cache.GUEST / "report.sh", place / "report.sh")
    shutil.copy(cache.GUEST / "init.sh", root / "usr/sbin/init")
    (root / "usr/sbin/init").chmod(0o755)


def fstab() -> str:
    """What Anaconda leaves on a disk with btrfs."""
    root = f"UUID={filesystem.uuid_of('root')}"
    lines = [
        f"{root} / btrfs subvol=root,compress=zstd:1 0 0",
        f"UUID={filesystem.VFAT_ID} /boot/efi vfat umask=0077,shortname=winnt 0 2",
        f"{root} /home btrfs subvol=home,compress=zstd:1 0 0",
        f"UUID={filesystem.uuid_of('srv')} /srv ext4 defaults 1 2",
        f"UUID={filesystem.uuid_of('swap')} none swap defaults 0 0",
    ]
    return "\n".join(lines) + "\n"


SYSTEM_UNIT = """\
[Unit]
Description=What was discovered
After=local-fs.target swap.target basic.target
[Service]
Type=oneshot
ExecStart=/bin/sh /usr/lib/libdps-vm/system.sh
"""
# Without a bus, a seat or a person these only fail or wait.
MASKED = "getty.target systemd-firstboot.service systemd-logind.service".split()


def system_root(root: pathlib.Path, shop: Workshop) -> None:
    """A small real system: Debian's systemd with what it stands on, unpacked and not configured."""
    source = shop.archive.tree(shop.archive.closure(*SYSTEM_PACKAGES))
    cache.run("cp", "--archive", source, root)
    (root / "inputs.json").unlink()
    for name in "boot dev efi etc home mnt proc root run srv sys tmp var".split():
        (root / name).mkdir(exist_ok=True)
    for name in [*APPLETS, "ls", "sh"]:
        if not os.path.lexists(root / "usr/bin" / name):
            (root / "usr/bin" / name).symlink_to("busybox")
    place = root / "usr/lib/modules" / shop.version
    for name, data in modules.pick(shop.tree, SYSTEM_MODULES).items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)

    for name, text in initrd.ACCOUNTS.items():
        (root / name).write_text(text)
    (root / "usr/lib/os-release").write_text(OS_RELEASE)
    (root / "etc/os-release").unlink(missing_ok=True)
    (root / "etc/os-release").symlink_to("../usr/lib/os-release")
    (root / "etc/machine-id").write_text(MACHINE_ID)
    (root / "etc/fstab").unlink(missing_ok=True)

    (root / "usr/lib/libdps-vm").mkdir()
    for name in ("report.sh", "system.sh"):
        shutil.copy(cache.GUEST / name, root / "usr/lib/libdps-vm" / name)
    units = root / "etc/systemd/system"
    (units / "multi-user.target.wants").mkdir(parents=True, exist_ok=True)
    (units / "libdps-report.service").write_text(SYSTEM_UNIT)
    (units / "multi-user.target.wants/libdps-report.service").symlink_to("../libdps-report.service")
    (units / "default.target").symlink_to("/usr/lib/systemd/system/multi-user.target")
    for name in MASKED:
        (units / name).symlink_to("/dev/null")
    # Newer than /usr: nothing has to be rebuilt at the first boot (systemd-update-done.service(8)).
    for name in ("etc/.updated", "var/.updated"):
        (root / name).touch()


def _put_kernels(recipe, shop, scratch, boot: pathlib.Path, command_line: str) -> None:
    """A unified kernel image, and the same kernel with its initrd as a type #1 entry."""
    wanted = [recipe.root] if recipe.root in ("btrfs", "xfs") else []
    features = ["luks"] * recipe.luks + ["verity"] * recipe.usr_verity
    ram_disk = shop.initrd(wanted, features)
    sections = [
        (".osrel", OS_RELEASE.encode()),
        (".cmdline", command_line.encode()),
        (".uname", shop.version.encode()),
        (".initrd", ram_disk.read_bytes()),
        (".linux", shop.kernel.read_bytes()),
    ]
    image = uki.build(shop.boot_file("stub").read_bytes(), sections)
    (boot / "EFI/Linux").mkdir(parents=True)
    (boot / "EFI/Linux/test-uki.efi").write_bytes(image)
    if recipe.loader == "none":
        return

    (boot / "test").mkdir()
    shutil.copy(shop.kernel, boot / "test/linux")
    shutil.copy(ram_disk, boot / "test/initrd")
    (boot / "loader/entries").mkdir(parents=True)
    (boot / "loader/entries/classic.conf").write_text(
        f"title Test system, kernel and initrd\nversion {shop.version}\n"
        f"linux /test/linux\ninitrd /test/initrd\noptions {command_line}\n"
    )


def _put_loader(recipe, shop, esp: pathlib.Path, boot: pathlib.Path, command_line: str) -> None:
    """What the firmware starts: the loader of last resort, as no entry is in its variables."""
    fallback = esp / "EFI/BOOT" / shop.platform["fallback"]
    fallback.parent.mkdir(parents=True)
    if recipe.loader == "none":
        (boot / "EFI/Linux/test-uki.efi").rename(fallback)
    elif recipe.loader == "systemd-boot":
        (esp / "loader").mkdir(exist_ok=True)
        (esp / "EFI/systemd").mkdir(parents=True)
        shutil.copy(shop.boot_file("loader"), fallback)
        shutil.copy(shop.boot_file("loader"), esp / "EFI/systemd" / shop.platform["loader"])
    else:
        fallback.write_bytes(grub.image(with_bli=recipe.loader == "grub"))
        (esp / "EFI/grub").mkdir()
        (esp / "EFI/grub/grub.cfg").write_text(
            grub.CONFIGURATION.format(command_line=command_line)
        )


# Without a menu: each test writes the entry that it wants into the copy it boots.
SELECTION = {
    "systemd-boot": ("::/loader/loader.conf", "timeout 0\ndefault {entry}\n"),
    "grub": ("::/EFI/grub/entry.cfg", "set default={entry}\n"),
}


def select_entry(recipe: Recipe, image: pathlib.Path, entry: str) -> None:
    """Makes the loader of a disk boot this entry; the ESP begins at 1 MiB on all of them."""
    name, text = SELECTION[recipe.loader.removesuffix("-without-bli")]
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(text.format(entry=entry))
        file.flush()
        cache.run("mcopy", "-o", "-i", f"{image}@@1M", file.name, name)
