# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is made of a console: only a guest that came to its end says anything about the disk."""

import pytest

import bench
from machine import record
from machine.console import Line, Session

ROOT = [
    "libdps-vm: root-device /dev/nvme0n1p2",
    "[  OK  ] Reached target initrd-switch-root.target - Switch Root.",
    "libdps-vm: reached root",
    "libdps-vm: efivar LoaderDevicePartUUID AAAAAAAA-0000-4000-8000-000000000001",
    "libdps-vm: mountinfo 64 1 0:30 /root / rw shared:1 - btrfs /dev/nvme0n1p2 rw,subvolid=256",
    "libdps-vm: mountinfo 39 64 0:34 / /efi rw shared:21 - autofs systemd-1 rw,fd=46",
    "libdps-vm: mountinfo 91 39 259:1 / /efi rw,nosuid - vfat /dev/nvme0n1p1 rw,fmask=0077",
    "libdps-vm: mountinfo 40 64 0:35 / /boot rw shared:22 - autofs systemd-1 rw,fd=47",
]
END = ["libdps-vm: end"]
EMERGENCY = ["libdps-vm: reached emergency"]
NO_SWITCH = ["libdps-vm: failed initrd-switch-root.service"]
TOP_LEVEL = ["libdps-vm: mountinfo 65 1 0:30 / /sysroot rw - btrfs /dev/nvme0n1p2 rw,subvolid=5"]
PANIC = ["[    3.1] Kernel panic - not syncing: Attempted to kill init!"]

RESULTS = [
    ("root", ROOT + END, "root"),
    ("nothing-said", [], "broken-bench"),
    ("no-end", ROOT, "broken-bench"),
    ("panic", PANIC, "broken-bench"),
    ("panic-after-report", ROOT + END + PANIC, "broken-bench"),
    ("end-only", END, "broken-bench"),
    ("not-ours", ["xlibdps-vm:reached root", *END], "broken-bench"),
    ("behind-a-status-line", ["[  OK  ] x libdps-vm: reached root", *END], "root"),
    ("emergency", EMERGENCY + END, "emergency"),
    ("switch-root", EMERGENCY + NO_SWITCH + TOP_LEVEL + END, "switch-root"),
]


def seen(texts, timed_out=False):
    lines = [Line(float(number), text) for number, text in enumerate(texts)]
    return record.of_session(Session(lines, 9.0, timed_out, 0))


@pytest.mark.parametrize("name, lines, result", RESULTS, ids=[row[0] for row in RESULTS])
def test_result(name, lines, result):
    assert seen(lines)["result"] == result


def test_killed_machine_says_nothing():
    assert seen(ROOT + END, timed_out=True)["result"] == "broken-bench"


def test_root_is_where_the_boot_got_to():
    assert seen(ROOT + END)["root"]["fs_root"] == "/root"
    stuck = seen(EMERGENCY + NO_SWITCH + TOP_LEVEL + END)
    assert (stuck["root"]["mount_point"], stuck["root"]["fs_root"]) == ("/sysroot", "/")


AGREEING = {
    "result": "root",
    "loader.LoaderDevicePartUUID": "aaaaaaaa-0000-4000-8000-000000000001",
    "mounts./efi.source": "/dev/nvme0n1p1",
    "mounts./boot": None,
    "mounts./srv": None,
}


def test_agreement_has_no_differences():
    assert bench.differences(seen(ROOT + END), AGREEING) == []


@pytest.mark.parametrize(
    "name, value",
    [
        ("result", "no-root-device"),
        ("root.fs_root", "/"),
        ("root.no_such_key", "x"),
        ("mounts./efi.source", "/dev/nvme0n1p2"),
        ("mounts./srv.source", "/dev/nvme0n1p3"),
        ("facts.swap", ["/dev/nvme0n1p4"]),
        ("loader", {}),
    ],
)
def test_each_difference_is_told(name, value):
    lines = bench.differences(seen(ROOT + END), {**AGREEING, name: value})
    assert len(lines) == 1 and lines[0].startswith(f"{name}: wanted ")


SAID = {
    "boots_without_root": True,
    "mounts": [
        {"mount_point": "/efi", "role": "esp", "state": "mounted"},
        {"mount_point": "/srv", "role": "srv", "state": "absent"},
        {"mount_point": None, "role": "swap", "state": "skipped"},
    ],
}
SYSTEM = [*ROOT, "libdps-vm: generated /run/systemd/generator.late/efi.mount", *END]


def predicted(lines, **changes):
    return seen(lines) | {"predicted": SAID | changes}


def test_prediction_that_holds():
    assert bench.mispredictions(predicted(SYSTEM)) == []


@pytest.mark.parametrize(
    "lines, changes, told",
    [
        (SYSTEM, {"boots_without_root": False}, "boots_without_root: said False, seen root"),
        (
            EMERGENCY + NO_SWITCH + TOP_LEVEL + END,
            {},
            "boots_without_root: said True, seen switch-root",
        ),
        (
            SYSTEM,
            {"mounts": [{"mount_point": "/srv", "role": "srv", "state": "mounted"}]},
            "/srv: said mounted, not seen",
        ),
        (
            SYSTEM,
            {"mounts": [{"mount_point": "/efi", "role": "esp", "state": "absent"}]},
            "/efi: said absent, seen",
        ),
        (
            SYSTEM,
            {"mounts": [{"mount_point": None, "role": "swap", "state": "mounted"}]},
            "swap: said mounted, not seen",
        ),
    ],
)
def test_each_misprediction_is_told(lines, changes, told):
    assert bench.mispredictions(predicted(lines, **changes)) == [told]
