# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes Linux installations discoverable: partition types, btrfs default subvolume, checks.

>>> import dps
>>> dps.type_for_mount_point("/", arch="x86_64").uuid
UUID('4f68bce3-e8cd-4db1-96e7-fbcaf984b709')

An image, assignments typed::

    with dps.Disk("disk.raw", writable=True) as disk:
        plan = disk.plan(esp=1, root=3, home=4, arch="x86_64")
        for change in plan:
            print(change)
        plan.apply()
        errors = [f for f in disk.check() if f.severity is dps.Severity.ERROR]

An installation, everything detected::

    dps.apply(root="/mnt/sysroot")

Objects may be used in any thread; calls on one object wait for each other, those on different
objects do not.
"""

from .check import Finding, Severity, check
from .disk import Content, Disk, Partition, Subvolume, Table
from .error import Code, Error, UnknownArch, UnknownRole
from .plan import (
    Assign,
    Assignment,
    Backup,
    Change,
    ChangeKind,
    Plan,
    apply,
    plan,
    read_backup,
    undo,
)
from .tree import Location, Tree
from .types import (
    Arch,
    Flags,
    Role,
    Type,
    all_types,
    type_for_mount_point,
    type_lookup,
    type_lookup_name,
    type_lookup_uuid,
    version,
)

__version__ = version()

__all__ = [
    "Arch",
    "Assign",
    "Assignment",
    "Backup",
    "Change",
    "ChangeKind",
    "Code",
    "Content",
    "Disk",
    "Error",
    "Finding",
    "Flags",
    "Location",
    "Partition",
    "Plan",
    "Role",
    "Severity",
    "Subvolume",
    "Table",
    "Tree",
    "Type",
    "UnknownArch",
    "UnknownRole",
    "all_types",
    "apply",
    "check",
    "plan",
    "read_backup",
    "type_for_mount_point",
    "type_lookup",
    "type_lookup_name",
    "type_lookup_uuid",
    "undo",
]
