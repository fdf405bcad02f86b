# SPDX-License-Identifier: LGPL-2.1-or-later
"""dps-tag check: its text, its document, its exit status; the rules have tests of their own."""

import collections
import re
import shutil

import makedisk
import makepe
import pytest
from conftest import call, call_on_terminal, validate
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
    assert call("check", "--quiet", "--arch=x86_64", good, good, good, status=0).out == ""


def test_what_cannot_be_root_is_not_offered(tmp_path):
    """A hint that is typed must not be refused."""
    path = makedisk.make(tmp_path / "disk.raw", [
        Partition(size=64, content="vfat"),
        Partition(size=8, content="LVM2_member"),
        Partition(size=20, content="crypto_LUKS"),
        Partition(size=8, content="ext4"),
    ])
    findings = call("check", "--json", "--arch=x86_64", path, status=1).json["disks"][0]["findings"]
    (hint,) = [f["hint"] for f in findings if f["code"] == "root-missing"]
    assert hint == f"tag it: `dps-tag apply {path} root:x86_64=3`"
    call("plan", "--arch=x86_64", path, "root:x86_64=3", status=1)


def test_bad(bad):
    result = call("check", "--arch=x86_64", bad, status=1)
    assert "\n\nThe disk\n  error esp-missing\n    " in result.out
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


@pytest.fixture(scope="module", name="mess")
def mess_fixture(tmp_path_factory):
    """Thirty findings and more, on an ESP and off it."""
    files = {"EFI/BOOT/BOOTX64.EFI": makepe.systemd_boot(machine=makepe.ARM64), "EFI/Linux/\u00fc.efi": b"MZ"}
    for i in range(8):
        files[f"loader/entries/e{i}.conf"] = (f"title T\nversion {i}\nlinux /gone{i}\ninitrd /an-initrd-of-a-long-name-{i}\n"
                                              "options root=LABEL=x\n")
        files[f"EFI/Linux/k{i}.efi"] = makepe.uki("root=LABEL=x")
    return makedisk.make(tmp_path_factory.mktemp("mess") / "mess.raw", [
        Partition(size=20, content="vfat", type=makedisk.ESP, files=files, mkfs=("-F16",)),
        Partition(size=8, content="ext4", type=makedisk.ROOT_X86_64),
        Partition(size=8, content="ext4", type=makedisk.ROOT_X86_64),
        Partition(size=8, content="LVM2_member", type=makedisk.ROOT_ARM64),
        Partition(size=8, content="ext4", type=makedisk.XBOOTLDR),
    ])


# A heading of a group; severity, code and how many; a message, one of several, what to do; the end.
LINES = [
    r"Partition \d+: [a-z0-9-]+|The disk", r"  (error|warning|note) [a-z0-9-]+( \(\d+\))?", r"    (- |→ )?\S.*|      \S.*",
    r"\d+ errors?(, \d+ warnings?)?(, \d+ notes?)?", r"root is discoverable on x86-64: .*", r"",
]


@pytest.mark.parametrize("columns", [None, 80, 60])
def test_a_mess_can_be_read(mess, columns):
    """By the rules that people learn in a glance, on a serial console and in a pipe."""
    findings = call("check", "--json", "--arch=x86_64", mess).json["disks"][0]["findings"]
    findings = [f for f in findings if f["code"] != "dps-summary"]
    assert len(findings) >= 30
    if columns:
        out = call_on_terminal("check", "--no-pager", "--arch=x86_64", mess, columns=columns,
                               env={"TERM": "vt220", "NO_COLOR": "1"}).out
    else:
        out = call("check", "--arch=x86_64", mess).out
    head, body = out.split("\n\n", 1)
    assert head.startswith(str(mess) + ": ")
    lines = body.splitlines()
    for line in lines:
        assert any(re.fullmatch(pattern, line) for pattern in LINES), line
        if columns and len(line) > columns:
            assert len(line.split()) <= 2 or "`" in line, line  # one word, or a command, that is longer
    # All of it, each once: what is alike is said once with its number.
    said = {}
    for line in lines:
        if match := re.fullmatch(r"  (?:error|warning|note) ([a-z0-9-]+)(?: \((\d+)\))?", line):
            said[match[1]] = said.get(match[1], 0) + int(match[2] or 1)
    assert said == collections.Counter(f["code"] for f in findings)
    assert said["bls-entry-file-missing"] == 16 and "  error bls-entry-file-missing (16)" in lines
    flat = " ".join(" ".join(lines).split())
    for finding in findings:
        assert " ".join(finding["message"].split()) in flat
        assert not finding["hint"] or " ".join(finding["hint"].split()) in flat
    # Groups with the worst first, in each the worst first.
    groups = [group.split("\n  ") for group in body.split("\n\n")[:-1]]
    ranks = [[["error", "warning", "note"].index(part.split()[0]) for part in group[1:]
              if part.split()[0] in ("error", "warning", "note") and not part.startswith(" ")] for group in groups]
    assert [rank[0] for rank in ranks] == sorted(rank[0] for rank in ranks)
    assert all(rank == sorted(rank) for rank in ranks)
    # Commands can be pasted: none is broken.
    for command in re.findall("`[^`]*`", " ".join(finding["hint"] or "" for finding in findings)):
        if not columns or len(command) <= columns - 6:
            assert any(command in line for line in lines), command
    # What is wrong with the root of another architecture is not what keeps this one from being found.
    assert lines[-1] == "root is discoverable on x86-64: yes"


def test_the_reason_names_the_partition(tmp_path):
    image = makedisk.make(tmp_path / "disk.raw", [
        Partition(size=64, content="vfat", type=makedisk.ESP, files=makedisk.LOADER),
        Partition(size=8, content="LVM2_member", type=makedisk.ROOT_X86_64),
    ])
    last = call("check", "--arch=x86_64", image, status=1).out.splitlines()[-1]
    assert last.startswith("root is discoverable on x86-64: no: partition 2: has the root type and holds LVM2_member")


def codes(result):
    return {finding["code"] for finding in result.json["disks"][0]["findings"]}


def test_only_and_ignore(bad):
    assert codes(call("check", "--json", "--only=esp-missing", bad, status=1)) == {"esp-missing"}
    assert codes(call("check", "--json", "--only", "root-multiple, dps-summary", bad, status=0)) == {
        "root-multiple", "dps-summary"}
    twice = call("check", "--json", "--only=root-multiple", "--only=esp-missing", bad, status=1)
    assert codes(twice) == {"root-multiple", "esp-missing"}
    assert not codes(call("check", "--json", "--only=root-multiple,esp-missing", "--ignore=esp-missing",
                          "--ignore=root-multiple", bad, status=0))
    assert "esp-missing" not in codes(call("check", "--json", "--ignore=esp-missing", bad, status=0))


def test_policy(bad, failure, tmp_path):
    policy = tmp_path / "policy"
    policy.write_text("# ours\n\nesp-missing = info\nroot-multiple=error\nesp-too-small=ignore\n")
    document = call("check", "--json", "--policy", policy, bad, status=1).json
    severity = {f["code"]: f["severity"] for f in document["disks"][0]["findings"]}
    assert severity["esp-missing"] == "info" and severity["root-multiple"] == "error"


@pytest.mark.parametrize("text,says", [
    (b"esp-missing\n", 'line 1: "esp-missing": not CODE=SEVERITY'),
    (b"\nno-such=error\n", "line 2: no-such: no check has this code"),
    (b"# \n# \nesp-missing=bad\n", "line 3: bad: not a severity: it is error, warning, info or ignore"),
    (b"esp-missing=error # why\n", "line 1: error # why: not a severity"),
    (b"esp-missing=\n", "line 1: : not a severity"),
    (b"=error\n", "line 1: : no check has this code"),
    (b"esp-missing=info\nroot-multiple=info\nesp-missing=error\n", "line 3: esp-missing: has a severity in a line above"),
    (b"esp-missing=info\n# \xff\n", "line 2: not UTF-8"),
    (b"esp-missing=info\n\0esp-missing=error\n", "it has a NUL in it"),
    (b"dps-summary=error\n", "line 1: dps-summary: is no fault but on every disk: it can be info or ignore"),
    (b"# \n dps-summary = warning\n", "line 2: dps-summary: is no fault"),
    (b"\xef\xbb\xbfesp-missing=info\n", "line 1: \\xef\\xbb\\xbfesp-missing: no check has this code"),
])
def test_wrong_policies(bad, failure, tmp_path, text, says):
    policy = tmp_path / "policy.conf"
    policy.write_bytes(text)
    error = failure("check", "--policy", policy, bad, status=2, code="invalid", says=says)
    assert "policy.conf: " in error["message"]


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "esp-missing=error\r\n", "  esp-missing  =  error"])
def test_policies_that_change_nothing(bad, tmp_path, text):
    policy = tmp_path / "policy"
    policy.write_text(text, newline="")
    assert call("check", "--json", "--policy", policy, bad).out == call("check", "--json", bad).out


# What is typed, what the policy says, and the status: of a disk with one error (esp-missing) and warnings
# (root-multiple among them).
@pytest.mark.parametrize("words,policy,status", [
    ([], "", 1), ([], "esp-missing=warning", 0), ([], "esp-missing=ignore", 0), ([], "esp-missing=info", 0),
    (["--strict"], "esp-missing=info", 1), ([], "esp-missing=info\nroot-multiple=error", 1),
    (["--only=root-multiple"], "", 0), (["--only=root-multiple", "--strict"], "", 1),
    (["--only=root-multiple"], "root-multiple=error", 1), (["--only=root-multiple", "--strict"], "root-multiple=info", 0),
    (["--ignore=esp-missing"], "esp-missing=error", 0), (["--only=esp-missing", "--ignore=esp-missing"], "", 0),
    (["--only=dps-summary"], "dps-summary=info", 0), (["--only=dps-summary"], "dps-summary=ignore", 0),
    (["--quiet"], "", 1), (["--quiet"], "esp-missing=info", 0), (["--json"], "", 1),
])
def test_what_fails_a_build(bad, tmp_path, words, policy, status):
    (tmp_path / "policy").write_text(policy)
    result = call("check", "--arch=x86_64", f"--policy={tmp_path}/policy", *words, bad, status=status)
    if "--quiet" in words:
        assert (result.out == "") == (status == 0)


def test_the_worst_disk_says(good, bad, tmp_path, failure):
    """3 counts more than 1, and 1 more than 0; a call that makes no sense does nothing at all."""
    fine = ["--arch=x86_64", "--ignore=root-multiple"]
    nowhere, empty = tmp_path / "nowhere.raw", tmp_path / "empty.raw"
    empty.write_bytes(b"")
    for disks, status in [([good, good], 0), ([good, bad], 1), ([bad, good], 1), ([good, empty], 1),
                          ([good, nowhere], 3), ([nowhere, bad], 3), ([bad, nowhere, good], 3),
                          ([nowhere, nowhere], 3), ([tmp_path, good], 3)]:
        for words in ([], ["--json"], ["--quiet"], ["--jobs=3"]):
            result = call("check", *fine, *words, *disks, status=status)
            assert result.err.count("\n") == sum(disk in (nowhere, tmp_path) for disk in disks)
            if words == ["--json"]:
                validate(result.json, "failure" if status == 3 else "check")
    failure("check", "--only=no-such", bad, nowhere, status=2, code="invalid", says="no-such")


def test_the_same_disk_twice(good):
    once = call("check", "--json", "--arch=x86_64", good).json["disks"]
    assert call("check", "--json", "--arch=x86_64", "--jobs=2", good, good).json["disks"] == once * 2
    assert call("check", good, good).out.splitlines()[-1] == "2 disks: 2 without errors"


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
