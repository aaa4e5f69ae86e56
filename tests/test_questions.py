"""What rows have in common is worked out once, and only where it stays true."""

from __future__ import annotations

import orjson
import pytest

from ritellm.prepare import draft
from transforms.elements import Prompt
from transforms.questions import Drafts, Question, request_of

MESSAGES = [{"role": "user", "content": "hello"}]
ENVIRON = {"OPENAI_API_KEY": "k", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}


def question(**body):
    prompt = Prompt("a", orjson.dumps({"messages": MESSAGES, **body}).decode())
    return Question(prompt, request_of(prompt))


class Making:
    """Makes drafts, and counts them."""

    def __init__(self):
        self.made = []

    def __call__(self, model, **own):
        self.made.append((model, own))
        return draft(model, ENVIRON, stream=True, aws_region_name="us-east-1", **own)


def test_rows_with_the_same_parameters_share_all_but_their_messages():
    drafts, making = Drafts(), Making()
    plans = [
        drafts.plan(question(messages=[{"role": "user", "content": text}]), "openai/m", making)
        for text in ("one", "two")
    ]
    assert [plan.request.messages[0]["content"] for plan in plans] == ["one", "two"]
    assert plans[0].endpoint is plans[1].endpoint
    assert making.made == [("openai/m", {})]


@pytest.mark.parametrize("other", [{"temperature": 1}, {"model": "openai/other"}])
def test_a_row_of_its_own_kind_gets_what_it_asks_for(other):
    drafts, making = Drafts(), Making()
    drafts.plan(question(), "openai/m", making)
    plan = drafts.plan(question(**other), "openai/m", making)
    assert {"model": f"openai/{plan.request.model}", **plan.request.params}.items() >= other.items()
    assert len(making.made) == 2


def test_credentials_that_may_run_out_are_looked_up_for_each_row():
    drafts, making = Drafts(), Making()
    for _ in range(2):
        drafts.plan(question(), "bedrock/anthropic.claude-3", making)
    assert len(making.made) == 2


def test_no_more_kinds_are_remembered_than_some():
    drafts, making = Drafts(), Making()
    for seed in range(1000):
        drafts.plan(question(seed=seed), "openai/m", making)
    assert len(drafts._kept) <= 256
    assert drafts.plan(question(seed=0), "openai/m", making).request.params == {"seed": 0}
