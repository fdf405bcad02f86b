# SPDX-License-Identifier: LGPL-2.1-or-later
"""Kernel modules with all that they depend on, ready for modprobe in the guest."""

import lzma
import pathlib
import re
import tempfile

from . import cache


def _name_of(path: str) -> str:
    return re.sub(r"\.ko.*", "", pathlib.Path(path).name).replace("-", "_")


def kernel_version(tree: pathlib.Path) -> str:
    versions = [path.name for path in (tree / "usr/lib/modules").iterdir()]
    if len(versions) != 1:
        raise RuntimeError(f"{tree}: kernels: {versions}: wanted one")
    return versions[0]


def pick(tree: pathlib.Path, wanted: list[str]) -> dict[str, bytes]:
    """Files below usr/lib/modules/VERSION by name: the modules, uncompressed, and their index."""
    version = kernel_version(tree)
    source = tree / "usr/lib/modules" / version
    built_in = {_name_of(line) for line in (source / "modules.builtin").read_text().split()}

    with tempfile.TemporaryDirectory() as scratch:
        target = pathlib.Path(scratch, "lib/modules", version)
        target.mkdir(parents=True)
        for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
            (target / name).write_bytes((source / name).read_bytes())

        available = _dependencies(tree, source, version)
        for name in wanted:
            name = name.replace("-", "_")
            if name in built_in:
                continue
            if name not in available:
                raise RuntimeError(f"{tree}: no kernel module {name}")
            for file_name in available[name]:
                data = (source / file_name).read_bytes()
                if file_name.endswith(".xz"):
                    file_name, data = file_name[:-3], lzma.decompress(data)
                (target / file_name).parent.mkdir(parents=True, exist_ok=True)
                (target / file_name).write_bytes(data)

        cache.run("depmod", "--basedir", scratch, version)
        files = [path for path in target.rglob("*") if path.is_file()]
        return {str(path.relative_to(target)): path.read_bytes() for path in files}


def _dependencies(tree: pathlib.Path, source: pathlib.Path, version: str) -> dict[str, list[str]]:
    """Module name to its file and the files it needs, as depmod finds them for the whole kernel."""
    with tempfile.TemporaryDirectory() as scratch:
        place = pathlib.Path(scratch, "lib/modules")
        place.mkdir(parents=True)
        cache.run("cp", "--archive", "--symbolic-link", source, place / version)
        cache.run("depmod", "--basedir", scratch, version)
        lines = (place / version / "modules.dep").read_text().splitlines()
    result = {}
    for line in lines:
        file_name, needs = line.split(":", 1)
        result[_name_of(file_name)] = [file_name, *needs.split()]
    return result
