"""What a format of input must offer to the batch program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class InputFormat(Protocol):
    """One format of input, for example JSON lines in files or the rows of a table.

    A location is one of the texts that the user gives to `--input`. To add a format, write a module
    in this package with a class that has these members, and add a row to `formats.FORMATS`.
    """

    @property
    def has_order(self) -> bool:
        """Whether a row has a number that stays the same each time the input is read."""

    @property
    def needs_bucket(self) -> bool:
        """Whether the format is read through files in the job's `--temp_location`."""

    def match(self, location: str) -> bool:
        """Return whether `location` names an input of this format, by its scheme or its suffix."""

    def check(self, locations: Sequence[str]) -> None:
        """Raise UsageError unless the input exists and its rows can be read."""

    def files(self, locations: Sequence[str]) -> Sequence[str]:
        """Return the paths of the files at `locations`, sorted; empty for a table."""

    def count(self, locations: Sequence[str]) -> int | None:
        """Return the number of rows, or None if counting them would cost too much."""

    def read(self, root: Any, locations: Sequence[str]) -> Any:
        """Return the PCollection of the rows, each as a `Line` whose text is a JSON object."""
