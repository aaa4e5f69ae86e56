"""Language models in Beam pipelines: prompts in, live deltas and whole completions out.

Importing is cheap: a name imports its module, and with it Beam, when it is used first.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transforms.assembly import AssembleCompletions, StreamChunkBuilder
    from transforms.budget.accounts import Caps
    from transforms.budget.ledger import NewLedger
    from transforms.completions import CompletePrompts, StreamCompletions
    from transforms.elements import Completion, DeadLetter, Delta, Prompt, Record
    from transforms.failure_limit import FailureLimit, StopAbove
    from transforms.inference import RitellmModelHandler
    from transforms.prompts.to_prompts import ToPrompts
    from transforms.publish import Publish, PublishDeltas
    from transforms.records import AssembleRecords, StreamRecords
    from transforms.rows.complete_all import complete_all
    from transforms.sinks.base import Publisher, SinkUnavailable
    from transforms.sinks.redis_stops import RedisStops
    from transforms.worker.factories import NewClient
    from transforms.worker.stops.stop_conditions import StopWhen

_HOMES = {
    "AssembleCompletions": "assembly",
    "AssembleRecords": "records",
    "Caps": "budget.accounts",
    "CompletePrompts": "completions",
    "Completion": "elements",
    "DeadLetter": "elements",
    "Delta": "elements",
    "FailureLimit": "failure_limit",
    "NewClient": "worker.factories",
    "NewLedger": "budget.ledger",
    "Prompt": "elements",
    "Publish": "publish",
    "PublishDeltas": "publish",
    "Publisher": "sinks.base",
    "Record": "elements",
    "RedisStops": "sinks.redis_stops",
    "RitellmModelHandler": "inference",
    "SinkUnavailable": "sinks.base",
    "StopAbove": "failure_limit",
    "StopWhen": "worker.stops.stop_conditions",
    "StreamChunkBuilder": "assembly",
    "StreamCompletions": "completions",
    "StreamRecords": "records",
    "ToPrompts": "prompts.to_prompts",
    "complete_all": "rows.complete_all",
}

__all__ = [
    "AssembleCompletions",
    "AssembleRecords",
    "Caps",
    "CompletePrompts",
    "Completion",
    "DeadLetter",
    "Delta",
    "FailureLimit",
    "NewClient",
    "NewLedger",
    "Prompt",
    "Publish",
    "PublishDeltas",
    "Publisher",
    "Record",
    "RedisStops",
    "RitellmModelHandler",
    "SinkUnavailable",
    "StopAbove",
    "StopWhen",
    "StreamChunkBuilder",
    "StreamCompletions",
    "StreamRecords",
    "ToPrompts",
    "complete_all",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from transforms.import_noise import without_noise

    with without_noise():
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
