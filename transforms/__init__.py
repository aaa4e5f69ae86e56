"""Language models in Beam pipelines: prompts in, live deltas and whole completions out."""

from typing import TYPE_CHECKING, Any

from transforms.assembly import AssembleCompletions, StreamChunkBuilder
from transforms.budget.accounts import Caps
from transforms.budget.ledger import NewLedger
from transforms.completions import CompletePrompts, StreamCompletions
from transforms.elements import Completion, DeadLetter, Delta, Prompt
from transforms.failure_limit import FailureLimit, StopAbove
from transforms.prompts.to_prompts import ToPrompts
from transforms.publish import Publish, PublishDeltas
from transforms.sinks.base import Publisher, SinkUnavailable
from transforms.worker.factories import NewClient

if TYPE_CHECKING:
    from transforms.inference import RitellmModelHandler

__all__ = [
    "AssembleCompletions",
    "Caps",
    "CompletePrompts",
    "Completion",
    "DeadLetter",
    "Delta",
    "FailureLimit",
    "NewClient",
    "NewLedger",
    "Prompt",
    "RitellmModelHandler",
    "StopAbove",
    "Publish",
    "PublishDeltas",
    "Publisher",
    "SinkUnavailable",
    "StreamChunkBuilder",
    "StreamCompletions",
    "ToPrompts",
]


def __getattr__(name: str) -> Any:
    """Import what few pipelines use when it is asked for: RunInference is slow to import."""
    if name == "RitellmModelHandler":
        from transforms.inference import RitellmModelHandler

        return RitellmModelHandler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
