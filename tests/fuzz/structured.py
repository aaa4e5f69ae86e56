"""Targets for JSON that arrives in pieces, and for answers that are checked against a schema."""

from __future__ import annotations

import contextlib

import orjson

from fuzz.target import Target, same_for_every_cut
from ritellm import Answer
from ritellm.answers.checking import checker_of
from ritellm.answers.early import Watcher
from ritellm.answers.faults import Fault
from ritellm.answers.texts import read
from ritellm.structured.elements import ElementReader
from ritellm.structured.errors import JsonError
from ritellm.structured.finder import ElementFinder

ITEMS = b'{"items": [1, -0.5e3, "a\\"\\u00e9]}", {"b": [null, true]}, [[]]], "more": {"items": 7}}'
SAID = [
    ITEMS,
    b"Sure! Here it is:\n```json\n" + ITEMS + b"\n```\nMore?",
    b'<think>maybe {"items": [9]}?</think>\n' + ITEMS,
    b'{"a": 1}\n{"a": 2}\n\n{"a": [3]}\n',
]
ANSWERS = [
    b'{"label": "good", "score": 0.5, "tags": ["a", "b"], "who": {"age": 7}}',
    b'```json\n{"label": "bad", "score": 1, "tags": [], "who": null}\n```',
    b'The answer is {"label": "good", "score": 0}. Anything else?',
]
SCHEMA = {
    "type": "object",
    "properties": {
        "label": {"enum": ["good", "bad"]},
        "score": {"type": "number", "minimum": 0, "maximum": 1},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 3}},
        "who": {
            "type": ["object", "null"],
            "properties": {"age": {"type": "integer"}},
            "additionalProperties": False,
        },
    },
    "required": ["label"],
    "additionalProperties": False,
}
# orjson has fewer levels than the reader.
_LEVELS = 200


def targets() -> list[Target]:
    """Return the targets of this module."""
    return [
        Target("records", SAID, read_records),
        Target("json", [ITEMS, b'[1.5e300, "\\ud83d\\ude00", {"": []}]'], read_json),
        Target("checked_answers", ANSWERS, read_answers),
    ]


def read_records(data: bytes) -> None:
    """Find the elements of two paths in `data`: the same for every cut."""

    def found(path: str, pieces: list[bytes]) -> object:
        finder, elements, fault = ElementFinder(path), [], ""
        try:
            for piece in pieces:
                elements += finder.elements(piece.decode("latin-1"))
            finder.close()
        except JsonError as error:
            fault = str(error)
        elements += finder.taken()
        for each in elements:
            with contextlib.suppress(JsonError):
                orjson.dumps(each.path)
        return [(each.index, each.path, each.raw) for each in elements], fault, finder.rest

    for path in ("$.items[*]", "$[*]"):
        same_for_every_cut(lambda pieces, path=path: found(path, pieces), data)


def read_json(data: bytes) -> None:
    """Read `data` as one JSON text: the reader accepts what orjson accepts, at every cut."""

    def accepted(pieces: list[bytes]) -> object:
        reader, elements = ElementReader("$"), []
        try:
            for piece in pieces:
                elements += reader.elements(piece)
            reader.close()
        except JsonError:
            return None
        return [each.raw for each in elements + reader.taken()]

    same_for_every_cut(accepted, data)
    if data.count(b"[") + data.count(b"{") > _LEVELS:
        return
    raw = accepted([data])
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        assert raw is None, f"orjson refuses what the reader accepts: {raw!r}"
        return
    assert raw is not None, "orjson accepts what the reader refuses"
    assert [orjson.loads(each) for each in raw] == [value]


def read_answers(data: bytes) -> None:
    """Read `data` as an answer: what is stopped early is invalid, whole and at every cut."""
    text, answer = data.decode(errors="replace"), Answer(SCHEMA)
    for prose in (False, True):
        whole = read(text, prose=prose)
        faults = (
            [whole] if isinstance(whole, Fault) else checker_of(answer.json).faults(whole.value)
        )
        for size in (1, 7, len(text) + 1):
            watcher = Watcher(answer.json, prose=prose)
            pieces = [text[at : at + size] for at in range(0, len(text), size)]
            stopped = next(filter(None, map(watcher.feed, pieces)), None)
            assert stopped is None or faults, f"{stopped} of a valid answer"
