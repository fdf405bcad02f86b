#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes the first inputs of a fuzz target: make-seeds.py TARGET DIRECTORY.

Small texts that are right, so that a fuzzer starts behind the magic numbers, and all of seeds/TARGET:
small images that other people's tools made (make-images.py), and what was found, under the name of its
bug.
"""

import hashlib
import struct
import sys
from pathlib import Path

HASH = hashlib.sha256(b"").hexdigest()


def pe(*sections: tuple[bytes, bytes], machine: int = 0x8664) -> bytes:
    """A PE32+ file with these sections, 512 bytes apart in the file and 4096 in memory."""
    head = bytearray(b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40))
    head += struct.pack("<4sHHIIIHH", b"PE\0\0", machine, len(sections), 0, 0, 0, 240, 0x22)
    optional = bytearray(240)
    struct.pack_into("<H", optional, 0, 0x20B)
    struct.pack_into("<H", optional, 44, 1)
    struct.pack_into("<I", optional, 56, 4096 * (len(sections) + 1))
    struct.pack_into("<H", optional, 68, 10)
    struct.pack_into("<I", optional, 108, 16)
    head += optional
    at = (len(head) + 40 * len(sections) + 511) // 512 * 512
    body = b""
    for number, (name, content) in enumerate(sections, 1):
        raw = content.ljust((len(content) + 511) // 512 * 512, b"\0")
        head += struct.pack(
            "<8sIIIIIIHHI", name, len(content), 4096 * number, len(raw), at + len(body), 0, 0, 0, 0, 0x40
        )
        body += raw
    return bytes(head).ljust(at, b"\0") + body


def kernel() -> bytes:
    image = bytearray(pe((b".text", bytes(512)), (b".compat", b"\1\10\x4c\1\0\0\0\0")))
    image[0x202:0x208] = b"HdrS\x0f\x02"
    image[0x20E:0x210] = b"\x80\0"
    image[0x280:0x28E] = b"6.1.0-9-amd64 "
    return bytes(image)


OSREL = b'NAME="Debian"\nID=debian\nVERSION_ID="12"\n'
SBAT = b"sbat,1,SBAT Version,sbat,1,url\nshim,4,UEFI shim,shim,1,url\nshim.x,1,X,shim,15.8,url\n"

SEEDS = {
    "uki": {
        "kernel": kernel(),
        "uki": pe(
            (b".sdmagic", b"#### LoaderInfo: systemd-stub 252 ####"),
            (b".osrel", OSREL),
            (b".cmdline", b"root=LABEL=x rw"),
            (b".uname", b"6.1.0"),
            (b".linux", kernel()),
        ),
        "profiles": pe(
            (b".osrel", OSREL),
            (b".profile", b"ID=main\n"),
            (b".profile", b"ID=debug\nTITLE=Debug\n"),
            (b".cmdline", b"debug"),
            (b".linux", b""),
        ),
        "addon": pe((b".cmdline", b"quiet\n")),
        "shim": pe((b".sbat", SBAT), (b".data", "boot.csv".encode("utf-16-le"))),
        "grub": pe((b".sbat", b"grub,5,FSF,grub,2.12,url\n"), (b"mods", b"\0bli\0")),
        "arm64": pe((b".text", b"x"), machine=0xAA64)[:0x38] + b"ARM\x64" + bytes(64),
    },
    "bls": {
        "entry": b"# x\ntitle Fedora\nsort-key fedora\nmachine-id 6a9857a393724b7a981ebb5b8495b9ea\n"
        b"version 6.1\noptions root=LABEL=x\noptions rw\narchitecture x64\nlinux /a/linux\n"
        b"initrd /a/initrd\ndevicetree /x.dtb\ndevicetree-overlay a b\nextra /x.cred\n",
        "uki-key": b"a+3-1.conf\nuki /fooos/bar.efi\nprofile 1\n",
        "url": b"uki-url :foo.efi\nefi /x.efi\n",
    },
    "loader": {
        "loader.conf": b"default *[a-f]-?.conf\ntimeout 3\npreferred x\nwhat 1\neditor\n",
        "os-release": OSREL + b"PRETTY_NAME='a b'\nIMAGE_ID=\\x\n# x\nBUILD_ID=\"a\\\"b\"\n",
        "srel": b"type1\n",
    },
    "csv": {
        "shim": "\ufeffshimx64.efi,Fedora,,The boot entry\n".encode("utf-16-le"),
        "two": "a.efi,A,opt ions\r\nb.efi,\U0001f427 B\n".encode("utf-16-le"),
    },
    "words": {
        "assignments": b"esp=1\nroot:aarch64=LABEL=x,growfs,no-read-only\nsame=5,no-auto\nhome=/dev/sda3,auto\n",
        "guids": b"4f68bce3-e8cd-4db1-96e7-fbcaf984b709\n4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709\nroot-x86-64\namd64\n",
        "versions": b"123~rc1-1^2.a\n123-a.1_2\n123.a-1\n1.0~\n1.0^\n01\n1\n",
    },
    "cmdline": {
        "all": b"root=LABEL=x rootflags=subvol=/a/,ro rootflags=subvolid=5 \"a b\"='c d' rw ro "
        b"systemd.gpt-auto=0 rd.systemd.gpt_auto mount.usrflags=x roothash=00",
        "hash": HASH.encode(),
        "machine-id": HASH[:32].encode(),
    },
    "backup": {
        "all": b"""{"version": 1, "what": "libdps backup", "time": "2024-01-01T00:00:00Z",
 "disk": {"path": "/dev/sda", "uuid": "8d2e0c5a-64f6-4d2c-9e0b-1a7c4f3b9d01"}, "changes": [
 {"kind": "type", "partition": 1, "uuid": "00000001-1111-4222-8333-444444444444", "start": 1048576,
  "from": "0fc63daf-8483-4772-8e79-3d69d8477de4", "to": "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"},
 {"kind": "flags", "partition": 2, "uuid": "00000001-1111-4222-8333-444444444444", "start": 1048576,
  "from": "0x0000000000000000", "to": "0x8000000000000000"},
 {"kind": "name", "partition": 2, "uuid": "00000001-1111-4222-8333-444444444444", "start": 1048576,
  "from": "", "to": "x\\u001b"},
 {"kind": "btrfs-default", "partition": 3, "uuid": "00000001-1111-4222-8333-444444444444",
  "start": 1048576, "from": {"id": 5, "path": "/"}, "to": {"id": 256, "path": "root"}}]}""",
        "ours": b"""{"version": 1, "what": "libdps backup", "time": "2024-01-01T00:00:00Z",
 "disk": {"path": "x", "uuid": "d1d1d1d1-d1d1-d1d1-d1d1-d1d1d1d1d1d1"}, "changes": [
 {"kind": "type", "partition": 1, "uuid": "a1a1a1a1-a1a1-a1a1-a1a1-a1a1a1a1a1a1", "start": 153600,
  "from": "0fc63daf-8483-4772-8e79-3d69d8477de4", "to": "11111111-1111-1111-1111-111111111111"},
 {"kind": "flags", "partition": 2, "uuid": "a2a2a2a2-a2a2-a2a2-a2a2-a2a2a2a2a2a2", "start": 204800,
  "from": "0x0000000000000000", "to": "0x8000000000000020"},
 {"kind": "uuid", "partition": 4, "uuid": "0fc63daf-8483-4772-8e79-3d69d8477de4", "start": 256000,
  "from": "0fc63daf-8483-4772-8e79-3d69d8477de4", "to": "a4a4a4a4-a4a4-a4a4-a4a4-a4a4a4a4a4a4"},
 {"kind": "name", "partition": 1, "uuid": "a1a1a1a1-a1a1-a1a1-a1a1-a1a1a1a1a1a1", "start": 153600,
  "from": "x", "to": "EFI"}]}""",
        "nothing": b"{}",
        "deep": b"[" * 3000,
        "number": b'{"version": 1e999, "what": "libdps backup"}',
    },
    "tree": {
        "all": b"# x\nUUID=1234-ABCD /boot/efi vfat umask=0077 0 2\nLABEL=a\\040b / btrfs subvol=/root,rw 0 0\n"
        b"/dev/mapper/x none swap sw 0 0\nPARTUUID=x /home ext4 defaults\n\0" + OSREL + b"\0" + HASH[:32].encode(),
        "odd": b"\\134 \\ / //\n\t\n/dev/a\\ b\\011 /x/../y z subvolid=99999999999999999999,subvol= 1 1\0=\n\0x",
    },
    # fstab, crypttab, cmdline, grub.cfg, machine-id, default/grub, os-release; see fuzz-fstab.c.
    "fstab": {
        "tags": b"UUID=C0FF-EE01 /efi vfat x 0 2\nLABEL=system / ext4 rw 0 0\nPARTLABEL=EFI /boot vfat x\n"
        b"PARTUUID=a4a4a4a4-a4a4-a4a4-a4a4-a4a4a4a4a4a4 none swap sw 0 0\n\0",
        "nodes": b"/dev/sda1 /boot/efi vfat x 0 2\n/dev/sda2 / ext4 rw 0 0\n/dev/sda4 swap swap sw 0 0\n"
        b"/dev/disk/by-label/a\\x20b /srv ext4 x\n\0",
        "crypt": b"/dev/mapper/r / ext4 x 0 0\n/dev/mapper/luks-55555555-5555-5555-5555-555555555555 none swap x\n\0"
        b"r UUID=eeeeeeee-eeee-eeee-eeee-eeeeeeeeeeee none luks\n# x\n\0root=PARTUUID=A2A2A2A2-a2a2-a2a2-a2a2-a2a2a2a2a2a2"
        b"\0linux /x root=PARTUUID=a1a1a1a1-a1a1-a1a1-a1a1-a1a1a1a1a1a1\n\0" + HASH[:32].encode(),
    },
    # Edits behind a journal's header; see fuzz-journal.c.
    "journal": {
        "one": b"\0" + struct.pack("<QQ", 512, 512) + bytes([1]) * 512 + b"x" * 512,
        "two": b"\0" + struct.pack("<QQ", 0, 8) + bytes(8) + b"y" * 8 + struct.pack("<QQ", 4090, 12)
        + bytes([7]) * 6 + bytes([8]) * 6 + b"z" * 12,
        "same": b"\0" + (struct.pack("<QQ", 100, 4) + bytes(4) + b"abcd") * 2,
        "unsealed": b"\xff",
    },
    "verity": {
        "superblock": struct.pack(
            "<8sII16s32sIIQH6x4s", b"verity\0\0", 1, 1, bytes(16), b"sha256", 512, 512, 17, 4, b"salt"
        ).ljust(2048, b"\0"),
        "signature": b'{"rootHash":"%s","certificateFingerprint":"%s","signature":"AAEC"}'
        % (HASH.encode(), HASH.encode())
        + bytes(64),
    },
}


def main() -> None:
    target, directory = sys.argv[1], Path(sys.argv[2])
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in SEEDS.get(target, {}).items():
        (directory / name).write_bytes(content)
    # What edits an image starts from the same ones as what reads it.
    kept = Path(__file__).parent / "seeds" / target.removesuffix("-edit")
    for path in sorted(kept.glob("*")):
        (directory / path.name).write_bytes(path.read_bytes())


main()
