#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Holds findings together: findings.py SOURCE

A code is born in one place (a row of a table of rules, or a finding of plan and apply) and needs a
section in dps-findings(7), a test that makes it fire and one that keeps it silent:
test_CODE_fires and test_CODE_silent in tests/against, with _ for -, or a row of the table of faults
(test_faults.py), each of which is planted on a disk that is silent without it.
"""

import pathlib
import re
import sys

ROW = re.compile(r'^\t\{ "([a-z0-9-]+)", DPS_SEVERITY_', re.MULTILINE)
CALL = re.compile(r'dps_finding_new\(\s*"([a-z0-9-]+)"')
SECTION = re.compile(r"^## ([a-z0-9-]+)$", re.MULTILINE)
FAULT = re.compile(r'^    "([a-z0-9-]+)": Fault\(', re.MULTILINE)
TEST = re.compile(r"^def test_([a-z0-9_]+)_(fires|silent)\(", re.MULTILINE)


def read_all(paths: list[pathlib.Path]) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


def main(source: str) -> int:
    top = pathlib.Path(source)
    code = read_all(sorted(top.glob("libdps/decide/*.c")))
    rows = ROW.findall(code)
    born = set(rows) | set(CALL.findall(code))
    sections = SECTION.findall((top / "cli/man/dps-findings.7.scd").read_text(encoding="utf-8"))
    text = read_all(sorted(top.glob("tests/against/*.py")))
    tests = set(TEST.findall(text))
    tests |= {(code.replace("-", "_"), kind) for code in FAULT.findall(text) for kind in ("fires", "silent")}

    problems = [f"{name}: two rules" for name in sorted(set(rows)) if rows.count(name) > 1]
    problems += [f"{name}: no section in dps-findings(7)" for name in sorted(born - set(sections))]
    problems += [f"{name}: a section and no code" for name in sorted(set(sections) - born)]
    problems += [f"{name}: two sections" for name in sorted(set(sections)) if sections.count(name) > 1]
    for name in sorted(born):
        for kind in ("fires", "silent"):
            if (name.replace("-", "_"), kind) not in tests:
                problems.append(f"{name}: no test_{name.replace('-', '_')}_{kind}")
    problems += [f"test_{name}_{kind}: tests no code" for name, kind in sorted(tests)
                 if name.replace("_", "-") not in born]

    for problem in problems:
        print(f"findings: {problem}")
    print(f"findings: {len(born)} codes")
    return 1 if problems or not born else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
