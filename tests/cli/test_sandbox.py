# SPDX-License-Identifier: LGPL-2.1-or-later
"""check and show of an image: what the process that reads it may do, as the kernel has it."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

import makedisk
import pytest
from conftest import DPS_TAG, ENVIRONMENT, WITHOUT, call, call_on_terminal
from makedisk import Partition

STRACE = shutil.which("strace", path=ENVIRONMENT["PATH"])
needs_strace = pytest.mark.skipif(not STRACE, reason="SKIP: no strace here")


@pytest.fixture(scope="module", name="image")
def image_fixture(tmp_path_factory):
    return makedisk.simple(tmp_path_factory.mktemp("sandbox") / "disk.raw")


def traced(tmp_path, *words, inject=()):
    """What strace saw, a line a call; the status of the command."""
    trace = tmp_path / "trace"
    # The sanitizers' own tracer does not work below another, nor may they catch what is sent.
    options = ENVIRONMENT.get("ASAN_OPTIONS", "verbosity=0") + ":detect_leaks=0:handle_segv=0"
    done = subprocess.run([STRACE, "-f", "-o", trace, *inject, DPS_TAG, *map(str, words)],
                          env={**ENVIRONMENT, "ASAN_OPTIONS": options},
                          capture_output=True, timeout=120, check=False)
    text = trace.read_text()
    if not text:
        pytest.skip(f"SKIP: strace cannot trace here: {done.stderr.decode()}")
    return text, done


def kernel_has_landlock():
    try:
        return "landlock" in pathlib.Path("/sys/kernel/security/lsm").read_text()
    except OSError:
        return True  # not mounted: the trace tells


@needs_strace
@pytest.mark.parametrize("command", ["check", "show"])
def test_the_reader_is_confined(tmp_path, image, command):
    """Held back at its first reads of the image: what /proc says of it."""
    process = subprocess.Popen(
        [STRACE, "-f", "-o", tmp_path / "trace", "-e", "trace=pread64", "-e",
         "inject=pread64:delay_enter=300000:when=1..6", DPS_TAG, command, str(image)],
        env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    found = {}
    deadline = time.monotonic() + 30
    while not found and process.poll() is None and time.monotonic() < deadline:
        for status in pathlib.Path("/proc").glob("[0-9]*/status"):
            try:
                fields = dict(re.findall(r"^(\w+):\s*(.*)$", status.read_text(), re.M))
                words = status.with_name("cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if str(image).encode() in words and words[0] == DPS_TAG.encode() and fields["Seccomp"] == "2":
                found = fields
                limits = status.with_name("limits").read_text()
        time.sleep(0.02)
    error = process.communicate(timeout=60)[1]
    if "PTRACE" in error:
        pytest.skip(f"SKIP: strace cannot trace here: {error}")
    assert found, "no process with a filter was seen"
    assert found["NoNewPrivs"] == "1"
    assert re.search(r"Max cpu time +60 +61 ", limits)
    assert re.search(r"Max core file size +0 +0 ", limits)
    assert re.search(r"Max file size +0 +0 ", limits)
    if "ASAN_OPTIONS" not in os.environ:
        assert re.search(r"Max data size +(\d+) +\1 ", limits)


@needs_strace
def test_calls_are_restricted_before_the_image_is_opened(tmp_path, image):
    text, done = traced(tmp_path, "check", "--json", image)
    assert done.returncode in (0, 1), done
    opened = min(m.start() for m in re.finditer(r'open\w*\(.*"[^"]*disk.raw", O_RDONLY\|O_NOCTTY', text))
    filtered = re.search(r"(PR_SET_SECCOMP|seccomp\()", text)
    assert filtered and filtered.start() < opened
    if kernel_has_landlock() and "ENOSYS" not in text and "EOPNOTSUPP" not in text:
        assert re.search(r"landlock_restrict_self\(.*= 0", text[:opened])
    # nothing that the work needs is refused
    assert " EPERM " not in text[opened:] and " EACCES " not in text[opened:], text[opened:]


@needs_strace
@pytest.mark.parametrize("words", [["apply", "home=3"], ["plan", "home=3"]])
def test_what_writes_is_not_confined(tmp_path, image, words):
    copy = shutil.copy(image, tmp_path / "copy.raw")
    text, done = traced(tmp_path, words[0], copy, *words[1:])
    assert done.returncode in (0, 1)
    assert "SECCOMP" not in text and "landlock" not in text


def test_the_library_restricts_nobody():
    """Its callers have their own ideas: nothing of this is in it."""
    if "DPS_PROFILES" in os.environ:
        pytest.skip("what counts lines calls prctl itself")
    library = next(pathlib.Path(DPS_TAG).parent.parent.glob("libdps/libdps.so.*"))
    names = subprocess.run(["nm", "-D", "--undefined-only", library], capture_output=True, text=True, check=True,
                           env=ENVIRONMENT).stdout
    for name in ("prctl", "setrlimit", "fork", "execve"):
        assert not re.search(rf"\bU {name}\b", names), name


def test_what_it_says_is_what_it_said(tmp_path, image):
    """The reader's answer, status and complaint reach the caller as they are."""
    assert "No partitions" in call("show", makedisk.make(tmp_path / "empty.raw", []), status=0).out
    broken = tmp_path / "broken.raw"
    broken.write_bytes(bytes(makedisk.MIB))
    result = call("show", broken, status=3)
    assert result.out == "" and result.err.startswith("dps-tag: ") and result.err.count("\n") == 1
    document = call("show", "--json", broken, status=3)
    assert document.json["error"]["code"] == "no-table" and document.err == result.err
    both = call("check", image, makedisk.make(tmp_path / "other.raw", [Partition(size=4)]))
    assert "disk.raw" in both.out and "other.raw" in both.out


def test_a_journal_beside_it_is_seen(tmp_path):
    """The directory may be listed; the files in it may not be read."""
    image = makedisk.make(tmp_path / "disk.raw", [Partition(size=4)])
    plain = call("check", image).out
    (tmp_path / "disk.raw.dps-journal").write_bytes(b"")
    assert call("check", image).out == plain or "journal" in call("check", image).out


def test_a_pager_is_the_other_process(image, tmp_path):
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\necho PAGED; exec cat\n")
    pager.chmod(0o755)
    seen = call_on_terminal("show", "--verbose", image, lines=5, env={"PAGER": str(pager)})
    assert seen.status == 0 and seen.out.startswith("PAGED\n") and "esp" in seen.out


def test_stdout_that_is_full(image):
    done = subprocess.run(["/bin/sh", "-c", f"{DPS_TAG} check --json {image} >/dev/full"], env=ENVIRONMENT,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 3 and "standard output" in done.stderr


@needs_strace
@pytest.mark.parametrize("signal,says", [
    ("SIGXCPU", "reading it took more than 60 seconds of a processor"),
    ("SIGSEGV", "its reader was ended by signal 11"),
    ("SIGSYS", "its reader was ended by signal 31"),
])
def test_a_reader_that_dies_is_told_of(tmp_path, image, signal, says):
    """As it would by its limit of time, by a bug, by what the filter kills for."""
    text, done = traced(tmp_path, "check", "--json", image,
                        inject=["-e", f"inject=pread64:signal={signal}:when=3"])
    assert signal in text
    assert done.returncode == 3, done
    assert f"disk.raw: {says}" in done.stderr.decode()
    assert b'"code"' in done.stdout and b"corrupt" in done.stdout


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="SKIP: the number of prctl is another")
@pytest.mark.parametrize("numbers,missing", [("444", "Landlock"), ("157", "seccomp"), ("444,157", "Landlock and seccomp")])
def test_a_kernel_that_has_less(image, numbers, missing):
    """An old one, or a container: all goes on, and --verbose says what is missing."""
    prefix = [sys.executable, "-c", WITHOUT, numbers]
    plain = call("check", "--json", image)
    less = call("check", "--json", image, prefix=prefix)
    if less.status == 77:
        pytest.skip("SKIP: no filter of system calls can be set here")
    assert (less.out, less.err, less.status) == (plain.out, "", plain.status)
    said = call("check", "--verbose", image, prefix=prefix)
    assert said.err == (f"dps-tag: note: images were read without {missing}, which this kernel does not have "
                        "or does not let us use\n")
    assert call("check", "--verbose", image).err in ("", said.err)


@pytest.mark.skipif(os.geteuid() != 0, reason="SKIP: loop devices need root")
def test_a_device_is_read_without(image):
    """The partitions of a device have nodes of their own; the manual says so."""
    if not makedisk.can_mount():
        pytest.skip("SKIP: no loop devices here")
    with makedisk.loop_device(image, "--read-only") as loop:
        assert call("show", loop, status=0).out.splitlines()[3:] == call("show", image, status=0).out.splitlines()[3:]
