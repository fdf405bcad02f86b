#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Holds the house together: layers.py SOURCE-ROOT

The library has four floors; a file includes only from its own floor or from below, written from
libdps/ ("format/fat.h"), and within a floor nothing includes in a circle; what files of one
module share, and nobody else, is in x-internal.h, which is a part of x.  One foreign library
enters through one file.  Programs and bindings see <dps/...> and nothing behind it.  Each source
file says under which licence it is.  What goes before an error is often a name from a medium, and is
made safe to show by one function.  docs/architecture.md says why, and names each file.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

FLOORS = ("ground", "format", "target", "decide")

# Which file a foreign library enters through; the key is the start of the header's name.
DOORS = {
    "libfdisk/": {"libdps/target/fdisk.c"},
    "blkid/": {"libdps/target/content.c"},
    "libmount/": {"libdps/target/mount-tables.c"},
    "btrfsutil.h": {"libdps/target/subvolume.c"},
    "uuid/": {"libdps/ground/guid.c"},
    "ext2fs/": {"libdps/target/ext4.c"},
    "et/": {"libdps/target/ext4.c"},
    "gcrypt.h": {"libdps/format/checksum.c"},
    "xxhash.h": {"libdps/format/checksum.c"},
    "zlib.h": {"libdps/format/decompress.c"},
    "zstd.h": {"libdps/format/decompress.c"},
    "jansson.h": {"libdps/decide/backup.c", "libdps/format/verity.c", "cli/json.c"},
    "libsmartcols/": {"cli/text.c"},
    # How a process is confined; the library never does.
    "linux/landlock.h": {"cli/sandbox.c"},
    "linux/seccomp.h": {"cli/sandbox.c"},
    "linux/filter.h": {"cli/sandbox.c"},
    "linux/audit.h": {"cli/sandbox.c"},
}

# The C library, which everybody may use; the kernel's headers are for the floor that meets it.
C_LIBRARY = re.compile(
    r"(?:assert|byteswap|ctype|dirent|elf|endian|errno|fcntl|float|ftw|getopt|grp|inttypes|"
    r"langinfo|limits|locale|math|mntent|poll|pthread|pwd|sched|setjmp|signal|stdalign|stdarg|stdatomic|stdbool|"
    r"stddef|stdint|stdio|stdlib|string|strings|termios|time|unistd|wchar|wctype)\.h|sys/\w+\.h"
)
KERNEL = re.compile(r"(?:linux|asm)/[\w/-]+\.h")
# The doors' headers may name no more than these, so that no foreign type is in a signature.
PLAIN_C = {"stdbool.h", "stddef.h", "stdint.h"}

# The deciding floor opens nothing itself; only its backup is a file of its own.
OPENS = re.compile(
    r"\b(?:open|openat|openat2|fopen|fdopen|opendir|creat|mkostemp|mkstemp|"
    r"g_open|g_fopen|g_creat|g_mkstemp\w*|g_dir_open|g_file_[gs]et_contents\w*)\s*\("
)
MAY_OPEN = {"libdps/decide/backup.c"}

# dps_prefix_error() makes it text that no terminal obeys.
PREFIXES = re.compile(r"\bg_prefix_error\w*\s*\(|\bg_propagate_prefixed_error\w*\s*\(")
MAY_PREFIX = {"libdps/ground/error.c"}

INCLUDE = re.compile(r"""^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]*)[>"]""", re.MULTILINE)
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
STRING = re.compile(r'"(?:\\.|[^"\\\n])*"')

SPDX = "SPDX-License-Identifier: LGPL-2.1-or-later"
# What carries the line: all that has a comment to put it in.  Data (csv, json, seeds, images of
# text that tests compare) and prose (md, COPYING) do not.
HAS_COMMENTS = {
    ".bash",
    ".build",
    ".c",
    ".conf",
    ".fish",
    ".h",
    ".in",
    ".ini",
    ".ks",
    ".map",
    ".py",
    ".pyi",
    ".scd",
    ".service",
    ".sh",
    ".toml",
    ".yaml",
    ".yml",
    ".zsh",
}
HAS_COMMENTS_BY_NAME = {".clang-format", ".clang-tidy", ".editorconfig", "meson_options.txt"}


def tracked(root: Path) -> list[PurePosixPath]:
    """Every file of the project: as git has it, or in a tarball all that is no build directory."""
    if (root / ".git").exists() and shutil.which("git"):
        names = subprocess.run(
            ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            capture_output=True,
            check=False,
        )
        if names.returncode == 0:
            listed = [PurePosixPath(name.decode()) for name in names.stdout.split(b"\0") if name]
            return sorted(path for path in listed if (root / path).is_file())
    found = []
    for path in root.rglob("*"):
        inside = path.relative_to(root)
        skip = any(p.startswith("build") or p in (".git", "__pycache__") for p in inside.parts[:-1])
        if path.is_file() and not skip:
            found.append(PurePosixPath(inside.as_posix()))
    return sorted(found)


def includes(text: str) -> Iterator[tuple[str, str, int]]:
    """(quote, name, line) of each include; those in comments do not count."""
    blank = COMMENT.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)
    for match in INCLUDE.finditer(blank):
        yield match.group(1), match.group(2), blank.count("\n", 0, match.start()) + 1


def check_foreign(file: str, name: str) -> str | None:
    for start, doors in DOORS.items():
        if name.startswith(start):
            if file in doors:
                return None
            return f"<{name}> enters through {' or '.join(sorted(doors))} alone"
    if name == "glib.h" or C_LIBRARY.fullmatch(name):
        return None
    if name == "dps/dps.h" and file.startswith("libdps/"):
        return "<dps/dps.h> is for users: include the header of the topic"
    if re.fullmatch(r"dps/[\w-]+\.h", name):
        return None
    if KERNEL.fullmatch(name):
        if file.startswith("libdps/target/"):
            return None
        return f"<{name}>: the kernel is met in libdps/target/"
    if name.startswith(("glib", "gio/", "gobject/")):
        return f"<{name}>: of GLib, <glib.h> alone"
    return f"<{name}> is a library that no file is the door of"


def check_library(root: Path, file: PurePosixPath, text: str) -> Iterator[str]:
    floor = file.parts[1]
    for quote, name, line in includes(text):
        where = f"{file}:{line}"
        if quote == "<":
            problem = check_foreign(str(file), name)
            if problem:
                yield f"{where}: {problem}"
            continue
        target = PurePosixPath(name)
        if len(target.parts) != 2 or target.parts[0] not in FLOORS:
            yield f'{where}: "{name}" is not written from libdps/ ("floor/file.h")'
        elif not (root / "libdps" / target).is_file():
            yield f'{where}: "{name}" is not there'
        elif FLOORS.index(target.parts[0]) > FLOORS.index(floor):
            yield f"{where}: {floor} includes {name}, which is above it"
    code = COMMENT.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)
    code = STRING.sub('""', code)
    if floor == "decide" and str(file) not in MAY_OPEN:
        for match in OPENS.finditer(code):
            line = code.count("\n", 0, match.start()) + 1
            yield f"{file}:{line}: {match.group()}): the deciding floor opens nothing itself"
    if str(file) not in MAY_PREFIX:
        for match in PREFIXES.finditer(code):
            line = code.count("\n", 0, match.start()) + 1
            yield f"{file}:{line}: {match.group()}): dps_prefix_error() is ours"


def check_door(file: PurePosixPath, text: str) -> Iterator[str]:
    for quote, name, line in includes(text):
        ok = re.fullmatch(r"dps/[\w-]+\.h", name) or name == "glib.h" or name in PLAIN_C
        if quote != "<" or not ok:
            yield f"{file}:{line}: {name}: a public header includes <glib.h>, <dps/...>, plain C"


def check_outside(root: Path, file: PurePosixPath, text: str) -> Iterator[str]:
    """cli/ and bindings/: what is behind the door is not theirs."""
    home = (root / file.parts[0]).resolve()
    for quote, name, line in includes(text):
        where = f"{file}:{line}"
        if quote == "<":
            problem = check_foreign(str(file), name)
        else:
            at_home = [(root / file.parent / name), home / name, root / name]
            inside = any(p.is_file() and home in p.resolve().parents for p in at_home)
            problem = None if inside else f'"{name}" is not a file of {file.parts[0]}/'
        if problem:
            yield f"{where}: {problem}"


def check_circles(root: Path, files: list[PurePosixPath]) -> Iterator[str]:
    """Modules (x.c with x.h, x-internal.h) of one floor, as a graph; says each circle once."""
    graph: dict[str, set[str]] = {}
    for file in files:
        if len(file.parts) != 3 or file.parts[1] not in FLOORS:
            continue
        module = f"{file.parts[1]}/{file.stem.removesuffix('-internal')}"
        edges = graph.setdefault(module, set())
        for quote, name, _ in includes((root / file).read_text(encoding="utf-8")):
            target = str(PurePosixPath(name).with_suffix("")).removesuffix("-internal")
            if quote == '"' and target.startswith(file.parts[1] + "/") and target != module:
                edges.add(target)

    done: set[str] = set()

    def walk(module: str, path: list[str]) -> Iterator[str]:
        if module in path:
            circle = path[path.index(module) :] + [module]
            yield f"libdps/{circle[0]}: a circle: {' -> '.join(circle)}"
        elif module not in done:
            for target in sorted(graph.get(module, ())):
                yield from walk(target, [*path, module])
            done.add(module)

    for module in sorted(graph):
        yield from walk(module, [])


def check_licence(file: PurePosixPath, text: str) -> Iterator[str]:
    wants = (
        file.suffix in HAS_COMMENTS or file.name in HAS_COMMENTS_BY_NAME or text.startswith("#!")
    )
    if wants and not any(SPDX in line for line in text.splitlines()[:3]):
        yield f"{file}: no line '{SPDX}' at its top"


def check_tree(root: Path) -> list[str]:
    """Every problem of the project at root, one line each."""
    problems: list[str] = []
    files = tracked(root)
    for file in files:
        try:
            text = (root / file).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a seed of a fuzzer; no source
        problems += check_licence(file, text)
        # The foreign includes of a binding are in what it gives its compiler.
        if file.parts[0] == "bindings" and file.suffix in (".c", ".h", ".py"):
            problems += check_outside(root, file, text)
        if file.suffix not in (".c", ".h"):
            continue
        if file.parts[:3] == ("libdps", "include", "dps"):
            problems += check_door(file, text)
        elif file.parts[0] == "libdps" and len(file.parts) == 3 and file.parts[1] in FLOORS:
            problems += check_library(root, file, text)
        elif file.parts[0] == "libdps":
            problems.append(f"{file}: on no floor: libdps/ has {', '.join(FLOORS)}")
        elif file.parts[0] == "cli":
            problems += check_outside(root, file, text)
    problems += check_circles(root, [f for f in files if f.parts[0] == "libdps"])
    if not any(f.parts[0] == "libdps" and f.suffix == ".c" for f in files):
        problems.append(f"{root}: no libdps/ in here: nothing was looked at")
    return problems


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    problems = check_tree(Path(sys.argv[1]))
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
