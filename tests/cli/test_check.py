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
    assert "error" not in out
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
    assert hint == f"tag it: `dps-tag apply {path} root:x86_64=3`"


def test_bad(bad):
    result = call("check", "--arch=x86_64", bad, status=1)
    assert "The disk\n  error esp-missing\n    " in result.out
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
        Partition(size=64, content="vfat", type=makedisk.ESP, files=makedisk.LOADER),
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
    assert result.out.index("nowhere.raw: could not be checked\n  open: No such file") < result.out.index("bad.raw")
    assert result.out.splitlines()[-1] == "2 disks: 1 with errors, 1 that could not be checked"
    document = validate(call("check", "--json", "--arch=x86_64", good, nowhere, bad, status=3).json, "failure")
    assert document["error"]["code"] == "not-found"
    assert [d["path"] for d in document["disks"]] == [str(good), str(nowhere), str(bad)]
    assert [d["error"] and d["error"]["code"] for d in document["disks"]] == [None, "not-found", None]
    assert document["disks"][1]["disk"] is None and document["disks"][1]["findings"] == []


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


def test_last_line(good, bad):
    assert call("check", "--arch=x86_64", good, status=0).out.splitlines()[-1] == "root is discoverable on x86-64: yes"
    last = call("check", "--arch=aarch64", good, status=1).out.splitlines()[-1]
    assert last.startswith("root is discoverable on arm64: no: ")


def codes(result):
    return {finding["code"] for finding in result.json["disks"][0]["findings"]}


def test_only_and_ignore(bad):
    assert codes(call("check", "--json", "--only=esp-missing", bad, status=1)) == {"esp-missing"}
    assert codes(call("check", "--json", "--only", "root-multiple, dps-summary", bad, status=0)) == {
        "root-multiple", "dps-summary"}
    assert "esp-missing" not in codes(call("check", "--json", "--ignore=esp-missing", bad, status=0))


def test_policy(bad, failure, tmp_path):
    policy = tmp_path / "policy"
    policy.write_text("# ours\n\nesp-missing = info\nroot-multiple=error\nesp-too-small=ignore\n")
    document = call("check", "--json", "--policy", policy, bad, status=1).json
    severity = {f["code"]: f["severity"] for f in document["disks"][0]["findings"]}
    assert severity["esp-missing"] == "info" and severity["root-multiple"] == "error"
    for text, says in [("esp-missing\n", "line 1"), ("\nno-such=error\n", "no-such"), ("esp-missing=bad\n", "bad")]:
        policy.write_text(text)
        failure("check", "--policy", policy, bad, status=2, code="invalid", says=says)


def test_wrong_options(bad, failure):
    failure("check", "--only=no-such-code", bad, status=2, code="invalid", says="no-such-code")
    failure("check", "--only=,", bad, status=2, code="invalid", says="empty")
    failure("check", "--keep-kernels=0", bad, status=2, code="invalid", says="keep-kernels")
    failure("check", "--jobs=x", bad, status=2, code="invalid", says="jobs")
    failure("check", "--policy=/nowhere/at/all", bad, status=2, code="invalid", says="/nowhere")


def test_jobs_change_nothing(good, bad):
    disks = [good, bad] * 6
    one = call("check", "--json", "--arch=x86_64", *disks, status=1).out
    assert call("check", "--json", "--arch=x86_64", "--jobs=4", *disks, status=1).out == one
