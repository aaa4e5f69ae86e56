"""Prints each element of a JSON answer while the model writes the next one.

python examples/stream_records.py openai/gpt-4o-mini 'List rivers as {"items": [{"name", "km"}]}'
"""

from __future__ import annotations

import sys

from ritellm import completion, records
from ritellm.structured.errors import JsonError


def main(model: str, question: str, path: str = "$.items[*]") -> None:
    """Print the elements at `path` of the answer to `question`."""
    messages = [{"role": "user", "content": question}]
    with completion(model, messages, stream=True) as stream:
        found = records(stream, path)
        try:
            for record in found:
                print(f"{record.path}  {record.raw}", flush=True)
        except JsonError as error:
            sys.exit(f"the answer is not JSON: {error}")
    if found.truncated:
        sys.exit(f"the answer ends after {found.count} records ({found.finish_reason})")


if __name__ == "__main__":
    main(*sys.argv[1:])
