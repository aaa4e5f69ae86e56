"""Changes sound bytes until a target fails, and makes the input smaller that it has found."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from random import Random

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from fuzz.target import Target

_ROUND = 200  # examples of one run of Hypothesis
_REDUCING = 10.0  # the most seconds to make an input smaller
_MOST_CHANGES = 6
# A value of JSON, or a number in a header; of objects and lists the innermost.
_VALUE = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?|true|false|null|\{[^{}]*\}|\[[^\[\]]*\]')
_FIELD = re.compile(rb'"(?:[^"\\]|\\.)*": *(?:' + _VALUE.pattern + rb"),? *")
_ODD = (
    *(b"null", b"true", b"-1", b"0.5", b"1e308", b"9" * 25, b'""', b'"odd"', b'["odd"]'),
    *(b'{"odd": 1}', b"[]", b"{}", b"[" * 300 + b"]" * 300, b'"\\ud800"', b'"\\u001b]0;x"'),
)


class _TimeIsOver(BaseException):
    """Ends a search; Hypothesis takes no such exception for a failure."""


@dataclass(frozen=True)
class Found:
    """An input that breaks an invariant, and the error that says which."""

    data: bytes
    error: Exception


def find(
    target: Target,
    *,
    seconds: float = math.inf,
    rounds: int | None = None,
    examples: int = _ROUND,
    first: int = 0,
) -> Found | None:
    """Return an input that breaks an invariant, or None after `seconds` or `rounds`.

    Each round has `examples` inputs, which only depend on the number of the round; that of the
    first one is `first`.
    """
    until = time.monotonic() + seconds
    for number in count(first) if rounds is None else range(first, first + rounds):
        found = _search(target, number, until, examples)
        if found is not None:
            return reduced(target, found)
        if time.monotonic() >= until:
            break
    return None


def _search(target: Target, number: int, until: float, examples: int) -> Found | None:
    sound = [*target.seeds, *target.corpus().values()]
    found: list[Found] = []

    @seed(number)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(st.integers(0, 1 << 64))
    def check(dice: int) -> None:
        if time.monotonic() > until:
            raise _TimeIsOver
        if (failure := _failure(target, changed(sound, Random(dice), target))) is not None:
            found.append(failure)
            raise failure.error

    try:
        check()
    except _TimeIsOver:
        pass
    except Exception:
        if not found:
            raise
    return found[0] if found else None


def _failure(target: Target, data: bytes) -> Found | None:
    try:
        target.check(data)
    except Exception as error:
        return Found(data, error)
    return None


def reduced(target: Target, found: Found) -> Found:
    """Return a smaller input with an error of the same class: parts are left out while it fails."""
    until = time.monotonic() + _REDUCING
    size = max(1, len(found.data) // 2)
    while time.monotonic() < until:
        smaller = next(_smaller(target, found, size, until), None)
        if smaller is not None:
            found = smaller
        elif size == 1:
            break
        else:
            size //= 2
    return found


def _smaller(target: Target, found: Found, size: int, until: float) -> Iterator[Found]:
    for start in range(0, len(found.data), size):
        failure = _failure(target, found.data[:start] + found.data[start + size :])
        if failure is not None and type(failure.error) is type(found.error):
            yield failure
        if time.monotonic() > until:
            return


def changed(sound: list[bytes], dice: Random, target: Target) -> bytes:
    """Return one of the `sound` inputs, with some changes."""
    data = dice.choice(sound)
    for _ in range(dice.randint(0, _MOST_CHANGES)):
        data = dice.choice(_CHANGES)(dice, data, target)
    return data


def _value(dice: Random, data: bytes, target: Target) -> bytes:
    """Put an odd value in the place of another one."""
    places = [match.span() for match in _VALUE.finditer(data, dice.randint(0, len(data)))]
    if not places:
        return data
    start, end = dice.choice(places)
    return data[:start] + dice.choice(_ODD) + data[end:]


def _word(dice: Random, data: bytes, target: Target) -> bytes:
    """Insert a word, or put it in the place of some bytes."""
    at = dice.randint(0, len(data))
    return data[:at] + dice.choice(target.words) + data[at + dice.randint(0, 8) :]


def _field(dice: Random, data: bytes, target: Target) -> bytes:
    """Leave out a field of an object."""
    places = [match.span() for match in _FIELD.finditer(data)]
    if not places:
        return data
    start, end = dice.choice(places)
    return data[:start] + data[end:]


def _removal(dice: Random, data: bytes, target: Target) -> bytes:
    at = dice.randint(0, len(data))
    return data[:at] + data[at + dice.choice((1, 8, 60, 400)) :]


def _repetition(dice: Random, data: bytes, target: Target) -> bytes:
    """Repeat a part of the data elsewhere."""
    start, at = dice.randint(0, len(data)), dice.randint(0, len(data))
    return data[:at] + data[start : start + dice.randint(1, 400)] + data[at:]


def _byte(dice: Random, data: bytes, target: Target) -> bytes:
    at = dice.randint(0, len(data))
    return data[:at] + bytes([dice.randrange(256)]) + data[at + 1 :]


def _end(dice: Random, data: bytes, target: Target) -> bytes:
    return data[: dice.randint(0, len(data))]


_CHANGES = (_value, _value, _word, _field, _removal, _repetition, _byte, _end)
