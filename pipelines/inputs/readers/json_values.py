"""JSON in a file of its own: one array of objects, or objects one after the other.

The problem: the file may be larger than the memory, and its objects go over many lines.

The idea: Python's decoder finds the end of one value in a text that goes on behind it. The text is
read block by block, until the decoder finds the end of the next value in it.

    text:   [ {"prompt": "a"},  {"pro|mpt": "b"} ]
              ^ value 1         ^    | block read so far: the value breaks off, so read on
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from json import JSONDecodeError, JSONDecoder

from pipelines.inputs.options import InputOptions
from pipelines.inputs.readers import kinds
from pipelines.inputs.readers.base import MOST_ROW_BYTES, DataFile
from pipelines.inputs.readers.texts import blocks_of
from pipelines.inputs.rows import ROW, Line, UnreadableFile

_SPACE = re.compile(r"[ \t\r\n]*")
# The longest piece of JSON that is wrong at its beginning if its end is missing: "\ud83d\ude0".
_LONGEST_PIECE = 16
_NO_END = "the file ends before the array does"
_decode = JSONDecoder().raw_decode


class JsonValues:
    """An array of objects, or objects one after the other. See `FileFormat`."""

    has_lines = False

    def fault(self, head: bytes, options: InputOptions) -> str | None:
        """Return what the file is, if it does not begin like JSON."""
        if options.encoding is not None:
            return None
        return kinds.fault_of_rows(head) or kinds.fault_of_json(head)

    def rows(
        self, file: DataFile, options: InputOptions, columns: Sequence[str] | None
    ) -> Iterator[Line]:
        """Yield the values of the file."""
        with blocks_of(file.path, options.encoding) as next_block:
            for number, value in enumerate(_values(next_block), 1):
                yield Line(file.shown, file.name, number, value, unit=ROW)

    def count(self, path: str) -> None:
        """Return None: values are found by reading the whole file."""

    def schema(self, file: DataFile, options: InputOptions) -> None:
        """Return None: each object may have other columns."""

    def parts(self, file: DataFile) -> None:
        """Return None: only a reader from the beginning finds the values."""


def is_cut(text: str) -> bool:
    """Return whether `text` is the beginning of a JSON value without its end."""
    try:
        _decode(text, _SPACE.match(text).end())  # type: ignore[union-attr]
    except JSONDecodeError as error:
        return _is_cut_at(error, text)
    except RecursionError:
        pass
    return False


def _may_go_on(error: JSONDecodeError, text: str) -> bool:
    """Return whether the error may be that the text ends too early."""
    is_string = error.msg.startswith("Unterminated string")
    return is_string or error.pos > len(text) - _LONGEST_PIECE


def _is_cut_at(error: JSONDecodeError, text: str) -> bool:
    """Return whether the error in the whole `text` is that the end of a value is missing."""
    left = text[error.pos :].rstrip()
    is_word = any(word.startswith(left) for word in ("true", "false", "null"))
    is_escape = error.msg.startswith("Invalid \\") and len(left) < _LONGEST_PIECE
    return error.msg.startswith("Unterminated string") or is_word or is_escape


def _values(next_block: Callable[[], str]) -> Iterator[str]:
    """Yield the JSON text of each value; raises UnreadableFile."""
    buffer = _Buffer(next_block)
    is_array = buffer.skip("[")
    while True:
        if buffer.is_at_end():
            if is_array:
                raise UnreadableFile(_NO_END)
            return
        if is_array and buffer.skip("]"):
            break
        yield buffer.value()
        if is_array and not buffer.skip(","):
            if buffer.is_at_end():
                raise UnreadableFile(_NO_END)
            if not buffer.skip("]"):
                raise buffer.unexpected("a comma or the end of the array")
            break
    if not buffer.is_at_end():
        raise buffer.unexpected("nothing after the array")


class _Buffer:
    """The part of a text that has been read and not yet been used."""

    def __init__(self, next_block: Callable[[], str]) -> None:
        self._next_block = next_block
        self._read = ""
        self._at = 0  # where the next value begins
        self._line = 1  # the line in which `_read` begins
        self._ended = False

    def is_at_end(self) -> bool:
        """Skip white space, and return whether the text ends there."""
        while True:
            self._at = _SPACE.match(self._read, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._read):
                return False
            if not self._more():
                return True

    def skip(self, character: str) -> bool:
        """Skip the character, and return True, if it is the next one."""
        found = not self.is_at_end() and self._read[self._at] == character
        self._at += found
        return found

    def value(self) -> str:
        """Return the next value, and go on behind it; raises UnreadableFile."""
        while True:
            try:
                _, end = _decode(self._read, self._at)
            except RecursionError:
                raise UnreadableFile(f"{self._place(self._at)} has too many levels") from None
            except JSONDecodeError as error:
                if self._ended and _is_cut_at(error, self._read):
                    raise UnreadableFile("the file ends in the middle of the row") from None
                if self._ended or not _may_go_on(error, self._read):
                    place = self._place(error.pos)
                    raise UnreadableFile(f"not JSON ({error.msg}: {place})") from None
                self._more()
                continue
            # A number may go on behind the text read so far.
            if end == len(self._read) and self._read[end - 1] not in '}]"' and self._more():
                continue
            value, self._at = self._read[self._at : end], end
            return value

    def unexpected(self, expected: str) -> UnreadableFile:
        """Return the error of what follows."""
        found = "the end of the file" if self.is_at_end() else repr(self._read[self._at])
        return UnreadableFile(
            f"not JSON (expected {expected}, got {found}: {self._place(self._at)})"
        )

    def _place(self, at: int) -> str:
        line = self._line + self._read.count("\n", 0, at)
        return f"line {line:,} column {at - self._read.rfind(chr(10), 0, at):,}"

    def _more(self) -> bool:
        """Read on, and drop what has been used; return False at the end of the text."""
        left = len(self._read) - self._at
        if left > MOST_ROW_BYTES:
            raise UnreadableFile(f"a row must have at most {MOST_ROW_BYTES:,} bytes")
        text = self._blocks(max(1, left))
        self._line += self._read.count("\n", 0, self._at)
        self._read, self._at = self._read[self._at :] + text, 0
        return bool(text)

    def _blocks(self, size: int) -> str:
        """Return `size` characters at least, less at the end or before a damage."""
        blocks: list[str] = []
        while not self._ended and sum(map(len, blocks)) < size:
            try:
                blocks.append(self._next_block())
            except Exception:
                if not blocks:
                    raise
                break  # the next call raises it again
            self._ended = not blocks[-1]
        return "".join(blocks)
