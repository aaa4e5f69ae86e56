"""Prints an answer as it grows, from the server of `python -m pipelines.serve_deltas`.

    python examples/read_answer.py http://127.0.0.1:8080 q1 [TOKEN]

It needs nothing but ritellm. An answer that begins anew is read again from its beginning.
"""

from __future__ import annotations

import sys
from urllib.parse import quote

from ritellm import RitellmError, completion


def main(door: str, id: str, token: str = "none") -> None:
    """Print the answer of `id`; after an error, read it again, at most ten times."""
    url = f"{door}/streams/{quote(id, safe='')}"
    messages = [{"role": "user", "content": "what the server ignores"}]
    for _ in range(10):
        try:
            stream = completion("openai/any", messages, base_url=url, api_key=token, stream=True)
            for chunk in stream:
                print(chunk.choices[0].delta.content or "", end="", flush=True)
            print()
            return
        except RitellmError as error:
            print(f"\n[{error}]", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
