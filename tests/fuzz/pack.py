#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Packs an image as packed.h has it: pack.py IMAGE SEED [SECTORS]"""

import os
import struct
import sys
from pathlib import Path

ZEROS = 24  # so many zeros end a run: more than the header of another one
PIECE = 512


def chunks(file, size):
    """The pieces of a sparse file that are not zero."""
    at = 0
    while at < size:
        try:
            start = os.lseek(file.fileno(), at, os.SEEK_DATA)
        except OSError:
            return
        at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
        start -= start % PIECE
        file.seek(start)
        while start < at:
            piece = file.read(PIECE)
            if piece.strip(b"\0"):
                yield start, piece
            start += PIECE


def runs(file, size):
    """The same as runs of bytes with few zeros in them, none over a piece's end."""
    for start, piece in chunks(file, size):
        at = 0
        while at < len(piece):
            if not piece[at]:
                at += 1
                continue
            end = piece.find(bytes(ZEROS), at)
            end = len(piece) if end < 0 else end
            yield start + at, piece[at:end]
            at = end


def pack(image: Path, sectors: int | None = None) -> bytes:
    size = image.stat().st_size
    packed = struct.pack("<BBI", 0, 0, sectors or size // 512)
    joined: list[tuple[int, bytes]] = []
    with open(image, "rb") as file:
        for at, content in runs(file, size):
            if joined and joined[-1][0] + len(joined[-1][1]) == at and len(joined[-1][1]) < 4096:
                joined[-1] = (joined[-1][0], joined[-1][1] + content)
            else:
                joined.append((at, content))
    for at, content in joined:
        packed += struct.pack("<IH", at, len(content)) + content
    return packed


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(pack(Path(sys.argv[1]), int(sys.argv[3]) if len(sys.argv) > 3 else None))
