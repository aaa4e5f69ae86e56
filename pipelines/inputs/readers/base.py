"""What a format of files must offer, and what a reader says of one row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pipelines.inputs.options import InputOptions
from pipelines.inputs.rows import Line

if TYPE_CHECKING:
    import pyarrow

# A larger row must not fill the memory.
MOST_ROW_BYTES = 64 << 20


class DataFile(NamedTuple):
    """A file of rows, or a part of one that a worker reads on its own.

    `path` is where it is read from, `shown` what messages call it, and `name` the end of that,
    which is short enough for an id. A part has the bytes or row groups from `start` to before
    `end`. Its first row has the number `first`, and one more if `start` is within a line; `last` is
    the number of its last row, if that is known. `size` is that of the file in bytes.
    """

    path: str
    shown: str
    name: str
    start: int = 0
    end: int | None = None
    first: int = 1
    size: int = 0
    last: int | None = None


class FileFormat(Protocol):
    """One format of files. A module of this package has the class, `readers.FORMATS` the names."""

    def fault(self, head: bytes, options: InputOptions) -> str | None:
        """Return why a file that begins with `head` is not of this format, None if it may be."""

    def rows(
        self, file: DataFile, options: InputOptions, columns: Sequence[str] | None
    ) -> Iterator[Line]:
        """Yield the rows of `file`, with these columns at least; None are all columns.

        Raises UnreadableFile or DamagedFile where the file cannot be read on.
        """

    def count(self, path: str) -> int | None:
        """Return the number of rows in the local file, or None if counting costs too much."""

    def schema(self, file: DataFile, options: InputOptions) -> pyarrow.Schema | None:
        """Return the columns of `file` with their types, None if its rows may have any."""

    def parts(self, file: DataFile) -> list[DataFile] | None:
        """Return the parts of `file` that workers may read on their own, None for one part."""

    @property
    def has_lines(self) -> bool:
        """Whether a reader may begin at any line, so that a part may be a range of bytes."""
