# SPDX-License-Identifier: LGPL-2.1-or-later
"""dps-tag(8): its examples run, its sections are those of the house, and it knows every option."""

import re
import shlex
import shutil
import subprocess

import makedisk
import pytest
from conftest import TOP, call

MAN = TOP / "cli/man/dps-tag.8.scd"
SECTIONS = ["NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "ASSIGNMENTS", "OPTIONS", "EXIT STATUS", "FILES",
            "ENVIRONMENT", "SAFETY", "CONFINEMENT", "EXAMPLES", "SEE ALSO"]


def section(name):
    return MAN.read_text().split(f"\n# {name}\n")[1].split("\n# ")[0]


def examples():
    blocks = re.findall(r"^```\n(.*?)^```$", section("EXAMPLES"), re.MULTILINE | re.DOTALL)
    return [[line.strip() for line in block.splitlines()] for block in blocks]


def commands():
    out = call("--help", status=0).out
    return [line.split()[0] for line in out.split("Commands:\n")[1].split("\n\n")[0].splitlines()]


def options(*command):
    out = call(*command, "--help", status=0).out
    return set(re.findall(r"^  (?:-\w,|   ) (--[\w-]+)", out, re.MULTILINE))


def test_sections():
    assert re.findall(r"^# (.*)$", MAN.read_text(), re.MULTILINE) == SECTIONS


def test_commands_and_options_are_those_of_the_program():
    text = MAN.read_text()
    assert re.findall(r"^\*dps-tag (\w+)\*", section("SYNOPSIS"), re.MULTILINE) == commands()
    told = set(re.findall(r"^(?:\*-\w\*, )?\*(--[\w-]+)\*", section("OPTIONS"), re.MULTILINE))
    assert told == set().union(*(options(command) for command in commands()))
    assert set(re.findall(r"--[a-z][\w-]+", text)) <= told


def test_exit_statuses():
    assert re.findall(r"^\*(\d)\*$", section("EXIT STATUS"), re.MULTILINE) == ["0", "1", "2", "3"]


@pytest.mark.parametrize("lines", examples(), ids=lambda lines: lines[0])
def test_examples_run(tmp_path, lines):
    makedisk.simple(tmp_path / "disk.raw")
    for line in lines:
        program, *arguments = shlex.split(line)
        assert program == "dps-tag"
        if arguments == ["plan"]:
            # whatever / is on where this runs: it is read, and changed by no plan
            assert call(*arguments, cwd=tmp_path).status in (0, 1, 3)
            continue
        status = call(*arguments, cwd=tmp_path).status
        assert status == 0 or (arguments[0] == "check" and status == 1), line


def test_scdoc_understands_every_page():
    if not shutil.which("scdoc"):
        pytest.skip("needs scdoc")
    for path in MAN.parent.glob("*.scd"):
        with open(path, "rb") as source:
            assert subprocess.run(["scdoc"], stdin=source, capture_output=True, check=True).stdout


def test_every_schema_is_installed():
    build = (TOP / "cli/meson.build").read_text()
    installed = set(re.findall(r"'\.\./docs/schema/(\w+\.json)'", build))
    assert installed == {path.name for path in (TOP / "docs/schema").iterdir()}


def test_every_page_is_built_and_installed():
    pages = {path.name.removesuffix(".scd") for path in MAN.parent.glob("*.scd")}
    build = (TOP / "cli/meson.build").read_text()
    assert pages == set(re.findall(r"'(\w[\w-]*\.\d)'", build))
    assert "dps-findings.7" in pages
