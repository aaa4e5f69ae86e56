"""What a job's graph shows of a transform: its model and its limits, never keys or prompts. Pure.

Beam shows display data in the page of a step (Dataflow's job page), and keeps annotations in the
pipeline. Both leave the process, so this module lists what they may have. All else stays out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ritellm.masking import masked_url

# Parameters whose values are numbers, booleans or words of the API. No text of a user's.
_SHOWN = (
    "max_tokens max_completion_tokens temperature top_p top_k min_p n seed reasoning_effort"
    " service_tier verbosity num_retries max_retries on_interrupt on_length drop_params"
).split()


def facts_of(
    model: str,
    params: Mapping[str, Any],
    *,
    base_url: str | None,
    dedupe: bool,
    limits: Any,
    hedge_after: float | str | None,
    journal: Any,
    budget: Any,
    commits: Any,
    answer: Any,
) -> dict[str, Any]:
    """Return the facts about a transform by name, without those that are not set."""
    return given(
        model=model,
        base_url=None if base_url is None else masked_url(base_url),
        max_in_flight=limits.max_in_flight,
        rpm=limits.rpm,
        tpm=limits.tpm,
        give_up_after=limits.give_up_after,
        hedge_after=hedge_after,
        journal=None if journal is None else _journal(journal.spec),
        dedupe=dedupe or None,
        budget=None if budget is None else str(budget.caps),
        answer=None if answer is None else ", ".join(answer.properties)[:200],
        reasks=None if answer is None else answer.reasks,
        **({} if commits is None else {"commit_every": commits.every, "shards": commits.shards}),
        **dict(_shown(params)),
    )


def given(**facts: Any) -> dict[str, Any]:
    """Return the facts that are set."""
    return {name: value for name, value in facts.items() if value is not None}


def annotations_of(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the facts as annotations: the model, and the others as JSON."""
    rest = {name: value for name, value in facts.items() if name != "model"}
    return {"ritellm_model": str(facts["model"]), "ritellm_settings": json.dumps(rest)}


def _shown(params: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in _SHOWN:
        value = params.get(name)
        if isinstance(value, (bool, int, float)) or (isinstance(value, str) and len(value) < 50):
            yield name, value


def _journal(spec: str) -> str:
    """Return where a journal is, without the user and the password of its address."""
    return masked_url(spec) if "://" in spec else spec
