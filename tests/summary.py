#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Counts the single tests of the last run of `meson test`: summary.py BUILD

A test program of meson's holds many tests (TAP lines of GLib, tests of pytest); what people want to
know is how many of those passed.  Skips are listed with their reasons: a silent one is a failure.
"""

import json
import pathlib
import re
import sys

PYTEST = re.compile(r"(\d+) (passed|failed|errors?|skipped)")
TAP = re.compile(r"^(not )?ok \d+ ?([^#\n]*)(#\s*(SKIP|TODO)\b *(.*))?$", re.MULTILINE | re.IGNORECASE)
PYTEST_SKIP = re.compile(r"^SKIPPED \[(\d+)\] ([^\n]*)$", re.MULTILINE)


def count(test: dict) -> tuple[int, int, int, list[str]]:
    """How many passed, failed and were skipped in one program, and why they were skipped."""
    output = test.get("stdout") or ""
    good = test["result"] in ("OK", "SKIP", "EXPECTEDFAIL")
    passed = failed = skipped = 0
    reasons: list[str] = []

    closing = [line for line in output.splitlines() if re.search(r"\bin \d+\.\d+s\b", line)]
    if closing and PYTEST.search(closing[-1]):
        found = {word.rstrip("s"): int(number) for number, word in PYTEST.findall(closing[-1])}
        passed, skipped = found.get("passed", 0), found.get("skipped", 0)
        failed = found.get("failed", 0) + found.get("error", 0)
        reasons = [f"{test['name']}: {number} × {why}" for number, why in PYTEST_SKIP.findall(output)]
    elif TAP.search(output):
        for bad, name, _, directive, why in TAP.findall(output):
            if directive.upper() == "SKIP":
                skipped += 1
                reasons.append(f"{test['name']}: {name.strip()}: {why}")
            elif bad:
                failed += 1
            else:
                passed += 1
    elif test["result"] == "SKIP":
        skipped = 1
        reasons = [f"{test['name']}: {output.strip().splitlines()[-1] if output.strip() else 'no reason given'}"]
        failed = 0 if output.strip() else 1
    elif good:
        passed = 1

    # A program that died or timed out has failed, whatever it had printed.
    if not good and failed == 0:
        failed = 1
    return passed, failed, skipped, reasons


def main(build: str) -> int:
    # Its name has the test setup in it (testlog-everything.json).
    logs = pathlib.Path(build, "meson-logs").glob("testlog*.json")
    log = max(logs, key=lambda path: path.stat().st_mtime)
    totals = [0, 0, 0]
    skips: list[str] = []
    for line in log.read_text(encoding="utf-8").splitlines():
        passed, failed, skipped, reasons = count(json.loads(line))
        totals = [totals[0] + passed, totals[1] + failed, totals[2] + skipped]
        skips += reasons

    if skips:
        print("\nSKIPPED, and why:")
        for reason in skips:
            print(f"  {reason}")
    print(f"\n{totals[0]} passed, {totals[1]} failed, {totals[2]} skipped")
    return 1 if totals[1] or not totals[0] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
