"""Chunks and completions are dicts that can also be read by attribute."""

from __future__ import annotations

import copy
import pickle

import orjson
import pytest

from ritellm.endpoints import Endpoint, Provider
from ritellm.types import Chunk, Completion, Fields, HttpRequest, Timeouts
from ritellm.types import parts as part_classes

KEY = "sk-abcdefghijklmnop"


def json() -> dict:
    return {
        "id": "c1",
        "choices": [
            {
                "index": 0,
                "delta": {
                    "content": "hi",
                    "tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{}"}}],
                },
            }
        ],
        "usage": {"prompt_tokens_details": {"cached_tokens": 7}},
        "x_new": {"deep": [{"er": 1}]},
    }


def test_an_attribute_and_an_item_are_the_same_object_at_any_depth():
    chunk = Chunk(json())
    assert chunk.choices[0].delta is chunk["choices"][0]["delta"]
    call = chunk.choices[0].delta.tool_calls[0]
    assert call.function.name == "f"
    assert call is chunk["choices"][0]["delta"]["tool_calls"][0]
    assert chunk.usage.prompt_tokens_details.cached_tokens == 7
    assert chunk.x_new.deep[0].er == 1
    assert chunk == json()


def test_reading_by_attribute_changes_nothing():
    chunk = Chunk(json())
    assert chunk.choices[0].delta.tool_calls[0].function.arguments == "{}"
    assert chunk == json()
    assert orjson.dumps(chunk) == orjson.dumps(json())


def test_a_known_field_that_is_missing_reads_as_none():
    chunk = Chunk(choices=[{"index": 0, "delta": {}}])
    assert chunk.usage is None
    assert chunk.choices[0].finish_reason is None
    assert chunk.choices[0].delta.content is None
    assert chunk.choices[0].delta.tool_calls is None
    assert "usage" not in chunk


@pytest.mark.parametrize(
    ("usage", "read", "written"),
    [
        ({}, 0, 0),
        ({"prompt_tokens_details": None}, 0, 0),
        ({"prompt_tokens_details": {"cached_tokens": 7, "cache_write_tokens": 2}}, 7, 2),
        ({"prompt_tokens_details": {"cached_tokens": 7, "cache_creation_tokens": 2}}, 7, 2),
        ({"cache_read_input_tokens": 5, "prompt_tokens_details": {"cached_tokens": 7}}, 5, 0),
    ],
)
def test_tokens_of_a_cache_have_anthropics_names_for_every_provider(usage, read, written):
    counted = Completion(usage=dict(usage)).usage
    assert counted.cache_read_input_tokens == read
    assert counted.cache_creation_input_tokens == written
    assert counted == usage


def test_an_unknown_field_is_an_error_that_names_the_known_ones():
    with pytest.raises(
        AttributeError, match=r"no field 'contnet'; the fields are id, choices, usage"
    ):
        _ = Chunk(json()).contnet
    assert not hasattr(Chunk(json()), "__array__")
    assert not hasattr(Fields(), "never_heard_of")


def test_an_attribute_can_be_set_at_any_depth():
    chunk = Chunk(json())
    chunk.choices[0].delta.content = "new"
    chunk.id = "c2"
    chunk.choices.append({"index": 1, "delta": {"content": "later"}})
    assert chunk["choices"][0]["delta"]["content"] == "new"
    assert chunk["id"] == "c2"
    assert chunk.choices[1].delta.content == "later"


def test_a_chunk_has_a_number_that_is_not_in_its_json():
    chunk = Chunk(json())
    assert (chunk.attempt, chunk.seq) == (1, None)
    assert chunk.number(2, 5) is chunk
    assert (chunk.attempt, chunk.seq) == (2, 5)
    chunk.attempt, chunk.seq = 3, 6
    assert (chunk.attempt, chunk.seq) == (3, 6)
    assert chunk == json()


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"pickle {protocol}": lambda value, protocol=protocol: pickle.loads(
            pickle.dumps(value, protocol)
        )
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
    },
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_copies_are_equal_and_of_the_same_type(copied):
    chunk = Chunk(json()).number(2, 5)
    assert chunk.choices[0].delta.content == "hi"  # some of it wrapped, some not
    twin = copied(chunk)
    assert type(twin) is Chunk
    assert twin is not chunk
    assert twin == json()
    assert (twin.attempt, twin.seq) == (2, 5)
    completion = copied(Completion(choices=[{"message": {"content": "hi"}}]))
    assert type(completion) is Completion
    assert completion.choices[0].message.content == "hi"


def test_copy_and_the_union_operator_keep_the_type_and_the_number():
    chunk = Chunk(json()).number(2, 5)
    completion = Completion(id="c1")
    for twin in (chunk.copy(), chunk | {"id": "c2"}, {"id": "c2", "new": 1} | chunk):
        assert type(twin) is Chunk
        assert (twin.attempt, twin.seq) == (2, 5)
    assert type(completion.copy()) is type(completion | {}) is type({} | completion) is Completion
    assert (completion | {"id": "c2"}).id == "c2"
    assert ({"id": "c2", "model": "m"} | completion) == {"id": "c1", "model": "m"}
    assert completion.id == "c1"
    with pytest.raises(TypeError):
        _ = completion | 7
    with pytest.raises(TypeError):
        _ = 7 | completion


def test_a_model_copy_can_be_deep_and_updated():
    completion = Completion(json())
    twin = completion.model_copy(update={"id": "c2"}, deep=True)
    twin.choices[0].delta.content = "changed"
    assert type(twin) is Completion
    assert (twin.id, completion) == ("c2", json())


def test_a_dump_takes_and_leaves_fields_by_name():
    completion = Completion(id="c1", model="m", usage=None)
    assert completion.model_dump(include={"id", "usage"}) == {"id": "c1", "usage": None}
    assert completion.model_dump(exclude={"id"}, exclude_none=True) == {"model": "m"}
    assert completion.model_dump(mode="json", exclude_unset=True, by_alias=True) == completion
    assert completion.model_dump_json(exclude={"usage"}) == '{"id": "c1", "model": "m"}'


def test_a_deep_copy_shares_nothing():
    chunk = Chunk(json())
    twin = copy.deepcopy(chunk)
    twin.choices[0].delta.content = "changed"
    assert chunk == json()


def test_it_becomes_json_as_a_dict_does():
    chunk = Chunk(json()).number(2, 5)
    assert chunk.choices[0].delta.content == "hi"
    assert orjson.loads(orjson.dumps(chunk)) == json()


def test_no_repr_shows_the_key():
    endpoint = Endpoint(Provider("openai", "openai_chat"), "https://x/v1", KEY)
    request = HttpRequest("https://x/v1", {"authorization": f"Bearer {KEY}"}, KEY.encode())
    assert KEY not in repr(endpoint) + str(endpoint) + repr(request) + str(request)


@pytest.mark.parametrize(
    ("key", "text", "scrubbed"),
    [
        (KEY, f"Incorrect API key provided: {KEY}.", "Incorrect API key provided: [key]."),
        (KEY, f"?key={KEY}&x", "?key=[key]&x"),
        (KEY, f"{KEY}{KEY}x", "[key][key]x"),
        (KEY, "nothing to hide", "nothing to hide"),
        ("k", "Token limit, k?", "Token limit, [key]?"),  # a placeholder is a part of many words
        ("(.*)", "a regex (.*) is text", "a regex [key] is text"),
        (None, "no key at all", "no key at all"),
        ("", "an empty key", "an empty key"),
    ],
)
def test_the_key_is_scrubbed_from_messages(key, text, scrubbed):
    assert Endpoint(Provider("p", "w"), "https://x", key).scrub(text) == scrubbed


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, Timeouts()),
        (2.5, Timeouts(connect=2.5, first_chunk=2.5, inter_chunk=2.5, total=None)),
        (3, Timeouts(connect=3, first_chunk=3, inter_chunk=3, total=None)),
        (Timeouts(total=9), Timeouts(total=9)),
    ],
)
def test_a_plain_number_sets_all_timeouts_but_the_total(given, expected):
    assert Timeouts.of(given) == expected


# What editors and type checkers see


def test_tab_shows_the_fields_that_are_there_and_the_usual_ones():
    completion = Completion(json())
    shown = dir(completion)
    assert {"id", "choices", "usage", "x_new", "model", "parsed", "model_dump", "keys"} <= {*shown}
    assert not [name for name in shown if name == "_kinds" and name in completion]
    message = Completion(choices=[{"message": {"content": "hi", "odd name": 1}}]).choices[0].message
    assert {"content", "role", "tool_calls", "reasoning_content"} <= {*dir(message)}
    assert "odd name" not in dir(message)


def parts():
    yield from (Completion, Chunk)
    yield from (each for each in vars(part_classes).values() if is_part(each))


def is_part(value):
    return isinstance(value, type) and issubclass(value, Fields) and value is not Fields


@pytest.mark.parametrize("part", [*parts()], ids=lambda part: part.__name__)
def test_each_usual_field_can_be_read_of_a_part_without_it(part):
    names = [name for name in vars(part).get("__annotations__", {}) if name[0] != "_"]
    empty = part({})
    for name in names:
        if name not in ("parsed", "attempt"):
            assert getattr(empty, name) in (None, 0), name
