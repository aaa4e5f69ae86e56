"""Language models in Beam pipelines: prompts in, live deltas and whole completions out."""

from transforms.assembly import AssembleCompletions, StreamChunkBuilder
from transforms.budget.accounts import Caps
from transforms.budget.ledger import NewLedger
from transforms.completions import CompletePrompts, StreamCompletions
from transforms.elements import Completion, DeadLetter, Delta, Prompt
from transforms.failure_limit import FailureLimit, StopAbove
from transforms.publish import Publish, PublishDeltas
from transforms.sinks.base import Publisher, SinkUnavailable
from transforms.worker.factories import NewClient

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
    "StopAbove",
    "Publish",
    "PublishDeltas",
    "Publisher",
    "SinkUnavailable",
    "StreamChunkBuilder",
    "StreamCompletions",
]
