"""Reports calls as OpenTelemetry spans and metrics; loaded only if its API is installed."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import metrics, trace
from opentelemetry.trace import Span, SpanKind, StatusCode

from ritellm.calls.call import Call
from ritellm.chunks.usage import counts_in
from ritellm.endpoints import Endpoint
from ritellm.types import Request
from ritellm.version import __version__

# Providers that the conventions name differently.
_PROVIDERS = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex_ai": "gcp.vertex_ai",
    "xai": "x_ai",
}
_PARAMS = {
    "frequency_penalty": "frequency_penalty",
    "max_completion_tokens": "max_tokens",
    "max_tokens": "max_tokens",
    "n": "choice.count",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
}
_TOKENS = {"input": "prompt_tokens", "output": "completion_tokens"}
# The buckets that the conventions recommend.
_SECONDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
_COUNTS = [float(4**power) for power in range(14)]


def is_set_up() -> bool:
    """Return whether a tracer or a meter provider is set up; without one, reports go nowhere."""
    meters = type(metrics.get_meter_provider()).__name__
    return (
        not isinstance(trace.get_tracer_provider(), _UNSET_TRACERS) or meters not in _UNSET_METERS
    )


_UNSET_TRACERS = (trace.ProxyTracerProvider, trace.NoOpTracerProvider)
# The API has no public name for the first one, which stands for a provider that is not set yet.
_UNSET_METERS = frozenset({"_ProxyMeterProvider", "NoOpMeterProvider"})


class Telemetry:
    """Records one span and three metrics for each call."""

    def __init__(self, with_content: bool = False) -> None:
        self._with_content = with_content
        self._tracer = trace.get_tracer("ritellm", __version__)
        meter = metrics.get_meter("ritellm", __version__)
        self._duration = _histogram(meter, "operation.duration", "s", _SECONDS)
        self._first_chunk = _histogram(meter, "operation.time_to_first_chunk", "s", _SECONDS)
        self._tokens = _histogram(meter, "token.usage", "{token}", _COUNTS)

    def start(self, call: Call) -> Span:
        """Return the span of `call`, a child of the current span."""
        request, endpoint = call.plan.request, call.plan.endpoint
        attributes = {**_facts(request, endpoint), **_params(request), **_noted(request)}
        if self._with_content:
            said = [_message(each.get("role"), each.get("content")) for each in request.messages]
            attributes["gen_ai.input.messages"] = json.dumps(said, ensure_ascii=False)
        name = f"chat {request.model}"
        return self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)

    def fail(self, span: Span | None, error: BaseException) -> None:
        """Record the error that ended the call."""
        if span is not None:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(StatusCode.ERROR, type(error).__name__)

    def end(self, span: Span | None, call: Call) -> None:
        """Record the response and the metrics, and end the span."""
        plan, timing = call.plan, call.timing
        labels = _facts(plan.request, plan.endpoint)
        if call.exchange is not None:
            self._record_response(span, call, labels)
        error = call.exchange.error if call.exchange is not None else None
        failed = {"error.type": type(error).__name__} if error else {}
        if timing.total is not None:
            self._duration.record(timing.total, {**labels, **failed})
        if plan.request.stream and timing.first_chunk is not None:
            self._first_chunk.record(timing.first_chunk - timing.started, labels)
        if span is not None:
            span.end()

    def _record_response(self, span: Span | None, call: Call, labels: dict[str, Any]) -> None:
        completion = call.completion()
        usage = counts_in(completion.get("usage"))
        for kind, name in _TOKENS.items():
            if isinstance(usage.get(name), int):
                self._tokens.record(usage[name], {**labels, "gen_ai.token.type": kind})
        if span is None or not span.is_recording():
            return
        reasons = [choice.get("finish_reason") for choice in completion.get("choices") or ()]
        facts = {
            "gen_ai.response.id": completion.get("id"),
            "gen_ai.response.model": completion.get("model"),
            "gen_ai.response.finish_reasons": [reason for reason in reasons if reason] or None,
            "gen_ai.usage.input_tokens": usage.get("prompt_tokens"),
            "gen_ai.usage.output_tokens": usage.get("completion_tokens"),
            "ritellm.attempts": call.attempts,
        }
        if self._with_content:
            messages = [choice["message"] for choice in completion.get("choices") or ()]
            said = [_message(each.get("role"), each.get("content")) for each in messages]
            facts["gen_ai.output.messages"] = json.dumps(said, ensure_ascii=False)
        span.set_attributes({name: value for name, value in facts.items() if value is not None})


def _histogram(meter: Any, name: str, unit: str, buckets: list[float]) -> Any:
    return meter.create_histogram(
        f"gen_ai.client.{name}", unit=unit, explicit_bucket_boundaries_advisory=buckets
    )


def _facts(request: Request, endpoint: Endpoint) -> dict[str, Any]:
    name = endpoint.provider.name
    address = urlsplit(endpoint.base_url)
    facts = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _PROVIDERS.get(name, name),
        "gen_ai.request.model": request.model,
        "server.address": address.hostname,
        "server.port": address.port or (443 if address.scheme == "https" else None),
    }
    return {name: value for name, value in facts.items() if value is not None}


def _params(request: Request) -> dict[str, Any]:
    params = request.params
    numbers = {
        f"gen_ai.request.{ours}": params[name]
        for name, ours in _PARAMS.items()
        if isinstance(params.get(name), (int, float))
    }
    stop = params.get("stop")
    if stop:
        numbers["gen_ai.request.stop_sequences"] = [stop] if isinstance(stop, str) else list(stop)
    return numbers


def _noted(request: Request) -> dict[str, Any]:
    """Return the caller's metadata, each entry as an attribute."""
    return {
        f"ritellm.metadata.{name}": value
        if isinstance(value, (str, bool, int, float))
        else json.dumps(value, ensure_ascii=False, default=str)
        for name, value in request.metadata.items()
    }


def _message(role: Any, content: Any) -> dict[str, Any]:
    if isinstance(content, str):
        return {"role": role, "parts": [{"type": "text", "content": content}]}
    return {"role": role, "parts": content or []}
