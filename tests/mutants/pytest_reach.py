# SPDX-License-Identifier: LGPL-2.1-or-later
"""A plugin of pytest: which mutants each test comes by, and how long it takes.

What a fixture of a whole module reaches, each test that uses it reaches.  DPS_REACH names the file to
write; DPS_MUTANTS_REACHED is the map that mutant.h fills in.
"""

import collections
import json
import os
import time
from pathlib import Path

import pytest

MAP = Path(os.environ["DPS_MUTANTS_REACHED"])


def take():
    """The mutants reached since the last call."""
    with MAP.open("r+b") as file:
        data = file.read()
        file.seek(0)
        file.write(bytes(len(data)))
    return {number for number, byte in enumerate(data) if byte}


class Reach:
    def __init__(self):
        self.of_fixture = collections.defaultdict(set)
        self.now = set()
        self.tests = {}

    @pytest.hookimpl(hookwrapper=True)
    def pytest_fixture_setup(self, fixturedef, request):
        self.now |= take()
        yield
        self.of_fixture[fixturedef.argname] |= take()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item):
        self.now = set()
        take()
        start = time.monotonic()
        yield
        reached = self.now | take()
        for name in item.fixturenames:
            reached |= self.of_fixture[name]
        self.tests.setdefault(item.nodeid, {"passed": False}).update(
            seconds=time.monotonic() - start, reached=sorted(reached)
        )

    def pytest_runtest_logreport(self, report):
        if report.when == "call":
            self.tests[report.nodeid] = {"passed": report.passed}

    def pytest_sessionfinish(self):
        Path(os.environ["DPS_REACH"]).write_text(json.dumps(self.tests))


def pytest_configure(config):
    config.pluginmanager.register(Reach())
