# SPDX-License-Identifier: LGPL-2.1-or-later
"""Options of the boot tests, and the queue that boots while the tests wait."""

import pathlib
import shutil

import pytest

import bench
import matrix
from image import cache

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent


def pytest_addoption(parser):
    group = parser.getgroup("vm")
    group.addoption("--vm-suite", default=matrix.SHORT, choices=["short", "all", "arm64"])
    group.addoption("--vm-jobs", type=int, default=2, help="machines at a time")
    group.addoption("--vm-logs", type=pathlib.Path, default=TOP / "build/vm-logs")
    group.addoption("--dps-tag", type=pathlib.Path, default=TOP / "build/cli/dps-tag")


def selected(suite: str, wanted: str) -> bool:
    """The whole matrix has the short one in it; another architecture is a run of its own."""
    return suite == wanted or (wanted == matrix.ALL and suite == matrix.SHORT)


def pytest_collection_modifyitems(config, items):
    wanted = config.getoption("--vm-suite")
    keep, drop = [], []
    for item in items:
        mark = item.get_closest_marker("vm_suite")
        (keep if mark is None or selected(mark.args[0], wanted) else drop).append(item)
    items[:] = keep
    config.hook.pytest_deselected(items=drop)


def pytest_configure(config):
    config.addinivalue_line("markers", "vm_suite(name): the run that this test belongs to")
    config.addinivalue_line("markers", "vm_job(name, function): what to start before the test")


def pytest_collection_finish(session):
    """All machines are queued at once, so that one boots while another test is judged."""
    config = session.config
    if config.option.collectonly:
        return
    jobs = [mark.args for item in session.items for mark in item.iter_markers("vm_job")]
    if not jobs:
        return
    arch = "aarch64" if config.getoption("--vm-suite") == matrix.ARM64 else "x86_64"
    program = shutil.which(config.getoption("--dps-tag"))
    reason = bench.why_not(arch)
    if reason is None and program is None:
        raise pytest.UsageError(f"--dps-tag {config.getoption('--dps-tag')}: no such program")
    config.vm_reason = reason
    config.vm_queue = bench.Queue(config.getoption("--vm-jobs"))
    if reason is not None:
        return
    shared = bench.Bench(pathlib.Path(program).resolve(), config.getoption("--vm-logs"))
    for name, function, *arguments in jobs:
        if name not in config.vm_queue.futures:
            config.vm_queue.add(name, function, shared, *arguments)


def pytest_unconfigure(config):
    if hasattr(config, "vm_queue"):
        config.vm_queue.stop()


@pytest.fixture
def seen(request):
    """The record of the boot that this test is about."""
    if request.config.vm_reason:
        pytest.skip(request.config.vm_reason)
    name = request.node.get_closest_marker("vm_job").args[0]
    failure = None
    try:
        return request.config.vm_queue.result(name)
    except bench.UNAVAILABLE as error:
        reason = str(error)
    except cache.CommandFailed as error:
        failure = str(error)
    if failure:
        pytest.fail(failure, pytrace=False)
    pytest.skip(reason)


@pytest.fixture
def logs(request):
    return request.config.getoption("--vm-logs")
