# SPDX-License-Identifier: LGPL-2.1-or-later
"""Programs that others built, out of Debian's packages: downloaded once and unpacked, not installed.

Those of this machine's own release come by its own package lists.  What is for another architecture,
or of a newer release, comes by lists that are kept apart from the machine's (tests/vm has them), so
that nothing here is altered.
"""

from __future__ import annotations

import fcntl
import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ENV = {**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
sys.path.insert(0, str(HERE.parent / "vm"))


def cache() -> Path:
    """One place for all tests of a build: packages are downloaded once, whoever wants them first."""
    tool = os.environ.get("EFI_TOOL")
    default = Path(tool).parent / "debs" if tool else Path(tempfile.gettempdir(), f"libdps-debs-{os.getuid()}")
    return Path(os.environ.get("DPS_DEB_CACHE", default))


@functools.lru_cache(maxsize=None)
def package(name: str) -> Path:
    """The files of a package, from the cache or from the archive."""
    for program in ("dpkg-deb", "apt-get"):
        if shutil.which(program, path=ENV["PATH"]) is None:
            pytest.skip(f"SKIP: no {program} here")
    place = cache()
    place.mkdir(parents=True, exist_ok=True)
    to = place / name
    # Several test programs run at a time, and want the same package.
    with open(place / f".{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not to.exists():
            subprocess.run(["apt-get", "download", name], cwd=place, env=ENV, capture_output=True, timeout=300)
            debs = sorted(place.glob(f"{name}_*.deb"))
            if not debs:
                pytest.skip(f"SKIP: package {name} cannot be downloaded here")
            shutil.rmtree(f"{to}.new", ignore_errors=True)
            subprocess.run(["dpkg-deb", "-x", debs[-1], f"{to}.new"], check=True, env=ENV)
            Path(f"{to}.new").rename(to)
    return to


@functools.lru_cache(maxsize=None)
def foreign(suite: str, architecture: str, *names: str) -> Path:
    """The files of packages of another release or architecture."""
    from image import packages

    try:
        return packages.archive(suite, architecture).tree(list(names))
    except (packages.Unavailable, packages.cache.CommandFailed, subprocess.TimeoutExpired, OSError) as error:
        pytest.skip(f"SKIP: {names[0]} of {suite} {architecture}: {str(error).splitlines()[0][:200]}")


def pick(tree: Path, pattern: str) -> Path:
    found = sorted(tree.glob(pattern))
    assert found, f"{tree} has no {pattern}"
    return found[0]


def one(name: str, pattern: str) -> Path:
    return pick(package(name), pattern)


def bootctl() -> str:
    """The machine's own, else that of its release: the package is not installed for it, for that would install a
    boot loader."""
    return shutil.which("bootctl", path=ENV["PATH"]) or str(one("systemd-boot", "usr/bin/bootctl"))


def kernel() -> Path:
    """Debian's kernel for virtual machines."""
    text = subprocess.run(["apt-cache", "depends", "linux-image-cloud-amd64"], env=ENV, capture_output=True, text=True).stdout
    match = re.search(r"Depends: (linux-image-\S+)", text)
    if not match:
        pytest.skip("SKIP: the archive has no linux-image-cloud-amd64")
    return one(match[1], "boot/vmlinuz-*")


# Where each program is: package, file; and for arm64 the same names with its own suffix.
PROGRAMS = {
    "shim": ("shim-signed", "usr/lib/shim/shim{}.efi.signed"),
    "fallback": ("shim-unsigned", "usr/lib/shim/fb{}.efi"),
    "mok": ("shim-unsigned", "usr/lib/shim/mm{}.efi"),
    "grub": ("grub-efi-{}-signed", "usr/lib/grub/*-efi-signed/grub{}.efi.signed"),
    "fwupd": ("fwupd-{}-signed", "usr/libexec/fwupd/efi/fwupd{}.efi.signed"),
    "systemd-boot": ("systemd-boot-efi", "usr/lib/systemd/boot/efi/systemd-boot{}.efi"),
    "stub": ("systemd-boot-efi", "usr/lib/systemd/boot/efi/linux{}.efi.stub"),
    "memtest": ("memtest86+", "boot/memtest86+x64.efi"),
}
DEBIAN = {"x86_64": ("amd64", "x64"), "aarch64": ("arm64", "aa64")}


@functools.lru_cache(maxsize=None)
def program(what: str, arch: str = "x86_64") -> bytes:
    name, pattern = PROGRAMS[what]
    debian, suffix = DEBIAN[arch]
    name, pattern = name.format(debian), pattern.format(suffix)
    if arch == "x86_64":
        return one(name, pattern).read_bytes()
    # All at once: each question to apt takes a second.
    names = sorted({row[0].format(debian) for row in PROGRAMS.values()} - {"memtest86+"})
    return pick(foreign("bookworm", debian, *names), pattern).read_bytes()


LIBRARIES = {"aarch64": "arm64", "riscv64": "riscv64", "ppc64le": "ppc64el", "s390x": "s390x"}


@functools.lru_cache(maxsize=None)
def elf(arch: str) -> bytes:
    """A library of the architecture: the dynamic loader of Debian's C library for it."""
    if arch == "x86_64":
        return Path("/usr/bin/true").read_bytes()
    return pick(package(f"libc6-{LIBRARIES[arch]}-cross"), "usr/*/lib/ld*.so.?").read_bytes()
