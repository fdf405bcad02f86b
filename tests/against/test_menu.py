# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which boot entries show, and in which order: bootctl's list and ours over the same files.

bootctl reads as userspace does, and we as systemd-boot does, which is what people see: where they
differ, the row says so with the reason.  Two bootctl are asked: the machine's own (252 in Debian 12)
and 257 of the next release, which is downloaded and run out of its own directory.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "data"))
sys.path.insert(0, str(pathlib.Path(__file__).parent))
import binaries
import makedisk
import makepe
from test_layouts import check

TOOL = os.environ["EFI_TOOL"]
ID = "6a9857a393724b7a981ebb5b8495b9ea"


def conf(*lines: str, linux: str = "/linux") -> str:
    return "".join(f"{line}\n" for line in (f"linux {linux}" if linux else "", *lines) if line)


def uki(text: str = "ID=some\nPRETTY_NAME=Some\n", **more: object) -> bytes:
    return makepe.uki("quiet", osrel=text.encode() if text is not None else None, **more)


@dataclasses.dataclass
class Menu:
    """Files of loader/entries (NAME.conf) and EFI/Linux (NAME.efi), and the ids that show, in order."""

    files: dict
    shown: list[str]
    xbootldr: dict | None = None
    # Where bootctl of such a version (252 and 253; newer) says something else: the list, and why.
    v252: tuple[list[str], str] | None = None
    v257: tuple[list[str], str] | None = None

    def by(self, version: int) -> list[str]:
        other = self.v252 if version < 254 else self.v257
        return other[0] if other else self.shown


NO_LOADER = "bootctl lists an entry without a loader, which systemd-boot hides (config_entry_add_type1)"
NO_FILES = "bootctl lists what names files that are not there, 257 as broken; systemd-boot hides it"
NO_ARCH = "bootctl lists entries of all architectures; systemd-boot hides those of others"
AUTO = "systemd-boot keeps names with auto- for its own entries; bootctl does not mind"
NAME = "userspace wants the characters of the specification in a name; systemd-boot takes any"
MACHINE = "252 does not look at the machine of a program; 257 and systemd-boot do"


def both(names: list[str], why: str) -> dict:
    return {"v252": (names, why), "v257": (names, why)}


# fmt: off
MENUS: dict[str, Menu] = {
    # --- Type #1 ---
    "one": Menu({"a.conf": conf("title A")}, ["a.conf"]),
    "nothing": Menu({}, []),
    "no title": Menu({"a.conf": conf()}, ["a.conf"]),
    "comments and blanks": Menu({"a.conf": "# x\n\n  # y\ntitle\t A \n\tlinux   /linux\n"}, ["a.conf"]),
    "without a line end": Menu({"a.conf": "title A\nlinux /linux"}, ["a.conf"]),
    "CR LF": Menu({"a.conf": "title A\r\nlinux /linux\r\n"}, ["a.conf"]),
    "no loader key": Menu({"a.conf": "title A\noptions quiet\n", "b.conf": conf()}, ["b.conf"], **both(["b.conf", "a.conf"], NO_LOADER)),
    "efi": Menu({"a.conf": "title Tool\nefi /linux\n"}, ["a.conf"]),
    "unknown key": Menu({"a.conf": conf("colour blue")}, ["a.conf"]),
    "GRUB's keys": Menu({"a.conf": conf("grub_users $grub_users", "grub_class x")}, ["a.conf"]),
    "two titles": Menu({"a.conf": conf("title A", "title B")}, ["a.conf"]),
    "other suffix": Menu({"a.conf": conf(), "b.conf.rpmsave": conf(), "c.txt": conf(), "d": conf()}, ["a.conf"]),
    "upper-case suffix": Menu({"a.CONF": conf()}, ["a.CONF"]),
    "hidden name": Menu({".a.conf": conf(), "b.conf": conf()}, ["b.conf"]),
    "auto- name": Menu({"auto-a.conf": conf(), "b.conf": conf()}, ["b.conf"], **both(["b.conf", "auto-a.conf"], AUTO)),
    "a directory of the name": Menu({"a.conf/x": "", "b.conf": conf()}, ["b.conf"]),
    "empty file": Menu({"a.conf": "", "b.conf": conf()}, ["b.conf"], **both(["b.conf", "a.conf"], NO_LOADER)),
    "path without a slash": Menu({"a.conf": conf(linux="linux")}, ["a.conf"]),
    "kernel is not there": Menu({"a.conf": conf(linux="/gone"), "b.conf": conf()}, ["b.conf"], **both(["b.conf", "a.conf"], NO_FILES)),
    "initrd is not there": Menu({"a.conf": conf("initrd /gone")}, ["a.conf"]),
    "own architecture": Menu({"a.conf": conf("architecture x64")}, ["a.conf"]),
    "own architecture, upper case": Menu({"a.conf": conf("architecture X64")}, ["a.conf"]),
    "another architecture": Menu({"a.conf": conf("architecture aa64"), "b.conf": conf()}, ["b.conf"], **both(["b.conf", "a.conf"], NO_ARCH)),
    "name beyond the specification": Menu({"a b.conf": conf(), "c.conf": conf()}, ["c.conf", "a b.conf"], **both(["c.conf"], NAME)),
    # --- The order ---
    "by name, newest first": Menu({f"k-6.{n}.conf": conf() for n in (2, 9, 10)}, ["k-6.10.conf", "k-6.9.conf", "k-6.2.conf"]),
    "by version": Menu({f"{n}.conf": conf("sort-key x", f"version 6.{v}") for n, v in (("a", 9), ("b", 10), ("c", 2))}, ["b.conf", "a.conf", "c.conf"]),
    "sort-key before version": Menu({"a.conf": conf("sort-key b", "version 9"), "b.conf": conf("sort-key a", "version 1")}, ["b.conf", "a.conf"]),
    "sort-key before none": Menu({"z.conf": conf(), "a.conf": conf("sort-key x")}, ["a.conf", "z.conf"]),
    "machine-id before version": Menu({"a.conf": conf("sort-key x", f"machine-id {ID}", "version 9"),
                                       "b.conf": conf("sort-key x", "machine-id 00000000000000000000000000000001", "version 1")}, ["b.conf", "a.conf"]),
    "pre-release": Menu({f"{n}.conf": conf("sort-key x", f"version {v}") for n, v in (("a", "6.1~rc1"), ("b", "6.1"), ("c", "6.1-2"))},
                        ["c.conf", "b.conf", "a.conf"]),
    "same version, by name": Menu({f"{n}.conf": conf("sort-key x", "version 1") for n in ("a-1", "a-2")}, ["a-2.conf", "a-1.conf"]),
    # --- Boot counters ---
    "tries left": Menu({"a+3.conf": conf()}, ["a.conf"]),
    "tries left and done": Menu({"a+2-1.conf": conf()}, ["a.conf"]),
    "bad last": Menu({"z+0-3.conf": conf(), "a.conf": conf()}, ["a.conf", "z.conf"]),
    "bad ones with a sort-key last": Menu({"a+0.conf": conf("sort-key a"), "b.conf": conf()}, ["b.conf", "a.conf"]),
    "no counter": Menu({"a+x.conf": conf(), "b+.conf": conf()}, ["b+.conf", "a+x.conf"]),
    "UKI with tries left": Menu({"a+3.efi": uki()}, ["a.efi"]),
    # --- Type #2 ---
    "UKI": Menu({"a.efi": uki()}, ["a.efi"]),
    "UKIs by version": Menu({f"{n}.efi": uki(f"ID=x\nNAME=X\nVERSION_ID={v}\n") for n, v in (("a", 9), ("b", 10))}, ["b.efi", "a.efi"]),
    "UKI and type #1": Menu({"a.conf": conf(), "b.efi": uki()}, ["b.efi", "a.conf"]),
    "UKI of IMAGE_ID": Menu({"a.efi": uki("ID=z\nNAME=Z\nIMAGE_ID=a\nIMAGE_VERSION=1\n"), "b.efi": uki("ID=m\nNAME=M\n")}, ["a.efi", "b.efi"]),
    "UKI without .osrel": Menu({"a.efi": uki(None), "b.efi": uki()}, ["b.efi"]),
    "UKI without a name": Menu({"a.efi": uki("X=1\n"), "b.efi": uki()}, ["b.efi"]),
    "UKI with ID alone": Menu({"a.efi": uki("ID=x\n")}, ["a.efi"]),
    "UKI without a command line": Menu({"a.efi": makepe.uki(None)}, ["a.efi"]),
    "UKI of another machine": Menu({"a.efi": uki(machine=makepe.ARM64), "b.efi": uki()}, ["b.efi"], v252=(["b.efi", "a.efi"], MACHINE)),
    "no program": Menu({"a.efi": b"text", "b.efi": uki()}, ["b.efi"]),
    "hidden UKI": Menu({".a.efi": uki(), "auto-b.efi": uki(), "c.efi": uki()}, ["c.efi"], **both(["c.efi", "auto-b.efi"], AUTO)),
    "UKI in a directory": Menu({"d/a.efi": uki(), "b.efi": uki()}, ["b.efi"]),
    "UKI's companions": Menu({"a.efi": uki(), "a.efi.extra.d/x.addon.efi": makepe.addon(), "a.efi.extra.d/y.cred": "x"}, ["a.efi"]),
    "profiles": Menu({"a.efi": uki(extra=((".profile", b"ID=main\nTITLE=Main\n"), (".cmdline", b"x"), (".profile", b"ID=factory\nTITLE=Reset\n"),
                                          (".cmdline", b"y")))}, ["a.efi", "a.efi@factory"],
                     v252=([], "252 knows no profiles, and no image with a section twice"),
                     v257=(["a.efi@main", "a.efi@factory"], "userspace names the first profile, too; systemd-boot the others alone")),
    # --- Two partitions ---
    "both partitions": Menu({"a.conf": conf()}, ["b.conf", "a.conf"], xbootldr={"b.conf": conf()}),
    "the same name on both": Menu({"a.conf": conf("title E")}, ["a.conf", "a.conf"], xbootldr={"a.conf": conf("title X")}),
    "kernel on the other partition": Menu({"a.conf": conf(linux="/other")}, ["b.conf"], xbootldr={"b.conf": conf(linux="/other"), "/other": "x"}, **both(["b.conf", "a.conf"], NO_FILES)),
    "UKI on XBOOTLDR": Menu({}, ["a.efi"], xbootldr={"a.efi": uki()}),
}
# fmt: on


def write(directory: pathlib.Path, files: dict) -> None:
    tree: dict = {"linux": makepe.kernel(), "EFI/Linux/": None, "loader/entries/": None, "loader/entries.srel": "type1\n"}
    for name, what in files.items():
        if name.startswith("/"):
            tree[name[1:]] = what
        else:
            tree[("EFI/Linux/" if ".efi" in name else "loader/entries/") + name] = what
    makedisk.write_tree(directory, tree)


@functools.lru_cache(maxsize=None)
def bootctl(version: str) -> tuple[tuple[str, ...], int]:
    """How to call it, and which systemd it is of."""
    if version == "own":
        words: tuple[str, ...] = (binaries.bootctl(),)
    else:
        tree = binaries.foreign("trixie", "amd64", "systemd-boot-tools", "libsystemd-shared", "libc6", "libacl1", "libaudit1", "libblkid1", "libcap-ng0", "libcap2",
                                "libcrypt1", "libmount1", "libpam0g", "libpcre2-8-0", "libseccomp2", "libselinux1", "libssl3t64", "libzstd1", "zlib1g")
        libraries = f"{tree}/usr/lib/x86_64-linux-gnu"
        words = (f"{libraries}/ld-linux-x86-64.so.2", "--library-path", f"{libraries}:{libraries}/systemd", f"{tree}/usr/bin/bootctl")
    said = subprocess.run([*words, "--version"], capture_output=True, text=True, env=binaries.ENV, check=False)
    if said.returncode != 0:
        pytest.skip(f"SKIP: bootctl of {version} does not run here: {said.stderr.strip()[:200]}")
    return words, int(said.stdout.split()[1])


def listed(version: str, root: pathlib.Path, has_xbootldr: bool) -> list[dict]:
    words, _ = bootctl(version)
    more = {"SYSTEMD_XBOOTLDR_PATH": "/boot", "SYSTEMD_RELAX_XBOOTLDR_CHECKS": "1"} if has_xbootldr else {}
    done = subprocess.run([*words, f"--root={root}", "--json=short", "list"], capture_output=True, text=True, check=False,
                          env={**binaries.ENV, "SYSTEMD_ESP_PATH": "/efi", "SYSTEMD_RELAX_ESP_CHECKS": "1", **more})
    assert done.returncode == 0, done.stderr
    # One document a line in 252, one array later; nothing at all, or no array, when there is no entry.
    text = done.stdout.strip()
    if not text.startswith("["):
        rows = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    else:
        rows = json.loads(text)
    # What systemd-boot makes up itself, and what firmware told: not on the disk.
    return [row for row in rows if row.get("type", "type1") in ("type1", "type2") and not row["id"].startswith("auto-reboot")]


@pytest.mark.parametrize("version", ["own", "trixie"])
@pytest.mark.parametrize("name", MENUS)
def test_menu(name: str, version: str, tmp_path: pathlib.Path) -> None:
    menu = MENUS[name]
    write(tmp_path / "efi", menu.files)
    (tmp_path / "boot").mkdir()
    if menu.xbootldr is None:
        compare(menu, version, tmp_path)
        return
    # bootctl takes two directories of one device for one partition.
    if not makedisk.can_mount():
        pytest.skip("SKIP: a second partition needs root and a mount")
    makedisk.run("mount", "-t", "tmpfs", "tmpfs", tmp_path / "boot")
    try:
        write(tmp_path / "boot", menu.xbootldr)
        compare(menu, version, tmp_path)
    finally:
        makedisk.umount(tmp_path / "boot")


def compare(menu: Menu, version: str, tmp_path: pathlib.Path) -> None:
    where = f"{tmp_path}/efi" + (f",{tmp_path}/boot" if menu.xbootldr is not None else "")
    ours = json.loads(subprocess.run([TOOL, "list", where], capture_output=True, text=True, check=True).stdout)
    assert [entry["id"] for entry in ours if not entry["hidden"]] == menu.shown, ours

    _, number = bootctl(version)
    theirs = listed(version, tmp_path, menu.xbootldr is not None)
    assert [entry["id"] for entry in theirs] == menu.by(number), theirs


# What `default` of loader.conf chooses out of a.conf, b-6.9.conf, b-6.10.conf, c.efi.
DEFAULTS = {
    "": "c.efi",
    "a.conf": "a.conf",
    "A.CONF": "a.conf",
    "b-*": "b-6.10.conf",
    "b-6.9.conf": "b-6.9.conf",
    "b-6.9*": "b-6.9.conf",
    "?.conf": "a.conf",
    "[ab].conf": "a.conf",
    "*.efi": "c.efi",
    "*": "c.efi",
    # Without the suffix it matches nothing, and the first of the menu starts.
    "a": "c.efi",
    "gone-*": "c.efi",
    "z.conf": "c.efi",
}


# systemd-boot's own fnmatch knows no "not": a set with "!" in it; bootctl takes that of the C library.
NOT_IN_FIRMWARE = {"[!c]*": ("c.efi", "b-6.10.conf")}


@pytest.mark.parametrize("pattern", [*DEFAULTS, *NOT_IN_FIRMWARE])
def test_default(pattern: str, tmp_path: pathlib.Path) -> None:
    """252's JSON has no default; where 257 cannot be had, ours alone is looked at."""
    files = {"a.conf": conf(), "b-6.9.conf": conf(), "b-6.10.conf": conf(), "c.efi": uki()}
    write(tmp_path / "efi", {**files, "/loader/loader.conf": f"timeout 3\ndefault {pattern}\n" if pattern else "timeout 3\n"})
    ours = json.loads(subprocess.run([TOOL, "list", tmp_path / "efi"], capture_output=True, text=True, check=True).stdout)
    in_firmware, by_bootctl = NOT_IN_FIRMWARE.get(pattern) or (DEFAULTS[pattern], DEFAULTS[pattern])
    assert [entry["id"] for entry in ours if entry.get("isDefault")] == [in_firmware]
    theirs = listed("trixie", tmp_path, False)
    assert [entry["id"] for entry in theirs if entry["isDefault"]] == [by_bootctl]


def test_check_says_the_same(tmp_path: pathlib.Path) -> None:
    """Of the same files on a disk: what check calls invisible is what bootctl does not list."""
    files = {"a.conf": conf("title A"), "gone.conf": conf(linux="/gone"), "b.efi": uki(), "nameless.efi": uki(None), "sub/deep.efi": uki()}
    write(tmp_path / "efi", files)
    where = {"EFI/BOOT/BOOTX64.EFI": makepe.systemd_boot(), "linux": makepe.kernel()}
    where.update({("EFI/Linux/" if ".efi" in name else "loader/entries/") + name: what for name, what in files.items()})
    image = makedisk.make(tmp_path / "disk.raw", [
        makedisk.Partition(size=64, type=makedisk.ESP, content="vfat", files=where),
        makedisk.Partition(size=32, type=makedisk.ROOT_X86_64, content="ext4", files=makedisk.TREE)])
    found = check(image)
    names = {entry["id"] for entry in listed("own", tmp_path, False)}
    hidden = {pathlib.Path(f["path"]).name for f in found if f["code"] in ("uki-no-osrel", "uki-in-subdir")}
    assert hidden == {"nameless.efi", "deep.efi"} and not hidden & names
    assert {f["path"] for f in found if f["code"] == "bls-entry-file-missing"} == {"/loader/entries/gone.conf"}
    assert names == {"a.conf", "b.efi", "gone.conf"}
