# SPDX-License-Identifier: LGPL-2.1-or-later
"""EFI programs that others built, and what objdump, bootctl, veritysetup and systemd-id128 say.

The programs come out of Debian packages, which are downloaded once into DPS_DEB_CACHE (or a
directory below the build) and unpacked, not installed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
from binaries import bootctl, kernel, one

TOOL = os.environ["EFI_TOOL"]
ENV = {**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}

TRUNCATED, OVERLAP, UNSORTED, BEYOND = range(4)
PE, UKI, ADDON = range(3)


def run(*words: object, **options: object) -> str:
    done = subprocess.run(
        [str(w) for w in words], capture_output=True, text=True, env=ENV, **options
    )  # type: ignore[call-overload]
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


def tool(*words: object) -> object:
    return json.loads(run(TOOL, *words))


def need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program, path=ENV["PATH"]) is None:
            pytest.skip(f"SKIP: no {program} here")


STUB = ("systemd-boot-efi", "usr/lib/systemd/boot/efi/linuxx64.efi.stub")

BINARIES = {
    "systemd-boot": ("systemd-boot-efi", "usr/lib/systemd/boot/efi/systemd-bootx64.efi", r"\d+"),
    "systemd-stub": (*STUB, r"\d+"),
    "shim": ("shim-unsigned", "usr/lib/shim/shimx64.efi", r"1\d\.\d"),
    "shim signed": ("shim-signed", "usr/lib/shim/shimx64.efi.signed", r"1\d\.\d"),
    "shim's fallback": ("shim-unsigned", "usr/lib/shim/fbx64.efi", r"1\d\.\d"),
    "shim's fallback signed": ("shim-helpers-amd64-signed", "usr/lib/shim/fbx64.efi.signed", r"1\d\.\d"),
    "MokManager": ("shim-unsigned", "usr/lib/shim/mmx64.efi", r"1\d\.\d"),
    "MokManager signed": ("shim-helpers-amd64-signed", "usr/lib/shim/mmx64.efi.signed", r"1\d\.\d"),
    "GRUB": ("grub-efi-amd64-bin", "usr/lib/grub/x86_64-efi/monolithic/grubx64.efi", r"2\.\d+"),
    "GRUB signed": ("grub-efi-amd64-signed", "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", r"2\.\d+"),
    "GRUB of x86": ("grub-efi-ia32-bin", "usr/lib/grub/i386-efi/monolithic/grubia32.efi", r"2\.\d+"),
    "fwupd signed": ("fwupd-amd64-signed", "usr/libexec/fwupd/efi/fwupdx64.efi.signed", r"1\.\d"),
}


def by_objdump(path: Path) -> list[tuple[str, int, int]]:
    """Name, address and place in the file of each section that is in the file."""
    need("objdump")
    base = int(re.search(r"ImageBase\s+([0-9a-f]+)", run("objdump", "-p", path))[1], 16)
    rows = re.findall(
        r"^\s*\d+ (\S+)\s+[0-9a-f]+\s+([0-9a-f]+)\s+[0-9a-f]+\s+([0-9a-f]+)\s+2\*\*", run("objdump", "-h", path), re.M
    )
    # Longer names are in a table of strings that no loader reads.
    return [(name, int(vma, 16) - base, int(offset, 16)) for name, vma, offset in rows if len(name) <= 8]


def by_us(path: Path) -> list[tuple[str, int, int]]:
    return [(s["name"], s["virtual_address"], s["raw_offset"]) for s in tool("uki", path)["sections"]]


@pytest.mark.parametrize("what", BINARIES)
def test_binary(what: str) -> None:
    name, pattern, version = BINARIES[what]
    path = one(name, pattern)
    seen = tool("uki", path)
    assert seen["builder"] == what.removesuffix(" signed").removesuffix(" of x86")
    assert re.match(version, seen["builder_version"])
    assert seen["kind"] == PE
    assert seen["subsystem"] == 10
    assert seen["signed"] == what.endswith("signed")
    assert seen["machine"] == (0x14C if what.endswith("x86") else 0x8664)
    assert seen["problems"] == [], "a binary that boots everywhere has none"
    assert [row for row in by_us(path) if row in by_objdump(path)] == by_objdump(path)


@pytest.mark.parametrize("what", BINARIES)
def test_headers_as_pefile_has_them(what: str) -> None:
    pefile = pytest.importorskip("pefile", reason="SKIP: no python3-pefile here")
    name, pattern, _ = BINARIES[what]
    path = one(name, pattern)
    theirs, ours = pefile.PE(str(path), fast_load=True), tool("uki", path)
    assert ours["machine"] == theirs.FILE_HEADER.Machine
    assert ours["subsystem"] == theirs.OPTIONAL_HEADER.Subsystem
    assert ours["image_version"] == theirs.OPTIONAL_HEADER.MajorImageVersion
    assert ours["size_of_image"] == theirs.OPTIONAL_HEADER.SizeOfImage
    assert [
        (s["name"], s["virtual_size"], s["virtual_address"], s["raw_size"], s["raw_offset"]) for s in ours["sections"]
    ] == [
        (
            s.Name.rstrip(b"\0").decode(),
            s.Misc_VirtualSize,
            s.VirtualAddress,
            s.SizeOfRawData,
            s.PointerToRawData,
        )
        for s in theirs.sections
    ]


def test_kernel() -> None:
    path = kernel()
    seen = tool("uki", path)
    assert seen["builder"] == "a Linux kernel"
    assert seen["kernel_version"] == path.name.removeprefix("vmlinuz-")
    assert seen["image_version"] >= 1
    assert seen["problems"] == []
    assert seen["kernel"] == 2


def make_uki(to: Path, linux: Path, overlap: bool = False, **sections: str) -> Path:
    """As people do it by hand: objcopy, each section behind the one before it."""
    need("objcopy")
    stub = one(*STUB)
    base = int(re.search(r"ImageBase\s+([0-9a-f]+)", run("objdump", "-p", stub))[1], 16)
    at = max(s["virtual_address"] + s["virtual_size"] for s in tool("uki", stub)["sections"])
    words: list[object] = ["objcopy"]
    for name, content in [*sections.items(), ("linux", linux)]:
        file = content
        if isinstance(content, str):
            file = to.with_suffix(f".{name}")
            file.write_text(content)
        at = (at + 4095) // 4096 * 4096
        words += ["--add-section", f".{name}={file}", "--change-section-vma", f".{name}={base + at:#x}"]
        at += 4096 if overlap else file.stat().st_size
    run(*words, stub, to)
    return to


OSREL = 'PRETTY_NAME="Some Linux 1"\nID=some\nVERSION_ID=1\n'


def test_uki(tmp_path: Path) -> None:
    linux = kernel()
    path = make_uki(tmp_path / "a.efi", linux, osrel=OSREL, cmdline="root=LABEL=x rw\n", uname="6.1\n")
    seen = tool("uki", path)
    assert (seen["kind"], seen["problems"]) == (UKI, [])
    assert seen["builder"] == "systemd-stub"
    assert (seen["cmdline"], seen["uname"]) == ("root=LABEL=x rw", "6.1")
    assert seen["linux_machine"] == 0x8664
    assert seen["kernel_version"] == linux.name.removeprefix("vmlinuz-")
    assert [row for row in by_us(path) if row in by_objdump(path)] == by_objdump(path)

    cut = tmp_path / "cut.efi"
    cut.write_bytes(path.read_bytes()[:-100_000])
    assert tool("uki", cut)["problems"] == [TRUNCATED]


def test_uki_with_sections_over_each_other(tmp_path: Path) -> None:
    """What recipes with fixed addresses make when a part grows."""
    path = make_uki(tmp_path / "a.efi", kernel(), overlap=True, osrel=OSREL, initrd="x" * 100_000)
    assert OVERLAP in tool("uki", path)["problems"]


ENTRIES = {
    "plain.conf": "title Plain\nversion 6.1\nlinux /linux\noptions a\noptions b\n",
    "older.conf": "title Sorted\nsort-key some\nversion 6.1\nlinux linux\n",
    "newer.conf": "title Sorted new\nsort-key some\nversion 6.10\nlinux /linux\n",
    "ids.conf": "title Ids\nsort-key some\nmachine-id 6a9857a393724b7a981ebb5b8495b9ea\nlinux /linux\n",
    "plain-6.9.conf": "linux /linux\n",
    "plain-6.10.conf": "linux /linux\n",
    "efi.conf": "title Tool\nefi /linux\n",
    "comment.conf": "# x\n\ntitle\tTabs  and blanks\nlinux\t\t/linux\n",
}


def test_entries_as_bootctl_lists_them(tmp_path: Path) -> None:
    need("objcopy")
    esp = tmp_path / "efi"
    (esp / "loader/entries").mkdir(parents=True)
    (esp / "EFI/Linux").mkdir(parents=True)
    (esp / "linux").write_text("")
    for name, text in ENTRIES.items():
        (esp / "loader/entries" / name).write_text(text)
    tiny = tmp_path / "tiny"
    tiny.write_bytes(b"x" * 4096)
    make_uki(esp / "EFI/Linux/some.efi", tiny, osrel=OSREL, cmdline="quiet rw")
    make_uki(esp / "EFI/Linux/no-osrel.efi", tiny, cmdline="quiet")
    make_uki(esp / "EFI/Linux/no-name.efi", tiny, osrel="X=1\n")
    for leftover in (esp / "EFI/Linux").glob("*.*"):
        if leftover.suffix != ".efi":
            leftover.unlink()
    (esp / "EFI/Linux/text.efi").write_text("no program")

    shown = run(
        *["env", "SYSTEMD_RELAX_ESP_CHECKS=1", "SYSTEMD_ESP_PATH=/efi"],
        *[bootctl(), f"--root={tmp_path}", "--json=short", "list"],
    )
    # One document a line in 252, one array later.
    theirs = json.loads(shown) if shown.startswith("[") else [json.loads(line) for line in shown.splitlines()]
    theirs = [e for e in theirs if not e.get("id", "").startswith("auto-")]
    ours = [e for e in tool("list", esp) if e["hidden"] == ""]
    assert [e["id"] for e in ours] == [e["id"] for e in theirs]
    for our, their in zip(ours, theirs):
        for key in ("title", "version", "sortKey", "machineId"):
            assert our[key] == their.get(key), (our["id"], key)
        options = their.get("options")
        assert our["options"] == (" ".join(options) if isinstance(options, list) else options)

    reasons = {e["file"]: e["hidden"] for e in tool("list", esp) if e["hidden"]}
    assert set(reasons) == {"no-osrel.efi", "no-name.efi", "text.efi"}


def test_counters_are_no_part_of_the_id(tmp_path: Path) -> None:
    """As systemd-boot has it; test_menu.py asks bootctl, too."""
    (tmp_path / "loader/entries").mkdir(parents=True)
    (tmp_path / "linux").write_text("")
    for name in ("a+3.conf", "b+0-2.conf", "c.conf"):
        (tmp_path / "loader/entries" / name).write_text("linux /linux\n")
    assert [e["id"] for e in tool("list", tmp_path)] == ["c.conf", "a.conf", "b.conf"]


@pytest.mark.parametrize("algorithm", ["sha256", "sha512", "sha1"])
@pytest.mark.parametrize("blocks", [2, 128, 129, 20_000])
@pytest.mark.parametrize("options", [[], ["--salt=-"], ["--hash-block-size=1024"], ["--format=0"]])
def test_verity(tmp_path: Path, algorithm: str, blocks: int, options: list[str]) -> None:
    need("veritysetup")
    data, hashes = tmp_path / "data", tmp_path / "hashes"
    with data.open("wb") as file:
        file.truncate(blocks * 4096)
    said = run("veritysetup", "format", f"--hash={algorithm}", *options, data, hashes)
    root_hash = re.search(r"Root hash:\s+([0-9a-f]+)", said)[1]
    seen = tool("verity", hashes)
    assert seen["root_hash"] == root_hash
    assert seen["uuid"] == re.search(r"UUID:\s+(\S+)", said)[1]
    assert (seen["algorithm"], seen["data_blocks"]) == (algorithm, blocks)
    assert seen["hash_area_size"] == hashes.stat().st_size


def test_var_uuid() -> None:
    need("systemd-id128")
    for _ in range(20):
        machine_id = uuid.uuid4().hex
        # The application is the type of var: what systemd derives from it.
        said = subprocess.run(
            ["systemd-id128", "machine-id", "-u", "--app-specific=4d21b016b53445c2a9fb5c16e091fd2d"],
            capture_output=True, text=True, env=ENV,
        )
        if said.returncode != 0:
            pytest.skip("SKIP: this machine has no machine-id")
        here = Path("/etc/machine-id").read_text().strip()
        assert tool("var", here) == said.stdout.strip()
        assert uuid.UUID(tool("var", machine_id)).version == 4
