"""How a prompt has ended, by what a journal has, for readers that send nothing. No Beam or HTTP."""

from __future__ import annotations

from ritellm.errors import ABOUT_VALUES
from transforms.elements import Completion, DeadLetter, Prompt
from transforms.worker.options import CompleterOptions
from transforms.worker.recorded.entries import KeyedEntries, Lookup
from transforms.worker.requests import PromptRequest, laid_over, request_of
from transforms.worker.row_faults import OF_A_ROW


def recorded(
    options: CompleterOptions, lookup: Lookup, prompt: Prompt
) -> Completion | DeadLetter | None:
    """Return how `prompt` has ended; None if the values that `lookup` finds do not tell.

    A prompt whose answer is checked may have several completions: each but the last was refused.
    """
    entries = KeyedEntries(lookup)
    try:
        body = laid_over(options.params, request_of(prompt))
    except OF_A_ROW:
        return None
    model, url, params = options.model, options.base_url, options.keyed_params
    key = entries.key(model, url, params, prompt, body)
    request = PromptRequest(prompt, body, key=key)
    if not options.may_ask_again:
        return entries.completion(request)
    from transforms.worker.answers.rows import replay

    try:
        return replay(options, entries, request)
    except ABOUT_VALUES:  # a damaged value counts as missing
        return None
