# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs one virtual machine until it powers off and keeps its serial console as text."""

import dataclasses
import os
import pathlib
import re
import selectors
import subprocess
import time

# Colours, cursor movements, character sets: what a firmware's menu is made of.
CONTROL = re.compile(r"\x1b\[[0-9;?=]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>cM78]|[\r\x00]")
# A cursor that is moved to another line ends this one.
LINE_END = re.compile(rb"\n|(?=\x1b\[[0-9]+;[0-9]+H)")


@dataclasses.dataclass(frozen=True)
class Line:
    seconds: float
    text: str


@dataclasses.dataclass(frozen=True)
class Session:
    lines: list[Line]
    seconds: float
    timed_out: bool
    exit_status: int | None


def run(command: list[str], log: pathlib.Path, limit: float) -> Session:
    """Starts the machine; each line goes to the log with its time as soon as it is whole."""
    lines: list[Line] = []
    start = time.monotonic()
    rest = b""
    timed_out = False

    with (
        open(log, "w") as file,
        subprocess.Popen(
            ["nice", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process,
        selectors.DefaultSelector() as selector,
    ):

        def keep(raw: bytes) -> None:
            text = CONTROL.sub("", raw.decode("utf-8", "replace")).rstrip()
            if text:
                lines.append(Line(round(time.monotonic() - start, 2), text))
                file.write(f"{lines[-1].seconds:8.2f} {text}\n")
                file.flush()

        file.write("# " + " ".join(command) + "\n")
        selector.register(process.stdout, selectors.EVENT_READ)
        try:
            while True:
                left = limit - (time.monotonic() - start)
                if left <= 0 or not selector.select(left):
                    timed_out = True
                    file.write(f"# no end after {limit:.0f} s: killed\n")
                    break
                data = os.read(process.stdout.fileno(), 65536)
                if not data:
                    break
                *whole, rest = LINE_END.split(rest + data)
                for raw in whole:
                    keep(raw)
            keep(rest)
        finally:
            if timed_out or process.poll() is None and not _ended(process):
                process.kill()
            process.wait()
        seconds = round(time.monotonic() - start, 1)
        file.write(f"# qemu: exit {process.returncode} after {seconds} s\n")
    return Session(lines, seconds, timed_out, process.returncode)


def _ended(process: subprocess.Popen) -> bool:
    """The console is closed a moment before the process is gone."""
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        return False
    return True
