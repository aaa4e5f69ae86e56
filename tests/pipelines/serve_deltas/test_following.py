"""Readers of one channel: what each gets, whatever the others do and however slowly it reads."""

from __future__ import annotations

import asyncio
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.serve_deltas.connection import Connection
from pipelines.serve_deltas.encoders import FORMS
from pipelines.serve_deltas.following import Reader, Readers
from pipelines.serve_deltas.hub import Channel
from pipelines.serve_deltas.piece import Piece

RANK = (7, 1)


class Transport:
    """The transport of a reader that takes what `waiting` says."""

    def __init__(self, waiting=()):
        self.written, self.aborted, self.waiting = [], False, list(waiting)

    def set_write_buffer_limits(self, high):
        """Nothing is limited here."""

    def write(self, chunk):
        self.written.append(chunk)

    def is_closing(self):
        return self.aborted

    def abort(self):
        self.aborted = True

    def get_write_buffer_size(self):
        return self.waiting.pop(0) if self.waiting else 0


class Crowd:
    """Readers of one answer as text, each with a connection of its own."""

    def __init__(self, count, form="text"):
        self.channel, self.readers = Channel("q"), Readers(ping_seconds=60)
        self.transports = [Transport() for _ in range(count)]
        self.connections = [Connection(transport, 60) for transport in self.transports]
        self._seq = 0
        self.tasks = [
            asyncio.create_task(
                self.readers.follow(Reader(self.channel, FORMS[form], None, connection))
            )
            for connection in self.connections
        ]

    def grow(self, text, final=False):
        self.channel.text.add([Piece(RANK, self._seq, text, b"", final)])
        self._seq += 1
        self.channel.wake()

    def text(self, number):
        """Return the body that a reader has, by the lengths of its chunks (RFC 9112, 7.1)."""
        body, rest = b"", b"".join(self.transports[number].written)
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            length = int(size, 16)
            body, end, rest = body + rest[:length], rest[length : length + 2], rest[length + 2 :]
            assert end == b"\r\n"
        return body.decode()


def test_readers_at_one_place_share_the_bytes_of_a_delta():
    async def run():
        crowd = Crowd(3)
        await asyncio.sleep(0)
        crowd.grow("Hal")
        crowd.grow("lo", final=True)
        assert await asyncio.gather(*crowd.tasks) == [True] * 3
        first, second = crowd.transports[0].written
        assert (first, second) == (b"3\r\nHal\r\n", b"2\r\nlo\r\n")
        for transport in crowd.transports[1:]:
            assert transport.written[0] is first
            assert transport.written[1] is second

    asyncio.run(run())


@given(
    st.lists(
        st.one_of(
            st.text("abc", min_size=1, max_size=3),
            st.tuples(st.integers(0, 2), st.booleans()),
        ),
        max_size=30,
    )
)
def test_readers_that_stop_reading_and_go_on_get_each_byte_once(events):
    async def run():
        crowd, text = Crowd(3), ""
        await asyncio.sleep(0)
        for event in events:
            if isinstance(event, str):
                text += event
                crowd.grow(event)
            elif event[1]:
                crowd.connections[event[0]].filled()
            else:
                crowd.connections[event[0]].drained()
        crowd.grow("", final=True)
        for connection in crowd.connections:
            connection.drained()
        assert await asyncio.gather(*crowd.tasks) == [True] * 3
        assert [crowd.text(number) for number in range(3)] == [text] * 3

    asyncio.run(run())


def test_a_reader_that_does_not_read_gets_one_chunk_when_it_has_read():
    async def run():
        crowd = Crowd(1)
        await asyncio.sleep(0)
        crowd.grow("a")
        crowd.connections[0].filled()
        for text in "bcd":
            crowd.grow(text)
        assert crowd.transports[0].written == [b"1\r\na\r\n"]
        crowd.connections[0].drained()
        assert crowd.transports[0].written == [b"1\r\na\r\n", b"3\r\nbcd\r\n"]
        crowd.connections[0].lost()
        assert await crowd.tasks[0] is False

    asyncio.run(run())


def test_a_reader_that_was_slow_is_told_that_the_stream_is_lost():
    async def run():
        crowd = Crowd(1, "events")
        await asyncio.sleep(0)
        crowd.connections[0].filled()
        crowd.grow("a")
        crowd.channel.is_lost = True
        crowd.channel.wake()
        assert crowd.transports[0].written == []
        crowd.connections[0].drained()
        assert await crowd.tasks[0] is True
        assert re.findall("data: (.*)", crowd.text(0)) == ['{"text":"a"}', "{}"]

    asyncio.run(run())


@pytest.mark.parametrize("is_full", [True, False])
def test_a_text_that_is_not_whole_breaks_off_when_the_server_ends(is_full):
    async def run():
        crowd = Crowd(1)
        await asyncio.sleep(0)
        crowd.grow("a")
        if is_full:
            crowd.connections[0].filled()
        crowd.channel.is_closing = True
        crowd.channel.wake()
        assert await crowd.tasks[0] is False

    asyncio.run(run())


def test_a_connection_is_cut_once_its_reader_takes_nothing_between_two_looks():
    async def run():
        transport = Transport(waiting=[90, 60, 30, 30, 1])
        connection = Connection(transport, patience=0)
        connection.filled()
        while not transport.aborted:
            await asyncio.sleep(0)
        assert transport.waiting == [1]

    asyncio.run(run())
