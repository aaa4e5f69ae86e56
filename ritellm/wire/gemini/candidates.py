"""Decode the parts of Gemini's candidates into OpenAI's choices."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

import orjson

from ritellm.chunks.choice import is_blank
from ritellm.wire.chunks import url_citation
from ritellm.wire.finish import finish_reason
from ritellm.wire.gemini.arguments import PartialArgs
from ritellm.wire.gemini.content import FIELDS, INVENTED, LAYOUT
from ritellm.wire.layout import Item, is_plain

Choice = dict[str, Any]
Part = Mapping[str, Any]

_FINISH_REASONS = {"STOP": "stop", "MAX_TOKENS": "length"} | dict.fromkeys(
    "SAFETY RECITATION BLOCKLIST PROHIBITED_CONTENT SPII MODEL_ARMOR IMAGE_SAFETY"
    " IMAGE_PROHIBITED_CONTENT IMAGE_RECITATION ESCALATION".split(),
    "content_filter",
)
# For these the decoder raises, and the choice has no finish_reason. Malformed output was sampled,
# so a retry can help; the others would end the same way.
MALFORMED = frozenset("MALFORMED_FUNCTION_CALL UNEXPECTED_TOOL_CALL MALFORMED_RESPONSE".split())
FINAL = frozenset("TOO_MANY_TOOL_CALLS MISSING_THOUGHT_SIGNATURE".split())
_CANDIDATE = frozenset("content finishReason index logprobsResult".split())
_TEXT = frozenset({"text", "thought"})


class Candidate:
    """One of the alternatives, decoded chunk by chunk."""

    __slots__ = (
        "_begun",
        "_calls",
        "_cited",
        "_finished",
        "_grounding",
        "_index",
        "_layout",
        "_open",
        "_response",
        "_texts",
    )

    def __init__(self, index: int, response: str | None) -> None:
        self._index = index
        self._response = response  # its id
        # How far the candidate is.
        self._begun = False
        self._finished = False
        # Tool calls.
        self._calls = 0
        self._open: PartialArgs | None = None  # the call whose arguments are incomplete
        # What the end of the candidate needs.
        self._layout: list[Item] = []
        self._texts: list[str] = []
        self._cited: set[tuple[Any, ...]] = set()
        self._grounding: Mapping[str, Any] = {}

    def choice(self, candidate: Mapping[str, Any]) -> Choice:
        """Return the choice for the next event's `candidate`."""
        delta: dict[str, Any] = {} if self._begun else {"role": "assistant"}
        self._begun = True
        for part in (candidate.get("content") or {}).get("parts") or ():
            if isinstance(text := part.get("text"), str):
                self._text(part, text, delta)
            else:
                self._part(part, delta)
        reason = candidate.get("finishReason")
        if reason is not None and is_blank(reason):
            reason = None
        if reason and self._open:
            self._close(delta)
        self._finished = self._finished or bool(reason)
        if self._finished or not candidate.keys() <= _CANDIDATE:
            self._add_rest(candidate, reason, delta)
        ours = None if reason is None else self._reason(reason)
        choice = {"index": self._index, "delta": delta, "finish_reason": ours}
        logprobs = candidate.get("logprobsResult")
        return {**choice, "logprobs": _logprobs(logprobs)} if logprobs else choice

    def _add_rest(
        self, candidate: Mapping[str, Any], reason: str | None, delta: dict[str, Any]
    ) -> None:
        """Add to `delta` what most events lack: other fields, sources, what the end completes."""
        kept = {k: v for k, v in candidate.items() if k not in _CANDIDATE and v is not None}
        self._grounding = candidate.get("groundingMetadata") or self._grounding
        if self._finished:
            kept.update(self._ending(reason, delta))
        if "citationMetadata" in candidate:
            self._cite(candidate["citationMetadata"] or {}, delta)
        if kept:
            delta["provider_specific_fields"] = kept

    def _reason(self, reason: str) -> str | None:
        if reason in MALFORMED or reason in FINAL:
            return None
        return finish_reason(reason, _FINISH_REASONS, called=bool(self._calls))

    def _ending(self, reason: str | None, delta: dict[str, Any]) -> dict[str, Any]:
        """Return the fields that are known only after all parts."""
        kept: dict[str, Any] = {}
        if reason and reason not in ("STOP", "MAX_TOKENS", "FUNCTION_CALL"):
            kept["finishReason"] = reason
        if not is_plain(self._layout, FIELDS):
            kept[LAYOUT] = self._layout
        if self._grounding:
            _extend(delta, "annotations", _grounded(self._grounding, "".join(self._texts)))
            self._grounding = {}
        return kept

    def _part(self, part: Part, delta: dict[str, Any]) -> None:
        if "functionCall" in part:
            self._call(part, delta)
        elif part:
            self._other(part, delta)

    def _other(self, part: Part, delta: dict[str, Any]) -> None:
        blob = part.get("inlineData") or {}
        kind = str(blob.get("mimeType")).partition("/")[0]
        if kind == "image" and not part.get("thought"):
            url = f"data:{blob['mimeType']};base64,{blob.get('data') or ''}"
            image = {"type": "image_url", "image_url": {"url": url}}
            _extend(delta, "images", [image])
            extra = {k: v for k, v in part.items() if k != "inlineData"}
            self._layout.append({"from": "images", **extra})
        elif kind == "audio":
            _add_audio(blob, delta)
        else:
            self._layout.append(dict(part))

    def _text(self, part: Part, text: str, delta: dict[str, Any]) -> None:
        field, extra = "content", {}
        if len(part) > 1:
            field = "reasoning_content" if part.get("thought") else field
            extra = {k: v for k, v in part.items() if k not in _TEXT and v is not None}
        if text:
            delta[field] = delta[field] + text if field in delta else text
            if field == "content":
                self._texts.append(text)
        last = self._layout[-1] if self._layout else {}
        is_text = len(last) == 2 and "length" in last and last.get("from") == field
        if text and not extra and is_text:
            last["length"] += len(text)  # a stream cuts one part into many
        elif text or extra:
            self._layout.append({"from": field, "length": len(text), **extra})

    def _call(self, part: Part, delta: dict[str, Any]) -> None:
        call = part["functionCall"] or {}
        if self._open and call.get("name"):
            self._close(delta)
        goes_on = bool(call.get("willContinue"))
        if self._open is None:
            args = call.get("args") or {}
            pending = goes_on or "partialArgs" in call
            # Some gateways send text, as OpenAI does.
            text = args if isinstance(args, str) else orjson.dumps(args).decode()
            self._begin(part, "" if pending else text, delta)
            if not pending:
                return
            self._open = PartialArgs(args)
        self._open.add(call.get("partialArgs") or ())
        if not goes_on:
            self._close(delta)

    def _begin(self, part: Part, arguments: str, delta: dict[str, Any]) -> None:
        call = part["functionCall"] or {}
        fragment = {
            "index": self._calls,
            "id": call.get("id") or self._invented_id(),
            "type": "function",
            "function": {"name": call.get("name"), "arguments": arguments},
        }
        known = ("functionCall", "thoughtSignature")
        kept = {k: v for k, v in part.items() if v is not None and k not in known}
        if part.get("thoughtSignature"):
            kept["thought_signature"] = part["thoughtSignature"]
        if kept:
            fragment["provider_specific_fields"] = kept
        _extend(delta, "tool_calls", [fragment])
        self._layout.append({"from": "tool_calls"})
        self._calls += 1

    def _close(self, delta: dict[str, Any]) -> None:
        """Append the arguments that arrived in pieces, now that they are complete."""
        assert self._open is not None
        arguments = orjson.dumps(self._open.value).decode()
        fragment = {"index": self._calls - 1, "function": {"arguments": arguments}}
        _extend(delta, "tool_calls", [fragment])
        self._open = None

    def _invented_id(self) -> str:
        """Return an id for a call without one: unique, and the same each time."""
        parts = (self._response, self._index or None, self._calls)
        return INVENTED + "_".join(str(part) for part in parts if part is not None)

    def _cite(self, metadata: Mapping[str, Any], delta: dict[str, Any]) -> None:
        """Add the sources that Gemini quotes, each of them once."""
        for source in metadata.get("citations") or metadata.get("citationSources") or ():
            begin, end, url = (source.get(k) for k in ("startIndex", "endIndex", "uri"))
            if url and (begin, end, url) not in self._cited:
                self._cited.add((begin, end, url))
                span = {"start_index": begin or 0, "end_index": end}
                note = url_citation({"url": url, "title": source.get("title"), **span})
                _extend(delta, "annotations", [note])


def _extend(delta: dict[str, Any], field: str, items: list[Any]) -> None:
    if items:
        delta.setdefault(field, []).extend(items)


def _add_audio(blob: Mapping[str, Any], delta: dict[str, Any]) -> None:
    """Append audio. The layout does not keep it: models that speak do not accept it in requests."""
    pieces = [(delta.get("audio") or {}).get("data") or "", blob.get("data") or ""]
    data = b64encode(b"".join(map(b64decode, pieces))).decode()
    delta["audio"] = {"data": data, "mime_type": blob.get("mimeType")}


def _grounded(metadata: Mapping[str, Any], content: str) -> list[dict[str, Any]]:
    """Return the web pages of grounding, with the span of text that each supports."""
    pages = [chunk.get("web") or {} for chunk in metadata.get("groundingChunks") or ()]
    notes = []
    for support in metadata.get("groundingSupports") or ():
        location = _location(support.get("segment") or {}, content)
        for number in support.get("groundingChunkIndices") or ():
            page = pages[number] if 0 <= number < len(pages) else {}
            if page.get("uri"):
                found = {"url": page["uri"], "title": page.get("title"), **location}
                notes.append(url_citation(found))
    return notes


def _location(segment: Mapping[str, Any], content: str) -> dict[str, int]:
    """Return the span of a segment in characters; Gemini counts bytes, and not always from 0."""
    text = segment.get("text") or ""
    data = content.encode()
    begin, end = segment.get("startIndex") or 0, segment.get("endIndex") or 0
    if data[begin:end] == text.encode():
        start = len(data[:begin].decode("utf-8", "ignore"))
    else:
        start = content.find(text)
    if not text or start < 0:
        return {}
    return {"start_index": start, "end_index": start + len(text)}


def _logprobs(result: Mapping[str, Any]) -> dict[str, Any]:
    tops = result.get("topCandidates") or ()
    content = []
    for position, chosen in enumerate(result.get("chosenCandidates") or ()):
        others = tops[position].get("candidates") or () if position < len(tops) else ()
        content.append({**_logprob(chosen), "top_logprobs": [_logprob(each) for each in others]})
    return {"content": content, "refusal": None}


def _logprob(token: Mapping[str, Any]) -> dict[str, Any]:
    # Google leaves out zeros; a logprob of zero means certainty.
    logprob = token.get("logProbability", 0.0)
    return {"token": token.get("token", ""), "logprob": logprob, "bytes": None}
