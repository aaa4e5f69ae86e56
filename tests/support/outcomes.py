"""Outcomes of rows, and what a format of output writes of them."""

from __future__ import annotations

import io
import pickle

import orjson

from transforms.elements import Completion, DeadLetter


def completion(id="a", text="an answer", input=None, message=None, **more):
    """Return a completion whose times and costs are known."""
    message = {"role": "assistant", "content": text, **(message or {})}
    body = {"id": "c-1", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    fields = {
        "finish_reason": "stop",
        "model": "m-1",
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "total_tokens": 5,
        "cached_tokens": None,
        "reasoning_tokens": None,
        "ttft": 0.25,
        "inter_chunk_p50": None,
        "inter_chunk_p95": None,
        "seconds": 1.5,
        "ended_at": 1_700_000_000.25,
        "attempts": 1,
        "cost_usd": 0.0001,
    }
    given = None if input is None else orjson.dumps(input).decode()
    whole = orjson.dumps(body).decode()
    return Completion(id=id, text=text, completion=whole, input=given, **{**fields, **more})


def failed(id="b", input=None, **more):
    """Return the dead letter of a row that the provider refused."""
    fields = {
        "request": "{}",
        "error_type": "BadRequestError",
        "message": "400: no",
        "status_code": 400,
        "retryable": False,
        "attempts": 1,
        "partial_text": "",
    }
    given = input if input is None or isinstance(input, str) else orjson.dumps(input).decode()
    return DeadLetter(id=id, input=given, **{**fields, **more})


def written(format, *rows):
    """Return the file that `format` writes of `rows`, by way of a worker and another process."""
    elsewhere = pickle.loads(pickle.dumps(format))
    records = [elsewhere.encode(row) for row in rows]
    file = io.BytesIO()
    writer = pickle.loads(pickle.dumps(format)).open(file)
    for record in records:
        writer.write(record)
    writer.close()
    return file.getvalue()
