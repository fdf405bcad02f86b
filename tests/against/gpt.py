# SPDX-License-Identifier: LGPL-2.1-or-later
"""A second reader of GUID partition tables, by the kernel's rule, and nothing of the library's.

Linux (block/partitions/efi.c) takes the primary table when its header's signature, checksum, own
sector and array checksum are right, and asks no further.  Unless booted with "gpt" it takes nothing
else: what this says is what an installed system sees.
"""

from __future__ import annotations

import dataclasses
import os
import struct
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import overload

HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
ENTRY = struct.Struct("<16s16sQQQ72s")


@dataclasses.dataclass(frozen=True)
class Entry:
    type: str
    uuid: str
    first: int
    last: int
    attributes: int
    name: bytes


@dataclasses.dataclass(frozen=True)
class Copy:
    """One copy of the table; its fields by their names in the specification."""

    lba: int
    alternate: int
    first_usable: int
    last_usable: int
    disk: str
    entries_lba: int
    n_entries: int
    entry_size: int
    array: bytes

    def entries(self) -> dict[int, Entry]:
        found = {}
        for i in range(self.n_entries):
            raw = self.array[i * self.entry_size :][: ENTRY.size]
            kind, own, first, last, attributes, name = ENTRY.unpack(raw)
            if any(kind):
                found[i + 1] = Entry(
                    str(uuid.UUID(bytes_le=kind)),
                    str(uuid.UUID(bytes_le=own)),
                    first,
                    last,
                    attributes,
                    name,
                )
        return found


class OnDisk:
    """The bytes of a file or of a device, read when they are asked for: a table is little of a disk."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.size = os.lseek(fd, 0, os.SEEK_END)

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, at: int) -> int: ...
    @overload
    def __getitem__(self, at: slice) -> bytes: ...
    def __getitem__(self, at: int | slice) -> int | bytes:
        if isinstance(at, int):
            return os.pread(self.fd, 1, at)[0]
        start, stop, _ = at.indices(self.size)
        return os.pread(self.fd, max(stop - start, 0), start)


@contextmanager
def on_disk(path: Path) -> Iterator[OnDisk]:
    with open(path, "rb", buffering=0) as file:
        yield OnDisk(file.fileno())


def read_copy(image: bytes | OnDisk, lba: int, sector: int) -> Copy | None:
    """The copy whose header is at LBA, None when it is not good."""
    raw = image[lba * sector : (lba + 1) * sector]
    if len(raw) < sector:
        return None
    (magic, _rev, size, crc, _zero, my, alternate, first, last, disk, entries, n, entry, array_crc) = (
        HEADER.unpack(raw[: HEADER.size])
    )
    if magic != b"EFI PART" or not 92 <= size <= sector or my != lba:
        return None
    if zlib.crc32(raw[:16] + bytes(4) + raw[20:size]) != crc:
        return None
    if n * entry > 1 << 20 or last >= len(image) // sector or first > last:
        return None
    array = image[entries * sector : entries * sector + n * entry]
    if len(array) != n * entry or zlib.crc32(array) != array_crc:
        return None
    return Copy(
        lba, alternate, first, last, str(uuid.UUID(bytes_le=disk)), entries, n, entry, array
    )


def kernel(image: bytes | OnDisk, sector: int) -> dict[int, Entry] | None:
    """What Linux finds on this disk; None: no table."""
    if image[510:512] != b"\x55\xaa" or not any(
        image[450 + 16 * i] == 0xEE and image[454 + 16 * i : 458 + 16 * i] == b"\1\0\0\0"
        for i in range(4)
    ):
        return None
    copy = read_copy(image, 1, sector)
    return copy.entries() if copy and copy.entry_size == ENTRY.size else None


def intended(image: bytes, sector: int, changed: dict[int, set[str]]) -> set[range]:
    """The bytes that a change of these entries' fields may touch, in both copies."""
    fields = {"type": (0, 16), "uuid": (16, 16), "attributes": (48, 8), "name": (56, 72)}
    ranges: set[range] = set()
    first = read_copy(image, 1, sector)
    assert first
    for copy in (first, read_copy(image, first.alternate, sector)):
        assert copy
        header = copy.lba * sector
        ranges |= {range(header + 16, header + 20), range(header + 88, header + 92)}
        for number, names in changed.items():
            at = copy.entries_lba * sector + (number - 1) * copy.entry_size
            ranges |= {range(at + fields[n][0], at + sum(fields[n])) for n in names}
    return ranges


def differing(a: bytes, b: bytes) -> list[int]:
    """Offsets of the bytes in which two images differ."""
    assert len(a) == len(b)
    block = 4096
    return [
        i
        for start in range(0, len(a), block)
        if a[start : start + block] != b[start : start + block]
        for i in range(start, min(start + block, len(a)))
        if a[i] != b[i]
    ]


def widen(path: Path, sector: int = 512, entry_size: int = 256) -> None:
    """The same table with larger entries, made by hand after the specification."""
    data = bytearray(path.read_bytes())
    last = len(data) // sector - 1
    n_sectors = 128 * entry_size // sector
    old = read_copy(bytes(data), 1, sector)
    assert old is not None and old.n_entries == 128
    array = b"".join(
        old.array[i : i + ENTRY.size].ljust(entry_size, b"\0") for i in range(0, len(old.array), ENTRY.size)
    )
    for lba, place in ((1, 2), (last, last - n_sectors)):
        header = bytearray(data[sector : sector + HEADER.size])
        struct.pack_into("<IIQQQQ", header, 16, 0, 0, lba, last + 1 - lba, 2 + n_sectors, last - 1 - n_sectors)
        struct.pack_into("<QIII", header, 72, place, 128, entry_size, zlib.crc32(array))
        struct.pack_into("<I", header, 16, zlib.crc32(header))
        data[lba * sector : lba * sector + HEADER.size] = header
        data[place * sector : place * sector + len(array)] = array
    path.write_bytes(data)
