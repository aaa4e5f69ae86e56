"""`completion(answer=Answer(...))`: the client checks the answer, and asks again."""

import asyncio

import orjson
import pytest
from fake_server import Reply, Send

pytest.importorskip("jsonschema_rs")

import ritellm
from ritellm import Answer

MESSAGES = [{"role": "user", "content": "good or bad?"}]
LABEL = "label:enum(good,bad)"


def reply(content, finish_reason="stop", **message):
    body = {
        "id": "c",
        "object": "chat.completion",
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content, **message},
                "finish_reason": finish_reason,
            }
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
    }
    return Reply(headers={"content-type": "application/json"}, steps=[Send(orjson.dumps(body))])


@pytest.fixture(params=["sync", "async"])
def complete(request, fake_server):
    def run(*replies, answer=LABEL, model="openai/m", **params):
        fake_server.enqueue(*replies)
        given = {"base_url": fake_server.base_url, "api_key": "k", **params}
        answer = answer if isinstance(answer, Answer) else Answer(answer)
        if request.param == "sync":
            return ritellm.completion(model, MESSAGES, answer=answer, **given)
        return asyncio.run(ritellm.acompletion(model, MESSAGES, answer=answer, **given))

    return run


def test_a_valid_answer_is_in_parsed(complete, fake_server):
    done = complete(reply('{"label": "good"}'))
    assert done.parsed == {"label": "good"}
    assert done.answer == {
        "mode": "json_schema",
        "reasks": 0,
        "stripped": False,
        "text": '{"label": "good"}',
    }
    assert fake_server.requests[0].json["response_format"] == {
        "type": "json_schema",
        "json_schema": {
            "name": "answer",
            "strict": True,
            "schema": {
                "type": "object",
                "properties": {"label": {"type": "string", "enum": ["good", "bad"]}},
                "required": ["label"],
                "additionalProperties": False,
            },
        },
    }


def test_a_wrong_answer_is_asked_again_as_a_continuation_with_place_and_rule(complete, fake_server):
    done = complete(reply('{"label": "ugly"}'), reply('{"label": "bad"}'))
    assert done.parsed == {"label": "bad"}
    assert done.answer.reasks == 1
    assert done.usage == {"prompt_tokens": 20, "completion_tokens": 4, "total_tokens": 24}
    assert fake_server.requests[1].json["messages"] == [
        *MESSAGES,
        {"role": "assistant", "content": '{"label": "ugly"}'},
        {
            "role": "user",
            "content": 'The answer is not valid: $.label (enum): "ugly" is not one of "good" or'
            ' "bad". Answer again with one JSON object that satisfies the schema, and nothing'
            " else.",
        },
    ]


def test_an_answer_that_stays_wrong_is_an_error_with_place_rule_and_the_last_text(complete):
    with pytest.raises(ritellm.AnswerInvalid) as caught:
        complete(reply('{"label": "ugly"}'), reply("{}"), answer=Answer(LABEL, reasks=1))
    error = caught.value
    assert (error.path, error.rule) == ("$", "required")
    assert error.partial.choices[0].message.content == "{}"
    assert error.partial.usage["total_tokens"] == 24
    assert str(error).startswith("openai/m: the answer is not valid: $ (required)")


def test_a_refusal_is_an_error_of_its_own_and_is_not_asked_again(complete, fake_server):
    with pytest.raises(ritellm.AnswerRefused, match="I will not"):
        complete(reply(None, refusal="I will not."))
    assert len(fake_server.requests) == 1


def test_the_filter_of_a_provider_is_a_refusal(complete):
    with pytest.raises(ritellm.AnswerRefused, match="filter"):
        complete(reply('{"label"', "content_filter"))


def test_an_answer_that_is_cut_off_is_asked_once_more_with_more_room(complete, fake_server):
    done = complete(reply('{"lab', "length"), reply('{"label": "bad"}'), max_tokens=5)
    assert done.parsed == {"label": "bad"}
    assert [each.json["max_tokens"] for each in fake_server.requests] == [5, 10]
    assert fake_server.requests[1].json["messages"] == MESSAGES


def test_the_room_can_be_chosen(complete, fake_server):
    answer = Answer(LABEL, grow_max_tokens=700)
    complete(reply('{"lab', "length"), reply('{"label": "bad"}'), answer=answer, max_tokens=5)
    assert fake_server.requests[1].json["max_tokens"] == 700


def test_an_answer_that_is_cut_off_twice_fails(complete, fake_server):
    with pytest.raises(ritellm.AnswerInvalid) as caught:
        complete(reply('{"lab', "length"), reply('{"labe', "length"), max_tokens=5)
    assert caught.value.rule == "length"
    wanted = "cut off by its length at max_tokens=10; set a larger grow_max_tokens"
    assert wanted in str(caught.value)
    assert len(fake_server.requests) == 2


def test_a_pydantic_model_comes_back_as_its_instance(complete):
    pydantic = pytest.importorskip("pydantic")

    class Mood(pydantic.BaseModel):
        label: str

    assert complete(reply('{"label": "good"}'), answer=Mood).parsed == Mood(label="good")


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"n": 2}, "n=1"),
    ],
)
def test_parameters_that_exclude_an_answer_are_refused_before_sending(
    complete, fake_server, params, reason
):
    with pytest.raises(ritellm.InvalidRequestError, match=reason):
        complete(**params)
    assert not fake_server.requests


def test_a_schema_in_place_of_an_answer_is_refused(fake_server):
    with pytest.raises(ritellm.InvalidRequestError, match=r"answer=Answer\(schema\)"):
        ritellm.completion("openai/m", MESSAGES, api_key="k", answer={"type": "object"})


def test_a_completion_without_a_schema_has_no_parsed_answer(fake_server):
    fake_server.enqueue(reply("x"))
    done = ritellm.completion("openai/m", MESSAGES, base_url=fake_server.base_url, api_key="k")
    assert not hasattr(done, "parsed")
