"""One question from a terminal: the answer to stdout as it comes, everything else to stderr."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from ritellm import errors
from ritellm.client import Client, Stream
from ritellm.errors import RitellmError
from ritellm.recordings.replay import PREFIX
from ritellm.terminal import clean
from ritellm.types import Chunk

# The first class that fits decides; docs/command-line.md has the table.
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
    """Return the exit status that stands for `error`; 1 for any that has none of its own."""
    return next((status for cls, status in _STATUS if isinstance(error, cls)), 1)


def ask(args: argparse.Namespace) -> int:
    """Ask what the command line says; returns the exit status."""
    try:
        prompt = _from_stdin() if args.prompt in (None, "-") else args.prompt
        prompt.encode()
    except UnicodeError:
        return _refuse("the prompt is not text in UTF-8")
    if not prompt.strip():
        return _refuse("the prompt is empty: give one as an argument, or on stdin")
    system = [{"role": "system", "content": args.system}] if args.system else []
    messages = [*system, {"role": "user", "content": prompt}]
    given = {"stream": not args.no_stream, "record": args.record}
    return _run(args.model, messages, args.json, given)


def _from_stdin() -> str:
    if sys.stdin.isatty():
        print("ritellm: type the prompt, end with Ctrl-D", file=sys.stderr)
    return sys.stdin.read()


def _refuse(why: str) -> int:
    _complain(why, None)
    return exit_status(errors.InvalidRequestError(why))


def replay(args: argparse.Namespace) -> int:
    """Play a recording; returns the exit status."""
    given = {"stream": True, "replay_timing": args.timing}
    return _run(PREFIX + args.path, [{"role": "user", "content": "-"}], args.json, given)


def _run(model: str, messages: list[Any], as_json: bool, given: Mapping[str, Any]) -> int:
    stream = None
    try:
        with Client() as client:
            answer: Any = client.completion(model, messages, **given)
            if given["stream"]:
                stream = answer
                with stream:
                    _show(stream, as_json)
            else:
                text = answer.model_dump_json() if as_json else answer.choices[0].message.content
                _say(f"{text or ''}\n")
    except RitellmError as error:
        _complain(str(error), stream)
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
            _complain("the answer broke off; again from the start", None)
        text = f"{chunk.model_dump_json()}\n" if as_json else _text(chunk)
        if text:
            _say(text)
            ended = text.endswith("\n")
    if not ended:
        _say("\n")


def _text(chunk: Chunk) -> str:
    return "".join((choice.get("delta") or {}).get("content") or "" for choice in chunk["choices"])


def _say(text: str) -> None:
    # A pipe or a file gets the bytes of the model; a terminal would obey them.
    sys.stdout.write(clean(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def _complain(what: str, stream: Stream | None) -> None:
    """Say on stderr what happened, and what the answer has cost by then."""
    if stream is not None and stream.length:
        sys.stdout.write("\n")
        sys.stdout.flush()
        what = f"{what}\npaid so far: {_paid(stream)}"
    print(clean(f"ritellm: {what}"), file=sys.stderr)


def _paid(stream: Stream) -> str:
    usage = stream.usage or {}
    counts = [f"{name} {usage[name]}" for name in usage if name.endswith("_tokens")]
    counted = ", ".join(counts) or "the provider had not counted yet"
    chunks, attempts = _several(stream.length, "chunk"), _several(stream.attempts, "attempt")
    return f"{counted} ({chunks} in {attempts})"


def _several(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
