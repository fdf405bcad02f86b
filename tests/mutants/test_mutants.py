# SPDX-License-Identifier: LGPL-2.1-or-later
"""The harness itself: it sees a test that is missing, and none where there is one."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import operators
import run

SAMPLE = HERE / "sample"
SURVIVORS = {
    "room.c room_take: clause: wanted < 0",
    "room.c room_take: bound: wanted > size - *used",
    "room.c room_take: check: if (wanted == 0)",
    "room.c room_unused: success: return size - 1",
    "room.c room_unused: one: size - 1",
}
MUTANT = operators.Mutant(1, "room.c", 1, "room_take", "check", "if (wanted == 0)")
EQUIVALENT = """\
# a comment
room.c room_take: check: if (wanted == 0)
\tNothing is added then.

room.c room_unused: success: return size - 1
room.c room_unused: one: size - 1
\tNobody calls it,
\tas yet.
"""


@pytest.fixture(name="project", scope="module")
def copied_sample(tmp_path_factory):
    root = tmp_path_factory.mktemp("mutants") / "sample"
    shutil.copytree(SAMPLE, root)
    subprocess.run(["git", "init", "-q", root], check=True)
    return root


def mutants(project, *words, equivalent="", suite="unit"):
    table = project.parent / "equivalent.txt"
    table.write_text(equivalent)
    done = subprocess.run(
        [sys.executable, HERE / "run.py", "--root", project, "--sources", "room.c", "--place", project.parent / "build",
         "--equivalent", table, "--suite", suite, "--operator", "all", *words],
        capture_output=True, text=True, check=False,
    )
    return done.returncode, done.stdout + done.stderr


def survivors(text):
    return {re.sub(r"^survived \[.*?\] (\S+?):\d+: ", r"\1 ", line) for line in text.splitlines() if line.startswith("survived")}


def test_survivors_and_equivalents(project):
    status, text = mutants(project)
    assert survivors(text) == SURVIVORS, text
    assert status == 1
    assert re.search(r"^\d+ mutants, \d+ killed, 0 equivalent, 5 survived$", text, re.MULTILINE), text

    status, text = mutants(project, equivalent=EQUIVALENT)
    assert status == 1
    assert " 3 equivalent, 2 survived" in text

    # the tests that were missing
    test = project / "test-room.c"
    test.write_text(test.read_text().replace(
        "	return room_take(&used, 3, 0)", "	if (room_take(&used, 3, -1) != -1 || room_take(&used, 3, 1) != 0 || used != 3)\n"
        "		return 1;\n	used = 2;\n	return room_take(&used, 3, 0)"))
    status, text = mutants(project, "--verbose", equivalent=EQUIVALENT)
    assert (status, survivors(text)) == (0, set()), text
    status, text = mutants(project, "--verbose", "room:room_take", "--operator", "check,clause", equivalent=EQUIVALENT)
    assert status == 0, text
    assert "4 mutants, 3 killed, 1 equivalent, 0 survived" in text
    assert "\n\tby room\n" in text


def test_the_tests_of_pytest_are_judges_too(project):
    """One that fails by itself, or is skipped, judges nothing; what a fixture of the module reaches, each that uses it reaches."""
    status, text = mutants(project, "--verbose", suite="cli")
    assert survivors(text) == SURVIVORS - {"room.c room_take: bound: wanted > size - *used"}, text
    assert status == 1
    assert "survived [3, 5 tests met it]" in text
    for name in ("test_fails_without_a_mutant", "test_less_than_nothing"):
        assert f"{name}: not used: skipped or failed" in text
    killers = set(re.findall(r"by (room-program: .*)", text))
    assert killers and killers <= {f"room-program: {name}" for name in ("test_some[2", "test_some[none]", "test_too_much", "test_all", "test_all_again")}, text

    status, text = mutants(project, "--tests", "room", suite="unit,cli")
    assert "room-program" not in text
    status, text = mutants(project, "room:room_take", "--operator", "store", "--tests", "room-program", "--verbose", suite="unit,cli")
    assert status == 0 and "by room-program: " in text


def test_a_judge_that_does_not_judge(project):
    """A test that pytest no longer finds would fail for each mutant."""
    bench = run.Bench(project.parent / "build", [], 60, False)
    test = run.Test("room-program", [], {}, "cli", node="test_gone")
    (bench.place / "out").mkdir(parents=True, exist_ok=True)
    with pytest.raises(run.Trouble, match="did not run what it was asked for"):
        bench.fails(["/usr/bin/python3", "-m", "pytest", "-q", f"{SAMPLE}/test_room.py::test_gone"], test, MUTANT, 1)


def test_a_name_that_is_no_longer_there(project):
    status, text = mutants(project, equivalent="room.c room_take: call: gone()\n\tWas here once.\n")
    assert status == 2
    assert "not in the sources" in text
    status, text = mutants(project, "lobby.c")
    assert (status, "no such mutants" in text) == (2, True)


@pytest.mark.parametrize("text, why", [
    ("\treason\n", "a reason without a mutant"),
    ("a: b\n", "no reason"),
    ("a: b\n\tx\n\na: b\n\ty\n", "twice"),
])
def test_tables_that_say_too_little(tmp_path, text, why):
    table = tmp_path / "table"
    table.write_text(text)
    with pytest.raises(run.Trouble, match=why):
        run.read_equivalent(table)


@pytest.mark.parametrize("source, expected", [
    ("if (a && !f(b, error))\n\treturn FALSE;", {"check", "ignored", "always", "clause", "success"}),
    ("flush(fd);", {"call"}),
    ("g_free(p);", set()),
    ("self->size = n;", {"store"}),
    ("int n = open(path, O_CREAT | O_EXCL | O_CLOEXEC);", {"flag"}),
    ("first(a);\nsecond(b);", {"call", "order"}),
    ("return first(error) && second(error);", {"order", "clause", "success"}),
    ("for (i = 0; i < n; i++)\n\tuse(i + 1);", {"bound", "call", "one"}),
    ("if (fd < 0)\n\treturn TRUE;", {"check", "always"}),
    ("return dps_throw(error, CODE, \"%d\", a < b ? n + 1 : n);", {"success"}),
    ("static const int x = A | B;", set()),
])
def test_what_each_operator_sees(source, expected):
    text, found = operators.mutate("x.c", f"static gboolean\nf(int a)\n{{\n\t{source}\n}}\n", 1)
    assert {mutant.operator for mutant in found} == expected
    assert text.count("{") == text.count("}") and text.count("(") == text.count(")")
    assert [mutant.number for mutant in found] == list(range(1, len(found) + 1))
    assert len({mutant.name for mutant in found}) == len(found)


def test_a_test_that_clears_the_environment_is_noticed(tmp_path):
    program = tmp_path / "program.c"
    program.write_text(f'#include "{HERE}/mutant.h"\nint main(void) {{ return dps_mutant(7) ? 3 : dps_mutant(8); }}\n')
    subprocess.run(["cc", "-o", tmp_path / "program", program], check=True)
    reached = tmp_path / "reached"
    reached.write_bytes(bytes(run.MAP_SIZE))

    def status(**env):
        return subprocess.run([tmp_path / "program"], env=env, check=False).returncode

    assert status() < 0
    assert status(DPS_MUTANT="0") == 0
    assert status(DPS_MUTANT="7", DPS_MUTANTS_REACHED=str(reached)) == 3
    assert [n for n, byte in enumerate(reached.read_bytes()) if byte] == [7]
    assert status(DPS_MUTANT="0", DPS_MUTANTS_REACHED=str(tmp_path / "none")) < 0


def test_the_sources_are_there():
    for names in run.CLASSES.values():
        for name in names:
            path, _, function = name.partition(":")
            assert (run.ROOT / path).is_file(), name
            assert not function or f"\n{function}(" in (run.ROOT / path).read_text(), name
    table = run.read_equivalent(run.EQUIVALENT)
    names = set()
    for name in run.CLASSES["writers"] + run.CLASSES["readers"]:
        _text, found = operators.mutate(name, (run.ROOT / name).read_text(), 1)
        assert len(found) <= run.NUMBERS_OF_A_FILE
        names |= {mutant.name for mutant in found}
    assert set(table) <= names, f"in equivalent.txt and not in the sources: {set(table) - names}"
