# SPDX-License-Identifier: LGPL-2.1-or-later
"""Chains of others' boot programs, and unified kernel images by objcopy and by ukify, on whole disks.

Every disk is sound: no error and no warning.  What the chain was taken for is seen by planting what
its last link minds.  ukify, its stubs and the stub of addons are of Debian 13; they are downloaded
and run from where they were unpacked.
"""

from __future__ import annotations

import functools
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "data"))
sys.path.insert(0, str(pathlib.Path(__file__).parent))
import binaries
import layouts
import makedisk
import makepe
from makedisk import Partition
from test_efi import OSREL, make_uki
from test_layouts import check, of

TOOL = os.environ["EFI_TOOL"]
GONE = "root=UUID=12345678-1234-4234-8234-123456789abc"


def disk(files: dict, tmp_path: pathlib.Path, name: str = "disk.raw") -> pathlib.Path:
    return makedisk.make(tmp_path / name, [
        layouts.esp(512, files),
        Partition(size=256, type=makedisk.ROOT_X86_64, content="ext4", files=layouts.tree("x86_64", "some", "Some Linux"))])


# --- riscv64, with the programs of Debian 13 for it ---


def riscv(pattern: str) -> pathlib.Path:
    tree = binaries.foreign("trixie", "riscv64", "systemd-boot-efi", "grub-efi-riscv64-bin", "grub-efi-riscv64-unsigned")
    return binaries.pick(tree, f"usr/lib/{pattern}")


def riscv_boot() -> bytes:
    return riscv("systemd/boot/efi/systemd-bootriscv64.efi").read_bytes()


def riscv_uki(linux: pathlib.Path) -> bytes:
    """ukify's image with riscv64's stub; any EFI program is a kernel for those who only look at its machine."""
    return ukify(f"--linux={linux}", f"--os-release={OSREL}", "--uname=6.12", "--cmdline=quiet", "--efi-arch=riscv64",
                 stub=riscv("systemd/boot/efi/linuxriscv64.efi.stub"), output="riscv.efi")


def riscv_disk(files: dict, tmp_path: pathlib.Path) -> pathlib.Path:
    return makedisk.make(tmp_path / "disk.raw", [
        layouts.esp(512, files),
        Partition(size=256, type=layouts.ROOTS["riscv64"], content="ext4", files=layouts.tree("riscv64", "some", "Some Linux"))])


# The files of an ESP, and the errors that they have.
RISCV = {
    "systemd-boot, ukify": (lambda: {"EFI/BOOT/BOOTRISCV64.EFI": riscv_boot(),
                                     "EFI/Linux/a.efi": riscv_uki(riscv("systemd/boot/efi/systemd-bootriscv64.efi"))}, []),
    "the image itself": (lambda: {"EFI/BOOT/BOOTRISCV64.EFI": riscv_uki(riscv("systemd/boot/efi/systemd-bootriscv64.efi"))}, []),
    "a kernel of another machine in it": (
        lambda: {"EFI/BOOT/BOOTRISCV64.EFI": riscv_boot(), "EFI/Linux/a.efi": riscv_uki(small_kernel())}, ["error uki-wrong-arch"]),
    "an image of another machine": (
        lambda: {"EFI/BOOT/BOOTRISCV64.EFI": riscv_boot(), "EFI/Linux/a.efi": by_ukify("--cmdline=quiet"),
                 "EFI/Linux/b.efi": riscv_uki(riscv("systemd/boot/efi/systemd-bootriscv64.efi"))}, ["error uki-wrong-arch"]),
    "GRUB without root=": (lambda: {"EFI/BOOT/BOOTRISCV64.EFI": riscv("grub/riscv64-efi/monolithic/grubriscv64.efi").read_bytes(),
                                    **ENTRY}, []),
    "the loader of another machine": (lambda: {"EFI/BOOT/BOOTRISCV64.EFI": program("systemd-boot"),
                                               "EFI/Linux/a.efi": riscv_uki(riscv("systemd/boot/efi/systemd-bootriscv64.efi"))},
                                      ["error esp-fallback-wrong-arch"]),
}


@pytest.mark.parametrize("name", RISCV)
def test_riscv(name: str, tmp_path: pathlib.Path) -> None:
    make, wanted = RISCV[name]
    findings = check(riscv_disk(make(), tmp_path))
    assert of(findings, "error") == wanted, findings
    verdict = next(f["message"] for f in findings if f["code"] == "dps-summary" and not f["partition"])
    assert verdict.startswith("root is discoverable on riscv64: ")


def test_riscv_headers() -> None:
    for path, builder in (("systemd/boot/efi/systemd-bootriscv64.efi", "systemd-boot"),
                          ("systemd/boot/efi/linuxriscv64.efi.stub", "systemd-stub"),
                          ("grub/riscv64-efi/monolithic/grubriscv64.efi", "GRUB")):
        ours = json.loads(subprocess.run([TOOL, "uki", riscv(path)], capture_output=True, text=True, check=True).stdout)
        assert (ours["machine"], ours["builder"], ours["subsystem"], ours["problems"]) == (0x5064, builder, 10, []), path


# --- Chains ---

ENTRY = {"loader/entries/a.conf": "title A\nversion 1\nlinux /a/linux\ninitrd /a/initrd\noptions quiet\n",
         "a/linux": makepe.kernel(), "a/initrd": bytes(4096)}


def program(name: str) -> bytes:
    return binaries.program(name)


def fwupd() -> dict:
    return {"EFI/debian/fwupdx64.efi": program("fwupd")}


def shim_to(loader: str) -> dict:
    return {"EFI/BOOT/BOOTX64.EFI": program("shim"), "EFI/BOOT/grubx64.efi": program(loader), "EFI/BOOT/mmx64.efi": program("mok")}


def csv_to(directory: str, loader: str, line: str) -> dict:
    return {"EFI/BOOT/BOOTX64.EFI": program("shim"), "EFI/BOOT/fbx64.efi": program("fallback"),
            f"EFI/{directory}/shimx64.efi": program("shim"), f"EFI/{directory}/grubx64.efi": program(loader),
            f"EFI/{directory}/BOOTX64.CSV": layouts.csv(line)}


# The files, and the path of systemd-boot at the end of the chain.
SYSTEMD_BOOT_CHAINS = {
    "systemd-boot": (lambda: {"EFI/BOOT/BOOTX64.EFI": program("systemd-boot")}, "/EFI/BOOT/BOOTX64.EFI"),
    "shim, systemd-boot": (lambda: shim_to("systemd-boot"), "/EFI/BOOT/grubx64.efi"),
    "shim, fallback, shim, systemd-boot": (
        lambda: csv_to("systemd", "systemd-boot", "shimx64.efi,Linux Boot Manager,,x\n"), "/EFI/systemd/grubx64.efi"),
    "shim, fallback, systemd-boot": (
        lambda: csv_to("systemd", "systemd-boot", "grubx64.efi,Linux Boot Manager,,x\n"), "/EFI/systemd/grubx64.efi"),
    "with SUSE's names": (
        lambda: layouts.suse_shim("x86_64", "systemd", program("systemd-boot"), "openSUSE Boot Manager"), "/EFI/systemd/grub.efi"),
}
GRUB_CHAINS = {
    "GRUB": (lambda: {"EFI/BOOT/BOOTX64.EFI": program("grub")}, "/EFI/BOOT/BOOTX64.EFI"),
    "shim, GRUB": (lambda: shim_to("grub"), "/EFI/BOOT/grubx64.efi"),
    "shim, fallback, shim, GRUB": (lambda: csv_to("debian", "grub", "shimx64.efi,debian,,x\n"), "/EFI/debian/grubx64.efi"),
    "two vendors": (lambda: {**csv_to("debian", "grub", "shimx64.efi,debian,,x\n"), "EFI/zorin/grubx64.efi": program("grub")}, "/EFI/debian/grubx64.efi"),
}


@pytest.mark.parametrize("name", SYSTEMD_BOOT_CHAINS)
def test_chain_to_systemd_boot(name: str, tmp_path: pathlib.Path) -> None:
    files, path = SYSTEMD_BOOT_CHAINS[name]
    findings = check(disk({**files(), **fwupd(), **ENTRY}, tmp_path))
    assert of(findings, "error", "warning") == [], findings
    findings = check(disk({**files(), **fwupd()}, tmp_path, "empty.raw"))
    assert of(findings, "error") == ["error esp-no-loader-entries"], findings
    assert [f["path"] for f in findings if f["code"] == "esp-no-loader-entries"] == [path]


@pytest.mark.parametrize("name", GRUB_CHAINS)
def test_chain_to_grub(name: str, tmp_path: pathlib.Path) -> None:
    """Debian 12's GRUB has no bli: an entry without root= does not boot."""
    files, path = GRUB_CHAINS[name]
    rooted = {**ENTRY, "loader/entries/a.conf": ENTRY["loader/entries/a.conf"].replace("quiet", f"root={layouts.fs(2)}")}
    findings = check(disk({**files(), **fwupd(), **rooted}, tmp_path))
    assert of(findings, "error", "warning") == [], findings
    findings = check(disk({**files(), **fwupd(), **ENTRY}, tmp_path, "without.raw"))
    assert of(findings, "error") == ["error loader-no-bli"], findings
    assert [f["path"] for f in findings if f["code"] == "loader-no-bli"] == [path]


def test_memtest_in_a_menu(tmp_path: pathlib.Path) -> None:
    """systemd-boot starts it by `efi`, or by `linux` as memtest86+'s README has it."""
    files = {"EFI/BOOT/BOOTX64.EFI": program("systemd-boot"), **ENTRY, "EFI/tools/memtest86+x64.efi": program("memtest"),
             "loader/entries/memtest.conf": "title Memory test\nefi /EFI/tools/memtest86+x64.efi\n",
             "loader/entries/memtest2.conf": "title Memory test\nlinux /EFI/tools/memtest86+x64.efi\n"}
    findings = check(disk(files, tmp_path))
    assert of(findings, "error", "warning") == [], findings


# --- Unified kernel images ---


@functools.lru_cache(maxsize=None)
def place() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="programs-")


def small_kernel() -> pathlib.Path:
    path = pathlib.Path(place().name, "linux")
    path.write_bytes(makepe.kernel(size=65536))
    return path


@functools.lru_cache(maxsize=None)
def by_objcopy(is_real: bool = False, **sections: str) -> bytes:
    path = pathlib.Path(place().name, f"objcopy-{abs(hash(repr(sections)))}.efi")
    linux = binaries.kernel() if is_real else small_kernel()
    return make_uki(path, linux, **{"osrel": OSREL, "uname": "6.1\n", **sections}).read_bytes()


@functools.lru_cache(maxsize=None)
def ukify(*words: str, stub: str | pathlib.Path = "linuxx64.efi.stub", output: str = "a.efi") -> bytes:
    pytest.importorskip("pefile", reason="SKIP: no python3-pefile here")
    tool = binaries.pick(binaries.foreign("trixie", "amd64", "systemd-ukify"), "usr/lib/systemd/ukify")
    if isinstance(stub, str):
        stub = binaries.pick(binaries.foreign("trixie", "amd64", "systemd-boot-efi"), f"usr/lib/systemd/boot/efi/{stub}")
    to = pathlib.Path(place().name, output)
    done = subprocess.run([sys.executable, tool, "build", f"--stub={stub}",
                           f"--output={to}", *words], capture_output=True, text=True, check=False, cwd=place().name)
    assert done.returncode == 0, done.stderr
    return to.read_bytes()


def by_ukify(*words: str, is_real: bool = False) -> bytes:
    initrd = pathlib.Path(place().name, "initrd")
    initrd.write_bytes(bytes(65536))
    return ukify(f"--linux={binaries.kernel() if is_real else small_kernel()}", f"--initrd={initrd}", f"--os-release={OSREL}", "--uname=6.1", *words)


def with_profiles() -> bytes:
    one = pathlib.Path(place().name, "factory.efi")
    one.write_bytes(ukify("--profile=ID=factory-reset\nTITLE=Factory reset\n", "--cmdline=systemd.unit=factory-reset.target",
                          stub="addonx64.efi.stub", output="one.efi"))
    return by_ukify("--cmdline=quiet", "--profile=ID=main\nTITLE=Main\n", f"--join-profile={one}")


def addon() -> bytes:
    return ukify("--cmdline=debug", "--uname=6.1", stub="addonx64.efi.stub", output="x.addon.efi")


# The files of an ESP beside systemd-boot.
UKIS = {
    "objcopy": lambda: {"EFI/Linux/a.efi": by_objcopy(is_real=True, cmdline="quiet")},
    "objcopy, no command line": lambda: {"EFI/Linux/a.efi": by_objcopy()},
    "ukify": lambda: {"EFI/Linux/a.efi": by_ukify("--cmdline=quiet rw", is_real=True)},
    "ukify, counted": lambda: {"EFI/Linux/a+3.efi": by_ukify("--cmdline=quiet rw"), "EFI/Linux/a.efi.extra.d/x.addon.efi": addon()},
    "ukify, profiles": lambda: {"EFI/Linux/a.efi": with_profiles()},
    "ukify, companions": lambda: {
        "EFI/Linux/a.efi": by_ukify("--cmdline=quiet"), "EFI/Linux/a.efi.extra.d/x.addon.efi": addon(), "EFI/Linux/a.efi.extra.d/y.cred": b"x",
        "EFI/Linux/a.efi.extra.d/z.sysext.raw": bytes(4096), "EFI/Linux/a.efi.extra.d/z.confext.raw": bytes(4096),
        "loader/addons/x.addon.efi": addon(), "loader/credentials/y.cred": b"x"},
    "both makers": lambda: {"EFI/Linux/a.efi": by_ukify("--cmdline=quiet"), "EFI/Linux/b.efi": by_objcopy(cmdline="quiet")},
}
FAULTY = {
    "objcopy, addresses that overlap": (lambda: {"EFI/Linux/a.efi": by_objcopy_with_overlap()}, "uki-section-overlap"),
    "ukify, cut off": (lambda: {"EFI/Linux/a.efi": by_ukify("--cmdline=quiet")[:-20_000]}, "uki-truncated"),
    "ukify, another disk's root": (lambda: {"EFI/Linux/a.efi": by_ukify(f"--cmdline={GONE}")}, "uki-cmdline-root"),
    "the stub alone": (lambda: {"EFI/Linux/a.efi": by_ukify("--cmdline=quiet"), "EFI/Linux/b.efi": program("stub")}, "uki-no-linux"),
    "objcopy, no os-release": (lambda: {"EFI/Linux/a.efi": by_objcopy(osrel="X=1\n")}, "uki-no-osrel"),
}


def by_objcopy_with_overlap() -> bytes:
    path = pathlib.Path(place().name, "overlap.efi")
    return make_uki(path, small_kernel(), overlap=True, osrel=OSREL, initrd="x" * 100_000).read_bytes()


@pytest.mark.parametrize("name", UKIS)
def test_uki(name: str, tmp_path: pathlib.Path) -> None:
    findings = check(disk({"EFI/BOOT/BOOTX64.EFI": program("systemd-boot"), **UKIS[name]()}, tmp_path))
    assert of(findings, "error", "warning") == [], findings


@pytest.mark.parametrize("name", ["objcopy", "ukify", "ukify, profiles"])
def test_uki_started_by_firmware(name: str, tmp_path: pathlib.Path) -> None:
    findings = check(disk({"EFI/BOOT/BOOTX64.EFI": UKIS[name]()["EFI/Linux/a.efi"]}, tmp_path))
    assert of(findings, "error", "warning") == [], findings


@pytest.mark.parametrize("name", FAULTY)
def test_faulty_uki(name: str, tmp_path: pathlib.Path) -> None:
    files, code = FAULTY[name]
    findings = check(disk({"EFI/BOOT/BOOTX64.EFI": program("systemd-boot"), **files()}, tmp_path))
    assert of(findings, "error") == [f"error {code}"], findings


ADDONS = {
    "of another kernel": (lambda: ukify("--cmdline=debug", "--uname=5.10", stub="addonx64.efi.stub", output="u.addon.efi"), "EFI/Linux/a.efi.extra.d/x.addon.efi"),
    "of another machine": (lambda: makepe.addon(makepe.ARM64), "EFI/Linux/a.efi.extra.d/x.addon.efi"),
    "with a kernel": (lambda: by_ukify("--cmdline=quiet"), "EFI/Linux/a.efi.extra.d/x.addon.efi"),
    "beside the images": (addon, "EFI/Linux/x.addon.efi"),
    "of no image": (addon, "EFI/Linux/b.efi.extra.d/x.addon.efi"),
    "with the counter in the name": (addon, "EFI/Linux/a+3.efi.extra.d/x.addon.efi"),
}


@pytest.mark.parametrize("name", ADDONS)
def test_addon(name: str, tmp_path: pathlib.Path) -> None:
    make, path = ADDONS[name]
    findings = check(disk({"EFI/BOOT/BOOTX64.EFI": program("systemd-boot"), "EFI/Linux/a.efi": by_ukify("--cmdline=quiet"), path: make()}, tmp_path))
    assert of(findings, "error", "warning") == ["warning uki-addon-misplaced"], findings


def test_sections_as_ukify_inspects_them() -> None:
    pytest.importorskip("pefile", reason="SKIP: no python3-pefile here")
    with_profiles()
    tool = binaries.pick(binaries.foreign("trixie", "amd64", "systemd-ukify"), "usr/lib/systemd/ukify")
    path = pathlib.Path(place().name, "a.efi")
    path.write_bytes(by_ukify("--cmdline=quiet rw"))
    theirs = json.loads(subprocess.run([sys.executable, tool, "--json=short", "inspect", path], capture_output=True, text=True, check=True).stdout)
    ours = json.loads(subprocess.run([TOOL, "uki", path], capture_output=True, text=True, check=True).stdout)
    assert ours["cmdline"] == theirs[".cmdline"]["text"] == "quiet rw"
    assert ours["uname"] == theirs[".uname"]["text"] == "6.1"
    sizes = {section["name"]: section["virtual_size"] for section in ours["sections"]}
    assert {name: sizes[name] for name in theirs} == {name: section["size"] for name, section in theirs.items()}
    assert ours["problems"] == []
