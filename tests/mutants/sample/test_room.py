# SPDX-License-Identifier: LGPL-2.1-or-later
"""As test-room.c, by the program; of these, two tests are of no use for judging a mutant."""

import os
import subprocess

import pytest


def room(*words):
    done = subprocess.run([os.environ["ROOM"], *words], stdout=subprocess.PIPE, check=False)
    return done.returncode, done.stdout.decode()


@pytest.fixture(name="full", scope="module")
def filled():
    return room("3", "3")


@pytest.mark.parametrize("size, wanted, said", [("3", "2", "2\n"), ("0", "0", "0\n")], ids=["2 of 3: a/b", "none"])
def test_some(size, wanted, said):
    assert room(size, wanted) == (0, said)


def test_too_much():
    assert room("3", "4") == (1, "")


def test_all(full):
    assert full == (0, "3\n")


def test_all_again(full):
    assert full[0] == 0


def test_fails_without_a_mutant():
    assert room("3", "1") == (0, "2\n")


@pytest.mark.skip(reason="never runs here")
def test_less_than_nothing():
    assert room("3", "-1") == (1, "")
