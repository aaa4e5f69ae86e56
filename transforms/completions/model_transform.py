"""What the transforms with a model share: the checks of their arguments, and their steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import apache_beam as beam

from ritellm.prices import PRICES, Price
from ritellm.rate_limits.pace import Limits
from transforms.budget.ledger import NewLedger
from transforms.committed.commits import DRAIN_SECONDS, SHARDS, Commits
from transforms.committed.streams import CommittedStreams
from transforms.completions.complete_fn import _CompleteFn
from transforms.elements import Completion, DeadLetter, Prompt
from transforms.graph.display import annotations_of, facts_of
from transforms.graph.element_types import HOW_TO_GET_PROMPTS, check_input, with_types
from transforms.graph.error_output import ErrorOutput, checked
from transforms.graph.jobs import JobParDo
from transforms.graph.outputs import Outputs, passed_on
from transforms.graph.refused_secrets import check_variable, refuse_secrets
from transforms.graph.tags import DEAD_LETTERS, INCOMPLETE, OF_OUTCOME, PACING, RECORDS
from transforms.journal import JournalKey, NewJournal
from transforms.journal.key import TextHashes
from transforms.prompts.to_prompts import Prompts
from transforms.worker.asking import asking
from transforms.worker.completer import Completer
from transforms.worker.factories import NewClient
from transforms.worker.recorded.endings import recorded
from transforms.worker.recorded.entries import key_of
from transforms.worker.requests import laid_over, request_of
from transforms.worker.row_faults import OF_A_ROW
from transforms.worker.stops.stop_conditions import StopWhen
from transforms.worker.stops.stop_requests import NewStops

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ritellm import Answer
    from ritellm.calls.params import CompletionParams


class ModelTransform(ErrorOutput, beam.PTransform):  # type: ignore[misc]
    """The base of both transforms: the model, the limits and the key."""

    def __init__(
        self,
        model: str,
        *,
        max_in_flight: int = 64,
        rpm: float | None = None,
        tpm: float | None = None,
        give_up_after: float = 600.0,
        hedge_after: float | str | None = None,
        rate_limiter: Any = None,
        journal: NewJournal | None = None,
        dedupe: bool = False,
        budget: NewLedger | None = None,
        prices: Mapping[str, Price] = PRICES,
        api_key_env: str | None = None,
        api_key_secret: str | None = None,
        api_key_file: str | None = None,
        new_client: Callable[[], Any] | None = None,
        commit_every: float | None = None,
        shards: int = SHARDS,
        drain_seconds: float = DRAIN_SECONDS,
        stop_when: StopWhen | None = None,
        stops: NewStops | None = None,
        error_handler: Any = None,
        **params: Unpack[CompletionParams],
    ) -> None:
        super().__init__()
        self._commits = Commits.checked(commit_every, shards, drain_seconds)
        self._error_handler = checked(error_handler)
        refuse_secrets(model, params, new_client)
        check_variable(api_key_env)
        answer = params.pop("answer", None)
        self._completer, self._new_resources = asking(
            model,
            params,
            answer=answer,
            limits=Limits(max_in_flight, rpm, tpm, give_up_after),
            hedge_after=hedge_after,
            rate_limiter=rate_limiter,
            journal=journal,
            dedupe=dedupe,
            budget=budget,
            prices=prices,
            key=NewClient(api_key_env, None, api_key_secret, api_key_file),
            new_client=new_client,
            stop_when=stop_when,
            stops=stops,
        )

    @property
    def answer(self) -> Answer | None:
        """What each answer must satisfy, None without `answer`."""
        return self._completer.answer

    def journal_key(self, prompt: Prompt, address: str | None = None) -> JournalKey | None:
        """Return the key of the completion of `prompt` in the journal, None if it has none.

        `address` is where the workers send requests if the transform has no `base_url`.
        """
        completer = self._completer
        try:
            body = laid_over(completer.params, request_of(prompt))
        except OF_A_ROW:
            return None
        url, id = completer.base_url or address, prompt.key or prompt.id
        return key_of(completer.model, url, completer.keyed_params, id, body)

    def text_hashes(self, address: str | None = None) -> TextHashes:
        """Return what makes `journal_key(...).request` of prompts that are one text of a user."""
        completer = self._completer
        url = completer.base_url or address
        return TextHashes(completer.model, url, completer.keyed_params)

    @property
    def may_ask_again(self) -> bool:
        """Whether a row may take several requests, one after the other."""
        return self._completer.may_ask_again

    def outcome_of(
        self, prompt: Prompt, lookup: Callable[[JournalKey], bytes | None], address: str | None
    ) -> Completion | DeadLetter | None:
        """Return how `prompt` has ended, by what its journal has; None if that does not tell.

        `lookup` finds a value in the journal. `address` is that of `journal_key`. A prompt whose
        answer is checked may have several completions there.
        """
        completer = self._completer
        asked = replace(completer, base_url=completer.base_url or address)
        return recorded(asked, lookup, prompt)

    def display_data(self) -> dict[str, Any]:
        """Return the model and the limits, for the page of the step in the runner's console."""
        return {**super().display_data(), **self._facts()}

    def annotations(self) -> dict[str, Any]:
        """Return the model and the limits, for tools that read the pipeline."""
        return {**super().annotations(), **annotations_of(self._facts())}

    def _facts(self) -> dict[str, Any]:
        completer, made = self._completer, self._new_resources
        return facts_of(
            completer.model,
            completer.params,
            base_url=completer.base_url,
            dedupe=completer.dedupe,
            limits=made.limits,
            hedge_after=made.hedge_after,
            journal=made.new_journal,
            budget=made.new_ledger,
            commits=self._commits,
            answer=completer.answer,
        )

    def _failed(self) -> tuple[str, ...]:
        return (DEAD_LETTERS,) if self._commits is None else (DEAD_LETTERS, INCOMPLETE)

    def _complete(self, given: Any, completer: Completer, outputs: Mapping[str, type]) -> Any:
        """Return the outputs with these types, by tag; the main one is the first.

        `given` are prompts, or all that `ToPrompts` returns: then its dead letters join ours.
        """
        if not isinstance(given, Prompts):
            return self._sent(given, completer, outputs)
        done = self._sent(given.prompts, completer, outputs)
        tags = outputs if self._commits is None else {*outputs, INCOMPLETE} - {PACING}
        letters = (done[DEAD_LETTERS], given.dead_letters) | "AllDeadLetters" >> beam.Flatten()
        return Outputs({**{tag: done[tag] for tag in tags}, DEAD_LETTERS: letters})

    @staticmethod
    def _may_have(tag: str, outputs: Mapping[str, type]) -> bool:
        """Return whether a committed stream has the output `tag`.

        Running jobs have the outputs of deltas and completions, whatever is asked for.
        """
        return tag in outputs or (tag != RECORDS and RECORDS not in outputs)

    def _sent(self, prompts: Any, completer: Completer, outputs: Mapping[str, type]) -> Any:
        check_input(prompts, Prompt, type(self).__name__, HOW_TO_GET_PROMPTS)
        main, *tags = outputs
        if self._commits is not None:
            kinds = {kind: tag for kind, tag in OF_OUTCOME.items() if self._may_have(tag, outputs)}
            committed = CommittedStreams(completer, self._new_resources, kinds, main, self._commits)
            return prompts | "Committed" >> committed
        fn = _CompleteFn(completer, self._new_resources, main)
        # An update matches the steps of the running job by their labels: keep this one.
        done = prompts | "Ask" >> JobParDo(fn).with_outputs(*tags, main=main)
        return passed_on(with_types(done, outputs), outputs)
