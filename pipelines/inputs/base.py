"""What a kind of input must offer to the batch program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from pipelines.inputs.rows import Line

if TYPE_CHECKING:
    import pyarrow


# The columns of an input without a schema are those of this number of its first rows.
SAMPLE_ROWS = 1_000


class InputFormat(Protocol):
    """One kind of input: files, or the rows of a table.

    A location is one of the texts that the user gives to `--input`. A new format of files is a
    module in `readers`. For another kind of input, write a module in this package with a class that
    has these members, and add it to `formats.format_of`.
    """

    @property
    def has_order(self) -> bool:
        """Whether a row has a number that stays the same each time the input is read."""

    @property
    def needs_bucket(self) -> bool:
        """Whether the format is read through files in the job's `--temp_location`."""

    def check(self, locations: Sequence[str]) -> None:
        """Raise UsageError unless the input exists and its rows can be read."""

    def files(self, locations: Sequence[str]) -> Sequence[str]:
        """Return the paths of the files at `locations`, sorted; empty for a table."""

    def count(self, locations: Sequence[str], most: int | None = None) -> int | None:
        """Return the number of rows, or None if counting them would cost too much.

        With `most`, return at most that number: the caller needs no other rows.
        """

    def schema(self, locations: Sequence[str]) -> pyarrow.Schema | None:
        """Return the columns of the rows with their types, None if each row may have others."""

    def head(self, locations: Sequence[str], count: int) -> Sequence[Line]:
        """Return about `count` rows from the beginning of the input; none of a table."""

    def read(
        self, root: Any, locations: Sequence[str], columns: Sequence[str] | None = None
    ) -> Any:
        """Return the PCollection of the rows, each as a `Line` whose text is a JSON object.

        `columns` are the only ones that are needed, None for all. A row may have more.
        """
