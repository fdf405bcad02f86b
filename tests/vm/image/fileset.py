# SPDX-License-Identifier: LGPL-2.1-or-later
"""Files picked out of a tree of unpacked packages, together with the libraries they need."""

import os
import pathlib
import stat

from . import elf

DIRECTORY, REGULAR, LINK = stat.S_IFDIR | 0o755, stat.S_IFREG, stat.S_IFLNK | 0o777
LOADERS = {
    "x86_64-linux-gnu": "lib64/ld-linux-x86-64.so.2",
    "aarch64-linux-gnu": "lib/ld-linux-aarch64.so.1",
}


class FileSet:
    """What will be in an initial RAM disk: name to (mode, content or link target).

    /usr is merged, as in the tree, and /usr/sbin is a link to bin.
    """

    def __init__(self, tree: pathlib.Path, triplet: str):
        self.tree = tree
        self.triplet = triplet
        self.entries: dict[str, tuple[int, bytes]] = {}
        self.library_path = [
            f"usr/lib/{triplet}",
            f"usr/lib/{triplet}/systemd",
            "usr/lib/systemd",
        ]
        for name in ("bin", "lib", "lib64"):
            self.directory(f"usr/{name}")
            self.entries[name] = (LINK, f"usr/{name}".encode())
        self.entries["sbin"] = (LINK, b"usr/bin")
        self.entries["usr/sbin"] = (LINK, b"bin")

    @staticmethod
    def normal(name: str) -> str:
        """The name as it is with merged directories: sbin/x is usr/bin/x."""
        name = name.lstrip("/")
        if name.split("/")[0] in ("bin", "sbin", "lib", "lib64"):
            name = f"usr/{name}"
        return f"usr/bin/{name[9:]}" if name.startswith("usr/sbin/") else name

    def directory(self, name: str) -> None:
        while name and name not in self.entries:
            self.entries[name] = (DIRECTORY, b"")
            name = os.path.dirname(name)

    def _put(self, name: str, mode: int, data: bytes) -> None:
        self.directory(os.path.dirname(name))
        self.entries[name] = (mode, data)

    def text(self, name: str, text: str, mode: int = 0o644) -> None:
        self._put(self.normal(name), REGULAR | mode, text.encode())

    def data(self, name: str, data: bytes) -> None:
        self._put(self.normal(name), REGULAR | 0o644, data)

    def link(self, name: str, target: str) -> None:
        self._put(self.normal(name), LINK, target.encode())

    def _source(self, name: str) -> pathlib.Path | None:
        """Where a file is in the tree, whose usr/sbin is a directory of its own."""
        for candidate in (name, name.replace("usr/bin/", "usr/sbin/", 1)):
            if os.path.lexists(self.tree / candidate):
                return self.tree / candidate
        return None

    def add(self, name: str, optional: bool = False) -> None:
        """A file of the tree; a link with what it points to; a program with its libraries."""
        name = self.normal(name)
        if name in self.entries:
            return
        source = self._source(name)
        if source is None:
            if optional:
                return
            raise FileNotFoundError(f"{self.tree}: no {name}")

        if source.is_symlink():
            target = os.readlink(source)
            self._put(name, LINK, target.encode())
            if target != "/dev/null":
                self.add(os.path.normpath(os.path.join("/", os.path.dirname(name), target)))
            return

        data = source.read_bytes()
        executable = source.stat().st_mode & 0o111
        self._put(name, REGULAR | (0o755 if executable else 0o644), data)
        if elf.is_elf(data):
            for library in elf.needed(data):
                self.library(library)

    def library(self, library: str) -> None:
        """A shared library by the name that programs ask for, or that they dlopen()."""
        if library.startswith("ld-linux"):
            self.loader()
            return
        for directory in self.library_path:
            if self._source(f"{directory}/{library}"):
                self.add(f"{directory}/{library}")
                return
        raise FileNotFoundError(f"{self.tree}: no library {library}")

    def loader(self) -> None:
        """The dynamic loader, at the path that is written into every program."""
        path = LOADERS[self.triplet]
        name = os.path.basename(path)
        self.add(f"usr/lib/{self.triplet}/{name}")
        up = "../lib/" if path.startswith("lib64") else ""
        self.link(path, f"{up}{self.triplet}/{name}")
