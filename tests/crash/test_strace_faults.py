# SPDX-License-Identifier: LGPL-2.1-or-later
"""The same by the kernel's side of the call: strace fails the n-th system call of each kind.

What the shim of the other tests does not know of (calls of libraries, raw system calls, memory) is
seen here, and the processes that `show` and `check` confine are too.  One run is traced to see which
calls are made on the disk's files, or after the first of them; each is then failed in a run of its
own.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import commands
import faults
import pytest
import sanitizers
from faults import Bench, words

pytestmark = pytest.mark.skipif(
    shutil.which("sfdisk", path=commands.ENV["PATH"]) is None, reason="SKIP: no sfdisk here"
)

# What a program does with files; not what starts it and loads its libraries.
CALLS = (
    "openat,openat2,read,pread64,readv,write,pwrite64,writev,fdatasync,fsync,linkat,renameat2,unlinkat,"
    "mkdirat,ftruncate,flock,fcntl,ioctl,newfstatat,fstat,statx,stat,statfs,fstatfs,faccessat,"
    "faccessat2,access,readlink,readlinkat,getdents64,lseek,mmap,fadvise64,close,dup3,getcwd"
)
LINE = re.compile(r"^(?:\d+ +)?([a-z0-9]+)\((.*)")
# Reads that say they read, and did not; writes that say they wrote.
LIES = {"pread64": 0, "read": 0, "pwrite64": 256, "fdatasync": 0, "fsync": 0, "flock": 0}


def strace(bench: Bench, log: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return commands.run(
        "strace", "-f", "-qq", "-y", "-s", "0", "-o", log, "-e", f"trace={CALLS}", "-e", "signal=none", *more,
        *words(bench.disk, bench.command), env=sanitizers.without_leaks(),
    )


def find_calls(bench: Bench, log: Path) -> list[tuple[str, int, str]]:
    """Each call from the first one on the disk on: its name, which of that name it is, its words."""
    found = []
    seen: Counter[str] = Counter()
    here = str(bench.disk.path.parent)
    started = False
    for line in log.read_text(errors="replace").splitlines():
        match = LINE.match(line)
        if not match:
            continue
        seen[match[1]] += 1
        started = started or here in match[2]
        if started:
            found.append((match[1], seen[match[1]], match[2]))
    return found


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with faults.quick_directory() as directory:
        yield directory


SHAPES = [("files", c) for c in ("show", "check", "plan", "apply-checked", "apply-tree", "undo")]
SHAPES += [(shape, c) for shape in ("dup", "journal") for c in ("apply", "undo")]


@pytest.mark.parametrize(("shape", "command"), SHAPES)
def test_each_system_call(place: Path, shape: str, command: str) -> None:
    if not shutil.which("strace", path=commands.ENV["PATH"]):
        pytest.skip("SKIP: no strace here")
    if shape != "files" and commands.why_not(shape):
        pytest.skip(f"SKIP: {commands.why_not(shape)}")
    original = place / f"{shape}-{command}-original"
    disk = faults.with_files(original) if shape == "files" else commands.make(original, shape, 512)
    bench = Bench(disk, place / f"{shape}-{command}", command)
    log = place / "trace"
    bench.reset()
    done = strace(bench, log)
    if not log.exists() or "pread64(" not in log.read_text():
        pytest.skip(f"SKIP: strace cannot trace here: {done.stderr}")
    calls = find_calls(bench, log)
    writing = ("pwrite64", "fdatasync", "fsync", "linkat", "unlinkat", "openat2", "flock", "renameat2")
    kinds = {name for name, _, _ in calls}
    assert {"openat", "pread64", "newfstatat", "fadvise64"} <= kinds
    assert not bench.is_writer or {"pwrite64", "fdatasync", "flock"} <= kinds

    step = faults.stride(40 if bench.is_writer else 60)
    n_runs = 0
    for i, (name, nth, text) in enumerate(calls):
        for fault in ("error=EIO", "lie"):
            rare = name in writing and bench.is_writer
            if fault == "lie" and name not in LIES:
                continue
            if (i + 7 * (fault == "lie")) % (max(1, step // 8) if rare else step):
                continue
            # Linux closes whatever it says; here the call is not made, and who reads a pipe waits for ever.
            if name == "close" and "pipe:" in text:
                continue
            # A sanitizer ends a program that gets no memory.
            if name == "mmap" and sanitizers.is_sanitized(commands.DPS_TAG):
                continue
            what = f"retval={LIES[name]}" if fault == "lie" else fault
            if name == "mmap":
                what = "error=ENOMEM"
            bench.reset()
            done = strace(bench, log, "-e", f"inject={name}:{what}:when={nth}")
            where = f"{name} {nth} {what}: {text}"
            n_runs += 1
            got = bench.outcome(done, 1)
            if what == "error=ENOMEM" and got.status < 0:
                raise AssertionError(f"{where}: {got}")
            # libgcrypt ends whoever starts it when it cannot read its settings; nothing is written by then.
            if got.status == -signal.SIGABRT and "in libgcrypt" in got.text:
                assert got.state == "old", (where, got)
                continue
            if name in ("write", "writev") and ("pipe:" in text or text.startswith(("1<", "2<"))):
                # Whom nothing can be told.
                assert got.status in (0, 3) or (not bench.is_writer and got.status == 1), (where, got)
                assert got.state in ("old", "new"), where
                continue
            # A read that is not there can make of what is on a partition something unknown.
            bench.check(got, where, may_skip=True)
            if fault == "lie" and name == "pwrite64" and got.state == "old" and "journal" not in text:
                assert "gives others back" in got.text or "neither what it was" in got.text, (where, got)
    assert n_runs > 5
