# SPDX-License-Identifier: LGPL-2.1-or-later
"""What we say systemd will discover, held against systemd itself.

systemd-gpt-auto-generator runs in a mount namespace whose / is a partition of the disk, with an fstab,
directories, a command line and a loader's variable made up by chance; udev's blkid builtin is asked
which root it takes; systemd-dissect which partition has the slot of its type.  LIBDPS_SYSTEMDS names
directories with other versions ("./dev systemds" unpacks them); without it the host's is asked.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import typing
import uuid

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "data"))
import makedisk
from makedisk import MIB, Partition

TOOL = os.environ["DISCOVER_TOOL"]
MACHINE_ID = "3d1219c7c4c5404aaa1f6d2a48adfda4"
VARIABLE = "LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
GENERATOR = "lib/systemd/system-generators/systemd-gpt-auto-generator"
ROOT_X86 = "44479540-f297-41b2-9af7-d131d5f0458a"
TYPES = {
    "home": "933ac7e1-2eb4-4f13-b844-0e14e2aef915",
    "srv": "3b8f8425-20e0-4f3b-907f-1a25a76f98e8",
    "var": "4d21b016-b534-45c2-a9fb-5c16e091fd2d",
    "tmp": "7ec6f557-3bc5-4aca-b293-16ef5df639d1",
    "swap": "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f",
    "esp": makedisk.ESP,
    "xbootldr": makedisk.XBOOTLDR,
}
PLACES = ("/home", "/srv", "/var", "/var/tmp", "/boot", "/efi")
LABELS = ("", "a", "b", "foo_9", "foo_10", "foo_10~rc1", "Fedora", "1", "_empty", "x-1", "x^1", "x.1")


@functools.lru_cache(maxsize=None)
def systemds() -> dict[str, str]:
    """Version to the directory above its /usr."""
    found = {}
    for tree in ["/", *os.environ.get("LIBDPS_SYSTEMDS", "").split()]:
        if not pathlib.Path(tree, "usr", GENERATOR).exists():
            continue
        names = [*pathlib.Path(tree, "usr/lib").glob("**/systemd/libsystemd-shared-*.so")]
        match = names and re.search(r"shared-(\d+)", names[0].name)
        if match:
            found[match[1]] = tree
    return found


@functools.lru_cache(maxsize=None)
def why_not() -> str | None:
    if not makedisk.can_mount():
        return "SKIP: needs root and loop devices"
    done = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    return "SKIP: no mount namespaces here" if done.returncode else None


VERSIONS = sorted(systemds()) or [pytest.param("none", marks=pytest.mark.skip(reason="SKIP: no systemd here"))]

# $1 the tree of systemd, $2 where the root is mounted, $3 a PARTUUID or "-" for a boot by BIOS, $4 in
# the initrd or not, $5 the command line, $6 what is run there.
ROOT = r"""
set -e
mount --make-rprivate /
cd "$2"
for name in usr proc sys dev run tmp old etc; do mkdir -p $name; done
for name in lib lib64 bin sbin; do ln -sfn usr/$name $name; done
mount --bind /usr usr
mount --rbind /proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs none run
mount -t tmpfs none sys/firmware
mkdir run/normal run/early run/late run/tree
mount --bind "$1/usr" run/tree
if [ "$3" != - ]; then
	mkdir -p sys/firmware/efi/efivars
	python3 - "$3" sys/firmware/efi/efivars/VARIABLE <<'P'
import sys
open(sys.argv[2], "wb").write(b"\6\0\0\0" + (sys.argv[1].upper() + "\0").encode("utf-16-le"))
P
fi
/usr/sbin/pivot_root . old
umount -l /old
export SYSTEMD_IN_INITRD=$4 SYSTEMD_PROC_CMDLINE="$5" SYSTEMD_LOG_LEVEL=debug SYSTEMD_LOG_TARGET=console
theirs() { /run/tree/lib64/ld-linux-x86-64.so.2 --library-path \
	/run/tree/lib/x86_64-linux-gnu:/run/tree/lib/x86_64-linux-gnu/systemd:/run/tree/lib/systemd "/run/tree/$@"; }
eval "$6"
""".replace("VARIABLE", VARIABLE)


class Attached:
    """An image on a loop device, with a node for each partition."""

    def __init__(self, image: pathlib.Path):
        self.image = image

    def __enter__(self) -> "Attached":
        self.node = makedisk.run("losetup", "--find", "--show", "--partscan", self.image).strip()
        makedisk.run("partx", "--update", self.node)  # kernels that do not look for GPTs
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["partx", "--delete", self.node], env=makedisk.path_of_tools(), capture_output=True, check=False)
        makedisk.run("losetup", "--detach", self.node)

    def run(self, tree: str, root: int, loader: str, in_initrd: bool, cmdline: str, command: str) -> tuple[str, str]:
        with makedisk.mounted_node(f"{self.node}p{root}") as place:
            done = subprocess.run(
                ["unshare", "--mount", "bash", "-c", ROOT, "root", tree, place, loader, str(int(in_initrd)), cmdline, command],
                env=makedisk.path_of_tools(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout, done.stderr


def units_of(text: str, node: str) -> dict[int, str]:
    """Partition to where it is mounted, of the units that a generator wrote."""
    found = {}
    for one in text.split("==> "):
        what = re.search(rf"^What=(?:{node}p|/dev/disk/by-diskseq/\d+-part)(\d+)$", one, re.MULTILINE)
        where = re.search(r"^Where=(\S+)$", one, re.MULTILINE)
        if what:
            found[int(what[1])] = where[1] if where else "swap"
    return found


SHOW = "for f in $(find /run/late /run/normal -name '*.mount' -o -name '*.swap'); do [ -f $f ] && [ ! -L $f ] && echo \"==> $f\" && cat $f; done; true"


def ours(image: pathlib.Path, version: str, *words: str) -> dict[int, dict]:
    done = subprocess.run([TOOL, image, f"version={version}", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = {}
    for line in done.stdout.splitlines():
        number, role, use, place, reason, steps = line.split("\t")
        rows[int(number)] = {"role": role, "use": use, "place": place, "reason": reason,
                             "steps": dict(step.split("=") for step in steps.split())}
    return rows


def var_uuid() -> str:
    raw = bytearray(hmac.new(uuid.UUID(MACHINE_ID).bytes, uuid.UUID(TYPES["var"]).bytes, hashlib.sha256).digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(raw)))


def uuid_of(number: int) -> str:
    return f"{number:08x}-1111-4222-8333-444444444444"


def by_chance(dice: random.Random) -> dict:
    """A disk and a situation; the first partition is the root that is mounted."""
    parts = [Partition(size=4, type=makedisk.ROOT_X86_64, content="ext4")]
    for role in ("esp", "esp", "xbootldr", "xbootldr", "home", "home", "srv", "var", "tmp", "swap", "swap"):
        if dice.random() < 0.45:
            continue
        attrs = dice.choice(["", "", "", "GUID:63", "GUID:60", "NoBlockIOProtocol" if role == "esp" else "GUID:59"])
        content, mkfs = {"swap": "swap", "esp": "vfat", "xbootldr": dice.choice(["vfat", "ext4"])}.get(role, "ext4"), ()
        if content == "vfat":
            mkfs = ("-F12",)
        elif content == "ext4" and dice.random() < 0.15:
            mkfs = ("-t", "ext2")
        elif role in ("home", "srv") and dice.random() < 0.1:
            content = None
        parts.append(Partition(size=1, type=TYPES[role], content=content, mkfs=mkfs, attrs=attrs,
                               name=dice.choice(["", "", "x", "_empty"]),
                               uuid=var_uuid() if role == "var" and dice.random() < 0.7 else None))
    lines = [line for line in ("/dev/x /home ext4", "/dev/x /srv ext4", "/dev/x none swap", "/dev/x /boot ext4",
                               "/dev/x /efi vfat", "/dev/x /boot/efi vfat", "/dev/x /var ext4") if dice.random() < 0.1]
    esps = [number for number, part in enumerate(parts, 1) if part.type == makedisk.ESP]
    if esps and dice.random() < 0.1:
        lines.append(f"PARTUUID={uuid_of(esps[0])} /mnt vfat")
    return {
        "parts": parts,
        "fstab": "".join(f"{line} defaults 0 0\n" for line in lines),
        "directories": {place: dice.choice(["empty", "empty", "missing", "busy"]) for place in PLACES},
        "loader": dice.choice(["-", "esp", "esp", "xbootldr", "other"]),
        "cmdline": dice.choice(["quiet", "quiet", "quiet", "systemd.gpt_auto=0", f"root=PARTUUID={uuid_of(1)}",
                                "systemd.swap=0", "rd.systemd.gpt_auto=0"]),
    }


def set_up(attached: Attached, case: dict) -> None:
    """Directories, fstab and machine id of the root."""
    states = case["directories"]
    if states["/var/tmp"] != "missing":
        states["/var"] = "busy"  # the directory is in it
    elif states["/var"] == "missing":
        states["/var/tmp"] = "missing"
    with makedisk.mounted_node(f"{attached.node}p1") as place:
        (place / "etc").mkdir()
        (place / "etc/fstab").write_text(case["fstab"])
        (place / "etc/machine-id").write_text(MACHINE_ID + "\n")
        for name, state in states.items():
            path = place / name[1:]
            if state != "missing":
                path.mkdir(parents=True, exist_ok=True)
            if state == "busy":
                (path / ".hidden").write_text("")


def pick(parts: list[Partition], role: str, version: int) -> int:
    """The first that has the slot, for the loader's variable."""
    for number, part in enumerate(parts, 1):
        hidden = "NoBlockIO" in part.attrs if role == "esp" else "GUID:63" in part.attrs
        if part.type == TYPES[role] and not hidden and not (version >= 258 and part.name == "_empty"):
            return number
    return 0


def compare(version: str, case: dict, tmp_path: pathlib.Path) -> dict[int, dict]:
    """The units that the generator writes are those that we say, at the same places."""
    number = pick(case["parts"], case["loader"], int(version)) if case["loader"] in TYPES else 0
    image = makedisk.make(tmp_path / "disk.raw", case["parts"])
    case.get("after", lambda _: None)(image)
    loader = "-" if case["loader"] == "-" else uuid_of(number or 99)
    with Attached(image) as attached:
        set_up(attached, case)
        text, log = attached.run(systemds()[version], 1, loader, False, case["cmdline"],
                                 f"theirs {GENERATOR} /run/normal /run/early /run/late || true; {SHOW}")
        theirs = units_of(text, attached.node)
    (tmp_path / "fstab").write_text(case["fstab"])
    words = [f"{state}={place}" for place, state in case["directories"].items() if state != "empty"]
    if loader != "-":
        words += ["efi=yes"] + ([f"loader={case['loader']}"] if number else [])
    rows = ours(image, version, f"fstab={tmp_path}/fstab", f"machine-id={MACHINE_ID}", f"cmdline={case['cmdline']}", *words)
    expected = {}
    for partition, row in rows.items():
        # What is found to be encrypted is mounted from elsewhere.
        looks = row["role"] != "esp" and (row["role"] != "xbootldr" or int(version) < 259)
        if row["role"] in ("root", "usr") or looks and case["parts"][partition - 1].content == "crypto_LUKS":
            continue
        # It writes units for what fstab overrides, and for what cannot be mounted.
        passed = {"content", "vfat"} | ({"fstab"} if row["role"] in ("home", "srv", "var", "tmp") else set())
        if all(result == "pass" or rule in passed or (int(version) >= 258 and rule == "file-system")
               for rule, result in row["steps"].items()):
            expected[partition] = row["place"] if row["place"] != "-" else "swap"
    assert theirs == expected, json.dumps({"case": {**case, "parts": None, "after": None}, "parts": list(map(str, case["parts"])),
                                           "rows": rows, "log": log.splitlines()}, indent=1)
    return rows


@pytest.mark.parametrize("seed", range(int(os.environ.get("DPS_CASES", "6"))))
@pytest.mark.parametrize("version", VERSIONS)
def test_generator(version: str, seed: int, tmp_path: pathlib.Path) -> None:
    if why_not():
        pytest.skip(why_not())
    compare(version, by_chance(random.Random(seed)), tmp_path)


def home(**more: object) -> Partition:
    return Partition(**{"size": 17, "type": TYPES["home"], "content": "ext4", **more})


def xfs_too(*numbers: int) -> typing.Callable[[pathlib.Path], None]:
    """These partitions get the superblock of an xfs beside what they hold: nobody can tell what they are."""
    def change(image: pathlib.Path) -> None:
        xfs = image.with_suffix(".xfs")
        with open(xfs, "wb") as file:
            file.truncate(320 * MIB)
        makedisk.run("mkfs.xfs", "-q", "-f", xfs)
        for number in numbers:
            part = json.loads(makedisk.run("sfdisk", "--json", image))["partitiontable"]["partitions"][number - 1]
            with open(image, "r+b") as file:
                file.seek(part["start"] * 512)
                file.write(xfs.read_bytes()[:512])
    return change


def situation(*parts: Partition, **more: object) -> dict:
    return {"parts": [Partition(size=4, type=makedisk.ROOT_X86_64, content="ext4"), *parts], "fstab": "",
            "directories": {place: "empty" for place in PLACES}, "loader": "-", "cmdline": "quiet", **more}


ESP = Partition(size=1, type=makedisk.ESP, content="vfat", mkfs=("-F12",))
SRV = Partition(size=1, type=TYPES["srv"], content="ext4")
USER_HOME = "773f91ef-66d4-49b5-bd83-d683bf40ad16"
USR_X86, USR_X86_64 = "75250d76-8cc6-458e-bd66-bd47cc81a812", "8484680c-9521-48c6-9c11-b0720656f69e"
ROOT_VERITY = "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5"

# One rule each, that chance seldom meets.
RULES = {
    "slash-behind": lambda: situation(home(size=1), fstab="/dev/x /home/ ext4 defaults 0 0\n"),
    "slash-behind-boot": lambda: situation(ESP, fstab="/dev/x //boot// ext4 defaults 0 0\n"),
    "boot-and-efi": lambda: situation(ESP, fstab="/dev/x /boot ext4 defaults 0 0\n/dev/x /efi ext4 defaults 0 0\n"),
    "efi-alone": lambda: situation(ESP, fstab="/dev/x /efi ext4 defaults 0 0\n"),
    "ambiguous": lambda: situation(SRV, home(), after=xfs_too(3)),
    "ambiguous-second": lambda: situation(home(size=1), home(), after=xfs_too(3)),
    "ambiguous-no-auto": lambda: situation(SRV, home(attrs="GUID:63"), after=xfs_too(3)),
    "ambiguous-user-home": lambda: situation(SRV, home(type=USER_HOME), after=xfs_too(3)),
    "ambiguous-generic": lambda: situation(SRV, home(type=makedisk.GENERIC), after=xfs_too(3)),
    "ambiguous-other-root": lambda: situation(SRV, home(type=makedisk.ROOT_ARM64), after=xfs_too(3)),
    "ambiguous-usr": lambda: situation(SRV, home(type=USR_X86_64), after=xfs_too(3)),
    "ambiguous-usr-of-x86": lambda: situation(SRV, home(type=USR_X86), after=xfs_too(3)),
    "ambiguous-hashes": lambda: situation(SRV, home(type=ROOT_VERITY), after=xfs_too(3)),
    "ambiguous-var": lambda: situation(SRV, home(type=TYPES["var"]), after=xfs_too(3)),
    "ambiguous-swap": lambda: situation(SRV, home(type=TYPES["swap"]), after=xfs_too(3)),
    "ambiguous-esp": lambda: situation(SRV, home(type=makedisk.ESP), after=xfs_too(3)),
    "ambiguous-xbootldr": lambda: situation(SRV, home(type=makedisk.XBOOTLDR), after=xfs_too(3)),
    "luks-xbootldr": lambda: situation(SRV, home(type=makedisk.XBOOTLDR, content="crypto_LUKS")),
    "luks-esp": lambda: situation(SRV, home(type=makedisk.ESP, content="crypto_LUKS")),
    "ext4-esp": lambda: situation(SRV, home(type=makedisk.ESP)),
    "ext2-esp": lambda: situation(SRV, home(type=makedisk.ESP, mkfs=("-t", "ext2"))),
    "blank-esp": lambda: situation(SRV, home(type=makedisk.ESP, content=None)),
    "usr-of-another": lambda: situation(SRV, home(type=USR_X86)),
    "usr-and-usr-of-another": lambda: situation(SRV, home(type=USR_X86), home(type=USR_X86_64)),
    "hashes": lambda: situation(SRV, home(type=ROOT_VERITY)),
    "no-fstab": lambda: situation(ESP, home(size=1), Partition(size=1, type=TYPES["swap"], content="swap"), cmdline="fstab=no",
                                  fstab="/dev/x /boot ext4 defaults 0 0\n/dev/x none swap defaults 0 0\n"),
    "swap-in-fstab": lambda: situation(Partition(size=1, type=TYPES["swap"], content="swap"), fstab="/dev/x /swap swap noauto 0 0\n"),
    "linked-home": lambda: situation(home(size=1), directories={**{place: "empty" for place in PLACES}, "/home": "busy"}),
}


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("version", VERSIONS)
def test_one_rule(version: str, name: str, tmp_path: pathlib.Path) -> None:
    if why_not():
        pytest.skip(why_not())
    rows = compare(version, RULES[name](), tmp_path)
    if name == "slash-behind":
        assert rows[2]["use"] == "overridden"


CMDLINES = ("", "quiet rw", "root=gpt-auto", "root=/dev/sda1", "root=UUID=1 root=gpt-auto", "root=gpt-auto root=UUID=1",
            "root=off", "root=dissect", "root=gpt-auto-force", "systemd.gpt_auto=0", "rd.systemd.gpt_auto=no",
            "systemd.gpt_auto=0 rd.systemd.gpt_auto=1", "rd.systemd.gpt_auto=0 systemd.gpt_auto=1", "systemd.gpt-auto=0",
            "roothash=" + "12" * 32)


@pytest.mark.parametrize("loader", ["esp", "-"])
@pytest.mark.parametrize("version", VERSIONS)
def test_root_of_the_initrd(version: str, loader: str, tmp_path: pathlib.Path) -> None:
    """In the initrd the generator waits for a root by its type, or leaves it alone."""
    if why_not():
        pytest.skip(why_not())
    image = makedisk.make(tmp_path / "disk.raw", [Partition(size=4, type=makedisk.ROOT_X86_64, content="ext4"),
                                                  Partition(size=1, type=makedisk.ESP, content="vfat", mkfs=("-F12",))])
    command = "".join(f"mkdir /run/{i}; SYSTEMD_PROC_CMDLINE={line!r} theirs {GENERATOR} /run/{i} /run/{i} /run/{i} || true; "
                      f"[ -e /run/{i}/sysroot.mount ] && echo found {i}; " for i, line in enumerate(CMDLINES)) + "true"
    with Attached(image) as attached:
        text, log = attached.run(systemds()[version], 1, uuid_of(2) if loader == "esp" else "-", True, "", command)
    theirs = {CMDLINES[int(line.split()[1])] for line in text.splitlines() if line.startswith("found")}
    words = ["efi=yes", "loader=esp"] if loader == "esp" else []
    mounted = {line for line in CMDLINES
               if ours(image, version, f"cmdline={line}", *words)[1]["use"] == "mounted" and "roothash" not in line}
    if loader == "esp":
        assert mounted
    # 258 and newer wait for what root=dissect asks for also when the loader says nothing.
    forced = {line for line in theirs if int(version) >= 258 and loader == "-" and "root=" in line}
    assert theirs - forced == mounted, log


@pytest.mark.parametrize("seed", range(int(os.environ.get("DPS_CASES", "4"))))
@pytest.mark.parametrize("version", VERSIONS)
def test_root_that_udev_takes(version: str, seed: int, tmp_path: pathlib.Path) -> None:
    """The blkid builtin picks root, by the loader's word, types, flags and labels."""
    if why_not():
        pytest.skip(why_not())
    tree = systemds()[version]
    if not pathlib.Path(tree, "usr/bin/udevadm").exists():
        pytest.skip(f"SKIP: no udevadm in {tree}")
    dice = random.Random(1000 + seed)
    parts = [Partition(size=4, type=makedisk.GENERIC, content="ext4"), Partition(size=1, type=makedisk.ESP, content="vfat", mkfs=("-F12",))]
    for _ in range(dice.randrange(1, 5)):
        parts.append(Partition(size=1, type=dice.choice([makedisk.ROOT_X86_64] * 3 + [ROOT_X86]), content="ext4",
                               name=dice.choice(LABELS), attrs=dice.choice(["", "", "GUID:63"])))
    image = makedisk.make(tmp_path / "disk.raw", parts)
    known = dice.random() < 0.8
    with Attached(image) as attached:
        text, log = attached.run(tree, 1, uuid_of(2 if known else 99), True, "",
                                 f"theirs bin/udevadm test-builtin blkid /sys/class/block/{pathlib.Path(attached.node).name} 2>&1; true")
    match = re.search(r"ID_PART_GPT_AUTO_ROOT_UUID=(\S+)", text)
    theirs = match[1].lower() if match else None
    rows = ours(image, version, "efi=yes", *(["loader=esp"] if known else []))
    mounted = [number for number, row in rows.items() if row["role"] == "root" and row["use"] == "mounted"]
    assert theirs == (uuid_of(mounted[0]) if mounted else None), f"{[str(part) for part in parts]}\n{rows}\n{text}{log}"


@pytest.mark.parametrize("seed", range(int(os.environ.get("DPS_CASES", "4"))))
def test_slots_of_dissect(seed: int, tmp_path: pathlib.Path) -> None:
    """systemd-dissect takes the same partition of each type; it asks no machine id, and 252 takes "_empty"."""
    if os.geteuid() != 0 or not shutil.which("systemd-dissect"):
        pytest.skip("SKIP: needs root and systemd-dissect")
    dice = random.Random(2000 + seed)
    parts = [Partition(size=4, type=makedisk.ROOT_X86_64, content="ext4", files=makedisk.TREE)]
    for role in ("root", "root", "esp", "esp", "xbootldr", "home", "home", "srv", "srv", "var", "tmp", "tmp", "swap", "swap"):
        if dice.random() < 0.4:
            continue
        parts.append(Partition(size=1, type=TYPES.get(role, makedisk.ROOT_X86_64), name=dice.choice(LABELS[:8]),
                               content={"esp": "vfat", "xbootldr": "vfat", "swap": "swap"}.get(role, "ext4"),
                               mkfs=("-F12",) if role in ("esp", "xbootldr") else (),
                               uuid=var_uuid() if role == "var" else None,
                               attrs=dice.choice(["", "", "GUID:63", "NoBlockIOProtocol"])))
    dice.shuffle(parts)
    image = makedisk.make(tmp_path / "disk.raw", parts)
    done = subprocess.run(["systemd-dissect", "--json=short", image], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"SKIP: systemd-dissect does not work here: {done.stderr.strip()}")
    theirs = {row["designator"]: row["partno"] for row in json.loads(done.stdout)["mounts"]}
    rows = ours(image, "252", f"machine-id={MACHINE_ID}")
    slots = {row["role"]: number for number, row in rows.items() if row["steps"].get("slot") == "pass" and
             "fail" not in (row["steps"].get("no-auto"), row["steps"].get("no-block-io"))}
    assert theirs == slots, (list(map(str, parts)), rows)


@pytest.mark.parametrize("version", VERSIONS)
def test_names_of_luks(version: str, tmp_path: pathlib.Path) -> None:
    """Under which names it opens what is encrypted: crypttab-name-clash compares with these."""
    if why_not():
        pytest.skip(why_not())
    roles = {"home": "home", "tmp": "var-tmp", "swap": "swap"}
    image = makedisk.make(tmp_path / "disk.raw", [Partition(size=4, type=makedisk.ROOT_X86_64, content="ext4"),
                                                  *(Partition(size=17, type=TYPES[role], content="crypto_LUKS") for role in roles)])
    with Attached(image) as attached:
        text, log = attached.run(systemds()[version], 1, "-", False, "", f"theirs {GENERATOR} /run/normal /run/early /run/late; "
                                 "find /run/late -name 'systemd-cryptsetup@*.service' -type f -printf '%f\\n'")
    names = {re.sub(r"\\x2d", "-", name[len("systemd-cryptsetup@"):-len(".service")]) for name in text.split()}
    assert names == set(roles.values()), text + log


def test_no_machine_id_no_var(tmp_path: pathlib.Path) -> None:
    image = makedisk.make(tmp_path / "disk.raw", [Partition(size=1, type=TYPES["var"], content="ext4", uuid=var_uuid())])
    assert ours(image, "257", "machine-id=none")[1]["reason"] == "machine-id"
    assert ours(image, "257", f"machine-id={MACHINE_ID}", "busy=/var")[1]["reason"] == "directory"


def test_versions_compare_as_systemd_analyze_does(tmp_path: pathlib.Path) -> None:
    """The label that wins is the higher one of `systemd-analyze compare-versions`."""
    analyze = shutil.which("systemd-analyze")
    if not analyze:
        pytest.skip("SKIP: no systemd-analyze here")
    labels = [label for label in LABELS if label]
    for left in labels[2:4]:
        for right in labels[4:]:
            done = subprocess.run([analyze, "compare-versions", left, "lt", right], check=False, capture_output=True)
            if done.returncode > 1:
                pytest.skip("SKIP: systemd-analyze compare-versions has other words here")
            image = tmp_path / "disk.raw"
            with open(image, "wb") as file:
                file.truncate(4 * MIB)
            makedisk.write_table(image, [Partition(size=1, type=makedisk.ROOT_X86_64, name=left),
                                         Partition(size=1, type=makedisk.ROOT_X86_64, name=right)], 512)
            rows = ours(image, "257")
            assert (rows[2]["steps"]["slot"] == "pass") == (done.returncode == 0), (left, right)


def test_uuid_of_var_as_systemd_id128_says() -> None:
    if not shutil.which("systemd-id128"):
        pytest.skip("SKIP: no systemd-id128 here")
    with tempfile.TemporaryDirectory() as place:
        pathlib.Path(place, "machine-id").write_text(MACHINE_ID + "\n")
        done = subprocess.run(
            ["unshare", "--mount", "bash", "-c", f"mount --bind {place}/machine-id /etc/machine-id && "
             f"systemd-id128 machine-id -u --app-specific={TYPES['var'].replace('-', '')}"],
            capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"SKIP: {done.stderr.strip()}")
    assert done.stdout.strip() == var_uuid()
