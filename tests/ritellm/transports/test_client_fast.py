"""The extra `fast`, where HTTP is at its oddest: what a raw server says, and what comes of it."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl
import subprocess

import httpx
import pytest
from fake_server import chat_events

from ritellm import APIConnectionError, AsyncClient, Client, RetryPolicy, Timeouts

pytest.importorskip("httptools", reason="needs the extra fast")
pytest.importorskip("aiohappyeyeballs", reason="needs the extra fast")

from ritellm.transports.fast import asynchronous, http11, pool
from ritellm.transports.fast import connection as client_connection
from ritellm.transports.fast.http11 import request_bytes, target_of

MESSAGES = [{"role": "user", "content": "Hello"}]
ONCE = RetryPolicy(num_retries=0)
BODY = b"".join(chat_events("one two"))
SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
LENGTH = b"content-length: %d\r\n\r\n" % len(BODY)
WHOLE = SSE + LENGTH + BODY


class RawServer:
    """Answers each request on a connection with the next bytes; None closes it."""

    def __init__(self, *answers, tls=None, afterwards=b""):
        self.answers = list(answers)
        self.heads, self.connections, self.sent = [], 0, 0
        self._tls, self._afterwards = tls, afterwards

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        self.base_url = f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}/v1"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader, writer):
        self.connections += 1
        try:
            while self.answers:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                await reader.readexactly(length)
                answer = self.answers.pop(0)
                if answer is None:
                    break
                for piece in answer if isinstance(answer, list) else [answer]:
                    writer.write(piece)
                    await writer.drain()
                    self.sent += len(piece)
                    await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.fixture(params=["async", "sync"])
def asked(request):
    """Return a function that asks one client, by either face: each answer, errors included."""
    return {"async": asked_async, "sync": asked_sync}[request.param]


def asked_async(server, *, times=1, **arguments):
    async def ask():
        found = []
        async with server, AsyncClient(base_url=server.base_url, api_key="k", retry=ONCE) as client:
            for _ in range(times):
                try:
                    opened = await client.completion("openai/m", MESSAGES, stream=True, **arguments)
                    found.append((await opened.read()).choices[0].message.content)
                except APIConnectionError as error:
                    found.append(error)
        return found

    return asyncio.run(ask())


def asked_sync(server, *, times=1, **arguments):
    def ask():
        found = []
        with Client(base_url=server.base_url, api_key="k", retry=ONCE) as client:
            for _ in range(times):
                try:
                    opened = client.completion("openai/m", MESSAGES, stream=True, **arguments)
                    found.append(opened.read().choices[0].message.content)
                except APIConnectionError as error:
                    found.append(error)
        return found

    async def serve():
        async with server:
            return await asyncio.to_thread(ask)

    return asyncio.run(serve())


def test_a_response_may_arrive_one_byte_at_a_time(asked):
    server = RawServer([bytes([byte]) for byte in WHOLE])
    assert asked(server) == ["one two"]


@pytest.mark.parametrize("interim", [b"100 Continue\r\n", b"103 Early Hints\r\nlink: </x>\r\n"])
def test_interim_responses_are_skipped(asked, interim):
    server = RawServer(b"HTTP/1.1 " + interim + b"\r\n" + WHOLE, WHOLE)
    assert asked(server, times=2) == ["one two"] * 2
    assert server.connections == 1


def test_a_body_without_a_length_ends_with_its_connection(asked):
    assert asked(RawServer(SSE + b"connection: close\r\n\r\n" + BODY)) == ["one two"]


def test_chunks_of_http_with_extensions_and_trailers_are_read(asked):
    chunked = b"%x;name=value\r\n%b\r\n0\r\nx-trailer: 1\r\n\r\n" % (len(BODY), BODY)
    server = RawServer(SSE + b"transfer-encoding: chunked\r\n\r\n" + chunked, WHOLE)
    assert asked(server, times=2) == ["one two"] * 2
    assert server.connections == 1


def test_a_connection_that_the_server_closes_is_not_reused(asked):
    server = RawServer(WHOLE.replace(b"200 OK\r\n", b"200 OK\r\nconnection: close\r\n"), WHOLE)
    assert asked(server, times=2) == ["one two"] * 2
    assert server.connections == 2


def test_bytes_after_a_response_are_discarded(asked):
    server = RawServer(WHOLE + b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nstale", WHOLE)
    assert asked(server, times=2)[1] == "one two"


BROKEN = {
    "no HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n", "not HTTP"),
    "nothing": (None, "the server closed it"),
    "half of the headers": ([SSE, b""], "closed"),
    "an upgrade": (
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        "",
    ),
}


@pytest.mark.parametrize(("answer", "words"), BROKEN.values(), ids=BROKEN)
def test_a_broken_response_is_a_retryable_error(asked, answer, words):
    (error,) = asked(RawServer(answer))
    assert isinstance(error, APIConnectionError)
    assert error.retryable
    assert words in str(error)


def test_a_body_shorter_than_its_length_is_an_error_with_the_partial_completion(asked):
    server = RawServer(
        SSE + b"content-length: %d\r\n\r\n" % (len(BODY) + 9) + chat_events("one")[0]
    )
    (error,) = asked(server)
    assert "half-way" in str(error)


def test_a_slow_reader_slows_the_server_down(monkeypatch):
    monkeypatch.setattr(client_connection, "_HIGH_WATER", 4096)
    filler = b": " + b"x" * 65536 + b"\n\n"
    size = 400 * len(filler) + len(BODY)

    async def ask():
        head = SSE + b"content-length: %d\r\n\r\n" % size
        server = RawServer([head, chat_events("one two")[0], *[filler] * 400])
        async with server, AsyncClient(base_url=server.base_url, api_key="k") as client:
            opened = await client.completion("openai/m", MESSAGES, stream=True)
            await opened.__anext__()
            for _ in range(2000):
                await asyncio.sleep(0)
            sent = server.sent
            await opened.aclose()
            return sent

    assert asyncio.run(ask()) < 0.8 * size  # the rest is what the kernel keeps


@pytest.mark.parametrize("emit_chunks", [True, False])
def test_a_reader_that_resumes_gets_the_data_that_the_kernel_kept(monkeypatch, emit_chunks):
    """Nothing more comes that could tell of it."""
    monkeypatch.setattr(client_connection, "_HIGH_WATER", 1024)
    monkeypatch.setattr(client_connection, "READ_BYTES", 2048)
    words = [f"word-{n} " for n in range(2000)]
    body = b"".join(chat_events(words))

    async def ask():
        server = RawServer(SSE + b"content-length: %d\r\n\r\n" % len(body) + body)
        async with server, AsyncClient(base_url=server.base_url, api_key="k") as client:
            plan = client.draft("openai/m", stream=True).plan(MESSAGES)
            opened = await client.open(plan, emit_chunks=emit_chunks)
            async for _ in opened:
                await asyncio.sleep(0)
            return opened.completion.choices[0].message.content

    assert asyncio.run(asyncio.wait_for(ask(), 20)) == "".join(words)


class CountedSlots:
    """Sockets that are told what to read by the test, and number the times that they promise."""

    def __init__(self):
        self.buffer = memoryview(bytearray(client_connection.READ_BYTES))
        self.due = 0.0

    def register(self, connection):
        pass

    def unregister(self, connection):
        pass

    def collect_later(self, connection, now, seconds):
        self.due += 1
        return self.due


class Slow:
    """A cadence of one second that lets lie what is read for `held` seconds."""

    def __init__(self, held):
        self.held = held

    def pause(self, now):
        return 1.0

    def parse_delay(self):
        return self.held


def test_a_timer_of_one_response_does_not_read_the_next_response():
    half = len(BODY) // 2
    slots = CountedSlots()

    async def ask(connection, server):
        asked = asyncio.ensure_future(connection.send(b"?", Slow(0.0), lambda: None))
        await asyncio.sleep(0)
        server.sendall(SSE + LENGTH + BODY[:half])
        connection.readable()
        return (await asked).stream

    async def ask_twice():
        ours, server = socket.socketpair()
        ours.setblocking(False)
        with ours, server:
            connection = client_connection.Connection(ours, slots)
            body = await ask(connection, server)
            assert body.take() == BODY[:half]
            server.sendall(BODY[half:])
            connection.collect(1.0)
            assert body.take() == BODY[half:]
            assert connection.make_idle()
            body = await ask(connection, server)
            assert body.take() == BODY[:half]
            server.sendall(BODY[half:])
            connection.collect(1.0)
            assert body.take() == b""
            connection.collect(2.0)
            return body.take()

    assert asyncio.run(ask_twice()) == BODY[half:]


async def poured(sink, *pieces):
    """Return how pouring a body of `pieces` that come one by one ends, and whether it is over."""
    ours, server = socket.socketpair()
    ours.setblocking(False)
    with ours, server:
        connection = client_connection.Connection(ours, CountedSlots())
        asked = asyncio.ensure_future(connection.send(b"?", None, lambda: None))
        await asyncio.sleep(0)
        server.sendall(SSE + b"content-length: 6\r\n\r\n")
        connection.readable()
        end = (await asked).stream.pour(sink)
        for piece in pieces:
            server.sendall(piece)
            connection.readable()
        await asyncio.wait([end], timeout=0.01)
        return end


def test_pouring_wakes_no_task_until_the_body_ends():
    came = []
    end = asyncio.run(poured(came.append, b"ab", b"cd", b"ef"))
    assert came == [b"ab", b"cd", b"ef"]
    assert end.result() == b""


@pytest.mark.parametrize(("pieces", "done"), [([b"ab"], False), ([b"ab", b"cd"], True)])
def test_pouring_ends_when_the_sink_returns_true(pieces, done):
    came = []
    end = asyncio.run(poured(lambda data: came.append(data) or len(came) == 2, *pieces))
    assert end.done() == done


def test_an_error_of_the_sink_is_raised_in_the_reader():
    assert isinstance(asyncio.run(poured(lambda data: 1 / 0, b"ab")).exception(), ZeroDivisionError)


def test_headers_larger_than_one_read_are_read_to_their_end(asked):
    large = b"x-note: " + b"a" * 80_000 + b"\r\n"
    timeouts = Timeouts(first_chunk=5.0)
    assert asked(RawServer(SSE + large + LENGTH + BODY), timeout=timeouts) == ["one two"]


CHUNKED = b"transfer-encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"


def http_chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


AB, CD, EF = map(http_chunk, (b"ab", b"cd", b"ef"))


async def collected(head, held, *pieces):
    """Return what the sink had after each of `pieces` was collected, and the end; None closes."""
    ours, server = socket.socketpair()
    ours.setblocking(False)
    came, had = [], []
    with ours, server:
        connection = client_connection.Connection(ours, CountedSlots())
        asked = asyncio.ensure_future(connection.send(b"?", Slow(held), lambda: None))
        await asyncio.sleep(0)
        server.sendall(SSE + head)
        connection.readable()
        body = (await asked).stream
        assert body.take()
        end = body.pour(came.append)
        for due, piece in enumerate(pieces, 1):
            if piece is None:
                server.close()
            else:
                server.sendall(piece)
            connection.collect(float(due))
            had.append(b"".join(came))
        return had, end


@pytest.mark.parametrize(
    ("pieces", "had", "over"),
    [
        ([AB, CD, EF], [b"", b"", b"abcdef"], False),
        ([AB, b"", b""], [b"", b"", b"ab"], False),
        ([AB, CD + LAST], [b"", b"abcd"], True),
        ([AB, LAST], [b"", b"ab"], True),
        ([AB + LAST[:2], LAST[2:]], [b"", b"ab"], True),
        ([http_chunk(b"a" * 40_000)] * 2, [b"", b"a" * 80_000], False),
    ],
)
def test_parsing_is_deferred_until_the_end_of_the_body_may_have_arrived(pieces, had, over):
    came, end = asyncio.run(collected(CHUNKED + http_chunk(b"first"), 2.5, *pieces))
    assert came == had
    assert end.done() == over


@pytest.mark.parametrize(
    ("head", "held"),
    [(b"content-length: 99\r\n\r\nfirst", 2.5), (CHUNKED + http_chunk(b"first"), 0.0)],
)
def test_parsing_is_not_deferred_if_the_end_is_not_visible_or_the_delay_is_zero(head, held):
    text = b"as long as a last chunk"
    data = text if b"length" in head else http_chunk(text)
    assert asyncio.run(collected(head, held, data))[0] == [text]


def test_deferred_bytes_are_delivered_before_the_error_of_a_closed_connection():
    came, end = asyncio.run(collected(CHUNKED + http_chunk(b"first"), 9.0, AB, None))
    assert came == [b"", b"ab"]
    assert isinstance(end.exception(), httpx.RemoteProtocolError)


def test_chunks_before_a_broken_connection_are_delivered_before_the_error():
    first = chat_events("one two")[:2]
    server = RawServer(SSE + b"content-length: 9999\r\n\r\n" + b"".join(first))

    async def ask():
        texts = []
        async with server, AsyncClient(base_url=server.base_url, api_key="k") as client:
            opened = await client.completion("openai/m", MESSAGES, stream=True)
            while True:
                try:
                    texts.append((await opened.__anext__()).choices[0].delta.content)
                except APIConnectionError:
                    return texts

    assert "".join(filter(None, asyncio.run(ask()))) == "one "


def test_one_client_serves_several_loops():
    server = RawServer(*[WHOLE] * 4)
    client = AsyncClient(api_key="k", retry=ONCE)

    async def ask():
        async with server:
            for _ in range(2):
                opened = await client.completion(
                    "openai/m", MESSAGES, stream=True, base_url=server.base_url
                )
                assert (await opened.read()).choices[0].message.content == "one two"
            await client.close()

    asyncio.run(ask())
    asyncio.run(ask())
    assert server.connections == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_opens_its_own_connections():
    client = AsyncClient(api_key="k", retry=ONCE)

    async def ask(server):
        opened = await client.completion(
            "openai/m", MESSAGES, stream=True, base_url=server.base_url
        )
        return (await opened.read()).choices[0].message.content

    async def parent():
        async with RawServer(*[WHOLE] * 3) as server:
            await ask(server)
            child = os.fork()
            if child == 0:
                try:
                    said = asyncio.new_event_loop().run_until_complete(ask(server))
                    os._exit(0 if said == "one two" else 1)
                finally:
                    os._exit(2)
            while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
                await asyncio.sleep(0.001)
            assert await ask(server) == "one two"
            await client.close()
            return ended[1], server.connections

    assert asyncio.run(parent()) == (0, 2)


def test_idle_connections_are_closed_after_a_while(monkeypatch):
    monkeypatch.setattr(pool, "IDLE_SECONDS", 0.0)

    async def ask():
        async with RawServer(WHOLE, WHOLE) as server:
            async with AsyncClient(base_url=server.base_url, api_key="k") as client:
                for _ in range(2):
                    await (await client.completion("openai/m", MESSAGES, stream=True)).read()
                    await asyncio.sleep(0.01)
            return server.connections

    assert asyncio.run(ask()) == 2


def test_many_streams_that_begin_at_once_need_one_lookup(monkeypatch):
    lookups = []

    async def ask():
        loop = asyncio.get_running_loop()
        plain = loop.getaddrinfo

        async def getaddrinfo(host, port, **options):
            lookups.append(host)
            return await plain("127.0.0.1", port, **options)

        monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
        async with RawServer(*[WHOLE] * 20) as server:
            url = f"http://model.test:{server.port}/v1"
            async with AsyncClient(base_url=url, api_key="k") as client:
                asking = [client.completion("openai/m", MESSAGES) for _ in range(5)]
                await asyncio.gather(*asking)

    asyncio.run(ask())
    assert lookups == ["model.test"]


def test_a_host_that_does_not_exist_is_a_connection_error():
    async def ask():
        async with AsyncClient(base_url="http://nobody.invalid", api_key="k", retry=ONCE) as client:
            await client.completion("openai/m", MESSAGES)

    with pytest.raises(APIConnectionError, match=r"cannot connect to http://nobody\.invalid"):
        asyncio.run(ask())


def test_connecting_takes_no_longer_than_its_timeout(monkeypatch):
    async def never(*_args, **_options):
        await asyncio.Event().wait()

    monkeypatch.setattr(asynchronous.aiohappyeyeballs, "start_connection", never)

    async def ask():
        limits = Timeouts(connect=0.01)
        async with AsyncClient(base_url="http://127.0.0.1:1", api_key="k", retry=ONCE) as client:
            await client.completion("openai/m", MESSAGES, timeout=limits)

    with pytest.raises(Exception, match=r"connect timeout of 0\.01 s"):
        asyncio.run(ask())


def test_a_proxy_is_left_to_httpx(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    assert "Httpx" in type(AsyncClient()._http).__name__


# What is sent


def head_of(url, **headers):
    return request_bytes("POST", target_of(url), headers, b"{}").split(b"\r\n")


def test_the_request_has_the_host_and_path_of_the_url():
    lines = head_of("http://host.test:8080/v1/a%20b?c=d", accept="*/*")
    assert lines[0] == b"POST /v1/a%20b?c=d HTTP/1.1"
    assert b"host: host.test:8080" in lines
    assert lines[-3:] == [b"content-length: 2", b"", b"{}"]


@pytest.mark.parametrize("host", ["xn--fa-hia.example", "fa\u00df.example"])
def test_the_host_is_resolved_by_the_name_that_the_request_carries(host):
    target = target_of(f"http://{host}/v1")
    assert target.origin.host == target.headers["host"] == "xn--fa-hia.example"


def test_the_callers_own_host_and_authorization_count():
    lines = head_of("http://host.test/v1", host="other", Authorization="Bearer x")
    assert [line for line in lines if line.lower().startswith((b"host", b"auth"))] == [
        b"host: other",
        b"Authorization: Bearer x",
    ]


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nb", "a\rb"])
def test_a_header_cannot_smuggle_another(value):
    with pytest.raises(httpx.LocalProtocolError):
        head_of("http://host", x=value)


@pytest.mark.parametrize("url", ["ftp://host", "http://", "//host"])
def test_an_invalid_address_is_an_error(url):
    with pytest.raises((httpx.UnsupportedProtocol, httpx.InvalidURL)):
        target_of(url)


def test_a_host_name_beyond_ascii_is_sent_in_punycode():
    assert b"host: xn--bcher-kva.test" in head_of("https://bücher.test/v1")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
@pytest.mark.parametrize("trusted", [True, False])
def test_a_tls_connection_checks_the_certificate(asked, trusted, tmp_path, monkeypatch):
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", key, "-out", cert, "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    http11.trust.cache_clear()
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    found = asked(RawServer(WHOLE, WHOLE, tls=context), times=2)
    http11.trust.cache_clear()
    if trusted:
        assert found == ["one two"] * 2
    else:
        assert "certificate verify failed" in str(found[0])
