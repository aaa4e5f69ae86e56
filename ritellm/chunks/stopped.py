"""The completion of a stream that was left before its end, and what it has cost. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ritellm.chunks.usage import counts_in
from ritellm.token_estimate import estimate_completion, estimate_request


def stopped_completion(completion: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """Return a completion whose stream was left, with its usage, which is estimated.

    Most providers count at the end of a stream, so what they bill until then is not known.
    """
    known = counts_in(completion.get("usage"))
    prompt = known.get("prompt_tokens") or estimate_request(request)[0]
    written = max(known.get("completion_tokens") or 0, estimate_completion(completion))
    usage = {**known, "prompt_tokens": prompt, "completion_tokens": written}
    usage["total_tokens"] = prompt + written
    return {**completion, "usage": usage, "usage_source": "estimated"}
