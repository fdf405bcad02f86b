# SPDX-License-Identifier: LGPL-2.1-or-later
"""Somebody else writes the table at the same time: with a lock, without one, or just before us."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import commands
import faults
import makedisk
import pytest
import replay
import sanitizers
from commands import DPS_TAG, ENV, HOME, NEW, OLD, Disk
from makedisk import digest

SRV = "3b8f8425-20e0-4f3b-907f-1a25a76f98e8"
pytestmark = pytest.mark.skipif(
    shutil.which("sfdisk", path=ENV["PATH"]) is None, reason="SKIP: no sfdisk here"
)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return commands.make(tmp_path / "work", "table", 512)


def start(*words: object, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(w) for w in words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**ENV, **env},
        stdin=subprocess.DEVNULL,
    )


def is_whole(path: Path) -> bool:
    return "No problems found" in commands.run("sgdisk", "--verify", path).stdout


@pytest.mark.parametrize("attempt", range(40 if faults.IS_FULL else 8))
def test_two_applies(disk: Disk, attempt: int) -> None:
    """Both change the same sector: one after the other, or one is refused and says so."""
    a = start(DPS_TAG, "apply", "--no-check", disk.path, "root:x86_64=2")
    b = start(DPS_TAG, "apply", "--no-check", disk.path, "home=6")
    errors = a.communicate(timeout=60)[1], b.communicate(timeout=60)[1]
    expected = dict(OLD)
    for process, error, change in ((a, errors[0], {2: NEW[2]}), (b, errors[1], {6: NEW[6]})):
        if process.returncode == 0:
            expected |= change
        else:
            assert process.returncode == 3 and "disk.raw" in error, error
    assert expected != OLD, errors
    assert commands.by_us(disk)[0] == expected
    assert is_whole(disk.path)


@pytest.mark.parametrize("attempt", range(4))
@pytest.mark.parametrize(
    "other",
    [
        ["sfdisk", "--quiet", "--lock=yes", "--no-reread", "--no-tell-kernel", "--part-type", "DISK", "3", SRV],
        ["sgdisk", f"--typecode=3:{SRV}", "DISK"],
    ],
    ids=["sfdisk", "sgdisk"],
)
def test_beside_another_tool(disk: Disk, other: list[str], attempt: int) -> None:
    """sfdisk reads before it locks, sgdisk takes no lock: no mix is left all the same."""
    b = start(*[str(disk.path) if w == "DISK" else w for w in other])
    time.sleep(0.003 * attempt)
    a = commands.run(DPS_TAG, "apply", "--no-check", disk.path, *commands.ASSIGNMENTS)
    b.communicate(timeout=60)
    types = commands.by_us(disk)[0]
    assert types[3] in (OLD[3], SRV)
    ours = {n: t for n, t in types.items() if n != 3}
    # The last one wins; it is one of the two, it can be read, and who lost nothing says so.
    assert ours in ({n: t for n, t in x.items() if n != 3} for x in (OLD, NEW)), types
    assert a.returncode in (0, 3)
    assert a.returncode == 0 or "disk.raw" in a.stderr
    if other[0] == "sfdisk":
        assert b.returncode == 0
    again = commands.run(DPS_TAG, "apply", "--no-check", disk.path, *commands.ASSIGNMENTS)
    assert again.returncode == 0, again.stderr
    assert is_whole(disk.path)


def test_repart_waits_for_us(disk: Disk, tmp_path: Path) -> None:
    """systemd-repart locks as we do; who comes second waits or says busy."""
    if not shutil.which("systemd-repart", path=ENV["PATH"]):
        pytest.skip("SKIP: no systemd-repart here")
    definitions = tmp_path / "repart.d"
    definitions.mkdir()
    (definitions / "50-new.conf").write_text(f"[Partition]\nType={SRV}\nSizeMinBytes=128K\nSizeMaxBytes=256K\n")
    with open(disk.path, "r+b") as file:
        file.truncate(disk.path.stat().st_size + 8 * makedisk.MIB)
    assert commands.run("sgdisk", "-e", disk.path).returncode == 0
    b = start("systemd-repart", "--dry-run=no", "--empty=allow", f"--definitions={definitions}", disk.path)
    a = commands.run(DPS_TAG, "apply", "--no-check", disk.path, *commands.ASSIGNMENTS)
    error = b.communicate(timeout=60)[1]
    if b.returncode != 0 and "disk.raw" not in error:
        pytest.skip(f"SKIP: systemd-repart cannot work on a file here: {error}")
    assert a.returncode in (0, 3), a.stderr
    types = commands.by_us(disk)[0]
    mine = {n: types[n] for n in OLD}
    assert mine in (OLD, NEW)
    assert mine == NEW or a.returncode == 3 or b.returncode == 0
    again = commands.run(DPS_TAG, "apply", "--no-check", disk.path, *commands.ASSIGNMENTS)
    assert again.returncode == 0, again.stderr
    assert is_whole(disk.path)


def sgdisk(disk: Disk) -> list[str]:
    return ["sgdisk", f"--typecode=3:{SRV}", str(disk.path)]


def sgdisk_new(disk: Disk) -> list[str]:
    return ["sgdisk", f"--new=7:0:+256K", f"--typecode=7:{SRV}", str(disk.path)]


def parted(disk: Disk) -> list[str]:
    return ["parted", "-s", str(disk.path), "name", "3", "other"]


def sfdisk(disk: Disk) -> list[str]:
    quick = ["--quiet", "--no-reread", "--no-tell-kernel"]
    return ["sfdisk", *quick, "--lock=nonblock", "--part-type", str(disk.path), "3", SRV]


def has_theirs(disk: Disk) -> bool:
    done = commands.run("sfdisk", "--dump", disk.path)
    assert done.returncode == 0, done.stderr
    return SRV.upper() in done.stdout or 'name="other"' in done.stdout


OTHERS = [sgdisk, sgdisk_new, parted, sfdisk]


@pytest.mark.parametrize("other", OTHERS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("command", ["apply", "undo"])
def test_at_every_step(disk: Disk, tmp_path: Path, command: str, other) -> None:  # type: ignore[no-untyped-def]
    """
    Stopped before each read and each flush in turn; another program, which takes no lock, changes
    the table from start to end; then we go on.  What is there at the end is whole: its table with our
    changes or without them, and when they are not all there we say that somebody wrote meanwhile.
    (Between the last look and the write there is one system call, where nothing can be noticed.)
    """
    if not shutil.which(other(disk)[0], path=ENV["PATH"]):
        pytest.skip(f"SKIP: no {other(disk)[0]} here")
    with open(disk.path, "r+b") as file:  # room for a partition more
        file.truncate(disk.path.stat().st_size + makedisk.MIB)
    assert commands.run("sgdisk", "-e", disk.path).returncode == 0
    words = commands.apply_words(disk)
    if command == "undo":
        assert commands.run(*words).returncode == 0
        words = commands.undo_words(disk)
    files = {p: p.read_bytes() for p in disk.path.parent.iterdir()}
    log = tmp_path / "log"
    results = set()
    for call in ("read", "flush"):
        for nth in range(1, faults.MAX_CALLS, faults.stride(3 if call == "flush" else 23)):
            for path in disk.path.parent.iterdir():
                path.unlink()
            for path, data in files.items():
                path.write_bytes(data)
                path.chmod(0o600)
            log.unlink(missing_ok=True)
            env = replay.environment(commands.SHIM, disk.path.parent, log, f"{call}:{nth}:signal{int(signal.SIGSTOP)}")
            process = subprocess.Popen(
                words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**ENV, **env},
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
            _, status = os.waitpid(process.pid, os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                process.returncode = os.waitstatus_to_exitcode(status)
                assert nth > 1 and process.returncode == 0, process.communicate()[1]
                process.communicate()
                break
            theirs = commands.run(*other(disk))
            was_written = theirs.returncode == 0 and has_theirs(disk)
            table = commands.by_kernel(disk)
            os.kill(process.pid, signal.SIGCONT)
            error = process.communicate(timeout=60)[1]
            where = f"{call} {nth}: {process.returncode}: {theirs.returncode} {theirs.stderr}: {error}"
            types = commands.by_us(disk)[0]
            ours = {n: t for n, t in types.items() if n not in (3, 7)}
            assert types == commands.by_kernel(disk), where
            assert ours in ({n: t for n, t in x.items() if n != 3} for x in (OLD, NEW)), where
            assert process.returncode in (0, 3), where
            wanted = {n: t for n, t in (NEW if command == "apply" else OLD).items() if n != 3}
            assert ours == wanted or process.returncode == 3, where
            if process.returncode == 3 and was_written and ours != wanted:
                assert types == table, f"{where}: their table was touched"
                # Or seen while it was read: once by us, and once by libfdisk.
                assert any(w in error for w in ("chang", "another program", "differently")), where
            if was_written:
                assert has_theirs(disk), f"{where}: what they wrote is lost"
            assert is_whole(disk.path) or ours == wanted or not was_written, where
            results.add((process.returncode, was_written))
            again = commands.run(*words)
            assert again.returncode == 0, f"{where}: again: {again.stderr}"
            assert is_whole(disk.path), where
    assert (3, True) in results or other is sfdisk, results


def test_somebody_holds_the_lock(disk: Disk) -> None:
    before = digest(disk.path)
    with open(disk.path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = commands.run(DPS_TAG, "apply", disk.path, *commands.ASSIGNMENTS)
    assert done.returncode == 3 and "locked by" in done.stderr and str(os.getpid()) in done.stderr
    assert digest(disk.path) == before


@pytest.mark.parametrize("command", ["apply", "undo"])
def test_changed_between_plan_and_write(disk: Disk, command: str) -> None:
    """strace holds us back before our first write; a tool without a lock writes meanwhile."""
    if not shutil.which("strace", path=ENV["PATH"]):
        pytest.skip("SKIP: no strace here")
    words = commands.apply_words(disk)
    if command == "undo":
        assert commands.run(*words).returncode == 0
        words = commands.undo_words(disk)
    trace = disk.path.parent.parent / "trace"
    # The cache is dropped once more just before the table is compared with the plan.
    files = {p: p.read_bytes() for p in disk.path.parent.iterdir()}
    watch = ["strace", "-f", "-o", trace, "-e", "trace=fadvise64,pwrite64"]
    seen = commands.run(*watch, *words, env=sanitizers.without_leaks())
    if not trace.exists() or "pwrite64(" not in trace.read_text():
        pytest.skip(f"SKIP: strace cannot trace here: {seen.stderr}")
    n = trace.read_text().split("pwrite64(", 1)[0].count("fadvise64(")
    trace.unlink()
    for path in disk.path.parent.iterdir():
        path.unlink()
    for path, data in files.items():
        path.write_bytes(data)
    hold = ["-e", f"inject=fadvise64:delay_enter=1500000:when={n}"]
    process = start(*watch, *hold, *words, **sanitizers.without_leaks())
    deadline = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < deadline:
        if trace.exists() and trace.read_text().count("fadvise64(") == n:
            break
        time.sleep(0.01)
    if process.poll() is not None:
        pytest.skip(f"SKIP: strace cannot trace here: {process.communicate()[1]}")
    other = commands.run(
        "sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", "--part-type", disk.path, 3, SRV
    )
    assert other.returncode == 0, other.stderr
    changed = digest(disk.path)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 3, error
    assert "changed since it was read" in error
    assert digest(disk.path) == changed
    assert "pwrite64(" not in trace.read_text() or command == "apply"
    assert commands.by_us(disk)[0][3] == SRV
    assert HOME not in commands.by_us(disk)[0].values() or command == "undo"
