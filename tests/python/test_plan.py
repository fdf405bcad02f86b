# SPDX-License-Identifier: LGPL-2.1-or-later
"""Plans: assignments in every form, what gets written, what is refused, and the way back."""

from __future__ import annotations

import contextlib
import datetime
import io
import json
import pickle
import re
import subprocess
import typing
import uuid
from pathlib import Path

import dps
import makedisk
import pytest
from conftest import copy, digest, sfdisk, types

SCHEMAS = Path(__file__).parents[2] / "docs/schema"

GENERIC = "0fc63daf-8483-4772-8e79-3d69d8477de4"
ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
HOME = "933ac7e1-2eb4-4f13-b844-0e14e2aef915"
SWAP = "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"
ROOT_X86_64 = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"
ROOT_ARM64 = "b921b045-1df0-41c3-af44-4c6f280d3fae"


def validate(document: object, name: str) -> None:
    """Against the schema of what dps-tag prints."""
    jsonschema = pytest.importorskip("jsonschema")
    path = SCHEMAS / f"{name}.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    resolver = jsonschema.RefResolver(path.as_uri(), schema)
    jsonschema.Draft202012Validator(schema, resolver=resolver).validate(document)


def readme_blocks() -> list[str]:
    readme = Path(__file__).parents[2] / "bindings/python/README.md"
    return re.findall(r"^```python\n(.*?)^```$", readme.read_text("utf-8"), re.M | re.S)


def test_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first thing that people copy, as the package's README has it."""
    parts = makedisk.simple_partitions()
    order = [parts[0], makedisk.Partition(size=2), parts[1], parts[2]]
    makedisk.make(tmp_path / "disk.raw", order)
    monkeypatch.chdir(tmp_path)
    (code,) = (block for block in readme_blocks() if 'Disk("disk.raw"' in block)
    out = io.StringIO()
    names: dict[str, typing.Any] = {"dps": dps}
    with contextlib.redirect_stdout(out):
        exec(code, names)
    assert types(tmp_path / "disk.raw") == [ESP, GENERIC, ROOT_X86_64, HOME]
    assert names["errors"] == []
    first, second = out.getvalue().splitlines()
    assert first.startswith("partition 3: type: linux-generic -> root-x86-64")
    assert second.startswith("partition 4: type: linux-generic -> home")


def test_examples_are_python() -> None:
    blocks = readme_blocks()
    assert len(blocks) >= 5
    for block in blocks:
        compile(block, "README.md", "exec")


def test_only_what_was_planned(disk_raw: Path) -> None:
    before = sfdisk(disk_raw)
    with dps.Disk(disk_raw, writable=True) as disk:
        plan = disk.plan(root=2, home=3, swap=4, arch="arm64")
        assert not plan.empty and len(plan) == 3 and bool(plan)
        assert not plan.applied
        assert plan.arch is dps.Arch.AARCH64
        assert {(c.kind, c.partition, c.old, c.new) for c in plan} == {
            (dps.ChangeKind.TYPE, 2, GENERIC, ROOT_ARM64),
            (dps.ChangeKind.TYPE, 3, GENERIC, HOME),
            (dps.ChangeKind.TYPE, 4, GENERIC, SWAP),
        }
        assert plan.apply() is True
        assert plan.applied and plan.backup is None
        # The disk was read again.
        assert disk.partition(2).role is dps.Role.ROOT
        with pytest.raises(ValueError, match="once"):
            plan.apply()
    after = sfdisk(disk_raw)
    for entry, expected in zip(before["partitions"][1:], (ROOT_ARM64, HOME, SWAP)):
        entry["type"] = expected
    assert after == before
    written = digest(disk_raw)
    with dps.Disk(disk_raw, writable=True) as disk:
        again = disk.plan(root=2, home=3, swap=4, arch="arm64")
        assert again.empty and again
        assert again.apply() is False
    assert digest(disk_raw) == written


Make = typing.Callable[[dps.Disk], dps.Plan]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda d: d.plan(root=2, arch="x86_64"), [ESP, ROOT_X86_64, GENERIC, GENERIC]),
        (lambda d: d.plan(root="2", arch=dps.Arch.X86_64), [ESP, ROOT_X86_64, GENERIC, GENERIC]),
        (lambda d: d.plan(home="LABEL=home"), [ESP, GENERIC, HOME, GENERIC]),
        (lambda d: d.plan(home=d.partition(3)), [ESP, GENERIC, HOME, GENERIC]),
        (lambda d: d.plan(home=b"3"), [ESP, GENERIC, HOME, GENERIC]),
        (lambda d: d.plan(linux_generic=[2, 3]), [ESP, GENERIC, GENERIC, GENERIC]),
        (lambda d: d.plan(swap=[4]), [ESP, GENERIC, GENERIC, SWAP]),
        (lambda d: d.plan(swap=(4,)), [ESP, GENERIC, GENERIC, SWAP]),
        (
            lambda d: d.plan(root={"partition": 2, "arch": "aarch64"}, arch="x86_64"),
            [ESP, ROOT_ARM64, GENERIC, GENERIC],
        ),
        (
            lambda d: d.plan(dps.Assign("root", 2, arch="aarch64"), home=3),
            [ESP, ROOT_ARM64, HOME, GENERIC],
        ),
        (
            lambda d: d.plan(dps.Assign(dps.Role.ROOT, "LABEL=system"), arch="amd64"),
            [ESP, ROOT_X86_64, GENERIC, GENERIC],
        ),
    ],
)
def test_forms_of_assignments(disk_raw: Path, make: Make, expected: list[str]) -> None:
    with dps.Disk(disk_raw, writable=True) as disk:
        make(disk).apply()
    assert types(disk_raw) == expected


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["growfs"], "GUID:59"),
        (["growfs", "read-only"], "GUID:59,60"),
        (dps.Flags.NO_AUTO, "GUID:63"),
        ((), None),
    ],
)
def test_flags(
    disk_raw: Path, flags: typing.Union[dps.Flags, list[str]], expected: typing.Optional[str]
) -> None:
    with dps.Disk(disk_raw, writable=True) as disk:
        plan = disk.plan(dps.Assign("root", 2, arch="x86_64", flags=flags))
        plan.apply()
        validate(plan.to_dict(), "apply")
        assert sfdisk(disk_raw)["partitions"][1].get("attrs") == expected
        for name in disk.partition(2).flags.names:
            cleared = "auto" if name == "no-auto" else f"no-{name}"
            back = disk.plan(same={"partition": 2, "flags": [cleared]})
            assert back.to_dict()["assignments"][0]["flags"] == [cleared]
            # What was applied may only be read: the lock is given up for udev.
        assert types(disk_raw)[1] == ROOT_X86_64


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda d: d.plan(root=2), dps.Code.REFUSED),  # of which architecture?
        (lambda d: d.plan(root=9, arch="x86_64"), dps.Code.NOT_FOUND),
        (lambda d: d.plan(root="LABEL=none", arch="x86_64"), dps.Code.NOT_FOUND),
        (lambda d: d.plan(root=2, home=2, arch="x86_64"), dps.Code.INVALID),
        (lambda d: d.plan(home=[2, 3]), dps.Code.INVALID),
        (lambda d: d.plan(root=2, arch="z80"), dps.Code.INVALID),
        (lambda d: d.plan(hoem=2), dps.Code.INVALID),
        (lambda d: d.plan(home={"partition": 3, "arch": "x86_64"}), dps.Code.INVALID),
        (lambda d: d.plan(home={"partition": 3, "flags": ["grow"]}), dps.Code.INVALID),
        (lambda d: d.plan(home={"partition": 3, "flags": ["required"]}), dps.Code.INVALID),
        (
            lambda d: d.plan(home={"partition": 3, "flags": ["growfs", "no-growfs"]}),
            dps.Code.INVALID,
        ),
    ],
)
def test_refused(disk_raw: Path, make: Make, code: dps.Code) -> None:
    before = digest(disk_raw)
    with pytest.raises(dps.Error) as caught:
        with dps.Disk(disk_raw, writable=True) as disk:
            make(disk)
    assert caught.value.code is code
    assert str(caught.value) and "\n" not in str(caught.value)
    assert digest(disk_raw) == before
    # What failed does not hold the lock, though caught still holds its traceback.
    dps.Disk(disk_raw, writable=True, lock="nonblock").close()


def test_refused_for_what_is_there(tmp_path: Path) -> None:
    path = makedisk.make(tmp_path / "x", [makedisk.Partition(size=8, content="LVM2_member")])
    before = digest(path)
    with dps.Disk(path, writable=True) as disk, pytest.raises(dps.Error) as caught:
        disk.plan(root=1, arch="x86_64")
    assert caught.value.code is dps.Code.REFUSED
    assert caught.value.partition == 1
    assert "LVM" in str(caught.value)
    assert digest(path) == before


@pytest.mark.parametrize(
    "make",
    [
        lambda d: d.plan(root=2.0),
        lambda d: d.plan(root=True),
        lambda d: d.plan(root=None),
        lambda d: d.plan(root={"part": 2}),
        lambda d: d.plan(root={"partition": 2, "flag": []}),
        lambda d: d.plan(root={"partition": 2, "flags": "growfs"}),
    ],
)
def test_wrong_types(disk_raw: Path, make: Make) -> None:
    with dps.Disk(disk_raw) as disk, pytest.raises(TypeError):
        make(disk)


def test_read_only(disk_raw: Path) -> None:
    """A plan is looked at without a lock; it is written with one."""
    before = digest(disk_raw)
    with dps.Disk(disk_raw) as disk:
        plan = disk.plan(home=3)
        assert not plan.empty
        with pytest.raises(dps.Error):
            plan.apply()
        assert not plan.applied
    assert digest(disk_raw) == before


def test_documents(disk_raw: Path) -> None:
    with dps.Disk(disk_raw, writable=True) as disk:
        plan = disk.plan(root={"partition": 2, "flags": ["growfs", "auto"]}, home=3, arch="x86_64")
        document = json.loads(plan.to_json())
        assert document == plan.to_dict()
        validate(document, "plan")
        assert document["disk"] == disk.to_dict()
        plan.apply()
    # Of a plan that was closed with its disk, too.
    assert plan.closed and plan.changes
    document = json.loads(plan.to_json())
    validate(document, "apply")
    assert document["applied"] is True and document["backup"] is None
    assert document["assignments"][0]["flags"] == ["growfs", "auto"]


def test_same_document_as_the_command(disk_raw: Path, dps_tag: str) -> None:
    with dps.Disk(disk_raw) as disk:
        ours = disk.plan(root=2, home=3, arch="x86_64").to_dict()
    command = [dps_tag, "plan", "--json", "--arch", "x86_64", disk_raw, "root=2", "home=3"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 1, done.stderr  # changes are pending
    assert json.loads(done.stdout) == ours


def test_after_close(disk_raw: Path) -> None:
    with dps.Disk(disk_raw, writable=True) as disk:
        plan = disk.plan(home=3)
        other = disk.plan(home=2)
        other.close()
        with pytest.raises(ValueError, match="used after close"):
            other.apply()
    before = digest(disk_raw)
    assert plan.closed
    with pytest.raises(ValueError, match="used after close"):
        plan.apply()
    assert digest(disk_raw) == before
    assert [str(c.kind) for c in plan] == ["type"]
    plan.close()


def test_values_travel(disk_raw: Path) -> None:
    """Findings and changes go through a queue to another process."""
    with dps.Disk(disk_raw) as disk:
        plan = disk.plan(home=3)
        values = [*plan, *plan.assignments, *plan.findings, *disk.check(), *disk]
    assert pickle.loads(pickle.dumps(values)) == values


def test_undo(disk_raw: Path, tmp_path: Path) -> None:
    before = digest(disk_raw)
    backup = tmp_path / "backup.json"
    with dps.Disk(disk_raw, writable=True) as disk:
        uuid = disk.uuid
        plan = disk.plan(root=2, home=3, arch="x86_64")
        plan.apply(backup=backup)
        assert plan.backup == backup
    assert backup.stat().st_mode & 0o777 == 0o600
    about = dps.read_backup(backup)
    assert about.path == backup and about.disk_uuid == uuid
    assert about.disk_path == disk_raw
    assert abs(datetime.datetime.now(datetime.timezone.utc) - about.time).total_seconds() < 60
    assert types(disk_raw)[1:3] == [ROOT_X86_64, HOME]

    # Another disk is not touched, and neither is one that was changed since.
    other = makedisk.make(tmp_path / "other", [makedisk.Partition(size=2)])
    with pytest.raises(dps.Error):
        dps.undo(backup, other)
    changed = copy(disk_raw, tmp_path / "changed")
    dps.apply(disk=changed, assign=[dps.Assign("srv", 3)])
    with pytest.raises(dps.Error) as caught:
        dps.undo(backup, changed)
    assert caught.value.code is dps.Code.CHANGED

    moved = disk_raw.rename(tmp_path / "moved.raw")
    with pytest.raises(dps.Error) as caught:
        dps.undo(backup)
    assert caught.value.code is dps.Code.NOT_FOUND
    undone = dps.undo(backup, moved)
    assert undone.applied and undone.closed and len(undone) == 2
    validate(undone.to_dict(), "apply")
    assert digest(moved) == before
    with pytest.raises(dps.Error) as caught:
        dps.read_backup(moved)
    assert caught.value.code is dps.Code.CORRUPT


@pytest.mark.parametrize("backup", [False, "none"])
def test_no_backup(
    disk_raw: Path, backup: typing.Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    files = sorted(tmp_path.iterdir())
    with dps.Disk(disk_raw, writable=True) as disk:
        plan = disk.plan(home=3)
        assert plan.apply(backup=backup)
        assert plan.backup is None
    assert sorted(tmp_path.iterdir()) == files


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "sysroot"
    (root / "etc").mkdir(parents=True)
    (root / "etc/os-release").write_text("ARCHITECTURE=x86-64\n")
    return root


def test_tree_on_no_disk(tree: Path) -> None:
    """A directory install: nothing to do, a finding that says so, and no error."""
    with dps.plan(sysroot=tree) as plan:
        assert plan.empty and plan.disk is None
        assert len(plan.findings) == 1
        validate(plan.to_dict(), "plan")
        assert plan.apply() is False
    done = dps.apply(root=tree)
    assert done.empty and not done.applied and done.closed
    assert [f.code for f in done.findings] == [f.code for f in plan.findings]
    validate(json.loads(done.to_json()), "apply")


def test_tree_and_disk(disk_raw: Path, tree: Path) -> None:
    """The tree's fstab, matched with the file systems on the image."""
    with dps.Disk(disk_raw) as disk:
        root, home = disk.partition(2).content.uuid, disk.partition(3).content.uuid
    (tree / "etc/fstab").write_text(f"UUID={root} / ext4 defaults 0 1\nUUID={home} /home ext4\n")
    done = dps.apply(root=tree, disk=disk_raw, backup=False)
    assert done.applied and done.arch is dps.Arch.X86_64
    assert {(a.role, a.partition) for a in done.assignments} >= {
        (dps.Role.ROOT, 2),
        (dps.Role.HOME, 3),
    }
    assert all(a.reason for a in done.assignments)
    assert types(disk_raw)[1:3] == [ROOT_X86_64, HOME]


def test_disk_alone_reads_nothing_of_the_running_system(disk_raw: Path) -> None:
    """Its architecture is no answer for an image."""
    with pytest.raises(dps.Error) as caught:
        dps.plan(disk=disk_raw, assign=[dps.Assign("root", 2)])
    assert caught.value.code is dps.Code.REFUSED
    assert "architecture" in str(caught.value)
    dps.Disk(disk_raw, writable=True, lock="nonblock").close()


def test_shape_for_an_installer(disk_raw: Path, tree: Path) -> None:
    """As a task of an installer would have it: findings to the log, a backup of its own."""
    with dps.Disk(disk_raw) as disk:
        root = disk.partition(2).content.uuid
    (tree / "etc/fstab").write_text(f"UUID={root} / ext4 defaults 0 1\n")
    log: list[str] = []
    plan = dps.plan(sysroot=tree, disk=disk_raw)
    for finding in plan.findings:
        log.append(str(finding))
    if not plan.empty:
        plan.apply(backup=tree / "backup.json")
    log.append(plan.to_json())
    plan.close()
    assert types(disk_raw)[1] == ROOT_X86_64
    assert plan.backup == tree / "backup.json"
    assert json.loads(log[-1])["backup"] == str(tree / "backup.json")


def test_check(disk_raw: Path, tmp_path: Path) -> None:
    findings = dps.check(disk_raw, arch="x86_64")
    assert findings == sorted(findings, key=lambda f: -f.severity)
    assert "root-missing" in [f.code for f in findings]
    for finding in findings:
        document = finding.to_dict()
        validate(
            {"version": 1, "disk": None, "assignments": [], "changes": [], "findings": [document]},
            "plan",
        )
        assert str(finding).startswith(f"{finding.severity}: ")
        assert finding.code in str(finding)
    assert dps.Severity.INFO < dps.Severity.WARNING < dps.Severity.ERROR
    with pytest.raises(dps.Error) as caught:
        dps.check(tmp_path / "nothing")
    assert caught.value.code is dps.Code.NOT_FOUND
    with pytest.raises(dps.UnknownArch):
        dps.check(disk_raw, arch="z80")


def test_enums_are_the_headers() -> None:
    from dps._ffi import ffi, lib

    def names(prefix: str) -> dict[str, int]:
        return {n[len(prefix) :]: getattr(lib, n) for n in dir(lib) if n.startswith(prefix)}

    kinds = names("DPS_CHANGE_")
    assert kinds.keys() == {m.name for m in dps.ChangeKind}
    for name, number in kinds.items():
        text = ffi.string(lib.dps_change_kind_to_string(number)).decode()
        assert dps.ChangeKind[name].value == text
    assert names("DPS_SEVERITY_") == {m.name: m.value for m in dps.Severity}
    for severity in dps.Severity:
        assert ffi.string(lib.dps_severity_to_string(severity)).decode() == str(severity)
    assert names("DPS_TABLE_").keys() == {m.name for m in dps.Table}


HASH = "0123456789abcdef0123456789abcdeffedcba9876543210fedcba9876543210"
HALVES = ["01234567-89ab-cdef-0123-456789abcdef", "fedcba98-7654-3210-fedc-ba9876543210"]
MACHINE_ID = "0123456789abcdef0123456789abcdef"


def new_uuids(plan: dps.Plan) -> dict[int | None, str | None]:
    return {c.partition: c.new for c in plan.changes if c.kind is dps.ChangeKind.UUID}


@pytest.mark.parametrize("root_hash", [HASH, HASH.upper(), bytes.fromhex(HASH)])
def test_root_hash(tmp_path: Path, root_hash: str | bytes) -> None:
    path = makedisk.make(tmp_path / "d.raw", [makedisk.Partition(size=2), makedisk.Partition(size=2)])
    with dps.Disk(path) as disk:
        plan = disk.plan(root=1, root_verity=2, arch="x86_64", root_hash=root_hash)
        assert new_uuids(plan) == {1: HALVES[0], 2: HALVES[1]}
        validate(plan.to_dict(), "plan")
        plan = disk.plan(usr=1, usr_verity=2, arch="x86_64", usr_hash=root_hash)
        assert new_uuids(plan) == {1: HALVES[0], 2: HALVES[1]}
        for wrong in ("", "ab", "x" * 64, b""):
            with pytest.raises(dps.Error) as caught:
                disk.plan(root=1, root_verity=2, arch="x86_64", root_hash=wrong)
            assert caught.value.code is dps.Code.INVALID
        with pytest.raises(dps.Error) as caught:
            disk.plan(root=1, arch="x86_64", root_hash=root_hash)
        assert caught.value.code is dps.Code.REFUSED


def test_machine_id_and_names(tmp_path: Path) -> None:
    path = makedisk.make(tmp_path / "d.raw", [makedisk.Partition(size=2), makedisk.Partition(size=2, name="x")])
    with dps.Disk(path, writable=True) as disk:
        asked = disk.plan(var=1, machine_id=uuid.UUID(MACHINE_ID), names=True)
        assert new_uuids(asked) == new_uuids(disk.plan(var=1, machine_id=MACHINE_ID)) != {}
        assert [c.new for c in asked if c.kind is dps.ChangeKind.NAME] == ["var"]
        asked.apply(tmp_path / "undo.json")
    assert [part["name"] for part in sfdisk(path)["partitions"]] == ["var", "x"]
    dps.undo(tmp_path / "undo.json", path)
    assert [part.get("name") for part in sfdisk(path)["partitions"]] == [None, "x"]


def test_the_system_in_the_image(tmp_path: Path) -> None:
    """Nothing given: what is on the disk tells."""
    path = makedisk.make(tmp_path / "d.raw", [
        makedisk.Partition(size=16, content="ext4", files={
            "etc/os-release": "ID=x\nARCHITECTURE=arm64\n",
            "etc/fstab": "LABEL=home /home ext4 defaults 0 0\n"}),
        makedisk.Partition(size=16, content="ext4", label="home")])
    with dps.plan(disk=path, writable=False) as plan:
        assert [(a.partition, str(a.role)) for a in plan.assignments] == [(1, "root"), (2, "home")]
        assert plan.arch is dps.Arch.AARCH64
