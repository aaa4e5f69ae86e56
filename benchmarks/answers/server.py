"""A model server that breaks every rule of an answer in turn.

    python -m benchmarks.answers.server --gap_ms 5

prints `{"port": ...}` and serves until its stdin closes. The number in a prompt chooses what is
wrong with the first answer. Half of the second answers are wrong too, and one row in a hundred
never gets a right one. With `--gap_ms` each first answer begins with a wrong label, and goes on for
`--tokens` words.
`GET /stats` returns the requests, and the tokens that were written until the client left.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import re
import sys
from collections.abc import Iterator
from typing import Any

GOOD = {"label": "good", "score": 0.25, "tags": ["a", "b"], "why": None}
_TEXT = json.dumps(GOOD)
# Each breaks one rule of the schema, of JSON, or of how an answer is written.
WRONG = (
    _TEXT.replace("good", "ugly"),
    _TEXT.replace("0.25", '"0.25"'),
    _TEXT.replace("0.25", "NaN"),
    _TEXT.replace("0.25", "1e999"),
    _TEXT.replace("0.25", "0.25,"),
    _TEXT.replace('"why"', '"reason"'),
    _TEXT[:-1] + ',"more":1}',
    _TEXT[:-1] + ',"label":"bad"}',
    _TEXT[:-1] + ",}",
    _TEXT + _TEXT,
    _TEXT[:30],
    f"[{_TEXT}]",
    json.dumps(_TEXT),
    "I am sorry, but I cannot do that.",
    "",
    f"Here it is: {_TEXT}",
    _TEXT.replace('"a"', '"\\ud800"'),
    "[" * 5_000,
    _TEXT.replace('["a", "b"]', "[" * 150 + "]" * 150),
    "```json\n" + _TEXT[:-1] + ",}\n```",
)
# These are right, whatever is around the object.
RIGHT = (_TEXT, f"```json\n{_TEXT}\n```", json.dumps(GOOD, indent=2), f"\n {_TEXT}\n")

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_NUMBER = re.compile(r"row (\d+)")


class Server:
    """Answers requests; counts them, and the words that were written."""

    def __init__(self, gap_ms: float, tokens: int) -> None:
        self._gap = gap_ms / 1000
        self._tokens = tokens
        self._pieces = itertools.cycle((1, 3, 7, 1_000))
        self.requests = self.written = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = re.search(rb"content-length: (\d+)", head.lower())
                body = await reader.readexactly(int(length[1]) if length else 0)
                if head.startswith(b"GET"):
                    stats = {"requests": self.requests, "written": self.written}
                    data = json.dumps(stats).encode()
                    writer.write(
                        b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(data) + data
                    )
                    continue
                self.requests += 1
                await self._answer(json.loads(body), writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        writer.write(_HEAD)
        asked_again = len(request["messages"]) > 1
        if self._gap:
            await self._slowly("good" if asked_again else "ugly", writer)
        else:
            number = int(_NUMBER.search(request["messages"][0]["content"])[1])  # type: ignore[index]
            for event in _events(_text(number, len(request["messages"]) // 2), next(self._pieces)):
                if writer.is_closing():
                    raise ConnectionResetError
                writer.write(event)
        writer.write(_ending(self._tokens))
        await writer.drain()

    async def _slowly(self, label: str, writer: asyncio.StreamWriter) -> None:
        words = (f'{{"label": "{label}", "words": ["', *["word "] * self._tokens, '"]}')
        for word in words:
            if writer.is_closing():
                raise ConnectionResetError
            writer.write(_event(word))
            await writer.drain()
            self.written += 1
            await asyncio.sleep(self._gap)


def _text(number: int, asks: int) -> str:
    never = number % 100 == 99
    wrong = WRONG[(number // 4 + 7 * asks) % len(WRONG)]
    if never or asks == 0 or (asks == 1 and number % 2):
        return wrong
    return RIGHT[number % len(RIGHT)]


def _events(text: str, size: int) -> Iterator[bytes]:
    size = max(size, len(text) // 100)  # a text of thousands of characters in a hundred pieces
    for start in range(0, len(text), size):
        yield _event(text[start : start + size])


def _chunk(**fields: Any) -> bytes:
    data = json.dumps({"id": "c", "object": "chat.completion.chunk", "model": "m", **fields})
    return b"data: " + data.encode() + b"\n\n"


def _event(text: str) -> bytes:
    delta = {"role": "assistant", "content": text}
    return _framed(_chunk(choices=[{"index": 0, "delta": delta, "finish_reason": None}]))


def _ending(tokens: int) -> bytes:
    usage = {"prompt_tokens": 50, "completion_tokens": tokens, "total_tokens": 50 + tokens}
    stop = _chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
    counts = _chunk(choices=[], usage=usage)
    return _framed(stop + counts + b"data: [DONE]\n\n") + b"0\r\n\r\n"


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def run(gap_ms: float, tokens: int) -> None:
    """Serve until stdin closes."""
    server = Server(gap_ms, tokens)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, backlog=1024)
    print(json.dumps({"port": listening.sockets[0].getsockname()[1]}), flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gap_ms", type=float, default=0.0, help="between two words")
    parser.add_argument("--tokens", type=int, default=40, help="in each answer")
    asyncio.run(run(**vars(parser.parse_args())))
