#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What analyzers say of the C files, without running anything: analyze.py TOOL BUILD [FILE...]

TOOL is gcc, clang, clang-tidy or cppcheck, BUILD a directory that meson has set up for it.  Prints
what was found and how much; exits with 1 when it is anything.  Before, each has to find a planted
fault: one that is told nothing is silent too.
"""

from __future__ import annotations

import concurrent.futures
import re
import shutil
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
PLANTED = "tests/analyze/planted.c"

FINDING = re.compile(r"^(?P<file>[^:\s]+):(?P<line>\d+):(\d+:)? (?:warning|error): (?P<text>.*)$|^(?:cc1|error): .*$", re.M)

# What a tool is wrong about: in its words, at lines like this, and why.
EXCUSES = (
    (
        re.compile(r"Potential (memory )?leak.*\[clang-analyzer-unix\.Malloc"),
        re.compile(r""),
        "clang 14 does not know what the cleanup attribute does; the leak sanitizer does",
    ),
    (
        re.compile(r"\[bugprone-sizeof-expression"),
        re.compile(r"\bg_clear_pointer\("),
        "GLib's macro asserts that it is given a pointer to a pointer",
    ),
    (
        re.compile(r"\[cert-err33-c"),
        re.compile(r"\b(setlocale|signal)\("),
        "when there is no such locale or signal, it stays as it was",
    ),
)

CPPCHECK = [
    "cppcheck", "--quiet", "--inline-suppr", "--std=c11", "--library=gtk", "--library=posix",
    "--enable=warning,portability,performance", "--suppress=normalCheckLevelMaxBranches",
    # each thread has its own DIR: readdir_r() is deprecated
    "--suppress=readdirCalled",
    "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64", "-I", "libdps", "-I", "libdps/include",
    "-DG_DEFINE_EXTENDED_ERROR(a,b)=", "-DG_GNUC_PRINTF(a,b)=",
]  # fmt: skip


def run(*words: str | Path) -> str:
    done = subprocess.run(
        [str(w) for w in words], cwd=TOP, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return done.stdout


def compile_all(build: Path) -> str:
    """-Werror: what fails is compiled again the next time, and told again."""
    return run("ninja", "-C", build, "-k", "0", "-j", "2")


def in_parts(files: list[str], *words: str | Path) -> str:
    """Two at a time; a few files in each call."""
    parts = [files[i : i + 8] for i in range(0, len(files), 8)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return "".join(pool.map(lambda part: run(*words, *part), parts))


def look(tool: str, build: Path, files: list[str]) -> str:
    if tool in ("gcc", "clang"):
        return compile_all(build)
    if tool == "clang-tidy":
        return in_parts(files, "clang-tidy", "--quiet", "-p", build)
    return in_parts(files, *CPPCHECK)


def look_at_planted(tool: str) -> str:
    if tool == "gcc":
        return run("gcc", "-fanalyzer", "-c", "-o", "/dev/null", PLANTED)
    if tool == "clang":
        return run("clang", "-Wall", "-c", "-o", "/dev/null", PLANTED)
    if tool == "clang-tidy":
        return run("clang-tidy", "--quiet", PLANTED, "--")
    return run(*CPPCHECK, PLANTED)


def line_of(match: re.Match[str], build: Path) -> str:
    if not match["file"]:
        return ""
    for place in (build, TOP):
        path = place / match["file"]
        if path.exists():
            return path.read_text(encoding="utf-8").splitlines()[int(match["line"]) - 1]
    return ""


def judge(text: str, build: Path) -> tuple[list[str], int]:
    """What counts, each once; and how many are excused."""
    found: dict[str, None] = {}
    excused = set()
    for match in FINDING.finditer(text):
        line = line_of(match, build)
        said = match[0]
        name = re.sub(r"^(\.\./)+|^" + re.escape(str(TOP)) + r"/(build[\w-]*/\.\./)?", "", said)
        if any(words.search(said) and at.search(line) for words, at, _ in EXCUSES):
            excused.add(name)
        else:
            found[name] = None
    return list(found), len(excused)


def main(tool: str, directory: str, *names: str) -> int:
    build = Path(directory).resolve()
    if not shutil.which(tool):
        print(f"SKIP: no {tool} here")
        return 77  # meson's code for a skipped test
    if not FINDING.search(look_at_planted(tool)):
        print(f"{tool}: finds nothing in {PLANTED}: is it the real one?")
        return 1
    files = list(names) or sorted(str(p.relative_to(TOP)) for d in ("libdps", "cli") for p in (TOP / d).rglob("*.c"))
    text = look(tool, build, files)
    found, excused = judge(text, build)
    for line in found:
        print(line)
    print(f"{tool}: {len(found)} findings, {excused} excused, {len(files)} files")
    if not found and tool in ("gcc", "clang") and "FAILED:" in text:
        print(text[-4000:])
        return 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
