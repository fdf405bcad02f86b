# SPDX-License-Identifier: LGPL-2.1-or-later
"""ext2, ext3 and ext4 that mke2fs made of a tree, read without mounting them."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest
import trees

TOOL = os.environ["FILES_TOOL"]
# What any command may take at most; sanitizers need more.
PEAK_KIB = int(os.environ.get("PEAK_KIB", "32768"))
PATH = "/usr/sbin:/sbin:" + os.environ["PATH"]

NEEDED = ["mke2fs", "debugfs"]
MISSING = [name for name in NEEDED if not shutil.which(name, path=PATH)]
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.skipif(os.environ["HAVE_EXT2FS"] != "1", reason="built without libext2fs"),
]

SHAPES = {
    "ext2": ["-t", "ext2"],
    "ext3": ["-t", "ext3"],
    "ext4": ["-t", "ext4"],
    "ext4-1k": ["-t", "ext4", "-b", "1024"],
    "ext4-2k": ["-t", "ext4", "-b", "2048"],
    "ext4-inline": ["-t", "ext4", "-I", "512", "-O", "inline_data"],
    "ext4-32bit": ["-t", "ext4", "-O", "^64bit,^metadata_csum"],
    "ext4-bigalloc": ["-t", "ext4", "-O", "bigalloc"],
    "ext4-casefold": ["-t", "ext4", "-O", "casefold", "-E", "encoding=utf8"],
    "ext4-sparse2": ["-t", "ext4", "-O", "sparse_super2,meta_bg,^resize_inode"],
}


def run(*command: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(word) for word in command],
        env={**os.environ, "PATH": PATH, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done


def make_tree(top: Path, seed: int) -> None:
    trees.grow(top, random.Random(seed), files=40, largest=300000)
    (top / "etc").mkdir()
    (top / "usr/lib").mkdir(parents=True)
    (top / "usr/lib/os-release").write_text("ID=test\n")
    (top / "etc/os-release").symlink_to("../usr/lib/os-release")
    (top / "etc/absolute").symlink_to("/usr/lib/os-release")
    (top / "etc/out").symlink_to("../../../usr/lib/os-release")
    (top / "etc/loop").symlink_to("loop")
    # Longer than what an inode has room for.
    (top / "etc/long").symlink_to("../" + "usr/../" * 12 + "usr/lib/os-release")


def make(image: Path, top: Path, shape: str) -> None:
    run("mke2fs", "-q", "-F", *SHAPES[shape], "-d", top, image, "64M")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_trees(tmp_path, shape, seed):
    image, top = tmp_path / "ext4.img", tmp_path / "tree"
    top.mkdir()
    make_tree(top, seed)
    make(image, top, shape)
    before = image.read_bytes()

    document = json.loads(run(TOOL, "ext4", image).stdout)
    wanted = {**trees.describe(top), "/lost+found": "directory"}
    assert trees.describe_document(document) == wanted
    assert document["note"] is None
    assert document["peak_kib"] < PEAK_KIB
    for name in ("os-release", "absolute", "out", "long"):
        assert run(TOOL, "read", "ext4", image, "/etc/" + name, 0, 8).stdout == "ID=test\n"
    done = run(TOOL, "read", "ext4", image, "/etc/loop", 0, 8, check=False)
    assert done.returncode == 3 and "loop" in done.stderr
    assert image.read_bytes() == before


def test_free_space_as_dumpe2fs_says(tmp_path):
    image, top = tmp_path / "ext4.img", tmp_path / "tree"
    top.mkdir()
    make_tree(top, 5)
    make(image, top, "ext4")
    fields = dict(
        line.split(":", 1) for line in run("dumpe2fs", "-h", image).stdout.splitlines() if ":" in line
    )
    unit = int(fields["Block size"])
    document = json.loads(run(TOOL, "ext4", image).stdout)
    free = int(fields["Free blocks"]) - int(fields["Reserved block count"])
    assert (document["unit"], document["free"]) == (unit, free * unit)
    assert document["size"] == int(fields["Block count"]) * unit


def test_attributes(tmp_path):
    image, top = tmp_path / "ext4.img", tmp_path / "tree"
    top.mkdir()
    make(image, top, "ext4")
    run("debugfs", "-w", "-R", "ea_set / user.validatefs.gpt_label root-x86-64", image)
    done = run(TOOL, "attribute", "ext4", image, "/", "user.validatefs.gpt_label")
    assert done.stdout.rstrip("\0") == "root-x86-64"
    missing = run(TOOL, "attribute", "ext4", image, "/", "user.none", check=False)
    assert (missing.returncode, missing.stdout) == (1, "")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("feature needs_recovery", "journal is not replayed"),
        ("ssv state 2", "errors"),
        ("ssv state 0", "not unmounted cleanly"),
    ],
)
def test_state(tmp_path, command, words):
    image, top = tmp_path / "ext4.img", tmp_path / "tree"
    top.mkdir()
    make_tree(top, 6)
    make(image, top, "ext4")
    run("debugfs", "-w", "-R", command, image)
    document = json.loads(run(TOOL, "ext4", image).stdout)
    assert words in document["note"]
    assert "/usr/lib/os-release" in trees.describe_document(document)


@pytest.mark.parametrize("shape", ["ext2", "ext4", "ext4-inline", "ext4-32bit"])
def test_bent_and_cut(tmp_path, shape):
    """Whatever is on the medium: an answer or an error, soon, in little memory, nothing written."""
    rng = random.Random(shape)
    image, top = tmp_path / "ext4.img", tmp_path / "tree"
    top.mkdir()
    trees.grow(top, rng, files=15)
    run("mke2fs", "-q", "-F", *SHAPES[shape], "-d", top, image, "4M")
    good = image.read_bytes()
    used = [at for at in range(0, len(good), 16) if any(good[at : at + 16])]
    bent = tmp_path / "bent.img"
    for _ in range(150):
        content = bytearray(good)
        for _ in range(rng.choice([1, 8, 100])):
            where = rng.choice(used) if rng.random() < 0.7 else 1024 + rng.randrange(400)
            content[where + rng.randrange(16)] = rng.randrange(256)
        if rng.random() < 0.2:
            del content[rng.randrange(len(content)) :]
        bent.write_bytes(content)
        done = subprocess.run([TOOL, "ext4", bent], capture_output=True, timeout=20, check=False)
        assert done.returncode in (0, 3), done.stderr
        assert bent.read_bytes() == content
        if done.returncode == 0:
            assert json.loads(done.stdout)["peak_kib"] < PEAK_KIB


ENCRYPTED = "0x800"  # EXT4_ENCRYPT_FL of lib/ext2fs/ext2_fs.h


@pytest.mark.parametrize(
    ("shape", "command", "path", "words"),
    [
        ("ext4", f"sif /usr/lib/os-release flags {ENCRYPTED}", "/usr/lib/os-release", "encrypted"),
        ("ext4", f"sif /usr/lib flags {ENCRYPTED}", "/usr/lib/os-release", "encrypted"),
        ("ext4", f"sif /etc/long flags {ENCRYPTED}", "/etc/long", "encrypted"),
        ("ext4", "sif /etc/long size 5000", "/etc/long", "a link of 5000 bytes"),
        ("ext2", "sif /etc/long block[0] 0xfffffff", "/etc/long", ""),
        ("ext4", "sif /usr/lib/os-release links_count 0", "/usr/lib/os-release", "deleted file"),
        ("ext2", "sif /usr/lib/os-release block[0] 0xfffffff", "/usr/lib/os-release", ""),
        ("ext2", "sif /usr/lib block[0] 0xfffffff", "/usr/lib/os-release", ""),
        ("ext4", "stat /usr", "/usr/lib", "not a regular file"),
        ("ext4", "stat /usr", "/usr/lib/os-release/below", "no such file"),
        ("ext4", "stat /usr", "/usr/lib/none", "no such file"),
    ],
)
def test_what_cannot_be_read(tmp_path, shape, command, path, words):
    """One thing made another by debugfs: it is told of, and all that is beside it is read."""
    image, top = tmp_path / "ext4.img", tmp_path / "tree"
    top.mkdir()
    make_tree(top, 7)
    (top / "beside").write_text("beside\n")
    make(image, top, shape)
    run("debugfs", "-w", "-R", command, image)
    done = run(TOOL, "read", "ext4", image, path, 0, 8, check=False)
    assert done.returncode == 3 and words in done.stderr, done.stderr
    assert run(TOOL, "read", "ext4", image, "/beside", 0, 7).stdout == "beside\n"


def test_attributes_with_inodes_of_their_own(tmp_path):
    image, top = tmp_path / "ext4.img", tmp_path / "tree"
    top.mkdir()
    run("mke2fs", "-q", "-F", "-t", "ext4", "-O", "ea_inode", "-d", top, image, "16M")
    done = run(TOOL, "attribute", "ext4", image, "/", "user.x", check=False)
    assert done.returncode == 3 and "ea_inode" in done.stderr
