# SPDX-License-Identifier: LGPL-2.1-or-later
"""dps-tag in an installer: the types are there for udev at once, and the machine boots."""

import pytest

import bench
import matrix


def parameters():
    for case in matrix.INSTALLATIONS:
        marks = [
            pytest.mark.vm_suite(case.suite),
            pytest.mark.vm_job(case.name, bench.Bench.run_installation, case),
        ]
        yield pytest.param(case, id=case.name, marks=marks)


def judge(record: dict, expect: dict, logs) -> None:
    wrong = bench.differences(record, expect)
    if wrong:
        said = [f"%post said: {line}" for line in record["facts"].get("post", [])]
        pytest.fail("\n".join([f"{logs / record['log']}:", *wrong, *said]), pytrace=False)


@pytest.mark.parametrize("case", list(parameters()))
class TestKickstart:
    def test_post(self, case, seen, logs):
        judge(seen["post"], case.post, logs)

    def test_backup_is_in_the_target(self, case, seen):
        assert len(seen["post"]["facts"].get("backup", [])) == 1

    def test_reboot(self, case, seen, logs):
        judge(seen["reboot"], case.reboot, logs)
