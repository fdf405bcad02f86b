# SPDX-License-Identifier: LGPL-2.1-or-later
"""The virtual machine: which QEMU, which firmware, and whether KVM works here."""

import contextlib
import dataclasses
import functools
import os
import pathlib
import selectors
import shutil
import subprocess
import tempfile
import time


class Unavailable(Exception):
    """No machine of this kind can be had here: tests are skipped with this reason."""


@dataclasses.dataclass(frozen=True)
class Platform:
    program: str
    package: str
    machine: str
    cpu: str
    firmware: tuple[tuple[str, str], ...]  # code and variables, the first pair that exists
    firmware_package: str


PLATFORMS = {
    # Kernels 6.12 crash now and then under emulation with cmpxchg16b, or with two processors.
    "x86_64": Platform(
        "qemu-system-x86_64",
        "qemu-system-x86",
        "q35",
        "max,-cx16",
        (
            ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
            ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
            ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
        ),
        "ovmf",
    ),
    "aarch64": Platform(
        "qemu-system-aarch64",
        "qemu-system-arm",
        "virt",
        "cortex-a57",
        (("/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),),
        "qemu-efi-aarch64",
    ),
}


def firmware(arch: str) -> tuple[pathlib.Path, pathlib.Path]:
    platform = PLATFORMS[arch]
    for code, variables in platform.firmware:
        if os.path.exists(code) and os.path.exists(variables):
            return pathlib.Path(code), pathlib.Path(variables)
    raise Unavailable(f"no UEFI firmware for {arch}: install {platform.firmware_package}")


def check(arch: str) -> None:
    """Raises Unavailable when a machine of this architecture cannot be started."""
    platform = PLATFORMS[arch]
    if shutil.which(platform.program) is None:
        raise Unavailable(f"{platform.program}: not there: install {platform.package}")
    firmware(arch)


@dataclasses.dataclass(frozen=True)
class Drive:
    image: pathlib.Path
    device: str = "nvme"  # or virtio
    keep: bool = False  # what the guest writes stays in the image


@dataclasses.dataclass(frozen=True)
class DirectKernel:
    """A kernel that the firmware gets from QEMU and not from a disk."""

    kernel: pathlib.Path
    initrd: pathlib.Path
    command_line: str


def command(
    arch: str,
    accelerator: str,
    variables: pathlib.Path,
    drives: list[Drive],
    direct: DirectKernel | None = None,
) -> list[str]:
    platform = PLATFORMS[arch]
    code, _ = firmware(arch)
    kvm = accelerator == "kvm"
    words = [
        *(platform.program, "-machine", platform.machine, "-smp", "1", "-m", "1024"),
        *("-accel", "kvm" if kvm else "tcg,thread=multi"),
        *("-cpu", "host" if kvm else platform.cpu),
        *("-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio"),
        *("-no-reboot", "-boot", "menu=off,strict=on"),
        *("-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={code}"),
        *("-drive", f"if=pflash,format=raw,unit=1,file={variables}"),
    ]
    for number, drive in enumerate(drives):
        name = f"disk{number}"
        snapshot = "off" if drive.keep else "on"
        words += [
            "-drive",
            f"if=none,id={name},format=raw,snapshot={snapshot},cache=unsafe,file={drive.image}",
        ]
        model = {"nvme": f"nvme,serial={name}", "virtio": "virtio-blk-pci"}[drive.device]
        order = "" if direct else f",bootindex={number + 1}"
        words += ["-device", f"{model},drive={name}{order}"]
    if direct:
        words += ["-kernel", str(direct.kernel), "-initrd", str(direct.initrd)]
        words += ["-append", direct.command_line]
    return words


@contextlib.contextmanager
def private_variables(arch: str):
    """A copy of the firmware's variables, for one boot."""
    _, template = firmware(arch)
    with tempfile.TemporaryDirectory(prefix="libdps-vm-") as place:
        yield pathlib.Path(shutil.copy(template, place))


@functools.cache
def accelerator(arch: str) -> str:
    """kvm or tcg.  Having /dev/kvm says little: on some hosts the firmware dies in it, so try."""
    if os.environ.get("LIBDPS_VM_ACCEL"):
        return os.environ["LIBDPS_VM_ACCEL"]
    if arch != os.uname().machine or not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    return "kvm" if _firmware_speaks(arch) else "tcg"


def _firmware_speaks(arch: str, patience: float = 8) -> bool:
    """Whether the firmware gets as far as its first words on the console under KVM."""
    with private_variables(arch) as variables:
        words = command(arch, "kvm", variables, [])
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        seen = b""
        end = time.monotonic() + patience
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while b"BdsDxe" not in seen and time.monotonic() < end:
                if not selector.select(end - time.monotonic()):
                    break
                data = os.read(process.stdout.fileno(), 4096)
                if not data:
                    break
                seen += data
        process.kill()
        process.wait()
        process.stdout.close()
    return b"BdsDxe" in seen
