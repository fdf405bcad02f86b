# SPDX-License-Identifier: LGPL-2.1-or-later
"""Somebody else writes the table at the same time: with a lock, without one, or just before us."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
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


def sgdisk(path: Path, place: Path) -> list[str]:
    return ["sgdisk", f"--typecode=3:{SRV}", str(path)]


def sgdisk_new(path: Path, place: Path) -> list[str]:
    return ["sgdisk", "--new=7:0:+256K", f"--typecode=7:{SRV}", str(path)]


def parted(path: Path, place: Path) -> list[str]:
    return ["parted", "-s", str(path), "name", "3", "other"]


def sfdisk(path: Path, place: Path) -> list[str]:
    quick = ["--quiet", "--no-reread", "--no-tell-kernel"]
    return ["sfdisk", *quick, "--lock=nonblock", "--part-type", str(path), "3", SRV]


def repart(path: Path, place: Path) -> list[str]:
    """It waits for the lock of a device, and takes none of a file."""
    definitions = place / "repart.d"
    definitions.mkdir(exist_ok=True)
    (definitions / "50-new.conf").write_text(f"[Partition]\nType={SRV}\nSizeMinBytes=128K\nSizeMaxBytes=256K\n")
    return ["systemd-repart", "--dry-run=no", "--pretty=no", f"--definitions={definitions}", str(path)]


def has_theirs(path: Path) -> bool:
    done = commands.run("sfdisk", "--dump", path)
    assert done.returncode == 0, done.stderr
    return SRV.upper() in done.stdout or 'name="other"' in done.stdout


@dataclasses.dataclass
class Scene:
    """One command of ours and one of others, on copies of one image, as files or as loop devices."""

    image: Path
    backup: Path  # made by apply; undo's is there before
    command: str
    other: Callable[[Path, Path], list[str]]
    is_device: bool

    @contextlib.contextmanager
    def copy(self, place: Path) -> Iterator[Disk]:
        place.mkdir()
        disk = commands.copy_beside(Disk(self.image, 512, None), place)
        if self.command == "undo":
            shutil.copy(self.backup, place / "backup.json")
        if not self.is_device:
            yield disk
        else:
            loop = makedisk.run("losetup", "--find", "--show", disk.path).strip()
            try:
                yield dataclasses.replace(disk, path=Path(loop))
            finally:
                makedisk.run("losetup", "--detach", loop)
        shutil.rmtree(place)

    def words(self, disk: Disk, place: Path) -> list[str]:
        backup = place / "backup.json"
        if self.command == "undo":
            return [DPS_TAG, "undo", str(backup), str(disk.path)]
        return [DPS_TAG, "apply", "--no-check", f"--backup={backup}", str(disk.path), *commands.ASSIGNMENTS]

    def environment(self, disk: Disk, place: Path, fault: str) -> dict[str, str]:
        """A device is not below the directory: then only what is done to it counts."""
        below, on = (Path("/"), str(disk.path)) if self.is_device else (place, None)
        return {**ENV, **replay.environment(commands.SHIM, below, place.with_suffix(".log"), fault, on)}

    def count(self, place: Path, call: str) -> tuple[int, int, int]:
        """How many of these calls there are; before our first write to the disk; before the last."""
        with self.copy(place) as disk:
            env = self.environment(disk, place, f"{call}:1+:signal0")
            done = subprocess.run(self.words(disk, place), env=env, stdin=subprocess.DEVNULL, capture_output=True)
            assert done.returncode == 0, done.stderr
            log = place.with_suffix(".log")
            steps = replay.parse(replay.log_of(log))
            log.unlink()
            kinds = [(s.kind, s.path == str(disk.path)) for s in steps]
            writes = [i for i, kind in enumerate(kinds) if kind == ("write", True)]
            before = [sum(kind == "fault" for kind, _ in kinds[:i]) for i in (writes[0], writes[-1])]
            return sum(kind == "fault" for kind, _ in kinds), before[0], before[1]

    def points(self, place: Path, is_dense: bool) -> list[tuple[str, int]]:
        """Each call, or a sample: then also all of those between our writes, when asked for."""
        n_reads, first, last = self.count(place, "read")
        n_flushes, _, _ = self.count(place, "flush")
        step = faults.stride(23)
        reads = [
            n for n in range(1, n_reads + 1)
            if (n - 1) % step == 0 or (is_dense and first - 4 <= n <= last + 1)
        ]  # fmt: skip
        flushes = range(1, n_flushes + 1, faults.stride(1 if is_dense else 3))
        return [*(("read", n) for n in reads), *(("flush", n) for n in flushes)]


def is_waiting(process: subprocess.Popen[str]) -> bool:
    """Whether it waits for a lock: "1: -> FLOCK ADVISORY WRITE PID …"."""
    return any(
        line.split()[1] == "->" and line.split()[5] == str(process.pid)
        for line in Path("/proc/locks").read_text().splitlines()
    )


def check_point(scene: Scene, place: Path, call: str, nth: int) -> tuple[int, bool]:
    """Stopped before this call, while the other program does all that it does, or waits for our lock."""
    with scene.copy(place) as disk:
        words = scene.words(disk, place)
        ours = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL,
            env=scene.environment(disk, place, f"{call}:{nth}:signal{int(signal.SIGSTOP)}"),
        )  # fmt: skip
        _, status = os.waitpid(ours.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), f"{call} {nth}: {status}"
        theirs = start(*scene.other(disk.path, place))
        while theirs.poll() is None and not is_waiting(theirs):
            time.sleep(0.01)
        waits = theirs.poll() is None
        was_written = theirs.returncode == 0 and has_theirs(disk.path)
        table = commands.by_kernel(disk)
        os.kill(ours.pid, signal.SIGCONT)
        error = ours.communicate(timeout=300)[1]
        their_error = theirs.communicate(timeout=300)[1]
        place.with_suffix(".log").unlink()

        where = f"{call} {nth}: {ours.returncode}: {theirs.returncode} {their_error}: {error}"
        types = commands.by_us(disk)[0]
        mine = {n: t for n, t in types.items() if n not in (3, 7)}
        wanted = {n: t for n, t in (NEW if scene.command == "apply" else OLD).items() if n != 3}
        assert types == commands.by_kernel(disk), where
        assert mine in ({n: t for n, t in x.items() if n != 3} for x in (OLD, NEW)), where
        assert ours.returncode in (0, 3), where
        assert mine == wanted or ours.returncode == 3, where
        if ours.returncode == 3 and was_written and mine != wanted:
            assert types == table, f"{where}: their table was touched"
            # Or seen while it was read: once by us, and once by libfdisk.
            assert any(w in error for w in ("chang", "another program", "differently")), where
        if was_written:
            assert has_theirs(disk.path), f"{where}: what they wrote is lost"
        if waits:  # one after the other, and both did what they should
            assert ours.returncode == 0 and theirs.returncode == 0 and has_theirs(disk.path), where
        assert is_whole(disk.path) or mine == wanted or not was_written, where
        again = commands.run(*words)
        assert again.returncode == 0, f"{where}: again: {again.stderr}"
        assert is_whole(disk.path), where
        return ours.returncode, was_written


# Other programs sleep (sgdisk) and wait; so do we beside them.
N_AT_A_TIME = 8
LOOP = ["device"] if os.geteuid() == 0 and os.path.exists("/dev/loop-control") else []
BESIDE = [
    *((other, "image") for other in (sgdisk, sgdisk_new, parted, sfdisk, repart)),
    *((other, kind) for other in (sgdisk, repart) for kind in LOOP),
]


@pytest.mark.parametrize(("other", "kind"), BESIDE, ids=lambda x: x if isinstance(x, str) else x.__name__)
@pytest.mark.parametrize("command", ["apply", "undo"])
def test_at_every_step(disk: Disk, tmp_path: Path, command: str, other, kind: str) -> None:  # type: ignore[no-untyped-def]
    """
    Stopped before each read and each flush in turn; another program, which takes no lock, changes
    the table from start to end; then we go on.  What is there at the end is whole: its table with our
    changes or without them, and when they are not all there we say that somebody wrote meanwhile.
    (Between the last look and the write there is one system call, where nothing can be noticed.)
    Who waits for the lock of a device comes when we are done, and loses nothing either.
    """
    name = other(disk.path, tmp_path)[0]
    if not shutil.which(name, path=ENV["PATH"]):
        pytest.skip(f"SKIP: no {name} here")
    with open(disk.path, "r+b") as file:  # room for a partition more
        file.truncate(disk.path.stat().st_size + makedisk.MIB)
    assert commands.run("sgdisk", "-e", disk.path).returncode == 0
    if command == "undo":
        assert commands.run(*commands.apply_words(disk)).returncode == 0
    scene = Scene(disk.path, disk.backup, command, other, kind == "device")
    points = scene.points(tmp_path / "count", is_dense=other in (sgdisk, repart) and kind == "image")
    with ThreadPoolExecutor(N_AT_A_TIME) as pool:
        results = set(
            pool.map(lambda at: check_point(scene, tmp_path / f"{at[0]}{at[1]}", *at), points)
        )
    # Who takes the lock, or is told that we have it, cannot be in between.
    has_lock = other is sfdisk or (other is repart and kind == "device")
    assert has_lock or (3, True) in results, results


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
