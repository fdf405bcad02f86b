#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Unpacks several versions of systemd, as Debian has them, and prints the directories.

tests/against/test_discover.py runs their generators: LIBDPS_SYSTEMDS="$(tests/tools/systemds.py)".
Nothing is installed; packages and trees stay in the cache that the virtual machines use.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "vm"))
from image import cache, packages

# 254, 257, and what is newest.
SUITES = (("bookworm", "bookworm-backports"), ("trixie",), ("sid",))


def main() -> int:
    trees = []
    for suites in SUITES:
        try:
            archive = packages.archive("+".join(suites), "amd64")
            trees.append(str(archive.tree(archive.closure("systemd", "udev"))))
        except (packages.Unavailable, cache.CommandFailed) as error:
            print(f"{' '.join(suites)}: {error}", file=sys.stderr)
    print(" ".join(trees))
    return 0 if trees else 1


if __name__ == "__main__":
    sys.exit(main())
