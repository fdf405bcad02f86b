# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disk images as plain files: everything here runs in an empty sandbox, as nobody, with no /dev, /proc
and /sys, and sees nothing of this machine but /usr, dps-tag and the image."""

import functools
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

import pytest

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "data"))
import makedisk  # noqa: E402
from makedisk import Partition  # noqa: E402

BUILD = pathlib.Path(os.environ["DPS_BUILD"])
# Where the user of the sandbox reaches it.
PROGRAM = makedisk.for_everyone(BUILD / "cli/dps-tag")
NOBODY = makedisk.NOBODY if os.geteuid() == 0 else []
SANDBOX = [
    *NOBODY, "bwrap", "--unshare-all", "--cap-drop", "ALL", "--clearenv",
    "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib",
    *(["--symlink", "usr/lib64", "/lib64"] if os.path.exists("/lib64") else []),
    "--ro-bind", str(PROGRAM.parents[1]), "/build", "--setenv", "LD_LIBRARY_PATH", "/build/libdps",
    "--setenv", "LC_ALL", "C.UTF-8", "--setenv", "PATH", "/usr/bin:/usr/sbin",
    # Where `./dev coverage` counts what is reached.
    *(["--bind", os.environ["DPS_PROFILES"], os.environ["DPS_PROFILES"]]
      if "DPS_PROFILES" in os.environ else []),
]

# ELF class, byte order, machine of a program of each architecture: elf.h of glibc, and the ABI documents.
ELF = {
    "alpha": (2, 1, 0x9026), "arc": (1, 1, 195), "arm": (1, 1, 40), "aarch64": (2, 1, 183),
    "ia64": (2, 1, 50), "loongarch64": (2, 1, 258), "mips": (1, 2, 8), "mips64": (2, 2, 8),
    "mipsel": (1, 1, 8), "mips64el": (2, 1, 8), "parisc": (1, 2, 15), "ppc": (1, 2, 20),
    "ppc64": (2, 2, 21), "ppc64le": (2, 1, 21), "riscv32": (1, 1, 243), "riscv64": (2, 1, 243),
    "s390": (1, 2, 22), "s390x": (2, 2, 22), "tilegx": (2, 1, 191), "x86": (1, 1, 3),
    "x86_64": (2, 1, 62),
}


def elf(arch):
    """The header of a program."""
    bits, order, machine = ELF[arch]
    ident = b"\x7fELF" + bytes([bits, order, 1]) + bytes(9)
    return (ident + struct.pack("<>"[order - 1] + "HHI", 2, machine, 1)).ljust(4096, b"\0")


FS_UUID = "{:08x}-aaaa-4bbb-8ccc-dddddddddddd".format
PART_UUID = "{:08x}-1111-4222-8333-444444444444".format


def system(fstab="", arch="x86_64", name="Test OS 1", **more):
    """The files of a root file system."""
    return {"etc/os-release": f'ID=test\nPRETTY_NAME="{name}"\n', "etc/fstab": fstab,
            "usr/bin/bash": elf(arch), **more}


@functools.lru_cache(maxsize=None)
def why_no_sandbox():
    done = subprocess.run([*SANDBOX, "/build/cli/dps-tag", "types"], capture_output=True, text=True)
    return None if done.returncode == 0 else f"no sandbox: {' '.join(done.stderr.split())[:200]}"


@pytest.fixture
def place():
    """A directory that nobody may reach."""
    if not shutil.which("bwrap", path="/usr/bin:/usr/sbin"):
        pytest.skip("bwrap is not here: install bubblewrap")
    if why_no_sandbox():
        pytest.skip(why_no_sandbox())
    with tempfile.TemporaryDirectory(prefix="images-", dir="/var/tmp") as directory:
        os.chmod(directory, 0o777)
        yield pathlib.Path(directory)


class Result:
    def __init__(self, done):
        self.status, self.out, self.err = done.returncode, done.stdout.decode(), done.stderr.decode()

    def __repr__(self):
        return f"exit {self.status}\n{self.out}\n{self.err}"

    @property
    def json(self):
        return json.loads(self.out)


def tag(place, *words, status=None, prefix=()):
    """dps-tag in the sandbox, which has @place at /d, and is in it."""
    for path in place.iterdir():
        if not path.is_dir():
            os.chmod(path, 0o666)
    done = subprocess.run([*SANDBOX, "--bind", str(place), "/d", "--chdir", "/d", *prefix,
                           "/build/cli/dps-tag", *map(str, words)], capture_output=True, timeout=60)
    result = Result(done)
    if status is not None:
        assert result.status == status, result
    return result


def types_planned(result):
    """{partition: name of the type that it is to get}"""
    names = {row["type_uuid"]: row["name"] for row in table_of_types()}
    return {change["partition"]: names[change["to"]] for change in result.json["changes"]
            if change["kind"] == "type"}


@functools.lru_cache(maxsize=None)
def table_of_types():
    done = subprocess.run([*SANDBOX, "/build/cli/dps-tag", "types", "--json"], capture_output=True, check=True)
    return json.loads(done.stdout)["types"]


def needs_mount():
    if not makedisk.can_mount():
        pytest.skip("making subvolumes wants root, loop devices and btrfs in the kernel")


# --- Who is who, out of the image itself -------------------------------------------------------------

FULL_FSTAB = f"""
# every way to name a file system
UUID={FS_UUID(3)} / ext4 defaults 0 1
UUID="ABCD-0001" /boot/efi vfat umask=0077 0 2
LABEL=home\\040of\\040all /home ext4 defaults 0 2
PARTLABEL=the\\040data /srv ext4 defaults 0 2
PARTUUID={PART_UUID(6).upper()} /var/tmp ext4 defaults 0 2
/dev/vda7 none swap sw 0 0
tmpfs /tmp tmpfs defaults 0 0
"""


def full(fstab=FULL_FSTAB, **more):
    return [
        Partition(content="vfat"),
        Partition(content="ext4", label="home of all", size=16),
        Partition(content="ext4", files=system(fstab, **more), size=16),
        Partition(content="ext4", size=16),
        Partition(content="ext4", name="the data", size=16),
        Partition(content="ext4", size=16),
        Partition(content="swap", size=16),
    ]


def test_fstab_of_the_image(place):
    disk = makedisk.make(place / "disk.raw", full())
    before = makedisk.digest(disk)
    assert types_planned(tag(place, "plan", "disk.raw", "--json", status=1)) == {
        1: "esp", 2: "home", 3: "root-x86-64", 5: "srv", 6: "tmp", 7: "swap"}
    assert makedisk.digest(disk) == before

    tag(place, "apply", "disk.raw", "--no-check", status=0)
    kinds = [part["type"].lower() for part in makedisk.table(disk)["partitions"]]
    assert kinds[0] == makedisk.ESP and kinds[2] == makedisk.ROOT_X86_64 and kinds[3] == makedisk.GENERIC
    assert tag(place, "plan", "disk.raw", "--json", status=0).json["changes"] == []


@pytest.mark.parametrize("spec", [
    f"/dev/disk/by-uuid/{FS_UUID(2)}", "/dev/disk/by-label/home\\x20of\\x20all", "'LABEL=home of all'",
    f"/dev/disk/by-partuuid/{PART_UUID(2)}", "/dev/sda2", "/dev/nvme0n1p2", "/dev/mmcblk0p2"])
def test_other_ways_to_name_it(place, spec):
    spec = spec.strip("'").replace(" ", "\\040")
    makedisk.make(place / "disk.raw", full(f"UUID={FS_UUID(3)} / ext4 defaults 0 1\n{spec} /home ext4 defaults 0 2\n"))
    assert types_planned(tag(place, "plan", "disk.raw", "--json"))[2] == "home"


@pytest.mark.parametrize("why, fstab", [
    ("another type", f"UUID={FS_UUID(3)} / ext4 x 0 0\n/dev/sda2 /home xfs x 0 0\n"),
    ("several disks", f"UUID={FS_UUID(3)} / ext4 x 0 0\n/dev/sda2 /home ext4 x 0 0\n/dev/sdb1 /srv ext4 x 0 0\n"),
    ("no such number", f"UUID={FS_UUID(3)} / ext4 x 0 0\n/dev/sda22 /home ext4 x 0 0\n"),
    ("another disk", f"UUID={FS_UUID(3)} / ext4 x 0 0\nUUID={FS_UUID(9)} /home ext4 x 0 0\n"),
    ("a volume", f"UUID={FS_UUID(3)} / ext4 x 0 0\n/dev/mapper/vg-home /home ext4 x 0 0\n")])
def test_what_a_node_does_not_prove(place, why, fstab):
    makedisk.make(place / "disk.raw", full(fstab))
    result = tag(place, "plan", "disk.raw", "--json")
    assert types_planned(result) == {3: "root-x86-64"}, why
    assert any(f["code"] == "detected-skipped" and "/home" in f["message"] for f in result.json["findings"])


@pytest.mark.parametrize("crypttab, fstab", [
    (f"data UUID={FS_UUID(2)} none\n", "/dev/mapper/data /srv ext4 x 0 0\n"),
    ("# data UUID=x\ndata /dev/vda2 - luks\n", "/dev/mapper/data /srv ext4 x 0 0\n"),
    ("", f"/dev/mapper/luks-{FS_UUID(2)} /srv ext4 x 0 0\n")])
def test_crypttab(place, crypttab, fstab):
    makedisk.make(place / "disk.raw", [
        Partition(content="ext4", files=system(f"UUID={FS_UUID(1)} / ext4 x 0 0\n{fstab}", **{"etc/crypttab": crypttab})),
        Partition(content="crypto_LUKS")])
    assert types_planned(tag(place, "plan", "disk.raw", "--json")) == {1: "root-x86-64", 2: "srv"}


@pytest.mark.parametrize("files, other, role", [
    ({"EFI/BOOT/BOOTX64.EFI": b"MZ"}, False, "esp"), ({"efi/x": b"1"}, False, "esp"), ({}, True, "xbootldr"),
    ({"vmlinuz": b"1"}, False, None), ({"EFI": b"a file"}, False, None)])
def test_boot_on_fat(place, files, other, role):
    parts = [Partition(content="vfat", files=files),
             Partition(content="ext4", files=system(f"UUID={FS_UUID(2)} / ext4 x 0 0\nUUID=ABCD-0001 /boot vfat x 0 0\n"))]
    if other:
        parts.append(Partition(content="vfat", type=makedisk.ESP))
    makedisk.make(place / "disk.raw", parts)
    result = tag(place, "plan", "disk.raw", "--json")
    assert types_planned(result).get(1) == role
    assert (role is None) == any(f["code"] == "boot-unclear" for f in result.json["findings"])


def test_the_default_subvolume(place):
    needs_mount()
    for name in ("root", "@", "@rootfs"):
        fstab = f"UUID={FS_UUID(1)} / btrfs subvol=/{name} 0 0\nUUID={FS_UUID(1)} /home btrfs subvol=home 0 0\n"
        for text in (fstab, ""):
            disk = makedisk.make(place / "disk.raw", [
                Partition(content="btrfs", size=160, files=system(text), subvolumes=(name, "home"))])
            tag(place, "apply", "disk.raw", "--no-check", status=0)
            with makedisk.attached(disk, 1) as node, makedisk.mounted_node(node) as top:
                told = makedisk.run("btrfs", "subvolume", "get-default", top)
            assert told.split()[-1] == name, told


def test_fstab_goes_before_the_os_release(place):
    """By number as by name: the subvolume that fstab mounts is root, wherever an os-release lies."""
    needs_mount()
    for option in ("subvolid=257", "subvol=next"):
        makedisk.make(place / "disk.raw", [
            Partition(content="btrfs", size=160, subvolumes=("root", "next"),
                      files=system(f"UUID={FS_UUID(1)} / btrfs {option} 0 0\n"))])
        changes = tag(place, "plan", "disk.raw", "--json", status=1).json["changes"]
        assert [c["to"] for c in changes if c["kind"] == "btrfs-default"] == ["257 next"], option


def test_system_in_the_top_level(place):
    disk = makedisk.make(place / "disk.raw", [Partition(content="btrfs", size=160, files=system())])
    result = tag(place, "plan", "disk.raw", "--json", status=1)
    assert [change["kind"] for change in result.json["changes"]] == ["type"]
    assert makedisk.run("btrfs", "check", "--force", carve(place, disk, 1)) is not None


def carve(place, disk, number):
    """The bytes of one partition, as a file."""
    part = makedisk.table(disk)["partitions"][number - 1]
    out = place / "carved"
    with open(disk, "rb") as source, open(out, "wb") as to:
        source.seek(part["start"] * 512)
        to.write(source.read(part["size"] * 512))
    return out


@pytest.mark.parametrize("parts, words", [
    ([Partition(content="ext4", files=system(name="One")), Partition(content="ext4", files=system(name="Two"))],
     ["several systems", "partition 1 (One)", "partition 2 (Two)", "root=1 or root=2"]),
    ([Partition(content="ext4"), Partition(content="crypto_LUKS")],
     ["no os-release", "partition 2 (crypto_LUKS): it is encrypted", "root=1 or root=2"]),
    ([Partition(content="vfat")], ["no os-release", "root=PARTITION"]),
    ([Partition(content="ext4", files=system(f"UUID={FS_UUID(2)} / ext4 x 0 0\n")), Partition(content="ext4")],
     ["partition 1", "partition 2 at /", "root=1 or root=2"]),
    ([Partition(content="xfs")], ["partition 1 (xfs): xfs cannot be read", "root=1"])])
def test_what_is_not_proved(place, parts, words):
    disk = place / "disk.raw"
    if parts[0].content == "xfs":
        # the superblock is all that blkid looks at: xfs_format.h
        makedisk.make(disk, [Partition(size=320)])
        with open(disk, "r+b") as file:
            file.seek(makedisk.MIB)
            file.write(struct.pack(">4sIQQQ", b"XFSB", 4096, 81920, 0, 0) + bytes(range(16)) +
                       struct.pack(">QQQQIIIIIHHHH", 65540, 128, 129, 130, 1, 20480, 4, 0, 1368, 0xB4A5, 512, 512, 8))
            file.write(bytes(12) + bytes([12, 9, 9, 3, 15, 0, 25]))
    else:
        makedisk.make(disk, parts)
    before = makedisk.digest(disk)
    result = tag(place, "apply", "disk.raw", status=3)
    for word in words:
        assert word in result.err, result
    assert makedisk.digest(disk) == before


@pytest.mark.parametrize("arch", sorted(ELF))
def test_every_architecture(place, arch):
    name = next(row["name"] for row in table_of_types() if row["role"] == "root" and row["arch"] == arch)
    makedisk.make(place / "disk.raw", [Partition(content="ext4", size=16, files=system(arch=arch)),
                                      Partition(size=16, content="ext4", files={"bin/env": elf(arch)})])
    assert types_planned(tag(place, "plan", "disk.raw", "--json")) == {1: name}
    # typed, and still of that architecture, each by itself
    assert types_planned(tag(place, "plan", "disk.raw", "root=1", "--json")) == {1: name}
    assert types_planned(tag(place, "plan", "disk.raw", "usr=2", "--json")) == {2: name.replace("root", "usr")}


def test_os_release_says_the_architecture(place):
    files = {"usr/lib/os-release": "ID=x\nARCHITECTURE=riscv64\n"}
    makedisk.make(place / "disk.raw", [Partition(content="ext4", files=files)])
    assert types_planned(tag(place, "plan", "disk.raw", "--json")) == {1: "root-riscv64"}


def test_nothing_says_the_architecture(place):
    makedisk.make(place / "disk.raw", [Partition(content="ext4"), Partition(content="ext4", files={"etc/os-release": "ID=x\n"})])
    for words in (["root=1"], ["usr=1"], []):
        result = tag(place, "plan", "disk.raw", *words, status=3)
        assert "--arch" in result.err, result
    assert types_planned(tag(place, "plan", "disk.raw", "root:s390x=1", "--json")) == {1: "root-s390x"}


# --- A tree beside the image --------------------------------------------------------------------------

def test_tree_and_image(place):
    tree = place / "tree"
    disk = makedisk.make(place / "disk.raw", full(fstab="UUID=none / ext4 x 0 0\n", arch="aarch64"))
    makedisk.write_tree(tree, system(FULL_FSTAB, arch="riscv64"))
    result = tag(place, "plan", "disk.raw", "--root", "tree", "--json", status=1)
    assert types_planned(result) == {1: "esp", 2: "home", 3: "root-riscv64", 5: "srv", 6: "tmp", 7: "swap"}
    tag(place, "apply", "disk.raw", "--root", "tree", "--no-check", status=0)
    assert makedisk.table(disk)["partitions"][0]["type"].lower() == makedisk.ESP


# --- Everything in the specification --------------------------------------------------------------------

def changes(result, kind):
    return {change["partition"]: change["to"] for change in result.json["changes"] if change["kind"] == kind}


def partitions(disk):
    return makedisk.table(disk)["partitions"]


def verity_disk(place, sign=False):
    """root, its hashes by veritysetup, and room for a signature; gives the root hash too"""
    disk = makedisk.make(place / "disk.raw", [
        Partition(content="ext4", size=16, files=system()), Partition(size=8), Partition(size=4)])
    data, hashes = place / "data", place / "hashes"
    with open(disk, "rb") as file:
        file.seek(makedisk.MIB)
        data.write_bytes(file.read(16 * makedisk.MIB))
    told = makedisk.run("veritysetup", "format", data, hashes)
    root_hash = next(line.split()[-1] for line in told.splitlines() if line.startswith("Root hash"))
    makedisk.copy_into(disk, hashes, 17 * makedisk.MIB)
    if sign:
        with open(disk, "r+b") as file:
            file.seek(25 * makedisk.MIB)
            file.write(json.dumps({"rootHash": sign(root_hash), "signature": "AAAA"}).encode())
    data.unlink()
    hashes.unlink()
    return disk, root_hash


def test_verity_pair(place):
    disk, root_hash = verity_disk(place)
    words = ["root=1", "root-verity=2,read-only", f"--root-hash={root_hash.upper()}"]
    plan = tag(place, "plan", "disk.raw", *words, "--json", status=1)
    uuids = [f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}" for h in (root_hash[:32], root_hash[32:])]
    assert changes(plan, "uuid") == {1: uuids[0], 2: uuids[1]}
    assert types_planned(plan) == {1: "root-x86-64", 2: "root-x86-64-verity"}

    before = makedisk.digest(disk)
    tag(place, "apply", "disk.raw", *words, "--no-check", "--backup=undo.json", status=0)
    assert [part["uuid"].lower() for part in partitions(disk)][:2] == uuids
    # systemd finds both, and that they belong together
    if os.geteuid() == 0 and shutil.which("systemd-dissect"):
        done = subprocess.run(["systemd-dissect", "--json=short", f"--root-hash={root_hash}", disk],
                              capture_output=True, text=True)
        if done.returncode == 0:
            root = next(m for m in json.loads(done.stdout)["mounts"] if m["designator"] == "root")
            assert root["verity"] == "external" or root["verity"] == "yes" or root["verity"] is True, root
    tag(place, "undo", "undo.json", "disk.raw", status=0)
    assert makedisk.digest(disk) == before


def test_usr_hash(place):
    disk, root_hash = verity_disk(place)
    tag(place, "apply", "disk.raw", "usr:riscv64=1", "usr-verity:riscv64=2", "--usr-hash", root_hash,
        "--no-check", status=0)
    assert [part["uuid"].lower().replace("-", "") for part in partitions(disk)][:2] == [root_hash[:32], root_hash[32:]]


@pytest.mark.parametrize("why, words", [
    ("no verity partition", ["root=1"]), ("no data", ["root-verity=2", "--arch=x86_64"]),
    ("no pair", ["root:x86_64=1", "root-verity:s390x=2"]),
    ("two of a role", ["root:x86_64=1", "root:s390x=3", "root-verity:x86_64=2"])])
def test_no_verity_pair(place, why, words):
    disk, root_hash = verity_disk(place)
    before = makedisk.digest(disk)
    result = tag(place, "apply", "disk.raw", *words, "--root-hash", root_hash, "--force", status=3)
    assert "--root-hash" in result.err
    assert makedisk.digest(disk) == before


def test_another_root_hash(place):
    disk, root_hash = verity_disk(place)
    result = tag(place, "apply", "disk.raw", "root=1", "root-verity=2", "--root-hash", "ab" * 32, "--force", status=3)
    assert root_hash in result.err
    for wrong in ("", "ab", "xy" * 32, "0" * 64):
        assert tag(place, "plan", "disk.raw", "root=1", "root-verity=2", f"--root-hash={wrong}").status in (2, 3)


def test_signature(place):
    words = ["root=1", "root-verity=2", "root-verity-sig=3"]
    disk, root_hash = verity_disk(place, sign=lambda root_hash: root_hash)
    assert types_planned(tag(place, "plan", "disk.raw", *words, "--root-hash", root_hash, "--json", status=1))[3] \
        == "root-x86-64-verity-sig"
    disk, root_hash = verity_disk(place, sign=lambda root_hash: "ab" * 32)
    assert "signature" in tag(place, "plan", "disk.raw", *words, "--root-hash", root_hash, status=3).err


MACHINE_ID = "0123456789abcdef0123456789abcdef"


def var_uuid(machine_id):
    """What systemd derives from a machine id; systemd-id128 forces the bits as gpt-auto does."""
    var = "4d21b016-b534-45c2-a9fb-5c16e091fd2d"
    import hashlib
    import hmac
    import uuid
    mac = bytearray(hmac.new(bytes.fromhex(machine_id), uuid.UUID(var).bytes, hashlib.sha256).digest()[:16])
    mac[6] = mac[6] & 0x0F | 0x40
    mac[8] = mac[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(mac)))


def var_disk(place, fstab="", machine_id=MACHINE_ID + "\n", boot=()):
    return makedisk.make(place / "disk.raw", [
        Partition(content="vfat", type=makedisk.ESP, files=dict(boot)),
        Partition(content="ext4", size=16, files=system(fstab, **{"etc/machine-id": machine_id})),
        Partition(content="ext4", size=16)])


def test_var(place):
    disk = var_disk(place, f"UUID={FS_UUID(3)} /var ext4 x 0 0\n")
    result = tag(place, "plan", "disk.raw", "--json", status=1)
    assert changes(result, "uuid") == {3: var_uuid(MACHINE_ID)} and types_planned(result)[3] == "var"
    assert changes(tag(place, "plan", "disk.raw", "root=2", "var=3", "--json"), "uuid") == {3: var_uuid(MACHINE_ID)}
    other = "f" * 32
    assert changes(tag(place, "plan", "disk.raw", "var=3", "--machine-id", other, "--json"), "uuid") == {3: var_uuid(other)}
    tag(place, "apply", "disk.raw", "--no-check", status=0)
    assert partitions(disk)[2]["uuid"].lower() == var_uuid(MACHINE_ID)
    assert tag(place, "plan", "disk.raw", "--json", status=0).json["changes"] == []


def codes(result):
    return [finding["code"] for finding in result.json["findings"]]


@pytest.mark.parametrize("machine_id", ["", "uninitialized\n", "0" * 32])
def test_var_no_machine_id_fires(place, machine_id):
    var_disk(place, f"UUID={FS_UUID(3)} /var ext4 x 0 0\n", machine_id)
    result = tag(place, "plan", "disk.raw", "--json", status=1)
    assert changes(result, "uuid") == {} and types_planned(result)[3] == "var"
    assert "var-no-machine-id" in codes(result)


def test_var_no_machine_id_silent(place):
    var_disk(place, machine_id="")
    assert "var-no-machine-id" not in codes(tag(place, "plan", "disk.raw", "var=3", f"--machine-id={MACHINE_ID}", "--json"))
    assert "var-no-machine-id" not in codes(tag(place, "plan", "disk.raw", "home=3", "--json"))


def uki(cmdline):
    """A PE with the sections of a unified kernel image: enough to be read as one."""
    sections = [(b".osrel", b"ID=test\nPRETTY_NAME=Test\n"), (b".cmdline", cmdline.encode()), (b".linux", b"MZ" + bytes(510))]
    head = b"MZ".ljust(60, b"\0") + struct.pack("<I", 64)
    optional = struct.pack("<HBBIIIII", 0x20B, 0, 0, 512, 0, 0, 0x1000, 0x1000)
    optional += struct.pack("<QIIHHHHHHIIIIHHQQQQII", 0x400000, 0x1000, 512, 0, 0, 0, 0, 0, 0, 0, 0x10000, 1024, 0, 10, 0,
                            0, 0, 0, 0, 0, 0)
    coff = b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, len(sections), 0, 0, 0, len(optional), 0x22)
    table, body, at = b"", b"", 1024
    for number, (name, data) in enumerate(sections):
        raw = data.ljust((len(data) + 511) // 512 * 512, b"\0")
        table += struct.pack("<8sIIIIIIHHI", name, len(data), 0x1000 * (number + 1), len(raw), at, 0, 0, 0, 0, 0x40000040)
        body += raw
        at += len(raw)
    return (head + coff + optional + table).ljust(1024, b"\0") + body


@pytest.mark.parametrize("where, fstab, boot", [
    ("/etc/fstab", f"PARTUUID={PART_UUID(3).upper()} /mnt ext4 x 0 0\n", {}),
    ("partition 1: /loader/entries/a.conf", "", {"loader/entries/a.conf": f"title a\nlinux /l\noptions root=PARTUUID={PART_UUID(3)}\n"}),
    ("partition 1: /EFI/Linux/a.efi", "", {"EFI/Linux/a.efi": uki(f"quiet root=/dev/disk/by-partuuid/{PART_UUID(3)} rw")}),
    ("partition 1: /loader/addons/a.addon.efi", "", {"loader/addons/a.addon.efi": uki(f"x=PARTUUID={PART_UUID(3)}")}),
    ("partition 1: /EFI/Linux/a.efi.extra.d/a.addon.efi", "",
     {"EFI/Linux/a.efi.extra.d/a.addon.efi": uki(f"x=PARTUUID={PART_UUID(3)}")}),
    # It may be in what nobody looked into.
    ("partition 1: /loader/entries/a.conf, for all that can be read of it", "", {"loader/entries/a.conf": "#" * (8 << 20) + "\n"}),
    ("partition 1: /grub2/grub.cfg", "", {"grub2/grub.cfg": "#" * (2 << 20) + f"\nlinux /k root=PARTUUID={PART_UUID(3)}\n"}),
    ("for all that can be read of it", "", {f"loader/entries/{n}.conf": "" for n in range(4097)})])
def test_uuid_that_is_named(place, where, fstab, boot):
    disk = var_disk(place, fstab, boot=boot)
    before = makedisk.digest(disk)
    result = tag(place, "apply", "disk.raw", "root=2", "var=3", status=3)
    assert where in result.err and "--force" in result.err, result
    assert makedisk.digest(disk) == before
    tag(place, "apply", "disk.raw", "root=2", "var=3", "--force", "--no-check", status=0)
    assert partitions(disk)[2]["uuid"].lower() == var_uuid(MACHINE_ID)


@pytest.mark.parametrize("content, files, where", [
    ("ext2", {"etc/fstab": f"PARTUUID={PART_UUID(3)} /var ext4 defaults 0 0\n"}, "partition 2: /etc/fstab"),
    ("ext3", {"grub2/grub.cfg": f"linux /k root=PARTUUID={PART_UUID(3)}\n"}, "partition 2: /grub2/grub.cfg"),
    ("ext4", {"boot/grub/grub.cfg": f"linux /k root=PARTUUID={PART_UUID(3)}\n"}, "partition 2: /boot/grub/grub.cfg"),
    ("btrfs", {"etc/fstab": f"PARTUUID={PART_UUID(3)} /var ext4 defaults 0 0\n"}, "partition 2: /etc/fstab"),
    ("btrfs", {"boot/loader/entries/a.conf": f"options root=PARTUUID={PART_UUID(3)}\n"}, "partition 2: /boot/loader/entries/a.conf")])
def test_uuid_that_is_named_in_what_nobody_typed(place, content, files, where):
    """No root is typed, so that there is no tree: the disk has it all the same."""
    disk = makedisk.make(place / "disk.raw", [
        Partition(content="vfat", type=makedisk.ESP), Partition(content=content, size=128, files=files), Partition(content="ext4", size=16)])
    before = makedisk.digest(disk)
    words = ["apply", "disk.raw", "var=3", f"--machine-id={MACHINE_ID}", "--no-check"]
    assert where in tag(place, *words, status=3).err
    assert makedisk.digest(disk) == before
    tag(place, *words, "--force", status=0)
    assert partitions(disk)[2]["uuid"].lower() == var_uuid(MACHINE_ID)


def test_uuid_named_fires(place):
    """An installer must not stop over what was only detected."""
    var_disk(place, f"PARTUUID={PART_UUID(3)} /var ext4 x 0 0\n")
    result = tag(place, "plan", "disk.raw", "--json", status=1)
    assert changes(result, "uuid") == {} and types_planned(result)[2] == "root-x86-64"
    assert "uuid-named" in codes(result)


def test_uuid_named_silent(place):
    var_disk(place, f"UUID={FS_UUID(3)} /var ext4 x 0 0\nPARTUUID={PART_UUID(1)} /boot/efi vfat x 0 0\n")
    assert "uuid-named" not in codes(tag(place, "plan", "disk.raw", "--json", status=1))


def test_uuid_that_another_has(place):
    disk = var_disk(place)
    makedisk.run("sgdisk", f"--partition-guid=1:{var_uuid(MACHINE_ID)}", disk)
    assert "partition 1" in tag(place, "plan", "disk.raw", "root=2", "var=3", status=3).err


@pytest.mark.parametrize("flags, bits", [("read-only", 60), ("growfs", 59), ("no-auto", 63)])
def test_flags(place, flags, bits):
    disk = makedisk.simple(place / "disk.raw")
    tag(place, "apply", "disk.raw", f"home=3,{flags}", "--no-check", status=0)
    told = makedisk.run("sgdisk", "--info=3", disk)
    assert f"Attribute flags: {1 << bits:016X}" in told, told
    tag(place, "apply", "disk.raw", "same=3," + {"no-auto": "auto"}.get(flags, f"no-{flags}"), "--no-check", status=0)
    assert "Attribute flags: 0000000000000000" in makedisk.run("sgdisk", "--info=3", disk)


@pytest.mark.parametrize("word", ["swap=4,growfs", "swap=4,read-only", "esp=1,growfs"])
def test_flag_without_meaning_fires(place, word):
    makedisk.simple(place / "disk.raw")
    assert "flag-without-meaning" in codes(tag(place, "plan", "disk.raw", word, "--json"))


@pytest.mark.parametrize("word", ["swap=4,no-auto", "home=3,growfs", "root:x86_64=2,read-only", "swap=4,no-growfs"])
def test_flag_without_meaning_silent(place, word):
    makedisk.simple(place / "disk.raw")
    assert "flag-without-meaning" not in codes(tag(place, "plan", "disk.raw", word, "--json"))


def test_several_architectures(place):
    disk = makedisk.make(place / "disk.raw", [Partition(content="ext4", size=16, files=system(arch=arch))
                                             for arch in ("x86_64", "aarch64", "riscv64")])
    tag(place, "apply", "disk.raw", "root:x86_64=1", "root:aarch64=2,no-auto", "root:riscv64=3", "--names", "--no-check",
        status=0)
    assert [part["name"] for part in partitions(disk)] == ["root-x86-64", "root-arm64", "root-riscv64"]
    tag(place, "apply", "disk.raw", "linux-generic=2", "--no-check", status=0)
    assert partitions(disk)[1]["type"].lower() == makedisk.GENERIC


def test_names_as_systemd_repart_gives_them(place):
    """systemd-repart makes a disk, names and all; the same without names is named the same by us."""
    if not shutil.which("systemd-repart", path="/usr/bin:/usr/sbin"):
        pytest.skip("systemd-repart is not here: install systemd-repart or systemd-container")
    types = ["esp", "xbootldr", "root", "root-arm64", "usr-riscv64", "root-verity", "home", "srv", "var", "tmp",
             "swap", "swap", "swap", "linux-generic", "linux-generic"]
    definitions = place / "repart.d"
    definitions.mkdir()
    for number, name in enumerate(types):
        (definitions / f"{number:02}.conf").write_text(f"[Partition]\nType={name}\nSizeMinBytes=10M\nSizeMaxBytes=10M\n")
    disk = place / "disk.raw"
    makedisk.run("systemd-repart", "--empty=create", "--size=1G", "--dry-run=no", f"--definitions={definitions}", disk)
    names = [part["name"] for part in partitions(disk)]
    assert len(set(names)) == len(types)
    makedisk.run("sgdisk", *[f"--change-name={number}:" for number in range(1, len(types) + 1)], disk)
    assert not any(part.get("name") for part in partitions(disk))
    tag(place, "apply", "disk.raw", "esp=1", "--names", "--no-check", status=0)
    assert [part["name"] for part in partitions(disk)] == names


# --- validatefs -----------------------------------------------------------------------------------------

ROOT = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"


def with_attributes(place, content, attributes):
    """A disk whose root file system has extended attributes on its root directory."""
    disk = makedisk.make(place / "disk.raw", [Partition(content=content, size=160, files=system())])
    needs_mount()
    with makedisk.attached(disk, 1) as node, makedisk.mounted_node(node) as top:
        for name, value in attributes.items():
            os.setxattr(top, f"user.validatefs.{name}", value)
    return disk


@pytest.mark.parametrize("content", ["ext4", "btrfs"])
@pytest.mark.parametrize("attributes, words, passes", [
    ({"gpt_type_uuid": ROOT.encode()}, ["root=1"], True),
    ({"gpt_type_uuid": ROOT.upper().encode() + b"\0"}, ["root=1"], True),
    ({"gpt_type_uuid": b"b921b045-1df0-41c3-af44-4c6f280d3fae\0" + ROOT.encode() + b"\0"}, ["root=1"], True),
    ({"gpt_type_uuid": ROOT.encode()}, ["root:aarch64=1"], False),
    ({"gpt_type_uuid": ROOT.encode()}, ["home=1"], False),
    ({"gpt_type_uuid": b""}, ["root=1"], False),
    ({"mount_point": b"/"}, ["root=1"], True),
    ({"mount_point": b"/home\0/srv"}, ["srv=1"], True),
    ({"mount_point": b"/home\0/srv"}, ["root=1"], False),
    ({"gpt_label": b"system"}, ["root=1"], True),
    ({"gpt_label": b"system"}, ["root=1", "--names"], False),
    ({"gpt_label": b"system\0root-x86-64"}, ["root=1", "--names"], True)])
def test_validatefs(place, content, attributes, words, passes):
    disk = with_attributes(place, content, attributes)
    before = makedisk.digest(disk)
    result = tag(place, "plan", "disk.raw", *words, "--json", status=1 if passes else 3)
    if passes:
        return
    assert next(iter(attributes)) in result.err and "--force" in result.err
    assert tag(place, "apply", "disk.raw", *words, status=3) and makedisk.digest(disk) == before
    tag(place, "apply", "disk.raw", *words, "--force", "--no-check", status=0)
    assert makedisk.digest(disk) != before


def test_var_as_systemd_derives_it(place):
    """systemd's own answer for this machine id."""
    if not shutil.which("systemd-id128", path="/usr/bin"):
        pytest.skip("systemd-id128 is not here")
    file = place / "machine-id"
    file.write_text(MACHINE_ID + "\n")
    told = makedisk.run("bwrap", "--ro-bind", "/", "/", "--ro-bind", file, "/etc/machine-id", "systemd-id128",
                        "machine-id", "--uuid", "--app-specific=4d21b016-b534-45c2-a9fb-5c16e091fd2d")
    assert told.strip().lower() == var_uuid(MACHINE_ID)


# --- What is no raw disk --------------------------------------------------------------------------------

@pytest.mark.parametrize("format, options, name", [
    ("qcow2", "", "qcow2"), ("vmdk", "", "VMDK"), ("vmdk", "subformat=streamOptimized", "VMDK"),
    ("vmdk", "subformat=monolithicFlat", "VMDK"), ("vdi", "", "VDI"), ("vpc", "", "VHD"),
    ("vpc", "subformat=fixed", "VHD"), ("vhdx", "", "VHDX"), ("qed", "", "QED"), ("parallels", "", "Parallels")])
def test_other_image_formats(place, format, options, name):
    if not shutil.which("qemu-img", path="/usr/bin"):
        pytest.skip("qemu-img is not here: install qemu-utils")
    makedisk.simple(place / "disk.raw")
    image = place / "other.img"
    makedisk.run("qemu-img", "convert", "-O", format, *(["-o", options] if options else []), place / "disk.raw", image)
    before = makedisk.digest(image)
    for words in (["show"], ["plan"], ["apply", "root=2"], ["check"]):
        told = tag(place, words[0], "other.img", *words[1:], status=3).err
        assert name in told and "qemu-img convert" in told, told
        # what it says to type gives a disk
        command = told[told.index("qemu-img convert"):].split("`")[0].split()
    assert makedisk.digest(image) == before
    subprocess.run(command, cwd=place, check=True)
    assert types_planned(tag(place, "plan", "other.img.raw", "home=3", "--json", status=1)) == {3: "home"}


def test_iso(place):
    with open(place / "cd.iso", "wb") as file:
        file.truncate(4 * makedisk.MIB)
        file.seek(32768)
        file.write(b"\x01CD001\x01")
    assert "ISO 9660" in tag(place, "show", "cd.iso", status=3).err


# --- Bounds ---------------------------------------------------------------------------------------------

MOST_MEMORY = 32 * 1024  # KiB
MOST_READ = 2 * makedisk.MIB

# A small process in between: what was in memory before exec(2) counts too.
MEASURE = """import os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], dict(os.environ))
_, status, used = os.wait4(pid, 0)
open("/d/memory", "w").write(str(used.ru_maxrss))
sys.exit(os.waitstatus_to_exitcode(status) % 256)"""


def measured(place, *words):
    """dps-tag with its peak memory, in KiB."""
    result = tag(place, *words, prefix=("python3", "-S", "-E", "-c", MEASURE))
    result.memory = int((place / "memory").read_text())
    (place / "memory").unlink()
    assert result.memory < MOST_MEMORY, f"{words}: {result.memory} KiB"
    return result


def is_clear(result):
    """A status of the contract, and with 3 one line that says what and why."""
    assert result.status in (0, 1, 3), result
    if result.status == 3:
        assert result.err.startswith("dps-tag: ") and result.err.count("\n") == 1 and ": " in result.err[9:], result


COMMANDS = [["show"], ["plan"], ["check"], ["plan", "root=2", "var=3", "--names"], ["apply", "--no-check"]]


def damaged_disk(place):
    """One of each that is read: FAT with entries, ext4, btrfs."""
    return makedisk.make(place / "whole.raw", [
        Partition(content="vfat", size=34, files={"loader/entries/a.conf": "title a\n", "EFI/Linux/a.efi": uki("quiet")}),
        Partition(content="ext4", size=16, files=system(f"UUID={FS_UUID(2)} / ext4 x 0 0\nUUID=ABCD-0001 /boot vfat x 0 0\n")),
        Partition(content="btrfs", size=128, files={f"file{number}": "x" * number for number in range(200)})])


def hold(place, disk):
    """Every command on a damaged disk: a clear answer, little memory, and not one byte changed by a failure."""
    before = makedisk.digest(disk)
    for words in COMMANDS:
        result = measured(place, words[0], disk.name, *words[1:], "--quiet")
        is_clear(result)
        if words[0] != "apply" or result.status == 3:
            assert makedisk.digest(disk) == before, words


def test_cut_images(place):
    whole = damaged_disk(place)
    size = whole.stat().st_size
    sizes = [0, 1, 511, 512, 513, 1023, 1024, 1536, 16384, 17408, makedisk.MIB, makedisk.MIB + 512, 40 * makedisk.MIB,
             makedisk.MIB * 60, size - makedisk.MIB * 10, size - 17408, size - 513, size - 512, size - 1]
    for cut in sizes:
        disk = place / "cut.raw"
        shutil.copyfile(whole, disk)
        os.truncate(disk, cut)
        hold(place, disk)


@pytest.mark.parametrize("seed", range(5))
def test_flipped_images(place, seed):
    import random
    chance = random.Random(seed)
    whole = damaged_disk(place)
    used = []
    with open(whole, "rb") as file:
        data = file.read()
    used = [at for at in range(0, len(data), 512) if data[at:at + 512].strip(b"\0")]
    spots = {"table": [at for at in used if at < makedisk.MIB or at > len(data) - makedisk.MIB], "content": used}
    for name in ("table", "content", "content"):
        flipped = bytearray(data)
        for _ in range(chance.choice([1, 8, 200])):
            flipped[chance.choice(spots[name]) + chance.randrange(512)] ^= 1 << chance.randrange(8)
        disk = place / "flipped.raw"
        disk.write_bytes(flipped)
        hold(place, disk)


def test_links_that_loop(place):
    tree = place / "tree"
    makedisk.write_tree(tree, {"etc/": None, "usr/bin/": None})
    shutil.rmtree(tree / "etc/", ignore_errors=True)
    (tree / "etc").mkdir()
    for name, where in {"etc/os-release": "os-release", "etc/fstab": "../etc/fstab", "usr/lib": "../usr/lib",
                        "usr/bin/bash": "sh", "usr/bin/sh": "bash", "bin": "../../../../bin", "sbin": "/sbin"}.items():
        os.symlink(where, tree / name)
    for content in ("ext4", "btrfs"):
        inside = place / "inside"
        inside.unlink(missing_ok=True)
        with open(inside, "wb") as file:
            file.truncate(128 * makedisk.MIB)
        makedisk.run(*{"ext4": ["mkfs.ext4", "-q", "-F", "-d", tree], "btrfs": ["mkfs.btrfs", "-q", "--rootdir", tree]}[content],
                     inside)
        disk = makedisk.make(place / "disk.raw", [Partition(size=128)])
        makedisk.copy_into(disk, inside, makedisk.MIB)
        before = makedisk.digest(disk)
        for words in (["plan"], ["plan", "root=1"], ["check"]):
            is_clear(measured(place, words[0], "disk.raw", *words[1:]))
        assert "root=1" in tag(place, "plan", "disk.raw", status=3).err
        assert makedisk.digest(disk) == before


@pytest.mark.parametrize("content", ["ext4", "btrfs"])
def test_little_is_read_of_a_large_image(place, content):
    disk = place / "disk.raw"
    makedisk.make(disk, [Partition(content="vfat", type=makedisk.ESP, size=512), Partition(size=19000),
                         Partition(size=512, content="swap")])
    inside = place / "inside"
    with open(inside, "wb") as file:
        file.truncate(19000 * makedisk.MIB)
    tree = place / "tree"
    makedisk.write_tree(tree, system())
    makedisk.run(*{"ext4": ["mkfs.ext4", "-q", "-F", "-d", tree], "btrfs": ["mkfs.btrfs", "-q", "--rootdir", tree]}[content],
                 inside)
    makedisk.copy_into(disk, inside, 513 * makedisk.MIB)
    inside.unlink()
    for words in (["show"], ["plan"], ["check"], ["apply", "--no-check", "--names"]):
        measured(place, words[0], "disk.raw", *words[1:])
    if not shutil.which("strace"):
        pytest.skip("strace is not here")
    trace = place / "trace"
    subprocess.run(["strace", "-f", "-P", disk, "-e", "trace=read,pread64,readv,preadv,preadv2,mmap", "-o", trace,
                    BUILD / "cli/dps-tag", "show", disk], check=True, capture_output=True)
    n = 0
    for line in trace.read_text().splitlines():
        assert "mmap(" not in line, line
        told = line.rsplit("= ", 1)[-1].split()[0] if "= " in line else "0"
        n += int(told) if told.isdigit() else 0
    assert 0 < n < MOST_READ, f"{n} bytes"


def test_check_of_an_image_asks_the_system_in_it(place):
    """What is wrong for the system that is on the disk, without anybody saying which that is."""
    makedisk.make(place / "disk.raw", [
        Partition(content="vfat", type=makedisk.ESP),
        Partition(content="ext4", type=makedisk.ROOT_X86_64, files=system(arch="aarch64"))])
    found = tag(place, "check", "disk.raw", "--json").json["disks"][0]["findings"]
    assert [finding["partition"] for finding in found if finding["code"] == "root-foreign-arch"] == [2]
