"""Texts from a Jinja2 template over the columns of a row: `Summarize: {{ text }}`.

The template is a part of the job. Rows are only values in it, and are never read as templates. What
a template may do, and how much, is in `template_language`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ritellm.extras import install
from transforms.prompts.records import ROW, RowError
from transforms.prompts.template_meter import (
    METER,
    MOST_WORK,
    TOO_MUCH,
    Meter,
    NullError,
    TooMuchWork,
)

if TYPE_CHECKING:
    from transforms.prompts.template_language import Compiled

_MOST_CHARACTERS = 1_000_000


class Template:
    """A template for a text, such as that of a prompt. It is pickled as its text.

    `name` is what errors call it. Raises ValueError if `text` is not a template, ImportError
    without the extra `template`.
    """

    def __init__(self, text: str, name: str = "template") -> None:
        if not isinstance(text, str):
            raise TypeError(f"{name} must be a text, got {type(text).__name__}")
        if len(text) > _MOST_CHARACTERS:
            raise ValueError(
                f"{name} must have at most {_MOST_CHARACTERS:,} characters, got {len(text):,}"
            )
        self._text = text
        self._name = name
        _ = self._compiled

    @property
    def columns(self) -> frozenset[str]:
        """The columns that the template names."""
        return self._compiled.columns

    @property
    def optional(self) -> frozenset[str]:
        """Those that may be missing, as in `{{ hint | default('') }}`."""
        return self._compiled.optional

    @property
    def uses_row(self) -> bool:
        """Whether it uses the whole row, as in `{{ row | tojson }}`."""
        return self._compiled.uses_row

    def render(self, record: Mapping[str, Any]) -> str:
        """Return the text for one row; raises RowError."""
        try:
            return self._rendered({ROW: record, **record, METER: Meter()})
        except NullError as error:
            reason = self._null_column(record) or str(error)
        except Exception as error:  # a template may compute anything with the values of a row
            reason = str(error) or type(error).__name__
        raise RowError(f"the {self._name} cannot be filled: {reason}")

    def _rendered(self, values: dict[str, Any]) -> str:
        pieces: list[str] = []
        size = 0
        for piece in self._compiled.render(values):
            pieces.append(piece)
            size += len(piece)
            if size > MOST_WORK:
                raise TooMuchWork(TOO_MUCH)
        return "".join(pieces)

    def _null_column(self, record: Mapping[str, Any]) -> str:
        """Return that a column is null, if it is clear which."""
        empty = [name for name in self.columns if name in record and record[name] is None]
        if len(empty) != 1:
            return ""
        name = empty[0]
        return f"column {name!r} is null; write {{{{ {name} or '' }}}} if it may be"

    @cached_property
    def _compiled(self) -> Compiled:
        try:
            import jinja2
        except ImportError:
            raise ImportError(
                f"{self._name} needs Jinja2, here and on the workers: {install('template')}"
            ) from None
        from transforms.prompts.template_language import compiled

        try:
            return compiled(self._text)
        except jinja2.TemplateSyntaxError as error:
            raise ValueError(f"{self._name}, line {error.lineno}: {error.message}") from None
        except (MemoryError, RecursionError, SyntaxError, ValueError) as error:
            raise ValueError(f"{self._name} cannot be compiled: {error}") from None

    def __getstate__(self) -> dict[str, Any]:
        return {"_text": self._text, "_name": self._name}
