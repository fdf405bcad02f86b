# SPDX-License-Identifier: LGPL-2.1-or-later
"""The target's root file system: what is mounted where, and which disk it is on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple, Optional

from ._ffi import (
    Closing,
    Handle,
    PathLike,
    call,
    ffi,
    lib,
    optional_path,
    optional_text,
    path,
    path_to_bytes,
)
from .types import Arch, arch_from_number


class Location(NamedTuple):
    """Where a tree is."""

    disk: Optional[Path]
    """The node of the disk that holds its root; None when it is on no disk."""
    why: Optional[str]
    """What it is on instead."""


class Tree(Closing):
    """The target's ``/``, mounted or unpacked, as it was when it was opened.

    Error when there is no such directory, or its fstab cannot be read.
    """

    def __init__(self, path: PathLike = "/") -> None:
        raw = path_to_bytes(path)
        self._handle = Handle(call(lib.dps_tree_open, raw), lib.dps_tree_unref, os.fsdecode(raw))

    def __repr__(self) -> str:
        state = " closed" if self.closed else ""
        return f"<dps.Tree {self._handle.name!r}{state}>"

    def __enter__(self) -> Tree:
        with self._handle.use():
            return self

    @property
    def path(self) -> Path:
        """Absolute, and no link."""
        with self._handle.use() as pointer:
            return path(lib.dps_tree_get_path(pointer))

    @property
    def arch(self) -> Optional[Arch]:
        """The architecture of the system in it; None when nothing says it."""
        with self._handle.use() as pointer:
            return arch_from_number(lib.dps_tree_get_arch(pointer))

    @property
    def machine_id(self) -> Optional[str]:
        """32 hexadecimal digits; None when it has none, or none yet."""
        with self._handle.use() as pointer:
            return optional_text(lib.dps_tree_get_machine_id(pointer))

    def find_disk(self) -> Location:
        """The disk that holds its root.

        To be on no disk (a directory, a container's root) is no error; to be on several, or on
        LVM or RAID, is one.
        """
        with self._handle.use() as pointer:
            out = ffi.new("char *[2]")
            call(lib.dps_tree_find_disk, pointer, out, out + 1)
            owned = [ffi.gc(text, lib.g_free) if text else None for text in out]
            return Location(optional_path(owned[0]), optional_text(owned[1]))
