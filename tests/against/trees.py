# SPDX-License-Identifier: LGPL-2.1-or-later
"""Trees of files by a seed, to be put into file systems and read back from them."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

WORDS = ["kernel", "Initrd", "BOOTX64", "loader", "Fedora", "a", "x" * 60, "version-6.12.0-0.fc44"]
# Those of code page 850 are too long for a short name: of "größe" mtools keeps no long one, and
# then shows it as "grÖße" itself.
OTHER = ["größenwahn", "ядро", "漢字", "ñandú de las pampas", "Ελλάδα", "naïve café"]
ENDINGS = ["", ".efi", ".EFI", ".conf", ".Conf", ".x86_64", ".tar.gz", ".A"]


def random_name(rng: random.Random, unicode: bool = True) -> str:
    word = rng.choice(OTHER if unicode and rng.random() < 0.25 else WORDS)
    number = str(rng.randrange(1000)) if rng.random() < 0.6 else ""
    name = word + number + rng.choice(ENDINGS)
    if rng.random() < 0.15:  # never at the end, where Windows and mtools cut it off
        name = "some " + name
    if rng.random() < 0.05:  # mtools enlarges a directory by one cluster at a time: no longer
        name = name + "y" * (150 - len(name.encode()))
    return name


def grow(
    top: Path, rng: random.Random, files: int = 25, largest: int = 20000, deepest: int = 12
) -> None:
    """Files and directories below an empty directory; no two names differ by case alone."""
    directories = [top]
    taken: set[tuple[Path, str]] = set()

    def new_path(parent: Path) -> Path:
        while True:
            name = random_name(rng)
            if (parent, name.upper()) not in taken:
                taken.add((parent, name.upper()))
                return parent / name

    at = top
    for _ in range(deepest):  # one way down, and others that branch off
        at = new_path(at)
        at.mkdir()
        directories.append(at)
        if rng.random() < 0.4:
            at = rng.choice(directories)
    for _ in range(files):
        size = rng.choice([0, 1, 511, 512, 513, 4096, rng.randrange(largest)])
        new_path(rng.choice(directories)).write_bytes(rng.randbytes(size))


def describe(top: Path) -> dict[str, str]:
    """Path to what is there: "directory", a hash, or for a link "link"."""
    found = {}
    for path in top.rglob("*"):
        name = "/" + path.relative_to(top).as_posix()
        if path.is_symlink():
            found[name] = "link"
        elif path.is_dir():
            found[name] = "directory"
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def describe_document(document: dict) -> dict[str, str]:
    """The same out of what files-tool says."""
    return {
        file["path"]: file.get("error") or file["sha256"] or file["kind"]
        for file in document["files"]
    }
