# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of dps-tag share: how it is called, and how its documents are validated."""

import contextlib
import fcntl
import json
import os
import pathlib
import pty
import struct
import subprocess
import sys
import tempfile
import termios

import pytest

HERE = pathlib.Path(__file__).parent
TOP = HERE.parent.parent
DPS_TAG = os.environ.get("DPS_TAG", str(TOP / "build/cli/dps-tag"))
SCHEMAS = TOP / "docs/schema"

sys.path.insert(0, str(HERE.parent / "data"))
import makedisk  # noqa: E402
from makedisk import NOBODY  # noqa: E402, F401

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TERM": "xterm", "HOME": "/"}
ENVIRONMENT.update({name: value for name, value in os.environ.items()
                    if name.startswith(("ASAN_", "UBSAN_", "LSAN_", "LD_LIBRARY_PATH", "DPS_MUTANT"))})


# Numbers of include/uapi/linux/seccomp.h, prctl.h and filter.h; those of Landlock's calls are the
# same on every architecture.
WITHOUT = """
import ctypes, os, struct, sys
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO = 0x7fff0000, 0x00050000
lines = []
for number in map(int, sys.argv[1].split(",")):
    if number == 444:  # landlock_create_ruleset: as a kernel without it
        lines += [(LOAD, 0, 0, 0), (EQUAL, 0, 1, 444), (RETURN, 0, 0, ERRNO | 38)]
    else:  # prctl(PR_SET_SECCOMP): as a kernel without it
        lines += [(LOAD, 0, 0, 0), (EQUAL, 0, 3, number), (LOAD, 0, 0, 16), (EQUAL, 0, 1, 22), (RETURN, 0, 0, ERRNO | 22)]
lines.append((RETURN, 0, 0, ALLOW))
code = b"".join(struct.pack("HBBI", *line) for line in lines)
program = ctypes.create_string_buffer(code)
filter = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(lines), ctypes.addressof(program)))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, filter, 0, 0) != 0:
    sys.exit(77)
os.execv(sys.argv[2], sys.argv[2:])
"""


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    @property
    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"exit {self.status}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


def call(*arguments, env=None, prefix=(), status=None, **more):
    """Runs dps-tag; with @status, and fails when it exits with another."""
    program = makedisk.for_everyone(DPS_TAG) if prefix else DPS_TAG
    done = subprocess.run([*prefix, program, *map(str, arguments)], env={**ENVIRONMENT, **(env or {})},
                          capture_output=True, timeout=120, stdin=subprocess.DEVNULL, **more)
    result = Result(done.returncode, done.stdout.decode(), done.stderr.decode())
    if status is not None:
        assert result.status == status, result
    # whatever happened: nothing reaches a terminal but text
    assert not any(ord(c) < 32 and c not in "\n\033" for c in result.out + result.err), result
    return result


def read_terminal(main):
    """All that is written to a terminal until nobody has it open, when Linux answers EIO."""
    seen = b""
    with contextlib.suppress(OSError):
        while data := os.read(main, 65536):
            seen += data
    return seen


def call_on_terminal(*arguments, columns=80, lines=0, env=None):
    """Runs dps-tag on a terminal of this size; gives status and what was seen there."""
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    process = subprocess.Popen([DPS_TAG, *map(str, arguments)], env={**ENVIRONMENT, **(env or {})},
                               stdin=other, stdout=other, stderr=other)
    os.close(other)
    seen = read_terminal(main)
    os.close(main)
    return Result(process.wait(timeout=60), seen.decode().replace("\r\n", "\n"), "")


def validate(document, name):
    """Holds a document against docs/schema/NAME.json."""
    jsonschema = pytest.importorskip("jsonschema")
    path = SCHEMAS / f"{name}.json"
    schema = json.loads(path.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    resolver = jsonschema.RefResolver(path.as_uri(), schema)
    jsonschema.Draft202012Validator(schema, resolver=resolver).validate(document)
    return document


@pytest.fixture(name="call")
def call_fixture():
    return call


@pytest.fixture(name="validate")
def validate_fixture():
    return validate


@pytest.fixture
def public():
    """A directory that everybody can reach; those that pytest makes are for their owner."""
    with tempfile.TemporaryDirectory(prefix="dps-tag-") as path:
        os.chmod(path, 0o755)
        yield pathlib.Path(path)


@pytest.fixture
def failure():
    """Calls that must fail: on stderr in one line, and with --json in one document too."""

    def check(*arguments, status, code, says, **more):
        text = call(*arguments, status=status, **more)
        assert text.out == ""
        assert text.err.startswith("dps-tag: ") and text.err.count("\n") == 1, text
        assert says in text.err, text
        both = call("--json", *arguments, status=status, **more)
        assert both.err == text.err
        error = validate(both.json, "failure")["error"]
        assert error["code"] == code
        if error["message"].isprintable() and "\ufffd" not in error["message"]:
            assert f"dps-tag: {error['message']}\n" == text.err
        return error

    return check
