"""Language models in Beam pipelines: prompts in, live deltas and whole completions out."""

from transforms.assembling import AssembleCompletions, StreamChunkBuilder
from transforms.clients import NewClient
from transforms.completing import CompletePrompts, StreamCompletions
from transforms.elements import Completion, DeadLetter, Delta, Prompt
from transforms.failing import FailureLimit, StopAbove
from transforms.ledger import Caps, NewLedger

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
    "StreamChunkBuilder",
    "StreamCompletions",
]
