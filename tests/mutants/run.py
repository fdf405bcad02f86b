#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Breaks libdps in one place after the other and sees whether a test fails: ./dev mutants

    ./dev mutants                        the steps of what writes: flushes, locks, comparisons, refusals
    ./dev mutants save.c medium:lock     those of a file, of one function
    ./dev mutants --class writers        of all that takes part in writing, and not its core alone
    ./dev mutants --operator clause,bound    other kinds of mutants (operators.py has them); all: every kind

A copy of the tree is compiled once with every mutant asleep in it; a variable of the environment
wakes one.  Every test runs once to see which mutants it comes by and how long it takes; then each
mutant meets the tests that come by it, the quickest first, until one fails.  A mutant that no test
fails for is a survivor, and makes the run fail, unless equivalent.txt says why it cannot matter.

The closing line counts: N mutants, K killed, E equivalent, S survived.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import operators

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
EQUIVALENT = HERE / "equivalent.txt"
NUMBERS_OF_A_FILE = 1000  # so that a change of one file leaves the numbers of the others alone
MAP_SIZE = 65536  # DPS_MUTANTS_MAX of mutant.h

# What writes, and what writing relies on; and the readers whose bounds keep a hostile image out.
CLASSES = {
    # Whatever puts bytes on a disk, and decides that it may.
    "core": [
        "libdps/format/gpt-edit.c",
        "libdps/format/btrfs-edit.c",
        "libdps/target/medium.c:lock",
        "libdps/target/medium-edits.c",
        "libdps/target/save-dir.c",
        "libdps/target/save.c",
        "libdps/target/journal.c",
        "libdps/decide/apply.c",
        "libdps/decide/backup-file.c",
        "libdps/decide/undo.c",
        "libdps/decide/backup.c",
        "libdps/decide/change.c",
    ],
    "writers": [
        "libdps/ground/edit.c",
        *(f"libdps/target/{name}.c" for name in (
            "medium", "medium-edits", "save", "save-dir", "fd", "journal", "blockdev", "beneath", "subvolume", "holders", "raw-image", "udev")),
        *(f"libdps/format/{name}.c" for name in ("gpt-edit", "gpt-cutoff", "btrfs-edit", "gpt", "gpt-place")),
        *(f"libdps/decide/{name}.c" for name in ("apply", "undo", "backup", "backup-file", "prepare", "change", "plan", "default-subvolume")),
        "cli/apply.c",
        "cli/sandbox.c",
    ],
    "readers": [
        "libdps/ground/region.c",
        *(f"libdps/format/{name}.c" for name in ("fat", "fat-check", "fat-directory", "fat-file", "fat-lookup")),
        *(f"libdps/format/{name}.c" for name in ("btrfs", "btrfs-file", "btrfs-subvolumes", "btrfs-tree", "pe")),
    ],
}
STEPS = "check,ignored,call,success,order,flag"
SUITES = ("unit", "fuzz", "cli", "crash", "against")


class Trouble(Exception):
    pass


# --- The copy with all mutants in it -----------------------------------------------------------


def write_if_new(path, data):
    if not path.exists() or path.read_bytes() != data:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def copy_tree(root, tree, sources):
    """Returns: the mutants of @sources, which are compiled into the copy."""
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=root, capture_output=True, text=True, check=True)
    mutants = []
    for name in names.stdout.splitlines():
        data = (root / name).read_bytes() if (root / name).is_file() else None
        if data is None:
            continue
        if name in sources:
            first = 1 + NUMBERS_OF_A_FILE * sources.index(name)
            text, found = operators.mutate(name, data.decode(), first)
            assert len(found) <= NUMBERS_OF_A_FILE, name
            mutants += found
            data = f'#include "{HERE}/mutant.h"\n#line 1\n{text}'.encode()
        write_if_new(tree / name, data)
        shutil.copymode(root / name, tree / name)
    return mutants


def build(tree, out):
    log = out.parent / "build.log"
    with log.open("w") as file:
        if not (out / "build.ninja").exists():
            command = ["meson", "setup", out, tree, "-Dpython=disabled", "-Dwarning_level=0", "-Dc_args=-w"]
            if subprocess.run(command, stdout=file, stderr=file, check=False).returncode:
                raise Trouble(f"meson: see {log}")
        # Tables that the build makes are made by programs of its own, with no mutant in them.
        if subprocess.run(["ninja", "-C", out], stdout=file, stderr=file, env=environment(0), check=False).returncode:
            raise Trouble(f"ninja: see {log}")


# --- Tests ----------------------------------------------------------------------------------------


@dataclasses.dataclass
class Test:
    """A program, or one test of a file for pytest."""

    name: str
    command: list
    env: dict
    suite: str  # two suites may have a test of the same name
    node: str = None
    seconds: float = 0
    reached: frozenset = frozenset()


def environment(number, more=()):
    return {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **dict(more), "DPS_MUTANT": str(number)}


def run_program(command, env, timeout, scratch, cwd=None, cpu=None):
    """Returns: its exit status, None when it took too long, and what it printed."""
    env = {**env, "TMPDIR": str(scratch)}

    def set_limits():
        """A mutant may ask for all the memory there is, or run for ever."""
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
        if cpu:
            resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))

    with subprocess.Popen(
        command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        preexec_fn=set_limits, text=True, errors="replace", cwd=cwd or scratch,
    ) as process:
        try:
            text = process.communicate(timeout=timeout)[0]
            return process.returncode, text
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return None, ""


def list_tests(out, suites, names):
    """The tests of the build, or those of @names: programs, and files for pytest."""
    found = subprocess.run(["meson", "introspect", "--tests", out], capture_output=True, text=True, check=True)
    programs, files = [], []
    for test in json.loads(found.stdout):
        suite = test["suite"][0].split(":")[-1]
        if suite not in suites or names and test["name"] not in names:
            continue
        if test["cmd"][-1].endswith(".py"):
            files.append(Test(test["name"], ["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", test["cmd"][-1]], test["env"], suite))
        else:
            programs.append(Test(test["name"], test["cmd"], test["env"], suite))
    return programs, files


class Bench:
    """Where mutants meet tests."""

    def __init__(self, place, mutants, budget, stale):
        self.place = place
        self.budget = budget
        self.stale = stale
        self.numbers = {mutant.name: mutant.number for mutant in mutants}
        self.names = {mutant.number: mutant.name for mutant in mutants}
        self.tests = []

    def scratch(self):
        return tempfile.TemporaryDirectory(prefix="dps-mutants-", ignore_cleanup_errors=True)

    def measure(self, programs, files):
        """Runs each test once with no mutant awake, and keeps those that pass."""
        cache = self.place / "reach"
        cache.mkdir(exist_ok=True)
        for test in programs:
            self.tests += self.measured(test, cache, self.measure_program)
        for test in files:
            self.tests += self.measured(test, cache, self.measure_file)
        self.tests.sort(key=lambda test: test.seconds)

    def measured(self, test, cache, measure):
        """What a run found is good until the programs or the test's own file change."""
        kept = cache / f"{test.suite}-{test.name}.json"
        stamp = self.stamp_of(test)
        if kept.exists():
            data = json.loads(kept.read_text())
            if data["stamp"] == stamp or (self.stale and measure == self.measure_file):
                return [Test(**{**one, "reached": self.numbers_of(one["reached"])}) for one in data["tests"]]
        start = time.monotonic()
        tests = measure(test)
        print(f"  {test.name}: {len(tests)} tests, {time.monotonic() - start:.1f} s", flush=True)
        rows = [{**dataclasses.asdict(one), "reached": sorted(self.names[n] for n in one.reached)} for one in tests]
        kept.write_text(json.dumps({"stamp": stamp, "tests": rows}))
        return tests

    def numbers_of(self, names):
        return frozenset(self.numbers[name] for name in names if name in self.numbers)

    def stamp_of(self, test):
        paths = [word for word in [*test.command, *test.env.values()] if os.path.isfile(word)]
        return "".join(f"{path} {os.stat(path).st_mtime_ns} {os.stat(path).st_size}\n" for path in sorted(set(paths)))

    def measure_program(self, test):
        """A program of GLib's tests is measured test by test."""
        listed = subprocess.run([*test.command, "-l"], capture_output=True, text=True, check=False, env=environment(0), cwd=self.place / "out", timeout=60)
        names = [line for line in listed.stdout.splitlines() if line.startswith("/")]
        if listed.returncode != 0 or not names:
            return self.measure_one(test)
        return [
            one for name in names
            for one in self.measure_one(dataclasses.replace(test, name=f"{test.name}: {name}", command=[*test.command, "-p", name]))
        ]

    def measure_one(self, test):
        with self.scratch() as scratch:
            reached = Path(scratch) / "reached"
            reached.write_bytes(bytes(MAP_SIZE))
            start = time.monotonic()
            status, text = run_program(test.command, environment(0, {**test.env, "DPS_MUTANTS_REACHED": str(reached)}), 600, scratch, self.place / "out")
            if status != 0:
                print(f"  {test.name}: not used: {'too slow' if status is None else f'exit status {status}'}")
                return []
            numbers = frozenset(number for number, byte in enumerate(reached.read_bytes()) if byte)
        return [dataclasses.replace(test, seconds=time.monotonic() - start, reached=numbers)]

    def measure_file(self, test):
        with self.scratch() as scratch:
            reached, report = Path(scratch) / "reached", Path(scratch) / "report"
            reached.write_bytes(bytes(MAP_SIZE))
            env = environment(0, {**test.env, "DPS_MUTANTS_REACHED": str(reached), "DPS_REACH": str(report), "PYTHONPATH": str(HERE)})
            command = [*test.command, "-p", "pytest_reach", "--rootdir", str(Path(test.command[-1]).parent)]
            _status, text = run_program(command, env, 3600, scratch)
            if not report.exists():
                raise Trouble(f"{test.name}: {text[-2000:]}")
            found = json.loads(report.read_text())
        tests = []
        for node, one in found.items():
            if one["passed"]:
                part = node.split("::", 1)[1]
                tests.append(dataclasses.replace(test, node=part, seconds=one["seconds"], reached=frozenset(one["reached"])))
            else:
                print(f"  {test.name}: {node}: not used: skipped or failed")
        return tests

    def kill(self, mutant):
        """Returns: the name of the test that fails for it, None when none does, and how many met it."""
        met = [test for test in self.tests if mutant.number in test.reached]
        for test in met:
            if test.node is None and self.fails(test.command, test, mutant, test.seconds):
                return test.name, len(met)
        rest = self.budget
        groups = {}
        for test in met:  # the quickest first, as many as the time for one mutant allows
            if test.node is not None and (rest > 0):
                groups.setdefault(test.name, []).append(test)
                rest -= test.seconds
        for tests in sorted(groups.values(), key=lambda tests: sum(test.seconds for test in tests)):
            file = tests[0].command[-1]
            command = [*tests[0].command[:-1], "-x", "--rootdir", str(Path(file).parent), *(f"{file}::{test.node}" for test in tests)]
            text = self.fails(command, tests[0], mutant, sum(test.seconds for test in tests))
            if text:
                failed = re.search(r"^(?:FAILED|ERROR) \S*?::(\S+)", text, re.MULTILINE)
                return f"{tests[0].name}: {failed[1] if failed else 'stopped'}", len(met)
        return None, len(met)

    def fails(self, command, test, mutant, seconds):
        with self.scratch() as scratch:
            status, text = run_program(command, environment(mutant.number, test.env), 60 + 20 * seconds, scratch, self.place / "out", 3 + int(20 * seconds))
        # pytest's exit codes: 4 is a test that it does not find, 5 that there was none to run.
        if test.node is not None and status in (4, 5):
            raise Trouble(f"{test.name}: pytest did not run what it was asked for: {text[-500:]}")
        return None if status == 0 else text or "no answer"


# --- Equivalent mutants ----------------------------------------------------------------------------


def read_equivalent(path):
    """Names of mutants on lines, and behind them, on lines that begin with a tab, why."""
    reasons, names, last_was_reason = {}, [], False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        if line.startswith("\t"):
            if not names:
                raise Trouble(f"{path}:{number}: a reason without a mutant")
            for name in names:
                reasons[name] = (reasons[name] + " " + line.strip()).strip()
            last_was_reason = True
        else:
            if names and last_was_reason:
                names = []
            if line in reasons:
                raise Trouble(f"{path}:{number}: twice: {line}")
            names.append(line)
            reasons[line] = ""
            last_was_reason = False
    for name, reason in reasons.items():
        if not reason:
            raise Trouble(f"{path}: no reason: {name}")
    return reasons


def is_wanted(mutant, words, kinds):
    if kinds and mutant.operator not in kinds:
        return False
    for word in words:
        if word.isdigit():
            if mutant.number == int(word):
                return True
            continue
        file, _, function = word.partition(":")
        if (mutant.path == file or Path(mutant.path).name in (file, f"{file}.c")) and function in ("", mutant.function):
            return True
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="FILE, FILE:FUNCTION, or a mutant's number")
    parser.add_argument("--class", dest="classes", action="append", choices=list(CLASSES), help="default: core")
    parser.add_argument("--operator", default=STEPS, help="all, or with commas: " + ", ".join(operators.OPERATORS) + "; default: %(default)s")
    parser.add_argument("--suite", default=",".join(SUITES), help="default: %(default)s")
    parser.add_argument("--tests", help="with commas: these tests of the suites alone, by their names in meson")
    parser.add_argument("--budget", type=float, default=120, help="seconds of pytest for one mutant; default: %(default)s")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    parser.add_argument("--sources", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--equivalent", type=Path, default=EQUIVALENT, help=argparse.SUPPRESS)
    parser.add_argument("--place", type=Path, default=ROOT / "build-mutants", help="default: %(default)s")
    parser.add_argument("--list", action="store_true", help="the mutants, and run nothing")
    parser.add_argument("--report", type=Path, help="a file for the result of each, as JSON lines")
    parser.add_argument("--stale", action="store_true", help="what the tests of pytest reach was measured: do not measure it again")
    parser.add_argument("--measure", action="store_true", help="measure what the tests reach, and end")
    parser.add_argument("--verbose", action="store_true", help="also those that are killed")
    options = parser.parse_args()
    try:
        return run(options)
    except Trouble as trouble:
        print(f"mutants: {trouble}", file=sys.stderr)
        return 2


def run(options):
    sources = options.sources or CLASSES["writers"] + CLASSES["readers"]
    place = options.place
    place.mkdir(parents=True, exist_ok=True)
    mutants = copy_tree(options.root, place / "tree", sources)
    kinds = [] if options.operator == "all" else options.operator.split(",")
    if not set(kinds) <= set(operators.OPERATORS):
        raise Trouble(f"no such operator: {options.operator}")
    words = options.names or options.sources or [word for one in options.classes or ["core"] for word in CLASSES[one]]
    wanted = [m for m in mutants if is_wanted(m, words, kinds)]
    equivalent = read_equivalent(options.equivalent)
    unknown = set(equivalent) - {m.name for m in mutants}
    if unknown:
        raise Trouble("in equivalent.txt and not in the sources: " + "; ".join(sorted(unknown)))
    if options.list:
        for m in wanted:
            print(f"{m.number:5} {m.path}:{m.line}: {m.function}: {m.operator}: {m.text}")
        print(f"{len(wanted)} mutants")
        return 0
    if not wanted:
        raise Trouble("no such mutants")

    build(place / "tree", place / "out")
    bench = Bench(place, mutants, options.budget, options.stale)
    bench.measure(*list_tests(place / "out", options.suite.split(","), options.tests and options.tests.split(",")))

    if options.measure:
        return 0

    alive, killed, spared = [], 0, 0
    report = options.report.open("w") if options.report else None
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        todo = [m for m in wanted if m.name not in equivalent]
        spared = len(wanted) - len(todo)
        for mutant, (killer, met) in zip(todo, pool.map(bench.kill, todo)):
            where = f"{mutant.path}:{mutant.line}: {mutant.function}: {mutant.operator}: {mutant.text}"
            if killer:
                killed += 1
            else:
                alive.append(mutant)
                print(f"survived [{mutant.number}, {met} tests met it] {where}", flush=True)
            if killer and options.verbose:
                print(f"killed [{mutant.number}] {where}\n\tby {killer}", flush=True)
            if report:
                report.write(json.dumps({**dataclasses.asdict(mutant), "killer": killer, "met": met}) + "\n")
                report.flush()
    print(f"{len(wanted)} mutants, {killed} killed, {spared} equivalent, {len(alive)} survived")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
