"""A job of datatrove's InferenceRunner, for `benchmarks.jobs.batch_peer`. Runs where datatrove is.

python batch_peer_job.py IN.jsonl OUT http://127.0.0.1:PORT IN_FLIGHT
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any


def main(source: str, target: str, url: str, in_flight: int) -> None:
    """Send all prompts of `source`, and write the documents to the folder `target`."""
    from datatrove.data import Document
    from datatrove.pipeline.inference.run_inference import InferenceConfig, InferenceRunner
    from datatrove.pipeline.writers import JsonlWriter
    from loguru import logger

    logger.remove()

    async def ask(document: Any, generate: Callable[[dict[str, Any]], Awaitable[Any]]) -> Any:
        return await generate({"messages": [{"role": "user", "content": document.text}]})

    config = InferenceConfig(
        server_type="endpoint",
        model_name_or_path="gpt-4o-mini",
        endpoint_url=url,
        max_concurrent_generations=in_flight,
        max_concurrent_documents=in_flight,
    )
    writer = JsonlWriter(target, output_filename="${rank}.jsonl", compression=None)
    runner = InferenceRunner(rollout_fn=ask, config=config, output_writer=writer)
    with open(source) as file:
        rows = map(json.loads, file)
        runner.run((Document(text=row["prompt"], id=row["id"]) for row in rows), rank=0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
