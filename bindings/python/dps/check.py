# SPDX-License-Identifier: LGPL-2.1-or-later
"""Findings: what is worth saying about a disk."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

from ._ffi import (
    PathLike,
    array,
    call,
    ffi,
    json_path,
    lib,
    optional_path,
    optional_text,
    path_to_bytes,
    text,
)
from .tree import Tree
from .types import ArchLike, arch_number


class Severity(enum.IntEnum):
    """How bad a finding is; they compare."""

    INFO = 1
    """A fact worth telling."""
    WARNING = 2
    """Trouble is likely with some consumer."""
    ERROR = 3
    """The disk will not do what it is set up for."""

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class Finding:
    """Something worth saying.  Codes are stable; dps-findings(7) has a section on each."""

    code: str
    severity: Severity
    partition: Optional[int]
    path: Optional[Path]
    message: str
    hint: Optional[str]

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.severity}: {self.message}{hint} [{self.code}]"

    def to_dict(self) -> dict[str, Any]:
        """As JSON documents have it."""
        return {
            "code": self.code,
            "severity": str(self.severity),
            "partition": self.partition,
            "path": json_path(self.path),
            "message": self.message,
            "hint": self.hint,
        }


def findings_from_array(pointer: Any) -> list[Finding]:
    return [
        Finding(
            code=text(lib.dps_finding_get_code(entry)),
            severity=Severity(lib.dps_finding_get_severity(entry)),
            partition=lib.dps_finding_get_partition(entry) or None,
            path=optional_path(lib.dps_finding_get_path(entry)),
            message=text(lib.dps_finding_get_message(entry)),
            hint=optional_text(lib.dps_finding_get_hint(entry)),
        )
        for entry in array(pointer, "DpsFinding *")
    ]


def join_codes(name: str, codes: Sequence[str]) -> bytes:
    """As the library takes them.  A plain string is a sequence, too, of letters: never what is meant."""
    if isinstance(codes, (str, bytes)) or not isinstance(codes, Iterable):
        raise TypeError(f"{name}: a list of codes is wanted, not {codes!r}")
    joined = list(codes)
    for code in joined:
        if not isinstance(code, str):
            raise TypeError(f"{name}: a list of codes is wanted, and {code!r} is no string")
    return ",".join(joined).encode()


@dataclass(frozen=True)
class CheckOptions:
    """What a check is to know beside the disk and the tree."""

    arch: Optional[ArchLike] = None
    """The architecture that the disk is to boot on; None: find out."""
    keep_kernels: int = 2
    """For how many kernels there must be room."""
    only: Sequence[str] = ()
    """Codes; nothing else is reported."""
    ignore: Sequence[str] = ()
    """Codes that are not reported."""
    policy: Mapping[str, Union[Severity, str]] = field(default_factory=dict)
    """Severities of one's own by code; "ignore" for none."""
    esp: Optional[PathLike] = None
    """The directory with the files of the EFI system partition, where the disk is not to tell."""

    def to_pointer(self) -> Any:
        options = ffi.gc(lib.dps_check_options_new(), lib.dps_check_options_free)
        lib.dps_check_options_set_arch(options, arch_number(self.arch))
        if self.keep_kernels < 1:
            raise ValueError("keep_kernels: at least 1")
        lib.dps_check_options_set_keep_kernels(options, self.keep_kernels)
        if self.esp is not None:
            lib.dps_check_options_set_esp(options, path_to_bytes(self.esp))
        if only := join_codes("only", self.only):
            call(lib.dps_check_options_set_only, options, only)
        if ignore := join_codes("ignore", self.ignore):
            call(lib.dps_check_options_set_ignore, options, ignore)
        if self.policy:
            lines = "".join(f"{code}={severity!s}\n" for code, severity in self.policy.items())
            call(lib.dps_check_options_set_policy, options, lines.encode())
        return options


def run_check(disk: Any, tree: Union[Tree, PathLike, None], options: CheckOptions) -> list[Finding]:
    """dps_check() on a DpsDisk that the caller holds."""
    pointer = options.to_pointer()
    if tree is not None and not isinstance(tree, Tree):
        tree = Tree(tree)
    with tree._handle.use() if tree else contextlib.nullcontext(ffi.NULL) as tree_pointer:
        found = call(lib.dps_check, disk, tree_pointer, pointer)
        return findings_from_array(ffi.gc(found, lib.g_ptr_array_unref))


def check(
    disk: PathLike,
    *,
    tree: Union[Tree, PathLike, None] = None,
    arch: Optional[ArchLike] = None,
    sector_size: int = 0,
    keep_kernels: int = 2,
    only: Sequence[str] = (),
    ignore: Sequence[str] = (),
    policy: Optional[Mapping[str, Union[Severity, str]]] = None,
    esp: Optional[PathLike] = None,
) -> list[Finding]:
    """What is worth saying about a disk, worst first.  Reads only."""
    from .disk import Disk

    with Disk(disk, sector_size=sector_size) as opened:
        return opened.check(
            tree,
            arch=arch,
            keep_kernels=keep_kernels,
            only=only,
            ignore=ignore,
            policy=policy,
            esp=esp,
        )
