# SPDX-License-Identifier: LGPL-2.1-or-later
"""What kickstart/*.ks has an installer run, run: on a tree as an installer leaves it."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
BUILD = Path(os.environ.get("DPS_BUILD_ROOT", ROOT / "build"))
sys.path.insert(0, str(ROOT / "tests/data"))

import makedisk

GENERIC = makedisk.GENERIC
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{BUILD}/cli:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C",
}


def script_of(name: str) -> str:
    """The %post of a snippet; there is one."""
    text = (ROOT / "kickstart" / name).read_text(encoding="utf-8")
    (script,) = re.findall(r"^%post\b.*\n((?s:.*?))^%end$", text, re.MULTILINE)
    return str(script)


def run_post(name: str, root: Path) -> subprocess.CompletedProcess[str]:
    """As the installer does, with another place for the target.

    Without a chroot, whose programs a made-up system does not have: what the script would find at
    / it is told to find at root.
    """
    script = script_of(name)
    if "/mnt/sysroot" in script:
        script = script.replace("/mnt/sysroot", str(root))
    else:
        script = re.sub(r"^dps-tag (\w+)", rf"dps-tag \1 --root {root}", script, flags=re.M)
    return subprocess.run(
        ["sh", "-c", script], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )


@pytest.fixture(autouse=True)
def command() -> None:
    if not (BUILD / "cli/dps-tag").exists():
        pytest.skip(f"no {BUILD}/cli/dps-tag: the command line is not built")


def make_tree(root: Path) -> None:
    (root / "etc").mkdir(parents=True, exist_ok=True)
    (root / "etc/os-release").write_text("ID=test\nARCHITECTURE=x86-64\n")


@pytest.mark.parametrize("name", ["tag.ks", "tag-nochroot.ks", "btrfs.ks"])
def test_directory_install(name: str, tmp_path: Path) -> None:
    """There is no disk to tag: said, and no failure that would end the installation."""
    make_tree(tmp_path)
    done = run_post(name, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "nothing to do" in done.stdout + done.stderr


class Target(NamedTuple):
    image: Path
    root: Path


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    if not makedisk.can_mount():
        pytest.skip("wants root, loop devices and btrfs in the kernel")
    image = Path(makedisk.standard(tmp_path / "disk.raw"))
    root = tmp_path / "sysroot"
    root.mkdir()
    with contextlib.ExitStack() as stack:
        loop = stack.enter_context(makedisk.loop_with_partitions(image))
        makedisk.run("mount", "-o", "subvol=root", f"{loop}p3", root)
        stack.callback(makedisk.umount, root)
        make_tree(root)
        yield Target(image, root)


def types(image: Path) -> list[str]:
    return [entry["type"].lower() for entry in makedisk.table(image)["partitions"]]


@pytest.mark.parametrize("name", ["tag.ks", "tag-nochroot.ks", "btrfs.ks"])
def test_installed(name: str, target: Target) -> None:
    before = run_post("check.ks", target.root)
    assert before.returncode == 1, "a system that is not found ends the installation"
    done = run_post(name, target.root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert types(target.image) == [makedisk.ESP, GENERIC, makedisk.ROOT_X86_64]
    default = makedisk.run("btrfs", "subvolume", "get-default", target.root)
    assert default.strip().endswith(" path root")
    after = run_post("check.ks", target.root)
    assert after.returncode == 0, after.stdout + after.stderr
    again = run_post(name, target.root)
    assert again.returncode == 0, again.stdout + again.stderr


def test_directory_check(tmp_path: Path) -> None:
    make_tree(tmp_path)
    done = run_post("check.ks", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
