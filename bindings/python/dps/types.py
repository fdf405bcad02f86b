# SPDX-License-Identifier: LGPL-2.1-or-later
"""The partition types of the Discoverable Partitions Specification."""

from __future__ import annotations

import enum
import os
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Optional, Union
from uuid import UUID

from ._ffi import PathLike, ffi, lib, optional_text, path_to_bytes, text, to_bytes
from .error import Code, UnknownArch, UnknownRole


class Role(enum.Enum):
    """What a partition is for.  Values are the names of the specification."""

    ROOT = "root"
    USR = "usr"
    ROOT_VERITY = "root-verity"
    USR_VERITY = "usr-verity"
    ROOT_VERITY_SIG = "root-verity-sig"
    USR_VERITY_SIG = "usr-verity-sig"
    ESP = "esp"
    XBOOTLDR = "xbootldr"
    SWAP = "swap"
    HOME = "home"
    SRV = "srv"
    VAR = "var"
    TMP = "tmp"
    USER_HOME = "user-home"
    LINUX_GENERIC = "linux-generic"
    BIOS_BOOT = "bios-boot"
    PREP = "prep"
    SAME = "same"
    """In assignments only: the role that the partition has (changes flags alone)."""

    @classmethod
    def _missing_(cls, value: object) -> Role:
        raise UnknownRole(f"{value}: no role of the specification", Code.INVALID)

    @property
    def needs_arch(self) -> bool:
        """Whether the type depends on the architecture: root, usr and their verity kin."""
        return bool(lib.dps_role_needs_arch(role_number(self)))

    def __str__(self) -> str:
        return self.value


class Arch(enum.Enum):
    """An architecture of the specification.  Values are the kernel's names.

    ``Arch("amd64")`` is ``Arch.X86_64``: the names of RPM, Debian, systemd, Go and UEFI are
    understood, in either case.
    """

    ALPHA = "alpha"
    ARC = "arc"
    ARM = "arm"
    AARCH64 = "aarch64"
    IA64 = "ia64"
    LOONGARCH64 = "loongarch64"
    MIPS = "mips"
    MIPS64 = "mips64"
    MIPSEL = "mipsel"
    MIPS64EL = "mips64el"
    PARISC = "parisc"
    PPC = "ppc"
    PPC64 = "ppc64"
    PPC64LE = "ppc64le"
    RISCV32 = "riscv32"
    RISCV64 = "riscv64"
    S390 = "s390"
    S390X = "s390x"
    TILEGX = "tilegx"
    X86 = "x86"
    X86_64 = "x86_64"

    @classmethod
    def _missing_(cls, value: object) -> Arch:
        found = None
        if isinstance(value, str):
            found = arch_from_number(lib.dps_arch_from_string(to_bytes(value)))
        if found is None:
            raise UnknownArch(f"{value}: no architecture of the specification", Code.INVALID)
        return found

    @classmethod
    def native(cls) -> Optional[Arch]:
        """The architecture of the running kernel; None when the specification has none for it."""
        return arch_from_number(lib.dps_arch_get_native())

    @property
    def systemd_name(self) -> str:
        """The name in systemd's type names: ``x86-64``, ``arm64``."""
        return text(lib.dps_arch_get_systemd_name(arch_number(self)))

    @property
    def pe_machine(self) -> Optional[int]:
        """The Machine of its PE images; None where UEFI is not defined for it."""
        return lib.dps_arch_get_pe_machine(arch_number(self)) or None

    @property
    def efi_suffix(self) -> Optional[str]:
        """The ``X64`` of ``BOOTX64.EFI``; None where UEFI is not defined for it."""
        return optional_text(lib.dps_arch_get_efi_suffix(arch_number(self)))

    def __str__(self) -> str:
        return self.value


class Flags(enum.IntFlag):
    """The attribute bits of a partition that have a name."""

    REQUIRED = 1 << 0
    NO_BLOCK_IO = 1 << 1
    LEGACY_BOOT = 1 << 2
    GROWFS = 1 << 59
    READ_ONLY = 1 << 60
    NO_AUTO = 1 << 63

    @property
    def names(self) -> tuple[str, ...]:
        """As they are written: ``("growfs", "no-auto")``; bits without a name are left out."""
        pointers = (lib.dps_flag_get_name(bit) for bit in range(64) if self & (1 << bit))
        return tuple(text(pointer) for pointer in pointers if pointer)


ArchLike = Union[Arch, str]
RoleLike = Union[Role, str]


@dataclass(frozen=True)
class Type:
    """A role for an architecture, where it depends on one: one GUID and what it means."""

    name: str
    """As systemd writes it: ``root-x86-64``."""
    role: Role
    arch: Optional[Arch]
    uuid: UUID
    mount_point: Optional[str]
    """Where systemd mounts it; None where it depends on more than the type."""
    description: str

    def __str__(self) -> str:
        return self.name


def role_number(role: RoleLike) -> int:
    return int(lib.dps_role_from_string(Role(role).value.encode()))


def role_from_number(number: int) -> Role:
    return Role(text(lib.dps_role_to_string(number)))


def arch_number(arch: Optional[ArchLike]) -> int:
    if arch is None:
        return int(lib.DPS_ARCH_NONE)
    return int(lib.dps_arch_from_string(Arch(arch).value.encode()))


def arch_from_number(number: int) -> Optional[Arch]:
    name = lib.dps_arch_to_string(number)
    return Arch(text(name)) if name else None


def type_from_pointer(pointer: Any) -> Optional[Type]:
    if not pointer:
        return None
    return Type(
        name=text(lib.dps_type_get_name(pointer)),
        role=role_from_number(lib.dps_type_get_role(pointer)),
        arch=arch_from_number(lib.dps_type_get_arch(pointer)),
        uuid=UUID(text(lib.dps_type_get_uuid(pointer))),
        mount_point=optional_text(lib.dps_type_get_mount_point(pointer)),
        description=text(lib.dps_type_get_description(pointer)),
    )


def all_types(arch: Optional[ArchLike] = None) -> tuple[Type, ...]:
    """Every type, in the order of the specification; with arch those that it can use."""
    wanted = None if arch is None else Arch(arch)
    every = (type_from_pointer(lib.dps_type_get(i)) for i in range(lib.dps_type_get_count()))
    return tuple(t for t in every if t and (wanted is None or t.arch in (None, wanted)))


def type_lookup(role: RoleLike, arch: Optional[ArchLike] = None) -> Optional[Type]:
    """The type of a role, for an architecture where it needs one."""
    return type_from_pointer(lib.dps_type_lookup(role_number(role), arch_number(arch)))


def type_lookup_uuid(type_uuid: Union[UUID, str]) -> Optional[Type]:
    """The type with this GUID; None when the specification has none."""
    return type_from_pointer(lib.dps_type_lookup_uuid(to_bytes(str(type_uuid))))


def type_lookup_name(name: str) -> Optional[Type]:
    """The type with this name, as systemd writes it; None when there is none."""
    return type_from_pointer(lib.dps_type_lookup_name(to_bytes(name)))


def type_for_mount_point(path: PathLike, arch: Optional[ArchLike] = None) -> Optional[Type]:
    """The type that makes systemd mount a partition at path; None when there is none.

    ``/var/tmp`` has a type and ``/tmp`` has none: the specification's partition for temporary data
    is mounted at ``/var/tmp``.  ``/boot`` has none either: whether it is an XBOOTLDR depends on
    more than the path.  Without arch the running kernel's is taken, which is right only when the
    system being installed has the same; an arch of no known name raises UnknownArch.
    """
    number = arch_number(Arch.native() if arch is None else arch)
    # As the system writes it: /home/ is /home.
    clean = PurePath(os.fsdecode(path_to_bytes(path)))
    return type_from_pointer(lib.dps_type_for_mount_point(to_bytes(str(clean)), number))


def version() -> str:
    """The version of libdps that this package was built with."""
    return text(ffi.cast("char *", lib.DPS_VERSION))
