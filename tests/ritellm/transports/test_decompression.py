"""Compressed responses, which no request asks for: read in bounded steps, whatever they become."""

from __future__ import annotations

import gzip
import importlib.util
import zlib

import pytest
from faces import BOTH, KEY, closing, content
from raw_server import BODY, RawServer

from ritellm import APIConnectionError, APIResponseValidationError, RetryPolicy, RitellmError
from ritellm.wire import limits
from ritellm.wire.decompression import decompressor

ONCE = RetryPolicy(num_retries=0)
MIB = 1024 * 1024
TEXT = b"".join(b"%d: some text\n" % n for n in range(10_000))


def raw_deflate(data):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def zstd(data):
    import zstandard

    return zstandard.ZstdCompressor().compress(data)


def brotli(data):
    import brotli as package

    return package.compress(data, quality=5)


def missing(package):
    return pytest.mark.skipif(not importlib.util.find_spec(package), reason=f"needs {package}")


CODINGS = [
    pytest.param("gzip", gzip.compress, id="gzip"),
    pytest.param("x-gzip", gzip.compress, id="x-gzip"),
    pytest.param(" GZIP ", gzip.compress, id="GZIP"),
    pytest.param("deflate", zlib.compress, id="deflate"),
    pytest.param("deflate", raw_deflate, id="raw deflate"),
    pytest.param("zstd", zstd, id="zstd", marks=missing("zstandard")),
    pytest.param("br", brotli, id="br", marks=missing("brotli")),
    pytest.param("deflate, gzip", lambda data: gzip.compress(zlib.compress(data)), id="two"),
    pytest.param("identity, gzip", gzip.compress, id="identity too"),
    pytest.param("", bytes, id="none"),
    pytest.param("utf-8", bytes, id="a word that is no coding"),
]


@pytest.fixture
def small_bombs(monkeypatch):
    monkeypatch.setattr(limits, "RATIO_APPLIES_ABOVE_BYTES", MIB)


def undone(coding, *pieces):
    undo = decompressor(coding)
    return [made for piece in pieces for made in undo.feed(piece)]


@pytest.mark.parametrize(("coding", "pack"), CODINGS)
@pytest.mark.parametrize("size", [7, 1000, 1_000_000])
def test_the_text_does_not_depend_on_the_pieces(coding, pack, size):
    packed = pack(TEXT)
    pieces = [packed[at : at + size] for at in range(0, len(packed), size)]
    assert b"".join(undone(coding, *pieces)) == TEXT


@pytest.mark.parametrize(("coding", "pack"), CODINGS[:-2])
def test_each_piece_is_small_and_a_bomb_is_an_error_that_names_the_limit(coding, pack, small_bombs):
    undo, made = decompressor(coding), []
    packed = pack(bytes(4 * MIB))
    with pytest.raises(APIResponseValidationError, match="at most 200 times its size") as caught:
        made.extend(len(piece) for piece in undo.feed(packed))
    assert max(made) <= 64 * 1024
    assert sum(made) <= 2 * MIB
    assert not caught.value.retryable


@pytest.mark.parametrize("split", [1, 2, 10])
@pytest.mark.parametrize("behind", [b"", b"\0" * 100, b"rest"])
def test_gzip_may_have_several_members(split, behind):
    packed = gzip.compress(b"one ") + gzip.compress(b"") + gzip.compress(b"two") + behind
    pieces = [packed[at : at + split] for at in range(0, len(packed), split)]
    assert b"".join(undone("gzip", *pieces)) == b"one two"


@missing("zstandard")
@pytest.mark.parametrize("split", [1, 100])
def test_zstd_may_have_several_frames(split):
    packed = zstd(b"one ") + zstd(b"two")
    pieces = [packed[at : at + split] for at in range(0, len(packed), split)]
    assert b"".join(undone("zstd", *pieces)) == b"one two"


def test_a_bomb_inside_a_compressed_stream_is_counted_from_what_arrived(small_bombs):
    inner = gzip.compress(bytes(4 * MIB))
    undo = decompressor("gzip, gzip")
    with pytest.raises(APIResponseValidationError, match="at most 200 times"):
        list(undo.feed(gzip.compress(inner)))


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_damaged_data_is_an_error_that_names_the_coding(coding):
    if coding == "zstd" and not importlib.util.find_spec("zstandard"):
        return
    with pytest.raises(APIConnectionError, match=f"not valid {coding}"):
        undone(coding, b"\x78\x9c" + b"\xff" * 100)


@pytest.mark.skipif(importlib.util.find_spec("brotli") is not None, reason="brotli is installed")
def test_a_coding_whose_package_is_missing_is_an_error_that_names_it():
    with pytest.raises(APIResponseValidationError, match="install the package brotli"):
        decompressor("br")


def test_more_than_three_codings_are_an_error():
    with pytest.raises(APIResponseValidationError, match="at most 3 content codings, got 4"):
        decompressor("gzip, gzip, gzip, gzip")


# Over the wire


def served(body, coding, kind=b"text/event-stream", status=b"200 OK"):
    head = b"HTTP/1.1 %b\r\ncontent-type: %b\r\ncontent-encoding: %b\r\ncontent-length: %d\r\n\r\n"
    answer = head % (status, kind, coding, len(body)) + body

    def serve(peer):
        while True:
            peer.reply(answer)

    return RawServer(serve)


def failed(face, **arguments):
    """Return the error of a call."""
    with pytest.raises(RitellmError) as caught:
        face.ask(**arguments)
    return caught.value


def made_for(make_face, server):
    return closing(make_face(base_url=server.base_url, api_key=KEY, retry=ONCE))


@BOTH
@pytest.mark.parametrize(
    ("coding", "pack"), [(b"gzip", gzip.compress), (b"deflate", zlib.compress)]
)
def test_a_compressed_stream_is_read(make_face, coding, pack):
    with served(pack(BODY), coding) as server, made_for(make_face, server) as face:
        assert content(face.stream().read()) == "one two"
        assert content(face.ask()) == "one two"
    assert server.connections == 1


@BOTH
def test_a_stream_with_a_member_of_gzip_for_each_event_is_read(make_face):
    members = b"".join(gzip.compress(event + b"\n\n") for event in BODY.split(b"\n\n") if event)
    with served(members, b"gzip") as server, made_for(make_face, server) as face:
        assert content(face.stream().read()) == "one two"


KINDS = [b"text/event-stream", b"application/json", b"application/x-ndjson"]


@BOTH
@pytest.mark.parametrize("kind", KINDS)
def test_a_bomb_is_an_error_and_not_asked_for_again(make_face, kind, small_bombs):
    bomb = gzip.compress(b'{"data": "' + b"x" * 4 * MIB)
    with served(bomb, b"gzip", kind) as server, made_for(make_face, server) as face:
        error = failed(face, num_retries=3)
    assert "at most 200 times" in str(error)
    assert type(error) is APIResponseValidationError
    assert error.attempts == 1


@BOTH
def test_a_bomb_in_an_error_page_is_the_error_of_its_status(make_face, small_bombs):
    server = served(gzip.compress(b"x" * 4 * MIB), b"gzip", b"text/plain", b"400 Bad Request")
    with server, made_for(make_face, server) as face:
        error = failed(face)
    assert error.status_code == 400
    assert len(str(error)) < 2000
