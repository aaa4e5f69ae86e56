"""The part of Jinja2 that a template may use: columns, filters, `if`, `for` and `set`.

The problem: Jinja2 is a programming language. Its sandbox keeps a template from Python's internals,
and not from a loop of 10**9 rounds or a text of 10 GB. Its list of what is unsafe has had holes.

The idea: a list of what is safe. Before a template is compiled, its syntax tree may have only the
nodes below. None of them calls anything. A dot or an index reads the columns of a value, never an
attribute of Python. Loops and operators that can make a large value are replaced by filters, which
count (`template_meter`).

Invariants:
- no method or function of a value is ever called, and no attribute of one is read
- each value is counted before or when it is made; a loop counts its rounds
- the template runs on nothing but the row
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

import jinja2
from jinja2 import meta, nodes
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from transforms.prompts.records import ROW, as_mapping
from transforms.prompts.template_filters import CONCATENATED, ROUNDS, SLICED, filters
from transforms.prompts.template_meter import ITEM, METER, NullError

_TESTS = (
    "boolean defined divisibleby eq even false float ge gt in integer iterable le lower lt mapping"
    " ne none number odd sequence string true undefined upper"
).split()
_NODES = frozenset(
    "Add And Assign Compare Concat CondExpr Const Dict Div Filter FloorDiv For Getattr Getitem If"
    " Keyword List Mod Mul Name Neg Not Operand Or Output Pair Pos Slice Sub Template TemplateData"
    " Test Tuple With".split()
)
_LOOP = frozenset(
    "depth depth0 first index index0 last length nextitem previtem revindex revindex0".split()
)
_FOR_MISSING = frozenset({"d", "default", "defined", "undefined"})
_INSTEAD = {"get": "default", "keys": "list", "strip": "trim", "values": "dictsort"}
_MOST_BITS = 4096


class Compiled(NamedTuple):
    """A template: the columns that it names, whether it uses the whole row, and its code.

    `optional` are the columns that may be missing: the template says what to do without them.
    `render` yields the pieces of the text for the values of a row.
    """

    columns: frozenset[str]
    optional: frozenset[str]
    uses_row: bool
    render: Callable[[dict[str, Any]], Iterator[str]]


def compiled(text: str) -> Compiled:
    """Return the template in `text`; raises jinja2.TemplateSyntaxError and what Python raises."""
    language = _language()
    tree = _parsed(language, text)
    columns, uses_row = _names(tree)
    optional = frozenset(filter(None, map(_may_be_missing, _all(tree))))
    template = jinja2.Template.from_code(language, language.compile(_counted(tree)), {})

    def render(values: dict[str, Any]) -> Iterator[str]:
        return template.root_render_func(template.new_context(values, shared=True))

    return Compiled(columns, optional, uses_row, render)


class Language(ImmutableSandboxedEnvironment):
    """The environment of templates: no globals, few filters and tests."""

    intercepted_binops = frozenset({"+", "*", "%"})

    def __init__(self) -> None:
        super().__init__(
            undefined=jinja2.StrictUndefined, finalize=_written, keep_trailing_newline=True
        )
        self.globals.clear()
        self.filters = filters()
        self.tests = {name: self.tests[name] for name in _TESTS}

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return a column of `obj`, a record or a loop; undefined if it has none of this name."""
        if isinstance(obj, LoopContext) and attribute in _LOOP:
            return getattr(obj, attribute)
        return self._column(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return a column of a record, an item of a list, or a character of a text."""
        if isinstance(obj, (str, list, tuple)):
            whole = isinstance(argument, int) and not isinstance(argument, bool)
            if whole and -len(obj) <= argument < len(obj):
                return obj[argument]
            return self.undefined(obj=obj, name=argument)
        return self._column(obj, argument)

    def _column(self, obj: Any, name: Any) -> Any:
        columns: Any = as_mapping(obj)
        if columns is None or not isinstance(name, (str, int)) or name not in columns:
            return self.undefined(obj=obj, name=name)
        return columns[name]

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Return the result of an operator whose result may be large, and count it first."""
        if left is None or right is None:
            raise NullError
        context.parent[METER].charge(_SIZES[operator](left, right))
        return super().call_binop(context, operator, left, right)


@cache
def _language() -> Language:
    return Language()


def _of_sum(left: Any, right: Any) -> int:
    return _length(left) + _length(right)


def _of_product(left: Any, right: Any) -> int:
    if isinstance(left, int) and isinstance(right, int):
        if left.bit_length() + right.bit_length() > _MOST_BITS:
            raise ValueError("a number must have at most 1,200 digits")
        return 0
    size, times = (left, right) if _length(left) else (right, left)
    return _length(size) * times if isinstance(times, int) and times > 0 else 0


def _of_rest(left: Any, right: Any) -> int:
    if isinstance(left, (str, bytes)):
        raise TypeError("% needs two numbers; join texts with ~")
    return 0


_SIZES: Mapping[str, Callable[[Any, Any], int]] = {
    "+": _of_sum,
    "*": _of_product,
    "%": _of_rest,
}


def _length(value: Any) -> int:
    if isinstance(value, (list, tuple)):
        return ITEM * len(value)
    return len(value) if isinstance(value, (str, bytes)) else 0


def _written(value: Any) -> Any:
    """Refuse to write "None" or "Undefined", which a model would read as a word."""
    if value is None:
        raise NullError
    if isinstance(value, (list, tuple, Iterator)):
        _check_written(value)
    return value


def _check_written(value: Any) -> None:
    """Refuse parts of a list whose text would be one of Python's, such as a generator's address."""
    if isinstance(value, Iterator):
        raise TypeError("the items of a filter are not a text; add | join(', ') or | list")
    if isinstance(value, jinja2.Undefined):
        str(value)  # raises the error that names it
    if isinstance(value, (list, tuple)):
        for each in value:
            _check_written(each)


def _parsed(language: Language, text: str) -> nodes.Template:
    """Return the tree of a template, with counted loops; raises TemplateSyntaxError."""
    tree = language.parse(text)
    for node in _all(tree):
        if fault := _fault(node):
            raise jinja2.TemplateSyntaxError(fault, node.lineno or 1)
    return tree


def _all(node: nodes.Node) -> Iterator[nodes.Node]:
    yield node
    for child in node.iter_child_nodes():
        yield from _all(child)


def _fault(node: nodes.Node) -> str:
    """Return why a template may not have `node`, or ""."""
    name = type(node).__name__
    if isinstance(node, nodes.Call):
        return f"a template cannot call anything{_remedy(node)}"
    if isinstance(node, nodes.Pow):
        return "a template has no **"
    if name not in _NODES:
        return f"a template has no {name.lower()}; it may use columns, filters, if, for and set"
    named = getattr(node, "attr", None) or getattr(node, "name", None)
    if isinstance(named, str) and named.startswith("__"):
        return f"a template cannot reach {named}: it reads columns only"
    if isinstance(node, nodes.Name) and node.name == "self":
        return "a template cannot reach self; a column of this name is row['self']"
    if isinstance(node, nodes.For) and node.recursive:
        return "a template has no recursive loops"
    if isinstance(node, nodes.Assign) and not isinstance(node.target, (nodes.Name, nodes.Tuple)):
        return "a template sets names only"
    return ""


def _remedy(call: nodes.Call) -> str:
    if not isinstance(call.node, nodes.Getattr):
        return ", it reads columns only"
    method = _INSTEAD.get(call.node.attr, call.node.attr)
    return f"; in place of .{call.node.attr}() use a filter, such as | {method}"


def _counted(node: Any) -> Any:
    """Return the tree with filters in place of loops and operators that need to count."""
    for field, value in node.iter_fields():
        if isinstance(value, list):
            value[:] = [_counted(each) if isinstance(each, nodes.Node) else each for each in value]
        elif isinstance(value, nodes.Node):
            setattr(node, field, _counted(value))
    if isinstance(node, nodes.For):
        node.iter = _filter(ROUNDS, node.iter, [])
    elif isinstance(node, nodes.Concat):
        return _filter(CONCATENATED, node.nodes[0], node.nodes[1:])
    elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice):
        bounds = (node.arg.start, node.arg.stop, node.arg.step)
        args = [bound or nodes.Const(None, lineno=node.lineno) for bound in bounds]
        return _filter(SLICED, node.node, args)
    return node


def _filter(name: str, value: Any, args: list[nodes.Expr]) -> nodes.Filter:
    return nodes.Filter(value, name, args, [], None, None, lineno=value.lineno)


def _names(tree: nodes.Template) -> tuple[frozenset[str], bool]:
    """Return the columns that a template names, and whether it also uses the whole row."""
    found = set(meta.find_undeclared_variables(tree))
    if ROW not in found:
        return frozenset(found), False
    found.discard(ROW)
    used = sum(isinstance(node, nodes.Name) and node.name == ROW for node in _all(tree))
    named = [column for node in _all(tree) if (column := _of_row(node)) is not None]
    return frozenset(found.union(named)), used > len(named)


def _may_be_missing(node: nodes.Node) -> str | None:
    """Return the column for which `node` says what to do if it is missing."""
    if isinstance(node, (nodes.Filter, nodes.Test)) and node.name in _FOR_MISSING:
        if isinstance(node.node, nodes.Name):
            return node.node.name
        return None if node.node is None else _of_row(node.node)
    return None


def _of_row(node: nodes.Node) -> str | None:
    """Return the column that `row.column` or `row['column']` reads."""
    if not isinstance(node, (nodes.Getattr, nodes.Getitem)):
        return None
    if not isinstance(node.node, nodes.Name) or node.node.name != ROW:
        return None
    if isinstance(node, nodes.Getattr):
        return node.attr
    name = node.arg.value if isinstance(node.arg, nodes.Const) else None
    return name if isinstance(name, str) else None
