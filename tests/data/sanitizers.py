# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a program that is built with sanitizers takes differently."""

from __future__ import annotations

import os
from pathlib import Path


def is_sanitized(program: str | os.PathLike[str]) -> bool:
    """Whether the address sanitizer is in it: it maps terabytes, so that no limit of memory holds."""
    return b"__asan_init" in Path(program).read_bytes()


def without_leaks() -> dict[str, str]:
    """An environment where leaks are not looked for: that takes ptrace(2), which one has only once
    (strace), and /proc."""
    options = os.environ.get("ASAN_OPTIONS", "verbosity=0")
    return {"ASAN_OPTIONS": f"{options}:detect_leaks=0"}
