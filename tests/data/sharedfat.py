# SPDX-License-Identifier: LGPL-2.1-or-later
"""A FAT32 whose directories and files share their clusters: a small disk that has millions of files.

No mkfs makes one and mtools would mend nothing of it, so it is written here, after Microsoft's
specification: clusters of 512 bytes, two copies of the FAT, long names in front of short ones.
"""

from __future__ import annotations

import struct

SECTOR = 512
RESERVED = 32
END = 0x0FFFFFFF


def long_name(name: str, short: bytes) -> bytes:
    total = 0
    for byte in short:
        total = ((total >> 1 | (total & 1) << 7) + byte) & 0xFF
    text = name.encode("utf-16le") + (b"\0\0" if len(name) % 13 else b"")
    text += b"\xff" * (-len(text) % 26)
    slots = b""
    for n in range(len(text) // 26, 0, -1):
        part = text[(n - 1) * 26 : n * 26]
        first = n | (0x40 if n == len(text) // 26 else 0)
        slots += bytes([first]) + part[:10] + b"\x0f\0" + bytes([total]) + part[10:22] + b"\0\0" + part[22:]
    return slots


def entry(short: bytes, is_directory: bool, cluster: int, size: int) -> bytes:
    attributes = 0x10 if is_directory else 0x20
    return struct.pack("<11sB8xH4xHI", short, attributes, cluster >> 16, cluster & 0xFFFF, size)


class Node:
    """A file or a directory; where it is listed more than once, it is the same clusters."""

    def __init__(self, content: bytes | dict[str, Node]) -> None:
        self.content = content
        self.cluster = 0
        self.size = 0


class Fat:
    def __init__(self, size: int) -> None:
        self.sectors = size // SECTOR
        self.fat_sectors = -(-(self.sectors - RESERVED) * 4 // SECTOR)
        self.fat = [0x0FFFFFF8, END]
        self.data = bytearray()

    def add(self, content: bytes) -> int:
        first = len(self.fat)
        n = max(1, -(-len(content) // SECTOR))
        self.fat += [*range(first + 1, first + n), END]
        self.data += content.ljust(n * SECTOR, b"\0")
        return first

    def place(self, node: Node) -> None:
        if node.cluster:
            return
        if isinstance(node.content, bytes):
            node.size = len(node.content)
            node.cluster = self.add(node.content)
            return
        slots = entry(b".          ", True, 0, 0) + entry(b"..         ", True, 0, 0)
        for n, (name, child) in enumerate(node.content.items()):
            self.place(child)
            short = f"N{n:07}   ".encode()
            slots += long_name(name, short) + entry(short, isinstance(child.content, dict), child.cluster, child.size)
        node.cluster = self.add(slots)

    def image(self, top: Node) -> bytes:
        """Boot sector, its copy, FSInfo, both copies of the FAT and the clusters in use."""
        self.place(top)
        boot = bytearray(b"\xeb\x58\x90mkfs.fat".ljust(SECTOR, b"\0"))
        struct.pack_into("<HBHBHHBHHHII", boot, 11, SECTOR, 1, RESERVED, 2, 0, 0, 0xF8, 0, 63, 255, 0, self.sectors)
        struct.pack_into("<IHHIHH", boot, 36, self.fat_sectors, 0, 0, top.cluster, 1, 6)
        boot[64:71] = b"\x80\0\x29abcd"
        boot[71:90] = b"NO NAME    FAT32   "
        boot[510:] = b"\x55\xaa"
        info = bytearray(SECTOR)
        struct.pack_into("<I", info, 0, 0x41615252)
        struct.pack_into("<III", info, 484, 0x61417272, END, END)
        info[508:] = b"\0\0\x55\xaa"
        front = bytes(boot + info).ljust(6 * SECTOR, b"\0") + bytes(boot + info)
        fat = struct.pack(f"<{len(self.fat)}I", *self.fat).ljust(self.fat_sectors * SECTOR, b"\0")
        return front.ljust(RESERVED * SECTOR, b"\0") + fat * 2 + bytes(self.data)
