"""A fast OpenAI-compatible server on loopback, for benchmarks. It must never be the bottleneck.

    python -m benchmarks.servers --mode paced --chunks 250 --gap-ms 20

prints `{"port": ...}` and serves until its stdin closes or its parent dies. It renders one response
at the start, and sends it to every request.

firehose: the whole response as fast as the socket accepts it.
paced: one chunk to each stream every `--gap-ms`. One timer serves all streams, without tasks. It
spreads them evenly over the gap, like unrelated models, unless `--in-step`. With `--dated` each
text is the time at which it was written, by this machine's monotonic clock.
`GET /stats` returns counts of what was served, and the cost (`cpu_seconds`, `max_late_msec`).

For other benchmarks: `with serving("paced", chunks=250) as server: client_of(server.base_url)`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from benchmarks import ROOT
from benchmarks.trouble.troubles import TROUBLES, Trouble

_BURST_BYTES = 256 * 1024  # a firehose writes this much before other streams may write
_PARENT_CHECK_SECONDS = 0.5
_DATE = b"%017.6f"
_EVENT_HEADERS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
_JSON_HEADERS = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"


@dataclass(frozen=True)
class Running:
    """A server in a process of its own."""

    port: int
    pid: int

    @property
    def base_url(self) -> str:
        """The base URL for a client."""
        return f"http://127.0.0.1:{self.port}/v1"

    def stats(self) -> dict[str, Any]:
        """Return requests, open, max_open, bytes, cpu_seconds and max_late_msec so far."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        with contextlib.closing(connection):
            connection.request("GET", "/stats")
            stats: dict[str, Any] = json.loads(connection.getresponse().read())
        return stats


@contextlib.contextmanager
def serving(mode: str, **options: object) -> Iterator[Running]:
    """Run a server for the time of the block; `options` are its flags (`in_step=True`)."""
    flags = [
        f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}")
        for name, value in options.items()
        if value is not False
    ]
    command = [sys.executable, "-m", "benchmarks.servers", f"--mode={mode}", *flags]
    # Leaving the block closes the server's stdin, which ends the server, and waits for it.
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdout
        yield Running(json.loads(process.stdout.readline())["port"], process.pid)


class Response:
    """The response, rendered as the `pieces` of a stream, and as `whole` for requests without one.

    A piece is one event. The last events (finish, usage, `[DONE]`) are one piece, as providers
    send them.
    """

    def __init__(self, chunks: int, text_bytes: int, *, chunked: bool, dated: bool = False) -> None:
        self.chunks = chunks
        self.blank = b"@" * len(_DATE % 0) if dated else b""  # a date replaces this
        words = [self.blank.decode() or _word(n, text_bytes) for n in range(chunks)]
        usage = {"prompt_tokens": 9, "completion_tokens": chunks, "total_tokens": 9 + chunks}
        events = list(_events(words, usage))
        length = b"content-length: %d\r\n\r\n" % sum(map(len, events))
        self.head = _EVENT_HEADERS + (b"transfer-encoding: chunked\r\n\r\n" if chunked else length)
        pieces = [*map(_http_chunk, events), b"0\r\n\r\n"] if chunked else events
        ending = chunks + 1  # after the role and the texts
        self.pieces = [*pieces[:ending], b"".join(pieces[ending:])]
        message = {"role": "assistant", "content": "".join(words), "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        answer = _common("chat.completion") | {"choices": [choice], "usage": usage}
        self.whole = _json_response(answer)


def _word(n: int, size: int) -> str:
    """Return a word of `size` bytes that varies with `n`."""
    return " " + "abcdefghijklmnopqrstuvwxyz"[n % 26] * (size - 1)


def _common(kind: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-CbXq0bC7TqvPzfO2o9kRkV1nKzBnW",
        "object": kind,
        "created": 1_760_000_000,
        "model": "gpt-4o-mini-2024-07-18",
        "service_tier": "default",
        "system_fingerprint": "fp_560af6e559",
    }


def _events(words: list[str], usage: dict[str, int]) -> Iterator[bytes]:
    """Yield the events that OpenAI would send, padded with `obfuscation` as OpenAI does."""
    common = _common("chat.completion.chunk")
    first = {"role": "assistant", "content": "", "refusal": None}
    deltas = [(first, None), *(({"content": word}, None) for word in words), ({}, "stop")]
    for delta, finish_reason in deltas:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        yield _event(common | {"choices": [choice], "usage": None, "obfuscation": "x3Kq9dPz"})
    yield _event(common | {"choices": [], "usage": usage, "obfuscation": ""})
    yield b"data: [DONE]\n\n"


def _event(chunk: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % orjson.dumps(chunk)


def _http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _json_response(content: dict[str, Any], status: bytes = b"200 OK") -> bytes:
    body = orjson.dumps(content)
    return _JSON_HEADERS % (status, len(body)) + body


def _refusal(status: int, headers: dict[str, str]) -> bytes:
    body = orjson.dumps({"error": {"message": "not now", "type": "server_error", "code": None}})
    head = b"HTTP/1.1 %d Refused\r\ncontent-type: application/json\r\n" % status + _lines(headers)
    return head + b"content-length: %d\r\n\r\n%b" % (len(body), body)


def _lines(headers: dict[str, str]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()


class Wheel:
    """One timer for all paced streams. It serves slots of streams in turn, each once per gap.

    A stream stays in its slot, so its chunks are one gap apart. With `in_step` a new stream joins
    the slot that was served last. Otherwise new streams go to the slots in turn.
    """

    def __init__(self, gap: float, *, in_step: bool) -> None:
        self.max_late = 0.0
        self._in_step = in_step
        self._added = 0
        self._slots: list[set[Connection]] = [set() for _ in range(max(1, round(gap * 1000)))]
        self._tick = gap / len(self._slots)
        self._turns = 0
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._population = 0

    def add(self, stream: Connection) -> Callable[[], None]:
        """Call `stream.write_next()` once every gap; return a function that stops the calls."""
        if self._timer is None:  # the timer stopped when the last stream ended
            self._turns = int((self._loop.time() - self._start) / self._tick) + 1
            self._schedule()
        self._added += 1
        number = self._turns - 1 if self._in_step else self._added  # -1: the slot served last
        slot = self._slots[number % len(self._slots)]
        slot.add(stream)
        self._population += 1

        def remove() -> None:
            slot.discard(stream)
            self._population -= 1

        return remove

    def _schedule(self) -> None:
        self._timer = self._loop.call_at(self._start + self._turns * self._tick, self._turn)

    def _turn(self) -> None:
        """Serve all slots that are due, including those that are late."""
        now = self._loop.time()
        self.max_late = max(self.max_late, now - self._start - self._turns * self._tick)
        while self._start + self._turns * self._tick <= now:
            slot = self._slots[self._turns % len(self._slots)]
            self._turns += 1
            for stream in list(slot):
                stream.write_next()
        self._timer = None
        if self._population:
            self._schedule()


class Server:
    """The response, the timer and the counts that all connections share."""

    def __init__(
        self,
        response: Response,
        wheel: Wheel | None,
        first: float,
        gap: float,
        trouble: Trouble | None = None,
        slow: tuple[int, float] = (0, 0.0),
    ) -> None:
        self.response = response
        self.trouble = trouble
        self.connections = 0
        self.began: float | None = None
        self.ends: list[float] = []  # seconds since the first request
        self.firsts: list[float] = []  # seconds to the first chunk
        self.first = first
        self._slow_every, self._slow_by = slow
        self.whole_after = first + gap * response.chunks
        self.wheel = wheel
        self.requests = self.open = self.max_open = self.bytes = 0

    def begin(self) -> None:
        """Count a new response."""
        self.open += 1
        self.max_open = max(self.max_open, self.open)

    def wait(self, *, streamed: bool) -> float:
        """Return the seconds before the newest request gets its response; some get it late."""
        every = self._slow_every
        late = self._slow_by if every and self.requests % every == 0 else 0.0
        return late + (self.first if streamed else self.whole_after)

    def now(self) -> float:
        """Return the seconds since the first request."""
        now = time.monotonic()
        self.began = self.began or now
        return now - self.began

    def stats(self) -> dict[str, Any]:
        """Return counts since the start, and the CPU time used."""
        return {
            "refused": self.trouble.refused if self.trouble else 0,
            "ends": self.ends,
            "firsts": self.firsts,
            "requests": self.requests,
            "open": self.open,
            "max_open": self.max_open,
            "bytes": self.bytes,
            "cpu_seconds": time.process_time(),
            "max_late_msec": self.wheel.max_late * 1000 if self.wheel else 0.0,
        }


class Connection(asyncio.Protocol):
    """One TCP connection, which responds to its requests one after the other."""

    _transport: asyncio.Transport

    def __init__(self, server: Server) -> None:
        self._server = server
        server.connections += 1
        self._number = server.connections
        self._limits = b""  # lines of the head
        self._buffer = b""
        self._next = 0
        self._answering = self._paused = self._closes = False
        self._cancel: Callable[[], None] = _nothing

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._answering and self._server.wheel is None:
            self._pour()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while not self._answering and self._take_request():
            pass

    def write_next(self) -> None:
        """Write one chunk, unless a slow client has not read earlier ones yet."""
        if self._paused:
            return
        pieces, blank = self._server.response.pieces, self._server.response.blank
        piece = pieces[self._next]
        self._write(piece.replace(blank, _DATE % time.monotonic()) if blank else piece)
        self._next += 1
        if self._next == len(pieces):
            self._end_and_continue()

    def _take_request(self) -> bool:
        """Respond to the request in the buffer; return whether the buffer had a complete one."""
        end = self._buffer.find(b"\r\n\r\n") + 4
        if end < 4:
            return False
        head = self._buffer[:end].lower()
        if b"\r\ntransfer-encoding:" in head:
            self._write(_json_response({"error": "send a content-length"}, b"411 Length Required"))
            self._transport.close()
            return False
        size = _content_length(head)
        if len(self._buffer) < end + size:
            return False
        body, self._buffer = self._buffer[end : end + size], self._buffer[end + size :]
        self._answer(head, body)
        return True

    def _answer(self, head: bytes, body: bytes) -> None:
        server = self._server
        if head.startswith(b"get /stats"):
            self._write(_json_response(server.stats()))
        elif head.startswith(b"get /v1/models"):
            self._write(_json_response({"object": "list", "data": []}))
            self._transport.close()
        elif head.startswith(b"post "):
            server.requests += 1
            request = orjson.loads(body)
            if server.trouble and self._refused(server.trouble, request):
                return
            self._answering = True
            self._closes = b"\r\nconnection: close" in head
            server.begin()
            streamed = request.get("stream")
            delay = server.wait(streamed=streamed)
            if server.trouble:
                delay *= server.trouble.slowness(server.open)
                self._limits = _lines(server.trouble.headers())
                server.firsts.append(delay)
            self._after(delay, self._begin_stream if streamed else self._write_whole)
        else:
            self._write(_json_response({"error": "no such page"}, b"404 Not Found"))

    def _refused(self, trouble: Trouble, request: dict[str, Any]) -> bool:
        """Refuse the request if the trouble says so; return whether it was refused."""
        server = self._server
        row = int(request["messages"][-1]["content"].rpartition(" ")[2].rstrip("."))
        refusal = trouble.refuse(server.now(), row, server.open, self._number)
        if refusal is None:
            return False
        if isinstance(refusal.fate, int):
            self._write(_refusal(refusal.fate, refusal.headers))
            return True
        if refusal.fate == "truncated":
            pieces = server.response.pieces
            self._write(server.response.head + b"".join(pieces[: len(pieces) // 2]))
        self._transport.close()
        return True

    def _after(self, delay: float, call: Callable[[], None]) -> None:
        if delay:
            self._cancel = asyncio.get_running_loop().call_later(delay, call).cancel
        else:
            call()

    def _write_whole(self) -> None:
        self._write(self._server.response.whole)
        self._end_and_continue()

    def _begin_stream(self) -> None:
        self._next = 0
        head = self._server.response.head
        self._write(head[:-2] + self._limits + b"\r\n" if self._limits else head)
        if self._server.wheel is None:
            self._pour()
        else:
            self._cancel = self._server.wheel.add(self)
            self.write_next()

    def _pour(self) -> None:
        """Write bursts until the socket is full (`resume_writing` continues) or all is written."""
        pieces = self._server.response.pieces
        per_burst = max(1, _BURST_BYTES // len(pieces[0]))
        burst = pieces[self._next : self._next + per_burst]
        self._next += len(burst)
        self._write(b"".join(burst))
        if self._next >= len(pieces):
            self._end_and_continue()
        elif not self._paused:
            self._cancel = asyncio.get_running_loop().call_soon(self._pour).cancel

    def _write(self, data: bytes) -> None:
        self._server.bytes += len(data)
        self._transport.write(data)

    def _end(self) -> None:
        if self._answering:
            self._answering = False
            self._server.open -= 1
            self._cancel()
            self._cancel = _nothing

    def _end_and_continue(self) -> None:
        if self._server.trouble:
            self._server.ends.append(self._server.now())
        self._end()
        if self._closes:
            self._transport.close()
        elif self._buffer:
            self.data_received(b"")


def _nothing() -> None:
    pass


def _content_length(head: bytes) -> int:
    """Return the length that the head, in lower case, declares."""
    _, found, rest = head.partition(b"\r\ncontent-length:")
    return int(rest[: rest.index(b"\r")]) if found else 0


def _watch_stdin(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    """Call `stop` when stdin closes. A file or /dev/null is not watched: it has no writer."""
    mode = os.fstat(0).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(0)):
        return

    def read() -> None:
        if not os.read(0, 4096):
            stop()

    loop.add_reader(0, read)


async def _live(parent: int) -> None:
    """Return when stdin closes or the parent has died."""
    stopped = asyncio.Event()
    _watch_stdin(asyncio.get_running_loop(), stopped.set)
    while not stopped.is_set() and os.getppid() == parent:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(stopped.wait(), _PARENT_CHECK_SECONDS)


async def _serve(options: argparse.Namespace) -> None:
    parent = os.getppid()
    chunked = options.framing == "chunked"
    size, dated = options.text_bytes, options.dated
    response = Response(options.chunks, size, chunked=chunked, dated=dated)
    gap = options.gap_ms / 1000 if options.mode == "paced" else 0.0
    wheel = Wheel(gap, in_step=options.in_step) if gap else None
    trouble = TROUBLES[options.trouble]() if options.trouble else None
    slow = options.slow_every, options.slow_ms / 1000
    server = Server(response, wheel, options.first_ms / 1000, gap, trouble, slow)
    listener = await asyncio.get_running_loop().create_server(
        lambda: Connection(server), "127.0.0.1", options.port, backlog=4096
    )
    print(json.dumps({"port": listener.sockets[0].getsockname()[1]}), flush=True)
    await _live(parent)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="An OpenAI-compatible server for benchmarks.")
    parser.add_argument("--mode", choices=["firehose", "paced"], default="firehose")
    parser.add_argument("--chunks", type=int, default=1000, help="chunks with text, per response")
    parser.add_argument("--gap-ms", type=float, default=20, help="between two chunks; paced only")
    parser.add_argument("--in-step", action="store_true", help="do not spread streams over the gap")
    parser.add_argument("--dated", action="store_true", help="texts are times; paced only")
    parser.add_argument("--first-ms", type=float, default=0, help="wait before the response")
    parser.add_argument("--slow-every", type=int, default=0, help="every Nth response is late")
    parser.add_argument("--slow-ms", type=float, default=0, help="by so much")
    parser.add_argument("--text-bytes", type=int, default=6, help="of text in each chunk")
    parser.add_argument("--framing", choices=["chunked", "length"], default="chunked")
    parser.add_argument("--trouble", choices=[*TROUBLES], help="see benchmarks/trouble/troubles.py")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args(argv)
    if options.mode == "paced" and options.gap_ms <= 0:
        parser.error(f"--gap-ms must be positive, got {options.gap_ms:g}")
    return options


def main(argv: list[str] | None = None) -> None:
    """Serve until stdin closes or the parent dies."""
    options = _parse(argv)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(options))


if __name__ == "__main__":
    main()
