# SPDX-License-Identifier: LGPL-2.1-or-later
"""Wrong calls, help, and what happens to standard output."""

import subprocess

import pytest
from conftest import DPS_TAG, ENVIRONMENT, call, call_on_terminal

WRONG = [
    # arguments, what the message says
    ([], "no command given: dps-tag --help lists them"),
    (["tpyes"], "tpyes: no such command: did you mean types?"),
    (["xyzzy"], "xyzzy: no such command: it is one of"),
    (["types", "disk.raw"], "disk.raw: types takes no argument"),
    (["types", "--arch"], "--arch: needs a value: ARCH"),
    (["types", "-a"], "--arch: needs a value: ARCH"),
    (["types", "--arch=x86-46"], "--arch x86-46: no such architecture: did you mean x86_64?"),
    (["types", "--arch", "z80"], "--arch z80: no such architecture: it is one of alpha, arc"),
    (["types", "--arch="], "--arch : no such architecture"),
    (["types", "--verbsoe"], "--verbsoe: no such option: did you mean --verbose?"),
    (["types", "--xyzzy"], "--xyzzy: no such option"),
    (["types", "--ver"], "--ver: ambiguous: --verbose or --version"),
    (["types", "-x"], "-x: no such option"),
    (["types", "-qx"], "-x: no such option"),
    (["types", "--quiet=yes"], "--quiet: takes no value"),
    (["types", "--color=sometimes"], "--color sometimes: not a time: it is auto, always or never"),
    (["types", "--backup=x"], "--backup: not an option of dps-tag types"),
    (["--backup=x", "types"], "--backup: not an option of dps-tag types"),
    (["types", "--root=/"], "--root: not an option of dps-tag types"),
    (["types", "--root="], "--root: empty"),
    (["types", "--sector-size=513"], "--sector-size 513: not a sector size: it is 512 or 4096"),
    (["apply", "--backup="], "--backup: empty: name a file, or say none"),
    (["plan", "--btrfs-default="], "--btrfs-default: empty: name a subvolume, or say auto or keep"),
    (["check", "--ignore=no-such-code", "/dev/null"], "--ignore: no-such-code: "),
    (["check", "--only=no-such-code", "/dev/null"], "--only: no-such-code: "),
    (["types", "--lock=maybe"], "--lock maybe: not a mode: it is yes, nonblock or no"),
    (["types", "\033[31mred"], "\\x1b[31mred: types takes no argument"),
    (["types", "--\033[31mred"], "--\\x1b[31mred: no such option"),
]


@pytest.mark.parametrize("arguments, says", WRONG, ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "")
def test_wrong_calls(failure, arguments, says):
    failure(*arguments, status=2, code="invalid", says=says)


def test_the_first_mistake_is_told():
    assert "--xyzzy" in call("types", "--xyzzy", "--arch=z80", status=2).err


def test_bytes_that_are_no_text(failure):
    failure("types", b"\xff\xfe".decode(errors="surrogateescape"), status=2, code="invalid", says="types takes no argument")


def commands():
    out = call("--help", status=0).out
    return [line.split()[0] for line in out.split("Commands:\n")[1].split("\n\n")[0].splitlines()]


def test_help():
    out = call("--help", status=0).out
    assert out.startswith("Usage: dps-tag COMMAND")
    assert "types" in commands()
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("command", commands())
def test_help_of_each_command(command):
    out = call(command, "--help", status=0).out
    assert out.startswith(f"Usage: dps-tag {command}")
    assert "--json" in out
    assert max(map(len, out.splitlines())) <= 80
    assert call("--help", command, status=0).out == out


def test_version():
    assert call("--version", status=0).out.startswith("dps-tag ")
    assert call("types", "-V", status=0).out.startswith("dps-tag ")


def test_options_may_come_anywhere():
    out = call("types", "--json", "--arch=arm64", status=0).out
    assert call("--json", "-a", "arm64", "types", status=0).out == out
    assert call("--arch", "arm64", "types", "-j", status=0).out == out


# --- standard output


def shell(line, **env):
    return subprocess.run(["/bin/sh", "-c", line], env={**ENVIRONMENT, **env, "DPS_TAG": DPS_TAG},
                          capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("call_line", ["types", "types --json", "--help", "--version"])
def test_full_disk_is_noticed(call_line):
    done = shell(f'"$DPS_TAG" {call_line} >/dev/full')
    assert done.returncode == 3
    assert done.stderr == "dps-tag: standard output: write: No space left on device\n"


@pytest.mark.parametrize("call_line", ["types", "types --json", "--help", "--version"])
def test_closed_stdout_is_noticed(call_line):
    done = shell(f'"$DPS_TAG" {call_line} >&-')
    assert done.returncode == 3
    assert done.stderr.startswith("dps-tag: standard output: closed")


def test_closed_pipe_is_quiet():
    done = shell('(sleep 0.2; "$DPS_TAG" types; echo $? >&2) | true')
    assert done.stderr == "3\n"


def test_everything_closed():
    assert shell('"$DPS_TAG" types <&- >&- 2>&-').returncode == 3


# --- the locale and the terminal


def test_ascii_where_the_locale_is():
    out = call("--help", env={"LC_ALL": "C"}, status=0).out
    assert out.isascii() and "[OPTION...]" in out
    assert "[OPTION…]" in call("--help", status=0).out


@pytest.mark.parametrize("option, env, coloured", [
    ([], {}, True),
    ([], {"NO_COLOR": "1"}, False),
    ([], {"NO_COLOR": ""}, True),
    ([], {"TERM": "dumb"}, False),
    (["--color=never"], {}, False),
    (["--color=auto"], {"NO_COLOR": "1"}, False),
    (["--color=always"], {"NO_COLOR": "1"}, True),
])
def test_colour_on_a_terminal(option, env, coloured):
    assert ("\033[" in call_on_terminal("types", *option, env=env).out) == coloured


def test_colour_in_a_pipe():
    assert "\033[" not in call("types", status=0).out
    assert "\033[" in call("types", "--color=always", status=0).out
    assert "\033[" not in call("types", "--json", "--color=always", status=0).out
