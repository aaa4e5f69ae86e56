"""What `completion()` takes beside OpenAI's parameters: litellm's arguments, and local files."""

from __future__ import annotations

import base64
import copy

import httpx
import orjson
import pytest

from ritellm import wire as wires
from ritellm.calls.params import IGNORED
from ritellm.calls.prepare import plan
from ritellm.errors import InvalidRequestError, UnknownProviderError, UnsupportedParamsError
from ritellm.types import Timeouts

HI = [{"role": "user", "content": "hi"}]
KEYS = {"OPENAI_API_KEY": "k", "AZURE_API_KEY": "k", "AZURE_API_BASE": "https://r.openai.azure.com"}
PNG = b"\x89PNG not really"
PNG_URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "a cat.png"
    path.write_bytes(PNG)
    return path


def image(url, **more):
    return {"type": "image_url", "image_url": {"url": url, **more}}


def user(*parts):
    return [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, *parts]}]


def parts_of(messages, **arguments):
    planned = plan("openai/gpt-4o", messages, KEYS, **arguments)
    return planned.request.messages[0]["content"][1:]


# Local files
def test_an_image_at_a_local_path_is_sent_as_a_data_url(picture, monkeypatch):
    monkeypatch.chdir(picture.parent)
    for url in (str(picture), picture.as_uri(), "a cat.png", "./a cat.png"):
        sent = parts_of(user(image(url, detail="low")), local_files=True)
        assert sent == [image(PNG_URL, detail="low")]


def test_an_image_given_as_a_plain_text_is_read_too(picture):
    part = {"type": "image_url", "image_url": str(picture)}
    assert parts_of(user(part), local_files=True) == [{"type": "image_url", "image_url": PNG_URL}]


def test_the_home_directory_is_understood(picture, monkeypatch):
    monkeypatch.setenv("HOME", str(picture.parent))
    monkeypatch.setenv("USERPROFILE", str(picture.parent))
    assert parts_of(user(image("~/a cat.png")), local_files=True) == [image(PNG_URL)]


def test_a_file_at_a_local_path_is_sent_with_its_name(tmp_path):
    report = tmp_path / "report.pdf"
    report.write_bytes(b"%PDF")
    data = "data:application/pdf;base64,JVBERg=="
    for given in (str(report), report.as_uri()):
        sent = parts_of(user({"type": "file", "file": {"file_data": given}}), local_files=True)
        assert sent == [{"type": "file", "file": {"filename": "report.pdf", "file_data": data}}]
    named = {"type": "file", "file": {"file_data": str(report), "filename": "mine.pdf"}}
    assert parts_of(user(named), local_files=True)[0]["file"]["filename"] == "mine.pdf"


def test_a_given_media_type_is_used_unchecked(tmp_path):
    blob = tmp_path / "blob"
    blob.write_bytes(b"x")
    sent = parts_of(user(image(str(blob), format="image/webp")), local_files=True)
    assert sent[0]["image_url"]["url"] == "data:image/webp;base64,eA=="


PASSED_ON = [
    image("https://example.org/cat.png"),
    image("http://example.org/cat.png"),
    image("gs://bucket/cat.png"),
    image("s3://bucket/cat.png"),
    image(PNG_URL),
    image(""),
    {"type": "image_url", "image_url": None},
    {"type": "file", "file": {"file_id": "file-1"}},
    {"type": "file", "file": {"file_data": "/9j/4AAQSkZJRgABAQ=="}},
    {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERg=="}},
    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    {"type": "text", "text": "/etc/passwd"},
    {"text": "no type"},
    "not even a part",
]


@pytest.mark.parametrize("part", PASSED_ON, ids=[str(part)[:60] for part in PASSED_ON])
@pytest.mark.parametrize("local_files", [False, True])
def test_a_url_is_passed_on_as_it_is(part, local_files):
    messages = user(part)
    sent = plan("openai/gpt-4o", messages, KEYS, local_files=local_files).request.messages
    assert sent[0] is messages[0]


def test_no_local_file_is_read_unless_the_caller_says_so(picture):
    for url in (str(picture), picture.as_uri(), "/etc/hostname", "C:\\cat.png", "cat.png"):
        with pytest.raises(InvalidRequestError) as caught:
            plan("openai/gpt-4o", [*HI, *user(image(url))], KEYS)
        assert "messages[1] names a local file" in caught.value.message
        assert "local_files=True" in caught.value.message
    with pytest.raises(InvalidRequestError, match="local_files=True"):
        parts_of(user({"type": "file", "file": {"file_data": "report.pdf"}}))


@pytest.mark.parametrize("name", ["missing.png", ".", "nul\0.png"])
def test_a_file_that_cannot_be_read_is_an_error_that_names_it(tmp_path, name):
    with pytest.raises(InvalidRequestError, match=r"messages\[0\]: cannot read ") as caught:
        parts_of(user(image(f"{tmp_path}/{name}")), local_files=True)
    assert str(tmp_path) in caught.value.message


def test_a_file_of_unknown_kind_is_an_error_with_a_remedy(tmp_path):
    (tmp_path / "blob").write_bytes(b"x")
    with pytest.raises(InvalidRequestError, match="unknown kind of file"):
        parts_of(user(image(str(tmp_path / "blob"))), local_files=True)


def test_a_very_long_path_makes_no_very_long_message():
    with pytest.raises(InvalidRequestError) as caught:
        parts_of(user(image("A" * 100_000)))
    assert len(caught.value.message) < 500
    with pytest.raises(InvalidRequestError) as caught:
        parts_of(user(image("A" * 100_000)), local_files=True)
    assert len(caught.value.message) < 500


def test_the_callers_messages_are_left_alone(picture):
    messages = user(image(str(picture)))
    before = copy.deepcopy(messages)
    parts_of(messages, local_files=True)
    assert messages == before


# litellm's arguments
def test_litellms_bookkeeping_parameters_are_ignored():
    planned = plan("openai/gpt-4o", HI, KEYS, **dict.fromkeys(IGNORED, 1), metadata={"a": "b"})
    assert planned.request.params == {}


def test_metadata_is_sent_with_store_only_and_otherwise_goes_into_logs_and_spans():
    kept = plan("openai/gpt-4o", HI, KEYS, metadata={"a": {"b": 1}}).request
    assert (kept.params, kept.metadata) == ({}, {"a": {"b": 1}})
    sent = plan("openai/gpt-4o", HI, KEYS, metadata={"a": "b"}, store=True).request
    assert sent.params == {"store": True, "metadata": {"a": "b"}}
    with pytest.raises(InvalidRequestError, match="metadata must be a dict, got str"):
        plan("openai/gpt-4o", HI, KEYS, metadata="job 1")


def test_anthropic_gets_only_the_user_as_metadata():
    given = {"user_id": "u1", "tags": ["a"]}
    planned = plan("anthropic/m", HI, KEYS, metadata=given, api_key="k")
    sent = wires.load("anthropic").build_request(planned.request, planned.endpoint)
    assert orjson.loads(sent.content)["metadata"] == {"user_id": "u1"}


def test_an_httpx_timeout_sets_connecting_and_reading():
    theirs = httpx.Timeout(7.0, connect=3.0)
    expected = Timeouts(connect=3.0, first_chunk=7.0, inter_chunk=7.0)
    for name in ("timeout", "request_timeout"):
        assert plan("openai/m", HI, KEYS, **{name: theirs}).timeouts == expected
    endless = plan("openai/m", HI, KEYS, timeout=httpx.Timeout(None)).timeouts
    assert endless == Timeouts(None, None, None)
    with pytest.raises(InvalidRequestError, match="timeout must be"):
        plan("openai/m", HI, KEYS, timeout=httpx.Timeout(0))


def test_headers_are_extra_headers_by_another_name():
    planned = plan("openai/m", HI, KEYS, headers={"a": "1", "b": "1"}, extra_headers={"b": "2"})
    assert planned.request.extra_headers == {"a": "1", "b": "2"}
    with pytest.raises(InvalidRequestError, match="headers: the name and the value of 'x'"):
        plan("openai/m", HI, KEYS, headers={"x": 1})


def test_a_deployment_id_is_azures_model():
    planned = plan("gpt-4o", HI, KEYS, deployment_id="my-dep", api_version="2024-10-21")
    assert planned.endpoint.provider.name == "azure"
    assert planned.request.model == "my-dep"
    assert planned.endpoint.options["api_version"] == "2024-10-21"


def test_the_provider_can_be_a_separate_argument():
    for model in ("org/model", "openai/org/model"):
        planned = plan(model, HI, KEYS, custom_llm_provider="openai")
        assert (planned.endpoint.provider.name, planned.request.model) == ("openai", "org/model")
    with pytest.raises(UnknownProviderError, match="unknown provider 'nobody'"):
        plan("m", HI, KEYS, custom_llm_provider="nobody")


def test_a_misspelt_option_is_an_error_that_suggests_the_right_one():
    with pytest.raises(UnsupportedParamsError, match=r"did you mean api_version\?"):
        plan("azure/dep", HI, KEYS, api_versoin="2024-10-21")
    assert plan("openai/m", HI, KEYS, api_versoin="x", drop_params=True).request.params == {}


def test_a_callers_header_overrides_the_providers():
    arguments = {"organization": "org", "extra_headers": {"OpenAI-Organization": "mine"}}
    planned = plan("openai/m", HI, KEYS, **arguments)
    request = wires.load("openai_chat").build_request(planned.request, planned.endpoint)
    assert request.headers["openai-organization"] == "mine"


def test_extra_body_is_merged_into_the_body():
    planned = plan("openai/m", HI, KEYS, stream=True, extra_body={"stream_options": {"x": 1}})
    request = wires.load("openai_chat").build_request(planned.request, planned.endpoint)
    options = orjson.loads(request.content)["stream_options"]
    assert options == {"include_usage": True, "include_obfuscation": False, "x": 1}
