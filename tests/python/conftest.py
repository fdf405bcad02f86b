# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks for the tests of the Python package: made by sfdisk and mkfs, not by what is tested."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))

import makedisk

# The sanitizer is loaded; programs that are called here have one of their own, or want none.
if "DPS_SANITIZER" in os.environ:
    os.environ.pop("LD_PRELOAD", None)


@pytest.fixture(scope="session")
def simple_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ESP (tagged), ext4 with an operating system, ext4 for home, swap (both generic)."""
    for tool in ("sfdisk", "mkfs.fat", "mkfs.ext4", "mkswap"):
        if shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
            pytest.skip(f"no {tool} to make a disk with")
    return Path(makedisk.simple(tmp_path_factory.mktemp("template") / "disk.raw"))


@pytest.fixture
def disk_raw(simple_template: Path, tmp_path: Path) -> Path:
    return copy(simple_template, tmp_path / "disk.raw")


def copy(source: Path, target: Path) -> Path:
    """Holes stay holes."""
    subprocess.run(["cp", "--sparse=always", source, target], check=True)
    return target


def sfdisk(path: Path) -> dict[str, Any]:
    """The table as sfdisk reads it; what it writes in upper case in lower case."""
    table: dict[str, Any] = makedisk.table(path)
    for entry in table["partitions"]:
        entry["type"] = entry["type"].lower()
        entry["uuid"] = entry["uuid"].lower()
    return table


def types(path: Path) -> list[str]:
    return [entry["type"] for entry in sfdisk(path)["partitions"]]


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.fixture
def dps_tag() -> str:
    """The command, built beside the package."""
    path = Path(os.environ["DPS_BUILD_ROOT"]) / "cli/dps-tag"
    if not path.exists():
        pytest.skip(f"no {path}: the command line is not built")
    return str(path)
