# SPDX-License-Identifier: LGPL-2.1-or-later
"""What check says of disks as others lay them out.

Each row of EXPECTED is a layout of tests/data/layouts.py with all errors and warnings that it gets,
each of which was judged: it is true, and whoever owns such a disk would want to know.  A layout
without a row boots and is as it should be: it gets none.
"""

from __future__ import annotations

import json
import os
import pathlib
import random
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "data"))
import layouts
import makedisk

DPS_TAG = os.environ["DPS_TAG"]

# Nothing that can be read says that fstab mounts it: then systemd 259 does, as vfat.
UNREADABLE_BOOT = ["warning xbootldr-not-fat"]
# True, and what apply sets; each entry has rootflags=subvol=root, so it boots.
NO_DEFAULT = ["warning btrfs-no-default-subvol"]
DOS = ["warning mbr-only"]

EXPECTED: dict[str, list[str]] = {
    "fedora-generic-dos": DOS,
    "fedora-cloud-43": NO_DEFAULT,
    "fedora-cloud-44": NO_DEFAULT,
    "fedora-cloud-dos": DOS,
    "fedora-minimal-raw-dos": DOS,
    "fedora-iot/aarch64": DOS,
    "iot-simplified-installer": UNREADABLE_BOOT,
    "rhel-9": UNREADABLE_BOOT,
    "rhel-oci": UNREADABLE_BOOT,
    "rhel-9-edge": UNREADABLE_BOOT,
    # Faults that were shipped.
    "fedora-cloud-43-wrong-prep": ["error biosboot-as-prep", *NO_DEFAULT],
    "fedora-cloud-44-wrong-prep": ["error biosboot-as-prep", *NO_DEFAULT],
    "fedora-server-qcow2": ["error root-type-on-pv", *UNREADABLE_BOOT],
    "fedora-server-qcow2/ppc64le": ["error biosboot-as-prep", "error root-type-on-pv", *UNREADABLE_BOOT],
    # mkfs.fat makes FAT16 of that size unless it is told.
    "debian-cloud": ["warning esp-not-fat32"],
    # fstab has no umask, and bootctl says so of the random seed, too.
    "opensuse-systemd-boot": ["warning esp-fstab-world-readable"],
    # Its id is Pop_OS-current.conf: systemd-boot starts the first of the menu.
    "pop-os": ["warning loader-conf-default-nomatch"],
}


def check(image: object, *more: object) -> list[dict]:
    done = subprocess.run([DPS_TAG, "check", str(image), *map(str, more), "--json"], capture_output=True, text=True,
                          env=makedisk.path_of_tools(), check=False)
    assert done.returncode in (0, 1), f"{done.returncode}: {done.stdout}{done.stderr}"
    return json.loads(done.stdout)["disks"][0]["findings"]


def of(findings: list[dict], *severities: str) -> list[str]:
    return sorted({f"{f['severity']} {f['code']}" for f in findings if f["severity"] in severities})


def need_what_it_takes(recipe: layouts.Layout) -> None:
    if recipe.needs_subvolumes and not makedisk.can_mount():
        pytest.skip("SKIP: needs root, loop devices and btrfs in the kernel")


@pytest.mark.parametrize("name", layouts.LAYOUTS)
def test_layout(name: str, tmp_path: pathlib.Path) -> None:
    recipe = layouts.LAYOUTS[name]()
    need_what_it_takes(recipe)
    findings = check(recipe.make(tmp_path / "disk.raw"))
    expected = EXPECTED.get(name, EXPECTED.get(name.split("/")[0], []))
    assert of(findings, "error", "warning") == sorted(expected), findings


def test_every_expectation_has_a_layout() -> None:
    names = set(layouts.LAYOUTS) | {name.split("/")[0] for name in layouts.LAYOUTS}
    assert set(EXPECTED) <= names


# --- A dos table ---


def entry(root: str) -> dict:
    return {"loader/entries/a.conf": f"title A\nversion 1\nlinux /vmlinuz\ninitrd /initrd\noptions {root} ro\n",
            "vmlinuz": b"kernel", "initrd": b"initrd"}


def dos(*parts: makedisk.Partition) -> layouts.Layout:
    return layouts.Layout("s390x", list(parts), table="dos")


def boot(root: str, content: str = "ext4", **more: object) -> makedisk.Partition:
    size = {"xfs": 512, "btrfs": 128}.get(content, 64)
    return makedisk.Partition(size=size, type="83", content=content, files=entry(root), **more)


# What the entries of a disk without GPT say decides whether it matters that nothing is discovered.
DOS_DISKS = {
    "root= in every entry": (lambda: dos(boot("root=UUID=1234"), boot("root=/dev/dasda2")), "warning"),
    "an entry without root=": (lambda: dos(boot("root=UUID=1234"), boot("quiet")), "error"),
    "on btrfs": (lambda: dos(boot("quiet", "btrfs")), "error"),
    "a kernel image without root=": (lambda: dos(makedisk.Partition(
        size=64, type="ef", content="vfat", files={"EFI/Linux/a.efi": layouts.uki("x86_64", "quiet")})), "error"),
    "a kernel image with root=": (lambda: dos(makedisk.Partition(
        size=64, type="ef", content="vfat", files={"EFI/Linux/a.efi": layouts.uki("x86_64", "root=LABEL=x")})), "warning"),
    "entries that cannot be read": (lambda: dos(boot("quiet", "xfs")), "warning"),
    "an encrypted system": (lambda: dos(makedisk.Partition(size=32, type="83", content="crypto_LUKS")), "warning"),
    "nothing to boot": (lambda: dos(makedisk.Partition(size=64, type="83", content="ext4")), "error"),
    "swap alone": (lambda: dos(makedisk.Partition(size=64, type="82", content="swap")), "error"),
}


@pytest.mark.parametrize("what", DOS_DISKS)
def test_dos(what: str, tmp_path: pathlib.Path) -> None:
    recipe, severity = DOS_DISKS[what]
    findings = check(recipe().make(tmp_path / "disk.raw"))
    assert [f["severity"] for f in findings if f["code"] == "mbr-only"] == [severity], findings
    assert of(findings, "error") == (["error mbr-only"] if severity == "error" else []), findings


# --- Entries without root= that need none ---

NO_ROOT_NEEDED = {
    "memtest86+ in grub.cfg": "menuentry 'M' {\n\tlinux\t/boot/memtest86+x64.efi console=ttyS0,115200\n}\n",
    "memtest86+ of BIOS": "menuentry 'M' {\n\tlinux16\t/boot/memtest86+.bin\n}\n",
    "iPXE": "menuentry 'I' {\n\tlinux16\t/boot/ipxe.lkrn dhcp\n}\n",
    "casper": "menuentry 'Try' {\n\tlinux\t/casper/vmlinuz boot=casper quiet ---\n\tinitrd /casper/initrd\n}\n",
    "live-boot": "menuentry 'Live' {\n\tlinux\t/live/vmlinuz boot=live components\n\tinitrd /live/initrd\n}\n",
    "archiso": "menuentry 'Arch' {\n\tlinux /arch/vmlinuz archisobasedir=arch archisolabel=X\n\tinitrd /arch/i\n}\n",
    "NixOS": "menuentry 'NixOS' {\n\tlinux ($drive1)//kernels/x init=/nix/store/y/init loglevel=4\n\tinitrd /kernels/i\n}\n",
}
ROOT_NEEDED = {
    "plain": "menuentry 'Other' {\n\tlinux\t/boot/vmlinuz ro quiet\n\tinitrd\t/boot/initrd.img\n}\n",
    "another init": "menuentry 'Other' {\n\tlinux\t/boot/vmlinuz init=/bin/sh\n\tinitrd\t/boot/initrd.img\n}\n",
    "boot= of somebody else": "menuentry 'Other' {\n\tlinux\t/boot/vmlinuz boot=/dev/sda1\n\tinitrd\t/boot/initrd.img\n}\n",
}


def with_menu(text: str, tmp_path: pathlib.Path) -> pathlib.Path:
    """A BIOS disk of Debian's with more in its menu."""
    recipe = layouts.LAYOUTS["debian-bios/x86_64"]()
    recipe.partitions[1].files["boot/grub/grub.cfg"] += text
    return recipe.make(tmp_path / "disk.raw")


@pytest.mark.parametrize("what", NO_ROOT_NEEDED)
def test_entry_that_needs_no_root(what: str, tmp_path: pathlib.Path) -> None:
    findings = check(with_menu(NO_ROOT_NEEDED[what], tmp_path))
    assert of(findings, "error", "warning") == [], findings


@pytest.mark.parametrize("what", ROOT_NEEDED)
def test_entry_that_needs_root(what: str, tmp_path: pathlib.Path) -> None:
    findings = check(with_menu(ROOT_NEEDED[what], tmp_path))
    assert of(findings, "error") == ["error root-missing"], findings


# --- Many at a time ---


def vary(recipe: layouts.Layout, dice: random.Random) -> None:
    """What owners do to a disk that boots, and that takes nothing from it."""
    parts = recipe.partitions
    if dice.random() < 0.4:
        parts.append(makedisk.Partition(size=8, type="82" if recipe.table == "dos" else layouts.SWAP, content="swap")
                     if len(parts) < 4 and not any(part.content == "swap" for part in parts)
                     else makedisk.Partition(size=8, type=parts[-1].type if recipe.table == "dos" else makedisk.GENERIC))
    if recipe.table == "dos" and len(parts) > 4:
        del parts[4:]
    for part in parts if recipe.table == "gpt" else []:
        if part.content in ("ext4", "btrfs", "xfs") and not part.attrs and dice.random() < 0.3:
            part.attrs = dice.choice(["GUID:59", "GUID:60"])
        if not part.name and dice.random() < 0.3:
            part.name = dice.choice(["p", "Linux filesystem", "\u00fcber"]) + str(dice.randrange(100))


def damage(path: pathlib.Path, dice: random.Random) -> None:
    """Bytes by chance: all over, in the table, or at the start of what the partitions hold; or cut off."""
    size = path.stat().st_size
    kind = dice.choice(["anywhere", "table", "contents", "cut", "zeros"])
    with open(path, "r+b") as file:
        if kind == "cut":
            file.truncate(dice.randrange(1, size))
            return
        starts = [row["start"] * 512 for row in makedisk.table(path)["partitions"]]
        for _ in range(dice.choice([1, 20, 400])):
            file.seek({"anywhere": dice.randrange(size), "table": dice.choice([dice.randrange(34 * 512), size - dice.randrange(1, 34 * 512)]),
                       "contents": dice.choice(starts) + dice.randrange(1 << dice.randrange(9, 23)),
                       "zeros": dice.choice(starts) + dice.randrange(1 << dice.randrange(9, 23))}[kind])
            file.write(bytes(512) if kind == "zeros" else dice.randbytes(dice.choice([1, 4, 16])))
    os.truncate(path, size)


def test_many_mixed_images(tmp_path: pathlib.Path) -> None:
    """In one run: no crash, no hang, no false error, and a broken image stops none of the others.

    DPS_IMAGES says how many; ./dev soundness takes a thousand.
    """
    names = [name for name in layouts.LAYOUTS if makedisk.can_mount() or not layouts.LAYOUTS[name]().needs_subvolumes]
    images: dict[str, list[str] | None] = {}
    for seed in range(int(os.environ.get("DPS_IMAGES", "60"))):
        dice = random.Random(seed)
        name = names[seed % len(names)]
        recipe = layouts.LAYOUTS[name]()
        if seed >= len(names):
            vary(recipe, dice)
        path = recipe.make(tmp_path / f"{seed}.raw")
        expected = EXPECTED.get(name, EXPECTED.get(name.split("/")[0], []))
        images[str(path)] = [row for row in expected if row.startswith("error")]
        if seed % 3 == 2:
            damage(path, dice)
            images[str(path)] = None
    done = subprocess.run([DPS_TAG, "check", "--json", "--jobs", "2", *images], capture_output=True, text=True,
                          env=makedisk.path_of_tools(), check=False, timeout=3000)
    assert done.returncode in (0, 1, 3), done.stderr[-2000:]
    disks = {disk["disk"]["path"]: disk["findings"] for disk in json.loads(done.stdout)["disks"]}
    wrong = {path: [f for f in disks.get(path, []) if f["severity"] == "error"] for path, expected in images.items()
             if expected is not None and (path not in disks or of(disks[path], "error") != expected)}
    assert wrong == {}
    # What has no place among the disks is told of by name.
    for path, expected in images.items():
        assert path in disks or pathlib.Path(path).name in done.stderr, path
