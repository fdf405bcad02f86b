#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which lines the tests reached, from what the programs of a coverage build left behind.

    coverage_report.py BUILD [--floor PERCENT]

Prints lines and those that were reached, a file each and in all, then the lines of the writers that
were not.  Fails below the floor.  With BUILD/coverage/ as pages for a browser.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import re
import subprocess
import sys
from dataclasses import dataclass, field

TOP = pathlib.Path(__file__).resolve().parent.parent

# What writes to disks, images and backup files, or decides what is written: here each line counts.
WRITERS = [
    "libdps/decide/apply.c",
    "libdps/decide/backup-file.c",
    "libdps/decide/backup.c",
    "libdps/decide/change.c",
    "libdps/decide/prepare.c",
    "libdps/decide/undo.c",
    "libdps/format/btrfs-edit.c",
    "libdps/format/gpt-cutoff.c",
    "libdps/format/gpt-edit.c",
    "libdps/ground/edit.c",
    "libdps/target/beneath.c",
    "libdps/target/blockdev.c",
    "libdps/target/fd.c",
    "libdps/target/holders.c",
    "libdps/target/journal.c",
    "libdps/target/medium-edits.c",
    "libdps/target/medium.c",
    "libdps/target/raw-image.c",
    "libdps/target/save-dir.c",
    "libdps/target/save.c",
    "libdps/target/subvolume.c",
]


@dataclass
class File:
    path: str
    lines: dict[int, int] = field(default_factory=dict)  # number: how often it ran

    @property
    def missed(self) -> list[int]:
        return sorted(number for number, count in self.lines.items() if count == 0)


def parse_lcov(text: str) -> list[File]:
    """Source: geninfo(1) of lcov, section FILES: SF names a source, DA has a line and its count."""
    files: list[File] = []
    for line in text.splitlines():
        if match := re.fullmatch(r"SF:(.*)", line):
            files.append(File(os.path.relpath(match[1], TOP)))
        elif match := re.match(r"DA:(\d+),(\d+)", line):
            files[-1].lines[int(match[1])] = int(match[2])
    ours = [file for file in files if re.match(r"(libdps|cli)/", file.path)]  # and not GLib's
    return sorted(ours, key=lambda file: file.path)


def leave_out_dead_ends(file: File, source: str) -> None:
    """Lines that nobody comes by on purpose.

    g_assert_not_reached() says so, and what leads there alone; a line that ends in a comment "not
    reached: WHY" says why.  One of these that was reached after all is counted, as reached.
    """
    text = source.splitlines()
    dead = {number for number, line in enumerate(text, 1) if re.search(r"/\* not reached: \w.*\*/$", line)}
    for number, line in enumerate(text, 1):
        if line.strip() != "g_assert_not_reached();":
            continue
        first = last = number
        # The bracket of a switch counts with what is around it.
        while re.fullmatch(r"\s*(\}|break;|case \w+:)", text[first - 2]) and (
            text[first - 2].strip() == "}" or file.lines.get(first - 1, 0) == 0
        ):
            first -= 1
        while text[last].strip() == "}" and file.lines.get(last + 1, 0) == 0:
            last += 1
        dead |= set(range(first, last + 1))
    for number in dead:
        if file.lines.get(number) == 0:
            del file.lines[number]


def percent(reached: int, lines: int) -> float:
    return 100.0 * reached / lines if lines else 100.0


def row(name: str, lines: int, missed: int) -> str:
    return f"{name:<40} {lines:>6} {lines - missed:>8} {percent(lines - missed, lines):>7.1f} %"


def ranges(numbers: list[int]) -> str:
    """7-9, 12"""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def report(files: list[File], floor: float) -> tuple[str, bool]:
    """The text, and whether that is enough."""
    known = {file.path for file in files}
    if gone := [path for path in WRITERS if path not in known]:
        return f"coverage: nothing was counted of {', '.join(gone)}", False

    out = [f"{'file':<40} {'lines':>6} {'reached':>8} {'':>9}"]
    out += [row(file.path, len(file.lines), len(file.missed)) for file in files]
    lines = sum(len(file.lines) for file in files)
    missed = sum(len(file.missed) for file in files)
    out += ["", "Lines of the writers that no test reaches:", ""]
    writers = [file for file in files if file.path in WRITERS]
    out += [f"{file.path}: {ranges(file.missed)}" for file in writers if file.missed] or ["none"]
    writer_lines = sum(len(file.lines) for file in writers)
    out += [
        "",
        row("the writers", writer_lines, sum(len(file.missed) for file in writers)),
        row("all", lines, missed),
    ]
    is_enough = percent(lines - missed, lines) >= floor
    if not is_enough:
        out.append(f"coverage: less than {floor:g} % of all lines are reached")
    return "\n".join(out), is_enough


def llvm_cov(*words: str | pathlib.Path) -> str:
    """What it prints.  That GLib's inline functions are another's in each file is no news."""
    done = subprocess.run(["llvm-cov", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"coverage: llvm-cov: {done.stderr}")
    return done.stdout


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--floor", type=float, default=0.0)
    options = parser.parse_args()
    build = options.build.resolve()

    profile = build / "coverage.profdata"
    counts = sorted((build / "profiles").glob("*.profraw"))
    if not counts:
        print(f"coverage: {build}/profiles: no test has run", file=sys.stderr)
        return 1
    subprocess.run(["llvm-profdata", "merge", "-sparse", "-o", profile, *counts], check=True)

    # All of the library and all of the program; what tests link in statically has the same names.
    library = next((build / "libdps").glob("libdps.so.*.*"))
    words = ["-instr-profile", profile, library, f"-object={build / 'cli/dps-tag'}"]
    lcov = llvm_cov("export", "-format=lcov", *words)
    llvm_cov("show", "-format=html", f"-output-dir={build / 'coverage'}", *words)
    files = parse_lcov(lcov)
    for file in files:
        leave_out_dead_ends(file, (TOP / file.path).read_text())
    text, is_enough = report(files, options.floor)
    print(text)
    return 0 if is_enough else 1


if __name__ == "__main__":
    sys.exit(main())
