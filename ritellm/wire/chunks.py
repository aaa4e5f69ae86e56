"""Build chunks in OpenAI's shape, for dialects that send other events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ritellm.chunks import ChunkSum
from ritellm.types import Chunk, Completion

_NOTHING: Mapping[str, Any] = {}


def chunk(
    delta: Mapping[str, Any] | None, head: Mapping[str, Any] = _NOTHING, **choice: Any
) -> Chunk:
    """Return a chunk that adds `delta` to the only choice; without one it has no choices.

    `head` has the fields beside the choices (id, model, usage), and `choice` those beside the delta
    (finish_reason, logprobs).
    """
    made = Chunk(head)
    made["object"] = "chat.completion.chunk"
    made["choices"] = (
        [] if delta is None else [{"index": 0, "delta": {"content": None, **delta}, **choice}]
    )
    return made


def total(chunks: Iterable[Mapping[str, Any]]) -> Completion:
    """Return the completion that `chunks` add up to.

    The same code decodes streamed and unstreamed responses, so they cannot differ.
    """
    summed = ChunkSum()
    for each in chunks:
        summed.add(each)
    return summed.completion()


def url_citation(citation: Mapping[str, Any]) -> dict[str, Any]:
    """Return OpenAI's annotation for a citation of a web page."""
    return {"type": "url_citation", "url_citation": dict(citation)}
