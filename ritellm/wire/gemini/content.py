"""Messages as Gemini's contents and parts. No I/O and no clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from ritellm.errors import InvalidRequestError
from ritellm.wire.content import arguments_of, parts_of, signature_of
from ritellm.wire.layout import Item, extras, in_order, unpack
from ritellm.wire.media import audio_format, media_type, split_data_url
from ritellm.wire.reasoning_details import signatures
from ritellm.wire.turns import check_turns

# The name of a completion's layout in `provider_specific_fields`, and the fields that it orders,
# in Gemini's usual order.
LAYOUT = "gemini_parts"
FIELDS = ("reasoning_content", "content", "images", "tool_calls")

# The prefix of ids that `candidates` invents; they are not sent to Gemini.
INVENTED = "call_"

# The signature of a call that Gemini did not sign, such as one of another provider, for models that
# check signatures. https://ai.google.dev/gemini-api/docs/thought-signatures#faqs
UNSIGNED = "skip_thought_signature_validator"

_MEDIA_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "heic": "image/heic",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "mp3": "audio/mp3",
    "wav": "audio/wav",
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "webm": "video/webm",
}

Part = dict[str, Any]


def encode_messages(
    messages: Sequence[Mapping[str, Any]], signs: bool
) -> tuple[list[Part], list[dict[str, Any]]]:
    """Return the parts of the system prompt, and the turns; neighbouring tool results are one turn.

    `signs` says whether the model requires signed calls.
    """
    system: list[Part] = []
    contents: list[dict[str, Any]] = []
    names: dict[str, str] = {}  # by id: a result is sent under the name of its call
    results: list[Part] | None = None
    for message in messages:
        role = message.get("role")
        if role == "tool":
            if results is None:
                results = []
                contents.append({"role": "user", "parts": results})
            results.append(_function_response(message, names))
            continue
        results = None
        if role in ("system", "developer"):
            system += _parts(message.get("content"))
        elif role == "user":
            if parts := _parts(message.get("content")):
                contents.append({"role": "user", "parts": parts})
        elif role == "assistant":
            names.update(_names(message))
            if parts := _assistant(message, signs):
                contents.append({"role": "model", "parts": parts})
        else:
            raise InvalidRequestError(f"Gemini has no role {role!r}")
    check_turns(messages, contents, "Gemini")
    return system, contents


def _names(message: Mapping[str, Any]) -> dict[str, str]:
    calls = message.get("tool_calls") or ()
    return {str(call.get("id")): str((call.get("function") or {}).get("name")) for call in calls}


def _assistant(message: Mapping[str, Any], signs: bool) -> list[Part]:
    """Return the parts of an earlier completion, as they arrived unless it was edited."""
    layout = (message.get("provider_specific_fields") or {}).get(LAYOUT)
    pairs = unpack(layout, message, FIELDS) or in_order(message, FIELDS)
    parts = [part for item, value in pairs if (part := _item_part(item, value))]
    calls = [part for part in parts if "functionCall" in part]
    for id, signature in signatures(message).items():
        for part in calls:
            if part["functionCall"].get("id") == id:
                part.setdefault("thoughtSignature", signature)
    if signs and calls and not any("thoughtSignature" in part for part in calls):
        calls[0]["thoughtSignature"] = UNSIGNED
    return parts


def _item_part(item: Item, value: Any) -> Part | None:
    field = item.get("from")
    if field is None:
        return dict(item)
    if field == "tool_calls":
        return _function_call(value)
    if field == "reasoning_content":
        return {"text": value, "thought": True, **extras(item)}
    part = {"type": "text", "text": value} if isinstance(value, str) else value
    encoded = _part(part)
    is_empty = encoded.get("text") == "" and not extras(item)
    return None if is_empty else {**encoded, **extras(item)}


def _function_call(call: Mapping[str, Any]) -> Part:
    function = call.get("function")
    if not function:
        raise InvalidRequestError("a tool call must have a function: Gemini has no custom tools")
    body = {"name": function.get("name"), "args": arguments_of(call)}
    signature = signature_of(call)
    part: Part = {"functionCall": {**_given_id(call.get("id")), **body}}
    return {**part, "thoughtSignature": signature} if signature else part


def _given_id(call: str | None) -> dict[str, str]:
    return {"id": call} if call and not call.startswith(INVENTED) else {}


def _function_response(message: Mapping[str, Any], names: Mapping[str, str]) -> Part:
    call = message.get("tool_call_id")
    name = names.get(str(call)) or message.get("name")
    if not name:
        raise InvalidRequestError(
            f"a tool message must follow the call that it refers to, got tool_call_id {call!r}"
        )
    parts = _parts(message.get("content"))
    text = "".join(part["text"] for part in parts if "text" in part)
    media = [part for part in parts if "text" not in part]
    response = {**_given_id(call), "name": name, "response": _response(text)}
    return {"functionResponse": {**response, "parts": media} if media else response}


def _response(text: str) -> Any:
    """Return a result as the object that Gemini requires: JSON, or any other text in an object."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = None
    return value if isinstance(value, dict) else {"output": text}


def _parts(content: Any) -> list[Part]:
    """Return the parts for `content`, without an empty text, which Gemini refuses."""
    return [part for each in parts_of(content) if (part := _part(each)) != {"text": ""}]


def _part(part: Mapping[str, Any]) -> Part:
    kind = part.get("type")
    if kind is None:
        return dict(part)  # Gemini's own shape
    if kind not in _PARTS:
        raise InvalidRequestError(f"Gemini does not accept content parts of type {kind!r}")
    return _PARTS[kind](part)


def _text(part: Mapping[str, Any]) -> Part:
    return {"text": part.get("text") or part.get("refusal") or ""}


def _url(part: Mapping[str, Any]) -> Part:
    """Return an image or a video from `image_url` or `video_url`, a text or an object."""
    media = part.get(str(part.get("type"))) or {}
    if isinstance(media, str):
        return _media(media, None)
    return _media(media.get("url") or "", media.get("format"))


def _file(part: Mapping[str, Any]) -> Part:
    file = part.get("file") or {}
    source = file.get("file_data") or file.get("file_id")
    if not source:
        raise InvalidRequestError("a file part must have file_data (a data: URL) or a file_id")
    return _media(source, file.get("format"))


def _audio(part: Mapping[str, Any]) -> Part:
    audio = part.get("input_audio") or {}
    kind = audio_format(audio.get("format"))
    return {"inlineData": {"mimeType": f"audio/{kind}", "data": audio.get("data")}}


def _media(url: str, format: str | None) -> Part:
    given = media_type(format) if format else None
    data = split_data_url(url)
    if data:
        return {"inlineData": {"mimeType": given or data[0], "data": data[1]}}
    ending = url.partition("?")[0].rpartition(".")[2].lower()
    known = given or _MEDIA_TYPES.get(ending)
    return {"fileData": {"mimeType": known, "fileUri": url} if known else {"fileUri": url}}


_PARTS: dict[str, Callable[[Mapping[str, Any]], Part]] = {
    "text": _text,
    "input_text": _text,
    "output_text": _text,
    "refusal": _text,
    "image_url": _url,
    "video_url": _url,
    "file": _file,
    "input_audio": _audio,
}
