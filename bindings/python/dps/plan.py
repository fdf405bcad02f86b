# SPDX-License-Identifier: LGPL-2.1-or-later
"""Plans: from assignments to changes, and back."""

from __future__ import annotations

import contextlib
import datetime
import enum
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Optional, Union
from uuid import UUID

from ._ffi import (
    Closing,
    Handle,
    PathLike,
    array,
    call,
    ffi,
    json_path,
    lib,
    optional_path,
    path,
    path_to_bytes,
    text,
    to_bytes,
)
from .check import Finding, findings_from_array
from .disk import Disk, Lock, Partition, PartitionLike, find_partition
from .error import Code, Error
from .tree import Tree
from .types import (
    Arch,
    ArchLike,
    Flags,
    Role,
    RoleLike,
    arch_from_number,
    arch_number,
    role_from_number,
    role_number,
    type_lookup_uuid,
)

BackupLike = Union[PathLike, Literal[False], None]
"""The file to keep what was; None for the default; False (or "none") for none."""


@dataclass(frozen=True)
class Assign:
    """ "This partition is the root of aarch64": what a caller says.

    Flags are names, with ``no-`` in front to clear (``"growfs"``, ``"no-read-only"``; ``"auto"``
    clears no-auto), or Flags to set.
    """

    role: RoleLike
    partition: PartitionLike
    arch: Optional[ArchLike] = None
    flags: Union[Flags, Iterable[str]] = ()


_One = Union[PartitionLike, Mapping[str, Any]]
Assignable = Union[_One, Sequence[_One]]
"""A partition; ``{"partition": 3, "arch": "aarch64", "flags": ["growfs"]}``; or several."""


@dataclass(frozen=True)
class Assignment:
    """What a partition is for, said or detected, and why."""

    role: Role
    arch: Optional[Arch]
    partition: int
    set_flags: Flags
    clear_flags: Flags
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON documents have it."""
        cleared = ("auto" if n == "no-auto" else f"no-{n}" for n in self.clear_flags.names)
        return {
            "role": self.role.value,
            "arch": self.arch.value if self.arch else None,
            "partition": self.partition,
            "flags": [*self.set_flags.names, *cleared],
            "reason": self.reason,
        }


class ChangeKind(enum.Enum):
    """What of a partition, or of the table, changes."""

    TYPE = "type"
    FLAGS = "flags"
    UUID = "uuid"
    NAME = "name"
    BTRFS_DEFAULT = "btrfs-default"
    TABLE = "table"
    """The table's copies: the end of a write that was cut off, or a bad copy made good."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Change:
    """One difference between what is and what should be."""

    kind: ChangeKind
    partition: Optional[int]
    """None: the table."""
    old: Optional[str]
    """A GUID, the attribute bits, a name, a subvolume, as JSON has it; None, as new, for the
    table."""
    new: Optional[str]
    reason: Optional[str]

    def __str__(self) -> str:
        where = f"partition {self.partition}" if self.partition else "table"
        old, new = (self._name(value) for value in (self.old, self.new))
        reason = f" ({self.reason})" if self.reason else ""
        return f"{where}: {self.kind}: {old} -> {new}{reason}"

    def _name(self, value: Optional[str]) -> str:
        """A type by its name, which people know."""
        if value and self.kind is ChangeKind.TYPE:
            known = type_lookup_uuid(value)
            return known.name if known else value
        return value or "none"

    def to_dict(self) -> dict[str, Any]:
        """As JSON documents have it."""
        return {
            "kind": self.kind.value,
            "partition": self.partition,
            "from": self.old,
            "to": self.new,
            "reason": self.reason,
        }


class Plan(Closing):
    """The changes that fulfil assignments on one disk.  Made by Disk.plan() and dps.plan().

    What it says (changes, findings, assignments) stays when it was applied or closed; only
    apply() needs its disk, opened writable.
    """

    disk: Optional[Disk]
    """None for a tree that is on no disk."""
    arch: Optional[Arch]
    """What roles that were assigned without one get."""
    assignments: tuple[Assignment, ...]
    changes: tuple[Change, ...]
    """In the order in which they are made."""
    findings: tuple[Finding, ...]
    applied: bool
    """Whether anything was written."""
    backup: Optional[Path]
    """The file that was written; None when there is none."""

    def __init__(
        self,
        handle: Handle,
        disk: Optional[Disk],
        tree: Optional[Tree] = None,
        owns_them: bool = False,
    ) -> None:
        self._handle = handle
        self._tree = tree
        self._owned = [one for one in (disk, tree) if one] if owns_them else []
        self._tried = False
        self.disk = disk
        self._disk_dict = disk.to_dict() if disk else None
        self._copy()

    def _copy(self) -> None:
        with self._handle.use() as pointer:
            self.changes = tuple(
                _change(entry) for entry in array(lib.dps_plan_get_changes(pointer), "DpsChange *")
            )
            self.assignments = tuple(
                _assignment(entry)
                for entry in array(lib.dps_plan_get_assignments(pointer), "DpsAssignment *")
            )
            self.findings = tuple(findings_from_array(lib.dps_plan_get_findings(pointer)))
            self.arch = arch_from_number(lib.dps_plan_get_arch(pointer))
            self.applied = bool(lib.dps_plan_get_applied(pointer))
            self.backup = optional_path(lib.dps_plan_get_backup(pointer))

    def __repr__(self) -> str:
        count = len(self.changes)
        return f"<dps.Plan of {count} change{'s' if count != 1 else ''}>"

    def __iter__(self) -> Iterator[Change]:
        return iter(self.changes)

    def __len__(self) -> int:
        return len(self.changes)

    def __bool__(self) -> bool:
        """A plan without changes is a plan: ask for empty."""
        return True

    @property
    def empty(self) -> bool:
        """Whether there is nothing to change."""
        return not self.changes

    def apply(self, backup: BackupLike = None) -> bool:
        """Writes it, reads back, compares; whether anything was written.

        The default backup of a block device is a file under ``/var/lib/libdps`` of the tree; an
        image has none.  An Error means that nothing was changed, or was put back, or its message
        says what is.
        """
        raw = ffi.NULL
        if backup is False:
            raw = b"none"
        elif backup is not None:
            raw = path_to_bytes(backup)
        with self._handle.use() as pointer:
            if self._tried:
                raise ValueError(f"{self._handle.name}: a plan is applied once: make a new one")
            # Without a disk there is nothing to write to, and a finding says so.
            if self.disk:
                call(lib.dps_plan_apply, pointer, raw)
            self._tried = True
            self._copy()
        return self.applied

    def to_dict(self) -> dict[str, Any]:
        """The document of ``dps-tag plan --json``; once applied, that of ``dps-tag apply``."""
        document: dict[str, Any] = {
            "version": 1,
            "disk": self._disk_dict,
            "assignments": [a.to_dict() for a in self.assignments],
            "changes": [c.to_dict() for c in self.changes],
            "findings": [f.to_dict() for f in self.findings],
        }
        if self._tried:
            document["applied"] = self.applied
            document["backup"] = json_path(self.backup)
        return document

    def to_json(self) -> str:
        """to_dict() as text, on one line."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    def __enter__(self) -> Plan:
        return self

    def close(self) -> None:
        """Lets go of the disk; one that dps.plan() opened is closed with it."""
        self._handle.close()
        for one in self._owned:
            one.close()


@dataclass(frozen=True)
class Backup:
    """What was before a plan was applied."""

    path: Path
    disk_path: Path
    """Where the disk was then."""
    disk_uuid: UUID
    time: datetime.datetime


def _change(pointer: Any) -> Change:
    def optional(value: Any) -> Optional[str]:
        return text(value) if value else None

    return Change(
        kind=ChangeKind(text(lib.dps_change_kind_to_string(lib.dps_change_get_kind(pointer)))),
        partition=lib.dps_change_get_partition(pointer) or None,
        old=optional(lib.dps_change_get_from(pointer)),
        new=optional(lib.dps_change_get_to(pointer)),
        reason=optional(lib.dps_change_get_reason(pointer)),
    )


def _assignment(pointer: Any) -> Assignment:
    return Assignment(
        role=role_from_number(lib.dps_assignment_get_role(pointer)),
        arch=arch_from_number(lib.dps_assignment_get_arch(pointer)),
        partition=int(lib.dps_assignment_get_partition(pointer)),
        set_flags=Flags(lib.dps_assignment_get_set_flags(pointer)),
        clear_flags=Flags(lib.dps_assignment_get_clear_flags(pointer)),
        reason=text(lib.dps_assignment_get_reason(pointer)),
    )


# What may be asked for; the other bits that have names are the firmware's business.
_SETTABLE = {
    "read-only": (Flags.READ_ONLY, Flags(0)),
    "no-read-only": (Flags(0), Flags.READ_ONLY),
    "growfs": (Flags.GROWFS, Flags(0)),
    "no-growfs": (Flags(0), Flags.GROWFS),
    "no-auto": (Flags.NO_AUTO, Flags(0)),
    "auto": (Flags(0), Flags.NO_AUTO),
}


def _flags(flags: Union[Flags, Iterable[str]]) -> tuple[Flags, Flags]:
    """(to set, to clear)"""
    to_set = to_clear = Flags(0)
    if isinstance(flags, str):
        raise TypeError(f"{flags!r}: flags are several names, in a list")
    for name in flags.names if isinstance(flags, Flags) else flags:
        if name not in _SETTABLE:
            known = ", ".join(_SETTABLE)
            raise Error(f'no such flag "{name}": it is one of {known}', Code.INVALID)
        to_set |= _SETTABLE[name][0]
        to_clear |= _SETTABLE[name][1]
    return to_set, to_clear


def _several(value: Assignable) -> Iterable[_One]:
    if isinstance(value, (int, str, bytes, os.PathLike, Partition, Mapping)):
        return (value,)
    return value


def _from_keywords(roles: Mapping[str, Assignable]) -> Iterator[Assign]:
    """root=3, swap=[5, 6], root_verity={"partition": 4, "arch": "x86_64"}"""
    for name, value in roles.items():
        role = Role(name.replace("_", "-"))
        for one in _several(value):
            if not isinstance(one, Mapping):
                yield Assign(role, one)
                continue
            if "partition" not in one or one.keys() - {"partition", "arch", "flags"}:
                raise TypeError(f"{name}: {dict(one)!r}: keys are 'partition', 'arch', 'flags'")
            yield Assign(role, **one)


def _assign(plan: Any, disk: Any, one: Assign) -> None:
    role = Role(one.role)
    if one.arch is not None and not role.needs_arch:
        message = f"{role}: arch {one.arch}: the type is the same on all architectures"
        raise Error(message, Code.INVALID)
    number = lib.dps_partition_get_number(find_partition(disk, one.partition))
    to_set, to_clear = _flags(one.flags)
    call(
        lib.dps_plan_assign,
        plan,
        role_number(role),
        arch_number(one.arch),
        number,
        to_set,
        to_clear,
    )


HexLike = Union[str, bytes, UUID, None]
"""Hexadecimal digits, or the bytes that they stand for."""


@dataclass(frozen=True)
class More:
    """What a plan is asked for beyond types and the default subvolume."""

    root_hash: HexLike = None
    usr_hash: HexLike = None
    machine_id: HexLike = None
    names: bool = False


def _hex(value: HexLike) -> Any:
    if value is None:
        return ffi.NULL
    if isinstance(value, UUID):
        return value.hex.encode()
    return value.hex().encode() if isinstance(value, bytes) else to_bytes(value)


def make_plan(
    disk: Optional[Disk],
    tree: Optional[Tree],
    assign: Iterable[Assign],
    roles: Mapping[str, Assignable],
    arch: Optional[ArchLike],
    btrfs_default: str,
    force: bool,
    more: More,
    owns_them: bool = False,
) -> Plan:
    """What Disk.plan() and plan() have in common: one of disk and tree is given."""
    wanted = [*assign, *_from_keywords(roles)]
    shares = [one._handle for one in (disk, tree) if one]
    with contextlib.ExitStack() as stack:
        disk_pointer, tree_pointer = (
            stack.enter_context(one._handle.use()) if one else ffi.NULL for one in (disk, tree)
        )
        pointer = call(lib.dps_plan_new, disk_pointer, tree_pointer)
        handle = Handle(pointer, lib.dps_plan_unref, f"plan of {shares[0].name}", shares)
        # A plan that failed lives on in the traceback: it must not hold the disk, and its lock.
        stack.enter_context(handle.closed_on_failure())
        lib.dps_plan_set_arch(pointer, arch_number(arch))
        lib.dps_plan_set_btrfs_default(pointer, to_bytes(btrfs_default))
        lib.dps_plan_set_force(pointer, force)
        lib.dps_plan_set_names(pointer, more.names)
        call(lib.dps_plan_set_root_hash, pointer, _hex(more.root_hash))
        call(lib.dps_plan_set_usr_hash, pointer, _hex(more.usr_hash))
        call(lib.dps_plan_set_machine_id, pointer, _hex(more.machine_id))
        for one in wanted if disk else ():
            _assign(pointer, disk_pointer, one)
        # Without a disk this is what says so.
        if not disk or not wanted:
            call(lib.dps_plan_detect, pointer)
        call(lib.dps_plan_prepare, pointer)
        made = Plan(handle, disk, tree, owns_them)
    return made


def plan(
    sysroot: Optional[PathLike] = None,
    *,
    disk: Optional[PathLike] = None,
    assign: Iterable[Assign] = (),
    arch: Optional[ArchLike] = None,
    btrfs_default: str = "auto",
    root_hash: HexLike = None,
    usr_hash: HexLike = None,
    machine_id: HexLike = None,
    names: bool = False,
    force: bool = False,
    writable: bool = True,
    lock: Lock = "yes",
) -> Plan:
    """What there is to change so that the system in sysroot is discovered.

    Without disk it is the one that holds the root of sysroot (``/`` when neither is given); for a
    tree on no disk the plan is empty, and a finding says why.  With disk alone nothing of the
    running system is read, unless it is the disk that holds ``/``.

    The disk is open, and locked when writable, until the plan is closed: best by ``with``.
    """
    tree: Optional[Tree] = None
    opened: Optional[Disk] = None
    try:
        if sysroot is not None or disk is None:
            tree = Tree("/" if sysroot is None else sysroot)
        elif _holds_running_system(disk):
            tree = Tree("/")
        found = tree.find_disk().disk if tree and disk is None else disk
        if found is not None:
            opened = Disk(found, writable=writable, lock=lock)
        more = More(root_hash, usr_hash, machine_id, names)
        return make_plan(
            opened, tree, assign, {}, arch, btrfs_default, force, more, owns_them=True
        )
    except BaseException:
        for one in (opened, tree):
            if one:
                one.close()
        raise


def _holds_running_system(disk: PathLike) -> bool:
    """That ``/`` cannot be looked at is no concern of who asked for another disk."""
    try:
        asked = os.stat(disk)
        if not stat.S_ISBLK(asked.st_mode):
            return False
        with Tree("/") as running:
            root_disk = running.find_disk().disk
        return root_disk is not None and os.stat(root_disk).st_rdev == asked.st_rdev
    except (Error, OSError):
        return False


def apply(
    root: Optional[PathLike] = None,
    *,
    disk: Optional[PathLike] = None,
    assign: Iterable[Assign] = (),
    arch: Optional[ArchLike] = None,
    btrfs_default: str = "auto",
    root_hash: HexLike = None,
    usr_hash: HexLike = None,
    machine_id: HexLike = None,
    names: bool = False,
    force: bool = False,
    lock: Lock = "yes",
    backup: BackupLike = None,
) -> Plan:
    """Makes the system in root discoverable: plans, writes, reads back; all an installer needs.

    Arguments are those of plan() and Plan.apply().  Returns the plan, applied and closed: what was
    changed, the backup, and the findings, those of a closing check among them.
    """
    made = plan(
        root,
        disk=disk,
        assign=assign,
        arch=arch,
        btrfs_default=btrfs_default,
        root_hash=root_hash,
        usr_hash=usr_hash,
        machine_id=machine_id,
        names=names,
        force=force,
        lock=lock,
    )
    with made:
        made.apply(backup)
        if made.disk:
            found = made.disk.check(made._tree, arch=made.arch)
            made.findings += tuple(f for f in found if f not in made.findings)
    return made


@contextlib.contextmanager
def _open_backup(file: PathLike) -> Iterator[tuple[Any, Backup]]:
    raw = path_to_bytes(file)
    with ffi.gc(call(lib.dps_backup_open, raw), lib.dps_backup_unref) as pointer:
        time = text(lib.dps_backup_get_time(pointer))
        yield pointer, Backup(
            path=Path(os.fsdecode(raw)),
            disk_path=path(lib.dps_backup_get_disk_path(pointer)),
            disk_uuid=UUID(text(lib.dps_backup_get_disk_uuid(pointer))),
            # Python before 3.11 does not read the Z of UTC.
            time=datetime.datetime.fromisoformat(time.replace("Z", "+00:00")),
        )


def read_backup(file: PathLike) -> Backup:
    """What a backup is of."""
    with _open_backup(file) as (_, backup):
        return backup


def undo(backup: PathLike, disk: Optional[PathLike] = None, *, lock: Lock = "yes") -> Plan:
    """Puts back what apply changed; the disk is looked for where it was.

    Returns the plan that did it, applied and closed.  An Error with Code.CHANGED says that what
    it would put back was changed since by somebody else.
    """
    with _open_backup(backup) as (pointer, about):
        where = about.disk_path if disk is None else disk
        with Disk(where, writable=True, lock=lock) as opened:
            with opened._handle.use() as disk_pointer:
                made = call(lib.dps_plan_new_from_backup, disk_pointer, pointer)
                name = f"undo of {about.path}"
                handle = Handle(made, lib.dps_plan_unref, name, [opened._handle])
            with handle.closed_on_failure():
                back = Plan(handle, opened)
            with back:
                back.apply(False)
            return back
