"""The sum of chunks: a completion is the sum of its chunks. Pure."""

from __future__ import annotations

from ritellm.chunks.sum import ChunkSum, stream_chunk_builder

__all__ = [
    "ChunkSum",
    "stream_chunk_builder",
]
