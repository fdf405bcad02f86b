# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every case of the matrix: what the machine did is what was written down for it."""

import pytest

import bench
import matrix


def parameters():
    for case in matrix.CASES:
        marks = [
            pytest.mark.vm_suite(case.suite),
            pytest.mark.vm_job(case.name, bench.Bench.run_case, case),
        ]
        yield pytest.param(case, id=case.name, marks=marks)


@pytest.mark.parametrize("case", list(parameters()))
def test_boot(case, seen, logs):
    wrong = bench.differences(seen, case.expect)
    if wrong:
        pytest.fail("\n".join([f"{logs / seen['log']}:", *wrong]), pytrace=False)


@pytest.mark.parametrize("case", list(parameters()))
def test_prediction(case, seen, logs):
    """dps-tag explain had said of the disk what the machine then did."""
    if seen["predicted"] is None:
        pytest.skip("this dps-tag explains nothing")
    if not case.predictable:
        pytest.skip("what decides here is not on the disk where explain looks: grub.cfg")
    wrong = bench.mispredictions(seen)
    if wrong:
        pytest.fail("\n".join([f"{logs / seen['log']}:", *wrong]), pytrace=False)
