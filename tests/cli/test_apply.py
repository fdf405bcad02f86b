# SPDX-License-Identifier: LGPL-2.1-or-later
"""dps-tag plan, apply and undo: what they say, what they write, and what they leave alone."""

import fcntl
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import time

import makedisk
import pytest
from conftest import DPS_TAG, ENVIRONMENT, NOBODY, call, call_on_terminal, validate
from makedisk import Partition, digest

TYPES = {
    "root-x86-64": makedisk.ROOT_X86_64,
    "root-arm64": makedisk.ROOT_ARM64,
    "home": "933ac7e1-2eb4-4f13-b844-0e14e2aef915",
    "swap": "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f",
    "srv": "3b8f8425-20e0-4f3b-907f-1a25a76f98e8",
    "linux-generic": makedisk.GENERIC,
    "esp": makedisk.ESP,
}

ALL = ["esp=1", "root:x86_64=2", "home=3", "swap=4"]


@pytest.fixture(scope="module", name="original")
def original_fixture(tmp_path_factory):
    return makedisk.simple(tmp_path_factory.mktemp("original") / "simple.raw")


@pytest.fixture(name="disk")
def disk_fixture(tmp_path, original):
    """A disk of one's own: ESP, root, home and swap, all but the ESP of the generic type."""
    subprocess.run(["cp", "--sparse=always", original, tmp_path / "disk.raw"], check=True)
    return tmp_path / "disk.raw"


@pytest.fixture(name="unchanged")
def unchanged_fixture(disk):
    """Not a byte of the disk may have changed when the test ends."""
    before = digest(disk)
    yield disk
    assert digest(disk) == before


def types(path):
    return [part["type"].lower() for part in makedisk.table(path)["partitions"]]


# --- plan

PLAN = """\
disk.raw: 227 MiB, sectors of 512 bytes
GPT 8d2e0c5a-64f6-4d2c-9e0b-1a7c4f3b9d01

       ┌───────────────────┬────────────────────┬───────────────────┬──────────┐
       │1 64 MiB           │2 64 MiB            │3 64 MiB           │4 32 MiB  │
before │esp                │linux-generic       │linux-generic      │linux-gen…│
after  │esp                │root-x86-64         │home               │swap      │
       └───────────────────┴────────────────────┴───────────────────┴──────────┘

4 changes
  partition 2: type: linux-generic → root-x86-64
  partition 3: type: linux-generic → home
  partition 3: flags: none → growfs
  partition 4: type: linux-generic → swap
"""


def without_reasons(text):
    return "".join(line + "\n" for line in text.splitlines() if not re.match(r" {4}\S", line))


def test_plan_text(unchanged):
    result = call("plan", "disk.raw", "esp=1", "root:x86_64=2", "home=3,growfs", "swap=4", cwd=unchanged.parent, status=1)
    assert without_reasons(result.out) == PLAN
    assert len(result.out.splitlines()) == len(PLAN.splitlines()) + 4  # each change has its reason


def test_plan_on_a_terminal(unchanged):
    seen = call_on_terminal("plan", "--color=never", unchanged, *ALL, columns=60)
    assert seen.status == 1
    assert max(map(len, seen.out.splitlines()[1:])) <= 60


def test_plan_colours_what_changes(unchanged):
    out = call("plan", "--color=always", unchanged, "home=3", status=1).out
    assert re.search("\033\\[31mlinux-generic *\033\\[0m.*\n.*\033\\[32mhome *\033\\[0m", out)


def test_plan_json(unchanged):
    document = validate(call("plan", "--json", unchanged, "root:amd64=2", "home=3,growfs,no-read-only",
                             "same=4,no-auto", status=1).json, "plan")
    assert document["disk"]["uuid"] == makedisk.DISK_UUID
    assert [(a["role"], a["arch"], a["partition"], a["flags"]) for a in document["assignments"]] == [
        ("root", "x86_64", 2, []),
        ("home", None, 3, ["growfs", "no-read-only"]),
        ("same", None, 4, ["no-auto"]),
    ]
    changes = {(c["kind"], c["partition"]): (c["from"], c["to"]) for c in document["changes"]}
    assert changes == {
        ("type", 2): (TYPES["linux-generic"], TYPES["root-x86-64"]),
        ("type", 3): (TYPES["linux-generic"], TYPES["home"]),
        ("flags", 3): ("0x0000000000000000", "0x0800000000000000"),
        ("flags", 4): ("0x0000000000000000", "0x8000000000000000"),
    }
    assert all(c["reason"] for c in document["changes"])


def test_plan_without_changes(unchanged):
    assert "Nothing to change." in call("plan", unchanged, "esp=1", status=0).out
    assert validate(call("plan", "--json", unchanged, "esp=1", status=0).json, "plan")["changes"] == []
    assert call("plan", "--quiet", unchanged, "esp=1", status=0).out == ""


def test_a_plan_in_many_words(unchanged):
    """--verbose tells of each assignment; where there is one it counts as one."""
    out = call("plan", "--verbose", unchanged, "root:x86_64=2", "home=3", status=1).out
    assert "Assignments\n" in out and "partition 2: root of x86_64" in out and "partition 3: home\n" in out
    assert "1 change\n" in call("plan", unchanged, "home=3", status=1).out


def test_a_plan_in_ascii(unchanged):
    """What the locale has no letters for is written with those it has."""
    out = call("plan", "--verbose", unchanged, "root:x86_64=2", "home=3", env={"LC_ALL": "C"}, status=1).out
    assert out.isascii() and "->" in out
    strange = unchanged.with_name("gr\u00f6\u00dfe \u2192 \u2026.raw")
    os.link(unchanged, strange)
    assert call("plan", "--sector-size=512", strange, "home=3", env={"LC_ALL": "C"}, status=1).out.isascii()
    assert call("plan", strange, "home=9", env={"LC_ALL": "C"}, status=3).err.isascii()


def test_quiet_plan_tells_by_its_status(unchanged):
    assert call("plan", "--quiet", unchanged, "home=3", status=1).out == ""


# --- assignments

PARTITIONS = ["3", "LABEL=home", "UUID=00000003-aaaa-4bbb-8ccc-dddddddddddd",
              "PARTUUID=00000003-1111-4222-8333-444444444444"]


@pytest.mark.parametrize("spec", PARTITIONS)
def test_partitions_by_any_name(unchanged, spec):
    document = call("plan", "--json", unchanged, f"home={spec}", status=1).json
    assert [a["partition"] for a in document["assignments"]] == [3]


def test_partition_by_its_name_in_the_table(unchanged):
    document = call("plan", "--json", unchanged, "esp=PARTLABEL=EFI System Partition,no-auto", status=1).json
    assert [(a["partition"], a["flags"]) for a in document["assignments"]] == [(1, ["no-auto"])]


def test_a_label_may_have_commas(tmp_path):
    path = makedisk.make(tmp_path / "disk.raw", [Partition(size=8, content="ext4", label="a,b=c,growfs"),
                                                 Partition(size=8, content="ext4", label="a,b=c")])
    document = call("plan", "--json", path, "home=LABEL=a,b=c,growfs", status=1).json
    assert [(a["partition"], a["flags"]) for a in document["assignments"]] == [(2, ["growfs"])]


WRONG = [
    # arguments behind DISK, exit status, code, what the message says
    (["rot=3"], 2, "invalid", 'rot=3: no such role "rot": did you mean root?'),
    (["xyzzy=3"], 2, "invalid", 'no such role "xyzzy": it is one of root, usr,'),
    (["ROOT=3"], 2, "invalid", 'no such role "ROOT": did you mean root?'),
    (["=3"], 2, "invalid", "=3: not an assignment: ROLE=PARTITION"),
    (["root"], 2, "invalid", "root: not an assignment"),
    (["root=2", "disk.raw"], 2, "invalid", "disk.raw: not an assignment"),
    (["root="], 2, "invalid", "root=: no partition: a number, a device node"),
    (["home=,growfs"], 2, "invalid", "home=,growfs: no partition"),
    (["root:=3"], 2, "invalid", 'root:=3: no such architecture ""'),
    (["root:x86=64=3"], 3, None, ""),
    (["root:z80=3"], 2, "invalid", 'no such architecture "z80": it is one of alpha'),
    (["root:x86_46=3"], 2, "invalid", 'no such architecture "x86_46": did you mean x86_64?'),
    (["home:x86_64=3"], 2, "invalid", 'architecture "x86_64": the type for home is the same on all'),
    (["home=3,growsf"], 2, "invalid", 'home=3,growsf: no such flag "growsf": did you mean growfs?'),
    (["home=3,"], 2, "invalid", 'home=3,: no such flag "": it is one of read-only,'),
    (["home=3,required"], 2, "invalid", 'no such flag "required": it is one of'),
    (["home=3,growfs,no-growfs"], 2, "invalid", "the same flag is set and cleared"),
    (["same=3"], 2, "invalid", "same=3: no flag: same changes flags only"),
    (["home=3", "home=4"], 2, "invalid", "home: is given twice: to partition 3 and to partition 4"),
    (["root:amd64=2", "root:x86-64=3"], 2, "invalid", "root: is given twice"),
    (["home=3", "srv=3"], 2, "invalid", "partition 3"),
    (["home=9"], 3, "not-found", "9"),
    (["home=LABEL=nothing"], 3, "not-found", "nothing"),
    (["home=/dev/nonexistent"], 3, "not-found", "/dev/nonexistent"),
    (["esp=2"], 3, "refused", "partition 2"),
    (["swap=2"], 3, "refused", "partition 2"),
]


@pytest.mark.parametrize("command", ["plan", "apply"])
@pytest.mark.parametrize("arguments, status, code, says", WRONG, ids=[" ".join(row[0]) for row in WRONG])
def test_wrong_assignments(unchanged, failure, command, arguments, status, code, says):
    if code is None:
        assert call(command, unchanged, *arguments).status in (2, 3)
        return
    failure(command, unchanged, *arguments, status=status, code=code, says=says)


def test_an_empty_disk(failure):
    """A variable that was not set."""
    for command in "apply", "plan", "show", "check":
        failure(command, "", status=2, code="invalid", says="DISK: empty")


def test_a_file_with_an_equals_sign(tmp_path, disk):
    odd = tmp_path / "home=3"
    disk.rename(odd)
    call("plan", "./home=3", "home=3", cwd=tmp_path, status=1)
    odd.rename(disk)


def test_no_architecture_is_refused(unchanged, failure):
    error = failure("apply", unchanged, "root=2", status=3, code="refused", says="--arch")
    assert "root" in error["message"]


def test_root_twice_by_default_arch(unchanged, failure):
    failure("apply", "--arch=x86_64", unchanged, "root=2", "root:x86_64=3", status=2, code="invalid", says="partition 2")


# --- refusals: what is there must not have the type


def test_another_partition_would_be_root(tmp_path, failure):
    """Typed: what to add; found out: what to do first, and doing it helps."""
    disk = makedisk.make(tmp_path / "disk.raw", [
        Partition(size=8, content="ext4", type=makedisk.ROOT_X86_64),
        Partition(size=16, content="ext4", label="system", files=makedisk.TREE),
    ])
    tree = tmp_path / "tree"
    makedisk.write_tree(tree, {"etc/fstab": "LABEL=system / ext4 defaults 0 1\n"})
    failure("plan", disk, "root:x86_64=2", status=3, code="refused", says="add linux-generic=1")
    found_out = "plan", "--arch=x86_64", "--root", tree, disk
    failure(*found_out, status=3, code="refused", says="first apply by itself linux-generic=1")
    call("apply", disk, "linux-generic=1", status=0)
    call(*found_out, status=1)


@pytest.mark.parametrize("content", ["LVM2_member"])
def test_members_are_never_tagged(tmp_path, failure, content):
    path = makedisk.make(tmp_path / "disk.raw", [Partition(size=8, content=content)])
    before = digest(path)
    error = failure("apply", path, "root:x86_64=1", status=3, code="refused", says=content)
    assert error["partition"] == 1
    assert digest(path) == before


def test_disks_that_are_none(tmp_path, failure):
    mbr = tmp_path / "mbr.raw"
    mbr.write_bytes(bytes(4 * makedisk.MIB))
    makedisk.run("sfdisk", "--quiet", mbr, input="label: dos\n2048,,83\n")
    before = digest(mbr)
    failure("apply", mbr, "root:x86_64=1", status=3, code="no-table", says="keep root= on the command line")
    failure("apply", tmp_path / "nowhere.raw", "root:x86_64=1", status=3, code="not-found", says="nowhere.raw")
    assert digest(mbr) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become nobody")
def test_who_may_not_write(public, original, failure):
    path = shutil.copy(original, public / "disk.raw")
    path.chmod(0o444)
    before = digest(path)
    failure("apply", path, "home=3", prefix=NOBODY, status=3, code="permission", says="disk.raw")
    call("plan", path, "home=3", prefix=NOBODY, status=1)
    assert digest(path) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become nobody")
def test_an_image_needs_no_privilege(public, original):
    path = shutil.copy(original, public / "disk.raw")
    os.chown(path, 65534, 65534)
    call("apply", path, *ALL, prefix=NOBODY, status=0)
    assert types(path)[1] == TYPES["root-x86-64"]


# --- apply


def test_apply_changes_types_and_nothing_else(disk, original):
    out = call("apply", disk, *ALL, status=0).out
    assert f"Written and read back: 3 changes to {disk}." in out
    assert types(disk) == [TYPES["esp"], TYPES["root-x86-64"], TYPES["home"], TYPES["swap"]]
    assert "No problems found" in makedisk.run("sgdisk", "--verify", disk)

    # what other tools write for the same wish, byte for byte
    expected = disk.with_name("expected.raw")
    shutil.copy(original, expected)
    for number, name in ((2, "root-x86-64"), (3, "home"), (4, "swap")):
        makedisk.run("sfdisk", "--quiet", "--part-type", expected, number, TYPES[name])
    assert digest(disk) == digest(expected)


def test_a_second_apply_writes_nothing(disk):
    call("apply", disk, *ALL, status=0)
    before = digest(disk), disk.stat().st_mtime_ns
    backup = disk.with_name("backup.json")
    out = call("apply", "--backup", backup, disk, *ALL, status=0).out
    assert "Nothing to change." in out and "Written" not in out
    assert (digest(disk), disk.stat().st_mtime_ns) == before
    assert not backup.exists()


def test_apply_json(disk):
    document = validate(call("apply", "--json", disk, *ALL, status=0).json, "apply")
    assert document["applied"] is True and document["backup"] is None
    assert [c["kind"] for c in document["changes"]] == ["type"] * 3
    again = validate(call("apply", "--json", disk, *ALL, status=0).json, "apply")
    assert again["applied"] is False and again["changes"] == []


def test_4096_byte_sectors(tmp_path):
    path = makedisk.simple(tmp_path / "4k.raw", sector_size=4096)
    call("apply", path, *ALL, status=0)
    listing = makedisk.run("fdisk", "--list", "--sector-size=4096", "--output=Type-UUID", path)
    assert TYPES["root-x86-64"].upper() in listing and TYPES["home"].upper() in listing


def test_quiet(disk):
    result = call("apply", "--quiet", disk, *ALL, status=0)
    assert (result.out, result.err) == ("", "")
    assert types(disk)[2] == TYPES["home"]


def test_the_lock_by_name(disk):
    call("apply", "--no-check", "--lock=yes", disk, "home=3", status=0)
    assert types(disk)[2] == TYPES["home"]


def test_taking_a_tag_away(disk):
    call("apply", disk, *ALL, status=0)
    call("apply", disk, "linux-generic=3", "linux-generic=4", status=0)
    assert types(disk)[2:] == [TYPES["linux-generic"]] * 2


def test_flags(disk):
    call("apply", disk, "same=2,no-auto,read-only", "same=3,growfs", status=0)
    attrs = [part.get("attrs") for part in makedisk.table(disk)["partitions"]]
    assert attrs == [None, "GUID:60,63", "GUID:59", None]
    call("apply", disk, "same=2,auto,no-read-only", "same=3,no-growfs", status=0)
    assert [part.get("attrs") for part in makedisk.table(disk)["partitions"]] == [None] * 4


def test_unknown_attribute_bits_stay(tmp_path):
    path = makedisk.make(tmp_path / "disk.raw", [Partition(size=8, attrs="GUID:48,55 LegacyBIOSBootable")])
    call("apply", path, "home=1,growfs", status=0)
    assert makedisk.table(path)["partitions"][0]["attrs"] == "LegacyBIOSBootable GUID:48,55,59"


def test_closing_check(tmp_path):
    def fresh():
        return makedisk.make(tmp_path / "disk.raw", [Partition(size=8, content="ext4")])

    # no ESP: an error that is told; the tag is right all the same
    assert "esp-missing" in call("apply", fresh(), "root:x86_64=1", status=0).out
    assert "esp-missing" in call("apply", "--strict", fresh(), "root:x86_64=1", status=1).out
    assert "esp-missing" in call("apply", "--quiet", fresh(), "root:x86_64=1", status=0).out
    assert "esp-missing" not in call("apply", "--no-check", fresh(), "root:x86_64=1", status=0).out
    document = validate(call("apply", "--json", "--strict", fresh(), "root:x86_64=1", status=1).json, "apply")
    assert "esp-missing" in [f["code"] for f in document["findings"]]


# --- backup and undo


def test_undo_puts_every_byte_back(disk, original):
    backup = disk.with_name("backup.json")
    out = call("apply", "--backup", backup, disk, *ALL, status=0).out
    assert f"  dps-tag undo {backup}\n" in out
    assert backup.stat().st_mode & 0o777 == 0o600
    assert digest(disk) != digest(original)
    out = call("undo", backup, status=0).out
    assert "3 changes" in out
    assert digest(disk) == digest(original)


def test_undo_from_another_directory(disk, original):
    """A path that was typed relative to somewhere else still names the same image."""
    call("apply", "--backup=backup.json", "disk.raw", *ALL, status=0, cwd=disk.parent)
    call("undo", disk.with_name("backup.json"), status=0, cwd="/")
    assert digest(disk) == digest(original)


def test_undo_json(disk):
    backup = disk.with_name("backup.json")
    applied = validate(call("apply", "--json", "--backup", backup, disk, *ALL, status=0).json, "apply")
    assert applied["backup"] == str(backup)
    undone = validate(call("undo", "--json", backup, status=0).json, "apply")
    assert undone["applied"] is True
    assert sorted((c["partition"], c["to"]) for c in undone["changes"]) == sorted(
        (c["partition"], c["from"]) for c in applied["changes"])


def test_undo_of_a_disk_that_moved(disk, original, failure):
    backup = disk.with_name("backup.json")
    call("apply", "--backup", backup, disk, *ALL, status=0)
    moved = disk.with_name("moved.raw")
    disk.rename(moved)
    failure("undo", backup, status=3, code="not-found", says="disk.raw")
    call("undo", backup, moved, status=0)
    assert digest(moved) == digest(original)
    moved.rename(disk)


def test_undo_of_another_disk(tmp_path, disk, failure):
    backup = disk.with_name("backup.json")
    call("apply", "--backup", backup, disk, *ALL, status=0)
    other = makedisk.make(tmp_path / "other.raw", [Partition(size=8)] * 4)
    makedisk.run("sfdisk", "--disk-id", other, "11111111-2222-4333-8444-555555555555")
    before = digest(other)
    failure("undo", backup, other, status=3, code="refused", says="other.raw")
    assert digest(other) == before


def test_undo_of_what_was_changed_since(disk, failure):
    backup = disk.with_name("backup.json")
    call("apply", "--backup", backup, disk, *ALL, status=0)
    makedisk.run("sfdisk", "--quiet", "--part-type", disk, 3, TYPES["srv"])
    before = digest(disk)
    failure("undo", backup, status=3, code="changed", says="partition 3")
    assert digest(disk) == before


@pytest.mark.parametrize("content", ["", "{}", "[]", "nonsense", '{"version": 1}', "\0" * 100,
                                     '{"version": 1, "what": "libdps backup", "changes": 7}'])
def test_undo_of_no_backup(tmp_path, unchanged, failure, content):
    backup = tmp_path / "backup.json"
    backup.write_text(content)
    failure("undo", backup, unchanged, status=3, code="corrupt", says="backup.json")


def test_undo_arguments(unchanged, failure):
    failure("undo", status=2, code="invalid", says="undo: wants the BACKUP")
    failure("undo", "a", "b", "c", status=2, code="invalid", says="undo: wants the BACKUP")
    failure("undo", unchanged.with_name("nowhere.json"), status=3, code="not-found", says="nowhere.json")


def test_a_backup_that_cannot_be_written_stops(unchanged):
    call_line = "apply", "--backup=/nonexistent/backup.json", unchanged, "home=3"
    assert "/nonexistent" in call(*call_line, status=3).err
    error = validate(call(*call_line, "--json", status=3).json, "failure")["error"]
    assert error["code"] == "not-found" and "/nonexistent" in error["message"]


def test_a_backup_overwrites_nothing(unchanged):
    backup = unchanged.with_name("precious")
    backup.write_text("mine")
    call("apply", "--backup", backup, unchanged, "home=3", status=3)
    assert backup.read_text() == "mine"


def test_a_backup_that_fails_says_where_and_what_to_type(unchanged):
    backup = unchanged.with_name("precious")
    backup.write_text("mine")
    for path, code in ((backup, "refused"), ("/proc/backup.json", "not-found")):
        call_line = "apply", "--quiet", "--backup", path, unchanged, "home=3"
        result = call(*call_line, status=3)
        assert f"backup: {path}: " in result.err and "--backup none" in result.err, result
        assert call(*call_line, "--json", status=3).json["error"]["code"] == code


def test_a_backup_is_no_directory(unchanged, failure):
    directory = unchanged.with_name("backups")
    directory.mkdir()
    failure("apply", "--backup", f"{directory}/", unchanged, "home=3", "--quiet", status=2, code="invalid",
            says=f"{directory}/: a directory: name a file in it: nothing was changed")
    assert not any(directory.iterdir())


def test_a_backup_of_an_image_with_any_name(disk, original):
    odd = disk.parent / os.fsdecode(b"disk-\xe9.raw")
    disk.rename(odd)
    backup = disk.with_name("backup.json")
    call("apply", "--backup", backup, odd, *ALL, status=0)
    assert json.loads(backup.read_bytes().decode())["disk"]["path"].endswith("disk-\ufffd.raw")
    assert "name the DISK" in call("undo", backup, status=3).err
    call("undo", backup, odd, status=0)
    assert digest(odd) == digest(original)


def test_undo_says_where_the_disk_is_not_only_when_it_is_not_there(disk, tmp_path):
    """What is there and cannot be opened is told as it is: to name it would not help."""
    backup, journal = tmp_path / "backup.json", tmp_path / "disk.raw.dps-journal"
    call("apply", "--backup", backup, disk, *ALL, status=0)
    elsewhere = f"{backup}: name the DISK, it is not where it was: "

    def refused(says, *options):
        result = call("undo", *options, backup, status=3)
        assert says in result.err and "name the DISK" not in result.err, result

    with open(disk, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        refused("disk.raw: locked by ", "--lock=nonblock")
    journal.write_bytes(b"no journal")
    journal.chmod(0o600)
    refused(f"{journal}: not a journal")
    journal.unlink()
    if makedisk.can_mount():
        with makedisk.loop_device(disk) as loop:
            refused(loop)
    moved = disk.rename(tmp_path / "moved.raw")
    assert elsewhere in call("undo", backup, status=3).err
    disk.mkdir()
    refused("a directory, not a disk")
    call("undo", backup, moved, status=0)


def test_undo_takes_changes_in_any_order(disk, original):
    backup = disk.with_name("backup.json")
    call("apply", "--backup", backup, disk, "root:x86_64=2,read-only", "home=3,read-only", status=0)
    document = json.loads(backup.read_text())
    document["changes"].sort(key=lambda change: (change["kind"], change["partition"]))
    assert [c["partition"] for c in document["changes"]] == [2, 3, 2, 3]
    backup.write_text(json.dumps(document))
    call("undo", backup, status=0)
    assert digest(disk) == digest(original)


@pytest.mark.parametrize("new", ["0" * 37, None])
def test_undo_of_a_file_that_cannot_be(unchanged, failure, new):
    """The file is wrong, not how it was called."""
    backup = unchanged.with_name("backup.json")
    null = "00000000-0000-0000-0000-000000000000"
    change = {"kind": "name" if new else "type", "partition": 3, "uuid": null, "start": 512,
              "from": new or null, "to": new or TYPES["home"]}
    backup.write_text(json.dumps({"version": 1, "what": "libdps backup", "time": "-", "changes": [change],
                                  "disk": {"path": str(unchanged), "uuid": null}}))
    failure("undo", backup, status=3, code="corrupt", says=f"{backup}: change 1 of it makes no sense")


def test_no_backup(disk):
    out = call("apply", "--backup=none", disk, *ALL, status=0).out
    assert "dps-tag undo" not in out
    assert sorted(p.name for p in disk.parent.iterdir()) == ["disk.raw"]


def test_the_line_to_undo_can_be_pasted(disk, original):
    backup = disk.with_name("it's a $(touch oops) backup.json")
    out = call("apply", "--backup", backup, disk, *ALL, status=0).out
    line = next(line.strip() for line in out.splitlines() if line.startswith("  dps-tag undo"))
    subprocess.run(["/bin/sh", "-c", line.replace("dps-tag", DPS_TAG, 1)], check=True, env=ENVIRONMENT,
                   cwd=disk.parent, capture_output=True)
    assert digest(disk) == digest(original)
    assert not (disk.parent / "oops").exists()


def test_a_table_made_whole_is_told_in_words(disk):
    with open(disk, "r+b") as file:
        file.seek(-512, os.SEEK_END)
        file.write(bytes(512))
    out = call("apply", disk, "home=3", status=0).out
    assert "  table\n    the backup table is bad" in out


# --- who else is there


def test_locked_by_somebody(unchanged, failure):
    with open(unchanged, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        began = time.monotonic()
        failure("apply", "--lock=nonblock", unchanged, "home=3", status=3, code="busy", says="disk.raw")
        assert time.monotonic() - began < 5
        assert call("apply", unchanged, "home=3", env={"LOCK_BLOCK_DEVICE": "nonblock"}).status == 3
        call("plan", unchanged, "home=3", status=1)


def test_lock_of_the_caller(disk):
    with open(disk, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        call("apply", "--lock=no", disk, "home=3", status=0)
        call("apply", disk, "srv=3", env={"LOCK_BLOCK_DEVICE": "no"}, status=0)
        # what is typed counts more
        result = call("apply", "--lock=nonblock", disk, "home=3", env={"LOCK_BLOCK_DEVICE": "no"}, status=3)
        assert "disk.raw" in result.err
    assert types(disk)[2] == TYPES["srv"]


@pytest.mark.skipif(not makedisk.can_mount(), reason="loop devices need root")
def test_an_image_on_a_loop_device(unchanged, failure):
    with makedisk.loop_device(unchanged) as loop:
        failure("apply", unchanged, "home=3", status=3, code="busy", says=loop)


# --- standard output


@pytest.mark.parametrize("line", ["{} apply {} home=3 >/dev/full", "{} apply {} home=3 >&-",
                                  "{} apply --json {} home=3 >&-", "{} plan {} home=3 >/dev/full"])
def test_who_cannot_be_told_is_not_surprised(unchanged, line):
    done = subprocess.run(["/bin/sh", "-c", line.format(DPS_TAG, unchanged)], env=ENVIRONMENT, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 3
    assert "standard output" in done.stderr


def test_a_document_that_cannot_be_written(disk):
    done = subprocess.run(["/bin/sh", "-c", f"{DPS_TAG} apply --json {disk} home=3 >/dev/full"], env=ENVIRONMENT,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "was changed as planned, but: standard output" in done.stderr
    assert types(disk)[2] == TYPES["home"]


# --- signals


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_while_writing_ends_whole(disk, name):
    """strace holds each flush back for a while, and the signal comes in the middle."""
    if not shutil.which("strace", path=ENVIRONMENT["PATH"]):
        pytest.skip("needs strace")
    process = subprocess.Popen(
        ["strace", "-f", "-o", disk.with_name("trace"), "-e", "trace=fdatasync,fsync,pwrite64", "-e",
         "inject=fdatasync,fsync:delay_enter=200000", DPS_TAG, "apply", "--no-check", str(disk), *ALL],
        env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 30
    pid = None
    while pid is None and time.monotonic() < deadline and process.poll() is None:
        trace = disk.with_name("trace")
        if trace.exists() and "pwrite64" in trace.read_text():
            pid = int(children.read_text().split()[0])
        time.sleep(0.01)
    if pid is None:
        pytest.skip(f"strace cannot trace here: {process.communicate()[1]}")
    os.kill(pid, getattr(signal, name))
    err = process.communicate(timeout=60)[1]
    assert "interrupted: all changes were finished first" in err
    assert process.returncode == -getattr(signal, name)
    assert types(disk) == [TYPES["esp"], TYPES["root-x86-64"], TYPES["home"], TYPES["swap"]]
    assert "No problems found" in makedisk.run("sgdisk", "--verify", disk)


def test_a_limit_of_file_sizes_ends_nothing_half_way(unchanged):
    result = call("apply", "--quiet", unchanged, *ALL, status=3,
                  preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536)))
    assert "File too large" in result.err


# --- trees


def test_tree_on_no_disk(failure):
    if not pathlib.Path("/proc/self").exists():
        pytest.skip("/proc is not mounted")
    for command, schema in (("plan", "plan"), ("apply", "apply")):
        assert "nothing to do" in call(command, "--root=/proc", status=0).out
        document = validate(call(command, "--json", "--root=/proc", status=0).json, schema)
        assert document["disk"] is None and document["changes"] == []
        failure(command, "--root=/proc", "home=3", status=3, code="not-found", says="name the DISK")


def test_a_tree_with_its_fstab(tmp_path, disk):
    """DISK and --root: what fstab names is found on the disk."""
    tree = tmp_path / "tree"
    makedisk.write_tree(tree, {**makedisk.TREE, "etc/fstab": "LABEL=system / ext4 defaults 0 1\n"
                                                             "LABEL=home /home ext4 defaults 0 2\n"
                                                             "LABEL=swap none swap defaults 0 0\n"
                                                             "LABEL=EFI /boot/efi vfat umask=0077 0 2\n"})
    before = digest(disk)
    call("plan", "--arch=aarch64", "--root", tree, disk, status=1)
    assert digest(disk) == before
    document = validate(call("apply", "--json", "--backup=none", "--arch=aarch64", "--root", tree, disk, status=0).json, "apply")
    assert sorted((a["role"], a["partition"]) for a in document["assignments"]) == [
        ("esp", 1), ("home", 3), ("root", 2), ("swap", 4)]
    assert types(disk) == [TYPES["esp"], TYPES["root-arm64"], TYPES["home"], TYPES["swap"]]


def test_swap_with_a_new_key_at_each_boot_is_not_proved(tmp_path):
    """crypttab names a partition that nothing is on, until it is opened: a type would not find it."""
    disk = makedisk.make(tmp_path / "disk.raw", [Partition(size=64, content="ext4", label="system"), Partition(size=8)])
    uuid = makedisk.table(disk)["partitions"][1]["uuid"]
    tree = tmp_path / "tree"
    makedisk.write_tree(tree, {**makedisk.TREE, "etc/crypttab": f"swap PARTUUID={uuid} /dev/urandom swap\n",
                               "etc/fstab": "LABEL=system / ext4 defaults 0 1\n"
                                            "/dev/mapper/swap none swap defaults 0 0\n"})
    plan = call("plan", "--json", "--arch=x86_64", "--root", tree, disk, status=1).json
    assert [a["role"] for a in plan["assignments"]] == ["root"]
    assert [(f["code"], f["partition"]) for f in plan["findings"]] == [("detected-skipped", 2)]
    assert "swap=2" in plan["findings"][0]["message"]


def test_json_of_the_backup_is_json(disk):
    backup = disk.with_name("backup.json")
    call("apply", "--backup", backup, disk, *ALL, status=0)
    assert json.loads(backup.read_text())["version"] == 1
