# SPDX-License-Identifier: LGPL-2.1-or-later
"""Records what a command does to files, and replays it up to every point where a crash may cut it.

    log = record(["dps-tag", "apply", …], shim, below=directory)
    for label, files in crash_points(before, log): …

What is flushed is there.  Of writes that no flush came after, any may be there and any not, and each
may be torn at every 512 bytes.  Names (rename, link, unlink) count as there when the directory was
flushed, else as there or not.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

SECTOR = 512  # what a disk writes whole, at the least
Files = dict[str, bytes]


@dataclasses.dataclass(frozen=True)
class Step:
    kind: str
    path: str
    offset: int
    data: bytes


def environment(
    shim: str, below: Path, log: Path, fault: str | None = None, on: str | None = None
) -> dict[str, str]:
    """What the shim is told."""
    env = {
        "LD_PRELOAD": shim,
        "DPS_RECORD": str(log),
        "DPS_RECORD_BELOW": f"{below}/".replace("//", "/"),
        "LC_ALL": "C.UTF-8",
        # sanitizers want to be loaded first; their libraries are not in the way of the shim
        "ASAN_OPTIONS": "verify_asan_link_order=0",
    }
    if fault:
        env["DPS_FAULT"] = fault
    if on:
        env["DPS_FAULT_PATH"] = on
    return env


def record(
    command: list[str],
    shim: str,
    below: Path,
    fault: str | None = None,
    on: str | None = None,
    log: Path | None = None,
) -> tuple[subprocess.CompletedProcess[str], list[Step]]:
    """Runs the command; what it did below the directory, in order."""
    log = log or below.parent / "record.log"
    log.unlink(missing_ok=True)
    env = {**os.environ, **environment(shim, below, log, fault, on)}
    done = subprocess.run(
        command, capture_output=True, text=True, env=env, stdin=subprocess.DEVNULL, timeout=120
    )
    return done, parse(log_of(log))


def log_of(path: Path) -> bytes:
    """The shim says first how much of the file it used."""
    if not path.exists():
        return b""
    with open(path, "rb") as file:
        return file.read(int.from_bytes(file.read(8), sys.byteorder))


def parse(log: bytes) -> list[Step]:
    steps = []
    at = 0
    while at < len(log):
        end = log.index(b"\n", at)
        kind, path, offset, size = log[at:end].decode().split("\t")
        data = log[end + 1 : end + 1 + int(size)]
        assert len(data) == int(size)
        steps.append(Step(kind, path, int(offset), data))
        at = end + 1 + int(size) + 1
    return steps


def apply(files: Files, step: Step) -> Files:
    """The files after a step."""
    files = dict(files)
    if step.kind == "write":
        old = files.get(step.path, b"").ljust(step.offset, b"\0")
        files[step.path] = old[: step.offset] + step.data + old[step.offset + len(step.data) :]
    elif step.kind == "truncate":
        files[step.path] = files.get(step.path, b"")[: step.offset].ljust(step.offset, b"\0")
    elif step.kind == "rename":
        files[step.data.decode()] = files.pop(step.path, b"")
    elif step.kind == "link":
        files[step.data.decode()] = files.get(step.path, b"")
    elif step.kind == "unlink":
        files.pop(step.path, None)
    return files


def torn(step: Step) -> Iterator[tuple[str, list[Step]]]:
    """A write of which some sectors arrived: every set of them when few, else every edge."""
    if step.kind != "write":
        return
    cuts = [0]
    cuts += range(SECTOR - step.offset % SECTOR, len(step.data), SECTOR)
    cuts.append(len(step.data))
    pieces = [
        dataclasses.replace(step, offset=step.offset + a, data=step.data[a:b])
        for a, b in itertools.pairwise(cuts)
    ]
    n = len(pieces)
    if n <= 5:
        sets = {s for k in range(1, n) for s in itertools.combinations(range(n), k)}
    else:
        sets = {tuple(range(k)) for k in range(1, n)}
        sets |= {tuple(range(k, n)) for k in range(1, n)}
        sets |= {(k,) for k in range(n)}
    for chosen in sorted(sets):
        yield f"sectors {chosen} of {n}", [pieces[i] for i in chosen]


def is_flushed_by(step: Step, flush: Step) -> bool:
    if flush.kind == "flush":
        return step.kind in ("write", "truncate") and step.path == flush.path
    return step.kind in ("rename", "link", "unlink") and os.path.dirname(step.path) == flush.path


def crash_points(before: Files, steps: list[Step]) -> Iterator[tuple[str, Files]]:
    """Every state that a crash may leave, with what it is called; doubles are left out."""
    seen: set[tuple[tuple[str, int], ...]] = set()
    durable = before
    pending: list[Step] = []

    def once(label: str, files: Files) -> Iterator[tuple[str, Files]]:
        key = tuple(sorted((path, hash(data)) for path, data in files.items()))
        if key not in seen:
            seen.add(key)
            yield label, files

    yield from once("before", before)
    for number, step in enumerate(steps, 1):
        if step.kind in ("flush", "flush-dir"):
            for old in [p for p in pending if is_flushed_by(p, step)]:
                durable = apply(durable, old)
                pending.remove(old)
            yield from once(f"flush {number}", durable)
            continue
        if step.kind == "fault":
            continue
        pending.append(step)
        assert len(pending) <= 12, "more unflushed steps than can be tried in all orders"
        for k in range(len(pending) + 1):
            for chosen in itertools.combinations(pending, k):
                files = durable
                for one in chosen:
                    files = apply(files, one)
                yield from once(f"step {number}: {k} of {len(pending)} unflushed", files)
        for label, pieces in torn(step):
            files = durable
            for one in pending[:-1] + pieces:
                files = apply(files, one)
            yield from once(f"step {number}: {label}", files)


def compact(steps: list[Step], path: str) -> tuple[list[Step], list[int]]:
    """The steps as done to a file that has just the sectors that are written, and which these are.

    A disk of hundreds of megabytes, of which a run writes some sectors, is replayed as those.
    """
    sectors = sorted(
        {
            sector
            for s in steps
            if s.kind == "write" and s.path == path
            for sector in range(s.offset // SECTOR, (s.offset + len(s.data) - 1) // SECTOR + 1)
        }
    )
    place = {sector: i for i, sector in enumerate(sectors)}
    moved = [
        dataclasses.replace(s, offset=place[s.offset // SECTOR] * SECTOR + s.offset % SECTOR)
        if s.kind == "write" and s.path == path
        else s
        for s in steps
    ]
    return moved, sectors


def read_sectors(path: Path, sectors: list[int]) -> bytes:
    with open(path, "rb") as file:
        return b"".join(os.pread(file.fileno(), SECTOR, s * SECTOR) for s in sectors)


def write_sectors(path: Path, sectors: list[int], data: bytes) -> None:
    with open(path, "r+b") as file:
        for i, sector in enumerate(sectors):
            os.pwrite(file.fileno(), data[i * SECTOR : (i + 1) * SECTOR], sector * SECTOR)
