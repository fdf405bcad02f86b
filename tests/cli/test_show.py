# SPDX-License-Identifier: LGPL-2.1-or-later
"""dps-tag show: on disks made by others, held against what others say of them."""

import json
import os
import shutil
import subprocess
import unicodedata

import makedisk
import pytest
from conftest import NOBODY, call, call_on_terminal, validate
from makedisk import MIB, Partition, digest


@pytest.fixture(scope="module", name="disks")
def disks_fixture(tmp_path_factory):
    return tmp_path_factory.mktemp("disks")


@pytest.fixture(scope="module", name="simple")
def simple_fixture(disks):
    return makedisk.simple(disks / "simple.raw")


SIMPLE = """\
disk.raw: 227 MiB, sectors of 512 bytes
GPT 8d2e0c5a-64f6-4d2c-9e0b-1a7c4f3b9d01

┌─────────────────────┬──────────────────────┬─────────────────────┬───────────┐
│1 64 MiB             │2 64 MiB              │3 64 MiB             │4 32 MiB   │
│esp                  │linux-generic         │linux-generic        │linux-gene…│
└─────────────────────┴──────────────────────┴─────────────────────┴───────────┘

#   SIZE TYPE          CONTENT LABEL  NAME                 ATTRIBUTES
1 64 MiB esp           vfat    EFI    EFI System Partition
2 64 MiB linux-generic ext4    system
3 64 MiB linux-generic ext4    home
4 32 MiB linux-generic swap    swap
"""


def test_text_in_a_pipe(simple):
    name = simple.parent / "disk.raw"
    if not name.exists():
        name.symlink_to(simple)
    assert call("show", "disk.raw", cwd=simple.parent, status=0).out == SIMPLE


def test_text_on_a_terminal(simple):
    seen = call_on_terminal("show", "--color=never", simple, columns=80).out.splitlines()
    assert seen[2:] == SIMPLE.splitlines()[2:]


def test_text_in_ascii(simple):
    out = call("show", simple, env={"LC_ALL": "C"}, status=0).out
    assert out.isascii()
    assert "|linux-gene~|" in out and out.count("+") == 10


def test_quiet_is_the_table_alone(simple):
    out = call("show", "--quiet", simple, status=0).out
    assert out.splitlines() == SIMPLE.splitlines()[-4:]


def test_json_as_others_see_the_disk(simple):
    show = validate(call("show", "--json", simple, status=0).json, "show")
    table = makedisk.table(simple)
    assert show["disk"] == {"path": str(simple), "size": simple.stat().st_size, "sector_size": 512,
                            "uuid": table["id"].lower()}
    for ours, theirs in zip(show["partitions"], table["partitions"], strict=True):
        blkid = makedisk.run("blkid", "-p", "-o", "export", "-O", theirs["start"] * 512, "-S",
                             theirs["size"] * 512, simple)
        facts = dict(line.split("=", 1) for line in blkid.splitlines())
        assert ours["start"] == theirs["start"] * 512
        assert ours["size"] == theirs["size"] * 512
        assert ours["type_uuid"] == theirs["type"].lower()
        assert ours["uuid"] == theirs["uuid"].lower()
        assert ours["label"] == theirs.get("name")
        assert ours["node"] is None
        assert ours["attributes"] == "0x0000000000000000" and ours["flags"] == []
        assert ours["content"] == {"type": facts["TYPE"], "uuid": facts["UUID"], "label": facts["LABEL"]}


def test_4096_byte_sectors_are_found(disks):
    path = makedisk.simple(disks / "4k.raw", sector_size=4096)
    show = validate(call("show", "--json", path, status=0).json, "show")
    assert show["disk"]["sector_size"] == 4096
    assert [p["start"] for p in show["partitions"]] == [1 * MIB, 65 * MIB, 129 * MIB, 193 * MIB]
    assert [p["content"]["type"] for p in show["partitions"]] == ["vfat", "ext4", "ext4", "swap"]
    assert call("show", "--json", "--sector-size=4096", path, status=0).json == show


def test_attributes(disks):
    attrs = "RequiredPartition GUID:59,60,63,55"
    path = makedisk.make(disks / "attrs.raw", [Partition(size=8, attrs=attrs)])
    part = validate(call("show", "--json", path, status=0).json, "show")["partitions"][0]
    assert part["attributes"] == "0x9880000000000001"
    assert part["flags"] == ["required", "growfs", "read-only", "no-auto"]
    assert "required, bit 55, growfs, read-only, no-auto" in call("show", path, status=0).out


def test_foreign_types_are_shown_by_guid(disks):
    path = makedisk.make(disks / "foreign.raw", [Partition(size=8, type=makedisk.BASIC_DATA)])
    part = validate(call("show", "--json", path, status=0).json, "show")["partitions"][0]
    assert (part["type_name"], part["role"], part["arch"]) == (None, None, None)
    assert makedisk.BASIC_DATA in call("show", path, status=0).out


def test_types_have_role_and_arch(disks):
    path = makedisk.make(disks / "typed.raw", [Partition(size=8, type=makedisk.ROOT_ARM64)])
    part = validate(call("show", "--json", path, status=0).json, "show")["partitions"][0]
    assert (part["type_name"], part["role"], part["arch"]) == ("root-arm64", "root", "aarch64")


def test_what_must_not_be_tagged_is_named(disks):
    path = makedisk.make(disks / "lvm.raw", [Partition(content="LVM2_member", size=8), Partition(content="crypto_LUKS")])
    parts = call("show", "--json", path, status=0).json["partitions"]
    assert [p["content"]["type"] for p in parts] == ["LVM2_member", "crypto_LUKS"]


def test_numbers_with_gaps(disks):
    path = makedisk.make(disks / "gaps.raw", [Partition(size=8) for _ in range(4)])
    makedisk.run("sfdisk", "--delete", path, 2)
    assert [p["number"] for p in call("show", "--json", path, status=0).json["partitions"]] == [1, 3, 4]


def test_no_partitions(disks):
    path = makedisk.make(disks / "none.raw", [], gap=8)
    assert "No partitions." in call("show", path, status=0).out
    assert validate(call("show", "--json", path, status=0).json, "show")["partitions"] == []


@pytest.mark.skipif(not makedisk.can_mount(), reason="btrfs subvolumes need root, loop devices and btrfs")
@pytest.mark.parametrize("default", ["", "root"])
def test_btrfs(disks, default):
    parts = makedisk.standard_partitions()
    parts[2].default = default
    path = makedisk.make(disks / f"btrfs-{default}.raw", parts)
    btrfs = validate(call("show", "--json", path, status=0).json, "show")["partitions"][2]["btrfs"]
    assert btrfs["subvolumes"] == [{"id": 5, "path": "/"}, {"id": 256, "path": "root"}, {"id": 257, "path": "home"}]
    assert btrfs["default_subvolume"] == btrfs["subvolumes"][1 if default else 0]
    assert ("default subvolume: root (256)" in call("show", path, status=0).out) == bool(default)


def test_btrfs_without_subvolumes(disks):
    path = makedisk.make(disks / "flat.raw", [Partition(size=160, content="btrfs", label="data")])
    part = validate(call("show", "--json", path, status=0).json, "show")["partitions"][0]
    assert part["btrfs"] == {"default_subvolume": {"id": 5, "path": "/"}, "subvolumes": [{"id": 5, "path": "/"}]}


# --- names that somebody chose with care

EVIL = [
    ("\033[31mred\033[0m", "\\x1b[31mred"),
    ("a\u202eb", "a\\xe2\\x80\\xaeb"),
    ("bell\a", "bell\\x07"),
    ("a\u2028b\u2029", "a\\xe2\\x80\\xa8b\\xe2\\x80\\xa9"),
]


@pytest.mark.parametrize("name, shown", EVIL, ids=["escape", "bidi", "bell", "lines"])
def test_names_never_reach_the_terminal_raw(disks, name, shown):
    path = disks / "evil.raw"
    makedisk.make(path, [Partition(size=8, content="ext4", label="x" * len(name))])
    # sfdisk and mkfs do not write such names; whoever attacks does not ask them
    data = path.read_bytes()
    label = ("x" * len(name)).encode()
    assert data.count(label) >= 1
    raw = name.encode()
    data = data.replace(label + bytes(16 - len(label)), raw + bytes(16 - len(raw)))
    path.write_bytes(data)
    makedisk.run("sgdisk", "--change-name", f"1:{name}", path)
    out = call("show", path, status=0).out
    assert shown in out
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") for c in out if c != "\n")
    assert "\033[31mred" not in call_on_terminal("show", path).out
    document = validate(call("show", "--json", path, status=0).json, "show")
    assert document["partitions"][0]["label"] == name


# --- the map


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 100, 120, 200])
@pytest.mark.parametrize("n", [1, 2, 9, 40, 128])
def test_map_fits(disks, columns, n):
    path = disks / f"many-{n}.raw"
    if not path.exists():
        makedisk.make(path, [Partition(size=1 + 40 * (i % 7 == 6)) for i in range(n)])
    lines = call("show", path, env={"COLUMNS": str(columns)}, status=0).out.splitlines()
    drawing = [line for line in lines if line and line[0] in "┌│└"]
    assert len(drawing) == 4
    assert {len(line) for line in drawing} == {min(max(columns, 40), 120)}
    # the same crossings in every line
    crossings = [{i for i, c in enumerate(line) if c in "┌┬┐│└┴┘"} for line in drawing]
    assert all(c == crossings[0] for c in crossings)


def test_map_is_to_scale(disks):
    path = makedisk.make(disks / "scale.raw", [Partition(size=10), Partition(size=20), Partition(size=40)], gap=10)
    line = next(line for line in call("show", path, status=0).out.splitlines() if line.startswith("│1"))
    ten, twenty, forty, free = map(len, line.strip("│").split("│"))
    assert abs(twenty - 2 * ten) <= 2 and abs(forty - 4 * ten) <= 2 and abs(free - ten) <= 2
    assert "free" in call("show", path, status=0).out


# --- refusals


def test_disks_that_are_none(disks, failure):
    empty = disks / "empty.raw"
    empty.write_bytes(b"")
    zeros = disks / "zeros.raw"
    zeros.write_bytes(bytes(MIB))
    mbr = disks / "mbr.raw"
    mbr.write_bytes(bytes(4 * MIB))
    makedisk.run("sfdisk", "--quiet", mbr, input="label: dos\n2048,,83\n")
    failure("show", disks / "nowhere.raw", status=3, code="not-found", says="nowhere.raw")
    failure("show", disks, status=3, code="unsupported", says=str(disks))
    failure("show", empty, status=3, code="no-table", says="empty.raw")
    failure("show", zeros, status=3, code="no-table", says="zeros.raw")
    failure("show", mbr, status=3, code="no-table", says="MBR")
    failure("show", mbr, mbr, status=2, code="invalid", says="show takes one DISK")
    failure("show", "--root", disks / "nowhere", status=3, code="not-found", says="nowhere")


def test_damaged_beyond_use(disks, simple, failure):
    bad = disks / "bad.raw"
    shutil.copy(simple, bad)
    size = bad.stat().st_size
    with open(bad, "r+b") as file:
        for at in (512 + 16, size - 512 + 16):
            file.seek(at)
            file.write(b"\xff\xff\xff\xff")
    failure("show", bad, status=3, code="corrupt", says="bad.raw")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become nobody")
def test_without_privilege(public, simple, failure):
    path = shutil.copy(simple, public / "disk.raw")
    path.chmod(0o644)
    assert call("show", path, prefix=NOBODY, status=0).out == call("show", path, status=0).out
    path.chmod(0o600)
    failure("show", path, prefix=NOBODY, status=3, code="permission", says="Permission denied")


def test_nothing_is_written(simple):
    before = digest(simple), simple.stat().st_mtime_ns
    for options in ([], ["--json"], ["--verbose"]):
        call("show", *options, simple, status=0)
    assert (digest(simple), simple.stat().st_mtime_ns) == before


def test_tree_on_no_disk(tmp_path):
    proc = subprocess.run(["findmnt", "-no", "FSTYPE", "-T", "/proc/self"], capture_output=True, text=True, check=False)
    if proc.stdout.strip() != "proc":
        pytest.skip("/proc is not mounted")
    assert "nothing to do" in call("show", "--root=/proc", status=0).out
    document = validate(call("show", "--json", "--root=/proc", status=0).json, "show")
    assert json.dumps(document) == '{"version": 1, "disk": null, "partitions": []}'
