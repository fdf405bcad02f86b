# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where downloads and built images are kept between runs, named by what went into them.

Nothing here is ever changed in place: a result is made under a temporary name and renamed when it
is whole, so that a run which is interrupted leaves no half-made image for the next one to trust.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).parent
KEPT_UNUSED = 14 * 24 * 3600  # seconds
GUEST = HERE.parent / "guest"


class CommandFailed(RuntimeError):
    """A tool that did not end as it had to, with what it said."""


def directory(*names: str) -> pathlib.Path:
    """A directory of the cache: $LIBDPS_CACHE, or libdps in the user's cache."""
    home = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    path = pathlib.Path(os.environ.get("LIBDPS_CACHE") or home / "libdps").joinpath("vm", *names)
    path.mkdir(parents=True, exist_ok=True)
    return path


def source_digest() -> str:
    """The builder itself and the guests' scripts: a change in them makes every image anew."""
    digest = hashlib.sha256()
    for path in sorted([*HERE.glob("*.py"), *GUEST.iterdir()]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def key_of(inputs) -> str:
    """The name of a result: a digest of its inputs, which are anything that JSON can hold."""
    text = json.dumps(inputs, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@contextlib.contextmanager
def lock(name: str):
    """Lets one process or thread at a time make the thing of this name."""
    with open(directory("locks") / name, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def make_once(kind: str, inputs, make) -> pathlib.Path:
    """The directory that make(path) filled for these inputs, now or in an earlier run."""
    key = key_of(inputs)
    wanted = directory(kind) / key
    with lock(f"{kind}-{key}"):
        if wanted.is_dir():
            os.utime(wanted)
            return wanted
        scratch = pathlib.Path(tempfile.mkdtemp(prefix=f".{key}-", dir=directory(kind)))
        try:
            make(scratch)
            (scratch / "inputs.json").write_text(json.dumps(inputs, indent=1, sort_keys=True))
            scratch.rename(wanted)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
    return wanted


def prune() -> None:
    """Forgets what no run has asked for lately: builders change, and kernels are updated."""
    oldest = time.time() - KEPT_UNUSED
    for kind in ("trees", "initrds", "images", "packages"):
        for path in directory(kind).iterdir():
            if path.stat().st_mtime >= oldest:
                continue
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def run(*command, stdin=subprocess.DEVNULL, status=0, **options) -> str:
    """Runs a tool and returns what it said; what it complained of is in the exception."""
    words = [os.fspath(word) for word in command]
    done = subprocess.run(
        words, stdin=stdin, capture_output=True, text=True, errors="replace", **options
    )
    if done.returncode != status:
        raise CommandFailed(
            f"{' '.join(words)}: exit {done.returncode}, wanted {status}: {done.stderr.strip()}"
        )
    return done.stdout


def copy_sparse(source: pathlib.Path, target: pathlib.Path) -> pathlib.Path:
    """A private copy of an image, holes and all."""
    run("cp", "--sparse=always", "--reflink=auto", source, target)
    return target
