#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Holds four lists to be one: symbols.py INCLUDE-DIR MAP [--library FILE] [--cdef FILE]

--to-come TOPIC: the library and the package do not have <dps/TOPIC.h> yet, or not all of it.

The functions of the public headers, those of the version script, those that the library shows and
those that the Python package declares are the same; each missing name is told, in both directions.
A declaration of the Python package reads as in the header, parameters and all, and it has every
public constant.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
DECLARATION = re.compile(
    r"^([A-Za-z_][\w \t\n*]*?\b\**)(dps_\w+)\s*\(([^()]*)\)[^;{]*;", re.MULTILINE
)
CONSTANT = re.compile(r"^\s*(?:#\s*define\s+)?(DPS_[A-Z0-9_]+)\b", re.MULTILINE)
# Of the preprocessor and of GLib, not of the library.
NOT_CONSTANTS = {"DPS_API", "DPS_ERROR"}


def squeeze(text: str) -> str:
    """One declaration in one form: no spaces but those between two words."""
    text = re.sub(r"\s+", " ", text).strip()
    return re.sub(r" ?([*(),]) ?", r"\1", text)


def declarations(text: str) -> Iterator[tuple[str, str]]:
    text = COMMENT.sub(" ", text)
    for match in DECLARATION.finditer(text):
        result = match.group(1).replace("DPS_API", "").strip()
        yield match.group(2), squeeze(f"{result} {match.group(2)}({match.group(3)})")


def constants(text: str) -> set[str]:
    """Enumerators and macros, by what stands first on their lines."""
    text = COMMENT.sub(" ", text)
    # An include guard or an attribute's fallback is no constant.
    return set(CONSTANT.findall(text)) - NOT_CONSTANTS


def read_headers(directory: Path) -> tuple[dict[str, str], dict[str, str], set[str], list[str]]:
    """Functions with their declarations, functions with their topics, constants, problems."""
    functions: dict[str, str] = {}
    topics: dict[str, str] = {}
    names: set[str] = set()
    problems = []
    headers = sorted({*directory.glob("dps/*.h"), *directory.glob("dps/*.h.in")})
    for header in headers:
        text = header.read_text(encoding="utf-8")
        plain = COMMENT.sub(" ", text)
        for name, declaration in declarations(text):
            functions[name] = declaration
            topics[name] = header.stem
            if not re.search(rf"\bDPS_API\b[^;]*\b{name}\s*\(", plain):
                problems.append(f"{header}: {name}: no DPS_API before it")
        names |= constants(text)
    if not functions:
        problems.append(f"{directory}: no public function in dps/*.h")
    return functions, topics, names, problems


def read_map(path: Path) -> tuple[set[str], list[str]]:
    text = COMMENT.sub(" ", path.read_text(encoding="utf-8"))
    problems = []
    names: list[str] = []
    for body in re.findall(r"\bglobal:(.*?)(?:\blocal:|\})", text, re.DOTALL):
        node = re.findall(r"[\w*?]+(?=\s*;)", body)
        problems += [f"{path}: {n}: every symbol by its name" for n in node if not n.isidentifier()]
        if node != sorted(node):
            problems.append(f"{path}: a node is not in the order of the alphabet")
        names += node
    problems += [f"{path}: {n}: twice" for n in set(names) if names.count(n) > 1]
    if not re.search(r"\blocal:\s*\*\s*;", text):
        problems.append(f"{path}: no 'local: *;': what is not named stays visible")
    return set(names), problems


def read_library(path: Path) -> set[str]:
    output = subprocess.run(
        ["nm", "-D", "--defined-only", "--format=posix", path],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    names = set()
    for line in output.splitlines():
        name, kind = line.split()[:2]
        if kind != "A":  # the version node itself
            names.add(name.partition("@")[0])
    return names


def compare(name: str, there: Iterable[str], other: str, here: Iterable[str]) -> Iterator[str]:
    for symbol in sorted(set(there) - set(here)):
        yield f"{symbol}: in {name}, not in {other}"
    for symbol in sorted(set(here) - set(there)):
        yield f"{symbol}: in {other}, not in {name}"


def check(
    include: Path,
    version_map: Path,
    library: Path | None = None,
    cdef: Path | None = None,
    to_come: Iterable[str] = (),
) -> list[str]:
    """Every disagreement, one line each."""
    functions, topics, names, problems = read_headers(include)
    late = {name for name, topic in topics.items() if topic in to_come}
    mapped, more = read_map(version_map)
    problems += more
    problems += compare("the headers", functions, version_map.name, mapped)
    if library:
        shown = read_library(library)
        problems += compare("the headers", functions.keys() - (late - shown), library.name, shown)
    if cdef:
        text = cdef.read_text(encoding="utf-8")
        declared = dict(declarations(text))
        missing = late - declared.keys()
        problems += compare("the headers", functions.keys() - missing, cdef.name, declared)
        for name in sorted(functions.keys() & declared.keys()):
            if functions[name] != declared[name]:
                problems.append(
                    f"{name}: the header has '{functions[name]}', {cdef.name} '{declared[name]}'"
                )
        # DPS_VERSION is text, which cffi takes as a variable.
        known = constants(text) | set(re.findall(r"\bconst (DPS_[A-Z_]+);", text))
        if not missing:
            problems += compare("the headers", names, cdef.name, known)
    return problems


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("include", type=Path)
    parser.add_argument("map", type=Path)
    parser.add_argument("--library", type=Path)
    parser.add_argument("--cdef", type=Path)
    parser.add_argument("--to-come", action="append", default=[])
    args = parser.parse_args()
    problems = check(args.include, args.map, args.library, args.cdef, args.to_come)
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
