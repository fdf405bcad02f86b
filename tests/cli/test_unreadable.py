# SPDX-License-Identifier: LGPL-2.1-or-later
"""A disk with a sector that cannot be read: what can be read is, and nobody is accused of the rest.

The sectors are the kernel's own input/output errors: of a btrfs whose checksums do not match, and of
a loop device over a file that is shorter by now.
"""

import os
import shutil

import makedisk
import makepe
import pytest
from conftest import call, validate
from makedisk import MIB, Partition

pytestmark = pytest.mark.skipif(not makedisk.can_mount(), reason="SKIP: needs root, loop devices and btrfs")

HOME = "933ac7e1-2eb4-4f13-b844-0e14e2aef915"
SWAP = "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"
ROOT_VERITY = "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5"
ROOT_VERITY_SIG = "41092b05-9fc8-4523-994f-2def0408b176"
TMP = "7ec6f557-3bc5-4aca-b293-16ef5df639d1"
EIO = "Input/output error"
UKI = {"EFI/BOOT/BOOTX64.EFI": makepe.systemd_boot(), "EFI/Linux/test.efi": makepe.uki("quiet")}
# Whose rules accuse a partition of what it holds, or a disk of what nothing on it is.
ACCUSING = {
    "esp-not-fat", "esp-missing", "esp-wrong-type", "esp-fat-inconsistent", "esp-fallback-missing", "esp-no-loader-entries",
    "xbootldr-not-fat", "root-missing", "root-unformatted", "root-type-on-pv", "root-fs-not-allowed", "root-multiple",
    "fs-ambiguous", "swap-type-mismatch", "verity-unpaired", "fstab-shadows", "cmdline-root-missing",
    "btrfs-no-default-subvol", "validatefs-mismatch",
}


def esp(**more):
    return Partition(**{"size": 34, "type": makedisk.ESP, "content": "vfat", "label": "EFI", "files": UKI, **more})


def root(**more):
    return Partition(**{"size": 16, "type": makedisk.ROOT_X86_64, "content": "ext4", "label": "system", "files": makedisk.TREE,
                        **more})


def other(**more):
    return Partition(**{"size": 8, "content": "ext4", "label": "home", **more})


def start_of(image, number):
    return makedisk.table(image)["partitions"][number - 1]["start"] * 512


def types_of(image):
    return [part["type"].lower() for part in makedisk.table(image)["partitions"]]


def findings_of(image, *more, status=None):
    document = validate(call("check", "--json", image, *more, status=status).json, "check")
    return document["disks"][0]["findings"]


def bytes_of(image, bad):
    """All that can be read, as the disk should be left."""
    with open(image, "rb") as file:
        before = file.read(bad)
        file.seek(bad + 4096)
        return before, file.read()


INSTALLED = {**makedisk.TREE, "etc/fstab": "LABEL=system / ext4 defaults 0 1\nLABEL=home /home ext4 defaults 0 2\n"}
ELSEWHERE = {**makedisk.TREE, "etc/fstab": "LABEL=home / ext4 defaults 0 1\n"}
GENERIC = {"type": makedisk.GENERIC}
RAID = "a19d880f-05fc-4d3b-a006-743f0f84911e"
# What is on the disk, which partition is lost, and where.
DISKS = {
    # As an installer leaves it; the superblock of home is lost.
    "installed": ([esp(), root(**GENERIC, files=INSTALLED), other(), Partition(size=8, content="swap", label="swap")], 3, 0),
    "root elsewhere": ([esp(), root(**GENERIC, files=ELSEWHERE), other()], 3, 0),
    "var": ([esp(), root(), other(), other(label="var")], 3, 0),
    "another wins": ([esp(), root(name="b"), root(**GENERIC, name="a")], 2, 0),
    "member": ([esp(), root(), other(type=RAID)], 3, 0),
}


# What is lost, and where; the severity; what the last line says; whether systemd looks there.
LOST = {
    "esp": ([esp(), root()], 1, 0, "error", "no: partition 1: what it holds cannot be read"),
    "esp, where no FAT has anything": ([esp(), root()], 1, 34 * MIB - 8192, "warning", "yes"),
    "root": ([esp(), root()], 2, 0, "error", "no: partition 2: what it holds cannot be read"),
    "root, its end": ([esp(), root(content=None, files={})], 2, 16 * MIB - 65536, "error", "no: partition 2"),
    "a second root": ([esp(), root(name="b"), root(name="a")], 3, 0, "warning", "yes"),
    "xbootldr": ([esp(), root(), other(type=makedisk.XBOOTLDR)], 3, 0, "error", "yes"),
    "home": ([esp(), root(), other(type=HOME)], 3, 0, "error", "yes"),
    "home, hidden": ([esp(), root(), other(type=HOME, attrs="GUID:63")], 3, 0, "warning", "yes"),
    "tmp": ([esp(), root(), other(type=TMP)], 3, 0, "error", "yes"),
    "swap": ([esp(), root(), Partition(size=8, type=SWAP, content="swap", label="swap")], 3, 0, "error", "yes"),
    "verity": ([esp(), root(), Partition(size=8, type=ROOT_VERITY)], 3, 0, "warning", "yes"),
    "signature": ([esp(), root(), Partition(size=8, type=ROOT_VERITY),
                   Partition(size=4, type=ROOT_VERITY_SIG)], 4, 0, "warning", "yes"),
    "generic": ([esp(), root(), other()], 3, 0, "warning", "yes"),
    "named by fstab": ([esp(), root(files=INSTALLED), other()], 3, 0, "warning", "yes"),
    "of another system": ([esp(), root(), other(type=makedisk.BASIC_DATA)], 3, 0, "warning", "yes"),
    # A read that gets half of it is none in which there is nothing.
    "empty, its second page": ([esp(), root(), Partition(size=8)], 3, 16384, "warning", "yes"),
}


# What the fstab of root says of the partition that is lost, and what is told of that.
PARTUUID = "00000003-aaaa-4bbb-8ccc-eeeeeeeeeeee"
LINES = {
    "label": ("LABEL=system / ext4", "LABEL=home /home ext4", "of which partition 3 cannot be read"),
    "node": ("/dev/sda2 / ext4", "/dev/sda3 /home ext4", "what that partition holds cannot be read"),
    "partuuid": ("LABEL=system / ext4", f"PARTUUID={PARTUUID} /home ext4", "cannot be home: what it holds cannot be read"),
    "boot": ("LABEL=system / ext4", f"PARTUUID={PARTUUID} /boot ext4", "/boot is partition 3, and cannot be read"),
}
for line, (slash, its, _) in LINES.items():
    tree = {**makedisk.TREE, "etc/fstab": f"{slash} defaults 0 1\n{its} defaults 0 2\n"}
    DISKS[f"line {line}"] = ([esp(), root(**GENERIC, files=tree), other(uuid=PARTUUID)], 3, 0)


# An ESP whose clusters are the kernel's blocks, so that only one file or directory is lost.
BOOT = {
    "EFI/BOOT/BOOTX64.EFI": makepe.systemd_boot(),
    "EFI/Linux/a.efi": makepe.uki(extra=[(".pad", bytes(8192)), (".cmdline", b"quiet lost")]),
    "EFI/Linux/a.efi.extra.d/x.addon.efi": makepe.addon(cmdline="addon lost"),
    "loader/loader.conf": "timeout 7\ndefault k.conf\n",
    "loader/entries/k.conf": "title K\nlinux /k/linux\ninitrd /k/initrd\noptions quiet\n",
    "k/linux": makepe.build([(".text", b"\x90" * 64), (".kernel", b"")]),
    "k/initrd": "initrd",
}
SHIM = {
    "EFI/BOOT/BOOTX64.EFI": makepe.shim(),
    "EFI/BOOT/fbx64.efi": makepe.build([(".text", b"\x90" * 64)]),
    "EFI/test/BOOTX64.CSV": "shimx64.efi,Test,,\n".encode("utf-16"),
    "EFI/test/shimx64.efi": makepe.shim(signed=True),
    "EFI/test/grubx64.efi": makepe.grub("2.12"),
}


def slot(name):
    """How a directory begins a long name."""
    return name[:5].encode("utf-16-le")


# What is there, and bytes that only the lost block has; what is said to be lost; a rule that is not judged.
LOST_FILES = {
    "directory of a kernel": (BOOT, b"INITRD     ", "k/linux", "bls-entry-file-missing"),
    "loader entries": (BOOT, slot("k.conf"), "loader/entries", "bls-entry-file-missing"),
    "entry": (BOOT, b"linux /k/linux", "loader/entries/k.conf", "loader-conf-default-nomatch"),
    "kernel": (BOOT, b".kernel\0", "k/linux", "bls-linux-not-efi"),
    "images": (BOOT, slot("a.efi"), "EFI/Linux", "uki-truncated"),
    "header of an image": (BOOT, b".pad\0", "EFI/Linux/a.efi", "uki-truncated"),
    "cmdline of an image": (BOOT, b"quiet lost", "EFI/Linux/a.efi", "uki-truncated"),
    "addons": (BOOT, slot("x.addon.efi"), "EFI/Linux/a.efi.extra.d", "uki-addon-misplaced"),
    "addon": (BOOT, b"addon lost", "EFI/Linux/a.efi.extra.d/x.addon.efi", "uki-addon-misplaced"),
    "fallback": (BOOT, b"systemd-boot 257", "EFI/BOOT/BOOTX64.EFI", "esp-fallback-not-pe"),
    "fallbacks": (BOOT, b"BOOTX64 EFI", "EFI/BOOT", "esp-fallback-missing"),
    "loader.conf": (BOOT, b"timeout 7", "loader/loader.conf", "loader-conf-default-nomatch"),
    "vendor": (SHIM, b"SHIMX64 EFI", "EFI/test/BOOTX64.CSV", "esp-shim-csv"),
    "csv": (SHIM, "shimx64.efi,Test".encode("utf-16-le"), "EFI/test/BOOTX64.CSV", "esp-shim-csv"),
    "second loader": (SHIM, b"\ngrub,3,Vendor", "EFI/test/grubx64.efi", "esp-fallback-not-pe"),
}


def add_lost_files(place):
    """Their images below @place, and where each one's lost block is."""
    lost, made = {}, {}
    for name, (files, mark, *_) in LOST_FILES.items():
        image = place / f"{name}.raw"
        if id(files) not in made:
            made[id(files)] = makedisk.make(image, [esp(mkfs=("-F16", "-s8"), files=files), root()])
        else:
            makedisk.run("cp", "--sparse=always", made[id(files)], image)
        content = image.read_bytes()
        assert content.count(mark) == 1, (name, content.count(mark))
        lost[image] = [content.index(mark) // 4096 * 4096]
    return lost


@pytest.fixture(scope="module", name="shelf")
def shelf_fixture(tmp_path_factory):
    """All disks of this file, sound in one directory and with their bad blocks in another."""
    place = tmp_path_factory.mktemp("sound")
    lost = {}
    for name, (parts, number, inside, *_) in {**DISKS, **LOST}.items():
        image = makedisk.make(place / f"{name}.raw", parts)
        lost[image] = [start_of(image, number) + inside]
    table = makedisk.make(place / "table.raw", [root()])
    lost[table] = [0, table.stat().st_size - 4096]
    lost.update(add_lost_files(place))
    with makedisk.with_bad_blocks(lost) as top:
        yield place, top


@pytest.fixture(name="take")
def take_fixture(shelf, request):
    """A disk to work on, as bad as the one on the shelf."""
    taken = []

    def take(name):
        path = shelf[1] / f"taken {len(taken)}.raw"
        makedisk.run("cp", "--reflink=always", shelf[1] / f"{name}.raw", path)
        taken.append(path)
        return path

    yield take
    for path in taken:
        path.unlink()


@pytest.fixture(name="installed")
def installed_fixture(take):
    image = take("installed")
    with open(image, "rb") as file, pytest.raises(OSError, match=EIO):
        os.pread(file.fileno(), 4096, start_of(image, 3))
    return image


def test_show(installed):
    show = validate(call("show", "--json", installed, status=0).json, "show")
    assert [p["content"]["type"] for p in show["partitions"]] == ["vfat", "ext4", "unreadable", "swap"]
    assert show["partitions"][2]["content"] == {"type": "unreadable", "uuid": None, "label": None}
    out = call("show", installed, status=0).out
    assert f"unreadable: {EIO}" in out and out.count("unreadable") == 1
    # the reader of a disk on its own, and that of a tree's
    assert f"unreadable: {EIO}" in call("show", "--root", installed.parent, installed, status=0).out


def test_check(installed):
    findings = findings_of(installed, "--arch=x86_64")
    (found,) = [f for f in findings if f["code"] == "content-unreadable"]
    assert (found["severity"], found["partition"]) == ("warning", 3)
    assert EIO in found["message"] and "failing" in found["hint"]
    assert [f["code"] for f in findings if f["severity"] == "error"] == ["root-missing"]
    assert {f["code"] for f in findings if f["partition"] == 3} == {"content-unreadable", "not-judged"}
    call("apply", "--backup=none", "--no-check", installed, "root:x86_64=2", status=0)
    findings_of(installed, status=0)
    call("check", "--strict", installed, status=1)


def test_others_are_tagged(installed):
    bad = start_of(installed, 3)
    call("apply", "--backup", installed.parent / "backup.json", installed, "root:x86_64=2", "swap=4", status=0)
    assert types_of(installed) == [makedisk.ESP, makedisk.ROOT_X86_64, makedisk.GENERIC, SWAP]
    before = bytes_of(installed, bad)
    again = validate(call("apply", "--json", "--backup=none", installed, "root:x86_64=2", "swap=4", status=0).json, "apply")
    assert again["applied"] is False and bytes_of(installed, bad) == before
    call("undo", installed.parent / "backup.json", installed, status=0)
    assert types_of(installed) == [makedisk.ESP] + [makedisk.GENERIC] * 3


@pytest.mark.parametrize("line", LINES)
def test_detection_leaves_it_out_and_says_so(take, line):
    image = take(f"line {line}")
    plan = validate(call("plan", "--json", "--arch=x86_64", image, status=1).json, "plan")
    assert [(a["role"], a["partition"]) for a in plan["assignments"]] == [("root", 2)]
    (found,) = [f for f in plan["findings"] if f["code"] == "content-unreadable"]
    assert (found["severity"], found["partition"]) == ("warning", 3) and EIO in found["message"]
    (skipped,) = [f for f in plan["findings"] if f["code"] == "detected-skipped"]
    assert LINES[line][2] in skipped["message"]
    call("apply", "--backup=none", "--arch=x86_64", image, status=0)
    assert types_of(image)[1:3] == [makedisk.ROOT_X86_64, makedisk.GENERIC]


def test_a_uuid_that_may_be_named_there(take):
    """A boot entry on the partition that is lost may name what would change."""
    image = take("var")
    words = ["--backup=none", f"--machine-id={'12' * 16}", image, "var=4"]
    error = call("apply", *words, status=3).err
    assert "partition 3, for all that can be read of it" in error and "--force" in error
    assert types_of(image)[3] == makedisk.GENERIC
    call("apply", "--force", *words, status=0)


@pytest.mark.parametrize("words", [["home=3"], ["home=3", "root:x86_64=2"], ["--force", "home=3"], ["root:x86_64=3"], ["swap=3"],
                                   ["esp=3"], ["bios-boot=3"]])
def test_it_is_given_no_type(installed, words, failure):
    bad = start_of(installed, 3)
    before = bytes_of(installed, bad)
    error = failure("apply", "--backup=none", installed, *words, status=3, code="io", says="cannot be read")
    assert error["partition"] == 3 and EIO in error["message"]
    assert bytes_of(installed, bad) == before


def test_root_that_fstab_names_is_not_seen(take):
    """The one system that can be read is not the one that the fstab has at /."""
    image = take("root elsewhere")
    error = call("apply", "--backup=none", "--arch=x86_64", image, status=3).err
    assert "of which partition 3 cannot be read" in error and "root=2" in error
    assert types_of(image)[1] == makedisk.GENERIC
    call("apply", "--backup=none", image, "root:x86_64=2", status=0)
    assert types_of(image)[1] == makedisk.ROOT_X86_64


def test_a_root_that_would_win(take):
    image = take("another wins")
    error = call("apply", "--backup=none", image, "root:x86_64=3", status=3).err
    assert "partition 2 has the same type and wins" in error
    assert types_of(image)[1:] == [makedisk.ROOT_X86_64, makedisk.GENERIC]
    # both ways out that it names
    call("apply", "--backup=none", image, "root:x86_64=3", "same=2,no-auto", status=0)
    call("apply", "--backup=none", image, "root:x86_64=3", "linux-generic=2", status=0)
    assert types_of(image)[1:] == [makedisk.GENERIC, makedisk.ROOT_X86_64]


def test_the_type_of_a_member_is_not_taken_away(take):
    image = take("member")
    assert "cannot be read" in call("apply", "--backup=none", image, "linux-generic=3", status=3).err
    assert types_of(image)[2] == RAID


@pytest.mark.parametrize("name", LOST)
def test_nobody_is_accused(shelf, name):
    sound, bad = (place / f"{name}.raw" for place in shelf)
    _, number, _, severity, last = LOST[name]
    accused = {(f["code"], f["partition"]) for f in findings_of(sound, "--arch=x86_64")}
    findings = findings_of(bad, "--arch=x86_64")
    (found,) = [f for f in findings if f["code"] == "content-unreadable"]
    assert (found["severity"], found["partition"]) == (severity, number), findings
    new = [f for f in findings if f["code"] in ACCUSING and
           (f["partition"] == number or (f["code"], f["partition"]) not in accused)]
    assert not new, new
    summary = [f["message"] for f in findings if f["code"] == "dps-summary" and not f["partition"]]
    assert len(summary) == 1 and summary[0].startswith(f"root is discoverable on x86-64: {last}"), summary
    # What is not judged is said, wherever there was something to judge.
    if name == "esp, where no FAT has anything":
        # libblkid gives up where a RAID's label would be: the FAT is read all the same
        assert not [f for f in findings if f["code"] == "not-judged" and "esp-no-loader-entries" in f["message"]]
    else:
        assert [f for f in findings if f["code"] == "not-judged" and f["partition"] == number], findings


@pytest.mark.parametrize("name", LOST_FILES)
def test_no_file_is_accused(shelf, name):
    sound, bad = (place / f"{name}.raw" for place in shelf)
    *_, path, rule = LOST_FILES[name]
    known = findings_of(sound, "--arch=x86_64", status=0)
    findings = findings_of(bad, "--arch=x86_64", status=1)
    (found,) = [f for f in findings if f["severity"] == "error"]
    assert (found["code"], found["partition"]) == ("content-unreadable", 1), found
    assert f"{path}: " in found["message"] and EIO in found["message"] and "failing" in found["hint"]
    assert [f for f in findings if f["code"] == "not-judged" and f["partition"] == 1 and rule in f["message"]], findings
    new = {f["code"] for f in findings if f["severity"] == "warning"} - {f["code"] for f in known}
    assert not new, findings


def test_a_device_that_ends_early(tmp_path):
    """A loop device whose file is shorter than it was; what lies behind its end is lost, the backup table too."""
    image = makedisk.make(tmp_path / "disk.raw", [esp(), root(type=makedisk.GENERIC), other(), other(label="data")])
    keep = tmp_path / "keep.raw"
    shutil.copy(image, keep)
    with makedisk.loop_device(image) as loop:
        os.truncate(image, start_of(keep, 3) + MIB)
        show = validate(call("show", "--json", loop, status=0).json, "show")
        assert [p["content"]["type"] for p in show["partitions"]] == ["vfat", "ext4", "unreadable", "unreadable"]
        codes = [f["code"] for f in findings_of(loop, "--arch=x86_64")]
        assert codes.count("content-unreadable") == 2
        size = image.stat().st_size
        call("apply", "--backup=none", "--arch=x86_64", loop, "home=3", status=3)
        assert image.stat().st_size == size and image.read_bytes() == keep.read_bytes()[:size]


def test_a_table_that_cannot_be_read_is_an_error(take):
    assert EIO in call("show", take("table"), status=3).err
