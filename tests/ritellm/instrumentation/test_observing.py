"""What a call tells: timings, log lines, spans and metrics; and what it keeps to itself."""

from __future__ import annotations

import asyncio
import logging

import httpx
import pytest
from fake_server import api_error, chat_events, chat_stream, stream

import ritellm
from ritellm import RetryPolicy
from ritellm.instrumentation import logs

KEY = "sk-planted-0123456789abcdef"
SECRET = "my secret question"
MESSAGES = [{"role": "user", "content": SECRET}]
AT_ONCE = RetryPolicy(first_delay=0.0)


def at(server, **arguments):
    known = {"base_url": server.base_url, "api_key": KEY, "retry": AT_ONCE}
    return {"model": "openai/m", "messages": MESSAGES} | known | arguments


# Timings


def test_the_timing_has_bytes_and_retries(fake_server):
    events = chat_events("Hello")
    refusal = api_error(503)
    fake_server.enqueue(refusal, stream(*events))
    with ritellm.completion(**at(fake_server), stream=True) as opened:
        list(opened)
    assert opened.timing.retries == 1
    assert opened.timing.bytes == sum(map(len, events)) + len(refusal.steps[0].data)


def test_the_timing_says_whether_the_connection_was_reused(fake_server):
    with ritellm.Client() as client:
        opened = [client.completion(**at(fake_server), stream=True) for _ in range(1)]
        opened[0].read()
        again = client.completion(**at(fake_server), stream=True)
        again.read()
    assert [each.timing.connection_reused for each in (*opened, again)] == [False, True]


@pytest.mark.parametrize("transport", [httpx.AsyncHTTPTransport, lambda: None])
def test_the_asynchronous_face_says_it_too(transport, fake_server):
    async def reused():
        async with ritellm.AsyncClient(transport=transport()) as client:
            for _ in range(3):
                opened = await client.completion(**at(fake_server), stream=True)
                await opened.read()
                yield opened.timing.connection_reused

    async def collect():
        return [each async for each in reused()]

    assert asyncio.run(collect()) == [False, True, True]


def test_a_mock_has_no_connection():
    opened = ritellm.completion("openai/m", MESSAGES, stream=True, mock_response="Hi")
    opened.read()
    assert opened.timing.connection_reused is None


# The log


def test_each_attempt_is_logged_without_key_and_without_prompt(fake_server, caplog):
    caplog.set_level(logging.DEBUG, "ritellm")
    fake_server.enqueue(api_error(503, message=f"{KEY} {SECRET}"))
    ritellm.completion(**at(fake_server))
    said = [record.getMessage() for record in caplog.records if record.name == "ritellm"]
    assert said[:4] == [
        "openai/m: attempt 1",
        "openai/m: status 503",
        "openai/m: attempt 2 after ServiceUnavailableError (status 503)",
        "openai/m: status 200",
    ]
    assert said[4].startswith("openai/m: done after 2 attempts, 1 chunks, ")
    assert KEY not in caplog.text
    assert SECRET not in caplog.text


def test_prompts_are_logged_on_request_and_keys_never(fake_server, caplog, monkeypatch):
    monkeypatch.setenv("RITELLM_LOG_PROMPTS", "1")
    caplog.set_level(logging.DEBUG, "ritellm")
    messages = [{"role": "user", "content": f"{SECRET} {KEY}"}]
    ritellm.completion(**at(fake_server, messages=messages))
    assert SECRET in caplog.text
    assert KEY not in caplog.text


def test_a_stream_that_is_left_early_is_logged(fake_server, caplog):
    caplog.set_level(logging.DEBUG, "ritellm")
    opened = ritellm.completion(**at(fake_server), stream=True)
    next(opened)
    opened.close()
    assert "left early" in caplog.text


def test_metadata_is_found_in_each_record_of_the_log(fake_server, caplog):
    caplog.set_level(logging.DEBUG, "ritellm")
    ritellm.completion(**at(fake_server), metadata={"job": 7})
    noted = [record.metadata for record in caplog.records if record.name == "ritellm"]
    assert noted == [{"job": 7}] * 3
    assert "metadata" not in fake_server.requests[0].json


def test_by_default_nothing_is_logged(fake_server, caplog):
    caplog.set_level(logging.INFO, "ritellm")
    ritellm.completion(**at(fake_server))
    assert not [record for record in caplog.records if record.name == "ritellm"]


# OpenTelemetry


@pytest.fixture
def told(monkeypatch):
    """Everything that OpenTelemetry is told: returns a function that reads spans and metrics."""
    export = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    from ritellm.instrumentation import opentelemetry as telemetry

    spans, reader = export.InMemorySpanExporter(), InMemoryMetricReader()
    tracers, meters = TracerProvider(), MeterProvider(metric_readers=[reader])
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr(telemetry.trace, "get_tracer", tracers.get_tracer)
    monkeypatch.setattr(telemetry.metrics, "get_meter", meters.get_meter)
    monkeypatch.setattr(telemetry.trace, "get_tracer_provider", lambda: tracers)
    monkeypatch.setattr(telemetry.metrics, "get_meter_provider", lambda: meters)
    logs._made.cache_clear()

    def read():
        data = reader.get_metrics_data()
        scopes = data.resource_metrics[0].scope_metrics if data else []
        points = {metric.name: metric.data.data_points for s in scopes for metric in s.metrics}
        return spans.get_finished_spans(), points

    yield read
    logs._made.cache_clear()
    meters.shutdown()
    tracers.shutdown()


def ask(server, asynchronous=False, **arguments):
    if not asynchronous:
        asked = ritellm.completion(**at(server, **arguments))
        return asked.read() if arguments.get("stream") else asked

    async def asking():
        asked = await ritellm.acompletion(**at(server, **arguments))
        return await asked.read() if arguments.get("stream") else asked

    return asyncio.run(asking())


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_span_describes_the_request_and_the_response(asynchronous, told, fake_server):
    usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    fake_server.enqueue(chat_stream("Hello", usage=usage))
    ask(fake_server, asynchronous, stream=True, temperature=0.5, max_tokens=9, stop="x")
    (span,), points = told()
    assert span.name == "chat m"
    assert span.kind.name == "CLIENT"
    assert span.status.status_code.name == "UNSET"
    assert dict(span.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.stop_sequences": ("x",),
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.model": "fake-model",
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 1,
        "ritellm.attempts": 1,
        "server.address": "127.0.0.1",
        "server.port": fake_server.port,
    }
    tokens = points["gen_ai.client.token.usage"]
    assert {p.attributes["gen_ai.token.type"]: p.sum for p in tokens} == {"input": 3, "output": 1}
    assert points["gen_ai.client.operation.duration"][0].count == 1
    assert points["gen_ai.client.operation.time_to_first_chunk"][0].count == 1


def test_metadata_is_found_in_the_span(told, fake_server):
    ask(fake_server, metadata={"job": 7, "tags": ["a"]})
    (span,), _ = told()
    assert span.attributes["ritellm.metadata.job"] == 7
    assert span.attributes["ritellm.metadata.tags"] == '["a"]'


def test_a_span_has_the_class_of_an_error_but_not_its_message(told, fake_server):
    fake_server.enqueue(api_error(401, message=f"{KEY} {SECRET}"))
    with pytest.raises(ritellm.AuthenticationError):
        ask(fake_server)
    (span,), points = told()
    assert span.attributes["error.type"] == "AuthenticationError"
    assert span.status.status_code.name == "ERROR"
    (duration,) = points["gen_ai.client.operation.duration"]
    assert duration.attributes["error.type"] == "AuthenticationError"
    assert KEY not in span.to_json()
    assert SECRET not in span.to_json()


@pytest.mark.parametrize("stop", [True, 5, {"odd": 1}, [["odd"]]])
def test_an_odd_parameter_does_not_fail_the_call_that_it_is_reported_of(told, fake_server, stop):
    completion = ritellm.completion(**at(fake_server, stop=stop))
    assert completion.choices[0].message.content


def test_leaving_a_stream_is_not_an_error(told, fake_server):
    opened = ritellm.completion(**at(fake_server), stream=True)
    next(opened)
    opened.close()
    (span,), _ = told()
    assert span.status.status_code.name == "UNSET"


def test_messages_are_in_the_span_on_request(told, fake_server, monkeypatch):
    ask(fake_server)
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")
    logs._made.cache_clear()
    ask(fake_server)
    (silent, telling), _ = told()
    assert SECRET not in silent.to_json()
    assert SECRET in telling.attributes["gen_ai.input.messages"]
    assert SECRET in telling.attributes["gen_ai.output.messages"]  # the fake server echoes


@pytest.fixture
def looked_up_anew():
    logs._is_installed.cache_clear()
    yield
    logs._is_installed.cache_clear()


def test_without_the_api_there_are_no_spans(fake_server, monkeypatch, looked_up_anew):
    monkeypatch.setattr(logs, "find_spec", lambda name: None)
    assert ask(fake_server).choices
    assert logs._telemetry() is None


def test_without_a_tracer_no_span_is_created(fake_server, monkeypatch):
    telemetry = pytest.importorskip(
        "ritellm.instrumentation.opentelemetry", reason="needs opentelemetry-api"
    )
    deaf = telemetry.trace.ProxyTracerProvider(), telemetry.metrics.NoOpMeterProvider()
    monkeypatch.setattr(telemetry.trace, "get_tracer_provider", lambda: deaf[0])
    monkeypatch.setattr(telemetry.metrics, "get_meter_provider", lambda: deaf[1])
    monkeypatch.setattr(telemetry.Telemetry, "start", None)  # cannot be called
    assert ask(fake_server).choices


# Limit headers that make no sense


def test_an_odd_limit_header_is_logged_once_for_each_address(fake_server, caplog, monkeypatch):
    monkeypatch.setattr(logs, "_warned", set())
    odd = {"retry-after": "nan", "x-ratelimit-reset-requests": "9" * 60}
    fake_server.enqueue(api_error(429, headers=odd), api_error(503, headers=odd))
    ritellm.completion(**at(fake_server))
    assert len(fake_server.requests) == 3
    said = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert said == [
        "openai/m: a limit header makes no sense: retry-after: 'nan' (ignored)",
        "openai/m: a limit header makes no sense: x-ratelimit-reset-requests:"
        f" '{'9' * 40}...' (ignored)",
    ]
