"""Messages as the content blocks of Bedrock's Converse API. No I/O and no clock."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ritellm.errors import InvalidRequestError
from ritellm.wire.call_ids import BEDROCK, with_ids
from ritellm.wire.content import arguments_of, parts_of, text_of
from ritellm.wire.layout import in_order, unpack
from ritellm.wire.media import audio_format, split_data_url
from ritellm.wire.reasoning_details import thinking_blocks
from ritellm.wire.request import present
from ritellm.wire.turns import check_turns

Block = dict[str, Any]

# The name of a completion's layout in `provider_specific_fields`, and the fields it tells apart.
LAYOUT = "bedrock_blocks"
FIELDS = ("thinking_blocks", "content", "tool_calls")

_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9 \-()\[\]]+|(?<= ) +")
# https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html
_FORMATS = {
    "text/plain": "txt",
    "text/markdown": "md",
    # Bedrock has few formats. The rest of what is text can be read as plain text.
    "application/json": "txt",
    "application/xml": "txt",
    "text/xml": "txt",
    "video/3gpp": "three_gp",
    "video/quicktime": "mov",
    "video/x-flv": "flv",
    "video/x-matroska": "mkv",
    "video/x-ms-wmv": "wmv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
}


def encode_messages(messages: Sequence[Mapping[str, Any]]) -> tuple[list[Block], list[Block]]:
    """Return (system, messages); neighbouring messages of one role are one turn.

    Bedrock requires roles to alternate, and results of tools have the role of the user.
    """
    system: list[Block] = []
    turns: list[Block] = []
    for message in with_ids(messages, BEDROCK):
        role, blocks = _turn(message)
        blocks += cache_point(message.get("cache_control"))
        if role == "system":
            system += blocks
        elif turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    check_turns(messages, turns, "Bedrock")
    _name_apart(turns)
    for turn in turns:
        turn["content"] += _beside_documents(turn["content"])
    return system, turns


def _name_apart(turns: Iterable[Mapping[str, Any]]) -> None:
    """Give each document a name of its own, which Bedrock requires."""
    names: set[str] = set()
    for block in (b for turn in turns for b in turn["content"] if "document" in b):
        plain = name = str(block["document"].get("name") or "document")
        number = 1
        while name in names:
            number += 1
            name = f"{plain}-{number}"
        names.add(name)
        block["document"] = {**block["document"], "name": name}


def _beside_documents(blocks: Sequence[Block]) -> list[Block]:
    """Return a text for a turn that has documents alone, which Bedrock refuses: their names."""
    names = [block["document"].get("name") for block in blocks if "document" in block]
    if not names or any("text" in block for block in blocks):
        return []
    return [{"text": ", ".join(str(name) for name in names)}]


def tools_called(turns: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names of the tools that `turns` call, each once."""
    blocks = [block for turn in turns for block in turn["content"]]
    return list(dict.fromkeys(b["toolUse"].get("name") for b in blocks if "toolUse" in b))


def cache_point(control: Mapping[str, Any] | None) -> list[Block]:
    """Return the block that marks the content before it for the cache, if there is `control`."""
    if not control:
        return []
    return [{"cachePoint": present(type="default", ttl=control.get("ttl"))}]


def _turn(message: Mapping[str, Any]) -> tuple[str, list[Block]]:
    role, content = message.get("role"), message.get("content")
    if role in ("system", "developer"):
        return "system", _blocks(parts_of(content))
    if role == "user":
        return "user", _blocks(parts_of(content))
    if role == "assistant":
        return "assistant", _assistant(message)
    if role == "tool":
        return "user", [_tool_result(message)]
    raise InvalidRequestError(f"Bedrock has no role {role!r}")


def _blocks(parts: Sequence[Mapping[str, Any]]) -> list[Block]:
    """Return the blocks for parts, without blank text, which Bedrock refuses."""
    blocks: list[Block] = []
    for part in parts:
        if "type" not in part:  # a block in Bedrock's own shape: cachePoint, guardContent, video
            blocks.append(dict(part))
            continue
        block = _block(part)
        if block:
            blocks += [block, *cache_point(part.get("cache_control"))]
    return blocks


def _block(part: Mapping[str, Any]) -> Block | None:
    kind = part.get("type")
    if kind in ("image_url", "video_url"):
        return _url(part)
    if kind == "file":
        return _file(part.get("file") or {})
    if kind == "input_audio":
        audio = part.get("input_audio") or {}
        kind = audio_format(audio.get("format"))
        return {"audio": {"format": kind, "source": {"bytes": audio.get("data")}}}
    text = part.get("refusal") if kind == "refusal" else text_of([part])
    return {"text": text} if text and not text.isspace() else None


def _url(part: Mapping[str, Any]) -> Block:
    """Return an image or a video from `image_url` or `video_url`, a text or an object."""
    kind = str(part.get("type"))
    media = part.get(kind) or {}
    url = media if isinstance(media, str) else media.get("url") or ""
    what = kind.removesuffix("_url")
    media_type, source = _source(url, what)
    return {what: {"format": _format(media_type), "source": source}}


def _file(file: Mapping[str, Any]) -> Block:
    media_type, source = _source(file.get("file_data") or "", "file")
    kind = media_type.partition("/")[0]
    if kind in ("image", "video", "audio"):
        return {kind: {"format": _format(media_type), "source": source}}
    name = file.get("filename") or "document"
    # Bedrock allows little more than letters in a name, not even the dot of a suffix.
    plain = _NOT_IN_A_NAME.sub("-", name.rpartition(".")[0] or name)[:200]
    return {"document": {"format": _format(media_type), "name": plain, "source": source}}


def _format(media_type: str) -> str:
    return _FORMATS.get(media_type) or media_type.rpartition("/")[2]


def _source(url: str, what: str) -> tuple[str, Block]:
    """Return (media type, source) of a data URL or of an object in S3."""
    if url.startswith("s3://"):
        ending = url.rpartition(".")[2].lower()
        return "jpeg" if ending == "jpg" else ending, {"s3Location": {"uri": url}}
    data = split_data_url(url)
    if data is None:
        raise InvalidRequestError(
            f"Bedrock does not fetch from the web: pass the {what} {url[:80]!r} as a data: URL"
            " (base64) or as s3://"
        )
    return data[0], {"bytes": data[1]}


def _tool_result(message: Mapping[str, Any]) -> Block:
    call_id = message.get("tool_call_id")
    if not call_id:
        raise InvalidRequestError("a tool message must have the tool_call_id of its call")
    content = _blocks(parts_of(message.get("content")))
    status = "error" if message.get("is_error") else None
    return {"toolResult": present(toolUseId=call_id, content=content, status=status)}


def _assistant(message: Mapping[str, Any]) -> list[Block]:
    """Return the blocks of an earlier completion, as they arrived unless it was edited."""
    layout = (message.get("provider_specific_fields") or {}).get(LAYOUT)
    message = {**message, "thinking_blocks": thinking_blocks(message)}
    blocks: list[Block] = []
    for item, value in unpack(layout, message, FIELDS) or in_order(message, FIELDS):
        field = item.get("from")
        if field is None:
            blocks.append(item)
        elif field == "thinking_blocks":
            blocks += _thought(value)
        elif field == "tool_calls":
            blocks.append(_tool_use(value))
        elif field == "images":
            blocks.append(_url(value))
        else:
            part = {"type": "text", "text": value} if isinstance(value, str) else value
            blocks += _blocks([part])
    if not blocks and message.get("refusal"):
        return _blocks([{"type": "text", "text": message["refusal"]}])
    return blocks


def _thought(block: Mapping[str, Any]) -> list[Block]:
    """Return a thinking block, or nothing if it has no signature: models refuse those."""
    if block.get("type") == "redacted_thinking":
        return [{"reasoningContent": {"redactedContent": block.get("data")}}]
    if not block.get("signature"):
        return []
    text = {"text": block.get("thinking") or "", "signature": block["signature"]}
    return [{"reasoningContent": {"reasoningText": text}}]


def _tool_use(call: Mapping[str, Any]) -> Block:
    function = call.get("function")
    if not function:
        raise InvalidRequestError("a tool call must have a function: Bedrock has no custom tools")
    name, given = function.get("name"), arguments_of(call)
    return {"toolUse": {"toolUseId": call.get("id") or "", "name": name, "input": given}}
