#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs pytest for meson: run-pytest.py ARGUMENT...

Without pytest the test is skipped and says so; what pytest itself skips is listed with its reason.
"""

import importlib.util
import sys

if importlib.util.find_spec("pytest") is None:
    print(f"SKIP: {sys.executable} has no pytest: install python3-pytest")
    sys.exit(77)  # meson's code for a skipped test

import pytest

sys.exit(pytest.main(["-p", "no:cacheprovider", "-rs", "-q", *sys.argv[1:]]))
