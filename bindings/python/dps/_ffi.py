# SPDX-License-Identifier: LGPL-2.1-or-later
"""The one door to the library: what crosses it is converted, and checked, here."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from ._dps import ffi, lib
from .error import Code, Error

if TYPE_CHECKING:
    from types import TracebackType

PathLike = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]

__all__ = ["Closing", "Handle", "PathLike", "call", "ffi", "lib"]


def call(function: Callable[..., Any], *args: Any) -> Any:
    """Calls a function whose last parameter is GError **; raises Error when it sets one.

    The GIL is released in there, as in all functions of the library.
    """
    slot = ffi.new("GError **")
    result = function(*args, slot)
    if slot[0]:
        error = ffi.gc(slot[0], lib.g_error_free)
        # A message may quote a path, and a path may be anything but NUL.
        message = ffi.string(error.message).decode("utf-8", "backslashreplace")
        code = Code(text(lib.dps_error_code_to_string(error.code)))
        raise Error(message, code, lib.dps_error_get_partition(error) or None)
    # All of these answer NULL or FALSE on failure alone, and then say why.
    assert result, function
    return result


def text(pointer: Any) -> str:
    """A string that cannot be NULL."""
    return str(ffi.string(pointer).decode())


def optional_text(pointer: Any) -> Optional[str]:
    return text(pointer) if pointer else None


def optional_path(pointer: Any) -> Optional[Path]:
    return Path(os.fsdecode(ffi.string(pointer))) if pointer else None


def path(pointer: Any) -> Path:
    return Path(os.fsdecode(ffi.string(pointer)))


def json_path(value: Optional[Path]) -> Optional[str]:
    """A path in a document, whose strings are UTF-8 whatever the name of the file is."""
    return os.fsencode(value).decode("utf-8", "replace") if value else None


def to_bytes(value: Union[str, bytes]) -> bytes:
    """For a parameter of type const char *; C would see less of a text with a NUL in it."""
    raw = os.fsencode(value)
    if b"\0" in raw:
        raise ValueError("embedded null byte")
    return raw


def path_to_bytes(value: PathLike) -> bytes:
    return to_bytes(os.fspath(value))


def array(pointer: Any, c_type: str) -> Iterator[Any]:
    """The elements of a GPtrArray."""
    for i in range(pointer.len):
        yield ffi.cast(c_type, pointer.pdata[i])


class Handle:
    """An object of the library: let go once, by close() or with the last reference to this.

    The library wants one object in one thread at a time.  Whoever uses the pointer holds the
    object's lock, so that two threads wait for each other instead of breaking it, and close() does
    not pull it away from under a call.  Objects that share something share their locks.
    """

    def __init__(
        self,
        pointer: Any,
        release: Callable[[Any], None],
        name: str,
        shares_with: Sequence[Handle] = (),
    ) -> None:
        self.name = name
        locks = [lock for other in shares_with for lock in other._locks]
        self._locks: list[Any] = locks or [threading.RLock()]
        # The library counts references atomically: the last one may go in any thread.
        self._pointer = ffi.gc(pointer, release)

    @contextlib.contextmanager
    def use(self) -> Iterator[Any]:
        """The pointer, for this thread alone; ValueError when it was closed."""
        with _all_of(self._locks):
            if self._pointer is None:
                raise ValueError(f"{self.name}: used after close()")
            yield self._pointer

    @contextlib.contextmanager
    def closed_on_failure(self) -> Iterator[None]:
        """As use(), for what makes an object step by step."""
        try:
            with self.use():
                yield
        except BaseException:
            self.close()
            raise

    @property
    def closed(self) -> bool:
        return self._pointer is None

    def close(self) -> None:
        with _all_of(self._locks):
            pointer, self._pointer = self._pointer, None
            if pointer is not None:
                ffi.release(pointer)


class Closing:
    """What has a handle, and lets go of it by close() or at the end of a ``with``."""

    _handle: Handle

    def close(self) -> None:
        """Lets go of it; twice does no harm."""
        self._handle.close()

    @property
    def closed(self) -> bool:
        """Whether it was closed: all that would use it raises ValueError."""
        return self._handle.closed

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()


@contextlib.contextmanager
def _all_of(locks: Sequence[Any]) -> Iterator[None]:
    # In the order in which they were given, which is disk before tree everywhere.
    with contextlib.ExitStack() as stack:
        for lock in locks:
            stack.enter_context(lock)
        yield
