"""A process that has no file descriptor left: an error that says so, and recovery afterwards."""

from __future__ import annotations

import contextlib
import errno
import os

import httpx
import pytest
from faces import AT_ONCE, BOTH, KEY, Async, Sync, closing, content
from fake_server import chat_stream

from ritellm.errors import APIConnectionError
from ritellm.transports.descriptors import shortage

resource = pytest.importorskip("resource", reason="limits of descriptors are Unix's")


@contextlib.contextmanager
def no_descriptors():
    """Take every descriptor of this process that is left, below a small limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 2, hard))
    taken = []
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for each in taken:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def refusal(face, **arguments):
    with no_descriptors(), pytest.raises(APIConnectionError) as caught:
        face.ask(num_retries=0, **arguments)
    return caught.value


@BOTH
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_call_without_a_descriptor_raises_an_error_that_says_what_to_do(
    fake_server, make_face, host
):
    address = fake_server.base_url.replace("127.0.0.1", host)
    with closing(make_face(base_url=address, api_key=KEY, retry=AT_ONCE)) as face:
        error = refusal(face)
        assert "this process has no file descriptor left" in str(error)
        assert "ulimit -n" in str(error)
        assert address in str(error)
        assert error.retryable
        fake_server.enqueue(chat_stream("recovered"))
        assert content(face.ask()) == "recovered"


@pytest.mark.parametrize("make_face", [Sync, Async])
def test_a_library_that_finds_no_descriptor_for_an_import_is_the_same_error(make_face):
    class Importing(httpx.BaseTransport, httpx.AsyncBaseTransport):
        def handle_request(self, request):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), "site-packages")

        async def handle_async_request(self, request):
            self.handle_request(request)

    with (
        closing(make_face(transport=Importing(), api_key=KEY, retry=AT_ONCE)) as face,
        pytest.raises(APIConnectionError, match="no file descriptor left"),
    ):
        face.ask(num_retries=0)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EBUSY, errno.ENOENT])
def test_any_number_may_hide_the_lack_of_a_descriptor(number):
    """The resolvers of some systems overwrite the number of the failure."""
    error = OSError(number, os.strerror(number))
    assert shortage(error) is None
    with no_descriptors():
        assert "no file descriptor left" in shortage(error)


@BOTH
def test_a_kept_connection_needs_no_further_descriptor(fake_server, make_face):
    with closing(make_face(base_url=fake_server.base_url, api_key=KEY, retry=AT_ONCE)) as face:
        fake_server.enqueue(chat_stream("first"), chat_stream("second"))
        assert content(face.ask()) == "first"
        with no_descriptors():
            assert content(face.ask(num_retries=0)) == "second"


@BOTH
def test_the_first_call_over_tls_without_a_descriptor_is_the_same_error(make_face):
    with closing(make_face(base_url="https://127.0.0.1:9/v1", api_key=KEY)) as face:
        assert "no file descriptor left" in str(refusal(face))
