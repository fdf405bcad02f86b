#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Holds docs/architecture.md to the tree: rooms.py SOURCE-ROOT

Its tables of rooms name each module of libdps/ and cli/ (x of x.c, x.h, x-internal.h) once, on its
own floor, and nothing that is not there.  Its table of limits names the constants that it speaks of,
with the numbers that they have, and each constant that is a limit stands in it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

FLOORS = ("ground", "format", "target", "decide", "cli")

# Modules whose file is made or chosen when the library is built.
AS_ANOTHER = {"ext4-absent": "ext4", "types-table": "types"}

# Names that are limits by their form.
IS_LIMIT = re.compile(r"(?:\w+_)?MAX(?:_\w+)?|(?:\w+_)?WAIT_SECONDS|SANDBOX_\w*(?:SECONDS|MIB)")
# Those that say how large something is by its format, and how much a line shows: none of them
# keeps a hostile medium from anything.
NO_LIMITS = {
    ("ground", "arch", "MAX_ALIASES"),  # of the longest row of a table in the file
    ("ground", "derive", "MAX_HASH_BYTES"),
    ("format", "btrfs", "DPS_BTRFS_MAX_COPIES"),
    ("format", "btrfs", "DPS_BTRFS_MAX_SUPERS"),
    ("format", "btrfs", "MAX_SYS_CHUNKS"),
    ("format", "checksum", "DPS_CHECKSUM_MAX_SIZE"),
    ("format", "pe", "OPTIONAL_MAX_SIZE"),
    ("format", "kernel", "X86_MAX_VERSION"),
    ("format", "verity", "MAX_BLOCK_SIZE"),
    ("cli", "cmd-show", "SUBVOLUMES_MAX"),
    ("cli", "diskmap", "WIDTH_MAX"),
    ("cli", "screen", "WIDTH_MAX"),
    ("cli", "suggest", "WORD_MAX"),
}

KNOWN = {"PATH_MAX": 4096}  # linux/limits.h
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")

DEFINE = re.compile(r"^#define[ \t]+(\w+)[ \t]+(.*?)[ \t]*(?:/\*.*)?$", re.MULTILINE)
CODE = re.compile(r"`([^`]+)`")
QUANTITY = re.compile(r"\b(\d+)([⁰¹²³⁴⁵⁶⁷⁸⁹]+)?(?: (KiB|MiB|GiB)\b)?")

Constants = dict[tuple[str, str, str], int]


def modules(root: Path) -> dict[str, set[str]]:
    """The modules of each floor, by their files."""
    found: dict[str, set[str]] = {}
    for floor in FLOORS:
        folder = root / floor if floor == "cli" else root / "libdps" / floor
        stems = {p.stem.removesuffix("-internal") for p in folder.glob("*.[ch]")}
        found[floor] = {AS_ANOTHER.get(stem, stem) for stem in stems}
    return found


def table_rows(lines: list[str]) -> Iterator[list[str]]:
    """The cells of each row below the head of a table."""
    for line in lines:
        if line.startswith("| ") and not re.match(r"\| (?:---|room|what) \|", line):
            yield [cell.strip() for cell in line.strip().strip("|").split(" | ")]


def sections(text: str) -> dict[str, list[str]]:
    """Lines by "## heading"; within "The floors" by the floor whose name begins a paragraph."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in text.splitlines():
        if heading := re.match(r"## (.*)", line):
            name = heading[1]
        elif floor := re.match(r"\*\*(\w+)\*\*", line):
            name = floor[1]
        found.setdefault(name, []).append(line)
    return found


def check_rooms(root: Path, parts: dict[str, list[str]]) -> Iterator[str]:
    for floor, there in modules(root).items():
        named = [n for row in table_rows(parts.get(floor, [])) for n in CODE.findall(row[0])]
        for name in sorted(there - set(named)):
            yield f"{floor}/{name}: docs/architecture.md does not say what it is"
        for name in sorted(set(named) - there):
            yield f"docs/architecture.md: {floor}/{name}: is not there"
        for name in sorted({n for n in named if named.count(n) > 1}):
            yield f"docs/architecture.md: {floor}/{name}: stands there twice"


def evaluate(text: str, own: dict[str, str]) -> int | None:
    """A constant expression of C as our constants have them; None: it is no number."""
    text = re.sub(r"\(size_t\)|\(gsize\)|\bUINT(?:32|64)_C\b", "", text)
    text = re.sub(r"\b(\d+|0x[0-9a-fA-F]+)[uUlL]+\b", r"\1", text)
    for name in set(re.findall(r"\b[A-Z]\w+\b", text)):
        value = KNOWN.get(name) or (name in own and evaluate(own[name], own))
        if not value:
            return None
        text = re.sub(rf"\b{name}\b", str(value), text)
    if not re.fullmatch(r"[\da-fx\s()*/+<-]+", text):
        return None
    return int(eval(text.replace("/", "//")))  # noqa: S307  (digits and operators alone)


def limits(root: Path) -> Constants:
    """Each constant of the tree that is a limit by its name."""
    found: Constants = {}
    for path in sorted([*root.glob("libdps/*/*.[ch]"), *root.glob("cli/*.[ch]")]):
        own = dict(DEFINE.findall(path.read_text(encoding="utf-8")))
        for name, text in own.items():
            value = evaluate(text, own) if IS_LIMIT.fullmatch(name) else None
            if value is not None:
                unit = UNITS["MiB"] if name.endswith("_MIB") else 1
                found[path.parent.name, path.stem.removesuffix("-internal"), name] = value * unit
    return found


def quantities(text: str) -> list[int]:
    """ "96, 4 MiB read of one" is [96, 4194304]; "2²³ visits" is [8388608]."""
    found = []
    for number, power, unit in QUANTITY.findall(text):
        value = int(number) ** int(power.translate(SUPERSCRIPTS)) if power else int(number)
        found.append(value * UNITS.get(unit, 1))
    return found


def check_limits(root: Path, parts: dict[str, list[str]]) -> Iterator[str]:
    there = limits(root)
    told: set[tuple[str, str, str]] = set()
    for row in table_rows(parts.get("Limits", [])):
        if len(row) != 4:
            yield f"docs/architecture.md: {row[0]}: a row of limits has four cells"
            continue
        what, limit, _, where = row
        values: list[int] = []
        for reference in CODE.findall(where):
            module, _, names = reference.partition(": ")
            for name in names.split(", ") if names else ():
                keys = [key for key in there if key[1:] == (module, name)]
                if not keys:
                    yield f"docs/architecture.md: {what}: {module} has no {name}"
                told.update(keys)
                values += [there[key] for key in keys if there[key] not in values]
            if not names:
                yield f"docs/architecture.md: {what}: `{module}` without the name of a constant"
        if values != quantities(limit):
            yield f"docs/architecture.md: {what}: says {quantities(limit)}, the code has {values}"
    for floor, module, name in sorted(set(there) - told - NO_LIMITS):
        yield f"{floor}/{module}: {name}: is no limit of docs/architecture.md"
    for floor, module, name in sorted(NO_LIMITS - set(there)):
        yield f"tests/lint/rooms.py: NO_LIMITS: {floor}/{module} has no {name}"


def check_tree(root: Path) -> list[str]:
    parts = sections((root / "docs/architecture.md").read_text(encoding="utf-8"))
    return [*check_rooms(root, parts), *check_limits(root, parts)]


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    problems = check_tree(Path(sys.argv[1]))
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
