"""Add streamed chunks up to a completion. Pure."""

from __future__ import annotations

from ritellm.chunks.sum import ChunkSum, stream_chunk_builder

__all__ = [
    "ChunkSum",
    "stream_chunk_builder",
]
