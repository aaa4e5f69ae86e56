"""The elements in the chunks of a streamed completion: in its text, and in its tool calls. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ritellm.structured.elements import Element
from ritellm.structured.errors import JsonError
from ritellm.structured.finder import ElementFinder
from ritellm.structured.paths import JsonPath, parse_path
from ritellm.structured.scanner import MAX_CHARS

_MOST_CALLS = 1024


class ChunkElements:
    """Returns the elements that each chunk completes, in the first choice of one attempt.

    `index` counts over the text and all tool calls. The fields tell how it has ended so far:
    `finish_reason`, `count` (elements), `truncated` (the answer ended inside the JSON, or by
    `length` before it), `rest` (the text after the JSON).
    """

    def __init__(
        self, path: JsonPath | str, *, attempt: int = 1, max_chars: int = MAX_CHARS
    ) -> None:
        self._path = parse_path(path) if isinstance(path, str) else path
        self._max_chars, self.attempt = max_chars, attempt
        self._text = ElementFinder(self._path, max_chars=max_chars)
        self._calls: dict[int, ElementFinder] = {}
        self._found: list[Element] = []
        self.count = 0
        self.finish_reason: str | None = None
        self.truncated = False

    @property
    def rest(self) -> str:
        """The text after the JSON."""
        return self._text.rest

    def elements(self, chunk: Mapping[str, Any]) -> list[Element]:
        """Return the elements that `chunk` completes; raises JsonError.

        After an error, `taken()` has the elements of the chunk that ended before the fault.
        """
        for choice in chunk.get("choices") or ():
            if not choice.get("index"):
                self.finish_reason = choice.get("finish_reason") or self.finish_reason
                delta = choice.get("delta") or {}
                if isinstance(text := delta.get("content"), str) and text:
                    self._read(self._text, text, None)
                for call in delta.get("tool_calls") or ():
                    self._read_call(call)
        return self.taken()

    def close(self) -> None:
        """Note the end of the answer, and set `truncated`; raises JsonError if it has no JSON."""
        finders = [*self._calls.values(), self._text]
        self.truncated = any(finder.is_open for finder in finders)
        if not self.truncated and not any(finder.is_found for finder in finders):
            self.truncated = self.finish_reason == "length"
            if not self.truncated:
                self._text.close()

    def taken(self) -> list[Element]:
        """Return the elements that have not been returned yet."""
        found, self._found = self._found, []
        return found

    def _read_call(self, call: Mapping[str, Any]) -> None:
        number = call.get("index") or 0
        text = (call.get("function") or {}).get("arguments")
        if not isinstance(text, str) or not text:
            return
        finder = self._calls.get(number)
        if finder is None:
            if len(self._calls) == _MOST_CALLS:
                raise JsonError(f"expected at most {_MOST_CALLS:,} tool calls", 0)
            finder = self._calls[number] = ElementFinder(self._path, max_chars=self._max_chars)
        self._read(finder, text, number)

    def _read(self, finder: ElementFinder, text: str, call: int | None) -> None:
        try:
            found = finder.elements(text)
        except JsonError:
            self._note(finder.taken(), call)
            raise
        if found:
            self._note(found, call)

    def _note(self, found: list[Element], call: int | None) -> None:
        for element in found:
            element.index, element.attempt, element.tool_call = self.count, self.attempt, call
            self.count += 1
        self._found += found
