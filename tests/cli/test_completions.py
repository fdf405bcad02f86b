# SPDX-License-Identifier: LGPL-2.1-or-later
"""Completion in the shells that are here: each is asked what it would offer."""

import pathlib
import re
import shutil
import subprocess

import pytest
from conftest import DPS_TAG, ENVIRONMENT, TOP, call

HERE = TOP / "cli/completions"
BIN = str(pathlib.Path(DPS_TAG).parent)


def commands():
    out = call("--help", status=0).out
    return {line.split()[0] for line in out.split("Commands:\n")[1].split("\n\n")[0].splitlines()}


def options(*command):
    return set(re.findall(r"^  (?:-\w,|   ) (--[\w-]+)", call(*command, "--help", status=0).out, re.MULTILINE))


def bash(*words):
    listing = " ".join(f"'{word}'" for word in ("dps-tag", *words))
    script = f"""source {HERE}/dps-tag.bash
COMP_WORDS=({listing}); COMP_CWORD={len(words)}; _dps_tag 2>&1; printf '%s\\n' "${{COMPREPLY[@]}}" """
    done = subprocess.run(["bash", "-c", script], env={**ENVIRONMENT, "PATH": f"{BIN}:{ENVIRONMENT['PATH']}"},
                          capture_output=True, text=True, check=True, cwd=HERE)
    assert done.stderr == ""
    return {line for line in done.stdout.splitlines() if line}


def fish(*words):
    line = " ".join(("dps-tag", *words))
    script = f"source {HERE}/dps-tag.fish; complete --do-complete '{line}'"
    done = subprocess.run(["fish", "--no-config", "-c", script],
                          env={**ENVIRONMENT, "HOME": "/tmp", "PATH": f"{BIN}:{ENVIRONMENT['PATH']}"},
                          capture_output=True, text=True, check=True, cwd=HERE)
    assert done.stderr == ""
    return {line.split("\t")[0] for line in done.stdout.splitlines()}


SHELLS = [pytest.param(shell, id=shell.__name__,
                       marks=pytest.mark.skipif(not shutil.which(shell.__name__), reason=f"needs {shell.__name__}"))
          for shell in (bash, fish)]


@pytest.mark.parametrize("shell", SHELLS)
def test_commands(shell):
    assert shell("") == commands()
    assert shell("ty") == {"types"}


@pytest.mark.parametrize("command", sorted(commands()))
@pytest.mark.parametrize("shell", SHELLS)
def test_options(shell, command):
    assert shell(command, "--") == options(command)


@pytest.mark.parametrize("shell", SHELLS)
def test_values(shell):
    roots = {row["arch"] for row in call("types", "--json", status=0).json["types"]} - {None}
    assert shell("types", "--arch", "") == roots
    assert shell("types", "--color", "a") == {"auto", "always"}
    assert shell("apply", "--lock", "n") == {"no", "nonblock"}


@pytest.mark.parametrize("shell", SHELLS)
def test_arguments(shell):
    roles = {row["role"] for row in call("types", "--json", status=0).json["types"]} - {"bios-boot", "prep"}
    offered = shell("plan", "")
    assert {f"{role}=" for role in roles | {"same"}} == {word for word in offered if word.endswith("=")}
    assert {path.name for path in HERE.iterdir()} <= offered
    assert "dps-tag.bash" in shell("show", "dps")
    assert shell("types", "") == set()


def test_bash_understands_an_equals_sign():
    assert bash("types", "--color", "=", "ne") == {"never"}


@pytest.mark.parametrize("shell, name", [("bash", "dps-tag.bash"), ("zsh", "_dps-tag"), ("fish", "dps-tag.fish")])
def test_syntax(shell, name):
    if not shutil.which(shell):
        pytest.skip(f"needs {shell}")
    subprocess.run([shell, "-n", HERE / name], check=True, env=ENVIRONMENT)
