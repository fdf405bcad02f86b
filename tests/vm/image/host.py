# SPDX-License-Identifier: LGPL-2.1-or-later
"""A program that was built on this machine, put into the root of a guest with its libraries."""

import os
import pathlib
import re
import shutil

from . import cache


def put_program(program: pathlib.Path, root: pathlib.Path, name: str) -> None:
    """Libraries go to /usr/lib, where every dynamic loader looks in the end.

    In the root /usr is merged: what is asked for in /lib64 is put into /usr/lib64.  It must have no
    dynamic programs of its own: theirs may be of another release.
    """
    target = root / name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(program, target)
    for line in cache.run("ldd", program).splitlines():
        found = re.match(r"\s*(?:(\S+) => )?(/\S+) \(0x", line)
        if found is None:
            continue
        library = pathlib.Path(found[2])
        # The loader is asked for by its path, everything else by name.
        name = f"usr/lib/{library.name}"
        if found[1] is None:
            name = str(library).lstrip("/")
            name = name if name.startswith("usr/") else f"usr/{name}"
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(place):
            shutil.copy2(library.resolve(), place)
