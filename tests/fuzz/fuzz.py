#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs libFuzzer on one target after the other: fuzz.py BUILD SECONDS [TARGET…]

Each starts from its seeds, from images that mkfs and its kin make now (make-images.py) and from what
earlier runs learned, which stays in BUILD/corpus-TARGET and is made small again behind each run.  What
is found is in BUILD/found.  A unit may take 10 seconds, 512 MiB, and 128 MiB in one allocation.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
LIMITS = ["-timeout=10", "-rss_limit_mb=512", "-malloc_limit_mb=128"]
# Freed memory that is kept to notice a late use of it counts, too: less of it.
ENVIRONMENT = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1:quarantine_size_mb=32",
               "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1"}
ROW = "{:<11} {:>6} {:>11} {:>8} {:>8} {:>14} {:>8} {:>8}  {}"


def last(pattern, log, otherwise="0"):
    found = re.findall(pattern, log)
    return found[-1] if found else otherwise


def fuzz(build, name, seconds):
    program = build / "tests/fuzz" / f"fuzz-{name}"
    corpus, small = build / f"corpus-{name}", build / f"corpus-{name}.new"
    seeds = [build / "fresh" / name, build / "tests/fuzz" / f"seeds-{name}"]
    dictionary = HERE / f"{name}.dict"
    for directory in (corpus, seeds[0], build / "found"):
        directory.mkdir(parents=True, exist_ok=True)
    words = [*LIMITS, f"-artifact_prefix={build}/found/{name}-"]
    words += [f"-dict={dictionary}"] if dictionary.exists() else []
    log_path = build / f"fuzz-{name}.log"
    with open(log_path, "w", encoding="utf-8") as log_file:
        done = subprocess.run([program, f"-max_total_time={seconds}", "-print_final_stats=1", *words, corpus, *seeds],
                              stdout=log_file, stderr=log_file, env=ENVIRONMENT, check=False)
    log = log_path.read_text(encoding="utf-8", errors="replace")

    # Only what reaches something that nothing else does is kept.
    shutil.rmtree(small, ignore_errors=True)
    small.mkdir()
    merged = subprocess.run([program, "-merge=1", *words, small, *seeds, corpus], capture_output=True,
                            env=ENVIRONMENT, check=False)
    if merged.returncode == 0:
        shutil.rmtree(corpus)
        small.rename(corpus)
    edges = last(r"Loaded 1 modules\s+\((\d+) inline", log)
    print(ROW.format(name, last(r"Done \d+ runs in (\d+)", log, "?"), last(r"number_of_executed_units:\s*(\d+)", log, "?"),
                     last(r"new_units_added:\s*(\d+)", log, "?"), len(list(corpus.iterdir())),
                     last(r"cov: (\d+)", log) + "/" + edges,
                     last(r"slowest_unit_time_sec:\s*(\d+)", log, "?") + " s", last(r"peak_rss_mb:\s*(\d+)", log, "?") + " MB",
                     "" if done.returncode == 0 else last(r"SUMMARY: (.*)", log, "found: " + str(log_path))), flush=True)
    return done.returncode == 0


def main():
    build, seconds = pathlib.Path(sys.argv[1]).resolve(), int(sys.argv[2])
    names = sys.argv[3:] or sorted(path.stem.removeprefix("fuzz-") for path in HERE.glob("fuzz-*.c"))
    for name in names:
        if not (build / "tests/fuzz" / f"fuzz-{name}").exists():
            sys.exit(f"fuzz: {name}: no such target")
    subprocess.run([sys.executable, HERE / "make-images.py", build / "fresh", *names], check=True,
                   stdout=subprocess.DEVNULL)
    print(ROW.format("target", "s", "executions", "new", "corpus", "edges", "slowest", "peak", ""))
    if not all([fuzz(build, name, seconds) for name in names]):
        sys.exit(f"fuzz: something was found: {build}/found")


main()
