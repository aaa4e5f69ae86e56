"""Prompts from a Jinja2 template over the columns of a row: `Summarize: {{ text }}`.

The template is a part of the job. Rows are only values in it, and are never read as templates. It
runs in Jinja2's immutable sandbox: it cannot reach the attributes of Python that a value has.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from transforms.prompts.records import RowError


class Template:
    """A template for the text of a prompt. It is pickled as its text.

    Raises ValueError if `text` is not a template, ImportError without the extra `template`.
    """

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError(f"template must be a text, got {type(text).__name__}")
        self._text = text
        try:
            _ = self._compiled
        except _jinja2().TemplateSyntaxError as error:
            raise ValueError(f"template, line {error.lineno}: {error.message}") from None

    @property
    def columns(self) -> frozenset[str]:
        """The columns that the template names."""
        from jinja2 import meta

        return frozenset(meta.find_undeclared_variables(_environment().parse(self._text)))

    def render(self, record: Mapping[str, Any]) -> str:
        """Return the text for one row; raises RowError."""
        try:
            return str(self._compiled.render(record))
        except Exception as error:  # a template may compute anything with the values of a row
            raise RowError(f"the template cannot be filled: {error}") from None

    @cached_property
    def _compiled(self) -> Any:
        return _environment().from_string(self._text)

    def __getstate__(self) -> dict[str, Any]:
        return {"_text": self._text}


def _environment() -> Any:
    jinja2 = _jinja2()
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, finalize=_not_null, keep_trailing_newline=True
    )


def _not_null(value: Any) -> Any:
    """Refuse to write "None" into a prompt, which a model would read as a word."""
    if value is None:
        raise ValueError("a column is null; write {{ column or '' }} if it may be")
    return value


def _jinja2() -> Any:
    try:
        import jinja2
    except ImportError:
        raise ImportError(
            "template needs Jinja2; install ritellm-beam[template] here and on the workers"
        ) from None
    return jinja2
