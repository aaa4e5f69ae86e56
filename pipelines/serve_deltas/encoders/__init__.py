"""The forms in which readers get an answer. No I/O, no clock."""

from __future__ import annotations

from pipelines.serve_deltas.encoders.base import CutOff, Encoder
from pipelines.serve_deltas.encoders.chat_chunks import ChatChunks
from pipelines.serve_deltas.encoders.events import Events
from pipelines.serve_deltas.encoders.plain_text import PlainText
from pipelines.serve_deltas.encoders.ui_messages import UiMessages

# The values of the parameter `as`.
FORMS: dict[str, Encoder] = {
    "events": Events(),
    "text": PlainText(),
    "chat": ChatChunks(),
    "ai-sdk": UiMessages(),
}

__all__ = ["FORMS", "CutOff", "Encoder"]
