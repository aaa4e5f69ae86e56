"""How the input is to be read: what the flags `--input_format`, `--csv_header` and so on say."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

# The keys of `readers.choice.FORMATS`, for a command line that has not imported the readers.
FORMAT_NAMES = ("jsonl", "json", "csv", "tsv", "parquet", "arrow", "text", "document", "batch")


@dataclass(frozen=True)
class InputOptions:
    """Raises ValueError for values that no input can have.

    Args:
        format: the format of all files, a name in `readers.FORMATS`. Without it, the name of each
            file decides, and its first bytes if the name does not.
        csv_header: the names of the columns of CSV and TSV files without a header.
        csv_delimiter: the character between two fields of CSV files, instead of a comma.
        encoding: how texts are encoded, by a name that Python knows; UTF-8 without it.
    """

    format: str | None = None
    csv_header: tuple[str, ...] | None = None
    csv_delimiter: str | None = None
    encoding: str | None = None

    def __post_init__(self) -> None:
        _check_header(self.csv_header)
        _check_delimiter(self.csv_delimiter)
        if self.encoding is not None:
            _check_encoding(self.encoding)


def _check_header(names: tuple[str, ...] | None) -> None:
    if names is None:
        return
    if not all(names):
        raise ValueError(f"csv_header must be names joined by commas, got {','.join(names)!r}")
    if len({*names}) < len(names):
        raise ValueError(f"csv_header must name each column once, got {','.join(names)!r}")


def _check_delimiter(delimiter: str | None) -> None:
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise ValueError(f"csv_delimiter must be one character, got {delimiter!r}")


def _check_encoding(name: str) -> None:
    try:
        codec = codecs.lookup(name)
    except (LookupError, ValueError):
        raise ValueError(
            f"encoding must be one of Python's, such as latin-1, got {name!r}"
        ) from None
    if not codec._is_text_encoding:
        raise ValueError(f"encoding must be one of texts, such as latin-1, got {name!r}")
