#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Boots disks in virtual machines: the acceptance test.

    run.py short    before and after apply, both boot entries, the kickstart snippet
    run.py all      the whole matrix
    run.py arm64    before and after on aarch64

Exit status: 0 all as written down, 1 not, 77 nothing could be tried here (and why).
"""

import argparse
import importlib.util
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True

import bench  # noqa: E402
from image import cache  # noqa: E402

NOTHING_TRIED = 77  # meson's number for a skipped test


def main() -> int:
    top = HERE.parent.parent
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suite", choices=["short", "all", "arm64"])
    parser.add_argument("--dps-tag", type=pathlib.Path, default=top / "build/cli/dps-tag")
    parser.add_argument("--logs", type=pathlib.Path, default=top / "build/vm-logs")
    parser.add_argument("--jobs", type=int, default=2, help="machines at a time (default: 2)")
    parser.add_argument("-k", metavar="EXPRESSION", help="only these tests, as pytest's -k")
    options = parser.parse_args()

    reason = bench.why_not("aarch64" if options.suite == "arm64" else "x86_64")
    if importlib.util.find_spec("pytest") is None:
        reason = f"{sys.executable} has no pytest: install python3-pytest"
    if reason:
        print(f"SKIP: boot tests: {reason}", file=sys.stderr)
        return NOTHING_TRIED
    cache.prune()
    import pytest

    words = [
        *(str(HERE), "-v", "-rs", "--color=auto", "-p", "no:cacheprovider", "--tb=short"),
        f"--rootdir={HERE}",
        f"--vm-suite={options.suite}",
        f"--vm-jobs={options.jobs}",
        f"--vm-logs={options.logs.resolve()}",
        f"--dps-tag={options.dps_tag.resolve()}",
    ]
    if options.k:
        words += ["-k", options.k]
    return int(pytest.main(words))


if __name__ == "__main__":
    sys.exit(main())
