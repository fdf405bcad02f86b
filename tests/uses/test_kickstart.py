# SPDX-License-Identifier: LGPL-2.1-or-later
"""kickstart/*.ks: as pykickstart reads them, and as a shell does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple, Optional

import pytest

ROOT = Path(__file__).parents[2]
BUILD = Path(os.environ.get("DPS_BUILD_ROOT", ROOT / "build"))
FILES = sorted((ROOT / "kickstart").glob("*.ks"))
# Fedora's syntax, and RHEL's, which has no btrfs.
VERSIONS = ["F38", "F41", "RHEL8", "RHEL9", "RHEL10"]


def find_ksvalidator() -> Optional[str]:
    """That of the virtual environment that `dev setup` makes, else the system's."""
    for directory in (BUILD / "venv/bin", ROOT / "build/venv/bin"):
        if (directory / "ksvalidator").exists():
            return str(directory / "ksvalidator")
    return shutil.which("ksvalidator")


def ksvalidator(file: Path, version: str) -> subprocess.CompletedProcess[str]:
    program = find_ksvalidator()
    if program is None:
        pytest.skip("no ksvalidator: `./dev setup` installs pykickstart (it is on PyPI only)")
    return subprocess.run(
        [program, "--firsterror", "--version", version, str(file)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


class Section(NamedTuple):
    options: list[str]
    script: str


def posts(text: str) -> list[Section]:
    found = re.findall(r"^%post\b(.*)\n((?s:.*?))^%end$", text, re.MULTILINE)
    return [Section(options.split(), script) for options, script in found]


def test_they_are_there() -> None:
    names = {file.name for file in FILES}
    assert {"tag.ks", "tag-nochroot.ks", "btrfs.ks", "check.ks"} < names
    readme = (ROOT / "kickstart/README.md").read_text(encoding="utf-8")
    for name in names:
        assert f"`{name}`" in readme, f"README.md says nothing of {name}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
@pytest.mark.parametrize("version", VERSIONS)
def test_pykickstart_reads_it(file: Path, version: str) -> None:
    result = ksvalidator(file, version)
    makes_btrfs = re.search(r"^btrfs\b", file.read_text(encoding="utf-8"), re.MULTILINE)
    if makes_btrfs and version.startswith("RHEL"):
        assert result.returncode != 0
        assert "Btrfs file system is not supported" in result.stdout + result.stderr
    else:
        assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    "text",
    [
        "%post --erroronfail\ndps-tag apply\n",  # no %end
        "%post --erroronfial\ndps-tag apply\n%end\n",
        "part /boot/efi --fstype=efi --sise=1000\n",
    ],
)
def test_pykickstart_would_say(tmp_path: Path, text: str) -> None:
    """The tool that found nothing above does find something."""
    file = tmp_path / "wrong.ks"
    file.write_text(text)
    assert ksvalidator(file, "F41").returncode != 0


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_nothing_goes_unnoticed(file: Path) -> None:
    """Every script ends the installation when it fails, keeps a log, and is one that sh reads."""
    text = file.read_text(encoding="utf-8")
    sections = posts(text)
    assert sections and len(sections) == len(re.findall(r"^%post\b", text, re.MULTILINE))
    logs = []
    for options, script in sections:
        assert "--erroronfail" in options
        log = next(o.partition("=")[2] for o in options if o.startswith("--log="))
        start = "/mnt/sysroot/root/" if "--nochroot" in options else "/root/"
        assert log.startswith(start)
        logs.append(log)
        result = subprocess.run(["sh", "-n"], input=script, text=True, check=False)
        assert result.returncode == 0
        # sh gives the status of the last command alone: more than one wants set -e.
        lines = [line for line in script.splitlines() if line and not line.startswith("#")]
        assert len(lines) == 1 or lines[0] == "set -eu"
    assert len(set(logs)) == len(logs), "one section overwrites the log of another"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_it_installs_what_it_calls(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    inside = [s for s in posts(text) if "--nochroot" not in s.options and "dps-tag" in s.script]
    packages = re.findall(r"^%packages\n((?s:.*?))^%end$", text, re.MULTILINE)
    assert bool(inside) == any("dps-tag" in lines.split() for lines in packages)


def test_shim_reads_the_list_of_kernels(tmp_path: Path) -> None:
    """BOOTX64.CSV as the complete image writes it: UTF-16, newest first, a path shim can open."""
    text = (ROOT / "kickstart/fedora-uki-btrfs.ks").read_text(encoding="utf-8")
    script = next(s.script for s in posts(text) if "BOOTX64.CSV" in s.script)
    part = re.search(r"^cd /boot/efi.*?\.CSV$", script, re.MULTILINE | re.DOTALL)
    assert part
    for name in ("id-6.9.1.efi", "id-6.10.0.efi"):
        (tmp_path / "EFI/Linux").mkdir(parents=True, exist_ok=True)
        (tmp_path / "EFI/Linux" / name).touch()
    (tmp_path / "EFI/fedora").mkdir()
    code = "set -eu\n" + part.group().replace("/boot/efi", str(tmp_path))
    subprocess.run(["sh", "-c", code], check=True)
    lines = (tmp_path / "EFI/fedora/BOOTX64.CSV").read_bytes().decode("utf-16-le")
    assert lines == (
        "shimx64.efi,id-6.10.0,\\EFI\\Linux\\id-6.10.0.efi ,UKI\n"
        "shimx64.efi,id-6.9.1,\\EFI\\Linux\\id-6.9.1.efi ,UKI\n"
    )
    shutil.rmtree(tmp_path / "EFI/Linux")
    (tmp_path / "EFI/Linux").mkdir()
    assert (
        subprocess.run(["sh", "-c", code], check=False, stderr=subprocess.DEVNULL).returncode != 0
    )
