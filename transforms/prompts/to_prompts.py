"""The transform that makes prompts of the rows of any pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import apache_beam as beam

from transforms.elements import DeadLetter, Prompt
from transforms.graph.display import given
from transforms.graph.element_types import with_types
from transforms.graph.error_output import OF_ROW, ErrorOutput, checked
from transforms.prompts import ids
from transforms.prompts.records import TEXT, RowError, columns_of, kind, record_json, record_of
from transforms.prompts.requests import check_parameters, messages_request, text_request
from transforms.prompts.template import Template

_ID = "id"
_MESSAGES = "messages"


class Prompts(NamedTuple):
    """What `ToPrompts` returns: the prompts, and the rows that cannot be one."""

    prompts: Any
    dead_letters: Any


class ToPrompts(ErrorOutput, beam.PTransform):  # type: ignore[misc]
    """Rows -> `Prompt`: texts, dicts, Rows, NamedTuples and dataclasses become prompts.

    Returns outputs `.prompts` and `.dead_letters`: rows without a usable prompt or id. The JSON of
    a row is the `input` of its prompt, and of its outcome. A text is a row with a column `prompt`.

    Args:
        prompt: the column with the text of the prompt. Without `prompt`, `messages` and `template`
            it is `prompt`, or `messages` if the row has that column.
        messages: the column with the messages: a list of objects, or its JSON.
        template: a Jinja2 template of the text over the columns, such as `Translate: {{ text }}`;
            needs the extra `template`.
        id: the column with the id, a text or a whole number. Without it, a row has the id in its
            column `id`; a row without one gets a digest of its content, and equal rows a number.
        param_columns: the columns that are parameters of the request, such as `["temperature"]`.
            Other columns are never sent.
        unique_ids: whether to find repeated ids, which become dead letters, and to number equal
            rows, by a shuffle. By default only in batch, in the global window. Otherwise a row
            without an id gets a random one, which a shuffle keeps; with `id` nothing is shuffled.
        error_handler: Beam's ErrorHandler, which gets the dead letters; the transform then returns
            the prompts alone (`transforms.graph.error_output`).
        params: parameters of `ritellm.completion` for each prompt; a row's own override them.
    """

    def __init__(
        self,
        prompt: str | None = None,
        *,
        messages: str | None = None,
        template: str | None = None,
        id: str | None = None,
        param_columns: Sequence[str] = (),
        unique_ids: bool | None = None,
        error_handler: Any = None,
        **params: Any,
    ) -> None:
        super().__init__()
        self._error_handler = checked(error_handler)
        _check_one(prompt=prompt, messages=messages, template=template)
        _check_name("id", id)
        if isinstance(param_columns, str):
            raise TypeError(f"param_columns must be a list of columns, got {param_columns!r}")
        check_parameters((*param_columns, *params))
        made = Template(template) if template else None
        if made is not None and not made.columns:
            raise ValueError(
                "template must name a column, such as {{ text }}; Beam YAML reads such names itself"
                " unless they stand between {% raw %} and {% endraw %}"
            )
        self._form = _Form(prompt, messages, made, id, tuple(param_columns), params)
        self._unique_ids = unique_ids

    def display_data(self) -> dict[str, Any]:
        """Return the names of the columns, for the page of the step in the runner's console."""
        form = self._form
        names = form.template.columns if form.template else ()
        shown = given(
            prompt=form.prompt,
            messages=form.messages,
            template_columns=", ".join(sorted(names)) or None,
            id=form.id,
            param_columns=", ".join(form.param_columns) or None,
        )
        return {**super().display_data(), **shown}

    def expand(self, rows: Any) -> Any:
        """Make a prompt of each row."""
        return self._handled(self._made(rows), "prompts", (ids.DEAD_LETTERS,), OF_ROW)

    def _made(self, rows: Any) -> Prompts:
        known = columns_of(rows.element_type)
        if known is not None:
            self._form.check(known)
        parse = beam.ParDo(_ParseFn(self._form)).with_outputs(ids.DEAD_LETTERS, main="prompts")
        parsed = rows | "Parse" >> parse
        with_types(parsed, {"prompts": tuple[str, Prompt], ids.DEAD_LETTERS: DeadLetter})
        if self._is_counted(rows):
            unique = parsed.prompts | "Unique" >> ids.Unique()
            letters = (parsed.dead_letters, unique.dead_letters)
            return Prompts(unique.prompts, letters | "DeadLetters" >> beam.Flatten())
        finish = ids.Drawn() if self._form.id is None else ids.Own()
        return Prompts(parsed.prompts | "Drawn" >> finish, parsed.dead_letters)

    def _is_counted(self, rows: Any) -> bool:
        """Return whether ids are made unique by counting; raises ValueError where it cannot be."""
        is_batch = rows.is_bounded and rows.windowing.is_default()
        if self._unique_ids and not is_batch:
            raise ValueError(
                "unique_ids needs a bounded input in the global window; leave it out, and give the"
                " rows ids of their own"
            )
        return is_batch if self._unique_ids is None else self._unique_ids


class _Form(NamedTuple):
    """Which columns of a row become which parts of its prompt."""

    prompt: str | None
    messages: str | None
    template: Template | None
    id: str | None
    param_columns: Sequence[str]
    params: Mapping[str, Any]

    def check(self, known: Sequence[str]) -> None:
        """Raise ValueError for the first column that rows with these columns do not have."""
        named = [*(self.template.columns if self.template else ()), *self.param_columns]
        named += [name for name in (self.prompt, self.messages, self.id) if name]
        for name in sorted(named):
            if name not in known:
                raise ValueError(f"the input has no column {name!r}; it has {', '.join(known)}")
        if not (self.prompt or self.messages or self.template) and not {TEXT, _MESSAGES} & {*known}:
            raise ValueError(
                f"the input has no column 'prompt' or 'messages'; it has {', '.join(known)}. Name"
                " the column: ToPrompts(prompt=...)"
            )

    def request(self, record: Mapping[str, Any]) -> str:
        """Return the JSON of the request of a row; raises RowError."""
        own = {name: record[name] for name in self.param_columns if record.get(name) is not None}
        params = {**self.params, **own}
        if self.template is not None:
            return text_request(self.template.render(record), params, "the text of the template")
        messages = self.messages
        if messages is None and self.prompt is None and record.get(_MESSAGES) is not None:
            messages = _MESSAGES
        if messages is not None:
            return messages_request(_value(record, messages), params, f"column {messages!r}")
        name = self.prompt or TEXT
        return text_request(_value(record, name), params, f"column {name!r}")

    def group(self, record: Mapping[str, Any], request: str, input: str) -> str:
        """Return the group of a row, which is its id or its content; raises RowError."""
        if self.id is None and record.get(_ID) in (None, ""):
            return ids.by_content(request, input)
        return ids.own(_id(self.id or _ID, _value(record, self.id or _ID)))


class _ParseFn(beam.DoFn):  # type: ignore[misc]
    """Yields `(group, Prompt)`, or a dead letter that says what is wrong with the row."""

    def __init__(self, form: _Form) -> None:
        self._form = form

    def process(self, element: Any) -> Iterator[Any]:
        input = None
        try:
            record = record_of(element)
            input = record_json(record)
            request = self._form.request(record)
            group = self._form.group(record, request, input)
            yield group, Prompt(ids.id_of(group), request, input)
        except RowError as error:
            content = input or f"{type(element).__name__} {error}"
            id = ids.id_of(ids.by_content(content))
            letter = ids.refused(id, str(error), input)
            yield beam.pvalue.TaggedOutput(ids.DEAD_LETTERS, letter)


def _value(record: Mapping[str, Any], name: str) -> Any:
    if name not in record:
        raise RowError(f"the row has no column {name!r}; it has {', '.join(map(str, record))}")
    return record[name]


def _id(name: str, value: Any) -> str:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not isinstance(value, (str, UUID)) and not is_whole:
        raise RowError(f"column {name!r} must be a text or a whole number, got {kind(value)}")
    id = str(value)
    if not id:
        raise RowError(f"column {name!r} must not be empty; each row needs an id")
    try:
        id.encode()
    except UnicodeEncodeError:
        raise RowError(f"column {name!r} must be UTF-8, got half a character") from None
    return id


def _check_one(**given: str | None) -> None:
    for name, value in given.items():
        _check_name(name, value)
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise ValueError(
            f"ToPrompts takes one of prompt, messages and template, got {' and '.join(named)}"
        )


def _check_name(name: str, value: Any) -> None:
    what = "a template" if name == "template" else "the name of a column"
    if value is not None and (not isinstance(value, str) or not value):
        raise TypeError(f"{name} must be {what}, got {value!r}")
