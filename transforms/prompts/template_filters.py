"""The filters of a template. Each counts what it makes, and none reaches Python.

Jinja2's own filters are used where they are safe. Those that can make a large value of a small one
are written here, and count before they make it. The others are left out: `attr` and `format` reach
into values, `random` makes another request each time, `escape` and its like are for HTML.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jinja2 import pass_context
from jinja2.filters import FILTERS, make_attrgetter
from jinja2.runtime import Context, Undefined

from transforms.prompts.records import value_json
from transforms.prompts.template_meter import ITEM, METER, Meter, NullError

# Filters that may get null.
_NULLABLE = frozenset({"d", "default", "string", "tojson"})
_JINJAS_OWN = (
    "abs capitalize count d default dictsort first float groupby int items last length list lower"
    " map max min reject rejectattr reverse select selectattr sort trim truncate unique upper"
).split()
_WORD = re.compile(r"\w+")
_MOST_INDENT = 100


def text_of(value: Any) -> str:
    """Return `value` as it is written into a text; raises NullError, never writes "None"."""
    if value is None:
        raise NullError
    return str(value)


def joined(context: Context, values: Any, d: Any = "", attribute: Any = None) -> str:
    """Return the texts of `values`, with `d` between them."""
    meter, separator = _meter(context), text_of(d)
    pieces = []
    for value in _attributes(context, values, attribute):
        pieces.append(text_of(value))
        meter.charge(ITEM + len(pieces[-1]) + len(separator))
    return separator.join(pieces)


def concatenated(context: Context, first: Any, *others: Any) -> str:
    """Return the texts of all values, one after the other: the operator `~`."""
    return joined(context, (first, *others))


def sliced(context: Context, value: Any, start: Any, stop: Any, step: Any) -> Any:
    """Return a part of a text or of a list: `text[:100]`."""
    if isinstance(value, Undefined):
        str(value)  # raises the error that names it
    if not isinstance(value, (str, list, tuple)):
        raise TypeError(f"only a text or a list has parts, got {type(value).__name__}")
    return value[slice(start, stop, step)]


def rounds(context: Context, items: Any) -> Iterable[Any]:
    """Return the items of a loop, counted."""
    return _meter(context).rounds(items)


def _replace(context: Context, s: Any, old: Any, new: Any, count: int | None = None) -> str:
    text, old, new = text_of(s), text_of(old), text_of(new)
    times = text.count(old) if count is None else min(text.count(old), count)
    _meter(context).charge(len(text) + times * len(new))
    return text.replace(old, new, -1 if count is None else count)


def _split(context: Context, s: Any, sep: str | None = None, maxsplit: int = -1) -> list[str]:
    text = text_of(s)
    pieces = len(text) // 2 if sep is None else text.count(sep)
    _meter(context).charge(ITEM * (pieces if maxsplit < 0 else min(pieces, maxsplit)))
    return text.split(sep, maxsplit)


def _sum(context: Context, values: Any, attribute: Any = None, start: float = 0) -> Any:
    total = _number(start)
    for value in _attributes(context, values, attribute):
        total += _number(value)
    return total


def _round(context: Context, value: Any, precision: int = 0) -> Any:
    if abs(precision) > 20:
        raise ValueError(f"round takes up to 20 places, got {precision}")
    return round(_number(value), precision)


def _indent(
    context: Context, s: Any, width: int | str = 4, first: bool = False, blank: bool = False
) -> str:
    lines = text_of(s)
    if isinstance(width, int):
        if width > _MOST_INDENT:
            raise ValueError(f"indent takes a width of at most {_MOST_INDENT}, got {width}")
        width = " " * width
    _meter(context).charge(len(lines) + (lines.count("\n") + 1) * len(width))
    indented = [
        width + line if (blank or line) and (first or number) else line
        for number, line in enumerate(lines.split("\n"))
    ]
    return "\n".join(indented)


def _tojson(context: Context, value: Any, indent: int | None = None) -> str:
    """As JSON, and not as Jinja2's, which writes `<` as `\\u003c` for HTML."""
    text = value_json(value)
    if indent is None:
        return text
    if not 0 <= indent <= 8:
        raise ValueError(f"tojson takes an indent of 0 to 8, got {indent}")
    # A nested list of a few bytes may have an indent for each level.
    _meter(context).charge(len(text) * (1 + indent))
    return json.dumps(json.loads(text), ensure_ascii=False, indent=indent)


def _wordcount(context: Context, s: Any) -> int:
    return sum(1 for _ in _WORD.finditer(text_of(s)))


def _string(context: Context, value: Any) -> str:
    return text_of(value)


def _number(value: Any) -> Any:
    if isinstance(value, (bool, int, float)):
        return value
    raise TypeError(f"a number is needed, got {type(value).__name__}")


def _attributes(context: Context, values: Any, attribute: Any) -> Iterable[Any]:
    if values is None:
        raise NullError
    rounds = _meter(context).rounds(values)
    if attribute is None:
        return rounds
    return map(make_attrgetter(context.environment, attribute), rounds)


def _meter(context: Context) -> Meter:
    meter: Meter = context.parent[METER]
    return meter


_OWN: Mapping[str, Callable[..., Any]] = {
    "indent": _indent,
    "join": joined,
    "replace": _replace,
    "round": _round,
    "split": _split,
    "string": _string,
    "sum": _sum,
    "tojson": _tojson,
    "wordcount": _wordcount,
}
# What the operators of a template become; no template can name them.
CONCATENATED, SLICED, ROUNDS = " concatenated", " sliced", " rounds"
_OPERATORS: Mapping[str, Callable[..., Any]] = {
    CONCATENATED: concatenated,
    SLICED: sliced,
    ROUNDS: rounds,
}


def filters() -> dict[str, Any]:
    """Return the filters by name."""
    own = {**_OWN, **_OPERATORS}
    made = {name: _counted(name, function, "context") for name, function in own.items()}
    for name in _JINJAS_OWN:
        function: Any = FILTERS[name]
        passed = getattr(function, "jinja_pass_arg", None)
        made[name] = _counted(name, function, passed.name if passed else "")
    return made


def _counted(name: str, function: Callable[..., Any], passed: str) -> Callable[..., Any]:
    """Return the filter `function`, which counts what it gets and what it makes."""
    takes_null = name in _NULLABLE

    def run(context: Context, value: Any, *args: Any, **kwargs: Any) -> Any:
        if value is None and not takes_null:
            raise NullError
        meter = _meter(context)
        if isinstance(value, str):
            meter.charge(len(value) * (ITEM if name == "list" else 1))
        first = _FIRST[passed](context)
        return meter.charged(function(*first, value, *args, **kwargs))

    return pass_context(run)


_FIRST: Mapping[str, Callable[[Context], tuple[Any, ...]]] = {
    "": lambda context: (),
    "context": lambda context: (context,),
    "environment": lambda context: (context.environment,),
    "eval_context": lambda context: (context.eval_ctx,),
}
