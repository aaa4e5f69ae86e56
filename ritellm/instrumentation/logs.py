"""Reports a call while it runs: log records, hooks, and OpenTelemetry if its API is installed.

Spans and metrics follow the GenAI semantic conventions:
https://opentelemetry.io/docs/specs/semconv/gen-ai/. Keys are never reported. Prompts are reported
only on request: RITELLM_LOG_PROMPTS adds them to the log,
OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT adds them to spans.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from ritellm.calls.call import Call
from ritellm.errors import ABOUT_VALUES, RitellmError
from ritellm.instrumentation import hooks
from ritellm.limit_headers import oddities
from ritellm.retry import is_outage

if TYPE_CHECKING:
    from ritellm.instrumentation.opentelemetry import Telemetry

log = logging.getLogger("ritellm")
_Result = TypeVar("_Result")


def observed(call: Call) -> AbstractContextManager[None]:
    """Report `call` from its beginning to its end, if a logger, a tracer or a hook is set up."""
    telemetry = _telemetry()
    if telemetry is None and not log.isEnabledFor(logging.DEBUG) and not hooks.are_set():
        return _UNOBSERVED
    return _observed(call, telemetry)


_UNOBSERVED = nullcontext()


@contextmanager
def _observed(call: Call, telemetry: Telemetry | None) -> Iterator[None]:
    span = _reported(telemetry.start, call) if telemetry else None
    ending: BaseException | None = None
    try:
        yield
    except GeneratorExit as left:
        ending = left
        _ended(call, "left early")
        raise
    except BaseException as error:
        ending = error
        _ended(call, type(error).__name__)
        if telemetry:
            telemetry.fail(span, error)
        raise
    else:
        _ended(call, "done")
    finally:
        if telemetry:
            _reported(telemetry.end, span, call)
        _reported(hooks.ended, call, ending)


def _reported(report: Callable[..., _Result], *arguments: Any) -> _Result | None:
    """Return what `report` returns, or None: an odd value in a report must not fail the call."""
    try:
        return report(*arguments)
    except ABOUT_VALUES as error:
        log.debug("a report failed: %s", type(error).__name__)
        return None


def sending(call: Call) -> None:
    """Log that an attempt is about to be sent."""
    if not log.isEnabledFor(logging.DEBUG):
        return
    why = call.why
    after = f" after {type(why).__name__} (status {why.status_code})" if why else ""
    log.debug("%s: attempt %d%s", _name(call), call.attempts, after, extra=_noted(call))
    if os.environ.get("RITELLM_LOG_PROMPTS"):
        messages = json.dumps(call.plan.request.messages, ensure_ascii=False, default=str)
        log.debug("%s: %s", _name(call), call.current.endpoint.scrub(messages))


def responded(call: Call, status: int, headers: Mapping[str, str]) -> None:
    """Log the status of a response, and limit headers that make no sense."""
    if log.isEnabledFor(logging.DEBUG):
        id = headers.get("x-request-id") or headers.get("request-id")
        request = call.current.endpoint.scrub(f", request {id}") if id else ""
        log.debug("%s: status %d%s", _name(call), status, request, extra=_noted(call))
    for odd in oddities(headers):
        _warn_once(call, odd)


def unrecorded(call: Call, path: str, reason: str) -> None:
    """Log that `call` goes on, but its recording does not."""
    log.warning("%s: cannot record to %s any longer: %s", _name(call), path, reason)


# The addresses and names of odd headers that were logged, and those of servers that were down.
_warned: set[tuple[str, str]] = set()


def _warn_once(call: Call, odd: str) -> None:
    """Log an `odd` header, once for each address."""
    if _is_first(call, odd.partition(":")[0]):
        shown = call.current.endpoint.scrub(odd)
        log.warning("%s: a limit header makes no sense: %s", _name(call), shown)


def waiting(call: Call, error: RitellmError) -> None:
    """Log that requests wait for a server that is down, once for each address."""
    if call.gate is not None and is_outage(error, reached=True) and _is_first(call, "down"):
        most = call.gate.limits.give_up_after
        text = "%s: %s; requests wait for the server, for at most %g s"
        log.warning(text, _name(call), error.message, most)


def _is_first(call: Call, what: str) -> bool:
    key = call.current.endpoint.base_url, what
    if key in _warned:
        return False
    _warned.add(key)
    return True


def _ended(call: Call, how: str) -> None:
    if log.isEnabledFor(logging.DEBUG) and call.exchange is not None:
        timing = call.timing
        log.debug(
            "%s: %s after %d attempts, %d chunks, %d bytes, ttft %s, total %s",
            _name(call),
            how,
            call.attempts,
            call.exchange.sum.count,
            timing.bytes,
            *(f"{t:.3f} s" if t is not None else "none" for t in (timing.ttft, timing.total)),
            extra=_noted(call),
        )


def _noted(call: Call) -> dict[str, Any]:
    """Return the caller's metadata, which becomes `record.metadata`."""
    return {"metadata": call.plan.request.metadata}


def _name(call: Call) -> str:
    return f"{call.plan.endpoint.provider.name}/{call.plan.request.model}"


def _telemetry() -> Telemetry | None:
    """Return the reporter to OpenTelemetry, if the API is installed and an SDK is set up."""
    try:
        if not _is_installed():
            return None
        return _made() if _reporter().is_set_up() else None
    except OSError:  # no descriptor is left to import it; the call fails with a better error
        return None


@cache
def _is_installed() -> bool:
    return find_spec("opentelemetry") is not None and (find_spec("opentelemetry.trace") is not None)


@cache
def _reporter() -> ModuleType:
    """Return the module that needs the API; it is imported once, not for each call."""
    from ritellm.instrumentation import opentelemetry

    return opentelemetry


@cache
def _made() -> Telemetry:
    made: Telemetry = _reporter().Telemetry(_wants_content())
    return made


def _wants_content() -> bool:
    name = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
    return os.environ.get(name, "").lower() in ("true", "1", "span_only", "span_and_event")
