"""JSON objects that can also be read by attribute."""

from __future__ import annotations

import copy
import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from typing_extensions import Self

# OpenAI's field names. Reading one that a provider left out gives None, as litellm's
# users expect (`chunk.choices[0].delta.content`); any other unknown name is an error.
_OPTIONAL = frozenset(
    "accepted_prediction_tokens annotations arguments audio audio_tokens cached_tokens"
    " choices citations code completion_tokens completion_tokens_details content created"
    " custom data delta error expires_at finish_reason function function_call id images index"
    " logprobs message model name object param prompt_tokens prompt_tokens_details"
    " provider_specific_fields reasoning reasoning_content reasoning_details reasoning_tokens"
    " refusal rejected_prediction_tokens role service_tier system_fingerprint text"
    " thinking_blocks tool_calls top_logprobs total_tokens transcript"
    " type usage usage_source".split()
)


class Fields(dict[str, Any]):
    """A JSON object that can also be read by attribute, at any depth.

    Wrappers are built only when an attribute is read. The wrapped value replaces the plain one, so
    `x.choices[0].delta` and `x["choices"][0]["delta"]` are the same object. `_kinds` names the
    classes of the fields that have one of their own.
    """

    __slots__ = ()
    _kinds: ClassVar[Mapping[str, type[Fields]]] = {}

    def __getattr__(self, name: str) -> Any:
        try:
            value = self[name]
        except KeyError:
            if name in _OPTIONAL:
                return None
            raise AttributeError(f"no field {name!r}; the fields are {', '.join(self)}") from None
        if type(value) is dict:
            value = self[name] = self._kinds.get(name, Fields)(value)
        elif type(value) is list:
            kind = self._kinds.get(name, Fields)
            value[:] = [kind(item) if type(item) is dict else item for item in value]
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __dir__(self) -> list[str]:
        """Return the names that can be read, for Tab: the fields that are there, and usual ones."""
        declared = (name for kind in type(self).__mro__ for name in _annotated(kind))
        there = (name for name in self if isinstance(name, str) and name.isidentifier())
        usual = (name for name in declared if not name.startswith("_"))
        return sorted({*super().__dir__(), *there, *usual})

    def __or__(self, other: Any) -> Self:  # type: ignore[override]
        if not isinstance(other, Mapping):
            return NotImplemented
        return self.model_copy(update=other)

    def __ror__(self, other: Any) -> Self:  # type: ignore[override]
        if not isinstance(other, Mapping):
            return NotImplemented
        return self.model_copy(update={**other, **self})

    def copy(self) -> Self:
        """Return a shallow copy of the same type."""
        return copy.copy(self)

    # The methods that code written for litellm or pydantic calls on a result.

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy of the same type with the fields in `update` replaced."""
        twin = copy.deepcopy(self) if deep else copy.copy(self)
        twin.update(update or {})
        return twin

    def model_dump(
        self,
        *,
        include: Collection[str] | None = None,
        exclude: Collection[str] | None = None,
        exclude_none: bool = False,
        **_: Any,
    ) -> dict[str, Any]:
        """Return a copy in plain dicts and lists; `include` and `exclude` name fields at the top.

        pydantic's other arguments change nothing: a field that was not set is not there, and every
        `mode` gives the same.
        """
        dumped: dict[str, Any] = _plain(self, exclude_none)
        kept = dumped.keys() if include is None else dumped.keys() & {*include}
        return {name: value for name, value in dumped.items() if name in kept - {*(exclude or ())}}

    def to_dict(self) -> dict[str, Any]:
        """Return a copy in plain dicts and lists."""
        return self.model_dump()

    def json(self, **options: Any) -> dict[str, Any]:
        """Return a copy in plain dicts and lists, as litellm's method of this name does."""
        return self.model_dump(**options)

    def model_dump_json(self, *, indent: int | None = None, **options: Any) -> str:
        """Return the JSON; the options are those of `model_dump`."""
        return json.dumps(self.model_dump(**options), indent=indent, ensure_ascii=False)


def _annotated(kind: type) -> Mapping[str, Any]:
    """Return the annotations of a class itself, not those of its bases."""
    return vars(kind).get("__annotations__") or {}


def _plain(value: Any, exclude_none: bool) -> Any:
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if not (exclude_none and v is None)}
        return {key: _plain(item, exclude_none) for key, item in kept.items()}
    return [_plain(item, exclude_none) for item in value] if isinstance(value, list) else value
