# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes the archive of an initial RAM disk ("newc", initramfs-buffer-format.rst of the kernel)."""

import os
import pathlib
import stat


def of_directory(tree: pathlib.Path, prefix: str) -> dict[str, tuple[int, bytes]]:
    """The entries for what is in a directory, under another name."""
    entries = {prefix: (stat.S_IFDIR | 0o755, b"")}
    for path in sorted(tree.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            data = os.readlink(path).encode()
        else:
            data = path.read_bytes() if stat.S_ISREG(mode) else b""
        entries[f"{prefix}/{path.relative_to(tree)}"] = (mode, data)
    return entries


def write(path, entries: dict[str, tuple[int, bytes]]) -> None:
    """entries: name without leading slash to (mode, content or link target)."""
    with open(path, "wb") as file:
        for number, name in enumerate(sorted(entries), 1):
            mode, data = entries[name]
            _write_entry(file, name, mode, data, number)
        _write_entry(file, "TRAILER!!!", 0, b"", 0)


def _write_entry(file, name: str, mode: int, data: bytes, number: int) -> None:
    name_bytes = name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    # inode, mode, uid, gid, links, mtime, size, device (2), own device (2), name size, checksum
    fields = (number, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(name_bytes), 0)
    file.write(b"070701" + b"".join(b"%08X" % field for field in fields) + name_bytes)
    _pad(file)
    file.write(data)
    _pad(file)


def _pad(file) -> None:
    file.write(b"\0" * (-file.tell() % 4))
