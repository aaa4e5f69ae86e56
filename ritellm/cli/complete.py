"""One completion from a terminal: the answer goes to stdout as it arrives, the rest to stderr."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ritellm import errors
from ritellm.cli.stdout import put
from ritellm.client import Client
from ritellm.errors import RitellmError
from ritellm.recordings.replay import PREFIX
from ritellm.stream import Stream
from ritellm.terminal import clean
from ritellm.types import Chunk

# The first matching class decides; docs/command-line.md contains the table.
_STATUS: tuple[tuple[type[RitellmError], int], ...] = (
    (errors.InvalidRequestError, 2),
    (errors.AuthenticationError, 3),
    (errors.PermissionDeniedError, 3),
    (errors.BadRequestError, 4),
    (errors.NotFoundError, 4),
    (errors.UnprocessableEntityError, 4),
    (errors.RateLimitError, 5),
    (errors.Timeout, 6),
    (errors.APIConnectionError, 7),
    (errors.InternalServerError, 8),
    (errors.BadGatewayError, 8),
    (errors.ServiceUnavailableError, 8),
)


def exit_status(error: RitellmError) -> int:
    """Return the exit status for `error`; 1 if its class is not in the table."""
    return next((status for cls, status in _STATUS if isinstance(error, cls)), 1)


def complete(args: argparse.Namespace) -> int:
    """Send the prompt of the command line; returns the exit status."""
    try:
        prompt = _prompt(args.prompt)
        prompt.encode()
    except UnicodeError:
        return _reject("the prompt must be text in UTF-8")
    if not prompt.strip():
        return _reject("the prompt must not be empty: pass it as an argument, or on stdin")
    try:
        params = _params(args)
    except ValueError as error:
        return _reject(str(error))
    system = [{"role": "system", "content": args.system}] if args.system else []
    messages = [*system, {"role": "user", "content": prompt}]
    given = {"stream": not args.no_stream, "record": args.record, **params}
    return _run(args.model, messages, args.json, given)


def _prompt(argument: str | None) -> str:
    """Return the prompt: what is on stdin, then the argument, with an empty line between them."""
    if argument in (None, "-"):
        if sys.stdin is None:
            return ""
        if sys.stdin.isatty():
            print("ritellm: type the prompt, then press Ctrl-D", file=sys.stderr)
        return sys.stdin.read()
    before = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()
    return f"{before.rstrip()}\n\n{argument}" if before.strip() else str(argument)


def _params(args: argparse.Namespace) -> dict[str, Any]:
    """Return the parameters that the command line sets; raises OSError or ValueError."""
    params = {"temperature": args.temperature, "max_tokens": args.max_tokens}
    if args.schema is not None:
        shape = {"name": "answer", "schema": _schema(args.schema)}
        params["response_format"] = {"type": "json_schema", "json_schema": shape}
    return {name: value for name, value in params.items() if value is not None}


def _schema(given: str) -> dict[str, Any]:
    try:
        is_json = given.lstrip().startswith("{")
        schema = json.loads(given if is_json else Path(given).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"cannot read --schema {given}: {error.strerror}") from None
    except UnicodeError:
        raise ValueError(f"--schema {given} must be text in UTF-8") from None
    except ValueError as error:
        raise ValueError(f"--schema must be JSON: {error}") from None
    if not isinstance(schema, dict):
        raise ValueError(f"--schema must be a JSON object, got {type(schema).__name__}")
    return schema


def _reject(why: str) -> int:
    _complain(why, None)
    return exit_status(errors.InvalidRequestError(why))


def replay(args: argparse.Namespace) -> int:
    """Replay a recording; returns the exit status."""
    given = {"stream": True, "replay_timing": args.timing}
    return _run(PREFIX + args.path, [{"role": "user", "content": "-"}], args.json, given)


def _run(model: str, messages: list[Any], as_json: bool, given: Mapping[str, Any]) -> int:
    stream = None
    try:
        with Client() as client:
            result: Any = client.completion(model, messages, **given)
            if given["stream"]:
                stream = result
                with stream:
                    _show(stream, as_json)
            else:
                text = result.model_dump_json() if as_json else result.choices[0].message.content
                put(f"{text or ''}\n")
    except RitellmError as error:
        # A command line has no argument for a key: others could read it there.
        _complain(str(error).replace(", or pass api_key", ""), stream)
        return exit_status(error)
    except KeyboardInterrupt:
        if stream is not None and stream.length:
            _complain("stopped", stream)
        raise
    return 0


def _show(stream: Stream, as_json: bool) -> None:
    attempt, ended = 1, True
    for chunk in stream:
        if chunk.attempt != attempt:
            attempt = chunk.attempt
            _complain("the stream was interrupted; restarting it", None)
        text = f"{chunk.model_dump_json()}\n" if as_json else _text(chunk)
        if text:
            put(text)
            ended = text.endswith("\n")
    if not ended:
        put("\n")


def _text(chunk: Chunk) -> str:
    return "".join((choice.get("delta") or {}).get("content") or "" for choice in chunk["choices"])


def _complain(what: str, stream: Stream | None) -> None:
    """Print to stderr what happened, and the tokens that are billed so far."""
    if stream is not None and stream.length:
        sys.stdout.write("\n")
        sys.stdout.flush()
        what = f"{what}\npaid so far: {_paid(stream)}"
    print(clean(f"ritellm: {what}"), file=sys.stderr)


def _paid(stream: Stream) -> str:
    usage = stream.usage or {}
    counts = [f"{name} {usage[name]}" for name in usage if name.endswith("_tokens")]
    counted = ", ".join(counts) or "the provider has not reported usage yet"
    chunks, attempts = _plural(stream.length, "chunk"), _plural(stream.attempts, "attempt")
    return f"{counted} ({chunks} in {attempts})"


def _plural(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
