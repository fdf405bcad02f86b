#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checks types, strictly: run-mypy.py CACHE PATH...; skips, and says so, where mypy is not."""

import importlib.util
import subprocess
import sys

if importlib.util.find_spec("mypy") is None:
    print(f"SKIP: {sys.executable} has no mypy: install mypy (python3-mypy)")
    sys.exit(77)  # meson's code for a skipped test

cache, *paths = sys.argv[1:]
command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", cache, *paths]
sys.exit(subprocess.run(command, check=False).returncode)
