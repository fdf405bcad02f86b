# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks and images: their tables, and what their partitions hold."""

from __future__ import annotations

import enum
import os
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Optional, Union
from uuid import UUID

from ._ffi import (
    Closing,
    Handle,
    PathLike,
    array,
    call,
    json_path,
    lib,
    optional_path,
    optional_text,
    path,
    path_to_bytes,
    text,
)
from .check import CheckOptions, Finding, Severity, run_check
from .tree import Tree
from .types import Arch, ArchLike, Flags, Role, Type, type_from_pointer

if TYPE_CHECKING:
    from .plan import Assign, Assignable, HexLike, Plan

Lock = Literal["yes", "nonblock", "no"]
"""Wait a short while for it; do not wait; the caller holds it (an osbuild loopback)."""


class Table(enum.Enum):
    """What a disk is partitioned with."""

    NONE = "none"
    GPT = "gpt"
    """A GUID partition table, at least one copy of it good."""
    GPT_DAMAGED = "gpt-damaged"
    """Signs of one, and no copy that can be used."""
    MBR = "mbr"


@dataclass(frozen=True)
class Subvolume:
    """A subvolume of a btrfs."""

    id: int
    path: str
    """From the top level; ``/`` is the top level itself."""


@dataclass(frozen=True)
class Content:
    """What a partition holds, as libblkid recognises it; None where it does not."""

    type: Optional[str]
    uuid: Optional[str]
    """As the file system writes it: that of FAT is no UUID."""
    label: Optional[str]
    problem: Optional[str] = None
    """Why it could not be read, "Input/output error": then it may be anything."""


@dataclass(frozen=True)
class Partition:
    """One used entry of the table, as it was when the disk was read."""

    number: int
    node: Optional[Path]
    start: int
    """In bytes, as size."""
    size: int
    type_uuid: UUID
    type: Optional[Type]
    """None for a GUID that the specification does not have."""
    uuid: UUID
    label: Optional[str]
    attributes: int
    """All 64 bits of them; see flags for those with a name."""
    content: Content
    default_subvolume: Optional[Subvolume]
    """None when it is no btrfs, or could not be read."""
    subvolumes: Optional[tuple[Subvolume, ...]]

    @property
    def role(self) -> Optional[Role]:
        """What its type says it is for."""
        return self.type.role if self.type else None

    @property
    def arch(self) -> Optional[Arch]:
        """That of its type; None where a type has none."""
        return self.type.arch if self.type else None

    @property
    def flags(self) -> Flags:
        """The attributes that have a name."""
        named = Flags(0)
        for flag in Flags:
            named |= flag & self.attributes
        return named


PartitionLike = Union[int, str, bytes, "os.PathLike[str]", Partition]
"""A number; a node, ``LABEL=``, ``UUID=``, ``PARTLABEL=`` or ``PARTUUID=``; a Partition."""


class Disk(Closing):
    """A block device or an image file.

    Without a table that can be used it opens too, and has no partitions: see table.  sector_size
    (512 or 4096 bytes) is found out unless it is given; a device has its own.

    Writable, it holds an exclusive lock on the whole disk until it is closed: best by ``with``.
    Partitions are copies that stay when it is closed or read again.
    """

    def __init__(
        self,
        path: PathLike,
        *,
        writable: bool = False,
        lock: Lock = "yes",
        sector_size: int = 0,
    ) -> None:
        raw = path_to_bytes(path)
        flags: int = lib.DPS_OPEN_WRITABLE if writable else lib.DPS_OPEN_READ_ONLY
        if lock not in ("yes", "nonblock", "no"):
            raise ValueError(f"{lock}: lock is 'yes', 'nonblock' or 'no'")
        if lock == "nonblock":
            flags |= lib.DPS_OPEN_LOCK_NONBLOCK
        if lock == "no":
            flags |= lib.DPS_OPEN_NO_LOCK
        pointer = call(lib.dps_disk_open_with_sector_size, raw, flags, sector_size)
        self._handle = Handle(pointer, lib.dps_disk_unref, os.fsdecode(raw))
        self._plans: weakref.WeakSet[Plan] = weakref.WeakSet()

    def __repr__(self) -> str:
        state = " closed" if self.closed else ""
        return f"<dps.Disk {self._handle.name!r}{state}>"

    def __enter__(self) -> Disk:
        with self._handle.use():
            return self

    def close(self) -> None:
        """Gives up the lock and the descriptors, also those of its plans; twice does no harm."""
        for plan in list(self._plans):
            plan.close()
        self._handle.close()

    def refresh(self) -> None:
        """Reads the disk again; on an Error it is as it was."""
        with self._handle.use() as pointer:
            call(lib.dps_disk_refresh, pointer)

    @property
    def finished(self) -> Optional[str]:
        """What a run that was cut off had begun, and opening it to write finished; None: nothing."""
        with self._handle.use() as pointer:
            return optional_text(lib.dps_disk_get_finished(pointer))

    @property
    def path(self) -> Path:
        """As it was opened."""
        with self._handle.use() as pointer:
            return path(lib.dps_disk_get_path(pointer))

    @property
    def size(self) -> int:
        """In bytes."""
        with self._handle.use() as pointer:
            return int(lib.dps_disk_get_size(pointer))

    @property
    def sector_size(self) -> Optional[int]:
        """In bytes; None without a table."""
        with self._handle.use() as pointer:
            return lib.dps_disk_get_sector_size(pointer) or None

    @property
    def uuid(self) -> Optional[UUID]:
        """None without a table."""
        with self._handle.use() as pointer:
            found = optional_text(lib.dps_disk_get_uuid(pointer))
        return UUID(found) if found else None

    @property
    def table(self) -> Table:
        """What it is partitioned with."""
        with self._handle.use() as pointer:
            return _TABLES[lib.dps_disk_get_table(pointer)]

    def require_table(self) -> None:
        """Raises Error, which says what there is instead, without a table that can be read."""
        with self._handle.use() as pointer:
            call(lib.dps_disk_require_table, pointer)

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """In the order of the table."""
        with self._handle.use() as pointer:
            count = lib.dps_disk_get_n_partitions(pointer)
            entries = [lib.dps_disk_get_partition(pointer, i) for i in range(count)]
            return tuple(_partition(entry) for entry in entries)

    def __iter__(self) -> Iterator[Partition]:
        return iter(self.partitions)

    def partition(self, which: PartitionLike) -> Partition:
        """The one partition that which names; Error when there is none, or more than one."""
        with self._handle.use() as pointer:
            return _partition(find_partition(pointer, which))

    def plan(
        self,
        *assign: Assign,
        tree: Union[Tree, PathLike, None] = None,
        arch: Optional[ArchLike] = None,
        btrfs_default: str = "auto",
        root_hash: HexLike = None,
        usr_hash: HexLike = None,
        machine_id: HexLike = None,
        names: bool = False,
        force: bool = False,
        **roles: Assignable,
    ) -> Plan:
        """What there is to change so that each partition is what it is said to be.

        ``disk.plan(esp=1, root=3, swap=[5, 6], arch="x86_64")``; without assignments they are
        detected from the tree, or from the disk's own root where it can be read.

        root_hash and usr_hash (verity) and machine_id (for var; by default the tree's) give
        partitions the UUIDs that derive from them; names gives those a name that have none.
        """
        from .plan import More, make_plan

        if tree is not None and not isinstance(tree, Tree):
            tree = Tree(tree)
        more = More(root_hash, usr_hash, machine_id, names)
        plan = make_plan(self, tree, assign, roles, arch, btrfs_default, force, more)
        self._plans.add(plan)
        return plan

    def check(
        self,
        tree: Union[Tree, PathLike, None] = None,
        *,
        arch: Optional[ArchLike] = None,
        keep_kernels: int = 2,
        only: Sequence[str] = (),
        ignore: Sequence[str] = (),
        policy: Optional[Mapping[str, Union[Severity, str]]] = None,
        esp: Optional[PathLike] = None,
    ) -> list[Finding]:
        """What is worth saying about this disk, worst first.

        only and ignore are codes; policy gives codes severities of one's own, or "ignore"; esp is a
        directory with the files of the EFI system partition, where it is mounted.
        """
        options = CheckOptions(arch, keep_kernels, only, ignore, policy or {}, esp)
        with self._handle.use() as pointer:
            return run_check(pointer, tree, options)

    def to_dict(self) -> dict[str, Any]:
        """The disk as it is in every JSON document."""
        with self._handle.use():
            return {
                "path": json_path(self.path),
                "size": self.size,
                "sector_size": self.sector_size,
                "uuid": str(self.uuid) if self.uuid else None,
            }


def find_partition(disk: Any, which: PartitionLike) -> Any:
    """The DpsPartition that which names, lent by its disk."""
    if isinstance(which, Partition):
        which = which.number
    if isinstance(which, bool) or not isinstance(which, (int, str, bytes, os.PathLike)):
        raise TypeError(f"{which!r}: a partition is a number, a name or a Partition")
    if isinstance(which, int):
        which = str(which)
    # A number that is none of the table's is the library's to refuse, whatever it looks like.
    return call(lib.dps_disk_find_partition, disk, path_to_bytes(which))


def _subvolume(pointer: Any) -> Subvolume:
    return Subvolume(
        id=int(lib.dps_subvolume_get_id(pointer)), path=text(lib.dps_subvolume_get_path(pointer))
    )


def _partition(pointer: Any) -> Partition:
    default = lib.dps_partition_get_default_subvolume(pointer)
    subvolumes = lib.dps_partition_get_subvolumes(pointer)
    return Partition(
        number=int(lib.dps_partition_get_number(pointer)),
        node=optional_path(lib.dps_partition_get_node(pointer)),
        start=int(lib.dps_partition_get_start(pointer)),
        size=int(lib.dps_partition_get_size(pointer)),
        type_uuid=UUID(text(lib.dps_partition_get_type_uuid(pointer))),
        type=type_from_pointer(lib.dps_partition_get_type(pointer)),
        uuid=UUID(text(lib.dps_partition_get_uuid(pointer))),
        label=optional_text(lib.dps_partition_get_label(pointer)),
        attributes=int(lib.dps_partition_get_attributes(pointer)),
        content=Content(
            type=optional_text(lib.dps_partition_get_content_type(pointer)),
            uuid=optional_text(lib.dps_partition_get_content_uuid(pointer)),
            label=optional_text(lib.dps_partition_get_content_label(pointer)),
            problem=optional_text(lib.dps_partition_get_content_problem(pointer)),
        ),
        default_subvolume=_subvolume(default) if default else None,
        subvolumes=(
            tuple(_subvolume(entry) for entry in array(subvolumes, "DpsSubvolume *"))
            if subvolumes
            else None
        ),
    )


_TABLES = {
    lib.DPS_TABLE_NONE: Table.NONE,
    lib.DPS_TABLE_GPT: Table.GPT,
    lib.DPS_TABLE_GPT_DAMAGED: Table.GPT_DAMAGED,
    lib.DPS_TABLE_MBR: Table.MBR,
}
