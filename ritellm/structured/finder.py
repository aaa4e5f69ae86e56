r"""Finds JSON in the text of a model: after prose, in a code fence, or as JSON lines. Pure.

The problem: a model that is asked for JSON may greet first, wrap it in a fence, or write one value
on each line. A brace in prose may look like the beginning. Reading again from another place would
cost time that grows with the square of the text.

The idea: each "{" or "[" that the path may begin with starts a reader. If the reader fails before
it has seen a name with its colon, the bracket was prose, and the search goes on after the fault.

What holds:
- Each character is read once.
- Of several JSON values the first one counts that the path leads into. Text after it is `rest`.
- A fault in JSON raises; it is never skipped to reach the next bracket.

    _search --"{", "["--> _inside --end--> _search (JSON lines), or _after
        |--"```"--> _fence --json--> _search
        |               '--another language--> _skip --"```"--> _search
        '--"<think>" at the beginning--> _skip --"</think>"--> _search
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ritellm.structured.elements import Element, ElementReader
from ritellm.structured.errors import JsonError, JsonTruncated
from ritellm.structured.paths import Every, JsonPath, parse_path
from ritellm.structured.scanner import MAX_CHARS

_MARK = re.compile(r"[{\[`<\n]")
_END_OF_FENCE = re.compile(r"[\n{\[]")
_THINKING = "<think>"
_LANGUAGES = frozenset({"", "json", "jsonl", "ndjson", "jsonlines", "json5", "jsonc", "text"})
_LONGEST_LANGUAGE = 100
# What is kept of the text after the JSON.
_LONGEST_REST = 1 << 16


class ElementFinder:
    """Returns the elements that each piece of a text completes, wherever the JSON in it begins.

    `path` names them. A list that is written as JSON lines counts as a list: `$[*]` takes each
    line. The limits and errors are those of `ElementReader`.
    """

    def __init__(self, path: JsonPath | str, *, max_chars: int = MAX_CHARS) -> None:
        self._path = parse_path(path) if isinstance(path, str) else path
        self._max_chars = max_chars
        self._step: Callable[[ElementFinder, str, int], int] = ElementFinder._search
        self._reader: ElementReader | None = None
        self._read = 0  # characters in the pieces before this one
        self._found: list[Element] = []
        # Where the search is.
        self._has_begun = False  # there was text
        self._is_fresh = True  # only spaces since the last line began
        self._ticks = 0
        self._word = ""  # the language of a fence, or the beginning of a tag
        self._awaited = ""  # what ends the skipped text, and how much of it has come
        self._matched = 0
        self._in_lines = False
        self._lines = 0
        self._rest: list[str] = []
        self._rest_chars = 0
        self.count = 0  # elements so far
        self.is_found = False  # the path has led into JSON

    @property
    def is_done(self) -> bool:
        """Whether the JSON has ended. JSON lines end with the text."""
        return self._step is ElementFinder._after

    @property
    def is_open(self) -> bool:
        """Whether the JSON has begun and not ended."""
        return self._reader is not None and self._is_convincing(self._reader)

    @property
    def rest(self) -> str:
        """The text after the JSON, 65,536 characters at most."""
        return "".join(self._rest)

    def elements(self, piece: str) -> list[Element]:
        """Return the elements that `piece` completes; raises JsonError.

        After an error, `taken()` has the elements of the piece that ended before the fault.
        """
        at = 0
        while at < len(piece):
            at = self._step(self, piece, at)
        self._read += len(piece)
        return self.taken()

    def close(self) -> None:
        """Note the end of the text; raises JsonTruncated if the JSON has not ended or not begun."""
        if self.is_open:
            raise JsonTruncated("the text ends inside the JSON", self._read)
        if not self.is_found:
            raise JsonTruncated(f"the text has no JSON with {self._path.text}", self._read)

    def taken(self) -> list[Element]:
        """Return the elements that have not been returned yet."""
        found, self._found = self._found, []
        return found

    def _search(self, piece: str, at: int) -> int:
        found = _MARK.search(piece, at)
        end = found.start() if found else len(piece)
        if piece[at:end].strip():
            self._passes()
        self._keep_rest(piece, at, end)
        if found is None:
            return end
        char = piece[end]
        if char in "{[" and self._may_begin(char):
            self._begin(char)
            return end
        self._keep_rest(char, 0, 1)
        if char == "\n":
            self._is_fresh, self._ticks = True, 0
        elif char == "`":
            self._ticks += 1
            if self._ticks == len("```"):
                self._ticks, self._word, self._step = 0, "", ElementFinder._fence
        elif char == "<" and not self._has_begun:
            self._word, self._step = "", ElementFinder._tag
            return end
        else:
            self._passes()
        return end + 1

    def _passes(self) -> None:
        """Note text that is not JSON."""
        self._has_begun, self._is_fresh, self._ticks = True, False, 0

    def _may_begin(self, char: str) -> bool:
        """Return whether the JSON may begin with `char`, which is next."""
        first = self._path.steps[0] if self._path.steps else None
        if self._in_lines:
            return char == "{" and self._is_fresh
        if char == "[":  # prose has them for references: [1]
            return self._is_fresh and (first in (None, Every.ELEMENT) or isinstance(first, int))
        return not isinstance(first, int)

    def _begin(self, char: str) -> None:
        path, root = self._path, "$"
        self._has_begun, self._ticks = True, 0
        self._in_lines = char == "{" and path.steps[:1] == (Every.ELEMENT,)
        if self._in_lines:
            root = f"$[{self._lines}]"
            path = JsonPath(path.text, path.steps[1:])
        self._reader = ElementReader(path, max_chars=self._max_chars, root=root)
        self._reader.count, self._reader.read = self.count, self._read
        self._step = ElementFinder._inside

    def _inside(self, piece: str, at: int) -> int:
        reader = self._reader
        assert reader is not None
        try:
            end = reader.read_piece(piece, at)
        except JsonError as error:
            self._take(reader)
            if self._is_convincing(reader):
                raise
            self._reader, self._step, self._is_fresh = None, ElementFinder._search, False
            self._in_lines = False
            return error.position - self._read
        self._take(reader)
        if reader.is_done:
            self._ended(reader)
        return end

    def _take(self, reader: ElementReader) -> None:
        self._found += reader.taken()
        self.count = reader.count

    def _is_convincing(self, reader: ElementReader) -> bool:
        """Return whether `reader` reads JSON, and not a bracket of prose."""
        return reader.has_name or self.count > 0

    def _ended(self, reader: ElementReader) -> None:
        """Note the end of a JSON value."""
        self._reader, self._is_fresh = None, False
        self._rest.clear()
        self._rest_chars = 0
        self._step = ElementFinder._search
        if reader.is_found:
            self.is_found = True
            self._lines += 1
            if not self._in_lines:
                self._step = ElementFinder._after
        elif not self.is_found:
            self._in_lines = False

    def _after(self, piece: str, at: int) -> int:
        self._keep_rest(piece, at, len(piece))
        return len(piece)

    def _keep_rest(self, piece: str, start: int, end: int) -> None:
        room = _LONGEST_REST - self._rest_chars
        if self.is_found and start < end and room > 0:
            kept = piece[start : min(end, start + room)]
            self._rest.append(kept)
            self._rest_chars += len(kept)

    def _fence(self, piece: str, at: int) -> int:
        """Read the language of a code fence."""
        found = _END_OF_FENCE.search(piece, at)
        end = found.start() if found else len(piece)
        self._word = (self._word + piece[at:end])[:_LONGEST_LANGUAGE]
        self._keep_rest(piece, at, end)
        if found is None:
            return end
        if self._word.strip().lower() in _LANGUAGES:
            self._is_fresh, self._step = True, ElementFinder._search
            return end
        self._skip_to("\n```")
        return end

    def _tag(self, piece: str, at: int) -> int:
        """Read what may be the tag of a thought, at the beginning of the text."""
        for char in piece[at:]:
            if not _THINKING.startswith(self._word + char):
                self._passes()
                self._step = ElementFinder._search
                return at
            self._word += char
            at += 1
            if self._word == _THINKING:
                self._skip_to("</think>")
                return at
        return at

    def _skip_to(self, text: str) -> None:
        """Skip what comes, up to `text`, whose first character comes in it only once."""
        self._awaited, self._matched, self._step = text, 0, ElementFinder._skip

    def _skip(self, piece: str, at: int) -> int:
        awaited = self._awaited
        while at < len(piece):
            if not self._matched:
                at = piece.find(awaited[0], at)
                if at < 0:
                    return len(piece)
            if piece[at] != awaited[self._matched]:
                self._matched = 0
                continue
            self._matched += 1
            at += 1
            if self._matched == len(awaited):
                self._is_fresh, self._step = False, ElementFinder._search
                return at
        return at
