# SPDX-License-Identifier: LGPL-2.1-or-later
"""Takes the script out of a kickstart file, as Anaconda would."""

import pathlib

TOP = pathlib.Path(__file__).resolve().parent.parent.parent


def post_script(path: pathlib.Path) -> str:
    """The body of the first %post section, which must be one that runs in the chroot."""
    body: list[str] | None = None
    for line in path.read_text().splitlines(keepends=True):
        words = line.split()
        if body is None and words[:1] == ["%post"]:
            if "--nochroot" in words:
                raise ValueError(f"{path}: %post --nochroot: wanted one in the chroot")
            body = []
        elif body is not None and words[:1] == ["%end"]:
            return "".join(body)
        elif body is not None:
            body.append(line)
    raise ValueError(f"{path}: no whole %post section")
