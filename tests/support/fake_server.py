"""A model server on loopback that does what a test tells it to, in a thread of its own.

It speaks HTTP/1.1 and OpenAI's chat format, and knows nothing of ritellm. A `Reply` is plain data:
a status, headers and steps. No test needs to sleep: `Wait` holds a stream until the test says go,
`wait_until` waits for the server.

    with FakeServer() as server:
        events = chat_events("one two three")
        server.enqueue(stream(*events[:2], Reset()))            # cut off in the middle
        server.enqueue(chat_stream("hi").but(pieces_of=1))      # a byte at a time
"""

from __future__ import annotations

import asyncio
import itertools
import re
import socket
import struct
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import client as http_client
from typing import Any, Literal, NamedTuple, TypeAlias
from urllib.parse import parse_qsl

import orjson

# What a reply does, step by step


@dataclass(frozen=True)
class Head:
    """Send the status line and the headers now; implied by the first `Send` or `End` only."""


@dataclass(frozen=True)
class Send:
    """Send bytes of the body, once the client has taken all that was sent before."""

    data: bytes


@dataclass(frozen=True)
class Pause:
    """Let real seconds pass; prefer `Wait`."""

    seconds: float


@dataclass(frozen=True)
class Wait:
    """Hold the stream until the test sets the event."""

    event: threading.Event


@dataclass(frozen=True)
class Call:
    """Call something of the test's, in the server's thread; it must not wait."""

    function: Callable[[], object]


@dataclass(frozen=True)
class Stall:
    """Say nothing more until the client leaves."""


@dataclass(frozen=True)
class Reset:
    """Abort the TCP connection (RST)."""


@dataclass(frozen=True)
class Close:
    """Close the TCP connection (FIN), without the end of the body unless an `End` came before."""


@dataclass(frozen=True)
class End:
    """End the body properly. Implied after the last step."""


Step: TypeAlias = Head | Send | Pause | Wait | Call | Stall | Reset | Close | End


@dataclass(frozen=True)
class Reply:
    """One HTTP answer, as data.

    Args:
        framing: How the body ends: by a zero chunk, by its content-length, or by closing the
            connection, where HTTP cannot tell the end from a cut.
        encoding: "gzip" compresses the body and flushes after each `Send`.
        pieces_of: Cut what each `Send` puts on the wire into pieces of that many bytes (several
            sizes take turns); with chunked framing each piece is an HTTP chunk of its own.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    steps: Sequence[Step] = ()
    framing: Literal["chunked", "length", "close"] = "chunked"
    encoding: Literal["gzip"] | None = None
    pieces_of: int | Sequence[int] | None = None

    def but(self, **changes: Any) -> Reply:
        """Return the same reply with some fields changed."""
        return replace(self, **changes)


@dataclass(frozen=True)
class Request:
    """One request as it came; `connection` numbers the TCP connections from 1."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    connection: int

    @property
    def json(self) -> Any:
        """The decoded body."""
        return orjson.loads(self.body)


Script: TypeAlias = Callable[[Request], Reply]

# Replies in OpenAI's words


class ToolCall(NamedTuple):
    """A call that the fake model makes; arguments given in pieces are streamed in those pieces."""

    id: str
    name: str
    arguments: str | Sequence[str] = "{}"


# Blocks that carry no chunk: a client must read past each of them.
SPRINKLES = (b": ping\n\n", b"id: 7\n\n", b"retry: 3000\n\n", b"event: ping\n\n", b"data:\n\n")


def sse(data: Any, *, event: str | None = None, newline: str = "\n") -> bytes:
    """Return one server-sent event; `data` is a string or becomes JSON."""
    text = data if isinstance(data, str) else orjson.dumps(data).decode()
    lines = [f"event: {event}"] if event else []
    lines += [f"data: {line}" for line in text.split("\n")]
    return newline.join([*lines, "", ""]).encode()


def chat_chunk(
    delta: Mapping[str, Any], *, index: int = 0, finish_reason: str | None = None, **fields: Any
) -> dict[str, Any]:
    """Return a chat.completion.chunk with one choice; `fields` replaces or adds top-level ones."""
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "fake-model",
        "system_fingerprint": "fp_fake",
        "choices": [choice],
    } | fields


def chat_events(
    text: str | Sequence[str] = "Hello from the fake model",
    *,
    finish_reason: str | None = "stop",
    usage: bool | Mapping[str, Any] = True,
    done: bool = True,
    model: str = "fake-model",
    id: str = "chatcmpl-1",
    choices: int = 1,
    tool_calls: Sequence[ToolCall] | None = None,
    reasoning: str | Sequence[str] | None = None,
    newline: str = "\n",
    sprinkle: Sequence[bytes] = (),
) -> list[bytes]:
    """Return the events of a streamed chat completion, to be cut or sent whole.

    Args:
        text: A string is streamed word by word, pieces as they are. Every choice says the same.
        finish_reason: None leaves the finishing chunk out; "stop" becomes "tool_calls" with calls.
        usage: True counts words; False sends none, and no `"usage":null` either.
        sprinkle: Blocks (`SPRINKLES`) to put before each event, in the same list item.
    """
    pieces, thoughts = _pieces(text), _pieces(reasoning or ())
    fields: dict[str, Any] = {"id": id, "model": model} | ({"usage": None} if usage else {})
    deltas = _deltas(pieces, thoughts, tool_calls or ())
    chunks = [chat_chunk(delta, index=i, **fields) for delta in deltas for i in range(choices)]
    if finish_reason:
        reason = _finish_reason(finish_reason, tool_calls)
        chunks += [chat_chunk({}, index=i, finish_reason=reason, **fields) for i in range(choices)]
    if usage:
        counted = usage_of("", "".join(pieces)) if usage is True else usage
        chunks.append(chat_chunk({}, **fields) | {"choices": [], "usage": counted})
    events = [sse(chunk, newline=newline) for chunk in chunks]
    events += [sse("[DONE]", newline=newline)] if done else []
    between = b"".join(sprinkle).replace(b"\n", newline.encode())
    return [between + event for event in events]


def stream(*parts: bytes | Step, **fields: Any) -> Reply:
    """Return a 200 text/event-stream of events (bytes) and steps; `fields` are `Reply`'s."""
    headers = {"content-type": "text/event-stream; charset=utf-8"}
    steps = [Send(part) if isinstance(part, bytes) else part for part in parts]
    return Reply(headers=headers, steps=steps).but(**fields)


def chat_stream(text: str | Sequence[str] = "Hello from the fake model", **options: Any) -> Reply:
    """Return a whole streamed chat completion; the options are those of `chat_events`."""
    return stream(*chat_events(text, **options))


def chat_json(
    text: str = "Hello from the fake model",
    *,
    finish_reason: str = "stop",
    usage: bool | Mapping[str, Any] = True,
    model: str = "fake-model",
    id: str = "chatcmpl-1",
    choices: int = 1,
    tool_calls: Sequence[ToolCall] | None = None,
    reasoning: str | None = None,
) -> Reply:
    """Return a chat.completion that is not streamed; for the options see `chat_events`."""
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    if tool_calls:
        message["tool_calls"] = [_tool_call(*call) for call in tool_calls]
    if reasoning:
        message["reasoning_content"] = reasoning
    choice = {"message": message, "finish_reason": _finish_reason(finish_reason, tool_calls)}
    answer: dict[str, Any] = {"id": id, "object": "chat.completion", "created": 1_700_000_000}
    answer |= {"model": model, "choices": [{"index": i} | choice for i in range(choices)]}
    if usage:
        answer["usage"] = usage_of("", text) if usage is True else usage
    return raw(orjson.dumps(answer), content_type="application/json")


def api_error(
    status: int,
    type: str = "api_error",
    code: str | None = None,
    message: str = "The fake server was told to refuse.",
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Return an error as OpenAI words it, before any stream."""
    body = orjson.dumps(_error(type, code, message))
    return raw(body, content_type="application/json", status=status, headers=headers)


def error_event(
    type: str = "server_error",
    code: str | None = None,
    message: str = "The fake server was told to fail.",
    *,
    event: str | None = None,
    newline: str = "\n",
) -> bytes:
    """Return an error as one event; `event="error"` names it, as Groq does."""
    return sse(_error(type, code, message), event=event, newline=newline)


def sse_error(
    type: str = "server_error",
    code: str | None = None,
    message: str = "The fake server was told to fail.",
    *,
    event: str | None = None,
    after: Sequence[bytes] = (),
    done: bool = False,
) -> Reply:
    """Return a 200 whose stream fails: the events `after`, the error, `[DONE]` if `done` (vLLM)."""
    tail = [sse("[DONE]")] if done else []
    return stream(*after, error_event(type, code, message, event=event), *tail)


def html_page(status: int = 200) -> Reply:
    """Return a web page, as proxies and login walls do."""
    page = b"<!DOCTYPE html><html><body><h1>Not a model</h1></body></html>\n"
    return raw(page, content_type="text/html; charset=utf-8", status=status)


def raw(
    body: bytes,
    content_type: str = "application/octet-stream",
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Return any bytes, with a content-length."""
    named = {"content-type": content_type} | dict(headers or {})
    return Reply(status, named, [Send(body)], framing="length")


def usage_of(prompt: str, completion: str) -> dict[str, int]:
    """Return a usage that counts words."""
    asked, said = len(prompt.split()), len(completion.split())
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


def echo(request: Request) -> Reply:
    """The default script: say the last user message again; stream it and count it if asked."""
    try:
        asked = request.json
        messages = [(m["role"], _text(m.get("content"))) for m in asked["messages"]]
    except (ValueError, KeyError, TypeError):
        return api_error(400, "invalid_request_error", None, "This is not a chat request.")
    said = next((text for role, text in reversed(messages) if role == "user"), "")
    usage = usage_of(" ".join(text for _, text in messages), said)
    model = asked.get("model", "fake-model")
    if not asked.get("stream"):
        return chat_json(said, usage=usage, model=model)
    wanted = (asked.get("stream_options") or {}).get("include_usage")
    return chat_stream(said, usage=usage if wanted else False, model=model)


def _pieces(text: str | Sequence[str]) -> list[str]:
    return re.findall(r"\S+\s*|\s+", text) if isinstance(text, str) else list(text)


def _text(content: Any) -> str:
    """Return the text of a message whose content is a string, parts or null."""
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return content or ""


def _deltas(
    pieces: Sequence[str], thoughts: Sequence[str], tool_calls: Sequence[ToolCall]
) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": "" if pieces or not tool_calls else None}
    yield from ({"reasoning_content": thought} for thought in thoughts)
    yield from ({"content": piece} for piece in pieces)
    for index, (id, name, arguments) in enumerate(tool_calls):
        yield {"tool_calls": [{"index": index} | _tool_call(id, name, "")]}
        # A string is cut small, so that no client can live on whole arguments.
        cut = re.findall(r"(?s).{1,5}", arguments) if isinstance(arguments, str) else arguments
        for part in cut:
            yield {"tool_calls": [{"index": index, "function": {"arguments": part}}]}


def _tool_call(id: str, name: str, arguments: str | Sequence[str]) -> dict[str, Any]:
    function = {"name": name, "arguments": "".join(arguments)}
    return {"id": id, "type": "function", "function": function}


def _finish_reason(reason: str, tool_calls: Sequence[ToolCall] | None) -> str:
    return "tool_calls" if tool_calls and reason == "stop" else reason


def _error(type: str, code: str | None, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": type, "param": None, "code": code}}


# The server


class FakeServer:
    """A fake model server for the time of a `with` block.

    Each request is answered by the next enqueued reply, else by `script`, which runs in the
    server's thread and must not wait. What a script raises is answered with a 500; it, or any other
    error in the server's thread, is raised when the block ends. With `port` 0 it finds a free one.

    Attributes:
        requests: All requests so far, each recorded when it is complete and before it is answered.
        connections: How many TCP connections were accepted so far.
        open_streams: How many responses are owed: their request is recorded, and neither their last
            `Send` nor a `Close` or `Reset` has begun.
        max_open: The most `open_streams` seen.
        cancelled: How many of them their client left early (half-closing is leaving).
    """

    def __init__(self, script: Script = echo, port: int = 0) -> None:
        self.script = script
        self._port = port
        self.requests: list[Request] = []
        self.connections = self.open_streams = self.max_open = self.cancelled = 0
        self.errors: list[BaseException] = []
        self._queue: deque[Reply] = deque()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="fake-server", daemon=True)
        self._started = threading.Event()
        self._open_connections: set[_Connection] = set()

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return self._port

    @property
    def base_url(self) -> str:
        """The root that a client is given: `http://127.0.0.1:PORT/v1`."""
        return f"http://127.0.0.1:{self._port}/v1"

    def enqueue(self, *replies: Reply) -> None:
        """Answer the next requests with these, in this order, before asking the script again."""
        self._queue.extend(replies)

    def wait_until(self, predicate: Callable[[], object], timeout: float = 60) -> None:
        """Return as soon as `predicate()` holds; raises TimeoutError.

        It is asked at each change of the attributes above, and at no other. This blocks: on an
        event loop await `await_until` instead.
        """
        with self._changed:
            if not self._changed.wait_for(predicate, timeout):
                raise TimeoutError(f"not within {timeout} s: {self!r}")

    async def await_until(self, predicate: Callable[[], object], timeout: float = 60) -> None:
        """Do as `wait_until`, and let the caller's event loop go on meanwhile."""
        await asyncio.to_thread(self.wait_until, predicate, timeout)

    def __enter__(self) -> FakeServer:
        # Bound and listening before the thread starts: a client may connect at once.
        self._socket = socket.create_server(("127.0.0.1", self._port), backlog=1024)
        self._port = self._socket.getsockname()[1]
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(self, exc_type: object, error: BaseException | None, traceback: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=10)
        if self._thread.is_alive():
            raise RuntimeError("the fake server does not stop: does its script wait for something?")
        if self.errors and error is None:
            raise self.errors[0]

    def __repr__(self) -> str:
        names = ("connections", "open_streams", "max_open", "cancelled")
        state = ", ".join(f"{name}={getattr(self, name)}" for name in names)
        return f"<FakeServer requests={len(self.requests)}, {state}>"

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        listener = await self._loop.create_server(lambda: _Connection(self), sock=self._socket)
        self._started.set()
        await self._stop.wait()
        # Accept no more, but close the listener last: asyncio loses a socket that it was about to
        # accept when its listener closed (an assertion in Server._attach; a ResourceWarning).
        self._loop.remove_reader(self._socket)
        while self._open_connections or len(asyncio.all_tasks()) > 1:
            for connection in list(self._open_connections):
                connection.abort()
            await asyncio.sleep(0)
        listener.close()

    def _connected(self, connection: _Connection) -> int:
        with self._changed:
            self._open_connections.add(connection)
            self.connections += 1
            self._changed.notify_all()
            return self.connections

    def _disconnected(self, connection: _Connection) -> None:
        self._open_connections.discard(connection)

    def _begin(self, request: Request) -> Reply:
        with self._changed:
            self.requests.append(request)
            self.open_streams += 1
            self.max_open = max(self.max_open, self.open_streams)
            self._changed.notify_all()
        try:
            return self._queue.popleft() if self._queue else self.script(request)
        except BaseException as error:  # pytest.fail() is no Exception
            self.errors.append(error)
            return api_error(500, "script_error", None, repr(error))

    def _end(self, *, cancelled: bool) -> None:
        with self._changed:
            self.open_streams -= 1
            self.cancelled += cancelled and not self._stop.is_set()
            self._changed.notify_all()


class _Connection(asyncio.Protocol):
    """One TCP connection: requests in, steps out, one after the other."""

    _transport: asyncio.Transport

    def __init__(self, server: FakeServer) -> None:
        self._server = server
        self._reader = asyncio.StreamReader(loop=asyncio.get_running_loop())
        self._flushed = asyncio.Event()
        self._flushed.set()
        self._performing = self._counted = self._left = False

    def abort(self) -> None:
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        # So that flushed means "in the kernel": a Reset then loses nothing sent before it.
        transport.set_write_buffer_limits(high=0)
        # asyncio does this only for sockets that say IPPROTO_TCP; else each answer waits 40 ms.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._number = self._server._connected(self)
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        self._reader.feed_data(data)

    def pause_writing(self) -> None:
        self._flushed.clear()

    def resume_writing(self) -> None:
        self._flushed.set()

    def eof_received(self) -> None:
        self._leave()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        self._server._disconnected(self)

    def _leave(self) -> None:
        self._left = True
        self._count_end(cancelled=True)
        if self._performing:
            self._task.cancel()
        else:  # a request may be waiting in the reader: it is still to be recorded
            self._reader.feed_eof()

    def _count_end(self, *, cancelled: bool = False) -> None:
        if self._counted:
            self._counted = False
            self._server._end(cancelled=cancelled)

    async def _serve(self) -> None:
        try:
            while request := await _read_request(self._reader, self._number):
                self._counted = self._performing = True
                await self._perform(self._server._begin(request))
                self._performing = False
                if "close" in request.headers.get("connection", ""):
                    break
        except Exception as error:  # a reply that cannot be sent must not look like a lost line
            self._server.errors.append(error)
        finally:
            self._count_end()
            self._transport.close()

    async def _perform(self, reply: Reply) -> None:
        if self._left:
            self._count_end(cancelled=True)
            return
        wire = _Wire(reply)
        steps = [*reply.steps, End()]
        for step, following in zip(steps, [*steps[1:], None], strict=True):
            # Counted before it is sent: who has read the end must find it counted, and a client
            # that leaves after the last event (`[DONE]`) does not leave early.
            if isinstance(step, End) or (isinstance(step, Send) and isinstance(following, End)):
                self._count_end()
            await self._perform_step(step, wire)
            if self._transport.is_closing():
                return
        if "close" in wire.headers.get("connection", ""):
            self._transport.close()

    async def _perform_step(self, step: Step, wire: _Wire) -> None:
        match step:
            case Head():
                await self._write(wire.head())
            case Send(data):
                await self._write(wire.data(data))
            case End():
                await self._write(wire.end())
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case Wait(event):
                # Polled, because a thread blocked on the event could not be stopped at exit.
                while not event.is_set():
                    await asyncio.sleep(0.001)
            case Call(function):
                function()
            case Stall():
                await asyncio.Event().wait()
            case Reset() | Close():
                self._count_end()
                self._hang_up(reset=isinstance(step, Reset))

    async def _write(self, pieces: Iterator[bytes]) -> None:
        for piece in pieces:
            self._transport.write(piece)
            await self._flushed.wait()
        await asyncio.sleep(0)  # else a long reply would not notice that its client has left

    def _hang_up(self, *, reset: bool) -> None:
        if reset:
            tcp = self._transport.get_extra_info("socket")
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.close()


class _Wire:
    """One reply as it looks on the socket: compressed, then cut into pieces, then framed."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._head_sent = self._ended = False
        self._gzip = zlib.compressobj(wbits=31) if reply.encoding == "gzip" else None
        sizes = [reply.pieces_of] if isinstance(reply.pieces_of, int) else reply.pieces_of
        self._sizes: Iterator[int | None] = itertools.cycle(sizes or [None])
        self.headers = {name.lower(): value for name, value in reply.headers.items()}
        self.headers |= {"content-encoding": reply.encoding} if reply.encoding else {}
        self.headers |= self._framing_header()

    def head(self) -> Iterator[bytes]:
        """Yield the status line and headers, the first time."""
        if not self._head_sent:
            self._head_sent = True
            reason = http_client.responses.get(self._reply.status, "")
            status = f"HTTP/1.1 {self._reply.status} {reason}"
            lines = [status, *(f"{name}: {value}" for name, value in self.headers.items())]
            yield "\r\n".join([*lines, "", ""]).encode("latin-1")

    def data(self, data: bytes) -> Iterator[bytes]:
        """Yield what sends `data`, and the head if it is due."""
        yield from self.head()
        yield from self._framed(self._compressed(data))

    def end(self) -> Iterator[bytes]:
        """Yield what ends the body, the first time."""
        if not self._ended:
            self._ended = True
            yield from self.head()
            yield from self._framed(self._gzip.flush() if self._gzip else b"")
            if self._reply.framing == "chunked":
                yield b"0\r\n\r\n"

    def _framing_header(self) -> dict[str, str]:
        if self._reply.framing == "chunked":
            return {"transfer-encoding": "chunked"}
        if self._reply.framing == "close":
            return {"connection": "close"}
        sends = [step.data for step in self._reply.steps if isinstance(step, Send)]
        twin = _Wire(self._reply.but(framing="close"))  # compresses as this one will
        size = sum(len(twin._compressed(data)) for data in sends)
        tail = twin._gzip.flush() if twin._gzip else b""
        return {"content-length": str(size + len(tail))}

    def _compressed(self, data: bytes) -> bytes:
        if self._gzip is None:
            return data
        return self._gzip.compress(data) + self._gzip.flush(zlib.Z_SYNC_FLUSH)

    def _framed(self, data: bytes) -> Iterator[bytes]:
        while data:
            size = next(self._sizes) or len(data)
            piece, data = data[:size], data[size:]
            chunked = self._reply.framing == "chunked"
            yield b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece


async def _read_request(reader: asyncio.StreamReader, connection: int) -> Request | None:
    """Return the next request, or None if the client has left."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ")
        headers: dict[str, str] = {}
        for name, value in (line.split(":", 1) for line in lines):
            known = headers.get(name.lower())
            headers[name.lower()] = f"{known}, {value.strip()}" if known else value.strip()
        body = await _read_body(reader, headers)
    except asyncio.IncompleteReadError:
        return None
    path, _, query = target.partition("?")
    return Request(method, path, dict(parse_qsl(query)), headers, body, connection)


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", 0)))
    body = bytearray()
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return bytes(body)
