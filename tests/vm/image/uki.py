# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes a unified kernel image: systemd's EFI stub with sections behind its own (UAPI.5)."""

import struct

SECTION_HEADER = struct.Struct("<8sIIIIIIHHI")
# IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ (PE format, section flags)
INITIALISED_AND_READABLE = 0x40000040


def _round_up(value: int, unit: int) -> int:
    return (value + unit - 1) // unit * unit


def build(stub: bytes, sections: list[tuple[str, bytes]]) -> bytes:
    """The stub with these sections; the stub finds them by name in the loaded image."""
    image = bytearray(stub)
    coff = struct.unpack_from("<I", image, 0x3C)[0] + 4
    if image[coff - 4 : coff] != b"PE\0\0":
        raise ValueError("stub: no PE signature")
    count = struct.unpack_from("<H", image, coff + 2)[0]
    optional_size = struct.unpack_from("<H", image, coff + 16)[0]
    optional = coff + 20
    table = optional + optional_size
    section_alignment, file_alignment = struct.unpack_from("<II", image, optional + 32)

    old = [SECTION_HEADER.unpack_from(image, table + SECTION_HEADER.size * i) for i in range(count)]
    address = max(header[2] + header[1] for header in old)
    end_of_file = max(header[4] + header[3] for header in old)
    first_data = min(header[4] for header in old if header[4])
    if table + SECTION_HEADER.size * (count + len(sections)) > first_data:
        raise ValueError("stub: no room for more section headers")

    # Behind the last section there is at most a symbol table, which nothing reads.
    del image[end_of_file:]
    struct.pack_into("<II", image, coff + 8, 0, 0)

    for name, data in sections:
        image += b"\0" * (-len(image) % file_alignment)
        address = _round_up(address, section_alignment)
        header = SECTION_HEADER.pack(
            name.encode(),
            len(data),
            address,
            _round_up(len(data), file_alignment),
            len(image),
            0,
            0,
            0,
            0,
            INITIALISED_AND_READABLE,
        )
        at = table + SECTION_HEADER.size * count
        image[at : at + SECTION_HEADER.size] = header
        image += data
        address += len(data)
        count += 1
    image += b"\0" * (-len(image) % file_alignment)

    struct.pack_into("<H", image, coff + 2, count)
    # SizeOfImage
    struct.pack_into("<I", image, optional + 56, _round_up(address, section_alignment))
    return bytes(image)
