r"""Checks JSON that arrives in pieces, and says where its values begin and end. Pure.

The problem: an answer arrives a few characters at a time. Parsing all of it again for each piece
costs time that grows with its square, and a parser that repairs half a document invents values.

The idea: a state machine over the grammar of RFC 8259. Its state is the stack of open objects and
arrays, and what may come next. A regular expression skips what needs no decision, such as the text
of a string. No text is kept but that of an unfinished number or escape.

What holds:
- It accepts what `orjson.loads` accepts: no comments, no trailing commas, no NaN, no BOM, no lone
  surrogate, no number beyond the largest float, and 1,024 open objects and arrays at most.
- It raises at the first character that no JSON can have there.
- Each character is read once. How the text is cut changes nothing.

    _value -> _string | _number | _literal | { _first_key | [ _first_item -> _after -> ... -> _end
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ritellm.structured import number
from ritellm.structured.errors import JsonError, JsonTruncated, unexpected

_SPACE = re.compile(r"[ \t\n\r]*")
_END_OF_TEXT = re.compile(r'["\\\x00-\x1f]')
_SURROGATE = re.compile("[\ud800-\udfff]")
_LITERALS = {"t": "rue", "f": "alse", "n": "ull"}

_HEX = "[0-9a-fA-F]"
# One escape; two that make one character count as one.
_ESCAPE = re.compile(
    rf'\\(?:["\\/bfnrt]|u(?:[0-9a-cefA-CEF]{_HEX}{{3}}|[dD][0-7]{_HEX}{{2}}'
    rf"|[dD][89abAB]{_HEX}{{2}}\\u[dD][c-fC-F]{_HEX}{{2}}))"
)
_LONGEST_ESCAPE = len(r"\ud83d\ude00")
# The beginning of one: the longest that fits.
_ESCAPE_SO_FAR = re.compile(
    rf"\\(?:u(?:[0-9a-cefA-CEF]{_HEX}{{0,3}}"
    rf"|[dD](?:[0-7]{_HEX}{{0,2}}"
    rf"|[89abAB](?:{_HEX}{{2}}\\(?:u(?:[dD](?:[c-fC-F]{_HEX}{{0,2}})?)?)?|{_HEX}{{0,2}}))?)?)?"
)

# The open objects and arrays that orjson accepts.
MAX_DEPTH = 1024
# The longest value or name that is kept whole.
MAX_CHARS = 1 << 24


class Scanner:
    """Reads one JSON value; `feed` takes its text in pieces and raises JsonError at a fault.

    A subclass learns where values and keys begin and end, as offsets in the piece that is read, if
    at most `heard` objects and arrays are around them. A number has at most `longest` characters.
    """

    __slots__ = (
        "_digits",
        "_digits_read",
        "_escape",
        "_heard",
        "_in_key",
        "_left",
        "_longest",
        "_number",
        "_open",
        "_step",
        "has_name",
        "read",
    )

    def __init__(self, heard: int = -1, longest: int = MAX_CHARS) -> None:
        self._heard, self._longest = heard, longest
        self._step: Callable[[Scanner, str, int], int] = Scanner._value
        self._open: list[str] = []
        self._in_key = False  # the string is a key
        self._escape = ""  # the part of an escape that has arrived
        self._left = ""  # what a literal lacks
        self._number = ""  # the state of a number
        self._digits: list[str] = []
        self._digits_read = 0
        self.read = 0  # characters in the pieces before this one
        self.has_name = False  # a name and its colon have come

    @property
    def depth(self) -> int:
        """The number of open objects and arrays."""
        return len(self._open)

    @property
    def is_done(self) -> bool:
        """Whether the value has ended; a number at the top ends only with the text."""
        return self._step is Scanner._end

    def feed(self, piece: str, at: int = 0) -> int:
        """Read `piece` from `at` to its end, or to the end of the value; return where that is.

        Raises JsonError. A scanner that has raised is of no use.
        """
        if not piece.isascii() and (lone := _SURROGATE.search(piece, at)):
            raise JsonError("expected no lone surrogate", self.read + lone.start())
        end = len(piece)
        while at < end and self._step is not Scanner._end:
            at = self._step(self, piece, at)
        self.read += end
        return at

    def close(self) -> None:
        """Note the end of the text; raises JsonTruncated if the value has not ended."""
        if self._number in number.ENDS and self._step is Scanner._in_number and not self._open:
            self._number_ends(0, "")
        if not self.is_done:
            raise JsonTruncated("the text ends inside the JSON", self.read)

    def _value_begins(self, at: int, first: str) -> None:
        """Note a value whose first character is `first`; `depth` counts what is around it."""

    def _value_ended(self, at: int) -> None:
        """Note that the value has ended before `at`; `depth` is as at its beginning."""

    def _key_begins(self, at: int) -> None:
        """Note the quote before a name."""

    def _key_ended(self, at: int) -> None:
        """Note that the name, with its quotes, has ended before `at`."""

    def _value(self, piece: str, at: int) -> int:
        char = piece[at]
        if char in " \t\n\r":
            return _space(piece, at)
        if len(self._open) <= self._heard and char in '"{[-0123456789tfn':
            self._value_begins(at, char)
        if char == '"':
            self._step = Scanner._string
        elif char == "{" or char == "[":
            if len(self._open) == MAX_DEPTH:
                raise JsonError(f"expected at most {MAX_DEPTH} open levels", self.read + at)
            self._open.append(char)
            self._step = Scanner._first_key if char == "{" else Scanner._first_item
        elif char in "-0123456789":
            self._number, self._step = "", Scanner._in_number
            return at
        elif left := _LITERALS.get(char):
            self._left, self._step = left, Scanner._literal
        else:
            raise unexpected(char, "a value", self.read + at)
        return at + 1

    def _first_item(self, piece: str, at: int) -> int:
        if piece[at] == "]":
            return self._closes(at + 1)
        if piece[at] not in " \t\n\r":
            self._step = Scanner._value
            return at
        return _space(piece, at)

    def _first_key(self, piece: str, at: int) -> int:
        return self._closes(at + 1) if piece[at] == "}" else self._key(piece, at, 'a name or "}"')

    def _key(self, piece: str, at: int, expected: str = "a name") -> int:
        char = piece[at]
        if char == '"':
            self._in_key, self._step = True, Scanner._string
            if len(self._open) <= self._heard:
                self._key_begins(at)
            return at + 1
        if char in " \t\n\r":
            return _space(piece, at)
        raise unexpected(char, expected, self.read + at)

    def _colon(self, piece: str, at: int) -> int:
        char = piece[at]
        if char == ":":
            self.has_name, self._step = True, Scanner._value
            return at + 1
        if char in " \t\n\r":
            return _space(piece, at)
        raise unexpected(char, '":"', self.read + at)

    def _after(self, piece: str, at: int) -> int:
        """Read what follows a value inside an object or an array."""
        char = piece[at]
        is_object = self._open[-1] == "{"
        if char == ",":
            self._step = Scanner._key if is_object else Scanner._value
            return at + 1
        if char == ("}" if is_object else "]"):
            return self._closes(at + 1)
        if char in " \t\n\r":
            return _space(piece, at)
        raise unexpected(char, '"," or "}"' if is_object else '"," or "]"', self.read + at)

    def _end(self, piece: str, at: int) -> int:
        raise AssertionError("feed() stops at the end of the value")

    def _closes(self, at: int) -> int:
        self._open.pop()
        return self._value_ends(at)

    def _value_ends(self, at: int) -> int:
        depth = len(self._open)
        self._step = Scanner._after if depth else Scanner._end
        if depth <= self._heard:
            self._value_ended(at)
        return at

    def _string(self, piece: str, at: int) -> int:
        found = _END_OF_TEXT.search(piece, at)
        if found is None:
            return len(piece)
        at = found.start()
        char = piece[at]
        if char == "\\":
            self._step = Scanner._in_escape
            return at
        if char != '"':
            raise unexpected(char, "no control character", self.read + at)
        if not self._in_key:
            return self._value_ends(at + 1)
        self._in_key, self._step = False, Scanner._colon
        if len(self._open) <= self._heard:
            self._key_ended(at + 1)
        return at + 1

    def _in_escape(self, piece: str, at: int) -> int:
        known = len(self._escape)
        text = self._escape + piece[at : at + _LONGEST_ESCAPE - known]
        if whole := _ESCAPE.match(text):
            self._escape, self._step = "", Scanner._string
            return at + whole.end() - known
        begun = _ESCAPE_SO_FAR.match(text)
        fits = begun.end() if begun else 0
        if fits < len(text):
            raise unexpected(text[fits], "an escape", self.read + at + fits - known)
        self._escape = text
        return len(piece)

    def _literal(self, piece: str, at: int) -> int:
        left, end = self._left, len(piece)
        if piece.startswith(left, at):
            return self._value_ends(at + len(left))
        for expected in left:
            if at == end:
                break
            if piece[at] != expected:
                raise unexpected(piece[at], f'"{expected}"', self.read + at)
            left = left[1:]
            at += 1
        self._left = left
        return at

    def _in_number(self, piece: str, at: int) -> int:
        found = number.RUN.match(piece, at)
        run = found.group() if found else ""
        self._number, fits = number.follow(self._number, run)
        if fits < len(run):
            raise unexpected(run[fits], "the rest of a number", self.read + at + fits)
        self._digits.append(run)
        self._digits_read += len(run)
        if self._digits_read > self._longest:
            raise JsonError(f"expected at most {self._longest:,} digits", self.read + at)
        end = at + len(run)
        return end if end == len(piece) else self._number_ends(end, piece[end])

    def _number_ends(self, at: int, char: str) -> int:
        if self._number not in number.ENDS:
            raise unexpected(char, "a digit", self.read + at)
        text = "".join(self._digits)
        self._digits.clear()
        self._digits_read = 0
        if not number.is_finite(text):
            raise JsonError("expected a number below infinity", self.read + at)
        return self._value_ends(at)


def _space(piece: str, at: int) -> int:
    found = _SPACE.match(piece, at)
    return found.end() if found else at
