# SPDX-License-Identifier: LGPL-2.1-or-later
"""Each disk in a process of its own: one whose reader crashes, hangs or lies stops no other."""

import fcntl
import json
import os
import pathlib
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time

import makedisk
import pytest
from conftest import DPS_TAG, ENVIRONMENT, WITHOUT, Result, call, call_on_terminal, read_terminal, validate

MISBEHAVE = os.environ.get("MISBEHAVE", str(pathlib.Path(DPS_TAG).parent.parent / "tests/cli/misbehave.so"))
pytestmark = pytest.mark.skipif("ASAN_OPTIONS" in os.environ,
                                reason="SKIP: nothing can be preloaded before the sanitizers")


@pytest.fixture(scope="module", name="images")
def images_fixture(tmp_path_factory):
    place = tmp_path_factory.mktemp("readers")
    first = makedisk.simple(place / "a.raw")
    return [first] + [pathlib.Path(shutil.copy(first, place / f"{name}.raw")) for name in ("evil", "c", "d")]


def preload(how, text="evil.raw", nth=3):
    return {"LD_PRELOAD": MISBEHAVE, "DPS_MISBEHAVE": f"{how}:{nth}:{text}"}


def readers_of(image):
    """Processes that have an image's name in their words."""
    found = []
    for words in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if os.fsencode(str(image)) in words.read_bytes().split(b"\0"):
                found.append(int(words.parent.name))
        except OSError:
            continue
    return found


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# What each way looks like to who reads the report.
WAYS = [
    ("crash", "ended by signal 11"),
    ("overflow", "ended by signal 11"),
    ("abort", "ended by signal 6"),
    ("leave", "no answer that makes sense"),
    ("garble", "no answer that makes sense"),
    ("hang-up", "was killed"),
    ("flood", "more to show than anybody reads"),
    ("paint", "\\x1b]0;mine\\x07\\x1b[2J\\xe2\\x80\\xae"),
    ("reach", "no answer that makes sense"),
]


@pytest.fixture(scope="module", name="sound")
def sound_fixture(images):
    return call("check", "--json", *images).json["disks"]


@pytest.mark.parametrize("how,says,jobs", [(*way, jobs) for way, jobs in zip(WAYS, (1, 3, 4, 2) * 3)])
def test_the_others_go_on(images, sound, how, says, jobs):
    result = call("check", "--json", f"--jobs={jobs}", *images, status=3, env=preload(how))
    document = validate(result.json, "failure")
    assert [disk["path"] for disk in document["disks"]] == [str(image) for image in images]
    for i, disk in enumerate(document["disks"]):
        if i != 1:
            assert disk == sound[i]
    error = document["disks"][1]["error"]
    assert document["error"] == error and error["code"] in ("corrupt", "io")
    assert result.err == f"dps-tag: {error['message']}\n" or how == "paint"
    assert says in result.err and "REACHED" not in result.err
    text = call("check", f"--jobs={jobs}", *images, status=3, env=preload(how))
    assert text.err == result.err
    assert text.out.index("a.raw: ") < text.out.index("evil.raw: could not be checked\n  ") < text.out.index("c.raw: ")
    assert "d.raw" in text.out and says in text.out
    assert text.out.splitlines()[-1].endswith("1 that could not be checked")
    assert readers_of(images[1]) == []


@pytest.mark.parametrize("how,says", WAYS)
def test_show_says_the_same(images, how, says, failure):
    code = "io" if how == "hang-up" else "corrupt"
    failure("show", images[1], status=3, code=code, says=says, env=preload(how))


def test_limits_are_kept(images):
    """Lower ones of the caller's stay, which spares the test a minute."""
    done = call("check", "--json", *images, status=3, env=preload("spin"), prefix=["prlimit", "--cpu=1:9", "--"])
    assert "evil.raw: reading it took more than 1 seconds of a processor" in done.err
    assert [disk["error"] is None for disk in done.json["disks"]] == [True, False, True, True]
    done = call("check", "--json", *images, status=3, env=preload("eat"),
                prefix=["prlimit", f"--data={64 * makedisk.MIB}", "--"])
    assert "evil.raw: reading it took more than 64 MiB of memory" in done.err
    assert [disk["error"] is None for disk in done.json["disks"]] == [True, False, True, True]


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="SKIP: the number of prctl is another")
@pytest.mark.parametrize("without,possible", [
    (None, ""),
    ("444", " read-beside read-elsewhere"),  # without Landlock
    ("157", " append kill thread-kill socket fork"),  # without seccomp
])
def test_each_confinement_alone(tmp_path, images, without, possible):
    """What either is for it does when the other is not there."""
    image = pathlib.Path(shutil.copy(images[0], tmp_path / "evil.raw"))
    beside = tmp_path / "evil.raw.beside"
    beside.write_text("another's")
    prefix = [sys.executable, "-c", WITHOUT, without] if without else []
    said = call("check", "--verbose", image, prefix=prefix)
    if said.status == 77:
        pytest.skip("SKIP: no filter of system calls can be set here")
    if "without" in said.err and (not without or " and " in said.err):
        pytest.skip(f"SKIP: {said.err}")
    prefix += ["/bin/sh", "-c", 'exec "$@" </etc/passwd', "sh"]
    result = call("check", image, status=3, env=preload("attempt"), prefix=prefix)
    assert re.search(r"makes sense: possible:([a-z -]*): it is made to do harm", result.err)[1] == possible
    assert beside.read_text() == "another's" and sorted(tmp_path.iterdir()) == [image, beside]


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="SKIP: calls of another architecture are those of i386")
def test_calls_of_another_architecture(images):
    """The filter knows one architecture's numbers; a kernel may have two."""
    if "seccomp" in call("check", "--verbose", images[0]).err:
        pytest.skip("SKIP: no filter of system calls can be set here")
    result = call("check", images[1], status=3, env=preload("disguise"))
    assert re.search(r"ended by signal (31|11) ", result.err), result  # 11: this kernel has one


def test_a_reader_that_cannot_begin_is_no_evidence(images, failure):
    """Too few descriptors for its own, and enough for who starts it."""
    failure("check", images[0], status=3, code="io", says="a.raw: its reader could not begin",
            prefix=["prlimit", "--nofile=8", "--"])


def test_a_killed_reader_is_no_evidence(images):
    """The kernel's choice for want of memory, or somebody's, says nothing of the image."""
    process = subprocess.Popen([DPS_TAG, "check", "--json", *map(str, images)], text=True,
                               env={**ENVIRONMENT, **preload("hang")}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(lambda: is_hanging(process))
    os.kill(children_of(process.pid)[0], signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 3 and "was killed, by somebody or for want of memory" in err
    assert json.loads(out)["disks"][1]["error"]["code"] == "io"


def children_of(pid):
    try:
        return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def state_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def wchan_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/wchan").read_text()
    except OSError:
        return ""


def is_hanging(process):
    """All that is left to read is the image whose reader sleeps."""
    children = children_of(process.pid)
    return len(children) == 1 and "nanosleep" in wchan_of(children[0])


def test_no_zombies(images):
    """The readers of those that are done are gone, while one still reads."""
    process = subprocess.Popen([DPS_TAG, "check", "--jobs=2", *map(str, images)],
                               env={**ENVIRONMENT, **preload("hang")}, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: is_hanging(process))
        assert state_of(children_of(process.pid)[0]) == "S"
    finally:
        process.terminate()
        assert process.wait(timeout=60) == -signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_ends_all(images, number):
    process = subprocess.Popen([DPS_TAG, "check", "--jobs=4", *map(str, images)], text=True,
                               env={**ENVIRONMENT, **preload("hang", ".raw")}, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    wait_until(lambda: len(children_of(process.pid)) == 4)
    process.send_signal(number)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == -number
    assert readers_of(images[0]) == []


def test_readers_die_with_who_asked(images):
    process = subprocess.Popen([DPS_TAG, "check", "--jobs=4", *map(str, images)], stdout=subprocess.DEVNULL,
                               env={**ENVIRONMENT, **preload("hang", ".raw")})
    wait_until(lambda: len(children_of(process.pid)) == 4)
    process.kill()
    process.wait(timeout=60)
    wait_until(lambda: readers_of(images[0]) == [])


def test_what_is_ignored_stays_ignored(images):
    """nohup dps-tag check *.raw &"""
    process = subprocess.Popen(["nohup", DPS_TAG, "check", "--json", *map(str, images)], stdin=subprocess.DEVNULL,
                               env={**ENVIRONMENT, **preload("nap")}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    wait_until(lambda: is_hanging(process))
    process.send_signal(signal.SIGHUP)
    out, _ = process.communicate(timeout=60)
    assert process.returncode in (0, 1) and len(json.loads(out)["disks"]) == 4


def test_a_terminal_gets_its_line_back(images):
    """^C while readers are at work: the terminal sends it to all of them."""
    pid, main = pty.fork()
    if pid == 0:
        os.execve(DPS_TAG, [DPS_TAG, "check", "--jobs=2", *map(str, images)], {**ENVIRONMENT, **preload("hang")})
    fcntl.ioctl(main, termios.TIOCSWINSZ, struct.pack("HHHH", 25, 80, 0, 0))
    wait_until(lambda: any("nanosleep" in wchan_of(child) for child in children_of(pid)) and len(children_of(pid)) == 1)
    os.write(main, b"\x03")
    seen = read_terminal(main)
    _, status = os.waitpid(pid, 0)
    os.close(main)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGINT
    assert b" of 4 checked" in seen
    assert screen_of(seen.replace(b"^C", b"").decode(), 80) == [""]
    assert readers_of(images[1]) == []


# --- The line that tells how far it is ---


def screen_of(text, columns):
    """The lines that a terminal shows, which knows of no more than \\r and \\n."""
    lines, at = [[]], 0
    for c in text:
        assert c in "\r\n" or c.isprintable(), repr(c)
        if c == "\n":
            lines.append([])
            at = 0
        elif c == "\r":
            at = 0
        else:
            assert at < columns, f"wider than the terminal: {text!r}"
            lines[-1][at:at + 1] = [c]
            at += 1
    return ["".join(line).rstrip() for line in lines]


def progress_of(*arguments, columns=80, **env):
    """What is on stderr, which is a terminal; stdout is not."""
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 0, columns, 0, 0))
    process = subprocess.Popen([DPS_TAG, *map(str, arguments)], env={**ENVIRONMENT, **env}, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=other)
    os.close(other)
    out = process.communicate(timeout=60)[0].decode()
    seen = read_terminal(main)
    os.close(main)
    return Result(process.returncode, out, seen.decode().replace("\r\n", "\n"))


@pytest.mark.parametrize("term", ["xterm", "vt220", "linux"])
@pytest.mark.parametrize("columns", [80, 40, 12])
def test_progress(images, term, columns):
    plain = call("check", *images)
    result = progress_of("check", *images, TERM=term, columns=columns)
    assert result.err.startswith("\r0 of 4 chec")
    assert screen_of(result.err, columns) == [""]
    assert result.out == plain.out and result.status == plain.status


def test_progress_moves(images):
    """Slowly enough to be seen."""
    result = progress_of("check", *images, **preload("nap"))
    assert "\r1 of 4 checked" in result.err
    assert screen_of(result.err, 80) == [""]


def test_progress_is_gone_before_complaints(images, tmp_path):
    result = progress_of("check", tmp_path / "nowhere.raw", *images)
    assert screen_of(result.err, 200) == [f"dps-tag: {tmp_path}/nowhere.raw: open: No such file or directory", ""]


@pytest.mark.parametrize("words,env", [
    (["--json"], {}), (["--quiet"], {}), ([], {"TERM": "dumb"}), ([], {"TERM": ""}),
])
def test_no_progress(images, words, env):
    assert progress_of("check", *words, *images, **env).err == ""


def test_no_progress_for_one_or_in_a_pipe(images):
    assert progress_of("check", images[0]).err == ""
    assert call("check", *images).err == ""


def test_colours_are_no_matter_of_progress(images):
    result = progress_of("check", *images, NO_COLOR="1")
    assert "0 of 4 checked" in result.err and "\033" not in result.err + result.out


def test_on_one_terminal(images):
    seen = call_on_terminal("check", *images)
    assert seen.out.startswith("\r0 of 4 checked") and "4 disks: " in seen.out.splitlines()[-1]


# --- What it costs ---


@pytest.mark.skipif(not shutil.which("strace", path=ENVIRONMENT["PATH"]), reason="SKIP: no strace here")
def test_a_process_is_cheap(images, tmp_path):
    """What one more image costs beside the reading of it: calls, which do not depend on the load."""
    def count(n):
        trace = tmp_path / f"trace-{n}"
        links = [tmp_path / f"link-{i}.raw" for i in range(n)]
        for link in links:
            if not link.exists():
                link.symlink_to(images[0])
        done = subprocess.run(["strace", "-f", "-qq", "-o", trace, DPS_TAG, "check", "--json", *links],
                              env=ENVIRONMENT, capture_output=True, timeout=300, check=False)
        if not trace.read_text():
            pytest.skip(f"SKIP: strace cannot trace here: {done.stderr.decode()}")
        reads = ("pread64(", "lseek(", "fadvise64(")
        return sum(1 for line in trace.read_text().splitlines()
                   if "resumed>" not in line and not any(f" {call}" in line for call in reads))

    each = (count(11) - count(1)) / 10
    print(f"calls for one more image, without those that read it: {each}")
    assert each < 400
