#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes the first inputs of a fuzz target: make-seeds.py TARGET DIRECTORY.

Small files that are right, so that a fuzzer starts behind the magic numbers.  What an engine finds
later comes beside them, in corpus/TARGET, under the name of its bug.
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
        "loader.conf": b"default *[a-f]-?.conf\ntimeout 3\npreferred x\nwhat 1\neditor\n",
        "csv": "\ufeffshimx64.efi,Fedora,,The boot entry\n".encode("utf-16-le"),
        "srel": b"type1\n",
        "versions": b"123~rc1-1^2.a\n123-a.1_2\n",
    },
    "cmdline": {
        "all": b"root=LABEL=x rootflags=subvol=/a/,ro rootflags=subvolid=5 \"a b\"='c d' rw ro "
        b"systemd.gpt-auto=0 rd.systemd.gpt_auto mount.usrflags=x roothash=00",
        "hash": HASH.encode(),
        "machine-id": HASH[:32].encode(),
    },
    # Changes to a small image: block, offset (two bytes), value, kind; see fuzz-btrfs.c.
    "btrfs": {
        "nothing": b"",
        "super": bytes([0, 188, 0, 0x63, 0]) * 3 + bytes([0, 0x2B, 3, 0, 1]) * 3,
        "chunks": bytes([1, 101, 0, 0, 0]) * 3 + bytes([1, 0xC0, 0xF, 1, 0]) * 3,
        "roots": bytes([2, 96, 0, 9, 0]) * 3 + bytes([2, 0x90, 0xD, 5, 0]) * 3,
        "files": bytes([3, 96, 0, 8, 0]) * 3 + bytes([3, 0x40, 0xD, 3, 0]) * 3,
        "all": b"".join(bytes([i % 4, 99 + 7 * i % 156, i % 16, i, i % 2]) for i in range(40)),
    },
    # Changes to a small disk or FAT: where, offset (two bytes), value, kind; see fuzz-gpt.c, fuzz-fat.c.
    "gpt": {
        "nothing": b"",
        "unsealed": b"\xff" + bytes([1, 16, 0, 7, 0]),
        "header": b"\0" + bytes([1, 72, 0, 33, 0, 1, 80, 0, 0xFF, 1, 4, 24, 0, 9, 1, 1, 12, 0, 0, 0]),
        "entries": b"\0" + bytes([2, 32, 0, 1, 0, 2, 40, 0, 0xFF, 1, 3, 56, 0, 0xD8, 1, 2, 128, 0, 0, 1]),
        "all": b"\0" + b"".join(bytes([i % 5, 11 * i % 256, i % 3, i, i % 2]) for i in range(30)),
    },
    "fat": {
        "fat12": b"\0",
        "fat16": b"\1" + bytes([0, 13, 0, 0, 0, 1, 4, 0, 2, 0]),
        "fat32": b"\2" + bytes([2, 11, 0, 0x0F, 0, 3, 0, 0, 0x41, 0]),
        "boot": b"\0" + bytes([0, 11, 0, 0, 1, 0, 16, 0, 0, 0, 0, 36, 0, 0xFF, 1]),
        "loops": b"\2" + b"".join(bytes([1, 4 * i, 0, i, 0]) for i in range(2, 12)),
        "all": b"\1" + b"".join(bytes([i % 4, 13 * i % 256, i % 7, i, i % 2]) for i in range(40)),
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
        "nothing": b"{}",
        "deep": b"[" * 3000,
        "number": b'{"version": 1e999, "what": "libdps backup"}',
    },
    "tree": {
        "all": b"# x\nUUID=1234-ABCD /boot/efi vfat umask=0077 0 2\nLABEL=a\\040b / btrfs subvol=/root,rw 0 0\n"
        b"/dev/mapper/x none swap sw 0 0\nPARTUUID=x /home ext4 defaults\n\0" + OSREL + b"\0" + HASH[:32].encode(),
        "odd": b"\\134 \\ / //\n\t\n/dev/a\\ b\\011 /x/../y z subvolid=99999999999999999999,subvol= 1 1\0=\n\0x",
    },
    "check": {
        "nothing": b"",
        "verity": b"\4" + bytes(300) + b"\1hello" + b"\2x",
        "swap": b"\3" + bytes(1000) + b"\0" + bytes(100),
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
    for name, content in SEEDS[target].items():
        (directory / name).write_bytes(content)


main()
