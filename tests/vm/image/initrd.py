# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes an initial RAM disk around systemd, small enough to boot under software emulation.

What looks for the root file system is systemd's own, unchanged: generator, udev rules and units.
Of our own are two reports: when udev has settled without a root device, and instead of the
emergency shell.
"""

import pathlib

from . import cache, cpio, modules
from .fileset import FileSet

SYSTEMD = "usr/lib/systemd"
UNITS = f"{SYSTEMD}/system"

PROGRAMS = [
    f"{SYSTEMD}/systemd",
    f"{SYSTEMD}/systemd-udevd",
    f"{SYSTEMD}/systemd-shutdown",
    f"{SYSTEMD}/system-generators/systemd-gpt-auto-generator",
    "usr/bin/busybox",
    "usr/bin/kmod",
    "usr/bin/mount",
    "usr/bin/systemctl",
    "usr/bin/udevadm",
    "usr/bin/umount",
]
# In newer versions only.
OPTIONAL_PROGRAMS = [f"{SYSTEMD}/systemd-executor", f"{SYSTEMD}/systemd-sysroot-fstab-check"]
# dlopen()ed by udevd and PID 1, or by kmod.
OPENED_LIBRARIES = ["libkmod.so.2", "liblzma.so.5", "libzstd.so.1"]
APPLETS = (
    "awk cat chroot cp cut dmesg echo grep head ls mkdir mv poweroff readlink rm sed sh sleep sync "
    "tail tr uname"
).split()

BASE_UNITS = """
basic.target emergency.target initrd-cleanup.service initrd-fs.target initrd-parse-etc.service
initrd-root-device.target initrd-root-fs.target initrd-switch-root.service
initrd-switch-root.target initrd-udevadm-cleanup-db.service initrd-usr-fs.target initrd.target
local-fs-pre.target local-fs.target paths.target slices.target sockets.target swap.target
sysinit.target timers.target shutdown.target umount.target final.target poweroff.target
systemd-poweroff.service systemd-udevd.service systemd-udevd-control.socket
systemd-udevd-kernel.socket systemd-udev-trigger.service
""".split()
WANTS = {
    "sockets.target": ["systemd-udevd-control.socket", "systemd-udevd-kernel.socket"],
    "sysinit.target": ["systemd-udevd.service", "systemd-udev-trigger.service"],
}
# 60-block: a device that was written to is looked at again when it is closed.
RULES = ["50-udev-default", "60-block", "60-persistent-storage", "80-drivers", "99-systemd"]
GROUPS = "tty disk kmem input sgx video audio dialout lp kvm render cdrom tape".split()
ACCOUNTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "etc/group": "root:x:0:\n"
    + "".join(f"{name}:x:{number}:\n" for number, name in enumerate(GROUPS, 5)),
}

# Without efivarfs, and a modprobe that finds it, nobody reads LoaderDevicePartUUID.
BASE_MODULES = ["efivarfs"]

REPORT_UNIT = """\
[Unit]
Description={description}
DefaultDependencies=no
After=systemd-udev-trigger.service systemd-udevd.service
[Service]
Type=oneshot
StandardOutput=tty
StandardError=inherit
TTYPath=/dev/console
ExecStart=/bin/sh /usr/lib/libdps-vm/{script}
"""

DEVICE_MAPPER = {
    "programs": ["usr/sbin/dmsetup"],
    "rules": ["55-dm", "60-persistent-storage-dm", "95-dm-notify"],
}
FEATURES = {
    # What gpt-auto writes for a LUKS root calls systemd-cryptsetup; the key lies where it looks.
    "luks": {
        "programs": [f"{SYSTEMD}/systemd-cryptsetup", *DEVICE_MAPPER["programs"]],
        "rules": DEVICE_MAPPER["rules"],
        "units": ["cryptsetup.target"],
        "modules": ["dm_crypt", "xts", "aes_generic", "ecb", "sha256_generic", "algif_skcipher"],
    },
    # usrhash= on the command line.
    "verity": {
        "programs": [
            f"{SYSTEMD}/systemd-veritysetup",
            f"{SYSTEMD}/system-generators/systemd-veritysetup-generator",
            f"{SYSTEMD}/system-generators/systemd-fstab-generator",
            *DEVICE_MAPPER["programs"],
        ],
        "rules": DEVICE_MAPPER["rules"],
        "units": ["veritysetup.target"],
        "modules": ["dm_verity", "sha256_generic"],
    },
}


def build(
    tree: pathlib.Path,
    triplet: str,
    output: pathlib.Path,
    wanted_modules: list[str],
    features: list[str] = [],
    luks_key: str = "",
) -> None:
    """The RAM disk that looks for root, zstd-compressed."""
    files = _base(tree, triplet)
    extra = [FEATURES[name] for name in features]
    for feature in extra:
        for program in feature["programs"]:
            files.add(program)
        for unit in feature["units"]:
            files.add(f"{UNITS}/{unit}")
            files.link(f"{UNITS}/sysinit.target.wants/{unit}", f"../{unit}")
        for rule in feature["rules"]:
            files.add(f"usr/lib/udev/rules.d/{rule}.rules")
    if luks_key:
        files.text("etc/cryptsetup-keys.d/root.key", luks_key, mode=0o600)

    files.text("etc/initrd-release", 'ID=test\nNAME=test\nPRETTY_NAME="Initial RAM disk"\n')
    files.link("etc/os-release", "initrd-release")
    _report(files, "verdict.sh", "libdps-verdict.service", "Is the root device there?")
    files.link(f"{UNITS}/initrd.target.wants/libdps-verdict.service", "../libdps-verdict.service")

    names = BASE_MODULES + wanted_modules + [name for part in extra for name in part["modules"]]
    _modules(files, names)
    _write(files, output)


def build_installer(
    tree: pathlib.Path, triplet: str, output: pathlib.Path, wanted_modules: list[str]
) -> None:
    """A RAM disk that is a whole system with udev, such as an installer runs in.

    What it installs comes as a second archive in front of this one, see with_payload().
    """
    files = _base(tree, triplet)
    luks = FEATURES["luks"]
    for name in [*luks["programs"], "usr/sbin/cryptsetup"]:
        files.add(name)
    for rule in luks["rules"]:
        files.add(f"usr/lib/udev/rules.d/{rule}.rules")
    files.text("etc/os-release", 'ID=test\nNAME=test\nPRETTY_NAME="Installer"\n')
    files.add("usr/sbin/swapon")
    files.add("usr/sbin/swapoff")
    files.link("etc/systemd/system/default.target", "/usr/lib/systemd/system/installer.target")
    files.text(
        f"{UNITS}/installer.target",
        "[Unit]\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n",
    )
    _report(files, "installer.sh", "installer.service", "Installation")
    files.link(f"{UNITS}/installer.target.wants/installer.service", "../installer.service")
    _modules(files, BASE_MODULES + wanted_modules + luks["modules"])
    _write(files, output)


def with_payload(initrd: pathlib.Path, payload: pathlib.Path, output: pathlib.Path) -> None:
    """The installer's RAM disk with the files that this run installs, below /payload."""
    cpio.write(output, cpio.of_directory(payload, "payload"))
    with open(output, "ab") as file:
        file.write(initrd.read_bytes())


def _base(tree: pathlib.Path, triplet: str) -> FileSet:
    files = FileSet(tree, triplet)
    for name in "dev proc sys run tmp sysroot var root etc".split():
        files.directory(name)
    files.link("var/run", "../run")
    files.link("init", f"{SYSTEMD}/systemd")

    for name in PROGRAMS:
        files.add(name)
    for name in OPTIONAL_PROGRAMS:
        files.add(name, optional=True)
    for name in OPENED_LIBRARIES:
        files.library(name)
    for name in ("modprobe", "insmod"):
        files.link(f"usr/bin/{name}", "kmod")
    for name in APPLETS:
        files.link(f"usr/bin/{name}", "busybox")

    for name in BASE_UNITS:
        files.add(f"{UNITS}/{name}", optional=name.endswith("cleanup-db.service"))
    for target, names in WANTS.items():
        for name in names:
            files.link(f"{UNITS}/{target}.wants/{name}", f"../{name}")
    for name in RULES:
        files.add(f"usr/lib/udev/rules.d/{name}.rules")

    for name, text in ACCOUNTS.items():
        files.text(name, text)
    files.text("etc/systemd/system.conf", "[Manager]\nShowStatus=yes\n")

    files.text("usr/lib/libdps-vm/report.sh", (cache.GUEST / "report.sh").read_text())
    _report(files, "emergency.sh", "emergency.service", "Emergency")
    # Why the switch to root failed belongs on the console.
    for name in ("initrd-switch-root", "initrd-parse-etc", "initrd-cleanup"):
        files.text(
            f"{UNITS}/{name}.service.d/console.conf",
            "[Service]\nStandardOutput=kmsg\nStandardError=kmsg\n",
        )
    return files


def _report(files: FileSet, script: str, unit: str, description: str) -> None:
    files.text(f"usr/lib/libdps-vm/{script}", (cache.GUEST / script).read_text())
    files.text(f"{UNITS}/{unit}", REPORT_UNIT.format(description=description, script=script))


def _modules(files: FileSet, names: list[str]) -> None:
    version = modules.kernel_version(files.tree)
    for name, data in modules.pick(files.tree, names).items():
        files.data(f"usr/lib/modules/{version}/{name}", data)


def _write(files: FileSet, output: pathlib.Path) -> None:
    plain = output.with_suffix(".cpio")
    cpio.write(plain, files.entries)
    cache.run("zstd", "--quiet", "--rm", "-6", "-f", plain, "-o", output)
