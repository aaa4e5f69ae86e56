"""The messages of a row: the system message, examples, the row's own, and images."""

from __future__ import annotations

import orjson
import pytest

from transforms.prompts.form import Form, id_of
from transforms.prompts.images import Images
from transforms.prompts.records import RowError
from transforms.prompts.shots import Shots, shots_in
from transforms.prompts.template import Template

SHOTS = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]
SYSTEM = {"role": "system", "content": "Be brief."}
ADDRESS = "https://example.com/a.png"
PART = {"type": "image_url", "image_url": {"url": ADDRESS}}


def user(content):
    return {"role": "user", "content": content}


def messages(row, **parts):
    return list(Form(**parts).messages_of(row))


def test_the_system_message_and_the_examples_go_before_the_message_of_the_row():
    parts = {
        "template": Template("{{ a }} + {{ b }}?"),
        "system_template": Template("Answer in {{ language }}."),
        "shots": Shots.of(SHOTS),
    }
    assert messages({"a": 1, "b": 2, "language": "French"}, **parts) == [
        {"role": "system", "content": "Answer in French."},
        *SHOTS,
        user("1 + 2?"),
    ]


def test_a_system_message_of_the_row_takes_precedence_and_stays_first():
    row = {"messages": [{"role": "developer", "content": "Rhyme."}, user("Why?")]}
    for parts in (
        {"shots": Shots.of(SHOTS), "system_template": Template("Be brief.")},
        {"shots": Shots.of([SYSTEM, *SHOTS])},
    ):
        assert messages(row, **parts) == [row["messages"][0], *SHOTS, user("Why?")]
    assert messages({"prompt": "Why?"}, shots=Shots.of([SYSTEM, *SHOTS])) == [
        SYSTEM,
        *SHOTS,
        user("Why?"),
    ]


def test_an_empty_system_message_is_left_out():
    template = Template("{% if language %}Answer in {{ language }}.{% endif %}")
    row = {"prompt": "Why?", "language": None}
    assert messages(row, system_template=template) == [user("Why?")]


def test_images_follow_the_text_of_the_last_message_of_the_user():
    images = Images("image")
    assert messages({"prompt": "What?", "image": ADDRESS}, images=images) == [
        user([{"type": "text", "text": "What?"}, PART])
    ]
    own = [user("a"), {"role": "assistant", "content": "b"}, user([PART]), SHOTS[1]]
    assert messages({"messages": own, "image": ADDRESS}, images=images) == [
        own[0],
        own[1],
        user([PART, PART]),
        own[3],
    ]
    with pytest.raises(RowError, match=r"the messages must have one of the user"):
        messages({"messages": [SYSTEM], "image": ADDRESS}, images=images)


def test_messages_may_be_json_and_an_empty_list_leaves_the_prompt():
    assert messages({"messages": orjson.dumps([user("a")]).decode()}) == [user("a")]
    for empty in ([], "", None):
        assert messages({"prompt": "a", "messages": empty}) == [user("a")]


def test_a_form_tells_which_columns_it_needs():
    form = Form(
        template=Template("{{ a }}"),
        system_template=Template("{{ b }}{{ row | tojson }}"),
        images=Images("c"),
    )
    assert (form.columns, form.uses_row) == ({"a", "b", "c"}, True)


def test_a_float_without_decimal_places_is_an_id_as_pandas_writes_integers():
    assert id_of({"key": 7.0}, "key") == "7"
    for value in (7.5, float("nan"), float("inf")):
        with pytest.raises(RowError, match="must be a text or a whole number"):
            id_of({"key": value}, "key")


def test_two_system_messages_are_refused():
    with pytest.raises(ValueError, match=r"must not have a system message beside system_template"):
        Form(system_template=Template("Be brief."), shots=Shots.of([SYSTEM, *SHOTS]))


@pytest.mark.parametrize(
    "text",
    [
        orjson.dumps(SHOTS).decode(),
        '\n{"role":"user","content":"2+2?"}\n{"role":"assistant","content":"4"}\n\n',
    ],
)
def test_examples_are_a_json_list_or_a_message_on_each_line(text):
    assert list(shots_in(text).examples) == SHOTS


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "--shots must be a JSON list of messages, or a message on each line"),
        ("nonsense", "--shots must be a JSON list of messages, or a message on each line"),
        ("5", "--shots must be a list of messages, got int"),
        ("[]", "--shots must end with a message of the assistant, got no message"),
        ('[{"role":"user","content":"a"}]', "must end with a message of the assistant, got user"),
        ('{"role":"system","content":"a"}', "must end with a message of the assistant, got system"),
        ("[5]", "--shots: message 1 must be an object with role and content, got int"),
        ('[{"content":"a"}]', "--shots: the role of message 1 must be one of system, developer"),
        ('[{"role":"user"}]', "--shots: message 1 must have content"),
        ('["' + "a" * 9 + '"]', "--shots: message 1 must be an object with role and content"),
    ],
)
def test_what_is_not_a_list_of_examples_is_named(text, reason):
    with pytest.raises(ValueError, match=r"^--shots") as raised:
        shots_in(text, "--shots")
    assert reason in str(raised.value)
