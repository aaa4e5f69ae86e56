"""Programs that import litellm run unchanged with ritellm in its place.

The answers of the fake server are written out here. The programs and their versions are in
requirements.txt.
"""

from __future__ import annotations

import asyncio
import json
import sys

import pytest
from fake_server import ToolCall, api_error, chat_json, chat_stream

MODEL = "openai/gpt-4o-mini"
USAGE = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
PRICE = (100 * 0.15 + 50 * 0.6) / 1e6
TOO_LONG = "This model's maximum context length is 10 tokens"


def calls(name, *arguments):
    """Return a whole answer that calls the tool `name`, with arguments in pieces."""
    return chat_json("", usage=USAGE, tool_calls=[ToolCall("call_1", name, [*arguments])])


def streamed_calls(name, *arguments):
    """Return the same as a stream."""
    return chat_stream("", usage=USAGE, tool_calls=[ToolCall("call_1", name, [*arguments])])


def refusal(code):
    return api_error(400, "invalid_request_error", code, TOO_LONG)


def test_litellm_is_not_here():
    import litellm

    assert litellm is sys.modules["ritellm"]


class TestSmolagents:
    """https://github.com/huggingface/smolagents"""

    @pytest.fixture
    def agent(self):
        import smolagents

        @smolagents.tool
        def add(a: int, b: int) -> int:
            """Add two numbers.

            Args:
                a: the first
                b: the second
            """
            return a + b

        def made(**options):
            model = smolagents.LiteLLMModel(MODEL, temperature=0.5)
            return smolagents.ToolCallingAgent([add], model, verbosity_level=0, **options)

        return made

    @pytest.mark.parametrize("stream", [False, True])
    def test_an_agent_calls_a_tool_and_answers(self, agent, stream, fake_server):
        answer = streamed_calls if stream else calls
        fake_server.enqueue(
            answer("add", '{"a": 1,', ' "b": 2}'), answer("final_answer", '{"answer": "three"}')
        )
        asked = agent(stream_outputs=stream)
        assert asked.run("How much is 1 + 2?") == "three"
        tokens = asked.monitor.get_total_token_counts()
        assert (tokens.input_tokens, tokens.output_tokens) == (200, 100)
        first, second = (request.json for request in fake_server.requests)
        assert first["temperature"] == 0.5
        assert "add" in {tool["function"]["name"] for tool in first["tools"]}
        assert "3" in json.dumps(second["messages"][-1])

    def test_an_error_reaches_the_program_with_its_class(self, agent, fake_server):
        import litellm

        fake_server.enqueue(
            api_error(401, "authentication_error", "invalid_api_key", "no key of ours")
        )
        with pytest.raises(Exception, match="no key of ours") as raised:
            agent().run("Hello")
        assert isinstance(raised.value.__cause__ or raised.value, litellm.AuthenticationError)


class TestInstructor:
    """https://github.com/567-labs/instructor"""

    @pytest.fixture
    def user(self):
        from pydantic import BaseModel

        class User(BaseModel):
            name: str
            age: int

        return User

    def test_an_invalid_object_is_requested_again(self, user, fake_server):
        import instructor
        import litellm

        client = instructor.from_litellm(litellm.completion)
        fake_server.enqueue(
            calls("User", '{"name": "Ada"}'), calls("User", '{"name": "Ada", "age": 36}')
        )
        found, answer = client.chat.completions.create_with_completion(
            model=MODEL, response_model=user, messages=[{"role": "user", "content": "Ada, 36"}]
        )
        assert (found.name, found.age) == ("Ada", 36)
        assert isinstance(answer, litellm.ModelResponse)
        assert answer.usage.total_tokens == 150
        assert "age" in json.dumps(fake_server.requests[1].json["messages"])

    def test_a_partial_object_arrives_in_a_stream(self, user, fake_server):
        import instructor
        import litellm

        client = instructor.from_litellm(litellm.acompletion)
        fake_server.enqueue(streamed_calls("User", '{"name": "Ada"', ', "age": 36}'))

        async def partials():
            found = client.chat.completions.create_partial(
                model=MODEL, response_model=user, messages=[{"role": "user", "content": "Ada"}]
            )
            return [(each.name, each.age) async for each in found]

        seen = asyncio.run(partials())
        assert ("Ada", None) in seen
        assert seen[-1] == ("Ada", 36)

    def test_a_provider_by_name(self, user, fake_server):
        import instructor

        client = instructor.from_provider("litellm/gpt-4o-mini")
        fake_server.enqueue(calls("User", '{"name": "Ada", "age": 36}'))
        found = client.chat.completions.create(
            model=MODEL, response_model=user, messages=[{"role": "user", "content": "Ada, 36"}]
        )
        assert found.age == 36


class TestMiniSweAgent:
    """https://github.com/SWE-agent/mini-swe-agent"""

    @pytest.fixture
    def model(self):
        from minisweagent.models.litellm_model import LitellmModel

        return LitellmModel

    @pytest.fixture
    def agent(self, model):
        from minisweagent.agents.default import DefaultAgent
        from minisweagent.environments.local import LocalEnvironment

        def made(**options):
            return DefaultAgent(
                model(**{"model_name": MODEL} | options),
                LocalEnvironment(),
                system_template="You can run commands.",
                instance_template="{{task}}",
                step_limit=5,
                cost_limit=3.0,
            )

        return made

    DONE = '{"command": "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT; echo patched"}'

    def test_an_agent_runs_commands_and_adds_up_their_cost(self, agent, fake_server):
        fake_server.enqueue(calls("bash", '{"command": "echo he" ', "}"), calls("bash", self.DONE))
        asked = agent()
        assert asked.run("Fix it")["submission"] == "patched\n"
        assert asked.cost == pytest.approx(2 * PRICE)
        assert "he\n" in json.dumps(fake_server.requests[1].json["messages"]).replace("\\n", "\n")

    def test_a_price_comes_from_the_programs_own_registry(self, agent, tmp_path, fake_server):
        costs = {"input_cost_per_token": 1e-3, "output_cost_per_token": 2e-3}
        registry = tmp_path / "models.json"
        registry.write_text(json.dumps({"openai/mine": {**costs, "litellm_provider": "openai"}}))
        fake_server.enqueue(calls("bash", self.DONE))
        asked = agent(model_name="openai/mine", litellm_model_registry=registry)
        asked.run("Fix it")
        assert asked.cost == pytest.approx(0.2)

    def test_a_model_without_a_price_ends_the_run_unless_it_is_told_otherwise(
        self, agent, fake_server
    ):
        fake_server.enqueue(calls("bash", self.DONE), calls("bash", self.DONE))
        with pytest.raises(RuntimeError, match="the price of 'openai/nonsense' is unknown"):
            agent(model_name="openai/nonsense").run("Fix it")
        told = agent(model_name="openai/nonsense", cost_tracking="ignore_errors")
        assert told.run("Fix it")["exit_status"] == "Submitted"

    @pytest.mark.parametrize(
        ("reply", "name"),
        [
            (api_error(401, "authentication_error", "invalid_api_key", "no"), "Authentication"),
            (refusal("context_length_exceeded"), "ContextWindowExceeded"),
            (api_error(404, "invalid_request_error", "model_not_found", "no"), "NotFound"),
        ],
    )
    def test_a_final_error_ends_the_run_at_once(self, agent, reply, name, fake_server):
        import litellm

        fake_server.enqueue(reply)
        with pytest.raises(getattr(litellm.exceptions, f"{name}Error")):
            agent().run("Fix it")
        assert len(fake_server.requests) == 1


class TestStrands:
    """https://github.com/strands-agents/sdk-python"""

    @pytest.fixture
    def agent(self):
        import strands
        from strands.models.litellm import LiteLLMModel

        @strands.tool
        def add(a: int, b: int) -> int:
            """Add two numbers."""
            return a + b

        def made(**options):
            model = LiteLLMModel(client_args={"num_retries": 0}, model_id=MODEL, **options)
            return strands.Agent(model, tools=[add], callback_handler=None)

        return made

    @pytest.mark.parametrize("stream", [True, False])
    def test_an_agent_calls_a_tool_and_answers(self, agent, stream, fake_server):
        if stream:
            replies = (
                streamed_calls("add", '{"a": 1,', ' "b": 2}'),
                chat_stream("three", usage=USAGE),
            )
        else:
            replies = calls("add", '{"a": 1, "b": 2}'), chat_json("three", usage=USAGE)
        fake_server.enqueue(*replies)
        result = agent(params={"stream": stream, "temperature": 0.5})("How much is 1 + 2?")
        assert str(result) == "three\n"
        assert result.metrics.accumulated_usage["inputTokens"] == 200
        assert fake_server.requests[0].json["temperature"] == 0.5
        assert "3" in json.dumps(fake_server.requests[1].json["messages"][-1])

    def test_an_object_comes_through_the_response_format(self, agent, fake_server):
        from pydantic import BaseModel

        class User(BaseModel):
            name: str

        fake_server.enqueue(chat_json('{"name": "Ada"}'))
        assert agent().structured_output(User, "Who?") == User(name="Ada")
        assert fake_server.requests[0].json["response_format"]["type"] == "json_schema"

    def test_a_context_window_that_is_too_small_is_recognized(self, agent, fake_server):
        from strands.agent.conversation_manager import NullConversationManager
        from strands.types.exceptions import ContextWindowOverflowException

        fake_server.enqueue(refusal("context_length_exceeded"))
        asked = agent()
        asked.conversation_manager = NullConversationManager()
        with pytest.raises(ContextWindowOverflowException):
            asked("Hello")
