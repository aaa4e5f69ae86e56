"""Which columns of a row become which parts of its prompt, with the checks of their names.

`ToPrompts` and `complete_all` share it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from transforms.prompts import ids
from transforms.prompts.form import MESSAGES, Form, id_of
from transforms.prompts.images import Images
from transforms.prompts.records import TEXT, RowError
from transforms.prompts.requests import check_parameters, request_json
from transforms.prompts.shots import NO_SHOTS, Shots
from transforms.prompts.template import Template

_ID = "id"


class RowPrompts(NamedTuple):
    """Which columns of a row become which parts of its prompt."""

    form: Form
    id: str | None
    param_columns: Sequence[str]
    params: Mapping[str, Any]

    def check(self, known: Sequence[str]) -> None:
        """Raise ValueError for the first column that rows with these columns do not have."""
        named = {*self.form.columns, *self.param_columns, *filter(None, [self.id])}
        for name in sorted(named):
            if name not in known:
                raise ValueError(f"the input has no column {name!r}; it has {', '.join(known)}")
        if self.form.is_default and not {TEXT, MESSAGES} & {*known}:
            raise ValueError(
                f"the input has no column 'prompt' or 'messages'; it has {', '.join(known)}. Name"
                " the column: ToPrompts(prompt=...)"
            )

    def request(self, record: Mapping[str, Any]) -> str:
        """Return the JSON of the request of a row; raises RowError."""
        own = {name: record[name] for name in self.param_columns if record.get(name) is not None}
        return request_json(self.form.messages_of(record), {**self.params, **own})

    def own_id(self, record: Mapping[str, Any]) -> str | None:
        """Return the id in the row, None if it has none that can be used."""
        name = self.id or _ID
        try:
            return id_of(record, name)
        except RowError:
            return None

    def is_unnamed(self, record: Mapping[str, Any]) -> bool:
        """Return whether a row may go without an id, and has none."""
        return self.id is None and record.get(_ID) in (None, "")

    def named(self, record: Mapping[str, Any]) -> str:
        """Return the id of a row that must have one; raises RowError."""
        return id_of(record, self.id or _ID)

    def group(self, record: Mapping[str, Any], request: str, input: str) -> str:
        """Return the group of a row, which is its id or its content; raises RowError."""
        if self.is_unnamed(record):
            return ids.by_content(request, input)
        return ids.own(self.named(record))


def row_prompts(
    whose: str,
    prompt: str | None = None,
    *,
    messages: str | None = None,
    template: str | None = None,
    system_template: str | None = None,
    images: str | None = None,
    images_root: str | None = None,
    shots: Sequence[Mapping[str, Any]] | None = None,
    id: str | None = None,
    param_columns: Sequence[str] = (),
    params: Mapping[str, Any] | None = None,
) -> RowPrompts:
    """Return what makes prompts of rows, for the arguments of `whose`; see `ToPrompts`.

    Raises TypeError or ValueError for wrong arguments.
    """
    _check_one(whose, prompt=prompt, messages=messages, template=template)
    _check_name("id", id)
    if isinstance(param_columns, str):
        raise TypeError(f"param_columns must be a list of columns, got {param_columns!r}")
    check_parameters((*param_columns, *(params or ())))
    _check_name("images", images)
    if images_root is not None and images is None:
        raise ValueError("images_root needs images, the column with the paths")
    made = Template(template) if template else None
    if made is not None and not made.columns and not made.uses_row:
        raise ValueError(
            "template must name a column, such as {{ text }}; Beam YAML reads such names itself"
            " unless they stand between {% raw %} and {% endraw %}"
        )
    form = Form(
        prompt,
        messages,
        made,
        None if system_template is None else Template(system_template, "system_template"),
        Images(images, images_root) if images else None,
        NO_SHOTS if shots is None else Shots.of(shots),
    )
    return RowPrompts(form, id, tuple(param_columns), params or {})


def _check_one(whose: str, **given: str | None) -> None:
    for name, value in given.items():
        _check_name(name, value)
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise ValueError(
            f"{whose} takes one of prompt, messages and template, got {' and '.join(named)}"
        )


def _check_name(name: str, value: Any) -> None:
    what = "a template" if name == "template" else "the name of a column"
    if value is not None and (not isinstance(value, str) or not value):
        raise TypeError(f"{name} must be {what}, got {value!r}")
