"""Recognizes failures of the network whose cause is that no file descriptor is left.

The libraries between the system and this package hide the cause: anyio puts it behind "All
connection attempts failed". A lookup of a name fails like that of an unknown name, or with the
number of any other error: what the system's resolvers did afterwards overwrites it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from itertools import islice

_NO_DESCRIPTOR = {
    errno.EMFILE: "this process has no file descriptor left; raise its limit with `ulimit -n`, or"
    " send fewer requests at once",
    errno.ENFILE: "this machine has no file descriptor left; raise fs.file-max, or send fewer"
    " requests at once",
}
_MOST_CAUSES = 32


def shortage(error: BaseException) -> str | None:
    """Return what to do if `error` comes from a lack of descriptors; None for other causes."""
    for cause in causes(error):
        number = getattr(cause, "errno", None)
        if number not in _NO_DESCRIPTOR and isinstance(cause, OSError):
            number = _probe()
        if number in _NO_DESCRIPTOR:
            return _NO_DESCRIPTOR[number]
    return None


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield `error` and the errors behind it, a bounded number of them."""
    return islice(_causes(error), _MOST_CAUSES)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield `error` and the errors behind it, those of a group included."""
    if error is None:
        return
    yield error
    for each in getattr(error, "exceptions", ()):
        yield from _causes(each)
    yield from _causes(error.__cause__ or error.__context__)


def _probe() -> int | None:
    """Return the error of opening one more file: a failed lookup does not tell."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno
    return None
