# SPDX-License-Identifier: LGPL-2.1-or-later
"""dps-tag check: its text, its document, its exit status; the rules have tests of their own."""

import shutil

import makedisk
import pytest
from conftest import call, validate
from makedisk import Partition


@pytest.fixture(scope="module", name="good")
def good_fixture(tmp_path_factory):
    path = makedisk.simple(tmp_path_factory.mktemp("check") / "good.raw")
    call("apply", path, "root:x86_64=2", "home=3", "swap=4", status=0)
    return path


@pytest.fixture(scope="module", name="bad")
def bad_fixture(tmp_path_factory):
    return makedisk.make(tmp_path_factory.mktemp("check") / "bad.raw", [
        Partition(size=8, content="ext4", type=makedisk.ROOT_X86_64),
        Partition(size=8, content="ext4", type=makedisk.ROOT_X86_64),
    ])


def test_good(good):
    out = call("check", "--arch=x86_64", good, status=0).out
    assert "Nothing to say against it." in out or "note" in out
    document = validate(call("check", "--arch=x86_64", "--json", good, status=0).json, "check")
    assert document["disks"][0]["disk"]["path"] == str(good)
    assert document["disks"][0]["summary"]["error"] == 0
    assert call("check", "--quiet", "--arch=x86_64", good, status=0).out == ""


def test_what_cannot_be_root_is_not_offered(tmp_path):
    """A hint that is typed must not be refused."""
    path = makedisk.make(tmp_path / "disk.raw", [
        Partition(size=64, content="vfat"),
        Partition(size=8, content="LVM2_member"),
        Partition(size=8, content="ext4"),
    ])
    findings = call("check", "--json", "--arch=x86_64", path, status=1).json["disks"][0]["findings"]
    (hint,) = [f["hint"] for f in findings if f["code"] == "root-missing"]
    assert hint == "tag it: dps-tag apply DISK root=3"


def test_bad(bad):
    result = call("check", "--arch=x86_64", bad, status=1)
    assert "1 error\n  esp-missing\n    " in result.out
    assert "\n    → " in result.out  # the hint
    document = validate(call("check", "--arch=x86_64", "--json", bad, status=1).json, "check")
    findings = document["disks"][0]["findings"]
    assert {"esp-missing", "root-multiple"} <= {f["code"] for f in findings}
    ranks = [["error", "warning", "info"].index(f["severity"]) for f in findings]
    assert ranks == sorted(ranks)
    summary = document["disks"][0]["summary"]
    assert summary == {s: sum(f["severity"] == s for f in findings) for s in summary}


def test_quiet_says_errors_alone(bad):
    out = call("check", "--arch=x86_64", "--quiet", bad, status=1).out
    assert "esp-missing" in out and "warning" not in out


def test_strict_counts_warnings(tmp_path):
    path = makedisk.make(tmp_path / "disk.raw", [
        Partition(size=64, content="vfat", type=makedisk.ESP),
        Partition(size=8, content="ext4", type=makedisk.ROOT_X86_64),
        Partition(size=8, content="ext4", type=makedisk.ROOT_X86_64),
    ])
    document = call("check", "--json", "--arch=x86_64", path, status=0).json
    assert document["disks"][0]["summary"]["warning"] >= 1
    call("check", "--strict", "--arch=x86_64", path, status=1)


def test_several_disks(good, bad):
    document = validate(call("check", "--json", "--arch=x86_64", good, bad, status=1).json, "check")
    assert [d["disk"]["path"] for d in document["disks"]] == [str(good), str(bad)]
    out = call("check", "--arch=x86_64", good, bad, status=1).out
    assert out.index("good.raw") < out.index("bad.raw")


def test_one_that_cannot_be_read_hides_none(good, bad, tmp_path):
    nowhere = tmp_path / "nowhere.raw"
    result = call("check", "--arch=x86_64", nowhere, bad, status=3)
    assert "esp-missing" in result.out and "nowhere.raw" in result.err
    document = validate(call("check", "--json", "--arch=x86_64", good, nowhere, bad, status=3).json, "failure")
    assert document["error"]["code"] == "not-found"
    assert [d["disk"]["path"] for d in document["disks"]] == [str(good), str(bad)]


def test_a_disk_that_is_not_there(failure, tmp_path):
    failure("check", tmp_path / "nowhere.raw", status=3, code="not-found", says="nowhere.raw")


def test_disks_without_a_usable_table_are_told(tmp_path, good):
    mbr = tmp_path / "mbr.raw"
    mbr.write_bytes(bytes(4 * makedisk.MIB))
    makedisk.run("sfdisk", "--quiet", mbr, input="label: dos\n2048,,83\n")
    document = validate(call("check", "--json", mbr, status=1).json, "check")
    assert document["disks"][0]["disk"]["uuid"] is None
    damaged = tmp_path / "damaged.raw"
    shutil.copy(good, damaged)
    with open(damaged, "r+b") as file:
        for at in (512 + 16, damaged.stat().st_size - 512 + 16):
            file.seek(at)
            file.write(b"\xff\xff\xff\xff")
    validate(call("check", "--json", damaged, status=1).json, "check")


def test_tree_on_no_disk():
    assert "nothing to do" in call("check", "--root=/proc", status=0).out
    document = validate(call("check", "--json", "--root=/proc", status=0).json, "check")
    assert document["disks"][0]["disk"] is None
