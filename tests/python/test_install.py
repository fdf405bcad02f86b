# SPDX-License-Identifier: LGPL-2.1-or-later
"""pip install ./bindings/python, against a libdps that is installed: in a place of its own here."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Union

import pytest

ROOT = Path(__file__).parents[2]
BUILD = Path(os.environ["DPS_BUILD_ROOT"])

Word = Union[str, Path]


def run(*command: Word, **environment: str) -> str:
    done = subprocess.run(
        list(command),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which the library is found."""
    place = tmp_path_factory.mktemp("installed")
    meson = shutil.which("meson")
    if meson is None:
        pytest.skip("no meson to install the library with")
    run(meson, "install", "--no-rebuild", "-C", BUILD, "--destdir", place)
    (description,) = place.rglob("libdps.pc")
    lines = description.read_text().splitlines()
    prefix = next(line.partition("=")[2] for line in lines if line.startswith("prefix="))
    lines = [line.replace(f"prefix={prefix}", f"prefix={place}{prefix}") for line in lines]
    description.write_text("\n".join(lines) + "\n")
    (library,) = place.rglob("libdps.so.0")
    return {"PKG_CONFIG_PATH": str(description.parent), "LD_LIBRARY_PATH": str(library.parent)}


def test_pip_install(installed: dict[str, str], tmp_path: Path) -> None:
    """With the distribution's own build tools: nothing is fetched."""
    for module, package in (("mesonpy", "python3-mesonpy"), ("pip", "python3-pip")):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{sys.executable} has no {module}: install {package}")
    source = tmp_path / "python"
    shutil.copytree(ROOT / "bindings/python", source)
    place = tmp_path / "venv"
    venv.create(place, system_site_packages=True)
    python = place / "bin/python"
    command: list[Word] = [python, "-m", "pip", "install", "--no-build-isolation", "--no-index"]
    environment = {k: v for k, v in installed.items()}
    # The package of the build directory must not stand in for the one that is installed.
    environment["PYTHONPATH"] = ""
    run(*command, "--no-deps", source, **environment)
    code = (
        "import dps, importlib.metadata;"
        "print(dps.__file__, dps.__version__, importlib.metadata.version('dps'),"
        "dps.type_for_mount_point('/', arch='x86_64').uuid)"
    )
    file, version, of_package, root = run(python, "-c", code, **environment).split()
    assert Path(file).is_relative_to(place)
    assert version == of_package
    assert root == "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"
    names = {path.name for path in Path(file).parent.iterdir()}
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    assert {"py.typed", "_dps.pyi", "types.py", f"_dps{suffix}"} <= names
