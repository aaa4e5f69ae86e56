"""How a row becomes the messages of its request: which columns, templates, images and examples.

`ToPrompts` and the batch program share it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

from transforms.prompts.images import Images
from transforms.prompts.records import TEXT, RowError, kind
from transforms.prompts.requests import message_list, user_message
from transforms.prompts.shots import NO_SHOTS, Shots, leading_system
from transforms.prompts.template import Template

MESSAGES = "messages"


@dataclass(frozen=True)
class Form:
    """The parts of a row's messages.

    At most one of `prompt`, `messages` (columns) and `template` is set. Without any of them, a row
    has the column `prompt` or `messages`. Raises ValueError for two system messages.
    """

    prompt: str | None = None
    messages: str | None = None
    template: Template | None = None
    system_template: Template | None = None
    images: Images | None = None
    shots: Shots = NO_SHOTS

    def __post_init__(self) -> None:
        if self.system_template is not None and self.shots.system:
            raise ValueError("the examples must not have a system message beside system_template")

    @cached_property
    def columns(self) -> frozenset[str]:
        """The columns that the form names."""
        named = {self.prompt, self.messages, self.images and self.images.column}
        for template in self._templates:
            named |= template.columns
        return frozenset(name for name in named if name)

    @property
    def optional(self) -> frozenset[str]:
        """Those of them that a row may lack, because a template says what to write instead."""
        return frozenset(name for each in self._templates for name in each.optional)

    @cached_property
    def uses_row(self) -> bool:
        """Whether a template uses the whole row."""
        return any(template.uses_row for template in self._templates)

    @cached_property
    def is_default(self) -> bool:
        """Whether the request of a row is in its columns `prompt` or `messages`."""
        return not (self.prompt or self.messages or self.template)

    @cached_property
    def is_more(self) -> bool:
        """Whether a request has more than the messages of its row."""
        return bool(self.system_template or self.images or self.shots.examples)

    @property
    def _templates(self) -> list[Template]:
        return [each for each in (self.template, self.system_template) if each is not None]

    def messages_of(self, record: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Return the messages of a row; raises RowError."""
        return self.completed(self._own(record), record)

    def completed(
        self, own: Sequence[Mapping[str, Any]], record: Mapping[str, Any]
    ) -> Sequence[Mapping[str, Any]]:
        """Return a row's `own` messages with its images, the system message and the examples.

        A system message of the row takes precedence. The examples follow the system message.
        """
        if not self.is_more:
            return own
        if self.images is not None:
            own = _with_images(own, self.images.parts(record))
        system = leading_system(own)
        rest = own[len(system) :]
        return [*(system or self._system(record)), *self.shots.examples, *rest]

    def _own(self, record: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        if self.template is not None:
            return [user_message(self.template.render(record), "the text of the template")]
        column = self.messages or (MESSAGES if self.is_default and _has_messages(record) else None)
        if column is not None:
            return message_list(column_of(record, column), f"column {column!r}")
        if self.is_default and TEXT not in record:
            raise RowError(f"a row must have 'prompt' or 'messages', got {_names(record)}")
        name = self.prompt or TEXT
        return [user_message(column_of(record, name), f"column {name!r}")]

    def _system(self, record: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        if self.system_template is None:
            return self.shots.system
        text = self.system_template.render(record)
        return [{"role": "system", "content": text}] if text.strip() else []


def column_of(record: Mapping[str, Any], name: str) -> Any:
    """Return the value of a column; raises RowError if the row does not have it."""
    if name not in record:
        raise RowError(f"the row has no column {name!r}; it has {_names(record)}")
    return record[name]


def id_of(record: Mapping[str, Any], column: str) -> str:
    """Return the id in a column: a text or a whole number; raises RowError."""
    value = whole(column_of(record, column))
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not isinstance(value, (str, UUID)) and not is_whole:
        raise RowError(f"column {column!r} must be a text or a whole number, got {kind(value)}")
    id = str(value)
    if not id:
        raise RowError(f"column {column!r} must not be empty; each row needs an id")
    try:
        id.encode()
    except UnicodeEncodeError:
        raise RowError(f"column {column!r} must be UTF-8, got half a character") from None
    return id


def whole(value: Any) -> Any:
    """Return a float without decimal places as an integer, any other value as it is.

    pandas turns integers into floats if some of the column are missing.
    """
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _names(record: Mapping[str, Any]) -> str:
    return ", ".join(map(str, record)) or "nothing"


def _has_messages(record: Mapping[str, Any]) -> bool:
    """Return whether the row has messages; some tools fill a missing list with an empty one."""
    messages = record.get(MESSAGES)
    if messages is None:
        return False
    text = record.get(TEXT)
    is_empty = isinstance(messages, (str, list, tuple)) and not messages
    return not (is_empty and isinstance(text, str) and text.strip())


def _with_images(
    messages: Sequence[Mapping[str, Any]], parts: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Return `messages` with the images at the end of the user's last message."""
    for position in range(len(messages) - 1, -1, -1):
        message = messages[position]
        if isinstance(message, Mapping) and message.get("role") == "user":
            content = _content(message.get("content"))
            new = {**message, "content": [*content, *parts]}
            return [*messages[:position], new, *messages[position + 1 :]]
    raise RowError("the messages must have one of the user, to which the images belong")


def _content(content: Any) -> list[Any]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if isinstance(content, (list, tuple)):
        return list(content)
    raise RowError(f"the content of a message must be a text or a list, got {kind(content)}")
