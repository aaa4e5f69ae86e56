"""The records in completions that are whole already. No Beam."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from ritellm.chunks.sum import completion_to_chunk
from ritellm.errors import ABOUT_VALUES
from ritellm.structured.chunks import ChunkElements
from ritellm.structured.elements import Element
from ritellm.structured.paths import JsonPath
from transforms.elements import Completion, Record
from transforms.worker.records.reading import Check, accept, fault_of
from transforms.worker.stops.stop_conditions import STOPPED


def records_in(completion: Completion, path: JsonPath, check: Check = accept) -> Iterator[Record]:
    """Yield the records of `completion`, each with its `input` and with what `check` says of it.

    If the JSON has a fault or does not end, a last record without a value says so. It is not valid.
    """
    elements = ChunkElements(path, attempt=completion.attempts)
    found: list[Element] = []
    fault = ""
    try:
        chunk = completion_to_chunk(orjson.loads(completion.completion))
        found = elements.elements(chunk)
        elements.close()
    except ABOUT_VALUES as error:
        found += elements.taken()
        fault = f"RecordsInvalid: {error}"
    else:
        if elements.truncated and completion.finish_reason != STOPPED:
            fault = f"RecordsTruncated: the JSON has not ended ({completion.finish_reason})"
    for element in found:
        yield _record(completion, element, fault_of(element, check))
    if fault:
        place = completion.submission or "", completion.attempts, elements.count
        yield Record(completion.id, *place, "$", None, False, fault, input=completion.input)


def _record(completion: Completion, element: Element, message: str) -> Record:
    return Record(
        completion.id,
        completion.submission or "",
        completion.attempts,
        element.index,
        element.path,
        element.raw,
        valid=not message,
        message=message or None,
        tool_call=element.tool_call,
        input=completion.input,
    )
