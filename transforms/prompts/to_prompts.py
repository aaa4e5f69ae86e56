"""The transform that makes prompts of the rows of any pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam

from transforms.elements import DeadLetter, Prompt
from transforms.graph.display import given
from transforms.graph.element_types import with_types
from transforms.graph.error_output import OF_ROW, ErrorOutput, checked
from transforms.graph.tags import DEAD_LETTERS
from transforms.prompts import ids
from transforms.prompts.records import RowError, columns_of, record_json, record_of
from transforms.prompts.row_prompts import RowPrompts, row_prompts


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
        system_template: a template of the system message. A system message of a row's own messages
            takes precedence, and an empty text is left out.
        images: the column with an image of the row, or with a list of them: an http, https, gs or
            data address, bytes, base64, `{"bytes": ..., "path": ...}`, or a path.
        images_root: the folder of the paths in `images`, on the workers or in a bucket. Nothing
            outside of it is read.
        shots: example messages, which go first: a list that ends with one of the assistant.
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
        system_template: str | None = None,
        images: str | None = None,
        images_root: str | None = None,
        shots: Sequence[Mapping[str, Any]] | None = None,
        id: str | None = None,
        param_columns: Sequence[str] = (),
        unique_ids: bool | None = None,
        error_handler: Any = None,
        **params: Any,
    ) -> None:
        super().__init__()
        self._error_handler = checked(error_handler)
        self._rows = row_prompts(
            "ToPrompts",
            prompt,
            messages=messages,
            template=template,
            system_template=system_template,
            images=images,
            images_root=images_root,
            shots=shots,
            id=id,
            param_columns=param_columns,
            params=params,
        )
        self._unique_ids = unique_ids

    def display_data(self) -> dict[str, Any]:
        """Return the names of the columns, for the page of the step in the runner's console."""
        form = self._rows.form
        names = form.template.columns if form.template else ()
        shown = given(
            prompt=form.prompt,
            messages=form.messages,
            template_columns=", ".join(sorted(names)) or None,
            images=form.images and form.images.column,
            id=self._rows.id,
            param_columns=", ".join(self._rows.param_columns) or None,
        )
        return {**super().display_data(), **shown}

    def expand(self, rows: Any) -> Any:
        """Make a prompt of each row."""
        return self._handled(self._made(rows), "prompts", (DEAD_LETTERS,), OF_ROW)

    def _made(self, rows: Any) -> Prompts:
        known = columns_of(rows.element_type)
        if known is not None:
            self._rows.check(known)
        parse = beam.ParDo(_ParseFn(self._rows)).with_outputs(DEAD_LETTERS, main="prompts")
        parsed = rows | "Parse" >> parse
        with_types(parsed, {"prompts": tuple[str, Prompt], DEAD_LETTERS: DeadLetter})
        if self._is_counted(rows):
            unique = parsed.prompts | "Unique" >> ids.Unique()
            letters = (parsed.dead_letters, unique.dead_letters)
            return Prompts(unique.prompts, letters | "DeadLetters" >> beam.Flatten())
        finish = ids.Drawn() if self._rows.id is None else ids.Own()
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


class _ParseFn(beam.DoFn):  # type: ignore[misc]
    """Yields `(group, Prompt)`, or a dead letter that says what is wrong with the row."""

    def __init__(self, rows: RowPrompts) -> None:
        self._rows = rows

    def process(self, element: Any) -> Iterator[Any]:
        record: Mapping[str, Any] = {}
        input = None
        try:
            record = record_of(element)
            input = record_json(record)
            request = self._rows.request(record)
            group = self._rows.group(record, request, input)
            yield group, Prompt(ids.id_of(group), request, input)
        except RowError as error:
            content = input or f"{type(element).__name__} {error}"
            id = self._rows.own_id(record) or ids.id_of(ids.by_content(content))
            letter = ids.refused(id, str(error), input)
            yield beam.pvalue.TaggedOutput(DEAD_LETTERS, letter)
