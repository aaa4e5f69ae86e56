"""Benchmarks; each runs from the root of the repository: `python -m benchmarks.client.chunks`.

`client` measures the client, `jobs` measures pipelines and their parts, and `trouble` runs jobs
against a provider that refuses requests. `simulation` runs the rate control on a virtual clock.
`serving` measures the server of token streams.
"""

from pathlib import Path

ROOT = Path(__file__).parents[1]
