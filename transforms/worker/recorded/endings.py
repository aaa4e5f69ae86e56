"""How a prompt has ended, by what a journal has, for readers that send nothing. No Beam or HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ritellm.errors import ABOUT_VALUES
from transforms.elements import Completion, DeadLetter, Prompt
from transforms.journal.key import JournalKey
from transforms.worker.options import CompleterOptions
from transforms.worker.recorded.entries import from_value, key_of
from transforms.worker.requests import PromptRequest, laid_over, request_of
from transforms.worker.row_faults import OF_A_ROW

Lookup = Callable[[JournalKey], bytes | None]


def recorded(
    options: CompleterOptions, lookup: Lookup, prompt: Prompt
) -> Completion | DeadLetter | None:
    """Return how `prompt` has ended; None if the values that `lookup` finds do not tell.

    A prompt whose answer is checked may have several completions: each but the last was refused.
    """
    entries = _Entries(lookup)
    try:
        body = laid_over(options.params, request_of(prompt))
    except OF_A_ROW:
        return None
    model, url, params = options.model, options.base_url, options.keyed_params
    key = entries.key(model, url, params, prompt, body)
    request = PromptRequest(prompt, body, key=key)
    if not options.may_ask_again:
        return entries.completion(request)
    from transforms.worker.answers import replay

    try:
        return replay(options, entries, request)
    except ABOUT_VALUES:  # a damaged value counts as missing
        return None


class _Entries:
    """The entries that `lookup` finds."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    def key(
        self,
        model: str,
        base_url: str | None,
        params: Mapping[str, Any],
        prompt: Prompt,
        body: Mapping[str, Any],
    ) -> JournalKey | None:
        return key_of(model, base_url, params, prompt.key or prompt.id, body)

    def completion(self, request: PromptRequest) -> Completion | None:
        value = None if request.key is None else self._lookup(request.key)
        return None if value is None else from_value(value, request.prompt)
