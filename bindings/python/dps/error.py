# SPDX-License-Identifier: LGPL-2.1-or-later
"""What goes wrong: one exception with a code to act on."""

from __future__ import annotations

import enum
from typing import Optional


class Code(enum.Enum):
    """What a caller can do something about.  Values are the names in JSON documents."""

    INVALID = "invalid"
    """An argument makes no sense, whatever the disk: correct the call."""
    NOT_FOUND = "not-found"
    """No such disk, partition, subvolume or file."""
    NO_TABLE = "no-table"
    """There is no GUID partition table to work on."""
    CORRUPT = "corrupt"
    """Bytes on the medium contradict their format."""
    UNSUPPORTED = "unsupported"
    """Sound, but nothing that libdps can work on; the message names it."""
    REFUSED = "refused"
    """It would harm; the message says what is in the way."""
    AMBIGUOUS = "ambiguous"
    """Several things answer; the message lists them."""
    BUSY = "busy"
    """Somebody else uses it now: try again, or stop them."""
    PERMISSION = "permission"
    """The caller may not do this."""
    IO = "io"
    """The medium failed."""
    NO_SPACE = "no-space"
    """No room for a file."""
    CHANGED = "changed"
    """It is no longer what it was when it was read."""
    UNKNOWN = "unknown"
    """A code that this package is too old to know."""

    @classmethod
    def _missing_(cls, value: object) -> Code:
        return cls.UNKNOWN


class Error(Exception):
    """libdps refused or could not: the message says what, where and what to do."""

    def __init__(self, message: str, code: Code, partition: Optional[int] = None) -> None:
        # All of it in args, so that an Error can be pickled from one process to another.
        super().__init__(message, code, partition)
        self.message = message
        self.code = code
        self.partition = partition

    def __str__(self) -> str:
        return self.message


class UnknownArch(Error, ValueError):
    """No architecture of the specification has this name."""


class UnknownRole(Error, ValueError):
    """No role has this name."""
