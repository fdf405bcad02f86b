# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes Linux installations discoverable: partition types, btrfs default subvolume, checks.

>>> import dps
>>> dps.type_for_mount_point("/", arch="x86_64").uuid
UUID('4f68bce3-e8cd-4db1-96e7-fbcaf984b709')
"""

from .error import Code, Error, UnknownArch, UnknownRole
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
    "Code",
    "Error",
    "Flags",
    "Role",
    "Type",
    "UnknownArch",
    "UnknownRole",
    "all_types",
    "type_for_mount_point",
    "type_lookup",
    "type_lookup_name",
    "type_lookup_uuid",
]
