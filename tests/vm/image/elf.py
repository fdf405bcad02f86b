# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which libraries a program asks for, for any 64-bit little-endian architecture."""

import struct

PT_LOAD, PT_DYNAMIC = 1, 2
DT_NEEDED, DT_STRTAB = 1, 5


def is_elf(data: bytes) -> bool:
    return data[:6] == b"\x7fELF\x02\x01"


def needed(data: bytes) -> list[str]:
    """The DT_NEEDED names of an ELF file; none for a static program."""
    table, size, count = struct.unpack_from("<Q14xHH", data, 32)
    headers = [struct.unpack_from("<IIQQQQQQ", data, table + size * i) for i in range(count)]
    loads = [header for header in headers if header[0] == PT_LOAD]

    def offset_of(address: int) -> int:
        for _, _, offset, start, _, length, _, _ in loads:
            if start <= address < start + length:
                return offset + address - start
        raise ValueError(f"address {address:#x}: in no segment")

    tags = []
    for header in headers:
        if header[0] == PT_DYNAMIC:
            dynamic = data[header[2] : header[2] + header[5] // 16 * 16]
            tags = list(struct.iter_unpack("<QQ", dynamic))
    strings = next((offset_of(value) for tag, value in tags if tag == DT_STRTAB), 0)

    names = []
    for tag, value in tags:
        if tag == DT_NEEDED:
            start = strings + value
            names.append(data[start : data.index(b"\0", start)].decode())
    return names
