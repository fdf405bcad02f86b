#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes seeds of other people's images: make-images.py DIRECTORY [TARGET…]

File systems, tables and programs that mkfs, sfdisk, sgdisk, parted, veritysetup and objcopy made now,
packed (pack.py) into DIRECTORY/TARGET.  A tool that is missing is said, and left out.  Those of them
that are small are in seeds/TARGET.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "data"))
import makedisk
import makepe
import pack

MIB = 1024 * 1024
OSREL = 'ID=test\nNAME="Test OS"\nVERSION_ID=1\n'
FSTAB = "LABEL=root / auto rw 0 1\nLABEL=EFI /efi vfat umask=0077 0 2\n"
ENTRY = "title Test\nversion 1\nlinux /linux\ninitrd /initrd\noptions root=LABEL=root rw quiet\n"
TREE = {"etc/os-release": OSREL, "etc/fstab": FSTAB, "etc/machine-id": "0" * 31 + "1\n", "usr/bin/": None,
        "etc/long name \u00e9.conf": "x" * 3000}
ESP = {
    "EFI/BOOT/BOOTX64.EFI": makepe.uki("quiet"),
    "EFI/Linux/linux-1.efi": makepe.uki("root=PARTUUID=00000002-1111-4222-8333-444444444444 ro"),
    "loader/loader.conf": "default linux-*\ntimeout 3\n",
    "loader/entries/test+3-1.conf": ENTRY,
    "loader/entries.srel": "type1\n",
    "EFI/test/BOOTX64.CSV": "\ufeffshimx64.efi,Test,,x\n".encode("utf-16-le"),
    "linux": b"MZ" + bytes(200), "initrd": b"070701" + bytes(200),
}


def run(*words, **more):
    return makedisk.run(*words, **more)


def sized(path, size):
    with open(path, "wb") as file:
        file.truncate(size)
    return path


def btrfs(place):
    kinds = {
        "crc32c": ("-n", "4096", "-m", "single"),
        "dup": ("-n", "4096", "-m", "dup"),
        "xxhash": ("-n", "4096", "-m", "single", "--csum", "xxhash"),
        "sha256": ("-n", "4096", "-m", "single", "--csum", "sha256"),
        "blake2": ("-n", "4096", "-m", "dup", "--csum", "blake2"),
        "16k": ("-m", "dup",),
        "mixed": ("-n", "4096", "--mixed"),
    }
    for name, words in kinds.items():
        image = sized(place / name, 128 * MIB)
        run("mkfs.btrfs", "-q", "-f", *words, image)
        if name != "mixed" and makedisk.can_mount():
            fill_btrfs(image)
        yield name, image


def fill_btrfs(image):
    with makedisk.mounted(image) as top:
        for name in ("root", "root/inner", "home"):
            run("btrfs", "subvolume", "create", top / name)
        makedisk.write_tree(top / "root", TREE)
        os.symlink("etc/os-release", top / "root/link")
        os.setxattr(top / "root", "user.x", b"value")
        for kind in ("zlib", "lzo", "zstd"):
            path = top / "root" / kind
            path.touch()
            run("btrfs", "property", "set", path, "compression", kind)
            path.write_bytes(b"all the same " * 600)
        (top / "root/hole").write_bytes(b"x")
        os.truncate(top / "root/hole", 100000)
        run("btrfs", "subvolume", "snapshot", "-r", top / "root", top / "snapshot")
        run("btrfs", "subvolume", "set-default", top / "root")


def fat(place):
    kinds = {"12": (1, "-F12"), "16": (4, "-F16", "-s1"), "32": (34, "-F32", "-s1"),
             "cluster": (16, "-F16", "-s4"), "4k": (16, "-F12", "-S4096")}
    for name, (size, *words) in kinds.items():
        part = makedisk.Partition(size=size, content="vfat", label="EFI", files=ESP, mkfs=tuple(words))
        makedisk.make_content(place / name, part, 1)
        yield name, place / name


def ext4(place):
    kinds = {
        "plain": (1, "-t", "ext4", "-b", "1024", "-O", "^metadata_csum,^has_journal,^resize_inode"),
        "sums": (1, "-t", "ext4", "-b", "1024", "-O", "metadata_csum,^has_journal,^resize_inode"),
        "inline": (1, "-t", "ext4", "-b", "1024", "-I", "256", "-O", "inline_data,^metadata_csum,^has_journal"),
        "ext2": (1, "-t", "ext2", "-b", "1024", "-O", "^resize_inode"),
        "journal": (16, "-t", "ext4", "-O", "^metadata_csum"),
        "bigalloc": (16, "-t", "ext4", "-O", "bigalloc,^metadata_csum,^has_journal"),
        "meta_bg": (8, "-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode,^metadata_csum,^has_journal"),
    }
    with tempfile.TemporaryDirectory(prefix="dps-seeds-") as tree:
        makedisk.write_tree(tree, TREE)
        os.symlink("etc/os-release", f"{tree}/link")
        os.symlink("x" * 100, f"{tree}/long-link")
        os.setxattr(f"{tree}/etc", "user.x", b"value")
        os.mkdir(f"{tree}/many")
        for number in range(60):
            pathlib.Path(f"{tree}/many/a-name-that-is-long-{number}").touch()
        for name, (size, *words) in kinds.items():
            image = sized(place / name, size * MIB)
            run("mke2fs", "-q", "-F", "-N", "96", *words, "-d", tree, image)
            yield name, image


def gpt(place):
    parts = [makedisk.Partition(size=1, type=makedisk.ESP, name="EFI"),
             makedisk.Partition(size=1, name="r\u00f6\u00f6t", attrs="GUID:63"), makedisk.Partition(size=1)]
    yield "512", makedisk.make(place / "512", parts)
    yield "4096", makedisk.make(place / "4096", parts, sector_size=4096)
    sgdisk = sized(place / "sgdisk", 3 * MIB)
    run("sgdisk", "-a", "1", "-n", "1:64:127", "-c", "1:one", "-n", "3:128:0", "-t", "3:8304", sgdisk)
    yield "sgdisk", sgdisk
    hybrid = sized(place / "hybrid", 3 * MIB)
    run("sgdisk", "-a", "1", "-n", "1:64:127", "-n", "2:128:0", "-h", "1", hybrid)
    yield "hybrid", hybrid
    big = sized(place / "big", 3 * MIB)
    run("sgdisk", "-a", "1", "-S", "256", "-n", "1:128:200", "-n", "200:300:0", big)
    yield "big", big
    dos = sized(place / "dos", 3 * MIB)
    run("sfdisk", "-q", dos, input="label: dos\nsize=1M, bootable\n")
    yield "dos", dos
    grown = sized(place / "grown", 3 * MIB)
    run("sgdisk", "-a", "1", "-n", "1:64:0", grown)
    os.truncate(grown, 4 * MIB)
    yield "grown", grown
    parted = sized(place / "parted", 3 * MIB)
    run("parted", "-s", parted, "mklabel", "gpt", "mkpart", "x", "1MiB", "2MiB")
    yield "parted", parted


def check(place):
    esp = makedisk.Partition(size=2, type=makedisk.ESP, content="vfat", label="EFI", files=ESP, mkfs=("-F12",))
    ext4 = makedisk.Partition(size=2, type=makedisk.ROOT_X86_64, content="ext4", label="root", files=TREE,
                              mkfs=("-b", "1024", "-O", "^metadata_csum,^has_journal,^resize_inode", "-N", "32"))
    yield "ext4", makedisk.make(place / "ext4", [esp, ext4, makedisk.Partition(size=1, content="swap", label="swap")])
    if makedisk.can_mount():
        root = makedisk.Partition(size=120, type=makedisk.ROOT_X86_64, content="btrfs", label="root", files=TREE,
                                  subvolumes=("root", "home"), default="root", mkfs=())
        yield "btrfs", makedisk.make(place / "btrfs", [esp, root])
    boot = makedisk.Partition(size=2, type=makedisk.XBOOTLDR, content="vfat", label="BOOT", mkfs=("-F12",),
                              files={"loader/entries/a.conf": ENTRY, "linux": b"x", "EFI/Linux/b.efi": makepe.uki("ro")})
    yield "xbootldr", makedisk.make(place / "xbootldr", [esp, boot, ext4])
    yield "4k", makedisk.make(place / "4k", [esp, ext4], sector_size=4096)
    luks = makedisk.Partition(size=20, type=makedisk.ROOT_X86_64, content="crypto_LUKS", label="x")
    image = makedisk.make(place / "luks", [esp, luks, makedisk.Partition(size=1, content="LVM2_member")])
    # The keys of LUKS are noise: 16 MiB of it say no more than none.
    with open(image, "r+b") as file:
        file.seek(3 * MIB + 16384)
        file.write(bytes(18 * MIB))
    run("fallocate", "--dig-holes", image)
    yield "luks", image
    yield from bomb(place)


def bomb(place):
    """A small FAT whose 500 boot entries, or programs, are all the same MiB: no text is that long."""
    kinds = {"entries": ("loader/entries", "conf", b"linux /x\noptions " + b"a " * (500 * 1024)),
             "programs": ("EFI/Linux", "efi", makepe.uki("a " * (500 * 1024)))}
    for name, (directory, suffix, content) in kinds.items():
        files = dict(ESP, **{f"{directory}/entry-{number:03}.{suffix}": b"" for number in range(500)})
        files[f"{directory}/entry-000.{suffix}"] = content
        esp = makedisk.Partition(size=4, type=makedisk.ESP, content="vfat", label="EFI", files=files, mkfs=("-F16", "-s1"))
        image = makedisk.make(place / name, [esp])
        raw = bytearray(image.read_bytes())
        slots = [at for at in range(MIB, len(raw), 32)
                 if raw[at:at + 2] == b"EN" and raw[at + 8:at + 12] == suffix[:3].upper().encode() + b" "]
        full = next(at for at in slots if raw[at + 28:at + 32] != bytes(4))
        for at in slots:
            raw[at + 20:at + 22], raw[at + 26:at + 32] = raw[full + 20:full + 22], raw[full + 26:full + 32]
        image.write_bytes(raw)
        yield f"bomb-{name}", image


def uki(place):
    """Not packed: programs as they are."""
    for name in ("linuxx64.efi.stub", "systemd-bootx64.efi"):
        path = pathlib.Path("/usr/lib/systemd/boot/efi", name)
        if path.exists():
            yield name, path.read_bytes()[:40960]
    stub = pathlib.Path("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")
    if stub.exists():
        (place / "osrel").write_text(OSREL)
        (place / "cmdline").write_text("root=LABEL=x ro")
        (place / "linux").write_bytes(makepe.uki("x"))
        sections = [word for number, name in enumerate(("osrel", "cmdline", "linux"))
                    for word in ("--add-section", f".{name}={place / name}", "--change-section-vma",
                                 f".{name}={0x20000 + 0x10000 * number:#x}")]
        run("objcopy", *sections, stub, place / "uki.efi")
        # The stub's code is of no meaning here.
        yield "objcopy", (place / "uki.efi").read_bytes()


def verity(place):
    data = sized(place / "data", 16 * 4096)
    data.write_bytes(bytes(range(256)) * 256)
    for name, words in {"sha256": (), "sha512": ("--hash", "sha512", "--hash-block-size", "1024")}.items():
        tree = sized(place / "tree", 0)
        run("veritysetup", "format", *words, data, tree)
        yield name, tree.read_bytes()


MAKERS = {"btrfs": btrfs, "btrfs-edit": btrfs, "fat": fat, "ext4": ext4, "gpt": gpt, "gpt-edit": gpt, "check": check,
          "uki": uki, "verity": verity}


def main():
    directory = pathlib.Path(sys.argv[1])
    for target in sys.argv[2:] or MAKERS:
        if target not in MAKERS:
            continue
        (directory / target).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="dps-seeds-") as place:
            try:
                for name, made in MAKERS[target](pathlib.Path(place)):
                    seed = made if isinstance(made, bytes) else pack.pack(made)
                    (directory / target / name).write_bytes(seed)
                    print(f"{target}/{name}: {len(seed)} bytes")
            except (RuntimeError, OSError) as error:
                print(f"{target}: the rest left out: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
