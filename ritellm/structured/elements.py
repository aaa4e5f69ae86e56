"""Finds the parts of one JSON value that a path names, while the value arrives. Pure.

What holds: a part comes out with the piece that has its last character, once, in the order of the
text. Only the part that is open and the names of the path are kept. Parts that have come out were
followed by no fault so far; a fault after them raises JsonError.
"""

from __future__ import annotations

import codecs
from typing import Any

from ritellm.structured.errors import JsonError
from ritellm.structured.paths import Every, JsonPath, Step, below, parse_path
from ritellm.structured.scanner import MAX_CHARS, Scanner
from ritellm.structured.values import loads

# The properties of one object of a path with `.*`: a name that comes twice is a fault.
_MOST_NAMES = 100_000


class Element:
    """One part of a JSON value: number `index` (from 0) of those that the path names.

    `path` is where it is, such as "$.items[3]", and `raw` its JSON as it came. `value` is parsed
    when it is read first; its integers are exact. `attempt` (from 1) is that of the chunks, and
    `tool_call` the number of the tool call that it is an argument of, None in text.
    """

    __slots__ = ("_value", "attempt", "index", "path", "raw", "tool_call")

    _value: Any

    def __init__(self, index: int, path: str, raw: str) -> None:
        self.index, self.path, self.raw = index, path, raw
        self.attempt = 1
        self.tool_call: int | None = None

    @property
    def value(self) -> Any:
        """The value of `raw`."""
        try:
            return self._value
        except AttributeError:
            self._value = loads(self.raw)
            return self._value

    def __repr__(self) -> str:
        return f"Element({self.index}, {self.path!r}, {self.raw!r})"


class ElementReader(Scanner):
    """Reads one JSON value; returns the elements that each piece of its text completes.

    `path` names them (`ritellm.structured.paths`). The value must be JSON without anything around
    it, and end with the text. An element or a name has at most `max_chars` characters. A name of
    the path that comes twice is an error, since the elements of the first one have come out.
    `root` is what the paths of the elements begin with.
    """

    __slots__ = (
        "_at_key",
        "_counts",
        "_decoder",
        "_found",
        "_kept",
        "_kept_chars",
        "_names",
        "_on_path",
        "_parts",
        "_paths",
        "_piece",
        "_root",
        "_start",
        "_steps",
        "count",
        "is_found",
    )

    def __init__(
        self, path: JsonPath | str, *, max_chars: int = MAX_CHARS, root: str = "$"
    ) -> None:
        path = parse_path(path) if isinstance(path, str) else path
        self._steps, self._root = path.steps, root
        super().__init__(len(path.steps), max_chars)
        # The containers on the path that are open.
        self._on_path = 0
        self._counts: list[int] = []  # the items so far
        self._names: list[set[str]] = []  # the names so far that the path may take
        self._paths: list[str] = []
        self._parts: list[str | int] = []  # the current property or item
        # The text of an open element or name.
        self._piece = ""
        self._start = -1  # where it begins in this piece; -1 if nothing is kept
        self._kept: list[str] = []
        self._kept_chars = 0
        self._at_key = False
        self._decoder: codecs.IncrementalDecoder | None = None
        self._found: list[Element] = []
        self.count = 0  # elements so far
        self.is_found = False  # the path has led to an array, an object or an element

    def elements(self, data: str | bytes) -> list[Element]:
        """Return the elements that `data` completes; raises JsonError.

        Bytes are UTF-8 and may be cut anywhere. After an error, `taken()` has the elements of
        `data` that ended before the fault.
        """
        piece = data if isinstance(data, str) else self._decoded(data)
        at = self.read_piece(piece)
        if at < len(piece) and piece[at:].strip(" \t\n\r"):
            raise JsonError("expected nothing after the JSON", self.read - len(piece) + at)
        return self.taken()

    def close(self) -> None:
        """Note the end of the text; raises JsonTruncated if the value has not ended.

        `taken()` then returns an element that only the end of the text completes: a number.
        """
        if self._decoder is not None:
            self._decoded(b"", final=True)
        super().close()

    def taken(self) -> list[Element]:
        """Return the elements that have not been returned yet."""
        found, self._found = self._found, []
        return found

    def read_piece(self, piece: str, at: int = 0) -> int:
        """Read `piece` from `at` on; return where the value ends. `taken()` has the elements."""
        self._piece = piece
        if self._start >= 0:
            self._start = at
        at = self.feed(piece, at)
        if self._start >= 0:
            self._keep(len(piece))
        return at

    def _decoded(self, data: bytes, *, final: bool = False) -> str:
        if self._decoder is None:
            self._decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            return self._decoder.decode(data, final)
        except UnicodeDecodeError as error:
            raise JsonError(f"expected UTF-8, got {error.reason}", self.read) from None

    # What the scanner reports.

    def _value_begins(self, at: int, first: str) -> None:
        depth = len(self._open)
        if depth != self._on_path or (depth and not self._selects(depth - 1)):
            return
        if depth == len(self._steps):
            self.is_found = True
            self._start = at
        elif self._leads_on(first, self._steps[depth]):
            self._enter(depth)

    def _value_ended(self, at: int) -> None:
        depth = len(self._open)
        if depth == len(self._steps):
            if self._start >= 0:
                self._emit(at)
        elif depth < self._on_path:
            self._leave()

    def _key_begins(self, at: int) -> None:
        if len(self._open) == self._on_path and self._start < 0:
            self._start, self._at_key = at, True

    def _key_ended(self, at: int) -> None:
        if self._at_key:
            self._at_key = False
            name = _unquoted(self._text(at))
            depth = self._on_path - 1
            self._parts[depth] = name
            step = self._steps[depth]
            if step is Every.PROPERTY or step == name:
                self._note_name(depth, name, at)

    # The path.

    def _selects(self, depth: int) -> bool:
        """Return whether the path takes the value that begins in the container at `depth`."""
        step = self._steps[depth]
        if self._open[depth] == "[":
            self._parts[depth] = number = self._counts[depth]
            self._counts[depth] += 1
            return step is Every.ELEMENT or step == number
        return step is Every.PROPERTY or step == self._parts[depth]

    @staticmethod
    def _leads_on(first: str, step: Step) -> bool:
        """Return whether a value with this first character may have a part that `step` takes."""
        if isinstance(step, int) or step is Every.ELEMENT:
            return first == "["
        return first == "{"

    def _enter(self, depth: int) -> None:
        above = below(self._paths[-1], self._parts[depth - 1]) if depth else self._root
        self._paths.append(above)
        self._counts.append(0)
        self._names.append(set())
        self._parts.append("")
        self._on_path = depth + 1
        if self._on_path == len(self._steps) and isinstance(self._steps[depth], Every):
            self.is_found = True

    def _leave(self) -> None:
        for each in (self._paths, self._counts, self._names, self._parts):
            each.pop()
        self._on_path -= 1

    def _note_name(self, depth: int, name: str, at: int) -> None:
        names = self._names[depth]
        if name in names:
            path = below(self._paths[depth], name)
            raise JsonError(f"expected {path} once, got it twice", self.read + at)
        if len(names) == _MOST_NAMES:
            raise JsonError(f"expected at most {_MOST_NAMES:,} properties", self.read + at)
        names.add(name)

    # The kept text.

    def _keep(self, at: int) -> None:
        """Keep the open text up to `at`."""
        self._kept.append(self._piece[self._start : at])
        self._kept_chars += at - self._start
        if self._kept_chars > self._longest:
            what = "a name" if self._at_key else "an element"
            raise JsonError(f"expected {what} of at most {self._longest:,} characters", self.read)

    def _text(self, at: int) -> str:
        """Return the kept text, which ends at `at`, and keep nothing more."""
        self._keep(at)
        text = "".join(self._kept) if len(self._kept) > 1 else self._kept[0]
        self._start, self._kept_chars = -1, 0
        self._kept.clear()
        return text

    def _emit(self, at: int) -> None:
        text = self._text(at)
        path = below(self._paths[-1], self._parts[-1]) if self._paths else self._root
        self._found.append(Element(self.count, path, text))
        self.count += 1


def _unquoted(raw: str) -> str:
    """Return the text of a JSON string with its quotes."""
    if "\\" not in raw:
        return raw[1:-1]
    text: str = loads(raw)
    return text
